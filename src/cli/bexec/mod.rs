//! `bexec`: runs a command where a job runs, and forwards ports of a job.

mod attach;
mod forward;
mod marked_output;
mod plugin;
mod session;
mod terminal;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use self::forward::Ports;
pub use self::session::{Command, run_command};
use super::CommonArgs;
use super::job_args::JobArgs;
use crate::aws::Session;
use crate::batch::{self, ExecTarget, ExecTask, Job};
use crate::ui::{Exit, Failure, print_message};
use awsb_model::{JobId, ParsedJobRefs, Status, container_name};

/// Run a shell or a command where a job runs, or forward one of its ports
#[derive(Debug, Parser)]
#[command(
    name = "bexec",
    version,
    override_usage = "bexec [OPTIONS] ID [COMMAND]...\n       bexec [OPTIONS] --forward LOCAL:REMOTE ID",
    after_help = "The exit code is that of the command. It has a terminal where standard input and output \
                  are one, as with ssh. When this tool goes away, the command gets SIGHUP."
)]
pub struct Args {
    /// Give the command a terminal in any case
    #[arg(short, long, conflicts_with = "no_terminal")]
    terminal: bool,
    /// Give the command no terminal: both of its output streams stay apart
    #[arg(short = 'T', long)]
    no_terminal: bool,
    /// The container of the job, where it has several [default: the first essential one]
    #[arg(long, value_name = "NAME", value_parser = container_name)]
    container: Option<String>,
    /// Forward this port of this machine to a port of the job, until Ctrl-C
    #[arg(
        short = 'L',
        long,
        value_name = "LOCAL:REMOTE",
        conflicts_with_all = ["command", "terminal", "no_terminal"]
    )]
    forward: Option<Ports>,
    /// Only the child with this task ID
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    task: Option<u32>,
    /// The job, an array child (ID:INDEX) or a node (ID#INDEX): an ID, its beginning, an ARN, or
    /// `last`
    #[arg(value_name = "ID", required = true)]
    job: ParsedJobRefs,
    /// The command and its arguments [default: bash, or sh where there is none]
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<OsString>,
    #[command(flatten)]
    common: CommonArgs,
}

/// `bexec`'s entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    super::run("bexec", words, |args: Args| {
        let wanted = JobArgs::read("bexec", std::slice::from_ref(&args.job))?;
        super::block_on(args.run(wanted))
    })
}

/// The command line that begins a shell.
pub fn shell() -> Vec<String> {
    let choose = "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi";
    ["/bin/sh", "-c", choose].map(str::to_owned).to_vec()
}

impl Args {
    async fn run(&self, wanted: JobArgs) -> Result<Exit, Failure> {
        let session = self.common.open().await?;
        let found = wanted.find(&session, self.task).await?;
        let [job] = found.jobs.as_slice() else {
            if found.failures.is_empty() {
                return Err(Failure::usage("bexec takes one job")
                    .hint("`bexec ID` for each of them runs the command in all of them"));
            }
            return Ok(found.report("bexec", Exit::Usage));
        };
        let id = running_part(job)?;
        note_owner(job);
        let task = task_of(&session, &id).await?;
        if let Some(ports) = self.forward {
            let target =
                session::port_target(&session, &task, self.container.as_deref(), id.as_str()).await?;
            return forward::forward(&session, ports, &target, id.as_str(), &self.common.output()).await;
        }
        let words: Option<Vec<String>> =
            self.command.iter().map(|word| word.to_str().map(str::to_owned)).collect();
        let Some(words) = words else {
            return Err(Failure::usage("the command is not valid UTF-8, which ECS needs"));
        };
        let is_shell = words.is_empty();
        let command = Command {
            words: if is_shell { shell() } else { words },
            is_shell,
            container: self.container.clone(),
            terminal: match (self.terminal, self.no_terminal) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                (false, false) => None,
            },
            is_patient: false,
        };
        run_command(&session, &task, &command, id.as_str()).await
    }
}

/// The job, or the part of it, that runs in one place.
///
/// # Errors
/// When a part has to be named, or the job does not run.
fn running_part(job: &Job) -> Result<JobId, Failure> {
    let (id, title) = (job.id(), job.title());
    if job.is_array_parent() {
        let failure =
            Failure::usage(format!("the job {title} is an array: its children run, and it does not"));
        return Err(failure
            .hint(format!("`bexec {id}:INDEX` runs a command in one child; `bstat -e {id}` lists them")));
    }
    if job.status != Status::Running {
        let status = job.status;
        let failure = Failure::failed(format!(
            "the job {title} is {status}: a command runs only in a job that is RUNNING"
        ));
        return Err(match status.has_ended() {
            true => failure.hint(format!("`bout {id}` shows its output, `bstat -d {id}` how it has ended")),
            false => failure.hint(format!("`bstat --why {id}` tells what it waits for")),
        });
    }
    if job.is_mnp_parent() {
        let main = job.node_properties.as_ref().and_then(|nodes| nodes.main_node).unwrap_or(0);
        let node = id.node(u32::try_from(main).unwrap_or(0));
        print_message(format!("bexec: note: the job {id} has several nodes; this is its main node, {node}"));
        return Ok(node);
    }
    Ok(id)
}

/// Notes that the job is another user's.
fn note_owner(job: &Job) {
    if let (Some(owner), Some(own)) = (&job.submitter, super::submitter())
        && *owner != own
    {
        print_message(format!("bexec: note: {owner} has submitted the job {}", job.job_id));
    }
}

/// The task in which a job runs.
///
/// # Errors
/// When it runs elsewhere, or it is not known where.
pub async fn task_of(session: &Session, id: &JobId) -> Result<ExecTask, Failure> {
    match batch::exec_target(session, id).await? {
        ExecTarget::Task(task) => Ok(task),
        ExecTarget::Pod { name, namespace } => {
            let namespace = namespace.map_or(String::new(), |namespace| format!(" -n {namespace}"));
            Err(Failure::failed(format!("the job {id} runs in a pod of EKS, into which ECS does not reach"))
                .hint(format!("`kubectl exec{namespace} -it {name} -- sh` runs a shell in it")))
        }
        ExecTarget::Nowhere => {
            Err(Failure::failed(format!("Batch does not say in which task the job {id} runs"))
                .hint(format!("`bstat -d {id}` shows what it says")))
        }
    }
}
