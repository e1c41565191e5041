//! Where the jobs of a view go as they come: rows of the table, elements of the JSON array, or details.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;

use futures_util::StreamExt;
use futures_util::stream;

use super::Args;
use super::columns::{self, Has, Which};
use super::details;
use super::ids::ShortIds;
use super::packed::PackedVariables;
use super::progress::{Progress, by_status};
use super::value::Viewer;
use crate::aws::Session;
use crate::batch::{self, Job};
use crate::ui::{Cell, Failure, Format, JsonArray, Layout, Output, Table};
use awsb_model::{JobId, Status};

/// Parents with more parts than a page has are told part by part, smaller ones several at a time.
const SMALL: u32 = 1000;
/// So many rows are shown at once.
const ROWS: usize = 1000;
/// So many small parents are asked for their parts at once.
const AT_ONCE: usize = 8;

/// What becomes of the parts of an array or an MNP job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expand {
    /// They are not told.
    Nothing,
    /// The first of an array's children that have failed follow it.
    Failures,
    /// An array's children follow it.
    Arrays,
    /// An MNP job's nodes follow it, too.
    All,
}

impl Expand {
    fn takes(self, job: &Job) -> bool {
        match self {
            Expand::Nothing => false,
            Expand::Failures | Expand::Arrays => job.is_array_parent(),
            Expand::All => job.parts().is_some(),
        }
    }
}

/// A view that is being shown.
pub struct Sink<'a> {
    session: &'a Session,
    output: &'a Output,
    args: &'a Args,
    packed: &'a PackedVariables,
    viewer: Viewer,
    form: Form<'a>,
    expand: Expand,
    /// Of parts, those in these states.
    parts: Vec<Status>,
    has: Has,
    /// Rows that wait for the end: to be sorted, or because a terminal shows a table as wide as its widest row.
    held: Vec<Job>,
    /// What was shown.
    pub shown: Shown,
}

/// What was shown in a view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// How many of them have not ended.
    pub active: usize,
    /// Of which jobs and states it was: another number, when something has changed.
    pub states: u64,
    /// How many jobs.
    pub jobs: usize,
    /// Whether one of them could not start because its image has no shell.
    pub lacks_sh: bool,
}

enum Form<'a> {
    Json(JsonArray<'a>),
    /// Whether there are some already.
    Details(bool),
    Rows(Option<(Vec<Which>, Table<'a>)>),
}

impl<'a> Sink<'a> {
    pub fn new(
        session: &'a Session,
        output: &'a Output,
        args: &'a Args,
        packed: &'a PackedVariables,
        detailed: bool,
    ) -> Self {
        let form = match output.format() {
            Format::Json => Form::Json(output.json_array()),
            Format::Plain if detailed => Form::Details(false),
            Format::Plain => Form::Rows(None),
        };
        Self {
            session,
            output,
            args,
            packed,
            viewer: Viewer::new(output.is_terminal()),
            form,
            expand: if args.expand_children { Expand::All } else { Expand::Nothing },
            parts: args.statuses().unwrap_or(&Status::ALL).to_vec(),
            has: Has { queues: args.select.all_queues || args.select.queue.len() > 1, ..Has::default() },
            held: Vec::new(),
            shown: Shown::default(),
        }
    }

    /// The same, with this done to parents.
    pub fn expanding(self, expand: Expand) -> Self {
        Self { expand, ..self }
    }

    /// Whether rows may be shown as they come, in whatever order that is.
    pub fn streams(&self) -> bool {
        self.args.sort.is_none() && !(matches!(self.form, Form::Rows(_)) && self.output.is_terminal())
    }

    /// Shows more jobs, and the parts of those that are expanded; `more` says that others follow.
    pub async fn push(&mut self, mut jobs: Vec<Job>, more: bool) -> Result<(), Failure> {
        self.complete(&mut jobs).await?;
        self.has.parents |= more || jobs.iter().any(|job| job.parts().is_some());
        self.has.tasks |=
            jobs.iter().any(|job| job.task.is_some() || (self.expand.takes(job) && job.has_task_ids()));
        // A large parent ends the jobs before it: no answer waits unread while its parts are shown.
        let is_large = |job: &Job| self.expand.takes(job) && !self.is_small(job);
        let ends: Vec<usize> = (0..jobs.len()).filter(|at| is_large(&jobs[*at])).collect();
        let mut begin = 0;
        for end in ends {
            self.show_with_parts(&jobs[begin..end]).await?;
            self.show_large(&jobs[end]).await?;
            begin = end + 1;
        }
        self.show_with_parts(&jobs[begin..]).await
    }

    /// Jobs, each with its parts, which are few.
    async fn show_with_parts(&mut self, jobs: &[Job]) -> Result<(), Failure> {
        let (session, statuses) = (self.session, self.parts.clone());
        let parents: Vec<&Job> = jobs.iter().filter(|job| self.expand.takes(job)).collect();
        let expand = self.expand;
        let asked = parents.into_iter().map(|parent| {
            let statuses = &statuses;
            async move {
                match expand {
                    Expand::Failures => {
                        details::first_failures(session, parent).await.map(|(first, _)| first)
                    }
                    _ => batch::parts(session, parent, statuses).await,
                }
            }
        });
        let mut asked = pin!(stream::iter(asked).buffered(AT_ONCE));
        let mut rows = Vec::new();
        for job in jobs {
            rows.push(job.clone());
            if self.expand.takes(job) {
                let mut parts = asked.next().await.unwrap_or_else(|| Ok(Vec::new()))?;
                self.adopt(job, &mut parts).await?;
                rows.extend(parts);
            }
            if rows.len() >= ROWS {
                self.show(std::mem::take(&mut rows)).await?;
            }
        }
        self.show(rows).await
    }

    /// A large parent, and its parts as they come. It comes with the first of them, which make the columns wide enough.
    async fn show_large(&mut self, parent: &Job) -> Result<(), Failure> {
        let mut rows = vec![parent.clone()];
        let mut pages = batch::parts_in_order(self.session, parent);
        while let Some(parts) = pages.next().await {
            let mut parts = parts?;
            self.adopt(parent, &mut parts).await?;
            rows.extend(parts);
            self.show(std::mem::take(&mut rows)).await?;
        }
        self.show(rows).await
    }

    /// Whether all parts of a parent are asked for before the first is shown: there are few, or not all are wanted,
    /// so that nobody knows which comes next.
    fn is_small(&self, parent: &Job) -> bool {
        self.expand == Expand::Failures
            || self.parts != Status::ALL
            || parent.parts().is_some_and(|parts| parts <= SMALL)
    }

    /// Tells jobs what a listing did not, where it is shown.
    async fn complete(&self, jobs: &mut [Job]) -> Result<(), Failure> {
        let wanted = self.args.columns.iter().flat_map(|columns| &columns.0);
        let everything =
            wanted.chain(self.args.sort.map(|sort| sort.by()).iter()).any(|which| which.is_described())
                || (self.args.details && matches!(self.form, Form::Json(_)));
        let rows = matches!(self.form, Form::Rows(_));
        let lacks = |job: &Job| {
            everything || (self.expand.takes(job) && job.is_array_parent()) || (rows && job.lacks_progress())
        };
        let lacking: Vec<usize> =
            (0..jobs.len()).filter(|at| jobs[*at].attempts.is_none() && lacks(&jobs[*at])).collect();
        let ids: Vec<JobId> = lacking.iter().map(|at| jobs[*at].id()).collect();
        let described = match batch::describe(self.session, &ids).await {
            // Who may list jobs, and no more, sees them without their progress.
            Err(failure) if !everything && self.expand == Expand::Nothing && !failure.is_retryable() => {
                return Ok(());
            }
            described => described?,
        };
        for (at, described) in lacking.into_iter().zip(described) {
            // One that Batch has forgotten meanwhile stays as it was listed.
            if let Some(described) = described {
                jobs[at] = Job { task: jobs[at].task.or(described.task), ..described };
            }
        }
        Ok(())
    }

    /// Tells parts what they have from their parent.
    async fn adopt(&self, parent: &Job, parts: &mut [Job]) -> Result<(), Failure> {
        let tasks = parent.container.as_ref().and_then(|c| c.tasks.as_ref());
        for part in parts.iter_mut() {
            part.set_task(tasks);
            part.job_queue = part.job_queue.take().or_else(|| parent.job_queue.clone());
        }
        self.complete(parts).await
    }

    async fn show(&mut self, jobs: Vec<Job>) -> Result<(), Failure> {
        self.shown.jobs += jobs.len();
        self.shown.lacks_sh |= jobs.iter().any(Job::lacks_sh);
        self.shown.active += jobs.iter().filter(|job| !job.status.has_ended()).count();
        let mut hasher = DefaultHasher::new();
        self.shown.states.hash(&mut hasher);
        jobs.iter().for_each(|job| (&job.job_id, job.status).hash(&mut hasher));
        self.shown.states = hasher.finish();
        if self.streams() {
            return self.print(jobs).await;
        }
        self.held.extend(jobs);
        Ok(())
    }

    async fn print(&mut self, jobs: Vec<Job>) -> Result<(), Failure> {
        match &mut self.form {
            Form::Json(array) => {
                let elements = match self.args.env {
                    Some(which) => details::with_environment(self.session, which, self.packed, &jobs).await?,
                    None => jobs.iter().map(Job::to_json).collect(),
                };
                elements.iter().try_for_each(|element| array.push(element))
            }
            Form::Details(begun) => {
                let first = !std::mem::replace(begun, true);
                let (session, env) = (self.session, self.args.env);
                details::show(session, self.output, env, self.packed, &self.viewer, &jobs, first).await
            }
            Form::Rows(None) if jobs.is_empty() => Ok(()),
            Form::Rows(table) => {
                let (columns, table) = match table {
                    Some(begun) => begun,
                    None => table.insert(begun(self.output, self.args, self.has, &jobs, &self.viewer)),
                };
                let cells = |job: &Job| {
                    columns.iter().map(|c| c.value(job, &self.viewer).cell(&self.viewer)).collect()
                };
                table.rows(&jobs.iter().map(cells).collect::<Vec<Vec<Cell>>>())
            }
        }
    }

    /// Shows what is left.
    pub async fn finish(mut self) -> Result<Shown, Failure> {
        let mut held = std::mem::take(&mut self.held);
        if let Some(sort) = self.args.sort {
            sort.sort(&mut held, &self.viewer);
        }
        if self.output.is_terminal() && matches!(self.form, Form::Rows(_)) && !self.args.full {
            let known = batch::known_ids(self.session);
            let known = known.iter().map(JobId::as_str);
            let shown = held.iter().map(|job| job.job_id.as_str());
            self.viewer = self.viewer.shortening(ShortIds::of(known.chain(shown)));
        }
        let summary = self.summary(&held);
        if !held.is_empty() {
            self.print(held).await?;
        }
        match self.form {
            Form::Json(array) => array.finish()?,
            Form::Rows(Some((_, table))) => table.finish()?,
            // A terminal's reader sees that there is nothing; a script's table has its header.
            Form::Rows(None) if !self.output.is_terminal() => {
                begun(self.output, self.args, self.has, &[], &self.viewer).1.finish()?;
            }
            Form::Rows(None) | Form::Details(_) => {}
        }
        if !summary.is_empty() {
            self.output.show_layout(&Layout::Lines(summary))?;
        }
        Ok(self.shown)
    }

    /// What is said below the table of an array whose children are not all shown.
    fn summary(&self, rows: &[Job]) -> Vec<String> {
        let mut arrays = rows.iter().filter(|job| job.is_array_parent());
        let (Some(array), None, Expand::Failures) = (arrays.next(), arrays.next(), self.expand) else {
            return Vec::new();
        };
        let Some(counts) = Progress::of(array).and_then(|progress| progress.summary()) else {
            return Vec::new();
        };
        let failed = by_status(array).into_iter().find(|(s, _)| *s == Status::Failed).map_or(0, |(_, n)| n);
        let named = rows.iter().filter(|job| job.id().array_index().is_some()).count();
        let failures = match usize::try_from(failed).is_ok_and(|failed| failed > named) {
            true => ", `--failed` those that have failed",
            false => "",
        };
        let id = self.viewer.id(&array.job_id);
        vec![String::new(), counts, format!("`bstat -e {id}` shows all children{failures}")]
    }
}

/// The table's columns, and the table.
fn begun<'a>(
    output: &'a Output,
    args: &Args,
    has: Has,
    jobs: &[Job],
    viewer: &Viewer,
) -> (Vec<Which>, Table<'a>) {
    let columns = match &args.columns {
        Some(chosen) => chosen.0.clone(),
        None if output.is_terminal() => columns::usual_on_terminal(has, jobs, viewer),
        None => columns::usual(has),
    };
    let table = output.table(columns.iter().map(|c| c.column(args.columns.is_some())).collect());
    (columns, table)
}
