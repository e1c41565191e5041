//! AWS's codes for a blocked queue, in plain words (UG `job_stuck_in_runnable` and the pages below
//! it).

use super::evidence::{ComputeEnvironment, ObservedJob};
use super::finding::{Code, Finding};
use awsb_model::{ADVICE, blocking_code, words};

/// The beginnings of the status reason of a job at the head of a blocked queue.
const CODES: [(&str, Code); 7] = [
    ("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", Code::InsufficientInstanceCapacity),
    ("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", Code::ComputeEnvironmentMaxResource),
    ("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", Code::JobResourceRequirement),
    ("MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS", Code::ServiceRolePermissions),
    ("MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED", Code::Ec2InstanceConfigurationUnsupported),
    ("ACTION_REQUIRED", Code::ActionRequired),
    ("UNDETERMINED", Code::Undetermined),
];

/// The code and the rest of a reason that blocks a queue.
pub fn code(reason: &str) -> Option<(Code, &str)> {
    let word = blocking_code(reason)?;
    let known = CODES.iter().find(|(text, _)| *text == word);
    Some((known.map_or(Code::Blocked, |(_, code)| *code), word))
}

/// The meaning of a code.
pub fn meaning(code: Code) -> &'static str {
    match code {
        Code::InsufficientInstanceCapacity => {
            "at the moment, EC2 has no instances of the allowed types for any compute environment of the \
             queue"
        }
        Code::ComputeEnvironmentMaxResource => {
            "it needs more vCPUs than `maxvCpus` of every compute environment of the queue allows"
        }
        Code::JobResourceRequirement => {
            "it needs more vCPUs, memory or GPUs than any instance type of the queue's compute environments has"
        }
        Code::ServiceRolePermissions => {
            "the service role of the queue's compute environments lacks permissions, so Batch cannot start instances"
        }
        Code::Ec2InstanceConfigurationUnsupported => {
            "an instance type is not offered in the environment's zones, or does not go with its launch template"
        }
        Code::ActionRequired => "all compute environments of the queue are INVALID",
        Code::Undetermined => "Batch sees that it blocks the queue, but not why",
        _ => "it blocks the queue",
    }
}

/// The finding for a job that blocks its queue, according to AWS. It does not repeat what `others`
/// have found.
pub fn finding(
    job: &ObservedJob,
    environments: &[ComputeEnvironment],
    others: &[Finding],
) -> Option<Finding> {
    let reason = job.end.status_reason.as_deref()?;
    let (code, word) = code(reason)?;
    let is_repeated = others.iter().any(|other| is_same(code, other.code, environments));
    let meaning = if is_repeated { String::new() } else { format!("{}; ", meaning(code)) };
    // The operator of the queue may have added better advice.
    if let Some((words, advice)) = reason.split_once(ADVICE) {
        let words = words.trim_start_matches(word).trim_start_matches(" - ");
        return Some(Finding::new(code, format!("{meaning}the cluster says: {words}")).advise(advice));
    }
    let mut finding = Finding::new(code, format!("{meaning}Batch says: {reason}"));
    finding.advice = advice(code, environments);
    if job.nodes.is_some() {
        let nodes =
            |advice: &mut String| *advice = advice.replace("`bsub --vcpus N`", "`bsub --nodes N --vcpus N`");
        finding.advice.iter_mut().for_each(nodes);
    }
    Some(finding)
}

/// Whether a finding about the size of a job means the same as AWS's code.
fn is_same(code: Code, other: Code, environments: &[ComputeEnvironment]) -> bool {
    // Where Batch starts no instances, the maximum of vCPUs is that of the machines.
    let is_of_machines = || environments.iter().all(|e| e.machines_grown_by.is_some());
    match (code, other) {
        (Code::ComputeEnvironmentMaxResource, Code::EnvironmentTooSmall)
        | (Code::JobResourceRequirement, Code::NoInstanceFits) => true,
        (Code::JobResourceRequirement, Code::EnvironmentTooSmall) => is_of_machines(),
        _ => false,
    }
}

/// The advice for a code.
pub fn advice(code: Code, environments: &[ComputeEnvironment]) -> Vec<String> {
    let first = environments.first();
    let environment = first.map_or("NAME", |e| e.name.as_str());
    let grown = match code {
        Code::ComputeEnvironmentMaxResource => first
            .and_then(|e| e.grown_by.as_ref())
            .map(|by| vec![format!("`{by} --vcpus N` allows more, `bsub --vcpus N` asks for less")]),
        Code::JobResourceRequirement => first.and_then(|e| e.machines_grown_by.as_ref()).map(|by| {
            vec![
                "ask for less: `bsub --vcpus N --memory SIZE …`".to_owned(),
                format!("or let jobs have more: `{by} --vcpus N --memory SIZE`, with `--gpus N` for GPUs"),
            ]
        }),
        _ => None,
    };
    if let Some(grown) = grown {
        return grown;
    }
    let list: Vec<&str> = match code {
        Code::InsufficientInstanceCapacity => vec![
            "wait, or allow more instance types and subnets in more zones: `aws batch update-compute-environment \
             --compute-environment ENVIRONMENT --compute-resources instanceTypes=…,subnets=…`",
            "`aws batch update-job-queue --job-queue QUEUE --compute-environment-order …` adds an environment with \
             On-Demand instances behind one with Spot instances",
        ],
        Code::ComputeEnvironmentMaxResource => vec![
            "`aws batch update-compute-environment --compute-environment ENVIRONMENT --compute-resources maxvCpus=N` \
             allows more, `bsub --vcpus N` asks for less",
        ],
        Code::JobResourceRequirement => vec![
            "ask for less (`bsub --vcpus N --memory SIZE`): an instance of 16 GiB has a little less than 16 GiB for jobs",
            "or allow larger types: `aws batch update-compute-environment --compute-environment ENVIRONMENT \
             --compute-resources instanceTypes=…`",
        ],
        Code::ServiceRolePermissions => vec![
            "compare the service role with the managed policy AWSBatchServiceRole, or use the service-linked role \
             AWSServiceRoleForBatch: `aws batch describe-compute-environments --compute-environments ENVIRONMENT \
             --query 'computeEnvironments[].serviceRole'`",
        ],
        Code::Ec2InstanceConfigurationUnsupported => vec![
            "`aws ec2 describe-instance-type-offerings --location-type availability-zone` shows which types \
             are offered where; check the environment's launch template as well",
        ],
        Code::ActionRequired => vec![
            "`aws batch describe-compute-environments --compute-environments ENVIRONMENT --query \
             'computeEnvironments[].statusReason'` shows what is wrong with it",
        ],
        Code::Undetermined | Code::Blocked => vec![
            "check with `bhosts` whether instances start and join; they need a way to the ECS endpoint, the \
             ECS agent and room in the account's EC2 quota \
             (https://repost.aws/knowledge-center/batch-job-stuck-runnable-status)",
        ],
        _ => Vec::new(),
    };
    list.into_iter().map(|text| text.replace("ENVIRONMENT", environment)).collect()
}

/// The finding for another job at the head of the queue, if that job is blocked.
pub fn of_head(head: &ObservedJob, limits: &[(String, u32)]) -> Option<Finding> {
    let reason = head.end.status_reason.as_deref()?;
    let (code, text) = code(reason)?;
    let message =
        format!("the job at the head of the queue, {}, blocks it ({text}): {}", head.called(), meaning(code));
    let limit = limits.iter().find(|(reason, _)| reason == text);
    let finding = Finding::new(
        Code::HeadBlocked,
        match limit {
            Some((_, seconds)) => {
                format!(
                    "{message}; Batch cancels it after {} of blocking",
                    words::span(i64::from(*seconds) * 1000)
                )
            }
            None => message,
        },
    );
    let id = &head.id;
    Some(finding.advise(format!(
        "`bstat --why {id}` shows what to do about the job at the head; `bkill {id}` ends it, so that the \
         others can go on"
    )))
}
