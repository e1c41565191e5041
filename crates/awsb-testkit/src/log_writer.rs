//! The output of the jobs of the tests' CloudWatch Logs, and the faults of the network on the way
//! to it.

use std::time::Duration;

/// How bad it is: chances of 1,000 for each request of CloudWatch Logs.
#[derive(Debug, Clone, Copy, Default)]
pub struct NetworkFaults {
    /// 400 ThrottlingException.
    pub throttled: u64,
    /// The connection is reset.
    pub reset: u64,
    /// 500.
    pub error: u64,
    /// A page is shorter than it could be, or empty.
    pub short: u64,
    /// FilterLogEvents knows no order but from the oldest line on.
    pub forward_only: bool,
    /// The server's clock is faster by so many times.
    pub hurry: i64,
    /// Every answer takes so long.
    pub latency: Duration,
}

/// The output of one job or child.
#[derive(Debug, Clone)]
pub struct Writer {
    /// When it starts, by the server's clock, in milliseconds after its start.
    pub starts: i64,
    /// When it ends.
    pub ends: i64,
    /// The times of its lines, ascending, in milliseconds after the server's start.
    pub times: Vec<i64>,
    /// So many of its last lines come so late after its end, in milliseconds.
    pub late: (usize, i64),
}

impl Writer {
    /// One that has ended long ago, and printed at these times.
    pub fn ended(times: Vec<i64>) -> Self {
        let ends = times.last().map_or(-3_600_000, |last| last + 100);
        Self { starts: i64::MIN / 2, ends, times, late: (0, 0) }
    }

    /// How many lines can be read at a time.
    pub fn visible(&self, now: i64) -> usize {
        let early = self.times.len() - self.late.0;
        let shown = self.times.partition_point(|at| *at <= now);
        match now >= self.ends + self.late.1 {
            true => self.times.len(),
            false => shown.min(early),
        }
    }

    /// Its job's state at a time.
    pub fn status(&self, now: i64) -> &'static str {
        match now {
            now if now < self.starts => "RUNNABLE",
            now if now < self.ends => "RUNNING",
            _ => "SUCCEEDED",
        }
    }
}
