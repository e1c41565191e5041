//! The jobs that a queue accepts.

use super::model::{ComputeEnvironment, Queue, queues};
use crate::aws::Session;
use crate::batch::environments_of;
use crate::ui::Failure;

impl Queue {
    /// The failure of a submission that this queue does not accept; `None` if it does.
    pub fn rejection(&self, doing: &str, has_share: bool) -> Option<Failure> {
        let name = &self.job_queue_name;
        if self.state.as_deref() == Some("DISABLED") {
            return Some(
                Failure::failed(format!("{doing}: the queue {name} is disabled, so it accepts no new jobs"))
                    .hint(match &self.stack {
                        Some(cluster) => format!(
                            "it belongs to the cluster {cluster}: `bcluster start {cluster}` enables it"
                        ),
                        None => {
                            format!(
                                "`aws batch update-job-queue --job-queue {name} --state ENABLED` enables it"
                            )
                        }
                    })
                    .hint("`--queue NAME` chooses another"),
            );
        }
        if self.status.as_deref() == Some("INVALID") {
            let reason = self.status_reason.as_deref().unwrap_or("no reason is given");
            return Some(Failure::failed(format!("{doing}: the queue {name} is INVALID: {reason}")));
        }
        let needs_share = self.scheduling_policy_arn.is_some();
        if needs_share && !has_share {
            return Some(
                Failure::usage(format!(
                    "{doing}: the queue {name} has a scheduling policy, so every job in it needs a share"
                ))
                .hint(
                    "give it with `--share NAME`; `aws batch describe-scheduling-policies` shows the \
                       shares that have a weight",
                ),
            );
        }
        if !needs_share && has_share {
            return Some(Failure::usage(format!(
                "{doing}: the queue {name} has no scheduling policy, so `--share` cannot be used"
            )));
        }
        None
    }
}

/// A queue; `None` when Batch has none of this name or ARN.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn find_queue(session: &Session, name: &str) -> Result<Option<Queue>, Failure> {
    Ok(queues(session, &[name.to_owned()]).await?.into_iter().next())
}

/// The reason why no compute environment of the queue runs multi-node parallel jobs (UG `mnp-ce`);
/// `None` when one does.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn no_nodes(session: &Session, queue: &Queue) -> Result<Option<String>, Failure> {
    let environments = environments_of(session, std::slice::from_ref(queue)).await?;
    let reason = |environment: &ComputeEnvironment| {
        let reason = match (environment.kind.as_deref(), environment.resource_kind()) {
            (Some("UNMANAGED"), _) => "is unmanaged",
            (_, Some("SPOT")) => "has Spot instances",
            (_, Some("FARGATE" | "FARGATE_SPOT")) => "is Fargate",
            (_, Some("ECS_MANAGED_INSTANCES")) => "has ECS Managed Instances",
            _ => return None,
        };
        Some(format!("{} {reason}", environment.compute_environment_name))
    };
    let all: Option<Vec<String>> = environments.iter().map(reason).collect();
    Ok(all.filter(|all| !all.is_empty()).map(|all| all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue { job_queue_name: "q".into(), ..Queue::default() }
    }

    #[test]
    fn what_a_queue_refuses() {
        let messages = [
            (queue(), false),
            (Queue { scheduling_policy_arn: Some("p".into()), ..queue() }, true),
            (Queue { state: Some("DISABLED".into()), ..queue() }, false),
            (
                Queue {
                    status: Some("INVALID".into()),
                    status_reason: Some("CLIENT_ERROR - no role".into()),
                    ..queue()
                },
                false,
            ),
            (Queue { scheduling_policy_arn: Some("p".into()), ..queue() }, false),
            (queue(), true),
        ]
        .map(|(queue, share)| match queue.rejection("submitting the job j", share) {
            Some(f) => format!("{} {:?}", f.message(), f.hints()),
            None => "fine".to_owned(),
        });
        insta::assert_snapshot!(messages.join("\n"));
    }
}
