//! A build context: a folder as `docker build` would send it, without what its `.dockerignore`
//! leaves out.
//!
//! Nothing of its files is read before it is sent, and nothing of them is kept in memory. The same
//! folder gives the same bytes: times and owners are not in them, permissions are.

mod dockerfile;
mod glob;
mod go_path;
mod go_regexp;
mod patterns;
mod walk;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::stage::{Archive, ArchiveReader, Entry, EntryKind, one_line};
use crate::ui::{Failure, Progress};
use awsb_model::limits;
use dockerfile::Folder;
use walk::Walk;

// The fuzz targets (`fuzz/`) call these.
#[doc(hidden)]
pub use patterns::{Matched, Patterns};

/// So many of the largest files are named when a context is too large.
const LARGEST: usize = 5;
/// So many links that lead out of the folder are named.
const NAMED: usize = 3;

/// A folder that can be built.
#[derive(Debug, Clone)]
pub struct Context {
    archive: Archive,
    dockerfile: String,
    leaving: Vec<PathBuf>,
    sha256: Arc<OnceLock<String>>,
    quiet: bool,
}

impl Context {
    /// Finds what of a folder goes along, and its Dockerfile: the one that is named, or
    /// `Dockerfile`. That one and the `.dockerignore` go along in any case, as the builder needs
    /// them. Links stay links, wherever they lead.
    ///
    /// # Errors
    /// When there is no such folder or no Dockerfile in it, one of them or the `.dockerignore`
    /// leads out of the folder, a line is no pattern, something cannot be read, or it is all too
    /// large (`limits::CONTEXT_BYTES`).
    pub fn gather(dir: &Path, dockerfile: Option<&Path>) -> Result<Self, Failure> {
        let folder = Folder::find(dir)?;
        let (dockerfile, found_at) = folder.dockerfile(dockerfile)?;
        let mut always = vec![PathBuf::from(&dockerfile)];
        let mut patterns = Patterns::default();
        if let Some(file) = folder.ignore_file(&found_at)? {
            patterns = Patterns::read(&file.content).map_err(|line| {
                Failure::usage(format!(
                    "{}, line {}: `{}` is not a pattern",
                    dir.join(&file.name).display(),
                    line.number,
                    line.text
                ))
                .hint(
                    "patterns have `*`, `?`, `**`, `[a-z]`, and `!` before an exception; a backslash \
                       takes the next character as it is",
                )
            })?;
            always.push(file.name);
        }
        let Walk { entries, leaving, .. } = Walk::through(&folder.real, &patterns, &always)?;
        let archive = Archive::new("the build context's", entries).map_err(failed)?;
        let context = Self { archive, dockerfile, leaving, sha256: Arc::default(), quiet: false };
        context.check_size(dir)?;
        Ok(context)
    }

    /// The same, with no bar while it is read, packed and sent, where somebody wants quiet.
    pub fn quiet(self, quiet: bool) -> Self {
        Self { quiet, ..self }
    }

    /// Whether no bar is wanted.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The Dockerfile's path in the archive.
    pub fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// The archive, from the beginning: uncompressed tar. A file that has changed since is an error
    /// that names it.
    pub fn tar(&self) -> ArchiveReader {
        self.archive.read()
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.archive.length()
    }

    /// The SHA-256 of the archive, in hexadecimal digits. The first time all files are read for it.
    ///
    /// # Errors
    /// When a file cannot be read or has changed.
    pub fn sha256(&self) -> Result<String, Failure> {
        if let Some(known) = self.sha256.get() {
            return Ok(known.clone());
        }
        let mut progress = Progress::new("reading the build context", self.size()).unless(self.quiet);
        let found = self.archive.sha256(|n| progress.advance(n)).map_err(failed)?;
        Ok(self.sha256.get_or_init(|| found).clone())
    }

    /// What there is to say of it, beginning in lower case and without a full stop.
    pub fn remark(&self) -> Option<String> {
        let named: Vec<String> =
            self.leaving.iter().take(NAMED).map(|name| name.display().to_string()).collect();
        let and_more = if self.leaving.len() > NAMED { ", …" } else { "" };
        let names = named.join(", ");
        match self.leaving.len() {
            0 => None,
            1 => Some(format!(
                "the symbolic link {names} leads out of the build context: the link is sent, but not its \
                 target"
            )),
            n => Some(format!(
                "{n} symbolic links lead out of the build context: the links are sent, but not their \
                 targets: {names}{and_more}"
            )),
        }
    }

    fn check_size(&self, dir: &Path) -> Result<(), Failure> {
        if self.size() <= limits::CONTEXT_BYTES {
            return Ok(());
        }
        let (size, limit) = (gib(self.size()), limits::CONTEXT_BYTES >> 30);
        let mut files: Vec<(u64, &Path)> = self.archive.entries().iter().filter_map(file).collect();
        files.sort_by(|one, two| two.cmp(one));
        let largest =
            files.iter().take(LARGEST).map(|(size, name)| format!("{} ({} GiB)", name.display(), gib(*size)));
        Err(Failure::usage(format!(
            "the build context {} is {size} GiB large, and at most {limit} GiB can be sent; the largest \
             files: {}",
            dir.display(),
            largest.collect::<Vec<_>>().join(", ")
        ))
        .hint(
            "leave out files that the image does not need by lines in .dockerignore; data belongs in S3, \
               not in an image",
        ))
    }
}

fn file((name, entry): &(PathBuf, Entry)) -> Option<(u64, &Path)> {
    match entry.kind {
        EntryKind::File { size, .. } => Some((size, name)),
        _ => None,
    }
}

fn gib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 30;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn failed(e: io::Error) -> Failure {
    Failure::failed(e.to_string())
}

fn reading(path: &Path, e: &io::Error) -> Failure {
    Failure::usage(format!("reading the build context's {}: {}", path.display(), one_line(e)))
}

#[cfg(test)]
mod tests;
