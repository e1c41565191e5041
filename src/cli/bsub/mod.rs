//! `bsub`: submits a job.

mod depends;
mod dry_run;
mod environment;
mod image;
mod inputs;
mod option_sources;
mod options;
mod payload;
mod remarks;
mod rerun;
mod resolved_options;
mod spec;
mod stdin;
mod submit;
mod wait;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use super::CommonArgs;
use crate::ui::Failure;
use awsb_model::{Invalid, JobRefs, OnceKey, Period};
use options::Options;

/// Submit a job to AWS Batch: a script, or a command in the image
#[derive(Debug, Parser)]
#[command(
    name = "bsub",
    version,
    override_usage = "bsub [OPTIONS] SCRIPT [ARGS]...\n       bsub [OPTIONS] COMMAND [ARGS]...\n       \
                      bsub [OPTIONS] --wrap 'COMMAND | COMMAND'\n       bsub [OPTIONS] < SCRIPT",
    after_help = "Options end at the first operand; everything after it belongs to the job.\nFor options \
                  that are not given, the script's directives (#AWSB, #SBATCH, #BSUB) count, then the \
                  defaults of the settings file, then the job definition."
)]
pub struct Args {
    #[command(flatten)]
    options: Options,

    /// The first operand is a script on this machine
    #[arg(long, conflicts_with_all = ["command", "wrap", "commands"], help_heading = "Program")]
    script: bool,
    /// The first operand is a command in the image
    #[arg(long, conflicts_with_all = ["wrap", "commands"], help_heading = "Program")]
    command: bool,
    /// Run this shell command line
    #[arg(long, value_name = "COMMAND LINE", conflicts_with = "operands", help_heading = "Program")]
    wrap: Option<OsString>,
    /// Start a command directly, without a shell, for images without /bin/sh
    #[arg(long, help_heading = "Program")]
    bare: bool,

    /// Submit a job again, with the same files and settings, changed by the given options
    #[arg(long, value_name = "ID", conflicts_with_all = ["script", "command", "wrap", "bare", "once", "strict", "operands"], help_heading = "Program")]
    rerun: Option<JobRefs>,
    /// With --rerun: submit only the tasks that have failed
    #[arg(long, requires = "rerun", help_heading = "Program")]
    failed: bool,

    /// Submit only once for this key: if its job is active or has succeeded, print that job's ID
    /// instead
    #[arg(long, value_name = "KEY", help_heading = "Submission")]
    once: Option<OnceKey>,
    /// How long to retry a submission that Batch turns away [default: 5m]
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, help_heading = "Submission")]
    submit_timeout: Option<Period>,
    /// Print the requests without sending them
    #[arg(long, conflicts_with_all = ["parsable", "json", "quiet"], help_heading = "Submission")]
    dry_run: bool,
    /// Fail if Batch cannot honour a directive, or if the job can never run
    #[arg(long, help_heading = "Submission")]
    strict: bool,
    /// Print only the job's ID; for several jobs, the IDs separated by commas
    #[arg(long, conflicts_with_all = ["json", "interactive"], help_heading = "Submission")]
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
pub fn main(words: Vec<OsString>) -> ExitCode {
    super::run_with_remark("bsub", words, |args: Args, remark| {
        if let Some(ids) = &args.rerun {
            return super::block_on_threads(args.submit_again(ids));
        }
        // clap does not refuse this: it takes the operands, which exclude `--rerun`, for `--rerun`
        // itself.
        if args.failed {
            return Err(Failure::usage(
                "--failed needs --rerun ID: it submits the failed tasks of a job again",
            ));
        }
        let invocation = args.invocation()?;
        super::block_on_threads(args.submit(invocation, remark.filter(|_| !args.quiet)))
    })
}

/// A function that turns what is wrong with the value of an option into a failure.
fn about(option: &'static str) -> impl Fn(Invalid) -> Failure {
    move |e| Failure::usage(format!("{option}: {e}"))
}
