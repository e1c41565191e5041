//! The contents of a home: the mark that identifies it, the names of its files, and their removal.
//!
//! A server sweeps and a reset removes. Both must never touch what somebody else has put into the
//! folder, so that they go by two rules. A folder is a home only when it was empty when it became
//! one, which its mark says. And nothing is removed unless its name is one that this program gives.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::files::{
    COMMITS_SUFFIX, CONTAINERS, DATABASES, LOGS, OBJECTS, RUNNER_FILE_KINDS, RUNNERS, SCRATCH, SERVER_LOCK,
    START_LOCK,
};

/// The content of the lock that guards starts, which is the mark of a home: it is there from the
/// start and outlives a reset.
const MARK: &[u8] =
    b"awsb local cluster\nThis file marks the folder as the home of a local cluster of awsb (`blocal`).\n";

/// The first line of [`MARK`]: later versions may say more.
const FIRST_LINE: usize = 19;

/// A folder that the root of a file system may have. It does not make the folder foreign.
const LOST_AND_FOUND: &str = "lost+found";

/// The kind of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folder {
    /// Nobody's: there is nothing in it, or the mark has just been begun.
    Empty,
    /// A home.
    Home,
    /// Somebody's, with some names of what is there.
    Foreign(Vec<String>),
}

/// Finds out the kind of a folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn examine(folder: &Path) -> io::Result<Folder> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != LOST_AND_FOUND {
            names.push(name);
        }
    }
    // The mark is read after the names: a tool that makes a home at this moment writes the mark
    // first.
    let mark = mark(folder)?;
    if mark.as_ref().is_some_and(|mark| mark.starts_with(&MARK[..FIRST_LINE])) {
        return Ok(Folder::Home);
    }
    // A disk that is full has room for an empty file. Homes of earlier versions have an empty one,
    // too.
    let is_begun = mark.as_ref().is_some_and(|mark| MARK.starts_with(mark));
    if names.is_empty() || (is_begun && names.iter().all(|name| name == START_LOCK)) {
        return Ok(Folder::Empty);
    }
    if is_of_an_earlier_version(folder, &names, is_begun) {
        return Ok(Folder::Home);
    }
    names.sort();
    names.truncate(3);
    Ok(Folder::Foreign(names))
}

/// Marks a folder as a home.
///
/// # Errors
/// When the mark cannot be written.
pub fn set_mark(folder: &Path) -> io::Result<()> {
    if mark(folder)?.is_some_and(|mark| mark.starts_with(&MARK[..FIRST_LINE])) {
        return Ok(());
    }
    let mut options = fs::OpenOptions::new();
    // Not truncated: many tools may write the same at once.
    let file = open_to_write(options.create(true).write(true).truncate(false), &folder.join(START_LOCK))?;
    file.write_all_at(MARK, 0)
}

/// Opens a file of a home for writing, with options that do not truncate it. Only this user can
/// read it. A link in its place is not followed, and a file that has another name elsewhere is not
/// written to.
///
/// # Errors
/// When it cannot be opened, or is not a file of the home alone.
pub fn open_to_write(options: &mut fs::OpenOptions, path: &Path) -> io::Result<File> {
    let file = open_with(options, path)?;
    match has_another_name(&file.metadata()?) {
        true => Err(io::Error::other(HARD_LINK)),
        false => Ok(file),
    }
}

/// Opens a file of a home for reading; a link in its place is not followed.
///
/// # Errors
/// When it cannot be opened, is a link, or is something that is not a file, such as a FIFO.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(fs::OpenOptions::new().read(true), path)
}

/// The other end of a FIFO in the place of a file is not waited for (open(2)). A file knows no such
/// waiting.
fn open_with(options: &mut fs::OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = options.mode(0o600).custom_flags(flags.bits()).open(path)?;
    let meta = file.metadata()?;
    // To read a folder fails with a kind of error of its own.
    match meta.is_file() || meta.is_dir() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a file")),
    }
}

/// The error for a file that [has another name](has_another_name).
const HARD_LINK: &str = "it has another name elsewhere (a hard link), where each change would show";

/// Whether a file is also in another place, under another name.
fn has_another_name(meta: &fs::Metadata) -> bool {
    meta.is_file() && meta.nlink() > 1
}

/// Reads a file of a home. A link in its place is not followed.
///
/// # Errors
/// When it cannot be read, or is a link.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file whole or not at all, for this user's eyes only.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let _ = fs::remove_file(&new);
    let write = || {
        let mut file = open_to_write(OpenOptions::new().create_new(true).write(true), &new)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    let Err(e) = write() else { return Ok(()) };
    let _ = fs::remove_file(&new);
    // On a full disk there is room for what takes the place of what is there: one write, and blanks
    // at its end.
    match fs::symlink_metadata(path) {
        Ok(old) if e.kind() == io::ErrorKind::StorageFull && old.is_file() && old.len() > 0 => {
            let mut text = text.to_vec();
            text.resize(text.len().max(usize::try_from(old.len()).unwrap_or(0)), b' ');
            open_to_write(OpenOptions::new().write(true), path)?.write_all_at(&text, 0)
        }
        _ => Err(e),
    }
}

/// Checks that nothing else stands at a path of the home: the server would write through a link,
/// and cannot use a folder as a file, or a file as a folder.
///
/// # Errors
/// With words that name the path.
pub fn check_place(path: &Path, is_to_be_folder: bool) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(meta) if !is_to_be_folder && has_another_name(&meta) => {
            return Err(io::Error::other(format!("{}: {HARD_LINK}", path.display())));
        }
        Ok(meta) => meta.file_type(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
    };
    let (is, wanted) = match (kind, is_to_be_folder) {
        (kind, _) if kind.is_symlink() => {
            ("a symbolic link", if is_to_be_folder { "folder" } else { "file" })
        }
        (kind, true) if !kind.is_dir() => ("not a folder", "folder"),
        (kind, false) if kind.is_dir() => ("a folder", "file"),
        // A socket is removed before a new one is made.
        (kind, false) if !kind.is_file() && !kind.is_socket() => ("not a file", "file"),
        _ => return Ok(()),
    };
    Err(io::Error::other(format!(
        "{} is {is}, where the local cluster has a {wanted} of its own",
        path.display()
    )))
}

/// The content of the mark's file; `None` when it does not exist, or is not a file.
fn mark(folder: &Path) -> io::Result<Option<Vec<u8>>> {
    let path = folder.join(START_LOCK);
    match fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    }
    let mut text = Vec::new();
    File::open(&path)?.take(4096).read_to_end(&mut text)?;
    Ok(Some(text))
}

/// Whether a folder is a home that was made before there was a mark, or whose mark was lost: it has
/// the locks of a home, all its folders, and nothing but names of ours in these. After a reset it
/// had the lock alone.
fn is_of_an_earlier_version(folder: &Path, names: &[String], has_start_lock: bool) -> bool {
    if has_start_lock && names.iter().all(|name| [START_LOCK, CONTAINERS].contains(&name.as_str())) {
        return true;
    }
    let lock = folder.join(SERVER_LOCK);
    let is_server_lock = || {
        fs::symlink_metadata(&lock).is_ok_and(|meta| meta.is_file() && meta.len() <= 20)
            && fs::read(&lock).is_ok_and(|pid| pid.iter().all(u8::is_ascii_digit))
    };
    (has_start_lock || is_server_lock())
        && [RUNNERS, SCRATCH, LOGS, OBJECTS].iter().all(|name| {
            let of_ours = |entry: io::Result<fs::DirEntry>| {
                entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(|n| is_name_in(name, n)))
            };
            let path = folder.join(name);
            is_folder(&path) && fs::read_dir(&path).is_ok_and(|mut entries| entries.all(of_ours))
        })
}

/// Whether this is a name that this program gives in one of a home's folders.
pub fn is_name_in(folder: &str, name: &str) -> bool {
    match folder {
        OBJECTS | SCRATCH => is_id(name),
        LOGS => is_hex(name, 2),
        RUNNERS => {
            let is_count = |database: &str| DATABASES.contains(&database);
            name.strip_suffix(COMMITS_SUFFIX).is_some_and(is_count)
                || name
                    .split_once('.')
                    .is_some_and(|(id, kind)| is_id(id) && RUNNER_FILE_KINDS.contains(&kind))
        }
        _ => false,
    }
}

/// Whether this is one of the random names that this program gives: 32 hexadecimal digits.
pub fn is_id(name: &str) -> bool {
    is_hex(name, 32)
}

fn is_hex(name: &str, digits: usize) -> bool {
    name.len() == digits && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether this is a folder, and not a link to one: the target of a link is not in the home.
pub fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// The files that remain when a home is cleared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remaining {
    /// Files that do not belong to the local cluster.
    pub others: Vec<PathBuf>,
    /// Files that could not be removed, with the reasons.
    pub failed: Vec<String>,
}

impl Remaining {
    fn failed(&mut self, path: &Path, e: &io::Error) {
        self.failed.push(format!("{}: {e}", path.display()));
    }
}

/// Empties one of a home's folders and removes it. Files of the local cluster are removed; others
/// stay and are added to `left`. A link is removed, and not its target.
pub fn clear_folder(home: &Path, folder: &str, left: &mut Remaining) {
    let path = home.join(folder);
    if !is_folder(&path) {
        return remove(&path, left);
    }
    for entry in entries(&path, left) {
        let name = entry.file_name();
        match name.to_str().filter(|name| is_name_in(folder, name)) {
            Some(_) if folder == LOGS && is_folder(&entry.path()) => clear_logs(&entry.path(), left),
            Some(_) if folder == SCRATCH => {
                if let Err(e) = remove_tree(&entry.path()) {
                    left.failed(&entry.path(), &e);
                }
            }
            Some(_) => remove(&entry.path(), left),
            None => left.others.push(entry.path()),
        }
    }
    remove_if_empty(&path, left);
}

fn clear_logs(path: &Path, left: &mut Remaining) {
    for entry in entries(path, left) {
        match entry.file_name().to_str().is_some_and(|name| is_hex(name, 62)) {
            true => remove(&entry.path(), left),
            false => left.others.push(entry.path()),
        }
    }
    remove_if_empty(path, left);
}

fn entries(path: &Path, left: &mut Remaining) -> Vec<fs::DirEntry> {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().collect(),
        Err(e) => {
            left.failed(path, &e);
            Vec::new()
        }
    }
}

/// Removes a file, a socket or a link; a folder that has the name of one is somebody else's.
pub fn remove(path: &Path, left: &mut Remaining) {
    if is_folder(path) {
        return left.others.push(path.to_owned());
    }
    if let Err(e) = fs::remove_file(path)
        && e.kind() != io::ErrorKind::NotFound
    {
        left.failed(path, &e);
    }
}

/// Removes what stands in place of a file of the home's own. A folder that is empty holds nothing
/// of anybody's, and would be in the way of the next start.
pub fn remove_in_place(path: &Path, left: &mut Remaining) {
    if !is_folder(path) || fs::remove_dir(path).is_err() {
        remove(path, left);
    }
}

fn remove_if_empty(path: &Path, left: &mut Remaining) {
    match fs::remove_dir(path) {
        // Its remaining files have been reported.
        Err(e) if [io::ErrorKind::NotFound, io::ErrorKind::DirectoryNotEmpty].contains(&e.kind()) => {}
        Err(e) => left.failed(path, &e),
        Ok(()) => {}
    }
}

/// Removes a folder of a job with everything in it. Links in it are removed, and not their targets.
/// A folder in which another file system is mounted stays as it is, because its content is not the
/// job's.
///
/// # Errors
/// When not all of it could be removed.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    // Most jobs leave theirs empty, and that is one call.
    match fs::remove_dir(path) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return fs::remove_file(path),
        Err(_) => {}
    }
    if let Some(mount) = mounted_within(path) {
        return Err(io::Error::other(format!("a file system is mounted at {}", mount.display())));
    }
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            // A job may have made folders that not even their owner may change.
            open_up(path);
            fs::remove_dir_all(path)
        }
        other => other,
    }
}

/// Makes every folder in a tree one that its owner may change.
fn open_up(folder: &Path) {
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Where in a folder another file system is mounted, or a part of one.
#[cfg(target_os = "linux")]
fn mounted_within(folder: &Path) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let folder = folder.canonicalize().ok()?;
    let table = fs::read("/proc/self/mountinfo").ok()?;
    // proc_pid_mountinfo(5): the fifth field is the mount point; blanks and the like are octal
    // escapes.
    let points = table.split(|b| *b == b'\n').filter_map(|line| line.split(|b| *b == b' ').nth(4));
    points
        .map(|point| PathBuf::from(std::ffi::OsString::from_vec(unescaped(point))))
        .find(|point| point.starts_with(&folder))
}

/// The same where no such table exists: a folder on another device.
#[cfg(not(target_os = "linux"))]
fn mounted_within(folder: &Path) -> Option<PathBuf> {
    fn look(folder: &Path, device: u64) -> Option<PathBuf> {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                match meta.dev() == device {
                    true => {
                        if let Some(found) = look(&entry.path(), device) {
                            return Some(found);
                        }
                    }
                    false => return Some(entry.path()),
                }
            }
        }
        None
    }
    look(folder, fs::symlink_metadata(folder).ok()?.dev())
}

/// A field of the table of mounts without its escapes: `\040` is a blank.
#[cfg(target_os = "linux")]
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code = rest.get(1..4).filter(|_| *first == b'\\').and_then(|d| std::str::from_utf8(d).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            match name.ends_with('/') {
                true => fs::create_dir_all(path).unwrap(),
                false => {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, "").unwrap();
                }
            }
        }
        dir
    }

    fn is(names: &[&str]) -> Folder {
        examine(folder(names).path()).unwrap()
    }

    #[test]
    fn a_folder_is_nobodys_when_nothing_is_in_it() {
        assert_eq!(is(&[]), Folder::Empty);
        assert_eq!(is(&["lost+found/"]), Folder::Empty);
        assert_eq!(is(&[START_LOCK]), Folder::Empty, "the mark has been begun");
        assert_eq!(is(&["thesis.tex"]), Folder::Foreign(vec!["thesis.tex".to_owned()]));
        assert_eq!(is(&[".git/"]), Folder::Foreign(vec![".git".to_owned()]));
        let names_of_ours = ["objects/thesis.tex", "logs/r.txt", "scratch/sub/d2"];
        let foreign = ["logs", "objects", "scratch"].map(str::to_owned).to_vec();
        assert_eq!(is(&names_of_ours), Folder::Foreign(foreign));
        assert!(matches!(is(&["a", START_LOCK]), Folder::Foreign(_)), "a lock of somebody's");
    }

    #[test]
    fn the_mark_makes_a_folder_a_home_whatever_is_added() {
        let dir = folder(&[]);
        set_mark(dir.path()).unwrap();
        set_mark(dir.path()).unwrap();
        assert_eq!(fs::read(dir.path().join(START_LOCK)).unwrap(), MARK);
        fs::write(dir.path().join("thesis.tex"), "").unwrap();
        assert_eq!(examine(dir.path()).unwrap(), Folder::Home);
        // A link to the mark of another home marks nothing.
        let other = folder(&["thesis.tex"]);
        std::os::unix::fs::symlink(dir.path().join(START_LOCK), other.path().join(START_LOCK)).unwrap();
        assert!(matches!(examine(other.path()).unwrap(), Folder::Foreign(_)));
    }

    #[test]
    fn homes_of_earlier_versions_are_known_by_their_locks_and_names() {
        let four = ["runners/", "scratch/", "logs/", "objects/"];
        let with = |more: &[&str]| is(&[&four[..], more].concat());
        assert_eq!(with(&[START_LOCK, "settings.json"]), Folder::Home, "no server has run yet");
        assert_eq!(with(&[SERVER_LOCK, "batch.db"]), Folder::Home, "served in the foreground");
        assert_eq!(with(&[START_LOCK, "notes-of-mine"]), Folder::Home);
        assert_eq!(with(&[START_LOCK, &format!("objects/{ID}"), "logs/0f/x"]), Folder::Home);
        let of_a_runner = RUNNER_FILE_KINDS.map(|kind| format!("runners/{ID}.{kind}"));
        assert_eq!(
            with(&[&[START_LOCK], &of_a_runner.each_ref().map(String::as_str)[..]].concat()),
            Folder::Home
        );
        assert!(matches!(with(&[]), Folder::Foreign(_)));
        assert!(matches!(with(&[START_LOCK, "objects/thesis.tex"]), Folder::Foreign(_)));
        assert!(matches!(with(&[SERVER_LOCK, "scratch/sub/"]), Folder::Foreign(_)));
        assert!(matches!(is(&[START_LOCK, SERVER_LOCK, "logs/"]), Folder::Foreign(_)));
        // A reset has left no more than this.
        assert_eq!(is(&[START_LOCK, CONTAINERS]), Folder::Home);
    }

    #[test]
    fn what_has_no_name_of_ours_stays() {
        let home = folder(&[
            &format!("objects/{ID}"),
            "objects/thesis.tex",
            &format!("objects/{}", &ID[1..]),
            "logs/0a/notes",
            "logs/r.txt",
            &format!("logs/0b/{}", &[ID, ID].concat()[..62]),
            "scratch/mine/sub",
            &format!("scratch/{ID}/deep/file"),
            "elsewhere/kept",
        ]);
        let at = |path: &str| home.path().join(path);
        std::os::unix::fs::symlink(at("elsewhere"), at(&format!("scratch/{ID}/deep/link"))).unwrap();
        std::os::unix::fs::symlink(at("elsewhere"), at(&format!("scratch/{}", ID.replace('0', "1"))))
            .unwrap();
        std::os::unix::fs::symlink(at("elsewhere"), at(RUNNERS)).unwrap();
        let mut left = Remaining::default();
        for folder in [OBJECTS, LOGS, SCRATCH, RUNNERS] {
            clear_folder(home.path(), folder, &mut left);
        }
        let there = ["objects/thesis.tex", &format!("objects/{}", &ID[1..]), "logs/0a/notes", "logs/r.txt"];
        for path in there.into_iter().chain(["scratch/mine/sub", "elsewhere/kept"]) {
            assert!(at(path).exists(), "{path}");
        }
        for path in [format!("objects/{ID}"), "logs/0b".to_owned(), format!("scratch/{ID}")] {
            assert!(!at(&path).exists(), "{path}");
        }
        assert!(fs::symlink_metadata(at(RUNNERS)).is_err());
        left.others.sort();
        let mut wanted: Vec<PathBuf> = there.iter().chain(&["scratch/mine"]).map(|path| at(path)).collect();
        wanted.sort();
        assert_eq!(left, Remaining { others: wanted, failed: Vec::new() });
    }

    #[test]
    fn a_jobs_folder_goes_whatever_the_job_has_made_of_it() {
        let dir = folder(&["job/a/b/file", "job/closed/file"]);
        for path in ["job/a/b", "job/a", "job/closed"] {
            fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove_tree(&dir.path().join("job")).unwrap();
        assert!(!dir.path().join("job").exists());
        remove_tree(&dir.path().join("job")).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn mounts_are_read_as_the_kernel_writes_them() {
        assert_eq!(unescaped(br"/a\040b\134c\011"), b"/a b\\c\t");
        assert_eq!(unescaped(br"/a\9"), br"/a\9");
        assert!(mounted_within(Path::new("/")).is_some());
        assert_eq!(mounted_within(tempfile::tempdir().unwrap().path()), None);
    }
}
