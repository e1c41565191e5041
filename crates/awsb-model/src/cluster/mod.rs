//! A cluster as `bcluster` makes it: its configuration, the CloudFormation template, and what a
//! change means for jobs. Pure: nothing here asks AWS.
//!
//! [`ClusterConfig`] is what the user writes. [`ResolvedNetwork`] is the network that it means in
//! an account. [`template()`] makes a [`Template`] of both.

pub mod config;
pub mod facts;
mod policy;
mod template;

pub use config::{ClusterConfig, ClusterName};
pub use facts::{NetworkFacts, ResolvedNetwork};
pub use template::{BODY_BYTES, OBJECT_BYTES, Template, template};

#[cfg(test)]
mod tests;
