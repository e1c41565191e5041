//! The credentials for a repository's registry.

use bollard::auth::DockerCredentials;

use awsb_docker::credentials::credentials;
pub use awsb_docker::credentials::of_user;

use crate::aws::Session;
use crate::image::ecr;
use crate::ui::Failure;
use awsb_model::image::Repository;

/// The credentials for the registry of a repository. A registry of ECR gets a token. So does one on
/// this machine if ECR is simulated there, too. Any other registry gets the credentials that the
/// user's `docker login` has stored, if any.
///
/// # Errors
/// When ECR gives no token for its own registry.
pub async fn of_registry(
    session: &Session,
    repository: &Repository,
) -> Result<Option<DockerCredentials>, Failure> {
    let registry = repository.registry.as_str();
    let ours = async || {
        let token = ecr::authorization(session).await?;
        Ok::<_, Failure>(credentials(&token.user, token.password.reveal(), None))
    };
    if repository.registry.is_ecr() {
        return ours().await.map(Some);
    }
    match of_user().await.remove(registry) {
        Some(known) => Ok(Some(known)),
        None if repository.registry.is_here() && !session.ecr_is_aws() => Ok(ours().await.ok()),
        None => Ok(None),
    }
}
