//! The least IAM policies of those who make a cluster and of those who use it.
//!
//! A managed policy has at most [`POLICY_CHARACTERS`]. A policy that is longer, such as that of
//! administrators of a cluster with a long name, is several documents; its holder gets all of them.

mod admin;
mod scope;
pub(in crate::cluster) mod statement;
pub(in crate::cluster) mod user;

pub use scope::{PolicyScope, partition_of};

use std::collections::VecDeque;

use serde_json::Value;

use self::statement::Statement;
use super::bucket_name::{HASH_LENGTH, bucket_prefix, repository_name};
use super::config::{ClusterConfig, ClusterName};

/// Characters of a managed policy, without white space (IAM User Guide, `reference_iam-quotas`).
pub const POLICY_CHARACTERS: usize = 6144;

/// The policy of those who make, change and delete clusters with `bcluster`, as documents of which
/// each fits into a managed policy. Resources can be made only through CloudFormation.
pub fn admin(scope: &PolicyScope) -> Vec<Value> {
    let mut statements = admin::own_calls(scope);
    statements.extend(admin::detach(scope));
    let through = |statement: Statement| {
        statement.when("ForAnyValue:StringEquals", "aws:CalledVia", ["cloudformation.amazonaws.com"])
    };
    statements.extend(admin::calls_of_cloudformation(scope).into_iter().map(through));
    documents(statements, scope)
}

/// The policy of a role that CloudFormation assumes to make clusters, for accounts where users may
/// not make resources themselves. The documents are as of [`admin()`].
pub fn cloudformation(scope: &PolicyScope) -> Vec<Value> {
    let mut statements = admin::calls_of_cloudformation(scope);
    statements.extend(admin::detach(scope));
    documents(statements, scope)
}

/// The policy of a cluster's users: what the tools from `bsub` to `bimage` need. The documents are
/// as of [`admin()`].
pub fn user(scope: &PolicyScope, config: &ClusterConfig) -> Vec<Value> {
    documents(user::statements(config), scope)
}

/// Characters of the managed policy that the template of a cluster makes for its users
/// (`iam.user_policy`), in a region. Names that CloudFormation makes up count with the most
/// characters that they can have.
pub fn user_policy_characters(name: &ClusterName, region: &str, config: &ClusterConfig) -> usize {
    const ACCOUNT: &str = "111122223333";
    // CloudFormation User Guide, `Name type`: stack, logical ID and a random text.
    const RANDOM: &str = "1234567890123";
    // IAM User Guide, `reference_iam-quotas`.
    const ROLE_CHARACTERS: usize = 64;
    let partition = partition_of(region);
    let of =
        |service: &str, resource: &str| format!("arn:{partition}:{service}:{region}:{ACCOUNT}:{resource}");
    let role = |id: &str| {
        let role: String = format!("{name}-{id}-{RANDOM}").chars().take(ROLE_CHARACTERS).collect();
        format!("arn:{partition}:iam::{ACCOUNT}:role{}{name}/{role}", config.iam.path)
    };
    let hash = "0".repeat(HASH_LENGTH);
    let values = [
        ("${Bucket.Arn}", format!("arn:{partition}:s3:::{}{hash}", bucket_prefix(name))),
        ("${Repository.Arn}", of("ecr", &format!("repository/{}", repository_name(name)))),
        ("${BuildProject.Arn}", of("codebuild", &format!("project/BuildProject-{RANDOM}"))),
        ("${JobRole.Arn}", role("JobRole")),
        ("${ExecutionRole.Arn}", role("ExecutionRole")),
        ("${AWS::Partition}", partition.to_owned()),
        ("${AWS::Region}", region.to_owned()),
        ("${AWS::AccountId}", ACCOUNT.to_owned()),
        ("${AWS::StackName}", name.to_string()),
    ];
    let resolve = |text: &str| {
        values.iter().fold(text.to_owned(), |text, (variable, value)| text.replace(variable, value))
    };
    statement::document(&user::statements(config), |text| resolve(text).into()).to_string().len()
}

/// Documents with all of these statements in their order, at least one. Each has at most
/// [`POLICY_CHARACTERS`].
fn documents(statements: Vec<Statement>, scope: &PolicyScope) -> Vec<Value> {
    let document =
        |statements: &[Statement]| statement::document(statements, |text| scope.resolve(text).into());
    let fits = |statements: &[Statement]| document(statements).to_string().len() <= POLICY_CHARACTERS;
    let mut waiting: VecDeque<Statement> = statements.into();
    let (mut documents, mut current) = (Vec::new(), Vec::new());
    while let Some(statement) = waiting.pop_front() {
        current.push(statement);
        if fits(&current) {
            continue;
        }
        match current.pop() {
            // A statement that is too long by itself becomes two, each with half of the resources.
            Some(long) if !fits(std::slice::from_ref(&long)) && long.resources.len() > 1 => {
                let (first, second) = long.halves();
                waiting.push_front(second);
                waiting.push_front(first);
            }
            Some(next) => {
                if !current.is_empty() {
                    documents.push(document(&current));
                }
                current = vec![next];
            }
            None => {}
        }
    }
    if !current.is_empty() {
        documents.push(document(&current));
    }
    documents
}
