//! The data that an earlier cluster of the same name has kept.

use awsb_model::cluster::config::BucketName;
use awsb_model::cluster::{ClusterName, bucket_name, repository_name};

use super::stack::StackResource;
use crate::aws::{Session, explain};
use crate::ui::Failure;

/// The names of the data that a cluster keeps. A file system has no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The bucket.
    pub bucket: Option<String>,
    /// The repository.
    pub repository: Option<String>,
    /// The log groups.
    pub log_groups: Vec<LogGroup>,
}

/// A log group that a cluster keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogGroup {
    /// Its logical ID in the template.
    pub logical_id: String,
    /// Its name.
    pub name: String,
}

impl Names {
    /// The names of the data of a cluster with this stack. `bucket` is the name of its bucket.
    pub fn new(cluster: &ClusterName, stack: &str, bucket: Option<&str>) -> Self {
        Self {
            bucket: bucket.map(str::to_owned),
            repository: Some(repository_name(cluster)),
            log_groups: [
                ("JobLogs", format!("/awsb/{stack}/jobs")),
                ("EventLogs", format!("/aws/events/awsb/{stack}")),
            ]
            .map(|(logical_id, name)| LogGroup { logical_id: logical_id.to_owned(), name })
            .into(),
        }
    }
}

/// The name of the bucket that a cluster has in the account and region of a session.
///
/// # Errors
/// When AWS cannot be asked for the account.
pub async fn bucket_of(session: &Session, cluster: &ClusterName) -> Result<BucketName, Failure> {
    let identity = session.sts.identity().await;
    let identity = identity.map_err(|e| explain(session, "asking whose credentials these are", &*e))?;
    Ok(bucket_name(cluster, &identity.account, &session.region))
}

/// The resources that exist under these names. One that AWS does not show, perhaps for a missing
/// permission, is not among them.
pub async fn remains(session: &Session, names: &Names) -> Vec<StackResource> {
    let bucket = async {
        let name = names.bucket.as_deref()?;
        let found = session.s3.head_bucket().bucket(name).send().await;
        found.is_ok().then(|| resource("AWS::S3::Bucket", name))
    };
    let repository = async {
        let name = names.repository.as_deref()?;
        let found = session.ecr().describe_repositories().repository_names(name).send().await;
        let is_there = found.is_ok_and(|found| !found.repositories().is_empty());
        is_there.then(|| resource("AWS::ECR::Repository", name))
    };
    let groups = names.log_groups.iter().map(|LogGroup { name, .. }| async move {
        let found = session.logs.describe_log_groups().log_group_name_prefix(name).send().await;
        let is_there = found
            .is_ok_and(|found| found.log_groups().iter().any(|g| g.log_group_name() == Some(name.as_str())));
        is_there.then(|| resource("AWS::Logs::LogGroup", name))
    });
    let groups = futures_util::future::join_all(groups);
    let (bucket, repository, groups) = tokio::join!(bucket, repository, groups);
    bucket.into_iter().chain(repository).chain(groups.into_iter().flatten()).collect()
}

fn resource(resource_type: &str, name: &str) -> StackResource {
    StackResource {
        physical_resource_id: Some(name.to_owned()),
        resource_type: resource_type.to_owned(),
        ..StackResource::default()
    }
}
