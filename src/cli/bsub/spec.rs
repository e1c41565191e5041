//! From options to a job.

use super::options::Options;
use super::work::What;
use super::{Args, about, environment};
use crate::ui::{Failure, note};
use awsb_model::directives::{instead_of_variable, read_variables};
use awsb_model::{
    EnvArg, Gpus, JobSpec, Nodes, Resources, Retries, Scheduling, Shape, Tasks, Work, limits, words,
};

impl Args {
    /// Who does not wait cannot be interrupted. As a default of the settings it is for those who do.
    pub(super) fn check_waiter(&self, options: &Options) -> Result<(), Failure> {
        if self.options.kill_on_interrupt && !options.ends_with_waiter() {
            return Err(Failure::usage("--kill-on-interrupt needs --wait (-K) or --interactive (-I)"));
        }
        Ok(())
    }

    /// Says what Batch does in another way than Slurm and LSF when a task fails or the time is up.
    fn tell_of_the_end(&self, options: &Options, spec: &JobSpec) -> Result<(), Failure> {
        if let Some(array) = options.array.as_ref().filter(|array| array.one_at_a_time && !self.quiet) {
            note(format!(
                "bsub: note: --array {array}: the tasks run one after the other, and when one fails, Batch \
                 does not run those after it"
            ));
        }
        if let (Some(signal), None) = (&spec.signal, spec.timeout) {
            let unsent = format!(
                "the script asks for a signal {} before its time limit, and the job has no time limit: the \
                 signal will not be sent",
                words::many(signal.seconds_before, "second")
            );
            if self.strict {
                return Err(Failure::usage(unsent).hint("`-t TIME` sets a time limit"));
            }
            note(format!("bsub: warning: {unsent}"));
        }
        Ok(())
    }

    /// Says which of Slurm's and LSF's variables a job reads that it will not have.
    fn tell_of_variables(&self, spec: &JobSpec) -> Result<(), Failure> {
        let text = match &spec.work {
            Work::Script { script, .. } if script.is_program() => return Ok(()),
            Work::Script { script, .. } => String::from_utf8_lossy(script.contents()).into_owned(),
            Work::Command(argv) => {
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
            if let Work::Script { .. } = spec.work {
                hints
                    .push(format!("a line such as `{line} -J NAME` in the script's head brings all of them"));
            }
            if self.strict {
                let failure = hints.into_iter().fold(Failure::usage(unset), Failure::hint);
                return Err(failure.hint("without `--strict`, this is a warning"));
            }
            note(format!("bsub: warning: {unset}"));
            hints.iter().for_each(|hint| note(format!("hint: {hint}")));
        }
        Ok(())
    }

    /// The job that is asked for. All that can be wrong with the options together is found here.
    pub(super) fn spec(&self, options: &Options, what: What) -> Result<JobSpec, Failure> {
        if !self.options.env_exclude.is_empty() && !options.env.contains(&EnvArg::All) {
            let patterns = self.options.env_exclude.join(",");
            return Err(Failure::usage(format!(
                "--env-exclude {patterns} needs `-e all`: it leaves variables out of it"
            )));
        }
        self.check_waiter(options)?;
        if options.commands.is_some() && self.options.commands.is_none() {
            return Err(Failure::usage(
                "--commands cannot be used with a script or a command: its file has the commands",
            ));
        }
        let mut spec = JobSpec::new(options.job_name.clone().unwrap_or(what.name), what.work);
        spec.place = options.place();
        spec.outputs = options.output_file.clone();
        spec.environment = environment::gather(options, self.quiet)?;
        spec.resources =
            Resources { vcpus: options.vcpus, memory: options.memory, gpus: options.gpus.map(Gpus::get) };
        let lines = self.lines(options)?;
        let tasks = match (options.array_size, &options.array, &lines) {
            (Some(size), _, _) => Some(Tasks::sized(size).map_err(about("--array-size"))?),
            (None, Some(array), _) => Some(Tasks::with_ids(array.ids.clone())),
            (None, None, Some(lines)) => Some(Tasks::with_ids(lines.ids().map_err(about("--each"))?)),
            (None, None, None) => None,
        };
        spec.shape = match (tasks, options.nodes.and_then(Nodes::parallel)) {
            (None, None) => Shape::Single,
            (Some(tasks), None) => Shape::Array(tasks),
            (None, Some(nodes)) => Shape::Nodes(nodes),
            (Some(_), Some(nodes)) => {
                return Err(Failure::usage(format!(
                    "--nodes {nodes}: a multi-node parallel job cannot be an array"
                )));
            }
        };
        if let (Some(file), false) = (&options.each, self.quiet)
            && !mentions_line(&spec.work)
        {
            note(format!(
                "bsub: note: --each {}: all tasks run the same command, as it has neither `{{}}` in its arguments nor \
                 AWSB_TASK_LINE",
                file.display()
            ));
        }
        spec.lines = lines;
        if let Some(secret) =
            options.secret.iter().find(|s| spec.environment.iter().any(|(name, _)| *name == s.name))
        {
            return Err(Failure::usage(format!(
                "the variable {} is given twice: by `--env` and by `--secret`",
                secret.name
            )));
        }
        spec.retries =
            Retries::new(options.retry_attempts, &options.retry_on).map_err(about("--retry-on"))?;
        spec.timeout = options.limit().map_err(about("--time"))?;
        spec.scheduling = Scheduling {
            priority: options.priority,
            share: options.share.clone(),
            tags: options.tag.iter().map(|t| (t.key.clone(), t.value.clone())).collect(),
            propagate_tags: options.propagate_tags,
            parameters: options.param.iter().map(|p| (p.name.clone(), p.value.clone())).collect(),
        };
        if spec.scheduling.tags.len() > limits::TAGS {
            let count = spec.scheduling.tags.len();
            return Err(Failure::usage(format!(
                "--tag: a job can have at most {} tags, not {count}",
                limits::TAGS
            )));
        }
        spec.bare = self.bare;
        spec.slurm = what.directives.slurm;
        spec.lsf = what.directives.lsf;
        // Without another name a job has its script's.
        let file = match &spec.work {
            Work::Script { script, .. } => Some(script.file_name().to_owned()),
            Work::Command(_) => None,
        };
        spec.given_name = what.directives.name.or(file);
        if let Ok(host) = nix::unistd::gethostname() {
            spec.submit_host = host.to_string_lossy().into_owned();
        }
        spec.signal = what.directives.signal;
        self.tell_of_the_end(options, &spec)?;
        self.tell_of_variables(&spec)?;
        Ok(spec)
    }
}

/// Whether what runs may use the task's line. A script can leave that to a program that it calls, so only a command is judged.
fn mentions_line(work: &Work) -> bool {
    let Work::Command(argv) = work else { return true };
    argv.iter().any(|arg| {
        let arg = arg.to_string_lossy();
        arg.contains("{}") || arg.contains("AWSB_") || arg.contains("AWS_BATCH_")
    })
}
