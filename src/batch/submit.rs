//! SubmitJob.

use std::time::{Duration, Instant};

use aws_sdk_batch::types::{
    ArrayProperties, ContainerOverrides, JobTimeout, KeyValuePair, ResourceRequirement, ResourceType,
    RetryStrategy,
};
use aws_smithy_types::retry::RetryConfig;
use serde::Serialize;

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
        let sent = call(session, request)
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

/// The SDK's request for ours.
fn call(
    session: &Session,
    request: &SubmitRequest,
) -> aws_sdk_batch::operation::submit_job::builders::SubmitJobFluentBuilder {
    let overrides = &request.container_overrides;
    let environment =
        overrides.environment.iter().map(|v| KeyValuePair::builder().name(&v.name).value(&v.value).build());
    let resources = overrides
        .resource_requirements
        .iter()
        .map(|r| ResourceRequirement::builder().r#type(ResourceType::from(r.kind)).value(&r.value).build());
    let overrides = ContainerOverrides::builder()
        .set_command(Some(overrides.command.clone()))
        .set_environment(some_of(environment.collect()))
        .set_resource_requirements(some_of(resources.collect()));
    let array = request.array_size.map(|n| ArrayProperties::builder().size(n.cast_signed()).build());
    let retry = request.attempts.map(|n| RetryStrategy::builder().attempts(i32::from(n)).build());
    let timeout = request
        .timeout_seconds
        .map(|s| JobTimeout::builder().attempt_duration_seconds(s.cast_signed()).build());
    session
        .batch
        .submit_job()
        .job_name(&request.job_name)
        .job_queue(&request.job_queue)
        .job_definition(&request.job_definition)
        .container_overrides(overrides.build())
        .set_array_properties(array)
        .set_retry_strategy(retry)
        .set_timeout(timeout)
}

fn some_of<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
