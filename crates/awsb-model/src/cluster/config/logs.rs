//! `[logs]` and `[events]`: the log groups of jobs, builds and events.

use super::section::Section;
use super::values::{KmsKeyArn, word_type};
use super::writer::Writer;
use crate::toml_reader::TomlError;

/// The logs of jobs and builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// How long lines are kept.
    pub retention: Retention,
    /// Whether the log of jobs stays when the cluster is deleted.
    pub keep: bool,
    /// The KMS key. `None`: CloudWatch's own encryption.
    pub kms_key: Option<KmsKeyArn>,
}

/// The record of job events, which accounting reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// Whether there is one.
    pub record: bool,
    /// How long events are kept.
    pub retention: Retention,
    /// Whether it stays when the cluster is deleted.
    pub keep: bool,
}

word_type!(
    /// How long a log group keeps its lines (CloudWatch Logs API, PutRetentionPolicy).
    Retention {
        /// One day.
        Days1 = "1d",
        /// Three days.
        Days3 = "3d",
        /// Five days.
        Days5 = "5d",
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
        /// Four months.
        Days120 = "120d",
        /// Five months.
        Days150 = "150d",
        /// Half a year.
        Days180 = "180d",
        /// A year.
        Days365 = "365d",
        /// Thirteen months.
        Days400 = "400d",
        /// A year and a half.
        Days545 = "545d",
        /// Two years.
        Days731 = "731d",
        /// Three years.
        Days1096 = "1096d",
        /// Five years.
        Days1827 = "1827d",
        /// Ten years.
        Days3653 = "3653d",
        /// For ever.
        Never = "never",
    }
);

impl Retention {
    /// The number of days. `None`: for ever.
    pub fn days(self) -> Option<u32> {
        self.as_str().strip_suffix('d').and_then(|days| days.parse().ok())
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self { retention: Retention::Days180, keep: true, kms_key: None }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { record: true, retention: Retention::Days365, keep: true }
    }
}

impl Logs {
    pub(super) fn parse(mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let default = Self::default();
        let logs = Self {
            retention: section.parsed("retention")?.unwrap_or(default.retention),
            keep: section.boolean("keep", default.keep)?,
            kms_key: section.parsed("kms_key")?,
        };
        section.finish()?;
        Ok(logs)
    }

    pub(super) fn write(&self, out: &mut Writer) {
        let default = Self::default();
        out.section("logs");
        out.text_unless("retention", &self.retention, &default.retention);
        out.plain_unless("keep", self.keep, default.keep);
        out.text("kms_key", self.kms_key.as_ref());
    }
}

impl Events {
    pub(super) fn parse(mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let default = Self::default();
        let events = Self {
            record: section.boolean("record", default.record)?,
            retention: section.parsed("retention")?.unwrap_or(default.retention),
            keep: section.boolean("keep", default.keep)?,
        };
        section.finish()?;
        Ok(events)
    }

    pub(super) fn write(&self, out: &mut Writer) {
        let default = Self::default();
        out.section("events");
        out.plain_unless("record", self.record, default.record);
        out.text_unless("retention", &self.retention, &default.retention);
        out.plain_unless("keep", self.keep, default.keep);
    }
}
