//! What can be said of a job: on the command line, in a script's directives, and in the settings file.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::image::BuildArg;
use crate::job::{
    ArrayIds, ArraySize, Attempts, ContainerChanges, DependencyArg, Efs, EnvArg, EphemeralStorage, Gpus,
    Image, Input, Invalid, JobName, Memory, Mount, Nodes, OutputGlob, Parameter, Place, Priority, RetryOnArg,
    Role, Secret, Share, Tag, Timeout, Ulimit, User, Vcpus, WallTime, definition_name, queue_name,
};

/// The options that describe a job.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// The job's name [default: the script's or command's, or STDIN]
    #[arg(short = 'J', long, value_name = "NAME")]
    pub job_name: Option<JobName>,

    /// vCPUs (of each node)
    #[arg(
        short = 'p',
        long,
        visible_alias = "cpus-per-task",
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Resources"
    )]
    pub vcpus: Option<Vcpus>,
    /// Memory (of each node): MiB, or with K, M, G or T, such as 512M or 4G
    #[arg(
        short,
        long,
        visible_alias = "mem",
        value_name = "SIZE",
        allow_negative_numbers = true,
        help_heading = "Resources"
    )]
    pub memory: Option<Memory>,
    /// GPUs (of each node)
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, help_heading = "Resources")]
    pub gpus: Option<Gpus>,
    /// Submit a multi-node parallel job of this many nodes
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, help_heading = "Resources")]
    pub nodes: Option<Nodes>,

    /// Run in another image (a job definition is derived from the cluster's): of a registry, a repository of this
    /// account's ECR, or this machine's Docker engine
    #[arg(long, value_name = "IMAGE", help_heading = "Container")]
    pub image: Option<Image>,
    /// Build an image from a folder with a Dockerfile, and run in it; the same content is built once
    #[arg(long, value_name = "DIR", conflicts_with = "image", help_heading = "Container")]
    pub build: Option<PathBuf>,
    /// The Dockerfile of --build [default: Dockerfile]
    #[arg(long, value_name = "FILE", help_heading = "Container")]
    pub dockerfile: Option<PathBuf>,
    /// A value for an ARG of the Dockerfile of --build
    #[arg(long, value_name = "NAME[=VALUE]", help_heading = "Container")]
    pub build_arg: Vec<BuildArg>,
    /// The role that the job has
    #[arg(long, value_name = "ROLE", help_heading = "Container")]
    pub job_role: Option<Role>,
    /// The role that starts the container
    #[arg(long, value_name = "ROLE", help_heading = "Container")]
    pub execution_role: Option<Role>,
    /// The user in the container
    #[arg(long, value_name = "USER", help_heading = "Container")]
    pub user: Option<User>,
    /// A resource limit, as of `docker run --ulimit`
    #[arg(long, value_name = "NAME=SOFT[:HARD]", help_heading = "Container")]
    pub ulimit: Vec<Ulimit>,
    /// A directory of the host in the container
    #[arg(long, value_name = "HOST:CONTAINER[:ro]", help_heading = "Container")]
    pub mount: Vec<Mount>,
    /// A directory of an EFS file system in the container
    #[arg(long, value_name = "FS[:DIR]:PATH", help_heading = "Container")]
    pub efs: Vec<Efs>,
    /// The size of /dev/shm
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, help_heading = "Container")]
    pub shm_size: Option<Memory>,
    /// The task's disk on Fargate, in GiB
    #[arg(long, value_name = "GIB", allow_negative_numbers = true, help_heading = "Container")]
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// A variable from Secrets Manager or the Systems Manager parameter store
    #[arg(long, value_name = "NAME=ARN", help_heading = "Container")]
    pub secret: Vec<Secret>,

    /// Set a variable, hand on variables of this shell (`-e A,B`), or all that are no secrets (`-e all`)
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = OsStringValueParser::new().try_map(|s| EnvArg::parse(&s)), help_heading = "Environment and files")]
    pub env: Vec<EnvArg>,
    /// Variables that `-e all` leaves out, separated by commas; `*` for any letters
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Environment and files")]
    pub env_exclude: Vec<String>,
    /// Bring a file or directory along into the job's working directory
    #[arg(
        short,
        long,
        visible_alias = "input-file",
        value_name = "PATH[:NAME]",
        value_parser = OsStringValueParser::new().try_map(|s| Input::parse(&s, |path| path.symlink_metadata().is_ok())),
        help_heading = "Environment and files"
    )]
    pub input: Vec<Input>,
    /// The job's standard input: a file, or - for this command's own
    #[arg(long, value_name = "FILE", help_heading = "Environment and files")]
    pub stdin: Option<PathBuf>,
    /// Keep what matches in the job's working directory when it ends: `bout --files ID` has it
    #[arg(short, long, value_name = "GLOB", help_heading = "Environment and files")]
    pub output_file: Vec<OutputGlob>,
    /// Run in this directory of the job's container
    #[arg(
        short,
        long,
        visible_alias = "chdir",
        value_name = "DIR",
        help_heading = "Environment and files",
        conflicts_with = "parent_working_dir"
    )]
    pub working_dir: Option<PathBuf>,
    /// Run in a directory `job-ID` that is made in this one
    #[arg(long, value_name = "DIR", help_heading = "Environment and files")]
    pub parent_working_dir: Option<PathBuf>,

    /// Submit an array of this many children, whose tasks are numbered from 0
    #[arg(
        short,
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Arrays",
        group = "shape"
    )]
    pub array_size: Option<ArraySize>,
    /// Submit an array of tasks with these IDs: 1-100, 1-100:5, 3,7,10-12, or one at a time: 1-100%1
    #[arg(long, value_name = "IDS", allow_hyphen_values = true, help_heading = "Arrays", group = "shape")]
    pub array: Option<ArrayIds>,
    /// Submit a task for each line of a file (- is standard input): the line stands for {} in the arguments
    #[arg(long, value_name = "FILE", help_heading = "Arrays", group = "shape")]
    pub each: Option<PathBuf>,
    /// Submit a task for each line of a file (- is standard input): the line is its command
    #[arg(long, value_name = "FILE", help_heading = "Arrays", group = "shape")]
    pub commands: Option<PathBuf>,

    /// With --each or --commands: leave out blank lines and those that begin with #
    #[arg(long, help_heading = "Arrays")]
    pub skip_comments: bool,

    /// Wait for other jobs: ID[,ID…], afterok:ID, name:NAME, n_to_n:ID (each child for its like), sequential
    #[arg(short, long, visible_alias = "dependency", value_name = "LIST", help_heading = "Scheduling")]
    pub depends_on: Vec<DependencyArg>,
    /// The job queue [default: the cluster's]
    #[arg(short, long, visible_alias = "partition", value_name = "NAME", value_parser = queue_name, help_heading = "Scheduling")]
    pub queue: Option<String>,
    /// The priority within the share, 0 to 9999
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Scheduling")]
    pub priority: Option<Priority>,
    /// The share of the queue's scheduling policy
    #[arg(long, value_name = "NAME", help_heading = "Scheduling")]
    pub share: Option<Share>,
    /// A tag of the job
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Scheduling")]
    pub tag: Vec<Tag>,
    /// Hand the job's tags on to its ECS task
    #[arg(long, help_heading = "Scheduling")]
    pub propagate_tags: bool,
    /// The job definition [default: the cluster's]
    #[arg(long, value_name = "NAME[:REVISION]", value_parser = definition_name, help_heading = "Scheduling")]
    pub job_definition: Option<String>,
    /// A value for a `Ref::NAME` of the job definition
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Scheduling")]
    pub param: Vec<Parameter>,

    /// Try the job this often, 1 to 10
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, help_heading = "Retries and time")]
    pub retry_attempts: Option<Attempts>,
    /// Try again after these ends alone: spot, exit:CODE[,CODE], reason:TEXT*
    #[arg(long, value_name = "END", help_heading = "Retries and time")]
    pub retry_on: Vec<RetryOnArg>,
    /// End an attempt after this time: seconds, or such as 90m, 2h, 1-12:00:00
    #[arg(
        short,
        long,
        value_name = "TIME",
        allow_negative_numbers = true,
        help_heading = "Retries and time",
        conflicts_with = "time"
    )]
    pub timeout: Option<Timeout>,
    /// The same in Slurm's way: a bare number is minutes
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, help_heading = "Retries and time")]
    pub time: Option<WallTime>,

    /// Wait for the job's end, and exit with its exit code
    #[arg(short = 'K', long, help_heading = "Afterwards")]
    pub wait: bool,
    /// Wait, and follow the job's output, too
    #[arg(short = 'I', long, help_heading = "Afterwards")]
    pub interactive: bool,
    /// With -K or -I: end the job when a signal ends the waiting (Ctrl-C, SIGTERM, SIGHUP)
    #[arg(long, help_heading = "Afterwards")]
    pub kill_on_interrupt: bool,
}

impl Options {
    /// These options, and for what they do not say, those of `lower`. What can be given several times adds
    /// up, the stronger last; dependencies do not.
    #[must_use]
    pub fn over(self, lower: Options) -> Options {
        // Of options that exclude each other, one that is given here takes the others' place, too.
        // One node is no shape of its own: with it, an array stays one.
        let has_array = self.has_array();
        let has_shape = has_array || self.has_nodes();
        let has_time = self.timeout.is_some() || self.time.is_some();
        let has_image = self.image.is_some() || self.build.is_some();
        let has_place = self.working_dir.is_some() || self.parent_working_dir.is_some();
        // Ends to try again after go with any number of attempts but one.
        let one = |attempts: Option<Attempts>| attempts.is_some_and(|n| n.get() == 1);
        let lower_attempts =
            lower.retry_attempts.filter(|_| self.retry_on.is_empty() || !one(lower.retry_attempts));
        let has_ends = !self.retry_on.is_empty() || one(self.retry_attempts);
        Options {
            job_name: self.job_name.or(lower.job_name),
            vcpus: self.vcpus.or(lower.vcpus),
            memory: self.memory.or(lower.memory),
            gpus: self.gpus.or(lower.gpus),
            nodes: if has_array { self.nodes } else { self.nodes.or(lower.nodes) },
            image: if has_image { self.image } else { lower.image },
            build: if has_image { self.build } else { lower.build },
            dockerfile: self.dockerfile.or(lower.dockerfile.filter(|_| !has_image)),
            build_arg: joined(if has_image { Vec::new() } else { lower.build_arg }, self.build_arg),
            job_role: self.job_role.or(lower.job_role),
            execution_role: self.execution_role.or(lower.execution_role),
            user: self.user.or(lower.user),
            ulimit: joined(lower.ulimit, self.ulimit),
            mount: joined(lower.mount, self.mount),
            efs: joined(lower.efs, self.efs),
            shm_size: self.shm_size.or(lower.shm_size),
            ephemeral_storage: self.ephemeral_storage.or(lower.ephemeral_storage),
            secret: joined(lower.secret, self.secret),
            env: joined(lower.env, self.env),
            env_exclude: joined(lower.env_exclude, self.env_exclude),
            input: joined(lower.input, self.input),
            stdin: self.stdin.or(lower.stdin),
            output_file: joined(lower.output_file, self.output_file),
            working_dir: if has_place { self.working_dir } else { lower.working_dir },
            parent_working_dir: if has_place { self.parent_working_dir } else { lower.parent_working_dir },
            array_size: if has_shape { self.array_size } else { lower.array_size },
            array: if has_shape { self.array } else { lower.array },
            each: if has_shape { self.each } else { lower.each },
            commands: if has_shape { self.commands } else { lower.commands },
            skip_comments: self.skip_comments || lower.skip_comments,
            depends_on: if self.depends_on.is_empty() { lower.depends_on } else { self.depends_on },
            queue: self.queue.or(lower.queue),
            priority: self.priority.or(lower.priority),
            share: self.share.or(lower.share),
            tag: joined(lower.tag, self.tag),
            propagate_tags: self.propagate_tags || lower.propagate_tags,
            job_definition: self.job_definition.or(lower.job_definition),
            param: joined(lower.param, self.param),
            retry_attempts: self.retry_attempts.or(lower_attempts),
            retry_on: if has_ends { self.retry_on } else { lower.retry_on },
            timeout: if has_time { self.timeout } else { lower.timeout },
            time: if has_time { self.time } else { lower.time },
            wait: self.wait || lower.wait,
            interactive: self.interactive || lower.interactive,
            kill_on_interrupt: self.kill_on_interrupt || lower.kill_on_interrupt,
        }
    }

    /// These options, and then `more` in the same place: as on one command line.
    #[must_use]
    pub fn and(self, more: Options) -> Options {
        let depends_on = joined(self.depends_on.clone(), more.depends_on.clone());
        let retry_on = joined(self.retry_on.clone(), more.retry_on.clone());
        Options { depends_on, retry_on, ..more.over(self) }
    }

    /// Whether the job ends when whoever waits for it is interrupted.
    pub fn ends_with_waiter(&self) -> bool {
        self.kill_on_interrupt && (self.wait || self.interactive)
    }

    /// Whether it is an array of tasks.
    pub fn has_array(&self) -> bool {
        self.array_size.is_some() || self.array.is_some() || self.each.is_some() || self.commands.is_some()
    }

    /// Whether it is a multi-node parallel job.
    fn has_nodes(&self) -> bool {
        self.nodes.and_then(Nodes::parallel).is_some()
    }

    /// Whether these and `others` ask for an array of multi-node parallel jobs, which cannot be had.
    pub fn make_an_array_of_nodes(&self, others: &Options) -> bool {
        (self.has_array() && others.has_nodes()) || (self.has_nodes() && others.has_array())
    }

    /// How long an attempt may run.
    ///
    /// # Errors
    /// When it is less than Batch takes.
    pub fn limit(&self) -> Result<Option<Timeout>, Invalid> {
        match self.time.and_then(WallTime::seconds) {
            Some(seconds) => Timeout::of_seconds(seconds).map(Some),
            None => Ok(self.timeout),
        }
    }

    /// What SubmitJob cannot override.
    pub fn changes(&self) -> ContainerChanges {
        ContainerChanges {
            image: self.image.clone(),
            job_role: self.job_role.clone(),
            execution_role: self.execution_role.clone(),
            user: self.user.clone(),
            ulimits: self.ulimit.clone(),
            mounts: self.mount.clone(),
            efs: self.efs.clone(),
            secrets: self.secret.clone(),
            shm_size: self.shm_size,
            ephemeral_storage: self.ephemeral_storage,
        }
    }

    /// Where the job runs.
    pub fn place(&self) -> Place {
        match (&self.working_dir, &self.parent_working_dir) {
            (Some(place), _) => Place::In(place.into()),
            (None, Some(parent)) => Place::Below(parent.into()),
            (None, None) => Place::Own,
        }
    }
}

fn joined<T>(mut first: Vec<T>, then: Vec<T>) -> Vec<T> {
    first.extend(then);
    first
}
