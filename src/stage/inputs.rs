//! The files and directories that a job takes along.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use ignore::WalkBuilder;

use crate::ui::Failure;
use awsb_model::payload::launcher::STDIN_FILE;
use awsb_model::{Input, reserved};

/// The file that says what of its directory stays here, in the syntax of `.gitignore`.
const IGNORE_FILE: &str = ".bsubignore";

/// A file or directory that goes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Where it is on this machine.
    pub source: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// Its size in bytes; `None` for a directory.
    pub size: Option<u64>,
    /// When it was last written: who reads it can tell whether it has changed since.
    pub modified: Option<SystemTime>,
}

/// All that a job takes along, by its path in the job's working directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs(BTreeMap<PathBuf, Staged>);

impl Inputs {
    /// Finds what the arguments name. Links are followed, hidden files included, `.bsubignore` honoured.
    /// `script` is the job's script, with the name that it will have: a file with that name and content may be
    /// among the inputs, and is left out.
    ///
    /// # Errors
    /// When something cannot be read or staged, or two files would have one name.
    pub fn gather(inputs: &[Input], script: Option<(&str, &[u8])>) -> Result<Self, Failure> {
        let mut all = Self::default();
        for input in inputs {
            let shown = input.path().display();
            let found = look(input.path())?;
            let root = input
                .destination(found.size.is_none())
                .map_err(|why| Failure::usage(format!("the input {shown}: {why}")))?;
            if found.size.is_some() {
                all.add(root, found)?;
                continue;
            }
            // Only what `.bsubignore` says is left out.
            let mut walk = WalkBuilder::new(input.path());
            walk.standard_filters(false).follow_links(true).add_custom_ignore_filename(IGNORE_FILE);
            for entry in walk.build() {
                let entry = entry.map_err(|e| cannot_walk(&shown, &e))?;
                if let Some(e) = entry.error() {
                    return Err(cannot_walk(&shown, e));
                }
                let below = entry.path().strip_prefix(input.path()).unwrap_or(Path::new(""));
                let name = if below.as_os_str().is_empty() { root.clone() } else { root.join(below) };
                if !name.as_os_str().is_empty() {
                    all.add(name, look(entry.path())?)?;
                }
            }
        }
        all.leave_out(script)?;
        all.check()?;
        Ok(all)
    }

    fn add(&mut self, name: PathBuf, staged: Staged) -> Result<(), Failure> {
        match self.0.entry(name) {
            Entry::Vacant(vacant) => {
                vacant.insert(staged);
            }
            // Directories are put together.
            Entry::Occupied(there) if there.get().size.is_none() && staged.size.is_none() => {}
            Entry::Occupied(there) => {
                let (one, two) = (there.get().source.display(), staged.source.display());
                return Err(collision(&one, &two, there.key()));
            }
        }
        Ok(())
    }

    /// The script comes with the job anyway.
    fn leave_out(&mut self, script: Option<(&str, &[u8])>) -> Result<(), Failure> {
        let Some((name, contents)) = script else { return Ok(()) };
        let Some(staged) = self.0.get(Path::new(name)) else { return Ok(()) };
        let same_size = staged.size == Some(contents.len() as u64);
        if !same_size || fs::read(&staged.source).map_err(|e| unreadable(&staged.source, &e))? != contents {
            return Err(collision(&"the script", &staged.source.display(), Path::new(name)));
        }
        self.0.remove(Path::new(name));
        Ok(())
    }

    /// Nothing is the launcher's, and no file has something below it.
    fn check(&self) -> Result<(), Failure> {
        for (name, staged) in &self.0 {
            if let Some(folder) = reserved(name) {
                let shown = staged.source.display();
                return Err(Failure::usage(format!(
                    "the input {shown} would have the launcher's name {folder}"
                ))
                .hint(format!(
                    "`{shown}:NAME` gives it another; a line `{folder}` in {IGNORE_FILE} leaves it out"
                )));
            }
            let file = name.ancestors().skip(1).find_map(|n| self.0.get(n).filter(|s| s.size.is_some()));
            if let Some(file) = file {
                return Err(collision(&file.source.display(), &staged.source.display(), name));
            }
        }
        Ok(())
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything with its path in the working directory; a directory comes before what is in it.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Staged)> {
        self.0.iter().map(|(name, staged)| (name.as_path(), staged))
    }

    /// The same, in this folder of the working directory. The standard input stays where the launcher looks for it.
    #[must_use]
    pub fn below(self, folder: &str) -> Self {
        let below = |name: PathBuf| match name.as_os_str() == STDIN_FILE {
            true => name,
            false => Path::new(folder).join(name),
        };
        Self(self.0.into_iter().map(|(name, staged)| (below(name), staged)).collect())
    }

    /// The same with a file for the job's standard input.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn with_stdin(mut self, file: &Path) -> Result<Self, Failure> {
        let staged = look(file)?;
        self.0.insert(STDIN_FILE.into(), Staged { mode: 0o600, ..staged });
        Ok(self)
    }

    /// Whether there is a file for the job's standard input.
    pub(super) fn has_stdin(&self) -> bool {
        self.0.contains_key(Path::new(STDIN_FILE))
    }

    /// Everything, in the order of [`Inputs::iter`].
    pub(super) fn list(self) -> Vec<(PathBuf, Staged)> {
        self.0.into_iter().collect()
    }

    /// The sum of the files' sizes in bytes.
    pub fn size(&self) -> u64 {
        self.0.values().filter_map(|s| s.size).sum()
    }

    /// Whether the job will find something under this path, relative to its working directory.
    pub fn has(&self, path: &Path) -> bool {
        let normal: PathBuf = path.components().filter(|c| *c != Component::CurDir).collect();
        self.0.contains_key(&normal)
    }
}

/// What is at a path, links followed.
fn look(path: &Path) -> Result<Staged, Failure> {
    let found = fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    let size = match found.file_type() {
        kind if kind.is_file() => Some(found.len()),
        kind if kind.is_dir() => None,
        _ => {
            let shown = path.display();
            return Err(Failure::usage(format!("the input {shown} is neither a file nor a directory")));
        }
    };
    // Who unpacks a directory must be able to fill it, and to remove it.
    let mode = found.mode() & 0o777 | if size.is_none() { 0o700 } else { 0 };
    Ok(Staged { source: path.to_owned(), mode, size, modified: found.modified().ok() })
}

/// What is wrong with something below an input.
fn cannot_walk(input: &dyn std::fmt::Display, e: &ignore::Error) -> Failure {
    use ignore::Error::{Loop, WithDepth, WithPath};
    let leave_out = format!("a line in {IGNORE_FILE} leaves it out");
    match e {
        WithDepth { err, .. } => cannot_walk(input, err),
        WithPath { path, .. } if path.is_symlink() && !path.exists() => {
            Failure::usage(format!("the input {}: the symbolic link leads nowhere", path.display()))
                .hint(leave_out)
        }
        WithPath { path, err } => match err.io_error() {
            Some(e) => unreadable(path, e),
            None => cannot_walk(&path.display(), err),
        },
        Loop { ancestor, child } => Failure::usage(format!(
            "the input {}: the symbolic link leads back to {}",
            child.display(),
            ancestor.display()
        ))
        .hint(leave_out),
        _ => Failure::usage(format!("the input {input}: {}", one_line(e))),
    }
}

fn unreadable(path: &Path, e: &io::Error) -> Failure {
    Failure::usage(format!("reading the input {}: {}", path.display(), one_line(e)))
}

fn collision(one: &dyn std::fmt::Display, two: &dyn std::fmt::Display, name: &Path) -> Failure {
    let name = name.display();
    Failure::usage(format!("{one} and {two} would both be {name} in the job's working directory"))
        .hint("`-i PATH:NAME` gives an input another name")
}

/// An error's words without the operating system's number.
pub(crate) fn one_line(e: &dyn std::fmt::Display) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// The local files that arguments of the job name, and that it will not have: what would add each, as the value
/// of an `-i`.
///
/// Only names of files relative to the current directory count: an absolute path (`/bin/sh`) may well be meant
/// for the image.
pub fn forgotten<'a>(
    args: impl IntoIterator<Item = &'a std::ffi::OsStr>,
    is_file: impl Fn(&Path) -> bool,
    inputs: &Inputs,
) -> Vec<(PathBuf, String)> {
    let mut found: Vec<(PathBuf, String)> = Vec::new();
    for path in args.into_iter().map(Path::new) {
        let is_news = path.is_relative() && is_file(path) && !inputs.has(path);
        if !is_news || found.iter().any(|(known, _)| known == path) {
            continue;
        }
        let shown = path.display();
        let leaves = path.components().any(|c| c == Component::ParentDir);
        // `-i data/x` puts it into the working directory as `x`, where the argument does not look for it.
        let has_folder =
            path.parent().is_some_and(|p| p.components().next().is_some_and(|c| c != Component::CurDir));
        let value = if has_folder && !leaves { format!("{shown}:{shown}") } else { shown.to_string() };
        found.push((path.to_owned(), value));
    }
    found
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn gather(folder: &Path, args: &[&str], script: Option<(&str, &[u8])>) -> Result<Inputs, Failure> {
        let inputs: Vec<Input> = args
            .iter()
            .map(|arg| {
                Input::parse(OsStr::new(&format!("{}/{arg}", folder.display())), |p| p.exists()).unwrap()
            })
            .collect();
        Inputs::gather(&inputs, script)
    }

    fn names(inputs: &Inputs) -> Vec<String> {
        inputs.iter().map(|(name, _)| name.display().to_string()).collect()
    }

    /// A folder with these files, each of which has its own path in it.
    pub(crate) fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        folder
    }

    #[test]
    fn directories_go_along_with_all_that_is_in_them() {
        let folder = tree(&["d/a", "d/.hidden", "d/e/b", "d/e/c.log", "d/.git/x", "d/.gitignore", "other"]);
        fs::write(folder.path().join("d/.gitignore"), "a\n").unwrap();
        fs::write(folder.path().join("d/.bsubignore"), "*.log\n/.git\n.bsubignore\n").unwrap();
        fs::create_dir(folder.path().join("d/empty")).unwrap();
        symlink("../other", folder.path().join("d/link")).unwrap();
        fs::set_permissions(folder.path().join("d/a"), fs::Permissions::from_mode(0o4751)).unwrap();
        let inputs = gather(folder.path(), &["d:in"], None).unwrap();
        let expected = ["in", "in/.gitignore", "in/.hidden", "in/a", "in/e", "in/e/b", "in/empty", "in/link"];
        assert_eq!(names(&inputs), expected);
        assert_eq!(inputs.0[Path::new("in/a")].mode, 0o751);
        assert_eq!(inputs.0[Path::new("in/link")].size, Some(5));
        assert!(inputs.has(Path::new("./in//a")) && !inputs.has(Path::new("a")));
        assert_eq!(names(&gather(folder.path(), &["d:.", "other:e/d"], None).unwrap())[4..6], ["e/b", "e/d"]);
    }

    #[test]
    fn what_cannot_go_along_is_named() {
        let folder = tree(&["a/x", "b/x", "f", ".awsb"]);
        symlink(".", folder.path().join("b/loop")).unwrap();
        symlink("nowhere", folder.path().join("dangling")).unwrap();
        fs::create_dir(folder.path().join("c")).unwrap();
        symlink("nowhere", folder.path().join("c/gone")).unwrap();
        nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (args, said) in [
            (["a/x:f", "f"].as_slice(), "would both be f in the job's working directory"),
            (&["f:n", "a/x:n/y"], "would both be n/y"),
            (&["b"], "loop: the symbolic link leads back to "),
            (&["c"], "c/gone: the symbolic link leads nowhere"),
            (&["dangling"], "No such file or directory"),
            (&["pipe"], "is neither a file nor a directory"),
            (&["none"], "No such file or directory"),
            (&[".awsb"], "would have the launcher's name .awsb"),
        ] {
            let failure = gather(folder.path(), args, None).unwrap_err();
            assert!(failure.message().contains(said), "{args:?}: {failure}");
            assert_eq!(failure.exit(), crate::ui::Exit::Usage);
            assert!(!failure.message().contains("os error"), "{failure}");
        }
    }

    #[test]
    fn the_script_comes_once() {
        let folder = tree(&["run.sh", "data"]);
        let inputs = gather(folder.path(), &[".:."], Some(("run.sh", b"run.sh"))).unwrap();
        assert_eq!(names(&inputs), ["data"]);
        assert!(gather(folder.path(), &["run.sh"], Some(("run.sh", b"other!"))).is_err());
    }

    #[test]
    fn arguments_that_name_files_are_noticed() {
        let folder = tree(&["data/x", "y"]);
        let inputs = gather(folder.path(), &["y"], None).unwrap();
        let is_file = |path: &Path| {
            [Path::new("data/x"), Path::new("y"), Path::new("../z"), Path::new("./t.py")].contains(&path)
        };
        let args = ["-c", "y", "./y", "data/x", "data/x", "../z", "./t.py", "/bin/sh"].map(OsStr::new);
        let found = forgotten(args, is_file, &inputs);
        let values: Vec<&str> = found.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["data/x:data/x", "../z", "./t.py"]);
    }
}
