//! `bimage rm`: removes images.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::table::{bytes, short};
use super::{CommonArgs, table};
use crate::image::{Image, ImageId, NamedImage, Removed, Store, not_there};
use crate::ui::{self, Exit, Failure, Format, JsonArray, Layout, print_message};

/// At most this many images are looked up at the same time.
const CONCURRENCY: usize = 10;
/// At most this many images are shown before bimage asks.
const SHOWN: usize = 20;

/// The arguments of `bimage rm`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Remove them without asking
    #[arg(short, long)]
    yes: bool,
    /// Show the images that would be removed, and remove none
    #[arg(long)]
    dry_run: bool,
    /// Tags or digests (sha256:…), with or without the repository
    #[arg(value_name = "TAG", required = true)]
    tags: Vec<NamedImage>,
}

impl Args {
    /// Removes images.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        if !self.yes && !self.dry_run && !ui::can_ask() {
            return Err(Failure::usage(
                "refusing to remove images without asking: standard input is not a terminal",
            )
            .hint("`--yes` removes them without asking, and `--dry-run` only shows them"));
        }
        let session = common.open().await?;
        let store = Store::open(&session).await?;
        store.print_location_note(&session);
        let mut tags: Vec<ImageId> =
            self.tags.iter().map(|tag| store.resolve(tag)).collect::<Result<_, _>>()?;
        let mut seen = std::collections::HashSet::new();
        tags.retain(|tag| seen.insert(tag.clone()));
        if self.yes && !self.dry_run {
            return remove(&store, common, &tags).await;
        }
        let (found, missing) = find(&store, tags).await?;
        missing.iter().for_each(|failure| failure.report("bimage"));
        let exit = if missing.is_empty() { Exit::Done } else { Exit::Failed };
        if self.dry_run {
            table::show(&common.output(), &found.into_iter().map(|(_, image)| image).collect::<Vec<_>>())?;
            return Ok(exit);
        }
        if found.is_empty() {
            common.output().show_none()?;
            return Ok(exit);
        }
        if !confirm(&store, &found).await? {
            print_message("bimage: nothing has been removed");
            return Ok(Exit::Failed);
        }
        let tags: Vec<ImageId> = found.into_iter().map(|(tag, _)| tag).collect();
        let removed = remove(&store, common, &tags).await?;
        Ok(if removed == Exit::Done { exit } else { removed })
    }
}

/// The images that exist, and a failure for each that does not.
async fn find(
    store: &Store<'_>,
    tags: Vec<ImageId>,
) -> Result<(Vec<(ImageId, Image)>, Vec<Failure>), Failure> {
    let lookups = tags.into_iter().map(|tag| async move { Ok::<_, Failure>((store.find(&tag).await?, tag)) });
    let lookups: Vec<_> = stream::iter(lookups).buffered(CONCURRENCY).try_collect().await?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for (image, tag) in lookups {
        match image {
            Some(image) => found.push((tag, image)),
            None => missing.push(not_there(&tag, &store.describe())),
        }
    }
    Ok((found, missing))
}

/// Shows the images on the terminal, and asks whether to remove them.
async fn confirm(store: &Store<'_>, found: &[(ImageId, Image)]) -> Result<bool, Failure> {
    for (tag, image) in found.iter().take(SHOWN) {
        let digest = image.image_digest.as_deref().map(short).unwrap_or_default();
        let size = image.image_size_in_bytes.map(|size| format!("  {}", bytes(size))).unwrap_or_default();
        print_message(format!("{tag}  {digest}{size}{}", others(tag, image)));
    }
    if found.len() > SHOWN {
        print_message(format!("and {} more", found.len() - SHOWN));
    }
    let these =
        if found.len() == 1 { "this image".to_owned() } else { format!("these {} images", found.len()) };
    ui::ask(&format!("Remove {these} from {}?", store.describe())).await
}

/// The other tags of an image, in words.
fn others(id: &ImageId, image: &Image) -> String {
    let others: Vec<&str> =
        image.image_tags.iter().map(String::as_str).filter(|tag| *tag != id.to_string()).collect();
    match (id, others.as_slice()) {
        (_, []) => String::new(),
        (ImageId::Tag(_), others) => format!("  (stays as {})", others.join(", ")),
        (ImageId::Digest(_), others) => format!("  (with {})", others.join(", ")),
    }
}

/// Removes the images, and reports on each. After a failure, the others are still removed.
async fn remove(store: &Store<'_>, common: &CommonArgs, tags: &[ImageId]) -> Result<Exit, Failure> {
    // Failures are printed even if nobody reads the output.
    let output = common.output().outliving_its_reader();
    let mut array = (output.format() == Format::Json).then(|| output.json_array());
    let mut exit = Exit::Done;
    let mut report = |outcome: Result<Removed, Failure>| {
        let removed = match outcome {
            Ok(removed) => removed,
            Err(failure) => {
                failure.report("bimage");
                exit = Exit::Failed;
                return Ok(());
            }
        };
        match &mut array {
            Some(array) => array.push(&json(&removed)),
            None => output.show_layout(&Layout::Lines(vec![format!(
                "Image {} is removed.",
                store.reference(&removed.id)
            )])),
        }
    };
    let outcome = store.remove(tags, &mut report).await;
    array.map_or(Ok(()), JsonArray::finish)?;
    outcome.map(|()| exit)
}

/// A removed image in the shape of ECR's `ImageIdentifier`.
fn json(removed: &Removed) -> serde_json::Value {
    let tag = match &removed.id {
        ImageId::Tag(tag) => Some(tag.as_str()),
        ImageId::Digest(_) => None,
    };
    json!({"imageTag": tag, "imageDigest": removed.digest})
}
