//! SubmitJob and RegisterJobDefinition: requests, checked and merged. Pure: values to values.
//!
//! | module         | contents                                                                   |
//! |----------------|----------------------------------------------------------------------------|
//! | `submit_job`   | SubmitJob: checked, and merged with its job definition into a [`SubmitPlan`]     |
//! | `definition`   | RegisterJobDefinition: checked                                             |
//! | `spec`         | the result: what a job does, and what DescribeJobs shows of it             |
//! | `nodes`        | the containers of a multi-node job's nodes                                 |
//! | `dependencies` | what a job depends on                                                      |
//! | `retry`        | retries and timeouts                                                       |
//! | `shape`        | containers, their overrides, variables and resources                       |
//! | `consumables`  | the consumable resources that a job requires                               |
//! | `tags`         | tags                                                                       |
//! | [`task`]       | tasks of several containers                                                |
//! | `task_fields`  | the types and values of a task's fields                                    |
//! | [`platform`]   | the fields that only the jobs of one platform have                         |
//! | `integers`     | the 32-bit integers of all requests                                        |

mod consumables;
mod definition;
mod dependencies;
mod integers;
mod nodes;
pub mod platform;
mod retry;
mod shape;
mod spec;
mod submit_job;
mod tags;
pub mod task;
mod task_fields;
#[cfg(test)]
mod task_tests;

pub use definition::{Definition, check_definition, registration};
pub use dependencies::RequestedDependency;
pub use integers::check_integers;
pub use shape::{resources, shape};
pub use spec::{Spec, SubmitPlan, environment_of};
pub use submit_job::{Queue, SubmitJob, checked_submission, names, plan};
pub use tags::check_tags;
