//! Consumable resources (licences) that a RUNNABLE job, or the head of its queue, waits for.

use super::evidence::{ConsumableQuantities, Evidence, ObservedJob};
use super::finding::{Code, Finding};
use awsb_model::{RunningLimit, words};

/// A resource that is not available.
struct Shortage<'a> {
    name: &'a str,
    wanted: u64,
    /// `None`: the resource does not exist.
    quantities: Option<ConsumableQuantities>,
}

fn shortages<'a>(evidence: &'a Evidence, job: &'a ObservedJob) -> Vec<Shortage<'a>> {
    // A job that waits for its next attempt still has its resources (User Guide,
    // resource-aware-scheduling: they are unlocked at its end).
    if !job.attempts.is_empty() {
        return Vec::new();
    }
    let supply = |name: &str| evidence.consumables.iter().find(|supply| supply.name == name);
    let short = |(name, wanted): &'a (String, u64)| {
        let supply = supply(name)?;
        let is_short = supply.quantities.is_none_or(|of| of.available < *wanted);
        is_short.then_some(Shortage { name, wanted: *wanted, quantities: supply.quantities })
    };
    job.consumes.iter().filter_map(short).collect()
}

/// Whether a job waits for a consumable resource.
pub fn is_short(evidence: &Evidence, job: &ObservedJob) -> bool {
    !shortages(evidence, job).is_empty()
}

/// The resources that the job waits for.
pub fn own(evidence: &Evidence) -> Vec<Finding> {
    shortages(evidence, &evidence.job).iter().map(finding).collect()
}

fn finding(shortage: &Shortage<'_>) -> Finding {
    let &Shortage { name, wanted, quantities } = shortage;
    let is_limit = RunningLimit::is_one(name);
    let Some(of) = quantities else {
        let message =
            format!("it takes {wanted} of the consumable resource {name}, which does not exist any more");
        let again = match is_limit {
            true => format!(
                "`aws batch create-consumable-resource --consumable-resource-name {name} --total-quantity N` \
                 makes the limit of its array again, and the tasks go on"
            ),
            false => format!(
                "`aws batch create-consumable-resource --consumable-resource-name {name} --total-quantity N` \
                 makes it again, and jobs that wait for it go on"
            ),
        };
        return Finding::new(Code::ConsumableResource, message).advise(again);
    };
    if is_limit {
        let running = match of.in_use {
            1 => "and one does now".to_owned(),
            n => format!("and {n} do now"),
        };
        let at_most = match of.total {
            1 => "at most one task of its array runs".to_owned(),
            n => format!("at most {n} tasks of its array run"),
        };
        let message = format!("{at_most} at the same time (`%{}`), {running}", of.total);
        let more = format!(
            "`aws batch update-consumable-resource --consumable-resource {name} --operation SET --quantity N` \
             lets N of them run"
        );
        return Finding::new(Code::ArrayLimit, message).advise(more);
    }
    let needs = format!("it waits for the consumable resource {name}: it takes {wanted}");
    let add = format!(
        "`aws batch update-consumable-resource --consumable-resource {name} --operation ADD --quantity N` adds \
         N to it"
    );
    if of.total < wanted {
        let message = format!("{needs}, and there are {} in all", of.total);
        return Finding::new(Code::ConsumableResource, message).advise(add);
    }
    let message = format!("{needs}, and {} of {} are available", of.available, of.total);
    let finding = Finding::new(Code::ConsumableResource, message)
        .advise(format!("`bqueues --resources {name}` shows which jobs hold it"));
    if of.is_replenishable { finding } else { finding.advise(add) }
}

/// The resources that the job at the head of the queue waits for, so that those behind it may wait,
/// too.
pub fn of_head(evidence: &Evidence) -> Option<Finding> {
    let head = evidence.queue_order.as_ref()?.head.as_ref().filter(|head| head.id != evidence.job.id)?;
    let own = shortages(evidence, &evidence.job);
    let mut short = shortages(evidence, head);
    // What both wait for is said of the job itself.
    short.retain(|shortage| own.iter().all(|own| own.name != shortage.name));
    let names: Vec<String> = short
        .iter()
        .map(|shortage| match RunningLimit::is_one(shortage.name) {
            true => "the limit of its array (%N)".to_owned(),
            false => format!("the consumable resource {}", shortage.name),
        })
        .collect();
    if names.is_empty() {
        return None;
    }
    let has_policy = evidence.queue.as_ref().is_some_and(|queue| queue.has_policy);
    let behind = match has_policy {
        true => "the jobs of its share may wait behind it",
        false => "the jobs behind it may wait as well",
    };
    let message = format!(
        "the first job of the queue, {}, waits for {}; {behind}",
        head.called(),
        words::some(&names, 5)
    );
    let finding = Finding::new(Code::HeadWaitsForResource, message);
    let has_limit = short.iter().any(|shortage| RunningLimit::is_one(shortage.name));
    Some(match has_limit && !has_policy {
        false => finding,
        true => finding.advise(
            "a limited array does not hold up other jobs in a queue of its own; in a queue with fair shares, it holds \
             up only those of its own share",
        ),
    })
}
