//! `bimage build`: from a folder with a Dockerfile to an image in the repository.

use std::path::PathBuf;

use serde_json::Value;

use super::CommonArgs;
use crate::aws::Session;
use crate::config::Builder;
use crate::image::{self, BuildInput, BuildOptions, BuildPlan, BuildResult, Context};
use crate::ui::{Exit, Failure, Layout, Reporter, View};
use awsb_model::image::{BuildArg, Platform, Tag};

/// The arguments of `bimage build`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder with the Dockerfile
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// The Dockerfile, within the folder [default: Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The tag [default: a hash of the content, so that the same content is built once]
    #[arg(short, long, value_name = "TAG")]
    tag: Option<Tag>,
    /// Set an ARG of the Dockerfile
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<BuildArg>,
    /// The platform: linux/amd64 or linux/arm64 [default: that of the job queue's machines]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Where to build: codebuild or docker [default: the cluster's setting]
    #[arg(long, value_name = "BUILDER")]
    builder: Option<Builder>,
    /// Build even if the same content has been built before
    #[arg(long)]
    force: bool,
    /// Do not show the build while it runs; if it fails, show its last 20 lines
    #[arg(short, long)]
    quiet: bool,
}

impl Args {
    /// Builds an image and prints its name.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let reporter = Reporter { tool: "bimage", quiet: self.quiet };
        let context = Context::gather(&self.dir, self.file.as_deref())?.quiet(reporter.quiet);
        if let Some(remark) = context.remark() {
            reporter.print(format_args!("note: {remark}"));
        }
        let input = BuildInput { context, build_args: self.build_arg.clone(), platform: self.platform };
        let mut session = common.open().await?;
        let build = async |session: &Session| self.built(session, input.clone(), reporter).await;
        let built = session.with_fresh_cluster(build).await?;
        let outcome = match built.earlier {
            true => "is already there; `--force` builds it again",
            false => "is built",
        };
        reporter.print(format_args!("{} {outcome}", built.describe()));
        common.output().show(&BuildView(built))?;
        Ok(Exit::Done)
    }

    async fn built(
        &self,
        session: &Session,
        input: BuildInput,
        reporter: Reporter,
    ) -> Result<BuildResult, Failure> {
        let builder = self.builder.unwrap_or(session.cluster.images.builder);
        let plan = BuildPlan::new(session, &session.cluster.job_queue, builder, input).await?;
        image::build(session, &plan, BuildOptions { tag: self.tag.clone(), force: self.force, reporter })
            .await
    }
}

/// The image that was built, for scripts: `image=$(bimage build)`.
pub(super) struct BuildView(pub(super) BuildResult);

impl View for BuildView {
    fn plain(&self) -> Layout {
        Layout::Lines(vec![self.0.pinned()])
    }

    fn json(&self) -> Vec<Value> {
        vec![serde_json::to_value(&self.0).unwrap_or_default()]
    }
}
