//! `bqueues --resources`: consumable resources (licences), and the jobs that hold them.

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::{Value, json};

use super::{Args, between};
use crate::aws::Session;
use crate::batch::consumables::{self, ConsumableResource, Consumer};
use crate::ui::{
    Cell, Column, Exit, Failure, Format, Layout, Tone, Truncate, local_rfc3339, print_message, sanitize,
};
use awsb_model::{RunningLimit, Status, consumable_name, words};

/// The jobs of at most this many resources are listed at the same time: a call for each state.
const RESOURCES_AT_ONCE: usize = 4;
/// At most this many jobs of a resource are shown in the details.
const MAX_JOBS: usize = 20;

impl Args {
    /// Shows the resources that are named, or all but the limits of arrays.
    pub(super) async fn show_resources(&self) -> Result<Exit, Failure> {
        let session = self.common.open().await?;
        let (resources, missing) = self.find_resources(&session).await?;
        let looks = resources.into_iter().map(|resource| {
            let session = &session;
            async move {
                let consumers = consumables::open_consumers(session, &resource.name).await?;
                let limited_jobs = match RunningLimit::is_one(&resource.name) {
                    true => limited_jobs(session, &resource.name, &consumers).await,
                    false => Ok(Vec::new()),
                };
                Ok::<_, Failure>(ResourceView { resource, consumers, limited_jobs })
            }
        });
        let looks: Vec<_> = stream::iter(looks).buffered(RESOURCES_AT_ONCE).collect().await;
        let views = looks.into_iter().collect::<Result<Vec<_>, _>>()?;
        if !views.is_empty() || missing.is_empty() || self.common.json {
            self.show_views(&views)?;
        }
        views.iter().for_each(ResourceView::report_unknown);
        missing.iter().for_each(|failure| failure.report("bqueues"));
        Ok(if missing.is_empty() { Exit::Done } else { Exit::Failed })
    }

    /// The resources, and a failure for each that does not exist.
    async fn find_resources(
        &self,
        session: &Session,
    ) -> Result<(Vec<ConsumableResource>, Vec<Failure>), Failure> {
        if self.queues.is_empty() {
            let all = consumables::all(session, None).await?.into_iter();
            let is_shown = |of: &ConsumableResource| self.all_queues || !RunningLimit::is_one(&of.name);
            return Ok((all.filter(is_shown).collect(), Vec::new()));
        }
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for name in &self.queues {
            match consumables::find(session, name).await? {
                Some(resource) if found.contains(&resource) => {}
                Some(resource) => found.push(resource),
                None => {
                    let short = consumable_name(name);
                    let message = format!("there is no consumable resource {short} ({})", session.describe());
                    missing.push(
                        Failure::failed(message).hint("`bqueues --resources` lists the consumable resources"),
                    );
                }
            }
        }
        Ok((found, missing))
    }

    fn show_views(&self, views: &[ResourceView]) -> Result<(), Failure> {
        let output = self.common.output().without_header(self.no_header);
        match output.format() {
            Format::Json => {
                let mut array = output.json_array();
                for view in views {
                    array.push(&view.element())?;
                }
                array.finish()
            }
            Format::Plain if self.is_detailed() => {
                for (n, view) in views.iter().enumerate() {
                    between(&output, n)?;
                    output.show_layout(&view.details())?;
                }
                Ok(())
            }
            Format::Plain => {
                let column = |name, rank| Column { rank, ..Column::new(name) };
                // The names of limits differ at their ends only.
                let id = |name, rank| Column { truncate: Truncate::Middle(9), ..column(name, rank) };
                let has_limits = views.iter().any(ResourceView::is_limit);
                let mut columns = vec![
                    id("resource", 0),
                    column("type", 4),
                    column("total", 1),
                    column("inUse", 0),
                    column("available", 2),
                    column("running", 3),
                    column("waiting", 3),
                ];
                if has_limits {
                    let name = Column { truncate: Truncate::End(8), ..column("jobName", 2) };
                    columns.extend([id("jobId", 1), name]);
                }
                let mut table = output.table(columns);
                let row = |view: &ResourceView| {
                    let jobs = has_limits.then(|| view.limited_job_cells());
                    view.row().into_iter().chain(jobs.into_iter().flatten()).collect()
                };
                table.rows(&views.iter().map(row).collect::<Vec<_>>())?;
                table.finish()
            }
        }
    }
}

/// A resource, with the jobs that hold it or wait for it.
struct ResourceView {
    resource: ConsumableResource,
    consumers: Vec<Consumer>,
    /// The jobs of the array that a limit belongs to: those that have not ended, or all if all have
    /// ended. Other resources have none.
    limited_jobs: Result<Vec<Consumer>, Failure>,
}

/// The jobs of the array that a limit belongs to. An array without open jobs has ended.
async fn limited_jobs(session: &Session, limit: &str, open: &[Consumer]) -> Result<Vec<Consumer>, Failure> {
    if open.is_empty() { consumables::jobs_of(session, limit).await } else { Ok(open.to_vec()) }
}

impl ResourceView {
    /// Whether it is the limit of an array.
    fn is_limit(&self) -> bool {
        RunningLimit::is_one(&self.resource.name)
    }

    /// Reports the jobs that could not be listed.
    fn report_unknown(&self) {
        if let Err(why) = &self.limited_jobs {
            let name = &self.resource.name;
            print_message(sanitize(&format!(
                "bqueues: note: cannot tell which array the limit {name} belongs to: {why}"
            )));
        }
    }

    fn limited_jobs(&self) -> &[Consumer] {
        self.limited_jobs.as_deref().unwrap_or_default()
    }

    fn holders(&self) -> impl Iterator<Item = &Consumer> {
        self.consumers.iter().filter(|job| job.held > 0)
    }

    /// The jobs that wait, and hold nothing. An array of which some tasks run holds something.
    fn waiting(&self) -> usize {
        let waits =
            |job: &&Consumer| job.held == 0 && matches!(job.status, Status::Pending | Status::Runnable);
        self.consumers.iter().filter(waits).count()
    }

    fn available(&self) -> Option<i64> {
        let ConsumableResource { available_quantity, total_quantity, in_use_quantity, .. } = &self.resource;
        available_quantity.or_else(|| Some((*total_quantity)?.saturating_sub((*in_use_quantity)?).max(0)))
    }

    fn row(&self) -> Vec<Cell> {
        let number = |n: Option<i64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let available = self.available();
        let tone = if available == Some(0) { Tone::Bad } else { Tone::Plain };
        let count = |n: usize| Cell::toned(n.to_string(), if n == 0 { Tone::Faint } else { Tone::Plain });
        vec![
            Cell::from(self.resource.name.as_str()),
            Cell::from(self.resource.kind.as_deref().unwrap_or_default()),
            Cell::from(number(self.resource.total_quantity).as_str()),
            Cell::from(number(self.resource.in_use_quantity).as_str()),
            Cell::toned(number(available), tone),
            count(self.holders().count()),
            count(self.waiting()),
        ]
    }

    /// The IDs and the name of the array that a limit belongs to. A large array is several jobs.
    fn limited_job_cells(&self) -> [Cell; 2] {
        let jobs = self.limited_jobs();
        let ids: Vec<&str> = jobs.iter().map(|job| job.job_id.as_str()).collect();
        let name = jobs.first().map(|job| job.job_name.as_str());
        [Cell::from(ids.join(",")), Cell::from(name.unwrap_or_default())]
    }

    fn details(&self) -> Layout {
        let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
        let of = &self.resource;
        let mut details = vec![
            ("consumableResourceName", of.name.clone()),
            ("consumableResourceArn", of.arn.clone().unwrap_or_default()),
            ("resourceType", of.kind.clone().unwrap_or_default()),
            ("totalQuantity", number(of.total_quantity)),
            ("inUseQuantity", number(of.in_use_quantity)),
            ("availableQuantity", number(self.available())),
            ("createdAt", of.created_at.map(local_rfc3339).unwrap_or_default()),
        ];
        let line = |job: &Consumer| {
            let user = job.submitter.as_ref().map(|user| format!(" of {user}")).unwrap_or_default();
            let holds = match job.held {
                0 => format!("waits for {}", job.quantity),
                held => format!("holds {held}"),
            };
            format!("{} ({}){user} {} {holds}", job.job_id, job.job_name, job.status)
        };
        let ended = |job: &Consumer| format!("{} ({}) {}", job.job_id, job.job_name, job.status);
        let lines: Vec<String> = match self.consumers.as_slice() {
            [] => self.limited_jobs().iter().map(ended).collect(),
            open => open.iter().map(line).collect(),
        };
        let more = lines.len().saturating_sub(MAX_JOBS);
        details.extend(lines.into_iter().take(MAX_JOBS).map(|line| ("job", line)));
        if more > 0 {
            details.push(("job", format!("and {}", words::many(more, "more job"))));
        }
        Layout::Details(details.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// The resource as JSON, under AWS's field names, with its jobs.
    fn element(&self) -> Value {
        let mut element = serde_json::to_value(&self.resource).unwrap_or_default();
        element["availableQuantity"] = json!(self.available());
        element["jobs"] = json!(self.consumers);
        if self.is_limit() {
            element["limitedJobs"] = json!(self.limited_jobs.as_ref().ok());
        }
        element
    }
}
