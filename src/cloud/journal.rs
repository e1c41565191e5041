//! The journal of operations on clusters: each is recorded before it is sent.
//!
//! CreateChangeSet, ExecuteChangeSet and DeleteStack take a token, by which AWS recognises a call
//! that is repeated. A token that is on the disk before the call is sent makes the call repeatable
//! by another process: after a lost answer, a crash or `kill -9`, the same command goes on with the
//! same operation, and no cluster is made twice.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::aws::Session;
use crate::config::state_home;
use crate::ui::Failure;

/// An operation that has been begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Whether it creates, updates or deletes the stack.
    pub kind: Kind,
    /// Its token: the change set is named after it, and calls carry it.
    pub token: String,
    /// A hash of the template, tags and parameters that are sent.
    pub content: String,
    /// The ID of the stack, once it is known.
    pub stack_id: Option<String>,
    /// The newest event of the stack before the operation.
    pub mark: Option<String>,
}

/// The kind of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A stack is created.
    Create,
    /// A stack is updated.
    Update,
    /// A stack is deleted.
    Delete,
}

impl Operation {
    /// A new operation.
    pub fn new(kind: Kind, content: &str) -> Self {
        let content = hex::encode(&Sha256::digest(content.as_bytes())[..16]);
        Self { kind, token: Uuid::new_v4().to_string(), content, stack_id: None, mark: None }
    }

    /// Whether this operation does the same as the other one.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.kind, &self.content) == (other.kind, &other.content)
    }

    /// The name of its change set (API `CreateChangeSet`: letters, digits and hyphens, the first
    /// one a letter).
    pub fn change_set(&self) -> String {
        format!("{CHANGE_SET_PREFIX}{}", self.token)
    }

    /// Whether this change set, by its name or its ARN, is that of the operation.
    pub fn owns(&self, change_set: &str) -> bool {
        let name = self.change_set();
        change_set == name || change_set.split('/').nth(1) == Some(name.as_str())
    }
}

/// The beginning of the names of our change sets. A token follows.
const CHANGE_SET_PREFIX: &str = "awsb-";

/// Whether a change set, by its name or its ARN, is one of an operation of bcluster.
pub fn is_own_change_set(change_set: &str) -> bool {
    let name = change_set.split('/').nth(1).unwrap_or(change_set);
    name.strip_prefix(CHANGE_SET_PREFIX).is_some_and(|token| Uuid::try_parse(token).is_ok())
}

/// The journal of one cluster in one account and region. It holds a lock, so that two commands of
/// this user do not work on the same cluster at the same time.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    current: Option<Operation>,
    _lock: Flock<File>,
}

impl Journal {
    /// Opens the journal of the cluster with this stack.
    ///
    /// # Errors
    /// When the state folder cannot be written, or another command works on the cluster.
    pub fn open(session: &Session, stack: &str) -> Result<Self, Failure> {
        let folder = state_home()
            .ok_or_else(|| {
                Failure::failed(
                    "there is no folder for the journal of clusters: HOME is not set to an absolute path",
                )
                .hint("XDG_STATE_HOME names the folder for state")
            })?
            .join("awsb")
            .join("clusters");
        Self::open_in(&folder, &session.scope(), stack)
    }

    fn open_in(folder: &Path, scope: &[String], stack: &str) -> Result<Self, Failure> {
        let mut hash = Sha256::new();
        for part in scope {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let path = folder.join(format!("{stack}-{}.json", hex::encode(&hash.finalize()[..6])));
        let failed = |e: io::Error| Failure::failed(format!("opening the journal {}: {e}", path.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let lock = path.with_extension("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
        let lock = match Flock::lock(file.map_err(failed)?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                return Err(Failure::failed(format!(
                    "another bcluster of yours is at work on the cluster `{stack}`"
                ))
                .hint(format!("`bcluster show {stack} --wait` follows it")));
            }
            Err((_, e)) => return Err(failed(e.into())),
        };
        let current = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).ok(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(failed(e)),
        };
        Ok(Self { path, current, _lock: lock })
    }

    /// The operation that has been begun and not been finished.
    pub fn current(&self) -> Option<&Operation> {
        self.current.as_ref()
    }

    /// Records an operation. It is on the disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written. Nothing must be sent then.
    pub fn record(&mut self, operation: &Operation) -> Result<(), Failure> {
        let failed =
            |e: io::Error| Failure::failed(format!("writing the journal {}: {e}", self.path.display()));
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let text = serde_json::to_vec_pretty(operation).map_err(|e| failed(e.into()))?;
        file.write_all(&text).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&self.path).map_err(|e| failed(e.error))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        self.current = Some(operation.clone());
        Ok(())
    }

    /// Forgets the operation, which has ended. An operation that stays recorded is found to have
    /// ended the next time.
    pub fn forget(&mut self) {
        let _ = fs::remove_file(&self.path);
        self.current = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &tempfile::TempDir, region: &str) -> Result<Journal, Failure> {
        Journal::open_in(folder.path(), &[String::new(), region.to_owned()], "lab")
    }

    #[test]
    fn an_operation_is_there_for_the_next_process_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = open(&folder, "eu-west-1").unwrap();
        assert_eq!(journal.current(), None);
        let operation = Operation::new(Kind::Create, "{}");
        journal.record(&operation).unwrap();
        drop(journal);
        let mut journal = open(&folder, "eu-west-1").unwrap();
        assert_eq!(journal.current(), Some(&operation));
        assert_eq!(open(&folder, "us-east-1").unwrap().current(), None);
        journal.forget();
        drop(journal);
        assert_eq!(open(&folder, "eu-west-1").unwrap().current(), None);
    }

    #[test]
    fn two_commands_do_not_work_on_one_cluster() {
        let folder = tempfile::tempdir().unwrap();
        let _journal = open(&folder, "eu-west-1").unwrap();
        let failure = open(&folder, "eu-west-1").map(|_| ()).unwrap_err();
        assert!(failure.message().contains("another bcluster"), "{failure}");
        assert!(failure.hints()[0].contains("bcluster show lab --wait"), "{failure:?}");
    }

    #[test]
    fn a_record_that_broke_off_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder, "eu-west-1").unwrap();
        fs::write(&journal.path, "{\"kind\":").unwrap();
        drop(journal);
        assert_eq!(open(&folder, "eu-west-1").unwrap().current(), None);
    }

    #[test]
    fn a_change_set_is_known_by_its_name_and_its_arn() {
        let operation = Operation::new(Kind::Create, "{}");
        let name = operation.change_set();
        assert!(operation.owns(&name));
        assert!(
            operation
                .owns(&format!("arn:aws:cloudformation:eu-west-1:111122223333:changeSet/{name}/5b7c1a3e"))
        );
        assert!(!operation.owns("arn:aws:cloudformation:eu-west-1:1:changeSet/other/5b7c1a3e"));
    }
}
