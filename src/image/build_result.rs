//! The result of a build.

use serde::Serialize;

use awsb_model::image::Tag;

/// An image that was built now, or earlier from the same content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildResult {
    /// `REGISTRY/NAME:TAG`. An image that is only on an engine has `awsb:TAG`.
    pub uri: String,
    /// `sha256:…`, if the image is in a registry.
    pub digest: Option<String>,
    /// The tag of the image.
    pub tag: Tag,
    /// CodeBuild's ID of the build, `PROJECT:UUID`.
    pub build_id: Option<String>,
    /// Whether the image was there before the build.
    pub earlier: bool,
}

impl BuildResult {
    /// The image for people: `REGISTRY/NAME:TAG (sha256:…)`.
    pub fn describe(&self) -> String {
        let digest = self.digest.as_ref().map(|digest| format!(" ({digest})")).unwrap_or_default();
        format!("{}{digest}", self.uri)
    }

    /// A name for a job definition or `docker pull` that always means these very bytes:
    /// `REGISTRY/NAME@sha256:…`. Without a registry it is the image's name.
    pub fn pinned(&self) -> String {
        let suffix = format!(":{}", self.tag);
        match (&self.digest, self.uri.strip_suffix(suffix.as_str())) {
            (Some(digest), Some(repository)) => format!("{repository}@{digest}"),
            _ => self.uri.clone(),
        }
    }
}

impl Serialize for BuildResult {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Json<'a> {
            image_uri: &'a str,
            image_tag: &'a str,
            image_digest: Option<&'a str>,
            image: String,
            build_id: Option<&'a str>,
            earlier: bool,
        }
        let json = Json {
            image_uri: &self.uri,
            image_tag: self.tag.as_str(),
            image_digest: self.digest.as_deref(),
            image: self.pinned(),
            build_id: self.build_id.as_deref(),
            earlier: self.earlier,
        };
        json.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use awsb_model::Invalid;

    #[test]
    fn an_image_is_pinned_by_its_digest() -> Result<(), Invalid> {
        let mut built = BuildResult {
            uri: "127.0.0.1:5000/lab/x:t1".into(),
            digest: Some("sha256:00".into()),
            tag: "t1".parse()?,
            build_id: None,
            earlier: false,
        };
        assert_eq!(built.pinned(), "127.0.0.1:5000/lab/x@sha256:00");
        assert_eq!(built.describe(), "127.0.0.1:5000/lab/x:t1 (sha256:00)");
        built.digest = None;
        assert_eq!(built.pinned(), "127.0.0.1:5000/lab/x:t1");
        Ok(())
    }
}
