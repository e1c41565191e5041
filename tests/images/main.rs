//! Images: what builds them, where they go, and the job image itself.

mod build;
mod buildspec;
mod codebuild;
mod context;
mod engine;
mod job_image;
mod push;
mod repository;

awsb_testkit::main!();
