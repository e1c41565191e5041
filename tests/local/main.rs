//! The local cluster: as clients that we did not write see it, and what it keeps through crashes.

#![allow(clippy::panic, clippy::print_stdout, clippy::unwrap_used, reason = "a story that panics has failed")]

mod aws_cli;
mod batch;
mod bcluster;
mod bcluster_buckets;
mod bcluster_calls;
mod bcluster_changes;
mod bcluster_stopped;
mod bcluster_traps;
mod cloudformation;
mod containers;
mod crash;
mod damage;
mod disk;
mod embedded;
mod exec;
mod front;
mod home;
mod jobs;
mod keys;
mod logs;
mod runner;
mod s3_requests;
mod settings;
mod starter;
mod tmpdir;

awsb_testkit::main!();
