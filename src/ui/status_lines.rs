//! Status lines at the bottom of the terminal, which change in place.

use std::collections::HashMap;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use super::progress::bars;
use super::sanitize::sanitize;

/// The status of several concurrent tasks, a line each at the bottom of the terminal. Without a
/// terminal nothing is shown. A message of [`print_message`](super::print_message) appears above
/// the lines.
#[derive(Debug, Default)]
pub struct StatusLines {
    on_terminal: bool,
    lines: HashMap<String, ProgressBar>,
}

impl StatusLines {
    /// No lines yet.
    pub fn new() -> Self {
        Self { on_terminal: std::io::stderr().is_terminal(), lines: HashMap::new() }
    }

    /// Whether the lines are visible.
    pub fn is_visible(&self) -> bool {
        self.on_terminal
    }

    /// Sets the text of the line `key`. A new line is added below the others.
    pub fn set(&mut self, key: &str, text: &str) {
        if !self.on_terminal {
            return;
        }
        if let Some(line) = self.lines.get(key) {
            line.set_message(sanitize(text).into_owned());
            return;
        }
        // A line that is wider than the terminal is truncated.
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            let line = bars().add(ProgressBar::new_spinner().with_style(style));
            line.set_message(sanitize(text).into_owned());
            self.lines.insert(key.to_owned(), line);
        }
    }

    /// Removes a line.
    pub fn remove(&mut self, key: &str) {
        if let Some(line) = self.lines.remove(key) {
            line.finish_and_clear();
            bars().remove(&line);
        }
    }

    /// Removes all lines.
    pub fn clear(&mut self) {
        for (_, line) in self.lines.drain() {
            line.finish_and_clear();
            bars().remove(&line);
        }
    }
}

impl Drop for StatusLines {
    fn drop(&mut self) {
        self.clear();
    }
}
