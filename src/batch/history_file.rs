//! The file of a history: how lines are appended to it and read.
//!
//! Several tools may append at the same time, and a disk may be full: a line is there as a whole,
//! or its writer knows that it is not. Such a writer leaves an empty file beside the history, so
//! that nobody takes an earlier line for the latest one.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

/// The number of lines to keep.
const MAX_LINES: usize = 10_000;
/// Remove the oldest lines once the file exceeds this size in bytes (about twice [`MAX_LINES`]
/// lines).
const PRUNE_BYTES: u64 = 2 * MAX_LINES as u64 * 80;
/// The extension of the file that writers lock. It stands in the place of a region.
const LOCK: &str = "lock";
/// The extension of the empty file that says that a line is missing.
const UNRECORDED: &str = "unrecorded";
/// A writer holds the lock for some milliseconds. Whoever holds it for longer may do so for ever.
const LOCK_TIME: Duration = Duration::from_secs(1);
/// The pause between two attempts to lock.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// For how long a writer tries to lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It tries once.
    None,
    /// It tries for a second.
    Short,
}

/// Whether a file of this name, behind that of the cluster, is not the history of a region.
pub fn is_beside(extension: &str) -> bool {
    extension == LOCK || extension.ends_with(&format!(".{UNRECORDED}"))
}

/// The text of a file. One that cannot be read, or is not a file, is empty.
pub fn read_text(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = open(path, OpenOptions::new().read(true)).and_then(|mut file| file.read_to_end(&mut bytes));
    match read {
        Ok(_) => {
            String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
        }
        Err(_) => String::new(),
    }
}

/// Appends lines, all or none of them. One writer at a time appends, so that no lines go to a file
/// that is being replaced, and what a full disk has cut can be taken back.
///
/// # Errors
/// When they cannot be written. [`io::ErrorKind::WouldBlock`]: another process holds the lock.
pub fn append(path: &Path, lines: &str, patience: Patience) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let lock = open(&path.with_extension(LOCK), writing().create(true))?;
    let is_locked = lock_file(&lock, patience)?;
    let mut file = open(path, writing().create(true))?;
    let length = file.metadata()?.len();
    // A line that an earlier version, or a power failure, has cut ends here.
    let is_cut = match length.checked_sub(1) {
        Some(last) => {
            let mut end = [0];
            file.read_exact_at(&mut end, last)?;
            end != *b"\n"
        }
        None => false,
    };
    let text = if is_cut { format!("\n{lines}") } else { lines.to_owned() };
    if let Err(why) = file.write_all(text.as_bytes()) {
        // Without the lock, this could be the line of another writer.
        if is_locked {
            let _ = file.set_len(length);
        }
        return Err(why);
    }
    if is_locked && length > PRUNE_BYTES {
        // The lines are there. The oldest are removed another time.
        let _ = prune(path);
    }
    Ok(())
}

/// Whether lines can be appended, as far as that can be seen without writing.
///
/// # Errors
/// Why they cannot. A file that is not there yet is no error.
pub fn check_writable(path: &Path) -> io::Result<()> {
    [path.to_owned(), path.with_extension(LOCK)].iter().try_for_each(|path| {
        match open(path, &mut writing()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    })
}

/// Notes that a line of a submission to this endpoint is missing. Where that cannot be written
/// either, there is nothing more to do.
pub fn note_unrecorded(path: &Path, endpoint: &str) {
    let folder = path.parent().unwrap_or(Path::new("."));
    let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let _ = open(&unrecorded(path, endpoint), writing().create(true));
}

/// Removes this note: a later submission to the same endpoint is recorded.
pub fn forget_unrecorded(path: &Path, endpoint: &str) {
    let _ = fs::remove_file(unrecorded(path, endpoint));
}

/// Whether the line of the latest submission to this endpoint is missing.
pub fn is_unrecorded(path: &Path, endpoint: &str) -> bool {
    unrecorded(path, endpoint).exists()
}

fn unrecorded(path: &Path, endpoint: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{endpoint}.{UNRECORDED}"));
    name.into()
}

/// Opens a file. The other end of a FIFO in its place is not waited for.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    Ok(file)
}

/// For appending. A FIFO can be opened for reading and writing without a wait or an error.
fn writing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    options
}

/// Locks a file, and returns whether it is locked: a file system without locks is used without.
fn lock_file(file: &File, patience: Patience) -> io::Result<bool> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(_)) => return Ok(false),
            Err(TryLockError::WouldBlock) if patience == Patience::Short && begun.elapsed() < LOCK_TIME => {
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                let why = "another process holds its lock";
                return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
            }
        }
    }
}

/// Removes all but the latest lines.
fn prune(path: &Path) -> io::Result<()> {
    let text = fs::read(path)?;
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    let latest = lines.get(lines.len().saturating_sub(MAX_LINES)..).unwrap_or_default();
    // A temporary file is readable by its owner alone.
    let mut new = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    new.write_all(&latest.concat())?;
    new.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_takes_no_other_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs/c.eu-west-1");
        append(&path, "one\nhalf a li", Patience::None).unwrap();
        append(&path, "two\n", Patience::None).unwrap();
        append(&path, "three\n", Patience::None).unwrap();
        assert_eq!(read_text(&path), "one\nhalf a li\ntwo\nthree\n");
        assert_eq!(read_text(Path::new("/nowhere")), "");
    }

    #[test]
    fn many_at_once_lose_no_line_while_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.eu-west-1");
        fs::write(&path, format!("{}\n", "0".repeat(90)).repeat(2 * MAX_LINES)).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    for n in 0..50 {
                        let line = format!("job-{writer}-{n}\n");
                        // A machine that has much to do may hold a writer up for long.
                        while append(path, &line, Patience::Short).is_err() {}
                    }
                });
            }
        });
        let text = read_text(&path);
        assert_eq!(text.lines().filter(|line| line.starts_with("job-")).count(), 400);
        assert!(text.lines().count() <= MAX_LINES + 400, "{}", text.lines().count());
    }

    #[test]
    fn nobody_waits_for_a_lock_or_for_the_other_end_of_a_fifo() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.eu-west-1");
        append(&path, "one\n", Patience::None).unwrap();
        let lock = File::open(path.with_extension(LOCK)).unwrap();
        lock.lock().unwrap();
        for patience in [Patience::None, Patience::Short] {
            assert_eq!(append(&path, "two\n", patience).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
        lock.unlock().unwrap();
        assert_eq!(read_text(&path), "one\n");
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for error in [append(&path, "two\n", Patience::None), check_writable(&path)] {
            assert_eq!(error.unwrap_err().to_string(), "it is not a file");
        }
        assert_eq!(read_text(&path), "");
    }

    #[test]
    fn a_missing_line_is_noted_for_its_endpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs/c.eu-west-1");
        note_unrecorded(&path, "0a1b");
        assert!(is_unrecorded(&path, "0a1b") && !is_unrecorded(&path, "-"));
        forget_unrecorded(&path, "-");
        assert!(is_unrecorded(&path, "0a1b"));
        forget_unrecorded(&path, "0a1b");
        assert!(!is_unrecorded(&path, "0a1b"));
        assert!(is_beside("lock") && is_beside("eu-west-1.0a1b.unrecorded") && !is_beside("eu-west-1"));
    }
}
