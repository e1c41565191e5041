//! What Batch is asked.

use serde::Serialize;

use super::limits;

/// A SubmitJob request (API `SubmitJobRequest`), as far as `bsub` uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubmitRequest {
    /// The job's name.
    pub job_name: String,
    /// Name or ARN of the queue.
    pub job_queue: String,
    /// `name`, `name:revision` or ARN of the job definition.
    pub job_definition: String,
    /// Children, for an array job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub array_size: Option<u32>,
    /// Attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u8>,
    /// Seconds that an attempt may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// What differs from the job definition's container.
    pub container_overrides: Overrides,
}

/// API `ContainerOverrides`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overrides {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Variables, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<KeyValue>,
    /// vCPUs and memory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_requirements: Vec<ResourceRequirement>,
}

/// API `KeyValuePair`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyValue {
    /// The variable.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// API `ResourceRequirement`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResourceRequirement {
    /// `VCPU` or `MEMORY`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// A number; MiB for memory.
    pub value: String,
}

impl Overrides {
    /// Whether the overrides stay below ECS's limit, with room for what Batch adds.
    pub fn fit(&self) -> bool {
        self.length() <= limits::OVERRIDES_LENGTH - limits::OVERRIDES_RESERVE
    }

    /// Their length as serialised JSON. Characters beyond ASCII are counted as `\uXXXX`: which form ECS
    /// counts is not documented, and this is the longer one.
    pub fn length(&self) -> usize {
        let json = serde_json::to_string(self).unwrap_or_default();
        json.chars().map(|c| if c.is_ascii() { 1 } else { 6 * c.len_utf16() }).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_that_of_the_json() {
        let overrides = Overrides { command: vec!["é\n😀".into()], ..Overrides::default() };
        assert_eq!(overrides.length(), r#"{"command":["\u00e9\n\ud83d\ude00"]}"#.len());
    }
}
