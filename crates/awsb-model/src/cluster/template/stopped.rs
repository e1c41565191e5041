//! The template of a change to a cluster that is stopped, or some of whose environments are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::build::Template;

/// The metadata of an environment that a template stops: the vCPUs that it keeps running when it
/// is started.
const MINIMUM: &str = "awsb:MinvCpus";

/// The environments of a cluster that are stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoppedEnvironments {
    /// Their logical IDs.
    pub ids: BTreeSet<String>,
    /// Whether these are all environments of the cluster: a new one is stopped, too.
    pub are_all: bool,
}

impl Template {
    /// The same template for a stack in which some environments are stopped. `current` is the
    /// template that the stack has.
    ///
    /// CloudFormation sends all properties of an environment with a change of any, its state among
    /// them. So an environment that is stopped and that changes is disabled in the template, too,
    /// and keeps no vCPUs. One that does not change is left as the stack has it.
    #[must_use]
    pub fn with_stopped(mut self, current: &str, stopped: &StoppedEnvironments) -> Self {
        let current = serde_json::from_str::<Value>(current).unwrap_or_default();
        let changed = self.changed(&current["Resources"]);
        let resources = self.value_mut().get_mut("Resources").and_then(Value::as_object_mut);
        for (id, resource) in resources.into_iter().flatten() {
            let before = &current["Resources"][id];
            let is_stopped = stopped.ids.contains(id) || (stopped.are_all && before.is_null());
            if !is_stopped || resource["Type"] != ENVIRONMENT {
                continue;
            }
            match changed.contains(id.as_str()) {
                true => stop(resource),
                false => *resource = before.clone(),
            }
        }
        self
    }

    /// The logical IDs of the resources that differ from those of another template, and of those
    /// that refer to one of them.
    fn changed(&self, current: &Value) -> BTreeSet<String> {
        let resources = self.value()["Resources"].as_object();
        let all: Vec<(&String, &Value)> = resources.into_iter().flatten().collect();
        let differs = |(id, resource): &&(&String, &Value)| started(resource) != started(&current[*id]);
        let mut changed: BTreeSet<String> = all.iter().filter(differs).map(|(id, _)| (*id).clone()).collect();
        loop {
            let refers = |(id, resource): &&(&String, &Value)| {
                !changed.contains(*id) && changed.iter().any(|other| refers_to(resource, other))
            };
            let more: Vec<String> = all.iter().filter(refers).map(|(id, _)| (*id).clone()).collect();
            if more.is_empty() {
                return changed;
            }
            changed.extend(more);
        }
    }

    /// The vCPUs that a resource of a template keeps running when it is started, if the template
    /// has stopped it.
    pub fn minimum_when_started(resource: &Value) -> Option<i32> {
        resource["Metadata"][MINIMUM].as_i64().and_then(|min| i32::try_from(min).ok())
    }
}

const ENVIRONMENT: &str = "AWS::Batch::ComputeEnvironment";

/// Disables an environment, which then keeps no vCPUs.
fn stop(environment: &mut Value) {
    let properties = &mut environment["Properties"];
    properties["State"] = "DISABLED".into();
    let min = &mut properties["ComputeResources"]["MinvCpus"];
    // An environment on Fargate has no minimum.
    if let Some(number) = min.as_i64() {
        *min = 0.into();
        environment["Metadata"] = json!({ MINIMUM: number });
    } else if let Some(resources) = properties["ComputeResources"].as_object_mut() {
        resources.remove("MinvCpus");
    }
}

/// An environment as it is when it is started; any other resource as it is.
fn started(resource: &Value) -> Value {
    let mut resource = resource.clone();
    if resource["Type"] == ENVIRONMENT {
        if let Some(min) = Template::minimum_when_started(&resource) {
            resource["Properties"]["ComputeResources"]["MinvCpus"] = min.into();
        }
        resource["Properties"]["State"] = "ENABLED".into();
        if let Some(resource) = resource.as_object_mut() {
            resource.remove("Metadata");
        }
    }
    resource
}

/// Whether a value has a reference to a resource in it: `Ref`, `Fn::GetAtt` or `Fn::Sub`.
fn refers_to(value: &Value, id: &str) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(key, value)| match (key.as_str(), value) {
            ("Ref", Value::String(name)) => name == id,
            ("Fn::GetAtt", Value::Array(words)) => words.first().is_some_and(|name| name == id),
            ("Fn::Sub", Value::String(text)) => {
                text.contains(&format!("${{{id}}}")) || text.contains(&format!("${{{id}."))
            }
            (_, value) => refers_to(value, id),
        }),
        Value::Array(values) => values.iter().any(|value| refers_to(value, id)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(min: i64, max: i64) -> Value {
        json!({
            "Type": ENVIRONMENT,
            "Properties": {
                "State": "ENABLED",
                "ComputeResources": {
                    "MinvCpus": min, "MaxvCpus": max, "LaunchTemplate": { "Ref": "LaunchTemplateA" },
                },
            },
        })
    }

    fn template(a: Value, more: Value) -> Template {
        let mut resources = json!({ "EnvironmentA": a, "EnvironmentB": environment(2, 8),
            "LaunchTemplateA": { "Type": "AWS::EC2::LaunchTemplate", "Properties": { "Size": 1 } } });
        resources.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Template::from_value(json!({ "Resources": resources }))
    }

    fn stopped(ids: &[&str], are_all: bool) -> StoppedEnvironments {
        StoppedEnvironments { ids: ids.iter().map(|id| (*id).to_owned()).collect(), are_all }
    }

    #[test]
    fn a_stopped_environment_is_disabled_only_where_it_changes() {
        let before = template(environment(4, 16), json!({}));
        let all = stopped(&["EnvironmentA", "EnvironmentB"], true);
        let same = before.clone().with_stopped(&before.to_json(), &all);
        assert_eq!(same, before);
        let after = template(environment(4, 32), json!({ "EnvironmentC": environment(1, 2) }));
        let change = after.clone().with_stopped(&before.to_json(), &all);
        let of = |template: &Template, id: &str| {
            let resource = &template.value()["Resources"][id];
            let properties = &resource["Properties"];
            (
                properties["State"].as_str().unwrap().to_owned(),
                properties["ComputeResources"]["MinvCpus"].as_i64().unwrap(),
                Template::minimum_when_started(resource),
            )
        };
        assert_eq!(of(&change, "EnvironmentA"), ("DISABLED".into(), 0, Some(4)));
        assert_eq!(of(&change, "EnvironmentB"), ("ENABLED".into(), 2, None));
        assert_eq!(of(&change, "EnvironmentC"), ("DISABLED".into(), 0, Some(1)));
        // The same configuration again changes nothing.
        let all = stopped(&["EnvironmentA", "EnvironmentB", "EnvironmentC"], true);
        assert_eq!(after.clone().with_stopped(&change.to_json(), &all), change);
        // Once the cluster is started, the next change enables them in the template as well.
        let none = StoppedEnvironments::default();
        assert_eq!(after.clone().with_stopped(&change.to_json(), &none), after);
        // A new environment beside others that run is not stopped.
        let change = after.with_stopped(&before.to_json(), &stopped(&["EnvironmentB"], false));
        assert_eq!(of(&change, "EnvironmentC").0, "ENABLED");
    }

    #[test]
    fn a_resource_to_which_it_refers_changes_an_environment() {
        let before = template(environment(4, 16), json!({}));
        let launch = json!({ "Type": "AWS::EC2::LaunchTemplate", "Properties": { "Size": 2 } });
        let after = template(environment(4, 16), json!({ "LaunchTemplateA": launch }));
        let change = after.with_stopped(&before.to_json(), &stopped(&["EnvironmentA"], false));
        assert_eq!(change.value()["Resources"]["EnvironmentA"]["Properties"]["State"], "DISABLED");
    }
}
