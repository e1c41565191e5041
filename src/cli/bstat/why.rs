//! `bstat --why`: why a job does not run, or why it failed, and what to do about it.

use std::io::IsTerminal;

use crate::batch;
use crate::cluster::Session;
use crate::job::JobId;
use crate::job::why::Answer;
use crate::ui::{Exit, Failure, Layout, Output, View};

/// Tells why of each of these jobs.
pub async fn tell(session: &Session, output: &Output, ids: &[JobId]) -> Result<Exit, Failure> {
    let facts = batch::why(session, ids).await?;
    let answers: Vec<Answer> = facts.iter().flatten().map(Answer::of).collect();
    if !answers.is_empty() || output.format() == crate::ui::Format::Json {
        output.show(&Answers { answers, on_terminal: std::io::stdout().is_terminal() })?;
    }
    crate::cli::report_unknown("bstat", session, ids.iter().zip(facts.iter().map(Option::is_some)))
}

struct Answers {
    answers: Vec<Answer>,
    on_terminal: bool,
}

impl View for Answers {
    fn plain(&self) -> Layout {
        let shown = |line: &str| if self.on_terminal { harmless(line) } else { line.to_owned() };
        let each: Vec<Vec<String>> = self.answers.iter().map(|a| a.lines(shown)).collect();
        Layout::Lines(each.join(&String::new()))
    }

    fn json(&self) -> Vec<serde_json::Value> {
        self.answers.iter().map(Answer::json).collect()
    }
}

/// Nothing in a line of output can act upon a terminal.
fn harmless(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
