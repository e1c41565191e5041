//! `[queue.NAME]`: a job queue.

use super::names::PartName;
use super::section::Section;
use super::values::{QueueArn, SharePattern};
use super::writer::Writer;
use crate::Period;
use crate::toml_reader::TomlError;

/// A job queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// The name in the configuration.
    pub name: PartName,
    /// The queue that the cluster makes, or one that exists.
    pub source: QueueSource,
}

/// Where a queue comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum QueueSource {
    /// The cluster makes it, as `CLUSTER-NAME`.
    New(NewQueue),
    /// It exists.
    Existing(QueueArn),
}

/// A queue that the cluster makes.
#[derive(Debug, Clone, PartialEq)]
pub struct NewQueue {
    /// The environments, in the order in which Batch tries them.
    pub environments: Vec<PartName>,
    /// The priority among queues of the same environment, 0 to 1000.
    pub priority: u16,
    /// Fair shares. `None`: first in, first out.
    pub fair_share: Option<FairShare>,
    /// When jobs that are stuck in RUNNABLE are cancelled.
    pub cancel_after: CancelAfter,
}

/// How a queue is shared (Batch API, `FairsharePolicy`).
#[derive(Debug, Clone, PartialEq)]
pub struct FairShare {
    /// How long usage counts. Zero: only what runs now.
    pub decay: Period,
    /// The part of vCPUs that stays free for shares without jobs, in percent (0 to 99).
    pub reservation: u8,
    /// The weights of shares. A share with a smaller weight gets more.
    pub weights: Vec<(SharePattern, f64)>,
}

/// How long a job may stay in RUNNABLE for a reason before Batch cancels it (Batch API,
/// `JobStateTimeLimitAction`). `None`: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelAfter {
    /// The job is larger than all environments of the queue.
    pub too_large: Option<Period>,
    /// No instance type of the environments fits the job.
    pub no_instance_type: Option<Period>,
    /// AWS has no such instances at the moment.
    pub no_capacity: Option<Period>,
}

/// A day. Batch takes 600 to 86,400 seconds.
const DAY: u32 = 86_400;

impl Default for CancelAfter {
    fn default() -> Self {
        let day = Some(Period::of_seconds(DAY));
        Self { too_large: day, no_instance_type: day, no_capacity: None }
    }
}

impl Default for FairShare {
    fn default() -> Self {
        Self { decay: Period::of_seconds(0), reservation: 0, weights: Vec::new() }
    }
}

const DEFAULT_PRIORITY: u16 = 1;

impl Queue {
    /// A queue with these environments and the defaults of the configuration.
    pub fn new(name: PartName, environments: Vec<PartName>) -> Self {
        let source = QueueSource::New(NewQueue {
            environments,
            priority: DEFAULT_PRIORITY,
            fair_share: None,
            cancel_after: CancelAfter::default(),
        });
        Self { name, source }
    }

    /// The queue that the cluster makes, unless it exists.
    pub fn made(&self) -> Option<&NewQueue> {
        match &self.source {
            QueueSource::New(queue) => Some(queue),
            QueueSource::Existing(_) => None,
        }
    }

    pub(super) fn parse(name: PartName, mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let arn: Option<QueueArn> = section.parsed("arn")?;
        let environments: Vec<PartName> = section.list("environments")?;
        let priority = section.integer("priority", 0..=1000)?;
        let fair_share = FairShare::parse(section.section("fair_share")?)?;
        let cancel_after = CancelAfter::parse(section.section("cancel_after")?)?;
        let source = match arn {
            Some(arn) => {
                for key in ["environments", "priority", "fair_share", "cancel_after"] {
                    if section.has(key) {
                        return Err(section.wrong(key, "cannot be given for a queue that exists (`arn`)"));
                    }
                }
                QueueSource::Existing(arn)
            }
            None if environments.is_empty() => {
                return Err(section.missing("environments").hint("`arn` names a queue that exists"));
            }
            None => QueueSource::New(NewQueue {
                environments,
                priority: priority.and_then(|n| u16::try_from(n).ok()).unwrap_or(DEFAULT_PRIORITY),
                fair_share,
                cancel_after,
            }),
        };
        section.finish()?;
        Ok(Self { name, source })
    }

    pub(super) fn write(&self, out: &mut Writer) {
        let path = format!("queue.{}", self.name);
        out.named_section(&path);
        match &self.source {
            QueueSource::Existing(arn) => out.text("arn", Some(arn)),
            QueueSource::New(queue) => {
                out.list("environments", &queue.environments);
                out.plain_unless("priority", queue.priority, DEFAULT_PRIORITY);
                queue.cancel_after.write(&path, out);
                if let Some(fair_share) = &queue.fair_share {
                    fair_share.write(&path, out);
                }
            }
        }
    }
}

impl FairShare {
    fn parse(mut section: Section<'_, '_>) -> Result<Option<Self>, TomlError> {
        let is_there = section.is_there();
        let decay = section.period("decay", 0..=604_800)?;
        let reservation = section.integer("reservation", 0..=99)?;
        let shares = section.section("weights")?;
        let mut weights = Vec::new();
        for (name, value) in shares.free_entries() {
            let share: SharePattern =
                name.parse().map_err(|why| shares.wrong(&name, format!("is not a share: {why}")))?;
            let weight = shares.number_of(&name, value)?;
            if !WEIGHTS.contains(&weight) {
                return Err(shares.wrong(&name, "has to be a weight from 0.0001 to 999.9999"));
            }
            weights.push((share, weight));
        }
        section.finish()?;
        let default = Self::default();
        Ok(is_there.then(|| Self {
            decay: decay.unwrap_or(default.decay),
            reservation: reservation.and_then(|n| u8::try_from(n).ok()).unwrap_or(default.reservation),
            weights,
        }))
    }

    fn write(&self, path: &str, out: &mut Writer) {
        let default = Self::default();
        out.named_section(&format!("{path}.fair_share"));
        out.text_unless("decay", &self.decay, &default.decay);
        out.plain_unless("reservation", self.reservation, default.reservation);
        out.section(&format!("{path}.fair_share.weights"));
        for (share, weight) in &self.weights {
            out.plain(share.as_str(), Some(weight));
        }
    }
}

/// Batch API, `ShareAttributes`, `weightFactor`.
const WEIGHTS: std::ops::RangeInclusive<f64> = 0.0001..=999.9999;

impl CancelAfter {
    fn parse(mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let default = Self::default();
        let range = 600..=DAY;
        let cancel_after = Self {
            too_large: section.limit("too_large", default.too_large, range.clone())?,
            no_instance_type: section.limit("no_instance_type", default.no_instance_type, range.clone())?,
            no_capacity: section.limit("no_capacity", default.no_capacity, range)?,
        };
        section.finish()?;
        Ok(cancel_after)
    }

    fn write(&self, path: &str, out: &mut Writer) {
        let default = Self::default();
        out.section(&format!("{path}.cancel_after"));
        out.limit("too_large", self.too_large, default.too_large);
        out.limit("no_instance_type", self.no_instance_type, default.no_instance_type);
        out.limit("no_capacity", self.no_capacity, default.no_capacity);
    }
}
