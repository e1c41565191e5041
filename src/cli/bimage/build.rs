//! `bimage build`: from a folder with a Dockerfile to an image in the repository.

use super::CommonArgs;
use crate::ui::{Exit, Failure};

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder with the Dockerfile
    #[arg(value_name = "DIR", default_value = ".")]
    dir: std::path::PathBuf,
    /// The Dockerfile, within the folder [default: Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    file: Option<std::path::PathBuf>,
    /// The tag [default: a hash of the content, so that the same content is built once]
    #[arg(short, long, value_name = "TAG")]
    tag: Option<crate::image::Tag>,
    /// A value for an ARG of the Dockerfile
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<crate::image::BuildArg>,
    /// The machines that it is for: linux/amd64 or linux/arm64 [default: those of the builder]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<crate::image::Platform>,
    /// Where it is built: codebuild or docker [default: what the cluster says]
    #[arg(long, value_name = "BUILDER")]
    builder: Option<crate::cluster::Builder>,
}

impl Args {
    /// The story.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let session = common.open().await?;
        let context = crate::image::context::Context::gather(&self.dir, self.file.as_deref())?;
        let recipe =
            crate::image::Recipe { context, build_args: self.build_arg.clone(), platform: self.platform };
        let tag = match &self.tag {
            Some(tag) => tag.clone(),
            None => recipe.tag()?,
        };
        let repository = crate::image::ecr::repository(&session).await?;
        let built = crate::image::engine::build(&session, &recipe, &tag, repository.as_ref()).await?;
        common.output().show(&built)?;
        Ok(Exit::Done)
    }
}
