//! All keys of a cluster's configuration: what they are, and what a change of them does. The
//! documentation and the commented file of `bcluster init` are made from this table.

/// A key of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The path, with `NAME` for the name of a part, and `KEY` for a free key.
    pub path: &'static str,
    /// Its meaning, in one sentence.
    pub meaning: &'static str,
    /// The values that it takes.
    pub values: &'static str,
    /// The default: as TOML, or in words.
    pub default: &'static str,
    /// Values other than the default, as TOML.
    pub examples: &'static [&'static str],
    /// Other keys that have to be set for it, as path and TOML value.
    pub takes: &'static [(&'static str, &'static str)],
    /// The effect of a change.
    pub on_change: OnChange,
    /// Its cost without jobs.
    pub idle_cost: IdleCost,
}

/// The effect that a change of a key has on a cluster with jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChange {
    /// Nothing is interrupted.
    NoInterruption,
    /// New jobs use a new revision. Jobs that were submitted before keep theirs.
    NewRevision,
    /// Instances are replaced. Jobs that still run after `update_timeout` end.
    InstancesReplaced,
    /// Something new and empty is used; the old one stays with its data.
    DataLeftBehind,
    /// AWS refuses it: the part needs another name.
    Refused,
}

impl OnChange {
    /// The effect in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::NoInterruption => "no interruption",
            Self::NewRevision => "new revision; jobs that were submitted before keep theirs",
            Self::InstancesReplaced => {
                "instances are replaced; jobs that still run after `update_timeout` end"
            }
            Self::DataLeftBehind => "a new and empty one is used; the data stays in the old one",
            Self::Refused => "AWS refuses it; give the part another name",
        }
    }
}

/// The cost of a key in a cluster without jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleCost {
    /// Nothing.
    Nothing,
    /// Storage of what is kept.
    Storage,
    /// This, by the hour.
    Hourly(&'static str),
}

impl IdleCost {
    /// The cost in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Storage => "storage of what is kept",
            Self::Hourly(what) => what,
        }
    }
}

impl Key {
    const fn new(
        path: &'static str,
        meaning: &'static str,
        values: &'static str,
        default: &'static str,
        examples: &'static [&'static str],
        on_change: OnChange,
    ) -> Self {
        Self { path, meaning, values, default, examples, takes: &[], on_change, idle_cost: IdleCost::Nothing }
    }

    const fn takes(self, takes: &'static [(&'static str, &'static str)]) -> Self {
        Self { takes, ..self }
    }

    const fn costs(self, idle_cost: IdleCost) -> Self {
        Self { idle_cost, ..self }
    }

    /// The section of the key: `environment.NAME.root_volume`; empty for a key of the file.
    pub fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// The key in its section.
    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }
}

use OnChange::{DataLeftBehind, InstancesReplaced, NewRevision, NoInterruption, Refused};

const NEW_VPC: &[(&str, &str)] = &[("network.vpc", "\"new\"")];
const ON_SPOT: &[(&str, &str)] = &[("environment.NAME.type", "\"spot\"")];
const MULTINODE: &[(&str, &str)] = &[("definition.NAME.type", "\"multinode\"")];
const FARGATE: &[(&str, &str)] = &[("definition.NAME.type", "\"fargate\"")];
const EFS: &[(&str, &str)] = &[("shared.NAME.source", "\"fs-0123456789abcdef0\"")];
const NFS: &[(&str, &str)] = &[("shared.NAME.source", "\"nfs.example.org:/export\"")];

/// All keys, in the order of the documentation.
pub const KEYS: &[Key] = &[
    Key::new(
        "default_queue",
        "The queue of jobs that name none.",
        "the name of a queue",
        "the first queue of the file",
        &[],
        NoInterruption,
    ),
    Key::new(
        "default_definition",
        "The job definition of jobs that name none.",
        "the name of a job definition",
        "the first job definition of the file",
        &[],
        NoInterruption,
    ),
    Key::new(
        "network.vpc",
        "The VPC of the machines.",
        "`default`, `new`, or the ID of a VPC",
        "\"default\"",
        &["\"new\"", "\"vpc-0123456789abcdef0\""],
        InstancesReplaced,
    ),
    Key::new(
        "network.subnets",
        "The subnets of the machines.",
        "a list of IDs of subnets",
        "all subnets of the VPC that have a way to AWS",
        &["[\"subnet-0123456789abcdef0\", \"subnet-0123456789abcdef1\"]"],
        InstancesReplaced,
    ),
    Key::new(
        "network.zones",
        "In how many zones a new VPC has a subnet.",
        "2 or 3",
        "2",
        &["3"],
        InstancesReplaced,
    )
    .takes(NEW_VPC),
    Key::new(
        "network.zone_names",
        "The zones in which a new VPC has a subnet.",
        "a list of two or three names of zones",
        "the first zones of the region that have a default subnet; of all zones, if none has one",
        &["[\"eu-west-1a\", \"eu-west-1b\"]"],
        InstancesReplaced,
    )
    .takes(NEW_VPC),
    Key::new(
        "network.addresses",
        "The addresses of a new VPC.",
        "a private block from /16 to /24",
        "\"10.0.0.0/16\"",
        &["\"172.20.0.0/20\""],
        InstancesReplaced,
    )
    .takes(NEW_VPC),
    Key::new(
        "network.security_groups",
        "The security groups of the machines.",
        "a list of IDs of security groups",
        "a new one, which lets nothing in but its own members",
        &["[\"sg-0123456789abcdef0\"]"],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.type",
        "The machines: instances of EC2 or Fargate, on demand or on Spot. Only between `on-demand` and `spot` can it change: from or to Fargate, AWS refuses it.",
        "`on-demand`, `spot`, `fargate` or `fargate-spot`",
        "has to be given",
        &["\"on-demand\"", "\"spot\"", "\"fargate\"", "\"fargate-spot\""],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.max",
        "The most vCPUs at the same time.",
        "a number from 1 to 1000000",
        "256",
        &["16", "1024"],
        NoInterruption,
    ),
    Key::new(
        "environment.NAME.min",
        "vCPUs of instances that are there even without jobs.",
        "a number from 0 to `max`",
        "0",
        &["4"],
        NoInterruption,
    )
    .costs(IdleCost::Hourly("instances with this many vCPUs, always")),
    Key::new(
        "environment.NAME.instance_types",
        "The instance types and families from which Batch chooses.",
        "a list of types, of families, or of Batch's bundles",
        "[\"default_x86_64\"]",
        &["[\"default_arm64\"]", "[\"c7i\", \"m7i\"]", "[\"g6.xlarge\"]"],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.allocation",
        "How Batch chooses among the instance types.",
        "`best-fit-progressive`, `best-fit-progressive-ordered`, `spot-capacity-optimized`, \
         `spot-capacity-optimized-prioritized` or `spot-price-capacity-optimized`",
        "\"best-fit-progressive\"; on Spot, \"spot-price-capacity-optimized\"",
        &["\"best-fit-progressive-ordered\"", "\"spot-capacity-optimized\""],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.bid",
        "The most to pay for an instance on Spot, in percent of the price on demand.",
        "a number from 1 to 100",
        "Batch's own, which is 100",
        &["80"],
        InstancesReplaced,
    )
    .takes(ON_SPOT),
    Key::new(
        "environment.NAME.ami_type",
        "The kind of Amazon's AMI.",
        "`ECS_AL2023` or `ECS_AL2023_NVIDIA`",
        "the one for the instance types",
        &["\"ECS_AL2023\""],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.ami",
        "An AMI instead of Amazon's newest one.",
        "the ID of an AMI with the ECS agent",
        "none",
        &["\"ami-0123456789abcdef0\""],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.key_pair",
        "The key pair for SSH to the instances.",
        "the name of a key pair",
        "none",
        &["\"ann\""],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.user_data",
        "What an instance executes when it boots for the first time.",
        "a shell script, cloud-config, or a MIME multi-part text",
        "none",
        &["\"#!/bin/sh\\nmkdir -p /scratch\\n\""],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.tenancy",
        "Whether instances share their hardware with those of others.",
        "`default` or `dedicated`",
        "\"default\"",
        &["\"dedicated\""],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.placement_group",
        "Whether instances are close to each other, for multi-node jobs.",
        "true, false, or the name of a placement group that exists",
        "false",
        &["true", "\"close\""],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.single_zone",
        "Whether all instances are in the zone of the first subnet.",
        "true or false",
        "false; with a placement group, true",
        &["true"],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.keep_idle",
        "How long an instance stays after its last job.",
        "a time from 20m to 7d",
        "Batch decides",
        &["\"30m\""],
        NoInterruption,
    )
    .costs(IdleCost::Hourly("instances for this long after their last job")),
    Key::new(
        "environment.NAME.update_timeout",
        "How long jobs may still run on instances that are being replaced.",
        "a time from 1m to 5d",
        "\"30m\"",
        &["\"12h\""],
        NoInterruption,
    ),
    Key::new(
        "environment.NAME.terminate_jobs_on_update",
        "Whether jobs end at once when their instances are replaced.",
        "true or false",
        "false",
        &["true"],
        NoInterruption,
    ),
    Key::new(
        "environment.NAME.subnets",
        "Subnets instead of the network's.",
        "a list of IDs of subnets",
        "the network's",
        &["[\"subnet-0123456789abcdef0\"]"],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.security_groups",
        "Security groups instead of the network's.",
        "a list of at most five IDs of security groups",
        "the network's",
        &["[\"sg-0123456789abcdef1\"]"],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.tags.KEY",
        "A tag of instances and volumes.",
        "a string",
        "none",
        &["\"x\""],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.root_volume.size",
        "The size of the root volume, on which images and containers are as well.",
        "a number of GiB from 8 to 65536",
        "100",
        &["200"],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.root_volume.type",
        "The type of the root volume.",
        "`gp3`, `gp2`, `io1` or `io2`",
        "\"gp3\"",
        &["\"gp2\""],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.root_volume.iops",
        "The IOPS of a root volume of type gp3, io1 or io2.",
        "a number from 100 to 256000",
        "that of the type",
        &["4000"],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.root_volume.throughput",
        "The throughput of a root volume of type gp3, in MiB/s.",
        "a number from 125 to 2000",
        "that of the type",
        &["250"],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.root_volume.snapshot",
        "The snapshot from which the root volume is made.",
        "the ID of a snapshot",
        "that of the AMI",
        &["\"snap-0123456789abcdef0\""],
        InstancesReplaced,
    ),
    Key::new(
        "environment.NAME.root_volume.encrypted",
        "Whether the root volume is encrypted.",
        "true or false",
        "true",
        &["false"],
        InstancesReplaced,
    ),
    Key::new(
        "queue.NAME.environments",
        "The environments in which jobs run, in the order in which Batch tries them.",
        "a list of one to three names of environments",
        "has to be given, unless `arn` is",
        &[],
        NoInterruption,
    ),
    Key::new(
        "queue.NAME.arn",
        "A queue that exists, instead of a new one.",
        "the ARN of a job queue",
        "none",
        &["\"arn:aws:batch:eu-west-1:111122223333:job-queue/other\""],
        NoInterruption,
    ),
    Key::new(
        "queue.NAME.priority",
        "The priority among the queues of an environment; larger is first.",
        "a number from 0 to 1000",
        "1",
        &["10"],
        NoInterruption,
    ),
    Key::new(
        "queue.NAME.cancel_after.too_large",
        "After how long in RUNNABLE Batch cancels a job that is larger than every environment.",
        "a time from 10m to 1d, or `never`",
        "\"1d\"",
        &["\"1h\"", "\"never\""],
        NoInterruption,
    ),
    Key::new(
        "queue.NAME.cancel_after.no_instance_type",
        "After how long in RUNNABLE Batch cancels a job that no instance type fits.",
        "a time from 10m to 1d, or `never`",
        "\"1d\"",
        &["\"1h\"", "\"never\""],
        NoInterruption,
    ),
    Key::new(
        "queue.NAME.cancel_after.no_capacity",
        "After how long in RUNNABLE Batch cancels a job for which AWS has no instances.",
        "a time from 10m to 1d, or `never`",
        "\"never\"",
        &["\"12h\""],
        NoInterruption,
    ),
    Key::new(
        "queue.NAME.fair_share.decay",
        "How long the usage of a share counts. With any key of fair_share, the queue is shared.",
        "a time from 0s to 7d",
        "\"0s\"",
        &["\"1d\""],
        Refused,
    ),
    Key::new(
        "queue.NAME.fair_share.reservation",
        "The part of vCPUs that stays free for shares without jobs, in percent.",
        "a number from 0 to 99",
        "0",
        &["10"],
        NoInterruption,
    ),
    Key::new(
        "queue.NAME.fair_share.weights.KEY",
        "The weight of a share: a smaller one gets more.",
        "a number from 0.0001 to 999.9999",
        "1.0",
        &["0.5", "2"],
        NoInterruption,
    ),
    Key::new(
        "definition.NAME.type",
        "The kind of job.",
        "`container` or `multinode` on EC2, or `fargate`",
        "\"container\"",
        &["\"multinode\"", "\"fargate\""],
        NewRevision,
    ),
    Key::new(
        "definition.NAME.image",
        "The image of jobs that name none. On the local cluster, the default is `host`: the programs of this machine.",
        "the name of an image, or `:TAG` of the cluster's repository",
        "\"public.ecr.aws/docker/library/buildpack-deps:stable-curl\"",
        &["\":base\"", "\"public.ecr.aws/docker/library/debian:stable\""],
        NewRevision,
    ),
    Key::new(
        "definition.NAME.vcpus",
        "vCPUs of jobs that ask for nothing else.",
        "a whole number; on Fargate, also 0.25 and 0.5",
        "1",
        &["2"],
        NewRevision,
    ),
    Key::new(
        "definition.NAME.memory",
        "Memory of jobs that ask for nothing else.",
        "a number of MiB, or a string such as \"4G\"",
        "2048",
        &["4096", "\"4G\""],
        NewRevision,
    ),
    Key::new(
        "definition.NAME.attempts",
        "The most attempts of a job whose machine is lost. Every other end is final.",
        "a number from 1 to 10",
        "3; 1 for `multinode` and `fargate`",
        &["5"],
        NewRevision,
    ),
    Key::new(
        "definition.NAME.timeout",
        "The time limit of an attempt.",
        "a time of 60s or longer",
        "none",
        &["\"12h\""],
        NewRevision,
    ),
    Key::new(
        "definition.NAME.nodes",
        "The number of nodes of multi-node jobs that ask for nothing else.",
        "a number from 2 to 1000",
        "2",
        &["4"],
        NewRevision,
    )
    .takes(MULTINODE),
    Key::new(
        "definition.NAME.gpus",
        "GPUs of jobs that ask for nothing else.",
        "a whole number",
        "none",
        &["1"],
        NewRevision,
    ),
    Key::new(
        "definition.NAME.privileged",
        "Whether containers have the rights of root on their instance.",
        "true or false",
        "false",
        &["true"],
        NewRevision,
    ),
    Key::new(
        "definition.NAME.user",
        "The user that containers run as.",
        "USER or USER:GROUP",
        "the image's",
        &["\"root\""],
        NewRevision,
    ),
    Key::new(
        "definition.NAME.mounts",
        "Folders of the instance in the container.",
        "a list of HOST:CONTAINER or HOST:CONTAINER:ro",
        "none",
        &["[\"/scratch:/scratch\", \"/data:/data:ro\"]"],
        NewRevision,
    ),
    Key::new(
        "definition.NAME.ulimits",
        "Limits of processes.",
        "a list of NAME=SOFT or NAME=SOFT:HARD",
        "none",
        &["[\"memlock=unlimited\", \"nofile=1024:4096\"]"],
        NewRevision,
    ),
    Key::new(
        "definition.NAME.ephemeral_storage",
        "The disk of containers on Fargate.",
        "a size from \"21\" to \"200\" GiB, as a string",
        "Fargate's 20 GiB",
        &["\"50\""],
        NewRevision,
    )
    .takes(FARGATE),
    Key::new(
        "definition.NAME.architecture",
        "The architecture of containers on Fargate.",
        "`x86_64` or `arm64`",
        "\"x86_64\"",
        &["\"arm64\""],
        NewRevision,
    )
    .takes(FARGATE),
    Key::new(
        "bucket.existing",
        "A bucket that exists, instead of a new one.",
        "the name of a bucket",
        "none",
        &["\"lab-data\""],
        DataLeftBehind,
    ),
    Key::new(
        "bucket.kms_key",
        "The KMS key of the objects.",
        "the ARN of a KMS key",
        "S3's own encryption",
        &["\"arn:aws:kms:eu-west-1:111122223333:key/01234567-89ab-cdef-0123-456789abcdef\""],
        NoInterruption,
    ),
    Key::new(
        "bucket.versions",
        "Whether the bucket keeps old versions of objects.",
        "true or false",
        "false",
        &["true"],
        NoInterruption,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "bucket.keep",
        "Whether the bucket stays when the cluster is deleted.",
        "true or false",
        "true",
        &["false"],
        NoInterruption,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "bucket.expire.bundles",
        "When scripts and inputs expire. It has to be longer than the life of a job.",
        "whole days, or `never`",
        "\"30d\"",
        &["\"60d\"", "\"never\""],
        NoInterruption,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "bucket.expire.outputs",
        "When the outputs of jobs expire.",
        "whole days, or `never`",
        "\"never\"",
        &["\"90d\""],
        NoInterruption,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "bucket.expire.contexts",
        "When contexts of image builds expire.",
        "whole days, or `never`",
        "\"7d\"",
        &["\"1d\""],
        NoInterruption,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "bucket.expire.once",
        "When the records of `bsub --once` expire.",
        "whole days, or `never`",
        "\"365d\"",
        &["\"never\""],
        NoInterruption,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "efs.throughput",
        "The throughput of the cluster's own EFS file system.",
        "`elastic`, `bursting`, or a number of MiB/s from 1 to 3414",
        "\"elastic\"",
        &["\"bursting\"", "128"],
        NoInterruption,
    )
    .costs(IdleCost::Hourly("a number of MiB/s is billed by the hour")),
    Key::new(
        "efs.kms_key",
        "The KMS key of the cluster's own EFS file system, which is always encrypted.",
        "the ARN of a KMS key",
        "AWS's key for EFS",
        &["\"arn:aws:kms:eu-west-1:111122223333:key/01234567-89ab-cdef-0123-456789abcdef\""],
        DataLeftBehind,
    ),
    Key::new(
        "efs.keep",
        "Whether the file system stays when the cluster is deleted.",
        "true or false",
        "true",
        &["false"],
        NoInterruption,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "efs.backup",
        "Whether AWS Backup copies the file system daily.",
        "true or false",
        "false",
        &["true"],
        NoInterruption,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "efs.infrequent_after",
        "After how long without access files go to the cheaper storage class.",
        "`1d`, `7d`, `14d`, `30d`, `60d`, `90d`, `180d`, `270d` or `365d`",
        "never",
        &["\"30d\""],
        NoInterruption,
    ),
    Key::new(
        "shared.NAME.path",
        "The path of the directory in every container.",
        "an absolute path",
        "has to be given",
        &[],
        NewRevision,
    ),
    Key::new(
        "shared.NAME.source",
        "The file system of the directory.",
        "`new` for the cluster's own EFS, the ID of an EFS file system, or SERVER:/EXPORT",
        "\"new\"",
        &["\"fs-0123456789abcdef0\"", "\"nfs.example.org:/export\""],
        NewRevision,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "shared.NAME.folder",
        "The folder of the EFS file system.",
        "an absolute path",
        "`/NAME` in the cluster's own file system, else the root",
        &["\"/projects/x\""],
        DataLeftBehind,
    ),
    Key::new(
        "shared.NAME.access_point",
        "An access point of the EFS file system.",
        "the ID of an access point",
        "none",
        &["\"fsap-0123456789abcdef0\""],
        NewRevision,
    )
    .takes(EFS),
    Key::new(
        "shared.NAME.iam",
        "Whether it is mounted with the permissions of the job role.",
        "true or false",
        "false",
        &["true"],
        NewRevision,
    )
    .takes(EFS),
    Key::new(
        "shared.NAME.read_only",
        "Whether jobs may only read it.",
        "true or false",
        "false",
        &["true"],
        NewRevision,
    ),
    Key::new(
        "shared.NAME.uid",
        "The owner of the folder when it is made.",
        "the number of a user",
        "1000",
        &["0"],
        NoInterruption,
    ),
    Key::new(
        "shared.NAME.gid",
        "The group of the folder when it is made.",
        "the number of a group",
        "1000",
        &["100"],
        NoInterruption,
    ),
    Key::new(
        "shared.NAME.permissions",
        "The permissions of the folder when it is made.",
        "three or four octal digits, as a string",
        "\"0777\"",
        &["\"0755\""],
        NoInterruption,
    ),
    Key::new(
        "shared.NAME.type",
        "The type of a file system that the image mounts.",
        "such as `nfs`, `nfs4` or `lustre`",
        "by the source",
        &["\"nfs4\""],
        NewRevision,
    )
    .takes(NFS),
    Key::new(
        "shared.NAME.options",
        "The options of a file system that the image mounts.",
        "options of `mount`, joined by commas",
        "none",
        &["\"nfsvers=4.2\""],
        NewRevision,
    )
    .takes(NFS),
    Key::new(
        "images.repository",
        "The ECR repository of images.",
        "true for a new one, false for none, or the name of one that exists",
        "true",
        &["false", "\"lab/genomics\""],
        DataLeftBehind,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "images.scan",
        "Whether images are scanned when they are pushed.",
        "true or false",
        "true",
        &["false"],
        NoInterruption,
    ),
    Key::new(
        "images.immutable_tags",
        "Whether a tag stays on its image.",
        "true or false",
        "false",
        &["true"],
        NoInterruption,
    ),
    Key::new(
        "images.expire_untagged",
        "When images without a tag expire.",
        "whole days, or `never`",
        "\"14d\"",
        &["\"1d\"", "\"never\""],
        NoInterruption,
    ),
    Key::new(
        "images.keep",
        "Whether the repository stays when the cluster is deleted.",
        "true or false",
        "false",
        &["true"],
        NoInterruption,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "images.project",
        "The CodeBuild project that builds images.",
        "true for a new one, false for none, or the name of one that exists",
        "true, if there is a repository",
        &["false", "\"lab-images\""],
        NoInterruption,
    ),
    Key::new(
        "images.machine",
        "The size of the machine that builds.",
        "`small`, `medium`, `large`, `xlarge` or `2xlarge`",
        "\"medium\"",
        &["\"large\""],
        NoInterruption,
    ),
    Key::new(
        "images.architecture",
        "The architecture of the machine that builds.",
        "`x86_64` or `arm64`",
        "that of the default queue's machines",
        &["\"arm64\""],
        NoInterruption,
    ),
    Key::new(
        "images.timeout",
        "The time limit of a build.",
        "a time from 5m to 36h",
        "\"1h\"",
        &["\"2h\""],
        NoInterruption,
    ),
    Key::new(
        "logs.retention",
        "How long the output of jobs and builds is kept.",
        "one of the times of CloudWatch, from `1d` to `3653d`, or `never` for ever",
        "\"180d\"",
        &["\"30d\"", "\"never\""],
        NoInterruption,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "logs.keep",
        "Whether the output of jobs stays when the cluster is deleted.",
        "true or false",
        "true",
        &["false"],
        NoInterruption,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "logs.kms_key",
        "The KMS key of the logs. Its policy has to allow CloudWatch Logs.",
        "the ARN of a KMS key",
        "CloudWatch's own encryption",
        &["\"arn:aws:kms:eu-west-1:111122223333:key/01234567-89ab-cdef-0123-456789abcdef\""],
        NoInterruption,
    ),
    Key::new(
        "events.record",
        "Whether the events of jobs are recorded, for accounting. They have the variables of jobs in them.",
        "true or false",
        "true",
        &["false"],
        DataLeftBehind,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "events.retention",
        "How long the events of jobs are kept.",
        "one of the times of CloudWatch, from `1d` to `3653d`, or `never` for ever",
        "\"365d\"",
        &["\"90d\""],
        NoInterruption,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "events.keep",
        "Whether the events of jobs stay when the cluster is deleted.",
        "true or false",
        "true",
        &["false"],
        NoInterruption,
    )
    .costs(IdleCost::Storage),
    Key::new(
        "iam.boundary",
        "The permissions boundary of every role.",
        "the ARN of a managed policy",
        "none",
        &["\"arn:aws:iam::111122223333:policy/boundary\""],
        NoInterruption,
    ),
    Key::new(
        "iam.path",
        "The path of roles, before the cluster's name.",
        "a path that begins and ends with `/`",
        "\"/awsb/\"",
        &["\"/lab/\""],
        InstancesReplaced,
    ),
    Key::new(
        "iam.instance_profile",
        "An instance profile that exists, instead of a new one.",
        "the ARN of an instance profile",
        "none",
        &["\"arn:aws:iam::111122223333:instance-profile/instances\""],
        InstancesReplaced,
    ),
    Key::new(
        "iam.instance_policies",
        "More managed policies of the instances, such as AmazonSSMManagedInstanceCore for a shell by SSM.",
        "a list of ARNs of managed policies",
        "none",
        &["[\"arn:aws:iam::111122223333:policy/shell\"]"],
        NoInterruption,
    ),
    Key::new(
        "iam.execution_role",
        "An execution role that exists, instead of a new one.",
        "the ARN of a role",
        "none",
        &["\"arn:aws:iam::111122223333:role/execution\""],
        NewRevision,
    ),
    Key::new(
        "iam.build_role",
        "A role for image builds that exists, instead of a new one.",
        "the ARN of a role",
        "none",
        &["\"arn:aws:iam::111122223333:role/build\""],
        NoInterruption,
    ),
    Key::new(
        "iam.user_policy",
        "Whether the cluster has a managed policy for its users.",
        "true or false",
        "true",
        &["false"],
        NoInterruption,
    ),
    Key::new(
        "job_role.arn",
        "A role of the jobs' own calls that exists, instead of a new one.",
        "the ARN of a role",
        "none",
        &["\"arn:aws:iam::111122223333:role/jobs\""],
        NewRevision,
    ),
    Key::new(
        "job_role.policies",
        "More managed policies of the jobs' own calls.",
        "a list of ARNs of managed policies",
        "none",
        &["[\"arn:aws:iam::111122223333:policy/tables\"]"],
        NoInterruption,
    ),
    Key::new(
        "job_role.read",
        "Buckets that jobs may read.",
        "a list of names of buckets",
        "none",
        &["[\"genomes\", \"reference-data\"]"],
        NoInterruption,
    ),
    Key::new(
        "job_role.write",
        "Buckets that jobs may read and write.",
        "a list of names of buckets",
        "none",
        &["[\"results\"]"],
        NoInterruption,
    ),
    Key::new("tags.KEY", "A tag of all resources.", "a string", "none", &["\"genomics\""], InstancesReplaced),
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::ClusterConfig;
    use super::super::section::AskedKeys;
    use super::*;
    use crate::toml_reader::TomlError;

    /// A file with a part of each kind, so that the parser asks for all keys.
    const ALL_PARTS: &str = "[environment.a]\ntype = \"spot\"\n[queue.a]\nenvironments = [\"a\"]\n\
        [definition.a]\n[shared.a]\npath = \"/a\"\n";

    #[test]
    fn the_table_has_the_keys_of_the_parser() {
        let asked = AskedKeys::default();
        ClusterConfig::from_toml_with("file", ALL_PARTS, &asked).unwrap();
        let table: BTreeSet<String> = KEYS.iter().map(|key| key.path.to_owned()).collect();
        assert_eq!(table.len(), KEYS.len(), "no key is there twice");
        assert_eq!(asked.take(), table);
    }

    /// A file with this key and all that it takes, or without the key.
    fn file(key: &Key, value: Option<&str>) -> String {
        let mut values: BTreeMap<&str, &str> = BTreeMap::new();
        match key.path.split('.').next() {
            Some("environment") => values.extend([("environment.NAME.type", "\"on-demand\"")]),
            Some("queue") if key.path != "queue.NAME.arn" => {
                values
                    .extend([("environment.NAME.type", "\"spot\""), ("queue.NAME.environments", "[\"a\"]")]);
            }
            Some("shared") => values.extend([("shared.NAME.path", "\"/a\"")]),
            _ => {}
        }
        values.extend(key.takes.iter().copied());
        values.extend(value.map(|value| (key.path, value)));
        let line = |(path, value): (&str, &str)| {
            format!("{} = {value}\n", path.replace("NAME", "a").replace("KEY", "k"))
        };
        values.into_iter().map(line).collect()
    }

    fn parse(text: &str) -> Result<ClusterConfig, TomlError> {
        ClusterConfig::from_toml("file", text)
    }

    #[test]
    fn each_example_is_taken_and_means_something() {
        for key in KEYS {
            let without = parse(&file(key, None));
            for example in key.examples {
                let text = file(key, Some(example));
                let config = parse(&text);
                assert!(config.is_ok(), "{}: {config:?}\n{text}", key.path);
                // The type has to be given; the test gives one of its examples.
                let is_given = key.path == "environment.NAME.type";
                assert!(is_given || config != without, "{} = {example} changes nothing", key.path);
            }
        }
    }

    #[test]
    fn a_default_that_is_toml_is_the_default() {
        for key in KEYS {
            let default = key.default;
            let is_toml = default.starts_with(['"', '['])
                || ["true", "false"].contains(&default)
                || default.parse::<f64>().is_ok();
            // Some defaults depend on other keys. With any key of a fair share there is one, and
            // with any key of a job definition the default ones are not there.
            let makes_a_part = key.path.contains("fair_share") || key.path.starts_with("definition");
            if is_toml && !default.contains(';') && !makes_a_part {
                assert_eq!(parse(&file(key, Some(default))), parse(&file(key, None)), "{}", key.path);
            }
        }
    }
}
