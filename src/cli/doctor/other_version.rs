//! The versions of other programs `awsb`, as these say themselves.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::cli::path_programs;

/// The time that all programs together have for their answers.
const TIME: Duration = Duration::from_secs(2);
/// At most this many programs are asked.
const MOST_PROGRAMS: usize = 8;
/// The bytes that are read of an answer.
const MOST_BYTES: u64 = 4096;
/// The characters that are shown of an answer. That of an awsb is much shorter.
const MOST_CHARACTERS: usize = 60;

/// The first line of each program's answer to `--version`. `None`: it gave none in time, or was not
/// asked.
///
/// Such a program may be anything. It gets neither the environment, which has secrets, nor more
/// time and memory than an awsb needs, and it and its children are killed afterwards.
pub fn versions(programs: &[&Path]) -> Vec<Option<String>> {
    let asked: Vec<_> = programs.iter().take(MOST_PROGRAMS).map(|program| Question::ask(program)).collect();
    let end = Instant::now() + TIME;
    let unasked = programs.iter().skip(MOST_PROGRAMS).map(|_| None);
    asked.into_iter().map(|question| question?.answer(end)).chain(unasked).collect()
}

/// A program that was asked for its version.
struct Question {
    child: Child,
    line: Receiver<Vec<u8>>,
}

impl Question {
    fn ask(program: &Path) -> Option<Self> {
        let folders = path_programs::folders().into_iter().filter(|folder| folder.is_absolute());
        let mut command = Command::new(program);
        command.arg("--version").env_clear().env("PATH", std::env::join_paths(folders).ok()?);
        if let Some(home) = std::env::var_os("HOME") {
            command.env("HOME", home);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().ok()?;
        let (sender, line) = channel();
        let pipe = child.stdout.take();
        let read = move || {
            let mut line = Vec::new();
            if let Some(pipe) = pipe
                && BufReader::new(pipe.take(MOST_BYTES)).read_until(b'\n', &mut line).is_ok()
            {
                // Nobody listens any more after the time is over.
                let _ = sender.send(line);
            }
        };
        // Without the thread nothing is sent, and the answer is empty at once.
        let _ = std::thread::Builder::new().spawn(read);
        Some(Self { child, line })
    }

    /// The answer, until `end` at most. The program is gone then.
    fn answer(self, end: Instant) -> Option<String> {
        let line = self.line.recv_timeout(end.saturating_duration_since(Instant::now())).ok()?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        let mut shown: String = line.chars().take(MOST_CHARACTERS).collect();
        if shown.len() < line.len() {
            shown.push('…');
        }
        (!shown.is_empty()).then_some(shown)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // The child has not been waited for, so its ID is still its own.
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
        // A program of another user cannot be killed, and is not waited for.
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}
