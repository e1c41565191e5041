//! The output for people and for scripts.
//!
//! Tools make a [`View`] and pass it to [`Output`], which prints it as a table, as `key : value`
//! lines or as JSON; no tool formats by hand. [`Failure`] is the one shape in which an error
//! reaches the user; its [`ErrorKind`] is for code. [`Exit`] lists every exit code.

mod cell;
mod error;
mod exit;
mod live_view;
mod messages;
mod output;
mod progress;
mod prompt;
mod sanitize;
mod signal;
mod status_lines;
mod table;
mod terminal;
mod text_width;
mod time;

pub use cell::{Cell, Tone};
pub use error::{ErrorKind, Failure};
pub use exit::Exit;
pub use live_view::LiveView;
pub use messages::{Reporter, print_message, print_output_of_program};
pub use output::{Format, JsonArray, Layout, OpenArray, Output, View, stdout_failure};
pub use progress::ProgressBar;
pub use prompt::{ask, can_ask};
pub use sanitize::{sanitize, sanitize_json, sanitize_line};
pub use signal::{
    EndSignal, SignalListener, exit_by, hide_ignored_signals, ignored_signals, ignores_hangup,
    receive_child_signal, until_signal,
};
pub use status_lines::StatusLines;
pub use table::{Column, Table, Truncate};
pub use terminal::{stderr_columns, stdout_may_be_closed};
pub use text_width::wrapped;
pub use time::{local_rfc3339, local_rfc3339_ms, local_short, span};
