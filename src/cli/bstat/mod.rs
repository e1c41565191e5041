//! `bstat`: shows jobs.

mod columns;
mod details;

use std::process::ExitCode;

use clap::Parser;

use super::CommonArgs;
use super::named::Wanted;
use crate::batch::{self, Job};
use crate::cluster::Session;
use crate::job::{Invalid, Named, Status, queue_name};
use crate::ui::{Exit, Failure, Layout, View, note};

/// Show jobs: the active ones of the cluster's queue, or those that are named
#[derive(Debug, Parser)]
#[command(name = "bstat", version)]
pub struct Args {
    /// Jobs in these states, separated by commas; ALL for every state. With an array's ID: those of its children
    #[arg(short, long, value_name = "LIST", value_parser = statuses)]
    status: Option<Statuses>,
    /// The job queue [default: the cluster's]
    #[arg(short, long, value_name = "NAME", value_parser = queue_name)]
    queue: Option<String>,
    /// Only the child that has this task ID
    #[arg(long, value_name = "N", allow_negative_numbers = true, requires = "jobs")]
    task: Option<u32>,
    /// Jobs, array children (ID:INDEX) or ARNs; the beginning of an ID, or `last`
    #[arg(value_name = "ID", conflicts_with = "queue")]
    jobs: Vec<Named>,
    #[command(flatten)]
    common: CommonArgs,
}

/// The value of `--status`.
#[derive(Debug, Clone)]
struct Statuses(Vec<Status>);

fn statuses(text: &str) -> Result<Statuses, Invalid> {
    let mut list = Vec::new();
    for word in text.split(',').map(str::trim) {
        if word.eq_ignore_ascii_case("ALL") {
            list.extend(Status::ALL);
        } else {
            list.push(word.parse()?);
        }
    }
    list.sort();
    list.dedup();
    Ok(Statuses(list))
}

/// `bstat`'s entry point.
pub fn main() -> ExitCode {
    super::run("bstat", |args: Args| super::block_on(args.tell()))
}

impl Args {
    async fn tell(&self) -> Result<Exit, Failure> {
        let wanted = Wanted::read("bstat", &self.jobs)?;
        let session = self.common.open().await?;
        if self.jobs.is_empty() {
            self.tell_queue(&session).await
        } else {
            self.tell_jobs(&session, wanted).await
        }
    }

    async fn tell_queue(&self, session: &Session) -> Result<Exit, Failure> {
        let queue = self.queue.as_deref().unwrap_or(&session.cluster.job_queue);
        let statuses = self.status.as_ref().map_or(&Status::ACTIVE[..], |s| &s.0);
        let jobs = match batch::list(session, queue, statuses).await {
            Err(failure) if self.queue.is_none() => match session.read_anew(&failure).await? {
                Some(session) => batch::list(&session, &session.cluster.job_queue, statuses).await?,
                None => return Err(failure),
            },
            listed => listed?,
        };
        self.common.output().show(&Jobs { jobs, detailed: false })?;
        Ok(Exit::Done)
    }

    async fn tell_jobs(&self, session: &Session, wanted: Wanted) -> Result<Exit, Failure> {
        let found = wanted.find(session, self.task).await?;
        let mut jobs = Vec::new();
        for job in &found.jobs {
            jobs.push(job.clone());
            if job.is_array_parent() {
                let statuses = self.status.as_ref().map_or(&Status::ALL[..], |s| &s.0);
                let mut children = batch::children(session, &job.id(), statuses).await?;
                let tasks = job.container.as_ref().and_then(|c| c.tasks.as_ref());
                children.iter_mut().for_each(|child| child.set_task(tasks));
                jobs.extend(children);
            }
        }
        let detailed =
            matches!(jobs.as_slice(), [job] if found.failures.is_empty() && !job.is_array_parent());
        let lacks_sh = jobs.iter().any(Job::lacks_sh);
        if !jobs.is_empty() || self.common.json {
            self.common.output().show(&Jobs { jobs, detailed })?;
        }
        if lacks_sh {
            note(super::LACKS_SH);
        }
        Ok(found.report("bstat", Exit::Done))
    }
}

/// Jobs, as a table or, for one, in detail.
struct Jobs {
    jobs: Vec<Job>,
    detailed: bool,
}

impl View for Jobs {
    fn plain(&self) -> Layout {
        match self.jobs.as_slice() {
            [job] if self.detailed => Layout::Details(details::details(job)),
            jobs => {
                let mut columns = vec!["jobId", "jobName", "status", "startedAt", "stoppedAt", "exitCode"];
                let mut rows: Vec<Vec<String>> = jobs.iter().map(columns::row).collect();
                if jobs.iter().any(|job| job.task.is_some()) {
                    columns.push("task");
                    for (row, job) in rows.iter_mut().zip(jobs) {
                        row.push(job.task.map(|task| task.to_string()).unwrap_or_default());
                    }
                }
                Layout::Table { columns, rows, shrinks: Some(1) }
            }
        }
    }

    fn json(&self) -> Vec<serde_json::Value> {
        self.jobs.iter().map(|j| serde_json::to_value(j).unwrap_or_default()).collect()
    }
}
