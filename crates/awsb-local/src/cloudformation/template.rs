//! Templates: parsing them, and what can be wrong with one before anything is made.
//!
//! The source of the rules is the CloudFormation User Guide (UG), "Template sections" and "Resource
//! attribute reference".

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::expression;
use super::graph;
use super::schema::Schemas;
use crate::http::protocol::is_xml;

/// API, TemplateBody: "minimum length of 1 byte and a maximum length of 51,200 bytes".
pub const LONGEST_BODY: usize = 51_200;
/// UG, "CloudFormation quotas": a template in S3 has at most 1 MB.
pub const LONGEST_OBJECT: usize = 1024 * 1024;
/// UG, "CloudFormation quotas": 500 resources, 200 parameters, 200 outputs.
const MOST_RESOURCES: usize = 500;
const MOST_PARAMETERS: usize = 200;
const MOST_OUTPUTS: usize = 200;
/// The same page: 200 mappings, and 200 attributes of each.
const MOST_MAPPINGS: usize = 200;
const MOST_MAPPING_ATTRIBUTES: usize = 200;
/// The same page: "Parameter value: 4,096 bytes".
const LONGEST_PARAMETER: usize = 4096;
/// The same page: the names of parameters, mappings, resources and outputs have 255 characters.
const LONGEST_NAME: usize = 255;

/// A mistake in a template, in the words of a ValidationError.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError(pub String);

type Checked<T> = Result<T, TemplateError>;

fn wrong<T>(message: impl Into<String>) -> Checked<T> {
    Err(TemplateError(format!("Template format error: {}", message.into())))
}

/// The fate of a resource that leaves the stack (UG, "DeletionPolicy attribute" and
/// "UpdateReplacePolicy attribute").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Policy {
    /// It is deleted.
    #[default]
    Delete,
    /// It stays.
    Retain,
    /// It stays, unless the operation that has made it fails.
    RetainExceptOnCreate,
    /// A snapshot is made, and the resource is deleted. Nothing here has snapshots.
    Snapshot,
}

impl Policy {
    fn parse(logical: &str, attribute: &str, value: Option<&Value>) -> Checked<Option<Self>> {
        let Some(value) = value else { return Ok(None) };
        Ok(Some(match value.as_str() {
            Some("Delete") => Self::Delete,
            Some("Retain") => Self::Retain,
            Some("RetainExceptOnCreate") if attribute == "DeletionPolicy" => Self::RetainExceptOnCreate,
            Some("Snapshot") => Self::Snapshot,
            _ => return wrong(format!("Unrecognized {attribute} {value} for resource {logical}")),
        }))
    }

    /// As a template has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Retain => "Retain",
            Self::RetainExceptOnCreate => "RetainExceptOnCreate",
            Self::Snapshot => "Snapshot",
        }
    }
}

/// A parameter (UG, "Parameters").
#[derive(Debug, Clone)]
pub struct Parameter {
    /// String, Number, `List<Number>`, CommaDelimitedList, or an AWS-specific type.
    pub kind: String,
    /// The value when none is given.
    pub default: Option<String>,
    /// Whether its value is shown as `****`.
    pub no_echo: bool,
    /// Its purpose.
    pub description: Option<String>,
    /// The only values that it may have; none: any.
    pub allowed_values: Vec<String>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    min_value: Option<f64>,
    max_value: Option<f64>,
    constraint: Option<String>,
}

/// A resource as the template describes it.
#[derive(Debug, Clone)]
pub struct ResourceTemplate {
    /// AWS::Batch::JobQueue and the like.
    pub kind: String,
    /// Not evaluated yet.
    pub properties: Value,
    /// The condition under which it exists.
    pub condition: Option<String>,
    /// The resources that its template names or refers to.
    pub depends_on: BTreeSet<String>,
    /// Its fate when it leaves the stack.
    pub deletion_policy: Policy,
    /// The fate of the old one when it is replaced.
    pub update_replace_policy: Policy,
    /// Metadata, CreationPolicy and UpdatePolicy, which have no effect here.
    pub other: BTreeMap<String, Value>,
}

/// An output.
#[derive(Debug, Clone)]
pub struct OutputTemplate {
    /// Not evaluated yet.
    pub value: Value,
    /// Its value.
    pub description: Option<String>,
    /// The condition under which it exists.
    pub condition: Option<String>,
    /// Not evaluated yet.
    pub export: Option<Value>,
}

/// A template whose parts fit together.
#[derive(Debug, Clone)]
pub struct Template {
    /// Its purpose.
    pub description: Option<String>,
    /// Its Metadata section.
    pub metadata: Option<Value>,
    /// By name.
    pub parameters: BTreeMap<String, Parameter>,
    /// Its Mappings section.
    pub mappings: Value,
    /// Not evaluated yet, by name.
    pub conditions: Map<String, Value>,
    /// By logical ID.
    pub resources: BTreeMap<String, ResourceTemplate>,
    /// By name.
    pub outputs: BTreeMap<String, OutputTemplate>,
}

const SECTIONS: [&str; 8] = [
    "AWSTemplateFormatVersion",
    "Conditions",
    "Description",
    "Mappings",
    "Metadata",
    "Outputs",
    "Parameters",
    "Resources",
];
const ATTRIBUTES: [&str; 9] = [
    "Condition",
    "CreationPolicy",
    "DeletionPolicy",
    "DependsOn",
    "Metadata",
    "Properties",
    "Type",
    "UpdatePolicy",
    "UpdateReplacePolicy",
];

/// The pseudo parameters (UG, "Pseudo parameters reference").
pub const PSEUDO_PARAMETERS: [&str; 8] = [
    "AWS::AccountId",
    "AWS::NoValue",
    "AWS::NotificationARNs",
    "AWS::Partition",
    "AWS::Region",
    "AWS::StackId",
    "AWS::StackName",
    "AWS::URLSuffix",
];

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn section(template: &Map<String, Value>, name: &str) -> Checked<Map<String, Value>> {
    match template.get(name) {
        None => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map.clone()),
        Some(_) => wrong(format!("{name} must be an object")),
    }
}

/// UG, "Resources": "The logical ID must be alphanumeric (A-Za-z0-9) and unique".
fn check_names(section: &str, map: &Map<String, Value>) -> Checked<()> {
    match map.keys().find(|name| name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric())) {
        Some(name) => wrong(format!("{section} name {name} is non alphanumeric.")),
        None => check_lengths(section, map),
    }
}

fn check_lengths(section: &str, map: &Map<String, Value>) -> Checked<()> {
    match map.keys().find(|name| name.chars().count() > LONGEST_NAME) {
        Some(name) => {
            let start: String = name.chars().take(20).collect();
            wrong(format!("{section} name {start}... is longer than {LONGEST_NAME} characters."))
        }
        None => Ok(()),
    }
}

fn mappings(section: Map<String, Value>) -> Checked<Value> {
    check_lengths("Mapping", &section)?;
    if section.len() > MOST_MAPPINGS {
        return wrong(format!(
            "Number of mappings, {}, is greater than maximum allowed, {MOST_MAPPINGS}",
            section.len()
        ));
    }
    for (name, mapping) in &section {
        let Value::Object(mapping) = mapping else {
            return wrong(format!("Every Mappings member {name} must be a map"));
        };
        if mapping.len() > MOST_MAPPING_ATTRIBUTES {
            return wrong(format!(
                "Number of mapping attributes of {name}, {}, is greater than maximum allowed, \
                 {MOST_MAPPING_ATTRIBUTES}",
                mapping.len()
            ));
        }
    }
    Ok(Value::Object(section))
}

/// Where a value has a character that an answer in XML cannot hold.
fn unprintable(path: &str, value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (!text.chars().all(is_xml)).then(|| path.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, value)| unprintable(&format!("{path}/{index}"), value))
        }
        Value::Object(map) => map.iter().find_map(|(name, value)| match name.chars().all(is_xml) {
            true => unprintable(&format!("{path}/{name}"), value),
            false => Some(format!("{path}/{}", name.escape_debug())),
        }),
        _ => None,
    }
}

impl Template {
    /// Reads a template, and checks what can be checked without its parameters' values.
    ///
    /// # Errors
    /// The first thing that is wrong, as AWS would say it. Of a key that is there twice, the last
    /// value counts, as at AWS.
    pub fn parse(body: &str, schemas: &Schemas) -> Checked<Self> {
        let value: Value = match serde_json::from_str(body) {
            Ok(value) => value,
            Err(e) if body.trim_start().starts_with('{') => {
                return wrong(format!("JSON not well-formed. (line {}, column {})", e.line(), e.column()));
            }
            Err(_) => {
                return wrong(
                    "unsupported structure. The local cluster reads templates in JSON, not in YAML.",
                );
            }
        };
        if let Some(path) = unprintable("", &value) {
            return wrong(format!(
                "[{path}] has a control character, or another one that XML 1.0 cannot hold."
            ));
        }
        let Value::Object(template) = value else { return wrong("unsupported structure.") };
        if template.contains_key("Transform") {
            return wrong("the local cluster has no macros and transforms.");
        }
        if let Some(unknown) = template.keys().find(|key| !SECTIONS.contains(&key.as_str())) {
            return Err(TemplateError(format!("Invalid template property or properties [{unknown}]")));
        }
        match template.get("AWSTemplateFormatVersion") {
            None => {}
            Some(version) if version == "2010-09-09" => {}
            Some(other) => return wrong(format!("Unsupported template version {other}.")),
        }
        let description = match template.get("Description") {
            None => None,
            Some(Value::String(text)) if text.len() <= 1024 => Some(text.clone()),
            Some(_) => return wrong("'Description' length is greater than 1024, or it is not a string."),
        };
        let parsed = Self {
            description,
            metadata: template.get("Metadata").cloned(),
            parameters: parameters(&section(&template, "Parameters")?)?,
            mappings: mappings(section(&template, "Mappings")?)?,
            conditions: section(&template, "Conditions")?,
            resources: resources(&section(&template, "Resources")?, schemas)?,
            outputs: outputs(&section(&template, "Outputs")?)?,
        };
        parsed.check()?;
        parsed.check_attributes(schemas)?;
        Ok(parsed)
    }

    /// Finds the references between resources, and refuses circles.
    fn check(&self) -> Checked<()> {
        let mut unresolved = BTreeSet::new();
        let mut conditions: Vec<(&str, &str)> = Vec::new();
        for (logical, resource) in &self.resources {
            for name in
                expression::references(&resource.properties).chain(resource.depends_on.iter().cloned())
            {
                if !self.is_there(&name) {
                    unresolved.insert(name);
                }
            }
            if let Some(name) = resource.depends_on.iter().find(|name| !self.resources.contains_key(*name))
                && self.parameters.contains_key(name)
            {
                return wrong(format!(
                    "Unresolved resource dependencies [{name}] in the Resources block of the template"
                ));
            }
            conditions.extend(resource.condition.iter().map(|name| (logical.as_str(), name.as_str())));
        }
        let join = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
        if !unresolved.is_empty() {
            return wrong(format!(
                "Unresolved resource dependencies [{}] in the Resources block of the template",
                join(unresolved)
            ));
        }
        for (name, output) in &self.outputs {
            unresolved.extend(expression::references(&output.value).filter(|name| !self.is_there(name)));
            conditions.extend(output.condition.iter().map(|condition| (name.as_str(), condition.as_str())));
        }
        if !unresolved.is_empty() {
            return wrong(format!(
                "Unresolved resource dependencies [{}] in the Outputs block of the template",
                join(unresolved)
            ));
        }
        for (user, name) in conditions {
            if !self.conditions.contains_key(name) {
                return wrong(format!("Unresolved condition dependency {name} in {user}"));
            }
        }
        for value in self.conditions.values() {
            expression::check(value).map_err(|e| TemplateError(format!("Template error: {e}")))?;
            let unknown = expression::references(value).find(|name| {
                !self.parameters.contains_key(name) && !PSEUDO_PARAMETERS.contains(&name.as_str())
            });
            if let Some(name) = unknown {
                return wrong(format!(
                    "Unresolved dependencies [{name}]. Cannot reference resources in the Conditions block of the template"
                ));
            }
        }
        let uses = self.conditions.iter().map(|(name, value)| (name.clone(), conditions_in(value)));
        if let Err(circle) = graph::order(&uses.collect()) {
            return wrong(format!("Circular condition dependency between [{}]", circle.join(", ")));
        }
        let dependencies = self
            .resources
            .iter()
            .map(|(name, resource)| (name.clone(), resource.depends_on.clone()))
            .collect();
        match graph::order(&dependencies) {
            Ok(_) => Ok(()),
            Err(circle) => {
                Err(TemplateError(format!("Circular dependency between resources: [{}]", circle.join(", "))))
            }
        }
    }

    /// That each Fn::GetAtt names an attribute of its resource.
    fn check_attributes(&self, schemas: &Schemas) -> Checked<()> {
        let values = self.resources.values().map(|resource| &resource.properties);
        for value in values.chain(self.outputs.values().map(|output| &output.value)) {
            for (name, attribute) in expression::references_with_attributes(value) {
                let (Some(attribute), Some(resource)) = (attribute, self.resources.get(&name)) else {
                    continue;
                };
                if !schemas.has_attribute(&resource.kind, &attribute) {
                    return Err(TemplateError(format!(
                        "Template error: resource {name} does not support attribute type {attribute} in Fn::GetAtt"
                    )));
                }
            }
        }
        Ok(())
    }

    fn is_there(&self, name: &str) -> bool {
        self.resources.contains_key(name)
            || self.parameters.contains_key(name)
            || PSEUDO_PARAMETERS.contains(&name)
    }

    /// The capabilities that a stack of it needs (UG, "Acknowledging IAM resources"), and the
    /// resources that need them.
    pub fn capabilities(&self) -> Option<(&'static str, Vec<&str>)> {
        let iam = |resource: &&ResourceTemplate| resource.kind.starts_with("AWS::IAM::");
        let named = self.resources.values().filter(iam).any(|resource| {
            let names = ["GroupName", "InstanceProfileName", "ManagedPolicyName", "RoleName", "UserName"];
            names.iter().any(|name| resource.properties.get(name).is_some())
        });
        let kinds: BTreeSet<&str> =
            self.resources.values().filter(iam).map(|resource| resource.kind.as_str()).collect();
        match (kinds.is_empty(), named) {
            (true, _) => None,
            (false, false) => Some(("CAPABILITY_IAM", kinds.into_iter().collect())),
            (false, true) => Some(("CAPABILITY_NAMED_IAM", kinds.into_iter().collect())),
        }
    }
}

fn parameters(section: &Map<String, Value>) -> Checked<BTreeMap<String, Parameter>> {
    check_names("Parameter", section)?;
    if section.len() > MOST_PARAMETERS {
        return wrong(format!(
            "Number of parameters, {}, is greater than maximum allowed, 200",
            section.len()
        ));
    }
    let mut all = BTreeMap::new();
    for (name, value) in section {
        let Value::Object(fields) = value else {
            return wrong(format!("parameter {name} must be an object"));
        };
        let known = [
            "Type",
            "Default",
            "NoEcho",
            "Description",
            "AllowedValues",
            "AllowedPattern",
            "MinLength",
            "MaxLength",
            "MinValue",
            "MaxValue",
            "ConstraintDescription",
        ];
        if let Some(unknown) = fields.keys().find(|field| !known.contains(&field.as_str())) {
            return Err(TemplateError(format!(
                "Invalid template parameter property '{unknown}' of parameter {name}"
            )));
        }
        let kind = match fields.get("Type").and_then(Value::as_str) {
            None => return wrong("Every Parameters object must contain a Type member."),
            Some(kind) if kind.starts_with("AWS::SSM::") => {
                return wrong(format!(
                    "parameter {name}: the local cluster has no Systems Manager parameters"
                ));
            }
            Some(kind @ ("String" | "Number" | "List<Number>" | "CommaDelimitedList")) => kind,
            Some(kind) if kind.starts_with("AWS::EC2::") || kind.starts_with("List<AWS::EC2::") => kind,
            Some(kind) => return wrong(format!("Unrecognized parameter type: {kind}")),
        };
        // A number may be written as a string here, too.
        let number = |field: &str| fields.get(field).and_then(text).and_then(|text| text.parse::<f64>().ok());
        let length = |field: &str| fields.get(field).and_then(text).and_then(|text| text.parse::<u64>().ok());
        let allowed = fields.get("AllowedValues").and_then(Value::as_array);
        all.insert(
            name.clone(),
            Parameter {
                kind: kind.to_owned(),
                default: fields.get("Default").and_then(text),
                no_echo: fields.get("NoEcho").and_then(text).as_deref() == Some("true"),
                description: fields.get("Description").and_then(text),
                allowed_values: allowed.into_iter().flatten().filter_map(text).collect(),
                min_length: length("MinLength"),
                max_length: length("MaxLength"),
                min_value: number("MinValue"),
                max_value: number("MaxValue"),
                constraint: fields.get("ConstraintDescription").and_then(text),
            },
        );
    }
    Ok(all)
}

impl Parameter {
    /// Whether its value is a list, which commas separate.
    pub fn is_list(&self) -> bool {
        self.kind == "CommaDelimitedList" || self.kind.starts_with("List<")
    }

    /// Checks a value against the constraints. AllowedPattern is not among them.
    ///
    /// # Errors
    /// As AWS would say it.
    pub fn check(&self, name: &str, value: &str) -> Checked<()> {
        if value.len() > LONGEST_PARAMETER {
            return Err(TemplateError(format!(
                "Parameter '{name}' has a value of {} bytes, more than the {LONGEST_PARAMETER} that a parameter's \
                 value can have",
                value.len()
            )));
        }
        let items: Vec<&str> =
            if self.is_list() { value.split(',').map(str::trim).collect() } else { vec![value] };
        let refuse = |rule: String| {
            let why = self.constraint.clone().unwrap_or(rule);
            Err(TemplateError(format!("Parameter {name} failed to satisfy constraint: {why}")))
        };
        for item in items {
            if !self.allowed_values.is_empty() && !self.allowed_values.iter().any(|allowed| allowed == item) {
                return match &self.constraint {
                    Some(_) => refuse(String::new()),
                    None => Err(TemplateError(format!("Parameter '{name}' must be one of AllowedValues"))),
                };
            }
            let length = item.chars().count() as u64;
            if self.min_length.is_some_and(|min| length < min)
                || self.max_length.is_some_and(|max| length > max)
            {
                let (min, max) = (self.min_length.unwrap_or(0), self.max_length.unwrap_or(u64::MAX));
                return refuse(format!("value length must be between {min} and {max}"));
            }
            if self.kind.contains("Number") {
                let Ok(number) = item.parse::<f64>() else {
                    return Err(TemplateError(format!("Parameter '{name}' must be a number")));
                };
                if self.min_value.is_some_and(|min| number < min)
                    || self.max_value.is_some_and(|max| number > max)
                {
                    return refuse("value is out of range".to_owned());
                }
            }
        }
        Ok(())
    }
}

fn resources(section: &Map<String, Value>, schemas: &Schemas) -> Checked<BTreeMap<String, ResourceTemplate>> {
    if section.is_empty() {
        return wrong("At least one Resources member must be defined.");
    }
    if section.len() > MOST_RESOURCES {
        return wrong(format!(
            "Number of resources, {}, is greater than maximum allowed, 500",
            section.len()
        ));
    }
    check_names("Resource", section)?;
    let mut all = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    for (logical, value) in section {
        let Value::Object(fields) = value else {
            return wrong(format!("[/Resources/{logical}] resource definition is malformed"));
        };
        if let Some(other) = fields.keys().find(|field| !ATTRIBUTES.contains(&field.as_str())) {
            return Err(TemplateError(format!(
                "Invalid template resource property '{other}' in resource {logical}"
            )));
        }
        let Some(kind) = fields.get("Type").and_then(Value::as_str) else {
            return wrong(format!(
                "[/Resources/{logical}] Every Resources object must contain a Type member."
            ));
        };
        if schemas.of(kind).is_none() {
            unknown.insert(kind.to_owned());
        }
        let properties = fields.get("Properties").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        if !properties.is_object() {
            return wrong(format!("[/Resources/{logical}/Properties] must be an object"));
        }
        let named = match fields.get("DependsOn") {
            None => BTreeSet::new(),
            Some(Value::String(name)) => BTreeSet::from([name.clone()]),
            Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
                names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(_) => return wrong(format!("DependsOn of {logical} must be a string or a list of strings")),
        };
        expression::check(&properties).map_err(|e| TemplateError(format!("Template error: {e}")))?;
        // Everything that a resource refers to and that is a resource; parameters are sorted out
        // below.
        let depends_on = named
            .into_iter()
            .chain(expression::references(&properties).filter(|name| section.contains_key(name)))
            .collect();
        let deletion_policy = Policy::parse(logical, "DeletionPolicy", fields.get("DeletionPolicy"))?;
        let replace_policy =
            Policy::parse(logical, "UpdateReplacePolicy", fields.get("UpdateReplacePolicy"))?;
        let other = ["CreationPolicy", "Metadata", "UpdatePolicy"];
        all.insert(
            logical.clone(),
            ResourceTemplate {
                kind: kind.to_owned(),
                properties,
                condition: fields.get("Condition").and_then(Value::as_str).map(str::to_owned),
                depends_on,
                deletion_policy: deletion_policy.unwrap_or_default(),
                update_replace_policy: replace_policy.unwrap_or_default(),
                other: other
                    .iter()
                    .filter_map(|name| Some(((*name).to_owned(), fields.get(*name)?.clone())))
                    .collect(),
            },
        );
    }
    if !unknown.is_empty() {
        let unknown: Vec<String> = unknown.into_iter().collect();
        return wrong(format!("Unrecognized resource types: [{}]", unknown.join(", ")));
    }
    Ok(all)
}

fn outputs(section: &Map<String, Value>) -> Checked<BTreeMap<String, OutputTemplate>> {
    if section.len() > MOST_OUTPUTS {
        return wrong(format!("Number of outputs, {}, is greater than maximum allowed, 200", section.len()));
    }
    check_names("Output", section)?;
    let mut all = BTreeMap::new();
    for (name, value) in section {
        let Value::Object(fields) = value else {
            return wrong(format!("[/Outputs/{name}] must be an object"));
        };
        let Some(value) = fields.get("Value") else {
            return wrong(format!("Every Outputs member must contain a Value object ({name})"));
        };
        if let Some(other) = fields
            .keys()
            .find(|field| !["Value", "Description", "Condition", "Export"].contains(&field.as_str()))
        {
            return Err(TemplateError(format!(
                "Invalid template output property '{other}' in output {name}"
            )));
        }
        expression::check(value).map_err(|e| TemplateError(format!("Template error: {e}")))?;
        all.insert(
            name.clone(),
            OutputTemplate {
                value: value.clone(),
                description: fields.get("Description").and_then(text),
                condition: fields.get("Condition").and_then(Value::as_str).map(str::to_owned),
                export: fields.get("Export").and_then(|export| export.get("Name")).cloned(),
            },
        );
    }
    Ok(all)
}

/// The names of the conditions that a condition uses: `{"Condition": NAME}`.
fn conditions_in(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(map) => match map.get("Condition") {
            Some(Value::String(name)) if map.len() == 1 => BTreeSet::from([name.clone()]),
            _ => map.values().flat_map(conditions_in).collect(),
        },
        Value::Array(values) => values.iter().flat_map(conditions_in).collect(),
        _ => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(template: &Value) -> Checked<Template> {
        Template::parse(&template.to_string(), Schemas::built_in())
    }

    fn queue(properties: Value) -> Value {
        json!({"Type": "AWS::Batch::JobQueue", "Properties": properties})
    }

    #[test]
    fn what_is_wrong_with_a_template_is_said_in_awss_words() {
        let with = |section: &str, value: Value| {
            let mut template = json!({"Resources": {"Q": queue(json!({"Priority": 1}))}});
            template[section] = value;
            template
        };
        let resource = |value: Value| with("Resources", json!({ "R": value }));
        for (template, words) in [
            (json!({}), "At least one Resources member must be defined."),
            (json!([]), "unsupported structure."),
            (with("Colour", json!({})), "Invalid template property or properties [Colour]"),
            (with("Transform", json!("AWS::Serverless-2016-10-31")), "no macros and transforms"),
            (with("AWSTemplateFormatVersion", json!("2011-01-01")), "Unsupported template version"),
            (with("Description", json!("x".repeat(1025))), "'Description' length is greater than 1024"),
            (with("Resources", json!({"a-b": queue(json!({}))})), "a-b is non alphanumeric"),
            (resource(json!({})), "must contain a Type member"),
            (resource(json!({"Type": "AWS::X::Y"})), "Unrecognized resource types: [AWS::X::Y]"),
            (
                resource(json!({"Type": "AWS::S3::Bucket", "Colour": 1})),
                "Invalid template resource property 'Colour' in resource R",
            ),
            (
                resource(json!({"Type": "AWS::S3::Bucket", "DeletionPolicy": "Keep"})),
                "Unrecognized DeletionPolicy \"Keep\" for resource R",
            ),
            (
                resource(json!({"Type": "AWS::S3::Bucket", "UpdateReplacePolicy": "RetainExceptOnCreate"})),
                "Unrecognized UpdateReplacePolicy",
            ),
            (
                resource(queue(json!({"Priority": {"Ref": "Nothing"}}))),
                "Unresolved resource dependencies [Nothing] in the Resources block of the template",
            ),
            (
                resource(queue(json!({"Priority": {"Fn::ImportValue": "x"}}))),
                "does not have the function Fn::ImportValue",
            ),
            (
                resource(queue(json!({"JobQueueName": {"Fn::Sub": "a${}b${"}}))),
                "variable names in Fn::Sub syntax must contain only alphanumeric characters",
            ),
            (
                resource(json!({"Type": "AWS::S3::Bucket", "DependsOn": "R"})),
                "Circular dependency between resources: [R]",
            ),
            (
                resource(json!({"Type": "AWS::S3::Bucket", "Condition": "Never"})),
                "Unresolved condition dependency Never",
            ),
            (
                with("Outputs", json!({"O": {"Value": {"Ref": "Nothing"}}})),
                "Unresolved resource dependencies [Nothing] in the Outputs block of the template",
            ),
            (
                with("Outputs", json!({"O": {"Value": {"Fn::GetAtt": ["Q", "Name"]}}})),
                "resource Q does not support attribute type Name in Fn::GetAtt",
            ),
            (
                with("Conditions", json!({"C": {"Fn::Equals": [{"Ref": "Q"}, "x"]}})),
                "Cannot reference resources in the Conditions block",
            ),
            (with("Parameters", json!({"P": {}})), "must contain a Type member"),
            (with("Parameters", json!({"P": {"Type": "Text"}})), "Unrecognized parameter type: Text"),
        ] {
            let error = parse(&template).map(|_| ()).unwrap_err();
            assert!(error.0.contains(words), "{template}: {}", error.0);
        }
        assert!(Template::parse("Resources:\n", Schemas::built_in()).unwrap_err().0.contains("not in YAML"));
    }

    #[test]
    fn a_template_has_at_most_what_the_quotas_allow() {
        let many = |count: usize, value: Value| -> Value {
            (0..count).map(|number| (format!("N{number}"), value.clone())).collect()
        };
        let with = |section: &str, value: Value| {
            let mut template = json!({"Resources": {"Q": queue(json!({"Priority": 1}))}});
            template[section] = value;
            parse(&template).map(|_| ())
        };
        let long = json!({"L".repeat(256): {"Type": "String", "Value": "x"}});
        for (section, most, value, words) in [
            ("Resources", 500, queue(json!({})), "Number of resources, 501"),
            ("Parameters", 200, json!({"Type": "String"}), "Number of parameters, 201"),
            ("Outputs", 200, json!({"Value": "x"}), "Number of outputs, 201"),
            ("Mappings", 200, json!({"a": {"b": "c"}}), "Number of mappings, 201"),
        ] {
            assert_eq!(with(section, many(most, value.clone())), Ok(()), "{section}");
            let error = with(section, many(most + 1, value)).unwrap_err();
            assert!(error.0.contains(words), "{}", error.0);
            let error = with(section, long.clone()).unwrap_err();
            assert!(error.0.contains("is longer than 255 characters"), "{section}: {}", error.0);
        }
        let error = with("Mappings", json!({"M": many(201, json!({"b": "c"}))})).unwrap_err();
        assert!(error.0.contains("Number of mapping attributes of M, 201"), "{}", error.0);
    }

    #[test]
    fn characters_that_xml_cannot_hold_are_refused_with_their_place() {
        let named = |name: &str| {
            parse(&json!({"Resources": {"G": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": name}}}}))
                .map(|_| ())
        };
        for good in ["a\tb", "a\r\nb", "ü", "\u{1F600}"] {
            assert_eq!(named(good), Ok(()), "{good:?}");
        }
        for bad in ["\0", "a\u{1}", "\u{1f}", "\u{FFFE}", "\u{FFFF}"] {
            let error = named(bad).unwrap_err();
            assert!(error.0.contains("[/Resources/G/Properties/LogGroupName] has a control"), "{}", error.0);
        }
        let key = json!({"Resources": {"G": {"Type": "AWS::S3::Bucket"}}, "Metadata": {"a\u{2}": 1}});
        assert!(parse(&key).unwrap_err().0.contains("[/Metadata/a\\u{2}]"));
    }

    #[test]
    fn the_last_one_of_a_repeated_key_counts() {
        let bucket = |name: &str| {
            format!(r#""B": {{"Type": "AWS::S3::Bucket", "Properties": {{"BucketName": "{name}"}}}}"#)
        };
        let body = format!(r#"{{"Resources": {{{}, {}}}}}"#, bucket("first"), bucket("last"));
        let template = Template::parse(&body, Schemas::built_in()).unwrap();
        assert_eq!(template.resources["B"].properties["BucketName"], "last");
    }

    #[test]
    fn parameters_are_held_against_their_constraints() {
        let template = parse(&json!({
            "Parameters": {
                "Size": {"Type": "Number", "MinValue": 1, "MaxValue": "10"},
                "Color": {"Type": "String", "AllowedValues": ["red", "blue"]},
                "Name": {"Type": "String", "MinLength": 2, "ConstraintDescription": "two letters"},
                "List": {"Type": "List<Number>"},
            },
            "Resources": {"Q": queue(json!({"Priority": 1}))},
        }))
        .unwrap();
        let check = |name: &str, value: &str| template.parameters[name].check(name, value);
        for (name, value) in [("Size", "10"), ("Color", "red"), ("Name", "ab"), ("List", "1, 2")] {
            assert_eq!(check(name, value), Ok(()), "{name}");
        }
        for (name, value, words) in [
            ("Size", "11", "failed to satisfy constraint"),
            ("Size", "x", "Parameter 'Size' must be a number"),
            ("Color", "green", "Parameter 'Color' must be one of AllowedValues"),
            ("Name", "a", "Parameter Name failed to satisfy constraint: two letters"),
            ("List", "1,x", "must be a number"),
            ("Name", &"x".repeat(4097), "has a value of 4097 bytes"),
        ] {
            let error = check(name, value).unwrap_err();
            assert!(error.0.contains(words), "{name}: {}", error.0);
        }
    }

    #[test]
    fn resources_of_iam_need_a_capability() {
        let role = |properties: Value| {
            let resources = json!({"R": {"Type": "AWS::IAM::Role", "Properties": properties}});
            let template = parse(&json!({ "Resources": resources })).unwrap();
            template.capabilities().map(|(capability, _)| capability)
        };
        assert_eq!(role(json!({})), Some("CAPABILITY_IAM"));
        assert_eq!(role(json!({"RoleName": "r"})), Some("CAPABILITY_NAMED_IAM"));
        let without = parse(&json!({"Resources": {"Q": queue(json!({"Priority": 1}))}})).unwrap();
        assert!(without.capabilities().is_none());
    }
}
