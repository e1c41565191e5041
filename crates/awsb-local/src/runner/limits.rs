//! The limits that a job's processes have (API: Ulimit), as the system has them.
//!
//! A process inherits its parent's limits, and setting them between fork and exec would need
//! `unsafe`: so the runner, which starts one job at a time, has them itself for the moment in which
//! it starts the job. Only soft limits, which can be taken back, and only those that cannot hurt
//! the runner in that moment.

use std::collections::BTreeMap;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limits by their names in the API. Not `cpu` and `rttime`: the runner has used time, too.
fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "core" => Resource::Core,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "nofile" => Resource::Nofile,
        "stack" => Resource::Stack,
        // nix has these two for Linux only; macOS has them, too (setrlimit(2)).
        "memlock" => Resource::Memlock,
        "nproc" => Resource::Nproc,
        _ => return None,
    })
}

/// Limits that this process has for a while; they are taken back when this is dropped.
#[derive(Debug, Default)]
pub struct Lent(Vec<(Resource, Rlimit)>);

impl Lent {
    /// Takes these soft limits on, as far as the hard ones allow; -1 means none.
    pub fn take(limits: &BTreeMap<String, i64>) -> Self {
        let mut lent = Self::default();
        for (name, limit) in limits {
            let Some(resource) = resource(name) else { continue };
            let before = getrlimit(resource);
            // For rustix, no number means no limit.
            let hard = before.maximum;
            let wanted = match u64::try_from(*limit) {
                Ok(limit) => Some(hard.map_or(limit, |hard| limit.min(hard))),
                Err(_) => hard,
            };
            if setrlimit(resource, Rlimit { current: wanted, maximum: hard }).is_ok() {
                lent.0.push((resource, before));
            }
        }
        lent
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        for (resource, before) in self.0.drain(..) {
            if let Err(e) = setrlimit(resource, before) {
                tracing::warn!("taking back a limit: {e}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_there_for_a_while() {
        let before = getrlimit(Resource::Core);
        {
            let _lent = Lent::take(&[("core".to_owned(), 0), ("never".to_owned(), 1)].into());
            assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), ..before });
        }
        assert_eq!(getrlimit(Resource::Core), before);
    }

    #[test]
    fn every_limit_of_the_api_that_cannot_hurt_is_known() {
        for name in ["core", "data", "fsize", "memlock", "nofile", "nproc", "stack"] {
            assert!(resource(name).is_some(), "{name}");
        }
        assert!(resource("cpu").is_none());
    }
}
