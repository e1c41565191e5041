//! The time limit of a job in Slurm's form.

use std::str::FromStr;

use super::{Invalid, limits};

/// A time limit with Slurm's meanings (sbatch, `--time`): a bare number is minutes, a fraction of a
/// minute is rounded up, and `0` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallTime(Option<u32>);

impl WallTime {
    /// The limit in seconds, which are whole minutes. `None` if it is unlimited.
    pub fn seconds(self) -> Option<u32> {
        self.0
    }
}

impl FromStr for WallTime {
    type Err = Invalid;

    /// Parses `MM`, `MM:SS`, `HH:MM:SS`, `D-`, `D-HH`, `D-HH:MM`, `D-HH:MM:SS`, or `UNLIMITED`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::because(
                "give a number of minutes, or a time such as 90:00 (minutes and seconds), 12:00:00 or \
                 1-12:00:00",
            )
        };
        if ["UNLIMITED", "INFINITE", "-1"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
            return Ok(Self(None));
        }
        let (days, clock) = match text.split_once('-') {
            // Slurm reads `2-` as two days (tested with 22.05).
            Some((days, clock)) => {
                (Some(number(days).ok_or_else(wrong)?), if clock.is_empty() { "0" } else { clock })
            }
            None => (None, text),
        };
        let parts: Vec<u64> = clock.split(':').map(number).collect::<Option<_>>().ok_or_else(wrong)?;
        let units: &[u64] = match (days, parts.len()) {
            (Some(_), 1..=3) => &[3600, 60, 1],
            (None, 1 | 2) => &[60, 1],
            (None, 3) => &[3600, 60, 1],
            _ => return Err(wrong()),
        };
        let terms = parts.iter().zip(units).map(|(n, unit)| n.checked_mul(*unit));
        let seconds = days
            .into_iter()
            .map(|d| d.checked_mul(86_400))
            .chain(terms)
            .try_fold(0u64, |total, term| total.checked_add(term?))
            .and_then(|s| s.div_ceil(60).checked_mul(60));
        match seconds.and_then(|s| u32::try_from(s).ok()) {
            Some(0) => Ok(Self(None)),
            Some(s) if s <= limits::TIMEOUT_MAX_SECONDS => Ok(Self(Some(s))),
            _ => Err(Invalid::because("Batch takes at most 2147483647 seconds")),
        }
    }
}

fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    // A number that is too long for the type is too long anyway, and is reported as such.
    plain.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slurms_forms() {
        for (text, seconds) in [
            ("30", Some(1800)),
            ("90:00", Some(5400)),
            ("0:30", Some(60)),
            ("10:30", Some(660)),
            ("12:00:00", Some(43_200)),
            ("1-12", Some(129_600)),
            ("1-00:30", Some(88_200)),
            ("2-12:00:00", Some(216_000)),
            ("2-", Some(172_800)),
            ("-1", None),
            ("0", None),
            ("unlimited", None),
            ("INFINITE", None),
        ] {
            assert_eq!(text.parse::<WallTime>().map(WallTime::seconds), Ok(seconds), "{text}");
        }
        for bad in [
            "",
            "x",
            "1h",
            "1:2:3:4",
            "-",
            "1-x",
            "-5",
            "1-2:3:4:5",
            "99999999999",
            "99999999999999999999999",
            "+5",
        ] {
            assert!(bad.parse::<WallTime>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[0-9:-]{0,24}|.{0,12}") {
            if let Ok(Some(seconds)) = text.parse::<WallTime>().map(WallTime::seconds) {
                prop_assert!(seconds >= limits::TIMEOUT_MIN_SECONDS);
            }
        }
    }
}
