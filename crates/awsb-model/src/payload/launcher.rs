//! The launcher: the few lines of POSIX sh with which a staged job begins.
//!
//! It is assembled from the parts in `launcher/`, which shellcheck reads as they are. A job's
//! command is `/bin/sh -c LAUNCHER awsb ARG…`. The bundle, or its URL, is in a variable. After
//! unpacking, the launcher sources the *start*, a file in the bundle, where length costs next to
//! nothing.
//!
//! A small script, and a small number of lines, are text in variables instead. Then there is no
//! bundle, the whole launcher is in the command, and it starts no process but `mkdir` and `chmod`.
//!
//! The program that starts the job may unpack the bundle itself, and say so in
//! [`UNPACKED_VARIABLE`]. The local cluster does this for processes of the host.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::{EnvVars, LineUse, OutputGlob, WorkDir};

/// The variable with the bundle itself (base64) or its `s3://` URL.
pub const BUNDLE_VARIABLE: &str = "AWSB_BUNDLE";
/// The variable with the region of the bundle's bucket.
pub const REGION_VARIABLE: &str = "AWSB_BUNDLE_REGION";
/// The variable with the text of a small script.
pub const SCRIPT_VARIABLE: &str = "AWSB_SCRIPT";
/// The variable with the name of the script's file.
pub const SCRIPT_NAME_VARIABLE: &str = "AWSB_SCRIPT_NAME";
/// The variable with the lines of the tasks, if they are few.
pub const LINES_VARIABLE: &str = "AWSB_LINES";
/// The variable with the ID of the first line's task, if that is not 1.
pub const FIRST_LINE_VARIABLE: &str = "AWSB_FIRST_LINE";
/// The variable with the line of a task.
pub const LINE_VARIABLE: &str = "AWSB_TASK_LINE";
/// The variable with the directory into which the job has been unpacked already.
pub const UNPACKED_VARIABLE: &str = "AWSB_UNPACKED";
/// The variable with the start of a bundle that has been unpacked already.
pub const START_VARIABLE: &str = "AWSB_START";
/// The variable with the `s3://` URL of large inputs.
pub const INPUTS_VARIABLE: &str = "AWSB_INPUTS";
/// The variable with an argument vector, quoted for sh.
pub const ARGS_VARIABLE: &str = "AWSB_ARGS";
/// The variable with the task IDs of an array's children.
pub const TASKS_VARIABLE: &str = "AWSB_TASKS";
/// The variable with the `s3://` URL of the folder of the nodes' keys.
pub const NODES_VARIABLE: &str = "AWSB_NODES_URL";
/// The variable with the region of the bucket of the nodes' keys.
pub const NODES_REGION_VARIABLE: &str = "AWSB_NODES_REGION";
/// The variable with the vCPUs of a node.
pub const VCPUS_VARIABLE: &str = "AWSB_VCPUS";
/// The variable with the directories that the entry point of awsb's image mounts.
pub const SHARED_VARIABLE: &str = "AWSB_SHARED";
/// The file in a bundle that is sourced after unpacking.
pub const START_FILE: &str = ".awsb/start";
/// The folder in a bundle with the inputs of a job that chooses its working directory.
pub const INPUTS_FOLDER: &str = ".awsb/in";
/// The file with the job's standard input, in the folder where its bundle is unpacked.
pub const STDIN_FILE: &str = ".awsb/stdin";
/// The file in a bundle with a line for each task.
pub const LINES_FILE: &str = ".awsb/lines";

/// A text in the start of every bundle with a script, in all versions of awsb.
const CHECKED: &str = "which the #! line of ${1#./} names";

/// The value of `$0` in a launcher, by which the tools recognise one.
const NAME: &str = "awsb";

const FAIL: &str = include_str!("launcher/fail.sh");
const FOLDER: &str = include_str!("launcher/folder.sh");
const SCRIPT: &str = include_str!("launcher/script.sh");
const INLINE: &str = include_str!("launcher/inline.sh");
const S3: &str = include_str!("launcher/s3.sh");
const GET: &str = include_str!("launcher/get.sh");
const FETCH: &str = include_str!("launcher/fetch.sh");
const START: &str = include_str!("launcher/start.sh");
const ARGS: &str = include_str!("launcher/args.sh");
const CHECK: &str = include_str!("launcher/check.sh");
const OUTPUT_URL: &str = include_str!("launcher/output_url.sh");
const TASKS: &str = include_str!("launcher/tasks.sh");
const LINE: &str = include_str!("launcher/line.sh");
const LINES: &str = include_str!("launcher/lines.sh");
const EACH: &str = include_str!("launcher/each.sh");
const COMMANDS: &str = include_str!("launcher/commands.sh");
const PLACE: &str = include_str!("launcher/place.sh");
const PLACE_INPUTS: &str = include_str!("launcher/place_inputs.sh");
const PLACE_SCRIPT: &str = include_str!("launcher/place_script.sh");
const INPUTS: &str = include_str!("launcher/inputs.sh");
const OUTPUTS: &str = include_str!("launcher/outputs.sh");
const HOME: &str = include_str!("launcher/home.sh");
const STDIN: &str = include_str!("launcher/stdin.sh");
const CLEAN: &str = include_str!("launcher/clean.sh");
const LEAVE: &str = include_str!("launcher/leave.sh");
/// Removes the variables that the first part of the launcher has read.
const UNSET: &str = "unset AWSB_BUNDLE AWSB_BUNDLE_REGION AWSB_UNPACKED AWSB_START\n";
/// Removes the folder in which a job was unpacked, after its inputs have been moved to its working
/// directory.
const RMDIR: &str = "rmdir \"$_ad\" 2>/dev/null\n";
const RUN: &str = "exec \"$@\"\n";

/// How the bundle reaches the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Inside the request.
    Inline,
    /// From S3.
    Fetched,
}

/// The launcher of a job with a bundle.
pub fn for_bundle(transport: Transport) -> String {
    match transport {
        Transport::Inline => [FAIL, FOLDER, INLINE, START].map(of_bundle).concat(),
        Transport::Fetched => [FAIL, FOLDER, S3, GET, FETCH, START].map(of_bundle).concat(),
    }
}

/// A part of the launcher for a job with a bundle.
fn of_bundle(script: &str) -> String {
    bare_with(script, &["bundle"])
}

/// The launcher of a plain command without a bundle. Its arguments follow, or are in
/// [`ARGS_VARIABLE`].
pub fn for_command(prelude: Prelude<'_>) -> OsString {
    Plain { interpreter: None, has_args: true, line: None, prelude, compat: OsStr::new("") }.launcher()
}

/// A job without a bundle: a command, or a script in [`SCRIPT_VARIABLE`].
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a> {
    /// The interpreter in the `#!` line of the script, empty if there is no such line. `None`:
    /// there is no script. The first argument, or the one after `/bin/sh`, names the script.
    pub interpreter: Option<&'a OsStr>,
    /// Whether the arguments are, or may be, in [`ARGS_VARIABLE`].
    pub has_args: bool,
    /// The use of the task's line and the character after each line, if the tasks have lines in
    /// [`LINES_VARIABLE`].
    pub line: Option<(LineUse, char)>,
    /// The part that runs before the job.
    pub prelude: Prelude<'a>,
    /// Additional text in sh for a script from another cluster.
    pub compat: &'a OsStr,
}

impl Plain<'_> {
    /// The text of the launcher.
    pub fn launcher(&self) -> OsString {
        let mut text = OsString::from(bare(FAIL));
        if self.has_args {
            text.push(bare(ARGS));
        }
        if let Some(interpreter) = self.interpreter {
            text.push([FOLDER, SCRIPT].map(bare).concat());
            write_check(&mut text, interpreter);
        }
        self.prelude.write_identity(&mut text);
        if let Some((line, separator)) = self.line {
            set(&mut text, "_as", OsStr::new(separator.encode_utf8(&mut [0; 4])));
            text.push([LINES, line_script(line)].map(bare).concat());
        }
        self.prelude.write_place(&mut text);
        if self.interpreter.is_some() && *self.prelude.place != WorkDir::Own {
            text.push(bare(PLACE_SCRIPT));
        }
        text.push(self.compat);
        text.push(RUN);
        text
    }
}

/// Writes the check whether a script can be started. It needs [`interpreter`](Plain::interpreter).
fn write_check(text: &mut OsString, interpreter: &OsStr) {
    set(text, "_al", interpreter);
    text.push(bare(CHECK));
}

/// The part that selects the line of the task.
fn line_script(line: LineUse) -> &'static str {
    match line {
        LineUse::Argument => EACH,
        LineUse::Command => COMMANDS,
    }
}

/// The text of a command's launcher that checks whether the job has been unpacked already, or that
/// does not unpack anything.
pub fn that_can_be_spared(command: &[String]) -> Option<&str> {
    let has_launcher = without_launcher(command).len() < command.len();
    let text = command.get(2).filter(|_| has_launcher)?;
    (text.contains(UNPACKED_VARIABLE) || !text.contains(BUNDLE_VARIABLE)).then_some(text)
}

/// The actions of a launcher that does only the usual. The program that starts the job can perform
/// them without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usual {
    /// The `s3://` URL below which the jobs store their results.
    pub outputs: String,
    /// Whether there is a script. The first argument, or the one after `/bin/sh`, names it.
    pub is_script: bool,
    /// Whether the job has task IDs.
    pub has_tasks: bool,
    /// The use of the task's line, if the tasks have lines, and the character after each line if
    /// they are in a variable.
    pub line: Option<(LineUse, Option<char>)>,
}

impl Usual {
    /// Reads the launcher of a job without a bundle. `None`: it does more, or another version of
    /// awsb has written it.
    pub fn of_plain(text: &str) -> Option<Self> {
        let mut rest = Rest(text);
        rest.expect(&[FAIL])?;
        rest.expect(&[ARGS]);
        let is_script = rest.expect(&[FOLDER, SCRIPT]).is_some();
        if is_script {
            rest.check()?;
        }
        let (outputs, has_tasks) = rest.identity()?;
        let line = match rest.value("_as") {
            Some(separator) => {
                rest.expect(&[LINES])?;
                let mut chars = separator.chars();
                let separator = chars.next().filter(|_| chars.next().is_none())?;
                Some((rest.line_use()?, Some(separator)))
            }
            None => None,
        };
        (rest.0 == RUN).then_some(Self { outputs, is_script, has_tasks, line })
    }

    /// Reads the start in a bundle, as [`Usual::of_plain`] does.
    pub fn of_start(text: &str) -> Option<Self> {
        let mut rest = Rest(text);
        rest.expect(&[UNSET])?;
        rest.expect(&[ARGS]);
        let is_script = rest.check().is_some();
        let (outputs, has_tasks) = rest.identity()?;
        let line = match rest.expect(&[LINE]) {
            Some(()) => Some((rest.line_use()?, None)),
            None => None,
        };
        match is_script {
            true => rest.expect(&[CLEAN])?,
            false => rest.expect(&[HOME, LEAVE])?,
        }
        (rest.0 == RUN).then_some(Self { outputs, is_script, has_tasks, line })
    }
}

/// The unread rest of a launcher's text.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    /// Reads these parts. `None`: the text is another one.
    fn expect(&mut self, parts: &[&str]) -> Option<()> {
        let mut rest = self.0;
        for part in parts {
            rest = rest.strip_prefix(bare(part).as_str())?;
        }
        self.0 = rest;
        Some(())
    }

    /// Reads the value of an assignment that [`set`] has written, on one line.
    fn value(&mut self, name: &str) -> Option<String> {
        let (value, rest) = self.0.strip_prefix(name)?.strip_prefix('=')?.split_once('\n')?;
        let inner = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).unwrap_or(value);
        // A value with a quote is written in another form.
        if inner.contains('\'') {
            return None;
        }
        self.0 = rest;
        Some(inner.to_owned())
    }

    /// Reads the check that [`write_check`] has written.
    fn check(&mut self) -> Option<()> {
        self.value("_al")?;
        self.expect(&[CHECK])
    }

    fn identity(&mut self) -> Option<(String, bool)> {
        let outputs = self.value("_au")?;
        self.expect(&[OUTPUT_URL])?;
        Some((outputs, self.expect(&[TASKS]).is_some()))
    }

    fn line_use(&mut self) -> Option<LineUse> {
        [LineUse::Argument, LineUse::Command]
            .into_iter()
            .find(|line| self.expect(&[line_script(*line)]).is_some())
    }
}

/// Whether a variable carries staged data. Its value is long, and may be confidential.
pub fn carries(name: &str, value: &str) -> bool {
    match name {
        BUNDLE_VARIABLE => !value.starts_with("s3://"),
        _ => [SCRIPT_VARIABLE, LINES_VARIABLE].contains(&name),
    }
}

/// The preparation of a job.
#[derive(Debug, Clone, Copy)]
pub struct Prelude<'a> {
    /// The `s3://` URL below which the jobs store their results, without a slash at its end.
    pub outputs: &'a str,
    /// Whether the job has task IDs.
    pub has_tasks: bool,
    /// The working directory.
    pub place: &'a WorkDir,
}

/// The parts of the start in a bundle.
#[derive(Debug, Clone, Copy)]
pub struct StartScript<'a> {
    /// Variables and arguments, if they are packed.
    pub packed: Option<(&'a EnvVars, &'a [OsString])>,
    /// The interpreter in the `#!` line of the bundle's script, as in [`Plain::interpreter`].
    pub interpreter: Option<&'a OsStr>,
    /// Whether the arguments are in [`ARGS_VARIABLE`].
    pub has_args: bool,
    /// Whether the job runs in the folder in which its bundle is unpacked.
    pub stays: bool,
    /// The use of the task's line, if the tasks have lines.
    pub line: Option<LineUse>,
    /// The preparation of the job.
    pub prelude: Prelude<'a>,
    /// Whether the inputs have an archive of their own, at [`INPUTS_VARIABLE`].
    pub has_inputs: bool,
    /// Whether the standard input is in [`STDIN_FILE`].
    pub has_stdin: bool,
    /// The results to store.
    pub outputs: &'a [OutputGlob],
    /// The region of the bucket.
    pub region: &'a str,
    /// Additional text in sh for a script from another cluster.
    pub compat: &'a OsStr,
}

impl Prelude<'_> {
    /// Writes the job's identity.
    fn write_identity(&self, text: &mut OsString) {
        set(text, "_au", OsStr::new(self.outputs));
        text.push(bare(OUTPUT_URL));
        if self.has_tasks {
            text.push(bare(TASKS));
        }
    }

    /// Writes the change into the working directory.
    fn write_place(&self, text: &mut OsString) {
        match self.place {
            WorkDir::Own => return,
            WorkDir::In(place) => set(text, "_aw", place),
            WorkDir::Below(parent) => {
                set(text, "_aw", parent);
                text.push("_aw=$_aw/job-$AWS_BATCH_JOB_ID\n");
            }
        }
        text.push(bare(PLACE));
    }
}

impl StartScript<'_> {
    /// The text of the start.
    pub fn text(&self) -> OsString {
        let mut text = OsString::from(UNSET);
        if let Some((environment, argv)) = self.packed {
            for (name, value) in environment.iter() {
                text.push("export ");
                set(&mut text, name.as_str(), value);
            }
            text.push("set -- ");
            text.push(quote_all(argv.iter().map(OsString::as_os_str)));
            text.push("\n");
        }
        if self.has_args {
            text.push(bare(ARGS));
        }
        if let Some(interpreter) = self.interpreter {
            write_check(&mut text, interpreter);
        }
        self.prelude.write_identity(&mut text);
        if let Some(line) = self.line {
            text.push([LINE, line_script(line)].map(bare).concat());
        }
        // The standard input stays in the bundle's folder, as other jobs may run in this job's
        // working directory.
        let is_unpacked_before = self.has_inputs && self.has_stdin;
        if is_unpacked_before {
            set(&mut text, "_ar", OsStr::new(self.region));
            text.push([S3, GET, INPUTS].map(bare).concat());
        }
        self.prelude.write_place(&mut text);
        match self.prelude.place {
            WorkDir::Own if !self.stays => text.push(bare(HOME)),
            WorkDir::Own => {}
            WorkDir::In(_) | WorkDir::Below(_) => {
                text.push(bare(PLACE_INPUTS));
                if self.interpreter.is_some() {
                    text.push(bare(PLACE_SCRIPT));
                }
            }
        }
        let has_outputs = !self.outputs.is_empty();
        let has_inputs = self.has_inputs && !is_unpacked_before;
        if has_inputs || has_outputs && !is_unpacked_before {
            set(&mut text, "_ar", OsStr::new(self.region));
            text.push(bare(S3));
        }
        if has_inputs {
            text.push([GET, INPUTS].map(bare).concat());
        }
        text.push(self.compat);
        if self.has_stdin {
            text.push(bare(STDIN));
        }
        text.push(bare(if self.stays { CLEAN } else { LEAVE }));
        if self.stays && *self.prelude.place != WorkDir::Own {
            text.push(RMDIR);
        }
        if has_outputs {
            text.push(bare(OUTPUTS));
            text.push("_arun \"$@\"\n_aout ");
            text.push(quote_all(self.outputs.iter().map(|glob| OsStr::new(glob.as_str()))));
            text.push("\n");
        } else {
            text.push(RUN);
        }
        text
    }
}

/// The packed variables at the beginning of a start: [`StartScript::text`] writes them there.
/// Bundles of older versions have no `UNSET` before them.
pub fn packed_variables(start: &[u8]) -> Vec<(OsString, OsString)> {
    let mut found = Vec::new();
    let mut rest = start.strip_prefix(UNSET.as_bytes()).unwrap_or(start);
    while let Some(assignment) = rest.strip_prefix(b"export ") {
        let Some(equals) = assignment.iter().position(|b| *b == b'=') else { break };
        let Some((value, behind)) = unquoted(&assignment[equals + 1..]) else { break };
        found.push((OsString::from_vec(assignment[..equals].to_vec()), value));
        rest = behind;
    }
    // The arguments follow the packed variables. Without them, these are other variables.
    if rest.starts_with(b"set -- ") { found } else { Vec::new() }
}

/// Reads a word that [`quote`] has written, and the end of its line.
fn unquoted(text: &[u8]) -> Option<(OsString, &[u8])> {
    let mut word = Vec::new();
    let mut bytes = text.iter().enumerate();
    let mut is_quoted = false;
    while let Some((at, b)) = bytes.next() {
        match b {
            b'\'' => is_quoted = !is_quoted,
            b'\\' if !is_quoted => word.push(*bytes.next()?.1),
            b'\n' if !is_quoted => return Some((OsString::from_vec(word), &text[at + 1..])),
            _ => word.push(*b),
        }
    }
    None
}

/// Writes an assignment.
pub fn set(text: &mut OsString, name: &str, value: &OsStr) {
    text.push(name);
    text.push("=");
    text.push(quote(value));
    text.push("\n");
}

/// The command vector that starts `launcher` with `args`.
pub fn command(launcher: String, args: Vec<String>) -> Vec<String> {
    ["/bin/sh".to_owned(), "-c".to_owned(), launcher, NAME.to_owned()].into_iter().chain(args).collect()
}

/// The command as the user gave it, without the launcher.
pub fn without_launcher(command: &[String]) -> &[String] {
    match command {
        [sh, c, _, name, args @ ..] if sh == "/bin/sh" && c == "-c" && name == NAME => args,
        _ => command,
    }
}

/// Whether the variables and arguments of a job with this command and these variables are in its
/// bundle, as those of a [`StartScript`] with [`packed`](StartScript::packed).
pub fn is_packed<'v>(command: &[String], mut variables: impl Iterator<Item = &'v str>) -> bool {
    let args = without_launcher(command);
    args.is_empty() && args.len() < command.len() && variables.all(|name| name != ARGS_VARIABLE)
}

/// Whether the start in a bundle starts a script in the bundle, and not a command.
pub fn starts_a_script(start: &[u8]) -> bool {
    String::from_utf8_lossy(start).contains(CHECKED)
}

/// The script without comments, blank lines and indentation, as every character counts against a
/// limit, and without the parts that only some jobs need.
pub fn bare(script: &str) -> String {
    bare_with(script, &[])
}

/// The bare script with these optional parts: the lines between `# only: NAME` and `# end`.
pub fn bare_with(script: &str, needs: &[&str]) -> String {
    let mut is_needed = true;
    let mut text = String::with_capacity(script.len());
    for line in script.lines().map(str::trim_start) {
        if let Some(name) = line.strip_prefix("# only: ") {
            is_needed = needs.contains(&name);
        } else if line == "# end" {
            is_needed = true;
        } else if is_needed && !line.is_empty() && !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// A word in the form that any POSIX shell reads as exactly these bytes.
pub fn quote(word: &OsStr) -> OsString {
    let bytes = word.as_bytes();
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-./:=,@%+".contains(b);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return word.to_owned();
    }
    let mut quoted = vec![b'\''];
    for b in bytes {
        match b {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            _ => quoted.push(*b),
        }
    }
    quoted.push(b'\'');
    OsString::from_vec(quoted)
}

/// Quoted words, separated by blanks.
pub fn quote_all<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> OsString {
    words.into_iter().map(quote).collect::<Vec<_>>().join(OsStr::new(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Invalid;

    #[test]
    fn packed_variables_are_read_as_they_were() -> Result<(), Invalid> {
        let pairs: [(&str, &[u8]); 5] = [
            ("A", b"x y"),
            ("B", b""),
            ("C", b"it's\nexport D=no\n\\"),
            ("E", b"\xff$HOME"),
            ("F", b"plain=1"),
        ];
        let mut environment = EnvVars::default();
        for (name, value) in pairs {
            environment.set(name.parse()?, OsStr::from_bytes(value).to_owned());
        }
        let argv = ["./a.sh", "export G=1"].map(OsString::from);
        let start = StartScript {
            packed: Some((&environment, &argv)),
            interpreter: Some(OsStr::new("/bin/sh")),
            has_args: false,
            stays: true,
            line: None,
            prelude: Prelude { outputs: "s3://b/p/outputs", has_tasks: true, place: &WorkDir::Own },
            has_inputs: false,
            has_stdin: false,
            outputs: &[],
            region: "r",
            compat: OsStr::new("export H=1\n"),
        };
        let text = start.text();
        let text = text.as_bytes();
        let expected = pairs.map(|(name, value)| (name.into(), OsStr::from_bytes(value).to_owned()));
        assert_eq!(packed_variables(text), expected);
        // Bundles of older versions begin with the variables.
        assert_eq!(packed_variables(text.strip_prefix(UNSET.as_bytes()).unwrap_or_default()), expected);
        assert_eq!(packed_variables(StartScript { packed: None, ..start }.text().as_bytes()), []);
        let arguments = text.windows(7).position(|window| window == b"set -- ").unwrap_or_default();
        assert_eq!(packed_variables(&text[..arguments]), [], "there are no arguments behind them");
        for end in 0..text.len() {
            let _ = packed_variables(&text[..end]);
        }
        Ok(())
    }

    #[test]
    fn it_stays_small() {
        // The longer the launcher is, the smaller the bundle must be.
        assert!(for_bundle(Transport::Inline).len() < 1100, "{}", for_bundle(Transport::Inline).len());
        assert!(for_bundle(Transport::Fetched).len() < 3200, "{}", for_bundle(Transport::Fetched).len());
    }

    #[test]
    fn what_only_some_jobs_need_is_left_out_of_the_others() {
        let script = "# shellcheck shell=sh\na\n# only: x\n  b\n# end\n\n# only: y\nc\n# end\nd\n";
        assert_eq!(bare(script), "a\nd\n");
        assert_eq!(bare_with(script, &["x"]), "a\nb\nd\n");
        assert_eq!(bare_with(script, &["y", "x"]), "a\nb\nc\nd\n");
    }

    #[test]
    fn the_check_of_a_script_is_recognised() {
        assert!(starts_a_script(bare(CHECK).as_bytes()));
    }

    #[test]
    fn nothing_in_it_is_a_parameter_of_a_job_definition() {
        assert!(!for_bundle(Transport::Fetched).contains("Ref::"));
    }

    #[test]
    fn the_launcher_is_no_part_of_what_the_user_ran() {
        let launcher = for_bundle(Transport::Inline);
        let command = command(launcher, vec!["./a.sh".into(), "1".into()]);
        assert_eq!(without_launcher(&command), ["./a.sh", "1"]);
        assert_eq!(without_launcher(&["echo".into()]), ["echo"]);
        assert!(!is_packed(&command, [].into_iter()) && !is_packed(&[], [].into_iter()));
        assert!(is_packed(&command[..4], ["A"].into_iter()));
        assert!(!is_packed(&command[..4], ["A", ARGS_VARIABLE].into_iter()));
    }
}
