//! Runners: the processes that own the jobs.
//!
//! A runner is a process in a session of its own. It runs one job at a time for the server and then
//! takes the next. It outlives the server, as containerd's shims outlive containerd. It writes
//! everything that happens to a job into its *journal* before it reports it. So a new server learns
//! from the runner, or from the journal of a runner that is gone, what became of every job.
//!
//! The rules from which "nothing is lost, nothing runs twice" follows:
//!
//! 1. A runner holds the lock of its own lock file as long as it lives. No reused pid can fake
//!    that.
//! 2. The server records which runner a job goes to before it sends the job to the runner.
//! 3. A runner journals that it has taken a job before the job's process or container exists, and
//!    how the job ended before it reports it.
//! 4. A runner handles its orders one after the other. It reports what it has only after it has
//!    seen the end of what the previous server sent.
//!
//! So a job that was given to a runner is in one of four states: the runner lives and says that it
//! has it; it lives and says that it has not (then it never began); it is gone and its journal has
//! the end; it is gone and its journal has no end (the attempt is lost) or does not know the job
//! (it never began).

mod container;
mod executor;
mod host;
mod journal;
mod limits;
mod line_appender;
pub(crate) mod link;
mod main_loop;
pub(crate) mod mask;
mod output;
mod process;
pub(crate) mod protocol;
mod spare;
mod task;
mod task_progress;
mod tmpdir;
pub mod unpacker;

pub(crate) use journal::{
    AttemptOutcome, JournaledAttempt, Journals, forget, is_alive, journals, leader_of, outcome_of,
};
pub(crate) use limits::Lent;
pub use main_loop::run;
pub(crate) use process::{Leader, Remains, is_group_left, kill_remains};
pub(crate) use tmpdir::{sweep_links, tmpdir_of};
