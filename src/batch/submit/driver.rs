//! Executing the actions of the protocol with the SDK.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::IsTerminal;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_batch::types::{JobDetail, JobStatus, KeyValuesPair};
use aws_smithy_types::retry::RetryConfig;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::progress::SubmissionProgress;
use super::retry_policy::milliseconds;
use super::store::Store;
use super::{Outcome, Submitted, SubmittedJobs};
use crate::aws::{self, CallError, Session, explain};
use crate::batch::convert::{self, to_sdk};
use crate::batch::definition;
use crate::batch::protocol::{
    Action, Described, Event, FailedCall, Filter, KeyHolder, Listed, Millis, Page, SearchTarget, State,
    Submission, SubmissionStatus, SubmitReply,
};
use crate::batch::rejection::{RejectedRequest, explain_rejection};
use crate::batch::running_limit::{self, LimitError};
use crate::batch::terminate;
use crate::ui::{Failure, print_message};
use awsb_model::{JobId, OnceKey, SubmissionId, SubmitRequest, words};

/// Jobs in a page of ListJobs with a filter (API `ListJobs`, `maxResults`).
const FILTERED_PAGE: i32 = 100;
/// After this time, a message says why a submission takes long. On a terminal the message comes at
/// once.
const PRINT_AFTER: Duration = Duration::from_millis(1500);

/// The machine that is driven.
pub enum Machine {
    /// One job.
    One(Box<Submission>),
    /// The jobs of a key.
    Key(Box<KeyHolder>),
}

impl Machine {
    fn step(&mut self, now: Millis, event: Event) -> Vec<Action> {
        match self {
            Self::One(submission) => submission.step(now, event),
            Self::Key(key) => key.step(now, event),
        }
    }

    /// The submission that is under way.
    fn under_way(&self) -> Option<(usize, &SubmissionId, SubmissionStatus)> {
        match self {
            Self::One(submission) => Some((0, submission.mark(), submission.status())),
            Self::Key(key) => key.under_way().map(|(at, mark)| (at, mark, key.status())),
        }
    }
}

/// Executes the actions of a machine.
pub struct Driver<'a> {
    pub(super) session: RefCell<Session>,
    pub(super) requests: &'a [SubmitRequest],
    pub(super) key: Option<(&'a OnceKey, Store)>,
    pub(super) progress: &'a SubmissionProgress,
    /// Failures, by their numbers in events.
    failures: RefCell<Vec<Failure>>,
    begun: Instant,
    begun_at: Millis,
    /// The failure after which the next call takes another session.
    renew_after: Cell<Option<usize>>,
    #[cfg(test)]
    stepped: Option<&'a Stepped>,
}

/// The clock of a test, which goes on when nothing is due, and the step at which the submitter is
/// killed, with the number of its actions that are executed.
#[cfg(test)]
pub struct Stepped {
    clock: std::sync::Arc<std::sync::atomic::AtomicI64>,
    /// Replies and wakes, by their times. Those of the same time come in the order of the actions
    /// that they belong to, as in the model.
    due: RefCell<std::collections::BTreeMap<(Millis, usize), Event>>,
    actions: Cell<usize>,
    kill: Option<(usize, usize)>,
    steps: Cell<usize>,
    killed: tokio::sync::Notify,
}

/// The message while a submission takes long, once for each request. On a terminal it comes at
/// once, elsewhere after a while, because the second attempt mostly works.
#[derive(Debug)]
struct RetryNotice {
    request: usize,
    begun: Instant,
    /// The failure of the first attempt, while its message is not printed yet.
    pending: Option<usize>,
    printed: bool,
    holder_printed: bool,
}

type Call<'a> = Pin<Box<dyn Future<Output = Event> + 'a>>;

impl<'a> Driver<'a> {
    /// For these requests, of this key.
    pub fn new(
        session: &Session,
        requests: &'a [SubmitRequest],
        key: Option<(&'a OnceKey, Store)>,
        progress: &'a SubmissionProgress,
    ) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            session: RefCell::new(session.clone()),
            requests,
            key,
            progress,
            failures: RefCell::default(),
            begun: Instant::now(),
            begun_at: milliseconds(since),
            renew_after: Cell::new(None),
            #[cfg(test)]
            stepped: None,
        }
    }

    /// The time as the machine has it.
    pub fn now(&self) -> Millis {
        #[cfg(test)]
        if let Some(stepped) = self.stepped {
            return stepped.now();
        }
        self.begun_at + milliseconds(self.begun.elapsed())
    }

    /// Drives the machine to its end, and returns the jobs or the failure for the user.
    pub async fn run(&self, mut machine: Machine) -> Result<SubmittedJobs, Failure> {
        let outcome = self.drive(&mut machine).await;
        self.ended(&machine, outcome)
    }

    /// Drives the machine to its end.
    pub(super) async fn drive(&self, machine: &mut Machine) -> Outcome {
        let mut calls: FuturesUnordered<Call<'_>> = FuturesUnordered::new();
        let mut wakes: BinaryHeap<Reverse<Millis>> = BinaryHeap::new();
        let mut notice = RetryNotice {
            request: 0,
            begun: self.begun,
            pending: None,
            printed: false,
            holder_printed: false,
        };
        let mut event = Event::Begun;
        loop {
            let tried = match &event {
                Event::Submitted(SubmitReply::Retryable(failure) | SubmitReply::Lost(failure)) => {
                    Some(*failure)
                }
                _ => None,
            };
            let actions = machine.step(self.now(), event);
            self.note_progress(machine);
            #[cfg(test)]
            if let Some(stepped) = self.stepped {
                if let Some(outcome) = self.execute_in_order(stepped, actions).await {
                    return outcome;
                }
                notice.after_step(self, machine, tried);
                event = stepped.next();
                continue;
            }
            for action in actions {
                match action {
                    Action::Done(outcome) => return outcome,
                    Action::WakeAt(at) => wakes.push(Reverse(at)),
                    call => calls.push(self.call(call)),
                }
            }
            notice.after_step(self, machine, tried);
            event = loop {
                let wake_at = wakes.peek().map(|Reverse(at)| self.instant(*at));
                let print_at = notice.pending.map(|_| notice.begun + PRINT_AFTER);
                tokio::select! {
                    Some(event) = calls.next(), if !calls.is_empty() => break event,
                    () = sleep_until(wake_at.unwrap_or(self.begun)), if wake_at.is_some() => {
                        wakes.pop();
                        break Event::Woken;
                    }
                    () = sleep_until(print_at.unwrap_or(self.begun)), if print_at.is_some() => notice.print(self),
                }
            };
        }
    }

    /// The failure with this number.
    pub(super) fn failure(&self, number: usize) -> Failure {
        let failure = self.failures.borrow().get(number).cloned();
        failure.unwrap_or_else(|| Failure::failed("the submission failed"))
    }

    fn instant(&self, at: Millis) -> Instant {
        let after = u64::try_from(at - self.begun_at).unwrap_or(0);
        self.begun + Duration::from_millis(after)
    }

    fn number(&self, failure: Failure) -> usize {
        let mut failures = self.failures.borrow_mut();
        failures.push(failure);
        failures.len() - 1
    }

    fn failed(&self, failure: Failure) -> FailedCall {
        let retryable = failure.is_retryable();
        let number = self.number(failure);
        if retryable {
            self.renew_after.set(Some(number));
        }
        FailedCall { retryable, failure: number }
    }

    fn ended(&self, machine: &Machine, outcome: Outcome) -> Result<SubmittedJobs, Failure> {
        if let (Machine::One(_), Outcome::Submitted { jobs, .. }) = (machine, &outcome) {
            jobs.iter().for_each(|job| self.progress.submitted(&job.job_id));
        }
        self.result_of(outcome)
    }

    fn note_progress(&self, machine: &Machine) {
        if let Machine::Key(key) = machine {
            key.submitted().for_each(|job| self.progress.submitted(&job.job_id));
        }
        let Some((at, mark, status)) = machine.under_way() else { return };
        let Some(request) = self.requests.get(at) else { return };
        match status {
            SubmissionStatus::NotAccepted(failure) => {
                self.progress.not_accepted(request, &self.failure(failure))
            }
            SubmissionStatus::Unknown => self.progress.unknown(request, mark),
            SubmissionStatus::Ended => self.progress.settled(),
        }
    }

    fn call<'b>(&'b self, action: Action) -> Call<'b> {
        match action {
            Action::Submit { request, mark } => Box::pin(async move {
                let reply = match self.requests.get(request) {
                    Some(request) => self.submit(request, &mark).await,
                    None => SubmitReply::Rejected(self.number(Failure::failed("there is no such request"))),
                };
                Event::Submitted(reply)
            }),
            Action::List { target, filter, page } => Box::pin(async move {
                let listed = self.list(&target, &filter, page).await;
                Event::Listed(listed.map_err(|failure| self.failed(failure)))
            }),
            Action::Describe { jobs, target } => Box::pin(async move {
                let described = self.describe(jobs, target.as_ref()).await;
                Event::Described(described.map_err(|failure| self.failed(failure)))
            }),
            Action::Terminate { duplicate, kept } => Box::pin(async move {
                let terminated = self.terminate(&duplicate, &kept).await;
                Event::Terminated(terminated.map_err(|failure| self.failed(failure)))
            }),
            Action::GetRecord => Box::pin(async move {
                let session = self.renewed().await;
                let read = match &self.key {
                    Some((_, store)) => store.get(&session).await,
                    None => Ok(None),
                };
                Event::Record(read.map_err(|failure| self.failed(failure)))
            }),
            Action::PutRecord { record, over } => Box::pin(async move {
                let session = self.renewed().await;
                let put = match &self.key {
                    Some((_, store)) => store.put(&session, &record, over.as_ref()).await,
                    None => Ok(None),
                };
                Event::Put(put.map_err(|failure| self.failed(failure)))
            }),
            Action::WakeAt(_) | Action::Done(_) => Box::pin(async { Event::Woken }),
        }
    }

    /// One request. It has the session's limit of time for itself, as the SDK does not repeat it.
    async fn submit(&self, request: &SubmitRequest, mark: &SubmissionId) -> SubmitReply {
        let session = self.renewed().await;
        let request = &request.marked(mark);
        // Without its limit there is no job, so a failure here is not a lost attempt.
        if let Some(limit) = &request.limit {
            match running_limit::ensure(&session, limit, request.submitter().as_ref()).await {
                Ok(()) => {}
                Err(LimitError::Passing(failure)) => return self.retryable(failure),
                Err(LimitError::Refused(failure)) => return SubmitReply::Rejected(self.number(failure)),
            }
        }
        self.send(&session, request, true).await
    }

    /// Sends a request with its mark. If Batch rejects it because somebody has deregistered its
    /// derived job definition, with `may_restore` the job definition is registered again, and the
    /// request is sent once more.
    async fn send(&self, session: &Session, request: &SubmitRequest, may_restore: bool) -> SubmitReply {
        let doing = format!("submitting the job {} to the queue {}", request.job_name, request.job_queue);
        let once = aws_sdk_batch::config::Builder::new().retry_config(RetryConfig::disabled());
        let sent = to_sdk::submit_job(&session.batch, request).customize().config_override(once).send().await;
        let error = match sent {
            Ok(reply) => {
                let answered = reply.job_id().unwrap_or_default();
                return match JobId::answered(answered) {
                    Some(id) => SubmitReply::Accepted(Submitted {
                        job_arn: reply.job_arn().map(str::to_owned),
                        job_name: reply.job_name().unwrap_or(&request.job_name).to_owned(),
                        job_id: id.to_string(),
                    }),
                    // The job may exist all the same.
                    None => {
                        let instead = aws::beginning_of(answered)
                            .map(|text| format!(": `{text}` is not the ID of one"))
                            .unwrap_or_default();
                        let failure = Failure::failed(format!("{doing}: the answer names no job{instead}"));
                        SubmitReply::Lost(self.number(failure))
                    }
                };
            }
            Err(error) => error,
        };
        let call =
            aws::Call::new(&doing).job_queue(&request.job_queue).job_definition(&request.job_definition);
        let failure = explain(session, call, &error);
        match CallError::from_sdk(&error) {
            _ if matches!(error, aws_sdk_batch::error::SdkError::ConstructionFailure(_)) => {
                SubmitReply::Rejected(self.number(failure))
            }
            CallError::Unreachable(_) | CallError::CredentialsUnreachable(_) => self.retryable(failure),
            error if error.is_throttling() => self.retryable(failure),
            CallError::NoAnswer(_)
            | CallError::Unreadable(_)
            | CallError::OtherAnswer { .. }
            | CallError::Service { status: 408 | 500.., .. }
            | CallError::WebPage { status: ..300 | 408 | 500.., .. } => {
                SubmitReply::Lost(self.number(failure))
            }
            CallError::Service { code, message, .. } if code == "ClientException" => {
                if may_restore
                    && let Some(job_definition) = definition::restore(session, &request.job_definition).await
                {
                    let request = SubmitRequest { job_definition, ..request.clone() };
                    return Box::pin(self.send(session, &request, false)).await;
                }
                let rejected = RejectedRequest { doing: &doing, request, message: &message };
                SubmitReply::Rejected(self.number(explain_rejection(session, rejected, failure).await))
            }
            CallError::Service { .. }
            | CallError::WebPage { .. }
            | CallError::Redirect { .. }
            | CallError::ClockSkew { .. }
            | CallError::NoCredentials(_)
            | CallError::UnusableCredentials(_) => SubmitReply::Rejected(self.number(failure)),
        }
    }

    fn retryable(&self, failure: Failure) -> SubmitReply {
        let number = self.number(failure);
        self.renew_after.set(Some(number));
        SubmitReply::Retryable(number)
    }

    /// The session for the next call. A local cluster that has ended is started after a call has
    /// failed.
    async fn renewed(&self) -> Session {
        let session = self.session.borrow().clone();
        let Some(failure) = self.renew_after.take().map(|number| self.failure(number)) else {
            return session;
        };
        if let Ok(renewed) = session.renew(&failure).await {
            self.session.replace(renewed.clone());
            return renewed;
        }
        session
    }

    async fn list(
        &self,
        target: &SearchTarget,
        filter: &Filter,
        page: Option<String>,
    ) -> Result<Page, Failure> {
        let session = self.renewed().await;
        let (by, value) = match filter {
            Filter::CreatedAfter(after) => ("AFTER_CREATED_AT", after.to_string()),
            Filter::Name(name) => ("JOB_NAME", name.clone()),
        };
        let sent = session
            .batch
            .list_jobs()
            .job_queue(&target.queue)
            .filters(KeyValuesPair::builder().name(by).values(value).build())
            .max_results(FILTERED_PAGE)
            .set_next_token(page.clone())
            .send();
        let reply = sent.await.map_err(|e| {
            explain(&session, aws::Call::new(&search_description(target)).job_queue(&target.queue), &e)
        })?;
        let jobs = reply.job_summary_list().iter().map(|job| Listed {
            id: job.job_id().unwrap_or_default().to_owned(),
            name: job.job_name().unwrap_or_default().to_owned(),
            created_at: job.created_at(),
        });
        let next = aws::next_page(page.as_deref(), reply.next_token().map(str::to_owned))
            .map_err(|e| Failure::failed(format!("{}: {e}", search_description(target))))?;
        Ok(Page { jobs: jobs.filter(|job| JobId::answered(&job.id).is_some()).collect(), next })
    }

    async fn describe(
        &self,
        jobs: Vec<String>,
        target: Option<&SearchTarget>,
    ) -> Result<Vec<Described>, Failure> {
        let session = self.renewed().await;
        let doing = match (target, jobs.as_slice()) {
            (Some(target), _) => search_description(target),
            (None, [id]) => format!("asking for the job {id}"),
            (None, ids) => format!("asking for {}", words::many(ids.len(), "job")),
        };
        let sent = session.batch.describe_jobs().set_jobs(Some(jobs)).send();
        let reply = sent.await.map_err(|e| explain(&session, &doing, &e))?;
        let is_job = |job: &&JobDetail| job.job_id().and_then(JobId::answered).is_some();
        Ok(reply.jobs().iter().filter(is_job).map(described).collect())
    }

    /// Terminates a job that does the same as `kept`, and prints that.
    async fn terminate(&self, duplicate: &Submitted, kept: &Submitted) -> Result<(), Failure> {
        let session = self.renewed().await;
        let (duplicate, kept) = (&duplicate.job_id, &kept.job_id);
        let reason = format!("submitted twice, because an answer was lost; job {kept} is kept");
        terminate(&session, &JobId::from_batch(duplicate), &reason).await?;
        print_message(format!(
            "bsub: note: an answer was lost, and the job was submitted twice: {duplicate} has been ended, \
             {kept} is kept"
        ));
        Ok(())
    }
}

#[cfg(test)]
impl<'a> Driver<'a> {
    /// By the clock of a test.
    pub fn stepped(self, stepped: &'a Stepped) -> Self {
        Self { stepped: Some(stepped), ..self }
    }

    /// Executes one action after the other: a call takes no time by the clock of the test. The last
    /// actions of a submitter that is killed are executed, too, and nobody hears of them.
    async fn execute_in_order(&self, stepped: &Stepped, actions: Vec<Action>) -> Option<Outcome> {
        let executed = stepped.dies();
        for action in actions.into_iter().take(executed.unwrap_or(usize::MAX)) {
            match action {
                Action::Done(outcome) if executed.is_none() => return Some(outcome),
                Action::Done(_) => {}
                Action::WakeAt(at) => stepped.put(at, Event::Woken),
                call => {
                    let reply = self.call(call).await;
                    stepped.put(stepped.now(), reply);
                }
            }
        }
        if executed.is_some() {
            stepped.killed.notify_one();
            std::future::pending().await
        }
        None
    }
}

#[cfg(test)]
impl Stepped {
    pub fn new(clock: &std::sync::Arc<std::sync::atomic::AtomicI64>, kill: Option<(usize, usize)>) -> Self {
        Self {
            clock: clock.clone(),
            due: RefCell::default(),
            actions: Cell::new(0),
            kill,
            steps: Cell::new(0),
            killed: tokio::sync::Notify::new(),
        }
    }

    pub async fn killed(&self) {
        self.killed.notified().await;
    }

    fn now(&self) -> Millis {
        self.clock.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn dies(&self) -> Option<usize> {
        let step = self.steps.replace(self.steps.get() + 1);
        self.kill.filter(|(at, _)| *at == step).map(|(_, executed)| executed)
    }

    fn put(&self, at: Millis, event: Event) {
        let number = self.actions.replace(self.actions.get() + 1);
        self.due.borrow_mut().insert((at.max(self.now()), number), event);
    }

    fn next(&self) -> Event {
        let ((at, _), event) = self.due.borrow_mut().pop_first().expect("something is waited for");
        self.clock.fetch_max(at, std::sync::atomic::Ordering::SeqCst);
        event
    }
}

impl RetryNotice {
    /// Prints the message after a failed attempt, or while another process holds the key.
    fn after_step(&mut self, driver: &Driver<'_>, machine: &Machine, tried: Option<usize>) {
        let on_terminal = std::io::stderr().is_terminal();
        if let Machine::Key(key) = machine {
            if let Some((request, _)) = key.under_way().filter(|(request, _)| *request != self.request) {
                let holder_printed = self.holder_printed;
                *self =
                    Self { request, begun: Instant::now(), pending: None, printed: false, holder_printed };
            }
            if let Some(by) = key.waits_for().filter(|_| on_terminal && !self.holder_printed) {
                print_message(format!("bsub: waiting for {by}, who is submitting with the same key"));
                self.holder_printed = true;
            }
        }
        let Some(tried) = tried else { return };
        if !std::mem::replace(&mut self.printed, true) {
            self.pending = Some(tried);
        }
        if on_terminal || self.begun.elapsed() >= PRINT_AFTER {
            self.print(driver);
        }
    }

    fn print(&mut self, driver: &Driver<'_>) {
        if let Some(failure) = self.pending.take() {
            print_message(format!("bsub: trying again: {}", driver.failure(failure)));
        }
    }
}

/// The description of a search, for messages.
pub(super) fn search_description(target: &SearchTarget) -> String {
    format!("looking for the job {} in the queue {}", target.name, target.queue)
}

fn described(job: &JobDetail) -> Described {
    Described {
        created_at: job.created_at().unwrap_or_default(),
        job: Submitted {
            job_arn: job.job_arn().map(str::to_owned),
            job_name: job.job_name().unwrap_or_default().to_owned(),
            job_id: job.job_id().unwrap_or_default().to_owned(),
        },
        mark: mark_of(job),
        state: match job.status() {
            Some(JobStatus::Succeeded) => State::Succeeded,
            Some(JobStatus::Failed) => State::Failed,
            _ => State::Active,
        },
    }
}

/// The mark that a job carries. A multi-node job has it in its nodes' environment, a job of several
/// containers in that of one of them.
fn mark_of(job: &JobDetail) -> Option<SubmissionId> {
    let variables = convert::environments(job).into_iter().flatten();
    let mut marks = variables.filter(|(name, _)| *name == SubmissionId::VARIABLE);
    marks.next().map(|(_, value)| SubmissionId::recorded(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_batch::types::{
        ContainerDetail, ContainerProperties, KeyValuePair, NodeProperties, NodeRangeProperty,
    };

    fn variable(name: &str, value: &str) -> KeyValuePair {
        KeyValuePair::builder().name(name).value(value).build()
    }

    #[test]
    fn the_mark_is_in_the_container_or_in_the_nodes() {
        let mark = SubmissionId::random();
        let marked = variable(SubmissionId::VARIABLE, mark.as_str());
        let container =
            ContainerDetail::builder().environment(variable("A", "1")).environment(marked.clone());
        let job = JobDetail::builder().container(container.build()).build();
        assert_eq!(mark_of(&job), Some(mark.clone()));

        let range = NodeRangeProperty::builder()
            .target_nodes("0:")
            .container(ContainerProperties::builder().environment(marked).build());
        let nodes =
            NodeProperties::builder().num_nodes(2).main_node(0).node_range_properties(range.build()).build();
        assert_eq!(mark_of(&JobDetail::builder().node_properties(nodes).build()), Some(mark));

        let unmarked = ContainerDetail::builder().environment(variable("A", "1"));
        assert_eq!(mark_of(&JobDetail::builder().container(unmarked.build()).build()), None);
    }
}
