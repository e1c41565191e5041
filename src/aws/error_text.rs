//! What an AWS call's error means for the user.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::Cache;
use super::access_denied::Denied;
use super::call_error::{CallError, says_missing, trouble};
use super::endpoints::exported;
use super::proxy::Proxy;
use crate::config::Cluster;
use crate::ui::Failure;
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

/// The failure that an SDK error is for the user. `doing` says what was being done, and to what:
/// `submitting the job x to the queue y`.
pub fn explain<E>(context: &CallContext<'_>, doing: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let trouble = trouble(error);
    let failure = explain_trouble(context, doing, &trouble)
        .passing(trouble.is_passing())
        .of_credentials(trouble.is_of_credentials());
    if trouble.is_of_something_missing() { not_there(context, failure) } else { failure }
}

/// The failure for something that AWS does not have. When it is the cluster's own and what was kept of the cluster
/// named it, that was stale: it is dropped.
pub fn not_there(context: &CallContext<'_>, failure: Failure) -> Failure {
    let Cluster { bucket, job_queue, job_definition, job_definition_mnp, .. } = context.cluster;
    let mut own = [bucket, job_queue, job_definition].into_iter().chain(job_definition_mnp);
    if own.any(|name| failure.message.contains(name.as_str())) && context.cache.drop_used() {
        return failure
            .hint("the cached facts about the cluster have been dropped: the same command asks AWS again")
            .stale();
    }
    failure
}

fn explain_trouble(context: &CallContext<'_>, doing: &str, trouble: &CallError) -> Failure {
    let cluster = context.cluster;
    let place = match &cluster.endpoint_url {
        Some(url) => format!("{url} (endpoint_url of the cluster `{}`)", cluster.name),
        None if cluster.is_local => "the local cluster".to_owned(),
        None => match exported().map(|(name, url)| format!("{url} ({name})")).collect::<Vec<_>>() {
            urls if urls.is_empty() => format!("AWS in {}", context.region),
            urls => urls.join(" or "),
        },
    };
    match trouble {
        CallError::NoCredentials(reason) => {
            let reason = match profile(context) {
                Some(profile) if reason.contains("not enabled") || reason.contains("not defined") => {
                    return Failure::usage(format!(
                        "{doing}: there is no profile `{profile}` in the AWS configuration"
                    ))
                    .hint("`aws configure list-profiles` lists the profiles");
                }
                _ if reason.contains("IMDS") => {
                    "none were found in variables, profile or SSO, and this machine has no role"
                }
                _ => reason,
            };
            credentials_hints(context, Failure::failed(format!("{doing}: no AWS credentials: {reason}")))
        }
        CallError::CredentialsUnreachable(reason) => {
            Failure::failed(format!("{doing}: fetching AWS credentials: {reason}"))
                .hint("check the network and the region")
        }
        CallError::Unreachable(reason) => {
            let failure = Failure::failed(format!("{doing}: cannot reach {place}: {reason}"));
            match cluster.is_local {
                true => failure.hint("`blocal status` shows its state, `blocal start` starts it"),
                false => network_hints(context, failure),
            }
        }
        CallError::NoAnswer(reason) => {
            network_hints(context, Failure::failed(format!("{doing}: {place} gave no answer: {reason}")))
        }
        CallError::WebPage { status, title } => {
            let title = title.as_ref().map(|title| format!(", titled `{title}`")).unwrap_or_default();
            let failure = Failure::failed(format!(
                "{doing}: {place} answered with a web page (HTTP status {status}{title}), not as AWS would"
            ));
            let failure = failure.hint(
                "this may be a proxy or the login page of this network: open a web page in a \
                              browser",
            );
            network_hints(context, failure)
        }
        CallError::ClockSkew { code, ahead } => {
            let failure = Failure::failed(match ahead {
                Some(s) if s.abs() >= 60 => {
                    let side = if *s > 0 { "ahead of" } else { "behind" };
                    let time = in_words(s.unsigned_abs());
                    format!("{doing}: {code}: this machine's clock is {time} {side} that of {place}")
                }
                _ => {
                    format!("{doing}: {code}: {place} refuses the time at which the request was signed")
                }
            });
            failure.hint(
                "set this machine's clock, for example by NTP (`date -u` shows it): requests are \
                          signed with the time",
            )
        }
        CallError::Service { code, message, request_id, .. } => {
            // Whoever answers may know better what to do than we do.
            let (message, advice) = match message.split_once(ADVICE) {
                Some((message, advice)) => (message, Some(advice)),
                None => (message.as_str(), None),
            };
            let id = request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default();
            if let Some(denied) = Denied::read(message)
                .filter(|_| code.starts_with("AccessDenied") || code == "UnauthorizedOperation")
            {
                return Failure::failed(format!("{doing}: {code}: {denied}{id}")).hint(advice.unwrap_or(
                    "docs/iam.md has the permissions that each tool needs; an administrator can grant them",
                ));
            }
            let colon = if message.is_empty() { "" } else { ": " };
            let failure = Failure::failed(format!("{doing}: {code}{colon}{message}{id}"));
            match code.as_str() {
                _ if advice.is_some() => failure.hint(advice.unwrap_or_default()),
                "ExpiredToken" | "ExpiredTokenException" => credentials_hints(context, failure),
                "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidAccessKeyId"
                | "SignatureDoesNotMatch" | "InvalidSignatureException" | "AuthFailure" => credentials_hints(context, failure),
                "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => {
                    failure
                        .hint("`aws sts get-caller-identity` shows who you are; an administrator can grant \
                               the action")
                        .hint("docs/iam.md has the permissions that each tool needs")
                }
                "NoSuchBucket" => failure.hint(format!("check the bucket's name: the bucket of the cluster \
                                                        `{}` is `{}`", cluster.name, cluster.bucket)),
                "ClientException" if says_missing(message, "queue") => failure
                    .hint(format!("the cluster `{}` names the queue `{}`", cluster.name, cluster.job_queue))
                    .hint("`bqueues --all-queues` lists the queues of this account and region"),
                "ClientException" if says_missing(message, "definition") => failure
                    .hint(format!("the cluster `{}` names the job definition `{}`", cluster.name, cluster.job_definition))
                    .hint("`aws batch describe-job-definitions --status ACTIVE` lists those of this account and region"),
                _ => failure,
            }
        }
    }
}

/// What is between here and AWS.
fn network_hints(context: &CallContext<'_>, failure: Failure) -> Failure {
    let failure = failure.hint("check the network, the region and the endpoint");
    match Proxy::of(context.cluster) {
        Some(proxy) => {
            failure.hint(format!("requests go through the proxy {proxy}; NO_PROXY lists the exceptions"))
        }
        None => failure,
    }
}

/// What mends credentials that are missing or have expired.
fn credentials_hints(context: &CallContext<'_>, failure: Failure) -> Failure {
    if context.cluster.is_local {
        return failure.hint("run `blocal stop`; the next command starts the local cluster again");
    }
    let profile = context
        .cluster
        .profile
        .clone()
        .or_else(|| std::env::var("AWS_PROFILE").ok())
        .filter(|p| !p.is_empty());
    let failure = match profile {
        Some(profile) => failure.hint(format!("`aws sso login --profile {profile}` renews them")),
        None => {
            failure.hint("`aws sso login --profile NAME` renews them; `aws configure sso` sets a profile up")
        }
    };
    let from_environment = context.cluster.profile.is_none()
        && std::env::var_os("AWS_ACCESS_KEY_ID").is_some_and(|k| !k.is_empty());
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
