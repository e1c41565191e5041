//! The events that a state machine receives, and the actions that it returns.

use super::record::Record;
use super::types::{
    Described, ETag, FailedCall, Filter, Millis, NotSubmitted, Page, SearchError, SearchTarget, SubmitReply,
    Submitted,
};
use awsb_model::SubmissionId;

/// Something that happens to a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The submission begins.
    Begun,
    /// The time of an [`Action::WakeAt`] has come.
    Woken,
    /// The reply of SubmitJob.
    Submitted(SubmitReply),
    /// The reply of ListJobs.
    Listed(Result<Page, FailedCall>),
    /// The reply of DescribeJobs: the jobs that Batch knows, in any order.
    Described(Result<Vec<Described>, FailedCall>),
    /// The reply of TerminateJob.
    Terminated(Result<(), FailedCall>),
    /// The key's record, if there is one.
    Record(Result<Option<(Record, ETag)>, FailedCall>),
    /// The reply to a conditional write of the record; `None` when the condition did not hold.
    Put(Result<Option<ETag>, FailedCall>),
}

/// Something to do for a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// SubmitJob, one request, with this mark. The SDK does not repeat it.
    Submit {
        /// The index of the request.
        request: usize,
        /// The mark for its environment.
        mark: SubmissionId,
    },
    /// ListJobs, one page.
    List {
        /// The queue, and the name for messages.
        target: SearchTarget,
        /// The filter.
        filter: Filter,
        /// The token of the page; `None` for the first page.
        page: Option<String>,
    },
    /// DescribeJobs, one call.
    Describe {
        /// The IDs, at most [`DESCRIBED_AT_ONCE`](super::types::DESCRIBED_AT_ONCE).
        jobs: Vec<String>,
        /// The target of the search, for messages; `None` for jobs of a record.
        target: Option<SearchTarget>,
    },
    /// TerminateJob for `duplicate`, because `kept` does the same.
    Terminate {
        /// The job that is terminated.
        duplicate: Submitted,
        /// The job that is kept.
        kept: Submitted,
    },
    /// Read the key's record.
    GetRecord,
    /// Write the key's record, under the condition that the present one still has the version
    /// `over`. Without `over`, the condition is that there is no record.
    PutRecord {
        /// The record.
        record: Record,
        /// The version that is replaced.
        over: Option<ETag>,
    },
    /// Send [`Event::Woken`] at this time, in any case.
    WakeAt(Millis),
    /// The submission has ended. Later replies are dropped.
    Done(Outcome),
}

/// How a submission ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// These are the jobs, one for each request; there are no others.
    Submitted {
        /// The jobs.
        jobs: Vec<Submitted>,
        /// Whether an earlier submission had made them.
        earlier: bool,
        /// The failure that kept the jobs from being written into the record.
        unrecorded: Option<FailedCall>,
    },
    /// Batch does not accept the job.
    Rejected(NotSubmitted),
    /// Batch throttled the job or could not be reached until the submit timeout.
    TimedOut(NotSubmitted),
    /// No reply came until the submit timeout, and the search found no job.
    NoReply(NotSubmitted),
    /// It is unknown whether the job exists.
    Unknown {
        /// The request.
        request: usize,
        /// Its mark.
        mark: SubmissionId,
        /// The failure of the attempt that was lost.
        lost_failure: usize,
        /// Why the search failed.
        error: SearchError,
    },
    /// The job exists. It is unknown whether it exists twice.
    PossibleDuplicate {
        /// The request.
        request: usize,
        /// Its mark.
        mark: SubmissionId,
        /// One of its jobs.
        accepted: Option<Submitted>,
        /// Why the search failed.
        error: SearchError,
    },
    /// A job that was found before is not found any more.
    Gone {
        /// The request.
        request: usize,
        /// Its mark.
        mark: SubmissionId,
    },
    /// A duplicate could not be terminated.
    NotTerminated {
        /// The duplicate.
        duplicate: Submitted,
        /// The job that is kept.
        kept: Submitted,
        /// Why TerminateJob failed.
        error: FailedCall,
    },
    /// The record could not be read or written, or its jobs could not be described.
    RecordFailed {
        /// The call that failed.
        error: FailedCall,
        /// Jobs that were submitted here. It is unknown whether the key stands for them.
        jobs: Vec<Submitted>,
    },
    /// The search for the jobs of another submitter failed.
    SearchFailed {
        /// The target of the search.
        target: SearchTarget,
        /// Why the search failed.
        error: SearchError,
    },
    /// The key stands for other jobs, some of which have been submitted.
    OtherJobs {
        /// The submitter of these jobs.
        by: String,
        /// How many jobs the key stands for.
        total: usize,
        /// The jobs that have been submitted.
        jobs: Vec<Submitted>,
    },
    /// Batch does not know the key's jobs any more.
    JobsExpired {
        /// The jobs.
        jobs: Vec<Submitted>,
    },
}
