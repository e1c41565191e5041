//! The states of a job.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::Invalid;

/// The state of a job, in the order in which a job passes through them (UG `job_states`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Batch has accepted the job, but not examined it yet.
    Submitted,
    /// The job waits for other jobs. An array's parent is in this state while its children run.
    Pending,
    /// The job is ready, and waits for capacity.
    Runnable,
    /// The job has been placed, and its container is being created.
    Starting,
    /// The job runs.
    Running,
    /// The job has ended with exit code 0.
    Succeeded,
    /// All attempts of the job have failed, or it was ended.
    Failed,
}

impl Status {
    /// All states.
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

    /// The index in [`Status::ALL`], as a database stores it.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whether the job has ended.
    pub fn has_ended(self) -> bool {
        matches!(self, Status::Succeeded | Status::Failed)
    }

    /// AWS's name of the state.
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
