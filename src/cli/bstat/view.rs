//! Rows rendered: a table, details, or a JSON array. Nothing here asks AWS; `stream.rs` makes the
//! rows.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use super::cell_value::Viewer;
use super::columns::{self, ColumnRef, Columns, Sort};
use super::details::{self, EnvironmentView};
use super::ids::ShortIds;
use super::progress::{ChildProgress, by_status};
use super::row::{JobRow, ListingTraits, RowBatch};
use crate::batch::Job;
use crate::ui::{Cell, Failure, Format, JsonArray, Layout, Output, Table};
use awsb_model::{JobId, Status};

/// How rows are rendered.
#[derive(Debug, Default)]
pub struct ViewOptions<'a> {
    /// The columns of the table, if the user has chosen some.
    pub columns: Option<&'a Columns>,
    /// The order of the rows; without one, they are rendered in the order in which they come.
    pub sort: Option<Sort>,
    /// IDs are whole on a terminal, too.
    pub full_ids: bool,
    /// Each row is rendered in detail, and not as a row of a table.
    pub detailed: bool,
    /// Environment variables are shown.
    pub environment: Option<EnvironmentView>,
    /// Of the children of an array, only the first that have failed are among the rows.
    pub only_failures: bool,
    /// The rows may be from several queues.
    pub several_queues: bool,
}

/// A view of rows, which is printed as the rows come.
pub struct JobView<'a> {
    output: &'a Output,
    options: ViewOptions<'a>,
    viewer: Viewer,
    form: Renderer<'a>,
    traits: ListingTraits,
    /// Rows that wait for the end: to be sorted, or because a terminal shows a table as wide as its
    /// widest row.
    held: Vec<JobRow>,
    summary: ViewSummary,
    states: DefaultHasher,
}

/// Facts about all rows of a view.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ViewSummary {
    /// The number of jobs that have not ended.
    pub active: usize,
    /// A hash of the jobs and their states. It is another one when something has changed.
    pub states: u64,
    /// The number of jobs.
    pub jobs: usize,
    /// Whether one of them is rendered in detail and could not start because its image has no
    /// shell.
    pub lacks_sh: bool,
}

enum Renderer<'a> {
    Json(JsonArray<'a>),
    /// Whether a job has been printed.
    Details(bool),
    Table(Option<(Vec<ColumnRef>, Table<'a>)>),
}

impl<'a> JobView<'a> {
    /// An empty view.
    pub fn new(output: &'a Output, options: ViewOptions<'a>) -> Self {
        let viewer = Viewer::new(output.is_terminal());
        let form = match output.format() {
            Format::Json => Renderer::Json(output.json_array()),
            Format::Plain if options.detailed => Renderer::Details(false),
            Format::Plain => Renderer::Table(None),
        };
        let traits = ListingTraits { queues: options.several_queues, ..ListingTraits::default() };
        let (summary, states) = (ViewSummary::default(), DefaultHasher::new());
        Self { output, options, viewer, form, traits, held: Vec::new(), summary, states }
    }

    /// Whether rows are printed as they come, in any order.
    pub fn streams(&self) -> bool {
        self.options.sort.is_none() && !self.is_table_on_terminal()
    }

    /// Whether IDs are shortened, for which [`JobView::finish`] has to know other IDs, too.
    pub fn shortens_ids(&self) -> bool {
        self.is_table_on_terminal() && !self.options.full_ids
    }

    fn is_table_on_terminal(&self) -> bool {
        self.output.is_terminal() && matches!(self.form, Renderer::Table(_))
    }

    /// Takes more rows, and prints them unless they have to wait for the end.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn add(&mut self, batch: RowBatch) -> Result<(), Failure> {
        let RowBatch { rows, traits } = batch;
        self.traits = self.traits.or(traits);
        self.summary.jobs += rows.len();
        // A table has nothing beside the hint that names the job.
        self.summary.lacks_sh |= self.options.detailed && rows.iter().any(|row| row.job.lacks_sh());
        self.summary.active += rows.iter().filter(|row| !row.job.status.has_ended()).count();
        rows.iter().for_each(|row| (&row.job.job_id, row.job.status).hash(&mut self.states));
        if self.streams() {
            return self.print(&rows);
        }
        self.held.extend(rows);
        Ok(())
    }

    fn print(&mut self, rows: &[JobRow]) -> Result<(), Failure> {
        match &mut self.form {
            Renderer::Json(array) => {
                let environment = self.options.environment.as_ref();
                rows.iter().try_for_each(|row| array.push(&element(row, environment)))
            }
            Renderer::Details(begun) => rows.iter().try_for_each(|row| {
                if std::mem::replace(begun, true) {
                    self.output.write(b"\n")?;
                }
                let lines = details::lines(row, self.options.environment.as_ref(), self.viewer.now);
                self.output.show_layout(&Layout::Details(lines))
            }),
            Renderer::Table(None) if rows.is_empty() => Ok(()),
            Renderer::Table(table) => {
                let (columns, table) = match table {
                    Some(begun) => begun,
                    None => table.insert(begin(self.output, &self.options, self.traits, rows, &self.viewer)),
                };
                let cells = |row: &JobRow| {
                    columns.iter().map(|c| c.value(&row.job, &self.viewer).cell(&self.viewer)).collect()
                };
                table.rows(&rows.iter().map(cells).collect::<Vec<Vec<Cell>>>())
            }
        }
    }

    /// Prints the rows that have waited, and ends the view. Shortened IDs differ from these, too.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn finish(mut self, other_ids: &[JobId]) -> Result<ViewSummary, Failure> {
        let mut held = std::mem::take(&mut self.held);
        if let Some(sort) = self.options.sort {
            sort.sort(&mut held, &self.viewer);
        }
        if self.shortens_ids() {
            let others = other_ids.iter().map(JobId::as_str);
            let shown = held.iter().map(|row| row.job.job_id.as_str());
            self.viewer = self.viewer.shortening(ShortIds::of(others.chain(shown)));
        }
        let footer = self.footer(&held);
        if !held.is_empty() {
            self.print(&held)?;
        }
        match self.form {
            Renderer::Json(array) => array.finish()?,
            Renderer::Table(Some((_, table))) => table.finish()?,
            // A person at a terminal sees that there is nothing. A script's table always has its
            // header.
            Renderer::Table(None) if !self.output.is_terminal() => {
                begin(self.output, &self.options, self.traits, &[], &self.viewer).1.finish()?;
            }
            Renderer::Table(None) | Renderer::Details(_) => {}
        }
        if !footer.is_empty() {
            self.output.show_layout(&Layout::Lines(footer))?;
        }
        Ok(ViewSummary { states: self.states.finish(), ..self.summary })
    }

    /// The lines below the table of an array whose children are not all shown.
    fn footer(&self, rows: &[JobRow]) -> Vec<String> {
        let mut arrays = rows.iter().map(|row| &row.job).filter(|job| job.is_array_parent());
        let (Some(array), None, true) = (arrays.next(), arrays.next(), self.options.only_failures) else {
            return Vec::new();
        };
        let Some(counts) = ChildProgress::of(array).and_then(|progress| progress.summary()) else {
            return Vec::new();
        };
        let failed = by_status(array).into_iter().find(|(s, _)| *s == Status::Failed).map_or(0, |(_, n)| n);
        let named = rows.iter().filter(|row| row.job.id().array_index().is_some()).count();
        let failures = match usize::try_from(failed).is_ok_and(|failed| failed > named) {
            true => ", `--failed` those that have failed",
            false => "",
        };
        let id = self.viewer.id(&array.job_id);
        vec![String::new(), counts, format!("`bstat -e {id}` shows all children{failures}")]
    }
}

/// The columns of the table, and the table. The first rows decide which columns a terminal gets.
fn begin<'a>(
    output: &'a Output,
    options: &ViewOptions<'_>,
    traits: ListingTraits,
    rows: &[JobRow],
    viewer: &Viewer,
) -> (Vec<ColumnRef>, Table<'a>) {
    let columns = match options.columns {
        Some(chosen) => chosen.0.clone(),
        None if output.is_terminal() => columns::default_on_terminal(traits, rows, viewer),
        None => columns::default_in_pipe(traits),
    };
    let table = output.table(columns.iter().map(|c| c.column(options.columns.is_some())).collect());
    (columns, table)
}

/// A row as JSON, with its environment variables where these are shown and Batch still has the job.
fn element(row: &JobRow, environment: Option<&EnvironmentView>) -> Value {
    match (environment, &row.details) {
        (Some(environment), Some(details)) => {
            let job = Job { task: row.job.task, ..details.described.job.clone() };
            environment.add_to(job.to_json(), &details.described)
        }
        _ => row.job.to_json(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::rc::Rc;

    use super::super::details::EnvValues;
    use super::super::row::{PartsExcerpt, RowDetails};
    use super::*;
    use crate::batch::{Container, Dependency, JobDetails};
    use awsb_model::SecretWords;

    fn job(id: &str, name: &str, status: Status) -> Job {
        Job { status, ..Job::submitted(id.to_owned(), name.to_owned(), None) }
    }

    fn batch(jobs: impl IntoIterator<Item = Job>, traits: ListingTraits) -> RowBatch {
        RowBatch { rows: jobs.into_iter().map(JobRow::from).collect(), traits }
    }

    fn array(id: &str, counts: &[(&str, i32)]) -> Job {
        let mut job = job(id, "array", Status::Pending);
        let properties = job.array_properties.insert(Default::default());
        properties.size = Some(counts.iter().map(|(_, n)| n).sum());
        properties.status_summary = Some(counts.iter().map(|(s, n)| ((*s).to_owned(), *n)).collect());
        job
    }

    #[test]
    fn a_table_in_a_pipe_is_printed_as_rows_come() -> Result<(), Failure> {
        let output = Output::in_memory(Format::Plain, None, false);
        let mut view = JobView::new(&output, ViewOptions::default());
        view.add(batch([], ListingTraits { parents: true, ..ListingTraits::default() }))?;
        assert_eq!(output.taken(), "", "the first rows decide how wide the columns are");
        view.add(batch([job("j-1", "one", Status::Running)], ListingTraits::default()))?;
        assert_eq!(
            output.taken(),
            "jobId  jobName  status   startedAt  stoppedAt  exitCode  progress\n\
             j-1    one      RUNNING  -          -          -         -\n"
        );
        view.add(batch([job("j-2", "two", Status::Failed)], ListingTraits::default()))?;
        assert_eq!(output.taken(), "j-2    two      FAILED   -          -          -         -\n");
        let summary = view.finish(&[])?;
        assert_eq!((summary.jobs, summary.active, summary.lacks_sh), (2, 1, false));
        assert_eq!(output.taken(), "");
        Ok(())
    }

    #[test]
    fn an_empty_table_has_a_header_in_a_pipe_alone() -> Result<(), Failure> {
        for (columns, text) in [(None, "jobId  jobName\n"), (Some(80), "")] {
            let output = Output::in_memory(Format::Plain, columns, false);
            let columns: Columns = "jobId,jobName".parse().expect("columns");
            let options = ViewOptions { columns: Some(&columns), ..ViewOptions::default() };
            JobView::new(&output, options).finish(&[])?;
            assert_eq!(output.taken(), text);
        }
        Ok(())
    }

    #[test]
    fn a_table_on_a_terminal_waits_for_its_end() -> Result<(), Failure> {
        let output = Output::in_memory(Format::Plain, Some(80), false);
        let options = ViewOptions { only_failures: true, ..ViewOptions::default() };
        let mut view = JobView::new(&output, options);
        let id = "8f2c0d3e-1111-4222-8333-444455556666";
        let array = array(id, &[("SUCCEEDED", 1), ("FAILED", 2), ("RUNNABLE", 7)]);
        let child = job(&format!("{id}:3"), "array", Status::Failed);
        view.add(batch([array, child], ListingTraits::default()))?;
        assert_eq!(output.taken(), "");
        assert!(view.shortens_ids() && !view.streams());
        view.finish(&[JobId::from_batch("8f2c0d3e-2111-4222-8333-444455556666")])?;
        insta::assert_snapshot!(output.taken(), @r#"
        jobId         jobName  status   progress
        8f2c0d3e-1    array    PENDING  ━━━······· [10] 2 failed 1 ok 7 waiting
        8f2c0d3e-1:3  array    FAILED   -

        10 children: 1 ok, 2 failed, 7 waiting
        `bstat -e 8f2c0d3e-1` shows all children, `--failed` those that have failed
        "#);
        Ok(())
    }

    #[test]
    fn sorted_rows_wait_for_their_end() -> Result<(), Failure> {
        let output = Output::in_memory(Format::Json, None, false);
        let sort = Some("-jobName".parse().expect("a column"));
        let mut view = JobView::new(&output, ViewOptions { sort, ..ViewOptions::default() });
        let jobs = ["a", "c", "b"].map(|name| job(name, name, Status::Running));
        view.add(batch(jobs, ListingTraits::default()))?;
        assert_eq!(output.taken(), "");
        view.finish(&[])?;
        let elements: Vec<Value> = serde_json::from_str(&output.taken()).expect("JSON");
        let names: Vec<&str> = elements.iter().filter_map(|e| e["jobName"].as_str()).collect();
        assert_eq!(names, ["c", "b", "a"]);
        Ok(())
    }

    /// A row in detail, of a job that waits for another and for one that Batch has forgotten.
    fn detailed(job: Job, parts: PartsExcerpt) -> JobRow {
        let on = |id: &str, kind: Option<&str>| Dependency {
            job_id: Some(id.to_owned()),
            kind: kind.map(str::to_owned),
        };
        let mut described = job.clone();
        described.depends_on = Some(vec![on("other", Some("N_TO_N")), on("gone", None)]);
        let environment = [("TOKEN", "hunter2hunter2"), ("A", "b")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let other = self::job("other", "first", Status::Running);
        let details = RowDetails {
            described: JobDetails { job: described, environment },
            dependencies: Rc::new(HashMap::from([("other".to_owned(), other)])),
            parts,
        };
        JobRow { job, details: Some(Box::new(details)) }
    }

    fn masked() -> Option<EnvironmentView> {
        Some(EnvironmentView { values: EnvValues::Masked, secrets: SecretWords::default() })
    }

    #[test]
    fn details_of_an_array() -> Result<(), Failure> {
        let output = Output::in_memory(Format::Plain, None, false);
        let options = ViewOptions { detailed: true, environment: masked(), ..ViewOptions::default() };
        let mut view = JobView::new(&output, options);
        let mut failed = job("array:3", "array", Status::Failed);
        failed.status_reason = Some("Host EC2 terminated".to_owned());
        let parts = PartsExcerpt::FailedChildren(vec![failed], 1);
        let rows = [
            detailed(array("array", &[("FAILED", 2), ("RUNNABLE", 8)]), parts),
            detailed(job("one", "one", Status::Running), PartsExcerpt::None),
        ];
        for row in rows {
            view.add(RowBatch { rows: vec![row], traits: ListingTraits::default() })?;
        }
        view.finish(&[])?;
        insta::assert_snapshot!(output.taken(), @r#"
        jobId         : array
        jobName       : array
        jobQueue      : -
        jobDefinition : -
        status        : PENDING
        statusReason  : -
        createdAt     : -
        startedAt     : -
        stoppedAt     : -
        command       : -
        image         : -
        vcpus         : -
        memory        : -
        attempts      : 0
        exitCode      : -
        reason        : -
        logStreamName : -
        dependsOn     : other RUNNING (first), each child on the one with its index
        dependsOn     : gone (Batch no longer has it)
        children      : 10
        progress      : 8 RUNNABLE, 2 FAILED
        failed 3      : FAILED; Host EC2 terminated
        failed …      : 1 more: `bstat --failed array`
        environment   : A=b
        environment   : TOKEN=***

        jobId         : one
        jobName       : one
        jobQueue      : -
        jobDefinition : -
        status        : RUNNING
        statusReason  : -
        createdAt     : -
        startedAt     : -
        stoppedAt     : -
        command       : -
        image         : -
        vcpus         : -
        memory        : -
        attempts      : 0
        exitCode      : -
        reason        : -
        logStreamName : -
        dependsOn     : other RUNNING (first), each child on the one with its index
        dependsOn     : gone (Batch no longer has it)
        environment   : A=b
        environment   : TOKEN=***
        "#);
        Ok(())
    }

    #[test]
    fn details_name_the_task_of_a_failed_child() -> Result<(), Failure> {
        let output = Output::in_memory(Format::Plain, None, false);
        let mut view = JobView::new(&output, ViewOptions { detailed: true, ..ViewOptions::default() });
        let failed = Job { task: Some(7), ..job("array:1", "array", Status::Failed) };
        let parts = PartsExcerpt::FailedChildren(vec![failed], 0);
        let rows = vec![detailed(array("array", &[("FAILED", 1), ("RUNNABLE", 2)]), parts)];
        view.add(RowBatch { rows, traits: ListingTraits::default() })?;
        view.finish(&[])?;
        let shown = output.taken();
        assert!(shown.contains("\nfailed task 7 (:1) : FAILED\n"), "{shown}");
        Ok(())
    }

    #[test]
    fn a_narrow_terminal_shows_the_task_sooner_than_reasons_and_times() -> Result<(), Failure> {
        for width in [70, 80, 100, 120] {
            let output = Output::in_memory(Format::Plain, Some(width), false);
            let mut view = JobView::new(&output, ViewOptions::default());
            let mut child = job("8f2c0d3e-1111-4222-8333-444455556666:1", "align-the-reads", Status::Failed);
            child.status_reason = Some("Host EC2 (instance i-0123) terminated.".to_owned());
            (child.task, child.created_at) = (Some(7), Some(1_700_000_000_000));
            (child.started_at, child.stopped_at) = (Some(1_700_000_000_000), Some(1_700_000_060_000));
            view.add(batch([child], ListingTraits { tasks: true, ..ListingTraits::default() }))?;
            view.finish(&[])?;
            let shown = output.taken();
            assert!(shown.lines().next().is_some_and(|header| header.contains("task")), "{width}: {shown}");
        }
        Ok(())
    }

    #[test]
    fn a_listing_has_no_hint_for_one_of_its_jobs() -> Result<(), Failure> {
        for detailed in [false, true] {
            let output = Output::in_memory(Format::Json, None, false);
            let mut view = JobView::new(&output, ViewOptions { detailed, ..ViewOptions::default() });
            let mut lacking = job("one", "one", Status::Failed);
            let reason = "exec: \"/bin/sh\": stat /bin/sh: no such file or directory";
            lacking.container = Some(Container { reason: Some(reason.to_owned()), ..Container::default() });
            view.add(batch([lacking], ListingTraits::default()))?;
            assert_eq!(view.finish(&[])?.lacks_sh, detailed);
        }
        Ok(())
    }

    #[test]
    fn json_has_the_environment_where_batch_still_has_the_job() -> Result<(), Failure> {
        let output = Output::in_memory(Format::Json, None, false);
        let mut view = JobView::new(&output, ViewOptions { environment: masked(), ..ViewOptions::default() });
        let rows = vec![
            detailed(job("one", "one", Status::Running), PartsExcerpt::None),
            JobRow::from(job("forgotten", "two", Status::Failed)),
        ];
        view.add(RowBatch { rows, traits: ListingTraits::default() })?;
        view.finish(&[])?;
        let elements: Vec<Value> = serde_json::from_str(&output.taken()).expect("JSON");
        let environment: Vec<&Value> = elements.iter().map(|e| &e["environment"]).collect();
        insta::assert_snapshot!(serde_json::to_string(&environment).expect("JSON"), @r#"[[{"name":"A","value":"b"},{"name":"TOKEN","value":"***"}],null]"#);
        Ok(())
    }
}
