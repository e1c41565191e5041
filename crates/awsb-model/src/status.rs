//! The states of a job.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::Invalid;

/// The state of a job, in the order in which a job goes through them (UG `job_states`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Acknowledged, not yet looked at.
    Submitted,
    /// Waits for other jobs; an array's parent while its children run.
    Pending,
    /// Ready, waits for room.
    Runnable,
    /// Has its place; the container is being made.
    Starting,
    /// Runs.
    Running,
    /// Ended with exit code 0.
    Succeeded,
    /// All its attempts failed, or it was ended.
    Failed,
}

impl Status {
    /// Every state.
    pub const ALL: [Status; 7] = [
        Status::Submitted,
        Status::Pending,
        Status::Runnable,
        Status::Starting,
        Status::Running,
        Status::Succeeded,
        Status::Failed,
    ];

    /// The states of a job that has not ended.
    pub const ACTIVE: [Status; 5] =
        [Status::Submitted, Status::Pending, Status::Runnable, Status::Starting, Status::Running];

    /// Its place in [`Status::ALL`], as a database keeps it.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whether the job is over.
    pub fn has_ended(self) -> bool {
        matches!(self, Status::Succeeded | Status::Failed)
    }

    /// AWS's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Submitted => "SUBMITTED",
            Status::Pending => "PENDING",
            Status::Runnable => "RUNNABLE",
            Status::Starting => "STARTING",
            Status::Running => "RUNNING",
            Status::Succeeded => "SUCCEEDED",
            Status::Failed => "FAILED",
        }
    }
}

impl FromStr for Status {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Status::ALL.into_iter().find(|s| s.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let names = Status::ALL.map(Status::as_str).join(", ");
            Invalid::because(format!("a status is one of {names}, or ALL"))
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
