//! The components of a heterogeneous job (sbatch(1), "heterogeneous jobs"): a group of nodes each.

use super::super::result::{At, Directives};
use super::super::shape::SlurmShape;
use super::job::{Behind, Job};

/// The beginnings of the parts of a group of nodes that say its sizes.
const SIZES: [&str; 3] = ["vcpus=", "memory=", "gpus="];

/// The sizes among options, as parts of a group of nodes.
fn sizes(found: &Directives) -> Vec<String> {
    let words = found.options.iter().flat_map(|option| &option.words);
    let sizes = words.filter_map(|word| {
        let word = word.to_str()?.strip_prefix("--")?;
        SIZES.iter().any(|size| word.starts_with(size)).then_some(word)
    });
    sizes.map(str::to_owned).collect()
}

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
        // The first kind of machine that a component asks for.
        let mut machine = first.machine.clone();
        let mut shape = first.finish(found);
        let of_first = sizes(found);
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
            machine = machine.or_else(|| job.machine.clone());
            let mut own = Directives::default();
            let of_group = job.finish(&mut own);
            let mut group = vec![of_group.nodes.to_string()];
            group.extend(sizes(&own));
            // A group of nodes has the sizes of the first nodes that it does not set, and a
            // component of Slurm has Slurm's defaults: one CPU for each task, and no GPU.
            let is_inherited = |size: &str| {
                let has = |sizes: &[String]| sizes.iter().any(|own| own.starts_with(size));
                has(&of_first) && !has(&group)
            };
            let [vcpus, memory, gpus] = SIZES.map(is_inherited);
            if vcpus {
                group.push(format!("vcpus={}", of_group.ntasks.div_ceil(of_group.nodes.max(1))));
            }
            if gpus {
                group.push("gpus=0".to_owned());
            }
            if memory {
                found.note(
                    &at,
                    "sets no memory, so that its nodes have as much as those of the first component",
                );
            }
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
