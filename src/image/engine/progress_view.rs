//! The progress of a build as people see it: the current steps on a terminal, everything in a pipe.

use super::build_events::{BuildEvent, StepOutcome, StepUpdate, Steps, short};
use crate::ui::{StatusLines, print_message, print_output_of_program};

/// The number of characters of a step's name before its progress.
const NAME_WIDTH: usize = 40;

/// The view of a build.
#[derive(Debug)]
pub struct ProgressView {
    steps: Steps,
    status_lines: StatusLines,
    quiet: bool,
}

impl ProgressView {
    /// The view of a build that begins. With `quiet`, only the end of a failed build is shown.
    pub fn new(quiet: bool) -> Self {
        Self { steps: Steps::default(), status_lines: StatusLines::new(), quiet }
    }

    /// Shows events.
    pub fn update(&mut self, events: Vec<BuildEvent>) {
        for update in events.into_iter().flat_map(|event| self.steps.apply(event)).collect::<Vec<_>>() {
            if self.quiet {
                continue;
            }
            if self.status_lines.is_visible() {
                self.on_terminal(&update);
            } else if let Some(line) = update.plain() {
                print_output_of_program(line);
            }
        }
    }

    /// Shows an update as `BuildKit`'s own client does: a line for each finished step, and the
    /// current state of each running one.
    fn on_terminal(&mut self, update: &StepUpdate) {
        let (StepUpdate::Started(number, _)
        | StepUpdate::Output(number, ..)
        | StepUpdate::Progress(number, _)
        | StepUpdate::Finished(number, _)) = update;
        let key = number.to_string();
        let name = self.steps.name(*number);
        match update {
            StepUpdate::Started(..) => self.status_lines.set(&key, &format!(" => {name}")),
            StepUpdate::Output(_, _, line) => {
                self.status_lines.set(&key, &format!(" => {} | {}", short(name, NAME_WIDTH), line.trim()))
            }
            StepUpdate::Progress(_, moved) => {
                self.status_lines.set(&key, &format!(" => {} {moved}", short(name, NAME_WIDTH)))
            }
            StepUpdate::Finished(_, how) => {
                self.status_lines.remove(&key);
                // Internal steps of the builder are interesting only while they take time.
                let is_internal = !name.starts_with('[') || name.starts_with("[internal]");
                match how {
                    StepOutcome::Done(took) if !is_internal => {
                        print_message(format!(" => {name} {:.1}s", took.as_secs_f64()));
                    }
                    StepOutcome::Cached if !is_internal => print_message(format!(" => CACHED {name}")),
                    StepOutcome::Failed(_) => print_message(format!(" => ERROR {name}")),
                    StepOutcome::Done(_) | StepOutcome::Cached | StepOutcome::Canceled => {}
                }
            }
        }
    }

    /// Ends the view. If a step failed, prints its last lines and returns its name and the reason.
    pub fn finish(&mut self) -> Option<(String, String)> {
        self.status_lines.clear();
        let step = self.steps.failed()?;
        let Some(StepOutcome::Failed(why)) = &step.outcome else { return None };
        if step.last.is_empty() {
            return Some((step.name.clone(), why.clone()));
        }
        let mut block = vec![format!("------\n > {}:", step.name)];
        block.extend(step.last.iter().cloned());
        block.push("------".to_owned());
        print_output_of_program(block.join("\n"));
        Some((step.name.clone(), why.clone()))
    }
}
