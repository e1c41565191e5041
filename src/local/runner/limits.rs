//! The limits that a job's processes have (API: Ulimit), as the system has them.
//!
//! A process inherits its parent's limits, and setting them between fork and exec would need `unsafe`: so the
//! runner, which starts one job at a time, has them itself for the moment in which it starts the job. Only
//! soft limits, which can be taken back, and only those that cannot hurt the runner in that moment.

use std::collections::BTreeMap;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// The limits by their names in the API. Not `cpu` and `rttime`: the runner has used time, too.
fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "core" => Resource::RLIMIT_CORE,
        "data" => Resource::RLIMIT_DATA,
        "fsize" => Resource::RLIMIT_FSIZE,
        "nofile" => Resource::RLIMIT_NOFILE,
        "stack" => Resource::RLIMIT_STACK,
        #[cfg(any(target_os = "linux", target_os = "macos"))]
        "memlock" => Resource::RLIMIT_MEMLOCK,
        #[cfg(any(target_os = "linux", target_os = "macos"))]
        "nproc" => Resource::RLIMIT_NPROC,
        _ => return None,
    })
}

/// Limits that this process has for a while; they are taken back when this is dropped.
#[derive(Debug, Default)]
pub struct Lent(Vec<(Resource, rlim_t, rlim_t)>);

impl Lent {
    /// Takes these soft limits on, as far as the hard ones allow; -1 means none.
    pub fn take(limits: &BTreeMap<String, i64>) -> Self {
        let mut lent = Self::default();
        for (name, limit) in limits {
            let Some(resource) = resource(name) else { continue };
            let Ok((soft, hard)) = getrlimit(resource) else { continue };
            let wanted = rlim_t::try_from(*limit).map_or(hard, |limit| limit.min(hard));
            if setrlimit(resource, wanted, hard).is_ok() {
                lent.0.push((resource, soft, hard));
            }
        }
        lent
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        for (resource, soft, hard) in self.0.drain(..) {
            if let Err(e) = setrlimit(resource, soft, hard) {
                note!("runner: taking back a limit: {e}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_there_for_a_while() {
        let before = getrlimit(Resource::RLIMIT_CORE).unwrap();
        {
            let _lent = Lent::take(&[("core".to_owned(), 0), ("never".to_owned(), 1)].into());
            assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, before.1));
        }
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), before);
    }
}
