//! The job's standard input: `--stdin`, and what is said where it has none.

use std::fs::File;
use std::io::{self, IsTerminal, Seek};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tempfile::NamedTempFile;

use super::Args;
use super::payload::{is_stdin, reason};
use super::resolved_options::ResolvedOptions;
use crate::ui::{Failure, note};
use awsb_model::Work;

/// The file with a job's standard input.
pub(super) enum StdinFile {
    /// The user's.
    Own(PathBuf),
    /// One into which it was read, which goes with this value.
    Read(NamedTempFile),
}

impl StdinFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Own(path) => path,
            Self::Read(file) => file.path(),
        }
    }
}

impl Args {
    /// The file that `--stdin` names. What is no regular file, such as a pipe, is read to its end
    /// first.
    pub(super) fn stdin(&self, options: &ResolvedOptions) -> Result<Option<StdinFile>, Failure> {
        let Some(file) = &options.stdin else { return Ok(None) };
        let wrong =
            |e: io::Error| Failure::usage(format!("--stdin: reading {}: {}", file.display(), reason(&e)));
        let mut source: Box<dyn io::Read> = if is_stdin(file) {
            if self.stdin_is_taken(options) {
                return Err(Failure::usage(
                    "--stdin -: standard input is already the script or the list of tasks",
                )
                .hint("`--stdin FILE` reads a file"));
            }
            Box::new(io::stdin().lock())
        } else {
            let found = std::fs::metadata(file).map_err(wrong)?;
            if found.is_file() {
                return Ok(Some(StdinFile::Own(file.clone())));
            }
            if found.is_dir() {
                return Err(Failure::usage(format!("--stdin: {} is a directory", file.display())));
            }
            Box::new(File::open(file).map_err(wrong)?)
        };
        let keeping = |e: io::Error| {
            Failure::failed(format!(
                "--stdin: copying {} to a temporary file in {}: {}",
                file.display(),
                std::env::temp_dir().display(),
                reason(&e)
            ))
        };
        let mut kept = NamedTempFile::with_prefix("awsb-stdin-").map_err(keeping)?;
        io::copy(&mut source, &mut kept).map_err(keeping)?;
        Ok(Some(StdinFile::Read(kept)))
    }

    /// Whether this command reads its standard input itself: the script, or the list of the tasks.
    fn stdin_is_taken(&self, options: &ResolvedOptions) -> bool {
        let mut lines = [&options.each, &options.commands].into_iter().flatten();
        let is_script = self.operands.first().map(|first| is_stdin(Path::new(first)) && !self.command);
        lines.any(|lines| is_stdin(lines))
            || is_script.unwrap_or(self.wrap.is_none() && self.options.commands.is_none())
    }

    /// Whether a job without a standard input could be meant to have this command's own.
    pub(super) fn may_want_stdin(&self, options: &ResolvedOptions, work: &Work) -> bool {
        !self.stdin_is_taken(options)
            && (has_data()
                || (options.stdin.is_none()
                    && options.interactive
                    && io::stdin().is_terminal()
                    && reads_commands(work)))
    }
}

/// Says that the job has nothing on its standard input, or has another one than this command.
pub(super) fn note_unread(has_another: bool) {
    note(if has_another {
        "bsub: note: the job does not get this standard input: its script names a file for that; `--stdin -` sends this one"
    } else if io::stdin().is_terminal() {
        "bsub: note: a job has no terminal, and its standard input is empty; `--stdin FILE` gives it a file"
    } else {
        "bsub: note: the job does not get this standard input; `--stdin -` sends it with the job"
    });
}

/// Programs that read from a terminal when they are given nothing to do.
fn reads_commands(work: &Work) -> bool {
    const PROGRAMS: [&str; 17] = [
        "sh", "bash", "dash", "zsh", "ksh", "fish", "python", "python3", "ipython", "R", "julia", "octave",
        "node", "irb", "cat", "sqlite3", "gdb",
    ];
    let Work::Command(argv) = work else { return false };
    let [program] = argv.as_slice() else { return false };
    let name = Path::new(program).file_name().unwrap_or_default();
    PROGRAMS.iter().any(|known| name.as_bytes() == known.as_bytes())
}

/// Whether standard input has something to read now that nobody has begun to read: a file at its
/// beginning, or a pipe. A loop (`while read …`) has read a part of its file when it comes here.
fn has_data() -> bool {
    let Ok(mut file) = io::stdin().as_fd().try_clone_to_owned().map(File::from) else { return false };
    let Ok(found) = file.metadata() else { return false };
    if found.is_file() {
        return found.len() > 0 && file.stream_position().is_ok_and(|at| at == 0);
    }
    if !found.file_type().is_fifo() && !found.file_type().is_socket() {
        return false;
    }
    let mut polled = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    let answered = poll(&mut polled, PollTimeout::ZERO).is_ok_and(|count| count > 0);
    answered && polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN))
}
