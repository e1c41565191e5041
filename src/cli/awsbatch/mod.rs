//! The tools of AWS ParallelCluster under their old names, for the scripts that call them.
//!
//! Options, standard output, exit codes and settings are those of
//! `aws-parallelcluster-awsbatch-cli` 1.6. `docs/awsbatch-cli.md` lists what differs, and why.

mod hosts;
mod kill;
mod listing;
mod options;
mod out;
mod queues;
mod stat;
mod sub;
mod tool;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Command;

/// The name of an old tool, its definition, and its entry point.
pub type OldTool = (&'static str, fn() -> Command, fn(Vec<OsString>) -> ExitCode);

/// The tools.
pub const OLD_TOOLS: [OldTool; 6] = [
    ("awsbsub", || sub::DEFINITION.command(), sub::main),
    ("awsbstat", || stat::DEFINITION.command(), stat::main),
    ("awsbout", || out::DEFINITION.command(), out::main),
    ("awsbkill", || kill::DEFINITION.command(), kill::main),
    ("awsbqueues", || queues::DEFINITION.command(), queues::main),
    ("awsbhosts", || hosts::DEFINITION.command(), hosts::main),
];
