//! A prompt on the terminal.

use std::io::IsTerminal;

use super::{Failure, print_message, sanitize};

/// Whether a prompt is possible: stdin and stderr are terminals.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on the terminal. Any answer but `y` and `yes` is a no.
///
/// # Errors
/// When the terminal cannot be read.
pub async fn ask(question: &str) -> Result<bool, Failure> {
    eprint!("{} [y/N] ", sanitize(question));
    // The answer is read on a thread, so that Ctrl-C is an answer, too.
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await.map_err(std::io::Error::other).flatten();
    let answer = answer.map_err(|e| Failure::failed(format!("reading the answer from the terminal: {e}")))?;
    if !answer.ends_with('\n') {
        print_message("");
    }
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
