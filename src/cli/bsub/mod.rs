//! `bsub`: submits a job.

mod environment;
mod options;
mod waiting;
mod work;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

use super::CommonArgs;
use crate::batch::{self, Submitted};
use crate::cluster::{Cluster, Session};
use crate::job::request::SubmitRequest;
use crate::job::{
    Dependency, Invalid, JobId, JobName, JobSpec, Mark, Resources, Retries, Scheduling, Shape, Timeout, Work,
};
use crate::stage::{self, Plan, Target};
use crate::ui::{Exit, Failure, note};
use options::Options;

/// Submit a job to AWS Batch: a script, or a command that the image has
#[derive(Debug, Parser)]
#[command(
    name = "bsub",
    version,
    override_usage = "bsub [OPTIONS] SCRIPT [ARGS]...\n       bsub [OPTIONS] COMMAND [ARGS]...\n       \
                      bsub [OPTIONS] --wrap 'COMMAND | COMMAND'\n       bsub [OPTIONS] < SCRIPT",
    after_help = "Options end at the first operand: what follows it belongs to the job.\n\
                  What is not given is left to the script's directives (#AWSB, #SBATCH, #BSUB), then to the \
                  settings file's defaults, then to the job definition."
)]
pub struct Args {
    #[command(flatten)]
    options: Options,

    /// The first operand is a script of mine
    #[arg(long, conflicts_with_all = ["command", "wrap"], help_heading = "What runs")]
    script: bool,
    /// The first operand is a command that the image has
    #[arg(long, conflicts_with = "wrap", help_heading = "What runs")]
    command: bool,
    /// Run this shell command line
    #[arg(long, value_name = "COMMAND LINE", conflicts_with = "operands", help_heading = "What runs")]
    wrap: Option<OsString>,
    /// Start a plain command with nothing in front of it, for images without /bin/sh
    #[arg(long, help_heading = "What runs")]
    bare: bool,

    /// Submit under this key once: where its job is active or has succeeded, print that one's ID
    #[arg(long, value_name = "KEY", help_heading = "Submission")]
    once: Option<String>,
    /// How long a submission that Batch turns away is tried again [default: 5m]
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, help_heading = "Submission")]
    submit_timeout: Option<Timeout>,
    /// Print what would be sent, and send nothing
    #[arg(long, conflicts_with_all = ["parsable", "json"], help_heading = "Submission")]
    dry_run: bool,
    /// A directive that Batch cannot honour is an error
    #[arg(long, help_heading = "Submission")]
    strict: bool,
    /// Print the job's ID alone; of several jobs, the IDs joined by commas
    #[arg(long, conflicts_with = "json", help_heading = "Submission")]
    parsable: bool,
    /// Print nothing but errors
    #[arg(long, conflicts_with_all = ["json", "parsable"], help_heading = "Submission")]
    quiet: bool,

    #[command(flatten)]
    common: CommonArgs,
    /// A script or a command, and its arguments
    #[arg(value_name = "SCRIPT|COMMAND", trailing_var_arg = true, hide = true)]
    operands: Vec<OsString>,
}

/// `bsub`'s entry point.
pub fn main() -> ExitCode {
    super::run("bsub", |args: Args| {
        let (default_name, work) = args.work()?;
        let options = args.options.clone();
        super::block_on(args.submit(options, default_name, work))
    })
}

impl Args {
    /// The story: plan, stage, submit, and perhaps wait.
    async fn submit(&self, options: Options, default_name: JobName, work: Work) -> Result<Exit, Failure> {
        let spec = self.spec(&options, default_name, work)?;
        let session = self.common.open().await?;
        let cluster = &session.cluster;
        let target = Target {
            job_queue: options.queue.as_deref().unwrap_or(&cluster.job_queue),
            job_definition: options.job_definition.as_deref().unwrap_or(&cluster.job_definition),
            bucket: &cluster.bucket,
            prefix: &cluster.prefix,
            region: &session.region,
        };
        let plan = Plan::new(&spec, &target, Mark::random).map_err(|e| Failure::usage(e.to_string()))?;
        if self.dry_run {
            return self.show(&plan);
        }
        if std::io::stderr().is_terminal() && !self.quiet {
            let Cluster { name, .. } = cluster;
            note(format!("bsub: cluster {name}, region {}, queue {}", session.region, target.job_queue));
        }
        if let Some(bundle) = &plan.bundle {
            stage::upload(&session, bundle).await?;
        }
        let mut submitted = Vec::new();
        for request in &plan.requests {
            submitted.push(submit(&session, request).await?);
        }
        self.announce(&options, &submitted)?;
        if options.wait || options.interactive {
            self.wait(&options, session, &submitted).await
        } else {
            Ok(Exit::Done)
        }
    }

    /// `--dry-run`.
    fn show(&self, plan: &Plan) -> Result<Exit, Failure> {
        let requests: Vec<serde_json::Value> =
            plan.requests.iter().map(|r| serde_json::to_value(r).unwrap_or_default()).collect();
        let text = serde_json::to_string_pretty(&requests).unwrap_or_default();
        self.common.output().write(format!("{text}\n").as_bytes())?;
        Ok(Exit::Done)
    }

    fn spec(&self, options: &Options, default_name: JobName, work: Work) -> Result<JobSpec, Failure> {
        let about = |option: &'static str| move |e: Invalid| Failure::usage(format!("{option}: {e}"));
        let mut spec = JobSpec::new(options.job_name.clone().unwrap_or(default_name), work);
        spec.place = options.place();
        spec.outputs = options.output_file.clone();
        spec.environment = environment::gather(&options.env, &options.env_exclude);
        spec.resources = Resources { vcpus: options.vcpus, memory: options.memory, gpus: None };
        if let Some(size) = options.array_size {
            spec.shape = Shape::Array(size);
        }
        spec.retries =
            Retries::new(options.retry_attempts, &options.retry_on).map_err(about("--retry-on"))?;
        spec.timeout = options.timeout;
        spec.scheduling = Scheduling {
            priority: options.priority,
            share: options.share.clone(),
            tags: options.tag.iter().map(|t| (t.key.clone(), t.value.clone())).collect(),
            propagate_tags: options.propagate_tags,
            parameters: options.param.iter().map(|p| (p.name.clone(), p.value.clone())).collect(),
        };
        spec.depends_on = options
            .depends_on
            .iter()
            .flat_map(|arg| arg.0.iter().cloned())
            .map(|dependency| match dependency {
                Dependency::On(job, kind) => Dependency::On(JobId::from_batch(job), kind),
                Dependency::Sequential => Dependency::Sequential,
            })
            .collect();
        spec.bare = self.bare;
        Ok(spec)
    }
}

/// Submits one job.
async fn submit(session: &Session, request: &SubmitRequest) -> Result<Submitted, Failure> {
    tokio::select! {
        submitted = batch::submit(session, request) => submitted,
        _ = tokio::signal::ctrl_c() => {
            let name = &request.job_name;
            Err(Failure::failed("interrupted before Batch had answered: whether the job exists is not known")
                .hint(format!("`bstat -s ALL` lists it under the name {name} if it does"))
                .exit(Exit::Interrupted))
        }
    }
}
