//! The key pairs, and the secrets that they are derived from. Pure.
//!
//! An attempt's key pair is not stored. Its access key ID names the attempt, and its secret access
//! key is derived from that ID and from one secret of the home. So a new server knows the keys of
//! all runners that have outlived the last one.

use std::fmt;

use crate::constants::ACCESS_KEY_PREFIX;
use crate::home::endpoint::Endpoint;
use crate::runner::protocol::{AttemptId, SECRET_DIGITS, SECRET_PREFIX};

/// A key pair that requests are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The access key ID.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Where a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// As a process of the user.
    Host,
    /// In a container.
    Container,
}

impl Placement {
    /// The part of access key IDs between the prefix and the attempt's ID.
    fn letter(self) -> &'static str {
        match self {
            Self::Host => "H",
            Self::Container => "C",
        }
    }
}

/// The owner's key pair, and the secret that all other keys are derived from.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyMaterial {
    /// The owner's key pair.
    pub owner: Credentials,
    /// The secret that the keys of attempts are derived from.
    pub jobs: String,
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMaterial").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl KeyMaterial {
    /// The key material in the file of a home.
    pub fn of(endpoint: &Endpoint) -> Self {
        let owner = Credentials {
            access_key_id: endpoint.access_key_id.clone(),
            secret_access_key: endpoint.secret_access_key.clone(),
        };
        Self { owner, jobs: endpoint.jobs_secret.clone() }
    }

    /// The key pair of an attempt.
    pub fn of_attempt(&self, attempt_id: &AttemptId, place: Placement) -> Credentials {
        let access_key_id = access_key_id(attempt_id, place);
        let mac = aws_sigv4::sign::v4::calculate_signature(self.jobs.as_bytes(), access_key_id.as_bytes());
        let secret_access_key = format!("{SECRET_PREFIX}{}", mac.get(..SECRET_DIGITS).unwrap_or(&mac));
        Credentials { access_key_id, secret_access_key }
    }

    /// The part of the URL of an attempt's metadata that nobody else can know. The ID of the
    /// attempt is not one: it is in the name of the container, which every container of the network
    /// can ask the engine's name server for.
    pub fn metadata_token(&self, attempt_id: &AttemptId) -> String {
        // No access key ID has a space, so this is no secret access key.
        let text = format!("metadata of {attempt_id}");
        aws_sigv4::sign::v4::calculate_signature(self.jobs.as_bytes(), text.as_bytes())
    }
}

fn access_key_id(attempt_id: &AttemptId, place: Placement) -> String {
    format!("{ACCESS_KEY_PREFIX}{}{}", place.letter(), attempt_id.as_str().to_ascii_uppercase())
}

/// The explanation for a job's key that is not valid.
pub const OF_AN_ENDED_JOB: &str =
    "it is the key of a job that has ended, or whose key `blocal rotate --jobs` has revoked";

/// The attempt and the place that an access key ID names, if it is an attempt's.
pub fn attempt_of(access_key_id: &str) -> Option<(AttemptId, Placement)> {
    let rest = access_key_id.strip_prefix(ACCESS_KEY_PREFIX)?;
    let (digits, place) = [Placement::Host, Placement::Container]
        .into_iter()
        .find_map(|place| Some((rest.strip_prefix(place.letter())?, place)))?;
    let is_upper = !digits.bytes().any(|b| b.is_ascii_lowercase());
    Some((AttemptId::parse(digits.to_ascii_lowercase()).filter(|_| is_upper)?, place))
}

/// An access key ID for the owner: twenty letters and digits, as AWS's are; the prefix says whose
/// it is.
pub fn new_access_key_id() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string().to_uppercase();
    format!("{ACCESS_KEY_PREFIX}{}", &random[..11])
}

/// A secret of at least 152 random bits, which runners know when they see it.
pub fn new_secret() -> String {
    let random = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    format!("{SECRET_PREFIX}{}", &random[..SECRET_DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_key_ids_name_attempts() {
        let attempt_id = AttemptId::random();
        for place in [Placement::Host, Placement::Container] {
            assert_eq!(attempt_of(&access_key_id(&attempt_id, place)), Some((attempt_id.clone(), place)));
        }
        let good = access_key_id(&attempt_id, Placement::Host);
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
}
