//! The operations of AWS Batch: JSON in, JSON out.
//!
//! | module        | operations                                                                      |
//! |---------------|---------------------------------------------------------------------------------|
//! | `jobs`        | SubmitJob, DescribeJobs, ListJobs, GetJobQueueSnapshot                           |
//! | `ending`      | CancelJob, CancelJobs, TerminateJob, TerminateJobs                               |
//! | `definitions` | RegisterJobDefinition, DeregisterJobDefinition, DescribeJobDefinitions           |
//! | `queues`      | queues, compute environments, scheduling policies                                |
//! | `consumables` | consumable resources, and the jobs that require them                            |
//! | `absent`      | the operations that are not here, with the reason                                |
//! | `metadata`    | the ECS task metadata endpoint of containers                                     |
//! | `tags`        | TagResource, UntagResource, ListTagsForResource                                  |

mod absent;
mod consumables;
mod definitions;
mod ending;
mod jobs;
mod metadata;
mod path;
mod queues;
mod tags;

use serde_json::{Value, json};

pub use self::absent::absent;
use super::consumable;
use super::handle::Handle;
use super::messages::{Ending, Needs};
use super::reader::Reader;
use super::request::check_integers;
use super::resource_rows::ResourceKind;
use super::resources;
use crate::access::Principal;
use crate::access::operation::Batch;
use crate::http::body::json_object;
use crate::http::protocol::ApiError;

/// Batch, as far as it is here.
#[derive(Debug, Clone)]
pub struct Api {
    engine: Handle,
    reader: Reader,
}

impl Api {
    /// Batch over an engine and its database.
    pub fn new(engine: Handle, reader: Reader) -> Self {
        Self { engine, reader }
    }

    /// Answers one operation.
    ///
    /// # Errors
    /// As AWS would say it.
    pub async fn call(
        &self,
        operation: Batch,
        who: Principal,
        path: &str,
        query: Option<&str>,
        body: &[u8],
    ) -> Result<Value, ApiError> {
        let request = || checked(json_object(body)?);
        match operation {
            // These have limits of their own for the body.
            Batch::SubmitJob => self.submit_job(who, body).await,
            Batch::RegisterJobDefinition => self.register(who, body).await,
            Batch::DescribeJobs => self.describe_jobs(who, request()?).await,
            Batch::ListJobs => self.list_jobs(who, request()?).await,
            Batch::TerminateJob => self.end_job(who, request()?, Ending::Terminate).await,
            Batch::CancelJob => self.end_job(who, request()?, Ending::Cancel).await,
            Batch::TerminateJobs => self.end_jobs(who, request()?, Ending::Terminate).await,
            Batch::CancelJobs => self.end_jobs(who, request()?, Ending::Cancel).await,
            Batch::GetJobQueueSnapshot => self.snapshot(&request()?).await,
            Batch::DeregisterJobDefinition => self.deregister(&request()?).await,
            Batch::DescribeJobDefinitions => self.describe_definitions(who, request()?).await,
            Batch::DescribeComputeEnvironments => {
                self.describe(request()?, ResourceKind::ComputeEnvironment, "computeEnvironments").await
            }
            Batch::DescribeJobQueues => self.describe(request()?, ResourceKind::Queue, "jobQueues").await,
            Batch::DescribeSchedulingPolicies => self.describe_policies(request()?).await,
            Batch::ListSchedulingPolicies => self.list_policies(request()?).await,
            Batch::CreateComputeEnvironment => {
                self.change(Needs::Space, request()?, resources::create_environment).await
            }
            Batch::UpdateComputeEnvironment => {
                self.change(Needs::Space, request()?, resources::update_environment).await
            }
            Batch::DeleteComputeEnvironment => {
                self.change(Needs::NoSpace, request()?, |store, request| {
                    resources::delete_environment(store, &request)
                })
                .await
            }
            Batch::CreateJobQueue => self.change(Needs::Space, request()?, resources::create_queue).await,
            Batch::UpdateJobQueue => self.change(Needs::Space, request()?, resources::update_queue).await,
            Batch::DeleteJobQueue => {
                self.change(Needs::NoSpace, request()?, |store, request| {
                    resources::delete_queue(store, &request)
                })
                .await
            }
            Batch::CreateSchedulingPolicy => {
                self.change(Needs::Space, request()?, resources::create_policy).await
            }
            Batch::UpdateSchedulingPolicy => {
                self.change(Needs::Space, request()?, resources::update_policy).await
            }
            Batch::DeleteSchedulingPolicy => {
                self.change(Needs::NoSpace, request()?, |store, request| {
                    resources::delete_policy(store, &request)
                })
                .await
            }
            Batch::CreateConsumableResource => {
                self.change(Needs::Space, request()?, consumable::create).await
            }
            Batch::UpdateConsumableResource => {
                self.change(Needs::Space, request()?, consumable::update).await
            }
            Batch::DeleteConsumableResource => {
                self.change(Needs::NoSpace, request()?, |store, request| consumable::delete(store, &request))
                    .await
            }
            Batch::DescribeConsumableResource => self.describe_consumable(&request()?).await,
            Batch::ListConsumableResources => self.list_consumables(request()?).await,
            Batch::ListJobsByConsumableResource => self.list_consumers(request()?).await,
            Batch::ListTagsForResource => self.list_tags(tagged(path)?).await,
            Batch::TagResource => self.tag(tagged(path)?, body).await,
            Batch::UntagResource => self.untag(tagged(path)?, query.unwrap_or("")).await,
        }
    }
}

/// A request whose integers have been checked.
fn checked(request: Value) -> Result<Value, ApiError> {
    check_integers(&request)?;
    Ok(request)
}

/// The ARN in the path of an operation on tags.
fn tagged(path: &str) -> Result<String, ApiError> {
    path::decoded(path.strip_prefix("/v1/tags/").unwrap_or_default())
}

/// The size of a page: the one that is asked for, at most `most`.
fn page_size(asked: Option<i64>, most: usize) -> Result<usize, ApiError> {
    match asked {
        None => Ok(most),
        Some(n) if n >= 1 => Ok(usize::try_from(n).unwrap_or(most).min(most)),
        Some(n) => Err(ApiError::client(format!("maxResults must be at least 1, not {n}"))),
    }
}

fn with_token(mut answer: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    answer
}
