//! The two calls that read lines: GetLogEvents and FilterLogEvents.

use aws_sdk_cloudwatchlogs::error::ProvideErrorMetadata;
use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsOutput;
use aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsOutput;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use serde::Deserialize;

use super::event::{LogStreamRef, StreamWriter};
use crate::aws::{Session, explain};
use crate::ui::Failure;
use awsb_model::words;

/// The maximum of lines in one page (API `EventsLimit`).
pub(super) const MAX_LINES: usize = 10_000;
/// The maximum of streams in one call of FilterLogEvents (API `InputLogStreamNames`).
pub(super) const MAX_STREAMS: usize = 100;

/// A line as the API returns it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The name of its stream; GetLogEvents leaves it out.
    pub stream: String,
    /// When it was printed, in milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// When CloudWatch Logs received it.
    pub ingested: Option<i64>,
    /// The line.
    pub message: String,
}

/// The answer to a request.
#[derive(Debug)]
pub(super) enum Page {
    /// Lines (perhaps none), and the tokens of the neighbouring pages.
    Lines(Vec<Line>, Tokens),
    /// A stream does not exist (yet): it is created with the container, or with its first line.
    NoStream,
    /// The log group does not exist (yet): Batch creates it with the first job that prints.
    NoGroup(Failure),
    /// The token has expired, after 24 hours (API `GetLogEvents`, nextToken).
    TokenExpired,
}

/// The tokens of the neighbouring pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// The page behind the lines. FilterLogEvents has no token at the end.
    pub forward: Option<String>,
    /// The page before the lines.
    pub backward: Option<String>,
}

/// The parameters of a call.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    /// Lines from this time on.
    pub from: Option<i64>,
    /// The token that the page before has given.
    pub token: Option<String>,
    /// The latest lines first.
    pub from_tail: bool,
    /// At most this many lines.
    pub limit: Option<usize>,
    /// Only lines that match this pattern (FilterLogEvents).
    pub pattern: Option<String>,
}

impl Request {
    fn limit(&self) -> Option<i32> {
        self.limit.map(|n| i32::try_from(n.clamp(1, MAX_LINES)).unwrap_or(i32::MAX))
    }
}

/// Reads a page of one stream.
///
/// # Errors
/// When CloudWatch Logs cannot be asked.
pub(super) async fn get(
    session: &Session,
    stream: &LogStreamRef,
    request: &Request,
) -> Result<Page, Failure> {
    let answer = session
        .logs
        .get_log_events()
        .log_group_name(&stream.group)
        .log_stream_name(&stream.name)
        .start_from_head(!request.from_tail)
        .set_start_time(request.from)
        .set_next_token(request.token.clone())
        .set_limit(request.limit())
        .send()
        .await;
    match answer {
        Ok(answer) => Ok(answer.into()),
        Err(e) => {
            let doing = match stream.writer {
                StreamWriter::Job => format!("reading the output of the job {}", stream.job_id),
                StreamWriter::Build => format!("reading the log of the build {}", stream.job_id),
            };
            page_of_error(session, "GetLogEvents", &stream.group, &doing, request, &e, parse_get)
        }
    }
}

/// Reads a page of several streams of a group, in the order of time. Lines of the same millisecond
/// are ordered by the time at which CloudWatch Logs received them, then by the ID of the request
/// that brought them (API `FilterLogEvents`). A stream's lines are brought by one request after the
/// other, so within one stream this is the order in which they were printed.
///
/// # Errors
/// When CloudWatch Logs cannot be asked.
pub(super) async fn filter(
    session: &Session,
    group: &str,
    streams: &[String],
    request: &Request,
) -> Result<Page, Failure> {
    // AWS has ignored this parameter since 2019, and always interleaves. Other servers read one
    // stream after the other without it.
    #[expect(deprecated, reason = "for servers other than AWS")]
    let call = session.logs.filter_log_events().interleaved(true);
    let answer = call
        .log_group_name(group)
        .set_log_stream_names(Some(streams.to_vec()))
        .set_start_from_head(request.from_tail.then_some(false))
        .set_start_time(request.from)
        .set_next_token(request.token.clone())
        .set_filter_pattern(request.pattern.clone())
        .set_limit(request.limit())
        .send()
        .await;
    match answer {
        Ok(answer) => Ok(answer.into()),
        Err(e) => {
            let doing = format!("reading the output of {}", words::many(streams.len(), "log stream"));
            page_of_error(session, "FilterLogEvents", group, &doing, request, &e, parse_filter)
        }
    }
}

/// Turns an error into a page where it says that something does not exist, or where only the SDK
/// refuses the answer.
fn page_of_error<E>(
    session: &Session,
    operation: &str,
    group: &str,
    doing: &str,
    request: &Request,
    error: &SdkError<E, HttpResponse>,
    parse: fn(&[u8]) -> Option<Page>,
) -> Result<Page, Failure>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.code() {
        Some("ResourceNotFoundException") => {
            if !error.message().is_some_and(|m| m.contains("log group")) {
                return Ok(Page::NoStream);
            }
            let failure = explain(session, &format!("reading the log group {group}"), error);
            Ok(Page::NoGroup(failure.hint(format!(
                "`log_group` of the cluster `{}` names it; Batch makes it with the first job that prints",
                session.cluster.name
            ))))
        }
        Some("InvalidParameterException") if request.token.is_some() => Ok(Page::TokenExpired),
        Some("AccessDeniedException" | "AccessDenied") => {
            let region = &session.region;
            Err(explain(session, doing, error).hint(format!(
                "it takes the permission logs:{operation} on arn:aws:logs:{region}:ACCOUNT:log-group:{group}:*"
            )))
        }
        _ => {
            let body = error.raw_response().filter(|r| r.status().is_success());
            match body.and_then(|response| parse(response.body().bytes()?)) {
                Some(answer) => Ok(answer),
                None => Err(explain(session, doing, error)),
            }
        }
    }
}

impl From<GetLogEventsOutput> for Page {
    fn from(output: GetLogEventsOutput) -> Self {
        let lines = output.events.unwrap_or_default().into_iter().map(|e| Line {
            stream: String::new(),
            timestamp: e.timestamp,
            ingested: e.ingestion_time,
            message: e.message.unwrap_or_default(),
        });
        let tokens = Tokens { forward: output.next_forward_token, backward: output.next_backward_token };
        Page::Lines(lines.collect(), tokens)
    }
}

impl From<FilterLogEventsOutput> for Page {
    fn from(output: FilterLogEventsOutput) -> Self {
        let lines = output.events.unwrap_or_default().into_iter().map(|e| Line {
            stream: e.log_stream_name.unwrap_or_default(),
            timestamp: e.timestamp,
            ingested: e.ingestion_time,
            message: e.message.unwrap_or_default(),
        });
        let token = output.next_token.filter(|token| !token.is_empty());
        Page::Lines(lines.collect(), Tokens { forward: token, backward: None })
    }
}

/// An answer that the SDK refuses: the times of moto have fractions of a millisecond, where the API
/// has integers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LenientPage {
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

impl LenientPage {
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

fn parse_get(body: &[u8]) -> Option<Page> {
    let mut output: LenientPage = serde_json::from_slice(body).ok()?;
    let (forward, backward) = (output.next_forward_token.take(), output.next_backward_token.take());
    Some(Page::Lines(output.lines(), Tokens { forward, backward }))
}

fn parse_filter(body: &[u8]) -> Option<Page> {
    let mut output: LenientPage = serde_json::from_slice(body).ok()?;
    let forward = output.next_token.take();
    Some(Page::Lines(output.lines(), Tokens { forward, backward: None }))
}
