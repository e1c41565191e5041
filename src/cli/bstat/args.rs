//! The arguments of `bstat`.

use clap::Parser;

use super::columns::{Columns, Sort};
use super::details::EnvValues;
use super::interval::Every;
use crate::cli::CommonArgs;
use crate::cli::job_filter::JobFilterArgs;
use crate::ui::Output;
use awsb_model::{Invalid, ParsedJobRefs, Status};

/// Show jobs: the active jobs of the cluster's queue, or the given jobs
#[derive(Debug, Parser)]
#[command(name = "bstat", version)]
pub struct Args {
    /// Jobs, array children (ID:INDEX) or nodes (ID#INDEX): an ID, its beginning, an ARN, `last`,
    /// or `-` to read them from standard input
    #[arg(
        value_name = "ID",
        conflicts_with_all = ["queue", "all_queues", "name", "since", "until", "mine"]
    )]
    pub(super) jobs: Vec<ParsedJobRefs>,
    /// Only the child with this task ID
    #[arg(long, value_name = "N", allow_negative_numbers = true, requires = "jobs")]
    pub(super) task: Option<u32>,
    #[command(flatten)]
    pub(super) select: JobFilterArgs,
    /// Jobs that have FAILED; with an array's ID, its failed children
    #[arg(long, conflicts_with = "status", help_heading = "Selecting jobs")]
    pub(super) failed: bool,
    /// Show all children of arrays and all nodes of multi-node jobs, each below its job
    #[arg(short, long, help_heading = "Output")]
    pub(super) expand_children: bool,
    /// Show each job in detail
    #[arg(short, long, conflicts_with = "columns", help_heading = "Output")]
    pub(super) details: bool,
    /// Show each job in detail with its environment variables; without =all, values that look like
    /// secrets are masked
    #[arg(
        long,
        value_name = "all",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = env_values,
        conflicts_with = "columns",
        help_heading = "Output"
    )]
    pub(super) env: Option<EnvValues>,
    /// Print the script of a job
    #[arg(
        long,
        requires = "jobs",
        conflicts_with_all = ["status", "failed", "details", "env", "expand_children", "sort", "columns", "watch", "json"],
        help_heading = "Output"
    )]
    pub(super) script: bool,
    /// Show these columns, separated by commas; they have the names of the JSON fields
    #[arg(short = 'o', long, value_name = "LIST", conflicts_with = "json", help_heading = "Output")]
    pub(super) columns: Option<Columns>,
    /// Sort by this column; `-COLUMN` reverses the order [default: the newest last]
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true, help_heading = "Output")]
    pub(super) sort: Option<Sort>,
    /// Show whole IDs on a terminal as well
    #[arg(long, help_heading = "Output")]
    pub(super) full: bool,
    /// Leave out the header
    #[arg(long, help_heading = "Output")]
    pub(super) no_header: bool,
    /// Repeat the view until no job is active, with this pause in between [default: 2]
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        help_heading = "Output"
    )]
    pub(super) watch: Option<Every>,
    /// Show why these jobs do not run or why they failed, and what to do; without IDs, for your
    /// active jobs and those that failed in the last day
    #[arg(
        long,
        conflicts_with_all = ["status", "failed", "details", "env", "expand_children", "sort", "columns", "watch", "script"],
        help_heading = "Output"
    )]
    pub(super) why: bool,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// The value of `--env`.
fn env_values(text: &str) -> Result<EnvValues, Invalid> {
    match text {
        "" => Ok(EnvValues::Masked),
        "all" => Ok(EnvValues::Unmasked),
        _ => Err(Invalid::because("the only value is `all`")),
    }
}

impl Args {
    /// Where the results go.
    pub fn output(&self) -> Output {
        self.common.output().without_header(self.no_header)
    }

    /// The states that the user asks for, if any.
    pub fn statuses(&self) -> Option<&[Status]> {
        match &self.select.status {
            Some(statuses) => Some(&statuses.0),
            None if self.failed => Some(&[Status::Failed]),
            None => None,
        }
    }

    /// Whether jobs are shown in detail.
    pub fn is_detailed(&self) -> bool {
        self.details || self.env.is_some()
    }
}
