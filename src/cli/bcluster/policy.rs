//! `bcluster policy`: prints the least IAM policies.

use std::path::PathBuf;

use awsb_model::cluster::ClusterName;
use awsb_model::cluster::policy::{self, PolicyScope};
use clap::ValueEnum;

use super::super::CommonArgs;
use super::blueprint::read_config;
use crate::ui::{Exit, Failure, Format, Output};

/// The arguments of `bcluster policy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose policy: of those who make clusters, of those who use one, or of a role that
    /// CloudFormation assumes
    #[arg(value_name = "WHO", default_value = "admin")]
    holder: Holder,
    /// The cluster; without it, all clusters
    #[arg(value_name = "NAME")]
    name: Option<ClusterName>,
    /// The configuration of the cluster: existing queues, buckets and roles in it are in the policy
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The account; without it, all that the holder reaches
    #[arg(long, value_name = "NUMBER")]
    account: Option<String>,
}

/// Whom a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Holder {
    /// Who makes, changes and deletes clusters
    Admin,
    /// Who uses a cluster: bsub to bimage
    User,
    /// A role with which CloudFormation makes clusters
    Cloudformation,
}

impl Args {
    /// Prints the policy. AWS is not asked.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let config = read_config(self.file.as_deref())?;
        let scope = PolicyScope {
            partition: partition(common.region.as_deref()).to_owned(),
            region: common.region.clone(),
            account: self.account.clone(),
            cluster: self.name.clone(),
            path: config.iam.path.clone(),
            boundary: config.iam.boundary.clone(),
        };
        let document = match self.holder {
            Holder::Admin => policy::admin(&scope),
            Holder::User => policy::user(&scope, &config),
            Holder::Cloudformation => policy::cloudformation(&scope),
        };
        Output::new(Format::Plain).write(format!("{document:#}\n").as_bytes())?;
        Ok(Exit::Done)
    }
}

/// The partition of a region (General Reference, `Amazon Resource Names`).
fn partition(region: Option<&str>) -> &'static str {
    const PARTITIONS: [(&str, &str); 3] =
        [("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"), ("eusc-", "aws-eusc")];
    let region = region.unwrap_or_default();
    PARTITIONS.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}
