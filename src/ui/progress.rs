//! A progress bar on stderr. It is shown on a terminal, and only once the work has taken a moment.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar as Bar, ProgressDrawTarget, ProgressStyle};

use super::signal::{is_ending, last_write};
use super::terminal::size;

/// Work that takes less time has no bar.
const MOMENT: Duration = Duration::from_millis(500);

/// On a terminal with fewer columns, the counts are shown without a bar.
const NARROW: usize = 80;

/// The bars that are on the terminal now. They are suspended while something else is written.
static SHOWN: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// The bars of the terminal. There is one set of them.
pub(super) fn bars() -> MultiProgress {
    match SHOWN.lock() {
        Ok(mut shown) => shown.get_or_insert_default().clone(),
        Err(_) => MultiProgress::new(),
    }
}

/// Writes while the bars are suspended, so that they do not mix with the text.
pub(super) fn suspend_bars<T>(write: impl FnOnce() -> T) -> T {
    let shown = SHOWN.lock().ok().and_then(|bars| bars.clone());
    match shown {
        Some(bars) => {
            // `suspend` panics when the terminal is gone.
            if bars.clear().is_err() {
                bars.set_draw_target(ProgressDrawTarget::hidden());
            }
            bars.suspend(write)
        }
        None => write(),
    }
}

/// The unit of the progress.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Bytes,
    Jobs,
    Listed,
    Removed,
}

impl Unit {
    fn template(self) -> &'static str {
        let is_narrow = size(std::io::stderr()).0.is_some_and(|columns| columns < NARROW);
        match (self, is_narrow) {
            (Unit::Bytes, _) => "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}, {eta}",
            (Unit::Jobs, false) => "[{bar:30}] {pos}/{len} {msg}",
            (Unit::Listed, _) => "{pos} jobs so far",
            (Unit::Removed, _) => "{pos} objects removed",
            (Unit::Jobs, true) => "{pos}/{len} {wide_msg}",
        }
    }
}

/// The progress of work that is measured in bytes or jobs. Dropping it removes the bar.
#[derive(Debug)]
pub struct ProgressBar {
    unit: Unit,
    what: String,
    total: u64,
    done: u64,
    begun: Instant,
    on_terminal: bool,
    bar: Option<Bar>,
}

impl ProgressBar {
    /// The bar of work with this many bytes in total. `what` stands in front of the bar.
    pub fn new(what: &'static str, total: u64) -> Self {
        Self::of(Unit::Bytes, what, total)
    }

    /// The same without a bar if `quiet`.
    pub fn unless(mut self, quiet: bool) -> Self {
        self.on_terminal &= !quiet;
        self
    }

    /// The bar of a wait for jobs. [`ProgressBar::at`] sets its counts.
    pub fn of_jobs() -> Self {
        Self::of(Unit::Jobs, "", 0)
    }

    /// The bar of a listing whose total is unknown. [`ProgressBar::advance`] counts its jobs.
    pub fn of_listing() -> Self {
        Self::of(Unit::Listed, "", u64::MAX)
    }

    /// The bar of a removal whose total is unknown. [`ProgressBar::advance`] counts its objects.
    pub fn of_removal() -> Self {
        Self::of(Unit::Removed, "", u64::MAX)
    }

    fn of(unit: Unit, what: &str, total: u64) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        Self { unit, what: what.to_owned(), total, done: 0, begun: Instant::now(), on_terminal, bar: None }
    }

    /// Adds this many bytes or listed jobs.
    pub fn advance(&mut self, more: u64) {
        self.done += more;
        self.show();
    }

    /// Sets the counts, and the text behind the bar.
    pub fn at(&mut self, done: u64, total: u64, what: String) {
        (self.done, self.total, self.what) = (done, total, what);
        self.show();
    }

    fn show(&mut self) {
        if self.bar.is_none() && self.on_terminal && self.begun.elapsed() >= MOMENT {
            let style = ProgressStyle::with_template(self.unit.template());
            if let Ok(style) = style {
                let bar = bars().add(Bar::new(self.total));
                let bar = bar.with_style(style.progress_chars("=> "));
                let bar = bar
                    .with_message(self.what.clone())
                    .with_elapsed(self.begun.elapsed())
                    .with_position(self.done);
                // Work from before the bar must not count as done in no time.
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

impl Drop for ProgressBar {
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
