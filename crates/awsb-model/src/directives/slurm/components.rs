//! The components of a heterogeneous job (sbatch(1), "heterogeneous jobs"): a group of nodes each.

use super::super::result::{At, Directives};
use super::super::shape::SlurmShape;
use super::job::{Behind, Job};

/// The components behind the first, each with the directive that begins it.
#[derive(Debug, Default)]
pub struct Components {
    all: Vec<(At, Job)>,
}

impl Components {
    /// Begins another component, behind `first`.
    pub fn begin(&mut self, at: At, first: &Job) {
        let mut job = Job::default();
        job.behind = Some(Behind { queue: first.queue.clone() });
        self.all.push((at, job));
    }

    /// The component to which options belong now; `None` for the first.
    pub fn last(&mut self) -> Option<&mut Job> {
        self.all.last_mut().map(|(_, job)| job)
    }

    /// Computes the groups of nodes. The shape is that of all nodes together.
    pub fn finish(self, first: Job, found: &mut Directives) -> SlurmShape {
        let machine = first.machine.clone();
        let mut shape = first.finish(found);
        for (at, job) in self.all {
            if let (Some(own), Some(first)) = (&job.machine, &machine)
                && own != first
            {
                found.refuse(
                    &at,
                    format!(
                        "needs two instance types (`{first}` and `{own}`), and all nodes of a job in Batch have \
                         the same"
                    ),
                );
            }
            let mut own = Directives::default();
            let of_group = job.finish(&mut own);
            let sizes = own.options.iter().flat_map(|option| &option.words);
            let sizes = sizes.filter_map(|word| {
                let word = word.to_str()?.strip_prefix("--")?;
                ["vcpus=", "memory=", "gpus="].iter().any(|size| word.starts_with(size)).then_some(word)
            });
            let group: Vec<String> =
                std::iter::once(of_group.nodes.to_string()).chain(sizes.map(str::to_owned)).collect();
            found.say(&at, [format!("--node-group={}", group.join(","))]);
            found.notes.extend(own.notes);
            found.warnings.extend(own.warnings);
            found.errors.extend(own.errors);
            shape = SlurmShape {
                ntasks: shape.ntasks.saturating_add(of_group.ntasks),
                nodes: shape.nodes.saturating_add(of_group.nodes),
                ntasks_per_node: None,
                ..shape
            };
        }
        shape
    }
}
