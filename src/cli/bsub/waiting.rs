//! After the submission: announcing the job, waiting for its end, and what its end means for the exit code.

use std::cell::Cell;
use std::convert::Infallible;
use std::io::IsTerminal;
use std::time::Duration;

use super::super::bout::{Printer, Style};
use super::Args;
use super::options::Options;
use crate::batch::{self, Job, Once, Submitted};
use crate::cluster::{Contact, Session};
use crate::job::{JobId, Status};
use crate::logs::{self, Event, Followed};
use crate::ui::{Exit, Failure, Layout, View, note};

impl Args {
    /// Says that the jobs have been submitted. When stdout is the job's, stderr is told.
    pub(super) fn announce(&self, options: &Options, submitted: &Once) -> Result<(), Failure> {
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

    /// Waits for the end of all jobs, unless Ctrl-C comes first; the highest of their exit codes.
    pub(super) async fn wait(
        &self,
        options: &Options,
        session: Session,
        submitted: &[Submitted],
    ) -> Result<Exit, Failure> {
        let mut contact = Contact::new(session, "bsub");
        let all = async {
            let mut highest = 0;
            for job in submitted {
                highest = highest.max(self.see_it_through(options, &mut contact, job).await?);
            }
            Ok(Exit::Job(highest))
        };
        let ids = ids(submitted);
        tokio::select! {
            outcome = all => outcome.map_err(|f| contact_lost(f, &ids)),
            _ = tokio::signal::ctrl_c() => {
                note(format!("bsub: interrupted; the job {ids} goes on"));
                note(format!("hint: `bout -f {ids}` shows its output"));
                note(format!("hint: `bkill {ids}` ends it"));
                Ok(Exit::Interrupted)
            }
        }
    }

    async fn see_it_through(
        &self,
        options: &Options,
        contact: &mut Contact,
        submitted: &Submitted,
    ) -> Result<u8, Failure> {
        let id = submitted.id();
        let on_terminal = std::io::stderr().is_terminal() && !self.quiet;
        let is_array = Cell::new(false);
        let seen = |job: &Job| {
            is_array.set(job.is_array_parent());
            // A job that is stuck may be stuck for ever: whoever waits for it has to know.
            let stuck = job.status_reason.as_deref().filter(|r| says_stuck(r) && !job.status.has_ended());
            match stuck {
                Some(reason) => note(format!("bsub: job {} is {}: {reason}", job.job_id, job.status)),
                None if on_terminal && !job.status.has_ended() => {
                    note(format!("bsub: job {} is {}", job.job_id, job.status));
                }
                None => {}
            }
        };
        let session = contact.session().clone();
        let end = async {
            if options.interactive {
                // The exit code is the job's, whoever reads its output.
                let printer = Printer::new(self.common.output().outliving_its_reader(), Style::default());
                let print = |events: &[Event]| printer.print(events, true);
                logs::follow(contact, &id, &Followed::default(), seen, print).await
            } else {
                batch::watch(contact, &id, seen).await
            }
        };
        let job = tokio::select! {
            job = end => job?,
            never = tell_stuck_children(&session, &id, &is_array) => match never {},
        };
        let (exit, first) = exit_code(contact, &job).await?;
        if job.status == Status::Failed {
            tell_failure(&job, exit, first.as_ref(), options.interactive);
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

/// Says it when children of an array are stuck: Batch tells that of the children, not of the array. It looks less
/// and less often, and never ends.
async fn tell_stuck_children(session: &Session, id: &JobId, is_array: &Cell<bool>) -> Infallible {
    let mut pause = FIRST_LOOK_FOR_STUCK;
    let mut said: Option<String> = None;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE_FOR_STUCK);
        if !is_array.get() {
            continue;
        }
        // Who cannot be asked now is asked later.
        let Ok(waiting) = batch::children(session, id, &[Status::Runnable]).await else { continue };
        let stuck = waiting.iter().find(|c| c.status_reason.as_deref().is_some_and(says_stuck));
        let Some(child) = stuck else { continue };
        if said != child.status_reason {
            let reason = child.status_reason.as_deref().unwrap_or_default();
            note(format!("bsub: job {} is {}: {reason}", child.job_id, child.status));
            said.clone_from(&child.status_reason);
        }
    }
}

/// When an array's children are looked at first, to see whether they are stuck,
const FIRST_LOOK_FOR_STUCK: Duration = Duration::from_secs(3);
/// and how long at most until the next look.
const LONGEST_PAUSE_FOR_STUCK: Duration = Duration::from_secs(120);

/// The exit code of a job that has ended; of an array, the highest of its children's, and the first of them that
/// failed.
async fn exit_code(contact: &mut Contact, job: &Job) -> Result<(u8, Option<Job>), Failure> {
    if job.status == Status::Succeeded || (!job.is_array_parent() && job.exit_code().is_some()) {
        return Ok((job.exit(), None));
    }
    let id = job.id();
    if job.is_array_parent() {
        let failed = contact.keep(async |s| batch::children(s, &id, &[Status::Failed]).await).await?;
        return Ok((failed.iter().map(Job::exit).max().unwrap_or(1), failed.into_iter().next()));
    }
    if job.started_at.is_none() {
        return Ok((job.exit(), None));
    }
    // A description may lack what the listing has (moto's does).
    let queue = job.job_queue.as_deref().unwrap_or(&contact.session().cluster.job_queue);
    let failed = batch::list(contact.session(), queue, &[Status::Failed]).await.unwrap_or_default();
    Ok((failed.iter().find(|j| j.id() == id).unwrap_or(job).exit(), None))
}

/// The codes that Batch puts before the reason of a job that blocks its queue (UG `job_stuck_in_runnable`).
fn says_stuck(reason: &str) -> bool {
    reason.starts_with("MISCONFIGURATION:") || reason.starts_with("CAPACITY:")
}

fn tell_failure(job: &Job, exit: u8, first: Option<&Job>, has_output: bool) {
    if let Some(child) = first {
        note(failure_line(child, child.exit()));
    }
    note(failure_line(job, exit));
    if job.lacks_sh() {
        note(super::super::LACKS_SH);
    } else if !has_output {
        note(format!("hint: `bout {}` shows its output", job.job_id));
    }
    if job.is_array_parent() {
        note(format!("hint: `bstat -s FAILED {}` tells which children failed", job.job_id));
    }
}

fn failure_line(job: &Job, exit: u8) -> String {
    let reason = job.status_reason.as_deref().unwrap_or("no reason is given");
    let detail = job
        .container
        .as_ref()
        .and_then(|c| c.reason.as_deref())
        .map(|r| format!(" ({r})"))
        .unwrap_or_default();
    format!("bsub: job {} ({}) FAILED with exit code {exit}: {reason}{detail}", job.job_id, job.job_name)
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
