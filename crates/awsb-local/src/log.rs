//! The log of the server and of its runners.
//!
//! A server in the background logs into `server.log` in its home, a line for each event: time,
//! level, message and fields. When the file has become long, it is renamed to `server.log.1` and a
//! new one begins. A server in the foreground logs on stderr, without time and level. Runners log
//! where their server does.
//!
//! A log that cannot be written stops nobody, and requests are not logged when the disk is nearly
//! full. No secret may be logged: no key, no signature, no query of a URL, no body.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use crate::home::files::{SERVER_LOG, SERVER_NEW_LOG, SERVER_OLD_LOG};
use crate::home::{contents, space};

/// The target of the events of requests.
pub const REQUEST: &str = "awsb_local::request";
/// The words between the thread and the place of a panic.
const PANICKED: &str = " panicked at ";
/// A log longer than this is renamed, in bytes. So the two files have at most about twice as much.
const MAX_LENGTH: u64 = 4 << 20;
/// The pause after an attempt to begin a new log has failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// The words with which the message of a runner begins.
const RUNNER: &str = "runner: ";

/// Logs into the file of a home, from now on.
pub fn init_file(home: &Path) {
    match LogFile::open(home) {
        Ok(file) => init(Sink::File(Arc::new(ServerLog::new(home, file))), "", true),
        Err(_) => init(Sink::Stderr, "", true),
    }
}

/// Logs on stderr, from now on; with `requests`, each request as well.
pub fn init_stderr(requests: bool) {
    init(Sink::Stderr, "", requests);
}

/// Logs where the server does that has started this runner. The home is the working directory.
///
/// A panic is logged as an error: the stderr of a runner may be a log that was renamed since.
pub fn init_runner() {
    init(runner_sink(Path::new("."), io::stderr()), RUNNER, false);
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

/// Where a runner logs that has this as its stderr.
fn runner_sink(home: &Path, stderr: impl AsFd) -> Sink {
    // The server may have renamed its log since it started this runner.
    let is_log = [SERVER_LOG, SERVER_OLD_LOG].iter().any(|name| is_file(&stderr, &home.join(name)));
    if is_log { Sink::Append(home.join(SERVER_LOG)) } else { Sink::Stderr }
}

fn init(sink: Sink, prefix: &'static str, requests: bool) {
    // Other crates have events, too, which may contain what is secret.
    let is_ours = move |metadata: &Metadata<'_>| {
        metadata.target().starts_with("awsb_local")
            && *metadata.level() <= Level::INFO
            && (requests || metadata.target() != REQUEST)
    };
    let has_time = !matches!(sink, Sink::Stderr);
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Line { has_time, prefix })
        // Else a line that cannot be written is reported with a macro that panics when that fails,
        // too.
        .log_internal_errors(false)
        .with_writer(sink);
    // A process has one log. Where it is initialized a second time, the first one stays.
    let _ = tracing::subscriber::set_global_default(
        tracing_subscriber::registry().with(filter_fn(is_ours)).with(lines),
    );
}

/// Whether a descriptor is that of the file with this path.
fn is_file(descriptor: impl AsFd, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(file) = fs::symlink_metadata(path) else { return false };
    nix::sys::stat::fstat(descriptor).is_ok_and(|opened| {
        // The types of these numbers differ between systems.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
        let opened = (opened.st_dev as u64, u64::from(opened.st_ino));
        opened == (file.dev(), file.ino())
    })
}

/// How an event becomes a line.
struct Line {
    has_time: bool,
    prefix: &'static str,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.has_time {
            true => {
                write!(writer, "{:.3} {} {}", Timestamp::now(), event.metadata().level(), self.prefix)?;
            }
            false => write!(writer, "blocal: {}", self.prefix)?,
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Where lines go.
#[derive(Debug, Clone)]
enum Sink {
    Stderr,
    /// The file of this server.
    File(Arc<ServerLog>),
    /// The file of another process, the server, which may rename it at any time.
    Append(PathBuf),
    /// Nowhere.
    Nowhere,
}

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A line that cannot be written is lost.
        let _ = match self {
            Self::Stderr => io::stderr().write_all(line),
            Self::File(log) => log.file.lock().unwrap_or_else(PoisonError::into_inner).write(line),
            Self::Append(path) => append(path, line),
            Self::Nowhere => Ok(()),
        };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Self {
        match self {
            // The last free bytes of a disk are for the ends of jobs.
            Self::File(log) if event.target() == REQUEST && space::output_shortage(&log.home).is_some() => {
                Self::Nowhere
            }
            _ => self.clone(),
        }
    }
}

/// Appends a line to the log of the server. Nobody renames a long log while no server runs: lines
/// are lost then.
fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = open(path)?;
    if file.metadata()?.len() > 2 * MAX_LENGTH {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    file.write_all(line)
}

/// The log of a server in the background, for all of its threads.
#[derive(Debug)]
struct ServerLog {
    home: PathBuf,
    file: Mutex<LogFile>,
}

impl ServerLog {
    fn new(home: &Path, file: LogFile) -> Self {
        Self { home: home.to_owned(), file: Mutex::new(file) }
    }
}

/// The file of a server's log.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    /// Whether stderr follows to the new file.
    is_stderr: bool,
    /// The time of the last attempt to begin a new log, if it failed.
    failed_at: Option<Instant>,
}

impl LogFile {
    fn open(home: &Path) -> io::Result<Self> {
        let path = home.join(SERVER_LOG);
        Ok(Self { file: open(&path)?, is_stderr: is_file(io::stderr(), &path), path, failed_at: None })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if !is_file(&self.file, &self.path) {
            // Somebody removed or replaced the log. Lines in the old file would be seen by nobody.
            // Where no log can be opened, the old file is still the best there is.
            if let Ok(file) = open(&self.path) {
                self.begin(file)?;
            }
        }
        let length = self.file.metadata()?.len();
        if length > MAX_LENGTH && self.failed_at.is_none_or(|at| at.elapsed() >= RETRY_INTERVAL) {
            self.failed_at = self.rotate(open).is_err().then(Instant::now);
        }
        if self.failed_at.is_some() && length > 2 * MAX_LENGTH {
            // There was no new file for a long time. Lines are lost until there is one.
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.file.write_all(line)
    }

    /// Renames the log and begins a new one. If the old log cannot be replaced, this one is emptied
    /// instead. Somebody may have deleted this one; then there is only the new one.
    ///
    /// # Errors
    /// When there can be no new file (a full disk, no descriptor). Both logs stay as they are.
    fn rotate(&mut self, open: impl FnOnce(&Path) -> io::Result<File>) -> io::Result<()> {
        let (new, old) = (self.path.with_file_name(SERVER_NEW_LOG), self.path.with_file_name(SERVER_OLD_LOG));
        let file = open(&new)?;
        // A server that was killed may have left this file.
        file.set_len(0)?;
        match fs::rename(&self.path, &old) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(_) => {
                fs::remove_file(&new)?;
                return self.file.set_len(0);
            }
        }
        if let Err(e) = fs::rename(&new, &self.path) {
            let _ = fs::rename(&old, &self.path);
            return Err(e);
        }
        self.begin(file)
    }

    /// Logs into this file from now on.
    fn begin(&mut self, file: File) -> io::Result<()> {
        self.file = file;
        if self.is_stderr {
            // Panics go there, and runners that are started from now on inherit it.
            nix::unistd::dup2_stderr(&self.file)?;
        }
        Ok(())
    }
}

/// Opens the log for appending, for this user's eyes only. A link in its place is not followed.
fn open(path: &Path) -> io::Result<File> {
    contents::open_to_write(OpenOptions::new().create(true).append(true), path)
}

/// Renames a log that has become long, before a server is started with it. The log stays where
/// there can be no new one.
pub fn rotate_if_long(home: &Path) {
    let path = home.join(SERVER_LOG);
    if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() > MAX_LENGTH) {
        let _ = LogFile::open(home).and_then(|mut log| log.rotate(open));
    }
}

/// The error with which the log of a home ends, if it ends with one.
pub fn last_error(home: &Path) -> Option<String> {
    let text = contents::read(&home.join(SERVER_LOG)).ok()?;
    error_at_end(&String::from_utf8_lossy(&text))
}

/// The error with which a server's log ends, in one line: the message of its last line, or a panic,
/// which has several lines. Lines of runners do not count, as they go on without a server.
pub fn error_at_end(log: &str) -> Option<String> {
    let is_of_runner = |line: &str| event(line).is_some_and(|(_, message)| message.starts_with(RUNNER));
    let lines = log.lines().map(str::trim).filter(|line| !line.is_empty() && !is_of_runner(line));
    let lines: Vec<&str> = lines.collect();
    if let Some((level, message)) = event(lines.last()?) {
        return (level == Level::ERROR.as_str()).then(|| message.to_owned());
    }
    // std::panic: `thread 'main' (7) panicked at FILE:LINE:COLUMN:`, the message in any number of
    // lines, and a note about backtraces or, with RUST_BACKTRACE=1, the backtrace.
    let begin = lines.iter().rposition(|line| line.starts_with("thread '") && line.contains(PANICKED))?;
    let (_thread, place) = lines[begin].split_once(PANICKED)?;
    let is_end = |line: &str| line.starts_with("note: ") || line == "stack backtrace:";
    let message = lines[begin + 1..].iter().take_while(|line| !is_end(line));
    let message: Vec<&str> = std::iter::once(place).chain(message.copied()).collect();
    Some(format!("panicked at {}", message.join(" ")))
}

/// The level and the message of a line that [`Line`] has written.
fn event(line: &str) -> Option<(&str, &str)> {
    let (time, rest) = line.split_once(' ')?;
    time.parse::<Timestamp>().ok().and_then(|_| rest.split_once(' '))
}

/// Records a loss that was found: in the log now, and for everybody who asks for the status.
pub fn add_warning(warnings: &mut Vec<String>, warning: String) {
    tracing::warn!("warning: {warning}");
    warnings.push(warning);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logs with a subscriber of this thread alone.
    fn logged(sink: Sink, events: impl FnOnce()) {
        let has_time = !matches!(sink, Sink::Stderr);
        let lines = tracing_subscriber::fmt::layer()
            .event_format(Line { has_time, prefix: "" })
            .log_internal_errors(false)
            .with_writer(sink);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), events);
    }

    fn file_of(home: &Path) -> Sink {
        Sink::File(Arc::new(ServerLog::new(home, LogFile::open(home).unwrap())))
    }

    #[test]
    fn a_line_has_time_level_message_and_fields() {
        let home = tempfile::tempdir().unwrap();
        logged(file_of(home.path()), || {
            tracing::info!(id = %"a-b", status = 200, "request");
        });
        assert_eq!(last_error(home.path()), None);
        logged(file_of(home.path()), || tracing::error!("serving: no disk"));
        assert_eq!(last_error(home.path()).unwrap(), "serving: no disk");
        let text = fs::read_to_string(home.path().join(SERVER_LOG)).unwrap();
        let (time, rest) = text.lines().next().unwrap().split_once(' ').unwrap();
        assert!(
            time.parse::<Timestamp>().is_ok() && time.len() == "2026-11-29T07:00:00.000Z".len(),
            "{time}"
        );
        assert_eq!(rest, "INFO request id=a-b status=200");
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(home.path().join(SERVER_LOG)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_log_ends_with_an_error_in_one_line_or_with_a_panic_in_several() {
        let info = "2026-11-29T07:00:00.000Z INFO serving\n";
        let traced = "thread 'main' (71) panicked at src/a.rs:1:2:\nno disk\nstack backtrace:\n   0: main\n\
                      note: Some details are omitted, run with `RUST_BACKTRACE=full` for all\n";
        let runner = "2026-11-29T07:00:01.000Z WARN runner: the server is gone\n";
        let panic = "\nthread 'main' (71) panicked at src/server/mod.rs:7:5:\nno disk:\n  gone\n\
                     note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        for (log, error) in [
            ("", None),
            (info, None),
            ("2026-11-29T07:00:00.000Z ERROR serving: no disk\n", Some("serving: no disk")),
            (panic, Some("panicked at src/server/mod.rs:7:5: no disk: gone")),
            (&format!("{info}{panic}"), Some("panicked at src/server/mod.rs:7:5: no disk: gone")),
            (traced, Some("panicked at src/a.rs:1:2: no disk")),
            // The runners of a server outlive it.
            (&format!("{panic}{runner}"), Some("panicked at src/server/mod.rs:7:5: no disk: gone")),
            (&format!("2026-11-29T07:00:00.000Z ERROR serving: no disk\n{runner}"), Some("serving: no disk")),
            (&runner.replace("WARN", "ERROR"), None),
            // The server went on.
            (&format!("{panic}{info}"), None),
            ("awsb: no such library\n", None),
        ] {
            assert_eq!(error_at_end(log).as_deref(), error, "{log}");
        }
    }

    #[test]
    fn a_runner_logs_where_its_server_does_even_if_the_log_was_renamed_meanwhile() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join(SERVER_LOG);
        let mut server = LogFile::open(home.path()).unwrap();
        let stderr = open(&log).unwrap();
        server.rotate(open).unwrap();
        logged(runner_sink(home.path(), &stderr), || tracing::warn!("of the runner"));
        assert!(fs::read_to_string(&log).unwrap().ends_with("WARN of the runner\n"));
        let elsewhere = open(&home.path().join("elsewhere")).unwrap();
        assert!(matches!(runner_sink(home.path(), &elsewhere), Sink::Stderr));
    }

    #[test]
    fn a_runner_without_a_server_does_not_fill_the_disk_with_its_log() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join(SERVER_LOG);
        append(&log, b"line\n").unwrap();
        fs::File::options().write(true).open(&log).unwrap().set_len(2 * MAX_LENGTH + 1).unwrap();
        assert_eq!(append(&log, b"line\n").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_long_log_is_renamed_and_never_grows_beyond_its_limit() {
        let home = tempfile::tempdir().unwrap();
        let length = |name: &str| fs::metadata(home.path().join(name)).map_or(0, |meta| meta.len());
        fs::write(home.path().join(SERVER_LOG), vec![b'x'; MAX_LENGTH as usize + 1]).unwrap();
        rotate_if_long(home.path());
        assert_eq!((length(SERVER_LOG), length(SERVER_OLD_LOG)), (0, MAX_LENGTH + 1));
        rotate_if_long(home.path());
        assert_eq!(length(SERVER_OLD_LOG), MAX_LENGTH + 1);
        let mut log = LogFile::open(home.path()).unwrap();
        log.file.set_len(MAX_LENGTH + 2).unwrap();
        log.write(b"line\n").unwrap();
        assert_eq!((length(SERVER_LOG), length(SERVER_OLD_LOG)), (5, MAX_LENGTH + 2));
        // Where the old one cannot be replaced, the log begins again.
        fs::remove_file(home.path().join(SERVER_OLD_LOG)).unwrap();
        fs::create_dir_all(home.path().join(SERVER_OLD_LOG).join("in the way")).unwrap();
        let mut log = LogFile::open(home.path()).unwrap();
        log.file.set_len(MAX_LENGTH + 1).unwrap();
        log.write(b"line\n").unwrap();
        assert_eq!(length(SERVER_LOG), 5);
    }

    #[test]
    fn a_log_that_was_removed_or_replaced_begins_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(SERVER_LOG);
        let mut log = LogFile::open(home.path()).unwrap();
        log.write(b"first\n").unwrap();
        fs::remove_file(&path).unwrap();
        log.write(b"second\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second\n");
        fs::rename(&path, home.path().join("elsewhere")).unwrap();
        fs::write(&path, "of another\n").unwrap();
        log.write(b"third\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "of another\nthird\n");
        // A link leads anywhere: it is not followed.
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(home.path().join("target"), &path).unwrap();
        log.write(b"fourth\n").unwrap();
        assert!(!home.path().join("target").exists());
    }

    #[test]
    fn a_log_without_room_for_a_new_file_stays_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(home.path()).unwrap();
        log.write(b"first\n").unwrap();
        fs::write(home.path().join(SERVER_OLD_LOG), "older\n").unwrap();
        log.rotate(|_| Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        log.write(b"second\n").unwrap();
        let contents = |name: &str| fs::read_to_string(home.path().join(name)).unwrap();
        assert_eq!(
            (contents(SERVER_LOG).as_str(), contents(SERVER_OLD_LOG).as_str()),
            ("first\nsecond\n", "older\n")
        );
    }

    #[test]
    fn a_new_log_is_not_tried_again_for_each_line() {
        let home = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(home.path()).unwrap();
        // A folder is in the way of the new file.
        fs::create_dir(home.path().join(SERVER_NEW_LOG)).unwrap();
        log.file.set_len(MAX_LENGTH + 1).unwrap();
        log.write(b"first\n").unwrap();
        let failed_at = log.failed_at.unwrap();
        log.write(b"second\n").unwrap();
        assert_eq!((log.failed_at, log.file.metadata().unwrap().len()), (Some(failed_at), MAX_LENGTH + 14));
        log.file.set_len(2 * MAX_LENGTH + 1).unwrap();
        assert_eq!(log.write(b"third\n").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        fs::remove_dir(home.path().join(SERVER_NEW_LOG)).unwrap();
        log.failed_at = failed_at.checked_sub(RETRY_INTERVAL);
        log.write(b"fourth\n").unwrap();
        assert_eq!(fs::read_to_string(home.path().join(SERVER_LOG)).unwrap(), "fourth\n");
        assert!(!home.path().join(SERVER_NEW_LOG).exists());
    }

    #[test]
    fn a_log_that_somebody_has_deleted_begins_anew() {
        let home = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(home.path()).unwrap();
        log.file.set_len(MAX_LENGTH + 1).unwrap();
        fs::remove_file(home.path().join(SERVER_LOG)).unwrap();
        log.write(b"line\n").unwrap();
        assert_eq!(fs::read_to_string(home.path().join(SERVER_LOG)).unwrap(), "line\n");
        assert!(!home.path().join(SERVER_OLD_LOG).exists());
    }

    #[test]
    fn a_link_in_place_of_the_log_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("elsewhere", home.path().join(SERVER_LOG)).unwrap();
        assert!(LogFile::open(home.path()).is_err());
        assert!(!home.path().join("elsewhere").exists());
    }

    #[test]
    fn a_log_that_cannot_be_written_stops_nobody() {
        // Every write to it fails, as on a full disk.
        let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else { return };
        let log =
            LogFile { path: "/nowhere/server.log".into(), file: full, is_stderr: false, failed_at: None };
        let sink = Sink::File(Arc::new(ServerLog::new(Path::new("/nowhere"), log)));
        logged(sink, || tracing::warn!("not written"));
    }
}
