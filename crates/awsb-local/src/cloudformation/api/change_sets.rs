//! The operations on change sets.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::Api;
use super::request_values::{
    PAGE, check_can_be_updated, check_length, check_name, desired, existing, exists, fingerprint,
    is_repeated, no_change_set, no_stack, on_failure, page, token,
};
use crate::access::operation::CloudFormation;
use crate::batch::Needs;
use crate::cloudformation::change_set::{self, ChangeSet};
use crate::cloudformation::describe;
use crate::cloudformation::model::{Desired, OnFailure, Stack, StackStatus};
use crate::cloudformation::operation::{self, Options, World as _};
use crate::cloudformation::request::{Request, invalid};
use crate::cloudformation::rows;
use crate::cloudformation::schema::{Problem, Schemas};
use crate::cloudformation::template::Template;
use crate::cloudformation::world::LocalWorld;
use crate::constants::{ACCOUNT, REGION};
use crate::http::protocol::ApiError;
use crate::time::now_ms;

/// The most changes of a page.
const CHANGES_PAGE: usize = 50;

impl Api {
    pub(super) async fn create_change_set(&self, request: Request) -> Result<Value, ApiError> {
        let stack_name = request.required("StackName")?.to_owned();
        let name = request.required("ChangeSetName")?.to_owned();
        check_name("changeSetName", &name)?;
        check_length(&request, "Description", 1024)?;
        let is_create = match request.text("ChangeSetType").unwrap_or("UPDATE") {
            "CREATE" => true,
            "UPDATE" => false,
            other => {
                return Err(invalid(format!("The local cluster has no change sets of the type {other}")));
            }
        };
        let on_failure = on_failure(request.text("OnStackFailure"))?;
        if on_failure == Some(OnFailure::Delete) && !is_create {
            return Err(invalid("OnStackFailure DELETE is for change sets of the type CREATE"));
        }
        let imports_existing = request.flag("ImportExistingResources")?.unwrap_or(false);
        let (objects, faults) = (Arc::clone(&self.objects), Arc::clone(&self.faults));
        self.engine
            .change(move |store| {
                let db = store.connection();
                let now = now_ms();
                let known = rows::stack(db, &stack_name)?;
                let mut stack = match (known, is_create) {
                    (Some(stack), true) if stack.status != StackStatus::ReviewInProgress => {
                        return Err(invalid(format!(
                            "Stack [{}] already exists and cannot be created again with the changeSet [{name}].",
                            stack.name
                        ))
                        .into());
                    }
                    (None, false) => return Err(no_stack(&stack_name).into()),
                    (None, true) => {
                        check_name("stackName", &stack_name)?;
                        let mut stack = Stack::new(&stack_name, Desired::default(), now);
                        stack.enter(StackStatus::ReviewInProgress, Some("User Initiated"), now);
                        stack
                    }
                    (Some(stack), true) => stack,
                    (Some(stack), false) => {
                        if stack.status != StackStatus::UpdateRollbackFailed {
                            check_can_be_updated(&stack)?;
                        }
                        stack
                    }
                };
                let previous = (!is_create).then(|| stack.desired.clone());
                let (template, desired) = desired(&request, &objects, previous.as_ref())?;
                let print = fingerprint(&[&stack.name, &name, &desired.template]);
                let token = request.owned("ClientToken").map(|token| (token, print));
                if let Some(known) = rows::change_set(db, &stack.id, &name)? {
                    if token.is_some() && known.token == token {
                        return Ok(json!({"Id": known.id, "StackId": known.stack}));
                    }
                    return Err(exists(format!("ChangeSet [{name}] already exists")).into());
                }
                let mut plan = change_set::plan(&stack, &template, &desired).map_err(ApiError::from)?;
                let mut world =
                    LocalWorld { store, objects: &objects, faults: &faults, removed_streams: Vec::new() };
                let mut problems: Vec<Value> =
                    plan.problems.iter().map(|(logical, problem)| property_problem(&template, logical, problem)).collect();
                let mut imports = imports_existing.then(BTreeSet::new);
                for new in &std::mem::take(&mut plan.new) {
                    if let Some(imports) = &mut imports
                        && template.resources.get(&new.logical).is_some_and(change_set::is_importable)
                        && let Some(found) = world.existing(new)?
                    {
                        plan.import(&new.logical, &found.physical_id);
                        imports.insert(new.logical.clone());
                        continue;
                    }
                    if let Err(e) = world.prepare(&stack, new)? {
                        problems.push(name_problem(&new.logical, &new.kind, &e.message));
                    }
                }
                let is_empty =
                    plan.changes.is_empty() && !plan.changes_outputs && desired.tags == stack.desired.tags;
                let reason = match (problems.first(), is_empty && !is_create) {
                    (Some(problem), _) => Some(format!(
                        "The following hook(s)/validation failed: [{}]. To troubleshoot Early Validation errors, use \
                         the DescribeEvents API for detailed failure information.",
                        problem["ValidationName"].as_str().unwrap_or_default()
                    )),
                    (None, true) => Some(change_set::NO_CHANGES.to_owned()),
                    (None, false) => None,
                };
                let id = format!(
                    "arn:aws:cloudformation:{REGION}:{ACCOUNT}:changeSet/{name}/{}",
                    uuid::Uuid::new_v4()
                );
                let set = ChangeSet {
                    id: id.clone(),
                    name,
                    stack: stack.id.clone(),
                    stack_name: stack.name.clone(),
                    is_create,
                    description: request.owned("Description"),
                    created_at: now,
                    status: if reason.is_some() { "FAILED" } else { "CREATE_COMPLETE" }.to_owned(),
                    execution: if reason.is_some() { "UNAVAILABLE" } else { "AVAILABLE" }.to_owned(),
                    reason,
                    desired,
                    changes: plan.changes,
                    on_failure,
                    imports,
                    token,
                    execution_token: None,
                    problems,
                };
                if is_create {
                    stack.change_set = Some(id.clone());
                }
                rows::put_change_set(db, &set)?;
                rows::put(db, &mut stack)?;
                Ok(json!({"Id": id, "StackId": stack.id}))
            })
            .await
    }

    pub(super) async fn describe_change_set(&self, request: Request) -> Result<Value, ApiError> {
        let with_values = request.flag("IncludePropertyValues")?.unwrap_or(false);
        let set = self.change_set(&request).await?;
        let template = Template::parse(&set.desired.template, Schemas::built_in()).ok();
        let mut answer = describe::change_set(&set, template.as_ref());
        let page = page(set.changes, request.text("NextToken"), CHANGES_PAGE)?;
        let changes = page.entries.into_iter().map(|change| match with_values {
            true => change,
            false => change_set::without_values(change),
        });
        answer["Changes"] = changes.collect();
        answer["NextToken"] = json!(page.next);
        Ok(answer)
    }

    /// The change set that a request names.
    pub(super) async fn change_set(&self, request: &Request) -> Result<ChangeSet, ApiError> {
        let name = request.required("ChangeSetName")?.to_owned();
        let stack = request.owned("StackName");
        self.reader.read(move |db| find_change_set(db.connection(), stack.as_deref(), &name)).await
    }

    pub(super) async fn execute_change_set(&self, request: Request) -> Result<Value, ApiError> {
        let name = request.required("ChangeSetName")?.to_owned();
        let stack = request.owned("StackName");
        let disable_rollback = request.flag("DisableRollback")?;
        let answer = self
            .engine
            .change(move |store| {
                let db = store.connection();
                let mut set = find_change_set(db, stack.as_deref(), &name)?;
                let token = token(&request, CloudFormation::ExecuteChangeSet, &[&set.id]);
                let given = token.as_ref().map(|(_, token, _)| token.clone());
                if given.is_some() && set.execution_token == given {
                    return Ok(json!({}));
                }
                let mut stack = existing(store, &set.stack, no_stack)?;
                is_repeated(&stack, token.as_ref())?;
                if set.execution != "AVAILABLE" {
                    return Err(ApiError::new(
                        StatusCode::BAD_REQUEST,
                        "InvalidChangeSetStatus",
                        format!(
                            "ChangeSet [{}] cannot be executed in its current execution status of [{}]",
                            set.id, set.execution
                        ),
                    )
                    .into());
                }
                if disable_rollback == Some(true) && set.on_failure.is_some() {
                    return Err(invalid("DisableRollback cannot be used with OnStackFailure.").into());
                }
                let now = now_ms();
                let template =
                    Template::parse(&set.desired.template, Schemas::built_in()).map_err(ApiError::from)?;
                let options = Options {
                    request: token,
                    on_failure: set.on_failure,
                    imports: set.imports.clone().unwrap_or_default(),
                    retain_except_on_create: request.flag("RetainExceptOnCreate")?.unwrap_or(false),
                    ..Options::default()
                };
                stack.disable_rollback =
                    disable_rollback.unwrap_or(set.on_failure == Some(OnFailure::DoNothing));
                stack.retain_except_on_create = options.retain_except_on_create;
                stack.change_set = Some(set.id.clone());
                match set.is_create {
                    true => {
                        stack.desired = set.desired.clone();
                        operation::create(&mut stack, &template, options, now);
                    }
                    false => {
                        check_can_be_updated(&stack)?;
                        operation::update(&mut stack, &template, set.desired.clone(), options, now);
                    }
                }
                // API, ExecuteChangeSet: "CloudFormation deletes all change sets associated with
                // the stack because they aren't valid for the updated stack."
                for other in rows::change_sets(db, &stack.id)? {
                    if other.id != set.id {
                        rows::remove_change_set(db, &other.id)?;
                    }
                }
                set.execution = "EXECUTE_IN_PROGRESS".to_owned();
                set.execution_token = given;
                rows::put_change_set(db, &set)?;
                rows::put(db, &mut stack)?;
                Ok(json!({"StackId": stack.id}))
            })
            .await?;
        self.drive_answer(&answer);
        Ok(json!({}))
    }

    pub(super) async fn delete_change_set(&self, request: Request) -> Result<Value, ApiError> {
        let name = request.required("ChangeSetName")?.to_owned();
        let stack = request.owned("StackName");
        self.engine
            .change_with(Needs::NoSpace, move |store| {
                let db = store.connection();
                // API: one that is not there counts as deleted, unless the stack is not there.
                let set = match find_change_set(db, stack.as_deref(), &name) {
                    Ok(set) => set,
                    Err(e) if e.code == "ChangeSetNotFound" => return Ok(json!({})),
                    Err(e) => return Err(e.into()),
                };
                if set.execution == "EXECUTE_IN_PROGRESS" {
                    return Err(ApiError::new(
                        StatusCode::BAD_REQUEST,
                        "InvalidChangeSetStatus",
                        format!("ChangeSet [{}] cannot be deleted in its current status", set.id),
                    )
                    .into());
                }
                rows::remove_change_set(db, &set.id)?;
                Ok(json!({}))
            })
            .await
    }

    pub(super) async fn list_change_sets(&self, request: Request) -> Result<Value, ApiError> {
        let stack = self.stack(&request, no_stack).await?;
        let sets = self.reader.read(move |db| Ok(rows::change_sets(db.connection(), &stack.id)?)).await?;
        let page = page(sets, request.text("NextToken"), PAGE)?;
        let summaries: Value = page.entries.iter().map(describe::change_set_summary).collect();
        Ok(json!({"Summaries": summaries, "NextToken": page.next}))
    }
}

/// A change set by its ARN, or by its name and its stack.
fn find_change_set(
    db: &rusqlite::Connection,
    stack: Option<&str>,
    name: &str,
) -> Result<ChangeSet, ApiError> {
    if name.starts_with("arn:") {
        return rows::change_set(db, "", name)?.ok_or_else(|| no_change_set(name));
    }
    let Some(stack_name) = stack else {
        return Err(invalid("StackName must be specified if ChangeSetName is not specified as an ARN."));
    };
    let Some(stack) = rows::stack(db, stack_name)? else { return Err(no_stack(stack_name)) };
    rows::change_set(db, &stack.id, name)?.ok_or_else(|| no_change_set(name))
}

fn property_problem(template: &Template, logical: &str, problem: &Problem) -> Value {
    json!({
        "EventId": uuid::Uuid::new_v4().to_string(),
        "EventType": "VALIDATION_ERROR",
        "LogicalResourceId": logical,
        "ResourceType": template.resources.get(logical).map(|resource| &resource.kind),
        "ValidationFailureMode": "FAIL",
        "ValidationName": "AWS::EarlyValidation::PropertyValidation",
        "ValidationStatus": "FAILED",
        "ValidationStatusReason": format!("{}: {}", problem.path, problem.message),
        "ValidationPath": format!("/Resources/{logical}/Properties{}", problem.path.trim_start_matches('#')),
    })
}

fn name_problem(logical: &str, kind: &str, message: &str) -> Value {
    json!({
        "EventId": uuid::Uuid::new_v4().to_string(),
        "EventType": "VALIDATION_ERROR",
        "LogicalResourceId": logical,
        "ResourceType": kind,
        "ValidationFailureMode": "FAIL",
        "ValidationName": "AWS::EarlyValidation::ResourceExistenceCheck",
        "ValidationStatus": "FAILED",
        "ValidationStatusReason": message,
        "ValidationPath": format!("/Resources/{logical}"),
    })
}
