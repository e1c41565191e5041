//! Clusters on AWS: their stacks, made, changed and deleted by CloudFormation.
//!
//! `awsb_model::cluster` decides what a cluster is made of and what a change means for jobs. This
//! module asks AWS, and follows what AWS does. [`standing()`], [`Progress`] and [`Cause`] decide
//! without I/O.

pub mod bucket;
mod cause;
mod change_set;
mod content;
pub mod data;
pub mod drain;
mod events;
mod facts;
mod follow;
mod journal;
mod leftovers;
mod operations;
mod part_jobs;
mod problems;
mod progress;
mod remains;
mod stack;
mod standing;
mod status;

pub use cause::{ADMIN_POLICY, Cause, kind};
pub use change_set::{
    ChangeSet, Prepared, StackContent, execute, exists as has_change_set, prepare,
    remove as remove_change_set,
};
pub use content::{Current, content, new_template};
pub use events::{Event, Watch, all as events, mark_of_operation, newest as newest_event};
pub use follow::follow;
pub use journal::{Journal, Kind, Operation};
pub use leftovers::{Leftover, Origin, holders, kept_ids};
pub use operations::{delete, protect};
pub use part_jobs::PartJobs;
pub use problems::check;
pub use progress::{Part, Progress};
pub use remains::{LogGroup, Names, bucket_of, remains};
pub use stack::{
    CLUSTER_TAG, Maker, Stack, StackResource, all as stacks, find, resources, template as stack_template,
};
pub use standing::{Standing, Taken, standing};
pub use status::{Phase, StackStatus};
