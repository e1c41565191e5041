//! `bcluster init`: writes a configuration with a comment for each key.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use awsb_model::cluster::config::commented_file;

use super::super::CommonArgs;
use super::tool::TOOL;
use crate::ui::{self, Exit, Failure, Format, Output, print_message};

/// The arguments of `bcluster init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// Every key that there is, with its default
    #[arg(long)]
    all: bool,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
    /// The file; `-` is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What the cluster is to have. Without any of these options, and on a terminal, each is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
struct Wanted {
    /// Only on-demand instances, none on Spot
    #[arg(long)]
    no_spot: bool,
    /// Instances with Arm processors (Graviton)
    #[arg(long)]
    arm: bool,
    /// An environment and a queue with GPUs
    #[arg(long)]
    gpu: bool,
    /// An environment and a queue for multi-node jobs (MPI)
    #[arg(long)]
    mpi: bool,
    /// An environment and a queue on Fargate
    #[arg(long)]
    fargate: bool,
    /// A VPC of its own in place of the default one
    #[arg(long)]
    new_vpc: bool,
    /// A directory on EFS that every job sees
    #[arg(long)]
    efs: bool,
}

impl Args {
    /// Writes the file.
    pub(super) async fn run(&self, _: &CommonArgs) -> Result<Exit, Failure> {
        let is_stdout = self.file.as_os_str() == "-";
        if !is_stdout && !self.force && self.file.exists() {
            return Err(Failure::usage(format!("the file {} exists already", self.file.display()))
                .hint("`--force` replaces it"));
        }
        let asks = self.wanted == Wanted::default() && !self.all && !is_stdout && ui::can_ask();
        let wanted = if asks { Wanted::ask().await? } else { self.wanted.clone() };
        let text = if self.all { commented_file() } else { wanted.text() };
        if is_stdout {
            Output::new(Format::Plain).write(text.as_bytes())?;
            return Ok(Exit::Done);
        }
        let mut options = OpenOptions::new();
        // Somebody may have written a file of this name meanwhile.
        let options = match self.force {
            true => options.write(true).create(true).truncate(true),
            false => options.write(true).create_new(true),
        };
        let written = options.open(&self.file).and_then(|mut file| file.write_all(text.as_bytes()));
        let file = self.file.display();
        written.map_err(|e| Failure::failed(format!("writing the file {file}: {e}")))?;
        print_message(format!(
            "{TOOL}: {file} is written\nhint: `bcluster create NAME -f {file} --plan` shows what it makes"
        ));
        Ok(Exit::Done)
    }
}

impl Wanted {
    /// Asks for each.
    async fn ask() -> Result<Self, Failure> {
        Ok(Self {
            no_spot: !ui::ask("Spot instances, too? They cost less, and AWS may take them back.").await?,
            arm: ui::ask("Arm processors (Graviton)? The images have to be for arm64.").await?,
            gpu: ui::ask("GPUs?").await?,
            mpi: ui::ask("Multi-node jobs (MPI) on instances that are close to each other?").await?,
            fargate: ui::ask("Fargate, for small jobs that start quickly?").await?,
            new_vpc: ui::ask("A VPC of its own? Otherwise it is in the default VPC.").await?,
            efs: ui::ask("A directory on EFS that every job sees? Its files cost by the gigabyte.").await?,
        })
    }

    /// The name of the environment on demand.
    const ON_DEMAND: &str = "on-demand";

    /// The text of the file.
    fn text(&self) -> String {
        let types = if self.arm { "default_arm64" } else { "default_x86_64" };
        let mut text = String::from(HEAD);
        let mut add = |part: &str| text.push_str(part);
        add(if self.new_vpc { NEW_VPC } else { DEFAULT_VPC });
        add(&ENVIRONMENTS.replace("TYPES", types));
        if !self.no_spot {
            add(&SPOT.replace("TYPES", types));
        }
        if self.gpu {
            add(&GPU.replace("GPU_TYPE", if self.arm { "g5g" } else { "g5" }));
        }
        if self.mpi {
            add(&MPI.replace("MPI_TYPE", if self.arm { "c7gn.16xlarge" } else { "c7i.48xlarge" }));
        }
        if self.fargate {
            add(FARGATE);
        }
        add(QUEUES);
        add(&queue(Self::ON_DEMAND, &[Self::ON_DEMAND]));
        if !self.no_spot {
            add("\n# First Spot, and on-demand instances where there is no capacity on Spot.\n");
            add(queue("spot", &["spot", Self::ON_DEMAND]).trim_start());
        }
        for (is_wanted, name) in [(self.gpu, "gpu"), (self.mpi, "mpi"), (self.fargate, "fargate")] {
            if is_wanted {
                add(&queue(name, &[name]));
            }
        }
        add(DEFINITIONS);
        if self.gpu {
            add(GPU_DEFINITION);
        }
        if self.fargate {
            add(&FARGATE_DEFINITION.replace("ARCHITECTURE", if self.arm { "arm64" } else { "x86_64" }));
        }
        add(STORAGE);
        if self.efs {
            add(EFS);
        }
        add(REST);
        text
    }
}

fn queue(name: &str, environments: &[&str]) -> String {
    let names: Vec<String> = environments.iter().map(|name| format!("\"{name}\"")).collect();
    format!("\n[queue.{name}]\nenvironments = [{}]\n", names.join(", "))
}

const HEAD: &str = r#"# The configuration of a cluster for `bcluster create NAME -f FILE`.
#
# A line that begins with `# key =` has the default, or an example where it says so. The page
# docs/bcluster.md describes the commands.

# The queue and the job definition of jobs that name none.
default_queue = "on-demand"
default_definition = "job"
"#;

const DEFAULT_VPC: &str = r#"
# The network: the default VPC with its public subnets.
[network]
# vpc = "default"
# Example: subnets = ["subnet-0123456789abcdef0"]
# Example: security_groups = ["sg-0123456789abcdef0"]
"#;

const NEW_VPC: &str = r#"
# The network: a VPC of its own, with a public subnet in each of some zones. Nothing comes in from
# outside.
[network]
vpc = "new"
# zones = 2
# addresses = "10.0.0.0/16"
"#;

const ENVIRONMENTS: &str = r#"
# The compute environments: the machines that run the jobs. They come and go with the jobs.
[environment.on-demand]
type = "on-demand"
instance_types = ["TYPES"]
# The most vCPUs at the same time, and those that are there without jobs (they cost).
# max = 256
# min = 0
# How long an instance stays after its last job. Example: keep_idle = "20m"
# How long jobs may go on when an update replaces their instances.
# update_timeout = "30m"

[environment.on-demand.root_volume]
# The disk in GiB: images, and what jobs write outside of shared directories.
# size = 100
# type = "gp3"
"#;

const SPOT: &str = r#"
[environment.spot]
type = "spot"
instance_types = ["TYPES"]
# max = 256
"#;

const GPU: &str = r#"
[environment.gpu]
type = "on-demand"
instance_types = ["GPU_TYPE"]
# max = 256
"#;

const MPI: &str = r#"
# Multi-node jobs: one zone, and instances that are close to each other.
[environment.mpi]
type = "on-demand"
instance_types = ["MPI_TYPE"]
placement_group = true
max = 1024
"#;

const FARGATE: &str = r#"
[environment.fargate]
type = "fargate"
# max = 256
"#;

const QUEUES: &str = "
# The queues. `bsub -q NAME` chooses one; in AWS it is called CLUSTER-NAME.
";

const DEFINITIONS: &str = r#"
# The job definitions: what a job gets that asks for nothing else.
[definition.job]
# image = "public.ecr.aws/docker/library/buildpack-deps:stable-curl"
# vcpus = 1
# memory = 2048
# The most attempts of a job whose machine is lost.
# attempts = 3

# For `bsub --nodes`.
[definition.mnp]
type = "multinode"
# nodes = 2
"#;

const GPU_DEFINITION: &str = r#"
[definition.gpu]
gpus = 1
vcpus = 4
memory = 14000
"#;

const FARGATE_DEFINITION: &str = r#"
[definition.fargate]
type = "fargate"
architecture = "ARCHITECTURE"
"#;

const STORAGE: &str = r#"
# The bucket: scripts, inputs and results. It stays when the cluster is deleted.
[bucket]
# keep = true
# versions = false

# After how long objects are removed.
[bucket.expire]
# bundles = "30d"
# outputs = "never"
"#;

const EFS: &str = r#"
# A directory that every job sees, on an EFS file system of the cluster.
[shared.home]
path = "/shared"

[efs]
# keep = true
# throughput = "elastic"
"#;

const REST: &str = r#"
# Images: a repository, and a CodeBuild project for `bimage build`.
[images]
# repository = true
# machine = "medium"

[logs]
# retention = "180d"
# keep = true

# A record of the jobs' events, by which usage can be counted later.
[events]
# record = true

# What jobs may do themselves.
[job_role]
# Example: read = ["my-reference-data"]
# Example: write = ["my-results"]

# Tags of all resources.
[tags]
# Example: project = "genomics"
"#;

#[cfg(test)]
mod tests {
    use awsb_model::cluster::ClusterConfig;

    use super::*;

    /// All combinations of what can be wanted.
    fn all() -> impl Iterator<Item = Wanted> {
        (0..128_u32).map(|bits| {
            let bit = |n: u32| bits & (1 << n) != 0;
            Wanted {
                no_spot: bit(0),
                arm: bit(1),
                gpu: bit(2),
                mpi: bit(3),
                fargate: bit(4),
                new_vpc: bit(5),
                efs: bit(6),
            }
        })
    }

    #[test]
    fn each_file_is_a_configuration() {
        for wanted in all() {
            let text = wanted.text();
            let config = ClusterConfig::from_toml("test.toml", &text);
            assert!(config.is_ok(), "{wanted:?}: {config:?}\n{text}");
        }
    }

    #[test]
    fn a_default_in_a_comment_is_the_default() {
        let wanted = Wanted { efs: true, new_vpc: true, ..Wanted::default() };
        let text = wanted.text();
        let is_default = |line: &str| line.starts_with("# ") && line.contains(" = ") && !line.contains(':');
        let stated: String = text
            .lines()
            .map(|line| if is_default(line) || line.contains("\"public.ecr.aws") { &line[2..] } else { line })
            .map(|line| format!("{line}\n"))
            .collect();
        assert_ne!(stated, text);
        let parse = |text: &str| ClusterConfig::from_toml("test.toml", text).unwrap();
        assert_eq!(parse(&stated), parse(&text), "{stated}");
    }

    #[test]
    fn an_example_is_a_valid_line() {
        let text = Wanted { gpu: true, ..Wanted::default() }.text();
        let stated: String = text
            .lines()
            .map(|line| match line.split_once("Example: ") {
                Some((_, example)) => format!("{example}\n"),
                None => format!("{line}\n"),
            })
            .collect();
        assert!(stated.contains("\nkeep_idle = "), "{stated}");
        let config = ClusterConfig::from_toml("test.toml", &stated);
        // The examples of the network exclude each other with nothing.
        assert!(config.is_ok(), "{config:?}\n{stated}");
    }
}
