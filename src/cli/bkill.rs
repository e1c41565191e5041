//! `bkill`: ends jobs.

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

use super::CommonArgs;
use crate::batch;
use crate::job::{JobRefs, Status};
use crate::ui::{Exit, Failure, Layout, View};

/// End jobs, in whatever state they are; an array's parent ends all its children
#[derive(Debug, Parser)]
#[command(name = "bkill", version)]
pub struct Args {
    /// The reason, which becomes the job's statusReason
    #[arg(short, long, value_name = "TEXT", default_value = "Ended with bkill")]
    reason: String,
    /// Only the child that has this task ID
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    task: Option<u32>,
    /// Jobs, array children (ID:INDEX) or ARNs; the beginning of an ID, or `last`
    #[arg(value_name = "ID", required = true)]
    jobs: Vec<JobRefs>,
    #[command(flatten)]
    common: CommonArgs,
}

/// `bkill`'s entry point.
pub fn main() -> ExitCode {
    super::run("bkill", |args: Args| super::block_on(args.end()))
}

impl Args {
    async fn end(&self) -> Result<Exit, Failure> {
        let session = self.common.open().await?;
        let ids = batch::meant(&session, self.jobs.iter().flat_map(|list| &list.0), self.task).await?;
        let jobs = batch::describe(&session, &ids).await?;
        let mut ended = Vec::new();
        let mut failures = Vec::new();
        for job in jobs.iter().flatten() {
            if !job.status.has_ended()
                && let Err(failure) = batch::terminate(&session, &job.id(), &self.reason).await
            {
                failures.push(failure);
                continue;
            }
            ended.push(Ended {
                job_id: job.job_id.clone(),
                job_name: job.job_name.clone(),
                status: job.status,
            });
        }
        if !ended.is_empty() || self.common.json {
            // What could not be ended is said even when nobody reads the rest.
            self.common.output().outliving_its_reader().show(&EndedJobs(ended))?;
        }
        for failure in &failures {
            failure.report("bkill");
        }
        let all_known =
            super::report_unknown("bkill", &session, ids.iter().zip(jobs.iter().map(Option::is_some)))?;
        Ok(if failures.is_empty() { all_known } else { Exit::Failed })
    }
}

/// A job that was asked to end, with the state that it had then.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    job_id: String,
    job_name: String,
    status: Status,
}

struct EndedJobs(Vec<Ended>);

impl View for EndedJobs {
    fn plain(&self) -> Layout {
        let line = |job: &Ended| match job.status.has_ended() {
            true => format!("Job {} ({}) had ended already: {}.", job.job_id, job.job_name, job.status),
            false => format!("Job {} ({}) is being ended.", job.job_id, job.job_name),
        };
        Layout::Lines(self.0.iter().map(line).collect())
    }

    fn json(&self) -> Vec<serde_json::Value> {
        self.0.iter().map(|e| serde_json::to_value(e).unwrap_or_default()).collect()
    }
}
