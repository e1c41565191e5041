//! The end of a submission, in words.

use super::driver::{Driver, looking_for};
use super::progress::Lost;
use super::{Once, Outcome, Submitted};
use crate::batch::protocol::{LookTrouble, Millis, Place, Refusal};
use crate::ui::{ErrorKind, Failure, print_message};
use awsb_model::{SubmissionId, words};

impl Driver<'_> {
    /// The jobs, or why there are none, or why that is not known.
    pub(super) fn in_words(&self, outcome: Outcome) -> Result<Once, Failure> {
        let failure = match outcome {
            Outcome::Submitted { jobs, earlier, unnoted } => {
                if let Some(trouble) = unnoted {
                    let failure = self.failure(trouble.failure);
                    print_message(format!(
                        "bsub: warning: recording the jobs under their key failed: {failure}"
                    ));
                }
                return Ok(Once { jobs, earlier });
            }
            Outcome::Refused(refusal) => {
                let failure = self.failure(refusal.failure);
                self.came_to_nothing(failure, &refusal, "an earlier try got no answer, and ")
            }
            Outcome::Busy(refusal) => {
                let failure = self.failure(refusal.failure);
                let remark = match (refusal.looked_for.is_none(), self.progress.jobs().is_empty()) {
                    (true, true) => " (no job was submitted)",
                    (true, false) => " (this job was not submitted)",
                    (false, _) => "",
                };
                let message = format!("{failure}{remark}");
                let failure = failure.wrap(message).hint("`--submit-timeout TIME` tries for longer");
                self.came_to_nothing(failure, &refusal, "an earlier try got no answer, and ")
            }
            Outcome::Vain(refusal) => {
                let failure = self.failure(refusal.failure);
                self.came_to_nothing(failure, &refusal, "")
            }
            Outcome::Unknown { request, mark, lost, look } => {
                let (name, lost) = (self.name(request), self.failure(lost));
                let failure = self.look_failure(&self.place(request), look);
                let message = format!("whether the job {name} exists is not known: {lost}; and {failure}");
                self.finds_it(self.marked(failure.wrap(message), request, &mark))
            }
            Outcome::PerhapsDouble { request, mark, taken, look } => {
                let id = taken.map(|t| format!(" {}", t.job_id)).unwrap_or_default();
                let name = self.name(request);
                let failure = self.look_failure(&self.place(request), look);
                let message = format!(
                    "the job{id} ({name}) has been submitted, but whether it was twice is not known: {failure}"
                );
                self.finds_it(self.marked(failure.wrap(message), request, &mark))
            }
            Outcome::Gone { request, mark } => {
                let name = self.name(request);
                let failure = Failure::failed(format!("the job {name} was there, and is there no longer"));
                self.finds_it(self.marked(failure, request, &mark))
            }
            Outcome::NotTerminated { double, kept, trouble } => {
                let (double, kept) = (double.job_id, kept.job_id);
                let failure = self.failure(trouble.failure);
                self.finds_it(failure.hint(format!(
                    "`bkill {double}` ends the second one; the job {kept}, which does the same, is kept"
                )))
            }
            Outcome::NoRecord { trouble, jobs } => {
                let failure = self.failure(trouble.failure);
                if jobs.is_empty() {
                    return Err(failure);
                }
                let message = format!(
                    "the job {} has been submitted, but whether its key stands for another one is not known: {failure}",
                    ids(&jobs)
                );
                self.finds_it(failure.wrap(message))
            }
            Outcome::NoLook { place, look } => self.look_failure(&place, look),
            Outcome::OtherJobs { by, of, jobs } => Failure::failed(format!(
                "the key {} stands for other jobs, of which {by} has submitted {} of {of}: {}",
                self.key_name(),
                jobs.len(),
                ids(&jobs)
            ))
            .hint("the same command as before submits the rest")
            .hint(format!("`aws s3 rm {}` removes the key, not its jobs", self.url())),
            Outcome::Forgotten { jobs } => Failure::failed(format!(
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

    /// After an open try, nobody says that there is no job.
    fn came_to_nothing(&self, failure: Failure, refusal: &Refusal, before: &str) -> Failure {
        let failure = match refusal.looked_for {
            Some(looked_for) => {
                let seconds = seconds(looked_for);
                let message =
                    format!("{failure} ({before}no job with its mark has shown within {seconds} s)");
                self.marked(failure.wrap(message), refusal.request, &refusal.mark)
            }
            None => {
                self.progress.settled();
                failure
            }
        };
        if refusal.keeps_key { self.finds_it(failure) } else { failure }
    }

    fn look_failure(&self, place: &Place, look: LookTrouble) -> Failure {
        match look {
            LookTrouble::Call(trouble) => self.failure(trouble.failure),
            LookTrouble::Undescribed(missing) => {
                let (doing, missing) = (looking_for(place), words::many(missing, "job"));
                let message = format!("{doing}: Batch lists {missing} that it does not describe");
                Failure::new(ErrorKind::NoAnswer, message)
            }
        }
    }

    /// The failure with how to look for the job.
    fn marked(&self, failure: Failure, request: usize, mark: &SubmissionId) -> Failure {
        match self.requests.get(request) {
            Some(request) => Lost::new(request, mark).hints(failure),
            None => failure,
        }
    }

    /// With a key, the same command is the way to go on.
    fn finds_it(&self, failure: Failure) -> Failure {
        match self.key {
            Some(_) => failure.hint("the same command with the same key finds the submitted jobs"),
            None => failure,
        }
    }

    fn name(&self, request: usize) -> &str {
        self.requests.get(request).map_or("", |request| &request.job_name)
    }

    fn place(&self, request: usize) -> Place {
        self.requests.get(request).map_or(Place { queue: String::new(), name: String::new() }, super::place)
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
