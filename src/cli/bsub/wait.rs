//! After the submission: announcing the job, waiting for its end, and what its end means for the
//! exit code.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::IsTerminal;

use serde::Serialize;
use serde_json::{Value, json};

use super::super::bout::{Printer, Style};
use super::Args;
use super::resolved_options::ResolvedOptions;
use crate::aws::{Contact, Session};
use crate::batch::{self, Job, JobWaitSet, Once, Submitted};
use crate::cli::waiting::{
    Bar, Outcome, Stuck, end_with_waiter, outcome, outcomes, tell_failure, tell_goes_on, tell_stuck_children,
    tell_success, tell_why_stuck,
};
use crate::logs::{self, Event, FollowOptions};
use crate::ui::{ErrorKind, Exit, Failure, Format, Layout, OpenArray, View, note, until_signal};
use awsb_model::{JobId, JobNumber, Status};

impl Args {
    /// Says that the jobs have been submitted, and waits for their end or a signal if that is asked
    /// for.
    pub(super) async fn announce_and_wait(
        &self,
        options: &ResolvedOptions,
        session: Session,
        submitted: &Once,
        is_numbered: bool,
    ) -> Result<Exit, Failure> {
        let announce = || -> Result<(), Failure> {
            self.announce(options, submitted)?;
            if is_numbered {
                self.tell_numbers(&submitted.jobs);
            }
            Ok(())
        };
        if !(options.wait || options.interactive) {
            return announce().map(|()| Exit::Done);
        }
        let jobs: Vec<JobId> = submitted.jobs.iter().map(Submitted::id).collect();
        let ids: Vec<String> = submitted.jobs.iter().map(|job| job.job_id.clone()).collect();
        let contact = session.clone();
        let kills = options.kill_on_interrupt;
        let last = move |signal| async move {
            match kills {
                true => end_with_waiter("bsub", &contact, signal, &jobs).await,
                false => tell_goes_on("bsub", signal, &ids),
            }
        };
        if options.interactive {
            let story = async {
                announce()?;
                self.follow(session, &submitted.jobs).await
            };
            return until_signal(story, last).await.unwrap_or_else(|signal| Ok(Exit::Interrupted(signal)));
        }
        let mut seen = Seen { crowd: JobWaitSet::submitted(&submitted.jobs), exits: HashMap::new() };
        let output = self.common.output().outliving_its_reader();
        let mut json = (output.format() == Format::Json).then(|| output.open_array());
        let mut outcome = {
            let story = async {
                announce()?;
                if let Some(json) = &mut json {
                    open(json, submitted)?;
                }
                self.wait(session, &submitted.jobs, &mut seen).await
            };
            until_signal(story, last).await.unwrap_or_else(|signal| Ok(Exit::Interrupted(signal)))
        };
        if let Some(json) = json
            && let Err(failure) = json.close(&seen.ends(&submitted.jobs))
        {
            outcome = outcome.and(Err(failure));
        }
        outcome
    }

    /// Says that the jobs have been submitted. When stdout is the job's, stderr is told.
    fn announce(&self, options: &ResolvedOptions, submitted: &Once) -> Result<(), Failure> {
        if self.quiet {
            return Ok(());
        }
        if submitted.earlier && (self.parsable || self.common.json) {
            note("bsub: note: nothing was submitted, as this key's job is there already");
        }
        if options.wait && !options.interactive && self.common.json {
            // The array is opened instead.
            return Ok(());
        }
        let news = News { submitted: &submitted.jobs, earlier: submitted.earlier, parsable: self.parsable };
        if options.interactive || (options.wait && !self.parsable) {
            if let Layout::Lines(lines) = news.plain() {
                lines.iter().for_each(note);
            }
            return Ok(());
        }
        self.common
            .output()
            .show(&news)
            .map_err(|f| f.hint(format!("the job {} has been submitted", ids(&submitted.jobs))))
    }

    /// Says that the parts of one array have a number each: its tasks do not have the same
    /// `SLURM_ARRAY_JOB_ID` or `LSB_JOBID`.
    fn tell_numbers(&self, submitted: &[Submitted]) {
        let numbers: Vec<String> = submitted
            .iter()
            .filter_map(|job| JobNumber::of(&job.id()))
            .map(|number| number.to_string())
            .collect();
        if !self.quiet && numbers.len() > 1 {
            note(format!(
                "bsub: note: the array has {} parts, and each has a number of its own: {}",
                numbers.len(),
                numbers.join(", ")
            ));
        }
    }

    /// `-K`: waits for the end of all jobs; the highest of their exit codes.
    async fn wait(
        &self,
        session: Session,
        submitted: &[Submitted],
        seen: &mut Seen,
    ) -> Result<Exit, Failure> {
        let arrays = RefCell::default();
        let (stuck, untold) = Stuck::new("bsub");
        let asker = session.clone();
        let mut contact = Contact::new(session, "bsub");
        tokio::select! {
            exit = self.see_to_the_end(&mut contact, seen, &arrays, &stuck) => {
                exit.map_err(|f| contact_lost(f, &ids(submitted)))
            }
            never = tell_stuck_children("bsub", &asker, &arrays) => match never {},
            never = tell_why_stuck("bsub", &asker, untold) => match never {},
        }
    }

    async fn see_to_the_end(
        &self,
        contact: &mut Contact,
        seen: &mut Seen,
        arrays: &RefCell<Vec<JobId>>,
        stuck: &Stuck,
    ) -> Result<Exit, Failure> {
        let on_terminal = is_told(self.quiet);
        let mut bar = on_terminal.then(Bar::of_ends);
        let mut stages: HashMap<String, Status> = HashMap::new();
        while seen.crowd.open().next().is_some() {
            let news = seen.crowd.changes(contact).await?;
            if let Some(lost) = seen.crowd.lost().first() {
                return Err(batch::unknown(contact.session(), lost));
            }
            let is_one = {
                let mut jobs = seen.crowd.jobs();
                jobs.next().is_some_and(|job| !job.is_array_parent()) && jobs.next().is_none()
            };
            *arrays.borrow_mut() =
                seen.crowd.open().filter(|job| job.is_array_parent()).map(Job::id).collect();
            let mut ended = Vec::new();
            for job in news {
                // A job that is stuck may be stuck for ever: whoever waits for it has to know.
                stuck.look(&job);
                if job.status.has_ended() {
                    ended.push(job);
                } else if is_one
                    && on_terminal
                    && job.stuck().is_none()
                    && stages.insert(job.job_id.clone(), job.status) != Some(job.status)
                {
                    note(format!("bsub: job {} is {}", job.job_id, job.status));
                }
            }
            if let Some(bar) = bar.as_mut().filter(|_| !is_one) {
                bar.show(seen.crowd.counts());
            }
            for outcome in outcomes(contact, ended).await? {
                if seen.crowd.open().next().is_none() {
                    bar = None;
                }
                tell_end(&outcome, false, on_terminal);
                seen.exits.insert(outcome.job.job_id, outcome.exit);
            }
        }
        Ok(Exit::Job(seen.exits.values().copied().max().unwrap_or(0)))
    }

    /// `-I`: prints the output of all jobs until their end; the highest of their exit codes.
    async fn follow(&self, session: Session, submitted: &[Submitted]) -> Result<Exit, Failure> {
        let mut contact = Contact::new(session, "bsub");
        let is_unwritten = Cell::new(false);
        let all = async {
            let mut highest = 0;
            for job in submitted {
                highest = highest.max(self.follow_one(&mut contact, job, &is_unwritten).await?);
            }
            Ok(Exit::Job(highest))
        };
        let ids = ids(submitted);
        all.await.map_err(|f: Failure| match is_unwritten.get() {
            // A full disk is no matter of contact.
            true => f.hint(format!("the job {ids} goes on; `bout -f {ids}` shows its output")),
            false => contact_lost(f, &ids),
        })
    }

    async fn follow_one(
        &self,
        contact: &mut Contact,
        submitted: &Submitted,
        is_unwritten: &Cell<bool>,
    ) -> Result<u8, Failure> {
        let id = submitted.id();
        let on_terminal = is_told(self.quiet);
        let arrays = RefCell::default();
        let (stuck, untold) = Stuck::new("bsub");
        let seen = |job: &Job| {
            if job.is_array_parent() {
                *arrays.borrow_mut() = vec![job.id()];
            }
            stuck.look(job);
            if on_terminal && job.stuck().is_none() && !job.status.has_ended() {
                note(format!("bsub: job {} is {}", job.job_id, job.status));
            }
        };
        let session = contact.session().clone();
        let end = async {
            // The exit code is the job's, whoever reads its output.
            let printer = Printer::new(self.common.output().outliving_its_reader(), Style::default());
            let print =
                |events: &[Event]| printer.print(events, true).inspect_err(|_| is_unwritten.set(true));
            logs::follow(contact, &id, &FollowOptions::default(), seen, print).await.map(|ended| ended.job)
        };
        let job = tokio::select! {
            job = end => job?,
            never = tell_stuck_children("bsub", &session, &arrays) => match never {},
            never = tell_why_stuck("bsub", &session, untold) => match never {},
        };
        let outcome = outcome(contact, job).await?;
        tell_end(&outcome, true, false);
        Ok(outcome.exit)
    }
}

/// Whether a person is told how the jobs go.
fn is_told(quiet: bool) -> bool {
    std::io::stderr().is_terminal() && !quiet
}

/// Says how a job has ended, as far as it is to be said; `is_timed`: in any case, and after which
/// time.
fn tell_end(outcome: &Outcome, has_output: bool, is_timed: bool) {
    let Outcome { job, exit, first } = outcome;
    if job.status == Status::Failed {
        return tell_failure("bsub", job, *exit, first.as_ref(), has_output, is_timed);
    }
    if let Some(reason) = job.container.as_ref().and_then(|c| c.reason.as_deref()) {
        // It may be that not all of the output could be kept.
        note(format!("bsub: job {} ({}): {reason}", job.job_id, job.job_name));
    }
    if is_timed {
        tell_success("bsub", job);
    }
}

/// What has been seen of the jobs that `-K` waits for.
#[derive(Debug)]
struct Seen {
    crowd: JobWaitSet,
    /// The exit codes of those that have ended.
    exits: HashMap<String, u8>,
}

impl Seen {
    /// What `--json` says at the end of each.
    fn ends(&self, submitted: &[Submitted]) -> Vec<Value> {
        let end = |submitted: &Submitted| {
            let job = self.crowd.jobs().find(|job| job.job_id == submitted.job_id);
            json!(End {
                submitted,
                status: job.map(|job| job.status),
                status_reason: job.and_then(|job| job.status_reason.as_deref()),
                exit_code: self.exits.get(&submitted.job_id).copied(),
            })
        };
        submitted.iter().map(end).collect()
    }
}

/// An element of what `-K --json` prints: what `--json` prints without `-K`, and behind it how the
/// job has ended, or how it was when it was last seen.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct End<'a> {
    #[serde(flatten)]
    submitted: &'a Submitted,
    status: Option<Status>,
    status_reason: Option<&'a str>,
    exit_code: Option<u8>,
}

/// Begins what `-K --json` prints: the first job is there at once, whoever reads it.
fn open(json: &mut OpenArray<'_>, submitted: &Once) -> Result<(), Failure> {
    let Some(first) = submitted.jobs.first() else { return Ok(()) };
    let all = ids(&submitted.jobs);
    json.begin(&json!(first)).map_err(|f| f.hint(format!("the job {all} has been submitted")))?;
    if submitted.jobs.len() > 1 {
        note(format!("bsub: note: the array has {} parts: {all}", submitted.jobs.len()));
    }
    Ok(())
}

/// The IDs as every tool takes them.
fn ids(submitted: &[Submitted]) -> String {
    submitted.iter().map(|s| s.job_id.as_str()).collect::<Vec<_>>().join(",")
}

/// After the submission, a failure is one of contact alone: the job goes on.
fn contact_lost(failure: Failure, id: &str) -> Failure {
    let message = format!("contact with the job {id} is lost; it goes on: {failure}");
    failure
        .wrap(message)
        .with_kind(ErrorKind::ContactLost)
        .hint(format!("`bstat {id}` tells how it is, `bout -f {id}` shows its output"))
}

/// The submitted jobs, as they are announced.
struct News<'a> {
    submitted: &'a [Submitted],
    earlier: bool,
    parsable: bool,
}

impl View for News<'_> {
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
