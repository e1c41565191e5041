//! The file for a job's standard input, as Slurm and LSF name it.

use crate::Invalid;

/// The option `--stdin` for a file as Slurm and LSF name it. A relative name begins in the job's
/// directory, if one is given, and else where the job is submitted.
pub fn stdin(file: &str, directory: Option<&str>) -> String {
    match directory.filter(|_| !file.starts_with('/')) {
        Some(directory) => format!("--stdin={}/{file}", directory.trim_end_matches('/')),
        // A bare `-` would be bsub's own standard input.
        None if file == "-" => "--stdin=./-".to_owned(),
        None => format!("--stdin={file}"),
    }
}

/// The error for an input whose name has such a pattern.
pub fn no_pattern(cluster: &str, pattern: &str) -> Invalid {
    Invalid::because(format!(
        "{cluster} replaces {pattern} in the name when the job runs, and the file goes along when it is submitted: \
         `< FILE` in the script can read one of several that `-i` brings"
    ))
}
