//! Checks of a configuration against facts of the account and the region.

use super::problem::{Problem, ProblemKind, Problems, of_environment};
use crate::cluster::config::{
    ClusterConfig, DefinitionKind, Environment, InstanceTypeName, Purchase, SecurityGroupId, SharedSource,
    Vpc, ZoneName, Zones,
};
use crate::cluster::facts::{
    AccountFacts, FileSystemFacts, NetworkError, NetworkFacts, OfferedType, ResolvedNetwork, SubnetFacts,
    TypeOfferings, WayOut,
};
use crate::cluster::quota::{ENVIRONMENTS, QUEUES, VPCS, VcpuQuota, vcpu_quotas};
use crate::toml_reader::nearest_hint;

/// Checks the network.
pub fn validate_network(config: &ClusterConfig, facts: &NetworkFacts) -> Vec<Problem> {
    let mut problems = Problems::default();
    check_zones(config, facts, &mut problems);
    match ResolvedNetwork::resolve(config, facts) {
        Err(why) => {
            let (key, advice) = match &why {
                NetworkError::NoDefaultVpc => (
                    "network.vpc",
                    "take `vpc = \"new\"`, or name `subnets`; `aws ec2 create-default-vpc` makes one",
                ),
                NetworkError::NoSubnet(_) => (
                    "network.subnets",
                    "name subnets with a route to the internet or to the endpoints of AWS, or take `vpc = \"new\"`",
                ),
                NetworkError::MissingSubnet(_) => ("network.subnets", "check the ID and the region"),
                NetworkError::TwoVpcs(..) => ("network.subnets", "name subnets of one VPC"),
            };
            problems.add(ProblemKind::Network, key, format!("cannot be used: {why}"), advice);
        }
        Ok(network) => {
            if let (Vpc::Given { vpc: Some(wanted), .. }, ResolvedNetwork::Existing { vpc, .. }) =
                (&config.network.vpc, &network)
                && wanted != vpc
            {
                let message = format!("is {wanted}, and the subnets are in {vpc}");
                problems.add(
                    ProblemKind::Network,
                    "network.vpc",
                    message,
                    "leave it out, or name its subnets",
                );
            }
            check_security_groups(config, facts, &network, &mut problems);
            for environment in &config.environments {
                check_subnets(config, environment, &network, &mut problems);
            }
        }
    }
    problems.into_vec()
}

fn check_zones(config: &ClusterConfig, facts: &NetworkFacts, problems: &mut Problems) {
    let Vpc::New { zones, .. } = &config.network.vpc else { return };
    if facts.zones.is_empty() {
        return;
    }
    let all: Vec<&str> = facts.zones.iter().map(ZoneName::as_str).collect();
    let usable = facts.zones_of_new_subnets();
    match zones {
        Zones::First(count) if usize::from(*count) > all.len() => {
            let message = format!("is {count}, and the region has {}", all.join(", "));
            problems.add(
                ProblemKind::Network,
                "network.zones",
                message,
                "take fewer zones, or another region",
            );
        }
        Zones::First(count) if usize::from(*count) > usable.len() => {
            let usable: Vec<&str> = usable.iter().map(ZoneName::as_str).collect();
            let message = format!(
                "is {count}, and CloudFormation chooses among the zones with a default subnet: {}",
                usable.join(", ")
            );
            let advice = format!("name the zones: `zone_names` takes any of {}", all.join(", "));
            problems.add(ProblemKind::Network, "network.zones", message, advice);
        }
        Zones::First(_) => {}
        Zones::Named(names) => {
            if let Some(name) = names.iter().find(|name| !facts.zones.contains(name)) {
                let message = format!("has {name}, which the region does not have");
                let advice = format!("there are: {}", all.join(", "));
                problems.add(ProblemKind::Network, "network.zone_names", message, advice);
            }
        }
    }
}

fn check_security_groups(
    config: &ClusterConfig,
    facts: &NetworkFacts,
    network: &ResolvedNetwork,
    problems: &mut Problems,
) {
    let ResolvedNetwork::Existing { vpc, .. } = network else { return };
    let has_nodes = config.definitions.iter().any(|d| matches!(d.kind, DefinitionKind::Multinode { .. }));
    let of_environments =
        config.environments.iter().map(|e| (of_environment(&e.name, "security_groups"), &e.security_groups));
    let of_network = ("network.security_groups".to_owned(), &config.network.security_groups);
    let all: Vec<(String, &Vec<SecurityGroupId>)> =
        std::iter::once(of_network).chain(of_environments).collect();
    for (key, groups) in all {
        let known: Vec<_> = groups.iter().filter_map(|id| facts.security_group(id)).collect();
        if let Some(id) = groups.iter().find(|id| facts.security_group(id).is_none()) {
            let message = format!("has {id}, which does not exist in the region");
            problems.add(ProblemKind::SecurityGroup, key, message, "check the ID and the region");
        } else if let Some(group) = known.iter().find(|group| group.vpc != *vpc) {
            let message =
                format!("has {}, which is in {}, and the subnets are in {vpc}", group.id, group.vpc);
            problems.add(ProblemKind::SecurityGroup, key, message, "name groups of the subnets' VPC");
        } else if has_nodes && !known.is_empty() && !known.iter().any(|group| group.lets_itself_in) {
            let message =
                "has no group that lets its own members in, so the nodes of multi-node jobs do not meet";
            let advice =
                "add a rule for all traffic from the group itself, or leave the multinode definition out";
            problems.add(ProblemKind::SecurityGroup, key, message, advice);
        }
    }
}

fn check_subnets(
    config: &ClusterConfig,
    environment: &Environment,
    network: &ResolvedNetwork,
    problems: &mut Problems,
) {
    let subnets = network.subnets_of(config, environment);
    let key = match (&environment.subnets[..], &config.network.vpc) {
        ([], _) => "network.subnets".to_owned(),
        (_, _) => of_environment(&environment.name, "subnets"),
    };
    // A container on Fargate gets a public address where the subnet has a gateway.
    let cut_off = |subnet: &&&SubnetFacts| match environment.ec2() {
        Some(_) => !subnet.reaches_aws(),
        None => subnet.way_out == WayOut::None,
    };
    if let Some(subnet) = subnets.iter().find(cut_off) {
        let why = match subnet.way_out {
            WayOut::InternetGateway => "gives its machines no public address",
            WayOut::Other | WayOut::None => "has no default route",
        };
        let message = format!(
            "has {}, which {why}: machines there may not reach Batch, and jobs stay RUNNABLE",
            subnet.id
        );
        let advice = "let the subnet assign public addresses, give it a NAT gateway or endpoints of AWS, or name another";
        problems.add(ProblemKind::NoWayOut, key.clone(), message, advice);
    }
    let nodes = config.definitions.iter().filter_map(|definition| match definition.kind {
        DefinitionKind::Multinode { nodes, .. } => Some(nodes),
        DefinitionKind::Container(_) | DefinitionKind::Fargate(_) => None,
    });
    let runs_nodes = environment.ec2().is_some_and(|ec2| ec2.purchase == Purchase::OnDemand);
    let most_nodes = nodes.max().filter(|_| runs_nodes).unwrap_or(0);
    // UG `mnp-ce`: a node has an interface of its own besides its instance's.
    if let Some(subnet) = subnets.iter().find(|subnet| subnet.free_addresses < (2 * most_nodes).max(8)) {
        let message = format!("has {}, which has {} free addresses", subnet.id, subnet.free_addresses);
        let advice =
            "name larger subnets: each instance takes an address, and a node of a multi-node job two";
        problems.add(ProblemKind::Addresses, key, message, advice);
    }
}

/// Checks the instance types.
pub fn validate_types(
    config: &ClusterConfig,
    facts: &NetworkFacts,
    offerings: &TypeOfferings,
) -> Vec<Problem> {
    let mut problems = Problems::default();
    for environment in &config.environments {
        let zones = zones_of(config, facts, environment);
        check_types(environment, &zones, offerings, &mut problems);
    }
    problems.into_vec()
}

/// The zones of an environment; empty if they are not known.
fn zones_of(config: &ClusterConfig, facts: &NetworkFacts, environment: &Environment) -> Vec<ZoneName> {
    let mut zones: Vec<ZoneName> = match (&config.network.vpc, ResolvedNetwork::resolve(config, facts)) {
        (Vpc::New { zones: Zones::Named(names), .. }, _) => names.clone(),
        (Vpc::New { zones: Zones::First(count), .. }, _) => {
            facts.zones_of_new_subnets().iter().take(usize::from(*count)).cloned().collect()
        }
        (_, Ok(network)) => {
            network.subnets_of(config, environment).into_iter().map(|subnet| subnet.zone.clone()).collect()
        }
        (_, Err(_)) => Vec::new(),
    };
    zones.sort();
    zones.dedup();
    zones
}

/// The types that a name of the configuration means.
fn meant<'a>(
    name: &'a InstanceTypeName,
    offerings: &'a TypeOfferings,
) -> impl Iterator<Item = &'a OfferedType> {
    offerings.types.iter().filter(move |offered| match name.is_type() {
        true => offered.name == *name,
        false => offered.name.family() == name.as_str(),
    })
}

fn check_types(
    environment: &Environment,
    zones: &[ZoneName],
    offerings: &TypeOfferings,
    problems: &mut Problems,
) {
    let Some(ec2) = environment.ec2() else { return };
    let key = of_environment(&environment.name, "instance_types");
    let named: Vec<&InstanceTypeName> = ec2.instance_types.iter().filter(|name| !name.is_bundle()).collect();
    let mut smallest: Option<&OfferedType> = None;
    for name in &named {
        let types: Vec<&OfferedType> = meant(name, offerings).collect();
        if types.is_empty() {
            let known: Vec<&str> = offerings
                .types
                .iter()
                .map(|offered| if name.is_type() { offered.name.as_str() } else { offered.name.family() })
                .collect();
            let what = if name.is_type() { "type" } else { "family" };
            let message = format!("has {name}, and the region has no instance {what} of this name");
            let nearest = nearest_hint(name.as_str(), &known).filter(|hint| hint.starts_with("did you"));
            let advice = nearest.unwrap_or_else(|| {
                "see `aws ec2 describe-instance-type-offerings` for those that it has".to_owned()
            });
            problems.add(ProblemKind::UnknownType, key.clone(), message, advice);
            continue;
        }
        let without: Vec<&str> = zones
            .iter()
            .filter(|zone| !types.iter().any(|offered| offered.zones.contains(zone)))
            .map(ZoneName::as_str)
            .collect();
        if !without.is_empty() {
            let everywhere = without.len() == zones.len();
            let kind = if everywhere { ProblemKind::UnknownType } else { ProblemKind::TypeNotInZone };
            let message =
                format!("has {name}, which {} {} not have", without.join(" and "), verb(without.len()));
            let mut offered: Vec<&str> =
                types.iter().flat_map(|offered| &offered.zones).map(ZoneName::as_str).collect();
            offered.sort_unstable();
            offered.dedup();
            let advice = format!("it is in {}: name subnets there, or other types", offered.join(", "));
            problems.add(kind, key.clone(), message, advice);
        }
        for offered in types.into_iter().filter(|offered| offered.vcpus > 0) {
            if smallest.is_none_or(|least| offered.vcpus < least.vcpus) {
                smallest = Some(offered);
            }
        }
    }
    // With a bundle, Batch has small types as well.
    let all_are_named = named.len() == ec2.instance_types.len();
    if let Some(least) = smallest.filter(|_| all_are_named)
        && environment.max_vcpus < least.vcpus
    {
        let message = format!(
            "is {}, and the smallest type, {}, has {} vCPUs",
            environment.max_vcpus, least.name, least.vcpus
        );
        let key = of_environment(&environment.name, "max");
        let advice = format!("make it {} at least, or add smaller types", least.vcpus);
        problems.add(ProblemKind::MaxBelowSmallestType, key, message, advice);
    }
}

fn verb(count: usize) -> &'static str {
    if count == 1 { "does" } else { "do" }
}

/// Checks key pairs and quotas.
pub fn validate_account(config: &ClusterConfig, facts: &AccountFacts) -> Vec<Problem> {
    let mut problems = Problems::default();
    for environment in &config.environments {
        let Some(name) = environment.ec2().and_then(|ec2| ec2.key_pair.as_ref()) else { continue };
        if facts.key_pairs.as_ref().is_some_and(|known| !known.contains(name)) {
            let known: Vec<&str> = facts.key_pairs.iter().flatten().map(|name| name.as_str()).collect();
            let advice = nearest_hint(name.as_str(), &known)
                .unwrap_or_else(|| "make one with `aws ec2 create-key-pair`, or leave it out".to_owned());
            let message = format!("is {name}, and the region has no key pair of this name");
            problems.add(
                ProblemKind::KeyPair,
                of_environment(&environment.name, "key_pair"),
                message,
                advice,
            );
        }
    }
    for name in &facts.missing_queues {
        let message = "names a queue that does not exist in this region";
        let advice = "see `aws batch describe-job-queues` for those that it has";
        problems.add(ProblemKind::Queue, format!("queue.{name}.arn"), message, advice);
    }
    if let Some(bucket) = &facts.missing_bucket {
        let message = format!("is {bucket}, which is not a bucket in this region");
        let advice =
            format!("leave it out, so that the cluster makes one, or make it with `aws s3 mb s3://{bucket}`");
        problems.add(ProblemKind::Bucket, "bucket.existing", message, advice);
    }
    check_quotas(config, facts, &mut problems);
    problems.into_vec()
}

fn check_quotas(config: &ClusterConfig, facts: &AccountFacts, problems: &mut Problems) {
    let quotas = &facts.quotas;
    for environment in &config.environments {
        check_vcpus(environment, &quotas.vcpus, problems);
    }
    let made = config.queues.iter().filter(|queue| queue.made().is_some()).count();
    let has_new_vpc = usize::from(matches!(config.network.vpc, Vpc::New { .. }));
    for (key, needed, free, what, quota) in [
        (
            "environment",
            config.environments.len(),
            quotas.free_environments,
            "compute environments",
            ENVIRONMENTS,
        ),
        ("queue", made, quotas.free_queues, "job queues", QUEUES),
        ("network.vpc", has_new_vpc, quotas.free_vpcs, "VPCs", VPCS),
    ] {
        if let Some(free) = free.filter(|free| usize::try_from(*free).is_ok_and(|free| free < needed)) {
            let message = format!("takes {needed} {what}, and the account's quota leaves {free}");
            let advice = match quota.is_adjustable {
                true => "delete some that are not needed, or ask AWS for a larger quota",
                false => "delete some that are not needed: AWS does not raise this quota",
            };
            problems.add(ProblemKind::Quota, key, message, advice);
        }
    }
}

/// Checks the vCPUs of an environment against those that the account may have.
fn check_vcpus(environment: &Environment, known: &[(VcpuQuota, u32)], problems: &mut Problems) {
    let quotas = vcpu_quotas(environment);
    let value = |quota: &VcpuQuota| known.iter().find(|(other, _)| other == quota).map(|(_, value)| *value);
    let Some(values) = quotas.iter().map(value).collect::<Option<Vec<u32>>>().filter(|v| !v.is_empty())
    else {
        return;
    };
    let total = values.into_iter().fold(0, u32::saturating_add);
    let names: Vec<String> = quotas.iter().map(|quota| format!("{} ({})", quota.name, quota.code)).collect();
    let names = names.join(" and ");
    let min = environment.ec2().map_or(0, |ec2| ec2.min_vcpus);
    let of = |key: &str| of_environment(&environment.name, key);
    if total == 0 {
        let message = "cannot have machines: the account's quota for them is 0 vCPUs";
        let advice = format!("ask AWS for some of the quota \"{names}\", or take other types");
        let key = format!("environment.{}", environment.name);
        problems.add(ProblemKind::Quota, key, message, advice);
    } else if total < min {
        let message = format!("is {min}, and the account's quota is {total} vCPUs");
        let advice = format!("make it smaller, or ask AWS for more of the quota \"{names}\"");
        problems.add(ProblemKind::Quota, of("min"), message, advice);
    } else if total < environment.max_vcpus {
        let message = format!(
            "is {}, and the account's quota is {total} vCPUs: more jobs than fit there wait",
            environment.max_vcpus
        );
        let advice = format!("make it smaller, or ask AWS for more of the quota \"{names}\"");
        problems.add(ProblemKind::VcpuQuota, of("max"), message, advice);
    }
}

/// Checks that each file system of a shared directory has a mount target in each zone with
/// machines.
pub fn validate_file_systems(
    config: &ClusterConfig,
    facts: &NetworkFacts,
    systems: &[FileSystemFacts],
) -> Vec<Problem> {
    let mut problems = Problems::default();
    for shared in &config.shared {
        let SharedSource::Efs { file_system, .. } = &shared.source else { continue };
        let key = format!("shared.{}.source", shared.name);
        let Some(system) = systems.iter().find(|system| system.id == *file_system) else {
            let message = format!("is {file_system}, which does not exist in the region");
            problems.add(ProblemKind::MountTarget, key, message, "check the ID and the region");
            continue;
        };
        let zones = config.environments.iter().flat_map(|environment| zones_of(config, facts, environment));
        let mut without: Vec<ZoneName> = zones.filter(|zone| !system.zones.contains(zone)).collect();
        without.sort();
        without.dedup();
        if !without.is_empty() {
            let without: Vec<&str> = without.iter().map(ZoneName::as_str).collect();
            let message = format!("is {file_system}, which has no mount target in {}", without.join(", "));
            let advice = "add one to the file system, or name subnets in the zones that have one";
            problems.add(ProblemKind::MountTarget, key, message, advice);
        }
    }
    problems.into_vec()
}
