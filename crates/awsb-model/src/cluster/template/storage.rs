//! The bucket and the EFS file system of a template.

use serde_json::{Value, json};

use super::parts::{Context, Resources, attribute, days, kept, reference, text};
use crate::Period;
use crate::cluster::config::{Bucket, Expire, NewBucket, SharedSource, Throughput};

/// The root folder in the bucket: the value of `ArtifactS3RootDirectory`.
pub(super) const ROOT: &str = "awsb";
/// The prefix of the cluster's objects: `batch` in the root folder, as ParallelCluster's tools have
/// it.
pub(in crate::cluster) const PREFIX: &str = "awsb/batch";

impl Context<'_> {
    /// The name of the bucket.
    pub(super) fn bucket_name(&self) -> Value {
        match &self.config.bucket {
            Bucket::New(_) => reference("Bucket"),
            Bucket::Existing(name) => name.as_str().into(),
        }
    }

    /// The ARN of the bucket, with CloudFormation's variables in it.
    pub(super) fn bucket_arn(&self) -> String {
        match &self.config.bucket {
            Bucket::New(_) => "${Bucket.Arn}".to_owned(),
            Bucket::Existing(name) => format!("arn:${{AWS::Partition}}:s3:::{name}"),
        }
    }

    /// Adds the bucket.
    pub(super) fn add_bucket(&self, resources: &mut Resources) {
        let Some(bucket) = self.config.bucket.made() else { return };
        let encryption = match &bucket.kms_key {
            None => json!({ "SSEAlgorithm": "AES256" }),
            Some(key) => json!({ "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key.as_str() }),
        };
        let default_encryption = json!({
            "ServerSideEncryptionByDefault": encryption,
            "BucketKeyEnabled": bucket.kms_key.as_ref().map(|_| true),
        });
        let versions = bucket.versions.then(|| json!({ "Status": "Enabled" }));
        resources.add_with(
            "Bucket",
            "AWS::S3::Bucket",
            json!({
                "BucketName": { "Fn::If": [
                    "HasBucketName", reference("ResourcesS3Bucket"), reference("AWS::NoValue"),
                ] },
                "BucketEncryption": { "ServerSideEncryptionConfiguration": [default_encryption] },
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": true,
                    "BlockPublicPolicy": true,
                    "IgnorePublicAcls": true,
                    "RestrictPublicBuckets": true,
                },
                "OwnershipControls": { "Rules": [{ "ObjectOwnership": "BucketOwnerEnforced" }] },
                "VersioningConfiguration": versions,
                "LifecycleConfiguration": { "Rules": lifecycle(bucket) },
                "Tags": self.tags(&[]),
            }),
            kept(bucket.keep),
        );
        resources.add_with(
            "BucketPolicy",
            "AWS::S3::BucketPolicy",
            json!({
                "Bucket": reference("Bucket"),
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [{
                        "Sid": "OnlyEncryptedConnections",
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "s3:*",
                        "Resource": [attribute("Bucket", "Arn"), text("${Bucket.Arn}/*")],
                        "Condition": { "Bool": { "aws:SecureTransport": "false" } },
                    }],
                },
            }),
            // CloudFormation makes the policy anew with the next cluster, and takes none over: a
            // policy that stayed with its bucket would fail that cluster.
            kept(false),
        );
    }

    /// Adds the EFS file system, its mount targets and its access points.
    pub(super) fn add_efs(&self, resources: &mut Resources) {
        if !self.config.has_efs() {
            return;
        }
        let efs = &self.config.efs;
        let (mode, provisioned) = match efs.throughput {
            Throughput::Elastic => ("elastic", None),
            Throughput::Bursting => ("bursting", None),
            Throughput::Provisioned(mibps) => ("provisioned", Some(mibps)),
        };
        let lifecycle = efs.infrequent_after.map(|after| {
            let number = after.as_str().trim_end_matches('d');
            let unit = if number == "1" { "DAY" } else { "DAYS" };
            json!([
                { "TransitionToIA": format!("AFTER_{number}_{unit}") },
                { "TransitionToPrimaryStorageClass": "AFTER_1_ACCESS" },
            ])
        });
        resources.add_with(
            "Efs",
            "AWS::EFS::FileSystem",
            json!({
                "Encrypted": true,
                "KmsKeyId": efs.kms_key.as_ref().map(|key| key.as_str()),
                "ThroughputMode": mode,
                "ProvisionedThroughputInMibps": provisioned,
                "BackupPolicy": { "Status": if efs.backup { "ENABLED" } else { "DISABLED" } },
                "LifecyclePolicies": lifecycle,
                "FileSystemTags": self.tags(&[]),
            }),
            kept(efs.keep),
        );
        let sources = self.groups_of_all_machines().into_iter().map(|group| {
            json!({
                "IpProtocol": "tcp",
                "FromPort": 2049,
                "ToPort": 2049,
                "SourceSecurityGroupId": group,
                "Description": "NFS from the machines of the cluster",
            })
        });
        resources.add(
            "EfsSecurityGroup",
            "AWS::EC2::SecurityGroup",
            json!({
                "GroupDescription": "The file system of an awsb cluster",
                "VpcId": self.vpc(),
                "SecurityGroupIngress": sources.collect::<Vec<_>>(),
                "Tags": self.tags(&[]),
            }),
        );
        for subnet in self.subnet_of_each_zone() {
            resources.add(
                format!("EfsMount{}", subnet.zone),
                "AWS::EFS::MountTarget",
                json!({
                    "FileSystemId": reference("Efs"),
                    "SubnetId": subnet.id,
                    "SecurityGroups": [attribute("EfsSecurityGroup", "GroupId")],
                }),
            );
        }
        for shared in &self.config.shared {
            let SharedSource::New { folder, owner } = &shared.source else { continue };
            resources.add(
                shared.name.logical_id("Shared"),
                "AWS::EFS::AccessPoint",
                json!({
                    "FileSystemId": reference("Efs"),
                    "RootDirectory": {
                        "Path": folder,
                        "CreationInfo": {
                            "OwnerUid": owner.uid.to_string(),
                            "OwnerGid": owner.gid.to_string(),
                            "Permissions": owner.permissions,
                        },
                    },
                    "AccessPointTags": self.tags(&[]),
                }),
            );
        }
    }

    /// The security groups of all environments, each once.
    fn groups_of_all_machines(&self) -> Vec<Value> {
        let mut found = Vec::new();
        for environment in &self.config.environments {
            let Value::Array(groups) = self.security_groups(environment) else { continue };
            for group in groups {
                if !found.contains(&group) {
                    found.push(group);
                }
            }
        }
        found
    }
}

/// The rules by which objects expire.
fn lifecycle(bucket: &NewBucket) -> Vec<Value> {
    let Expire { bundles, outputs, contexts, once } = bucket.expire;
    let rule = |(id, prefix, period): (&str, &str, Option<Period>)| {
        let days = days(period?);
        Some(json!({
            "Id": id,
            "Status": "Enabled",
            "Prefix": format!("{PREFIX}/{prefix}/"),
            "ExpirationInDays": days,
            "NoncurrentVersionExpiration": bucket.versions.then(|| json!({ "NoncurrentDays": days })),
        }))
    };
    // A main node that was killed leaves the key of its nodes behind.
    let one_day = Some(Period::of_seconds(86_400));
    let rules = [
        ("bundles", "bundles", bundles),
        ("outputs", "outputs", outputs),
        ("contexts", "contexts", contexts),
        ("once", "once", once),
        ("nodes", "nodes", one_day),
    ];
    let uploads = json!({
        "Id": "uploads",
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 7 },
    });
    rules.into_iter().filter_map(rule).chain(std::iter::once(uploads)).collect()
}
