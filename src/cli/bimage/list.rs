//! `bimage list`: lists the images of the cluster.

use super::{CommonArgs, table};
use crate::image::Store;
use crate::ui::{Exit, Failure};

/// The arguments of `bimage list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave out the table's header
    #[arg(long)]
    no_header: bool,
}

impl Args {
    /// Lists the images of the cluster.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let session = common.open().await?;
        let store = Store::open(&session).await?;
        store.print_location_note(&session);
        let images = store.list().await?;
        table::show(&common.output().without_header(self.no_header), &images)?;
        Ok(Exit::Done)
    }
}
