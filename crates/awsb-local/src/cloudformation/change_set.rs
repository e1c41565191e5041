//! Change sets: what an update would do to each resource.
//!
//! The source is the API Reference, "ResourceChange", "ResourceChangeDetail" and
//! "ResourceTargetDefinition".

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::expression;
use super::model::{Desired, New, OnFailure, Resource, ResourceStatus, Stack};
use super::names;
use super::operation;
use super::schema::{self, Difference, Recreation, Schemas};
use super::scope::{Properties, StackScope};
use super::template::{Policy, ResourceTemplate, Template, TemplateError};

/// The words of a change set without changes, which the `aws` CLI looks for.
pub const NO_CHANGES: &str = "The submitted information didn't contain changes. Submit different information to \
                              create a change set.";

/// A change set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeSet {
    /// Its ARN.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its stack's ARN.
    pub stack: String,
    /// Its stack's name.
    pub stack_name: String,
    /// Whether its stack is made by it.
    pub is_create: bool,
    /// As the request has it.
    pub description: Option<String>,
    /// In milliseconds since the epoch.
    pub created_at: i64,
    /// API: ChangeSetStatus.
    pub status: String,
    /// API: ExecutionStatus.
    pub execution: String,
    /// Why it has failed.
    pub reason: Option<String>,
    /// The stack that it wants.
    pub desired: Desired,
    /// The changes, with all values.
    pub changes: Vec<Value>,
    /// The reaction to a failure.
    pub on_failure: Option<OnFailure>,
    /// The resources that exist already and are taken into the stack. `None`: that was not asked
    /// for.
    #[serde(default)]
    pub imports: Option<BTreeSet<String>>,
    /// The client's token and the request it came with.
    pub token: Option<(String, String)>,
    /// The token of the request that has executed it.
    pub execution_token: Option<String>,
    /// The findings of AWS's validation before the deployment (API: DescribeEvents).
    pub problems: Vec<Value>,
}

/// The effects of a template on a stack.
#[derive(Debug, Default)]
pub struct Plan {
    /// API: Change, with all values.
    pub changes: Vec<Value>,
    /// Whether the outputs change.
    pub changes_outputs: bool,
    /// The resources that are to be made, and whose names are known.
    pub new: Vec<New>,
    /// Properties that are wrong: the logical ID, the path and what.
    pub problems: Vec<(String, schema::Problem)>,
}

/// Attributes that change with a resource that is changed in place.
fn volatile(kind: &str, logical: &str) -> Option<String> {
    match kind {
        "AWS::EC2::LaunchTemplate" => Some(format!("{logical}.LatestVersionNumber")),
        // Each change is a revision of its own.
        "AWS::Batch::JobDefinition" => Some(logical.to_owned()),
        _ => None,
    }
}

fn is_there(resource: &Resource) -> bool {
    resource.physical_id.is_some()
        && !matches!(resource.status, ResourceStatus::DeleteComplete | ResourceStatus::DeleteSkipped)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The effects of a template on a stack.
///
/// # Errors
/// When the template cannot be evaluated.
pub fn plan(stack: &Stack, template: &Template, desired: &Desired) -> Result<Plan, TemplateError> {
    let wrong = |e: expression::ExpressionError| TemplateError(format!("Template error: {e}"));
    let mut plan = Plan::default();
    let mut unknown = BTreeSet::new();
    let none = BTreeSet::new();
    let active = StackScope::new(&stack.name, &stack.id, template, desired, &stack.resources, &none)
        .active()
        .map_err(wrong)?;
    let mut kinds = Vec::new();
    let mut bytes = 0;
    for logical in operation::order(template).into_iter().filter(|logical| active.contains(logical)) {
        let described = &template.resources[&logical];
        let scope = StackScope::new(&stack.name, &stack.id, template, desired, &stack.resources, &unknown);
        let after = scope.properties(&logical).map_err(wrong)?;
        bytes += expression::size(&after.value);
        expression::check_bytes(bytes).map_err(wrong)?;
        let old = stack.resources.get(&logical).filter(|old| is_there(old));
        let problems =
            Schemas::built_in().of(&described.kind).map(|schema| schema.check(&after.value, &after.unknown));
        let problems = problems.unwrap_or_default();
        match old {
            None => {
                let generation = stack.resources.get(&logical).map_or(0, |old| old.generation + 1);
                let name = names::physical(
                    &described.kind,
                    &stack.name,
                    &stack.id,
                    &logical,
                    generation,
                    &after.value,
                );
                plan.problems.extend(problems.into_iter().map(|problem| (logical.clone(), problem)));
                plan.changes.push(json!({
                    "Type": "Resource",
                    "ResourceChange": {
                        "Action": "Add",
                        "LogicalResourceId": logical,
                        "ResourceType": described.kind,
                        "Scope": [],
                        "Details": [],
                        "AfterContext": context(&after.value, described),
                    },
                }));
                let is_named = !names::property(&described.kind)
                    .is_some_and(|property| after.unknown.is_within(&format!("#/{property}")));
                plan.new.extend(is_named.then(|| New {
                    kind: described.kind.clone(),
                    logical: logical.clone(),
                    name,
                    properties: after.value,
                    generation,
                }));
                unknown.insert(logical);
            }
            Some(old) if old.kind != described.kind => kinds.push(logical),
            Some(old) => {
                let Some((change, replacement)) =
                    modification(&logical, old, &after, described, &unknown, stack, desired)
                else {
                    continue;
                };
                plan.problems.extend(problems.into_iter().map(|problem| (logical.clone(), problem)));
                plan.changes.push(change);
                match replacement {
                    Replacement::False => unknown.extend(volatile(&old.kind, &logical)),
                    Replacement::True | Replacement::Conditional => drop(unknown.insert(logical)),
                }
            }
        }
    }
    if !kinds.is_empty() {
        return Err(TemplateError(format!(
            "Update of resource type is not permitted. The new template modifies resource type of the following \
             resources: [{}]",
            kinds.join(", ")
        )));
    }
    for (logical, old) in
        stack.resources.iter().filter(|(logical, old)| !active.contains(*logical) && is_there(old))
    {
        let policy = match old.deletion_policy {
            Policy::RetainExceptOnCreate => Policy::Retain,
            other => other,
        };
        plan.changes.push(json!({
            "Type": "Resource",
            "ResourceChange": {
                "PolicyAction": policy.as_str(),
                "Action": "Remove",
                "LogicalResourceId": logical,
                "PhysicalResourceId": old.physical_id,
                "ResourceType": old.kind,
                "Scope": [],
                "Details": [],
                "BeforeContext": json!({"Properties": old.properties}).to_string(),
            },
        }));
    }
    plan.changes.sort_by_key(|change| text(&change["ResourceChange"]["LogicalResourceId"]));
    let scope = StackScope::new(&stack.name, &stack.id, template, desired, &stack.resources, &unknown);
    plan.changes_outputs = scope.outputs().map_err(wrong)? != stack.outputs;
    Ok(plan)
}

/// Whether a resource may be taken into a stack when it exists already: its name is a text of the
/// template, and its deletion policy keeps it (UG, "Import AWS resources into a CloudFormation
/// stack automatically").
pub fn is_importable(described: &ResourceTemplate) -> bool {
    names::is_static(&described.kind, &described.properties)
        && matches!(described.deletion_policy, Policy::Retain | Policy::RetainExceptOnCreate)
}

impl Plan {
    /// Takes an existing resource into the stack, in place of making it.
    pub fn import(&mut self, logical: &str, physical_id: &str) {
        let changes = self.changes.iter_mut().map(|change| &mut change["ResourceChange"]);
        for change in changes.filter(|change| change["LogicalResourceId"] == logical) {
            change["Action"] = json!("Import");
            change["PhysicalResourceId"] = json!(physical_id);
        }
    }
}

fn context(properties: &Value, described: &ResourceTemplate) -> String {
    let mut context = Map::new();
    context.insert("Properties".to_owned(), properties.clone());
    context.extend(described.other.iter().map(|(name, value)| (name.clone(), value.clone())));
    Value::Object(context).to_string()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replacement {
    True,
    False,
    Conditional,
}

impl Replacement {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Conditional => "Conditional",
        }
    }
}

/// The change of a resource that stays, if there is one.
fn modification(
    logical: &str,
    old: &Resource,
    after: &Properties,
    described: &ResourceTemplate,
    unknown: &BTreeSet<String>,
    stack: &Stack,
    desired: &Desired,
) -> Option<(Value, Replacement)> {
    let schema = Schemas::built_in().of(&old.kind)?;
    let mut details = Vec::new();
    let mut scope = BTreeSet::new();
    let mut replacement = Replacement::False;
    for difference in schema::differences(&old.properties, &after.value) {
        let recreation = schema.recreation(&difference);
        let path: String = difference.path.iter().map(|name| format!("/{name}")).collect();
        let is_dynamic = after.unknown.is_within(&format!("#{path}"));
        replacement = match (recreation, is_dynamic, replacement) {
            (Recreation::Always, false, _) | (_, _, Replacement::True) => Replacement::True,
            (Recreation::Never, _, so_far) => so_far,
            _ => Replacement::Conditional,
        };
        let is_tags = schema.tag_property.as_ref().is_some_and(|tags| difference.path.first() == Some(tags));
        let attribute = if is_tags { "Tags" } else { "Properties" };
        scope.insert(attribute);
        let (source, entity) = source(&difference, described, unknown, stack, desired);
        details.push(detail(attribute, &difference, recreation, is_dynamic, source, entity));
    }
    let others = [
        ("DeletionPolicy", json!(old.deletion_policy.as_str()), json!(described.deletion_policy.as_str())),
        (
            "UpdateReplacePolicy",
            json!(old.update_replace_policy.as_str()),
            json!(described.update_replace_policy.as_str()),
        ),
    ];
    let mut attributes: Vec<(&'static str, Option<Value>, Option<Value>)> =
        others.into_iter().map(|(name, before, after)| (name, Some(before), Some(after))).collect();
    attributes.extend(
        ["CreationPolicy", "Metadata", "UpdatePolicy"]
            .map(|name| (name, old.other.get(name).cloned(), described.other.get(name).cloned())),
    );
    for (name, before, after) in attributes.into_iter().filter(|(_, before, after)| before != after) {
        scope.insert(name);
        let difference = Difference { path: Vec::new(), before, after };
        details.push(detail(name, &difference, Recreation::Never, false, "DirectModification", None));
    }
    if details.is_empty() {
        return None;
    }
    let policy = match (replacement, described.update_replace_policy) {
        (Replacement::False, _) => None,
        (_, Policy::Retain | Policy::RetainExceptOnCreate) => Some("ReplaceAndRetain"),
        (_, Policy::Snapshot) => Some("ReplaceAndSnapshot"),
        (_, Policy::Delete) => Some("ReplaceAndDelete"),
    };
    let change = json!({
        "Type": "Resource",
        "ResourceChange": {
            "PolicyAction": policy,
            "Action": "Modify",
            "LogicalResourceId": logical,
            "PhysicalResourceId": old.physical_id,
            "ResourceType": old.kind,
            "Replacement": replacement.as_str(),
            "Scope": scope,
            "Details": details,
            "BeforeContext": json!({"Properties": old.properties}).to_string(),
            "AfterContext": context(&after.value, described),
        },
    });
    Some((change, replacement))
}

/// The source of a value's change: a parameter, another resource, or the template.
fn source(
    difference: &Difference,
    described: &ResourceTemplate,
    unknown: &BTreeSet<String>,
    stack: &Stack,
    desired: &Desired,
) -> (&'static str, Option<String>) {
    let mut value = &described.properties;
    for name in &difference.path {
        match value.get(name) {
            Some(inner) => value = inner,
            // A function gives the whole of it.
            None => break,
        }
    }
    for (name, attribute) in expression::references_with_attributes(value) {
        let is_unknown = |attribute: &String| unknown.contains(&format!("{name}.{attribute}"));
        match attribute {
            Some(attribute) if unknown.contains(&name) || is_unknown(&attribute) => {
                return ("ResourceAttribute", Some(format!("{name}.{attribute}")));
            }
            None if unknown.contains(&name) => return ("ResourceReference", Some(name)),
            None if desired.parameters.get(&name) != stack.desired.parameters.get(&name) => {
                return ("ParameterReference", Some(name));
            }
            _ => {}
        }
    }
    ("DirectModification", None)
}

fn detail(
    attribute: &str,
    difference: &Difference,
    recreation: Recreation,
    is_dynamic: bool,
    source: &str,
    entity: Option<String>,
) -> Value {
    let kind = match (&difference.before, &difference.after) {
        (None, _) => "Add",
        (_, None) => "Remove",
        _ => "Modify",
    };
    let path: String = difference.path.iter().map(|name| format!("/{name}")).collect();
    let is_property = matches!(attribute, "Properties" | "Tags");
    json!({
        "Target": {
            "Attribute": attribute,
            "Name": difference.path.first(),
            "RequiresRecreation": recreation.as_str(),
            "Path": if is_property { format!("/Properties{path}") } else { format!("/{attribute}") },
            "BeforeValue": difference.before.as_ref().map(text),
            "AfterValue": difference.after.as_ref().map(text),
            "AttributeChangeType": kind,
        },
        "Evaluation": if is_dynamic { "Dynamic" } else { "Static" },
        "ChangeSource": source,
        "CausingEntity": entity,
    })
}

/// A change without the values (API, DescribeChangeSet.IncludePropertyValues).
pub fn without_values(mut change: Value) -> Value {
    if let Some(resource) = change["ResourceChange"].as_object_mut() {
        resource.remove("BeforeContext");
        resource.remove("AfterContext");
        for detail in resource.get_mut("Details").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(target) = detail["Target"].as_object_mut() {
                for field in ["Path", "BeforeValue", "AfterValue", "AttributeChangeType"] {
                    target.remove(field);
                }
            }
        }
    }
    change
}
