//! Stacks, their resources and their events, as they are stored.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::template::Policy;
use crate::constants::{ACCOUNT, REGION};

macro_rules! statuses {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[allow(missing_docs)]
        pub enum $name { $(#[serde(rename = $text)] $variant,)* }

        impl $name {
            /// As the API has it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

statuses! {
    /// API: StackStatus.
    StackStatus {
        CreateInProgress = "CREATE_IN_PROGRESS",
        CreateFailed = "CREATE_FAILED",
        CreateComplete = "CREATE_COMPLETE",
        RollbackInProgress = "ROLLBACK_IN_PROGRESS",
        RollbackFailed = "ROLLBACK_FAILED",
        RollbackComplete = "ROLLBACK_COMPLETE",
        DeleteInProgress = "DELETE_IN_PROGRESS",
        DeleteFailed = "DELETE_FAILED",
        DeleteComplete = "DELETE_COMPLETE",
        UpdateInProgress = "UPDATE_IN_PROGRESS",
        UpdateCleanup = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        UpdateComplete = "UPDATE_COMPLETE",
        UpdateFailed = "UPDATE_FAILED",
        UpdateRollbackInProgress = "UPDATE_ROLLBACK_IN_PROGRESS",
        UpdateRollbackFailed = "UPDATE_ROLLBACK_FAILED",
        UpdateRollbackCleanup = "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        UpdateRollbackComplete = "UPDATE_ROLLBACK_COMPLETE",
        ReviewInProgress = "REVIEW_IN_PROGRESS",
    }
}

impl StackStatus {
    /// Whether something is being done.
    pub fn is_in_progress(self) -> bool {
        self.as_str().ends_with("_IN_PROGRESS")
    }

    /// Whether a new template can be given to a stack in this status (UG, "Stack status codes").
    pub fn can_be_updated(self) -> bool {
        matches!(
            self,
            Self::CreateComplete
                | Self::UpdateComplete
                | Self::UpdateRollbackComplete
                | Self::CreateFailed
                | Self::UpdateFailed
        )
    }
}

statuses! {
    /// API: ResourceStatus.
    ResourceStatus {
        CreateInProgress = "CREATE_IN_PROGRESS",
        CreateFailed = "CREATE_FAILED",
        CreateComplete = "CREATE_COMPLETE",
        DeleteInProgress = "DELETE_IN_PROGRESS",
        DeleteFailed = "DELETE_FAILED",
        DeleteComplete = "DELETE_COMPLETE",
        DeleteSkipped = "DELETE_SKIPPED",
        UpdateInProgress = "UPDATE_IN_PROGRESS",
        UpdateFailed = "UPDATE_FAILED",
        UpdateComplete = "UPDATE_COMPLETE",
        ImportInProgress = "IMPORT_IN_PROGRESS",
        ImportFailed = "IMPORT_FAILED",
        ImportComplete = "IMPORT_COMPLETE",
    }
}

/// The type of a stack in its own events.
pub const STACK_TYPE: &str = "AWS::CloudFormation::Stack";

/// Everything that a request says a stack is to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// The text of the template.
    pub template: String,
    /// The values of its parameters, also of those that have a default.
    pub parameters: BTreeMap<String, String>,
    /// The stack's tags.
    pub tags: BTreeMap<String, String>,
    /// As the request has them.
    pub capabilities: Vec<String>,
    /// Kept, and nothing is sent to them.
    pub notification_arns: Vec<String>,
    /// Kept, and not used.
    pub role_arn: Option<String>,
}

/// A resource of a stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its type.
    pub kind: String,
    /// Its ID outside of the stack; `None` while there is none.
    pub physical_id: Option<String>,
    /// Its state.
    pub status: ResourceStatus,
    /// Why, in words.
    pub reason: Option<String>,
    /// When that began, in milliseconds since the epoch.
    pub updated_at: i64,
    /// Evaluated.
    pub properties: Value,
    /// For Fn::GetAtt.
    pub attributes: Map<String, Value>,
    /// The resources of the stack that it needs.
    pub depends_on: BTreeSet<String>,
    /// Its fate when it leaves the stack.
    pub deletion_policy: Policy,
    /// Its fate when another one takes its place.
    pub update_replace_policy: Policy,
    /// Metadata, CreationPolicy and UpdatePolicy.
    pub other: BTreeMap<String, Value>,
    /// How many resources have had its logical ID before it.
    pub generation: u32,
    /// The operation that has made it.
    pub made_by: String,
}

/// An output of a stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Output {
    pub key: String,
    pub value: String,
    pub description: Option<String>,
    pub export: Option<String>,
}

/// An event of a stack or of one of its resources (API: StackEvent).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Event {
    pub id: String,
    /// In milliseconds since the epoch.
    pub at: i64,
    pub logical_id: String,
    pub physical_id: String,
    pub kind: String,
    pub status: String,
    pub reason: Option<String>,
    /// JSON.
    pub properties: Option<String>,
    pub token: Option<String>,
    pub operation: String,
}

/// An operation that is over or under way, for answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct OperationRecord {
    pub id: String,
    /// API: OperationType.
    pub kind: String,
    /// The operation of the API with the client's token, and what the request was.
    pub request: Option<(String, String, String)>,
    pub started_at: i64,
    pub ended_at: Option<i64>,
    pub has_failed: bool,
}

/// The kind of an operation (API: OperationType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum OperationKind {
    Create,
    Update,
    Delete,
    ContinueRollback,
}

impl OperationKind {
    /// As the API has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE_STACK",
            Self::Update => "UPDATE_STACK",
            Self::Delete => "DELETE_STACK",
            Self::ContinueRollback => "CONTINUE_ROLLBACK",
        }
    }
}

/// The reaction to a stack that cannot be made (API: OnFailure, OnStackFailure).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// The resources that have been made are deleted, and the stack stays.
    Rollback,
    /// The stack is deleted, too.
    Delete,
    /// Everything stays as it is.
    DoNothing,
}

/// The part of an operation that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Making and changing what the template says.
    Forward,
    /// Deleting what an update has left.
    Cleanup,
    /// Going back to what was.
    Rollback,
    /// Deleting what a roll-back has left.
    RollbackCleanup,
    /// Deleting the stack.
    Delete,
}

/// An operation that is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its kind.
    pub kind: OperationKind,
    pub phase: Phase,
    pub on_failure: OnFailure,
    /// Whether everything that a failed creation has made is deleted, whatever its policy says.
    pub retain_except_on_create: bool,
    /// The resources that a deletion leaves alone.
    pub retain: BTreeSet<String>,
    /// Whether a stack is deleted although resources of it cannot be.
    pub force: bool,
    /// The stack policy that holds for this update.
    pub policy: Option<String>,
    /// The resources that exist already and are taken into the stack.
    #[serde(default)]
    pub imports: BTreeSet<String>,
    /// The stack before an update, to which a failure goes back.
    pub previous: Option<Box<Previous>>,
    /// The resources of the phase, by the logical ID, with a mark for those that were replaced.
    pub tasks: BTreeMap<String, Task>,
    /// Resources that others have replaced.
    pub superseded: Vec<(String, Resource)>,
    /// Why the stack fails, when no resource is at fault.
    pub error: Option<String>,
}

/// A stack before an update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Previous {
    pub desired: Desired,
    pub description: Option<String>,
    pub resources: BTreeMap<String, Resource>,
    pub outputs: Vec<Output>,
}

/// The work on a resource in a phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub logical: String,
    /// The tasks that come before it.
    pub after: BTreeSet<String>,
    pub state: TaskState,
    /// The work, once it has begun.
    pub work: Option<Work>,
    /// The resource that is to be deleted.
    pub target: Option<Resource>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskState {
    Waiting,
    Begun,
    Done,
    Failed,
}

/// The kind of work on a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// It is made, under this name.
    Create(New),
    /// It is changed to these properties.
    Update(New),
    /// Another one takes its place.
    Replace(New),
    /// It exists already, and becomes a resource of the stack as it is.
    Import(New),
    /// It is changed back to what it was.
    Restore,
    /// It is deleted.
    Delete,
}

/// A resource that is to be made, or changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct New {
    /// Its type.
    pub kind: String,
    /// Its logical ID.
    pub logical: String,
    /// The name that it gets when its properties have none.
    pub name: String,
    /// Evaluated and checked.
    pub properties: Value,
    /// How many resources have had its logical ID before it.
    pub generation: u32,
}

/// A stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    /// Its ARN.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: StackStatus,
    /// Why, in words.
    pub reason: Option<String>,
    /// In milliseconds since the epoch, as the others.
    pub created_at: i64,
    /// When the last update began.
    pub updated_at: Option<i64>,
    /// When the last deletion began.
    pub deleted_at: Option<i64>,
    /// The stack that was asked for last.
    pub desired: Desired,
    /// The template's description.
    pub description: Option<String>,
    /// By logical ID.
    pub resources: BTreeMap<String, Resource>,
    /// As they were after the last operation that went well.
    pub outputs: Vec<Output>,
    /// The change set that was executed last.
    pub change_set: Option<String>,
    /// Whether DeleteStack is refused.
    pub is_protected: bool,
    /// The stack policy, JSON.
    pub policy: Option<String>,
    /// Whether a failure leaves everything as it is.
    pub disable_rollback: bool,
    /// As the request that made it has it.
    pub timeout_minutes: Option<i64>,
    /// As the last request has it.
    pub retain_except_on_create: bool,
    /// As the request that has deleted it has it.
    pub deletion_mode: Option<String>,
    /// The operation that is under way.
    pub operation: Option<Operation>,
    /// The update whose roll-back has failed.
    pub suspended: Option<Operation>,
    /// The operations so far, the last one at the end.
    pub operations: Vec<OperationRecord>,
    /// Events that are not stored yet.
    #[serde(skip)]
    pub new_events: Vec<Event>,
}

impl Stack {
    /// A stack that nothing has been done to yet.
    pub fn new(name: &str, desired: Desired, now: i64) -> Self {
        let id = format!("arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/{}", uuid::Uuid::new_v4());
        Self {
            id,
            name: name.to_owned(),
            status: StackStatus::ReviewInProgress,
            reason: None,
            created_at: now,
            updated_at: None,
            deleted_at: None,
            desired,
            description: None,
            resources: BTreeMap::new(),
            outputs: Vec::new(),
            change_set: None,
            is_protected: false,
            policy: None,
            disable_rollback: false,
            timeout_minutes: None,
            retain_except_on_create: false,
            deletion_mode: None,
            operation: None,
            suspended: None,
            operations: Vec::new(),
            new_events: Vec::new(),
        }
    }

    /// Enters a status, with an event.
    pub fn enter(&mut self, status: StackStatus, reason: Option<&str>, now: i64) {
        self.status = status;
        self.reason = reason.map(str::to_owned);
        let event = Event {
            id: uuid::Uuid::new_v4().to_string(),
            at: now,
            logical_id: self.name.clone(),
            physical_id: self.id.clone(),
            kind: STACK_TYPE.to_owned(),
            status: status.as_str().to_owned(),
            reason: self.reason.clone(),
            properties: None,
            token: self.token(),
            operation: self.operation_id(),
        };
        self.new_events.push(event);
    }

    /// Adds an event of a resource.
    pub fn tell(&mut self, logical: &str, resource: &Resource, now: i64) {
        let event = Event {
            id: format!("{logical}-{}-{}", resource.status.as_str(), uuid::Uuid::new_v4()),
            at: now,
            logical_id: logical.to_owned(),
            physical_id: resource.physical_id.clone().unwrap_or_default(),
            kind: resource.kind.clone(),
            status: resource.status.as_str().to_owned(),
            reason: resource.reason.clone(),
            properties: Some(resource.properties.to_string()),
            token: self.token(),
            operation: self.operation_id(),
        };
        self.new_events.push(event);
    }

    fn token(&self) -> Option<String> {
        let record = self.operations.last()?;
        record.request.as_ref().map(|(_, token, _)| token.clone())
    }

    fn operation_id(&self) -> String {
        self.operations.last().map(|record| record.id.clone()).unwrap_or_default()
    }
}
