//! `bimage logs`: prints the log of a build.

use jiff::tz::TimeZone;
use serde::Serialize;

use super::CommonArgs;
use crate::aws::ResilientSession;
use crate::image::codebuild::{self, Build, BuildName, BuildUpdate, Log};
use crate::logs::{Event, StreamFollower};
use crate::ui::{
    Exit, Failure, Format, JsonArray, Output, local_rfc3339_ms, print_message, sanitize_json, sanitize_line,
    until_signal,
};

/// The arguments of `bimage logs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The build: its ID, as `bimage build` shows it, or `last`
    #[arg(value_name = "BUILD")]
    build: BuildName,
    /// Follow the log until the build has ended
    #[arg(short, long)]
    follow: bool,
    /// Put the time before each line
    #[arg(short = 'T', long)]
    timestamps: bool,
}

impl Args {
    /// Prints the log of a build. The exit code is 0 even if the build has failed, unless it was
    /// followed.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let session = common.open().await?;
        let id = codebuild::resolve(&session, &self.build).await?;
        let output = common.output();
        let lines = LinePrinter { id: &id, output: &output, timestamps: self.timestamps };
        let mut contact = ResilientSession::new(session, "bimage");
        if self.follow {
            let followed = codebuild::follow(&mut contact, &id, |news| match news {
                BuildUpdate::Build(build) => has_log(build),
                BuildUpdate::Lines(events) => lines.print(events),
                BuildUpdate::NoLog(failure) => Err(failure),
            });
            let build = id.clone();
            let last = move |signal| async move {
                print_message(format!("bimage: {signal}; the build {build} goes on"));
                print_message(format!("hint: `bimage logs --follow {build}` follows it again"));
            };
            let ended = match until_signal(followed, last).await {
                Ok(ended) => ended?,
                Err(signal) => return Ok(Exit::Interrupted(signal)),
            };
            if !ended.has_succeeded() {
                print_message(format!("bimage: the build {id} has ended: {}", ended.status));
                return Ok(Exit::Failed);
            }
            return Ok(Exit::Done);
        }
        let build = contact.keep(async |session| codebuild::describe(session, &id).await).await?;
        let build = common.found(build.ok_or_else(|| codebuild::no_such_build(contact.session(), &id)))?;
        has_log(&build)?;
        let Log::Stream(place) = &build.log else {
            return Err(match build.has_ended() {
                true => {
                    Failure::failed(format!("the build {id} has no log: it has {} without one", build.status))
                }
                false => Failure::failed(format!("the build {id} has no log yet: it is {}", build.status))
                    .hint(format!("`bimage logs --follow {id}` waits for it")),
            });
        };
        let mut array = (output.format() == Format::Json).then(|| output.json_array());
        let mut stream = StreamFollower::new(place.clone());
        while stream
            .read(&mut contact, |events| match &mut array {
                Some(array) => array.extend(events.iter().flat_map(|event| lines.json(event))),
                None => lines.print(events),
            })
            .await?
        {}
        array.map_or(Ok(()), JsonArray::finish)?;
        Ok(Exit::Done)
    }
}

/// Fails if the project of a build writes no log to CloudWatch Logs.
fn has_log(build: &Build) -> Result<(), Failure> {
    let Log::Elsewhere(place) = &build.log else { return Ok(()) };
    let failure =
        Failure::failed(format!("the project of the build {} writes no log to CloudWatch Logs", build.id));
    Err(match place {
        Some(place) => failure.hint(format!("its log is at {place}")),
        None => failure,
    })
}

/// Prints the lines of a build on standard output.
struct LinePrinter<'a> {
    id: &'a str,
    output: &'a Output,
    timestamps: bool,
}

impl LinePrinter<'_> {
    /// Prints the lines, or an object for each.
    fn print(&self, events: &[Event]) -> Result<(), Failure> {
        let mut text = String::new();
        for event in events {
            if self.output.format() == Format::Json {
                for json in self.json(event) {
                    text.push_str(&if self.output.is_terminal() {
                        sanitize_json(&json).into_owned()
                    } else {
                        json
                    });
                    text.push('\n');
                }
                continue;
            }
            for line in lines(event) {
                if self.timestamps {
                    let time =
                        event.timestamp.map_or("-".into(), |at| local_rfc3339_ms(at, &TimeZone::system()));
                    text.push_str(&time);
                    text.push(' ');
                }
                text.push_str(&if self.output.is_terminal() { sanitize_line(line) } else { line.into() });
                text.push('\n');
            }
        }
        self.output.write(text.as_bytes())
    }

    fn json(&self, event: &Event) -> Vec<String> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Row<'a> {
            build_id: &'a str,
            log_stream_name: &'a str,
            timestamp: Option<i64>,
            message: &'a str,
        }
        let row = |message| Row {
            build_id: self.id,
            log_stream_name: &event.stream.name,
            timestamp: event.timestamp,
            message,
        };
        lines(event).filter_map(|line| serde_json::to_string(&row(line)).ok()).collect()
    }
}

/// The lines of an event. CodeBuild's events end with a line break, and some have several lines.
fn lines(event: &Event) -> impl Iterator<Item = &str> {
    event.message.trim_end_matches(['\r', '\n']).split('\n')
}
