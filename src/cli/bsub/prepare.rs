//! The job definition that a job takes.

use super::Args;
use super::options::Options;
use crate::batch::definition::Registering;
use crate::batch::{self, Prepared, Wishes};
use crate::cluster::Session;
use crate::job::{JobSpec, Shape};
use crate::ui::{Failure, note};

impl Args {
    /// Finds the job definition that the job takes, which may make it one of several nodes.
    pub(super) async fn prepare(
        &self,
        options: &Options,
        session: &Session,
        queue: &str,
        spec: &mut JobSpec,
    ) -> Result<Prepared, Failure> {
        let wishes = Wishes {
            queue,
            definition: options.job_definition.as_deref(),
            changes: &options.changes(),
            nodes: match spec.shape {
                Shape::Nodes(nodes) => Some(nodes),
                Shape::Single | Shape::Array(_) => None,
            },
            vcpus: options.vcpus,
            memory: options.memory,
            gpus: options.gpus,
            registering: if self.dry_run { Registering::NamedOnly } else { Registering::Allowed },
        };
        let prepared = batch::prepare(session, &wishes).await?;
        if let Some(nodes) = &prepared.nodes {
            if let Shape::Array(_) = spec.shape {
                let name = &prepared.job_definition;
                return Err(Failure::usage(format!(
                    "the job definition {name} is for multi-node parallel jobs, which cannot be arrays"
                )));
            }
            spec.shape = Shape::Nodes(nodes.count);
            if !self.quiet {
                note(format!("bsub: {nodes}"));
            }
        }
        Ok(prepared)
    }
}
