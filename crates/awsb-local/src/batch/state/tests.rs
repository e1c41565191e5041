//! Stories of jobs, and one about any of them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::dependencies::DEPENDENCY_FAILED;
use super::replay::Record;
use super::scheduler::{ComputeEnvironment, FairShare, Queue};
use super::supply::Consumable;
use super::*;
use crate::batch::model::{Consumption, Dependency, ExitRule, Line, Retry};
use crate::constants::QUEUE;

const MACHINE: Resources = Resources { vcpus: 2, memory_mib: 1000, gpus: 0 };

fn layout() -> Layout {
    let environment = ComputeEnvironment { enabled: true, max_vcpus: None };
    let queue = Queue { priority: 1, environments: vec!["e".to_owned()], policy: None };
    Layout {
        environments: [("e".to_owned(), environment)].into(),
        queues: [(QUEUE.to_owned(), queue)].into(),
    }
}

fn terms(vcpus: u32, attempts: u32) -> Arc<Terms> {
    Arc::new(Terms {
        resources: Resources { vcpus, memory_mib: 100, gpus: 0 },
        nodes: None,
        line: Line::default(),
        depends_on: Vec::new(),
        retry: Retry { attempts, rules: Vec::new() },
        timeout_s: None,
        consumes: Vec::new(),
        doomed: None,
    })
}

/// A job of one vCPU that depends on others.
fn after(on: &[Dependency]) -> Arc<Terms> {
    Arc::new(Terms { depends_on: on.to_vec(), ..(*terms(1, 1)).clone() })
}

/// A multi-node job with half a machine for each of its two nodes.
fn two_nodes(main: u32, attempts: u32) -> Arc<Terms> {
    let node = Resources { vcpus: 1, memory_mib: 100, gpus: 0 };
    Arc::new(Terms {
        resources: Resources { vcpus: 2, memory_mib: 200, gpus: 0 },
        nodes: Some(Nodes { main, each: vec![node, node] }),
        ..(*terms(1, attempts)).clone()
    })
}

/// A cluster whose attempts are numbered in the order of their start.
struct Cluster {
    state: State,
    started: u32,
    now: i64,
    /// Jobs as the database would have them.
    stored: BTreeMap<JobKey, Job>,
    attempts: Vec<Attempt>,
    /// The content of the runners' journals.
    journals: Vec<Record>,
    /// The consumable resources as the database would have them.
    consumables: BTreeMap<String, Consumable>,
}

impl Cluster {
    fn new() -> Self {
        Self {
            state: State::new(MACHINE, layout()),
            started: 0,
            now: 0,
            stored: BTreeMap::new(),
            attempts: Vec::new(),
            journals: Vec::new(),
            consumables: BTreeMap::new(),
        }
    }

    fn attempt_id(n: u32) -> AttemptId {
        AttemptId::from(n.to_string())
    }

    fn started(n: u32, at: i64) -> Started {
        Started {
            attempt_id: Self::attempt_id(n),
            at,
            address: Some([10, 0, 0, 1].into()),
            containers: Vec::new(),
        }
    }

    /// Schedules, stores what has changed, and returns the effects.
    fn turn(&mut self) -> Vec<Effect> {
        let started = &mut self.started;
        self.state.schedule(self.now, || {
            *started += 1;
            Current { attempt_id: Self::attempt_id(*started), runner: RunnerId::random() }
        });
        let changes = self.state.take_changes();
        for job in changes.jobs {
            self.stored.insert(job.key, job);
        }
        self.attempts.extend(changes.attempts);
        for (name, total) in changes.consumed {
            if let Some(resource) = self.consumables.get_mut(&name) {
                resource.total = total;
            }
        }
        for effect in &changes.effects {
            if let Effect::Start(key) = effect
                && let Some(job) = self.state.job(*key)
                && let Some(current) = job.current.clone()
            {
                self.journals.push(Record { key: *key, attempt: job.attempts, current, ended: None });
            }
        }
        changes.effects
    }

    fn submit(&mut self, key: i64, size: Option<u32>, terms: &Arc<Terms>) {
        let ended =
            self.stored.values().filter(|j| j.status.has_ended()).map(|j| (j.key, j.status)).collect();
        self.state.submit(JobKey(key), size, terms, &ended, self.now);
        let below = size.or(terms.nodes.as_ref().map(Nodes::count)).unwrap_or(0);
        for key in key..=key + i64::from(below) {
            if let Some(job) = self.state.job(JobKey(key)) {
                self.stored.insert(job.key, job.clone());
            }
        }
    }

    fn restart(&mut self) {
        self.state = State::new(MACHINE, layout());
        self.state.set_consumables(self.consumables.clone());
        let living = |job: &&Job| {
            let parent = job.node().and_then(|(parent, ..)| self.stored.get(&parent));
            !job.status.has_ended() || parent.is_some_and(|p| !p.status.has_ended())
        };
        for job in self.stored.values().filter(living) {
            self.state.restore(job.clone(), self.now);
        }
        self.state.restored(self.now);
    }

    fn end(&mut self, attempt_id: u32, exit_code: i32) {
        self.now += 1;
        let started = Self::started(attempt_id, self.now);
        self.state.started(&started);
        let ended = Ended {
            attempt_id: started.attempt_id,
            started_at: Some(started.at),
            at: started.at,
            exit_code: Some(exit_code),
            reason: None,
            timed_out: false,
            lost: false,
            lost_output: None,
            output: None,
            containers: Vec::new(),
        };
        self.state.attempt_ended(&ended);
        let record = self.journals.iter_mut().find(|record| record.current.attempt_id == ended.attempt_id);
        if let Some(record) = record.filter(|record| record.ended.is_none()) {
            record.ended = Some(ended);
        }
    }

    /// Makes or changes a consumable resource.
    fn set_consumable(&mut self, name: &str, total: u64, is_replenishable: bool) {
        self.consumables.insert(name.to_owned(), Consumable { total, is_replenishable });
        self.state.set_consumables(self.consumables.clone());
    }

    fn delete_consumable(&mut self, name: &str) {
        self.consumables.remove(name);
        self.state.set_consumables(self.consumables.clone());
    }

    fn in_use(&self, name: &str) -> u64 {
        self.state.in_use().get(name).copied().unwrap_or(0)
    }

    fn status(&self, key: i64) -> Status {
        self.stored[&JobKey(key)].status
    }

    fn reason(&self, key: i64) -> Option<&str> {
        self.stored[&JobKey(key)].status_reason.as_deref()
    }
}

#[test]
fn jobs_start_in_order_as_they_fit_and_the_impossible_keeps_nobody_waiting() {
    let mut c = Cluster::new();
    c.submit(1, None, &terms(3, 1));
    c.submit(2, None, &terms(1, 1));
    c.submit(3, None, &terms(2, 1));
    c.submit(4, None, &terms(1, 1));
    assert_eq!(c.turn(), [Effect::Start(JobKey(2))]);
    assert_eq!((c.status(1), c.reason(1)), (Status::Runnable, Some(CANNOT_FIT)));
    // 4 would fit, but 3 is before it.
    assert_eq!(c.status(4), Status::Runnable);
    c.end(1, 0);
    assert_eq!(c.turn(), [Effect::Start(JobKey(3))]);
    assert_eq!((c.status(2), c.reason(2)), (Status::Succeeded, Some(EXITED)));
    c.end(2, 1);
    assert_eq!(c.turn(), [Effect::Start(JobKey(4))]);
    assert_eq!(c.status(3), Status::Failed);
}

#[test]
fn a_failed_attempt_is_repeated_while_attempts_are_left() {
    let mut c = Cluster::new();
    c.submit(1, None, &terms(1, 2));
    c.turn();
    c.end(1, 7);
    assert_eq!(c.turn(), [Effect::Start(JobKey(1))]);
    c.end(2, 8);
    c.turn();
    assert_eq!(c.status(1), Status::Failed);
    let codes: Vec<_> = c.attempts.iter().map(|a| (a.number, a.exit_code)).collect();
    assert_eq!(codes, [(1, Some(7)), (2, Some(8))]);
}

#[test]
fn a_lost_attempt_counts_and_rules_can_match_it() {
    let mut c = Cluster::new();
    let mut lost = (*terms(1, 5)).clone();
    let rule = |status: &str, retry| ExitRule {
        on_status_reason: Some(status.to_owned()),
        on_reason: None,
        on_exit_code: None,
        retry,
    };
    lost.retry.rules = vec![rule("Host EC2*", true), rule("*", false)];
    c.submit(1, None, &Arc::new(lost));
    c.turn();
    c.state.attempt_lost(&Cluster::attempt_id(1), 5);
    assert_eq!(c.turn(), [Effect::Start(JobKey(1))]);
    c.end(2, 1);
    c.turn();
    assert_eq!(c.status(1), Status::Failed);
    assert_eq!(c.attempts.len(), 2);
    assert_eq!(c.attempts[0].status_reason, HOST_LOST);
    assert_eq!(c.attempts[0].exit_code, None);
}

#[test]
fn an_attempt_that_never_began_does_not_count() {
    let mut c = Cluster::new();
    c.submit(1, None, &terms(1, 1));
    c.turn();
    c.state.attempt_never_began(&Cluster::attempt_id(1), 5);
    assert_eq!(c.turn(), [Effect::Start(JobKey(1))]);
    c.end(2, 0);
    c.turn();
    assert_eq!((c.status(1), c.attempts.len()), (Status::Succeeded, 1));
}

#[test]
fn ends_that_are_said_twice_or_too_late_change_nothing() {
    let mut c = Cluster::new();
    c.submit(1, None, &terms(1, 2));
    c.turn();
    c.end(1, 1);
    c.end(1, 0);
    c.turn();
    assert_eq!(c.status(1), Status::Starting);
    c.state.attempt_lost(&Cluster::attempt_id(1), 9);
    c.end(2, 0);
    c.turn();
    c.end(2, 1);
    c.turn();
    assert_eq!((c.status(1), c.attempts.len()), (Status::Succeeded, 2));
}

#[test]
fn termination_ends_what_waits_at_once_and_what_runs_when_it_has_ended() {
    let mut c = Cluster::new();
    c.submit(1, Some(3), &terms(1, 5));
    c.turn();
    c.state.started(&Cluster::started(1, 1));
    c.state.terminate(JobKey(1), "enough", 2);
    let effects = c.turn();
    assert_eq!(effects.iter().filter(|e| matches!(e, Effect::Stop(..))).count(), 2);
    assert_eq!((c.status(4), c.reason(4)), (Status::Failed, Some("enough")));
    assert_eq!(c.status(1), Status::Pending);
    c.end(1, 143);
    // Even one that ends well, and one that never began.
    c.state.attempt_never_began(&Cluster::attempt_id(2), 3);
    c.turn();
    assert_eq!((c.status(2), c.reason(2)), (Status::Failed, Some("enough")));
    assert_eq!((c.status(3), c.reason(3)), (Status::Failed, Some("enough")));
    assert_eq!((c.status(1), c.reason(1)), (Status::Failed, Some("enough")));
    assert!(!c.state.is_active());
}

#[test]
fn cancelling_what_runs_does_nothing() {
    let mut c = Cluster::new();
    c.submit(1, None, &terms(2, 1));
    c.submit(2, None, &terms(2, 1));
    c.turn();
    c.state.cancel(JobKey(1), "no", 1);
    c.state.cancel(JobKey(2), "no", 1);
    assert!(c.turn().is_empty());
    assert_eq!((c.status(1), c.status(2)), (Status::Starting, Status::Failed));
}

#[test]
fn a_timed_out_attempt_is_the_last() {
    let mut c = Cluster::new();
    c.submit(1, None, &terms(1, 5));
    c.turn();
    let attempt_id = Cluster::attempt_id(1);
    c.state.attempt_ended(&Ended {
        attempt_id,
        started_at: Some(1),
        at: 2,
        exit_code: Some(143),
        reason: None,
        timed_out: true,
        lost: false,
        lost_output: None,
        output: None,
        containers: Vec::new(),
    });
    c.turn();
    assert_eq!((c.status(1), c.reason(1)), (Status::Failed, Some(TIMED_OUT)));
}

#[test]
fn an_attempt_whose_engine_is_lost_ends_as_one_whose_host_is() {
    let mut c = Cluster::new();
    c.submit(1, None, &terms(1, 2));
    c.turn();
    let lost = |attempt_id, at| Ended {
        attempt_id,
        started_at: Some(1),
        at,
        exit_code: None,
        reason: Some("CannotInspectContainerError: away".to_owned()),
        timed_out: false,
        lost: true,
        lost_output: None,
        output: None,
        containers: Vec::new(),
    };
    c.state.attempt_ended(&lost(Cluster::attempt_id(1), 2));
    c.turn();
    assert_eq!(c.status(1), Status::Starting);
    c.state.attempt_ended(&lost(Cluster::attempt_id(2), 3));
    c.turn();
    assert_eq!((c.status(1), c.reason(1)), (Status::Failed, Some(HOST_LOST)));
}

#[test]
fn a_job_whose_output_could_not_be_kept_says_so() {
    let mut c = Cluster::new();
    c.submit(1, None, &terms(1, 1));
    c.turn();
    c.state.attempt_ended(&Ended {
        attempt_id: Cluster::attempt_id(1),
        started_at: Some(1),
        at: 2,
        exit_code: Some(0),
        reason: None,
        timed_out: false,
        lost: false,
        lost_output: Some("writing the log stream: no space".to_owned()),
        output: None,
        containers: Vec::new(),
    });
    c.turn();
    assert_eq!(c.status(1), Status::Succeeded);
    assert_eq!(c.reason(1), Some("Essential container in task exited; writing the log stream: no space"));
}

#[test]
fn a_doomed_job_fails_when_its_turn_comes() {
    let mut c = Cluster::new();
    let mut doomed = (*terms(1, 5)).clone();
    doomed.doomed = Some("too long".to_owned());
    c.submit(1, Some(2), &Arc::new(doomed));
    assert!(c.turn().is_empty());
    assert_eq!((c.status(1), c.status(2), c.reason(3)), (Status::Failed, Status::Failed, Some("too long")));
}

#[test]
fn a_job_waits_for_all_that_it_depends_on_and_fails_with_any_of_them() {
    let mut c = Cluster::new();
    c.submit(1, None, &terms(1, 1));
    c.submit(2, None, &terms(1, 1));
    c.submit(3, None, &after(&[Dependency::Whole(JobKey(1)), Dependency::Whole(JobKey(2))]));
    c.submit(4, Some(2), &after(&[Dependency::Whole(JobKey(3))]));
    c.turn();
    assert_eq!((c.status(3), c.status(4), c.status(5)), (Status::Pending, Status::Pending, Status::Pending));
    c.end(1, 0);
    c.turn();
    assert_eq!(c.status(3), Status::Pending);
    c.restart();
    c.end(2, 0);
    assert_eq!(c.turn(), [Effect::Start(JobKey(3))]);
    c.end(3, 1);
    c.turn();
    assert_eq!((c.status(4), c.status(5), c.status(6)), (Status::Failed, Status::Failed, Status::Failed));
    assert_eq!((c.reason(4), c.reason(6)), (Some(DEPENDENCY_FAILED), Some(DEPENDENCY_FAILED)));
    // Jobs that ended before the submission count as well.
    c.submit(7, None, &after(&[Dependency::Whole(JobKey(1))]));
    c.submit(8, None, &after(&[Dependency::Whole(JobKey(3))]));
    assert_eq!(c.turn(), [Effect::Start(JobKey(7))]);
    assert_eq!((c.status(8), c.reason(8)), (Status::Failed, Some(DEPENDENCY_FAILED)));
}

#[test]
fn each_child_waits_for_its_like() {
    let mut c = Cluster::new();
    c.submit(1, Some(2), &terms(1, 1));
    c.submit(4, Some(2), &after(&[Dependency::Each(JobKey(1))]));
    c.turn();
    c.end(1, 0);
    assert_eq!(c.turn(), [Effect::Start(JobKey(5))]);
    assert_eq!(c.status(6), Status::Pending);
    c.end(2, 1);
    c.turn();
    assert_eq!((c.status(6), c.reason(6)), (Status::Failed, Some(DEPENDENCY_FAILED)));
    c.end(3, 0);
    c.turn();
    assert_eq!((c.status(4), c.reason(4)), (Status::Failed, Some(CHILD_FAILED)));
}

#[test]
fn a_sequential_array_goes_one_by_one_and_a_failure_fails_the_rest() {
    const SIZE: u32 = 10_000;
    let mut c = Cluster::new();
    c.submit(1, Some(SIZE), &after(&[Dependency::Sequential]));
    assert_eq!(c.turn(), [Effect::Start(JobKey(2))]);
    c.end(1, 0);
    assert_eq!(c.turn(), [Effect::Start(JobKey(3))]);
    c.end(2, 1);
    assert!(c.turn().is_empty());
    assert_eq!(
        (c.status(4), c.status(1), c.status(1 + i64::from(SIZE))),
        (Status::Failed, Status::Failed, Status::Failed)
    );
    assert!(!c.state.is_active());
}

#[test]
fn a_cancelled_job_that_waits_ends_when_it_would_run_and_a_terminated_one_at_once() {
    let mut c = Cluster::new();
    c.submit(1, None, &terms(1, 1));
    for key in 2..4 {
        c.submit(key, None, &after(&[Dependency::Whole(JobKey(1))]));
    }
    c.turn();
    c.state.cancel(JobKey(2), "no", 1);
    c.state.terminate(JobKey(3), "away", 1);
    c.turn();
    assert_eq!((c.status(2), c.status(3), c.reason(3)), (Status::Pending, Status::Failed, Some("away")));
    c.end(1, 0);
    assert!(c.turn().is_empty());
    assert_eq!((c.status(2), c.reason(2)), (Status::Failed, Some("no")));
}

#[test]
fn nodes_start_after_the_main_node_and_end_with_it() {
    let mut c = Cluster::new();
    c.submit(1, None, &two_nodes(1, 1));
    c.submit(4, None, &terms(1, 1));
    // The main node is the second one; nobody else has room.
    assert_eq!(c.turn(), [Effect::Start(JobKey(3))]);
    assert_eq!(
        (c.status(1), c.status(2), c.status(4)),
        (Status::Starting, Status::Starting, Status::Runnable)
    );
    c.state.started(&Cluster::started(1, 1));
    assert_eq!(c.turn(), [Effect::Start(JobKey(2))]);
    c.restart();
    assert_eq!(c.state.job(JobKey(3)).unwrap().address, Some([10, 0, 0, 1].into()));
    c.state.started(&Cluster::started(2, 2));
    assert_eq!((c.turn(), c.status(1)), (vec![], Status::Running));
    c.end(1, 0);
    let effects = c.turn();
    assert!(matches!(effects[..], [Effect::Stop(..), Effect::Start(JobKey(4))]), "{effects:?}");
    assert_eq!(c.status(1), Status::Running);
    c.end(2, 143);
    c.turn();
    assert_eq!(
        (c.status(1), c.status(2), c.status(3)),
        (Status::Succeeded, Status::Failed, Status::Succeeded)
    );
}

#[test]
fn the_main_node_alone_decides_about_another_attempt() {
    let mut c = Cluster::new();
    c.submit(1, None, &two_nodes(0, 2));
    c.turn();
    c.state.started(&Cluster::started(1, 1));
    c.turn();
    // The other node dies: nothing happens.
    c.end(2, 1);
    assert!(c.turn().is_empty());
    assert_eq!((c.status(1), c.status(3)), (Status::Running, Status::Failed));
    c.end(1, 5);
    assert_eq!(c.turn(), [Effect::Start(JobKey(2))]);
    assert_eq!(
        (c.status(1), c.status(3), c.stored[&JobKey(1)].attempts),
        (Status::Starting, Status::Starting, 2)
    );
    c.end(3, 5);
    c.turn();
    assert_eq!(
        (c.status(1), c.status(3), c.stored[&JobKey(1)].exit_code),
        (Status::Failed, Status::Failed, Some(5))
    );
    assert_eq!(c.state.resources().1, MACHINE);
}

#[test]
fn a_terminated_multi_node_job_ends_when_all_its_nodes_have() {
    let mut c = Cluster::new();
    c.submit(1, None, &two_nodes(0, 3));
    c.submit(4, None, &two_nodes(0, 3));
    c.turn();
    c.state.started(&Cluster::started(1, 1));
    c.turn();
    c.state.terminate(JobKey(1), "enough", 2);
    c.state.terminate(JobKey(4), "enough", 2);
    assert_eq!(c.turn().len(), 2);
    assert_eq!((c.status(4), c.status(5), c.status(6)), (Status::Failed, Status::Failed, Status::Failed));
    c.end(1, 143);
    c.turn();
    c.end(2, 143);
    c.turn();
    assert_eq!((c.status(1), c.reason(1)), (Status::Failed, Some("enough")));
    assert!(!c.state.is_active());
}

#[test]
fn jobs_of_a_queue_that_is_gone_end_and_what_never_fitted_may_fit_now() {
    let mut c = Cluster::new();
    let mut small = layout();
    small.environments.get_mut("e").unwrap().max_vcpus = Some(1);
    c.state.configure(small, 0);
    c.submit(1, None, &terms(2, 1));
    c.turn();
    assert_eq!(c.reason(1), Some(TOO_SMALL));
    c.state.configure(layout(), 1);
    assert_eq!(c.turn(), [Effect::Start(JobKey(1))]);
    c.submit(2, None, &terms(1, 1));
    c.state.configure(Layout::default(), 2);
    assert_eq!(c.turn().len(), 1);
    assert_eq!(c.status(2), Status::Failed);
}

/// A job that takes consumable resources.
fn consuming(terms: &Arc<Terms>, consumes: &[(&str, u64)]) -> Arc<Terms> {
    let consumes =
        consumes.iter().map(|(name, quantity)| Consumption { name: (*name).to_owned(), quantity: *quantity });
    Arc::new(Terms { consumes: consumes.collect(), ..(**terms).clone() })
}

#[test]
fn a_job_holds_its_resources_from_its_start_to_its_end_and_those_behind_it_wait() {
    let mut c = Cluster::new();
    c.set_consumable("lic", 2, true);
    c.submit(1, None, &consuming(&terms(1, 2), &[("lic", 2)]));
    c.submit(2, None, &consuming(&terms(1, 1), &[("lic", 1)]));
    c.submit(3, None, &terms(1, 1));
    assert_eq!(c.turn(), [Effect::Start(JobKey(1))]);
    assert_eq!((c.in_use("lic"), c.status(2), c.status(3)), (2, Status::Runnable, Status::Runnable));
    // The second attempt has them, too, and needs no others.
    c.end(1, 1);
    assert_eq!(c.in_use("lic"), 2);
    assert_eq!(c.turn(), [Effect::Start(JobKey(1))]);
    c.restart();
    assert_eq!((c.in_use("lic"), c.turn()), (2, vec![]));
    c.end(2, 1);
    assert_eq!(c.turn(), [Effect::Start(JobKey(2)), Effect::Start(JobKey(3))]);
    assert_eq!((c.in_use("lic"), c.status(1)), (1, Status::Failed));
}

#[test]
fn children_and_nodes_take_their_quantities_each() {
    let mut c = Cluster::new();
    c.set_consumable("lic", 1, true);
    c.submit(1, Some(3), &consuming(&terms(1, 1), &[("lic", 1)]));
    assert_eq!(c.turn(), [Effect::Start(JobKey(2))]);
    c.end(1, 0);
    assert_eq!(c.turn(), [Effect::Start(JobKey(3))]);
    c.state.terminate(JobKey(1), "enough", 2);
    c.end(2, 143);
    c.turn();
    assert_eq!(c.in_use("lic"), 0);
    // Both nodes at once, or none.
    c.submit(5, None, &consuming(&two_nodes(0, 1), &[("lic", 1)]));
    assert!(c.turn().is_empty());
    c.set_consumable("lic", 2, true);
    assert_eq!((c.turn(), c.in_use("lic")), (vec![Effect::Start(JobKey(6))], 2));
}

#[test]
fn what_is_not_replenishable_is_gone() {
    let mut c = Cluster::new();
    c.set_consumable("token", 3, false);
    for key in 1..4 {
        c.submit(key, None, &consuming(&terms(1, 1), &[("token", 2)]));
    }
    assert_eq!(c.turn(), [Effect::Start(JobKey(1))]);
    assert_eq!(c.consumables["token"].total, 1);
    // An attempt that never began has taken nothing.
    c.state.attempt_never_began(&Cluster::attempt_id(1), 1);
    assert_eq!(c.turn(), [Effect::Start(JobKey(1))]);
    assert_eq!(c.consumables["token"].total, 1);
    c.end(2, 0);
    assert!(c.turn().is_empty());
    c.set_consumable("token", 5, false);
    assert_eq!(c.turn(), [Effect::Start(JobKey(2)), Effect::Start(JobKey(3))]);
    assert_eq!(c.consumables["token"].total, 1);
}

#[test]
fn a_deleted_resource_is_not_available_until_it_is_there_again() {
    let mut c = Cluster::new();
    c.set_consumable("lic", 1, true);
    c.submit(1, None, &consuming(&terms(1, 1), &[("lic", 1)]));
    c.submit(2, None, &consuming(&terms(1, 1), &[("lic", 1)]));
    c.turn();
    c.delete_consumable("lic");
    c.end(1, 0);
    assert!(c.turn().is_empty());
    assert_eq!((c.status(1), c.status(2)), (Status::Succeeded, Status::Runnable));
    c.set_consumable("lic", 1, true);
    assert_eq!(c.turn(), [Effect::Start(JobKey(2))]);
}

#[test]
fn in_a_queue_with_shares_only_the_share_waits() {
    let mut c = Cluster::new();
    let mut shared = layout();
    shared.queues.get_mut(QUEUE).unwrap().policy = Some(FairShare::default());
    c.state.configure(shared, 0);
    c.set_consumable("lic", 0, true);
    let of = |share: &str, consumes: &[(&str, u64)]| {
        let line = Line { share: Some(share.to_owned()), ..Line::default() };
        consuming(&Arc::new(Terms { line, ..(*terms(1, 1)).clone() }), consumes)
    };
    c.submit(1, None, &of("a", &[("lic", 1)]));
    c.submit(2, None, &of("a", &[]));
    c.submit(3, None, &of("b", &[]));
    assert_eq!(c.turn(), [Effect::Start(JobKey(3))]);
}

#[derive(Debug, Clone)]
enum Event {
    /// A single job, or an array; it may depend on a job that came so many events before.
    Submit {
        size: Option<u32>,
        vcpus: u32,
        attempts: u32,
        after: Option<(usize, u8)>,
        lic: u64,
        token: u64,
    },
    SubmitNodes {
        main: u32,
        attempts: u32,
        after: Option<usize>,
        lic: u64,
    },
    /// A consumable resource gets this total, or is deleted.
    Consumable(Option<u64>),
    Start(u32),
    End(u32, i32),
    Lose(u32),
    NeverBegan(u32),
    Terminate(i64),
    Cancel(i64),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let after = proptest::option::of((1..4_usize, 0..3_u8));
    prop_oneof![
        3 => (proptest::option::of(2..5_u32), 1..4_u32, 1..4_u32, after, 0..3_u64, 0..2_u64).prop_map(
            |(size, vcpus, attempts, after, lic, token)| Event::Submit { size, vcpus, attempts, after, lic, token }
        ),
        1 => (0..2_u32, 1..3_u32, proptest::option::of(1..4_usize), 0..2_u64)
            .prop_map(|(main, attempts, after, lic)| Event::SubmitNodes { main, attempts, after, lic }),
        1 => proptest::option::weighted(0.8, 0..4_u64).prop_map(Event::Consumable),
        4 => (0..40_u32).prop_map(Event::Start),
        6 => (0..40_u32, 0..3_i32).prop_map(|(t, code)| Event::End(t, code)),
        1 => (0..40_u32).prop_map(Event::Lose),
        1 => (0..40_u32).prop_map(Event::NeverBegan),
        1 => (0..40_i64).prop_map(Event::Terminate),
        1 => (0..40_i64).prop_map(Event::Cancel),
        1 => Just(Event::Restart),
    ]
}

/// The dependencies of a job; `before` are the jobs so far with their sizes.
fn depends_on(
    before: &[(i64, Option<u32>)],
    size: Option<u32>,
    after: Option<(usize, u8)>,
) -> Vec<Dependency> {
    let Some((back, kind)) = after else { return Vec::new() };
    let on = before.len().checked_sub(back).and_then(|at| before.get(at));
    match (kind, size, on) {
        (1, Some(_), _) => vec![Dependency::Sequential],
        (2, Some(size), Some((key, Some(other)))) if size == *other => vec![Dependency::Each(JobKey(*key))],
        (_, _, Some((key, _))) => vec![Dependency::Whole(JobKey(*key))],
        _ => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// After any sequence of events: resources are never overdrawn, nothing runs twice, an ended
    /// job stays ended, attempts are counted, arrays add up, no job runs before its dependencies
    /// have succeeded, a restart changes nothing, and in the end everything that can end has ended.
    #[test]
    fn whatever_happens_the_books_balance(events in proptest::collection::vec(event(), 1..120)) {
        let mut c = Cluster::new();
        c.set_consumable("lic", 2, true);
        c.set_consumable("token", TOKENS, false);
        let mut next = 1;
        let mut jobs = Vec::new();
        for event in events {
            let (before, consumables) = (c.stored.clone(), c.consumables.clone());
            c.now += 1;
            match event {
                Event::Submit { size, vcpus, attempts, after, lic, token } => {
                    let depends_on = depends_on(&jobs, size, after);
                    let terms = consuming(&terms(vcpus, attempts), &amounts(lic, token));
                    c.submit(next, size, &Arc::new(Terms { depends_on, ..(*terms).clone() }));
                    jobs.push((next, size));
                    next += 1 + i64::from(size.unwrap_or(0));
                }
                Event::SubmitNodes { main, attempts, after, lic } => {
                    let depends_on = depends_on(&jobs, None, after.map(|back| (back, 0)));
                    let terms = consuming(&two_nodes(main, attempts), &amounts(lic, 0));
                    c.submit(next, None, &Arc::new(Terms { depends_on, ..(*terms).clone() }));
                    jobs.push((next, None));
                    next += 3;
                }
                Event::Consumable(Some(total)) => c.set_consumable("lic", total, true),
                Event::Consumable(None) => c.delete_consumable("lic"),
                Event::Start(t) => c.state.started(&Cluster::started(t, c.now)),
                Event::End(t, code) => c.end(t, code),
                Event::Lose(t) => c.state.attempt_lost(&Cluster::attempt_id(t), c.now),
                Event::NeverBegan(t) => c.state.attempt_never_began(&Cluster::attempt_id(t), c.now),
                Event::Terminate(key) => c.state.terminate(JobKey(key), "t", c.now),
                Event::Cancel(key) => c.state.cancel(JobKey(key), "c", c.now),
                Event::Restart => {
                    let (free, in_use) = (c.state.resources().1, c.state.in_use());
                    c.restart();
                    prop_assert_eq!(c.state.resources().1, free);
                    prop_assert_eq!(c.state.in_use(), in_use);
                    prop_assert!(c.turn().is_empty());
                    prop_assert_eq!(&c.stored, &before);
                    prop_assert_eq!(&c.consumables, &consumables);
                }
            }
            let before_turn = c.state.in_use();
            c.turn();
            check(&c, &before)?;
            check_consumables(&c, &before_turn)?;
        }
        // Everything that can run runs to its end, if there is enough of everything.
        c.set_consumable("lic", 100, true);
        c.set_consumable("token", 10_000, false);
        c.turn();
        for _ in 0..2000 {
            let Some(attempt_id) = c.state.assigned().next().map(|(current, _)| current.attempt_id.clone()) else { break };
            let number: u32 = attempt_id.as_str().parse().unwrap();
            c.end(number, i32::from(number.is_multiple_of(3)));
            c.turn();
        }
        for job in c.stored.values() {
            prop_assert!(job.status.has_ended() || is_stuck(&c, job.key), "{:?}", job);
        }
        prop_assert_eq!(c.state.resources().1, MACHINE);
        prop_assert_eq!(c.state.in_use(), BTreeMap::new());
    }
}

/// How much there is of the resource that is not replenishable.
const TOKENS: u64 = 6;

/// The consumable resources that a job takes some of.
fn amounts(lic: u64, token: u64) -> Vec<(&'static str, u64)> {
    [("lic", lic), ("token", token)].into_iter().filter(|(_, quantity)| *quantity > 0).collect()
}

/// No job begins when the resources are not there; the locks are those of the jobs that have begun
/// and not ended, and no others; and the tokens that are gone are those of jobs that have begun.
fn check_consumables(c: &Cluster, before: &BTreeMap<String, u64>) -> Result<(), TestCaseError> {
    let in_use = c.state.in_use();
    let taken = |name: &str, is_taken: &dyn Fn(&Job) -> bool| -> u64 {
        let jobs = c.stored.values().filter(|job| job.node().is_none() && job.children.is_none());
        let amounts = jobs.filter(|job| is_taken(job)).flat_map(|job| {
            let nodes = job.terms.nodes.as_ref().map_or(1, |nodes| u64::from(nodes.count()));
            job.terms.consumes.iter().map(move |of| (of.name.clone(), of.quantity * nodes))
        });
        amounts.filter(|(of, _)| of == name).map(|(_, quantity)| quantity).sum()
    };
    let lic = taken("lic", &|job| job.attempts > 0 && !job.status.has_ended());
    prop_assert_eq!(in_use.get("lic").copied().unwrap_or(0), lic);
    let total = c.consumables.get("lic").map_or(0, |resource| resource.total);
    // The total may have been made smaller than the part that is in use.
    prop_assert!(lic <= total || lic <= before.get("lic").copied().unwrap_or(0));
    prop_assert_eq!(c.consumables["token"].total + taken("token", &|job| job.attempts > 0), TOKENS);
    Ok(())
}

/// Whether a job cannot end: it fits nowhere, or it waits for one that does not.
fn is_stuck(c: &Cluster, key: JobKey) -> bool {
    let job = &c.stored[&key];
    let of = |key: JobKey| c.stored.get(&key).is_some_and(|j| !j.status.has_ended()) && is_stuck(c, key);
    let children = 0..job.children.map_or(0, |s| s.size());
    job.status_reason.as_deref().is_some_and(|reason| [CANNOT_FIT, TOO_SMALL].contains(&reason))
        || job.child.is_some_and(|(parent, _)| job.node().is_some() && of(parent))
        || children.clone().any(|i| of(key.child(i)))
        || job.terms.depends_on.iter().any(|d| match (d, job.child) {
            (Dependency::Whole(on), _) => of(*on),
            (Dependency::Each(on), Some((_, index))) => of(on.child(index)),
            (Dependency::Sequential, Some((parent, index))) if index > 0 => of(parent.child(index - 1)),
            _ => false,
        })
}

fn check(c: &Cluster, before: &BTreeMap<JobKey, Job>) -> Result<(), TestCaseError> {
    let (capacity, free) = c.state.resources();
    let mut used = Resources::default();
    let mut attempt_ids = BTreeSet::new();
    for job in c.stored.values() {
        if let Some(old) = before.get(&job.key)
            && old.status.has_ended()
            && job.node().is_none()
        {
            prop_assert_eq!(old, job);
        }
        if let Some(current) = &job.current {
            prop_assert!(matches!(job.status, Status::Starting | Status::Running));
            prop_assert!(attempt_ids.insert(current.attempt_id.clone()));
            prop_assert!(job.allocation.is_some());
            for dependency in &job.terms.depends_on {
                let on = match (dependency, job.child) {
                    (Dependency::Whole(on), _) => *on,
                    (Dependency::Each(on), Some((_, index))) => on.child(index),
                    (Dependency::Sequential, Some((parent, index))) if index > 0 => parent.child(index - 1),
                    _ => continue,
                };
                prop_assert_eq!(c.stored[&on].status, Status::Succeeded);
            }
        }
        if job.allocation.is_some() {
            used.add(&job.needs());
        }
        prop_assert!(job.attempts <= job.terms.retry.attempts);
        prop_assert_eq!(job.status.has_ended(), job.stopped_at.is_some());
        if let Some(summary) = &job.children {
            let mut counted = Summary::default();
            for child in c.stored.values().filter(|j| j.child.is_some_and(|(p, _)| p == job.key)) {
                counted.0[usize::from(child.status.code())] += 1;
            }
            prop_assert_eq!(&counted, summary);
            prop_assert_eq!(summary.outcome().is_some(), job.status.has_ended());
        }
    }
    prop_assert_eq!(used.vcpus + free.vcpus, capacity.vcpus);
    prop_assert_eq!(used.memory_mib + free.memory_mib, capacity.memory_mib);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Jobs run, and the database loses all that it was told after some moment: with the runners'
    /// journals every job is where it was, and has had the attempts that it had.
    #[test]
    fn what_the_database_has_lost_the_journals_have(
        jobs in proptest::collection::vec(event(), 1..12),
        ends in proptest::collection::vec((any::<bool>(), 0..40_u32, 0..3_i32), 0..60),
        lost_after in 0..60_usize,
    ) {
        let mut c = Cluster::new();
        c.set_consumable("lic", 2, true);
        c.set_consumable("token", TOKENS, false);
        let (mut next, mut submitted) = (1, Vec::new());
        for event in jobs {
            match event {
                Event::Submit { size, vcpus, attempts, after, lic, token } => {
                    let depends_on = depends_on(&submitted, size, after);
                    let terms = consuming(&terms(vcpus, attempts), &amounts(lic, token));
                    c.submit(next, size, &Arc::new(Terms { depends_on, ..(*terms).clone() }));
                    submitted.push((next, size));
                    next += 1 + i64::from(size.unwrap_or(0));
                }
                Event::SubmitNodes { main, attempts, lic, .. } => {
                    c.submit(next, None, &consuming(&two_nodes(main, attempts), &amounts(lic, 0)));
                    submitted.push((next, None));
                    next += 3;
                }
                _ => {}
            }
        }
        let mut kept = (c.stored.clone(), c.consumables.clone());
        for (number, (ends, attempt_id, code)) in ends.into_iter().enumerate() {
            c.turn();
            match ends {
                true => c.end(attempt_id, code),
                false => c.state.started(&Cluster::started(attempt_id, c.now)),
            }
            c.turn();
            if number < lost_after {
                kept = (c.stored.clone(), c.consumables.clone());
            }
        }
        let (stored, consumables) = kept;
        let mut again = Cluster { stored, consumables, now: c.now, started: 1000, ..Cluster::new() };
        again.restart();
        let resumed = again.state.replay(c.journals.clone(), c.now);
        let changes = again.state.take_changes();
        for job in changes.jobs {
            again.stored.insert(job.key, job);
        }
        for (name, total) in changes.consumed {
            again.set_consumable(&name, total, false);
        }
        prop_assert_eq!(again.state.in_use(), c.state.in_use());
        prop_assert_eq!(&again.consumables, &c.consumables);
        prop_assert!(resumed.len() <= c.journals.len());
        // The runner reports that an attempt runs; the journal does not tell.
        let report = |job: &Job| {
            let status = if job.status == Status::Running { Status::Starting } else { job.status };
            (job.key, status, job.attempts, job.last_attempt_id.clone(), job.current.clone(), job.exit_code)
        };
        let (then, now): (Vec<_>, Vec<_>) =
            (c.stored.values().map(report).collect(), again.stored.values().map(report).collect());
        prop_assert_eq!(now, then);
        prop_assert_eq!(again.state.resources(), c.state.resources());
        // No attempt that has begun begins again.
        let begun: BTreeSet<(JobKey, u32)> = c.journals.iter().map(|r| (r.key, r.attempt)).collect();
        again.turn();
        prop_assert!(again.journals.iter().all(|r| !begun.contains(&(r.key, r.attempt))), "{:?}", again.journals);
    }
}
