//! The promise.

use super::{Before, Job, Schedule, World};
use awsb_model::SubmissionId;

use crate::batch::protocol::types::{FAILED_PASSES, RETRY_PERIOD, TERMINATE_ATTEMPTS};
use crate::batch::protocol::{NotSubmitted, Outcome, Submitted};

/// Whether the promise holds in a schedule.
///
/// # Errors
/// The part of the promise that did not hold.
pub fn verdict(schedule: &Schedule) -> Result<(), String> {
    let world = World::run(schedule);
    if world.endless {
        return Err("it does not end".into());
    }
    for (number, client) in world.clients.iter().enumerate() {
        let is_last = schedule.keyed && number + 1 == world.clients.len();
        let who = format!("submitter {number}");
        for report in &client.interrupt_reports {
            let is_of_it = |job: &&Job| job.client == Some(number) && job.mark.as_ref() == Some(&report.mark);
            if world.jobs.iter().take(report.jobs_before).any(|job| is_of_it(&job)) {
                return Err(format!("{who} would have said that its job has not been submitted"));
            }
        }
        for (duplicate, kept) in &client.notes {
            let find = |id: &str| world.jobs.iter().find(|job| job.id == id);
            if find(duplicate).is_none_or(|job| job.is_alive()) {
                return Err(format!("{who} said that {duplicate} has been ended, and it lives"));
            }
            if find(kept).is_none_or(|job| !job.is_alive()) {
                return Err(format!("{who} said that {kept} is kept, and it does not live"));
            }
        }
        match &client.outcome {
            None if client.killed => {}
            None => return Err(format!("{who} did not end")),
            Some(Outcome::Submitted { jobs, .. }) => exactly(&world, &who, jobs)?,
            Some(outcome) if is_last => return Err(format!("the last run ended with {outcome:?}")),
            Some(outcome) => honest(&world, number, outcome)?,
        }
    }
    // Each terminated job is in a message, unless its submitter was killed before.
    for job in world.jobs.iter().filter(|job| job.terminated_at.is_some()) {
        let is_told = world.clients.iter().any(|c| c.notes.iter().any(|(duplicate, _)| *duplicate == job.id));
        let may_be_untold = world.clients.iter().any(|c| {
            c.killed || matches!(&c.outcome, Some(Outcome::NotTerminated { duplicate, .. }) if duplicate.job_id == job.id)
        });
        if !is_told && !may_be_untold {
            return Err(format!("the job {} was ended, and nobody said so", job.id));
        }
    }
    within_the_bound(&world)
}

/// The answer names the jobs that live, and there are no others.
fn exactly(world: &World, who: &str, jobs: &[Submitted]) -> Result<(), String> {
    // A submitter has been told that these may be duplicates.
    let is_named = |job: &Job| jobs.iter().any(|named| named.job_id == job.id);
    let is_told = |job: &Job| {
        !is_named(job)
            && world.clients.iter().enumerate().any(|(number, client)| match &client.outcome {
                Some(Outcome::NotTerminated { duplicate, .. }) => duplicate.job_id == job.id,
                Some(Outcome::RecordFailed { jobs: unsure, .. }) => {
                    unsure.iter().any(|unsure| unsure.job_id == job.id)
                }
                // A submitter that was stopped for longer than a lease and whose search failed.
                Some(Outcome::Unknown { .. } | Outcome::PossibleDuplicate { .. }) => {
                    job.client == Some(number) && is_stalled(&world.schedule)
                }
                _ => false,
            })
    };
    if jobs.len() != world.schedule.parts {
        return Err(format!("{who} named {} jobs", jobs.len()));
    }
    for (part, job) in jobs.iter().enumerate() {
        let of_part = world.jobs.iter().filter(|job| job.mark.is_some() && job.part == part);
        let alive = of_part.filter(|job| job.is_alive() && !is_told(job));
        let alive: Vec<&str> = alive.map(|job| job.id.as_str()).collect();
        if alive != [job.job_id.as_str()] {
            return Err(format!("{who} named {}, and of part {part} live {alive:?}", job.job_id));
        }
    }
    Ok(())
}

/// A failure claims nothing that is not so, and has a reason.
fn honest(world: &World, number: usize, outcome: &Outcome) -> Result<(), String> {
    let who = format!("submitter {number}");
    let there_is = |mark: &SubmissionId| world.jobs.iter().any(|job| job.mark.as_ref() == Some(mark));
    let made = |mark: &SubmissionId| {
        world.jobs.iter().any(|job| job.client == Some(number) && job.mark.as_ref() == Some(mark))
    };
    let alive = |id: &str| world.jobs.iter().any(|job| job.id == id && job.is_alive());
    let unless = |reason: bool, what: &str| match reason {
        true => Ok(()),
        false => Err(format!("{who} gave up with {what} without a reason: {outcome:?}")),
    };
    match outcome {
        Outcome::Rejected(not_submitted)
        | Outcome::TimedOut(not_submitted)
        | Outcome::NoReply(not_submitted) => {
            let NotSubmitted { mark, searched_for, keeps_key, .. } = not_submitted;
            // With a key, others submit with the same mark.
            match searched_for {
                None if there_is(mark) && !world.schedule.keyed => {
                    Err(format!("{who} said that there is no job, and there is one"))
                }
                // After the deduplication no job is listed, if Batch keeps to the bound.
                Some(_) if there_is(mark) && !world.schedule.keyed => {
                    Err(format!("{who} found no job with its mark, and there is one"))
                }
                _ if !keeps_key && made(mark) => Err(format!("{who} freed the key, and there is a job")),
                _ => Ok(()),
            }
        }
        Outcome::Unknown { .. } | Outcome::PossibleDuplicate { .. } | Outcome::SearchFailed { .. } => {
            // A job may be listed long before it is described.
            let is_late = world.schedule.bound > world.schedule.settle;
            let stalls =
                world.schedule.holders.iter().flat_map(|holder| &holder.stalls).map(|stall| stall.time);
            let times = world.schedule.reads.iter().map(|read| read.after).chain(stalls);
            let is_slow = times.sum::<i64>() >= RETRY_PERIOD;
            unless(is_late || is_slow || world.failures.reads >= FAILED_PASSES as usize, "its look")
        }
        Outcome::NotTerminated { duplicate, .. } => {
            if alive(&duplicate.job_id) || world.failures.terminates > 0 {
                unless(world.failures.terminates >= TERMINATE_ATTEMPTS as usize, "a double")
            } else {
                Err(format!("{who} could not end a double that was ended"))
            }
        }
        Outcome::RecordFailed { .. } => {
            unless(world.failures.records + world.failures.reads > 0, "the record")
        }
        Outcome::Gone { .. } => Err(format!("{who} said that a job is gone")),
        Outcome::JobsExpired { .. } => Err(format!("{who} said that Batch has forgotten a job")),
        Outcome::OtherJobs { .. } => Err(format!("{who} said that the key stands for others")),
        Outcome::Submitted { .. } => Ok(()),
    }
}

/// When Batch is never later than the settle time, and nobody is stopped for long, no job is there
/// twice, not even for a while.
fn within_the_bound(world: &World) -> Result<(), String> {
    let Schedule { settle, bound, .. } = &world.schedule;
    if bound > settle || is_stalled(&world.schedule) || world.schedule.before != Before::Nothing {
        return Ok(());
    }
    for job in world.jobs.iter().filter(|job| job.mark.is_some()) {
        if world.jobs.iter().any(|other| other.id != job.id && other.mark == job.mark) {
            return Err(format!("{} was there twice, although Batch held to the settle time", job.id));
        }
    }
    Ok(())
}

/// Whether a submitter is stopped for a time that counts beside a lease.
fn is_stalled(schedule: &Schedule) -> bool {
    let stalls = schedule.holders.iter().flat_map(|holder| &holder.stalls);
    stalls.map(|stall| stall.time).sum::<i64>() > schedule.settle / 8
}
