//! Retries and timeouts in requests and job definitions.

use serde::{Deserialize, Serialize};

use crate::batch::model::{ExitRule, Retry};
use crate::http::protocol::ApiError;
use awsb_model::limits;

/// API: RetryStrategy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryStrategy {
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluate_on_exit: Option<Vec<EvaluateOnExit>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EvaluateOnExit {
    #[serde(skip_serializing_if = "Option::is_none")]
    on_status_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_exit_code: Option<String>,
    action: String,
}

/// API: JobTimeout.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeout {
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_duration_seconds: Option<i64>,
}

impl RetryStrategy {
    /// The strategy of a job that names none.
    pub fn single() -> Self {
        Self { attempts: Some(1), evaluate_on_exit: Some(Vec::new()) }
    }
}

/// The retries of a job.
pub fn retry(strategy: Option<&RetryStrategy>) -> Result<Retry, ApiError> {
    let attempts = match strategy.and_then(|s| s.attempts) {
        None => 1,
        Some(n) if u8::try_from(n).is_ok_and(|n| limits::ATTEMPTS.contains(&n)) => {
            u32::try_from(n).unwrap_or(1)
        }
        Some(n) => return Err(ApiError::client(format!("retryStrategy: attempts must be 1 to 10, not {n}"))),
    };
    let rules = strategy.and_then(|s| s.evaluate_on_exit.as_deref()).unwrap_or_default();
    // API, RetryStrategy.evaluateOnExit: "If this parameter is specified, then the attempts
    // parameter must also be specified."
    if !rules.is_empty() && strategy.is_some_and(|s| s.attempts.is_none()) {
        return Err(ApiError::client("retryStrategy: evaluateOnExit needs attempts"));
    }
    if rules.len() > 5 {
        return Err(ApiError::client("retryStrategy: evaluateOnExit has at most 5 entries"));
    }
    let rules = rules.iter().map(|rule| {
        let retry = match rule.action.to_ascii_uppercase().as_str() {
            "RETRY" => true,
            "EXIT" => false,
            other => return Err(ApiError::client(format!("evaluateOnExit: unknown action {other:?}"))),
        };
        // API, EvaluateOnExit.onExitCode: "It can contain only numbers, and can end with an
        // asterisk".
        let digits = |code: &String| {
            let code = code.strip_suffix('*').unwrap_or(code);
            code.bytes().all(|b| b.is_ascii_digit())
        };
        if let Some(code) = rule.on_exit_code.as_ref().filter(|code| !digits(code)) {
            return Err(ApiError::client(format!(
                "evaluateOnExit: {code:?} is not the start of an exit code"
            )));
        }
        Ok(ExitRule {
            on_status_reason: rule.on_status_reason.clone(),
            on_reason: rule.on_reason.clone(),
            on_exit_code: rule.on_exit_code.clone(),
            retry,
        })
    });
    Ok(Retry { attempts, rules: rules.collect::<Result<_, _>>()? })
}

/// The time limit of an attempt, in seconds.
pub fn timeout_s(timeout: Option<&Timeout>) -> Result<Option<u32>, ApiError> {
    match timeout.and_then(|t| t.attempt_duration_seconds) {
        None => Ok(None),
        Some(s) if s >= i64::from(limits::TIMEOUT_MIN_SECONDS) => {
            Ok(Some(u32::try_from(s).unwrap_or(u32::MAX)))
        }
        Some(s) => Err(ApiError::client(format!(
            "timeout: attemptDurationSeconds must be at least 60 seconds, not {s}"
        ))),
    }
}
