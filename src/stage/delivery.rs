//! The deliveries: the ways in which a job travels into its container.
//!
//! Bundles for a script from Slurm have `srun` in them. If a bundle is too large for the request
//! because of that, even with everything packed, and nothing in the job mentions `srun`, it is left
//! out.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::compat::{self, Mentions, Programs};
use super::packed_inputs::PackedInputs;
use super::target::Target;
use awsb_model::payload::launcher::{self, Plain, Prelude, StartScript, Transport};
use awsb_model::payload::{Bundle, BundleEntry};
use awsb_model::request::KeyValue;
use awsb_model::{EnvVars, JobSpec, Program, ResolvedJob, ResolvedShape, Script, Stdin, Tasks, limits};

/// A way in which a job travels, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Delivery {
    /// The command as it is. It needs nothing but the image.
    Bare,
    /// Script, lines and arguments as text in the request. It needs `sh`, and for a script `mkdir`
    /// and `chmod`.
    Plain,
    /// A bundle in the request. It needs `sh`, `base64`, `gzip` and `tar`.
    InRequest,
    /// As `InRequest`, with variables and arguments in the bundle, too.
    PackedInRequest,
    /// As `InRequest`, without `srun` for a script from Slurm if nothing in the job mentions it.
    InRequestWithLess,
    /// As `PackedInRequest`, without `srun` likewise.
    PackedInRequestWithLess,
    /// A bundle in S3, which the launcher fetches.
    InS3,
    /// As `InS3`, with variables and arguments in the bundle, too.
    PackedInS3,
}

/// A command, its variables, and the bundle that both rely on.
pub(super) struct Encoded {
    pub command: Vec<String>,
    pub environment: Vec<KeyValue>,
    pub bundle: Option<Bundle>,
}

impl Delivery {
    pub(super) const ALL: [Delivery; 8] = [
        Delivery::Bare,
        Delivery::Plain,
        Delivery::InRequest,
        Delivery::PackedInRequest,
        Delivery::InRequestWithLess,
        Delivery::PackedInRequestWithLess,
        Delivery::InS3,
        Delivery::PackedInS3,
    ];
    /// The deliveries of a job that is too large for a request.
    pub(super) const IN_S3: &[Delivery] = &[Delivery::InS3, Delivery::PackedInS3];

    /// Encodes the job for this delivery; `None` if the job cannot travel so. `lines` are those of
    /// a group of tasks.
    pub(super) fn encode(
        self,
        job: &ResolvedJob,
        lines: Option<(&[u8], &Tasks)>,
        inputs: &PackedInputs,
        target: &Target<'_>,
    ) -> io::Result<Option<Encoded>> {
        let spec = &job.spec;
        let argv = argv(&spec.program);
        let script = match &spec.program {
            Program::Script { script, .. } => Some(script),
            Program::Command(_) => None,
        };
        let packed = matches!(
            self,
            Delivery::PackedInRequest | Delivery::PackedInRequestWithLess | Delivery::PackedInS3
        );
        let less = matches!(self, Delivery::InRequestWithLess | Delivery::PackedInRequestWithLess);
        let Some(mut variables) =
            (if packed { Some(Vec::new()) } else { plain_variables(&spec.environment) })
        else {
            return Ok(None);
        };
        if self == Delivery::Bare {
            let command = unchanged_by_batch(&argv);
            return Ok(command.map(|command| Encoded { command, environment: variables, bundle: None }));
        }
        // Arguments that Batch would change are quoted, in a variable or in the bundle.
        let args = if packed {
            Vec::new()
        } else if let Some(args) = unchanged_by_batch(&argv) {
            args
        } else {
            let Some(quoted) = utf8(&launcher::quote_all(argv.iter().map(OsString::as_os_str))) else {
                return Ok(None);
            };
            variables.push(KeyValue::new(launcher::ARGS_VARIABLE, quoted));
            Vec::new()
        };
        let has_args = args.is_empty() && !packed;
        let outputs = target.url("outputs");
        let prelude = Prelude {
            outputs: &outputs,
            has_tasks: matches!(job.shape, ResolvedShape::Array(_)),
            place: &spec.place,
        };
        let compat = compat::prelude(job);
        let first = lines.map(|(_, tasks)| tasks.ids().min()).filter(|first| *first > 1);
        variables.extend(first.map(|first| KeyValue::new(launcher::FIRST_LINE_VARIABLE, first.to_string())));
        if self == Delivery::Plain {
            return Ok(plain(spec, script, lines, has_args, prelude, &compat)
                .filter(|_| inputs.is_none())
                .and_then(|(launcher, more)| {
                    variables.extend(more);
                    let command = launcher::command(utf8(&launcher)?, args);
                    Some(Encoded { command, environment: variables, bundle: None })
                }));
        }
        // The bundle would be empty.
        if script.is_none() && !packed && inputs.is_none() && !needs_a_bundle(spec) {
            return Ok(None);
        }
        let mentions = Mentions::new(spec, lines.map(|(lines, _)| lines), inputs);
        let which = if less { Programs::Mentioned } else { Programs::All };
        let Some(files) = compat::files(job, &mentions, which) else { return Ok(None) };
        let inputs_url =
            inputs.name().map(|name| KeyValue::new(launcher::INPUTS_VARIABLE, target.url(&name)));
        // A command does not look for the file of its standard input.
        let has_files = !inputs.is_none() && spec.stdin != Stdin::Alone;
        let start = StartScript {
            packed: packed.then_some((&spec.environment, &argv)),
            interpreter: script.map(Script::interpreter),
            has_args,
            stays: script.is_some() || has_files || !spec.outputs.is_empty(),
            line: spec.lines.as_ref().map(|l| l.is),
            prelude,
            compat: &compat,
            has_inputs: inputs_url.is_some(),
            has_stdin: spec.stdin != Stdin::Nothing,
            outputs: &spec.outputs,
            region: target.region,
        };
        let bundle = bundle(script, lines.map(|(lines, _)| lines), &start.text(), &files, inputs)?;
        let transport = match self {
            Delivery::InS3 | Delivery::PackedInS3 => Transport::Fetched,
            _ => Transport::Inline,
        };
        variables.extend(bundle_variables(&bundle, transport, target));
        variables.extend(inputs_url);
        let command = launcher::command(launcher::for_bundle(transport), args);
        Ok(Some(Encoded { command, environment: variables, bundle: Some(bundle) }))
    }
}

/// The argument vector that the job executes in its working directory.
fn argv(program: &Program) -> Vec<OsString> {
    match program {
        Program::Command(argv) => argv.clone(),
        Program::Script { script, args } => {
            let path = OsString::from(format!("./{}", script.file_name()));
            let interpreter = (!script.is_self_contained()).then(|| OsString::from("/bin/sh"));
            interpreter.into_iter().chain([path]).chain(args.iter().cloned()).collect()
        }
    }
}

/// The arguments, if Batch passes them on unchanged: it refuses empty ones, and replaces
/// `Ref::name` (UG `job_definition_parameters`, boto3 issue 3612).
pub(super) fn unchanged_by_batch(argv: &[OsString]) -> Option<Vec<String>> {
    argv.iter().map(|a| utf8(a).filter(|a| !a.is_empty() && !a.contains("Ref::"))).collect()
}

/// The variables, if all values are UTF-8.
pub(super) fn plain_variables(environment: &EnvVars) -> Option<Vec<KeyValue>> {
    environment.iter().map(|(name, value)| Some(KeyValue::new(name.as_str(), utf8(value)?))).collect()
}

/// The launcher of a job without a bundle, and the variables with its script and lines; `None` if
/// they have to be in a bundle.
fn plain(
    spec: &JobSpec,
    script: Option<&Script>,
    lines: Option<(&[u8], &Tasks)>,
    has_args: bool,
    prelude: Prelude<'_>,
    compat: &OsStr,
) -> Option<(OsString, Vec<KeyValue>)> {
    // Only a bundle has the files for these: the program that uploads results, and `srun`.
    if !spec.outputs.is_empty() || spec.slurm.is_some() {
        return None;
    }
    let mut variables = Vec::new();
    if let Some(script) = script {
        variables.push(KeyValue::new(launcher::SCRIPT_VARIABLE, text(script.contents())?));
        variables.push(KeyValue::new(launcher::SCRIPT_NAME_VARIABLE, script.file_name()));
    }
    let mut line = None;
    if let (Some((lines, _)), Some(all)) = (lines, &spec.lines) {
        let lines = text(lines)?;
        let separator = separator(lines)?;
        variables.push(KeyValue::new(launcher::LINES_VARIABLE, lines.replace('\n', &separator.to_string())));
        line = Some((all.is, separator));
    }
    let interpreter = script.map(Script::interpreter);
    let launcher = Plain { interpreter, has_args, line, prelude, compat }.launcher();
    Some((launcher, variables))
}

/// The text of these bytes, if a variable can hold it: UTF-8 without control characters other than
/// line ends and tabs. Bytes that are too many for a request are not checked.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok().filter(|text| text.len() <= limits::OVERRIDES_LENGTH)?;
    text.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()).then_some(text)
}

/// A character that is in none of the lines, that JSON does not escape, and that is not white space
/// to a shell.
fn separator(lines: &str) -> Option<char> {
    let usual = ['|', '~', '^', ';', '%', '@', '#', '!', ','].into_iter();
    usual.chain((33u8..127).map(char::from)).find(|c| !lines.contains(*c) && !['"', '\\'].contains(c))
}

fn bundle_variables(bundle: &Bundle, transport: Transport, target: &Target<'_>) -> Vec<KeyValue> {
    match transport {
        Transport::Inline => {
            vec![KeyValue::new(launcher::BUNDLE_VARIABLE, BASE64_STANDARD.encode(bundle.bytes()))]
        }
        Transport::Fetched => {
            let url = format!("s3://{}/{}", target.bucket, bundle.key(target.prefix));
            vec![
                KeyValue::new(launcher::BUNDLE_VARIABLE, url),
                KeyValue::new(launcher::REGION_VARIABLE, target.region),
            ]
        }
    }
}

fn bundle(
    script: Option<&Script>,
    lines: Option<&[u8]>,
    start: &OsStr,
    files: &[compat::File],
    inputs: &PackedInputs,
) -> io::Result<Bundle> {
    // The script comes before the lines and the start, so that a reader of the bundle finds it
    // first.
    let mut entries: Vec<_> = files.iter().map(compat::File::entry).collect();
    if let Some(script) = script {
        entries.push(BundleEntry { path: script.file_name(), mode: 0o755, contents: script.contents() });
    }
    if let Some(contents) = lines {
        entries.push(BundleEntry { path: launcher::LINES_FILE, mode: 0o600, contents });
    }
    entries.push(BundleEntry { path: launcher::START_FILE, mode: 0o600, contents: start.as_bytes() });
    Bundle::pack(inputs.records(), &entries)
}

fn utf8(text: &OsStr) -> Option<String> {
    text.to_str().map(str::to_owned)
}

/// Whether even a plain command needs files in its container.
pub(super) fn needs_a_bundle(spec: &JobSpec) -> bool {
    spec.lines.is_some() || !spec.outputs.is_empty()
}
