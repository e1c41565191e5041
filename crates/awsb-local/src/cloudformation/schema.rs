//! The resource schemas of the types that a stack may have here, and what they say of properties.
//!
//! `schemas/cloudformation.json` has them: AWS's own, reduced by `schemas/generate.py` to what is
//! checked here. Patterns, formats and rules that combine properties are not among it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::expression::Unknown;

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
    let text = include_str!("../../schemas/cloudformation.json");
    serde_json::from_str(text).unwrap_or_else(|e| {
        tracing::error!("the resource schemas: {e}");
        Schemas::default()
    })
});

/// All types.
#[derive(Debug, Default, Deserialize)]
pub struct Schemas {
    types: BTreeMap<String, TypeSchema>,
}

/// The schema of a type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeSchema {
    #[serde(flatten)]
    root: Schema,
    #[serde(default)]
    definitions: BTreeMap<String, Schema>,
    #[serde(default)]
    create_only_properties: Vec<String>,
    #[serde(default)]
    conditional_create_only_properties: Vec<String>,
    #[serde(default)]
    read_only_properties: Vec<String>,
    /// The property that has the tags, for a type that can be tagged.
    pub tag_property: Option<String>,
}

/// The schema of a value.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schema {
    #[serde(rename = "$ref")]
    reference: Option<String>,
    #[serde(rename = "type")]
    kind: Option<Kinds>,
    properties: Option<BTreeMap<String, Schema>>,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default)]
    required_or: Vec<String>,
    #[serde(default)]
    required_xor: Vec<String>,
    items: Option<Box<Schema>>,
    /// The schema of a map's values.
    values: Option<Box<Schema>>,
    #[serde(rename = "enum")]
    one_of: Option<Vec<Value>>,
    enum_case_insensitive: Option<Vec<String>>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    min_items: Option<usize>,
    max_items: Option<usize>,
}

/// The types that a value may have.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Kinds {
    One(String),
    Several(Vec<String>),
}

/// A mistake in a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as in `#/ComputeResources/Type`; `#` are the properties themselves.
    pub path: String,
    /// What, in CloudFormation's words.
    pub message: String,
}

/// Whether a change of a property makes a new resource (API: ResourceTargetDefinition).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recreation {
    /// The resource is changed in place.
    Never,
    /// That depends.
    Conditionally,
    /// A new resource takes the place of the old one.
    Always,
}

impl Recreation {
    /// As the API has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "Never",
            Self::Conditionally => "Conditionally",
            Self::Always => "Always",
        }
    }
}

/// A value that has changed. Objects are compared field by field, lists as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The names of the properties that lead to it.
    pub path: Vec<String>,
    /// `None`: it was not there.
    pub before: Option<Value>,
    /// `None`: it is not there any more.
    pub after: Option<Value>,
}

/// The differences of two values.
pub fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    fn compare(
        path: &mut Vec<String>,
        before: Option<&Value>,
        after: Option<&Value>,
        all: &mut Vec<Difference>,
    ) {
        if before == after {
            return;
        }
        if let (Some(Value::Object(old)), Some(Value::Object(new))) = (before, after) {
            let added = new.keys().filter(|name| !old.contains_key(*name));
            for name in old.keys().chain(added) {
                path.push(name.clone());
                compare(path, old.get(name), new.get(name), all);
                path.pop();
            }
            return;
        }
        all.push(Difference { path: path.clone(), before: before.cloned(), after: after.cloned() });
    }
    let mut all = Vec::new();
    compare(&mut Vec::new(), Some(before), Some(after), &mut all);
    all
}

/// Attributes that Fn::GetAtt has although they can be set (CloudFormation Template Reference,
/// "Return values" of each type).
const SETTABLE_ATTRIBUTES: [(&str, &[&str]); 4] = [
    ("AWS::EC2::SecurityGroup", &["VpcId"]),
    ("AWS::EC2::Subnet", &["AvailabilityZone", "CidrBlock", "OutpostArn", "VpcId"]),
    ("AWS::EC2::VPC", &["CidrBlock"]),
    ("AWS::Logs::LogGroup", &["LogGroupName"]),
];

impl Schemas {
    /// Those that are built in.
    pub fn built_in() -> &'static Self {
        &SCHEMAS
    }

    /// A type by its name.
    pub fn of(&self, kind: &str) -> Option<&TypeSchema> {
        self.types.get(kind)
    }

    /// Whether Fn::GetAtt has this attribute of a type.
    pub fn has_attribute(&self, kind: &str, attribute: &str) -> bool {
        let settable =
            SETTABLE_ATTRIBUTES.iter().find(|(of, _)| *of == kind).map_or(&[][..], |(_, names)| names);
        let path = attribute.replace('.', "/");
        settable.contains(&attribute)
            || self.of(kind).is_some_and(|schema| schema.read_only_properties.contains(&path))
    }
}

impl TypeSchema {
    fn resolve<'a>(&'a self, schema: &'a Schema) -> &'a Schema {
        let target = schema.reference.as_ref().and_then(|name| self.definitions.get(name));
        target.unwrap_or(schema)
    }

    /// Whether the property with the tags is a map, and not a list of keys and values.
    pub fn has_tags_as_map(&self) -> bool {
        let property = self.tag_property.as_ref().zip(self.root.properties.as_ref());
        let schema = property.and_then(|(name, properties)| properties.get(name));
        schema.is_some_and(
            |schema| matches!(&self.resolve(schema).kind, Some(Kinds::One(kind)) if kind == "object"),
        )
    }

    /// The properties with every scalar in the type that it is to have: templates may write numbers
    /// and booleans as strings, and CloudFormation takes them.
    pub fn coerce(&self, properties: &Value) -> Value {
        self.coerced(&self.root, properties)
    }

    fn coerced(&self, schema: &Schema, value: &Value) -> Value {
        let schema = self.resolve(schema);
        match (value, schema.kind.as_ref()) {
            (Value::Object(map), _) => {
                let field = |name: &String, value: &Value| {
                    let of = schema.properties.as_ref().and_then(|properties| properties.get(name));
                    match of.or(schema.values.as_deref()) {
                        Some(of) => self.coerced(of, value),
                        None => value.clone(),
                    }
                };
                Value::Object(map.iter().map(|(name, value)| (name.clone(), field(name, value))).collect())
            }
            (Value::Array(items), _) => match &schema.items {
                Some(of) => Value::Array(items.iter().map(|item| self.coerced(of, item)).collect()),
                None => value.clone(),
            },
            (Value::String(text), Some(Kinds::One(kind))) => match kind.as_str() {
                "integer" => text.parse::<i64>().map_or_else(|_| value.clone(), Value::from),
                "number" => text.parse::<f64>().map_or_else(|_| value.clone(), Value::from),
                "boolean" => text.parse::<bool>().map_or_else(|_| value.clone(), Value::from),
                _ => value.clone(),
            },
            (Value::Number(_) | Value::Bool(_), Some(Kinds::One(kind))) if kind == "string" => {
                Value::String(value.to_string())
            }
            _ => value.clone(),
        }
    }

    /// The mistakes of properties, which have been evaluated and coerced. A value that is not known
    /// yet is not checked.
    pub fn check(&self, properties: &Value, unknown: &Unknown) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_value(&self.root, properties, "#", unknown, &mut problems);
        for path in &self.read_only_properties {
            if !path.contains('/') && properties.get(path).is_some() {
                problems.push(Problem {
                    path: "#".to_owned(),
                    message: format!("Encountered unsupported properties in {{/}}: [{path}]"),
                });
            }
        }
        problems
    }

    fn check_value(
        &self,
        schema: &Schema,
        value: &Value,
        path: &str,
        unknown: &Unknown,
        problems: &mut Vec<Problem>,
    ) {
        let schema = self.resolve(schema);
        let mut add = |message: String| problems.push(Problem { path: path.to_owned(), message });
        if unknown.has(path) {
            return;
        }
        if let Some(kinds) = &schema.kind {
            let kinds: Vec<&str> = match kinds {
                Kinds::One(kind) => vec![kind],
                Kinds::Several(kinds) => kinds.iter().map(String::as_str).collect(),
            };
            if !kinds.iter().any(|kind| is_of(kind, value)) {
                let expected: Vec<&str> = kinds.iter().map(|kind| title(kind)).collect();
                return add(format!(
                    "expected type: {}, found: {}",
                    expected.join(" or "),
                    title(kind_of(value))
                ));
            }
        }
        if let Some(allowed) = &schema.one_of
            && !allowed.contains(value)
        {
            add(format!("{} is not a valid enum value", plain(value)));
        }
        if let (Some(allowed), Value::String(text)) = (&schema.enum_case_insensitive, value)
            && !allowed.contains(&text.to_lowercase())
        {
            add(format!("{text} is not a valid enum value"));
        }
        match value {
            Value::String(text) => {
                let length = text.chars().count();
                if let Some(min) = schema.min_length.filter(|min| length < *min) {
                    add(format!("expected minLength: {min}, actual: {length}"));
                }
                if let Some(max) = schema.max_length.filter(|max| length > *max) {
                    add(format!("expected maxLength: {max}, actual: {length}"));
                }
            }
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or(0.0);
                if let Some(min) = schema.minimum.filter(|min| number < *min) {
                    add(format!("{value} is not greater or equal to {min}"));
                }
                if let Some(max) = schema.maximum.filter(|max| number > *max) {
                    add(format!("{value} is not less or equal to {max}"));
                }
            }
            Value::Array(items) => {
                if let Some(min) = schema.min_items.filter(|min| items.len() < *min) {
                    add(format!("expected minimum item count: {min}, found: {}", items.len()));
                }
                if let Some(max) = schema.max_items.filter(|max| items.len() > *max) {
                    add(format!("expected maximum item count: {max}, found: {}", items.len()));
                }
                if let Some(of) = &schema.items {
                    for (index, item) in items.iter().enumerate() {
                        self.check_value(of, item, &format!("{path}/{index}"), unknown, problems);
                    }
                }
            }
            Value::Object(map) => self.check_object(schema, map, path, unknown, problems),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn check_object(
        &self,
        schema: &Schema,
        map: &Map<String, Value>,
        path: &str,
        unknown: &Unknown,
        problems: &mut Vec<Problem>,
    ) {
        let mut add = |message: String| problems.push(Problem { path: path.to_owned(), message });
        for name in schema.required.iter().filter(|name| !map.contains_key(*name)) {
            add(format!("required key [{name}] not found"));
        }
        let given = |names: &[String]| names.iter().filter(|name| map.contains_key(*name)).count();
        if !schema.required_or.is_empty() && given(&schema.required_or) == 0 {
            add(format!("at least one of [{}] is required", schema.required_or.join(", ")));
        }
        if !schema.required_xor.is_empty() && given(&schema.required_xor) != 1 {
            add(format!("exactly one of [{}] is required", schema.required_xor.join(", ")));
        }
        for (name, value) in map {
            let inner = format!("{path}/{name}");
            match (&schema.properties, &schema.values) {
                (Some(properties), _) if properties.contains_key(name) => {
                    self.check_value(&properties[name], value, &inner, unknown, problems);
                }
                (_, Some(of)) => self.check_value(of, value, &inner, unknown, problems),
                (Some(_), None) => problems.push(Problem {
                    path: path.to_owned(),
                    message: format!("extraneous key [{name}] is not permitted"),
                }),
                // An object of any form, such as a policy document.
                (None, None) => {}
            }
        }
    }

    /// Whether a difference makes a new resource.
    pub fn recreation(&self, difference: &Difference) -> Recreation {
        let is_in = |paths: &[String]| paths.iter().any(|path| touches(path, difference));
        if is_in(&self.create_only_properties) {
            Recreation::Always
        } else if is_in(&self.conditional_create_only_properties) {
            Recreation::Conditionally
        } else {
            Recreation::Never
        }
    }
}

/// Whether a difference changes the value at a path of a schema.
fn touches(path: &str, difference: &Difference) -> bool {
    let path: Vec<&str> = path.split('/').collect();
    let common = path.iter().zip(&difference.path).all(|(of, name)| of == name || *of == "*");
    if !common {
        return false;
    }
    // A whole object has come or gone: it counts if the value is in it.
    let inner = path.get(difference.path.len()..).unwrap_or_default();
    let has = |value: &Option<Value>| {
        let mut value = value.as_ref();
        for name in inner {
            value = match value {
                Some(Value::Object(map)) => map.get(*name),
                Some(other) if *name == "*" => Some(other),
                _ => None,
            };
        }
        value.is_some()
    };
    has(&difference.before) || has(&difference.after)
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The name of a type in CloudFormation's messages.
fn title(kind: &str) -> &'static str {
    match kind {
        "string" => "String",
        "integer" => "Integer",
        "number" => "Number",
        "boolean" => "Boolean",
        "array" => "JSONArray",
        "object" => "JSONObject",
        _ => "Null",
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(kind: &str, properties: Value) -> Vec<String> {
        let schema = Schemas::built_in().of(kind).unwrap();
        let problems = schema.check(&schema.coerce(&properties), &Unknown::NONE);
        problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    }

    #[test]
    fn properties_are_checked_strictly() {
        let queue = |more: Value| {
            let mut properties =
                json!({"Priority": 1, "ComputeEnvironmentOrder": [{"ComputeEnvironment": "a", "Order": 1}]});
            properties.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            problems("AWS::Batch::JobQueue", properties)
        };
        assert!(queue(json!({})).is_empty());
        assert!(queue(json!({"Priority": "7"})).is_empty(), "a number may be written as a string");
        assert_eq!(queue(json!({"Colour": 1})), ["#: extraneous key [Colour] is not permitted"]);
        assert_eq!(queue(json!({"Priority": "high"})), ["#/Priority: expected type: Integer, found: String"]);
        assert_eq!(queue(json!({"State": "MAYBE"})), ["#/State: MAYBE is not a valid enum value"]);
        assert_eq!(
            queue(json!({"ComputeEnvironmentOrder": [{"Order": 1}]})),
            ["#/ComputeEnvironmentOrder/0: required key [ComputeEnvironment] not found"]
        );
        assert_eq!(
            queue(json!({"JobQueueArn": "arn"})),
            ["#: Encountered unsupported properties in {/}: [JobQueueArn]"]
        );
        assert_eq!(problems("AWS::Batch::JobQueue", json!({})), ["#: required key [Priority] not found"]);
        assert!(queue(json!({"Tags": {"any": "name"}})).is_empty());
        let role = json!({"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}});
        assert!(problems("AWS::IAM::Role", role).is_empty());
    }

    #[test]
    fn what_makes_a_new_resource() {
        let environment = Schemas::built_in().of("AWS::Batch::ComputeEnvironment").unwrap();
        let recreation = |before: Value, after: Value| {
            let all = differences(&before, &after);
            all.iter().map(|difference| environment.recreation(difference)).max()
        };
        let of = |resources: Value| json!({"Type": "MANAGED", "ComputeResources": resources});
        assert_eq!(
            recreation(of(json!({"MaxvCpus": 1})), of(json!({"MaxvCpus": 2}))),
            Some(Recreation::Never)
        );
        assert_eq!(
            recreation(of(json!({"Subnets": ["a"]})), of(json!({"Subnets": ["a", "b"]}))),
            Some(Recreation::Conditionally)
        );
        assert_eq!(
            recreation(of(json!({})), of(json!({"SpotIamFleetRole": "arn"}))),
            Some(Recreation::Always)
        );
        assert_eq!(recreation(of(json!({})), json!({"Type": "UNMANAGED"})), Some(Recreation::Always));
        assert_eq!(recreation(of(json!({})), of(json!({}))), None);
        // The whole object comes, and what cannot be changed is in it.
        assert_eq!(
            recreation(json!({}), json!({"EksConfiguration": {"EksClusterArn": "a"}})),
            Some(Recreation::Always)
        );
    }

    #[test]
    fn every_type_can_be_read() {
        let schemas = Schemas::built_in();
        assert!(schemas.types.len() > 30, "{}", schemas.types.len());
        assert!(schemas.has_attribute("AWS::EC2::LaunchTemplate", "LatestVersionNumber"));
        assert!(!schemas.has_attribute("AWS::EC2::LaunchTemplate", "LaunchTemplateData"));
        for (name, schema) in &schemas.types {
            for reference in schema.definitions.values().chain([&schema.root]) {
                if let Some(target) = &reference.reference {
                    assert!(schema.definitions.contains_key(target), "{name}: {target}");
                }
            }
        }
    }
}
