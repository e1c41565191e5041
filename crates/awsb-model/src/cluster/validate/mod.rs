//! Checks of a configuration: what contradicts each other in it, and what contradicts the account.
//!
//! Each function returns all problems that it finds. Who calls AWS collects the facts; these
//! functions decide.

mod account;
mod jobs;
mod machines;
mod policy;
mod problem;
mod storage;

pub use account::{validate_account, validate_file_systems, validate_network, validate_types};
pub use policy::validate_user_policy;
pub use problem::{Problem, ProblemKind};

use super::config::ClusterConfig;

/// Checks a configuration by itself.
pub fn validate(config: &ClusterConfig) -> Vec<Problem> {
    let mut problems = problem::Problems::default();
    machines::check(config, &mut problems);
    jobs::check(config, &mut problems);
    storage::check(config, &mut problems);
    problems.into_vec()
}
