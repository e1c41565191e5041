//! `bimage push`: an image of this machine's engine goes to the repository.

use super::CommonArgs;
use super::build::BuildView;
use crate::aws::Session;
use crate::image::{BuildResult, ecr, engine};
use crate::ui::{Exit, Failure, Reporter};
use awsb_model::image::{Tag, parted};
use awsb_model::{Image as ImageName, Invalid};

const REPORTER: Reporter = Reporter { tool: "bimage", quiet: false };

/// The arguments of `bimage push`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image's name on the engine
    #[arg(value_name = "IMAGE", value_parser = engine_image)]
    image: String,
    /// The tag in the repository [default: the tag on the engine]
    #[arg(short, long, value_name = "TAG")]
    tag: Option<Tag>,
}

impl Args {
    /// Pushes an image and prints its name.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let tag = match &self.tag {
            Some(tag) => tag.clone(),
            None => own_tag(&self.image)?,
        };
        let mut session = common.open().await?;
        let built =
            session.with_fresh_cluster(async |session: &Session| self.pushed(session, &tag).await).await?;
        let outcome = if built.earlier { "is already there" } else { "is pushed" };
        REPORTER.print(format_args!("{} {outcome}", built.describe()));
        common.output().show(&BuildView(built))?;
        Ok(Exit::Done)
    }

    async fn pushed(&self, session: &Session, tag: &Tag) -> Result<BuildResult, Failure> {
        let Some(repository) = ecr::repository(session, REPORTER).await? else {
            let name = &session.cluster.name;
            return Err(Failure::usage(format!("the cluster {name} has no repository to push to"))
                .hint(session.cluster.hint_to_setting("ecr_repository", "\"…\"", "sets one")));
        };
        engine::push(session, &self.image, &repository, tag, REPORTER).await
    }
}

/// Checks the name or the ID of an image on an engine.
fn engine_image(text: &str) -> Result<String, Invalid> {
    match is_id(text) {
        true => Ok(text.to_owned()),
        false => text.parse::<ImageName>().map(|name| name.to_string()),
    }
}

/// Whether a text may be the ID of an image, or its beginning as `docker images` prints it.
fn is_id(text: &str) -> bool {
    (12..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The tag in an image's name. Docker's own default is `latest`.
fn own_tag(image: &str) -> Result<Tag, Failure> {
    if image.contains('@') || image.starts_with("sha256:") || is_id(image) {
        return Err(Failure::usage(format!("{image} has no tag of its own"))
            .hint("set its tag in the repository with `--tag`"));
    }
    let tag = parted(image).1.unwrap_or("latest");
    tag.parse().map_err(|why| Failure::usage(format!("{image} is not the name of an image: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_that_an_image_has() {
        let tag = |image: &str| {
            own_tag(image).map(|tag| tag.to_string()).map_err(|failure| failure.message().to_owned())
        };
        assert_eq!(tag("awsb:1.2"), Ok("1.2".into()));
        assert_eq!(tag("127.0.0.1:5000/a/b"), Ok("latest".into()));
        assert_eq!(tag("127.0.0.1:5000/a/b:x"), Ok("x".into()));
        for bad in ["a@sha256:00", "sha256:00", "bc072d860bf5", "a:", "a:b:c"] {
            assert!(tag(bad).is_err(), "{bad}");
        }
    }
}
