//! The configuration of a cluster: a TOML file, of which every key has a default.

mod bucket;
mod cluster_config;
mod definition;
mod environment;
mod iam;
mod images;
mod keys;
mod logs;
mod names;
mod network;
mod queue;
mod reference;
mod section;
mod shared;
mod starter;
mod values;
mod writer;

pub use bucket::{Bucket, Expire, NewBucket};
pub use cluster_config::ClusterConfig;
pub use definition::{
    Definition, DefinitionImage, DefinitionKind, DefinitionType, Ec2Options, FargateOptions,
};
pub use environment::{
    Allocation, AmiType, Capacity, Ec2, Environment, EnvironmentType, OnUpdate, PlacementGroup, Purchase,
    RootVolume, VolumeType,
};
pub use iam::{Iam, JobRole, NewJobRole};
pub use images::{Images, Machine, NewProject, NewRepository, Project, Repository};
pub use keys::{IdleCost, KEYS, Key, OnChange};
pub use logs::{Events, Logs, Retention};
pub use names::{ClusterName, PartName};
pub use network::{AddressBlock, Network, Vpc, Zones};
pub use queue::{CancelAfter, FairShare, NewQueue, Queue, QueueSource};
pub use reference::reference;
pub use shared::{Efs, InfrequentAfter, Owner, Shared, SharedSource, Throughput};
pub use starter::Starter;
pub use values::{
    AccessPointId, AmiId, Architecture, BucketName, Ec2Name, FileSystemId, IamPath, InstanceProfileArn,
    InstanceTypeName, KmsKeyArn, PolicyArn, ProjectName, QueueArn, RoleArn, SecurityGroupId, SharePattern,
    SnapshotId, SubnetId, VpcId, ZoneName,
};
