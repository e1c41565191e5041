//! How an attempt ended, classified by AWS's message and the exit code.

use super::evidence::{End, ObservedJob};
use super::finding::{Code, Finding};
use awsb_model::{ADVICE, exit_code_in_words, words};

/// The beginning of the launcher's line about a result that could not be uploaded. The exit code is
/// then 125.
const NOT_UPLOADED: &str = "awsb: cannot upload ";

/// The cause of an attempt's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The kind of the end.
    pub code: Code,
    /// A few words, which are the same for all ends of this kind and exit code.
    pub short: String,
    /// The exit code, if it distinguishes this end from others.
    pub exit_code: Option<i32>,
}

/// Words in AWS's messages that identify an end. The container's reason is searched first, then the
/// status reason. Sources: ECS Developer Guide `stopped-task-error-codes`, `out-of-memory`,
/// `cannot-start-container`, `resource-initialization-error`; UG `job_timeouts`, `job_retries`
/// (`Host EC2*`), `job_stuck_in_runnable`; amazon-ecs-agent's error names; runc's messages about
/// things that the image lacks.
const SIGNS: [(&[&str], Code, &str); 15] = [
    (
        &["Canceled by JobStateTimeLimit"],
        Code::TimeLimitAction,
        "cancelled by Batch, since it blocked the queue for too long",
    ),
    (&["Job attempt duration exceeded timeout"], Code::Timeout, "ran longer than its timeout"),
    (&["OutOfMemory"], Code::OutOfMemory, "out of memory"),
    (&["Host EC2 (instance"], Code::HostTerminated, "its instance was taken away"),
    (&["Your Spot Task was interrupted"], Code::HostTerminated, "its Spot capacity was taken away"),
    (
        &["CannotPull", "pull access denied", "pull image manifest"],
        Code::ImagePull,
        "the image could not be pulled",
    ),
    (
        &["Container Overrides length must be"],
        Code::OverridesTooLong,
        "its overrides are longer than ECS takes",
    ),
    (&["exec format error"], Code::WrongArchitecture, "the image is for another kind of CPU"),
    (
        &["DockerTimeoutError", "ContainerRuntimeTimeoutError"],
        Code::DockerTimeout,
        "the instance's container engine did not answer in time",
    ),
    (
        &["failed to initialize logging driver", "failed to validate logger args"],
        Code::LogConfiguration,
        "its log stream could not be created",
    ),
    (
        &["ResourceInitializationError"],
        Code::ResourceInitialization,
        "secrets, file systems or the network could not be prepared",
    ),
    (&["no space left on device"], Code::DiskFull, "the disk is full"),
    (
        &["CannotStartContainer", "CannotCreateContainer", "ContainerRuntimeError", "CannotInspectContainer"],
        Code::CannotStart,
        "the container could not be started",
    ),
    (
        &["Dependent Job failed", "Dependent job failed"],
        Code::DependencyFailed,
        "a job that it depended on failed",
    ),
    (&["Array Child Job failed"], Code::ExitCode, "children failed"),
];

impl Cause {
    /// The cause of an end. `by_user`: a user asked for it.
    pub fn of(end: &End, by_user: bool) -> Self {
        let reason = end.reason.as_deref().unwrap_or_default();
        let status = end.status_reason.as_deref().unwrap_or_default();
        let has = |needle: &&str| reason.contains(needle) || status.contains(needle);
        let lacks = ["no such file", "not found"].iter().any(has);
        if reason.contains("exec: \"") && lacks {
            let (code, short) = match reason.contains("exec: \"/bin/sh\": ") {
                true => (Code::NoShell, "the image has no /bin/sh"),
                false => (Code::NoProgram, "the image does not have the program"),
            };
            return Self { code, short: short.to_owned(), exit_code: None };
        }
        if let Some((_, code, short)) = SIGNS.iter().find(|(needles, ..)| needles.iter().any(&has)) {
            return Self { code: *code, short: (*short).to_owned(), exit_code: None };
        }
        let usual = ["Essential container in task exited", "Task failed to start", ""];
        if by_user && !usual.contains(&status) {
            return Self {
                code: Code::Terminated,
                short: format!("ended by a user: {status}"),
                exit_code: None,
            };
        }
        match end.exit_code {
            Some(code) if code != 0 => {
                let meaning = exit_code_in_words(code).map(|words| format!(" ({words})"));
                let kind = match code {
                    137 => Code::Killed,
                    129..=192 => Code::Signal,
                    _ => Code::ExitCode,
                };
                let short = format!("exit code {code}{}", meaning.unwrap_or_default());
                Self { code: kind, short, exit_code: Some(code) }
            }
            _ if by_user => {
                Self { code: Code::Terminated, short: "ended by a user".to_owned(), exit_code: None }
            }
            _ => match [reason, status].into_iter().find(|text| !text.is_empty()) {
                Some(text) => Self { code: Code::OtherReason, short: text.to_owned(), exit_code: None },
                None => {
                    Self { code: Code::NoReason, short: "AWS gives no reason".to_owned(), exit_code: None }
                }
            },
        }
    }

    /// The cause, refined by the output: some ends are visible only there.
    #[must_use]
    pub fn with_output<'l>(self, mut lines: impl Iterator<Item = &'l str>) -> Self {
        if !matches!(self.code, Code::ExitCode) {
            return self;
        }
        let in_output = lines.find_map(|line| {
            if let Some(what) = line.strip_prefix(NOT_UPLOADED).filter(|_| self.exit_code == Some(125)) {
                return Some((Code::NotUploaded, format!("a result could not be uploaded: {what}")));
            }
            let line = line.to_lowercase();
            if line.contains("exec format error") {
                let short = "the image, or a program in it, is for another kind of CPU";
                Some((Code::WrongArchitecture, short.to_owned()))
            } else if line.contains("no space left on device") {
                Some((Code::DiskFull, "the disk is full".to_owned()))
            } else {
                None
            }
        });
        match in_output {
            Some((code, short)) => Self { code, short: format!("{short} ({})", self.short), ..self },
            None => self,
        }
    }

    /// The finding, with advice, for a job that ended in this way.
    pub fn finding(&self, job: &ObservedJob, end: &End) -> Finding {
        let reason = end.reason.as_deref().filter(|r| !r.is_empty());
        let status = end.status_reason.as_deref().filter(|r| !r.is_empty());
        // AWS's own message is added if ours leaves something out.
        let quoted =
            |text: Option<&str>| text.map(|text| format!("; Batch says: {text}")).unwrap_or_default();
        let image = job.image.as_deref().unwrap_or("the image");
        let had = job.demand.filter(|d| d.memory_mib > 0).map(|d| d.memory_mib);
        let short = &self.short;
        let finding = |message: String| Finding::new(self.code, message);
        match self.code {
            Code::OutOfMemory | Code::Killed => {
                let had_words = had.map(|mib| format!("; it had {}", words::memory(mib))).unwrap_or_default();
                let code = end.exit_code.filter(|_| self.code == Code::OutOfMemory);
                let code = code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
                finding(format!("{short}{code}{had_words}")).advise(format!(
                    "{}: `bsub --memory {} …`",
                    if self.code == Code::Killed { "if that was for its memory, ask for more" } else { "ask for more memory" },
                    had.map_or("SIZE".to_owned(), |mib| size(mib.saturating_mul(2)))
                ))
            }
            Code::HostTerminated => finding(format!("{short}{}", quoted(status.or(reason)))).advise(
                "this is usual with Spot instances: with `bsub --retry-attempts 3 --retry-on spot …`, Batch \
                 tries such a job again",
            ),
            Code::ImagePull => image_pull(self, image, reason.or(status).unwrap_or_default()),
            Code::NoShell => finding(format!("{short}, which starts scripts and commands: {image}"))
                .advise("`bsub --bare COMMAND` starts a command without it; or take an image that has a shell"),
            Code::NoProgram => finding(format!("{short}{}", quoted(reason.or(status))))
                .advise(format!("check the program's name, and that it is in the PATH of the image {image}")),
            Code::WrongArchitecture => finding(format!("{short}: {image}")).advise(
                "build the image for the instances' CPUs, `docker buildx build --platform linux/amd64` (or linux/arm64 \
                 for Graviton), or use a compute environment with instances of the image's kind",
            ),
            Code::DockerTimeout => finding(format!("{short}{}", quoted(reason.or(status)))).advise(
                "the instance was overloaded, often by its disk: retry, and give the instances a larger or faster volume",
            ),
            Code::ResourceInitialization => initialization(self, reason.or(status).unwrap_or_default()),
            Code::LogConfiguration => finding(format!("{short}{}", quoted(reason.or(status)))).advise(
                "the log group must exist, or `awslogs-create-group` must be set; the instance or execution \
                 role needs logs:CreateLogStream and logs:PutLogEvents",
            ),
            Code::OverridesTooLong => finding(format!("{short}{}", quoted(status.or(reason))))
                .advise("pass fewer variables and arguments to the job; bsub puts large ones into S3"),
            Code::DiskFull => finding(short.clone()).advise(match job.runs_here {
                true => "make room on this machine's disks (`df -h` shows them), or have the job write to another one",
                false => "`bsub --ephemeral-storage GIB` on Fargate; on EC2 a larger volume in the environment's launch template",
            }),
            Code::NotUploaded => finding(short.clone()).advise(
                "the job itself succeeded; `bout --files` lists the results that arrived",
            ),
            Code::Timeout => {
                let limit = job.timeout.map(|s| format!(" of {}", words::span(i64::from(s) * 1000)));
                finding(format!("{short}{}", limit.unwrap_or_default()))
                    .advise("give it more time: `bsub --timeout TIME …`; Batch does not retry a job that \
                             its timeout ended")
            }
            Code::TimeLimitAction => {
                let blocked = status.and_then(|s| s.rsplit_once("reason: ")).and_then(|(_, code)| super::blocked::code(code));
                let why = blocked.map(|(code, text)| format!(" ({text}: {})", super::blocked::meaning(code)));
                let mut finding = finding(format!("{short}{}", why.unwrap_or_default()));
                finding.advice = blocked.map(|(code, _)| super::blocked::advice(code, &[])).unwrap_or_default();
                finding
            }
            Code::CannotStart => finding(format!("{short}{}", quoted(reason.or(status)))),
            Code::Signal | Code::ExitCode => {
                let suffix = reason.map(|r| format!(": {r}")).unwrap_or_default();
                finding(format!("{short}{suffix}"))
            }
            _ => finding(short.clone()),
        }
    }
}

/// A size in the form that `--memory` takes.
pub(super) fn size(mib: u64) -> String {
    if mib >= 1024 && mib.is_multiple_of(1024) { format!("{}G", mib / 1024) } else { mib.to_string() }
}

/// The finding for an image that cannot be pulled, according to the registry's message (ECS
/// Developer Guide `task_cannot_pull_image`).
fn image_pull(cause: &Cause, image: &str, words: &str) -> Finding {
    // The operator of the containers may have added better advice.
    if let Some((words, advice)) = words.split_once(ADVICE) {
        let message = format!("{} ({image}); the cluster says: {words}", cause.short);
        return Finding::new(cause.code, message).advise(advice);
    }
    let low = words.to_lowercase();
    let has = |needles: &[&str]| needles.iter().any(|needle| low.contains(needle));
    let registry = match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) => host,
        _ => "Docker Hub",
    };
    let (why, advice) = if has(&["toomanyrequests", "rate limit"]) {
        (
            format!("{registry} refuses this many pulls"),
            "use a copy in ECR (a pull-through cache), or credentials for the registry".to_owned(),
        )
    } else if has(&[
        "i/o timeout",
        "request canceled",
        "context deadline",
        "dial tcp",
        "connection refused",
        "no such host",
    ]) {
        (
            format!("no answer from {registry}"),
            "the subnets need a way out: a NAT gateway or a public address, or endpoints for ECR (ecr.api, ecr.dkr) and S3; \
             and the security groups must let HTTPS out"
                .to_owned(),
        )
    } else if has(&["no space left"]) {
        (
            "the instance's disk is full".to_owned(),
            "give the instances a larger volume in the launch template".to_owned(),
        )
    } else if has(&["descriptor matching platform", "no matching manifest"]) {
        (
            "it is for another kind of CPU".to_owned(),
            "build it for the instances' CPUs: `docker buildx build --platform linux/amd64,linux/arm64`"
                .to_owned(),
        )
    } else if has(&[
        "manifest unknown",
        "not found",
        "name unknown",
        "repository does not exist",
        "no basic auth",
        "denied",
        "unauthorized",
        "forbidden",
    ]) {
        let ecr = image.split_once(".amazonaws.com").is_some();
        let look = match (ecr, image.split_once('/')) {
            (true, Some((_, rest))) => {
                let (repository, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
                format!(
                    "`aws ecr describe-images --repository-name {repository} --image-ids imageTag={tag}` \
                     shows whether it is there; the instance or execution role needs \
                     AmazonECSTaskExecutionRolePolicy or ecr:BatchGetImage"
                )
            }
            _ => format!(
                "check the name with `docker pull {image}`; a private registry needs credentials \
                 (repositoryCredentials)"
            ),
        };
        (format!("{registry} does not have this image, or refuses it to this job"), look)
    } else {
        (String::new(), format!("check the image's name, and that the instances can reach {registry}"))
    };
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    let suffix = if words.is_empty() { String::new() } else { format!("; Batch says: {words}") };
    Finding::new(cause.code, format!("{} ({image}){why}{suffix}", cause.short)).advise(advice)
}

/// The finding for a ResourceInitializationError, by the missing resource (ECS Developer Guide
/// `resource-initialization-error`).
fn initialization(cause: &Cause, words: &str) -> Finding {
    let low = words.to_lowercase();
    let advice = if low.contains("secret") || low.contains("ssm") || low.contains("registry auth") {
        "the execution role needs the secret (secretsmanager:GetSecretValue, ssm:GetParameters) and ECR; the subnets need \
         a way to them: a NAT gateway, a public address (assignPublicIp) or VPC endpoints"
    } else if low.contains("efs") || low.contains("mount") {
        "the file system needs a mount target in the job's zone whose security group lets NFS (port 2049) in; the folder \
         must be there, and DNS be on in the VPC"
    } else if low.contains("log") {
        "the log group must be there, and the subnets need a way to CloudWatch Logs"
    } else {
        "the subnets need a way to ECR, S3, CloudWatch Logs and what the job mounts: NAT gateway, public address or VPC endpoints"
    };
    Finding::new(cause.code, format!("{}; Batch says: {words}", cause.short)).advise(advice)
}
