//! Reading one log stream.

use aws_sdk_cloudwatchlogs::error::ProvideErrorMetadata;
use aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsOutput;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use serde::{Deserialize, Serialize};

use crate::batch::Job;
use crate::cluster::{Session, explain};
use crate::ui::Failure;

/// A line of a job's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The job, or an array's child.
    pub job_id: String,
    /// The ID of its task, where that is not its index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
    /// The stream in which it stands.
    pub log_stream_name: String,
    /// When it was printed, in milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// The line, without its line break.
    pub message: String,
}

/// A log stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The job that writes it.
    pub job_id: String,
    /// The ID of its task, where that is not its index.
    pub task: Option<u32>,
    /// The log group.
    pub group: String,
    /// The stream's name.
    pub stream: String,
}

impl Place {
    /// The streams of a job's attempts, the oldest first.
    pub fn all_of(job: &Job, session: &Session) -> Vec<Place> {
        let own = job.container.as_ref().and_then(|c| c.log_group.clone());
        let group = own.unwrap_or_else(|| session.cluster.log_group.clone());
        job.log_streams()
            .into_iter()
            .map(|stream| Place { job_id: job.job_id.clone(), task: job.task, group: group.clone(), stream })
            .collect()
    }
}

/// What there was to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// Lines (perhaps none), and perhaps more behind them.
    Lines(Vec<Event>),
    /// Nothing more at this moment.
    End,
    /// The stream is not there (yet): it comes with the first line.
    NoStream,
    /// Not even the log group is there (yet): Batch makes it with the first job that prints. The failure is
    /// for those who do not want to wait.
    NoGroup(Failure),
}

/// A place in a log stream, from which reading goes on.
#[derive(Debug, Clone)]
pub struct Reader {
    place: Place,
    token: Option<String>,
    /// The time of the last line that was read, and how many of the lines read have that time: from here
    /// reading goes on when the token has expired.
    last: Option<(i64, usize)>,
    /// So many lines at the beginning of what comes were read before.
    skip: usize,
}

impl Reader {
    /// Reads from the first line on.
    pub fn new(place: Place) -> Self {
        Self { place, token: None, last: None, skip: 0 }
    }

    /// The next page. The end is where the token comes back unchanged (API `GetLogEvents`); an empty page
    /// alone is not the end.
    ///
    /// # Errors
    /// When CloudWatch Logs cannot be asked.
    pub async fn next(&mut self, session: &Session) -> Result<Page, Failure> {
        let Place { job_id, task, group, stream } = &self.place;
        let start = if self.token.is_none() { self.last.map(|(at, _)| at) } else { None };
        let answer = session
            .logs
            .get_log_events()
            .log_group_name(group)
            .log_stream_name(stream)
            .start_from_head(true)
            .set_start_time(start)
            .set_next_token(self.token.clone())
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => Answer::from(answer),
            Err(e) if e.code() == Some("ResourceNotFoundException") => {
                if !e.message().is_some_and(|m| m.contains("log group")) {
                    return Ok(Page::NoStream);
                }
                let failure = explain(session, &format!("reading the log group {group}"), &e);
                return Ok(Page::NoGroup(failure.hint(format!(
                    "`log_group` of the cluster `{}` names it; Batch makes it with the first job that prints",
                    session.cluster.name
                ))));
            }
            // A token lives for 24 hours (API `GetLogEvents`, nextToken).
            Err(e) if e.code() == Some("InvalidParameterException") && self.token.is_some() => {
                self.token = None;
                self.skip = self.last.map_or(0, |(_, lines)| lines);
                return Ok(Page::Lines(Vec::new()));
            }
            Err(e) => match e.raw_response().and_then(Answer::leniently) {
                Some(answer) => answer,
                None => {
                    return Err(explain(session, &format!("reading the output of the job {job_id}"), &e));
                }
            },
        };
        let is_empty = answer.lines.is_empty();
        let read_before = self.skip.min(answer.lines.len());
        self.skip -= read_before;
        let events: Vec<Event> = answer
            .lines
            .into_iter()
            .skip(read_before)
            .map(|(timestamp, message)| Event {
                job_id: job_id.clone(),
                task: *task,
                log_stream_name: stream.clone(),
                timestamp,
                message,
            })
            .collect();
        for at in events.iter().filter_map(|e| e.timestamp) {
            self.last = match self.last {
                Some((last, lines)) if last == at => Some((at, lines + 1)),
                _ => Some((at, 1)),
            };
        }
        let token = answer.token;
        let unchanged = token.is_none() || token == self.token;
        if token.is_some() {
            self.token = token;
        }
        Ok(if is_empty && unchanged { Page::End } else { Page::Lines(events) })
    }
}

/// What we read of an answer (API `GetLogEventsResponse`).
pub(super) struct Answer {
    /// Times and messages.
    pub(super) lines: Vec<(Option<i64>, String)>,
    /// `nextForwardToken`.
    token: Option<String>,
}

impl From<GetLogEventsOutput> for Answer {
    fn from(output: GetLogEventsOutput) -> Self {
        let token = output.next_forward_token;
        let lines = output.events.unwrap_or_default().into_iter();
        Self { lines: lines.map(|e| (e.timestamp, e.message.unwrap_or_default())).collect(), token }
    }
}

impl Answer {
    /// An answer that the SDK refuses: moto's log events carry fractions of a millisecond, where the API has
    /// integers.
    pub(super) fn leniently(response: &HttpResponse) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Output {
            events: Vec<Line>,
            next_forward_token: Option<String>,
        }
        #[derive(Deserialize)]
        struct Line {
            timestamp: Option<f64>,
            message: String,
        }
        if !response.status().is_success() {
            return None;
        }
        let output: Output = serde_json::from_slice(response.body().bytes()?).ok()?;
        let line = |line: Line| (line.timestamp.map(|t| t as i64), line.message);
        Some(Self { lines: output.events.into_iter().map(line).collect(), token: output.next_forward_token })
    }
}
