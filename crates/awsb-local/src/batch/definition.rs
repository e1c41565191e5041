//! Job definitions: how they are named, and the one that is built in.

use serde_json::{Value, json};

use crate::capacity::{self, Resources};
use crate::constants::{ACCOUNT, HOST_IMAGE, JOB_DEFINITION, REGION};
use crate::http::protocol::ApiError;

/// An ARN of this cluster.
pub fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:batch:{REGION}:{ACCOUNT}:{kind}/{name}")
}

/// A job definition as a request names it: `NAME`, `NAME:REVISION`, or an ARN of either form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionName {
    /// Without the revision.
    pub name: String,
    /// `None` means the latest active one.
    pub revision: Option<i64>,
}

impl DefinitionName {
    /// Reads a name.
    pub fn parse(text: &str) -> Self {
        let text = resource_name("job-definition", text);
        match text.rsplit_once(':') {
            Some((name, revision)) if revision.parse::<i64>().is_ok() => {
                Self { name: name.to_owned(), revision: revision.parse().ok() }
            }
            _ => Self { name: text.to_owned(), revision: None },
        }
    }
}

/// The kind and the name in an ARN of this cluster; `None` for an ARN of another account or region.
pub fn kind_and_name(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("arn:aws:batch:")?;
    let (region, rest) = rest.split_once(':')?;
    let (account, rest) = rest.split_once(':')?;
    rest.split_once('/').filter(|_| region == REGION && account == ACCOUNT)
}

/// The name in an ARN of this cluster and this `kind`, or the text itself. No resource has the ARN
/// of another account or region as its name.
pub fn resource_name<'a>(kind: &str, text: &'a str) -> &'a str {
    match kind_and_name(text) {
        Some((of, name)) if of == kind => name,
        _ => text,
    }
}

/// RegisterJobDefinition's name has the rules of a job's name.
pub fn check_name(name: &str) -> Result<(), ApiError> {
    let good = !name.is_empty()
        && name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if good { Ok(()) } else { Err(ApiError::client(format!("invalid job definition name {name:?}"))) }
}

/// The job definition that is there from the start.
pub fn built_in(capacity: &Resources) -> Value {
    let job = capacity::default_job(capacity);
    json!({
        "type": "container",
        "parameters": {},
        "containerProperties": {
            "image": HOST_IMAGE,
            "command": ["true"],
            "environment": [],
            "mountPoints": [],
            "volumes": [],
            "ulimits": [],
            "secrets": [],
            // The old fields, so that the old clients' overrides, which have only these, count
            // (API: ContainerOverrides.vcpus); a new client's resourceRequirements win over them.
            "vcpus": job.vcpus,
            "memory": job.memory_mib,
            "resourceRequirements": [],
        },
        "tags": {},
        "platformCapabilities": ["EC2"],
        "containerOrchestrationType": "ECS",
    })
}

/// The name of the built-in job definition.
pub const BUILT_IN: &str = JOB_DEFINITION;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_named_in_four_ways() {
        let name = |text: &str| {
            let parsed = DefinitionName::parse(text);
            (parsed.name, parsed.revision)
        };
        assert_eq!(name("a"), ("a".into(), None));
        assert_eq!(name("a:3"), ("a".into(), Some(3)));
        assert_eq!(name(&arn("job-definition", "a:3")), ("a".into(), Some(3)));
        assert_eq!(name(&arn("job-definition", "a")), ("a".into(), None));
    }

    #[test]
    fn the_arn_of_another_account_or_region_or_kind_names_nothing_here() {
        let own = arn("job-queue", "a");
        assert_eq!(resource_name("job-queue", &own), "a");
        for foreign in [
            own.replace(REGION, "eu-north-1"),
            own.replace(ACCOUNT, "111122223333"),
            own.replace("arn:aws:", "arn:aws-cn:"),
            own.replace(":batch:", ":ecs:"),
            own.replace("job-queue", "my-job-queue"),
            arn("consumable-resource", "a"),
        ] {
            assert_eq!(resource_name("job-queue", &foreign), foreign);
        }
    }
}
