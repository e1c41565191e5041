//! How the server of a home is reached.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::host_id::HostId;
use crate::constants::REGION;

/// How to reach the local cluster: everything that an AWS client needs to know.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    /// `http://127.0.0.1:PORT`, for every service.
    pub endpoint_url: String,
    /// The region to sign for.
    pub region: String,
    /// The access key ID of this home.
    pub access_key_id: String,
    /// The secret access key of this home.
    pub secret_access_key: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint_url", &self.endpoint_url)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// The content of `endpoint.json`: how to reach the server that last ran here. The credentials and,
/// where it is free, the port stay the same over restarts, so that exported variables stay valid.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The TCP port on 127.0.0.1.
    pub port: u16,
    /// The server's process; meaningful only while the server's lock is held.
    pub pid: u32,
    /// When the server started, in milliseconds since the epoch.
    pub started_at: i64,
    /// The machine whose 127.0.0.1 it is. Earlier versions did not say, and knew of one only.
    #[serde(default = "HostId::here")]
    pub machine: HostId,
    /// The owner's access key ID.
    pub access_key_id: String,
    /// The owner's secret access key.
    pub secret_access_key: String,
    /// The secret that the keys of jobs are derived from.
    #[serde(default)]
    pub jobs_secret: String,
}

impl Endpoint {
    /// The part of it that a client needs.
    pub fn connection(&self) -> Connection {
        Connection {
            endpoint_url: format!("http://127.0.0.1:{}", self.port),
            region: REGION.to_owned(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_never_shows_its_secret() {
        let connection = Connection {
            endpoint_url: "http://127.0.0.1:1".into(),
            region: REGION.into(),
            access_key_id: "AKID".into(),
            secret_access_key: "hush".into(),
        };
        assert!(!format!("{connection:?}").contains("hush"));
    }
}
