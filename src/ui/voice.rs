//! What a tool says of its work.

use std::fmt;

use super::note;

/// How a tool speaks on stderr while it works.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    /// Its name, which stands before what it says.
    pub tool: &'static str,
    /// It says nothing but what has gone wrong.
    pub quiet: bool,
}

impl Voice {
    /// Says how the work goes, unless it is to be quiet about it.
    pub fn say(self, text: impl fmt::Display) {
        if !self.quiet {
            self.note(text);
        }
    }

    /// Says what the user has to know in any case.
    pub fn note(self, text: impl fmt::Display) {
        note(format!("{}: {text}", self.tool));
    }
}
