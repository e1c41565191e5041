//! Web pages in place of answers, as proxies and the login pages of networks send them.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

use super::call_error::{CallError, MAX_CODE, shortened};

/// The number of characters of a page's title that are shown.
const LONGEST_TITLE: usize = 80;

/// The headers of which each answer of AWS has one, and the answers of servers like it: the ID of
/// the request, or the checksum of an object. An object of a user may be a web page.
const OF_ANSWERS: [&str; 3] = ["x-amzn-requestid", "x-amz-request-id", "etag"];

/// The error of a response that is a web page, or redirects to another address.
pub fn web_page(response: &HttpResponse) -> Option<CallError> {
    let status = response.status().as_u16();
    let header = |name| response.headers().get(name).unwrap_or_default();
    let text = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
    // Only letters of ASCII change, so an offset in it is an offset in the text.
    let lower = text.to_ascii_lowercase();
    let is_page = header("content-type").to_ascii_lowercase().starts_with("text/html")
        || ["<!doctype html", "<html"].iter().any(|start| lower.trim_start().starts_with(start));
    let leads_away = (300..400).contains(&status) && !header("location").is_empty();
    let title = || {
        let from = lower.find("<title")?;
        let from = from + lower.get(from..)?.find('>')? + 1;
        let to = from + lower.get(from..)?.find("</title")?;
        let title = text.get(from..to)?.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(title.chars().take(LONGEST_TITLE).collect()).filter(|title: &String| !title.is_empty())
    };
    match (is_page, leads_away) {
        (true, _) => Some(CallError::WebPage { status, title: title() }),
        (false, true) => {
            Some(CallError::Redirect { status, location: shortened(header("location"), MAX_CODE) })
        }
        (false, false) => None,
    }
}

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
        let is_answer = OF_ANSWERS.iter().any(|name| response.headers().contains_key(name));
        if is_answer || !response.status().is_success() {
            return Ok(());
        }
        web_page(response).map_or(Ok(()), |page| Err(page.into()))
    }
}
