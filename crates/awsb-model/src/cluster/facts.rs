//! Facts about an account that only AWS knows. Who calls AWS collects them; the template and the
//! checks are made from them.

use super::config::{
    BucketName, ClusterConfig, Ec2Name, Environment, FileSystemId, InstanceTypeName, PartName,
    SecurityGroupId, SubnetId, Vpc, VpcId, ZoneName,
};
use super::quota::VcpuQuota;

/// A subnet (EC2 API, DescribeSubnets and DescribeRouteTables).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetFacts {
    /// The ID.
    pub id: SubnetId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its zone.
    pub zone: ZoneName,
    /// Whether machines in it get a public IPv4 address (`MapPublicIpOnLaunch`).
    pub assigns_public_ip: bool,
    /// The way out of its route table.
    pub way_out: WayOut,
    /// Free addresses (`AvailableIpAddressCount`).
    pub free_addresses: u32,
}

/// The way from a subnet to AWS and to registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayOut {
    /// A route to an internet gateway: machines need a public address.
    InternetGateway,
    /// A default route to something else: a NAT gateway, a transit gateway, an appliance.
    Other,
    /// No default route. Machines reach AWS only by endpoints.
    None,
}

/// A security group (EC2 API, DescribeSecurityGroups).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityGroupFacts {
    /// The ID.
    pub id: SecurityGroupId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Whether it lets its own members in with all protocols.
    pub lets_itself_in: bool,
}

/// The network of an account, as far as a configuration refers to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkFacts {
    /// The default VPC, if the region has one.
    pub default_vpc: Option<VpcId>,
    /// The subnets of the default VPC or of the given one, and all that the configuration names.
    pub subnets: Vec<SubnetFacts>,
    /// The security groups that the configuration names.
    pub security_groups: Vec<SecurityGroupFacts>,
    /// The zones of the region, for a new VPC.
    pub zones: Vec<ZoneName>,
    /// Those of them that have a default subnet, in order.
    pub default_zones: Vec<ZoneName>,
}

/// The instance types of the region (EC2 API, DescribeInstanceTypeOfferings by zone, and
/// DescribeInstanceTypes).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeOfferings {
    /// The types, each with the zones that have it.
    pub types: Vec<OfferedType>,
}

/// A type that the region has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedType {
    /// The name, such as `c7i.large`.
    pub name: InstanceTypeName,
    /// Its vCPUs; zero if nobody has asked.
    pub vcpus: u32,
    /// Its memory in MiB; zero if nobody has asked.
    pub memory_mib: u64,
    /// Its GPUs.
    pub gpus: u32,
    /// The zones.
    pub zones: Vec<ZoneName>,
}

/// An EFS file system (EFS API, DescribeMountTargets).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystemFacts {
    /// The ID.
    pub id: FileSystemId,
    /// The zones with a mount target.
    pub zones: Vec<ZoneName>,
}

/// Other facts about the account and the region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFacts {
    /// The bucket that the configuration names, if it does not exist in the region.
    pub missing_bucket: Option<BucketName>,
    /// The queues that the configuration names, and that do not exist in the region.
    pub missing_queues: Vec<PartName>,
    /// The region's key pairs. `None`: nobody has asked.
    pub key_pairs: Option<Vec<Ec2Name>>,
    /// Quotas.
    pub quotas: Quotas,
}

/// Quotas of the account in the region (Service Quotas), and their use. `None`: unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas {
    /// The quotas of vCPUs that are known, each with its value.
    pub vcpus: Vec<(VcpuQuota, u32)>,
    /// Compute environments that can still be made.
    pub free_environments: Option<u32>,
    /// Job queues that can still be made.
    pub free_queues: Option<u32>,
    /// VPCs that can still be made.
    pub free_vpcs: Option<u32>,
}

/// The network of a cluster, as its template needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolvedNetwork {
    /// The template makes a VPC.
    New,
    /// These subnets.
    Existing {
        /// Their VPC.
        vpc: VpcId,
        /// The subnets, at least one, in a fixed order.
        subnets: Vec<SubnetFacts>,
    },
}

/// Why a network cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The region has no default VPC.
    #[error("the region has no default VPC")]
    NoDefaultVpc,
    /// The VPC has no subnet that can be used.
    #[error("the VPC {0} has no subnet with a way to AWS")]
    NoSubnet(VpcId),
    /// A subnet that the configuration names does not exist in the region.
    #[error("there is no subnet {0} in the region")]
    MissingSubnet(SubnetId),
    /// The subnets are in two VPCs.
    #[error("the subnets are in two VPCs: {0} is in {1}, and {2} is in {3}")]
    TwoVpcs(SubnetId, VpcId, SubnetId, VpcId),
}

impl ResolvedNetwork {
    /// The network that a configuration means.
    ///
    /// # Errors
    /// When the account has no such network.
    pub fn resolve(config: &ClusterConfig, facts: &NetworkFacts) -> Result<Self, NetworkError> {
        let given: &[SubnetId] = match &config.network.vpc {
            Vpc::New { .. } => return Ok(Self::New),
            Vpc::Given { subnets, .. } => subnets,
            Vpc::Default => &[],
        };
        let mut subnets = Vec::new();
        if given.is_empty() {
            let vpc = match &config.network.vpc {
                Vpc::Given { vpc: Some(vpc), .. } => vpc.clone(),
                _ => facts.default_vpc.clone().ok_or(NetworkError::NoDefaultVpc)?,
            };
            // A private subnet without a way out would leave jobs in RUNNABLE for ever.
            let usable = |subnet: &&SubnetFacts| subnet.vpc == vpc && subnet.reaches_aws();
            subnets.extend(facts.subnets.iter().filter(usable).cloned());
            // AWS returns them in any order; the template must not change with it.
            subnets.sort_by(|a, b| (&a.zone, &a.id).cmp(&(&b.zone, &b.id)));
            if subnets.is_empty() {
                return Err(NetworkError::NoSubnet(vpc));
            }
        }
        let named = config.environments.iter().flat_map(|environment| &environment.subnets);
        for id in given {
            subnets.push(facts.subnet(id).ok_or_else(|| NetworkError::MissingSubnet(id.clone()))?.clone());
        }
        let Some(first) = subnets.first().cloned() else { return Err(NetworkError::NoDefaultVpc) };
        for id in given.iter().chain(named) {
            let subnet = facts.subnet(id).ok_or_else(|| NetworkError::MissingSubnet(id.clone()))?;
            if subnet.vpc != first.vpc {
                let two = (first.id, first.vpc, subnet.id.clone(), subnet.vpc.clone());
                return Err(NetworkError::TwoVpcs(two.0, two.1, two.2, two.3));
            }
            // An environment may be in a subnet that no other one is in.
            if !subnets.contains(subnet) {
                subnets.push(subnet.clone());
            }
        }
        Ok(Self::Existing { vpc: first.vpc, subnets })
    }

    /// The subnets of an environment. Without its own, those of the network; of a new VPC, none is
    /// known yet.
    pub fn subnets_of(&self, config: &ClusterConfig, environment: &Environment) -> Vec<&SubnetFacts> {
        let Self::Existing { subnets, .. } = self else { return Vec::new() };
        let own = &environment.subnets;
        // Subnets that only other environments name are not the network's.
        let of_network = |subnet: &&SubnetFacts| match &config.network.vpc {
            Vpc::Given { subnets, .. } if !subnets.is_empty() => subnets.contains(&subnet.id),
            _ => !config.environments.iter().any(|e| e.subnets.contains(&subnet.id)) || subnet.reaches_aws(),
        };
        let mut found: Vec<&SubnetFacts> = match own.is_empty() {
            true => subnets.iter().filter(of_network).collect(),
            false => own.iter().filter_map(|id| subnets.iter().find(|subnet| subnet.id == *id)).collect(),
        };
        if environment.ec2().is_some_and(|ec2| ec2.single_zone) {
            found.truncate(1);
        }
        found
    }
}

impl SubnetFacts {
    /// Whether machines in it reach AWS.
    pub fn reaches_aws(&self) -> bool {
        match self.way_out {
            WayOut::InternetGateway => self.assigns_public_ip,
            WayOut::Other => true,
            WayOut::None => false,
        }
    }
}

impl NetworkFacts {
    /// The zones that `Fn::GetAZs` returns, from which a new VPC takes its first ones: those with a
    /// default subnet, or all if none has one (CloudFormation Template Reference, `Fn::GetAZs`).
    pub fn zones_of_new_subnets(&self) -> &[ZoneName] {
        if self.default_zones.is_empty() { &self.zones } else { &self.default_zones }
    }

    /// The subnet of this ID.
    pub fn subnet(&self, id: &SubnetId) -> Option<&SubnetFacts> {
        self.subnets.iter().find(|subnet| subnet.id == *id)
    }

    /// The security group of this ID.
    pub fn security_group(&self, id: &SecurityGroupId) -> Option<&SecurityGroupFacts> {
        self.security_groups.iter().find(|group| group.id == *id)
    }
}
