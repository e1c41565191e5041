//! The value of `--watch`: the pause between two looks.

use std::str::FromStr;
use std::time::Duration;

use awsb_model::Invalid;

/// The value of `--watch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// Short after a change, and the longer the more time has passed without one.
    Adaptive,
    /// Always this long.
    Pause(Duration),
}

impl FromStr for Every {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Ok(Every::Adaptive);
        }
        let seconds = text.parse::<f64>().ok().filter(|s| (0.1..=86_400.0).contains(s));
        let seconds = seconds.ok_or_else(|| Invalid::because("the pause is 0.1 to 86400 seconds"))?;
        Ok(Every::Pause(Duration::from_secs_f64(seconds)))
    }
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
}
