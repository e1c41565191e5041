//! `bcluster template`: prints the CloudFormation template of a cluster.

use super::super::CommonArgs;
use super::account::{cluster, open};
use super::blueprint::Input;
use super::tool::TOOL;
use crate::cloud::{self, CLUSTER_TAG};
use crate::ui::{Exit, Failure, Format, Output, print_message};

/// The arguments of `bcluster template`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    input: Input,
    /// The template of the cluster as it is, instead of a new one
    #[arg(long, conflicts_with = "file")]
    current: bool,
}

impl Args {
    /// Prints the template.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let blueprint = self.input.read()?;
        let session = open(common, Some(blueprint.name())).await?;
        let text = if self.current {
            let stack = cluster(&session, blueprint.name()).await?;
            cloud::stack_template(&session, &stack.id).await?
        } else {
            blueprint.with_defaults_of(&session)?.template(&session).await?
        };
        // It is sent without blanks, which count; people read it with them.
        let text = match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(template) => serde_json::to_string_pretty(&template).unwrap_or(text),
            Err(_) => text,
        };
        Output::new(Format::Plain).write(format!("{}\n", text.trim_end()).as_bytes())?;
        let name = &self.input.name;
        print_message(session.advice(&format!(
            "{TOOL}: note: a stack of this template is a cluster of bcluster once it has its tag: `aws \
             cloudformation deploy --stack-name {name} --tags {CLUSTER_TAG}={name} --capabilities CAPABILITY_IAM \
             CAPABILITY_NAMED_IAM --template-file FILE`"
        )));
        Ok(Exit::Done)
    }
}
