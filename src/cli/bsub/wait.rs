//! The time after the submission: announces the job, waits for its end, and derives the exit code.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::IsTerminal;

use serde::Serialize;
use serde_json::{Value, json};

use super::super::bout::{Printer, Style};
use super::args::Args;
use super::resolved_options::ResolvedOptions;
use crate::aws::{ResilientSession, Session};
use crate::batch::{self, Job, JobWaitSet, SubmissionRecord, Submitted, SubmittedJobs};
use crate::cli::wait::{
    NamedJobs, Outcome, StuckJobs, WaitBar, end_with_waiter, note_jobs_go_on, outcome, outcomes,
    report_failure, report_stuck_children, report_stuck_jobs, report_success,
};
use crate::logs::{self, Event, FollowOptions};
use crate::ui::{
    ErrorKind, Exit, Failure, Format, Layout, OpenArray, View, print_message, stdout_may_be_closed,
    until_signal,
};
use awsb_model::{JobId, JobNumber, Status};

impl Args {
    /// Announces the jobs, and waits for their end or a signal if that is asked for.
    pub(super) async fn announce_and_wait(
        &self,
        options: &ResolvedOptions,
        session: Session,
        submitted: &SubmittedJobs,
        record: Option<SubmissionRecord>,
        is_numbered: bool,
    ) -> Result<Exit, Failure> {
        let announce = |json: Option<&mut OpenArray<'_>>| -> Result<(), Failure> {
            let announced = self.announce(options, submitted);
            let announced = announced.and_then(|()| json.map_or(Ok(()), |json| open(json, submitted)));
            // The jobs exist, whether or not their IDs could be printed.
            if let Some(record) = record {
                record.complete("bsub");
            }
            announced?;
            if is_numbered {
                self.note_numbers(&submitted.jobs);
            }
            Ok(())
        };
        if !(options.wait || options.interactive) {
            return announce(None).map(|()| Exit::Done);
        }
        let jobs: Vec<JobId> = submitted.jobs.iter().map(Submitted::id).collect();
        if let (true, [job]) = (self.pty, jobs.as_slice()) {
            announce(None)?;
            return self.attach_terminal(session, job).await;
        }
        let ids: Vec<String> = submitted.jobs.iter().map(|job| job.job_id.clone()).collect();
        let contact = session.clone();
        let kills = options.kill_on_interrupt;
        let last = move |signal| async move {
            match kills {
                true => end_with_waiter("bsub", &contact, signal, &jobs).await,
                false => note_jobs_go_on("bsub", signal, &ids),
            }
        };
        if options.interactive {
            let work = async {
                announce(None)?;
                self.follow(session, &submitted.jobs).await
            };
            return until_signal(work, last).await.unwrap_or_else(|signal| Ok(Exit::Interrupted(signal)));
        }
        let mut seen = WaitedJobs { wait_set: JobWaitSet::submitted(&submitted.jobs), exits: HashMap::new() };
        let output = self.common.output().outliving_its_reader();
        let mut json = (output.format() == Format::Json).then(|| output.open_array());
        let mut outcome = {
            let work = async {
                announce(json.as_mut())?;
                self.wait(session, &submitted.jobs, &mut seen).await
            };
            until_signal(work, last).await.unwrap_or_else(|signal| Ok(Exit::Interrupted(signal)))
        };
        if let Some(json) = json
            && let Err(failure) = json.close(&seen.end_elements(&submitted.jobs))
        {
            outcome = outcome.and(Err(failure));
        }
        outcome
    }

    /// Announces the jobs, on stderr if stdout is for the output of the job.
    fn announce(&self, options: &ResolvedOptions, submitted: &SubmittedJobs) -> Result<(), Failure> {
        if self.quiet && !self.parsable {
            return Ok(());
        }
        if submitted.earlier && !self.quiet && (self.parsable || self.common.json) {
            print_message("bsub: note: nothing was submitted, as this key's job is there already");
        }
        if options.wait && !options.interactive && self.common.json {
            // The JSON array is opened instead.
            return Ok(());
        }
        let announcement =
            Announcement { submitted: &submitted.jobs, earlier: submitted.earlier, parsable: self.parsable };
        if options.interactive || (options.wait && !self.parsable) {
            if let Layout::Lines(lines) = announcement.plain() {
                lines.iter().for_each(print_message);
            }
            return Ok(());
        }
        if stdout_may_be_closed() {
            // Rust opens /dev/null in place of a closed standard output, and the ID would be lost.
            print_message(format!(
                "bsub: note: standard output is closed or is /dev/null; the job {} has been submitted",
                ids(&submitted.jobs)
            ));
        }
        self.common
            .output()
            .show(&announcement)
            .map_err(|f| f.hint(format!("the job {} has been submitted", ids(&submitted.jobs))))
    }

    /// Notes that each part of an array has a number of its own, so its tasks do not have the same
    /// `SLURM_ARRAY_JOB_ID` or `LSB_JOBID`.
    fn note_numbers(&self, submitted: &[Submitted]) {
        let numbers: Vec<String> = submitted
            .iter()
            .filter_map(|job| JobNumber::of(&job.id()))
            .map(|number| number.to_string())
            .collect();
        if !self.quiet && numbers.len() > 1 {
            print_message(format!(
                "bsub: note: the array has {} parts, and each has a number of its own: {}",
                numbers.len(),
                numbers.join(", ")
            ));
        }
    }

    /// `-K`: waits for the end of all jobs, and returns the highest of their exit codes.
    async fn wait(
        &self,
        session: Session,
        submitted: &[Submitted],
        seen: &mut WaitedJobs,
    ) -> Result<Exit, Failure> {
        let arrays = RefCell::default();
        let (stuck, unreported) = StuckJobs::new("bsub");
        let asker = session.clone();
        let mut contact = ResilientSession::new(session, "bsub");
        tokio::select! {
            exit = self.wait_for_end(&mut contact, seen, &arrays, &stuck) => {
                exit.map_err(|f| contact_lost(f, submitted))
            }
            never = report_stuck_children("bsub", &asker, &arrays) => match never {},
            never = report_stuck_jobs("bsub", &asker, unreported) => match never {},
        }
    }

    async fn wait_for_end(
        &self,
        contact: &mut ResilientSession,
        seen: &mut WaitedJobs,
        arrays: &RefCell<Vec<JobId>>,
        stuck: &StuckJobs,
    ) -> Result<Exit, Failure> {
        let on_terminal = shows_progress(self.quiet);
        let mut bar = on_terminal.then(WaitBar::of_ends);
        let mut stages: HashMap<String, Status> = HashMap::new();
        while seen.wait_set.open().next().is_some() {
            let changed = seen.wait_set.changes(contact).await?;
            if let Some(lost) = seen.wait_set.lost().first() {
                return Err(batch::unknown(contact.session(), lost));
            }
            let is_one = {
                let mut jobs = seen.wait_set.jobs();
                jobs.next().is_some_and(|job| !job.is_array_parent()) && jobs.next().is_none()
            };
            *arrays.borrow_mut() =
                seen.wait_set.open().filter(|job| job.is_array_parent()).map(Job::id).collect();
            let mut ended = Vec::new();
            for job in changed {
                // A stuck job may be stuck forever, so the user has to know.
                stuck.check(&job);
                if job.status.has_ended() {
                    ended.push(job);
                } else if is_one
                    && on_terminal
                    && job.stuck().is_none()
                    && stages.insert(job.job_id.clone(), job.status) != Some(job.status)
                {
                    print_message(format!("bsub: job {} is {}", job.job_id, job.status));
                }
            }
            if let Some(bar) = bar.as_mut().filter(|_| !is_one) {
                bar.show(seen.wait_set.counts());
            }
            for outcome in outcomes(contact, ended).await? {
                if seen.wait_set.open().next().is_none() {
                    bar = None;
                }
                report_end(&outcome, false, on_terminal);
                seen.exits.insert(outcome.job.job_id, outcome.exit);
            }
        }
        Ok(Exit::Job(seen.exits.values().copied().max().unwrap_or(0)))
    }

    /// `-I`: prints the output of all jobs until their end, and returns the highest of their exit
    /// codes.
    async fn follow(&self, session: Session, submitted: &[Submitted]) -> Result<Exit, Failure> {
        let mut contact = ResilientSession::new(session, "bsub");
        let is_unwritten = Cell::new(false);
        let all = async {
            let mut highest = 0;
            for job in submitted {
                highest = highest.max(self.follow_one(&mut contact, job, &is_unwritten).await?);
            }
            Ok(Exit::Job(highest))
        };
        all.await.map_err(|f: Failure| match is_unwritten.get() {
            // A full disk is not a loss of contact.
            true => {
                let jobs = named(submitted);
                let (go, list) = (jobs.verb("goes on", "go on"), jobs.list());
                f.hint(format!("{jobs} {go}; `bout -f {list}` shows {}", jobs.output()))
            }
            false => contact_lost(f, submitted),
        })
    }

    async fn follow_one(
        &self,
        contact: &mut ResilientSession,
        submitted: &Submitted,
        is_unwritten: &Cell<bool>,
    ) -> Result<u8, Failure> {
        let id = submitted.id();
        let on_terminal = shows_progress(self.quiet);
        let arrays = RefCell::default();
        let (stuck, unreported) = StuckJobs::new("bsub");
        let seen = |job: &Job| {
            if job.is_array_parent() {
                *arrays.borrow_mut() = vec![job.id()];
            }
            stuck.check(job);
            if on_terminal && job.stuck().is_none() && !job.status.has_ended() {
                print_message(format!("bsub: job {} is {}", job.job_id, job.status));
            }
        };
        let session = contact.session().clone();
        let end = async {
            // The exit code is that of the job even if nobody reads its output.
            let printer = Printer::new(self.common.output().outliving_its_reader(), Style::default());
            let print =
                |events: &[Event]| printer.print(events, true).inspect_err(|_| is_unwritten.set(true));
            logs::follow(contact, &id, &FollowOptions::default(), seen, print).await.map(|ended| ended.job)
        };
        let job = tokio::select! {
            job = end => job?,
            never = report_stuck_children("bsub", &session, &arrays) => match never {},
            never = report_stuck_jobs("bsub", &session, unreported) => match never {},
        };
        let outcome = outcome(contact, job).await?;
        report_end(&outcome, true, false);
        Ok(outcome.exit)
    }
}

/// Whether the progress of the jobs is shown to a person.
fn shows_progress(quiet: bool) -> bool {
    std::io::stderr().is_terminal() && !quiet
}

/// Prints a failed end of a job; with `is_timed` every end, with its time.
fn report_end(outcome: &Outcome, has_output: bool, is_timed: bool) {
    let Outcome { job, exit, first } = outcome;
    if job.status == Status::Failed {
        return report_failure("bsub", job, *exit, first.as_ref(), has_output, is_timed);
    }
    if let Some(reason) = job.container_reason() {
        // A part of the output may be lost.
        print_message(format!("bsub: job {}: {reason}", job.title()));
    }
    if is_timed {
        report_success("bsub", job);
    }
}

/// The jobs that `-K` waits for.
#[derive(Debug)]
struct WaitedJobs {
    wait_set: JobWaitSet,
    /// The exit codes of the jobs that have ended.
    exits: HashMap<String, u8>,
}

impl WaitedJobs {
    /// The elements that `--json` prints at the end.
    fn end_elements(&self, submitted: &[Submitted]) -> Vec<Value> {
        let end = |submitted: &Submitted| {
            let job = self.wait_set.jobs().find(|job| job.job_id == submitted.job_id);
            json!(JobEnd {
                submitted,
                status: job.map(|job| job.status),
                status_reason: job.and_then(|job| job.status_reason.as_deref()),
                exit_code: self.exits.get(&submitted.job_id).copied(),
            })
        };
        submitted.iter().map(end).collect()
    }
}

/// An element of the JSON array of `-K`: that of `--json` without `-K`, and the last known state of
/// the job.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct JobEnd<'a> {
    #[serde(flatten)]
    submitted: &'a Submitted,
    status: Option<Status>,
    status_reason: Option<&'a str>,
    exit_code: Option<u8>,
}

/// Begins the JSON array of `-K`. The first job is printed at once.
fn open(json: &mut OpenArray<'_>, submitted: &SubmittedJobs) -> Result<(), Failure> {
    let Some(first) = submitted.jobs.first() else { return Ok(()) };
    let all = ids(&submitted.jobs);
    json.begin(&json!(first)).map_err(|f| f.hint(format!("the job {all} has been submitted")))?;
    if submitted.jobs.len() > 1 {
        print_message(format!("bsub: note: the array has {} parts: {all}", submitted.jobs.len()));
    }
    Ok(())
}

/// The IDs as all tools accept them.
fn ids(submitted: &[Submitted]) -> String {
    submitted.iter().map(|s| s.job_id.as_str()).collect::<Vec<_>>().join(",")
}

/// The jobs in the words of a message.
fn named(submitted: &[Submitted]) -> NamedJobs {
    NamedJobs::new(submitted.iter().map(|job| job.job_id.as_str()))
}

/// The failure after the submission. The jobs continue, and only contact is lost.
fn contact_lost(failure: Failure, submitted: &[Submitted]) -> Failure {
    let jobs = named(submitted);
    let (list, goes, is) =
        (jobs.list(), jobs.verb("it goes on", "they go on"), jobs.verb("it is", "they are"));
    let message = format!("contact with {jobs} is lost; {goes}: {failure}");
    failure
        .wrap(message)
        .with_kind(ErrorKind::ContactLost)
        .hint(format!("`bstat {list}` tells how {is}, `bout -f {list}` shows {}", jobs.output()))
}

/// The announcement of the submitted jobs.
struct Announcement<'a> {
    submitted: &'a [Submitted],
    earlier: bool,
    parsable: bool,
}

impl View for Announcement<'_> {
    fn plain(&self) -> Layout {
        if self.parsable {
            return Layout::Lines(vec![ids(self.submitted)]);
        }
        let what = match self.earlier {
            true => "was submitted earlier, and is not submitted again",
            false => "has been submitted",
        };
        let line = |job: &Submitted| format!("Job {} ({}) {what}.", job.job_id, job.job_name);
        Layout::Lines(self.submitted.iter().map(line).collect())
    }

    fn json(&self) -> Vec<serde_json::Value> {
        self.submitted.iter().map(|job| serde_json::to_value(job).unwrap_or_default()).collect()
    }
}
