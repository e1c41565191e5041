//! Queues, compute environments and scheduling policies.

use serde_json::{Value, json};

use super::{Api, page_size, with_token};
use crate::batch::messages::Needs;
use crate::batch::request::{check_tags, shape};
use crate::batch::resource_rows::ResourceKind;
use crate::batch::resources::ChangeError;
use crate::batch::store::Store;
use crate::http::protocol::ApiError;

impl Api {
    /// Makes, changes or removes one of these.
    pub(super) async fn change(
        &self,
        needs: Needs,
        request: Value,
        change: fn(&Store, Value) -> Result<Value, ChangeError>,
    ) -> Result<Value, ApiError> {
        if let Some(tags) = request.get("tags").and_then(Value::as_object) {
            check_tags(tags)?;
        }
        self.engine.change_with(needs, move |store| change(store, request)).await
    }

    /// API: DescribeComputeEnvironments and DescribeJobQueues. Names that do not exist are left
    /// out, as on AWS.
    pub(super) async fn describe(
        &self,
        request: Value,
        kind: ResourceKind,
        field: &'static str,
    ) -> Result<Value, ApiError> {
        let names: Option<Vec<String>> = request.get(field).cloned().map(shape).transpose()?.flatten();
        let mut all = self.all(kind).await?;
        if let Some(names) = names.filter(|names| !names.is_empty()) {
            all.retain(|(name, _)| names.iter().any(|asked| kind.name_in(asked) == name));
        }
        let (page, next) = page(&request, all)?;
        let bodies: Vec<Value> = page.into_iter().map(|(_, body)| body).collect();
        Ok(with_token(json!({ field: bodies }), next))
    }

    pub(super) async fn describe_policies(&self, request: Value) -> Result<Value, ApiError> {
        let arns: Vec<String> = request.get("arns").cloned().map(shape).transpose()?.unwrap_or_default();
        let mut all = self.all(ResourceKind::Policy).await?;
        all.retain(|(_, body)| arns.iter().any(|arn| body["arn"] == arn.as_str()));
        let bodies: Vec<Value> = all.into_iter().map(|(_, body)| body).collect();
        Ok(json!({"schedulingPolicies": bodies}))
    }

    pub(super) async fn list_policies(&self, request: Value) -> Result<Value, ApiError> {
        let (page, next) = page(&request, self.all(ResourceKind::Policy).await?)?;
        let arns: Vec<Value> = page.into_iter().map(|(_, body)| json!({"arn": body["arn"]})).collect();
        Ok(with_token(json!({"schedulingPolicies": arns}), next))
    }

    pub(super) async fn all(&self, kind: ResourceKind) -> Result<Vec<(String, Value)>, ApiError> {
        self.reader.read(move |db| Ok(db.resources(kind)?)).await
    }
}

pub(super) type NamedBodies = Vec<(String, Value)>;

/// The page that a request asks for, and the token of the next: the name of the last one shown.
pub(super) fn page(request: &Value, mut all: NamedBodies) -> Result<(NamedBodies, Option<String>), ApiError> {
    let limit = page_size(request["maxResults"].as_i64(), 100)?;
    if let Some(after) = request["nextToken"].as_str() {
        all.retain(|(name, _)| name.as_str() > after);
    }
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|(name, _)| name.clone());
    Ok((all, next))
}
