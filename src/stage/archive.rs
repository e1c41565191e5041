//! An archive of inputs, made while it is read: however large it is, only what is being read is in memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bundle::MTIME;
use super::inputs::{Inputs, Staged, one_line};

/// Records of a tar archive have this size.
const RECORD: u64 = 512;
/// Two empty records end an archive.
const END: u64 = 2 * RECORD;

/// What an archive is made of. The same inputs give the same bytes.
#[derive(Debug, Clone)]
pub struct Archive {
    entries: Arc<[(PathBuf, Staged)]>,
    length: u64,
}

impl Archive {
    /// The archive of these inputs; nothing of their content is read yet.
    ///
    /// # Errors
    /// When a name does not fit into a tar header.
    pub fn of(inputs: Inputs) -> io::Result<Self> {
        let entries: Arc<[(PathBuf, Staged)]> = inputs.list().into();
        let mut length = END;
        for (name, staged) in entries.iter() {
            let size = staged.size.unwrap_or(0);
            length += header(name, staged)?.len() as u64 + size.next_multiple_of(RECORD);
        }
        Ok(Self { entries, length })
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

    /// Reads it from the beginning. A file that is not what it was when the inputs were gathered is an error that
    /// names it.
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
                let staged = &self.archive.entries[*entry].1;
                let n = file.read(buffer).map_err(|e| named(staged, &one_line(&e)))?;
                if n > 0 {
                    return Ok(n);
                }
                let unchanged = file.limit() == 0 && is_as_it_was(file.get_ref(), staged);
                if !unchanged {
                    return Err(named(staged, "it has changed while it was read"));
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
                Some((name, staged)) => {
                    self.bytes = io::Cursor::new(header(name, staged)?);
                    if let Some(size) = staged.size {
                        let file = File::open(&staged.source).map_err(|e| named(staged, &one_line(&e)))?;
                        if !is_as_it_was(&file, staged) {
                            return Err(named(staged, "it has changed while it was read"));
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

fn is_as_it_was(file: &File, staged: &Staged) -> bool {
    file.metadata().is_ok_and(|now| Some(now.len()) == staged.size && now.modified().ok() == staged.modified)
}

fn named(staged: &Staged, why: &str) -> io::Error {
    io::Error::other(format!("reading the input {}: {why}", staged.source.display()))
}

/// The header of an entry, with GNU's for a long name before it, which busybox reads, too.
fn header(name: &Path, staged: &Staged) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(staged.mode);
    header.set_mtime(MTIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(staged.size.unwrap_or(0));
    header.set_entry_type(if staged.size.is_some() {
        tar::EntryType::Regular
    } else {
        tar::EntryType::Directory
    });
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, name, io::empty())?;
    let mut bytes = archive.into_inner()?;
    bytes.truncate(bytes.len().saturating_sub(END as usize));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Input;
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
