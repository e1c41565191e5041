//! The operations on a stack: a state machine whose steps come one after another.
//!
//! Each call of [`advance`] makes one step: it begins all resources that are ready, or completes
//! one of those that have begun, or goes on to the next phase. A step and everything that it does
//! to resources are one transaction, so a server that is killed goes on with the step after the
//! last one, and nothing is made twice. [`World`] makes the resources; everything else is pure.
//!
//! The source of statuses and their order is the CloudFormation User Guide (UG), "Stack status
//! codes", "Understand CloudFormation stack creation events" and "Stack failure options".

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::expression::{self, Unknown};
use super::graph;
use super::model::{
    Desired, New, OnFailure, Operation, OperationKind, OperationRecord, Phase, Previous, Resource,
    ResourceStatus, Stack, StackStatus, Task, TaskState, Work,
};
use super::names;
use super::policy::{self, StackPolicy};
use super::schema::{self, Recreation, Schemas};
use super::scope::StackScope;
use super::template::{Policy, Template};

/// A resource that has been made or changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// The value of Ref.
    pub physical_id: String,
    /// The values of Fn::GetAtt.
    pub attributes: Map<String, Value>,
    /// Something to say in the event.
    pub note: Option<String>,
}

/// Why a resource cannot be made, changed or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerError {
    /// API: HandlerErrorCode. None: the message says everything.
    pub code: Option<&'static str>,
    /// In the words of the service.
    pub message: String,
}

impl HandlerError {
    /// An error of a service.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: Some(code), message: message.into() }
    }

    /// An error of CloudFormation itself.
    pub fn plain(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into() }
    }

    fn reason(&self) -> String {
        match self.code {
            Some(code) => format!(
                "Resource handler returned message: \"{}\" (RequestToken: {}, HandlerErrorCode: {code})",
                self.message,
                uuid::Uuid::new_v4()
            ),
            None => self.message.clone(),
        }
    }
}

/// The kind of work on a resource, for injected failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Action {
    Create,
    Update,
    Delete,
}

/// The outcome of what the world does: the outer error is the database's.
pub type Outcome<T> = rusqlite::Result<Result<T, HandlerError>>;

/// The place in which resources are made, changed and deleted.
pub trait World {
    /// Looks whether a resource can be made at all: what is found here is not looked at again when
    /// the server is killed before the resource has been made.
    fn prepare(&mut self, stack: &Stack, new: &New) -> Outcome<()>;
    /// Makes a resource. It may have been made already, by a server that was killed.
    fn create(&mut self, stack: &Stack, new: &New) -> Outcome<Made>;
    /// The resource that this one is to be, if it exists already and no stack has it.
    fn existing(&mut self, new: &New) -> rusqlite::Result<Option<Made>>;
    /// Changes a resource.
    fn update(&mut self, stack: &Stack, old: &Resource, new: &New) -> Outcome<Made>;
    /// Deletes a resource. One that is gone counts as deleted.
    fn delete(&mut self, stack: &Stack, logical: &str, old: &Resource) -> Outcome<()>;
    /// Whether a failure is to be made up, and its words.
    fn fault(&mut self, logical: &str, kind: &str, action: Action) -> Option<String>;
}

/// The continuation after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Another step.
    Again,
    /// Nothing: the operation is over.
    Over,
}

/// The options of a request beside the template.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The operation of the API, the client's token, and what the request was.
    pub request: Option<(String, String, String)>,
    /// The reaction to a creation that fails.
    pub on_failure: Option<OnFailure>,
    /// See [`Operation`].
    pub retain_except_on_create: bool,
    /// A stack policy for this update alone.
    pub policy: Option<String>,
    /// A deletion goes on although resources cannot be deleted.
    pub force: bool,
    /// The resources that exist already and are taken into the stack.
    pub imports: BTreeSet<String>,
}

/// Begins to make a stack, which nothing has been done to yet.
pub fn create(stack: &mut Stack, template: &Template, options: Options, now: i64) {
    let tasks = forward_tasks(stack, template);
    let on_failure = options.on_failure.unwrap_or(match stack.disable_rollback {
        true => OnFailure::DoNothing,
        false => OnFailure::Rollback,
    });
    stack.created_at = now;
    stack.description.clone_from(&template.description);
    begin(stack, OperationKind::Create, Phase::Forward, tasks, on_failure, options, now);
    stack.enter(StackStatus::CreateInProgress, Some("User Initiated"), now);
}

/// Begins to update a stack.
pub fn update(stack: &mut Stack, template: &Template, desired: Desired, options: Options, now: i64) {
    let previous = Previous {
        desired: std::mem::replace(&mut stack.desired, desired),
        description: std::mem::replace(&mut stack.description, template.description.clone()),
        resources: stack.resources.clone(),
        outputs: stack.outputs.clone(),
    };
    let tasks = forward_tasks(stack, template);
    let on_failure = options.on_failure.unwrap_or(match stack.disable_rollback {
        true => OnFailure::DoNothing,
        false => OnFailure::Rollback,
    });
    stack.updated_at = Some(now);
    let left = stack.suspended.take().map(|operation| operation.superseded).unwrap_or_default();
    begin(stack, OperationKind::Update, Phase::Forward, tasks, on_failure, options, now);
    if let Some(operation) = &mut stack.operation {
        operation.previous = Some(Box::new(previous));
        operation.superseded = left;
    }
    stack.enter(StackStatus::UpdateInProgress, Some("User Initiated"), now);
}

/// Begins to delete a stack, whatever is being done to it.
pub fn delete(stack: &mut Stack, retain: BTreeSet<String>, options: Options, now: i64) {
    adopt_begun(stack);
    let mut doomed: Vec<(String, Resource)> = Vec::new();
    // Resources that an update was about to delete.
    let left = stack.operation.take().into_iter().chain(stack.suspended.take());
    doomed.extend(left.flat_map(|operation| operation.superseded));
    end_record(stack, false, now);
    doomed.extend(stack.resources.iter().map(|(logical, resource)| (logical.clone(), resource.clone())));
    let tasks = delete_tasks(doomed);
    stack.deleted_at = Some(now);
    begin(stack, OperationKind::Delete, Phase::Delete, tasks, OnFailure::DoNothing, options, now);
    if let Some(operation) = &mut stack.operation {
        operation.retain = retain;
    }
    stack.enter(StackStatus::DeleteInProgress, Some("User Initiated"), now);
}

/// Takes over buckets whose making has begun: a server that was killed may have made one without
/// recording it. All else is made in the transaction that records it.
fn adopt_begun(stack: &mut Stack) {
    let tasks = stack.operation.iter().flat_map(|operation| operation.tasks.values());
    for task in tasks.filter(|task| task.state == TaskState::Begun) {
        let Some(Work::Create(new)) = &task.work else { continue };
        if let Some(resource) = stack.resources.get_mut(&task.logical)
            && new.kind == "AWS::S3::Bucket"
        {
            resource.physical_id = Some(new.name.clone());
        }
    }
}

/// Goes on with the roll-back of an update that has failed, without some of the resources.
pub fn continue_rollback(stack: &mut Stack, skip: &BTreeSet<String>, options: Options, now: i64) {
    let Some(suspended) = stack.suspended.take() else { return };
    let previous = suspended.previous;
    for logical in skip {
        let old = previous.as_ref().and_then(|previous| previous.resources.get(logical));
        if let Some(old) = old {
            let mut skipped = old.clone();
            settle(&mut skipped, ResourceStatus::UpdateComplete, None, now);
            stack.tell(logical, &skipped, now);
            stack.resources.insert(logical.clone(), skipped);
        }
    }
    begin(
        stack,
        OperationKind::ContinueRollback,
        Phase::Rollback,
        BTreeMap::new(),
        OnFailure::Rollback,
        options,
        now,
    );
    if let Some(operation) = &mut stack.operation {
        operation.previous = previous;
        operation.superseded = suspended.superseded;
    }
    let tasks = restore_tasks(stack, skip);
    if let Some(operation) = &mut stack.operation {
        operation.tasks = tasks;
    }
    stack.enter(StackStatus::UpdateRollbackInProgress, Some("User Initiated"), now);
}

fn begin(
    stack: &mut Stack,
    kind: OperationKind,
    phase: Phase,
    tasks: BTreeMap<String, Task>,
    on_failure: OnFailure,
    options: Options,
    now: i64,
) {
    stack.operations.push(OperationRecord {
        id: uuid::Uuid::new_v4().to_string(),
        kind: kind.as_str().to_owned(),
        request: options.request,
        started_at: now,
        ended_at: None,
        has_failed: false,
    });
    stack.operation = Some(Operation {
        kind,
        phase,
        on_failure,
        retain_except_on_create: options.retain_except_on_create,
        retain: BTreeSet::new(),
        force: options.force,
        policy: options.policy.or_else(|| stack.policy.clone()),
        imports: options.imports,
        previous: None,
        tasks,
        superseded: Vec::new(),
        error: None,
    });
}

fn end_record(stack: &mut Stack, has_failed: bool, now: i64) {
    if let Some(record) = stack.operations.last_mut().filter(|record| record.ended_at.is_none()) {
        record.ended_at = Some(now);
        record.has_failed = has_failed;
    }
}

fn settle(resource: &mut Resource, status: ResourceStatus, reason: Option<&str>, now: i64) {
    resource.status = status;
    resource.reason = reason.map(str::to_owned);
    resource.updated_at = now;
}

impl Task {
    fn new(logical: &str, after: BTreeSet<String>, target: Option<Resource>) -> Self {
        Self { logical: logical.to_owned(), after, state: TaskState::Waiting, work: None, target }
    }
}

/// A task for each resource of the template: which of them have anything to do is known when those
/// before them are done.
fn forward_tasks(stack: &Stack, template: &Template) -> BTreeMap<String, Task> {
    let none = BTreeSet::new();
    let scope = StackScope::new(&stack.name, &stack.id, template, &stack.desired, &stack.resources, &none);
    // That conditions can be evaluated has been checked.
    let active = scope.active().unwrap_or_default();
    let task = |logical: &String| {
        let needs = &template.resources[logical].depends_on;
        (logical.clone(), Task::new(logical, needs.intersection(&active).cloned().collect(), None))
    };
    active.iter().map(task).collect()
}

/// A task for each resource: those that need others are deleted before them.
fn delete_tasks(doomed: Vec<(String, Resource)>) -> BTreeMap<String, Task> {
    let mut keyed: BTreeMap<String, (String, Resource)> = BTreeMap::new();
    for (logical, resource) in doomed {
        let key = match keyed.contains_key(&logical) {
            true => format!("{logical}#{}", resource.generation),
            false => logical.clone(),
        };
        keyed.insert(key, (logical, resource));
    }
    let needed_by = |of: &str| {
        let users = keyed.iter().filter(|(_, (_, resource))| resource.depends_on.contains(of));
        users.map(|(key, _)| key.clone()).collect::<BTreeSet<String>>()
    };
    let task = |key: &String, (logical, resource): &(String, Resource)| {
        (key.clone(), Task::new(logical, needed_by(logical), Some(resource.clone())))
    };
    keyed.iter().map(|(key, of)| task(key, of)).collect()
}

/// A task for each resource that is not as it was before the update.
fn restore_tasks(stack: &Stack, skip: &BTreeSet<String>) -> BTreeMap<String, Task> {
    let Some(previous) = stack.operation.as_ref().and_then(|operation| operation.previous.as_ref()) else {
        return BTreeMap::new();
    };
    let is_changed = |logical: &String, old: &Resource| {
        !skip.contains(logical) && stack.resources.get(logical).is_none_or(|now| !is_same(old, now))
    };
    let changed: BTreeSet<String> = previous
        .resources
        .iter()
        .filter(|(logical, old)| is_changed(logical, old))
        .map(|(logical, _)| logical.clone())
        .collect();
    let task = |logical: &String| {
        let after = previous.resources[logical].depends_on.intersection(&changed).cloned().collect();
        (logical.clone(), Task::new(logical, after, None))
    };
    changed.iter().map(task).collect()
}

/// Whether a resource is the same as before, its properties, too.
fn is_same(old: &Resource, now: &Resource) -> bool {
    old.physical_id == now.physical_id
        && old.generation == now.generation
        && old.properties == now.properties
        && !matches!(now.status, ResourceStatus::UpdateFailed | ResourceStatus::UpdateInProgress)
}

/// Makes one step.
///
/// # Errors
/// When the database fails: then nothing of the step has happened.
pub fn advance(stack: &mut Stack, world: &mut dyn World, now: i64) -> rusqlite::Result<Turn> {
    let Some(mut operation) = stack.operation.take() else { return Ok(Turn::Over) };
    let begun = operation.tasks.iter().find(|(_, task)| task.state == TaskState::Begun);
    if let Some(key) = begun.map(|(key, _)| key.clone()) {
        complete(stack, &mut operation, &key, world, now)?;
        stack.operation = Some(operation);
        return Ok(Turn::Again);
    }
    let has_failed = operation.tasks.values().any(|task| task.state == TaskState::Failed);
    // One failure ends the making and changing. A deletion goes on with what it can.
    let stops = has_failed && operation.phase == Phase::Forward;
    let is_done = |name: &String| operation.tasks.get(name).is_none_or(|task| task.state == TaskState::Done);
    let ready: Vec<String> = operation
        .tasks
        .iter()
        .filter(|(_, task)| !stops && task.state == TaskState::Waiting && task.after.iter().all(is_done))
        .map(|(key, _)| key.clone())
        .collect();
    if ready.is_empty() {
        return end_phase(stack, operation, now);
    }
    // It has been parsed before: only a damaged record gives none.
    let template = match operation.phase {
        Phase::Forward => Template::parse(&stack.desired.template, Schemas::built_in()).ok(),
        _ => None,
    };
    for key in ready {
        start(stack, &mut operation, &key, template.as_ref(), world, now)?;
        // A failure ends the making and changing at once.
        let has_failed = operation.tasks.get(&key).is_some_and(|task| task.state == TaskState::Failed);
        if has_failed && operation.phase == Phase::Forward {
            break;
        }
    }
    stack.operation = Some(operation);
    Ok(Turn::Again)
}

/// Begins a task.
fn start(
    stack: &mut Stack,
    operation: &mut Operation,
    key: &str,
    template: Option<&Template>,
    world: &mut dyn World,
    now: i64,
) -> rusqlite::Result<()> {
    let Some(mut task) = operation.tasks.remove(key) else { return Ok(()) };
    match operation.phase {
        Phase::Forward => start_forward(stack, operation, &mut task, template, world, now)?,
        Phase::Rollback if operation.previous.is_some() => {
            task.state = TaskState::Begun;
            task.work = Some(Work::Restore);
            if let Some(resource) = stack.resources.get_mut(&task.logical) {
                settle(resource, ResourceStatus::UpdateInProgress, None, now);
                let resource = resource.clone();
                stack.tell(&task.logical, &resource, now);
            }
        }
        Phase::Rollback | Phase::Cleanup | Phase::RollbackCleanup | Phase::Delete => {
            start_delete(stack, operation, &mut task, now);
        }
    }
    operation.tasks.insert(key.to_owned(), task);
    Ok(())
}

/// Whether a resource stays although it leaves the stack.
fn is_retained(operation: &Operation, task: &Task, resource: &Resource) -> bool {
    let is_replaced = operation
        .superseded
        .iter()
        .any(|(logical, old)| *logical == task.logical && old.generation == resource.generation);
    if operation.retain.contains(&task.logical) {
        return true;
    }
    match operation.phase {
        // A resource that existed before the operation outlives its failure.
        Phase::Rollback | Phase::RollbackCleanup if operation.imports.contains(&task.logical) => true,
        // A roll-back deletes the resources that the failed operation has made.
        Phase::Rollback | Phase::RollbackCleanup => {
            resource.deletion_policy == Policy::Retain && !operation.retain_except_on_create && !is_replaced
        }
        Phase::Cleanup if is_replaced => resource.update_replace_policy == Policy::Retain,
        _ => matches!(resource.deletion_policy, Policy::Retain | Policy::RetainExceptOnCreate),
    }
}

fn start_delete(stack: &mut Stack, operation: &Operation, task: &mut Task, now: i64) {
    let Some(mut target) = task.target.clone() else { return };
    let is_there = target.physical_id.is_some()
        && !matches!(target.status, ResourceStatus::DeleteComplete | ResourceStatus::DeleteSkipped);
    if !is_there {
        task.state = TaskState::Done;
        return;
    }
    let status = match is_retained(operation, task, &target) {
        true => ResourceStatus::DeleteSkipped,
        false => ResourceStatus::DeleteInProgress,
    };
    settle(&mut target, status, None, now);
    stack.tell(&task.logical, &target, now);
    task.state = match status {
        ResourceStatus::DeleteSkipped => TaskState::Done,
        _ => TaskState::Begun,
    };
    task.work = Some(Work::Delete);
    keep_state(stack, &task.logical, &target);
    task.target = Some(target);
}

/// Records the state of a resource that is being deleted, if it is the stack's present one.
fn keep_state(stack: &mut Stack, logical: &str, target: &Resource) {
    if let Some(resource) = stack.resources.get_mut(logical)
        && resource.generation == target.generation
    {
        *resource = target.clone();
    }
}

fn start_forward(
    stack: &mut Stack,
    operation: &mut Operation,
    task: &mut Task,
    template: Option<&Template>,
    world: &mut dyn World,
    now: i64,
) -> rusqlite::Result<()> {
    let logical = task.logical.clone();
    let Some(template) = template else {
        operation.error = Some("The record of the template is damaged".to_owned());
        task.state = TaskState::Failed;
        return Ok(());
    };
    let Some(described) = template.resources.get(&logical) else {
        task.state = TaskState::Done;
        return Ok(());
    };
    let none = BTreeSet::new();
    let scope = StackScope::new(&stack.name, &stack.id, template, &stack.desired, &stack.resources, &none);
    // Values that were not known when the template was checked can make the properties larger.
    let others = stack.resources.iter().filter(|(name, _)| **name != logical);
    let bytes: usize = others.map(|(_, other)| expression::size(&other.properties)).sum();
    let properties = scope.properties(&logical).map(|properties| properties.value).and_then(|properties| {
        expression::check_bytes(bytes + expression::size(&properties))?;
        Ok(properties)
    });
    let made_by = stack.operations.last().map(|record| record.id.clone()).unwrap_or_default();
    let old = stack.resources.get(&logical).filter(|old| {
        old.physical_id.is_some()
            && !matches!(old.status, ResourceStatus::DeleteComplete | ResourceStatus::DeleteSkipped)
    });
    let old = old.cloned();
    let generation = stack.resources.get(&logical).map_or(0, |old| old.generation);
    let shell = |old: Option<&Resource>, properties: &Value| Resource {
        kind: described.kind.clone(),
        physical_id: old.and_then(|old| old.physical_id.clone()),
        status: ResourceStatus::CreateInProgress,
        reason: None,
        updated_at: now,
        properties: old.map_or_else(|| properties.clone(), |old| old.properties.clone()),
        attributes: old.map(|old| old.attributes.clone()).unwrap_or_default(),
        depends_on: described.depends_on.intersection(&scope.active().unwrap_or_default()).cloned().collect(),
        deletion_policy: described.deletion_policy,
        update_replace_policy: described.update_replace_policy,
        other: described.other.clone(),
        generation: old.map_or(generation, |old| old.generation),
        made_by: old.map_or_else(|| made_by.clone(), |old| old.made_by.clone()),
    };
    let is_new = old.is_none();
    let (mut resource, work, failure) = match (properties, &old) {
        (Err(e), _) => (shell(old.as_ref(), &Value::Null), None, Some(e.to_string())),
        (Ok(properties), None) => {
            // A second attempt has a name of its own.
            let generation = stack.resources.get(&logical).map_or(0, |old| old.generation + 1);
            let new = new_of(stack, &logical, &described.kind, properties.clone(), generation);
            let mut resource = shell(None, &properties);
            resource.generation = generation;
            let work = match operation.imports.contains(&logical) {
                true => Work::Import(new),
                false => Work::Create(new),
            };
            (resource, Some(work), None)
        }
        (Ok(properties), Some(old)) => {
            let resource = shell(Some(old), &properties);
            if properties == old.properties {
                // Attributes that are CloudFormation's own change without a word.
                let mut kept = old.clone();
                kept.depends_on.clone_from(&resource.depends_on);
                kept.deletion_policy = resource.deletion_policy;
                kept.update_replace_policy = resource.update_replace_policy;
                kept.other.clone_from(&resource.other);
                stack.resources.insert(logical.clone(), kept);
                task.state = TaskState::Done;
                return Ok(());
            }
            let is_replaced = is_replacement(&described.kind, &old.properties, &properties);
            let action = if is_replaced { policy::Change::Replace } else { policy::Change::Modify };
            let generation = old.generation + u32::from(is_replaced);
            let new = new_of(stack, &logical, &described.kind, properties, generation);
            let failure = denial(operation.policy.as_deref(), action, &logical, &described.kind)
                .or_else(|| is_replaced.then(|| names::conflict(&old.properties, &new)).flatten());
            let work = if is_replaced { Work::Replace(new) } else { Work::Update(new) };
            (resource, Some(work), failure)
        }
    };
    settle(
        &mut resource,
        match &work {
            Some(Work::Import(_)) => ResourceStatus::ImportInProgress,
            _ if is_new => ResourceStatus::CreateInProgress,
            _ => ResourceStatus::UpdateInProgress,
        },
        match &work {
            Some(Work::Replace(_)) => {
                Some("Requested update requires the creation of a new physical resource; hence creating one.")
            }
            _ => None,
        },
        now,
    );
    stack.tell(&logical, &resource, now);
    stack.resources.insert(logical.clone(), resource);
    let failure = match (failure, &work) {
        (None, Some(Work::Create(new) | Work::Replace(new))) => {
            let checked = match check(new) {
                Ok(()) => world.prepare(stack, new)?,
                Err(e) => Err(e),
            };
            checked.err().map(|e| e.reason())
        }
        (None, Some(Work::Update(new) | Work::Import(new))) => check(new).err().map(|e| e.reason()),
        (failure, _) => failure,
    };
    task.work = work;
    task.state = TaskState::Begun;
    if let Some(reason) = failure {
        fail(stack, operation, task, &reason, now);
    }
    Ok(())
}

fn new_of(stack: &Stack, logical: &str, kind: &str, properties: Value, generation: u32) -> New {
    let name = names::physical(kind, &stack.name, &stack.id, logical, generation, &properties);
    New { kind: kind.to_owned(), logical: logical.to_owned(), name, properties, generation }
}

/// The refusal of a stack policy.
fn denial(policy: Option<&str>, change: policy::Change, logical: &str, kind: &str) -> Option<String> {
    StackPolicy::parse(policy?).ok()?.denial(change, logical, kind)
}

/// Whether a change of properties makes a new resource. An environment is changed in place where
/// its properties ask for that (Template Reference, `AWS::Batch::ComputeEnvironment`,
/// ReplaceComputeEnvironment: "If you set the parameter to false, …").
pub fn is_replacement(kind: &str, before: &Value, after: &Value) -> bool {
    let Some(schema) = Schemas::built_in().of(kind) else { return false };
    let differences = schema::differences(before, after);
    match differences.iter().map(|difference| schema.recreation(difference)).max() {
        Some(Recreation::Always) => true,
        Some(Recreation::Conditionally) => after["ReplaceComputeEnvironment"] != Value::Bool(false),
        Some(Recreation::Never) | None => false,
    }
}

/// Checks the properties of a resource against its schema.
fn check(new: &New) -> Result<(), HandlerError> {
    let Some(schema) = Schemas::built_in().of(&new.kind) else { return Ok(()) };
    let problems = schema.check(&new.properties, &Unknown::NONE);
    if problems.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
    Err(HandlerError::plain(format!(
        "Properties validation failed for resource {} with message:\n{}",
        new.logical,
        lines.join("\n")
    )))
}

/// Completes a task that has begun.
fn complete(
    stack: &mut Stack,
    operation: &mut Operation,
    key: &str,
    world: &mut dyn World,
    now: i64,
) -> rusqlite::Result<()> {
    let Some(mut task) = operation.tasks.remove(key) else { return Ok(()) };
    match task.work.clone() {
        Some(Work::Create(new)) => {
            let outcome = match world.fault(&new.logical, &new.kind, Action::Create) {
                Some(words) => Err(HandlerError::new("GeneralServiceException", words)),
                None => world.create(stack, &new)?,
            };
            match outcome {
                Ok(made) => finish(stack, &mut task, &new, made, None, now),
                Err(e) => fail(stack, operation, &mut task, &e.reason(), now),
            }
        }
        Some(Work::Import(new)) => match world.existing(&new)? {
            Some(made) => finish(stack, &mut task, &new, made, None, now),
            None => {
                let message =
                    format!("Resource of type '{}' with identifier '{}' was not found.", new.kind, new.name);
                fail(stack, operation, &mut task, &HandlerError::new("NotFound", message).reason(), now);
            }
        },
        Some(Work::Replace(new)) => {
            let outcome = match world.fault(&new.logical, &new.kind, Action::Create) {
                Some(words) => Err(HandlerError::new("GeneralServiceException", words)),
                None => world.create(stack, &new)?,
            };
            match outcome {
                Ok(made) => {
                    let previous = operation.previous.as_ref();
                    let old = previous.and_then(|previous| previous.resources.get(&new.logical));
                    operation.superseded.extend(old.map(|old| (new.logical.clone(), old.clone())));
                    let made_by = stack.operations.last().map(|record| record.id.clone());
                    finish(stack, &mut task, &new, made, made_by, now);
                }
                Err(e) => fail(stack, operation, &mut task, &e.reason(), now),
            }
        }
        Some(Work::Update(new)) => {
            let outcome = match (
                world.fault(&new.logical, &new.kind, Action::Update),
                stack.resources.get(&new.logical).cloned(),
            ) {
                (Some(words), _) => Err(HandlerError::new("GeneralServiceException", words)),
                (None, Some(old)) => world.update(stack, &old, &new)?,
                (None, None) => Err(HandlerError::new("NotFound", "the resource is not there")),
            };
            match outcome {
                Ok(made) => finish(stack, &mut task, &new, made, None, now),
                Err(e) => fail(stack, operation, &mut task, &e.reason(), now),
            }
        }
        Some(Work::Restore) => restore(stack, operation, &mut task, world, now)?,
        Some(Work::Delete) => complete_delete(stack, &mut task, world, now)?,
        None => task.state = TaskState::Done,
    }
    operation.tasks.insert(key.to_owned(), task);
    Ok(())
}

/// A resource has been made or changed.
fn finish(stack: &mut Stack, task: &mut Task, new: &New, made: Made, made_by: Option<String>, now: i64) {
    task.state = TaskState::Done;
    let (progress, complete) = match task.work {
        Some(Work::Create(_)) => (ResourceStatus::CreateInProgress, ResourceStatus::CreateComplete),
        Some(Work::Import(_)) => (ResourceStatus::ImportInProgress, ResourceStatus::ImportComplete),
        _ => (ResourceStatus::UpdateInProgress, ResourceStatus::UpdateComplete),
    };
    let Some(resource) = stack.resources.get_mut(&new.logical) else { return };
    let is_new_id = resource.physical_id.as_ref() != Some(&made.physical_id);
    resource.physical_id = Some(made.physical_id);
    resource.attributes = made.attributes;
    resource.properties = new.properties.clone();
    resource.generation = new.generation;
    resource.made_by = made_by.unwrap_or_else(|| resource.made_by.clone());
    if is_new_id && progress != ResourceStatus::ImportInProgress {
        settle(resource, progress, Some("Resource creation Initiated"), now);
        let initiated = resource.clone();
        stack.tell(&new.logical, &initiated, now);
    }
    if let Some(resource) = stack.resources.get_mut(&new.logical) {
        settle(resource, complete, made.note.as_deref(), now);
        let complete = resource.clone();
        stack.tell(&new.logical, &complete, now);
    }
}

/// A resource could not be made or changed: nothing else is begun, and what has begun is cancelled.
fn fail(stack: &mut Stack, operation: &mut Operation, task: &mut Task, reason: &str, now: i64) {
    task.state = TaskState::Failed;
    let failed = |resource: &Resource| match resource.status {
        ResourceStatus::CreateInProgress => ResourceStatus::CreateFailed,
        ResourceStatus::ImportInProgress => ResourceStatus::ImportFailed,
        _ => ResourceStatus::UpdateFailed,
    };
    if let Some(resource) = stack.resources.get_mut(&task.logical) {
        settle(resource, failed(resource), Some(reason), now);
        let resource = resource.clone();
        stack.tell(&task.logical, &resource, now);
    }
    for other in operation.tasks.values_mut().filter(|other| other.state == TaskState::Begun) {
        other.state = TaskState::Failed;
        let Some(resource) = stack.resources.get_mut(&other.logical) else { continue };
        let reason = match resource.status {
            ResourceStatus::CreateInProgress => "Resource creation cancelled",
            ResourceStatus::ImportInProgress => "Resource import cancelled",
            _ => "Resource update cancelled",
        };
        settle(resource, failed(resource), Some(reason), now);
        let resource = resource.clone();
        stack.tell(&other.logical, &resource, now);
    }
}

/// Takes a resource back to what it was before the update.
fn restore(
    stack: &mut Stack,
    operation: &mut Operation,
    task: &mut Task,
    world: &mut dyn World,
    now: i64,
) -> rusqlite::Result<()> {
    let logical = task.logical.clone();
    task.state = TaskState::Done;
    let previous = operation.previous.as_ref().and_then(|previous| previous.resources.get(&logical));
    let (Some(old), Some(current)) = (previous.cloned(), stack.resources.get(&logical).cloned()) else {
        return Ok(());
    };
    let mut restored = old.clone();
    if current.generation != old.generation && current.physical_id != old.physical_id {
        // The old one is still there.
        operation.superseded.push((logical.clone(), current));
    } else if current.generation == old.generation {
        let new = new_of(stack, &logical, &old.kind, old.properties.clone(), old.generation);
        let outcome = match world.fault(&logical, &old.kind, Action::Update) {
            Some(words) => Err(HandlerError::new("GeneralServiceException", words)),
            None => world.update(stack, &current, &new)?,
        };
        match outcome {
            Ok(made) => {
                restored.physical_id = Some(made.physical_id);
                restored.attributes = made.attributes;
            }
            Err(e) => {
                task.state = TaskState::Failed;
                if let Some(resource) = stack.resources.get_mut(&logical) {
                    settle(resource, ResourceStatus::UpdateFailed, Some(&e.reason()), now);
                    let resource = resource.clone();
                    stack.tell(&logical, &resource, now);
                }
                return Ok(());
            }
        }
    }
    settle(&mut restored, ResourceStatus::UpdateComplete, None, now);
    stack.tell(&logical, &restored, now);
    // A roll-back that goes on later does not do this one again.
    if let Some(previous) = &mut operation.previous {
        previous.resources.insert(logical.clone(), restored.clone());
    }
    stack.resources.insert(logical, restored);
    Ok(())
}

fn complete_delete(
    stack: &mut Stack,
    task: &mut Task,
    world: &mut dyn World,
    now: i64,
) -> rusqlite::Result<()> {
    let Some(mut target) = task.target.clone() else { return Ok(()) };
    let outcome = match world.fault(&task.logical, &target.kind, Action::Delete) {
        Some(words) => Err(HandlerError::new("GeneralServiceException", words)),
        None => world.delete(stack, &task.logical, &target)?,
    };
    match outcome {
        Ok(()) => {
            task.state = TaskState::Done;
            settle(&mut target, ResourceStatus::DeleteComplete, None, now);
        }
        Err(e) => {
            task.state = TaskState::Failed;
            settle(&mut target, ResourceStatus::DeleteFailed, Some(&e.reason()), now);
        }
    }
    stack.tell(&task.logical, &target, now);
    keep_state(stack, &task.logical, &target);
    task.target = Some(target);
    Ok(())
}

/// Goes on to what comes after a phase.
fn end_phase(stack: &mut Stack, mut operation: Operation, now: i64) -> rusqlite::Result<Turn> {
    let failed: Vec<String> = operation
        .tasks
        .values()
        .filter(|task| task.state == TaskState::Failed)
        .map(|task| task.logical.clone())
        .collect();
    let listed = failed.join(", ");
    if operation.phase == Phase::Forward && failed.is_empty() {
        operation.error = match operation.kind {
            OperationKind::Update => refused_removal(stack, operation.policy.as_deref(), now),
            _ => None,
        };
        operation.error = operation.error.or_else(|| outputs(stack).err());
    }
    let has_failed = !failed.is_empty() || operation.error.is_some();
    let why = operation.error.clone().unwrap_or_else(|| match operation.phase {
        Phase::Forward => failures(stack, &failed),
        Phase::Rollback if operation.previous.is_some() => {
            format!("The following resource(s) failed to update: [{listed}]. ")
        }
        _ => format!("The following resource(s) failed to delete: [{listed}]. "),
    });
    let over = |stack: &mut Stack, status, reason: Option<&str>| {
        let is_bad = has_failed || operation_failed(status);
        stack.enter(status, reason, now);
        end_record(stack, is_bad, now);
        Ok(Turn::Over)
    };
    match (operation.phase, operation.kind, has_failed) {
        (Phase::Forward, OperationKind::Update, false) => {
            let removed = removed(stack);
            let mut doomed = removed;
            doomed.extend(operation.superseded.iter().cloned());
            operation.tasks = delete_tasks(doomed);
            operation.phase = Phase::Cleanup;
            stack.enter(StackStatus::UpdateCleanup, None, now);
        }
        (Phase::Forward, _, false) => return over(stack, StackStatus::CreateComplete, None),
        (Phase::Forward, OperationKind::Update, true) => {
            if operation.on_failure == OnFailure::DoNothing {
                // An update of the stack goes back to it.
                stack.suspended = Some(operation);
                return over(stack, StackStatus::UpdateFailed, Some(&why));
            }
            operation.phase = Phase::Rollback;
            operation.error = None;
            stack.operation = Some(operation);
            let tasks = restore_tasks(stack, &BTreeSet::new());
            if let Some(operation) = &mut stack.operation {
                operation.tasks = tasks;
            }
            stack.enter(StackStatus::UpdateRollbackInProgress, Some(&why), now);
            return Ok(Turn::Again);
        }
        (Phase::Forward, _, true) => {
            let (status, words) = match operation.on_failure {
                OnFailure::DoNothing => return over(stack, StackStatus::CreateFailed, Some(&why)),
                OnFailure::Rollback => (StackStatus::RollbackInProgress, "Rollback requested by user."),
                OnFailure::Delete => (StackStatus::DeleteInProgress, "Delete requested by user."),
            };
            let all = stack.resources.iter().map(|(logical, resource)| (logical.clone(), resource.clone()));
            operation.tasks = delete_tasks(all.collect());
            operation.phase = Phase::Rollback;
            operation.error = None;
            if operation.on_failure == OnFailure::Delete {
                stack.deleted_at = Some(now);
            }
            stack.enter(status, Some(&format!("{why}{words}")), now);
        }
        (Phase::Rollback, _, _) if operation.previous.is_some() => {
            if has_failed {
                stack.suspended = Some(operation);
                stack.enter(StackStatus::UpdateRollbackFailed, Some(&why), now);
                end_record(stack, true, now);
                return Ok(Turn::Over);
            }
            let previous = operation.previous.as_ref();
            let is_old =
                |logical: &String| previous.is_some_and(|previous| previous.resources.contains_key(logical));
            let mut doomed: Vec<(String, Resource)> = stack
                .resources
                .iter()
                .filter(|(logical, _)| !is_old(logical))
                .map(|(logical, resource)| (logical.clone(), resource.clone()))
                .collect();
            // Only what the update has made goes: what it was about to replace is in use again.
            let in_use = |logical: &String, resource: &Resource| {
                stack.resources.get(logical).is_some_and(|now| now.generation == resource.generation)
            };
            operation.superseded.retain(|(logical, resource)| !in_use(logical, resource));
            doomed.extend(operation.superseded.iter().cloned());
            operation.tasks = delete_tasks(doomed);
            operation.phase = Phase::RollbackCleanup;
            stack.enter(StackStatus::UpdateRollbackCleanup, None, now);
        }
        (Phase::Rollback, _, true) if operation.on_failure == OnFailure::Delete => {
            return over(stack, StackStatus::DeleteFailed, Some(&why));
        }
        (Phase::Rollback, _, true) => return over(stack, StackStatus::RollbackFailed, Some(&why)),
        (Phase::Rollback, _, false) if operation.on_failure == OnFailure::Delete => {
            return over(stack, StackStatus::DeleteComplete, None);
        }
        (Phase::Rollback, _, false) => return over(stack, StackStatus::RollbackComplete, None),
        // UG, "Stack status codes", UPDATE_COMPLETE: a resource that cannot be deleted stays.
        (Phase::Cleanup, _, _) => {
            forget_deleted(stack);
            let reason = has_failed.then_some("One or more resources could not be deleted.");
            stack.enter(StackStatus::UpdateComplete, reason, now);
            end_record(stack, false, now);
            return Ok(Turn::Over);
        }
        (Phase::RollbackCleanup, _, _) => {
            if let Some(previous) = operation.previous.take() {
                stack.desired = previous.desired;
                stack.description = previous.description;
                stack.outputs = previous.outputs;
                stack.resources.retain(|logical, _| previous.resources.contains_key(logical));
                for (logical, old) in previous.resources {
                    let Some(resource) = stack.resources.get_mut(&logical) else { continue };
                    resource.depends_on = old.depends_on;
                    resource.deletion_policy = old.deletion_policy;
                    resource.update_replace_policy = old.update_replace_policy;
                    resource.other = old.other;
                }
            }
            let reason = has_failed.then_some("One or more resources could not be deleted.");
            stack.enter(StackStatus::UpdateRollbackComplete, reason, now);
            end_record(stack, true, now);
            return Ok(Turn::Over);
        }
        (Phase::Delete, _, true) if operation.force => {
            return over(stack, StackStatus::DeleteComplete, Some(&why));
        }
        (Phase::Delete, _, true) => return over(stack, StackStatus::DeleteFailed, Some(&why)),
        (Phase::Delete, _, false) => return over(stack, StackStatus::DeleteComplete, None),
    }
    stack.operation = Some(operation);
    Ok(Turn::Again)
}

/// The resources that could not be made, and those that could not be changed.
fn failures(stack: &Stack, failed: &[String]) -> String {
    let of = |verb: &str, status: ResourceStatus| {
        let is_of = |logical: &&String| {
            stack.resources.get(*logical).is_some_and(|resource| resource.status == status)
        };
        let names: Vec<&str> = failed.iter().filter(is_of).map(String::as_str).collect();
        match names.is_empty() {
            true => String::new(),
            false => format!("The following resource(s) failed to {verb}: [{}]. ", names.join(", ")),
        }
    };
    of("create", ResourceStatus::CreateFailed)
        + &of("import", ResourceStatus::ImportFailed)
        + &of("update", ResourceStatus::UpdateFailed)
}

fn operation_failed(status: StackStatus) -> bool {
    !matches!(status, StackStatus::CreateComplete | StackStatus::UpdateComplete | StackStatus::DeleteComplete)
}

/// The resources that the template does not have any more.
fn removed(stack: &Stack) -> Vec<(String, Resource)> {
    let template = Template::parse(&stack.desired.template, Schemas::built_in()).ok();
    let none = BTreeSet::new();
    let active = template.and_then(|template| {
        let scope =
            StackScope::new(&stack.name, &stack.id, &template, &stack.desired, &stack.resources, &none);
        scope.active().ok()
    });
    let Some(active) = active else { return Vec::new() };
    let gone = stack.resources.iter().filter(|(logical, _)| !active.contains(*logical));
    gone.map(|(logical, resource)| (logical.clone(), resource.clone())).collect()
}

/// The first refusal of a stack policy to delete what an update removes.
fn refused_removal(stack: &mut Stack, policy: Option<&str>, now: i64) -> Option<String> {
    for (logical, mut resource) in removed(stack) {
        if let Some(denial) = denial(policy, policy::Change::Delete, &logical, &resource.kind) {
            settle(&mut resource, ResourceStatus::UpdateFailed, Some(&denial), now);
            stack.tell(&logical, &resource, now);
            stack.resources.insert(logical.clone(), resource);
            return Some(format!("The following resource(s) failed to update: [{logical}]. "));
        }
    }
    None
}

/// Forgets the resources that an update has removed.
fn forget_deleted(stack: &mut Stack) {
    let removed: BTreeSet<String> = removed(stack).into_iter().map(|(logical, _)| logical).collect();
    stack.resources.retain(|logical, _| !removed.contains(logical));
}

/// Evaluates the outputs.
fn outputs(stack: &mut Stack) -> Result<(), String> {
    let template = Template::parse(&stack.desired.template, Schemas::built_in()).map_err(|e| e.0)?;
    let none = BTreeSet::new();
    let scope = StackScope::new(&stack.name, &stack.id, &template, &stack.desired, &stack.resources, &none);
    stack.outputs = scope.outputs().map_err(|e| format!("Template error: {e}"))?;
    Ok(())
}

/// The order in which a stack's resources can be made.
pub fn order(template: &Template) -> Vec<String> {
    let dependencies = template.resources.iter().map(|(name, of)| (name.clone(), of.depends_on.clone()));
    // Circles have been refused.
    graph::order(&dependencies.collect()).unwrap_or_default()
}
