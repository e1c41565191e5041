//! Service Quotas, which knows how much of something an account may have in a region.

use aws_config::SdkConfig;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::Deserialize;
use serde_json::json;

use super::query::json::{JsonCall, JsonService, json_operation};
use super::query::{CallError, QueryError};
use super::trace::Trace;

/// The service.
const SERVICE_QUOTAS: JsonService = JsonService { name: "Service Quotas", signing_name: "servicequotas" };

/// A client of Service Quotas.
#[derive(Debug, Clone)]
pub struct ServiceQuotas {
    quota: Operation<JsonCall, Answer, QueryError>,
}

/// GetServiceQuota's answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Answer {
    quota: Quota,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Quota {
    value: Option<f64>,
}

/// The quota of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountQuota {
    /// It has this value.
    Applied(u32),
    /// The account has the default value, which Service Quotas does not tell with it (API
    /// Reference, GetServiceQuota: "For some quotas, only the default values are available").
    Default,
    /// Nothing that knows quotas is there.
    Unknown,
}

impl ServiceQuotas {
    /// A client for a region; with `trace`, every exchange is shown.
    pub(super) fn new(config: &SdkConfig, region: &str, trace: Option<Trace>) -> Self {
        Self { quota: json_operation(&SERVICE_QUOTAS, "GetServiceQuota", config, region, trace) }
    }

    /// The quota of a service, such as `ec2`, with this code.
    ///
    /// # Errors
    /// When Service Quotas cannot be asked.
    pub async fn quota(&self, service: &str, code: &str) -> Result<AccountQuota, CallError> {
        let parameters = json!({ "ServiceCode": service, "QuotaCode": code });
        let call = JsonCall::targeted("ServiceQuotasV20190624.GetServiceQuota", parameters);
        match self.quota.invoke(call).await {
            Ok(answer) => {
                Ok(answer.quota.value.map(whole).map_or(AccountQuota::Unknown, AccountQuota::Applied))
            }
            Err(e) => of_error(e.code()).ok_or_else(|| Box::new(e)),
        }
    }
}

/// The quota that an error's code stands for. `None`: for none.
fn of_error(code: Option<&str>) -> Option<AccountQuota> {
    match code {
        Some("NoSuchResourceException") => Some(AccountQuota::Default),
        Some("UnknownOperationException") => Some(AccountQuota::Unknown),
        Some(_) | None => None,
    }
}

/// A quota as a whole number. One that is larger than all that can be asked for is the largest one.
fn whole(value: f64) -> u32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within the bounds")]
    {
        value.clamp(0.0, f64::from(u32::MAX)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_without_an_applied_value_has_the_default() {
        assert_eq!(of_error(Some("NoSuchResourceException")), Some(AccountQuota::Default));
        assert_eq!(of_error(Some("UnknownOperationException")), Some(AccountQuota::Unknown));
        assert_eq!(of_error(Some("AccessDeniedException")), None);
    }

    #[test]
    fn a_quota_is_a_whole_number() {
        let answer: Answer = serde_json::from_str(
            r#"{"Quota": {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A", "Value": 5.0, "Unit": "None"}}"#,
        )
        .unwrap();
        assert_eq!(answer.quota.value.map(whole), Some(5));
        assert_eq!((whole(-1.0), whole(1e12), whole(f64::NAN)), (0, u32::MAX, 0));
    }
}
