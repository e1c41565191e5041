//! Arrays and MNP jobs: their children and nodes, by what happened to them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::evidence::{Facts, JobFacts};
use super::failure_cause::Cause;
use super::{Code, Finding, failed as ends, waiting, words};
use awsb_model::Status;

/// So many runs of indices are named.
const NAMED: usize = 6;
/// The exit codes of a container that is stopped: by SIGTERM, and by SIGKILL 30 seconds later.
const STOPPED: i32 = 143;
const KILLED: i32 = 137;

/// How many parts are in which state.
pub fn counts(facts: &Facts) -> Option<Finding> {
    let counts: Vec<String> = facts
        .parts
        .counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    if counts.is_empty() {
        return None;
    }
    let (what, all) = match (facts.job.size, facts.job.nodes) {
        (Some(size), _) => ("children", size),
        (None, nodes) => ("nodes", nodes.unwrap_or_default()),
    };
    Some(Finding::new(Code::Parts, format!("of its {all} {what}, {}", words::and(&counts))))
}

/// An array whose children are not all done.
pub fn pending(facts: &Facts) -> Vec<Finding> {
    let dependencies = waiting::dependencies(facts);
    let begun = facts.parts.counts.iter().any(|(status, count)| *count > 0 && *status > Status::Pending);
    let mut found = Vec::new();
    if !begun && !dependencies.is_empty() {
        return dependencies;
    }
    found.extend(counts(facts));
    if let Some(waiting) = &facts.parts.first_waiting {
        let index = waiting.job.part().unwrap_or_default();
        let child = match task(facts, index) {
            Some(task) => format!("task {task} (:{index})"),
            None => format!("child {index}"),
        };
        let first = format!("{child}, the first that is {}", waiting.job.status);
        let names = std::iter::once(first).chain(std::iter::repeat(child));
        let child = super::findings(waiting).into_iter().zip(names);
        found.extend(
            child.map(|(finding, name)| Finding {
                message: format!("{name}: {}", finding.message),
                ..finding
            }),
        );
    }
    found.extend(groups(facts).into_iter().map(|group| group.finding(facts)));
    if found.is_empty() {
        found.push(Finding::new(Code::Parts, "its children are being made"));
    }
    found
}

/// An array or an MNP job that failed.
pub fn failed(facts: &Facts) -> Vec<Finding> {
    let groups = groups(facts);
    if !facts.chain.is_empty() && groups.iter().all(|g| g.cause.code == Code::DependencyFailed) {
        return ends::failed(facts);
    }
    if facts.job.nodes.is_some() {
        // The main node's end is the job's.
        return ends::failed(facts).into_iter().chain(nodes(facts, groups)).collect();
    }
    let size = facts.job.size.unwrap_or_default();
    let all: usize = groups.iter().map(|g| g.indices.len()).sum();
    let first = first_failed(&facts.parts.failed);
    let more = first.map(|child| format!("`bout {}` shows the output of the first one", child.id));
    let mut found = match groups.as_slice() {
        // Without children that failed, the array has: somebody ended it, or its dependency did.
        [] => return ends::failed(facts),
        [only] => {
            let mut finding = only.finding(facts);
            let told = only.told(facts).message;
            let which = tasks(facts, &only.indices).unwrap_or_else(|| {
                let children = if all == 1 { "child" } else { "children" };
                format!(" ({children} {})", words::indices(&only.indices, NAMED))
            });
            finding.message = format!("{all} of its {} failed{which}: {told}", words::many(size, "child"));
            vec![finding]
        }
        several => {
            let kinds = several.len();
            let summary = format!("{all} of its {} failed, in {kinds} ways", words::many(size, "child"));
            let mut found = vec![Finding::new(Code::Parts, summary)];
            found.extend(several.iter().map(|group| group.finding(facts)));
            found
        }
    };
    if let (Some(first), Some(more)) = (found.first_mut(), more) {
        first.advice.insert(0, more);
    }
    found
}

/// The nodes that failed, the main one first. Batch ends the others when that one ends (UG `multi-node-parallel-jobs`).
fn nodes(facts: &Facts, mut groups: Vec<Group<'_>>) -> Vec<Finding> {
    let main = facts.job.main_node;
    groups.sort_by_key(|group| !group.indices.contains(&main));
    let was_stopped = |cause: &Cause| matches!(cause.exit_code, Some(STOPPED | KILLED));
    let main_ended = groups.first().is_some_and(|g| g.indices.contains(&main) && !was_stopped(&g.cause));
    let told = groups.iter().map(|group| {
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
    told.collect()
}

/// The task of a child.
fn task(facts: &Facts, index: u32) -> Option<u32> {
    facts.job.tasks.as_ref()?.get(index)
}

/// The tasks of these children, where they are not their indices: `, tasks 10 and 20 (:0-1)`.
fn tasks(facts: &Facts, indices: &[u32]) -> Option<String> {
    let tasks: Vec<u32> = indices.iter().map(|index| task(facts, *index)).collect::<Option<_>>()?;
    let many = if tasks.len() == 1 { "task" } else { "tasks" };
    Some(format!(", {many} {} (:{})", words::indices(&tasks, NAMED), words::indices(indices, NAMED)))
}

/// The first part that failed, and not because another one had.
pub fn first_failed(failed: &[JobFacts]) -> Option<&JobFacts> {
    let own =
        |part: &&JobFacts| Cause::of(&ends::end(part), part.ended_by_user).code != Code::DependencyFailed;
    failed.iter().find(own).or(failed.first())
}

/// Parts that failed in one way.
struct Group<'f> {
    cause: Cause,
    indices: Vec<u32>,
    first: &'f JobFacts,
}

impl Group<'_> {
    /// The cause, as told of the first of them.
    fn told(&self, facts: &Facts) -> Finding {
        // A listing does not tell what the child asked for: its array's children all ask for the same.
        let first = JobFacts {
            demand: self.first.demand.or(facts.job.demand),
            image: self.first.image.clone().or_else(|| facts.job.image.clone()),
            timeout: self.first.timeout.or(facts.job.timeout),
            ..self.first.clone()
        };
        self.cause.finding(&first, &ends::end(&first))
    }

    fn finding(&self, facts: &Facts) -> Finding {
        let told = self.told(facts);
        let count = u32::try_from(self.indices.len()).unwrap_or(u32::MAX);
        let which = tasks(facts, &self.indices)
            .unwrap_or_else(|| format!(" ({})", words::indices(&self.indices, NAMED)));
        let message = format!("{} failed{which}: {}", words::many(count, "child"), told.message);
        Finding { message, ..told }
    }
}

/// Those that failed, by cause; the largest group first.
fn groups(facts: &Facts) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<(Code, Option<i32>), Group<'_>> = BTreeMap::new();
    for child in &facts.parts.failed {
        // Who ends an array ends its children; a listing does not always tell it of them.
        let by_user = child.ended_by_user || facts.job.ended_by_user;
        let cause = Cause::of(&ends::end(child), by_user);
        let key = (cause.code, cause.exit_code);
        let group = groups.entry(key).or_insert_with(|| Group { cause, indices: Vec::new(), first: child });
        group.indices.extend(child.part());
    }
    let mut groups: Vec<Group<'_>> = groups.into_values().collect();
    // Those that failed for another one tell nothing themselves.
    groups.sort_by_key(|group| {
        let follows = group.cause.code == Code::DependencyFailed;
        (follows, Reverse(group.indices.len()), group.indices.first().copied())
    });
    groups
}
