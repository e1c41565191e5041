//! *What*: a job as the user says it. Pure, no I/O.
//!
//! Text from a command line becomes a type that cannot be wrong ([`JobName`], [`Memory`],
//! [`Timeout`], …) once, here, and is not checked again. [`JobSpec`] is the whole job;
//! [`SubmitRequest`] is what Batch is asked.

mod array;
mod environment;
mod id;
mod input;
pub mod limits;
mod name;
mod output;
mod request;
mod resources;
mod retry;
mod script;
mod spec;
mod status;
mod timeout;

pub use array::ArraySize;
pub use environment::{EnvArg, EnvName, Environment};
pub use id::JobId;
pub use input::{Input, RESERVED};
pub use name::JobName;
pub use output::OutputGlob;
pub use request::{KeyValue, Overrides, ResourceRequirement, SubmitRequest};
pub use resources::{Memory, Vcpus};
pub use retry::Attempts;
pub use script::{Script, ScriptError};
pub use spec::{JobSpec, Work};
pub use status::Status;
pub use timeout::Timeout;

/// A value on the command line that is no such value: what is wrong with it, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub(crate) String);

impl Invalid {
    /// The reason, worded so that it reads well after `invalid value 'X' for '--option <N>': `.
    pub fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}
