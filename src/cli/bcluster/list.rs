//! `bcluster list`: lists clusters.

use serde::Serialize;

use super::super::CommonArgs;
use super::account::open;
use crate::cloud::{self, Maker, Phase, Stack};
use crate::ui::{Exit, Failure, Layout, View, local_short};

/// The arguments of `bcluster list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave out the table's header
    #[arg(long)]
    no_header: bool,
}

impl Args {
    /// Lists the clusters of the account and region: bcluster's and ParallelCluster's.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let session = open(common, None).await?;
        let mut stacks = cloud::stacks(&session).await?;
        stacks.retain(|stack| stack.maker() != Maker::Other && stack.status.phase() != Phase::Deleted);
        stacks.sort_by(|a, b| a.cluster().cmp(b.cluster()));
        common.output().without_header(self.no_header).show(&Clusters(&stacks))?;
        Ok(Exit::Done)
    }
}

struct Clusters<'a>(&'a [Stack]);

/// A cluster of the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    cluster: &'a str,
    stack_name: &'a str,
    stack_id: &'a str,
    stack_status: &'a str,
    made_by: Maker,
    creation_time: Option<i64>,
    last_updated_time: Option<i64>,
    job_queue: Option<&'a str>,
}

impl View for Clusters<'_> {
    fn plain(&self) -> Layout {
        let now = jiff::Zoned::now();
        let time = |time: Option<i64>| time.map(|time| local_short(time, &now)).unwrap_or_default();
        let row = |stack: &Stack| {
            vec![
                stack.cluster().to_owned(),
                stack.status.as_str().to_owned(),
                match stack.maker() {
                    Maker::ParallelCluster => "ParallelCluster",
                    Maker::Awsb | Maker::Other => "bcluster",
                }
                .to_owned(),
                time(stack.created_at),
                time(stack.updated_at),
                stack.name.clone(),
            ]
        };
        Layout::Table {
            columns: vec!["cluster", "stackStatus", "madeBy", "creationTime", "lastUpdatedTime", "stackName"],
            rows: self.0.iter().map(row).collect(),
            shrinks: Some(5),
        }
    }

    fn json(&self) -> Vec<serde_json::Value> {
        let rows = self.0.iter().map(|stack| Row {
            cluster: stack.cluster(),
            stack_name: &stack.name,
            stack_id: &stack.id,
            stack_status: stack.status.as_str(),
            made_by: stack.maker(),
            creation_time: stack.created_at,
            last_updated_time: stack.updated_at,
            job_queue: stack.fact("BatchJobQueueArn"),
        });
        rows.map(|row| serde_json::to_value(row).unwrap_or_default()).collect()
    }
}
