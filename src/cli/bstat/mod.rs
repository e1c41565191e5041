//! `bstat`: shows jobs.

mod columns;
mod details;
mod ids;
mod packed;
mod progress;
mod script;
mod sink;
mod value;
mod watch;
mod why;

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use futures_util::StreamExt;

use self::columns::{Columns, Sort};
use self::packed::PackedVariables;
use self::sink::{Expand, Shown, Sink};
use self::watch::Every;
use super::CommonArgs;
use super::named::Wanted;
use super::select::SelectArgs;
use crate::aws::Session;
use crate::batch::{self, Job, JobQuery, Order};
use crate::ui::{Exit, Failure, Format, Output, Progress, note};
use awsb_model::{Invalid, JobId, Named, Status};

/// Show jobs: the active jobs of the cluster's queue, or the given jobs
#[derive(Debug, Parser)]
#[command(name = "bstat", version)]
pub struct Args {
    /// Jobs, array children (ID:INDEX) or nodes (ID#INDEX): an ID, its beginning, an ARN, `last`, or `-` to
    /// read them from standard input
    #[arg(
        value_name = "ID",
        conflicts_with_all = ["queue", "all_queues", "name", "since", "until", "mine"]
    )]
    jobs: Vec<Named>,
    /// Only the child with this task ID
    #[arg(long, value_name = "N", allow_negative_numbers = true, requires = "jobs")]
    task: Option<u32>,
    #[command(flatten)]
    select: SelectArgs,
    /// Jobs that have FAILED; with an array's ID, its failed children
    #[arg(long, conflicts_with = "status", help_heading = "Selecting jobs")]
    failed: bool,
    /// Show all children of arrays and all nodes of multi-node jobs, each below its job
    #[arg(short, long, help_heading = "Output")]
    expand_children: bool,
    /// Show each job in detail
    #[arg(short, long, conflicts_with = "columns", help_heading = "Output")]
    details: bool,
    /// Show each job in detail with its environment variables; without =all, values that look like secrets
    /// are masked
    #[arg(
        long,
        value_name = "all",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = env_which,
        conflicts_with = "columns",
        help_heading = "Output"
    )]
    env: Option<EnvWhich>,
    /// Print the script of a job
    #[arg(
        long,
        requires = "jobs",
        conflicts_with_all = ["status", "failed", "details", "env", "expand_children", "sort", "columns", "watch", "json"],
        help_heading = "Output"
    )]
    script: bool,
    /// Show these columns, separated by commas; they have the names of the JSON fields
    #[arg(short = 'o', long, value_name = "LIST", conflicts_with = "json", help_heading = "Output")]
    columns: Option<Columns>,
    /// Sort by this column; `-COLUMN` reverses the order [default: the newest last]
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true, help_heading = "Output")]
    sort: Option<Sort>,
    /// Show whole IDs on a terminal as well
    #[arg(long, help_heading = "Output")]
    full: bool,
    /// Leave out the header
    #[arg(long, help_heading = "Output")]
    no_header: bool,
    /// Repeat the view until no job is active, with this pause in between [default: 2]
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        help_heading = "Output"
    )]
    watch: Option<Every>,
    /// Show why these jobs do not run or why they failed, and what to do; without IDs, for your active jobs
    /// and those that failed in the last day
    #[arg(
        long,
        conflicts_with_all = ["status", "failed", "details", "env", "expand_children", "sort", "columns", "watch", "script"],
        help_heading = "Output"
    )]
    why: bool,
    #[command(flatten)]
    common: CommonArgs,
}

/// The value of `--env`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EnvWhich {
    /// Values that look like secrets are masked.
    Harmless,
    /// All as it is.
    All,
}

fn env_which(text: &str) -> Result<EnvWhich, Invalid> {
    match text {
        "" => Ok(EnvWhich::Harmless),
        "all" => Ok(EnvWhich::All),
        _ => Err(Invalid::because("the only value is `all`")),
    }
}

/// `bstat`'s entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    super::run("bstat", words, |args: Args| super::block_on(args.tell()))
}

impl Args {
    async fn tell(&self) -> Result<Exit, Failure> {
        let wanted = Wanted::read("bstat", &self.jobs)?;
        let session = self.common.open().await?;
        let packed = PackedVariables::default();
        if self.jobs.is_empty() && self.why {
            let found = why::of_interest(&session, &self.select).await?;
            return why::tell(&session, &self.output(), &found).await;
        }
        if self.jobs.is_empty() {
            if let Some(every) = self.watch {
                return watch::tell(self, session, every, None).await;
            }
            let shown = self.look_at_queues(&session, &self.output(), &packed).await?;
            if shown.jobs == 0 {
                self.say_empty(&session);
            }
            return Ok(told(&shown));
        }
        let found = wanted.find(&session, self.task).await?;
        if self.why {
            return why::tell(&session, &self.output(), &found).await;
        }
        let outcome = if self.script {
            script::tell(&session, &self.output(), &found.jobs).await?
        } else if let Some(every) = self.watch.filter(|_| !found.jobs.is_empty()) {
            let ids = found.jobs.iter().map(Job::id).collect();
            watch::tell(self, session, every, Some(ids)).await?
        } else if found.jobs.is_empty() && !self.common.json {
            Exit::Done
        } else {
            let is_alone = found.jobs.len() == 1 && found.failures.is_empty();
            let shown =
                self.look_at_jobs(&session, &self.output(), &packed, found.jobs.clone(), is_alone).await?;
            told(&shown)
        };
        Ok(found.report("bstat", outcome))
    }

    /// Tells a person, who may wonder, that there is nothing to be seen; a choice of jobs explains itself.
    fn say_empty(&self, session: &Session) {
        if !self.select.is_given() && !self.failed && std::io::stderr().is_terminal() {
            let queue = &session.cluster.job_queue;
            note(format!(
                "bstat: no job is active in the queue {queue}; `bstat -s ALL` shows ended jobs, too"
            ));
        }
    }

    fn output(&self) -> Output {
        self.common.output().without_header(self.no_header)
    }

    /// The states that are asked for, when some are.
    fn statuses(&self) -> Option<&[Status]> {
        match &self.select.status {
            Some(statuses) => Some(&statuses.0),
            None if self.failed => Some(&[Status::Failed]),
            None => None,
        }
    }

    /// The jobs that are meant, once.
    async fn look(
        &self,
        session: &Session,
        output: &Output,
        packed: &PackedVariables,
        ids: Option<&[JobId]>,
    ) -> Result<Shown, Failure> {
        match ids {
            Some(ids) => {
                let jobs = batch::describe(session, ids).await?.into_iter().flatten().collect();
                self.look_at_jobs(session, output, packed, jobs, ids.len() == 1).await
            }
            None => self.look_at_queues(session, output, packed).await,
        }
    }

    /// The jobs of queues. If the cluster's queue is gone and came from the cache, the cluster is read again.
    async fn look_at_queues(
        &self,
        session: &Session,
        output: &Output,
        packed: &PackedVariables,
    ) -> Result<Shown, Failure> {
        let list = async |session: &Session| self.list(session, output, packed).await;
        match self.select.queue.is_empty() {
            true => session.clone().with_fresh_cluster(list).await,
            false => list(session).await,
        }
    }

    /// Lists the jobs of queues. When they are no more than a page of each state, they are shown newest last; in a pipe, more
    /// of them come as Batch tells them, and nothing waits for the end.
    async fn list(
        &self,
        session: &Session,
        output: &Output,
        packed: &PackedVariables,
    ) -> Result<Shown, Failure> {
        let statuses = self.statuses().unwrap_or(&Status::ACTIVE);
        let selection = self.select.selection(session, statuses)?;
        let mut pages = batch::selected(session, &selection, Order::AtOnce).await?;
        let mut sink = Sink::new(session, output, self, packed, self.details || self.env.is_some());
        let mut known = HashSet::new();
        let mut jobs: Vec<Job> = Vec::new();
        let mut streams = false;
        let mut progress = Progress::of_listing();
        let mut any_active = false;
        while let Some(page) = pages.next().await {
            let page = page?;
            any_active |= page.jobs.iter().any(|job| !job.status.has_ended());
            streams |= page.more && sink.streams();
            if !streams {
                progress.advance(page.jobs.len() as u64);
            }
            jobs.extend(page.jobs);
            if streams {
                jobs.retain(|job| known.insert(job.job_id.clone()));
                sink.push(std::mem::take(&mut jobs), true).await?;
            }
        }
        drop(progress);
        // That nothing is active ends watches and scripts: it must not be said because the one job that is was just
        // between two states that were asked for.
        if !any_active && selection.may_miss() {
            jobs.extend(Self::active(session, selection.clone()).await?);
        }
        batch::newest_last(&mut jobs);
        jobs.retain(|job| known.insert(job.job_id.clone()));
        sink.push(jobs, false).await?;
        sink.finish().await
    }

    /// The jobs of a selection that have not ended, those between two states among them.
    async fn active(session: &Session, mut selection: JobQuery) -> Result<Vec<Job>, Failure> {
        selection.statuses.retain(|status| !status.has_ended());
        batch::select(session, &selection).await
    }

    /// Jobs that were named; an array's children follow it.
    async fn look_at_jobs(
        &self,
        session: &Session,
        output: &Output,
        packed: &PackedVariables,
        jobs: Vec<Job>,
        is_alone: bool,
    ) -> Result<Shown, Failure> {
        let is_one = is_alone && jobs.iter().all(|job| !job.is_array_parent());
        let is_usual = self.columns.is_none() && self.sort.is_none() && !self.expand_children;
        let detailed = self.details || self.env.is_some();
        let mut sink = Sink::new(session, output, self, packed, detailed || (is_one && is_usual));
        if !self.expand_children {
            let is_plain = output.format() == Format::Plain;
            sink = sink.expanding(match detailed {
                true if is_plain => Expand::Nothing,
                false if is_plain && output.is_terminal() && self.statuses().is_none() => Expand::Failures,
                _ => Expand::Arrays,
            });
        }
        sink.push(jobs, false).await?;
        sink.finish().await
    }
}

/// Says what the jobs that were shown give reason to say.
fn told(shown: &Shown) -> Exit {
    if shown.lacks_sh {
        note(super::LACKS_SH);
    }
    Exit::Done
}
