//! A cluster as `bcluster` makes it: its configuration, the CloudFormation template, and what a
//! change means for jobs. Pure: nothing here asks AWS.
//!
//! [`ClusterConfig`] is what the user writes. [`ResolvedNetwork`] is the network that it means in
//! an account. [`template()`] makes a [`Template`] of both.

mod bucket_name;
pub mod config;
pub mod effect;
pub mod facts;
pub mod import;
pub mod policy;
pub mod quota;
mod template;
pub mod validate;

pub use bucket_name::{bucket_name, is_bucket_name, repository_name};
pub use config::{ClusterConfig, ClusterName};
pub use effect::{Change, Effect, EffectClass, Refusal, effect_of_each, effects};
pub use facts::{NetworkFacts, ResolvedNetwork};
pub use template::{BODY_BYTES, CLUSTER_TAG, OBJECT_BYTES, StoppedEnvironments, Template, template};
pub use validate::{Problem, ProblemKind, validate};

#[cfg(test)]
mod tests;
