//! The result of a submission, and its messages.

use super::driver::{Driver, search_description};
use super::progress::UnknownJob;
use super::{Outcome, Submitted, SubmittedJobs};
use crate::batch::protocol::{Millis, NotSubmitted, SearchError, SearchTarget};
use crate::ui::{ErrorKind, Failure, print_message};
use awsb_model::{SubmissionId, words};

impl Driver<'_> {
    /// The jobs, or why there are none, or why that is not known.
    pub(super) fn result_of(&self, outcome: Outcome) -> Result<SubmittedJobs, Failure> {
        let failure = match outcome {
            Outcome::Submitted { jobs, earlier, unrecorded } => {
                if let Some(error) = unrecorded {
                    let failure = self.failure(error.failure);
                    print_message(format!(
                        "bsub: warning: recording the jobs under their key failed: {failure}"
                    ));
                }
                return Ok(SubmittedJobs { jobs, earlier });
            }
            Outcome::Rejected(not_submitted) => {
                let failure = self.failure(not_submitted.failure);
                self.not_submitted(failure, &not_submitted, "an earlier try got no answer, and ")
            }
            Outcome::TimedOut(not_submitted) => {
                let failure = self.failure(not_submitted.failure);
                let remark = match (not_submitted.searched_for.is_none(), self.progress.jobs().is_empty()) {
                    (true, true) => " (no job was submitted)",
                    (true, false) => " (this job was not submitted)",
                    (false, _) => "",
                };
                let message = format!("{failure}{remark}");
                let failure = failure.wrap(message).hint("`--submit-timeout TIME` tries for longer");
                self.not_submitted(failure, &not_submitted, "an earlier try got no answer, and ")
            }
            Outcome::NoReply(not_submitted) => {
                let failure = self.failure(not_submitted.failure);
                self.not_submitted(failure, &not_submitted, "")
            }
            Outcome::Unknown { request, mark, lost_failure, error } => {
                let (name, lost_failure) = (self.name(request), self.failure(lost_failure));
                let failure = self.search_failure(&self.target(request), error);
                let message =
                    format!("whether the job {name} exists is not known: {lost_failure}; and {failure}");
                self.with_key_hint(self.with_search_hints(failure.wrap(message), request, &mark))
            }
            Outcome::PossibleDuplicate { request, mark, accepted, error } => {
                let id = accepted.map(|t| format!(" {}", t.job_id)).unwrap_or_default();
                let name = self.name(request);
                let failure = self.search_failure(&self.target(request), error);
                let message = format!(
                    "the job{id} ({name}) has been submitted, but whether it was twice is not known: {failure}"
                );
                self.with_key_hint(self.with_search_hints(failure.wrap(message), request, &mark))
            }
            Outcome::Gone { request, mark } => {
                let name = self.name(request);
                let failure = Failure::failed(format!("the job {name} was there, and is there no longer"));
                self.with_key_hint(self.with_search_hints(failure, request, &mark))
            }
            Outcome::NotTerminated { duplicate, kept, error } => {
                let (duplicate, kept) = (duplicate.job_id, kept.job_id);
                let failure = self.failure(error.failure);
                self.with_key_hint(failure.hint(format!(
                    "`bkill {duplicate}` ends the second one; the job {kept}, which does the same, is kept"
                )))
            }
            Outcome::RecordFailed { error, jobs } => {
                let failure = self.failure(error.failure);
                if jobs.is_empty() {
                    return Err(failure);
                }
                let message = format!(
                    "the job {} has been submitted, but whether its key stands for another one is not known: {failure}",
                    ids(&jobs)
                );
                self.with_key_hint(failure.wrap(message))
            }
            Outcome::SearchFailed { target, error } => self.search_failure(&target, error),
            Outcome::OtherJobs { by, total, jobs } => Failure::failed(format!(
                "the key {} stands for other jobs, of which {by} has submitted {} of {total}: {}",
                self.key_name(),
                jobs.len(),
                ids(&jobs)
            ))
            .hint("the same command as before submits the rest")
            .hint(format!("`aws s3 rm {}` removes the key, not its jobs", self.url())),
            Outcome::JobsExpired { jobs } => Failure::failed(format!(
                "the key {} stands for the job {}, which Batch no longer has: whether it succeeded is not \
                 known",
                self.key_name(),
                ids(&jobs)
            ))
            .hint("Batch removes ended jobs after some days")
            .hint(format!(
                "`aws s3 rm {}` removes the key as well; after that, the same command submits a new job",
                self.url()
            )),
        };
        Err(failure)
    }

    /// The failure of a submission that ended without a job. After a lost attempt it does not claim
    /// that there is no job.
    fn not_submitted(&self, failure: Failure, not_submitted: &NotSubmitted, before: &str) -> Failure {
        let failure = match not_submitted.searched_for {
            Some(searched_for) => {
                let seconds = seconds(searched_for);
                let message =
                    format!("{failure} ({before}no job with its mark has shown within {seconds} s)");
                self.with_search_hints(failure.wrap(message), not_submitted.request, &not_submitted.mark)
            }
            None => {
                self.progress.settled();
                failure
            }
        };
        if not_submitted.keeps_key { self.with_key_hint(failure) } else { failure }
    }

    fn search_failure(&self, target: &SearchTarget, error: SearchError) -> Failure {
        match error {
            SearchError::Call(error) => self.failure(error.failure),
            SearchError::Undescribed(missing) => {
                let (doing, missing) = (search_description(target), words::many(missing, "job"));
                let message = format!("{doing}: Batch lists {missing} that it does not describe");
                Failure::new(ErrorKind::NoAnswer, message)
            }
        }
    }

    /// The failure with hints how to search for the job.
    fn with_search_hints(&self, failure: Failure, request: usize, mark: &SubmissionId) -> Failure {
        match self.requests.get(request) {
            Some(request) => UnknownJob::new(request, mark).hints(failure),
            None => failure,
        }
    }

    /// The failure with the hint that, with a key, the same command goes on.
    fn with_key_hint(&self, failure: Failure) -> Failure {
        match self.key {
            Some(_) => failure.hint("the same command with the same key finds the submitted jobs"),
            None => failure,
        }
    }

    fn name(&self, request: usize) -> &str {
        self.requests.get(request).map_or("", |request| &request.job_name)
    }

    fn target(&self, request: usize) -> SearchTarget {
        self.requests
            .get(request)
            .map_or(SearchTarget { queue: String::new(), name: String::new() }, super::target)
    }

    fn key_name(&self) -> String {
        self.key.as_ref().map(|(key, _)| key.to_string()).unwrap_or_default()
    }

    fn url(&self) -> String {
        self.key.as_ref().map(|(_, store)| store.url()).unwrap_or_default()
    }
}

fn ids(jobs: &[Submitted]) -> String {
    let ids: Vec<&str> = jobs.iter().map(|job| job.job_id.as_str()).collect();
    ids.join(" ")
}

fn seconds(period: Millis) -> f64 {
    period as f64 / 1000.0
}
