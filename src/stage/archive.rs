//! An archive of files, made while it is read: however large it is, only what is being read is in memory.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::inputs::{Inputs, one_line};
use awsb_model::payload::MTIME;

/// Records of a tar archive have this size.
const RECORD: u64 = 512;
/// Two empty records end an archive.
const END: u64 = 2 * RECORD;

/// Something in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is on this machine.
    pub source: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File {
        /// Its size in bytes.
        size: u64,
        /// When it was last written: who reads it can tell whether it has changed since.
        modified: Option<SystemTime>,
    },
    /// A directory.
    Directory,
    /// A symbolic link, and what it says.
    Link(PathBuf),
    /// Another name of a file that comes before, in the archive's own words.
    SameFile(PathBuf),
    /// A named pipe.
    Pipe,
    /// A device.
    Device {
        /// Of blocks, or of characters.
        of_blocks: bool,
        /// Its numbers.
        major: u32,
        /// See `major`.
        minor: u32,
    },
}

impl Entry {
    /// How much content comes behind its header.
    fn size(&self) -> u64 {
        if let Kind::File { size, .. } = self.kind { size } else { 0 }
    }

    fn is_as_it_was(&self, file: &File) -> bool {
        let Kind::File { size, modified } = self.kind else { return false };
        file.metadata().is_ok_and(|now| now.len() == size && now.modified().ok() == modified)
    }
}

/// What an archive is made of. The same files give the same bytes.
#[derive(Debug, Clone)]
pub struct Archive {
    /// What it is of, for messages: `the input`.
    of: &'static str,
    entries: Arc<[(PathBuf, Entry)]>,
    length: u64,
}

impl Archive {
    /// The archive of these inputs; nothing of their content is read yet.
    ///
    /// # Errors
    /// When a name does not fit into a tar header.
    pub fn of(inputs: Inputs) -> io::Result<Self> {
        let entry = |(name, staged): (PathBuf, super::inputs::Staged)| {
            let kind = match staged.size {
                Some(size) => Kind::File { size, modified: staged.modified },
                None => Kind::Directory,
            };
            (name, Entry { source: staged.source, mode: staged.mode, kind })
        };
        Self::new("the input", inputs.list().into_iter().map(entry).collect())
    }

    /// The archive of these entries, in their order; messages call each of them `what`.
    ///
    /// # Errors
    /// When a name does not fit into a tar header.
    pub fn new(what: &'static str, entries: Vec<(PathBuf, Entry)>) -> io::Result<Self> {
        let mut length = END;
        for (name, entry) in &entries {
            length += header(name, entry)?.len() as u64 + entry.size().next_multiple_of(RECORD);
        }
        Ok(Self { of: what, entries: entries.into(), length })
    }

    /// What is in it.
    pub fn entries(&self) -> &[(PathBuf, Entry)] {
        &self.entries
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The whole of a small archive, without its end.
    ///
    /// # Errors
    /// As [`Archive::read`].
    pub fn records(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read().read_to_end(&mut bytes)?;
        bytes.truncate(bytes.len().saturating_sub(END as usize));
        Ok(bytes)
    }

    /// The SHA-256 of it, in hexadecimal digits; `seen` is told of every piece.
    ///
    /// # Errors
    /// As [`Archive::read`].
    pub fn sha256(&self, seen: impl FnMut(u64)) -> io::Result<String> {
        super::parts::sums(self, seen).map(|sums| sums.sha256)
    }

    fn named(&self, entry: &Entry, why: &str) -> io::Error {
        io::Error::other(format!("reading {} {}: {why}", self.of, entry.source.display()))
    }

    /// Reads it from the beginning. A file that is not what it was when it was found is an error that names it.
    pub fn read(&self) -> Reader {
        Reader { archive: self.clone(), next: 0, bytes: io::Cursor::default(), file: None, padding: 0 }
    }
}

/// The bytes of an archive.
#[derive(Debug)]
pub struct Reader {
    archive: Archive,
    /// The entry that comes next; the end of the archive counts as one.
    next: usize,
    /// What is to be read first: headers, or the archive's end.
    bytes: io::Cursor<Vec<u8>>,
    /// Then comes the rest of this file, and the entry's number.
    file: Option<(io::Take<File>, usize)>,
    /// Zeros after the file.
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
                let n = file.read(buffer).map_err(|e| self.archive.named(entry, &one_line(&e)))?;
                if n > 0 {
                    return Ok(n);
                }
                if file.limit() > 0 || !entry.is_as_it_was(file.get_ref()) {
                    return Err(self.archive.named(entry, CHANGED));
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
                    if let Kind::File { size, .. } = entry.kind {
                        let opened = File::open(&entry.source);
                        let file = opened.map_err(|e| self.archive.named(entry, &one_line(&e)))?;
                        if !entry.is_as_it_was(&file) {
                            return Err(self.archive.named(entry, CHANGED));
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

/// Why a file cannot be read on.
const CHANGED: &str = "it has changed while it was read";

/// The header of an entry, with GNU's for a long name before it, which busybox reads, too.
fn header(name: &Path, entry: &Entry) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_mtime(MTIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(entry.size());
    let mut target: &[u8] = &[];
    let kind = match &entry.kind {
        Kind::File { .. } => tar::EntryType::Regular,
        Kind::Directory => tar::EntryType::Directory,
        Kind::Link(to) => {
            target = to.as_os_str().as_bytes();
            tar::EntryType::Symlink
        }
        Kind::SameFile(as_name) => {
            target = as_name.as_os_str().as_bytes();
            tar::EntryType::Link
        }
        Kind::Pipe => tar::EntryType::Fifo,
        Kind::Device { of_blocks, major, minor } => {
            header.set_device_major(*major)?;
            header.set_device_minor(*minor)?;
            if *of_blocks { tar::EntryType::Block } else { tar::EntryType::Char }
        }
    };
    header.set_entry_type(kind);
    let mut archive = tar::Builder::new(Vec::new());
    // What a link says stays as it is, to the letter.
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
        Archive::of(Inputs::gather(&[input], None).unwrap()).unwrap()
    }

    /// Names and sizes that are hard to get right arrive under every tar that an image may have.
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
        let mut again = Vec::new();
        archive.read().read_to_end(&mut again).unwrap();
        assert!(bytes == again, "the same inputs give the same bytes");
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
        let said = io::copy(&mut reader, &mut io::sink()).unwrap_err().to_string();
        assert_eq!(said, format!("reading the input {}: it has changed while it was read", file.display()));
        assert!(archive.read().read_to_end(&mut Vec::new()).is_err());
    }
}
