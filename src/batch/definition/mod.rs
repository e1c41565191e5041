//! Job definitions: what a job definition allows, which one a job takes, and one that is derived
//! from another.
//!
//! [`inspect_definition`] only reads. [`register_definition`] is the only function here that
//! changes something.

mod apply;
mod derive;
mod inspect;
mod leftover;
mod summary;

pub(super) use derive::restore;
pub use derive::{
    DERIVED_FROM_TAG, JobDefinitionRef, Registration, forget, register_definition, registration_request,
};
pub use inspect::{DefinitionRequest, InspectedDefinition, inspect_definition};
pub(super) use inspect::{needs_nodes, takes_no_overrides};
pub use leftover::{DerivedDefinition, deregister, unused_definitions};
pub use summary::{
    ContainerSummary, DefinitionKind, DefinitionSummary, JobPlatform, NodeRange, TaskContainerSummary,
    describe, describe_uncached,
};
pub(super) use summary::{find_revisions, missing, set_to_be_read};
