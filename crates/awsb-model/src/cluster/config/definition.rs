//! `[definition.NAME]`: a job definition.

use std::fmt;
use std::str::FromStr;

use super::names::PartName;
use super::section::Section;
use super::values::{Architecture, word_type};
use super::writer::Writer;
use crate::image::Tag as ImageTag;
use crate::toml_reader::TomlError;
use crate::{
    Attempts, EphemeralStorage, Gpus, Image, Invalid, Memory, Mount, Timeout, Ulimit, User, Vcpus, limits,
};

/// A job definition, which AWS knows as `CLUSTER-NAME`.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// The name in the configuration.
    pub name: PartName,
    /// The kind of job.
    pub kind: DefinitionKind,
    /// The image.
    pub image: DefinitionImage,
    /// vCPUs of a job that asks for nothing else.
    pub vcpus: Vcpus,
    /// Memory of a job that asks for nothing else.
    pub memory: Memory,
    /// The most attempts of a job whose machine is lost. Every other end is final.
    pub attempts: Attempts,
    /// The time limit of an attempt.
    pub timeout: Option<Timeout>,
}

/// The kind of job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefinitionKind {
    /// A container on EC2.
    Container(Ec2Options),
    /// A multi-node parallel job on EC2.
    Multinode {
        /// The number of nodes of a job that asks for nothing else.
        nodes: u32,
        /// The options of its containers.
        options: Ec2Options,
    },
    /// A container on Fargate.
    Fargate(FargateOptions),
}

/// Options of a container on EC2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ec2Options {
    /// GPUs.
    pub gpus: Option<Gpus>,
    /// Whether the container has the rights of root on its instance.
    pub privileged: bool,
    /// The user that the container's processes run as. `None`: the image's.
    pub user: Option<User>,
    /// Folders of the instance.
    pub mounts: Vec<Mount>,
    /// Limits of processes.
    pub ulimits: Vec<Ulimit>,
}

/// Options of a container on Fargate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FargateOptions {
    /// The disk. `None`: Fargate's 20 GiB.
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// The architecture.
    pub architecture: Architecture,
}

impl Default for FargateOptions {
    fn default() -> Self {
        Self { ephemeral_storage: None, architecture: Architecture::X86 }
    }
}

/// The image of a job definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefinitionImage {
    /// The configuration names none: the default of the place where the cluster is. On AWS, it is
    /// a public image.
    Default,
    /// `:TAG`: of the cluster's repository.
    Own(ImageTag),
    /// Any other.
    Other(Image),
}

/// An image that is there for everybody and for both architectures. It has what the launcher needs:
/// a shell, tar, gzip, and a curl that signs requests.
const DEFAULT_IMAGE: &str = "public.ecr.aws/docker/library/buildpack-deps:stable-curl";

impl FromStr for DefinitionImage {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.strip_prefix(':') {
            Some(tag) => tag.parse().map(Self::Own),
            None => text.parse().map(Self::Other),
        }
    }
}

impl fmt::Display for DefinitionImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str(DEFAULT_IMAGE),
            Self::Own(tag) => write!(f, ":{tag}"),
            Self::Other(image) => image.fmt(f),
        }
    }
}

word_type!(
    /// The value of `type`.
    DefinitionType {
        /// A container on EC2.
        Container = "container",
        /// A multi-node parallel job.
        Multinode = "multinode",
        /// A container on Fargate.
        Fargate = "fargate",
    }
);

const DEFAULT_NODES: u32 = 2;
const ONLY_ON_EC2: [&str; 5] = ["gpus", "privileged", "user", "mounts", "ulimits"];
const ONLY_ON_FARGATE: [&str; 2] = ["ephemeral_storage", "architecture"];

impl Definition {
    /// A job definition with the defaults of the configuration.
    pub fn new(name: PartName, kind: DefinitionKind) -> Self {
        let constant = "a constant is a valid value";
        // The instance of a container may be lost to Spot. A job of several nodes starts from the
        // beginning, and Fargate Spot has no reason that could be told from others.
        let attempts = if matches!(kind, DefinitionKind::Container(_)) { "3" } else { "1" };
        Self {
            name,
            kind,
            image: DefinitionImage::Default,
            vcpus: "1".parse().expect(constant),
            memory: "2048".parse().expect(constant),
            attempts: attempts.parse().expect(constant),
            timeout: None,
        }
    }

    /// The word of the configuration for the kind.
    pub fn kind_word(&self) -> DefinitionType {
        match self.kind {
            DefinitionKind::Container(_) => DefinitionType::Container,
            DefinitionKind::Multinode { .. } => DefinitionType::Multinode,
            DefinitionKind::Fargate(_) => DefinitionType::Fargate,
        }
    }

    /// Whether its jobs run on Fargate.
    pub fn is_on_fargate(&self) -> bool {
        matches!(self.kind, DefinitionKind::Fargate(_))
    }

    /// The options of EC2, if its jobs run there.
    pub fn ec2(&self) -> Option<&Ec2Options> {
        match &self.kind {
            DefinitionKind::Container(options) | DefinitionKind::Multinode { options, .. } => Some(options),
            DefinitionKind::Fargate(_) => None,
        }
    }

    pub(super) fn parse(name: PartName, mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let word = section.parsed("type")?.unwrap_or(DefinitionType::Container);
        let nodes = section.integer("nodes", *limits::NODES.start()..=*limits::NODES.end())?;
        let options = Ec2Options {
            gpus: numeric(&mut section, "gpus")?,
            privileged: section.boolean("privileged", false)?,
            user: section.parsed("user")?,
            mounts: section.list("mounts")?,
            ulimits: section.list("ulimits")?,
        };
        let on_fargate = FargateOptions {
            ephemeral_storage: section.parsed("ephemeral_storage")?,
            architecture: section.parsed("architecture")?.unwrap_or(Architecture::X86),
        };
        let foreign: &[&str] = if word == DefinitionType::Fargate { &ONLY_ON_EC2 } else { &ONLY_ON_FARGATE };
        if let Some(key) = foreign.iter().find(|key| section.has(key)) {
            let of = if word == DefinitionType::Fargate { "EC2" } else { "Fargate" };
            return Err(section.wrong(key, format!("is for jobs on {of}, and `type` is `{word}`")));
        }
        if nodes.is_some() && word != DefinitionType::Multinode {
            return Err(
                section.wrong("nodes", format!("is for `type = \"multinode\"`, and `type` is `{word}`"))
            );
        }
        let kind = match word {
            DefinitionType::Container => DefinitionKind::Container(options),
            DefinitionType::Multinode => {
                DefinitionKind::Multinode { nodes: nodes.unwrap_or(DEFAULT_NODES), options }
            }
            DefinitionType::Fargate => DefinitionKind::Fargate(on_fargate),
        };
        let mut definition = Self::new(name, kind);
        if let Some(image) = section.parsed("image")? {
            definition.image = image;
        }
        if let Some(vcpus) = numeric(&mut section, "vcpus")? {
            definition.vcpus = vcpus;
        }
        if let Some(memory) = numeric(&mut section, "memory")? {
            definition.memory = memory;
        }
        if let Some(attempts) = numeric(&mut section, "attempts")? {
            definition.attempts = attempts;
        }
        definition.timeout = section.parsed("timeout")?;
        section.finish()?;
        Ok(definition)
    }

    pub(super) fn write(&self, out: &mut Writer) {
        let default = Self::new(self.name.clone(), self.kind.clone());
        out.named_section(&format!("definition.{}", self.name));
        out.text_unless("type", &self.kind_word(), &DefinitionType::Container);
        out.text_unless("image", &self.image, &default.image);
        out.plain_unless("vcpus", self.vcpus, default.vcpus);
        out.plain_unless("memory", self.memory, default.memory);
        out.plain_unless("attempts", self.attempts.get(), default.attempts.get());
        out.text("timeout", self.timeout);
        match &self.kind {
            DefinitionKind::Container(options) => options.write(out),
            DefinitionKind::Multinode { nodes, options } => {
                out.plain_unless("nodes", *nodes, DEFAULT_NODES);
                options.write(out);
            }
            DefinitionKind::Fargate(options) => {
                out.text("ephemeral_storage", options.ephemeral_storage);
                out.text_unless("architecture", &options.architecture, &Architecture::X86);
            }
        }
    }
}

impl Ec2Options {
    fn write(&self, out: &mut Writer) {
        out.plain("gpus", self.gpus);
        out.plain_unless("privileged", self.privileged, false);
        out.text("user", self.user.as_ref());
        out.list("mounts", &self.mounts);
        out.list("ulimits", &self.ulimits);
    }
}

/// A value that is a number, or a number with a unit.
fn numeric<T: FromStr<Err = Invalid>>(
    section: &mut Section<'_, '_>,
    key: &'static str,
) -> Result<Option<T>, TomlError> {
    let Some(text) = section.number_or_text(key)? else { return Ok(None) };
    text.parse().map(Some).map_err(|why| section.wrong(key, format!("is `{text}`: {why}")))
}
