//! `awsbstat`: shows jobs.

use std::ffi::OsString;
use std::process::ExitCode;

use super::listing::{Listing, shell_join};
use super::options::{CLUSTER, Definition, EXIT, LOG_LEVEL, Operands, Opt, Takes, Values};
use super::tool::{NONE, failed_with, ids, open, run};
use crate::aws::Session;
use crate::batch::{self, Container, Job, JobDetails};
use crate::ui::{Exit, Failure, local_rfc3339};
use awsb_model::{JobId, Status};

/// The command line.
pub const DEFINITION: Definition = Definition {
    name: "awsbstat",
    about: "Show jobs of the cluster's job queue",
    options: &[
        CLUSTER,
        Opt {
            short: "s",
            long: "status",
            takes: Takes::Text,
            help: "Only jobs in these states: a list with commas of SUBMITTED, PENDING, RUNNABLE, STARTING, \
                   RUNNING, SUCCEEDED and FAILED, or ALL [default: the first five]",
        },
        Opt {
            short: "e",
            long: "expand-children",
            takes: Takes::Nothing,
            help: "Show the children of arrays and the nodes of multi-node parallel jobs instead of these",
        },
        Opt { short: "d", long: "details", takes: Takes::Nothing, help: "Show all fields of the jobs" },
        LOG_LEVEL,
    ],
    operands: Operands::Any,
    operand: ("job_ids", "Jobs; those with children are shown with them, and a single job with all fields"),
    differences: &[
        "Fields that an answer lacks are `-`. Names of jobs that look like numbers are shown as they are. vCPUs and \
         memory are shown where resourceRequirements has them.",
    ],
    exit: EXIT,
    successor: "bstat",
};

/// The variable with the place of the job's files.
pub const FOLDER_VARIABLE: &str = "PCLUSTER_JOB_S3_URL";

const LISTING: &str = "Error listing jobs from AWS Batch. Failed with exception:";

/// `awsbstat`' entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    run(&DEFINITION, words, |values| Box::pin(show(values)))
}

/// A job with the values of its order.
struct Row {
    status: Status,
    item: [String; 18],
}

async fn show(values: Values) -> Result<Exit, Failure> {
    let mut session = open(&values).await?;
    let wanted = ids(&values);
    let details = values.has("details");
    let mut rows = if wanted.is_empty() {
        let statuses = statuses(values.text("status"))?;
        let expands = values.has("expand-children");
        session
            .with_fresh_cluster(async |session| in_queue(session, &statuses, expands, details).await)
            .await?
    } else {
        let mut rows = by_ids(&session, &wanted, true).await?;
        rows.sort_by_cached_key(|row| {
            // The children of a job that is asked for follow it.
            let id = row.item[0].split(' ').next().unwrap_or_default();
            let whole = JobId::from_batch(id).whole();
            let place = |id: &str| wanted.iter().position(|wanted| wanted.as_str() == id);
            (place(whole.as_str()).or_else(|| place(id)), row.item[0].clone())
        });
        rows
    };
    if wanted.is_empty() {
        rows.sort_by_cached_key(|row| (row.status, row.item[3].clone(), row.item[0].clone()));
    }
    let is_one = values.operands.len() == 1 && rows.len() == 1;
    let listing = Listing {
        keys: [
            "jobId",
            "jobName",
            "createdAt",
            "startedAt",
            "stoppedAt",
            "status",
            "statusReason",
            "jobDefinition",
            "jobQueue",
            "command",
            "exitCode",
            "reason",
            "vcpus",
            "memory[MB]",
            "nodes",
            "logStream",
            "log",
            "s3FolderUrl",
        ],
        items: rows.into_iter().map(|row| row.item).collect(),
    };
    match details || is_one {
        true => listing.show()?,
        false => {
            listing.show_table(&["jobId", "jobName", "status", "startedAt", "stoppedAt", "exitCode"])?;
        }
    }
    Ok(Exit::Done)
}

/// The states of `--status`.
fn statuses(text: Option<String>) -> Result<Vec<Status>, Failure> {
    let Some(text) = text else { return Ok(Status::ACTIVE.to_vec()) };
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_uppercase()).collect();
    if names.iter().any(|name| name == "ALL") {
        return Ok(Status::ALL.to_vec());
    }
    let status = |name: String| {
        let status = Status::ALL.into_iter().find(|status| status.as_str() == name);
        let unknown = || Failure::usage(format!("there is no job status `{name}`"));
        status.ok_or_else(unknown).map_err(failed_with(LISTING))
    };
    names.into_iter().map(status).collect()
}

/// The jobs of the cluster's queue.
async fn in_queue(
    session: &Session,
    statuses: &[Status],
    expands: bool,
    details: bool,
) -> Result<Vec<Row>, Failure> {
    let jobs = batch::list(session, &session.cluster.job_queue, statuses).await;
    let jobs = jobs.map_err(failed_with(LISTING))?;
    let has_children = |job: &Job| expands && job.parts().is_some();
    let ids = |wanted: &dyn Fn(&&Job) -> bool| jobs.iter().filter(wanted).map(Job::id).collect::<Vec<_>>();
    let mut rows = by_ids(session, &ids(&|job| has_children(job)), false).await?;
    if details {
        let ids = ids(&|job| !has_children(job));
        rows.extend(described(session, &ids, "Error adding jobs to the output.").await?.iter().map(row));
    } else {
        let listed = jobs.into_iter().filter(|job| !has_children(job));
        rows.extend(listed.map(|job| row(&JobDetails { job, environment: Vec::new() })));
    }
    Ok(rows)
}

/// These jobs; `doing` is what the old tool says that has failed.
async fn described(session: &Session, ids: &[JobId], doing: &str) -> Result<Vec<JobDetails>, Failure> {
    let jobs = batch::describe_as_answered(session, ids).await;
    jobs.map_err(failed_with(&format!("{doing} Failed with exception:")))
}

/// These jobs and, behind them, their children. Jobs that have children are left out unless
/// `with_parents`.
async fn by_ids(session: &Session, ids: &[JobId], with_parents: bool) -> Result<Vec<Row>, Failure> {
    let jobs = described(session, ids, "Error describing jobs from AWS Batch.").await?;
    let children = jobs
        .iter()
        .flat_map(|JobDetails { job, .. }| (0..job.parts().unwrap_or(0)).map(|index| job.part(index)));
    let children: Vec<JobId> = children.collect();
    let shown = jobs.iter().filter(|details| with_parents || details.job.parts().is_none());
    let mut rows: Vec<Row> = shown.map(row).collect();
    rows.extend(described(session, &children, "Error listing job children.").await?.iter().map(row));
    Ok(rows)
}

/// The fields of a job. A listing has few of them.
fn row(JobDetails { job, environment }: &JobDetails) -> Row {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    let time = |at: Option<i64>| or_none(at.map(local_rfc3339));
    let number = |number: Option<i32>| or_none(number.map(|number| number.to_string()));
    let ranges = || job.node_properties.as_ref()?.node_range_properties.as_ref()?.first()?.container.as_ref();
    let is_mnp = job.is_mnp_parent();
    let container = if is_mnp { ranges() } else { job.container.as_ref() };
    // A listing has no queue, and so the old tool shows no definition.
    let definition = job.job_queue.as_ref().and(job.job_definition.as_deref());
    let behind_slash = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let id = match (job.array_size().filter(|_| job.is_array_parent()), job.nodes.filter(|_| is_mnp)) {
        (Some(size), _) => format!("{} [{size}]", job.job_id),
        (None, Some(nodes)) => format!("{} *{nodes}", job.job_id),
        (None, None) => job.job_id.clone(),
    };
    let stream = container.and_then(|c| c.log_stream_name.as_deref()).filter(|_| job.parts().is_none());
    let command = container.and_then(|c| c.command.as_deref()).filter(|command| !command.is_empty());
    let folder = environment.iter().find(|(name, _)| name == FOLDER_VARIABLE);
    let item = [
        id,
        job.job_name.clone(),
        time(job.created_at),
        time(job.started_at),
        time(job.stopped_at),
        job.status.to_string(),
        or_none(job.status_reason.clone()),
        or_none(definition.map(behind_slash)),
        or_none(job.job_queue.as_deref().map(behind_slash)),
        or_none(command.map(|command| shell_join(command.iter().map(String::as_str)))),
        number(container.and_then(|c| c.exit_code)),
        or_none(container.and_then(|c| c.reason.clone())),
        or_none(container.and_then(|c| resource(c, "VCPU", c.vcpus))),
        or_none(container.and_then(|c| resource(c, "MEMORY", c.memory))),
        if is_mnp { job.nodes.unwrap_or(0) } else { 1 }.to_string(),
        or_none(stream.map(str::to_owned)),
        or_none(stream.map(|stream| url(job, container, stream))),
        or_none(folder.map(|(_, value)| value.clone())),
    ];
    Row { status: job.status, item }
}

/// The vCPUs or the memory of a container: as the job asks for it, else in the old field.
fn resource(container: &Container, kind: &str, old: Option<i32>) -> Option<String> {
    let asked = container.resource_requirements.iter().flatten().find(|asked| asked.kind == kind);
    asked.map(|asked| asked.value.clone()).or_else(|| old.map(|old| old.to_string()))
}

/// The address of the log stream in the console of CloudWatch.
fn url(job: &Job, container: Option<&Container>, stream: &str) -> String {
    let region = job.job_queue.as_deref().and_then(|arn| arn.split(':').nth(3)).unwrap_or(NONE);
    let domain = if region.starts_with("us-gov") { "amazonaws-us-gov" } else { "aws" };
    let group = container.and_then(|c| c.log_group.as_deref()).unwrap_or("/aws/batch/job");
    format!(
        "https://console.{domain}.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={group};\
         stream={stream}"
    )
}
