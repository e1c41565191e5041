//! `bwait`: waits for jobs.

use std::cell::RefCell;
use std::ffi::OsString;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser;
use serde::Serialize;
use tokio::time::Instant;

use super::CommonArgs;
use super::job_args::JobArgs;
use super::wait::{
    NamedJobs, Outcome, StuckJobs, WaitBar, end_with_waiter, failure_line, outcomes, report_failure,
    report_stuck_children, report_stuck_jobs,
};
use crate::aws::ResilientSession;
use crate::batch::{self, Job, JobWaitSet};
use crate::ui::{
    EndSignal, ErrorKind, Exit, Failure, Format, JsonArray, Layout, Output, View, print_message, until_signal,
};
use awsb_model::{JobId, ParsedJobRefs, Period, Status, words};

/// Wait until jobs have ended, and exit with the highest of their exit codes
#[derive(Debug, Parser)]
#[command(
    name = "bwait",
    version,
    after_help = "A line for each job as it ends: its ID, its name, its state, its exit code."
)]
pub struct Args {
    /// Wait for the first of them alone, and exit with its exit code
    #[arg(long)]
    any: bool,
    /// Wait until they have started; exit with 0
    #[arg(long)]
    started: bool,
    /// Wait no longer than this, then exit with 124; the jobs go on
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    timeout: Option<Period>,
    /// End the jobs that have not ended when a signal ends the waiting (Ctrl-C, SIGTERM, SIGHUP)
    #[arg(long)]
    kill_on_interrupt: bool,
    /// Only the child that has this task ID
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    task: Option<u32>,
    /// Print nothing but errors
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
    /// Jobs, array children (ID:INDEX) or ARNs; the beginning of an ID, `last`, or `-` for those on
    /// standard input
    #[arg(value_name = "ID", required = true)]
    jobs: Vec<ParsedJobRefs>,
    #[command(flatten)]
    common: CommonArgs,
}

/// `bwait`'s entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    super::run("bwait", words, |args: Args| {
        let wanted = JobArgs::read("bwait", &args.jobs)?;
        super::block_on_threads(args.wait(wanted))
    })
}

impl Args {
    async fn wait(&self, wanted: JobArgs) -> Result<Exit, Failure> {
        let deadline = self.timeout.map(|period| Instant::now() + period.get());
        if wanted.is_empty() {
            print_message("bwait: note: there is nothing to wait for: standard input names no job");
        }
        let session = self.common.open().await?;
        let mut found = wanted.find(&session, self.task).await?;
        let is_done = if self.started { Job::is_under_way } else { |job: &Job| job.status.has_ended() };
        let mut set = JobWaitSet::new(found.jobs.clone(), is_done);
        let output = self.common.output().outliving_its_reader();
        let (stuck, unreported) = StuckJobs::new("bwait");
        let mut reporter = OutcomeReporter::new(self, &output, set.jobs().count(), stuck);
        let observed = Observed::default();
        let mut contact = ResilientSession::new(session.clone(), "bwait");
        let (open, kills, of_last) = (observed.open.clone(), self.kill_on_interrupt, session.clone());
        let last = move |signal| async move {
            let open = open.get();
            match kills {
                true => end_with_waiter("bwait", &of_last, signal, &open.ids).await,
                false => open.report_going_on(signal),
            }
        };
        let outcome = {
            let mut all_done = pin!(self.wait_for_all(&mut set, &mut contact, &mut reporter, &observed));
            let in_time = async {
                tokio::select! {
                    // The state of the jobs counts before the timeout: with a timeout of 0, bwait
                    // asks once.
                    biased;
                    outcome = &mut all_done => outcome,
                    () = until(deadline) => match observed.open.get().ids.len() {
                        // All are done. Only their outcomes are still asked for.
                        0 => all_done.await,
                        _ => Err(self.timed_out(&observed.open.get())),
                    },
                    never = report_stuck_children("bwait", &session, &observed.arrays) => match never {},
                    never = report_stuck_jobs("bwait", &session, unreported) => match never {},
                }
            };
            until_signal(in_time, last).await.unwrap_or_else(|signal| Ok(Exit::Interrupted(signal)))
        };
        reporter.finish()?;
        found.failures.extend(set.lost().iter().map(|id| batch::unknown(&session, id)));
        let reported = found.report("bwait", Exit::Done);
        match outcome? {
            // A job that is not known counts as failed.
            Exit::Done | Exit::Job(0) => Ok(reported),
            exit => Ok(exit),
        }
    }

    /// Waits for the open jobs, and reports each that is done.
    async fn wait_for_all(
        &self,
        set: &mut JobWaitSet,
        contact: &mut ResilientSession,
        reporter: &mut OutcomeReporter<'_>,
        observed: &Observed,
    ) -> Result<Exit, Failure> {
        let mut highest = 0;
        let mut changed: Vec<Job> = set.jobs().cloned().collect();
        loop {
            observed.update(set);
            reporter.progress(set);
            let (done, open): (Vec<Job>, Vec<Job>) = changed.into_iter().partition(|job| set.is_done(job));
            let mut done = match self.started {
                true => done.into_iter().map(|job| Outcome { job, exit: 0, first: None }).collect(),
                false => outcomes(contact, done).await.map_err(|f| contact_lost(f, &observed.open.get()))?,
            };
            if self.any {
                done.sort_by_key(|outcome| outcome.job.stopped_at);
                done.truncate(1);
            }
            for outcome in &done {
                reporter.report(outcome)?;
                highest = highest.max(outcome.exit);
            }
            open.iter().for_each(|job| reporter.stuck.check(job));
            done.iter().for_each(|outcome| reporter.stuck.remove(&outcome.job));
            if set.open().next().is_none() || (self.any && !done.is_empty()) {
                return Ok(Exit::Job(highest));
            }
            changed = set.changes(contact).await.map_err(|f| contact_lost(f, &observed.open.get()))?;
        }
    }

    fn timed_out(&self, open: &UnfinishedJobs) -> Failure {
        let time = self.timeout.map_or(0, |period| period.get().as_secs());
        let jobs = |n| words::many(n, "job");
        let (running, waiting) = (open.running, open.ids.len().saturating_sub(open.running));
        let still = match (running, waiting) {
            _ if self.started => format!("{} not started yet", jobs(running + waiting)),
            (running, 0) => format!("{} still running", jobs(running)),
            (0, waiting) => format!("{} still waiting to run", jobs(waiting)),
            _ => format!("{} still running, and {waiting} waiting to run", jobs(running)),
        };
        let message = match time {
            0 => format!("{still} (`--timeout 0` is one look)"),
            _ => format!("timed out after {time} s; {still}"),
        };
        Failure::new(ErrorKind::TimedOut, message)
    }
}

/// Waits until a deadline; without one, for ever.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The failure of a call while the jobs go on.
fn contact_lost(failure: Failure, open: &UnfinishedJobs) -> Failure {
    let message = format!("contact is lost; {}: {failure}", open.go_on());
    failure.wrap(message).with_kind(ErrorKind::ContactLost)
}

/// The open jobs and arrays at the last poll, which other futures read.
#[derive(Debug, Default)]
struct Observed {
    open: SharedOpen,
    arrays: RefCell<Vec<JobId>>,
}

impl Observed {
    fn update(&self, set: &JobWaitSet) {
        let ids = set.open().map(Job::id).collect();
        let running = set.open().filter(|job| runs(job)).count();
        self.open.set(UnfinishedJobs { ids, all: set.jobs().count(), running });
        *self.arrays.borrow_mut() = set.open().filter(|job| job.is_array_parent()).map(Job::id).collect();
    }
}

/// Whether a job runs, or a child of it: the parent of an array whose children run is PENDING (UG,
/// `array_jobs`).
fn runs(job: &Job) -> bool {
    batch::Counts::of([job]).running > 0
}

/// The open jobs at the last poll. A signal handler on another thread reads them.
#[derive(Debug, Clone, Default)]
struct SharedOpen(Arc<Mutex<UnfinishedJobs>>);

impl SharedOpen {
    fn set(&self, open: UnfinishedJobs) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = open;
    }

    fn get(&self) -> UnfinishedJobs {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The jobs for which the waiting goes on.
#[derive(Debug, Clone, Default)]
struct UnfinishedJobs {
    ids: Vec<JobId>,
    /// The number of all jobs of this wait.
    all: usize,
    /// The number of open jobs that run.
    running: usize,
}

impl UnfinishedJobs {
    /// Reports that the open jobs go on without being waited for.
    fn report_going_on(&self, signal: EndSignal) {
        print_message(format!("bwait: {signal}; {}", self.go_on()));
        if !self.ids.is_empty() {
            let jobs = NamedJobs::new(self.ids.iter().map(JobId::as_str));
            let (list, them) = (jobs.list(), jobs.pronoun());
            print_message(format!("hint: `bwait {list}` waits for {them} again"));
            print_message(format!("hint: `bkill {list}` ends {them}"));
        }
    }

    /// `3 of 10 jobs go on`.
    fn go_on(&self) -> String {
        let open = self.ids.len();
        let goes = if open == 1 { "goes" } else { "go" };
        match open == self.all {
            true => format!("{} {goes} on", words::many(open, "job")),
            false => format!("{open} of {} {goes} on", words::many(self.all, "job")),
        }
    }
}

/// Reports the jobs that are done.
struct OutcomeReporter<'a> {
    args: &'a Args,
    output: &'a Output,
    array: Option<JsonArray<'a>>,
    bar: Option<WaitBar>,
    /// The number of jobs.
    count: usize,
    /// The number of jobs that have failed.
    failed: usize,
    /// A job that is stuck may be stuck for ever, so the user has to know, once.
    stuck: StuckJobs,
}

/// At most this many failed jobs are explained.
const MAX_EXPLAINED: usize = 10;

impl<'a> OutcomeReporter<'a> {
    fn new(args: &'a Args, output: &'a Output, count: usize, stuck: StuckJobs) -> Self {
        let array = (output.format() == Format::Json).then(|| output.json_array());
        let bar = (!args.quiet).then(|| if args.started { WaitBar::of_starts() } else { WaitBar::of_ends() });
        Self { args, output, array, bar, count, failed: 0, stuck }
    }

    fn report(&mut self, outcome: &Outcome) -> Result<(), Failure> {
        let Outcome { job, exit, first } = outcome;
        let has_ended = job.status.has_ended();
        let row = Row {
            job_id: &job.job_id,
            job_name: &job.job_name,
            status: job.status,
            status_reason: job.status_reason.as_deref(),
            started_at: job.started_at,
            stopped_at: job.stopped_at,
            exit_code: has_ended.then(|| if self.args.started { job.exit() } else { *exit }),
        };
        match &mut self.array {
            Some(array) => array.push(&serde_json::to_value(&row).unwrap_or_default())?,
            None if self.args.quiet => {}
            None => self.output.show(&row)?,
        }
        if job.status != Status::Failed || self.args.started {
            return Ok(());
        }
        self.failed += 1;
        match self.count {
            1 => report_failure("bwait", job, *exit, first.as_ref(), false, false),
            _ if self.failed <= MAX_EXPLAINED => print_message(failure_line("bwait", job, *exit)),
            _ => {}
        }
        Ok(())
    }

    fn progress(&mut self, set: &JobWaitSet) {
        if let Some(bar) = &mut self.bar {
            bar.show(set.counts());
        }
    }

    /// Prints the lines at the end.
    fn finish(mut self) -> Result<(), Failure> {
        self.bar = None;
        if self.count > 1 && self.failed > 0 {
            if self.failed > MAX_EXPLAINED {
                let more = self.failed - MAX_EXPLAINED;
                print_message(format!(
                    "bwait: and {more} more {} failed",
                    if more == 1 { "has" } else { "have" }
                ));
            }
            print_message(
                "hint: `bout ID` shows a job's output, `bstat --why ID` tells why it failed, and what to do",
            );
        }
        self.array.map_or(Ok(()), JsonArray::finish)
    }
}

/// A job that is done, as it is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    job_id: &'a str,
    job_name: &'a str,
    status: Status,
    status_reason: Option<&'a str>,
    started_at: Option<i64>,
    stopped_at: Option<i64>,
    exit_code: Option<u8>,
}

impl View for Row<'_> {
    fn plain(&self) -> Layout {
        let exit = self.exit_code.map_or("-".to_owned(), |code| code.to_string());
        Layout::Lines(vec![format!("{}  {}  {}  {exit}", self.job_id, self.job_name, self.status)])
    }

    fn json(&self) -> Vec<serde_json::Value> {
        vec![serde_json::to_value(self).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_whose_other_children_wait_does_not_run() {
        let array = |summary: &[(&str, i32)]| {
            let summary = summary.iter().map(|(status, n)| ((*status).to_owned(), *n)).collect();
            let mut job = Job::submitted("id".into(), "name".into(), None);
            job.status = Status::Pending;
            let properties = job.array_properties.insert(Default::default());
            (properties.size, properties.status_summary) = (Some(10), Some(summary));
            job
        };
        assert!(!runs(&array(&[("SUCCEEDED", 3), ("RUNNABLE", 7)])));
        assert!(runs(&array(&[("SUCCEEDED", 3), ("RUNNING", 1), ("RUNNABLE", 6)])));
    }
}
