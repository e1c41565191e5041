//! A bar for what takes a while: on a terminal, on stderr, and only once it has taken a moment.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// What is done sooner needs no bar.
const MOMENT: Duration = Duration::from_millis(500);

/// The progress of something that is measured in bytes. The bar is gone when this is.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    begun: Instant,
    on_terminal: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Something begins; `what` stands before the bar, `total` is in bytes.
    pub fn new(what: &'static str, total: u64) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        Self { what, total, done: 0, begun: Instant::now(), on_terminal, bar: None }
    }

    /// So many bytes more are done.
    pub fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        if self.bar.is_none() && self.on_terminal && self.begun.elapsed() >= MOMENT {
            let style =
                ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}, {eta}");
            if let Ok(style) = style {
                let bar = ProgressBar::new(self.total).with_style(style.progress_chars("=> "));
                let bar =
                    bar.with_message(self.what).with_elapsed(self.begun.elapsed()).with_position(self.done);
                // What was done before must not count as done in no time.
                bar.reset_eta();
                self.bar = Some(bar);
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done.min(self.total));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
