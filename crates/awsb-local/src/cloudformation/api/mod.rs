//! The operations of CloudFormation: which there are, and how the stacks of those that change
//! something are driven to their end.

mod change_sets;
mod reads;
mod request_values;
mod stacks;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::request_values::{check_request, no_stack_with_id};
use crate::access::operation::CloudFormation;
use crate::batch::store::Store;
use crate::batch::{Handle, Needs, Reader};
use crate::cloudformation::faults::Faults;
use crate::cloudformation::model::{Stack, StackStatus};
use crate::cloudformation::operation::{self, Turn};
use crate::cloudformation::request::Request;
use crate::cloudformation::rows;
use crate::cloudformation::world::LocalWorld;
use crate::http::protocol::{ApiError, ErrorKind};
use crate::time::now_ms;
use crate::{logs, s3};

/// The version of the API.
const VERSION: &str = "2010-05-15";
/// How long a step that could not be made, such as on a full disk, waits for another try.
const RETRY: Duration = Duration::from_secs(1);
/// How long DescribeStacks waits for an operation to be over.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Api {
    engine: Handle,
    reader: Reader,
    objects: Arc<s3::Store>,
    events: Arc<logs::Events>,
    faults: Arc<Faults>,
    /// Notified when an operation is over.
    over: Arc<Notify>,
}

/// The operation that is asked for; its name is among the parameters.
///
/// # Errors
/// As AWS would say it, when there is none.
pub fn asked(parameters: &[(String, String)]) -> Result<CloudFormation, ApiError> {
    let get = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    match get("Action").map(|name| (name, CloudFormation::named(name))) {
        Some((_, Some(operation))) => Ok(operation),
        None => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "MissingAction",
            "The request must contain the parameter Action.",
        )),
        Some((other, None)) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "InvalidAction",
            format!("Could not find operation {other} for version {VERSION} in the local cluster"),
        )),
    }
}

impl Api {
    /// CloudFormation over the engine's database, the buckets and the log events.
    pub fn new(engine: Handle, reader: Reader, objects: Arc<s3::Store>, events: Arc<logs::Events>) -> Self {
        let faults = Arc::new(Faults::of(engine.home()));
        Self { engine, reader, objects, events, faults, over: Arc::default() }
    }

    /// Answers one operation.
    ///
    /// # Errors
    /// As AWS would say it.
    pub async fn call(
        &self,
        operation: CloudFormation,
        parameters: &[(String, String)],
    ) -> Result<Value, ApiError> {
        self.faults.check_call(operation.name())?;
        let request = Request::new(parameters);
        check_request(&request)?;
        let answer = match operation {
            CloudFormation::CreateStack => self.create_stack(request).await,
            CloudFormation::UpdateStack => self.update_stack(request).await,
            CloudFormation::DeleteStack => self.delete_stack(request).await,
            CloudFormation::ContinueUpdateRollback => self.continue_rollback(request).await,
            CloudFormation::CreateChangeSet => self.create_change_set(request).await,
            CloudFormation::DescribeChangeSet => self.describe_change_set(request).await,
            CloudFormation::ExecuteChangeSet => self.execute_change_set(request).await,
            CloudFormation::DeleteChangeSet => self.delete_change_set(request).await,
            CloudFormation::ListChangeSets => self.list_change_sets(request).await,
            CloudFormation::DescribeStacks => self.describe_stacks(request).await,
            CloudFormation::ListStacks => self.list_stacks(request).await,
            CloudFormation::DescribeStackEvents => self.describe_stack_events(request).await,
            CloudFormation::DescribeEvents => self.describe_events(request).await,
            CloudFormation::DescribeStackResource => self.describe_stack_resource(request).await,
            CloudFormation::DescribeStackResources => self.describe_stack_resources(request).await,
            CloudFormation::ListStackResources => self.list_stack_resources(request).await,
            CloudFormation::GetTemplate => self.get_template(request).await,
            CloudFormation::GetTemplateSummary => self.get_template_summary(request).await,
            CloudFormation::ValidateTemplate => self.validate_template(request).await,
            CloudFormation::UpdateTerminationProtection => self.protect(request).await,
            CloudFormation::SetStackPolicy => self.set_stack_policy(request).await,
            CloudFormation::GetStackPolicy => self.get_stack_policy(request).await,
        }?;
        Ok(json!({ operation.name(): answer }))
    }

    /// Goes on with what a server before this one has not finished.
    pub async fn resume(self) {
        let expired = self.engine.change_with(Needs::NoSpace, |store| {
            rows::expire(store.connection(), now_ms())?;
            Ok(Value::Null)
        });
        if let Err(e) = expired.await {
            tracing::warn!("removing old stacks: {}", e.message);
        }
        match self.reader.read(|db| Ok(rows::busy(db.connection())?)).await {
            Ok(busy) => busy.into_iter().for_each(|stack| self.drive(stack)),
            Err(e) => tracing::warn!("reading the stacks: {}", e.message),
        }
    }

    /// Makes the steps of a stack's operation, one after another, until it is over.
    fn drive(&self, stack: String) {
        let api = self.clone();
        tokio::spawn(async move {
            loop {
                let delay = api.faults.delay();
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                match api.step(&stack).await {
                    Ok(Turn::Again) => {}
                    Ok(Turn::Over) => return api.over.notify_waiters(),
                    Err(e) => {
                        tracing::warn!("a step of {stack}: {}", e.message);
                        // A server that stops ends this, too.
                        if e.kind == ErrorKind::Damaged {
                            return;
                        }
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        });
    }

    /// Makes one step, in one transaction.
    async fn step(&self, stack: &str) -> Result<Turn, ApiError> {
        let (objects, faults) = (Arc::clone(&self.objects), Arc::clone(&self.faults));
        let removed = Arc::new(Mutex::new(Vec::new()));
        let (id, streams) = (stack.to_owned(), Arc::clone(&removed));
        let change = self.engine.change_with(Needs::NoSpace, move |store| {
            let Some(mut stack) = rows::stack(store.connection(), &id)? else { return Ok(json!(false)) };
            let mut world =
                LocalWorld { store, objects: &objects, faults: &faults, removed_streams: Vec::new() };
            let turn = operation::advance(&mut stack, &mut world, now_ms())?;
            *streams.lock().unwrap_or_else(PoisonError::into_inner) = world.removed_streams;
            if turn == Turn::Over {
                forget_change_sets(store, &stack)?;
            }
            rows::put(store.connection(), &mut stack)?;
            Ok(json!(turn == Turn::Again))
        });
        let again = change.await?;
        let removed = std::mem::take(&mut *removed.lock().unwrap_or_else(PoisonError::into_inner));
        if !removed.is_empty() {
            let events = Arc::clone(&self.events);
            let remove = move || {
                for (group, streams) in removed {
                    if let Err(e) = events.remove(&group, &streams) {
                        tracing::warn!("removing the events of {}: {}", group.as_str(), e.message);
                    }
                }
            };
            // Events that are left are removed when they expire.
            let _ = tokio::task::spawn_blocking(remove).await;
        }
        Ok(if again == Value::Bool(true) { Turn::Again } else { Turn::Over })
    }

    /// Drives the stack of an answer.
    fn drive_answer(&self, answer: &Value) {
        if let Some(id) = answer["StackId"].as_str() {
            self.drive(id.to_owned());
        }
    }

    /// The stack that a request names.
    async fn stack(&self, request: &Request, error: fn(&str) -> ApiError) -> Result<Stack, ApiError> {
        let name = request.required("StackName")?.to_owned();
        self.reader.read(move |db| rows::stack(db.connection(), &name)?.ok_or_else(|| error(&name))).await
    }

    /// The stack that a request names. The answer waits a little for an operation that is under
    /// way: most are over within a second, and the waiters of clients ask again after half a
    /// minute.
    async fn settled(&self, request: &Request) -> Result<Stack, ApiError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let over = self.over.notified();
            tokio::pin!(over);
            // From here on, no notification is missed.
            over.as_mut().enable();
            let stack = self.stack(request, no_stack_with_id).await?;
            if stack.operation.is_none() || tokio::time::timeout_at(deadline, over).await.is_err() {
                return Ok(stack);
            }
        }
    }
}

/// Removes or ends a stack's change sets when an operation is over.
fn forget_change_sets(store: &Store, stack: &Stack) -> rusqlite::Result<()> {
    let db = store.connection();
    for mut set in rows::change_sets(db, &stack.id)? {
        if set.execution == "EXECUTE_IN_PROGRESS" {
            let is_good = matches!(stack.status, StackStatus::CreateComplete | StackStatus::UpdateComplete);
            set.execution = if is_good { "EXECUTE_COMPLETE" } else { "EXECUTE_FAILED" }.to_owned();
            rows::put_change_set(db, &set)?;
        }
    }
    Ok(())
}
