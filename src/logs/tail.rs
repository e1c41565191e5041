//! The end of a log stream, in one call.

use aws_sdk_cloudwatchlogs::error::ProvideErrorMetadata;

use super::Place;
use super::read::Answer;
use crate::cluster::{Session, explain};
use crate::ui::Failure;

/// The last lines of a stream, at most `lines` (up to 10,000), the oldest first: when each was printed, in
/// milliseconds since the epoch, and its text. Nothing when there is no such stream (yet).
///
/// # Errors
/// When CloudWatch Logs cannot be asked.
pub async fn tail(
    session: &Session,
    place: &Place,
    lines: usize,
) -> Result<Vec<(Option<i64>, String)>, Failure> {
    let answer = session
        .logs
        .get_log_events()
        .log_group_name(&place.group)
        .log_stream_name(&place.stream)
        .start_from_head(false)
        .limit(i32::try_from(lines).unwrap_or(i32::MAX))
        .send()
        .await;
    match answer {
        Ok(answer) => Ok(Answer::from(answer).lines),
        Err(e) if e.code() == Some("ResourceNotFoundException") => Ok(Vec::new()),
        Err(e) => match e.raw_response().and_then(Answer::leniently) {
            Some(answer) => Ok(answer.lines),
            None => Err(explain(session, &format!("reading the output of the job {}", place.job_id), &e)),
        },
    }
}
