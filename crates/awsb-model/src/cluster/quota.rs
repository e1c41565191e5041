//! The quotas of an account that the machines of a cluster count against.

use super::config::{Capacity, Environment, Purchase};

/// A quota of vCPUs (Service Quotas). On EC2 there is one for each group of instance types, and on
/// Spot another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VcpuQuota {
    /// The service, such as `ec2`.
    pub service: &'static str,
    /// The code, such as `L-1216C47A`.
    pub code: &'static str,
    /// The name in the console of Service Quotas.
    pub name: &'static str,
}

/// A quota of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceQuota {
    /// The service, such as `batch`.
    pub service: &'static str,
    /// The code.
    pub code: &'static str,
    /// The value for an account that has asked for no other.
    pub default: u32,
    /// Whether AWS raises it for an account that asks.
    pub is_adjustable: bool,
}

/// Compute environments in a region (AWS Batch User Guide, `service_limits`, which says that it
/// cannot be changed).
pub const ENVIRONMENTS: ResourceQuota =
    ResourceQuota { service: "batch", code: "L-144F0CA5", default: 50, is_adjustable: false };
/// Job queues in a region (AWS Batch User Guide, `service_limits`, which says that it cannot be
/// changed).
pub const QUEUES: ResourceQuota =
    ResourceQuota { service: "batch", code: "L-4CEA37AD", default: 50, is_adjustable: false };
/// VPCs in a region (Amazon VPC User Guide, `amazon-vpc-limits`).
pub const VPCS: ResourceQuota =
    ResourceQuota { service: "vpc", code: "L-F678F1CE", default: 5, is_adjustable: true };

/// The letters of the families, the quota of on-demand instances, and that of Spot, if there is
/// one (EC2 User Guide, `ec2-on-demand-instances` and `using-spot-limits`). The last row is for all
/// other families.
const EC2: [(&[&str], VcpuQuota, Option<VcpuQuota>); 9] = [
    (
        &["g", "gr", "vt"],
        ec2("L-DB2E81BA", "Running On-Demand G and VT instances"),
        Some(ec2("L-3819A6DF", "All G and VT Spot Instance Requests")),
    ),
    (
        &["p"],
        ec2("L-417A185B", "Running On-Demand P instances"),
        Some(ec2("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests")),
    ),
    (
        &["x"],
        ec2("L-7295265B", "Running On-Demand X instances"),
        Some(ec2("L-E3A00192", "All X Spot Instance Requests")),
    ),
    (
        &["f"],
        ec2("L-74FC7D96", "Running On-Demand F instances"),
        Some(ec2("L-88CF9481", "All F Spot Instance Requests")),
    ),
    (
        &["inf"],
        ec2("L-1945791B", "Running On-Demand Inf instances"),
        Some(ec2("L-B5D1601B", "All Inf Spot Instance Requests")),
    ),
    (
        &["trn"],
        ec2("L-2C3B7624", "Running On-Demand Trn instances"),
        Some(ec2("L-6B0D517C", "All Trn Spot Instance Requests")),
    ),
    (
        &["dl"],
        ec2("L-6E869C2A", "Running On-Demand DL instances"),
        Some(ec2("L-85EED4F7", "All DL Spot Instance Requests")),
    ),
    (&["hpc"], ec2("L-F7808C92", "Running On-Demand HPC instances"), None),
    (
        &[],
        ec2("L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"),
        Some(ec2("L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests")),
    ),
];

const fn ec2(code: &'static str, name: &'static str) -> VcpuQuota {
    VcpuQuota { service: "ec2", code, name }
}

const FARGATE: VcpuQuota =
    VcpuQuota { service: "fargate", code: "L-3032A538", name: "Fargate On-Demand vCPU resource count" };
const FARGATE_SPOT: VcpuQuota =
    VcpuQuota { service: "fargate", code: "L-36FBB829", name: "Fargate Spot vCPU resource count" };

/// The quotas that the machines of an environment count against, in order. Empty: one of its
/// families has a quota that is not in the table, so that the sum is not known.
pub fn vcpu_quotas(environment: &Environment) -> Vec<VcpuQuota> {
    let instances = match &environment.capacity {
        Capacity::Fargate { spot: true } => return vec![FARGATE_SPOT],
        Capacity::Fargate { spot: false } => return vec![FARGATE],
        Capacity::Ec2(instances) => instances,
    };
    let is_spot = matches!(instances.purchase, Purchase::Spot { .. });
    let of_types = instances.instance_types.iter().map(|name| {
        let (letters, generation, _) = if name.is_bundle() { ("", "", "") } else { name.parts() };
        let row = EC2.iter().find(|(families, ..)| families.contains(&letters) || families.is_empty())?;
        // High-memory instances, and P5 and later on Spot, have quotas of their own.
        let is_other = letters.starts_with('u')
            || (is_spot && letters == "p" && generation.parse().is_ok_and(|generation: u32| generation >= 5));
        match (is_other, is_spot) {
            (true, _) => None,
            (false, false) => Some(row.1),
            (false, true) => row.2,
        }
    });
    let mut quotas: Vec<VcpuQuota> = of_types.collect::<Option<_>>().unwrap_or_default();
    quotas.sort();
    quotas.dedup();
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ClusterConfig;

    fn codes(environment: &str) -> Vec<&'static str> {
        let text = format!("[environment.a]\n{environment}");
        let config = ClusterConfig::from_toml("test.toml", &text).unwrap();
        vcpu_quotas(&config.environments[0]).into_iter().map(|quota| quota.code).collect()
    }

    #[test]
    fn the_quotas_of_an_environment_are_those_of_its_families() {
        assert_eq!(codes("type = \"on-demand\"\n"), ["L-1216C47A"]);
        assert_eq!(codes("type = \"spot\"\n"), ["L-34B43A08"]);
        assert_eq!(codes("type = \"fargate\"\n"), ["L-3032A538"]);
        assert_eq!(codes("type = \"fargate-spot\"\n"), ["L-36FBB829"]);
        let types =
            |kind: &str, types: &str| codes(&format!("type = \"{kind}\"\ninstance_types = [{types}]\n"));
        assert_eq!(
            types("on-demand", "\"g5.xlarge\", \"c7i\", \"gr6.4xlarge\""),
            ["L-1216C47A", "L-DB2E81BA"]
        );
        assert_eq!(types("on-demand", "\"p5.48xlarge\""), ["L-417A185B"]);
        assert_eq!(types("spot", "\"p4d.24xlarge\""), ["L-7212CCBC"]);
        assert_eq!(types("spot", "\"p5.48xlarge\", \"c7i\""), [""; 0]);
        assert_eq!(types("on-demand", "\"hpc7a.96xlarge\""), ["L-F7808C92"]);
        assert_eq!(types("on-demand", "\"inf2\", \"im4gn\""), ["L-1216C47A", "L-1945791B"]);
    }
}
