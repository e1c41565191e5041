//! The signals that ask a tool to end: Ctrl-C, SIGTERM, and SIGHUP when its terminal goes.
//!
//! Whoever waits for something says what becomes of it, and the tool ends. After SIGTERM and SIGHUP it ends by the signal
//! itself, so that its parent sees what ended it (`WIFSIGNALED`).
//!
//! One thread hears all signals. It hands each on to whoever has begun to [listen](Interrupts) last, and so to one place
//! only. A signal that this place does not take before it stops listening is for the one before it.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::{LazyLock, Once, mpsc};
use std::time::{Duration, Instant};

use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use tokio::sync::{oneshot, watch};

use super::Exit;

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
    const ALL: [EndSignal; 3] = [EndSignal::Interrupt, EndSignal::Terminate, EndSignal::HangUp];

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

/// What is known of the signals, and who listens.
static HEARD: LazyLock<watch::Sender<Heard>> = LazyLock::new(|| watch::Sender::new(Heard::default()));

/// A signal that nobody has taken after this time ends the tool: it hangs, as in a write to a pipe that nobody reads.
const DEAF: Duration = Duration::from_secs(2);

/// The same signal again within this time is no second one: `timeout` sends each to its child and to the child's group.
const AS_ONE: Duration = Duration::from_millis(200);

/// What is printed at the end waits no longer than this for a reader.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// The signals that have come, and who listens.
#[derive(Debug, Default)]
struct Heard {
    /// The last one, and when it came.
    last: Option<(EndSignal, Instant)>,
    /// Those that nobody has taken yet, each with its number.
    untaken: VecDeque<(u64, EndSignal)>,
    /// Whether somebody has taken one: then the tool ends for it. What it still prints must not keep it from that.
    is_taken: bool,
    /// Whether something that was printed at the end has found no reader: then nothing more is tried.
    is_unread: bool,
    /// Who listens, the last one at the end.
    listeners: Vec<Listener>,
    /// How many numbers have been given to signals and listeners.
    numbers: u64,
}

/// Somebody who listens.
#[derive(Debug)]
struct Listener {
    number: u64,
    /// Whether it waits for a signal just now.
    awaits: bool,
}

/// What becomes of a signal that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It waits, under this number, for whoever listens.
    HandedOn(u64),
    /// It says nothing new.
    Ignored,
    /// It ends the tool at once.
    Ends,
}

impl Heard {
    /// A signal has come.
    fn comes(&mut self, signal: EndSignal, now: Instant) -> Fate {
        let before = self.last.replace((signal, now));
        let is_repeated = before.is_some_and(|(last, at)| last == signal && now.duration_since(at) < AS_ONE);
        let is_awaited = self.listeners.last().is_some_and(|listener| listener.awaits);
        let is_second = match signal {
            _ if before.is_none() => return self.hand_on(signal),
            // After the first one, an answer to a question may come soon.
            EndSignal::Interrupt => !is_repeated || self.is_taken,
            EndSignal::Terminate => !is_repeated,
            // A terminal that goes may send several.
            EndSignal::HangUp => false,
        };
        if !is_second {
            return Fate::Ignored;
        }
        match (self.is_taken, is_awaited, signal) {
            (true, true, _) => self.hand_on(signal),
            // Whoever has taken the first Ctrl-C sees to the end.
            (true, false, EndSignal::Interrupt) => Fate::Ignored,
            // The tool has come to hear of nothing, or is to end without another word.
            _ => Fate::Ends,
        }
    }

    fn hand_on(&mut self, signal: EndSignal) -> Fate {
        let number = self.number();
        self.untaken.push_back((number, signal));
        Fate::HandedOn(number)
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Somebody begins to listen; returns the listener's number.
    fn listen(&mut self) -> u64 {
        let number = self.number();
        self.listeners.push(Listener { number, awaits: false });
        number
    }

    /// This listener waits for a signal from now on, or does so no more.
    fn awaits(&mut self, number: u64, awaits: bool) {
        if let Some(listener) = self.listeners.iter_mut().find(|listener| listener.number == number) {
            listener.awaits = awaits;
        }
    }

    /// The signal that this listener is to take, if there is one: it has begun to listen after all others.
    fn take(&mut self, number: u64) -> Option<EndSignal> {
        self.listeners.last().filter(|listener| listener.number == number)?;
        let (_, signal) = self.untaken.pop_front()?;
        self.is_taken = true;
        Some(signal)
    }

    /// This listener is gone.
    fn leave(&mut self, number: u64) {
        self.listeners.retain(|listener| listener.number != number);
    }
}

/// Looks at what is known, or changes it without telling those who wait.
fn heard<T>(with: impl FnOnce(&mut Heard) -> T) -> Option<T> {
    let mut with = Some(with);
    let mut result = None;
    HEARD.send_if_modified(|heard| {
        result = with.take().map(|with| with(heard));
        false
    });
    result
}

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

/// From here on, signals are handed on. A tool that does not take them ends by them all the same, after a while, and at once by
/// a second one.
fn watch_signals() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let (tell, told) = mpsc::channel();
        // Without the thread there is no handler either: the signals end the tool by themselves.
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let watched = EndSignal::ALL.into_iter();
            let watched = watched.filter(|signal| *signal != EndSignal::HangUp || !*HANGUP_IS_IGNORED);
            let Ok(mut signals) = Signals::new(watched.map(|signal| i32::from(signal.number()))) else {
                return;
            };
            drop(tell);
            for number in signals.forever() {
                if let Some(signal) = EndSignal::ALL.into_iter().find(|s| i32::from(s.number()) == number) {
                    hand_on(signal);
                }
            }
        });
        if thread.is_ok() {
            let _: Result<(), _> = told.recv();
        }
    });
}

/// Hands on a signal that has come.
fn hand_on(signal: EndSignal) {
    let mut fate = Fate::Ignored;
    HEARD.send_modify(|heard| fate = heard.comes(signal, Instant::now()));
    match fate {
        Fate::HandedOn(number) => {
            std::thread::spawn(move || {
                std::thread::sleep(DEAF);
                if HEARD.borrow().untaken.iter().any(|(untaken, _)| *untaken == number) {
                    signal.end_tool();
                }
            });
        }
        Fate::Ignored => {}
        Fate::Ends => signal.end_tool(),
    }
}

/// Whether the tool is ending for a signal: then what it prints goes through [`last_write`].
pub(super) fn is_ending() -> bool {
    HEARD.borrow().is_taken
}

/// Writes something while the tool ends for a signal. A reader that does not read, or a terminal that is stopped, does not
/// keep it from ending; once that has happened nothing more is written, and the answer is `None`.
pub(super) fn last_write<T: Send + 'static>(write: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if HEARD.borrow().is_unread {
        return None;
    }
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(write()));
    let written = told.recv_timeout(LAST_WRITE).ok();
    if written.is_none() {
        heard(|heard| heard.is_unread = true);
    }
    written
}

/// While it lives, the signals end nothing by themselves: whoever has it hears of them, says what becomes of it, and ends the
/// tool. Of several, the one that has begun last hears of a signal.
#[derive(Debug)]
pub struct Interrupts {
    number: u64,
    news: watch::Receiver<Heard>,
}

impl Interrupts {
    /// From here on. Where the process can have no handler, the signals end it by themselves.
    pub fn listen() -> Self {
        watch_signals();
        let news = HEARD.subscribe();
        Self { number: heard(Heard::listen).unwrap_or_default(), news }
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> EndSignal {
        /// Says that nobody waits any more.
        struct Awaits(u64);

        impl Drop for Awaits {
            fn drop(&mut self) {
                heard(|heard| heard.awaits(self.0, false));
            }
        }

        let _awaits = Awaits(self.number);
        heard(|heard| heard.awaits(self.number, true));
        loop {
            if let Some(signal) = heard(|heard| heard.take(self.number)).flatten() {
                return signal;
            }
            if self.news.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Gives back a signal that it has taken in vain: it is for the one who listens after it, or before.
    fn give_back(self, signal: EndSignal) {
        heard(|heard| heard.untaken.push_front((0, signal)));
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // What it has not taken is for the one before.
        HEARD.send_modify(|heard| heard.leave(self.number));
    }
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
    let mut signals = Interrupts::listen();
    let (tell, mut told) = oneshot::channel();
    let task = tokio::spawn(async move {
        let signal = signals.next().await;
        // The story has ended just before.
        if tell.send(signal).is_err() {
            return signals.give_back(signal);
        }
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
            outcome = &mut story => {
                told.close();
                match told.try_recv() {
                    // It came while the story hung, or at its very end.
                    Ok(signal) => signal,
                    Err(_) => {
                        task.abort();
                        return Ok(outcome);
                    }
                }
            }
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
    /// How signals end up that come at these times, in milliseconds; each is taken at once if somebody listens.
    fn fates(heard: &mut Heard, signals: &[(EndSignal, u64)]) -> Vec<Fate> {
        let begin = Instant::now();
        signals.iter().map(|(signal, at)| heard.comes(*signal, begin + Duration::from_millis(*at))).collect()
    }

    #[test]
    fn the_last_to_listen_takes_a_signal_and_what_it_leaves_is_for_the_one_before() {
        let mut heard = Heard::default();
        let (outer, inner) = (heard.listen(), heard.listen());
        assert!(matches!(fates(&mut heard, &[(EndSignal::Terminate, 0)])[..], [Fate::HandedOn(_)]));
        assert_eq!((heard.take(outer), heard.is_taken), (None, false));
        heard.leave(inner);
        assert_eq!(heard.take(outer), Some(EndSignal::Terminate));
        assert_eq!((heard.take(outer), heard.is_taken), (None, true));
        // Whoever leaves out of turn takes nothing along.
        let (inner, innermost) = (heard.listen(), heard.listen());
        heard.leave(inner);
        heard.awaits(innermost, true);
        assert!(matches!(fates(&mut heard, &[(EndSignal::Terminate, 900)])[..], [Fate::HandedOn(_)]));
        assert_eq!((heard.take(outer), heard.take(innermost)), (None, Some(EndSignal::Terminate)));
    }

    #[test]
    fn a_second_signal() {
        use EndSignal::{HangUp, Interrupt, Terminate};
        // A tool that hears of nothing.
        for (second, at, fate) in [
            (Terminate, 1000, Fate::Ends),
            (Interrupt, 1, Fate::Ends),
            (HangUp, 1000, Fate::Ignored),
            (Terminate, 1, Fate::Ignored),
        ] {
            let mut heard = Heard::default();
            heard.listen();
            assert_eq!(fates(&mut heard, &[(Terminate, 0), (second, at)])[1], fate, "{second:?} {at}");
        }
        // One that says what becomes of it, and then one that asks.
        for (second, at, fate, asks) in [
            (Terminate, 1000, Fate::Ends, false),
            (Interrupt, 1000, Fate::Ignored, false),
            (Interrupt, 1, Fate::Ignored, false),
            (HangUp, 1000, Fate::Ignored, false),
            (Terminate, 1000, Fate::HandedOn(4), true),
            (Interrupt, 1000, Fate::HandedOn(4), true),
            (Interrupt, 1, Fate::HandedOn(4), true),
            (HangUp, 1000, Fate::Ignored, true),
        ] {
            let mut heard = Heard::default();
            let first = heard.listen();
            assert_eq!(fates(&mut heard, &[(Interrupt, 0)]), [Fate::HandedOn(2)]);
            assert_eq!(heard.take(first), Some(Interrupt));
            let asked = heard.listen();
            heard.awaits(asked, asks);
            heard.last = Some((Interrupt, Instant::now()));
            assert_eq!(fates(&mut heard, &[(second, at)]), [fate], "{second:?} {at} {asks}");
        }
        // `timeout` sends it twice, and it is taken in between.
        let mut heard = Heard::default();
        let first = heard.listen();
        fates(&mut heard, &[(Terminate, 0)]);
        heard.take(first);
        heard.awaits(first, true);
        assert_eq!(fates(&mut heard, &[(Terminate, 1)]), [Fate::Ignored]);
    }
}
