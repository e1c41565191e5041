//! A short TMPDIR for a job of the host.
//!
//! The path of a Unix socket has at most 107 bytes (103 on macOS), and programs make sockets in
//! TMPDIR with names of their own: Python's multiprocessing, ssh-agent, Open MPI. The scratch
//! folder of a job is deep in the local cluster's home, which leaves them too little. So a job's
//! TMPDIR is a link to it, `/tmp/awsb-UID/xxxxxxxx`, which goes with the job.
//!
//! `/tmp` is everybody's: the folder of the links is used only when it is ours, private and no link
//! itself. Where another user has taken its name, a link has a name in `/tmp` that nobody can have
//! foreseen.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use crate::home::files::SCRATCH;

/// Everybody's folder; it has this path on every system.
const ROOT: &str = "/tmp";
/// The digits of a link's name.
const DIGITS: usize = 8;
/// The digits of a scratch folder's name: those of its attempt's ID.
const TASK_DIGITS: usize = 32;
/// How many names are tried.
const TRIES: usize = 8;

/// A job's TMPDIR: the link, or the scratch folder itself where there can be no link. The link goes
/// with this.
#[derive(Debug)]
pub struct TmpDir {
    path: PathBuf,
    is_link: bool,
}

impl TmpDir {
    /// A short path to a scratch folder, which is absolute and is there.
    pub fn to(scratch: &Path) -> Self {
        match link(Path::new(ROOT), scratch) {
            Some(path) => Self { path, is_link: true },
            None => Self { path: scratch.to_owned(), is_link: false },
        }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TmpDir {
    fn drop(&mut self) {
        if self.is_link
            && let Err(e) = fs::remove_file(&self.path)
            && e.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("removing {}: {e}", self.path.display());
        }
    }
}

/// Makes a link to a folder; `None` where none can be made that is safe.
fn link(root: &Path, target: &Path) -> Option<PathBuf> {
    if !is_safe_root(root) {
        return None;
    }
    let folder = folder_of_links(root);
    let is_ours = make_private(&folder);
    for _ in 0..TRIES {
        let digits = uuid::Uuid::new_v4().simple().to_string();
        let digits = digits.get(..DIGITS)?;
        let path = match is_ours {
            true => folder.join(digits),
            false => beside(&folder, digits),
        };
        // Never follows or replaces what has this name.
        match symlink(target, &path) {
            Ok(()) => return Some(path),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) => return None,
        }
    }
    None
}

/// The folder of our links.
fn folder_of_links(root: &Path) -> PathBuf {
    root.join(format!("awsb-{}", me()))
}

/// The name of a link where the folder is not ours: `/tmp/awsb-UID-xxxxxxxx`.
fn beside(folder: &Path, digits: &str) -> PathBuf {
    let mut path = folder.as_os_str().to_owned();
    path.push("-");
    path.push(digits);
    path.into()
}

/// Whether nobody else can rename or remove what we have there: the folder has the sticky bit, or
/// only we can write to it.
fn is_safe_root(root: &Path) -> bool {
    const STICKY: u32 = 0o1000;
    fs::metadata(root).is_ok_and(|meta| {
        let is_trusted = meta.uid() == 0 || meta.uid() == me();
        meta.is_dir() && is_trusted && (meta.mode() & STICKY != 0 || meta.mode() & 0o022 == 0)
    })
}

/// Makes the folder of the links, if it is not there. Says whether it is ours and private.
fn make_private(folder: &Path) -> bool {
    let is_private = || {
        // Not what a link leads to.
        fs::symlink_metadata(folder)
            .is_ok_and(|meta| meta.is_dir() && meta.uid() == me() && meta.mode() & 0o777 == 0o700)
    };
    is_private() || (DirBuilder::new().mode(0o700).create(folder).is_ok() && is_private())
}

fn me() -> u32 {
    nix::unistd::Uid::effective().as_raw()
}

/// The link to a scratch folder that the attempt has as its TMPDIR. `None`: it has none.
pub fn tmpdir_of(scratch: &Path) -> Option<PathBuf> {
    let root = Path::new(ROOT);
    links(root).into_iter().find(|path| fs::read_link(path).is_ok_and(|target| target == scratch))
}

/// Removes the links that attempts have left which ended with their runner. Of all that is in
/// `/tmp`, only links are removed that are ours, have a name that we give, and lead to what looks
/// like a scratch folder: one that is not there, or one of this home whose attempt does not run.
pub fn sweep_links(home: &Path, runs: impl Fn(&str) -> bool) {
    sweep(Path::new(ROOT), home, &runs);
}

/// All paths that have the name of a link of ours.
fn links(root: &Path) -> Vec<PathBuf> {
    let folder = folder_of_links(root);
    let mut found = Vec::new();
    // Files in a folder of somebody else are not this cluster's either.
    if fs::symlink_metadata(&folder).is_ok_and(|meta| meta.is_dir() && meta.uid() == me()) {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| entry.path()).filter(|path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| is_hex(name, DIGITS))
        }));
    }
    let begin = format!("awsb-{}-", me());
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    found.extend(entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_prefix(&begin)).is_some_and(|digits| is_hex(digits, DIGITS))
    }));
    found
}

fn sweep(root: &Path, home: &Path, runs: &dyn Fn(&str) -> bool) {
    let scratch = home.canonicalize().unwrap_or_else(|_| home.to_owned()).join(SCRATCH);
    for path in links(root) {
        if is_left_over(&path, &scratch, runs)
            && let Err(e) = fs::remove_file(&path)
            && e.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("removing {}: {e}", path.display());
        }
    }
}

fn is_left_over(link: &Path, scratch: &Path, runs: &dyn Fn(&str) -> bool) -> bool {
    let is_our_link =
        fs::symlink_metadata(link).is_ok_and(|meta| meta.file_type().is_symlink() && meta.uid() == me());
    let target = fs::read_link(link).ok().filter(|_| is_our_link);
    let Some((folder, attempt_id)) = target.as_deref().and_then(|target| {
        Some((target.parent()?, target.file_name()?.to_str().filter(|name| is_hex(name, TASK_DIGITS))?))
    }) else {
        return false;
    };
    let is_gone = || fs::symlink_metadata(folder.join(attempt_id)).is_err_and(|e| is_missing(&e));
    folder.ends_with(SCRATCH) && if folder == scratch { !runs(attempt_id) } else { is_gone() }
}

fn is_missing(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210";

    /// A `/tmp` of its own, and a home with a scratch folder for an attempt.
    fn places() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (root, home) = (dir.path().join("tmp"), dir.path().join("home"));
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o1777)).unwrap();
        fs::create_dir_all(home.join(SCRATCH).join(A)).unwrap();
        let home = home.canonicalize().unwrap();
        (dir, root, home)
    }

    fn count_links(folder: &Path) -> usize {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink())).count()
    }

    #[test]
    fn a_socket_of_32_more_characters_fits() {
        let longest = Path::new(ROOT).join(format!("awsb-{}-{}", u32::MAX, "0".repeat(DIGITS)));
        assert!(longest.as_os_str().len() + 1 + 32 <= 103);
    }

    #[test]
    fn the_folder_of_the_links_is_ours_alone() {
        let (_dir, root, home) = places();
        let scratch = home.join(SCRATCH).join(A);
        let first = link(&root, &scratch).unwrap();
        let folder = folder_of_links(&root);
        assert_eq!(first.parent(), Some(folder.as_path()));
        assert_eq!(fs::read_link(&first).unwrap(), scratch);
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        // Another name for each.
        assert_ne!(link(&root, &scratch), Some(first));
    }

    #[test]
    fn a_folder_that_is_not_private_is_not_used() {
        let spoilt: [fn(&Path, &Path); 4] = [
            |folder, _| {
                fs::create_dir(folder)
                    .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o777)))
                    .unwrap()
            },
            // A link to a folder of ours that is private.
            |folder, home| symlink(home, folder).unwrap(),
            |folder, _| fs::write(folder, "").unwrap(),
            |folder, _| {
                fs::create_dir(folder).unwrap();
                fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
                if nix::unistd::Uid::effective().is_root() {
                    std::os::unix::fs::chown(folder, Some(65_534), None).unwrap();
                } else {
                    fs::set_permissions(folder, fs::Permissions::from_mode(0o750)).unwrap();
                }
            },
        ];
        for (n, spoil) in spoilt.into_iter().enumerate() {
            let (_dir, root, home) = places();
            fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
            let folder = folder_of_links(&root);
            spoil(&folder, &home);
            let made = link(&root, &home.join(SCRATCH).join(A)).unwrap();
            assert_eq!(made.parent(), Some(root.as_path()), "{n}");
            assert_eq!((count_links(&folder), count_links(&home)), (0, 0), "{n}");
            // Such a link is found, too.
            sweep(&root, &home, &|_| false);
            assert!(fs::symlink_metadata(&made).is_err(), "{n}");
        }
    }

    #[test]
    fn where_others_could_rename_it_there_is_no_link() {
        let (_dir, root, home) = places();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(link(&root, &home.join(SCRATCH).join(A)), None);
        assert_eq!(link(&root.join("none"), &home.join(SCRATCH).join(A)), None);
    }

    #[test]
    fn a_sweep_takes_what_is_left_over_and_nothing_else() {
        let (dir, root, home) = places();
        let ours = home.join(SCRATCH);
        let others = dir.path().join("other").join(SCRATCH);
        fs::create_dir_all(others.join(A)).unwrap();
        let folder = folder_of_links(&root);
        assert!(make_private(&folder));
        let make = |name: &str, target: &Path| symlink(target, folder.join(name)).unwrap();
        make("00000001", &ours.join(A));
        make("00000002", &ours.join(B));
        make("00000003", &others.join(A));
        make("00000004", &others.join(B));
        // Names that are not this cluster's, or links that lead elsewhere, with or without a
        // target.
        make("mine", &ours.join(B));
        make("0000000G", &ours.join(B));
        make("00000005", &dir.path().join("thesis"));
        make("00000006", &home);
        make("00000007", &others.join("notes"));
        fs::write(folder.join("00000008"), "x").unwrap();
        fs::create_dir(folder.join("00000009")).unwrap();
        sweep(&root, &home, &|attempt_id| attempt_id == A);
        let mut left: Vec<String> =
            fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(
            left,
            [
                "00000001", "00000003", "00000005", "00000006", "00000007", "00000008", "00000009",
                "0000000G", "mine"
            ]
        );
        // The attempt has ended.
        sweep(&root, &home, &|_| false);
        assert!(fs::symlink_metadata(folder.join("00000001")).is_err());
        assert!(ours.join(A).is_dir());
    }

    #[test]
    fn a_link_goes_with_its_owner() {
        let (_dir, root, home) = places();
        let path = link(&root, &home.join(SCRATCH).join(A)).unwrap();
        drop(TmpDir { path: path.clone(), is_link: true });
        assert!(fs::symlink_metadata(&path).is_err());
        let scratch = home.join(SCRATCH).join(A);
        drop(TmpDir { path: scratch.clone(), is_link: false });
        assert!(scratch.is_dir());
    }
}
