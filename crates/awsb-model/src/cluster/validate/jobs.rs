//! Checks of queues, job definitions and images that need no facts.

use super::problem::{ProblemKind, Problems};
use crate::cluster::config::{
    Architecture, Capacity, ClusterConfig, Definition, DefinitionImage, DefinitionKind, Ec2, Environment,
    FairShare, InstanceTypeName, Project, Purchase, Queue, Repository,
};
use crate::fargate::FargateSize;

/// Environments of a queue (Batch API, CreateJobQueue, `computeEnvironmentOrder`).
const ENVIRONMENTS: usize = 3;

/// Checks the queues, the job definitions and the images.
pub(super) fn check(config: &ClusterConfig, problems: &mut Problems) {
    for queue in &config.queues {
        check_queue(config, queue, problems);
    }
    for definition in &config.definitions {
        check_definition(config, definition, problems);
    }
    check_default(config, problems);
    check_architectures(config, problems);
    if matches!(config.images.project, Project::New(_)) && config.images.repository == Repository::None {
        let message = "is set, and there is no repository to push images to";
        let advice = "leave `images.repository` out, or set `images.project = false`";
        problems.add(ProblemKind::ProjectWithoutRepository, "images.project", message, advice);
    }
}

fn check_queue(config: &ClusterConfig, queue: &Queue, problems: &mut Problems) {
    let Some(made) = queue.made() else { return };
    let key = format!("queue.{}.environments", queue.name);
    let mut names = made.environments.clone();
    names.sort();
    names.dedup();
    if names.len() < made.environments.len() {
        let message = "names an environment twice";
        problems.add(ProblemKind::QueueEnvironments, key.clone(), message, "name each environment once");
    }
    if made.environments.len() > ENVIRONMENTS {
        let message = format!("has {} environments", made.environments.len());
        let advice = format!("Batch takes at most {ENVIRONMENTS} for a queue");
        problems.add(ProblemKind::QueueEnvironments, key.clone(), message, advice);
    }
    let environments: Vec<&Environment> = config.environments_of(queue).collect();
    let ec2 = environments.iter().find(|e| e.ec2().is_some());
    let fargate = environments.iter().find(|e| e.ec2().is_none());
    if let (Some(ec2), Some(fargate)) = (ec2, fargate) {
        let message = format!("has two platforms: `{}` is EC2, and `{}` is Fargate", ec2.name, fargate.name);
        let advice = "make a queue for each platform";
        problems.add(ProblemKind::TwoPlatforms, key.clone(), message, advice);
    }
    let of = |wanted: Architecture| {
        environments.iter().find(|e| e.ec2().is_some_and(|ec2| ec2.architecture() == wanted))
    };
    if let (Some(x86), Some(arm)) = (of(Architecture::X86), of(Architecture::Arm)) {
        let message = format!("has two architectures: `{}` is x86_64, and `{}` is arm64", x86.name, arm.name);
        let advice = "make a queue for each architecture";
        problems.add(ProblemKind::TwoArchitectures, key, message, advice);
    }
    if let Some(share) = &made.fair_share {
        check_shares(queue, share, problems);
    }
}

/// The identifiers of shares must not overlap (Batch API, `ShareAttributes`).
fn check_shares(queue: &Queue, share: &FairShare, problems: &mut Problems) {
    let names: Vec<&str> = share.weights.iter().map(|(name, _)| name.as_str()).collect();
    for (index, name) in names.iter().enumerate() {
        let Some(prefix) = name.strip_suffix('*') else { continue };
        let other = names.iter().enumerate().find(|(at, other)| *at != index && other.starts_with(prefix));
        if let Some((_, other)) = other {
            let key = format!("queue.{}.fair_share.weights", queue.name);
            let message = format!("has two shares that overlap: {name} and {other}");
            problems.add(ProblemKind::Shares, key, message, "leave one of them out");
            return;
        }
    }
}

fn instances(config: &ClusterConfig) -> impl Iterator<Item = &Ec2> {
    config.environments.iter().filter_map(Environment::ec2)
}

fn check_definition(config: &ClusterConfig, definition: &Definition, problems: &mut Problems) {
    let key = |key: &str| format!("definition.{}.{key}", definition.name);
    if let (DefinitionImage::Own(tag), Repository::None) = (&definition.image, &config.images.repository) {
        let message = format!("is `:{tag}`, and the cluster has no repository");
        let advice = "leave `images.repository` out, or name an image of another registry";
        problems.add(ProblemKind::NoRepository, key("image"), message, advice);
    }
    match &definition.kind {
        DefinitionKind::Fargate(_) => {
            let size = FargateSize { vcpus: definition.vcpus.count(), memory_mib: definition.memory.mib() };
            if let Err(why) = size.check() {
                let message = format!("and `memory` make a size that Fargate does not have: {}", why.asked);
                let advice = format!("the nearest that is large enough is {}", why.nearest);
                problems.add(ProblemKind::JobSize, key("vcpus"), message, advice);
            }
        }
        DefinitionKind::Container(options) | DefinitionKind::Multinode { options, .. } => {
            if definition.vcpus.count() < 1.0 {
                let message = format!("is {}, and instances have whole vCPUs", definition.vcpus);
                let advice = "take a whole number, or `type = \"fargate\"`";
                problems.add(ProblemKind::JobSize, key("vcpus"), message, advice);
            }
            let has_gpus =
                || instances(config).flat_map(|e| &e.instance_types).any(InstanceTypeName::has_nvidia_gpus);
            if options.gpus.is_some() && !config.environments.is_empty() && !has_gpus() {
                let message = "is set, and no environment has instance types with GPUs";
                let advice = "add an environment such as `instance_types = [\"g6\"]`, or leave it out";
                problems.add(ProblemKind::NoGpus, key("gpus"), message, advice);
            }
        }
    }
    // UG `mnp-ce`: not on Spot and not on Fargate.
    let has_place = || {
        let runs_nodes = |e: &&Environment| e.ec2().is_some_and(|ec2| ec2.purchase == Purchase::OnDemand);
        let made = config.queues.iter().filter(|queue| queue.made().is_some());
        made.flat_map(|queue| config.environments_of(queue)).any(|e| runs_nodes(&e))
            || config.queues.iter().any(|queue| queue.made().is_none())
    };
    if matches!(definition.kind, DefinitionKind::Multinode { .. }) && !has_place() {
        let message = "is `multinode`, and no queue has an on-demand environment of EC2";
        let advice = "add an environment with `type = \"on-demand\"` and a queue with it: multi-node jobs do not \
                      run on Spot or Fargate";
        problems.add(ProblemKind::NoPlaceForNodes, key("type"), message, advice);
    }
}

/// The default definition has to run in the default queue.
fn check_default(config: &ClusterConfig, problems: &mut Problems) {
    let default = config.definitions.iter().find(|d| d.name == config.default_definition);
    let (Some(definition), Some(queue)) = (default, config.queue()) else { return };
    let key = "default_definition";
    if matches!(definition.kind, DefinitionKind::Multinode { .. }) {
        let message = format!("is `{}`, which is for multi-node jobs", definition.name);
        let advice = "name one of the type `container` or `fargate`";
        problems.add(ProblemKind::DefinitionDoesNotFitQueue, key, message, advice);
        return;
    }
    let environments: Vec<&Environment> = config.environments_of(queue).collect();
    let Some(first) = environments.first() else { return };
    let is_fargate = matches!(first.capacity, Capacity::Fargate { .. });
    if is_fargate != definition.is_on_fargate() {
        let (of, other) = if is_fargate { ("Fargate", "EC2") } else { ("EC2", "Fargate") };
        let message = format!(
            "is `{}`, which is for {other}, and the default queue `{}` is on {of}",
            definition.name, queue.name
        );
        let advice = "name a job definition and a queue of the same platform";
        problems.add(ProblemKind::DefinitionDoesNotFitQueue, key, message, advice);
        return;
    }
    let most = environments.iter().map(|e| e.max_vcpus).max().unwrap_or(0);
    if definition.vcpus.count() > f64::from(most) {
        let message =
            format!("is {}, and the environments of the default queue have at most {most}", definition.vcpus);
        let key = format!("definition.{}.vcpus", definition.name);
        problems.add(ProblemKind::JobSize, key, message, "make `max` larger, or the job smaller");
    }
}

/// An image of the cluster's own repository is for one architecture.
fn check_architectures(config: &ClusterConfig, problems: &mut Problems) {
    let of = |wanted: Architecture| instances(config).any(|ec2| ec2.architecture() == wanted);
    let own: Vec<&Definition> = config
        .definitions
        .iter()
        .filter(|d| matches!(d.kind, DefinitionKind::Container(_)))
        .filter(|d| matches!(d.image, DefinitionImage::Own(_)))
        .collect();
    if let ([only], true) = (own.as_slice(), of(Architecture::X86) && of(Architecture::Arm)) {
        let message = "is of the cluster's repository, and the environments have two architectures";
        let advice = "make a job definition with an image for each architecture";
        problems.add(
            ProblemKind::TwoArchitectures,
            format!("definition.{}.image", only.name),
            message,
            advice,
        );
    }
}
