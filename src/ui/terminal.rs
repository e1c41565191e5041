//! The size of a terminal.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// The columns and rows of a terminal. Either can be unknown: `stty cols 80` sets the columns
/// alone.
pub fn size(terminal: impl AsFd) -> (Option<usize>, Option<usize>) {
    let known = |n: u16| (n > 0).then_some(usize::from(n));
    match rustix::termios::tcgetwinsize(terminal) {
        Ok(size) => (known(size.ws_col), known(size.ws_row)),
        Err(_) => (None, None),
    }
}

/// Whether standard output may have been closed when the process began (`>&-`). Rust opens
/// /dev/null for reading and writing in its place, before `main`. A shell's `>/dev/null` opens it
/// for writing alone; some programs that start others open it in the same way as Rust.
pub fn stdout_may_be_closed() -> bool {
    let may_be = || -> std::io::Result<bool> {
        let stdout = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
        let (found, null) = (stdout.metadata()?, std::fs::metadata("/dev/null")?);
        if !found.file_type().is_char_device() || found.rdev() != null.rdev() {
            return Ok(false);
        }
        let flags = OFlag::from_bits_truncate(fcntl(&stdout, FcntlArg::F_GETFL)?);
        Ok(flags & OFlag::O_ACCMODE == OFlag::O_RDWR)
    };
    may_be().unwrap_or(false)
}

/// The columns of stderr. `None`: stderr is not a terminal, or its size is unknown.
pub fn stderr_columns() -> Option<usize> {
    size(std::io::stderr()).0
}
