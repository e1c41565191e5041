//! The platform of a job queue's machines, as far as the names of instance types show it.

use crate::aws::Session;
use crate::batch::{ComputeEnvironment, environments_of, find_queue};
use crate::ui::Failure;
use awsb_model::image::Platform;

/// The platform of all machines of a queue. `None`: they differ, it cannot be determined, or this
/// user may not read it.
///
/// # Errors
/// When Batch cannot be asked.
pub async fn of_queue(session: &Session, name: &str) -> Result<Option<Platform>, Failure> {
    let asked = async {
        let Some(queue) = find_queue(session, name).await? else { return Ok(Vec::new()) };
        environments_of(session, std::slice::from_ref(&queue)).await
    };
    match asked.await {
        Ok(environments) => Ok(common(&environments)),
        Err(failure) if failure.is_recoverable() => Err(failure),
        Err(_) => Ok(None),
    }
}

fn common(environments: &[ComputeEnvironment]) -> Option<Platform> {
    let mut all = Vec::new();
    for environment in environments {
        let resources = environment.compute_resources.as_ref()?;
        // On Fargate, the job definition decides.
        if resources.kind.as_deref().is_none_or(|kind| kind.starts_with("FARGATE")) {
            return None;
        }
        all.extend(resources.instance_types.iter().map(|name| of_type(name)));
    }
    let first = all.first().copied().flatten()?;
    all.iter().all(|platform| *platform == Some(first)).then_some(first)
}

/// The platform of an instance type, a family, or one of Batch's names for several (Batch API,
/// `ComputeResource`, `instanceTypes`). After the generation of a family, a `g` comes first if its
/// processors are Graviton's (EC2 User Guide, "Instance type naming conventions"). The family `a1`
/// is older than that rule.
fn of_type(name: &str) -> Option<Platform> {
    match name {
        "optimal" | "default_x86_64" => return Some(Platform::Amd64),
        "default_arm64" => return Some(Platform::Arm64),
        _ => {}
    }
    let family = name.split(['.', '-']).next()?;
    let generation = family.find(|c: char| c.is_ascii_digit())?;
    let options = family.get(generation..)?.trim_start_matches(|c: char| c.is_ascii_digit());
    match options.starts_with('g') || family == "a1" {
        true => Some(Platform::Arm64),
        false => Some(Platform::Amd64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_their_processors() {
        for name in [
            "c7g.large",
            "m6gd",
            "c6gn.16xlarge",
            "t4g",
            "im4gn",
            "is4gen",
            "g5g.metal",
            "a1",
            "hpc7g",
            "default_arm64",
        ] {
            assert_eq!(of_type(name), Some(Platform::Arm64), "{name}");
        }
        for name in [
            "optimal",
            "c5.large",
            "g4dn",
            "g6e.xlarge",
            "m5zn",
            "gr6",
            "p5en",
            "u7i-6tb",
            "inf2",
            "hpc7a",
            "default_x86_64",
        ] {
            assert_eq!(of_type(name), Some(Platform::Amd64), "{name}");
        }
        assert_eq!(of_type("strange"), None);
    }
}
