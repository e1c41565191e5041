//! Which machine this is: a home on a network disk is seen by many, and 127.0.0.1 is another one on
//! each.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// A machine, as far as 127.0.0.1 is the same on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostId {
    /// Its host name, for people.
    pub name: String,
    /// Its boot and, on Linux, the network namespace; `None` where the system does not say.
    boot: Option<String>,
}

impl HostId {
    /// This one.
    pub fn here() -> Self {
        Self { name: name(), boot: boot() }
    }

    /// Whether it is this one.
    pub fn is_here(&self) -> bool {
        // A laptop's name changes with its network, so another name alone does not prove another
        // machine. Where reading the boot ID needs another program, it is read only if the name has
        // changed.
        if !cfg!(target_os = "linux") && self.name == name() {
            return true;
        }
        match (&self.boot, boot()) {
            (Some(known), Some(now)) => *known == now,
            _ => self.name == name(),
        }
    }
}

fn name() -> String {
    nix::unistd::gethostname().map_or_else(|_| "?".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn boot() -> Option<String> {
    if cfg!(target_os = "linux") {
        // random(4) and network_namespaces(7): containers share the boot, and each has its own
        // network.
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let network = fs::read_link("/proc/self/ns/net").ok()?;
        return Some(format!("{} {}", boot.trim(), network.display()));
    }
    // macOS; a system that does not know this one says nothing.
    let asked = Command::new("/usr/sbin/sysctl").args(["-n", "kern.bootsessionuuid"]).output().ok()?;
    let boot = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    (!boot.is_empty()).then_some(boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_known_again() {
        let here = HostId::here();
        assert!(here.is_here());
        // A new name does not make another machine of it; another boot does, unless the system has
        // none.
        let renamed = HostId { name: "renamed".to_owned(), ..here.clone() };
        assert_eq!(renamed.is_here(), here.boot.is_some());
        assert!(!HostId { name: "other".to_owned(), boot: Some("other".to_owned()) }.is_here());
        assert!(!HostId { name: "other".to_owned(), boot: None }.is_here());
    }
}
