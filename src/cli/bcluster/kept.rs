//! Resources that a command has left, each with the command that removes it.

use serde_json::{Value, json};

use crate::cloud::{Leftover, StackResource};

/// A resource that is left.
pub(super) struct Kept {
    /// The resource.
    pub(super) resource: StackResource,
    /// The words for it, and the command that removes it.
    pub(super) left: Leftover,
}

impl Kept {
    /// The lines for people; none without a resource.
    pub(super) fn lines(kept: &[Self]) -> Vec<String> {
        if kept.is_empty() {
            return Vec::new();
        }
        let head = "These are kept, each with the command that removes it:".to_owned();
        let each = kept.iter().map(|kept| format!("  {}: {}", kept.left.what, kept.left.command));
        std::iter::once(head).chain(each).collect()
    }

    /// The resource as JSON, under AWS's field names.
    pub(super) fn json(&self) -> Value {
        json!({
            "resourceType": self.resource.resource_type,
            "physicalResourceId": self.resource.physical_resource_id,
            "removedBy": self.left.command,
        })
    }
}
