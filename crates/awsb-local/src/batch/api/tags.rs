//! Tags of jobs, job definitions, queues, compute environments, scheduling policies and consumable
//! resources.

use serde_json::{Map, Value, json};

use super::Api;
use super::path::decoded;
use crate::batch::definition::{DefinitionName, kind_and_name};
use crate::batch::model::JobKey;
use crate::batch::request::{Spec, check_tags};
use crate::batch::resource_rows::ResourceKind;
use crate::batch::resources::ChangeError;
use crate::batch::store::Store;
use crate::http::body::json_object;
use crate::http::protocol::ApiError;

/// A resource with tags, as it is stored.
enum Tagged {
    Job(JobKey, Box<Spec>),
    Definition(String, i64, Value),
    Resource(ResourceKind, String, Value),
}

impl Tagged {
    /// Finds the resource that an ARN names.
    fn find(store: &Store, arn: &str) -> Result<Self, ChangeError> {
        let missing = || ChangeError::Refused(ApiError::client(format!("Resource not found: {arn}")));
        let (kind, name) = kind_and_name(arn).ok_or_else(missing)?;
        let kinds = [
            ResourceKind::Queue,
            ResourceKind::ComputeEnvironment,
            ResourceKind::Policy,
            ResourceKind::Consumable,
        ];
        match kind {
            // Children and nodes have the tags of their job.
            "job" => {
                let parent = name.split([':', '#']).next().unwrap_or(name);
                let key = store.find(parent)?.ok_or_else(missing)?;
                Ok(Self::Job(key, Box::new(store.spec(key)?)))
            }
            "job-definition" => {
                let name = DefinitionName::parse(arn);
                let revision = name.revision.ok_or_else(missing)?;
                let body = store.definition(&name.name, revision)?.ok_or_else(missing)?;
                Ok(Self::Definition(name.name, revision, body))
            }
            other => {
                let kind = kinds.into_iter().find(|kind| kind.as_str() == other).ok_or_else(missing)?;
                let body = store.resource(kind, name)?.ok_or_else(missing)?;
                Ok(Self::Resource(kind, name.to_owned(), body))
            }
        }
    }

    fn tags(&self) -> Map<String, Value> {
        let tags = match self {
            Self::Job(_, spec) => spec.rest.get("tags"),
            Self::Definition(_, _, body) | Self::Resource(_, _, body) => body.get("tags"),
        };
        tags.and_then(Value::as_object).cloned().unwrap_or_default()
    }

    fn store(mut self, store: &Store, tags: Map<String, Value>) -> Result<(), ChangeError> {
        match &mut self {
            Self::Job(key, spec) => {
                spec.rest.insert("tags".into(), Value::Object(tags));
                store.put_spec(*key, spec)?;
            }
            Self::Definition(name, revision, body) => {
                body["tags"] = Value::Object(tags);
                store.put_definition(name, *revision, body)?;
            }
            Self::Resource(kind, name, body) => {
                body["tags"] = Value::Object(tags);
                store.put_resource(*kind, name, body)?;
            }
        }
        Ok(())
    }
}

impl Api {
    /// API: ListTagsForResource.
    pub(super) async fn list_tags(&self, arn: String) -> Result<Value, ApiError> {
        self.engine.change(move |store| Ok(json!({"tags": Tagged::find(store, &arn)?.tags()}))).await
    }

    /// API: TagResource.
    pub(super) async fn tag(&self, arn: String, body: &[u8]) -> Result<Value, ApiError> {
        let request = json_object(body)?;
        let Some(new) = request["tags"].as_object().cloned() else {
            return Err(ApiError::client("tags is required"));
        };
        self.change_tags(arn, move |tags| tags.extend(new)).await
    }

    /// API: UntagResource.
    pub(super) async fn untag(&self, arn: String, query: &str) -> Result<Value, ApiError> {
        let keys: Vec<String> = query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("tagKeys="))
            .map(|key| decoded(&key.replace('+', " ")))
            .collect::<Result<_, _>>()?;
        self.change_tags(arn, move |tags| tags.retain(|name, _| !keys.contains(name))).await
    }

    async fn change_tags(
        &self,
        arn: String,
        change: impl FnOnce(&mut Map<String, Value>) + Send + 'static,
    ) -> Result<Value, ApiError> {
        self.engine
            .change(move |store| {
                let tagged = Tagged::find(store, &arn)?;
                let mut tags = tagged.tags();
                change(&mut tags);
                check_tags(&tags)?;
                tagged.store(store, tags)?;
                Ok(json!({}))
            })
            .await
    }
}
