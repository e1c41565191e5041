//! The home of a local cluster: one folder, mode 0700, with everything that it keeps.
//!
//! ```text
//! settings.json   its size and how long it remembers, where that has been set
//! endpoint.json   where the server listens (machine and port), its pid and its credentials (0600)
//! containers.json what there is of this home on Docker engines
//! start.lock      held by a tool while it starts the server, so that many tools start only one;
//!                 its content marks a home
//! server.lock     held by the server as long as it lives: a reused process ID cannot fake it
//! server.sock     where runners and `blocal` talk to the server
//! server.log      the log of a server in the background; server.log.1 has the part before it, and
//!                 server.log.new becomes the next one
//! batch.db        jobs, attempts, job definitions (SQLite); batch.db-commits has the number of
//!                 commits
//! objects.db      buckets and the index of objects (SQLite); objects/ has their content
//! logs/           a file for each log stream of a job
//! logs.db         what PutLogEvents has stored (SQLite)
//! reserve         takes space that is given up when the disk is full, so that ends of jobs can be
//!                 recorded
//! runners/        journal and lock of each runner; a copy of each number of commits
//! scratch/        the working directory of each job that runs
//! ```

pub mod contents;
pub mod endpoint;
pub mod files;
pub mod host_id;
pub mod settings;
pub mod space;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use self::contents::{Folder, Remaining, open_to_write, write_private};
use self::endpoint::Endpoint;
use self::files::{
    BESIDE, COMMITS_SUFFIX, CONTAINERS, DATABASES, ENDPOINT, FOLDERS, HOME_VARIABLE, LEFT_BY_EARLIER, OURS,
    RUNNERS, SERVER_LOCK, START_LOCK,
};
use crate::error::LocalError;

/// The folder of one local cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// The home that the environment names: `AWSB_LOCAL_HOME`, else `awsb/local` in
    /// `XDG_STATE_HOME` or in `~/.local/state`. Nothing is created.
    ///
    /// # Errors
    /// When none of the three variables says where.
    pub fn find() -> Result<Self, LocalError> {
        Self::from_variables(|name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from))
    }

    /// One at this path.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    fn from_variables(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Self, LocalError> {
        if let Some(path) = variable(HOME_VARIABLE) {
            let path = std::path::absolute(&path)
                .map_err(|e| LocalError::usage(format!("{HOME_VARIABLE}={}: {e}", path.display())))?;
            return Ok(Self { path });
        }
        // The XDG specification: a relative path is invalid and to be ignored.
        let state = variable("XDG_STATE_HOME")
            .filter(|p| p.is_absolute())
            .or_else(|| variable("HOME").filter(|p| p.is_absolute()).map(|home| home.join(".local/state")));
        match state {
            Some(state) => Ok(Self { path: state.join("awsb/local") }),
            None => Err(LocalError::failed(
                "finding the local cluster's home: HOME is not set to an absolute path",
            )
            .hint(format!("set {HOME_VARIABLE} to a folder of your own"))),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder and its initial contents. An existing folder is taken when it is empty or a
    /// home, with any mode, and never when it holds somebody's files.
    ///
    /// # Errors
    /// When it cannot be made, belongs to another user, or holds other things.
    pub fn create(&self) -> Result<(), LocalError> {
        let failure = |e: &io::Error| {
            let doing = format!("making the local cluster's home {}", self.path.display());
            space::failure(&self.path, &doing, e)
        };
        let failed = |e: io::Error| failure(&e).hint(format!("set {HOME_VARIABLE} to another folder"));
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(failed)?;
        let meta = fs::metadata(&self.path).map_err(failed)?;
        if !is_ours(&meta) {
            return Err(failed(io::Error::other("the folder belongs to another user")));
        }
        let folder = contents::examine(&self.path).map_err(failed)?;
        if let Folder::Foreign(names) = &folder {
            return Err(self.foreign("making", names));
        }
        if meta.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        self.check_places().map_err(|e| {
            failure(&e).hint(format!(
                "nothing has been changed; move it away, or set {HOME_VARIABLE} to another folder"
            ))
        })?;
        match contents::set_mark(&self.path) {
            // A home that has been one for long is known without the mark: a full disk does not
            // matter.
            Err(e) if folder == Folder::Empty => return Err(failed(e)),
            _ => {}
        }
        for folder in FOLDERS {
            DirBuilder::new().recursive(true).mode(0o700).create(self.path.join(folder)).map_err(failed)?;
        }
        Ok(())
    }

    /// Checks that only our own files and folders are at the paths where these belong.
    fn check_places(&self) -> io::Result<()> {
        for ours in OURS.iter().chain(&[CONTAINERS, START_LOCK]) {
            let is_folder = FOLDERS.contains(ours);
            for suffix in if is_folder { &BESIDE[..1] } else { &BESIDE[..] } {
                contents::check_place(&self.path.join(format!("{ours}{suffix}")), is_folder)?;
            }
        }
        for database in DATABASES {
            let copy = format!("{RUNNERS}/{database}{COMMITS_SUFFIX}");
            contents::check_place(&self.path.join(copy), false)?;
        }
        Ok(())
    }

    /// Whether there is anything of a local cluster in this folder, which is there.
    ///
    /// # Errors
    /// When the folder is somebody else's, or cannot be read.
    pub fn is_home(&self) -> Result<bool, LocalError> {
        match contents::examine(&self.path) {
            Ok(Folder::Empty) => Ok(false),
            Ok(Folder::Home) => Ok(true),
            Ok(Folder::Foreign(names)) => Err(self.foreign("resetting", &names)),
            Err(e) => Err(LocalError::failed(format!("reading {}: {e}", self.path.display()))),
        }
    }

    /// The error for a folder that holds somebody's files.
    fn foreign(&self, doing: &str, names: &[String]) -> LocalError {
        LocalError::failed(format!(
            "{doing} the local cluster's home {}: the folder is not a home of a local cluster and holds other \
             files, such as {}",
            self.path.display(),
            names.join(", ")
        ))
        .hint(format!("nothing has been changed; set {HOME_VARIABLE} to another folder that is empty or \
                       does not exist yet"))
    }

    /// Checks that the folder can be trusted: no other user can have put anything there. `false`
    /// when there is no folder.
    ///
    /// # Errors
    /// When it is another user's, or others can write to it.
    pub fn check(&self) -> Result<bool, LocalError> {
        let failed = |why: &str| {
            LocalError::failed(format!("using the local cluster's home {}: {why}", self.path.display()))
        };
        match fs::metadata(&self.path) {
            Ok(meta) if !is_ours(&meta) => Err(failed("the folder belongs to another user")
                .hint(format!("set {HOME_VARIABLE} to another folder"))),
            Ok(meta) if meta.permissions().mode() & 0o022 != 0 => {
                Err(failed("other users can write to the folder").hint("`blocal start` makes it private"))
            }
            Ok(_) => Ok(true),
            Err(e) if is_missing(&e) => Ok(false),
            Err(e) => Err(failed(&e.to_string())),
        }
    }

    /// How many bytes the files of this home take, and how many files there are.
    pub fn disk_usage(&self) -> (u64, u64) {
        let mut folders = vec![self.path.clone()];
        let (mut bytes, mut files) = (0, 0);
        while let Some(folder) = folders.pop() {
            // A file that is removed meanwhile takes no space.
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                    Ok(meta) => {
                        // POSIX, sys/stat.h: in units of 512 bytes on every system that we know.
                        bytes += meta.blocks() * 512;
                        files += 1;
                    }
                    Err(_) => {}
                }
            }
        }
        (bytes, files)
    }

    /// Removes everything of the local cluster in this home, and nothing else. The caller holds the
    /// lock that guards starts; it stays. So does the record of leftovers on Docker engines, which
    /// the next server removes. Returns the files that stay: those of others, and those that cannot
    /// be removed.
    ///
    /// # Errors
    /// When the home cannot be read.
    pub fn clear(&self) -> io::Result<Remaining> {
        let mut left = Remaining::default();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let mut rests = OURS.iter().filter_map(|ours| name.strip_prefix(ours));
            if FOLDERS.contains(&name.as_ref()) {
                contents::clear_folder(&self.path, &name, &mut left);
            } else if rests.any(|rest| BESIDE.contains(&rest)) || LEFT_BY_EARLIER.contains(&name.as_ref()) {
                contents::remove_in_place(&entry.path(), &mut left);
            } else if [START_LOCK, CONTAINERS].contains(&name.as_ref())
                && contents::check_place(&entry.path(), false).is_err()
            {
                contents::remove_in_place(&entry.path(), &mut left);
                // A folder that holds somebody's files, too, is a home no longer without it.
                let _ = contents::set_mark(&self.path);
            }
        }
        Ok(left)
    }

    /// Waits for the right to start a server; it ends when the returned file is dropped.
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub fn lock_start(&self) -> io::Result<File> {
        let file = open_to_write(OpenOptions::new().create(true).append(true), &self.path.join(START_LOCK))?;
        file.lock()?;
        Ok(file)
    }

    /// The same without waiting: `None` when another process has it.
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub fn try_lock_start(&self) -> io::Result<Option<File>> {
        let file = open_to_write(OpenOptions::new().create(true).append(true), &self.path.join(START_LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }

    /// Becomes the one server of this home, until the returned file is dropped; `None` when another
    /// process is.
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub fn lock_server(&self) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        let options = options.create(true).write(true).truncate(false);
        let file = open_to_write(options, &self.path.join(SERVER_LOCK))?;
        // `is_served` holds the lock for an instant, so one refusal does not prove that a server
        // runs.
        for _ in 0..50 {
            match file.try_lock() {
                Ok(()) => {
                    // Over what is there: a full disk has no room for more.
                    let pid = std::process::id().to_string();
                    file.write_all_at(pid.as_bytes(), 0)?;
                    file.set_len(pid.len() as u64)?;
                    return Ok(Some(file));
                }
                Err(fs::TryLockError::WouldBlock) => {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                Err(fs::TryLockError::Error(e)) => return Err(e),
            }
        }
        Ok(None)
    }

    /// Whether a server lives here: its lock is held. Does not say that it answers already.
    ///
    /// # Errors
    /// When that cannot be found out, as when no descriptor is free.
    pub fn is_served(&self) -> io::Result<bool> {
        match contents::open(&self.path.join(SERVER_LOCK)) {
            Ok(file) => is_locked(&file),
            Err(e) if is_missing(&e) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The process of the server that holds the lock, or held it last.
    pub fn server_pid(&self) -> Option<u32> {
        String::from_utf8(contents::read(&self.path.join(SERVER_LOCK)).ok()?).ok()?.trim().parse().ok()
    }

    /// The endpoint of the server that runs here; `None` when none runs, or it has not written one
    /// yet.
    pub fn served_endpoint(&self) -> Option<Endpoint> {
        let mut pid = String::new();
        let mut lock = contents::open(&self.path.join(SERVER_LOCK)).ok()?;
        if !is_locked(&lock).ok()? {
            return None;
        }
        lock.read_to_string(&mut pid).ok()?;
        self.endpoint().filter(|endpoint| endpoint.pid.to_string() == pid)
    }

    /// The endpoint of the server that runs here, or ran here last; never one that another user
    /// wrote.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let mut text = String::new();
        let mut file = contents::open(&self.path.join(ENDPOINT)).ok()?;
        if !is_ours(&file.metadata().ok()?) {
            return None;
        }
        file.read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Writes down how to reach the server: whole or not at all, for this user's eyes only.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_endpoint(&self, endpoint: &Endpoint) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(endpoint).map_err(io::Error::other)?;
        write_private(&self.path.join(ENDPOINT), &text)
    }
}

fn is_ours(meta: &fs::Metadata) -> bool {
    meta.uid() == nix::unistd::Uid::effective().as_raw()
}

fn is_missing(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether another process holds the lock; it is ours for an instant if not.
fn is_locked(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(fs::TryLockError::WouldBlock) => Ok(true),
        Err(fs::TryLockError::Error(e)) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::host_id::HostId;
    use super::*;

    fn home(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v));
        Home::from_variables(find).ok().map(|h| h.path)
    }

    #[test]
    fn the_home_is_where_the_variables_say() {
        assert_eq!(home(&[(HOME_VARIABLE, "/a"), ("HOME", "/h")]), Some("/a".into()));
        assert_eq!(home(&[("XDG_STATE_HOME", "/x"), ("HOME", "/h")]), Some("/x/awsb/local".into()));
        assert_eq!(
            home(&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]),
            Some("/h/.local/state/awsb/local".into())
        );
        assert_eq!(home(&[]), None);
    }

    #[test]
    fn a_folder_with_other_files_is_left_alone_whatever_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("full");
        let home = Home { path: path.clone() };
        fs::create_dir(&path).unwrap();
        for mode in [0o755, 0o700] {
            fs::write(path.join("thesis.tex"), "x").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = home.create().unwrap_err();
            assert!(refused.message().contains("thesis.tex"), "{refused}");
            assert!(home.is_home().is_err());
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        }
        fs::remove_file(path.join("thesis.tex")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!home.is_home().unwrap());
        home.create().unwrap();
        assert!(home.is_home().unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        // It is one now, and what is added later does not change that.
        fs::write(path.join("thesis.tex"), "x").unwrap();
        home.create().unwrap();
        assert_eq!(home.clear().unwrap(), Remaining::default());
        assert!(path.join("thesis.tex").exists() && home.is_home().unwrap());
    }

    #[test]
    fn the_servers_lock_is_its_proof_of_life() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { path: dir.path().join("home") };
        home.create().unwrap();
        assert!(!home.is_served().unwrap());
        let lock = home.lock_server().unwrap().unwrap();
        assert!(home.is_served().unwrap());
        assert!(home.lock_server().unwrap().is_none());
        drop(lock);
        assert!(!home.is_served().unwrap());
        // Not to be able to look is another thing than to see nothing.
        fs::remove_file(home.path.join(SERVER_LOCK)).unwrap();
        assert!(!home.is_served().unwrap());
        std::os::unix::fs::symlink(SERVER_LOCK, home.path.join(SERVER_LOCK)).unwrap();
        assert!(home.is_served().is_err());
    }

    #[test]
    fn a_home_is_trusted_when_only_its_user_can_write_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { path: dir.path().join("home") };
        assert!(!home.check().unwrap());
        home.create().unwrap();
        drop(home.lock_start().unwrap());
        assert!(home.check().unwrap());
        fs::set_permissions(&home.path, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(home.check().is_err());
        home.create().unwrap();
        assert!(home.check().unwrap());
        // Another user's: for root, who can give it away, this one; for anybody else, root's.
        let others = if nix::unistd::Uid::effective().is_root() {
            std::os::unix::fs::chown(&home.path, Some(65_534), None).unwrap();
            home
        } else {
            Home { path: "/".into() }
        };
        assert!(others.check().is_err());
        assert!(others.create().is_err());
    }

    #[test]
    fn an_endpoint_that_another_user_wrote_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { path: dir.path().to_owned() };
        let endpoint = Endpoint {
            port: 1,
            pid: 2,
            started_at: 3,
            machine: HostId::here(),
            access_key_id: "id".to_owned(),
            secret_access_key: "secret".to_owned(),
            jobs_secret: "jobs".to_owned(),
        };
        home.set_endpoint(&endpoint).unwrap();
        assert_eq!(home.endpoint().unwrap().port, 1);
        if nix::unistd::Uid::effective().is_root() {
            std::os::unix::fs::chown(home.path.join(ENDPOINT), Some(65_534), None).unwrap();
            assert!(home.endpoint().is_none());
        }
    }
}
