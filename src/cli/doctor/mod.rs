//! `awsb doctor`: checks what awsb needs on this machine and in the cluster, and says what to do.
//!
//! * `machine`: the programs, PATH, the settings, the Docker engine, completions;
//! * `cluster`: credentials, clock, bucket, queue, job definition, log group;
//! * `other_version`: the versions of other programs `awsb` in PATH;
//! * `finding`: the checks, and the result of one.
//!
//! Each check runs, whatever the others found. Where several fail for one cause, the finding of the
//! check that found the cause is an error, and the others say what they need. Only the check of the
//! bucket writes: one small object, always the same.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use super::CommonArgs;
use crate::config;
use crate::ui::{ErrorKind, Exit, Failure, Format, Layout};
use finding::{Check, Finding, Need, State};

mod cluster;
mod finding;
mod machine;
mod other_version;

/// Check what awsb needs on this machine and in the cluster, and say what to do
#[derive(Debug, Parser)]
#[command(name = "awsb doctor", version)]
pub struct Args {
    #[command(flatten)]
    common: CommonArgs,
}

/// `awsb doctor`'s entry point. `names` are the names of all tools.
pub fn main(words: Vec<OsString>, names: &[&str]) -> ExitCode {
    super::run("awsb doctor", words, |args: Args| super::block_on(args.run(names)))
}

impl Args {
    async fn run(&self, names: &[&str]) -> Result<Exit, Failure> {
        let mut findings = machine::programs(names);
        let choice = self.common.choice();
        let meant = config::resolve(&choice);
        findings.extend(machine::settings(&meant, choice.cluster.is_some()));
        let checked = match &meant {
            Err(failure) if failure.kind() == ErrorKind::NoCluster => cluster::skipped(Need::Cluster),
            Err(_) => cluster::skipped(Need::Settings),
            Ok(_) => match self.common.open().await {
                Ok(session) => cluster::check(&session).await,
                Err(failure) => {
                    // The cluster is described, and cannot be used all the same.
                    findings.retain(|finding| finding.check != Check::Cluster);
                    findings.push(Finding::failed(Check::Cluster, &failure));
                    cluster::skipped(Need::of_failure(failure.kind()).unwrap_or(Need::Cluster))
                }
            },
        };
        findings.extend(checked);
        findings.push(machine::engine(meant.as_ref().ok()).await);
        findings.push(machine::completions());
        self.show(&findings)?;
        let is_wrong = findings.iter().any(|finding| finding.state == State::Error);
        Ok(if is_wrong { Exit::Failed } else { Exit::Done })
    }

    fn show(&self, findings: &[Finding]) -> Result<(), Failure> {
        let output = self.common.output();
        if output.format() == Format::Json {
            let mut array = output.json_array();
            for finding in findings {
                array.push(&finding.to_json())?;
            }
            return array.finish();
        }
        let lines = findings.iter().flat_map(Finding::lines).collect();
        output.show_layout(&Layout::Lines(lines))
    }
}
