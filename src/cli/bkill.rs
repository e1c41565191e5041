//! `bkill`: ends jobs.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use futures_util::StreamExt;
use serde::Serialize;

use super::CommonArgs;
use super::job_args::JobArgs;
use super::job_filter::JobFilterArgs;
use crate::aws::Session;
use crate::batch::{self, Job, ResolvedJobs, TerminationProgress};
use crate::ui::{self, Exit, Failure, Format, Layout, SignalListener, View, local_rfc3339, print_message};
use awsb_model::{ParsedJobRefs, Status, words};

/// End jobs in any state; ending an array ends all its children
#[derive(Debug, Parser)]
#[command(
    name = "bkill",
    version,
    mut_arg("status", |arg| arg.help("Jobs in these states, separated by commas [default: all that have not ended]")),
    after_help = "If jobs are selected by options, bkill shows them first and asks whether to end them. It \
                  also asks about `last` if another session submitted that job."
)]
pub struct Args {
    /// The reason, shown as the job's statusReason
    #[arg(short, long, value_name = "TEXT", default_value = "Ended with bkill", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Only the child with this task ID
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with = "JobFilterArgs")]
    task: Option<u32>,
    /// Do not ask before ending jobs that are selected by options, or a `last` that another session
    /// submitted
    #[arg(short, long)]
    yes: bool,
    /// Show the jobs that would be ended, without ending them
    #[arg(long)]
    dry_run: bool,
    /// Jobs or array children (ID:INDEX): an ID, its beginning, an ARN, `last`, or `-` to read them
    /// from standard input
    #[arg(value_name = "ID", required_unless_present = "JobFilterArgs", conflicts_with = "JobFilterArgs")]
    jobs: Vec<ParsedJobRefs>,
    #[command(flatten)]
    select: JobFilterArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// `bkill`'s entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    super::run("bkill", words, |args: Args| {
        if args.jobs.is_empty() {
            args.check_selection()?;
            return super::block_on(args.end_selected());
        }
        let wanted = JobArgs::read("bkill", &args.jobs)?;
        super::block_on(args.end_named(wanted))
    })
}

impl Args {
    /// Ends the jobs that were named.
    async fn end_named(&self, wanted: JobArgs) -> Result<Exit, Failure> {
        if wanted.is_empty() {
            print_message("bkill: note: nothing is ended, because standard input has no job ID");
        }
        let session = self.common.open().await?;
        let has_last = wanted.has_last();
        let found = wanted.find(&session, self.task).await?;
        if self.dry_run {
            self.show(&found.jobs)?;
            return Ok(found.report("bkill", Exit::Done));
        }
        if has_last && !self.yes && !confirm_last(&session, &found.jobs).await? {
            print_message("bkill: nothing is ended");
            return Ok(Exit::Failed);
        }
        let ResolvedJobs { jobs, failures } = found;
        let exit = self.end(&session, &jobs).await?;
        let reported = ResolvedJobs { jobs, failures }.report("bkill", Exit::Done);
        Ok(if exit == Exit::Done { reported } else { exit })
    }

    /// Fails when nobody can be asked, and no option says that nobody has to be.
    fn check_selection(&self) -> Result<(), Failure> {
        let statuses = self.select.status.as_ref().map_or(&Status::ACTIVE[..], |s| &s.0);
        if !statuses.iter().any(|status| !status.has_ended()) {
            let ended: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
            return Err(Failure::usage(format!(
                "--status {}: jobs in this state have already ended",
                ended.join(",")
            ))
            .hint("jobs can be ended while they are SUBMITTED, PENDING, RUNNABLE, STARTING or RUNNING"));
        }
        if self.yes || self.dry_run || ui::can_ask() {
            return Ok(());
        }
        Err(Failure::usage("refusing to end jobs without asking: standard input is not a terminal")
            .hint("`--yes` ends them without asking, and `--dry-run` only shows them"))
    }

    /// Ends the jobs that the options select.
    async fn end_selected(&self) -> Result<Exit, Failure> {
        let mut session = self.common.open().await?;
        let select = async |session: &Session| self.select.jobs(session, &Status::ACTIVE).await;
        let mut jobs = self.select.with_fresh_queues(&mut session, select).await?;
        jobs.retain(|job| !job.status.has_ended());
        if self.dry_run {
            self.show(&jobs)?;
            return Ok(Exit::Done);
        }
        if jobs.is_empty() {
            print_message("bkill: note: nothing is ended, because no job matches");
        } else if !self.yes && !confirm(&jobs).await? {
            print_message("bkill: nothing is ended");
            return Ok(Exit::Failed);
        }
        self.end(&session, &jobs).await
    }

    /// Ends the jobs that have not ended, many at the same time, and prints each when Batch has
    /// been asked to end it. After a failure, the others are ended all the same.
    async fn end(&self, session: &Session, jobs: &[Job]) -> Result<Exit, Failure> {
        // Failures are reported even when nobody reads the rest.
        let output = self.common.output().outliving_its_reader();
        let mut array = (output.format() == Format::Json).then(|| output.json_array());
        let mut print = |job: &Job| match &mut array {
            Some(array) => array.push(&json(job)),
            None => output.show(&EndedJob(job)),
        };
        let (ended, active): (Vec<Job>, Vec<Job>) =
            jobs.iter().cloned().partition(|job| job.status.has_ended());
        ended.iter().try_for_each(&mut print)?;
        let count = active.len();
        let arrays: Vec<Job> = active.iter().filter(|job| job.is_array_parent()).cloned().collect();
        let progress = TerminationProgress::of("bkill");
        let all = async {
            let mut exit = Exit::Done;
            let mut outcomes = batch::terminate_all(session, active, &self.reason, &progress);
            while let Some((job, outcome)) = outcomes.next().await {
                match outcome {
                    Ok(()) => print(&job)?,
                    Err(failure) => {
                        failure.report("bkill");
                        exit = Exit::Failed;
                    }
                }
            }
            batch::remove_limits_of_ended(session, &arrays).await;
            Ok::<_, Failure>(exit)
        };
        let mut signals = SignalListener::listen();
        let exit = tokio::select! {
            // When a signal comes with the last answer, all jobs are ended.
            biased;
            exit = all => exit?,
            signal = signals.next() => {
                let (asked, open) = (progress.asked.get(), progress.under_way.get());
                let perhaps = if open > 0 { format!(", and perhaps {open} more") } else { String::new() };
                let were = if asked == 1 { "was" } else { "were" };
                let count = words::many(count, "job");
                print_message(format!("bkill: {signal}; {asked} of {count} {were} asked to end{perhaps}"));
                Exit::Interrupted(signal)
            }
        };
        array.map_or(Ok(()), crate::ui::JsonArray::finish)?;
        Ok(exit)
    }

    /// `--dry-run`.
    fn show(&self, jobs: &[Job]) -> Result<(), Failure> {
        let active: Vec<&Job> = jobs.iter().filter(|job| !job.status.has_ended()).collect();
        let ended = jobs.len() - active.len();
        if ended > 0 {
            print_message(format!("bkill: note: {} had already ended", words::many(ended, "job")));
        }
        match active.is_empty() && !self.common.json {
            true => print_message("bkill: note: no job would be ended"),
            false => self.common.output().show(&ActiveJobs(active))?,
        }
        Ok(())
    }
}

/// At most this many jobs are shown before bkill asks.
const MAX_SHOWN: usize = 20;

/// Asks whether to end the job that `last` names, where another session submitted it (another
/// window, a script, a job). The user may think of an earlier job, so this one is shown.
///
/// # Errors
/// When nobody can be asked.
async fn confirm_last(session: &Session, jobs: &[Job]) -> Result<bool, Failure> {
    let Some((ids, time)) = batch::last_of_another_session(session) else { return Ok(true) };
    let of_last = |job: &&Job| !job.status.has_ended() && ids.contains(&job.id().whole());
    let last: Vec<Job> = jobs.iter().filter(of_last).cloned().collect();
    let Some(first) = last.first() else { return Ok(true) };
    let time = time.parse().map_or(time, |at: jiff::Timestamp| local_rfc3339(at.as_millisecond()));
    if !ui::can_ask() {
        let (id, name) = (&first.job_id, &first.job_name);
        return Err(Failure::usage(format!(
            "refusing to end `last` without asking: another session submitted the job {id} ({name}) at \
             {time}, and standard input is not a terminal"
        ))
        .hint(format!("`bkill {id}` or `--yes` ends it")));
    }
    print_message(format!("bkill: another session submitted `last`, at {time}:"));
    confirm(&last).await
}

/// Shows the jobs on the terminal, and asks whether to end them.
async fn confirm(jobs: &[Job]) -> Result<bool, Failure> {
    for job in jobs.iter().take(MAX_SHOWN) {
        print_message(format!("{}  {}  {}", job.job_id, job.job_name, job.status));
    }
    if jobs.len() > MAX_SHOWN {
        print_message(format!("and {} more", jobs.len() - MAX_SHOWN));
    }
    let sizes = jobs.iter().filter(|job| job.is_array_parent()).filter_map(Job::array_size);
    let children: u64 = sizes.map(u64::from).sum();
    let children =
        if children > 0 { format!(" with {}", words::many(children, "child")) } else { String::new() };
    let these = if jobs.len() == 1 { "this job".to_owned() } else { format!("these {} jobs", jobs.len()) };
    ui::ask(&format!("End {these}{children}?")).await
}

/// A job that Batch was asked to end, with the state that it had then.
fn json(job: &Job) -> serde_json::Value {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Row<'a> {
        job_id: &'a str,
        job_name: &'a str,
        status: Status,
    }
    let row = Row { job_id: &job.job_id, job_name: &job.job_name, status: job.status };
    serde_json::to_value(row).unwrap_or_default()
}

/// A job that Batch was asked to end, or that had already ended.
struct EndedJob<'a>(&'a Job);

impl View for EndedJob<'_> {
    fn plain(&self) -> Layout {
        let (job, status) = (self.0.title(), self.0.status);
        Layout::Lines(vec![match status.has_ended() {
            true => format!("Job {job} had already ended: {status}."),
            false => format!("Job {job} is being ended."),
        }])
    }

    fn json(&self) -> Vec<serde_json::Value> {
        vec![json(self.0)]
    }
}

/// The jobs that would be ended.
struct ActiveJobs<'a>(Vec<&'a Job>);

impl View for ActiveJobs<'_> {
    fn plain(&self) -> Layout {
        let row = |job: &&Job| vec![job.job_id.clone(), job.job_name.clone(), job.status.to_string()];
        Layout::Table {
            columns: vec!["jobId", "jobName", "status"],
            rows: self.0.iter().map(row).collect(),
            shrinks: Some(1),
        }
    }

    fn json(&self) -> Vec<serde_json::Value> {
        self.0.iter().map(|job| json(job)).collect()
    }
}
