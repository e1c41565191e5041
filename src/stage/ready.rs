//! What the launcher would unpack, unpacked by whoever starts the job.
//!
//! On a machine of its own a job's launcher fetches, checks and unpacks what was staged, with the image's `curl`,
//! `sha256sum`, `gzip` and `tar`. Where the children of an array are processes of one machine, that would be the same
//! work for each of them, and take longer than most of them run. A runner of the local cluster does it once, and tells
//! the launcher so. What it cannot do, or does not know, is left to the launcher.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::bundle::hex;
use super::launcher::{self, LINES_FILE, START_FILE};
use super::unpack::{Carried, Limited, is_named};
use crate::job::Tasks;

/// Bytes of an unpacked bundle that are kept in memory; larger ones are left to the launcher.
const LARGEST: u64 = 4 << 20;
/// Bytes of a variable with the start in it (execve(2): 128 KiB).
const LARGEST_START: usize = 100 << 10;

/// Unpacks jobs, one after the other. It remembers the last bundle: the next job often has the same.
#[derive(Debug, Default)]
pub struct Unpacker {
    last: Option<(String, Option<Unpacked>)>,
}

/// The folder of a job that has been unpacked.
#[derive(Debug)]
pub struct Ready {
    folder: PathBuf,
    /// Which folder it was: its file system and its number there.
    is: (u64, u64),
    /// The files that were put into it.
    files: Vec<PathBuf>,
}

impl Ready {
    /// Removes the files that were put there, and the folder if it is empty then. A folder that the job has put into
    /// its place, or a file system that is mounted there, is left alone.
    pub fn remove(self) {
        if identity(&self.folder).is_ok_and(|is| is == self.is) {
            for file in &self.files {
                let _ = fs::remove_file(file);
            }
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

/// What tells a folder from all others; of a link, the link's own.
fn identity(folder: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(folder).map(|found| (found.dev(), found.ino()))
}

/// What is in a bundle.
#[derive(Debug, Default)]
struct Unpacked {
    files: Vec<File>,
    start: String,
    lines: Option<Lines>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    mode: u32,
    modified: SystemTime,
    contents: Vec<u8>,
}

/// Lines, and where each of them ends.
#[derive(Debug)]
struct Lines {
    text: String,
    ends: Vec<usize>,
}

impl Unpacker {
    /// Does the launcher's work for a job with this command and these variables: its files go into `folder`, which is
    /// made, and the variables are what the launcher takes then. `fetch` gets the object of a bucket and a key. Where it
    /// returns `None`, nothing has changed.
    ///
    /// # Errors
    /// When a file cannot be written. The folder may be there then, and the variables are as they were.
    pub fn unpack(
        &mut self,
        command: &[String],
        environment: &mut BTreeMap<String, String>,
        folder: &Path,
        fetch: impl FnOnce(&str, &str) -> Option<Vec<u8>>,
    ) -> io::Result<Option<Ready>> {
        if !launcher::can_be_spared(command) {
            return Ok(None);
        }
        let Some(path) = folder.to_str() else { return Ok(None) };
        let mut files = Vec::new();
        if let Some(script) = environment.get(launcher::SCRIPT_VARIABLE) {
            let Some(name) = environment.get(launcher::SCRIPT_NAME_VARIABLE).filter(|name| is_below(name))
            else {
                return Ok(None);
            };
            make(folder)?;
            files.push(folder.join(name));
            write(&folder.join(name), 0o755, script.as_bytes())?;
            environment.remove(launcher::SCRIPT_VARIABLE);
            environment.remove(launcher::SCRIPT_NAME_VARIABLE);
        } else if let Some(bundle) = environment.get(launcher::BUNDLE_VARIABLE) {
            let Some(unpacked) = self.known(bundle, fetch) else { return Ok(None) };
            let line = match &unpacked.lines {
                Some(lines) => match line(lines, environment) {
                    Some(line) => Some(line.to_owned()),
                    None => return Ok(None),
                },
                None => None,
            };
            make(folder)?;
            for file in &unpacked.files {
                let target = folder.join(&file.path);
                match target.parent().filter(|parent| *parent != folder) {
                    Some(parent) => fs::create_dir_all(parent)?,
                    None => files.push(target.clone()),
                }
                write(&target, file.mode, &file.contents)?.set_modified(file.modified)?;
            }
            environment.insert(launcher::START_VARIABLE.to_owned(), unpacked.start.clone());
            environment.extend(line.map(|line| (launcher::LINE_VARIABLE.to_owned(), line)));
            environment.remove(launcher::BUNDLE_VARIABLE);
            environment.remove(launcher::REGION_VARIABLE);
        } else {
            return Ok(None);
        }
        environment.insert(launcher::UNPACKED_VARIABLE.to_owned(), path.to_owned());
        Ok(Some(Ready { is: identity(folder)?, folder: folder.to_owned(), files }))
    }

    /// The content of a bundle, by the value of its variable; `None` of one that the launcher has to unpack.
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
                    if !is_named(&key, &hex(&Sha256::digest(&archive))) {
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
            unpacked.start = start;
        } else if path.as_os_str() == LINES_FILE {
            let Ok(text) = String::from_utf8(contents) else { return Ok(None) };
            let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect();
            unpacked.lines = Some(Lines { text, ends });
        } else {
            let mode = entry.header().mode()?;
            // Any number can stand there.
            let since = Duration::from_secs(entry.header().mtime()?);
            let Some(modified) = UNIX_EPOCH.checked_add(since) else { return Ok(None) };
            unpacked.files.push(File { path, mode, modified, contents });
        }
    }
    let fits = (1..LARGEST_START).contains(&unpacked.start.len());
    Ok(fits.then_some(unpacked))
}

/// The line of the task that these variables are for.
fn line<'a>(lines: &'a Lines, environment: &BTreeMap<String, String>) -> Option<&'a str> {
    let number = |name: &str, default: u32| match environment.get(name) {
        Some(text) => text.parse().ok(),
        None => Some(default),
    };
    let tasks = Tasks::from_variable(environment.get(launcher::TASKS_VARIABLE)?).ok()?;
    let task = tasks.ids().get(number("AWS_BATCH_JOB_ARRAY_INDEX", 0)?)?;
    let index = task.checked_sub(number(launcher::FIRST_LINE_VARIABLE, 1)?)? as usize;
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

fn make(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(folder)
}

fn write(path: &Path, mode: u32, contents: &[u8]) -> io::Result<fs::File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(contents)?;
    // What the file mode mask has taken.
    file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Bundle;
    use crate::stage::bundle::Entry;
    use crate::stage::launcher::{Carriage, Plain, Prelude, command, for_bundle};
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use std::ffi::OsStr;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn packed(entries: &[(&str, &str)]) -> Bundle {
        let entries: Vec<Entry<'_>> = entries
            .iter()
            .map(|(path, text)| Entry { path, mode: 0o750, contents: text.as_bytes() })
            .collect();
        Bundle::pack(&[], &entries).unwrap()
    }

    #[test]
    fn a_script_is_a_file_before_its_launcher_starts() {
        let place = tempfile::tempdir().unwrap();
        let prelude = Prelude { outputs: "s3://b/outputs", has_tasks: false, place: &crate::job::Place::Own };
        let plain = Plain { is_script: true, line: None, prelude, dialect: OsStr::new("") };
        let launcher = command(plain.launcher().into_string().unwrap(), vec!["./a.sh".into()]);
        let mut unpacker = Unpacker::default();
        let text = variables(&[("AWSB_SCRIPT", "echo hi\n"), ("AWSB_SCRIPT_NAME", "a.sh"), ("A", "1")]);
        let mut seen = text.clone();
        let folder = place.path().join("own");
        let ready = unpacker.unpack(&launcher, &mut seen, &folder, |_, _| None).unwrap().unwrap();
        assert_eq!(seen, variables(&[("AWSB_UNPACKED", folder.to_str().unwrap()), ("A", "1")]));
        assert_eq!(fs::read_to_string(folder.join("a.sh")).unwrap(), "echo hi\n");
        assert_eq!(fs::metadata(folder.join("a.sh")).unwrap().permissions().mode() & 0o7777, 0o755);
        ready.remove();
        assert!(!folder.exists());
        // A name that leads elsewhere, and a command that does not know what has been done for it.
        for (command, name) in [(&launcher[..], "../a.sh"), (&launcher[..], ""), (&launcher[4..], "a.sh")] {
            let mut other = text.clone();
            other.insert("AWSB_SCRIPT_NAME".into(), name.into());
            let before = other.clone();
            let folder = place.path().join("other");
            assert!(unpacker.unpack(command, &mut other, &folder, |_, _| None).unwrap().is_none());
            assert_eq!(other, before);
            assert!(!folder.exists());
        }
    }

    #[test]
    fn a_folder_that_the_job_has_put_there_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let launcher = command(for_bundle(Carriage::Inline), vec!["./a.sh".into()]);
        let bundle = packed(&[("a.sh", "x"), (START_FILE, "exec\n")]);
        let mut seen = variables(&[("AWSB_BUNDLE", &BASE64_STANDARD.encode(bundle.bytes()))]);
        let (folder, other) = (place.path().join("own"), place.path().join("other"));
        let ready = Unpacker::default().unpack(&launcher, &mut seen, &folder, |_, _| None).unwrap().unwrap();
        fs::rename(&folder, &other).unwrap();
        std::os::unix::fs::symlink(&other, &folder).unwrap();
        ready.remove();
        assert!(other.join("a.sh").exists() && folder.exists());
    }

    #[test]
    fn a_task_has_its_line() {
        let place = tempfile::tempdir().unwrap();
        let bundle = packed(&[(LINES_FILE, "one\n\nthree\n"), (START_FILE, "exec\n")]);
        let url = format!("s3://bucket/{}", bundle.key("awsb"));
        let launcher = command(for_bundle(Carriage::Fetched), vec![]);
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
            let mut seen = variables(&[
                ("AWSB_BUNDLE", &url),
                ("AWSB_BUNDLE_REGION", "local"),
                ("AWSB_TASKS", "1-4"),
                ("AWS_BATCH_JOB_ARRAY_INDEX", index),
            ]);
            seen.extend(first.map(|first| ("AWSB_FIRST_LINE".to_owned(), first.to_owned())));
            let folder = place.path().join(n.to_string());
            let done = unpacker.unpack(&launcher, &mut seen, &folder, |bucket, _| {
                fetched += 1;
                (bucket == "bucket").then(|| bundle.bytes().to_vec())
            });
            assert_eq!(done.unwrap().is_some(), expected.is_some(), "{index} {first:?}");
            assert_eq!(seen.get("AWSB_TASK_LINE").map(String::as_str), expected, "{index} {first:?}");
            assert_eq!(seen.contains_key("AWSB_BUNDLE"), expected.is_none());
            assert_eq!(folder.exists(), expected.is_some());
        }
        assert_eq!(fetched, 1, "the bundle was the same each time");
    }

    #[test]
    fn what_is_not_known_is_left_to_the_launcher() {
        let place = tempfile::tempdir().unwrap();
        let launcher = command(for_bundle(Carriage::Inline), vec!["./a.sh".into()]);
        let mut unpacker = Unpacker::default();
        let mut done = |value: &str, object: Option<&Bundle>| {
            let mut seen = variables(&[("AWSB_BUNDLE", value)]);
            let folder = place.path().join("own");
            let done = unpacker
                .unpack(&launcher, &mut seen, &folder, |_, _| object.map(|bundle| bundle.bytes().to_vec()));
            let done = done.unwrap().is_some();
            assert_eq!((folder.exists(), seen.contains_key("AWSB_BUNDLE")), (done, !done));
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
}
