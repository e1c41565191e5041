//! `bstat`: shows jobs.

mod columns;
mod details;
mod progress;
mod script;
mod sink;
mod watch;

use std::collections::HashSet;
use std::process::ExitCode;

use clap::Parser;
use futures_util::StreamExt;

use self::columns::{Columns, Sort};
use self::sink::{Expand, Shown, Sink};
use self::watch::Every;
use super::CommonArgs;
use super::select::SelectArgs;
use crate::batch::{self, Job};
use crate::cluster::Session;
use crate::job::{Invalid, JobId, JobRefs, Status};
use crate::ui::{Exit, Failure, Format, Output, note};

/// Show jobs: the active ones of the cluster's queue, or those that are named
#[derive(Debug, Parser)]
#[command(name = "bstat", version)]
pub struct Args {
    /// Jobs, array children (ID:INDEX), nodes (ID#INDEX) or ARNs; the beginning of an ID, or `last`
    #[arg(
        value_name = "ID",
        conflicts_with_all = ["queue", "all_queues", "name", "since", "until", "mine"]
    )]
    jobs: Vec<JobRefs>,
    /// Only the child that has this task ID
    #[arg(long, value_name = "N", allow_negative_numbers = true, requires = "jobs")]
    task: Option<u32>,
    #[command(flatten)]
    select: SelectArgs,
    /// Jobs that have FAILED; with an array's ID, those of its children
    #[arg(long, conflicts_with = "status", help_heading = "Which jobs")]
    failed: bool,
    /// Show the children of arrays and the nodes of MNP jobs, too, below each
    #[arg(short, long, help_heading = "What of them")]
    expand_children: bool,
    /// Show each job in detail
    #[arg(short, long, conflicts_with_all = ["columns", "expand_children"], help_heading = "What of them")]
    details: bool,
    /// Show each job in detail, its environment variables, too; values that look like secrets are masked without =all
    #[arg(
        long,
        value_name = "all",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = env_which,
        conflicts_with_all = ["columns", "expand_children"],
        help_heading = "What of them"
    )]
    env: Option<EnvWhich>,
    /// Print the script that was staged for a job
    #[arg(
        long,
        requires = "jobs",
        conflicts_with_all = ["status", "failed", "details", "env", "expand_children", "sort", "columns", "watch", "json"],
        help_heading = "What of them"
    )]
    script: bool,
    /// These columns, separated by commas, by the names of the JSON fields
    #[arg(short = 'o', long, value_name = "LIST", conflicts_with = "json", help_heading = "What of them")]
    columns: Option<Columns>,
    /// Sort by a column; `-COLUMN` the other way around [default: the newest last]
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true, help_heading = "What of them")]
    sort: Option<Sort>,
    /// Leave the header out
    #[arg(long, help_heading = "What of them")]
    no_header: bool,
    /// Show the same again and again until nothing is active, with a pause in between [default: 2]
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        help_heading = "What of them"
    )]
    watch: Option<Every>,
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
        _ => Err(Invalid::because("`all` is the only value that there is")),
    }
}

/// `bstat`'s entry point.
pub fn main() -> ExitCode {
    super::run("bstat", |args: Args| super::block_on(args.tell()))
}

/// What came out of one look.
#[derive(Debug)]
struct Looked {
    exit: Exit,
    shown: Shown,
    /// What is to be said of jobs that could not be shown.
    said: Vec<Failure>,
}

impl Args {
    async fn tell(&self) -> Result<Exit, Failure> {
        let session = self.common.open().await?;
        if self.script {
            let ids = self.ids(&session).await?;
            return script::tell(&session, &self.output(), &ids).await;
        }
        if let Some(every) = self.watch {
            return watch::tell(self, session, every).await;
        }
        let looked = self.look(&session, &self.output()).await?;
        if looked.shown.lacks_sh {
            note(super::LACKS_SH);
        }
        looked.said.iter().for_each(|said| said.report("bstat"));
        Ok(looked.exit)
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

    async fn ids(&self, session: &Session) -> Result<Vec<JobId>, Failure> {
        batch::meant(session, self.jobs.iter().flat_map(|list| &list.0), self.task).await
    }

    /// Shows everything once.
    async fn look(&self, session: &Session, output: &Output) -> Result<Looked, Failure> {
        if !self.jobs.is_empty() {
            return self.look_at_jobs(session, output).await;
        }
        match self.look_at_queues(session, output).await {
            Err(failure) if self.select.queue.is_empty() => match session.read_anew(&failure).await? {
                Some(session) => self.look_at_queues(&session, output).await,
                None => Err(failure),
            },
            looked => looked,
        }
    }

    /// The jobs of queues. When they are no more than a page of each state, they are shown newest last; in a pipe, more
    /// of them come as Batch tells them, and nothing waits for the end.
    async fn look_at_queues(&self, session: &Session, output: &Output) -> Result<Looked, Failure> {
        let statuses = self.statuses().unwrap_or(&Status::ACTIVE);
        let selection = self.select.selection(session, statuses)?;
        let mut pages = batch::selected(session, &selection).await?;
        let mut sink = Sink::new(session, output, self, self.details || self.env.is_some());
        let mut known = HashSet::new();
        let mut jobs: Vec<Job> = Vec::new();
        let mut streams = false;
        while let Some(page) = pages.next().await {
            let page = page?;
            jobs.extend(page.jobs);
            streams |= page.more && sink.streams();
            if streams {
                jobs.retain(|job| known.insert(job.job_id.clone()));
                sink.push(std::mem::take(&mut jobs), true).await?;
            }
        }
        batch::newest_last(&mut jobs);
        jobs.retain(|job| known.insert(job.job_id.clone()));
        sink.push(jobs, false).await?;
        let shown = sink.finish().await?;
        if shown.jobs == 0 && !self.select.is_given() && !self.failed {
            say_empty(&selection.queues);
        }
        Ok(Looked { exit: Exit::Done, shown, said: Vec::new() })
    }

    /// The jobs that are named; an array's children follow it.
    async fn look_at_jobs(&self, session: &Session, output: &Output) -> Result<Looked, Failure> {
        let ids = self.ids(session).await?;
        let found = batch::describe(session, &ids).await?;
        let is_one = matches!(found.as_slice(), [Some(job)] if !job.is_array_parent());
        let is_usual = self.columns.is_none() && self.sort.is_none() && !self.expand_children;
        let detailed = self.details || self.env.is_some();
        let mut sink = Sink::new(session, output, self, detailed || (is_one && is_usual));
        if !self.expand_children {
            sink = sink.expanding(if detailed { Expand::Nothing } else { Expand::Arrays });
        }
        let (known, unknown): (Vec<_>, Vec<_>) = ids.iter().zip(found).partition(|(_, job)| job.is_some());
        let said: Vec<Failure> = unknown.into_iter().map(|(id, _)| batch::unknown(session, id)).collect();
        let exit = if said.is_empty() { Exit::Done } else { Exit::Failed };
        if known.is_empty() && output.format() == Format::Plain {
            return Ok(Looked { exit, shown: Shown::default(), said });
        }
        sink.push(known.into_iter().filter_map(|(_, job)| job).collect(), false).await?;
        Ok(Looked { exit, shown: sink.finish().await?, said })
    }
}

/// Tells a person, who may wonder, that there is nothing to be seen.
fn say_empty(queues: &[String]) {
    use std::io::IsTerminal;
    if std::io::stderr().is_terminal() {
        let of = match queues {
            [queue] => format!("in the queue {queue}"),
            _ => "in any queue".to_owned(),
        };
        note(format!("bstat: nothing is active {of}; `bstat -s ALL` shows ended jobs, too"));
    }
}
