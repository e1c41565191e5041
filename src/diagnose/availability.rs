//! Whether a queue and its compute environments can be used at all.

use super::evidence::{Availability, ComputeEnvironment, Queue};
use super::finding::{Code, Finding};

/// The problem of a queue, if there is one.
pub fn queue(queue: &Queue) -> Option<Finding> {
    let name = &queue.name;
    Some(match &queue.ready {
        Availability::Yes => return None,
        // API `JobQueueDetail`, `state`: "jobs already in the queue can finish".
        Availability::Disabled => Finding::new(
            Code::QueueDisabled,
            format!("the queue {name} is DISABLED: it accepts no new jobs, but those in it can go on"),
        )
        .advise(enable(queue.stack.as_deref(), || {
            format!("`aws batch update-job-queue --job-queue {name} --state ENABLED`")
        })),
        Availability::Invalid(why) => {
            Finding::new(Code::QueueInvalid, format!("the queue {name} is INVALID{}", because(why.as_ref())))
                .advise(format!(
                    "fix it: `aws batch update-job-queue --job-queue {name} …`; or submit to another queue: \
                     `bsub --queue NAME`"
                ))
        }
        Availability::Changing(status, why) => Finding::new(
            Code::QueueNotReady,
            format!("the queue {name} is {status}{}", because(why.as_ref())),
        ),
    })
}

/// How to enable a queue or an environment. One of a cluster of `bcluster` is disabled because the
/// cluster is stopped, or because a deletion of it was interrupted.
fn enable(stack: Option<&str>, otherwise: impl FnOnce() -> String) -> String {
    match stack {
        Some(cluster) => format!("start its cluster: `bcluster start {cluster}`"),
        None => otherwise(),
    }
}

fn because(why: Option<&String>) -> String {
    why.map(|why| format!(": {why}")).unwrap_or_default()
}

/// The reason why an environment takes no jobs, if there is one.
pub fn environment(environment: &ComputeEnvironment) -> Option<Finding> {
    let name = &environment.name;
    Some(match &environment.ready {
        Availability::Yes => return None,
        // API `ComputeEnvironmentDetail`, `state`: Batch places no jobs in a disabled one.
        Availability::Disabled => Finding::new(
            Code::EnvironmentDisabled,
            format!("the compute environment {name} is DISABLED: nothing starts in it"),
        )
        .advise(enable(environment.stack.as_deref(), || {
            format!("`aws batch update-compute-environment --compute-environment {name} --state ENABLED`")
        })),
        Availability::Invalid(why) => {
            let message = format!("the compute environment {name} is INVALID{}", because(why.as_ref()));
            let advice = mend(name, why.as_deref().unwrap_or_default());
            Finding::new(Code::EnvironmentInvalid, message).advise(advice)
        }
        Availability::Changing(status, why) => {
            let why = why.as_ref().filter(|w| !w.contains("Healthy"));
            Finding::new(
                Code::EnvironmentNotReady,
                format!("the compute environment {name} is {status}{}", because(why)),
            )
        }
    })
}

/// How to repair an INVALID environment, according to AWS's message (UG
/// `invalid_compute_environment`).
fn mend(name: &str, why: &str) -> String {
    let change = format!("aws batch update-compute-environment --compute-environment {name}");
    if why.contains("IamFleetRole") {
        return "its Spot fleet role does not exist or is misspelled (spotIamFleetRole takes a whole ARN): \
                create the environment again with the right one"
            .to_owned();
    }
    if why.contains("AssumeRole") || why.contains("not authorized to perform") {
        return format!(
            "its service role does not exist, or Batch may not use it: `{change} --service-role ARN` with \
             the whole ARN, such as \
             arn:aws:iam::ACCOUNT:role/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch"
        );
    }
    format!("fix the cause that AWS names with `{change} …`")
}
