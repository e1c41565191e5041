//! What an AWS call's error means for the user.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::Cluster;
use super::proxy::Proxy;
use super::session::{Session, exported_endpoints};
use crate::ui::Failure;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The service answered with an error.
    Service {
        /// AWS's name of the error, such as `ClientException`.
        code: String,
        /// AWS's words.
        message: String,
        /// The HTTP status.
        status: u16,
        /// AWS's ID of the request.
        request_id: Option<String>,
    },
    /// No connection came about, so nothing was done.
    Unreachable(String),
    /// No answer came: whether something was done is open.
    NoAnswer(String),
    /// There are no credentials to sign with.
    NoCredentials(String),
    /// Credentials could not be fetched, because the network did not let them through.
    CredentialsUnreachable(String),
}

/// Sorts an SDK error.
pub fn trouble<E>(error: &SdkError<E, HttpResponse>) -> Trouble
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(credentials) = find_credentials_error(error) {
        // Nothing was signed, so nothing was sent.
        return match find_transport_error(credentials) {
            Some(reason) => Trouble::CredentialsUnreachable(reason),
            None => Trouble::NoCredentials(innermost(credentials)),
        };
    }
    match error {
        SdkError::ServiceError(e) => {
            let status = e.raw().status().as_u16();
            if status < 300 {
                return Trouble::NoAnswer("an answer came that cannot be read".to_owned());
            }
            let id = ["x-amzn-requestid", "x-amz-request-id"].iter().find_map(|h| e.raw().headers().get(h));
            Trouble::Service {
                code: match e.err().code() {
                    Some(code) => code.to_owned(),
                    None => format!("HTTP status {status}, and no AWS error with it"),
                },
                message: e.err().message().unwrap_or_default().to_owned(),
                status,
                request_id: id.filter(|id| !id.is_empty()).map(str::to_owned),
            }
        }
        SdkError::DispatchFailure(e)
            if e.is_timeout() && e.as_connector_error().is_some_and(is_connecting) =>
        {
            Trouble::Unreachable("no connection within 4 seconds".to_owned())
        }
        SdkError::DispatchFailure(e) if e.as_connector_error().is_some_and(is_connecting) => {
            Trouble::Unreachable(innermost(error))
        }
        SdkError::TimeoutError(_) => Trouble::NoAnswer("the time for it has run out".to_owned()),
        SdkError::ConstructionFailure(_) => Trouble::Unreachable(innermost(error)),
        _ => Trouble::NoAnswer(innermost(error)),
    }
}

/// Whether the error arose before the request could have left: hyper's words for a connection that did not
/// come about. (Its error types are not part of the SDK's interface.)
fn is_connecting(error: &ConnectorError) -> bool {
    const WORDS: [&str; 4] = ["(Connect)", "tcp connect error", "dns error", "HTTP connect timeout"];
    causes(error).map(ToString::to_string).any(|text| WORDS.iter().any(|w| text.contains(w)))
}

impl Trouble {
    /// Whether the service does not know something that it was named.
    fn is_of_something_missing(&self) -> bool {
        match self {
            Trouble::Service { code, message, .. } => {
                code == "NoSuchBucket"
                    || says_missing(message, "queue")
                    || says_missing(message, "definition")
            }
            _ => false,
        }
    }

    /// Whether trying again may help.
    fn is_passing(&self) -> bool {
        match self {
            Trouble::Unreachable(_) | Trouble::NoAnswer(_) | Trouble::CredentialsUnreachable(_) => true,
            Trouble::NoCredentials(_) => false,
            Trouble::Service { status, .. } => *status >= 500 || self.is_throttling(),
        }
    }

    /// Whether the service has turned the request away because there are too many of them.
    pub fn is_throttling(&self) -> bool {
        matches!(self, Trouble::Service { code, status, .. }
            if *status == 429 || code.contains("Throttl") || code.contains("TooManyRequests")
                // EC2's word for it.
                || code == "RequestLimitExceeded")
    }
}

/// The failure that an SDK error is for the user. `doing` says what was being done, and to what:
/// `submitting the job x to the queue y`.
pub fn explain<E>(session: &Session, doing: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let trouble = trouble(error);
    let failure = explain_trouble(session, doing, &trouble).passing(trouble.is_passing());
    if trouble.is_of_something_missing() { not_there(session, failure) } else { failure }
}

/// The failure for something that AWS does not have. When it is the cluster's own and what was kept of the cluster
/// named it, that was stale: it is dropped.
pub fn not_there(session: &Session, failure: Failure) -> Failure {
    let Cluster { bucket, job_queue, job_definition, job_definition_mnp, .. } = &session.cluster;
    let mut own = [bucket, job_queue, job_definition].into_iter().chain(job_definition_mnp);
    if own.any(|name| failure.message.contains(name.as_str())) && session.cache.drop_used() {
        return failure
            .hint("what had been kept of the cluster is dropped: the same command asks AWS for it anew")
            .stale();
    }
    failure
}

fn explain_trouble(session: &Session, doing: &str, trouble: &Trouble) -> Failure {
    let cluster = &session.cluster;
    let place = match &cluster.endpoint_url {
        Some(url) => format!("{url} (endpoint_url of the cluster `{}`)", cluster.name),
        None if cluster.is_local => "the local cluster".to_owned(),
        None => match exported_endpoints().map(|(name, url)| format!("{url} ({name})")).collect::<Vec<_>>() {
            urls if urls.is_empty() => format!("AWS in {}", session.region),
            urls => urls.join(" or "),
        },
    };
    match trouble {
        Trouble::NoCredentials(reason) => {
            let reason = match profile(session) {
                Some(profile) if reason.contains("not enabled") || reason.contains("not defined") => {
                    return Failure::usage(format!(
                        "{doing}: there is no profile `{profile}` in the AWS configuration"
                    ))
                    .hint("`aws configure list-profiles` lists those that are there");
                }
                _ if reason.contains("IMDS") => {
                    "none were found in variables, profile or SSO, and this machine has no role"
                }
                _ => reason,
            };
            credentials_hints(session, Failure::failed(format!("{doing}: no AWS credentials: {reason}")))
        }
        Trouble::CredentialsUnreachable(reason) => {
            Failure::failed(format!("{doing}: fetching AWS credentials: {reason}"))
                .hint("is the network up, and is the region right?")
        }
        Trouble::Unreachable(reason) => {
            let failure = Failure::failed(format!("{doing}: cannot reach {place}: {reason}"));
            match cluster.is_local {
                true => failure.hint("`blocal status` tells how it is, `blocal start` starts it"),
                false => network_hints(session, failure),
            }
        }
        Trouble::NoAnswer(reason) => {
            network_hints(session, Failure::failed(format!("{doing}: {place} gave no answer: {reason}")))
        }
        Trouble::Service { code, message, request_id, .. } => {
            let id = request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default();
            let colon = if message.is_empty() { "" } else { ": " };
            let failure = Failure::failed(format!("{doing}: {code}{colon}{message}{id}"));
            match code.as_str() {
                "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => credentials_hints(session, failure),
                "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidAccessKeyId"
                | "SignatureDoesNotMatch" | "InvalidSignatureException" | "AuthFailure" => credentials_hints(session, failure),
                "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => {
                    failure.hint("`aws sts get-caller-identity` tells who you are; an administrator can grant the action")
                }
                "NoSuchBucket" => failure.hint(format!("the bucket of the cluster `{}` is `{}`: is its name right?", cluster.name, cluster.bucket)),
                "ClientException" if says_missing(message, "queue") => failure
                    .hint(format!("the cluster `{}` names the queue `{}`", cluster.name, cluster.job_queue))
                    .hint("`aws batch describe-job-queues` lists the queues of this account and region"),
                "ClientException" if says_missing(message, "definition") => failure
                    .hint(format!("the cluster `{}` names the job definition `{}`", cluster.name, cluster.job_definition))
                    .hint("`aws batch describe-job-definitions --status ACTIVE` lists those of this account and region"),
                _ => failure,
            }
        }
    }
}

/// What is between here and AWS.
fn network_hints(session: &Session, failure: Failure) -> Failure {
    let failure = failure.hint("is the network up, and are the region and the endpoint right?");
    match Proxy::of(&session.cluster) {
        Some(proxy) => {
            failure.hint(format!("the proxy {proxy} is in between; NO_PROXY lists the exceptions"))
        }
        None => failure,
    }
}

fn says_missing(message: &str, what: &str) -> bool {
    let message = message.to_lowercase();
    message.contains(what)
        && ["not exist", "not found", "not active", "could not", "invalid", "unknown"]
            .iter()
            .any(|words| message.contains(words))
}

/// What mends credentials that are missing or have expired.
fn credentials_hints(session: &Session, failure: Failure) -> Failure {
    if session.cluster.is_local {
        return failure.hint("`blocal stop`, and the next command starts the local cluster anew");
    }
    let profile = session
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
    let from_environment = session.cluster.profile.is_none()
        && std::env::var_os("AWS_ACCESS_KEY_ID").is_some_and(|k| !k.is_empty());
    if from_environment {
        failure.hint("the keys in use are those of the AWS_ACCESS_KEY_ID variable")
    } else {
        failure
    }
}

/// The profile whose credentials are used.
fn profile(session: &Session) -> Option<String> {
    let named = session.cluster.profile.clone().or_else(|| std::env::var("AWS_PROFILE").ok());
    named.filter(|name| !name.is_empty())
}

fn find_credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    causes(error).find(|e| e.is::<CredentialsError>())
}

/// What the network did to a request for credentials; a machine without a metadata service is no such case.
fn find_transport_error(credentials: &(dyn Error + 'static)) -> Option<String> {
    let no_network = |e: &&(dyn Error + 'static)| {
        e.is::<ConnectorError>()
            || e.to_string().starts_with("dispatch failure")
            || e.to_string() == "request has timed out"
    };
    if causes(credentials).any(|e| e.to_string().contains("IMDS")) {
        return None;
    }
    causes(credentials).find(no_network).map(innermost)
}

/// An error and what caused it, the outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let cause = |e: &&'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> { (*e).source() };
    std::iter::successors(Some(error), cause)
}

/// The words of the error at the bottom, which says what really happened.
fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}
