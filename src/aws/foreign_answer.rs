//! How answers are recognised that are not the service's.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::call_error::CallError;
use super::server_text::{LONGEST_TITLE, MAX_CODE, beginning_of, shortened};

/// The error of a response that is not the service's.
pub fn other_answer(response: &HttpResponse) -> CallError {
    // A character is at most four bytes long.
    let body = response.body().bytes().unwrap_or_default();
    let start = body.get(..LONGEST_TITLE * 4).unwrap_or(body);
    let text = beginning_of(&String::from_utf8_lossy(start));
    CallError::OtherAnswer { status: response.status().as_u16(), text }
}

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
        beginning_of(text.get(from..to)?)
    };
    match (is_page, leads_away) {
        (true, _) => Some(CallError::WebPage { status, title: title() }),
        (false, true) => {
            Some(CallError::Redirect { status, location: shortened(header("location"), MAX_CODE) })
        }
        (false, false) => None,
    }
}
