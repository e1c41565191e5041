//! Empty folders of jobs that have ended, for the next ones.
//!
//! A folder that is removed gives its block back, and a file system that is mounted with `discard`
//! may tell the disk so before rmdir(2) returns: that takes milliseconds, longer than many a job.
//! So the folder of a job that has left it as it was, and empty, becomes the next job's, by
//! rename(2).

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The state of a folder, to detect that nothing has happened in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderStamp {
    /// Its file system, and its number there.
    is: (u64, u64),
    mode: u32,
    owner: (u32, u32),
    /// When something was made or removed in it, or its attributes were changed, in seconds and
    /// nanoseconds. The clock of a file system may stand still for some milliseconds, so this alone
    /// proves nothing.
    changed: (i64, i64),
}

impl FolderStamp {
    /// The folder as it is now.
    ///
    /// # Errors
    /// When it is not there.
    pub fn of(folder: &Path) -> io::Result<Self> {
        fs::symlink_metadata(folder).map(|meta| Self::of_metadata(&meta))
    }

    fn of_metadata(meta: &Metadata) -> Self {
        Self {
            is: (meta.dev(), meta.ino()),
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether nothing has happened in the folder since.
    pub fn is_of(&self, folder: &Path) -> bool {
        Self::of(folder).is_ok_and(|now| now == *self)
    }

    /// Whether it is the same folder, with any content.
    fn is_same(&self, now: &Self) -> bool {
        (self.is, self.mode, self.owner) == (now.is, now.mode, now.owner)
    }
}

/// Makes folders of one kind, and keeps one that is empty for the next time.
#[derive(Debug)]
pub struct Spare {
    mode: u32,
    kept: Option<(PathBuf, FolderStamp)>,
}

impl Spare {
    /// For folders that are made with this mode, less the umask.
    pub fn new(mode: u32) -> Self {
        Self { mode, kept: None }
    }

    /// Makes a folder, which is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(&mut self, folder: &Path) -> io::Result<()> {
        if let Some((path, mark)) = self.kept.take() {
            if mark.is_of(&path) && is_empty(&path) && fs::rename(&path, folder).is_ok() {
                return Ok(());
            }
            remove(&path);
        }
        DirBuilder::new().mode(self.mode).create(folder)
    }

    /// Keeps a folder for the next time, if it is the one with this mark and is empty; says whether
    /// it is. It becomes `other` if that is given, where `folder` is not to stay.
    pub fn keep(&mut self, folder: &Path, mark: &FolderStamp, other: Option<PathBuf>) -> bool {
        let is_empty = self.kept.is_none()
            && FolderStamp::of(folder).is_ok_and(|now| mark.is_same(&now))
            && is_empty(folder);
        if !is_empty {
            return false;
        }
        let path = match other {
            Some(other) if fs::rename(folder, &other).is_ok() => other,
            Some(_) => return false,
            None => folder.to_owned(),
        };
        match FolderStamp::of(&path) {
            Ok(now) if mark.is_same(&now) => self.kept = Some((path, now)),
            _ => remove(&path),
        }
        true
    }

    /// Whether it keeps one.
    pub fn keeps_one(&self) -> bool {
        self.kept.is_some()
    }

    /// Removes what it keeps.
    pub fn clear(&mut self) {
        if let Some((path, _)) = self.kept.take() {
            remove(&path);
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.clear();
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Removes a folder that was empty. One that is not any more belongs to somebody else.
fn remove(folder: &Path) {
    if let Err(e) = fs::remove_dir(folder)
        && e.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("removing {}: {e}", folder.display());
    }
}

/// The folders that a runner stores for the next job.
#[derive(Debug)]
pub struct Spares {
    /// For a job's working directory.
    pub scratch: Spare,
    /// For what is unpacked for a job.
    pub unpacked: Spare,
}

impl Spares {
    /// Whether it keeps anything.
    pub fn keep_one(&self) -> bool {
        self.scratch.keeps_one() || self.unpacked.keeps_one()
    }

    /// Removes what it keeps.
    pub fn clear(&mut self) {
        self.scratch.clear();
        self.unpacked.clear();
    }
}

impl Default for Spares {
    fn default() -> Self {
        Self { scratch: Spare::new(0o777), unpacked: Spare::new(0o700) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn inode(folder: &Path) -> u64 {
        fs::symlink_metadata(folder).unwrap().ino()
    }

    #[test]
    fn an_empty_folder_becomes_the_next() {
        let place = tempfile::tempdir().unwrap();
        let [first, second, other] = ["first", "second", "other"].map(|name| place.path().join(name));
        let mut spare = Spare::new(0o700);
        spare.make(&first).unwrap();
        assert_eq!(fs::metadata(&first).unwrap().mode() & 0o7777, 0o700);
        let (mark, is) = (FolderStamp::of(&first).unwrap(), inode(&first));
        assert!(mark.is_of(&first) && spare.keep(&first, &mark, None) && spare.keeps_one());
        spare.make(&second).unwrap();
        assert!(!first.exists() && !spare.keeps_one());
        assert_eq!(inode(&second), is);
        let mark = FolderStamp::of(&second).unwrap();
        assert!(spare.keep(&second, &mark, Some(other.clone())));
        assert!(!second.exists() && other.exists());
        drop(spare);
        assert!(!other.exists());
    }

    #[test]
    fn a_folder_that_is_not_as_it_was_is_not_kept() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("folder");
        let changes: [fn(&Path); 4] = [
            |folder| fs::write(folder.join("file"), "").unwrap(),
            |folder| fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap(),
            |folder| {
                // As a job could that has more in mind.
                fs::rename(folder, folder.with_extension("away")).unwrap();
                fs::create_dir(folder).unwrap();
                fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
            },
            |folder| fs::remove_dir(folder).unwrap(),
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let mut spare = Spare::new(0o700);
            spare.make(&folder).unwrap();
            let mark = FolderStamp::of(&folder).unwrap();
            change(&folder);
            assert!(!spare.keep(&folder, &mark, None) && !spare.keeps_one(), "{n}");
            let _ = fs::remove_dir_all(&folder);
        }
    }

    #[test]
    fn one_that_was_changed_while_it_was_kept_is_not_given_to_anybody() {
        let place = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| place.path().join(name));
        let mut spare = Spare::new(0o700);
        let mut kept = || {
            spare.make(&first).unwrap();
            let mark = FolderStamp::of(&first).unwrap();
            assert!(spare.keep(&first, &mark, None));
        };
        kept();
        fs::write(first.join("file"), "").unwrap();
        spare.make(&second).unwrap();
        // Whose ever it is, it stays.
        assert!(first.join("file").exists() && is_empty(&second));
        fs::remove_dir_all(&first).unwrap();
        fs::remove_dir(&second).unwrap();
        let mut spare = Spare::new(0o700);
        spare.make(&first).unwrap();
        let mark = FolderStamp::of(&first).unwrap();
        assert!(spare.keep(&first, &mark, None));
        // A sweep has removed it.
        fs::remove_dir(&first).unwrap();
        spare.make(&second).unwrap();
        assert!(is_empty(&second));
    }
}
