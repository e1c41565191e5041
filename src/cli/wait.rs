//! Reports on jobs that a tool waits for: that they are stuck, how they have ended, and why.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::aws::{ResilientSession, Session};
use crate::batch::{self, Counts, Job};
use crate::diagnose::{self, Code, Diagnosis, Evidence};
use crate::ui::{
    EndSignal, Failure, ProgressBar, SignalListener, print_message, sanitize, stderr_columns, wrapped,
};
use awsb_model::{JobId, RunningLimit, Status, words};

/// The children of arrays are checked for the first time after this time, to see whether they are
/// stuck.
const FIRST_CHECK_FOR_STUCK: Duration = Duration::from_secs(3);
/// The longest pause between two such checks.
const LONGEST_PAUSE_FOR_STUCK: Duration = Duration::from_secs(120);

/// A job that waits for this long in its queue may be held up by more than busy machines. This is
/// the shortest time between two looks at jobs that wait, too: each look takes several calls.
const LONG_WAIT: Duration = Duration::from_secs(10);
/// Jobs that are due within this time are looked at together, because jobs that were submitted
/// together come one by one.
const LOOKS_TOGETHER: Duration = Duration::from_secs(1);
/// The longest time between two looks at the same job.
const LONGEST_PAUSE_FOR_WAITS: Duration = Duration::from_secs(600);
/// At most this many jobs are looked at together.
const MAX_LOOKS_AT_ONCE: usize = 5;

/// The findings about a job that waits in its queue because something holds up the queue, or
/// because others have what it needs: no machine that becomes free helps.
const HOLD_UPS: [Code; 3] = [Code::HeadWaitsForResource, Code::HeadBlocked, Code::ConsumableResource];

/// A job that has ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The job.
    pub job: Job,
    /// Its exit code: for an array the highest of its children, and 1 for a failure without an exit
    /// code.
    pub exit: u8,
    /// The first child of an array that has failed.
    pub first: Option<Job>,
}

/// The outcome of a job that has ended.
///
/// # Errors
/// As [`outcomes`].
pub async fn outcome(contact: &mut ResilientSession, job: Job) -> Result<Outcome, Failure> {
    let outcome = outcomes(contact, vec![job.clone()]).await?.pop();
    Ok(outcome.unwrap_or_else(|| Outcome { exit: job.exit(), job, first: None }))
}

/// The outcomes of jobs that have ended. The limits of arrays that have ended are removed.
///
/// # Errors
/// When contact was lost for good before the children of an array were asked for.
pub async fn outcomes(contact: &mut ResilientSession, jobs: Vec<Job>) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::new();
    let mut listed: HashMap<String, Vec<Job>> = HashMap::new();
    for job in jobs {
        let (mut exit, mut first) = (job.exit(), None);
        let has_failed = job.status == Status::Failed;
        if has_failed && job.is_array_parent() {
            let id = job.id();
            let failed = contact.keep(async |s| batch::children(s, &id, &[Status::Failed]).await).await?;
            exit = failed.iter().map(Job::exit).max().unwrap_or(1);
            first = failed.into_iter().next().map(|mut child| {
                child.set_task(job.container.as_ref().and_then(|c| c.tasks.as_ref()));
                child
            });
        } else if has_failed && job.exit_code().is_none() && job.started_at.is_some() {
            // A description can lack details of the listing, as moto's does. Each queue is listed
            // once.
            let queue = job.job_queue.clone().unwrap_or_else(|| contact.session().cluster.job_queue.clone());
            if !listed.contains_key(&queue) {
                let failed = batch::list(contact.session(), &queue, &[Status::Failed]).await;
                listed.insert(queue.clone(), failed.unwrap_or_default());
            }
            let of_queue = listed.get(&queue).into_iter().flatten();
            exit = of_queue.filter(|j| j.job_id == job.job_id).map(Job::exit).next().unwrap_or(exit);
        }
        outcomes.push(Outcome { job, exit, first });
    }
    batch::remove_limits_of(contact.session(), outcomes.iter().map(|outcome| &outcome.job)).await;
    Ok(outcomes)
}

/// The progress bar of a tool that waits: how many jobs and children of arrays have come so far.
#[derive(Debug)]
pub struct WaitBar {
    bar: ProgressBar,
    is_of_starts: bool,
}

impl WaitBar {
    /// The bar of a tool that waits until jobs have ended.
    pub fn of_ends() -> Self {
        Self { bar: ProgressBar::of_jobs(), is_of_starts: false }
    }

    /// The bar of a tool that waits until jobs have started.
    pub fn of_starts() -> Self {
        Self { bar: ProgressBar::of_jobs(), is_of_starts: true }
    }

    /// Shows how many jobs have come so far.
    pub fn show(&mut self, counts: Counts) {
        let Counts { all, running, succeeded, failed } = counts;
        let failures = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        let ended = succeeded + failed;
        match self.is_of_starts {
            true => self.bar.at(ended + running, all, format!("started{failures}")),
            false => self.bar.at(ended, all, format!("ended{failures}, {running} running")),
        }
    }
}

/// The end of a job with the time from its submission: `SUCCEEDED in 8 s`.
fn ended(job: &Job) -> String {
    let times = job.stopped_at.zip(job.created_at).filter(|(end, begin)| *begin > 0 && end >= begin);
    let time = times.map(|(end, begin)| format!(" in {}", words::span(end - begin)));
    format!("{}{}", job.status, time.unwrap_or_default())
}

/// The children of an array in words: `7 of 10 children succeeded`.
fn children_succeeded(job: &Job) -> Option<String> {
    let size = job.array_size().filter(|_| job.is_array_parent())?;
    Some(format!("{} of {} succeeded", Counts::of([job]).succeeded, words::many(size, "child")))
}

/// Prints that a job has succeeded.
pub fn report_success(tool: &str, job: &Job) {
    let children = children_succeeded(job).map(|children| format!(": {children}")).unwrap_or_default();
    print_message(format!("{tool}: job {} {}{children}", job.title(), ended(job)));
}

/// At most this many of several jobs are named in a message.
const MAX_NAMED: usize = 20;

/// Jobs as messages name them. A list of them is not longer than a message may be, so that it can
/// be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedJobs {
    first: String,
    count: usize,
}

impl NamedJobs {
    /// Names these jobs.
    pub fn new<'a>(ids: impl ExactSizeIterator<Item = &'a str>) -> Self {
        let count = ids.len();
        Self { first: ids.take(MAX_NAMED).collect::<Vec<_>>().join(","), count }
    }

    /// The IDs for a command line: all of them, or the first.
    pub fn list(&self) -> &str {
        &self.first
    }

    /// The jobs of the list: `it`, `them` or `the first 20 of them`.
    pub fn pronoun(&self) -> String {
        match self.count {
            1 => "it".to_owned(),
            0..=MAX_NAMED => "them".to_owned(),
            _ => format!("the first {MAX_NAMED} of them"),
        }
    }

    /// The output of the jobs of the list: `its output`.
    pub fn output(&self) -> String {
        match self.count {
            1 => "its output".to_owned(),
            0..=MAX_NAMED => "their output".to_owned(),
            _ => format!("the output of {}", self.pronoun()),
        }
    }

    /// The verb that fits the number of jobs.
    pub fn verb(&self, of_one: &'static str, of_many: &'static str) -> &'static str {
        if self.count == 1 { of_one } else { of_many }
    }
}

/// `the job A`, `the jobs A,B`, or `the jobs A,B,C and 180 more`.
impl fmt::Display for NamedJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} {}", self.verb("job", "jobs"), self.first)?;
        match self.count.saturating_sub(MAX_NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Prints that jobs continue after the tool has stopped waiting, and how to reach them.
pub fn note_jobs_go_on(tool: &str, signal: EndSignal, ids: &[String]) {
    if ids.is_empty() {
        return print_message(format!("{tool}: {signal}"));
    }
    let jobs = NamedJobs::new(ids.iter().map(String::as_str));
    let list = jobs.list();
    print_message(format!("{tool}: {signal}; {jobs} {}", jobs.verb("goes on", "go on")));
    print_message(format!("hint: `bout -f {list}` shows {}", jobs.output()));
    print_message(format!("hint: `bkill {list}` ends {}", jobs.pronoun()));
}

/// The tool takes at least this time to end jobs, even if more signals come.
const TIME_TO_END_JOBS: Duration = Duration::from_secs(2);

/// `--kill-on-interrupt`: ends the jobs that the tool waits for, and prints that. One more signal
/// breaks this off, once there was time to ask Batch.
pub async fn end_with_waiter(tool: &str, session: &Session, signal: EndSignal, ids: &[JobId]) {
    // The signal does not end the tool before this is done.
    let mut interrupts = SignalListener::listen();
    let jobs = NamedJobs::new(ids.iter().map(JobId::as_str));
    let reason = format!("{tool} --kill-on-interrupt: {signal}");
    let end = async {
        let failures = batch::terminate_each(session, ids, &reason).await;
        let Some((_, first)) = failures.first() else { return failures };
        // The session may be old: its credentials have expired, or the server has another port.
        let Ok(renewed) = session.renew(first).await else { return failures };
        let ids: Vec<JobId> = failures.into_iter().map(|(id, _)| id).collect();
        batch::terminate_each(&renewed, &ids, &reason).await
    };
    let at_least = tokio::time::sleep(TIME_TO_END_JOBS);
    let second_signal = async {
        interrupts.next().await;
        let mut at_least = pin!(at_least);
        loop {
            tokio::select! {
                () = &mut at_least => return,
                _ = interrupts.next() => {}
            }
        }
    };
    let failures = tokio::select! {
        failures = end => failures,
        () = second_signal => {
            let end = jobs.verb("ends", "end");
            return print_message(format!("{tool}: {signal} again; whether {jobs} {end} is not known"));
        }
    };
    if failures.is_empty() {
        let are = jobs.verb("is", "are");
        return print_message(format!("{tool}: {signal}; {jobs} {are} being ended"));
    }
    for (id, failure) in failures {
        failure.hint(format!("the job {id} may go on; `bkill {id}` ends it")).report(tool);
    }
}

/// The jobs that are stuck, and those that wait in their queues. Each reason that Batch gives for a
/// job is reported once, as `bstat --why` does.
#[derive(Debug)]
pub struct StuckJobs {
    tool: &'static str,
    found: mpsc::UnboundedSender<Found>,
    /// The last reason that Batch has given for a job.
    reasons: RefCell<HashMap<String, String>>,
    /// The jobs that waited when they were checked last.
    waiting: RefCell<HashSet<String>>,
}

/// A job that [`StuckJobs`] has found.
#[derive(Debug)]
enum Found {
    /// It is stuck, or has begun to wait.
    Waiting(Box<Job>),
    /// It does not wait any more.
    WaitsNoMore(JobId),
}

/// The jobs that [`StuckJobs`] has found and that are not reported yet.
#[derive(Debug)]
pub struct UnreportedJobs(mpsc::UnboundedReceiver<Found>);

impl StuckJobs {
    /// No stuck jobs yet, for a tool that waits.
    pub fn new(tool: &'static str) -> (Self, UnreportedJobs) {
        let (found, unreported) = mpsc::unbounded_channel();
        let stuck = Self { tool, found, reasons: RefCell::default(), waiting: RefCell::default() };
        (stuck, UnreportedJobs(unreported))
    }

    /// Adds a job if it is stuck, or may be: one that waits in its queue, or takes consumable
    /// resources. Removes one that does not wait any more.
    pub fn check(&self, job: &Job) {
        let waits = job.status == Status::Runnable || may_lack_resource(job);
        let waits_anew = waits && self.waiting.borrow_mut().insert(job.job_id.clone());
        if !waits {
            self.remove(job);
        }
        let new_reason = job.stuck().filter(|reason| {
            let last = self.reasons.borrow_mut().insert(job.job_id.clone(), (*reason).to_owned());
            last.as_deref() != Some(*reason)
        });
        if (waits_anew || new_reason.is_some())
            && self.found.send(Found::Waiting(Box::new(job.clone()))).is_err()
            && let Some(reason) = new_reason
        {
            report_stuck(self.tool, job, reason);
        }
    }

    /// Removes a job that does not wait any more, or for which the tool does not wait any more.
    pub fn remove(&self, job: &Job) {
        if self.waiting.borrow_mut().remove(&job.job_id) {
            // Where nobody reads it, nobody looks at the job either.
            let _ = self.found.send(Found::WaitsNoMore(job.id()));
        }
    }
}

/// Whether a job waits and takes consumable resources. The parent of an array waits as long as its
/// children do.
fn may_lack_resource(job: &Job) -> bool {
    let waits = job.status == Status::Runnable || (job.is_array_parent() && job.status == Status::Pending);
    waits
        && job
            .consumable_resource_properties
            .as_ref()
            .is_some_and(|all| !all.consumable_resource_list.is_empty())
}

/// Whether a job takes more of a consumable resource than there is in all, so that it waits until
/// somebody adds to it. Batch says nothing about such a job. If Batch cannot be asked, it is not.
async fn takes_more_than_there_is(session: &Session, job: &Job) -> bool {
    if !may_lack_resource(job) {
        return false;
    }
    let nodes = job.nodes.filter(|_| job.is_mnp_parent()).unwrap_or(1);
    let list = job.consumable_resource_properties.iter().flat_map(|all| &all.consumable_resource_list);
    for of in list.filter(|of| !RunningLimit::is_one(of.name())) {
        let found = batch::consumables::find(session, of.name()).await;
        let total = found.ok().flatten().and_then(|found| found.total_quantity);
        if total.is_some_and(|total| total < of.quantity.saturating_mul(i64::from(nodes))) {
            return true;
        }
    }
    false
}

/// The jobs that wait for the same: those of one queue that take the same consumable resources.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct WaitGroup {
    queue: Option<String>,
    consumes: Vec<(String, u64)>,
}

impl WaitGroup {
    /// The group of a job. The limit of an array is not a part of it.
    fn new(queue: Option<&str>, consumes: impl Iterator<Item = (String, u64)>) -> Self {
        let mut consumes: Vec<_> = consumes.filter(|(name, _)| !RunningLimit::is_one(name)).collect();
        consumes.sort();
        Self { queue: queue.map(str::to_owned), consumes }
    }

    fn of(job: &Job) -> Self {
        let list = job.consumable_resource_properties.iter().flat_map(|all| &all.consumable_resource_list);
        let consumes = list.map(|of| (of.name().to_owned(), u64::try_from(of.quantity).unwrap_or(0)));
        Self::new(job.job_queue.as_deref(), consumes)
    }

    fn of_evidence(facts: &Evidence) -> Self {
        let queue = facts.queue.as_ref().map(|queue| queue.name.as_str());
        Self::new(queue, facts.job.consumes.iter().cloned())
    }
}

/// When a job that waits is looked at next. The pauses between two looks become longer.
#[derive(Debug, Clone, Copy)]
struct NextLook {
    at: Instant,
    pause: Duration,
}

impl NextLook {
    fn at(at: Instant) -> Self {
        Self { at, pause: LONG_WAIT }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.at <= now + LOOKS_TOGETHER
    }

    /// The look after one that was made now.
    fn after(self, now: Instant) -> Self {
        let pause = (self.pause * 4).min(LONGEST_PAUSE_FOR_WAITS);
        Self { at: now + pause, pause }
    }
}

/// The result of a look at a job that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Something holds it up, so that no machine that becomes free helps.
    HeldUp,
    /// It waits as other jobs do, or it could not be looked at.
    Waits,
    /// It does not wait any more.
    WaitsNoMore,
}

impl Look {
    fn of(facts: &Evidence, diagnosis: &Diagnosis) -> Self {
        let is_held_up = diagnosis.findings.iter().any(|finding| HOLD_UPS.contains(&finding.code));
        match facts.job.status {
            Status::Runnable if is_held_up => Self::HeldUp,
            Status::Runnable => Self::Waits,
            _ => Self::WaitsNoMore,
        }
    }
}

/// The jobs that wait in their queues, and when they are looked at. One job of each group is looked
/// at for all of the group, until something that holds up the group has been reported.
#[derive(Debug, Default)]
struct WaitingJobs {
    /// The jobs in the order in which they came.
    jobs: Vec<(JobId, WaitGroup, NextLook)>,
    /// The jobs of which a reason has been reported.
    reported: HashSet<JobId>,
    /// The groups of which a reason has been reported.
    reported_groups: HashSet<WaitGroup>,
    last_look: Option<Instant>,
}

impl WaitingJobs {
    /// Adds a job that waits since now.
    fn add(&mut self, job: &Job, now: Instant) {
        let (id, group) = (job.id(), WaitGroup::of(job));
        let is_reported = self.reported.contains(&id) || self.reported_groups.contains(&group);
        if !is_reported && self.jobs.iter().all(|(other, ..)| *other != id) {
            self.jobs.push((id, group, NextLook::at(now + LONG_WAIT)));
        }
    }

    /// Removes a job that does not wait any more.
    fn remove(&mut self, id: &JobId) {
        self.jobs.retain(|(other, ..)| other != id);
    }

    /// Removes a job of which a reason has been reported. It is never looked at again.
    fn set_reported(&mut self, id: JobId) {
        self.remove(&id);
        self.reported.insert(id);
    }

    fn is_reported(&self, id: &JobId) -> bool {
        self.reported.contains(id)
    }

    /// When there are jobs to look at.
    fn next_look(&self) -> Option<Instant> {
        let first = self.jobs.iter().map(|(_, _, next)| next.at).min()?;
        Some(self.last_look.map_or(first, |last| first.max(last + LONG_WAIT)))
    }

    /// The jobs to look at now, one of each group.
    fn due(&mut self, now: Instant) -> Vec<JobId> {
        self.last_look = Some(now);
        let mut due: Vec<_> = self.jobs.iter().filter(|(_, _, next)| next.is_due(now)).collect();
        due.sort_by_key(|(_, _, next)| next.at);
        let mut groups = HashSet::new();
        due.retain(|(_, group, _)| groups.insert(group));
        due.into_iter().take(MAX_LOOKS_AT_ONCE).map(|(id, ..)| id.clone()).collect()
    }

    /// Notes the result of a look at one of the jobs that were due.
    fn set_looked_at(&mut self, id: &JobId, look: Look, now: Instant) {
        let Some((_, group, _)) = self.jobs.iter().find(|(other, ..)| other == id).cloned() else { return };
        match look {
            Look::HeldUp => {
                self.jobs.retain(|(_, other, _)| *other != group);
                self.reported.insert(id.clone());
                self.reported_groups.insert(group);
            }
            Look::Waits => {
                let of_group = self.jobs.iter_mut().filter(|(_, other, _)| *other == group);
                for (_, _, next) in of_group.filter(|(_, _, next)| next.is_due(now)) {
                    *next = next.after(now);
                }
            }
            Look::WaitsNoMore => self.remove(id),
        }
    }
}

/// Reports stuck jobs as they are found, and once for each queue and set of consumable resources
/// that its jobs are held up for long. It never ends.
pub async fn report_stuck_jobs(tool: &str, session: &Session, mut unreported: UnreportedJobs) -> Infallible {
    let mut waiting = WaitingJobs::default();
    loop {
        let next_look = async {
            match waiting.next_look() {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            found = unreported.0.recv() => match found {
                None => return std::future::pending().await,
                Some(Found::WaitsNoMore(id)) => waiting.remove(&id),
                // It is reported again only where Batch gives another reason.
                Some(Found::Waiting(job)) if job.stuck().is_none() && waiting.is_reported(&job.id()) => {}
                Some(Found::Waiting(job)) => {
                    if report_reason(tool, session, &job).await {
                        waiting.set_reported(job.id());
                    } else if job.status == Status::Runnable {
                        waiting.add(&job, Instant::now());
                    }
                }
            },
            () = next_look => {
                let due = waiting.due(Instant::now());
                let seen = diagnose::why(session, &due).await.unwrap_or_default();
                let mut seen = seen.into_iter();
                for id in due {
                    let look = match seen.next().flatten() {
                        Some(facts) => report_hold_up(tool, session, &facts),
                        None => Look::Waits,
                    };
                    waiting.set_looked_at(&id, look, Instant::now());
                }
            }
        }
    }
}

/// Prints why a job waits, if something holds it up.
fn report_hold_up(tool: &str, session: &Session, facts: &Evidence) -> Look {
    let diagnosis = Diagnosis::of(facts);
    let look = Look::of(facts, &diagnosis);
    if look == Look::HeldUp {
        print_diagnosis(tool, session, diagnosis);
    }
    look
}

/// Prints why a job is stuck and what to do about it, or Batch's own words if the reason cannot be
/// found. Returns whether it is stuck.
async fn report_reason(tool: &str, session: &Session, job: &Job) -> bool {
    let reason = match job.stuck() {
        Some(reason) => reason,
        None if takes_more_than_there_is(session, job).await => "",
        None => return false,
    };
    let evidence = diagnose::why(session, &[job.id()]).await.unwrap_or_default();
    let [Some(facts)] = evidence.as_slice() else {
        if !reason.is_empty() {
            report_stuck(tool, job, reason);
        }
        return true;
    };
    // The job may have started meanwhile.
    if facts.job.status == Status::Runnable || (job.is_array_parent() && facts.job.status == job.status) {
        print_diagnosis(tool, session, Diagnosis::of(facts));
    }
    true
}

/// Prints a diagnosis as `bstat --why` does.
fn print_diagnosis(tool: &str, session: &Session, diagnosis: Diagnosis) {
    let lines = diagnosis.map_advice(|line| session.advice(line)).lines();
    let columns = stderr_columns();
    for (n, line) in lines.iter().enumerate() {
        let line = if n == 0 { format!("{tool}: job {line}") } else { line.clone() };
        wrapped(&sanitize(&line), columns).iter().for_each(print_message);
    }
}

/// Prints that a job is stuck, in Batch's words.
fn report_stuck(tool: &str, job: &Job, reason: &str) {
    print_message(format!("{tool}: job {} is {}: {}", job.title(), job.status, sanitize(reason)));
}

/// The arrays whose first children wait in their queues, and when they are looked at.
#[derive(Debug, Default)]
struct WaitingArrays {
    next_looks: HashMap<JobId, NextLook>,
    /// The arrays that are never looked at again.
    reported: HashSet<JobId>,
    reported_groups: HashSet<WaitGroup>,
}

impl WaitingArrays {
    /// Whether an array is looked at now.
    fn is_due(&mut self, array: &JobId, now: Instant) -> bool {
        !self.reported.contains(array)
            && self.next_looks.entry(array.clone()).or_insert_with(|| NextLook::at(now)).is_due(now)
    }

    /// Its first child does not wait any more.
    fn remove(&mut self, array: &JobId) {
        self.next_looks.remove(array);
    }

    /// Notes the result of a look at an array. `group` is what holds up its first child.
    fn set_looked_at(&mut self, array: &JobId, look: Look, group: Option<WaitGroup>, now: Instant) {
        match look {
            Look::HeldUp => {
                self.next_looks.remove(array);
                self.reported.insert(array.clone());
                self.reported_groups.extend(group);
            }
            Look::Waits => {
                self.next_looks.entry(array.clone()).and_modify(|next| *next = next.after(now));
            }
            Look::WaitsNoMore => self.remove(array),
        }
    }
}

/// Reports stuck children of these arrays, because Batch gives the reason for children, not for the
/// array. It checks less and less often, and never ends.
pub async fn report_stuck_children(
    tool: &str,
    session: &Session,
    arrays: &RefCell<Vec<JobId>>,
) -> Infallible {
    let mut pause = FIRST_CHECK_FOR_STUCK;
    let mut reported: HashMap<JobId, String> = HashMap::new();
    let mut waiting_arrays = WaitingArrays::default();
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE_FOR_STUCK);
        let open = arrays.borrow().clone();
        let mut looks = 0;
        for id in open {
            // If Batch cannot be asked now, it is asked later.
            let Ok(waiting) = batch::children(session, &id, &[Status::Runnable]).await else { continue };
            if let Some((child, reason)) = waiting.iter().find_map(|c| Some((c, c.stuck()?))) {
                let before = reported.insert(id, reason.to_owned());
                if before.as_deref() != Some(reason) {
                    report_reason(tool, session, child).await;
                }
                continue;
            }
            // Children start in the order of their indices: where the first one waits, none runs.
            // That a task waits for another one is not worth a word.
            let Some(first) = waiting.iter().find(|child| child.job_id.ends_with(":0")) else {
                waiting_arrays.remove(&id);
                continue;
            };
            if pause <= LONG_WAIT
                || looks == MAX_LOOKS_AT_ONCE
                || reported.contains_key(&id)
                || !waiting_arrays.is_due(&id, Instant::now())
            {
                continue;
            }
            looks += 1;
            let seen = diagnose::why(session, &[first.id()]).await.unwrap_or_default();
            let (look, group) = match seen.into_iter().next().flatten() {
                Some(facts) => {
                    let group = WaitGroup::of_evidence(&facts);
                    let look = match waiting_arrays.reported_groups.contains(&group) {
                        true => Look::of(&facts, &Diagnosis::of(&facts)),
                        false => report_hold_up(tool, session, &facts),
                    };
                    (look, Some(group))
                }
                None => (Look::Waits, None),
            };
            waiting_arrays.set_looked_at(&id, look, group, Instant::now());
        }
    }
}

/// Prints that a job has failed, why, and what to do next. With `is_timed`, it prints the time,
/// too, and for an array how many of its children have succeeded.
pub fn report_failure(
    tool: &str,
    job: &Job,
    exit: u8,
    first: Option<&Job>,
    has_output: bool,
    is_timed: bool,
) {
    if let Some(child) = first {
        print_message(failure_line(tool, child, child.exit()));
    }
    match is_timed {
        true => {
            let children = children_succeeded(job).map(|children| format!("; {children}"));
            print_message(format!(
                "{}{}",
                line_about(tool, job, &ended(job), exit),
                children.unwrap_or_default()
            ));
        }
        false => print_message(failure_line(tool, job, exit)),
    }
    if job.lacks_sh() {
        print_message(super::LACKS_SH);
    } else if job.started_at.is_none() && !job.is_array_parent() {
        print_message(format!("hint: `bstat --why {}` tells why it never ran", job.job_id));
    } else {
        if !has_output && job.other_log_driver().is_none() {
            print_message(format!("hint: `bout {}` shows its output", job.job_id));
        }
        print_message(format!("hint: `bstat --why {}` tells why it failed, and what to do", job.job_id));
    }
    if job.is_array_parent() {
        print_message(format!("hint: `bstat -s FAILED {}` tells which children failed", job.job_id));
    }
}

/// Warns if a part of a job's output is lost.
pub fn warn_of_lost_output(tool: &str, job: &Job) {
    if let Some(lost) = job.lost_output() {
        print_message(format!(
            "{tool}: warning: not all of the output of the job {} was kept: {lost}",
            job.job_id
        ));
    }
}

/// The line about a job that has failed.
pub fn failure_line(tool: &str, job: &Job, exit: u8) -> String {
    line_about(tool, job, "FAILED", exit)
}

fn line_about(tool: &str, job: &Job, ended: &str, exit: u8) -> String {
    let mut reasons = batch::reasons(job.informative_reason(), job.container_reason()).into_iter();
    // Some jobs have an exit code and no reason.
    let reason = match (reasons.next(), job.exit_code()) {
        (Some(reason), _) => format!(": {reason}"),
        (None, Some(_)) => String::new(),
        (None, None) => ": no reason is given".to_owned(),
    };
    let detail = reasons.next().map(|r| format!(" ({r})")).unwrap_or_default();
    // A job that never ran has no exit code.
    let never_ran = job.started_at.is_none() && job.exit_code().is_none() && !job.is_array_parent();
    let code = if never_ran { String::new() } else { format!(" with exit code {exit}") };
    let line = format!("{tool}: job {} {ended}{code}{reason}{detail}", job.title());
    // The user who ended the job can have given a reason with line breaks; the message is one line.
    sanitize(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{ConsumableResourceProperties, ConsumableResourceRequirement};

    fn waiting(id: &str, queue: &str, licences: i64) -> Job {
        let mut job = Job::submitted(id.into(), "align".into(), None);
        job.status = Status::Runnable;
        job.job_queue = Some(queue.into());
        let requirement =
            ConsumableResourceRequirement { consumable_resource: "lic".into(), quantity: licences };
        job.consumable_resource_properties = (licences > 0)
            .then(|| ConsumableResourceProperties { consumable_resource_list: vec![requirement] });
        job
    }

    fn id_of(name: &str) -> JobId {
        JobId::from_batch(name)
    }

    fn ids(due: &[JobId]) -> Vec<&str> {
        due.iter().map(JobId::as_str).collect()
    }

    #[test]
    fn a_reason_that_comes_back_is_reported_once() {
        let (stuck, mut found) = StuckJobs::new("bwait");
        let job = waiting("a", "q", 0);
        let of = |reason: Option<&str>| Job { status_reason: reason.map(str::to_owned), ..job.clone() };
        let mut count = |job: &Job| {
            stuck.check(job);
            std::iter::from_fn(|| found.0.try_recv().ok()).count()
        };
        let capacity = of(Some("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - none"));
        let checks = [&of(None), &capacity, &of(None), &capacity, &of(None), &of(None), &capacity];
        assert_eq!(checks.map(&mut count), [1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(count(&of(Some("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - too large"))), 1);
        // Its start, and a second wait.
        let started = Job { status: Status::Starting, ..job.clone() };
        assert_eq!([&started, &started, &of(None), &started].map(&mut count), [1, 0, 1, 1]);
    }

    #[test]
    fn a_job_that_is_reported_is_not_looked_at_again() {
        let (start, mut jobs) = (Instant::now(), WaitingJobs::default());
        let (a, b) = (waiting("a", "q", 0), waiting("b", "q", 1));
        jobs.add(&a, start);
        jobs.add(&b, start);
        jobs.set_reported(a.id());
        jobs.add(&a, start);
        assert_eq!(ids(&jobs.due(start + LONG_WAIT)), ["b"]);
        jobs.set_looked_at(&b.id(), Look::HeldUp, start + LONG_WAIT);
        // Another job that waits for the same is held up by the same.
        jobs.add(&b, start);
        jobs.add(&waiting("c", "q", 1), start);
        assert_eq!(jobs.next_look(), None);
    }

    #[test]
    fn one_job_of_each_queue_and_set_of_resources_is_looked_at() {
        let (start, mut jobs) = (Instant::now(), WaitingJobs::default());
        let mut later = start;
        for (id, queue, licences) in
            [("a", "q", 0), ("b", "q", 0), ("c", "q", 1), ("d", "r", 0), ("e", "r", 1), ("f", "r", 1)]
        {
            jobs.add(&waiting(id, queue, licences), later);
            later += Duration::from_millis(100);
        }
        assert_eq!(jobs.next_look(), Some(start + LONG_WAIT));
        let now = start + LONG_WAIT;
        assert_eq!(ids(&jobs.due(now)), ["a", "c", "d", "e"]);
        let mut look = |id: &str, look: Look| jobs.set_looked_at(&id_of(id), look, now);
        look("a", Look::Waits);
        look("c", Look::HeldUp);
        look("d", Look::WaitsNoMore);
        look("e", Look::WaitsNoMore);
        // The next job of a group takes the place of one that has started.
        assert_eq!(jobs.next_look(), Some(now + LONG_WAIT));
        assert_eq!(ids(&jobs.due(now + LONG_WAIT)), ["f"]);
        jobs.set_looked_at(&id_of("f"), Look::HeldUp, now + LONG_WAIT);
        assert_eq!(jobs.next_look(), Some(now + LONG_WAIT * 4));
        assert_eq!(ids(&jobs.due(now + LONG_WAIT * 4)), ["a"]);
    }

    #[test]
    fn each_job_has_pauses_of_its_own_and_none_after_its_start() {
        let (start, mut jobs) = (Instant::now(), WaitingJobs::default());
        let (a, b) = (waiting("a", "q", 0), waiting("b", "q", 1));
        jobs.add(&a, start);
        let mut looks = Vec::new();
        while looks.len() < 5 {
            let now = jobs.next_look().unwrap();
            assert_eq!(ids(&jobs.due(now)), ["a"]);
            jobs.set_looked_at(&a.id(), Look::Waits, now);
            looks.push((now - start).as_secs());
        }
        assert_eq!(looks, [10, 50, 210, 810, 1410]);
        // A job that comes later is looked at as soon as the first one was.
        let later = start + Duration::from_secs(1500);
        jobs.add(&b, later);
        assert_eq!(jobs.next_look(), Some(later + LONG_WAIT));
        jobs.remove(&a.id());
        jobs.set_looked_at(&b.id(), Look::WaitsNoMore, later + LONG_WAIT);
        assert_eq!(jobs.next_look(), None);
    }

    #[test]
    fn an_array_that_waits_is_looked_at_less_and_less_often() {
        let (start, mut arrays) = (Instant::now(), WaitingArrays::default());
        let id = id_of("a");
        let mut looks = Vec::new();
        for second in (0..2000).step_by(10) {
            let now = start + Duration::from_secs(second);
            if arrays.is_due(&id, now) {
                arrays.set_looked_at(&id, Look::Waits, None, now);
                looks.push(second);
            }
        }
        assert_eq!(looks, [0, 40, 200, 800, 1400]);
        let now = start + Duration::from_secs(2000);
        arrays.set_looked_at(&id, Look::HeldUp, None, now);
        assert!(!arrays.is_due(&id, now + LONGEST_PAUSE_FOR_WAITS));
    }
}
