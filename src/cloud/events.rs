//! The events of a stack, read as they come.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_cloudformation::types::StackEvent;
use serde::Serialize;
use tokio::time::Instant;

use crate::aws::{ResilientSession, Session, explain, is_missing_stack, next_page};
use crate::ui::Failure;

/// At most one call is made in this time while a stack is followed.
const INTERVAL: Duration = Duration::from_secs(2);
/// The same where calls cost nothing: on this machine.
const NEAR_INTERVAL: Duration = Duration::from_millis(100);

/// An event of a stack (API `StackEvent`). It is serialised under AWS's field names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its ID.
    pub event_id: String,
    /// Its time in milliseconds since the epoch.
    pub timestamp: i64,
    /// The resource's name in the template; the stack's name for the stack itself.
    pub logical_resource_id: String,
    /// The resource's name or ID in AWS.
    pub physical_resource_id: Option<String>,
    /// Such as `AWS::Batch::JobQueue`.
    pub resource_type: String,
    /// Such as `CREATE_IN_PROGRESS`.
    pub resource_status: String,
    /// The reason for this state; AWS may leave it out.
    pub resource_status_reason: Option<String>,
    /// The token of the call that began the operation.
    pub client_request_token: Option<String>,
    /// Whether this is an event of the stack itself.
    #[serde(skip)]
    pub is_of_stack: bool,
}

impl From<StackEvent> for Event {
    fn from(event: StackEvent) -> Self {
        let is_of_stack = event.physical_resource_id == event.stack_id && event.stack_id.is_some();
        Self {
            event_id: event.event_id.unwrap_or_default(),
            timestamp: event.timestamp.and_then(|time| time.to_millis().ok()).unwrap_or_default(),
            logical_resource_id: event.logical_resource_id.unwrap_or_default(),
            physical_resource_id: event.physical_resource_id.filter(|id| !id.is_empty()),
            resource_type: event.resource_type.unwrap_or_default(),
            resource_status: event.resource_status.map_or_else(String::new, |s| s.as_str().to_owned()),
            resource_status_reason: event.resource_status_reason.filter(|reason| !reason.is_empty()),
            client_request_token: event.client_request_token,
            is_of_stack,
        }
    }
}

/// The newest event of a stack (name or ID): the mark behind which the events of a new operation
/// begin.
///
/// # Errors
/// When CloudFormation cannot be asked or has no such stack.
pub async fn newest(session: &Session, stack: &str) -> Result<Option<String>, Failure> {
    Ok(page(session, stack, None).await?.0.into_iter().next().map(|event| event.event_id))
}

/// The event before the operation that a stack carries out just now, or has carried out last.
/// `None`: the operation is the stack's first one. The events are in the order of time.
pub fn mark_of_operation(events: &[Event]) -> Option<String> {
    // The first event of an operation is one of the stack (User Guide, `View stack event history`).
    const BEGIN: [&str; 4] =
        ["CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS"];
    let is_begin = |event: &Event| event.is_of_stack && BEGIN.contains(&event.resource_status.as_str());
    let begin = events.iter().rposition(is_begin)?;
    begin.checked_sub(1).and_then(|before| events.get(before)).map(|event| event.event_id.clone())
}

/// All events of a stack (name or ID) that CloudFormation keeps, the oldest first.
///
/// # Errors
/// When CloudFormation cannot be asked or has no such stack.
pub async fn all(session: &Session, stack: &str) -> Result<Vec<Event>, Failure> {
    let (mut events, mut token) = (Vec::new(), None);
    loop {
        let (more, next) = page(session, stack, token).await?;
        events.extend(more);
        token = next;
        if token.is_none() {
            events.reverse();
            return Ok(events);
        }
    }
}

/// A page of events, the newest first, and the token of the page before it in time.
async fn page(
    session: &Session,
    stack: &str,
    token: Option<String>,
) -> Result<(Vec<Event>, Option<String>), Failure> {
    let call = session.cloudformation.describe_stack_events().stack_name(stack).set_next_token(token.clone());
    match call.send().await {
        Ok(answer) => {
            let events = answer.stack_events.unwrap_or_default().into_iter().map(Event::from).collect();
            let next = next_page(token.as_deref(), answer.next_token);
            let next =
                next.map_err(|e| Failure::failed(format!("reading the events of the stack {stack}: {e}")))?;
            Ok((events, next))
        }
        // A stack that has been deleted may be forgotten.
        Err(e) if is_missing_stack(&e) => Ok((Vec::new(), None)),
        Err(e) => Err(explain(session, &format!("reading the events of the stack {stack}"), &e)),
    }
}

/// The events of a stack as they come, with at most one call in two seconds.
#[derive(Debug)]
pub struct Watch {
    stack: String,
    mark: Option<String>,
    seen: HashSet<String>,
    last_call: Option<Instant>,
}

impl Watch {
    /// The events of the stack with this ID that come behind the event `mark`; all of them without
    /// a mark.
    pub fn new(stack_id: &str, mark: Option<String>) -> Self {
        Self { stack: stack_id.to_owned(), mark, seen: HashSet::new(), last_call: None }
    }

    /// The ID of the stack.
    pub fn stack(&self) -> &str {
        &self.stack
    }

    /// The events since the last time, the oldest first. There may be none. The first call is made
    /// at once, and each other one two seconds after the one before it.
    ///
    /// # Errors
    /// When contact is lost for good.
    pub async fn next(&mut self, contact: &mut ResilientSession) -> Result<Vec<Event>, Failure> {
        let (mut new, mut token) = (Vec::new(), None);
        loop {
            self.wait(contact.session()).await;
            let (stack, asked) = (self.stack.clone(), token.clone());
            let (events, next) =
                contact.keep(async |session| page(session, &stack, asked.clone()).await).await?;
            self.last_call = Some(Instant::now());
            let mut reached = false;
            for event in events {
                if self.mark.as_ref() == Some(&event.event_id) || self.seen.contains(&event.event_id) {
                    reached = true;
                    break;
                }
                new.push(event);
            }
            token = next;
            if reached || token.is_none() {
                break;
            }
        }
        new.reverse();
        self.seen.extend(new.iter().map(|event| event.event_id.clone()));
        Ok(new)
    }

    /// Waits until a call may be made.
    pub async fn wait(&self, session: &Session) {
        let interval = if session.is_near() { NEAR_INTERVAL } else { INTERVAL };
        if let Some(last) = self.last_call {
            tokio::time::sleep_until(last + interval).await;
        }
    }

    /// Records that another call than one for events was made for this stack.
    pub fn called(&mut self) {
        self.last_call = Some(Instant::now());
    }
}
