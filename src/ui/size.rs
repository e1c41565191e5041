//! How large a terminal is.

use std::os::fd::AsFd;

/// The columns and rows of a terminal; either may not be known. (A terminal that was told one of them alone, as by
/// `stty cols 80`, has none of the other.)
pub fn size(terminal: impl AsFd) -> (Option<usize>, Option<usize>) {
    let known = |n: u16| (n > 0).then_some(usize::from(n));
    match rustix::termios::tcgetwinsize(terminal) {
        Ok(size) => (known(size.ws_col), known(size.ws_row)),
        Err(_) => (None, None),
    }
}
