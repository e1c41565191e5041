//! SubmitJob: never twice, never lost.
//!
//! SubmitJob has no idempotency token, and an SDK that retries it submits twice when a reply is lost. So the SDK's
//! retries are off, each submission carries a [`Mark`] in the job's environment, and a try that leaves it open
//! whether the job exists is followed by a search for the mark. What that promises rests on one assumption: what
//! Batch does and does not show at once, it shows within the settle time.

mod double;
mod patience;
mod progress;
mod search;

use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use aws_smithy_types::retry::RetryConfig;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

pub(super) use double::end_double;
pub use patience::Patience;
pub use progress::Progress;
pub(super) use search::{CLOCK_SKEW, Search, milliseconds};

use super::refusal::{Refused, in_plain_words};
use super::wire;
use crate::cluster::{Session, Trouble, explain, trouble};
use crate::job::{JobId, Mark, SubmitRequest};
use crate::ui::{Failure, note};
use patience::Looks;
pub(super) use patience::some_of;
use progress::Lost;

/// The pauses between tries that Batch has turned away.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// After this time, it is said why a submission takes long, wherever stderr goes; on a terminal it is said at once.
const TELL_AFTER: Duration = Duration::from_millis(1500);

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

impl Submitted {
    /// The ID, typed.
    pub fn id(&self) -> JobId {
        JobId::from_batch(&self.job_id)
    }
}

/// Submits a job, once.
///
/// * A try that leaves it open whether the job exists (no answer, a reset, 5xx) is followed by a search for the
///   mark, until it is found or the settle time has passed, and only then by another try.
/// * After more than one such try, a last look ends all but the oldest of the jobs that carry the mark.
/// * A try that leaves nothing open (429, no connection) is followed by another after a pause.
///
/// # Errors
/// When Batch refuses the job or was busy for all of the submit timeout: then there is no job. When nobody can tell
/// whether there is one, the failure says so, with the mark and how to look for it; [`Progress::is_open`] tells the
/// two apart.
pub async fn submit(
    session: &Session,
    request: &SubmitRequest,
    mark: &Mark,
    patience: &Patience,
    progress: &Progress,
) -> Result<Submitted, Failure> {
    Submission::new(session, request, mark, patience, progress).run().await
}

/// The same for a mark under which somebody else may be submitting: there is always a last look.
pub(super) async fn submit_shared(
    session: &Session,
    request: &SubmitRequest,
    mark: &Mark,
    patience: &Patience,
    progress: &Progress,
) -> Result<Submitted, Failure> {
    let mut submission = Submission::new(session, request, mark, patience, progress);
    submission.open_since = Some(Instant::now());
    submission.run().await
}

/// How one try ended.
enum Tried {
    /// Batch has taken the job.
    Taken(Submitted),
    /// Batch does not take this job.
    Refused(Failure),
    /// Batch has not taken it this time.
    NotNow(Failure),
    /// The job may exist.
    Open(Failure),
}

struct Submission<'a> {
    session: Session,
    request: SubmitRequest,
    mark: &'a Mark,
    settle: Duration,
    progress: &'a Progress,
    search: Search,
    /// When tries end.
    deadline: Instant,
    /// When the last try ended that left it open whether the job exists.
    open_since: Option<Instant>,
    begun: Instant,
    /// What made the first try come to nothing, which has not been said yet.
    untold: Option<Failure>,
    told: bool,
}

impl<'a> Submission<'a> {
    fn new(
        session: &Session,
        request: &SubmitRequest,
        mark: &'a Mark,
        patience: &Patience,
        progress: &'a Progress,
    ) -> Self {
        Self {
            session: session.clone(),
            request: request.marked(mark),
            mark,
            settle: patience.settle,
            progress,
            search: Search::new(&request.job_queue, &request.job_name, SystemTime::now()),
            deadline: Instant::now() + patience.submit_timeout,
            open_since: None,
            begun: Instant::now(),
            untold: None,
            told: false,
        }
    }

    async fn run(mut self) -> Result<Submitted, Failure> {
        let submitted = self.until_taken().await?;
        self.progress.submitted(&submitted.job_id);
        Ok(submitted)
    }

    async fn until_taken(&mut self) -> Result<Submitted, Failure> {
        let mut pause = FIRST_PAUSE;
        loop {
            let may_be_double = self.open_since.is_some();
            self.progress.open(&self.request, self.mark);
            match self.attempt().await {
                Tried::Taken(job) if may_be_double => return self.last_look(Some(job)).await,
                Tried::Taken(job) => return Ok(job),
                Tried::Refused(failure) => {
                    self.progress.refused();
                    return Err(failure);
                }
                Tried::NotNow(failure) => {
                    self.progress.not_taken(&self.request, &failure);
                    let wait = some_of(pause);
                    if Instant::now() + wait > self.deadline {
                        return Err(self.busy(failure));
                    }
                    self.tell(&failure);
                    self.pause_until(Instant::now() + wait).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    // A local cluster that has ended is started.
                    if let Ok(session) = self.session.renew(&failure).await {
                        self.session = session;
                    }
                }
                Tried::Open(failure) => {
                    self.open_since = Some(Instant::now());
                    self.tell(&failure);
                    match self.find(&failure).await? {
                        Some(_) if may_be_double => {
                            // What was found may be an earlier try's: this one has its settle time, too.
                            self.pause_until(self.settled()).await;
                            return self.last_look(None).await;
                        }
                        Some(job) => return Ok(job),
                        None if Instant::now() > self.deadline => return Err(self.in_vain(failure)),
                        None => {}
                    }
                }
            }
        }
    }

    /// One request. It has the session's limit of time for itself, as the SDK does not repeat it.
    async fn attempt(&self) -> Tried {
        let request = &self.request;
        let doing = format!("submitting the job {} to the queue {}", request.job_name, request.job_queue);
        let once = aws_sdk_batch::config::Builder::new().retry_config(RetryConfig::disabled());
        let sent =
            wire::submit_job(&self.session.batch, request).customize().config_override(once).send().await;
        let error = match sent {
            Ok(answer) => {
                return match answer.job_id().filter(|id| !id.is_empty()) {
                    Some(id) => Tried::Taken(Submitted {
                        job_arn: answer.job_arn().map(str::to_owned),
                        job_name: answer.job_name().unwrap_or(&request.job_name).to_owned(),
                        job_id: id.to_owned(),
                    }),
                    None => Tried::Open(Failure::failed(format!("{doing}: the answer names no job"))),
                };
            }
            Err(error) => error,
        };
        let failure = explain(&self.session, &doing, &error);
        match trouble(&error) {
            _ if matches!(error, aws_sdk_batch::error::SdkError::ConstructionFailure(_)) => {
                Tried::Refused(failure)
            }
            Trouble::Unreachable(_) | Trouble::CredentialsUnreachable(_) => Tried::NotNow(failure),
            trouble if trouble.is_throttling() => Tried::NotNow(failure),
            Trouble::NoAnswer(_)
            | Trouble::Service { status: 408 | 500.., .. }
            | Trouble::WebPage { status: ..300 | 408 | 500.., .. } => Tried::Open(failure),
            Trouble::Service { code, message, .. } if code == "ClientException" => {
                let refused = Refused { doing: &doing, request, message: &message };
                Tried::Refused(in_plain_words(&self.session, refused, failure).await)
            }
            Trouble::Service { .. }
            | Trouble::WebPage { .. }
            | Trouble::ClockSkew { .. }
            | Trouble::NoCredentials(_) => Tried::Refused(failure),
        }
    }

    /// Searches for the job of a try that was `lost`, until the settle time has passed and a look after that
    /// has not shown it.
    async fn find(&mut self, lost: &Failure) -> Result<Option<Submitted>, Failure> {
        let settled = self.settled();
        let mut looks = Looks::new(self.settle);
        let mut looked_once = false;
        loop {
            let begun = Instant::now();
            let look = self.search.look(&self.session, Some(self.mark)).await;
            if let Some(found) = self.search.with(self.mark).first() {
                return Ok(Some(found.job.clone()));
            }
            match look {
                Ok(()) if begun >= settled => return Ok(None),
                Ok(()) => looked_once = true,
                Err(failure) => {
                    let now = Instant::now();
                    let enough = now >= settled && (!looked_once || now >= self.deadline);
                    if enough || !failure.passing {
                        return Err(self.unknown(lost, &failure));
                    }
                }
            }
            self.pause_until(looks.next(settled)).await;
        }
    }

    /// Looks for all jobs that carry the mark when another settle time has passed since the last try, so that an action
    /// that was later than anybody expects has shown, too; ends all but the oldest and returns that one. `taken` is one
    /// that is known already.
    async fn last_look(&mut self, taken: Option<Submitted>) -> Result<Submitted, Failure> {
        let settled = Instant::now() + self.settle;
        self.pause_until(settled).await;
        let mut looks = Looks::new(self.settle);
        while let Err(failure) = self.search.look(&self.session, None).await {
            let enough = Instant::now() >= settled + self.settle && Instant::now() >= self.deadline;
            if enough || !failure.passing {
                return Err(self.perhaps_double(taken.as_ref(), &failure));
            }
            self.pause_until(looks.next(settled)).await;
        }
        let mut jobs: Vec<Submitted> = self.search.with(self.mark).iter().map(|f| f.job.clone()).collect();
        // One that is not listed yet is the youngest.
        if let Some(taken) = taken.filter(|t| jobs.iter().all(|j| j.job_id != t.job_id)) {
            jobs.push(taken);
        }
        let mut jobs = jobs.into_iter();
        let Some(kept) = jobs.next() else {
            return Err(Failure::failed(format!(
                "the job {} was there and is not any more",
                self.request.job_name
            )));
        };
        for double in jobs {
            end_double(&self.session, &double, &kept).await?;
        }
        Ok(kept)
    }

    /// From when on a look shows what the last open try has done.
    fn settled(&self) -> Instant {
        self.open_since.unwrap_or_else(Instant::now) + self.settle
    }

    /// Whoever waits is told once why it takes long: at once on a terminal, and else when it has taken long. Most of
    /// what scripts do works at the second try.
    fn tell(&mut self, failure: &Failure) {
        if !std::mem::replace(&mut self.told, true) {
            self.untold = Some(failure.clone());
        }
        if std::io::stderr().is_terminal() || self.begun.elapsed() >= TELL_AFTER {
            self.tell_now();
        }
    }

    fn tell_now(&mut self) {
        if let Some(failure) = self.untold.take() {
            note(format!("bsub: trying again: {failure}"));
        }
    }

    /// Waits, and says meanwhile what there is to be said.
    async fn pause_until(&mut self, until: Instant) {
        let tell_at = self.begun + TELL_AFTER;
        if self.untold.is_some() && tell_at < until {
            sleep_until(tell_at).await;
            self.tell_now();
        }
        sleep_until(until).await;
    }

    fn busy(&self, mut failure: Failure) -> Failure {
        let what = if self.progress.jobs().is_empty() { "no job" } else { "not this job, which" };
        failure.message.push_str(&format!(" ({what} was submitted)"));
        failure.hint("`--submit-timeout TIME` has it tried for longer")
    }

    /// Batch did not answer, and the job is not there.
    fn in_vain(&self, mut failure: Failure) -> Failure {
        let waited = self.settle.as_secs_f32();
        failure
            .message
            .push_str(&format!(" (no job with its mark has shown within {waited} s, so there is none)"));
        self.progress.refused();
        Lost::new(&self.request, self.mark).hints(failure)
    }

    fn unknown(&self, lost: &Failure, search: &Failure) -> Failure {
        let name = &self.request.job_name;
        let mut failure = search.clone();
        failure.message = format!("whether the job {name} exists is not known: {lost}; and {search}");
        Lost::new(&self.request, self.mark).hints(failure)
    }

    fn perhaps_double(&self, taken: Option<&Submitted>, search: &Failure) -> Failure {
        let mut failure = search.clone();
        let id = taken.map(|t| format!(" {}", t.job_id)).unwrap_or_default();
        let name = &self.request.job_name;
        failure.message = format!(
            "the job{id} ({name}) has been submitted, but whether it was twice is not known: {search}"
        );
        Lost::new(&self.request, self.mark).hints(failure)
    }
}
