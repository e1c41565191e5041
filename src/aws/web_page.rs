//! Calls fail where a web page came in place of an answer, as proxies and the login pages of
//! networks send them.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

use super::call_error::web_page;

/// The headers with the ID of the request. Each answer of AWS has one of them (Amazon S3 API,
/// "Common response headers"; AWS general reference, "Request IDs"), and those of servers like it;
/// a static page of a proxy may have any other header, such as `etag`.
const REQUEST_IDS: [&str; 2] = ["x-amzn-requestid", "x-amz-request-id"];

/// An interceptor that has a call fail when a web page came in place of its answer.
///
/// An operation whose answer has no content, such as `PutObject`, would else succeed: its success
/// is the status alone, and a login page has the status 200.
#[derive(Debug, Clone, Copy)]
pub struct RefuseWebPages;

impl Intercept for RefuseWebPages {
    fn name(&self) -> &'static str {
        "RefuseWebPages"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        // An object of a user may be a web page.
        let is_answer = REQUEST_IDS.iter().any(|name| response.headers().contains_key(name));
        if is_answer || !response.status().is_success() {
            return Ok(());
        }
        web_page(response).map_or(Ok(()), |page| Err(page.into()))
    }
}
