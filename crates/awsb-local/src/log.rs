//! What the server logs.

/// The prefix of a warning in the server's log.
const WARNING: &str = "warning: ";

/// Records a loss that was found: in the log now, and for everybody who asks for the status.
pub fn warn(warnings: &mut Vec<String>, what: String) {
    note!("{WARNING}{what}");
    warnings.push(what);
}

/// The warnings in a part of the log.
pub fn warnings(log: &str) -> Vec<String> {
    let start = format!("blocal: {WARNING}");
    log.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
}
