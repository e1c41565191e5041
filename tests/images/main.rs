//! Images: what builds them, where they go, and the job image itself.

#![allow(clippy::panic, clippy::print_stdout, clippy::unwrap_used, reason = "a story that panics has failed")]

mod build;
mod buildspec;
mod codebuild;
mod context;
mod engine;
mod exec;
mod job_image;
mod push;
mod repository;

awsb_testkit::main!();
