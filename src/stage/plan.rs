//! In which form a job travels.
//!
//! Every form puts the same job into the container; they differ in what they need there and in what they
//! cost. The first one whose overrides fit Batch's limit is taken:
//!
//! 1. a command as it is (nothing but the image is needed),
//! 2. script, lines and arguments as text in the request (`sh`, and for a script `mkdir` and `chmod`),
//! 3. a bundle inside the request (`sh`, `base64`, `gzip`, `tar`),
//! 4. the same with variables and arguments packed into the bundle, too,
//! 5. a bundle in S3, which the launcher fetches,
//! 6. the same with variables and arguments packed into it.
//!
//! Bundles for a script from Slurm have `srun` in them. Where one is too large for the request because of that, also with
//! everything packed, and nothing that the job brings along mentions `srun`, it is left out.
//!
//! Where an array becomes several jobs, each has its own lines, and so a bundle of its own.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::baggage::Baggage;
use super::dialect::{self, Files, Mentions};
use super::nodes::NODES;
use awsb_model::payload::launcher::{self, Carriage, Plain, Prelude, Start};
use awsb_model::payload::{Bundle, Entry as BundleEntry};
use awsb_model::request::{
    ArrayProperties, JobDependency, JobTimeout, KeyValue, NodeOverrides, NodePropertyOverride, Overrides,
    ResourceRequirement, SubmitRequest,
};
use awsb_model::{
    self, Environment, FileSystem, Invalid, JobSpec, Mark, NodeTargets, Place, Script, Shape, Shared, Stdin,
    Submitter, Tasks, Work, limits,
};

/// Where a job is going.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The queue's name or ARN.
    pub job_queue: &'a str,
    /// The job definition.
    pub job_definition: &'a str,
    /// The node ranges of the job definition, for a multi-node parallel job: overrides have to name them all.
    pub node_ranges: &'a [NodeTargets],
    /// The bucket for bundles.
    pub bucket: &'a str,
    /// The prefix of their keys, without a slash at its end.
    pub prefix: &'a str,
    /// The bucket's region.
    pub region: &'a str,
    /// The directories that the cluster's jobs share.
    pub shared: &'a [Shared],
    /// Who submits it.
    pub submitter: Option<&'a Submitter>,
}

impl Target<'_> {
    /// The `s3://` URL of a folder of the cluster's.
    fn url(&self, folder: &str) -> String {
        awsb_model::object_url(self.bucket, self.prefix, folder)
    }
}

/// A job as it will travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What Batch will be asked: one request, or several that make up one array of more children than Batch
    /// has in a job.
    pub requests: Vec<SubmitRequest>,
    /// What has to be in S3 before that.
    pub bundles: Vec<Bundle>,
}

/// Why a job cannot travel.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The archive cannot be made.
    #[error("packing the script: {0}")]
    Pack(#[from] io::Error),
    /// What is asked for does not go together.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// What is no part of the overrides takes too much.
    #[error("the request is {0} bytes long, most of them tags (--tag) and parameters (--param), and Batch \
             accepts at most {limit}", limit = limits::SUBMIT_JOB_BYTES)]
    TooLarge(usize),
    /// No form fits.
    #[error("the job's settings are {length} characters long, and Batch accepts at most {limit}")]
    TooLong {
        /// Characters of the smallest form.
        length: usize,
        /// Characters that are allowed.
        limit: usize,
    },
}

impl Plan {
    /// Whether a job fetches its bundle from S3.
    pub fn is_fetched(&self) -> bool {
        let mut bundles = self.requests.iter().filter_map(|r| r.variable(launcher::BUNDLE_VARIABLE));
        bundles.any(|value| value.starts_with("s3://"))
    }

    /// Chooses the form in which the job travels with its inputs; `mark` makes the mark of each request.
    ///
    /// # Errors
    /// When no form fits Batch's limit, which takes a bucket or prefix of absurd length.
    pub fn new(
        spec: &JobSpec,
        baggage: &Baggage,
        target: &Target<'_>,
        mut mark: impl FnMut() -> Mark,
    ) -> Result<Self, PlanError> {
        let parts = match &spec.shape {
            Shape::Array(tasks) => tasks.parts().into_iter().map(Some).collect(),
            Shape::Single | Shape::Nodes(_) => vec![None],
        };
        let lines = match &spec.lines {
            Some(lines) => {
                lines.of_groups(parts.iter().flatten().map(Tasks::ids)).into_iter().map(Some).collect()
            }
            None => vec![None; parts.len()],
        };
        let script = match &spec.work {
            Work::Script { script, .. } => script.contents().len(),
            Work::Command(_) => 0,
        };
        let longest_lines = lines.iter().flatten().map(|lines| lines.len()).max().unwrap_or(0);
        let forms: &[Form] = match baggage.records().len() + script + longest_lines {
            _ if spec.bare => &Form::ALL[..1],
            0 if travels_bare(spec) && baggage.is_none() => &Form::ALL,
            0..TOO_LARGE_TO_TRY => &Form::ALL[1..],
            _ => Form::IN_S3,
        };
        let depends_on = awsb_model::dependencies(&spec.depends_on)?;
        let mut plan = Self { requests: Vec::new(), bundles: Vec::new() };
        // Without lines of their own, parts of an array differ in the IDs of their tasks alone.
        let mut earlier: HashMap<Form, Option<Dressed>> = HashMap::new();
        'parts: for (part, lines) in parts.iter().zip(&lines) {
            if lines.is_some() {
                earlier.clear();
            }
            let mut shortest = usize::MAX;
            for form in forms {
                let dressed = match earlier.entry(*form) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => {
                        new.insert(form.dress(spec, lines.zip(part.as_ref()), baggage, target)?)
                    }
                };
                let Some(dressed) = dressed else { continue };
                let mut environment = dressed.environment.clone();
                if let (Some(part), Shape::Array(all), false) = (part, &spec.shape, *form == Form::Bare) {
                    environment.extend(task_variables(part, all));
                }
                if let Some(submitter) = target.submitter {
                    environment.push(KeyValue::new(Submitter::VARIABLE, submitter.as_str()));
                }
                if let Shape::Nodes(_) = spec.shape {
                    environment.extend(node_variables(target));
                }
                environment.extend(mounts_variable(target));
                environment.push(KeyValue::new(Mark::VARIABLE, mark().as_str()));
                let command = dressed.command.clone();
                let overrides = Overrides { command, environment, resource_requirements: resources(spec) };
                let request = request(spec, target, part.as_ref(), depends_on.clone(), overrides);
                let longest = request.all_overrides().map(Overrides::length).max().unwrap_or(0);
                if longest <= ROOM && fit_together(longest, target) {
                    let bytes = serde_json::to_vec(&request).map_or(0, |json| json.len());
                    if bytes > limits::SUBMIT_JOB_BYTES {
                        return Err(PlanError::TooLarge(bytes));
                    }
                    plan.bundles.extend(dressed.bundle.take());
                    plan.requests.push(request);
                    continue 'parts;
                }
                shortest = shortest.min(longest);
            }
            return Err(PlanError::TooLong { length: shortest, limit: ROOM });
        }
        Ok(plan)
    }
}

/// So many bytes of script and inputs are not tried to be fitted into a request: that only takes time.
const TOO_LARGE_TO_TRY: usize = 512 * 1024;
/// Characters that the overrides may have, with room for what Batch adds.
pub const ROOM: usize = limits::OVERRIDES_LENGTH - limits::OVERRIDES_RESERVE;

/// Whether a request with the overrides for each node range stays below Batch's limit, with as much room for the
/// rest of it as one container's overrides may take.
fn fit_together(length: usize, target: &Target<'_>) -> bool {
    length * target.node_ranges.len() <= limits::SUBMIT_JOB_BYTES - limits::OVERRIDES_LENGTH
}

/// Whether nothing has to happen in the container before the command runs. A single one sees `AWSB_OUTPUT_URL`,
/// which takes `sh`; the children of an array of a given size start without it, because there it is what
/// takes the time.
fn travels_bare(spec: &JobSpec) -> bool {
    let can_be = match &spec.shape {
        Shape::Array(tasks) => tasks.are_batchs_own(),
        Shape::Single | Shape::Nodes(_) => spec.bare,
    };
    // A shell is there anyway, and its command line may well ask for the task.
    let is_shell_line = matches!(&spec.work, Work::Command(argv) if argv.len() > 2 && argv[0] == "/bin/sh" && argv[1] == "-c");
    can_be
        && (spec.bare || !is_shell_line)
        && matches!(spec.work, Work::Command(_))
        && spec.place == Place::Own
        && !needs_a_bundle(spec)
}

/// What a job that is to start with nothing in front of it (`--bare`) asks for and cannot have so.
pub fn obstacle_to_bare(spec: &JobSpec, has_inputs: bool) -> Option<&'static str> {
    let Work::Command(argv) = &spec.work else { return spec.bare.then_some("a script") };
    let is_array_of_its_own = matches!(&spec.shape, Shape::Array(tasks) if !tasks.are_batchs_own());
    let obstacles = [
        (spec.lines.is_some(), "--each and --commands"),
        (spec.stdin != Stdin::Nothing, "--stdin"),
        (has_inputs, "--input"),
        (!spec.outputs.is_empty(), "--output-file"),
        (spec.place != Place::Own, "--working-dir and --parent-working-dir"),
        (is_array_of_its_own, "tasks other than the 2 to 10000 children of --array-size"),
        (
            taken_as_they_are(argv).is_none(),
            "arguments that Batch would change (empty, with `Ref::`, or not UTF-8)",
        ),
        (plain_variables(&spec.environment).is_none(), "variables whose values are not UTF-8"),
    ];
    obstacles.into_iter().find_map(|(is, what)| (spec.bare && is).then_some(what))
}

/// Whether a plain command needs files in its container, too.
fn needs_a_bundle(spec: &JobSpec) -> bool {
    spec.lines.is_some() || !spec.outputs.is_empty()
}

/// What a task sees of its array; its own ID the launcher finds out.
pub fn task_variables(part: &Tasks, all: &Tasks) -> [KeyValue; 5] {
    let ids = all.ids();
    [
        KeyValue::new(launcher::TASKS_VARIABLE, part.variable()),
        KeyValue::new("AWSB_TASK_COUNT", ids.count().to_string()),
        KeyValue::new("AWSB_TASK_MIN", ids.min().to_string()),
        KeyValue::new("AWSB_TASK_MAX", ids.max().to_string()),
        KeyValue::new("AWSB_TASK_STEP", ids.step().to_string()),
    ]
}

/// What the entry point of awsb's image needs to connect the nodes of a job: where their key goes, never the key.
fn node_variables(target: &Target<'_>) -> [KeyValue; 2] {
    [
        KeyValue::new(launcher::NODES_VARIABLE, target.url(NODES)),
        KeyValue::new(launcher::NODES_REGION_VARIABLE, target.region),
    ]
}

/// The overrides for the nodes of a range: they alone have these vCPUs.
fn of_range(range: &NodeTargets, mut overrides: Overrides) -> NodePropertyOverride {
    let vcpus = range.vcpus.map(|vcpus| KeyValue::new(launcher::VCPUS_VARIABLE, vcpus.to_string()));
    overrides.environment.extend(vcpus);
    NodePropertyOverride { target_nodes: range.targets.clone(), container_overrides: overrides }
}

/// What that entry point mounts, a line each.
fn mounts_variable(target: &Target<'_>) -> Option<KeyValue> {
    let lines: Vec<_> = target.shared.iter().filter_map(Shared::mounted).map(FileSystem::to_string).collect();
    (!lines.is_empty()).then(|| KeyValue::new(launcher::SHARED_VARIABLE, lines.join("\n")))
}

/// The ways to travel, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    Bare,
    Plain,
    InRequest,
    PackedInRequest,
    /// As `InRequest`, without the programs for a script from Slurm that the job does not mention.
    InRequestWithLess,
    PackedInRequestWithLess,
    InS3,
    PackedInS3,
}

/// A command, its variables, and the bundle that both rely on.
struct Dressed {
    command: Vec<String>,
    environment: Vec<KeyValue>,
    bundle: Option<Bundle>,
}

impl Form {
    const ALL: [Form; 8] = [
        Form::Bare,
        Form::Plain,
        Form::InRequest,
        Form::PackedInRequest,
        Form::InRequestWithLess,
        Form::PackedInRequestWithLess,
        Form::InS3,
        Form::PackedInS3,
    ];
    /// Those for what is too large for a request.
    const IN_S3: &[Form] = &[Form::InS3, Form::PackedInS3];

    /// The job in this form, or `None` when it cannot take it; `lines` are those of a group of tasks.
    fn dress(
        self,
        spec: &JobSpec,
        lines: Option<(&[u8], &Tasks)>,
        baggage: &Baggage,
        target: &Target<'_>,
    ) -> Result<Option<Dressed>, PlanError> {
        let argv = argv(&spec.work);
        let script = match &spec.work {
            Work::Script { script, .. } => Some(script),
            Work::Command(_) => None,
        };
        let packed = matches!(self, Form::PackedInRequest | Form::PackedInRequestWithLess | Form::PackedInS3);
        let less = matches!(self, Form::InRequestWithLess | Form::PackedInRequestWithLess);
        let Some(mut variables) =
            (if packed { Some(Vec::new()) } else { plain_variables(&spec.environment) })
        else {
            return Ok(None);
        };
        if self == Form::Bare {
            let command = taken_as_they_are(&argv);
            return Ok(command.map(|command| Dressed { command, environment: variables, bundle: None }));
        }
        // Arguments that Batch would change go quoted, in a variable or in the bundle.
        let args = if packed {
            Vec::new()
        } else if let Some(args) = taken_as_they_are(&argv) {
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
            has_tasks: matches!(spec.shape, Shape::Array(_)),
            place: &spec.place,
        };
        let dialect = dialect::prelude(spec);
        let first = lines.map(|(_, tasks)| tasks.ids().min()).filter(|first| *first > 1);
        variables.extend(first.map(|first| KeyValue::new(launcher::FIRST_LINE_VARIABLE, first.to_string())));
        if self == Form::Plain {
            return Ok(plain(spec, script, lines, has_args, prelude, &dialect)
                .filter(|_| baggage.is_none())
                .and_then(|(launcher, more)| {
                    variables.extend(more);
                    let command = launcher::command(utf8(&launcher)?, args);
                    Some(Dressed { command, environment: variables, bundle: None })
                }));
        }
        // Its bundle would be empty.
        if script.is_none() && !packed && baggage.is_none() && !needs_a_bundle(spec) {
            return Ok(None);
        }
        let mentions = Mentions::of(spec, lines.map(|(lines, _)| lines), baggage);
        let which = if less { Files::Mentioned } else { Files::All };
        let Some(files) = dialect::files(spec, &mentions, which) else { return Ok(None) };
        let inputs = baggage.name().map(|name| KeyValue::new(launcher::INPUTS_VARIABLE, target.url(&name)));
        // Its standard input is no file that a command looks for.
        let has_files = !baggage.is_none() && spec.stdin != Stdin::Alone;
        let start = Start {
            packed: packed.then_some((&spec.environment, &argv)),
            interpreter: script.map(Script::interpreter),
            has_args,
            stays: script.is_some() || has_files || !spec.outputs.is_empty(),
            line: spec.lines.as_ref().map(|l| l.is),
            prelude,
            dialect: &dialect,
            has_inputs: inputs.is_some(),
            has_stdin: spec.stdin != Stdin::Nothing,
            outputs: &spec.outputs,
            region: target.region,
        };
        let bundle = bundle(script, lines.map(|(lines, _)| lines), &start.text(), &files, baggage)?;
        let carriage = match self {
            Form::InS3 | Form::PackedInS3 => Carriage::Fetched,
            _ => Carriage::Inline,
        };
        variables.extend(bundle_variables(&bundle, carriage, target));
        variables.extend(inputs);
        let command = launcher::command(launcher::for_bundle(carriage), args);
        Ok(Some(Dressed { command, environment: variables, bundle: Some(bundle) }))
    }
}

/// What the job executes in its working directory.
fn argv(work: &Work) -> Vec<OsString> {
    match work {
        Work::Command(argv) => argv.clone(),
        Work::Script { script, args } => {
            let path = OsString::from(format!("./{}", script.file_name()));
            let interpreter = (!script.is_self_contained()).then(|| OsString::from("/bin/sh"));
            interpreter.into_iter().chain([path]).chain(args.iter().cloned()).collect()
        }
    }
}

/// The arguments, if Batch hands them on unchanged: it refuses empty ones, and replaces `Ref::name`
/// (UG `job_definition_parameters`, boto3 issue 3612).
fn taken_as_they_are(argv: &[OsString]) -> Option<Vec<String>> {
    argv.iter().map(|a| utf8(a).filter(|a| !a.is_empty() && !a.contains("Ref::"))).collect()
}

fn plain_variables(environment: &Environment) -> Option<Vec<KeyValue>> {
    environment.iter().map(|(name, value)| Some(KeyValue::new(name.as_str(), utf8(value)?))).collect()
}

/// The launcher of a job that needs no bundle, and the variables with its script and lines; `None` where they have to
/// be packed.
fn plain(
    spec: &JobSpec,
    script: Option<&Script>,
    lines: Option<(&[u8], &Tasks)>,
    has_args: bool,
    prelude: Prelude<'_>,
    dialect: &OsStr,
) -> Option<(OsString, Vec<KeyValue>)> {
    // Their files are in the bundle: what uploads the results, and `srun`.
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
    let launcher = Plain { interpreter, has_args, line, prelude, dialect }.launcher();
    Some((launcher, variables))
}

/// Bytes that a variable can have as they are: UTF-8 without control characters but for line ends and tabs. What is
/// too long for a request in any case is not looked at.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok().filter(|text| text.len() <= limits::OVERRIDES_LENGTH)?;
    text.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()).then_some(text)
}

/// A character that is in none of the lines, which JSON has as it is, and which no shell takes for white space.
fn separator(lines: &str) -> Option<char> {
    let usual = ['|', '~', '^', ';', '%', '@', '#', '!', ','].into_iter();
    usual.chain((33u8..127).map(char::from)).find(|c| !lines.contains(*c) && !['"', '\\'].contains(c))
}

fn bundle_variables(bundle: &Bundle, carriage: Carriage, target: &Target<'_>) -> Vec<KeyValue> {
    match carriage {
        Carriage::Inline => {
            vec![KeyValue::new(launcher::BUNDLE_VARIABLE, BASE64_STANDARD.encode(bundle.bytes()))]
        }
        Carriage::Fetched => {
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
    files: &[dialect::File],
    baggage: &Baggage,
) -> io::Result<Bundle> {
    // Whoever looks for the script finds it before the lines and the start.
    let mut entries: Vec<_> = files.iter().map(dialect::File::entry).collect();
    if let Some(script) = script {
        entries.push(BundleEntry { path: script.file_name(), mode: 0o755, contents: script.contents() });
    }
    if let Some(contents) = lines {
        entries.push(BundleEntry { path: launcher::LINES_FILE, mode: 0o600, contents });
    }
    entries.push(BundleEntry { path: launcher::START_FILE, mode: 0o600, contents: start.as_bytes() });
    Bundle::pack(baggage.records(), &entries)
}

fn utf8(text: &OsStr) -> Option<String> {
    text.to_str().map(str::to_owned)
}

fn resources(spec: &JobSpec) -> Vec<ResourceRequirement> {
    let resource = |kind, value: Option<String>| value.map(|value| ResourceRequirement { kind, value });
    let resources = &spec.resources;
    let vcpus = resource("VCPU", resources.vcpus.map(|v| v.to_string()));
    let memory = resource("MEMORY", resources.memory.map(|m| m.to_string()));
    let gpus = resource("GPU", resources.gpus.map(|g| g.to_string()));
    [vcpus, memory, gpus].into_iter().flatten().collect()
}

fn request(
    spec: &JobSpec,
    target: &Target<'_>,
    part: Option<&Tasks>,
    depends_on: Vec<JobDependency>,
    overrides: Overrides,
) -> SubmitRequest {
    let scheduling = &spec.scheduling;
    let mut request = SubmitRequest {
        job_name: spec.name.to_string(),
        job_queue: target.job_queue.to_owned(),
        job_definition: target.job_definition.to_owned(),
        depends_on,
        share_identifier: scheduling.share.as_ref().map(|s| s.as_str().to_owned()),
        scheduling_priority_override: scheduling.priority.map(|p| p.get()),
        parameters: scheduling.parameters.clone(),
        retry_strategy: spec.retries.strategy(),
        timeout: spec.timeout.map(|t| JobTimeout { attempt_duration_seconds: t.seconds() }),
        propagate_tags: scheduling.propagate_tags.then_some(true),
        tags: scheduling.tags.clone(),
        ..SubmitRequest::default()
    };
    match spec.shape {
        Shape::Single | Shape::Array(_) => {
            // Batch has no array of one child.
            let size = part.map(|p| p.ids().count()).filter(|n| limits::ARRAY_SIZE.contains(n));
            request.array_properties = size.map(|size| ArrayProperties { size });
            request.container_overrides = Some(overrides);
        }
        Shape::Nodes(nodes) => {
            request.node_overrides = Some(NodeOverrides {
                num_nodes: nodes,
                node_property_overrides: target
                    .node_ranges
                    .iter()
                    .map(|range| of_range(range, overrides.clone()))
                    .collect(),
            });
        }
    }
    request
}
