//! The least permissions of a cluster's users: the tools from `bsub` to `bimage`.

use super::statement::{BATCH, LOGS, STACK, Statement};
use crate::RunningLimit;
use crate::cluster::config::{Bucket, ClusterConfig, JobRole, Project, QueueSource, Repository};
use crate::cluster::template::PREFIX;

/// The statements, in a template of CloudFormation.
pub(in crate::cluster) fn statements(config: &ClusterConfig) -> Vec<Statement> {
    let bucket = match &config.bucket {
        Bucket::New(_) => "${Bucket.Arn}".to_owned(),
        Bucket::Existing(name) => format!("arn:${{AWS::Partition}}:s3:::{name}"),
    };
    let mut statements = submit(config);
    statements.extend(look());
    statements.extend(objects(config, &bucket));
    statements.extend(images(config));
    statements.extend(roles(config));
    statements
}

fn submit(config: &ClusterConfig) -> Vec<Statement> {
    let job = format!("{BATCH}:job/*");
    let queue = format!("{BATCH}:job-queue/${{AWS::StackName}}-*");
    // Definitions that `bsub --image` derives are beside those that they come from.
    let definitions = format!("{BATCH}:job-definition/${{AWS::StackName}}-*");
    let limits = format!("{BATCH}:consumable-resource/{}*", RunningLimit::PREFIX);
    let existing: Vec<&str> = config
        .queues
        .iter()
        .filter_map(|queue| match &queue.source {
            QueueSource::Existing(arn) => Some(arn.as_str()),
            QueueSource::New(_) => None,
        })
        .collect();
    let queues = || std::iter::once(queue.as_str()).chain(existing.iter().copied());
    let submitted = std::iter::once(job.as_str()).chain(queues()).chain([definitions.as_str()]);
    vec![
        Statement::allow("Submit", &["batch:SubmitJob", "batch:TagResource"], submitted),
        Statement::allow("EndJobs", &["batch:TerminateJob", "batch:CancelJob"], [job.as_str()]),
        Statement::allow("DeriveDefinitions", &["batch:RegisterJobDefinition"], [definitions.as_str()]),
        Statement::allow("SeeQueues", &["batch:GetJobQueueSnapshot"], queues()),
        Statement::allow(
            "LimitArrays",
            &["batch:CreateConsumableResource", "batch:DeleteConsumableResource", "batch:TagResource"],
            [limits.as_str()],
        ),
    ]
}

fn look() -> Vec<Statement> {
    let jobs = format!("{LOGS}/awsb/${{AWS::StackName}}/*");
    let events = format!("{LOGS}/aws/events/awsb/${{AWS::StackName}}:*");
    vec![
        Statement::allow(
            "Look",
            &[
                "batch:DescribeComputeEnvironments",
                "batch:DescribeConsumableResource",
                "batch:DescribeJobDefinitions",
                "batch:DescribeJobQueues",
                "batch:DescribeJobs",
                "batch:ListConsumableResources",
                "batch:ListJobs",
                "batch:ListJobsByConsumableResource",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeInstances",
                "ecs:DescribeContainerInstances",
                "ecs:ListContainerInstances",
            ],
            ["*"],
        ),
        Statement::allow("ReadStack", &["cloudformation:DescribeStacks"], [STACK]),
        Statement::allow(
            "ReadLogs",
            &["logs:FilterLogEvents", "logs:GetLogEvents"],
            [jobs.as_str(), &events],
        ),
    ]
}

fn objects(config: &ClusterConfig, bucket: &str) -> Vec<Statement> {
    let of = |prefix: &str| format!("{bucket}/{PREFIX}/{prefix}");
    let (bundles, outputs) = (of("bundles/*"), of("outputs/*"));
    let (once, contexts) = (of("once/*"), of("contexts/*"));
    let (nodes, old_jobs) = (of("nodes/*"), of("job-*"));
    let put = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"];
    let mut statements = vec![
        Statement::allow("Stage", &put, [bundles.as_str(), &once, &contexts, &old_jobs]),
        Statement::allow("ReadOutputs", &["s3:GetObject"], [outputs.as_str()]),
        Statement::allow("RemoveOldKeys", &["s3:DeleteObject"], [nodes.as_str()]),
        Statement::allow("ListBucket", &["s3:ListBucket", "s3:ListBucketMultipartUploads"], [bucket]),
    ];
    if let Some(key) = config.bucket.made().and_then(|bucket| bucket.kms_key.as_ref()) {
        let actions = ["kms:Decrypt", "kms:GenerateDataKey"];
        statements.push(Statement::allow("UseBucketKey", &actions, [key.as_str()]));
    }
    statements
}

fn images(config: &ClusterConfig) -> Vec<Statement> {
    let mut statements = Vec::new();
    let repository = match &config.images.repository {
        Repository::None => None,
        Repository::New(_) => Some("${Repository.Arn}".to_owned()),
        Repository::Existing(name) => Some(format!(
            "arn:${{AWS::Partition}}:ecr:${{AWS::Region}}:${{AWS::AccountId}}:repository/{}",
            name.as_str()
        )),
    };
    if let Some(arn) = repository {
        let actions = [
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchDeleteImage",
            "ecr:BatchGetImage",
            "ecr:CompleteLayerUpload",
            "ecr:DescribeImages",
            "ecr:DescribeRepositories",
            "ecr:GetDownloadUrlForLayer",
            "ecr:InitiateLayerUpload",
            "ecr:PutImage",
            "ecr:UploadLayerPart",
        ];
        statements.push(Statement::allow("Images", &actions, [arn.as_str()]));
        statements.push(Statement::allow("LogInToEcr", &["ecr:GetAuthorizationToken"], ["*"]));
    }
    let project = match &config.images.project {
        Project::None => None,
        Project::New(_) => Some("${BuildProject.Arn}".to_owned()),
        Project::Existing(name) => Some(format!(
            "arn:${{AWS::Partition}}:codebuild:${{AWS::Region}}:${{AWS::AccountId}}:project/{name}"
        )),
    };
    if let Some(arn) = project {
        let actions = [
            "codebuild:BatchGetBuilds",
            "codebuild:BatchGetProjects",
            "codebuild:ListBuildsForProject",
            "codebuild:StartBuild",
            "codebuild:StopBuild",
        ];
        statements.push(Statement::allow("Build", &actions, [arn.as_str()]));
    }
    statements
}

/// The roles that a derived job definition passes on.
fn roles(config: &ClusterConfig) -> Vec<Statement> {
    let job = match &config.job_role {
        JobRole::New(_) => "${JobRole.Arn}",
        JobRole::Existing(arn) => arn.as_str(),
    };
    let execution = config.iam.execution_role.as_ref().map_or("${ExecutionRole.Arn}", |arn| arn.as_str());
    let pass = Statement::allow("PassRoles", &["iam:PassRole"], [job, execution]);
    vec![pass.when("StringEquals", "iam:PassedToService", ["ecs-tasks.amazonaws.com"])]
}
