//! Jobs: submitting and looking at them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, page_size, with_token};
use crate::access::operation::Batch;
use crate::access::{Operation, Principal};
use crate::batch::definition::{DefinitionName, arn};
use crate::batch::lineage::{self, JobScope};
use crate::batch::reader::{Filter, JobRow, Listing, Snapshot};
use crate::batch::request::{self, Queue, SubmitJob, shape};
use crate::batch::resource_rows::ResourceKind;
use crate::batch::resources::{self, environments_of};
use crate::batch::{containment, describe, output};
use crate::home::space::NoSpace;
use crate::http::body::json_object;
use crate::http::protocol::ApiError;
use crate::time::now_ms;
use awsb_model::ADVICE;
use awsb_model::{Status, limits};

impl Api {
    pub(super) async fn submit_job(&self, who: Principal, body: &[u8]) -> Result<Value, ApiError> {
        if body.len() > limits::SUBMIT_JOB_BYTES {
            return Err(ApiError::client(format!(
                "The request is {} bytes long; SubmitJob takes at most {}",
                body.len(),
                limits::SUBMIT_JOB_BYTES
            )));
        }
        let request: SubmitJob = shape(request::checked_submission(json_object(body)?)?)?;
        let submitter = who.job();
        let plan = self
            .reader
            .read(move |db| {
                let scope = JobScope::of(db, &who)?;
                let (queue_name, name) = request::names(&request)?;
                let queue = queue(db, queue_name)?;
                let wanted = DefinitionName::parse(name);
                let Some(definition) = db.definition(&wanted, &scope.registrants())? else {
                    return Err(lineage::no_definition(name, db.has_definition(&wanted)?));
                };
                if who.contained().is_some() {
                    containment::check_contained(&definition.body)?;
                }
                let plan = request::plan(request, &definition, &queue)?;
                scope.check_room(db, plan.jobs())?;
                scope.check_dependencies(db, &plan.depends_on, Operation::Batch(Batch::SubmitJob))?;
                Ok(plan)
            })
            .await?;
        let job_name = plan.name.clone();
        let id = self.engine.submit(plan, submitter).await?;
        Ok(json!({"jobArn": arn("job", &id), "jobName": job_name, "jobId": id}))
    }

    pub(super) async fn describe_jobs(&self, who: Principal, body: Value) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        struct Request {
            jobs: Option<Vec<String>>,
        }
        let ids = shape::<Request>(body)?.jobs.ok_or_else(|| ApiError::client("jobs is required"))?;
        // API, DescribeJobs: "A list of up to 100 job IDs."
        if ids.len() > limits::DESCRIBE_JOBS_IDS {
            return Err(ApiError::client(format!(
                "up to 100 jobs can be described at once, not {}",
                ids.len()
            )));
        }
        let shortage = self.engine.shortage();
        let home = self.engine.home().to_owned();
        self.reader
            .read(move |db| {
                let scope = JobScope::of(db, &who)?;
                let mut jobs = Vec::new();
                for id in ids {
                    // An unknown job is left out, as on AWS.
                    let Some(mut row) = db.job(&id)? else { continue };
                    scope.check(db, Some(row.key), Operation::Batch(Batch::DescribeJobs))?;
                    explain_shortage(&mut row, shortage.as_ref());
                    let spec = db.readable(&mut row)?;
                    let mut attempts = db.attempts(describe::whose_attempts(&row, &spec))?;
                    output::mark_lost_output(db, &home, &mut row, &spec, &mut attempts)?;
                    jobs.push(describe::detail(&row, &spec, &attempts));
                }
                Ok(json!({"jobs": jobs}))
            })
            .await
    }

    pub(super) async fn list_jobs(&self, who: Principal, body: Value) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            job_queue: Option<String>,
            array_job_id: Option<String>,
            multi_node_job_id: Option<String>,
            job_status: Option<String>,
            max_results: Option<i64>,
            next_token: Option<String>,
            filters: Option<Vec<KeyValues>>,
        }
        #[derive(Deserialize)]
        struct KeyValues {
            name: Option<String>,
            values: Option<Vec<String>>,
        }
        let request: Request = shape(body)?;
        let status = match request.job_status.as_deref().filter(|s| !s.is_empty()) {
            // API, ListJobs: "If you don't specify a status, only RUNNING jobs are returned."
            None => Status::Running,
            Some(text) => {
                text.parse().map_err(|_| ApiError::client(format!("unknown jobStatus {text:?}")))?
            }
        };
        let filters: Vec<Filter> = request
            .filters
            .unwrap_or_default()
            .into_iter()
            .map(|f| filter(f.name.as_deref().unwrap_or(""), f.values.as_deref().unwrap_or_default()))
            .collect::<Result<_, _>>()?;
        // API, ListJobs.maxResults: up to 1,000 jobs, 100 with filters.
        let most = if filters.is_empty() { 1000 } else { 100 };
        let limit = page_size(request.max_results, most)?;
        // The first page is often asked for with an empty token, as ParallelCluster's awsbstat does
        // on AWS.
        let token = request.next_token.as_deref().filter(|token| !token.is_empty());
        let after = token.map(key_of_token).transpose()?;
        if filters.len() > 1 {
            return Err(ApiError::client("only one filter can be used at a time"));
        }
        let given = |text: Option<String>| text.filter(|t| !t.is_empty());
        let (queue_name, parent) =
            match (given(request.job_queue), given(request.array_job_id), given(request.multi_node_job_id)) {
                (Some(queue), None, None) => (queue, None),
                (None, Some(id), None) | (None, None, Some(id)) => (String::new(), Some(id)),
                _ => {
                    return Err(ApiError::client(
                        "exactly one of jobQueue, arrayJobId and multiNodeJobId is required",
                    ));
                }
            };
        let shortage = self.engine.shortage();
        self.reader
            .read(move |db| {
                let scope = JobScope::of(db, &who)?;
                let listing = match (parent, filters.into_iter().next()) {
                    (None, Some(filter)) => Listing::Filtered(queue(db, &queue_name)?.name, filter),
                    (None, None) => Listing::Queue(queue(db, &queue_name)?.name, status),
                    // API, ListJobs.filters: they do not apply to children and nodes.
                    (Some(id), _) => match db.find(&id)? {
                        Some(key) => {
                            scope.check(db, Some(key), Operation::Batch(Batch::ListJobs))?;
                            Listing::Children(key, status)
                        }
                        None => return Ok(json!({"jobSummaryList": []})),
                    },
                };
                let mut rows = db.list(&listing, scope.lineage(), after, limit + 1)?;
                rows.iter_mut().for_each(|row| explain_shortage(row, shortage.as_ref()));
                let more = rows.len() > limit;
                rows.truncate(limit);
                let next = rows.last().filter(|_| more).map(|row| row.key.0.to_string());
                let mut jobs = Vec::with_capacity(rows.len());
                let mut last = None;
                for row in &mut rows {
                    // Children share their parent's spec: read it once.
                    let spec = match &last {
                        Some((owner, spec)) if *owner == row.owner => {
                            db.report_damage(row);
                            spec
                        }
                        _ => &last.insert((row.owner, db.readable(row)?)).1,
                    };
                    jobs.push(describe::summary(row, spec));
                }
                Ok(with_token(json!({"jobSummaryList": jobs}), next))
            })
            .await
    }

    /// API: GetJobQueueSnapshot. `earliestTimeAtPosition` is when the job was submitted: since when
    /// it has been where it is now, nobody has written down.
    pub(super) async fn snapshot(&self, request: &Value) -> Result<Value, ApiError> {
        let text = request["jobQueue"].as_str().unwrap_or("").to_owned();
        let queue = self.reader.read(move |db| queue(db, &text)).await?;
        let snapshot = self.engine.queue_snapshot(queue.name).await?;
        let utilization = utilization(&snapshot.usage, queue.shares);
        self.reader
            .read(move |db| {
                let mut jobs = Vec::with_capacity(snapshot.front.len());
                for key in snapshot.front {
                    if let Some(row) = db.job_of(key)? {
                        let job = arn("job", &row.id);
                        jobs.push(json!({"jobArn": job, "earliestTimeAtPosition": row.created_at}));
                    }
                }
                Ok(json!({
                    "frontOfQueue": {"jobs": jobs, "lastUpdatedAt": now_ms()},
                    "queueUtilization": utilization,
                }))
            })
            .await
    }
}

/// The most shares in a snapshot of a queue (API, FairshareUtilizationDetail: "A list of the top 20
/// shares").
const SHARES: usize = 20;

/// API: QueueSnapshotUtilizationDetail.
fn utilization(usage: &[(String, u32)], shares: bool) -> Value {
    let total: u32 = usage.iter().map(|(_, vcpus)| vcpus).sum();
    let mut utilization =
        json!({"totalCapacityUsage": describe::capacity(total.into()), "lastUpdatedAt": now_ms()});
    if shares {
        let top = usage.iter().take(SHARES).map(|(share, vcpus)| {
            json!({"shareIdentifier": share, "capacityUsage": describe::capacity((*vcpus).into())})
        });
        utilization["fairshareUtilization"] =
            json!({"activeShareCount": usage.len(), "topCapacityUtilization": top.collect::<Vec<_>>()});
    }
    utilization
}

/// A job that waits is not started while the disk is full. The code is one of those of Batch's for
/// jobs that are stuck (User Guide, job_stuck_in_runnable begins them so); it is not written down,
/// as nothing can be.
fn explain_shortage(row: &mut JobRow, shortage: Option<&NoSpace>) {
    if let Some(shortage) = shortage.filter(|_| row.status == Status::Runnable) {
        row.status_reason = Some(format!("CAPACITY:DISK_FULL - {shortage}{ADVICE}{}", shortage.advice()));
    }
}

/// The queue that a request names, by name or ARN.
fn queue(db: &Snapshot, text: &str) -> Result<Queue, ApiError> {
    let name = ResourceKind::Queue.name_in(text);
    let body = db
        .resource(ResourceKind::Queue, name)?
        .ok_or_else(|| ApiError::client(format!("JobQueue {text} not found or not ready")))?;
    // API, CreateJobQueue.computeEnvironmentOrder: those of a queue are all of one kind.
    let mut platform = "EC2";
    for environment in environments_of(&body).into_iter().take(1) {
        let environment = db.resource(ResourceKind::ComputeEnvironment, &environment)?;
        platform = environment.as_ref().map_or(platform, resources::platform);
    }
    Ok(Queue {
        platform,
        name: name.to_owned(),
        enabled: body["state"] != "DISABLED",
        shares: body["schedulingPolicyArn"].is_string(),
    })
}

fn filter(name: &str, values: &[String]) -> Result<Filter, ApiError> {
    let value =
        values.first().ok_or_else(|| ApiError::client(format!("filter {name}: a value is required")))?;
    let time =
        || value.parse().map_err(|_| ApiError::client(format!("filter {name}: {value:?} is no time in ms")));
    match name {
        "JOB_NAME" => Ok(Filter::Name(value.clone())),
        "JOB_DEFINITION" => Ok(Filter::Definition(DefinitionName::parse(value))),
        "SHARE_IDENTIFIER" => Ok(Filter::Share(value.clone())),
        "BEFORE_CREATED_AT" => Ok(Filter::Before(time()?)),
        "AFTER_CREATED_AT" => Ok(Filter::After(time()?)),
        other => Err(ApiError::client(format!("unknown filter {other:?}"))),
    }
}

pub(super) fn key_of_token(token: &str) -> Result<i64, ApiError> {
    token.parse().map_err(|_| ApiError::client("invalid nextToken"))
}
