//! Parts of a container that are the kernel's: file systems in memory, and devices (API
//! `LinuxParameters`).

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::mounts::{absolute, inside};
use super::{Invalid, MemorySize};

/// `PATH:SIZE[:OPTIONS]`: a file system in memory in the container (API `Tmpfs`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Tmpfs {
    /// The path in the container.
    pub container: String,
    /// Its size in MiB.
    pub mib: u64,
    /// Its mount options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// The mount options that take no value (API `Tmpfs`, `mountOptions`). `mode`, `uid`, `gid`,
/// `nr_inodes`, `nr_blocks` and `mpol` take one.
const OPTIONS: [&str; 33] = [
    "defaults",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "remount",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "bind",
    "rbind",
    "unbindable",
    "runbindable",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];
/// Those for what is mounted already. The API takes them, and Docker starts no container with them.
const NOT_NEW: [&str; 3] = ["bind", "rbind", "remount"];
/// The policies of `mpol` (Linux, Documentation/filesystems/tmpfs.rst).
const POLICIES: [&str; 5] = ["default", "prefer", "bind", "interleave", "local"];

/// Whether a mount option takes this value (Linux, Documentation/filesystems/tmpfs.rst). Numbers of
/// inodes and blocks may have a suffix `k`, `m` or `g`.
fn is_value(name: &str, value: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match name {
        "mode" => u32::from_str_radix(value, 8).is_ok_and(|mode| mode <= 0o7777) && is_number(value),
        "uid" | "gid" => is_number(value) && value.parse::<u32>().is_ok_and(|id| id != u32::MAX),
        "nr_inodes" | "nr_blocks" => {
            let number = value.strip_suffix(['k', 'K', 'm', 'M', 'g', 'G']).unwrap_or(value);
            is_number(number) && number.parse::<u32>().is_ok()
        }
        "mpol" => {
            let policy = value.split(['=', ':']).next().unwrap_or_default();
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_=:-".contains(&b);
            POLICIES.contains(&policy) && value.bytes().all(is_plain)
        }
        _ => false,
    }
}

impl FromStr for Tmpfs {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong =
            || Invalid::because("a tmpfs is PATH:SIZE, such as /scratch:4G, optionally with :noexec,nosuid");
        let mut parts = text.splitn(3, ':');
        let (Some(path), Some(size)) = (parts.next(), parts.next()) else { return Err(wrong()) };
        let size: MemorySize = size.parse()?;
        let options: Vec<String> = match parts.next() {
            None => Vec::new(),
            Some(options) => options.split(',').map(option).collect::<Result<_, _>>()?,
        };
        Ok(Self { container: inside(path)?, mib: size.mib(), options })
    }
}

impl Tmpfs {
    /// Whether this is one mount option of a file system in memory (API `Tmpfs`, `mountOptions`).
    /// Several with commas are not.
    pub fn is_option(text: &str) -> bool {
        match text.split_once('=') {
            None => OPTIONS.contains(&text),
            Some((name, value)) => is_value(name, value),
        }
    }

    /// Whether a mount option is not one of those for what is mounted already.
    pub fn is_option_of_new(text: &str) -> bool {
        !NOT_NEW.contains(&text)
    }
}

fn option(text: &str) -> Result<String, Invalid> {
    if !Tmpfs::is_option_of_new(text) {
        return Err(Invalid::because(format!(
            "a tmpfs is a new file system, for which '{text}' has no meaning"
        )));
    }
    match Tmpfs::is_option(text) {
        true => Ok(text.to_owned()),
        false => Err(Invalid::because(format!(
            "'{text}' is not a mount option of a tmpfs, such as ro, noexec or mode=1777"
        ))),
    }
}

impl fmt::Display for Tmpfs {
    /// Writes the file system as it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options =
            if self.options.is_empty() { String::new() } else { format!(":{}", self.options.join(",")) };
        write!(f, "{}:{}M{options}", self.container, self.mib)
    }
}

/// `HOST[:CONTAINER][:PERMISSIONS]`: a device of the instance in the container, as for `docker run
/// --device` (API `Device`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Device {
    /// The path on the instance.
    pub host: String,
    /// The path in the container.
    pub container: String,
    /// Whether the container may read it.
    pub read: bool,
    /// Whether the container may write it.
    pub write: bool,
    /// Whether the container may create device files for it.
    pub mknod: bool,
}

impl FromStr for Device {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parts: Vec<&str> = text.split(':').collect();
        let (host, container, permissions) = match parts[..] {
            [host] => (host, host, "rwm"),
            [host, container] if container.starts_with('/') => (host, container, "rwm"),
            [host, permissions] => (host, host, permissions),
            [host, container, permissions] => (host, container, permissions),
            _ => {
                return Err(Invalid::because(
                    "a device is HOST, HOST:CONTAINER or HOST:CONTAINER:rwm, such as /dev/fuse",
                ));
            }
        };
        let has = |letter: char| permissions.matches(letter).count();
        let (read, write, mknod) = (has('r'), has('w'), has('m'));
        if permissions.is_empty()
            || read + write + mknod != permissions.len()
            || read.max(write).max(mknod) > 1
        {
            return Err(Invalid::because(format!(
                "'{permissions}' is not a part of rwm (read, write, mknod)"
            )));
        }
        Ok(Self {
            host: absolute(host)?,
            container: inside(container)?,
            read: read == 1,
            write: write == 1,
            mknod: mknod == 1,
        })
    }
}

impl Device {
    /// Its permissions under AWS's names (API `Device`, `permissions`).
    pub fn permissions(&self) -> Vec<&'static str> {
        let all = [(self.read, "READ"), (self.write, "WRITE"), (self.mknod, "MKNOD")];
        all.into_iter().filter_map(|(is_given, name)| is_given.then_some(name)).collect()
    }
}

impl fmt::Display for Device {
    /// Writes the device as it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(self.read, 'r'), (self.write, 'w'), (self.mknod, 'm')];
        let letters: String = letters.into_iter().filter_map(|(given, l)| given.then_some(l)).collect();
        write!(f, "{}:{}:{letters}", self.host, self.container)
    }
}

/// An instance type, such as `c5.xlarge` (API `ContainerProperties`, `instanceType`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceTypeName(String);

impl FromStr for InstanceTypeName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let good = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        match text.split_once('.') {
            Some((family, size)) if good(family) && good(size) && text.len() <= 64 => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(Invalid::because("an instance type is FAMILY.SIZE, such as c5.xlarge")),
        }
    }
}

impl fmt::Display for InstanceTypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ARN of the secret with the user and password of a private registry (API
/// `RepositoryCredentials`, `credentialsParameter`). In the account of the job its name is enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegistrySecret(String);

impl FromStr for RegistrySecret {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_good = match text.strip_prefix("arn:") {
            Some(rest) => matches!(
                rest.splitn(5, ':').collect::<Vec<_>>()[..],
                [_, "secretsmanager", _, _, resource] if resource.starts_with("secret:")
            ),
            // Secrets Manager API, CreateSecret, Name.
            None => {
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b))
            }
        };
        match is_good && !text.chars().any(|c| c.is_control() || c == ' ') {
            true => Ok(Self(text.to_owned())),
            false => Err(Invalid::because(
                "give the ARN or the name of a secret of Secrets Manager with `username` and `password`",
            )),
        }
    }
}

impl fmt::Display for RegistrySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn file_systems_in_memory() {
        let tmpfs: Tmpfs = "/scratch:4G:noexec,mode=1777".parse().expect("a tmpfs");
        assert_eq!((tmpfs.container.as_str(), tmpfs.mib), ("/scratch", 4096));
        assert_eq!(tmpfs.options, ["noexec", "mode=1777"]);
        for bad in ["", "/scratch", "scratch:4G", "/:4G", "/s:x", "/s:4G:", "/s:4G:exec,nothing", "/s:4G:uid"]
        {
            assert!(bad.parse::<Tmpfs>().is_err(), "{bad}");
        }
        let small = "/t:1M".parse::<Tmpfs>().map(|tmpfs| tmpfs.mib);
        assert_eq!((small, "/t:1K".parse::<Tmpfs>().map(|tmpfs| tmpfs.mib)), (Ok(1), Ok(1)));
        let refused = "/t:0".parse::<Tmpfs>().map_err(|e| e.to_string());
        assert!(refused.is_err_and(|e| e.contains("at least 1 MiB")));
        for option in NOT_NEW {
            let refused = format!("/s:64M:ro,{option}").parse::<Tmpfs>().map_err(|e| e.to_string());
            assert!(refused.is_err_and(|e| e.contains("new file system")), "{option}");
        }
    }

    #[test]
    fn options_of_a_file_system_in_memory_with_values() {
        for good in [
            "mode=0",
            "mode=755",
            "mode=01777",
            "uid=0",
            "gid=4294967294",
            "nr_inodes=0",
            "nr_inodes=10k",
            "nr_blocks=16M",
            "mpol=local",
            "mpol=bind=static:0-3",
        ] {
            assert!(Tmpfs::is_option(good), "{good}");
        }
        for bad in [
            "mode=",
            "mode=8",
            "mode=17777",
            "mode=+7",
            "uid=",
            "uid=me",
            "uid=-1",
            "gid=4294967295",
            "nr_inodes=",
            "nr_inodes=k",
            "nr_inodes=1.5",
            "nr_blocks=x",
            "mpol=",
            "mpol=best",
            "mpol=bind:0,2",
            "size=1g",
            "ro=1",
            "=",
        ] {
            assert!(!Tmpfs::is_option(bad), "{bad}");
            assert!(format!("/s:4G:{bad}").parse::<Tmpfs>().is_err(), "{bad}");
        }
    }

    #[test]
    fn devices() {
        for (text, device) in [
            ("/dev/fuse", "/dev/fuse:/dev/fuse:rwm"),
            ("/dev/a:/dev/b", "/dev/a:/dev/b:rwm"),
            ("/dev/a:r", "/dev/a:/dev/a:r"),
            ("/dev/a:/dev/b:mw", "/dev/a:/dev/b:wm"),
        ] {
            assert_eq!(text.parse::<Device>().map(|d| d.to_string()), Ok(device.to_owned()));
        }
        assert_eq!("/dev/a:rm".parse::<Device>().map(|d| d.permissions()), Ok(vec!["READ", "MKNOD"]));
        for bad in ["", "dev/fuse", "/dev/a:/dev/b:x", "/dev/a:rr", "/dev/a:/dev/b:", "/a:/b:r:w", "/dev/a:/"]
        {
            assert!(bad.parse::<Device>().is_err(), "{bad}");
        }
    }

    #[test]
    fn instance_types_and_secrets() {
        for good in ["c5.xlarge", "u-6tb1.metal", "p5.48xlarge"] {
            assert!(good.parse::<InstanceTypeName>().is_ok(), "{good}");
        }
        for bad in ["", "c5", "c5.", ".large", "C5.large", "optimal", "a b.c"] {
            assert!(bad.parse::<InstanceTypeName>().is_err(), "{bad}");
        }
        for good in ["lab/registry", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:r-AbCdEf"] {
            assert!(good.parse::<RegistrySecret>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "arn:aws:ssm:eu-west-1:123456789012:parameter/x", "arn:"] {
            assert!(bad.parse::<RegistrySecret>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "/[a-z]{1,5}(:/[a-z]{1,5})?(:[rwm]{1,3})?|/[a-z]{1,5}:[1-9]G(:ro|:noexec)?|\\PC{0,30}") {
            if let Ok(device) = text.parse::<Device>() {
                prop_assert_eq!(device.to_string().parse::<Device>(), Ok(device));
            }
            if let Ok(tmpfs) = text.parse::<Tmpfs>() {
                prop_assert_eq!(tmpfs.to_string().parse::<Tmpfs>(), Ok(tmpfs));
            }
        }
    }
}
