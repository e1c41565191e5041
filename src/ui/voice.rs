//! What a tool says of its work.

use std::fmt;

use super::note;

/// How a tool speaks on stderr while it works.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    /// Its name, which stands before what it says.
    pub tool: &'static str,
    /// It says nothing: errors are all that is told.
    pub quiet: bool,
}

impl Voice {
    /// Says how the work goes, unless it is to be quiet.
    pub fn say(self, text: impl fmt::Display) {
        if !self.quiet {
            note(format!("{}: {text}", self.tool));
        }
    }
}
