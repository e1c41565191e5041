//! The signals that ask a tool to end: Ctrl-C, SIGTERM, and SIGHUP when its terminal goes.
//!
//! Whoever waits for something says what becomes of it, and the tool ends. After SIGTERM and SIGHUP it ends by the signal
//! itself, so that its parent sees what ended it (`WIFSIGNALED`).

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{LazyLock, Once};
use std::time::Duration;

use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

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
        let _ = std::io::stdout().flush();
        let _ = emulate_default_handler(self.number().into());
    }
}

/// How many want to hear of the signals, and end by themselves.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);

/// Whether somebody has heard of a signal and sees to the end.
static HEARD: AtomicBool = AtomicBool::new(false);

/// Nobody has heard of a signal after this time: the tool hangs, as in a write to a pipe that nobody reads.
const DEAF: Duration = Duration::from_secs(2);

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

/// From here on, a tool that does not come to hear of SIGTERM or SIGHUP ends by it all the same, and at once by a second one.
pub fn watch_signals() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let signals = [EndSignal::Terminate, EndSignal::HangUp].into_iter();
        let signals = signals.filter(|signal| *signal != EndSignal::HangUp || !*HANGUP_IS_IGNORED);
        let Ok(mut signals) = Signals::new(signals.map(|signal| i32::from(signal.number()))) else { return };
        // Without the thread it is the story alone that hears of them.
        let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let mut is_first = true;
            for signal in signals.forever() {
                if std::mem::take(&mut is_first) {
                    std::thread::spawn(move || {
                        std::thread::sleep(DEAF);
                        if !HEARD.load(Ordering::SeqCst) {
                            let _ = emulate_default_handler(signal);
                        }
                    });
                } else {
                    let _ = emulate_default_handler(signal);
                }
            }
        });
    });
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

/// Waits for one of the signals, which comes from now on.
pub async fn end_signal() -> EndSignal {
    match All::listen() {
        Ok(mut signals) => signals.next().await,
        Err(_) => std::future::pending().await,
    }
}

/// Waits for one of the signals that nobody [listens](Interrupts) for.
pub async fn interrupted() -> EndSignal {
    let Ok(mut signals) = All::listen() else { return std::future::pending().await };
    loop {
        let signal = signals.next().await;
        if LISTENERS.load(Ordering::SeqCst) == 0 {
            return signal;
        }
    }
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
