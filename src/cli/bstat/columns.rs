//! The columns of the table.

use crate::batch::Job;
use crate::ui::local_rfc3339;

/// The cells of a job.
pub fn row(job: &Job) -> Vec<String> {
    vec![
        job.job_id.clone(),
        job.job_name.clone(),
        job.status.to_string(),
        time(job.started_at),
        time(job.stopped_at),
        job.exit_code().map(|c| c.to_string()).unwrap_or_default(),
    ]
}

/// A time as people read it; nothing for one that has not come.
pub fn time(epoch_ms: Option<i64>) -> String {
    epoch_ms.filter(|t| *t > 0).map(local_rfc3339).unwrap_or_default()
}
