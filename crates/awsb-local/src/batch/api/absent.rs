//! The operations of AWS Batch that this cluster does not have, with the reason for each.

use http::{Method, StatusCode};

use crate::http::protocol::ApiError;

const SAGEMAKER: &str = "service jobs and service environments run on SageMaker AI, which is not here";
const QUOTA_SHARES: &str = "quota shares are for queues of service jobs, which run on SageMaker AI";

/// Each operation with the reason. One that this cluster has comes first, so a leftover here has no
/// effect.
const ABSENT: [(&str, &str); 15] = [
    ("CreateQuotaShare", QUOTA_SHARES),
    ("DeleteQuotaShare", QUOTA_SHARES),
    ("DescribeQuotaShare", QUOTA_SHARES),
    ("ListQuotaShares", QUOTA_SHARES),
    ("UpdateQuotaShare", QUOTA_SHARES),
    ("CreateServiceEnvironment", SAGEMAKER),
    ("DeleteServiceEnvironment", SAGEMAKER),
    ("DescribeServiceEnvironments", SAGEMAKER),
    ("UpdateServiceEnvironment", SAGEMAKER),
    ("DescribeServiceJob", SAGEMAKER),
    ("ListServiceJobs", SAGEMAKER),
    ("SubmitServiceJob", SAGEMAKER),
    ("TerminateServiceJob", SAGEMAKER),
    ("TerminateServiceJobs", SAGEMAKER),
    ("UpdateServiceJob", SAGEMAKER),
];

/// The refusal of an operation that this cluster does not have; `None` for one that AWS does not
/// have either.
pub fn absent(method: &Method, path: &str) -> Option<ApiError> {
    let asked = path.strip_prefix("/v1/").filter(|_| *method == Method::POST)?;
    let (name, why) = ABSENT.iter().find(|(name, _)| name.to_ascii_lowercase() == asked)?;
    Some(ApiError::new(
        StatusCode::NOT_FOUND,
        "UnknownOperationException",
        format!("the local cluster does not have {name}: {why}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_refused_by_its_name() {
        let refused = absent(&Method::POST, "/v1/submitservicejob").map(|error| error.message);
        assert!(refused.is_some_and(|words| words.contains("SubmitServiceJob: service jobs")));
        assert!(absent(&Method::POST, "/v1/submitjob").is_none());
        assert!(absent(&Method::GET, "/v1/submitservicejob").is_none());
    }
}
