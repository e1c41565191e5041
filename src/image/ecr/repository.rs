//! The cluster's repository: found, or made.

use aws_sdk_ecr::error::ProvideErrorMetadata;
use aws_sdk_ecr::types;

use super::client;
use crate::aws::{Session, explain};
use awsb_model::image::{Repository, RepositoryPath};

use crate::ui::{ErrorKind, Failure, Voice};

/// What is kept of ECR's answer, for a day.
pub(super) const CACHE_KIND: &str = "repository";

/// Where the cluster's images go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::image) enum RepositoryLookup {
    /// Its settings name no repository: they stay on the Docker engine.
    Unnamed,
    /// The repository.
    Found(Repository),
    /// A repository that is not there, and is made when it is needed (`create_repository`).
    ToCreate(RepositoryPath),
}

impl RepositoryLookup {
    /// The repository, made where it is to be; `None` when its settings name none.
    ///
    /// # Errors
    /// When it cannot be made (`ecr:CreateRepository`).
    pub(in crate::image) async fn or_create(
        self,
        session: &Session,
        voice: Voice,
    ) -> Result<Option<Repository>, Failure> {
        match self {
            Self::Unnamed => Ok(None),
            Self::Found(repository) => Ok(Some(repository)),
            Self::ToCreate(path) => {
                let made = create(session, &path, voice).await?;
                cache(session, &path, &made);
                Ok(Some(made))
            }
        }
    }
}

/// The cluster's repository; `None` when its settings name none: its images stay on the Docker engine. One that is not
/// there is made, if the settings say so (`create_repository`).
///
/// # Errors
/// When it is not there, and is not made; when ECR cannot be asked (`ecr:DescribeRepositories`,
/// `ecr:CreateRepository`).
pub async fn repository(session: &Session, voice: Voice) -> Result<Option<Repository>, Failure> {
    look_up(session).await?.or_create(session, voice).await
}

/// The same for whoever only looks: nothing is made.
pub(in crate::image) async fn existing(session: &Session) -> Result<Option<Repository>, Failure> {
    match look_up(session).await? {
        RepositoryLookup::Unnamed => Ok(None),
        RepositoryLookup::Found(repository) => Ok(Some(repository)),
        RepositoryLookup::ToCreate(path) => Err(missing(session, &path)),
    }
}

/// Where the cluster's images go. A repository of another registry than ECR's is nobody's to look up: it is taken as it
/// is named.
///
/// # Errors
/// When the repository is not there, and would not be made; when ECR cannot be asked (`ecr:DescribeRepositories`).
pub(in crate::image) async fn look_up(session: &Session) -> Result<RepositoryLookup, Failure> {
    let Some(path) = &session.cluster.images.ecr_repository else { return Ok(RepositoryLookup::Unnamed) };
    if let Some(registry) = path.registry.clone().filter(|registry| !registry.is_ecr()) {
        return Ok(RepositoryLookup::Found(Repository { registry, name: path.name.clone() }));
    }
    if let Some(cached) =
        session.cache.read::<String>(CACHE_KIND, &path.to_string()).and_then(|uri| Repository::of_uri(&uri))
    {
        return Ok(RepositoryLookup::Found(cached));
    }
    match describe(session, path).await? {
        Some(found) => {
            cache(session, path, &found);
            Ok(RepositoryLookup::Found(found))
        }
        None if session.cluster.images.create_repository => Ok(RepositoryLookup::ToCreate(path.clone())),
        None => Err(missing(session, path)),
    }
}

fn cache(session: &Session, path: &RepositoryPath, found: &Repository) {
    session.cache.write(CACHE_KIND, &path.to_string(), &found.uri());
}

/// What was kept is not true any more: the repository is gone.
pub(in crate::image) fn gone(session: &Session) -> Failure {
    let path = session.cluster.images.ecr_repository.as_ref();
    let was_cached = path.is_some_and(|path| session.cache.drop(CACHE_KIND, &path.to_string()));
    let failure = match path {
        Some(path) => missing(session, path),
        None => Failure::failed("the cluster's repository is gone"),
    };
    if was_cached { failure.with_kind(ErrorKind::Stale) } else { failure }
}

/// The failure for a repository that is not there.
fn missing(session: &Session, path: &RepositoryPath) -> Failure {
    let region = region(session, path);
    let name = &path.name;
    let failure = Failure::failed(format!("there is no repository {name} in ECR ({})", session.place()));
    if session.cluster.images.create_repository {
        return failure.hint("`bimage build` and `bimage push` make it, as create_repository says");
    }
    failure
        .hint(session.hint_to_setting("create_repository", "true", "has it made"))
        .hint(format!("`aws ecr create-repository --region {region} --repository-name {name}` makes it"))
}

fn region<'a>(session: &'a Session, path: &'a RepositoryPath) -> &'a str {
    path.registry.as_ref().and_then(|registry| registry.region()).unwrap_or(&session.region)
}

async fn describe(session: &Session, path: &RepositoryPath) -> Result<Option<Repository>, Failure> {
    let registry = path.registry.as_ref();
    let call = client(session, registry)
        .describe_repositories()
        .repository_names(path.name.as_str())
        .set_registry_id(registry.and_then(|r| r.account()).map(str::to_owned));
    match call.send().await {
        Ok(answer) => answer.repositories().first().map(|found| read(path, found)).transpose(),
        Err(e) if e.code() == Some("RepositoryNotFoundException") => Ok(None),
        Err(e) => Err(explain(session, &format!("looking for the repository {path}"), &e)),
    }
}

/// Makes it, as AWS's own defaults have it: tags may be moved, which they are not here, as the default tag is a hash of
/// the content.
async fn create(session: &Session, path: &RepositoryPath, voice: Voice) -> Result<Repository, Failure> {
    let registry = path.registry.as_ref();
    let call = client(session, registry)
        .create_repository()
        .repository_name(path.name.as_str())
        .set_registry_id(registry.and_then(|r| r.account()).map(str::to_owned));
    match call.send().await {
        Ok(answer) => {
            let made = answer.repository().map(|made| read(path, made)).transpose()?;
            let made = made.ok_or_else(|| unreadable(path))?;
            voice.say(format_args!("the repository {} has been created", made.uri()));
            Ok(made)
        }
        // Somebody else was faster.
        Err(e) if e.code() == Some("RepositoryAlreadyExistsException") => {
            describe(session, path).await?.ok_or_else(|| missing(session, path))
        }
        Err(e) => Err(explain(session, &format!("making the repository {path}"), &e)),
    }
}

/// ECR's answer. A registry that was named stays as it was named: ECR answers with another of its hosts' names.
fn read(path: &RepositoryPath, found: &types::Repository) -> Result<Repository, Failure> {
    let answered = found.repository_uri().and_then(Repository::of_uri).ok_or_else(|| unreadable(path))?;
    Ok(Repository { registry: path.registry.clone().unwrap_or(answered.registry), name: path.name.clone() })
}

fn unreadable(path: &RepositoryPath) -> Failure {
    Failure::failed(format!("looking for the repository {path}: ECR's answer has no URI"))
}
