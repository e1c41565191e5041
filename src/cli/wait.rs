//! Reports on jobs that a tool waits for: that they are stuck, how they have ended, and why.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::aws::{ResilientSession, Session};
use crate::batch::{self, Counts, Job};
use crate::diagnose::{self, Code, Diagnosis};
use crate::ui::{
    EndSignal, Failure, ProgressBar, SignalListener, print_message, sanitize, stderr_columns, wrapped,
};
use awsb_model::{JobId, RunningLimit, Status, limits, words};

/// The children of arrays are checked for the first time after this time, to see whether they are
/// stuck.
const FIRST_CHECK_FOR_STUCK: Duration = Duration::from_secs(3);
/// The longest pause between two such checks.
const LONGEST_PAUSE_FOR_STUCK: Duration = Duration::from_secs(120);

/// A job that waits for this long in its queue may be held up by more than busy machines.
const LONG_WAIT: Duration = Duration::from_secs(10);
/// The longest pause between two looks at the jobs that wait.
const LONGEST_PAUSE_FOR_WAITS: Duration = Duration::from_secs(600);
/// At most this many of the jobs that wait are looked at.
const MAX_WAITS_LOOKED_AT: usize = limits::DESCRIBE_JOBS_IDS;

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

/// Prints that jobs continue after the tool has stopped waiting, and how to reach them.
pub fn note_jobs_go_on(tool: &str, signal: EndSignal, ids: &[String]) {
    let (all, it) = (ids.join(","), if ids.len() == 1 { "it" } else { "them" });
    match ids.len() {
        0 => return print_message(format!("{tool}: {signal}")),
        1 => print_message(format!("{tool}: {signal}; the job {all} goes on")),
        _ => print_message(format!("{tool}: {signal}; the jobs {all} go on")),
    }
    print_message(format!(
        "hint: `bout -f {all}` shows {} output",
        if ids.len() == 1 { "its" } else { "their" }
    ));
    print_message(format!("hint: `bkill {all}` ends {it}"));
}

/// The tool takes at least this time to end jobs, even if more signals come.
const TIME_TO_END_JOBS: Duration = Duration::from_secs(2);

/// `--kill-on-interrupt`: ends the jobs that the tool waits for, and prints that. One more signal
/// breaks this off, once there was time to ask Batch.
pub async fn end_with_waiter(tool: &str, session: &Session, signal: EndSignal, ids: &[JobId]) {
    // The signal does not end the tool before this is done.
    let mut interrupts = SignalListener::listen();
    let listed = ids.iter().map(JobId::as_str).collect::<Vec<_>>().join(",");
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
        () = second_signal => return print_message(format!("{tool}: {signal} again; whether the job {listed} ends is not known")),
    };
    if failures.is_empty() {
        return print_message(format!("{tool}: {signal}; the job {listed} is being ended"));
    }
    for (id, failure) in failures {
        failure.hint(format!("the job {id} may go on; `bkill {id}` ends it")).report(tool);
    }
}

/// The jobs that are stuck. Each is reported once as `bstat --why` does, and once more for another
/// reason.
#[derive(Debug)]
pub struct StuckJobs {
    tool: &'static str,
    found: mpsc::UnboundedSender<Job>,
    reported: RefCell<HashMap<String, String>>,
}

/// The jobs that [`StuckJobs`] has found and that are not reported yet.
pub type UnreportedJobs = mpsc::UnboundedReceiver<Job>;

impl StuckJobs {
    /// No stuck jobs yet, for a tool that waits.
    pub fn new(tool: &'static str) -> (Self, UnreportedJobs) {
        let (found, unreported) = mpsc::unbounded_channel();
        (Self { tool, found, reported: RefCell::default() }, unreported)
    }

    /// Adds a job if it is stuck, or may be: one that waits in its queue, or takes consumable
    /// resources.
    pub fn check(&self, job: &Job) {
        let may_be = job.status == Status::Runnable || may_lack_resource(job);
        let Some(reason) = job.stuck().or(may_be.then_some("")) else { return };
        let before = self.reported.borrow_mut().insert(job.job_id.clone(), reason.to_owned());
        if before.as_deref() != Some(reason) && self.found.send(job.clone()).is_err() && !reason.is_empty() {
            report_stuck(self.tool, job, reason);
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

/// Reports stuck jobs as they are found, and once that a job is held up for long. It never ends.
pub async fn report_stuck_jobs(tool: &str, session: &Session, mut unreported: UnreportedJobs) -> Infallible {
    let mut waiting: Vec<JobId> = Vec::new();
    let mut pause = LONG_WAIT;
    let mut look_at: Option<Instant> = None;
    let mut is_said = false;
    loop {
        let next_look = async {
            match look_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            found = unreported.recv() => {
                let Some(job) = found else { return std::future::pending().await };
                let is_reported = report_reason(tool, session, &job).await;
                if !is_reported && !is_said && job.status == Status::Runnable {
                    waiting.push(job.id());
                    look_at.get_or_insert_with(|| Instant::now() + pause);
                }
            }
            () = next_look => {
                is_said = report_long_wait(tool, session, &mut waiting).await;
                // Each look takes several calls.
                pause = (pause * 4).min(LONGEST_PAUSE_FOR_WAITS);
                look_at = (!is_said && !waiting.is_empty()).then(|| Instant::now() + pause);
            }
        }
    }
}

/// Prints why the first of the jobs waits, if something holds it up. Jobs that do not wait any more
/// are removed. Returns whether it has printed that.
async fn report_long_wait(tool: &str, session: &Session, waiting: &mut Vec<JobId>) -> bool {
    if waiting.len() > 1 {
        let some = waiting.get(..MAX_WAITS_LOOKED_AT).unwrap_or(waiting.as_slice());
        let Ok(jobs) = batch::describe(session, some).await else { return false };
        let waits_no_more = |job: &Job| job.status != Status::Runnable;
        let gone: Vec<JobId> = jobs.into_iter().flatten().filter(waits_no_more).map(|job| job.id()).collect();
        waiting.retain(|id| !gone.contains(id));
    }
    match waiting.first() {
        Some(first) => report_hold_up(tool, session, first, &HOLD_UPS).await,
        None => false,
    }
}

/// Prints why a RUNNABLE job waits, if that is one of these findings. Returns whether it is.
async fn report_hold_up(tool: &str, session: &Session, id: &JobId, codes: &[Code]) -> bool {
    let evidence = diagnose::why(session, std::slice::from_ref(id)).await.unwrap_or_default();
    let [Some(facts)] = evidence.as_slice() else { return false };
    let answer = Diagnosis::of(facts);
    let is_held_up = facts.job.status == Status::Runnable
        && answer.findings.iter().any(|finding| codes.contains(&finding.code));
    if is_held_up {
        print_diagnosis(tool, session, answer);
    }
    is_held_up
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

/// Reports stuck children of these arrays, because Batch gives the reason for children, not for the
/// array. It checks less and less often, and never ends.
pub async fn report_stuck_children(
    tool: &str,
    session: &Session,
    arrays: &RefCell<Vec<JobId>>,
) -> Infallible {
    let mut pause = FIRST_CHECK_FOR_STUCK;
    let mut reported: HashMap<JobId, Option<String>> = HashMap::new();
    let mut is_said = false;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE_FOR_STUCK);
        let open = arrays.borrow().clone();
        for id in open {
            // If Batch cannot be asked now, it is asked later.
            let Ok(waiting) = batch::children(session, &id, &[Status::Runnable]).await else { continue };
            let Some((child, reason)) = waiting.iter().find_map(|c| Some((c, c.stuck()?))) else {
                // Children start in the order of their indices: where the first one waits, none
                // runs. That a task waits for another one is not worth a word.
                let first = waiting.iter().find(|child| child.job_id.ends_with(":0"));
                if let Some(first) = first.filter(|_| !is_said && pause > LONG_WAIT) {
                    is_said = report_hold_up(tool, session, &first.id(), &HOLD_UPS).await;
                }
                continue;
            };
            let before = reported.entry(id).or_default();
            if before.as_deref() != Some(reason) {
                *before = Some(reason.to_owned());
                report_reason(tool, session, child).await;
            }
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
