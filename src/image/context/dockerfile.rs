//! Finds the Dockerfile of a context, and its ignore file.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::stage::one_line;
use crate::ui::Failure;

/// The default name of a Dockerfile.
const DOCKERFILE: &str = "Dockerfile";
const IGNORE_FILE: &str = ".dockerignore";

/// The folder of a context, as an absolute path without links.
#[derive(Debug)]
pub struct Folder {
    /// The path as the user gave it.
    pub given: PathBuf,
    /// The absolute path without links.
    pub real: PathBuf,
}

/// A file of the context.
#[derive(Debug)]
pub struct ContextFile {
    /// Its path in the folder.
    pub name: PathBuf,
    /// Its content.
    pub content: Vec<u8>,
}

impl Folder {
    /// Finds the folder.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn find(given: &Path) -> Result<Self, Failure> {
        let shown = given.display();
        let doing = |e| Failure::usage(format!("the folder to build, {shown}: {}", one_line(&e)));
        let real = given.canonicalize().map_err(|e| match shown.to_string().contains("://") {
            true => doing(e).hint("clone the repository first: only folders of this machine can be built"),
            false => doing(e),
        })?;
        if !fs::metadata(&real).map_err(doing)?.is_dir() {
            return Err(Failure::usage(format!(
                "cannot build {shown}: it is not a folder with a Dockerfile"
            )));
        }
        Ok(Self { given: given.to_owned(), real })
    }

    /// Finds the Dockerfile: the path that was named, relative to the current folder or to the
    /// context; without a name `Dockerfile` or `dockerfile`, as Docker does. Returns its path in
    /// the context, and the path under which it was found.
    ///
    /// # Errors
    /// When there is none, or it is outside of the context.
    pub fn dockerfile(&self, named: Option<&Path>) -> Result<(String, PathBuf), Failure> {
        let found = match named {
            Some(named) => {
                let there = [named.to_owned(), self.real.join(named)].into_iter();
                let there: Vec<PathBuf> = there.filter(|p| p.symlink_metadata().is_ok()).collect();
                // Both folders may have a file of that name. Only one in the context can be used.
                let inside = there.iter().find(|path| self.inside("", "", path).is_ok());
                inside.or(there.first()).cloned()
            }
            None => {
                let names = [DOCKERFILE.to_owned(), DOCKERFILE.to_lowercase()];
                names.iter().map(|name| self.real.join(name)).find(|p| p.symlink_metadata().is_ok())
            }
        };
        let found = found.ok_or_else(|| self.no_dockerfile(named))?;
        let shown = match named {
            Some(named) => named.display().to_string(),
            None => self.shown(&found),
        };
        let (real, name) = self.inside("the Dockerfile", &shown, &found)?;
        let looked = fs::metadata(&real).map_err(|e| reading(&real, &e))?;
        if !looked.is_file() || looked.len() == 0 {
            let why = if looked.is_file() { "is empty" } else { "is not a file" };
            return Err(Failure::usage(format!("the Dockerfile {shown} {why}")));
        }
        let text = name.to_str().ok_or_else(|| {
            Failure::usage(format!(
                "the Dockerfile {shown}: its name is not UTF-8, so no engine can be given it"
            ))
        })?;
        Ok((text.to_owned(), found))
    }

    /// Finds the ignore file: `NAME.dockerignore` beside the Dockerfile, as BuildKit does, or else
    /// `.dockerignore` in the context.
    ///
    /// # Errors
    /// When it cannot be read, or is outside of the context.
    pub fn ignore_file(&self, dockerfile: &Path) -> Result<Option<ContextFile>, Failure> {
        let mut own: OsString = dockerfile.as_os_str().to_owned();
        own.push(IGNORE_FILE);
        for path in [PathBuf::from(own), self.real.join(IGNORE_FILE)] {
            if path.symlink_metadata().is_err() {
                continue;
            }
            let shown = self.shown(&path);
            let (real, _) = self.inside("the file", &shown, &path)?;
            let content = fs::read(&real).map_err(|e| reading(&path, &e))?;
            let name = self.lexical(&path).unwrap_or_else(|| IGNORE_FILE.into());
            return Ok(Some(ContextFile { name, content }));
        }
        Ok(None)
    }

    /// A path for messages, in the form that the user gave.
    fn shown(&self, path: &Path) -> String {
        let name = path.strip_prefix(&self.real);
        name.map_or(path.to_owned(), |name| self.given.join(name)).display().to_string()
    }

    /// A file with all links resolved, and its path in the context.
    fn inside(&self, what: &str, shown: &str, path: &Path) -> Result<(PathBuf, PathBuf), Failure> {
        let folder = self.given.display();
        let real = path.canonicalize().map_err(|e| match path.is_symlink() {
            true => Failure::usage(format!("{what} {shown}: the symbolic link leads nowhere")),
            false => reading(path, &e),
        })?;
        if let Ok(name) = real.strip_prefix(&self.real) {
            let name = name.to_owned();
            return Ok((real, name));
        }
        Err(match self.lexical(path) {
            Some(_) => {
                let to = real.display();
                Failure::usage(format!(
                    "{what} {shown} is a symbolic link that leads out of the folder {folder}, to {to}"
                ))
                .hint("replace it by a copy")
            }
            None => Failure::usage(format!(
                "{what} {shown} is outside of the folder {folder}, and only that is sent"
            ))
            .hint("build the folder that has both, or copy it into the folder"),
        })
    }

    /// The path in the context of a file that may be a link itself.
    fn lexical(&self, path: &Path) -> Option<PathBuf> {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = parent.canonicalize().ok()?;
        Some(folder.strip_prefix(&self.real).ok()?.join(path.file_name()?))
    }

    fn no_dockerfile(&self, named: Option<&Path>) -> Failure {
        let folder = self.given.display();
        let failure = match named {
            Some(named) => Failure::usage(format!("there is no Dockerfile {}", named.display())),
            None => Failure::usage(format!("there is no Dockerfile in the folder {folder}")),
        };
        let mut near: Vec<String> = fs::read_dir(&self.real)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| is_near(&name.to_lowercase()))
            .collect();
        near.sort();
        match near.first() {
            Some(name) => failure.hint(format!(
                "the folder has {name}: give that as the Dockerfile, or \
                                                rename it"
            )),
            None => failure,
        }
    }
}

/// Whether a name, in lower case, is one that Dockerfiles have in other tools, or by mistake.
fn is_near(name: &str) -> bool {
    if name.ends_with(IGNORE_FILE) {
        return false;
    }
    let distance = strsim::osa_distance(name, "dockerfile");
    name.contains("dockerfile") || name.contains("containerfile") || distance <= 2
}

/// The failure for a file of the context that cannot be read.
pub fn reading(path: &Path, e: &io::Error) -> Failure {
    Failure::usage(format!("reading the build context's {}: {}", path.display(), one_line(e)))
}
