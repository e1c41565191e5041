//! Queues, compute environments and scheduling policies: the operations on them, and the part of
//! them that decides what runs.
//!
//! Each is a JSON object in the database, in the form in which Describe… shows it. Fields without
//! effect here (subnets, instance types, roles) are stored as they were given.

use serde_json::{Value, json};

use super::definition::arn;
use super::resource_rows::ResourceKind;
use super::state::scheduler::{ComputeEnvironment, FairShare, Layout, Queue};
use super::store::Store;
use crate::capacity::Resources;
use crate::constants::{ACCOUNT, COMPUTE_ENVIRONMENT, INSTANCE_TYPE, QUEUE, REGION};
use crate::http::protocol::ApiError;

/// Why a change is not made.
#[derive(Debug)]
pub enum ChangeError {
    /// The request is at fault; nothing has been written.
    Refused(ApiError),
    /// The database is.
    Database(rusqlite::Error),
}

impl From<ApiError> for ChangeError {
    fn from(e: ApiError) -> Self {
        Self::Refused(e)
    }
}

impl From<rusqlite::Error> for ChangeError {
    fn from(e: rusqlite::Error) -> Self {
        Self::Database(e)
    }
}

pub(super) type Changed = Result<Value, ChangeError>;

pub(super) fn refused<T>(why: impl Into<String>) -> Result<T, ChangeError> {
    Err(ChangeError::Refused(ApiError::client(why)))
}

/// The built-in queue and compute environment.
pub fn built_in(capacity: &Resources) -> Vec<(ResourceKind, &'static str, Value)> {
    let mut environment = json!({
        "type": "MANAGED",
        "computeResources": {
            "type": "EC2",
            "allocationStrategy": "BEST_FIT_PROGRESSIVE",
            "minvCpus": capacity.vcpus,
            "maxvCpus": capacity.vcpus,
            "desiredvCpus": capacity.vcpus,
            "instanceTypes": [INSTANCE_TYPE],
            "subnets": [],
            "securityGroupIds": [],
            "tags": {},
        },
    });
    environment_shown(&mut environment, COMPUTE_ENVIRONMENT);
    let mut queue = json!({
        "priority": 1,
        "computeEnvironmentOrder": [
            {"order": 1, "computeEnvironment": arn("compute-environment", COMPUTE_ENVIRONMENT)},
        ],
    });
    queue_shown(&mut queue, QUEUE);
    vec![
        (ResourceKind::ComputeEnvironment, COMPUTE_ENVIRONMENT, environment),
        (ResourceKind::Queue, QUEUE, queue),
    ]
}

/// Adds the fields that Batch adds to a compute environment. On this machine it is ready at once.
fn environment_shown(body: &mut Value, name: &str) {
    let ours = [
        ("computeEnvironmentName", json!(name)),
        ("computeEnvironmentArn", json!(arn("compute-environment", name))),
        ("ecsClusterArn", json!(ecs_cluster_arn())),
        ("status", json!("VALID")),
        ("statusReason", json!("ComputeEnvironment Healthy")),
        ("containerOrchestrationType", json!("ECS")),
        ("uuid", json!("00000000-0000-0000-0000-000000000000")),
    ];
    ours.into_iter().for_each(|(field, value)| body[field] = value);
    defaults(body, &[("state", json!("ENABLED")), ("tags", json!({}))]);
}

/// Adds the fields that Batch adds to a job queue.
fn queue_shown(body: &mut Value, name: &str) {
    let ours = [
        ("jobQueueName", json!(name)),
        ("jobQueueArn", json!(arn("job-queue", name))),
        ("status", json!("VALID")),
        ("statusReason", json!("JobQueue Healthy")),
    ];
    ours.into_iter().for_each(|(field, value)| body[field] = value);
    defaults(
        body,
        &[
            ("state", json!("ENABLED")),
            ("serviceEnvironmentOrder", json!([])),
            ("jobQueueType", json!("ECS")),
            ("tags", json!({})),
            ("jobStateTimeLimitActions", json!([])),
        ],
    );
}

/// The ECS cluster of all compute environments: this machine.
pub fn ecs_cluster_arn() -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{COMPUTE_ENVIRONMENT}")
}

pub(super) fn defaults(body: &mut Value, fields: &[(&str, Value)]) {
    for (field, value) in fields {
        if body.get(*field).is_none_or(Value::is_null) {
            body[*field] = value.clone();
        }
    }
}

/// The queues and environments as the scheduler sees them.
///
/// # Errors
/// When the database cannot be read.
pub fn layout(store: &Store) -> rusqlite::Result<Layout> {
    let mut layout = Layout::default();
    for (name, body) in store.resources(ResourceKind::ComputeEnvironment)? {
        let max = body["computeResources"]["maxvCpus"].as_u64();
        let environment = ComputeEnvironment {
            enabled: body["state"] != "DISABLED",
            // The built-in one is the machine, with its size of today.
            max_vcpus: max
                .map(|n| u32::try_from(n).unwrap_or(u32::MAX))
                .filter(|_| name != COMPUTE_ENVIRONMENT),
        };
        layout.environments.insert(name, environment);
    }
    for (name, body) in store.resources(ResourceKind::Queue)? {
        let policy = match body["schedulingPolicyArn"].as_str() {
            Some(arn) => store
                .resource(ResourceKind::Policy, ResourceKind::Policy.name_in(arn))?
                .map(|body| fair_share(&body)),
            None => None,
        };
        let queue = Queue {
            priority: body["priority"].as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
            environments: environments_of(&body),
            policy,
        };
        layout.queues.insert(name, queue);
    }
    Ok(layout)
}

/// The names in a queue's computeEnvironmentOrder, in that order.
pub fn environments_of(queue: &Value) -> Vec<String> {
    let mut order: Vec<(i64, String)> = queue["computeEnvironmentOrder"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = ResourceKind::ComputeEnvironment.name_in(entry["computeEnvironment"].as_str()?);
            Some((entry["order"].as_i64().unwrap_or(0), name.to_owned()))
        })
        .collect();
    order.sort();
    order.into_iter().map(|(_, name)| name).collect()
}

fn fair_share(policy: &Value) -> FairShare {
    let policy = &policy["fairsharePolicy"];
    let shares = policy["shareDistribution"].as_array().into_iter().flatten();
    FairShare {
        decay_ms: policy["shareDecaySeconds"].as_f64().unwrap_or(0.0) * 1000.0,
        weights: shares
            .filter_map(|share| {
                let weight = share["weightFactor"].as_f64().unwrap_or(1.0);
                Some((share["shareIdentifier"].as_str()?.to_owned(), weight))
            })
            .collect(),
    }
}

/// API: CRType.
const TYPES: [&str; 5] = ["EC2", "SPOT", "FARGATE", "FARGATE_SPOT", "ECS_MANAGED_INSTANCES"];

/// API: CreateComputeEnvironment.
///
/// # Errors
/// `ClientException`, when it cannot be.
pub fn create_environment(store: &Store, body: Value) -> Changed {
    let name = new_name(store, ResourceKind::ComputeEnvironment, &body, "computeEnvironmentName")?;
    check_environment(&body)?;
    let mut body = body;
    environment_shown(&mut body, &name);
    store.put_resource(ResourceKind::ComputeEnvironment, &name, &body)?;
    Ok(json!({"computeEnvironmentName": name, "computeEnvironmentArn": body["computeEnvironmentArn"]}))
}

fn check_environment(body: &Value) -> Result<(), ChangeError> {
    objects(body, &["computeResources", "tags"])?;
    check_state(body)?;
    match body["type"].as_str() {
        Some("MANAGED") => {}
        Some("UNMANAGED") => return Ok(()),
        _ => return refused(format!("type must be MANAGED or UNMANAGED, not {}", body["type"])),
    }
    if body.get("eksConfiguration").is_some_and(|v| !v.is_null()) {
        return refused("The local cluster does not have EKS (eksConfiguration).");
    }
    let resources = &body["computeResources"];
    if !resources.is_object() {
        return refused("computeResources is required for a MANAGED compute environment");
    }
    if !resources["type"].as_str().is_some_and(|kind| TYPES.contains(&kind)) {
        return refused(format!("computeResources.type must be one of {}", TYPES.join(", ")));
    }
    if resources["maxvCpus"].as_u64().is_none_or(|n| n == 0 || u32::try_from(n).is_err()) {
        return refused("computeResources.maxvCpus is required, and at least 1");
    }
    Ok(())
}

/// These fields are objects, where they are there.
pub(super) fn objects(body: &Value, fields: &[&str]) -> Result<(), ChangeError> {
    match fields.iter().find(|field| body.get(**field).is_some_and(|v| !v.is_object() && !v.is_null())) {
        Some(field) => Err(ApiError::serialization(&format!("{field} is not an object")).into()),
        None => Ok(()),
    }
}

/// API: UpdateComputeEnvironment.
///
/// # Errors
/// `ClientException`, when it cannot be.
pub fn update_environment(store: &Store, change: Value) -> Changed {
    let (name, mut body) =
        existing(store, ResourceKind::ComputeEnvironment, &change, "computeEnvironment", true)?;
    check_fargate(&body, &change)?;
    if let Value::Object(resources) = &change["computeResources"] {
        for (field, value) in resources {
            body["computeResources"][field] = value.clone();
        }
    }
    replace(
        &mut body,
        &change,
        &[
            "state",
            "serviceRole",
            "unmanagedvCpus",
            "updatePolicy",
            "context",
            "ecsSettings",
            "eksConfiguration",
        ],
    );
    check_environment(&body)?;
    store.put_resource(ResourceKind::ComputeEnvironment, &name, &body)?;
    Ok(json!({"computeEnvironmentName": name, "computeEnvironmentArn": body["computeEnvironmentArn"]}))
}

/// The fields of `computeResources` that stay on Fargate, as Batch's answer lists them.
const FIXED_ON_FARGATE: [&str; 12] = [
    "allocationStrategy",
    "bidPercentage",
    "ec2Configuration",
    "ec2KeyPair",
    "imageId",
    "instanceRole",
    "instanceTypes",
    "launchTemplate",
    "placementGroup",
    "tags",
    "type",
    "updateToLatestImageVersion",
];

/// The platform of the jobs of a compute environment (API: PlatformCapability).
pub fn platform(environment: &Value) -> &'static str {
    match environment["computeResources"]["type"].as_str() {
        Some("FARGATE" | "FARGATE_SPOT") => "FARGATE",
        Some("ECS_MANAGED_INSTANCES") => "MANAGED_INSTANCES",
        _ => "EC2",
    }
}

/// API, JobQueueDetail.jobQueueType: "For regular container jobs, this value is EKS, ECS, or
/// ECS_FARGATE depending on the compute environment"; the model has ECS_MANAGED_INSTANCES besides.
fn queue_type(environment: &Value) -> &'static str {
    match platform(environment) {
        "FARGATE" => "ECS_FARGATE",
        "MANAGED_INSTANCES" => "ECS_MANAGED_INSTANCES",
        _ => "ECS",
    }
}

/// Whether a compute environment is on Fargate.
fn is_fargate(environment: &Value) -> bool {
    platform(environment) == "FARGATE"
}

/// User Guide, "Updating Fargate compute environments": only security groups, subnets and vCPUs
/// change there. That an environment of EC2 does not move to Fargate either is not documented.
fn check_fargate(body: &Value, change: &Value) -> Result<(), ChangeError> {
    let changes = |field: &&&str| {
        let value = &change["computeResources"][**field];
        !value.is_null() && *value != body["computeResources"][**field]
    };
    let has_policy = !change["updatePolicy"].is_null();
    let is_refused = match (is_fargate(body), is_fargate(change)) {
        (true, _) => has_policy || FIXED_ON_FARGATE.iter().any(|field| changes(&field)),
        (false, moves) => moves,
    };
    if is_refused {
        let fields = FIXED_ON_FARGATE.join(", ");
        return refused(format!(
            "The following parameters can't be updated for Fargate compute environment: {fields}, updatePolicy."
        ));
    }
    Ok(())
}

/// API, DeleteComputeEnvironment: "you must set its state to DISABLED … and disassociate it from
/// any job queues".
///
/// # Errors
/// `ClientException`, when that is not so.
pub fn delete_environment(store: &Store, request: &Value) -> Changed {
    let (name, body) =
        existing(store, ResourceKind::ComputeEnvironment, request, "computeEnvironment", true)?;
    if body["state"] != "DISABLED" {
        return refused(format!("Cannot delete, compute environment {name} must be DISABLED first"));
    }
    for (queue, body) in store.resources(ResourceKind::Queue)? {
        if environments_of(&body).contains(&name) {
            return refused(format!("Cannot delete, found existing JobQueue relationship: {queue}"));
        }
    }
    store.remove_resource(ResourceKind::ComputeEnvironment, &name)?;
    Ok(json!({}))
}

/// API: CreateJobQueue.
///
/// # Errors
/// `ClientException`, when it cannot be.
pub fn create_queue(store: &Store, body: Value) -> Changed {
    let name = new_name(store, ResourceKind::Queue, &body, "jobQueueName")?;
    let mut body = body;
    check_queue(store, &mut body)?;
    queue_shown(&mut body, &name);
    store.put_resource(ResourceKind::Queue, &name, &body)?;
    Ok(json!({"jobQueueName": name, "jobQueueArn": body["jobQueueArn"]}))
}

fn check_queue(store: &Store, body: &mut Value) -> Result<(), ChangeError> {
    objects(body, &["tags"])?;
    if body["priority"].as_i64().and_then(|n| i32::try_from(n).ok()).is_none_or(|n| n < 0) {
        return refused("priority is required, and a number that is not negative");
    }
    if body["serviceEnvironmentOrder"].as_array().is_some_and(|order| !order.is_empty()) {
        return refused("The local cluster does not have service environments (serviceEnvironmentOrder).");
    }
    let order = body["computeEnvironmentOrder"].as_array_mut();
    // API, CreateJobQueue.computeEnvironmentOrder: "You can associate up to three compute
    // environments".
    let Some(order) = order.filter(|order| (1..=3).contains(&order.len())) else {
        return refused("computeEnvironmentOrder: one to three compute environments are required");
    };
    let mut types = Vec::new();
    for entry in order {
        let name = ResourceKind::ComputeEnvironment
            .name_in(entry["computeEnvironment"].as_str().unwrap_or(""))
            .to_owned();
        let Some(environment) = store.resource(ResourceKind::ComputeEnvironment, &name)? else {
            return refused(format!("Compute environment {name:?} not found"));
        };
        types.push(queue_type(&environment));
        if entry["order"].as_i64().is_none() {
            return refused("computeEnvironmentOrder: order is required");
        }
        entry["computeEnvironment"] = json!(arn("compute-environment", &name));
    }
    // API, CreateJobQueue.computeEnvironmentOrder: "All of the compute environments must be either
    // EC2 (EC2 or SPOT) or Fargate". jobQueueType has a value of its own for ECS Managed Instances.
    let kind = types.first().copied().unwrap_or("ECS");
    if let Some(other) = types.iter().find(|other| **other != kind) {
        return refused(format!(
            "computeEnvironmentOrder: the compute environments of a queue are all of one kind, not {kind} and {other}"
        ));
    }
    match body["jobQueueType"].as_str() {
        None => body["jobQueueType"] = json!(kind),
        Some(given) if given == kind => {}
        Some(given) => {
            return refused(format!("jobQueueType: the compute environments are for {kind}, not {given}"));
        }
    }
    if let Some(policy) = body["schedulingPolicyArn"].as_str()
        && store.resource(ResourceKind::Policy, ResourceKind::Policy.name_in(policy))?.is_none()
    {
        return refused(format!("Scheduling policy {policy} not found"));
    }
    check_state(body)
}

fn check_state(body: &Value) -> Result<(), ChangeError> {
    match &body["state"] {
        Value::Null => Ok(()),
        state if matches!(state.as_str(), Some("ENABLED" | "DISABLED")) => Ok(()),
        state => refused(format!("state must be ENABLED or DISABLED, not {state}")),
    }
}

/// API: UpdateJobQueue.
///
/// # Errors
/// `ClientException`, when it cannot be.
pub fn update_queue(store: &Store, change: Value) -> Changed {
    let (name, mut body) = existing(store, ResourceKind::Queue, &change, "jobQueue", true)?;
    let had_policy = body["schedulingPolicyArn"].is_string();
    // API, UpdateJobQueue.schedulingPolicyArn: "Once a job queue is created, the fair-share
    // scheduling policy can be replaced but not removed."
    if change["schedulingPolicyArn"].is_string() && !had_policy {
        return refused("schedulingPolicyArn: the job queue was made without a fair-share scheduling policy");
    }
    replace(
        &mut body,
        &change,
        &[
            "state",
            "priority",
            "schedulingPolicyArn",
            "computeEnvironmentOrder",
            "serviceEnvironmentOrder",
            "jobStateTimeLimitActions",
        ],
    );
    // It is that of the compute environments.
    body["jobQueueType"] = Value::Null;
    check_queue(store, &mut body)?;
    store.put_resource(ResourceKind::Queue, &name, &body)?;
    Ok(json!({"jobQueueName": name, "jobQueueArn": body["jobQueueArn"]}))
}

/// API, DeleteJobQueue: "You must first disable submissions for a queue with the UpdateJobQueue
/// operation. All jobs in the queue are eventually terminated when you delete a job queue."
///
/// # Errors
/// `ClientException`, when that is not so.
pub fn delete_queue(store: &Store, request: &Value) -> Changed {
    let (name, body) = existing(store, ResourceKind::Queue, request, "jobQueue", true)?;
    if body["state"] != "DISABLED" {
        return refused(format!("Cannot delete, job queue {name} must be DISABLED first"));
    }
    store.remove_resource(ResourceKind::Queue, &name)?;
    Ok(json!({}))
}

/// API: CreateSchedulingPolicy.
///
/// # Errors
/// `ClientException`, when it cannot be.
pub fn create_policy(store: &Store, body: Value) -> Changed {
    let name = new_name(store, ResourceKind::Policy, &body, "name")?;
    check_policy(&body)?;
    let arn = arn("scheduling-policy", &name);
    let mut body = body;
    body["arn"] = json!(arn);
    defaults(&mut body, &[("tags", json!({}))]);
    store.put_resource(ResourceKind::Policy, &name, &body)?;
    Ok(json!({"name": name, "arn": arn}))
}

/// API: FairsharePolicy.
fn check_policy(body: &Value) -> Result<(), ChangeError> {
    objects(body, &["tags", "fairsharePolicy", "quotaSharePolicy"])?;
    if body["quotaSharePolicy"].is_object() {
        return refused("The local cluster does not have quota shares (quotaSharePolicy).");
    }
    let policy = &body["fairsharePolicy"];
    if policy.is_null() {
        return Ok(());
    }
    let in_range = |field: &str, most: u64| match &policy[field] {
        Value::Null => Ok(()),
        value if value.as_u64().is_some_and(|n| n <= most) => Ok(()),
        value => refused(format!("fairsharePolicy: {field} must be 0 to {most}, not {value}")),
    };
    in_range("shareDecaySeconds", 604_800)?;
    in_range("computeReservation", 99)?;
    for share in policy["shareDistribution"].as_array().into_iter().flatten() {
        if share["shareIdentifier"].as_str().is_none_or(str::is_empty) {
            return refused("fairsharePolicy: shareIdentifier is required");
        }
        // API, ShareAttributes.weightFactor: "The smallest supported value is 0.0001, and the
        // largest supported value is 999.9999."
        let weight = &share["weightFactor"];
        if !weight.is_null() && !weight.as_f64().is_some_and(|w| (0.0001..=999.9999).contains(&w)) {
            return refused(format!(
                "fairsharePolicy: weightFactor must be 0.0001 to 999.9999, not {weight}"
            ));
        }
    }
    Ok(())
}

/// API: UpdateSchedulingPolicy.
///
/// # Errors
/// `ClientException`, when it cannot be.
pub fn update_policy(store: &Store, change: Value) -> Changed {
    let (name, mut body) = existing(store, ResourceKind::Policy, &change, "arn", false)?;
    replace(&mut body, &change, &["fairsharePolicy", "quotaSharePolicy"]);
    check_policy(&body)?;
    store.put_resource(ResourceKind::Policy, &name, &body)?;
    Ok(json!({}))
}

/// API, DeleteSchedulingPolicy: "You can't delete a scheduling policy that's used in any job
/// queues."
///
/// # Errors
/// `ClientException`, when it is.
pub fn delete_policy(store: &Store, request: &Value) -> Changed {
    let (name, _) = existing(store, ResourceKind::Policy, request, "arn", false)?;
    for (queue, body) in store.resources(ResourceKind::Queue)? {
        if body["schedulingPolicyArn"].as_str().is_some_and(|arn| ResourceKind::Policy.name_in(arn) == name) {
            return refused(format!("Cannot delete, the scheduling policy is used by job queue {queue}"));
        }
    }
    store.remove_resource(ResourceKind::Policy, &name)?;
    Ok(json!({}))
}

/// The name of one that is yet to be.
pub(super) fn new_name(
    store: &Store,
    kind: ResourceKind,
    body: &Value,
    field: &str,
) -> Result<String, ChangeError> {
    let name = body[field].as_str().unwrap_or("");
    let good = !name.is_empty()
        && name.len() <= 128
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !good {
        return refused(format!(
            "{field}: {name:?} is not up to 128 letters, digits, hyphens and underscores"
        ));
    }
    if store.resource(kind, name)?.is_some() {
        return refused(format!("Object already exists: {}", arn(kind.as_str(), name)));
    }
    Ok(name.to_owned())
}

/// One that is there, named in a request.
pub(super) fn existing(
    store: &Store,
    kind: ResourceKind,
    request: &Value,
    field: &str,
    keep_built_in: bool,
) -> Result<(String, Value), ChangeError> {
    let given = request[field].as_str().unwrap_or("");
    let name = kind.name_in(given);
    let Some(body) = store.resource(kind, name)? else {
        return refused(format!("{given:?} does not exist"));
    };
    if keep_built_in && kind.built_in() == Some(name) {
        return refused(format!("The {} {name:?} is built in and stays as it is", kind.as_str()));
    }
    Ok((name.to_owned(), body))
}

/// The fields of a change that are given replace those of a body.
fn replace(body: &mut Value, change: &Value, fields: &[&str]) {
    for field in fields {
        if let Some(value) = change.get(*field).filter(|v| !v.is_null()) {
            body[*field] = value.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_the_wrong_kind_is_refused_before_anything_reads_it() {
        for bad in [
            json!({"type": "UNMANAGED", "computeResources": "x"}),
            json!({"type": "UNMANAGED", "tags": [1]}),
            json!({"type": "UNMANAGED", "state": "MAYBE"}),
            json!({"type": "MANAGED", "computeResources": [1]}),
            json!({"type": "MANAGED", "computeResources": {"type": "EC2", "maxvCpus": "many"}}),
            json!({"type": "MANAGED", "computeResources": {"type": "EC2", "maxvCpus": 0}}),
            json!({"type": 7}),
        ] {
            assert!(check_environment(&bad).is_err(), "{bad}");
        }
        for bad in [
            json!({"fairsharePolicy": "x"}),
            json!({"quotaSharePolicy": {}}),
            json!({"fairsharePolicy": {"shareDecaySeconds": -1}}),
            json!({"fairsharePolicy": {"shareDistribution": [{"shareIdentifier": "a", "weightFactor": 0}]}}),
            json!({"fairsharePolicy": {"shareDistribution": ["a"]}}),
        ] {
            assert!(check_policy(&bad).is_err(), "{bad}");
        }
        assert!(check_policy(&json!({"fairsharePolicy": {"shareDecaySeconds": 604_800}})).is_ok());
    }

    #[test]
    fn an_environment_of_fargate_changes_its_network_and_its_size_alone() {
        let fargate = json!({"computeResources": {"type": "FARGATE", "maxvCpus": 4, "subnets": ["a"]}});
        let ec2 = json!({"computeResources": {"type": "EC2", "maxvCpus": 4}});
        let of = |resources: Value| json!({ "computeResources": resources });
        assert!(check_fargate(&fargate, &of(json!({"maxvCpus": 8, "subnets": ["b"]}))).is_ok());
        assert!(check_fargate(&fargate, &of(json!({"type": "FARGATE"}))).is_ok());
        assert!(check_fargate(&fargate, &json!({"state": "DISABLED"})).is_ok());
        assert!(check_fargate(&ec2, &of(json!({"type": "SPOT"}))).is_ok());
        for (before, change) in [
            (&fargate, of(json!({"type": "FARGATE_SPOT"}))),
            (&fargate, of(json!({"type": "EC2"}))),
            (&fargate, of(json!({"tags": {"a": "b"}}))),
            (&fargate, json!({"updatePolicy": {"terminateJobsOnUpdate": true}})),
            (&ec2, of(json!({"type": "FARGATE"}))),
        ] {
            assert!(check_fargate(before, &change).is_err(), "{change}");
        }
    }
}
