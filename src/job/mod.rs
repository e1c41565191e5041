//! *What*: a job as the user says it. Pure, no I/O.
//!
//! Text from a command line becomes a type that cannot be wrong ([`JobName`], [`Memory`],
//! [`Timeout`], …) once, here, and is not checked again. [`JobSpec`] is the whole job;
//! [`SubmitRequest`] is what Batch is asked.

mod array;
mod dependency;
pub mod directives;
mod environment;
mod id;
pub mod limits;
mod mark;
mod name;
pub mod request;
mod resources;
mod retry;
mod scheduling;
mod script;
mod spec;
mod status;
mod tasks;
mod timeout;
mod wall_time;

pub use array::ArraySize;
pub use dependency::{Dependency, DependencyArg, Kind as DependencyKind, dependencies};
pub use directives::Directives;
pub use environment::{EnvArg, EnvName, Environment, handed_on_by_all};
pub use id::JobId;
pub use mark::Mark;
pub use name::JobName;
pub use request::SubmitRequest;
pub use resources::{Memory, Vcpus};
pub use retry::{Attempts, Retries, RetryOnArg};
pub use scheduling::{Parameter, Priority, Share, Tag};
pub use script::{Script, ScriptError};
pub use spec::{JobSpec, Place, Resources, Scheduling, Shape, Work};
pub use status::Status;
pub use tasks::{MAX_TASK_ID, MAX_TASKS, TaskIds};
pub use timeout::Timeout;
pub use wall_time::WallTime;

/// A value on the command line that is no such value: what is wrong with it, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

impl Invalid {
    /// The reason, worded so that it reads well after `invalid value 'X' for '--option <N>': `.
    pub fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}
