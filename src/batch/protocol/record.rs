//! The record of a key: the content of its object.

use serde::{Deserialize, Serialize};

use super::types::{Millis, Random, SearchTarget, Submitted};
use awsb_model::SubmissionId;

/// The holder of a key, and the jobs that the key stands for. The object is JSON, and people may
/// read it, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The key as the user gave it. The object's name has only its digest.
    pub key: String,
    /// The ID of the process that has written this version. Only the process itself recognises it.
    pub holder: String,
    /// A number that grows with each version, so that no two versions are equal. Equal versions
    /// would have equal ETags.
    pub beat: u64,
    /// The user and host of that process, `user@host`, for people.
    pub by: String,
    /// The time at which the marks were made, in milliseconds since the epoch. No job with these
    /// marks is older.
    pub since: Millis,
    /// The time at which this version was written, in milliseconds since the epoch.
    pub written: Millis,
    /// One entry for each request, in order. Without entries the key is free, because its holder's
    /// jobs were rejected.
    pub jobs: Vec<JobEntry>,
}

/// One of the jobs of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobEntry {
    /// Its mark.
    pub mark: SubmissionId,
    /// Its name.
    pub job_name: String,
    /// Its queue.
    pub job_queue: String,
    /// Its ID, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Its ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_arn: Option<String>,
}

/// A process that takes a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The key.
    pub key: String,
    /// An ID that no other process has.
    pub id: String,
    /// `user@host`, for people.
    pub by: String,
}

/// How far the jobs of a key have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// Any process may take the key.
    Free,
    /// The holder is submitting, or died in the middle.
    Held,
    /// All jobs have been submitted.
    Submitted(Vec<Submitted>),
}

impl JobEntry {
    /// The entry of a job that is about to be submitted, with a new mark.
    fn new(target: &SearchTarget, random: &mut Random) -> Self {
        Self {
            mark: random.mark(),
            job_name: target.name.clone(),
            job_queue: target.queue.clone(),
            job_id: None,
            job_arn: None,
        }
    }

    /// The queue and the name by which the job is searched for.
    pub fn target(&self) -> SearchTarget {
        SearchTarget { queue: self.job_queue.clone(), name: self.job_name.clone() }
    }

    /// The job, once its ID is known.
    pub fn submitted(&self) -> Option<Submitted> {
        Some(Submitted {
            job_arn: self.job_arn.clone(),
            job_name: self.job_name.clone(),
            job_id: self.job_id.clone()?,
        })
    }

    /// Records the job.
    pub fn set_job(&mut self, job: &Submitted) {
        self.job_id = Some(job.job_id.clone());
        self.job_arn.clone_from(&job.job_arn);
    }
}

impl Record {
    /// The record of a process that takes a key at the time `now`, with new marks, for jobs that
    /// are searched for at these targets.
    pub fn new(holder: &Holder, now: Millis, targets: &[SearchTarget], random: &mut Random) -> Self {
        let Holder { key, id, by } = holder.clone();
        let jobs = targets.iter().map(|target| JobEntry::new(target, random)).collect();
        Self { key, holder: id, beat: 0, by, since: now, written: now, jobs }
    }

    /// How far the jobs have come.
    pub fn key_state(&self) -> KeyState {
        match self.jobs.iter().map(JobEntry::submitted).collect::<Option<Vec<_>>>() {
            Some(jobs) if jobs.is_empty() => KeyState::Free,
            Some(jobs) => KeyState::Submitted(jobs),
            None => KeyState::Held,
        }
    }

    /// Whether the entries belong, one by one, to requests with these targets.
    pub fn matches(&self, targets: &[SearchTarget]) -> bool {
        self.jobs.len() == targets.len() && self.jobs.iter().zip(targets).all(|(e, p)| e.target() == *p)
    }

    /// Makes this the record's next version, written at the time `now`.
    pub fn renew(&mut self, now: Millis) {
        self.beat += 1;
        self.written = now;
    }

    /// The next version of the record, with the content of `fresh`.
    #[must_use]
    pub fn replaced_by(&self, fresh: Self) -> Self {
        Self { beat: self.beat + 1, ..fresh }
    }

    /// The next version of the record, with the same jobs and another holder. A job that does not
    /// exist yet keeps its mark, so that the job of a slow former holder is found.
    #[must_use]
    pub fn taken_over_by(&self, fresh: Self) -> Self {
        Self { since: self.since, jobs: self.jobs.clone(), beat: self.beat + 1, ..fresh }
    }

    /// The next version of the record, with new marks for the jobs in `failed`. The other jobs
    /// stay.
    #[must_use]
    pub fn resubmitting(&self, fresh: Self, failed: &[String]) -> Self {
        let has_failed = |entry: &JobEntry| {
            entry.job_id.as_ref().is_none_or(|id| failed.iter().any(|failed| failed == id))
        };
        let pairs = self.jobs.iter().zip(fresh.jobs);
        let jobs = pairs.map(|(old, new)| if has_failed(old) { new } else { old.clone() }).collect();
        Self { jobs, beat: self.beat + 1, ..fresh }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> SearchTarget {
        SearchTarget { name: name.into(), queue: "q".into() }
    }

    fn record(names: &[&str]) -> Record {
        let targets: Vec<SearchTarget> = names.iter().map(|name| target(name)).collect();
        let holder = Holder { key: "k".into(), id: "h".into(), by: "me@here".into() };
        Record::new(&holder, 1, &targets, &mut Random::new(uuid::Uuid::new_v4().as_u128()))
    }

    fn job(id: &str) -> Submitted {
        Submitted { job_arn: None, job_name: "n".into(), job_id: id.into() }
    }

    #[test]
    fn a_record_is_read_as_it_is_written() {
        let mut record = record(&["a", "b"]);
        record.jobs[0].set_job(&job("1"));
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
    }

    #[test]
    fn a_key_is_held_until_all_of_its_jobs_are_there() {
        let mut record = record(&["a", "b"]);
        assert_eq!(record.key_state(), KeyState::Held);
        record.jobs[0].set_job(&job("1"));
        assert_eq!(record.key_state(), KeyState::Held);
        record.jobs[1].set_job(&job("2"));
        assert!(matches!(record.key_state(), KeyState::Submitted(jobs) if jobs.len() == 2));
        record.jobs.clear();
        assert_eq!(record.key_state(), KeyState::Free);
    }

    #[test]
    fn a_taker_goes_on_with_the_marks_and_the_jobs_that_are_there() {
        let mut old = record(&["a", "b"]);
        old.jobs[0].set_job(&job("1"));
        let fresh = record(&["a", "b"]);
        let taken = old.taken_over_by(fresh.clone());
        assert_eq!((taken.by, taken.since, &taken.jobs), (fresh.by, old.since, &old.jobs));
        assert!(taken.beat > old.beat);
        assert!(old.matches(&[target("a"), target("b")]));
        assert!(!old.matches(&[target("a")]) && !old.matches(&[target("b"), target("a")]));
    }

    #[test]
    fn failed_jobs_get_new_marks_and_the_others_stay() {
        let mut old = record(&["a", "b"]);
        old.jobs[0].set_job(&job("1"));
        old.jobs[1].set_job(&job("2"));
        let resubmitting = old.resubmitting(record(&["a", "b"]), &["2".to_owned()]);
        assert_eq!(resubmitting.jobs[0], old.jobs[0]);
        assert_ne!(resubmitting.jobs[1].mark, old.jobs[1].mark);
        assert_eq!(resubmitting.key_state(), KeyState::Held);
    }
}
