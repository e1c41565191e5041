//! The support of the stories in `tests/`.
//!
//! * [`story`], [`main!`]: a test, and the program of the tests of a folder. [`lock()`]: what only
//!   one story can have at a time.
//! * [`Sandbox`]: a home of its own for one test, and the tools run in it. A local cluster that
//!   they start in there is gone when the test is.
//! * [`python`], [`engine`], [`Moto`]: parts that we did not write: the `aws` CLI, boto3, the old
//!   tools, a Docker engine and a moto server.
//! * [`ImageBench`]: the images that a test makes on an engine.
//! * [`BuildMachine`]: a machine of CodeBuild's, with a registry; [`job_image()`]: what it makes of
//!   docker/.
//! * [`BadServer`]: a server that misbehaves, at the network; [`Chaos`] is one that really has jobs
//!   and objects.
//! * [`Relay`]: a recorder of the calls to the local cluster, which holds those that a test
//!   chooses.
//! * [`SmallDisk`]: a disk of a few megabytes, which can be filled.
//! * [`Terminal`]: a terminal of a given width, programs run on it, and what is on its screen.
//! * [`shells`]: jobs run as a container would run them, under every shell.
//!
//! A story calls for what it needs, for example [`engine`]. Where the machine does not have it, the
//! story ends there and is reported as ignored, with the reason; with `CI=true` in the environment
//! it fails instead, so that no run of `.ci/run` passes because it tested nothing.

#![allow(clippy::panic, clippy::print_stdout, clippy::unwrap_used, reason = "a story that panics has failed")]
#![allow(
    clippy::new_without_default,
    reason = "to set one up makes folders and processes: nothing for a default"
)]

mod bad_server;
mod build_machine;
mod build_server;
mod chaos;
mod foreign;
mod gate;
pub mod harness;
mod image_bench;
mod job_image;
pub mod local;
mod lock;
mod log_server;
mod log_writer;
mod moto;
mod proxy;
mod registry;
mod relay;
mod sandbox;
pub mod shells;
mod slow;
mod small_disk;
mod terminal;

pub use awsb_testkit_macros::story;
pub use bad_server::{Answer, BadServer, Request};
pub use build_machine::{BuildMachine, MachineBuild, buildspec};
pub use build_server::{BuildServer, Course, DIGEST, Intervention};
pub use chaos::{Chaos, ChaosJob, Script, ScriptedReply, ScriptedSubmit, ScriptedWrite, Weather};
pub use foreign::{cfn_lint, engine, program, python, script};
pub use gate::Gate;
pub use harness::{missing, program_built, repository};
pub use image_bench::{EngineLine, ImageBench, on_engine};
pub use job_image::{JobImage, job_image};
pub use lock::{Lock, engine_network, lock};
pub use log_server::LogServer;
pub use log_writer::{NetworkFaults, Writer};
pub use moto::{Moto, MotoCluster};
pub use proxy::LossyProxy;
pub use registry::Registry;
pub use relay::{Call, Relay, Verdict};
pub use sandbox::{Outcome, Running, Sandbox};
pub use slow::{Slow, Wire};
pub use small_disk::SmallDisk;
pub use terminal::{OnTerminal, Terminal, TerminalOutcome, screen};

use std::time::{Duration, Instant};

/// Asks `probe` until it has an answer; what the test waits for is in `what`, for the failure's
/// message.
///
/// For conditions that nobody can be told of: it asks again and again, with pauses between.
#[track_caller]
pub fn eventually<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A sandbox whose default cluster is the local one, behind a gate that lets `limit` parts through;
/// its section of the settings file has more `settings`.
pub fn behind_a_gate(limit: usize, settings: &str) -> (Sandbox, Gate) {
    let mut sandbox = Sandbox::new();
    sandbox.use_local_exports();
    let gate = Gate::to(sandbox.get("AWS_ENDPOINT_URL").expect("the local cluster's address"), limit);
    let key = |name: &str| sandbox.get(name).unwrap_or_default().to_owned();
    sandbox.file(
        "../home/.aws/credentials",
        format!(
            "[gate]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            key("AWS_ACCESS_KEY_ID"),
            key("AWS_SECRET_ACCESS_KEY")
        ),
    );
    sandbox.config(&format!(
        "default_cluster = \"gated\"\n[cluster.gated]\nregion = \"{}\"\nprofile = \"gate\"\nendpoint_url = \"{}\"\n\
         bucket = \"awsb-local\"\nprefix = \"awsb\"\njob_queue = \"local\"\njob_definition = \"local\"\n{settings}",
        key("AWS_REGION"),
        gate.endpoint()
    ));
    (sandbox, gate)
}
