//! The result of reading a script's head: options, and remarks about directives.

use std::ffi::OsString;
use std::fmt;

use super::dialect::Dialect;
use super::shape::{LsfShape, SlurmShape};
use crate::{Consumption, EarlySignal};

/// The directives of a script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// The options of awsb's `bsub`, in order. A later one replaces an earlier one.
    pub options: Vec<DirectiveOptions>,
    /// The consumable resources that all nodes of the job take together. The command line decides
    /// how many nodes these are.
    pub shared: Vec<SharedConsumption>,
    /// Directives that are honoured, but may surprise.
    pub notes: Vec<Remark>,
    /// Directives that are not honoured. The job runs without them.
    pub warnings: Vec<Remark>,
    /// Directives that are wrong, or without which the job would be another one. It must not be
    /// submitted.
    pub errors: Vec<Remark>,
    /// The number of tasks and nodes, for a script with `#SBATCH` lines.
    pub slurm: Option<SlurmShape>,
    /// The number of slots, for a script with `#BSUB` lines.
    pub lsf: Option<LsfShape>,
    /// The directive that asks for all resources of a node, which Batch does not give. The
    /// submitter must say how much memory the job has.
    pub whole_node: Option<Remark>,
    /// The job's name in a `#SBATCH` or `#BSUB` line.
    pub name: Option<String>,
    /// The signal before the job's time is up.
    pub signal: Option<EarlySignal>,
}

/// The options that follow from one directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectiveOptions {
    /// The words of a command line, such as `--memory=4G`.
    pub words: Vec<OsString>,
    /// The line of the script, from 1.
    pub line: usize,
    /// The directive as it was written, such as `#SBATCH --mem=4G`.
    pub text: String,
    dialect: Option<Dialect>,
}

impl DirectiveOptions {
    /// Whether it is a directive of awsb itself, and not of another scheduler.
    pub fn is_own(&self) -> bool {
        self.dialect == Some(Dialect::Awsb)
    }
}

/// How much of a consumable resource all nodes of the job take together. In Batch, each node takes
/// the same quantity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedConsumption {
    /// The resource, and the quantity of the whole job.
    pub total: Consumption,
    /// The line of the script, from 1.
    pub line: usize,
    /// The directive as it was written, such as `#SBATCH --licenses=lic:2`.
    pub directive: String,
}

impl SharedConsumption {
    /// The quantity that each of the nodes takes. Together they take no less than the total.
    pub fn of_each(&self, nodes: u32) -> Consumption {
        let quantity = self.total.quantity.div_ceil(u64::from(nodes).max(1));
        Consumption { quantity, ..self.total.clone() }
    }

    /// The remark that the nodes take more than the total, which cannot be divided among them.
    pub fn uneven(&self, nodes: u32) -> Option<Remark> {
        let each = self.of_each(nodes).quantity;
        let taken = each.saturating_mul(u64::from(nodes).max(1));
        let reason = format!(
            "each node of a job in Batch takes as much: {each} of {} for each of {nodes} nodes is {taken}, and not {}",
            self.total.name(),
            self.total.quantity
        );
        let remark = Remark { line: self.line, directive: self.directive.clone(), reason, about: None };
        (taken != self.total.quantity).then_some(remark)
    }
}

/// A remark about a directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The line of the script, from 1.
    pub line: usize,
    /// The directive as it was written, such as `#SBATCH --exclusive`.
    pub directive: String,
    /// The remark, beginning in lower case and without a full stop.
    pub reason: String,
    /// The subject, if an option of the command line can replace it.
    pub about: Option<About>,
}

/// The subject of a remark that the command line can override.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The job queue.
    Queue,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: `{}`: {}", self.line, self.directive, self.reason)
    }
}

/// One directive of a line, or another line, and its place for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The line of the script, from 1.
    pub line: usize,
    /// The scheduler to which it is addressed, if it is a directive.
    pub dialect: Option<Dialect>,
    /// The directive as it was written.
    pub text: String,
}

impl At {
    /// A line that is no directive, or whose words cannot be read.
    pub fn line(number: usize, line: &[u8]) -> Self {
        let text = String::from_utf8_lossy(line.trim_ascii()).into_owned();
        Self { line: number, dialect: None, text }
    }
}

impl Directives {
    fn remark(at: &At, reason: impl Into<String>) -> Remark {
        Remark { line: at.line, directive: at.text.clone(), reason: reason.into(), about: None }
    }

    /// Adds the options that follow from a directive.
    pub(super) fn say(&mut self, at: &At, words: impl IntoIterator<Item = impl Into<OsString>>) {
        let words = words.into_iter().map(Into::into).collect();
        self.options.push(DirectiveOptions {
            words,
            line: at.line,
            text: at.text.clone(),
            dialect: at.dialect,
        });
    }

    /// Adds the quantity of a consumable resource that all nodes of the job take together. A later
    /// one replaces an earlier one.
    pub(super) fn share(&mut self, total: Consumption, at: &At) {
        self.shared.retain(|other| other.total.name() != total.name());
        self.shared.push(SharedConsumption { total, line: at.line, directive: at.text.clone() });
    }

    /// Adds a note about a directive that is honoured.
    pub(super) fn note(&mut self, at: &At, reason: impl Into<String>) {
        self.notes.push(Self::remark(at, reason));
    }

    /// Warns of a directive that asks for all resources of a node.
    pub(super) fn warn_of_whole_node(&mut self, at: &At, reason: &str) {
        self.warn(at, reason);
        self.whole_node = self.warnings.last().cloned();
    }

    /// Warns of a directive that is not honoured.
    pub(super) fn warn(&mut self, at: &At, reason: impl Into<String>) {
        self.warnings.push(Self::remark(at, reason));
    }

    /// Warns that the first of several queues is used.
    pub(super) fn warn_of_queues(&mut self, at: &At) {
        let reason = "Batch takes one queue for a job: the first is used";
        self.warnings.push(Remark { about: Some(About::Queue), ..Self::remark(at, reason) });
    }

    /// Refuses a directive, and with it the script.
    pub(super) fn refuse(&mut self, at: &At, reason: impl Into<String>) {
        self.errors.push(Self::remark(at, reason));
    }
}
