//! Arrays and MNP jobs: their children and nodes, grouped by outcome.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::evidence::{Evidence, ObservedJob};
use super::failure_cause::Cause;
use super::finding::{Code, Finding};
use super::{failed as ends, waiting};
use awsb_model::{Status, words};

/// The number of index ranges that a finding names.
const NAMED: usize = 6;
/// The exit codes of a container that is stopped: by SIGTERM, and by SIGKILL 30 seconds later.
const STOPPED: i32 = 143;
const KILLED: i32 = 137;

/// The finding with the number of parts in each state.
pub fn counts(evidence: &Evidence) -> Option<Finding> {
    let counts: Vec<String> = evidence
        .parts
        .counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    if counts.is_empty() {
        return None;
    }
    let (what, all) = match (evidence.job.size, evidence.job.nodes) {
        (Some(size), _) => ("children", size),
        (None, nodes) => ("nodes", nodes.unwrap_or_default()),
    };
    Some(Finding::new(Code::Parts, format!("of its {all} {what}, {}", words::and(&counts))))
}

/// The findings for an array whose children are not all done. `find` makes the findings for its
/// first child that waits.
pub fn pending(evidence: &Evidence, find: impl FnOnce(&Evidence) -> Vec<Finding>) -> Vec<Finding> {
    let dependencies = waiting::dependencies(evidence);
    let begun = evidence.parts.counts.iter().any(|(status, count)| *count > 0 && *status > Status::Pending);
    let mut found = Vec::new();
    if !begun && !dependencies.is_empty() {
        return dependencies;
    }
    found.extend(counts(evidence));
    if let Some(waiting) = &evidence.parts.first_waiting {
        let index = waiting.job.part().unwrap_or_default();
        let child = words::child(index, task(evidence, index));
        let first = format!("{child}, the first that is {}", waiting.job.status);
        let names = std::iter::once(first).chain(std::iter::repeat(child));
        let child = find(waiting).into_iter().zip(names);
        found.extend(
            child.map(|(finding, name)| Finding {
                message: format!("{name}: {}", finding.message),
                ..finding
            }),
        );
    }
    found.extend(groups(evidence).into_iter().map(|group| group.finding(evidence)));
    if found.is_empty() {
        found.push(Finding::new(Code::Parts, "its children are being made"));
    }
    found
}

/// The findings for an array or an MNP job that failed.
pub fn failed(evidence: &Evidence) -> Vec<Finding> {
    let groups = groups(evidence);
    if !evidence.chain.is_empty() && groups.iter().all(|g| g.cause.code == Code::DependencyFailed) {
        return ends::failed(evidence);
    }
    if evidence.job.nodes.is_some() {
        // The job ends when its main node ends.
        return ends::failed(evidence).into_iter().chain(nodes(evidence, groups)).collect();
    }
    let size = evidence.job.size.unwrap_or_default();
    let all: usize = groups.iter().map(|g| g.indices.len()).sum();
    let first = first_failed(&evidence.parts.failed);
    let more = first.map(|child| format!("`bout {}` shows the output of the first one", child.id));
    let mut found = match groups.as_slice() {
        // If no child has failed, the array itself has: a user ended it, or its dependency failed.
        [] => return ends::failed(evidence),
        [only] => {
            let mut finding = only.finding(evidence);
            let cause = only.finding_for_first(evidence).message;
            let which = tasks(evidence, &only.indices).unwrap_or_else(|| {
                let children = if all == 1 { "child" } else { "children" };
                format!(" ({children} {})", words::indices(&only.indices, NAMED))
            });
            finding.message = format!("{all} of its {} failed{which}: {cause}", words::many(size, "child"));
            vec![finding]
        }
        several => {
            let kinds = several.len();
            let summary = format!("{all} of its {} failed, in {kinds} ways", words::many(size, "child"));
            let mut found = vec![Finding::new(Code::Parts, summary)];
            found.extend(several.iter().map(|group| group.finding(evidence)));
            found
        }
    };
    if let (Some(first), Some(more)) = (found.first_mut(), more) {
        first.advice.insert(0, more);
    }
    found
}

/// The findings for the nodes that failed, the main node first. Batch ends the others when it ends
/// (UG `multi-node-parallel-jobs`).
fn nodes(evidence: &Evidence, mut groups: Vec<Group<'_>>) -> Vec<Finding> {
    let main = evidence.job.main_node;
    groups.sort_by_key(|group| !group.indices.contains(&main));
    let was_stopped = |cause: &Cause| matches!(cause.exit_code, Some(STOPPED | KILLED));
    let main_ended = groups.first().is_some_and(|g| g.indices.contains(&main) && !was_stopped(&g.cause));
    let causes = groups.iter().map(|group| {
        let (nodes, were) = if group.indices.len() == 1 { ("node", "was") } else { ("nodes", "were") };
        let which = words::indices(&group.indices, NAMED);
        let is_main = if group.indices == [main] { ", the main node" } else { "" };
        let message = match group.cause.exit_code {
            Some(code) if main_ended && was_stopped(&group.cause) => {
                format!("{nodes} {which} {were} ended with the main node (exit code {code})")
            }
            _ => format!("{nodes} {which}{is_main}: {}", group.cause.short),
        };
        Finding::new(Code::Parts, message)
    });
    causes.collect()
}

/// The task of a child.
fn task(evidence: &Evidence, index: u32) -> Option<u32> {
    evidence.job.tasks.as_ref()?.get(index)
}

/// The tasks of these children, if they differ from the indices: `, tasks 10 and 20 (:0-1)`.
fn tasks(evidence: &Evidence, indices: &[u32]) -> Option<String> {
    let tasks: Vec<u32> = indices.iter().map(|index| task(evidence, *index)).collect::<Option<_>>()?;
    let many = if tasks.len() == 1 { "task" } else { "tasks" };
    Some(format!(", {many} {} (:{})", words::indices(&tasks, NAMED), words::indices(indices, NAMED)))
}

/// The first part that failed by itself, and not because another one had failed.
pub fn first_failed(failed: &[ObservedJob]) -> Option<&ObservedJob> {
    let own =
        |part: &&ObservedJob| Cause::of(&ends::end(part), part.ended_by_user).code != Code::DependencyFailed;
    failed.iter().find(own).or(failed.first())
}

/// The parts that failed in the same way.
struct Group<'f> {
    cause: Cause,
    indices: Vec<u32>,
    first: &'f ObservedJob,
}

impl Group<'_> {
    /// The finding for the first part of the group.
    fn finding_for_first(&self, evidence: &Evidence) -> Finding {
        // A listing does not have the child's requests, but all children of an array have the same.
        let first = ObservedJob {
            demand: self.first.demand.or(evidence.job.demand),
            image: self.first.image.clone().or_else(|| evidence.job.image.clone()),
            timeout: self.first.timeout.or(evidence.job.timeout),
            ..self.first.clone()
        };
        self.cause.finding(&first, &ends::end(&first))
    }

    /// The finding for the group.
    fn finding(&self, evidence: &Evidence) -> Finding {
        let first = self.finding_for_first(evidence);
        let count = u32::try_from(self.indices.len()).unwrap_or(u32::MAX);
        let which = tasks(evidence, &self.indices)
            .unwrap_or_else(|| format!(" ({})", words::indices(&self.indices, NAMED)));
        let message = format!("{} failed{which}: {}", words::many(count, "child"), first.message);
        Finding { message, ..first }
    }
}

/// The parts that failed, by cause. The largest group comes first.
fn groups(evidence: &Evidence) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<(Code, Option<i32>), Group<'_>> = BTreeMap::new();
    for child in &evidence.parts.failed {
        // A user who ends an array ends its children; a listing does not always show this for them.
        let by_user = child.ended_by_user || evidence.job.ended_by_user;
        let cause = Cause::of(&ends::end(child), by_user);
        let key = (cause.code, cause.exit_code);
        let group = groups.entry(key).or_insert_with(|| Group { cause, indices: Vec::new(), first: child });
        group.indices.extend(child.part());
    }
    let mut groups: Vec<Group<'_>> = groups.into_values().collect();
    // Parts that failed because of others say the least, and come last.
    groups.sort_by_key(|group| {
        let follows = group.cause.code == Code::DependencyFailed;
        (follows, Reverse(group.indices.len()), group.indices.first().copied())
    });
    groups
}
