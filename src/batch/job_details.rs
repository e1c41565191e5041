//! All that is shown of one job: too much to be kept of thousands.

use aws_sdk_batch::types::JobDetail;

use super::{Job, describe, from_aws};
use crate::aws::Session;
use crate::ui::Failure;
use awsb_model::JobId;

/// A job with what [`Job`] leaves out, because it may be large.
#[derive(Debug, Clone)]
pub struct JobDetails {
    /// The job.
    pub job: Job,
    /// Its environment variables, of an MNP job those of its first node range: names and values.
    pub environment: Vec<(String, String)>,
}

impl From<&JobDetail> for JobDetails {
    fn from(detail: &JobDetail) -> Self {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let environment =
            from_aws::environment(detail).iter().map(|v| (text(v.name()), text(v.value()))).collect();
        Self { job: Job::from(detail), environment }
    }
}

/// All that Batch knows of these jobs, in the given order; `None` for one that it does not know.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn detailed(session: &Session, ids: &[JobId]) -> Result<Vec<Option<JobDetails>>, Failure> {
    let details = describe::details(session, ids).await?;
    Ok(details.iter().map(|detail| detail.as_ref().map(JobDetails::from)).collect())
}
