//! Walks through a folder, and collects the entries that belong to the context.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::dockerfile::reading;
use super::patterns::{Matched, Patterns};
use crate::stage::{ArchiveEntry, EntryKind};
use crate::ui::Failure;

/// A walk through a folder in the order of names, so that the order is the same on every machine.
#[derive(Debug)]
pub struct Walk<'a> {
    root: &'a Path,
    patterns: &'a Patterns,
    /// Paths that are included whatever the patterns say.
    always: &'a [PathBuf],
    /// The entries, by their path in the folder. A folder comes before its entries.
    pub entries: Vec<(PathBuf, ArchiveEntry)>,
    /// Links out of the folder.
    pub leaving: Vec<PathBuf>,
    /// Files with several names, by device and inode.
    seen: HashMap<(u64, u64), PathBuf>,
    /// The excluded folders above the current one. They are included as soon as something in them
    /// is.
    held_back: Vec<(PathBuf, ArchiveEntry)>,
}

impl<'a> Walk<'a> {
    /// Walks through `root`.
    ///
    /// # Errors
    /// When an entry that would be included cannot be read.
    pub fn through(root: &'a Path, patterns: &'a Patterns, always: &'a [PathBuf]) -> Result<Self, Failure> {
        let (entries, leaving, held_back) = (Vec::new(), Vec::new(), Vec::new());
        let mut walk = Self { root, patterns, always, entries, leaving, seen: HashMap::new(), held_back };
        walk.folder(Path::new(""), None, false)?;
        Ok(walk)
    }

    /// Walks through a folder. `is_out` says that the folder itself is excluded.
    fn folder(&mut self, name: &Path, matched: Option<&Matched>, is_out: bool) -> Result<(), Failure> {
        let path = self.root.join(name);
        let listed = fs::read_dir(&path).and_then(|entries| {
            entries.map(|entry| entry.map(|e| e.file_name())).collect::<std::io::Result<Vec<_>>>()
        });
        let mut names = match listed {
            Ok(names) => names,
            // An excluded folder may be unreadable.
            Err(e) if is_out && e.kind() == std::io::ErrorKind::PermissionDenied => return Ok(()),
            Err(e) => return Err(leave_out(reading(&path, &e))),
        };
        names.sort();
        for below in names {
            self.one(&name.join(below), matched)?;
        }
        Ok(())
    }

    fn one(&mut self, name: &Path, above: Option<&Matched>) -> Result<(), Failure> {
        let path = self.root.join(name);
        let found = fs::symlink_metadata(&path).map_err(|e| reading(&path, &e))?;
        let (is_out, matched) = self.patterns.leave_out(name.as_os_str().as_bytes(), above);
        let is_out = is_out && !self.always.iter().any(|always| always == name);
        if !found.is_dir() {
            return if is_out { Ok(()) } else { self.add(name, &path, &found) };
        }
        let entry = ArchiveEntry { source: path, mode: found.mode() & 0o7777, kind: EntryKind::Directory };
        if !is_out {
            self.push(name.to_owned(), entry);
            return self.folder(name, Some(&matched), false);
        }
        let keeps = self.patterns.may_keep_below(name.as_os_str().as_bytes())
            || self.always.iter().any(|always| always.starts_with(name));
        if keeps {
            self.held_back.push((name.to_owned(), entry));
            self.folder(name, Some(&matched), true)?;
            self.held_back.retain(|(held, _)| held != name);
        }
        Ok(())
    }

    fn push(&mut self, name: PathBuf, entry: ArchiveEntry) {
        self.entries.append(&mut self.held_back);
        self.entries.push((name, entry));
    }

    fn add(&mut self, name: &Path, path: &Path, found: &Metadata) -> Result<(), Failure> {
        let file_type = found.file_type();
        let mut mode = found.mode() & 0o7777;
        let kind = if file_type.is_symlink() {
            let to = fs::read_link(path).map_err(|e| reading(path, &e))?;
            if leaves(self.root, name, &to) {
                self.leaving.push(name.to_owned());
            }
            // Links have no mode on some systems.
            mode = 0o777;
            EntryKind::Link(to)
        } else if file_type.is_file() {
            access(path, AccessFlags::R_OK).map_err(|e| leave_out(reading(path, &e.into())))?;
            EntryKind::File { size: found.len(), modified: found.modified().ok() }
        } else if file_type.is_fifo() {
            EntryKind::Pipe
        } else if file_type.is_socket() {
            // An archive cannot hold a socket; Docker skips it, too.
            return Ok(());
        } else {
            let (major, minor) = device_numbers(found.rdev());
            EntryKind::Device { of_blocks: file_type.is_block_device(), major, minor }
        };
        let kind = match self.seen.get(&(found.dev(), found.ino())) {
            Some(first) => EntryKind::SameFile(first.clone()),
            None => {
                if found.nlink() > 1 {
                    self.seen.insert((found.dev(), found.ino()), name.to_owned());
                }
                kind
            }
        };
        self.push(name.to_owned(), ArchiveEntry { source: path.to_owned(), mode, kind });
        Ok(())
    }
}

fn leave_out(failure: Failure) -> Failure {
    failure.hint("a line in .dockerignore leaves it out")
}

/// Whether a link points out of the folder, according to its text.
fn leaves(root: &Path, name: &Path, to: &Path) -> bool {
    if to.is_absolute() {
        return !to.starts_with(root);
    }
    let mut depth = name.components().count().saturating_sub(1);
    for component in to.components() {
        match component {
            Component::ParentDir if depth == 0 => return true,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            _ => {}
        }
    }
    false
}

/// The major and minor number of a device, as this system packs them (`makedev(3)`).
fn device_numbers(device: u64) -> (u32, u32) {
    #[cfg(target_os = "linux")]
    let numbers = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    // macOS has 8 and 24 bits.
    #[cfg(not(target_os = "linux"))]
    let numbers = ((device >> 24) & 0xff, device & 0xff_ffff);
    (u32::try_from(numbers.0).unwrap_or(0), u32::try_from(numbers.1).unwrap_or(0))
}
