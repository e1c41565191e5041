//! Where a policy applies.

use crate::cluster::bucket_name::{HASH_LENGTH, bucket_name, bucket_prefix, repository_name};
use crate::cluster::config::{
    Bucket, BucketName, ClusterConfig, ClusterName, IamPath, JobRole, PolicyArn, Project, ProjectName,
    Repository,
};
use crate::image::RepositoryName;

/// The partition of a region (General Reference, `Amazon Resource Names`).
pub fn partition_of(region: &str) -> &'static str {
    const PARTITIONS: [(&str, &str); 3] =
        [("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"), ("eusc-", "aws-eusc")];
    PARTITIONS.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

/// The account, the region and the cluster that a policy is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyScope {
    /// The partition, such as `aws` or `aws-cn`.
    pub partition: String,
    /// The region. `None`: all.
    pub region: Option<String>,
    /// The account. `None`: that of whoever has the policy.
    pub account: Option<String>,
    /// The cluster. `None`: all clusters.
    pub cluster: Option<ClusterName>,
    /// The path of roles before the cluster's name (`iam.path`).
    pub path: IamPath,
    /// The permissions boundary that every role has to have (`iam.boundary`).
    pub boundary: Option<PolicyArn>,
    /// The roles that exist and that the cluster's resources get (ARNs).
    pub existing_roles: Vec<String>,
    /// The bucket that exists and that the cluster uses.
    pub existing_bucket: Option<BucketName>,
    /// The repository that exists and that the cluster uses.
    pub existing_repository: Option<RepositoryName>,
    /// The build project that exists and that the cluster uses.
    pub existing_project: Option<ProjectName>,
    /// The bucket through which long templates go (`--template-bucket`).
    pub template_bucket: Option<BucketName>,
}

impl PolicyScope {
    /// The same scope with the path, the boundary, and the resources that exist of a configuration.
    #[must_use]
    pub fn with_config(self, config: &ClusterConfig) -> Self {
        let iam = &config.iam;
        let job_role = match &config.job_role {
            JobRole::Existing(arn) => Some(arn),
            JobRole::New(_) => None,
        };
        let roles = [job_role, iam.execution_role.as_ref(), iam.build_role.as_ref()];
        let mut existing_roles: Vec<String> = roles.into_iter().flatten().map(ToString::to_string).collect();
        // Whoever gives a machine its profile passes on the role in it, whose name the profile
        // does not say. The console and most tools give both the same one.
        existing_roles.extend(
            iam.instance_profile.iter().map(|arn| arn.as_str().replacen(":instance-profile/", ":role/", 1)),
        );
        existing_roles.sort();
        existing_roles.dedup();
        let existing_bucket = match &config.bucket {
            Bucket::Existing(name) => Some(name.clone()),
            Bucket::New(_) => None,
        };
        let existing_repository = match &config.images.repository {
            Repository::Existing(name) => Some(name.clone()),
            Repository::New(_) | Repository::None => None,
        };
        let existing_project = match &config.images.project {
            Project::Existing(name) => Some(name.clone()),
            Project::New(_) | Project::None => None,
        };
        Self {
            path: iam.path.clone(),
            boundary: iam.boundary.clone(),
            existing_roles,
            existing_bucket,
            existing_repository,
            existing_project,
            ..self
        }
    }

    /// A text with CloudFormation's variables, for this scope.
    pub(super) fn resolve(&self, text: &str) -> String {
        let any = "*".to_owned();
        let account = self.account.clone().unwrap_or_else(|| any.clone());
        let cluster = self.cluster.as_ref().map_or_else(|| any.clone(), ToString::to_string);
        let role = format!("arn:{}:iam::{account}:role{}{cluster}/*", self.partition, self.path);
        let bucket = self.buckets().first().cloned().unwrap_or_default();
        [
            ("${Bucket.Arn}", bucket),
            ("${Repository.Arn}", self.repository()),
            ("${BuildProject.Arn}", self.project()),
            ("${JobRole.Arn}", role.clone()),
            ("${ExecutionRole.Arn}", role),
            ("${AWS::Partition}", self.partition.clone()),
            ("${AWS::Region}", self.region.clone().unwrap_or(any)),
            ("${AWS::AccountId}", account),
            ("${AWS::StackName}", cluster),
        ]
        .into_iter()
        .fold(text.to_owned(), |text, (variable, value)| text.replace(variable, &value))
    }

    /// The buckets of clusters: those that awsb names, and those that CloudFormation names.
    pub(super) fn buckets(&self) -> Vec<String> {
        let patterns = match &self.cluster {
            // One `?` for each digit of the hash, so that `lab` does not stand for `lab-2` as well.
            Some(name) => {
                let own = match (&self.account, &self.region) {
                    // Names such as `lab` and `LAB` differ in the hash alone.
                    (Some(account), Some(region)) => bucket_name(name, account, region).to_string(),
                    _ => format!("{}{}", bucket_prefix(name), "?".repeat(HASH_LENGTH)),
                };
                [own, format!("{}-bucket-*", name.lower_case())]
            }
            None => ["awsb-*".to_owned(), "*-bucket-*".to_owned()],
        };
        patterns.into_iter().map(|pattern| format!("arn:${{AWS::Partition}}:s3:::{pattern}")).collect()
    }

    /// The repository.
    pub(super) fn repository(&self) -> String {
        let name = self.cluster.as_ref().map_or_else(|| "awsb/*".to_owned(), repository_name);
        format!("arn:${{AWS::Partition}}:ecr:${{AWS::Region}}:${{AWS::AccountId}}:repository/{name}")
    }

    /// The repository in which images are looked for before a build: the cluster's, or else the one
    /// that exists.
    pub(super) fn repository_of_builds(&self) -> String {
        match &self.existing_repository {
            Some(name) => format!(
                "arn:${{AWS::Partition}}:ecr:${{AWS::Region}}:${{AWS::AccountId}}:repository/{}",
                name.as_str()
            ),
            None => self.repository(),
        }
    }

    /// The project that builds images: the cluster's, or else the one that exists.
    pub(super) fn project_of_builds(&self) -> String {
        match &self.existing_project {
            Some(name) => format!(
                "arn:${{AWS::Partition}}:codebuild:${{AWS::Region}}:${{AWS::AccountId}}:project/{name}"
            ),
            None => self.project(),
        }
    }

    /// The build project, which CloudFormation names by its logical ID.
    pub(super) fn project(&self) -> String {
        "arn:${AWS::Partition}:codebuild:${AWS::Region}:${AWS::AccountId}:project/BuildProject-*".to_owned()
    }
}
