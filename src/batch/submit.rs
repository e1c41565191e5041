//! SubmitJob.

use std::time::{Duration, Instant};

use aws_smithy_types::retry::RetryConfig;
use serde::Serialize;

use super::wire;
use crate::cluster::{Session, Trouble, explain, trouble};
use crate::job::{JobId, SubmitRequest};
use crate::ui::Failure;

/// How long an error that leaves nothing open is tried again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A job that Batch has taken (API `SubmitJobResponse`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Submitted {
    /// Its ARN.
    pub job_arn: Option<String>,
    /// Its name.
    pub job_name: String,
    /// Its ID.
    pub job_id: String,
}

impl Submitted {
    /// The ID, typed.
    pub fn id(&self) -> JobId {
        JobId::from_batch(&self.job_id)
    }
}

/// Submits a job, once.
///
/// SubmitJob has no idempotency token, so the SDK's own retries, which would submit again after a lost
/// answer, are off. Only what leaves nothing open, a throttled request, is tried again.
///
/// # Errors
/// When Batch refuses the job or cannot be reached; after a lost answer the failure says that the job
/// may exist.
pub async fn submit(session: &Session, request: &SubmitRequest) -> Result<Submitted, Failure> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(500);
    let doing = format!("submitting the job {} to the queue {}", request.job_name, request.job_queue);
    loop {
        let sent = wire::submit_job(&session.batch, request)
            .customize()
            .config_override(aws_sdk_batch::config::Builder::new().retry_config(RetryConfig::disabled()));
        let error = match sent.send().await {
            Ok(answer) => match answer.job_id().filter(|id| !id.is_empty()) {
                Some(id) => {
                    return Ok(Submitted {
                        job_arn: answer.job_arn().map(str::to_owned),
                        job_name: answer.job_name().unwrap_or(&request.job_name).to_owned(),
                        job_id: id.to_owned(),
                    });
                }
                None => {
                    return Err(open(request, Failure::failed(format!("{doing}: the answer names no job"))));
                }
            },
            Err(e) => e,
        };
        match trouble(&error) {
            Trouble::Service { status: 429, .. } if begun.elapsed() + pause < PATIENCE => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            }
            Trouble::NoAnswer(_) | Trouble::Service { status: 500.., .. } => {
                return Err(open(request, explain(session, &doing, &error)));
            }
            _ => return Err(explain(session, &doing, &error)),
        }
    }
}

/// The failure that leaves open whether there is a job.
fn open(request: &SubmitRequest, failure: Failure) -> Failure {
    failure.hint(format!(
        "whether the job exists is not known: look for {} in `bstat -s ALL` before you submit it again",
        request.job_name
    ))
}
