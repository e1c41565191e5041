//! Reads a cluster of AWS ParallelCluster (its INI file of version 2, its YAML file of version 3)
//! and makes a [`ClusterConfig`] of it.
//!
//! [`KnownKeys`](known_keys::KnownKeys) has all keys of a version, and a rule for each: it is read,
//! dropped with a reason, or refused. [`Converter`](convert::Converter) is what both versions have
//! in common: a method for each kind of value, which puts it into the configuration and says what
//! has become of the key.

mod comments;
mod convert;
mod known_keys;
mod leaves;
mod report;
mod storage;
#[cfg(test)]
mod tests;
mod version_2;
mod version_3;
mod yaml;

pub use report::{Entry, Note, Outcome, Report};

use super::config::ClusterConfig;

/// A configuration that was made from ParallelCluster's.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// The configuration.
    pub config: ClusterConfig,
    /// The configuration as TOML, with comments that say where values are from.
    pub toml: String,
    /// The region that the file names. It is an option of `bcluster create`, not a key.
    pub region: Option<String>,
    /// What became of each key.
    pub report: Report,
}

/// What a user decides about an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// The `[cluster NAME]` of a file of version 2, instead of the one that `cluster_template`
    /// names.
    pub cluster: Option<String>,
    /// Whether jobs get the managed policies that the head node had.
    pub job_policies: bool,
}

/// A file that is not a configuration of ParallelCluster for AWS Batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ImportError {
    /// The kind.
    pub kind: ImportErrorKind,
    /// The file, the line, and what is wrong.
    pub message: String,
    /// What to do.
    pub hints: Vec<String>,
}

/// The kinds of [`ImportError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportErrorKind {
    /// The text is neither INI nor YAML.
    Syntax,
    /// It is another file, or has no cluster of this name.
    NoCluster,
    /// The cluster has another scheduler than AWS Batch.
    OtherScheduler,
}

/// A place where a text is neither INI nor YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SyntaxError {
    line: usize,
    message: String,
}

/// Reads ParallelCluster's configuration: INI of version 2, or YAML of version 3. `name` is the
/// file as messages name it.
///
/// # Errors
/// When the text is no such configuration, or its scheduler is not AWS Batch. A key that cannot be
/// read is not such an error: it is in the report.
pub fn import(name: &str, text: &str, options: &ImportOptions) -> Result<Import, ImportError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file = Source { name };
    match is_ini(text) {
        true => version_2::import(&file, text, options),
        false => version_3::import(&file, text, options),
    }
}

/// Whether the first line that says anything is the head of a section.
fn is_ini(text: &str) -> bool {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    first.is_some_and(|line| line.starts_with('[') && line.contains(']') && !line.contains(','))
}

/// The file, for messages.
struct Source<'a> {
    name: &'a str,
}

impl Source<'_> {
    fn error(&self, kind: ImportErrorKind, line: usize, message: impl std::fmt::Display) -> ImportError {
        let message = format!("{}, line {line}: {message}", self.name);
        ImportError { kind, message, hints: Vec::new() }
    }

    fn syntax(&self, error: SyntaxError, format: &str) -> ImportError {
        let message = format!("this is not {format}: {}", error.message);
        self.error(ImportErrorKind::Syntax, error.line, message)
            .hint("the file has to be ParallelCluster's: INI of version 2, or YAML of version 3")
    }

    /// The error that a cluster has another scheduler.
    fn other_scheduler(&self, line: usize, key: &str, scheduler: &str) -> ImportError {
        let message =
            format!("`{key}` is {scheduler}, and bcluster makes clusters of AWS Batch (`awsbatch`)");
        let error = self.error(ImportErrorKind::OtherScheduler, line, message);
        match scheduler {
            "slurm" => error
                .hint("Slurm is not replaced: ParallelCluster and AWS PCS go on with it")
                .hint("to move its jobs to AWS Batch, `bcluster init` makes a configuration, and `bsub` reads #SBATCH"),
            _ => error.hint("ParallelCluster 3 has the schedulers awsbatch and slurm"),
        }
    }
}

impl ImportError {
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}
