//! `--debug`: what is sent and what comes back, on stderr, secrets masked.

use std::io::Write;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;

/// An interceptor that shows every request and every response.
#[derive(Debug, Clone, Copy)]
pub struct Trace;

/// Of a body, this many characters are shown.
const SHOWN: usize = 20_000;

impl Intercept for Trace {
    fn name(&self) -> &'static str {
        "Trace"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let mut text = format!("> {} {}\n", request.method(), masked_url(request.uri()));
        for (name, value) in request.headers() {
            text.push_str(&format!("> {name}: {}\n", masked_header(name, value)));
        }
        text.push_str(&body(">", request.body()));
        show(&text);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let text = match context.response() {
            Some(response) => {
                let mut text = format!("< {}\n", response.status().as_u16());
                for (name, value) in response.headers() {
                    text.push_str(&format!("< {name}: {}\n", masked_header(name, value)));
                }
                text.push_str(&body("<", response.body()));
                text
            }
            None => "< no response\n".to_owned(),
        };
        show(&text);
        Ok(())
    }
}

fn show(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// A presigned URL's query carries a signature.
fn masked_url(url: &str) -> String {
    match url.split_once("X-Amz-Signature=") {
        Some((before, _)) => format!("{before}X-Amz-Signature=***"),
        None => url.to_owned(),
    }
}

fn masked_header(name: &str, value: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "authorization" => match value.split_once("Signature=") {
            Some((before, _)) => format!("{before}Signature=***"),
            None => "***".to_owned(),
        },
        "x-amz-security-token" | "set-cookie" | "cookie" => "***".to_owned(),
        _ => value.to_owned(),
    }
}

fn body(mark: &str, body: &SdkBody) -> String {
    let Some(bytes) = body.bytes() else { return format!("{mark} (a streamed body)\n") };
    if bytes.is_empty() {
        return String::new();
    }
    let text = match serde_json::from_slice::<Value>(bytes) {
        Ok(mut json) => {
            mask(&mut json);
            json.to_string()
        }
        Err(_) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return format!("{mark} ({} bytes)\n", bytes.len()),
        },
    };
    let shown: String = text.chars().take(SHOWN).collect();
    let cut = if shown.len() < text.len() { " …" } else { "" };
    format!("{mark} {shown}{cut}\n")
}

/// Masks the values of all variables, wherever they are in a document: names do not tell which ones are
/// secret, and a bundle may hold others.
fn mask(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            for (key, field) in fields {
                match field {
                    Value::Array(variables) if key == "environment" => {
                        variables.iter_mut().for_each(mask_value)
                    }
                    Value::String(token) if is_secret(key) => *token = "***".to_owned(),
                    other => mask(other),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(mask),
        _ => {}
    }
}

/// The session's token, and that of a registry of images (ECR API, `authorizationToken`).
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.ends_with("sessiontoken") || key == "authorizationtoken"
}

fn mask_value(variable: &mut Value) {
    if let Some(value) = variable.get_mut("value") {
        let length = value.as_str().map_or(0, |v| v.chars().count());
        *value = Value::from(format!("*** ({length} characters)"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked() {
        let header = "AWS4-HMAC-SHA256 Credential=AKIA/x, SignedHeaders=host, Signature=abcdef";
        assert!(!masked_header("Authorization", header).contains("abcdef"));
        assert_eq!(masked_header("X-Amz-Security-Token", "t"), "***");
        let shown = body(
            ">",
            &SdkBody::from(
                r#"{"a":{"environment":[{"name":"DB_PASSWORD","value":"hunter2"}]},"jobName":"b"}"#,
            ),
        );
        assert!(!shown.contains("hunter2") && shown.contains("\"b\""), "{shown}");
        let answer =
            r#"{"authorizationData":[{"authorizationToken":"QVdTOnRva2Vu","proxyEndpoint":"https://r"}]}"#;
        let shown = body("<", &SdkBody::from(answer));
        assert!(!shown.contains("QVdT") && shown.contains("https://r"), "{shown}");
    }
}
