//! The states of stacks and of their resources.

use std::fmt;

use serde::Serialize;

/// The state of a stack (API `StackStatus`), such as `CREATE_COMPLETE`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct StackStatus(String);

/// The operation that a stack is in, or the end of its last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has a change set and no resources yet.
    Review,
    /// It is being created.
    Creating,
    /// Its creation has failed, and its resources are being removed.
    CreateRollback,
    /// Its creation has failed. It can only be deleted.
    CreateFailed,
    /// It is being updated, or its update is being rolled back.
    Updating,
    /// It is being deleted.
    Deleting,
    /// Its deletion has failed.
    DeleteFailed,
    /// It is deleted.
    Deleted,
    /// It can be used and updated.
    Ready,
    /// The roll-back of an update has failed. It can be used, and not be updated.
    UpdateRollbackFailed,
    /// A state that this version does not know.
    Unknown,
}

impl StackStatus {
    /// The phase of a stack that has this state. The states are those of the CloudFormation User
    /// Guide, `Understand CloudFormation stack creation events`, and of the API's `StackStatus`.
    pub fn phase(&self) -> Phase {
        match self.0.as_str() {
            "REVIEW_IN_PROGRESS" => Phase::Review,
            "CREATE_IN_PROGRESS" | "IMPORT_IN_PROGRESS" => Phase::Creating,
            "ROLLBACK_IN_PROGRESS" => Phase::CreateRollback,
            "CREATE_FAILED" | "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" => Phase::CreateFailed,
            "DELETE_IN_PROGRESS" => Phase::Deleting,
            "DELETE_FAILED" => Phase::DeleteFailed,
            "DELETE_COMPLETE" => Phase::Deleted,
            "CREATE_COMPLETE"
            | "UPDATE_COMPLETE"
            | "UPDATE_ROLLBACK_COMPLETE"
            | "UPDATE_FAILED"
            | "IMPORT_COMPLETE"
            | "IMPORT_ROLLBACK_COMPLETE" => Phase::Ready,
            "UPDATE_ROLLBACK_FAILED" | "IMPORT_ROLLBACK_FAILED" => Phase::UpdateRollbackFailed,
            "UPDATE_IN_PROGRESS"
            | "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
            | "UPDATE_ROLLBACK_IN_PROGRESS"
            | "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"
            | "IMPORT_ROLLBACK_IN_PROGRESS" => Phase::Updating,
            _ => Phase::Unknown,
        }
    }

    /// Whether an operation is under way. A stack in review waits for its owner.
    pub fn is_in_progress(&self) -> bool {
        matches!(self.phase(), Phase::Creating | Phase::CreateRollback | Phase::Updating | Phase::Deleting)
    }

    /// The name of the state.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for StackStatus {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for StackStatus {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for StackStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
