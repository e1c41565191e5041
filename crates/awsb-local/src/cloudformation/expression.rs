//! Intrinsic functions: what a template's values are once its parameters and resources are known.
//!
//! The source is the CloudFormation User Guide, "Intrinsic function reference".

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine;
use serde_json::{Map, Value, json};

/// The functions that are evaluated.
const FUNCTIONS: [&str; 15] = [
    "Fn::And",
    "Fn::Base64",
    "Fn::Equals",
    "Fn::FindInMap",
    "Fn::GetAZs",
    "Fn::GetAtt",
    "Fn::If",
    "Fn::Join",
    "Fn::Not",
    "Fn::Or",
    "Fn::Select",
    "Fn::Split",
    "Fn::Sub",
    "Condition",
    "Ref",
];

/// Why a value cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionError(pub String);

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

type Evaluated<T> = Result<T, ExpressionError>;

fn wrong<T>(message: impl Into<String>) -> Evaluated<T> {
    Err(ExpressionError(message.into()))
}

/// The most bytes that the functions of a resource's properties, or of all outputs, give together:
/// as many as a template may have (UG, "CloudFormation quotas"). AWS documents no limit of its own
/// for this; without one, a template of some kilobytes becomes hundreds of megabytes.
pub const MOST_BYTES: usize = 1024 * 1024;

/// The text in place of a value that is known only once a resource has been made or changed (API,
/// DescribeChangeSet, IncludePropertyValues). It is for people: [`Evaluation::unknown`] says which
/// values those are.
pub const KNOWN_AFTER_APPLY: &str = "{{changeSet:KNOWN_AFTER_APPLY}}";

/// The values in properties that are not known yet, by their paths: `#/ComputeResources/Subnets/0`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unknown(BTreeSet<String>);

impl Unknown {
    /// No value at all.
    pub const NONE: Self = Self(BTreeSet::new());

    /// Whether the value at this path is not known as a whole.
    pub fn has(&self, path: &str) -> bool {
        self.0.contains(path)
    }

    /// Whether the value at this path, or one inside of it, is not known.
    pub fn is_within(&self, path: &str) -> bool {
        let is_in = |unknown: &String| {
            unknown.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.0.iter().any(is_in)
    }
}

/// A value with all its functions evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// `None` is `AWS::NoValue`: the property is left out.
    pub value: Option<Value>,
    /// The values in it that are made of values which are not known yet.
    pub unknown: Unknown,
}

/// The names that a template can refer to, and their values.
pub trait Scope {
    /// The value of a parameter, a pseudo parameter, or a resource. `None` is `AWS::NoValue`.
    fn reference(&self, name: &str) -> Evaluated<Option<Value>>;
    /// An attribute of a resource.
    fn attribute(&self, resource: &str, attribute: &str) -> Evaluated<Value>;
    /// Whether a condition holds.
    fn condition(&self, name: &str) -> Evaluated<bool>;
    /// The Mappings section.
    fn mappings(&self) -> &Value;
    /// The zones of the region.
    fn zones(&self) -> Vec<String>;
    /// Counts bytes that functions give.
    ///
    /// # Errors
    /// When they are too many.
    fn spend(&self, bytes: usize) -> Evaluated<()> {
        match bytes > MOST_BYTES {
            true => wrong(format!("a value has more than {MOST_BYTES} bytes")),
            false => Ok(()),
        }
    }
    /// Whether a value that is not known yet has been asked for since this was last called.
    fn has_met_unknown(&self) -> bool {
        false
    }
}

/// About how many bytes a value has.
pub fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| 8 + size(item)).sum(),
        Value::Object(map) => map.iter().map(|(name, value)| 8 + name.len() + size(value)).sum(),
        _ => 8,
    }
}

/// The function of an object with one field, and its argument.
fn function(map: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = map.iter().next().filter(|_| map.len() == 1)?;
    match name.as_str() {
        // A policy statement has a field Condition, too, whose value is an object.
        "Condition" if !argument.is_string() => None,
        name if FUNCTIONS.contains(&name) || name.starts_with("Fn::") => Some((name, argument)),
        _ => None,
    }
}

/// Checks that all functions of a value are ones that are evaluated here.
///
/// # Errors
/// When one is not.
pub fn check(value: &Value) -> Evaluated<()> {
    match value {
        Value::Object(map) => {
            if let Some((name, _)) = function(map)
                && !FUNCTIONS.contains(&name)
            {
                return wrong(format!("the local cluster does not have the function {name}"));
            }
            if let Some(("Fn::Sub", argument)) = function(map) {
                check_variables(argument)?;
            }
            if map.len() > 1 && map.keys().any(|name| name == "Ref" || name.starts_with("Fn::")) {
                let names: Vec<&str> = map.keys().map(String::as_str).collect();
                return wrong(format!(
                    "an intrinsic function must be the only key of an object, not one of [{}]",
                    names.join(", ")
                ));
            }
            map.values().try_for_each(check)
        }
        Value::Array(items) => items.iter().try_for_each(check),
        _ => Ok(()),
    }
}

/// Checks the names in the text of an Fn::Sub (UG, "Fn::Sub": a parameter, a resource, an attribute
/// or a key of its own).
fn check_variables(argument: &Value) -> Evaluated<()> {
    let template = match argument {
        Value::Array(parts) => parts.first().and_then(Value::as_str),
        other => other.as_str(),
    };
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':'))
    };
    for piece in pieces(template.unwrap_or_default()) {
        if let Piece::Name(name) = piece
            && !is_name(name)
        {
            return wrong(format!(
                "variable names in Fn::Sub syntax must contain only alphanumeric characters, underscores, periods, \
                 and colons; ${{{name}}} does not"
            ));
        }
    }
    Ok(())
}

/// The names that a value refers to with Ref, Fn::GetAtt and Fn::Sub: of parameters, pseudo
/// parameters and resources.
pub fn references(value: &Value) -> impl Iterator<Item = String> + use<> {
    let mut found = Vec::new();
    collect(value, &mut |name, _| found.push(name.to_owned()));
    found.into_iter()
}

/// Everything that a value refers to: the name, and the attribute of an Fn::GetAtt.
pub fn references_with_attributes(value: &Value) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    collect(value, &mut |name, attribute| found.push((name.to_owned(), attribute.map(str::to_owned))));
    found
}

fn collect(value: &Value, found: &mut dyn FnMut(&str, Option<&str>)) {
    match value {
        Value::Object(map) => match function(map) {
            Some(("Ref", Value::String(name))) => found(name, None),
            Some(("Fn::GetAtt", argument)) => {
                if let Some((resource, attribute)) = attribute_of(argument) {
                    found(&resource, Some(&attribute));
                }
            }
            Some(("Fn::Sub", argument)) => {
                let (template, own) = match argument {
                    Value::String(template) => (template.as_str(), None),
                    Value::Array(parts) => {
                        (parts.first().and_then(Value::as_str).unwrap_or(""), parts.get(1))
                    }
                    _ => return,
                };
                for piece in pieces(template) {
                    let Piece::Name(name) = piece else { continue };
                    if own.and_then(|own| own.get(name)).is_some() {
                        continue;
                    }
                    match name.split_once('.') {
                        Some((resource, attribute)) => found(resource, Some(attribute)),
                        None => found(name, None),
                    }
                }
                if let Some(own) = own {
                    collect(own, found);
                }
            }
            _ => map.values().for_each(|value| collect(value, found)),
        },
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

/// The resource and the attribute of an Fn::GetAtt.
fn attribute_of(argument: &Value) -> Option<(String, String)> {
    match argument {
        Value::String(text) => {
            text.split_once('.').map(|(resource, attribute)| (resource.to_owned(), attribute.to_owned()))
        }
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(resource), Value::String(attribute)] => {
                Some((resource.clone(), attribute.clone()))
            }
            _ => None,
        },
        _ => None,
    }
}

enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// The pieces of an Fn::Sub: text, and the names in `${…}`. `${!…}` is text.
fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut all = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find("${") {
        let Some(length) = rest[at..].find('}') else { break };
        let name = &rest[at + 2..at + length];
        all.push(Piece::Text(&rest[..at]));
        match name.strip_prefix('!') {
            Some(_) => {
                // The mark goes, the rest stays.
                all.push(Piece::Text("${"));
                all.push(Piece::Text(&rest[at + 3..=at + length]));
            }
            None => all.push(Piece::Name(name.trim())),
        }
        rest = &rest[at + length + 1..];
    }
    all.push(Piece::Text(rest));
    all
}

/// Evaluates all functions of a value, and finds the values in it that are not known yet.
///
/// # Errors
/// When a function has arguments that it cannot have, or refers to a resource that is not there.
pub fn evaluate_known(value: &Value, scope: &dyn Scope) -> Evaluated<Evaluation> {
    let mut unknown = BTreeSet::new();
    let value = trace(value, scope, "#", &mut unknown)?;
    Ok(Evaluation { value, unknown: Unknown(unknown) })
}

/// Evaluates the value at a path, and records the paths of values that are not known yet.
fn trace(
    value: &Value,
    scope: &dyn Scope,
    path: &str,
    unknown: &mut BTreeSet<String>,
) -> Evaluated<Option<Value>> {
    match value {
        Value::Object(map) => match function(map) {
            Some(("Fn::If", argument)) => trace(branch(argument, scope)?, scope, path, unknown),
            Some((name, argument)) => {
                scope.has_met_unknown();
                let value = call(name, argument, scope)?;
                if scope.has_met_unknown() {
                    unknown.insert(path.to_owned());
                }
                Ok(value)
            }
            None => {
                let mut evaluated = Map::new();
                for (name, value) in map {
                    if let Some(value) = trace(value, scope, &format!("{path}/{name}"), unknown)? {
                        evaluated.insert(name.clone(), value);
                    }
                }
                Ok(Some(Value::Object(evaluated)))
            }
        },
        Value::Array(items) => {
            let mut evaluated = Vec::new();
            for item in items {
                let path = format!("{path}/{}", evaluated.len());
                evaluated.extend(trace(item, scope, &path, unknown)?);
            }
            Ok(Some(Value::Array(evaluated)))
        }
        other => Ok(Some(other.clone())),
    }
}

/// The branch of an Fn::If that its condition chooses.
fn branch<'a>(argument: &'a Value, scope: &dyn Scope) -> Evaluated<&'a Value> {
    let Some([condition, yes, no]) = argument.as_array().map(Vec::as_slice) else {
        return wrong("Fn::If requires a list argument with three elements");
    };
    let Some(condition) = condition.as_str() else {
        return wrong("Fn::If requires a list argument with the first element being a condition");
    };
    Ok(if scope.condition(condition)? { yes } else { no })
}

/// A value with all its functions evaluated. `None` is `AWS::NoValue`: the property is left out.
///
/// # Errors
/// When a function has arguments that it cannot have, or refers to what is not there.
pub fn evaluate(value: &Value, scope: &dyn Scope) -> Evaluated<Option<Value>> {
    match value {
        Value::Object(map) => match function(map) {
            Some((name, argument)) => call(name, argument, scope),
            None => {
                let mut evaluated = Map::new();
                for (name, value) in map {
                    if let Some(value) = evaluate(value, scope)? {
                        evaluated.insert(name.clone(), value);
                    }
                }
                Ok(Some(Value::Object(evaluated)))
            }
        },
        Value::Array(items) => {
            let mut evaluated = Vec::new();
            for item in items {
                evaluated.extend(evaluate(item, scope)?);
            }
            Ok(Some(Value::Array(evaluated)))
        }
        other => Ok(Some(other.clone())),
    }
}

fn call(name: &str, argument: &Value, scope: &dyn Scope) -> Evaluated<Option<Value>> {
    let arguments = || match argument {
        Value::Array(items) => Ok(items.as_slice()),
        _ => wrong(format!("{name} needs a list of arguments")),
    };
    let value = match name {
        "Ref" => match argument.as_str() {
            Some(name) => {
                let value = scope.reference(name)?;
                scope.spend(value.as_ref().map_or(0, size))?;
                return Ok(value);
            }
            None => return wrong("every Ref object must have a single String value."),
        },
        "Fn::GetAtt" => match attribute_of(argument) {
            Some((resource, attribute)) => {
                let value = scope.attribute(&resource, &attribute)?;
                scope.spend(size(&value))?;
                value
            }
            None => {
                return wrong(
                    "every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute",
                );
            }
        },
        "Fn::Sub" => json!(substitute(argument, scope)?),
        "Fn::Join" => {
            let [separator, list] = arguments()? else {
                return wrong(
                    "every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of strings",
                );
            };
            let separator = string(separator, scope, name)?;
            let list = strings(list, scope, name)?;
            let separators = separator.len().saturating_mul(list.len().saturating_sub(1));
            scope.spend(list.iter().map(String::len).fold(separators, usize::saturating_add))?;
            json!(list.join(&separator))
        }
        "Fn::Split" => {
            let [separator, source] = arguments()? else {
                return wrong(
                    "every Fn::Split object requires two parameters, (1) a string delimiter and (2) a string",
                );
            };
            let (separator, source) = (string(separator, scope, name)?, string(source, scope, name)?);
            if separator.is_empty() {
                return wrong("Fn::Split delimiter must not be empty");
            }
            json!(source.split(&separator).collect::<Vec<_>>())
        }
        "Fn::Select" => {
            let [index, list] = arguments()? else {
                return wrong(
                    "Fn::Select requires a list argument with two elements: an integer index and a list",
                );
            };
            let index = string(index, scope, name)?;
            let Some(Value::Array(list)) = evaluate(list, scope)? else {
                return wrong(
                    "Fn::Select requires a list argument with two elements: an integer index and a list",
                );
            };
            match index.parse::<usize>().ok().and_then(|index| list.get(index)) {
                Some(value) => value.clone(),
                None => return wrong(format!("Fn::Select cannot select nonexistent value at index {index}")),
            }
        }
        "Fn::GetAZs" => json!(scope.zones()),
        "Fn::Base64" => {
            let text = string(argument, scope, name)?;
            scope.spend(text.len().saturating_mul(4) / 3)?;
            json!(base64::engine::general_purpose::STANDARD.encode(text))
        }
        "Fn::FindInMap" => {
            let [map, first, second, ..] = arguments()? else {
                return wrong("Fn::FindInMap requires a list of three elements");
            };
            let (map, first, second) =
                (string(map, scope, name)?, string(first, scope, name)?, string(second, scope, name)?);
            match scope.mappings().get(&map).and_then(|map| map.get(&first)).and_then(|map| map.get(&second))
            {
                Some(value) => {
                    scope.spend(size(value))?;
                    value.clone()
                }
                None => {
                    return wrong(format!("Unable to get mapping for {map}::{first}::{second}"));
                }
            }
        }
        "Fn::If" => return evaluate(branch(argument, scope)?, scope),
        "Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not" | "Condition" => json!(holds(name, argument, scope)?),
        other => return wrong(format!("the local cluster does not have the function {other}")),
    };
    Ok(Some(value))
}

/// Whether a condition function holds.
fn holds(name: &str, argument: &Value, scope: &dyn Scope) -> Evaluated<bool> {
    let arguments = || match argument {
        Value::Array(items) => Ok(items.as_slice()),
        _ => wrong(format!("{name} needs a list of arguments")),
    };
    let all = |arguments: &[Value]| -> Evaluated<Vec<bool>> {
        if !(2..=10).contains(&arguments.len()) {
            return wrong(format!(
                "every {name} object requires a list of at least 2 and at most 10 boolean parameters."
            ));
        }
        arguments.iter().map(|argument| condition(argument, scope)).collect()
    };
    match name {
        "Condition" => scope.condition(argument.as_str().unwrap_or("")),
        "Fn::Equals" => {
            let [left, right] = arguments()? else {
                return wrong("Every Fn::Equals object requires a list of 2 string parameters.");
            };
            Ok(plain(evaluate(left, scope)?) == plain(evaluate(right, scope)?))
        }
        "Fn::And" => Ok(all(arguments()?)?.into_iter().all(|holds| holds)),
        "Fn::Or" => Ok(all(arguments()?)?.into_iter().any(|holds| holds)),
        _ => match arguments()? {
            [one] => Ok(!condition(one, scope)?),
            _ => wrong("Every Fn::Not object requires one boolean parameter."),
        },
    }
}

/// Scalars are compared by their text.
fn plain(value: Option<Value>) -> Value {
    match value {
        Some(value @ (Value::Number(_) | Value::Bool(_))) => json!(value.to_string()),
        other => other.unwrap_or(Value::Null),
    }
}

/// The value of a condition.
///
/// # Errors
/// When it is not one.
pub fn condition(value: &Value, scope: &dyn Scope) -> Evaluated<bool> {
    match value {
        Value::Bool(holds) => Ok(*holds),
        Value::Object(map) => match function(map) {
            Some((name @ ("Fn::And" | "Fn::Or" | "Fn::Not" | "Fn::Equals" | "Condition"), argument)) => {
                holds(name, argument, scope)
            }
            _ => wrong("a condition is made of Fn::And, Fn::Or, Fn::Not, Fn::Equals and Condition"),
        },
        _ => wrong("a condition is made of Fn::And, Fn::Or, Fn::Not, Fn::Equals and Condition"),
    }
}

fn string(value: &Value, scope: &dyn Scope, name: &str) -> Evaluated<String> {
    match evaluate(value, scope)? {
        Some(Value::String(text)) => Ok(text),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
        _ => wrong(format!("{name} needs a string")),
    }
}

fn strings(value: &Value, scope: &dyn Scope, name: &str) -> Evaluated<Vec<String>> {
    match evaluate(value, scope)? {
        Some(Value::Array(items)) => items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                Value::Number(_) | Value::Bool(_) => Ok(item.to_string()),
                _ => wrong(format!("{name} needs a list of strings")),
            })
            .collect(),
        _ => wrong(format!("{name} needs a list of strings")),
    }
}

fn substitute(argument: &Value, scope: &dyn Scope) -> Evaluated<String> {
    let (template, own) = match argument {
        Value::String(template) => (template, None),
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(template), Value::Object(own)] => (template, Some(own)),
            _ => return wrong("One or more Fn::Sub intrinsic functions don't specify expected arguments."),
        },
        _ => return wrong("One or more Fn::Sub intrinsic functions don't specify expected arguments."),
    };
    let mut text = String::new();
    for piece in pieces(template) {
        let name = match piece {
            Piece::Text(piece) => {
                scope.spend(piece.len())?;
                text.push_str(piece);
                continue;
            }
            Piece::Name(name) => name,
        };
        let value = match (own.and_then(|own| own.get(name)), name.split_once('.')) {
            (Some(value), _) => evaluate(value, scope)?,
            (None, Some((resource, attribute))) => Some(scope.attribute(resource, attribute)?),
            (None, None) => scope.reference(name)?,
        };
        match value {
            Some(Value::String(value)) => {
                scope.spend(value.len())?;
                text.push_str(&value);
            }
            Some(value @ (Value::Number(_) | Value::Bool(_))) => text.push_str(&value.to_string()),
            _ => return wrong(format!("Fn::Sub: {name} is not a string")),
        }
    }
    Ok(text)
}

/// The most bytes that the properties of a stack's resources have together. AWS documents no limit;
/// this one keeps the record of a stack small enough to be written at each step.
const MOST_STACK_BYTES: usize = 8 * 1024 * 1024;

/// Checks the bytes that the properties of a stack's resources have together.
///
/// # Errors
/// When they are too many.
pub fn check_bytes(bytes: usize) -> Result<(), ExpressionError> {
    match bytes > MOST_STACK_BYTES {
        true => Err(ExpressionError(format!(
            "the properties of the resources have more than {MOST_STACK_BYTES} bytes together"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Value);

    impl Scope for Fixed {
        fn reference(&self, name: &str) -> Evaluated<Option<Value>> {
            match name {
                "AWS::NoValue" => Ok(None),
                "P" => Ok(Some(json!("value"))),
                "List" => Ok(Some(json!(["a", "b"]))),
                other => wrong(format!("no {other}")),
            }
        }

        fn attribute(&self, resource: &str, attribute: &str) -> Evaluated<Value> {
            Ok(json!(format!("{resource}:{attribute}")))
        }

        fn condition(&self, name: &str) -> Evaluated<bool> {
            Ok(name == "Yes")
        }

        fn mappings(&self) -> &Value {
            &self.0
        }

        fn zones(&self) -> Vec<String> {
            vec!["z1".to_owned(), "z2".to_owned()]
        }
    }

    fn value(expression: Value) -> Evaluated<Option<Value>> {
        evaluate(&expression, &Fixed(json!({"M": {"a": {"b": ["x"]}}})))
    }

    #[test]
    fn paths_are_compared_by_their_parts() {
        let unknown = Unknown(BTreeSet::from(["#/Name".to_owned(), "#/List/0/Id".to_owned()]));
        assert!(unknown.has("#/Name") && !unknown.has("#/List") && !unknown.has("#/List/0"));
        for path in ["#", "#/Name", "#/List", "#/List/0", "#/List/0/Id"] {
            assert!(unknown.is_within(path), "{path}");
        }
        for path in ["#/Nam", "#/Name/x", "#/List/1", "#/List/0/Id2"] {
            assert!(!unknown.is_within(path), "{path}");
        }
        assert!(!Unknown::NONE.is_within("#"));
    }

    #[test]
    fn functions_are_evaluated_inside_each_other() {
        for (expression, expected) in [
            (json!({"Ref": "P"}), json!("value")),
            (json!({"Fn::GetAtt": ["R", "Arn"]}), json!("R:Arn")),
            (json!({"Fn::GetAtt": "R.Endpoint.Address"}), json!("R:Endpoint.Address")),
            (json!({"Fn::Sub": "a-${P}-${R.Arn}-${!P}-$P"}), json!("a-value-R:Arn-${P}-$P")),
            (json!({"Fn::Sub": ["${x}${P}", {"x": {"Ref": "P"}}]}), json!("valuevalue")),
            (json!({"Fn::Join": ["-", ["a", 1, {"Ref": "P"}]]}), json!("a-1-value")),
            (json!({"Fn::Join": ["", {"Ref": "List"}]}), json!("ab")),
            (json!({"Fn::Select": ["1", {"Fn::GetAZs": ""}]}), json!("z2")),
            (json!({"Fn::Select": [0, {"Fn::Split": [",", "x,y"]}]}), json!("x")),
            (json!({"Fn::Base64": {"Fn::Sub": "${P}"}}), json!("dmFsdWU=")),
            (json!({"Fn::FindInMap": ["M", "a", "b"]}), json!(["x"])),
            (json!({"Fn::If": ["Yes", 1, 2]}), json!(1)),
            (json!({"a": {"Fn::If": ["No", 1, {"Ref": "AWS::NoValue"}]}, "b": 2}), json!({"b": 2})),
            (json!({"Condition": {"Bool": {"x": "y"}}}), json!({"Condition": {"Bool": {"x": "y"}}})),
        ] {
            assert_eq!(value(expression.clone()), Ok(Some(expected)), "{expression}");
        }
    }

    #[test]
    fn conditions_hold_or_do_not() {
        let scope = Fixed(Value::Null);
        let yes = json!({"Fn::Equals": [{"Ref": "P"}, "value"]});
        for (expression, expected) in [
            (yes.clone(), true),
            (json!({"Fn::Equals": [1, "1"]}), true),
            (json!({"Fn::Not": [yes]}), false),
            (json!({"Fn::And": [yes, {"Condition": "Yes"}]}), true),
            (json!({"Fn::And": [yes, {"Condition": "No"}]}), false),
            (json!({"Fn::Or": [{"Condition": "No"}, yes]}), true),
        ] {
            assert_eq!(condition(&expression, &scope), Ok(expected), "{expression}");
        }
        for bad in [json!("Yes"), json!({"Ref": "P"}), json!({"Fn::And": [true]}), json!({"Fn::Not": []})] {
            assert!(condition(&bad, &scope).is_err(), "{bad}");
        }
    }

    #[test]
    fn wrong_arguments_are_errors() {
        for bad in [
            json!({"Ref": 1}),
            json!({"Fn::GetAtt": ["R"]}),
            json!({"Fn::Join": ["-", "text"]}),
            json!({"Fn::Select": [2, ["a"]]}),
            json!({"Fn::Select": ["x", ["a"]]}),
            json!({"Fn::Split": ["", "a"]}),
            json!({"Fn::Sub": ["${x}"]}),
            json!({"Fn::Sub": "${List}"}),
            json!({"Fn::FindInMap": ["M", "a", "c"]}),
            json!({"Fn::If": ["Yes", 1]}),
            json!({"Fn::ImportValue": "x"}),
        ] {
            assert!(value(bad.clone()).is_err(), "{bad}");
        }
        assert!(check(&json!({"a": [{"Fn::Transform": {}}]})).is_err());
        assert!(check(&json!({"Ref": "a", "b": 1})).is_err());
        for bad in ["a${}b${", "${a-b}", "${ }", "${a:-b c}"] {
            for argument in [json!(bad), json!([bad, {}])] {
                let error = check(&json!({ "Fn::Sub": argument })).unwrap_err();
                assert!(error.0.contains("variable names in Fn::Sub syntax"), "{bad}: {error}");
            }
        }
        for good in ["${AWS::Region} ${R.A.b} ${ P } ${!a-b} ${", "$ {} $"] {
            assert_eq!(check(&json!({ "Fn::Sub": good })), Ok(()), "{good}");
        }
    }

    #[test]
    fn references_are_found_wherever_they_are() {
        let found: Vec<String> = references(&json!({
            "a": [{"Ref": "A"}],
            "b": {"Fn::GetAtt": "B.Arn"},
            "c": {"Fn::Sub": ["${C.Arn}${own}${D}${!No}", {"own": {"Ref": "E"}}]},
            "d": {"Fn::If": ["Condition", {"Ref": "F"}, "x"]},
        }))
        .collect();
        assert_eq!(found, ["A", "B", "C", "D", "E", "F"]);
    }
}
