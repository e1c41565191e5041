//! A disk of a few megabytes, which a story fills.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::missing;
use crate::local::until;

/// A file system in memory (`tmpfs`), which goes when this is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// With these options of `mount`, such as `size=8m` or `nr_inodes=100`. Only root may mount:
    /// for anybody else, the story is ignored.
    #[track_caller]
    pub fn new(options: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("awsb-disk").tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "awsb-testkit"])
            .arg(folder.path())
            .output();
        match mount {
            Ok(mount) if mount.status.success() => Self { folder },
            Ok(mount) => missing("mounting a small disk", String::from_utf8_lossy(&mount.stderr).trim()),
            Err(e) => missing("mounting a small disk", &e.to_string()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        for size in [1 << 20, 64 << 10, 4 << 10, 1] {
            let bytes = vec![b'x'; size];
            loop {
                match file.write(&bytes) {
                    Ok(n) if n > 0 => {}
                    Ok(_) => break,
                    Err(e) if e.kind() == ErrorKind::StorageFull => break,
                    Err(e) => panic!("filling the disk: {e}"),
                }
            }
        }
    }

    /// Makes files until there can be no more.
    pub fn fill_with_files(&self) {
        let folder = self.path().join("files");
        std::fs::create_dir_all(&folder).unwrap();
        for number in 0.. {
            match File::create(folder.join(number.to_string())) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::StorageFull => return,
                Err(e) => panic!("filling the disk: {e}"),
            }
        }
    }

    /// Takes back what filled it.
    pub fn make_room(&self) {
        let _ = std::fs::remove_file(self.filler());
        let _ = std::fs::remove_dir_all(self.path().join("files"));
    }

    /// Mounts it again with more options, such as `ro`.
    pub fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        // A process that has ended may have its files open for a moment still.
        until(&format!("mounting with {option}"), || {
            Command::new("mount").args(["-o", &options]).arg(self.path()).status().unwrap().success()
        });
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that has not ended yet may be in there.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
