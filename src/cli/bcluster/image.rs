//! `bcluster create --image DIR`: builds an image for a cluster that has just been made, as
//! `bimage build` does. A build that fails is no failure of the cluster.

use std::path::{Path, PathBuf};

use super::super::CommonArgs;
use super::tool::TOOL;
use crate::aws::Session;
use crate::config::ClusterSelector;
use crate::image::{self, BuildInput, BuildOptions, BuildPlan, BuildResult, Context};
use crate::ui::{Failure, Reporter, print_message};

/// An image that is to be built once the cluster is there.
pub(super) struct ImageBuild {
    dir: PathBuf,
    context: Context,
}

impl ImageBuild {
    /// Finds the Dockerfile and the other files of a folder.
    ///
    /// # Errors
    /// When it cannot be built: see [`Context::gather`].
    pub(super) fn gather(dir: &Path) -> Result<Self, Failure> {
        Ok(Self { dir: dir.to_owned(), context: Context::gather(dir, None)? })
    }

    /// Builds the image in the cluster of this name, and says how jobs get it, or why there is none
    /// and how to try again.
    pub(super) async fn build(self, common: &CommonArgs, name: &str) {
        let dir = self.dir.display().to_string();
        match self.built(common, name).await {
            Ok(built) => print_message(format!(
                "{TOOL}: {} is {}\nhint: `bsub -c {name} --image {} script.sh` runs a job in it",
                built.describe(),
                if built.earlier { "already there" } else { "built" },
                built.tag
            )),
            Err(failure) => {
                let message =
                    format!("the cluster {name} is ready, and the image of {dir} is not built: {failure}");
                let retry = format!("`bimage build -c {name} {dir}` tries again");
                failure.wrap(message).hint(retry).report_warning(TOOL);
            }
        }
    }

    async fn built(self, common: &CommonArgs, name: &str) -> Result<BuildResult, Failure> {
        let reporter = Reporter { tool: TOOL, quiet: false };
        if let Some(remark) = self.context.remark() {
            reporter.print(format_args!("note: {remark}"));
        }
        let choice = ClusterSelector { cluster: Some(name.to_owned()), ..ClusterSelector::default() };
        let session = Session::open(&choice, common.debug).await?;
        let input = BuildInput { context: self.context, build_args: Vec::new(), platform: None };
        let builder = session.cluster.images.builder;
        let plan = BuildPlan::new(&session, &session.cluster.job_queue, builder, input).await?;
        image::build(&session, &plan, BuildOptions { tag: None, force: false, reporter }).await
    }
}
