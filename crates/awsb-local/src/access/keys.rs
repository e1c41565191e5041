//! The keys that are valid now: the owner's, and one for each attempt that runs.
//!
//! The key of an attempt is valid as long as the attempt is on record as placed, and until the
//! secret that it is derived from is replaced.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use subtle::ConstantTimeEq;

use super::principal::{Attempt, Principal};
use super::secrets::{Credentials, KeyMaterial, Placement, attempt_of};
use crate::batch::JobKey;
use crate::runner::protocol::AttemptId;

/// The keys that requests may be signed with now.
#[derive(Debug)]
pub struct Keys {
    secrets: RwLock<KeyMaterial>,
    attempts: RwLock<Attempts>,
}

/// The attempts that are placed.
#[derive(Debug, Default)]
struct Attempts {
    jobs: HashMap<AttemptId, JobKey>,
    attempt_ids: HashMap<JobKey, AttemptId>,
}

impl Keys {
    /// The keys of a home in which no attempt is known to run yet.
    pub fn new(secrets: KeyMaterial) -> Self {
        Self { secrets: RwLock::new(secrets), attempts: RwLock::default() }
    }

    fn secrets(&self) -> RwLockReadGuard<'_, KeyMaterial> {
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
        let (attempt_id, place) = attempt_of(access_key_id)?;
        let attempts = self.attempts.read().unwrap_or_else(PoisonError::into_inner);
        let job = *attempts.jobs.get(&attempt_id)?;
        let credentials = secrets.of_attempt(&attempt_id, place);
        let attempt = Attempt { attempt_id, job };
        let principal = match place {
            Placement::Host => Principal::Host(attempt),
            Placement::Container => Principal::Container(attempt),
        };
        Some((principal, credentials))
    }

    /// The key pair of an attempt that is to run.
    pub fn of_attempt(&self, attempt_id: &AttemptId, place: Placement) -> Credentials {
        self.secrets().of_attempt(attempt_id, place)
    }

    /// The token of an attempt's metadata, as [`KeyMaterial::metadata_token`].
    pub fn metadata_token(&self, attempt_id: &AttemptId) -> String {
        self.secrets().metadata_token(attempt_id)
    }

    /// Whether this is the token of an attempt's metadata.
    pub fn is_metadata_token(&self, attempt_id: &AttemptId, token: &str) -> bool {
        self.metadata_token(attempt_id).as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// Replaces the secrets: from now on no request with an earlier one is good.
    pub fn replace(&self, secrets: KeyMaterial) {
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = secrets;
    }

    /// Records the attempt that a job is in now, if it is in one.
    pub fn set_attempt(&self, job: JobKey, attempt_id: Option<&AttemptId>) {
        let mut attempts = self.attempts();
        let before = match attempt_id {
            Some(attempt_id) => attempts.attempt_ids.insert(job, attempt_id.clone()),
            None => attempts.attempt_ids.remove(&job),
        };
        if let Some(before) = before {
            attempts.jobs.remove(&before);
        }
        if let Some(attempt_id) = attempt_id {
            attempts.jobs.insert(attempt_id.clone(), job);
        }
    }

    /// Records the attempts that all jobs are in now, and no others.
    pub fn set_attempts(&self, assigned: impl Iterator<Item = (JobKey, AttemptId)>) {
        let mut attempts = Attempts::default();
        for (job, attempt_id) in assigned {
            attempts.attempt_ids.insert(job, attempt_id.clone());
            attempts.jobs.insert(attempt_id, job);
        }
        *self.attempts() = attempts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::secrets::{new_access_key_id, new_secret};
    use crate::runner::protocol::SECRET_PREFIX;

    fn secrets() -> KeyMaterial {
        let owner = Credentials { access_key_id: new_access_key_id(), secret_access_key: new_secret() };
        KeyMaterial { owner, jobs: new_secret() }
    }

    #[test]
    fn a_key_is_good_while_its_attempt_is_placed() {
        let keys = Keys::new(secrets());
        let (first, second) = (AttemptId::random(), AttemptId::random());
        let (host, contained) =
            (keys.of_attempt(&first, Placement::Host), keys.of_attempt(&first, Placement::Container));
        assert_ne!(host.secret_access_key, contained.secret_access_key);
        assert_eq!(keys.find(&host.access_key_id), None);
        keys.set_attempt(JobKey(7), Some(&first));
        let attempt = Attempt { attempt_id: first.clone(), job: JobKey(7) };
        assert_eq!(keys.find(&host.access_key_id), Some((Principal::Host(attempt.clone()), host.clone())));
        assert_eq!(keys.find(&contained.access_key_id), Some((Principal::Container(attempt), contained)));
        keys.set_attempt(JobKey(7), Some(&second));
        assert_eq!(keys.find(&host.access_key_id), None, "the next attempt has a key of its own");
        keys.set_attempt(JobKey(7), None);
        assert_eq!(keys.find(&keys.of_attempt(&second, Placement::Host).access_key_id), None);
        keys.set_attempts([(JobKey(8), second.clone())].into_iter());
        assert!(keys.find(&keys.of_attempt(&second, Placement::Host).access_key_id).is_some());
        keys.set_attempts(std::iter::empty());
        assert_eq!(keys.find(&keys.of_attempt(&second, Placement::Host).access_key_id), None);
    }

    #[test]
    fn a_server_that_comes_back_knows_the_keys_of_those_that_ran() {
        let (secrets, attempt_id) = (secrets(), AttemptId::random());
        let before = Keys::new(secrets.clone()).of_attempt(&attempt_id, Placement::Container);
        let token = Keys::new(secrets.clone()).metadata_token(&attempt_id);
        let after = Keys::new(secrets);
        assert_eq!(after.of_attempt(&attempt_id, Placement::Container), before);
        assert!(after.is_metadata_token(&attempt_id, &token));
        assert!(!after.is_metadata_token(&AttemptId::random(), &token));
        assert!(!after.is_metadata_token(&attempt_id, ""));
    }

    #[test]
    fn the_owners_key_and_those_of_jobs_are_replaced_apart() {
        let (old, new) = (secrets(), secrets());
        let (keys, attempt_id) = (Keys::new(old.clone()), AttemptId::random());
        keys.set_attempt(JobKey(1), Some(&attempt_id));
        let of_job = keys.of_attempt(&attempt_id, Placement::Host);
        keys.replace(KeyMaterial { owner: new.owner.clone(), ..old.clone() });
        assert_eq!(keys.find(&old.owner.access_key_id), None);
        assert!(keys.find(&new.owner.access_key_id).is_some());
        assert_eq!(keys.find(&of_job.access_key_id).map(|(_, key)| key), Some(of_job.clone()));
        keys.replace(new);
        assert_ne!(keys.find(&of_job.access_key_id).map(|(_, key)| key), Some(of_job));
    }

    #[test]
    fn secrets_are_never_shown() {
        let keys = Keys::new(secrets());
        assert!(!format!("{keys:?}").contains(SECRET_PREFIX));
    }
}
