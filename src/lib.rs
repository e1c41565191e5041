//! awsb: AWS Batch from the shell.
//!
//! One core library and one program, `awsb`; each tool has a small program in `bin/` that executes it. The way of a job through the house:
//!
//! ```text
//! bsub: arguments -> job::JobSpec -> stage::Bundle -> S3 -> SubmitJob -> job ID
//! ```
//!
//! | module      | what lives there                                                              |
//! |-------------|-------------------------------------------------------------------------------|
//! | [`cli`]     | one file per tool: its arguments, and the story it tells from top to bottom    |
//! | [`cluster`] | *where*: the settings file, which cluster is meant, and the AWS clients for it |
//! | [`job`]     | *what*: a job as the user says it; pure, no I/O                                |
//! | [`stage`]   | *how it gets there*: bundle, launcher, upload                                  |
//! | [`batch`]   | talking to Batch: submit, list, describe, terminate, wait                      |
//! | [`logs`]    | log streams: read and follow                                                   |
//! | [`image`]   | build context -> CodeBuild or a Docker engine -> ECR                            |
//! | [`docker`]  | the Docker engine: where it is, and its words                                     |
//! | [`local`]   | the same AWS services on this machine, really running the jobs                 |
//! | [`ui`]      | what people and scripts see: tables, JSON, times, errors, exit codes           |
//!
//! Two rules hold the house together. The tools know only AWS: nothing but [`cluster`] knows that a
//! cluster can be local. And the core is pure: what decides is a function from values to values,
//! what touches the world is a thin layer around it.

pub mod batch;
pub mod cli;
pub mod cluster;
pub mod docker;
pub mod image;
pub mod job;
pub mod local;
pub mod logs;
pub mod stage;
pub mod ui;
