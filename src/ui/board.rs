//! Lines that change in place: on a terminal, on stderr.

use std::collections::HashMap;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use super::progress::bars;
use super::text::harmless;

/// What several things do at the same time, a line for each at the bottom of the terminal. Where there is no terminal
/// there is nothing to see. What is [noted](super::note) goes above.
#[derive(Debug, Default)]
pub struct Board {
    on_terminal: bool,
    lines: HashMap<String, ProgressBar>,
}

impl Board {
    /// An empty one.
    pub fn new() -> Self {
        Self { on_terminal: std::io::stderr().is_terminal(), lines: HashMap::new() }
    }

    /// Whether it can be seen.
    pub fn is_seen(&self) -> bool {
        self.on_terminal
    }

    /// Has the line of `key` say this; a new one comes below the others.
    pub fn set(&mut self, key: &str, text: &str) {
        if !self.on_terminal {
            return;
        }
        if let Some(line) = self.lines.get(key) {
            line.set_message(harmless(text).into_owned());
            return;
        }
        // A line that is wider than the terminal is cut.
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            let line = bars().add(ProgressBar::new_spinner().with_style(style));
            line.set_message(harmless(text).into_owned());
            self.lines.insert(key.to_owned(), line);
        }
    }

    /// Takes a line away.
    pub fn remove(&mut self, key: &str) {
        if let Some(line) = self.lines.remove(key) {
            line.finish_and_clear();
            bars().remove(&line);
        }
    }

    /// Takes all lines away.
    pub fn clear(&mut self) {
        for (_, line) in self.lines.drain() {
            line.finish_and_clear();
            bars().remove(&line);
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.clear();
    }
}
