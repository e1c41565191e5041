//! The program of a job: a script, a command, a shell command line, or the script on standard
//! input.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::args::Args;
use super::options::Options;
use super::resolved_options::ResolvedOptions;
use super::stdin::is_stdin;
use super::{option_sources, pty, remarks};
use crate::config;
use crate::stage::one_line;
use crate::ui::{Failure, print_message};
use awsb_model::directives::may_be_for_lsf;
use awsb_model::payload::launcher::quote;
use awsb_model::{
    ArrayLimit, BYTE_ORDER_MARK, Directives, Invalid, JobName, LineUse, PartialLines, Program, Script,
    TaskLines, limits,
};

/// The program of a job, with everything that its script says about the job.
pub(super) struct Invocation {
    /// The name that the job has by default.
    pub name: JobName,
    /// The script or command that the job runs.
    pub program: Program,
    /// The options of the script's directives.
    pub options: Options,
    /// The directives themselves.
    pub directives: Directives,
}

impl Args {
    /// Reads the program of the job, and its directives.
    pub(super) fn invocation(&self) -> Result<Invocation, Failure> {
        let (name, program) = self.read_program()?;
        let Program::Script { script, .. } = &program else {
            let (options, directives) = (Options::default(), Directives::default());
            return Ok(Invocation { name, program, options, directives });
        };
        let contents = script.contents();
        let lsf_unit = if may_be_for_lsf(contents) { config::lsf_unit()? } else { None };
        let directives = Directives::read_with(contents, lsf_unit);
        let file = script.file_name();
        let options =
            option_sources::by_directives(&directives, file, &self.options, self.strict, self.quiet)?;
        Ok(Invocation { name, program, options, directives })
    }

    /// The script or command that the job runs, and the default name of the job.
    fn read_program(&self) -> Result<(JobName, Program), Failure> {
        if self.pty {
            return pty::program(&self.operands);
        }
        if let Some(file) = &self.options.commands {
            if self.wrap.is_some() || !self.operands.is_empty() {
                let file = file.display();
                return Err(Failure::usage(format!(
                    "--commands {file} cannot be used with a command or a script: the file has the commands"
                )));
            }
            let name = if is_stdin(file) {
                "STDIN".into()
            } else {
                file.file_name().unwrap_or_default().to_string_lossy()
            };
            // The launcher replaces this command by the line.
            return Ok((JobName::cleaned(&name), Program::Command(vec!["/bin/sh".into()])));
        }
        if let Some(line) = &self.wrap {
            if !self.operands.is_empty() {
                let rest = self.operands.join(OsStr::new(" "));
                let all = [line.as_os_str(), &rest].join(OsStr::new(" "));
                return Err(Failure::usage(format!(
                    "--wrap takes the command line as one word, and `{}` comes after it",
                    rest.display()
                ))
                .hint(format!("quote the command line: bsub --wrap {}", quote(&all).display())));
            }
            if line.as_bytes().trim_ascii().is_empty() {
                return Err(Failure::usage("the command line of `--wrap` is empty"));
            }
            if self.options.each.is_some() && line.to_string_lossy().contains("{}") {
                return Err(Failure::usage(
                    "--wrap with --each: the shell would interpret the line that replaces `{}`",
                )
                .hint(
                    "write `\"$AWSB_TASK_LINE\"` instead of `{}`: it holds the line, whatever the line \
                       contains",
                ));
            }
            let argv = vec!["/bin/sh".into(), "-c".into(), line.clone()];
            return Ok((JobName::cleaned("wrap"), Program::Command(argv)));
        }
        let Some((first, rest)) = self.operands.split_first() else { return self.script_on_stdin(&[]) };
        if first.is_empty() {
            return Err(Failure::usage("the first operand is empty; it has to be a script or a command"));
        }
        let path = Path::new(first);
        if is_stdin(path) && !self.command {
            return self.script_on_stdin(rest);
        }
        let name = JobName::cleaned(&path.file_name().unwrap_or(first).to_string_lossy());
        if self.script || (!self.command && is_script(path)?) {
            let shown = path.display().to_string();
            let contents = std::fs::read(path)
                .map_err(|e| Failure::usage(format!("reading the script {shown}: {}", one_line(&e))))?;
            let script = script(path, contents, &format!("the script {shown}"))?;
            if !script.is_self_contained()
                && path.extension().is_some_and(|e| e != "sh" && looks_like_a_file(path))
            {
                print_message(format!("bsub: note: {shown} has no `#!` line, so /bin/sh runs it"));
            }
            if !self.quiet {
                remarks::print(self, path, &script, rest);
            }
            return Ok((name, Program::Script { script, args: rest.to_vec() }));
        }
        if !self.quiet {
            remarks::print_stray_of_command(first, rest);
        }
        Ok((name, Program::Command(self.operands.clone())))
    }

    fn script_on_stdin(&self, args: &[OsString]) -> Result<(JobName, Program), Failure> {
        const USAGE: &str = "`bsub script.sh`, `bsub COMMAND`, `bsub --wrap 'a | b'` or `bsub < script.sh`";
        if std::io::stdin().is_terminal()
            || self.command
            || self.script
            || self.options.each.as_deref().is_some_and(is_stdin)
        {
            return Err(Failure::usage("no script and no command is given").hint(USAGE));
        }
        let contents = script_from_stdin()?;
        if contents.trim_ascii().is_empty() && self.operands.is_empty() {
            return Err(Failure::usage(
                "no script and no command is given, and the script on standard input is empty",
            )
            .hint(USAGE));
        }
        let script = script(Path::new("STDIN"), contents, "the script on standard input")?;
        Ok((JobName::cleaned("STDIN"), Program::Script { script, args: args.to_vec() }))
    }

    /// The lines of `--each` or `--commands`.
    pub(super) fn lines(&self, options: &ResolvedOptions) -> Result<Option<TaskLines>, Failure> {
        match (&options.each, &options.commands) {
            (Some(file), _) => self.lines_of(file, LineUse::Argument, options.skip_comments).map(Some),
            (None, Some(file)) => self.lines_of(file, LineUse::Command, options.skip_comments).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn lines_of(&self, file: &Path, is: LineUse, skip_comments: bool) -> Result<TaskLines, Failure> {
        let option = match is {
            LineUse::Argument => "--each",
            LineUse::Command => "--commands",
        };
        let (what, contents) = if is_stdin(file) {
            if self.operands.is_empty() && is == LineUse::Argument && self.wrap.is_none() {
                return Err(Failure::usage("--each -: standard input is already the script"));
            }
            ("standard input".to_owned(), read_lines(std::io::stdin().lock()))
        } else {
            let lines = File::open(file).map_err(LinesError::Unread).and_then(read_lines);
            (file.display().to_string(), lines)
        };
        let contents = contents.map_err(|e| match e {
            LinesError::Unread(e) if is_stdin(file) => {
                Failure::usage(format!("reading the lines from {what}: {}", one_line(&e)))
            }
            LinesError::Unread(e) => {
                let failure = Failure::usage(format!("{option}: reading {what}: {}", one_line(&e)));
                match limit_behind(file) {
                    Some((file, limit)) => failure.hint(format!(
                        "to run at most {limit} tasks at the same time, write `{option} {file} --array-limit {limit}`"
                    )),
                    None => failure,
                }
            }
            LinesError::Invalid(e) => Failure::usage(format!("{option}: {what} {e}")),
        })?;
        let has_mark = contents.starts_with(BYTE_ORDER_MARK);
        let lines = match skip_comments {
            true => TaskLines::without_comments(&contents, is),
            false => TaskLines::new(contents, is),
        };
        let lines = lines.map_err(|e| {
            let failure = Failure::usage(format!("{option}: {what} {e}"));
            if has_mark {
                failure.hint(format!("`tail -c +4 {what} > new` removes the mark"))
            } else {
                failure
            }
        })?;
        if let Some(unusual) = unusual(&lines).filter(|_| !self.quiet) {
            print_message(format!(
                "bsub: note: {option}: {what}: {unusual}; `--skip-comments` leaves such lines out"
            ));
        }
        Ok(lines)
    }
}

/// The file and the limit of `FILE%N`, for a user who expects the limit of `--array` there.
fn limit_behind(file: &Path) -> Option<(&str, ArrayLimit)> {
    let (file, limit) = file.to_str()?.rsplit_once('%')?;
    Some((file, limit.parse().ok()?))
}

/// The lines that are tasks and probably should not be, in words.
fn unusual(lines: &TaskLines) -> Option<String> {
    const LISTED: usize = 10;
    let (blank, comments) = lines.unusual();
    let describe = |numbers: &[u32], what: &str| {
        let listed: Vec<String> = numbers.iter().take(LISTED).map(u32::to_string).collect();
        let more = if numbers.len() > LISTED {
            format!(" and {} more", numbers.len() - LISTED)
        } else {
            String::new()
        };
        let listed = listed.join(", ");
        match numbers.len() {
            0 => None,
            1 => Some(format!("line {listed} is {what}, and is a task as well")),
            _ => Some(format!("lines {listed}{more} are {what}, and are tasks as well")),
        }
    };
    let described: Vec<String> =
        [describe(&blank, "blank"), describe(&comments, "a comment (`#`)")].into_iter().flatten().collect();
    (!described.is_empty()).then(|| described.join("; "))
}

/// Why the lines of a file are not there.
enum LinesError {
    /// The file cannot be read.
    Unread(io::Error),
    /// No submission can have these lines.
    Invalid(Invalid),
}

/// Reads the lines of tasks. A source without an end is refused instead of filling the memory.
fn read_lines(mut source: impl Read) -> Result<Vec<u8>, LinesError> {
    let mut lines = PartialLines::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(lines.into_contents()),
            Ok(length) => {
                lines.push(buffer.get(..length).unwrap_or_default()).map_err(LinesError::Invalid)?
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(LinesError::Unread(e)),
        }
    }
}

/// Reads the script on standard input.
fn script_from_stdin() -> Result<Vec<u8>, Failure> {
    let mut contents = Vec::new();
    let most = u64::try_from(limits::TEXT_BYTES).unwrap_or(u64::MAX);
    std::io::stdin()
        .lock()
        .take(most.saturating_add(1))
        .read_to_end(&mut contents)
        .map_err(|e| Failure::usage(format!("reading the script from standard input: {}", one_line(&e))))?;
    if contents.len() > limits::TEXT_BYTES {
        return Err(Failure::usage("the script on standard input is longer than 1 GiB"));
    }
    Ok(contents)
}

fn script(path: &Path, contents: Vec<u8>, what: &str) -> Result<Script, Failure> {
    let name = path.display().to_string();
    let shown = if name == "STDIN" { "SCRIPT" } else { &name };
    Script::new(path, contents).map_err(|e| {
        let failure = Failure::usage(format!("{what} {e}"));
        e.hint(shown).into_iter().fold(failure, Failure::hint)
    })
}

/// Whether the first operand is a script, because it names a regular file. An operand that only
/// looks like a file is an error here instead of a job that fails minutes later.
fn is_script(path: &Path) -> Result<bool, Failure> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => return Ok(true),
        Ok(found) if found.is_dir() => {
            return Err(Failure::usage(format!("{shown} is a directory, not a script"))
                .hint(format!("if {shown} is a program in the image, add `--command`")));
        }
        // A pipe such as bash's <(…), a terminal, a disk.
        Ok(_) => {
            return Err(Failure::usage(format!("{shown} is not a regular file"))
                .hint(format!("`bsub < {shown}` reads a script from it")));
        }
        Err(_) => {}
    }
    if !looks_like_a_file(path) {
        return Ok(false);
    }
    let failure = Failure::usage(format!("{shown}: no such file"));
    let typed = shown.to_string();
    Err(if typed.contains(|c: char| c.is_ascii_whitespace()) {
        failure
            .hint(format!("to run a shell command line: bsub --wrap {}", quote(OsStr::new(&typed)).display()))
    } else {
        failure.hint(format!("if {shown} is a program in the image, add `--command`"))
    })
}

/// Whether a name is usual for a script and unusual for a command.
fn looks_like_a_file(path: &Path) -> bool {
    const ENDINGS: [&str; 6] = ["sh", "py", "R", "pl", "jl", "sbatch"];
    let bytes = path.as_os_str().as_bytes();
    (path.is_relative() && bytes.contains(&b'/'))
        || path.extension().is_some_and(|e| ENDINGS.iter().any(|known| OsStr::new(known) == e))
        || bytes.iter().any(u8::is_ascii_whitespace)
}
