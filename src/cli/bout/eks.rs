//! The output of pods on EKS. Batch sends it nowhere: it is in CloudWatch Logs only where something
//! in the EKS cluster collects it, such as Container Insights.

use crate::aws::Session;
use crate::batch::Job;
use crate::ui::Failure;

/// The failure of a job on EKS whose output has no log stream, with the command that shows it;
/// `None` for other jobs.
pub fn no_output(session: &Session, job: &Job) -> Option<Failure> {
    let last = job.attempts.iter().flatten().rev().find_map(|attempt| attempt.pod.as_ref());
    let pod = job.pod();
    if pod.is_none() && last.is_none() {
        return None;
    }
    let id = &job.job_id;
    let why = match &session.cluster.pod_logs {
        Some(logs) => format!("the log group {} has no stream of its pod", logs.group),
        None => "it runs as a pod on EKS, and AWS Batch sends the output of pods to no log group".to_owned(),
    };
    let failure = Failure::failed(format!("reading the output of the job {id}: {why}"));
    let failure = match session.cluster.pod_logs {
        Some(_) => failure,
        None => failure.hint(session.cluster.hint_to_setting(
            "eks_log_group",
            "\"…\"",
            "names the log group that the pods' output goes to (with `eks_log_stream`)",
        )),
    };
    let name = pod.and_then(|pod| pod.pod_name.as_ref()).or_else(|| last?.pod_name.as_ref());
    let namespace = pod.and_then(|pod| pod.namespace.as_ref()).or_else(|| last?.pod_namespace.as_ref());
    Some(match name {
        Some(name) => {
            let namespace = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
            failure.hint(format!("`kubectl logs{namespace} {name}` shows it while the pod is there"))
        }
        None => failure.hint(format!("`bstat -d {id}` shows why: it has no pod")),
    })
}
