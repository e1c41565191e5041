//! Stack policies: which resources an update may change, replace or delete.
//!
//! The source is the CloudFormation User Guide, "Prevent updates to stack resources".

use serde_json::Value;

/// The change of a resource that an update is about to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Change {
    Modify,
    Replace,
    Delete,
}

impl Change {
    fn action(self) -> &'static str {
        match self {
            Self::Modify => "Update:Modify",
            Self::Replace => "Update:Replace",
            Self::Delete => "Update:Delete",
        }
    }
}

/// A stack policy.
#[derive(Debug, Clone)]
pub struct StackPolicy {
    statements: Vec<Value>,
}

impl StackPolicy {
    /// Reads one.
    ///
    /// # Errors
    /// As AWS would say it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(text).map_err(|e| format!("Error validating stack policy: {e}"))?;
        let statements = match &value["Statement"] {
            Value::Array(statements) => statements.clone(),
            statement @ Value::Object(_) => vec![statement.clone()],
            _ => return Err("Error validating stack policy: Statement is required".to_owned()),
        };
        for statement in &statements {
            if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
                return Err("Error validating stack policy: Effect must be Allow or Deny".to_owned());
            }
            if statement.get("Principal").or(statement.get("NotPrincipal")).is_none() {
                return Err("Error validating stack policy: Principal is required".to_owned());
            }
        }
        Ok(Self { statements })
    }

    /// Why a change is refused. A stack with a policy refuses all that the policy does not allow,
    /// and a denial wins.
    pub fn denial(&self, change: Change, logical: &str, kind: &str) -> Option<String> {
        let matching = |effect: &str| {
            self.statements.iter().position(|statement| {
                statement["Effect"] == effect && applies(statement, change, logical, kind)
            })
        };
        match (matching("Deny"), matching("Allow")) {
            (Some(number), _) => Some(format!(
                "Action denied by stack policy: Statement [#{}] does not allow [{}] for resource [LogicalResourceId/{logical}]",
                number + 1,
                change.action()
            )),
            (None, None) => Some(format!(
                "Action denied by stack policy: no statement allows [{}] for resource [LogicalResourceId/{logical}]",
                change.action()
            )),
            (None, Some(_)) => None,
        }
    }
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn applies(statement: &Value, change: Change, logical: &str, kind: &str) -> bool {
    let is_among = |value: &Value, text: &str| texts(value).iter().any(|pattern| matches(pattern, text));
    let resource = format!("LogicalResourceId/{logical}");
    let action = match (&statement["Action"], &statement["NotAction"]) {
        (Value::Null, not) => !is_among(not, change.action()),
        (actions, _) => is_among(actions, change.action()),
    };
    let target = match (&statement["Resource"], &statement["NotResource"]) {
        (Value::Null, Value::Null) => true,
        (Value::Null, not) => !is_among(not, &resource),
        (resources, _) => is_among(resources, &resource),
    };
    let condition = statement["Condition"]
        .as_object()
        .is_none_or(|condition| condition.values().all(|of| is_among(&of["ResourceType"], kind)));
    action && target && condition
}

/// Whether a text matches a pattern in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|left| {
            rest.is_empty()
                || (0..=left.len()).any(|at| left.is_char_boundary(at) && matches(rest, &left[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_denial_wins_and_what_is_not_allowed_is_refused() {
        let policy = json!({"Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"},
            {"Effect": "Deny", "Principal": "*", "Action": ["Update:Replace", "Update:Delete"],
             "Resource": "LogicalResourceId/Bucket"},
            {"Effect": "Deny", "Principal": "*", "Action": "Update:*", "Resource": "*",
             "Condition": {"StringLike": {"ResourceType": ["AWS::EFS::*"]}}},
        ]});
        let policy = StackPolicy::parse(&policy.to_string()).unwrap();
        let of = |change, logical, kind| policy.denial(change, logical, kind);
        assert_eq!(of(Change::Modify, "Bucket", "AWS::S3::Bucket"), None);
        assert_eq!(
            of(Change::Replace, "Bucket", "AWS::S3::Bucket").unwrap(),
            "Action denied by stack policy: Statement [#2] does not allow [Update:Replace] for resource \
             [LogicalResourceId/Bucket]"
        );
        assert_eq!(of(Change::Delete, "Other", "AWS::S3::Bucket"), None);
        assert!(of(Change::Modify, "Data", "AWS::EFS::FileSystem").is_some());
        let nothing = StackPolicy::parse(r#"{"Statement": []}"#).unwrap();
        assert!(nothing.denial(Change::Modify, "A", "AWS::S3::Bucket").is_some());
        assert!(StackPolicy::parse("{}").is_err());
        assert!(StackPolicy::parse(r#"{"Statement": {"Effect": "Maybe", "Principal": "*"}}"#).is_err());
    }
}
