//! The names that a stack's template can refer to.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::expression::{self, ExpressionError, KNOWN_AFTER_APPLY, MOST_BYTES, Scope, Unknown};
use super::model::{Desired, Output, Resource};
use super::schema::Schemas;
use super::template::Template;
use crate::constants::{ACCOUNT, REGION};

/// The stack that a template is evaluated for.
#[derive(Debug)]
pub struct StackScope<'a> {
    /// The stack's name.
    pub name: &'a str,
    /// The stack's ARN.
    pub id: &'a str,
    /// The template.
    pub template: &'a Template,
    /// The parameters and tags.
    pub desired: &'a Desired,
    /// The resources that are there.
    pub resources: &'a BTreeMap<String, Resource>,
    /// The resources that are to be made or replaced, and attributes (`RESOURCE.ATTRIBUTE`) that
    /// are to change: their values are not known yet.
    pub unknown: &'a BTreeSet<String>,
    /// The conditions that are being evaluated, to find circles.
    open: RefCell<Vec<String>>,
    /// The conditions that have been evaluated: each is evaluated once.
    holds: RefCell<BTreeMap<String, Result<bool, ExpressionError>>>,
    /// The bytes that functions may still give.
    left: Cell<usize>,
    /// Whether a value that is not known yet has been asked for.
    met_unknown: Cell<bool>,
}

/// The most levels of conditions that refer to each other. AWS documents no limit; this one keeps
/// the stack of the thread from overflowing.
const MOST_LEVELS: usize = 100;

/// The evaluated properties of a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Properties {
    /// Their values.
    pub value: Value,
    /// Those of the values that are not known yet.
    pub unknown: Unknown,
}

impl<'a> StackScope<'a> {
    /// Of a stack.
    pub fn new(
        name: &'a str,
        id: &'a str,
        template: &'a Template,
        desired: &'a Desired,
        resources: &'a BTreeMap<String, Resource>,
        unknown: &'a BTreeSet<String>,
    ) -> Self {
        Self {
            name,
            id,
            template,
            desired,
            resources,
            unknown,
            open: RefCell::default(),
            holds: RefCell::default(),
            left: Cell::new(MOST_BYTES),
            met_unknown: Cell::default(),
        }
    }

    /// Whether a part of the template is there under its condition.
    pub fn is_active(&self, condition: Option<&String>) -> Result<bool, ExpressionError> {
        condition.map_or(Ok(true), |name| self.condition(name))
    }

    /// The logical IDs of the resources that are there under their conditions.
    ///
    /// # Errors
    /// When a condition cannot be evaluated.
    pub fn active(&self) -> Result<BTreeSet<String>, ExpressionError> {
        self.left.set(MOST_BYTES);
        let mut active = BTreeSet::new();
        for (logical, resource) in &self.template.resources {
            if self.is_active(resource.condition.as_ref())? {
                active.insert(logical.clone());
            }
        }
        Ok(active)
    }

    /// The properties of a resource: evaluated, with the stack's tags, each scalar in its type.
    ///
    /// # Errors
    /// When they cannot be evaluated.
    pub fn properties(&self, logical: &str) -> Result<Properties, ExpressionError> {
        let Some(resource) = self.template.resources.get(logical) else {
            return Err(ExpressionError(format!("there is no resource {logical}")));
        };
        self.left.set(MOST_BYTES);
        let evaluation = expression::evaluate_known(&resource.properties, self)
            .map_err(|e| ExpressionError(format!("{e} (resource {logical})")))?;
        let unknown = evaluation.unknown;
        let mut properties = evaluation.value.unwrap_or_else(|| json!({}));
        let Some(schema) = Schemas::built_in().of(&resource.kind) else {
            return Ok(Properties { value: properties, unknown });
        };
        if let Some(name) = schema.tag_property.as_deref().filter(|_| !self.desired.tags.is_empty()) {
            add_tags(&mut properties, name, schema.has_tags_as_map(), &self.desired.tags);
        }
        Ok(Properties { value: schema.coerce(&properties), unknown })
    }

    /// The outputs.
    ///
    /// # Errors
    /// When one cannot be evaluated.
    pub fn outputs(&self) -> Result<Vec<Output>, ExpressionError> {
        self.left.set(MOST_BYTES);
        let mut outputs = Vec::new();
        for (key, output) in &self.template.outputs {
            if !self.is_active(output.condition.as_ref())? {
                continue;
            }
            let text = |value: &Value| match expression::evaluate(value, self)? {
                Some(Value::String(text)) => Ok(text),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
                _ => Err(ExpressionError(format!(
                    "The Value field of every Outputs member must evaluate to a String ({key})."
                ))),
            };
            outputs.push(Output {
                key: key.clone(),
                value: text(&output.value)?,
                description: output.description.clone(),
                export: output.export.as_ref().map(text).transpose()?,
            });
        }
        Ok(outputs)
    }
}

/// Adds the tags of a stack to those of a resource, which win (UG, "Add tags to your stacks").
fn add_tags(properties: &mut Value, name: &str, is_map: bool, tags: &BTreeMap<String, String>) {
    if properties.get(name).is_none() {
        properties[name] = if is_map { json!({}) } else { json!([]) };
    }
    match &mut properties[name] {
        Value::Array(list) => {
            for (key, value) in tags {
                if !list.iter().any(|tag| tag["Key"] == key.as_str()) {
                    list.push(json!({"Key": key, "Value": value}));
                }
            }
        }
        Value::Object(map) => {
            for (key, value) in tags {
                map.entry(key).or_insert_with(|| json!(value));
            }
        }
        // The check of the properties refuses it.
        _ => {}
    }
}

impl Scope for StackScope<'_> {
    fn reference(&self, name: &str) -> Result<Option<Value>, ExpressionError> {
        let value = match name {
            "AWS::NoValue" => return Ok(None),
            "AWS::AccountId" => json!(ACCOUNT),
            "AWS::NotificationARNs" => json!(self.desired.notification_arns),
            "AWS::Partition" => json!("aws"),
            "AWS::Region" => json!(REGION),
            "AWS::StackId" => json!(self.id),
            "AWS::StackName" => json!(self.name),
            "AWS::URLSuffix" => json!("amazonaws.com"),
            name => {
                if let Some(parameter) = self.template.parameters.get(name) {
                    let text = self.desired.parameters.get(name).map(String::as_str).unwrap_or_default();
                    return Ok(Some(match parameter.is_list() {
                        true => json!(text.split(',').map(str::trim).collect::<Vec<_>>()),
                        false => json!(text),
                    }));
                }
                if self.unknown.contains(name) {
                    self.met_unknown.set(true);
                    return Ok(Some(json!(KNOWN_AFTER_APPLY)));
                }
                match self.resources.get(name).and_then(|resource| resource.physical_id.as_ref()) {
                    Some(id) => json!(id),
                    None => {
                        return Err(ExpressionError(format!("Unresolved resource dependency {name}")));
                    }
                }
            }
        };
        Ok(Some(value))
    }

    fn attribute(&self, resource: &str, attribute: &str) -> Result<Value, ExpressionError> {
        if self.unknown.contains(resource) || self.unknown.contains(&format!("{resource}.{attribute}")) {
            self.met_unknown.set(true);
            return Ok(json!(KNOWN_AFTER_APPLY));
        }
        let Some(resource_state) = self.resources.get(resource) else {
            return Err(ExpressionError(format!("Unresolved resource dependency {resource}")));
        };
        let settable = || resource_state.properties.get(attribute);
        resource_state.attributes.get(attribute).or_else(settable).cloned().ok_or_else(|| {
            ExpressionError(format!("Attribute '{attribute}' does not exist in resource {resource}"))
        })
    }

    fn condition(&self, name: &str) -> Result<bool, ExpressionError> {
        let Some(value) = self.template.conditions.get(name) else {
            return Err(ExpressionError(format!("unresolved condition dependency {name}")));
        };
        if let Some(holds) = self.holds.borrow().get(name) {
            return holds.clone();
        }
        if self.open.borrow().iter().any(|open| open == name) {
            return Err(ExpressionError(format!("circular condition dependency on {name}")));
        }
        if self.open.borrow().len() >= MOST_LEVELS {
            return Err(ExpressionError(format!(
                "conditions refer to each other over more than {MOST_LEVELS} levels, at {name}"
            )));
        }
        self.open.borrow_mut().push(name.to_owned());
        let holds = expression::condition(value, self);
        self.open.borrow_mut().pop();
        self.holds.borrow_mut().insert(name.to_owned(), holds.clone());
        holds
    }

    fn mappings(&self) -> &Value {
        &self.template.mappings
    }

    fn spend(&self, bytes: usize) -> Result<(), ExpressionError> {
        let left = self.left.get().checked_sub(bytes).ok_or_else(|| {
            ExpressionError(format!("the values of the functions have more than {MOST_BYTES} bytes together"))
        })?;
        self.left.set(left);
        Ok(())
    }

    fn has_met_unknown(&self) -> bool {
        self.met_unknown.take()
    }

    fn zones(&self) -> Vec<String> {
        ["a", "b", "c"].iter().map(|letter| format!("{REGION}{letter}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_evaluated_for_its_stack() {
        let template = json!({
            "Parameters": {"Stage": {"Type": "String"}, "Zones": {"Type": "CommaDelimitedList"}},
            "Mappings": {"Size": {"test": {"Max": 2}, "live": {"Max": 64}}},
            "Conditions": {
                "IsLive": {"Fn::Equals": [{"Ref": "Stage"}, "live"]},
                "IsTest": {"Fn::Not": [{"Condition": "IsLive"}]},
            },
            "Resources": {
                "Environment": {
                    "Type": "AWS::Batch::ComputeEnvironment",
                    "Properties": {
                        "Type": "MANAGED",
                        "ComputeResources": {
                            "Type": "EC2",
                            "MaxvCpus": {"Fn::FindInMap": ["Size", {"Ref": "Stage"}, "Max"]},
                            "Subnets": {"Ref": "Zones"},
                            "Ec2KeyPair": {"Fn::If": ["IsLive", "k", {"Ref": "AWS::NoValue"}]},
                        },
                    },
                },
                "Bucket": {
                    "Type": "AWS::S3::Bucket",
                    "Condition": "IsLive",
                    "Properties": {"Tags": [{"Key": "owner", "Value": "mine"}]},
                },
            },
            "Outputs": {
                "Name": {"Value": {"Fn::Sub": "${AWS::StackName}-${Stage}"}},
                "Live": {"Condition": "IsLive", "Value": {"Ref": "Bucket"}},
            },
        });
        let text = template.to_string();
        let template = Template::parse(&text, Schemas::built_in()).unwrap();
        let (none, nothing) = (BTreeMap::new(), BTreeSet::new());
        let desired = |stage: &str| Desired {
            parameters: BTreeMap::from([
                ("Stage".to_owned(), stage.to_owned()),
                ("Zones".to_owned(), "a, b".to_owned()),
            ]),
            tags: BTreeMap::from([
                ("owner".to_owned(), "stack".to_owned()),
                ("x".to_owned(), "y".to_owned()),
            ]),
            ..Desired::default()
        };
        let test = desired("test");
        let scope = StackScope::new("lab", "arn", &template, &test, &none, &nothing);
        assert_eq!(scope.active().unwrap(), BTreeSet::from(["Environment".to_owned()]));
        assert_eq!(
            scope.properties("Environment").unwrap().value,
            json!({
                "Type": "MANAGED",
                "ComputeResources": {"Type": "EC2", "MaxvCpus": 2, "Subnets": ["a", "b"]},
                "Tags": {"owner": "stack", "x": "y"},
            })
        );
        let outputs: Vec<String> = scope.outputs().unwrap().into_iter().map(|output| output.value).collect();
        assert_eq!(outputs, ["lab-test"]);
        let live = desired("live");
        let unknown = BTreeSet::from(["Bucket".to_owned()]);
        let scope = StackScope::new("lab", "arn", &template, &live, &none, &unknown);
        assert_eq!(scope.active().unwrap().len(), 2);
        // A tag of the resource's own wins.
        assert_eq!(
            scope.properties("Bucket").unwrap().value["Tags"],
            json!([{"Key": "owner", "Value": "mine"}, {"Key": "x", "Value": "y"}])
        );
        assert_eq!(scope.outputs().unwrap()[0].value, KNOWN_AFTER_APPLY);
        assert_eq!(
            scope.properties("Environment").unwrap().value["ComputeResources"]["Ec2KeyPair"],
            json!("k")
        );
    }

    #[test]
    fn values_that_are_not_known_yet_are_found_by_their_origin() {
        let template = json!({
            "Conditions": {"Never": {"Fn::Equals": ["a", "b"]}},
            "Resources": {
                "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "d"}},
                "Environment": {
                    "Type": "AWS::Batch::ComputeEnvironment",
                    "Properties": {
                        "Type": "MANAGED",
                        // A text of the user's is a text, whatever it is.
                        "ServiceRole": KNOWN_AFTER_APPLY,
                        "ComputeResources": {
                            "Type": {"Fn::If": ["Never", {"Ref": "Group"}, "EC2"]},
                            "MaxvCpus": 2,
                            "Subnets": [{"Ref": "AWS::NoValue"}, "a", {"Fn::Sub": "x-${Group}"}],
                            "SecurityGroupIds": {"Fn::Split": [",", {"Fn::GetAtt": ["Group", "GroupId"]}]},
                            "Tags": {"Fn::If": ["Never", {}, {"group": {"Ref": "Group"}}]},
                        },
                    },
                },
            },
        });
        let template = Template::parse(&template.to_string(), Schemas::built_in()).unwrap();
        let (none, desired) = (BTreeMap::new(), Desired::default());
        let unknown = BTreeSet::from(["Group".to_owned()]);
        let scope = StackScope::new("lab", "arn", &template, &desired, &none, &unknown);
        let properties = scope.properties("Environment").unwrap();
        let resources = &properties.value["ComputeResources"];
        assert_eq!(resources["Subnets"], json!(["a", format!("x-{KNOWN_AFTER_APPLY}")]));
        for (path, is_unknown) in [
            ("#/ServiceRole", false),
            ("#/ComputeResources", false),
            ("#/ComputeResources/Type", false),
            ("#/ComputeResources/Subnets/0", false),
            ("#/ComputeResources/Subnets/1", true),
            ("#/ComputeResources/SecurityGroupIds", true),
            ("#/ComputeResources/Tags/group", true),
        ] {
            assert_eq!(properties.unknown.has(path), is_unknown, "{path}");
        }
        let schema = Schemas::built_in().of("AWS::Batch::ComputeEnvironment").unwrap();
        assert_eq!(schema.check(&properties.value, &properties.unknown), []);
    }

    #[test]
    fn conditions_in_a_circle_are_refused() {
        // Also those that nothing uses.
        for user in ["A", "C"] {
            let template = json!({
                "Conditions": {
                    "A": {"Fn::Not": [{"Condition": "B"}]},
                    "B": {"Fn::Not": [{"Condition": "A"}]},
                    "C": {"Fn::Equals": ["a", "a"]},
                },
                "Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Condition": user}},
            });
            let refused = Template::parse(&template.to_string(), Schemas::built_in()).unwrap_err();
            assert!(refused.0.contains("ircular condition dependency between [A, B]"), "{refused:?}");
        }
    }

    /// Evaluates the conditions of a template that has a bucket under the condition named here.
    fn active(conditions: &Value, condition: &str) -> Result<usize, ExpressionError> {
        let template = json!({
            "Conditions": conditions,
            "Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Condition": condition}},
        });
        let template = Template::parse(&template.to_string(), Schemas::built_in()).unwrap();
        let (none, nothing, desired) = (BTreeMap::new(), BTreeSet::new(), Desired::default());
        let scope = StackScope::new("lab", "arn", &template, &desired, &none, &nothing);
        scope.active().map(|active| active.len())
    }

    /// Conditions that each use the one before them twice.
    fn doubling(levels: usize) -> Value {
        let condition = |level: usize| match level {
            0 => json!({"Fn::Equals": ["a", "a"]}),
            _ => {
                let before = json!({"Condition": format!("C{}", level - 1)});
                json!({"Fn::And": [before, before]})
            }
        };
        (0..levels).map(|level| (format!("C{level}"), condition(level))).collect()
    }

    #[test]
    fn each_condition_is_evaluated_once() {
        // Evaluated at each use, the last one would take 2^59 evaluations.
        assert_eq!(active(&doubling(60), "C59"), Ok(1));
    }

    #[test]
    fn conditions_have_a_limit_of_levels_that_keeps_the_thread_alive() {
        assert_eq!(active(&doubling(100), "C99"), Ok(1));
        let error = active(&doubling(5000), "C4999").unwrap_err();
        assert!(error.0.contains("more than 100 levels"), "{error}");
    }

    #[test]
    fn functions_cannot_make_a_small_template_large() {
        let text = "x".repeat(10_000);
        let many = |name: &str, count: usize| format!("${{{name}}}").repeat(count);
        let sub = json!({"Fn::Sub": [many("x", 5000), {"x": text}]});
        let level = |inner: Value| json!({"Fn::Sub": [many("x", 100), {"x": inner}]});
        let reference = json!({"Ref": "Text"});
        for (value, is_small) in [
            (json!({"Fn::Sub": [many("x", 50), {"x": text}]}), true),
            (sub.clone(), false),
            (level(level(level(json!("0123456789")))), false),
            (json!({"Fn::Join": [text, vec!["a"; 5000]]}), false),
            (json!({"Fn::Join": ["", vec![reference.clone(); 500]]}), false),
            (json!(vec![json!({"Fn::Base64": reference}); 500]), false),
            (json!(vec![json!({"Fn::FindInMap": ["M", "a", "b"]}); 500]), false),
        ] {
            let template = json!({
                "Parameters": {"Text": {"Type": "String"}},
                "Mappings": {"M": {"a": {"b": vec!["y"; 1000]}}},
                "Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": value}}},
                "Outputs": {"O": {"Value": value}},
            });
            let template = Template::parse(&template.to_string(), Schemas::built_in()).unwrap();
            let (none, nothing) = (BTreeMap::new(), BTreeSet::new());
            let parameters = BTreeMap::from([("Text".to_owned(), "z".repeat(4096))]);
            let desired = Desired { parameters, ..Desired::default() };
            let scope = StackScope::new("lab", "arn", &template, &desired, &none, &nothing);
            match scope.properties("Bucket") {
                Ok(_) => assert!(is_small),
                Err(e) => assert!(
                    !is_small && e.0.contains("more than 1048576 bytes together (resource Bucket)"),
                    "{e}"
                ),
            }
            assert_eq!(scope.outputs().is_ok(), is_small);
        }
    }
}
