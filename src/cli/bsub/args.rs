//! The arguments of `bsub`.

use std::ffi::OsString;

use clap::Parser;

use super::options::Options;
use crate::cli::CommonArgs;
use crate::ui::Failure;
use awsb_model::{Invalid, JobRefs, OnceKey, Period};

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
    pub(super) options: Options,

    /// The first operand is a script on this machine
    #[arg(long, conflicts_with_all = ["command", "wrap", "commands"], help_heading = "Program")]
    pub(super) script: bool,
    /// The first operand is a command in the image
    #[arg(long, conflicts_with_all = ["wrap", "commands"], help_heading = "Program")]
    pub(super) command: bool,
    /// Run this shell command line
    #[arg(long, value_name = "COMMAND LINE", help_heading = "Program")]
    pub(super) wrap: Option<OsString>,
    /// Start a command directly, without a shell, for images without /bin/sh
    #[arg(long, help_heading = "Program")]
    pub(super) bare: bool,

    /// With -I: run the command on this terminal; the job ends with it
    #[arg(
        long,
        requires = "interactive",
        conflicts_with_all = [
            "script", "wrap", "bare", "rerun", "once", "dry_run", "parsable", "json", "stdin", "nodes", "array_size",
            "array", "each", "commands", "retry_attempts", "retry_on"
        ],
        help_heading = "Program"
    )]
    pub(super) pty: bool,
    /// Submit a job again, with the same files and settings, changed by the given options
    #[arg(long, value_name = "ID", conflicts_with_all = ["script", "command", "wrap", "bare", "once", "strict", "operands"], help_heading = "Program")]
    pub(super) rerun: Option<JobRefs>,
    /// With --rerun: submit only the tasks that have failed
    #[arg(long, requires = "rerun", help_heading = "Program")]
    pub(super) failed: bool,

    /// Submit only once for this key: if its job is active or has succeeded, print that job's ID
    /// instead
    #[arg(long, value_name = "KEY", help_heading = "Submission")]
    pub(super) once: Option<OnceKey>,
    /// How long to retry a submission that Batch turns away [default: 5m]
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, help_heading = "Submission")]
    pub(super) submit_timeout: Option<Period>,
    /// Print the requests without sending them
    #[arg(long, conflicts_with_all = ["parsable", "quiet"], help_heading = "Submission")]
    pub(super) dry_run: bool,
    /// Fail if Batch cannot honour a directive, or if the job can never run
    #[arg(long, help_heading = "Submission")]
    pub(super) strict: bool,
    /// Print only the job's ID; for several jobs, the IDs separated by commas
    #[arg(long, conflicts_with_all = ["json", "interactive"], help_heading = "Submission")]
    pub(super) parsable: bool,
    /// Print nothing but errors; with --parsable, nothing but errors and the ID
    #[arg(long, conflicts_with = "json", help_heading = "Submission")]
    pub(super) quiet: bool,

    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// A script or a command, and its arguments
    #[arg(value_name = "SCRIPT|COMMAND", trailing_var_arg = true, hide = true)]
    pub(super) operands: Vec<OsString>,
}

/// A function that turns what is wrong with the value of an option into a failure.
pub(super) fn about(option: &'static str) -> impl Fn(Invalid) -> Failure {
    move |e| Failure::usage(format!("{option}: {e}"))
}
