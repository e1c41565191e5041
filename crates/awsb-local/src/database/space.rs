//! Errors of a database that mean that the disk takes no more.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode::{CannotOpen, DiskFull, ReadOnly, SystemIoFailure};

use crate::home::space::NoSpace;

/// The lack of space that an error of a database means for a home, if it means one. SQLite has a
/// code of its own only for a full disk. For the rest, the disk is tested.
pub fn no_space(home: &Path, e: &rusqlite::Error) -> Option<NoSpace> {
    match e.sqlite_error_code()? {
        DiskFull => Some(NoSpace::probe(home).unwrap_or_else(|| NoSpace::full(home))),
        SystemIoFailure => NoSpace::probe(home).or_else(|| NoSpace::at_file_limit(home)),
        CannotOpen | ReadOnly => NoSpace::probe(home),
        _ => None,
    }
}

/// The same for an error that may contain one of a database.
pub fn no_space_within(home: &Path, e: &io::Error) -> Option<NoSpace> {
    match e.get_ref().and_then(|inner| inner.downcast_ref::<rusqlite::Error>()) {
        Some(e) => no_space(home, e),
        None => NoSpace::of(home, e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::files::PROBE;

    #[test]
    fn errors_of_space_are_distinguished_from_others() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path();
        let full = NoSpace::of(path, &nix::errno::Errno::ENOSPC.into()).unwrap();
        // A disk that has room: only the code that says so is one of space.
        let of_sqlite = |code: i32| {
            let e = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            no_space_within(path, &io::Error::other(e))
        };
        // How much is free is another number from one moment to the next.
        let of_sqlite_full = of_sqlite(rusqlite::ffi::SQLITE_FULL).unwrap();
        assert!(of_sqlite_full.is_like(&full));
        assert_eq!(of_sqlite(rusqlite::ffi::SQLITE_IOERR), None);
        assert_eq!(of_sqlite(rusqlite::ffi::SQLITE_CONSTRAINT), None);
        assert!(!path.join(PROBE).exists());
    }
}
