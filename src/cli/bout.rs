//! `bout`: shows a job's output.

mod files;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::CommonArgs;
use crate::batch::{self, Job};
use crate::cluster::{Contact, Session};
use crate::job::{JobId, Status};
use crate::logs::{self, Event, Page, Place, Reader};
use crate::ui::{Exit, Failure, Format, JsonArray, Output, note};

/// Show a job's output: the lines that it has printed, from first to last
#[derive(Debug, Parser)]
#[command(
    name = "bout",
    version,
    after_help = "Of an array job, the children's output follows by index, each line behind its index."
)]
pub struct Args {
    /// Follow the output until the job has ended
    #[arg(short, long, visible_short_alias = 's', visible_alias = "stream")]
    follow: bool,
    /// List the files that the job has left (`bsub -o`, or at $AWSB_OUTPUT_URL), instead of its output
    #[arg(long, conflicts_with = "follow")]
    files: bool,
    /// Fetch the files into this directory; an array's children have directories of their own in it
    #[arg(short, long, value_name = "DIR", requires = "files")]
    directory: Option<PathBuf>,
    /// A job, an array's child (ID:INDEX) or an ARN
    #[arg(value_name = "ID")]
    id: JobId,
    #[command(flatten)]
    common: CommonArgs,
}

/// `bout`'s entry point.
pub fn main() -> ExitCode {
    super::run("bout", |args: Args| super::block_on(args.tell()))
}

impl Args {
    async fn tell(&self) -> Result<Exit, Failure> {
        let session = self.common.open().await?;
        if self.files {
            return files::tell(&session, &self.common.output(), &self.id, self.directory.as_deref()).await;
        }
        let job = batch::describe_one(&session, &self.id).await?;
        if self.follow { self.follow(session, &job).await } else { self.read(&session, &job).await }
    }

    async fn follow(&self, session: Session, job: &Job) -> Result<Exit, Failure> {
        let output = self.common.output();
        let prefixed = job.is_array_parent();
        if !has_started(job) {
            note(format!("bout: {}; waiting", not_started(job)));
        }
        let mut contact = Contact::new(session, "bout");
        logs::follow(&mut contact, &self.id, |_| (), |events| print(&output, events, prefixed)).await?;
        Ok(Exit::Done)
    }

    async fn read(&self, session: &Session, job: &Job) -> Result<Exit, Failure> {
        let output = self.common.output();
        if !has_started(job) {
            return Err(Failure::failed(not_started(job)).hint(format!("`bout -f {}` waits for it", self.id)));
        }
        let started = [Status::Starting, Status::Running, Status::Succeeded, Status::Failed];
        let writers = if job.is_array_parent() {
            let children = batch::children(session, &job.id(), &started).await?;
            let ids: Vec<JobId> = children.iter().map(Job::id).collect();
            batch::describe(session, &ids).await?.into_iter().flatten().collect()
        } else {
            vec![job.clone()]
        };
        let mut array = (output.format() == Format::Json).then(|| output.json_array());
        for writer in &writers {
            for place in Place::all_of(writer, session) {
                let mut reader = Reader::new(place);
                loop {
                    let events = match reader.next(session).await? {
                        Page::Lines(events) => events,
                        Page::End | Page::NoStream => break,
                        Page::NoGroup(failure) => return Err(failure),
                    };
                    match &mut array {
                        Some(array) => events.iter().try_for_each(|event| array.push(&json(event)?))?,
                        None => print(&output, &events, job.is_array_parent())?,
                    }
                }
            }
        }
        array.map_or(Ok(()), JsonArray::finish)?;
        Ok(Exit::Done)
    }
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

/// Prints lines: the messages alone (behind a child's index, for an array), or an object each.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(output: &Output, events: &[Event], prefixed: bool) -> Result<(), Failure> {
    let mut text = String::new();
    for event in events {
        if output.format() == Format::Json {
            text.push_str(&json(event)?.to_string());
        } else {
            if prefixed && let Some(index) = JobId::from_batch(&event.job_id).array_index() {
                text.push_str(&format!("{index}: "));
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
