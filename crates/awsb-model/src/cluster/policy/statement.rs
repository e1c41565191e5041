//! Statements of IAM policies, for the template and as text.

use serde_json::{Map, Value, json};

/// The ARN of the stack of a cluster.
pub(super) const STACK: &str =
    "arn:${AWS::Partition}:cloudformation:${AWS::Region}:${AWS::AccountId}:stack/${AWS::StackName}/*";
/// The beginning of all ARNs of Batch.
pub(super) const BATCH: &str = "arn:${AWS::Partition}:batch:${AWS::Region}:${AWS::AccountId}";
/// The beginning of the ARNs of log groups.
pub(super) const LOGS: &str = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:";

/// A statement that allows something.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The purpose of the statement, as its `Sid`: letters and digits.
    pub sid: &'static str,
    /// The actions.
    pub actions: Vec<&'static str>,
    /// The resources, with CloudFormation's `${AWS::…}` and names of resources in them.
    pub resources: Vec<String>,
    /// The conditions, all of which have to be true, with the same in their values.
    pub conditions: Vec<Condition>,
}

/// A condition of a statement: operator, key, and values.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Such as `StringEquals`.
    pub operator: &'static str,
    /// Such as `iam:PassedToService`.
    pub key: &'static str,
    /// The values.
    pub values: Vec<String>,
}

impl Statement {
    /// A statement without a condition.
    pub(in crate::cluster) fn allow<'a>(
        sid: &'static str,
        actions: &[&'static str],
        resources: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let resources = resources.into_iter().map(str::to_owned).collect();
        Self { sid, actions: actions.to_vec(), resources, conditions: Vec::new() }
    }

    /// The same statement with one more condition.
    pub(in crate::cluster) fn when<'a>(
        mut self,
        operator: &'static str,
        key: &'static str,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let values = values.into_iter().map(str::to_owned).collect();
        self.conditions.push(Condition { operator, key, values });
        self
    }

    /// Two statements, each for half of the resources.
    pub(super) fn halves(mut self) -> (Self, Self) {
        let resources = self.resources.split_off(self.resources.len() / 2);
        let second = Self { resources, ..self.clone() };
        (self, second)
    }
}

/// The policy document of these statements. `text` makes the value of a resource or of a condition.
pub(in crate::cluster) fn document(statements: &[Statement], text: impl Fn(&str) -> Value) -> Value {
    let list = |texts: &[String]| texts.iter().map(|one| text(one)).collect::<Vec<_>>();
    let statement = |statement: &Statement| {
        let mut map = Map::new();
        map.insert("Sid".into(), statement.sid.into());
        map.insert("Effect".into(), "Allow".into());
        map.insert("Action".into(), json!(statement.actions));
        map.insert("Resource".into(), json!(list(&statement.resources)));
        let mut conditions = Map::new();
        for condition in &statement.conditions {
            let of_operator = conditions.entry(condition.operator).or_insert_with(|| json!({}));
            if let Value::Object(keys) = of_operator {
                keys.insert(condition.key.into(), json!(list(&condition.values)));
            }
        }
        if !conditions.is_empty() {
            map.insert("Condition".into(), Value::Object(conditions));
        }
        Value::Object(map)
    };
    json!({
        "Version": "2012-10-17",
        "Statement": statements.iter().map(statement).collect::<Vec<_>>(),
    })
}
