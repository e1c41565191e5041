//! `bout`: shows a job's output.

mod eks;
mod files;
mod output_dir;
mod print;
mod streams;

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use clap::Parser;

use self::output_dir::OutputDir;
pub use self::print::{Printer, Style};
use super::wait::{note_jobs_go_on, warn_of_lost_output};
use super::{CommonArgs, container_hint, job_args};
use crate::aws::{CallError, ResilientSession, Session};
use crate::batch::{self, Job};
use crate::logs::{self, Event, FollowEnd, FollowOptions, LogQuery, LogStreamRef, TimeRange};
use crate::ui::{ErrorKind, Exit, Failure, Format, print_message, until_signal};
use awsb_model::{Invalid, JobId, ParsedJobRefs, Status, TaskIds, TimeArg, container_name, words};

/// Show a job's output: all lines that it has printed
#[derive(Debug, Parser)]
#[command(
    name = "bout",
    version,
    after_help = "For an array job, the lines of all children are sorted by time, and each begins with its \
                  index or task ID."
)]
pub struct Args {
    /// Follow the output until the job has ended
    #[arg(short, long, visible_short_alias = 's', visible_alias = "stream")]
    follow: bool,
    /// Show the first N lines
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with_all = ["tail", "follow"])]
    head: Option<usize>,
    /// Show the last N lines; with --follow, also those that come after them
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    tail: Option<usize>,
    /// Lines printed at this time or later: 2h (ago), yesterday, 14:30, 2026-01-31, RFC 3339
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<TimeArg>,
    /// Lines that match a pattern of CloudWatch Logs: 'ERROR', '?WARN ?ERROR', '"out of memory"',
    /// '%p=0\.[0-9]+%'
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    filter: Option<String>,
    /// The lines of one attempt, counted from 1, or of all attempts
    #[arg(long, value_name = "N|all", default_value = "all", allow_negative_numbers = true)]
    attempt: AttemptArg,
    /// Only the lines of this container, in a job of several
    #[arg(long, value_name = "NAME", value_parser = container_name)]
    container: Option<String>,
    /// Put the time before each line
    #[arg(short = 'T', long)]
    timestamps: bool,
    /// Only the child with this task ID
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    task: Option<u32>,
    /// Only these children of an array, or nodes: 3,5-9
    #[arg(long, value_name = "LIST", allow_hyphen_values = true, conflicts_with = "task")]
    index: Option<IndexList>,
    /// Only the failed children of an array
    #[arg(long)]
    failed: bool,
    /// Do not print an index before the lines of an array's children
    #[arg(long)]
    no_prefix: bool,
    /// Of the old tools: how often they looked for new lines
    #[arg(long, value_name = "SECONDS", hide = true, requires = "follow")]
    stream_period: Option<u32>,
    /// List the result files of the job (kept by `bsub -o`, or put at $AWSB_OUTPUT_URL) instead of
    /// its output
    #[arg(long, conflicts_with_all = [
        "follow", "head", "tail", "since", "filter", "attempt", "container", "timestamps", "index", "failed",
        "no_prefix",
    ])]
    files: bool,
    /// Write the output into this directory: INDEX.out for each child of an array, ID.out for other
    /// jobs. With --files: fetch the files into it
    #[arg(short, long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// A job or an array's child (ID:INDEX): an ID, its beginning, an ARN, or `last`
    #[arg(value_name = "ID", required = true)]
    jobs: Vec<ParsedJobRefs>,
    #[command(flatten)]
    common: CommonArgs,
}

/// The value of `--index`: the indices of children or nodes, written as the IDs of tasks are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct IndexList(TaskIds);

impl FromStr for IndexList {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let indices = text.parse().map(Self);
        indices.map_err(|_| Invalid::because("give indices, which count from 0, such as 7, 0-99 or 3,5-9"))
    }
}

/// The value of `--attempt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AttemptArg(Option<u32>);

impl FromStr for AttemptArg {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "all" => Ok(Self(None)),
            _ => match text.parse() {
                Ok(n @ 1..) => Ok(Self(Some(n))),
                _ => Err(Invalid::because("an attempt is 1, 2, …, or `all`")),
            },
        }
    }
}

/// `bout`'s entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    super::run("bout", words, |args: Args| super::block_on_threads(args.run()))
}

/// The destination of lines.
enum Sink {
    Stdout(Printer),
    Directory(OutputDir),
}

impl Sink {
    fn show(&mut self, job: &Job, events: &[Event]) -> Result<(), Failure> {
        match self {
            Sink::Stdout(printer) => printer.print(events, job.parts().is_some()),
            Sink::Directory(directory) => directory.write(events),
        }
    }
}

impl Args {
    async fn run(&self) -> Result<Exit, Failure> {
        if self.stream_period.is_some() {
            print_message(
                "bout: note: --stream-period has no effect: bout chooses how often it looks for new lines",
            );
        }
        let named = job_args::JobArgs::read("bout", &self.jobs)?;
        let session = Arc::new(self.common.open().await?);
        if self.files {
            // The files of a job stay when Batch has removed the job.
            let ids = self.common.found(named.resolve(&session, self.task).await)?;
            return files::run(&session, &self.common.output(), &ids, self.directory.as_deref()).await;
        }
        let mut found = named.find(&session, self.task).await?;
        logs::name_streams(&session, &mut found.jobs).await?;
        let is_one = found.jobs.len() + found.failures.len() == 1;
        let style = Style {
            bare: self.no_prefix,
            one_container: self.container.is_some(),
            timestamps: self.timestamps,
        };
        let mut sink = match &self.directory {
            Some(directory) => Sink::Directory(OutputDir::new(directory.clone(), !is_one, style)),
            None => Sink::Stdout(Printer::new(self.common.output(), style)),
        };
        let output = self.common.output();
        let mut array = (output.format() == Format::Json && self.directory.is_none() && !self.follow)
            .then(|| output.json_array());
        let mut contact = ResilientSession::new((*session).clone(), "bout");
        let (mut exit, mut is_unread) = (Exit::Done, false);
        for (at, job) in found.jobs.iter().enumerate() {
            let left = &found.jobs[at..];
            let shown = async {
                let query = self.query(job)?;
                if self.follow {
                    let left = left.iter().filter(|job| !job.status.has_ended());
                    let left: Vec<String> = left.map(|job| job.job_id.clone()).collect();
                    let last = move |signal| async move { note_jobs_go_on("bout", signal, &left) };
                    let followed = self.follow(&mut contact, job, query, &mut sink);
                    return match until_signal(followed, last).await {
                        Ok(followed) => followed.map(|()| None),
                        Err(signal) => Ok(Some(signal)),
                    };
                }
                let mut show = |events: Vec<Event>| match &mut array {
                    Some(array) => {
                        let elements: Result<Vec<String>, Failure> = events.iter().map(print::json).collect();
                        array.extend(elements?)
                    }
                    None => sink.show(job, &events),
                };
                self.read(&session, job, &query, &mut show).await.map(|()| None)
            };
            match shown.await {
                // The other jobs are shown all the same, and the array is closed.
                Err(failure)
                    if !(is_one && (array.is_none() || failure.kind() == ErrorKind::Usage))
                        && !failure.is_retryable()
                        && !failure.is_reader_gone() =>
                {
                    failure.report("bout");
                    is_unread |= failure.source().is_some_and(|source| source.is::<CallError>());
                    exit = Exit::Failed;
                }
                shown => {
                    if let Some(signal) = shown? {
                        exit = Exit::Interrupted(signal);
                        break;
                    }
                }
            }
        }
        // Where lines could not be read, an empty array would say that there are none.
        if let Some(array) = array
            && !(is_unread && array.is_empty())
        {
            array.finish()?;
        }
        if let Sink::Directory(directory) = sink {
            match (found.jobs.is_empty(), is_unread && directory.is_empty()) {
                (true, _) => output.show_none()?,
                (false, true) => {}
                (false, false) => directory.report(&output)?,
            }
        }
        Ok(found.report("bout", exit))
    }

    /// The lines of a job that the options ask for.
    fn query(&self, job: &Job) -> Result<LogQuery, Failure> {
        let parts = job.parts();
        if let Some(option) = [self.index.as_ref().map(|_| "--index"), self.failed.then_some("--failed")]
            .into_iter()
            .flatten()
            .next()
            && parts.is_none()
        {
            return Err(Failure::usage(format!("{option}: the job {} has no children", job.job_id)));
        }
        if let (Some(IndexList(indices)), Some(parts)) = (&self.index, parts)
            && indices.max() >= parts
        {
            return Err(Failure::usage(format!(
                "--index {indices}: the job {} has the indices 0 to {}",
                job.job_id,
                parts - 1
            )));
        }
        if let Some(name) = &self.container {
            check_container(job, name)?;
        }
        Ok(LogQuery {
            since: self.since.map(TimeArg::epoch_ms).map(|at| at.max(0)),
            created_at: job.created_at,
            attempt: self.attempt.0,
            container: self.container.clone(),
            pattern: self.filter.clone(),
            indices: self.index.as_ref().map(|IndexList(indices)| indices.iter().collect()),
            failed: self.failed,
        })
    }

    async fn follow(
        &self,
        contact: &mut ResilientSession,
        job: &Job,
        query: LogQuery,
        sink: &mut Sink,
    ) -> Result<(), Failure> {
        if !has_started(job) || no_child_has_started(job) {
            print_message(format!("bout: {}; waiting", not_started(job)));
        }
        let options = FollowOptions { query, tail: self.tail, needs_group: true };
        let FollowEnd { job, missing } =
            logs::follow(contact, &job.id(), &options, |_| (), |events| sink.show(job, events)).await?;
        check_printed(contact.session(), &job)?;
        let streams = LogStreamRef::of_query(&job, contact.session(), &options.query).len();
        if let Some(name) = options.query.container.filter(|_| streams == 0 && job.parts().is_none()) {
            return Err(streams::container_without_stream(&job, &name));
        }
        warn_of_lost_output("bout", &job);
        if job.is_array_parent() || job.is_mnp_parent() {
            let ended =
                if self.failed { vec![Status::Failed] } else { vec![Status::Succeeded, Status::Failed] };
            let ids = |IndexList(indices): &IndexList| indices.iter().map(|index| job.part(index)).collect();
            let chosen: Option<Vec<JobId>> = self.index.as_ref().map(ids);
            let parts = contact.keep(async |session| match &chosen {
                Some(ids) => Ok(batch::describe(session, ids).await?.into_iter().flatten().collect()),
                None => batch::parts(session, &job, &ended).await,
            });
            let parts: Vec<Job> = parts.await?;
            warn_lost_outputs(&parts.iter().collect::<Vec<_>>());
        }
        let all = job.parts().map_or(streams, |parts| parts as usize);
        check_missing(&job, &missing, all).map_err(|f| f.map_hints(|hint| contact.session().advice(hint)))
    }

    /// Prints the lines of one job that exist, and warns about those that are lost.
    async fn read(
        &self,
        session: &Arc<Session>,
        job: &Job,
        query: &LogQuery,
        show: &mut impl FnMut(Vec<Event>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut lossy = Vec::new();
        let (missing, all) = self.read_lines(session, job, query, show, &mut lossy).await?;
        warn_of_lost_output("bout", job);
        warn_lost_outputs(&lossy.iter().collect::<Vec<_>>());
        check_missing(job, &missing, all).map_err(|f| f.map_hints(|hint| session.advice(hint)))
    }

    /// Prints the lines. Returns the streams that do not exist, and the number that there should
    /// be.
    async fn read_lines(
        &self,
        session: &Arc<Session>,
        job: &Job,
        query: &LogQuery,
        show: &mut impl FnMut(Vec<Event>) -> Result<(), Failure>,
        lossy: &mut Vec<Job>,
    ) -> Result<(Vec<Arc<LogStreamRef>>, usize), Failure> {
        if !has_started(job) {
            return Err(
                Failure::failed(not_started(job)).hint(format!("`bout -f {}` waits for it", job.job_id))
            );
        }
        check_printed(session, job)?;
        let streams = streams::of_job(session, job, query, lossy).await?;
        if streams.is_empty() && job.parts().is_some() && !job.status.has_ended() && !query.failed {
            let id = &job.job_id;
            return Err(Failure::failed(format!("none of the chosen children of the job {id} has started"))
                .hint(format!("`bout -f {id}` waits for them")));
        }
        let all = streams.len();
        if job.parts().is_some() || query.pattern.is_some() || query.has_several_containers(job) {
            if let Some(lines) = self.tail {
                let tail = logs::tail(session, &streams, query, lines).await?;
                show(tail.lines)?;
                return Ok((tail.missing, all));
            }
            let mut left = self.head.unwrap_or(usize::MAX);
            let missing =
                logs::merge(session, &streams, query, |events| print_at_most(&mut left, events, show))
                    .await?;
            return Ok((missing, all));
        }
        let mut missing = Vec::new();
        // One attempt follows the other, and so do their lines.
        if let Some(lines) = self.tail {
            let mut last = Vec::new();
            for stream in streams.into_iter().rev() {
                let left = lines - last.iter().map(Vec::len).sum::<usize>();
                if left > 0 {
                    let tail = logs::tail(session, &[stream], query, left).await?;
                    last.push(tail.lines);
                    missing.extend(tail.missing);
                }
            }
            last.into_iter().rev().try_for_each(show)?;
            return Ok((missing, all));
        }
        let mut left = self.head.unwrap_or(usize::MAX);
        for stream in streams {
            let ended_at = job.stopped_at.filter(|_| job.status.has_ended());
            let range = TimeRange { since: query.since, max_lines: self.head.map(|_| left), ended_at };
            if left > 0
                && !logs::read(session, &stream, range, |events| print_at_most(&mut left, events, show))
                    .await?
            {
                missing.push(stream);
            }
        }
        Ok((missing, all))
    }
}

/// Checks whether a job has a container with this name.
///
/// # Errors
/// When it has none, with the names of those that it has.
fn check_container(job: &Job, name: &str) -> Result<(), Failure> {
    let (id, names) = (&job.job_id, job.container_names());
    if names.contains(&name) {
        return Ok(());
    }
    let failure = Failure::usage(format!("the job {id} has no container `{name}`"));
    Err(match names.as_slice() {
        [] => failure.hint("it has one container, which has no name: leave `--container` out"),
        names => failure.hint(container_hint(names)),
    })
}

/// Prints at most `left` lines. Returns whether more are to be printed.
fn print_at_most(
    left: &mut usize,
    mut events: Vec<Event>,
    show: &mut impl FnMut(Vec<Event>) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    events.truncate(*left);
    *left -= events.len();
    show(events)?;
    Ok(*left > 0)
}

/// Whether there can be output. An array's parent has started when a child may have.
fn has_started(job: &Job) -> bool {
    match job.status {
        Status::Submitted | Status::Runnable => job.has_streams(),
        Status::Pending => job.is_array_parent(),
        _ => true,
    }
}

/// Whether an array has counts of its children, and none of them is further than RUNNABLE. The
/// counts may be older than the children's states, so this is for a note only.
fn no_child_has_started(job: &Job) -> bool {
    let counts = job.array_properties.as_ref().and_then(|array| array.status_summary.as_ref());
    counts.is_some_and(|counts| {
        let of = |status: Status| counts.get(status.as_str()).copied().unwrap_or(0);
        let waiting: i32 = [Status::Submitted, Status::Pending, Status::Runnable].into_iter().map(of).sum();
        waiting > 0 && counts.values().sum::<i32>() == waiting
    })
}

/// Checks whether a job that has ended can have lines. Some children of an array may have none.
///
/// # Errors
/// When its output goes elsewhere, or when it has no log stream: it failed before it had a
/// container, or it is a pod on EKS.
fn check_printed(session: &Session, job: &Job) -> Result<(), Failure> {
    if let Some(driver) = job.other_log_driver() {
        return Err(Failure::failed(format!(
            "the output of the job {} is not in CloudWatch Logs: its log driver is {driver}",
            job.job_id
        ))
        .hint("the logConfiguration of its job definition says where the output goes"));
    }
    if !job.status.has_ended() || job.parts().is_some() || job.has_streams() {
        return Ok(());
    }
    let why = job.status_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let Job { job_id: id, status, .. } = job;
    if let Some(failure) = eks::no_output(session, job) {
        return Err(failure);
    }
    Err(Failure::failed(format!("the job {id} has no output: it is {status}{why} and has no log stream"))
        .hint(format!("`bstat --why {id}` shows why")))
}

/// At most this many children or nodes are named whose output was not all kept.
const NAMED_PARTS: usize = 10;

/// Warns about the children or nodes whose output was not all kept.
fn warn_lost_outputs(parts: &[&Job]) {
    let lossy: Vec<&&Job> = parts.iter().filter(|part| part.lost_output().is_some()).collect();
    lossy.iter().take(NAMED_PARTS).for_each(|part| warn_of_lost_output("bout", part));
    if lossy.len() > NAMED_PARTS {
        print_message(format!(
            "bout: warning: nor was that of {} more",
            words::many(lossy.len() - NAMED_PARTS, "part")
        ));
    }
}

/// Warns about the log streams that do not exist, of the `all` streams that a job or its children
/// name.
///
/// # Errors
/// When none of them exists, and the job has ended: its output is gone.
fn check_missing(job: &Job, missing: &[Arc<LogStreamRef>], all: usize) -> Result<(), Failure> {
    let Some(first) = missing.first() else { return Ok(()) };
    let (id, LogStreamRef { group, name: stream, .. }) = (&job.job_id, &**first);
    let of_part = first.part().filter(|_| job.parts().is_some()).map(|index| match job.is_mnp_parent() {
        true => format!(" of its node {index}"),
        false => format!(" of its {}", words::child(index, first.task)),
    });
    let which = match (missing.len(), of_part) {
        (1, None) => format!("its log stream {stream} is not there"),
        (1, Some(of_part)) => format!("the log stream {stream}{of_part} is not there"),
        (n, of_part) => {
            format!("{n} of its log streams are not there, such as {stream}{}", of_part.unwrap_or_default())
        }
    };
    if !job.status.has_ended() {
        print_message(format!(
            "bout: note: reading the output of the job {id}: {which} (yet), in the log group {group}"
        ));
        return Ok(());
    }
    let why = "deleted or expired";
    if missing.len() < all {
        print_message(format!(
            "bout: warning: the output of the job {id} is incomplete: {which} in the log group {group}: \
             {why}"
        ));
        return Ok(());
    }
    Err(Failure::failed(format!(
        "the output of the job {id} is gone: {which} in the log group {group}: {why}"
    ))
    .hint(format!(
        "`aws logs describe-log-groups --log-group-name-prefix {group}` shows how long it keeps lines"
    )))
}

/// The message that a job has not started, and for what it waits, as far as the job itself tells.
fn not_started(job: &Job) -> String {
    let others = job.depends_on.iter().flatten().filter_map(|other| other.job_id.as_deref());
    let others: Vec<&str> = others.collect();
    let why = match (&job.status_reason, job.status) {
        (Some(reason), _) => format!(" ({reason})"),
        (None, Status::Submitted | Status::Pending) if !others.is_empty() => {
            format!(", and waits for {}", others.join(", "))
        }
        (None, Status::Runnable) => ", and waits for a place to run".to_owned(),
        _ => String::new(),
    };
    format!("the job {} has not started: it is {}{why}", job.job_id, job.status)
}
