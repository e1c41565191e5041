//! Programs run on a terminal: a pseudo-terminal of a given size, and a reader who looks at its
//! screen.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::Sandbox;
use crate::sandbox::{describe, wait_on_a_thread};

/// A program that has not ended by then hangs: it is killed and the test fails.
const LIMIT: Duration = Duration::from_secs(120);

/// A terminal, by its size.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    columns: u16,
    rows: u16,
    colour: bool,
    piped_stdout: bool,
    piped_stderr: bool,
}

impl Terminal {
    /// A terminal of so many columns (and 50 rows) that knows no colours: `NO_COLOR` is set.
    pub fn new(columns: u16) -> Self {
        Self { columns, rows: 50, colour: false, piped_stdout: false, piped_stderr: false }
    }

    /// With so many rows.
    pub fn rows(self, rows: u16) -> Self {
        Self { rows, ..self }
    }

    /// With colours.
    pub fn colour(self) -> Self {
        Self { colour: true, ..self }
    }

    /// stdout goes to a pipe that nobody looks at; the terminal has stdin and stderr.
    pub fn without_stdout(self) -> Self {
        Self { piped_stdout: true, ..self }
    }

    /// stderr goes nowhere; the terminal has stdin and stdout.
    pub fn without_stderr(self) -> Self {
        Self { piped_stderr: true, ..self }
    }

    /// Runs a program to its end.
    #[track_caller]
    pub fn run<A: AsRef<OsStr>>(
        &self,
        sandbox: &Sandbox,
        program: &str,
        args: impl IntoIterator<Item = A>,
    ) -> TerminalOutcome {
        self.start(sandbox, program, args).wait()
    }

    /// Starts a program.
    ///
    /// The terminal is not its controlling one, so a typed Ctrl-C is no signal: send it with
    /// [`OnTerminal::signal`].
    #[track_caller]
    pub fn start<A: AsRef<OsStr>>(
        &self,
        sandbox: &Sandbox,
        program: &str,
        args: impl IntoIterator<Item = A>,
    ) -> OnTerminal {
        let size = Winsize { ws_row: self.rows, ws_col: self.columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a pseudo-terminal");
        for end in [pty.master.as_fd(), pty.slave.as_fd()] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("a descriptor of our own");
        }
        let mut command = sandbox.command(program, args);
        command.env("TERM", "xterm-256color");
        if !self.colour {
            command.env("NO_COLOR", "1");
        }
        let what = describe(&command);
        let end = || Stdio::from(pty.slave.try_clone().expect("the terminal"));
        command.stdin(end());
        command.stdout(if self.piped_stdout { Stdio::null() } else { end() });
        command.stderr(if self.piped_stderr { Stdio::null() } else { end() });
        let child = command.spawn().unwrap_or_else(|e| panic!("{what}: {e}"));
        // The command holds the program's side of the terminal open.
        drop((command, pty.slave));
        let pid = Pid::from_raw(child.id().try_into().expect("a process ID"));
        let master = Master { file: pty.master.into(), bytes: Vec::new(), gone: false };
        let master = Arc::new(Mutex::new(master));
        let reading = Arc::downgrade(&master);
        std::thread::spawn(move || {
            while let Some(master) = reading.upgrade() {
                let mut master = master.lock().expect("no thread panicked with it");
                if master.gone {
                    break;
                }
                if !master.read(0) {
                    drop(master);
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        });
        let exit = wait_on_a_thread(child);
        OnTerminal { what, pid, columns: self.columns.into(), exit, ended: None, master }
    }
}

/// Our side of a terminal, and what came out of it so far.
#[derive(Debug)]
struct Master {
    file: std::fs::File,
    bytes: Vec<u8>,
    gone: bool,
}

impl Master {
    /// Reads what is there within so many milliseconds; says whether there was anything.
    fn read(&mut self, milliseconds: u16) -> bool {
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        if self.gone || poll(&mut fds, PollTimeout::from(milliseconds)).unwrap_or(0) == 0 {
            return false;
        }
        let mut chunk = [0; 64 * 1024];
        match self.file.read(&mut chunk) {
            Ok(n @ 1..) => {
                self.bytes.extend_from_slice(&chunk[..n]);
                true
            }
            // Linux: EIO, once nobody has the other side open.
            _ => {
                self.gone = true;
                false
            }
        }
    }
}

/// A program on a terminal. When it is dropped, its process group is killed.
#[derive(Debug)]
pub struct OnTerminal {
    what: String,
    pid: Pid,
    columns: usize,
    exit: Receiver<ExitStatus>,
    ended: Option<ExitStatus>,
    master: Arc<Mutex<Master>>,
}

impl OnTerminal {
    /// Types, as a person would: `"y\n"`.
    #[track_caller]
    pub fn types(&self, text: &str) {
        // Not under the lock for long: a terminal takes some lines before it blocks.
        let master = self.master.lock().expect("no thread panicked with it");
        (&master.file).write_all(text.as_bytes()).unwrap_or_else(|e| panic!("{}: typing: {e}", self.what));
    }

    /// Gives the terminal another size, and tells the process so: the terminal is not its
    /// controlling one.
    #[track_caller]
    pub fn resize(&mut self, columns: u16, rows: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let master = self.master.lock().expect("no thread panicked with it");
        rustix::termios::tcsetwinsize(&master.file, size).unwrap_or_else(|e| panic!("{}: {e}", self.what));
        drop(master);
        self.columns = columns.into();
        self.signal(Signal::SIGWINCH);
    }

    /// Sends a signal to the process alone.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap_or_else(|e| panic!("{}: {signal}: {e}", self.what));
    }

    /// The terminal goes away, as when its window is closed: nothing can be written to it any more.
    /// It is not the program's controlling one, so no SIGHUP comes of that: send it with
    /// [`OnTerminal::signal`].
    #[track_caller]
    pub fn close(&self) {
        let mut master = self.master.lock().expect("no thread panicked with it");
        master.file = std::fs::File::open("/dev/null").expect("/dev/null");
        master.gone = true;
    }

    /// The text that was written to the terminal so far, with its escape sequences. A line ends
    /// with `\n` alone.
    pub fn written(&self) -> String {
        let master = self.master.lock().expect("no thread panicked with it");
        String::from_utf8_lossy(&master.bytes).replace("\r\n", "\n")
    }

    /// Waits until what is on the screen is as `probe` wants it; what that is, is in `what`.
    #[track_caller]
    pub fn until(&mut self, what: &str, probe: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let screen = screen(&self.written(), self.columns);
            if probe(&screen) {
                return screen;
            }
            let ended = self.has_ended();
            let late = start.elapsed() > LIMIT;
            // It may have written its last just before it ended.
            if (ended && !probe(&self::screen(&self.written(), self.columns))) || late {
                panic!("{}: never on the screen: {what}\n{}", self.what, self.written());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = match self.exit.try_recv() {
                Ok(status) => Some(status),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => panic!("{}: nobody knows how it ended", self.what),
            };
            // All that it wrote is there now, whoever else may hold the terminal open.
            if self.ended.is_some() {
                let mut master = self.master.lock().expect("no thread panicked with it");
                while master.read(0) {}
            }
        }
        self.ended.is_some()
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait(self) -> TerminalOutcome {
        self.wait_for(LIMIT)
    }

    /// Waits until it has ended, at most for this time.
    #[track_caller]
    pub fn wait_for(mut self, limit: Duration) -> TerminalOutcome {
        let start = Instant::now();
        while !self.has_ended() {
            if start.elapsed() > limit {
                panic!("{}: has not ended within {limit:?}\n{}", self.what, self.written());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let status = self.ended.expect("it has ended");
        TerminalOutcome { what: self.what.clone(), columns: self.columns, status, written: self.written() }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        if self.ended.is_none() && self.exit.try_recv().is_err() {
            let _ = killpg(self.pid, Signal::SIGKILL);
        }
    }
}

/// How a program on a terminal ended, and what was to be seen.
#[derive(Debug, Clone)]
pub struct TerminalOutcome {
    /// The command line, for messages.
    pub what: String,
    /// How it ended.
    pub status: ExitStatus,
    /// The text that was written to the terminal, with its escape sequences. A line ends with `\n`
    /// alone.
    pub written: String,
    columns: usize,
}

impl TerminalOutcome {
    /// The text on the screen at the end, with everything that has scrolled out of it.
    pub fn screen(&self) -> String {
        screen(&self.written, self.columns)
    }

    /// The exit code; of a program that a signal ended, 128 and the signal, as shells have it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// It ended with this exit code.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "exit code of {}\n{}", self.what, self.written);
        self
    }

    /// It succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.ended_with(0)
    }
}

/// The screen of a terminal with this many columns after `written` was written to it. It knows the
/// sequences that our tools use: colours (which do not show), the cursor to the left, up and home,
/// and clearing. Lines that are too long wrap.
pub fn screen(written: &str, columns: usize) -> String {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut chars = written.chars();
    while let Some(c) = chars.next() {
        match c {
            '\r' => column = 0,
            '\n' => (row, column) = (row + 1, 0),
            '\u{8}' => column = column.saturating_sub(1),
            '\u{1b}' => {
                if chars.next() != Some('[') {
                    continue;
                }
                let sequence: String = chars.by_ref().take_while_inclusive(|c| !c.is_ascii_alphabetic());
                let number = sequence.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok();
                match sequence.chars().last() {
                    Some('A') => row = row.saturating_sub(number.unwrap_or(1)),
                    Some('B') => row += number.unwrap_or(1),
                    Some('G') => column = number.unwrap_or(1).saturating_sub(1),
                    Some('H') => (row, column) = (0, 0),
                    Some('J') if number == Some(2) || number == Some(3) => lines.clear(),
                    Some('J') => {
                        lines.truncate(row + 1);
                        lines.get_mut(row).into_iter().for_each(|line| line.truncate(column));
                    }
                    Some('K') if number == Some(2) => lines.get_mut(row).into_iter().for_each(Vec::clear),
                    Some('K') => lines.get_mut(row).into_iter().for_each(|line| line.truncate(column)),
                    _ => {}
                }
            }
            c if c.is_control() => {}
            c => {
                if column == columns {
                    (row, column) = (row + 1, 0);
                }
                if lines.len() <= row {
                    lines.resize(row + 1, Vec::new());
                }
                if lines[row].len() <= column {
                    lines[row].resize(column + 1, ' ');
                }
                lines[row][column] = c;
                column += 1;
            }
        }
    }
    let lines: Vec<String> =
        lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect();
    format!("{}\n", lines.join("\n").trim_end_matches('\n'))
}

/// The characters up to the first one that does not go on, and that one.
trait TakeWhileInclusive: Iterator<Item = char> + Sized {
    fn take_while_inclusive(self, mut goes_on: impl FnMut(&char) -> bool) -> String {
        let mut taken = String::new();
        for c in self {
            taken.push(c);
            if !goes_on(&c) {
                break;
            }
        }
        taken
    }
}

impl<I: Iterator<Item = char>> TakeWhileInclusive for I {}
