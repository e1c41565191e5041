//! The signals that ask a tool to end: Ctrl-C, SIGTERM, and SIGHUP when its terminal goes.
//!
//! Whoever waits for something says what becomes of it, and the tool ends. After SIGTERM and SIGHUP
//! it ends by the signal itself, so that its parent sees what ended it (`WIFSIGNALED`).
//!
//! One thread hears all signals. It hands each on to whoever has begun to [listen](Interrupts)
//! last, and so to one place only. A signal that this place does not take before it stops listening
//! is for the one before it.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::{LazyLock, Once, OnceLock, mpsc};
use std::time::{Duration, Instant};

use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use tokio::sync::{oneshot, watch};

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

    /// The exit code of a tool that this signal has ended.
    pub fn exit_code(self) -> u8 {
        128 + self.number()
    }

    /// Ends this process by the signal. It returns for Ctrl-C, which has an exit code, and where
    /// the signal cannot end the process: the first one of a container.
    pub fn end_process(self) {
        if self == EndSignal::Interrupt || std::process::id() == 1 {
            return;
        }
        let _ = emulate_default_handler(self.number().into());
    }

    /// Ends this process as the signal ends a tool: by the signal itself, or with its exit code. A
    /// program that has not said how it exits ends by the signal in any case.
    fn end_tool(self) {
        self.end_process();
        match EXIT.get() {
            Some(exit) => exit(self.exit_code().into()),
            None => _ = emulate_default_handler(self.number().into()),
        }
    }
}

/// How the program exits at once, without the end of `main`.
static EXIT: OnceLock<fn(i32) -> !> = OnceLock::new();

/// Sets how the program exits when a signal ends a tool that hangs. The library itself never exits.
pub fn exit_by(exit: fn(i32) -> !) {
    EXIT.get_or_init(|| exit);
}

/// What is known of the signals, and who listens.
static HEARD: LazyLock<watch::Sender<Heard>> = LazyLock::new(|| watch::Sender::new(Heard::default()));

/// A signal that nobody has taken after this time ends the tool: it hangs, as in a write to a pipe
/// that nobody reads.
const DEAF: Duration = Duration::from_secs(2);

/// A signal that follows another within this time is no second one: `timeout` sends each to its
/// child and to the child's group, and a service manager or a terminal that goes sends several
/// kinds.
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
    /// How many somebody has taken: after the first the tool ends for it. What it still prints must
    /// not keep it from that.
    taken: usize,
    /// Whether something that was printed at the end has found no reader: then nothing more is
    /// tried.
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
    awaits: Awaits,
}

/// What a listener waits for just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    Nothing,
    /// A signal.
    Signal,
    /// The answer to a question, in whose place a signal may come.
    Answer,
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
        let before = self.last;
        let is_repeated = before.is_some_and(|(_, at)| now.duration_since(at) < AS_ONE);
        if !is_repeated {
            // Repeated signals begin no new span: of those that come again and again, one counts in
            // the end.
            self.last = Some((signal, now));
        }
        let awaits = self.listeners.last().map_or(Awaits::Nothing, |listener| listener.awaits);
        let is_second = match signal {
            _ if before.is_none() => return self.hand_on(signal),
            // Whoever is asked after the first Ctrl-C may answer soon.
            EndSignal::Interrupt => !is_repeated || awaits == Awaits::Answer,
            EndSignal::Terminate => !is_repeated,
            // A terminal that goes may send several.
            EndSignal::HangUp => false,
        };
        if !is_second {
            return Fate::Ignored;
        }
        match (self.taken > 0, awaits != Awaits::Nothing, signal) {
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
        self.listeners.push(Listener { number, awaits: Awaits::Nothing });
        number
    }

    /// This listener waits for this from now on.
    fn awaits(&mut self, number: u64, awaits: Awaits) {
        if let Some(listener) = self.listeners.iter_mut().find(|listener| listener.number == number) {
            listener.awaits = awaits;
        }
    }

    /// The signal that this listener is to take, if there is one, with its number: it has begun to
    /// listen after all others.
    fn take(&mut self, listener: u64) -> Option<(u64, EndSignal)> {
        self.listeners.last().filter(|last| last.number == listener)?;
        let untaken = self.untaken.pop_front()?;
        self.taken += 1;
        Some(untaken)
    }

    /// A signal that was taken is as if it had never been.
    fn give_back(&mut self, taken: (u64, EndSignal)) {
        self.untaken.push_front(taken);
        self.taken = self.taken.saturating_sub(1);
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

/// The signals that this process ignores, as a mask whose lowest bit is signal 1; none where that
/// cannot be found out.
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

/// Whether SIGHUP was ignored when this process was started, as `nohup` has it. To be asked before
/// there is a handler.
pub fn ignores_hangup() -> bool {
    *HANGUP_IS_IGNORED
}

/// From here on, signals are handed on. A tool that does not take them ends by them all the same,
/// after a while, and at once by a second one.
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
            let is_untaken = move || HEARD.borrow().untaken.iter().any(|(untaken, _)| *untaken == number);
            end_later_if(signal, is_untaken);
        }
        Fate::Ignored => {}
        Fate::Ends => signal.end_tool(),
    }
}

/// Ends the tool by a signal if this is so after a while. Where there can be no thread that waits
/// for that, it ends at once.
fn end_later_if(signal: EndSignal, is_so: impl FnOnce() -> bool + Send + 'static) {
    let wait = move || {
        std::thread::sleep(DEAF);
        if is_so() {
            signal.end_tool();
        }
    };
    if std::thread::Builder::new().spawn(wait).is_err() {
        signal.end_tool();
    }
}

/// Whether the tool is ending for a signal: then what it prints goes through [`last_write`].
pub(super) fn is_ending() -> bool {
    HEARD.borrow().taken > 0
}

/// Writes something while the tool ends for a signal. A reader that does not read, or a terminal
/// that is stopped, does not keep it from ending; once that has happened nothing more is written,
/// and the answer is `None`.
pub(super) fn last_write<T, F>(write: F) -> Option<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if HEARD.borrow().is_unread {
        return None;
    }
    let (hand, handed) = mpsc::channel::<F>();
    let (tell, told) = mpsc::channel();
    let thread = std::thread::Builder::new().spawn(move || handed.recv().map(|write| tell.send(write())));
    if thread.is_err() {
        return Some(write());
    }
    // A thread that has ended tells nothing, either.
    let _ = hand.send(write);
    let written = told.recv_timeout(LAST_WRITE).ok();
    if written.is_none() {
        heard(|heard| heard.is_unread = true);
    }
    written
}

/// While it lives, the signals end nothing by themselves: whoever has it hears of them, says what
/// becomes of it, and ends the tool. Of several, the one that has begun last hears of a signal.
#[derive(Debug)]
pub struct Interrupts {
    number: u64,
    news: watch::Receiver<Heard>,
    /// The last signal that it has taken, with its number.
    taken: Option<(u64, EndSignal)>,
}

impl Interrupts {
    /// From here on. Where the process can have no handler, the signals end it by themselves.
    pub fn listen() -> Self {
        watch_signals();
        let news = HEARD.subscribe();
        Self { number: heard(Heard::listen).unwrap_or_default(), news, taken: None }
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> EndSignal {
        self.next_while(Awaits::Signal).await
    }

    /// Waits for the next one while somebody is asked what becomes of the last one: Ctrl-C may be
    /// the answer, however soon it comes.
    pub async fn next_for_answer(&mut self) -> EndSignal {
        self.next_while(Awaits::Answer).await
    }

    async fn next_while(&mut self, awaits: Awaits) -> EndSignal {
        /// Says that this listener waits no more.
        struct Waiting(u64);

        impl Drop for Waiting {
            fn drop(&mut self) {
                heard(|heard| heard.awaits(self.0, Awaits::Nothing));
            }
        }

        let _waiting = Waiting(self.number);
        heard(|heard| heard.awaits(self.number, awaits));
        loop {
            self.taken = heard(|heard| heard.take(self.number)).flatten();
            if let Some((_, signal)) = self.taken {
                return signal;
            }
            if self.news.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Gives the last signal back that it has received and cannot use: it is for the one who
    /// listens after it, or before.
    fn give_back(mut self) {
        if let Some(taken) = self.taken.take() {
            heard(|heard| heard.give_back(taken));
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // What it has not taken is for the one before.
        HEARD.send_modify(|heard| heard.leave(self.number));
    }
}

/// Runs a story until it ends or one of the signals comes; `last` is what is done then, before the
/// tool ends.
///
/// That runs beside the story, on a runtime with threads: a story that hangs in a write, to a pipe
/// that nobody reads, cannot hear of a signal. `last` is done all the same, and the process ends a
/// little later.
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
            return signals.give_back();
        }
        last(signal).await;
        end_later_if(signal, || true);
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
    /// How signals end up that come at these times, in milliseconds; each is taken at once if
    /// somebody listens.
    fn fates(heard: &mut Heard, signals: &[(EndSignal, u64)]) -> Vec<Fate> {
        let begin = Instant::now();
        signals.iter().map(|(signal, at)| heard.comes(*signal, begin + Duration::from_millis(*at))).collect()
    }

    #[test]
    fn the_last_to_listen_takes_a_signal_and_what_it_leaves_is_for_the_one_before() {
        let mut heard = Heard::default();
        let (outer, inner) = (heard.listen(), heard.listen());
        assert!(matches!(fates(&mut heard, &[(EndSignal::Terminate, 0)])[..], [Fate::HandedOn(_)]));
        assert_eq!((heard.take(outer), heard.taken), (None, 0));
        heard.leave(inner);
        assert_eq!(heard.take(outer), Some((3, EndSignal::Terminate)));
        assert_eq!((heard.take(outer), heard.taken), (None, 1));
        // Whoever leaves out of turn takes nothing along.
        let (inner, innermost) = (heard.listen(), heard.listen());
        heard.leave(inner);
        heard.awaits(innermost, Awaits::Signal);
        assert!(matches!(fates(&mut heard, &[(EndSignal::Terminate, 900)])[..], [Fate::HandedOn(6)]));
        assert_eq!((heard.take(outer), heard.take(innermost)), (None, Some((6, EndSignal::Terminate))));
    }

    #[test]
    fn a_signal_that_is_given_back_is_as_it_was() {
        let mut heard = Heard::default();
        let (outer, inner) = (heard.listen(), heard.listen());
        fates(&mut heard, &[(EndSignal::Terminate, 0)]);
        let taken = heard.take(inner);
        assert_eq!((taken, heard.taken), (Some((3, EndSignal::Terminate)), 1));
        taken.into_iter().for_each(|taken| heard.give_back(taken));
        // The tool does not end for it yet, and ends all the same if nobody takes it.
        assert_eq!((heard.taken, heard.untaken.front()), (0, Some(&(3, EndSignal::Terminate))));
        heard.leave(inner);
        assert_eq!(heard.take(outer), taken);
    }

    #[test]
    fn a_second_signal() {
        use EndSignal::{HangUp, Interrupt, Terminate};
        // A tool that hears of nothing.
        for (second, at, fate) in [
            (Terminate, 1000, Fate::Ends),
            (Interrupt, 1000, Fate::Ends),
            (Interrupt, 1, Fate::Ignored),
            (HangUp, 1000, Fate::Ignored),
            (Terminate, 1, Fate::Ignored),
        ] {
            let mut heard = Heard::default();
            heard.listen();
            assert_eq!(fates(&mut heard, &[(Terminate, 0), (second, at)])[1], fate, "{second:?} {at}");
        }
        // One that says what becomes of it, and then one that asks.
        for (second, at, fate, awaits) in [
            (Terminate, 1000, Fate::Ends, Awaits::Nothing),
            (Interrupt, 1000, Fate::Ignored, Awaits::Nothing),
            (Interrupt, 1, Fate::Ignored, Awaits::Nothing),
            (HangUp, 1000, Fate::Ignored, Awaits::Nothing),
            (Terminate, 1000, Fate::HandedOn(4), Awaits::Signal),
            (Interrupt, 1000, Fate::HandedOn(4), Awaits::Signal),
            // A shell that hands Ctrl-C on to what has had it from the terminal.
            (Interrupt, 1, Fate::Ignored, Awaits::Signal),
            // A service manager that sends several.
            (Terminate, 1, Fate::Ignored, Awaits::Signal),
            (Terminate, 1, Fate::Ignored, Awaits::Nothing),
            (HangUp, 1000, Fate::Ignored, Awaits::Signal),
            (Terminate, 1000, Fate::HandedOn(4), Awaits::Answer),
            (Interrupt, 1000, Fate::HandedOn(4), Awaits::Answer),
            (Interrupt, 1, Fate::HandedOn(4), Awaits::Answer),
            (HangUp, 1000, Fate::Ignored, Awaits::Answer),
        ] {
            let mut heard = Heard::default();
            let first = heard.listen();
            assert_eq!(fates(&mut heard, &[(Interrupt, 0)]), [Fate::HandedOn(2)]);
            assert_eq!(heard.take(first), Some((2, Interrupt)));
            let next = heard.listen();
            heard.awaits(next, awaits);
            heard.last = Some((Interrupt, Instant::now()));
            assert_eq!(fates(&mut heard, &[(second, at)]), [fate], "{second:?} {at} {awaits:?}");
        }
        // One every 100 ms, as from a loop in a shell: the first that comes after 200 ms counts.
        for second in [Terminate, Interrupt] {
            let mut heard = Heard::default();
            heard.listen();
            let fates = fates(&mut heard, &[(second, 0), (second, 100), (second, 199), (second, 201)]);
            assert_eq!(fates[1..], [Fate::Ignored, Fate::Ignored, Fate::Ends], "{second:?}");
        }
        // `timeout` sends it twice, and it is taken in between.
        let mut heard = Heard::default();
        let first = heard.listen();
        fates(&mut heard, &[(Terminate, 0)]);
        heard.take(first);
        heard.awaits(first, Awaits::Signal);
        assert_eq!(fates(&mut heard, &[(Terminate, 1)]), [Fate::Ignored]);
    }
}
