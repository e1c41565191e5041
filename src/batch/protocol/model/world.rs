//! Batch, S3 and the submitters, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Before, Reply, Schedule};
use crate::batch::protocol::Holder as KeyOwner;
use crate::batch::protocol::{
    Action, Described, ETag, Event, FailedCall, Filter, KeyHolder, Limits, Listed, Millis, Outcome, Page,
    Random, Record, SearchTarget, State, Submission, SubmissionStatus, SubmitReply, Submitted,
};
use awsb_model::SubmissionId;

/// When everything begins: far from zero, as clocks are.
pub const BEGIN: Millis = 1_700_000_000_000;
/// Jobs in a page.
const PAGE: usize = 3;
/// More steps than this are a loop.
const STEPS: usize = 20_000;

/// The machine of a submitter.
#[derive(Debug, Clone)]
pub enum Machine {
    One(Submission),
    Key(KeyHolder),
}

impl Machine {
    fn step(&mut self, now: Millis, event: Event) -> Vec<Action> {
        match self {
            Self::One(submission) => submission.step(now, event),
            Self::Key(key) => key.step(now, event),
        }
    }

    fn status(&self) -> SubmissionStatus {
        match self {
            Self::One(submission) => submission.status(),
            Self::Key(key) => key.status(),
        }
    }

    fn mark(&self) -> Option<SubmissionId> {
        match self {
            Self::One(submission) => Some(submission.mark().clone()),
            Self::Key(key) => key.under_way().map(|(_, mark)| mark.clone()),
        }
    }
}

/// A job that Batch takes, perhaps later.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: String,
    pub mark: Option<SubmissionId>,
    pub part: usize,
    /// Whose request it was.
    pub client: Option<usize>,
    pub taken_at: Millis,
    listed_at: Millis,
    described_at: Millis,
    /// When it was terminated.
    pub terminated_at: Option<Millis>,
    /// How it ended before the schedule began.
    ended: Option<State>,
    order: u64,
}

/// A message after Ctrl-C: the job with this mark has not been submitted.
#[derive(Debug, Clone)]
pub struct InterruptReport {
    pub mark: SubmissionId,
    /// The number of jobs at that moment. Others were submitted later.
    pub jobs_before: usize,
}

/// A submitter that runs.
#[derive(Debug)]
pub struct Client {
    pub machine: Machine,
    pub skew: Millis,
    pub outcome: Option<Outcome>,
    pub killed: bool,
    /// The messages about duplicates: the one that was terminated, and the one that is kept.
    pub notes: Vec<(String, String)>,
    /// The messages that Ctrl-C would have printed.
    pub interrupt_reports: Vec<InterruptReport>,
    /// The beginning, the seed of the random numbers and, without a key, the mark.
    pub begun_at: Millis,
    pub seed: u128,
    pub mark: Option<SubmissionId>,
    terminating: Option<(String, String)>,
    pub kill: Option<super::Kill>,
    stalls: Vec<super::Stall>,
    steps: usize,
    stalled_until: Millis,
}

#[derive(Debug)]
enum Payload {
    Event(usize, Event),
    Execute(usize, Vec<Action>),
    Act(Act),
}

/// The effect of a call on a service, perhaps later.
#[derive(Debug)]
enum Act {
    Put { client: usize, record: Record, over: Option<ETag>, reply_at: Option<Millis>, twice: bool },
    Terminate(String),
}

/// How many calls of each kind have failed.
#[derive(Debug, Default, Clone, Copy)]
pub struct Failures {
    pub reads: usize,
    pub terminates: usize,
    pub records: usize,
}

/// All of it.
#[derive(Debug)]
pub struct World {
    pub schedule: Schedule,
    pub jobs: Vec<Job>,
    pub clients: Vec<Client>,
    pub failures: Failures,
    /// How many requests for SubmitJob came.
    pub sent: usize,
    submits: usize,
    /// Whether it did not end.
    pub endless: bool,
    now: Millis,
    queue: BinaryHeap<Reverse<(Millis, usize)>>,
    payloads: Vec<Option<Payload>>,
    record: Option<(Record, ETag)>,
    writes: usize,
    reads: usize,
    terminates: usize,
    records: usize,
    random: Random,
}

impl World {
    /// Runs a schedule to its end, and with a key once more after that, with nothing going wrong.
    pub fn run(schedule: &Schedule) -> Self {
        let mut world = Self::new(schedule);
        for n in 0..schedule.holders.len() {
            world.add(schedule.holders[n].clone());
        }
        world.play();
        if schedule.keyed && !world.endless {
            let schedule = &mut world.schedule;
            (world.reads, world.terminates, world.records, world.submits) = (
                schedule.reads.len(),
                schedule.terminates.len(),
                schedule.records.len(),
                schedule.submits.len().max(world.submits),
            );
            world.now += 10 * schedule.settle;
            world.add(super::Holder::default());
            world.play();
        }
        world
    }

    fn new(schedule: &Schedule) -> Self {
        let mut world = Self {
            schedule: schedule.clone(),
            jobs: Vec::new(),
            clients: Vec::new(),
            failures: Failures::default(),
            sent: 0,
            submits: 0,
            endless: false,
            now: BEGIN,
            queue: BinaryHeap::new(),
            payloads: Vec::new(),
            record: None,
            writes: 0,
            reads: 0,
            terminates: 0,
            records: 0,
            random: Random::new(u128::from(schedule.seed) << 32 | 1),
        };
        for _ in 0..schedule.others {
            world.new_job(None, None, 0, [0; 3]);
        }
        let ended = match schedule.before {
            Before::Nothing => return world,
            Before::AllFailed => State::Failed,
            Before::AllSucceeded => State::Succeeded,
        };
        let owner = KeyOwner { key: "k".into(), id: "before".into(), by: "before".into() };
        let targets = targets(schedule.parts);
        let mut record = Record::new(&owner, BEGIN - 7_200_000, &targets, &mut world.random);
        for (part, entry) in record.jobs.iter_mut().enumerate() {
            let mark = entry.mark.clone();
            let id = world.new_job(None, Some(mark), part, [0; 3]);
            entry.set_job(&submitted(&id));
        }
        for job in world.jobs.iter_mut().filter(|job| job.mark.is_some()) {
            (job.taken_at, job.ended) = (BEGIN - 7_200_000, Some(ended));
        }
        world.write(record);
        world
    }

    fn add(&mut self, holder: super::Holder) {
        let at = self.now + holder.start;
        let limits = Limits { submit_timeout: self.schedule.timeout, settle: self.schedule.settle };
        let seed = self.random.next();
        let random = Random::new(seed);
        let mark = (!self.schedule.keyed).then(|| self.random.mark());
        let now = at + holder.skew;
        let targets = targets(self.schedule.parts);
        let machine = match &mark {
            Some(mark) => Machine::One(Submission::new((0, &targets[0]), mark.clone(), limits, random, now)),
            None => {
                let id = format!("holder {}", self.clients.len());
                let owner = KeyOwner { key: "k".into(), by: id.clone(), id };
                Machine::Key(KeyHolder::new(owner, targets, limits, random, now))
            }
        };
        self.clients.push(Client {
            machine,
            skew: holder.skew,
            outcome: None,
            killed: false,
            notes: Vec::new(),
            interrupt_reports: Vec::new(),
            begun_at: at,
            seed,
            mark,
            terminating: None,
            kill: holder.kill,
            stalls: holder.stalls,
            steps: 0,
            stalled_until: 0,
        });
        self.at(at, Payload::Event(self.clients.len() - 1, Event::Begun));
    }

    fn at(&mut self, at: Millis, payload: Payload) {
        self.queue.push(Reverse((at.max(self.now), self.payloads.len())));
        self.payloads.push(Some(payload));
    }

    fn play(&mut self) {
        while let Some(Reverse((at, number))) = self.queue.pop() {
            if number > STEPS {
                self.endless = true;
                return;
            }
            self.now = at;
            match self.payloads[number].take() {
                Some(Payload::Event(client, event)) => self.step(client, event),
                Some(Payload::Execute(client, actions)) => self.execute(client, actions),
                Some(Payload::Act(act)) => self.act(act),
                None => {}
            }
        }
    }

    /// Acts at this time: if it is now, before anything else, so that the replies of one moment
    /// come in the order of their calls.
    fn act_at(&mut self, at: Millis, act: Act) {
        if at <= self.now { self.act(act) } else { self.at(at, Payload::Act(act)) }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Put { client, record, over, reply_at, twice } => {
                let reply = self.put(record.clone(), over.clone());
                let reply = if twice { self.put(record, over) } else { reply };
                if let Some(at) = reply_at {
                    self.at(at, Payload::Event(client, Event::Put(Ok(reply))));
                }
            }
            Act::Terminate(id) => {
                let now = self.now;
                let job = self.jobs.iter_mut().find(|job| job.id == id && job.taken_at <= now);
                if let Some(job) = job.filter(|job| job.terminated_at.is_none()) {
                    job.terminated_at = Some(now);
                }
            }
        }
    }

    fn step(&mut self, number: usize, event: Event) {
        let now = self.now;
        let client = &mut self.clients[number];
        if client.killed || client.outcome.is_some() {
            return;
        }
        if now < client.stalled_until {
            let at = client.stalled_until;
            return self.at(at, Payload::Event(number, event));
        }
        if let Event::Terminated(Ok(())) = &event {
            client.notes.extend(client.terminating.take());
        }
        let mut actions = client.machine.step(now + client.skew, event);
        let step = client.steps;
        client.steps += 1;
        // The user may send a signal at any moment, and then reads how far the submission has come.
        if let (SubmissionStatus::NotAccepted(_), Some(mark)) =
            (client.machine.status(), client.machine.mark())
        {
            client.interrupt_reports.push(InterruptReport { mark, jobs_before: self.jobs.len() });
        }
        if let Some(kill) = client.kill.filter(|kill| kill.step == step) {
            client.killed = true;
            actions.truncate(kill.actions);
            actions.retain(|action| !matches!(action, Action::Done(_)));
            return self.execute(number, actions);
        }
        if let Some(stall) = client.stalls.iter().find(|stall| stall.step == step) {
            client.stalled_until = now + stall.time;
            let at = client.stalled_until;
            return self.at(at, Payload::Execute(number, actions));
        }
        self.execute(number, actions);
    }

    fn execute(&mut self, client: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Submit { request, mark } => self.submit(client, request, mark),
                Action::List { filter, page, .. } => {
                    let reply = self.list(&filter, page.as_deref());
                    self.read(client, |failure| Event::Listed(failure.map_or(Ok(reply), Err)));
                }
                Action::Describe { jobs, .. } => {
                    let reply = self.describe(&jobs);
                    self.read(client, |failure| Event::Described(failure.map_or(Ok(reply), Err)));
                }
                Action::Terminate { duplicate, kept } => {
                    self.clients[client].terminating = Some((duplicate.job_id.clone(), kept.job_id));
                    let call = self.schedule.terminates.get(self.terminates).copied().unwrap_or_default();
                    self.terminates += 1;
                    if !(call.fails && call.idle) {
                        let acts_after =
                            if call.fails { call.acts_after } else { call.acts_after.min(call.after) };
                        self.act_at(self.now + acts_after, Act::Terminate(duplicate.job_id));
                    }
                    self.failures.terminates += usize::from(call.fails);
                    let reply = if call.fails { Err(self.failed_call(1)) } else { Ok(()) };
                    self.at(self.now + call.after, Payload::Event(client, Event::Terminated(reply)));
                }
                Action::GetRecord => {
                    let call = self.schedule.records.get(self.records).copied().unwrap_or_default();
                    self.records += 1;
                    self.failures.records += usize::from(call.fails);
                    let reply = if call.fails { Err(self.failed_call(2)) } else { Ok(self.record.clone()) };
                    self.at(self.now + call.after, Payload::Event(client, Event::Record(reply)));
                }
                Action::PutRecord { record, over } => {
                    let call = self.schedule.records.get(self.records).copied().unwrap_or_default();
                    self.records += 1;
                    let reply_at = self.now + call.after;
                    if call.fails {
                        self.failures.records += 1;
                        let reply = Err(self.failed_call(2));
                        self.at(reply_at, Payload::Event(client, Event::Put(reply)));
                        if call.idle {
                            continue;
                        }
                    }
                    let acts_at =
                        self.now + if call.fails { call.acts_after } else { call.acts_after.min(call.after) };
                    let reply_at = (!call.fails).then_some(reply_at);
                    self.act_at(acts_at, Act::Put { client, record, over, reply_at, twice: call.twice });
                }
                Action::WakeAt(at) => {
                    let at = at - self.clients[client].skew;
                    self.at(at, Payload::Event(client, Event::Woken));
                }
                Action::Done(outcome) => self.clients[client].outcome = Some(outcome),
            }
        }
    }

    fn submit(&mut self, client: usize, part: usize, mark: SubmissionId) {
        let call = self.schedule.submits.get(self.submits).copied().unwrap_or_default();
        self.sent += 1;
        self.submits += 1;
        let number = self.submits;
        let reply_at = self.now + call.after;
        let reply = match call.reply {
            Reply::Given => {
                let times = call.times(self.schedule.bound);
                SubmitReply::Accepted(submitted(&self.new_job(Some(client), Some(mark), part, times)))
            }
            Reply::Lost | Reply::Error => {
                if call.acts {
                    let times = call.times(self.schedule.bound);
                    self.new_job(Some(client), Some(mark), part, times);
                }
                SubmitReply::Lost(number)
            }
            Reply::Throttled => SubmitReply::Retryable(number),
            Reply::Refused => SubmitReply::Rejected(number),
        };
        self.at(reply_at, Payload::Event(client, Event::Submitted(reply)));
    }

    fn new_job(
        &mut self,
        client: Option<usize>,
        mark: Option<SubmissionId>,
        part: usize,
        [taken, listed, described]: [Millis; 3],
    ) -> String {
        let order = self.random.next() as u64;
        // The order of IDs says nothing.
        let id = format!("{:03}-{}", order % 1000, self.jobs.len());
        self.jobs.push(Job {
            id: id.clone(),
            mark,
            part,
            client,
            taken_at: self.now + taken,
            listed_at: self.now + listed,
            described_at: self.now + described,
            terminated_at: None,
            ended: None,
            order,
        });
        id
    }

    fn failed_call(&self, failure: usize) -> FailedCall {
        FailedCall { failure, retryable: true }
    }

    fn read(&mut self, client: usize, event: impl FnOnce(Option<FailedCall>) -> Event) {
        let call = self.schedule.reads.get(self.reads).copied().unwrap_or_default();
        self.reads += 1;
        self.failures.reads += usize::from(call.fails);
        let event = event(call.fails.then(|| self.failed_call(0)));
        self.at(self.now + call.after, Payload::Event(client, event));
    }

    /// A page, in no order; the token is a number of jobs.
    fn list(&self, filter: &Filter, page: Option<&str>) -> Page {
        let mut jobs: Vec<&Job> = self
            .jobs
            .iter()
            .filter(|job| job.listed_at <= self.now)
            .filter(|job| match filter {
                Filter::CreatedAfter(after) => job.taken_at > *after,
                Filter::Name(name) => *name == target(job.part).name,
            })
            .collect();
        jobs.sort_by_key(|job| job.order);
        let from: usize = page.and_then(|token| token.parse().ok()).unwrap_or(0);
        let shown = jobs.iter().skip(from).take(PAGE).map(|job| Listed {
            id: job.id.clone(),
            name: target(job.part).name,
            created_at: Some(job.taken_at),
        });
        Page { jobs: shown.collect(), next: (jobs.len() > from + PAGE).then(|| (from + PAGE).to_string()) }
    }

    fn describe(&self, ids: &[String]) -> Vec<Described> {
        let known = self.jobs.iter().filter(|job| job.described_at <= self.now && ids.contains(&job.id));
        known
            .map(|job| Described {
                created_at: job.taken_at,
                job: submitted(&job.id),
                mark: job.mark.clone(),
                state: match (job.ended, job.terminated_at) {
                    (Some(ended), _) => ended,
                    (None, Some(_)) => State::Failed,
                    (None, None) => State::Active,
                },
            })
            .collect()
    }

    fn put(&mut self, record: Record, over: Option<ETag>) -> Option<ETag> {
        let present = self.record.as_ref().map(|(_, etag)| etag);
        (present == over.as_ref()).then(|| self.write(record))
    }

    fn write(&mut self, record: Record) -> ETag {
        self.writes += 1;
        let etag = ETag(self.writes.to_string());
        self.record = Some((record, etag.clone()));
        etag
    }
}

impl Job {
    /// Whether it does its work.
    pub fn is_alive(&self) -> bool {
        self.terminated_at.is_none() && self.ended != Some(State::Failed)
    }
}

fn targets(parts: usize) -> Vec<SearchTarget> {
    (0..parts).map(target).collect()
}

pub fn target(part: usize) -> SearchTarget {
    // Names may be the same.
    SearchTarget { queue: "q".into(), name: if part < 2 { "n".into() } else { "m".into() } }
}

fn submitted(id: &str) -> Submitted {
    Submitted { job_arn: None, job_name: "n".into(), job_id: id.to_owned() }
}
