//! EFS, which knows where a file system can be mounted.

use aws_config::SdkConfig;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::Deserialize;

use super::page_token::next_page;
use super::query::json::{JsonCall, JsonService, json_operation};
use super::query::{CallError, QueryError};
use super::trace::Trace;

/// The service.
const EFS: JsonService = JsonService { name: "EFS", signing_name: "elasticfilesystem" };

/// A client of EFS.
#[derive(Debug, Clone)]
pub struct Efs {
    mount_targets: Operation<JsonCall, MountTargetsAnswer, QueryError>,
    file_systems: Operation<JsonCall, FileSystemsAnswer, QueryError>,
    delete: Operation<JsonCall, NoAnswer, QueryError>,
}

/// DeleteFileSystem's answer, which is empty.
#[derive(Debug, Deserialize)]
struct NoAnswer {}

/// DescribeMountTargets' answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MountTargetsAnswer {
    mount_targets: Vec<MountTarget>,
    next_marker: Option<String>,
}

/// A mount target (API `MountTargetDescription`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountTarget {
    /// Its ID.
    pub mount_target_id: String,
    /// Its zone, such as `eu-west-1a`.
    pub availability_zone_name: Option<String>,
}

/// DescribeFileSystems' answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct FileSystemsAnswer {
    file_systems: Vec<FileSystem>,
    next_marker: Option<String>,
}

/// A file system (API `FileSystemDescription`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FileSystem {
    /// Its ID.
    pub file_system_id: String,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A tag of a file system (API `Tag`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Tag {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

impl FileSystem {
    /// Whether it has a tag with this value.
    pub fn has_tag(&self, key: &str, value: &str) -> bool {
        self.tags.iter().any(|tag| tag.key == key && tag.value == value)
    }
}

impl Efs {
    /// A client for a region; with `trace`, every exchange is shown.
    pub(super) fn new(config: &SdkConfig, region: &str, trace: Option<Trace>) -> Self {
        Self {
            mount_targets: json_operation(&EFS, "DescribeMountTargets", config, region, trace.clone()),
            file_systems: json_operation(&EFS, "DescribeFileSystems", config, region, trace.clone()),
            delete: json_operation(&EFS, "DeleteFileSystem", config, region, trace),
        }
    }

    /// The file systems of the account and region.
    ///
    /// # Errors
    /// When EFS cannot be asked.
    pub async fn file_systems(&self) -> Result<Vec<FileSystem>, CallError> {
        let (mut found, mut marker) = (Vec::new(), None::<String>);
        loop {
            let mut query = form_urlencoded::Serializer::new(String::new());
            if let Some(marker) = &marker {
                query.append_pair("Marker", marker);
            }
            let path = format!("/2015-02-01/file-systems?{}", query.finish());
            let answer = self.file_systems.invoke(JsonCall::rest("GET", path)).await.map_err(Box::new)?;
            found.extend(answer.file_systems);
            marker = next_page(marker.as_deref(), answer.next_marker)
                .map_err(|e| SdkError::dispatch_failure(ConnectorError::other(e.into(), None)))
                .map_err(Box::new)?;
            if marker.is_none() {
                return Ok(found);
            }
        }
    }

    /// Deletes a file system. One that does not exist is deleted already, and so is one in a place
    /// without EFS.
    ///
    /// # Errors
    /// When it has mount targets, or EFS cannot be asked.
    pub async fn delete_file_system(&self, file_system: &str) -> Result<(), CallError> {
        let path = format!("/2015-02-01/file-systems/{file_system}");
        match self.delete.invoke(JsonCall::rest("DELETE", path)).await {
            Ok(NoAnswer {}) => Ok(()),
            Err(e) if matches!(e.code(), Some("FileSystemNotFound" | "UnknownOperationException")) => Ok(()),
            Err(e) => Err(Box::new(e)),
        }
    }

    /// The mount targets of a file system. `None`: the region has no such file system.
    ///
    /// # Errors
    /// When EFS cannot be asked.
    pub async fn mount_targets(&self, file_system: &str) -> Result<Option<Vec<MountTarget>>, CallError> {
        let (mut targets, mut marker) = (Vec::new(), None::<String>);
        loop {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("FileSystemId", file_system);
            if let Some(marker) = &marker {
                query.append_pair("Marker", marker);
            }
            let path = format!("/2015-02-01/mount-targets?{}", query.finish());
            let answer = match self.mount_targets.invoke(JsonCall::rest("GET", path)).await {
                Ok(answer) => answer,
                Err(e) if e.code() == Some("FileSystemNotFound") => return Ok(None),
                Err(e) => return Err(Box::new(e)),
            };
            targets.extend(answer.mount_targets);
            marker = next_page(marker.as_deref(), answer.next_marker)
                .map_err(|e| SdkError::dispatch_failure(ConnectorError::other(e.into(), None)))
                .map_err(Box::new)?;
            if marker.is_none() {
                return Ok(Some(targets));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems() {
        // The sample of the EFS API Reference, DescribeFileSystems, shortened.
        let answer: FileSystemsAnswer = serde_json::from_str(
            r#"{"FileSystems":[{"OwnerId":"251839141158","CreationToken":"MyFileSystem1",
                "FileSystemId":"fs-01234567","PerformanceMode":"generalPurpose","LifeCycleState":"available",
                "Tags":[{"Key":"awsb:cluster","Value":"lab"}]}]}"#,
        )
        .unwrap();
        let system = &answer.file_systems[0];
        assert_eq!(system.file_system_id, "fs-01234567");
        assert!(system.has_tag("awsb:cluster", "lab") && !system.has_tag("awsb:cluster", "lab-2"));
    }

    #[test]
    fn mount_targets() {
        // The sample of the EFS API Reference, DescribeMountTargets.
        let answer: MountTargetsAnswer = serde_json::from_str(
            r#"{"MountTargets":[{"OwnerId":"251839141158","MountTargetId":"fsmt-01234567","FileSystemId":"fs-01234567",
                "SubnetId":"subnet-01234567","LifeCycleState":"available","IpAddress":"10.0.2.42",
                "NetworkInterfaceId":"eni-1bcb7772","AvailabilityZoneName":"us-west-2a"}]}"#,
        )
        .unwrap();
        assert_eq!(answer.mount_targets[0].mount_target_id, "fsmt-01234567");
        assert_eq!(answer.mount_targets[0].availability_zone_name.as_deref(), Some("us-west-2a"));
        assert_eq!(answer.next_marker, None);
    }
}
