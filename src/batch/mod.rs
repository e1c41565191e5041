//! Talking to AWS Batch: submit, list, describe, terminate, wait.
//!
//! [`Job`] is a job as Batch describes it, in a type of our own. The SDK's shapes end at `convert`.

mod capacity_cache;
pub mod consumables;
mod convert;
pub mod definition;
mod describe;
mod exec_target;
mod history;
mod history_file;
mod hosts;
mod job;
mod job_containers;
mod known_jobs;
mod list;
mod poll;
mod protocol;
mod query;
mod queues;
mod recorded_names;
mod rejection;
mod resolve;
mod resubmit;
mod running_limit;
mod submit;
mod task;
mod terminate;
mod wait_set;

pub use capacity_cache::{
    CachedCapacity, Details as CapacityDetails, cache_capacity, cached_capacity, environments_of,
};
pub use describe::{
    JobDetails, describe, describe_as_answered, describe_one, describe_with_environment, sdk_details, unknown,
};
pub use exec_target::{ExecTarget, ExecTask, exec_target};
pub use history::{
    RecordedJob, SubmissionRecord, last_of_another_session, record_submission, recorded_ids, recorded_jobs,
};
pub use hosts::{Host, HostJob, HostResources, UNITS, hosts, instances, jobs_by_host};
pub use job::{
    Attempt, ConsumableResourceProperties, ConsumableResourceRequirement, Dependency, Job, reasons,
};
pub use job_containers::{ContainerStream, shown_name};
pub use known_jobs::{KnownJobs, known_jobs};
pub use list::{ListPage, ListTarget, children, list, pages, pages_in_turn, parts, parts_in_order};
pub use poll::{PollInterval, poll_job};
pub use query::{JobQuery, ListOrder, newest_last, select, select_by_name, select_pages};
pub use queues::{
    BlockingJob, ComputeEnvironment, JobCount, Queue, QueueSnapshot, QueueUsage, SnapshotJob, TimeLimit,
    environments, find_queue, queue_snapshot, queue_usage, queues,
};
pub use recorded_names::{recorded_consumable_resources, recorded_containers, recorded_queues};
pub use resolve::{ResolvedJobs, find_task, resolve_ids, resolve_jobs};
pub use resubmit::{Resubmission, resubmissions};
pub use running_limit::{
    EndedLimit, ended_limits, limit_of, remove_earlier_limits, remove_ended_limit, remove_limits_of,
    remove_limits_of_ended, remove_unused_limit,
};
pub use submit::{RetryPolicy, SubmissionProgress, Submitted, SubmittedJobs, once, submit};
pub use task::{AttemptContainer, AttemptPod, Container};
pub use terminate::{TerminationProgress, terminate, terminate_all, terminate_each};
pub use wait_set::{Counts, JobWaitSet};
