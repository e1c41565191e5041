//! A bar for what takes a while: on a terminal, on stderr, and only once it has taken a moment.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::signal::{is_ending, last_write};
use super::size::size;

/// What is done sooner needs no bar.
const MOMENT: Duration = Duration::from_millis(500);

/// Where the terminal is narrower than this, the bar gives way.
const NARROW: usize = 80;

/// The bars that are on the terminal now. What else is written steps aside for them.
static SHOWN: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// The bars of the terminal; there is one set of them.
pub(super) fn bars() -> MultiProgress {
    match SHOWN.lock() {
        Ok(mut shown) => shown.get_or_insert_default().clone(),
        Err(_) => MultiProgress::new(),
    }
}

/// Writes to the terminal, or elsewhere, without getting into the bars.
pub(super) fn beside<T>(write: impl FnOnce() -> T) -> T {
    let shown = SHOWN.lock().ok().and_then(|bars| bars.clone());
    match shown {
        Some(bars) => {
            // A terminal that has gone away takes nothing any more, and `suspend` panics then.
            if bars.clear().is_err() {
                bars.set_draw_target(ProgressDrawTarget::hidden());
            }
            bars.suspend(write)
        }
        None => write(),
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Bytes,
    Jobs,
    Listed,
}

impl Unit {
    fn template(self) -> &'static str {
        let is_narrow = size(std::io::stderr()).0.is_some_and(|columns| columns < NARROW);
        match (self, is_narrow) {
            (Unit::Bytes, _) => "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}, {eta}",
            (Unit::Jobs, false) => "[{bar:30}] {pos}/{len} {msg}",
            (Unit::Listed, _) => "{pos} jobs so far",
            (Unit::Jobs, true) => "{pos}/{len} {wide_msg}",
        }
    }
}

/// The progress of something that is measured in bytes or jobs. The bar is gone when this is.
#[derive(Debug)]
pub struct Progress {
    unit: Unit,
    what: String,
    total: u64,
    done: u64,
    begun: Instant,
    on_terminal: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Something begins; `what` stands before the bar, `total` is in bytes.
    pub fn new(what: &'static str, total: u64) -> Self {
        Self::of(Unit::Bytes, what, total)
    }

    /// The same without a bar, where somebody wants quiet.
    pub fn unless(mut self, quiet: bool) -> Self {
        self.on_terminal &= !quiet;
        self
    }

    /// Jobs are waited for; how many of how many says [`Progress::at`].
    pub fn of_jobs() -> Self {
        Self::of(Unit::Jobs, "", 0)
    }

    /// Jobs are listed, nobody knows how many; [`Progress::advance`] is told of them.
    pub fn of_listing() -> Self {
        Self::of(Unit::Listed, "", u64::MAX)
    }

    fn of(unit: Unit, what: &str, total: u64) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        Self { unit, what: what.to_owned(), total, done: 0, begun: Instant::now(), on_terminal, bar: None }
    }

    /// So many bytes, or listed jobs, more are done.
    pub fn advance(&mut self, more: u64) {
        self.done += more;
        self.show();
    }

    /// So many of so many are done; `what` is said of them behind the bar.
    pub fn at(&mut self, done: u64, total: u64, what: String) {
        (self.done, self.total, self.what) = (done, total, what);
        self.show();
    }

    fn show(&mut self) {
        if self.bar.is_none() && self.on_terminal && self.begun.elapsed() >= MOMENT {
            let style = ProgressStyle::with_template(self.unit.template());
            if let Ok(style) = style {
                let bar = bars().add(ProgressBar::new(self.total));
                let bar = bar.with_style(style.progress_chars("=> "));
                let bar = bar
                    .with_message(self.what.clone())
                    .with_elapsed(self.begun.elapsed())
                    .with_position(self.done);
                // What was done before must not count as done in no time.
                bar.reset_eta();
                self.bar = Some(bar);
            }
        }
        if let Some(bar) = &self.bar {
            if let Unit::Jobs = self.unit {
                bar.set_length(self.total);
                bar.set_message(self.what.clone());
            }
            bar.set_position(self.done.min(self.total));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            let clear = move || {
                bar.finish_and_clear();
                bars().remove(&bar);
            };
            match is_ending() {
                true => _ = last_write(clear),
                false => clear(),
            }
        }
    }
}
