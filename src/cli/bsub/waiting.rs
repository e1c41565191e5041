//! After the submission: announcing the job, waiting for its end, and what its end means for the exit code.

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;

use super::super::bout::{Printer, Style};
use super::Args;
use super::options::Options;
use crate::batch::{self, Job, Once, Submitted};
use crate::cli::waiting::{
    Outcome, Stuck, end_with_waiter, outcome, tell_failure, tell_goes_on, tell_stuck_children, tell_why_stuck,
};
use crate::cluster::{Contact, Session};
use crate::job::{JobId, JobNumber, Status};
use crate::logs::{self, Event, Followed};
use crate::ui::{Exit, Failure, Layout, View, note, until_signal};

impl Args {
    /// Says that the jobs have been submitted, and waits for their end or a signal if that is asked for.
    pub(super) async fn announce_and_wait(
        &self,
        options: &Options,
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
        let story = async {
            announce()?;
            self.wait(options, session, &submitted.jobs).await
        };
        until_signal(story, last).await.unwrap_or_else(|signal| Ok(Exit::Interrupted(signal)))
    }

    /// Says that the jobs have been submitted. When stdout is the job's, stderr is told.
    fn announce(&self, options: &Options, submitted: &Once) -> Result<(), Failure> {
        if self.quiet {
            return Ok(());
        }
        if submitted.earlier && (self.parsable || self.common.json) {
            note("bsub: note: nothing was submitted, as this key's job is there already");
        }
        let news = News { submitted: &submitted.jobs, earlier: submitted.earlier, parsable: self.parsable };
        if options.interactive || (options.wait && !self.parsable && !self.common.json) {
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

    /// Says that the parts of one array have a number each: its tasks do not have the same `SLURM_ARRAY_JOB_ID` or
    /// `LSB_JOBID`.
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

    /// Waits for the end of all jobs; the highest of their exit codes.
    async fn wait(
        &self,
        options: &Options,
        session: Session,
        submitted: &[Submitted],
    ) -> Result<Exit, Failure> {
        let mut contact = Contact::new(session, "bsub");
        let is_unwritten = Cell::new(false);
        let all = async {
            let mut highest = 0;
            for job in submitted {
                highest = highest.max(self.see_it_through(options, &mut contact, job, &is_unwritten).await?);
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

    async fn see_it_through(
        &self,
        options: &Options,
        contact: &mut Contact,
        submitted: &Submitted,
        is_unwritten: &Cell<bool>,
    ) -> Result<u8, Failure> {
        let id = submitted.id();
        let on_terminal = std::io::stderr().is_terminal() && !self.quiet;
        let arrays = RefCell::default();
        let (stuck, untold) = Stuck::new("bsub");
        let seen = |job: &Job| {
            if job.is_array_parent() {
                *arrays.borrow_mut() = vec![job.id()];
            }
            // A job that is stuck may be stuck for ever: whoever waits for it has to know.
            stuck.look(job);
            if on_terminal && job.stuck().is_none() && !job.status.has_ended() {
                note(format!("bsub: job {} is {}", job.job_id, job.status));
            }
        };
        let session = contact.session().clone();
        let end = async {
            if options.interactive {
                // The exit code is the job's, whoever reads its output.
                let printer = Printer::new(self.common.output().outliving_its_reader(), Style::default());
                let print =
                    |events: &[Event]| printer.print(events, true).inspect_err(|_| is_unwritten.set(true));
                logs::follow(contact, &id, &Followed::default(), seen, print).await.map(|ended| ended.job)
            } else {
                batch::watch(contact, &id, seen).await
            }
        };
        let job = tokio::select! {
            job = end => job?,
            never = tell_stuck_children("bsub", &session, &arrays) => match never {},
            never = tell_why_stuck("bsub", &session, untold) => match never {},
        };
        let Outcome { job, exit, first } = outcome(contact, job).await?;
        if job.status == Status::Failed {
            tell_failure("bsub", &job, exit, first.as_ref(), options.interactive);
        } else if let Some(reason) = job.container.as_ref().and_then(|c| c.reason.as_deref()) {
            // It may be that not all of the output could be kept.
            note(format!("bsub: job {} ({}): {reason}", job.job_id, job.job_name));
        }
        Ok(exit)
    }
}

/// The IDs as every tool takes them.
fn ids(submitted: &[Submitted]) -> String {
    submitted.iter().map(|s| s.job_id.as_str()).collect::<Vec<_>>().join(",")
}

/// After the submission, a failure is one of contact alone: the job goes on.
fn contact_lost(failure: Failure, id: &str) -> Failure {
    let message = format!("contact with the job {id} is lost; it goes on: {}", failure.message);
    Failure { message, ..failure }
        .exit(Exit::ContactLost)
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
