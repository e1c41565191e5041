//! The same stories on a real cluster, for whoever names one in `AWSB_LIVE_CLUSTER`.

#![allow(clippy::panic, clippy::print_stdout, clippy::unwrap_used, reason = "a story that panics has failed")]

mod jobs;

awsb_testkit::main!();
