//! The queues, the scheduling policies and the job definitions of a template.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::parts::{Context, Resources, attribute, reference, text};
use crate::Period;
use crate::cluster::config::{
    Architecture, Capacity, Definition, DefinitionKind, Ec2Options, FargateOptions, NewQueue, Queue,
    QueueSource, Shared, SharedSource,
};
use crate::cluster::facts::{ResolvedNetwork, WayOut};
use crate::payload::launcher;

impl Context<'_> {
    /// Adds the queues.
    pub(super) fn add_queues(&self, resources: &mut Resources) {
        for queue in &self.config.queues {
            let Some(made) = queue.made() else { continue };
            if let Some(share) = &made.fair_share {
                let weights = share.weights.iter().map(
                    |(name, weight)| json!({ "ShareIdentifier": name.as_str(), "WeightFactor": weight }),
                );
                resources.add(
                    queue.name.logical_id("SchedulingPolicy"),
                    "AWS::Batch::SchedulingPolicy",
                    json!({
                        "FairsharePolicy": {
                            "ShareDecaySeconds": share.decay.get().as_secs(),
                            "ComputeReservation": share.reservation,
                            "ShareDistribution": weights.collect::<Vec<_>>(),
                        },
                        "Tags": self.tag_map(&[]),
                    }),
                );
            }
            let order = made.environments.iter().enumerate().map(|(index, name)| {
                json!({ "Order": index + 1, "ComputeEnvironment": reference(&name.logical_id("Environment")) })
            });
            let policy = made.fair_share.as_ref();
            resources.add(
                queue.name.logical_id("Queue"),
                "AWS::Batch::JobQueue",
                json!({
                    "JobQueueName": text(&format!("${{AWS::StackName}}-{}", queue.name)),
                    "State": "ENABLED",
                    "Priority": made.priority,
                    "ComputeEnvironmentOrder": order.collect::<Vec<_>>(),
                    "SchedulingPolicyArn": policy.map(|_| attribute(&queue.name.logical_id("SchedulingPolicy"), "Arn")),
                    "JobStateTimeLimitActions": time_limits(made),
                    "Tags": self.tag_map(&[]),
                }),
            );
        }
    }

    /// The ARN of a queue as a value.
    pub(super) fn queue_arn(&self, queue: &Queue) -> Value {
        match &queue.source {
            QueueSource::New(_) => reference(&queue.name.logical_id("Queue")),
            QueueSource::Existing(arn) => arn.as_str().into(),
        }
    }

    /// Adds the job definitions.
    pub(super) fn add_definitions(&self, resources: &mut Resources) {
        for definition in &self.config.definitions {
            let (kind, platform) = match &definition.kind {
                DefinitionKind::Container(_) => ("container", Some("EC2")),
                DefinitionKind::Multinode { .. } => ("multinode", None),
                DefinitionKind::Fargate(_) => ("container", Some("FARGATE")),
            };
            let container = self.container(definition);
            let (container, nodes) = match &definition.kind {
                DefinitionKind::Multinode { nodes, .. } => {
                    let range = json!({ "TargetNodes": "0:", "Container": container });
                    let nodes = json!({ "MainNode": 0, "NumNodes": nodes, "NodeRangeProperties": [range] });
                    (None, Some(nodes))
                }
                DefinitionKind::Container(_) | DefinitionKind::Fargate(_) => (Some(container), None),
            };
            let timeout =
                definition.timeout.map(|limit| json!({ "AttemptDurationSeconds": limit.seconds() }));
            resources.add(
                definition.name.logical_id("Definition"),
                "AWS::Batch::JobDefinition",
                json!({
                    "JobDefinitionName": text(&format!("${{AWS::StackName}}-{}", definition.name)),
                    "Type": kind,
                    "PlatformCapabilities": platform.map(|platform| json!([platform])),
                    "PropagateTags": true,
                    "RetryStrategy": retry(definition),
                    "Timeout": timeout,
                    "ContainerProperties": container,
                    "NodeProperties": nodes,
                    // Jobs that wait for an older revision keep it.
                    "ResourceRetentionPolicy": { "SkipDeregisterOnUpdate": true },
                    "Tags": self.tag_map(&[]),
                }),
            );
        }
    }

    fn container(&self, definition: &Definition) -> Value {
        let options = definition.ec2();
        let default = Ec2Options::default();
        let on_ec2 = options.unwrap_or(&default);
        let fargate = match &definition.kind {
            DefinitionKind::Fargate(options) => Some(options),
            DefinitionKind::Container(_) | DefinitionKind::Multinode { .. } => None,
        };
        let requirement = |kind: &str, value: String| json!({ "Type": kind, "Value": value });
        let mut requirements = vec![
            requirement("VCPU", definition.vcpus.to_string()),
            requirement("MEMORY", definition.memory.to_string()),
        ];
        requirements.extend(on_ec2.gpus.map(|gpus| requirement("GPU", gpus.to_string())));
        let (volumes, mounts) = self.volumes(on_ec2);
        let ulimits = on_ec2
            .ulimits
            .iter()
            .map(|limit| json!({ "Name": limit.name, "SoftLimit": limit.soft, "HardLimit": limit.hard }));
        let some = |values: Vec<Value>| (!values.is_empty()).then_some(values);
        let mounted: Vec<String> =
            self.config.shared.iter().filter_map(Shared::mounted).map(|line| line.to_string()).collect();
        let environment = (!mounted.is_empty() && options.is_some())
            .then(|| json!([{ "Name": launcher::SHARED_VARIABLE, "Value": mounted.join("\n") }]));
        json!({
            "Image": self.image(&definition.image),
            "JobRoleArn": self.job_role(),
            "ExecutionRoleArn": self.execution_role(),
            "ResourceRequirements": requirements,
            "Environment": environment,
            "User": on_ec2.user.as_ref().map(ToString::to_string),
            "Privileged": on_ec2.privileged.then_some(true),
            "Ulimits": some(ulimits.collect()),
            "Volumes": some(volumes),
            "MountPoints": some(mounts),
            "LogConfiguration": {
                "LogDriver": "awslogs",
                "Options": {
                    "awslogs-group": reference("JobLogs"),
                    "awslogs-region": reference("AWS::Region"),
                },
            },
            "EphemeralStorage": fargate
                .and_then(|options| options.ephemeral_storage)
                .map(|size| json!({ "SizeInGiB": size.gib() })),
            "FargatePlatformConfiguration": fargate.map(|_| json!({ "PlatformVersion": "LATEST" })),
            "RuntimePlatform": fargate.and_then(runtime_platform),
            "NetworkConfiguration": fargate.map(|_| json!({ "AssignPublicIp": self.public_addresses() })),
        })
    }

    /// Whether containers on Fargate need a public address: in subnets with an internet gateway.
    fn public_addresses(&self) -> &'static str {
        let in_public_subnet = || {
            let environments = self.config.environments.iter();
            let fargate = environments.filter(|e| matches!(e.capacity, Capacity::Fargate { .. }));
            fargate
                .flat_map(|e| self.network.subnets_of(self.config, e))
                .any(|subnet| subnet.way_out == WayOut::InternetGateway)
        };
        match self.network {
            ResolvedNetwork::New => "ENABLED",
            ResolvedNetwork::Existing { .. } if in_public_subnet() => "ENABLED",
            ResolvedNetwork::Existing { .. } => "DISABLED",
        }
    }

    /// The volumes of a container, and where they are in it.
    fn volumes(&self, options: &Ec2Options) -> (Vec<Value>, Vec<Value>) {
        let mut volumes = Vec::new();
        let mut mounts = Vec::new();
        let mount = |name: &str, path: &str, read_only: bool| json!({ "SourceVolume": name, "ContainerPath": path, "ReadOnly": read_only });
        for (index, folder) in options.mounts.iter().enumerate() {
            let name = format!("host-{index}");
            volumes.push(json!({ "Name": name, "Host": { "SourcePath": folder.host } }));
            mounts.push(mount(&name, &folder.container, folder.read_only));
        }
        for shared in &self.config.shared {
            let efs = match &shared.source {
                SharedSource::New { .. } => json!({
                    "FileSystemId": reference("Efs"),
                    "TransitEncryption": "ENABLED",
                    "AuthorizationConfig": { "AccessPointId": reference(&shared.name.logical_id("Shared")) },
                }),
                SharedSource::Efs { file_system, folder, access_point, iam } => {
                    let authorization = (access_point.is_some() || *iam).then(|| {
                        json!({
                            "AccessPointId": access_point.as_ref().map(|id| id.as_str()),
                            "Iam": iam.then_some("ENABLED"),
                        })
                    });
                    json!({
                        "FileSystemId": file_system.as_str(),
                        "RootDirectory": folder,
                        "TransitEncryption": "ENABLED",
                        "AuthorizationConfig": authorization,
                    })
                }
                SharedSource::Mounted { .. } => continue,
            };
            let name = format!("shared-{}", shared.name);
            volumes.push(json!({ "Name": name, "EfsVolumeConfiguration": efs }));
            mounts.push(mount(&name, &shared.path, shared.read_only));
        }
        (volumes, mounts)
    }

    /// The ARNs of the file systems that are mounted with the permissions of the job role, each
    /// once, and whether jobs may write to it: where one of its shared directories is not
    /// read-only.
    pub(super) fn file_systems_with_iam(&self) -> BTreeMap<String, bool> {
        let mut systems = BTreeMap::new();
        for shared in &self.config.shared {
            let SharedSource::Efs { file_system, iam: true, .. } = &shared.source else { continue };
            let arn = format!(
                "arn:${{AWS::Partition}}:elasticfilesystem:${{AWS::Region}}:${{AWS::AccountId}}:file-system/{file_system}"
            );
            *systems.entry(arn).or_default() |= !shared.read_only;
        }
        systems
    }
}

/// UG `job_queue_state_limits`.
fn time_limits(queue: &NewQueue) -> Option<Vec<Value>> {
    let limit = |(reason, period): (&str, Option<Period>)| {
        let seconds = period?.get().as_secs();
        Some(json!({ "Action": "CANCEL", "State": "RUNNABLE", "MaxTimeSeconds": seconds, "Reason": reason }))
    };
    let after = queue.cancel_after;
    let limits: Vec<Value> = [
        ("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", after.too_large),
        ("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", after.no_instance_type),
        ("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", after.no_capacity),
    ]
    .into_iter()
    .filter_map(limit)
    .collect();
    (!limits.is_empty()).then_some(limits)
}

/// A job is tried again when its machine was lost (UG `bestpractice6`), and for nothing else.
fn retry(definition: &Definition) -> Value {
    let attempts = definition.attempts.get();
    let lost = if definition.is_on_fargate() { "Your Spot Task was interrupted*" } else { "Host EC2*" };
    let rules = (attempts > 1).then(|| {
        json!([
            { "OnStatusReason": lost, "Action": "RETRY" },
            { "OnReason": "*", "Action": "EXIT" },
        ])
    });
    json!({ "Attempts": attempts, "EvaluateOnExit": rules })
}

/// The platform of a container on Fargate, if it is not the default.
fn runtime_platform(options: &FargateOptions) -> Option<Value> {
    match options.architecture {
        Architecture::X86 => None,
        Architecture::Arm => Some(json!({ "CpuArchitecture": "ARM64", "OperatingSystemFamily": "LINUX" })),
    }
}
