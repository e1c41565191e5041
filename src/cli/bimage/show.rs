//! `bimage show`: shows an image in detail.

use serde_json::Value;

use super::CommonArgs;
use super::table::bytes;
use crate::image::{Details, NamedImage, Store, not_there};
use crate::ui::{Exit, Failure, Layout, View, local_rfc3339};

/// The arguments of `bimage show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A tag or a digest (sha256:…), with or without the repository
    #[arg(value_name = "TAG")]
    tag: NamedImage,
}

impl Args {
    /// Shows an image in detail.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let session = common.open().await?;
        let store = Store::open(&session).await?;
        store.print_location_note(&session);
        let id = store.resolve(&self.tag)?;
        let details = store.details(&id).await?;
        let details = common.found(details.ok_or_else(|| not_there(&id, &store.describe())))?;
        common.output().show(&ImageView(details))?;
        Ok(Exit::Done)
    }
}

/// An image in detail.
struct ImageView(Details);

impl View for ImageView {
    fn plain(&self) -> Layout {
        let Details { image, image_uri, image_uri_at_digest, platforms, layers } = &self.0;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let time = |at: Option<i64>| at.map(local_rfc3339).unwrap_or_default();
        let size = image.image_size_in_bytes.map(|size| format!("{size} ({})", bytes(size)));
        let mut lines = vec![
            ("imageUri", image_uri.clone()),
            ("imageUriAtDigest", text(image_uri_at_digest)),
            ("imageTags", image.image_tags.join(", ")),
            ("imageDigest", text(&image.image_digest)),
            ("imageSizeInBytes", size.unwrap_or_default()),
            ("imagePushedAt", time(image.image_pushed_at)),
            ("lastRecordedPullTime", time(image.last_recorded_pull_time)),
            ("imageManifestMediaType", text(&image.image_manifest_media_type)),
            ("artifactMediaType", text(&image.artifact_media_type)),
            ("imageStatus", text(&image.image_status)),
            ("kind", image.kind().as_str().to_owned()),
            ("platforms", platforms.as_ref().map(|all| all.join(", ")).unwrap_or_default()),
        ];
        for layer in layers.iter().flatten() {
            let size = layer.size.map(|size| format!(" ({})", bytes(size))).unwrap_or_default();
            lines.push(("layer", format!("{}{size}", layer.digest)));
        }
        Layout::Details(lines.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    fn json(&self) -> Vec<Value> {
        vec![serde_json::to_value(&self.0).unwrap_or_default()]
    }
}
