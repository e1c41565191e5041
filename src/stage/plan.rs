//! In which form a job travels.
//!
//! Every form puts the same job into the container; they differ in what they need there and in what they
//! cost. The first one whose overrides fit Batch's limit is taken:
//!
//! 1. a command as it is (nothing but the image is needed),
//! 2. a bundle or quoted arguments inside the request (`sh`, and for a bundle `base64`, `gzip`, `tar`),
//! 3. the same with variables and arguments packed into the bundle, too,
//! 4. a bundle in S3, which the launcher fetches,
//! 5. the same with variables and arguments packed into it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::bundle::{Bundle, Entry};
use super::launcher::{self, Carriage};
use crate::job::{
    Environment, JobSpec, KeyValue, Overrides, ResourceRequirement, Script, SubmitRequest, Work, limits,
};

/// Where a job is going.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The queue's name or ARN.
    pub job_queue: &'a str,
    /// The job definition.
    pub job_definition: &'a str,
    /// The bucket for bundles.
    pub bucket: &'a str,
    /// The prefix of their keys, without a slash at its end.
    pub prefix: &'a str,
    /// The bucket's region.
    pub region: &'a str,
}

/// A job as it will travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What Batch will be asked.
    pub request: SubmitRequest,
    /// What has to be in S3 before that, if anything.
    pub bundle: Option<Bundle>,
}

/// Why a job cannot travel.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The archive cannot be made.
    #[error("packing the script: {0}")]
    Pack(#[from] io::Error),
    /// No form fits.
    #[error("the job's settings take {length} characters, and Batch takes at most {limit}")]
    TooLong {
        /// Characters of the smallest form.
        length: usize,
        /// Characters that are allowed.
        limit: usize,
    },
}

impl Plan {
    /// Chooses the form in which the job travels.
    ///
    /// # Errors
    /// When no form fits Batch's limit, which takes a bucket or prefix of absurd length.
    pub fn new(spec: &JobSpec, target: &Target<'_>) -> Result<Self, PlanError> {
        let forms: &[Form] = match spec.work {
            Work::Script { .. } => &Form::ALL[1..],
            Work::Command(_) => &Form::ALL,
        };
        let mut shortest = usize::MAX;
        for form in forms {
            let Some((command, environment, bundle)) = form.dress(spec, target)? else { continue };
            let overrides = Overrides { command, environment, resource_requirements: resources(spec) };
            if overrides.fit() {
                return Ok(Self { request: request(spec, target, overrides), bundle });
            }
            shortest = shortest.min(overrides.length());
        }
        let limit = limits::OVERRIDES_LENGTH - limits::OVERRIDES_RESERVE;
        Err(PlanError::TooLong { length: shortest, limit })
    }
}

/// The ways to travel, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Bare,
    InRequest,
    PackedInRequest,
    InS3,
    PackedInS3,
}

/// A command, its variables, and the bundle that both rely on.
type Dressed = (Vec<String>, Vec<KeyValue>, Option<Bundle>);

impl Form {
    const ALL: [Form; 5] = [Form::Bare, Form::InRequest, Form::PackedInRequest, Form::InS3, Form::PackedInS3];

    /// The job in this form, or `None` when it cannot take it.
    fn dress(self, spec: &JobSpec, target: &Target<'_>) -> Result<Option<Dressed>, PlanError> {
        let argv = argv(&spec.work);
        let script = match &spec.work {
            Work::Script { script, .. } => Some(script),
            Work::Command(_) => None,
        };
        let packed = matches!(self, Form::PackedInRequest | Form::PackedInS3);
        let Some(mut variables) =
            (if packed { Some(Vec::new()) } else { plain_variables(&spec.environment) })
        else {
            return Ok(None);
        };
        if self == Form::Bare {
            return Ok(taken_as_they_are(&argv).map(|argv| (argv, variables, None)));
        }
        // Arguments that Batch would change go quoted, in a variable or in the bundle.
        let args = if packed {
            Vec::new()
        } else if let Some(args) = script.and_then(|_| taken_as_they_are(&argv)) {
            args
        } else {
            let Some(quoted) = utf8(&launcher::quote_all(argv.iter().map(OsString::as_os_str))) else {
                return Ok(None);
            };
            variables.push(KeyValue { name: launcher::ARGS_VARIABLE.to_owned(), value: quoted });
            Vec::new()
        };
        let bundle = match (script, packed) {
            (None, false) if self == Form::InS3 => return Ok(None),
            (None, false) => None,
            (script, packed) => Some(bundle(script, packed.then(|| job_file(&argv, &spec.environment)))?),
        };
        let carriage = match self {
            Form::InS3 | Form::PackedInS3 => Carriage::Fetched,
            _ => Carriage::Inline,
        };
        if let Some(bundle) = &bundle {
            variables.extend(bundle_variables(bundle, carriage, target));
        }
        let launcher = match (script, &bundle) {
            (Some(_), _) => launcher::for_script(carriage),
            (None, Some(_)) => launcher::for_command(carriage),
            (None, None) => launcher::for_args(),
        };
        Ok(Some((launcher::command(launcher, args), variables, bundle)))
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
    environment
        .iter()
        .map(|(name, value)| Some(KeyValue { name: name.as_str().to_owned(), value: utf8(value)? }))
        .collect()
}

fn bundle_variables(bundle: &Bundle, carriage: Carriage, target: &Target<'_>) -> Vec<KeyValue> {
    let variable = |name: &str, value: String| KeyValue { name: name.to_owned(), value };
    match carriage {
        Carriage::Inline => {
            vec![variable(launcher::BUNDLE_VARIABLE, BASE64_STANDARD.encode(bundle.bytes()))]
        }
        Carriage::Fetched => {
            let url = format!("s3://{}/{}", target.bucket, bundle.key(target.prefix));
            vec![
                variable(launcher::BUNDLE_VARIABLE, url),
                variable(launcher::REGION_VARIABLE, target.region.to_owned()),
            ]
        }
    }
}

fn bundle(script: Option<&Script>, job_file: Option<OsString>) -> io::Result<Bundle> {
    let mut entries = Vec::new();
    if let Some(script) = script {
        entries.push(Entry { path: script.file_name(), mode: 0o755, contents: script.contents() });
    }
    if let Some(job_file) = &job_file {
        entries.push(Entry { path: launcher::JOB_FILE, mode: 0o600, contents: job_file.as_bytes() });
    }
    Bundle::pack(&entries)
}

/// The file that the launcher sources: variables and arguments, in any bytes.
fn job_file(argv: &[OsString], environment: &Environment) -> OsString {
    let mut text = OsString::new();
    for (name, value) in environment.iter() {
        text.push(format!("export {name}="));
        text.push(launcher::quote(value));
        text.push("\n");
    }
    text.push("set -- ");
    text.push(launcher::quote_all(argv.iter().map(OsString::as_os_str)));
    text.push("\n");
    text
}

fn utf8(text: &OsStr) -> Option<String> {
    text.to_str().map(str::to_owned)
}

fn resources(spec: &JobSpec) -> Vec<ResourceRequirement> {
    let vcpus = spec.vcpus.map(|v| ResourceRequirement { kind: "VCPU", value: v.to_string() });
    let memory = spec.memory.map(|m| ResourceRequirement { kind: "MEMORY", value: m.to_string() });
    vcpus.into_iter().chain(memory).collect()
}

fn request(spec: &JobSpec, target: &Target<'_>, overrides: Overrides) -> SubmitRequest {
    SubmitRequest {
        job_name: spec.name.to_string(),
        job_queue: target.job_queue.to_owned(),
        job_definition: target.job_definition.to_owned(),
        array_size: spec.array.map(|a| a.get()),
        attempts: spec.attempts.map(|a| a.get()),
        timeout_seconds: spec.timeout.map(|t| t.seconds()),
        container_overrides: overrides,
    }
}
