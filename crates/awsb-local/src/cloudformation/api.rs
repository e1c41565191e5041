//! The operations of CloudFormation.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::change_set::{self, ChangeSet};
use super::describe::{self, ResourceShape};
use super::faults::Faults;
use super::model::{Desired, OnFailure, Stack, StackStatus};
use super::operation::{self, Options, Turn, World};
use super::policy::StackPolicy;
use super::request::{Request, constraint, invalid};
use super::rows::{self, Page};
use super::schema::Schemas;
use super::template::{LONGEST_BODY, LONGEST_OBJECT, Template, TemplateError};
use super::world::LocalWorld;
use crate::access::operation::CloudFormation;
use crate::batch::resources::ChangeError;
use crate::batch::store::Store;
use crate::batch::{Handle, Needs, Reader};
use crate::constants::{ACCOUNT, REGION};
use crate::http::protocol::{ApiError, ErrorKind};
use crate::time::now_ms;
use crate::{logs, s3};

/// The version of the API.
const VERSION: &str = "2010-05-15";
/// The most entries of a page. AWS has 1 MB of changes in one, and 100 entries of other kinds.
const PAGE: usize = 100;
/// How long a step that could not be made, such as on a full disk, waits for another try.
const RETRY: Duration = Duration::from_secs(1);
/// How long DescribeStacks waits for an operation to be over.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most changes of a page.
const CHANGES_PAGE: usize = 50;

/// CloudFormation, as far as it is here.
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

impl From<TemplateError> for ApiError {
    fn from(e: TemplateError) -> Self {
        invalid(e.0)
    }
}

fn exists(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "AlreadyExistsException", message)
}

/// The words that the operations on one stack have for a stack that is not there.
fn no_stack(name: &str) -> ApiError {
    invalid(format!("Stack [{name}] does not exist"))
}

/// The words that the operations which describe have for it.
fn no_stack_with_id(name: &str) -> ApiError {
    invalid(format!("Stack with id {name} does not exist"))
}

fn no_change_set(name: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "ChangeSetNotFound", format!("ChangeSet [{name}] does not exist"))
}

fn no_token() -> ApiError {
    invalid("The specified next token is not valid.")
}

fn page<T>(all: Vec<T>, token: Option<&str>, most: usize) -> Result<Page<T>, ApiError> {
    Page::of(all, token, most).ok_or_else(no_token)
}

/// API, CreateStack.StackName: up to 128 characters, `[a-zA-Z][-a-zA-Z0-9]*`.
fn check_name(member: &str, name: &str) -> Result<(), ApiError> {
    let is_valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match is_valid {
        false => Err(constraint(
            member,
            &format!("'{name}'"),
            "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*",
        )),
        true if name.len() > 128 => {
            Err(constraint(member, &format!("'{name}'"), "Member must have length less than or equal to 128"))
        }
        true => Ok(()),
    }
}

/// API, ClientRequestToken: up to 128 characters, `[a-zA-Z0-9][-a-zA-Z0-9]*`.
fn check_token(token: &str) -> Result<(), ApiError> {
    let is_valid = token.starts_with(|c: char| c.is_ascii_alphanumeric())
        && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let rule = match (is_valid, token.len() > 128) {
        (false, _) => "Member must satisfy regular expression pattern: [a-zA-Z0-9][-a-zA-Z0-9]*",
        (true, true) => "Member must have length less than or equal to 128",
        (true, false) => return Ok(()),
    };
    Err(constraint("clientRequestToken", &format!("'{token}'"), rule))
}

/// A text with at most so many characters.
fn check_length(request: &Request, name: &str, most: usize) -> Result<(), ApiError> {
    match request.text(name).is_some_and(|text| text.chars().count() > most) {
        true => Err(invalid(format!(
            "1 validation error detected: {name} must have length less than or equal to {most}"
        ))),
        false => Ok(()),
    }
}

/// Checks what all requests have in common: an answer in XML can hold their texts, and the lengths
/// and patterns of the API's model.
fn check_request(request: &Request) -> Result<(), ApiError> {
    if let Some(name) = request.unprintable() {
        return Err(invalid(format!(
            "1 validation error detected: {name} has a control character, or another one that XML 1.0 cannot hold"
        )));
    }
    request.text("ClientRequestToken").map_or(Ok(()), check_token)?;
    let lengths = [
        ("ClientToken", 128),
        ("TemplateURL", 5120),
        ("RoleARN", 2048),
        ("NextToken", 1024),
        ("ChangeSetName", 1600),
    ];
    lengths.into_iter().try_for_each(|(name, most)| check_length(request, name, most))?;
    if request.list("NotificationARNs").len() > 5 {
        return Err(invalid("1 validation error detected: NotificationARNs must have at most 5 members"));
    }
    match request.text("TimeoutInMinutes").map(str::parse::<u32>) {
        None | Some(Ok(1..)) => Ok(()),
        Some(_) => {
            Err(invalid("1 validation error detected: TimeoutInMinutes must be a number of at least 1"))
        }
    }
}

/// A template that is in S3, by its URL (API: TemplateURL).
fn of_url(objects: &s3::Store, url: &str) -> Result<String, ApiError> {
    let wrong = || invalid("TemplateURL must be a supported URL.");
    // The local cluster's own endpoint has no TLS.
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).ok_or_else(wrong)?;
    let (host, path) = rest.split_once('/').ok_or_else(wrong)?;
    let path = path.split('?').next().unwrap_or_default();
    let path = percent_decode_str(path).decode_utf8().map_err(|_| wrong())?.into_owned();
    // The bucket is in the host's name, or else the first part of the path.
    let (bucket, key) = match host.split_once(".s3.").or_else(|| host.split_once(".s3-")) {
        Some((bucket, _)) => (bucket.to_owned(), path),
        None => match path.split_once('/') {
            Some((bucket, key)) => (bucket.to_owned(), key.to_owned()),
            None => return Err(wrong()),
        },
    };
    let (object, mut file) = objects.get(&bucket, &key).map_err(|e| match e {
        s3::StoreError::NoSuchBucket | s3::StoreError::NoSuchKey => {
            invalid("S3 error: The specified key does not exist.")
        }
        other => ApiError::server(other.to_string()),
    })?;
    if object.size > LONGEST_OBJECT as u64 {
        return Err(invalid(format!("Template may not exceed {LONGEST_OBJECT} bytes in size.")));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|e| invalid(format!("S3 error: {e}")))?;
    Ok(text)
}

/// A text in the request, or in an object that it names.
fn body_or_url(
    request: &Request,
    objects: &s3::Store,
    name: &str,
    longest: usize,
) -> Result<Option<String>, ApiError> {
    let (body, url) = (format!("{name}Body"), format!("{name}URL"));
    match (request.text(&body), request.text(&url)) {
        (Some(_), Some(_)) => Err(invalid(format!("Either {body} or {url} must be specified, not both."))),
        (Some(text), None) if text.len() > longest => Err(constraint(
            &format!("{}{}", name[..1].to_lowercase(), &body[1..]),
            "at the request",
            &format!("Member must have length less than or equal to {longest}"),
        )),
        (Some(text), None) => Ok(Some(text.to_owned())),
        (None, Some(url)) => of_url(objects, url).map(Some),
        (None, None) => Ok(None),
    }
}

/// The stack that a request wants.
fn desired(
    request: &Request,
    objects: &s3::Store,
    previous: Option<&Desired>,
) -> Result<(Template, Desired), ApiError> {
    let given = body_or_url(request, objects, "Template", LONGEST_BODY)?;
    let text = match (given, request.flag("UsePreviousTemplate")?, previous) {
        (Some(text), _, _) => text,
        (None, Some(true), Some(previous)) => previous.template.clone(),
        (None, ..) => return Err(invalid("Either Template URL or Template Body must be specified.")),
    };
    let template = Template::parse(&text, Schemas::built_in())?;
    let parameters = parameters(request, &template, previous)?;
    let mut capabilities = request.list("Capabilities");
    if let Some((needed, _)) = template.capabilities() {
        let is_given = capabilities
            .iter()
            .any(|given| given == needed || (needed == "CAPABILITY_IAM" && given == "CAPABILITY_NAMED_IAM"));
        if !is_given {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "InsufficientCapabilitiesException",
                format!("Requires capabilities : [{needed}]"),
            ));
        }
    }
    capabilities.dedup();
    let mut tags = BTreeMap::new();
    for tag in request.fields("Tags") {
        let (key, value) = (tag.get("Key").unwrap_or(""), tag.get("Value").unwrap_or(""));
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(invalid("Tags: a key has 1 to 128 characters, a value at most 256"));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid("aws: prefixed tag key names are not allowed for external use."));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    // API, UpdateStack.Tags: "If you don't specify this parameter, CloudFormation doesn't modify
    // the stack's tags."
    if let (true, Some(previous)) = (tags.is_empty(), previous) {
        tags.clone_from(&previous.tags);
    }
    if tags.len() > 50 {
        return Err(invalid("Tags: a stack has at most 50 tags"));
    }
    let desired = Desired {
        template: text,
        parameters,
        tags,
        capabilities,
        notification_arns: request.list("NotificationARNs"),
        role_arn: request
            .owned("RoleARN")
            .or_else(|| previous.and_then(|previous| previous.role_arn.clone())),
    };
    Ok((template, desired))
}

/// The values of the template's parameters.
fn parameters(
    request: &Request,
    template: &Template,
    previous: Option<&Desired>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut values = BTreeMap::new();
    let mut unknown = Vec::new();
    for parameter in request.fields("Parameters") {
        let Some(key) = parameter.get("ParameterKey") else {
            return Err(invalid("Parameters: ParameterKey is required"));
        };
        if !template.parameters.contains_key(key) {
            unknown.push(key.to_owned());
            continue;
        }
        let is_kept = parameter.get("UsePreviousValue").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
        let value = match (is_kept, parameter.get("ParameterValue")) {
            (true, Some(_)) => {
                return Err(invalid(format!(
                    "Invalid input for parameter key {key}. Cannot specify usePreviousValue as true and non empty \
                     value for a parameter"
                )));
            }
            (true, None) => match previous.and_then(|previous| previous.parameters.get(key)) {
                Some(value) => value.clone(),
                None => continue,
            },
            (false, Some(value)) => value.to_owned(),
            (false, None) => continue,
        };
        values.insert(key.to_owned(), value);
    }
    if !unknown.is_empty() {
        return Err(invalid(format!("Parameters: [{}] do not exist in the template", unknown.join(", "))));
    }
    let mut missing = Vec::new();
    for (name, parameter) in &template.parameters {
        if !values.contains_key(name) {
            match &parameter.default {
                Some(value) => drop(values.insert(name.clone(), value.clone())),
                None => missing.push(name.as_str()),
            }
        }
        if let Some(value) = values.get(name) {
            parameter.check(name, value)?;
        }
    }
    match missing.as_slice() {
        [] => Ok(values),
        names => Err(invalid(format!("Parameters: [{}] must have values", names.join(", ")))),
    }
}

/// The meaning of a client's token: a repeated request has the same one.
fn fingerprint(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    hex::encode(digest.finalize())
}

/// The token of a request, with the operation and what the request is.
fn token(request: &Request, operation: CloudFormation, parts: &[&str]) -> Option<(String, String, String)> {
    let token = request.owned("ClientRequestToken")?;
    Some((operation.name().to_owned(), token, fingerprint(parts)))
}

/// Whether a request with this token has been made before.
fn is_repeated(stack: &Stack, token: Option<&(String, String, String)>) -> Result<bool, ApiError> {
    let Some((operation, token, print)) = token else { return Ok(false) };
    let same = stack
        .operations
        .iter()
        .filter_map(|record| record.request.as_ref())
        .find(|(_, known, _)| known == token);
    match same {
        None => Ok(false),
        Some((of, _, known)) if of == operation && known == print => Ok(true),
        Some(_) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "TokenAlreadyExistsException",
            format!("A client request token already exists: {token}"),
        )),
    }
}

fn on_failure(text: Option<&str>) -> Result<Option<OnFailure>, ApiError> {
    match text {
        None => Ok(None),
        Some("ROLLBACK") => Ok(Some(OnFailure::Rollback)),
        Some("DELETE") => Ok(Some(OnFailure::Delete)),
        Some("DO_NOTHING") => Ok(Some(OnFailure::DoNothing)),
        Some(other) => Err(constraint(
            "onFailure",
            &format!("'{other}'"),
            "Member must satisfy enum value set: [ROLLBACK, DELETE, DO_NOTHING]",
        )),
    }
}

fn existing(store: &Store, name: &str, error: fn(&str) -> ApiError) -> Result<Stack, ChangeError> {
    rows::stack(store.connection(), name)?.ok_or_else(|| error(name).into())
}

fn check_policy(policy: Option<String>) -> Result<Option<String>, ApiError> {
    match &policy {
        Some(text) => StackPolicy::parse(text).map(|_| policy.clone()).map_err(invalid),
        None => Ok(None),
    }
}

fn check_can_be_updated(stack: &Stack) -> Result<(), ApiError> {
    match stack.status.can_be_updated() {
        true => Ok(()),
        false => Err(invalid(format!(
            "Stack:{} is in {} state and can not be updated.",
            stack.id,
            stack.status.as_str()
        ))),
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

    async fn create_stack(&self, request: Request) -> Result<Value, ApiError> {
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
                rows::put(store.connection(), &mut stack)?;
                let operation = stack.operations.last().map(|record| record.id.clone());
                Ok(json!({"StackId": stack.id, "OperationId": operation}))
            })
            .await?;
        self.drive_answer(&answer);
        Ok(answer)
    }

    /// Drives the stack of an answer.
    fn drive_answer(&self, answer: &Value) {
        if let Some(id) = answer["StackId"].as_str() {
            self.drive(id.to_owned());
        }
    }

    async fn update_stack(&self, request: Request) -> Result<Value, ApiError> {
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
                rows::put(store.connection(), &mut stack)?;
                let operation = stack.operations.last().map(|record| record.id.clone());
                Ok(json!({"StackId": stack.id, "OperationId": operation}))
            })
            .await?;
        self.drive_answer(&answer);
        Ok(answer)
    }

    async fn delete_stack(&self, request: Request) -> Result<Value, ApiError> {
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

    async fn continue_rollback(&self, request: Request) -> Result<Value, ApiError> {
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

    async fn create_change_set(&self, request: Request) -> Result<Value, ApiError> {
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

    async fn describe_change_set(&self, request: Request) -> Result<Value, ApiError> {
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
    async fn change_set(&self, request: &Request) -> Result<ChangeSet, ApiError> {
        let name = request.required("ChangeSetName")?.to_owned();
        let stack = request.owned("StackName");
        self.reader.read(move |db| find_change_set(db.connection(), stack.as_deref(), &name)).await
    }

    async fn execute_change_set(&self, request: Request) -> Result<Value, ApiError> {
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

    async fn delete_change_set(&self, request: Request) -> Result<Value, ApiError> {
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

    async fn list_change_sets(&self, request: Request) -> Result<Value, ApiError> {
        let stack = self.stack(&request, no_stack).await?;
        let sets = self.reader.read(move |db| Ok(rows::change_sets(db.connection(), &stack.id)?)).await?;
        let page = page(sets, request.text("NextToken"), PAGE)?;
        let summaries: Value = page.entries.iter().map(describe::change_set_summary).collect();
        Ok(json!({"Summaries": summaries, "NextToken": page.next}))
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

    async fn describe_stacks(&self, request: Request) -> Result<Value, ApiError> {
        let stacks = match request.text("StackName") {
            Some(_) => vec![self.settled(&request).await?],
            None => self.reader.read(|db| Ok(rows::all(db.connection(), false)?)).await?,
        };
        let page = page(stacks, request.text("NextToken"), PAGE)?;
        let shown = page.entries.iter().map(|stack| {
            let template = Template::parse(&stack.desired.template, Schemas::built_in()).ok();
            describe::stack(stack, template.as_ref())
        });
        Ok(json!({"Stacks": shown.collect::<Value>(), "NextToken": page.next}))
    }

    async fn list_stacks(&self, request: Request) -> Result<Value, ApiError> {
        let filter = request.list("StackStatusFilter");
        let mut stacks = self.reader.read(|db| Ok(rows::all(db.connection(), true)?)).await?;
        stacks
            .retain(|stack| filter.is_empty() || filter.iter().any(|status| status == stack.status.as_str()));
        let page = page(stacks, request.text("NextToken"), PAGE)?;
        let summaries: Value = page.entries.iter().map(describe::summary).collect();
        Ok(json!({"StackSummaries": summaries, "NextToken": page.next}))
    }

    /// A page of a stack's events, the last one first. The token is the number of the last event
    /// that was shown.
    async fn events(
        &self,
        stack: &Stack,
        token: Option<&str>,
    ) -> Result<Page<super::model::Event>, ApiError> {
        let before = token.map_or(Ok(i64::MAX), |token| token.parse().map_err(|_| no_token()))?;
        let id = stack.id.clone();
        let mut rows =
            self.reader.read(move |db| Ok(rows::events(db.connection(), &id, before, PAGE + 1)?)).await?;
        let has_more = rows.len() > PAGE;
        rows.truncate(PAGE);
        let next = rows.last().filter(|_| has_more).map(|(number, _)| number.to_string());
        Ok(Page { entries: rows.into_iter().map(|(_, event)| event).collect(), next })
    }

    async fn describe_stack_events(&self, request: Request) -> Result<Value, ApiError> {
        let stack = self.stack(&request, no_stack).await?;
        let page = self.events(&stack, request.text("NextToken")).await?;
        let shown: Value = page.entries.iter().map(|event| describe::event(&stack, event)).collect();
        Ok(json!({"StackEvents": shown, "NextToken": page.next}))
    }

    async fn describe_events(&self, request: Request) -> Result<Value, ApiError> {
        if request.text("ChangeSetName").is_some() {
            let set = self.change_set(&request).await?;
            let shown: Value = set
                .problems
                .iter()
                .map(|problem| {
                    let mut shown = problem.clone();
                    shown["StackId"] = json!(set.stack);
                    shown["OperationType"] = json!("CREATE_CHANGESET");
                    shown["OperationStatus"] = json!("FAILED");
                    shown["Timestamp"] = json!(describe::time(set.created_at));
                    shown
                })
                .collect();
            return Ok(json!({"OperationEvents": shown}));
        }
        let wanted = request.owned("OperationId");
        let only_failed = request.flag("Filters.FailedEvents")?.unwrap_or(false);
        let stack = match (request.text("StackName"), &wanted) {
            (Some(_), _) => self.stack(&request, no_stack).await?,
            (None, Some(operation)) => {
                let operation = operation.clone();
                let all = self.reader.read(|db| Ok(rows::all(db.connection(), true)?)).await?;
                let has = |stack: &Stack| stack.operations.iter().any(|record| record.id == operation);
                all.into_iter()
                    .find(has)
                    .ok_or_else(|| invalid(format!("Operation [{operation}] does not exist")))?
            }
            (None, None) => return Err(invalid("StackName, ChangeSetName or OperationId is required")),
        };
        let page = self.events(&stack, request.text("NextToken")).await?;
        let shown: Value = page
            .entries
            .iter()
            .filter(|event| wanted.as_ref().is_none_or(|wanted| event.operation == *wanted))
            .filter(|event| !only_failed || event.status.ends_with("_FAILED"))
            .map(|event| describe::operation_event(&stack, event))
            .collect();
        Ok(json!({"OperationEvents": shown, "NextToken": page.next}))
    }

    async fn describe_stack_resource(&self, request: Request) -> Result<Value, ApiError> {
        let stack = self.stack(&request, no_stack).await?;
        let logical = request.required("LogicalResourceId")?;
        let Some(resource) = stack.resources.get(logical) else {
            return Err(invalid(format!("Resource {logical} does not exist for stack {}", stack.name)));
        };
        let detail = describe::resource(&stack, logical, resource, ResourceShape::Detail);
        Ok(json!({"StackResourceDetail": detail}))
    }

    async fn describe_stack_resources(&self, request: Request) -> Result<Value, ApiError> {
        let stack = match (request.text("StackName"), request.owned("PhysicalResourceId")) {
            (Some(_), _) => self.stack(&request, no_stack_with_id).await?,
            (None, Some(id)) => {
                let all = self.reader.read(|db| Ok(rows::all(db.connection(), false)?)).await?;
                let has = |stack: &Stack| {
                    stack.resources.values().any(|resource| resource.physical_id.as_deref() == Some(&id))
                };
                all.into_iter().find(has).ok_or_else(|| invalid(format!("Stack for {id} does not exist")))?
            }
            (None, None) => return Err(invalid("StackName or PhysicalResourceId is required")),
        };
        let logical = request.text("LogicalResourceId");
        if let Some(logical) = logical.filter(|logical| !stack.resources.contains_key(*logical)) {
            return Err(invalid(format!("Resource {logical} does not exist for stack {}", stack.name)));
        }
        // API: "Only the first 100 resources will be returned."
        let shown = stack.resources.iter().filter(|(name, _)| logical.is_none_or(|logical| logical == *name));
        let shown: Value = shown
            .take(PAGE)
            .map(|(name, resource)| describe::resource(&stack, name, resource, ResourceShape::Resource))
            .collect();
        Ok(json!({"StackResources": shown}))
    }

    async fn list_stack_resources(&self, request: Request) -> Result<Value, ApiError> {
        let stack = self.stack(&request, no_stack_with_id).await?;
        let all = stack
            .resources
            .iter()
            .map(|(name, resource)| describe::resource(&stack, name, resource, ResourceShape::Summary));
        let page = page(all.collect(), request.text("NextToken"), PAGE)?;
        Ok(json!({"StackResourceSummaries": page.entries, "NextToken": page.next}))
    }

    async fn get_template(&self, request: Request) -> Result<Value, ApiError> {
        let text = match request.text("ChangeSetName") {
            Some(_) => self.change_set(&request).await?.desired.template,
            None => self.stack(&request, no_stack_with_id).await?.desired.template,
        };
        Ok(json!({"TemplateBody": text, "StagesAvailable": ["Original", "Processed"]}))
    }

    /// A template in a request, or of the stack that it names.
    async fn template(&self, request: &Request) -> Result<Template, ApiError> {
        let given = body_or_url(request, &self.objects, "Template", LONGEST_BODY)?;
        let text = match (given, request.text("StackName")) {
            (Some(text), _) => text,
            (None, Some(_)) => self.stack(request, no_stack_with_id).await?.desired.template,
            (None, None) => return Err(invalid("Either Template URL or Template Body must be specified.")),
        };
        Ok(Template::parse(&text, Schemas::built_in())?)
    }

    async fn get_template_summary(&self, request: Request) -> Result<Value, ApiError> {
        Ok(describe::template_summary(&self.template(&request).await?))
    }

    async fn validate_template(&self, request: Request) -> Result<Value, ApiError> {
        Ok(describe::validation(&self.template(&request).await?))
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

    async fn protect(&self, request: Request) -> Result<Value, ApiError> {
        let Some(is_protected) = request.flag("EnableTerminationProtection")? else {
            return Err(constraint("enableTerminationProtection", "null", "Member must not be null"));
        };
        self.set(&request, no_stack, move |stack| stack.is_protected = is_protected).await
    }

    async fn set_stack_policy(&self, request: Request) -> Result<Value, ApiError> {
        let policy = check_policy(body_or_url(&request, &self.objects, "StackPolicy", 16_384)?)?;
        self.set(&request, no_stack_with_id, move |stack| stack.policy = policy).await?;
        Ok(json!({}))
    }

    async fn get_stack_policy(&self, request: Request) -> Result<Value, ApiError> {
        let stack = self.stack(&request, no_stack_with_id).await?;
        Ok(json!({"StackPolicyBody": stack.policy}))
    }
}

fn property_problem(template: &Template, logical: &str, problem: &super::schema::Problem) -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> Result<(), ApiError> {
        check_request(&Request::new(&[(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn texts_of_a_request_have_the_patterns_of_the_model() {
        let long = |length: usize| "x".repeat(length);
        for (name, value) in [
            ("ClientRequestToken", "a-1"),
            ("ClientRequestToken", &long(128)),
            ("TimeoutInMinutes", "1"),
            ("ClientToken", "any text"),
            ("TemplateBody", "a\r\n\tb"),
        ] {
            assert!(check(name, value).is_ok(), "{name} {value}");
        }
        for (name, value, words) in [
            ("ClientRequestToken", "-a", "[a-zA-Z0-9][-a-zA-Z0-9]*"),
            ("ClientRequestToken", "a_b", "[a-zA-Z0-9][-a-zA-Z0-9]*"),
            ("ClientRequestToken", "a b", "'clientRequestToken' failed to satisfy constraint"),
            ("ClientRequestToken", &long(129), "less than or equal to 128"),
            ("ClientToken", &long(129), "less than or equal to 128"),
            ("TemplateURL", &long(5121), "less than or equal to 5120"),
            ("TimeoutInMinutes", "0", "at least 1"),
            ("TimeoutInMinutes", "soon", "at least 1"),
            ("Tags.member.1.Value", "a\u{1}", "Tags.member.1.Value has a control character"),
        ] {
            let error = check(name, value).unwrap_err();
            assert!(error.code == "ValidationError" && error.message.contains(words), "{}", error.message);
        }
    }

    #[test]
    fn a_template_is_read_from_a_url_of_s3_only() {
        let home = tempfile::tempdir().unwrap();
        let objects = s3::Store::open(home.path(), &mut Vec::new()).unwrap();
        for (url, words) in [
            ("file:///etc/passwd", "TemplateURL must be a supported URL."),
            ("ftp://lab.s3.amazonaws.com/t.json", "TemplateURL must be a supported URL."),
            ("lab/t.json", "TemplateURL must be a supported URL."),
            ("https://lab.s3.amazonaws.com/t.json", "S3 error: The specified key does not exist."),
            ("http://127.0.0.1:4000/lab/t.json", "S3 error: The specified key does not exist."),
        ] {
            assert_eq!(of_url(&objects, url).unwrap_err().message, words, "{url}");
        }
    }
}
