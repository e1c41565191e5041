//! `bout`: shows a job's output.

mod files;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::CommonArgs;
use super::named::Wanted;
use crate::batch::{self, Job};
use crate::cluster::{Contact, Session};
use crate::job::{JobId, Named, Status};
use crate::logs::{self, Event, Page, Place, Reader};
use crate::ui::{Exit, Failure, Format, JsonArray, Output, note};

/// Show a job's output: the lines that it has printed, from first to last
#[derive(Debug, Parser)]
#[command(
    name = "bout",
    version,
    after_help = "Of an array job, the children's output follows by index, each line behind its index or task ID."
)]
pub struct Args {
    /// Follow the output until the job has ended
    #[arg(short, long, visible_short_alias = 's', visible_alias = "stream")]
    follow: bool,
    /// Show the first N lines
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with_all = ["tail", "follow"])]
    head: Option<usize>,
    /// Show the last N lines; with --follow, what comes after them, too
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    tail: Option<usize>,
    /// Only the child that has this task ID
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    task: Option<u32>,
    /// Of the old tools: how often they looked for new lines
    #[arg(long, value_name = "SECONDS", hide = true, requires = "follow")]
    stream_period: Option<u32>,
    /// List the files that the job has left (`bsub -o`, or at $AWSB_OUTPUT_URL), instead of its output
    #[arg(long, conflicts_with_all = ["follow", "head", "tail"])]
    files: bool,
    /// Fetch the files into this directory; an array's children have directories of their own in it
    #[arg(short, long, value_name = "DIR", requires = "files")]
    directory: Option<PathBuf>,
    /// A job, an array's child (ID:INDEX) or an ARN; the beginning of an ID, or `last`
    #[arg(value_name = "ID")]
    jobs: Named,
    #[command(flatten)]
    common: CommonArgs,
}

/// `bout`'s entry point.
pub fn main() -> ExitCode {
    super::run("bout", |args: Args| super::block_on(args.tell()))
}

impl Args {
    async fn tell(&self) -> Result<Exit, Failure> {
        if self.stream_period.is_some() {
            note(
                "bout: note: --stream-period means nothing here: new lines are looked for as often as it pays",
            );
        }
        let wanted = Wanted::read("bout", std::slice::from_ref(&self.jobs))?;
        let session = self.common.open().await?;
        if self.files {
            // Files outlive Batch's memory of their jobs.
            let ids = wanted.meant(&session, self.task).await?;
            return files::tell(&session, &self.common.output(), &ids, self.directory.as_deref()).await;
        }
        let found = wanted.find(&session, self.task).await?;
        let exit = match self.follow {
            true => self.follow(session, &found.jobs).await?,
            false => self.read(&session, &found.jobs).await?,
        };
        Ok(found.report("bout", exit))
    }

    async fn follow(&self, session: Session, jobs: &[Job]) -> Result<Exit, Failure> {
        let output = self.common.output();
        let mut contact = Contact::new(session, "bout");
        for job in jobs {
            let prefixed = job.parts().is_some();
            if !has_started(job) {
                note(format!("bout: {}; waiting", not_started(job)));
            }
            // The lines of each stream that are not to be seen (again).
            let mut past: HashMap<String, usize> = HashMap::new();
            if let Some(n) = self.tail {
                let mut last = Last::new(n);
                each_page(contact.session(), job, |events| {
                    for event in &events {
                        *past.entry(event.log_stream_name.clone()).or_default() += 1;
                    }
                    last.push(events);
                    Ok(true)
                })
                .await?;
                print(&output, &last.events(), prefixed)?;
            }
            let new = |events: &[Event]| {
                let is_new = |event: &&Event| match past.get_mut(&event.log_stream_name) {
                    Some(lines @ 1..) => {
                        *lines -= 1;
                        false
                    }
                    _ => true,
                };
                let events: Vec<Event> = events.iter().filter(is_new).cloned().collect();
                print(&output, &events, prefixed)
            };
            logs::follow(&mut contact, &job.id(), |_| (), new).await?;
        }
        Ok(Exit::Done)
    }

    async fn read(&self, session: &Session, jobs: &[Job]) -> Result<Exit, Failure> {
        let output = self.common.output();
        let mut array = (output.format() == Format::Json).then(|| output.json_array());
        for job in jobs {
            if !has_started(job) {
                return Err(
                    Failure::failed(not_started(job)).hint(format!("`bout -f {}` waits for it", job.job_id))
                );
            }
            let mut show = |events: &[Event]| match &mut array {
                Some(array) => events.iter().try_for_each(|event| array.push(&json(event)?)),
                None => print(&output, events, job.parts().is_some()),
            };
            let mut left = self.head.unwrap_or(usize::MAX);
            let mut last = self.tail.map(Last::new);
            each_page(session, job, |mut events| {
                events.truncate(left);
                left -= events.len();
                match &mut last {
                    Some(last) => last.push(events),
                    None => show(&events)?,
                }
                Ok(left > 0)
            })
            .await?;
            if let Some(last) = last {
                show(&last.events())?;
            }
        }
        array.map_or(Ok(()), JsonArray::finish)?;
        Ok(Exit::Done)
    }
}

/// The last lines of many.
struct Last {
    lines: usize,
    events: VecDeque<Event>,
}

impl Last {
    fn new(lines: usize) -> Self {
        Self { lines, events: VecDeque::new() }
    }

    fn push(&mut self, events: Vec<Event>) {
        self.events.extend(events);
        self.events.drain(..self.events.len().saturating_sub(self.lines));
    }

    fn events(self) -> Vec<Event> {
        self.events.into()
    }
}

/// Reads the output that is there of a job, or of all children of an array by index, until `show` has enough of it.
async fn each_page(
    session: &Session,
    job: &Job,
    mut show: impl FnMut(Vec<Event>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let started = [Status::Starting, Status::Running, Status::Succeeded, Status::Failed];
    let writers = if job.parts().is_some() {
        let children = batch::parts(session, job, &started).await?;
        let ids: Vec<JobId> = children.iter().map(Job::id).collect();
        batch::describe(session, &ids).await?.into_iter().flatten().collect()
    } else {
        vec![job.clone()]
    };
    for writer in &writers {
        for place in Place::all_of(writer, session) {
            let mut reader = Reader::new(place);
            loop {
                match reader.next(session).await? {
                    Page::Lines(events) => {
                        if !show(events)? {
                            return Ok(());
                        }
                    }
                    Page::End | Page::NoStream => break,
                    Page::NoGroup(failure) => return Err(failure),
                }
            }
        }
    }
    Ok(())
}

/// Whether there can be output. An array's parent has started when a child may have.
fn has_started(job: &Job) -> bool {
    match job.status {
        Status::Submitted | Status::Runnable => !job.log_streams().is_empty(),
        Status::Pending => job.is_array_parent(),
        _ => true,
    }
}

fn not_started(job: &Job) -> String {
    let reason = job.status_reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
    format!("the job {} has not started: it is {}{reason}", job.job_id, job.status)
}

/// Prints lines: the messages alone (behind a child's index or task, for an array), or an object each.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(output: &Output, events: &[Event], prefixed: bool) -> Result<(), Failure> {
    let mut text = String::new();
    for event in events {
        if output.format() == Format::Json {
            text.push_str(&json(event)?.to_string());
        } else {
            if prefixed && let Some(index) = JobId::from_batch(&event.job_id).part() {
                // Where a task has an ID of its own, Batch's index stands beside it.
                text.push_str(&match event.task {
                    Some(task) => format!("{task} (:{index}): "),
                    None => format!("{index}: "),
                });
            }
            text.push_str(&event.message);
        }
        text.push('\n');
    }
    output.write(text.as_bytes())
}

fn json(event: &Event) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(event)
        .map_err(|e| Failure::failed(format!("writing a line of the job {} as JSON: {e}", event.job_id)))
}
