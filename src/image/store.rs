//! Where the images of a cluster are: in its repository, or on the Docker engine of this machine.

use super::{Details, ENGINE_REPOSITORY, Image, ImageId, NamedImage, ecr, engine};
use crate::aws::Session;
use crate::ui::{Failure, note};
use awsb_model::image::Repository;

/// The images of a cluster.
#[derive(Debug)]
pub enum Store<'s> {
    /// In a repository of ECR.
    Ecr(&'s Session, Repository),
    /// On the engine, as `awsb:TAG`.
    Engine(engine::Engine),
}

/// An image, or a tag of one, that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// As it was named.
    pub id: ImageId,
    /// Its digest, when it is told.
    pub digest: Option<String>,
}

impl<'s> Store<'s> {
    /// The store that the cluster's settings name. Nothing is sent to ECR when it is known already.
    ///
    /// # Errors
    /// When the repository is not there, or is one of a registry that is not ECR's; when no engine answers.
    pub async fn open(session: &'s Session) -> Result<Self, Failure> {
        match ecr::existing(session).await? {
            Some(repository) if repository.registry.is_ecr() => Ok(Self::Ecr(session, repository)),
            Some(Repository { registry, name }) => Err(Failure::usage(format!(
                "the repository {registry}/{name} is not in ECR: only its registry knows its images"
            ))
            .hint(format!("`curl https://{registry}/v2/{name}/tags/list` asks it for their tags"))),
            None => engine::image_engine(session).await.map(Self::Engine),
        }
    }

    /// Says that it is the engine's, where that is no matter of course: its jobs run elsewhere.
    pub fn print_location_note(&self, session: &Session) {
        if matches!(self, Self::Engine(_)) && !session.cluster.images.engine_runs_jobs {
            let name = &session.cluster.name;
            note(format!(
                "bimage: note: these images are on this machine's Docker engine; jobs of the cluster {name} \
                 cannot use them, as its settings have no ecr_repository"
            ));
        }
    }

    /// Its name, as messages have it.
    pub fn describe(&self) -> String {
        match self {
            Self::Ecr(_, repository) => ecr::describe(repository),
            Self::Engine(_) => engine::describe(),
        }
    }

    /// An image as Docker names it.
    pub fn reference(&self, id: &ImageId) -> String {
        match self {
            Self::Ecr(_, repository) => id.within(repository.uri()),
            Self::Engine(_) => id.within(ENGINE_REPOSITORY),
        }
    }

    /// The image that a name means here.
    ///
    /// # Errors
    /// When it is one of another repository.
    pub fn resolve(&self, named: &NamedImage) -> Result<ImageId, Failure> {
        let is_ours = |name: &str| match self {
            Self::Ecr(_, repository) => name == repository.uri() || name == repository.name.as_str(),
            Self::Engine(_) => name == ENGINE_REPOSITORY,
        };
        if named.repository.as_deref().is_none_or(is_ours) {
            return Ok(named.id.clone());
        }
        Err(Failure::usage(format!(
            "{named} is not in {}: it belongs to another repository",
            self.describe()
        ))
        .hint("`bimage list` lists the images"))
    }

    /// All images, the newest first.
    ///
    /// # Errors
    /// When they cannot be listed (`ecr:DescribeImages`).
    pub async fn list(&self) -> Result<Vec<Image>, Failure> {
        let mut images = match self {
            Self::Ecr(session, repository) => ecr::list(session, repository).await?,
            Self::Engine(engine) => engine::list(engine).await?,
        };
        images.sort_by(|a, b| (b.image_pushed_at, &a.image_tags).cmp(&(a.image_pushed_at, &b.image_tags)));
        Ok(images)
    }

    /// An image; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be looked for (`ecr:DescribeImages`).
    pub async fn find(&self, id: &ImageId) -> Result<Option<Image>, Failure> {
        match self {
            Self::Ecr(session, repository) => ecr::find_by_id(session, repository, id).await,
            Self::Engine(engine) => Ok(engine::details(engine, id).await?.map(|details| details.image)),
        }
    }

    /// An image and what its manifest says; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be looked for (`ecr:DescribeImages`, `ecr:BatchGetImage`).
    pub async fn details(&self, id: &ImageId) -> Result<Option<Details>, Failure> {
        match self {
            Self::Ecr(session, repository) => ecr::details(session, repository, id).await,
            Self::Engine(engine) => engine::details(engine, id).await,
        }
    }

    /// Removes images, and tells of each what became of it.
    ///
    /// # Errors
    /// When none can be removed any more (`ecr:BatchDeleteImage`), or `tell` fails.
    pub async fn remove(
        &self,
        ids: &[ImageId],
        report: &mut impl FnMut(Result<Removed, Failure>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self {
            Self::Ecr(session, repository) => ecr::remove(session, repository, ids, report).await,
            Self::Engine(engine) => engine::remove(engine, ids, report).await,
        }
    }
}

/// The failure for an image that is not there.
pub fn not_there(id: &ImageId, place: &str) -> Failure {
    Failure::failed(format!("there is no image {id} in {place}")).hint("`bimage list` lists the images")
}
