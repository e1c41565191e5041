//! The scheduler decides what runs next: queues by priority, jobs in their order, compute
//! environments up to their size.
//!
//! Pure. All compute environments share one machine: a job needs room in an environment *and* on
//! the machine. A job that could run here but finds no room keeps those behind it waiting; else a
//! stream of small jobs would starve it. One that can never run here keeps nobody waiting.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::batch::model::{JobKey, Line};
use crate::capacity::Resources;

/// The queues and compute environments as they have been configured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    /// Compute environments by name.
    pub environments: BTreeMap<String, ComputeEnvironment>,
    /// Job queues by name.
    pub queues: BTreeMap<String, Queue>,
}

/// API: ComputeEnvironmentDetail, as far as it decides who runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComputeEnvironment {
    /// Whether jobs may start in it.
    pub enabled: bool,
    /// How many vCPUs its jobs may have together; `None`: as many as the machine has.
    pub max_vcpus: Option<u32>,
}

/// API: JobQueueDetail, as far as it decides who runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// Higher ones first.
    pub priority: i32,
    /// Names of compute environments, in the order in which they are tried.
    pub environments: Vec<String>,
    /// How shares are weighed, if they are.
    pub policy: Option<FairShare>,
}

/// API: FairsharePolicy. `computeReservation` does not change who runs next, and is not here.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FairShare {
    /// The time over which usage counts, in milliseconds. With 0 only the resources in use now
    /// count.
    pub decay_ms: f64,
    /// Weight factors by share identifier; a `*` at the end stands for any end.
    pub weights: Vec<(String, f64)>,
}

impl FairShare {
    /// User Guide, fair-share-scheduling: "The default value is 1. A lower value lets jobs from the
    /// share identifier run".
    fn weight(&self, share: &str) -> f64 {
        let exact = self.weights.iter().find(|(name, _)| name == share);
        let by_start = || {
            self.weights
                .iter()
                .filter(|(name, _)| name.strip_suffix('*').is_some_and(|start| share.starts_with(start)))
                .max_by_key(|(name, _)| name.len())
        };
        exact.or_else(by_start).map_or(1.0, |(_, weight)| *weight)
    }
}

/// The room that a job has been given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// The compute environment.
    pub environment: String,
    /// Which GPUs.
    pub gpus: Vec<u32>,
}

/// The machine, who waits for it, and who has how much of it.
#[derive(Debug)]
pub struct Scheduler {
    capacity: Resources,
    /// The resources in use. They exceed the capacity when the machine has become smaller while
    /// jobs ran.
    in_use: Resources,
    free_gpus: BTreeSet<u32>,
    layout: Layout,
    /// vCPUs in use, by compute environment.
    used: HashMap<String, u32>,
    lines: BTreeMap<String, BTreeMap<String, Share>>,
}

/// The jobs that wait with one share identifier (or with none), and the usage of that share.
#[derive(Debug, Default)]
struct Share {
    waiting: BTreeSet<(Reverse<i32>, JobKey)>,
    running: u32,
    /// vCPU-milliseconds, as of `at`, each counting less the longer ago it was.
    used: f64,
    at: i64,
}

impl Share {
    fn advance(&mut self, decay_ms: f64, at: i64) {
        let passed = ms(at.saturating_sub(self.at).max(0));
        if decay_ms > 0.0 {
            self.used = self.used * (-passed / decay_ms).exp() + f64::from(self.running) * passed;
        }
        self.at = self.at.max(at);
    }

    /// How much it has of what there is: the lowest goes first.
    fn usage(&self, policy: &FairShare, share: &str, at: i64) -> f64 {
        let passed = ms(at.saturating_sub(self.at).max(0));
        let past = if policy.decay_ms > 0.0 {
            (self.used * (-passed / policy.decay_ms).exp() + f64::from(self.running) * passed)
                / policy.decay_ms
        } else {
            0.0
        };
        policy.weight(share) * (f64::from(self.running) + past)
    }
}

/// Milliseconds for arithmetic; a value that is too long to be exact is long enough.
fn ms(ms: i64) -> f64 {
    f64::from(u32::try_from(ms).unwrap_or(u32::MAX))
}

/// Where a job could run, if nobody else did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// In an environment that is enabled.
    Enabled,
    /// Only in environments that are disabled.
    Disabled,
    /// In none: it needs more vCPUs than `maxvCpus` of all of them.
    TooSmall,
    /// In none.
    Nowhere,
}

/// A pass over all jobs that wait: it remembers where there is no room left.
#[derive(Debug, Default)]
pub struct Pass {
    machine_is_full: bool,
    full: HashSet<String>,
    blocked: HashSet<String>,
    /// Queue and share.
    blocked_shares: HashSet<(String, String)>,
}

impl Scheduler {
    /// A machine that nobody uses.
    pub fn new(capacity: Resources, layout: Layout) -> Self {
        Self {
            capacity,
            in_use: Resources::default(),
            free_gpus: (0..capacity.gpus).collect(),
            layout,
            used: HashMap::new(),
            lines: BTreeMap::new(),
        }
    }

    /// Queues and environments may have changed, and if so have; who waits and who runs stays.
    pub fn configure(&mut self, layout: Layout) -> bool {
        let changed = self.layout != layout;
        self.layout = layout;
        changed
    }

    /// The resources of the machine in total, and the free ones.
    pub fn resources(&self) -> (Resources, Resources) {
        let mut free = self.capacity;
        free.subtract(&self.in_use);
        (self.capacity, free)
    }

    /// The queue's name, if it is there.
    pub fn has_queue(&self, name: &str) -> bool {
        self.layout.queues.contains_key(name)
    }

    /// Whether a queue has an environment that is large enough, were it empty.
    pub fn could_fit(&self, queue: &str, wanted: &Resources) -> Fit {
        let environments = self.layout.queues.get(queue).map_or(&[][..], |q| &q.environments[..]);
        let mut large = environments.iter().filter(|name| self.is_large_enough(name, wanted)).peekable();
        if large.peek().is_none() && !environments.is_empty() {
            return Fit::TooSmall;
        }
        if !self.capacity.fits(wanted) || large.peek().is_none() {
            return Fit::Nowhere;
        }
        let enabled = |name: &String| self.layout.environments.get(name).is_some_and(|e| e.enabled);
        if large.any(enabled) { Fit::Enabled } else { Fit::Disabled }
    }

    fn is_large_enough(&self, environment: &str, wanted: &Resources) -> bool {
        self.layout
            .environments
            .get(environment)
            .is_some_and(|e| e.max_vcpus.is_none_or(|max| wanted.vcpus <= max))
    }

    /// Puts a job in line.
    pub fn wait(&mut self, line: &Line, key: JobKey) {
        self.share(line).waiting.insert((Reverse(line.priority), key));
    }

    /// Takes a job out of the line.
    pub fn leave(&mut self, line: &Line, key: JobKey) {
        self.share(line).waiting.remove(&(Reverse(line.priority), key));
    }

    fn share(&mut self, line: &Line) -> &mut Share {
        // Looked up before it is made: the names are there almost always.
        let share = line.share.as_deref().unwrap_or("");
        if !self.lines.get(&line.queue).is_some_and(|shares| shares.contains_key(share)) {
            self.lines.entry(line.queue.clone()).or_default().insert(share.to_owned(), Share::default());
        }
        self.lines.entry(line.queue.clone()).or_default().entry(share.to_owned()).or_default()
    }

    /// The next job in this pass.
    pub fn first(&self, pass: &Pass, at: i64) -> Option<JobKey> {
        if pass.machine_is_full {
            return None;
        }
        let heads = self.layout.queues.iter().filter(|(name, _)| !pass.blocked.contains(*name)).filter_map(
            |(name, queue)| {
                let key = self.head(pass, name, queue, at)?;
                Some((Reverse(queue.priority), key))
            },
        );
        heads.min().map(|(_, key)| key)
    }

    fn head(&self, pass: &Pass, name: &str, queue: &Queue, at: i64) -> Option<JobKey> {
        let is_blocked = |share: &String| {
            !pass.blocked_shares.is_empty() && pass.blocked_shares.contains(&(name.to_owned(), share.clone()))
        };
        let shares = self.lines.get(name)?.iter();
        let shares = shares.filter(|(id, share)| !share.waiting.is_empty() && !is_blocked(id));
        let first = |share: &Share| share.waiting.first().copied();
        match &queue.policy {
            // Without a policy there is one line, with any share identifiers.
            None => shares.filter_map(|(_, share)| first(share)).min_by_key(|(_, key)| *key),
            Some(policy) => shares
                .filter_map(|(id, share)| Some((share.usage(policy, id, at), first(share)?)))
                .min_by(|(a, (_, x)), (b, (_, y))| a.total_cmp(b).then(x.cmp(y)))
                .map(|(_, head)| head),
        }
        .map(|(_, key)| key)
    }

    /// The vCPUs that the jobs of a queue use, by share identifier, the largest first.
    pub fn usage(&self, queue: &str) -> Vec<(String, u32)> {
        let shares = self.lines.get(queue).into_iter().flatten();
        let mut usage: Vec<(String, u32)> =
            shares.filter(|(_, share)| share.running > 0).map(|(id, s)| (id.clone(), s.running)).collect();
        usage.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
        usage
    }

    /// The jobs of a queue that wait, in the order in which they would start now.
    pub fn line(&self, queue: &str, at: i64, limit: usize) -> Vec<JobKey> {
        let Some(shares) = self.lines.get(queue) else { return Vec::new() };
        let policy = self.layout.queues.get(queue).and_then(|q| q.policy.as_ref());
        match policy {
            None => {
                let mut keys: Vec<JobKey> =
                    shares.values().flat_map(|s| s.waiting.iter().take(limit).map(|(_, key)| *key)).collect();
                keys.sort_unstable();
                keys.truncate(limit);
                keys
            }
            Some(policy) => {
                let mut ordered: Vec<(f64, &Share)> =
                    shares.iter().map(|(id, share)| (share.usage(policy, id, at), share)).collect();
                ordered.sort_by(|(a, _), (b, _)| a.total_cmp(b));
                ordered
                    .iter()
                    .flat_map(|(_, share)| share.waiting.iter().map(|(_, key)| *key))
                    .take(limit)
                    .collect()
            }
        }
    }

    /// The job at the head of a line waits for a consumable resource: so do those behind it. In a
    /// queue with a fair-share policy these are the jobs of its share, else those of the queue.
    /// Unverified: no page says whether jobs behind such a job pass it.
    pub fn hold_up(&self, pass: &mut Pass, line: &Line) {
        let is_shared = self.layout.queues.get(&line.queue).is_some_and(|queue| queue.policy.is_some());
        if is_shared {
            let share = line.share.clone().unwrap_or_default();
            pass.blocked_shares.insert((line.queue.clone(), share));
        } else {
            pass.blocked.insert(line.queue.clone());
        }
    }

    /// Gives the job at the head of a line its room; without any, the pass knows who is held up by
    /// it.
    pub fn take(&mut self, pass: &mut Pass, line: &Line, wanted: &Resources, at: i64) -> Option<Allocation> {
        let environments = self.layout.queues.get(&line.queue).map_or(&[][..], |q| &q.environments[..]);
        let (_, free) = self.resources();
        let mut found = None;
        for name in environments {
            let Some(environment) = self.layout.environments.get(name) else { continue };
            if !environment.enabled || !self.is_large_enough(name, wanted) || pass.full.contains(name) {
                continue;
            }
            let used = self.used.get(name).copied().unwrap_or(0);
            if environment.max_vcpus.is_some_and(|max| used + wanted.vcpus > max) {
                pass.full.insert(name.clone());
            } else if free.fits(wanted) {
                found = Some(name.clone());
                break;
            } else {
                pass.machine_is_full = true;
            }
        }
        let Some(environment) = found else {
            pass.blocked.insert(line.queue.clone());
            return None;
        };
        let gpus: Vec<u32> =
            self.free_gpus.iter().copied().take(usize::try_from(wanted.gpus).unwrap_or(0)).collect();
        let allocation = Allocation { environment, gpus };
        self.occupy(line, wanted, &allocation, at);
        Some(allocation)
    }

    /// Allocates resources to a job that runs already, also where none are free; `None` when its
    /// queue is gone.
    pub fn take_anyway(&mut self, line: &Line, wanted: &Resources, at: i64) -> Option<Allocation> {
        let environments = &self.layout.queues.get(&line.queue)?.environments;
        let fitting = environments.iter().find(|name| self.is_large_enough(name, wanted));
        let environment = fitting.or_else(|| environments.first())?.clone();
        let gpus = self.free_gpus.iter().copied().take(usize::try_from(wanted.gpus).unwrap_or(0)).collect();
        let allocation = Allocation { environment, gpus };
        self.occupy(line, wanted, &allocation, at);
        Some(allocation)
    }

    /// Records that a job has this allocation.
    pub fn occupy(&mut self, line: &Line, wanted: &Resources, allocation: &Allocation, at: i64) {
        self.in_use.add(wanted);
        allocation.gpus.iter().for_each(|gpu| {
            self.free_gpus.remove(gpu);
        });
        *self.used.entry(allocation.environment.clone()).or_default() += wanted.vcpus;
        self.count(line, at, |running| running.saturating_add(wanted.vcpus));
    }

    /// Releases the resources of a job.
    pub fn release(&mut self, line: &Line, taken: &Resources, allocation: &Allocation, at: i64) {
        self.in_use.subtract(taken);
        let there = 0..self.capacity.gpus;
        self.free_gpus.extend(allocation.gpus.iter().filter(|gpu| there.contains(gpu)));
        if let Some(used) = self.used.get_mut(&allocation.environment) {
            *used = used.saturating_sub(taken.vcpus);
        }
        self.count(line, at, |running| running.saturating_sub(taken.vcpus));
    }

    fn count(&mut self, line: &Line, at: i64, change: impl Fn(u32) -> u32) {
        // A queue that is gone may come back while its last jobs still run.
        let policy = self.layout.queues.get(&line.queue).and_then(|q| q.policy.as_ref());
        let decay_ms = policy.map_or(0.0, |p| p.decay_ms);
        let share = self.share(line);
        share.advance(decay_ms, at);
        share.running = change(share.running);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Resources = Resources { vcpus: 8, memory_mib: 8000, gpus: 2 };

    fn layout(queues: &[(&str, i32, &[&str])], environments: &[(&str, Option<u32>)]) -> Layout {
        Layout {
            environments: environments
                .iter()
                .map(|(name, max)| {
                    ((*name).to_owned(), ComputeEnvironment { enabled: true, max_vcpus: *max })
                })
                .collect(),
            queues: queues
                .iter()
                .map(|(name, priority, of)| {
                    let environments = of.iter().map(|e| (*e).to_owned()).collect();
                    ((*name).to_owned(), Queue { priority: *priority, environments, policy: None })
                })
                .collect(),
        }
    }

    fn line(queue: &str, share: Option<&str>, priority: i32) -> Line {
        Line { queue: queue.to_owned(), share: share.map(str::to_owned), priority }
    }

    fn vcpus(vcpus: u32) -> Resources {
        Resources { vcpus, memory_mib: 1, gpus: 0 }
    }

    /// Starts all jobs that can start, with these vCPUs each.
    fn start_all(s: &mut Scheduler, jobs: &HashMap<JobKey, (Line, Resources)>, at: i64) -> Vec<i64> {
        let (mut pass, mut started) = (Pass::default(), Vec::new());
        while let Some(key) = s.first(&pass, at) {
            let (line, wanted) = &jobs[&key];
            if s.take(&mut pass, line, wanted, at).is_some() {
                s.leave(line, key);
                started.push(key.0);
            }
        }
        started
    }

    fn all_wait(s: &mut Scheduler, jobs: &[(i64, Line, u32)]) -> HashMap<JobKey, (Line, Resources)> {
        let jobs: HashMap<_, _> =
            jobs.iter().map(|(key, line, n)| (JobKey(*key), (line.clone(), vcpus(*n)))).collect();
        for (key, (line, _)) in &jobs {
            s.wait(line, *key);
        }
        jobs
    }

    #[test]
    fn queues_go_by_priority_and_jobs_by_submission() {
        let mut s = Scheduler::new(
            MACHINE,
            layout(&[("low", 1, &["e"]), ("high", 9, &["e"]), ("same", 9, &["e"])], &[("e", None)]),
        );
        let jobs = [
            (1, line("low", None, 0), 1),
            (2, line("same", None, 0), 1),
            (3, line("high", None, 0), 1),
            (4, line("same", None, 0), 1),
        ];
        let jobs = all_wait(&mut s, &jobs);
        assert_eq!(start_all(&mut s, &jobs, 0), [2, 3, 4, 1]);
    }

    #[test]
    fn an_environment_that_is_full_holds_up_only_its_own_queue() {
        let mut s = Scheduler::new(
            MACHINE,
            layout(
                &[("a", 9, &["small"]), ("b", 1, &["small", "big"])],
                &[("small", Some(2)), ("big", None)],
            ),
        );
        let jobs = all_wait(
            &mut s,
            &[(1, line("a", None, 0), 2), (2, line("a", None, 0), 1), (3, line("b", None, 0), 4)],
        );
        assert_eq!(start_all(&mut s, &jobs, 0), [1, 3]);
        let fits = |queue, n| s.could_fit(queue, &vcpus(n));
        assert_eq!([fits("a", 3), fits("b", 3), fits("b", 9)], [Fit::TooSmall, Fit::Enabled, Fit::Nowhere]);
        let allocation = Allocation { environment: "small".to_owned(), gpus: Vec::new() };
        s.release(&line("a", None, 0), &vcpus(2), &allocation, 1);
        assert_eq!(start_all(&mut s, &jobs, 1), [2]);
    }

    #[test]
    fn a_full_machine_holds_up_everybody_behind() {
        let mut s = Scheduler::new(
            MACHINE,
            layout(&[("a", 9, &["e"]), ("b", 1, &["f"])], &[("e", None), ("f", None)]),
        );
        let jobs = all_wait(
            &mut s,
            &[(1, line("a", None, 0), 6), (2, line("a", None, 0), 4), (3, line("b", None, 0), 1)],
        );
        assert_eq!(start_all(&mut s, &jobs, 0), [1]);
    }

    #[test]
    fn shares_take_turns_by_weight_and_priority_orders_within_one() {
        let mut layout = layout(&[("q", 1, &["e"])], &[("e", None)]);
        let weights = vec![("heavy".to_owned(), 1.0), ("light*".to_owned(), 0.5)];
        layout.queues.get_mut("q").unwrap().policy = Some(FairShare { decay_ms: 0.0, weights });
        let mut s = Scheduler::new(MACHINE, layout);
        let mut jobs = Vec::new();
        for key in 1..=8 {
            jobs.push((key, line("q", Some("heavy"), 0), 1));
            jobs.push((key + 10, line("q", Some("light1"), if key == 8 { 5 } else { 0 }), 1));
        }
        let jobs = all_wait(&mut s, &jobs);
        let started = start_all(&mut s, &jobs, 0);
        // Of eight places the share with half the weight factor gets about two thirds.
        assert_eq!(started.iter().filter(|key| **key > 10).count(), 5, "{started:?}");
        assert_eq!(started.iter().find(|key| **key > 10), Some(&18));
    }

    #[test]
    fn what_was_used_counts_for_a_while() {
        let mut layout = layout(&[("q", 1, &["e"])], &[("e", None)]);
        layout.queues.get_mut("q").unwrap().policy =
            Some(FairShare { decay_ms: 1000.0, weights: Vec::new() });
        let mut s = Scheduler::new(MACHINE, layout);
        let (a, b) = (line("q", Some("a"), 0), line("q", Some("b"), 0));
        let allocation = Allocation { environment: "e".to_owned(), gpus: Vec::new() };
        s.occupy(&a, &vcpus(8), &allocation, 0);
        s.release(&a, &vcpus(8), &allocation, 1000);
        s.wait(&a, JobKey(1));
        s.wait(&b, JobKey(2));
        assert_eq!(s.first(&Pass::default(), 1000), Some(JobKey(2)));
        assert_eq!(s.line("q", 1000, 9), [JobKey(2), JobKey(1)]);
    }

    #[test]
    fn each_gpu_is_given_once() {
        let mut s = Scheduler::new(MACHINE, layout(&[("q", 1, &["e"])], &[("e", None)]));
        let (q, mut pass) = (line("q", None, 0), Pass::default());
        let wanted = Resources { vcpus: 1, memory_mib: 1, gpus: 1 };
        let rooms: Vec<Allocation> = (0..2).filter_map(|_| s.take(&mut pass, &q, &wanted, 0)).collect();
        assert_eq!((&rooms[0].gpus, &rooms[1].gpus), (&vec![0], &vec![1]));
        assert_eq!(s.take(&mut pass, &q, &wanted, 0), None);
        s.release(&q, &wanted, &rooms[0], 0);
        assert_eq!(s.take(&mut Pass::default(), &q, &wanted, 0).unwrap().gpus, [0]);
    }
}
