//! *Where*: which cluster is meant, and the AWS clients that talk to it.
//!
//! A [`Cluster`] is a name for a queue, its job definitions, a bucket and a region. [`Session::open`] finds
//! the one that is meant and makes the clients for it. This is the only place which knows that a
//! cluster can be local, and all that follows from it is an endpoint and credentials.

mod access_denied;
mod cache;
mod call_error;
mod defaults;
mod ec2;
mod error_text;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod image_settings;
mod local_error;
mod parallelcluster_cli_cfg;
mod parallelcluster_stack;
mod proxy;
mod rate_limit;
mod reconnect;
mod resolve;
mod session;
mod settings;
mod spawn;
mod trace;

pub use cache::Cache;
pub use call_error::{CallError, trouble};
pub use defaults::{DefaultLine, Defaults};
pub use ec2::{Ec2, Gpu, Instance, InstanceType};
pub use error_text::{explain, not_there};
pub use image_settings::{Builder, Images};
pub use reconnect::{Contact, contact_timeout};
pub use resolve::{Cluster, ClusterSelector, defaults, lsf_unit, secrets};
pub use session::{OPERATION_TIMEOUT, Session};
pub use spawn::apart;
