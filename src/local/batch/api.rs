//! The operations of AWS Batch: JSON in, JSON out.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::container;
use super::definition::{self, DefinitionName, arn};
use super::describe;
use super::engine::Handle;
use super::reader::{Filter, Listing, Reader};
use super::request::{self, SubmitJob, shape};
use crate::job::{Status, limits};
use crate::local::capacity::Resources;
use crate::local::error::ApiError;
use crate::local::http::{Principal, json_object};

/// User Guide, service_limits: the RegisterJobDefinition payload.
const LONGEST_DEFINITION: usize = 24 * 1024;

/// Batch, as far as it is here.
#[derive(Debug, Clone)]
pub struct Api {
    engine: Handle,
    reader: Reader,
    capacity: Resources,
}

impl Api {
    /// Batch over an engine and its database.
    pub fn new(engine: Handle, reader: Reader, capacity: Resources) -> Self {
        Self { engine, reader, capacity }
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
        body: &[u8],
    ) -> Result<Value, ApiError> {
        let operation = path.strip_prefix("/v1/").unwrap_or("");
        if *method != Method::POST {
            return Err(ApiError::unknown_operation(StatusCode::NOT_FOUND));
        }
        match operation {
            "submitjob" => self.submit_job(who, body).await,
            "describejobs" => self.describe_jobs(json_object(body)?).await,
            "listjobs" => self.list_jobs(json_object(body)?).await,
            "terminatejob" => self.end_job(json_object(body)?, false).await,
            "canceljob" => self.end_job(json_object(body)?, true).await,
            "registerjobdefinition" => self.register(who, body).await,
            "deregisterjobdefinition" => self.deregister(json_object(body)?).await,
            "describejobdefinitions" => self.describe_definitions(json_object(body)?).await,
            "describejobqueues" => describe_one(
                &json_object(body)?,
                "jobQueues",
                "job-queue",
                crate::local::QUEUE,
                definition::queue_detail,
            ),
            "describecomputeenvironments" => describe_one(
                &json_object(body)?,
                "computeEnvironments",
                "compute-environment",
                crate::local::COMPUTE_ENVIRONMENT,
                || definition::compute_environment_detail(&self.capacity),
            ),
            _ => Err(ApiError::unknown_operation(StatusCode::NOT_FOUND)),
        }
    }

    async fn submit_job(&self, who: Principal, body: &[u8]) -> Result<Value, ApiError> {
        if body.len() > limits::SUBMIT_JOB_BYTES {
            return Err(ApiError::client(format!(
                "The request is {} bytes long; SubmitJob takes at most {}",
                body.len(),
                limits::SUBMIT_JOB_BYTES
            )));
        }
        let request: SubmitJob = shape(json_object(body)?)?;
        let (queue, name) = request::names(&request)?;
        definition::queue(queue)?;
        let name = name.to_owned();
        let wanted = DefinitionName::parse(&name);
        let definition = self
            .reader
            .read(move |db| Ok(db.definition(&wanted)?))
            .await?
            .ok_or_else(|| ApiError::client(format!("JobDefinition {name} not found or not ACTIVE")))?;
        if who == Principal::Container {
            container::check_contained(&definition.body)?;
        }
        let plan = request::plan(request, &definition)?;
        let job_name = plan.name.clone();
        let id = self.engine.submit(plan).await?;
        Ok(json!({"jobArn": arn("job", &id), "jobName": job_name, "jobId": id}))
    }

    async fn describe_jobs(&self, body: Value) -> Result<Value, ApiError> {
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
        self.reader
            .read(move |db| {
                let mut jobs = Vec::new();
                for id in ids {
                    // An unknown job is left out, as on AWS.
                    let Some(row) = db.job(&id)? else { continue };
                    jobs.push(describe::detail(&row, &db.spec(row.owner)?, &db.attempts(row.key)?));
                }
                Ok(json!({"jobs": jobs}))
            })
            .await
    }

    async fn list_jobs(&self, body: Value) -> Result<Value, ApiError> {
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
        // The first page is often asked for with an empty token, as ParallelCluster's awsbstat does on AWS.
        let token = request.next_token.as_deref().filter(|token| !token.is_empty());
        let after = token.map(key_of_token).transpose()?;
        if request.multi_node_job_id.is_some() {
            return Err(ApiError::client("multi-node parallel jobs are not there yet"));
        }
        let array = match (request.job_queue, request.array_job_id) {
            (Some(queue), None) => {
                definition::queue(&queue)?;
                None
            }
            (None, Some(id)) => Some(id),
            _ => {
                return Err(ApiError::client(
                    "exactly one of jobQueue, arrayJobId and multiNodeJobId is required",
                ));
            }
        };
        self.reader
            .read(move |db| {
                let listing = match (array, filters.into_iter().next()) {
                    (None, Some(filter)) => Listing::Filtered(filter),
                    (None, None) => Listing::Queue(status),
                    (Some(id), _) => match db.find(&id)? {
                        Some(key) => Listing::Children(key, status),
                        None => return Ok(json!({"jobSummaryList": []})),
                    },
                };
                let mut rows = db.list(&listing, after, limit + 1)?;
                let more = rows.len() > limit;
                rows.truncate(limit);
                let next = rows.last().filter(|_| more).map(|row| row.key.0.to_string());
                let mut jobs = Vec::with_capacity(rows.len());
                let mut definition = None;
                for row in &rows {
                    // Children share their parent's spec: read it once.
                    let known = match &definition {
                        Some((owner, name)) if *owner == row.owner => name,
                        _ => &definition.insert((row.owner, db.spec(row.owner)?.job_definition)).1,
                    };
                    jobs.push(describe::summary(row, known));
                }
                Ok(with_token(json!({"jobSummaryList": jobs}), next))
            })
            .await
    }

    async fn end_job(&self, body: Value, cancel: bool) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            job_id: Option<String>,
            reason: Option<String>,
        }
        let request: Request = shape(body)?;
        let id = request.job_id.ok_or_else(|| ApiError::client("jobId is required"))?;
        let reason = request.reason.ok_or_else(|| ApiError::client("reason is required"))?;
        self.engine.end(id, reason, cancel).await?;
        Ok(json!({}))
    }

    async fn register(&self, who: Principal, body: &[u8]) -> Result<Value, ApiError> {
        if body.len() > LONGEST_DEFINITION {
            return Err(ApiError::client(format!("a job definition has at most {LONGEST_DEFINITION} bytes")));
        }
        let Value::Object(mut body) = json_object(body)? else {
            return Err(ApiError::serialization("the body is not a JSON object"));
        };
        let name = body.remove("jobDefinitionName");
        let name = name.as_ref().and_then(Value::as_str).unwrap_or("").to_owned();
        definition::check_name(&name)?;
        if name == definition::BUILT_IN {
            return Err(ApiError::client(format!(
                "the job definition {name:?} is built in; take another name"
            )));
        }
        body.entry("containerOrchestrationType").or_insert_with(|| json!("ECS"));
        body.entry("parameters").or_insert_with(|| json!({}));
        body.entry("tags").or_insert_with(|| json!({}));
        let body = Value::Object(body);
        request::check_definition(&body)?;
        if who == Principal::Container {
            container::check_contained(&body)?;
        }
        let revision = self.engine.register(name.clone(), body).await?;
        Ok(json!({
            "jobDefinitionName": name,
            "jobDefinitionArn": arn("job-definition", &format!("{name}:{revision}")),
            "revision": revision,
        }))
    }

    async fn deregister(&self, body: Value) -> Result<Value, ApiError> {
        let text = body.get("jobDefinition").and_then(Value::as_str).unwrap_or("");
        let name = DefinitionName::parse(text);
        let Some(revision) = name.revision else {
            return Err(ApiError::client(format!(
                "jobDefinition must be NAME:REVISION or an ARN, not {text:?}"
            )));
        };
        if name.name == definition::BUILT_IN {
            return Err(ApiError::client(format!("the job definition {:?} is built in", name.name)));
        }
        self.engine.deregister(name.name, revision).await?;
        Ok(json!({}))
    }

    async fn describe_definitions(&self, body: Value) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request {
            job_definitions: Option<Vec<String>>,
            max_results: Option<i64>,
            job_definition_name: Option<String>,
            status: Option<String>,
            next_token: Option<String>,
        }
        let request: Request = shape(body)?;
        let active = match request.status.as_deref() {
            None => None,
            Some("ACTIVE") => Some(true),
            Some("INACTIVE") => Some(false),
            Some(other) => return Err(ApiError::client(format!("unknown status {other:?}"))),
        };
        let limit = page_size(request.max_results, 100)?;
        let token = request.next_token.unwrap_or_default();
        let after = match token.rsplit_once(':') {
            Some((name, revision)) => {
                let revision = revision.parse().map_err(|_| ApiError::client("invalid nextToken"))?;
                (name.to_owned(), revision)
            }
            None => (String::new(), 0),
        };
        self.reader
            .read(move |db| {
                let mut rows = Vec::new();
                match (request.job_definitions, request.job_definition_name) {
                    (Some(names), _) => {
                        for name in names {
                            rows.extend(db.definitions(
                                Some(&DefinitionName::parse(&name)),
                                active,
                                ("", 0),
                                limit,
                            )?);
                        }
                    }
                    (None, name) => {
                        let name = name.map(|name| DefinitionName { name, revision: None });
                        rows = db.definitions(name.as_ref(), active, (&after.0, after.1), limit + 1)?;
                    }
                }
                let more = rows.len() > limit;
                rows.truncate(limit);
                let next =
                    rows.last().filter(|_| more).map(|(name, revision, ..)| format!("{name}:{revision}"));
                let definitions: Vec<Value> = rows
                    .into_iter()
                    .map(|(name, revision, active, body)| {
                        let mut definition = Map::new();
                        definition.insert("jobDefinitionName".into(), json!(name));
                        let arn = arn("job-definition", &format!("{name}:{revision}"));
                        definition.insert("jobDefinitionArn".into(), json!(arn));
                        definition.insert("revision".into(), json!(revision));
                        definition.insert("status".into(), json!(if active { "ACTIVE" } else { "INACTIVE" }));
                        definition.extend(body.as_object().cloned().unwrap_or_default());
                        Value::Object(definition)
                    })
                    .collect();
                Ok(with_token(json!({"jobDefinitions": definitions}), next))
            })
            .await
    }
}

/// DescribeJobQueues and DescribeComputeEnvironments, for the one that there is.
fn describe_one(
    request: &Value,
    field: &str,
    kind: &str,
    name: &str,
    detail: impl Fn() -> Value,
) -> Result<Value, ApiError> {
    let names: Option<Vec<String>> = request.get(field).cloned().map(shape).transpose()?.flatten();
    let asked = names
        .filter(|names| !names.is_empty())
        .is_none_or(|names| names.iter().any(|n| definition::resource_name(kind, n) == name));
    Ok(json!({ field: if asked { vec![detail()] } else { Vec::new() } }))
}

fn filter(name: &str, values: &[String]) -> Result<Filter, ApiError> {
    let value =
        values.first().ok_or_else(|| ApiError::client(format!("filter {name}: a value is required")))?;
    let time =
        || value.parse().map_err(|_| ApiError::client(format!("filter {name}: {value:?} is no time in ms")));
    match name {
        "JOB_NAME" => Ok(Filter::Name(value.clone())),
        "JOB_DEFINITION" => Ok(Filter::Definition(DefinitionName::parse(value))),
        "BEFORE_CREATED_AT" => Ok(Filter::Before(time()?)),
        "AFTER_CREATED_AT" => Ok(Filter::After(time()?)),
        other => Err(ApiError::client(format!("unknown filter {other:?}"))),
    }
}

fn page_size(asked: Option<i64>, most: usize) -> Result<usize, ApiError> {
    match asked {
        None => Ok(most),
        Some(n) if n >= 1 => Ok(usize::try_from(n).unwrap_or(most).min(most)),
        Some(n) => Err(ApiError::client(format!("maxResults must be at least 1, not {n}"))),
    }
}

fn key_of_token(token: &str) -> Result<i64, ApiError> {
    token.parse().map_err(|_| ApiError::client("invalid nextToken"))
}

fn with_token(mut answer: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    answer
}
