//! The server's end of a connection to a runner.

use std::io;
use std::os::unix::net::UnixStream;

use super::protocol::{Order, write_line};

/// A connection to a runner.
#[derive(Debug)]
pub struct Link {
    /// Distinguishes this connection from an earlier one of the same runner.
    pub number: u64,
    stream: UnixStream,
}

impl Link {
    /// The connection with this number over a stream.
    pub fn new(number: u64, stream: UnixStream) -> Self {
        Self { number, stream }
    }

    /// Sends an order to the runner.
    ///
    /// # Errors
    /// When the runner is gone, or has not read for ten seconds.
    pub fn send(&mut self, order: &Order) -> io::Result<()> {
        write_line(&mut self.stream, order)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The thread that reads from the runner ends with this.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}
