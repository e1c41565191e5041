//! A cache of answers of AWS about things that hardly ever change. An entry lives for a day.
//!
//! Each entry is a file in the folder `awsb` of the XDG cache folder. An entry that is too old or
//! cannot be read counts as missing, and AWS is asked. So does one that another user may have
//! written.

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::OFlag;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::cache_home;

/// The age from which on an entry counts as missing.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The entries of one account and region, as far as these can be distinguished without a call. The
/// cache records which entries were read, so that they can be evicted when one of them turns out to
/// be stale.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    folder: Option<PathBuf>,
    scope: Vec<String>,
    used: Arc<Mutex<Vec<PathBuf>>>,
}

/// The content of a file.
#[derive(Debug, Serialize, Deserialize)]
struct CacheEntry<T> {
    /// The time of writing, in seconds since the epoch.
    at: u64,
    value: T,
}

impl Cache {
    /// The user's cache. `scope` distinguishes accounts and regions: profile, region, endpoint,
    /// key.
    pub fn new(scope: Vec<String>) -> Self {
        Self { folder: cache_home().map(|home| home.join("awsb")), scope, used: Arc::default() }
    }

    /// A cache in a folder of a test.
    #[cfg(test)]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder: Some(folder), ..Self::default() }
    }

    /// A cache without entries, which stays empty.
    pub fn none() -> Self {
        Self::default()
    }

    /// The entry of this kind and key, unless it is missing or too old.
    pub fn read<T: DeserializeOwned>(&self, kind: &str, key: &str) -> Option<T> {
        self.read_younger(kind, key, MAX_AGE)
    }

    /// The entry of this kind and key, unless it is missing or older than this.
    pub fn read_younger<T: DeserializeOwned>(&self, kind: &str, key: &str, age: Duration) -> Option<T> {
        let path = self.path(kind, key)?;
        let entry: CacheEntry<T> = serde_json::from_slice(&read_own(&path).ok()?).ok()?;
        // An entry from the future is as useless as one from long ago.
        if now().checked_sub(entry.at)? > age.min(MAX_AGE).as_secs() {
            return None;
        }
        self.used().push(path);
        Some(entry.value)
    }

    /// Writes an entry as a whole, or not at all. A cache that cannot be written is not an error.
    pub fn write<T: Serialize>(&self, kind: &str, key: &str, value: &T) {
        let write = |path: PathBuf| -> std::io::Result<()> {
            let folder = path.parent().map(PathBuf::from).unwrap_or_default();
            DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            // Only its owner can read a temporary file.
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            serde_json::to_writer(&mut file, &CacheEntry { at: now(), value })?;
            file.flush()?;
            file.persist(&path)?;
            Ok(())
        };
        let _ = self.path(kind, key).map(write);
    }

    /// Evicts one entry, and returns whether it existed.
    pub fn drop(&self, kind: &str, key: &str) -> bool {
        self.path(kind, key).is_some_and(|path| fs::remove_file(path).is_ok())
    }

    /// Evicts every entry that was read, as one of them is stale. Returns whether there was any.
    pub fn drop_used(&self) -> bool {
        let used = std::mem::take(&mut *self.used());
        used.iter().for_each(|path| drop(fs::remove_file(path)));
        !used.is_empty()
    }

    fn used(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, kind: &str, key: &str) -> Option<PathBuf> {
        let mut hash = Sha256::new();
        for part in self.scope.iter().map(String::as_str).chain([kind, key]) {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let name = hex::encode(&hash.finalize()[..16]);
        Some(self.folder.as_ref()?.join(format!("{kind}-{name}.json")))
    }
}

/// The longest file that is read, in bytes.
const MAX_LENGTH: u64 = 1 << 20;

/// Reads a file that only this user can have written, in a folder of the same kind: an entry says
/// which bucket, queue and proxy are used.
///
/// # Errors
/// When it cannot be read, is not a file (a link, a FIFO), is too long, or others may have written
/// it.
fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    let user = nix::unistd::Uid::effective().as_raw();
    let is_own = |meta: &fs::Metadata| meta.uid() == user && meta.mode() & 0o022 == 0;
    let folder = path.parent().map(fs::metadata).transpose()?;
    // The other end of a FIFO is not waited for (open(2)).
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = fs::File::options().read(true).custom_flags(flags.bits()).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > MAX_LENGTH || !is_own(&meta) || !folder.is_some_and(|f| is_own(&f)) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut bytes = Vec::new();
    file.take(MAX_LENGTH).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn cache(folder: &tempfile::TempDir, region: &str) -> Cache {
        Cache { folder: Some(folder.path().join("awsb")), scope: vec![region.into()], used: Arc::default() }
    }

    #[test]
    fn what_was_written_is_read_by_its_own_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let here = cache(&folder, "eu-west-1");
        assert_eq!(here.read::<String>("stack", "a"), None);
        here.write("stack", "a", &"value");
        assert_eq!(here.read::<String>("stack", "a").as_deref(), Some("value"));
        assert_eq!(here.read::<String>("stack", "b"), None);
        assert_eq!(here.read::<String>("definition", "a"), None);
        assert_eq!(cache(&folder, "us-east-1").read::<String>("stack", "a"), None);
        let mode = fs::metadata(here.path("stack", "a").unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_corrupt_or_old_or_from_the_future_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(&folder, "eu-west-1");
        cache.write("stack", "a", &1);
        let path = cache.path("stack", "a").unwrap();
        let day = MAX_AGE.as_secs();
        for (text, found) in [
            (format!("{{\"at\":{},\"value\":7}}", now() - day + 100), Some(7)),
            (format!("{{\"at\":{},\"value\":7}}", now() - day - 100), None),
            (format!("{{\"at\":{},\"value\":7}}", now() + 100), None),
            (format!("{{\"at\":{},\"value\":\"seven\"}}", now()), None),
            ("{".into(), None),
        ] {
            fs::write(&path, &text).unwrap();
            assert_eq!(cache.read::<i32>("stack", "a"), found, "{text}");
        }
        assert_eq!(Cache::none().read::<i32>("stack", "a"), None);
    }

    #[test]
    fn an_entry_that_another_may_have_written_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(&folder, "eu-west-1");
        let path = cache.path("stack", "a").unwrap();
        let parent = path.parent().unwrap().to_owned();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        cache.write("stack", "a", &1);
        assert_eq!(cache.read("stack", "a"), Some(1));
        mode(&path, 0o622);
        assert_eq!(cache.read::<i32>("stack", "a"), None);
        mode(&path, 0o600);
        mode(&parent, 0o777);
        assert_eq!(cache.read::<i32>("stack", "a"), None);
        mode(&parent, 0o700);
        assert_eq!(cache.read("stack", "a"), Some(1));
        // A link to the same.
        let elsewhere = parent.join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert_eq!(cache.read::<i32>("stack", "a"), None);
        // Nobody waits for the other end of a FIFO, and a new entry takes its place.
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(cache.read::<i32>("stack", "a"), None);
        cache.write("stack", "a", &2);
        assert_eq!(cache.read("stack", "a"), Some(2));
        // Larger than any entry.
        let long = format!("{{\"at\":{},\"value\":7}}{}", now(), " ".repeat(MAX_LENGTH as usize));
        fs::write(&path, long).unwrap();
        assert_eq!(cache.read::<i32>("stack", "a"), None);
    }

    #[test]
    fn what_was_used_is_dropped_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(&folder, "eu-west-1");
        cache.write("stack", "a", &1);
        cache.write("stack", "b", &2);
        assert!(!cache.drop_used());
        assert_eq!(cache.read("stack", "a"), Some(1));
        // A clone, as each clone of a session has, shares the record.
        assert!(cache.clone().drop_used());
        assert_eq!((cache.read::<i32>("stack", "a"), cache.read("stack", "b")), (None, Some(2)));
    }
}
