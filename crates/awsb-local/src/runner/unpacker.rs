//! Unpacking in place of the launcher, by the runner that starts the job.
//!
//! On a machine of its own a job's launcher fetches, checks and unpacks the staged files, with the
//! image's `curl`, `sha256sum`, `gzip` and `tar`. Where the children of an array are processes of
//! one machine, that would be the same work for each of them, and take longer than most of them
//! run. A runner of the local cluster unpacks them once and tells the launcher so. Where the
//! launcher does nothing else, the runner starts the program that the launcher would start.
//! Everything else is left to the launcher.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use awsb_model::payload::launcher::{self, LINES_FILE, START_FILE, Usual};
use awsb_model::payload::unpack::{Carried, Limited, is_named};
use awsb_model::{LineUse, Tasks, interpreter};

/// The size of an unpacked bundle that is stored in memory; larger ones are left to the launcher.
const LARGEST: u64 = 4 << 20;
/// Bytes of a variable with the start in it (execve(2): 128 KiB).
const LARGEST_START: usize = 100 << 10;

/// Makes jobs ready, one after the other. It remembers what it has read for the last one: the next
/// job often has the same.
#[derive(Debug, Default)]
pub struct Unpacker {
    last: Option<(String, Option<Unpacked>)>,
    last_launcher: Option<(String, Option<Usual>)>,
}

/// The program that is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The variables.
    pub environment: BTreeMap<String, String>,
    /// The working directory.
    pub directory: PathBuf,
}

/// The folder of a job that has been unpacked.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Which folder it was: its file system and its number there.
    is: (u64, u64),
    /// The files that were put into it.
    files: Vec<PathBuf>,
}

/// A job that can be started with less work for its launcher, or with none.
#[derive(Debug)]
pub struct Ready {
    /// The folder that was unpacked.
    pub folder: Option<Folder>,
    /// The program that the launcher would start in the end. If it cannot be started, the launcher
    /// says why.
    pub direct: Option<Command>,
}

impl Folder {
    /// Removes the files that were put there, and the folder if it is empty then. A folder that the
    /// job has put into its place, or a file system that is mounted there, is left alone.
    pub fn remove(self) {
        if let Some(path) = self.empty() {
            let _ = fs::remove_dir(path);
        }
    }

    /// The same without the folder itself, which is returned: something else may be in it.
    pub fn empty(self) -> Option<PathBuf> {
        if identity(&self.path).is_ok_and(|is| is == self.is) {
            for file in &self.files {
                let _ = fs::remove_file(file);
            }
            return Some(self.path);
        }
        None
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The identity of a folder; of a link, the link's own.
fn identity(folder: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(folder).map(|found| (found.dev(), found.ino()))
}

/// The content of a bundle.
#[derive(Debug, Default)]
struct Unpacked {
    files: Vec<File>,
    start: String,
    /// The action of the start, if it is the usual one.
    usual: Option<Usual>,
    lines: Option<IndexedLines>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    mode: u32,
    /// `None` leaves it as it comes.
    modified: Option<SystemTime>,
    contents: Vec<u8>,
}

/// Lines, and the position at which each of them ends.
#[derive(Debug)]
struct IndexedLines {
    text: String,
    ends: Vec<usize>,
}

impl Unpacker {
    /// Does the launcher's work for a job in a new folder; see [`Unpacker::ready_in`].
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn ready(
        &mut self,
        job: &mut Command,
        folder: &Path,
        fetch: impl FnOnce(&str, &str) -> Option<Vec<u8>>,
    ) -> io::Result<Ready> {
        use std::os::unix::fs::DirBuilderExt;

        let create = |folder: &Path| fs::DirBuilder::new().mode(0o700).create(folder);
        self.ready_in(job, folder, create, fetch)
    }

    /// Does the launcher's work for a job. Its files go into `folder`, which `create` makes for its
    /// owner only, and then the variables of `job` are what the launcher takes. `fetch` gets the
    /// object of a bucket and a key. Where there is nothing that could be done, nothing has
    /// changed.
    ///
    /// # Errors
    /// When a file cannot be written. The folder may be there then, and the variables are as they
    /// were.
    pub fn ready_in(
        &mut self,
        job: &mut Command,
        folder: &Path,
        create: impl FnOnce(&Path) -> io::Result<()>,
        fetch: impl FnOnce(&str, &str) -> Option<Vec<u8>>,
    ) -> io::Result<Ready> {
        let nothing = Ready { folder: None, direct: None };
        let Some(launcher) = launcher::that_can_be_spared(&job.argv) else { return Ok(nothing) };
        let Some(path) = folder.to_str() else { return Ok(nothing) };
        if let Some(bundle) = job.environment.get(launcher::BUNDLE_VARIABLE) {
            let Some(unpacked) = self.known(bundle, fetch) else { return Ok(nothing) };
            let line = match &unpacked.lines {
                Some(lines) => match line(lines, &job.environment) {
                    Some(line) => Some(line.to_owned()),
                    None => return Ok(nothing),
                },
                None => None,
            };
            let mut unpacked_job = job.clone();
            let environment = &mut unpacked_job.environment;
            environment.insert(launcher::START_VARIABLE.to_owned(), unpacked.start.clone());
            environment.extend(line.map(|line| (launcher::LINE_VARIABLE.to_owned(), line)));
            environment.remove(launcher::BUNDLE_VARIABLE);
            environment.remove(launcher::REGION_VARIABLE);
            environment.insert(launcher::UNPACKED_VARIABLE.to_owned(), path.to_owned());
            let usual = unpacked.usual.as_ref();
            let direct = usual.and_then(|usual| direct(usual, &unpacked_job, folder, &unpacked.files));
            if direct.is_some() && unpacked.files.is_empty() {
                return Ok(Ready { folder: None, direct });
            }
            create(folder)?;
            let made = fill(folder, &unpacked.files)?;
            *job = unpacked_job;
            return Ok(Ready { folder: Some(made), direct });
        }
        if self.last_launcher.as_ref().is_none_or(|(last, _)| last != launcher) {
            self.last_launcher = Some((launcher.to_owned(), Usual::of_plain(launcher)));
        }
        let usual = self.last_launcher.as_ref().and_then(|(_, usual)| usual.as_ref());
        let (Some(script), Some(name)) = (
            job.environment.get(launcher::SCRIPT_VARIABLE),
            job.environment.get(launcher::SCRIPT_NAME_VARIABLE).filter(|name| is_below(name)),
        ) else {
            let usual = usual.filter(|usual| !usual.is_script);
            return Ok(Ready {
                folder: None,
                direct: usual.and_then(|usual| direct(usual, job, folder, &[])),
            });
        };
        let file =
            File { path: name.into(), mode: 0o755, modified: None, contents: script.clone().into_bytes() };
        let files = [file];
        create(folder)?;
        let made = fill(folder, &files)?;
        job.environment.remove(launcher::SCRIPT_VARIABLE);
        job.environment.remove(launcher::SCRIPT_NAME_VARIABLE);
        job.environment.insert(launcher::UNPACKED_VARIABLE.to_owned(), path.to_owned());
        let direct = usual.and_then(|usual| direct(usual, job, folder, &files));
        Ok(Ready { folder: Some(made), direct })
    }

    /// The content of a bundle, by the value of its variable; `None` of one that the launcher has
    /// to unpack.
    fn known(
        &mut self,
        bundle: &str,
        fetch: impl FnOnce(&str, &str) -> Option<Vec<u8>>,
    ) -> Option<&Unpacked> {
        if self.last.as_ref().is_none_or(|(last, _)| last != bundle) {
            let archive = match Carried::of([(launcher::BUNDLE_VARIABLE, bundle)])? {
                Carried::Inline(archive) => archive,
                Carried::Script(_) => return None,
                Carried::Fetched { bucket, key } => {
                    let archive = fetch(&bucket, &key)?;
                    // The launcher says what is wrong with a damaged one.
                    if !is_named(&key, &hex::encode(Sha256::digest(&archive))) {
                        return None;
                    }
                    archive
                }
            };
            self.last = Some((bundle.to_owned(), unpacked(&archive).ok().flatten()));
        }
        self.last.as_ref()?.1.as_ref()
    }
}

/// The content of an archive, if it is small and has nothing but files in it.
fn unpacked(archive: &[u8]) -> io::Result<Option<Unpacked>> {
    let mut archive = tar::Archive::new(Limited::new(GzDecoder::new(archive), LARGEST));
    let mut unpacked = Unpacked::default();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if entry.header().entry_type() != tar::EntryType::Regular || !is_below(&path) {
            return Ok(None);
        }
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents)?;
        if path.as_os_str() == START_FILE {
            let Ok(start) = String::from_utf8(contents) else { return Ok(None) };
            unpacked.usual = Usual::of_start(&start);
            unpacked.start = start;
        } else if path.as_os_str() == LINES_FILE {
            let Ok(text) = String::from_utf8(contents) else { return Ok(None) };
            let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect();
            unpacked.lines = Some(IndexedLines { text, ends });
        } else {
            let mode = entry.header().mode()?;
            // Any number can stand there.
            let since = Duration::from_secs(entry.header().mtime()?);
            let Some(modified) = UNIX_EPOCH.checked_add(since) else { return Ok(None) };
            let modified = Some(modified);
            unpacked.files.push(File { path, mode, modified, contents });
        }
    }
    let fits = (1..LARGEST_START).contains(&unpacked.start.len());
    Ok(fits.then_some(unpacked))
}

/// The line of the task that these variables are for.
fn line<'a>(lines: &'a IndexedLines, environment: &BTreeMap<String, String>) -> Option<&'a str> {
    let index = line_index(environment)?;
    let start = match index.checked_sub(1) {
        Some(before) => lines.ends.get(before)? + 1,
        None => 0,
    };
    Some(&lines.text[start..*lines.ends.get(index)?])
}

/// Whether a path stays below the folder that it is relative to.
fn is_below(path: impl AsRef<Path>) -> bool {
    let path = path.as_ref();
    path.file_name().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Makes the folder of a job with these files in it.
fn fill(folder: &Path, files: &[File]) -> io::Result<Folder> {
    let mut made = Folder { path: folder.to_owned(), is: identity(folder)?, files: Vec::new() };
    for file in files {
        let target = folder.join(&file.path);
        match target.parent().filter(|parent| *parent != folder) {
            Some(parent) => fs::create_dir_all(parent)?,
            None => made.files.push(target.clone()),
        }
        let written = write(&target, file.mode, &file.contents)?;
        if let Some(modified) = file.modified {
            written.set_modified(modified)?;
        }
    }
    Ok(made)
}

/// The program that the launcher would start in the end, if it is a shell, or a script whose
/// interpreter exists. All others are left to the launcher, because it says what is wrong with
/// them.
fn direct(usual: &Usual, job: &Command, folder: &Path, files: &[File]) -> Option<Command> {
    let mut environment = job.environment.clone();
    let mut argv = launcher::without_launcher(&job.argv).to_vec();
    // They are quoted for a shell.
    if environment.contains_key(launcher::ARGS_VARIABLE) {
        return None;
    }
    let directory = if usual.is_script { folder } else { job.directory.as_path() };
    let mut set = |name: &str, value: String| environment.insert(name.to_owned(), value);
    let id = job.environment.get("AWS_BATCH_JOB_ID").map_or("", String::as_str);
    let below = match (id.split_once(':'), id.split_once('#')) {
        (Some((job, child)), _) => format!("{job}/{child}"),
        (None, Some((job, node))) => format!("{job}/node-{node}"),
        (None, None) => id.to_owned(),
    };
    set("AWSB_OUTPUT_URL", format!("{}/{below}/", usual.outputs));
    set("PWD", directory.to_str()?.to_owned());
    if usual.is_script {
        set("OLDPWD", job.directory.to_str()?.to_owned());
    }
    if usual.has_tasks {
        let tasks = job.environment.get(launcher::TASKS_VARIABLE)?;
        let task = task(&job.environment)?;
        set("AWSB_TASK_ID", task.to_string());
        if tasks.starts_with("i:") {
            set("AWS_BATCH_JOB_ARRAY_INDEX", task.to_string());
            set(
                "AWS_BATCH_JOB_ARRAY_SIZE",
                job.environment.get("AWSB_TASK_COUNT").cloned().unwrap_or_default(),
            );
        }
    }
    if let Some((is, separator)) = usual.line {
        let line = match separator {
            Some(separator) => {
                let lines = job.environment.get(launcher::LINES_VARIABLE)?;
                let lines = lines.strip_suffix(separator)?;
                lines.split(separator).nth(line_index(&job.environment)?)?.to_owned()
            }
            None => job.environment.get(launcher::LINE_VARIABLE)?.clone(),
        };
        match is {
            LineUse::Argument => argv.iter_mut().for_each(|arg| *arg = arg.replace("{}", &line)),
            LineUse::Command => argv = ["/bin/sh", "-c", &line, "sh"].map(str::to_owned).to_vec(),
        }
        set(launcher::LINE_VARIABLE, line);
    }
    for name in [
        launcher::LINES_VARIABLE,
        launcher::FIRST_LINE_VARIABLE,
        launcher::UNPACKED_VARIABLE,
        launcher::START_VARIABLE,
    ] {
        environment.remove(name);
    }
    let program = argv.first()?;
    let can_start = match program.strip_prefix("./") {
        Some(name) => {
            let script = files.iter().find(|file| usual.is_script && file.path.as_os_str() == name)?;
            has_interpreter(&script.contents)
        }
        None => program == "/bin/sh",
    };
    can_start.then(|| Command { argv, environment, directory: directory.to_owned() })
}

/// Whether a script has a `#!` line and what it names can be executed.
fn has_interpreter(script: &[u8]) -> bool {
    interpreter(script)
        .map(Path::new)
        .filter(|path| path.is_absolute())
        .and_then(|path| fs::metadata(path).ok())
        .is_some_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The ID of the task that these variables are for.
fn task(environment: &BTreeMap<String, String>) -> Option<u32> {
    let tasks = Tasks::from_variable(environment.get(launcher::TASKS_VARIABLE)?).ok()?;
    tasks.ids().get(number(environment, "AWS_BATCH_JOB_ARRAY_INDEX", 0)?)
}

/// Where the line of that task is among the lines.
fn line_index(environment: &BTreeMap<String, String>) -> Option<usize> {
    let first = number(environment, launcher::FIRST_LINE_VARIABLE, 1)?;
    task(environment)?.checked_sub(first).map(|index| index as usize)
}

fn number(environment: &BTreeMap<String, String>, name: &str, default: u32) -> Option<u32> {
    match environment.get(name) {
        Some(text) => text.parse().ok(),
        None => Some(default),
    }
}

fn write(path: &Path, mode: u32, contents: &[u8]) -> io::Result<fs::File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(contents)?;
    // The permissions that the file mode mask has removed.
    file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use awsb_model::WorkDir;
    use awsb_model::payload::Bundle;
    use awsb_model::payload::BundleEntry;
    use awsb_model::payload::launcher::{Plain, Prelude, Transport, command, for_bundle};
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn packed(entries: &[(&str, &str)]) -> Bundle {
        let entries: Vec<BundleEntry<'_>> = entries
            .iter()
            .map(|(path, text)| BundleEntry { path, mode: 0o750, contents: text.as_bytes() })
            .collect();
        Bundle::pack(&[], &entries).unwrap()
    }

    fn job(argv: &[String], pairs: &[(&str, &str)], directory: &Path) -> Command {
        Command { argv: argv.to_vec(), environment: variables(pairs), directory: directory.to_owned() }
    }

    #[test]
    fn a_script_is_a_file_before_its_launcher_starts() {
        let place = tempfile::tempdir().unwrap();
        let prelude = Prelude { outputs: "s3://b/outputs", has_tasks: false, place: &WorkDir::Own };
        let plain = Plain {
            interpreter: Some(OsStr::new("/bin/sh")),
            has_args: false,
            line: None,
            prelude,
            compat: OsStr::new(""),
        };
        let launcher = command(plain.launcher().into_string().unwrap(), vec!["./a.sh".into()]);
        let mut unpacker = Unpacker::default();
        let text =
            [("AWSB_SCRIPT", "#!/bin/sh\n"), ("AWSB_SCRIPT_NAME", "a.sh"), ("AWS_BATCH_JOB_ID", "x:1")];
        let mut seen = job(&launcher, &text, place.path());
        let folder = place.path().join("own");
        let ready = unpacker.ready(&mut seen, &folder, |_, _| None).unwrap();
        let path = folder.to_str().unwrap();
        assert_eq!(seen.environment, variables(&[("AWSB_UNPACKED", path), ("AWS_BATCH_JOB_ID", "x:1")]));
        assert_eq!(fs::read_to_string(folder.join("a.sh")).unwrap(), "#!/bin/sh\n");
        assert_eq!(fs::metadata(folder.join("a.sh")).unwrap().permissions().mode() & 0o7777, 0o755);
        let direct = ready.direct.unwrap();
        assert_eq!((direct.argv, direct.directory), (vec!["./a.sh".to_owned()], folder.clone()));
        assert_eq!(direct.environment["AWSB_OUTPUT_URL"], "s3://b/outputs/x/1/");
        ready.folder.unwrap().remove();
        assert!(!folder.exists());
        // A name that leads elsewhere, and a command that does not know what has been done for it.
        for (command, name) in [(&launcher[..], "../a.sh"), (&launcher[..], ""), (&launcher[4..], "a.sh")] {
            let mut other = job(command, &text, place.path());
            other.environment.insert("AWSB_SCRIPT_NAME".into(), name.into());
            let before = other.clone();
            let folder = place.path().join("other");
            let ready = unpacker.ready(&mut other, &folder, |_, _| None).unwrap();
            assert!(ready.folder.is_none() && ready.direct.is_none());
            assert_eq!(other, before);
            assert!(!folder.exists());
        }
    }

    #[test]
    fn a_folder_that_the_job_has_put_there_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let launcher = command(for_bundle(Transport::Inline), vec!["./a.sh".into()]);
        let bundle = BASE64_STANDARD.encode(packed(&[("a.sh", "x"), (START_FILE, "exec\n")]).bytes());
        let mut seen = job(&launcher, &[("AWSB_BUNDLE", &bundle)], place.path());
        let (folder, other) = (place.path().join("own"), place.path().join("other"));
        let ready = Unpacker::default().ready(&mut seen, &folder, |_, _| None).unwrap();
        fs::rename(&folder, &other).unwrap();
        std::os::unix::fs::symlink(&other, &folder).unwrap();
        ready.folder.unwrap().remove();
        assert!(other.join("a.sh").exists() && folder.exists());
    }

    #[test]
    fn a_task_has_its_line() {
        let place = tempfile::tempdir().unwrap();
        let bundle = packed(&[(LINES_FILE, "one\n\nthree\n"), (START_FILE, "exec\n")]);
        let url = format!("s3://bucket/{}", bundle.key("awsb"));
        let launcher = command(for_bundle(Transport::Fetched), vec![]);
        let mut unpacker = Unpacker::default();
        let mut fetched = 0;
        for (n, (index, first, expected)) in [
            ("0", None, Some("one")),
            ("1", None, Some("")),
            ("2", None, Some("three")),
            ("2", Some("2"), Some("")),
            ("0", Some("2"), None),
            ("3", None, None),
        ]
        .into_iter()
        .enumerate()
        {
            let pairs = [
                ("AWSB_BUNDLE", url.as_str()),
                ("AWSB_BUNDLE_REGION", "local"),
                ("AWSB_TASKS", "1-4"),
                ("AWS_BATCH_JOB_ARRAY_INDEX", index),
            ];
            let mut seen = job(&launcher, &pairs, place.path());
            seen.environment.extend(first.map(|first| ("AWSB_FIRST_LINE".to_owned(), first.to_owned())));
            let folder = place.path().join(n.to_string());
            let ready = unpacker.ready(&mut seen, &folder, |bucket, _| {
                fetched += 1;
                (bucket == "bucket").then(|| bundle.bytes().to_vec())
            });
            assert_eq!(ready.unwrap().folder.is_some(), expected.is_some(), "{index} {first:?}");
            let seen = seen.environment;
            assert_eq!(seen.get("AWSB_TASK_LINE").map(String::as_str), expected, "{index} {first:?}");
            assert_eq!(seen.contains_key("AWSB_BUNDLE"), expected.is_none());
            assert_eq!(folder.exists(), expected.is_some());
        }
        assert_eq!(fetched, 1, "the bundle was the same each time");
    }

    #[test]
    fn what_is_not_known_is_left_to_the_launcher() {
        let place = tempfile::tempdir().unwrap();
        let launcher = command(for_bundle(Transport::Inline), vec!["./a.sh".into()]);
        let mut unpacker = Unpacker::default();
        let mut done = |value: &str, object: Option<&Bundle>| {
            let mut seen = job(&launcher, &[("AWSB_BUNDLE", value)], place.path());
            let folder = place.path().join("own");
            let fetch = |_: &str, _: &str| object.map(|bundle| bundle.bytes().to_vec());
            let done = unpacker.ready(&mut seen, &folder, fetch).unwrap().folder.is_some();
            assert_eq!((folder.exists(), seen.environment.contains_key("AWSB_BUNDLE")), (done, !done));
            let _ = fs::remove_dir_all(folder);
            done
        };
        let inline = |bundle: &Bundle| BASE64_STANDARD.encode(bundle.bytes());
        let good = packed(&[("a.sh", "x"), (START_FILE, "exec\n"), (".awsb-slurm/srun", "y")]);
        assert!(done(&inline(&good), None));
        assert!(!done("no base64!", None) && !done("aGk=", None) && !done("s3://b", None));
        let url = format!("s3://bucket/{}", good.key("awsb"));
        // Not there, damaged, and right.
        assert!(!done(&url, None));
        assert!(!done(&url, Some(&packed(&[("a.sh", "other"), (START_FILE, "exec\n")]))));
        assert!(done(&url, Some(&good)));
        // Without a start, and too large for the memory or for a variable.
        assert!(!done(&inline(&packed(&[("a.sh", "x")])), None));
        let zeros = "0".repeat(5 << 20);
        assert!(!done(&inline(&packed(&[("a.sh", &zeros), (START_FILE, "exec\n")])), None));
        assert!(!done(&inline(&packed(&[(START_FILE, &zeros[..200_000])])), None));
    }

    #[test]
    fn scripts_whose_interpreter_is_there() {
        for good in ["#!/bin/sh\n", "#! /bin/sh -e", "#!\t/bin/sh\t-e x"] {
            assert!(has_interpreter(good.as_bytes()), "{good}");
        }
        for bad in ["", "echo\n", "#!\n", "#!sh\n", "#!/no/such\n", "#!/etc/passwd\n", "#!/bin\n", "\x7fELF"]
        {
            assert!(!has_interpreter(bad.as_bytes()), "{bad}");
        }
    }
}
