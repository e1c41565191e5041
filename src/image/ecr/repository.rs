//! Finds or creates the cluster's repository.

use aws_sdk_ecr::error::ProvideErrorMetadata;
use aws_sdk_ecr::types;

use super::client::client;
use crate::aws::{Session, explain};
use awsb_model::image::{Repository, RepositoryPath};

use crate::ui::{ErrorKind, Failure, Reporter};

/// The kind of cache entry for ECR's answer. It is valid for a day.
pub(super) const CACHE_KIND: &str = "repository";

/// The result of looking up the cluster's repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::image) enum RepositoryLookup {
    /// The cluster's settings name no repository. Its images stay on the Docker engine.
    Unnamed,
    /// The repository exists.
    Found(Repository),
    /// The repository does not exist, and will be created when it is needed (`create_repository`).
    ToCreate(RepositoryPath),
}

impl RepositoryLookup {
    /// The repository, created if necessary. `None`: the cluster's settings name none.
    ///
    /// # Errors
    /// When it cannot be created (`ecr:CreateRepository`).
    pub(in crate::image) async fn or_create(
        self,
        session: &Session,
        reporter: Reporter,
    ) -> Result<Option<Repository>, Failure> {
        match self {
            Self::Unnamed => Ok(None),
            Self::Found(repository) => Ok(Some(repository)),
            Self::ToCreate(path) => {
                let made = create(session, &path, reporter).await?;
                cache(session, &path, &made);
                Ok(Some(made))
            }
        }
    }
}

/// The cluster's repository. `None`: the settings name none, and the images stay on the Docker
/// engine. A missing repository is created if the settings say so (`create_repository`).
///
/// # Errors
/// When it does not exist and is not created; when ECR cannot be asked (`ecr:DescribeRepositories`,
/// `ecr:CreateRepository`).
pub async fn repository(session: &Session, reporter: Reporter) -> Result<Option<Repository>, Failure> {
    look_up(session).await?.or_create(session, reporter).await
}

/// The cluster's repository for a caller that only reads. Nothing is created.
pub(in crate::image) async fn existing(session: &Session) -> Result<Option<Repository>, Failure> {
    match look_up(session).await? {
        RepositoryLookup::Unnamed => Ok(None),
        RepositoryLookup::Found(repository) => Ok(Some(repository)),
        RepositoryLookup::ToCreate(path) => Err(missing(session, &path)),
    }
}

/// Looks up the cluster's repository. A repository in a registry other than ECR cannot be looked
/// up, and is taken as it is named.
///
/// # Errors
/// When the repository does not exist and would not be created; when ECR cannot be asked
/// (`ecr:DescribeRepositories`).
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

/// The failure for a repository that has been removed. It evicts the cache entry.
pub(in crate::image) fn gone(session: &Session) -> Failure {
    let path = session.cluster.images.ecr_repository.as_ref();
    let was_cached = path.is_some_and(|path| session.cache.drop(CACHE_KIND, &path.to_string()));
    let failure = match path {
        Some(path) => missing(session, path),
        None => Failure::failed("the cluster's repository is gone"),
    };
    if was_cached { failure.with_kind(ErrorKind::Stale) } else { failure }
}

/// The failure for a repository that does not exist.
fn missing(session: &Session, path: &RepositoryPath) -> Failure {
    let region = region(session, path);
    let name = &path.name;
    let failure = Failure::failed(format!("there is no repository {name} in ECR ({})", session.describe()));
    if session.cluster.images.create_repository {
        return failure.hint("`bimage build` and `bimage push` make it, as create_repository says");
    }
    failure
        .hint(session.cluster.hint_to_setting("create_repository", "true", "has it made"))
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

/// Creates the repository with AWS's defaults. They allow tags to be moved. The default tags are
/// never moved, as they are hashes of the content.
async fn create(session: &Session, path: &RepositoryPath, reporter: Reporter) -> Result<Repository, Failure> {
    let registry = path.registry.as_ref();
    let call = client(session, registry)
        .create_repository()
        .repository_name(path.name.as_str())
        .set_registry_id(registry.and_then(|r| r.account()).map(str::to_owned));
    match call.send().await {
        Ok(answer) => {
            let made = answer.repository().map(|made| read(path, made)).transpose()?;
            let made = made.ok_or_else(|| unreadable(path))?;
            reporter.print(format_args!("the repository {} has been created", made.uri()));
            Ok(made)
        }
        // Another client has created it in the meantime.
        Err(e) if e.code() == Some("RepositoryAlreadyExistsException") => {
            describe(session, path).await?.ok_or_else(|| missing(session, path))
        }
        Err(e) => Err(explain(session, &format!("making the repository {path}"), &e)),
    }
}

/// Reads ECR's answer. A registry keeps the name that the settings give it, as ECR answers with
/// another of its host names.
fn read(path: &RepositoryPath, found: &types::Repository) -> Result<Repository, Failure> {
    let answered = found.repository_uri().and_then(Repository::of_uri).ok_or_else(|| unreadable(path))?;
    Ok(Repository { registry: path.registry.clone().unwrap_or(answered.registry), name: path.name.clone() })
}

fn unreadable(path: &RepositoryPath) -> Failure {
    Failure::failed(format!("looking for the repository {path}: ECR's answer has no URI"))
}
