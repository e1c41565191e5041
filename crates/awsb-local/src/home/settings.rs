//! The settings of the local cluster: its size, and its retention.
//!
//! `blocal start` and `blocal serve` set it; it stays in the home, so that a server that a tool
//! starts on demand is the same cluster.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::contents;
use super::files::SETTINGS;
use crate::capacity::{self, Resources};

/// The default retention of ended jobs and their logs. AWS stores jobs for at least 7 days (User
/// Guide, job_states).
const RETENTION_DAYS: u32 = 30;

/// The settings; `None` means the size of the machine, or the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// vCPUs of the machine that jobs may have.
    pub vcpus: Option<u32>,
    /// Memory that jobs may have, in MiB.
    pub memory_mib: Option<u64>,
    /// GPUs that jobs may have.
    pub gpus: Option<u32>,
    /// The retention of ended jobs and their logs, in days.
    pub retention_days: Option<u32>,
}

impl Settings {
    /// Reads the settings of a home.
    ///
    /// # Errors
    /// When the file cannot be read, or is none of ours.
    pub fn read(home: &Path) -> io::Result<Self> {
        let path = home.join(SETTINGS);
        let text = match contents::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(io::Error::other(format!("{}: {e}", path.display()))),
        };
        serde_json::from_slice(&text).map_err(|e| io::Error::other(format!("{}: {e}", path.display())))
    }

    /// Keeps them in a home: whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, home: &Path) -> io::Result<()> {
        let new = home.join(format!("{SETTINGS}.new"));
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        let _ = fs::remove_file(&new);
        let mut file = contents::open_to_write(OpenOptions::new().create_new(true).write(true), &new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, home.join(SETTINGS))
    }

    /// The resources that jobs may have: those of the settings, else those of the machine.
    pub fn capacity(&self) -> Resources {
        let machine = capacity::capacity();
        Resources {
            vcpus: self.vcpus.unwrap_or(machine.vcpus),
            memory_mib: self.memory_mib.unwrap_or(machine.memory_mib),
            gpus: self.gpus.unwrap_or(machine.gpus),
        }
    }

    /// The retention of ended jobs and their logs, in milliseconds.
    pub fn retention_ms(&self) -> i64 {
        i64::from(self.retention_days.unwrap_or(RETENTION_DAYS)) * 24 * 60 * 60 * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_stays_and_the_rest_is_the_machines() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(Settings::read(home.path()).unwrap(), Settings::default());
        let settings = Settings { vcpus: Some(3), retention_days: Some(1), ..Settings::default() };
        settings.write(home.path()).unwrap();
        assert_eq!(Settings::read(home.path()).unwrap(), settings);
        assert_eq!(settings.capacity(), Resources { vcpus: 3, ..capacity::capacity() });
        assert_eq!(settings.retention_ms(), 86_400_000);
        fs::write(home.path().join(SETTINGS), "{\"vcpu\": 3}").unwrap();
        assert!(Settings::read(home.path()).unwrap_err().to_string().contains("settings.json"));
    }
}
