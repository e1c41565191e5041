//! `containers.json`: the record of everything that this home has on Docker engines. It is written
//! before anything is made there.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::docker::network::Network;
use crate::home::contents;
use crate::home::files::CONTAINERS;

/// The content of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The home's ID: twelve hexadecimal digits that label everything of this home there.
    pub home_id: String,
    /// The addresses of the engines that have been used.
    pub engines: BTreeSet<String>,
    /// The network that containers join now.
    pub network: Option<Network>,
    /// The port at which the server listens for containers. Running containers know it.
    pub port: Option<u16>,
}

impl Default for Record {
    fn default() -> Self {
        let home_id = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
        Self { home_id, engines: BTreeSet::new(), network: None, port: None }
    }
}

/// The state of the file of a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// It was read.
    Read,
    /// There is none: the home has never had a container, or the file was removed.
    Missing,
    /// There is one that cannot be read.
    Damaged,
}

/// Reads the record of a home. A file that cannot be read counts as an empty record, and is written
/// again.
pub fn read(home: &Path) -> (Record, RecordState) {
    let read = contents::read(&home.join(CONTAINERS));
    match read.and_then(|text| serde_json::from_slice(&text).map_err(io::Error::from)) {
        Ok(record) => (record, RecordState::Read),
        Err(e) if e.kind() == io::ErrorKind::NotFound => (Record::default(), RecordState::Missing),
        Err(e) => {
            tracing::warn!("reading {CONTAINERS}: {e}");
            (Record::default(), RecordState::Damaged)
        }
    }
}

/// Writes the record of a home.
///
/// # Errors
/// When the file cannot be written.
pub fn write(home: &Path, record: &Record) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
    contents::write_private(&home.join(CONTAINERS), &text)
}
