//! The size of a terminal.

use std::os::fd::AsFd;

/// The columns and rows of a terminal. Either can be unknown: `stty cols 80` sets the columns
/// alone.
pub fn size(terminal: impl AsFd) -> (Option<usize>, Option<usize>) {
    let known = |n: u16| (n > 0).then_some(usize::from(n));
    match rustix::termios::tcgetwinsize(terminal) {
        Ok(size) => (known(size.ws_col), known(size.ws_row)),
        Err(_) => (None, None),
    }
}

/// The columns of stderr. `None`: stderr is not a terminal, or its size is unknown.
pub fn stderr_columns() -> Option<usize> {
    size(std::io::stderr()).0
}
