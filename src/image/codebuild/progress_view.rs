//! The progress of a build, as it is printed while it runs.

use std::collections::VecDeque;
use std::time::Instant;

use super::build::{Build, Log};
use super::failure_reason::is_command;
use super::follow::BuildUpdate;
use crate::logs::Event;
use crate::ui::{Failure, Reporter, StatusLines, print_output_of_program, span};

/// The number of last lines that are printed of a build that has failed.
const LINES_SHOWN: usize = 20;
/// The number of last lines in which the cause of a failure is searched.
const LINES_STORED: usize = 200;

/// The key of the line for the current phase.
const PHASE: &str = "phase";

/// Prints to stderr: the phases as they end, and the log.
#[derive(Debug)]
pub(super) struct ProgressView {
    reporter: Reporter,
    phases: usize,
    log_is_missed: bool,
    /// The current phase, on a terminal.
    status_lines: StatusLines,
    begun: Option<(usize, Instant)>,
    last: VecDeque<String>,
}

impl ProgressView {
    /// A view that reports with the voice of the tool that builds.
    pub fn new(reporter: Reporter) -> Self {
        Self {
            reporter,
            phases: 0,
            log_is_missed: false,
            status_lines: StatusLines::new(),
            begun: None,
            last: VecDeque::new(),
        }
    }

    /// Prints an update.
    pub fn update(&mut self, update: BuildUpdate<'_>) -> Result<(), Failure> {
        match update {
            BuildUpdate::Build(build) => self.build(build),
            BuildUpdate::Lines(events) => self.lines(events),
            BuildUpdate::NoLog(failure) => {
                self.reporter.print(format_args!("note: the log is not shown: {failure}"))
            }
        }
        Ok(())
    }

    fn build(&mut self, build: &Build) {
        if let Log::Elsewhere(place) = &build.log
            && !std::mem::replace(&mut self.log_is_missed, true)
        {
            let place = place.as_ref().map(|place| format!("; it is at {place}")).unwrap_or_default();
            self.reporter.print(format_args!("note: the project writes no log to CloudWatch Logs{place}"));
        }
        while let Some(phase) = build.phases.get(self.phases) {
            // The phase COMPLETED only marks the end.
            let (Some(status), true) = (&phase.status, phase.name != "COMPLETED") else { break };
            let took = phase.seconds.map(|s| format!(" ({})", span(s * 1000))).unwrap_or_default();
            self.reporter.print(format_args!("{} {status}{took}", phase.name));
            self.phases += 1;
        }
        match build.phases.get(self.phases).filter(|phase| !self.reporter.quiet && phase.status.is_none()) {
            Some(phase) => {
                let begun = self.begun.filter(|(n, _)| *n == self.phases);
                let (_, since) = *self.begun.insert(begun.unwrap_or((self.phases, Instant::now())));
                let took = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
                self.status_lines
                    .set(PHASE, &format!("{}: {} {}", self.reporter.tool, phase.name, span(took)));
            }
            None => self.status_lines.remove(PHASE),
        }
    }

    fn lines(&mut self, events: &[Event]) {
        for line in events.iter().flat_map(|event| event.message.trim_end().split('\n')) {
            if !self.reporter.quiet {
                print_output_of_program(line);
            }
            // Commands would hide the lines before them.
            if is_command(line) {
                continue;
            }
            if self.last.len() == LINES_STORED {
                self.last.pop_front();
            }
            self.last.push_back(line.to_owned());
        }
    }

    /// Clears the lines that change in place.
    pub fn clear(&mut self) {
        self.status_lines.clear();
    }

    /// The last lines of the log.
    pub fn log(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }

    /// Prints the end of the log, unless the log has been printed already.
    pub fn show_end(&self) {
        if self.reporter.quiet {
            self.log().skip(self.last.len().saturating_sub(LINES_SHOWN)).for_each(print_output_of_program);
        }
    }
}
