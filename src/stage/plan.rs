//! The plan of a job's requests, and the choice of the way in which the job travels.
//!
//! Every [`Delivery`] puts the same job into the container. They differ in what they need there and
//! in their cost. The first one whose overrides fit Batch's limit is taken.
//!
//! If an array becomes several jobs, each of them has its own lines, and so a bundle of its own.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;

use super::delivery::{Delivery, Encoded, needs_a_bundle, plain_variables, unchanged_by_batch};
use super::packed_inputs::PackedInputs;
use super::ssh_keys::NODE_KEYS;
use super::target::Target;
use awsb_model::payload::Bundle;
use awsb_model::payload::launcher;
use awsb_model::request::{KeyValue, Overrides, SubmitRequest};
use awsb_model::{
    self, FileSystem, Invalid, JobSpec, Program, ResolvedJob, ResolvedShape, RunningLimit, Shape, SharedDir,
    Stdin, SubmissionId, Submitter, Tasks, WorkDir, limits,
};

/// The requests of a job, and the bundles that they rely on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One request, or several that make up one array with more children than Batch has in a job.
    pub requests: Vec<SubmitRequest>,
    /// The bundles that have to be in S3 before the requests are sent.
    pub bundles: Vec<Bundle>,
}

/// The reason why a job cannot be submitted.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The archive cannot be made.
    #[error("packing the script: {0}")]
    Pack(#[from] io::Error),
    /// Some settings exclude each other.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// The request is too long because of something outside of the overrides.
    #[error("the request is {0} bytes long, most of them tags (--tag) and parameters (--param), and Batch \
             accepts at most {limit}", limit = limits::SUBMIT_JOB_BYTES)]
    TooLarge(usize),
    /// No delivery fits.
    #[error("the job's settings are {length} characters long, and Batch accepts at most {limit}")]
    TooLong {
        /// Characters of the shortest delivery.
        length: usize,
        /// Characters that Batch accepts.
        limit: usize,
    },
}

/// A larger script with its inputs, in bytes, is never tried in a request: that would only take
/// time.
const TOO_LARGE_TO_TRY: usize = 512 * 1024;
/// The characters that the overrides may have. The rest of Batch's limit is a reserve for what
/// Batch adds.
pub const OVERRIDES_BUDGET: usize = limits::OVERRIDES_LENGTH - limits::OVERRIDES_RESERVE;

impl Plan {
    /// Whether a job fetches its bundle from S3.
    pub fn is_fetched(&self) -> bool {
        let mut bundles = self.requests.iter().filter_map(|r| r.variable(launcher::BUNDLE_VARIABLE));
        bundles.any(|value| value.starts_with("s3://"))
    }

    /// Chooses how the job travels with its inputs, and writes its requests. `mark` makes the mark
    /// of each request.
    ///
    /// # Errors
    /// When no delivery fits Batch's limit, which takes a bucket or prefix of absurd length.
    pub fn new(
        job: &ResolvedJob,
        inputs: &PackedInputs,
        target: &Target<'_>,
        mut mark: impl FnMut() -> SubmissionId,
    ) -> Result<Self, PlanError> {
        let parts = match &job.shape {
            ResolvedShape::Array(tasks) => tasks.parts().into_iter().map(Some).collect(),
            ResolvedShape::Single | ResolvedShape::Nodes(_) => vec![None],
        };
        let lines = match &job.spec.lines {
            Some(lines) => {
                lines.of_groups(parts.iter().flatten().map(Tasks::ids)).into_iter().map(Some).collect()
            }
            None => vec![None; parts.len()],
        };
        let deliveries = deliveries(job, inputs, lines.iter().flatten().map(|lines| lines.len()).max());
        let mut plan = Self { requests: Vec::new(), bundles: Vec::new() };
        // Without lines, the parts of an array differ only in the IDs of their tasks.
        let mut encoded: HashMap<Delivery, Option<Encoded>> = HashMap::new();
        let mut limit_id = None;
        for (part, lines) in parts.iter().zip(&lines) {
            let mark = mark();
            if lines.is_some() {
                encoded.clear();
            }
            let lines = lines.zip(part.as_ref());
            let mut shortest = usize::MAX;
            let mut fitting = None;
            for delivery in deliveries {
                let encoded = match encoded.entry(*delivery) {
                    Entry::Occupied(earlier) => earlier.into_mut(),
                    Entry::Vacant(new) => new.insert(delivery.encode(job, lines, inputs, target)?),
                };
                let Some(encoded) = encoded else { continue };
                let mut environment = encoded.environment.clone();
                if let (Some(part), ResolvedShape::Array(all), false) =
                    (part, &job.shape, *delivery == Delivery::Bare)
                {
                    environment.extend(task_variables(part, all));
                }
                environment.extend(cluster_variables(job, target));
                environment.extend(
                    job.spec.limit.map(|limit| KeyValue::new(RunningLimit::VARIABLE, limit.to_string())),
                );
                environment.push(KeyValue::new(SubmissionId::VARIABLE, mark.as_str()));
                let request = job.submit_request(part.as_ref(), encoded.command.clone(), environment)?;
                let length = request.all_overrides().map(Overrides::length).max().unwrap_or(0);
                if length <= OVERRIDES_BUDGET && fits_for_all_ranges(length, &job.shape) {
                    fitting = Some((request, encoded.bundle.take()));
                    break;
                }
                shortest = shortest.min(length);
            }
            let Some((request, bundle)) = fitting else {
                return Err(PlanError::TooLong { length: shortest, limit: OVERRIDES_BUDGET });
            };
            let bytes = serde_json::to_vec(&request).map_or(0, |json| json.len());
            if bytes > limits::SUBMIT_JOB_BYTES {
                return Err(PlanError::TooLarge(bytes));
            }
            plan.bundles.extend(bundle);
            plan.requests.push(request);
            limit_id.get_or_insert(mark);
        }
        Ok(match (job.spec.limit, limit_id) {
            (Some(limit), Some(id)) => plan.limited(&id, limit, false),
            _ => plan,
        })
    }

    /// The same plan of an array, at most `limit` tasks of which run at the same time. All parts of
    /// the array have one limit. `is_shared`: others may submit jobs with the same limit.
    #[must_use]
    pub fn limited(mut self, id: &SubmissionId, limit: u32, is_shared: bool) -> Self {
        let parts = if is_shared { 0 } else { self.requests.len() };
        let limit = RunningLimit::of_mark(id, limit, parts);
        self.requests.iter_mut().for_each(|request| request.set_limit(&limit));
        self
    }
}

/// The deliveries to try, in their order; `lines` is the length of the longest list of lines.
fn deliveries(job: &ResolvedJob, inputs: &PackedInputs, lines: Option<usize>) -> &'static [Delivery] {
    let script = match &job.spec.program {
        Program::Script { script, .. } => script.contents().len(),
        Program::Command(_) => 0,
    };
    match inputs.records().len() + script + lines.unwrap_or(0) {
        _ if job.spec.bare => &Delivery::ALL[..1],
        0 if starts_bare(job) && inputs.is_none() => &Delivery::ALL,
        0..TOO_LARGE_TO_TRY => &Delivery::ALL[1..],
        _ => Delivery::IN_S3,
    }
}

/// Whether a request with overrides of this length for each node range stays below Batch's limit,
/// if the rest of the request takes as much as the overrides of one container may.
fn fits_for_all_ranges(length: usize, shape: &ResolvedShape) -> bool {
    let ranges = match shape {
        ResolvedShape::Nodes(nodes) => nodes.ranges.len(),
        ResolvedShape::Single | ResolvedShape::Array(_) => 0,
    };
    length * ranges <= limits::SUBMIT_JOB_BYTES - limits::OVERRIDES_LENGTH
}

/// Whether nothing has to happen in the container before the command runs. A single job gets
/// `AWSB_OUTPUT_URL`, which takes `sh`. The children of an array of a given size start without it,
/// because there the start takes most of the time.
fn starts_bare(job: &ResolvedJob) -> bool {
    let spec = &job.spec;
    let can_be_bare = match &job.shape {
        ResolvedShape::Array(tasks) => tasks.are_batchs_own(),
        ResolvedShape::Single | ResolvedShape::Nodes(_) => spec.bare,
    };
    // A shell is there anyway, and its command line may use the variables of the task.
    let is_shell_line = matches!(&spec.program, Program::Command(argv) if argv.len() > 2 && argv[0] == "/bin/sh" && argv[1] == "-c");
    can_be_bare
        && (spec.bare || !is_shell_line)
        && matches!(spec.program, Program::Command(_))
        && spec.place == WorkDir::Own
        && !needs_a_bundle(spec)
}

/// The first feature of a job that `--bare` cannot provide.
pub fn obstacle_to_bare(spec: &JobSpec, has_inputs: bool) -> Option<&'static str> {
    let Program::Command(argv) = &spec.program else { return spec.bare.then_some("a script") };
    let is_array_of_its_own = matches!(&spec.shape, Shape::Array(tasks) if !tasks.are_batchs_own());
    let obstacles = [
        (spec.lines.is_some(), "--each and --commands"),
        (spec.stdin != Stdin::Nothing, "--stdin"),
        (has_inputs, "--input"),
        (!spec.outputs.is_empty(), "--output-file"),
        (spec.place != WorkDir::Own, "--working-dir and --parent-working-dir"),
        (is_array_of_its_own, "tasks other than the 2 to 10000 children of --array-size"),
        (
            unchanged_by_batch(argv).is_none(),
            "arguments that Batch would change (empty, with `Ref::`, or not UTF-8)",
        ),
        (plain_variables(&spec.environment).is_none(), "variables whose values are not UTF-8"),
    ];
    obstacles.into_iter().find_map(|(is, what)| (spec.bare && is).then_some(what))
}

/// The variables of a task about its array. The launcher finds out the ID of the task.
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

/// The variables about the cluster and the user, and for the nodes of a job where their key goes
/// (never the key). The entry point of awsb's image connects the nodes, and mounts the shared
/// directories.
fn cluster_variables(job: &ResolvedJob, target: &Target<'_>) -> Vec<KeyValue> {
    let mut variables = Vec::new();
    variables.extend(target.submitter.map(|user| KeyValue::new(Submitter::VARIABLE, user.as_str())));
    if let ResolvedShape::Nodes(_) = job.shape {
        variables.push(KeyValue::new(launcher::NODES_VARIABLE, target.url(NODE_KEYS)));
        variables.push(KeyValue::new(launcher::NODES_REGION_VARIABLE, target.region));
    }
    let mounts: Vec<_> =
        target.shared.iter().filter_map(SharedDir::mounted).map(FileSystem::to_string).collect();
    if !mounts.is_empty() {
        variables.push(KeyValue::new(launcher::SHARED_VARIABLE, mounts.join("\n")));
    }
    variables
}
