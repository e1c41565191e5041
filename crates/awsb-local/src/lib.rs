//! The local cluster: AWS Batch, S3, CloudWatch Logs and what they need of ECS, EC2 and STS, on
//! this machine, really running the jobs.
//!
//! One server per *home* folder listens on one port of 127.0.0.1. The way of a job through it:
//!
//! ```text
//! request -> http (signature) -> batch::api (validation) -> batch::engine (one writer)
//!         -> batch::state (pure) -> batch::store (SQLite) -> runner (a process of its own)
//!         -> logs (files)
//! ```
//!
//! | module       | contents                                                                          |
//! |--------------|-----------------------------------------------------------------------------------|
//! | [`client`]   | everything that the tools need: finding the server, starting it, asking it        |
//! | `reset`      | ending and removing everything, whatever state it is in                            |
//! | `embedded`   | a local cluster for a test of one's own                                            |
//! | [`server`]   | the server: bind, serve, shutdown                                                  |
//! | `http`       | one port: signatures, services, and the errors of each protocol                    |
//! | `batch`      | Batch: the API, the pure state machine, the scheduler, the database, the engine    |
//! | `logs`       | CloudWatch Logs: groups, streams, their events, and the API over them              |
//! | `s3`         | S3: the protocol is the `s3s` crate's, the store is our own                        |
//! | `ecs`        | ECS: this machine as the one container instance                                    |
//! | `ec2`        | EC2: the description of that instance                                              |
//! | `cloudformation` | CloudFormation: stacks of queues, environments, buckets and what belongs to them |
//! | `ssm`        | Systems Manager: sessions with the ports of jobs                                    |
//! | `sts`        | STS: the identity of the caller                                                    |
//! | [`sessions`] | commands that run beside a job, and ports of a job that are forwarded              |
//! | `containers` | the server's part in containers: their network, and the address of the server      |
//! | `docker`     | the Docker engine: networks, and the removal of leftovers                          |
//! | `access`     | permissions: the keys of the owner and of each attempt, the table of operations    |
//! | `database`   | SQLite: opening, schema versions, and finding losses                               |
//! | [`runner`]   | the process that owns a job, outlives the server, and records what happens         |
//! | `home`       | the folder: its files, their names, the lock of the one server, settings, space    |
//! | `capacity`   | the size of this machine                                                           |
//! | `process`    | processes of this machine: stopped ones, and limits                                |
//! | `processes`  | the processes of a home, found without its files                                   |
//!
//! The tools need only [`client`]: [`connect`] gives the endpoint and the credentials of the
//! running server, and starts one when none runs.

#[doc(hidden)]
pub mod bench;
pub mod client;
pub mod runner;
pub mod server;
pub mod sessions;

mod access;
mod batch;
mod capacity;
mod cloudformation;
mod constants;
mod containers;
mod database;
mod docker;
mod ec2;
mod ecs;
mod embedded;
mod error;
mod home;
mod http;
mod log;
mod logs;
mod process;
mod processes;
mod progress;
mod reset;
mod s3;
mod ssm;
mod sts;
mod time;

/// Parts that the fuzz targets (`fuzz/`) call. They are not an API: any of them may change at any
/// time.
#[doc(hidden)]
pub mod internals {
    pub use crate::access::{Credentials, KeyMaterial, Keys};
    pub use crate::batch::request;
    pub use crate::cloudformation::plan_template;
    pub use crate::home::files::OBJECTS;
    pub use crate::http::body::json_object;
    pub use crate::http::signature;
    pub use crate::logs::pattern::Pattern;
    pub use crate::s3::{LocalS3, Store, follow};
}

pub use access::operation;
pub use client::control::{JobCounts, Revoked, Rotated, Status};
pub use client::lifecycle::last_error;
pub use client::lifecycle::{Program, Started, Stopped, rotate, set, start, status, stop};
pub use client::{Connected, connect, running};
pub use cloudformation::is_simulated;
pub use constants::{
    ACCESS_KEY_PREFIX, ACCOUNT, BUCKET, COMPUTE_ENVIRONMENT, HOST_IMAGE, JOB_DEFINITION, LOG_GROUP, PREFIX,
    QUEUE, REGION,
};
pub use embedded::{Builder, LocalCluster};
pub use error::{LocalError, LocalErrorKind};
pub use home::Home;
pub use home::endpoint::Connection;
pub use home::settings::Settings;
pub use progress::Report;
pub use reset::reset;
pub use time::now_ms;
