//! STS, which says whose credentials are used.

use aws_config::SdkConfig;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_types::error::metadata::ErrorMetadata;
use quick_xml::DeError;
use serde::Deserialize;

use super::query::{Answer, CallError, Parameters, QueryError, Service, operation, shape};
use super::trace::Trace;

/// The service.
const STS: Service = Service { name: "STS", signing_name: "sts", version: "2011-06-15", read_error: error };

/// A client of STS.
#[derive(Debug, Clone)]
pub struct Sts {
    identity: Operation<Parameters, IdentityAnswer, QueryError>,
}

impl Sts {
    /// A client for the region of `config`, if it has one; with `trace`, every exchange is shown.
    pub(super) fn new(config: &SdkConfig, trace: Option<Trace>) -> Option<Self> {
        let region = config.region()?.as_ref();
        Some(Self { identity: operation(&STS, "GetCallerIdentity", config, region, trace) })
    }

    /// Whose credentials are used.
    ///
    /// # Errors
    /// When STS cannot be asked.
    pub async fn identity(&self) -> Result<Identity, CallError> {
        let answer = self.identity.invoke(Parameters::default()).await.map_err(Box::new)?;
        Ok(answer.get_caller_identity_result)
    }
}

/// A caller of AWS (API `GetCallerIdentity`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Identity {
    /// The account's number.
    pub account: String,
    /// The caller's ARN.
    pub arn: String,
}

/// GetCallerIdentity's answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct IdentityAnswer {
    get_caller_identity_result: Identity,
}

impl Answer for IdentityAnswer {
    fn parse(xml: &str) -> Result<Self, DeError> {
        shape(xml, "GetCallerIdentityResponse")
    }
}

/// What an error answer says; nothing, when it is none of STS's.
fn error(xml: &str) -> ErrorMetadata {
    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Refusal {
        error: RefusalError,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct RefusalError {
        code: String,
        message: String,
    }

    let mut meta = ErrorMetadata::builder();
    if let Ok(Refusal { error }) = shape::<Refusal>(xml, "ErrorResponse")
        && !error.code.is_empty()
    {
        meta = meta.code(error.code).message(error.message);
    }
    meta.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity() {
        // The sample of the STS API Reference, GetCallerIdentity.
        let xml = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
   <Arn>arn:aws:iam::123456789012:user/Alice</Arn>
    <UserId>AIDACKCEVSQ6C2EXAMPLE</UserId>
    <Account>123456789012</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata><RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>"#;
        let identity = IdentityAnswer::parse(xml).unwrap().get_caller_identity_result;
        assert_eq!(identity.account, "123456789012");
        assert_eq!(identity.arn, "arn:aws:iam::123456789012:user/Alice");
    }

    #[test]
    fn errors() {
        let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>The security token \
                   included in the request is expired</Message></Error><RequestId>1</RequestId></ErrorResponse>";
        let meta = error(xml);
        assert_eq!(meta.code(), Some("ExpiredToken"));
        for other in ["", "<html/>", "<ErrorResponse/>", "{}"] {
            assert_eq!(error(other).code(), None, "{other}");
        }
    }
}
