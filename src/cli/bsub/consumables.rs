//! The consumable resources of a job: those of its job definition, those of `--consume`, and the
//! limit on the running tasks of an array.

use futures_util::StreamExt;
use futures_util::stream;
use sha2::{Digest, Sha256};

use crate::aws::Session;
use crate::batch::consumables::{self, ConsumableResource};
use crate::config::Cluster;
use crate::stage::Plan;
use crate::ui::{Failure, print_message};
use awsb_model::request::SubmitRequest;
use awsb_model::{
    Consumption, JobSpec, OnceKey, Program, RunningLimit, SubmissionId, consumable_name, limits,
};

/// At most this many calls run at the same time.
const CALLS_AT_ONCE: usize = 5;

/// Whether the job takes resources besides those of its job definition.
pub fn takes_any(spec: &JobSpec) -> bool {
    !spec.consumes.is_empty() || !spec.shared.is_empty() || spec.limit.is_some()
}

/// Warns of resources that the nodes take together, and that cannot be divided among them; with
/// `strict` that is an error.
///
/// # Errors
/// When there is one, with `strict`.
pub fn warn_of_uneven(spec: &JobSpec, nodes: u32, strict: bool) -> Result<(), Failure> {
    let Program::Script { script, .. } = &spec.program else { return Ok(()) };
    for remark in spec.shared.iter().filter_map(|shared| shared.uneven(nodes)) {
        let remark = format!("{}, {remark}", script.file_name());
        if strict {
            return Err(Failure::usage(remark).hint("without `--strict`, this is a warning"));
        }
        print_message(format!("bsub: warning: {remark}"));
    }
    Ok(())
}

/// All resources that each of these `nodes` takes, in place of those of the job definition; none if
/// the job has only those. An override replaces the whole list of the job definition (API
/// `SubmitJob`), so it has to contain that.
///
/// # Errors
/// When they are more than a job can have.
pub fn all_of(
    spec: &JobSpec,
    nodes: u32,
    of_definition: &[(String, i64)],
) -> Result<Vec<Consumption>, Failure> {
    if !takes_any(spec) {
        return Ok(Vec::new());
    }
    let shared = spec.shared.iter().map(|shared| shared.of_each(nodes));
    let given: Vec<Consumption> = spec.consumes.iter().cloned().chain(shared).collect();
    let kept = of_definition
        .iter()
        .filter(|(resource, _)| given.iter().all(|given| given.name() != consumable_name(resource)));
    let kept = kept.map(|(resource, quantity)| Consumption {
        resource: resource.clone(),
        quantity: u64::try_from(*quantity).unwrap_or(0).max(1),
    });
    let all: Vec<Consumption> = kept.chain(given.iter().cloned()).collect();
    check_count(&all, spec.limit.is_some())?;
    Ok(all)
}

/// Fails if a job has more resources than Batch accepts.
pub fn check_count(all: &[Consumption], is_limited: bool) -> Result<(), Failure> {
    let count = all.len() + usize::from(is_limited);
    if count <= limits::CONSUMABLE_RESOURCES {
        return Ok(());
    }
    let mut names: Vec<&str> = all.iter().map(Consumption::name).collect();
    names.extend(is_limited.then_some("the limit of --array (%N)"));
    Err(Failure::usage(format!(
        "a job takes at most {} consumable resources, and this one would take {count}: {}",
        limits::CONSUMABLE_RESOURCES,
        names.join(", ")
    ))
    .hint("those of the job definition count as well"))
}

/// The ID of the limit of an array that is submitted with a key: all who submit with this key have
/// the same.
pub fn limit_id(cluster: &Cluster, key: &OnceKey, limit: u32) -> SubmissionId {
    let mut hash = Sha256::new();
    for part in [cluster.bucket.as_str(), &cluster.prefix, key.as_str(), &limit.to_string()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    SubmissionId::recorded(uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string())
}

/// A resource that a job takes, by its name or ARN, and how much of it.
type Taken<'a> = (&'a str, u64);

/// The resources that a job takes: those of the request, or else those of the job definition. The
/// limit of an array is none of them.
fn taken<'a>(request: &'a SubmitRequest, of_definition: &'a [(String, i64)]) -> Vec<Taken<'a>> {
    let given = request.consumable_resource_properties_override.as_ref();
    let all: Vec<Taken<'a>> = match given {
        Some(given) => {
            let list = given.consumable_resource_list.iter();
            list.map(|of| (of.consumable_resource.as_str(), of.quantity)).collect()
        }
        None => {
            let quantity = |n: i64| u64::try_from(n).unwrap_or(0).max(1);
            of_definition.iter().map(|(resource, n)| (resource.as_str(), quantity(*n))).collect()
        }
    };
    all.into_iter().filter(|(resource, _)| !RunningLimit::is_one(resource)).collect()
}

/// Fails if a resource that the job takes does not exist; warns of one of which there is less than
/// the job takes, which with `strict` is an error. `of_definition` are the resources of the job
/// definition, as far as that was read. A user who can submit jobs may have no permission to look,
/// which is not an error.
///
/// # Errors
/// When a resource does not exist.
pub async fn check(
    session: &Session,
    plan: &Plan,
    of_definition: &[(String, i64)],
    strict: bool,
    quiet: bool,
) -> Result<(), Failure> {
    // All parts of a job take the same.
    let Some(request) = plan.requests.first() else { return Ok(()) };
    // Each node takes the quantity, and all nodes of a job start together.
    let nodes = request.node_overrides.as_ref().map_or(1, |all| all.num_nodes);
    let looks = taken(request, of_definition).into_iter();
    let looks =
        looks.map(|(resource, n)| async move { (resource, n, consumables::find(session, resource).await) });
    let looks: Vec<_> = stream::iter(looks).buffered(CALLS_AT_ONCE).collect().await;
    for (resource, quantity, look) in looks {
        let name = consumable_name(resource);
        let Ok(found) = look else { continue };
        let Some(ConsumableResource { total_quantity, .. }) = found else {
            let failure = Failure::usage(format!(
                "there is no consumable resource {name} ({}), so the job would never run",
                session.describe()
            ));
            let failure = match request.consumable_resource_properties_override {
                None => failure.hint(format!("the job definition {} takes it", request.job_definition)),
                Some(_) => failure,
            };
            return Err(failure
                .hint("`bqueues --resources` lists those of this account and region")
                .hint(session.advice(&format!(
                "`aws batch create-consumable-resource --consumable-resource-name {name} --total-quantity N` \
                     makes one, for all users of the account"
            ))));
        };
        let total = total_quantity.and_then(|n| u64::try_from(n).ok());
        let needed = quantity.saturating_mul(u64::from(nodes));
        let Some(total) = total.filter(|total| *total < needed && (strict || !quiet)) else { continue };
        let each = match nodes {
            1 => String::new(),
            n => format!(" ({quantity} for each of its {n} nodes)"),
        };
        let message = format!(
            "the job takes {needed} of the consumable resource {name}{each}, of which there are {total}: it \
             waits until there are more, and the jobs behind it in its queue may wait as well"
        );
        if strict {
            let failure = Failure::usage(message).hint("`bqueues --resources` shows how much there is");
            return Err(failure.hint("without `--strict`, this is a warning"));
        }
        print_message(format!("bsub: warning: {message}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use awsb_model::{Directives, JobName};

    fn spec(consumes: &[&str], limit: Option<u32>) -> JobSpec {
        let consumes = consumes.iter().filter_map(|text| text.parse().ok()).collect();
        let program = Program::Command(vec!["true".into()]);
        JobSpec { consumes, limit, ..JobSpec::new(JobName::cleaned("j"), program) }
    }

    fn all(spec: &JobSpec, of_definition: &[(&str, i64)]) -> Result<Vec<String>, String> {
        let of: Vec<(String, i64)> = of_definition.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        let all = all_of(spec, 2, &of).map_err(|failure| failure.to_string())?;
        Ok(all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_list_of_the_job_definition_is_kept_and_changed_by_name() {
        let of_definition = [("a", 1), ("arn:aws:batch:r:1:consumable-resource/b", 2)];
        assert_eq!(all(&spec(&[], None), &of_definition), Ok(Vec::new()));
        assert_eq!(
            all(&spec(&["c", "b=5"], None), &of_definition),
            Ok(vec!["a=1".into(), "c=1".into(), "b=5".into()])
        );
        assert_eq!(all(&spec(&[], Some(2)), &of_definition).map(|all| all.len()), Ok(2));
        // Those of the whole job are divided among the nodes.
        let shared = Directives::read(b"#SBATCH -L b:5\n").shared;
        let spec = JobSpec { shared, ..spec(&["c"], None) };
        assert_eq!(all(&spec, &of_definition), Ok(vec!["a=1".into(), "c=1".into(), "b=3".into()]));
    }

    #[test]
    fn five_are_the_most_with_the_limit() {
        let five = ["a", "b", "c", "d", "e"];
        assert!(all(&spec(&five, None), &[]).is_ok());
        assert!(all(&spec(&five[..4], Some(2)), &[]).is_ok());
        for (consumes, limit, of_definition) in [
            (&five[..], Some(2), &[][..]),
            (&five[..], None, &[("f", 1)][..]),
            (&five[..4], Some(2), &[("f", 1)][..]),
        ] {
            assert!(all(&spec(consumes, limit), of_definition).is_err());
        }
    }
}
