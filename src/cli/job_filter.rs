//! The options by which bstat and bkill find jobs that are not named.

use super::submitter;
use crate::aws::Session;
use crate::batch::{self, Job, JobQuery};
use crate::ui::Failure;
use awsb_model::{Invalid, NameGlob, Status, Submitter, TimeArg, queue_name};

/// The options that select jobs.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Selecting jobs")]
pub struct JobFilterArgs {
    /// Jobs in these states, separated by commas; ALL means every state. With an array's ID: its
    /// children in these states
    #[arg(short, long, value_name = "LIST", value_parser = statuses)]
    pub status: Option<Statuses>,
    /// The jobs of this queue; may be repeated [default: the cluster's]
    #[arg(short, long, value_name = "NAME", value_parser = queue_name)]
    pub queue: Vec<String>,
    /// The jobs of all queues of the account and region
    #[arg(long, conflicts_with = "queue")]
    pub all_queues: bool,
    /// Jobs with a matching name, such as 'align-*'
    #[arg(long, value_name = "GLOB")]
    pub name: Option<NameGlob>,
    /// Jobs submitted at this time or later: 2h (ago), yesterday, 14:30, 2026-01-31, RFC 3339
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<TimeArg>,
    /// Jobs submitted before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<TimeArg>,
    /// Your own jobs: those submitted by this user
    #[arg(long)]
    pub mine: bool,
}

/// The value of `--status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(pub Vec<Status>);

fn statuses(text: &str) -> Result<Statuses, Invalid> {
    let mut list = Vec::new();
    for word in text.split(',').map(str::trim) {
        if word.eq_ignore_ascii_case("ALL") {
            list.extend(Status::ALL);
        } else {
            list.push(word.parse()?);
        }
    }
    list.sort();
    list.dedup();
    Ok(Statuses(list))
}

impl JobFilterArgs {
    /// Whether one of the options is given.
    pub fn is_given(&self) -> bool {
        let Self { status, queue, all_queues, name, since, until, mine } = self;
        status.is_some()
            || !queue.is_empty()
            || *all_queues
            || name.is_some()
            || since.is_some()
            || until.is_some()
            || *mine
    }

    /// The query for the selected jobs of a cluster; in the `usual` states if no state is given.
    ///
    /// # Errors
    /// For `--mine`, when the user has no name.
    pub fn query(&self, session: &Session, usual: &[Status]) -> Result<JobQuery, Failure> {
        let queues = match self.queue.as_slice() {
            [] if !self.all_queues => vec![session.cluster.job_queue.clone()],
            queues => queues.to_vec(),
        };
        let nobody = || {
            Failure::usage("--mine: this user has no user name here")
                .hint(format!("set `{}=NAME` in the environment, for bsub as well", Submitter::VARIABLE))
        };
        Ok(JobQuery {
            queues,
            statuses: self.status.as_ref().map_or(usual, |s| &s.0).to_vec(),
            name: self.name.clone(),
            since: self.since,
            until: self.until,
            submitter: if self.mine { Some(submitter().ok_or_else(nobody)?) } else { None },
        })
    }

    /// All jobs that are selected, the oldest first.
    ///
    /// # Errors
    /// When Batch cannot be asked or does not know a queue.
    pub async fn jobs(&self, session: &Session, usual: &[Status]) -> Result<Vec<Job>, Failure> {
        batch::select(session, &self.query(session, usual)?).await
    }

    /// Makes an attempt to read the queues of this selection. If the cluster's queue is gone and
    /// came from the cache, the cluster is read again and the attempt is made once more. The
    /// session has the fresh cluster afterwards.
    ///
    /// # Errors
    /// As the attempt and [`Session::reload`].
    pub async fn with_fresh_queues<T>(
        &self,
        session: &mut Session,
        attempt: impl AsyncFn(&Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.queue.is_empty() {
            true => session.with_fresh_cluster(attempt).await,
            false => attempt(session).await,
        }
    }
}
