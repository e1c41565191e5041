//! What the object of a key says.

use serde::{Deserialize, Serialize};

use super::{Millis, Place, Random, Submitted};
use awsb_model::SubmissionId;

/// Who has taken a key, and for which jobs. The object is JSON, for people too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The key as it was given: the object's name has its digest alone.
    pub key: String,
    /// The process that has written this last: its own, for nobody but itself.
    pub holder: String,
    /// Grows with each writing, so that no two are the same (their ETags would be).
    pub beat: u64,
    /// Who that was, `user@host`, for people.
    pub by: String,
    /// When the marks were made, in milliseconds since the epoch: no job with them is older.
    pub since: Millis,
    /// When this was written.
    pub written: Millis,
    /// One for each request, in order. None: the key is free, as its holder's jobs were refused.
    pub jobs: Vec<Entry>,
}

/// One of the jobs of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
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

/// Who takes a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The key.
    pub key: String,
    /// What tells this process from all others.
    pub id: String,
    /// `user@host`, for people.
    pub by: String,
}

/// How far the jobs of a key have got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Anybody may take it.
    Free,
    /// Its holder is submitting, or died in the middle.
    Held,
    /// All have been submitted.
    Submitted(Vec<Submitted>),
}

impl Entry {
    /// One that is about to be submitted, with a mark of its own.
    fn new(place: &Place, random: &mut Random) -> Self {
        Self {
            mark: random.mark(),
            job_name: place.name.clone(),
            job_queue: place.queue.clone(),
            job_id: None,
            job_arn: None,
        }
    }

    /// Where its job is looked for.
    pub fn place(&self) -> Place {
        Place { queue: self.job_queue.clone(), name: self.job_name.clone() }
    }

    /// The job, once it is known.
    pub fn submitted(&self) -> Option<Submitted> {
        Some(Submitted {
            job_arn: self.job_arn.clone(),
            job_name: self.job_name.clone(),
            job_id: self.job_id.clone()?,
        })
    }

    /// Notes the job.
    pub fn set(&mut self, job: &Submitted) {
        self.job_id = Some(job.job_id.clone());
        self.job_arn.clone_from(&job.job_arn);
    }
}

impl Record {
    /// The record of whoever takes a key anew, at `now`, for jobs that are looked for at these
    /// places.
    pub fn new(holder: &Holder, now: Millis, places: &[Place], random: &mut Random) -> Self {
        let Holder { key, id, by } = holder.clone();
        let jobs = places.iter().map(|place| Entry::new(place, random)).collect();
        Self { key, holder: id, beat: 0, by, since: now, written: now, jobs }
    }

    /// How far its jobs have got.
    pub fn stage(&self) -> Stage {
        match self.jobs.iter().map(Entry::submitted).collect::<Option<Vec<_>>>() {
            Some(jobs) if jobs.is_empty() => Stage::Free,
            Some(jobs) => Stage::Submitted(jobs),
            None => Stage::Held,
        }
    }

    /// Whether its entries are, one by one, those of requests that are looked for at these places.
    pub fn is_of(&self, places: &[Place]) -> bool {
        self.jobs.len() == places.len() && self.jobs.iter().zip(places).all(|(e, p)| e.place() == *p)
    }

    /// The record, written once more, at `now`.
    pub fn beat(&mut self, now: Millis) {
        self.beat += 1;
        self.written = now;
    }

    /// A fresh record in the place of this one.
    #[must_use]
    pub fn replaced(&self, fresh: Self) -> Self {
        Self { beat: self.beat + 1, ..fresh }
    }

    /// The same jobs with another holder: of those that are not there, each keeps its mark, so that
    /// it is seen when the holder before was only slow.
    #[must_use]
    pub fn taken_over(&self, fresh: Self) -> Self {
        Self { since: self.since, jobs: self.jobs.clone(), beat: self.beat + 1, ..fresh }
    }

    /// The jobs anew, in the place of the ones that have `failed`; the others are kept.
    #[must_use]
    pub fn anew(&self, fresh: Self, failed: &[String]) -> Self {
        let has_failed =
            |entry: &Entry| entry.job_id.as_ref().is_none_or(|id| failed.iter().any(|failed| failed == id));
        let pairs = self.jobs.iter().zip(fresh.jobs);
        let jobs = pairs.map(|(old, new)| if has_failed(old) { new } else { old.clone() }).collect();
        Self { jobs, beat: self.beat + 1, ..fresh }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        Place { name: name.into(), queue: "q".into() }
    }

    fn record(names: &[&str]) -> Record {
        let places: Vec<Place> = names.iter().map(|name| place(name)).collect();
        let holder = Holder { key: "k".into(), id: "h".into(), by: "me@here".into() };
        Record::new(&holder, 1, &places, &mut Random::new(uuid::Uuid::new_v4().as_u128()))
    }

    fn job(id: &str) -> Submitted {
        Submitted { job_arn: None, job_name: "n".into(), job_id: id.into() }
    }

    #[test]
    fn a_record_is_read_as_it_is_written() {
        let mut record = record(&["a", "b"]);
        record.jobs[0].set(&job("1"));
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
    }

    #[test]
    fn a_key_is_held_until_all_of_its_jobs_are_there() {
        let mut record = record(&["a", "b"]);
        assert_eq!(record.stage(), Stage::Held);
        record.jobs[0].set(&job("1"));
        assert_eq!(record.stage(), Stage::Held);
        record.jobs[1].set(&job("2"));
        assert!(matches!(record.stage(), Stage::Submitted(jobs) if jobs.len() == 2));
        record.jobs.clear();
        assert_eq!(record.stage(), Stage::Free);
    }

    #[test]
    fn a_taker_goes_on_with_the_marks_and_the_jobs_that_are_there() {
        let mut old = record(&["a", "b"]);
        old.jobs[0].set(&job("1"));
        let fresh = record(&["a", "b"]);
        let taken = old.taken_over(fresh.clone());
        assert_eq!((taken.by, taken.since, &taken.jobs), (fresh.by, old.since, &old.jobs));
        assert!(taken.beat > old.beat);
        assert!(old.is_of(&[place("a"), place("b")]));
        assert!(!old.is_of(&[place("a")]) && !old.is_of(&[place("b"), place("a")]));
    }

    #[test]
    fn failed_jobs_get_new_marks_and_the_others_stay() {
        let mut old = record(&["a", "b"]);
        old.jobs[0].set(&job("1"));
        old.jobs[1].set(&job("2"));
        let anew = old.anew(record(&["a", "b"]), &["2".to_owned()]);
        assert_eq!(anew.jobs[0], old.jobs[0]);
        assert_ne!(anew.jobs[1].mark, old.jobs[1].mark);
        assert_eq!(anew.stage(), Stage::Held);
    }
}
