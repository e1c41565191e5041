//! The options that describe a job, on the command line, in a script's directives and in the
//! settings file.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};

use awsb_model::directives::SharedConsumption;
use awsb_model::image::BuildArg;
use awsb_model::{
    ArrayIds, ArrayLimit, ArraySize, Attempts, Consumption, DependencyArg, Device, Efs, EnvArg,
    EphemeralStorage, Gpus, Image, Input, InstanceTypeName, JobName, Memory, MemorySize, Mount, NodeGroup,
    Nodes, OutputGlob, Parameter, Priority, RegistrySecret, RetryOnArg, Role, Secret, Share, Tag, Timeout,
    Tmpfs, Ulimit, User, Vcpus, WallTime, container_name, definition_name, queue_name,
};

/// The options that describe a job, as one place gives them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// The job's name [default: the name of the script or command, or STDIN]
    #[arg(short = 'J', long, value_name = "NAME")]
    pub job_name: Option<JobName>,

    /// Number of vCPUs (for each node)
    #[arg(
        short = 'p',
        long,
        visible_alias = "cpus-per-task",
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Resources"
    )]
    pub vcpus: Option<Vcpus>,
    /// Memory (for each node): a number of MiB, or a size such as 512M or 4G (units K, M, G, T)
    #[arg(
        short,
        long,
        visible_alias = "mem",
        value_name = "SIZE",
        allow_negative_numbers = true,
        help_heading = "Resources"
    )]
    pub memory: Option<Memory>,
    /// Number of GPUs (for each node)
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, help_heading = "Resources")]
    pub gpus: Option<Gpus>,
    /// Take this much of a consumable resource, such as a licence, while the job runs (for each
    /// task, and each node)
    #[arg(long, value_name = "NAME[=N]", help_heading = "Resources")]
    pub consume: Vec<Consumption>,
    /// The consumable resources that all nodes take together, which only directives give.
    #[arg(skip)]
    pub shared: Vec<SharedConsumption>,
    /// Submit a multi-node parallel job with this many nodes
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, help_heading = "Resources")]
    pub nodes: Option<Nodes>,

    /// More nodes behind those of --nodes, in other sizes, images or commands: their number, and
    /// what differs of vcpus=N, memory=SIZE, gpus=N, image=IMAGE and, as the last, command=LINE,
    /// with commas between; up to four groups
    #[arg(long, value_name = "GROUP", help_heading = "Resources")]
    pub node_group: Vec<NodeGroup>,

    /// Run in this image, from a registry, an ECR repository of this account, or this machine's
    /// Docker engine; a job definition is derived from the cluster's
    #[arg(long, value_name = "IMAGE", help_heading = "Container")]
    pub image: Option<Image>,
    /// Build an image from a folder with a Dockerfile and run in it; the same content is built only
    /// once
    #[arg(long, value_name = "DIR", conflicts_with = "image", help_heading = "Container")]
    pub build: Option<PathBuf>,
    /// The Dockerfile of --build [default: Dockerfile]
    #[arg(long, value_name = "FILE", help_heading = "Container")]
    pub dockerfile: Option<PathBuf>,
    /// Set an ARG of the Dockerfile of --build
    #[arg(long, value_name = "NAME[=VALUE]", help_heading = "Container")]
    pub build_arg: Vec<BuildArg>,
    /// The IAM role of the job
    #[arg(long, value_name = "ROLE", help_heading = "Container")]
    pub job_role: Option<Role>,
    /// The IAM role that starts the container (the execution role)
    #[arg(long, value_name = "ROLE", help_heading = "Container")]
    pub execution_role: Option<Role>,
    /// The user in the container
    #[arg(long, value_name = "USER", help_heading = "Container")]
    pub user: Option<User>,
    /// A resource limit, as for `docker run --ulimit`
    #[arg(long, value_name = "NAME=SOFT[:HARD]", help_heading = "Container")]
    pub ulimit: Vec<Ulimit>,
    /// Mount a directory of the host in the container
    #[arg(long, value_name = "HOST:CONTAINER[:ro]", help_heading = "Container")]
    pub mount: Vec<Mount>,
    /// Mount a directory of an EFS file system in the container
    #[arg(long, value_name = "FS[:DIR]:PATH", help_heading = "Container")]
    pub efs: Vec<Efs>,
    /// The size of /dev/shm
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, help_heading = "Container")]
    pub shm_size: Option<MemorySize>,
    /// The task's disk on Fargate, in GiB
    #[arg(long, value_name = "GIB", allow_negative_numbers = true, help_heading = "Container")]
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// Let `bexec` run commands in the job (ECS Exec), for which it needs a job role
    #[arg(long, help_heading = "Container")]
    pub enable_exec: bool,
    /// A file system in memory in the container
    #[arg(long, value_name = "PATH:SIZE[:OPTIONS]", help_heading = "Container")]
    pub tmpfs: Vec<Tmpfs>,
    /// A device of the host in the container, as for `docker run --device`
    #[arg(long, value_name = "HOST[:CONTAINER][:rwm]", help_heading = "Container")]
    pub device: Vec<Device>,
    /// Give the container the rights of root on its host
    #[arg(long, help_heading = "Container")]
    pub privileged: bool,
    /// The secret with the user and password of the image's registry
    #[arg(long, value_name = "SECRET", help_heading = "Container")]
    pub repository_credentials: Option<RegistrySecret>,
    /// The instance type of all nodes of a multi-node parallel job
    #[arg(long, value_name = "TYPE", help_heading = "Container")]
    pub instance_type: Option<InstanceTypeName>,
    /// The container that runs the job, in a job definition with several [default: the first
    /// essential one]
    #[arg(long, value_name = "NAME", value_parser = container_name, help_heading = "Container")]
    pub container: Option<String>,
    /// Set a variable from Secrets Manager or the Systems Manager parameter store
    #[arg(long, value_name = "NAME=ARN", help_heading = "Container")]
    pub secret: Vec<Secret>,

    /// Set a variable, or pass on variables of this shell: some (`-e A,B`), or all that do not look
    /// like secrets (`-e all`)
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = OsStringValueParser::new().try_map(|s| EnvArg::parse(&s)), help_heading = "Environment and files")]
    pub env: Vec<EnvArg>,
    /// Leave these variables out of `-e all`, separated by commas; `*` stands for any characters
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Environment and files")]
    pub env_exclude: Vec<String>,
    /// Copy a file or directory into the job's working directory
    #[arg(
        short,
        long,
        visible_alias = "input-file",
        value_name = "PATH[:NAME]",
        value_parser = OsStringValueParser::new().try_map(|s| Input::parse(&s, |path| path.symlink_metadata().is_ok())),
        help_heading = "Environment and files"
    )]
    pub input: Vec<Input>,
    /// The job's standard input: a file, or - for the standard input of this command
    #[arg(long, value_name = "FILE", help_heading = "Environment and files")]
    pub stdin: Option<PathBuf>,
    /// Keep matching files of the job's working directory when it ends; `bout --files ID` lists and
    /// fetches them
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
    /// Run in a new directory `job-ID` inside this one
    #[arg(long, value_name = "DIR", help_heading = "Environment and files")]
    pub parent_working_dir: Option<PathBuf>,

    /// Submit an array of this many tasks, numbered from 0
    #[arg(
        short,
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Arrays",
        group = "shape"
    )]
    pub array_size: Option<ArraySize>,
    /// Submit an array of tasks with these IDs: 1-100, 1-100:5, 3,7,10-12; with %N, at most N of
    /// them run at the same time (1-100%5)
    #[arg(long, value_name = "IDS", allow_hyphen_values = true, help_heading = "Arrays", group = "shape")]
    pub array: Option<ArrayIds>,
    /// Submit a task for each line of a file (- is standard input); the line replaces {} in the
    /// arguments
    #[arg(long, value_name = "FILE", help_heading = "Arrays", group = "shape")]
    pub each: Option<PathBuf>,
    /// Submit a task for each line of a file (- is standard input); the line is the task's command
    #[arg(long, value_name = "FILE", help_heading = "Arrays", group = "shape")]
    pub commands: Option<PathBuf>,

    /// Run at most this many tasks of the array at the same time, as %N of --array does
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Arrays")]
    pub array_limit: Option<ArrayLimit>,
    /// With --each or --commands: leave out blank lines and lines that begin with #
    #[arg(long, help_heading = "Arrays")]
    pub skip_comments: bool,

    /// Wait for other jobs to succeed: ID[,ID…], afterok:ID, name:NAME, n_to_n:ID (each child waits
    /// for the child with its index), sequential
    #[arg(short, long, visible_alias = "dependency", value_name = "LIST", help_heading = "Scheduling")]
    pub depends_on: Vec<DependencyArg>,
    /// The job queue [default: the cluster's]
    #[arg(short, long, visible_alias = "partition", value_name = "NAME", value_parser = queue_name, help_heading = "Scheduling")]
    pub queue: Option<String>,
    /// The priority within the share, from 0 to 9999
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Scheduling")]
    pub priority: Option<Priority>,
    /// The share in the queue's scheduling policy
    #[arg(long, value_name = "NAME", help_heading = "Scheduling")]
    pub share: Option<Share>,
    /// Tag the job
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Scheduling")]
    pub tag: Vec<Tag>,
    /// Copy the job's tags to its ECS task
    #[arg(long, help_heading = "Scheduling")]
    pub propagate_tags: bool,
    /// The job definition [default: the cluster's]
    #[arg(long, value_name = "NAME[:REVISION]", value_parser = definition_name, help_heading = "Scheduling")]
    pub job_definition: Option<String>,
    /// Set the value of a `Ref::NAME` in the job definition
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Scheduling")]
    pub param: Vec<Parameter>,

    /// Try the job at most this many times, from 1 to 10
    #[arg(
        short,
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Retries and time limits"
    )]
    pub retry_attempts: Option<Attempts>,
    #[arg(
        long,
        value_name = "END",
        // Not a comment of documentation, where the brackets would be a link.
        help = "Try again only after these failures: spot, exit:CODE[,CODE], reason:TEXT*",
        help_heading = "Retries and time limits"
    )]
    pub retry_on: Vec<RetryOnArg>,
    /// End an attempt after this time: a number of seconds, or a time such as 90m, 2h, 1-12:00:00
    #[arg(
        short,
        long,
        value_name = "TIME",
        allow_negative_numbers = true,
        help_heading = "Retries and time limits",
        conflicts_with = "time"
    )]
    pub timeout: Option<Timeout>,
    /// The same as --timeout, but a bare number means minutes, as in Slurm
    #[arg(
        long,
        value_name = "TIME",
        allow_negative_numbers = true,
        help_heading = "Retries and time limits"
    )]
    pub time: Option<WallTime>,

    /// Wait until the job ends, and exit with its exit code
    #[arg(short = 'K', long, help_heading = "Waiting")]
    pub wait: bool,
    /// Wait until the job ends and show its output meanwhile
    #[arg(short = 'I', long, help_heading = "Waiting")]
    pub interactive: bool,
    /// With -K or -I: end the job when a signal ends the wait (Ctrl-C, SIGTERM, SIGHUP)
    #[arg(long, help_heading = "Waiting")]
    pub kill_on_interrupt: bool,
}

impl Options {
    /// These options and, where one is not given, that of `lower`. Options that can be given
    /// several times add up, with those of `lower` first, except for dependencies.
    #[must_use]
    pub fn over(self, lower: Options) -> Options {
        // Where options exclude each other, one that is given here replaces the others, too.
        // One node does not make a shape: an array stays an array with it.
        let has_array = self.has_array();
        let has_shape = has_array || self.has_nodes();
        let has_time = self.timeout.is_some() || self.time.is_some();
        let has_image = self.image.is_some() || self.build.is_some();
        let has_place = self.working_dir.is_some() || self.parent_working_dir.is_some();
        // A limit belongs to the array that it was written for, which another one replaces. `%N` of
        // `--array` is a limit, too.
        let has_limit = self.limit_of_ids().is_some();
        let lower_limit = lower.array_limit.filter(|_| !has_limit && !self.replaces_array(&lower));
        // `--retry-on` cannot be combined with a single attempt.
        let one = |attempts: Option<Attempts>| attempts.is_some_and(|n| n.get() == 1);
        let lower_attempts =
            lower.retry_attempts.filter(|_| self.retry_on.is_empty() || !one(lower.retry_attempts));
        let (consume, shared) = consumption((lower.consume, lower.shared), (self.consume, self.shared));
        let has_ends = !self.retry_on.is_empty() || one(self.retry_attempts);
        Options {
            job_name: self.job_name.or(lower.job_name),
            vcpus: self.vcpus.or(lower.vcpus),
            memory: self.memory.or(lower.memory),
            gpus: self.gpus.or(lower.gpus),
            consume,
            shared,
            nodes: if has_array { self.nodes } else { self.nodes.or(lower.nodes) },
            node_group: if has_array || !self.node_group.is_empty() {
                self.node_group
            } else {
                lower.node_group
            },
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
            enable_exec: self.enable_exec || lower.enable_exec,
            tmpfs: joined(lower.tmpfs, self.tmpfs),
            device: joined(lower.device, self.device),
            privileged: self.privileged || lower.privileged,
            repository_credentials: self.repository_credentials.or(lower.repository_credentials),
            instance_type: self.instance_type.or(lower.instance_type),
            container: self.container.or(lower.container),
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
            array_limit: self.array_limit.or(lower_limit),
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

    /// These options and then `more`, as if one command line had both.
    #[must_use]
    pub fn and(self, more: Options) -> Options {
        let depends_on = joined(self.depends_on.clone(), more.depends_on.clone());
        let retry_on = joined(self.retry_on.clone(), more.retry_on.clone());
        let node_group = joined(self.node_group.clone(), more.node_group.clone());
        // On one command line, `--array-limit` counts before `%N`.
        let array_limit = self.array_limit.filter(|_| !more.replaces_array(&self));
        let array_limit = more.array_limit.or(array_limit);
        Options { depends_on, retry_on, node_group, array_limit, ..more.over(self) }
    }

    /// Whether the shape of these options replaces the array of `lower`.
    fn replaces_array(&self, lower: &Options) -> bool {
        (self.has_array() || self.has_nodes()) && lower.has_array()
    }

    /// The limit `%N` of `--array`.
    pub fn limit_of_ids(&self) -> Option<u32> {
        self.array.as_ref().filter(|_| self.array_size.is_none())?.limit
    }

    /// Whether the job is an array of tasks.
    pub fn has_array(&self) -> bool {
        self.array_size.is_some() || self.array.is_some() || self.each.is_some() || self.commands.is_some()
    }

    /// Whether the job is a multi-node parallel job.
    fn has_nodes(&self) -> bool {
        self.nodes.and_then(Nodes::parallel).is_some() || !self.node_group.is_empty()
    }

    /// Whether these options and `others` ask for an array of multi-node parallel jobs, which Batch
    /// does not have.
    pub fn make_an_array_of_nodes(&self, others: &Options) -> bool {
        (self.has_array() && others.has_nodes()) || (self.has_nodes() && others.has_array())
    }
}

/// The consumable resources that each node takes, and those that all nodes take together.
type Consumed = (Vec<Consumption>, Vec<SharedConsumption>);

/// The consumable resources of two places. One that the higher place gives in one of the two ways
/// is not taken in the other way as well.
fn consumption(lower: Consumed, higher: Consumed) -> Consumed {
    let (mut of_each, mut together) = lower;
    of_each.retain(|one| higher.1.iter().all(|other| other.total.name() != one.name()));
    together.retain(|one| higher.0.iter().all(|other| other.name() != one.total.name()));
    together.retain(|one| higher.1.iter().all(|other| other.total.name() != one.total.name()));
    (joined(of_each, higher.0), joined(together, higher.1))
}

fn joined<T>(mut first: Vec<T>, then: Vec<T>) -> Vec<T> {
    first.extend(then);
    first
}
