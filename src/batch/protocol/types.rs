//! The values that the files of the protocol share.

use serde::Serialize;

use awsb_model::SubmissionId;

/// A time or a period in milliseconds. A time counts from the epoch. It is this machine's clock
/// when the submission began, plus the time that has passed steadily since then.
pub type Millis = i64;

/// How far this machine's clock may be from Batch's, and from other submitters'. Batch rejects a
/// signature that is more than five minutes off (IAM User Guide, Signature Version 4), so nothing
/// is submitted with a clock that is worse.
pub const CLOCK_SKEW: Millis = 15 * 60 * 1000;

/// How many passes must fail before the search fails, unless one of them took as long as
/// [`RETRY_PERIOD`]. One pass is many calls on a long queue, and takes longer than a short settle
/// time when its calls are repeated.
pub const FAILED_PASSES: u32 = 3;
/// For how long failed calls are repeated where nothing else gives a limit. Most failures of the
/// services themselves are over sooner. A network that is down should be reported soon.
pub const RETRY_PERIOD: Millis = 8_000;
/// How often TerminateJob is attempted.
pub const TERMINATE_ATTEMPTS: u32 = 5;
/// The pause after the first attempt of TerminateJob. Each later pause is longer by as much.
pub const TERMINATE_PAUSE: Millis = 500;
/// The highest number of IDs in a call of DescribeJobs (API `DescribeJobs`).
pub const DESCRIBED_AT_ONCE: usize = 100;

/// A job that Batch has accepted (API `SubmitJobResponse`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Submitted {
    /// Its ARN.
    pub job_arn: Option<String>,
    /// Its name.
    pub job_name: String,
    /// Its ID.
    pub job_id: String,
}

/// The queue and the name by which a job is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchTarget {
    /// The job queue.
    pub queue: String,
    /// The job's name.
    pub name: String,
}

/// The limits of a submission in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For how long SubmitJob is attempted.
    pub submit_timeout: Millis,
    /// The settle time.
    pub settle: Millis,
}

/// A call that failed. The driver keeps the failure itself, under a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedCall {
    /// The number of the failure.
    pub failure: usize,
    /// Whether the same call may work later.
    pub retryable: bool,
}

/// The version of a record (S3: the object's ETag).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(pub String);

/// The filter of a listing: ListJobs takes one (API `ListJobs`, `filters`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// `AFTER_CREATED_AT`.
    CreatedAfter(Millis),
    /// `JOB_NAME`.
    Name(String),
}

/// A job in a page of ListJobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When Batch accepted it.
    pub created_at: Option<Millis>,
}

/// A page of ListJobs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Its jobs.
    pub jobs: Vec<Listed>,
    /// The token of the next page.
    pub next: Option<String>,
}

/// A job as DescribeJobs returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// When Batch accepted it.
    pub created_at: Millis,
    /// The job.
    pub job: Submitted,
    /// The mark in its environment.
    pub mark: Option<SubmissionId>,
    /// Whether it is active, or how it has ended.
    pub state: State,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has not ended.
    Active,
    /// It has SUCCEEDED.
    Succeeded,
    /// It has FAILED.
    Failed,
}

/// The reply to one attempt of SubmitJob. A number is that of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitReply {
    /// Batch has accepted the job.
    Accepted(Submitted),
    /// Batch does not accept this job.
    Rejected(usize),
    /// Batch has not accepted the job this time: it throttled the call, or was not reached.
    Retryable(usize),
    /// The job may exist: no reply came, or a 5xx.
    Lost(usize),
}

/// Why a pass of a search was not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchError {
    /// A call failed.
    Call(FailedCall),
    /// Batch lists this many jobs that it does not describe.
    Undescribed(usize),
}

impl SearchError {
    /// Whether a later pass may be complete.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Call(call) => call.retryable,
            Self::Undescribed(_) => true,
        }
    }
}

/// A submission that ended without a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSubmitted {
    /// The request.
    pub request: usize,
    /// Its mark.
    pub mark: SubmissionId,
    /// The number of the failure.
    pub failure: usize,
    /// For how long the job was searched for, when it was unknown after an attempt whether it
    /// exists. Without a value it is certain that there is no job.
    pub searched_for: Option<Millis>,
    /// Whether the key stays taken.
    pub keeps_key: bool,
}

/// A generator of random numbers (SplitMix64, twice). It makes marks, and spreads the pauses of
/// submitters that were throttled together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random(u64, u64);

impl Random {
    /// A generator. The seed should be a random number itself.
    pub fn new(seed: u128) -> Self {
        Self((seed >> 64) as u64, seed as u64)
    }

    /// The next random number.
    pub fn next(&mut self) -> u128 {
        u128::from(split_mix(&mut self.0)) << 64 | u128::from(split_mix(&mut self.1))
    }

    /// A part of a pause ("full jitter", AWS Architecture Blog, Exponential Backoff And Jitter).
    pub fn part_of(&mut self, pause: Millis) -> Millis {
        let below = u128::try_from(pause).unwrap_or(0) + 1;
        i64::try_from(self.next() % below).unwrap_or(pause)
    }

    /// A new mark.
    pub fn mark(&mut self) -> SubmissionId {
        SubmissionId::recorded(
            uuid::Builder::from_random_bytes(self.next().to_be_bytes()).into_uuid().to_string(),
        )
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
