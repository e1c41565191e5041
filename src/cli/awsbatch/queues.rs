//! `awsbqueues`: shows the queue of the cluster, or the named ones.

use std::ffi::OsString;
use std::process::ExitCode;

use super::listing::Listing;
use super::options::{CLUSTER, Definition, EXIT, LOG_LEVEL, Operands, Opt, Takes, Values};
use super::tool::{NONE, failed_with, open, run};
use crate::batch;
use crate::ui::{Exit, Failure};

/// The command line.
pub const DEFINITION: Definition = Definition {
    name: "awsbqueues",
    about: "Show the job queue of the cluster",
    options: &[
        CLUSTER,
        Opt { short: "d", long: "details", takes: Takes::Nothing, help: "Show all fields of the queues" },
        LOG_LEVEL,
    ],
    operands: Operands::Any,
    operand: ("job_queues", "Queues, by name or ARN, which are shown with all fields"),
    differences: &["A queue without a reason has `-` there; the old tool fails."],
    exit: EXIT,
    successor: "bqueues",
};

/// `awsbqueues`' entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    run(&DEFINITION, words, |values| Box::pin(show(values)))
}

async fn show(values: Values) -> Result<Exit, Failure> {
    let mut session = open(&values).await?;
    let names = values.texts();
    let queues = session.with_fresh_cluster(async |session| match names.is_empty() {
        true => batch::queues(session, std::slice::from_ref(&session.cluster.job_queue)).await,
        false => batch::queues(session, &names).await,
    });
    let queues =
        queues.await.map_err(failed_with("Error listing queues from AWS Batch. Failed with exception:"))?;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    let items = queues.into_iter().map(|queue| {
        [
            queue.job_queue_arn,
            queue.job_queue_name,
            or_none(queue.priority.map(|priority| priority.to_string())),
            or_none(queue.status),
            or_none(queue.status_reason),
        ]
    });
    let keys = ["jobQueueArn", "jobQueueName", "priority", "status", "statusReason"];
    let listing = Listing { keys, items: items.collect() };
    match values.has("details") || !names.is_empty() {
        true => listing.show()?,
        false => listing.show_table(&["jobQueueName", "status"])?,
    }
    Ok(Exit::Done)
}
