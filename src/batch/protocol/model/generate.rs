//! Schedules out of a number.

use super::{Before, Holder, Kill, Read, RecordCall, Reply, Schedule, Stall, SubmitCall, TerminateCall};
use crate::batch::protocol::{Millis, Random};

/// The settle time of all schedules.
pub const SETTLE: Millis = 1000;

/// Small numbers out of random ones.
pub struct Dice(Random);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Random::new(u128::from(seed) << 64 | u128::from(seed ^ 0x5851_f42d_4c95_7f2d)))
    }

    /// Less than this.
    pub fn below(&mut self, below: u64) -> u64 {
        (self.0.next() as u64) % below.max(1)
    }

    /// With a chance of 1 in this.
    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn time(&mut self, longest: Millis) -> Millis {
        // Borders are met more often than by chance.
        match self.below(6) {
            0 => 0,
            1 => longest,
            _ => self.below(longest.unsigned_abs() + 1).cast_signed(),
        }
    }

    fn choose<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// The schedule of this number. Every other one holds to the bound of one settle time, and the
/// others to two.
pub fn generate(seed: u64) -> Schedule {
    let dice = &mut Dice::new(seed);
    match dice.below(8) {
        0 => slow_holder(dice, seed),
        1 => late_tries(dice, seed),
        2 => dead_holder(dice, seed),
        3 if dice.one_in(2) => late_writes(dice, seed),
        _ => anything(dice, seed),
    }
}

/// A holder that is stopped for longer than a lease, just when it submits, and another that takes
/// over.
fn slow_holder(dice: &mut Dice, seed: u64) -> Schedule {
    let step = 1 + dice.below(25) as usize;
    let stall = Stall { step, time: 2 * SETTLE + dice.time(3 * SETTLE) };
    let bound = dice.choose(&[SETTLE, 2 * SETTLE]);
    Schedule {
        holders: vec![
            Holder { stalls: vec![stall], ..Holder::default() },
            Holder { start: dice.time(SETTLE), ..Holder::default() },
        ],
        submits: (0..5).map(|_| submit(dice, 3, 0, bound)).collect(),
        terminates: (0..dice.below(3)).map(|_| terminate(dice, 20)).collect(),
        bound,
        keyed: true,
        ..plain(seed)
    }
}

/// Attempts whose replies are lost, one after the other, and which are later than a settle time.
fn late_tries(dice: &mut Dice, seed: u64) -> Schedule {
    let keyed = dice.one_in(2);
    let bound = 2 * SETTLE;
    let kill =
        dice.one_in(2).then(|| Kill { step: 25 + dice.below(30) as usize, actions: dice.below(3) as usize });
    let mut submits: Vec<SubmitCall> = Vec::new();
    for _ in 0..1 + dice.below(2) {
        let acts_after = dice.time(bound);
        let listed_after = dice.time(bound - acts_after);
        submits.push(SubmitCall {
            reply: Reply::Lost,
            acts: true,
            acts_after,
            listed_after,
            ..SubmitCall::default()
        });
    }
    let listed_after = dice.time(bound);
    submits.push(SubmitCall { listed_after, ..SubmitCall::default() });
    Schedule {
        holders: vec![Holder { kill, ..Holder::default() }],
        submits,
        terminates: (0..dice.below(3)).map(|_| terminate(dice, 20)).collect(),
        bound,
        keyed,
        ..plain(seed)
    }
}

/// A holder that dies after it could not write for a while, and whose last attempt is late.
fn dead_holder(dice: &mut Dice, seed: u64) -> Schedule {
    let bound = dice.choose(&[SETTLE, 2 * SETTLE]);
    let late = |dice: &mut Dice| SubmitCall {
        reply: Reply::Lost,
        acts: true,
        acts_after: bound / 2 + dice.time(bound / 2),
        ..SubmitCall::default()
    };
    let first = match dice.one_in(2) {
        true => SubmitCall { reply: Reply::Lost, ..SubmitCall::default() },
        false => late(dice),
    };
    let fails = RecordCall { fails: true, idle: true, ..RecordCall::default() };
    let beats = dice.below(4);
    let records = std::iter::once(RecordCall::default()).chain((0..beats).map(|_| fails)).collect();
    Schedule {
        holders: vec![
            Holder {
                kill: Some(Kill { step: 10 + dice.below(30) as usize, actions: 1 + dice.below(2) as usize }),
                ..Holder::default()
            },
            Holder { start: dice.time(SETTLE), ..Holder::default() },
        ],
        submits: vec![first, late(dice)],
        records,
        bound,
        keyed: true,
        ..plain(seed)
    }
}

/// A holder whose first write of the record seems to fail, and which dies later.
fn late_writes(dice: &mut Dice, seed: u64) -> Schedule {
    let first = RecordCall { fails: true, acts_after: 400 + dice.time(300), ..RecordCall::default() };
    let mut records = vec![first, RecordCall { after: dice.time(300), ..RecordCall::default() }];
    for _ in 0..dice.below(3) {
        let fails = dice.one_in(2);
        let acts_after = if fails { dice.time(SETTLE) } else { 0 };
        records.push(RecordCall {
            fails,
            twice: dice.one_in(2),
            acts_after,
            after: dice.time(200),
            idle: false,
        });
    }
    let kill =
        dice.one_in(2).then(|| Kill { step: 15 + dice.below(25) as usize, actions: dice.below(3) as usize });
    Schedule {
        holders: vec![
            Holder { kill, ..Holder::default() },
            Holder { start: dice.time(SETTLE), ..Holder::default() },
        ],
        submits: (0..3).map(|_| submit(dice, 2, 0, SETTLE)).collect(),
        records,
        keyed: true,
        ..plain(seed)
    }
}

/// Nothing goes wrong.
fn plain(seed: u64) -> Schedule {
    Schedule { settle: SETTLE, timeout: 300 * SETTLE, bound: SETTLE, parts: 1, seed, ..Schedule::default() }
}

/// Anything may go wrong.
fn anything(dice: &mut Dice, seed: u64) -> Schedule {
    let settle = SETTLE;
    let bound = if dice.one_in(2) { settle } else { 2 * settle };
    let keyed = dice.one_in(2);
    let parts = if keyed && dice.one_in(4) { 2 + dice.below(2) as usize } else { 1 };
    let before = match dice.below(6) {
        0 if keyed => Before::AllFailed,
        1 if keyed => Before::AllSucceeded,
        _ => Before::Nothing,
    };
    // In some schedules nearly every call fails, and in some only a few.
    let odds = dice.choose(&[2, 3, 5, 12]);
    let slow = dice.choose(&[0, 20, 200]);
    let holders = if keyed { 1 + dice.below(3) } else { 1 };
    let holders: Vec<Holder> = (0..holders).map(|n| holder(dice, n, keyed, settle)).collect();
    let submits = 1 + dice.below(5);
    let submits = (0..submits).map(|_| submit(dice, odds, slow, bound)).collect();
    let reads = dice.below(30);
    let reads = (0..reads)
        .map(|_| Read { fails: dice.one_in(odds * 2), after: long(dice, slow, 2 * settle) })
        .collect();
    let terminates = dice.below(6);
    let terminates = (0..terminates).map(|_| terminate(dice, slow)).collect();
    let records = if keyed { dice.below(20) } else { 0 };
    let records = (0..records)
        .map(|_| {
            let fails = dice.one_in(odds * 3);
            let after = dice.time(slow);
            RecordCall {
                fails,
                idle: dice.one_in(2),
                twice: dice.one_in(odds * 2),
                after,
                acts_after: if fails { dice.time(after + settle) } else { after / 2 },
            }
        })
        .collect();
    Schedule {
        settle,
        timeout: dice.choose(&[0, 2 * settle, 300 * settle]),
        bound,
        keyed,
        parts,
        others: if dice.one_in(3) { dice.below(12) as usize } else { 0 },
        before,
        holders,
        submits,
        reads,
        terminates,
        records,
        seed,
    }
}

/// Mostly short, and at times longer than a settle time.
fn long(dice: &mut Dice, slow: Millis, longest: Millis) -> Millis {
    if slow > 0 && dice.one_in(12) { dice.time(longest) } else { dice.time(slow) }
}

fn holder(dice: &mut Dice, n: u64, keyed: bool, settle: Millis) -> Holder {
    let kill =
        dice.one_in(3).then(|| Kill { step: dice.below(40) as usize, actions: dice.below(3) as usize });
    // A holder that dies was not stopped for long: see the promise.
    let longest = if kill.is_some() { settle / 8 } else { 8 * settle };
    let stalls = if keyed && dice.one_in(3) { 1 + dice.below(2) } else { 0 };
    let stalls =
        (0..stalls).map(|_| Stall { step: dice.below(30) as usize, time: dice.time(longest) }).collect();
    let skew = match dice.below(4) {
        0 => dice.time(600_000) - 300_000,
        _ => 0,
    };
    Holder { start: if n == 0 { 0 } else { dice.time(5 * settle) }, skew, kill, stalls }
}

fn terminate(dice: &mut Dice, slow: Millis) -> TerminateCall {
    let after = dice.time(slow);
    let acts_after = dice.time(after + SETTLE);
    TerminateCall { fails: dice.one_in(2), idle: dice.one_in(2), after, acts_after }
}

fn submit(dice: &mut Dice, odds: u64, slow: Millis, bound: Millis) -> SubmitCall {
    let reply = match dice.below(odds) {
        0 => dice.choose(&[Reply::Lost, Reply::Lost, Reply::Lost, Reply::Error]),
        1 => dice.choose(&[Reply::Throttled, Reply::Throttled, Reply::Refused, Reply::Lost]),
        _ => Reply::Given,
    };
    let after = dice.time(slow);
    let is_open = matches!(reply, Reply::Lost | Reply::Error);
    // All together are not later than the bound.
    let shown = dice.time(after + bound);
    let acts_after = if is_open { dice.time(shown) } else { after / 2 };
    let rest = (shown - acts_after).max(0);
    let listed_after = dice.time(rest);
    let described_after = if dice.one_in(3) { dice.time(rest - listed_after) } else { 0 };
    SubmitCall { reply, after, acts: dice.one_in(2), acts_after, listed_after, described_after }
}
