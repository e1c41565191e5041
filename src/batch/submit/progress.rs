//! What is known of a submission while it goes on.

use std::cell::RefCell;

use crate::ui::{EndSignal, ErrorKind, Failure};
use awsb_model::{JobId, SubmissionId, SubmitRequest};

/// What is known of one submission, or of one after the other, for whoever has to break off
/// (Ctrl-C).
#[derive(Debug, Default)]
pub struct Progress {
    known: RefCell<Known>,
    submitted: RefCell<Vec<String>>,
}

/// What is known of the submission that is under way.
#[derive(Debug, Clone, Default)]
enum Known {
    /// Nothing has been sent.
    #[default]
    Nothing,
    /// Batch has not taken it so far.
    NotTaken { job: String, why: String },
    /// It has been sent, and no answer has come: the job may exist.
    Open(Lost),
}

impl Progress {
    /// Batch has turned the request away, or was not reached.
    pub(super) fn not_taken(&self, request: &SubmitRequest, why: &Failure) {
        self.set(Known::NotTaken { job: request.job_name.clone(), why: why.message().to_owned() });
    }

    /// The request is on its way, or its answer was lost.
    pub(super) fn open(&self, request: &SubmitRequest, mark: &SubmissionId) {
        self.set(Known::Open(Lost::new(request, mark)));
    }

    /// There is this job.
    pub(super) fn submitted(&self, id: &str) {
        let mut submitted = self.submitted.borrow_mut();
        if submitted.iter().all(|known| known != id) {
            submitted.push(id.to_owned());
        }
        self.set(Known::Nothing);
    }

    /// Nothing is open.
    pub(super) fn settled(&self) {
        self.set(Known::Nothing);
    }

    /// Whether a job may exist of which nobody knows.
    pub fn is_open(&self) -> bool {
        matches!(*self.known.borrow(), Known::Open(_))
    }

    /// The IDs of the jobs that have been submitted, in order.
    pub fn jobs(&self) -> Vec<JobId> {
        self.submitted.borrow().iter().map(JobId::from_batch).collect()
    }

    /// What to say when the submission is broken off here and now.
    pub fn interrupted(&self, signal: EndSignal) -> Failure {
        let failure = match &*self.known.borrow() {
            Known::Nothing => {
                Failure::failed(format!("{signal}; nothing was being submitted at that moment"))
            }
            Known::NotTaken { job, why } => {
                Failure::failed(format!("{signal}; the job {job} has not been submitted: {why}"))
            }
            Known::Open(lost) => lost.hints(Failure::failed(format!(
                "{signal} before Batch answered: whether the job {} exists is not known",
                lost.job_name
            ))),
        };
        self.after_others(failure).with_kind(ErrorKind::Interrupted(signal))
    }

    /// The failure with the jobs that there are all the same.
    pub fn after_others(&self, failure: Failure) -> Failure {
        match self.submitted.borrow().as_slice() {
            [] => failure,
            ids => failure.hint(format!("submitted before that: {}", ids.join(","))),
        }
    }

    fn set(&self, known: Known) {
        self.known.replace(known);
    }
}

/// A job that may or may not exist, and what tells it from others.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    job_name: String,
    job_queue: String,
    mark: SubmissionId,
}

impl Lost {
    pub(super) fn new(request: &SubmitRequest, mark: &SubmissionId) -> Self {
        Self { job_name: request.job_name.clone(), job_queue: request.job_queue.clone(), mark: mark.clone() }
    }

    /// The failure with what it takes to find the job.
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

    fn said(failure: &Failure) -> String {
        let hints = failure.hints().iter().map(String::as_str);
        std::iter::once(failure.message()).chain(hints).fold(String::new(), |all, line| all + line + "\n")
    }

    #[test]
    fn an_interrupted_submission_says_what_is_known() {
        let request =
            SubmitRequest { job_name: "align".into(), job_queue: "work".into(), ..SubmitRequest::default() };
        let mark = SubmissionId::recorded("6f2c7c52-9d36-4f8b-8f0e-0d3a5a3c1b11");
        let progress = Progress::default();
        insta::assert_snapshot!(said(&progress.interrupted(EndSignal::Interrupt)), @"interrupted; nothing was being submitted at that moment");
        progress.not_taken(&request, &Failure::failed("submitting the job align: TooManyRequestsException"));
        insta::assert_snapshot!(said(&progress.interrupted(EndSignal::Interrupt)), @"interrupted; the job align has not been submitted: submitting the job align: TooManyRequestsException");
        progress.submitted("first");
        progress.open(&request, &mark);
        assert!(progress.is_open());
        insta::assert_snapshot!(said(&progress.interrupted(EndSignal::Interrupt)), @r"
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
