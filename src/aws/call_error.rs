//! Why an AWS call has failed, and the kind of failure that this is.

use super::access_denied::AccessDenied;
use super::credentials::UnusableCredentials;
use crate::ui::ErrorKind;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The service answered with an error.
    #[error("{code}: {message}")]
    Service {
        /// The error code, such as `ClientException`.
        code: String,
        /// The message of the service.
        message: String,
        /// The HTTP status.
        status: u16,
        /// The request ID.
        request_id: Option<String>,
    },
    /// There was no connection, so nothing was done.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// No answer came. It is open whether something was done.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// An answer came that is not as the API says. It is open whether something was done.
    #[error("the answer cannot be read{}", of_reason(.0))]
    Unreadable(Option<String>),
    /// A web page came in place of an answer, as proxies and the login pages of networks send it.
    #[error("a web page came in place of an answer (HTTP status {status})")]
    WebPage {
        /// The HTTP status.
        status: u16,
        /// The page's title.
        title: Option<String>,
    },
    /// Something else came in place of an answer, as another server sends it.
    #[error("no answer of the service came (HTTP status {status})")]
    OtherAnswer {
        /// The HTTP status.
        status: u16,
        /// Its beginning, if there is any text.
        text: Option<String>,
    },
    /// The answer sends the request to another address, as proxies and the login pages of networks
    /// do.
    #[error("a redirect came in place of an answer (HTTP status {status})")]
    Redirect {
        /// The HTTP status.
        status: u16,
        /// The other address.
        location: String,
    },
    /// The service refuses the time of this machine's clock, with which requests are signed.
    #[error("{code}: the clocks differ")]
    ClockSkew {
        /// The error code.
        code: String,
        /// The seconds by which this machine's clock is ahead of the service's.
        ahead: Option<i64>,
    },
    /// There are no credentials.
    #[error("no credentials: {0}")]
    NoCredentials(String),
    /// The credentials have a character that no request can have.
    #[error("unusable credentials: {0}")]
    UnusableCredentials(UnusableCredentials),
    /// The network kept the credentials from being fetched.
    #[error("no connection for credentials: {0}")]
    CredentialsUnreachable(String),
}

/// An answer is not as the API says. The text is the reason.
#[derive(Debug, thiserror::Error)]
#[error("the answer cannot be read ({0})")]
pub struct UnreadableAnswer(pub String);

/// The reason in parentheses, if there is one.
fn of_reason(why: &Option<String>) -> String {
    why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default()
}

/// A kind of resources that calls name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    /// A bucket of S3.
    Bucket,
    /// A job queue of Batch.
    JobQueue,
    /// A job definition of Batch.
    JobDefinition,
}

/// The error codes of services for credentials that have expired, and for keys that do not exist
/// (any more).
const OF_CREDENTIALS: [&str; 5] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
];

/// Whether an answer says that a permission is missing. `UnauthorizedOperation` is EC2's code; some
/// services have a code of their own, and only the usual words.
fn is_denied(code: &str, message: &str) -> bool {
    code.starts_with("AccessDenied")
        || code == "UnauthorizedOperation"
        || AccessDenied::read(message).is_some()
}

/// The words by which Batch says that something does not exist. Its errors have one code,
/// `ClientException`, for everything.
const MISSING: [&str; 6] = ["not exist", "not found", "not active", "could not", "invalid", "unknown"];

/// The seconds by which a clock may be wrong before requests are refused (IAM User Guide, Signature
/// Version 4: five minutes; S3 tolerates fifteen).
const TOLERATED_SKEW: i64 = 300;

impl CallError {
    /// Whether the service does not have the operation.
    pub fn is_unknown_operation(&self) -> bool {
        matches!(
            self,
            CallError::Service { status: 404 | 501, .. } | CallError::WebPage { status: 404 | 405 | 501, .. }
        )
    }

    /// The kind of the failure that this error leads to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            CallError::Unreachable(_) | CallError::CredentialsUnreachable(_) => ErrorKind::Unreachable,
            // A login page of a network goes away once its user has logged in.
            CallError::NoAnswer(_)
            | CallError::Unreadable(_)
            | CallError::WebPage { .. }
            | CallError::OtherAnswer { .. }
            | CallError::Redirect { .. } => ErrorKind::NoAnswer,
            CallError::NoCredentials(_) | CallError::UnusableCredentials(_) => ErrorKind::Credentials,
            // With a clock that is right, the request was late, as on a laptop that slept
            // meanwhile.
            CallError::ClockSkew { ahead: Some(ahead), .. } if ahead.abs() < TOLERATED_SKEW => {
                ErrorKind::Unavailable
            }
            CallError::ClockSkew { .. } => ErrorKind::WrongClock,
            CallError::Service { code, message, status, .. } => match code.as_str() {
                _ if self.is_throttling() => ErrorKind::Throttled,
                code if OF_CREDENTIALS.contains(&code) => ErrorKind::Credentials,
                _ if *status >= 500 => ErrorKind::Unavailable,
                code if is_denied(code, message) => ErrorKind::AccessDenied,
                _ if self.missing().is_some() => ErrorKind::NotFound,
                _ => ErrorKind::Other,
            },
        }
    }

    /// The kind of the resource that the service does not have, as far as its answer tells.
    pub fn missing(&self) -> Option<ResourceKind> {
        let CallError::Service { code, message, .. } = self else { return None };
        if code == "NoSuchBucket" {
            return Some(ResourceKind::Bucket);
        }
        let message = message.to_lowercase();
        if !MISSING.iter().any(|words| message.contains(words)) {
            return None;
        }
        let separators = |c: char| c.is_whitespace() || "'\"`=,()[]".contains(c);
        message.split(separators).find_map(resource_kind)
    }

    /// Whether the service has throttled the call.
    pub fn is_throttling(&self) -> bool {
        matches!(self, CallError::Service { code, status, .. }
            if *status == 429 || code.contains("Throttl") || code.contains("TooManyRequests")
                // EC2 has this code.
                || code == "RequestLimitExceeded")
    }
}

/// The kind of resources that a word of Batch's message is about, in lower case: `jobqueue`,
/// `definition:`, an ARN. The name of a resource may be any word, such as `queue-tool`.
fn resource_kind(word: &str) -> Option<ResourceKind> {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric());
    let bare = word.strip_prefix("job").unwrap_or(word);
    let bare = bare.strip_prefix('-').unwrap_or(bare);
    let is_about = |noun: &str| {
        bare.strip_prefix(noun).is_some_and(|rest| ["", "s", "name"].contains(&rest))
            || (word.starts_with("arn:") && word.contains(&format!(":job-{noun}/")))
    };
    let kinds = [("queue", ResourceKind::JobQueue), ("definition", ResourceKind::JobDefinition)];
    kinds.into_iter().find(|(noun, _)| is_about(noun)).map(|(_, kind)| kind)
}
