//! The position of a RUNNABLE job in its queue.

use super::evidence::{Evidence, ObservedJob};
use super::finding::{Code, Finding};
use super::{blocked, consumables, too_large};
use awsb_model::{Status, words};

/// The number of jobs in a snapshot at most (API `GetJobQueueSnapshot`).
const SNAPSHOT: usize = 100;
/// The number of shares that a finding names.
const SHARES: usize = 5;

/// The job at the head of the queue, if that is another one and is blocked.
pub fn head(evidence: &Evidence) -> Option<Finding> {
    let limits = evidence.queue.as_ref().map(|q| q.limits.as_slice()).unwrap_or_default();
    blocked::of_head(other_head(evidence)?, limits)
}

fn other_head(evidence: &Evidence) -> Option<&ObservedJob> {
    evidence.queue_order.as_ref()?.head.as_ref().filter(|head| head.id != evidence.job.id)
}

/// Adds the head of the queue, if that is another job and AWS gives no reason why it waits. It
/// waits for its size unless it waits for a consumable resource.
fn with_head(evidence: &Evidence, mut finding: Finding) -> Finding {
    let waits = |head: &&ObservedJob| head.status == Status::Runnable;
    let Some(head) = other_head(evidence).filter(waits) else { return finding };
    if blocked::of_head(head, &[]).is_some() {
        return finding;
    }
    let demand = head.demand.filter(|_| !consumables::is_short(evidence, head));
    let needs = demand.map(|demand| format!(" waits for {} and", too_large::asks_in_all(head, demand)));
    finding.message.push_str(&format!(
        "; its head, {},{} goes first",
        head.called(),
        needs.unwrap_or_default()
    ));
    finding.advise(format!("`bstat --why {}` shows what the job at the head waits for", head.id))
}

/// The position of the job, and the job whose turn it is.
pub fn place(evidence: &Evidence) -> Vec<Finding> {
    let mut found = Vec::new();
    let Some(line) = &evidence.queue_order else { return found };
    let name = evidence.queue.as_ref().map_or("its queue", |q| q.name.as_str());
    let place = line.jobs.iter().position(|id| *id == evidence.job.id);
    let count = line.jobs.len();
    match place {
        Some(0) => {
            found.push(Finding::new(Code::HeadOfQueue, format!("it is the first in the queue {name}")))
        }
        Some(at) => {
            let of = if count >= SNAPSHOT { format!("first {count}") } else { count.to_string() };
            let place = words::place(at + 1);
            let message = format!("it is the {place} of the {of} RUNNABLE jobs of the queue {name}");
            found.push(with_head(evidence, Finding::new(Code::BehindOthers, message)));
        }
        None if count >= SNAPSHOT => {
            // A listing does not have children of arrays, so an empty one proves nothing.
            let before = line.before.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
            let before = before.map(|n| match n {
                1 => "; at least 1 waiting job was submitted before it".to_owned(),
                n => format!("; at least {n} waiting jobs were submitted before it"),
            });
            let message = format!(
                "it is not among the first {count} RUNNABLE jobs of the queue {name}{}",
                before.unwrap_or_default()
            );
            found.push(with_head(evidence, Finding::new(Code::BehindOthers, message)));
        }
        None => {}
    }
    if let (Some(last), true) = (found.last_mut(), evidence.queue.as_ref().is_some_and(|q| q.has_policy)) {
        last.message.push_str(&shares(evidence));
    }
    if let Some(queue) = evidence.queue.as_ref().filter(|q| !q.ahead.is_empty()) {
        let ahead = words::some(&queue.ahead, 5);
        found.push(Finding::new(
            Code::QueueWithHigherPriority,
            format!(
                "queues with a higher priority share its compute environments and have RUNNABLE jobs: {ahead}"
            ),
        ));
    }
    found
}

/// The use of the shares. Under a scheduling policy, the order is not that of submission.
fn shares(evidence: &Evidence) -> String {
    let shares = evidence.queue_order.as_ref().map(|line| line.shares.as_slice()).unwrap_or_default();
    let each: Vec<String> = shares.iter().map(|(share, used)| format!("{share} {used}")).collect();
    let used = if each.is_empty() {
        String::new()
    } else {
        format!("; vCPUs in use by share: {}", words::some(&each, SHARES))
    };
    let own = evidence.job.share.as_ref().map(|share| format!(", its share is {share}")).unwrap_or_default();
    format!("; shares that have used less go first{own}{used}")
}
