//! How a job is submitted exactly once, as state machines.
//!
//! [`Submission`] submits one job, [`KeyHolder`] the jobs of a key (`--once`). Both are plain data:
//! `step` takes the time and an [`Event`], and returns the [`Action`]s to execute. Every action
//! except [`Action::WakeAt`] and [`Action::Done`] is a call, and the reply to the call is the next
//! event of its kind. `driver` executes the actions with the SDK. The tests execute them against a
//! model of Batch and S3.
//!
//! The promise rests on one assumption. When the reply to a request is lost, Batch acts on the
//! request, and lists and describes its job, within the settle time. Then a submission makes one
//! job at most. A job that is later than the settle time, but not later than twice the settle time,
//! is still found. Then all jobs of the submission except the oldest are terminated.
//!
//! Words of this module: an *attempt* is one request of SubmitJob. It is *lost* when it is unknown
//! whether Batch has acted on it. A *search* makes *passes*, and each pass lists all jobs that may
//! carry a mark. *Deduplication* is the search after which all jobs of a mark except one are
//! terminated.

mod bugs;
mod key_holder;
mod messages;
mod record;
mod search;
mod submission;
mod types;

#[cfg(test)]
pub(super) mod model;

pub use key_holder::KeyHolder;
pub use messages::{Action, Event, Outcome};
pub use record::{Holder, Record};
pub use submission::{Submission, SubmissionStatus};
pub use types::{
    Described, ETag, FailedCall, Filter, Limits, Listed, Millis, NotSubmitted, Page, Random, SearchError,
    SearchTarget, State, SubmitReply, Submitted,
};
