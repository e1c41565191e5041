//! A look at jobs: the rows of `stream.rs` go through the view of `view.rs`.

use super::args::Args;
use super::columns::{ColumnRef, Source};
use super::details::EnvironmentView;
use super::packed::PackedVariables;
use super::stream::{Expand, JobStream, RowRequest, RowSource};
use super::view::{JobView, ViewOptions, ViewSummary};
use crate::aws::Session;
use crate::batch::{self, Job};
use crate::config;
use crate::ui::{Failure, Format, Output};
use awsb_model::{JobId, Status};

/// The parts that all looks of one command share.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// The arguments of the command.
    pub args: &'a Args,
    /// Where the result goes.
    pub output: &'a Output,
    /// The variables in bundles that were fetched before.
    pub packed: &'a PackedVariables,
}

impl Look<'_> {
    /// Shows the jobs with these IDs, as they are now.
    ///
    /// # Errors
    /// When Batch cannot be asked, or the result cannot be written.
    pub async fn at_ids(self, session: &Session, ids: &[JobId]) -> Result<ViewSummary, Failure> {
        let jobs = batch::describe(session, ids).await?.into_iter().flatten().collect();
        self.at_jobs(session, jobs, ids.len() == 1).await
    }

    /// Shows jobs that were named; the children of an array follow it. Without an option that says
    /// otherwise, a single job is shown in detail.
    ///
    /// # Errors
    /// When Batch cannot be asked, or the result cannot be written.
    pub async fn at_jobs(
        self,
        session: &Session,
        jobs: Vec<Job>,
        is_alone: bool,
    ) -> Result<ViewSummary, Failure> {
        let Self { args, output, .. } = self;
        let is_one = is_alone && jobs.iter().all(|job| !job.is_array_parent());
        let is_default = args.columns.is_none() && args.sort.is_none() && !args.expand_children;
        let is_plain = output.format() == Format::Plain;
        let expand = match args.is_detailed() {
            _ if args.expand_children => Expand::All,
            true if is_plain => Expand::Nothing,
            false if is_plain && output.is_terminal() && args.statuses().is_none() => Expand::Failures,
            _ => Expand::Arrays,
        };
        let detailed = args.is_detailed() || (is_one && is_default);
        let request = self.request(expand, detailed);
        let view = self.view(expand, detailed)?;
        let rows = JobStream::of_jobs(self.source(session, &request), jobs);
        show(session, rows, view).await
    }

    /// Shows the jobs of queues. If the cluster's queue is gone and came from the cache, the
    /// cluster is read again, and the session has it afterwards.
    ///
    /// # Errors
    /// When Batch cannot be asked, or the result cannot be written.
    pub async fn at_queues(self, session: &mut Session) -> Result<ViewSummary, Failure> {
        let list = async |session: &Session| self.list(session).await;
        self.args.select.with_fresh_queues(session, list).await
    }

    /// Lists the jobs of queues. At most a page of each state is shown newest last. In a pipe, a
    /// longer listing is printed as it comes.
    ///
    /// # Errors
    /// When Batch cannot be asked, or the result cannot be written.
    pub async fn list(self, session: &Session) -> Result<ViewSummary, Failure> {
        let statuses = self.args.statuses().unwrap_or(&Status::ACTIVE);
        let query = self.args.select.query(session, statuses)?;
        let expand = if self.args.expand_children { Expand::All } else { Expand::Nothing };
        let request = self.request(expand, self.args.is_detailed());
        let view = self.view(expand, self.args.is_detailed())?;
        let rows = JobStream::of_query(self.source(session, &request), &query, view.streams());
        show(session, rows, view).await
    }

    fn request(self, expand: Expand, detailed: bool) -> RowRequest {
        let Self { args, output, .. } = self;
        let is_plain = output.format() == Format::Plain;
        let chosen = args.columns.iter().flat_map(|columns| &columns.0).copied();
        let columns: Vec<ColumnRef> = chosen.chain(args.sort.map(|sort| sort.by())).collect();
        let needs = |source: Source| columns.iter().any(|column| column.source() == source);
        RowRequest {
            expand,
            part_statuses: args.statuses().unwrap_or(&Status::ALL).to_vec(),
            all_fields: needs(Source::Described) || (args.details && !is_plain),
            vcpus: needs(Source::ListedVcpus),
            progress: is_plain && !detailed,
            details: is_plain && detailed,
            environment: args.env.is_some(),
        }
    }

    fn view<'v>(self, expand: Expand, detailed: bool) -> Result<JobView<'v>, Failure>
    where
        Self: 'v,
    {
        let Self { args, output, .. } = self;
        let environment = match args.env {
            Some(values) => Some(EnvironmentView { values, secrets: config::secrets()? }),
            None => None,
        };
        let options = ViewOptions {
            columns: args.columns.as_ref(),
            sort: args.sort,
            full_ids: args.full,
            detailed,
            environment,
            only_failures: expand == Expand::Failures,
            several_queues: args.select.all_queues || args.select.queue.len() > 1,
        };
        Ok(JobView::new(output, options))
    }

    fn source<'s>(self, session: &'s Session, request: &'s RowRequest) -> RowSource<'s>
    where
        Self: 's,
    {
        RowSource { session, request, packed: self.packed }
    }
}

/// Shows rows as they come.
async fn show(
    session: &Session,
    mut rows: JobStream<'_>,
    mut view: JobView<'_>,
) -> Result<ViewSummary, Failure> {
    while let Some(batch) = rows.next().await? {
        view.add(batch)?;
    }
    let other_ids = if view.shortens_ids() { batch::recorded_ids(session) } else { Vec::new() };
    view.finish(&other_ids)
}
