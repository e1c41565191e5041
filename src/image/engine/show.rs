//! A build's steps as people see them: on a terminal what goes on now, in a pipe all of it.

use super::steps::{Ending, Event, Said, Steps, short};
use crate::ui::{Board, note};

/// Of a step's name so many characters are shown beside what goes on in it.
const ROOM: usize = 40;

/// What is shown of a build.
#[derive(Debug)]
pub struct Show {
    steps: Steps,
    board: Board,
    quiet: bool,
}

impl Show {
    /// A build begins; with `quiet` nothing is shown but the end of one that fails.
    pub fn new(quiet: bool) -> Self {
        Self { steps: Steps::default(), board: Board::new(), quiet }
    }

    /// Shows what came.
    pub fn take(&mut self, events: Vec<Event>) {
        for said in events.into_iter().flat_map(|event| self.steps.take(event)).collect::<Vec<_>>() {
            if self.quiet {
                continue;
            }
            if self.board.is_seen() {
                self.on_terminal(&said);
            } else if let Some(line) = said.plain() {
                note(line);
            }
        }
    }

    /// As `BuildKit`'s own client: a line for each step, and what goes on in those that are under way.
    fn on_terminal(&mut self, said: &Said) {
        let (Said::Begun(number, _) | Said::Line(number, ..) | Said::At(number, _) | Said::Ended(number, _)) =
            said;
        let key = number.to_string();
        let name = self.steps.name(*number);
        match said {
            Said::Begun(..) => self.board.set(&key, &format!(" => {name}")),
            Said::Line(_, _, line) => {
                self.board.set(&key, &format!(" => {} | {}", short(name, ROOM), line.trim()))
            }
            Said::At(_, moved) => self.board.set(&key, &format!(" => {} {moved}", short(name, ROOM))),
            Said::Ended(_, how) => {
                self.board.remove(&key);
                // What the builder does beside the Dockerfile's steps is of interest while it takes time.
                let is_internal = !name.starts_with('[') || name.starts_with("[internal]");
                match how {
                    Ending::Done(took) if !is_internal => {
                        note(format!(" => {name} {:.1}s", took.as_secs_f64()));
                    }
                    Ending::Cached if !is_internal => note(format!(" => CACHED {name}")),
                    Ending::Failed(_) => note(format!(" => ERROR {name}")),
                    Ending::Done(_) | Ending::Cached | Ending::Canceled => {}
                }
            }
        }
    }

    /// The build is over; when a step failed, shows its last lines and returns what it was, and why it failed.
    pub fn end(&mut self) -> Option<(String, String)> {
        self.board.clear();
        let step = self.steps.failed()?;
        let Some(Ending::Failed(why)) = &step.ending else { return None };
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
