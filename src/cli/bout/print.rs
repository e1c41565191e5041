//! Lines on stdout.

use jiff::tz::TimeZone;

use crate::logs::Event;
use crate::ui::{Failure, Format, Output, local_rfc3339_ms, sanitize_json, sanitize_line};

/// The text before a line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// Leave out the index of a child and the name of a container.
    pub bare: bool,
    /// All lines are of containers with one name, which is left out.
    pub one_container: bool,
    /// Add the time at which the line was printed.
    pub timestamps: bool,
}

impl Style {
    /// Adds the name of the container, in a job of several.
    pub fn push_container(self, event: &Event, text: &mut String) {
        if let Some(container) = event.stream.container.as_ref().filter(|_| !self.bare && !self.one_container)
        {
            text.push_str(container);
            text.push_str(": ");
        }
    }
}

/// Prints lines: the messages alone (behind a child's index or task, for an array), or an object
/// each.
#[derive(Debug)]
pub struct Printer {
    output: Output,
    style: Style,
    zone: TimeZone,
}

impl Printer {
    /// A printer for this output.
    pub fn new(output: Output, style: Style) -> Self {
        Self { output, style, zone: TimeZone::system() }
    }

    /// Prints lines. With `of_parts`, each line of a child or a node begins with its index. A line
    /// of one of several containers begins with the container's name.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn print(&self, events: &[Event], of_parts: bool) -> Result<(), Failure> {
        if events.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for event in events {
            match self.output.format() {
                Format::Json if self.output.is_terminal() => text.push_str(&sanitize_json(&json(event)?)),
                Format::Json => text.push_str(&json(event)?),
                Format::Plain => {
                    self.prefix(event, of_parts, &mut text);
                    match self.output.is_terminal() {
                        true => text.push_str(&sanitize_line(&event.message)),
                        false => text.push_str(&event.message),
                    }
                }
            }
            text.push('\n');
        }
        self.output.write(text.as_bytes())
    }

    /// The text before a line.
    fn prefix(&self, event: &Event, of_parts: bool, text: &mut String) {
        if self.style.timestamps {
            time(event, &self.zone, text);
        }
        if self.style.bare {
            return;
        }
        if let Some(index) = event.stream.part().filter(|_| of_parts) {
            self.index(index, event.stream.task, text);
        }
        self.style.push_container(event, text);
    }

    /// The index of a child or a node before a line.
    fn index(&self, index: u32, task: Option<u32>, text: &mut String) {
        if self.output.has_colour() {
            // Neighbours differ. Black and white are left to the terminal.
            text.push_str(&format!("\x1b[3{}m", index % 6 + 1));
        }
        // A task with an ID of its own has the index of Batch beside it.
        text.push_str(&match task {
            Some(task) => format!("{task} (:{index}): "),
            None => format!("{index}: "),
        });
        if self.output.has_colour() {
            text.push_str("\x1b[0m");
        }
    }
}

/// Adds the time at which a line was printed, and a blank.
pub fn time(event: &Event, zone: &TimeZone, text: &mut String) {
    text.push_str(&event.timestamp.map_or_else(|| "-".to_owned(), |at| local_rfc3339_ms(at, zone)));
    text.push(' ');
}

/// A line as JSON.
pub fn json(event: &Event) -> Result<String, Failure> {
    serde_json::to_string(event).map_err(|e| {
        Failure::failed(format!("writing a line of the job {} as JSON: {e}", event.stream.job_id))
    })
}
