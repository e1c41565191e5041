//! `bsub`: submits a job.

mod args;
mod consumables;
mod depends;
mod dry_run;
mod environment;
mod image;
mod inputs;
mod option_sources;
mod options;
mod payload;
mod pty;
mod remarks;
mod rerun;
mod resolved_options;
mod spec;
mod stdin;
mod submit;
mod wait;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::ui::Failure;
pub use args::Args;

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
