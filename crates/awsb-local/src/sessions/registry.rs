//! The sessions that wait for their clients, and the attempts that can have sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;
use tokio::sync::watch;

use crate::runner::kill_remains;
use crate::runner::protocol::{AttemptId, Run};

/// How long a session waits for its client.
const TOKEN_LASTS: Duration = Duration::from_secs(60);
/// The most sessions that wait for their clients.
const MAX_WAITING: usize = 64;
/// How much later than its processes the end of an attempt may be known here.
const NEWS_LAG: Duration = Duration::from_secs(2);
/// How long sessions may take to end when the server stops. Their commands have five seconds after
/// SIGHUP.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);
/// The exit code of a command that SIGKILL has ended.
pub const KILLED: u8 = 137;
/// The message for a command whose job has ended.
pub const JOB_ENDED: &str = "the job has ended, and the command with it";
/// The most sessions at a time. Each has up to four descriptors and a process.
const MAX_OPEN: usize = 64;

/// The sessions of a server.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    state: Arc<Mutex<State>>,
    /// Becomes true when the server stops. Each session that has begun has a receiver.
    stops: Arc<watch::Sender<bool>>,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<String, Waiting>,
    /// The attempts for which sessions have been asked, until they end.
    attempts: HashMap<AttemptId, Attempt>,
    open: usize,
}

#[derive(Debug)]
struct Waiting {
    token: String,
    until: Instant,
    task: Task,
}

/// An attempt that can have sessions.
#[derive(Debug)]
struct Attempt {
    /// Whether a command has run beside its processes.
    has_processes: bool,
    /// Becomes true when the attempt ends.
    ended: watch::Sender<bool>,
}

/// The purpose of a session.
#[derive(Debug, Clone)]
pub enum Task {
    /// To run a command.
    Command {
        /// The attempt.
        attempt_id: AttemptId,
        /// The program and its arguments.
        command: Vec<String>,
        /// Its place.
        place: Place,
    },
    /// To connect to a port.
    Forward {
        /// The attempt.
        attempt_id: AttemptId,
        /// The port.
        port: u16,
        /// Its place.
        place: Place,
    },
}

/// The place of a session.
#[derive(Debug, Clone)]
pub enum Place {
    /// On the host: the order that its runner has, and the environment that all jobs have.
    Host(Box<Run>, Vec<(String, String)>),
    /// In the container with this name on its engine. Of several, a command is in the one that is
    /// named, and a port is in the one that holds their network.
    Container(String),
}

/// A session that has been opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Its ID.
    pub id: String,
    /// The token that its client has to have.
    pub token: String,
}

/// There are too many sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the local cluster has {MAX_OPEN} sessions with jobs at most, and has that many now")]
pub struct TooMany;

/// A session that has begun. It counts as open until this is dropped.
#[derive(Debug)]
pub struct Begun {
    /// Its purpose.
    pub task: Task,
    /// Becomes true when the attempt ends; an error means the same.
    ended: watch::Receiver<bool>,
    /// Becomes true when the server stops; an error means the same.
    stops: watch::Receiver<bool>,
    sessions: Sessions,
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut state = self.sessions.state();
        state.open = state.open.saturating_sub(1);
    }
}

impl Begun {
    /// Returns when the attempt has ended.
    pub async fn attempt_end(&self) {
        let mut ended = self.ended.clone();
        // A sender that is gone has gone with the attempt.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Whether the attempt has ended, or ends in a moment. Its end kills its processes a little
    /// earlier than it is known here, so this is asked when a command has been killed.
    pub async fn attempt_ends_now(&self) -> bool {
        tokio::time::timeout(NEWS_LAG, self.attempt_end()).await.is_ok()
    }

    /// Returns when the server stops, and the session has to end.
    pub async fn server_stop(&self) {
        let mut stops = self.stops.clone();
        let _ = stops.wait_for(|stops| *stops).await;
    }
}

impl Sessions {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all sessions, as if their clients were gone, and returns when they have ended. No other
    /// one begins from now on.
    pub async fn close(&self) {
        self.stops.send_replace(true);
        // Each session drops its receiver when it ends.
        if tokio::time::timeout(CLOSE_TIMEOUT, self.stops.closed()).await.is_err() {
            tracing::warn!("sessions with jobs have not ended within {} seconds", CLOSE_TIMEOUT.as_secs());
        }
    }

    /// Notes that an attempt runs, so that it can have sessions. The engine calls this, which is
    /// the one that knows of ends as well.
    pub fn attempt_runs(&self, attempt_id: &AttemptId) {
        self.state()
            .attempts
            .entry(attempt_id.clone())
            .or_insert_with(|| Attempt { has_processes: false, ended: watch::Sender::new(false) });
    }

    /// Notes that an attempt runs beside which an earlier server may have started commands.
    pub fn attempt_outlived_server(&self, attempt_id: &AttemptId) {
        let attempt = Attempt { has_processes: true, ended: watch::Sender::new(false) };
        self.state().attempts.insert(attempt_id.clone(), attempt);
    }

    /// Ends the sessions of an attempt that has ended, and the processes that commands have left
    /// beside it.
    pub fn attempt_ended(&self, attempt_id: &AttemptId) {
        let Some(attempt) = self.state().attempts.remove(attempt_id) else { return };
        attempt.ended.send_replace(true);
        if attempt.has_processes {
            let attempt_id = attempt_id.clone();
            let kill = move || kill_remains(&attempt_id, None);
            // Without a thread the processes lose their terminals all the same.
            let _ = std::thread::Builder::new().name("sessions".to_owned()).spawn(kill);
        }
    }

    /// Opens a session.
    ///
    /// # Errors
    /// When there are too many.
    pub fn open(&self, task: Task) -> Result<Opened, TooMany> {
        let mut state = self.state();
        let now = Instant::now();
        state.waiting.retain(|_, waiting| waiting.until > now);
        if state.waiting.len() >= MAX_WAITING || state.open >= MAX_OPEN {
            return Err(TooMany);
        }
        let random = || uuid::Uuid::new_v4().simple().to_string();
        let opened = Opened { id: random(), token: random() + &random() };
        let waiting = Waiting { token: opened.token.clone(), until: now + TOKEN_LASTS, task };
        state.waiting.insert(opened.id.clone(), waiting);
        Ok(opened)
    }

    /// Begins a session, once. `None` when there is no such session, it has begun already, its
    /// token is another one, its attempt has ended, or the server stops.
    pub fn begin(&self, id: &str, token: &str) -> Option<Begun> {
        let stops = self.stops.subscribe();
        if *stops.borrow() {
            return None;
        }
        let mut state = self.state();
        let waiting = state.waiting.get(id)?;
        let is_right: bool = waiting.token.as_bytes().ct_eq(token.as_bytes()).into();
        if !is_right || waiting.until <= Instant::now() {
            return None;
        }
        let task = state.waiting.remove(id)?.task;
        let (attempt_id, runs_processes) = match &task {
            Task::Command { attempt_id, place, .. } => (attempt_id, matches!(place, Place::Host(..))),
            Task::Forward { attempt_id, .. } => (attempt_id, false),
        };
        let attempt = state.attempts.get_mut(attempt_id)?;
        attempt.has_processes |= runs_processes;
        let ended = attempt.ended.subscribe();
        state.open += 1;
        drop(state);
        Some(Begun { task, ended, stops, sessions: self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(attempt: &str) -> Task {
        let attempt_id = AttemptId::from(attempt.to_owned());
        Task::Forward { attempt_id, port: 1, place: Place::Container("a".to_owned()) }
    }

    #[test]
    fn a_token_is_good_for_one_session_of_an_attempt_that_runs() {
        let sessions = Sessions::default();
        let attempt_id = AttemptId::from("a".to_owned());
        let early = sessions.open(task("a")).unwrap();
        assert!(sessions.begin(&early.id, &early.token).is_none(), "the attempt is not known to run");
        sessions.attempt_runs(&attempt_id);
        let opened = sessions.open(task("a")).unwrap();
        assert!(sessions.begin("other", &opened.token).is_none());
        assert!(sessions.begin(&opened.id, "").is_none());
        let wrong = format!("{}0", &opened.token[1..]);
        assert!(sessions.begin(&opened.id, &wrong).is_none());
        let begun = sessions.begin(&opened.id, &opened.token).unwrap();
        assert!(sessions.begin(&opened.id, &opened.token).is_none());
        assert!(!*begun.ended.borrow());
        let late = sessions.open(task("a")).unwrap();
        sessions.attempt_ended(&attempt_id);
        assert!(*begun.ended.borrow());
        assert!(sessions.begin(&late.id, &late.token).is_none());
    }

    #[tokio::test]
    async fn a_server_that_stops_waits_for_its_sessions_and_begins_no_other_one() {
        let sessions = Sessions::default();
        sessions.attempt_runs(&AttemptId::from("a".to_owned()));
        let opened = sessions.open(task("a")).unwrap();
        let begun = sessions.begin(&opened.id, &opened.token).unwrap();
        let late = sessions.open(task("a")).unwrap();
        let (closing, session) = (sessions.clone(), tokio::sync::oneshot::channel());
        let closed = tokio::spawn(async move {
            closing.close().await;
            session.0.send(()).unwrap();
        });
        begun.server_stop().await;
        assert!(sessions.begin(&late.id, &late.token).is_none());
        let mut has_closed = session.1;
        assert!(has_closed.try_recv().is_err());
        drop(begun);
        has_closed.await.unwrap();
        closed.await.unwrap();
    }

    #[test]
    fn sessions_are_limited_and_make_room_when_they_end() {
        let sessions = Sessions::default();
        sessions.attempt_runs(&AttemptId::from("a".to_owned()));
        let mut begun = Vec::new();
        for _ in 0..MAX_OPEN {
            let opened = sessions.open(task("a")).unwrap();
            begun.push(sessions.begin(&opened.id, &opened.token).unwrap());
        }
        assert_eq!(sessions.open(task("a")), Err(TooMany));
        begun.pop();
        assert!(sessions.open(task("a")).is_ok());
    }
}
