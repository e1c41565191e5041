//! Files that cannot be imported.

/// A file that is not a configuration of ParallelCluster for AWS Batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ImportError {
    /// The kind.
    pub kind: ImportErrorKind,
    /// The file, the line, and what is wrong.
    pub message: String,
    /// The next step.
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
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) message: String,
}

/// The file, for messages.
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
}

impl Source<'_> {
    pub(super) fn error(
        &self,
        kind: ImportErrorKind,
        line: usize,
        message: impl std::fmt::Display,
    ) -> ImportError {
        let message = format!("{}, line {line}: {message}", self.name);
        ImportError { kind, message, hints: Vec::new() }
    }

    pub(super) fn syntax(&self, error: SyntaxError, format: &str) -> ImportError {
        let message = format!("this is not {format}: {}", error.message);
        self.error(ImportErrorKind::Syntax, error.line, message)
            .hint("the file has to be ParallelCluster's: INI of version 2, or YAML of version 3")
    }

    /// The error that a cluster has another scheduler.
    pub(super) fn other_scheduler(&self, line: usize, key: &str, scheduler: &str) -> ImportError {
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
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}
