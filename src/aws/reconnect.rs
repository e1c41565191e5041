//! Contact with a cluster that outlasts a lost network.

use std::pin::pin;
use std::time::{Duration, Instant};

use super::Session;
use crate::ui::{ErrorKind, Failure, note};

/// How long contact is sought when `AWSB_CONTACT_TIMEOUT` (in seconds) does not say.
const PATIENCE: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A call that has no answer by then is looked into: something may hinder the cluster that can be told at once.
const SLOW: Duration = Duration::from_secs(2);

/// How long contact is sought once it was lost: `AWSB_CONTACT_TIMEOUT` says it, in seconds.
pub fn contact_timeout() -> Duration {
    let seconds = std::env::var("AWSB_CONTACT_TIMEOUT").ok().and_then(|s| s.parse().ok());
    seconds.map_or(PATIENCE, Duration::from_secs)
}

/// A session for something that takes long: calls that fail in passing are made again until contact has
/// been lost for good.
#[derive(Debug)]
pub struct Contact {
    session: Session,
    tool: &'static str,
    patience: Duration,
    /// What has been said to hinder the cluster.
    said: Option<String>,
}

impl Contact {
    /// Keeps contact through `session`, and says on stderr in the name of `tool` when it is lost.
    pub fn new(session: Session, tool: &'static str) -> Self {
        Self { session, tool, patience: contact_timeout(), said: None }
    }

    /// The session as it is now.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Makes a call that only asks, again and again while it fails in passing, or until credentials that have run out
    /// are renewed.
    ///
    /// # Errors
    /// The call's own failure, when it is no passing one or when contact was lost for longer than
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
                        let hindered =
                            self.session.renew(&Failure::new(ErrorKind::NoAnswer, "no answer")).await.err();
                        tell(self.tool, &mut self.said, hindered);
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
                // The session keeps what it was given; there may be better ones by now.
                self.renew(&failure).await;
                continue;
            }
            let since = *lost_since.get_or_insert_with(|| {
                note(format!("{}: contact lost, trying again: {failure}", self.tool));
                if needs_credentials {
                    failure.hints().iter().for_each(|hint| note(format!("hint: {hint}")));
                }
                Instant::now()
            });
            if since.elapsed() + pause > self.patience {
                return Err(failure);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            self.renew(&failure).await;
        }
    }

    async fn renew(&mut self, failure: &Failure) {
        match self.session.renew(failure).await {
            Ok(session) => self.session = session,
            Err(hindered) => tell(self.tool, &mut self.said, Some(hindered)),
        }
    }
}

/// Says why a cluster cannot be reached, once: what is lost in passing is said by whoever has lost it.
fn tell(tool: &str, said: &mut Option<String>, hindered: Option<Failure>) {
    let Some(failure) = hindered.filter(|failure| !failure.is_retryable()) else { return };
    if said.replace(failure.message().to_owned()).as_deref() != Some(failure.message()) {
        note(format!("{tool}: {failure}"));
        failure.hints().iter().for_each(|hint| note(format!("hint: {hint}")));
    }
}
