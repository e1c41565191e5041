//! A whole template.

use serde_json::{Map, Value, json};

use super::parts::{Context, Resources};
use crate::cluster::config::{ClusterConfig, ClusterName};
use crate::cluster::facts::ResolvedNetwork;

/// Bytes of a template that is sent with a request (CloudFormation User Guide, `Quotas`).
pub const BODY_BYTES: usize = 51_200;
/// Bytes of a template in S3 (the same page).
pub const OBJECT_BYTES: usize = 1 << 20;

/// A CloudFormation template.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Value);

/// The template of a cluster. The same cluster always has the same text.
pub fn template(name: &ClusterName, config: &ClusterConfig, network: &ResolvedNetwork) -> Template {
    let context = Context { name, config, network };
    let mut resources = Resources::default();
    context.add_network(&mut resources);
    context.add_bucket(&mut resources);
    context.add_efs(&mut resources);
    context.add_logs(&mut resources);
    context.add_roles(&mut resources);
    context.add_images(&mut resources);
    context.add_environments(&mut resources);
    context.add_queues(&mut resources);
    context.add_definitions(&mut resources);
    context.add_events(&mut resources);
    let mut template = Map::new();
    template.insert("AWSTemplateFormatVersion".into(), "2010-09-09".into());
    template.insert("Description".into(), "A cluster of AWS Batch, made by awsb".into());
    template.insert("Metadata".into(), json!({ METADATA: { "config": config.to_toml() } }));
    template.insert("Parameters".into(), context.parameters());
    let conditions = context.conditions();
    if !conditions.is_null() {
        template.insert("Conditions".into(), conditions);
    }
    template.insert("Resources".into(), resources.into_value());
    template.insert("Outputs".into(), context.outputs());
    Template(Value::Object(template))
}

/// The member of a template's metadata that is awsb's.
const METADATA: &str = "awsb";

impl Template {
    /// The text of the template, on one line.
    pub fn to_json(&self) -> String {
        self.0.to_string()
    }

    /// The text of the template, for people.
    pub fn to_pretty_json(&self) -> String {
        format!("{:#}", self.0)
    }

    /// The template as a value that can be changed.
    pub(super) fn value_mut(&mut self) -> &mut Value {
        &mut self.0
    }

    /// A template of this value.
    #[cfg(test)]
    pub(super) fn from_value(value: Value) -> Self {
        Self(value)
    }

    /// The template as a value.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// The logical IDs of the resources and their types, in the template's order.
    pub fn resources(&self) -> impl Iterator<Item = (&str, &str)> {
        let resources = self.0.get("Resources").and_then(Value::as_object).into_iter().flatten();
        resources.filter_map(|(id, resource)| Some((id.as_str(), resource.get("Type")?.as_str()?)))
    }

    /// The same template for one stack, with the names of its bucket and log groups as plain texts.
    /// CloudFormation takes existing resources over only under such names (User Guide, `Import AWS
    /// resources into a CloudFormation stack automatically`: "Dynamic names (using !Ref or other
    /// functions) are not currently supported").
    #[must_use]
    pub fn with_static_names(&self, stack: &str, bucket: Option<&str>) -> Self {
        let mut template = self.0.clone();
        let resources = template.get_mut("Resources").and_then(Value::as_object_mut).into_iter().flatten();
        for (_, resource) in resources {
            let name = match resource["Type"].as_str() {
                Some("AWS::S3::Bucket") => ("BucketName", bucket.map(str::to_owned)),
                Some("AWS::Logs::LogGroup") => {
                    let name = resource["Properties"]["LogGroupName"]["Fn::Sub"].as_str();
                    let name = name.map(|name| name.replace("${AWS::StackName}", stack));
                    ("LogGroupName", name.filter(|name| !name.contains("${")))
                }
                _ => continue,
            };
            if let (property, Some(name)) = name {
                resource["Properties"][property] = name.into();
            }
        }
        Self(template)
    }

    /// Whether it can be sent with a request, without S3.
    pub fn fits_a_request(&self) -> bool {
        self.to_json().len() <= BODY_BYTES
    }

    /// The text of the configuration that the template of a stack was made from. `None`: the text
    /// is not JSON, or another tool has made it.
    pub fn config_text(template: &str) -> Option<String> {
        let template: Value = serde_json::from_str(template).ok()?;
        Some(template.get("Metadata")?.get(METADATA)?.get("config")?.as_str()?.to_owned())
    }
}
