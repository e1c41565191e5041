//! `--rerun`: submits a job again with its bundle and its settings, as Batch has them, changed by
//! the given options.

use std::collections::BTreeSet;

use super::args::about;
use super::resolved_options::ResolvedOptions;
use super::{consumables, spec};
use crate::aws::Session;
use crate::batch::definition::{self, DefinitionRequest, JobDefinitionRef};
use crate::batch::{self, Resubmission};
use crate::cli::submitter;
use crate::stage;
use crate::ui::{Failure, print_message};
use awsb_model::payload::launcher::{self, Prelude};
use awsb_model::request::{
    ArrayProperties, JobTimeout, KeyValue, Overrides, ResourceRequirement, SubmitRequest,
};
use awsb_model::{
    Consumption, ContainerChanges, EnvVars, Image, Invalid, JobId, Retries, RunningLimit, Status,
    SubmissionId, TaskIds, Tasks, WorkDir, limits, object_url,
};

/// The requests that submit these jobs again, with these variables added; with `only_failed`, only
/// their failed tasks, which may be none.
///
/// # Errors
/// When a job is unknown, its bundle is gone, or an option cannot be applied to it.
pub async fn requests(
    session: &Session,
    ids: &[JobId],
    only_failed: bool,
    options: &ResolvedOptions,
    environment: &EnvVars,
) -> Result<Vec<SubmitRequest>, Failure> {
    let mut requests = Vec::new();
    let jobs = batch::resubmissions(session, ids).await?;
    for note in jobs.iter().filter_map(|job| job.note.as_ref()).collect::<BTreeSet<_>>() {
        print_message(format!("bsub: note: {note}"));
    }
    for job in jobs {
        bundle_is_there(session, &job).await?;
        let parts = if only_failed { failed_parts(session, &job).await? } else { vec![job.child.clone()] };
        for part in parts {
            requests.extend(of_part(session, &job, part.as_ref(), options, environment)?);
        }
    }
    limit(&mut requests);
    Ok(requests)
}

/// Gives the limited arrays among the requests a new limit, for all of them together: they were the
/// parts of one array, or one job after the other.
fn limit(requests: &mut [SubmitRequest]) {
    let value = |request: &SubmitRequest| request.variable(RunningLimit::VARIABLE)?.parse::<u32>().ok();
    let limited: Vec<&SubmitRequest> = requests.iter().filter(|r| value(r).is_some()).collect();
    let Some((first, parts)) = limited.first().map(|first| (*first, limited.len())) else { return };
    let Some((mark, quantity)) = first.mark().zip(value(first)) else { return };
    let limit = RunningLimit::of_mark(&mark, quantity, parts);
    requests.iter_mut().filter(|r| value(r).is_some()).for_each(|request| request.set_limit(&limit));
}

/// The requests for a part of a job: one, or several if the list of its tasks is too long for one
/// request.
fn of_part(
    session: &Session,
    job: &Resubmission,
    part: Option<&Tasks>,
    options: &ResolvedOptions,
    environment: &EnvVars,
) -> Result<Vec<SubmitRequest>, Failure> {
    let mut request = job.request.clone();
    if let (Some(part), Some(all)) = (part, &job.tasks) {
        take_part(session, &mut request, part, all);
    }
    apply_options(&mut request, options, environment)?;
    if let Some(submitter) = submitter() {
        request.submitted_by(&submitter);
    }
    let others = request.other_containers().map(|other| other.overrides.length());
    let length = request.overrides().map_or(0, Overrides::length) + others.sum::<usize>();
    if let Some(part) = part.filter(|p| length > stage::OVERRIDES_BUDGET && p.ids().count() > 1) {
        let halves = part.ids().chunks(part.ids().count().div_ceil(2));
        let half = |ids| of_part(session, job, Some(&part.only(ids)), options, environment);
        let halves = halves.into_iter().map(half);
        return Ok(halves.collect::<Result<Vec<_>, _>>()?.concat());
    }
    // Settings that just fitted the first time may not fit now.
    let limit = limits::OVERRIDES_LENGTH;
    if length > limit {
        return Err(Failure::usage(format!(
            "the settings of the job {} would be {length} characters long, and Batch accepts at most {limit}",
            job.id
        ))
        .hint("submit the script again instead of using --rerun"));
    }
    Ok(vec![request.marked(&SubmissionId::random())])
}

/// The job definitions for an image, each derived from one of the jobs: from its name to what was
/// found. Nothing is registered.
///
/// # Errors
/// When a job definition is gone or cannot have an image.
pub async fn inspect_definitions(
    session: &Session,
    requests: &[SubmitRequest],
    image: Option<Image>,
) -> Result<Vec<(String, JobDefinitionRef)>, Failure> {
    let mut derived: Vec<(String, JobDefinitionRef)> = Vec::new();
    if image.is_none() {
        return Ok(derived);
    }
    let changes = ContainerChanges { image, ..ContainerChanges::default() };
    for request in requests {
        if derived.iter().any(|(base, _)| *base == request.job_definition) {
            continue;
        }
        let wanted = DefinitionRequest {
            queue: &request.job_queue,
            definition: Some(&request.job_definition),
            changes: &changes,
            nodes: None,
            groups: &[],
            container: request.main_container().and_then(|container| container.name.as_deref()),
            vcpus: None,
            memory: None,
            gpus: None,
            consumes: false,
            reads_anyway: false,
        };
        let found = definition::inspect_definition(session, &wanted).await?;
        derived.push((request.job_definition.clone(), found.definition));
    }
    Ok(derived)
}

/// The requests with the derived job definitions in place of those that the jobs had.
pub fn with_definitions(requests: Vec<SubmitRequest>, derived: &[(String, String)]) -> Vec<SubmitRequest> {
    let with_definition = |request: SubmitRequest| {
        let found = derived.iter().find(|(base, _)| *base == request.job_definition);
        let job_definition = found.map(|(_, name)| name.clone());
        SubmitRequest { job_definition: job_definition.unwrap_or(request.job_definition), ..request }
    };
    requests.into_iter().map(with_definition).collect()
}

/// Fails if the bundle of the job has been removed from the bucket since.
async fn bundle_is_there(session: &Session, job: &Resubmission) -> Result<(), Failure> {
    for name in [launcher::BUNDLE_VARIABLE, launcher::INPUTS_VARIABLE] {
        let url = job.request.variable(name).and_then(|v| v.strip_prefix("s3://"));
        let Some((bucket, key)) = url.and_then(|url| url.split_once('/')) else { continue };
        let head = session.s3.head_object().bucket(bucket).key(key).send().await;
        let status = head.as_ref().err().and_then(|e| e.raw_response()).map(|r| r.status().as_u16());
        // S3 answers 403 to a user who may not look. Then the job finds out itself.
        if status == Some(404) {
            return Err(Failure::failed(format!(
                "submitting the job {} again: its files are no longer at s3://{bucket}/{key}",
                job.id
            ))
            .hint("submit the script again"));
        }
    }
    Ok(())
}

/// The tasks that have failed, as the parts of an array. A single job is its only part.
async fn failed_parts(session: &Session, job: &Resubmission) -> Result<Vec<Option<Tasks>>, Failure> {
    let (Some(tasks), Some(_), None) = (&job.tasks, job.request.array_properties, &job.child) else {
        let has_failed = job.status == Status::Failed;
        return Ok(if has_failed { vec![job.child.clone()] } else { Vec::new() });
    };
    if !job.status.has_ended() {
        print_message(format!(
            "bsub: note: the job {} is still running: tasks that fail from now on are not submitted again",
            job.id
        ));
    }
    let failed = batch::children(session, &job.id, &[Status::Failed]).await?;
    let indices = failed.iter().filter_map(|child| child.id().array_index());
    let ids: Vec<u32> = indices.filter_map(|index| tasks.ids().get(index)).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let wrong = |e: Invalid| Failure::failed(format!("the failed tasks of the job {}: {e}", job.id));
    Ok(tasks.only(TaskIds::from_ids(ids).map_err(wrong)?).parts().into_iter().map(Some).collect())
}

/// Turns the request of an array into the request for a part of its tasks. The tasks keep their
/// IDs.
fn take_part(session: &Session, request: &mut SubmitRequest, part: &Tasks, all: &Tasks) {
    let count = part.ids().count();
    request.array_properties = (count > 1).then_some(ArrayProperties { size: count });
    let cluster = &session.cluster;
    let outputs = object_url(&cluster.bucket, &cluster.prefix, "outputs");
    for overrides in request.overrides_mut() {
        if launcher::without_launcher(&overrides.command).len() == overrides.command.len() {
            // The command had no launcher, which finds out the ID of its task.
            let prelude = Prelude { outputs: &outputs, has_tasks: true, place: &WorkDir::Own };
            let text = launcher::for_command(prelude).to_string_lossy().into_owned();
            overrides.command = launcher::command(text, std::mem::take(&mut overrides.command));
        }
        let known: BTreeSet<String> = overrides.environment.iter().map(|v| v.name.clone()).collect();
        for variable in stage::task_variables(part, all) {
            if variable.name == launcher::TASKS_VARIABLE || !known.contains(&variable.name) {
                set(&mut overrides.environment, variable);
            }
        }
    }
}

/// Applies the options of the command line to the request of the job.
fn apply_options(
    request: &mut SubmitRequest,
    options: &ResolvedOptions,
    variables: &EnvVars,
) -> Result<(), Failure> {
    if let Some(name) = &options.job_name {
        request.job_name = name.to_string();
    }
    if let Some(queue) = &options.queue {
        request.job_queue.clone_from(queue);
    }
    if let Some(definition) = &options.job_definition {
        request.job_definition.clone_from(definition);
    }
    if let Some(share) = &options.share {
        request.share_identifier = Some(share.as_str().to_owned());
    }
    if let Some(priority) = options.priority {
        request.scheduling_priority_override = Some(priority.get());
    }
    if let Some(limit) = options.limit().map_err(about("--time"))? {
        request.timeout = Some(JobTimeout { attempt_duration_seconds: limit.seconds() });
    }
    let retries = Retries::new(options.retry_attempts, &options.retry_on).map_err(about("--retry-on"))?;
    request.retry_strategy = retries.strategy().or_else(|| request.retry_strategy.clone());
    if !options.consume.is_empty() {
        let given = spec::consumption(&options.consume);
        let old = request.consumable_resource_properties_override.take().unwrap_or_default();
        let old = old.consumable_resource_list.into_iter();
        let kept = old.map(|of| Consumption { resource: of.consumable_resource, quantity: of.quantity });
        let kept = kept.filter(|old| given.iter().all(|given| given.name() != old.name()));
        let all: Vec<Consumption> = kept.chain(given.iter().cloned()).collect();
        consumables::check_count(&all, request.variable(RunningLimit::VARIABLE).is_some())?;
        request.set_consumption(&all);
    }
    request.propagate_tags = options.propagate_tags.then_some(true).or(request.propagate_tags);
    request.tags.extend(options.tag.iter().map(|t| (t.key.clone(), t.value.clone())));
    request.parameters.extend(options.param.iter().map(|p| (p.name.clone(), p.value.clone())));
    let resources = [
        ("VCPU", options.vcpus.map(|v| v.to_string())),
        ("MEMORY", options.memory.map(|m| m.to_string())),
        ("GPU", options.gpus.as_ref().map(ToString::to_string)),
    ];
    for overrides in request.overrides_mut() {
        let names = overrides.environment.iter().map(|v| v.name.as_str());
        if launcher::is_packed(&overrides.command, names) && variables.iter().next().is_some() {
            return Err(Failure::usage(
                "--env: this job's variables are in its bundle, which --rerun does not change",
            )
            .hint("to change them, submit the script again"));
        }
        for (kind, value) in &resources {
            let Some(value) = value.clone() else { continue };
            overrides.resource_requirements.retain(|r| r.kind != *kind);
            overrides.resource_requirements.push(ResourceRequirement { kind, value });
        }
        if let Some(known) = overrides.environment.iter_mut().find(|v| v.name == launcher::VCPUS_VARIABLE)
            && let Some(vcpus) = options.vcpus
        {
            known.value = vcpus.to_string();
        }
        for (name, value) in variables.iter() {
            let Some(value) = value.to_str() else {
                let why = "is not UTF-8, which only a bundle can hold";
                return Err(Failure::usage(format!("--env: the value of {name} {why}"))
                    .hint("to set it, submit the script again"));
            };
            set(&mut overrides.environment, KeyValue::new(name.as_str(), value));
        }
    }
    Ok(())
}

fn set(environment: &mut Vec<KeyValue>, variable: KeyValue) {
    match environment.iter_mut().find(|v| v.name == variable.name) {
        Some(known) => *known = variable,
        None => environment.push(variable),
    }
}
