//! The tools, as a user has them: against the local cluster, moto, and servers that misbehave.

#![allow(clippy::panic, clippy::print_stdout, clippy::unwrap_used, reason = "a story that panics has failed")]

mod architecture;
mod arrays;
mod bad_answers;
mod bad_input;
mod bad_network;
mod bstat;
mod certificates;
mod cluster_accounts;
mod cluster_create;
mod cluster_delete;
mod cluster_import;
mod cluster_moto;
mod cluster_templates;
mod clusters;
mod completions;
mod contact;
mod corpus;
mod damaged_bundle;
mod definitions;
mod dialects;
mod docs;
mod doctor;
mod endpoints;
mod exec;
mod first_job;
mod hosts;
mod inputs;
mod installer;
mod launcher;
mod limits;
mod login;
mod manual;
mod missing_output;
mod moto;
mod nodes;
mod old_names;
mod old_tools;
mod output;
mod output_shown;
mod outputs;
mod programs;
mod property;
mod prune;
mod queues;
mod references;
mod right_job;
mod secrets;
mod several_containers;
mod signals;
mod slow_network;
mod steer;
mod submit_once;
mod why;

awsb_testkit::main!();
