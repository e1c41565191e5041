//! Calls that are repeated while they fail in passing.

use std::time::{Duration, Instant};

use crate::ui::Failure;

/// A reading that has begun is repeated for at least this long when it is throttled or contact is
/// lost.
const MAX_RETRY_TIME: Duration = Duration::from_secs(60);

/// Makes a call again while it fails in passing, if reading has begun.
pub(super) async fn retry<T, F: Future<Output = Result<T, Failure>>>(
    has_begun: bool,
    call: impl Fn() -> F,
) -> Result<T, Failure> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(300);
    loop {
        match call().await {
            Err(failure) if failure.is_retryable() && has_begun && begun.elapsed() < MAX_RETRY_TIME => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            outcome => return outcome,
        }
    }
}

/// The failure for a task that has panicked.
pub(super) fn task_failure(error: &tokio::task::JoinError) -> Failure {
    Failure::failed(format!("reading the output: {error}"))
}
