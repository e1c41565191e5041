//! `bcluster policy`: prints the least IAM policies.

use std::path::PathBuf;

use awsb_model::cluster::ClusterName;
use awsb_model::cluster::config::{BucketName, Iam};
use awsb_model::cluster::policy::{self, POLICY_CHARACTERS, PolicyScope};
use awsb_model::words;
use clap::ValueEnum;

use super::super::CommonArgs;
use super::blueprint::read_config;
use super::tool::TOOL;
use crate::ui::{Exit, Failure, Format, Output, print_message};

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
    /// Which document of a policy that is too long for one
    #[arg(long, value_name = "NUMBER")]
    part: Option<usize>,
    /// A bucket for templates that are too long for a request, as of `bcluster create`
    #[arg(long, value_name = "BUCKET")]
    template_bucket: Option<BucketName>,
    /// The account; without it, all that the holder reaches
    #[arg(long, value_name = "NUMBER", value_parser = account)]
    account: Option<String>,
}

/// The number of an account: 12 digits (IAM User Guide, `console-account-id`).
fn account(text: &str) -> Result<String, String> {
    match text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err("an account has 12 digits, such as 111122223333".to_owned()),
    }
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
            partition: policy::partition_of(common.region.as_deref().unwrap_or_default()).to_owned(),
            region: common.region.clone(),
            account: self.account.clone(),
            cluster: self.name.clone(),
            path: Iam::default().path,
            boundary: None,
            existing_roles: Vec::new(),
            existing_bucket: None,
            existing_repository: None,
            existing_project: None,
            template_bucket: self.template_bucket.clone(),
        }
        .with_config(&config);
        let documents = match self.holder {
            Holder::Admin => policy::admin(&scope),
            Holder::User => policy::user(&scope, &config),
            Holder::Cloudformation => policy::cloudformation(&scope),
        };
        let count = documents.len();
        let output = Output::new(Format::Plain);
        if common.json {
            output.write(format!("{:#}\n", serde_json::Value::from(documents)).as_bytes())?;
            return Ok(Exit::Done);
        }
        let part = self.part.unwrap_or(1);
        let Some(document) = part.checked_sub(1).and_then(|index| documents.get(index)) else {
            return Err(Failure::usage(format!(
                "the policy has {}, and no part {part}",
                words::many(count, "part")
            )));
        };
        output.write(format!("{document:#}\n").as_bytes())?;
        if self.part.is_none() && count > 1 {
            print_message(format!(
                "{TOOL}: note: this is the first of {count} documents, as IAM takes {POLICY_CHARACTERS} characters \
                 in one; the holder needs all of them\nhint: `--part 2` prints the second one, `--json` an array \
                 of all"
            ));
        }
        Ok(Exit::Done)
    }
}
