//! `[efs]` and `[shared.NAME]`: the cluster's own file system, and the directories that every job
//! sees.

use std::str::FromStr;

use super::names::PartName;
use super::section::Section;
use super::values::{AccessPointId, FileSystemId, KmsKeyArn, word_type};
use super::writer::Writer;
use crate::toml_reader::TomlError;
use crate::{FileSystem, Invalid, SharedDir};

/// The EFS file system that the cluster makes when a shared directory is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Efs {
    /// How its throughput is set.
    pub throughput: Throughput,
    /// The KMS key. `None`: AWS's key for EFS. It is always encrypted.
    pub kms_key: Option<KmsKeyArn>,
    /// Whether it stays when the cluster is deleted.
    pub keep: bool,
    /// Whether AWS Backup copies it daily.
    pub backup: bool,
    /// After how long without access files go to the cheaper storage class.
    pub infrequent_after: Option<InfrequentAfter>,
}

impl Default for Efs {
    fn default() -> Self {
        let throughput = Throughput::Elastic;
        Self { throughput, kms_key: None, keep: true, backup: false, infrequent_after: None }
    }
}

/// How the throughput of EFS is set (EFS User Guide, `performance`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throughput {
    /// As much as is used.
    Elastic,
    /// By the size of the data.
    Bursting,
    /// This many MiB/s, 1 to 3414, which are paid for by the hour.
    Provisioned(u32),
}

impl FromStr for Throughput {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "elastic" => Ok(Self::Elastic),
            "bursting" => Ok(Self::Bursting),
            number => match number.parse() {
                Ok(n @ 1..=3414) => Ok(Self::Provisioned(n)),
                _ => Err(Invalid::because("one of: elastic, bursting, or a number of MiB/s from 1 to 3414")),
            },
        }
    }
}

word_type!(
    /// When files go to the cheaper storage class (EFS API, `LifecyclePolicy`).
    InfrequentAfter {
        /// A day.
        Days1 = "1d",
        /// A week.
        Days7 = "7d",
        /// Two weeks.
        Days14 = "14d",
        /// A month.
        Days30 = "30d",
        /// Two months.
        Days60 = "60d",
        /// Three months.
        Days90 = "90d",
        /// Half a year.
        Days180 = "180d",
        /// Nine months.
        Days270 = "270d",
        /// A year.
        Days365 = "365d",
    }
);

/// A directory that every job sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The name in the configuration.
    pub name: PartName,
    /// The path in the container.
    pub path: String,
    /// Whether jobs may only read it.
    pub read_only: bool,
    /// The file system.
    pub source: SharedSource,
}

/// The file system of a shared directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SharedSource {
    /// A folder of the cluster's own EFS file system, by an access point that the cluster makes.
    New {
        /// The folder: `/` and up to four names.
        folder: String,
        /// The owner and the permissions of the folder.
        owner: Owner,
    },
    /// An EFS file system that exists.
    Efs {
        /// Its ID.
        file_system: FileSystemId,
        /// The folder; without it, the root. An access point has its own.
        folder: Option<String>,
        /// The access point.
        access_point: Option<AccessPointId>,
        /// Whether it is mounted with the permissions of the job role.
        iam: bool,
    },
    /// A file system that the entry point of awsb's image mounts: NFS, Lustre, and others.
    Mounted {
        /// The source, such as `server:/export`.
        source: String,
        /// The type, such as `nfs`.
        kind: Option<String>,
        /// The options, joined by commas.
        options: Option<String>,
    },
}

/// The owner and the permissions of a new folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The permissions, three or four octal digits.
    pub permissions: String,
}

impl Default for Owner {
    fn default() -> Self {
        // The user of awsb's image. Jobs of other images are often root, which may write
        // everywhere.
        Self { uid: 1000, gid: 1000, permissions: "0777".to_owned() }
    }
}

impl Efs {
    pub(super) fn parse(mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let default = Self::default();
        let throughput = section.number_or_text("throughput")?;
        let efs = Self {
            throughput: match throughput.map(|text| text.parse()) {
                None => default.throughput,
                Some(parsed) => parsed.map_err(|why: Invalid| section.wrong("throughput", why))?,
            },
            kms_key: section.parsed("kms_key")?,
            keep: section.boolean("keep", default.keep)?,
            backup: section.boolean("backup", default.backup)?,
            infrequent_after: section.parsed("infrequent_after")?,
        };
        section.finish()?;
        Ok(efs)
    }

    pub(super) fn write(&self, out: &mut Writer) {
        let default = Self::default();
        out.section("efs");
        match self.throughput {
            Throughput::Elastic => {}
            Throughput::Bursting => out.text("throughput", Some("bursting")),
            Throughput::Provisioned(mibps) => out.plain("throughput", Some(mibps)),
        }
        out.text("kms_key", self.kms_key.as_ref());
        out.plain_unless("keep", self.keep, default.keep);
        out.plain_unless("backup", self.backup, default.backup);
        out.text("infrequent_after", self.infrequent_after);
    }
}

impl Shared {
    /// The line for the entry point of awsb's image, if that mounts it.
    pub fn mounted(&self) -> Option<FileSystem> {
        let SharedSource::Mounted { source, kind, options } = &self.source else { return None };
        let line = self.line(source, kind.as_deref(), options.as_deref());
        line.parse::<SharedDir>().ok().and_then(|dir| dir.mounted().cloned())
    }

    /// As in `/etc/fstab`.
    fn line(&self, source: &str, kind: Option<&str>, options: Option<&str>) -> String {
        let read_only = if self.read_only { Some("ro") } else { None };
        let options: Vec<&str> = read_only.into_iter().chain(options).collect();
        // Options stand behind the type, which the source tells where it is not given.
        let kind = kind.unwrap_or(if source.contains("@tcp:") || source.contains("@efa:") {
            "lustre"
        } else {
            "nfs"
        });
        format!("{source} {} {kind} {}", self.path, options.join(",")).trim_end().to_owned()
    }

    pub(super) fn parse(name: PartName, mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let Some(path) = section.text("path")? else { return Err(section.missing("path")) };
        let read_only = section.boolean("read_only", false)?;
        let source = section.text("source")?;
        let folder = section.text("folder")?;
        let access_point = section.parsed("access_point")?;
        let iam = section.boolean("iam", false)?;
        let uid = section.integer("uid", 0..=u32::MAX)?;
        let gid = section.integer("gid", 0..=u32::MAX)?;
        let permissions = section.text("permissions")?;
        let (kind, options) = (section.text("type")?, section.text("options")?);
        let foreign: (&str, &[&str]) = match source.as_deref() {
            None | Some("new") => {
                ("the cluster's own EFS file system", &["access_point", "iam", "type", "options"])
            }
            Some(id) if id.parse::<FileSystemId>().is_ok() => {
                ("an EFS file system that exists", &["uid", "gid", "permissions", "type", "options"])
            }
            Some(_) => (
                "a file system that the image mounts",
                &["folder", "access_point", "iam", "uid", "gid", "permissions"],
            ),
        };
        if let Some(key) = foreign.1.iter().find(|key| section.has(key)) {
            return Err(section.wrong(key, format!("cannot be given for {}", foreign.0)));
        }
        let source = match source.as_deref() {
            None | Some("new") => {
                let default = Owner::default();
                let permissions = permissions.unwrap_or(default.permissions);
                let octal = |b: u8| (b'0'..=b'7').contains(&b);
                if !(3..=4).contains(&permissions.len()) || !permissions.bytes().all(octal) {
                    return Err(
                        section.wrong("permissions", "has to be three or four octal digits, such as 0777")
                    );
                }
                let folder = folder.unwrap_or_else(|| format!("/{name}"));
                if !is_folder_of_access_point(&folder) {
                    let message = "has to be `/` and one to four names, such as /home or /projects/x";
                    return Err(section.wrong("folder", message));
                }
                let owner =
                    Owner { uid: uid.unwrap_or(default.uid), gid: gid.unwrap_or(default.gid), permissions };
                SharedSource::New { folder, owner }
            }
            Some(text) => match text.parse::<FileSystemId>() {
                Ok(_) if access_point.is_some() && folder.is_some() => {
                    return Err(
                        section.wrong("folder", "cannot be given with `access_point`, which has its own")
                    );
                }
                Ok(file_system) => SharedSource::Efs { file_system, folder, access_point, iam },
                Err(_) => SharedSource::Mounted { source: text.to_owned(), kind, options },
            },
        };
        let shared = Self { name, path, read_only, source };
        shared.check().map_err(|(key, why)| section.wrong(key, why))?;
        section.finish()?;
        Ok(shared)
    }

    /// Checks paths and sources as the settings file does.
    fn check(&self) -> Result<(), (&'static str, Invalid)> {
        let (line, key) = match &self.source {
            SharedSource::New { .. } => (format!("fs-00000000 {} efs", self.path), "path"),
            SharedSource::Efs { file_system, folder, .. } => {
                let folder = folder.as_ref().map(|folder| format!(":{folder}")).unwrap_or_default();
                (format!("{file_system}{folder} {} efs", self.path), "path")
            }
            SharedSource::Mounted { source, kind, options } => {
                (self.line(source, kind.as_deref(), options.as_deref()), "source")
            }
        };
        let words = [Some(&self.path), self.folder()];
        if words.into_iter().flatten().any(|word| word.contains(|c: char| c.is_whitespace() || c == ':')) {
            return Err(("path", Invalid::because("a path has neither blanks nor `:`")));
        }
        line.parse::<SharedDir>().map(|_| ()).map_err(|why| (key, why))
    }

    fn folder(&self) -> Option<&String> {
        match &self.source {
            SharedSource::New { folder, .. } => Some(folder),
            SharedSource::Efs { folder, .. } => folder.as_ref(),
            SharedSource::Mounted { .. } => None,
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.named_section(&format!("shared.{}", self.name));
        out.text("path", Some(&self.path));
        out.plain_unless("read_only", self.read_only, false);
        match &self.source {
            SharedSource::New { folder, owner } => {
                let default = Owner::default();
                out.text_unless("folder", folder, &format!("/{}", self.name));
                out.plain_unless("uid", owner.uid, default.uid);
                out.plain_unless("gid", owner.gid, default.gid);
                out.text_unless("permissions", &owner.permissions, &default.permissions);
            }
            SharedSource::Efs { file_system, folder, access_point, iam } => {
                out.text("source", Some(file_system));
                out.text("folder", folder.as_ref());
                out.text("access_point", access_point.as_ref());
                out.plain_unless("iam", *iam, false);
            }
            SharedSource::Mounted { source, kind, options } => {
                out.text("source", Some(source));
                out.text("type", kind.as_ref());
                out.text("options", options.as_ref());
            }
        }
    }
}

/// EFS API, `RootDirectory`, `Path`: at most 100 characters and four levels. The root itself is
/// left out: its owner and permissions cannot be set.
fn is_folder_of_access_point(folder: &str) -> bool {
    let Some(names) = folder.strip_prefix('/') else { return false };
    let good = |name: &str| {
        !name.is_empty()
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    folder.len() <= 100 && names.split('/').count() <= 4 && names.split('/').all(good)
}
