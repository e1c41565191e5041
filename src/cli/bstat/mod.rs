//! `bstat`: shows jobs.
//!
//! | module       | its part                                                              |
//! |--------------|-----------------------------------------------------------------------|
//! | `args`       | the arguments                                                         |
//! | `show`       | one look: connects `stream` and `view`                                |
//! | `stream`     | fetches, expands and completes jobs, as rows (`row`)                  |
//! | `view`       | renders rows as a table (`columns`), details (`details`) or JSON      |
//! | `watch`      | `--watch`: one look after the other                                   |
//! | `why`        | `--why`                                                               |
//! | `script`     | `--script`                                                            |

mod args;
mod bundle;
mod cell_value;
mod columns;
mod details;
mod ids;
mod interval;
mod packed;
mod progress;
mod row;
mod script;
mod show;
mod stream;
mod view;
mod watch;
mod why;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

pub use self::args::Args;
pub use self::columns::column_names;
use self::packed::PackedVariables;
use self::show::Look;
use self::view::ViewSummary;
use super::job_args::JobArgs;
use crate::aws::Session;
use crate::batch::Job;
use crate::ui::{Exit, Failure, print_message};

/// `bstat`'s entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    super::run("bstat", words, |args: Args| super::block_on(run(&args)))
}

async fn run(args: &Args) -> Result<Exit, Failure> {
    let wanted = JobArgs::read("bstat", &args.jobs)?;
    let mut session = args.common.open().await?;
    let (output, packed) = (args.output(), PackedVariables::default());
    let look = Look { args, output: &output, packed: &packed };
    if args.jobs.is_empty() && args.why {
        let found = why::of_interest(&mut session, &args.select).await?;
        return why::print(&session, &output, &found).await;
    }
    if args.jobs.is_empty() {
        if let Some(every) = args.watch {
            let watched = watch::Watched::Queues;
            let (summary, session) = watch::run(args, session, every, watched).await?;
            if summary.jobs == 0 {
                explain_empty(args, &session);
            }
            return Ok(Exit::Done);
        }
        let summary = look.at_queues(&mut session).await?;
        if summary.jobs == 0 {
            explain_empty(args, &session);
        }
        return Ok(finish(&summary));
    }
    let found = wanted.find(&session, args.task).await?;
    if args.why {
        return why::print(&session, &output, &found).await;
    }
    let exit = if args.script {
        script::print(&session, &output, &found.jobs).await?
    } else if let Some(every) = args.watch.filter(|_| !found.jobs.is_empty()) {
        let watched = watch::Watched::Jobs(found.jobs.iter().map(Job::id).collect());
        watch::run(args, session, every, watched).await?;
        Exit::Done
    } else if found.jobs.is_empty() && !args.common.json {
        Exit::Done
    } else {
        let is_alone = found.jobs.len() == 1 && found.failures.is_empty();
        finish(&look.at_jobs(&session, found.jobs.clone(), is_alone).await?)
    };
    Ok(found.report("bstat", exit))
}

/// Explains an empty view to a person, who may wonder. One who has chosen the jobs by options knows
/// why.
fn explain_empty(args: &Args, session: &Session) {
    if !args.select.is_given() && !args.failed && std::io::stderr().is_terminal() {
        let queue = &session.cluster.job_queue;
        print_message(format!(
            "bstat: no job is active in the queue {queue}; `bstat -s ALL` shows ended jobs, too"
        ));
    }
}

/// Prints the hint for which the jobs of a view give reason.
fn finish(summary: &ViewSummary) -> Exit {
    if summary.lacks_sh {
        print_message(super::LACKS_SH);
    }
    Exit::Done
}
