//! `bimage rm`: images go.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::table::{bytes, short};
use super::{CommonArgs, table};
use crate::image::{Image, ImageId, NamedImage, Removed, Store, not_there};
use crate::ui::{self, Exit, Failure, Format, JsonArray, Layout, note};

/// So many images are looked for at once.
const AT_ONCE: usize = 10;
/// So many are shown before bimage asks.
const SHOWN: usize = 20;

/// Its arguments.
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
    /// The story.
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
        let (found, missing) = look(&store, tags).await?;
        missing.iter().for_each(|failure| failure.report("bimage"));
        let exit = if missing.is_empty() { Exit::Done } else { Exit::Failed };
        if self.dry_run {
            table::show(&common.output(), &found.into_iter().map(|(_, image)| image).collect::<Vec<_>>())?;
            return Ok(exit);
        }
        if found.is_empty() {
            return Ok(exit);
        }
        if !are_meant(&store, &found).await? {
            note("bimage: nothing has been removed");
            return Ok(Exit::Failed);
        }
        let tags: Vec<ImageId> = found.into_iter().map(|(tag, _)| tag).collect();
        let removed = remove(&store, common, &tags).await?;
        Ok(if removed == Exit::Done { exit } else { removed })
    }
}

/// The images that are there, and a failure for each that is not.
async fn look(
    store: &Store<'_>,
    tags: Vec<ImageId>,
) -> Result<(Vec<(ImageId, Image)>, Vec<Failure>), Failure> {
    let looks = tags.into_iter().map(|tag| async move { Ok::<_, Failure>((store.find(&tag).await?, tag)) });
    let looks: Vec<_> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for (image, tag) in looks {
        match image {
            Some(image) => found.push((tag, image)),
            None => missing.push(not_there(&tag, &store.describe())),
        }
    }
    Ok((found, missing))
}

/// Shows the images on the terminal, and asks whether they are meant.
async fn are_meant(store: &Store<'_>, found: &[(ImageId, Image)]) -> Result<bool, Failure> {
    for (tag, image) in found.iter().take(SHOWN) {
        let digest = image.image_digest.as_deref().map(short).unwrap_or_default();
        let size = image.image_size_in_bytes.map(|size| format!("  {}", bytes(size))).unwrap_or_default();
        note(format!("{tag}  {digest}{size}{}", others(tag, image)));
    }
    if found.len() > SHOWN {
        note(format!("and {} more", found.len() - SHOWN));
    }
    let these =
        if found.len() == 1 { "this image".to_owned() } else { format!("these {} images", found.len()) };
    ui::ask(&format!("Remove {these} from {}?", store.describe())).await
}

/// What else an image is called.
fn others(id: &ImageId, image: &Image) -> String {
    let others: Vec<&str> =
        image.image_tags.iter().map(String::as_str).filter(|tag| *tag != id.to_string()).collect();
    match (id, others.as_slice()) {
        (_, []) => String::new(),
        (ImageId::Tag(_), others) => format!("  (stays as {})", others.join(", ")),
        (ImageId::Digest(_), others) => format!("  (with {})", others.join(", ")),
    }
}

/// Removes them, and tells of each what became of it; a failure is no reason not to remove the others.
async fn remove(store: &Store<'_>, common: &CommonArgs, tags: &[ImageId]) -> Result<Exit, Failure> {
    // What could not be removed is said even when nobody reads the rest.
    let output = common.output().outliving_its_reader();
    let mut array = (output.format() == Format::Json).then(|| output.json_array());
    let mut exit = Exit::Done;
    let mut tell = |outcome: Result<Removed, Failure>| {
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
    let outcome = store.remove(tags, &mut tell).await;
    array.map_or(Ok(()), JsonArray::finish)?;
    outcome.map(|()| exit)
}

/// What is gone, in ECR's words (`ImageIdentifier`).
fn json(removed: &Removed) -> serde_json::Value {
    let tag = match &removed.id {
        ImageId::Tag(tag) => Some(tag.as_str()),
        ImageId::Digest(_) => None,
    };
    json!({"imageTag": tag, "imageDigest": removed.digest})
}
