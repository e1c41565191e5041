//! The images of a cluster: in its repository, or on the Docker engine of this machine.

use super::{Details, Image, ImageId, NamedImage, Removed, ecr, engine};
use crate::aws::Session;
use crate::ui::{Failure, print_message};
use awsb_model::image::Repository;

/// The store of a cluster's images.
#[derive(Debug)]
pub enum Store<'s> {
    /// The store is a repository of ECR.
    Ecr(&'s Session, Repository),
    /// The store is an engine, with the names `awsb:TAG`.
    Engine(engine::Engine),
}

impl<'s> Store<'s> {
    /// Opens the store that the cluster's settings name. A cached repository is not looked up
    /// again.
    ///
    /// # Errors
    /// When the repository does not exist, or is in a registry other than ECR; when no engine
    /// answers.
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

    /// Prints a note that the images are on the engine, unless that is where the cluster's jobs
    /// run.
    pub fn print_location_note(&self, session: &Session) {
        if matches!(self, Self::Engine(_)) && !session.cluster.images.engine_runs_jobs {
            let name = &session.cluster.name;
            print_message(format!(
                "bimage: note: these images are on this machine's Docker engine; jobs of the cluster {name} \
                 cannot use them, as its settings have no ecr_repository"
            ));
        }
    }

    /// The name of the store in the form that messages have.
    pub fn describe(&self) -> String {
        match self {
            Self::Ecr(_, repository) => ecr::describe(repository),
            Self::Engine(_) => engine::describe(),
        }
    }

    /// The name of an image for Docker.
    pub fn reference(&self, id: &ImageId) -> String {
        match self {
            Self::Ecr(_, repository) => id.within(repository.uri()),
            Self::Engine(_) => id.within(engine::REPOSITORY),
        }
    }

    /// Resolves the name of an image.
    ///
    /// # Errors
    /// When it belongs to another repository.
    pub fn resolve(&self, named: &NamedImage) -> Result<ImageId, Failure> {
        let is_ours = |name: &str| match self {
            Self::Ecr(_, repository) => name == repository.uri() || name == repository.name.as_str(),
            Self::Engine(_) => name == engine::REPOSITORY,
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

    /// An image, if it exists.
    ///
    /// # Errors
    /// When it cannot be looked up (`ecr:DescribeImages`).
    pub async fn find(&self, id: &ImageId) -> Result<Option<Image>, Failure> {
        match self {
            Self::Ecr(session, repository) => ecr::find_by_id(session, repository, id).await,
            Self::Engine(engine) => Ok(engine::details(engine, id).await?.map(|details| details.image)),
        }
    }

    /// An image and the content of its manifest, if it exists.
    ///
    /// # Errors
    /// When it cannot be looked up (`ecr:DescribeImages`, `ecr:BatchGetImage`).
    pub async fn details(&self, id: &ImageId) -> Result<Option<Details>, Failure> {
        match self {
            Self::Ecr(session, repository) => ecr::details(session, repository, id).await,
            Self::Engine(engine) => engine::details(engine, id).await,
        }
    }

    /// Removes images, and reports the outcome of each.
    ///
    /// # Errors
    /// When the rest cannot be removed either (`ecr:BatchDeleteImage`), or `report` fails.
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
