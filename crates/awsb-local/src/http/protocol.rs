//! How each protocol says no.

use std::io;
use std::path::Path;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::database;
use crate::home::space::NoSpace;

/// The header with the ID that each request gets.
pub const REQUEST_ID: &str = "x-amzn-requestid";
/// The XML namespaces of the services that answer in XML (API: metadata.xmlNamespace).
const STS_NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const CLOUDFORMATION_NAMESPACE: &str = "http://cloudformation.amazonaws.com/doc/2010-05-15/";
const EC2_NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// The kind of an error, independent of the service's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong, or not allowed.
    Client,
    /// Something on this machine went wrong, and may go well the next time.
    Server,
    /// Stored data cannot be read any more, or the disk fails.
    Damaged,
    /// The disk takes no more.
    NoSpace,
}

/// An error as an AWS service answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// Its kind.
    pub kind: ErrorKind,
    /// AWS's name for it, e.g. `ClientException`.
    pub code: &'static str,
    /// The message.
    pub message: String,
}

impl ApiError {
    /// An error.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let kind = if status.is_server_error() { ErrorKind::Server } else { ErrorKind::Client };
        Self { status, kind, code, message: message.into() }
    }

    /// Batch's one word for everything that a client does wrong (API: ClientException, 400).
    pub fn client(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ClientException", message)
    }

    /// A body that is not JSON, or not of the operation's shape.
    pub fn serialization(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "SerializationException", message)
    }

    /// Something on this machine went wrong (Batch: ServerException, 500).
    pub fn server(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ServerException", message)
    }

    /// The disk takes no more. No client tries again what was refused with 400 and this code.
    pub fn no_space(shortage: &NoSpace) -> Self {
        Self { kind: ErrorKind::NoSpace, ..Self::client(shortage.with_advice()) }
    }

    /// Stored data cannot be read any more. A retry does not help, so clients do not retry this
    /// status (AWS SDKs retry 500, 502, 503 and 504).
    pub fn damaged(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Damaged, ..Self::new(StatusCode::GONE, "ServerException", message) }
    }

    /// The answer for a lasting error of a file or a database of a home; `None` for an error that
    /// may not occur again.
    pub fn lasting(home: &Path, e: &io::Error) -> Option<Self> {
        if let Some(shortage) = database::no_space_within(home, e) {
            return Some(Self::no_space(&shortage));
        }
        let inner = e.get_ref().and_then(|inner| inner.downcast_ref::<rusqlite::Error>());
        if e.raw_os_error() == Some(nix::errno::Errno::EIO as i32) {
            return Some(Self::damaged(format!(
                "A file of the local cluster cannot be read or written: {e}. Its disk or file system fails; the \
                 system's log says more."
            )));
        }
        inner.map(Self::of_database).filter(|error| error.kind == ErrorKind::Damaged)
    }

    /// An operation that is not there.
    pub fn unknown_operation(status: StatusCode) -> Self {
        Self::new(status, "UnknownOperationException", "the local cluster does not have this operation")
    }

    /// 403.
    pub fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }
}

/// The service of an answer in the query protocol, which names its XML namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Namespace {
    Sts,
    CloudFormation,
}

impl Namespace {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sts => STS_NAMESPACE,
            Self::CloudFormation => CLOUDFORMATION_NAMESPACE,
        }
    }
}

/// The form of requests, answers and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// XML, S3's.
    S3,
    /// Batch's (Smithy `restJson1`).
    RestJson,
    /// CloudWatch Logs' and ECS's (Smithy `awsJson1_1`).
    Json11,
    /// STS's and CloudFormation's (Smithy `awsQuery`): a form, answered in XML.
    Query(Namespace),
    /// EC2's (Smithy `ec2Query`): the same in other words.
    Ec2,
}

impl Protocol {
    /// The protocol that a request seems to use. It matters only for refusing a request without a
    /// signature.
    pub fn of<B>(request: &Request<B>) -> Self {
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        if request.headers().contains_key("x-amz-target") {
            Self::Json11
        } else if content_type.starts_with("application/x-www-form-urlencoded") {
            Self::Query(Namespace::Sts)
        } else if request.uri().path().starts_with("/v1/") {
            Self::RestJson
        } else {
            Self::S3
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::S3 => "application/xml",
            Self::Query(_) | Self::Ec2 => "text/xml",
            Self::RestJson => "application/json",
            Self::Json11 => "application/x-amz-json-1.1",
        }
    }

    /// An operation's outcome as a response.
    pub fn answer(self, outcome: Result<Value, ApiError>) -> Response<s3s::Body> {
        match outcome {
            Ok(value) => match self {
                Self::Query(of) => self.query_response(StatusCode::OK, |id| result_xml(of, &value, id)),
                Self::Ec2 => self.query_response(StatusCode::OK, |id| ec2_result_xml(&value, id)),
                _ => self.response(StatusCode::OK, value.to_string().into()),
            },
            Err(error) => self.refuse(&error),
        }
    }

    /// An error as a response.
    pub fn refuse(self, error: &ApiError) -> Response<s3s::Body> {
        let mut response = match self {
            // S3 has its own word for a request that is not signed.
            Self::S3 if error.code.ends_with("Exception") && error.status == StatusCode::FORBIDDEN => {
                return self.refuse(&ApiError { code: "AccessDenied", ..error.clone() });
            }
            Self::S3 => self.response(error.status, s3_error_xml(error).into()),
            Self::Query(of) => self.query_response(error.status, |id| error_xml(of, error, id)),
            Self::Ec2 => self.query_response(error.status, |id| ec2_error_xml(error, id)),
            Self::RestJson => {
                self.response(error.status, json!({ "message": error.message }).to_string().into())
            }
            Self::Json11 => {
                let body = json!({ "__type": error.code, "message": error.message });
                self.response(error.status, body.to_string().into())
            }
        };
        if matches!(self, Self::RestJson | Self::Json11) {
            let name = HeaderName::from_static("x-amzn-errortype");
            response.headers_mut().insert(name, HeaderValue::from_static(error.code));
        }
        // The rest of a body that nobody wants to read must not be taken for the next request.
        if error.status == StatusCode::PAYLOAD_TOO_LARGE || error.status == StatusCode::FORBIDDEN {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(http::header::CONNECTION, close);
        }
        response
    }

    fn response(self, status: StatusCode, body: Bytes) -> Response<s3s::Body> {
        let mut response = Response::new(s3s::Body::from(body));
        *response.status_mut() = status;
        let content_type = HeaderValue::from_static(self.content_type());
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }

    /// A response of one of the query protocols, which have the request's ID in their XML, too.
    fn query_response(self, status: StatusCode, xml: impl FnOnce(&str) -> String) -> Response<s3s::Body> {
        let id = uuid::Uuid::new_v4().to_string();
        let mut response = self.response(status, xml(&id).into());
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }
}

/// An operation's result: `{OPERATION: {FIELD: VALUE, …}}`; the elements of a list are called
/// `member`.
fn result_xml(namespace: Namespace, value: &Value, id: &str) -> String {
    let results = value.as_object().into_iter().flatten();
    let namespace = namespace.as_str();
    let xml = results.map(|(operation, fields)| {
        let fields = elements(fields, "member");
        format!(
            "<{operation}Response xmlns=\"{namespace}\"><{operation}Result>{fields}</{operation}Result>\
             <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{operation}Response>"
        )
    });
    xml.collect()
}

/// An operation's result: `{OPERATION: {FIELD: VALUE, …}}`; the elements of a list are called
/// `item`.
fn ec2_result_xml(value: &Value, id: &str) -> String {
    let results = value.as_object().into_iter().flatten();
    let xml = results.map(|(operation, fields)| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{operation}Response xmlns=\"{EC2_NAMESPACE}\">\
             <requestId>{id}</requestId>{}</{operation}Response>",
            elements(fields, "item")
        )
    });
    xml.collect()
}

/// A value as XML. A field without a value is left out.
fn elements(value: &Value, item: &str) -> String {
    let element = |name: &str, value: &Value| match value {
        Value::Null => String::new(),
        value => format!("<{name}>{}</{name}>", elements(value, item)),
    };
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| element(name, value)).collect(),
        Value::Array(items) => items.iter().map(|value| element(item, value)).collect(),
        Value::String(text) => escaped(text),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// EC2's form of an error, and its words for signatures (EC2 Developer Guide, "Error codes").
fn ec2_error_xml(error: &ApiError, id: &str) -> String {
    let code = match error.code {
        "InvalidSignatureException" | "UnrecognizedClientException" => "AuthFailure",
        code => code.strip_suffix("Exception").unwrap_or(code),
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code>\
         <Message>{}</Message></Error></Errors><RequestID>{id}</RequestID></Response>",
        escaped(&error.message)
    )
}

fn s3_error_xml(error: &ApiError) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message></Error>",
        error.code,
        escaped(&error.message)
    )
}

fn error_xml(namespace: Namespace, error: &ApiError, id: &str) -> String {
    // This protocol has words of its own (STS API Reference, "Common Error Types").
    let code = match (error.code, namespace) {
        ("InvalidSignatureException", _) => "SignatureDoesNotMatch",
        ("UnrecognizedClientException", _) => "InvalidClientTokenId",
        ("UnknownOperationException", _) => "InvalidAction",
        ("AccessDeniedException", _) => "AccessDenied",
        // The names of CloudFormation's errors are those of its model.
        (code, Namespace::CloudFormation) => code,
        (code, Namespace::Sts) => code.strip_suffix("Exception").unwrap_or(code),
    };
    let kind = if error.status.is_server_error() { "Receiver" } else { "Sender" };
    format!(
        "<ErrorResponse xmlns=\"{}\"><Error><Type>{kind}</Type><Code>{code}</Code>\
         <Message>{}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>",
        namespace.as_str(),
        escaped(&error.message)
    )
}

/// Whether a document of XML 1.0 can hold a character at all, even as a reference (XML 1.0, 2.2).
pub fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// A text in XML. A character that XML cannot hold becomes U+FFFD, so that the answer stays
/// well-formed.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // A parser makes a line feed of a bare one (XML 1.0, 2.11).
            '\r' => escaped.push_str("&#13;"),
            c if is_xml(c) => escaped.push(c),
            _ => escaped.push(char::REPLACEMENT_CHARACTER),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_well_formed_whatever_their_texts_hold() {
        let text = "a\0\u{1}\u{1f}\u{FFFE}\u{FFFF}<&>\r\n\tü\u{1F600}";
        let error = ApiError::new(StatusCode::BAD_REQUEST, "ValidationError", text);
        let fields = serde_json::json!({"Op": {"List": [text]}});
        for xml in [
            result_xml(Namespace::CloudFormation, &fields, "id"),
            result_xml(Namespace::Sts, &fields, "id"),
            ec2_result_xml(&fields, "id"),
            error_xml(Namespace::CloudFormation, &error, "id"),
            error_xml(Namespace::Sts, &error, "id"),
            ec2_error_xml(&error, "id"),
            s3_error_xml(&error),
        ] {
            let shown = "a\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}&lt;&amp;&gt;&#13;\n\tü\u{1F600}";
            assert!(xml.contains(shown) && xml.chars().all(is_xml), "{xml:?}");
        }
    }

    #[test]
    fn only_what_may_go_well_the_next_time_is_tried_again() {
        let home = tempfile::tempdir().unwrap();
        let of = |e: &io::Error| ApiError::lasting(home.path(), e).map(|e| (e.status.as_u16(), e.kind));
        let of_sqlite = |code: i32| {
            of(&io::Error::other(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)))
        };
        let (damaged, full) = (Some((410, ErrorKind::Damaged)), Some((400, ErrorKind::NoSpace)));
        assert_eq!(of(&nix::errno::Errno::EIO.into()), damaged);
        assert_eq!(of(&nix::errno::Errno::ENOSPC.into()), full);
        assert_eq!(of(&nix::errno::Errno::EMFILE.into()), None);
        assert_eq!(of_sqlite(rusqlite::ffi::SQLITE_CORRUPT), damaged);
        assert_eq!(of_sqlite(rusqlite::ffi::SQLITE_IOERR), damaged);
        assert_eq!(of_sqlite(rusqlite::ffi::SQLITE_FULL), full);
        assert_eq!(of_sqlite(rusqlite::ffi::SQLITE_BUSY), None);
    }
}
