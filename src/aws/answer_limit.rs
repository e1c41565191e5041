//! A limit of the size of answers. An answer is read into memory as a whole before it is parsed.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

/// The longest body of an answer, in bytes. The longest pages of AWS have some MiB (API
/// `GetLogEvents`: 1 MiB; `DescribeJobs`: 100 jobs).
pub(super) const MAX_LENGTH: usize = 64 << 20;

/// A client whose calls fail when an answer is longer than [`MAX_LENGTH`], unless it is an object
/// of S3, which is streamed.
pub(super) fn limited(client: SharedHttpClient) -> SharedHttpClient {
    http_client_fn(move |settings: &HttpConnectorSettings, components: &RuntimeComponents| {
        SharedHttpConnector::new(LimitedAnswers(client.http_connector(settings, components)))
    })
}

#[derive(Debug)]
struct LimitedAnswers(SharedHttpConnector);

impl HttpConnector for LimitedAnswers {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let asks_for_object = asks_for_object(&request);
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            if asks_for_object && answer.status().is_success() {
                return Ok(answer);
            }
            Ok(answer.map(|body| SdkBody::from_body_1_x(Limited::new(body, MAX_LENGTH))))
        })
    }
}

/// Whether a request is S3's `GetObject`. The API's model has this parameter in its path.
fn asks_for_object(request: &HttpRequest) -> bool {
    let query = request.uri().split_once('?').map_or("", |(_, query)| query);
    request.method() == "GET" && query.split('&').any(|part| part == "x-id=GetObject")
}
