//! The labels and names of everything that a home has on a Docker engine.

use crate::runner::protocol::AttemptId;

/// The label with the home's ID, on containers, networks and volumes.
pub const HOME_LABEL: &str = "awsb.home";
/// The label with a digest of where the home is, on a home's network: its ID is found by it when
/// its own record is lost.
pub const LOCATION_LABEL: &str = "awsb.place";
/// The label with the attempt's ID, on containers; on networks of nodes it is the main node's
/// attempt.
pub const TASK_LABEL: &str = "awsb.task";
/// The label with the job's ID, on containers.
pub const JOB_LABEL: &str = "awsb.job";

/// The name of an attempt's container.
pub fn container_name(attempt_id: &AttemptId) -> String {
    format!("awsb-{attempt_id}")
}

/// The name of a container of an attempt that is a task. The container that holds the task's
/// network has the name that the only container of other attempts has.
pub fn container_of_task_name(attempt_id: &AttemptId, index: usize) -> String {
    format!("{}-{index}", container_name(attempt_id))
}

/// The name of a container in the path of its metadata: the attempt, the token that shows that who
/// asks is in it, and the index of the container in its task.
pub fn metadata_name(attempt_id: &AttemptId, token: &str, index: usize) -> String {
    format!("{attempt_id}-{token}-{index}")
}

/// The name of a volume that the containers of a task share.
pub fn volume_name(attempt_id: &str, volume: &str) -> String {
    format!("awsb-{attempt_id}-{volume}")
}

/// The name of the network of a home's containers.
pub fn network_name(home_id: &str) -> String {
    format!("awsb-{home_id}")
}

/// The name of the network that the nodes of a multi-node job have while the main node's attempt
/// lasts.
pub fn nodes_network_name(main_node: &AttemptId) -> String {
    format!("awsb-nodes-{main_node}")
}
