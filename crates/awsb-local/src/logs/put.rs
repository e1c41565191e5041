//! PutLogEvents: which events a request may store.

use std::ops::Range;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::errors::{constraint, invalid};
use crate::http::protocol::ApiError;

/// API, PutLogEvents: "The maximum number of log events in a batch is 10,000."
const MOST_EVENTS: usize = 10_000;
/// API, PutLogEvents: "The maximum batch size is 1,048,576 bytes."
const MOST_BYTES: usize = 1_048_576;
/// API, PutLogEvents: the sum of the messages, "plus 26 bytes for each log event".
pub const EVENT_BYTES: usize = 26;
const HOUR: i64 = 60 * 60 * 1000;
/// API, PutLogEvents: "more than 2 hours in the future".
const TOO_NEW: i64 = 2 * HOUR;
/// API, PutLogEvents: "older than 14 days".
const TOO_OLD: i64 = 14 * 24 * HOUR;
/// API, PutLogEvents: "the time span in a single batch cannot exceed 24 hours".
const LONGEST_SPAN: i64 = 24 * HOUR;

/// API: InputLogEvent.
#[derive(Debug, Clone, Deserialize)]
pub struct InputEvent {
    timestamp: i64,
    message: String,
}

/// A batch of events that can be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Times, in milliseconds since the epoch, and messages.
    pub events: Vec<(i64, String)>,
    /// API: RejectedLogEventsInfo, when some were rejected.
    pub rejected: Option<Value>,
}

/// Checks a batch; events before `expired`, which the group would not keep, are rejected.
///
/// # Errors
/// `InvalidParameterException`, when the batch is refused as a whole.
pub fn check(events: Vec<InputEvent>, now: i64, expired: Option<i64>) -> Result<Batch, ApiError> {
    if events.is_empty() || events.len() > MOST_EVENTS {
        let rule = if events.is_empty() {
            "have length greater than or equal to 1".to_owned()
        } else {
            format!("have length less than or equal to {MOST_EVENTS}")
        };
        return Err(constraint("logEvents", &format!("{} events", events.len()), &rule));
    }
    for (n, event) in events.iter().enumerate() {
        let field = |name: &str| format!("logEvents.{}.member.{name}", n + 1);
        if event.message.is_empty() {
            return Err(constraint(&field("message"), "", "have length greater than or equal to 1"));
        }
        if event.timestamp < 0 {
            let value = event.timestamp.to_string();
            return Err(constraint(&field("timestamp"), &value, "have value greater than or equal to 0"));
        }
    }
    let bytes: usize = events.iter().map(|event| event.message.len() + EVENT_BYTES).sum();
    if bytes > MOST_BYTES {
        return Err(invalid(format!("Upload too large: {bytes} bytes exceeds limit of {MOST_BYTES}")));
    }
    if !events.is_sorted_by_key(|event| event.timestamp) {
        return Err(invalid("Log events in a single PutLogEvents request must be in chronological order."));
    }
    let (valid, rejected) = accepted(&events, now, expired);
    if let (Some(first), Some(last)) = (events.get(valid.start), events[..valid.end].last())
        && last.timestamp.saturating_sub(first.timestamp) > LONGEST_SPAN
    {
        return Err(invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    let events = events.into_iter().take(valid.end).skip(valid.start);
    Ok(Batch { events: events.map(|event| (event.timestamp, event.message)).collect(), rejected })
}

/// The events, in the order of time, that are neither too old nor too new, and the rejection of the
/// others.
fn accepted(events: &[InputEvent], now: i64, expired: Option<i64>) -> (Range<usize>, Option<Value>) {
    let before = |time: i64| events.partition_point(|event| event.timestamp < time);
    let too_old = before(now - TOO_OLD);
    let too_new = events.partition_point(|event| event.timestamp <= now + TOO_NEW);
    let expired = expired.map_or(0, before);
    let mut rejected = Map::new();
    if too_new < events.len() {
        rejected.insert("tooNewLogEventStartIndex".into(), json!(too_new));
    }
    if too_old > 0 {
        rejected.insert("tooOldLogEventEndIndex".into(), json!(too_old));
    }
    if expired > too_old {
        rejected.insert("expiredLogEventEndIndex".into(), json!(expired));
    }
    let start = too_old.max(expired).min(too_new);
    (start..too_new, (!rejected.is_empty()).then_some(Value::Object(rejected)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn events(times: &[i64]) -> Vec<InputEvent> {
        times.iter().map(|time| InputEvent { timestamp: *time, message: "m".into() }).collect()
    }

    fn accepted(times: &[i64], expired: Option<i64>) -> (usize, Value) {
        let batch = check(events(times), NOW, expired).unwrap();
        (batch.events.len(), batch.rejected.unwrap_or_default())
    }

    fn refused(events: Vec<InputEvent>) -> String {
        check(events, NOW, None).unwrap_err().message
    }

    #[test]
    fn too_old_too_new_and_expired_events_are_rejected_and_the_others_kept() {
        let day = 24 * HOUR;
        assert_eq!(accepted(&[NOW - 1, NOW, NOW], None), (3, Value::Null));
        assert_eq!(accepted(&[NOW - TOO_OLD, NOW - TOO_OLD + 1], None), (2, Value::Null));
        let times = [NOW - TOO_OLD - 1, NOW - 1, NOW, NOW + TOO_NEW, NOW + TOO_NEW + 1];
        let indices = json!({"tooNewLogEventStartIndex": 4, "tooOldLogEventEndIndex": 1});
        assert_eq!(accepted(&times, None), (3, indices));
        let times = [NOW - 2 * day, NOW - day, NOW - 1];
        assert_eq!(accepted(&times, Some(NOW - day)), (2, json!({"expiredLogEventEndIndex": 1})));
        assert_eq!(accepted(&[0], None), (0, json!({"tooOldLogEventEndIndex": 1})));
        assert_eq!(accepted(&[NOW + 5 * HOUR], None), (0, json!({"tooNewLogEventStartIndex": 0})));
    }

    #[test]
    fn a_batch_has_limits() {
        assert!(refused(vec![]).contains("greater than or equal to 1"));
        assert!(refused(events(&[NOW; 10_001])).contains("10000"));
        assert!(check(events(&[NOW; 10_000]), NOW, None).is_ok());
        assert!(refused(events(&[NOW, NOW - 1])).contains("chronological"));
        assert!(refused(events(&[NOW - LONGEST_SPAN - 1, NOW])).contains("24 hours"));
        assert!(check(events(&[NOW - LONGEST_SPAN, NOW]), NOW, None).is_ok());
        let large = |bytes: usize| vec![InputEvent { timestamp: NOW, message: "x".repeat(bytes) }];
        assert!(check(large(MOST_BYTES - EVENT_BYTES), NOW, None).is_ok());
        assert!(refused(large(MOST_BYTES - EVENT_BYTES + 1)).contains("1048577 bytes"));
        assert!(refused(large(0)).contains("logEvents.1.member.message"));
        assert!(refused(events(&[-1])).contains("logEvents.1.member.timestamp"));
    }
}
