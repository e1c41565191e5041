//! Checks of environments and of the network that need no facts.

use super::problem::{ProblemKind, Problems, of_environment};
use crate::Tag;
use crate::cluster::config::{
    AmiType, Architecture, Capacity, ClusterConfig, Ec2, Environment, InstanceTypeName, PlacementGroup,
    Purchase, RootVolume, VolumeType, Vpc, Zones,
};

/// Security groups of an environment (UG `mnp-ce`: at most five for multi-node jobs, as for an
/// interface).
const SECURITY_GROUPS: usize = 5;
/// Bytes of user data (EC2 User Guide, `user-data`).
const USER_DATA_BYTES: usize = 16 * 1024;
/// Tags of a resource in AWS.
const TAGS: usize = 50;
/// GiB of the smallest root volume of Amazon's AMIs for ECS.
const AMI_GIB: u32 = 30;

/// Checks the environments and the network.
pub(super) fn check(config: &ClusterConfig, problems: &mut Problems) {
    network(config, problems);
    for environment in &config.environments {
        let key = |key: &str| of_environment(&environment.name, key);
        if environment.security_groups.len() > SECURITY_GROUPS {
            problems.add(
                ProblemKind::SecurityGroups,
                key("security_groups"),
                format!("has {} groups", environment.security_groups.len()),
                format!("name at most {SECURITY_GROUPS}"),
            );
        }
        if let Capacity::Ec2(ec2) = &environment.capacity {
            instances(environment, ec2, config, problems);
        }
    }
}

fn network(config: &ClusterConfig, problems: &mut Problems) {
    let groups = &config.network.security_groups;
    if groups.len() > SECURITY_GROUPS {
        let message = format!("has {} groups", groups.len());
        let advice = format!("name at most {SECURITY_GROUPS}");
        problems.add(ProblemKind::SecurityGroups, "network.security_groups", message, advice);
    }
    let Vpc::New { zones, .. } = &config.network.vpc else { return };
    let in_other_vpc = "are in a VPC that exists, and `network.vpc` is `new`";
    if !groups.is_empty() {
        let advice = "leave them out: the cluster makes a group in its new VPC";
        problems.add(ProblemKind::NewVpc, "network.security_groups", in_other_vpc, advice);
    }
    for environment in &config.environments {
        for (key, is_given) in [
            ("subnets", !environment.subnets.is_empty()),
            ("security_groups", !environment.security_groups.is_empty()),
        ] {
            if is_given {
                let key = of_environment(&environment.name, key);
                let advice = "leave them out, or give `network.subnets` instead of a new VPC";
                problems.add(ProblemKind::NewVpc, key, in_other_vpc, advice);
            }
        }
    }
    if let Zones::Named(names) = zones {
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        if sorted.len() < names.len() {
            let message = "names a zone twice";
            problems.add(ProblemKind::NewVpc, "network.zone_names", message, "name each zone once");
        }
    }
}

fn instances(environment: &Environment, ec2: &Ec2, config: &ClusterConfig, problems: &mut Problems) {
    let key = |key: &str| of_environment(&environment.name, key);
    if ec2.allocation.is_for_spot() && ec2.purchase == Purchase::OnDemand {
        let message = format!("is `{}`, which is for Spot, and `type` is `on-demand`", ec2.allocation);
        let advice = "use best-fit-progressive, or leave it out";
        problems.add(ProblemKind::AllocationNotForOnDemand, key("allocation"), message, advice);
    }
    if ec2.min_vcpus > environment.max_vcpus {
        let message = format!("is {}, and `max` is {}", ec2.min_vcpus, environment.max_vcpus);
        problems.add(ProblemKind::MinAboveMax, key("min"), message, "make `max` at least as large as `min`");
    }
    architectures(environment, ec2, problems);
    amis(environment, ec2, problems);
    if ec2.placement_group != PlacementGroup::None {
        if ec2.purchase != Purchase::OnDemand {
            let message = "is set, and a placement group does not work on Spot";
            let advice = "leave it out, or take `type = \"on-demand\"`";
            problems.add(ProblemKind::PlacementGroup, key("placement_group"), message, advice);
        }
        if !ec2.single_zone {
            let message = "is false, and a placement group is in one zone";
            problems.add(
                ProblemKind::PlacementGroup,
                key("single_zone"),
                message,
                "leave it out: it is then true",
            );
        }
    }
    volume(environment, ec2, problems);
    let length = ec2.user_data.as_ref().map_or(0, String::len);
    // The wrapping in MIME takes a part of it.
    if length > USER_DATA_BYTES - 512 {
        let message = format!("has {length} bytes");
        let advice = "make it shorter than 15 KiB, for example by fetching the rest from S3";
        problems.add(ProblemKind::UserData, key("user_data"), message, advice);
    }
    let own = |tag: &&Tag| !config.tags.iter().any(|other| other.key == tag.key);
    let tags = config.tags.len() + ec2.tags.iter().filter(own).count() + 1;
    if tags > TAGS {
        let message = format!("and the cluster's own tags are {tags} together");
        let advice = format!("AWS takes {TAGS} tags for a resource, one of which is awsb's");
        problems.add(ProblemKind::Tags, key("tags"), message, advice);
    }
}

fn architectures(environment: &Environment, ec2: &Ec2, problems: &mut Problems) {
    let of = |architecture| ec2.instance_types.iter().find(|name| name.architecture() == architecture);
    if let (Some(x86), Some(arm)) = (of(Architecture::X86), of(Architecture::Arm)) {
        problems.add(
            ProblemKind::TwoArchitectures,
            of_environment(&environment.name, "instance_types"),
            format!("has types of two architectures: {x86} is x86_64, and {arm} is arm64"),
            "make an environment for each architecture: an AMI and most images are for one of them",
        );
    }
}

/// Families that the AMIs of Amazon Linux 2023 do not support (UG `ecs-ami-migration-2023`, and the
/// table of Batch's image types).
const WITHOUT_AL2023: [&str; 1] = ["a1"];
const WITHOUT_AL2023_NVIDIA: [&str; 8] = ["p2", "p3", "p3dn", "g2", "g3", "g3s", "g5g", "p4"];

fn amis(environment: &Environment, ec2: &Ec2, problems: &mut Problems) {
    // Whoever brings an AMI knows what it supports.
    if ec2.ami.is_some() {
        return;
    }
    let types = of_environment(&environment.name, "instance_types");
    let key = of_environment(&environment.name, "ami_type");
    let gpus = |name: &&InstanceTypeName| name.has_nvidia_gpus();
    let with_gpus = ec2.instance_types.iter().find(gpus);
    let without_gpus = ec2.instance_types.iter().find(|name| !gpus(name));
    match ec2.ami_type() {
        AmiType::Al2023 => {
            if let Some(name) = with_gpus {
                let message = format!("is ECS_AL2023, which has no driver for the GPUs of {name}");
                problems.add(
                    ProblemKind::AmiTypeDoesNotFit,
                    key,
                    message,
                    "use ECS_AL2023_NVIDIA, or leave it out",
                );
            }
            if let Some(name) = ec2.instance_types.iter().find(|name| WITHOUT_AL2023.contains(&name.family()))
            {
                let message = format!("has {name}, on which Amazon Linux 2023 does not start");
                problems.add(ProblemKind::TypeWithoutAmi, types, message, "use a newer family, such as m7g");
            }
        }
        AmiType::Al2023Nvidia => {
            if let Some(name) = without_gpus {
                let (kind, message, advice) = match with_gpus {
                    Some(gpu) => (
                        ProblemKind::AmiTypeDoesNotFit,
                        format!("has {gpu} with GPUs and {name} without: each takes an AMI of its own"),
                        "make an environment for each",
                    ),
                    None => (
                        ProblemKind::AmiTypeDoesNotFit,
                        format!("has {name}, which has no NVIDIA GPU, and `ami_type` is ECS_AL2023_NVIDIA"),
                        "leave `ami_type` out",
                    ),
                };
                problems.add(kind, types.clone(), message, advice);
            }
            let old = |name: &&InstanceTypeName| WITHOUT_AL2023_NVIDIA.contains(&name.family());
            if let Some(name) = ec2.instance_types.iter().find(old) {
                let message =
                    format!("has {name}, which NVIDIA's driver in ECS_AL2023_NVIDIA does not support");
                let advice = "use a newer family, such as g5 or g6, or bring an AMI (`ami`)";
                problems.add(ProblemKind::TypeWithoutAmi, types, message, advice);
            }
        }
    }
}

/// EBS User Guide, `ebs-volume-types`: the most GiB, the range of IOPS, and IOPS for each GiB.
fn limits_of(kind: VolumeType) -> (u32, Option<(u32, u32, u32)>) {
    match kind {
        VolumeType::Gp2 => (16_384, None),
        VolumeType::Gp3 => (65_536, Some((3000, 80_000, 500))),
        VolumeType::Io1 => (16_384, Some((100, 64_000, 50))),
        VolumeType::Io2 => (65_536, Some((100, 256_000, 1000))),
    }
}

fn volume(environment: &Environment, ec2: &Ec2, problems: &mut Problems) {
    let RootVolume { size_gib, kind, iops, throughput, .. } = ec2.root_volume;
    let mut wrong = |key: &str, message: String, advice: String| {
        let key = of_environment(&environment.name, &format!("root_volume.{key}"));
        problems.add(ProblemKind::Volume, key, message, advice);
    };
    let (most_gib, of_iops) = limits_of(kind);
    if size_gib > most_gib {
        wrong(
            "size",
            format!("is {size_gib}"),
            format!("a volume of type {kind} has at most {most_gib} GiB"),
        );
    }
    if size_gib < AMI_GIB && ec2.ami.is_none() && ec2.root_volume.snapshot.is_none() {
        let advice = format!("the AMI for ECS takes {AMI_GIB} GiB at least");
        wrong("size", format!("is {size_gib}"), advice);
    }
    match (of_iops, iops) {
        (None, Some(_)) => {
            let advice = "leave it out, or take `type = \"gp3\"`";
            wrong("iops", format!("cannot be set for a volume of type {kind}"), advice.to_owned());
        }
        (Some((least, most, per_gib)), Some(iops)) => {
            let most = most.min(per_gib.saturating_mul(size_gib)).max(least);
            if !(least..=most).contains(&iops) {
                let advice =
                    format!("a volume of type {kind} with {size_gib} GiB has {least} to {most} IOPS");
                wrong("iops", format!("is {iops}"), advice);
            }
        }
        (Some(_), None) if matches!(kind, VolumeType::Io1 | VolumeType::Io2) => {
            let message = format!("is missing for a volume of type {kind}");
            wrong("iops", message, "set it, such as `iops = 3000`".to_owned());
        }
        (_, None) => {}
    }
    if let Some(throughput) = throughput {
        let most = iops.unwrap_or(3000) / 4;
        if kind != VolumeType::Gp3 {
            let message = format!("cannot be set for a volume of type {kind}");
            wrong("throughput", message, "leave it out, or take `type = \"gp3\"`".to_owned());
        } else if throughput > most {
            let advice = format!("a MiB/s takes 4 IOPS: set `iops` to {} at least", throughput * 4);
            wrong("throughput", format!("is {throughput}"), advice);
        }
    }
}
