//! The size of an array job.

use std::str::FromStr;

use super::{Invalid, limits};

/// The number of children of an array job, 2 to 10,000 ([`limits::ARRAY_SIZE`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArraySize(u32);

impl ArraySize {
    /// The number of children.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for ArraySize {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.parse::<u32>() {
            Ok(n) if limits::ARRAY_SIZE.contains(&n) => Ok(Self(n)),
            _ => Err(Invalid::because("an array has 2 to 10000 children")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sizes_that_batch_takes() {
        for good in ["2", "20", "10000"] {
            assert_eq!(good.parse::<ArraySize>().map(|s| s.get().to_string()), Ok(good.to_owned()));
        }
        for bad in ["0", "1", "10001", "x", "-2", "2.0", "", "99999999999"] {
            assert!(bad.parse::<ArraySize>().is_err(), "{bad}");
        }
    }
}
