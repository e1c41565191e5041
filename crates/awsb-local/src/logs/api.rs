//! The operations of CloudWatch Logs: JSON in, JSON out.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::{constraint, invalid, not_found, unavailable, unreadable};
use super::events::Events;
use super::names::{GroupName, StreamName};
use super::pattern::Pattern;
use super::{filter, get, put, table};
use crate::access::operation::Logs;
use crate::access::{Operation, Principal};
use crate::batch::log_streams::{self, Change, Group};
use crate::batch::{Handle, JobScope, Needs, Reader, Snapshot};
use crate::database;
use crate::http::body::json_shape;
use crate::http::protocol::{ApiError, ErrorKind};
use crate::time::now_ms;

/// API: DescribeLimit, "up to 50 items".
const MOST_DESCRIBED: usize = 50;
/// API, FilterLogEvents.logStreamNames: up to 100.
const MOST_STREAMS: usize = 100;
/// API: Days.
const RETENTIONS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];
/// How often what has expired is removed; it is not shown meanwhile.
const EXPIRE_EVERY: Duration = Duration::from_secs(60 * 60);

/// CloudWatch Logs, as far as it is here.
#[derive(Debug, Clone)]
pub struct Api {
    engine: Handle,
    reader: Reader,
    events: Arc<Events>,
}

fn required<T>(field: &str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| {
        let message = format!(
            "1 validation error detected: Value null at '{field}' failed to satisfy constraint: Member must not be null"
        );
        invalid(message)
    })
}

fn group(name: Option<&str>) -> Result<GroupName, ApiError> {
    GroupName::parse(required("logGroupName", name)?)
}

fn stream(name: Option<&str>) -> Result<StreamName, ApiError> {
    StreamName::parse(required("logStreamName", name)?)
}

fn limit(asked: Option<i64>, most: usize) -> Result<usize, ApiError> {
    let Some(n) = asked else { return Ok(most) };
    let rule = match usize::try_from(n) {
        Ok(limit) if (1..=most).contains(&limit) => return Ok(limit),
        Ok(limit) if limit > most => format!("have value less than or equal to {most}"),
        _ => "have value greater than or equal to 1".to_owned(),
    };
    Err(constraint("limit", &n.to_string(), &rule))
}

fn time(field: &str, time: Option<i64>) -> Result<Option<i64>, ApiError> {
    match time {
        Some(ms) if ms < 0 => {
            Err(constraint(field, &ms.to_string(), "have value greater than or equal to 0"))
        }
        other => Ok(other),
    }
}

fn bad_token() -> ApiError {
    invalid("The specified nextToken is invalid.")
}

/// The group of a request, by its name or by its identifier.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupOfRequest {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
}

impl GroupOfRequest {
    fn name(&self) -> Result<GroupName, ApiError> {
        GroupName::of_request(self.log_group_name.as_deref(), self.log_group_identifier.as_deref())
    }
}

/// Cuts a page to its limit. Returns whether there are more entries.
fn truncate<T>(rows: &mut Vec<T>, limit: usize) -> bool {
    let more = rows.len() > limit;
    rows.truncate(limit);
    more
}

/// A group that exists.
fn existing_group(db: &Snapshot, name: &GroupName) -> Result<Group, ApiError> {
    log_streams::group(db.connection(), name)?.ok_or_else(|| not_found("log group"))
}

/// A group with a stream that exists.
fn existing_stream(db: &Snapshot, group: &GroupName, stream: &StreamName) -> Result<Group, ApiError> {
    let known = existing_group(db, group)?;
    if log_streams::has_stream(db.connection(), group, stream)? {
        return Ok(known);
    }
    Err(not_found("log stream"))
}

/// Checks that a scope may read the output of a stream.
fn check_stream(
    db: &Snapshot,
    scope: &JobScope,
    operation: Logs,
    group: &GroupName,
    stream: &StreamName,
) -> Result<(), ApiError> {
    if scope.lineage().is_none() {
        return Ok(());
    }
    let job = log_streams::job_of_stream(db.connection(), group, stream)?;
    scope.check(db, job, Operation::Logs(operation))
}

/// Runs what waits for a disk where that is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ApiError::server(e.to_string()))?
}

impl Api {
    /// Logs over the events of a home.
    pub fn new(engine: Handle, reader: Reader, events: Arc<Events>) -> Self {
        Self { engine, reader, events }
    }

    /// Answers one operation.
    ///
    /// # Errors
    /// As AWS would say it.
    pub async fn call(&self, operation: Logs, who: Principal, body: &[u8]) -> Result<Value, ApiError> {
        let outcome = match operation {
            Logs::CreateLogGroup => self.create_log_group(body).await,
            Logs::CreateLogStream => self.create_log_stream(body).await,
            Logs::PutRetentionPolicy => self.put_retention_policy(body).await,
            Logs::DeleteRetentionPolicy => self.delete_retention_policy(body).await,
            Logs::DeleteLogStream => self.delete_log_stream(body).await,
            Logs::DeleteLogGroup => self.delete_log_group(body).await,
            Logs::DescribeLogGroups => self.describe_log_groups(body).await,
            Logs::DescribeLogStreams => self.describe_log_streams(who, body).await,
            Logs::PutLogEvents => self.put_log_events(body).await,
            Logs::GetLogEvents => self.get_log_events(who, body).await,
            Logs::FilterLogEvents => self.filter_log_events(who, body).await,
        };
        // This service's name for Batch's ServerException is ServiceUnavailableException.
        outcome.map_err(|e| match e.kind {
            ErrorKind::Server => unavailable(&e.message),
            // This service has no word for it, and what is refused with this one is not tried
            // again.
            ErrorKind::NoSpace => ApiError { code: "InsufficientStorageException", ..e },
            ErrorKind::Damaged | ErrorKind::Client => e,
        })
    }

    /// Refuses what would add to a disk that has little space.
    fn require_space(&self) -> Result<(), ApiError> {
        self.engine.shortage().map_or(Ok(()), |shortage| Err(ApiError::no_space(&shortage)))
    }

    /// Removes what has expired, now and then, as long as the server runs.
    pub async fn expire_periodically(self) {
        loop {
            let (events, reader) = (Arc::clone(&self.events), self.reader.clone());
            if let Err(e) = blocking(move || events.expire(&reader, now_ms())).await {
                tracing::warn!("removing expired log events: {}", e.message);
            }
            tokio::time::sleep(EXPIRE_EVERY).await;
        }
    }

    /// Has the one writer of the database make a change; returns the streams that it has removed.
    async fn change(&self, change: Change) -> Result<Vec<StreamName>, ApiError> {
        let needs = match change {
            Change::DeleteStream(..) | Change::DeleteGroup(..) => Needs::NoSpace,
            _ => Needs::Space,
        };
        let changed = self.engine.change_with(needs, move |store| {
            let removed = store.change_logs(&change, now_ms())??;
            Ok(removed.iter().map(StreamName::as_str).collect())
        });
        let names: Vec<String> =
            serde_json::from_value(changed.await?).map_err(|e| ApiError::server(e.to_string()))?;
        Ok(names.into_iter().map(StreamName::from_valid).collect())
    }

    async fn create_log_group(&self, body: &[u8]) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            log_group_name: Option<String>,
            kms_key_id: Option<String>,
            log_group_class: Option<String>,
            deletion_protection_enabled: Option<bool>,
        }
        let request: Request = json_shape(body)?;
        let group = group(request.log_group_name.as_deref())?;
        // API, CreateLogGroup: "Log group names can't start with the string aws/".
        if group.as_str().starts_with("aws/") {
            return Err(invalid("Log groups starting with aws/ are reserved for AWS."));
        }
        if request.kms_key_id.is_some() || request.deletion_protection_enabled == Some(true) {
            return Err(invalid("The local cluster has neither KMS keys nor deletion protection."));
        }
        let class = request.log_group_class.as_deref().unwrap_or("STANDARD");
        let classes = ["STANDARD", "INFREQUENT_ACCESS", "DELIVERY", "ESSENTIALS"];
        if !classes.contains(&class) {
            let rule = format!("satisfy enum value set: [{}]", classes.join(", "));
            return Err(constraint("logGroupClass", class, &rule));
        }
        self.change(Change::CreateGroup(group, class.to_owned())).await?;
        Ok(json!({}))
    }

    async fn create_log_stream(&self, body: &[u8]) -> Result<Value, ApiError> {
        let (group, stream) = names(body)?;
        // The leftovers of an earlier stream are removed, with a transaction, before there is a new
        // one.
        self.require_space()?;
        let (events, reader) = (Arc::clone(&self.events), self.reader.clone());
        let (of, new) = (group.clone(), stream.clone());
        blocking(move || events.remove_leftovers(&reader, &of, &new)).await?;
        self.change(Change::CreateStream(group, stream)).await?;
        Ok(json!({}))
    }

    async fn put_retention_policy(&self, body: &[u8]) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            log_group_name: Option<String>,
            retention_in_days: Option<i64>,
        }
        let request: Request = json_shape(body)?;
        let group = group(request.log_group_name.as_deref())?;
        let days = required("retentionInDays", request.retention_in_days)?;
        if !RETENTIONS.contains(&days) {
            let allowed: Vec<String> = RETENTIONS.iter().map(i64::to_string).collect();
            let rule = format!("satisfy enum value set: [{}]", allowed.join(", "));
            return Err(constraint("retentionInDays", &days.to_string(), &rule));
        }
        self.change(Change::Retain(group, Some(days))).await?;
        Ok(json!({}))
    }

    async fn delete_retention_policy(&self, body: &[u8]) -> Result<Value, ApiError> {
        self.change(Change::Retain(group_alone(body)?, None)).await?;
        Ok(json!({}))
    }

    async fn delete_log_stream(&self, body: &[u8]) -> Result<Value, ApiError> {
        let (group, stream) = names(body)?;
        self.delete(Change::DeleteStream(group.clone(), stream), group).await
    }

    async fn delete_log_group(&self, body: &[u8]) -> Result<Value, ApiError> {
        let group = group_alone(body)?;
        self.delete(Change::DeleteGroup(group.clone()), group).await
    }

    async fn delete(&self, change: Change, group: GroupName) -> Result<Value, ApiError> {
        let removed = self.change(change).await?;
        let events = Arc::clone(&self.events);
        blocking(move || events.remove(&group, &removed)).await?;
        Ok(json!({}))
    }

    async fn describe_log_groups(&self, body: &[u8]) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            log_group_name_prefix: Option<String>,
            log_group_name_pattern: Option<String>,
            log_group_identifiers: Option<Vec<String>>,
            log_group_class: Option<String>,
            next_token: Option<String>,
            limit: Option<i64>,
        }
        let request: Request = json_shape(body)?;
        let limit = limit(request.limit, MOST_DESCRIBED)?;
        if request.log_group_name_prefix.is_some() && request.log_group_name_pattern.is_some() {
            return Err(invalid("logGroupNamePrefix and logGroupNamePattern are mutually exclusive."));
        }
        let identified: Option<Vec<GroupName>> = request
            .log_group_identifiers
            .map(|ids| ids.iter().map(|id| GroupName::of_identifier(id)).collect())
            .transpose()?;
        let rows = self
            .reader
            .read(move |db| {
                Ok(log_streams::groups(db.connection(), &request.next_token.unwrap_or_default())?)
            })
            .await?;
        let wanted = |group: &Group| {
            let name = group.name.as_str();
            request.log_group_name_prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix))
                && request.log_group_name_pattern.as_ref().is_none_or(|pattern| name.contains(pattern))
                && request.log_group_class.as_ref().is_none_or(|class| group.class == *class)
                && identified.as_ref().is_none_or(|names| names.contains(&group.name))
        };
        let mut rows: Vec<Group> = rows.into_iter().filter(wanted).collect();
        let more = truncate(&mut rows, limit);
        let next = rows.last().filter(|_| more).map(|group| group.name.as_str().to_owned());
        Ok(with_token(json!({"logGroups": rows.iter().map(group_detail).collect::<Vec<_>>()}), next))
    }

    async fn describe_log_streams(&self, who: Principal, body: &[u8]) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            #[serde(flatten)]
            group: GroupOfRequest,
            log_stream_name_prefix: Option<String>,
            order_by: Option<String>,
            descending: Option<bool>,
            next_token: Option<String>,
            limit: Option<i64>,
        }
        let request: Request = json_shape(body)?;
        let name = request.group.name()?;
        let limit = limit(request.limit, MOST_DESCRIBED)?;
        let by_time = match request.order_by.as_deref() {
            None | Some("LogStreamName") => false,
            Some("LastEventTime") => true,
            Some(other) => {
                let rule = "satisfy enum value set: [LogStreamName, LastEventTime]";
                return Err(constraint("orderBy", other, rule));
            }
        };
        // API, DescribeLogStreams.logStreamNamePrefix.
        if by_time && request.log_stream_name_prefix.is_some() {
            return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
        }
        let prefix = request.log_stream_name_prefix.unwrap_or_default();
        let (descending, token) = (request.descending.unwrap_or(false), request.next_token);
        let events = Arc::clone(&self.events);
        self.reader
            .read(move |db| {
                existing_group(db, &name)?;
                let lineage = JobScope::of(db, &who)?.lineage();
                let listed = |after: Option<&str>, most| {
                    log_streams::streams(db.connection(), &name, lineage, &prefix, after, descending, most)
                };
                let stored = events.table().read(|db| table::stored(db, &name))?;
                let detail =
                    |row: &log_streams::StreamRow| Detail::new(&events, &name, row, stored.get(&row.0));
                let mut rows: Vec<Detail> = if by_time {
                    let all: Result<Vec<Detail>, ApiError> =
                        listed(None, usize::MAX)?.iter().map(detail).collect();
                    by_last_event(all?, token.as_deref(), descending)?
                } else {
                    let rows = listed(token.as_deref(), limit + 1)?;
                    rows.iter().map(detail).collect::<Result<_, _>>()?
                };
                let more = truncate(&mut rows, limit);
                let next = rows.last().filter(|_| more).map(|last| match by_time {
                    true => format!("{}/{}", last.last(), last.name),
                    false => last.name.clone(),
                });
                let streams: Vec<Value> = rows.iter().map(|row| row.answer(&name)).collect();
                Ok(with_token(json!({"logStreams": streams}), next))
            })
            .await
    }

    async fn put_log_events(&self, body: &[u8]) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            log_group_name: Option<String>,
            log_stream_name: Option<String>,
            log_events: Option<Vec<put::InputEvent>>,
        }
        let request: Request = json_shape(body)?;
        let group = group(request.log_group_name.as_deref())?;
        let stream = stream(request.log_stream_name.as_deref())?;
        let input = required("logEvents", request.log_events)?;
        self.require_space()?;
        let (events, reader) = (Arc::clone(&self.events), self.reader.clone());
        let home = self.engine.home().to_owned();
        blocking(move || {
            let now = now_ms();
            // A deletion of the stream waits for the writer, so the stream exists until the events
            // are stored.
            let mut writer = events.table().writer();
            let known = reader.read_now(|db| existing_stream(db, &group, &stream))?;
            let batch = put::check(input, now, known.expired_before(now))?;
            if !batch.events.is_empty() {
                let put = writer.put(&group, &stream, &batch.events, now);
                put.map_err(|e| match database::no_space(&home, &e) {
                    Some(shortage) => ApiError::no_space(&shortage),
                    None => e.into(),
                })?;
            }
            // API: the sequence token is ignored, and still returned.
            let mut answer = json!({"nextSequenceToken": format!("{now:056}")});
            if let Some(rejected) = batch.rejected {
                answer["rejectedLogEventsInfo"] = rejected;
            }
            Ok(answer)
        })
        .await
    }

    async fn get_log_events(&self, who: Principal, body: &[u8]) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            #[serde(flatten)]
            group: GroupOfRequest,
            log_stream_name: Option<String>,
            start_time: Option<i64>,
            end_time: Option<i64>,
            next_token: Option<String>,
            limit: Option<i64>,
            start_from_head: Option<bool>,
        }
        let request: Request = json_shape(body)?;
        let group = request.group.name()?;
        let mut wanted = get::Request {
            stream: (group, stream(request.log_stream_name.as_deref())?),
            token: request.next_token.as_deref().map(get::Token::parse).transpose()?,
            from_head: request.start_from_head.unwrap_or(false),
            limit: limit(request.limit, get::MOST_EVENTS)?,
            from: time("startTime", request.start_time)?,
            to: time("endTime", request.end_time)?,
        };
        let events = Arc::clone(&self.events);
        self.reader
            .read(move |db| {
                let scope = JobScope::of(db, &who)?;
                check_stream(db, &scope, Logs::GetLogEvents, &wanted.stream.0, &wanted.stream.1)?;
                let known = existing_stream(db, &wanted.stream.0, &wanted.stream.1)?;
                wanted.from = wanted.from.max(known.expired_before(now_ms()));
                events.table().read(|db| get::page(&events, db, &wanted))
            })
            .await
    }

    async fn filter_log_events(&self, who: Principal, body: &[u8]) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            #[serde(flatten)]
            group: GroupOfRequest,
            log_stream_names: Option<Vec<String>>,
            log_stream_name_prefix: Option<String>,
            start_time: Option<i64>,
            end_time: Option<i64>,
            filter_pattern: Option<String>,
            next_token: Option<String>,
            limit: Option<i64>,
            start_from_head: Option<bool>,
        }
        let request: Request = json_shape(body)?;
        let group = request.group.name()?;
        if request.log_stream_names.is_some() && request.log_stream_name_prefix.is_some() {
            return Err(invalid("logStreamNames and logStreamNamePrefix are mutually exclusive."));
        }
        let named: Option<Vec<StreamName>> =
            request.log_stream_names.map(|n| stream_names(&n)).transpose()?;
        let prefix = match request.log_stream_name_prefix.as_deref() {
            Some(prefix) => StreamName::parse(prefix)?.as_str().to_owned(),
            None => String::new(),
        };
        let mut wanted = filter::Request {
            group,
            streams: Vec::new(),
            from: time("startTime", request.start_time)?,
            // API, FilterLogEvents.endTime: "Events with a timestamp later than this time are not
            // returned."
            to: time("endTime", request.end_time)?.map(|end| end.saturating_add(1)),
            pattern: Pattern::parse(request.filter_pattern.as_deref().unwrap_or(""))
                .map_err(|e| invalid(e.to_string()))?,
            limit: limit(request.limit, get::MOST_EVENTS)?,
            from_head: request.start_from_head.unwrap_or(true),
            token: request.next_token.as_deref().map(filter::Token::parse).transpose()?,
        };
        let events = Arc::clone(&self.events);
        self.reader
            .read(move |db| {
                let known = existing_group(db, &wanted.group)?;
                let scope = JobScope::of(db, &who)?;
                wanted.from = wanted.from.max(known.expired_before(now_ms()));
                wanted.streams = match named {
                    Some(names) => {
                        names.iter().try_for_each(|name| {
                            check_stream(db, &scope, Logs::FilterLogEvents, &wanted.group, name)?;
                            existing_stream(db, &wanted.group, name).map(|_| ())
                        })?;
                        names.iter().map(|name| name.as_str().to_owned()).collect()
                    }
                    None => {
                        let (of, lineage) = (&wanted.group, scope.lineage());
                        let rows = log_streams::streams(
                            db.connection(),
                            of,
                            lineage,
                            &prefix,
                            None,
                            false,
                            usize::MAX,
                        )?;
                        rows.into_iter().map(|(name, _)| name).collect()
                    }
                };
                events.table().read(|db| filter::page(&events, db, &wanted))
            })
            .await
    }
}

/// A request that names nothing but a group.
fn group_alone(body: &[u8]) -> Result<GroupName, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        log_group_name: Option<String>,
    }
    group(json_shape::<Request>(body)?.log_group_name.as_deref())
}

/// A request that names nothing but a stream.
fn names(body: &[u8]) -> Result<(GroupName, StreamName), ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        log_group_name: Option<String>,
        log_stream_name: Option<String>,
    }
    let request: Request = json_shape(body)?;
    Ok((group(request.log_group_name.as_deref())?, stream(request.log_stream_name.as_deref())?))
}

/// FilterLogEvents' streams, by name and each once.
fn stream_names(names: &[String]) -> Result<Vec<StreamName>, ApiError> {
    if names.is_empty() || names.len() > MOST_STREAMS {
        let rule = format!("have length between 1 and {MOST_STREAMS}");
        return Err(constraint("logStreamNames", &format!("{} names", names.len()), &rule));
    }
    let mut names: Vec<StreamName> = names.iter().map(|n| StreamName::parse(n)).collect::<Result<_, _>>()?;
    names.sort();
    names.dedup();
    Ok(names)
}

/// API: LogGroup.
fn group_detail(group: &Group) -> Value {
    let mut detail = json!({
        "logGroupName": group.name.as_str(),
        "creationTime": group.created_at,
        "metricFilterCount": 0,
        "arn": format!("{}:*", group.name.arn()),
        "logGroupArn": group.name.arn(),
        "storedBytes": 0,
        "logGroupClass": group.class,
    });
    if let Some(days) = group.retention_days {
        detail["retentionInDays"] = json!(days);
    }
    detail
}

/// A stream, with the times of its events.
struct Detail {
    name: String,
    created_at: i64,
    /// The times of the first event, of the last one, and of the last arrival.
    times: Option<(i64, i64, i64)>,
}

impl Detail {
    fn new(
        events: &Events,
        group: &GroupName,
        (name, created_at): &log_streams::StreamRow,
        stored: Option<&table::Stored>,
    ) -> Result<Self, ApiError> {
        let written = events.written(group, name).map_err(|e| unreadable(&e))?;
        let sources = [
            written.map(|(first, last)| (first, last, last)),
            stored.map(|stored| (stored.first, stored.last, stored.ingested_at)),
        ];
        let times = sources.into_iter().flatten().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1), a.2.max(b.2)));
        Ok(Self { name: name.clone(), created_at: *created_at, times })
    }

    /// The key of the order LastEventTime. Streams without an event come first; unverified.
    fn last(&self) -> i64 {
        self.times.map_or(0, |(_, last, _)| last)
    }

    /// API: LogStream.
    fn answer(&self, group: &GroupName) -> Value {
        // API: storedBytes "is always reported as zero" for streams.
        let mut stream = json!({
            "logStreamName": self.name,
            "creationTime": self.created_at,
            "arn": group.stream_arn(&self.name),
            "storedBytes": 0,
        });
        if let Some((first, last, ingested)) = self.times {
            stream["firstEventTimestamp"] = json!(first);
            stream["lastEventTimestamp"] = json!(last);
            stream["lastIngestionTime"] = json!(ingested);
        }
        stream
    }
}

/// Streams in the order of their last events, after the one that the token names.
fn by_last_event(
    mut streams: Vec<Detail>,
    token: Option<&str>,
    descending: bool,
) -> Result<Vec<Detail>, ApiError> {
    let after = match token {
        None => None,
        Some(token) => {
            let (time, name) = token.split_once('/').ok_or_else(bad_token)?;
            Some((time.parse::<i64>().map_err(|_| bad_token())?, name))
        }
    };
    let key = |stream: &Detail| (stream.last(), stream.name.clone());
    streams.sort_by_cached_key(key);
    if descending {
        streams.reverse();
    }
    if let Some(after) = after {
        streams.retain(|stream| {
            let key = (stream.last(), stream.name.as_str());
            if descending { key < after } else { key > after }
        });
    }
    Ok(streams)
}

fn with_token(mut answer: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    answer
}
