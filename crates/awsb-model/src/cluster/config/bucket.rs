//! `[bucket]`: the bucket for scripts, inputs and outputs.

use super::section::Section;
use super::values::{BucketName, KmsKeyArn};
use super::writer::Writer;
use crate::Period;
use crate::toml_reader::TomlError;

/// The bucket of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bucket {
    /// The cluster makes it.
    New(NewBucket),
    /// It exists.
    Existing(BucketName),
}

/// A bucket that the cluster makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBucket {
    /// The KMS key. `None`: S3's own encryption.
    pub kms_key: Option<KmsKeyArn>,
    /// Whether it keeps old versions of objects.
    pub versions: bool,
    /// Whether it stays when the cluster is deleted.
    pub keep: bool,
    /// When objects expire.
    pub expire: Expire,
}

/// When objects of the bucket expire, in whole days. `None`: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expire {
    /// Scripts and inputs.
    pub bundles: Option<Period>,
    /// The files that jobs have left.
    pub outputs: Option<Period>,
    /// Contexts of image builds.
    pub contexts: Option<Period>,
    /// The records of `bsub --once`.
    pub once: Option<Period>,
}

const DAY: u32 = 86_400;

impl Default for Expire {
    fn default() -> Self {
        let days = |days| Some(Period::of_seconds(days * DAY));
        Self { bundles: days(30), outputs: None, contexts: days(7), once: days(365) }
    }
}

impl Default for NewBucket {
    fn default() -> Self {
        Self { kms_key: None, versions: false, keep: true, expire: Expire::default() }
    }
}

impl Default for Bucket {
    fn default() -> Self {
        Self::New(NewBucket::default())
    }
}

impl Bucket {
    /// The bucket that the cluster makes, unless it exists.
    pub fn made(&self) -> Option<&NewBucket> {
        match self {
            Self::New(bucket) => Some(bucket),
            Self::Existing(_) => None,
        }
    }

    pub(super) fn parse(mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let existing: Option<BucketName> = section.parsed("existing")?;
        let default = NewBucket::default();
        let bucket = NewBucket {
            kms_key: section.parsed("kms_key")?,
            versions: section.boolean("versions", default.versions)?,
            keep: section.boolean("keep", default.keep)?,
            expire: Expire::parse(section.section("expire")?)?,
        };
        if existing.is_some()
            && let Some(key) =
                ["kms_key", "versions", "keep", "expire"].into_iter().find(|key| section.has(key))
        {
            return Err(section.wrong(key, "cannot be given for a bucket that exists (`existing`)"));
        }
        section.finish()?;
        Ok(existing.map_or(Self::New(bucket), Self::Existing))
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.section("bucket");
        match self {
            Self::Existing(name) => out.text("existing", Some(name)),
            Self::New(bucket) => {
                let default = NewBucket::default();
                out.text("kms_key", bucket.kms_key.as_ref());
                out.plain_unless("versions", bucket.versions, default.versions);
                out.plain_unless("keep", bucket.keep, default.keep);
                bucket.expire.write(out);
            }
        }
    }
}

impl Expire {
    fn parse(mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let default = Self::default();
        let expire = Self {
            bundles: section.days("bundles", default.bundles)?,
            outputs: section.days("outputs", default.outputs)?,
            contexts: section.days("contexts", default.contexts)?,
            once: section.days("once", default.once)?,
        };
        section.finish()?;
        Ok(expire)
    }

    fn write(&self, out: &mut Writer) {
        let default = Self::default();
        out.section("bucket.expire");
        out.limit("bundles", self.bundles, default.bundles);
        out.limit("outputs", self.outputs, default.outputs);
        out.limit("contexts", self.contexts, default.contexts);
        out.limit("once", self.once, default.once);
    }
}
