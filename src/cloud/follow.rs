//! Follows an operation on a stack to its end.

use super::events::Watch;
use super::progress::{Part, Progress};
use super::stack;
use super::status::StackStatus;
use crate::aws::ResilientSession;
use crate::ui::Failure;

/// After this many questions without a new event, the stack itself is asked for its state.
const QUIET: u32 = 15;

/// Follows an operation until its stack is at rest, and returns the stack's state. `report` is told
/// of each change, and of each question that has brought none.
///
/// # Errors
/// When contact is lost for good, or `report` fails.
pub async fn follow(
    contact: &mut ResilientSession,
    watch: &mut Watch,
    progress: &mut Progress,
    mut report: impl FnMut(&Progress, Option<&Part>) -> Result<(), Failure>,
) -> Result<StackStatus, Failure> {
    let mut quiet = 0;
    loop {
        let events = watch.next(contact).await?;
        quiet = if events.is_empty() { quiet + 1 } else { 0 };
        for event in events {
            let part = progress.apply(event).cloned();
            report(progress, part.as_ref())?;
        }
        if let Some(status) = progress.end() {
            return Ok(status.clone());
        }
        report(progress, None)?;
        // A stack without events for half a minute: an event may have been lost, or the stack was
        // forgotten.
        if quiet >= QUIET {
            quiet = 0;
            watch.wait(contact.session()).await;
            let id = watch.stack().to_owned();
            let found = contact.keep(async |session| stack::find(session, &id).await).await?;
            watch.called();
            match found {
                None => return Ok(StackStatus::from("DELETE_COMPLETE")),
                Some(stack) if !stack.status.as_str().ends_with("_IN_PROGRESS") => return Ok(stack.status),
                Some(_) => {}
            }
        }
    }
}
