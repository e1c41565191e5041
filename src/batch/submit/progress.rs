//! How far a submission has come while it goes on.

use std::cell::RefCell;

use crate::ui::{EndSignal, ErrorKind, Failure};
use awsb_model::{JobId, SubmissionId, SubmitRequest};

/// How far one submission, or several in turn, have come: for the message when Ctrl-C interrupts
/// them.
#[derive(Debug, Default)]
pub struct SubmissionProgress {
    state: RefCell<SubmissionState>,
    submitted: RefCell<Vec<String>>,
}

/// The state of the submission that is under way.
#[derive(Debug, Clone, Default)]
enum SubmissionState {
    /// Nothing has been sent.
    #[default]
    Idle,
    /// Batch has not accepted the job so far.
    NotAccepted { job: String, why: String },
    /// The request has been sent, and no answer has come: the job may exist.
    Unknown(UnknownJob),
}

impl SubmissionProgress {
    /// Batch has rejected the request, or was not reached.
    pub(super) fn not_accepted(&self, request: &SubmitRequest, why: &Failure) {
        self.set(SubmissionState::NotAccepted {
            job: request.job_name.clone(),
            why: why.message().to_owned(),
        });
    }

    /// The request is on its way, or its reply was lost.
    pub(super) fn unknown(&self, request: &SubmitRequest, mark: &SubmissionId) {
        self.set(SubmissionState::Unknown(UnknownJob::new(request, mark)));
    }

    /// The job with this ID exists.
    pub(super) fn submitted(&self, id: &str) {
        let mut submitted = self.submitted.borrow_mut();
        if submitted.iter().all(|known| known != id) {
            submitted.push(id.to_owned());
        }
        self.set(SubmissionState::Idle);
    }

    /// No submission is under way, or its result is certain.
    pub(super) fn settled(&self) {
        self.set(SubmissionState::Idle);
    }

    /// Whether a job may exist of which nobody knows.
    pub fn is_unknown(&self) -> bool {
        matches!(*self.state.borrow(), SubmissionState::Unknown(_))
    }

    /// The IDs of the jobs that have been submitted, in order.
    pub fn jobs(&self) -> Vec<JobId> {
        self.submitted.borrow().iter().map(JobId::from_batch).collect()
    }

    /// The failure when a signal interrupts the submission now.
    pub fn interrupted(&self, signal: EndSignal) -> Failure {
        let failure = match &*self.state.borrow() {
            SubmissionState::Idle => {
                Failure::failed(format!("{signal}; nothing was being submitted at that moment"))
            }
            SubmissionState::NotAccepted { job, why } => {
                Failure::failed(format!("{signal}; the job {job} has not been submitted: {why}"))
            }
            SubmissionState::Unknown(lost) => lost.hints(Failure::failed(format!(
                "{signal} before Batch answered: whether the job {} exists is not known",
                lost.job_name
            ))),
        };
        self.after_others(failure).with_kind(ErrorKind::Interrupted(signal))
    }

    /// The failure, with a hint that names the jobs that were submitted before.
    pub fn after_others(&self, failure: Failure) -> Failure {
        match self.submitted.borrow().as_slice() {
            [] => failure,
            ids => failure.hint(format!("submitted before that: {}", ids.join(","))),
        }
    }

    fn set(&self, state: SubmissionState) {
        self.state.replace(state);
    }
}

/// A job of which it is unknown whether it exists, and its mark.
#[derive(Debug, Clone)]
pub(super) struct UnknownJob {
    job_name: String,
    job_queue: String,
    mark: SubmissionId,
}

impl UnknownJob {
    pub(super) fn new(request: &SubmitRequest, mark: &SubmissionId) -> Self {
        Self { job_name: request.job_name.clone(), job_queue: request.job_queue.clone(), mark: mark.clone() }
    }

    /// The failure, with hints how to find the job.
    pub(super) fn hints(&self, failure: Failure) -> Failure {
        let Self { job_name, job_queue, mark } = self;
        failure
            .hint(format!("the job, if it exists, has {}={mark} in its environment", SubmissionId::VARIABLE))
            .hint(format!(
                "`aws batch list-jobs --job-queue {job_queue} --filters name=JOB_NAME,values={job_name}` lists the jobs of \
                 its name, as `bstat -s ALL` does, and `aws batch describe-jobs --jobs ID` shows a job's environment"
            ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_and_hints(failure: &Failure) -> String {
        let hints = failure.hints().iter().map(String::as_str);
        std::iter::once(failure.message()).chain(hints).fold(String::new(), |all, line| all + line + "\n")
    }

    #[test]
    fn an_interrupted_submission_says_what_is_known() {
        let request =
            SubmitRequest { job_name: "align".into(), job_queue: "work".into(), ..SubmitRequest::default() };
        let mark = SubmissionId::recorded("6f2c7c52-9d36-4f8b-8f0e-0d3a5a3c1b11");
        let progress = SubmissionProgress::default();
        insta::assert_snapshot!(message_and_hints(&progress.interrupted(EndSignal::Interrupt)), @"interrupted; nothing was being submitted at that moment");
        progress
            .not_accepted(&request, &Failure::failed("submitting the job align: TooManyRequestsException"));
        insta::assert_snapshot!(message_and_hints(&progress.interrupted(EndSignal::Interrupt)), @"interrupted; the job align has not been submitted: submitting the job align: TooManyRequestsException");
        progress.submitted("first");
        progress.unknown(&request, &mark);
        assert!(progress.is_unknown());
        insta::assert_snapshot!(message_and_hints(&progress.interrupted(EndSignal::Interrupt)), @r"
        interrupted before Batch answered: whether the job align exists is not known
        the job, if it exists, has AWSB_SUBMISSION=6f2c7c52-9d36-4f8b-8f0e-0d3a5a3c1b11 in its environment
        `aws batch list-jobs --job-queue work --filters name=JOB_NAME,values=align` lists the jobs of its name, as `bstat -s ALL` does, and `aws batch describe-jobs --jobs ID` shows a job's environment
        submitted before that: first
        ");
        assert_eq!(
            progress.interrupted(EndSignal::Interrupt).exit(),
            crate::ui::Exit::Interrupted(EndSignal::Interrupt)
        );
    }
}
