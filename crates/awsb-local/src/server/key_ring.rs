//! The keys of a home, and the file that stores them.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::access::secrets::{new_access_key_id, new_secret};
use crate::access::{KeyMaterial, Keys};
use crate::home::Home;
use crate::home::endpoint::Endpoint;

/// The keys that are valid, and where they are stored.
pub struct KeyRing {
    home: Home,
    keys: Arc<Keys>,
    endpoint: Mutex<Endpoint>,
}

impl KeyRing {
    /// The keys of the server with this endpoint.
    pub fn new(home: Home, keys: Arc<Keys>, endpoint: Endpoint) -> Self {
        Self { home, keys, endpoint: Mutex::new(endpoint) }
    }

    /// Writes how to reach the server, with the keys that are valid now.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self) -> io::Result<()> {
        self.home.set_endpoint(&self.endpoint.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the owner's key, and with `jobs` the secret that the keys of jobs are derived from.
    /// The new ones are on the disk before they are valid. Returns the owner's new access key ID.
    ///
    /// # Errors
    /// When the file cannot be written; then the old keys stay valid.
    pub fn rotate(&self, jobs: bool) -> io::Result<String> {
        let mut endpoint = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = endpoint.clone();
        (new.access_key_id, new.secret_access_key) = (new_access_key_id(), new_secret());
        if jobs {
            new.jobs_secret = new_secret();
        }
        self.home.set_endpoint(&new)?;
        self.keys.replace(KeyMaterial::of(&new));
        *endpoint = new;
        Ok(endpoint.access_key_id.clone())
    }
}
