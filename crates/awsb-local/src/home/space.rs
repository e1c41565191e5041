//! Space on the disk of a home: the errors when it is full, and the reserve that is released so
//! that the ends of jobs can still be recorded.
//!
//! | what                                    | when little space is left                                    |
//! |-----------------------------------------|--------------------------------------------------------------|
//! | submissions, uploads, other new things  | refused while less than [`LOW`] bytes are left beside them   |
//! |                                         | and beside what the reserve lacks                            |
//! | starts of jobs that wait                | they wait until there is space again                         |
//! | lines that jobs print                   | not kept while less than [`LEAST`] bytes are left            |
//! | lines of requests in the server's log   | not written while less than [`LEAST`] bytes are left         |
//! | ends of jobs, also those that are asked for | recorded; where that fails, with a part of the reserve   |
//! | everything that only reads              | goes on                                                      |

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::contents::open_to_write;
use super::files::{DATABASES, PROBE, RESERVE};
use crate::error::LocalError;
use crate::process::missing_resource;

/// Nothing new is begun while less than this is left beside the whole reserve, in bytes.
pub const LOW: u64 = 256 * 1024;
/// Output of jobs is not stored and requests are not logged while less than this is left, in bytes:
/// ends have priority.
pub const LEAST: u64 = 128 * 1024;
/// Nothing new is begun while fewer files than this can be made: a job takes about five.
const LOW_FILES: u64 = 8;
/// How large the reserve is, in bytes.
const WHOLE: u64 = 1024 * 1024;
/// How much of the reserve is given up at once, in bytes: a transaction with many ends takes less.
const PART: u64 = 256 * 1024;
/// How much is written to find out whether anything can be written, in bytes.
const PROBE_BYTES: usize = 64 * 1024;

/// Why a disk takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Full,
    Files,
    Quota,
    ReadOnly,
    /// No file may be larger than this, in bytes (setrlimit(2), RLIMIT_FSIZE).
    FileLimit(u64),
}

/// A disk that takes no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSpace {
    why: Why,
    path: PathBuf,
    free: Option<u64>,
    /// How much would have to be free, where that is known.
    needed: Option<u64>,
}

impl NoSpace {
    /// The lack of space that an error means for a home, if it means one.
    pub fn of(home: &Path, e: &io::Error) -> Option<Self> {
        let why = match e.kind() {
            io::ErrorKind::StorageFull => match free(home) {
                Some(Free { files: Some(0), bytes, .. }) if bytes > 0 => Why::Files,
                _ => Why::Full,
            },
            io::ErrorKind::QuotaExceeded => Why::Quota,
            io::ErrorKind::ReadOnlyFilesystem => Why::ReadOnly,
            io::ErrorKind::FileTooLarge => Why::FileLimit(file_limit()?),
            _ => return None,
        };
        Some(Self::new(why, home))
    }

    /// A disk that is full.
    pub fn full(home: &Path) -> Self {
        Self::new(Why::Full, home)
    }

    /// Whether a database is about as large as a file may be: SQLite has no code for that.
    pub fn at_file_limit(home: &Path) -> Option<Self> {
        /// By how much SQLite makes a file larger at most (`-shm`: 32 KiB).
        const STEP: u64 = 32 * 1024;
        let limit = file_limit()?;
        let length = |name: String| fs::symlink_metadata(home.join(name)).map_or(0, |meta| meta.len());
        let mut files =
            DATABASES.iter().flat_map(|name| ["", "-wal", "-shm"].map(|of| format!("{name}{of}")));
        files
            .any(|name| length(name).saturating_add(STEP) > limit)
            .then(|| Self::new(Why::FileLimit(limit), home))
    }

    /// Tries whether the disk under a home takes anything: a small file is written there, and
    /// removed.
    pub fn probe(home: &Path) -> Option<Self> {
        let path = home.join(PROBE);
        let write = || {
            let _ = fs::remove_file(&path);
            let mut file = open_to_write(OpenOptions::new().create_new(true).write(true), &path)?;
            file.write_all(&noise(PROBE_BYTES))?;
            file.sync_all()
        };
        let outcome = write();
        let _ = fs::remove_file(&path);
        Self::of(home, &outcome.err()?)
    }

    fn new(why: Why, path: &Path) -> Self {
        Self { why, path: path.to_owned(), free: free(path).map(|free| free.bytes), needed: None }
    }

    /// The same with the home's path in another form.
    #[must_use]
    pub fn at(self, home: &Path) -> Self {
        Self { path: home.to_owned(), ..self }
    }

    /// Whether this is the same reason at the same path, with any number of bytes.
    #[cfg(test)]
    pub fn is_like(&self, other: &Self) -> bool {
        (self.why, &self.path) == (other.why, &other.path)
    }

    /// The step that makes room.
    pub fn advice(&self) -> &'static str {
        match self.why {
            Why::Full => {
                "make room on that disk, or set AWSB_LOCAL_HOME to a folder on another one; `blocal status` \
                 shows how much the local cluster uses"
            }
            Why::Files => "remove files on that disk, or set AWSB_LOCAL_HOME to a folder on another one",
            Why::Quota => {
                "remove files of yours on that disk, ask for a larger quota, or set AWSB_LOCAL_HOME to a \
                 folder on another one"
            }
            Why::ReadOnly => {
                "mount it for writing (a damaged disk is mounted read-only, too), or set AWSB_LOCAL_HOME to \
                 a folder on another one"
            }
            Why::FileLimit(_) => {
                "run `blocal stop`, and start the local cluster from a shell where `ulimit -Hf` shows a larger \
                 limit; jobs that run go on meanwhile"
            }
        }
    }

    /// The message and what to do, in one line: an answer to a request has no hints.
    pub fn with_advice(&self) -> String {
        format!("{self}; {}", self.advice())
    }
}

impl std::fmt::Display for NoSpace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.display();
        let free = match (self.free, self.needed) {
            (Some(free), Some(needed)) => format!("{free} bytes are free, and {needed} are needed"),
            (Some(free), None) => format!("{free} bytes are free"),
            (None, _) => "the free space is not known".to_owned(),
        };
        match self.why {
            Why::Full => write!(f, "the disk of {path} is full: {free}"),
            Why::Files => {
                write!(f, "the disk of {path} has no room for more files (no inodes are free; {free})")
            }
            Why::Quota => {
                write!(f, "the disk quota for {path} is used up (")?;
                match self.free {
                    Some(free) => write!(f, "the disk itself has {free} bytes free)"),
                    None => write!(f, "{free})"),
                }
            }
            Why::ReadOnly => write!(f, "the disk of {path} is read-only ({free})"),
            Why::FileLimit(limit) => {
                write!(f, "no file in {path} may be larger than {limit} bytes (`ulimit -f` sets that limit)")
            }
        }
    }
}

/// The failure that an error in a home is: when it is one of space, it says how much there is and
/// what to do.
pub fn failure(home: &Path, doing: &str, e: &io::Error) -> LocalError {
    match NoSpace::of(home, e) {
        Some(shortage) => LocalError::failed(format!("{doing}: {shortage}")).hint(shortage.advice()),
        None => {
            let failure = LocalError::failed(format!("{doing}: {e}"));
            missing_resource(e).into_iter().fold(failure, LocalError::hint)
        }
    }
}

/// An error in words that say how much space there is, when it is one of space.
pub fn words(home: &Path, e: &io::Error) -> String {
    NoSpace::of(home, e).map_or_else(|| e.to_string(), |shortage| shortage.to_string())
}

/// How large a file of this process may be, in bytes, if there is a limit.
fn file_limit() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Fsize).current
}

/// The free space of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Free {
    bytes: u64,
    /// How many files can be made; `None` where the file system has no such limit.
    files: Option<u64>,
    read_only: bool,
}

/// The free space of the disk of a path for this user; the path need not exist yet.
// The counts are of other types elsewhere.
#[allow(clippy::useless_conversion)]
fn free(path: &Path) -> Option<Free> {
    let there = path.ancestors().find(|path| path.exists())?;
    let disk = statvfs(there).ok()?;
    let is_root = nix::unistd::Uid::effective().is_root();
    // A part of the disk may be for root alone.
    let blocks = u64::from(if is_root { disk.blocks_free() } else { disk.blocks_available() });
    let files = u64::from(if is_root { disk.files_free() } else { disk.files_available() });
    Some(Free {
        bytes: blocks.saturating_mul(u64::from(disk.fragment_size())),
        files: (u64::from(disk.files()) > 0).then_some(files),
        read_only: disk.flags().contains(FsFlags::ST_RDONLY),
    })
}

/// The lack of space that prevents writing this many bytes, and a few files, to the disk of a home.
pub fn shortage(home: &Path, bytes: u64) -> Option<NoSpace> {
    let free = free(home)?;
    let of = |why, needed| Some(NoSpace { why, path: home.to_owned(), free: Some(free.bytes), needed });
    if free.read_only {
        return of(Why::ReadOnly, None);
    }
    if free.bytes < bytes {
        return of(Why::Full, Some(bytes));
    }
    match free.files {
        Some(files) if files < LOW_FILES => of(Why::Files, None),
        _ => None,
    }
}

/// The lack of space that prevents storing the output of jobs: little is left, though not nothing.
pub fn output_shortage(home: &Path) -> Option<NoSpace> {
    let free = free(home).filter(|free| free.bytes < LEAST)?;
    Some(NoSpace { why: Why::Full, path: home.to_owned(), free: Some(free.bytes), needed: Some(LEAST) })
}

/// A file that takes space for as long as it is not needed.
#[derive(Debug)]
pub struct Reserve {
    home: PathBuf,
}

impl Reserve {
    /// The reserve of a home as it is: it is made, or made whole, by [`Reserve::check`].
    pub fn open(home: &Path) -> Self {
        Self { home: home.to_owned() }
    }

    /// How much of it there is, in bytes. Others give parts of it up, too.
    fn held(&self) -> u64 {
        let reserve = fs::symlink_metadata(self.home.join(RESERVE)).ok().filter(fs::Metadata::is_file);
        reserve.map_or(0, |meta| meta.len().min(WHOLE))
    }

    /// The lack of space that prevents accepting something new of this size: [`LOW`] bytes are left
    /// for records, and the reserve is refilled first.
    pub fn shortage(&self, bytes: u64) -> Option<NoSpace> {
        shortage(&self.home, (LOW + (WHOLE - self.held())).saturating_add(bytes))
    }

    /// The lack of space that prevents accepting anything new. A reserve that is not whole is
    /// refilled first.
    pub fn check(&self) -> Option<NoSpace> {
        let shortage = self.shortage(0);
        if shortage.is_some() || self.held() == WHOLE {
            return shortage;
        }
        match self.refill() {
            Ok(()) => None,
            Err(e) => NoSpace::of(&self.home, &e),
        }
    }

    fn refill(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = open_to_write(options.create(true).append(true), &self.home.join(RESERVE))?;
        let missing = WHOLE.saturating_sub(file.metadata()?.len());
        file.write_all(&noise(usize::try_from(missing).unwrap_or(0)))
    }

    /// Gives a part of the reserve up, for what has just failed to be done again; `false` when
    /// nothing is left.
    pub fn release(&self) -> bool {
        let held = self.held();
        // More space does not help against a limit of the size of files.
        if held == 0 || NoSpace::at_file_limit(&self.home).is_some() {
            return false;
        }
        let left = held.saturating_sub(PART);
        let file = open_to_write(OpenOptions::new().write(true), &self.home.join(RESERVE));
        let shrunk = file.and_then(|file| file.set_len(left));
        match &shrunk {
            Ok(()) => tracing::warn!("the disk is full: {} bytes of the reserve are given up", held - left),
            Err(e) => tracing::warn!("giving up a part of the reserve: {e}"),
        }
        shrunk.is_ok()
    }
}

/// Bytes that a file system cannot make smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // Xorshift (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_space_are_told_from_others() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path();
        let of = |errno: nix::errno::Errno| NoSpace::of(path, &errno.into());
        let full = of(nix::errno::Errno::ENOSPC).unwrap();
        let message = full.with_advice();
        assert!(message.starts_with(&format!("the disk of {} is full: ", path.display())), "{message}");
        assert!(message.contains(" bytes are free") && message.contains("AWSB_LOCAL_HOME"), "{message}");
        assert!(of(nix::errno::Errno::EDQUOT).unwrap().to_string().contains("quota"));
        assert!(of(nix::errno::Errno::EROFS).unwrap().to_string().contains("read-only"));
        assert_eq!(of(nix::errno::Errno::EIO), None);
        assert!(!path.join(PROBE).exists());
    }

    #[test]
    fn more_than_there_is_is_lacking() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(shortage(home.path(), LOW), None);
        assert_eq!(shortage(&home.path().join("not/there/yet"), LOW), None);
        let shortage = shortage(home.path(), u64::MAX).unwrap();
        assert!(shortage.to_string().ends_with(&format!("and {} are needed", u64::MAX)), "{shortage}");
    }

    #[test]
    fn the_reserve_is_given_up_in_parts_and_made_whole_again() {
        let home = tempfile::tempdir().unwrap();
        let length = || fs::metadata(home.path().join(RESERVE)).map_or(0, |meta| meta.len());
        let reserve = Reserve::open(home.path());
        // The check and the refill use the same bound.
        let needed = |reserve: &Reserve, bytes| reserve.shortage(u64::MAX / 2 + bytes).unwrap().needed;
        assert_eq!(needed(&reserve, 7), Some(u64::MAX / 2 + 7 + LOW + WHOLE));
        assert_eq!((length(), reserve.release()), (0, false));
        assert_eq!((reserve.check(), length()), (None, WHOLE));
        assert_eq!(needed(&reserve, 0), Some(u64::MAX / 2 + LOW));
        assert_eq!(reserve.shortage(u64::MAX).unwrap().needed, Some(u64::MAX));
        let mut parts = 0;
        while reserve.release() {
            parts += 1;
            assert_eq!(length(), WHOLE - parts * PART);
        }
        assert_eq!(parts, WHOLE / PART);
        let reserve = Reserve::open(home.path());
        assert_eq!((reserve.check(), length()), (None, WHOLE));
    }
}
