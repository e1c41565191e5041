//! The jobs that a command line names, or standard input in its place.

use std::collections::HashSet;
use std::io::Read;

use crate::aws::Session;
use crate::batch::{self, ResolvedJobs};
use crate::ui::Failure;
use awsb_model::{JobId, JobRef, ParsedJobRefs};

/// The longest list of jobs on standard input: room for a million IDs.
const MAX_BYTES: u64 = 64 << 20;

/// The references to jobs in the words of a command line, and a failure for each malformed word.
#[derive(Debug, Default)]
pub struct JobArgs {
    references: Vec<JobRef>,
    malformed: Vec<Failure>,
}

impl JobArgs {
    /// Reads the words, and standard input if one of them is `-`. If no word can name a job, all
    /// failures but the last are printed.
    ///
    /// # Errors
    /// When standard input cannot be read, or no word can name a job (exit code 2).
    pub fn read(tool: &str, words: &[ParsedJobRefs]) -> Result<Self, Failure> {
        let mut jobs = Self::default();
        let mut stdin_is_read = false;
        for word in words {
            if !word.is_stdin() {
                jobs.add(word);
            } else if !std::mem::replace(&mut stdin_is_read, true) {
                let mut bytes = Vec::new();
                std::io::stdin()
                    .lock()
                    .take(MAX_BYTES + 1)
                    .read_to_end(&mut bytes)
                    .map_err(|e| Failure::failed(format!("reading the jobs from standard input: {e}")))?;
                // A source may have no end.
                if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
                    return Err(Failure::usage("standard input has more than 64 MiB of jobs"));
                }
                ParsedJobRefs::in_text(&String::from_utf8_lossy(&bytes)).for_each(|word| jobs.add(&word));
            }
        }
        match jobs.malformed.split_last() {
            Some((last, others)) if jobs.references.is_empty() => {
                others.iter().for_each(|failure| failure.report(tool));
                Err(last.clone())
            }
            _ => Ok(jobs),
        }
    }

    fn add(&mut self, word: &ParsedJobRefs) {
        for reference in &word.0 {
            match reference {
                Ok(reference) => self.references.push(reference.clone()),
                Err(malformed) => self.malformed.push(Failure::usage(malformed.to_string())),
            }
        }
    }

    /// Whether one of the words is `last`.
    pub fn has_last(&self) -> bool {
        self.references.iter().any(JobRef::is_last)
    }

    /// Whether standard input named no job.
    pub fn is_empty(&self) -> bool {
        self.references.is_empty()
    }

    /// The IDs of the jobs, which Batch may not have.
    ///
    /// # Errors
    /// As [`batch::resolve_ids`], and when a word names no job.
    pub async fn resolve(self, session: &Session, of_task: Option<u32>) -> Result<Vec<JobId>, Failure> {
        match self.malformed.into_iter().next() {
            Some(failure) => Err(failure),
            None => batch::resolve_ids(session, &self.references, of_task).await,
        }
    }

    /// The jobs as Batch has them, each once, and a failure for each of the others.
    ///
    /// # Errors
    /// As [`batch::resolve_jobs`].
    pub async fn find(self, session: &Session, of_task: Option<u32>) -> Result<ResolvedJobs, Failure> {
        let mut found = batch::resolve_jobs(session, &self.references, of_task).await?;
        let mut seen = HashSet::new();
        found.jobs.retain(|job| seen.insert(job.job_id.clone()));
        found.failures.splice(0..0, self.malformed);
        Ok(found)
    }
}
