//! The columns of the table: their values, their order, and how they are truncated on a narrow
//! terminal.

use std::cmp::Ordering;
use std::str::FromStr;

use super::cell_value::{CellValue, Viewer};
use super::progress::ChildProgress;
use super::row::{JobRow, ListingTraits};
use crate::batch::Job;
use crate::ui::{Column, Truncate};
use awsb_model::payload::{launcher, pty};
use awsb_model::{Invalid, JobNumber, Status};

/// The definition of a column.
#[derive(Debug)]
pub struct ColumnDefinition {
    column: Column,
    source: Source,
    value: fn(&Job, &Viewer) -> CellValue,
}

/// Where the value of a column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A listing has it.
    Listed,
    /// A listing may have the vCPUs of a job. Where it lacks them, they cost a DescribeJobs call.
    ListedVcpus,
    /// A listing lacks it, so that it costs a DescribeJobs call.
    Described,
}

const fn column(
    name: &'static str,
    rank: u8,
    truncate: Truncate,
    value: fn(&Job, &Viewer) -> CellValue,
) -> ColumnDefinition {
    ColumnDefinition { column: Column { name, rank, truncate }, source: Source::Listed, value }
}

const fn described(name: &'static str, value: fn(&Job, &Viewer) -> CellValue) -> ColumnDefinition {
    ColumnDefinition {
        column: Column { name, rank: 10, truncate: Truncate::End(8) },
        source: Source::Described,
        value,
    }
}

/// The note about a job whose end somebody has asked for, and which has not ended yet.
pub const ENDING: &str = "asked to end";

/// All columns, in the order in which `--help` lists them. Their ranks are those of the default
/// view.
static COLUMNS: [ColumnDefinition; 29] = [
    column("jobId", 0, Truncate::Middle(9), |job, _| CellValue::Id(job.job_id.clone(), job.id().part())),
    column("jobName", 1, Truncate::End(8), |job, _| CellValue::text(Some(&job.job_name))),
    column("status", 0, Truncate::Never, |job, _| CellValue::Status(job.status)),
    column("createdAt", 9, Truncate::Never, |job, _| CellValue::time(job.created_at)),
    column("startedAt", 7, Truncate::Never, |job, _| CellValue::time(job.started_at)),
    column("stoppedAt", 8, Truncate::Never, |job, _| CellValue::time(job.stopped_at)),
    column("elapsed", 4, Truncate::Never, |job, viewer| {
        elapsed(job, viewer.now).map_or(CellValue::Nothing, CellValue::Span)
    }),
    column("waited", 9, Truncate::Never, |job, viewer| {
        waited(job, viewer.now).map_or(CellValue::Nothing, CellValue::Span)
    }),
    column("starting", 9, Truncate::Never, |job, viewer| {
        starting(job, viewer.now).map_or(CellValue::Nothing, CellValue::Span)
    }),
    column("exitCode", 2, Truncate::Never, |job, _| {
        job.exit_code().map_or(CellValue::Nothing, CellValue::ExitCode)
    }),
    column("statusReason", 6, Truncate::End(16), |job, viewer| {
        CellValue::text(match viewer.is_on_terminal() {
            true => job.informative_reason().or_else(|| job.is_ending().then_some(ENDING)),
            false => job.status_reason.as_deref(),
        })
    }),
    column("reason", 9, Truncate::End(16), |job, _| CellValue::text(job.container_reason())),
    column("progress", 3, Truncate::Picture(18), |job, _| {
        ChildProgress::of(job).map_or(CellValue::Nothing, CellValue::Progress)
    }),
    column("nodes", 9, Truncate::Never, |job, _| CellValue::number(job.nodes)),
    column("number", 9, Truncate::Never, |job, _| {
        CellValue::number(JobNumber::of(&job.id()).and_then(|number| i64::try_from(number.get()).ok()))
    }),
    column("jobDefinition", 9, Truncate::End(8), |job, _| {
        CellValue::text(job.job_definition.as_deref().map(name_of))
    }),
    column("jobQueue", 5, Truncate::End(8), |job, _| CellValue::text(job.job_queue.as_deref().map(name_of))),
    column("shareIdentifier", 9, Truncate::End(8), |job, _| CellValue::text(job.share_identifier.as_deref())),
    // Without it, the index in an ID would pass for the task.
    ColumnDefinition {
        source: Source::Described,
        ..column("task", 2, Truncate::Never, |job, _| CellValue::number(job.task))
    },
    ColumnDefinition {
        source: Source::ListedVcpus,
        ..described("vcpus", |job, _| {
            CellValue::digits(job.resource("VCPU").or_else(|| job.listed_vcpus().map(|n| n.to_string())))
        })
    },
    described("memory", |job, _| CellValue::digits(job.resource("MEMORY"))),
    described("gpus", |job, _| CellValue::digits(job.resource("GPU"))),
    described("attempts", |job, _| {
        CellValue::number(job.attempts.as_ref().and_then(|a| i64::try_from(a.len()).ok()))
    }),
    described("image", |job, _| CellValue::text(job.main_container().and_then(|c| c.image.as_deref()))),
    described("command", |job, _| CellValue::text(Some(&command(job)))),
    described("logStreamName", |job, _| CellValue::text(job.main_log_stream())),
    described("submitter", |job, _| CellValue::text(job.submitter.as_ref().map(|s| s.as_str()))),
    described("dependsOn", |job, _| CellValue::text(Some(&depends_on(job)))),
    described("consumes", |job, _| CellValue::text(Some(&consumes(job)))),
];

/// A column, by its name.
#[derive(Debug, Clone, Copy)]
pub struct ColumnRef(&'static ColumnDefinition);

impl ColumnRef {
    pub fn value(self, job: &Job, viewer: &Viewer) -> CellValue {
        (self.0.value)(job, viewer)
    }

    pub fn name(self) -> &'static str {
        self.0.column.name
    }

    /// Where its value comes from.
    pub fn source(self) -> Source {
        self.0.source
    }

    /// The column in a table. Columns that the user has chosen are never left out.
    pub fn column(self, chosen: bool) -> Column {
        Column { rank: if chosen { 0 } else { self.0.column.rank }, ..self.0.column }
    }
}

/// The names of all columns.
pub fn column_names() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|known| known.column.name)
}

impl FromStr for ColumnRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let name = if text.eq_ignore_ascii_case("queue") { "jobQueue" } else { text };
        COLUMNS.iter().find(|known| known.column.name.eq_ignore_ascii_case(name)).map(Self).ok_or_else(|| {
            let names: Vec<&str> = column_names().collect();
            Invalid::because(format!("the columns are {}", names.join(", ")))
        })
    }
}

/// The value of `--columns`.
#[derive(Debug, Clone)]
pub struct Columns(pub Vec<ColumnRef>);

impl FromStr for Columns {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// The value of `--sort`: a column, in descending order with a `-` before it.
#[derive(Debug, Clone, Copy)]
pub struct Sort {
    by: ColumnRef,
    descending: bool,
}

impl FromStr for Sort {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        Ok(Self { by: name.parse()?, descending })
    }
}

impl Sort {
    /// The column.
    pub fn by(self) -> ColumnRef {
        self.by
    }

    /// Sorts the rows; equal ones stay in their order.
    pub fn sort(self, rows: &mut [JobRow], viewer: &Viewer) {
        rows.sort_by_cached_key(|row| Sorted {
            value: self.by.value(&row.job, viewer),
            descending: self.descending,
        });
    }
}

#[derive(PartialEq, Eq)]
struct Sorted {
    value: CellValue,
    descending: bool,
}

impl Ord for Sorted {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.compare(&other.value, self.descending)
    }
}

impl PartialOrd for Sorted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The columns of the default table in a pipe. Scripts depend on them, so new ones come at the end.
pub fn default_in_pipe(traits: ListingTraits) -> Vec<ColumnRef> {
    let tail = [("task", traits.tasks), ("progress", traits.parents)];
    let names = ["jobId", "jobName", "status", "startedAt", "stoppedAt", "exitCode"].into_iter();
    named(names.chain(tail.into_iter().filter_map(|(name, there)| there.then_some(name))))
}

/// The columns of the default table on a terminal. Empty columns are left out.
pub fn default_on_terminal(traits: ListingTraits, rows: &[JobRow], viewer: &Viewer) -> Vec<ColumnRef> {
    let names = ["jobId", "jobName", "status", "exitCode", "elapsed", "progress"].into_iter();
    let times = ["statusReason", "createdAt", "startedAt", "stoppedAt"];
    let (queue, task) = (traits.queues.then_some("jobQueue"), traits.tasks.then_some("task"));
    let all = named(names.chain(queue).chain(task).chain(times));
    let has_cells = |column: &ColumnRef| {
        ["jobId", "jobName", "status"].contains(&column.name())
            || rows.iter().any(|row| column.value(&row.job, viewer) != CellValue::Nothing)
    };
    all.into_iter().filter(has_cells).collect()
}

fn named<'n>(names: impl Iterator<Item = &'n str>) -> Vec<ColumnRef> {
    names.filter_map(|name| name.parse().ok()).collect()
}

/// The time that the last attempt has run, in milliseconds. The parent of an array has no attempts.
fn elapsed(job: &Job, now: i64) -> Option<i64> {
    let started = job.started_at.filter(|t| *t > 0 && !job.is_array_parent())?;
    let stopped = job.stopped_at.filter(|t| *t > 0);
    let until = stopped.or_else(|| (!job.status.has_ended()).then_some(now))?;
    (until >= started).then_some(until - started)
}

/// The time from the submission until the job got its room, where a listing has that. Elsewhere it
/// is the time to the start of the (last) attempt, or until now. Batch does not tell for what the
/// job waited.
pub fn waited(job: &Job, now: i64) -> Option<i64> {
    let created = job.created_at.filter(|t| *t > 0)?;
    let first = job.attempts.as_ref().and_then(|attempts| attempts.first()?.started_at);
    let started = scheduled(job).or(first).or(job.started_at).filter(|t| *t > 0);
    let until = started.or_else(|| (!job.status.has_ended() && !job.is_array_parent()).then_some(now))?;
    (until >= created).then_some(until - created)
}

/// The time at which the job got its room. With several attempts it is that of the last one, so the
/// job has waited for less.
fn scheduled(job: &Job) -> Option<i64> {
    let is_first = job.attempts.as_ref().is_none_or(|attempts| attempts.len() <= 1);
    job.scheduled_at.filter(|t| *t > 0 && is_first)
}

/// The time from the room of the (last) attempt to its start, or until now: a machine starts, and
/// an image is pulled.
fn starting(job: &Job, now: i64) -> Option<i64> {
    let scheduled = job.scheduled_at.filter(|t| *t > 0)?;
    let started = job.started_at.filter(|t| *t >= scheduled);
    let until = started.or_else(|| (job.status == Status::Starting).then_some(now))?;
    (until >= scheduled).then_some(until - scheduled)
}

/// The end of an ARN: a queue's name, a job definition's name and revision.
fn name_of(arn: &str) -> &str {
    if arn.starts_with("arn:") { arn.rsplit_once('/').map_or(arn, |(_, name)| name) } else { arn }
}

/// The command as the user wrote it, quoted for a shell.
pub fn command(job: &Job) -> String {
    let container = job.own_container();
    let command = container.and_then(|c| c.command.as_deref()).unwrap_or_default();
    let command = pty::without_script(launcher::without_launcher(command));
    if command.is_empty() {
        let launched = container.and_then(|c| c.launched.as_deref()).unwrap_or_default();
        return pty::quoted_without_script(launched).to_owned();
    }
    launcher::quote_all(command.iter().map(AsRef::as_ref)).to_string_lossy().into_owned()
}

/// The consumable resources that each instance of the job takes, as `--consume` has them.
fn consumes(job: &Job) -> String {
    let all = job.consumable_resource_properties.iter().flat_map(|all| &all.consumable_resource_list);
    all.map(|of| format!("{}={}", of.name(), of.quantity)).collect::<Vec<_>>().join(",")
}

fn depends_on(job: &Job) -> String {
    let ids = job.depends_on.iter().flatten().filter_map(|on| on.job_id.as_deref());
    ids.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_as_in_json() {
        let columns: Columns = "jobid, queue,exitCode".parse().expect("columns");
        assert_eq!(columns.0.iter().map(|c| c.name()).collect::<Vec<_>>(), ["jobId", "jobQueue", "exitCode"]);
        let unknown = "jobId,colour".parse::<Columns>().map(|_| ()).map_err(|e| e.to_string());
        assert!(unknown.is_err_and(|e| e.starts_with("the columns are jobId, jobName, status,")));
        assert!("".parse::<Columns>().is_err() && "-".parse::<Sort>().is_err());
        let mut names: Vec<&str> = COLUMNS.iter().map(|known| known.column.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COLUMNS.len());
    }

    #[test]
    fn the_parent_of_an_array_has_not_run_itself() {
        let job = |id: &str, size: Option<i32>| {
            let mut job = Job::submitted(id.to_owned(), "n".to_owned(), None);
            (job.started_at, job.status) = (Some(1000), Status::Running);
            job.array_properties = size.map(|_| Default::default());
            job.array_properties.iter_mut().for_each(|properties| properties.size = size);
            job
        };
        assert_eq!(elapsed(&job("j", None), 5000), Some(4000));
        assert_eq!(elapsed(&job("j:0", Some(2)), 5000), Some(4000));
        assert_eq!(elapsed(&job("j", Some(2)), 5000), None);
    }

    #[test]
    fn names_of_arns() {
        assert_eq!(name_of("arn:aws:batch:eu-west-1:1:job-definition/d:7"), "d:7");
        assert_eq!(name_of("q/r"), "q/r");
    }
}
