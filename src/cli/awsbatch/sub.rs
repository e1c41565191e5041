//! `awsbsub`: submits a job.
//!
//! The job is that of the old tool: its files are in a folder of the cluster's bucket, and its
//! command fetches them with the `aws` command of the image. It is submitted as ours are, so that a
//! lost reply does not make a second job.

use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use nix::sys::stat::{SFlag, fstat};

use super::listing::{print, shell_join, shell_quote};
use super::options::{CLUSTER, Definition, LOG_LEVEL, Operands, Opt, Takes, Values};
use super::stat::FOLDER_VARIABLE;
use super::tool::{failed_with, open, run};
use crate::aws::Session;
use crate::batch::{self, RetryPolicy, SubmissionProgress, Submitted};
use crate::config;
use crate::stage;
use crate::ui::{Exit, Failure, SignalListener};
use awsb_model::request::{
    ArrayProperties, JobDependency, JobTimeout, KeyValue, NodeOverrides, NodePropertyOverride, Overrides,
    ResourceRequirement, RetryStrategy, SubmitRequest,
};
use awsb_model::{SubmissionId, limits};

/// The command line.
pub const DEFINITION: Definition = Definition {
    name: "awsbsub",
    about: "Submit a job to the cluster's job queue",
    options: &[
        Opt { short: "jn", long: "job-name", takes: Takes::Text, help: "The name of the job" },
        CLUSTER,
        Opt {
            short: "cf",
            long: "command-file",
            takes: Takes::Nothing,
            help: "The command is a file of this machine, which is sent to the job",
        },
        Opt {
            short: "w",
            long: "working-dir",
            takes: Takes::Text,
            help: "The directory in which the job runs [default: job-ID in the directory where it starts]",
        },
        Opt {
            short: "pw",
            long: "parent-working-dir",
            takes: Takes::Text,
            help: "The directory in which the job's own directory job-ID is made",
        },
        Opt {
            short: "if",
            long: "input-file",
            takes: Takes::Texts,
            help: "A file that is sent to the directory of the job; may be repeated",
        },
        Opt { short: "p", long: "vcpus", takes: Takes::Number, help: "vCPUs, on each node [default: 1]" },
        Opt {
            short: "m",
            long: "memory",
            takes: Takes::Number,
            help: "Memory in MiB, on each node [default: 128]",
        },
        Opt {
            short: "e",
            long: "env",
            takes: Takes::Text,
            help: "Variables of this shell for the job: names with commas, or all",
        },
        Opt {
            short: "eb",
            long: "env-blacklist",
            takes: Takes::Text,
            help: "Variables that `--env all` leaves out [default: HOME, LD_LIBRARY_PATH, PATH, PWD, TERM, \
                   TERMCAP, USER, VCPUS]",
        },
        Opt {
            short: "r",
            long: "retry-attempts",
            takes: Takes::Number,
            help: "How often the job is tried, 1 to 10 [default: 1]",
        },
        Opt {
            short: "t",
            long: "timeout",
            takes: Takes::Number,
            help: "The seconds after which an attempt is ended, 60 at least",
        },
        Opt {
            short: "n",
            long: "nodes",
            takes: Takes::Number,
            help: "The nodes of a multi-node parallel job",
        },
        Opt {
            short: "a",
            long: "array-size",
            takes: Takes::Number,
            help: "The children of an array job, 2 to 10000",
        },
        Opt {
            short: "d",
            long: "depends-on",
            takes: Takes::Text,
            help: "The jobs that must succeed first: jobId=ID,type=TYPE;jobId=ID …",
        },
        Opt { short: "aws", long: "awscli", takes: Takes::Nothing, help: "" },
        LOG_LEVEL,
    ],
    operands: Operands::Any,
    operand: ("command", "The command and its arguments; a script of standard input if there is none"),
    differences: &[
        "A reply that is lost makes no second job: awsbsub looks for the job before it submits again. When Ctrl-C \
         interrupts it, it says whether there may be a job, and the exit code is 130.",
        "vCPUs and memory are requested in resourceRequirements, as vcpus and memory are deprecated. The job has one \
         more variable, AWSB_SUBMISSION.",
        "--env gives its variables to a command, too. Several dependencies are all kept. With a device such as \
         /dev/null as standard input, a command is submitted.",
    ],
    exit: "0: the job was submitted. 1: it was not. 2: the command line is wrong.",
    successor: "bsub",
};

/// The variables that `--env all` leaves out.
const NOT_EXPORTED: [&str; 8] =
    ["HOME", "LD_LIBRARY_PATH", "PATH", "PWD", "TERM", "TERMCAP", "USER", "VCPUS"];
/// The variables that no job gets begin thus, in upper case.
const RESERVED: [&str; 3] = ["PCLUSTER_", "AWS_", "LESS_TERMCAP_"];
/// The part of a job's command that installs the `aws` command.
const INSTALL_AWS: &str = "curl -O https://bootstrap.pypa.io/get-pip.py >/dev/null 2>&1 && \
    python get-pip.py --user >/dev/null 2>&1 && \
    export PATH=~/.local/bin:$PATH >/dev/null 2>&1 && \
    pip install awscli --upgrade --user >/dev/null 2>&1";

/// `awsbsub`' entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    run(&DEFINITION, words, |values| Box::pin(submit(values)))
}

/// The program of a job.
enum Program {
    /// A command of the image.
    Command,
    /// A file of this machine.
    File(OsString),
    /// The standard input.
    Input,
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::usage(message)
}

async fn submit(values: Values) -> Result<Exit, Failure> {
    let is_terminal = std::io::stdin().is_terminal();
    let program = program(&values, is_terminal)?;
    let depends_on = dependencies(&values)?;
    if values.text("env-blacklist").is_some() && values.text("env").as_deref() != Some("all") {
        return Err(invalid("--env-blacklist parameter can be used only associated with --env \"all\""));
    }
    if values.text("working-dir").is_some() && values.text("parent-working-dir").is_some() {
        return Err(invalid(
            "--parent-working-dir and --working-dir parameters cannot be used at the same time",
        ));
    }
    let name = values.text("job-name").unwrap_or_else(|| match (&program, values.texts().first()) {
        (Program::Command, Some(command)) => cleaned(command),
        (Program::File(_), Some(command)) if is_terminal => cleaned(command),
        _ => "STDIN".to_owned(),
    });
    let mut session = open(&values).await?;
    let nodes = values.number("nodes").filter(|nodes| *nodes > 1);
    if nodes.is_some() && session.cluster.job_definition_mnp.is_none() {
        return Err(invalid("Current cluster does not support MNP jobs submission"));
    }
    let now = jiff::Timestamp::now().as_millisecond();
    let folder = format!("{}/job-{name}-{now}/", session.cluster.prefix);
    let folder = folder.trim_start_matches('/');
    let env_file = match values.text("env") {
        Some(env) => {
            let lines = exports(&env, values.text("env-blacklist"))?;
            Some((format!("{name}.env.sh"), lines))
        }
        None => None,
    };
    upload(&session, &values, &program, folder, &name, env_file.as_ref()).await?;
    let env_file = env_file.map(|(name, _)| name);
    let command = command(&session, &values, &program, folder, &name, env_file.as_deref());
    let url = format!("s3://{}/{folder}", session.cluster.bucket);
    let mark = SubmissionId::random();
    let submitted = session.with_fresh_cluster(async |session| {
        let environment = vec![KeyValue::new(FOLDER_VARIABLE, &url)];
        let request =
            request(session, &values, &name, nodes, depends_on.clone(), command.clone(), environment)?;
        send(session, &request.marked(&mark), &mark).await
    });
    let submitted =
        submitted.await.map_err(failed_with("Error submitting job to AWS Batch. Failed with exception:"))?;
    let record = batch::record_submission(&session, &[submitted.id()], &name);
    let printed = print(vec![format!("Job {} ({name}) has been submitted.", submitted.job_id)]);
    if let Some(record) = record {
        record.complete("awsbsub");
    }
    printed?;
    Ok(Exit::Done)
}

/// Finds the job's program. As the old tool, it takes a standard input that is not a terminal for
/// the script. A device such as `/dev/null` is not one, if there is a command.
fn program(values: &Values, is_terminal: bool) -> Result<Program, Failure> {
    let command = values.operands.first();
    if values.has("command-file") {
        let Some(file) = command else {
            return Err(invalid("The command parameter is required with --command-file option"));
        };
        return match Path::new(file).is_file() {
            true => Ok(Program::File(file.clone())),
            false => Err(invalid(format!(
                "The command parameter ({}) must be an existing file",
                file.to_string_lossy()
            ))),
        };
    }
    let is_device = || {
        let kind = fstat(std::io::stdin().as_fd()).map(|stat| SFlag::from_bits_truncate(stat.st_mode));
        kind.is_ok_and(|kind| kind & SFlag::S_IFMT == SFlag::S_IFCHR)
    };
    match command {
        None if is_terminal => Err(invalid("Parameters validation error: command parameter is required.")),
        None => Ok(Program::Input),
        Some(_) if is_terminal || is_device() => Ok(Program::Command),
        Some(_) => Err(invalid("Error: command and arguments cannot be specified when submitting by stdin.")),
    }
}

/// A job's name from that of its program.
fn cleaned(command: &str) -> String {
    let file = command.rsplit('/').next().unwrap_or_default();
    let parts = file.split(|c: char| !c.is_alphanumeric() && c != '_');
    let mut name = String::new();
    for (at, part) in parts.enumerate() {
        // Several characters together are replaced by one.
        if at > 0 && !name.ends_with('\0') {
            name.push('\0');
        }
        name.push_str(part);
    }
    name.replace('\0', "_")
}

/// The value of `--depends-on`. A key that comes again begins another dependency.
fn dependencies(values: &Values) -> Result<Vec<JobDependency>, Failure> {
    let Some(text) = values.text("depends-on") else { return Ok(Vec::new()) };
    let wrong = || invalid("Parameters validation error: please double check --depends-on parameter syntax.");
    let mut dependencies: Vec<JobDependency> = Vec::new();
    for part in text.split([',', ';', ' ']) {
        let (key, value) = part.split_once('=').filter(|(_, value)| !value.is_empty()).ok_or_else(wrong)?;
        let is_new = |last: &JobDependency| match key {
            "jobId" => last.job_id.is_some(),
            _ => last.kind.is_some(),
        };
        if dependencies.last().is_none_or(is_new) {
            dependencies.push(JobDependency { job_id: None, kind: None });
        }
        let Some(last) = dependencies.last_mut() else { continue };
        match (key, value) {
            ("jobId", id) => last.job_id = Some(id.to_owned()),
            ("type", "N_TO_N") => last.kind = Some("N_TO_N"),
            ("type", "SEQUENTIAL") => last.kind = Some("SEQUENTIAL"),
            _ => return Err(wrong()),
        }
    }
    Ok(dependencies)
}

/// The file that sets the variables of this shell in the job.
fn exports(env: &str, blacklist: Option<String>) -> Result<Vec<u8>, Failure> {
    let blacklist = match blacklist {
        Some(names) => Some(names),
        None => config::old_env_blacklist()?,
    };
    let excluded: Vec<&str> = match &blacklist {
        Some(names) => names.split(',').map(str::trim).collect(),
        None => NOT_EXPORTED.to_vec(),
    };
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut export = |name: &OsStr, value: &OsStr| {
        let upper = name.to_string_lossy().to_uppercase();
        if !RESERVED.iter().any(|prefix| upper.starts_with(prefix)) && !upper.contains("()") {
            lines.push([b"export ", name.as_bytes(), b"=", &shell_quote(value), b";\n"].concat());
        }
    };
    for name in env.split(',').map(str::trim) {
        if name == "all" {
            let variables = std::env::vars_os().filter(|(name, _)| !excluded.iter().any(|n| name == n));
            variables.for_each(|(name, value)| export(&name, &value));
        } else if let Some(value) = std::env::var_os(name) {
            export(name.as_ref(), &value);
        }
    }
    // The old tool writes a line break where there is no line.
    Ok(if lines.is_empty() { b"\n".to_vec() } else { lines.concat() })
}

/// Stores the files of the job in its folder.
async fn upload(
    session: &Session,
    values: &Values,
    program: &Program,
    folder: &str,
    name: &str,
    env_file: Option<&(String, Vec<u8>)>,
) -> Result<(), Failure> {
    let inputs = async {
        stage::store_bytes(session, folder, Vec::new()).await?;
        for file in values.all("input-file") {
            let base = file.to_string_lossy();
            let base = base.rsplit('/').next().unwrap_or_default();
            stage::store_file(session, &format!("{folder}{base}"), Path::new(file)).await?;
        }
        Ok(())
    };
    inputs.await.map_err(failed_with("Unexpected error. Command failed with exception:"))?;
    if let Some((name, lines)) = env_file {
        let stored = stage::store_bytes(session, &format!("{folder}{name}"), lines.clone()).await;
        stored.map_err(failed_with("Error creating environment file. Failed with exception:"))?;
    }
    let key = format!("{folder}{name}.sh");
    let script = async {
        match program {
            Program::Command => Ok(()),
            Program::File(file) => stage::store_file(session, &key, Path::new(file)).await,
            Program::Input => {
                let mut text = Vec::new();
                let most = u64::try_from(limits::TEXT_BYTES).unwrap_or(u64::MAX);
                let read = std::io::stdin().lock().take(most.saturating_add(1)).read_to_end(&mut text);
                read.map_err(|e| Failure::failed(format!("reading standard input: {e}")))?;
                if text.len() > limits::TEXT_BYTES {
                    return Err(Failure::usage("the script on standard input is longer than 1 GiB"));
                }
                stage::store_bytes(session, &key, text).await
            }
        }
    };
    script.await.map_err(failed_with("Error creating job script. Failed with exception:"))
}

/// The command of the job. One that needs files fetches them.
fn command(
    session: &Session,
    values: &Values,
    program: &Program,
    folder: &str,
    name: &str,
    env_file: Option<&str>,
) -> Vec<String> {
    let words = values.texts();
    if matches!(program, Program::Command) && env_file.is_none() {
        return words;
    }
    let mut steps = Vec::new();
    if values.has("awscli") {
        steps.push(INSTALL_AWS.to_owned());
    }
    let enter = |directory: &str| format!("mkdir -p \"{directory}\" && cd \"{directory}\"");
    match values.text("working-dir") {
        Some(directory) => steps.push(enter(&directory)),
        None => {
            steps.extend(values.text("parent-working-dir").as_deref().map(enter));
            steps.push("mkdir -p job-${AWS_BATCH_JOB_ID} && cd job-${AWS_BATCH_JOB_ID}".to_owned());
        }
    }
    let (region, bucket) = (&session.region, &session.cluster.bucket);
    steps.push(format!("aws s3 --region {region} sync s3://{bucket}/{folder} . >/dev/null"));
    steps.extend(env_file.map(|file| format!("source {file}")));
    let quoted = |words: &[String]| shell_join(words.iter().map(String::as_str));
    steps.push(match program {
        Program::Command => quoted(&words),
        Program::File(_) | Program::Input => {
            let arguments = quoted(words.get(1..).unwrap_or_default());
            format!("chmod +x {name}.sh && ./{name}.sh {arguments}")
        }
    });
    vec!["/bin/bash".to_owned(), "-c".to_owned(), steps.join(" && ")]
}

/// A number for Batch, which has a range of its own.
fn ranged<T: TryFrom<i64>>(option: &str, number: i64) -> Result<T, Failure> {
    T::try_from(number).map_err(|_| invalid(format!("--{option} is out of range: {number}")))
}

/// The request. vCPUs and memory go where they change any job definition.
fn request(
    session: &Session,
    values: &Values,
    name: &str,
    nodes: Option<i64>,
    depends_on: Vec<JobDependency>,
    command: Vec<String>,
    environment: Vec<KeyValue>,
) -> Result<SubmitRequest, Failure> {
    let cluster = &session.cluster;
    let number = |option, otherwise| values.number(option).or(otherwise).filter(|number| *number != 0);
    let required = [("VCPU", number("vcpus", Some(1))), ("MEMORY", number("memory", Some(128)))];
    let overrides = Overrides {
        command,
        environment,
        resource_requirements: required
            .into_iter()
            .filter_map(|(kind, number)| Some(ResourceRequirement { kind, value: number?.to_string() }))
            .collect(),
    };
    let timeout = number("timeout", None).map(|seconds| ranged("timeout", seconds)).transpose()?;
    let request = SubmitRequest {
        job_name: name.to_owned(),
        job_queue: cluster.job_queue.clone(),
        depends_on,
        retry_strategy: Some(RetryStrategy {
            attempts: Some(ranged("retry-attempts", values.number("retry-attempts").unwrap_or(1))?),
            evaluate_on_exit: Vec::new(),
        }),
        timeout: timeout.map(|attempt_duration_seconds| JobTimeout { attempt_duration_seconds }),
        ..SubmitRequest::default()
    };
    let Some(nodes) = nodes else {
        let size = number("array-size", None).map(|size| ranged("array-size", size)).transpose()?;
        return Ok(SubmitRequest {
            job_definition: cluster.job_definition.clone(),
            container_overrides: Some(overrides),
            array_properties: size.map(|size| ArrayProperties { size }),
            ..request
        });
    };
    let all = NodePropertyOverride { target_nodes: "0:".to_owned(), container_overrides: overrides };
    Ok(SubmitRequest {
        job_definition: cluster.job_definition_mnp.clone().unwrap_or_default(),
        node_overrides: Some(NodeOverrides {
            num_nodes: ranged("nodes", nodes)?,
            node_property_overrides: vec![all],
        }),
        ..request
    })
}

/// Submits the job exactly once.
async fn send(session: &Session, request: &SubmitRequest, mark: &SubmissionId) -> Result<Submitted, Failure> {
    let (policy, progress) = (RetryPolicy::new(None), SubmissionProgress::default());
    let mut signals = SignalListener::listen();
    tokio::select! {
        biased;
        signal = signals.next() => Err(progress.interrupted(signal)),
        submitted = batch::submit(session, request, mark, &policy, &progress) => submitted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_only_word_characters() {
        for (command, name) in
            [("/bin/echo", "echo"), ("a b--c.sh", "a_b_c_sh"), ("./x_.y", "x__y"), ("..", "_")]
        {
            assert_eq!(cleaned(command), name);
        }
    }

    #[test]
    fn dependencies_are_read() {
        let of = |text: &str| {
            let words = ["-d", text].map(OsString::from);
            let values = DEFINITION.parse(&words).unwrap_or_default();
            dependencies(&values).map(|all| {
                all.iter()
                    .map(|d| format!("{}/{}", d.job_id.as_deref().unwrap_or(""), d.kind.unwrap_or("")))
                    .collect::<Vec<_>>()
                    .join(" ")
            })
        };
        for (text, read) in [
            ("jobId=a", "a/"),
            ("jobId=a,type=N_TO_N", "a/N_TO_N"),
            ("type=SEQUENTIAL", "/SEQUENTIAL"),
            ("jobId=a;jobId=b,type=N_TO_N", "a/ b/N_TO_N"),
            ("jobId=a,jobId=b", "a/ b/"),
        ] {
            assert_eq!(of(text).unwrap_or_default(), read, "{text}");
        }
        for text in ["a", "jobId=", "jobId=a,", "id=a", "type=X"] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
