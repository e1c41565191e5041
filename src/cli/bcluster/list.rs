//! `bcluster list`: lists clusters.

use futures_util::future::join_all;
use serde::Serialize;

use super::super::CommonArgs;
use super::account::{open_place, places};
use super::tool::TOOL;
use crate::cloud::{self, Maker, Phase, Stack};
use crate::config::{Cluster, Place};
use crate::ui::{ErrorKind, Exit, Failure, Layout, View, local_short, print_message};

/// The arguments of `bcluster list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave out the table's header
    #[arg(long)]
    no_header: bool,
}

impl Args {
    /// Lists the clusters of each place: bcluster's and ParallelCluster's, and the local cluster.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let (places, is_named) = places(common)?;
        let answers = join_all(places.iter().map(|place| rows(common, place, is_named))).await;
        let mut failures = Vec::new();
        let mut listed = Vec::new();
        for answer in answers {
            match answer {
                Ok(rows) => listed.push(rows),
                Err(failure) => failures.push(failure),
            }
        }
        if listed.is_empty() {
            let last = failures.pop().unwrap_or_else(|| Failure::failed("there is no place to look in"));
            failures.iter().for_each(|failure| failure.report(TOOL));
            // A region that is missing is a mistake of the user's only if AWS alone was asked.
            return Err(if failures.is_empty() { last } else { last.with_kind(ErrorKind::Other) });
        }
        let rows: Vec<Row> = listed.into_iter().flatten().collect();
        common.output().without_header(self.no_header).show(&Clusters(&rows))?;
        let mut exit = Exit::Done;
        for failure in failures {
            if failure.kind() == ErrorKind::NoRegion {
                print_message(format!(
                    "{TOOL}: note: no AWS region is set, so the clusters on AWS are not listed\nhint: \
                     `--region NAME` or AWS_REGION names the region"
                ));
            } else {
                failure.report(TOOL);
                exit = Exit::Failed;
            }
        }
        Ok(exit)
    }
}

/// The clusters of a place, by name. A place that is a cluster without a stack is the first one,
/// unless the user has named the place.
async fn rows(common: &CommonArgs, place: &Place, is_named: bool) -> Result<Vec<Row>, Failure> {
    let own = Row::of_place(&place.cluster);
    if !place.may_have_stacks {
        return Ok(own.into_iter().collect());
    }
    let session = open_place(common, place).await?;
    let mut stacks = cloud::stacks(&session).await?;
    stacks.retain(|stack| stack.maker() != Maker::Other && stack.status.phase() != Phase::Deleted);
    stacks.sort_by(|a, b| a.cluster().cmp(b.cluster()));
    let place = own.as_ref().map_or(session.region, |own| own.place.clone());
    let own = own.filter(|_| !is_named);
    Ok(own.into_iter().chain(stacks.iter().map(|stack| Row::of_stack(stack, &place))).collect())
}

/// The clusters of the list.
struct Clusters<'a>(&'a [Row]);

/// A cluster of the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    cluster: String,
    stack_name: Option<String>,
    stack_id: Option<String>,
    stack_status: Option<String>,
    made_by: Option<Maker>,
    creation_time: Option<i64>,
    last_updated_time: Option<i64>,
    job_queue: Option<String>,
    #[serde(skip)]
    place: String,
}

impl Row {
    /// A place that is a cluster without a stack.
    fn of_place(cluster: &Cluster) -> Option<Self> {
        let is_usable = cluster.stack.is_none() && !cluster.job_queue.is_empty();
        is_usable.then(|| Self {
            cluster: cluster.name.clone(),
            stack_name: None,
            stack_id: None,
            stack_status: None,
            made_by: None,
            creation_time: None,
            last_updated_time: None,
            job_queue: Some(cluster.job_queue.clone()),
            place: cluster.name.clone(),
        })
    }

    fn of_stack(stack: &Stack, place: &str) -> Self {
        Self {
            cluster: stack.cluster().to_owned(),
            stack_name: Some(stack.name.clone()),
            stack_id: Some(stack.id.clone()),
            stack_status: Some(stack.status.as_str().to_owned()),
            made_by: Some(stack.maker()),
            creation_time: stack.created_at,
            last_updated_time: stack.updated_at,
            job_queue: stack.fact("BatchJobQueueArn").map(str::to_owned),
            place: place.to_owned(),
        }
    }
}

impl View for Clusters<'_> {
    fn plain(&self) -> Layout {
        let now = jiff::Zoned::now();
        let time = |time: Option<i64>| time.map(|time| local_short(time, &now)).unwrap_or_default();
        let row = |row: &Row| {
            vec![
                row.cluster.clone(),
                row.stack_status.clone().unwrap_or_default(),
                match row.made_by {
                    Some(Maker::ParallelCluster) => "ParallelCluster",
                    Some(Maker::Awsb | Maker::Other) => "bcluster",
                    None => "blocal",
                }
                .to_owned(),
                time(row.creation_time),
                time(row.last_updated_time),
                row.place.clone(),
                row.stack_name.clone().unwrap_or_default(),
            ]
        };
        let columns =
            vec!["cluster", "stackStatus", "madeBy", "creationTime", "lastUpdatedTime", "place", "stackName"];
        Layout::Table { columns, rows: self.0.iter().map(row).collect(), shrinks: Some(6) }
    }

    fn json(&self) -> Vec<serde_json::Value> {
        self.0.iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect()
    }
}
