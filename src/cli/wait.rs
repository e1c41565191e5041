//! What everybody who waits for jobs has to say of them: that they are stuck, how they ended, and why.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::aws::{Contact, Session};
use crate::batch::{self, Counts, Job};
use crate::diagnose::{self, Diagnosis};
use crate::ui::{EndSignal, Failure, Interrupts, Progress, harmless, note, stderr_columns, wrapped};
use awsb_model::{JobId, Status, words};

/// When the children of arrays are looked at first, to see whether they are stuck,
const FIRST_LOOK_FOR_STUCK: Duration = Duration::from_secs(3);
/// and how long at most until the next look.
const LONGEST_PAUSE_FOR_STUCK: Duration = Duration::from_secs(120);

/// A job that has ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The job.
    pub job: Job,
    /// Its exit code; of an array the highest of its children's, of what failed without one 1.
    pub exit: u8,
    /// Of an array, the first child that failed.
    pub first: Option<Job>,
}

/// How a job has ended.
///
/// # Errors
/// As [`outcomes`].
pub async fn outcome(contact: &mut Contact, job: Job) -> Result<Outcome, Failure> {
    let known = outcomes(contact, vec![job.clone()]).await?.pop();
    Ok(known.unwrap_or_else(|| Outcome { exit: job.exit(), job, first: None }))
}

/// How these jobs have ended.
///
/// # Errors
/// When contact was lost for good before the children of an array were asked for.
pub async fn outcomes(contact: &mut Contact, jobs: Vec<Job>) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::new();
    let mut listed: HashMap<String, Vec<Job>> = HashMap::new();
    for job in jobs {
        let (mut exit, mut first) = (job.exit(), None);
        let has_failed = job.status == Status::Failed;
        if has_failed && job.is_array_parent() {
            let id = job.id();
            let failed = contact.keep(async |s| batch::children(s, &id, &[Status::Failed]).await).await?;
            exit = failed.iter().map(Job::exit).max().unwrap_or(1);
            first = failed.into_iter().next();
        } else if has_failed && job.exit_code().is_none() && job.started_at.is_some() {
            // A description may lack what the listing has (moto's does). All who share a queue share its listing.
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
    Ok(outcomes)
}

/// The bar of whoever waits for many: how many of them, the children of arrays among them, have come so far.
#[derive(Debug)]
pub struct Bar {
    bar: Progress,
    is_of_starts: bool,
}

impl Bar {
    /// They are waited for until they have ended.
    pub fn of_ends() -> Self {
        Self { bar: Progress::of_jobs(), is_of_starts: false }
    }

    /// They are waited for until they have started.
    pub fn of_starts() -> Self {
        Self { bar: Progress::of_jobs(), is_of_starts: true }
    }

    /// Shows how far they have come.
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

/// How a job has ended, for a person who has waited for it: `SUCCEEDED in 8 s`. The time is that from its submission to its
/// end.
fn ended(job: &Job) -> String {
    let times = job.stopped_at.zip(job.created_at).filter(|(end, begin)| *begin > 0 && end >= begin);
    let time = times.map(|(end, begin)| format!(" in {}", words::span(end - begin)));
    format!("{}{}", job.status, time.unwrap_or_default())
}

/// Of an array: `7 of 10 children succeeded`.
fn children_succeeded(job: &Job) -> Option<String> {
    let size = job.array_size().filter(|_| job.is_array_parent())?;
    Some(format!("{} of {} succeeded", Counts::of([job]).succeeded, words::many(size, "child")))
}

/// Says that a job has succeeded, to a person who has waited for it.
pub fn tell_success(tool: &str, job: &Job) {
    let children = children_succeeded(job).map(|children| format!(": {children}")).unwrap_or_default();
    note(format!("{tool}: job {} ({}) {}{children}", job.job_id, job.job_name, ended(job)));
}

/// Says that jobs go on although nobody waits for them any more, and how one gets at them.
pub fn tell_goes_on(tool: &str, signal: EndSignal, ids: &[String]) {
    let (all, it) = (ids.join(","), if ids.len() == 1 { "it" } else { "them" });
    match ids.len() {
        0 => return note(format!("{tool}: {signal}")),
        1 => note(format!("{tool}: {signal}; the job {all} goes on")),
        _ => note(format!("{tool}: {signal}; the jobs {all} go on")),
    }
    note(format!("hint: `bout -f {all}` shows {} output", if ids.len() == 1 { "its" } else { "their" }));
    note(format!("hint: `bkill {all}` ends {it}"));
}

/// However many signals come, ending jobs with whoever waits for them has this much time.
const TO_END_JOBS: Duration = Duration::from_secs(2);

/// `--kill-on-interrupt`: ends jobs with whoever waits for them, and says so. One more signal breaks that off, once there was
/// time to ask Batch.
pub async fn end_with_waiter(tool: &str, session: &Session, signal: EndSignal, ids: &[JobId]) {
    // The tool does not end by the signal before this is done.
    let mut interrupts = Interrupts::listen();
    let listed = ids.iter().map(JobId::as_str).collect::<Vec<_>>().join(",");
    let reason = format!("{tool} --kill-on-interrupt: {signal}");
    let end = async {
        let failures = batch::terminate_each(session, ids, &reason).await;
        let Some((_, first)) = failures.first() else { return failures };
        // The session may be as old as the waiting: its credentials have run out, or the server has another port.
        let Ok(renewed) = session.renew(first).await else { return failures };
        let ids: Vec<JobId> = failures.into_iter().map(|(id, _)| id).collect();
        batch::terminate_each(&renewed, &ids, &reason).await
    };
    let at_least = tokio::time::sleep(TO_END_JOBS);
    let again = async {
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
        () = again => return note(format!("{tool}: {signal} again; whether the job {listed} ends is not known")),
    };
    if failures.is_empty() {
        return note(format!("{tool}: {signal}; the job {listed} is being ended"));
    }
    for (id, failure) in failures {
        failure.hint(format!("the job {id} may go on; `bkill {id}` ends it")).report(tool);
    }
}

/// Jobs that are stuck: each is told of once, as `bstat --why` tells it, and again when it is for another reason.
#[derive(Debug)]
pub struct Stuck {
    tool: &'static str,
    found: mpsc::UnboundedSender<Job>,
    told: RefCell<HashMap<String, String>>,
}

/// The jobs that [`Stuck`] has found and that are still to be told of.
pub type Untold = mpsc::UnboundedReceiver<Job>;

impl Stuck {
    /// For a tool that waits.
    pub fn new(tool: &'static str) -> (Self, Untold) {
        let (found, untold) = mpsc::unbounded_channel();
        (Self { tool, found, told: RefCell::default() }, untold)
    }

    /// Takes note of a job if it is stuck.
    pub fn look(&self, job: &Job) {
        let Some(reason) = job.stuck() else { return };
        let before = self.told.borrow_mut().insert(job.job_id.clone(), reason.to_owned());
        if before.as_deref() != Some(reason) && self.found.send(job.clone()).is_err() {
            tell_stuck(self.tool, job, reason);
        }
    }
}

/// Tells of jobs that are stuck, as they are found. It never ends.
pub async fn tell_why_stuck(tool: &str, session: &Session, mut untold: Untold) -> Infallible {
    loop {
        match untold.recv().await {
            Some(job) => tell_why(tool, session, &job).await,
            None => std::future::pending().await,
        }
    }
}

/// Says why a job is stuck and what to do about it, or Batch's own words where that cannot be found out.
async fn tell_why(tool: &str, session: &Session, job: &Job) {
    let Some(reason) = job.stuck() else { return };
    let known = diagnose::why(session, &[job.id()]).await.unwrap_or_default();
    let [Some(facts)] = known.as_slice() else {
        return tell_stuck(tool, job, reason);
    };
    // It may have got its place meanwhile.
    if facts.job.status != Status::Runnable {
        return;
    }
    let answer = Diagnosis::of(facts);
    let lines = answer.lines();
    let columns = stderr_columns();
    for (n, line) in lines.iter().enumerate() {
        let line = if n == 0 { format!("{tool}: job {line}") } else { line.clone() };
        wrapped(&harmless(&line), columns).iter().for_each(note);
    }
}

/// Says that a job is stuck, in Batch's words.
fn tell_stuck(tool: &str, job: &Job, reason: &str) {
    note(format!("{tool}: job {} is {}: {}", job.job_id, job.status, harmless(reason)));
}

/// Says it when children of these arrays are stuck: Batch tells that of the children, not of the array. It looks less
/// and less often, and never ends.
pub async fn tell_stuck_children(tool: &str, session: &Session, arrays: &RefCell<Vec<JobId>>) -> Infallible {
    let mut pause = FIRST_LOOK_FOR_STUCK;
    let mut said: HashMap<JobId, Option<String>> = HashMap::new();
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE_FOR_STUCK);
        let open = arrays.borrow().clone();
        for id in open {
            // Who cannot be asked now is asked later.
            let Ok(waiting) = batch::children(session, &id, &[Status::Runnable]).await else { continue };
            let Some((child, reason)) = waiting.iter().find_map(|c| Some((c, c.stuck()?))) else { continue };
            let before = said.entry(id).or_default();
            if before.as_deref() != Some(reason) {
                *before = Some(reason.to_owned());
                tell_why(tool, session, child).await;
            }
        }
    }
}

/// Says that a job has failed, why, and what to do next. `is_timed`: and after which time, of an array how many of its
/// children have succeeded.
pub fn tell_failure(tool: &str, job: &Job, exit: u8, first: Option<&Job>, has_output: bool, is_timed: bool) {
    if let Some(child) = first {
        note(failure_line(tool, child, child.exit()));
    }
    match is_timed {
        true => {
            let children = children_succeeded(job).map(|children| format!("; {children}"));
            note(format!("{}{}", line_on(tool, job, &ended(job), exit), children.unwrap_or_default()));
        }
        false => note(failure_line(tool, job, exit)),
    }
    if job.lacks_sh() {
        note(super::LACKS_SH);
    } else if job.started_at.is_none() && !job.is_array_parent() {
        note(format!("hint: `bstat --why {}` tells why it never ran", job.job_id));
    } else {
        if !has_output {
            note(format!("hint: `bout {}` shows its output", job.job_id));
        }
        note(format!("hint: `bstat --why {}` tells why it failed, and what to do", job.job_id));
    }
    if job.is_array_parent() {
        note(format!("hint: `bstat -s FAILED {}` tells which children failed", job.job_id));
    }
}

/// Says that not all of a job's output was kept, if that is so.
pub fn tell_lost_output(tool: &str, job: &Job) {
    if let Some(lost) = job.lost_output() {
        note(format!("{tool}: warning: not all of the output of the job {} was kept: {lost}", job.job_id));
    }
}

/// One line on a job that has failed.
pub fn failure_line(tool: &str, job: &Job, exit: u8) -> String {
    line_on(tool, job, "FAILED", exit)
}

fn line_on(tool: &str, job: &Job, ended: &str, exit: u8) -> String {
    let of_container = job.container.as_ref().and_then(|c| c.reason.as_deref());
    let mut reasons = batch::reasons(job.informative_reason(), of_container).into_iter();
    // An exit code may be all that there is to say.
    let reason = match (reasons.next(), job.exit_code()) {
        (Some(reason), _) => format!(": {reason}"),
        (None, Some(_)) => String::new(),
        (None, None) => ": no reason is given".to_owned(),
    };
    let detail = reasons.next().map(|r| format!(" ({r})")).unwrap_or_default();
    // One that never ran has none.
    let never_ran = job.started_at.is_none() && job.exit_code().is_none() && !job.is_array_parent();
    let code = if never_ran { String::new() } else { format!(" with exit code {exit}") };
    let line = format!("{tool}: job {} ({}) {ended}{code}{reason}{detail}", job.job_id, job.job_name);
    // A reason may have line breaks, as whoever ended the job gave it; what is said of a job is one line.
    harmless(&line).into_owned()
}
