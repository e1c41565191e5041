//! From the options and the program to a job.

use std::collections::BTreeMap;

use super::args::{Args, about};
use super::environment;
use super::payload::Invocation;
use super::resolved_options::ResolvedOptions;
use crate::ui::{Failure, print_message};
use awsb_model::directives::{instead_of_variable, read_variables};
use awsb_model::{
    Awaited, Consumption, Dependency, Gpus, JobSpec, Nodes, Program, Resources, Retries, Scheduling, Shape,
    Stdin, TaskLines, Tasks, limits, words,
};

impl Args {
    /// Prints how Batch differs from Slurm and LSF when a task fails or the time is up.
    fn warn_of_differences(&self, spec: &JobSpec) -> Result<(), Failure> {
        if let (Some(signal), None) = (&spec.signal, spec.timeout) {
            let unsent = format!(
                "the script asks for a signal {} before its time limit, and the job has no time limit: the \
                 signal will not be sent",
                words::many(signal.seconds_before, "second")
            );
            if self.strict {
                return Err(Failure::usage(unsent).hint("`-t TIME` sets a time limit"));
            }
            print_message(format!("bsub: warning: {unsent}"));
        }
        Ok(())
    }

    /// Prints the variables of Slurm and LSF that the job reads and will not have.
    fn warn_of_variables(&self, spec: &JobSpec) -> Result<(), Failure> {
        let text = match &spec.program {
            Program::Script { script, .. } if script.is_program() => return Ok(()),
            Program::Script { script, .. } => String::from_utf8_lossy(script.contents()).into_owned(),
            Program::Command(argv) => {
                argv.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join("\n")
            }
        };
        let has_ids = !matches!(&spec.shape, Shape::Array(tasks) if tasks.are_indices());
        for (prefix, whose, line, is_set) in [
            ("SLURM_", "Slurm", "#SBATCH", spec.slurm.is_some()),
            ("LSB_", "LSF", "#BSUB", spec.lsf.is_some()),
        ] {
            let is_given = |name: &String| spec.environment.iter().any(|(given, _)| given.as_str() == name);
            let mut names = read_variables(&text, prefix);
            names.retain(|name| !is_set && !is_given(name));
            if names.is_empty() {
                continue;
            }
            let unset = format!(
                "the job reads {}, which only a script with `{line}` lines has: bsub sets {whose}'s variables \
                 for no other job",
                names.join(", ")
            );
            let ours = names.iter().filter_map(|name| Some((name, instead_of_variable(name, has_ids)?)));
            let ours: Vec<String> = ours.map(|(name, ours)| format!("{ours} instead of {name}")).collect();
            let mut hints: Vec<String> = Vec::new();
            if !ours.is_empty() {
                hints.push(format!("use {}", ours.join(", ")));
            }
            if let Program::Script { .. } = spec.program {
                hints
                    .push(format!("a line such as `{line} -J NAME` in the script's head brings all of them"));
            }
            if self.strict {
                let failure = hints.into_iter().fold(Failure::usage(unset), Failure::hint);
                return Err(failure.hint("without `--strict`, this is a warning"));
            }
            print_message(format!("bsub: warning: {unset}"));
            hints.iter().for_each(|hint| print_message(format!("hint: {hint}")));
        }
        Ok(())
    }

    /// The job that the options and the program describe. All mistakes in the options together are
    /// found here.
    pub(super) fn spec(
        &self,
        options: &ResolvedOptions,
        invocation: Invocation,
        stdin: Stdin,
    ) -> Result<JobSpec, Failure> {
        let Invocation { name, program, directives, .. } = invocation;
        let environment = environment::gather(options, self.quiet)?;
        let lines = self.lines(options)?;
        let shape = shape(options, lines.as_ref())?;
        if let (Some(file), false) = (&options.each, self.quiet)
            && !mentions_line(&program)
        {
            print_message(format!(
                "bsub: note: --each {}: all tasks run the same command, as it has neither `{{}}` in its arguments nor \
                 AWSB_TASK_LINE",
                file.display()
            ));
        }
        if let Some(secret) =
            options.secret.iter().find(|s| environment.iter().any(|(name, _)| *name == s.name))
        {
            return Err(Failure::usage(format!(
                "the variable {} is given twice: by `--env` and by `--secret`",
                secret.name
            )));
        }
        let retries = Retries::new(options.retry_attempts, &options.retry_on).map_err(about("--retry-on"))?;
        let timeout = options.limit().map_err(about("--time"))?;
        let scheduling = scheduling(options)?;
        // A job without another name has that of its script.
        let file = match &program {
            Program::Script { script, .. } => Some(script.file_name().to_owned()),
            Program::Command(_) => None,
        };
        let host = nix::unistd::gethostname().ok().map(|host| host.to_string_lossy().into_owned());
        let spec = JobSpec {
            place: options.place(),
            stdin,
            outputs: options.output_file.clone(),
            environment,
            resources: Resources {
                vcpus: options.vcpus,
                memory: options.memory,
                gpus: options.gpus.map(Gpus::get),
            },
            consumes: consumption(&options.consume),
            shared: options.shared.clone(),
            limit: limit(options, &shape),
            depends_on: waits_for(options, &shape)?,
            lines,
            shape,
            retries,
            timeout,
            scheduling,
            bare: self.bare,
            slurm: directives.slurm,
            lsf: directives.lsf,
            given_name: directives.name.or(file),
            submit_host: host.unwrap_or_else(|| "localhost".to_owned()),
            signal: directives.signal,
            ..JobSpec::new(options.job_name.clone().unwrap_or(name), program)
        };
        self.warn_of_differences(&spec)?;
        self.warn_of_variables(&spec)?;
        Ok(spec)
    }
}

/// One container, or many; `lines` are those of the tasks.
fn shape(options: &ResolvedOptions, lines: Option<&TaskLines>) -> Result<Shape, Failure> {
    let tasks = match (options.array_size, &options.array, lines) {
        (Some(size), _, _) => Some(Tasks::sized(size).map_err(about("--array-size"))?),
        (None, Some(array), _) => Some(Tasks::with_ids(array.ids.clone())),
        (None, None, Some(lines)) => Some(Tasks::with_ids(lines.ids().map_err(about("--each"))?)),
        (None, None, None) => None,
    };
    match (tasks, all_nodes(options)?) {
        (None, None) => Ok(Shape::Single),
        (Some(tasks), None) => Ok(Shape::Array(tasks)),
        (None, Some(nodes)) => Ok(Shape::Nodes(nodes)),
        (Some(_), Some(nodes)) => {
            Err(Failure::usage(format!("--nodes {nodes}: a multi-node parallel job cannot be an array")))
        }
    }
}

/// The number of nodes of a multi-node parallel job, of all its groups together.
fn all_nodes(options: &ResolvedOptions) -> Result<Option<u32>, Failure> {
    let groups = &options.node_group;
    if groups.is_empty() {
        return Ok(options.nodes.and_then(Nodes::parallel));
    }
    if groups.len() >= limits::NODE_RANGES {
        return Err(Failure::usage(format!(
            "--node-group: a job has at most {} groups of nodes with the first, not {}",
            limits::NODE_RANGES,
            groups.len() + 1
        )));
    }
    let first = options.nodes.map_or(1, Nodes::get);
    let all = groups.iter().fold(first, |all, group| all.saturating_add(group.nodes));
    let most = limits::NODES.end();
    if all > *most {
        return Err(Failure::usage(format!("--node-group: a job has at most {most} nodes, not {all}")));
    }
    Ok(Some(all))
}

fn scheduling(options: &ResolvedOptions) -> Result<Scheduling, Failure> {
    let tags: BTreeMap<String, String> =
        options.tag.iter().map(|t| (t.key.clone(), t.value.clone())).collect();
    if tags.len() > limits::TAGS {
        let count = tags.len();
        return Err(Failure::usage(format!(
            "--tag: a job can have at most {} tags, not {count}",
            limits::TAGS
        )));
    }
    Ok(Scheduling {
        priority: options.priority,
        share: options.share.clone(),
        tags,
        propagate_tags: options.propagate_tags,
        parameters: options.param.iter().map(|p| (p.name.clone(), p.value.clone())).collect(),
    })
}

/// The consumable resources of `--consume`. The last place that gives a resource counts.
pub(super) fn consumption(given: &[Consumption]) -> Vec<Consumption> {
    let mut all: Vec<Consumption> = Vec::new();
    for one in given {
        all.retain(|other| other.name() != one.name());
        all.push(one.clone());
    }
    all
}

/// The note about `%N` of `--array`, or about `--array-limit`.
pub(super) fn limit_note(options: &ResolvedOptions, spec: &JobSpec) -> Option<String> {
    let limit = options.running_limit()?;
    let Shape::Array(tasks) = &spec.shape else { return None };
    let (option, value) = match (&options.array_limit, &options.array) {
        (None, Some(array)) => (format!("--array {array}"), format!("%{limit}")),
        _ => (format!("--array-limit {limit}"), "the limit".to_owned()),
    };
    let note = match (spec.limit, tasks.ids().count()) {
        (Some(1), _) => {
            "at most one task runs at the same time; jobs behind it in its queue, or in its share, may \
                         wait as well"
                .to_owned()
        }
        (Some(_), _) => format!(
            "at most {limit} tasks run at the same time; jobs behind it in its queue, or in its share, may wait as well"
        ),
        (None, 1) => format!("there is only one task, so {value} limits nothing"),
        (None, tasks) => format!("there are only {tasks} tasks, so {value} limits nothing"),
    };
    Some(format!("{option}: {note}"))
}

/// The number of tasks that may run at the same time, if that is less than all of them.
fn limit(options: &ResolvedOptions, shape: &Shape) -> Option<u32> {
    let Shape::Array(tasks) = shape else { return None };
    options.running_limit().filter(|limit| *limit < tasks.ids().count())
}

/// The jobs that the job waits for, as the user names them.
fn waits_for(options: &ResolvedOptions, shape: &Shape) -> Result<Vec<Dependency<Awaited>>, Failure> {
    let list: Vec<_> = options.depends_on.iter().flat_map(|arg| arg.0.clone()).collect();
    awsb_model::validate_for(list, shape).map_err(about("--depends-on"))
}

/// Whether the program may use the line of its task. Only a command is checked, because a script
/// can leave the line to a program that it calls.
fn mentions_line(program: &Program) -> bool {
    let Program::Command(argv) = program else { return true };
    argv.iter().any(|arg| {
        let arg = arg.to_string_lossy();
        arg.contains("{}") || arg.contains("AWSB_") || arg.contains("AWS_BATCH_")
    })
}
