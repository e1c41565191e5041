//! An AWS call's error in words for the user.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::Cache;
use super::access_denied::AccessDenied;
use super::aws_cli::advice;
use super::aws_profile::AwsFiles;
use super::call_error::{CallError, ResourceKind};
use super::endpoints::exported;
use super::proxy::Proxy;
use crate::config::Cluster;
use crate::ui::{ErrorKind, Failure};
use awsb_model::ADVICE;

/// The circumstances of a call, which a message about its failure names.
#[derive(Debug, Clone, Copy)]
pub struct CallContext<'a> {
    /// The cluster whose services are called.
    pub cluster: &'a Cluster,
    /// The region in which they are called.
    pub region: &'a str,
    /// The cache from which the cluster's description may have come.
    pub cache: &'a Cache,
}

/// A call, as a message about its failure describes it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    doing: &'a str,
    bucket: Option<&'a str>,
    job_queue: Option<&'a str>,
    job_definition: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// A call that does this, such as `submitting the job x to the queue y`.
    pub fn new(doing: &'a str) -> Self {
        Self { doing, bucket: None, job_queue: None, job_definition: None }
    }

    /// What it does.
    pub(super) fn doing(&self) -> &'a str {
        self.doing
    }

    /// The same call, which names this bucket.
    #[must_use]
    pub fn bucket(self, bucket: &'a str) -> Self {
        Self { bucket: Some(bucket), ..self }
    }

    /// The same call, which names this job queue.
    #[must_use]
    pub fn job_queue(self, job_queue: &'a str) -> Self {
        Self { job_queue: Some(job_queue), ..self }
    }

    /// The same call, which names this job definition.
    #[must_use]
    pub fn job_definition(self, job_definition: &'a str) -> Self {
        Self { job_definition: Some(job_definition), ..self }
    }

    /// The resource of this kind that the call names.
    fn resource(&self, kind: ResourceKind) -> Option<Resource<'a>> {
        match kind {
            ResourceKind::Bucket => self.bucket.map(Resource::Bucket),
            ResourceKind::JobQueue => self.job_queue.map(Resource::JobQueue),
            ResourceKind::JobDefinition => self.job_definition.map(Resource::JobDefinition),
        }
    }
}

impl<'a> From<&'a str> for Call<'a> {
    fn from(doing: &'a str) -> Self {
        Self::new(doing)
    }
}

impl<'a> From<&'a String> for Call<'a> {
    fn from(doing: &'a String) -> Self {
        Self::new(doing)
    }
}

/// A resource that a call names: by its name, or by its ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A bucket of S3.
    Bucket(&'a str),
    /// A job queue of Batch.
    JobQueue(&'a str),
    /// A job definition of Batch, perhaps with its revision.
    JobDefinition(&'a str),
}

impl Resource<'_> {
    /// Whether the description of the cluster names this resource.
    fn is_own(self, cluster: &Cluster) -> bool {
        match self {
            Self::Bucket(name) => name == cluster.bucket,
            Self::JobQueue(name) => short(name) == short(&cluster.job_queue),
            Self::JobDefinition(name) => [Some(&cluster.job_definition), cluster.job_definition_mnp.as_ref()]
                .into_iter()
                .flatten()
                .any(|own| is_same_definition(short(name), short(own))),
        }
    }
}

/// A name without the head of an ARN: `queue` of `arn:aws:batch:eu-west-1:1:job-queue/queue`.
fn short(name: &str) -> &str {
    match name.rsplit_once('/') {
        Some((_, short)) if name.starts_with("arn:") => short,
        _ => name,
    }
}

/// Whether two names are of one job definition: `d` is any revision of it, `d:3` one.
fn is_same_definition(one: &str, other: &str) -> bool {
    match (one.split_once(':'), other.split_once(':')) {
        (None, Some((other, _))) => one == other,
        (Some((one, _)), None) => one == other,
        _ => one == other,
    }
}

/// The failure that an SDK error is for the user.
pub fn explain<E>(context: &CallContext<'_>, call: &Call<'_>, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let error = CallError::from_sdk(error);
    let failure = describe(context, call.doing, &error);
    let resource = error.missing().and_then(|kind| call.resource(kind));
    let failure = match resource {
        Some(resource) => not_found(context, failure, resource),
        None => failure,
    };
    failure.with_source(error)
}

/// The failure that one item of an answer is for the user: an operation on many resources answers
/// with a code and a message for each that it could not do.
pub fn explain_item(context: &CallContext<'_>, doing: &str, code: &str, message: &str) -> Failure {
    // Such a code comes without an HTTP status of its own.
    let status = if code == "ServerException" { 500 } else { 400 };
    let error =
        CallError::Service { code: code.to_owned(), message: message.to_owned(), status, request_id: None };
    describe(context, doing, &error).with_source(error)
}

/// The failure that an answer is which the SDK can read, and that is not as the API says.
pub fn explain_unreadable(context: &CallContext<'_>, doing: &str, why: String) -> Failure {
    let error = CallError::Unreadable(Some(why));
    describe(context, doing, &error).with_source(error)
}

/// The failure for a resource that AWS does not have. If the cached description of the cluster
/// names the resource, the cache entry is evicted and the failure becomes [`ErrorKind::Stale`].
pub fn not_found(context: &CallContext<'_>, failure: Failure, resource: Resource<'_>) -> Failure {
    if resource.is_own(context.cluster) && context.cache.drop_used() {
        return failure
            .hint("the cached facts about the cluster have been dropped: the same command asks AWS again")
            .with_kind(ErrorKind::Stale);
    }
    failure
}

/// The endpoint of a call in words.
fn place(context: &CallContext<'_>) -> String {
    let cluster = context.cluster;
    match &cluster.endpoint_url {
        Some(url) => format!("{url} (endpoint_url of the cluster `{}`)", cluster.name),
        None if cluster.is_local => "the local cluster".to_owned(),
        None => {
            let exported: Vec<_> = exported().collect();
            let urls = exported.iter().map(|(name, url)| format!("{url} ({name})"));
            // The other variables are for one service each.
            let is_for_all = exported.iter().any(|(name, _)| *name == "AWS_ENDPOINT_URL");
            let aws = (!is_for_all).then(|| format!("AWS in {}", context.region));
            aws.into_iter().chain(urls).collect::<Vec<_>>().join(" or ")
        }
    }
}

fn describe(context: &CallContext<'_>, doing: &str, error: &CallError) -> Failure {
    let place = place(context);
    let failure = |message: String| Failure::new(error.kind(), format!("{doing}: {message}"));
    match error {
        CallError::NoCredentials(reason) => {
            let reason = match profile(context) {
                Some(profile) if reason.contains("not enabled") || reason.contains("not defined") => {
                    return Failure::usage(format!(
                        "{doing}: there is no profile `{profile}` in the AWS configuration"
                    ))
                    .hint("`aws configure list-profiles` lists the profiles")
                    // A tool that waits asks again: the file may just be being rewritten.
                    .with_kind(ErrorKind::Credentials);
                }
                _ if reason.contains("IMDS") => {
                    "none were found in variables, profile or SSO, and this machine has no role"
                }
                _ => reason,
            };
            missing_credentials_hints(context, failure(format!("no AWS credentials: {reason}")))
        }
        CallError::UnusableCredentials(unusable) => {
            failure(format!("the AWS credentials cannot be sent: {unusable}")).hint(unusable.hint())
        }
        CallError::CredentialsUnreachable(reason) => {
            failure(format!("fetching AWS credentials: {reason}")).hint("check the network and the region")
        }
        CallError::Unreachable(reason) => {
            let failure = failure(format!("cannot reach {place}: {reason}"));
            match context.cluster.is_local {
                true => failure.hint("`blocal status` shows its state, `blocal start` starts it"),
                false => network_hints(context, failure),
            }
        }
        CallError::NoAnswer(reason) => {
            network_hints(context, failure(format!("{place} gave no answer: {reason}")))
        }
        CallError::Unreadable(why) => {
            let why = why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            failure(format!("{place} answered, and its answer cannot be read{why}"))
                .hint("the same command with `--debug` shows the answer")
        }
        CallError::WebPage { status, title } => {
            let title = title.as_ref().map(|title| format!(", titled `{title}`")).unwrap_or_default();
            let failure = failure(format!(
                "{place} answered with a web page (HTTP status {status}{title}), not as AWS would"
            ));
            let failure = failure
                .hint("this may be a proxy or the login page of this network: open a web page in a browser");
            network_hints(context, failure)
        }
        CallError::OtherAnswer { status, text } => {
            let text = match text {
                Some(text) => format!(", text: `{text}`"),
                None => ", without a text".to_owned(),
            };
            let failure = failure(format!("{place} answered not as AWS would (HTTP status {status}{text})"));
            let failure =
                failure.hint("this may be a proxy, the login page of this network, or another server");
            network_hints(context, failure)
        }
        CallError::Redirect { status, location } => {
            let failure = failure(format!(
                "{place} answered with a redirect to {location} (HTTP status {status}), not as AWS would"
            ));
            let failure = failure
                .hint("this may be a proxy or the login page of this network: open a web page in a browser");
            network_hints(context, failure)
        }
        CallError::ClockSkew { code, ahead } => {
            let failure = failure(match ahead {
                Some(s) if s.abs() >= 60 => {
                    let side = if *s > 0 { "ahead of" } else { "behind" };
                    let time = in_words(s.unsigned_abs());
                    format!("{code}: this machine's clock is {time} {side} that of {place}")
                }
                _ => format!("{code}: {place} refuses the time at which the request was signed"),
            });
            failure.hint(
                "set this machine's clock, for example by NTP (`date -u` shows it): requests are signed with the \
                 time",
            )
        }
        CallError::Service { code, message, request_id, .. } => {
            let id = request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default();
            // A service that answers may give better advice than this tool.
            let (message, advice) = match message.split_once(ADVICE) {
                Some((message, advice)) => (message, Some(advice)),
                None => (message.as_str(), None),
            };
            if let Some(denied) =
                AccessDenied::read(message).filter(|_| error.kind() == ErrorKind::AccessDenied)
            {
                return failure(format!("{code}: {denied}{id}")).hint(advice.unwrap_or(
                    "docs/iam.md has the permissions that each tool needs; an administrator can grant them",
                ));
            }
            let colon = if message.is_empty() { "" } else { ": " };
            let failure = failure(format!("{code}{colon}{message}{id}"));
            match advice {
                Some(advice) => failure.hint(advice),
                None => service_hints(context, error, code, failure),
            }
        }
    }
}

/// Hints for an error that a service has answered with.
fn service_hints(context: &CallContext<'_>, error: &CallError, code: &str, failure: Failure) -> Failure {
    let cluster = context.cluster;
    let is_of_keys = matches!(code, "SignatureDoesNotMatch" | "InvalidSignatureException" | "AuthFailure");
    if error.kind() == ErrorKind::Credentials || is_of_keys {
        return credentials_hints(context, failure);
    }
    if error.kind() == ErrorKind::AccessDenied {
        return failure
            .hint(advice(
                cluster,
                "`aws sts get-caller-identity` shows who you are; an administrator can grant the action",
            ))
            .hint("docs/iam.md has the permissions that each tool needs");
    }
    match error.missing() {
        Some(ResourceKind::Bucket) => failure.hint(format!(
            "check the bucket's name: the bucket of the cluster `{}` is `{}`",
            cluster.name, cluster.bucket
        )),
        Some(ResourceKind::JobQueue) if code == "ClientException" => failure
            .hint(format!("the cluster `{}` names the queue `{}`", cluster.name, cluster.job_queue))
            .hint("`bqueues --all-queues` lists the queues of this account and region"),
        Some(ResourceKind::JobDefinition) if code == "ClientException" => failure
            .hint(format!(
                "the cluster `{}` names the job definition `{}`",
                cluster.name, cluster.job_definition
            ))
            .hint(advice(
                cluster,
                "`aws batch describe-job-definitions --status ACTIVE` lists those of this account and region",
            )),
        _ => failure,
    }
}

/// Hints about the network between this machine and AWS.
fn network_hints(context: &CallContext<'_>, failure: Failure) -> Failure {
    let failure = failure.hint("check the network, the region and the endpoint");
    match Proxy::of(context.cluster) {
        Some(proxy) => {
            failure.hint(format!("requests go through the proxy {proxy}; NO_PROXY lists the exceptions"))
        }
        None => failure,
    }
}

/// Hints that help when there are no credentials. A machine without the `aws` command has other
/// ways to them.
fn missing_credentials_hints(context: &CallContext<'_>, failure: Failure) -> Failure {
    let profile = profile(context);
    let section = profile.as_deref().unwrap_or("default");
    if context.cluster.is_local || AwsFiles::read().credentials_kind(section).is_some() {
        return credentials_hints(context, failure);
    }
    let keys = "aws_access_key_id and aws_secret_access_key";
    let file = AwsFiles::credentials_path();
    let file = match context.cluster.profile {
        // A profile that is given by name has precedence over keys in the environment.
        Some(_) => format!("keys belong below [{section}] in {file}, as {keys}"),
        None => format!(
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write {keys} below [{section}] into {file}"
        ),
    };
    let named = profile.as_deref().unwrap_or("NAME");
    failure
        .hint(file)
        .hint(format!(
            "with the `aws` command, `aws sso login --profile {named}` renews a session, and `aws configure sso` \
             sets a profile up"
        ))
        .hint("without an AWS account, `--cluster local` runs jobs on this machine")
}

/// Hints that help when credentials have expired or are not known.
fn credentials_hints(context: &CallContext<'_>, failure: Failure) -> Failure {
    if context.cluster.is_local {
        return failure.hint("run `blocal stop`; the next command starts the local cluster again");
    }
    let from_environment = context.cluster.profile.is_none()
        && std::env::var_os("AWS_ACCESS_KEY_ID").is_some_and(|k| !k.is_empty());
    let profile = profile(context);
    let kind = match from_environment {
        true => None,
        false => AwsFiles::read().credentials_kind(profile.as_deref().unwrap_or("default")),
    };
    let failure = match (kind, profile) {
        (Some(kind), _) => failure.hint(kind.hint()),
        (None, Some(profile)) => failure.hint(format!("`aws sso login --profile {profile}` renews them")),
        (None, None) => {
            failure.hint("`aws sso login --profile NAME` renews them; `aws configure sso` sets a profile up")
        }
    };
    if from_environment {
        failure.hint("the keys in use are those of the AWS_ACCESS_KEY_ID variable")
    } else {
        failure
    }
}

/// The profile whose credentials are used.
fn profile(context: &CallContext<'_>) -> Option<String> {
    let named = context.cluster.profile.clone().or_else(|| std::env::var("AWS_PROFILE").ok());
    named.filter(|name| !name.is_empty())
}

/// `14 minutes`, `3 hours`, `2 days`.
fn in_words(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(code: &str, message: &str) -> CallError {
        CallError::Service { code: code.into(), message: message.into(), status: 400, request_id: None }
    }

    /// A cache from which an entry has been read.
    fn used_cache(folder: &tempfile::TempDir) -> Cache {
        let cache = Cache::in_folder(folder.path().to_owned());
        cache.write("stack", "s", &1);
        assert_eq!(cache.read("stack", "s"), Some(1));
        cache
    }

    #[test]
    fn only_the_clusters_own_resource_evicts_its_cached_description() {
        // The name `job` is in nearly every message.
        let cluster = Cluster { job_queue: "job".into(), ..Cluster::at("http://127.0.0.1:1") };
        let error = service("ClientException", "JobQueue other does not exist (job queue).");
        assert_eq!((error.kind(), error.missing()), (ErrorKind::NotFound, Some(ResourceKind::JobQueue)));
        for (queue, kind) in [
            ("other", ErrorKind::NotFound),
            ("job", ErrorKind::Stale),
            ("arn:aws:batch:eu-west-1:1:job-queue/job", ErrorKind::Stale),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let cache = used_cache(&folder);
            let context = CallContext { cluster: &cluster, region: "eu-west-1", cache: &cache };
            let call = Call::new("listing the jobs of the queue").job_queue(queue);
            let failure = describe(&context, call.doing, &error);
            let resource = error.missing().and_then(|kind| call.resource(kind)).unwrap();
            assert_eq!(not_found(&context, failure, resource).kind(), kind, "{queue}");
            assert_eq!(cache.read::<i32>("stack", "s").is_none(), kind == ErrorKind::Stale, "{queue}");
        }
    }

    #[test]
    fn a_stack_whose_bucket_is_not_read_yet_owns_no_bucket_that_is_missing() {
        let cluster = Cluster { bucket: String::new(), ..Cluster::at("http://127.0.0.1:1") };
        assert!(!Resource::Bucket("b").is_own(&cluster));
    }

    #[test]
    fn a_revision_is_the_clusters_own_unless_the_cluster_names_another_one() {
        let at = "http://127.0.0.1:1";
        let own = |of_cluster: &str, named: &str| {
            let cluster = Cluster { job_definition: of_cluster.into(), ..Cluster::at(at) };
            Resource::JobDefinition(named).is_own(&cluster)
        };
        let arn = "arn:aws:batch:r:1:job-definition/d:3";
        for (of_cluster, named) in [("d", "d"), ("d", "d:3"), ("d:3", "d"), ("d", arn), (arn, "d:3")] {
            assert!(own(of_cluster, named), "{of_cluster} {named}");
        }
        for (of_cluster, named) in [("d", "d3"), ("d", "e:3"), ("d:3", "d:2"), (arn, "d:2")] {
            assert!(!own(of_cluster, named), "{of_cluster} {named}");
        }
    }

    #[test]
    fn a_missing_resource_is_told_by_the_word_for_its_kind_and_not_by_its_name() {
        let (queue, definition) = (Some(ResourceKind::JobQueue), Some(ResourceKind::JobDefinition));
        for (message, kind) in [
            ("JobQueue q not found", queue),
            ("Job queue definition-tests does not exist", queue),
            ("jobQueue 'definition' is invalid", queue),
            ("arn:aws:batch:eu-west-1:1:job-queue/definition does not exist", queue),
            ("JobDefinition queue-tool:3 does not exist", definition),
            ("Job definition queue not found or not ACTIVE", definition),
            ("queue-tool:3: unknown job definition", definition),
            ("the jobDefinition=queue is invalid", definition),
            ("arn:aws:batch:eu-west-1:1:job-definition/queue:1 is not active", definition),
            ("the share queue-a is invalid", None),
            ("JobQueue q is disabled", None),
        ] {
            assert_eq!(service("ClientException", message).missing(), kind, "{message}");
        }
    }

    #[test]
    fn each_error_has_its_kind() {
        for (code, kind) in [
            ("AccessDeniedException", ErrorKind::AccessDenied),
            ("UnauthorizedOperation", ErrorKind::AccessDenied),
            ("ExpiredTokenException", ErrorKind::Credentials),
            ("UnrecognizedClientException", ErrorKind::Credentials),
            ("ThrottlingException", ErrorKind::Throttled),
            ("NoSuchBucket", ErrorKind::NotFound),
            ("ClientException", ErrorKind::Other),
        ] {
            assert_eq!(service(code, "").kind(), kind, "{code}");
        }
        // Some services have codes of their own for it, and the usual words.
        let denied = "User: me is not authorized to perform: batch:ListJobs on resource: *";
        assert_eq!(service("ClientException", denied).kind(), ErrorKind::AccessDenied);
        assert_eq!(service("AccessDeniedForDependencyException", "").kind(), ErrorKind::AccessDenied);
        let busy = CallError::Service {
            code: "ServerException".into(),
            message: String::new(),
            status: 503,
            request_id: None,
        };
        assert_eq!(busy.kind(), ErrorKind::Unavailable);
        assert_eq!(CallError::NoCredentials(String::new()).kind(), ErrorKind::Credentials);
        let clock = |ahead| CallError::ClockSkew { code: "RequestExpired".into(), ahead };
        assert_eq!(clock(Some(7200)).kind(), ErrorKind::WrongClock);
        assert!(clock(Some(-20)).kind().is_retryable() && !clock(None).kind().is_retryable());
    }
}
