//! The result of a submission.

use super::Submitted;

/// The jobs of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmittedJobs {
    /// One for each request, in order.
    pub jobs: Vec<Submitted>,
    /// Whether an earlier command had submitted them, and this one submitted nothing.
    pub earlier: bool,
}
