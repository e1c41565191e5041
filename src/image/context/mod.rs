//! A build context: a folder as `docker build` sends it, without the files that its `.dockerignore`
//! excludes.
//!
//! No file is read before it is sent, and none is kept in memory. The same folder gives the same
//! bytes: the archive has permissions, but no times and no owners.

mod dockerfile;
mod glob;
mod go_path;
mod go_regexp;
mod patterns;
mod walk;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::stage::{Archive, ArchiveEntry, ArchiveReader, EntryKind};
use crate::ui::{Failure, ProgressBar};
use awsb_model::limits;
use dockerfile::Folder;
use walk::Walk;

// The fuzz targets (`fuzz/`) call these.
#[doc(hidden)]
pub use patterns::{Matched, Patterns};

/// The number of largest files that the message about a too large context names.
const LARGEST: usize = 5;
/// The number of links out of the folder that a note names.
const NAMED: usize = 3;

/// A build context.
#[derive(Debug, Clone)]
pub struct Context {
    archive: Archive,
    dockerfile: String,
    leaving: Vec<PathBuf>,
    sha256: Arc<OnceLock<String>>,
    quiet: bool,
}

impl Context {
    /// Finds the files of a folder that belong to its context, and its Dockerfile: the one that is
    /// named, or `Dockerfile`. The Dockerfile and the `.dockerignore` always belong to the context,
    /// as the builder needs them. Links stay links, wherever they point.
    ///
    /// # Errors
    /// When there is no such folder, or no Dockerfile in it; when the Dockerfile or the
    /// `.dockerignore` is outside of the folder; when a line is not a pattern; when something
    /// cannot be read; when the context is too large (`limits::CONTEXT_BYTES`).
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

    /// The same context. With `quiet`, no progress bar is shown while it is read, packed and sent.
    pub fn quiet(self, quiet: bool) -> Self {
        Self { quiet, ..self }
    }

    /// Whether no progress bar is shown.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The path of the Dockerfile in the archive.
    pub fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// The archive, from the beginning: an uncompressed tar. Reading it fails if a file has
    /// changed, and names the file.
    pub fn tar(&self) -> ArchiveReader {
        self.archive.read()
    }

    /// The size of the archive in bytes.
    pub fn size(&self) -> u64 {
        self.archive.length()
    }

    /// The SHA-256 of the archive, in hexadecimal digits. The first call reads all files.
    ///
    /// # Errors
    /// When a file cannot be read or has changed.
    pub fn sha256(&self) -> Result<String, Failure> {
        if let Some(known) = self.sha256.get() {
            return Ok(known.clone());
        }
        let mut progress = ProgressBar::new("reading the build context", self.size()).unless(self.quiet);
        let found = self.archive.sha256(|n| progress.advance(n)).map_err(failed)?;
        Ok(self.sha256.get_or_init(|| found).clone())
    }

    /// A remark about the context, if there is one. It begins in lower case and has no full stop.
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

fn file((name, entry): &(PathBuf, ArchiveEntry)) -> Option<(u64, &Path)> {
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

#[cfg(test)]
mod tests;
