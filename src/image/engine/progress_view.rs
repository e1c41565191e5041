//! A build's steps as people see them: on a terminal what goes on now, in a pipe all of it.

use super::build_events::{BuildEvent, StepOutcome, StepUpdate, Steps, short};
use crate::ui::{Board, note};

/// Of a step's name so many characters are shown beside what goes on in it.
const NAME_WIDTH: usize = 40;

/// What is shown of a build.
#[derive(Debug)]
pub struct ProgressView {
    steps: Steps,
    board: Board,
    quiet: bool,
}

impl ProgressView {
    /// A build begins; with `quiet` nothing is shown but the end of one that fails.
    pub fn new(quiet: bool) -> Self {
        Self { steps: Steps::default(), board: Board::new(), quiet }
    }

    /// Shows what came.
    pub fn update(&mut self, events: Vec<BuildEvent>) {
        for update in events.into_iter().flat_map(|event| self.steps.apply(event)).collect::<Vec<_>>() {
            if self.quiet {
                continue;
            }
            if self.board.is_seen() {
                self.on_terminal(&update);
            } else if let Some(line) = update.plain() {
                note(line);
            }
        }
    }

    /// As `BuildKit`'s own client: a line for each step, and what goes on in those that are under way.
    fn on_terminal(&mut self, update: &StepUpdate) {
        let (StepUpdate::Started(number, _)
        | StepUpdate::Output(number, ..)
        | StepUpdate::Progress(number, _)
        | StepUpdate::Finished(number, _)) = update;
        let key = number.to_string();
        let name = self.steps.name(*number);
        match update {
            StepUpdate::Started(..) => self.board.set(&key, &format!(" => {name}")),
            StepUpdate::Output(_, _, line) => {
                self.board.set(&key, &format!(" => {} | {}", short(name, NAME_WIDTH), line.trim()))
            }
            StepUpdate::Progress(_, moved) => {
                self.board.set(&key, &format!(" => {} {moved}", short(name, NAME_WIDTH)))
            }
            StepUpdate::Finished(_, how) => {
                self.board.remove(&key);
                // What the builder does beside the Dockerfile's steps is of interest while it takes time.
                let is_internal = !name.starts_with('[') || name.starts_with("[internal]");
                match how {
                    StepOutcome::Done(took) if !is_internal => {
                        note(format!(" => {name} {:.1}s", took.as_secs_f64()));
                    }
                    StepOutcome::Cached if !is_internal => note(format!(" => CACHED {name}")),
                    StepOutcome::Failed(_) => note(format!(" => ERROR {name}")),
                    StepOutcome::Done(_) | StepOutcome::Cached | StepOutcome::Canceled => {}
                }
            }
        }
    }

    /// The build is over; when a step failed, shows its last lines and returns what it was, and why it failed.
    pub fn finish(&mut self) -> Option<(String, String)> {
        self.board.clear();
        let step = self.steps.failed()?;
        let Some(StepOutcome::Failed(why)) = &step.outcome else { return None };
        if step.last.is_empty() {
            return Some((step.name.clone(), why.clone()));
        }
        let mut block = vec![format!("------\n > {}:", step.name)];
        block.extend(step.last.iter().cloned());
        block.push("------".to_owned());
        note(block.join("\n"));
        Some((step.name.clone(), why.clone()))
    }
}
