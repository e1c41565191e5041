//! The signer of a request.

use super::operation::{Operation, Rule};
use crate::batch::JobKey;
use crate::constants::ACCOUNT;
use crate::http::protocol::ApiError;
use crate::runner::protocol::AttemptId;
use awsb_model::ADVICE;

/// The signer of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The owner of the home.
    Owner,
    /// A job on the host: a process of the owner's, with the owner's rights.
    Host(Attempt),
    /// A job in a container: nothing that it asks for may reach out of a container.
    Container(Attempt),
}

/// The attempt whose key it is; it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Its job: a child's or a node's own key.
    pub job: JobKey,
}

impl Principal {
    /// The attempt, when it is one in a container.
    pub fn contained(&self) -> Option<&Attempt> {
        match self {
            Self::Container(attempt) => Some(attempt),
            Self::Owner | Self::Host(_) => None,
        }
    }

    /// The job that asks, when it is one.
    pub fn job(&self) -> Option<JobKey> {
        match self {
            Self::Container(attempt) | Self::Host(attempt) => Some(attempt.job),
            Self::Owner => None,
        }
    }

    /// Whether the operation is one that this principal may ask for at all.
    ///
    /// # Errors
    /// `AccessDeniedException`, when a container's key may not.
    pub fn check(&self, operation: Operation) -> Result<(), ApiError> {
        match (self.contained(), operation.rule()) {
            (Some(attempt), Rule::Refused) => Err(attempt.denied(operation, "no such request is allowed")),
            _ => Ok(()),
        }
    }
}

impl Attempt {
    /// A refusal in AWS's words for a permission that is missing (IAM User Guide, "Troubleshoot
    /// access denied error messages"), which the tools take apart.
    pub fn denied(&self, operation: Operation, why: &str) -> ApiError {
        ApiError::refused(
            "AccessDeniedException",
            format!(
                "User: arn:aws:sts::{ACCOUNT}:assumed-role/container/{} is not authorized to perform: {}:{} because \
                 {why} for a job in a container{ADVICE}ask for it outside of the container, where you may do \
                 everything; docs/blocal.md lists what a container may do",
                self.attempt_id,
                operation.service(),
                operation.name(),
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::operation;

    #[test]
    fn a_refusal_is_in_words_that_the_tools_take_apart() {
        let attempt = Attempt { attempt_id: AttemptId::from("t".to_owned()), job: JobKey(1) };
        let container = Principal::Container(attempt.clone());
        let operation = Operation::Batch(operation::Batch::DeleteJobQueue);
        let refused = container.check(operation).unwrap_err();
        assert_eq!(refused.code, "AccessDeniedException");
        assert!(
            refused.message.contains("is not authorized to perform: batch:DeleteJobQueue"),
            "{refused:?}"
        );
        for other in [Principal::Owner, Principal::Host(attempt)] {
            assert_eq!(other.check(operation), Ok(()));
        }
    }
}
