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
    /// The build, where it has an ID.
    pub build_id: Option<String>,
    /// Whether it was there before: nothing was built, or sent.
    pub earlier: bool,
}

impl View for Built {
    fn plain(&self) -> Layout {
        Layout::Lines([Some(self.uri.clone()), self.digest.clone()].into_iter().flatten().collect())
    }

    fn json(&self) -> Vec<Value> {
        vec![json!({
            "imageUri": self.uri,
            "imageDigest": self.digest,
            "imageTag": self.tag.as_str(),
            "buildId": self.build_id,
            "earlier": self.earlier,
        })]
    }
}
