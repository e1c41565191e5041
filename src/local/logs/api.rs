//! The operations of CloudWatch Logs: JSON in, JSON out.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::file_of;
use super::pages::{MOST_EVENTS, Page, Stream, Times};
use crate::local::batch::Reader;
use crate::local::error::ApiError;
use crate::local::http::json_object;
use crate::local::{ACCOUNT, REGION};

/// CloudWatch Logs, as far as it is here.
#[derive(Debug, Clone)]
pub struct Api {
    home: PathBuf,
    reader: Reader,
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "InvalidParameterException", message)
}

fn not_found(what: &str) -> ApiError {
    let message = format!("The specified {what} does not exist.");
    ApiError::new(StatusCode::BAD_REQUEST, "ResourceNotFoundException", message)
}

fn shape<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    serde_json::from_value(value).map_err(|e| ApiError::serialization(&e.to_string()))
}

fn unreadable(e: &io::Error) -> ApiError {
    note!("logs: {e}");
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "ServiceUnavailableException",
        format!("reading the log stream: {e}"),
    )
}

impl Api {
    /// Logs over the streams of a home.
    pub fn new(home: PathBuf, reader: Reader) -> Self {
        Self { home, reader }
    }

    /// Answers one operation; its name is in the target.
    ///
    /// # Errors
    /// As AWS would say it.
    pub async fn call(&self, target: &str, body: &[u8]) -> Result<Value, ApiError> {
        match target.strip_prefix("Logs_20140328.").unwrap_or("") {
            "GetLogEvents" => self.get_log_events(json_object(body)?).await,
            "DescribeLogStreams" => self.describe_log_streams(json_object(body)?).await,
            "DescribeLogGroups" => self.describe_log_groups(json_object(body)?).await,
            _ => Err(ApiError::unknown_operation(StatusCode::BAD_REQUEST)),
        }
    }

    async fn get_log_events(&self, body: Value) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            log_group_name: Option<String>,
            log_group_identifier: Option<String>,
            log_stream_name: Option<String>,
            start_time: Option<i64>,
            end_time: Option<i64>,
            next_token: Option<String>,
            limit: Option<i64>,
            start_from_head: Option<bool>,
        }
        let request: Request = shape(body)?;
        let group = group_name(request.log_group_name, request.log_group_identifier)?;
        let stream = request.log_stream_name.ok_or_else(|| invalid("logStreamName is required"))?;
        let limit = limit(request.limit, MOST_EVENTS)?;
        let times = Times { from: request.start_time, to: request.end_time };
        let token = request.next_token.as_deref().map(Token::parse).transpose()?;
        let path = self.home.join(file_of(&group, &stream));
        self.reader
            .read(move |db| {
                let file = match File::open(&path) {
                    Ok(file) => Some(file),
                    // A stream without an event has no file.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                    Err(e) => return Err(unreadable(&e)),
                };
                if file.is_none() && !db.has_stream(&group, &stream)? {
                    let what = if db.has_group(&group)? { "log stream" } else { "log group" };
                    return Err(not_found(what));
                }
                let page = match file {
                    None => Page { events: Vec::new(), start: 0, end: 0 },
                    Some(file) => page(file, token, request.start_from_head.unwrap_or(false), limit, times)?,
                };
                let events: Vec<Value> = page
                    .events
                    .iter()
                    .map(|e| json!({"timestamp": e.time, "message": e.message, "ingestionTime": e.time}))
                    .collect();
                Ok(json!({
                    "events": events,
                    "nextForwardToken": Token::Forward(page.end).text(),
                    "nextBackwardToken": Token::Backward(page.start).text(),
                }))
            })
            .await
    }

    async fn describe_log_streams(&self, body: Value) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            log_group_name: Option<String>,
            log_group_identifier: Option<String>,
            log_stream_name_prefix: Option<String>,
            next_token: Option<String>,
            limit: Option<i64>,
        }
        let request: Request = shape(body)?;
        let group = group_name(request.log_group_name, request.log_group_identifier)?;
        // API, DescribeLogStreams.limit: "up to 50 items".
        let limit = limit(request.limit, 50)?;
        let home = self.home.clone();
        self.reader
            .read(move |db| {
                if !db.has_group(&group)? {
                    return Err(not_found("log group"));
                }
                let prefix = request.log_stream_name_prefix.unwrap_or_default();
                let after = request.next_token.unwrap_or_default();
                let mut rows = db.log_streams(&group, &prefix, &after, limit + 1)?;
                let more = rows.len() > limit;
                rows.truncate(limit);
                let next = rows.last().filter(|_| more).map(|(name, _)| name.clone());
                let streams: Result<Vec<Value>, ApiError> = rows
                    .into_iter()
                    .map(|(name, created)| {
                        let mut stream = json!({
                            "logStreamName": name,
                            "creationTime": created,
                            "arn": format!("{}:log-stream:{name}", group_arn(&group)),
                            "storedBytes": 0,
                        });
                        if let Ok(file) = File::open(home.join(file_of(&group, &name))) {
                            let mut file = Stream::new(file).map_err(|e| unreadable(&e))?;
                            let end = file.end();
                            let first = file.forward(0, 1, Times::default()).map_err(|e| unreadable(&e))?;
                            let last = file.backward(end, 1, Times::default()).map_err(|e| unreadable(&e))?;
                            if let (Some(first), Some(last)) = (first.events.first(), last.events.first()) {
                                stream["firstEventTimestamp"] = json!(first.time);
                                stream["lastEventTimestamp"] = json!(last.time);
                                stream["lastIngestionTime"] = json!(last.time);
                            }
                        }
                        Ok(stream)
                    })
                    .collect();
                let mut answer = json!({"logStreams": streams?});
                if let Some(next) = next {
                    answer["nextToken"] = json!(next);
                }
                Ok(answer)
            })
            .await
    }

    async fn describe_log_groups(&self, body: Value) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            log_group_name_prefix: Option<String>,
            next_token: Option<String>,
            limit: Option<i64>,
        }
        let request: Request = shape(body)?;
        let limit = limit(request.limit, 50)?;
        self.reader
            .read(move |db| {
                let prefix = request.log_group_name_prefix.unwrap_or_default();
                let mut rows = db.log_groups(&prefix, &request.next_token.unwrap_or_default(), limit + 1)?;
                let more = rows.len() > limit;
                rows.truncate(limit);
                let next = rows.last().filter(|_| more).map(|(name, _)| name.clone());
                let groups: Vec<Value> = rows
                    .into_iter()
                    .map(|(name, created)| {
                        json!({
                            "logGroupName": name,
                            "creationTime": created,
                            "metricFilterCount": 0,
                            "arn": format!("{}:*", group_arn(&name)),
                            "logGroupArn": group_arn(&name),
                            "storedBytes": 0,
                            "logGroupClass": "STANDARD",
                        })
                    })
                    .collect();
                let mut answer = json!({"logGroups": groups});
                if let Some(next) = next {
                    answer["nextToken"] = json!(next);
                }
                Ok(answer)
            })
            .await
    }
}

fn group_arn(name: &str) -> String {
    format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}")
}

fn group_name(name: Option<String>, identifier: Option<String>) -> Result<String, ApiError> {
    match (name, identifier) {
        (Some(name), None) => Ok(name),
        // A name, or an ARN with or without `:*`.
        (None, Some(id)) => Ok(match id.split_once(":log-group:") {
            Some((_, name)) => name.trim_end_matches(":*").to_owned(),
            None => id,
        }),
        _ => Err(invalid("exactly one of logGroupName and logGroupIdentifier is required")),
    }
}

fn limit(asked: Option<i64>, most: usize) -> Result<usize, ApiError> {
    match asked {
        None => Ok(most),
        Some(n) => usize::try_from(n)
            .ok()
            .filter(|n| (1..=most).contains(n))
            .ok_or_else(|| invalid(format!("limit must be 1 to {most}, not {n}"))),
    }
}

fn page(
    file: File,
    token: Option<Token>,
    from_head: bool,
    limit: usize,
    times: Times,
) -> Result<Page, ApiError> {
    let read = || -> io::Result<Option<Page>> {
        let mut stream = Stream::new(file)?;
        let end = stream.end();
        let page = match token {
            Some(Token::Forward(at) | Token::Backward(at)) if !stream.is_position(at)? => return Ok(None),
            Some(Token::Forward(at)) => {
                let page = stream.forward(at, limit, times)?;
                // At the end the token comes back unchanged, also when startTime is ahead of it.
                if page.events.is_empty() { Page { events: Vec::new(), start: at, end: at } } else { page }
            }
            Some(Token::Backward(at)) => {
                let page = stream.backward(at, limit, times)?;
                if page.events.is_empty() { Page { events: Vec::new(), start: at, end: at } } else { page }
            }
            None if from_head => stream.forward(0, limit, times)?,
            None => stream.backward(end, limit, times)?,
        };
        Ok(Some(page))
    };
    read().map_err(|e| unreadable(&e))?.ok_or_else(|| invalid("The specified nextToken is invalid."))
}

/// Where the next page begins or ends. Its form is AWS's, its meaning is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Forward(u64),
    Backward(u64),
}

impl Token {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let position =
            |digits: &str| digits.parse().map_err(|_| invalid("The specified nextToken is invalid."));
        match text.split_once('/') {
            Some(("f", digits)) => Ok(Self::Forward(position(digits)?)),
            Some(("b", digits)) => Ok(Self::Backward(position(digits)?)),
            _ => Err(invalid("The specified nextToken is invalid.")),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Forward(at) => format!("f/{at:056}"),
            Self::Backward(at) => format!("b/{at:056}"),
        }
    }
}
