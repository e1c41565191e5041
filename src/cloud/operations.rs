//! The calls that delete stacks and set their protection.

use aws_sdk_cloudformation::error::ProvideErrorMetadata;

use super::journal::Operation;
use crate::aws::{ResilientSession, explain, is_missing_stack};
use crate::ui::Failure;

/// Begins the deletion of a stack (name or ID). Resources of a stack whose deletion has failed can
/// be left out: they are kept. The call can be repeated.
///
/// # Errors
/// When CloudFormation refuses or cannot be asked.
pub async fn delete(
    contact: &mut ResilientSession,
    stack: &str,
    operation: &Operation,
    retained: &[String],
) -> Result<(), Failure> {
    // One token is for one deletion: a second attempt is another one.
    let token = operation.token.as_str();
    contact
        .keep(async |session| {
            let call = session.cloudformation.delete_stack().stack_name(stack).client_request_token(token);
            let call = call.set_retain_resources((!retained.is_empty()).then(|| retained.to_vec()));
            match call.send().await {
                Ok(_) => Ok(()),
                Err(e) if is_missing_stack(&e) => Ok(()),
                // The token is new with each deletion, so an earlier call of this one was carried
                // out.
                Err(e) if e.code() == Some("TokenAlreadyExistsException") => Ok(()),
                Err(e) => Err(explain(session, &format!("deleting the stack {stack}"), &e)),
            }
        })
        .await
}

/// Sets whether a stack is protected from deletion.
///
/// # Errors
/// When CloudFormation refuses or cannot be asked.
pub async fn protect(contact: &mut ResilientSession, stack: &str, is_protected: bool) -> Result<(), Failure> {
    contact
        .keep(async |session| {
            let call = session.cloudformation.update_termination_protection().stack_name(stack);
            match call.enable_termination_protection(is_protected).send().await {
                Ok(_) => Ok(()),
                Err(e) => {
                    Err(explain(session, &format!("setting the termination protection of {stack}"), &e))
                }
            }
        })
        .await
}
