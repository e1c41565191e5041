//! The dependencies of a job, as a request names them.

use serde::{Deserialize, Serialize};

use crate::http::protocol::ApiError;

/// User Guide, service_limits: "Maximum number of job dependencies".
const MOST: usize = 20;

/// API: JobDependency.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobDependency {
    job_id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// A dependency whose form is right. It serialises as the API's JobDependency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RequestedDependency {
    /// On a job. Each child on its like of another array (`N_TO_N`), or all on the whole of it.
    On {
        /// The job's ID.
        #[serde(rename = "jobId")]
        id: String,
        /// `N_TO_N` or nothing.
        #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
        kind: Option<DependencyKind>,
    },
    /// Each child on the one before it.
    Sequential {
        /// Always `SEQUENTIAL`.
        #[serde(rename = "type")]
        kind: DependencyKind,
    },
}

/// API: ArrayJobDependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum DependencyKind {
    #[serde(rename = "N_TO_N")]
    Each,
    #[serde(rename = "SEQUENTIAL")]
    Sequential,
}

/// Checks the form of what a job (an array of this size) is to depend on.
///
/// # Errors
/// `ClientException` where the API's page on JobDependency does not allow it.
pub fn asked(given: Vec<JobDependency>, size: Option<u32>) -> Result<Vec<RequestedDependency>, ApiError> {
    if given.len() > MOST {
        return Err(ApiError::client(format!(
            "a job can depend on at most {MOST} jobs, not {}",
            given.len()
        )));
    }
    given.into_iter().map(|dependency| one(dependency, size.is_some())).collect()
}

fn one(given: JobDependency, array: bool) -> Result<RequestedDependency, ApiError> {
    let id = given.job_id.filter(|id| !id.is_empty());
    let wrong = |why: &str| Err(ApiError::client(format!("dependsOn: {why}")));
    match (given.kind.as_deref().filter(|k| !k.is_empty()), id) {
        (None, Some(id)) => Ok(RequestedDependency::On { id, kind: None }),
        (None, None) => wrong("jobId is required"),
        (Some("SEQUENTIAL" | "N_TO_N"), _) if !array => {
            wrong("the types N_TO_N and SEQUENTIAL are for array jobs only")
        }
        (Some("N_TO_N"), Some(id)) => Ok(RequestedDependency::On { id, kind: Some(DependencyKind::Each) }),
        (Some("N_TO_N"), None) => wrong("N_TO_N needs a jobId"),
        (Some("SEQUENTIAL"), None) => {
            Ok(RequestedDependency::Sequential { kind: DependencyKind::Sequential })
        }
        (Some("SEQUENTIAL"), Some(_)) => wrong("SEQUENTIAL goes without a jobId"),
        (Some(other), _) => wrong(&format!("unknown type {other:?}")),
    }
}
