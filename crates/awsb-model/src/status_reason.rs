//! The codes at the beginning of status reasons.

/// The code in the reason of a job that blocks its queue, such as
/// `CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY` (UG `job_stuck_in_runnable`: `CODE - words`). Other
/// reasons, such as that of an earlier attempt, have none.
pub fn blocking_code(reason: &str) -> Option<&str> {
    let code = reason.split([' ', ';', ',']).next().unwrap_or_default().trim_end_matches(':');
    let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' || c == ':';
    let known = ["CAPACITY", "MISCONFIGURATION", "ACTION_REQUIRED", "UNDETERMINED"];
    let head = code.split(':').next().unwrap_or_default();
    (known.contains(&head) && code.chars().all(upper)).then_some(code)
}
