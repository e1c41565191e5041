//! vCPUs, memory and GPUs.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::digits::digits;
use super::{Invalid, limits};

/// vCPUs of a container: a whole number, or on Fargate `0.25` or `0.5` (API `ResourceRequirement`,
/// `VCPU`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vcpus(f64);

impl Vcpus {
    /// The number of vCPUs.
    pub fn count(self) -> f64 {
        self.0
    }
}

impl FromStr for Vcpus {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
        match text.parse::<f64>() {
            Ok(n)
                if plain
                    && ((n.fract() == 0.0 && (1.0..=100_000.0).contains(&n)) || n == 0.25 || n == 0.5) =>
            {
                Ok(Self(n))
            }
            _ => Err(Invalid::because("a whole number of vCPUs from 1 to 100000, or 0.25 or 0.5")),
        }
    }
}

impl fmt::Display for Vcpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Memory of a container in MiB, the unit of Batch (API `ResourceRequirement`, `MEMORY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory(u64);

impl Memory {
    /// The size in MiB.
    pub fn mib(self) -> u64 {
        self.0
    }
}

impl FromStr for Memory {
    type Err = Invalid;

    /// Parses a size as [`MemorySize`] does.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match mib(text)? {
            mib if mib < limits::MEMORY_MIN_MIB => {
                Err(Invalid::because("a job needs at least 4 MiB (a bare number is MiB; 4G is 4 GiB)"))
            }
            mib => Ok(Self(mib)),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The size in MiB of a file system in memory, at least 1 (API `Tmpfs`, `size`, and
/// `LinuxParameters`, `sharedMemorySize`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemorySize(u64);

impl MemorySize {
    /// The size in MiB.
    pub fn mib(self) -> u64 {
        self.0
    }
}

impl FromStr for MemorySize {
    type Err = Invalid;

    /// Parses a number of MiB, or one with a suffix `K`, `M`, `G` or `T` (powers of 1024; `KiB`,
    /// `MB` and so on mean the same). A fraction of a MiB is rounded up.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match mib(text)? {
            0 => Err(Invalid::because(
                "a file system in memory has at least 1 MiB (a bare number is MiB; 4G is 4 GiB)",
            )),
            mib => Ok(Self(mib)),
        }
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Parses a size. The result is in MiB, rounded up.
fn mib(text: &str) -> Result<u64, Invalid> {
    let wrong =
        || Invalid::because("a size is a number of MiB, or a number with K, M, G or T, such as 512M or 4G");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = match suffix.to_ascii_uppercase().as_str() {
        "" | "M" | "MB" | "MI" | "MIB" => 1.0,
        "K" | "KB" | "KI" | "KIB" => 1.0 / 1024.0,
        "G" | "GB" | "GI" | "GIB" => 1024.0,
        "T" | "TB" | "TI" | "TIB" => 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    let mib = (number * unit).ceil();
    if mib > f64::from(i32::MAX) {
        return Err(Invalid::because("a job can request at most 2147483647 MiB from Batch"));
    }
    // The value is whole and in range, so nothing is lost.
    Ok(mib as u64)
}

/// The number of GPUs of a container (API `ResourceRequirement`, `GPU`): one or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gpus(NonZeroU32);

impl Gpus {
    /// The number of GPUs.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl FromStr for Gpus {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        digits(text)
            .and_then(NonZeroU32::new)
            .filter(|n| n.get() <= i32::MAX.unsigned_abs())
            .map(Self)
            .ok_or_else(|| Invalid::because("a whole number of GPUs, 1 or more"))
    }
}

impl fmt::Display for Gpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, mib) in [
            ("4", 4),
            ("512", 512),
            ("512M", 512),
            ("4G", 4096),
            ("1.5g", 1536),
            ("1T", 1_048_576),
            ("5000K", 5),
            ("2GiB", 2048),
            ("4097K", 5),
        ] {
            assert_eq!(text.parse::<Memory>().map(Memory::mib), Ok(mib), "{text}");
        }
        for bad in ["3", "1Q", "", "G", "-5", "1e3", "4 G", "1.2.3", "99999999T", "NaN", "inf"] {
            assert!(bad.parse::<Memory>().is_err(), "{bad}");
        }
    }

    #[test]
    fn vcpus() {
        for (text, shown) in [("1", "1"), ("16", "16"), ("0.25", "0.25"), ("2.0", "2")] {
            assert_eq!(text.parse::<Vcpus>().map(|v| v.to_string()), Ok(shown.to_owned()));
        }
        for bad in ["0", "-1", "x", "1e2", "0.3", "1.5", "", "inf"] {
            assert!(bad.parse::<Vcpus>().is_err(), "{bad}");
        }
    }
}
