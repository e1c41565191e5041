//! Looking for the jobs that carry a mark.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_batch::types::{JobDetail, KeyValuePair, KeyValuesPair};

use super::Submitted;
use crate::cluster::{Session, explain};
use crate::job::{JobId, Mark, limits};
use crate::ui::Failure;

/// How far our clock may be from Batch's. Batch refuses a signature that is more than five minutes off (IAM User
/// Guide, Signature Version 4), so that nothing is submitted with a clock that is worse.
pub const CLOCK_SKEW: Duration = Duration::from_secs(15 * 60);

/// For how long a queue's jobs of all names are fewer than its jobs of one name.
const RECENT: Duration = Duration::from_secs(60 * 60);

/// Jobs in a page of ListJobs with a filter (API `ListJobs`, `maxResults`).
const FILTERED_PAGE: i32 = 100;

/// A job that carries a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// When Batch took it, in milliseconds since the epoch.
    pub created_at: i64,
    /// The job.
    pub job: Submitted,
}

/// A search among a queue's jobs of one name, which may look many times, and describes no job twice.
///
/// What a look costs: a ListJobs call for each 100 jobs (children not counted) that have been submitted to the
/// queue since 15 minutes before the first try, whatever their names; and a DescribeJobs call for each 100 of
/// those that have the name and have not been seen before. The job that is looked for is among the youngest,
/// so a search that finds it mostly takes one call of each, however many jobs have its name.
///
/// ListJobs takes one filter (API `ListJobs`, `filters`). By time, its answer ends where the search ends. By name,
/// it goes on for all that Batch remembers, a week and more, with no place at which to stop: "the results are
/// grouped by the job name and version", newest first within a group only. So the name is for searches that
/// begin long after the submission.
#[derive(Debug)]
pub struct Search {
    queue: String,
    name: String,
    /// No job that was created before this, in milliseconds since the epoch, is of interest.
    after: i64,
    filter: KeyValuesPair,
    /// The jobs of the name that have been described, and the mark of each.
    seen: HashMap<JobId, Option<(Mark, Found)>>,
}

impl Search {
    /// A search for jobs that were submitted at `since`, by our clock, or later.
    pub fn new(queue: &str, name: &str, since: SystemTime) -> Self {
        let after = milliseconds(since.checked_sub(CLOCK_SKEW).unwrap_or(UNIX_EPOCH));
        let recent = since.elapsed().is_ok_and(|ago| ago < RECENT);
        let (by, value) =
            if recent { ("AFTER_CREATED_AT", after.to_string()) } else { ("JOB_NAME", name.to_owned()) };
        Self {
            queue: queue.to_owned(),
            name: name.to_owned(),
            after,
            filter: KeyValuesPair::builder().name(by).values(value).build(),
            seen: HashMap::new(),
        }
    }

    /// Looks once: through all jobs, or with `enough` no further than to the first job with this mark.
    ///
    /// # Errors
    /// When Batch cannot be asked, or does not describe a job that it lists: then the look was not complete. What it
    /// has found counts all the same.
    pub async fn look(&mut self, session: &Session, enough: Option<&Mark>) -> Result<(), Failure> {
        let mut pages = session
            .batch
            .list_jobs()
            .job_queue(&self.queue)
            .filters(self.filter.clone())
            .max_results(FILTERED_PAGE)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| explain(session, &self.doing(), &e))?;
            let of_interest = page.job_summary_list().iter().filter(|job| {
                // The filter for names does not tell `a` from `A`.
                job.job_name() == Some(&self.name) && job.created_at().is_none_or(|at| at >= self.after)
            });
            let new: Vec<JobId> = of_interest
                .filter_map(|job| job.job_id().map(JobId::from_batch))
                .filter(|id| !self.seen.contains_key(id))
                .collect();
            for ids in new.chunks(limits::DESCRIBE_JOBS_IDS) {
                self.describe(session, ids).await?;
            }
            if enough.is_some_and(|mark| !self.with(mark).is_empty()) {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn describe(&mut self, session: &Session, ids: &[JobId]) -> Result<(), Failure> {
        let ids: Vec<String> = ids.iter().map(|id| id.as_str().to_owned()).collect();
        let asked = ids.len();
        let answer = session.batch.describe_jobs().set_jobs(Some(ids)).send().await;
        let answer = answer.map_err(|e| explain(session, &self.doing(), &e))?;
        for job in answer.jobs() {
            let marked = mark_of(job).map(|mark| (mark, Found::from(job)));
            self.seen.insert(JobId::from_batch(job.job_id().unwrap_or_default()), marked);
        }
        match asked.saturating_sub(answer.jobs().len()) {
            0 => Ok(()),
            missing => {
                let what = format!("{}: Batch lists {missing} jobs that it does not describe", self.doing());
                Err(Failure::failed(what).passing(true))
            }
        }
    }

    /// The jobs with this mark that have been found so far, the oldest first.
    pub fn with(&self, mark: &Mark) -> Vec<&Found> {
        let marked = self.seen.values().flatten().filter(|(m, _)| m == mark).map(|(_, found)| found);
        let mut found: Vec<&Found> = marked.collect();
        found.sort_by(|a, b| (a.created_at, &a.job.job_id).cmp(&(b.created_at, &b.job.job_id)));
        found
    }

    fn doing(&self) -> String {
        format!("looking for the job {} in the queue {}", self.name, self.queue)
    }
}

impl From<&JobDetail> for Found {
    fn from(job: &JobDetail) -> Self {
        Self {
            created_at: job.created_at().unwrap_or_default(),
            job: Submitted {
                job_arn: job.job_arn().map(str::to_owned),
                job_name: job.job_name().unwrap_or_default().to_owned(),
                job_id: job.job_id().unwrap_or_default().to_owned(),
            },
        }
    }
}

/// The mark that a job carries; a multi-node job has it in its nodes' environment.
fn mark_of(job: &JobDetail) -> Option<Mark> {
    let container = job.container().map(|c| c.environment()).unwrap_or_default();
    let nodes = job.node_properties().map(|n| n.node_range_properties()).unwrap_or_default();
    let nodes = nodes.iter().filter_map(|range| range.container()).flat_map(|c| c.environment());
    let value = |v: &KeyValuePair| match v.name() {
        Some(Mark::VARIABLE) => v.value().map(Mark::recorded),
        _ => None,
    };
    container.iter().chain(nodes).find_map(value)
}

/// A time in milliseconds since the epoch, as Batch has them.
pub fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_batch::types::{ContainerDetail, ContainerProperties, NodeProperties, NodeRangeProperty};

    fn variable(name: &str, value: &str) -> KeyValuePair {
        KeyValuePair::builder().name(name).value(value).build()
    }

    #[test]
    fn the_mark_is_in_the_container_or_in_the_nodes() {
        let mark = Mark::random();
        let marked = variable(Mark::VARIABLE, mark.as_str());
        let container =
            ContainerDetail::builder().environment(variable("A", "1")).environment(marked.clone());
        let job = JobDetail::builder().container(container.build()).build();
        assert_eq!(mark_of(&job), Some(mark.clone()));

        let range = NodeRangeProperty::builder()
            .target_nodes("0:")
            .container(ContainerProperties::builder().environment(marked).build());
        let nodes =
            NodeProperties::builder().num_nodes(2).main_node(0).node_range_properties(range.build()).build();
        assert_eq!(mark_of(&JobDetail::builder().node_properties(nodes).build()), Some(mark));

        let unmarked = ContainerDetail::builder().environment(variable("A", "1"));
        assert_eq!(mark_of(&JobDetail::builder().container(unmarked.build()).build()), None);
    }

    #[test]
    fn the_oldest_comes_first_and_the_id_decides_between_equals() {
        let mark = Mark::random();
        let mut search = Search::new("q", "n", SystemTime::now());
        for (id, created_at) in [("c", 2), ("b", 1), ("a", 2)] {
            let job = Submitted { job_arn: None, job_name: "n".into(), job_id: id.into() };
            search.seen.insert(JobId::from_batch(id), Some((mark.clone(), Found { created_at, job })));
        }
        search.seen.insert(JobId::from_batch("unmarked"), None);
        let ids: Vec<&str> = search.with(&mark).iter().map(|found| found.job.job_id.as_str()).collect();
        assert_eq!(ids, ["b", "a", "c"]);
        assert!(search.with(&Mark::random()).is_empty());
    }

    #[test]
    fn long_after_the_submission_the_search_goes_by_name() {
        let by = |ago: u64| {
            let since = SystemTime::now() - Duration::from_secs(ago);
            Search::new("q", "n", since).filter.name().map(str::to_owned)
        };
        assert_eq!(by(60).as_deref(), Some("AFTER_CREATED_AT"));
        assert_eq!(by(7200).as_deref(), Some("JOB_NAME"));
    }
}
