//! `bimage show`: an image in detail.

use super::CommonArgs;
use crate::ui::{Exit, Failure};

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its tag
    #[arg(value_name = "TAG")]
    tag: crate::image::Tag,
}

impl Args {
    /// The story.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let _session = common.open().await?;
        Err(Failure::failed("this is still to be written"))
    }
}
