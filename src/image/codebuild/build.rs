//! A build, as CodeBuild describes it.

use std::sync::Arc;

use aws_sdk_codebuild::types;

use crate::logs::{LogStreamRef, StreamWriter};
use awsb_model::Invalid;

/// A build (API `Build`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// `PROJECT:UUID`.
    pub id: String,
    /// `IN_PROGRESS`, `SUCCEEDED`, `FAILED`, `FAULT`, `TIMED_OUT` or `STOPPED` (API `StatusType`).
    pub status: String,
    /// The phases that have begun.
    pub phases: Vec<Phase>,
    /// Where the log of the build is.
    pub log: Log,
    /// The link to the log in the console, as soon as the log is there.
    pub link: Option<String>,
    /// The time limit of the project, in minutes.
    pub minutes: Option<i32>,
    /// The variables that buildspec.yml exports.
    pub(super) exported: Vec<(String, String)>,
}

/// A phase of a build (API `BuildPhase`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// `QUEUED`, `PROVISIONING`, …, `BUILD`, …, `COMPLETED`.
    pub name: String,
    /// How the phase ended, with the words of a build's status. `None` while it runs.
    pub status: Option<String>,
    /// When the phase began, in seconds since the epoch.
    pub began_at: Option<i64>,
    /// The duration of the phase, in seconds.
    pub seconds: Option<i64>,
    /// The error: AWS's code and message.
    pub error: Option<(String, String)>,
}

/// Where the log of a build is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Log {
    /// The log is in CloudWatch Logs.
    Stream(Arc<LogStreamRef>),
    /// There is no log yet: its stream comes with the phase PROVISIONING (API `LogsLocation`).
    NotYet,
    /// The project does not write a log to CloudWatch Logs. There may be one in S3, at this
    /// address.
    Elsewhere(Option<String>),
}

impl Build {
    /// Reads an answer. An answer without an ID gives `None`.
    pub(super) fn read(build: &types::Build) -> Option<Self> {
        let id = build.id()?.to_owned();
        let status = build.build_status().map_or("IN_PROGRESS", |status| status.as_str()).to_owned();
        let logs = build.logs();
        // Before the stream exists, the link leads nowhere.
        let link = logs.and_then(|logs| logs.deep_link()).filter(|link| !link.contains("group=null"));
        Some(Self {
            log: log(&id, logs),
            link: link.map(str::to_owned),
            phases: build.phases().iter().filter_map(Phase::read).collect(),
            minutes: build.timeout_in_minutes(),
            exported: build
                .exported_environment_variables()
                .iter()
                .filter_map(|v| Some((v.name()?.to_owned(), v.value()?.to_owned())))
                .collect(),
            id,
            status,
        })
    }

    /// Whether the build has ended.
    pub fn has_ended(&self) -> bool {
        self.status != "IN_PROGRESS"
    }

    /// Whether the build has succeeded.
    pub fn has_succeeded(&self) -> bool {
        self.status == "SUCCEEDED"
    }

    /// A variable that buildspec.yml exports.
    pub fn exported(&self, name: &str) -> Option<&str> {
        let found = self.exported.iter().find(|(n, value)| n == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// The phase that failed.
    pub fn failed_phase(&self) -> Option<&Phase> {
        let bad = |phase: &&Phase| {
            phase.status.as_deref().is_some_and(|s| !matches!(s, "SUCCEEDED" | "IN_PROGRESS"))
        };
        self.phases.iter().find(bad)
    }
}

impl Phase {
    fn read(phase: &types::BuildPhase) -> Option<Self> {
        let context = phase.contexts().iter().find(|c| c.message().is_some_and(|m| !m.trim().is_empty()));
        Some(Self {
            name: phase.phase_type()?.as_str().to_owned(),
            status: phase.phase_status().map(|status| status.as_str().to_owned()),
            began_at: phase.start_time().map(aws_smithy_types::DateTime::secs),
            seconds: phase.duration_in_seconds(),
            error: context.map(|c| {
                (c.status_code().unwrap_or_default().to_owned(), c.message().unwrap_or_default().to_owned())
            }),
        })
    }
}

fn log(id: &str, logs: Option<&types::LogsLocation>) -> Log {
    let Some(logs) = logs else { return Log::NotYet };
    if let (Some(group), Some(stream)) = (logs.group_name(), logs.stream_name()) {
        return Log::Stream(Arc::new(LogStreamRef {
            writer: StreamWriter::Build,
            job_id: id.to_owned(),
            task: None,
            container: None,
            group: group.to_owned(),
            name: stream.to_owned(),
        }));
    }
    let disabled = types::LogsConfigStatusType::Disabled;
    match logs.cloud_watch_logs() {
        Some(config) if *config.status() == disabled => {
            Log::Elsewhere(logs.s3_deep_link().or(logs.s3_logs_arn()).map(str::to_owned))
        }
        _ => Log::NotYet,
    }
}

/// A build as a user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildName {
    /// `PROJECT:UUID`, or an ARN that ends with it.
    Id(String),
    /// The UUID alone: a build of the cluster's project.
    OfProject(String),
    /// The last build of the cluster's project.
    Last,
}

impl std::str::FromStr for BuildName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "last" {
            return Ok(Self::Last);
        }
        // arn:aws:codebuild:REGION:ACCOUNT:build/PROJECT:UUID
        let id = match text.split_once(":build/") {
            Some((arn, id)) if arn.starts_with("arn:") => id,
            _ => text,
        };
        let (project, uuid) = id.rsplit_once(':').unwrap_or(("", id));
        let is_uuid = uuid.len() == 36 && uuid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        match is_uuid && project.bytes().all(good) {
            true if project.is_empty() => Ok(Self::OfProject(uuid.to_owned())),
            true => Ok(Self::Id(id.to_owned())),
            false => Err(Invalid::because("a build is PROJECT:UUID, as `bimage build` shows it, or `last`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_by_name() {
        let uuid = "0a1b2c3d-0000-4000-8000-00000000000f";
        let read = |text: &str| text.parse::<BuildName>().ok();
        assert_eq!(read("last"), Some(BuildName::Last));
        assert_eq!(read(uuid), Some(BuildName::OfProject(uuid.into())));
        let id = format!("my_project-1:{uuid}");
        assert_eq!(read(&id), Some(BuildName::Id(id.clone())));
        assert_eq!(
            read(&format!("arn:aws:codebuild:eu-west-1:123456789012:build/{id}")),
            Some(BuildName::Id(id))
        );
        for bad in ["", "x", "a:b", "a b:0a1b2c3d-0000-4000-8000-00000000000f", "arn:aws:batch:x:1:job/y"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
