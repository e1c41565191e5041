//! What a build, or a push, ends with.

use serde_json::{Value, json};

use super::Tag;
use crate::ui::{Layout, View};

/// An image that jobs can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// `REGISTRY/NAME:TAG`; `awsb:TAG` of one that is on the engine alone.
    pub uri: String,
    /// `sha256:…`, of its manifest; one that is on the engine alone has none.
    pub digest: Option<String>,
    /// Its tag.
    pub tag: Tag,
    /// The build, where it has an ID: CodeBuild's, `PROJECT:UUID`.
    pub build_id: Option<String>,
    /// Whether it was there before: nothing was built, or sent.
    pub earlier: bool,
}

impl Built {
    /// What a job definition and `docker pull` can name, and always means these very bytes: `REGISTRY/NAME@sha256:…`.
    /// One that is on the engine alone has its name.
    pub fn pinned(&self) -> String {
        let suffix = format!(":{}", self.tag);
        match (&self.digest, self.uri.strip_suffix(suffix.as_str())) {
            (Some(digest), Some(repository)) => format!("{repository}@{digest}"),
            _ => self.uri.clone(),
        }
    }
}

/// One line, for scripts: `image=$(bimage build)`.
impl View for Built {
    fn plain(&self) -> Layout {
        Layout::Lines(vec![self.pinned()])
    }

    fn json(&self) -> Vec<Value> {
        vec![json!({
            "image": self.pinned(),
            "imageUri": self.uri,
            "imageDigest": self.digest,
            "imageTag": self.tag.as_str(),
            "buildId": self.build_id,
            "earlier": self.earlier,
        })]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Invalid;

    #[test]
    fn an_image_is_pinned_by_its_digest() -> Result<(), Invalid> {
        let mut built = Built {
            uri: "127.0.0.1:5000/lab/x:t1".into(),
            digest: Some("sha256:00".into()),
            tag: "t1".parse()?,
            build_id: None,
            earlier: false,
        };
        assert_eq!(built.pinned(), "127.0.0.1:5000/lab/x@sha256:00");
        built.digest = None;
        assert_eq!(built.pinned(), "127.0.0.1:5000/lab/x:t1");
        Ok(())
    }
}
