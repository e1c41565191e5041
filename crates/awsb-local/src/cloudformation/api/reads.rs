//! The operations that describe and list.

use serde_json::{Value, json};

use super::Api;
use super::request_values::{PAGE, body_or_url, no_stack, no_stack_with_id, no_token, page};
use crate::cloudformation::describe::{self, ResourceShape};
use crate::cloudformation::model::{Event, Stack};
use crate::cloudformation::request::{Request, invalid};
use crate::cloudformation::rows::{self, Page};
use crate::cloudformation::schema::Schemas;
use crate::cloudformation::template::{LONGEST_BODY, Template};
use crate::http::protocol::ApiError;

impl Api {
    pub(super) async fn describe_stacks(&self, request: Request) -> Result<Value, ApiError> {
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

    pub(super) async fn list_stacks(&self, request: Request) -> Result<Value, ApiError> {
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
    pub(super) async fn events(&self, stack: &Stack, token: Option<&str>) -> Result<Page<Event>, ApiError> {
        let before = token.map_or(Ok(i64::MAX), |token| token.parse().map_err(|_| no_token()))?;
        let id = stack.id.clone();
        let mut rows =
            self.reader.read(move |db| Ok(rows::events(db.connection(), &id, before, PAGE + 1)?)).await?;
        let has_more = rows.len() > PAGE;
        rows.truncate(PAGE);
        let next = rows.last().filter(|_| has_more).map(|(number, _)| number.to_string());
        Ok(Page { entries: rows.into_iter().map(|(_, event)| event).collect(), next })
    }

    pub(super) async fn describe_stack_events(&self, request: Request) -> Result<Value, ApiError> {
        let stack = self.stack(&request, no_stack).await?;
        let page = self.events(&stack, request.text("NextToken")).await?;
        let shown: Value = page.entries.iter().map(|event| describe::event(&stack, event)).collect();
        Ok(json!({"StackEvents": shown, "NextToken": page.next}))
    }

    pub(super) async fn describe_events(&self, request: Request) -> Result<Value, ApiError> {
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

    pub(super) async fn describe_stack_resource(&self, request: Request) -> Result<Value, ApiError> {
        let stack = self.stack(&request, no_stack).await?;
        let logical = request.required("LogicalResourceId")?;
        let Some(resource) = stack.resources.get(logical) else {
            return Err(invalid(format!("Resource {logical} does not exist for stack {}", stack.name)));
        };
        let detail = describe::resource(&stack, logical, resource, ResourceShape::Detail);
        Ok(json!({"StackResourceDetail": detail}))
    }

    pub(super) async fn describe_stack_resources(&self, request: Request) -> Result<Value, ApiError> {
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

    pub(super) async fn list_stack_resources(&self, request: Request) -> Result<Value, ApiError> {
        let stack = self.stack(&request, no_stack_with_id).await?;
        let all = stack
            .resources
            .iter()
            .map(|(name, resource)| describe::resource(&stack, name, resource, ResourceShape::Summary));
        let page = page(all.collect(), request.text("NextToken"), PAGE)?;
        Ok(json!({"StackResourceSummaries": page.entries, "NextToken": page.next}))
    }

    pub(super) async fn get_template(&self, request: Request) -> Result<Value, ApiError> {
        let text = match request.text("ChangeSetName") {
            Some(_) => self.change_set(&request).await?.desired.template,
            None => self.stack(&request, no_stack_with_id).await?.desired.template,
        };
        Ok(json!({"TemplateBody": text, "StagesAvailable": ["Original", "Processed"]}))
    }

    /// A template in a request, or of the stack that it names.
    pub(super) async fn template(&self, request: &Request) -> Result<Template, ApiError> {
        let given = body_or_url(request, &self.objects, "Template", LONGEST_BODY)?;
        let text = match (given, request.text("StackName")) {
            (Some(text), _) => text,
            (None, Some(_)) => self.stack(request, no_stack_with_id).await?.desired.template,
            (None, None) => return Err(invalid("Either Template URL or Template Body must be specified.")),
        };
        Ok(Template::parse(&text, Schemas::built_in())?)
    }

    pub(super) async fn get_template_summary(&self, request: Request) -> Result<Value, ApiError> {
        Ok(describe::template_summary(&self.template(&request).await?))
    }

    pub(super) async fn validate_template(&self, request: Request) -> Result<Value, ApiError> {
        Ok(describe::validation(&self.template(&request).await?))
    }
}
