//! The operations that change a stack.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Api;
use super::request_values::{
    body_or_url, check_can_be_updated, check_name, check_policy, desired, existing, exists, is_repeated,
    no_stack, no_stack_with_id, on_failure, token,
};
use crate::access::operation::CloudFormation;
use crate::batch::Needs;
use crate::batch::store::Store;
use crate::cloudformation::change_set;
use crate::cloudformation::model::{OnFailure, Stack, StackStatus};
use crate::cloudformation::operation::{self, Options};
use crate::cloudformation::request::{Request, constraint, invalid};
use crate::cloudformation::rows;
use crate::http::protocol::ApiError;
use crate::time::now_ms;

impl Api {
    pub(super) async fn create_stack(&self, request: Request) -> Result<Value, ApiError> {
        let name = request.required("StackName")?.to_owned();
        check_name("stackName", &name)?;
        let disable_rollback = request.flag("DisableRollback")?.unwrap_or(false);
        let on_failure = on_failure(request.text("OnFailure"))?;
        if request.flag("DisableRollback")?.is_some() && on_failure.is_some() {
            return Err(invalid("You can specify either DisableRollback or OnFailure, but not both."));
        }
        let (template, desired) = desired(&request, &self.objects, None)?;
        let policy = check_policy(body_or_url(&request, &self.objects, "StackPolicy", 16_384)?)?;
        let print = [name.as_str(), desired.template.as_str()];
        let options = Options {
            request: token(&request, CloudFormation::CreateStack, &print),
            on_failure,
            retain_except_on_create: request.flag("RetainExceptOnCreate")?.unwrap_or(false),
            ..Options::default()
        };
        let is_protected = request.flag("EnableTerminationProtection")?.unwrap_or(false);
        let timeout = request.text("TimeoutInMinutes").and_then(|minutes| minutes.parse().ok());
        let answer = self
            .engine
            .change(move |store| {
                if let Some(stack) = rows::stack(store.connection(), &name)? {
                    if is_repeated(&stack, options.request.as_ref())? {
                        return Ok(json!({"StackId": stack.id}));
                    }
                    return Err(exists(format!("Stack [{name}] already exists")).into());
                }
                let now = now_ms();
                let mut stack = Stack::new(&name, desired, now);
                // A template that cannot be evaluated is refused, and not begun.
                change_set::plan(&stack, &template, &stack.desired).map_err(ApiError::from)?;
                stack.disable_rollback = disable_rollback || on_failure == Some(OnFailure::DoNothing);
                stack.is_protected = is_protected;
                stack.policy = policy;
                stack.timeout_minutes = timeout;
                stack.retain_except_on_create = options.retain_except_on_create;
                operation::create(&mut stack, &template, options, now);
                Ok(store_begun(store, &mut stack)?)
            })
            .await?;
        self.drive_answer(&answer);
        Ok(answer)
    }

    pub(super) async fn update_stack(&self, request: Request) -> Result<Value, ApiError> {
        let name = request.required("StackName")?.to_owned();
        let objects = Arc::clone(&self.objects);
        let during = body_or_url(&request, &objects, "StackPolicyDuringUpdate", 16_384)?;
        let during = check_policy(during)?;
        let policy = check_policy(body_or_url(&request, &objects, "StackPolicy", 16_384)?)?;
        let answer = self
            .engine
            .change(move |store| {
                let mut stack = existing(store, &name, no_stack)?;
                let (template, desired) = desired(&request, &objects, Some(&stack.desired))?;
                let print = [stack.id.as_str(), desired.template.as_str()];
                let options = Options {
                    request: token(&request, CloudFormation::UpdateStack, &print),
                    retain_except_on_create: request.flag("RetainExceptOnCreate")?.unwrap_or(false),
                    policy: during,
                    ..Options::default()
                };
                if is_repeated(&stack, options.request.as_ref())? {
                    return Ok(json!({"StackId": stack.id}));
                }
                check_can_be_updated(&stack)?;
                let plan = change_set::plan(&stack, &template, &desired).map_err(ApiError::from)?;
                if plan.changes.is_empty() && !plan.changes_outputs && desired.tags == stack.desired.tags {
                    return Err(invalid("No updates are to be performed.").into());
                }
                if let Some(flag) = request.flag("DisableRollback")? {
                    stack.disable_rollback = flag;
                }
                if policy.is_some() {
                    stack.policy = policy;
                }
                operation::update(&mut stack, &template, desired, options, now_ms());
                Ok(store_begun(store, &mut stack)?)
            })
            .await?;
        self.drive_answer(&answer);
        Ok(answer)
    }

    pub(super) async fn delete_stack(&self, request: Request) -> Result<Value, ApiError> {
        let name = request.required("StackName")?.to_owned();
        let retain: BTreeSet<String> = request.list("RetainResources").into_iter().collect();
        let mode = request.owned("DeletionMode");
        let answer = self
            .engine
            .change_with(Needs::NoSpace, move |store| {
                // API: a stack that is not there counts as deleted.
                let Some(mut stack) = rows::stack(store.connection(), &name)? else { return Ok(json!({})) };
                let print = [stack.id.as_str()];
                let options = Options {
                    request: token(&request, CloudFormation::DeleteStack, &print),
                    force: mode.as_deref() == Some("FORCE_DELETE_STACK"),
                    ..Options::default()
                };
                if matches!(stack.status, StackStatus::DeleteComplete | StackStatus::DeleteInProgress)
                    || is_repeated(&stack, options.request.as_ref())?
                {
                    return Ok(json!({}));
                }
                if stack.is_protected {
                    return Err(invalid(format!(
                        "Stack [{}] cannot be deleted while TerminationProtection is enabled",
                        stack.name
                    ))
                    .into());
                }
                let status = stack.status.as_str();
                if stack.status.is_in_progress() && status.starts_with("UPDATE") {
                    return Err(invalid(format!("Stack [{}] cannot be deleted while in status {status}", stack.name)).into());
                }
                let is_failed = stack.status == StackStatus::DeleteFailed;
                if !is_failed && (!retain.is_empty() || options.force) {
                    return Err(invalid(format!(
                        "Invalid operation on stack [{}]. RetainResources and FORCE_DELETE_STACK are for stacks in \
                         DELETE_FAILED",
                        stack.id
                    ))
                    .into());
                }
                if let Some(unknown) = retain.iter().find(|logical| !stack.resources.contains_key(*logical)) {
                    return Err(invalid(format!("The specified resources to retain must be in a valid state. Resource {unknown} does not exist")).into());
                }
                stack.deletion_mode = mode;
                operation::delete(&mut stack, retain, options, now_ms());
                rows::put(store.connection(), &mut stack)?;
                Ok(json!({"StackId": stack.id}))
            })
            .await?;
        self.drive_answer(&answer);
        Ok(json!({}))
    }

    pub(super) async fn continue_rollback(&self, request: Request) -> Result<Value, ApiError> {
        let name = request.required("StackName")?.to_owned();
        let skip: BTreeSet<String> = request.list("ResourcesToSkip").into_iter().collect();
        let answer = self
            .engine
            .change(move |store| {
                let mut stack = existing(store, &name, no_stack)?;
                let print = [stack.id.as_str()];
                let options = Options {
                    request: token(&request, CloudFormation::ContinueUpdateRollback, &print),
                    ..Options::default()
                };
                if is_repeated(&stack, options.request.as_ref())? {
                    return Ok(json!({}));
                }
                if stack.status != StackStatus::UpdateRollbackFailed {
                    return Err(invalid(format!(
                        "Stack:{} is in {} state and can not continue update rollback.",
                        stack.id,
                        stack.status.as_str()
                    ))
                    .into());
                }
                for logical in &skip {
                    let status = stack.resources.get(logical).map(|resource| resource.status.as_str());
                    if status != Some("UPDATE_FAILED") {
                        return Err(invalid(format!(
                            "Resources that can be skipped are in UPDATE_FAILED: [{logical}] is not"
                        ))
                        .into());
                    }
                }
                operation::continue_rollback(&mut stack, &skip, options, now_ms());
                rows::put(store.connection(), &mut stack)?;
                Ok(json!({"StackId": stack.id}))
            })
            .await?;
        self.drive_answer(&answer);
        Ok(json!({}))
    }

    /// Changes a stack that nothing needs to be done to.
    async fn set(
        &self,
        request: &Request,
        error: fn(&str) -> ApiError,
        set: impl FnOnce(&mut Stack) + Send + 'static,
    ) -> Result<Value, ApiError> {
        let name = request.required("StackName")?.to_owned();
        self.engine
            .change(move |store| {
                let mut stack = existing(store, &name, error)?;
                set(&mut stack);
                rows::put(store.connection(), &mut stack)?;
                Ok(json!({"StackId": stack.id}))
            })
            .await
    }

    pub(super) async fn protect(&self, request: Request) -> Result<Value, ApiError> {
        let Some(is_protected) = request.flag("EnableTerminationProtection")? else {
            return Err(constraint("enableTerminationProtection", "null", "Member must not be null"));
        };
        self.set(&request, no_stack, move |stack| stack.is_protected = is_protected).await
    }

    pub(super) async fn set_stack_policy(&self, request: Request) -> Result<Value, ApiError> {
        let policy = check_policy(body_or_url(&request, &self.objects, "StackPolicy", 16_384)?)?;
        self.set(&request, no_stack_with_id, move |stack| stack.policy = policy).await?;
        Ok(json!({}))
    }

    pub(super) async fn get_stack_policy(&self, request: Request) -> Result<Value, ApiError> {
        let stack = self.stack(&request, no_stack_with_id).await?;
        Ok(json!({"StackPolicyBody": stack.policy}))
    }
}

/// Stores a stack whose operation has begun, and returns the answer that names both.
fn store_begun(store: &Store, stack: &mut Stack) -> rusqlite::Result<Value> {
    rows::put(store.connection(), stack)?;
    let operation = stack.operations.last().map(|record| &record.id);
    Ok(json!({"StackId": stack.id, "OperationId": operation}))
}
