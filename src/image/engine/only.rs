//! Images that this machine's engine has from nowhere.

use super::Engine;
use crate::image::RepositoryPath;

/// The ID of an image that was never pulled, and never pushed but to our own repository; `None` for any other, and
/// where no engine answers.
pub async fn only_here(image: &str, own: &RepositoryPath) -> Option<String> {
    let found = Engine::find().await.ok()?.inspect(image).await.ok()??;
    let digests = found.repo_digests.unwrap_or_default();
    let is_ours = |digest: &String| {
        let name = digest.split('@').next().and_then(|name| name.parse::<RepositoryPath>().ok());
        name.is_some_and(|path| path.registry.is_some() && path.name == own.name)
    };
    found.id.filter(|_| digests.iter().all(is_ours))
}
