//! What is told of an image, in AWS's words. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An image (ECR API, `ImageDetail`). Times are milliseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The account; `None` on an engine.
    pub registry_id: Option<String>,
    /// The repository.
    pub repository_name: Option<String>,
    /// `sha256:…`, of the manifest; on an engine, the image's ID.
    pub image_digest: Option<String>,
    /// Its tags; none, when another image has taken them over or it is a part of one.
    pub image_tags: Vec<String>,
    /// What it takes: in ECR compressed, on an engine unpacked.
    pub image_size_in_bytes: Option<i64>,
    /// When it was pushed; on an engine, when it was last tagged.
    pub image_pushed_at: Option<i64>,
    /// When it was last pulled, as far as ECR tells: to the day.
    pub last_recorded_pull_time: Option<i64>,
    /// What the manifest is: of one image, or a list of some, one for each platform.
    pub image_manifest_media_type: Option<String>,
    /// What is in it.
    pub artifact_media_type: Option<String>,
    /// `ACTIVE`, or `ARCHIVED`: it cannot be pulled then.
    pub image_status: Option<String>,
}

/// What something in a repository is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactKind {
    /// It can be run.
    Image,
    /// It can be run, on machines of several kinds.
    Platforms,
    /// Layers that a later build may take over.
    Cache,
    /// Anything else that a registry can keep.
    Other,
}

impl ArtifactKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Platforms => "platforms",
            Self::Cache => "cache",
            Self::Other => "other",
        }
    }
}

impl Image {
    /// What it is good for, by its media types (OCI Image Specification, `media-types.md`; `BuildKit`,
    /// `cache/remotecache/v1/spec.go`).
    pub fn kind(&self) -> ArtifactKind {
        let manifest = self.image_manifest_media_type.as_deref().unwrap_or_default();
        let artifact = self.artifact_media_type.as_deref().unwrap_or_default();
        if artifact.contains("buildkit.cacheconfig") {
            ArtifactKind::Cache
        } else if manifest.contains(".manifest.list.") || manifest.contains(".image.index.") {
            ArtifactKind::Platforms
        } else if artifact.is_empty()
            || artifact.contains(".image.config.")
            || artifact.contains(".container.image.")
        {
            ArtifactKind::Image
        } else {
            ArtifactKind::Other
        }
    }
}

/// An image and what its manifest says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// The image.
    #[serde(flatten)]
    pub image: Image,
    /// How a job definition names it: `REPOSITORY:TAG`, or by its digest if it has no tag.
    pub image_uri: String,
    /// The name that always means this very image: `REPOSITORY@DIGEST`. An engine has none, before it was pushed.
    pub image_uri_at_digest: Option<String>,
    /// For which machines it is, such as `linux/amd64`, when that is known.
    pub platforms: Option<Vec<String>>,
    /// Its layers, the lowest first; `None` when it is a list of images.
    pub layers: Option<Vec<Layer>>,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// Its digest: in a registry of what is stored, on an engine of what is unpacked from it.
    pub digest: String,
    /// What is stored of it; an engine does not tell.
    pub size: Option<i64>,
    /// How it is packed.
    pub media_type: Option<String>,
}

/// What is read of a manifest (OCI Image Specification, `manifest.md` and `image-index.md`).
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    media_type: Option<String>,
    layers: Option<Vec<Layer>>,
    manifests: Option<Vec<ManifestEntry>>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct ManifestEntry {
    platform: Option<ManifestPlatform>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct ManifestPlatform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl fmt::Display for ManifestPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl Manifest {
    /// What it is, if it says so.
    pub fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// The machines that a list of images is for. What `BuildKit` attaches to an image is for `unknown/unknown`, which
    /// is none.
    pub fn platforms(&self) -> Option<Vec<String>> {
        let parts = self.manifests.as_ref()?.iter().filter_map(|part| part.platform.as_ref());
        Some(parts.filter(|platform| platform.os != "unknown").map(ToString::to_string).collect())
    }

    /// The layers of a single image.
    pub fn layers(self) -> Option<Vec<Layer>> {
        self.layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_is_good_for() {
        let kind = |manifest: &str, artifact: &str| {
            let (manifest, artifact) = (Some(manifest.to_owned()), Some(artifact.to_owned()));
            Image { image_manifest_media_type: manifest, artifact_media_type: artifact, ..Image::default() }
                .kind()
        };
        let oci = "application/vnd.oci.image.manifest.v1+json";
        assert_eq!(kind("application/vnd.docker.distribution.manifest.v2+json", ""), ArtifactKind::Image);
        assert_eq!(kind(oci, "application/vnd.docker.container.image.v1+json"), ArtifactKind::Image);
        assert_eq!(kind(oci, "application/vnd.oci.image.config.v1+json"), ArtifactKind::Image);
        assert_eq!(
            kind("application/vnd.docker.distribution.manifest.list.v2+json", ""),
            ArtifactKind::Platforms
        );
        assert_eq!(kind("application/vnd.oci.image.index.v1+json", ""), ArtifactKind::Platforms);
        assert_eq!(kind(oci, "application/vnd.buildkit.cacheconfig.v0"), ArtifactKind::Cache);
        assert_eq!(kind(oci, "application/vnd.cncf.helm.config.v1+json"), ArtifactKind::Other);
        assert_eq!(Image::default().kind(), ArtifactKind::Image);
    }

    #[test]
    fn manifests() {
        let index = r#"{"schemaVersion": 2, "manifests": [
            {"digest": "sha256:1", "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": "sha256:2", "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
            {"digest": "sha256:3", "platform": {"os": "unknown", "architecture": "unknown"}}, {"digest": "sha256:4"}]}"#;
        let index: Manifest = serde_json::from_str(index).unwrap();
        assert_eq!(index.platforms().unwrap(), ["linux/amd64", "linux/arm64/v8"]);
        assert_eq!(index.layers(), None);
        let image = r#"{"mediaType": "m", "config": {"size": 7},
            "layers": [{"mediaType": "application/x", "size": 12, "digest": "sha256:5"}]}"#;
        let image: Manifest = serde_json::from_str(image).unwrap();
        assert_eq!((image.platforms(), image.media_type()), (None, Some("m")));
        assert_eq!(image.layers().unwrap()[0].size, Some(12));
    }
}
