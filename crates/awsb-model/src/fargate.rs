//! The sizes of jobs on Fargate.

use std::fmt;

/// A pair of vCPUs and memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FargateSize {
    /// vCPUs.
    pub vcpus: f64,
    /// Memory in MiB.
    pub memory_mib: u64,
}

/// A pair that Fargate does not have.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("Fargate has no size of {asked}; the nearest that is large enough is {nearest}")]
pub struct NoSuchSize {
    /// The pair that was asked for.
    pub asked: FargateSize,
    /// The smallest pair that has at least both, or the largest pair.
    pub nearest: FargateSize,
}

/// API `ResourceRequirement`, `value`: the memory in MiB for each number of vCPUs, as first, last
/// and step.
const SIZES: [(f64, u64, u64, u64); 8] = [
    (0.25, 512, 2048, 512),
    (0.5, 1024, 4096, 1024),
    (1.0, 2048, 8192, 1024),
    (2.0, 4096, 16_384, 1024),
    (4.0, 8192, 30_720, 1024),
    (8.0, 16_384, 61_440, 4096),
    (16.0, 32_768, 122_880, 8192),
    (32.0, 61_440, 249_856, 1024),
];

/// The sizes that Fargate leaves out of these steps: 0.25 vCPUs have 512, 1024 and 2048 MiB, and 32
/// vCPUs have three sizes only.
fn left_out(vcpus: f64, memory_mib: u64) -> bool {
    (vcpus == 0.25 && memory_mib == 1536)
        || (vcpus == 32.0 && ![61_440, 122_880, 249_856].contains(&memory_mib))
}

fn sizes() -> impl Iterator<Item = FargateSize> {
    SIZES.into_iter().flat_map(|(vcpus, first, last, step)| {
        (0..)
            .map(move |n| first + n * step)
            .take_while(move |memory_mib| *memory_mib <= last)
            .filter(move |memory_mib| !left_out(vcpus, *memory_mib))
            .map(move |memory_mib| FargateSize { vcpus, memory_mib })
    })
}

impl FargateSize {
    /// Checks whether Fargate has this size.
    ///
    /// # Errors
    /// Names the nearest size that it has.
    pub fn check(self) -> Result<(), NoSuchSize> {
        if sizes().any(|size| size == self) {
            return Ok(());
        }
        // The sizes are sorted by vCPUs, then by memory.
        let fits = |size: &FargateSize| size.vcpus >= self.vcpus && size.memory_mib >= self.memory_mib;
        let largest = FargateSize { vcpus: 32.0, memory_mib: 249_856 };
        Err(NoSuchSize { asked: self, nearest: sizes().find(fits).unwrap_or(largest) })
    }
}

impl fmt::Display for FargateSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.vcpus > 1.0 { "s" } else { "" };
        write!(f, "{} vCPU{s} and {} MiB", self.vcpus, self.memory_mib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nearest(vcpus: f64, memory_mib: u64) -> Option<(f64, u64)> {
        FargateSize { vcpus, memory_mib }.check().err().map(|e| (e.nearest.vcpus, e.nearest.memory_mib))
    }

    #[test]
    fn the_tables_own_sizes() {
        for (vcpus, all) in [
            (0.25, vec![512, 1024, 2048]),
            (0.5, vec![1024, 2048, 3072, 4096]),
            (1.0, (2..=8).map(|g| g * 1024).collect()),
            (2.0, (4..=16).map(|g| g * 1024).collect()),
            (4.0, (8..=30).map(|g| g * 1024).collect()),
            (8.0, (16..=60).step_by(4).map(|g| g * 1024).collect()),
            (16.0, (32..=120).step_by(8).map(|g| g * 1024).collect()),
            (32.0, vec![61_440, 122_880, 249_856]),
        ] {
            let have: Vec<u64> = sizes().filter(|s| s.vcpus == vcpus).map(|s| s.memory_mib).collect();
            assert_eq!(have, all, "{vcpus}");
        }
    }

    #[test]
    fn the_nearest_is_large_enough() {
        assert_eq!(nearest(1.0, 2048), None);
        assert_eq!(nearest(1.0, 4000), Some((1.0, 4096)));
        assert_eq!(nearest(1.0, 512), Some((1.0, 2048)));
        assert_eq!(nearest(1.0, 16_384), Some((2.0, 16_384)));
        assert_eq!(nearest(3.0, 8192), Some((4.0, 8192)));
        assert_eq!(nearest(8.0, 17_408), Some((8.0, 20_480)));
        assert_eq!(nearest(64.0, 1024), Some((32.0, 249_856)));
    }

    proptest! {
        #[test]
        fn the_nearest_is_a_size(quarters in 1u32..200, memory_mib in 4u64..400_000) {
            let size = FargateSize { vcpus: f64::from(quarters) / 4.0, memory_mib };
            if let Err(e) = size.check() {
                prop_assert_eq!(e.nearest.check(), Ok(()));
            }
        }
    }
}
