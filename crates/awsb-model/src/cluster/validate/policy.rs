//! Checks of the policy that a cluster makes for its users.

use super::problem::{Problem, ProblemKind, Problems};
use crate::cluster::config::{ClusterConfig, ClusterName};
use crate::cluster::policy::{POLICY_CHARACTERS, user_policy_characters};

/// Checks that the policy of the users of a cluster, made in a region, fits into a managed policy.
pub fn validate_user_policy(name: &ClusterName, region: &str, config: &ClusterConfig) -> Vec<Problem> {
    let mut problems = Problems::default();
    let characters = user_policy_characters(name, region, config);
    if config.iam.user_policy && characters > POLICY_CHARACTERS {
        let message =
            format!("makes a policy of {characters} characters, and IAM takes at most {POLICY_CHARACTERS}");
        let advice = format!(
            "take a shorter name or fewer queues with `arn`; or set it to false, and make policies of all documents \
             of `bcluster policy user {name} -f FILE`"
        );
        problems.add(ProblemKind::PolicySize, "iam.user_policy", message, advice);
    }
    problems.into_vec()
}
