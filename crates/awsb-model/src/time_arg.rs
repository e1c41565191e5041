//! Times in arguments: `--since 2h`, `--until yesterday`.

use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use jiff::{Timestamp, ToSpan, Zoned};

use super::Invalid;
use super::timeout::Period;

/// A point in time, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeArg(i64);

impl TimeArg {
    /// The time in milliseconds since the epoch.
    pub fn epoch_ms(self) -> i64 {
        self.0
    }

    /// Parses a time: a time ago (`90s`, `2h30m`, `3d`), `now`, `today` and `yesterday` (their
    /// first moment), a clock time of today, a date or a date with a time (in the local time zone),
    /// or RFC 3339.
    ///
    /// # Errors
    /// When the text is none of these.
    pub fn at(text: &str, now: &Zoned) -> Result<Self, Invalid> {
        let word = text.trim();
        let midnight = |date: Date| Some(date.to_zoned(now.time_zone().clone()).ok()?.timestamp());
        let local = |at: DateTime| Some(at.to_zoned(now.time_zone().clone()).ok()?.timestamp());
        let time = match word.to_ascii_lowercase().as_str() {
            "now" => Some(now.timestamp()),
            "today" => midnight(now.date()),
            "yesterday" => now.date().checked_sub(1.day()).ok().and_then(midnight),
            _ => None,
        };
        let time = time
            .or_else(|| word.parse::<Timestamp>().ok())
            // A clock time is tried before a period: `10:30` is half past ten, not ten minutes.
            .or_else(|| local(now.date().to_datetime(clock(word)?)))
            .or_else(|| ago(word, now))
            .or_else(|| midnight(word.parse::<Date>().ok().filter(|_| word.len() == "2026-01-02".len())?))
            .or_else(|| local(word.parse::<DateTime>().ok()?));
        let time = time.ok_or_else(|| {
            Invalid::because(
                "give a time such as 2h (ago), today, yesterday, 14:30, 2026-01-31, 2026-01-31T14:30 or \
                 2026-01-31T14:30:00Z",
            )
        })?;
        Ok(Self(time.as_millisecond()))
    }
}

/// Parses `14:30` or `14:30:05`. (jiff would find the time in a longer text, too.)
fn clock(word: &str) -> Option<Time> {
    let is_clock = word.contains(':') && word.chars().all(|c| c.is_ascii_digit() || c == ':');
    word.parse().ok().filter(|_| is_clock)
}

/// Parses a time ago. A number alone is refused, as it may be seconds or a year.
fn ago(word: &str, now: &Zoned) -> Option<Timestamp> {
    let period = word.ends_with(|c: char| c.is_ascii_alphabetic()).then_some(word)?;
    let period: Period = period.parse().ok()?;
    now.timestamp().checked_sub(period.get()).ok()
}

impl FromStr for TimeArg {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::at(text, &Zoned::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_way_to_say_when() {
        let now: Zoned = "2026-11-21T14:03:07+01:00[Europe/Paris]".parse().unwrap();
        for (text, expected) in [
            ("now", "2026-11-21T13:03:07Z"),
            ("2h", "2026-11-21T11:03:07Z"),
            ("1d2h30m", "2026-11-20T10:33:07Z"),
            ("90s", "2026-11-21T13:01:37Z"),
            ("today", "2026-11-20T23:00:00Z"),
            ("Yesterday", "2026-11-19T23:00:00Z"),
            ("10:30", "2026-11-21T09:30:00Z"),
            ("10:30:05", "2026-11-21T09:30:05Z"),
            ("2026-06-01", "2026-05-31T22:00:00Z"),
            ("2026-06-01T12:00", "2026-06-01T10:00:00Z"),
            ("2026-06-01 12:00:30", "2026-06-01T10:00:30Z"),
            ("2026-06-01T12:00:00Z", "2026-06-01T12:00:00Z"),
            ("2026-06-01T12:00:00+05:30", "2026-06-01T06:30:00Z"),
        ] {
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(
                TimeArg::at(text, &now).map(TimeArg::epoch_ms),
                Ok(expected.as_millisecond()),
                "{text}"
            );
        }
        for bad in ["", "x", "2", "2 hours", "-2h", "tomorrow", "2026", "2026-13-01", "25:00", "99999999999h"]
        {
            assert!(TimeArg::at(bad, &now).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[0-9smhdTZ:+-]{0,24}|.{0,12}") {
            let _ = text.parse::<TimeArg>();
        }
    }
}
