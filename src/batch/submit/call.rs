//! The SDK's request for ours.

use aws_sdk_batch::operation::submit_job::builders::SubmitJobFluentBuilder;
use aws_sdk_batch::types::{
    ArrayProperties, ContainerOverrides, JobTimeout, KeyValuePair, ResourceRequirement, ResourceType,
    RetryStrategy,
};

use crate::cluster::Session;
use crate::job::{Mark, SubmitRequest};

/// SubmitJob, with the mark in the job's environment.
pub fn submit_job(session: &Session, request: &SubmitRequest, mark: &Mark) -> SubmitJobFluentBuilder {
    let overrides = &request.container_overrides;
    let environment =
        overrides.environment.iter().map(|v| KeyValuePair::builder().name(&v.name).value(&v.value).build());
    let mark = KeyValuePair::builder().name(Mark::VARIABLE).value(mark.to_string()).build();
    let resources = overrides
        .resource_requirements
        .iter()
        .map(|r| ResourceRequirement::builder().r#type(ResourceType::from(r.kind)).value(&r.value).build());
    let overrides = ContainerOverrides::builder()
        .set_command(Some(overrides.command.clone()))
        .set_environment(Some(environment.chain([mark]).collect()))
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
