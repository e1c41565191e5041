//! Calls that run on tasks of their own.

use tokio::task::JoinSet;

use crate::ui::Failure;

/// Runs the call on its own task. A `buffered` stream polls only some of its futures; a future that
/// is not polled would hold its slot in the rate limiter, and time out. The task is cancelled when
/// the returned future is dropped.
///
/// # Errors
/// The error of the call, or that its task has panicked.
pub async fn spawn_call<T: Send + 'static>(
    call: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    // A dropped set cancels its tasks.
    let mut tasks = JoinSet::new();
    tasks.spawn(call);
    match tasks.join_next().await {
        Some(Ok(outcome)) => outcome,
        Some(Err(e)) => Err(Failure::failed(format!("a call to AWS broke off: {e}"))),
        None => Err(Failure::failed("a call to AWS was never made")),
    }
}
