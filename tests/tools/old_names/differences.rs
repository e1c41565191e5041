//! The intended differences from the old tools.

/// A difference: the name of the case that shows it, and the section of docs/awsbatch-cli.md that
/// describes it. A case without an entry has the same output and exit code with both.
pub const DIFFERENCES: &[(&str, &str)] = &[
    ("queues: without a reason", "Answers without a reason"),
    ("queues: without a reason, details", "Answers without a reason"),
    ("stat: names that are numbers", "Names that are numbers"),
    ("stat: an ARN", "ARNs of jobs"),
    ("stat: resources in the new field", "vCPUs and memory"),
    ("kill: refused", "Jobs that cannot be ended"),
    ("kill: many", "Many jobs"),
    ("out: many pages", "The whole log"),
    ("out: head of many pages", "The whole log"),
    ("out: tail of many pages", "The whole log"),
    ("sub: variables for a command", "Variables for a command"),
    ("sub: two dependencies", "Several dependencies"),
    ("sub: two dependencies with commas", "Several dependencies"),
    ("cluster: no stack", "Errors"),
    ("cluster: another scheduler", "Errors"),
    ("cluster: not ready", "Errors"),
];
