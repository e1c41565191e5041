//! Directories that all jobs of a cluster share, from the settings.

use std::fmt;
use std::str::FromStr;

use super::mounts::{absolute, inside};
use super::{Efs, Invalid};

/// A shared directory, as in a line of `/etc/fstab`: `SOURCE PATH [TYPE [OPTIONS]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SharedDir {
    /// An EFS file system (`fs-0123abcd`, `fs-0123abcd:/folder`, `fs-0123abcd:fsap-…`), which Batch
    /// mounts.
    Efs(Efs),
    /// A file system that the entry point of awsb's image mounts: NFS, FSx for Lustre, or any other
    /// that the image can mount.
    Mounted(FileSystem),
}

/// A file system with the parameters of `mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// The source, such as `server:/export`.
    pub source: String,
    /// The path in the container.
    pub path: String,
    /// The type, such as `nfs` or `lustre`.
    pub kind: String,
    /// The options, joined by commas.
    pub options: Option<String>,
}

impl SharedDir {
    /// The EFS file system, if Batch mounts this directory.
    pub fn efs(&self) -> Option<&Efs> {
        match self {
            Self::Efs(efs) => Some(efs),
            Self::Mounted(_) => None,
        }
    }

    /// The file system, if the entry point mounts this directory.
    pub fn mounted(&self) -> Option<&FileSystem> {
        match self {
            Self::Mounted(file_system) => Some(file_system),
            Self::Efs(_) => None,
        }
    }
}

impl FromStr for SharedDir {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (source, path, kind, options) = match words[..] {
            [source, path] => (source, path, None, None),
            [source, path, kind] => (source, path, Some(kind), None),
            [source, path, kind, options] => (source, path, Some(kind), Some(options)),
            _ => return Err(wrong(text)),
        };
        inside(path)?;
        match kind.or_else(|| kind_of(source)) {
            Some("efs") => {
                let options = options.map(|options| format!(":{options}")).unwrap_or_default();
                Ok(Self::Efs(format!("{source}:{path}{options}").parse()?))
            }
            Some(kind) => file_system(source, path, kind, options).map(Self::Mounted),
            None => Err(wrong(text)),
        }
    }
}

fn wrong(text: &str) -> Invalid {
    Invalid::because(format!(
        "'{text}' is not `SOURCE PATH [TYPE [OPTIONS]]`, such as `fs-0123abcd /home` (EFS), \
         `server.example:/export /data nfs ro` or `fs-0123abcd.fsx.eu-west-1.amazonaws.com@tcp:/abcd /scratch lustre`"
    ))
}

/// The type of a file system, by the form of its source.
fn kind_of(source: &str) -> Option<&'static str> {
    let (host, export) = source.split_once(':').unwrap_or((source, ""));
    match host {
        _ if host.ends_with("@tcp") || host.ends_with("@efa") => Some("lustre"),
        _ if host.starts_with("fs-") && !host.contains('.') => Some("efs"),
        _ if export.starts_with('/') => Some("nfs"),
        _ => None,
    }
}

fn file_system(source: &str, path: &str, kind: &str, options: Option<&str>) -> Result<FileSystem, Invalid> {
    let plain = |text: &str| !text.starts_with('-') && !text.chars().any(char::is_control);
    let is_word =
        |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.');
    if !is_word(kind) || kind.is_empty() {
        return Err(Invalid::because(format!(
            "'{kind}' is not a type of file system, such as nfs or lustre"
        )));
    }
    if !plain(source) || options.is_some_and(|options| !plain(options)) {
        return Err(Invalid::because(format!("'{source}' cannot be mounted: no word begins with '-'")));
    }
    let remote = matches!(kind, "nfs" | "nfs4" | "lustre");
    if remote {
        let export = source.split_once(":/").filter(|(host, _)| !host.is_empty());
        let Some((_, export)) = export else {
            return Err(Invalid::because(format!("'{source}' is not HOST:/EXPORT, as {kind} has it")));
        };
        absolute(&format!("/{export}"))?;
    }
    Ok(FileSystem {
        source: source.to_owned(),
        path: path.to_owned(),
        kind: kind.to_owned(),
        options: options.map(str::to_owned),
    })
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.source, self.path, self.kind)?;
        self.options.as_ref().map_or(Ok(()), |options| write!(f, " {options}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> Option<String> {
        text.parse::<SharedDir>().ok()?.mounted().map(FileSystem::to_string)
    }

    #[test]
    fn efs_is_batchs_own() {
        let efs = |text: &str| text.parse::<SharedDir>().ok().and_then(|s| s.efs().cloned());
        assert_eq!(efs("fs-0123abcd /home"), "fs-0123abcd:/home".parse().ok());
        assert_eq!(efs("fs-0123abcd:/  /shared  efs  ro"), "fs-0123abcd:/:/shared:ro".parse().ok());
        let point = "fs-0123abcd:fsap-0123456789abcdef0:/x:iam".parse().ok();
        assert_eq!(efs("fs-0123abcd:fsap-0123456789abcdef0 /x efs iam"), point);
    }

    #[test]
    fn the_rest_is_mounted_by_the_image() {
        assert_eq!(line("server.example:/export /home").as_deref(), Some("server.example:/export /home nfs"));
        assert_eq!(
            line("server:/a /b nfs4 ro,nfsvers=4.2").as_deref(),
            Some("server:/a /b nfs4 ro,nfsvers=4.2")
        );
        let lustre = "fs-0123abcd.fsx.eu-west-1.amazonaws.com@tcp:/abcd /fsx";
        assert_eq!(line(lustre), Some(format!("{lustre} lustre")));
        assert_eq!(line("none /scratch tmpfs size=1g").as_deref(), Some("none /scratch tmpfs size=1g"));
    }

    #[test]
    fn what_cannot_be_mounted() {
        for bad in [
            "",
            "fs-0123abcd",
            "server /data",
            "server:/a data",
            "server:/a /",
            "server:/a /b nfs ro more",
            "fs-0123abcd /home efs rx",
            "fs-x /home",
            ":/a /b",
            "a /b nfs",
            "-o:/a /b",
            "a:/b /c --bind",
            "a:/b /c nfs -o",
        ] {
            assert!(bad.parse::<SharedDir>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(text in "[a-z:@/.-]{1,12}( /?[a-z-]{0,3}){1,3}|\\PC{0,40}") {
            if let Ok(SharedDir::Mounted(file_system)) = text.parse() {
                let again = file_system.to_string().parse();
                prop_assert_eq!(again, Ok(SharedDir::Mounted(file_system)));
            }
        }
    }
}
