//! Consumable resources, and the jobs that require them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::jobs::key_of_token;
use super::queues::page;
use super::{Api, page_size, with_token};
use crate::batch::consumable;
use crate::batch::definition::arn;
use crate::batch::reader::{JobRow, Snapshot};
use crate::batch::request::shape;
use crate::batch::resource_rows::ResourceKind;
use crate::http::protocol::ApiError;
use awsb_model::Status;

/// API: KeyValuesPair.
#[derive(Debug, Deserialize)]
struct KeyValues {
    name: Option<String>,
    values: Option<Vec<String>>,
}

/// The filters of a request. Unverified: that several may be used at once, and that one of a
/// filter's values is enough.
fn filters(request: &Value) -> Result<Vec<(String, Vec<String>)>, ApiError> {
    let filters: Option<Vec<KeyValues>> = request.get("filters").cloned().map(shape).transpose()?.flatten();
    let filters = filters.unwrap_or_default().into_iter();
    Ok(filters.map(|f| (f.name.unwrap_or_default(), f.values.unwrap_or_default())).collect())
}

/// Whether a name is one of these (API: "case-insensitive matches"; with `*` at its end, by its
/// start).
fn matches(values: &[String], name: &str) -> bool {
    let name = name.to_lowercase();
    values.iter().any(|value| {
        let value = value.to_lowercase();
        match value.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == value,
        }
    })
}

/// The consumable resource that a request names, by name or ARN.
fn named(db: &Snapshot, request: &Value) -> Result<(String, Value), ApiError> {
    let given = request["consumableResource"].as_str().unwrap_or("");
    let name = ResourceKind::Consumable.name_in(given);
    let body = db
        .resource(ResourceKind::Consumable, name)?
        .ok_or_else(|| ApiError::client(format!("Consumable resource {given:?} does not exist")))?;
    Ok((name.to_owned(), body))
}

impl Api {
    /// API: DescribeConsumableResource.
    pub(super) async fn describe_consumable(&self, request: &Value) -> Result<Value, ApiError> {
        let in_use = self.engine.in_use().await?;
        let request = request.clone();
        let (name, body) = self.reader.read(move |db| named(db, &request)).await?;
        Ok(consumable::described(body, in_use.get(&name).copied().unwrap_or(0)))
    }

    /// API: ListConsumableResources.
    pub(super) async fn list_consumables(&self, request: Value) -> Result<Value, ApiError> {
        let filters = filters(&request)?;
        if let Some((other, _)) = filters.iter().find(|(name, _)| name != "CONSUMABLE_RESOURCE_NAME") {
            return Err(ApiError::client(format!("unknown filter {other:?}")));
        }
        let in_use = self.engine.in_use().await?;
        let mut all = self.all(ResourceKind::Consumable).await?;
        all.retain(|(name, _)| filters.iter().all(|(_, values)| matches(values, name)));
        let (page, next) = page(&request, all)?;
        let shown = |(name, body): (String, Value)| {
            consumable::summary(body, in_use.get(&name).copied().unwrap_or(0))
        };
        let summaries: Vec<Value> = page.into_iter().map(shown).collect();
        Ok(with_token(json!({"consumableResources": summaries}), next))
    }

    /// API: ListJobsByConsumableResource. Unverified: an array is one job of the list, and a job
    /// that has ended stays in it for as long as it is there.
    pub(super) async fn list_consumers(&self, request: Value) -> Result<Value, ApiError> {
        let (mut statuses, mut names) = (Vec::new(), Vec::new());
        for (name, values) in filters(&request)? {
            match name.as_str() {
                "JOB_STATUS" => {
                    let read = |text: &String| {
                        text.parse::<Status>().map_err(|_| {
                            ApiError::client(format!("filter JOB_STATUS: unknown status {text:?}"))
                        })
                    };
                    statuses.push(values.iter().map(read).collect::<Result<Vec<Status>, _>>()?);
                }
                "JOB_NAME" => names.push(values),
                other => return Err(ApiError::client(format!("unknown filter {other:?}"))),
            }
        }
        let limit = page_size(request["maxResults"].as_i64(), 100)?;
        let token = request["nextToken"].as_str().filter(|token| !token.is_empty());
        let before = token.map(key_of_token).transpose()?;
        self.reader
            .read(move |db| {
                let (resource, _) = named(db, &request)?;
                let is_listed = |row: &JobRow| {
                    statuses.iter().all(|of| of.contains(&row.status))
                        && names.iter().all(|values| matches(values, &row.name))
                };
                let mut rows = db.consumers(&resource, before, limit + 1, is_listed)?;
                let more = rows.len() > limit;
                rows.truncate(limit);
                let next = rows.last().filter(|_| more).map(|row| row.key.0.to_string());
                let mut jobs = Vec::with_capacity(rows.len());
                for row in &mut rows {
                    let spec = db.readable(row)?;
                    let properties = spec.rest.get("consumableResourceProperties").cloned();
                    let share = spec.rest.get("shareIdentifier").cloned().unwrap_or_default();
                    jobs.push(consumer(row, &spec.job_definition, properties, &resource, share));
                }
                Ok(with_token(json!({"jobs": jobs}), next))
            })
            .await
    }
}

/// API: ListJobsByConsumableResourceSummary. Unverified: `quantity` is that of an instance of the
/// job; `createdAt` is the job's.
fn consumer(
    row: &JobRow,
    definition: &str,
    properties: Option<Value>,
    resource: &str,
    share: Value,
) -> Value {
    let resource = arn(ResourceKind::Consumable.as_str(), resource);
    let list = properties.as_ref().and_then(|all| all["consumableResourceList"].as_array());
    let own = list.into_iter().flatten().find(|of| of["consumableResource"] == resource.as_str());
    let fields = [
        ("jobArn", json!(arn("job", &row.id))),
        ("jobQueueArn", json!(arn("job-queue", &row.queue))),
        ("jobName", json!(row.name)),
        ("jobDefinitionArn", json!(definition)),
        ("shareIdentifier", share),
        ("jobStatus", json!(row.status.as_str())),
        ("quantity", own.map_or(json!(0), |of| of["quantity"].clone())),
        ("statusReason", json!(row.status_reason)),
        ("startedAt", json!(row.started_at)),
        ("createdAt", json!(row.created_at)),
        ("consumableResourceProperties", properties.clone().unwrap_or_else(|| json!({}))),
    ];
    fields
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
