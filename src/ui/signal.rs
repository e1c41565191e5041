//! The signals that ask a tool to end: Ctrl-C, SIGTERM, and SIGHUP when its terminal is closed.
//!
//! A [`SignalListener`] receives the signals while its owner waits for something. The owner prints
//! what happens to the work in progress, and then the tool ends. After SIGTERM and SIGHUP it ends
//! by the signal itself, so that its parent sees the signal (`WIFSIGNALED`).
//!
//! One thread receives all signals. It passes each of them to the newest listener, and to no other
//! one. When a listener is dropped before it has handled its signal, the listener before it
//! receives the signal.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, LazyLock, Once, OnceLock, mpsc};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
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

/// The beginning of a message: `interrupted`, or `interrupted by SIGTERM`.
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

    /// Ends this process by the signal. It returns for Ctrl-C, which has an exit code. It also
    /// returns where the signal cannot end the process, because it is the first process of a
    /// container.
    pub fn end_process(self) {
        if self == EndSignal::Interrupt || std::process::id() == 1 {
            return;
        }
        let _ = emulate_default_handler(self.number().into());
    }

    /// Ends this process as the signal ends a tool: by the signal itself, or with its exit code.
    /// Without [`exit_by`], the process ends by the signal in any case.
    fn end_tool(self) {
        self.end_process();
        match EXIT.get() {
            Some(exit) => exit(self.exit_code().into()),
            None => _ = emulate_default_handler(self.number().into()),
        }
    }
}

/// The function by which the program exits at once, without the end of `main`.
static EXIT: OnceLock<fn(i32) -> !> = OnceLock::new();

/// Sets the function by which the program exits when a signal ends a tool that hangs. The library
/// itself never exits.
pub fn exit_by(exit: fn(i32) -> !) {
    EXIT.get_or_init(|| exit);
}

/// The signals that have come, and the listeners.
static SIGNALS: LazyLock<watch::Sender<SignalState>> =
    LazyLock::new(|| watch::Sender::new(SignalState::default()));

/// A signal that no listener has handled after this time ends the tool. Such a tool hangs, as in a
/// write to a pipe that nobody reads.
const UNHANDLED_TIMEOUT: Duration = Duration::from_secs(2);

/// A signal that follows another one within this time is a repetition. `timeout` sends each signal
/// to its child and to the child's group. A service manager or a closed terminal sends several
/// kinds.
const REPEAT_WINDOW: Duration = Duration::from_millis(200);

/// The last output of a tool waits at most this long for a reader.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// The signals that have come, and the listeners.
#[derive(Debug, Default)]
struct SignalState {
    /// The last signal, and the time at which it came.
    last: Option<(EndSignal, Instant)>,
    /// The signals that no listener has handled yet, each with its number.
    pending: VecDeque<(u64, EndSignal)>,
    /// How many signals a listener has handled. After the first, the tool is ending. Its last
    /// output must not prevent that.
    handled: usize,
    /// Whether the last output has found no reader. Then nothing more is written.
    has_no_reader: bool,
    /// The listeners, the newest at the end.
    listeners: Vec<Listener>,
    /// The last number that was given to a signal or a listener.
    last_number: u64,
}

/// A [`SignalListener`] in the state of the signals.
#[derive(Debug)]
struct Listener {
    number: u64,
    doing: ListenerState,
}

/// The present activity of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListenerState {
    Busy,
    /// It waits for a signal.
    WaitingForSignal,
    /// It waits for the user's answer to a question. A signal is also an answer.
    WaitingForAnswer,
}

/// The treatment of a signal that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disposition {
    /// It waits, under this number, for a listener.
    Queued(u64),
    /// It is a repetition, or the tool is ending already.
    Ignored,
    /// It ends the tool at once.
    EndsTool,
}

impl SignalState {
    /// Processes a signal that has come.
    fn receive(&mut self, signal: EndSignal, now: Instant) -> Disposition {
        let before = self.last;
        let is_repeated = before.is_some_and(|(_, at)| now.duration_since(at) < REPEAT_WINDOW);
        if !is_repeated {
            // A repetition does not start a new window, so that one of many signals in a row counts
            // in the end.
            self.last = Some((signal, now));
        }
        let doing = self.listeners.last().map_or(ListenerState::Busy, |listener| listener.doing);
        let is_second = match signal {
            _ if before.is_none() => return self.queue(signal),
            // A user who is asked a question after the first Ctrl-C may answer soon.
            EndSignal::Interrupt => !is_repeated || doing == ListenerState::WaitingForAnswer,
            EndSignal::Terminate => !is_repeated,
            // A closed terminal may send several.
            EndSignal::HangUp => false,
        };
        if !is_second {
            return Disposition::Ignored;
        }
        match (self.handled > 0, doing != ListenerState::Busy, signal) {
            (true, true, _) => self.queue(signal),
            // The owner of the listener that handled the first Ctrl-C completes its work.
            (true, false, EndSignal::Interrupt) => Disposition::Ignored,
            // No listener has handled the first signal, or the tool is to end without another
            // message.
            _ => Disposition::EndsTool,
        }
    }

    fn queue(&mut self, signal: EndSignal) -> Disposition {
        let number = self.next_number();
        self.pending.push_back((number, signal));
        Disposition::Queued(number)
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Adds a listener, and returns its number.
    fn add_listener(&mut self) -> u64 {
        let number = self.next_number();
        self.listeners.push(Listener { number, doing: ListenerState::Busy });
        number
    }

    /// Sets what this listener is doing.
    fn set_state(&mut self, number: u64, doing: ListenerState) {
        if let Some(listener) = self.listeners.iter_mut().find(|listener| listener.number == number) {
            listener.doing = doing;
        }
    }

    /// Takes the signal that waits for this listener, with its number. Only the newest listener
    /// receives signals.
    fn take(&mut self, listener: u64) -> Option<(u64, EndSignal)> {
        self.listeners.last().filter(|last| last.number == listener)?;
        let pending = self.pending.pop_front()?;
        self.handled += 1;
        Some(pending)
    }

    /// Puts a signal back that was taken, as if it had not been handled.
    fn put_back(&mut self, handled: (u64, EndSignal)) {
        self.pending.push_front(handled);
        self.handled = self.handled.saturating_sub(1);
    }

    /// Removes this listener.
    fn remove_listener(&mut self, number: u64) {
        self.listeners.retain(|listener| listener.number != number);
    }
}

/// Reads or changes the state without waking those who wait for a change.
fn with_state<T>(with: impl FnOnce(&mut SignalState) -> T) -> Option<T> {
    let mut with = Some(with);
    let mut result = None;
    SIGNALS.send_if_modified(|state| {
        result = with.take().map(|with| with(state));
        false
    });
    result
}

/// Whether SIGHUP was ignored when the tool was started, as `nohup` does it. Then the tool goes on
/// ignoring it.
static HANGUP_IS_IGNORED: LazyLock<bool> = LazyLock::new(|| ignored_signals() & 1 != 0);

/// The signals that this process ignores, as a mask whose lowest bit is signal 1. The mask is 0
/// where it cannot be read.
pub fn ignored_signals() -> u64 {
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

/// Whether SIGHUP was ignored when this process was started, as `nohup` does it. Call this before a
/// handler is installed.
pub fn ignores_hangup() -> bool {
    *HANGUP_IS_IGNORED
}

/// Makes this process receive SIGCHLD, also where its parent has it ignored. While SIGCHLD is
/// ignored, the system forgets how a child has ended, and waiting for it fails (wait(2)). The
/// handler does nothing, and children start with the default action, because they inherit no
/// handler (execve(2)).
pub fn receive_child_signal() {
    // If this fails, children whose end is not known count as lost.
    let _ = signal_hook::flag::register(Signal::SIGCHLD as i32, Arc::default());
}

/// Makes children of this process start with the default action for each signal that this process
/// ignores, as [`receive_child_signal`] does it for SIGCHLD. This process goes on ignoring them.
pub fn hide_ignored_signals() {
    // The handlers change what can be read afterwards.
    let _ = ignores_hangup();
    let ignored = ignored_signals();
    for signal in Signal::iterator().map(|signal| signal as i32) {
        if ignored & (1_u64 << (signal - 1)) != 0 && !signal_hook::consts::FORBIDDEN.contains(&signal) {
            // A signal that stays ignored is ignored in jobs, too.
            let _ = signal_hook::flag::register(signal, Arc::default());
        }
    }
}

/// Installs the signal handlers, once. From then on, the listeners receive the signals. A signal
/// that no listener handles still ends the tool after a while, and a second one ends it at once.
fn watch_signals() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let (sender, receiver) = mpsc::channel();
        // Without the thread there is no handler either, and the signals end the tool by
        // themselves.
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let watched = EndSignal::ALL.into_iter();
            let watched = watched.filter(|signal| *signal != EndSignal::HangUp || !*HANGUP_IS_IGNORED);
            let Ok(mut signals) = Signals::new(watched.map(|signal| i32::from(signal.number()))) else {
                return;
            };
            drop(sender);
            for number in signals.forever() {
                if let Some(signal) = EndSignal::ALL.into_iter().find(|s| i32::from(s.number()) == number) {
                    dispatch(signal);
                }
            }
        });
        if thread.is_ok() {
            let _: Result<(), _> = receiver.recv();
        }
    });
}

/// Passes a signal that has come to the listeners, or ends the tool.
fn dispatch(signal: EndSignal) {
    let mut disposition = Disposition::Ignored;
    SIGNALS.send_modify(|state| disposition = state.receive(signal, Instant::now()));
    match disposition {
        Disposition::Queued(number) => {
            let is_pending = move || SIGNALS.borrow().pending.iter().any(|(pending, _)| *pending == number);
            end_later_if(signal, is_pending);
        }
        Disposition::Ignored => {}
        Disposition::EndsTool => signal.end_tool(),
    }
}

/// Ends the tool by a signal if the condition holds after [`UNHANDLED_TIMEOUT`]. Where no thread
/// can be started to wait for that, the tool ends at once.
fn end_later_if(signal: EndSignal, is_so: impl FnOnce() -> bool + Send + 'static) {
    let wait = move || {
        std::thread::sleep(UNHANDLED_TIMEOUT);
        if is_so() {
            signal.end_tool();
        }
    };
    if std::thread::Builder::new().spawn(wait).is_err() {
        signal.end_tool();
    }
}

/// Whether the tool is ending because of a signal. Then all output goes through [`last_write`].
pub(super) fn is_ending() -> bool {
    SIGNALS.borrow().handled > 0
}

/// Writes something while the tool ends because of a signal. A reader that does not read, or a
/// stopped terminal, does not prevent the end. After such a write nothing more is written, and the
/// result is `None`.
pub(super) fn last_write<T, F>(write: F) -> Option<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if SIGNALS.borrow().has_no_reader {
        return None;
    }
    let (hand, handed) = mpsc::channel::<F>();
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::Builder::new().spawn(move || handed.recv().map(|write| sender.send(write())));
    if thread.is_err() {
        return Some(write());
    }
    // A thread that has ended sends nothing, either.
    let _ = hand.send(write);
    let written = receiver.recv_timeout(LAST_WRITE_TIMEOUT).ok();
    if written.is_none() {
        with_state(|state| state.has_no_reader = true);
    }
    written
}

/// Receives the signals. While a listener lives, the signals do not end the tool by themselves: the
/// owner of the listener prints what happens to its work, and ends the tool. Of several listeners,
/// the newest receives a signal.
#[derive(Debug)]
pub struct SignalListener {
    number: u64,
    changes: watch::Receiver<SignalState>,
    /// The last signal that it has received, with its number.
    handled: Option<(u64, EndSignal)>,
}

impl SignalListener {
    /// Begins to listen. Where the process can have no handler, the signals end it by themselves.
    pub fn listen() -> Self {
        watch_signals();
        let changes = SIGNALS.subscribe();
        Self { number: with_state(SignalState::add_listener).unwrap_or_default(), changes, handled: None }
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> EndSignal {
        self.next_while(ListenerState::WaitingForSignal).await
    }

    /// Waits for the next signal while the user is asked what to do about the last one. Ctrl-C may
    /// be the answer, however soon it comes.
    pub async fn next_during_prompt(&mut self) -> EndSignal {
        self.next_while(ListenerState::WaitingForAnswer).await
    }

    async fn next_while(&mut self, doing: ListenerState) -> EndSignal {
        /// Marks the listener as busy again when the wait ends.
        struct Waiting(u64);

        impl Drop for Waiting {
            fn drop(&mut self) {
                with_state(|state| state.set_state(self.0, ListenerState::Busy));
            }
        }

        let _waiting = Waiting(self.number);
        with_state(|state| state.set_state(self.number, doing));
        loop {
            self.handled = with_state(|state| state.take(self.number)).flatten();
            if let Some((_, signal)) = self.handled {
                return signal;
            }
            if self.changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Puts the last received signal back, because this listener cannot use it. The next listener
    /// receives it, or the one before.
    fn put_back(mut self) {
        if let Some(handled) = self.handled.take() {
            with_state(|state| state.put_back(handled));
        }
    }
}

impl Drop for SignalListener {
    fn drop(&mut self) {
        // The listener before this one receives the signals that are left.
        SIGNALS.send_modify(|state| state.remove_listener(self.number));
    }
}

/// Runs `work` until it ends or a signal comes. After a signal it executes `last`, and then the
/// tool ends.
///
/// `last` runs beside the work, on a runtime with threads. Work that hangs in a write, to a pipe
/// that nobody reads, cannot receive a signal. `last` is executed all the same, and the process
/// ends a little later.
///
/// # Errors
/// The signal that came.
pub async fn until_signal<T, L>(
    work: impl Future<Output = T>,
    last: impl FnOnce(EndSignal) -> L + Send + 'static,
) -> Result<T, EndSignal>
where
    L: Future<Output = ()> + Send + 'static,
{
    let mut signals = SignalListener::listen();
    let (sender, mut receiver) = oneshot::channel();
    let task = tokio::spawn(async move {
        let signal = signals.next().await;
        // The work has ended just before.
        if sender.send(signal).is_err() {
            return signals.put_back();
        }
        last(signal).await;
        end_later_if(signal, || true);
    });
    let signal = {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            Ok(signal) = &mut receiver => signal,
            outcome = &mut work => {
                receiver.close();
                match receiver.try_recv() {
                    // The signal came while the work hung, or at its very end.
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
    /// The dispositions of signals that come at these times, in milliseconds.
    fn dispositions(state: &mut SignalState, signals: &[(EndSignal, u64)]) -> Vec<Disposition> {
        let begin = Instant::now();
        signals
            .iter()
            .map(|(signal, at)| state.receive(*signal, begin + Duration::from_millis(*at)))
            .collect()
    }

    #[test]
    fn the_last_to_listen_takes_a_signal_and_what_it_leaves_is_for_the_one_before() {
        let mut state = SignalState::default();
        let (outer, inner) = (state.add_listener(), state.add_listener());
        assert!(matches!(
            dispositions(&mut state, &[(EndSignal::Terminate, 0)])[..],
            [Disposition::Queued(_)]
        ));
        assert_eq!((state.take(outer), state.handled), (None, 0));
        state.remove_listener(inner);
        assert_eq!(state.take(outer), Some((3, EndSignal::Terminate)));
        assert_eq!((state.take(outer), state.handled), (None, 1));
        // A listener that is removed out of turn takes no signal with it.
        let (inner, innermost) = (state.add_listener(), state.add_listener());
        state.remove_listener(inner);
        state.set_state(innermost, ListenerState::WaitingForSignal);
        assert!(matches!(
            dispositions(&mut state, &[(EndSignal::Terminate, 900)])[..],
            [Disposition::Queued(6)]
        ));
        assert_eq!((state.take(outer), state.take(innermost)), (None, Some((6, EndSignal::Terminate))));
    }

    #[test]
    fn a_signal_that_is_given_back_is_as_it_was() {
        let mut state = SignalState::default();
        let (outer, inner) = (state.add_listener(), state.add_listener());
        dispositions(&mut state, &[(EndSignal::Terminate, 0)]);
        let handled = state.take(inner);
        assert_eq!((handled, state.handled), (Some((3, EndSignal::Terminate)), 1));
        handled.into_iter().for_each(|handled| state.put_back(handled));
        // The tool is not ending yet, and ends all the same if no listener handles the signal.
        assert_eq!((state.handled, state.pending.front()), (0, Some(&(3, EndSignal::Terminate))));
        state.remove_listener(inner);
        assert_eq!(state.take(outer), handled);
    }

    #[test]
    fn a_second_signal() {
        use EndSignal::{HangUp, Interrupt, Terminate};
        // A tool whose listener is busy.
        for (second, at, disposition) in [
            (Terminate, 1000, Disposition::EndsTool),
            (Interrupt, 1000, Disposition::EndsTool),
            (Interrupt, 1, Disposition::Ignored),
            (HangUp, 1000, Disposition::Ignored),
            (Terminate, 1, Disposition::Ignored),
        ] {
            let mut state = SignalState::default();
            state.add_listener();
            assert_eq!(
                dispositions(&mut state, &[(Terminate, 0), (second, at)])[1],
                disposition,
                "{second:?} {at}"
            );
        }
        // A listener that handles the first signal, and then a listener that asks the user.
        for (second, at, disposition, doing) in [
            (Terminate, 1000, Disposition::EndsTool, ListenerState::Busy),
            (Interrupt, 1000, Disposition::Ignored, ListenerState::Busy),
            (Interrupt, 1, Disposition::Ignored, ListenerState::Busy),
            (HangUp, 1000, Disposition::Ignored, ListenerState::Busy),
            (Terminate, 1000, Disposition::Queued(4), ListenerState::WaitingForSignal),
            (Interrupt, 1000, Disposition::Queued(4), ListenerState::WaitingForSignal),
            // A shell that sends Ctrl-C once more to a process that has received it from the
            // terminal.
            (Interrupt, 1, Disposition::Ignored, ListenerState::WaitingForSignal),
            // A service manager that sends several.
            (Terminate, 1, Disposition::Ignored, ListenerState::WaitingForSignal),
            (Terminate, 1, Disposition::Ignored, ListenerState::Busy),
            (HangUp, 1000, Disposition::Ignored, ListenerState::WaitingForSignal),
            (Terminate, 1000, Disposition::Queued(4), ListenerState::WaitingForAnswer),
            (Interrupt, 1000, Disposition::Queued(4), ListenerState::WaitingForAnswer),
            (Interrupt, 1, Disposition::Queued(4), ListenerState::WaitingForAnswer),
            (HangUp, 1000, Disposition::Ignored, ListenerState::WaitingForAnswer),
        ] {
            let mut state = SignalState::default();
            let first = state.add_listener();
            assert_eq!(dispositions(&mut state, &[(Interrupt, 0)]), [Disposition::Queued(2)]);
            assert_eq!(state.take(first), Some((2, Interrupt)));
            let next = state.add_listener();
            state.set_state(next, doing);
            state.last = Some((Interrupt, Instant::now()));
            assert_eq!(dispositions(&mut state, &[(second, at)]), [disposition], "{second:?} {at} {doing:?}");
        }
        // A signal every 100 ms, as from a loop in a shell: the first one after 200 ms counts.
        for second in [Terminate, Interrupt] {
            let mut state = SignalState::default();
            state.add_listener();
            let dispositions =
                dispositions(&mut state, &[(second, 0), (second, 100), (second, 199), (second, 201)]);
            assert_eq!(
                dispositions[1..],
                [Disposition::Ignored, Disposition::Ignored, Disposition::EndsTool],
                "{second:?}"
            );
        }
        // `timeout` sends it twice, and it is handled in between.
        let mut state = SignalState::default();
        let first = state.add_listener();
        dispositions(&mut state, &[(Terminate, 0)]);
        state.take(first);
        state.set_state(first, ListenerState::WaitingForSignal);
        assert_eq!(dispositions(&mut state, &[(Terminate, 1)]), [Disposition::Ignored]);
    }
}
