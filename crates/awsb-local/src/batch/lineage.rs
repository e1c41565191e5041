//! The lineage of jobs: the jobs that a container's key may see, end and read.
//!
//! The *lineage* of a job is the job itself (an array with its children), and all that was
//! submitted with the keys of its attempts, of these jobs' attempts, and so on. Each job that was
//! submitted with a job's key has that job's key on record as its `submitter`; it is that of a
//! child or a node where one of these submitted it.

use super::model::{JobKey, Registrants, Span};
use super::reader::{JobRow, Snapshot};
use super::request::{RequestedDependency, Spec};
use super::{container, log_streams};
use crate::access::objects::{self, ObjectKind};
use crate::access::operation::Logs;
use crate::access::{Attempt, Operation, Principal};
use crate::constants::LOG_GROUP;
use crate::http::protocol::ApiError;
use crate::logs::names::GroupName;
use awsb_model::limits;
use awsb_model::payload::launcher;

/// How many jobs that have not ended may have come out of a job in a container, children counted:
/// as many as one array has at most.
const MOST_OPEN: u64 = *limits::ARRAY_SIZE.end() as u64;

/// The variables in which a submitter names what the launcher fetches.
const BUNDLES: [&str; 2] = [launcher::BUNDLE_VARIABLE, launcher::INPUTS_VARIABLE];

/// The jobs that the sender of a request may see.
#[derive(Debug, Clone)]
pub enum JobScope {
    /// All jobs: the sender is the owner.
    All,
    /// The lineage of a job in a container.
    Of(Box<ContainedJob>),
}

/// A job in a container that makes a request.
#[derive(Debug, Clone)]
pub struct ContainedJob {
    attempt: Attempt,
    /// Itself: a child alone, and a node with its whole job, as nodes trust each other.
    span: Span,
    row: JobRow,
    spec: Spec,
    /// Itself, the array that it is a child of, the job that submitted that, and so on.
    ancestors: Vec<JobKey>,
}

impl JobScope {
    /// The scope of the sender of a request.
    ///
    /// # Errors
    /// When the database cannot be read, or the job is not there any more.
    pub fn of(db: &Snapshot, who: &Principal) -> Result<Self, ApiError> {
        let Some(attempt) = who.contained() else { return Ok(Self::All) };
        let gone =
            || ApiError::refused("AccessDeniedException", "The job of this key is not there any more.");
        let row = db.job_of(attempt.job)?.ok_or_else(gone)?;
        let span = match row.node_of {
            Some(nodes) => Span { first: row.owner, last: row.owner.child(nodes.saturating_sub(1)) },
            None => Span { first: row.key, last: row.key },
        };
        let spec = db.spec(row.owner)?;
        let ancestors = db.ancestors(row.key)?;
        Ok(Self::Of(Box::new(ContainedJob { attempt: attempt.clone(), span, row, spec, ancestors })))
    }

    /// The lineage that what is shown has to be of, if not all of it is.
    pub fn lineage(&self) -> Option<Span> {
        match self {
            Self::All => None,
            Self::Of(own) => Some(own.span),
        }
    }

    /// Checks that a job is in the scope. `None` stands for an object that belongs to no job.
    ///
    /// # Errors
    /// `AccessDeniedException` when it is not.
    pub fn check(&self, db: &Snapshot, job: Option<JobKey>, operation: Operation) -> Result<(), ApiError> {
        let Self::Of(own) = self else { return Ok(()) };
        match job {
            Some(job) if own.has(db, job)? => Ok(()),
            _ => Err(own
                .attempt
                .denied(operation, "only its own jobs, and what these have submitted, are allowed")),
        }
    }

    /// Checks that a new job may depend on these jobs: a job may read the results of its
    /// dependencies.
    ///
    /// # Errors
    /// `AccessDeniedException` when one is out of the scope.
    pub fn check_dependencies(
        &self,
        db: &Snapshot,
        asked: &[RequestedDependency],
        operation: Operation,
    ) -> Result<(), ApiError> {
        let Self::Of(own) = self else { return Ok(()) };
        for dependency in asked {
            if let RequestedDependency::On { id, .. } = dependency
                && !own.reads(db, id)?
            {
                let why = "dependsOn may name its own jobs, what these have submitted, and its dependencies";
                return Err(own.attempt.denied(operation, why));
            }
        }
        Ok(())
    }

    /// Checks that the output of a job may go to a log group: Batch's own, or one that exists. On
    /// AWS, too, creating a log group needs a permission.
    ///
    /// # Errors
    /// `AccessDeniedException` when the group does not exist.
    pub fn check_log_group(&self, db: &Snapshot, group: &str) -> Result<(), ApiError> {
        let Self::Of(own) = self else { return Ok(()) };
        if group == LOG_GROUP
            || log_streams::has_group(db.connection(), &GroupName::from_valid(group.to_owned()))?
        {
            return Ok(());
        }
        let why = format!("the log group {group:?} of awslogs-group is not there, and none may be made");
        Err(own.attempt.denied(Operation::Logs(Logs::CreateLogGroup), &why))
    }

    /// Checks that the lineage does not get too large when `more` jobs are submitted.
    ///
    /// # Errors
    /// `ClientException`: no client repeats the call, and AWS's message for a limit names it.
    pub fn check_room(&self, db: &Snapshot, more: u64) -> Result<(), ApiError> {
        let Self::Of(own) = self else { return Ok(()) };
        let open = db.open_jobs(own.root(db)?)?;
        if open.saturating_add(more) <= MOST_OPEN {
            return Ok(());
        }
        Err(ApiError::client(format!(
            "Limit exceeded: jobs in containers, and all that these have submitted, may have at most {MOST_OPEN} jobs \
             that have not ended; {open} have not, and {more} more are wanted. Submit again when some have ended."
        )))
    }

    /// The job in whose name job definitions are registered, if not in the owner's. The children of
    /// an array register for the whole array.
    pub fn registrant(&self) -> Option<JobKey> {
        match self {
            Self::All => None,
            Self::Of(own) => Some(own.row.owner),
        }
    }

    /// The registrants whose job definitions may be used: the owner, the ancestors of a job, and
    /// the job itself. Definitions of another container cannot be used, because their names may be
    /// those that are about to be derived.
    pub fn registrants(&self) -> Registrants {
        match self {
            Self::All => Registrants::Owner,
            Self::Of(own) => Registrants::OwnerAnd(own.ancestors.clone()),
        }
    }
}

impl ContainedJob {
    /// The attempt that asks.
    pub fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    /// The ID of the job that asks; a child's or a node's own.
    pub fn id(&self) -> &str {
        &self.row.id
    }

    /// Whether a job with this ID is in the lineage, so that what it has made is its own.
    pub fn has_made(&self, db: &Snapshot, id: &str) -> rusqlite::Result<bool> {
        match db.find(id)? {
            Some(job) => self.has(db, job),
            None => Ok(false),
        }
    }

    /// The first job of the lineage that runs in a container. All jobs that come from it count
    /// together.
    fn root(&self, db: &Snapshot) -> Result<Span, ApiError> {
        let mut root = self.span;
        for key in self.ancestors.iter().skip(1) {
            let Some(row) = db.job_of(*key)? else { break };
            let node = row.node_of.and(row.index);
            if !container::is_contained(db.spec(row.owner)?.container(node)) {
                break;
            }
            root = db.span(*key)?;
        }
        Ok(root)
    }

    /// Whether a job is in the lineage.
    fn has(&self, db: &Snapshot, job: JobKey) -> rusqlite::Result<bool> {
        Ok(db.ancestors(job)?.into_iter().any(|ancestor| self.span.has(ancestor)))
    }

    /// Whether the results of a job may be read: it is in the lineage, or a dependency.
    pub fn reads(&self, db: &Snapshot, id: &str) -> rusqlite::Result<bool> {
        if self.dependencies().iter().any(|dependency| dependency == id) {
            return Ok(true);
        }
        self.has_made(db, id)
    }

    /// The IDs of the jobs that this one itself depends on.
    fn dependencies(&self) -> Vec<String> {
        let index = self.row.index.filter(|_| self.row.node_of.is_none());
        let of = |asked: &RequestedDependency| match (asked, index) {
            (RequestedDependency::On { id, kind: Some(_) }, Some(index)) => Some(format!("{id}:{index}")),
            (RequestedDependency::On { id, .. }, _) => Some(id.clone()),
            (RequestedDependency::Sequential { .. }, Some(index)) => {
                index.checked_sub(1).map(|before| format!("{}:{before}", self.parent()))
            }
            (RequestedDependency::Sequential { .. }, None) => None,
        };
        self.spec.depends_on.iter().filter_map(of).collect()
    }

    /// The job's ID without a child's or a node's index.
    fn parent(&self) -> &str {
        self.row.id.split([':', '#']).next().unwrap_or_default()
    }

    /// The objects that it reaches.
    pub fn objects(&self) -> objects::Reachable {
        let node = self.row.node_of.and(self.row.index);
        let job = if node.is_some() { self.parent() } else { &self.row.id };
        let named = self.spec.environment(node).into_iter();
        let named = named.filter(|(name, _)| BUNDLES.contains(&name.as_str()));
        let bundles = named.filter_map(|(_, value)| match objects::kind_of_url(&value) {
            ObjectKind::Bundle(digest) => Some(digest),
            _ => None,
        });
        objects::Reachable {
            job: job.to_owned(),
            parent: self.parent().to_owned(),
            bundles: bundles.collect(),
        }
    }
}

/// The words for a job definition that somebody else's container has registered, or that is not
/// there.
pub fn no_definition(name: &str, registered_by_a_job: bool) -> ApiError {
    let why = if registered_by_a_job {
        ": a job in a container has registered it, and only that job and what it submits can use it"
    } else {
        ""
    };
    ApiError::client(format!("JobDefinition {name} not found or not ACTIVE{why}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::batch::open_store;
    use crate::batch::reader::{Listing, Reader};
    use crate::home::files::BATCH_DATABASE;
    use crate::runner::protocol::AttemptId;
    use awsb_model::Status;

    /// Key, parent, size of an array, number of nodes, submitter.
    type Row = (i64, Option<i64>, Option<u32>, Option<u32>, Option<i64>);

    /// Jobs by their keys: 1 is the owner's; 2 an array of two that 1 has submitted, with the
    /// children 3 and 4; 5 is what 4 has submitted; 6 the owner's, 7 what that has submitted; 8 the
    /// owner's multi-node job, with the nodes 9 and 10; 11 what node 10 has submitted.
    const JOBS: [Row; 11] = [
        (1, None, None, None, None),
        (2, None, Some(2), None, Some(1)),
        (3, Some(2), None, None, None),
        (4, Some(2), None, None, None),
        (5, None, None, None, Some(4)),
        (6, None, None, None, None),
        (7, None, None, None, Some(6)),
        (8, None, None, Some(2), None),
        (9, Some(8), None, None, None),
        (10, Some(8), None, None, None),
        (11, None, None, None, Some(10)),
    ];

    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        drop(open_store(home.path(), &crate::capacity::capacity()).unwrap());
        let db = rusqlite::Connection::open(home.path().join(BATCH_DATABASE)).unwrap();
        let spec =
            r#"{"jobDefinition": "d", "definitionName": "d", "container": {}, "parameters": {}, "rest": {}}"#;
        for (key, parent, size, nodes, submitter) in JOBS {
            let index = parent.map(|parent| key - parent - 1);
            let id = parent.is_none().then(|| format!("j{key}"));
            let queue = parent.is_none().then_some("local");
            db.execute(
                "INSERT INTO jobs
                     (key, id, parent, idx, queue, name, size, nodes, status, created_at, stopped_at, submitter)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'n', ?6, ?7, 6, 0, 0, ?8)",
                rusqlite::params![key, id, parent, index, queue, size, nodes, submitter],
            )
            .unwrap();
            db.execute("INSERT INTO specs VALUES (?1, '{}', ?2)", rusqlite::params![key, spec]).unwrap();
        }
        home
    }

    fn container(job: i64) -> Principal {
        Principal::Container(Attempt { attempt_id: AttemptId::random(), job: JobKey(job) })
    }

    /// The jobs that a job in a container has in its lineage, and those that a listing shows to it.
    fn seen(home: &std::path::Path, job: i64) -> (BTreeSet<i64>, BTreeSet<i64>) {
        let reader = Reader::new(home);
        reader
            .read_now(|db| {
                let scope = JobScope::of(db, &container(job))?;
                let operation = Operation::Batch(crate::access::operation::Batch::DescribeJobs);
                let has = |key: &i64| scope.check(db, Some(JobKey(*key)), operation).is_ok();
                let all = Listing::Queue("local".to_owned(), Status::Failed);
                let listed = db.list(&all, scope.lineage(), None, 100)?;
                Ok(((1..12).filter(has).collect(), listed.into_iter().map(|row| row.key.0).collect()))
            })
            .unwrap()
    }

    #[test]
    fn a_lineage_is_the_job_its_parts_and_what_these_have_submitted() {
        let home = home();
        let sees = |job, lineage: &[i64], listed: &[i64]| {
            let expected = (lineage.iter().copied().collect(), listed.iter().copied().collect());
            assert_eq!(seen(home.path(), job), expected, "{job}");
        };
        sees(1, &[1, 2, 3, 4, 5], &[1, 2, 5]);
        sees(3, &[3], &[]);
        sees(4, &[4, 5], &[5]);
        sees(6, &[6, 7], &[6, 7]);
        // Nodes are one job.
        sees(9, &[8, 9, 10, 11], &[8, 11]);
        let all = Reader::new(home.path())
            .read_now(|db| Ok(JobScope::of(db, &Principal::Owner)?.lineage().is_none()));
        assert!(all.unwrap());
    }

    #[test]
    fn a_job_that_is_forgotten_leaves_what_it_submitted_to_its_own_submitter() {
        let home = home();
        let store = open_store(home.path(), &crate::capacity::capacity()).unwrap();
        let db = rusqlite::Connection::open(home.path().join(BATCH_DATABASE)).unwrap();
        db.execute_batch("UPDATE jobs SET stopped_at = CASE WHEN key = 2 THEN 1 ELSE 1000 END").unwrap();
        let expired = store.expired(500).unwrap();
        assert_eq!(expired.len(), 1);
        store.remove(&expired[0]).unwrap();
        assert_eq!(seen(home.path(), 1).0, [1, 5].into());
    }
}
