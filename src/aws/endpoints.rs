//! Endpoints other than AWS's own.

/// The endpoints in the environment, each with the name of its variable.
pub fn exported() -> impl Iterator<Item = (&'static str, String)> {
    const NAMES: [&str; 12] = [
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_BATCH",
        "AWS_ENDPOINT_URL_CLOUDFORMATION",
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
        "AWS_ENDPOINT_URL_CODEBUILD",
        "AWS_ENDPOINT_URL_ECR",
        "AWS_ENDPOINT_URL_EC2",
        "AWS_ENDPOINT_URL_ECS",
        "AWS_ENDPOINT_URL_EFS",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_SERVICE_QUOTAS",
        "AWS_ENDPOINT_URL_STS",
    ];
    NAMES.into_iter().filter_map(|name| Some((name, std::env::var(name).ok().filter(|url| !url.is_empty())?)))
}
