//! How far an operation on a stack is, by its events. Nothing here calls AWS.

use std::collections::BTreeMap;

use super::events::Event;
use super::status::StackStatus;

/// The reasons of resources that failed only because another one did, or because somebody cancelled
/// the operation. The words are CloudFormation's.
const CANCELLED: [&str; 4] = [
    "Resource creation cancelled",
    "Resource creation Initiated cancelled",
    "Resource update cancelled",
    "Resource deletion cancelled",
];

/// The state of an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    parts: BTreeMap<String, Part>,
    failures: Vec<Event>,
    stack: Option<StackStatus>,
    stack_reason: Option<String>,
}

/// The state of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The event that told its state.
    pub last: Event,
    /// When this step began, in milliseconds since the epoch.
    pub since: i64,
}

impl Part {
    /// Whether something is done with it just now.
    pub fn is_in_progress(&self) -> bool {
        self.last.resource_status.ends_with("_IN_PROGRESS")
    }

    /// The seconds that the step took which has ended.
    pub fn seconds(&self) -> i64 {
        self.last.timestamp.saturating_sub(self.since).max(0) / 1000
    }
}

impl Progress {
    /// Takes the next event. Returns the part that it is about, unless it is about the stack.
    pub fn apply(&mut self, event: Event) -> Option<&Part> {
        if event.is_of_stack {
            self.stack = Some(StackStatus::from(event.resource_status.clone()));
            if event.resource_status_reason.is_some() {
                self.stack_reason = event.resource_status_reason.clone();
            }
            // A stack may fail without a resource, as when its template cannot be processed.
            if is_failure(&event) && self.failures.is_empty() && event.resource_status_reason.is_some() {
                self.failures.push(event);
            }
            return None;
        }
        if is_failure(&event) {
            self.failures.push(event.clone());
        }
        let key = event.logical_resource_id.clone();
        let verb = |status: &str| status.split('_').next().unwrap_or_default().to_owned();
        let since = match self.parts.get(&key) {
            Some(part) if verb(&part.last.resource_status) == verb(&event.resource_status) => part.since,
            _ => event.timestamp,
        };
        self.parts.insert(key.clone(), Part { last: event, since });
        self.parts.get(&key)
    }

    /// The resources with which something is done just now, the oldest step first.
    pub fn in_progress(&self) -> Vec<&Part> {
        let mut parts: Vec<&Part> = self.parts.values().filter(|part| part.is_in_progress()).collect();
        parts.sort_by_key(|part| part.since);
        parts
    }

    /// The number of resources whose step has ended, and of all that have begun one.
    pub fn counts(&self) -> (usize, usize) {
        (self.parts.values().filter(|part| !part.is_in_progress()).count(), self.parts.len())
    }

    /// The state of the stack, once an event has told it.
    pub fn stack_status(&self) -> Option<&StackStatus> {
        self.stack.as_ref()
    }

    /// The state in which the operation has ended. `None`: it goes on.
    pub fn end(&self) -> Option<&StackStatus> {
        self.stack.as_ref().filter(|status| !status.as_str().ends_with("_IN_PROGRESS"))
    }

    /// The event that caused the failure: the first resource that failed for a reason of its own.
    pub fn cause(&self) -> Option<&Event> {
        let mut failures: Vec<&Event> = self.failures.iter().collect();
        failures.sort_by_key(|event| event.timestamp);
        failures.iter().find(|event| !is_cancelled(event)).or(failures.first()).copied()
    }

    /// The resources that are left in a failed state, each with its reason.
    pub fn failed_parts(&self) -> Vec<&Event> {
        let parts = self.parts.values().map(|part| &part.last);
        parts.filter(|event| event.resource_status.ends_with("_FAILED")).collect()
    }

    /// The reason that the stack itself gave last.
    pub fn stack_reason(&self) -> Option<&str> {
        self.stack_reason.as_deref()
    }
}

fn is_failure(event: &Event) -> bool {
    event.resource_status.ends_with("_FAILED")
}

fn is_cancelled(event: &Event) -> bool {
    event.resource_status_reason.as_deref().is_none_or(|reason| CANCELLED.iter().any(|c| reason.contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: i64, id: &str, status: &str, reason: Option<&str>) -> Event {
        Event {
            event_id: format!("{at}-{id}"),
            timestamp: at,
            logical_resource_id: id.into(),
            resource_status: status.into(),
            resource_status_reason: reason.map(str::to_owned),
            is_of_stack: id == "lab",
            ..Event::default()
        }
    }

    fn after(events: &[Event]) -> Progress {
        let mut progress = Progress::default();
        for event in events {
            progress.apply(event.clone());
        }
        progress
    }

    #[test]
    fn the_cause_is_the_first_failure_of_its_own() {
        // CloudFormation cancels what is under way, and may tell that first.
        let progress = after(&[
            event(1, "lab", "CREATE_IN_PROGRESS", Some("User Initiated")),
            event(2, "Bucket", "CREATE_IN_PROGRESS", None),
            event(3, "Environment", "CREATE_IN_PROGRESS", None),
            event(5000, "Bucket", "CREATE_FAILED", Some("Resource creation cancelled")),
            event(4000, "Environment", "CREATE_FAILED", Some("AccessDenied: no")),
            event(6000, "lab", "ROLLBACK_IN_PROGRESS", Some("The following resource(s) failed to create")),
        ]);
        assert_eq!(progress.cause().map(|e| e.logical_resource_id.as_str()), Some("Environment"));
        assert_eq!(progress.end(), None);
        let ended = {
            let mut progress = progress;
            progress.apply(event(7000, "lab", "ROLLBACK_COMPLETE", None));
            progress
        };
        assert_eq!(ended.end().map(StackStatus::as_str), Some("ROLLBACK_COMPLETE"));
    }

    #[test]
    fn a_stack_that_fails_by_itself_is_its_own_cause() {
        let progress = after(&[event(1, "lab", "CREATE_FAILED", Some("no such role"))]);
        assert_eq!(progress.cause().and_then(|e| e.resource_status_reason.as_deref()), Some("no such role"));
    }

    #[test]
    fn a_step_lasts_from_its_first_event() {
        let mut progress = after(&[
            event(1000, "Queue", "CREATE_IN_PROGRESS", None),
            event(2000, "Queue", "CREATE_IN_PROGRESS", Some("Resource creation Initiated")),
            event(2500, "Bucket", "CREATE_IN_PROGRESS", None),
        ]);
        assert_eq!(progress.counts(), (0, 2));
        let names: Vec<&str> =
            progress.in_progress().iter().map(|part| part.last.logical_resource_id.as_str()).collect();
        assert_eq!(names, ["Queue", "Bucket"]);
        let part = progress.apply(event(9000, "Queue", "CREATE_COMPLETE", None)).cloned();
        assert_eq!(part.map(|part| part.seconds()), Some(8));
        // Its removal is another step.
        let part = progress.apply(event(20_000, "Queue", "DELETE_IN_PROGRESS", None)).cloned();
        assert_eq!(part.map(|part| (part.since, part.is_in_progress())), Some((20_000, true)));
    }
}
