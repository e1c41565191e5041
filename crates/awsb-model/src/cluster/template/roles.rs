//! The roles of a template.

use serde_json::{Value, json};

use super::parts::{Context, Resources, attribute, policy, reference, text};
use super::storage::PREFIX;
use crate::cluster::config::{JobRole, Project, Repository};
use crate::cluster::policy::statement::Statement;
use crate::cluster::policy::user;

/// Actions that pull an image.
const PULL: [&str; 3] =
    ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
/// Actions that push one.
const PUSH: [&str; 5] = [
    "ecr:CompleteLayerUpload",
    "ecr:DescribeImages",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
];
/// Actions that write a log.
const WRITE_LOG: [&str; 2] = ["logs:CreateLogStream", "logs:PutLogEvents"];

/// A service that assumes a role.
enum Service {
    Ec2,
    EcsTasks,
    CodeBuild,
}

impl Context<'_> {
    /// Adds all roles and the policy of users.
    pub(super) fn add_roles(&self, resources: &mut Resources) {
        let has_ec2 = self.config.environments.iter().any(|environment| environment.ec2().is_some());
        if has_ec2 && self.config.iam.instance_profile.is_none() {
            self.add_instance_role(resources);
        }
        if self.config.iam.execution_role.is_none() {
            self.add_execution_role(resources);
        }
        self.add_job_role(resources);
        if matches!(self.config.images.project, Project::New(_)) && self.config.iam.build_role.is_none() {
            self.add_build_role(resources);
        }
        if self.config.iam.user_policy {
            resources.add(
                "UserPolicy",
                "AWS::IAM::ManagedPolicy",
                json!({
                    "Description": text("What users of the awsb cluster ${AWS::StackName} need"),
                    "Path": self.role_path(),
                    "PolicyDocument": policy(&user::statements(self.config)),
                }),
            );
        }
    }

    fn add_role(
        &self,
        resources: &mut Resources,
        id: &str,
        service: &Service,
        managed: Vec<Value>,
        statements: &[Statement],
    ) {
        // Service principals are the same in all partitions.
        let principal = match service {
            Service::Ec2 => "ec2.amazonaws.com",
            Service::EcsTasks => "ecs-tasks.amazonaws.com",
            Service::CodeBuild => "codebuild.amazonaws.com",
        };
        // Against the confused deputy. EC2 has no such key.
        let condition = match service {
            Service::Ec2 => Value::Null,
            Service::EcsTasks | Service::CodeBuild => {
                json!({ "StringEquals": { "aws:SourceAccount": reference("AWS::AccountId") } })
            }
        };
        let inline = (!statements.is_empty())
            .then(|| json!([{ "PolicyName": "awsb", "PolicyDocument": policy(statements) }]));
        resources.add(
            id,
            "AWS::IAM::Role",
            json!({
                "AssumeRolePolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [{
                        "Effect": "Allow",
                        "Principal": { "Service": principal },
                        "Action": "sts:AssumeRole",
                        "Condition": condition,
                    }],
                },
                "Path": self.role_path(),
                "PermissionsBoundary": self.config.iam.boundary.as_ref().map(|arn| arn.as_str()),
                "ManagedPolicyArns": (!managed.is_empty()).then_some(managed),
                "Policies": inline,
                "Tags": self.tags(&[]),
            }),
        );
    }

    fn add_instance_role(&self, resources: &mut Resources) {
        // AWS's own policy moves with what the ECS agent needs.
        let of_ecs = "arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role";
        let more = self.config.iam.instance_policies.iter().map(|arn| Value::from(arn.as_str()));
        let managed = std::iter::once(text(of_ecs)).chain(more).collect();
        self.add_role(resources, "InstanceRole", &Service::Ec2, managed, &[]);
        resources.add(
            "InstanceProfile",
            "AWS::IAM::InstanceProfile",
            json!({ "Path": self.role_path(), "Roles": [reference("InstanceRole")] }),
        );
    }

    /// The instance profile as a value.
    pub(super) fn instance_profile(&self) -> Value {
        match &self.config.iam.instance_profile {
            Some(arn) => arn.as_str().into(),
            None => attribute("InstanceProfile", "Arn"),
        }
    }

    fn add_execution_role(&self, resources: &mut Resources) {
        let repositories = "arn:${AWS::Partition}:ecr:${AWS::Region}:${AWS::AccountId}:repository/*";
        let statements = [
            Statement::allow("LogIn", &["ecr:GetAuthorizationToken"], ["*"]),
            Statement::allow("PullImages", &PULL, [repositories]),
            Statement::allow("WriteLog", &WRITE_LOG, ["${JobLogs.Arn}"]),
        ];
        self.add_role(resources, "ExecutionRole", &Service::EcsTasks, Vec::new(), &statements);
    }

    /// The execution role as a value.
    pub(super) fn execution_role(&self) -> Value {
        match &self.config.iam.execution_role {
            Some(arn) => arn.as_str().into(),
            None => attribute("ExecutionRole", "Arn"),
        }
    }

    fn add_job_role(&self, resources: &mut Resources) {
        let JobRole::New(role) = &self.config.job_role else { return };
        let bucket = self.bucket_arn();
        let objects = |prefix: &str| format!("{bucket}/{PREFIX}/{prefix}");
        let (bundles, old_jobs) = (objects("bundles/*"), objects("job-*"));
        let (outputs, nodes) = (objects("outputs/*"), objects("nodes/*"));
        let all = format!("{PREFIX}/*");
        let mut statements = vec![
            // `job-…` are the folders of ParallelCluster's awsbsub.
            Statement::allow("ReadBundles", &["s3:GetObject"], [bundles.as_str(), &old_jobs]),
            Statement::allow(
                "WriteOutputs",
                &["s3:PutObject", "s3:AbortMultipartUpload"],
                [outputs.as_str()],
            ),
            Statement::allow(
                "NodeKeys",
                &["s3:PutObject", "s3:GetObject", "s3:DeleteObject"],
                [nodes.as_str()],
            ),
            Statement::allow("ListBundles", &["s3:ListBucket"], [bucket.as_str()]).when(
                "StringLike",
                "s3:prefix",
                [all.as_str()],
            ),
        ];
        let readable: Vec<String> = role.read.iter().chain(&role.write).map(ToString::to_string).collect();
        let arn = |bucket: &str, keys: &str| format!("arn:${{AWS::Partition}}:s3:::{bucket}{keys}");
        if !readable.is_empty() {
            let buckets: Vec<String> = readable.iter().map(|bucket| arn(bucket, "")).collect();
            let keys: Vec<String> = readable.iter().map(|bucket| arn(bucket, "/*")).collect();
            let list = ["s3:ListBucket", "s3:GetBucketLocation"];
            statements.push(Statement::allow("ListBuckets", &list, buckets.iter().map(String::as_str)));
            statements.push(Statement::allow(
                "ReadBuckets",
                &["s3:GetObject"],
                keys.iter().map(String::as_str),
            ));
        }
        if !role.write.is_empty() {
            let keys: Vec<String> = role.write.iter().map(|bucket| arn(bucket.as_str(), "/*")).collect();
            let actions = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"];
            statements.push(Statement::allow("WriteBuckets", &actions, keys.iter().map(String::as_str)));
        }
        if let Some(key) = self.config.bucket.made().and_then(|bucket| bucket.kms_key.as_ref()) {
            let actions = ["kms:Decrypt", "kms:GenerateDataKey"];
            statements.push(Statement::allow("UseBucketKey", &actions, [key.as_str()]));
        }
        let systems = self.file_systems_with_iam();
        if !systems.is_empty() {
            let actions = ["elasticfilesystem:ClientMount"];
            statements.push(Statement::allow("MountEfs", &actions, systems.keys().map(String::as_str)));
        }
        let writable = systems.iter().filter(|(_, is_writable)| **is_writable).map(|(arn, _)| arn.as_str());
        let writable: Vec<&str> = writable.collect();
        if !writable.is_empty() {
            let actions = ["elasticfilesystem:ClientWrite", "elasticfilesystem:ClientRootAccess"];
            statements.push(Statement::allow("WriteEfs", &actions, writable));
        }
        let managed = role.policies.iter().map(|arn| Value::from(arn.as_str())).collect();
        self.add_role(resources, "JobRole", &Service::EcsTasks, managed, &statements);
    }

    /// The job role as a value.
    pub(super) fn job_role(&self) -> Value {
        match &self.config.job_role {
            JobRole::New(_) => attribute("JobRole", "Arn"),
            JobRole::Existing(arn) => arn.as_str().into(),
        }
    }

    fn add_build_role(&self, resources: &mut Resources) {
        let contexts = format!("{}/{PREFIX}/contexts/*", self.bucket_arn());
        let repository = match &self.config.images.repository {
            Repository::New(_) => "${Repository.Arn}".to_owned(),
            Repository::Existing(name) => {
                format!(
                    "arn:${{AWS::Partition}}:ecr:${{AWS::Region}}:${{AWS::AccountId}}:repository/{}",
                    name.as_str()
                )
            }
            Repository::None => return,
        };
        let push: Vec<&str> = PULL.into_iter().chain(PUSH).collect();
        let mut statements = vec![
            Statement::allow("ReadContexts", &["s3:GetObject"], [contexts.as_str()]),
            Statement::allow("LogIn", &["ecr:GetAuthorizationToken"], ["*"]),
            Statement::allow("PushImages", &push, [repository.as_str()]),
            Statement::allow("WriteLog", &WRITE_LOG, ["${BuildLogs.Arn}"]),
        ];
        if let Some(key) = self.config.bucket.made().and_then(|bucket| bucket.kms_key.as_ref()) {
            statements.push(Statement::allow("UseBucketKey", &["kms:Decrypt"], [key.as_str()]));
        }
        self.add_role(resources, "BuildRole", &Service::CodeBuild, Vec::new(), &statements);
    }

    /// The role of image builds as a value.
    pub(super) fn build_role(&self) -> Value {
        match &self.config.iam.build_role {
            Some(arn) => arn.as_str().into(),
            None => attribute("BuildRole", "Arn"),
        }
    }
}
