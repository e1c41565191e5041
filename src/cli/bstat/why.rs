//! `bstat --why`: why a job does not run, or why it failed, and what to do about it.

use crate::aws::Session;
use crate::batch::{self, Job, ResolvedJobs};
use crate::cli::job_filter::JobFilterArgs;
use crate::diagnose::{self, Diagnosis};
use crate::ui::{Exit, Failure, Format, Layout, Output, View, print_message, wrapped};
use awsb_model::{JobId, Status, TimeArg};

/// At most this many jobs are explained when none is named.
const MAX_JOBS: usize = 20;
/// Failed jobs are explained when they were submitted at most this long ago.
const FAILED_SINCE: &str = "1d";

/// The user's active jobs, and his failed jobs of the last day: the newest of them. If the cluster
/// had to be read again, the session has it afterwards.
///
/// # Errors
/// When Batch cannot be asked, or the user has no name.
pub async fn of_interest(session: &mut Session, select: &JobFilterArgs) -> Result<ResolvedJobs, Failure> {
    let mine = JobFilterArgs { mine: true, ..select.clone() };
    let failed_since = || FAILED_SINCE.parse::<TimeArg>().ok();
    let of_failed = JobFilterArgs { since: mine.since.or_else(failed_since), ..mine.clone() };
    let both = async |session: &Session| {
        tokio::try_join!(mine.jobs(session, &Status::ACTIVE), of_failed.jobs(session, &[Status::Failed]))
    };
    let (active, failed) = select.with_fresh_queues(session, both).await?;
    let mut jobs: Vec<Job> = active.into_iter().chain(failed).collect();
    batch::newest_last(&mut jobs);
    let all = jobs.len();
    let jobs = jobs.split_off(all.saturating_sub(MAX_JOBS));
    if all > MAX_JOBS {
        print_message(format!(
            "bstat: note: these are the newest {MAX_JOBS} of {all} jobs; `bstat --why ID` explains any job"
        ));
    }
    if jobs.is_empty() {
        print_message("bstat: note: you have no active jobs, and none has failed in the last day");
    }
    Ok(ResolvedJobs { jobs, failures: Vec::new() })
}

/// Prints the answer for each of these jobs.
pub async fn print(session: &Session, output: &Output, found: &ResolvedJobs) -> Result<Exit, Failure> {
    let ids: Vec<JobId> = found.jobs.iter().map(Job::id).collect();
    let facts = diagnose::why(session, &ids).await?;
    let answer = |facts| Diagnosis::of(facts).map_advice(|line| session.advice(line));
    let answers: Vec<Diagnosis> = facts.iter().flatten().map(answer).collect();
    for (id, stream) in answers.iter().filter_map(Diagnosis::missing_log) {
        print_message(format!(
            "bstat: warning: the output of the job {id} is not there: its log stream {stream} was deleted \
             or expired"
        ));
    }
    if !answers.is_empty() || output.format() == Format::Json {
        output.show(&Answers { answers, columns: output.columns() })?;
    }
    // Batch may forget a job in between.
    let forgotten = ids.iter().zip(&facts).filter(|(_, facts)| facts.is_none());
    let exit = forgotten.fold(Exit::Done, |_, (id, _)| {
        batch::unknown(session, id).report("bstat");
        Exit::Failed
    });
    Ok(found.report("bstat", exit))
}

struct Answers {
    answers: Vec<Diagnosis>,
    columns: Option<usize>,
}

impl Answers {
    /// The lines of an answer, wrapped. The lines of a job's output are not.
    fn lines(&self, answer: &Diagnosis) -> Vec<String> {
        let columns = |line: &str| self.columns.filter(|_| !line.starts_with("    "));
        answer.lines().iter().flat_map(|line| wrapped(line, columns(line))).collect()
    }
}

impl View for Answers {
    fn plain(&self) -> Layout {
        let each: Vec<Vec<String>> = self.answers.iter().map(|answer| self.lines(answer)).collect();
        Layout::Lines(each.join(&String::new()))
    }

    fn json(&self) -> Vec<serde_json::Value> {
        self.answers.iter().map(Diagnosis::json).collect()
    }
}
