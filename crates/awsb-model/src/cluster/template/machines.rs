//! The launch templates, the placement groups and the compute environments of a template.

use serde_json::{Value, json};

use super::parts::{Context, Resources, attribute, minutes, reference};
use crate::cluster::config::{
    Allocation, Capacity, Ec2, Environment, OnUpdate, PlacementGroup, Purchase, RootVolume,
};

impl Context<'_> {
    /// Adds the compute environments.
    pub(super) fn add_environments(&self, resources: &mut Resources) {
        for environment in &self.config.environments {
            let compute = match &environment.capacity {
                Capacity::Ec2(ec2) => {
                    self.add_launch_template(resources, environment, ec2);
                    if ec2.placement_group == PlacementGroup::New {
                        resources.add(
                            environment.name.logical_id("PlacementGroup"),
                            "AWS::EC2::PlacementGroup",
                            json!({ "Strategy": "cluster" }),
                        );
                    }
                    self.instances(environment, ec2)
                }
                Capacity::Fargate { spot } => json!({
                    "Type": if *spot { "FARGATE_SPOT" } else { "FARGATE" },
                    "MaxvCpus": environment.max_vcpus,
                    "Subnets": self.subnets(environment),
                    "SecurityGroupIds": self.security_groups(environment),
                }),
            };
            let routes = self.routes();
            resources.add_with(
                environment.name.logical_id("Environment"),
                "AWS::Batch::ComputeEnvironment",
                json!({
                    "Type": "MANAGED",
                    "State": "ENABLED",
                    // True would replace the environment with every change, and end its jobs.
                    "ReplaceComputeEnvironment": false,
                    "UpdatePolicy": environment.ec2().map(|ec2| update_policy(ec2.on_update)),
                    "ComputeResources": compute,
                    "Tags": self.fixed_tags(),
                }),
                json!({ "DependsOn": (!routes.is_empty()).then_some(routes) }),
            );
        }
    }

    fn instances(&self, environment: &Environment, ec2: &Ec2) -> Value {
        let (kind, bid) = match ec2.purchase {
            Purchase::OnDemand => ("EC2", None),
            Purchase::Spot { bid_percentage } => ("SPOT", bid_percentage),
        };
        let placement_group = match &ec2.placement_group {
            PlacementGroup::None => Value::Null,
            PlacementGroup::New => reference(&environment.name.logical_id("PlacementGroup")),
            PlacementGroup::Existing(name) => name.as_str().into(),
        };
        let types: Vec<&str> = ec2.instance_types.iter().map(|name| name.as_str()).collect();
        let template = environment.name.logical_id("LaunchTemplate");
        // DesiredvCpus is left out: Batch moves it.
        json!({
            "Type": kind,
            "AllocationStrategy": strategy(ec2.allocation),
            "BidPercentage": bid,
            "MinvCpus": ec2.min_vcpus,
            "MaxvCpus": environment.max_vcpus,
            "InstanceTypes": types,
            "Subnets": self.subnets(environment),
            "SecurityGroupIds": self.security_groups(environment),
            "InstanceRole": self.instance_profile(),
            "Ec2Configuration": [{
                "ImageType": ec2.ami_type().as_str(),
                "ImageIdOverride": ec2.ami.as_ref().map(|ami| ami.as_str()),
            }],
            "UpdateToLatestImageVersion": ec2.ami.is_none(),
            "Ec2KeyPair": ec2.key_pair.as_ref().map(|name| name.as_str()),
            "PlacementGroup": placement_group,
            "ScalingPolicy": ec2.keep_idle.map(|idle| json!({ "MinScaleDownDelayMinutes": minutes(idle) })),
            // With the number of the version, a new version is a change of the environment.
            "LaunchTemplate": {
                "LaunchTemplateId": reference(&template),
                "Version": attribute(&template, "LatestVersionNumber"),
            },
            "Tags": self.tag_map(&ec2.tags),
        })
    }

    fn add_launch_template(&self, resources: &mut Resources, environment: &Environment, ec2: &Ec2) {
        resources.add(
            environment.name.logical_id("LaunchTemplate"),
            "AWS::EC2::LaunchTemplate",
            json!({
                "LaunchTemplateData": {
                    // A container on Docker's bridge is one hop away.
                    "MetadataOptions": {
                        "HttpEndpoint": "enabled",
                        "HttpTokens": "required",
                        "HttpPutResponseHopLimit": 2,
                    },
                    "BlockDeviceMappings": [{ "DeviceName": "/dev/xvda", "Ebs": volume(&ec2.root_volume) }],
                    "Placement": ec2.dedicated.then(|| json!({ "Tenancy": "dedicated" })),
                    "UserData": ec2.user_data.as_ref().map(|data| json!({ "Fn::Base64": multi_part(data) })),
                    "TagSpecifications": [
                        { "ResourceType": "volume", "Tags": self.tags(&ec2.tags) },
                        { "ResourceType": "network-interface", "Tags": self.tags(&ec2.tags) },
                    ],
                },
            }),
        );
    }
}

fn update_policy(on_update: OnUpdate) -> Value {
    json!({
        "TerminateJobsOnUpdate": on_update.terminate_jobs,
        "JobExecutionTimeoutMinutes": minutes(on_update.timeout),
    })
}

/// API `ComputeResource`, `allocationStrategy`.
fn strategy(allocation: Allocation) -> String {
    allocation.as_str().to_ascii_uppercase().replace('-', "_")
}

fn volume(volume: &RootVolume) -> Value {
    json!({
        "VolumeSize": volume.size_gib,
        "VolumeType": volume.kind.as_str(),
        "Iops": volume.iops,
        "Throughput": volume.throughput,
        "SnapshotId": volume.snapshot.as_ref().map(|id| id.as_str()),
        // A volume of a snapshot is encrypted as the snapshot is, unless it is asked for.
        "Encrypted": volume.encrypted,
        "DeleteOnTermination": true,
    })
}

/// User data as Batch takes it: a MIME multi-part text (UG `launch-templates`).
fn multi_part(data: &str) -> String {
    let begins = |word: &str| data.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    if begins("MIME-Version:") || begins("Content-Type: multipart/") {
        return data.to_owned();
    }
    let kind = if data.starts_with("#cloud-config") { "cloud-config" } else { "x-shellscript" };
    let mut boundary = "awsb".to_owned();
    while data.contains(&boundary) {
        boundary.push('-');
    }
    let end = if data.ends_with('\n') { "" } else { "\n" };
    format!(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n\n--{boundary}\n\
         Content-Type: text/{kind}; charset=\"utf-8\"\n\n{data}{end}--{boundary}--\n"
    )
}
