//! `awsbout`: shows the output of a job.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use super::listing::print;
use super::options::{CLUSTER, Definition, EXIT, LOG_LEVEL, Operands, Opt, Takes, Values};
use super::tool::{failed_with, open, run};
use crate::aws::{ResilientSession, Session};
use crate::batch::{self, Job};
use crate::logs::{self, Event, FollowOptions, LogQuery, LogStreamRef, TimeRange};
use crate::ui::{Exit, Failure, Format, Output, local_rfc3339, sanitize_line};
use awsb_model::JobId;

/// The command line.
pub const DEFINITION: Definition = Definition {
    name: "awsbout",
    about: "Show the output of a job",
    options: &[
        CLUSTER,
        Opt { short: "hd", long: "head", takes: Takes::Number, help: "Show the first lines, this many" },
        Opt { short: "t", long: "tail", takes: Takes::Number, help: "Show the last lines, this many" },
        Opt {
            short: "s",
            long: "stream",
            takes: Takes::Nothing,
            help: "Show the output until the job has ended; with --tail, from its last lines on",
        },
        Opt {
            short: "sp",
            long: "stream-period",
            takes: Takes::Number,
            help: "Has no effect: --stream chooses how often it looks for new lines",
        },
        LOG_LEVEL,
    ],
    operands: Operands::One,
    operand: ("job_id", "The ID of a job, an array's child or a node"),
    differences: &[
        "All lines are shown; the old tool reads one page of a long log. The log group of the job is read, whichever \
         it is.",
        "--stream ends when the job has ended. A job that is tried again is followed into its next attempt. \
         --stream-period has no effect.",
    ],
    exit: EXIT,
    successor: "bout",
};

const LISTING: &str = "Error listing jobs from AWS Batch. Failed with exception:";

/// `awsbout`' entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    run(&DEFINITION, words, |values| Box::pin(show(values)))
}

/// A count of lines. As for the old tool, 0 is none.
fn lines(values: &Values, option: &str) -> Result<Option<usize>, Failure> {
    let number = values.number(option).filter(|n| *n != 0).map(usize::try_from).transpose();
    number.map_err(|_| failed_with(LISTING)(Failure::usage(format!("--{option} is below 0"))))
}

async fn show(values: Values) -> Result<Exit, Failure> {
    let (head, tail) = (lines(&values, "head")?, lines(&values, "tail")?);
    let follows = values.has("stream");
    for (is, message) in [
        (head.is_some() && tail.is_some(), "--tail and --head option cannot be set at the same time"),
        (head.is_some() && follows, "--stream and --head option cannot be set at the same time"),
        (
            values.number("stream-period").is_some_and(|n| n != 0) && !follows,
            "--stream-period can be used only with --stream option",
        ),
    ] {
        if is {
            return Err(Failure::usage(format!("Parameters validation error: {message}")));
        }
    }
    let session = open(&values).await?;
    let id = values.texts().concat();
    let Some(job) = find(&session, &id).await? else {
        return Err(Failure::failed(format!("Error asking job output for job ({id}). Job not found.")));
    };
    if job.parts().is_some() {
        return Err(Failure::failed(format!(
            "No output available for the Job ({}). Please ask for its children.",
            job.job_id
        )));
    }
    let name = job.container.as_ref().and_then(|container| container.log_stream_name.clone());
    let streams = LogStreamRef::of_query(&job, &session, &LogQuery::default());
    let Some(stream) = streams.into_iter().find(|stream| Some(&stream.name) == name.as_ref()) else {
        print(vec![format!("No log stream found for job ({id}) in the status ({})", job.status)])?;
        return Ok(Exit::Done);
    };
    let printer = Printer { output: Output::new(Format::Plain) };
    let any = match follows {
        true => follow(session, &job, tail, &printer).await,
        false => read(session, &job, &stream, head, tail, &printer).await,
    };
    if !any.map_err(failed_with(LISTING))? {
        print(vec!["No events found.".to_owned()])?;
    }
    Ok(Exit::Done)
}

async fn find(session: &Session, id: &str) -> Result<Option<Job>, Failure> {
    let found = batch::describe(session, &[JobId::from_batch(id)]).await;
    Ok(found.map_err(failed_with(LISTING))?.pop().flatten())
}

/// Prints lines with their times.
struct Printer {
    output: Output,
}

impl Printer {
    fn print(&self, events: &[Event]) -> Result<(), Failure> {
        let mut text = String::new();
        for event in events {
            text.push_str(&local_rfc3339(event.time()));
            text.push_str(": ");
            match self.output.is_terminal() {
                true => text.push_str(&sanitize_line(&event.message)),
                false => text.push_str(&event.message),
            }
            text.push('\n');
        }
        self.output.write(text.as_bytes())
    }
}

/// Prints the lines of the stream. Returns whether there is any.
async fn read(
    session: Session,
    job: &Job,
    stream: &Arc<LogStreamRef>,
    head: Option<usize>,
    tail: Option<usize>,
    printer: &Printer,
) -> Result<bool, Failure> {
    let mut any = false;
    let is_there = if let Some(tail) = tail {
        let events = logs::last_lines(&session, stream, tail).await?;
        if let Some(events) = &events {
            any = !events.is_empty();
            printer.print(events)?;
        }
        events.is_some()
    } else {
        let range = TimeRange { since: None, max_lines: head, ended_at: job.stopped_at };
        let mut left = head.unwrap_or(usize::MAX);
        let show = |mut events: Vec<Event>| {
            events.truncate(left);
            left -= events.len();
            any |= !events.is_empty();
            printer.print(&events)?;
            Ok(left > 0)
        };
        logs::read(&Arc::new(session), stream, range, show).await?
    };
    match is_there {
        true => Ok(any),
        false => Err(Failure::failed(format!("the log stream {} does not exist", stream.name))),
    }
}

/// Prints the lines of a job until it has ended. Returns whether there is any.
async fn follow(
    session: Session,
    job: &Job,
    tail: Option<usize>,
    printer: &Printer,
) -> Result<bool, Failure> {
    let mut contact = ResilientSession::new(session, "awsbout");
    let query = LogQuery { created_at: job.created_at, ..LogQuery::default() };
    let options = FollowOptions { query, tail, needs_group: true };
    let mut any = false;
    let print = |events: &[Event]| {
        any |= !events.is_empty();
        printer.print(events)
    };
    logs::follow(&mut contact, &job.id(), &options, |_| (), print).await?;
    Ok(any)
}
