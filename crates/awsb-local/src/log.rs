//! The log of the server and of its runners.
//!
//! A server in the background logs into `server.log` in its home, a line for each event: time,
//! level, message and fields. When the file has become long, it is renamed to `server.log.1` and a
//! new one begins. A server in the foreground logs on stderr, without time and level. Runners log
//! where their server does.
//!
//! A log that cannot be written, as on a full disk, stops nobody. No secret may be logged: no key,
//! no signature, no query of a URL, no body.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use crate::home::contents;
use crate::home::files::{SERVER_LOG, SERVER_OLD_LOG};

/// The target of the events of requests.
pub const REQUEST: &str = "awsb_local::request";
/// A log longer than this is renamed, in bytes. So the two files have at most about twice as much.
const MAX_LENGTH: u64 = 4 << 20;

/// Logs into the file of a home, from now on.
pub fn init_file(home: &Path) {
    match LogFile::open(home) {
        Ok(file) => init(Sink::File(Arc::new(Mutex::new(file))), "", true),
        Err(_) => init(Sink::Stderr, "", true),
    }
}

/// Logs on stderr, from now on; with `requests`, each request as well.
pub fn init_stderr(requests: bool) {
    init(Sink::Stderr, "", requests);
}

/// Logs where the server does that has started this runner. The home is the working directory.
pub fn init_runner() {
    let sink = if stderr_is(Path::new(SERVER_LOG)) { Sink::Append } else { Sink::Stderr };
    init(sink, "runner: ", false);
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

/// Whether stderr is this file.
fn stderr_is(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(file) = fs::symlink_metadata(path) else { return false };
    nix::sys::stat::fstat(io::stderr()).is_ok_and(|stderr| {
        // The types of these numbers differ between systems.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
        let stderr = (stderr.st_dev as u64, u64::from(stderr.st_ino));
        stderr == (file.dev(), file.ino())
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
    File(Arc<Mutex<LogFile>>),
    /// The file of another process, the server, which may rename it at any time.
    Append,
}

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A line that cannot be written is lost.
        let _ = match self {
            Self::Stderr => io::stderr().write_all(line),
            Self::File(file) => file.lock().unwrap_or_else(PoisonError::into_inner).write(line),
            Self::Append => open(Path::new(SERVER_LOG)).and_then(|mut file| file.write_all(line)),
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
}

/// The log of a server in the background.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    /// Whether stderr follows to the new file.
    is_stderr: bool,
}

impl LogFile {
    fn open(home: &Path) -> io::Result<Self> {
        let path = home.join(SERVER_LOG);
        Ok(Self { file: open(&path)?, is_stderr: stderr_is(&path), path })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.file.metadata()?.len() > MAX_LENGTH {
            if self.rotate(open).is_err() {
                self.file.set_len(0)?;
            } else if self.file.metadata()?.len() > 2 * MAX_LENGTH {
                // There was no new file for a long time. Lines are lost until there is one.
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        self.file.write_all(line)
    }

    /// Renames the log and begins a new one. Where there can be no new file (a full disk, no
    /// descriptor), the log stays as it is.
    ///
    /// # Errors
    /// When the log cannot be renamed.
    fn rotate(&mut self, open: impl FnOnce(&Path) -> io::Result<File>) -> io::Result<()> {
        let old = self.path.with_file_name(SERVER_OLD_LOG);
        fs::rename(&self.path, &old)?;
        match open(&self.path) {
            Ok(file) => self.file = file,
            Err(_) => return fs::rename(&old, &self.path),
        }
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

/// Renames a log that has become long, before a server is started with it.
pub fn rotate_if_long(home: &Path) {
    let path = home.join(SERVER_LOG);
    if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() > MAX_LENGTH) {
        let _ = fs::rename(&path, home.join(SERVER_OLD_LOG));
    }
}

/// The message of the last line in the log of a home, if it is that of an error.
pub fn last_error(home: &Path) -> Option<String> {
    let text = contents::read(&home.join(SERVER_LOG)).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (_time, rest) = text.lines().rfind(|line| !line.trim().is_empty())?.split_once(' ')?;
    rest.strip_prefix(Level::ERROR.as_str()).map(|message| message.trim_start().to_owned())
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
        Sink::File(Arc::new(Mutex::new(LogFile::open(home).unwrap())))
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
    fn a_log_without_room_for_a_new_file_stays_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(home.path()).unwrap();
        log.write(b"first\n").unwrap();
        log.rotate(|_| Err(io::ErrorKind::StorageFull.into())).unwrap();
        log.write(b"second\n").unwrap();
        assert_eq!(fs::read_to_string(home.path().join(SERVER_LOG)).unwrap(), "first\nsecond\n");
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
        let log = LogFile { path: "/nowhere/server.log".into(), file: full, is_stderr: false };
        let sink = Sink::File(Arc::new(Mutex::new(log)));
        logged(sink, || tracing::warn!("not written"));
    }
}
