//! Messages to somebody who waits for a long operation.

use std::time::{Duration, Instant};

/// An operation that takes no longer is not announced.
const MOMENT: Duration = Duration::from_secs(1);

/// Where messages go.
pub type Report<'t> = &'t dyn Fn(String);

/// Reports once what is waited for, when that takes more than a moment.
pub struct WaitNotice<'t> {
    report: Report<'t>,
    since: Instant,
    is_reported: bool,
}

impl<'t> WaitNotice<'t> {
    /// The wait begins now.
    pub fn new(report: Report<'t>) -> Self {
        Self { report, since: Instant::now(), is_reported: false }
    }

    /// The wait goes on.
    pub fn still_waiting(&mut self, what: impl FnOnce() -> String) {
        if !self.is_reported && self.since.elapsed() >= MOMENT {
            self.is_reported = true;
            (self.report)(format!("waiting: {}", what()));
        }
    }
}
