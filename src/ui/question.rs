//! A question on the terminal, and Ctrl-C as somebody's answer.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, note};

/// Whether there is somebody to ask: stdin and stderr are a terminal.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on the terminal; anything but `y` and `yes` is a no.
///
/// # Errors
/// When the terminal cannot be read.
pub async fn ask(question: &str) -> Result<bool, Failure> {
    eprint!("{question} [y/N] ");
    // On a thread, so that Ctrl-C is an answer, too.
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await.map_err(std::io::Error::other).flatten();
    let answer = answer.map_err(|e| Failure::failed(format!("reading the answer from the terminal: {e}")))?;
    if !answer.ends_with('\n') {
        note("");
    }
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// How many want to hear of Ctrl-C, and end by themselves.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);

/// While it lives, Ctrl-C ends nothing by itself: whoever has it hears of it, and says what becomes of it.
#[derive(Debug)]
pub struct Interrupts(Signal);

impl Interrupts {
    /// From here on.
    ///
    /// # Errors
    /// When the process can have no signal handler.
    pub fn listen() -> Result<Self, Failure> {
        let signals = signal(SignalKind::interrupt())
            .map_err(|e| Failure::failed(format!("listening for Ctrl-C: {e}")))?;
        LISTENERS.fetch_add(1, Ordering::SeqCst);
        Ok(Self(signals))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        LISTENERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits for a Ctrl-C that nobody [listens](Interrupts) for.
pub async fn interrupted() {
    loop {
        if tokio::signal::ctrl_c().await.is_err() {
            return std::future::pending().await;
        }
        if LISTENERS.load(Ordering::SeqCst) == 0 {
            return;
        }
    }
}
