//! *Where*: which cluster is meant, and the AWS clients that talk to it.
//!
//! A [`Cluster`] is a name for a queue, its job definitions, a bucket and a region. [`Session::open`] finds
//! the one that is meant and makes the clients for it. This is the only place which knows that a
//! cluster can be local, and all that follows from it is an endpoint and credentials.

mod apart;
mod cache;
mod contact;
mod defaults;
mod denied;
mod ec2;
mod explain;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod images;
mod local_error;
mod old;
mod pace;
mod proxy;
mod select;
mod session;
mod settings;
mod stack;
mod trace;
mod trouble;

pub use apart::apart;
pub use cache::Cache;
pub use contact::{Contact, contact_timeout};
pub use defaults::{DefaultLine, Defaults};
pub use ec2::{Ec2, Gpu, Instance, InstanceType};
pub use explain::{explain, not_there};
pub use images::{Builder, Images};
pub use select::{Choice, Cluster, defaults, lsf_unit, secrets};
pub use session::{OPERATION_TIMEOUT, Session};
pub use trouble::{Trouble, trouble};
