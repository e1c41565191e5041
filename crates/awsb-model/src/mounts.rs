//! Files of a container: folders of its host, EFS file systems, the size of its disk.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{Invalid, limits};

/// `HOST:CONTAINER[:ro]`: a folder of the instance in the container (API `Volume` and
/// `MountPoint`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mount {
    /// The folder of the instance.
    pub host: String,
    /// The path in the container.
    pub container: String,
    /// Whether the folder is read-only in the container.
    pub read_only: bool,
}

impl FromStr for Mount {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parts: Vec<&str> = text.split(':').collect();
        let (host, container, mode) = match parts[..] {
            [host, container] => (host, container, "rw"),
            [host, container, mode] => (host, container, mode),
            _ => return Err(Invalid::because("a mount is HOST:CONTAINER or HOST:CONTAINER:ro, two folders")),
        };
        let read_only = match mode {
            "ro" => true,
            "rw" => false,
            other => return Err(Invalid::because(format!("'{other}' is neither ro nor rw"))),
        };
        Ok(Self { host: absolute(host)?, container: inside(container)?, read_only })
    }
}

impl fmt::Display for Mount {
    /// Writes the mount as it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}{}", self.host, self.container, if self.read_only { ":ro" } else { "" })
    }
}

/// `FS[:SOURCE]:CONTAINER[:OPTIONS]`: an EFS file system in the container (API
/// `EFSVolumeConfiguration`). SOURCE is a folder of the file system or an access point (`fsap-…`);
/// OPTIONS are `ro`, `rw` and `iam`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Efs {
    /// The ID, `fs-…`.
    pub file_system: String,
    /// The folder of the file system. `None` is its root.
    pub folder: Option<String>,
    /// The access point.
    pub access_point: Option<String>,
    /// The path in the container.
    pub container: String,
    /// Whether the file system is read-only in the container.
    pub read_only: bool,
    /// Whether it is mounted with the permissions of the job role.
    pub iam: bool,
}

impl FromStr for Efs {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::because(
                "an EFS mount is FS:CONTAINER, FS:FOLDER:CONTAINER or FS:ACCESSPOINT:CONTAINER, such as \
                 fs-0123abcd:/data, optionally with :ro",
            )
        };
        let mut parts: Vec<&str> = text.split(':').collect();
        let options = match parts.last() {
            Some(last) if !last.starts_with('/') && parts.len() > 2 => parts.pop(),
            _ => None,
        };
        let (mut read_only, mut iam) = (false, false);
        for option in options.into_iter().flat_map(|o| o.split(',')) {
            match option {
                "ro" => read_only = true,
                "rw" => read_only = false,
                "iam" => iam = true,
                other => return Err(Invalid::because(format!("'{other}' is not ro, rw or iam"))),
            }
        }
        let (file_system, source, container) = match parts[..] {
            [fs, container] => (fs, None, container),
            [fs, source, container] => (fs, Some(source), container),
            _ => return Err(wrong()),
        };
        if !is_id(file_system, "fs-") {
            return Err(Invalid::because(format!(
                "'{file_system}' is not the ID of an EFS file system, such as fs-0123abcd"
            )));
        }
        let (folder, access_point) = match source {
            Some(point) if is_id(point, "fsap-") => (None, Some(point.to_owned())),
            Some(folder) => (Some(absolute(folder)?), None),
            None => (None, None),
        };
        let folder = folder.filter(|folder| folder != "/");
        let container = inside(container)?;
        Ok(Self { file_system: file_system.to_owned(), folder, access_point, container, read_only, iam })
    }
}

/// GiB of a Fargate job's disk (API `EphemeralStorage`), within [`limits::EPHEMERAL_STORAGE_GIB`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EphemeralStorage(u32);

impl EphemeralStorage {
    /// The size in GiB.
    pub fn gib(self) -> u32 {
        self.0
    }
}

impl FromStr for EphemeralStorage {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit_is_fine = matches!(unit.to_ascii_uppercase().as_str(), "" | "G" | "GB" | "GI" | "GIB");
        match number.parse() {
            Ok(n) if unit_is_fine && limits::EPHEMERAL_STORAGE_GIB.contains(&n) => Ok(Self(n)),
            _ => Err(Invalid::because("a whole number of GiB, 21 to 200")),
        }
    }
}

impl fmt::Display for EphemeralStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() >= 8 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

pub(super) fn absolute(path: &str) -> Result<String, Invalid> {
    let plain = !path.chars().any(char::is_control);
    match path.strip_prefix('/') {
        Some(_) if plain => Ok(path.to_owned()),
        _ => Err(Invalid::because(format!("'{path}' is not an absolute path"))),
    }
}

/// Checks a folder of the container. Nothing can be mounted over its root.
pub(super) fn inside(path: &str) -> Result<String, Invalid> {
    let path = absolute(path)?;
    match path.trim_matches('/') {
        "" => Err(Invalid::because("nothing can be mounted over the container's root")),
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mounts() {
        let mount = |text: &str| text.parse::<Mount>().map(|m| (m.host, m.container, m.read_only));
        assert_eq!(mount("/a:/b"), Ok(("/a".into(), "/b".into(), false)));
        assert_eq!(mount("/a:/b:ro"), Ok(("/a".into(), "/b".into(), true)));
        for bad in ["/a", "a:/b", "/a:b", "/a:/", "/a:/b:rx", "/a:/b:ro:", "", ":", "/a\n:/b"] {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn file_systems() {
        let efs = |text: &str| text.parse::<Efs>();
        let whole = efs("fs-0123abcd:/data").unwrap();
        assert_eq!((whole.folder, whole.access_point, whole.container), (None, None, "/data".into()));
        let folder = efs("fs-0123abcd:/home/ann:/data:ro").unwrap();
        assert_eq!((folder.folder.as_deref(), folder.read_only), (Some("/home/ann"), true));
        let point = efs("fs-0123abcd:fsap-0123456789abcdef0:/data:ro,iam").unwrap();
        assert_eq!((point.access_point.as_deref(), point.iam), (Some("fsap-0123456789abcdef0"), true));
        for bad in [
            "fs-0123abcd",
            "data:/data",
            "fs-0123abcd:data",
            "fs-0123abcd:/a:/b:x",
            "fs-x:/a",
            "fs-0123abcd:/",
        ] {
            assert!(efs(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_of_disks() {
        for (text, gib) in [("21", 21), ("200", 200), ("50G", 50), ("50GiB", 50)] {
            assert_eq!(text.parse::<EphemeralStorage>().map(EphemeralStorage::gib), Ok(gib));
        }
        for bad in ["20", "201", "", "G", "50M", "-30", "1T", "99999999999"] {
            assert!(bad.parse::<EphemeralStorage>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_them(text in "\\PC{0,30}|(fs-[0-9a-f]{0,9}|/[a-z]{0,3})(:[/a-z,]{0,6}){0,4}") {
            if let Ok(mount) = text.parse::<Mount>() {
                prop_assert!(mount.host.starts_with('/') && mount.container.len() > 1);
            }
            if let Ok(efs) = text.parse::<Efs>() {
                prop_assert!(efs.container.len() > 1);
            }
            let _ = text.parse::<EphemeralStorage>();
        }
    }
}
