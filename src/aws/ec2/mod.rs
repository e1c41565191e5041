//! EC2, as far as the tools need it: its crate costs more to build than all else together.
//!
//! A call goes the way of all others (credentials, proxy, time limits, retries, `--debug`), for it
//! is run by the same parts of the SDK. The form that is sent and the shapes of the answers are
//! ours.

mod answers;
mod endpoint;

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
use futures_util::{StreamExt, TryStreamExt, stream};

use super::trace::Trace;
use answers::{AnswerPage, InstanceTypesAnswer, InstancesAnswer};
pub use answers::{Gpu, Instance, InstanceType};

/// The version of EC2's API.
const VERSION: &str = "2016-11-15";
/// The values of one filter (EC2 API Reference, DescribeInstances: "up to 200 values per filter").
const FILTER_VALUES: usize = 200;
/// So many calls are under way at once.
const AT_ONCE: usize = 5;

/// A client of EC2.
#[derive(Debug, Clone)]
pub struct Ec2 {
    instances: Operation<Parameters, InstancesAnswer, Ec2Error>,
    instance_types: Operation<Parameters, InstanceTypesAnswer, Ec2Error>,
}

/// The error of a call. [`explain`](super::explain) makes its message.
pub type CallError = Box<SdkError<Ec2Error, HttpResponse>>;

impl Ec2 {
    /// A client for the region of `config`, if it has one; with `trace`, every exchange is shown.
    pub(super) fn new(config: &SdkConfig, trace: Option<Trace>) -> Option<Self> {
        let region = config.region()?.as_ref();
        Some(Self {
            instances: operation("DescribeInstances", config, region, trace.clone()),
            instance_types: operation("DescribeInstanceTypes", config, region, trace),
        })
    }

    /// These instances, in any order; one that EC2 does not know (any more) is left out.
    ///
    /// # Errors
    /// When EC2 cannot be asked.
    pub async fn instances(&self, ids: &[String]) -> Result<Vec<Instance>, CallError> {
        // A filter passes over what is gone; asked for by its ID, it would lose us all others.
        all("instance-id", ids, 1000, &self.instances).await
    }

    /// The instance types that have one of these names, or that a pattern such as `c5.*` matches,
    /// in any order.
    ///
    /// # Errors
    /// When EC2 cannot be asked.
    pub async fn instance_types(&self, patterns: &[String]) -> Result<Vec<InstanceType>, CallError> {
        all("instance-type", patterns, 100, &self.instance_types).await
    }
}

/// All that a filter lets through, all pages.
async fn all<A: AnswerPage>(
    filter: &str,
    values: &[String],
    page: u32,
    operation: &Operation<Parameters, A, Ec2Error>,
) -> Result<Vec<A::Item>, CallError> {
    let asked = values.chunks(FILTER_VALUES).map(|values| async move {
        let (mut items, mut token) = (Vec::new(), None);
        loop {
            let form = Parameters::filtered(filter, values, page, token.as_deref());
            let (more, next) = operation.invoke(form).await.map_err(Box::new)?.into_parts();
            items.extend(more);
            token = next.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(items);
            }
        }
    });
    stream::iter(asked).buffer_unordered(AT_ONCE).try_concat().await
}

/// The parameters of a call, besides its name.
#[derive(Debug)]
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn filtered(name: &str, values: &[String], page: u32, token: Option<&str>) -> Self {
        let mut form =
            vec![("Filter.1.Name".into(), name.to_owned()), ("MaxResults".into(), page.to_string())];
        let values = (1..).zip(values);
        form.extend(values.map(|(n, value): (usize, _)| (format!("Filter.1.Value.{n}"), value.clone())));
        form.extend(token.map(|token| ("NextToken".into(), token.to_owned())));
        Self(form)
    }

    fn request(&self, action: &str) -> Result<HttpRequest, BoxError> {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("Action", action).append_pair("Version", VERSION).extend_pairs(&self.0);
        let body = body.finish();
        let request = http::Request::post("/")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .header("content-length", body.len())
            .body(SdkBody::from(body))?;
        Ok(request.try_into()?)
    }
}

/// One operation, with what the SDK's own clients have around theirs.
fn operation<A: AnswerPage>(
    name: &'static str,
    config: &SdkConfig,
    region: &str,
    trace: Option<Trace>,
) -> Operation<Parameters, A, Ec2Error> {
    let mut layer = Layer::new("EC2");
    layer.store_put(AuthSchemeOptionResolverParams::new(()));
    layer.store_put(ApiMetadata::new("ec2", env!("CARGO_PKG_VERSION")));
    layer.store_put(SigningRegion::from(aws_config::Region::new(region.to_owned())));
    layer.store_put(SigningName::from_static("ec2"));
    layer.store_put(SigV4OperationSigningConfig {
        signing_options: SigningOptions::default(),
        ..Default::default()
    });
    layer.store_or_unset(config.app_name().cloned());

    let mut parts = RuntimeComponentsBuilder::new("EC2");
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
        .service_name("EC2")
        .operation_name(name)
        .behavior_version(config.behavior_version().unwrap_or(BehaviorVersion::latest()))
        .endpoint_url(&endpoint::url(config, region))
        .runtime_plugin(StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(parts))
        .with_connection_poisoning()
        .interceptor(ServiceClockSkewInterceptor::new())
        .interceptor(RequestInfoInterceptor::new())
        .interceptor(UserAgentInterceptor::new())
        .interceptor(InvocationIdInterceptor::new())
        .retry_classifier(HttpStatusCodeClassifier::default())
        .retry_classifier(TransientErrorClassifier::<Ec2Error>::new())
        .retry_classifier(AwsErrorCodeClassifier::<Ec2Error>::new())
        .retry_classifier(ServiceClockSkewClassifier::<Ec2Error>::new());
    if let Some(retries) = config.retry_config() {
        operation = operation.standard_retry(retries);
    }
    if let Some(timeouts) = config.timeout_config() {
        operation = operation.timeout_config(timeouts.clone());
    }
    if let Some(trace) = trace {
        operation = operation.interceptor(trace);
    }
    operation.serializer(move |form: Parameters| form.request(name)).deserializer(read::<A>).build()
}

/// Reads an answer.
fn read<A: AnswerPage>(response: &HttpResponse) -> Result<A, OrchestratorError<Ec2Error>> {
    let body = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
    if !response.status().is_success() {
        return Err(OrchestratorError::operation(Ec2Error(answers::error(&body))));
    }
    A::parse(&body).map_err(|why| OrchestratorError::other(format!("the answer cannot be read ({why})")))
}

/// An error that EC2 has answered with.
#[derive(Debug)]
pub struct Ec2Error(ErrorMetadata);

impl ProvideErrorMetadata for Ec2Error {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

impl ProvideErrorKind for Ec2Error {
    fn retryable_error_kind(&self) -> Option<ErrorKind> {
        None
    }

    fn code(&self) -> Option<&str> {
        self.0.code()
    }
}

impl fmt::Display for Ec2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for Ec2Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_form() {
        let ids = ["i-1".to_owned(), "i-2".to_owned()];
        let request = Parameters::filtered("instance-id", &ids, 1000, Some("a+b="))
            .request("DescribeInstances")
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
