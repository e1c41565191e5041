//! Descriptions of an image, with AWS's names. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An image (ECR API, `ImageDetail`). Times are milliseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The account. On an engine there is none.
    pub registry_id: Option<String>,
    /// The name of the repository.
    pub repository_name: Option<String>,
    /// `sha256:…` of the manifest. On an engine, it is the image's ID.
    pub image_digest: Option<String>,
    /// The tags. There are none if other images have taken them over, or if the image is a part of
    /// another one.
    pub image_tags: Vec<String>,
    /// The size: compressed in ECR, unpacked on an engine.
    pub image_size_in_bytes: Option<i64>,
    /// When the image was pushed. On an engine, it is when it was last tagged.
    pub image_pushed_at: Option<i64>,
    /// When the image was last pulled. ECR records the day.
    pub last_recorded_pull_time: Option<i64>,
    /// The media type of the manifest. It tells an image from a list of images, one for each
    /// platform.
    pub image_manifest_media_type: Option<String>,
    /// The media type of the content.
    pub artifact_media_type: Option<String>,
    /// `ACTIVE`, or `ARCHIVED` if it cannot be pulled.
    pub image_status: Option<String>,
}

/// The purpose of an artifact in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactKind {
    /// An image, which can be run.
    Image,
    /// A list of images, one for each platform.
    Platforms,
    /// Layers that a later build can reuse.
    Cache,
    /// Any other artifact.
    Other,
}

impl ArtifactKind {
    /// The name of the kind, as it is printed.
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
    /// The kind of the artifact, by its media types (OCI Image Specification, `media-types.md`;
    /// `BuildKit`, `cache/remotecache/v1/spec.go`).
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

/// An image and the content of its manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// The image.
    #[serde(flatten)]
    pub image: Image,
    /// The name for a job definition: `REPOSITORY:TAG`, or with the digest if the image has no tag.
    pub image_uri: String,
    /// The name that always means this very image: `REPOSITORY@DIGEST`. An image on an engine has
    /// none before it is pushed.
    pub image_uri_at_digest: Option<String>,
    /// The platforms of the image, such as `linux/amd64`, if they are known.
    pub platforms: Option<Vec<String>>,
    /// The layers, the lowest first. A list of images has none.
    pub layers: Option<Vec<Layer>>,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// The digest: in a registry of the stored layer, on an engine of the unpacked one.
    pub digest: String,
    /// The stored size. An engine does not report it.
    pub size: Option<i64>,
    /// The media type of the stored layer.
    pub media_type: Option<String>,
}

/// The part of a manifest that is read (OCI Image Specification, `manifest.md` and
/// `image-index.md`).
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
    /// The media type of the manifest, if it has one.
    pub fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// The platforms in a list of images. Attachments of `BuildKit` have the platform
    /// `unknown/unknown`, and are left out.
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
