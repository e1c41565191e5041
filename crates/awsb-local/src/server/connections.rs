//! The limit of open connections, and the choice of the one that is closed when there is no room
//! for another.
//!
//! Anybody on this machine can connect to a port of 127.0.0.1. A client that opens connections and
//! sends nothing must not keep others out. When all slots are taken, the oldest connection that has
//! never made a request with a valid signature is closed, then the one that has been idle for the
//! longest time. A connection whose request is being answered is never closed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{Notify, oneshot};

/// The age from which a connection's first request is no longer awaited.
const YOUNG: Duration = Duration::from_millis(50);

/// The places for connections.
#[derive(Debug)]
pub struct Connections {
    limit: usize,
    /// A connection that is younger may have its first request on the way.
    young: Duration,
    open: Mutex<OpenConnections>,
    /// One has been closed, or has become idle.
    freed: Notify,
}

#[derive(Debug, Default)]
struct OpenConnections {
    next: u64,
    /// By the order in which they came.
    all: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    /// Requests that are being answered.
    busy: usize,
    /// It has made a request with a good signature.
    is_authenticated: bool,
    /// When it was opened, or was last busy.
    idle_since: Instant,
    close: oneshot::Sender<()>,
}

impl Connections {
    /// Slots for `limit` connections.
    pub fn new(limit: usize) -> Arc<Self> {
        Self::with(limit, YOUNG)
    }

    fn with(limit: usize, young: Duration) -> Arc<Self> {
        Arc::new(Self { limit, young, open: Mutex::new(OpenConnections::default()), freed: Notify::new() })
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a slot for a connection. The receiver signals that the connection has to close.
    pub async fn enter(self: &Arc<Self>) -> (Arc<Slot>, oneshot::Receiver<()>) {
        loop {
            let freed = self.freed.notified();
            if let Some(entered) = self.try_enter() {
                return entered;
            }
            freed.await;
        }
    }

    fn try_enter(self: &Arc<Self>) -> Option<(Arc<Slot>, oneshot::Receiver<()>)> {
        let mut open = self.open();
        if open.all.len() >= self.limit && !open.close_one(self.young) {
            return None;
        }
        let (close, closed) = oneshot::channel();
        let id = open.next;
        open.next += 1;
        let idle_since = Instant::now();
        open.all.insert(id, Connection { busy: 0, is_authenticated: false, idle_since, close });
        Some((Arc::new(Slot { id, connections: Arc::clone(self) }), closed))
    }

    /// Closes a connection that can be spared, if there is one: as descriptors are short.
    pub fn close_one(&self) {
        self.open().close_one(self.young);
    }
}

impl OpenConnections {
    fn close_one(&mut self, young: Duration) -> bool {
        let idle = || self.all.iter().filter(|(_, c)| c.busy == 0);
        let stranger = idle().find(|(_, c)| !c.is_authenticated);
        let known = idle().filter(|(_, c)| c.is_authenticated).min_by_key(|(_, c)| c.idle_since);
        let spared = match (stranger, known) {
            (Some((_, c)), Some(known)) if c.idle_since.elapsed() < young => Some(known),
            (Some(stranger), _) => Some(stranger),
            (None, known) => known,
        };
        let Some(id) = spared.map(|(id, _)| *id) else { return false };
        if let Some(connection) = self.all.remove(&id) {
            // One that is closing already needs no word.
            let _ = connection.close.send(());
        }
        true
    }
}

/// A connection's place, as long as it is open.
#[derive(Debug)]
pub struct Slot {
    id: u64,
    connections: Arc<Connections>,
}

impl Slot {
    /// A request has come; it is being answered until what is returned is dropped.
    pub fn busy(self: &Arc<Self>) -> Busy {
        if let Some(connection) = self.connections.open().all.get_mut(&self.id) {
            connection.busy += 1;
        }
        Busy(Arc::clone(self))
    }

    /// A request had a good signature.
    pub fn set_authenticated(&self) {
        if let Some(connection) = self.connections.open().all.get_mut(&self.id) {
            connection.is_authenticated = true;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.open().all.remove(&self.id);
        self.connections.freed.notify_one();
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Busy(Arc<Slot>);

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(connection) = self.0.connections.open().all.get_mut(&self.0.id) {
            connection.busy = connection.busy.saturating_sub(1);
            connection.idle_since = Instant::now();
        }
        self.0.connections.freed.notify_one();
    }
}

/// The body of an answer: its connection is busy until it has been sent.
#[derive(Debug)]
pub struct AnswerBody<B> {
    body: B,
    _busy: Busy,
}

impl<B> AnswerBody<B> {
    /// A body that keeps its connection busy.
    pub fn new(body: B, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl<B: Body + Unpin> Body for AnswerBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_says_nothing_gives_way_and_who_is_busy_never_does() {
        let connections = Connections::with(3, Duration::MAX);
        let (mut first, second, third) =
            (connections.enter().await, connections.enter().await, connections.enter().await);
        let busy = first.0.busy();
        second.0.set_authenticated();
        // The third is too young to be closed while there is one that could come back.
        let mut second = second;
        let mut fourth = connections.enter().await;
        assert!(second.1.try_recv().is_ok());
        let mut third = third;
        assert!(third.1.try_recv().is_err() && first.1.try_recv().is_err());
        // Nobody is left that is known and idle.
        let fifth = connections.enter().await;
        assert!(third.1.try_recv().is_ok());
        assert!(fourth.1.try_recv().is_err());
        let (_four, _five) = (fourth.0.busy(), fifth.0.busy());
        // All are busy: the next one waits until one is not any more.
        let waiting = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.enter().await.0.id }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(busy);
        assert_eq!(waiting.await.unwrap(), 5);
        assert!(first.1.try_recv().is_ok());
    }

    #[tokio::test]
    async fn who_has_said_nothing_for_long_gives_way_before_who_is_authenticated() {
        let connections = Connections::with(2, Duration::ZERO);
        let (mut known, mut silent) = (connections.enter().await, connections.enter().await);
        known.0.set_authenticated();
        let _third = connections.enter().await;
        assert!(silent.1.try_recv().is_ok() && known.1.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_place_is_free_when_its_connection_has_ended() {
        let connections = Connections::new(1);
        for _ in 0..3 {
            let (place, mut close) = connections.enter().await;
            let busy = place.busy();
            assert!(close.try_recv().is_err());
            drop((busy, place));
        }
        assert_eq!(connections.open().all.len(), 0);
    }
}
