//! The resources that jobs ask for and that instance types have.

use serde::{Deserialize, Serialize};

/// The resources that a container asks for (API `ResourceRequirement`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// The number of vCPUs. On Fargate it may be a half or a quarter.
    pub vcpus: f64,
    /// The memory in MiB.
    pub memory_mib: u64,
    /// The number of GPUs.
    pub gpus: u32,
}

impl Demand {
    /// The resources of both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            vcpus: self.vcpus + other.vcpus,
            memory_mib: self.memory_mib.saturating_add(other.memory_mib),
            gpus: self.gpus.saturating_add(other.gpus),
        }
    }

    /// The larger number of each resource.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            vcpus: self.vcpus.max(other.vcpus),
            memory_mib: self.memory_mib.max(other.memory_mib),
            gpus: self.gpus.max(other.gpus),
        }
    }
}

/// The resources of an instance type (EC2 API `InstanceTypeInfo`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceType {
    /// The name, such as `c5.xlarge`.
    pub name: String,
    /// The number of vCPUs.
    pub vcpus: u32,
    /// The memory in MiB, of which jobs get a little less (UG `memory-management`).
    pub memory_mib: u64,
    /// The number of GPUs.
    pub gpus: u32,
}
