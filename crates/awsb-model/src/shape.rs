//! The shape of a job: one container, or many.

use super::Tasks;

/// One container, or many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Shape {
    /// One container.
    #[default]
    Single,
    /// An array of tasks: an array job, or several, or a single job for one task.
    Array(Tasks),
    /// A multi-node parallel job of this many nodes.
    Nodes(u32),
}
