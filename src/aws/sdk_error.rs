//! The reason for an error of the SDK.

use std::error::Error;
use std::time::SystemTime;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use http_body_util::LengthLimitError;

use super::answer_limit::MAX_LENGTH;
use super::call_error::{CallError, UnreadableAnswer};
use super::credentials::UnusableCredentials;
use super::foreign_answer::web_page;
use super::server_text::{MAX_CODE, MAX_TEXT, shortened};

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
        // An interceptor has found it.
        if let Some(found) = causes(error).find_map(|e| e.downcast_ref::<CallError>()) {
            return found.clone();
        }
        if causes(error).any(|e| e.is::<LengthLimitError>()) {
            return CallError::Unreadable(Some(format!("it is longer than {} MiB", MAX_LENGTH >> 20)));
        }
        // An error of AWS has a code. An answer without a code can be anything.
        if error.code().is_none()
            && let Some(page) = error.raw_response().and_then(web_page)
        {
            return page;
        }
        match error {
            SdkError::ServiceError(e) => {
                let status = e.raw().status().as_u16();
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
            SdkError::ResponseError(_) => {
                match causes(error).find_map(|e| e.downcast_ref::<UnreadableAnswer>()) {
                    Some(UnreadableAnswer(why)) => CallError::Unreadable(Some(shortened(why, MAX_TEXT))),
                    None => CallError::NoAnswer(innermost(error)),
                }
            }
            SdkError::TimeoutError(_) => CallError::NoAnswer("it took too long".to_owned()),
            SdkError::ConstructionFailure(_) => CallError::Unreachable(innermost(error)),
            _ => CallError::NoAnswer(innermost(error)),
        }
    }
}

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

/// Whether the error arose before the request could have left. The words are hyper's for a
/// connection that could not be made; its error types are not part of the SDK's interface.
fn is_connecting(error: &ConnectorError) -> bool {
    const WORDS: [&str; 4] = ["(Connect)", "tcp connect error", "dns error", "HTTP connect timeout"];
    causes(error).map(ToString::to_string).any(|text| WORDS.iter().any(|w| text.contains(w)))
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
