//! Finds images that only this machine's engine has under a name.

use super::client::Engine;
use awsb_model::image::parted;

/// The ID of an image that is in no registry under this name. `None` for any other image, and if no
/// engine answers.
pub async fn local_only_id(image: &str) -> Option<String> {
    let found = Engine::find().await.ok()?.inspect(image).await.ok()??;
    let digests = found.repo_digests.unwrap_or_default();
    found.id.filter(|_| !is_in_registry(image, &digests))
}

/// Whether an image has been pulled or pushed under this very name (Docker Engine API,
/// `ImageInspect`, `RepoDigests`: a `NAME@sha256:…` for each repository). A registry may have it
/// under another name, which does not help whoever pulls this one.
fn is_in_registry(image: &str, digests: &[String]) -> bool {
    let typed = familiar(parted(image).0);
    digests.iter().filter_map(|digest| digest.split_once('@')).any(|(name, _)| familiar(name) == typed)
}

/// The name of a repository without the parts that every engine adds: Docker Hub, and `library/`
/// for Docker's own images.
fn familiar(name: &str) -> &str {
    let of_hub = name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("index.docker.io/"));
    let name = of_hub.unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_in_a_registry_under_its_own_name_alone() {
        for (image, name, is_in_registry) in [
            ("ubuntu:22.04", "ubuntu", true),
            ("ubuntu", "docker.io/library/ubuntu", true),
            ("docker.io/library/ubuntu:22.04", "ubuntu", true),
            ("lab/tool:1", "docker.io/lab/tool", true),
            ("127.0.0.1:5000/lab/tool", "127.0.0.1:5000/lab/tool", true),
            ("tool:1", "127.0.0.1:5000/tool", false),
            ("tool:1", "registry.example.org/library/tool", false),
            ("lab/tool", "tool", false),
            ("tool", "lab/tool", false),
            // The image was pulled under another name, and tagged by `docker tag`.
            ("tool", "ubuntu", false),
        ] {
            let digests = ["other@sha256:00".to_owned(), format!("{name}@sha256:0f")];
            assert_eq!(super::is_in_registry(image, &digests), is_in_registry, "{image} {name}");
        }
        assert!(!is_in_registry("tool", &[]));
    }
}
