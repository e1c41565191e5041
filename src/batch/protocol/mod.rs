//! How a job is submitted exactly once, as state machines.
//!
//! [`Submission`] submits one job, [`KeyHolder`] the jobs of a key (`--once`). Both are plain data:
//! `step` takes the time and an [`Event`], and returns the [`Action`]s to execute. Each action but
//! [`Action::WakeAt`] and [`Action::Done`] is a call, whose reply is the next event of its kind.
//! `driver` executes the actions with the SDK; the tests execute them against a model of Batch and
//! S3.
//!
//! The promise rests on one assumption: Batch acts on a request, and lists and describes its job,
//! within the settle time after the answer was lost. Then a submission makes one job at most. A job
//! that is later than that, but not later than twice the settle time, is found, and all but the
//! oldest job of the submission are terminated.

mod key;
mod record;
mod search;
mod submission;

#[cfg(test)]
mod bugs;
#[cfg(test)]
pub(super) mod model;

pub use key::KeyHolder;
pub use record::{Holder, Record};
pub use search::Filter;
pub use submission::{Standing, Submission};

use serde::Serialize;

use awsb_model::SubmissionId;

/// A time or a period in milliseconds. A time is since the epoch, by this machine's clock when the
/// submission began, and goes on steadily from there.
pub type Millis = i64;

/// How far this machine's clock may be from Batch's, and from other submitters'. Batch refuses a
/// signature that is more than five minutes off (IAM User Guide, Signature Version 4), so nothing
/// is submitted with a clock that is worse.
pub const CLOCK_SKEW: Millis = 15 * 60 * 1000;

/// How many looks must fail before it counts that Batch cannot be asked, unless one of them took as
/// long as [`CONTACT`]. One look is many calls on a long queue, and takes longer than a short
/// settle time when its calls are repeated.
const FAILED_LOOKS: u32 = 3;
/// For how long calls that fail are made again where nothing else says how long. The services' own
/// troubles pass sooner; a network that is down is said soon.
const CONTACT: Millis = 8_000;
/// How often TerminateJob is tried, and the pause after the first try.
const TERMINATE_TRIES: u32 = 5;
const TERMINATE_PAUSE: Millis = 500;

/// A job that Batch has taken (API `SubmitJobResponse`).
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

/// Where a job is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The job queue.
    pub queue: String,
    /// The job's name.
    pub name: String,
}

/// How long a submission goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For how long the job is tried.
    pub submit_timeout: Millis,
    /// The settle time.
    pub settle: Millis,
}

/// A call that failed. The driver has the words, under this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// The number.
    pub failure: usize,
    /// Whether the same call may work later.
    pub passing: bool,
}

/// Which version of a record is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(pub String);

/// A job in a page of ListJobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When Batch took it.
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

/// A job as DescribeJobs has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// When Batch took it.
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

/// How SubmitJob was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitReply {
    /// Batch has taken the job.
    Taken(Submitted),
    /// Batch does not take this job.
    Refused(usize),
    /// Batch has not taken it this time: throttled, or no connection.
    NotNow(usize),
    /// The job may exist: no answer, or a 5xx.
    Open(usize),
}

/// What happens to a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It begins.
    Begun,
    /// The time of an [`Action::WakeAt`] has come.
    Woken,
    /// SubmitJob's reply.
    Submitted(SubmitReply),
    /// ListJobs' reply.
    Listed(Result<Page, Trouble>),
    /// DescribeJobs' reply: the jobs that Batch knows, in any order.
    Described(Result<Vec<Described>, Trouble>),
    /// TerminateJob's reply.
    Terminated(Result<(), Trouble>),
    /// The key's record, if there is one.
    Record(Result<Option<(Record, ETag)>, Trouble>),
    /// The record was written; `None` when the condition did not hold.
    Put(Result<Option<ETag>, Trouble>),
}

/// What to do for a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// SubmitJob, one request, with this mark. It is not repeated by the SDK.
    Submit {
        /// Which of the requests.
        request: usize,
        /// The mark for its environment.
        mark: SubmissionId,
    },
    /// ListJobs, one page.
    List {
        /// The queue, and the name for messages.
        place: Place,
        /// The filter.
        filter: Filter,
        /// The token of the page; the first without one.
        page: Option<String>,
    },
    /// DescribeJobs, one call.
    Describe {
        /// The IDs, 100 at most.
        jobs: Vec<String>,
        /// The place where they are looked for, for messages; none for jobs that are known.
        place: Option<Place>,
    },
    /// TerminateJob for `double`, as it does the same as `kept`.
    Terminate {
        /// The job that is terminated.
        double: Submitted,
        /// The job that is kept.
        kept: Submitted,
    },
    /// Read the key's record.
    GetRecord,
    /// Write the key's record, if the one there is still this version; or if there is none.
    PutRecord {
        /// The record.
        record: Record,
        /// The version that is replaced.
        over: Option<ETag>,
    },
    /// An event [`Event::Woken`] is due then, whatever else happens.
    WakeAt(Millis),
    /// It is over. Replies that come later are dropped.
    Done(Outcome),
}

/// Why a look was not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookTrouble {
    /// A call failed.
    Call(Trouble),
    /// Batch lists this many jobs that it does not describe.
    Undescribed(usize),
}

impl LookTrouble {
    fn is_passing(self) -> bool {
        match self {
            Self::Call(trouble) => trouble.passing,
            Self::Undescribed(_) => true,
        }
    }
}

/// How a submission ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// These are the jobs, one for each request; there are no others.
    Submitted {
        /// The jobs.
        jobs: Vec<Submitted>,
        /// They were there already.
        earlier: bool,
        /// The failure that kept the jobs from being written into the record.
        unnoted: Option<Trouble>,
    },
    /// Batch does not take the job.
    Refused(Refusal),
    /// Batch was busy for all of the submit timeout.
    Busy(Refusal),
    /// No answer came for all of the submit timeout, and no job has shown.
    Vain(Refusal),
    /// Whether the job exists is not known.
    Unknown {
        /// The request.
        request: usize,
        /// Its mark.
        mark: SubmissionId,
        /// The try that left it open.
        lost: usize,
        /// Why it could not be looked for.
        look: LookTrouble,
    },
    /// The job exists, perhaps twice.
    PerhapsDouble {
        /// The request.
        request: usize,
        /// Its mark.
        mark: SubmissionId,
        /// One of its jobs.
        taken: Option<Submitted>,
        /// Why they could not be looked for.
        look: LookTrouble,
    },
    /// A job that was found is not there any more.
    Gone {
        /// The request.
        request: usize,
        /// Its mark.
        mark: SubmissionId,
    },
    /// A double could not be terminated.
    NotTerminated {
        /// The double.
        double: Submitted,
        /// The job that is kept.
        kept: Submitted,
        /// Why.
        trouble: Trouble,
    },
    /// The record could not be read or written, or Batch not be asked for its jobs.
    NoRecord {
        /// Why.
        trouble: Trouble,
        /// Jobs that were submitted here, of which nobody knows whether they are kept.
        jobs: Vec<Submitted>,
    },
    /// The marks of another submitter could not be looked for.
    NoLook {
        /// Where.
        place: Place,
        /// Why.
        look: LookTrouble,
    },
    /// The key stands for other jobs, some of which have been submitted.
    OtherJobs {
        /// By whom.
        by: String,
        /// How many they are.
        of: usize,
        /// Those that are there.
        jobs: Vec<Submitted>,
    },
    /// Batch does not know the key's jobs any more.
    Forgotten {
        /// The jobs.
        jobs: Vec<Submitted>,
    },
}

/// A submission that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The request.
    pub request: usize,
    /// Its mark.
    pub mark: SubmissionId,
    /// Why.
    pub failure: usize,
    /// For how long the job was looked for, when a try left it open whether it exists. None: there
    /// is no job.
    pub looked_for: Option<Millis>,
    /// Whether the key stays taken.
    pub keeps_key: bool,
}

/// A generator of random numbers (SplitMix64, twice): for marks, and for the pauses of many who
/// were throttled together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random(u64, u64);

impl Random {
    /// The seed should be a random number itself.
    pub fn new(seed: u128) -> Self {
        Self((seed >> 64) as u64, seed as u64)
    }

    pub(super) fn next(&mut self) -> u128 {
        u128::from(split_mix(&mut self.0)) << 64 | u128::from(split_mix(&mut self.1))
    }

    /// A part of a pause ("full jitter", AWS Architecture Blog, Exponential Backoff And Jitter).
    fn part_of(&mut self, pause: Millis) -> Millis {
        let below = u128::try_from(pause).unwrap_or(0) + 1;
        i64::try_from(self.next() % below).unwrap_or(pause)
    }

    pub(super) fn mark(&mut self) -> SubmissionId {
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

/// A mistake that the protocol once had, or must not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "only tests put the mistakes back"))]
enum Bug {
    /// The last look came a settle time after the last open try.
    LastLookAfterOpenTry,
    /// The last look came a settle time after the find.
    LastLookAfterFind,
    /// One failed look that outlasted the settle time ended the search.
    OneFailedLookIsEnough,
    /// After an open try, a refusal said that there is no job.
    RefusalAfterOpenTryIsCertain,
    /// The key was freed when no job had shown within the settle time.
    KeyFreedAfterOpenTry,
    /// Ctrl-C after an open try and a throttled one said that there is no job.
    ThrottledForgetsOpenTry,
    /// A reset was a try that left nothing open.
    ResetLeavesNothingOpen,
    /// An open try was repeated without a search.
    NoSearch,
    /// A look that began before the settle time was over counted as one after it.
    LookBegunEarlyCounts,
    /// A look ended with the first page.
    FirstPageOnly,
    /// Jobs that were created before the submission, by this machine's clock, were passed over.
    SkewIgnored,
    /// TerminateJob was not repeated.
    TerminateOnce,
    /// Doubles were left alone.
    DoublesLeft,
    /// A lease lasted one settle time.
    ShortLease,
    /// The clocks of submitters were taken for equal.
    LeaseWithoutSkew,
    /// Whoever took over made new marks.
    NewMarksAtTakeover,
    /// Whoever took over did not look for doubles of a slow holder.
    NoLastLookAfterTakeover,
    /// Of two jobs that a dead holder had left, one was noted and the other left alone.
    LeftDoubleAlone,
    /// A job that was submitted after the key had been lost was left alone.
    LostKeyLeavesJob,
    /// A job that was found after an open try counted as the try's, although the key had been lost.
    FoundIsOurs,
    /// A last look took a job of its own that was not listed yet for the youngest, and the next one
    /// kept the oldest, although it had been terminated.
    UnlistedIsYoungest,
    /// A record with the same holder and number counted as the one that was written.
    AnyRecordOfOurs,
    /// A holder did not look whether it still holds the key before it went on.
    NoFence,
    /// A holder that had lost its key said that its job is the one.
    ConflictIgnored,
}

#[cfg(test)]
impl Bug {
    /// All of them.
    const ALL: [Self; 24] = [
        Self::LastLookAfterOpenTry,
        Self::LastLookAfterFind,
        Self::OneFailedLookIsEnough,
        Self::RefusalAfterOpenTryIsCertain,
        Self::KeyFreedAfterOpenTry,
        Self::ThrottledForgetsOpenTry,
        Self::ResetLeavesNothingOpen,
        Self::NoSearch,
        Self::LookBegunEarlyCounts,
        Self::FirstPageOnly,
        Self::SkewIgnored,
        Self::TerminateOnce,
        Self::DoublesLeft,
        Self::ShortLease,
        Self::LeaseWithoutSkew,
        Self::NewMarksAtTakeover,
        Self::NoLastLookAfterTakeover,
        Self::LeftDoubleAlone,
        Self::LostKeyLeavesJob,
        Self::FoundIsOurs,
        Self::UnlistedIsYoungest,
        Self::AnyRecordOfOurs,
        Self::NoFence,
        Self::ConflictIgnored,
    ];
}

#[cfg(not(test))]
const fn has(_: Bug) -> bool {
    false
}

#[cfg(test)]
use bugs::has;
