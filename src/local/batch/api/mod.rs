//! The operations of AWS Batch: JSON in, JSON out.
//!
//! | module        | operations                                                                      |
//! |---------------|---------------------------------------------------------------------------------|
//! | `jobs`        | SubmitJob, DescribeJobs, ListJobs, CancelJob, TerminateJob                        |
//! | `definitions` | RegisterJobDefinition, DeregisterJobDefinition, DescribeJobDefinitions           |
//! | `resources`   | queues, compute environments, scheduling policies                                |
//! | `tags`        | TagResource, UntagResource, ListTagsForResource                                  |

mod definitions;
mod jobs;
mod resources;
mod tags;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::engine::Handle;
use super::reader::Reader;
use crate::local::error::ApiError;
use crate::local::http::{Principal, json_object};

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

    /// Answers one operation; its name is in the path.
    ///
    /// # Errors
    /// As AWS would say it.
    pub async fn call(
        &self,
        who: Principal,
        method: &Method,
        path: &str,
        query: Option<&str>,
        body: &[u8],
    ) -> Result<Value, ApiError> {
        let operation = path.strip_prefix("/v1/").unwrap_or("");
        if let Some(arn) = operation.strip_prefix("tags/") {
            return self.tags(method, arn, query.unwrap_or(""), body).await;
        }
        if *method != Method::POST {
            return Err(ApiError::unknown_operation(StatusCode::NOT_FOUND));
        }
        match operation {
            "submitjob" => return self.submit_job(who, body).await,
            "registerjobdefinition" => return self.register(who, body).await,
            _ => {}
        }
        let known = |request| self.known(operation, request);
        match known(json_object(body)?).await {
            Some(answer) => answer,
            None => Err(ApiError::unknown_operation(StatusCode::NOT_FOUND)),
        }
    }

    /// The operations whose bodies have no limit of their own.
    async fn known(&self, operation: &str, request: Value) -> Option<Result<Value, ApiError>> {
        Some(match operation {
            "describejobs" => self.describe_jobs(request).await,
            "listjobs" => self.list_jobs(request).await,
            "terminatejob" => self.end_job(request, false).await,
            "canceljob" => self.end_job(request, true).await,
            "getjobqueuesnapshot" => self.snapshot(&request).await,
            "deregisterjobdefinition" => self.deregister(&request).await,
            "describejobdefinitions" => self.describe_definitions(request).await,
            _ => return self.resources(operation, request).await,
        })
    }
}

/// How many a page is to have: what is asked for, at most `most`.
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
