//! Checks of shared directories and roles that need no facts.

use super::problem::{ProblemKind, Problems};
use crate::cluster::config::{ClusterConfig, JobRole, Shared, SharedSource};

/// Folders of a container over which nothing can be mounted without breaking it.
const OF_THE_SYSTEM: [&str; 13] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr",
    "/var",
];
/// Managed policies of a role (IAM User Guide, `reference_iam-quotas`).
const POLICIES: usize = 10;

/// Checks the shared directories and the roles.
pub(super) fn check(config: &ClusterConfig, problems: &mut Problems) {
    for (index, shared) in config.shared.iter().enumerate() {
        let key = format!("shared.{}.path", shared.name);
        let path = shared.path.trim_end_matches('/');
        if OF_THE_SYSTEM.contains(&path) {
            let message = format!("is {path}, without whose files a container does not start");
            problems.add(ProblemKind::SharedPath, key.clone(), message, "take another path, such as /shared");
        }
        let before = config.shared.get(..index).unwrap_or_default();
        if let Some(other) = before.iter().find(|other| overlap(path, other.path.trim_end_matches('/'))) {
            let message = format!("is {}, and `shared.{}` is {}", shared.path, other.name, other.path);
            problems.add(ProblemKind::SharedPath, key, message, "take paths of which none is in another");
        }
        check_mounted(config, shared, problems);
    }
    if config.has_efs() && config.environments.is_empty() {
        let message = "is a new file system, and the cluster has no environment whose network it could be in";
        let advice = "name a file system that exists (`source`), or add an environment";
        problems.add(ProblemKind::SharedPath, "shared", message, advice);
    }
    let of_instances = config.iam.instance_policies.len() + 1;
    if of_instances > POLICIES {
        let message = format!("has {} policies, and one more is the instances' own", of_instances - 1);
        let advice = format!("AWS takes {POLICIES} for a role");
        problems.add(ProblemKind::Policies, "iam.instance_policies", message, advice);
    }
    if let JobRole::New(role) = &config.job_role
        && role.policies.len() > POLICIES
    {
        let message = format!("has {} policies", role.policies.len());
        let advice = format!("AWS takes {POLICIES} for a role");
        problems.add(ProblemKind::Policies, "job_role.policies", message, advice);
    }
}

/// The entry point of awsb's image mounts as root, with privileges.
fn check_mounted(config: &ClusterConfig, shared: &Shared, problems: &mut Problems) {
    if !matches!(shared.source, SharedSource::Mounted { .. }) {
        return;
    }
    let is_root = |user: &Option<crate::User>| user.as_ref().is_some_and(|user| user.to_string() == "root");
    let lacks = |options: &crate::cluster::config::Ec2Options| !options.privileged || !is_root(&options.user);
    let without = config.definitions.iter().find(|d| d.ec2().is_some_and(lacks));
    if let Some(definition) = without {
        problems.add(
            ProblemKind::SharedNeedsPrivileges,
            format!("shared.{}.source", shared.name),
            format!("is mounted in the container, which [definition.{}] does not allow", definition.name),
            "set `privileged = true` and `user = \"root\"` there, and use awsb's image; EFS needs none of this",
        );
    }
}

fn overlap(one: &str, other: &str) -> bool {
    let inside =
        |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    one == other || inside(one, other) || inside(other, one)
}
