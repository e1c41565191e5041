//! `bcluster init`: writes a configuration with a comment for each key.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use awsb_model::cluster::config::Starter;

use super::super::CommonArgs;
use super::tool::TOOL;
use crate::ui::{self, Exit, Failure, Format, Output, print_message};

/// The arguments of `bcluster init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// Every key that there is, with its default or an example
    #[arg(long)]
    all: bool,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
    /// The file; `-` is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// The parts that the cluster is to have. Without any of these options, and on a terminal, each is
/// asked for.
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
        if self.wanted.arm && self.wanted.gpu {
            return Err(Failure::usage(
                "--arm: an environment with GPUs has x86_64 processors, as the AMIs of AWS Batch \
                                       support no Arm instances with NVIDIA GPUs",
            )
            .hint("leave out `--arm` or `--gpu`, or make two clusters"));
        }
        let asks = self.wanted == Wanted::default() && !self.all && !is_stdout && ui::can_ask();
        let wanted = if asks { Wanted::ask().await? } else { self.wanted.clone() };
        let text = wanted.starter().file(self.all);
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
        let no_spot = !ui::ask("Spot instances, too? They cost less, and AWS may take them back.").await?;
        let arm = ui::ask("Arm processors (Graviton)? The images have to be for arm64.").await?;
        Ok(Self {
            no_spot,
            arm,
            // No AMI of AWS Batch supports Arm instances with GPUs.
            gpu: !arm && ui::ask("GPUs?").await?,
            mpi: ui::ask("Multi-node jobs (MPI) on instances that are close to each other?").await?,
            fargate: ui::ask("Fargate, for small jobs that start quickly?").await?,
            new_vpc: ui::ask("A VPC of its own? Otherwise it is in the default VPC.").await?,
            efs: ui::ask("A directory on EFS that every job sees? Its files cost by the gigabyte.").await?,
        })
    }

    /// The same for the model.
    fn starter(&self) -> Starter {
        Starter {
            spot: !self.no_spot,
            arm: self.arm,
            gpu: self.gpu,
            mpi: self.mpi,
            fargate: self.fargate,
            new_vpc: self.new_vpc,
            efs: self.efs,
        }
    }
}
