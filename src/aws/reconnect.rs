//! Calls that are repeated until a lost network is back.

use std::pin::pin;
use std::time::{Duration, Instant};

use super::Session;
use crate::ui::{ErrorKind, Failure, print_message};

/// The default of `AWSB_CONTACT_TIMEOUT`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// After this time without an answer, the session is renewed once to find out why the cluster does
/// not answer.
const SLOW: Duration = Duration::from_secs(2);

/// How long a lost contact is sought: `AWSB_CONTACT_TIMEOUT`, in seconds.
pub fn contact_timeout() -> Duration {
    let seconds = std::env::var("AWSB_CONTACT_TIMEOUT").ok().and_then(|s| s.parse().ok());
    seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs)
}

/// A session for a task that takes long: calls that fail with a retryable error are repeated until
/// the contact timeout is over.
#[derive(Debug)]
pub struct ResilientSession {
    session: Session,
    tool: &'static str,
    timeout: Duration,
    /// The last reason that was printed why the cluster cannot be reached.
    printed: Option<String>,
}

impl ResilientSession {
    /// Makes calls through `session`, and reports a lost contact on stderr in the name of `tool`.
    pub fn new(session: Session, tool: &'static str) -> Self {
        Self { session, tool, timeout: contact_timeout(), printed: None }
    }

    /// The current session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Makes a call that only reads. It is repeated while it fails with a retryable error, or until
    /// expired credentials are renewed.
    ///
    /// # Errors
    /// The failure of the call, when it is not retryable or when contact was lost for longer than
    /// `AWSB_CONTACT_TIMEOUT`.
    pub async fn keep<T>(
        &mut self,
        call: impl AsyncFn(&Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut lost_since: Option<Instant> = None;
        let mut pause = FIRST_PAUSE;
        let mut credentials_are_fresh = false;
        loop {
            let outcome = {
                let mut call = pin!(call(&self.session));
                match tokio::time::timeout(SLOW, &mut call).await {
                    Ok(outcome) => outcome,
                    Err(_) => {
                        let obstacle =
                            self.session.renew(&Failure::new(ErrorKind::NoAnswer, "no answer")).await.err();
                        print_once(self.tool, &mut self.printed, obstacle);
                        call.await
                    }
                }
            };
            let failure = match outcome {
                Ok(value) => return Ok(value),
                Err(failure) if failure.is_recoverable() => failure,
                Err(failure) => return Err(failure),
            };
            let needs_credentials = failure.kind() == ErrorKind::Credentials;
            if needs_credentials && !std::mem::replace(&mut credentials_are_fresh, true) {
                // The session has cached its credentials; newer ones may exist by now.
                self.renew(&failure).await;
                continue;
            }
            let since = *lost_since.get_or_insert_with(|| {
                print_message(format!("{}: contact lost, trying again: {failure}", self.tool));
                if needs_credentials {
                    failure.hints().iter().for_each(|hint| print_message(format!("hint: {hint}")));
                }
                Instant::now()
            });
            if since.elapsed() + pause > self.timeout {
                return Err(failure);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            self.renew(&failure).await;
        }
    }

    /// As [`ResilientSession::keep`]. If the call fails because the cached data of the cluster was
    /// stale, the cluster is read again and the call is made once more. The session has the fresh
    /// data from then on.
    ///
    /// # Errors
    /// As [`ResilientSession::keep`].
    pub async fn keep_fresh<T>(
        &mut self,
        call: impl AsyncFn(&Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.keep(&call).await {
            Err(failure) if failure.kind() == ErrorKind::Stale => {
                // The network can be lost during this read, too.
                self.session = self.keep(Session::reopen).await?;
                self.keep(&call).await
            }
            outcome => outcome,
        }
    }

    async fn renew(&mut self, failure: &Failure) {
        match self.session.renew(failure).await {
            Ok(session) => self.session = session,
            Err(obstacle) => print_once(self.tool, &mut self.printed, Some(obstacle)),
        }
    }
}

/// Prints once why a cluster cannot be reached. The caller reports a retryable failure itself.
fn print_once(tool: &str, printed: &mut Option<String>, obstacle: Option<Failure>) {
    let Some(failure) = obstacle.filter(|failure| !failure.is_retryable()) else { return };
    if printed.replace(failure.message().to_owned()).as_deref() != Some(failure.message()) {
        print_message(format!("{tool}: {failure}"));
        failure.hints().iter().for_each(|hint| print_message(format!("hint: {hint}")));
    }
}
