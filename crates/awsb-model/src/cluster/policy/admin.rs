//! The least permissions of those who make clusters, and of CloudFormation when it acts for them.

use super::scope::PolicyScope;
use super::statement::{BATCH, LOGS, STACK, Statement};

const CHANGE_SETS: &str = "arn:${AWS::Partition}:cloudformation:${AWS::Region}:${AWS::AccountId}:changeSet/*";

/// The calls of `bcluster` itself.
pub(super) fn own_calls(scope: &PolicyScope) -> Vec<Statement> {
    let queues = format!("{BATCH}:job-queue/${{AWS::StackName}}-*");
    let environments = format!("{BATCH}:compute-environment/*");
    let definitions = format!("{BATCH}:job-definition/${{AWS::StackName}}-*");
    let jobs = format!("{BATCH}:job/*");
    let buckets = scope.buckets();
    let existing = scope.existing_bucket.iter().map(|name| format!("arn:${{AWS::Partition}}:s3:::{name}"));
    let objects: Vec<String> =
        buckets.iter().cloned().chain(existing).map(|bucket| format!("{bucket}/*")).collect();
    let groups = [
        format!("{LOGS}/awsb/${{AWS::StackName}}/*"),
        format!("{LOGS}/aws/events/awsb/${{AWS::StackName}}:*"),
        scope.repository(),
    ];
    let mut statements = vec![
        Statement::allow(
            "Stacks",
            &[
                "cloudformation:*ChangeSet",
                "cloudformation:*Stack",
                "cloudformation:ContinueUpdateRollback",
                "cloudformation:DescribeEvents",
                "cloudformation:DescribeStack*",
                "cloudformation:GetTemplate",
                "cloudformation:ListStackResources",
                "cloudformation:SetStackPolicy",
                "cloudformation:TagResource",
                "cloudformation:UpdateTerminationProtection",
            ],
            [STACK, CHANGE_SETS],
        ),
        Statement::allow(
            "Look",
            &[
                "batch:Describe*",
                "batch:List*",
                "cloudformation:DescribeStacks",
                "cloudformation:ListStacks",
                "ec2:Describe*",
                "ecr:GetAuthorizationToken",
                "elasticfilesystem:Describe*",
                "logs:DescribeLogGroups",
                "servicequotas:GetServiceQuota",
            ],
            ["*"],
        ),
        Statement::allow(
            "StopAndDrain",
            &[
                "batch:CancelJob",
                "batch:DeregisterJobDefinition",
                "batch:TerminateJob",
                "batch:UpdateComputeEnvironment",
                "batch:UpdateJobQueue",
            ],
            [queues.as_str(), &environments, &definitions, &jobs],
        ),
        Statement::allow(
            "EmptyBucket",
            &["s3:DeleteBucket", "s3:ListBucket*"],
            buckets.iter().map(String::as_str),
        ),
        Statement::allow(
            "Objects",
            &[
                "s3:AbortMultipartUpload",
                "s3:DeleteObject*",
                "s3:GetObject",
                "s3:ListMultipartUploadParts",
                "s3:PutObject",
            ],
            objects.iter().map(String::as_str),
        ),
        Statement::allow(
            "LogsAndImages",
            // The events of a log are read to show how a build goes (`create --image`).
            &["ecr:*", "logs:DeleteLogGroup", "logs:GetLogEvents"],
            groups.iter().map(String::as_str),
        ),
        Statement::allow(
            "BuildImage",
            &[
                "codebuild:BatchGetBuilds",
                "codebuild:BatchGetProjects",
                "codebuild:StartBuild",
                "codebuild:StopBuild",
            ],
            [scope.project_of_builds().as_str()],
        ),
        // CloudFormation has deleted its mount targets with the stack.
        Statement::allow(
            "DeleteFileSystem",
            &["elasticfilesystem:DeleteFileSystem"],
            ["arn:${AWS::Partition}:elasticfilesystem:${AWS::Region}:${AWS::AccountId}:file-system/*"],
        )
        .when("StringLike", "aws:ResourceTag/awsb:cluster", ["${AWS::StackName}"]),
    ];
    if scope.existing_repository.is_some() {
        statements.push(Statement::allow(
            "ExistingRepository",
            &["ecr:DescribeImages", "ecr:DescribeRepositories"],
            [scope.repository_of_builds().as_str()],
        ));
    }
    // CloudFormation reads a template with the permissions of the one who names it.
    if let Some(bucket) = &scope.template_bucket {
        statements.push(Statement::allow(
            "Templates",
            &["s3:GetObject", "s3:PutObject"],
            [format!("arn:${{AWS::Partition}}:s3:::{bucket}/awsb/templates/*").as_str()],
        ));
    }
    statements
}

/// The calls that CloudFormation makes for the resources of a cluster's template (the resource
/// types' schemas, `handlers`). Where a statement is for resources of the cluster alone, it has
/// patterns of actions, so that the whole fits into one policy.
pub(super) fn calls_of_cloudformation(scope: &PolicyScope) -> Vec<Statement> {
    let mut statements = vec![without_names(), batch()];
    statements.extend(iam(scope));
    statements.extend(with_names(scope));
    statements
}

/// Resources that have no name of the cluster's, or none before they are made.
fn without_names() -> Statement {
    Statement::allow(
        "NetworkAndStorage",
        &[
            "batch:Describe*",
            "ec2:AssociateRouteTable",
            "ec2:*InternetGateway",
            "ec2:*SecurityGroup*",
            "ec2:CreateLaunchTemplate*",
            "ec2:CreateTags",
            "ec2:CreateVpcEndpoint",
            "ec2:DeleteLaunchTemplate",
            "ec2:DeleteTags",
            "ec2:DeleteVpcEndpoints",
            "ec2:Describe*",
            "ec2:DisassociateRouteTable",
            "ec2:ModifySubnetAttribute",
            "ec2:ModifyVpcAttribute",
            "ec2:ModifyVpcEndpoint",
            "ec2:ReplaceRouteTableAssociation",
            "ec2:*PlacementGroup",
            "ec2:*Route",
            "ec2:*RouteTable",
            "ec2:*Subnet",
            "ec2:*Vpc",
            "elasticfilesystem:*AccessPoint",
            "elasticfilesystem:*FileSystem",
            "elasticfilesystem:*MountTarget*",
            "elasticfilesystem:*Resource",
            "elasticfilesystem:Describe*",
            "elasticfilesystem:PutBackupPolicy",
            "elasticfilesystem:PutLifecycleConfiguration",
            // IAM has no type of resource for these (Service Authorization Reference, CloudWatch
            // Logs), so a log group as their resource would allow nothing.
            "logs:DescribeLogGroups",
            "logs:*IndexPolic*",
            "logs:DeleteResourcePolicy",
            "logs:DescribeResourcePolicies",
            "logs:PutResourcePolicy",
        ],
        ["*"],
    )
}

/// The calls that take the policy of users from those who have it: IAM deletes no policy that
/// somebody has (IAM API, DeletePolicy). It may be attached to anybody, but no other policy can be
/// detached.
pub(super) fn detach(scope: &PolicyScope) -> Vec<Statement> {
    let policies = of_iam("policy", scope);
    let of = |kind: &str| format!("arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:{kind}/*");
    let holders = [of("group"), of("role"), of("user")];
    let actions = ["iam:DetachGroupPolicy", "iam:DetachRolePolicy", "iam:DetachUserPolicy"];
    vec![
        Statement::allow("DetachUserPolicy", &actions, holders.iter().map(String::as_str)).when(
            "ArnLike",
            "iam:PolicyARN",
            [policies.as_str()],
        ),
        Statement::allow("SeeUsers", &["iam:ListEntitiesForPolicy"], [policies.as_str()]),
    ]
}

/// The resources of IAM of this kind that are a cluster's.
fn of_iam(kind: &str, scope: &PolicyScope) -> String {
    format!("arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:{kind}{}${{AWS::StackName}}/*", scope.path)
}

fn batch() -> Statement {
    let of = |resource: &str| format!("{BATCH}:{resource}");
    let resources = [
        of("compute-environment/*"),
        of("job-queue/${AWS::StackName}-*"),
        of("job-definition/${AWS::StackName}-*"),
        of("scheduling-policy/*"),
    ];
    Statement::allow(
        "Batch",
        &[
            "batch:*ComputeEnvironment",
            "batch:*JobDefinition",
            "batch:*JobQueue",
            "batch:*Resource",
            "batch:*SchedulingPolicy",
        ],
        resources.iter().map(String::as_str),
    )
}

fn iam(scope: &PolicyScope) -> Vec<Statement> {
    let (roles, profiles, policies) =
        (of_iam("role", scope), of_iam("instance-profile", scope), of_iam("policy", scope));
    let make = Statement::allow(
        "MakeRoles",
        &["iam:AttachRolePolicy", "iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"],
        [roles.as_str()],
    );
    // Nobody makes a role that may more than the boundary, or takes the boundary away.
    let make = match &scope.boundary {
        Some(boundary) => make.when("StringEquals", "iam:PermissionsBoundary", [boundary.as_str()]),
        None => make,
    };
    let mut actions = vec![
        "iam:CreateInstanceProfile",
        "iam:CreatePolicy*",
        "iam:DeleteInstanceProfile",
        "iam:DeletePolicy*",
        "iam:DeleteRole",
        "iam:DeleteRolePolicy",
        "iam:DetachRolePolicy",
        "iam:GetInstanceProfile",
        "iam:GetPolicy*",
        "iam:GetRole*",
        "iam:List*",
        "iam:*RoleFromInstanceProfile",
        "iam:*RoleToInstanceProfile",
        "iam:TagRole",
        "iam:UntagRole",
        "iam:Update*",
    ];
    if scope.boundary.is_none() {
        actions.push("iam:DeleteRolePermissionsBoundary");
    }
    let passed = std::iter::once(roles.as_str()).chain(scope.existing_roles.iter().map(String::as_str));
    vec![
        make,
        Statement::allow("Roles", &actions, [roles.as_str(), &profiles, &policies]),
        Statement::allow("PassRoles", &["iam:PassRole"], passed).when(
            "StringEquals",
            "iam:PassedToService",
            // China's EC2 has a name of its own (as AWS's policy `AWSBatchServiceRole` has it).
            [
                "codebuild.amazonaws.com",
                "ec2.amazonaws.com",
                "ec2.amazonaws.com.cn",
                "ecs-tasks.amazonaws.com",
            ],
        ),
        Statement::allow(
            "ServiceRoles",
            &["iam:CreateServiceLinkedRole"],
            ["arn:${AWS::Partition}:iam::${AWS::AccountId}:role/aws-service-role/*"],
        )
        .when(
            "StringEquals",
            "iam:AWSServiceName",
            [
                "batch.amazonaws.com",
                "ecs.amazonaws.com",
                "elasticfilesystem.amazonaws.com",
                "spot.amazonaws.com",
            ],
        ),
    ]
}

/// Resources that have the cluster's name in theirs.
fn with_names(scope: &PolicyScope) -> Vec<Statement> {
    let jobs = format!("{LOGS}/awsb/${{AWS::StackName}}/*");
    let events = format!("{LOGS}/aws/events/awsb/${{AWS::StackName}}*");
    let rule = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/${AWS::StackName}-log";
    let (repository, project) = (scope.repository(), scope.project());
    let buckets = scope.buckets();
    let resources = [jobs.as_str(), &events, rule, &repository, &project];
    vec![
        Statement::allow(
            "NamedByTheCluster",
            &["codebuild:*Project*", "ecr:*", "events:*", "logs:*"],
            resources,
        ),
        // The keys of EFS (`efs.kms_key`).
        Statement::allow(
            "Keys",
            &["kms:CreateGrant", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext"],
            ["arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*"],
        )
        .when("StringLike", "kms:ViaService", ["elasticfilesystem.*"]),
        Statement::allow(
            "Buckets",
            &["s3:*Bucket*", "s3:*Configuration", "s3:*Resource"],
            buckets.iter().map(String::as_str),
        ),
    ]
}
