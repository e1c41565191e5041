//! A job of AWS Batch as the user describes it, and the request for it; and a cluster as the user
//! describes it, and its CloudFormation template. Pure: no network, no runtime, no SDK.
//!
//! Text from a command line is parsed once, here, into a type whose values are always valid
//! ([`JobName`], [`Memory`], [`Timeout`], …), and is not checked again. [`JobSpec`] is the whole
//! job, [`ResolvedJob`] the job once its cluster is known, and [`SubmitRequest`] the request to
//! Batch. [`cluster`] is the description of a cluster, and [`toml_reader`] reads settings files.

mod array;
mod capacity;
pub mod cluster;
pub mod command_line;
mod consumables;
mod container;
mod dependency;
mod digits;
pub mod directives;
mod env_vars;
mod exit_code;
mod fargate;
mod id;
pub mod image;
pub mod ini;
mod input;
pub mod limits;
mod linux_parameters;
mod mounts;
mod name;
mod name_glob;
mod node_group;
mod nodes;
mod number;
mod once_key;
mod output;
pub mod payload;
mod pod_stream;
mod reference;
pub mod request;
mod resolved;
mod resources;
mod retry;
mod s3_layout;
mod scheduling;
mod script;
mod secrets;
pub mod session_frames;
mod shape;
mod shared_dirs;
mod signal;
mod spec;
mod status;
mod status_reason;
mod submission_id;
mod submitter;
mod task_lines;
mod tasks;
mod time_arg;
mod timeout;
pub mod toml_reader;
mod ulimit;
mod wall_time;
pub mod words;

pub use array::{ArraySize, Tasks};
pub use capacity::{Demand, InstanceType};
pub use consumables::{Consumption, RunningLimit, check_consumption, consumable_name, consumable_resource};
pub use container::{ContainerChanges, Role, Secret, User};
pub use dependency::{
    Awaited, Dependency, DependencyArg, DependencyKind, NAME_LASTS, NamePattern, NamedJob, NoneToAwait,
    awaited, dependencies, joining, validate_for,
};
pub use directives::Directives;
pub use env_vars::{ByAll, EnvArg, EnvName, EnvVars};
pub use exit_code::exit_code_in_words;
pub use fargate::{FargateSize, NoSuchSize};
pub use id::JobId;
pub use image::Image;
pub use input::{Input, reserved};
pub use linux_parameters::{Device, InstanceTypeName, RegistrySecret, Tmpfs};
pub use mounts::{Efs, EphemeralStorage, Mount};
pub use name::{JobName, container_name, definition_name, queue_name};
pub use name_glob::NameGlob;
pub use node_group::{NodeGroup, ranges as node_ranges};
pub use nodes::{JobNodes, NodeTargets, Nodes};
pub use number::JobNumber;
pub use once_key::OnceKey;
pub use output::OutputGlob;
pub use pod_stream::{PodNames, PodStream, PodStreamPattern};
pub use reference::{Home, JobRef, JobRefs, Malformed, ParsedJobRefs, Unresolved};
pub use request::SubmitRequest;
pub use resolved::{ResolvedJob, ResolvedShape, TargetContainer};
pub use resources::{Gpus, Memory, MemorySize, Vcpus};
pub use retry::{Attempts, Retries, RetryOnArg};
pub use s3_layout::{object_key, object_url};
pub use scheduling::{Parameter, Priority, Share, Tag};
pub use script::{Script, ScriptError, interpreter};
pub use secrets::{MASK, NamedIn, SecretWord, SecretWords, each_named_value, without_url_passwords};
pub use shape::Shape;
pub use shared_dirs::{FileSystem, SharedDir};
pub use signal::{EarlySignal, SignalTo};
pub use spec::{JobSpec, Program, Resources, Scheduling, Stdin, WorkDir};
pub use status::Status;
pub use status_reason::blocking_code;
pub use submission_id::SubmissionId;
pub use submitter::Submitter;
pub use task_lines::{BYTE_ORDER_MARK, LineUse, PartialLines, TaskLines};
pub use tasks::{ArrayIds, ArrayLimit, MAX_TASK_ID, MAX_TASKS, TaskIds};
pub use time_arg::TimeArg;
pub use timeout::{Period, Timeout};
pub use ulimit::Ulimit;
pub use wall_time::WallTime;

/// The separator between the reason of an end, or of a refusal, and the advice behind it. AWS gives
/// no advice; the local cluster, which runs on this machine, does.
pub const ADVICE: &str = "; what to do: ";
/// The word in the reason of a container whose output is not complete in its log stream. It stands
/// at the beginning, or after the reason proper.
pub const OUTPUT_NOT_KEPT: &str = "OutputNotKept";

/// An invalid value on the command line: what is wrong with it, and what would be valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

impl Invalid {
    /// The reason, worded so that it reads well after `invalid value 'X' for '--option <N>': `.
    pub fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}
