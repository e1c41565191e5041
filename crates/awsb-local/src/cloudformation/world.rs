//! The resources of stacks on this machine: what Batch, S3 and CloudWatch Logs have here is real,
//! everything else is simulated.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::faults::Faults;
use super::model::{New, Resource, ResourceStatus, Stack};
use super::operation::{Action, HandlerError, Made, Outcome, World};
use super::schema::{self, Difference, Recreation, Schemas};
use super::{rows, simulated};
use crate::batch::consumable;
use crate::batch::definition::{DefinitionName, arn};
use crate::batch::log_streams::{self, Change};
use crate::batch::request;
use crate::batch::resource_rows::ResourceKind;
use crate::batch::resources::{self, ChangeError};
use crate::batch::store::Store;
use crate::constants::REGION;
use crate::http::protocol::ApiError;
use crate::logs::names::{GroupName, StreamName};
use crate::s3;
use crate::time::now_ms;

/// The world of the local cluster, in one transaction of the Batch database.
#[derive(Debug)]
pub struct LocalWorld<'a> {
    /// The Batch database, with a transaction that is open.
    pub store: &'a Store,
    /// The buckets.
    pub objects: &'a s3::Store,
    /// The failures that are asked for.
    pub faults: &'a Faults,
    /// The log streams that were removed with their group. Their events are to go, too.
    pub removed_streams: Vec<(GroupName, Vec<StreamName>)>,
}

/// A property that maps names of the user's to values: its keys stay as they are.
const MAPS: [&str; 10] = [
    "Annotations",
    "CapacityTags",
    "Labels",
    "Limits",
    "NodeSelector",
    "Options",
    "Parameters",
    "Requests",
    "Tags",
    "VolumeAttributes",
];

/// Properties as the API of Batch has them: the names begin with a small letter.
fn as_request(properties: &Value) -> Value {
    match properties {
        Value::Object(map) => {
            let field = |(name, value): (&String, &Value)| {
                let mut letters = name.chars();
                let first = letters.next().map(|letter| letter.to_ascii_lowercase());
                let value = if MAPS.contains(&name.as_str()) { value.clone() } else { as_request(value) };
                (first.into_iter().chain(letters).collect(), value)
            };
            Value::Object(map.iter().map(field).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(as_request).collect()),
        other => other.clone(),
    }
}

/// CloudFormation takes these words in small letters, too.
fn to_upper(body: &mut Value, pointers: &[&str]) {
    for pointer in pointers {
        if let Some(Value::String(text)) = body.pointer_mut(pointer) {
            text.make_ascii_uppercase();
        }
    }
}

/// Tells a refusal, which fails the resource, from a failure of the database.
fn told(outcome: Result<Value, ChangeError>) -> Outcome<Value> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(ChangeError::Refused(e)) => Ok(Err(of_api(e))),
        Err(ChangeError::Database(e)) => Err(e),
    }
}

fn of_api(e: ApiError) -> HandlerError {
    HandlerError::new("InvalidRequest", e.message)
}

fn exists(kind: &str, name: &str) -> HandlerError {
    let message = format!("Resource of type '{kind}' with identifier '{name}' already exists.");
    HandlerError::new("AlreadyExists", message)
}

/// Continues with the value of an outcome, or returns the refusal.
macro_rules! done {
    ($outcome:expr) => {
        match $outcome {
            Ok(value) => value,
            Err(refused) => return Ok(Err(refused)),
        }
    };
}

fn made(physical_id: &str, attributes: Value) -> Made {
    let attributes = attributes.as_object().cloned().unwrap_or_default();
    Made { physical_id: physical_id.to_owned(), attributes, note: None }
}

fn made_group(group: &GroupName) -> Made {
    made(group.as_str(), json!({"Arn": format!("{}:*", group.arn())}))
}

/// The kind of a resource of Batch that is stored as one.
fn resource_kind(kind: &str) -> Option<(ResourceKind, &'static str)> {
    match kind {
        "AWS::Batch::ComputeEnvironment" => Some((ResourceKind::ComputeEnvironment, "ComputeEnvironmentArn")),
        "AWS::Batch::ConsumableResource" => Some((ResourceKind::Consumable, "ConsumableResourceArn")),
        "AWS::Batch::JobQueue" => Some((ResourceKind::Queue, "JobQueueArn")),
        "AWS::Batch::SchedulingPolicy" => Some((ResourceKind::Policy, "Arn")),
        _ => None,
    }
}

/// Whether resources of this type are simulated: only their stack knows of such a resource.
pub fn is_simulated(kind: &str) -> bool {
    let is_real = matches!(kind, "AWS::Batch::JobDefinition" | "AWS::Logs::LogGroup" | "AWS::S3::Bucket");
    !is_real && resource_kind(kind).is_none()
}

impl LocalWorld<'_> {
    fn db(&self) -> &Connection {
        self.store.connection()
    }

    fn create_batch(&self, kind: ResourceKind, attribute: &str, new: &New) -> Outcome<Made> {
        if self.store.resource(kind, &new.name)?.is_some() {
            return Ok(Err(exists(&new.kind, &new.name)));
        }
        let mut body = as_request(&new.properties);
        done!(request::check_integers(&body).map_err(of_api));
        let outcome = match kind {
            ResourceKind::ComputeEnvironment => {
                to_upper(&mut body, &["/type", "/state", "/computeResources/type"]);
                body["computeEnvironmentName"] = json!(new.name);
                resources::create_environment(self.store, body)
            }
            ResourceKind::Queue => {
                to_upper(&mut body, &["/state"]);
                body["jobQueueName"] = json!(new.name);
                resources::create_queue(self.store, body)
            }
            ResourceKind::Policy => {
                body["name"] = json!(new.name);
                resources::create_policy(self.store, body)
            }
            ResourceKind::Consumable => {
                body["consumableResourceName"] = json!(new.name);
                consumable::create(self.store, body)
            }
        };
        done!(told(outcome)?);
        let arn = arn(kind.as_str(), &new.name);
        Ok(Ok(made(&arn, json!({ attribute: arn }))))
    }

    fn update_batch(&self, kind: ResourceKind, old: &Resource, new: &New) -> Outcome<Made> {
        let id = old.physical_id.clone().unwrap_or_default();
        let name = kind.name_in(&id).to_owned();
        let mut body = as_request(&new.properties);
        done!(request::check_integers(&body).map_err(of_api));
        let outcome = match kind {
            ResourceKind::ComputeEnvironment => {
                done!(check_infrastructure(&old.properties, &new.properties));
                to_upper(&mut body, &["/type", "/state", "/computeResources/type"]);
                body["computeEnvironment"] = json!(name);
                resources::update_environment(self.store, body.clone())
            }
            ResourceKind::Queue => {
                to_upper(&mut body, &["/state"]);
                body["jobQueue"] = json!(name);
                resources::update_queue(self.store, body.clone())
            }
            ResourceKind::Policy => {
                body["arn"] = json!(id);
                resources::update_policy(self.store, body.clone())
            }
            ResourceKind::Consumable => {
                let total = &body["totalQuantity"];
                let change = json!({"consumableResource": id, "operation": "SET", "quantity": total});
                consumable::update(self.store, change)
            }
        };
        done!(told(outcome)?);
        if let Some(mut stored) = self.store.resource(kind, &name)? {
            stored["tags"] = body.get("tags").cloned().unwrap_or_else(|| json!({}));
            // A property that the template has no more is removed.
            if kind == ResourceKind::ComputeEnvironment {
                stored["computeResources"] = body["computeResources"].take();
            }
            self.store.put_resource(kind, &name, &stored)?;
        }
        Ok(Ok(Made { physical_id: id, attributes: old.attributes.clone(), note: None }))
    }

    /// Whether a bucket still has the policy of a stack that has left it behind. A bucket that was
    /// made again has none.
    fn has_kept_policy(&self, stack: &Stack, new: &New) -> rusqlite::Result<bool> {
        let Some(bucket) = new.properties["Bucket"].as_str() else { return Ok(false) };
        let buckets = self.objects.buckets().unwrap_or_default();
        let Some((_, made_at)) = buckets.into_iter().find(|(name, _)| name == bucket) else {
            return Ok(false);
        };
        let is_kept = |resource: &Resource| {
            resource.kind == new.kind
                && resource.physical_id.as_deref() == Some(bucket)
                && resource.status == ResourceStatus::DeleteSkipped
                && resource.updated_at >= made_at
        };
        let others = rows::all(self.db(), true)?;
        Ok(others
            .iter()
            .filter(|other| other.id != stack.id)
            .any(|other| other.resources.values().any(is_kept)))
    }

    /// Disables and deletes (Template Reference: CloudFormation does both).
    fn delete_batch(&self, kind: ResourceKind, id: &str) -> Outcome<()> {
        let name = kind.name_in(id);
        let Some(mut body) = self.store.resource(kind, name)? else { return Ok(Ok(())) };
        body["state"] = json!("DISABLED");
        let outcome = match kind {
            ResourceKind::ComputeEnvironment => {
                self.store.put_resource(kind, name, &body)?;
                resources::delete_environment(self.store, &json!({"computeEnvironment": name}))
            }
            ResourceKind::Queue => {
                self.store.put_resource(kind, name, &body)?;
                resources::delete_queue(self.store, &json!({"jobQueue": name}))
            }
            ResourceKind::Policy => resources::delete_policy(self.store, &json!({"arn": id})),
            ResourceKind::Consumable => consumable::delete(self.store, &json!({"consumableResource": id})),
        };
        Ok(told(outcome)?.map(|_| ()))
    }

    fn register(&self, new: &New) -> Outcome<Made> {
        let mut body = as_request(&new.properties);
        let retention = body.as_object_mut();
        retention.map(|body| body.remove("resourceRetentionPolicy"));
        body["jobDefinitionName"] = json!(new.name);
        let (name, body) = done!(request::registration(body).map_err(of_api));
        let revision = self.store.register(&name, &body, None)?;
        let arn = arn("job-definition", &format!("{name}:{revision}"));
        Ok(Ok(made(&arn, json!({"JobDefinitionArn": arn}))))
    }

    fn deregister(&self, id: &str) -> rusqlite::Result<()> {
        let name = DefinitionName::parse(id);
        name.revision.map_or(Ok(()), |revision| self.store.deregister(&name.name, revision))
    }

    fn log_group(&self, new: &New, is_new: bool) -> Outcome<Made> {
        let group = done!(GroupName::parse(&new.name).map_err(of_api));
        if is_new {
            let class = new.properties["LogGroupClass"].as_str().unwrap_or("STANDARD");
            let created =
                self.store.change_logs(&Change::CreateGroup(group.clone(), class.to_owned()), now_ms())?;
            if created.is_err() {
                return Ok(Err(exists(&new.kind, &new.name)));
            }
        }
        let days = new.properties["RetentionInDays"].as_i64();
        done!(self.store.change_logs(&Change::Retain(group.clone(), days), now_ms())?.map_err(of_api));
        Ok(Ok(made_group(&group)))
    }

    fn bucket(&self, new: &New) -> Made {
        let name = &new.name;
        made(
            name,
            json!({
                "Arn": format!("arn:aws:s3:::{name}"),
                "DomainName": format!("{name}.s3.amazonaws.com"),
                "DualStackDomainName": format!("{name}.s3.dualstack.{REGION}.amazonaws.com"),
                "RegionalDomainName": format!("{name}.s3.{REGION}.amazonaws.com"),
                "WebsiteURL": format!("http://{name}.s3-website-{REGION}.amazonaws.com"),
            }),
        )
    }
}

/// Batch User Guide, "Updating compute environments": an infrastructure update needs the
/// service-linked role, and one of three allocation strategies. Fargate has none.
fn check_infrastructure(before: &Value, after: &Value) -> Result<(), HandlerError> {
    let Some(schema) = Schemas::built_in().of("AWS::Batch::ComputeEnvironment") else { return Ok(()) };
    let is_infrastructure =
        |difference: &Difference| schema.recreation(difference) == Recreation::Conditionally;
    if !schema::differences(before, after).iter().any(is_infrastructure) {
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or("").to_uppercase();
    let (kind, strategy) =
        (text(&after["ComputeResources"]["Type"]), text(&after["ComputeResources"]["AllocationStrategy"]));
    let role = after["ServiceRole"].as_str().unwrap_or("AWSServiceRoleForBatch");
    match kind.starts_with("FARGATE") {
        false if matches!(strategy.as_str(), "" | "BEST_FIT") => Err(HandlerError::new(
            "InvalidRequest",
            "Infrastructure updates are not supported with the allocation strategy BEST_FIT",
        )),
        _ if !role.contains("AWSServiceRoleForBatch") => Err(HandlerError::new(
            "InvalidRequest",
            "Infrastructure updates need the service-linked role AWSServiceRoleForBatch",
        )),
        _ => Ok(()),
    }
}

/// CloudWatch Logs User Guide, "CloudWatch Logs quotas": the most resource policies of an account
/// in a region.
const MOST_LOG_POLICIES: usize = 10;

/// S3 User Guide, "General purpose bucket naming rules".
fn is_bucket_name(name: &str) -> bool {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.starts_with(is_end)
        && name.ends_with(is_end)
        && name.chars().all(|c| is_end(c) || c == '-' || c == '.')
        && !name.contains("..")
}

/// A failure of the store of S3.
fn of_objects(e: &s3::StoreError) -> HandlerError {
    match e {
        s3::StoreError::NotEmpty => {
            HandlerError::new("GeneralServiceException", "The bucket you tried to delete is not empty")
        }
        other => HandlerError::new("ServiceInternalError", other.to_string()),
    }
}

impl World for LocalWorld<'_> {
    fn prepare(&mut self, stack: &Stack, new: &New) -> Outcome<()> {
        if new.kind == "AWS::S3::Bucket" {
            return Ok(match self.objects.require_bucket(&new.name) {
                _ if !is_bucket_name(&new.name) => Err(HandlerError::new(
                    "InvalidRequest",
                    format!("The bucket name {} is not valid", new.name),
                )),
                Ok(()) => Err(exists(&new.kind, &new.name)),
                Err(s3::StoreError::NoSuchBucket) => Ok(()),
                Err(e) => Err(of_objects(&e)),
            });
        }
        if let Some((kind, _)) = resource_kind(&new.kind) {
            let is_there = self.store.resource(kind, &new.name)?.is_some();
            return Ok(if is_there { Err(exists(&new.kind, &new.name)) } else { Ok(()) });
        }
        match new.kind.as_str() {
            // A name that is there gets another revision.
            "AWS::Batch::JobDefinition" => return Ok(Ok(())),
            "AWS::Logs::LogGroup" => {
                let group = done!(GroupName::parse(&new.name).map_err(of_api));
                let is_there = log_streams::has_group(self.db(), &group)?;
                return Ok(if is_there { Err(exists(&new.kind, &new.name)) } else { Ok(()) });
            }
            _ => {}
        }
        if new.kind == "AWS::S3::BucketPolicy" && self.has_kept_policy(stack, new)? {
            let bucket = new.properties["Bucket"].as_str().unwrap_or_default();
            let message = format!("The bucket policy already exists on bucket {bucket}.");
            return Ok(Err(HandlerError::new("AlreadyExists", message)));
        }
        // Of simulated resources only stacks know.
        let id = simulated::made(&stack.id, new, None).physical_id;
        let is_there = |other: &Stack| {
            let same = |(logical, resource): (&String, &Resource)| {
                resource.kind == new.kind
                    && resource.physical_id.as_deref() == Some(&id)
                    && resource.status.as_str() != "DELETE_COMPLETE"
                    && !(other.id == stack.id && *logical == new.logical)
            };
            other.resources.iter().any(same)
        };
        let others = rows::all(self.db(), false)?;
        let live = |other: &Stack| {
            let is_policy = |resource: &&Resource| {
                resource.kind == "AWS::Logs::ResourcePolicy"
                    && resource.physical_id.is_some()
                    && resource.status.as_str() != "DELETE_COMPLETE"
            };
            other.resources.values().filter(is_policy).count()
        };
        let policies: usize = others.iter().filter(|other| other.id != stack.id).map(live).sum();
        if new.kind == "AWS::Logs::ResourcePolicy" && policies + live(stack) >= MOST_LOG_POLICIES {
            return Ok(Err(HandlerError::new("ServiceLimitExceeded", "Resource limit exceeded.")));
        }
        let is_taken = others.iter().filter(|other| other.id != stack.id).any(is_there) || is_there(stack);
        Ok(if is_taken { Err(exists(&new.kind, &id)) } else { Ok(()) })
    }

    fn create(&mut self, stack: &Stack, new: &New) -> Outcome<Made> {
        if let Some((kind, attribute)) = resource_kind(&new.kind) {
            return self.create_batch(kind, attribute, new);
        }
        match new.kind.as_str() {
            "AWS::Batch::JobDefinition" => self.register(new),
            "AWS::Logs::LogGroup" => self.log_group(new, true),
            // A server that was killed may have made it: `prepare` has seen that nobody else had.
            "AWS::S3::Bucket" => match self.objects.create_bucket(&new.name) {
                Ok(()) => Ok(Ok(self.bucket(new))),
                Err(e) => Ok(Err(of_objects(&e))),
            },
            _ => Ok(Ok(simulated::made(&stack.id, new, None))),
        }
    }

    fn existing(&mut self, new: &New) -> rusqlite::Result<Option<Made>> {
        let found = match new.kind.as_str() {
            "AWS::S3::Bucket" => self.objects.require_bucket(&new.name).is_ok().then(|| self.bucket(new)),
            "AWS::Logs::LogGroup" => match GroupName::parse(&new.name) {
                Ok(group) => log_streams::has_group(self.db(), &group)?.then(|| made_group(&group)),
                Err(_) => None,
            },
            // Simulated resources are forgotten with their stack.
            _ => None,
        };
        let Some(made) = found else { return Ok(None) };
        let has_it = |stack: &Stack| {
            stack.resources.values().any(|resource| {
                resource.kind == new.kind
                    && resource.physical_id.as_deref() == Some(&made.physical_id)
                    && !matches!(
                        resource.status,
                        ResourceStatus::DeleteComplete | ResourceStatus::DeleteSkipped
                    )
            })
        };
        let is_taken = rows::all(self.db(), false)?.iter().any(has_it);
        Ok((!is_taken).then_some(made))
    }

    fn update(&mut self, stack: &Stack, old: &Resource, new: &New) -> Outcome<Made> {
        let id = old.physical_id.clone().unwrap_or_default();
        if let Some((kind, _)) = resource_kind(&new.kind) {
            return self.update_batch(kind, old, new);
        }
        match new.kind.as_str() {
            "AWS::Batch::JobDefinition" => {
                let made = done!(self.register(new)?);
                // Template Reference, ResourceRetentionPolicy: "SkipDeregisterOnUpdate".
                let skips = |properties: &Value| {
                    properties["ResourceRetentionPolicy"]["SkipDeregisterOnUpdate"] == Value::Bool(true)
                };
                if !skips(&new.properties) {
                    self.deregister(&id)?;
                }
                Ok(Ok(made))
            }
            "AWS::Logs::LogGroup" => {
                let new = New { name: id, ..new.clone() };
                self.log_group(&new, false)
            }
            "AWS::S3::Bucket" => Ok(Ok(self.bucket(&New { name: id, ..new.clone() }))),
            _ => Ok(Ok(simulated::made(&stack.id, new, Some((&id, &old.attributes))))),
        }
    }

    fn delete(&mut self, _: &Stack, _: &str, old: &Resource) -> Outcome<()> {
        let Some(id) = &old.physical_id else { return Ok(Ok(())) };
        if let Some((kind, _)) = resource_kind(&old.kind) {
            return self.delete_batch(kind, id);
        }
        match old.kind.as_str() {
            "AWS::Batch::JobDefinition" => self.deregister(id).map(Ok),
            "AWS::Logs::LogGroup" => {
                let group = GroupName::from_valid(id.clone());
                // One that is gone counts as deleted.
                if let Ok(streams) = self.store.change_logs(&Change::DeleteGroup(group.clone()), now_ms())? {
                    self.removed_streams.push((group, streams));
                }
                Ok(Ok(()))
            }
            "AWS::S3::Bucket" => match self.objects.delete_bucket(id) {
                Ok(()) | Err(s3::StoreError::NoSuchBucket) => Ok(Ok(())),
                Err(e) => Ok(Err(of_objects(&e))),
            },
            _ => Ok(Ok(())),
        }
    }

    fn fault(&mut self, logical: &str, kind: &str, action: Action) -> Option<String> {
        self.faults.of_resource(logical, kind, action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_become_a_request_of_batch() {
        let properties = json!({
            "ContainerProperties": {
                "LogConfiguration": {"LogDriver": "awslogs", "Options": {"awslogs-group": "G"}},
                "Environment": [{"Name": "A", "Value": "B"}],
                "Vcpus": 1,
            },
            "Tags": {"Name": "x"},
            "Parameters": {"Input": "y"},
        });
        assert_eq!(
            as_request(&properties),
            json!({
                "containerProperties": {
                    "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "G"}},
                    "environment": [{"name": "A", "value": "B"}],
                    "vcpus": 1,
                },
                "tags": {"Name": "x"},
                "parameters": {"Input": "y"},
            })
        );
    }

    #[test]
    fn an_infrastructure_update_needs_a_strategy_that_allows_it() {
        let of = |strategy: &str, subnets: &[&str], max: u32| {
            json!({"Type": "MANAGED", "ComputeResources": {
                "Type": "EC2", "AllocationStrategy": strategy, "Subnets": subnets, "MaxvCpus": max}})
        };
        let check = |strategy, subnets: &[&str], max| {
            check_infrastructure(&of(strategy, &["a"], 1), &of(strategy, subnets, max)).is_ok()
        };
        assert!(check("BEST_FIT", &["a"], 2), "a scaling update");
        assert!(!check("BEST_FIT", &["a", "b"], 1));
        assert!(check("BEST_FIT_PROGRESSIVE", &["a", "b"], 1));
        let fargate = |subnets: &[&str]| json!({"ComputeResources": {"Type": "FARGATE", "Subnets": subnets}});
        assert!(check_infrastructure(&fargate(&["a"]), &fargate(&["b"])).is_ok());
        let mut with_role = of("BEST_FIT_PROGRESSIVE", &["b"], 1);
        with_role["ServiceRole"] = json!("arn:aws:iam::000000000000:role/mine");
        assert!(check_infrastructure(&of("BEST_FIT_PROGRESSIVE", &["a"], 1), &with_role).is_err());
    }

    #[test]
    fn names_of_buckets() {
        for good in ["abc", "a-b.c1", &"a".repeat(63)] {
            assert!(is_bucket_name(good), "{good}");
        }
        for bad in ["ab", "Abc", "-abc", "abc-", "a_b", "a..b", &"a".repeat(64)] {
            assert!(!is_bucket_name(bad), "{bad}");
        }
    }
}
