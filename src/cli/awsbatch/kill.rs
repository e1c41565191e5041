//! `awsbkill`: ends jobs.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::process::ExitCode;

use futures_util::StreamExt;

use super::listing::print;
use super::options::{CLUSTER, Definition, EXIT, LOG_LEVEL, Operands, Opt, Takes, Values};
use super::tool::{failed_with, ids, open, run};
use crate::batch::{self, TerminationProgress};
use crate::ui::{Exit, Failure};
use awsb_model::Status;

/// The command line.
pub const DEFINITION: Definition = Definition {
    name: "awsbkill",
    about: "End jobs of the cluster",
    options: &[
        CLUSTER,
        Opt {
            short: "r",
            long: "reason",
            takes: Takes::Text,
            help: "The reason that the jobs show [default: Terminated by the user]",
        },
        LOG_LEVEL,
    ],
    operands: Operands::Some,
    operand: ("job_ids", "The IDs of the jobs to end"),
    differences: &[
        "Any number of jobs can be named. When one of them cannot be ended, the others are all the same, and the \
         exit code is 1.",
    ],
    exit: EXIT,
    successor: "bkill",
};

/// `awsbkill`' entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    run(&DEFINITION, words, |values| Box::pin(kill(values)))
}

async fn kill(values: Values) -> Result<Exit, Failure> {
    let session = open(&values).await?;
    let reason = values.text("reason").unwrap_or_else(|| "Terminated by the user".to_owned());
    let ids = ids(&values);
    let jobs = batch::describe_as_answered(&session, &ids).await;
    let jobs = jobs.map_err(failed_with("Unexpected error. Command failed with exception:"))?;
    let jobs: Vec<batch::Job> = jobs.into_iter().map(|details| details.job).collect();
    let found: HashSet<&str> = jobs.iter().map(|job| job.job_id.as_str()).collect();
    let missing = ids.iter().filter(|id| !found.contains(id.as_str()));
    print(missing.map(|id| format!("Job ({id}) not found.")).collect())?;
    // A job that is named twice is ended once.
    let mut seen = HashSet::new();
    let open = jobs.iter().filter(|job| seen.insert(job.job_id.as_str()) && !job.status.has_ended());
    let open = open.cloned().collect();
    let progress = TerminationProgress::of("awsbkill");
    let ended = batch::terminate_all(&session, open, &reason, &progress);
    let outcomes: HashMap<String, _> = ended.map(|(job, outcome)| (job.job_id, outcome)).collect().await;
    let mut exit = Exit::Done;
    let mut lines = Vec::new();
    for job in &jobs {
        let (id, status) = (&job.job_id, job.status);
        lines.push(match outcomes.get(id) {
            None => format!("Job ({id}) is already in ({status}) status."),
            Some(Ok(())) => {
                let action = if status < Status::Starting { "cancellation" } else { "termination" };
                format!("Your job {action} request for job ({id}) in status ({status}) has been submitted.")
            }
            Some(Err(failure)) => {
                exit = Exit::Failed;
                format!("Error killing job ({id}). Failed with exception: {failure}")
            }
        });
    }
    print(lines)?;
    Ok(exit)
}
