//! DescribeJobQueues and DescribeComputeEnvironments: what a queue allows.

use aws_sdk_batch::types::{CeType, CrType, JobQueueDetail, JqState, JqStatus};

use crate::cluster::{Session, explain};
use crate::ui::Failure;

/// What of a queue (API `JobQueueDetail`) decides what a job in it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueFacts {
    /// Its name.
    pub name: String,
    /// Whether it takes new jobs.
    pub enabled: bool,
    /// Why it is INVALID, if it is.
    pub invalid: Option<String>,
    /// Whether its jobs need a share identifier: it has a scheduling policy.
    pub needs_share: bool,
    /// Its compute environments, by name or ARN.
    environments: Vec<String>,
}

impl QueueFacts {
    fn of(queue: &JobQueueDetail) -> Self {
        let invalid = (queue.status() == Some(&JqStatus::Invalid))
            .then(|| queue.status_reason().unwrap_or("no reason is given").to_owned());
        let environments = queue.compute_environment_order().iter();
        Self {
            name: queue.job_queue_name().unwrap_or_default().to_owned(),
            enabled: queue.state() != Some(&JqState::Disabled),
            invalid,
            needs_share: queue.scheduling_policy_arn().is_some_and(|arn| !arn.is_empty()),
            environments: environments.filter_map(|e| e.compute_environment().map(str::to_owned)).collect(),
        }
    }

    /// The failure that jobs in this queue have, if they have one.
    pub fn refusal(&self, doing: &str, has_share: bool) -> Option<Failure> {
        let name = &self.name;
        if !self.enabled {
            return Some(
                Failure::failed(format!("{doing}: the queue {name} is disabled, so it takes no new jobs"))
                    .hint(format!(
                        "`aws batch update-job-queue --job-queue {name} --state ENABLED` enables it"
                    ))
                    .hint("`--queue NAME` chooses another"),
            );
        }
        if let Some(reason) = &self.invalid {
            return Some(Failure::failed(format!("{doing}: the queue {name} is INVALID: {reason}")));
        }
        if self.needs_share && !has_share {
            return Some(
                Failure::usage(format!(
                    "{doing}: the queue {name} shares its capacity out (it has a scheduling policy), so every job in \
                     it has to say whose it is"
                ))
                .hint("`--share NAME` names the share; `aws batch describe-scheduling-policies` tells those with a weight"),
            );
        }
        if !self.needs_share && has_share {
            return Some(Failure::usage(format!(
                "{doing}: the queue {name} has no scheduling policy, so `--share` means nothing there"
            )));
        }
        None
    }
}

/// What a queue allows; `None` when Batch has none of this name or ARN.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn queue(session: &Session, name: &str) -> Result<Option<QueueFacts>, Failure> {
    let answer = session.batch.describe_job_queues().job_queues(name).send().await;
    let answer = answer.map_err(|e| explain(session, &format!("asking for the queue {name}"), &e))?;
    Ok(answer.job_queues().first().map(QueueFacts::of))
}

/// Why no compute environment of the queue runs multi-node parallel jobs (UG `mnp-ce`); `None` when one does.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn no_nodes(session: &Session, queue: &QueueFacts) -> Result<Option<String>, Failure> {
    if queue.environments.is_empty() {
        return Ok(None);
    }
    let answer = session
        .batch
        .describe_compute_environments()
        .set_compute_environments(Some(queue.environments.clone()))
        .send()
        .await
        .map_err(|e| {
            explain(session, &format!("asking for the compute environments of the queue {}", queue.name), &e)
        })?;
    let reasons: Vec<Option<String>> = answer
        .compute_environments()
        .iter()
        .map(|environment| {
            let kind = environment.compute_resources().and_then(|r| r.r#type());
            let reason = match (environment.r#type(), kind) {
                (Some(CeType::Unmanaged), _) => "is unmanaged",
                (_, Some(CrType::Spot)) => "has Spot instances",
                (_, Some(CrType::Fargate | CrType::FargateSpot)) => "is Fargate",
                _ => return None,
            };
            Some(format!("{} {reason}", environment.compute_environment_name().unwrap_or_default()))
        })
        .collect();
    let all: Option<Vec<String>> = reasons.into_iter().collect();
    Ok(all.filter(|all| !all.is_empty()).map(|all| all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> QueueFacts {
        QueueFacts {
            name: "q".into(),
            enabled: true,
            invalid: None,
            needs_share: false,
            environments: Vec::new(),
        }
    }

    #[test]
    fn what_a_queue_refuses() {
        let told = [
            (queue(), false),
            (QueueFacts { needs_share: true, ..queue() }, true),
            (QueueFacts { enabled: false, ..queue() }, false),
            (QueueFacts { invalid: Some("CLIENT_ERROR - no role".into()), ..queue() }, false),
            (QueueFacts { needs_share: true, ..queue() }, false),
            (queue(), true),
        ]
        .map(|(queue, share)| match queue.refusal("submitting the job j", share) {
            Some(f) => format!("{} {:?}", f.message, f.hints),
            None => "fine".to_owned(),
        });
        insta::assert_snapshot!(told.join("\n"));
    }
}
