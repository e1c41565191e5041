//! Following jobs: their lines as they come, until the last one after the job has ended.
//!
//! A job with a few log streams is followed by `one`, a larger one, or one with a filter, by
//! `many`.

mod many;
mod one;
mod state;

pub use state::{FollowEnd, FollowOptions};

use self::state::JobState;
use super::event::Event;
use crate::aws::ResilientSession;
use crate::batch::Job;
use crate::ui::Failure;
use awsb_model::JobId;

/// Follows a job, or all children of an array, and hands every page of lines to `print` until the
/// job has ended and its last line was read. `on_change` is called when the job's state, or the
/// reason for it, has changed.
///
/// # Errors
/// When the job is not known, contact was lost for good, or `print` fails; when the log group never
/// existed, if it is needed.
pub async fn follow(
    contact: &mut ResilientSession,
    id: &JobId,
    options: &FollowOptions,
    mut on_change: impl FnMut(&Job),
    mut print: impl FnMut(&[Event]) -> Result<(), Failure>,
) -> Result<FollowEnd, Failure> {
    let mut state = JobState::new();
    match one::follow(contact, &mut state, id, options, &mut on_change, &mut print).await? {
        Some(end) => Ok(end),
        None => many::follow(contact, state, options, on_change, print).await,
    }
}
