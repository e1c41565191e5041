//! The history of submissions: the jobs that were submitted from this machine, by cluster and
//! region.
//!
//! A file has a line `ID NAME TIME ENDPOINT SESSION` for each job; the lines of one submission have
//! the same time. ENDPOINT tells apart clusters of the same name, such as two local clusters.
//! SESSION identifies the login or script from which a job came. Earlier versions had neither.
//! Lines are appended by one write, so that tools that run at the same time do not mix theirs. When
//! there are many lines, the oldest are removed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::aws::{Session, endpoint_of};
use crate::config::{Cluster, state_home};
use crate::ui::{Failure, print_message};
use awsb_model::{JobId, JobRef, Unresolved};

/// The number of jobs to keep in the history.
const MAX_ENTRIES: usize = 10_000;
/// Remove the oldest lines once the file exceeds this size in bytes (about twice [`MAX_ENTRIES`]
/// lines).
const PRUNE_BYTES: u64 = 2 * MAX_ENTRIES as u64 * 80;
/// The extension of the file that writers lock. It stands in the place of a region.
const LOCK: &str = "lock";
/// At most this many candidates are listed in a failure.
const MAX_LISTED: usize = 10;

/// A job that was submitted from this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HistoryEntry {
    id: JobId,
    name: String,
    time: String,
    endpoint: Option<String>,
    session: Option<String>,
}

/// Stands for the endpoint of AWS itself, and for a session that the system does not identify.
const NOT_RECORDED: &str = "-";

/// Records jobs that were submitted just now, as one submission. A failure is not an error: the
/// jobs exist.
pub fn record_submission(session: &Session, ids: &[JobId], name: &str) {
    let Some(path) = path(session).filter(|_| !ids.is_empty()) else { return };
    let time = jiff::Timestamp::now();
    let (endpoint, from) = (endpoint(session), this_session().unwrap_or_else(|| NOT_RECORDED.to_owned()));
    let lines: String = ids.iter().map(|id| format!("{id} {name} {time:.9} {endpoint} {from}\n")).collect();
    if let Err(e) = append(&path, &lines)
        && session.is_debugging()
    {
        print_message(format!("note: recording the job in {}: {e}", path.display()));
    }
}

/// The jobs that each of these references names, by the history. A whole ID is taken as it is, and
/// so is the beginning of an ID that the history does not have.
pub(super) fn resolve_locally(session: &Session, references: &[&JobRef]) -> Vec<Result<Vec<JobId>, Failure>> {
    let needed = references.iter().any(|reference| reference.needs_known());
    let known = if needed { entries_of(session) } else { Vec::new() };
    let last: Vec<JobId> = latest(&known).map(|job| job.id.clone()).collect();
    let own = own_job();
    let resolve = |reference: &&JobRef| {
        let found = reference.resolve(&last, known.iter().map(|job| &job.id), own.as_ref());
        found.map_err(|why| unresolved(session, reference, &why, &known))
    };
    references.iter().map(resolve).collect()
}

/// The IDs of the jobs that were submitted from this machine to this cluster.
pub fn recorded_ids(session: &Session) -> Vec<JobId> {
    entries_of(session).into_iter().map(|job| job.id).collect()
}

/// A job in the history, as somebody sees it who chooses one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedJob {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was submitted, in milliseconds since the epoch.
    pub submitted_at: i64,
}

/// At most `most` jobs that were submitted from this machine to a cluster and whose IDs begin with
/// `prefix`, the latest first. Without a session, the region and the endpoint may be unknown. Then
/// jobs of all regions and endpoints are listed. No file is written, and nothing is asked for.
pub fn recorded_jobs(cluster: &Cluster, prefix: &str, most: usize) -> Vec<RecordedJob> {
    let Some(folder) = folder() else { return Vec::new() };
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let region = cluster.region.clone().or_else(|| variable("AWS_REGION"));
    let files = match region.or_else(|| variable("AWS_DEFAULT_REGION")) {
        Some(region) => vec![folder.join(file_name(&cluster.name, &region))],
        None => files_of_all_regions(&folder, &cluster.name),
    };
    let endpoint = endpoint_of(cluster).map(|endpoint| short_hash(&endpoint));
    // Most lines are skipped by this, before anything in them is parsed.
    let is_here = |text: &&str| match (text.split(' ').nth(3), &endpoint) {
        (Some(of), Some(endpoint)) => of == endpoint,
        _ => true,
    };
    let mut jobs = Vec::new();
    for file in files {
        let text = read_text_of(&file);
        let lines = text.lines().rev().filter(|text| text.starts_with(prefix)).filter(is_here);
        let found = lines.filter_map(line).filter_map(|job| {
            let submitted_at = job.time.parse::<jiff::Timestamp>().ok()?.as_millisecond();
            Some(RecordedJob { id: job.id.to_string(), name: job.name, submitted_at })
        });
        jobs.extend(found.take(most));
    }
    jobs.sort_by_key(|job| std::cmp::Reverse(job.submitted_at));
    jobs.truncate(most);
    jobs
}

/// The files of a cluster, one for each region.
fn files_of_all_regions(folder: &Path, cluster: &str) -> Vec<PathBuf> {
    let prefix = file_name(cluster, "");
    let found = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_of_cluster = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix(&prefix).is_some_and(|region| region != LOCK)
    };
    found.filter(is_of_cluster).collect()
}

/// The job to which this process belongs, by the variable that Batch sets (User Guide, `AWS Batch
/// job environment variables`). Its parts are named behind it.
fn own_job() -> Option<JobId> {
    std::env::var("AWS_BATCH_JOB_ID").ok()?.parse().ok().map(|id: JobId| id.whole())
}

/// The jobs that `last` names, and the time of their submission, when another session submitted
/// them: another login, a script or a job.
pub fn last_of_another_session(session: &Session) -> Option<(Vec<JobId>, String)> {
    let known = entries_of(session);
    let mut last = latest(&known);
    let first = last.next()?;
    let is_anothers = first.session.is_some() && first.session != this_session();
    let ids = std::iter::once(first).chain(last).map(|job| job.id.clone());
    is_anothers.then(|| (ids.collect(), first.time.clone()))
}

/// The jobs of the latest submission.
fn latest(known: &[HistoryEntry]) -> impl Iterator<Item = &HistoryEntry> {
    let latest = known.last().map(|job| job.time.as_str());
    known.iter().filter(move |job| Some(job.time.as_str()) == latest)
}

/// The jobs that were submitted to this cluster at this endpoint, or at an unknown one.
fn entries_of(session: &Session) -> Vec<HistoryEntry> {
    let endpoint = endpoint(session);
    let mut known = path(session).map(|path| read(&path)).unwrap_or_default();
    known.retain(|job| job.endpoint.as_ref().is_none_or(|of| *of == endpoint));
    known
}

/// A short hash of the session's endpoint.
fn endpoint(session: &Session) -> String {
    session.endpoint().map_or_else(|| NOT_RECORDED.to_owned(), |endpoint| short_hash(&endpoint))
}

fn short_hash(endpoint: &str) -> String {
    hex::encode(&Sha256::digest(endpoint.as_bytes())[..6])
}

/// A short hash of the session (setsid(2)) of this process: a login, a window, the script of a
/// service. `None` where the system does not identify it. A session's number alone is reused, on
/// this machine and on others that see the same folder.
fn this_session() -> Option<String> {
    let leader = nix::unistd::getsid(None).ok()?;
    let host = nix::unistd::gethostname().ok()?;
    // With a /proc, field 22 of proc_pid_stat(5) is the start time of the leader, unless the leader
    // has ended.
    let stat = fs::read_to_string(format!("/proc/{leader}/stat")).unwrap_or_default();
    let born =
        stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(19)).unwrap_or(NOT_RECORDED);
    let text = format!("{leader} {born} {}", host.to_string_lossy());
    Some(hex::encode(&Sha256::digest(text.as_bytes())[..6]))
}

/// Those of these jobs that were submitted from this machine within `time`: Batch may not show them
/// yet.
pub(super) fn submitted_within(session: &Session, ids: &[JobId], time: Duration) -> Vec<JobId> {
    let Some(path) = path(session).filter(|_| !ids.is_empty()) else { return Vec::new() };
    let since = jiff::Timestamp::now().checked_sub(time).unwrap_or(jiff::Timestamp::MIN);
    let is_new = |job: &HistoryEntry| job.time.parse::<jiff::Timestamp>().is_ok_and(|at| at >= since);
    let new: Vec<JobId> = read(&path).into_iter().filter(is_new).map(|job| job.id).collect();
    ids.iter().filter(|id| new.contains(&id.whole())).cloned().collect()
}

fn unresolved(session: &Session, reference: &JobRef, why: &Unresolved, known: &[HistoryEntry]) -> Failure {
    let cluster = &session.cluster.name;
    match why {
        Unresolved::NoneSubmitted => Failure::usage(format!(
            "`{reference}`: no job has been submitted from here to the cluster `{cluster}`"
        ))
        .hint("`bstat -s ALL` lists the jobs of its queue"),
        Unresolved::Several(ids) => {
            let name =
                |id: &JobId| known.iter().find(|job| job.id == *id).map_or("", |job| job.name.as_str());
            let jobs: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), name(id))).collect();
            several(&format!("{} known jobs {}", ids.len(), reference.in_common()), &jobs)
        }
    }
}

/// The failure for a reference that may name any of these jobs: their IDs and names.
pub(super) fn several(message: &str, jobs: &[(&str, &str)]) -> Failure {
    let mut failure = Failure::usage(message);
    for (id, name) in jobs.iter().take(MAX_LISTED) {
        failure = failure.hint(format!("{id} ({name})"));
    }
    if jobs.len() > MAX_LISTED {
        failure.hint(format!("and {} more", jobs.len() - MAX_LISTED))
    } else {
        failure
    }
}

/// The file of the session's cluster and region.
fn path(session: &Session) -> Option<PathBuf> {
    Some(folder()?.join(file_name(&session.cluster.name, &session.region)))
}

/// The folder `awsb/jobs` of the XDG state folder.
fn folder() -> Option<PathBuf> {
    Some(state_home()?.join("awsb").join("jobs"))
}

/// The characters that are percent-encoded in the name of a file.
const NOT_IN_A_NAME: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// The name of a file. A cluster may have any name, so characters with a meaning in a path are
/// percent-encoded.
fn file_name(cluster: &str, region: &str) -> String {
    format!("{}.{region}", utf8_percent_encode(cluster, &NOT_IN_A_NAME))
}

/// The entries of a file. Other lines are skipped.
fn read(path: &Path) -> Vec<HistoryEntry> {
    read_text_of(path).lines().filter_map(line).collect()
}

/// The text of a file. A file that cannot be read is empty, and so is a FIFO, which may have no
/// writer.
fn read_text_of(path: &Path) -> String {
    let is_file = fs::metadata(path).is_ok_and(|meta| meta.is_file());
    let bytes = if is_file { fs::read(path).unwrap_or_default() } else { Vec::new() };
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn line(text: &str) -> Option<HistoryEntry> {
    let mut words = text.split(' ');
    let (id, name, time) = (words.next()?, words.next()?, words.next()?);
    let (endpoint, session) = (words.next().map(str::to_owned), words.next().map(str::to_owned));
    if words.next().is_some() || time.parse::<jiff::Timestamp>().is_err() {
        return None;
    }
    let session = session.filter(|session| session != NOT_RECORDED);
    Some(HistoryEntry {
        id: id.parse().ok()?,
        name: name.to_owned(),
        time: time.to_owned(),
        endpoint,
        session,
    })
}

/// Appends lines. All writers share the lock, so that no lines go to a file that is being replaced.
fn append(path: &Path, lines: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let lock = private().create(true).append(true).open(path.with_extension(LOCK))?;
    // A file system without locks is used without a lock.
    let _ = lock.lock_shared();
    let mut file = private().create(true).append(true).open(path)?;
    file.write_all(lines.as_bytes())?;
    let long = file.metadata()?.len() > PRUNE_BYTES;
    lock.unlock()?;
    if long { prune(path, &lock) } else { Ok(()) }
}

/// Removes all but the latest lines. When another process is doing that, the next time is early
/// enough.
fn prune(path: &Path, lock: &File) -> io::Result<()> {
    if lock.try_lock().is_err() {
        return Ok(());
    }
    let text = fs::read(path)?;
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    let latest = lines.get(lines.len().saturating_sub(MAX_ENTRIES)..).unwrap_or_default();
    // A temporary file is readable by its owner alone.
    let mut new = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    new.write_all(&latest.concat())?;
    new.persist(path)?;
    lock.unlock()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lines_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs/c.eu-west-1");
        append(&path, "8f2c one 2026-01-02T03:04:05.000000006Z\nhalf a li").unwrap();
        append(&path, "\n9d two 2026-01-02T03:04:06Z\nx\n\u{0} a b\n").unwrap();
        let names: Vec<String> = read(&path).into_iter().map(|job| job.name).collect();
        assert_eq!(names, ["one", "two"]);
        assert_eq!(read(Path::new("/nowhere")), []);
    }

    #[test]
    fn lines_have_grown() {
        let read = |text: &str| line(text).map(|job| (job.endpoint, job.session));
        assert_eq!(read("8f2c one 2026-01-02T03:04:05Z"), Some((None, None)));
        let both = Some((Some("0a1b2c".to_owned()), Some("0d1e2f".to_owned())));
        assert_eq!(read("8f2c one 2026-01-02T03:04:05Z 0a1b2c 0d1e2f"), both);
        assert_eq!(read("8f2c one 2026-01-02T03:04:05Z - -"), Some((Some("-".to_owned()), None)));
        assert_eq!(read("8f2c one 2026-01-02T03:04:05Z - - more"), None);
        assert!(this_session().is_some() && this_session() == this_session());
    }

    #[test]
    fn many_at_once_lose_no_line_while_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.eu-west-1");
        let old = format!("{} old 2026-01-02T03:04:05Z\n", "0".repeat(60));
        fs::write(&path, old.repeat(2 * MAX_ENTRIES)).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    for n in 0..50 {
                        append(path, &format!("job-{writer}-{n} new 2026-01-02T03:04:06Z\n")).unwrap();
                    }
                });
            }
        });
        let known = read(&path);
        assert_eq!(known.iter().filter(|job| job.name == "new").count(), 400);
        assert!(known.len() <= MAX_ENTRIES + 400, "{}", known.len());
    }

    #[test]
    fn a_clusters_name_is_not_a_path() {
        assert_eq!(file_name("big-1", "eu-west-1"), "big-1.eu-west-1");
        assert_eq!(file_name("../a b", "r"), "%2E%2E%2Fa%20b.r");
    }
}
