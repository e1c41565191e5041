//! Shared directories.

use super::convert::{Converter, part_name};
use super::leaves::At;
use crate::cluster::config::{ClusterConfig, KmsKeyArn, Owner, PartName, Shared, SharedSource, Throughput};

/// The keys of an EFS file system.
#[derive(Debug, Default)]
pub(super) struct EfsKeys {
    pub mount_dir: Option<At>,
    pub file_system: Option<At>,
    pub access_point: Option<At>,
    pub iam: Option<At>,
    pub kms_key: Option<At>,
    pub throughput_mode: Option<At>,
    pub throughput: Option<At>,
    pub deletion: Option<At>,
}

/// Why keys of a new file system do not count for one that exists.
const OF_A_NEW_ONE: &str = "The file system exists, and keeps what it has.";

impl Converter<'_> {
    /// The name of a shared directory that no other one has.
    pub(super) fn shared_name(&self, text: &str) -> PartName {
        let wanted = part_name(text).unwrap_or_else(|| "shared".parse().expect("a constant is a valid name"));
        let is_free = |name: &PartName| {
            let id = name.logical_id("");
            self.config.shared.iter().all(|other| other.name.logical_id("") != id)
        };
        if is_free(&wanted) {
            return wanted;
        }
        let numbered = |n: usize| {
            let short: String = wanted.as_str().chars().take(28).collect();
            format!("{}-{n}", short.trim_end_matches('-')).parse().ok()
        };
        // A file has fewer directories than there are numbers.
        (2..1000).filter_map(numbered).find(is_free).unwrap_or(wanted)
    }

    /// An EFS file system, new or existing.
    pub(super) fn efs(&mut self, name: &PartName, keys: EfsKeys) {
        let Some((mount, path)) = self.mount_dir(keys.mount_dir) else { return };
        if let Some((at, file_system)) = self.leaves.parsed(keys.file_system) {
            let point = self.leaves.parsed(keys.access_point);
            let iam = self.leaves.boolean(keys.iam);
            let source = SharedSource::Efs {
                file_system,
                folder: None,
                access_point: point.as_ref().map(|(_, id)| id).cloned(),
                iam: iam.is_some_and(|(_, iam)| iam),
            };
            self.leaves.mapped(at, format!("shared.{name}.source"), "");
            if let Some((at, _)) = point {
                self.leaves.mapped(at, format!("shared.{name}.access_point"), "");
            }
            if let Some((at, _)) = iam {
                self.leaves.mapped(at, format!("shared.{name}.iam"), "");
            }
            for at in
                [keys.kms_key, keys.throughput_mode, keys.throughput, keys.deletion].into_iter().flatten()
            {
                self.leaves.dropped(at, OF_A_NEW_ONE);
            }
            return self.shared(name, mount, path, source, "");
        }
        if let Some(at) = keys.file_system {
            // The ID cannot be read, and that is an error already.
            return self.leaves.dropped(mount, format!("Its file system is an error: {}", self.key(at)));
        }
        for at in [keys.access_point, keys.iam].into_iter().flatten() {
            self.leaves.dropped(
                at,
                "It is for a file system that exists. A new one has an access point of its own.",
            );
        }
        self.efs_settings(&keys);
        let note = "The file system is new, empty, and encrypted. For the old one, with its data: `source = \"fs-…\"`.";
        self.shared(name, mount, path, new_folder(name), note);
    }

    fn efs_settings(&mut self, keys: &EfsKeys) {
        if let Some((at, text)) = self.leaves.text(keys.kms_key) {
            match text.parse::<KmsKeyArn>() {
                Ok(key) => {
                    self.config.efs.kms_key = Some(key);
                    self.leaves.mapped(at, "efs.kms_key", "");
                }
                Err(_) => {
                    let hint = "write the key's ARN, which `aws kms describe-key --key-id ID` shows";
                    self.leaves.error(at, "is not the ARN of a key, which the configuration takes", hint);
                }
            }
        }
        if let Some((at, keep)) = self.deletion_policy(keys.deletion) {
            self.config.efs.keep = keep;
            self.leaves.mapped(at, "efs.keep", "");
        }
        let amount = self.leaves.number(keys.throughput, 1, 3414);
        let Some((at, mode)) = self.leaves.text(keys.throughput_mode) else {
            if let Some((at, _)) = amount {
                self.leaves.error(at, "is there without the mode `provisioned`", "");
            }
            return;
        };
        let to = "efs.throughput";
        match (mode.as_str(), amount) {
            ("provisioned", Some((of, mibps))) => {
                self.config.efs.throughput = Throughput::Provisioned(mibps);
                let note = "It costs by the hour. The default, elastic, costs by what is used.";
                self.leaves.mapped(at, to, note);
                self.leaves.mapped(of, to, "");
            }
            ("provisioned", None) => self.leaves.error(at, "is `provisioned`, and says not how much", ""),
            ("bursting", amount) => {
                self.config.efs.throughput = Throughput::Bursting;
                self.leaves.mapped(at, to, "");
                if let Some((at, _)) = amount {
                    self.leaves.error(at, "is there, and the mode is `bursting`", "");
                }
            }
            _ => self.leaves.error(at, format!("is `{mode}`: provisioned or bursting"), ""),
        }
    }

    /// An EBS volume or an array of such, which the head node shared.
    pub(super) fn ebs(&mut self, name: &PartName, mount_dir: Option<At>) {
        let Some((mount, path)) = self.mount_dir(mount_dir) else { return };
        let note = "The head node shared an EBS volume. A folder of the cluster's own EFS file system takes its place: \
                    it is empty, and the data have to be copied.";
        self.shared(name, mount, path, new_folder(name), note);
    }

    fn mount_dir(&mut self, at: Option<At>) -> Option<(At, String)> {
        let (at, text) = self.leaves.text(at)?;
        Some((at, format!("/{}", text.trim_matches('/'))))
    }

    fn shared(&mut self, name: &PartName, mount: At, path: String, source: SharedSource, note: &str) {
        let shared = Shared { name: name.clone(), path, read_only: false, source };
        let alone = ClusterConfig { shared: vec![shared.clone()], ..ClusterConfig::default() };
        match ClusterConfig::from_toml("", &alone.to_toml()) {
            Ok(_) => {
                self.config.shared.push(shared);
                self.leaves.mapped(mount, format!("shared.{name}.path"), note);
            }
            Err(error) => {
                // The place is one of a text that the user has not written.
                let message = error.message.split_once(": ").map_or(error.message.as_str(), |(_, why)| why);
                self.leaves.error(mount, message, "");
            }
        }
    }

    fn key(&self, at: At) -> String {
        self.leaves.leaf(at).map(|leaf| leaf.key.clone()).unwrap_or_default()
    }
}

fn new_folder(name: &PartName) -> SharedSource {
    SharedSource::New { folder: format!("/{name}"), owner: Owner::default() }
}
