//! The model and the wire agree: schedules of the model go through the driver and the SDK, to a
//! server that follows them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use awsb_testkit::{Chaos, Script, ScriptedSubmit, ScriptedWrite};

use super::driver::{Driver, Machine, Stepped};
use super::{OnceKey, Outcome, Store, SubmissionProgress, SubmitRequest};
use crate::aws::Session;
use crate::batch::protocol::model::{BEGIN, Client, Holder, Reply, Schedule, World, generate, target};
use crate::batch::protocol::{
    Holder as KeyOwner, KeyHolder, Limits, Random, SearchTarget, Submission, Submitted,
};
use awsb_model::request::Overrides;

/// Schedules that go through the wire.
const SCHEDULES: usize = 200;

/// How it all came out.
#[derive(Debug, PartialEq, Eq)]
struct Result {
    /// How each submitter ended, and which jobs it named.
    ends: Vec<(String, Vec<usize>)>,
    /// For each accepted job, whether it is still running.
    alive: Vec<bool>,
    submits: usize,
}

/// A schedule of this number without anything that takes time on the wire: each call is answered at
/// once, by the test's clock, and one submitter comes after the other.
fn schedule(number: u64) -> Schedule {
    let mut schedule = generate(number);
    schedule.holders.truncate(2);
    for (n, holder) in schedule.holders.iter_mut().enumerate() {
        *holder =
            Holder { start: n as i64 * 10_000 * schedule.settle, kill: holder.kill, ..Holder::default() };
    }
    schedule.others = 0;
    schedule.before = Default::default();
    schedule.submits.iter_mut().for_each(|call| call.after = 0);
    for call in schedule.submits.iter_mut().filter(|call| call.reply == Reply::Given) {
        call.acts_after = 0;
    }
    schedule.reads.iter_mut().for_each(|call| call.after = 0);
    schedule.terminates.iter_mut().for_each(|call| (call.after, call.acts_after) = (0, 0));
    for call in &mut schedule.records {
        (call.after, call.acts_after, call.twice) = (0, 0, false);
    }
    schedule
}

/// Whether something goes wrong in it.
fn goes_wrong(schedule: &Schedule) -> bool {
    schedule.submits.iter().any(|call| call.reply != Reply::Given)
        || schedule.holders.iter().any(|holder| holder.kill.is_some())
}

fn script(schedule: &Schedule, now: &Arc<AtomicI64>) -> Script {
    let submits = schedule.submits.iter().map(|call| {
        let [taken_after, listed_after, described_after] = call.times(schedule.bound);
        ScriptedSubmit { reply: call.reply, acts: call.acts, taken_after, listed_after, described_after }
    });
    Script {
        submits: submits.collect(),
        reads: schedule.reads.iter().map(|call| call.fails).collect(),
        terminates: schedule
            .terminates
            .iter()
            .map(|call| ScriptedWrite { fails: call.fails, idle: call.idle })
            .collect(),
        records: schedule
            .records
            .iter()
            .map(|call| ScriptedWrite { fails: call.fails, idle: call.idle })
            .collect(),
        now: Arc::clone(now),
    }
}

fn named(outcome: Option<&Outcome>, target_of: impl Fn(&str) -> usize) -> (String, Vec<usize>) {
    let jobs: &[Submitted] = match outcome {
        Some(Outcome::Submitted { jobs, .. } | Outcome::RecordFailed { jobs, .. }) => jobs,
        _ => &[],
    };
    let words = outcome.map_or_else(|| "killed".to_owned(), |outcome| format!("{outcome:?}"));
    let kind = words.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    (kind.to_owned(), jobs.iter().map(|job| target_of(&job.job_id)).collect())
}

fn in_model(world: &World) -> Result {
    let target_of = |id: &str| world.jobs.iter().position(|job| job.id == id).unwrap_or(usize::MAX);
    Result {
        ends: world.clients.iter().map(|client| named(client.outcome.as_ref(), target_of)).collect(),
        alive: world.jobs.iter().map(|job| job.is_alive()).collect(),
        submits: world.sent,
    }
}

fn requests(parts: usize) -> Vec<SubmitRequest> {
    let request = |target: SearchTarget| SubmitRequest {
        job_name: target.name,
        job_queue: target.queue,
        job_definition: "d".into(),
        container_overrides: Some(Overrides::default()),
        ..SubmitRequest::default()
    };
    (0..parts).map(target).map(request).collect()
}

async fn run(
    schedule: &Schedule,
    client: &Client,
    endpoint: &str,
    clock: &Arc<AtomicI64>,
) -> Option<Outcome> {
    clock.fetch_max(client.begun_at, Ordering::SeqCst);
    let session = Session::with_server(endpoint).expect("a session");
    let (requests, progress) = (requests(schedule.parts), SubmissionProgress::default());
    let limits = Limits { submit_timeout: schedule.timeout, settle: schedule.settle };
    let random = Random::new(client.seed);
    let key: OnceKey = "k".parse().expect("a key");
    let store = schedule.keyed.then(|| (&key, Store::new(&session, &key)));
    let stepped = Stepped::new(clock, client.kill.map(|kill| (kill.step, kill.actions)));
    let driver = Driver::new(&session, &requests, store, &progress).stepped(&stepped);
    let targets: Vec<SearchTarget> = (0..schedule.parts).map(target).collect();
    let mut machine = match &client.mark {
        Some(mark) => {
            let submission = Submission::new((0, &targets[0]), mark.clone(), limits, random, driver.now());
            Machine::One(Box::new(submission))
        }
        None => {
            let owner = KeyOwner { key: "k".into(), by: "me".into(), id: format!("{:x}", client.seed) };
            Machine::Key(Box::new(KeyHolder::new(owner, targets, limits, random, driver.now())))
        }
    };
    tokio::select! {
        outcome = driver.drive(&mut machine) => Some(outcome),
        () = stepped.killed() => None,
    }
}

async fn on_wire(schedule: &Schedule, world: &World) -> Result {
    let clock = Arc::new(AtomicI64::new(BEGIN));
    let chaos = Chaos::follow(script(schedule, &clock));
    let endpoint = chaos.endpoint();
    let mut outcomes = Vec::new();
    for (n, client) in world.clients.iter().enumerate() {
        if schedule.keyed && n + 1 == world.clients.len() {
            chaos.calm();
        }
        outcomes.push(run(schedule, client, &endpoint, &clock).await);
    }
    let jobs = chaos.jobs();
    let target_of = |id: &str| jobs.iter().position(|job| job.id == id).unwrap_or(usize::MAX);
    Result {
        ends: outcomes.iter().map(|outcome| named(outcome.as_ref(), target_of)).collect(),
        alive: jobs.iter().map(awsb_testkit::ChaosJob::is_alive).collect(),
        submits: chaos.requests("submitjob").len(),
    }
}

#[test]
fn the_model_and_the_wire_agree() {
    let chosen: Vec<Schedule> = (0..).map(schedule).filter(goes_wrong).take(SCHEDULES).collect();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let mine = chosen.iter().skip(thread).step_by(threads);
            scope.spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                for schedule in mine {
                    let world = World::run(schedule);
                    let (model, wire) = (in_model(&world), runtime.block_on(on_wire(schedule, &world)));
                    assert_eq!(model, wire, "model and wire do not agree:\n{}", schedule.as_rust());
                }
            });
        }
    });
}
