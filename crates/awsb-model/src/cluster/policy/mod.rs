//! The least IAM policies of those who make a cluster and of those who use it.
//!
//! A managed policy has at most [`POLICY_CHARACTERS`]. Each of these fits, for clusters whose names
//! have at most 20 characters; the administrators' policy of one with a longer name may not.

mod admin;
mod scope;
pub(in crate::cluster) mod statement;
pub(in crate::cluster) mod user;

pub use scope::PolicyScope;

use serde_json::Value;

use super::config::ClusterConfig;

/// Characters of a managed policy, without white space (IAM User Guide, `reference_iam-quotas`).
pub const POLICY_CHARACTERS: usize = 6144;

/// The policy of those who make, change and delete clusters with `bcluster`. Resources can be made
/// only through CloudFormation.
pub fn admin(scope: &PolicyScope) -> Value {
    let mut statements = admin::own_calls(scope);
    let through = |statement: statement::Statement| {
        statement.when("ForAnyValue:StringEquals", "aws:CalledVia", ["cloudformation.amazonaws.com"])
    };
    statements.extend(admin::calls_of_cloudformation(scope).into_iter().map(through));
    statement::document(&statements, |text| scope.resolve(text).into())
}

/// The policy of a role that CloudFormation assumes to make clusters, for accounts where users may
/// not make resources themselves.
pub fn cloudformation(scope: &PolicyScope) -> Value {
    statement::document(&admin::calls_of_cloudformation(scope), |text| scope.resolve(text).into())
}

/// The policy of a cluster's users: what the tools from `bsub` to `bimage` need.
pub fn user(scope: &PolicyScope, config: &ClusterConfig) -> Value {
    statement::document(&user::statements(config), |text| scope.resolve(text).into())
}
