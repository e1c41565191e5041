//! A local cluster that a test starts and stops.

use std::path::{Path, PathBuf};

use crate::Home;
use crate::client::lifecycle::{self, Program};
use crate::error::LocalError;
use crate::home::endpoint::Connection;
use crate::home::settings::Settings;

/// A local cluster in a temporary folder: AWS Batch, S3 and CloudWatch Logs for a test of one's
/// own.
///
/// The server is a process of the program `awsb`. When the value is dropped, its jobs are ended,
/// the server is stopped, and the folder is removed.
///
/// ```no_run
/// use awsb_local::LocalCluster;
///
/// # fn main() -> Result<(), awsb_local::LocalError> {
/// let cluster = LocalCluster::builder("/usr/bin/awsb").vcpus(4).start()?;
/// // Any AWS SDK takes these; the job queue and the job definition are both called `local`.
/// let connection = cluster.connection();
/// println!("{} {}", connection.endpoint_url, connection.access_key_id);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LocalCluster {
    home: Home,
    program: Program,
    connection: Connection,
    /// Removed with it, after the cluster has been stopped.
    _folder: tempfile::TempDir,
}

/// The settings of a [`LocalCluster`] before its start.
#[derive(Debug, Clone)]
pub struct Builder {
    program: Program,
    settings: Settings,
}

impl LocalCluster {
    /// A cluster whose server is this program: the path of `awsb`.
    pub fn builder(program: impl Into<PathBuf>) -> Builder {
        Builder { program: Program::At(program.into()), settings: Settings::default() }
    }

    /// How to reach it: the endpoint of all its services, the region, and the owner's credentials.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Its folder, which `AWSB_LOCAL_HOME` names for awsb's tools.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Ends its jobs, stops it and removes what it has, as dropping it does.
    ///
    /// # Errors
    /// When something cannot be ended or removed.
    pub fn stop(self) -> Result<(), LocalError> {
        self.reset()
    }

    fn reset(&self) -> Result<(), LocalError> {
        crate::reset(&self.home, &self.program, &|_| {})
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        // There is nobody left to report an error to.
        let _ = self.reset();
    }
}

impl Builder {
    /// How many vCPUs its jobs may have together; without it, as many as this machine has.
    #[must_use]
    pub fn vcpus(mut self, vcpus: u32) -> Self {
        self.settings.vcpus = Some(vcpus);
        self
    }

    /// How much memory its jobs may have together, in MiB; without it, as much as this machine has.
    #[must_use]
    pub fn memory_mib(mut self, memory_mib: u64) -> Self {
        self.settings.memory_mib = Some(memory_mib);
        self
    }

    /// Starts it, and returns when it answers.
    ///
    /// # Errors
    /// When there is no temporary folder, no such program, or the server does not come up.
    pub fn start(self) -> Result<LocalCluster, LocalError> {
        let folder = tempfile::Builder::new().prefix("awsb-local-").tempdir();
        let folder =
            folder.map_err(|e| LocalError::failed(format!("making a folder for a local cluster: {e}")))?;
        let home = Home::at(folder.path().join("home"));
        lifecycle::set(&home, |settings| *settings = self.settings)?;
        let started = lifecycle::start(&home, &self.program)?;
        Ok(LocalCluster { home, program: self.program, connection: started.connection, _folder: folder })
    }
}
