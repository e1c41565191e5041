//! Work on the host: a process of the user, its group, its pipe, its scratch folder.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::executor::{Event, EventSender, Execution, Outcome};
use super::limits::Lent;
use super::output::{Output, Source};
use super::process;
use super::protocol::{AttemptId, Run, TASK_VARIABLE};
use super::spare::{FolderStamp, Spare, Spares};
use super::tmpdir::TmpDir;
use super::unpacker::{Command, Folder, Ready, Unpacker};
use crate::home::files::SCRATCH;
use crate::home::{contents, space};
use crate::s3;
use crate::time::now_ms;

/// Waits for one process after the other, in a thread of its own: the portable way to wait for a
/// process and for input at once, without signal handlers. Where there is a descriptor for that, it
/// has nothing to do.
#[derive(Debug)]
pub struct Waiter(mpsc::Sender<(AttemptId, Pid)>);

impl Waiter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn new(events: EventSender) -> io::Result<Self> {
        let (sender, to_wait_for) = mpsc::channel::<(AttemptId, Pid)>();
        std::thread::Builder::new().name("waiter".to_owned()).spawn(move || {
            for (attempt_id, pid) in to_wait_for {
                events.send(&attempt_id, Event::Ended(process::outcome(process::wait_for_end(pid))));
            }
        })?;
        Ok(Self(sender))
    }

    /// Reports the end of a process.
    pub fn wait(&self, attempt_id: &AttemptId, pid: Pid) {
        let waiting = self.0.send((attempt_id.clone(), pid));
        debug_assert!(waiting.is_ok(), "the waiter lives as long as the runner");
    }
}

/// More than a pipe holds (pipe(7): 64 KiB, and up to `pipe-max-size` for who asks for it).
const PIPEFUL: usize = 16 << 20;

/// Bytes of a bundle that a runner unpacks itself.
const LARGEST_BUNDLE: u64 = 4 << 20;
/// The folder below a job's working directory where its launcher would have unpacked it.
const UNPACKED: &str = "awsb.0.0";

/// A process of the host and all that belongs to it.
#[derive(Debug)]
pub struct HostExecution {
    attempt_id: AttemptId,
    leader: Pid,
    end: Option<OwnedFd>,
    pipe: Option<PipeReader>,
    output: Option<Output>,
    scratch: PathBuf,
    /// The working directory as it was when the process was started.
    mark: Option<FolderStamp>,
    tmpdir: TmpDir,
    /// The folder that was unpacked there for the job, and its state then.
    unpacked: Option<(Folder, Option<FolderStamp>)>,
    /// It has ended, and nothing of it is left that could still write to its folders.
    is_gone: bool,
}

impl HostExecution {
    /// Starts the process of an attempt, which has been journalled; `environment` is what all jobs
    /// have.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        run: &Run,
        environment: &BTreeMap<String, String>,
        unpacker: &mut Unpacker,
        spares: &mut Spares,
    ) -> Result<Self, process::CannotStart> {
        let cannot = |e: io::Error| process::CannotStart {
            reason: format!("CannotStartContainerError: {}", space::words(&home(), &e)),
            ..process::CannotStart::without_a_program(&e)
        };
        let scratch = scratch(&run.attempt_id).map_err(cannot)?;
        // A try before this one may have left it; no process of the job has been there.
        contents::remove_tree(&scratch).map_err(cannot)?;
        spares.scratch.make(&scratch).map_err(cannot)?;
        let mut environment = environment.clone();
        let tmpdir = TmpDir::to(&scratch);
        environment.insert("TMPDIR".to_owned(), tmpdir.path().display().to_string());
        environment.extend(run.environment.iter().cloned());
        environment.insert(TASK_VARIABLE.to_owned(), run.attempt_id.as_str().to_owned());
        let mut job = Command { argv: run.command.clone(), environment, directory: scratch.clone() };
        let Ready { folder: unpacked, direct } = ready(unpacker, &mut job, &mut spares.unpacked);
        let mark = FolderStamp::of(&scratch).ok();
        let mut unpacked = unpacked.map(|folder| {
            let mark = FolderStamp::of(folder.path()).ok();
            (folder, mark)
        });
        let begin = |command: &Command| {
            let (pipe, writer) = io::pipe().map_err(cannot)?;
            let _limits = Lent::take(&run.limits);
            let started = process::start(&command.argv, &command.environment, &command.directory, writer);
            Ok((pipe, started.map_err(|failure| failure.under(&run.limits))?))
        };
        // A job that cannot be started without its launcher is left to the launcher, which says
        // what is wrong.
        let begun = direct.and_then(|direct| begin(&direct).ok()).map_or_else(|| begin(&job), Ok);
        let (pipe, leader) = begun.inspect_err(|_| {
            // It is tried again, in a new folder. These need no descriptor, of which there may be
            // none.
            if let Some((unpacked, _)) = unpacked.take() {
                unpacked.remove();
            }
            let _ = std::fs::remove_dir(&scratch);
        })?;
        Ok(Self {
            attempt_id: run.attempt_id.clone(),
            leader,
            end: process::end_of(leader),
            pipe: Some(pipe),
            output: Some(Output::new(run.log.clone().into())),
            scratch,
            mark,
            tmpdir,
            unpacked,
            is_gone: false,
        })
    }

    /// The first process, which leads the group of all.
    pub fn leader(&self) -> Pid {
        self.leader
    }

    /// Takes what is in the pipe now; returns how many bytes that were.
    fn read(&mut self) -> usize {
        let (Some(pipe), Some(output)) = (&mut self.pipe, &mut self.output) else { return 0 };
        let mut bytes = [0; 64 * 1024];
        match pipe.read(&mut bytes) {
            Ok(n) if n > 0 => {
                output.take(Source::Both, &bytes[..n], now_ms());
                return n;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => self.pipe = None,
        }
        0
    }

    /// Takes what the job has written before it ended. Its processes are dead, so the end of the
    /// pipe is near; only where a process could flee from its group, or cannot be killed, might
    /// somebody still hold it open, and write to it for ever.
    fn drain(&mut self) {
        let mut taken = 0;
        while let Some(pipe) = &self.pipe
            && taken < PIPEFUL
        {
            let mut set = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
            match poll(&mut set, PollTimeout::ZERO) {
                Err(nix::errno::Errno::EINTR) => {}
                Ok(0) | Err(_) => self.pipe = None,
                Ok(_) => taken += self.read(),
            }
        }
    }
}

impl Execution for HostExecution {
    fn readable(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    fn take_output(&mut self) {
        self.read();
    }

    fn end(&self) -> Option<BorrowedFd<'_>> {
        self.end.as_ref().map(AsFd::as_fd)
    }

    fn outcome(&self) -> Option<Outcome> {
        Some(process::outcome(process::wait_for_end(self.leader)))
    }

    fn signal(&mut self, signal: Signal) {
        process::signal_group(self.leader, signal);
    }

    fn finish(&mut self) -> Option<String> {
        self.is_gone = process::reap(self.leader, &self.attempt_id);
        self.drain();
        self.output.take().and_then(|output| output.finish().err()).map(|lost| lost.to_string())
    }

    fn clean(self: Box<Self>, spares: &mut Spares) -> Option<JoinHandle<()>> {
        let Self { scratch, mark, tmpdir, unpacked, is_gone, .. } = *self;
        // A link never leads to nothing while its job is there.
        drop(tmpdir);
        // Looked at before we change it.
        let mark = mark.filter(|mark| is_gone && mark.is_of(&scratch));
        if let Some((folder, unpacked)) = unpacked {
            let unpacked = unpacked.filter(|unpacked| is_gone && unpacked.is_of(folder.path()));
            let other = Path::new(SCRATCH).join(AttemptId::random().as_str());
            if let Some(path) = folder.empty()
                && !unpacked.is_some_and(|mark| spares.unpacked.keep(&path, &mark, Some(other)))
            {
                let _ = std::fs::remove_dir(path);
            }
        }
        if !mark.is_some_and(|mark| spares.scratch.keep(&scratch, &mark, None))
            && let Err(e) = contents::remove_tree(&scratch)
        {
            tracing::warn!("removing {}: {e}", scratch.display());
        }
        None
    }
}

/// The home: a runner's working directory.
fn home() -> PathBuf {
    std::path::absolute(".").unwrap_or_default()
}

/// Does the work of a job's launcher, as far as possible. The launcher does the rest.
fn ready(unpacker: &mut Unpacker, job: &mut Command, spare: &mut Spare) -> Ready {
    let folder = job.directory.join(UNPACKED);
    let fetch =
        |bucket: &str, key: &str| s3::content(Path::new(""), bucket, key, LARGEST_BUNDLE).ok().flatten();
    unpacker.ready_in(job, &folder, |folder| spare.make(folder), fetch).unwrap_or_else(|_| {
        let _ = contents::remove_tree(&folder);
        Ready { folder: None, direct: None }
    })
}

/// The job's working directory, absolute: it is the job's TMPDIR, too.
fn scratch(attempt_id: &AttemptId) -> io::Result<PathBuf> {
    std::path::absolute(Path::new(SCRATCH).join(attempt_id.as_str()))
}
