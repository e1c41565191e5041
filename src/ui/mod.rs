//! What people and scripts see.
//!
//! Tools make a [`View`] and hand it to [`Output`], which prints it as a table, as `key : value`
//! lines or as JSON; no tool formats by hand. [`Failure`] is the one shape in which an error
//! reaches the user; its [`ErrorKind`] is for code. [`Exit`] lists every exit code.

mod board;
mod cell;
mod error;
mod exit;
mod line;
mod messages;
mod output;
mod progress;
mod question;
mod screen;
mod signal;
mod size;
mod table;
mod text;
mod time;

pub use board::Board;
pub use cell::{Cell, Tone};
pub use error::{ErrorKind, Failure};
pub use exit::Exit;
pub use line::harmless_line;
pub use messages::{Voice, note};
pub use output::{Format, JsonArray, Layout, OpenArray, Output, View};
pub use progress::Progress;
pub use question::{ask, can_ask};
pub use screen::Screen;
pub use signal::{EndSignal, Interrupts, exit_by, ignores_hangup, until_signal};
pub use table::{Column, Gives, Table};
pub use text::{harmless, harmless_json, wrapped};
pub use time::{local_rfc3339, local_rfc3339_ms, local_short, span};

/// The columns of the terminal that stderr is; `None` where it is none.
pub fn stderr_columns() -> Option<usize> {
    size::size(std::io::stderr()).0
}
