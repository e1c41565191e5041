//! The local cluster: AWS Batch, S3, CloudWatch Logs and what they need of ECS, EC2 and STS, on this
//! machine,
//! really running the jobs.
//!
//! One server per *home* folder listens on one port of 127.0.0.1. The way of a job through it:
//!
//! ```text
//! request -> http (signature) -> batch::api (validation) -> batch::engine (one writer)
//!         -> batch::machine (pure) -> batch::store (SQLite) -> runner (a process of its own) -> logs (files)
//! ```
//!
//! | module     | what lives there                                                                    |
//! |------------|-------------------------------------------------------------------------------------|
//! | [`home`]   | the folder: where everything is, credentials, the lock of the one server             |
//! | `contents` | which folder is a home, the names that are given in one, and how they go             |
//! | `launch`   | finding the running server, starting one, stopping it                                |
//! | `reset`    | ending and removing everything, whatever state it is in                              |
//! | `processes` | the processes of a home, found without its files                                    |
//! | `settings` | what the user has set about its size and memory                                    |
//! | `space`    | what is said when the disk is full, and the reserve for that case                    |
//! | [`server`] | the server's story from start to stop                                                |
//! | `connections` | how many of them there are at once, and which one gives way                    |
//! | `access`   | who may do what: the keys of the owner and of each attempt, the table of operations  |
//! | `http`     | one port: signatures, which service is meant, how each protocol says no              |
//! | `s3`       | S3: the protocol is the `s3s` crate's, the store is ours                             |
//! | `batch`    | Batch: the API, the pure state machine, the scheduler, the database, the actor       |
//! | `logs`     | CloudWatch Logs: groups, streams, their events, and the API over them                |
//! | `ecs`      | ECS: this machine as the one container instance                                      |
//! | `ec2`      | EC2: what that instance is                                                            |
//! | `sts`      | STS: who one is                                                                      |
//! | [`runner`] | the process that owns a job, outlives the server, and writes down what happened      |
//! | `docker`   | the Docker engine: finding it, networks, what is left behind on it                   |
//! | `containers` | the server's part in containers: their network, and where they reach the server    |
//!
//! The tools need only this file: [`connect`] gives the endpoint and the credentials of the running
//! server, and starts one when none runs.

/// Tells whoever runs the server something: a line on stderr, which is the log of a server in the
/// background. A log that cannot be written (a full disk) must not stop the server, as `eprintln` would.
macro_rules! note {
    ($($message:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "blocal: {}", format_args!($($message)*));
    }};
}

pub mod home;
pub mod runner;
pub mod server;

mod access;
mod batch;
mod capacity;
mod cluster;
mod connections;
mod containers;
mod contents;
mod control;
mod docker;
mod ec2;
mod ecs;
mod error;
mod failure;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod http;
mod launch;
mod logs;
mod lossy;
mod machine;
mod process;
mod processes;
mod reset;
mod s3;
mod settings;
mod space;
mod sts;

use std::fmt;

pub use access::operation;
pub use cluster::{Builder, LocalCluster};
pub use control::{JobCounts, Revoked, Rotated, Status};
pub use failure::LocalError;
pub use home::Home;
pub use launch::{Program, Started, rotate, set, start, status, stop};
pub use reset::{Tell, reset};
pub use settings::Settings;

/// The region that the local cluster says it is in.
pub const REGION: &str = "us-east-1";
/// The account that the local cluster's ARNs name.
pub const ACCOUNT: &str = "000000000000";
/// The job queue that is there from the start.
pub const QUEUE: &str = "local";
/// The compute environment that is there from the start: this machine.
pub const COMPUTE_ENVIRONMENT: &str = "local";
/// The job definition that is there from the start; its image is [`HOST_IMAGE`].
pub const JOB_DEFINITION: &str = "local";
/// The bucket that is there from the start.
pub const BUCKET: &str = "awsb-local";
/// What the keys of the tools' objects there begin with.
pub const PREFIX: &str = "awsb";
/// What the access key IDs of local clusters begin with: it tells the exports of `blocal env` from keys
/// of AWS, which begin with `A3T`, `AKIA`, `ASIA` and the like.
pub const ACCESS_KEY_PREFIX: &str = "AWSBLOCAL";
/// The log group of the jobs, as on AWS (User Guide, `using_cloudwatch_logs`).
pub const LOG_GROUP: &str = "/aws/batch/job";
/// The image name that means: a process of the user, no container.
pub const HOST_IMAGE: &str = "host";

/// How to reach the local cluster: what an AWS client needs to know.
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

/// A local cluster that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// How to reach it.
    pub connection: Connection,
    /// What it found to be lost when it was started for this, a line each.
    pub warnings: Vec<String>,
}

impl From<Connection> for Connected {
    fn from(connection: Connection) -> Self {
        Self { connection, warnings: Vec::new() }
    }
}

/// The connection to the running local cluster; starts one in the background when none answers.
///
/// Costs about a millisecond when one runs. Any number of tools may call this at the same moment:
/// they all join one server.
///
/// # Errors
/// When the home folder cannot be used, or a server cannot be started there.
pub async fn connect(program: Program) -> Result<Connected, LocalError> {
    let home = Home::find()?;
    // What is wrong with the home, if anything, is told by `start`, which may also put it right.
    if let Ok(Some(connection)) = launch::answering(&home) {
        return Ok(connection.into());
    }
    if let Some(connection) = enclosing(|name| std::env::var(name).ok())
        && !home.path().exists()
    {
        return Ok(connection.into());
    }
    let started = tokio::task::spawn_blocking(move || launch::start(&home, &program))
        .await
        .map_err(|e| LocalError::failed(format!("starting the local cluster: {e}")))??;
    Ok(Connected { connection: started.connection, warnings: started.warnings })
}

/// The connection that a job in a container finds in its environment: the cluster that runs it is the
/// local cluster there, where no home is.
fn enclosing(variable: impl Fn(&str) -> Option<String>) -> Option<Connection> {
    // Who names a home means that one.
    if variable(home::HOME_VARIABLE).is_some() {
        return None;
    }
    let access_key_id = variable("AWS_ACCESS_KEY_ID").filter(|id| id.starts_with(ACCESS_KEY_PREFIX))?;
    Some(Connection {
        endpoint_url: variable("AWS_ENDPOINT_URL").filter(|url| !url.is_empty())?,
        region: variable("AWS_REGION").unwrap_or_else(|| REGION.to_owned()),
        access_key_id,
        secret_access_key: variable("AWS_SECRET_ACCESS_KEY")?,
    })
}

/// The connection to the local cluster if it runs; never starts one.
pub fn running() -> Option<Connection> {
    launch::answering(&Home::find().ok()?).ok()?
}

/// Milliseconds since the epoch, the unit in which AWS Batch and CloudWatch Logs give times.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_container_the_environment_says_where_the_cluster_is() {
        let exported = |more: &[(&'static str, &'static str)]| {
            let mut all = vec![
                ("AWS_ENDPOINT_URL", "http://172.18.0.1:1"),
                ("AWS_ACCESS_KEY_ID", "AWSBLOCAL0"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
            ];
            all.extend_from_slice(more);
            enclosing(|name| all.iter().rfind(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
        };
        assert_eq!(exported(&[]).unwrap().endpoint_url, "http://172.18.0.1:1");
        assert_eq!(exported(&[(home::HOME_VARIABLE, "/h")]), None);
        assert_eq!(exported(&[("AWS_ACCESS_KEY_ID", "AKIA0")]), None);
        assert_eq!(exported(&[("AWS_ENDPOINT_URL", "")]), None);
    }

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
