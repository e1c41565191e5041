//! One port for all services: who signed a request for which service, and is it true?
//!
//! Every request carries a Signature Version 4, or is refused in the words of the protocol that it
//! seems to speak. The service is the one that the signature names, as an AWS client signs for one.

mod signature;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

pub use signature::Credentials;

use super::batch;
use super::error::{ApiError, Protocol};
use super::logs;

/// The longest body that the JSON services read: PutLogEvents' batch of 1 MiB, and its JSON around it.
const LONGEST_BODY: usize = 2 * 1024 * 1024;
/// How long a client may take to send a JSON body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The services behind the port.
#[derive(Debug)]
pub struct Front {
    credentials: Credentials,
    s3: s3s::service::S3Service,
    batch: batch::Api,
    logs: logs::Api,
    /// Whether each request is told on stderr.
    debug: bool,
}

impl Front {
    /// A front for these services; only requests signed with `credentials` get through.
    pub fn new(
        credentials: Credentials,
        s3: s3s::service::S3Service,
        batch: batch::Api,
        logs: logs::Api,
        debug: bool,
    ) -> Self {
        Self { credentials, s3, batch, logs, debug }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// Never: a failure is an answer, too.
    pub async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<s3s::Body>, Infallible> {
        let told = self.debug.then(|| {
            let target = request.headers().get("x-amz-target").and_then(|v| v.to_str().ok()).unwrap_or("");
            (format!("{} {} {target}", request.method(), request.uri().path()), std::time::Instant::now())
        });
        let mut response = self.route(request).await;
        if let Some((what, began)) = told {
            note!("{} {} in {:?}", what.trim(), response.status().as_u16(), began.elapsed());
        }
        let id = uuid::Uuid::new_v4().to_string();
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-amzn-requestid", id);
        }
        Ok(response)
    }

    async fn route(&self, request: Request<Incoming>) -> Response<s3s::Body> {
        let protocol = Protocol::of(&request);
        let scope = match signature::scope(&request) {
            Ok(scope) => scope,
            Err(refused) => return protocol.refuse(&refused),
        };
        match scope.service.as_str() {
            "s3" => match signature::check_s3(&request) {
                Ok(()) => self.s3(request).await,
                Err(refused) => Protocol::S3.refuse(&refused),
            },
            "batch" => {
                let protocol = Protocol::RestJson;
                match self.verified(request).await {
                    Ok((parts, body)) => {
                        let (path, query) = (parts.uri.path(), parts.uri.query());
                        protocol.answer(self.batch.call(&parts.method, path, query, &body).await)
                    }
                    Err(refused) => protocol.refuse(&refused),
                }
            }
            "logs" => {
                let protocol = Protocol::Json11;
                match self.verified(request).await {
                    Ok((parts, body)) => {
                        let target =
                            parts.headers.get("x-amz-target").and_then(|v| v.to_str().ok()).unwrap_or("");
                        protocol.answer(self.logs.call(target, &body).await)
                    }
                    Err(refused) => protocol.refuse(&refused),
                }
            }
            other => {
                let other = other.to_owned();
                match self.verified(request).await {
                    Ok(_) => protocol.refuse(&ApiError::new(
                        StatusCode::NOT_FOUND,
                        "UnknownOperationException",
                        format!("the local cluster has no service {other:?}"),
                    )),
                    Err(refused) => protocol.refuse(&refused),
                }
            }
        }
    }

    async fn s3(&self, request: Request<Incoming>) -> Response<s3s::Body> {
        match self.s3.call(request.map(s3s::Body::from)).await {
            Ok(response) => response,
            Err(e) => {
                note!("s3: {e:?}");
                Protocol::S3.refuse(&ApiError::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalError",
                    "We encountered an internal error. Please try again.",
                ))
            }
        }
    }

    /// The request with its whole body, once its signature has been found to be good.
    async fn verified(&self, request: Request<Incoming>) -> Result<(http::request::Parts, Bytes), ApiError> {
        let (parts, body) = request.into_parts();
        // Before the body: who does not know the credentials gets no memory.
        let claim = signature::Claim::parse(&parts, &self.credentials, super::now_ms())?;
        let body = tokio::time::timeout(BODY_TIMEOUT, whole(body)).await.map_err(|_| {
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", "the body did not arrive in time")
        })??;
        claim.verify(&parts, &body, &self.credentials)?;
        Ok((parts, body))
    }
}

/// A body that is not too long. Of one that is, some more is read and dropped: a client that is still
/// sending would not hear the answer.
async fn whole(mut body: Incoming) -> Result<Bytes, ApiError> {
    let (mut bytes, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| ApiError::client(format!("reading the body: {e}")))?;
        let Some(data) = frame.data_ref() else { continue };
        length += data.len();
        match length {
            0..=LONGEST_BODY => bytes.extend_from_slice(data),
            _ if length > 16 * LONGEST_BODY => break,
            _ => bytes.clear(),
        }
    }
    if length <= LONGEST_BODY {
        return Ok(bytes.freeze());
    }
    Err(ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestEntityTooLargeException",
        format!("a body has at most {LONGEST_BODY} bytes"),
    ))
}

/// A JSON body as AWS reads it: none at all counts as `{}`.
pub fn json_object(body: &[u8]) -> Result<Value, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(ApiError::serialization("the body is not a JSON object")),
        Err(e) => Err(ApiError::serialization(&e.to_string())),
    }
}
