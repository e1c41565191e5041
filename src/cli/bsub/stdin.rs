//! The job's standard input: `--stdin`, and the note about a job without one.

use std::fs::File;
use std::io::{self, IsTerminal, Seek};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tempfile::NamedTempFile;

use super::args::Args;
use super::resolved_options::ResolvedOptions;
use crate::stage::one_line;
use crate::ui::{Failure, print_message};
use awsb_model::Program;

/// Whether the name of a file stands for standard input.
pub(super) fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// The file with a job's standard input.
pub(super) enum StdinFile {
    /// The user's own file.
    Own(PathBuf),
    /// A temporary file with the content, which is removed with this value.
    Read(NamedTempFile),
}

impl StdinFile {
    /// The path of the file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Own(path) => path,
            Self::Read(file) => file.path(),
        }
    }
}

impl Args {
    /// The file that `--stdin` names. A source that is not a regular file, such as a pipe, is read
    /// to its end first.
    pub(super) fn stdin(&self, options: &ResolvedOptions) -> Result<Option<StdinFile>, Failure> {
        let Some(file) = &options.stdin else { return Ok(None) };
        let wrong =
            |e: io::Error| Failure::usage(format!("--stdin: reading {}: {}", file.display(), one_line(&e)));
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
        let copying = |e: io::Error| {
            Failure::failed(format!(
                "--stdin: copying {} to a temporary file in {}: {}",
                file.display(),
                std::env::temp_dir().display(),
                one_line(&e)
            ))
        };
        let mut copy = NamedTempFile::with_prefix("awsb-stdin-").map_err(copying)?;
        io::copy(&mut source, &mut copy).map_err(copying)?;
        Ok(Some(StdinFile::Read(copy)))
    }

    /// Whether this command reads the script or the list of tasks from its standard input.
    fn stdin_is_taken(&self, options: &ResolvedOptions) -> bool {
        let mut lines = [&options.each, &options.commands].into_iter().flatten();
        let is_script = self.operands.first().map(|first| is_stdin(Path::new(first)) && !self.command);
        lines.any(|lines| is_stdin(lines))
            || is_script.unwrap_or(self.wrap.is_none() && self.options.commands.is_none())
    }

    /// Whether the user may expect the job to get this command's standard input.
    pub(super) fn may_want_stdin(&self, options: &ResolvedOptions, program: &Program) -> bool {
        !self.stdin_is_taken(options)
            && (has_data()
                || (options.stdin.is_none()
                    && options.interactive
                    && io::stdin().is_terminal()
                    && reads_commands(program)))
    }
}

/// Notes that the job does not get the standard input of this command.
pub(super) fn note_unread(has_another: bool) {
    print_message(if has_another {
        "bsub: note: the job does not get this standard input: its script names a file for that; `--stdin -` sends this one"
    } else if io::stdin().is_terminal() {
        "bsub: note: a job has no terminal, and its standard input is empty; `--stdin FILE` gives it a file"
    } else {
        "bsub: note: the job does not get this standard input; `--stdin -` sends it with the job"
    });
}

/// Whether a command is a program that reads from a terminal if it has no arguments.
fn reads_commands(program: &Program) -> bool {
    const PROGRAMS: [&str; 17] = [
        "sh", "bash", "dash", "zsh", "ksh", "fish", "python", "python3", "ipython", "R", "julia", "octave",
        "node", "irb", "cat", "sqlite3", "gdb",
    ];
    let Program::Command(argv) = program else { return false };
    let [executable] = argv.as_slice() else { return false };
    let name = Path::new(executable).file_name().unwrap_or_default();
    PROGRAMS.iter().any(|program| name.as_bytes() == program.as_bytes())
}

/// Whether standard input has unread data: it is a file at its beginning, or a pipe with data. A
/// loop (`while read …`) has read a part of its file already when it starts this command.
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
