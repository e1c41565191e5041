//! CloudFormation: stacks, change sets and events, for the resource types that a cluster has.
//!
//! Batch resources, buckets and log groups of a stack are real. All other types are checked and
//! kept, and nothing uses them.
//!
//! | module       | contents                                                                        |
//! |--------------|---------------------------------------------------------------------------------|
//! | `api`        | the operations; `describe`: their answers; `request`: their parameters          |
//! | `template`   | templates: parsing and checking; `expression`: intrinsic functions; pure        |
//! | `graph`      | the order of resources; pure                                                    |
//! | `schema`     | the resource schemas; pure                                                      |
//! | `scope`      | what a template's names mean for a stack; pure                                  |
//! | `model`      | stacks, resources, events                                                       |
//! | `operation`  | what happens to a stack: a state machine of small steps; pure                   |
//! | `change_set` | what an update would do; pure                                                   |
//! | `policy`     | stack policies; pure                                                            |
//! | `names`      | the names that resources get; pure                                              |
//! | `world`      | making real resources; `simulated`: those that are only kept                    |
//! | `faults`     | failures that tests ask for                                                     |
//! | `rows`       | the rows of the Batch database                                                  |

mod api;
mod change_set;
mod describe;
mod expression;
mod faults;
mod graph;
mod model;
mod names;
mod operation;
mod policy;
mod request;
pub mod rows;
mod schema;
mod scope;
mod simulated;
mod template;
#[cfg(test)]
mod tests;
mod world;

pub use api::{Api, asked};
