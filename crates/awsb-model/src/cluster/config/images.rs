//! `[images]`: the ECR repository, and the CodeBuild project that builds images.

use super::section::{BooleanOr, Section};
use super::values::{Architecture, ProjectName, word_type};
use super::writer::Writer;
use crate::Period;
use crate::image::RepositoryName;
use crate::toml_reader::TomlError;

/// The images of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The repository.
    pub repository: Repository,
    /// The CodeBuild project.
    pub project: Project,
}

/// The ECR repository of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repository {
    /// None.
    None,
    /// The cluster makes it, as `awsb/NAME`.
    New(NewRepository),
    /// It exists, in the account and region of the cluster.
    Existing(RepositoryName),
}

/// A repository that the cluster makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewRepository {
    /// Whether images are scanned when they are pushed.
    pub scan: bool,
    /// Whether a tag stays on its image.
    pub immutable_tags: bool,
    /// When images without a tag expire. `None`: never.
    pub expire_untagged: Option<Period>,
    /// Whether it stays when the cluster is deleted.
    pub keep: bool,
}

/// The CodeBuild project of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Project {
    /// None.
    None,
    /// The cluster makes it.
    New(NewProject),
    /// It exists.
    Existing(ProjectName),
}

/// A project that the cluster makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewProject {
    /// The size of the machine.
    pub machine: Machine,
    /// The architecture. `None`: that of the default queue's machines.
    pub architecture: Option<Architecture>,
    /// The time limit of a build.
    pub timeout: Period,
}

word_type!(
    /// The size of a machine that builds (CodeBuild User Guide, `build-env-ref-compute-types`).
    Machine {
        /// 2 vCPUs, 4 GB.
        Small = "small",
        /// 4 vCPUs, 8 GB.
        Medium = "medium",
        /// 8 vCPUs, 16 GB.
        Large = "large",
        /// 36 vCPUs, 72 GB.
        Xlarge = "xlarge",
        /// 72 vCPUs, 144 GB.
        Xlarge2 = "2xlarge",
    }
);

const DAY: u32 = 86_400;
const HOUR: u32 = 3600;

impl Default for NewRepository {
    fn default() -> Self {
        let expire_untagged = Some(Period::of_seconds(14 * DAY));
        Self { scan: true, immutable_tags: false, expire_untagged, keep: false }
    }
}

impl Default for NewProject {
    fn default() -> Self {
        Self { machine: Machine::Medium, architecture: None, timeout: Period::of_seconds(HOUR) }
    }
}

impl Default for Images {
    fn default() -> Self {
        Self {
            repository: Repository::New(NewRepository::default()),
            project: Project::New(NewProject::default()),
        }
    }
}

impl Images {
    pub(super) fn parse(mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let repository = section.boolean_or::<RepositoryName>("repository")?;
        let default = NewRepository::default();
        let new_repository = NewRepository {
            scan: section.boolean("scan", default.scan)?,
            immutable_tags: section.boolean("immutable_tags", default.immutable_tags)?,
            expire_untagged: section.days("expire_untagged", default.expire_untagged)?,
            keep: section.boolean("keep", default.keep)?,
        };
        let repository = match repository {
            None | Some(BooleanOr::Boolean(true)) => Repository::New(new_repository),
            Some(other) => {
                not_of_new(&section, "repository", &["scan", "immutable_tags", "expire_untagged", "keep"])?;
                match other {
                    BooleanOr::Boolean(_) => Repository::None,
                    BooleanOr::Text(name) => Repository::Existing(name),
                }
            }
        };
        let project = section.boolean_or::<ProjectName>("project")?;
        let default = NewProject::default();
        let new_project = NewProject {
            machine: section.parsed("machine")?.unwrap_or(default.machine),
            architecture: section.parsed("architecture")?,
            timeout: section.period("timeout", 300..=36 * HOUR)?.unwrap_or(default.timeout),
        };
        if !new_project.timeout.get().as_secs().is_multiple_of(60) {
            return Err(section.wrong("timeout", "has to be whole minutes, such as 30m"));
        }
        let project = match project {
            // A project needs a repository to push to.
            None if repository == Repository::None => Project::None,
            None | Some(BooleanOr::Boolean(true)) => Project::New(new_project),
            Some(other) => {
                not_of_new(&section, "project", &["machine", "architecture", "timeout"])?;
                match other {
                    BooleanOr::Boolean(_) => Project::None,
                    BooleanOr::Text(name) => Project::Existing(name),
                }
            }
        };
        section.finish()?;
        Ok(Self { repository, project })
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.section("images");
        match &self.repository {
            Repository::None => out.plain("repository", Some(false)),
            Repository::Existing(name) => out.text("repository", Some(name)),
            Repository::New(repository) => {
                let default = NewRepository::default();
                out.plain_unless("scan", repository.scan, default.scan);
                out.plain_unless("immutable_tags", repository.immutable_tags, default.immutable_tags);
                out.limit("expire_untagged", repository.expire_untagged, default.expire_untagged);
                out.plain_unless("keep", repository.keep, default.keep);
            }
        }
        match &self.project {
            Project::None if self.repository == Repository::None => {}
            Project::None => out.plain("project", Some(false)),
            Project::Existing(name) => out.text("project", Some(name)),
            Project::New(project) => {
                let default = NewProject::default();
                if self.repository == Repository::None {
                    out.plain("project", Some(true));
                }
                out.text_unless("machine", &project.machine, &default.machine);
                out.text("architecture", project.architecture);
                out.text_unless("timeout", &project.timeout, &default.timeout);
            }
        }
    }
}

/// Refuses keys of a new one where there is none, or another one.
fn not_of_new(section: &Section<'_, '_>, of: &str, keys: &[&str]) -> Result<(), TomlError> {
    match keys.iter().find(|key| section.has(key)) {
        None => Ok(()),
        Some(key) => Err(section.wrong(key, format!("is for a {of} that the cluster makes (`{of} = true`)"))),
    }
}
