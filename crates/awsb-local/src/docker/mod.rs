//! The local cluster's objects on the [Docker engine](awsb_docker), and their names.
//!
//! Server and runners both talk to it. Everything that they make there carries the home's ID in a
//! label, so that what somebody's death has left behind is found again and removed.

pub mod cleanup;
mod error;
mod names;
pub mod network;
pub mod pause;

pub use error::EngineError;
pub use names::{
    HOME_LABEL, JOB_LABEL, TASK_LABEL, container_name, container_of_task_name, metadata_name, network_name,
    nodes_network_name, volume_name,
};
