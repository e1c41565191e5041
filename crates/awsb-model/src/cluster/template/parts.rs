//! The pieces that all parts of a template are made of.

use serde_json::{Map, Value, json};

use crate::cluster::config::{ClusterConfig, ClusterName, SecurityGroupId};
use crate::cluster::facts::ResolvedNetwork;
use crate::cluster::policy::statement::{Statement, document};
use crate::{Period, Tag};

/// The cluster that a template is for.
pub(super) struct Context<'a> {
    pub(super) name: &'a ClusterName,
    pub(super) config: &'a ClusterConfig,
    pub(super) network: &'a ResolvedNetwork,
}

/// The resources so far, in the order in which they are written.
#[derive(Default)]
pub(super) struct Resources(Map<String, Value>);

impl Resources {
    /// Adds a resource. Properties that are `null` are left out.
    pub(super) fn add(&mut self, id: impl Into<String>, kind: &str, properties: Value) {
        self.add_with(id, kind, properties, json!({}));
    }

    /// Adds a resource with attributes such as `DependsOn`.
    pub(super) fn add_with(
        &mut self,
        id: impl Into<String>,
        kind: &str,
        properties: Value,
        attributes: Value,
    ) {
        let mut resource = Map::new();
        resource.insert("Type".into(), kind.into());
        if let Value::Object(attributes) = without_nulls(attributes) {
            resource.extend(attributes);
        }
        resource.insert("Properties".into(), without_nulls(properties));
        self.0.insert(id.into(), Value::Object(resource));
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// The same value without members that are `null`.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// `Ref`.
pub(super) fn reference(id: &str) -> Value {
    json!({ "Ref": id })
}

/// `Fn::GetAtt`.
pub(super) fn attribute(id: &str, name: &str) -> Value {
    json!({ "Fn::GetAtt": [id, name] })
}

/// `Fn::Sub`, where the text has something to substitute.
pub(super) fn text(text: &str) -> Value {
    if text.contains("${") { json!({ "Fn::Sub": text }) } else { text.into() }
}

/// A policy document of a template.
pub(super) fn policy(statements: &[Statement]) -> Value {
    document(statements, text)
}

/// Attributes of a resource with data: whether it stays when the cluster is deleted. A create that
/// fails takes it away in either case.
pub(super) fn kept(keep: bool) -> Value {
    match keep {
        true => json!({ "DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain" }),
        false => json!({ "DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete" }),
    }
}

/// Whole days of a duration.
pub(super) fn days(period: Period) -> u64 {
    period.get().as_secs() / 86_400
}

/// Whole minutes of a duration.
pub(super) fn minutes(period: Period) -> u64 {
    period.get().as_secs() / 60
}

/// Security groups by their IDs.
pub(super) fn group_ids(groups: &[SecurityGroupId]) -> Value {
    groups.iter().map(|group| Value::from(group.as_str())).collect()
}

/// The tag of every resource of a cluster, and of its stack: the cluster's name.
pub const CLUSTER_TAG: &str = "awsb:cluster";

impl Context<'_> {
    /// The tags of a resource, as a list. Later ones win over earlier ones of the same key.
    pub(super) fn tags(&self, more: &[Tag]) -> Value {
        let Value::Object(map) = self.tag_map(more) else { return json!([]) };
        map.into_iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
    }

    /// The tags of a resource, as a map.
    pub(super) fn tag_map(&self, more: &[Tag]) -> Value {
        let mut map = Map::new();
        map.insert(CLUSTER_TAG.into(), reference("AWS::StackName"));
        for tag in self.config.tags.iter().chain(more) {
            map.insert(tag.key.clone(), tag.value.clone().into());
        }
        Value::Object(map)
    }

    /// The tag of a resource whose tags cannot be changed: only the cluster's, so that a change of
    /// the user's tags never replaces it.
    pub(super) fn fixed_tags(&self) -> Value {
        json!({ CLUSTER_TAG: reference("AWS::StackName") })
    }

    /// The path of roles.
    pub(super) fn role_path(&self) -> Value {
        text(&format!("{}${{AWS::StackName}}/", self.config.iam.path))
    }
}
