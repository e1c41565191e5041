//! What a runner runs: to its loop, a process of the host and a container are the same.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use nix::sys::signal::Signal;

use super::protocol::TaskId;
use super::spare::Spares;

/// An attempt that has begun: processes of the host, or a container.
///
/// Its end, unless there is a descriptor for it, and its start, if that takes time, come as
/// [`News`]. Until then it can be signalled at any time.
pub trait Work {
    /// What can be read when there is output to take; `None` when the work looks after its output
    /// itself.
    fn readable(&self) -> Option<BorrowedFd<'_>>;

    /// Takes what is there of its output.
    fn take_output(&mut self);

    /// What can be read when it has ended; `None` of one whose end comes as [`News`].
    fn end(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// How it has ended, when [`Work::end`] can be read.
    fn outcome(&self) -> Option<Outcome> {
        None
    }

    /// SIGTERM asks all of it to end, SIGKILL ends it. Said of work that has not started yet, it
    /// never does.
    fn signal(&mut self, signal: Signal);

    /// Its end has been told: what it has left running is killed, the rest of its output taken.
    /// Returns what there is to be said of that, e.g. that output could not be written.
    fn finish(&mut self) -> Option<String>;

    /// Removes what is left of it, after its end has been written down, or keeps it for the next
    /// work. What takes time happens in a thread, which the runner waits for before it goes.
    fn clean(self: Box<Self>, spares: &mut Spares) -> Option<JoinHandle<()>>;
}

/// How a work has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The exit code, 128 + signal for an end by a signal; `None` when there is none.
    pub exit_code: Option<i32>,
    /// What else is to be said (`container.reason`).
    pub reason: Option<String>,
    /// It has not ended by itself: what it ran on is gone.
    pub lost: bool,
    /// Why some of its output is lost, where that is known before [`Work::finish`].
    pub unkept: Option<String>,
}

/// What has happened to a work.
#[derive(Debug)]
pub enum News {
    /// It runs, since this time in milliseconds since the epoch, and other nodes reach it at this
    /// address. Only of work that does not run at once.
    Started(i64, Option<Ipv4Addr>),
    /// It has ended.
    Ended(Outcome),
}

/// Where the threads of works tell what has happened: a channel, and a pipe that can be waited for
/// together with everything else.
#[derive(Debug, Clone)]
pub struct Teller {
    sender: mpsc::Sender<(TaskId, News)>,
    bell: Arc<PipeWriter>,
}

impl Teller {
    /// Tells the runner's loop.
    pub fn tell(&self, task: &TaskId, news: News) {
        // A loop that is gone need not hear it.
        if self.sender.send((task.clone(), news)).is_ok() {
            let _ = (&*self.bell).write_all(&[0]);
        }
    }
}

/// An attempt whose process cannot be started yet. It ends only when it is signalled, and then it
/// never began.
#[derive(Debug)]
pub struct Postponed {
    /// The attempt.
    pub task: TaskId,
    /// Where its end is told.
    pub teller: Teller,
}

impl Work for Postponed {
    fn readable(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn take_output(&mut self) {}

    fn signal(&mut self, _: Signal) {
        self.teller.tell(&self.task, News::Ended(Outcome::default()));
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
pub struct Hearer {
    receiver: mpsc::Receiver<(TaskId, News)>,
    bell: PipeReader,
}

/// The two ends.
///
/// # Errors
/// When there are no descriptors left.
pub fn grapevine() -> io::Result<(Teller, Hearer)> {
    let (sender, receiver) = mpsc::channel();
    let (reader, writer) = io::pipe()?;
    Ok((Teller { sender, bell: Arc::new(writer) }, Hearer { receiver, bell: reader }))
}

impl Hearer {
    /// What can be read when there are news.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// The next piece of news; the pipe has been found to be readable.
    pub fn hear(&mut self) -> Option<(TaskId, News)> {
        let mut byte = [0];
        let _ = self.bell.read(&mut byte);
        self.receiver.recv().ok()
    }
}
