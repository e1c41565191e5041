//! Input files: `-i PATH[:NAME]`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::Invalid;

/// Folders in a job's working directory that belong to the launcher.
const RESERVED: [&str; 2] = [".awsb", ".awsb-slurm"];

/// The launcher's folder that contains a path in a job's working directory, if one does.
pub fn reserved(path: &Path) -> Option<&'static str> {
    RESERVED.into_iter().find(|folder| path.starts_with(folder))
}

/// A file or directory of the submitter, and its name in the job's working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    path: PathBuf,
    name: Option<Name>,
}

/// The destination of an input: a path below the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    path: PathBuf,
    /// Whether it ends with a slash, or is `.`. The input is then placed *into* it.
    is_folder: bool,
}

impl Input {
    /// Parses `PATH` or `PATH:NAME`. A path may contain a colon: `exists` says whether there is a
    /// file of the whole name, which then takes precedence.
    ///
    /// # Errors
    /// When the path is empty, or the name leads out of the working directory.
    pub fn parse(text: &OsStr, exists: impl Fn(&Path) -> bool) -> Result<Self, Invalid> {
        let bytes = text.as_bytes();
        let colon = bytes.iter().rposition(|b| *b == b':').filter(|_| !exists(Path::new(text)));
        let (path, name) = match colon {
            None => (text, None),
            Some(at) => (OsStr::from_bytes(&bytes[..at]), Some(Name::parse(&bytes[at + 1..])?)),
        };
        if path.is_empty() {
            return Err(Invalid::because("a file or directory is missing before the name"));
        }
        Ok(Self { path: path.into(), name })
    }

    /// The file or directory, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the input gets a new name in the job.
    pub fn is_renamed(&self) -> bool {
        self.name.is_some()
    }

    /// The path in the job's working directory. An empty path is the working directory itself.
    ///
    /// # Errors
    /// When the path has no name to use there (`..`, `/`).
    pub fn destination(&self, is_directory: bool) -> Result<PathBuf, Invalid> {
        match &self.name {
            Some(name) if is_directory || !name.is_folder => Ok(name.path.clone()),
            Some(name) => Ok(name.path.join(self.base_name()?)),
            None if is_directory && self.path.components().all(|c| c == Component::CurDir) => {
                Ok(PathBuf::new())
            }
            None => self.base_name().map(PathBuf::from),
        }
    }

    fn base_name(&self) -> Result<&OsStr, Invalid> {
        self.path.file_name().ok_or_else(|| {
            Invalid::because(format!("give {0} a name in the job: `{0}:NAME`", self.path.display()))
        })
    }
}

impl Name {
    fn parse(text: &[u8]) -> Result<Self, Invalid> {
        let text = OsString::from_vec(text.to_vec());
        let shown = text.display();
        if text.is_empty() {
            return Err(Invalid::because("the name after the colon is empty"));
        }
        let mut path = PathBuf::new();
        for component in Path::new(&text).components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::CurDir => {}
                _ => {
                    return Err(Invalid::because(format!(
                        "the name {shown} leads out of the job's working directory"
                    )));
                }
            }
        }
        if let Some(folder) = reserved(&path) {
            return Err(Invalid::because(format!("the name {folder} is taken: it is the launcher's own")));
        }
        let is_folder = path.as_os_str().is_empty() || text.as_bytes().ends_with(b"/");
        Ok(Self { path, is_folder })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Input, Invalid> {
        Input::parse(OsStr::new(text), |path| path == Path::new("a:b"))
    }

    fn destination(text: &str, is_directory: bool) -> Result<String, Invalid> {
        Ok(parse(text)?.destination(is_directory)?.display().to_string())
    }

    #[test]
    fn where_inputs_go() {
        for (text, is_directory, path, name) in [
            ("train.py", false, "train.py", "train.py"),
            ("src/train.py", false, "src/train.py", "train.py"),
            ("/data/x.csv:in/x.csv", false, "/data/x.csv", "in/x.csv"),
            ("x.csv:in/", false, "x.csv", "in/x.csv"),
            ("x.csv:.", false, "x.csv", "x.csv"),
            ("a:b", false, "a:b", "a:b"),
            ("a:b:c", false, "a:b", "c"),
            ("dir", true, "dir", "dir"),
            ("up/dir/", true, "up/dir/", "dir"),
            ("dir:data", true, "dir", "data"),
            ("dir:./data/", true, "dir", "data"),
            ("dir:.", true, "dir", ""),
            (".", true, ".", ""),
            ("./", true, "./", ""),
            (".:all", true, ".", "all"),
        ] {
            assert_eq!(parse(text).map(|i| i.path().display().to_string()), Ok(path.to_owned()), "{text}");
            assert_eq!(destination(text, is_directory), Ok(name.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_name() {
        for text in ["", ":x", "x:", "x:/y", "x:../y", "x:y/../../z", "x:.awsb", "x:.awsb/job"] {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in ["..", "/"] {
            assert!(destination(text, true).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_out(text in "[a./:]{0,12}", is_directory: bool) {
            if let Ok(name) = Input::parse(OsStr::new(&text), |_| false).and_then(|i| i.destination(is_directory)) {
                let normal = name.components().all(|c| matches!(c, Component::Normal(_)));
                prop_assert!(normal && reserved(&name).is_none(), "{text}: {}", name.display());
            }
        }
    }
}
