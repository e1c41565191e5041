//! `bimage push`: an image of this machine's engine goes to the repository.

use super::CommonArgs;
use crate::ui::{Exit, Failure};

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image, as the engine names it
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The tag in the repository [default: the tag that it has here]
    #[arg(short, long, value_name = "TAG")]
    tag: Option<crate::image::Tag>,
}

impl Args {
    /// The story.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let _session = common.open().await?;
        Err(Failure::failed("this is still to be written"))
    }
}
