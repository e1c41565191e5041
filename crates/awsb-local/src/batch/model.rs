//! The words of Batch as values.

use serde::{Deserialize, Serialize};

use crate::capacity::Resources;
use crate::constants::QUEUE;
use awsb_model::Status;

/// A job's number in this cluster, in the order of submission: the identity in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobKey(pub i64);

impl JobKey {
    /// The key of an array's child, or of a multi-node job's node: they follow their parent.
    pub fn child(self, index: u32) -> Self {
        Self(self.0 + 1 + i64::from(index))
    }
}

/// The range of keys of a job and its children or nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The job's own.
    pub first: JobKey,
    /// The last child's or node's; the job's own when it has none.
    pub last: JobKey,
}

impl Span {
    /// Whether a job is one of these.
    pub fn has(self, key: JobKey) -> bool {
        (self.first..=self.last).contains(&key)
    }

    /// SQL for `line(first, last)`: the spans of the lineage. To be put before a SELECT.
    pub fn with_lineage(self) -> String {
        format!(
            "WITH RECURSIVE line(first, last) AS (
                 SELECT {}, {}
                 UNION
                 SELECT k.key, k.key + coalesce(k.size, k.nodes, 0)
                 FROM line JOIN jobs k ON k.submitter BETWEEN line.first AND line.last
             )",
            self.first.0, self.last.0
        )
    }
}

/// A queue at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueSnapshot {
    /// The first jobs that wait, in the order in which they would start now.
    pub front: Vec<JobKey>,
    /// The vCPUs in use by share identifier, the largest first. Jobs without one have an empty
    /// identifier.
    pub usage: Vec<(String, u32)>,
}

/// The owners of the job definitions that a request may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registrants {
    /// The owner.
    Owner,
    /// The owner, and these jobs in containers.
    OwnerAnd(Vec<JobKey>),
}

impl Registrants {
    /// SQL: the condition on a row of `definitions`.
    pub fn condition(&self) -> String {
        match self {
            Self::Owner => "registrant IS NULL".to_owned(),
            Self::OwnerAnd(jobs) => {
                let keys: Vec<String> = jobs.iter().map(|key| key.0.to_string()).collect();
                format!("(registrant IS NULL OR registrant IN ({}))", keys.join(", "))
            }
        }
    }
}

/// How many of an array's children are in each status, in the order of [`Status::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Summary(pub [u32; 7]);

impl Summary {
    /// `size` children that wait.
    pub fn all(size: u32, status: Status) -> Self {
        let mut summary = Self::default();
        summary.0[usize::from(status.code())] = size;
        summary
    }

    /// One child goes from one status to another.
    pub fn moved(&mut self, from: Status, to: Status) {
        let (from, to) = (usize::from(from.code()), usize::from(to.code()));
        self.0[from] = self.0[from].saturating_sub(1);
        self.0[to] += 1;
    }

    /// How many children there are.
    pub fn size(&self) -> u32 {
        self.0.iter().sum()
    }

    /// How many are in a status.
    pub fn count(&self, status: Status) -> u32 {
        self.0[usize::from(status.code())]
    }

    /// The outcome of the array: `None` while children have not ended, FAILED when any child
    /// failed.
    pub fn outcome(&self) -> Option<Status> {
        let living: u32 = Status::ALL.iter().filter(|s| !s.has_ended()).map(|s| self.count(*s)).sum();
        match (living, self.count(Status::Failed)) {
            (0, 0) => Some(Status::Succeeded),
            (0, _) => Some(Status::Failed),
            _ => None,
        }
    }
}

/// The terms under which a job runs, apart from its specification. The children of an array, or the
/// nodes of a multi-node job, share them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The resources of each attempt; for a multi-node job, of all its nodes together.
    pub resources: Resources,
    /// The nodes, for a multi-node job.
    #[serde(default)]
    pub nodes: Option<Nodes>,
    /// Where it waits for resources.
    #[serde(default)]
    pub line: Line,
    /// The jobs that have to succeed before it may run.
    #[serde(default)]
    pub depends_on: Vec<Dependency>,
    /// When failed attempts are repeated.
    pub retry: Retry,
    /// How long an attempt may take.
    pub timeout_s: Option<u32>,
    /// The consumable resources of each instance: of the job, of each child, or of each node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumes: Vec<Consumption>,
    /// Why no attempt can ever begin, although the job was accepted. The job fails with it when its
    /// turn comes, as on AWS.
    pub doomed: Option<String>,
}

impl Terms {
    /// Terms in place of ones that cannot be read.
    pub fn unreadable() -> Self {
        Self {
            resources: Resources::default(),
            nodes: None,
            line: Line::default(),
            depends_on: Vec::new(),
            retry: Retry { attempts: 1, rules: Vec::new() },
            timeout_s: None,
            consumes: Vec::new(),
            doomed: None,
        }
    }
}

/// API: ConsumableResourceRequirement, with the resource by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumption {
    /// The resource's name.
    pub name: String,
    /// How much of it an instance of the job takes; at least 1.
    pub quantity: u64,
}

/// The nodes of a multi-node job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// The index of the main node, whose end is the job's.
    pub main: u32,
    /// The resources of each node.
    pub each: Vec<Resources>,
}

impl Nodes {
    /// How many there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.each.len()).unwrap_or(u32::MAX)
    }
}

/// Where a job waits for resources.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Line {
    /// The job queue.
    pub queue: String,
    /// The share, in a queue with a fair-share policy.
    pub share: Option<String>,
    /// API: schedulingPriority; it orders the jobs of one share, higher ones first.
    pub priority: i32,
}

impl Default for Line {
    fn default() -> Self {
        Self { queue: QUEUE.to_owned(), share: None, priority: 0 }
    }
}

/// API: JobDependency, with the job found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dependency {
    /// All of a job, be it an array.
    Whole(JobKey),
    /// N_TO_N: each child on the child with the same index of another array.
    Each(JobKey),
    /// SEQUENTIAL: each child on the one before it.
    Sequential,
}

/// When failed attempts are repeated (API: RetryStrategy).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How many attempts there are at most, 1 to 10.
    pub attempts: u32,
    /// The rules, in order. Without rules every failure is repeated.
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
        // User Guide, job_retries: "if none of the listed conditions match, then the job is
        // retried".
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
        let mut summary = Summary::all(2, Status::Runnable);
        assert_eq!(summary.outcome(), None);
        summary.moved(Status::Runnable, Status::Failed);
        assert_eq!(summary.outcome(), None);
        summary.moved(Status::Runnable, Status::Succeeded);
        assert_eq!(summary.outcome(), Some(Status::Failed));
        assert_eq!(Summary([0, 0, 0, 0, 0, 2, 0]).outcome(), Some(Status::Succeeded));
    }
}
