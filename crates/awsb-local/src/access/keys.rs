//! The key pairs: the owner's, and one for each attempt that runs.
//!
//! An attempt's key pair is not stored. Its access key ID names the attempt, and its secret is made of that
//! and of one secret of the home: so a server that comes back knows the keys of all runners that have
//! outlived the last one. A key is good as long as its attempt is on record as placed, and until the
//! secret that it was made of is replaced.

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use subtle::ConstantTimeEq;

use super::{Attempt, Principal};
use crate::ACCESS_KEY_PREFIX;
use crate::batch::JobKey;
use crate::home::Endpoint;
use crate::http::Credentials;
use crate::runner::protocol::{SECRET_DIGITS, SECRET_PREFIX, TaskId};

/// Where a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// As a process of the user.
    Host,
    /// In a container.
    Container,
}

impl Place {
    /// What access key IDs have between the prefix and the attempt's ID.
    fn letter(self) -> &'static str {
        match self {
            Self::Host => "H",
            Self::Container => "C",
        }
    }
}

/// What all keys are, or are made of.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The owner's key pair.
    pub owner: Credentials,
    /// What the secrets of attempts are made of.
    pub jobs: String,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl Secrets {
    /// Those of a home, as its file has them.
    pub fn of(endpoint: &Endpoint) -> Self {
        let owner = Credentials {
            access_key_id: endpoint.access_key_id.clone(),
            secret_access_key: endpoint.secret_access_key.clone(),
        };
        Self { owner, jobs: endpoint.jobs_secret.clone() }
    }

    /// The key pair of an attempt.
    pub fn of_attempt(&self, task: &TaskId, place: Place) -> Credentials {
        let access_key_id = access_key_id(task, place);
        let mac = aws_sigv4::sign::v4::calculate_signature(self.jobs.as_bytes(), access_key_id.as_bytes());
        let secret_access_key = format!("{SECRET_PREFIX}{}", mac.get(..SECRET_DIGITS).unwrap_or(&mac));
        Credentials { access_key_id, secret_access_key }
    }
}

fn access_key_id(task: &TaskId, place: Place) -> String {
    format!("{ACCESS_KEY_PREFIX}{}{}", place.letter(), task.as_str().to_ascii_uppercase())
}

/// What is said of a job's key that is not valid.
pub const OF_AN_ENDED_JOB: &str =
    "it is the key of a job that has ended, or whose key `blocal rotate --jobs` has revoked";

/// The attempt and the place that an access key ID names, if it is an attempt's.
pub fn attempt_of(access_key_id: &str) -> Option<(TaskId, Place)> {
    let rest = access_key_id.strip_prefix(ACCESS_KEY_PREFIX)?;
    let (digits, place) = [Place::Host, Place::Container]
        .into_iter()
        .find_map(|place| Some((rest.strip_prefix(place.letter())?, place)))?;
    let is_upper = !digits.bytes().any(|b| b.is_ascii_lowercase());
    Some((TaskId::parse(digits.to_ascii_lowercase()).filter(|_| is_upper)?, place))
}

/// An access key ID for the owner: twenty letters and digits, as AWS's are; the prefix says whose it is.
pub fn new_access_key_id() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string().to_uppercase();
    format!("{ACCESS_KEY_PREFIX}{}", &random[..11])
}

/// A secret of at least 152 random bits, which runners know when they see it.
pub fn new_secret() -> String {
    let random = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    format!("{SECRET_PREFIX}{}", &random[..SECRET_DIGITS])
}

/// The keys that requests may be signed with now.
#[derive(Debug)]
pub struct Keys {
    secrets: RwLock<Secrets>,
    attempts: RwLock<Attempts>,
}

/// The attempts that are placed.
#[derive(Debug, Default)]
struct Attempts {
    jobs: HashMap<TaskId, JobKey>,
    tasks: HashMap<JobKey, TaskId>,
}

impl Keys {
    /// The keys of a home in which no attempt is known to run yet.
    pub fn new(secrets: Secrets) -> Self {
        Self { secrets: RwLock::new(secrets), attempts: RwLock::default() }
    }

    fn secrets(&self) -> RwLockReadGuard<'_, Secrets> {
        self.secrets.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn attempts(&self) -> RwLockWriteGuard<'_, Attempts> {
        self.attempts.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose access key ID this is, and the key pair.
    pub fn find(&self, access_key_id: &str) -> Option<(Principal, Credentials)> {
        let secrets = self.secrets();
        if bool::from(access_key_id.as_bytes().ct_eq(secrets.owner.access_key_id.as_bytes())) {
            return Some((Principal::Owner, secrets.owner.clone()));
        }
        let (task, place) = attempt_of(access_key_id)?;
        let attempts = self.attempts.read().unwrap_or_else(PoisonError::into_inner);
        let job = *attempts.jobs.get(&task)?;
        let credentials = secrets.of_attempt(&task, place);
        let attempt = Attempt { task, job };
        let principal = match place {
            Place::Host => Principal::Host(attempt),
            Place::Container => Principal::Container(attempt),
        };
        Some((principal, credentials))
    }

    /// The key pair of an attempt that is to run.
    pub fn of_attempt(&self, task: &TaskId, place: Place) -> Credentials {
        self.secrets().of_attempt(task, place)
    }

    /// Replaces the secrets: from now on no request with an earlier one is good.
    pub fn replace(&self, secrets: Secrets) {
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = secrets;
    }

    /// The attempt that a job is in now, if it is in one.
    pub fn place(&self, job: JobKey, task: Option<&TaskId>) {
        let mut attempts = self.attempts();
        let before = match task {
            Some(task) => attempts.tasks.insert(job, task.clone()),
            None => attempts.tasks.remove(&job),
        };
        if let Some(before) = before {
            attempts.jobs.remove(&before);
        }
        if let Some(task) = task {
            attempts.jobs.insert(task.clone(), job);
        }
    }

    /// The attempts that all jobs are in; no others are.
    pub fn place_all(&self, placed: impl Iterator<Item = (JobKey, TaskId)>) {
        let mut attempts = Attempts::default();
        for (job, task) in placed {
            attempts.tasks.insert(job, task.clone());
            attempts.jobs.insert(task, job);
        }
        *self.attempts() = attempts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let owner = Credentials { access_key_id: new_access_key_id(), secret_access_key: new_secret() };
        Secrets { owner, jobs: new_secret() }
    }

    #[test]
    fn a_key_is_good_while_its_attempt_is_placed() {
        let keys = Keys::new(secrets());
        let (first, second) = (TaskId::random(), TaskId::random());
        let (host, contained) =
            (keys.of_attempt(&first, Place::Host), keys.of_attempt(&first, Place::Container));
        assert_ne!(host.secret_access_key, contained.secret_access_key);
        assert_eq!(keys.find(&host.access_key_id), None);
        keys.place(JobKey(7), Some(&first));
        let attempt = Attempt { task: first.clone(), job: JobKey(7) };
        assert_eq!(keys.find(&host.access_key_id), Some((Principal::Host(attempt.clone()), host.clone())));
        assert_eq!(keys.find(&contained.access_key_id), Some((Principal::Container(attempt), contained)));
        keys.place(JobKey(7), Some(&second));
        assert_eq!(keys.find(&host.access_key_id), None, "the next attempt has a key of its own");
        keys.place(JobKey(7), None);
        assert_eq!(keys.find(&keys.of_attempt(&second, Place::Host).access_key_id), None);
        keys.place_all([(JobKey(8), second.clone())].into_iter());
        assert!(keys.find(&keys.of_attempt(&second, Place::Host).access_key_id).is_some());
        keys.place_all(std::iter::empty());
        assert_eq!(keys.find(&keys.of_attempt(&second, Place::Host).access_key_id), None);
    }

    #[test]
    fn a_server_that_comes_back_knows_the_keys_of_those_that_ran() {
        let (secrets, task) = (secrets(), TaskId::random());
        let before = Keys::new(secrets.clone()).of_attempt(&task, Place::Container);
        assert_eq!(Keys::new(secrets).of_attempt(&task, Place::Container), before);
    }

    #[test]
    fn the_owners_key_and_those_of_jobs_are_replaced_apart() {
        let (old, new) = (secrets(), secrets());
        let (keys, task) = (Keys::new(old.clone()), TaskId::random());
        keys.place(JobKey(1), Some(&task));
        let of_job = keys.of_attempt(&task, Place::Host);
        keys.replace(Secrets { owner: new.owner.clone(), ..old.clone() });
        assert_eq!(keys.find(&old.owner.access_key_id), None);
        assert!(keys.find(&new.owner.access_key_id).is_some());
        assert_eq!(keys.find(&of_job.access_key_id).map(|(_, key)| key), Some(of_job.clone()));
        keys.replace(new);
        assert_ne!(keys.find(&of_job.access_key_id).map(|(_, key)| key), Some(of_job));
    }

    #[test]
    fn access_key_ids_name_attempts() {
        let task = TaskId::random();
        for place in [Place::Host, Place::Container] {
            assert_eq!(attempt_of(&access_key_id(&task, place)), Some((task.clone(), place)));
        }
        let good = access_key_id(&task, Place::Host);
        for bad in [
            String::new(),
            new_access_key_id(),
            good.to_lowercase(),
            format!("{good}0"),
            good[..40].to_owned(),
            good.replacen(ACCESS_KEY_PREFIX, "AKIA", 1),
            good.replacen("LOCALH", "LOCALX", 1),
        ] {
            assert_eq!(attempt_of(&bad), None, "{bad}");
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        let keys = Keys::new(secrets());
        assert!(!format!("{keys:?}").contains(SECRET_PREFIX));
    }
}
