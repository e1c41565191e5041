//! The words of Batch as values.

use serde::{Deserialize, Serialize};

use crate::local::capacity::Resources;

/// A job's number in this cluster, in the order of submission: the identity in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey(pub i64);

/// The status of a job (API: JobStatus; User Guide, `job_states`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobStatus {
    /// Acknowledged, not looked at yet.
    Submitted,
    /// Waiting for dependencies; an array parent while its children live.
    Pending,
    /// Waiting for resources.
    Runnable,
    /// Given to a runner.
    Starting,
    /// Its process exists.
    Running,
    /// Ended with exit code 0.
    Succeeded,
    /// Ended otherwise, after the last attempt.
    Failed,
}

impl JobStatus {
    /// All of them, in the order of a job's life.
    pub const ALL: [Self; 7] = [
        Self::Submitted,
        Self::Pending,
        Self::Runnable,
        Self::Starting,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
    ];

    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "SUBMITTED",
            Self::Pending => "PENDING",
            Self::Runnable => "RUNNABLE",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
        }
    }

    /// From AWS's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// Its place in [`JobStatus::ALL`], as the database has it.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whether the job's life is over.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// How many of an array's children are in each status, in the order of [`JobStatus::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Summary(pub [u32; 7]);

impl Summary {
    /// `size` children that wait.
    pub fn all(size: u32, status: JobStatus) -> Self {
        let mut summary = Self::default();
        summary.0[usize::from(status.code())] = size;
        summary
    }

    /// One child goes from one status to another.
    pub fn moved(&mut self, from: JobStatus, to: JobStatus) {
        let (from, to) = (usize::from(from.code()), usize::from(to.code()));
        self.0[from] = self.0[from].saturating_sub(1);
        self.0[to] += 1;
    }

    /// How many are in a status.
    pub fn count(&self, status: JobStatus) -> u32 {
        self.0[usize::from(status.code())]
    }

    /// What has become of the array: `None` while children live, FAILED when any failed.
    pub fn outcome(&self) -> Option<JobStatus> {
        let living: u32 = JobStatus::ALL.iter().filter(|s| !s.is_ended()).map(|s| self.count(*s)).sum();
        match (living, self.count(JobStatus::Failed)) {
            (0, 0) => Some(JobStatus::Succeeded),
            (0, _) => Some(JobStatus::Failed),
            _ => None,
        }
    }
}

/// What a job's life depends on, apart from what it does; an array's children share it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What each attempt needs.
    pub resources: Resources,
    /// When failed attempts are repeated.
    pub retry: Retry,
    /// How long an attempt may take.
    pub timeout_s: Option<u32>,
    /// Why no attempt can ever begin, although the job was accepted: said when its turn comes, as on AWS.
    pub doomed: Option<String>,
}

/// When failed attempts are repeated (API: RetryStrategy).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How many attempts there are at most, 1 to 10.
    pub attempts: u32,
    /// What decides, in order; none means that every failure is repeated.
    pub rules: Vec<ExitRule>,
}

/// API: EvaluateOnExit. All the patterns that are there have to match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRule {
    /// Against `statusReason`.
    pub on_status_reason: Option<String>,
    /// Against `container.reason`.
    pub on_reason: Option<String>,
    /// Against the exit code in decimal.
    pub on_exit_code: Option<String>,
    /// RETRY, else EXIT.
    pub retry: bool,
}

impl Retry {
    /// Whether a failed attempt that has been the `attempt`-th is followed by another.
    pub fn again(&self, attempt: u32, exit_code: Option<i32>, reason: &str, status_reason: &str) -> bool {
        if attempt >= self.attempts {
            return false;
        }
        let exit_code = exit_code.map(|code| code.to_string());
        let rule = self.rules.iter().find(|rule| {
            let code = rule.on_exit_code.as_ref();
            code.is_none_or(|p| exit_code.as_ref().is_some_and(|code| glob(p, code)))
                && rule.on_reason.as_ref().is_none_or(|p| glob(p, reason))
                && rule.on_status_reason.as_ref().is_none_or(|p| glob(p, status_reason))
        });
        // User Guide, job_retries: "if none of the listed conditions match, then the job is retried".
        rule.is_none_or(|rule| rule.retry)
    }
}

/// API, EvaluateOnExit: "It can optionally end with an asterisk (*) so that only the start of the
/// string needs to be an exact match"; and matching is not case-sensitive.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(code: Option<&str>, status: Option<&str>, retry: bool) -> ExitRule {
        ExitRule {
            on_status_reason: status.map(str::to_owned),
            on_reason: None,
            on_exit_code: code.map(str::to_owned),
            retry,
        }
    }

    #[test]
    fn without_rules_every_failure_is_repeated_while_attempts_are_left() {
        let retry = Retry { attempts: 3, rules: Vec::new() };
        assert!(retry.again(1, Some(1), "", ""));
        assert!(retry.again(2, None, "", ""));
        assert!(!retry.again(3, Some(1), "", ""));
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_no_match_repeats() {
        let rules = vec![rule(None, Some("Host EC2*"), true), rule(Some("1*"), None, false)];
        let retry = Retry { attempts: 5, rules };
        assert!(retry.again(1, None, "", "Host EC2 (instance i-0) terminated."));
        assert!(!retry.again(1, Some(137), "", "Essential container in task exited"));
        assert!(retry.again(1, Some(2), "", "Essential container in task exited"));
        let retry =
            Retry { attempts: 5, rules: vec![rule(None, Some("host*"), true), rule(None, Some("*"), false)] };
        assert!(!retry.again(1, Some(2), "", "Essential container in task exited"));
    }

    #[test]
    fn an_array_has_an_outcome_when_all_children_have() {
        let mut summary = Summary::all(2, JobStatus::Runnable);
        assert_eq!(summary.outcome(), None);
        summary.moved(JobStatus::Runnable, JobStatus::Failed);
        assert_eq!(summary.outcome(), None);
        summary.moved(JobStatus::Runnable, JobStatus::Succeeded);
        assert_eq!(summary.outcome(), Some(JobStatus::Failed));
        assert_eq!(Summary([0, 0, 0, 0, 0, 2, 0]).outcome(), Some(JobStatus::Succeeded));
    }
}
