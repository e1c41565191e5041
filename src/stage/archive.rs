//! A tar archive of files that is made while it is read, so that only a small piece of it is in
//! memory.
//!
//! `tar::Builder` does not fit: the length and the hash of the archive are known before it is sent,
//! and it is read again for each attempt.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::checksum::checksums;
use super::inputs::{InputEntry, Inputs, one_line};
use super::part_source::PartSource;
use awsb_model::payload::MTIME;

/// The size in bytes of a record of a tar archive.
const RECORD: u64 = 512;
/// The size of the two empty records at the end of an archive.
const END: u64 = 2 * RECORD;

/// An entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveEntry {
    /// Where it is on this machine.
    pub source: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// Its type.
    pub kind: EntryKind,
}

/// The type of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File {
        /// Its size in bytes.
        size: u64,
        /// The time of the last change, by which a reader notices a later change.
        modified: Option<SystemTime>,
    },
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Link(PathBuf),
    /// A hard link to an earlier entry, with its name in the archive.
    SameFile(PathBuf),
    /// A named pipe.
    Pipe,
    /// A device.
    Device {
        /// Whether it is a block device; otherwise it is a character device.
        of_blocks: bool,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
}

impl ArchiveEntry {
    /// The size in bytes of the content behind its header.
    fn size(&self) -> u64 {
        if let EntryKind::File { size, .. } = self.kind { size } else { 0 }
    }

    fn is_unchanged(&self, file: &File) -> bool {
        let EntryKind::File { size, modified } = self.kind else { return false };
        file.metadata().is_ok_and(|now| now.len() == size && now.modified().ok() == modified)
    }
}

/// An archive. The same files give the same bytes.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The kind of its entries in messages, such as `the input`.
    what: &'static str,
    entries: Arc<[(PathBuf, ArchiveEntry)]>,
    length: u64,
}

impl Archive {
    /// The archive of these inputs. Their content is not read yet.
    ///
    /// # Errors
    /// When a name does not fit into a tar header.
    pub fn of_inputs(inputs: Inputs) -> io::Result<Self> {
        let entry = |(name, input): (PathBuf, InputEntry)| {
            let kind = match input.size {
                Some(size) => EntryKind::File { size, modified: input.modified },
                None => EntryKind::Directory,
            };
            (name, ArchiveEntry { source: input.source, mode: input.mode, kind })
        };
        Self::new("the input", inputs.into_entries().into_iter().map(entry).collect())
    }

    /// The archive of these entries, in their order. Messages call each of them `what`.
    ///
    /// # Errors
    /// When a name does not fit into a tar header.
    pub fn new(what: &'static str, entries: Vec<(PathBuf, ArchiveEntry)>) -> io::Result<Self> {
        let mut length = END;
        for (name, entry) in &entries {
            length += header(name, entry)?.len() as u64 + entry.size().next_multiple_of(RECORD);
        }
        Ok(Self { what, entries: entries.into(), length })
    }

    /// Its entries.
    pub fn entries(&self) -> &[(PathBuf, ArchiveEntry)] {
        &self.entries
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// All bytes of a small archive, without the empty records at its end.
    ///
    /// # Errors
    /// As [`Archive::read`].
    pub fn records(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read().read_to_end(&mut bytes)?;
        bytes.truncate(bytes.len().saturating_sub(END as usize));
        Ok(bytes)
    }

    /// Its SHA-256 in hexadecimal digits; `on_read` gets the size of each chunk that was read.
    ///
    /// # Errors
    /// As [`Archive::read`].
    pub fn sha256(&self, on_read: impl FnMut(u64)) -> io::Result<String> {
        checksums(self, on_read).map(|checksums| checksums.sha256)
    }

    fn error(&self, entry: &ArchiveEntry, why: &str) -> io::Error {
        io::Error::other(format!("reading {} {}: {why}", self.what, entry.source.display()))
    }

    /// Reads it from the beginning. A file that has changed since it was found is an error.
    pub fn read(&self) -> Reader {
        Reader { archive: self.clone(), next: 0, bytes: io::Cursor::default(), file: None, padding: 0 }
    }
}

/// The bytes of an archive.
#[derive(Debug)]
pub struct Reader {
    archive: Archive,
    /// The index of the next entry; the end of the archive counts as one.
    next: usize,
    /// The bytes to be read first: headers, or the end of the archive.
    bytes: io::Cursor<Vec<u8>>,
    /// The file to be read next, and the index of its entry.
    file: Option<(io::Take<File>, usize)>,
    /// The number of zeros after the file.
    padding: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let n = self.bytes.read(buffer)?;
            if n > 0 {
                return Ok(n);
            }
            if let Some((file, entry)) = &mut self.file {
                let entry = &self.archive.entries[*entry].1;
                let n = file.read(buffer).map_err(|e| self.archive.error(entry, &one_line(&e)))?;
                if n > 0 {
                    return Ok(n);
                }
                if file.limit() > 0 || !entry.is_unchanged(file.get_ref()) {
                    return Err(self.archive.error(entry, CHANGED));
                }
                self.file = None;
            }
            if self.padding > 0 {
                let n = buffer.len().min(usize::try_from(self.padding).unwrap_or(usize::MAX));
                buffer[..n].fill(0);
                self.padding -= n as u64;
                return Ok(n);
            }
            match self.archive.entries.get(self.next) {
                Some((name, entry)) => {
                    self.bytes = io::Cursor::new(header(name, entry)?);
                    if let EntryKind::File { size, .. } = entry.kind {
                        let opened = File::open(&entry.source);
                        let file = opened.map_err(|e| self.archive.error(entry, &one_line(&e)))?;
                        if !entry.is_unchanged(&file) {
                            return Err(self.archive.error(entry, CHANGED));
                        }
                        self.file = Some((file.take(size), self.next));
                        self.padding = size.next_multiple_of(RECORD) - size;
                    }
                }
                None if self.next == self.archive.entries.len() => {
                    self.bytes = io::Cursor::new(vec![0; END as usize]);
                }
                None => return Ok(0),
            }
            self.next += 1;
        }
    }
}

/// The reason why a file cannot be read to its end.
const CHANGED: &str = "it has changed while it was read";

/// The header of an entry. A GNU header for a long name comes before it, which busybox reads, too.
fn header(name: &Path, entry: &ArchiveEntry) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_mtime(MTIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(entry.size());
    let mut target: &[u8] = &[];
    let kind = match &entry.kind {
        EntryKind::File { .. } => tar::EntryType::Regular,
        EntryKind::Directory => tar::EntryType::Directory,
        EntryKind::Link(to) => {
            target = to.as_os_str().as_bytes();
            tar::EntryType::Symlink
        }
        EntryKind::SameFile(earlier) => {
            target = earlier.as_os_str().as_bytes();
            tar::EntryType::Link
        }
        EntryKind::Pipe => tar::EntryType::Fifo,
        EntryKind::Device { of_blocks, major, minor } => {
            header.set_device_major(*major)?;
            header.set_device_minor(*minor)?;
            if *of_blocks { tar::EntryType::Block } else { tar::EntryType::Char }
        }
    };
    header.set_entry_type(kind);
    let mut archive = tar::Builder::new(Vec::new());
    // The target of a link is not changed.
    if header.set_link_name_literal(target).is_err() {
        let mut long = tar::Header::new_gnu();
        long.set_entry_type(tar::EntryType::GNULongLink);
        long.set_mode(0o644);
        long.set_mtime(0);
        long.set_uid(0);
        long.set_gid(0);
        long.set_path("././@LongLink")?;
        long.set_size(target.len() as u64 + 1);
        long.set_cksum();
        archive.append(&long, [target, b"\0"].concat().as_slice())?;
    }
    archive.append_data(&mut header, name, io::empty())?;
    let mut bytes = archive.into_inner()?;
    bytes.truncate(bytes.len().saturating_sub(END as usize));
    Ok(bytes)
}

impl PartSource for Archive {
    type Reader = Reader;

    fn length(&self) -> u64 {
        Archive::length(self)
    }

    fn read(&self) -> Reader {
        Archive::read(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use awsb_model::Input;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    fn archive(folder: &Path) -> Archive {
        let input = Input::parse(format!("{}:in", folder.display()).as_ref(), |_| false).unwrap();
        Archive::of_inputs(Inputs::gather(&[input], None).unwrap()).unwrap()
    }

    /// Unusual names and sizes are unpacked by every tar that an image may have.
    #[test]
    fn every_tar_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<Vec<u8>> = vec![
            b"plain".to_vec(),
            "\u{e9} \u{4e2d}".into(),
            b"\xff\xfe".to_vec(),
            b"with\nline".to_vec(),
            vec![b'n'; 99],
            vec![b'n'; 100],
            vec![b'n'; 101],
            vec![b'n'; 255],
            [vec![b'd'; 200], b"/".to_vec(), vec![b'n'; 200]].concat(),
        ];
        for (i, name) in names.iter().enumerate() {
            let path = folder.path().join(OsStr::from_bytes(name));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, vec![b'x'; [0, 1, 511, 512, 513, 70_000][i % 6]]).unwrap();
        }
        std::fs::set_permissions(folder.path().join("plain"), PermissionsExt::from_mode(0o751)).unwrap();
        let archive = archive(folder.path());
        let mut bytes = Vec::new();
        archive.read().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, archive.length());
        let mut repeated = Vec::new();
        archive.read().read_to_end(&mut repeated).unwrap();
        assert!(bytes == repeated, "the same inputs give the same bytes");
        for tar in [["tar"].as_slice(), &["busybox", "tar"]] {
            let place = tempfile::tempdir().unwrap();
            let file = place.path().join("archive");
            std::fs::write(&file, &bytes).unwrap();
            let mut command = Command::new(tar[0]);
            command.args(&tar[1..]).arg("-xpf").arg(&file).current_dir(place.path()).stderr(Stdio::inherit());
            match command.status() {
                Ok(status) => assert!(status.success(), "{tar:?}"),
                Err(e) => {
                    eprintln!("SKIPPED: {tar:?}: {e}");
                    assert!(std::env::var_os("CI").is_none());
                    continue;
                }
            }
            for (i, name) in names.iter().enumerate() {
                let path = place.path().join("in").join(OsStr::from_bytes(name));
                let length = std::fs::metadata(&path)
                    .unwrap_or_else(|e| panic!("{tar:?} {}: {e}", path.display()))
                    .len();
                assert_eq!(length, [0, 1, 511, 512, 513, 70_000][i % 6]);
            }
            let mode = std::fs::metadata(place.path().join("in/plain")).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o751, "{tar:?}");
        }
    }

    #[test]
    fn a_file_that_changes_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data");
        std::fs::write(&file, vec![1; 100_000]).unwrap();
        let archive = archive(folder.path());
        let mut reader = archive.read();
        let mut buffer = vec![0; 50_000];
        reader.read_exact(&mut buffer).unwrap();
        std::fs::write(&file, vec![2; 99_999]).unwrap();
        let message = io::copy(&mut reader, &mut io::sink()).unwrap_err().to_string();
        assert_eq!(
            message,
            format!("reading the input {}: it has changed while it was read", file.display())
        );
        assert!(archive.read().read_to_end(&mut Vec::new()).is_err());
    }
}
