//! Jobs, attempts, job definitions, queues and log streams in the database: the writing end.
//!
//! One connection writes, in the engine's thread. Children of an array and nodes of a multi-node
//! job have no ID of their own: their keys follow their parent's (see [`JobKey::child`]).

use std::cell::Cell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::definition::BUILT_IN;
use super::log_streams;
use super::model::{Dependency, JobKey, Nodes, Summary, Terms};
use super::request::{RequestedDependency, Spec, SubmitPlan};
use super::resource_rows::{self, ResourceKind};
use super::rows::{find, from_json, status};
use super::state::scheduler::Allocation;
use super::state::{Attempt, Current, EndRequest, Job, first_status};
use crate::cloudformation;
use crate::constants::LOG_GROUP;
use crate::database::lossy::{Number, Text};
use crate::database::{self, Commits, Missing, Opened, Schema};
use crate::home::files::BATCH_DATABASE;
use crate::http::protocol::ApiError;
use crate::runner::protocol::{AttemptId, RunnerId};
use awsb_model::{Status, words};

const MIGRATIONS: [&str; 11] = [
    "
    CREATE TABLE jobs (
        key INTEGER PRIMARY KEY,
        id TEXT UNIQUE,                  -- NULL for children
        parent INTEGER, idx INTEGER,     -- children only
        queue TEXT, name TEXT,           -- NULL for children
        size INTEGER, summary TEXT,      -- array parents only
        status INTEGER NOT NULL, status_reason TEXT,
        created_at INTEGER NOT NULL, started_at INTEGER, stopped_at INTEGER,
        attempts INTEGER NOT NULL DEFAULT 0, task TEXT, runner TEXT,
        exit_code INTEGER, reason TEXT,
        ending TEXT, cancelled INTEGER
    );
    CREATE INDEX jobs_listed ON jobs (queue, status, key) WHERE parent IS NULL;
    CREATE INDEX jobs_children ON jobs (parent, status, key) WHERE parent IS NOT NULL;
    CREATE INDEX jobs_active ON jobs (key) WHERE status < 5;
    CREATE TABLE specs (key INTEGER PRIMARY KEY, terms TEXT NOT NULL, spec TEXT NOT NULL);
    CREATE TABLE attempts (
        job INTEGER NOT NULL, number INTEGER NOT NULL, task TEXT NOT NULL,
        started_at INTEGER, stopped_at INTEGER NOT NULL, exit_code INTEGER, reason TEXT,
        status_reason TEXT NOT NULL,
        PRIMARY KEY (job, number)
    ) WITHOUT ROWID;
    CREATE TABLE definitions (
        name TEXT NOT NULL, revision INTEGER NOT NULL, active INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (name, revision)
    ) WITHOUT ROWID;
    CREATE TABLE log_groups (name TEXT PRIMARY KEY, created_at INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE log_streams (
        log_group TEXT NOT NULL, name TEXT NOT NULL, created_at INTEGER NOT NULL,
        PRIMARY KEY (log_group, name)
    ) WITHOUT ROWID;
",
    "
    ALTER TABLE jobs ADD COLUMN nodes INTEGER;      -- multi-node parents only: how many
    ALTER TABLE jobs ADD COLUMN environment TEXT;   -- while it has room there
    ALTER TABLE jobs ADD COLUMN gpus TEXT;
    UPDATE jobs SET environment = 'local' WHERE runner IS NOT NULL;
    CREATE TABLE resources (
        kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (kind, name)
    ) WITHOUT ROWID;
    CREATE INDEX jobs_ended ON jobs (stopped_at) WHERE parent IS NULL AND status >= 5;
",
    log_streams::GROUP_SETTINGS,
    "ALTER TABLE jobs ADD COLUMN address TEXT;       -- main nodes in containers only
",
    "CREATE INDEX jobs_of_queue ON jobs (queue, key) WHERE parent IS NULL;
",
    "
    ALTER TABLE jobs ADD COLUMN submitter INTEGER;          -- the job whose key submitted it; NULL: the owner's
    CREATE INDEX jobs_submitted ON jobs (submitter) WHERE submitter IS NOT NULL;
    ALTER TABLE definitions ADD COLUMN registrant INTEGER;  -- the job in containers that did; NULL: the owner
    ALTER TABLE log_streams ADD COLUMN job INTEGER;         -- whose output it is; NULL: nobody's
",
    "ALTER TABLE attempts ADD COLUMN output INTEGER;        -- how long the log stream's file was at its end
",
    cloudformation::rows::TABLES,
    // The jobs that require a consumable resource.
    "CREATE TABLE consumers (resource TEXT NOT NULL, job INTEGER NOT NULL, PRIMARY KEY (resource, job)) WITHOUT ROWID;
    CREATE INDEX consumers_of_job ON consumers (job);
",
    "ALTER TABLE jobs ADD COLUMN scheduled_at INTEGER;    -- when the last attempt got its room
",
    "ALTER TABLE attempts ADD COLUMN containers TEXT;       -- the ends of its containers, of several
",
];

const SCHEMA: Schema<'_> = Schema {
    migrations: &MIGRATIONS,
    decisive: &["jobs", "definitions", "resources", "commits"],
    contradictions: &CONTRADICTIONS,
};

/// Contradictions that an intact database cannot have. A job with one could run again after its
/// end, or never run.
const CONTRADICTIONS: [&str; 2] = [
    "SELECT 'the job with the number ' || key || ' has the status ' || quote(status) || ' and '
         || iif(stopped_at IS NULL, 'no end', 'an end')
     FROM jobs NOT INDEXED
     WHERE typeof(status) <> 'integer' OR status NOT BETWEEN 0 AND 6 OR (status >= 5) <> (stopped_at IS NOT NULL)
     LIMIT 1",
    "SELECT 'of the children of the array with the number ' || jobs.key || ', ' || children.n
         || ' have the status ' || children.status || ', and not as many as it says'
     FROM (SELECT parent, status, count(*) AS n FROM jobs NOT INDEXED WHERE parent IS NOT NULL GROUP BY parent, status)
         AS children
     JOIN jobs ON jobs.key = children.parent
     WHERE jobs.size IS NOT NULL AND json_valid(jobs.summary) AND json_extract(jobs.summary, '$[' || children.status || ']') <> children.n
     LIMIT 1",
];

impl ApiError {
    /// The answer for an error of the database.
    pub fn of_database(e: &rusqlite::Error) -> Self {
        if database::is_damage(e) {
            return Self::damaged(format!(
                "A database of the local cluster is damaged: {e}. `blocal stop` and `blocal start` say which, and \
                 what to do."
            ));
        }
        if database::is_of_disk(e) {
            return Self::damaged(format!(
                "A database of the local cluster cannot be read or written: {e}. Its disk or file system fails; \
                 the system's log says more."
            ));
        }
        Self::server(format!("The local cluster's database: {e}"))
    }
}

/// A database error as an API error; the details are logged.
impl From<rusqlite::Error> for ApiError {
    fn from(e: rusqlite::Error) -> Self {
        tracing::warn!("database: {e}");
        Self::of_database(&e)
    }
}

/// The built-in resources, as this machine has them.
#[derive(Debug)]
pub struct BuiltIn {
    /// The job definition.
    pub definition: Value,
    /// The queue and the compute environment.
    pub resources: Vec<(ResourceKind, &'static str, Value)>,
}

/// A job whose retention is over, with its children or nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    first: JobKey,
    last: JobKey,
    /// The log groups and streams of all its attempts.
    pub streams: Vec<(String, String)>,
}

/// A job whose record is damaged, and what is wrong with it.
pub type DamagedJob = (JobKey, String);

/// The writing end.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    commits: Commits,
    missing: Option<Missing>,
    harm: Option<String>,
    next_key: i64,
    /// Of the transaction that is open: whether it is durable, and how many rows had been changed
    /// before it.
    open: Cell<(bool, u64)>,
}

impl Store {
    /// Opens the database of a home, with the built-in job definition and log group in it.
    ///
    /// # Errors
    /// When it cannot be opened or is of a newer version of awsb.
    pub fn open(home: &Path, built_in: &BuiltIn, now: i64) -> std::io::Result<Self> {
        let path = home.join(BATCH_DATABASE);
        let Opened { db, commits, missing, harm } = database::open(&path, &SCHEMA)?;
        let mut store = Self { db, commits, missing, harm, next_key: 0, open: Cell::default() };
        store.fill(built_in, now).map_err(|e| database::explained(&path, e))?;
        Ok(store)
    }

    /// Writes what is there from the start.
    fn fill(&mut self, built_in: &BuiltIn, now: i64) -> rusqlite::Result<()> {
        self.begin(true)?;
        let mut definition = built_in.definition.clone();
        // A damaged record is written again.
        if let Ok(Some(old)) = definition_body(&self.db, BUILT_IN, 1) {
            definition["tags"] = old["tags"].clone();
        }
        self.db.execute(
            "INSERT OR REPLACE INTO definitions (name, revision, active, body) VALUES (?1, 1, 1, ?2)",
            params![BUILT_IN, definition.to_string()],
        )?;
        for (kind, name, body) in &built_in.resources {
            let mut body = body.clone();
            if let Some(old) = resource_rows::one(&self.db, *kind, name)? {
                body["tags"] = old["tags"].clone();
            }
            self.put_resource(*kind, name, &body)?;
        }
        self.db.execute(
            "INSERT OR IGNORE INTO log_groups (name, created_at) VALUES (?1, ?2)",
            params![LOG_GROUP, now],
        )?;
        self.next_key =
            self.db.query_row("SELECT coalesce(max(key), 0) + 1 FROM jobs", [], |row| row.get(0))?;
        self.commit()
    }

    /// Says what is wrong with the files that tell how much the database had.
    pub fn report_damage(&mut self, warnings: &mut Vec<String>) {
        database::report_damage(self.harm.take(), warnings);
    }

    /// The number of the transaction that is committed next.
    pub fn next_commit(&self) -> u64 {
        self.commits.next()
    }

    /// Journals of runners are about to be removed.
    pub fn journals_removed(&self) {
        self.commits.journals_removed();
    }

    /// The loss of the database, if there is one.
    pub fn missing(&self) -> Option<&Missing> {
        self.missing.as_ref()
    }

    /// The transaction that is open has what follows from that.
    pub fn losses_recovered(&mut self) -> rusqlite::Result<()> {
        self.missing = None;
        self.commits.losses_recovered();
        // Also where nothing follows from it, the transaction is to count.
        self.commits.count(&self.db)
    }

    /// Begins a transaction. One that is `durable` is on the disk when [`Store::commit`] returns;
    /// any other survives the end of this process, and the next durable one puts it on the disk,
    /// too.
    pub fn begin(&self, durable: bool) -> rusqlite::Result<()> {
        self.open.set((durable, self.db.total_changes()));
        self.db.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })?;
        self.db.execute_batch("BEGIN IMMEDIATE")
    }

    /// How many rows have been changed since the database was opened.
    pub fn total_changes(&self) -> u64 {
        self.db.total_changes()
    }

    /// Ends a transaction.
    pub fn commit(&self) -> rusqlite::Result<()> {
        let (durable, before) = self.open.get();
        // Until it is known what follows from a loss, nothing may make up for it in number.
        let changed = self.db.total_changes() != before && self.missing.is_none();
        if changed {
            self.commits.count(&self.db)?;
        }
        self.db.execute_batch("COMMIT")?;
        if changed {
            self.commits.committed(durable);
        }
        Ok(())
    }

    /// All that has been committed is on the disk now.
    pub fn synced(&self) {
        self.commits.synced();
    }

    /// Moves what is in the log into the database's own file, as far as it can be without waiting
    /// for anybody; `true` when nothing is left. On a disk that has no other space, the next
    /// transactions take the log's.
    pub fn checkpoint(&self) -> bool {
        database::checkpoint(&self.db).unwrap_or_else(|e| {
            tracing::warn!("database: {e}");
            false
        })
    }

    /// Forgets a transaction.
    pub fn rollback(&self) {
        // Keys are never given twice, not even those that were rolled back.
        let _ = self.db.execute_batch("ROLLBACK");
    }

    /// Adds a job that `submitter` has submitted, with all its children, and returns its key.
    pub fn add(
        &mut self,
        id: &str,
        plan: &SubmitPlan,
        submitter: Option<JobKey>,
        now: i64,
    ) -> rusqlite::Result<JobKey> {
        let key = self.next_key;
        let text = |e: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(e.into());
        let (status, each) = first_status(&plan.terms, plan.size);
        let summary = plan.size.map(|size| Summary::all(size, each));
        let nodes = plan.terms.nodes.as_ref().map(Nodes::count);
        let summary = summary.map(|s| serde_json::to_string(&s)).transpose().map_err(text)?;
        self.db
            .prepare_cached(
                "INSERT INTO jobs (key, id, queue, name, size, summary, status, created_at, nodes, submitter)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                key,
                id,
                plan.spec.queue,
                plan.name,
                plan.size,
                summary,
                status.code(),
                now,
                nodes,
                submitter.map(|job| job.0),
            ])?;
        let terms = serde_json::to_string(&plan.terms).map_err(text)?;
        let spec = serde_json::to_string(&plan.spec).map_err(text)?;
        self.db
            .prepare_cached("INSERT INTO specs VALUES (?1, ?2, ?3)")?
            .execute(params![key, terms, spec])?;
        for of in &plan.terms.consumes {
            self.db
                .prepare_cached("INSERT INTO consumers VALUES (?1, ?2)")?
                .execute(params![of.name, key])?;
        }
        self.next_key += 1;
        let mut child = self.db.prepare_cached(
            "INSERT INTO jobs (key, parent, idx, status, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for index in 0..plan.size.or(nodes).unwrap_or(0) {
            child.execute(params![self.next_key, key, index, each.code(), now])?;
            self.next_key += 1;
        }
        Ok(JobKey(key))
    }

    /// Writes a job as it is now.
    pub fn save(&self, job: &Job) -> rusqlite::Result<()> {
        let summary = job.children.as_ref().and_then(|s| serde_json::to_string(s).ok());
        let gpus = job.allocation.as_ref().map(|allocation| &allocation.gpus).filter(|gpus| !gpus.is_empty());
        let gpus = gpus.and_then(|gpus| serde_json::to_string(gpus).ok());
        self.db
            .prepare_cached(
                "UPDATE jobs SET status = ?2, status_reason = ?3, started_at = ?4, stopped_at = ?5, attempts = ?6,
                     task = ?7, runner = ?8, exit_code = ?9, reason = ?10, ending = ?11, cancelled = ?12,
                     summary = ?13, environment = ?14, gpus = ?15, address = ?16, scheduled_at = ?17
                 WHERE key = ?1",
            )?
            .execute(params![
                job.key.0,
                job.status.code(),
                job.status_reason,
                job.started_at,
                job.stopped_at,
                job.attempts,
                job.last_attempt_id.as_ref().map(AttemptId::as_str),
                job.current.as_ref().map(|c| c.runner.as_str()),
                job.exit_code,
                job.reason,
                job.ending.as_ref().map(|e| &e.reason),
                job.ending.as_ref().map(|e| e.cancelled),
                summary,
                job.allocation.as_ref().map(|allocation| &allocation.environment),
                gpus,
                job.address.map(|address| address.to_string()),
                job.scheduled_at,
            ])?;
        Ok(())
    }

    /// Writes an attempt that has ended.
    pub fn save_attempt(&self, attempt: &Attempt) -> rusqlite::Result<()> {
        let containers = Some(&attempt.containers).filter(|containers| !containers.is_empty());
        let containers = containers.and_then(|containers| serde_json::to_string(containers).ok());
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                attempt.key.0,
                attempt.number,
                attempt.attempt_id.as_str(),
                attempt.started_at,
                attempt.stopped_at,
                attempt.exit_code,
                attempt.reason,
                attempt.status_reason,
                attempt.output.map(|length| i64::try_from(length).unwrap_or(i64::MAX)),
                containers,
            ])?;
        Ok(())
    }

    /// Makes the log stream of an attempt of a job.
    pub fn add_stream(&self, group: &str, name: &str, job: JobKey, now: i64) -> rusqlite::Result<()> {
        log_streams::add_stream(&self.db, group, name, job, now)
    }

    /// Changes log groups and log streams.
    pub fn change_logs(
        &self,
        change: &log_streams::Change,
        now: i64,
    ) -> rusqlite::Result<Result<log_streams::Removed, ApiError>> {
        log_streams::apply(&self.db, change, now)
    }

    /// Some of the jobs that ended before a time: as many as can be removed in a moment, and at
    /// least one.
    pub fn expired(&self, before: i64) -> rusqlite::Result<Vec<Expired>> {
        const MOST_JOBS: i64 = 200;
        const MOST_STREAMS: usize = 1000;
        let mut statement = self.db.prepare_cached(
            "SELECT key, coalesce(size, nodes, 0), size IS NULL FROM jobs
             WHERE parent IS NULL AND status >= 5 AND stopped_at < ?1 ORDER BY stopped_at LIMIT ?2",
        )?;
        let rows = statement.query_map(params![before, MOST_JOBS], |row| {
            Ok((JobKey(row.get(0)?), row.get::<_, u32>(1)?, row.get::<_, bool>(2)?))
        })?;
        let mut expired: Vec<Expired> = Vec::new();
        for row in rows {
            if expired.iter().map(|job| job.streams.len()).sum::<usize>() > MOST_STREAMS {
                break;
            }
            let (first, below, may_have_nodes) = row?;
            let last = JobKey(first.0 + i64::from(below));
            // An unreadable record must not block the others.
            let spec = self.spec(first).or_else(|e| match database::is_damage(&e) {
                true => Ok(Spec::unreadable()),
                false => Err(e),
            })?;
            let mut attempt_ids =
                self.db.prepare_cached("SELECT job, task FROM attempts WHERE job BETWEEN ?1 AND ?2")?;
            let streams = attempt_ids.query_map([first.0, last.0], |row| {
                let (job, attempt_id): (i64, String) = (row.get(0)?, row.get(1)?);
                let node = Some(job - first.0 - 1).filter(|_| may_have_nodes && below > 0);
                let node = node.and_then(|index| u32::try_from(index).ok());
                Ok(spec.log_streams(node, &attempt_id))
            })?;
            let streams = streams.collect::<rusqlite::Result<Vec<_>>>()?.concat();
            expired.push(Expired { first, last, streams });
        }
        Ok(expired)
    }

    /// Removes a job with its children or nodes, its attempts and its log streams.
    pub fn remove(&self, job: &Expired) -> rusqlite::Result<()> {
        let range = [job.first.0, job.last.0];
        // The jobs that it has submitted now belong to its own submitter.
        let above = "UPDATE jobs SET submitter = (SELECT submitter FROM jobs WHERE key = ?1)
                     WHERE submitter BETWEEN ?1 AND ?2";
        self.db.prepare_cached(above)?.execute(range)?;
        // Nobody's: a revision's number is not given again.
        let nobodys = "UPDATE definitions SET active = 0, registrant = 0 WHERE registrant BETWEEN ?1 AND ?2";
        self.db.prepare_cached(nobodys)?.execute(range)?;
        self.db.prepare_cached("DELETE FROM attempts WHERE job BETWEEN ?1 AND ?2")?.execute(range)?;
        self.db.prepare_cached("DELETE FROM jobs WHERE key BETWEEN ?1 AND ?2")?.execute(range)?;
        self.db.prepare_cached("DELETE FROM specs WHERE key = ?1")?.execute([job.first.0])?;
        self.db.prepare_cached("DELETE FROM consumers WHERE job = ?1")?.execute([job.first.0])?;
        job.streams.iter().try_for_each(|(group, stream)| self.remove_stream(group, stream))
    }

    /// Removes a log stream's row.
    pub fn remove_stream(&self, group: &str, name: &str) -> rusqlite::Result<()> {
        let delete = "DELETE FROM log_streams WHERE log_group = ?1 AND name = ?2";
        self.db.prepare_cached(delete)?.execute([group, name]).map(|_| ())
    }

    /// Finds the jobs that a request depends on, or says why there are none.
    pub fn dependencies(&self, plan: &SubmitPlan) -> rusqlite::Result<Result<Vec<Dependency>, ApiError>> {
        let mut found = Vec::new();
        for asked in &plan.depends_on {
            let RequestedDependency::On { id, kind } = asked else {
                found.push(Dependency::Sequential);
                continue;
            };
            // A node is a part of its job, not a job that one could wait for.
            let Some(key) = self.find(id)?.filter(|_| !id.contains('#')) else {
                return Ok(Err(ApiError::client(format!("dependsOn: job {id} not found"))));
            };
            found.push(match kind {
                None => Dependency::Whole(key),
                Some(_) => {
                    let size: Option<u32> =
                        self.db
                            .query_row("SELECT size FROM jobs WHERE key = ?1", [key.0], |row| row.get(0))?;
                    if size != plan.size {
                        let is = size
                            .map_or("is no array".to_owned(), |n| format!("has {}", words::many(n, "child")));
                        return Ok(Err(ApiError::client(format!(
                            "dependsOn: N_TO_N needs an array job of the same size; {id} {is}"
                        ))));
                    }
                    Dependency::Each(key)
                }
            });
        }
        Ok(Ok(found))
    }

    /// How those that a job of this size is to depend on have ended, if they have.
    pub fn outcomes(
        &self,
        dependencies: &[Dependency],
        size: u32,
    ) -> rusqlite::Result<HashMap<JobKey, Status>> {
        let mut outcomes = HashMap::new();
        let mut statement = self
            .db
            .prepare_cached("SELECT key, status FROM jobs WHERE key BETWEEN ?1 AND ?2 AND status >= 5")?;
        for dependency in dependencies {
            let (first, last) = match *dependency {
                Dependency::Whole(key) => (key, key),
                Dependency::Each(key) => (key.child(0), key.child(size)),
                Dependency::Sequential => continue,
            };
            let mut rows = statement.query([first.0, last.0])?;
            while let Some(row) = rows.next()? {
                outcomes.insert(JobKey(row.get(0)?), status(row.get(1)?));
            }
        }
        Ok(outcomes)
    }

    /// The connection, for the rows of stacks, which change in the same transactions.
    pub fn connection(&self) -> &Connection {
        &self.db
    }

    /// A queue, compute environment or scheduling policy.
    pub fn resource(&self, kind: ResourceKind, name: &str) -> rusqlite::Result<Option<Value>> {
        resource_rows::one(&self.db, kind, name)
    }

    /// All of a kind, by name.
    pub fn resources(&self, kind: ResourceKind) -> rusqlite::Result<Vec<(String, Value)>> {
        resource_rows::all(&self.db, kind)
    }

    /// Makes or changes one.
    pub fn put_resource(&self, kind: ResourceKind, name: &str, body: &Value) -> rusqlite::Result<()> {
        let change = "INSERT OR REPLACE INTO resources VALUES (?1, ?2, ?3)";
        self.db.execute(change, params![kind.as_str(), name, body.to_string()]).map(|_| ())
    }

    /// Removes one.
    pub fn remove_resource(&self, kind: ResourceKind, name: &str) -> rusqlite::Result<()> {
        let change = "DELETE FROM resources WHERE kind = ?1 AND name = ?2";
        self.db.execute(change, params![kind.as_str(), name]).map(|_| ())
    }

    /// The body of a revision of a job definition.
    pub fn definition(&self, name: &str, revision: i64) -> rusqlite::Result<Option<Value>> {
        definition_body(&self.db, name, revision)
    }

    /// Changes the body of a revision of a job definition: its tags, as nothing else can change.
    pub fn put_definition(&self, name: &str, revision: i64, body: &Value) -> rusqlite::Result<()> {
        let change = "UPDATE definitions SET body = ?3 WHERE name = ?1 AND revision = ?2";
        self.db.execute(change, params![name, revision, body.to_string()]).map(|_| ())
    }

    /// Changes what DescribeJobs shows of a job.
    pub fn put_spec(&self, key: JobKey, spec: &Spec) -> rusqlite::Result<()> {
        let spec =
            serde_json::to_string(spec).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        self.db.execute("UPDATE specs SET spec = ?2 WHERE key = ?1", params![key.0, spec]).map(|_| ())
    }

    /// Registers a revision of a job definition, for a job in a container or else for the owner,
    /// and returns its number. Revisions are numbered for all registrants together.
    pub fn register(&self, name: &str, body: &Value, registrant: Option<JobKey>) -> rusqlite::Result<i64> {
        self.db.query_row(
            "INSERT INTO definitions (name, revision, active, body, registrant)
             SELECT ?1, coalesce(max(revision), 0) + 1, 1, ?2, ?3 FROM definitions WHERE name = ?1
             RETURNING revision",
            params![name, body.to_string(), registrant.map(|job| job.0)],
            |row| row.get(0),
        )
    }

    /// Makes a revision inactive.
    pub fn deregister(&self, name: &str, revision: i64) -> rusqlite::Result<()> {
        let change = "UPDATE definitions SET active = 0 WHERE name = ?1 AND revision = ?2";
        self.db.execute(change, params![name, revision]).map(|_| ())
    }

    /// Which job an ID means; the key of a child follows its parent's.
    pub fn find(&self, id: &str) -> rusqlite::Result<Option<JobKey>> {
        find(&self.db, id)
    }

    /// The specification of a job.
    pub fn spec(&self, key: JobKey) -> rusqlite::Result<Spec> {
        let text: String = self
            .db
            .prepare_cached("SELECT spec FROM specs WHERE key = ?1")?
            .query_row([key.0], |row| row.get(0))?;
        from_json(&text)
    }

    /// The ID of a job that is not a child.
    pub fn id(&self, key: JobKey) -> rusqlite::Result<String> {
        self.db.prepare_cached("SELECT id FROM jobs WHERE key = ?1")?.query_row([key.0], |row| row.get(0))
    }

    /// All jobs that have not ended, and the nodes of those that are multi-node jobs; and those of
    /// them whose records are damaged, with what is wrong.
    pub fn active(&self) -> rusqlite::Result<(Vec<Job>, Vec<DamagedJob>)> {
        let columns =
            "key, parent, idx, summary, status, status_reason, started_at, stopped_at, attempts, task,
            runner, exit_code, reason, ending, cancelled, environment, gpus, address, scheduled_at";
        let mut statement = self.db.prepare(&format!(
            "SELECT {columns} FROM jobs WHERE status < 5
             UNION ALL
             SELECT {columns} FROM jobs
             WHERE parent IN (SELECT key FROM jobs WHERE status < 5 AND nodes IS NOT NULL) AND status >= 5
             ORDER BY key"
        ))?;
        let (mut jobs, mut damaged) = (Vec::new(), Vec::new());
        let mut terms: Option<(i64, Arc<Terms>, Option<String>)> = None;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(0)?;
            let parent: Option<i64> = row.get(1)?;
            let owner = parent.unwrap_or(key);
            // Children follow their parent, so the terms just read are mostly theirs, too.
            let (shared, harm) = match &terms {
                Some((of, terms, harm)) if *of == owner => (Arc::clone(terms), harm.clone()),
                _ => {
                    let text: Option<Text> = self
                        .db
                        .prepare_cached("SELECT terms FROM specs WHERE key = ?1")?
                        .query_row([owner], |row| row.get(0))
                        .optional()?;
                    let (new, harm) = match from_json::<Terms>(&text.map(|text| text.0).unwrap_or_default()) {
                        Ok(terms) => (Arc::new(terms), None),
                        Err(e) => (Arc::new(Terms::unreadable()), Some(format!("its terms: {e}"))),
                    };
                    terms = Some((owner, Arc::clone(&new), harm.clone()));
                    (new, harm)
                }
            };
            let (job, harm_of_row) = job(row, JobKey(key), parent.map(JobKey), shared)?;
            damaged.extend(harm.or(harm_of_row).map(|harm| (job.key, harm)));
            jobs.push(job);
        }
        Ok((jobs, damaged))
    }
}

/// A job as its row has it, and what of the row is damaged.
fn job(
    row: &Row<'_>,
    key: JobKey,
    parent: Option<JobKey>,
    terms: Arc<Terms>,
) -> rusqlite::Result<(Job, Option<String>)> {
    let text = |at: usize| row.get::<_, Option<Text>>(at).map(|text| text.map(|text| text.0));
    let number = |at: usize| row.get::<_, Option<Number>>(at);
    let mut damage = None;
    let mut harmed = |what: &str, e: rusqlite::Error| damage = Some(format!("{what}: {e}"));
    let index: Option<u32> = number(2)?.map(Number::to);
    let summary = text(3)?.map(|text| from_json(&text)).transpose();
    let summary = summary.map_err(|e| harmed("the statuses of its children", e)).ok().flatten();
    let attempt_id: Option<AttemptId> = text(9)?.map(AttemptId::from);
    let runner = text(10)?.and_then(|text| RunnerId::parse(&text));
    let cancelled = number(14)?.map(|flag| flag.0 != 0);
    let gpus = text(16)?.map(|text| from_json(&text)).transpose();
    let gpus = gpus.map_err(|e| harmed("its GPUs", e)).ok().flatten().unwrap_or_default();
    let job = Job {
        key,
        child: parent.zip(index),
        children: summary,
        terms,
        status: status(number(4)?.map_or(u8::MAX, |code| u8::try_from(code.0).unwrap_or(u8::MAX))),
        status_reason: text(5)?,
        scheduled_at: number(18)?.map(|at| at.0),
        started_at: number(6)?.map(|at| at.0),
        stopped_at: number(7)?.map(|at| at.0),
        attempts: number(8)?.map(Number::to).unwrap_or_default(),
        allocation: text(15)?.map(|environment| Allocation { environment, gpus }),
        current: attempt_id.clone().zip(runner).map(|(attempt_id, runner)| Current { attempt_id, runner }),
        last_attempt_id: attempt_id,
        exit_code: number(11)?.map(Number::to),
        reason: text(12)?,
        address: text(17)?.and_then(|text| text.parse().ok()),
        ending: text(13)?.map(|reason| EndRequest { reason, cancelled: cancelled.unwrap_or(false) }),
    };
    Ok((job, damage))
}

/// The body of a revision of a job definition.
fn definition_body(db: &Connection, name: &str, revision: i64) -> rusqlite::Result<Option<Value>> {
    let sql = "SELECT body FROM definitions WHERE name = ?1 AND revision = ?2";
    let found = db.query_row(sql, params![name, revision], |row| row.get::<_, Text>(0)).optional()?;
    found.map(|body| from_json(&body.0)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::open_store;

    #[test]
    fn the_address_of_a_main_node_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let store = open_store(home.path(), &crate::capacity::capacity()).unwrap();
        let terms = r#"{"resources": {"vcpus": 1, "memory_mib": 1, "gpus": 0}, "retry": {"attempts": 1, "rules": []}}"#;
        store
            .db
            .execute_batch(&format!(
                "INSERT INTO jobs (key, id, status, created_at, nodes) VALUES (1, 'a', 4, 0, 1);
                 INSERT INTO jobs (key, parent, idx, status, created_at) VALUES (2, 1, 0, 4, 0);
                 INSERT INTO specs VALUES (1, '{terms}', '{{}}');"
            ))
            .unwrap();
        let mut main = store.active().unwrap().0.remove(1);
        assert_eq!((main.key, main.address), (JobKey(2), None));
        main.address = Some([172, 18, 0, 2].into());
        store.save(&main).unwrap();
        assert_eq!(store.active().unwrap().0[1], main);
    }
}
