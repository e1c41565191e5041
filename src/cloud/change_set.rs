//! Change sets: the changes of a stack, as CloudFormation will make them.

use std::time::Duration;

use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::{
    Capability, ChangeSetStatus, ChangeSetType, EventType, ExecutionStatus, OnStackFailure, OperationEvent,
    Parameter, PolicyAction as SdkPolicyAction, Replacement as SdkReplacement, RequiresRecreation,
    ResourceChange, Tag,
};
use awsb_model::cluster::Change;
use awsb_model::cluster::effect::{Action, PolicyAction, PropertyChange, Recreation, Replacement};

use super::cause::Cause;
use super::events::Event;
use super::journal::{Kind, Operation};
use super::stack;
use crate::aws::{CallError, ResilientSession, Session, explain, is_missing_stack, next_page};
use crate::ui::{ErrorKind, Failure};

/// How long CloudFormation may take to make a change set.
const TIMEOUT: Duration = Duration::from_secs(300);
/// The intervals between two questions whether a change set is there.
const INTERVALS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// The wanted content of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StackContent {
    /// The template.
    pub template: String,
    /// The URL of the template in S3, if it is too long for a request.
    pub template_url: Option<String>,
    /// The parameters.
    pub parameters: Vec<(String, String)>,
    /// The tags.
    pub tags: Vec<(String, String)>,
    /// The role with which CloudFormation acts, in place of the caller's permissions.
    pub service_role: Option<String>,
    /// The template with all names written out, if resources that exist under the names of the
    /// template are taken over.
    pub takeover: Option<String>,
}

impl StackContent {
    /// The template as it is sent.
    pub fn sent_template(&self) -> &str {
        self.takeover.as_ref().unwrap_or(&self.template)
    }

    /// A text that is the same for the same content, whatever exists already: a creation that has
    /// been interrupted finds resources of its own.
    pub fn fingerprint(&self) -> String {
        format!("{:?}", (&self.template, &self.parameters, &self.tags, &self.service_role))
    }
}

/// A change set that CloudFormation has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSet {
    /// Its ARN.
    pub id: String,
    /// The ARN of its stack.
    pub stack_id: String,
    /// Its changes.
    pub changes: Vec<Change>,
    /// Whether it has been executed already.
    pub is_executed: bool,
}

/// The outcome of a change set's creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// It can be executed.
    Ready(ChangeSet),
    /// The stack is already what it is to be.
    NoChanges {
        /// The ARN of the change set, which is of no use.
        id: String,
    },
}

/// A change in the words of the model. A word that this version does not know counts as the worst.
fn change(change: ResourceChange) -> Change {
    let details = change.details.unwrap_or_default();
    let properties = details.into_iter().filter_map(|detail| detail.target).map(|target| PropertyChange {
        path: target.path.or(target.name).unwrap_or_else(|| {
            target.attribute.map_or_else(String::new, |attribute| attribute.as_str().to_owned())
        }),
        before: target.before_value,
        after: target.after_value,
        recreation: Recreation::from_word(
            target.requires_recreation.as_ref().map(RequiresRecreation::as_str),
        ),
    });
    let properties = properties.collect();
    Change {
        logical_id: change.logical_resource_id.unwrap_or_default(),
        resource_type: change.resource_type.unwrap_or_default(),
        action: change.action.map_or(Action::Dynamic, |action| Action::from_word(action.as_str())),
        replacement: Replacement::from_word(change.replacement.as_ref().map(SdkReplacement::as_str)),
        policy_action: PolicyAction::from_word(change.policy_action.as_ref().map(SdkPolicyAction::as_str)),
        properties,
    }
}

/// Asks for the change set of an operation, and waits until it is there. The call can be repeated:
/// a change set that the operation has already is taken.
///
/// # Errors
/// When CloudFormation refuses the template or cannot be asked.
pub async fn prepare(
    contact: &mut ResilientSession,
    stack: &str,
    operation: &Operation,
    content: &StackContent,
) -> Result<Prepared, Failure> {
    let name = operation.change_set();
    contact.keep(async |session| create(session, stack, operation, content).await).await?;
    let begun = std::time::Instant::now();
    let mut polls = 0;
    loop {
        let status = contact.keep(async |session| status(session, stack, &name).await).await?;
        match status {
            Status::Pending => {}
            Status::Failed(id, reason) if is_no_change(&reason) => return Ok(Prepared::NoChanges { id }),
            Status::Failed(id, reason) => {
                let set = if id.is_empty() { &name } else { &id };
                // Who may not ask for the findings still gets the reason.
                let findings = findings(contact.session(), stack, set).await.unwrap_or_default();
                let failure = not_prepared(stack, set, &reason, &findings);
                return Err(failure.map_hints(|hint| contact.session().advice(hint)));
            }
            Status::Removed => {
                return Err(Failure::failed(format!(
                    "preparing the changes of {stack}: somebody has removed the change set {name}"
                ))
                .hint("the same command makes a new one"));
            }
            Status::Ready { .. } => {
                let set = contact.keep(async |session| describe(session, stack, &name).await).await?;
                return Ok(Prepared::Ready(set));
            }
        }
        if begun.elapsed() > TIMEOUT {
            return Err(Failure::new(
                ErrorKind::NoAnswer,
                format!("CloudFormation has not made the change set {name} of {stack} within 5 minutes"),
            )
            .hint("the same command goes on with it"));
        }
        let near = contact.session().is_near();
        let interval = if near { INTERVALS[0] / 10 } else { INTERVALS[usize::from(polls > 4)] };
        polls += 1;
        tokio::time::sleep(interval).await;
    }
}

/// The findings for which CloudFormation has failed a change set before anything was changed (User
/// Guide, `Validate stack deployments`), such as a name that exists already.
async fn findings(session: &Session, stack: &str, set: &str) -> Result<Vec<Event>, Failure> {
    let (mut found, mut token) = (Vec::new(), None::<String>);
    loop {
        let call = session.cloudformation.describe_events().change_set_name(set);
        // A change set that is known by its name alone needs its stack.
        let call = call.set_stack_name((!set.starts_with("arn:")).then(|| stack.to_owned()));
        let answer = call.set_next_token(token.clone()).send().await;
        let answer = answer.map_err(|e| looking(session, stack, &e))?;
        found.extend(answer.operation_events.unwrap_or_default().into_iter().filter_map(finding));
        token = next_page(token.as_deref(), answer.next_token)
            .map_err(|e| Failure::failed(format!("reading the findings about the stack {stack}: {e}")))?;
        if token.is_none() {
            return Ok(found);
        }
    }
}

/// The finding that an event is, if it is one.
fn finding(event: OperationEvent) -> Option<Event> {
    let reason = match event.event_type? {
        EventType::ValidationError => event.validation_status_reason,
        EventType::HookInvocationError => event.hook_status_reason,
        _ => return None,
    };
    Some(Event {
        logical_resource_id: event.logical_resource_id.unwrap_or_default(),
        resource_type: event.resource_type.unwrap_or_default(),
        resource_status_reason: Some(reason.filter(|reason| !reason.is_empty())?),
        ..Event::default()
    })
}

/// The failure of a change set: each finding with its resource, else the reason of the set.
fn not_prepared(stack: &str, set: &str, reason: &str, findings: &[Event]) -> Failure {
    let doing = format!("CloudFormation refuses the changes of {stack}");
    let causes: Vec<Cause> = findings.iter().map(Cause::of).collect();
    if causes.is_empty() {
        return Failure::failed(format!("{doing}: {reason}")).hint(format!(
            "`aws cloudformation describe-events --change-set-name {set} --stack-name {stack}` shows what \
             CloudFormation has found"
        ));
    }
    let told: Vec<String> =
        causes.iter().map(|cause| format!("{}: {}", cause.resource, cause.reason)).collect();
    let mut advice: Vec<String> = causes.into_iter().flat_map(|cause| cause.advice).collect();
    advice.dedup();
    let failure = Failure::failed(format!("{doing}: {}", told.join("; ")));
    advice.into_iter().fold(failure, Failure::hint)
}

/// The reasons for which CloudFormation fails a change set that has no changes (User Guide, `Create
/// a change set`; the second one is that of a set whose template has a transform).
fn is_no_change(reason: &str) -> bool {
    const REASONS: [&str; 2] = ["didn't contain changes", "No updates are to be performed"];
    REASONS.iter().any(|words| reason.contains(words))
}

async fn create(
    session: &Session,
    stack: &str,
    operation: &Operation,
    content: &StackContent,
) -> Result<(), Failure> {
    let body = content.template_url.is_none().then(|| content.sent_template().to_owned());
    let parameter = |(key, value): &(String, String)| {
        Parameter::builder().parameter_key(key).parameter_value(value).build()
    };
    let tag = |(key, value): &(String, String)| Tag::builder().key(key).value(value).build();
    let mut call = session
        .cloudformation
        .create_change_set()
        .stack_name(stack)
        .change_set_name(operation.change_set())
        .client_token(&operation.token)
        .description("made by bcluster")
        .set_template_body(body)
        .set_template_url(content.template_url.clone())
        .set_parameters(Some(content.parameters.iter().map(parameter).collect()))
        .set_tags(Some(content.tags.iter().map(tag).collect()))
        .set_role_arn(content.service_role.clone())
        .capabilities(Capability::CapabilityIam)
        .capabilities(Capability::CapabilityNamedIam);
    // API `CreateChangeSet`, ImportExistingResources: only resources with a name of their own and a
    // deletion policy that keeps them are taken over.
    call = call.set_import_existing_resources(content.takeover.is_some().then_some(true));
    call = match operation.kind {
        Kind::Create => {
            call.change_set_type(ChangeSetType::Create).on_stack_failure(OnStackFailure::Rollback)
        }
        Kind::Update | Kind::Delete => call.change_set_type(ChangeSetType::Update),
    };
    match call.send().await {
        Ok(_) => Ok(()),
        // The change set of this name is ours: its name has the token.
        Err(e) if e.code() == Some("AlreadyExistsException") => Ok(()),
        // CloudFormation finds most mistakes of a template here.
        Err(e) => Err(refused(
            explain(session, &format!("preparing the changes of {stack}"), &e),
            &CallError::from_sdk(&e),
        )),
    }
}

/// The failure with a hint for a refusal whose cause is known.
fn refused(failure: Failure, error: &CallError) -> Failure {
    match error {
        CallError::Service { code, .. } if code == "LimitExceededException" => {
            failure.hint("the account has as many stacks as its quota allows: Service Quotas raises it")
        }
        CallError::Service { code, .. } if code == "InsufficientCapabilitiesException" => {
            failure.hint("this is a mistake of awsb: it names all capabilities; please report it")
        }
        _ => failure,
    }
}

/// The state of a change set.
enum Status {
    Pending,
    Ready {
        is_executed: bool,
    },
    Failed(String, String),
    /// Somebody has removed it.
    Removed,
}

async fn status(session: &Session, stack: &str, name: &str) -> Result<Status, Failure> {
    let call = session.cloudformation.describe_change_set().stack_name(stack).change_set_name(name);
    let answer = call.send().await.map_err(|e| looking(session, stack, &e))?;
    Ok(match answer.status {
        Some(ChangeSetStatus::CreateComplete) => {
            Status::Ready { is_executed: is_executed(answer.execution_status.as_ref()) }
        }
        Some(ChangeSetStatus::Failed) => Status::Failed(
            answer.change_set_id.unwrap_or_default(),
            answer.status_reason.unwrap_or_else(|| "it does not say why".to_owned()),
        ),
        Some(
            ChangeSetStatus::DeletePending
            | ChangeSetStatus::DeleteInProgress
            | ChangeSetStatus::DeleteComplete
            | ChangeSetStatus::DeleteFailed,
        ) => Status::Removed,
        _ => Status::Pending,
    })
}

fn looking<E>(session: &Session, stack: &str, error: &aws_sdk_cloudformation::error::SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    explain(session, &format!("reading the change set of {stack}"), error)
}

fn is_executed(status: Option<&ExecutionStatus>) -> bool {
    matches!(
        status,
        Some(
            ExecutionStatus::ExecuteInProgress
                | ExecutionStatus::ExecuteComplete
                | ExecutionStatus::ExecuteFailed
        )
    )
}

/// All pages of a change set, with the values of the properties.
async fn describe(session: &Session, stack: &str, name: &str) -> Result<ChangeSet, Failure> {
    let (mut changes, mut token) = (Vec::new(), None::<String>);
    loop {
        let call = session.cloudformation.describe_change_set().stack_name(stack).change_set_name(name);
        let answer = call.include_property_values(true).set_next_token(token.clone()).send().await;
        let answer = answer.map_err(|e| looking(session, stack, &e))?;
        let more = answer.changes.unwrap_or_default();
        changes.extend(more.into_iter().filter_map(|change| change.resource_change).map(change));
        token = next_page(token.as_deref(), answer.next_token)
            .map_err(|e| Failure::failed(format!("reading the change set of the stack {stack}: {e}")))?;
        if token.is_none() {
            return Ok(ChangeSet {
                id: answer.change_set_id.unwrap_or_default(),
                stack_id: answer.stack_id.unwrap_or_default(),
                changes,
                is_executed: is_executed(answer.execution_status.as_ref()),
            });
        }
    }
}

/// Whether a stack has a change set of this name.
///
/// # Errors
/// When CloudFormation cannot be asked.
pub async fn exists(contact: &mut ResilientSession, stack: &str, name: &str) -> Result<bool, Failure> {
    contact
        .keep(async |session| {
            let call = session.cloudformation.describe_change_set().stack_name(stack).change_set_name(name);
            match call.send().await {
                Ok(_) => Ok(true),
                Err(e) if e.code().is_some_and(|code| code.starts_with("ChangeSetNotFound")) => Ok(false),
                Err(e) if is_missing_stack(&e) => Ok(false),
                Err(e) => Err(looking(session, stack, &e)),
            }
        })
        .await
}

/// Executes a change set. The call can be repeated: a change set that has been executed is left as
/// it is.
///
/// # Errors
/// When CloudFormation refuses or cannot be asked.
pub async fn execute(
    contact: &mut ResilientSession,
    set: &ChangeSet,
    operation: &Operation,
) -> Result<(), Failure> {
    if set.is_executed {
        return Ok(());
    }
    let token = operation.token.as_str();
    contact
        .keep(async |session| {
            let call = session.cloudformation.execute_change_set();
            let call = call.change_set_name(&set.id).client_request_token(token);
            match call.send().await {
                Ok(_) => Ok(()),
                Err(e) => {
                    // An earlier call has been carried out, and its answer was lost. The change set
                    // is in progress, or it is gone with its execution.
                    let was_executed = match e.code() {
                        Some(
                            "InvalidChangeSetStatus"
                            | "InvalidChangeSetStatusException"
                            | "TokenAlreadyExistsException",
                        ) => {
                            matches!(
                                status(session, &set.stack_id, &set.id).await,
                                Ok(Status::Ready { is_executed: true })
                            )
                        }
                        Some("ChangeSetNotFound" | "ChangeSetNotFoundException") => {
                            let stack = stack::find(session, &set.stack_id).await?;
                            stack.is_some_and(|stack| stack.change_set.as_deref() == Some(&set.id))
                        }
                        _ => false,
                    };
                    match was_executed {
                        true => Ok(()),
                        false => Err(explain(session, "executing the change set", &e)),
                    }
                }
            }
        })
        .await
}

/// Removes a change set that is not executed. One that does not exist is removed already.
///
/// # Errors
/// When CloudFormation cannot be asked.
pub async fn remove(contact: &mut ResilientSession, id: &str) -> Result<(), Failure> {
    contact
        .keep(async |session| {
            match session.cloudformation.delete_change_set().change_set_name(id).send().await {
                Ok(_) => Ok(()),
                Err(e) if e.code().is_some_and(|code| code.starts_with("ChangeSetNotFound")) => Ok(()),
                Err(e) if is_missing_stack(&e) => Ok(()),
                Err(e) => Err(explain(session, "removing the change set", &e)),
            }
        })
        .await
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::{ChangeAction, ResourceChangeDetail, ResourceTargetDefinition};

    use super::*;

    #[test]
    fn words_of_a_later_cloudformation_count_as_the_worst() {
        let target = ResourceTargetDefinition::builder().name("Type").requires_recreation("Perhaps".into());
        let told = ResourceChange::builder()
            .action(ChangeAction::Modify)
            .replacement("Perhaps".into())
            .details(ResourceChangeDetail::builder().target(target.build()).build());
        let change = super::change(told.build());
        assert_eq!((change.action, change.replacement), (Action::Modify, Replacement::True));
        assert_eq!(change.properties[0].recreation, Recreation::Always);
        // Without a word there is none.
        let change = super::change(ResourceChange::builder().action(ChangeAction::Add).build());
        assert_eq!((change.action, change.replacement), (Action::Add, Replacement::False));
    }

    #[test]
    fn a_finding_is_told_with_its_resource() {
        let event = |kind: EventType, reason: &str| {
            let event = OperationEvent::builder().event_type(kind).logical_resource_id("JobLogs");
            event.resource_type("AWS::Logs::LogGroup").validation_status_reason(reason).build()
        };
        assert_eq!(finding(event(EventType::StackEvent, "x")), None);
        let found = finding(event(EventType::ValidationError, "The log group G already exists.")).unwrap();
        let failure = not_prepared("lab", "awsb-1", "validation failed: [X]", &[found]);
        assert_eq!(
            failure.message(),
            "CloudFormation refuses the changes of lab: the log group JobLogs: The log group G already exists."
        );
        assert!(failure.hints()[0].contains("another name"), "{failure:?}");
        let failure = not_prepared("lab", "awsb-1", "validation failed: [X]", &[]);
        assert!(failure.hints()[0].contains("describe-events --change-set-name awsb-1"), "{failure:?}");
    }
}
