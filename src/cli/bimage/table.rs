//! The table of images.

use indicatif::DecimalBytes;
use jiff::Zoned;

use crate::image::{ArtifactKind, Image};
use crate::ui::{Cell, Column, Failure, Format, Output, Tone, Truncate, local_rfc3339, local_short};

/// Shows images, as a table or as JSON.
pub(super) fn show(output: &Output, images: &[Image]) -> Result<(), Failure> {
    if output.format() == Format::Json {
        let mut array = output.json_array();
        for image in images {
            array.push(&serde_json::to_value(image).unwrap_or_default())?;
        }
        return array.finish();
    }
    let column = |name, rank| Column { rank, ..Column::new(name) };
    let mut table = output.table(vec![
        Column { truncate: Truncate::End(8), ..Column::new("imageTags") },
        column("imageDigest", 3),
        column("size", 2),
        column("imagePushedAt", 1),
        column("lastPulled", 7),
        column("kind", 6),
    ]);
    let now = Zoned::now();
    let rows: Vec<Vec<Cell>> =
        images.iter().map(|image| row(image, output.is_terminal().then_some(&now))).collect();
    table.rows(&rows)?;
    table.finish()
}

/// A row of the table: exact values for programs, or with `now` short ones for a terminal.
fn row(image: &Image, now: Option<&Zoned>) -> Vec<Cell> {
    let time = |at: Option<i64>| match (at, now) {
        (None, _) => String::new(),
        (Some(at), None) => local_rfc3339(at),
        (Some(at), Some(now)) => local_short(at, now),
    };
    let digest = image.image_digest.as_deref().unwrap_or_default();
    let kind = image.kind();
    vec![
        match image.image_tags.as_slice() {
            [] => Cell::toned("(untagged)", Tone::Faint),
            tags => Cell::from(tags.join(",").as_str()),
        },
        Cell::from(if now.is_some() { short(digest) } else { digest }),
        Cell::from(match (image.image_size_in_bytes, now) {
            (None, _) => String::new(),
            (Some(size), None) => size.to_string(),
            (Some(size), Some(_)) => bytes(size),
        }),
        Cell::from(time(image.image_pushed_at)),
        Cell::from(time(image.last_recorded_pull_time)),
        Cell::toned(kind.as_str(), if kind == ArtifactKind::Image { Tone::Plain } else { Tone::Faint }),
    ]
}

/// The first characters of a digest, which are enough to distinguish images.
pub(super) fn short(digest: &str) -> &str {
    let hash = digest.strip_prefix("sha256:").unwrap_or(digest);
    hash.get(..12).unwrap_or(hash)
}

/// A size in powers of ten, as `docker images` and ECR's console show it.
pub(super) fn bytes(size: i64) -> String {
    DecimalBytes(u64::try_from(size).unwrap_or_default()).to_string()
}
