//! The inputs of a job: the files and directories that are sent with it.

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

/// The file that lists the files of its directory that are not sent, in the syntax of `.gitignore`.
const IGNORE_FILE: &str = ".bsubignore";

/// A file or directory among the inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputEntry {
    /// Where it is on this machine.
    pub source: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// Its size in bytes; `None` for a directory.
    pub size: Option<u64>,
    /// The time of the last change, by which a reader notices a later change.
    pub modified: Option<SystemTime>,
}

/// The inputs of a job, by their paths in the job's working directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs(BTreeMap<PathBuf, InputEntry>);

impl Inputs {
    /// Finds the files that the arguments name. Links are followed, hidden files are included, and
    /// `.bsubignore` counts. `script` is the job's script with its name in the job. A file among
    /// the inputs with that name and content is left out.
    ///
    /// # Errors
    /// When a file cannot be read or sent, or two files would have the same name.
    pub fn gather(inputs: &[Input], script: Option<(&str, &[u8])>) -> Result<Self, Failure> {
        let mut all = Self::default();
        for input in inputs {
            let shown = input.path().display();
            let found = inspect(input.path())?;
            let root = input
                .destination(found.size.is_none())
                .map_err(|why| Failure::usage(format!("the input {shown}: {why}")))?;
            if found.size.is_some() {
                all.add(root, found)?;
                continue;
            }
            // Only `.bsubignore` leaves files out.
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
                    all.add(name, inspect(entry.path())?)?;
                }
            }
        }
        all.remove_script(script)?;
        all.check()?;
        Ok(all)
    }

    fn add(&mut self, name: PathBuf, entry: InputEntry) -> Result<(), Failure> {
        match self.0.entry(name) {
            Entry::Vacant(vacant) => {
                vacant.insert(entry);
            }
            // Two directories become one.
            Entry::Occupied(there) if there.get().size.is_none() && entry.size.is_none() => {}
            Entry::Occupied(there) => {
                let (one, two) = (there.get().source.display(), entry.source.display());
                return Err(collision(&one, &two, there.key()));
            }
        }
        Ok(())
    }

    /// Removes the script, which is sent with the job anyway.
    fn remove_script(&mut self, script: Option<(&str, &[u8])>) -> Result<(), Failure> {
        let Some((name, contents)) = script else { return Ok(()) };
        let Some(entry) = self.0.get(Path::new(name)) else { return Ok(()) };
        let same_size = entry.size == Some(contents.len() as u64);
        if !same_size || fs::read(&entry.source).map_err(|e| unreadable(&entry.source, &e))? != contents {
            return Err(collision(&"the script", &entry.source.display(), Path::new(name)));
        }
        self.0.remove(Path::new(name));
        Ok(())
    }

    /// Fails if an input has a name of the launcher, or a file has another input below it.
    fn check(&self) -> Result<(), Failure> {
        for (name, entry) in &self.0 {
            if let Some(folder) = reserved(name) {
                let shown = entry.source.display();
                return Err(Failure::usage(format!(
                    "the input {shown} would have the launcher's name {folder}"
                ))
                .hint(format!(
                    "`{shown}:NAME` gives it another; a line `{folder}` in {IGNORE_FILE} leaves it out"
                )));
            }
            let file = name.ancestors().skip(1).find_map(|n| self.0.get(n).filter(|s| s.size.is_some()));
            if let Some(file) = file {
                return Err(collision(&file.source.display(), &entry.source.display(), name));
            }
        }
        Ok(())
    }

    /// Whether there are no inputs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The inputs with their paths in the working directory. A directory comes before its files.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &InputEntry)> {
        self.0.iter().map(|(name, entry)| (name.as_path(), entry))
    }

    /// The inputs in this folder of the working directory. The standard input stays where the
    /// launcher looks for it.
    #[must_use]
    pub fn below(self, folder: &str) -> Self {
        let below = |name: PathBuf| match name.as_os_str() == STDIN_FILE {
            true => name,
            false => Path::new(folder).join(name),
        };
        Self(self.0.into_iter().map(|(name, entry)| (below(name), entry)).collect())
    }

    /// The inputs and a file for the job's standard input.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn with_stdin(mut self, file: &Path) -> Result<Self, Failure> {
        let entry = inspect(file)?;
        self.0.insert(STDIN_FILE.into(), InputEntry { mode: 0o600, ..entry });
        Ok(self)
    }

    /// Whether the inputs have a file for the job's standard input.
    pub(super) fn has_stdin(&self) -> bool {
        self.0.contains_key(Path::new(STDIN_FILE))
    }

    /// The inputs in the order of [`Inputs::iter`].
    pub(super) fn into_entries(self) -> Vec<(PathBuf, InputEntry)> {
        self.0.into_iter().collect()
    }

    /// The sum of the files' sizes in bytes.
    pub fn size(&self) -> u64 {
        self.0.values().filter_map(|s| s.size).sum()
    }

    /// Whether the job will have a file or directory at this path, relative to its working
    /// directory.
    pub fn has(&self, path: &Path) -> bool {
        let normal: PathBuf = path.components().filter(|c| *c != Component::CurDir).collect();
        self.0.contains_key(&normal)
    }
}

/// Reads the metadata of a path. Links are followed.
fn inspect(path: &Path) -> Result<InputEntry, Failure> {
    let found = fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    let size = match found.file_type() {
        kind if kind.is_file() => Some(found.len()),
        kind if kind.is_dir() => None,
        _ => {
            let shown = path.display();
            return Err(Failure::usage(format!("the input {shown} is neither a file nor a directory")));
        }
    };
    // The user who unpacks a directory must be able to fill and remove it.
    let mode = found.mode() & 0o777 | if size.is_none() { 0o700 } else { 0 };
    Ok(InputEntry { source: path.to_owned(), mode, size, modified: found.modified().ok() })
}

/// The failure to read a file below an input.
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

/// The text of an error without the number of the operating system.
pub(crate) fn one_line(e: &dyn std::fmt::Display) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// The local files that arguments of the job name and that the job will not have, each with the
/// value of an `-i` that would send it.
///
/// Only files relative to the current directory count, because an absolute path (`/bin/sh`) may be
/// one of the image.
pub fn unsent_files<'a>(
    args: impl IntoIterator<Item = &'a std::ffi::OsStr>,
    is_file: impl Fn(&Path) -> bool,
    inputs: &Inputs,
) -> Vec<(PathBuf, String)> {
    let mut found: Vec<(PathBuf, String)> = Vec::new();
    for path in args.into_iter().map(Path::new) {
        let is_unsent = path.is_relative() && is_file(path) && !inputs.has(path);
        if !is_unsent || found.iter().any(|(earlier, _)| earlier == path) {
            continue;
        }
        let shown = path.display();
        let leaves = path.components().any(|c| c == Component::ParentDir);
        // `-i data/x` sends the file as `x`, but the argument names `data/x`.
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
    fn directories_are_sent_with_all_their_files() {
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
    fn files_that_cannot_be_sent_are_named() {
        let folder = tree(&["a/x", "b/x", "f", ".awsb"]);
        symlink(".", folder.path().join("b/loop")).unwrap();
        symlink("nowhere", folder.path().join("dangling")).unwrap();
        fs::create_dir(folder.path().join("c")).unwrap();
        symlink("nowhere", folder.path().join("c/gone")).unwrap();
        nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (args, expected) in [
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
            assert!(failure.message().contains(expected), "{args:?}: {failure}");
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
    fn arguments_that_name_unsent_files_are_found() {
        let folder = tree(&["data/x", "y"]);
        let inputs = gather(folder.path(), &["y"], None).unwrap();
        let is_file = |path: &Path| {
            [Path::new("data/x"), Path::new("y"), Path::new("../z"), Path::new("./t.py")].contains(&path)
        };
        let args = ["-c", "y", "./y", "data/x", "data/x", "../z", "./t.py", "/bin/sh"].map(OsStr::new);
        let found = unsent_files(args, is_file, &inputs);
        let values: Vec<&str> = found.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["data/x:data/x", "../z", "./t.py"]);
    }
}
