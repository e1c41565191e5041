//! Calls fail where something else than the service has answered them, as proxies, the login pages
//! of networks and other servers behind a wrong address do.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use serde::de::IgnoredAny;

use super::foreign_answer::{other_answer, web_page};

/// The headers with the ID of the request. Each answer of AWS has one of them (Amazon S3 API,
/// "Common response headers"; AWS general reference, "Request IDs"), and those of servers like it,
/// such as moto, MinIO and Ceph; a static page of a proxy may have any other header, such as
/// `etag`.
const REQUEST_IDS: [&str; 2] = ["x-amzn-requestid", "x-amz-request-id"];

/// An interceptor that has a call fail when something else came in place of the service's answer,
/// by the form of the service's answers.
///
/// An operation whose answer has no content, such as `PutObject` or `TerminateJob`, would else
/// succeed: its success is the status alone, and a login page has the status 200. One whose answer
/// has optional fields only would find that there is nothing.
///
/// An answer with the ID of a request is the service's, also an empty one, such as those of
/// `DeleteLogGroup` and `DeleteFileSystem`. Servers for tests may lack it; their answers must have
/// the form of the service, and an empty one has it in S3 alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnlyAnswers {
    /// The service answers with an object of JSON (Smithy's `restJson1` and `awsJson1_1`).
    Json,
    /// The service answers with a document of XML, which is named after the operation (Smithy's
    /// `awsQuery` and `ec2Query`).
    Query,
    /// The service answers with a document of XML, with an object, or with headers alone.
    S3,
}

impl Intercept for OnlyAnswers {
    fn name(&self) -> &'static str {
        "OnlyAnswers"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        // An object of a user may be a web page.
        let has_id = REQUEST_IDS.iter().any(|name| response.headers().contains_key(name));
        if has_id || !response.status().is_success() {
            return Ok(());
        }
        if let Some(page) = web_page(response) {
            return Err(page.into());
        }
        let operation = config.load::<Metadata>().map(Metadata::name).unwrap_or_default();
        let is_answer = match self {
            Self::Json => response.body().bytes().is_some_and(is_json_object),
            Self::Query => is_of_query(operation, response),
            Self::S3 => is_of_s3(operation, response),
        };
        if is_answer { Ok(()) } else { Err(other_answer(response).into()) }
    }
}

fn is_json_object(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

/// The name of the root of a text, if it is a document of XML.
fn xml_root(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    // The declaration and comments.
    while rest.starts_with("<?") || rest.starts_with("<!--") {
        let end = if rest.starts_with("<?") { "?>" } else { "-->" };
        rest = rest.split_once(end)?.1.trim_start();
    }
    let name = rest.strip_prefix('<')?.split([' ', '>', '/', '\n', '\r', '\t']).next()?;
    name.starts_with(|c: char| c.is_ascii_alphabetic()).then_some(name)
}

/// Whether a service with the query protocol answers this operation so.
fn is_of_query(operation: &str, response: &HttpResponse) -> bool {
    let root = response.body().bytes().and_then(xml_root);
    root.and_then(|root| root.strip_suffix("Response")) == Some(operation)
}

/// Whether S3 answers this operation so (Amazon S3 API, the operations' pages).
fn is_of_s3(operation: &str, response: &HttpResponse) -> bool {
    let has = |name| response.headers().contains_key(name);
    // An object is streamed, so it is not in memory.
    let body = response.body().bytes().unwrap_or_default();
    match operation {
        "PutObject" | "UploadPart" | "HeadObject" | "GetObject" => body.is_empty() && has("etag"),
        "HeadBucket" => body.is_empty() && has("x-amz-bucket-region"),
        "DeleteObject" | "DeleteBucket" | "AbortMultipartUpload" => {
            body.is_empty() && response.status().as_u16() == 204
        }
        _ => xml_root(body).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

    #[test]
    fn an_object_of_json_is_an_answer() {
        for (body, is_answer) in [
            ("{}", true),
            (" {\"jobs\": []}\n", true),
            ("", false),
            ("ok", false),
            ("null", false),
            ("[]", false),
            ("{", false),
            ("{} {}", false),
            ("\u{0}", false),
        ] {
            assert_eq!(is_json_object(body.as_bytes()), is_answer, "{body}");
        }
    }

    #[test]
    fn a_document_of_xml_has_a_root() {
        for (body, root) in [
            ("<DeleteStackResponse/>", Some("DeleteStackResponse")),
            ("<?xml version=\"1.0\"?>\r\n<!-- moto -->\n<AResponse\r\n xmlns=\"u\">", Some("AResponse")),
            ("\u{feff}<AResponse>", Some("AResponse")),
            ("<error>no</error>", Some("error")),
            ("", None),
            ("ok", None),
            ("<", None),
            ("<?xml", None),
            ("<!-- <AResponse>", None),
        ] {
            assert_eq!(xml_root(body.as_bytes()), root, "{body}");
        }
    }

    #[test]
    fn an_answer_of_the_query_protocol_is_named_after_the_operation() {
        for (body, is_answer) in [
            ("<DeleteStackResponse/>", true),
            ("<DescribeStacksResponse/>", false),
            ("<LoginResponse/>", false),
            ("<Response/>", false),
            ("<DeleteStack/>", false),
            ("", false),
        ] {
            let status = 200.try_into().expect("a status");
            let response = HttpResponse::new(status, SdkBody::from(body));
            assert_eq!(is_of_query("DeleteStack", &response), is_answer, "{body}");
        }
    }

    #[test]
    fn what_s3_answers_depends_on_the_operation() {
        const ETAG: &[&str] = &["etag"];
        const REGION: &[&str] = &["x-amz-bucket-region"];
        let is_answer = |operation, status: u16, headers: &[&'static str], body: &'static str| {
            let status = status.try_into().expect("a status");
            let mut response = HttpResponse::new(status, SdkBody::from(body));
            for name in headers {
                response.headers_mut().insert(*name, "\"5c\"");
            }
            is_of_s3(operation, &response)
        };
        for (operation, status, headers, body) in [
            ("PutObject", 200, ETAG, ""),
            ("UploadPart", 200, ETAG, ""),
            ("HeadObject", 200, ETAG, ""),
            ("HeadBucket", 200, REGION, ""),
            ("DeleteObject", 204, &[], ""),
            ("ListObjectsV2", 200, &[], "<ListBucketResult/>"),
            ("CompleteMultipartUpload", 200, &[], "<?xml version=\"1.0\"?>\n\n<Result/>"),
        ] {
            assert!(is_answer(operation, status, headers, body), "{operation}");
            assert!(!is_answer(operation, 200, &[], ""), "{operation}");
            for body in ["ok", "null", "[]"] {
                assert!(!is_answer(operation, 200, &[], body), "{operation} {body}");
                assert!(!is_answer(operation, status, headers, body), "{operation} {body}");
            }
            // An empty answer of this status is that of a DELETE.
            assert_eq!(is_answer(operation, 204, &[], ""), operation == "DeleteObject", "{operation}");
        }
    }
}
