//! The two calls that read lines: GetLogEvents and FilterLogEvents.

use aws_sdk_cloudwatchlogs::error::ProvideErrorMetadata;
use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsOutput;
use aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsOutput;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use serde::Deserialize;

use super::event::{Place, Writer};
use crate::aws::{Session, explain};
use crate::ui::Failure;
use awsb_model::words;

/// The most lines of one answer (API `EventsLimit`).
pub(super) const MOST_LINES: usize = 10_000;
/// The most streams that one call of FilterLogEvents can name (API `InputLogStreamNames`).
pub(super) const MOST_STREAMS: usize = 100;

/// A line as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Its stream; GetLogEvents does not say it.
    pub stream: String,
    /// When it was printed, in milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// When CloudWatch Logs had it.
    pub ingested: Option<i64>,
    /// The line.
    pub message: String,
}

/// What came.
#[derive(Debug)]
pub(super) enum Answer {
    /// Lines (perhaps none), and where to go on.
    Lines(Vec<Line>, Tokens),
    /// A stream is not there (yet): it comes with the container, or with its first line.
    NoStream,
    /// Not even the log group is there (yet): Batch makes it with the first job that prints.
    NoGroup(Failure),
    /// A token lives for 24 hours (API `GetLogEvents`, nextToken).
    TokenExpired,
}

/// Where to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// Behind the lines; FilterLogEvents has none when there are no more.
    pub forward: Option<String>,
    /// Before them.
    pub backward: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Question {
    /// Lines from this time on.
    pub from: Option<i64>,
    /// From where the last page ended.
    pub token: Option<String>,
    /// The latest lines first.
    pub from_tail: bool,
    /// So many lines at most.
    pub limit: Option<usize>,
    /// Only lines that match (FilterLogEvents).
    pub pattern: Option<String>,
}

impl Question {
    fn limit(&self) -> Option<i32> {
        self.limit.map(|n| i32::try_from(n.clamp(1, MOST_LINES)).unwrap_or(i32::MAX))
    }
}

/// Reads a page of one stream.
///
/// # Errors
/// When CloudWatch Logs cannot be asked.
pub(super) async fn get(session: &Session, place: &Place, question: &Question) -> Result<Answer, Failure> {
    let answer = session
        .logs
        .get_log_events()
        .log_group_name(&place.group)
        .log_stream_name(&place.stream)
        .start_from_head(!question.from_tail)
        .set_start_time(question.from)
        .set_next_token(question.token.clone())
        .set_limit(question.limit())
        .send()
        .await;
    match answer {
        Ok(answer) => Ok(answer.into()),
        Err(e) => {
            let doing = match place.writer {
                Writer::Job => format!("reading the output of the job {}", place.job_id),
                Writer::Build => format!("reading the log of the build {}", place.job_id),
            };
            refused(session, "GetLogEvents", &place.group, &doing, question, &e, got_leniently)
        }
    }
}

/// Reads a page of several streams of a group, in the order of time. Lines of the same millisecond come by the time
/// at which CloudWatch Logs had them, then by the ID of the request that brought them (API `FilterLogEvents`): within
/// one stream, whose lines are brought one request after the other, that is the order in which they were printed.
///
/// # Errors
/// When CloudWatch Logs cannot be asked.
pub(super) async fn filter(
    session: &Session,
    group: &str,
    streams: &[String],
    question: &Question,
) -> Result<Answer, Failure> {
    // Ignored by AWS since 2019, where it is always so; other servers read one stream after the other without it.
    #[expect(deprecated, reason = "for servers other than AWS")]
    let call = session.logs.filter_log_events().interleaved(true);
    let answer = call
        .log_group_name(group)
        .set_log_stream_names(Some(streams.to_vec()))
        .set_start_from_head(question.from_tail.then_some(false))
        .set_start_time(question.from)
        .set_next_token(question.token.clone())
        .set_filter_pattern(question.pattern.clone())
        .set_limit(question.limit())
        .send()
        .await;
    match answer {
        Ok(answer) => Ok(answer.into()),
        Err(e) => {
            let doing = format!("reading the output of {}", words::many(streams.len(), "log stream"));
            refused(session, "FilterLogEvents", group, &doing, question, &e, filtered_leniently)
        }
    }
}

/// What an error means.
fn refused<E>(
    session: &Session,
    operation: &str,
    group: &str,
    doing: &str,
    question: &Question,
    error: &SdkError<E, HttpResponse>,
    leniently: fn(&[u8]) -> Option<Answer>,
) -> Result<Answer, Failure>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.code() {
        Some("ResourceNotFoundException") => {
            if !error.message().is_some_and(|m| m.contains("log group")) {
                return Ok(Answer::NoStream);
            }
            let failure = explain(session, &format!("reading the log group {group}"), error);
            Ok(Answer::NoGroup(failure.hint(format!(
                "`log_group` of the cluster `{}` names it; Batch makes it with the first job that prints",
                session.cluster.name
            ))))
        }
        Some("InvalidParameterException") if question.token.is_some() => Ok(Answer::TokenExpired),
        Some("AccessDeniedException" | "AccessDenied") => {
            let region = &session.region;
            Err(explain(session, doing, error).hint(format!(
                "it takes the permission logs:{operation} on arn:aws:logs:{region}:ACCOUNT:log-group:{group}:*"
            )))
        }
        _ => {
            let body = error.raw_response().filter(|r| r.status().is_success());
            match body.and_then(|response| leniently(response.body().bytes()?)) {
                Some(answer) => Ok(answer),
                None => Err(explain(session, doing, error)),
            }
        }
    }
}

impl From<GetLogEventsOutput> for Answer {
    fn from(output: GetLogEventsOutput) -> Self {
        let lines = output.events.unwrap_or_default().into_iter().map(|e| Line {
            stream: String::new(),
            timestamp: e.timestamp,
            ingested: e.ingestion_time,
            message: e.message.unwrap_or_default(),
        });
        let tokens = Tokens { forward: output.next_forward_token, backward: output.next_backward_token };
        Answer::Lines(lines.collect(), tokens)
    }
}

impl From<FilterLogEventsOutput> for Answer {
    fn from(output: FilterLogEventsOutput) -> Self {
        let lines = output.events.unwrap_or_default().into_iter().map(|e| Line {
            stream: e.log_stream_name.unwrap_or_default(),
            timestamp: e.timestamp,
            ingested: e.ingestion_time,
            message: e.message.unwrap_or_default(),
        });
        let token = output.next_token.filter(|token| !token.is_empty());
        Answer::Lines(lines.collect(), Tokens { forward: token, backward: None })
    }
}

/// An answer that the SDK refuses: moto's log events carry fractions of a millisecond, where the API has integers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lenient {
    events: Vec<LenientLine>,
    next_forward_token: Option<String>,
    next_backward_token: Option<String>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LenientLine {
    #[serde(default)]
    log_stream_name: String,
    timestamp: Option<f64>,
    ingestion_time: Option<f64>,
    message: String,
}

impl Lenient {
    fn lines(self) -> Vec<Line> {
        let line = |line: LenientLine| Line {
            stream: line.log_stream_name,
            timestamp: line.timestamp.map(|t| t as i64),
            ingested: line.ingestion_time.map(|t| t as i64),
            message: line.message,
        };
        self.events.into_iter().map(line).collect()
    }
}

fn got_leniently(body: &[u8]) -> Option<Answer> {
    let mut output: Lenient = serde_json::from_slice(body).ok()?;
    let (forward, backward) = (output.next_forward_token.take(), output.next_backward_token.take());
    Some(Answer::Lines(output.lines(), Tokens { forward, backward }))
}

fn filtered_leniently(body: &[u8]) -> Option<Answer> {
    let mut output: Lenient = serde_json::from_slice(body).ok()?;
    let forward = output.next_token.take();
    Some(Answer::Lines(output.lines(), Tokens { forward, backward: None }))
}
