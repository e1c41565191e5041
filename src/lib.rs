//! awsb: AWS Batch from the shell.
//!
//! One core library and one program, `awsb`; each tool has a small program in `bin/` that executes
//! it. The way of a job through the house:
//!
//! ```text
//! bsub: arguments -> awsb_model::{JobSpec -> ResolvedJob} -> stage::Plan -> S3 -> SubmitJob
//!       -> job ID
//! ```
//!
//! | module       | contents                                                                      |
//! |--------------|-------------------------------------------------------------------------------|
//! | [`cli`]      | one file per tool: its arguments, and the order in which it does things       
//! |
//! | [`diagnose`] | why a job does not run, or why it failed                                      
//! |
//! | [`cloud`]    | clusters on AWS: their stacks are made, changed and deleted                   
//! |
//! | [`image`]    | build context -> CodeBuild or a Docker engine -> ECR                          
//! |
//! | [`stage`]    | how a job gets there: plan, inputs, upload                                    
//! |
//! | [`logs`]     | log streams: read and follow                                                  
//! |
//! | [`batch`]    | talking to Batch: submit, list, describe, terminate, wait                     
//! |
//! | [`aws`]      | the AWS clients of one cluster, their cache, and the errors of calls          
//! |
//! | [`config`]   | the settings file, the defaults of jobs, and which cluster a command uses     
//! |
//! | [`ui`]       | what people and scripts see: tables, JSON, times, errors, exit codes          
//! |
//!
//! The model of a job has a crate of its own, [`awsb_model`], which is pure and has no I/O. So has
//! the Docker engine, [`awsb_docker`], and the local cluster, [`awsb_local`]: the same AWS services
//! on this machine, which really run the jobs.
//!
//! Two rules hold the house together. The tools know only AWS: nothing but [`config`] and [`aws`]
//! knows that a cluster can be local. And the core is pure: decisions are functions from values
//! to values, and I/O is a thin layer around them.

pub mod aws;
pub mod batch;
pub mod cli;
pub mod cloud;
pub mod config;
pub mod diagnose;
pub mod image;
pub mod logs;
pub mod stage;
pub mod ui;
