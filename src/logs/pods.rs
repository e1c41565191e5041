//! The log streams of pods on EKS. AWS Batch does not know them: the settings say how what collects
//! the output of pods names its streams.

use crate::aws::{Session, explain};
use crate::batch::{self, Job};
use crate::config::PodLogs;
use crate::ui::{ErrorKind, Failure};
use awsb_model::{JobId, PodNames, PodStream};

/// The jobs among these that Batch knows, with the log streams of their pods.
///
/// # Errors
/// When Batch or CloudWatch Logs cannot be asked.
pub async fn describe_writers(session: &Session, ids: &[JobId]) -> Result<Vec<Job>, Failure> {
    let mut jobs: Vec<Job> = batch::describe(session, ids).await?.into_iter().flatten().collect();
    for job in &mut jobs {
        name_streams(session, job).await?;
    }
    Ok(jobs)
}

/// Gives the containers of a job's pods their log groups and streams, as far as the settings of the
/// cluster say how these are named. Other jobs stay as they are.
///
/// # Errors
/// When CloudWatch Logs cannot be asked for the streams whose names begin so.
pub async fn name_streams(session: &Session, job: &mut Job) -> Result<(), Failure> {
    let Some(logs) = &session.cluster.pod_logs else {
        return Ok(());
    };
    // One stream of all containers would be shown once for each of them.
    let most = if logs.stream.tells_containers_apart() { usize::MAX } else { 1 };
    let pod = job.eks_properties.as_mut().and_then(|eks| eks.pod_properties.as_mut());
    if let Some(pod) = pod {
        let of_pod = names(&pod.pod_name, &pod.namespace, &pod.node_name);
        for container in pod.containers.iter_mut().chain(&mut pod.init_containers).take(most) {
            container.log_stream_name = stream(session, logs, of_pod, container.name.as_deref()).await?;
            container.log_group = Some(logs.group.clone());
        }
    }
    for attempt in job.attempts.iter_mut().flatten() {
        let Some(pod) = &mut attempt.pod else {
            continue;
        };
        let of_pod = names(&pod.pod_name, &pod.pod_namespace, &pod.node_name);
        for container in pod.containers.iter_mut().chain(&mut pod.init_containers).take(most) {
            container.log_stream_name = stream(session, logs, of_pod, container.name.as_deref()).await?;
        }
    }
    Ok(())
}

fn names<'a>(
    pod: &'a Option<String>,
    namespace: &'a Option<String>,
    node: &'a Option<String>,
) -> PodNames<'a> {
    PodNames { pod: pod.as_deref(), namespace: namespace.as_deref(), node: node.as_deref(), container: None }
}

/// The stream of a container; `None` as long as it does not exist, or has no name yet.
async fn stream(
    session: &Session,
    logs: &PodLogs,
    names: PodNames<'_>,
    container: Option<&str>,
) -> Result<Option<String>, Failure> {
    // Batch calls a container without a name `Default` (API `EksContainer`), and names in
    // Kubernetes have lower case letters only.
    let container = container.unwrap_or("default").to_ascii_lowercase();
    let prefix = match logs.stream.stream(PodNames { container: Some(&container), ..names }) {
        Some(PodStream::Prefix(prefix)) => prefix,
        Some(PodStream::Name(name)) => return Ok(Some(name)),
        None => return Ok(None),
    };
    let listed =
        session.logs.describe_log_streams().log_group_name(&logs.group).log_stream_name_prefix(&prefix);
    match listed.send().await {
        // A container that was started again has another ID, and another stream.
        Ok(page) => {
            let newest = page.log_streams.unwrap_or_default().into_iter().max_by_key(|s| s.creation_time);
            Ok(newest.and_then(|stream| stream.log_stream_name))
        }
        Err(e) => {
            let doing = format!("looking for the log streams {prefix}… in the log group {}", logs.group);
            let failure = explain(session, &doing, &e);
            Err(match failure.kind() {
                ErrorKind::NotFound => failure.hint(session.cluster.hint_to_setting(
                    "eks_log_group",
                    "\"…\"",
                    "names another one",
                )),
                _ => failure,
            })
        }
    }
}
