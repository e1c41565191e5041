//! A schedule, and how it is made smaller.

use crate::batch::protocol::Millis;

pub use awsb_testkit::ScriptedReply as Reply;

/// All that goes wrong, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    /// The settle time.
    pub settle: Millis,
    /// The submit timeout.
    pub timeout: Millis,
    /// How late a job may be, after the reply to its submission was there or lost.
    pub bound: Millis,
    /// Whether it is submitted under a key.
    pub keyed: bool,
    /// How many requests there are.
    pub parts: usize,
    /// Other jobs of the same name.
    pub others: usize,
    /// The state of the key at the beginning.
    pub before: Before,
    /// Who submits.
    pub holders: Vec<Holder>,
    /// How the calls of SubmitJob end, in the order in which they are made. Behind the list's end
    /// nothing goes wrong.
    pub submits: Vec<SubmitCall>,
    /// ListJobs and DescribeJobs.
    pub reads: Vec<Read>,
    /// TerminateJob.
    pub terminates: Vec<TerminateCall>,
    /// GetObject and PutObject.
    pub records: Vec<RecordCall>,
    /// For everything else.
    pub seed: u64,
}

/// The state of a key at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Before {
    /// Nobody has used it.
    #[default]
    Nothing,
    /// Its jobs have failed.
    AllFailed,
    /// Its jobs have succeeded.
    AllSucceeded,
}

/// A submitter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// When it begins.
    pub start: Millis,
    /// By how much its clock is ahead.
    pub skew: Millis,
    /// When it dies.
    pub kill: Option<Kill>,
    /// When it is stopped for a while.
    pub stalls: Vec<Stall>,
}

/// A death.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kill {
    /// At which step.
    pub step: usize,
    /// How many of the step's actions are executed.
    pub actions: usize,
}

/// A stop between a decision and its actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stall {
    /// At which step.
    pub step: usize,
    /// For how long.
    pub time: Millis,
}

/// A call of SubmitJob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubmitCall {
    /// The reply.
    pub reply: Reply,
    /// When the reply is there, or lost.
    pub after: Millis,
    /// Whether Batch takes a job whose reply is lost, or 500.
    pub acts: bool,
    /// When it takes it.
    pub acts_after: Millis,
    /// When it lists it, after that.
    pub listed_after: Millis,
    /// When it describes it, after that.
    pub described_after: Millis,
}

/// A call of ListJobs or DescribeJobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Read {
    /// It fails.
    pub fails: bool,
    /// When the reply is there.
    pub after: Millis,
}

/// A call of TerminateJob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TerminateCall {
    /// The reply is lost.
    pub fails: bool,
    /// Batch does not act on a call whose reply is lost.
    pub idle: bool,
    /// When it acts.
    pub acts_after: Millis,
    /// When the reply is there, or lost.
    pub after: Millis,
}

/// A call of GetObject or PutObject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordCall {
    /// The reply is lost.
    pub fails: bool,
    /// S3 does not act on a put whose reply is lost.
    pub idle: bool,
    /// The SDK repeats the put, although S3 has acted.
    pub twice: bool,
    /// When S3 acts.
    pub acts_after: Millis,
    /// When the reply is there, or lost.
    pub after: Millis,
}

impl SubmitCall {
    /// When its job is taken, listed and described: not later than the bound.
    pub fn times(&self, bound: Millis) -> [Millis; 3] {
        let latest = self.after + bound;
        let taken = self.acts_after.min(if self.reply == Reply::Given { self.after } else { latest });
        let listed = (taken + self.listed_after).min(latest);
        [taken, listed, (listed + self.described_after).min(latest)]
    }
}

impl Schedule {
    /// As Rust, to be put among the regressions.
    pub fn as_rust(&self) -> String {
        // Values that are the default are left out.
        let is_plain = |line: &str| {
            let plain = [": 0,", ": false,", ": None,", ": [],", ": Nothing,", ": Given,"];
            plain.iter().any(|end| line.ends_with(end))
        };
        let (mut rust, mut open) = (String::new(), Vec::new());
        for line in format!("{self:#?}").lines() {
            if is_plain(line) {
                if let Some((_, has_plain)) = open.last_mut() {
                    *has_plain = true;
                }
                continue;
            }
            let word = line.trim();
            if let Some((_, name)) =
                word.strip_suffix(" {").map(|start| start.rsplit_once(' ').unwrap_or(("", start)))
            {
                open.push((name.to_owned(), false));
            } else if word.starts_with('}')
                && let Some((name, true)) = open.pop()
            {
                rust.push_str(&format!("..{name}::default()\n"));
            }
            // Vectors are all that has square brackets.
            rust.push_str(&line.replace('[', "vec!["));
            rust.push('\n');
        }
        rust
    }

    /// The schedules that are a little smaller.
    fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        fn lists<T: Clone + Default + PartialEq>(
            whole: &Schedule,
            list: fn(&mut Schedule) -> &mut Vec<T>,
            least: usize,
            all: &mut Vec<Schedule>,
        ) {
            let mut copy = whole.clone();
            let length = list(&mut copy).len();
            if length > least {
                let mut half = whole.clone();
                list(&mut half).truncate((length / 2).max(least));
                all.push(half);
                for at in (0..length).rev() {
                    let mut one = whole.clone();
                    list(&mut one).remove(at);
                    all.push(one);
                }
            }
            for at in 0..length {
                let mut plain = whole.clone();
                if std::mem::take(&mut list(&mut plain)[at]) != T::default() {
                    all.push(plain);
                }
            }
        }
        lists(self, |s| &mut s.reads, 0, &mut all);
        lists(self, |s| &mut s.records, 0, &mut all);
        lists(self, |s| &mut s.terminates, 0, &mut all);
        lists(self, |s| &mut s.submits, 0, &mut all);
        lists(self, |s| &mut s.holders, 1, &mut all);
        let mut with = |change: &dyn Fn(&mut Self)| {
            let mut one = self.clone();
            change(&mut one);
            if one != *self {
                all.push(one);
            }
        };
        with(&|s| s.others = 0);
        with(&|s| s.parts = 1);
        with(&|s| s.before = Before::Nothing);
        with(&|s| s.seed = 0);
        for at in 0..self.holders.len() {
            with(&|s| s.holders[at].kill = None);
            with(&|s| s.holders[at].skew = 0);
            with(&|s| s.holders[at].stalls.clear());
        }
        let numbers = self.clone().numbers().len();
        for at in 0..numbers {
            with(&|s| *s.numbers()[at] = 0);
            with(&|s| {
                let number = &mut *s.numbers()[at];
                *number = *number / 200 * 100;
            });
        }
        all
    }

    /// All periods in it that may be others.
    fn numbers(&mut self) -> Vec<&mut Millis> {
        let mut all: Vec<&mut Millis> = Vec::new();
        for holder in &mut self.holders {
            all.push(&mut holder.start);
            all.push(&mut holder.skew);
            all.extend(holder.stalls.iter_mut().map(|stall| &mut stall.time));
        }
        for call in &mut self.submits {
            all.push(&mut call.after);
            all.push(&mut call.acts_after);
            all.push(&mut call.listed_after);
            all.push(&mut call.described_after);
        }
        all.extend(self.reads.iter_mut().map(|call| &mut call.after));
        for call in &mut self.terminates {
            all.push(&mut call.after);
            all.push(&mut call.acts_after);
        }
        for call in &mut self.records {
            all.push(&mut call.after);
            all.push(&mut call.acts_after);
        }
        all
    }
}

/// The smallest schedule that `fails` and that can be reached from one that does.
pub fn shrink(mut schedule: Schedule, fails: impl Fn(&Schedule) -> bool) -> Schedule {
    while let Some(smaller) = schedule.smaller().into_iter().find(|smaller| fails(smaller)) {
        schedule = smaller;
    }
    schedule
}
