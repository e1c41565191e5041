//! AWS Batch: the API, the pure state machine with the scheduler in it, the database, and the one
//! writer that holds them together.
//!
//! | module       | contents                                                                  |
//! |--------------|---------------------------------------------------------------------------|
//! | `api`        | operations: JSON in, JSON out                                             |
//! | `request`    | what a SubmitJob says, checked and merged with its job definition; pure   |
//! | `definition` | job definitions: registering and finding them                             |
//! | `resources`  | queues, compute environments and scheduling policies                      |
//! | `consumable` | consumable resources                                                      |
//! | `state`      | what happens to jobs: a state machine from events to effects; pure        |
//! | `store`      | jobs, attempts and definitions in the database: writing                   |
//! | `reader`     | the same: reading                                                         |
//! | `lineage`    | who has submitted what, and what a container's key may see of it          |
//! | `describe`   | rows as the JSON that AWS answers with                                    |
//! | `task_order` | a task of containers as requests to the Docker engine                     |
//! | `engine`     | the one writer: requests and reports in, transactions and orders out      |

mod api;
pub mod consumable;
mod container;
mod containment;
#[cfg(test)]
mod damage_tests;
pub mod definition;
mod describe;
mod engine;
pub mod handle;
mod lineage;
pub mod log_streams;
pub mod messages;
pub mod model;
mod output;
mod reader;
pub mod request;
pub mod resource_rows;
pub mod resources;
mod rows;
pub mod state;
pub mod store;
mod task_order;

pub use api::{Api, absent};
pub use describe::{container_arn, instance_arn, task_arn};
pub use engine::{Engine, EngineConfig};
pub use handle::Handle;
pub use lineage::JobScope;
pub use messages::{Message, Needs, RunningContainer, RunningTask};
pub use model::JobKey;
pub use reader::{Reader, Snapshot};
pub use resources::ecs_cluster_arn;

/// The writing end of a home's database, with what is built in on a machine of this capacity.
///
/// # Errors
/// When the database cannot be opened or is of a newer version of awsb.
pub fn open_store(
    home: &std::path::Path,
    capacity: &super::capacity::Resources,
) -> std::io::Result<store::Store> {
    let built_in = store::BuiltIn {
        definition: definition::built_in(capacity),
        resources: resources::built_in(capacity),
    };
    store::Store::open(home, &built_in, crate::time::now_ms())
}
