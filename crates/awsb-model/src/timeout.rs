//! The time limit of an attempt.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Invalid, limits};

/// The time after which an attempt is ended, at least 60 seconds ([`limits::TIMEOUT_MIN_SECONDS`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout(u32);

impl Timeout {
    /// The time in seconds.
    pub fn seconds(self) -> u32 {
        self.0
    }

    /// A time limit in seconds.
    ///
    /// # Errors
    /// When it is shorter or longer than Batch allows.
    pub fn of_seconds(seconds: u32) -> Result<Self, Invalid> {
        if seconds < limits::TIMEOUT_MIN_SECONDS {
            return Err(Invalid::because(
                "Batch's shortest timeout is 60 seconds (for five minutes, give 5m)",
            ));
        }
        if seconds > limits::TIMEOUT_MAX_SECONDS {
            return Err(Invalid::because("Batch takes at most 2147483647 seconds"));
        }
        Ok(Self(seconds))
    }
}

impl FromStr for Timeout {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let seconds = seconds(text).ok_or_else(|| {
            Invalid::because(
                "give a number of seconds, or a time such as 90m, 2h, 2h30m, 12:00:00 or 1-12:00:00",
            )
        })?;
        Self::of_seconds(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

/// A duration for waiting, from zero up to any length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

impl Period {
    /// The duration.
    pub fn get(self) -> Duration {
        self.0
    }

    /// The duration of this number of seconds.
    pub const fn of_seconds(seconds: u32) -> Self {
        Self(Duration::from_secs(seconds as u64))
    }
}

impl fmt::Display for Period {
    /// Writes the duration as it is read: `90s`, `30m`, `36h`, `180d`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_units(self.0.as_secs(), f)
    }
}

impl fmt::Display for Timeout {
    /// Writes the time as it is read: `90s`, `30m`, `36h`, `180d`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_units(u64::from(self.0), f)
    }
}

/// Writes a number of seconds in the largest unit in which it is whole.
fn in_units(seconds: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let units = [(86_400, 'd'), (3600, 'h'), (60, 'm')];
    let whole = |(length, _): &(u64, char)| seconds > 0 && seconds.is_multiple_of(*length);
    let (length, unit) = units.into_iter().find(whole).unwrap_or((1, 's'));
    write!(f, "{}{unit}", seconds / length)
}

impl FromStr for Period {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // The limit is some hundred years; more would overflow a clock.
        let seconds = seconds(text).filter(|s| *s <= u64::from(u32::MAX));
        let what = "give a number of seconds, or a time such as 90s, 5m, 2h30m or 12:00:00";
        seconds.map(|s| Self(Duration::from_secs(s))).ok_or_else(|| Invalid::because(what))
    }
}

/// Parses `90`, `90s`, `90m`, `2h30m`, `1d`, `MM:SS`, `HH:MM:SS`, `D-HH[:MM[:SS]]` into seconds.
fn seconds(text: &str) -> Option<u64> {
    match text.split_once('-') {
        Some((days, clock)) => {
            let parts: Vec<u64> = clock.split(':').map(number).collect::<Option<_>>()?;
            let unit = [3600, 60, 1];
            let rest = sum(parts.iter().zip(unit).map(|(n, u)| n.checked_mul(u)))?;
            (parts.len() <= unit.len()).then_some(())?;
            number(days)?.checked_mul(86_400)?.checked_add(rest)
        }
        None if text.contains(':') => {
            let parts: Vec<u64> = text.split(':').map(number).collect::<Option<_>>()?;
            (parts.len() <= 3).then_some(())?;
            sum(parts.iter().rev().zip([1, 60, 3600]).map(|(n, u)| n.checked_mul(u)))
        }
        None => units(text),
    }
}

/// Parses `2h30m`: numbers with units. A bare number is seconds.
fn units(text: &str) -> Option<u64> {
    if let Some(n) = number(text) {
        return Some(n);
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let n = number(&rest[..digits])?;
        let unit = match rest[digits..].chars().next()? {
            's' | 'S' => 1,
            'm' | 'M' => 60,
            'h' | 'H' => 3600,
            'd' | 'D' => 86_400,
            _ => return None,
        };
        total = total.checked_add(n.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    (!text.is_empty()).then_some(total)
}

fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) { None } else { text.parse().ok() }
}

fn sum(terms: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    terms.into_iter().try_fold(0u64, |total, term| total.checked_add(term?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_way_to_say_a_time() {
        for (text, expected) in [
            ("60", 60),
            ("90s", 90),
            ("90m", 5400),
            ("2h", 7200),
            ("2h30m", 9000),
            ("1d", 86_400),
            ("10:30", 630),
            ("01:02:03", 3723),
            ("1-12:00:00", 129_600),
            ("1-12", 129_600),
            ("1-00:30", 88_200),
        ] {
            assert_eq!(text.parse::<Timeout>().map(Timeout::seconds), Ok(expected), "{text}");
        }
        for bad in [
            "59",
            "0",
            "",
            "x",
            "1h2",
            "-5",
            "1:2:3:4",
            "1-",
            "1-2:3:4:5",
            "m",
            "9999999999",
            "99999999999999999999h",
        ] {
            assert!(bad.parse::<Timeout>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[0-9smhd:-]{0,24}|.{0,12}") {
            let _ = text.parse::<Timeout>();
        }
    }
}
