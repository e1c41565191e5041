//! `bstat --why`: why a job does not run, or why it failed, and what to do about it.

use crate::batch::{self, Found, Job};
use crate::cluster::Session;
use crate::job::JobId;
use crate::job::why::Answer;
use crate::ui::{Exit, Failure, Format, Layout, Output, View, note};

/// Tells why of each of these jobs.
pub async fn tell(session: &Session, output: &Output, found: &Found) -> Result<Exit, Failure> {
    let ids: Vec<JobId> = found.jobs.iter().map(Job::id).collect();
    let facts = batch::why(session, &ids).await?;
    let answers: Vec<Answer> = facts.iter().flatten().map(Answer::of).collect();
    for (id, stream) in answers.iter().filter_map(Answer::missing_log) {
        note(format!(
            "bstat: warning: the output of the job {id} is not there: its log stream {stream} was deleted, or kept no longer"
        ));
    }
    if !answers.is_empty() || output.format() == Format::Json {
        output.show(&Answers(answers))?;
    }
    // Batch may forget a job in between.
    let forgotten = ids.iter().zip(&facts).filter(|(_, facts)| facts.is_none());
    let exit = forgotten.fold(Exit::Done, |_, (id, _)| {
        batch::unknown(session, id).report("bstat");
        Exit::Failed
    });
    Ok(found.report("bstat", exit))
}

struct Answers(Vec<Answer>);

impl View for Answers {
    fn plain(&self) -> Layout {
        let each: Vec<Vec<String>> = self.0.iter().map(Answer::lines).collect();
        Layout::Lines(each.join(&String::new()))
    }

    fn json(&self) -> Vec<serde_json::Value> {
        self.0.iter().map(Answer::json).collect()
    }
}
