//! What jobs ask for and instance types have.

use serde::{Deserialize, Serialize};

/// What a container asks for (API `ResourceRequirement`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// vCPUs; on Fargate also a half and a quarter.
    pub vcpus: f64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// GPUs.
    pub gpus: u32,
}

/// What an instance type has (EC2 API `InstanceTypeInfo`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceType {
    /// `c5.xlarge`.
    pub name: String,
    /// vCPUs.
    pub vcpus: u32,
    /// Memory in MiB, of which jobs get a little less (UG `memory-management`).
    pub memory_mib: u64,
    /// GPUs.
    pub gpus: u32,
}
