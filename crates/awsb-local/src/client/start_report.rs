//! The report of a server in the background to the process that has started it: a JSON object a
//! line, over its standard output, which it closes once it serves.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::ChildStdout;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use crate::error::LocalError;

/// The most that is read, in bytes.
const MAX_LENGTH: u64 = 256 * 1024;

/// A line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StartLine {
    /// A loss that the server has found.
    Warning(String),
    /// Why the server cannot start.
    Failure {
        /// The message, in one line.
        message: String,
        /// The next steps for the user, one on each line.
        hints: Vec<String>,
    },
}

impl From<&LocalError> for StartLine {
    fn from(e: &LocalError) -> Self {
        let in_a_line = |text: &str| text.replace('\n', " ");
        let hints = e.hints().iter().map(|hint| in_a_line(hint)).collect();
        Self::Failure { message: in_a_line(e.message()), hints }
    }
}

/// Writes a line. The process that has started this one may be gone.
pub fn write(line: &StartLine) {
    let _ = crate::runner::protocol::write_line(&mut io::stdout(), line);
}

/// Reads the report until the server has closed it, or the deadline has passed.
pub fn read(mut stdout: ChildStdout, deadline: Instant) -> Vec<StartLine> {
    let mut text = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut ready = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, timeout) {
            Ok(0) => break,
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => break,
        }
        let mut bytes = [0; 4096];
        match stdout.read(&mut bytes) {
            Ok(n) if n > 0 && (text.len() as u64) < MAX_LENGTH => text.extend_from_slice(&bytes[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    text.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}
