//! The AWS clients of one cluster, and the errors of their calls.
//!
//! [`Session::open`] makes the clients for the cluster that [`crate::config`] finds. From there on,
//! a local cluster is one more endpoint with credentials.

mod access_denied;
mod answer_limit;
mod aws_cli;
mod aws_profile;
mod ca_bundle;
mod cache;
mod call_error;
mod credentials;
mod ec2;
mod efs;
mod endpoints;
mod error_text;
mod foreign_answer;
mod local_error;
mod object;
mod page_token;
mod pages;
mod parallelcluster_stack;
mod proxy;
mod query;
mod rate_limit;
mod reconnect;
mod sdk_error;
mod server_clock;
mod server_text;
mod service_answer;
mod service_quotas;
mod session;
pub mod session_stream;
mod spawn;
mod sts;
mod systems_manager;
mod trace;

pub use access_denied::AccessDenied;
pub use cache::Cache;
pub use call_error::CallError;
pub use ec2::{
    Ec2, Gpu, Instance, InstanceType, Offering, Route, RouteTable, SecurityGroup, Subnet, Vpc, WayOut,
};
pub use efs::{Efs, MountTarget};
pub use error_text::{Call, CallContext, Resource};
pub use object::ObjectReader;
pub use page_token::{next_markers, next_page};
pub use pages::{PageError, Pages};
pub use parallelcluster_stack::is_missing_stack;
pub use query::CallError as QueryCallError;
pub use reconnect::{ResilientSession, contact_timeout};
pub use server_clock::ServerClock;
pub use server_text::beginning_of;
pub use service_quotas::{AccountQuota, ServiceQuotas};
pub use session::{
    OPERATION_TIMEOUT, Session, endpoint_of, explain, explain_item, explain_unreadable, not_found,
};
pub use spawn::spawn_call;
pub use sts::{Identity, Sts};
pub use systems_manager::{StartedSession, SystemsManager, port_request};
