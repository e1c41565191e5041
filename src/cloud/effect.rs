//! What a change of a stack means for jobs and data. Nothing here calls AWS.

use serde::Serialize;

use super::change_set::Change;

/// The effect of a change, the harmless ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Jobs and data notice nothing.
    NoInterruption,
    /// Instances are replaced as their jobs end. Jobs that run for too long are ended.
    InstancesReplaced,
    /// The environment or queue goes, with the jobs on it.
    JobsEnd,
    /// Data is lost.
    DataLost,
}

/// The properties of an environment that Batch changes without touching its instances (Batch User
/// Guide, `Update compute environments`: a scaling update).
const SCALING: [&str; 6] = ["MinvCpus", "MaxvCpus", "DesiredvCpus", "State", "UpdatePolicy", "ServiceRole"];
/// Types of resources that have data.
const DATA: [&str; 4] =
    ["AWS::S3::Bucket", "AWS::EFS::FileSystem", "AWS::Logs::LogGroup", "AWS::ECR::Repository"];

impl Effect {
    /// The effect of a change.
    pub fn of(change: &Change) -> Self {
        let goes = change.action == "Remove" || change.is_replacement();
        let keeps = change.policy_action.as_deref().is_some_and(|policy| policy.contains("Retain"));
        match change.resource_type.as_str() {
            kind if DATA.contains(&kind) && goes && !keeps => Self::DataLost,
            "AWS::Batch::ComputeEnvironment" | "AWS::Batch::JobQueue" if goes => Self::JobsEnd,
            "AWS::Batch::ComputeEnvironment" if change.action == "Modify" => {
                let is_scaling =
                    |path: &str| SCALING.iter().any(|name| path.split('/').any(|part| part == *name));
                // Without details, the worst that an update in place can do is taken.
                match !change.properties.is_empty() && change.properties.iter().all(|p| is_scaling(&p.path)) {
                    true => Self::NoInterruption,
                    false => Self::InstancesReplaced,
                }
            }
            _ => Self::NoInterruption,
        }
    }

    /// The effect in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoInterruption => "no interruption",
            Self::InstancesReplaced => "instances are replaced as their jobs end; long jobs are ended",
            Self::JobsEnd => "jobs on it end",
            Self::DataLost => "its data is lost",
        }
    }

    /// Whether it may end jobs.
    pub fn may_end_jobs(self) -> bool {
        matches!(self, Self::InstancesReplaced | Self::JobsEnd)
    }
}

impl Change {
    /// Whether the resource is, or may be, replaced.
    pub fn is_replacement(&self) -> bool {
        matches!(self.replacement.as_deref(), Some("True" | "Conditional"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::change_set::PropertyChange;
    use super::*;

    fn change(kind: &str, action: &str, replacement: &str, paths: &[&str]) -> Change {
        Change {
            action: action.into(),
            resource_type: kind.into(),
            replacement: Some(replacement.into()).filter(|r: &String| !r.is_empty()),
            properties: paths
                .iter()
                .map(|path| PropertyChange { path: (*path).into(), ..PropertyChange::default() })
                .collect(),
            ..Change::default()
        }
    }

    #[test]
    fn effects() {
        let environment = "AWS::Batch::ComputeEnvironment";
        for (change, effect) in [
            (change(environment, "Add", "", &[]), Effect::NoInterruption),
            (
                change(environment, "Modify", "False", &["/Properties/ComputeResources/MaxvCpus"]),
                Effect::NoInterruption,
            ),
            (
                change(environment, "Modify", "False", &["/Properties/ComputeResources/InstanceTypes/0"]),
                Effect::InstancesReplaced,
            ),
            (change(environment, "Modify", "False", &[]), Effect::InstancesReplaced),
            (change(environment, "Modify", "True", &["/Properties/Type"]), Effect::JobsEnd),
            (change(environment, "Remove", "", &[]), Effect::JobsEnd),
            (
                change("AWS::Batch::JobQueue", "Modify", "False", &["/Properties/Priority"]),
                Effect::NoInterruption,
            ),
            (change("AWS::EFS::FileSystem", "Modify", "True", &[]), Effect::DataLost),
            (change("AWS::S3::Bucket", "Remove", "", &[]), Effect::DataLost),
            (change("AWS::IAM::Role", "Modify", "True", &[]), Effect::NoInterruption),
        ] {
            assert_eq!(Effect::of(&change), effect, "{change:?}");
        }
        let kept = Change {
            policy_action: Some("ReplaceAndRetain".into()),
            ..change("AWS::EFS::FileSystem", "Modify", "True", &[])
        };
        assert_eq!(Effect::of(&kept), Effect::NoInterruption);
    }
}
