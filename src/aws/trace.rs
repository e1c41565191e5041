//! `--debug`: requests and answers on stderr, with secrets masked.

use std::io::Write;
use std::sync::Arc;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;

use awsb_model::{MASK, NamedIn, SecretWords, each_named_value, without_url_passwords, words};

/// An interceptor that shows every request and every response.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    secrets: Arc<SecretWords>,
}

impl Trace {
    /// An interceptor that masks these secrets.
    pub fn new(secrets: SecretWords) -> Self {
        Self { secrets: Arc::new(secrets) }
    }
}

/// The number of characters of a body that are shown.
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
        text.push_str(&body(">", request.body(), &self.secrets));
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
                text.push_str(&body("<", response.body(), &self.secrets));
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

/// A URL without the signature that the query of a presigned one has.
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
            None => MASK.to_owned(),
        },
        "x-amz-security-token" | "set-cookie" | "cookie" => MASK.to_owned(),
        _ => value.to_owned(),
    }
}

fn body(mark: &str, body: &SdkBody, secrets: &SecretWords) -> String {
    let Some(bytes) = body.bytes() else { return format!("{mark} (a streamed body)\n") };
    if bytes.is_empty() {
        return String::new();
    }
    let text = match serde_json::from_slice::<Value>(bytes) {
        Ok(mut json) => {
            mask(&mut json, secrets);
            json.to_string()
        }
        Err(_) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return format!("{mark} ({})\n", words::many(bytes.len(), "byte")),
        },
    };
    let text = without_url_passwords(&text);
    let shown: String = text.chars().take(SHOWN).collect();
    let cut = if shown.len() < text.len() { " …" } else { "" };
    format!("{mark} {shown}{cut}\n")
}

/// Masks the values of all variables in a document: a variable may be secret without a telling
/// name, and a bundle may contain others. Other named values are masked if they are secrets.
fn mask(json: &mut Value, secrets: &SecretWords) {
    each_named_value(json, &mut |named_in, name, value| match named_in {
        NamedIn::Variable => *value = format!("{MASK} ({})", words::many(value.chars().count(), "character")),
        NamedIn::Entry if secrets.is_secret(name, value) => MASK.clone_into(value),
        NamedIn::Entry => {}
    });
    mask_tokens(json);
}

/// Masks session tokens, and the tokens of registries (ECR API, `authorizationToken`).
fn mask_tokens(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            for (key, field) in fields {
                let key = key.to_ascii_lowercase();
                match field {
                    Value::String(token) if key.ends_with("sessiontoken") || key == "authorizationtoken" => {
                        MASK.clone_into(token);
                    }
                    other => mask_tokens(other),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(mask_tokens),
        _ => {}
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
        let shown = |text: &str| body(">", &SdkBody::from(text), &SecretWords::default());
        let request = shown(
            r#"{"a":{"environment":[{"name":"DB_URL","value":"hunter2"}],"command":["x://me:hunter2@h"]},"jobName":"b",
                "parameters":{"dbPassword":"hunter2","sample":"s1"},"tags":{"token":"hunter2"},
                "environmentVariablesOverride":[{"name":"AWSB_BUILD_ARGS","value":"hunter2","type":"PLAINTEXT"}]}"#,
        );
        assert!(!request.contains("hunter2"), "{request}");
        assert!(
            request.contains("\"b\"") && request.contains("\"s1\"") && request.contains("x://me:***@h"),
            "{request}"
        );
        let answer = shown(
            r#"{"authorizationData":[{"authorizationToken":"QVdTOnRva2Vu","proxyEndpoint":"https://r"}]}"#,
        );
        assert!(!answer.contains("QVdT") && answer.contains("https://r"), "{answer}");
    }
}
