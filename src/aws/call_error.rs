//! Why an AWS call has failed.

use std::error::Error;
use std::time::SystemTime;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use http_body_util::LengthLimitError;

use super::access_denied::AccessDenied;
use super::answer_limit::MAX_LENGTH;
use super::credentials::UnusableCredentials;
use crate::ui::ErrorKind;
use awsb_model::words;

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

impl CallError {
    /// The reason of an SDK error.
    pub fn from_sdk<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if let Some(credentials) = find_credentials_error(error) {
            // Nothing was signed, so nothing was sent.
            if let Some(unusable) = causes(credentials).find_map(|e| e.downcast_ref::<UnusableCredentials>())
            {
                return CallError::UnusableCredentials(unusable.clone());
            }
            return match find_transport_error(credentials) {
                Some(reason) => CallError::CredentialsUnreachable(reason),
                None => CallError::NoCredentials(innermost(credentials)),
            };
        }
        let refused = causes(error).find_map(|e| e.downcast_ref::<CallError>());
        if let Some(other) = refused.filter(|e| matches!(e, CallError::OtherAnswer { .. })) {
            return other.clone();
        }
        if causes(error).any(|e| e.is::<LengthLimitError>()) {
            return CallError::Unreadable(Some(format!("it is longer than {} MiB", MAX_LENGTH >> 20)));
        }
        match error {
            SdkError::ServiceError(e) => {
                let status = e.raw().status().as_u16();
                // An error of AWS has a code. An answer without a code can be anything.
                if (status < 300 || e.err().code().is_none())
                    && let Some(page) = web_page(e.raw())
                {
                    return page;
                }
                if let Some(code) = e.err().code().filter(|code| is_of_clock(code, e.err().message())) {
                    return CallError::ClockSkew { code: code.to_owned(), ahead: ahead_of(e.raw()) };
                }
                if status < 300 {
                    let why = innermost(e.err());
                    return CallError::Unreadable(Some(why).filter(|why| !why.is_empty()));
                }
                let id =
                    ["x-amzn-requestid", "x-amz-request-id"].iter().find_map(|h| e.raw().headers().get(h));
                CallError::Service {
                    code: match e.err().code() {
                        Some(code) => shortened(code, MAX_CODE),
                        None => format!("HTTP status {status}, without an AWS error"),
                    },
                    message: shortened(e.err().message().unwrap_or_default(), MAX_TEXT),
                    status,
                    request_id: id.filter(|id| !id.is_empty()).map(|id| shortened(id, MAX_CODE)),
                }
            }
            SdkError::DispatchFailure(e)
                if e.is_timeout() && e.as_connector_error().is_some_and(is_connecting) =>
            {
                CallError::Unreachable("no connection within 4 seconds".to_owned())
            }
            SdkError::DispatchFailure(e) if e.as_connector_error().is_some_and(is_connecting) => {
                CallError::Unreachable(innermost(error))
            }
            SdkError::ResponseError(e) => web_page(e.raw()).unwrap_or_else(|| {
                match causes(error).find_map(|e| e.downcast_ref::<UnreadableAnswer>()) {
                    Some(UnreadableAnswer(why)) => CallError::Unreadable(Some(shortened(why, MAX_TEXT))),
                    None => CallError::NoAnswer(innermost(error)),
                }
            }),
            SdkError::TimeoutError(_) => CallError::NoAnswer("it took too long".to_owned()),
            SdkError::ConstructionFailure(_) => CallError::Unreachable(innermost(error)),
            _ => CallError::NoAnswer(innermost(error)),
        }
    }
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

/// Whether an error is about the time at which the request was signed. The words are those of the
/// IAM User Guide, `Troubleshooting Signature Version 4`.
fn is_of_clock(code: &str, message: Option<&str>) -> bool {
    match code {
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => true,
        "SignatureDoesNotMatch" | "InvalidSignatureException" => message
            .is_some_and(|m| m.contains("Signature expired") || m.contains("Signature not yet current")),
        _ => false,
    }
}

/// The seconds by which this machine's clock is ahead of the server's, which sends its time with
/// each answer.
fn ahead_of(response: &HttpResponse) -> Option<i64> {
    let theirs = DateTime::from_str(response.headers().get("date")?, Format::HttpDate).ok()?;
    Some(DateTime::from(SystemTime::now()).secs() - theirs.secs())
}

/// The number of characters of a page's title, or of a text in place of an answer, that are shown.
const LONGEST_TITLE: usize = 80;

/// The beginning of a server's text, on one line. It is printed as it is where there is no
/// terminal. `None`: it has no words.
pub fn beginning_of(text: &str) -> Option<String> {
    let is_blank = |c: char| c.is_whitespace() || c.is_control();
    let words = text.split(is_blank).filter(|word| !word.is_empty());
    let title: String = words.collect::<Vec<_>>().join(" ").chars().take(LONGEST_TITLE).collect();
    Some(title).filter(|title| !title.is_empty())
}

/// The error of a response that is not the service's.
pub(super) fn other_answer(response: &HttpResponse) -> CallError {
    // A character is at most four bytes long.
    let body = response.body().bytes().unwrap_or_default();
    let start = body.get(..LONGEST_TITLE * 4).unwrap_or(body);
    let text = beginning_of(&String::from_utf8_lossy(start));
    CallError::OtherAnswer { status: response.status().as_u16(), text }
}

/// The error of a response that is a web page, or redirects to another address.
pub(super) fn web_page(response: &HttpResponse) -> Option<CallError> {
    let status = response.status().as_u16();
    let header = |name| response.headers().get(name).unwrap_or_default();
    let text = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
    // Only letters of ASCII change, so an offset in it is an offset in the text.
    let lower = text.to_ascii_lowercase();
    let is_page = header("content-type").to_ascii_lowercase().starts_with("text/html")
        || ["<!doctype html", "<html"].iter().any(|start| lower.trim_start().starts_with(start));
    let leads_away = (300..400).contains(&status) && !header("location").is_empty();
    let title = || {
        let from = lower.find("<title")?;
        let from = from + lower.get(from..)?.find('>')? + 1;
        let to = from + lower.get(from..)?.find("</title")?;
        beginning_of(text.get(from..to)?)
    };
    match (is_page, leads_away) {
        (true, _) => Some(CallError::WebPage { status, title: title() }),
        (false, true) => {
            Some(CallError::Redirect { status, location: shortened(header("location"), MAX_CODE) })
        }
        (false, false) => None,
    }
}

/// The longest text of a server that a message repeats, in bytes.
const MAX_TEXT: usize = 2048;
/// The longest code or address of a server that a message repeats, in bytes.
const MAX_CODE: usize = 256;

/// A text of a server, cut where it is longer than this many bytes.
fn shortened(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(longest);
    let rest = words::many(text.len() - end, "byte");
    format!("{} … (and {rest} more)", text.get(..end).unwrap_or_default())
}

/// Whether the error arose before the request could have left. The words are hyper's for a
/// connection that could not be made; its error types are not part of the SDK's interface.
fn is_connecting(error: &ConnectorError) -> bool {
    const WORDS: [&str; 4] = ["(Connect)", "tcp connect error", "dns error", "HTTP connect timeout"];
    causes(error).map(ToString::to_string).any(|text| WORDS.iter().any(|w| text.contains(w)))
}

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

fn find_credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    causes(error).find(|e| e.is::<CredentialsError>())
}

/// Why the network kept a request for credentials from its answer. A machine without a metadata
/// service is another case.
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

/// An error and its sources, the outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let cause = |e: &&'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> { (*e).source() };
    std::iter::successors(Some(error), cause)
}

/// The message of the innermost error, which is the most precise.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(|e| shortened(&e.to_string(), MAX_TEXT)).unwrap_or_default()
}
