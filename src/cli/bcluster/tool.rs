//! The name of the tool, and its exit codes.

use crate::ui::Exit;

/// The tool's name, which stands in front of its messages.
pub(super) const TOOL: &str = "bcluster";

/// The exit code of a plan: 3 for changes with `--exit-code`.
pub(super) fn exit_of_plan(has_changes: bool, with_code: bool) -> Exit {
    if has_changes && with_code { Exit::Changes } else { Exit::Done }
}
