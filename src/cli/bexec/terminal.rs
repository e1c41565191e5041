//! The terminal of the user, while a command in a job has it.

use std::io::{IsTerminal, stderr, stdin, stdout};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use awsb_model::session_frames::{SessionTerminal, WindowSize};

/// The size of a terminal whose size is not known.
const DEFAULT: WindowSize = WindowSize { columns: 80, rows: 24 };

/// The terminal for a command: where standard input and output are one, or where the user wants
/// one.
pub fn for_command(asked: Option<bool>) -> Option<SessionTerminal> {
    let has_one = asked.unwrap_or_else(|| stdin().is_terminal() && stdout().is_terminal());
    has_one.then(|| {
        let kind = std::env::var("TERM").ok().filter(|kind| !kind.is_empty());
        SessionTerminal { kind: kind.unwrap_or_else(|| "dumb".to_owned()), size: size() }
    })
}

/// The size of the user's terminal.
pub fn size() -> WindowSize {
    let found = tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin())).or_else(|_| tcgetwinsize(stderr()));
    match found {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            WindowSize { columns: size.ws_col, rows: size.ws_row }
        }
        _ => DEFAULT,
    }
}

/// The terminal passes on each key as it is, until this is dropped: Ctrl-C is a key then.
#[derive(Debug)]
pub struct RawMode(Termios);

impl RawMode {
    /// `None` where standard input is not a terminal.
    pub fn set() -> Option<Self> {
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone has no modes any more.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}
