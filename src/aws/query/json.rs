//! Services with AWS's JSON protocols, as far as the tools need them: `awsJson1_1`, in which a
//! header names the operation, and `restJson1`, in which the method and the path do.

use aws_config::SdkConfig;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::metadata::ErrorMetadata;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{QueryError, shape, signed};
use crate::aws::call_error::UnreadableAnswer;
use crate::aws::service_answer::OnlyAnswers;
use crate::aws::trace::Trace;

/// A service with a JSON protocol.
#[derive(Debug, Clone, Copy)]
pub(in crate::aws) struct JsonService {
    /// Its name in the SDKs, such as `Service Quotas`.
    pub name: &'static str,
    /// Its name in signatures and hosts, such as `servicequotas`.
    pub signing_name: &'static str,
}

/// A call.
#[derive(Debug)]
pub(in crate::aws) struct JsonCall {
    method: &'static str,
    path: String,
    target: Option<&'static str>,
    body: Option<Value>,
}

impl JsonCall {
    /// A call of `awsJson1_1`: the header `X-Amz-Target`, and the parameters.
    pub(in crate::aws) fn targeted(target: &'static str, body: Value) -> Self {
        Self { method: "POST", path: "/".to_owned(), target: Some(target), body: Some(body) }
    }

    /// A call of `restJson1` without a body.
    pub(in crate::aws) fn rest(method: &'static str, path: String) -> Self {
        Self { method, path, target: None, body: None }
    }

    fn request(self) -> Result<HttpRequest, BoxError> {
        let mut request = http::Request::builder().method(self.method).uri(self.path);
        if let Some(target) = self.target {
            request = request.header("x-amz-target", target);
        }
        let body = self.body.map(|body| body.to_string());
        if let Some(body) = &body {
            request = request
                .header("content-type", "application/x-amz-json-1.1")
                .header("content-length", body.len());
        }
        let body = body.map_or_else(SdkBody::empty, SdkBody::from);
        Ok(request.body(body)?.try_into()?)
    }
}

/// One operation of a JSON protocol.
pub(in crate::aws) fn json_operation<A>(
    service: &JsonService,
    name: &'static str,
    config: &SdkConfig,
    region: &str,
    trace: Option<Trace>,
) -> Operation<JsonCall, A, QueryError>
where
    A: DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let JsonService { name: service_name, signing_name } = *service;
    signed(
        OnlyAnswers::Json,
        (service_name, signing_name, name),
        (config, region, trace),
        JsonCall::request,
        read,
    )
}

/// Reads an answer. One without a body has no fields: that of `DeleteFileSystem`. It has the ID of
/// a request, or [`OnlyAnswers::Json`] refuses it.
fn read<A: DeserializeOwned>(response: &HttpResponse) -> Result<A, OrchestratorError<QueryError>> {
    let body = response.body().bytes().unwrap_or_default();
    if !response.status().is_success() {
        let kind = response.headers().get("x-amzn-errortype");
        return Err(OrchestratorError::operation(QueryError(error(kind, body))));
    }
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|why| OrchestratorError::other(UnreadableAnswer(why.to_string())))
}

/// The content of an error answer (Smithy, `awsJson1_1` and `restJson1`, "Operation error
/// serialization"): the code is in a header or in the body, perhaps with a namespace before it or a
/// URL behind it.
fn error(kind: Option<&str>, body: &[u8]) -> ErrorMetadata {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return xml_error(body) };
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let code = kind.or_else(|| text("__type")).or_else(|| text("code")).or_else(|| text("ErrorCode"));
    let message = text("message").or_else(|| text("Message"));
    let mut meta = ErrorMetadata::builder();
    if let Some(code) = code {
        let code = code.split(':').next().unwrap_or(code);
        meta = meta.code(code.rsplit('#').next().unwrap_or(code));
        meta = meta.message(message.unwrap_or_default());
    }
    meta.build()
}

/// The error of a server that takes a call without a body for one of S3, because it does not have
/// the service.
fn xml_error(body: &[u8]) -> ErrorMetadata {
    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Refusal {
        code: String,
        message: String,
    }

    match shape::<Refusal>(&String::from_utf8_lossy(body), "Error") {
        Ok(Refusal { code, message }) if !code.is_empty() => {
            ErrorMetadata::builder().code(code).message(message).build()
        }
        _ => ErrorMetadata::builder().build(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_names_its_operation_in_a_header_or_in_its_path() {
        let call = JsonCall::targeted("ServiceQuotasV20190624.GetServiceQuota", json!({"QuotaCode": "L-1"}));
        let request = call.request().unwrap();
        assert_eq!((request.method(), request.uri()), ("POST", "/"));
        assert_eq!(request.headers().get("x-amz-target"), Some("ServiceQuotasV20190624.GetServiceQuota"));
        assert_eq!(request.body().bytes(), Some(br#"{"QuotaCode":"L-1"}"#.as_slice()));
        let request =
            JsonCall::rest("GET", "/2015-02-01/mount-targets?FileSystemId=fs-1".into()).request().unwrap();
        assert_eq!((request.method(), request.uri()), ("GET", "/2015-02-01/mount-targets?FileSystemId=fs-1"));
    }

    #[test]
    fn the_code_of_an_error_is_in_a_header_or_in_the_body() {
        let of = |kind: Option<&str>, body: &str| {
            let meta = error(kind, body.as_bytes());
            (meta.code().map(str::to_owned), meta.message().map(str::to_owned))
        };
        let some = |code: &str, message: &str| (Some(code.to_owned()), Some(message.to_owned()));
        assert_eq!(
            of(Some("FileSystemNotFound:http://aws"), r#"{"Message": "none"}"#),
            some("FileSystemNotFound", "none")
        );
        assert_eq!(
            of(None, r#"{"__type": "a.b#NoSuchResourceException", "message": "x"}"#),
            some("NoSuchResourceException", "x")
        );
        assert_eq!(of(None, r#"{"ErrorCode": "FileSystemInUse"}"#), some("FileSystemInUse", ""));
        assert_eq!(of(None, "<html/>"), (None, None));
        let xml = "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>none</Message></Error>";
        assert_eq!(of(None, xml), some("NoSuchKey", "none"));
    }
}
