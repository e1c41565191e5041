//! The signals that ask a tool to end: Ctrl-C, SIGTERM, and SIGHUP when its terminal goes.
//!
//! Whoever waits for something says what becomes of it, and the tool ends. After SIGTERM and SIGHUP it ends by the signal
//! itself, so that its parent sees what ended it (`WIFSIGNALED`).

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{LazyLock, Once, mpsc};
use std::time::Duration;

use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::{Exit, Failure};

/// A signal that asks the tool to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndSignal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: `kill`, `timeout`, a service manager, a batch system.
    Terminate,
    /// SIGHUP: the terminal or the connection is gone.
    HangUp,
}

/// As a message says it: `interrupted`, or `interrupted by SIGTERM`.
impl fmt::Display for EndSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EndSignal::Interrupt => "interrupted",
            EndSignal::Terminate => "interrupted by SIGTERM",
            EndSignal::HangUp => "interrupted by SIGHUP",
        })
    }
}

impl EndSignal {
    /// Its number, which is the same on all systems (POSIX, `kill`).
    pub fn number(self) -> u8 {
        match self {
            EndSignal::Interrupt => 2,
            EndSignal::Terminate => 15,
            EndSignal::HangUp => 1,
        }
    }

    /// Ends this process by the signal. It returns for Ctrl-C, which has an exit code, and where the signal cannot end
    /// the process: the first one of a container.
    pub fn end_process(self) {
        if self == EndSignal::Interrupt || std::process::id() == 1 {
            return;
        }
        let _ = emulate_default_handler(self.number().into());
    }

    /// Ends this process as the signal ends a tool: by the signal itself, or with its exit code.
    fn end_tool(self) -> ! {
        self.end_process();
        std::process::exit(i32::from(Exit::Interrupted(self).code()))
    }
}

/// How many want to hear of the signals, and end by themselves.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);

/// Whether somebody has heard of a signal and sees to the end.
static HEARD: AtomicBool = AtomicBool::new(false);

/// Whether the tool ends for a signal. What it still prints must not keep it from that.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Whether something that is printed at the end has found no reader: then nothing more is tried.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Nobody has heard of a signal after this time: the tool hangs, as in a write to a pipe that nobody reads.
const DEAF: Duration = Duration::from_secs(2);

/// A story that listens has heard of a signal after this time, and ends by itself.
const STORY_HEARS: Duration = Duration::from_millis(50);

/// What is printed at the end waits no longer than this for a reader.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// Whether SIGHUP was ignored when the tool was started, as `nohup` has it: then it stays so.
static HANGUP_IS_IGNORED: LazyLock<bool> = LazyLock::new(|| ignored_signals() & 1 != 0);

/// The signals that this process ignores, as a mask whose lowest bit is signal 1; none where that cannot be found out.
fn ignored_signals() -> u64 {
    let mask = match std::fs::read_to_string("/proc/self/status") {
        // proc_pid_status(5).
        Ok(status) => status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::to_owned),
        Err(_) if cfg!(target_os = "linux") => None,
        // ps(1) of macOS and the BSDs.
        Err(_) => {
            let pid = std::process::id().to_string();
            let asked = std::process::Command::new("ps").args(["-o", "sigignore=", "-p", &pid]).output();
            asked.ok().map(|answer| String::from_utf8_lossy(&answer.stdout).into_owned())
        }
    };
    mask.and_then(|mask| u64::from_str_radix(mask.trim().trim_start_matches("0x"), 16).ok()).unwrap_or(0)
}

/// Whether SIGHUP was ignored when this process was started, as `nohup` has it. To be asked before there is a handler.
pub fn ignores_hangup() -> bool {
    *HANGUP_IS_IGNORED
}

/// From here on, a tool that does not come to hear of a signal ends by it all the same after a while, and at once by a second
/// one. A second SIGHUP is none: a terminal that goes may send several.
pub fn watch_signals() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let all = [EndSignal::Interrupt, EndSignal::Terminate, EndSignal::HangUp].into_iter();
        let watched = all.clone().filter(|signal| *signal != EndSignal::HangUp || !*HANGUP_IS_IGNORED);
        let Ok(mut signals) = Signals::new(watched.map(|signal| i32::from(signal.number()))) else { return };
        // Without the thread it is the story alone that hears of them.
        let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let mut is_first = true;
            for number in signals.forever() {
                let Some(signal) = all.clone().find(|s| i32::from(s.number()) == number) else { continue };
                let is_first = std::mem::take(&mut is_first);
                match signal {
                    _ if is_first => {
                        std::thread::spawn(move || {
                            std::thread::sleep(DEAF);
                            if !HEARD.load(Ordering::SeqCst) {
                                signal.end_tool();
                            }
                        });
                    }
                    EndSignal::HangUp => {}
                    // Whoever has heard of the first Ctrl-C may ask, or do something about the next one.
                    EndSignal::Interrupt if HEARD.load(Ordering::SeqCst) => {}
                    _ => signal.end_tool(),
                }
            }
        });
    });
}

/// Whether the tool is ending for a signal: then what it prints goes through [`last_write`].
pub(super) fn is_ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// Writes something while the tool ends for a signal. A reader that does not read, or a terminal that is stopped, does not
/// keep it from ending; once that has happened nothing more is written, and the answer is `None`.
pub(super) fn last_write<T: Send + 'static>(write: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if UNREAD.load(Ordering::SeqCst) {
        return None;
    }
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(write()));
    let written = told.recv_timeout(LAST_WRITE).ok();
    if written.is_none() {
        UNREAD.store(true, Ordering::SeqCst);
    }
    written
}

/// The three signals, as far as the process may have handlers for them.
#[derive(Debug)]
struct All {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
}

impl All {
    fn listen() -> std::io::Result<Self> {
        // Asked for before there is a handler.
        let is_ignored = *HANGUP_IS_IGNORED;
        Ok(Self {
            interrupt: Some(signal(SignalKind::interrupt())?),
            terminate: Some(signal(SignalKind::terminate())?),
            hang_up: if is_ignored { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    async fn next(&mut self) -> EndSignal {
        async fn come(signal: &mut Option<Signal>) {
            let has_come = match signal {
                Some(signal) => signal.recv().await.is_some(),
                None => false,
            };
            if !has_come {
                std::future::pending().await
            }
        }
        let signal = tokio::select! {
            () = come(&mut self.interrupt) => EndSignal::Interrupt,
            () = come(&mut self.terminate) => EndSignal::Terminate,
            () = come(&mut self.hang_up) => EndSignal::HangUp,
        };
        HEARD.store(true, Ordering::SeqCst);
        signal
    }
}

/// While it lives, the signals end nothing by themselves: whoever has it hears of them, and says what becomes of it.
#[derive(Debug)]
pub struct Interrupts(All);

impl Interrupts {
    /// From here on.
    ///
    /// # Errors
    /// When the process can have no signal handler.
    pub fn listen() -> Result<Self, Failure> {
        let signals = All::listen().map_err(|e| Failure::failed(format!("listening for Ctrl-C: {e}")))?;
        LISTENERS.fetch_add(1, Ordering::SeqCst);
        Ok(Self(signals))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> EndSignal {
        self.0.next().await
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        LISTENERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits for one of the signals, which comes from now on, and for which the tool then ends.
pub async fn end_signal() -> EndSignal {
    match All::listen() {
        Ok(mut signals) => ends_by(signals.next().await),
        Err(_) => std::future::pending().await,
    }
}

/// Waits for one of the signals that nobody [listens](Interrupts) for; the tool then ends for it.
pub async fn interrupted() -> EndSignal {
    let Ok(mut signals) = All::listen() else { return std::future::pending().await };
    loop {
        let signal = signals.next().await;
        // On a runtime with threads it may be here before the story has heard of it, and the story has something to say.
        tokio::time::sleep(STORY_HEARS).await;
        if LISTENERS.load(Ordering::SeqCst) == 0 {
            return ends_by(signal);
        }
    }
}

fn ends_by(signal: EndSignal) -> EndSignal {
    ENDING.store(true, Ordering::SeqCst);
    signal
}

/// Runs a story until it ends or one of the signals comes; `last` is what is done then, before the tool ends.
///
/// That runs beside the story, on a runtime with threads: a story that hangs in a write, to a pipe that nobody reads, cannot
/// hear of a signal. `last` is done all the same, and the process ends a little later.
///
/// # Errors
/// The signal that came.
pub async fn until_signal<T, L>(
    story: impl Future<Output = T>,
    last: impl FnOnce(EndSignal) -> L + Send + 'static,
) -> Result<T, EndSignal>
where
    L: Future<Output = ()> + Send + 'static,
{
    // Nobody else ends the tool for a signal meanwhile. Before there is a handler nothing is missed: the signal ends the process.
    let Ok(mut signals) = Interrupts::listen() else { return Ok(story.await) };
    let _listener = Interrupts::listen();
    let (tell, mut told) = oneshot::channel();
    let task = tokio::spawn(async move {
        let signal = ends_by(signals.next().await);
        let _ = tell.send(signal);
        last(signal).await;
        std::thread::spawn(move || {
            std::thread::sleep(DEAF);
            signal.end_tool();
        });
    });
    let signal = {
        let mut story = pin!(story);
        tokio::select! {
            biased;
            Ok(signal) = &mut told => signal,
            outcome = &mut story => match told.try_recv() {
                // It came while the story hung, or at its very end.
                Ok(signal) => signal,
                Err(_) => {
                    task.abort();
                    return Ok(outcome);
                }
            },
        }
    };
    let _ = task.await;
    Err(signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn their_numbers_are_the_systems() {
        use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGTERM};
        let known =
            [(EndSignal::Interrupt, SIGINT), (EndSignal::Terminate, SIGTERM), (EndSignal::HangUp, SIGHUP)];
        for (signal, number) in known {
            assert_eq!(i32::from(signal.number()), number as i32);
        }
    }
}
