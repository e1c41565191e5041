//! A job of AWS Batch as the user says it, and as Batch is asked for it. Pure: no network, no runtime, no SDK.
//!
//! Text from a command line becomes a type that cannot be wrong ([`JobName`], [`Memory`],
//! [`Timeout`], …) once, here, and is not checked again. [`JobSpec`] is the whole job,
//! [`ResolvedJob`] the job once its cluster is known, and [`SubmitRequest`] the request to Batch.

mod array;
mod capacity;
mod container;
mod dependency;
pub mod directives;
mod environment;
mod exit_code;
mod fargate;
mod id;
pub mod image;
mod input;
mod key;
pub mod limits;
mod lines;
mod mark;
mod moment;
mod name;
mod name_glob;
mod nodes;
mod number;
mod once_key;
mod output;
pub mod payload;
mod program;
mod reference;
pub mod request;
mod resolved;
mod resources;
mod retry;
mod scheduling;
mod script;
mod secrets;
mod shared;
mod signal;
mod spec;
mod status;
mod status_reason;
mod storage;
mod submitter;
mod tasks;
mod timeout;
mod ulimit;
mod wall_time;
pub mod words;

pub use array::{ArraySize, Tasks};
pub use capacity::{Demand, InstanceType};
pub use container::{ContainerChanges, Image, Role, Secret, User};
pub use dependency::{
    Awaited, Dependency, DependencyArg, Kind as DependencyKind, NAME_LASTS, NamePattern, NamedJob,
    NoneToAwait, awaited, dependencies, in_shape, joining,
};
pub use directives::Directives;
pub use environment::{ByAll, EnvArg, EnvName, Environment};
pub use exit_code::exit_code_in_words;
pub use fargate::{FargateSize, NoSuchSize};
pub use id::JobId;
pub use input::{Input, reserved};
pub use key::{object_key, object_url};
pub use lines::{BYTE_ORDER_MARK, LineUse, Lines};
pub use mark::Mark;
pub use moment::Moment;
pub use name::{JobName, definition_name, queue_name};
pub use name_glob::NameGlob;
pub use nodes::{Gpus, JobNodes, NodeTargets, Nodes};
pub use number::JobNumber;
pub use once_key::OnceKey;
pub use output::OutputGlob;
pub use reference::{Home, JobRef, JobRefs, Malformed, Named, Unresolved};
pub use request::SubmitRequest;
pub use resolved::{ResolvedJob, ResolvedShape};
pub use resources::{Memory, Vcpus};
pub use retry::{Attempts, Retries, RetryOnArg};
pub use scheduling::{Parameter, Priority, Share, Tag};
pub use script::{Script, ScriptError, interpreter};
pub use secrets::{MASK, NamedIn, SecretWord, Secrets, each_named_value, without_url_passwords};
pub use shared::{FileSystem, Shared};
pub use signal::{EarlySignal, SignalTo};
pub use spec::{JobSpec, Place, Resources, Scheduling, Shape, Stdin, Work};
pub use status::Status;
pub use status_reason::blocking_code;
pub use storage::{Efs, EphemeralStorage, Mount};
pub use submitter::Submitter;
pub use tasks::{ArrayIds, MAX_TASK_ID, MAX_TASKS, TaskIds};
pub use timeout::{Period, Timeout};
pub use ulimit::Ulimit;
pub use wall_time::WallTime;

/// The separator between the reason of an end, or of a refusal, and the advice behind it. AWS gives no advice; the local
/// cluster, which runs on this machine, does.
pub const ADVICE: &str = "; what to do: ";
/// What the reason of a container begins with, or has behind its own, whose output is not all in its log stream.
pub const OUTPUT_NOT_KEPT: &str = "OutputNotKept";

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
