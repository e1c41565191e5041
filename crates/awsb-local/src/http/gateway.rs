//! The gateway to all services: who signed a request for which service, and whether the signature
//! is valid.
//!
//! Every request carries a Signature Version 4, or is refused in the form of the protocol that it
//! seems to use. The service is the one that the signature names, because an AWS client signs for
//! one service.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::DATE;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::log_limit::{LogLimit, logged_path};
use super::protocol::{ApiError, Protocol, REQUEST_ID};
use super::request_info::RequestInfo;
use super::service::Service;
use super::signature::{self, SignedRequest};
use crate::access::{Keys, Operation, Principal, operation};
use crate::log::REQUEST;
use crate::sessions::registry::Sessions;
use crate::sessions::{answer, is_asked};
use crate::time::now_ms;
use crate::{batch, cloudformation, ec2, ecs, logs, s3, ssm, sts};

/// The longest body of a request to a service that is not there.
const UNKNOWN_BODY: usize = 64 * 1024;
/// The path of the task metadata endpoint of containers. No bucket can have this name, as those of
/// buckets have three characters or more.
const METADATA: &str = "/v4/";
/// How much of a body that is too long is read and dropped.
const DROPPED: usize = 32 * 1024 * 1024;
/// How long a client may take to send a body (S3's apart).
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The services behind the port.
#[derive(Debug)]
pub struct Services {
    /// S3.
    pub s3: s3s::service::S3Service,
    /// Batch.
    pub batch: batch::Api,
    /// CloudWatch Logs.
    pub logs: logs::Api,
    /// ECS.
    pub ecs: ecs::Api,
    /// EC2.
    pub ec2: ec2::Api,
    /// CloudFormation.
    pub cloudformation: cloudformation::Api,
    /// Systems Manager.
    pub ssm: ssm::Api,
    /// STS.
    pub sts: sts::Api,
    /// Sessions with jobs, which begin with a token in place of a signature.
    pub sessions: Sessions,
}

/// The port: who may use the services, and which one a request is for.
#[derive(Debug)]
pub struct Gateway {
    keys: Arc<Keys>,
    services: Services,
    log_limit: Mutex<LogLimit>,
}

impl Gateway {
    /// A gateway to these services. It only lets requests through that are signed with one of
    /// `keys`.
    pub fn new(keys: Arc<Keys>, services: Services) -> Self {
        Self { keys, services, log_limit: Mutex::default() }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// Never: a failure is an answer, too.
    pub async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<s3s::Body>, Infallible> {
        let began = Instant::now();
        let (method, path) = (request.method().clone(), logged_path(request.uri().path()).to_owned());
        // The path of metadata has a token.
        let path = if path.starts_with(METADATA) { METADATA.to_owned() } else { path };
        let info = RequestInfo::default();
        let mut response = self.route(request, &info).await;
        let id = uuid::Uuid::new_v4().to_string();
        // An answer in the query protocol has one already.
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().entry(REQUEST_ID).or_insert(id);
        }
        // hyper's own date stays where it is when the clock goes back. AWS clients correct their
        // clocks by it.
        if let Some(date) = crate::time::http_date() {
            response.headers_mut().insert(DATE, date);
        }
        let id = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let status = response.status().as_u16();
        // The query of a URL may have a signature. A path has none.
        let service = info.service.get().copied().unwrap_or("-");
        let operation = info.operation.get().copied().unwrap_or("-");
        let duration = began.elapsed();
        // The operation is known once the signature has been verified.
        if info.operation.get().is_none() {
            let mut limit = self.log_limit.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(unlogged) = limit.next(began) else { return Ok(response) };
            if unlogged > 0 {
                tracing::info!(target: REQUEST, "{unlogged} more requests without a valid signature");
            }
        }
        if response.status().is_server_error() {
            tracing::warn!(target: REQUEST, %method, ?path, %id, %service, %operation, status, ?duration, "request");
        } else {
            tracing::info!(target: REQUEST, %method, ?path, %id, %service, %operation, status, ?duration, "request");
        }
        Ok(response)
    }

    async fn route(&self, mut request: Request<Incoming>, info: &RequestInfo) -> Response<s3s::Body> {
        if is_asked(&request) {
            info.set_service("session");
            let response = answer(&self.services.sessions, request);
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                info.set_operation("Begin");
            }
            return response;
        }
        // The protocol that a request seems to use, for one that does not say which service it is
        // for.
        let guess = Protocol::of(&request);
        if let Some(path) =
            request.uri().path().strip_prefix(METADATA).filter(|_| request.method() == Method::GET)
        {
            // Without a signature, as on ECS. The token in the path says who asks. A request
            // without a valid one is a stranger's, and is logged as such.
            let answer = self.services.batch.metadata(path, &self.keys).await;
            if answer.is_ok() {
                info.set_operation("TaskMetadata");
            }
            return Protocol::RestJson.answer(answer);
        }
        let scope = match signature::scope(&request) {
            Ok(scope) => scope,
            Err(refused) => return guess.refuse(&refused),
        };
        let Some(service) = Service::named(&scope.service) else {
            return guess.refuse(&self.no_service(request, &scope.service).await);
        };
        info.set_service(service.name());
        if service == Service::S3 {
            request.extensions_mut().insert(info.clone());
            return match signature::check_s3(&request) {
                Ok(()) => self.s3(request).await,
                Err(refused) => Protocol::S3.refuse(&refused),
            };
        }
        let protocol = service.protocol();
        match self.verified(request, service.longest_body()).await {
            Ok((who, parts, body)) => protocol.answer(self.call(service, who, &parts, &body, info).await),
            Err(refused) => protocol.refuse(&refused),
        }
    }

    /// Has a service answer a request whose signature is good, if the operation is there and `who`
    /// may ask for it at all.
    async fn call(
        &self,
        service: Service,
        who: Principal,
        parts: &Parts,
        body: &Bytes,
        info: &RequestInfo,
    ) -> Result<Value, ApiError> {
        let operation = operation_of(service, parts, body)?;
        info.set_operation(operation.name());
        match operation {
            Operation::Batch(operation) => {
                who.check(Operation::Batch(operation))?;
                let (path, query) = (parts.uri.path(), parts.uri.query());
                self.services.batch.call(operation, who, path, query, body).await
            }
            Operation::Logs(operation) => {
                who.check(Operation::Logs(operation))?;
                self.services.logs.call(operation, who, body).await
            }
            Operation::Ecs(operation) => {
                who.check(Operation::Ecs(operation))?;
                self.services.ecs.call(operation, body).await
            }
            Operation::Ec2(operation) => {
                who.check(Operation::Ec2(operation))?;
                self.services.ec2.call(operation, &signature::parameters(parts, body))
            }
            Operation::CloudFormation(operation) => {
                who.check(Operation::CloudFormation(operation))?;
                self.services.cloudformation.call(operation, &signature::parameters(parts, body)).await
            }
            Operation::Ssm(operation) => {
                who.check(Operation::Ssm(operation))?;
                self.services.ssm.call(operation, body).await
            }
            Operation::Sts(operation) => {
                who.check(Operation::Sts(operation))?;
                self.services.sts.call(operation)
            }
            // It speaks for itself: see `s3`.
            Operation::S3(_) => Err(ApiError::unknown_operation(StatusCode::NOT_FOUND)),
        }
    }

    /// The answer to a request for a service that does not exist.
    async fn no_service(&self, request: Request<Incoming>, name: &str) -> ApiError {
        match self.verified(request, UNKNOWN_BODY).await {
            Ok(_) => ApiError::new(
                StatusCode::NOT_FOUND,
                "UnknownOperationException",
                format!("the local cluster has no service {name:?}"),
            ),
            Err(refused) => refused,
        }
    }

    async fn s3(&self, request: Request<Incoming>) -> Response<s3s::Body> {
        match self.services.s3.call(s3::follow(request.map(s3s::Body::from))).await {
            Ok(response) => response,
            Err(e) => {
                tracing::warn!("s3: {e:?}");
                Protocol::S3.refuse(&ApiError::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalError",
                    "We encountered an internal error. Please try again.",
                ))
            }
        }
    }

    /// The signer of the request, and the request with its whole body, once its signature has been
    /// verified.
    async fn verified(
        &self,
        request: Request<Incoming>,
        longest: usize,
    ) -> Result<(Principal, Parts, Bytes), ApiError> {
        let (parts, body) = request.into_parts();
        // Before the body: who does not know the credentials gets no memory.
        let signed = SignedRequest::parse(&parts, &self.keys, now_ms())?;
        let body = tokio::time::timeout(BODY_TIMEOUT, whole(body, longest)).await.map_err(|_| {
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", "the body did not arrive in time")
        })??;
        signed.verify(&parts, &body)?;
        Ok((signed.principal, parts, body))
    }
}

/// The operation that a request to a service asks for.
///
/// # Errors
/// In the service's words, when there is no such operation.
fn operation_of(service: Service, parts: &Parts, body: &[u8]) -> Result<Operation, ApiError> {
    let target = |prefix: &str| {
        let target = parts.headers.get("x-amz-target").and_then(|v| v.to_str().ok());
        target.and_then(|target| target.strip_prefix(prefix)).unwrap_or_default()
    };
    let unknown = |status| move || ApiError::unknown_operation(status);
    match service {
        Service::Batch => {
            operation::Batch::asked(&parts.method, parts.uri.path()).map(Operation::Batch).ok_or_else(|| {
                batch::absent(&parts.method, parts.uri.path()).unwrap_or_else(unknown(StatusCode::NOT_FOUND))
            })
        }
        Service::Logs => operation::Logs::named(target("Logs_20140328."))
            .map(Operation::Logs)
            .ok_or_else(unknown(StatusCode::BAD_REQUEST)),
        Service::Ecs => operation::Ecs::named(target("AmazonEC2ContainerServiceV20141113."))
            .map(Operation::Ecs)
            .ok_or_else(unknown(StatusCode::BAD_REQUEST)),
        Service::Ec2 => ec2::asked(&signature::parameters(parts, body)).map(Operation::Ec2),
        Service::CloudFormation => {
            cloudformation::asked(&signature::parameters(parts, body)).map(Operation::CloudFormation)
        }
        Service::Ssm => operation::Ssm::named(target("AmazonSSM."))
            .map(Operation::Ssm)
            .ok_or_else(unknown(StatusCode::BAD_REQUEST)),
        Service::Sts => sts::asked(&signature::parameters(parts, body)).map(Operation::Sts),
        Service::S3 => Err(ApiError::unknown_operation(StatusCode::NOT_FOUND)),
    }
}

/// Reads a body that is not too long. Of a longer one, some more is read and dropped, because a
/// client that is still sending would not receive the answer.
async fn whole(mut body: Incoming, longest: usize) -> Result<Bytes, ApiError> {
    let (mut bytes, mut length) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| ApiError::client(format!("reading the body: {e}")))?;
        let Some(data) = frame.data_ref() else { continue };
        length += data.len();
        match length {
            length if length <= longest => bytes.extend_from_slice(data),
            length if length > DROPPED => break,
            // Its memory goes back, too.
            _ => bytes = BytesMut::new(),
        }
    }
    if length <= longest {
        return Ok(bytes.freeze());
    }
    Err(ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestEntityTooLargeException",
        format!("a body has at most {longest} bytes"),
    ))
}
