//! The history of submissions: the jobs that were submitted from this machine, by cluster and
//! region.
//!
//! A file has a line `ID NAME TIME ENDPOINT SESSION` for each job; the lines of one submission have
//! the same time. ENDPOINT tells apart clusters of the same name, such as two local clusters.
//! SESSION identifies the login or script from which a job came. Earlier versions had neither.
//! When there are many lines, the oldest are removed.
//!
//! `last` is the latest line, so a submission without a line is worse than no history: the next
//! `bkill last` would end another job. Whoever submits is warned of it, and `last` names no job
//! while a line is known to be missing, or while none could be written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::history_file::{
    Patience, append, check_writable, forget_unrecorded, is_beside, is_unrecorded, note_unrecorded, read_text,
};
use crate::aws::{Session, endpoint_of};
use crate::config::{Cluster, state_home};
use crate::ui::{Failure, print_message};
use awsb_model::{JobId, JobRef, Unresolved, words};

/// At most this many candidates are listed in a failure.
const MAX_LISTED: usize = 10;
/// At most this many jobs are named in a warning.
const MAX_NAMED: usize = 3;

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

/// The record of a submission, which may still have to be written.
#[derive(Debug)]
#[must_use = "a record that is not completed may not be written"]
pub struct SubmissionRecord {
    path: PathBuf,
    endpoint: String,
    lines: String,
    ids: Vec<String>,
    written: io::Result<()>,
}

/// Records jobs that were submitted just now, as one submission, without waiting for anything.
/// [`SubmissionRecord::complete`] follows once their IDs have been printed. `None`: there is
/// nothing to record, or no folder for it.
pub fn record_submission(session: &Session, ids: &[JobId], name: &str) -> Option<SubmissionRecord> {
    let path = path(session).filter(|_| !ids.is_empty())?;
    let time = jiff::Timestamp::now();
    let (endpoint, from) = (endpoint(session), this_session().unwrap_or_else(|| NOT_RECORDED.to_owned()));
    let lines: Vec<String> =
        ids.iter().map(|id| format!("{id} {name} {time:.9} {endpoint} {from}")).collect();
    // A line is read as it was written, or it is not written.
    let is_fine = lines.iter().all(|text| text.lines().count() == 1 && line(text).is_some());
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let written = match is_fine {
        true => append(&path, &lines, Patience::None),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "its ID or its name is not a word")),
    };
    match &written {
        Ok(()) => forget_unrecorded(&path, &endpoint),
        // Also when it may be written later: this process may be killed before that.
        Err(_) => note_unrecorded(&path, &endpoint),
    }
    let ids = ids.iter().map(JobId::to_string).collect();
    Some(SubmissionRecord { path, endpoint, lines, ids, written })
}

impl SubmissionRecord {
    /// Writes the record if another process held the lock before, and warns if it cannot be
    /// written. That is not an error: the jobs exist. `--quiet` does not silence it, as a script
    /// that goes on with `last` would mean another job.
    pub fn complete(self, tool: &str) {
        let Self { path, endpoint, lines, ids, written } = self;
        let written = match written {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                append(&path, &lines, Patience::Short).map(|()| forget_unrecorded(&path, &endpoint))
            }
            written => written,
        };
        let Err(why) = written else { return };
        let (jobs, are, id) = match ids.len() {
            1 => ("the job", "this job", "its ID"),
            _ => ("the jobs", "these jobs", "their IDs"),
        };
        print_message(format!(
            "{tool}: warning: recording {jobs} {} in {} failed: {why}; `last` is not {are}, so use {id}",
            words::some(&ids, MAX_NAMED),
            path.display()
        ));
    }
}

/// The jobs that each of these references names, by the history. A whole ID is taken as it is, and
/// so is the beginning of an ID that the history does not have.
pub(super) fn resolve_locally(session: &Session, references: &[&JobRef]) -> Vec<Result<Vec<JobId>, Failure>> {
    let needed = references.iter().any(|reference| reference.needs_known());
    let known = if needed { entries_of(session) } else { Vec::new() };
    let last: Vec<JobId> = latest(&known).map(|job| job.id.clone()).collect();
    let own = own_job();
    let doubt = references.iter().find(|reference| reference.is_last()).and_then(|_| doubt(session));
    let resolve = |reference: &&JobRef| {
        if let Some(why) = doubt.as_ref().filter(|_| reference.is_last()) {
            return Err(last_is_unknown(session, reference, why));
        }
        let found = reference.resolve(&last, known.iter().map(|job| &job.id), own.as_ref());
        found.map_err(|why| unresolved(session, reference, &why, &known))
    };
    references.iter().map(resolve).collect()
}

/// Why the latest submission that is recorded may not be the latest one.
fn doubt(session: &Session) -> Option<String> {
    let path = path(session)?;
    let shown = path.display();
    if is_unrecorded(&path, &endpoint(session)) {
        return Some(format!("a later submission could not be recorded in {shown}"));
    }
    // Nor could a submission be recorded.
    if let Err(why) = check_writable(&path) {
        return Some(format!("submissions cannot be recorded in {shown} ({why})"));
    }
    let text = read_text(&path);
    let is_cut = !text.is_empty() && !text.ends_with('\n');
    let is_lost = is_cut && text.lines().next_back().and_then(line).is_none();
    is_lost.then(|| format!("the last line of {shown} is cut off"))
}

fn last_is_unknown(session: &Session, reference: &JobRef, why: &str) -> Failure {
    let cluster = &session.cluster.name;
    let message =
        format!("`{reference}`: the latest job from here to the cluster `{cluster}` is not known: {why}");
    Failure::usage(message)
        .hint("name the job by its ID; `bstat -s ALL` lists the jobs of its queue")
        .hint("the next job that is submitted and can be recorded is `last` again")
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
        let text = read_text(&file);
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
        name.strip_prefix(&prefix).is_some_and(|region| !is_beside(region))
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
    read_text(path).lines().filter_map(line).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lines_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.eu-west-1");
        let text =
            "8f2c one 2026-01-02T03:04:05.000000006Z\nhalf a li\n9d two 2026-01-02T03:04:06Z\nx\n\u{0} a b\n";
        fs::write(&path, text).unwrap();
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
    fn a_clusters_name_is_not_a_path() {
        assert_eq!(file_name("big-1", "eu-west-1"), "big-1.eu-west-1");
        assert_eq!(file_name("../a b", "r"), "%2E%2E%2Fa%20b.r");
    }
}
