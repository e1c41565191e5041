//! Reads a cluster of AWS ParallelCluster (its INI file of version 2, its YAML file of version 3)
//! and makes a [`ClusterConfig`](super::ClusterConfig) of it.
//!
//! `KnownKeys` has all keys of a version, and a rule for each: it is read,
//! dropped with a reason, or refused. `Converter` is what both versions have
//! in common: a method for each kind of value, which puts it into the configuration and says what
//! has become of the key.

mod comments;
mod convert;
mod error;
mod known_keys;
mod leaves;
mod options;
mod report;
mod sentences;
mod storage;
#[cfg(test)]
mod tests;
mod version_2;
mod version_3;
mod yaml;

pub use error::{ImportError, ImportErrorKind};
pub use options::{Import, ImportOptions};
pub use report::{Entry, Note, Outcome, Report};

use error::Source;

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
