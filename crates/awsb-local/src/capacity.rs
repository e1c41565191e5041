//! This machine as a compute environment: how many vCPUs and how much memory there is.

use serde::{Deserialize, Serialize};

/// The resources of a job, or of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB, AWS's unit.
    pub memory_mib: u64,
    /// GPUs.
    #[serde(default)]
    pub gpus: u32,
}

impl Resources {
    /// Whether `wanted` is there.
    pub fn fits(&self, wanted: &Self) -> bool {
        wanted.vcpus <= self.vcpus && wanted.memory_mib <= self.memory_mib && wanted.gpus <= self.gpus
    }

    /// Subtracts resources that fit.
    pub fn subtract(&mut self, wanted: &Self) {
        self.vcpus = self.vcpus.saturating_sub(wanted.vcpus);
        self.memory_mib = self.memory_mib.saturating_sub(wanted.memory_mib);
        self.gpus = self.gpus.saturating_sub(wanted.gpus);
    }

    /// Adds resources.
    pub fn add(&mut self, taken: &Self) {
        self.vcpus = self.vcpus.saturating_add(taken.vcpus);
        self.memory_mib = self.memory_mib.saturating_add(taken.memory_mib);
        self.gpus = self.gpus.saturating_add(taken.gpus);
    }
}

/// The resources of this machine.
pub fn capacity() -> Resources {
    let vcpus =
        std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
    // A machine that does not say: enough for a job of the built-in definition on each CPU.
    let memory_mib = memory_mib().unwrap_or(u64::from(vcpus) * DEFAULT_JOB_MIB);
    // The user says how many GPUs there are, because each vendor's driver reports it in its own
    // way.
    Resources { vcpus, memory_mib, gpus: 0 }
}

const DEFAULT_JOB_MIB: u64 = 512;

/// The resources of a job of the built-in job definition that asks for none: one vCPU and at most
/// 512 MiB, less where that would leave CPUs without work.
pub fn default_job(capacity: &Resources) -> Resources {
    let share = capacity.memory_mib / u64::from(capacity.vcpus.max(1));
    // 4 MiB is the least that AWS Batch takes (API: ContainerProperties.memory).
    Resources { vcpus: 1, memory_mib: share.clamp(4, DEFAULT_JOB_MIB), gpus: 0 }
}

/// The machine's memory, from `/proc/meminfo` on Linux and from `sysctl` on macOS.
fn memory_mib() -> Option<u64> {
    if let Ok(text) = std::fs::read_to_string("/proc/meminfo") {
        let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        return Some(kib / 1024);
    }
    // The server's PATH may be empty.
    let sysctl = std::process::Command::new("/usr/sbin/sysctl").args(["-n", "hw.memsize"]).output().ok()?;
    let bytes: u64 = String::from_utf8(sysctl.stdout).ok()?.trim().parse().ok()?;
    Some(bytes / (1024 * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_default_jobs_as_cpus_fit() {
        for capacity in [
            Resources { vcpus: 2, memory_mib: 24_000, gpus: 0 },
            Resources { vcpus: 64, memory_mib: 16_000, gpus: 0 },
            Resources { vcpus: 1, memory_mib: 100, gpus: 0 },
            capacity(),
        ] {
            let mut free = capacity;
            for _ in 0..capacity.vcpus {
                let job = default_job(&capacity);
                assert!(free.fits(&job), "{capacity:?}");
                free.subtract(&job);
            }
        }
    }
}
