//! The interface between the runner's loop and what it runs: a process of the host, or a container.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use nix::sys::signal::Signal;

use super::protocol::{AttemptId, ContainerEnd, ContainerState};
use super::spare::Spares;

/// An attempt that has begun: processes of the host, or a container.
///
/// Its end, unless there is a descriptor for it, and its start, if that takes time, come as
/// [`Event`]. Until then it can be signalled at any time.
pub trait Execution {
    /// A descriptor that is readable when there is output to take; `None` when the execution
    /// handles its output itself.
    fn readable(&self) -> Option<BorrowedFd<'_>>;

    /// Takes what is there of its output.
    fn take_output(&mut self);

    /// A descriptor that is readable when it has ended; `None` when the end comes as an [`Event`].
    fn end(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// How it has ended, when [`Execution::end`] can be read.
    fn outcome(&self) -> Option<Outcome> {
        None
    }

    /// SIGTERM asks all of it to end, SIGKILL ends it. An execution that gets a signal before it
    /// has started never starts.
    fn signal(&mut self, signal: Signal);

    /// Finishes it after its end: processes that are left are killed, and the rest of the output is
    /// taken. Returns why output is lost, if it is.
    fn finish(&mut self) -> Option<String>;

    /// Removes its leftovers after its end has been recorded, or stores them for the next
    /// execution. Slow work happens in a thread, which the runner joins before it exits.
    fn clean(self: Box<Self>, spares: &mut Spares) -> Option<JoinHandle<()>>;
}

/// How a work has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The exit code; 128 + signal after a signal; `None` without an exit code.
    pub exit_code: Option<i32>,
    /// More about the end (`container.reason`).
    pub reason: Option<String>,
    /// It has not ended by itself: its host is gone.
    pub lost: bool,
    /// Why some of its output is lost, where that is known before [`Execution::finish`].
    pub lost_output: Option<String>,
    /// The ends of its containers, for a task of several.
    pub containers: Vec<ContainerEnd>,
}

/// An event of an execution.
#[derive(Debug)]
pub enum Event {
    /// It runs. Only of work that does not run at once.
    Started {
        /// Since when, in milliseconds since the epoch.
        at: i64,
        /// Where other nodes reach it.
        address: Option<Ipv4Addr>,
        /// The containers that have begun.
        containers: Vec<ContainerState>,
    },
    /// One of its containers has started or ended. These are all that have begun.
    Containers(Vec<ContainerState>),
    /// It has ended.
    Ended(Outcome),
}

/// Where the threads of works tell what has happened: a channel, and a pipe that can be waited for
/// together with everything else.
#[derive(Debug, Clone)]
pub struct EventSender {
    sender: mpsc::Sender<(AttemptId, Event)>,
    waker: Arc<PipeWriter>,
}

impl EventSender {
    /// Sends an event to the runner's loop.
    pub fn send(&self, attempt_id: &AttemptId, news: Event) {
        // A loop that is gone need not hear it.
        if self.sender.send((attempt_id.clone(), news)).is_ok() {
            let _ = (&*self.waker).write_all(&[0]);
        }
    }
}

/// An attempt whose process cannot be started yet. It ends only when it is signalled, and then it
/// never began.
#[derive(Debug)]
pub struct PostponedExecution {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Where its end is reported.
    pub events: EventSender,
}

impl Execution for PostponedExecution {
    fn readable(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn take_output(&mut self) {}

    fn signal(&mut self, _: Signal) {
        self.events.send(&self.attempt_id, Event::Ended(Outcome::default()));
    }

    fn finish(&mut self) -> Option<String> {
        None
    }

    fn clean(self: Box<Self>, _: &mut Spares) -> Option<JoinHandle<()>> {
        None
    }
}

/// The loop's end of it.
#[derive(Debug)]
pub struct EventReceiver {
    receiver: mpsc::Receiver<(AttemptId, Event)>,
    waker: PipeReader,
}

/// The two ends.
///
/// # Errors
/// When there are no descriptors left.
pub fn event_channel() -> io::Result<(EventSender, EventReceiver)> {
    let (sender, receiver) = mpsc::channel();
    let (reader, writer) = io::pipe()?;
    Ok((EventSender { sender, waker: Arc::new(writer) }, EventReceiver { receiver, waker: reader }))
}

impl EventReceiver {
    /// A descriptor that is readable when an event has come.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }

    /// The next piece of news; the pipe has been found to be readable.
    pub fn receive(&mut self) -> Option<(AttemptId, Event)> {
        let mut byte = [0];
        let _ = self.waker.read(&mut byte);
        self.receiver.recv().ok()
    }
}
