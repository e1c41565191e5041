//! Endpoints other than AWS's own.

/// The endpoints in the environment, each with the name of its variable. There are none where
/// `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` is set (AWS SDKs and Tools Reference Guide,
/// "Service-specific endpoints").
pub fn exported() -> impl Iterator<Item = (&'static str, String)> {
    const NAMES: [&str; 13] = [
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
        "AWS_ENDPOINT_URL_SSM",
        "AWS_ENDPOINT_URL_STS",
    ];
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let is_ignored = variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| {
        // The SDK takes any letters, and refuses other words.
        value.eq_ignore_ascii_case("true")
    });
    NAMES.into_iter().filter(move |_| !is_ignored).filter_map(move |name| Some((name, variable(name)?)))
}
