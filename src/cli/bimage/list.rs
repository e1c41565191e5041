//! `bimage list`: the images that the cluster has.

use super::{CommonArgs, table};
use crate::image::Store;
use crate::ui::{Exit, Failure};

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave out the table's header
    #[arg(long)]
    no_header: bool,
}

impl Args {
    /// The story.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let session = common.open().await?;
        let store = Store::open(&session).await?;
        store.print_location_note(&session);
        let images = store.list().await?;
        table::show(&common.output().without_header(self.no_header), &images)?;
        Ok(Exit::Done)
    }
}
