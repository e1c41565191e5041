//! `--watch`: the same view again and again, until nothing in it is active.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::Args;
use crate::batch::Pace;
use crate::cluster::{Contact, Session};
use crate::job::{Invalid, JobId};
use crate::ui::{Exit, Failure, Format, Output, local_rfc3339};

/// The pause when nobody says how long it is: the first one while something happens,
const SHORTEST: Duration = Duration::from_secs(2);
/// and the second after a while in which nothing did.
const LONGEST: Duration = Duration::from_secs(10);

/// The value of `--watch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// As often as it pays.
    Adaptive,
    /// With so long a pause.
    Pause(Duration),
}

impl FromStr for Every {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Ok(Every::Adaptive);
        }
        let seconds = text.parse::<f64>().ok().filter(|s| (0.1..=86_400.0).contains(s));
        let seconds = seconds.ok_or_else(|| Invalid::because("the pause in seconds, 0.1 to 86400"))?;
        Ok(Every::Pause(Duration::from_secs_f64(seconds)))
    }
}

/// Shows the view of these jobs, or of the queues, until nothing in it is active.
pub async fn tell(
    args: &Args,
    session: Session,
    every: Every,
    ids: Option<Vec<JobId>>,
) -> Result<Exit, Failure> {
    let mut contact = Contact::new(session, "bstat");
    let mut pace = Pace::new(SHORTEST, LONGEST);
    let mut screen = Screen::default();
    let mut before: Option<u64> = None;
    loop {
        let begun = Instant::now();
        // A terminal may have another size each time.
        let output = args.output();
        let looked = contact
            .keep(async |session| {
                let kept = output.keeping();
                Ok((args.look(session, &kept, ids.as_deref()).await?, kept.taken()))
            })
            .await;
        let (shown, text) = looked?;
        let is_last = shown.active == 0;
        screen.show(&output, args.no_header, &text, is_last)?;
        if is_last {
            if shown.jobs == 0 && ids.is_none() {
                args.say_empty(contact.session());
            }
            return Ok(Exit::Done);
        }
        if before.replace(shown.states).is_some_and(|before| before != shown.states) {
            pace.quicken();
        }
        let pause = match every {
            Every::Adaptive => pace.pause(),
            Every::Pause(pause) => pause,
        };
        // What takes long to answer is not asked without a break.
        tokio::time::sleep(pause.max(begun.elapsed())).await;
    }
}

/// Where views are shown: in place on a terminal, one after the other elsewhere.
#[derive(Debug, Default)]
struct Screen {
    is_cleared: bool,
}

impl Screen {
    fn show(&mut self, output: &Output, bare: bool, view: &str, is_last: bool) -> Result<(), Failure> {
        let now = local_rfc3339(jiff::Timestamp::now().as_millisecond());
        if !output.is_terminal() {
            let is_table = output.format() == Format::Plain && !bare;
            let time = if is_table { format!("{now}\n") } else { String::new() };
            return output.write(format!("{time}{view}").as_bytes());
        }
        let mut text = String::from(if self.is_cleared { "\x1b[H" } else { "\x1b[2J\x1b[H" });
        self.is_cleared = true;
        let lines: Vec<&str> = view.lines().collect();
        // The last view stays on the screen: whole, below what was there before.
        let rows = output.rows().filter(|_| !is_last);
        for line in std::iter::once(now.as_str()).chain(fitting(&lines, rows, output.has_header())) {
            // What was longer there before goes.
            let _ = writeln!(text, "{line}\x1b[K");
        }
        text.push_str("\x1b[J");
        output.write(text.as_bytes())
    }
}

/// The lines for which a terminal of so many rows has room, below the one with the time: the header and the last ones.
fn fitting<'l>(lines: &[&'l str], rows: Option<usize>, has_header: bool) -> impl Iterator<Item = &'l str> {
    // The cursor stands in the last row.
    let room = rows.map_or(usize::MAX, |rows| rows.saturating_sub(2));
    let (header, others) = lines.split_at(usize::from(has_header).min(lines.len()));
    let left_out = if lines.len() > room { lines.len() + 1 - room.max(1) } else { 0 };
    let note = (left_out > 0).then_some("…");
    let last = others.get(left_out..).unwrap_or_default();
    header.iter().copied().chain(note).chain(last.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses() {
        assert_eq!("".parse(), Ok(Every::Adaptive));
        assert_eq!("0.5".parse(), Ok(Every::Pause(Duration::from_millis(500))));
        for bad in ["0", "-1", "x", "nan", "inf", "1e9"] {
            assert!(bad.parse::<Every>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_screen_shows_the_newest() {
        let lines = ["header", "1", "2", "3", "4"];
        let shown = |rows, header| fitting(&lines, rows, header).collect::<Vec<_>>().join(" ");
        assert_eq!(shown(None, true), "header 1 2 3 4");
        assert_eq!(shown(Some(7), true), "header 1 2 3 4");
        assert_eq!(shown(Some(6), true), "header … 3 4");
        assert_eq!(shown(Some(6), false), "… 2 3 4");
        assert_eq!(shown(Some(2), true), "header …");
    }
}
