//! Lines on stdout.

use jiff::tz::TimeZone;

use crate::logs::Event;
use crate::ui::{Failure, Format, Output, harmless_json, harmless_line, local_rfc3339_ms};

/// What stands before the lines.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// Not even a child's index.
    pub bare: bool,
    /// When each was printed.
    pub timestamps: bool,
}

/// Prints lines: the messages alone (behind a child's index or task, for an array), or an object each.
#[derive(Debug)]
pub struct Printer {
    output: Output,
    style: Style,
    zone: TimeZone,
}

impl Printer {
    /// Lines go to this output.
    pub fn new(output: Output, style: Style) -> Self {
        Self { output, style, zone: TimeZone::system() }
    }

    /// Prints lines; those of an array's children or of nodes behind their index, when they were asked for together.
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
                Format::Json if self.output.is_terminal() => text.push_str(&harmless_json(&json(event)?)),
                Format::Json => text.push_str(&json(event)?),
                Format::Plain => {
                    self.head(event, of_parts, &mut text);
                    match self.output.is_terminal() {
                        true => text.push_str(&harmless_line(&event.message)),
                        false => text.push_str(&event.message),
                    }
                }
            }
            text.push('\n');
        }
        self.output.write(text.as_bytes())
    }

    /// What stands before a line.
    fn head(&self, event: &Event, of_parts: bool, text: &mut String) {
        if self.style.timestamps {
            time(event, &self.zone, text);
        }
        let Some(index) = event.place.part().filter(|_| of_parts && !self.style.bare) else { return };
        if self.output.has_colour() {
            // Neighbours differ; black and white are the terminal's own.
            text.push_str(&format!("\x1b[3{}m", index % 6 + 1));
        }
        // Where a task has an ID of its own, Batch's index stands beside it.
        text.push_str(&match event.place.task {
            Some(task) => format!("{task} (:{index}): "),
            None => format!("{index}: "),
        });
        if self.output.has_colour() {
            text.push_str("\x1b[0m");
        }
    }
}

/// When a line was printed, and a blank.
pub fn time(event: &Event, zone: &TimeZone, text: &mut String) {
    text.push_str(&event.timestamp.map_or_else(|| "-".to_owned(), |at| local_rfc3339_ms(at, zone)));
    text.push(' ');
}

/// A line as JSON.
pub fn json(event: &Event) -> Result<String, Failure> {
    serde_json::to_string(event).map_err(|e| {
        Failure::failed(format!("writing a line of the job {} as JSON: {e}", event.place.job_id))
    })
}
