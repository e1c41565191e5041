//! Ending jobs: one by one, and up to 50 in a call.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use crate::access::operation::Batch;
use crate::access::{Operation, Principal};
use crate::batch::lineage::JobScope;
use crate::batch::messages::{Ending, UnknownJobs};
use crate::batch::reader::Snapshot;
use crate::batch::request::shape;
use crate::http::protocol::ApiError;
use crate::runner::mask::masked;
use awsb_model::{JobId, limits};

impl Api {
    /// API: TerminateJob and CancelJob.
    pub(super) async fn end_job(
        &self,
        who: Principal,
        body: Value,
        ending: Ending,
    ) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            job_id: Option<String>,
            reason: Option<String>,
        }
        let request: Request = shape(body)?;
        let id = request.job_id.ok_or_else(|| ApiError::client("jobId is required"))?;
        let reason = request.reason.ok_or_else(|| ApiError::client("reason is required"))?;
        if who.contained().is_some() {
            let operation = permission(ending);
            let asked = id.clone();
            let check = move |db: &Snapshot| {
                // The writer itself rejects a request for an unknown job, with its own message.
                let Some(key) = db.find(&asked)? else { return Ok(()) };
                JobScope::of(db, &who)?.check(db, Some(key), operation)
            };
            self.reader.read(check).await?;
        }
        // A job may say a key of its own in it.
        self.engine.end(vec![id], masked(&reason), ending, UnknownJobs::Refused).await?;
        Ok(json!({}))
    }

    /// API: TerminateJobs and CancelJobs. The answer tells for each job whether its request was
    /// accepted: "The response returns an HTTP status code of 200 even when some jobs encountered
    /// errors", and "jobs that can't be found are treated as successfully processed". A job that is
    /// named twice is answered once.
    pub(super) async fn end_jobs(
        &self,
        who: Principal,
        body: Value,
        ending: Ending,
    ) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        struct Request {
            jobs: Option<Vec<String>>,
            reason: Option<String>,
        }
        let request: Request = shape(body)?;
        let asked = request.jobs.ok_or_else(|| ApiError::client("jobs is required"))?;
        let reason = request.reason.ok_or_else(|| ApiError::client("reason is required"))?;
        if asked.len() > limits::TERMINATE_JOBS_IDS {
            return Err(ApiError::client(format!(
                "up to {} jobs can be ended at once, not {}",
                limits::TERMINATE_JOBS_IDS,
                asked.len()
            )));
        }
        let mut ids: Vec<String> = Vec::with_capacity(asked.len());
        let mut errors = Vec::new();
        for id in asked {
            if ids.contains(&id) {
                continue;
            }
            // API, TerminateJobsErrorDetail: `ValidationException` is for an identifier that is
            // malformed. The form of IDs is not documented.
            match id.parse::<JobId>() {
                Ok(parsed) if parsed.as_str() == id => ids.push(id),
                _ => errors.push(error(&id, "ValidationException", "the job ID is malformed")),
            }
        }
        if who.contained().is_some() {
            let operation = permission(ending);
            let check = move |db: &Snapshot| {
                let scope = JobScope::of(db, &who)?;
                let mut allowed = Vec::with_capacity(ids.len());
                let mut denied = Vec::new();
                for id in ids {
                    let Some(key) = db.find(&id)? else {
                        allowed.push(id);
                        continue;
                    };
                    match scope.check(db, Some(key), operation) {
                        Ok(()) => allowed.push(id),
                        Err(e) if e.code == "AccessDeniedException" => {
                            denied.push(error(&id, "AccessDenied", &e.message));
                        }
                        Err(e) => return Err(e),
                    }
                }
                Ok((allowed, denied))
            };
            let (allowed, denied) = self.reader.read(check).await?;
            ids = allowed;
            errors.extend(denied);
        }
        self.engine.end(ids.clone(), masked(&reason), ending, UnknownJobs::Ignored).await?;
        Ok(json!({"successful": ids, "errors": errors}))
    }
}

/// The action that a caller needs for each job (API, TerminateJobs: "There is no separate
/// batch:TerminateJobs IAM action").
fn permission(ending: Ending) -> Operation {
    Operation::Batch(match ending {
        Ending::Terminate => Batch::TerminateJob,
        Ending::Cancel => Batch::CancelJob,
    })
}

/// API: TerminateJobsErrorDetail and CancelJobsErrorDetail.
fn error(id: &str, code: &str, message: &str) -> Value {
    json!({"job": id, "code": code, "message": message})
}
