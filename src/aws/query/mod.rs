//! Services with AWS's query protocol, as far as the tools need them: their crates cost more to
//! build than all else together.
//!
//! A call goes the way of all others (credentials, proxy, time limits, retries, `--debug`), for it
//! is run by the same parts of the SDK. The form that is sent and the shapes of the answers are
//! ours.

pub(super) mod endpoint;
pub(super) mod json;

use std::fmt;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_runtime::auth::{SigV4OperationSigningConfig, SigningOptions, sigv4};
use aws_runtime::invocation_id::InvocationIdInterceptor;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_runtime::service_clock_skew::{ServiceClockSkewClassifier, ServiceClockSkewInterceptor};
use aws_runtime::user_agent::{ApiMetadata, UserAgentInterceptor};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{
    AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
};
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};
use aws_smithy_types::retry::{ErrorKind, ProvideErrorKind};
use aws_types::SigningName;
use aws_types::region::SigningRegion;

use quick_xml::DeError;
use quick_xml::de::from_str;
use serde::de::DeserializeOwned;

use super::call_error::UnreadableAnswer;
use super::service_answer::OnlyAnswers;
use super::trace::Trace;

/// A service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    /// Its name in the SDKs, such as `EC2`.
    pub name: &'static str,
    /// Its name in signatures and hosts, such as `ec2`.
    pub signing_name: &'static str,
    /// The version of its API.
    pub version: &'static str,
    /// Reads an error of it. There are two shapes of them.
    pub read_error: fn(&str) -> ErrorMetadata,
}

/// What a call fails with; [`explain`](super::explain) has the words for it.
pub type CallError = Box<SdkError<QueryError, HttpResponse>>;

/// An answer.
pub(super) trait Answer: fmt::Debug + Sized + Send + Sync + 'static {
    /// Reads the answer.
    fn parse(xml: &str) -> Result<Self, DeError>;
}

/// A document with this root: a page of HTML, say, would do for a shape in which everything may be
/// missing.
pub(super) fn shape<T: DeserializeOwned>(xml: &str, root: &str) -> Result<T, DeError> {
    let mut reader = quick_xml::Reader::from_str(xml);
    loop {
        match reader.read_event()? {
            quick_xml::events::Event::Start(start) if start.name().as_ref() == root.as_bytes() => {
                return from_str(xml);
            }
            quick_xml::events::Event::Decl(_)
            | quick_xml::events::Event::Comment(_)
            | quick_xml::events::Event::Text(_) => {}
            _ => return Err(DeError::Custom(format!("it is not a {root}"))),
        }
    }
}

/// The parameters of a call, besides its name.
#[derive(Debug, Default)]
pub(super) struct Parameters(pub(super) Vec<(String, String)>);

impl Parameters {
    pub(super) fn filtered(name: &str, values: &[String], page: Option<u32>, token: Option<&str>) -> Self {
        let mut form = vec![("Filter.1.Name".into(), name.to_owned())];
        form.extend(page.map(|page| ("MaxResults".into(), page.to_string())));
        let values = (1..).zip(values);
        form.extend(values.map(|(n, value): (usize, _)| (format!("Filter.1.Value.{n}"), value.clone())));
        form.extend(token.map(|token| ("NextToken".into(), token.to_owned())));
        Self(form)
    }

    /// The same with more parameters.
    pub(super) fn with(mut self, more: &[(&str, &str)]) -> Self {
        self.0.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    fn request(&self, action: &str, version: &str) -> Result<HttpRequest, BoxError> {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("Action", action).append_pair("Version", version).extend_pairs(&self.0);
        let body = body.finish();
        let request = http::Request::post("/")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .header("content-length", body.len())
            .body(SdkBody::from(body))?;
        Ok(request.try_into()?)
    }
}

/// One operation of the query protocol.
pub(super) fn operation<A: Answer>(
    service: &Service,
    name: &'static str,
    config: &SdkConfig,
    region: &str,
    trace: Option<Trace>,
) -> Operation<Parameters, A, QueryError> {
    let Service { name: service_name, signing_name, version, read_error } = *service;
    signed(
        OnlyAnswers::Query,
        (service_name, signing_name, name),
        (config, region, trace),
        move |form: Parameters| form.request(name, version),
        move |response| read::<A>(response, read_error),
    )
}

/// One operation, with what the SDK's own clients have around theirs. `names` are those of the
/// service in the SDKs and in signatures, and that of the operation.
fn signed<I, O>(
    answers: OnlyAnswers,
    names: (&'static str, &'static str, &'static str),
    (config, region, trace): (&SdkConfig, &str, Option<Trace>),
    serialize: impl Fn(I) -> Result<HttpRequest, BoxError> + Send + Sync + 'static,
    deserialize: impl Fn(&HttpResponse) -> Result<O, OrchestratorError<QueryError>> + Send + Sync + 'static,
) -> Operation<I, O, QueryError>
where
    I: fmt::Debug + Send + Sync + 'static,
    O: fmt::Debug + Send + Sync + 'static,
{
    let (service_name, signing_name, name) = names;
    let mut layer = Layer::new(service_name);
    layer.store_put(AuthSchemeOptionResolverParams::new(()));
    layer.store_put(ApiMetadata::new(signing_name, env!("CARGO_PKG_VERSION")));
    layer.store_put(SigningRegion::from(aws_config::Region::new(region.to_owned())));
    layer.store_put(SigningName::from_static(signing_name));
    layer.store_put(SigV4OperationSigningConfig {
        signing_options: SigningOptions::default(),
        ..Default::default()
    });
    layer.store_or_unset(config.app_name().cloned());

    let mut parts = RuntimeComponentsBuilder::new(service_name);
    parts.set_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(
        StaticAuthSchemeOptionResolver::new(vec![sigv4::SCHEME_ID]),
    )));
    parts.push_auth_scheme(SharedAuthScheme::new(sigv4::SigV4AuthScheme::new()));
    if let Some(credentials) = config.credentials_provider() {
        parts.set_identity_resolver(sigv4::SCHEME_ID, SharedIdentityResolver::new(credentials));
    }
    if let Some(cache) = config.identity_cache() {
        parts.set_identity_cache(Some(cache));
    }
    if let Some(client) = config.http_client() {
        parts.set_http_client(Some(client));
    }

    let mut operation = Operation::builder()
        .service_name(service_name)
        .operation_name(name)
        .behavior_version(config.behavior_version().unwrap_or(BehaviorVersion::latest()))
        .endpoint_url(&endpoint::url(config, service_name, signing_name, region))
        .runtime_plugin(StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(parts))
        .with_connection_poisoning()
        .interceptor(ServiceClockSkewInterceptor::new())
        .interceptor(RequestInfoInterceptor::new())
        .interceptor(UserAgentInterceptor::new())
        .interceptor(InvocationIdInterceptor::new())
        .interceptor(answers)
        .retry_classifier(HttpStatusCodeClassifier::default())
        .retry_classifier(TransientErrorClassifier::<QueryError>::new())
        .retry_classifier(AwsErrorCodeClassifier::<QueryError>::new())
        .retry_classifier(ServiceClockSkewClassifier::<QueryError>::new());
    if let Some(retries) = config.retry_config() {
        operation = operation.standard_retry(retries);
    }
    if let Some(timeouts) = config.timeout_config() {
        operation = operation.timeout_config(timeouts.clone());
    }
    if let Some(trace) = trace {
        operation = operation.interceptor(trace);
    }
    operation.serializer(serialize).deserializer(deserialize).build()
}

/// Reads an answer.
fn read<A: Answer>(
    response: &HttpResponse,
    read_error: fn(&str) -> ErrorMetadata,
) -> Result<A, OrchestratorError<QueryError>> {
    let body = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
    if !response.status().is_success() {
        return Err(OrchestratorError::operation(QueryError(read_error(&body))));
    }
    A::parse(&body).map_err(|why| OrchestratorError::other(UnreadableAnswer(why.to_string())))
}

/// An error that the service has answered with.
#[derive(Debug)]
pub struct QueryError(ErrorMetadata);

impl ProvideErrorMetadata for QueryError {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

impl ProvideErrorKind for QueryError {
    fn retryable_error_kind(&self) -> Option<ErrorKind> {
        None
    }

    fn code(&self) -> Option<&str> {
        self.0.code()
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for QueryError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_form() {
        let ids = ["i-1".to_owned(), "i-2".to_owned()];
        let request = Parameters::filtered("instance-id", &ids, Some(1000), Some("a+b="))
            .request("DescribeInstances", "2016-11-15")
            .unwrap();
        assert_eq!((request.method(), request.uri()), ("POST", "/"));
        assert_eq!(
            request.body().bytes(),
            Some(
                b"Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=instance-id&MaxResults=1000\
                  &Filter.1.Value.1=i-1&Filter.1.Value.2=i-2&NextToken=a%2Bb%3D"
                    .as_slice()
            )
        );
    }
}
