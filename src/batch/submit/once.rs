//! The result of a submission.

use super::Submitted;

/// The jobs of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// One for each request, in order.
    pub jobs: Vec<Submitted>,
    /// Nothing was submitted: they were there already.
    pub earlier: bool,
}
