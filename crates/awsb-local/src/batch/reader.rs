//! Jobs, attempts and job definitions in the database: the reading end.
//!
//! Any number of connections read, each seeing what has been committed, none waiting for the
//! writer.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::definition::{DefinitionName, arn};
use super::model::{JobKey, Registrants, Span, Summary};
use super::request::{Definition, Spec};
use super::resource_rows::{self, ResourceKind};
use super::rows::{find, from_json, status};
use super::state::Attempt;
use crate::database;
use crate::database::lossy::{Number, Text};
use crate::home::files::BATCH_DATABASE;
use crate::http::protocol::ApiError;
use crate::runner::protocol::AttemptId;
use awsb_model::Status;

/// A job as the API shows it.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// Its key.
    pub key: JobKey,
    /// Its ID, `PARENT:INDEX` for a child, `PARENT#INDEX` for a node.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its index, for a child.
    pub index: Option<u32>,
    /// The job queue's name.
    pub queue: String,
    /// How many children, for an array.
    pub size: Option<u32>,
    /// How many nodes, for a multi-node job.
    pub nodes: Option<u32>,
    /// Whether `index` is that of a node, and how many there are.
    pub node_of: Option<u32>,
    /// The children's statuses, for an array.
    pub summary: Option<Summary>,
    /// Where it stands.
    pub status: Status,
    /// Why.
    pub status_reason: Option<String>,
    /// When it was submitted.
    pub created_at: i64,
    /// When its last attempt got its room.
    pub scheduled_at: Option<i64>,
    /// When its process came to exist.
    pub started_at: Option<i64>,
    /// When it ended.
    pub stopped_at: Option<i64>,
    /// The last attempt, with the log stream.
    pub attempt_id: Option<String>,
    /// The last attempt's exit code.
    pub exit_code: Option<i32>,
    /// The last attempt's `container.reason`.
    pub reason: Option<String>,
    /// Ended on request: by CancelJob (true) or TerminateJob (false).
    pub cancelled: Option<bool>,
    /// Where its spec is: its own key or its parent's.
    pub owner: JobKey,
    /// The part of it that cannot be read, if there is one.
    pub damage: Option<String>,
}

const ROW: &str =
    "j.key, coalesce(j.id, p.id || iif(p.nodes IS NULL, ':', '#') || j.idx), coalesce(j.name, p.name), j.idx,
    j.size, j.summary, j.status, j.status_reason, j.created_at, j.started_at, j.stopped_at, j.task, j.exit_code,
    j.reason, j.cancelled, coalesce(j.parent, j.key), coalesce(j.queue, p.queue), j.nodes, p.nodes,
    j.scheduled_at";

fn job_row(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    let text = |at: usize| row.get::<_, Option<Text>>(at).map(|text| text.map(|text| text.0));
    let number = |at: usize| row.get::<_, Option<Number>>(at);
    let whole = |at: usize| Ok::<_, rusqlite::Error>(number(at)?.map_or(0, |number| number.0));
    let summary = text(5)?.map(|text| from_json::<Summary>(&text)).transpose();
    let status_code: Option<Number> = number(6)?;
    let damage = match (&summary, status_code.map(|code| code.0)) {
        (Err(e), _) => Some(format!("the statuses of its children: {e}")),
        (_, Some(0..=6)) => None,
        (_, Some(code)) => Some(format!("its status is {code}")),
        (_, None) => Some("it has no status".to_owned()),
    };
    Ok(JobRow {
        key: JobKey(whole(0)?),
        id: text(1)?.unwrap_or_default(),
        name: text(2)?.unwrap_or_default(),
        index: number(3)?.map(Number::to),
        size: number(4)?.map(Number::to),
        summary: summary.ok().flatten(),
        status: status(status_code.map_or(u8::MAX, |code| u8::try_from(code.0).unwrap_or(u8::MAX))),
        status_reason: text(7)?,
        created_at: whole(8)?,
        scheduled_at: number(19)?.map(|at| at.0),
        started_at: number(9)?.map(|at| at.0),
        stopped_at: number(10)?.map(|at| at.0),
        attempt_id: text(11)?,
        exit_code: number(12)?.map(Number::to),
        reason: text(13)?,
        cancelled: number(14)?.map(|flag| flag.0 != 0),
        owner: JobKey(whole(15)?),
        queue: text(16)?.unwrap_or_default(),
        nodes: number(17)?.map(Number::to),
        node_of: number(18)?.map(Number::to),
        damage,
    })
}

/// SQL for something in a job's spec.
fn of_spec(path: &str) -> String {
    format!(
        "(SELECT iif(json_valid(s.spec), json_extract(s.spec, '{path}'), NULL) FROM specs s WHERE s.key = j.key)"
    )
}

/// Which jobs ListJobs is to return.
#[derive(Debug, Clone)]
pub enum Listing {
    /// Of a queue, in one status, newest first.
    Queue(String, Status),
    /// Of a queue, in any status, newest first, for which this holds.
    Filtered(String, Filter),
    /// Children of an array, or nodes of a multi-node job, in one status, by index.
    Children(JobKey, Status),
}

/// API: ListJobs' filters.
#[derive(Debug, Clone)]
pub enum Filter {
    /// JOB_NAME; with `*` at its end, by its start.
    Name(String),
    /// JOB_DEFINITION: a name or an ARN; a name with `*` at its end, by its start.
    Definition(DefinitionName),
    /// SHARE_IDENTIFIER.
    Share(String),
    /// BEFORE_CREATED_AT.
    Before(i64),
    /// AFTER_CREATED_AT.
    After(i64),
}

/// The reading end: a few connections, each used by one request at a time.
#[derive(Debug, Clone)]
pub struct Reader {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Jobs whose records were found to be damaged, with what is wrong.
    damaged: Mutex<BTreeMap<JobKey, String>>,
}

impl Reader {
    /// A reader of the database of a home.
    pub fn new(home: &Path) -> Self {
        let path = home.join(BATCH_DATABASE);
        Self { pool: Arc::new(Pool { path, idle: Mutex::default(), damaged: Mutex::default() }) }
    }

    /// The jobs whose records were found to be damaged, if there are any.
    pub fn problem(&self) -> Option<String> {
        let damaged = self.pool.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        let named: Vec<&str> = damaged.values().take(MOST_NAMED).map(String::as_str).collect();
        let more = damaged.len().saturating_sub(named.len());
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let path = self.pool.path.display();
        (!named.is_empty()).then(|| format!("{path} is damaged: {}{more}", named.join("; ")))
    }

    /// Runs a query where blocking is allowed.
    ///
    /// # Errors
    /// `ServerException` when the database cannot be read, and what `query` itself says.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Snapshot) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let reader = self.clone();
        let read = tokio::task::spawn_blocking(move || reader.read_now(query));
        read.await.map_err(|e| ApiError::server(e.to_string()))?
    }

    /// Runs a query in this thread.
    ///
    /// # Errors
    /// See [`Reader::read`].
    pub fn read_now<T>(&self, query: impl FnOnce(&Snapshot) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let db = match idle {
            Some(db) => db,
            None => database::reader(&self.pool.path)?,
        };
        // One transaction, so that everything a request sees is of one moment.
        db.execute_batch("BEGIN")?;
        let snapshot = Snapshot(db, Arc::clone(&self.pool));
        let outcome = query(&snapshot);
        if snapshot.0.execute_batch("COMMIT").is_ok() {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(snapshot.0);
        }
        outcome
    }
}

/// How many damaged jobs are named at most.
const MOST_NAMED: usize = 10;

/// The database at one moment.
#[derive(Debug)]
pub struct Snapshot(Connection, Arc<Pool>);

impl Snapshot {
    /// A job by its ID.
    pub fn job(&self, id: &str) -> rusqlite::Result<Option<JobRow>> {
        let Some(key) = find(&self.0, id)? else { return Ok(None) };
        self.job_of(key)
    }

    /// The job that is in an attempt now, by the attempt's ID.
    pub fn job_in_attempt(&self, attempt_id: &str) -> rusqlite::Result<Option<JobKey>> {
        // The condition on the state is that of the index of jobs that have not ended.
        let mut found = self.0.prepare_cached("SELECT key FROM jobs WHERE status < 5 AND task = ?1")?;
        found.query_row([attempt_id], |row| row.get(0).map(JobKey)).optional()
    }

    /// Which job an ID means.
    pub fn find(&self, id: &str) -> rusqlite::Result<Option<JobKey>> {
        find(&self.0, id)
    }

    /// A job, the array or multi-node job that it is a part of, the job that submitted that, and so
    /// on.
    pub fn ancestors(&self, job: JobKey) -> rusqlite::Result<Vec<JobKey>> {
        let mut above =
            self.0.prepare_cached("SELECT coalesce(parent, submitter) FROM jobs WHERE key = ?1")?;
        let (mut ancestors, mut next) = (Vec::new(), Some(job.0));
        while let Some(key) = next {
            let found: Option<Option<i64>> = above.query_row([key], |row| row.get(0)).optional()?;
            ancestors.push(JobKey(key));
            // A job's submitter and its parent have lower keys.
            next = found.flatten().filter(|above| *above < key);
        }
        Ok(ancestors)
    }

    /// A job with its children or nodes.
    pub fn span(&self, job: JobKey) -> rusqlite::Result<Span> {
        let parts: Option<u32> = self
            .0
            .prepare_cached("SELECT coalesce(size, nodes, 0) FROM jobs WHERE key = ?1")?
            .query_row([job.0], |row| row.get(0))
            .optional()?;
        Ok(Span { first: job, last: JobKey(job.0 + i64::from(parts.unwrap_or(0))) })
    }

    /// How many jobs have not ended that came out of a job: those that it has submitted, that these
    /// have submitted, and so on. Children and nodes count, and what they are the parts of does
    /// not.
    pub fn open_jobs(&self, root: Span) -> rusqlite::Result<u64> {
        let sql = format!(
            "{} SELECT count(*) FROM line JOIN jobs k ON k.key BETWEEN line.first AND line.last
             WHERE line.first <> {} AND k.status < 5 AND k.size IS NULL AND k.nodes IS NULL",
            root.with_lineage(),
            root.first.0
        );
        let open: i64 = self.0.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
        Ok(u64::try_from(open).unwrap_or(0))
    }

    /// A job's specification; `owner` is [`JobRow::owner`].
    pub fn spec(&self, owner: JobKey) -> rusqlite::Result<Spec> {
        let text: String = self
            .0
            .prepare_cached("SELECT spec FROM specs WHERE key = ?1")?
            .query_row([owner.0], |r| r.get(0))?;
        from_json(&text)
    }

    /// The specification of a job for showing it, as far as it can be read. Damage is reported in
    /// the job's reason, in the log, and in the status of the cluster.
    pub fn readable(&self, row: &mut JobRow) -> rusqlite::Result<Spec> {
        let spec = match self.spec(row.owner) {
            Ok(spec) => spec,
            Err(e) if database::is_damage(&e) || e == rusqlite::Error::QueryReturnedNoRows => {
                row.damage.get_or_insert_with(|| format!("what it does: {e}"));
                Spec::unreadable()
            }
            Err(e) => return Err(e),
        };
        self.report_damage(row);
        Ok(spec)
    }

    /// Says what of a job cannot be read.
    pub fn report_damage(&self, row: &mut JobRow) {
        let Some(damage) = &row.damage else { return };
        let what = format!("the record of job {} is damaged: {damage}", row.id);
        let mut damaged = self.1.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged.insert(row.key, what.clone()).is_none() {
            tracing::warn!("{}: {what}", self.1.path.display());
        }
        let reason = row.status_reason.take().map(|reason| format!("{reason}; ")).unwrap_or_default();
        row.status_reason = Some(format!("{reason}{what}"));
    }

    /// A job's attempts that have ended, from first to last.
    pub fn attempts(&self, key: JobKey) -> rusqlite::Result<Vec<Attempt>> {
        let mut statement = self.0.prepare_cached(
            "SELECT number, task, started_at, stopped_at, exit_code, reason, status_reason, output,
                 containers
             FROM attempts WHERE job = ?1 ORDER BY number",
        )?;
        let rows = statement.query_map([key.0], |row| {
            let text = |at: usize| row.get::<_, Option<Text>>(at).map(|text| text.map(|text| text.0));
            let number = |at: usize| row.get::<_, Option<Number>>(at);
            Ok(Attempt {
                key,
                number: number(0)?.map(Number::to).unwrap_or_default(),
                attempt_id: AttemptId::from(text(1)?.unwrap_or_default()),
                started_at: number(2)?.map(|at| at.0),
                stopped_at: number(3)?.map_or(0, |at| at.0),
                exit_code: number(4)?.map(Number::to),
                reason: text(5)?,
                status_reason: text(6)?.unwrap_or_default(),
                output: number(7)?.map(Number::to),
                // Containers that cannot be read are shown without their ends.
                containers: text(8)?.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
            })
        })?;
        rows.collect()
    }

    /// Up to `limit` jobs of a listing that come after the job with the key `after`; of a queue,
    /// those that are in a lineage.
    pub fn list(
        &self,
        listing: &Listing,
        lineage: Option<Span>,
        after: Option<i64>,
        limit: usize,
    ) -> rusqlite::Result<Vec<JobRow>> {
        let seen = match lineage {
            None => String::new(),
            Some(span) => format!("AND j.key IN ({} SELECT first FROM line)", span.with_lineage()),
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let newest = after.unwrap_or(i64::MAX);
        let queue = |condition: &str| {
            // By status the index of the statuses, else that of all: never a sort of the whole
            // queue.
            let index = if condition.starts_with("j.status") { "jobs_listed" } else { "jobs_of_queue" };
            format!(
                "SELECT {ROW} FROM jobs j INDEXED BY {index} LEFT JOIN jobs p ON p.key = j.parent
                 WHERE j.parent IS NULL AND j.queue = ?1 AND j.key < ?2 AND {condition} {seen}
                 ORDER BY j.key DESC LIMIT ?3"
            )
        };
        let filtered = |name: &str, condition: &str, value: &dyn rusqlite::ToSql| {
            let mut statement = self.0.prepare_cached(&queue(condition))?;
            let rows = statement.query_map(params![name, newest, limit, value], job_row)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        match listing {
            Listing::Queue(name, status) => filtered(name, "j.status = ?4", &status.code()),
            Listing::Filtered(queue, Filter::Before(at)) => filtered(queue, "j.created_at < ?4", at),
            Listing::Filtered(queue, Filter::After(at)) => filtered(queue, "j.created_at > ?4", at),
            Listing::Filtered(queue, Filter::Name(name)) => match name.strip_suffix('*') {
                Some(start) => {
                    filtered(queue, "lower(substr(j.name, 1, length(?4))) = ?4", &start.to_lowercase())
                }
                None => filtered(queue, "lower(j.name) = ?4", &name.to_lowercase()),
            },
            Listing::Filtered(queue, Filter::Share(share)) => {
                filtered(queue, &format!("{} = ?4", of_spec("$.rest.shareIdentifier")), share)
            }
            Listing::Filtered(queue, Filter::Definition(definition)) => {
                let of = of_spec("$.jobDefinition");
                let start = match (definition.revision, definition.name.strip_suffix('*')) {
                    (Some(revision), _) => {
                        let arn = arn("job-definition", &format!("{}:{revision}", definition.name));
                        return filtered(queue, &format!("{of} = ?4"), &arn);
                    }
                    (None, Some(start)) => arn("job-definition", start),
                    (None, None) => arn("job-definition", &format!("{}:", definition.name)),
                };
                filtered(queue, &format!("substr({of}, 1, length(?4)) = ?4"), &start)
            }
            Listing::Children(parent, status) => {
                let sql = format!(
                    "SELECT {ROW} FROM jobs j JOIN jobs p ON p.key = j.parent
                     WHERE j.parent = ?1 AND j.status = ?2 AND j.key > ?3 ORDER BY j.key LIMIT ?4"
                );
                let mut statement = self.0.prepare_cached(&sql)?;
                let after = after.unwrap_or(0);
                let rows = statement.query_map(params![parent.0, status.code(), after, limit], job_row)?;
                rows.collect()
            }
        }
    }

    /// Up to `limit` jobs that require a consumable resource, for which `is_listed` holds; newest
    /// first, and older than `before`. An array is one job.
    pub fn consumers(
        &self,
        resource: &str,
        before: Option<i64>,
        limit: usize,
        is_listed: impl Fn(&JobRow) -> bool,
    ) -> rusqlite::Result<Vec<JobRow>> {
        let sql = format!(
            "SELECT {ROW} FROM consumers c JOIN jobs j ON j.key = c.job LEFT JOIN jobs p ON p.key = j.parent
             WHERE c.resource = ?1 AND c.job < ?2 ORDER BY c.job DESC"
        );
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map(params![resource, before.unwrap_or(i64::MAX)], job_row)?;
        rows.filter(|row| row.as_ref().map_or(true, &is_listed)).take(limit).collect()
    }

    /// How many jobs (arrays count as one) are in each status, in the order of [`Status::ALL`].
    pub fn counts(&self) -> rusqlite::Result<[u64; 7]> {
        let mut counts = [0; 7];
        let mut statement = self
            .0
            .prepare_cached("SELECT status, count(*) FROM jobs WHERE parent IS NULL GROUP BY status")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            // Shown as FAILED, as a job with such a status is.
            let code = row.get::<_, Option<Number>>(0)?.and_then(|code| usize::try_from(code.0).ok());
            let code = code.filter(|code| *code < counts.len()).unwrap_or(counts.len() - 1);
            counts[code] += row.get::<_, i64>(1)?.unsigned_abs();
        }
        Ok(counts)
    }

    /// A job by its key.
    pub fn job_of(&self, key: JobKey) -> rusqlite::Result<Option<JobRow>> {
        let sql = format!("SELECT {ROW} FROM jobs j LEFT JOIN jobs p ON p.key = j.parent WHERE j.key = ?1");
        self.0.prepare_cached(&sql)?.query_row([key.0], job_row).optional()
    }

    /// A queue, compute environment or scheduling policy.
    pub fn resource(&self, kind: ResourceKind, name: &str) -> rusqlite::Result<Option<Value>> {
        resource_rows::one(&self.0, kind, name)
    }

    /// All of a kind, by name.
    pub fn resources(&self, kind: ResourceKind) -> rusqlite::Result<Vec<(String, Value)>> {
        resource_rows::all(&self.0, kind)
    }

    /// The active job definition of this name that one of these registrants has registered.
    pub fn definition(
        &self,
        name: &DefinitionName,
        registrants: &Registrants,
    ) -> rusqlite::Result<Option<Definition>> {
        let found: Option<(i64, String)> = self
            .0
            .prepare_cached(&format!(
                "SELECT revision, body FROM definitions
                 WHERE name = ?1 AND active AND (?2 IS NULL OR revision = ?2) AND {}
                 ORDER BY revision DESC LIMIT 1",
                registrants.condition()
            ))?
            .query_row(params![name.name, name.revision], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        found
            .map(|(revision, body)| {
                Ok(Definition {
                    arn: arn("job-definition", &format!("{}:{revision}", name.name)),
                    name: name.name.clone(),
                    body: from_json(&body)?,
                })
            })
            .transpose()
    }

    /// Whether a revision of a job definition exists, with any registrant.
    pub fn has_definition(&self, name: &DefinitionName) -> rusqlite::Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM definitions WHERE name = ?1 AND (?2 IS NULL OR revision = ?2) AND active)";
        self.0.prepare_cached(sql)?.query_row(params![name.name, name.revision], |row| row.get(0))
    }

    /// Name, revision, whether it is active, and body of up to `limit` revisions of these
    /// registrants, after the given one.
    #[allow(clippy::type_complexity)]
    pub fn definitions(
        &self,
        only: Option<&DefinitionName>,
        active: Option<bool>,
        registrants: &Registrants,
        after: (&str, i64),
        limit: usize,
    ) -> rusqlite::Result<Vec<(String, i64, bool, Value)>> {
        // Explicit, so that the index is used.
        let by_name = if only.is_some() { "name = ?1" } else { "?1 IS NULL" };
        let mut statement = self.0.prepare_cached(&format!(
            "SELECT name, revision, active, body FROM definitions
             WHERE {by_name} AND (?2 IS NULL OR revision = ?2) AND (?3 IS NULL OR active = ?3)
                 AND (name, revision) > (?4, ?5) AND {}
             ORDER BY name, revision LIMIT ?6",
            registrants.condition()
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (name, revision) = (only.map(|n| &n.name), only.and_then(|n| n.revision));
        let rows = statement.query_map(params![name, revision, active, after.0, after.1, limit], |row| {
            let (name, body): (Text, Text) = (row.get(0)?, row.get(3)?);
            let revision: i64 = row.get(1)?;
            let body = from_json(&body.0).unwrap_or_else(|e| {
                tracing::warn!("the record of job definition {}:{revision} is damaged: {e}", name.0);
                json!({"type": "container"})
            });
            Ok((name.0, revision, row.get(2)?, body))
        })?;
        rows.collect()
    }

    /// The attempts of jobs that have not ended.
    pub fn active_tasks(&self) -> rusqlite::Result<HashSet<String>> {
        let mut statement =
            self.0.prepare_cached("SELECT task FROM jobs WHERE status < 5 AND task IS NOT NULL")?;
        statement.query_map([], |row| row.get::<_, Text>(0).map(|attempt_id| attempt_id.0))?.collect()
    }

    /// The IDs and names of the jobs, children and nodes that are about to run, or run.
    pub fn assigned(&self) -> rusqlite::Result<Vec<(String, String)>> {
        let sql = format!(
            "SELECT {ROW} FROM jobs j LEFT JOIN jobs p ON p.key = j.parent
             WHERE j.status < 5 AND j.runner IS NOT NULL ORDER BY j.key"
        );
        let mut statement = self.0.prepare_cached(&sql)?;
        statement.query_map([], |row| job_row(row).map(|job| (job.id, job.name)))?.collect()
    }

    /// How many attempts are about to run, and how many run.
    pub fn assigned_tasks(&self) -> rusqlite::Result<(u32, u32)> {
        let sql = "SELECT count(*) FILTER (WHERE status = ?1), count(*) FILTER (WHERE status = ?2)
                   FROM jobs WHERE status < 5 AND runner IS NOT NULL";
        let statuses = [Status::Starting.code(), Status::Running.code()];
        self.0.prepare_cached(sql)?.query_row(statuses, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The database, for what has its queries elsewhere: log groups and log streams.
    pub fn connection(&self) -> &Connection {
        &self.0
    }
}
