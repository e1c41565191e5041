//! Calls that go on by themselves.

use tokio::task::JoinSet;

use crate::ui::Failure;

/// Makes a call that goes on while nobody waits for it, as one of many that were begun at once and are looked at one
/// after the other: a future that is not polled would keep its turn, which others wait for, and its answer would
/// come too late. It ends when nobody can wait for it any more.
///
/// # Errors
/// The call's own, and when it has broken off.
pub async fn apart<T: Send + 'static>(
    call: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    // Its tasks are ended when it is dropped.
    let mut tasks = JoinSet::new();
    tasks.spawn(call);
    match tasks.join_next().await {
        Some(Ok(outcome)) => outcome,
        Some(Err(e)) => Err(Failure::failed(format!("a call to AWS broke off: {e}"))),
        None => Err(Failure::failed("a call to AWS was never made")),
    }
}
