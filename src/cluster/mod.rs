//! *Where*: which cluster is meant, and the AWS clients that talk to it.
//!
//! A [`Cluster`] is a name for a queue, its job definitions, a bucket and a region. [`select()`] finds
//! the one that is meant; [`Session`] is the clients for it. This is the only place which knows that a
//! cluster can be local, and all that follows from it is an endpoint and credentials.

mod contact;
mod explain;
mod select;
mod session;
mod settings;
mod trace;

pub use contact::Contact;
pub use explain::{Trouble, explain, trouble};
pub use select::{Choice, Cluster, select};
pub use session::{OPERATION_TIMEOUT, Session};
