//! The answers: stacks, resources and events in the API's shapes.

use serde_json::{Value, json};

use super::change_set::ChangeSet;
use super::model::{Event, OnFailure, Resource, Stack};
use super::template::{Parameter, Template};

/// A time as the API has it.
pub fn time(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// API: Parameter, with `****` for those that are not shown.
fn parameters(desired: &super::model::Desired, template: Option<&Template>) -> Value {
    let is_hidden = |name: &String| {
        template.and_then(|template| template.parameters.get(name)).is_some_and(|parameter| parameter.no_echo)
    };
    let shown = desired.parameters.iter().map(|(name, value)| {
        let value = if is_hidden(name) { "****" } else { value };
        json!({"ParameterKey": name, "ParameterValue": value})
    });
    shown.collect()
}

fn tags(desired: &super::model::Desired) -> Value {
    desired.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

/// No drift is ever looked for.
fn drift() -> Value {
    json!({"StackDriftStatus": "NOT_CHECKED"})
}

/// API: Stack.
pub fn stack(stack: &Stack, template: Option<&Template>) -> Value {
    let outputs: Value = stack
        .outputs
        .iter()
        .map(|output| {
            json!({
                "OutputKey": output.key,
                "OutputValue": output.value,
                "Description": output.description,
                "ExportName": output.export,
            })
        })
        .collect();
    json!({
        "StackId": stack.id,
        "StackName": stack.name,
        "ChangeSetId": stack.change_set,
        "Description": stack.description,
        "Parameters": parameters(&stack.desired, template),
        "CreationTime": time(stack.created_at),
        "LastUpdatedTime": stack.updated_at.map(time),
        "DeletionTime": stack.deleted_at.map(time),
        "RollbackConfiguration": {},
        "StackStatus": stack.status.as_str(),
        "StackStatusReason": stack.reason,
        "DisableRollback": stack.disable_rollback,
        "NotificationARNs": stack.desired.notification_arns,
        "TimeoutInMinutes": stack.timeout_minutes,
        "Capabilities": stack.desired.capabilities,
        "Outputs": outputs,
        "RoleARN": stack.desired.role_arn,
        "Tags": tags(&stack.desired),
        "EnableTerminationProtection": stack.is_protected,
        "DriftInformation": drift(),
        "RetainExceptOnCreate": stack.retain_except_on_create,
        "DeletionMode": stack.deletion_mode,
        "LastOperations": last_operations(stack),
    })
}

fn last_operations(stack: &Stack) -> Value {
    let last = stack.operations.iter().rev().take(1);
    last.map(|record| json!({"OperationType": record.kind, "OperationId": record.id})).collect()
}

/// API: StackSummary.
pub fn summary(stack: &Stack) -> Value {
    json!({
        "StackId": stack.id,
        "StackName": stack.name,
        "TemplateDescription": stack.description,
        "CreationTime": time(stack.created_at),
        "LastUpdatedTime": stack.updated_at.map(time),
        "DeletionTime": stack.deleted_at.map(time),
        "StackStatus": stack.status.as_str(),
        "StackStatusReason": stack.reason,
        "DriftInformation": drift(),
        "LastOperations": last_operations(stack),
    })
}

/// The form of a resource in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ResourceShape {
    /// API: StackResource.
    Resource,
    /// API: StackResourceDetail.
    Detail,
    /// API: StackResourceSummary.
    Summary,
}

/// A resource of a stack.
pub fn resource(stack: &Stack, logical: &str, resource: &Resource, shape: ResourceShape) -> Value {
    let mut shown = json!({
        "LogicalResourceId": logical,
        "PhysicalResourceId": resource.physical_id,
        "ResourceType": resource.kind,
        "ResourceStatus": resource.status.as_str(),
        "ResourceStatusReason": resource.reason,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    });
    let at = time(resource.updated_at);
    match shape {
        ResourceShape::Resource => shown["Timestamp"] = json!(at),
        ResourceShape::Detail | ResourceShape::Summary => shown["LastUpdatedTimestamp"] = json!(at),
    }
    if shape != ResourceShape::Summary {
        shown["StackName"] = json!(stack.name);
        shown["StackId"] = json!(stack.id);
    }
    if shape == ResourceShape::Detail {
        shown["Metadata"] =
            resource.other.get("Metadata").map_or(Value::Null, |metadata| json!(metadata.to_string()));
    }
    shown
}

/// API: StackEvent.
pub fn event(stack: &Stack, event: &Event) -> Value {
    json!({
        "StackId": stack.id,
        "EventId": event.id,
        "StackName": stack.name,
        "OperationId": if event.operation.is_empty() { None } else { Some(&event.operation) },
        "LogicalResourceId": event.logical_id,
        "PhysicalResourceId": event.physical_id,
        "ResourceType": event.kind,
        "Timestamp": time(event.at),
        "ResourceStatus": event.status,
        "ResourceStatusReason": event.reason,
        "ResourceProperties": event.properties,
        "ClientRequestToken": event.token,
    })
}

/// API: OperationEvent.
pub fn operation_event(stack: &Stack, event: &Event) -> Value {
    let record = stack.operations.iter().find(|record| record.id == event.operation);
    let is_stack = event.physical_id == stack.id;
    let kind = match (is_stack, event.status.ends_with("_FAILED")) {
        (true, _) => "STACK_EVENT",
        (false, true) => "PROVISIONING_ERROR",
        (false, false) => "PROGRESS_EVENT",
    };
    let status = record.map(|record| match (record.ended_at, record.has_failed) {
        (None, _) => "IN_PROGRESS",
        (Some(_), true) => "FAILED",
        (Some(_), false) => "SUCCEEDED",
    });
    json!({
        "EventId": event.id,
        "StackId": stack.id,
        "OperationId": if event.operation.is_empty() { None } else { Some(&event.operation) },
        "OperationType": record.map(|record| &record.kind),
        "OperationStatus": status,
        "EventType": kind,
        "LogicalResourceId": event.logical_id,
        "PhysicalResourceId": event.physical_id,
        "ResourceType": event.kind,
        "Timestamp": time(event.at),
        "StartTime": record.filter(|_| is_stack).map(|record| time(record.started_at)),
        "EndTime": record.filter(|_| is_stack).and_then(|record| record.ended_at).map(time),
        "ResourceStatus": event.status,
        "ResourceStatusReason": event.reason,
        "ResourceProperties": event.properties,
        "ClientRequestToken": event.token,
    })
}

/// API: ChangeSetSummary.
pub fn change_set_summary(set: &ChangeSet) -> Value {
    json!({
        "StackId": set.stack,
        "StackName": set.stack_name,
        "ChangeSetId": set.id,
        "ChangeSetName": set.name,
        "ExecutionStatus": set.execution,
        "Status": set.status,
        "StatusReason": set.reason,
        "CreationTime": time(set.created_at),
        "Description": set.description,
        "IncludeNestedStacks": false,
        "ImportExistingResources": set.imports.is_some(),
    })
}

/// API: DescribeChangeSetOutput, without the changes.
pub fn change_set(set: &ChangeSet, template: Option<&Template>) -> Value {
    let mut shown = change_set_summary(set);
    shown["Parameters"] = parameters(&set.desired, template);
    shown["NotificationARNs"] = json!(set.desired.notification_arns);
    shown["RollbackConfiguration"] = json!({});
    shown["Capabilities"] = json!(set.desired.capabilities);
    shown["Tags"] = tags(&set.desired);
    shown["OnStackFailure"] = json!(set.on_failure.map(|on_failure| match on_failure {
        OnFailure::Rollback => "ROLLBACK",
        OnFailure::Delete => "DELETE",
        OnFailure::DoNothing => "DO_NOTHING",
    }));
    shown
}

fn parameter(name: &str, parameter: &Parameter) -> Value {
    json!({
        "ParameterKey": name,
        "DefaultValue": parameter.default,
        "NoEcho": parameter.no_echo,
        "Description": parameter.description,
    })
}

fn capabilities(template: &Template, shown: &mut Value) {
    if let Some((capability, kinds)) = template.capabilities() {
        shown["Capabilities"] = json!([capability]);
        let reason = format!("The following resource(s) require capabilities: [{}]", kinds.join(", "));
        shown["CapabilitiesReason"] = json!(reason);
    }
}

/// API: ValidateTemplateOutput.
pub fn validation(template: &Template) -> Value {
    let parameters: Value = template.parameters.iter().map(|(name, of)| parameter(name, of)).collect();
    let mut shown = json!({"Description": template.description, "Parameters": parameters});
    capabilities(template, &mut shown);
    shown
}

/// API: GetTemplateSummaryOutput.
pub fn template_summary(template: &Template) -> Value {
    let parameters: Value = template
        .parameters
        .iter()
        .map(|(name, of)| {
            let mut shown = parameter(name, of);
            shown["ParameterType"] = json!(of.kind);
            shown["ParameterConstraints"] = json!({"AllowedValues": of.allowed_values});
            shown
        })
        .collect();
    let mut kinds: Vec<&str> = template.resources.values().map(|resource| resource.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut shown = json!({
        "Parameters": parameters,
        "Description": template.description,
        "ResourceTypes": kinds,
        "Version": "2010-09-09",
        "Metadata": template.metadata.as_ref().map(Value::to_string),
        "DeclaredTransforms": [],
    });
    capabilities(template, &mut shown);
    shown
}
