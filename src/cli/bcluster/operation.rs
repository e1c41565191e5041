//! Shows an operation on a stack while it is followed, and says how it has ended.

use std::time::Instant;

use super::tool::TOOL;
use crate::aws::{ResilientSession, Session};
use crate::cloud::{self, Cause, Part, Progress, StackStatus, Watch, kind};
use crate::ui::{self, EndSignal, Exit, Failure, SignalListener, StatusLines, print_message, span};

/// At most this many resources that are under way have a line on a terminal.
const MAX_LINES: usize = 8;

/// The end of an operation that was followed.
pub(super) enum Outcome {
    /// The stack is at rest.
    Ended(StackStatus, Progress),
    /// A signal came first. AWS goes on.
    Interrupted(EndSignal),
}

/// Follows an operation to its end. On a terminal, the resources that are under way have a line
/// each; a resource that is done is a line that stays.
///
/// # Errors
/// When contact is lost for good.
pub(super) async fn follow(contact: &mut ResilientSession, watch: &mut Watch) -> Result<Outcome, Failure> {
    follow_with(contact, watch, |_| Some("kept")).await
}

/// The same with words of its own for a resource, by its type, that CloudFormation has left alone.
/// `None`: such a resource has no line.
///
/// # Errors
/// As [`follow`].
pub(super) async fn follow_with(
    contact: &mut ResilientSession,
    watch: &mut Watch,
    skipped: impl Fn(&str) -> Option<&'static str>,
) -> Result<Outcome, Failure> {
    let mut view = View::new(skipped);
    let mut progress = Progress::default();
    let mut signals = SignalListener::listen();
    let outcome = {
        let followed = cloud::follow(contact, watch, &mut progress, |progress, part| {
            view.update(progress, part);
            Ok(())
        });
        tokio::select! {
            biased;
            status = followed => Ok(status?),
            signal = signals.next() => Err(signal),
        }
    };
    drop(view);
    Ok(match outcome {
        Ok(status) => Outcome::Ended(status, progress),
        Err(signal) => Outcome::Interrupted(signal),
    })
}

/// Says that AWS goes on after a signal.
pub(super) fn interrupted(signal: EndSignal, name: &str, doing: &str) -> Exit {
    print_message(format!(
        "{TOOL}: {signal}; AWS goes on {doing} the cluster {name}\nhint: `bcluster show {name} --wait` follows it"
    ));
    Exit::Interrupted(signal)
}

/// The failure of an operation, such as `creating the cluster lab`, by its cause.
pub(super) fn failure(session: &Session, doing: &str, status: &StackStatus, progress: &Progress) -> Failure {
    match progress.cause() {
        Some(event) => Cause::of(event).failure(doing).map_hints(|hint| session.advice(hint)),
        None => Failure::failed(format!("{doing}: the stack is {status}")),
    }
}

/// The lines of an operation.
struct View<S> {
    lines: StatusLines,
    shown: Vec<String>,
    begun: Instant,
    has_failed: bool,
    /// The word for a resource that is left alone.
    skipped: S,
}

impl<S: Fn(&str) -> Option<&'static str>> View<S> {
    fn new(skipped: S) -> Self {
        Self {
            lines: StatusLines::new(),
            shown: Vec::new(),
            begun: Instant::now(),
            has_failed: false,
            skipped,
        }
    }

    fn update(&mut self, progress: &Progress, part: Option<&Part>) {
        if let Some(part) = part {
            self.report(progress, part);
        }
        self.draw(progress);
    }

    /// Prints a line for a resource whose step has ended.
    fn report(&mut self, progress: &Progress, part: &Part) {
        let event = &part.last;
        let what = format!("{} {}", kind(&event.resource_type), event.logical_resource_id);
        let step = event.resource_status.as_str();
        let time = match part.seconds() {
            0..=2 => String::new(),
            seconds => format!(" ({})", span(seconds * 1000)),
        };
        let done = match step {
            "CREATE_COMPLETE" => "created",
            "UPDATE_COMPLETE" => "updated",
            "DELETE_COMPLETE" => "deleted",
            "DELETE_SKIPPED" => match (self.skipped)(&event.resource_type) {
                Some(word) => word,
                None => return,
            },
            "IMPORT_COMPLETE" => "taken over",
            _ if step.ends_with("_FAILED") => {
                // A resource that failed because another one did is not reported.
                let is_cause = progress.cause().is_some_and(|cause| cause.event_id == event.event_id);
                if is_cause && !self.has_failed {
                    self.has_failed = true;
                    print_message(format!("{TOOL}: failed: {what}: {}", Cause::of(event).reason));
                }
                return;
            }
            _ => return,
        };
        print_message(format!("{TOOL}: {done} {what}{time}"));
    }

    /// Draws the lines of what is under way.
    fn draw(&mut self, progress: &Progress) {
        if !self.lines.is_visible() {
            return;
        }
        let now = jiff::Timestamp::now().as_millisecond();
        let parts = progress.in_progress();
        let mut wanted: Vec<(String, String)> = parts
            .iter()
            .take(MAX_LINES)
            .map(|part| {
                let event = &part.last;
                let verb = match event.resource_status.split('_').next() {
                    Some("DELETE") => "deleting",
                    Some("UPDATE") => "updating",
                    _ => "creating",
                };
                let seconds = span(now.saturating_sub(part.since));
                let text = format!(
                    "  {verb} {} {}  {seconds}",
                    kind(&event.resource_type),
                    event.logical_resource_id
                );
                (event.logical_resource_id.clone(), text)
            })
            .collect();
        let (done, all) = progress.counts();
        let status = progress.stack_status().map_or("", StackStatus::as_str);
        let elapsed = span(i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX));
        // Logical IDs are letters and digits, so no resource has this key.
        wanted.push(("-".to_owned(), format!("{status}: {done} of {all} resources, {elapsed}")));
        let keys: Vec<String> = wanted.iter().map(|(key, _)| key.clone()).collect();
        for key in std::mem::take(&mut self.shown) {
            if !keys.contains(&key) {
                self.lines.remove(&key);
            }
        }
        for (key, text) in &wanted {
            self.lines.set(key, text);
        }
        self.shown = keys;
    }
}

/// Asks a question before something is changed. Ctrl-C is a no.
///
/// # Errors
/// When the terminal cannot be read.
pub(super) async fn confirm(question: &str) -> Result<bool, Failure> {
    let mut signals = SignalListener::listen();
    tokio::select! {
        biased;
        answer = ui::ask(question) => answer,
        _ = signals.next_during_prompt() => {
            print_message("");
            Ok(false)
        }
    }
}

/// Fails if nobody can be asked and `--yes` is not given.
///
/// # Errors
/// As said.
pub(super) fn check_can_ask(yes: bool, what: &str, shows: &str) -> Result<(), Failure> {
    if yes || ui::can_ask() {
        return Ok(());
    }
    Err(Failure::usage(format!("refusing to {what} without asking: standard input is not a terminal"))
        .hint(format!("`--yes` does it without asking, and {shows}")))
}
