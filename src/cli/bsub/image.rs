//! The images that a job runs in: those that are named, or one that is built for it.

use serde_json::{Value, json};

use super::resolved_options::ResolvedOptions;
use crate::aws::Session;
use crate::image::{self, BuildInput, BuildOptions, BuildPlan, BuildResult, Context, ResolvedImage};
use crate::ui::{Failure, Reporter};
use awsb_model::image::{Platform, Tag};
use awsb_model::{Image, NodeGroup};

/// The images of a job. Until an image exists, its name here has a tag and no digest.
#[derive(Default)]
pub struct JobImages {
    /// The image of the job; `None` for that of the job definition.
    pub image: Option<Image>,
    /// The groups of nodes behind the first ones, with the names of their images.
    pub groups: Vec<NodeGroup>,
    /// The images that do not exist yet, by their names here, and the steps that make them.
    steps: Vec<(Image, ImageStep)>,
}

/// The step that makes an image.
enum ImageStep {
    /// The image is built.
    Build(BuildPlan),
    /// The image is pushed from this machine's Docker engine to the cluster's repository.
    Push {
        /// Its name on the Docker engine.
        name: String,
        /// Its tag in the repository.
        tag: Tag,
    },
}

/// The image that `--build` asks for. Nothing is sent.
///
/// # Errors
/// When the folder cannot be built.
pub fn build_input(options: &ResolvedOptions, quiet: bool) -> Result<Option<BuildInput>, Failure> {
    let Some(dir) = &options.build else {
        let lonely =
            [("--dockerfile", options.dockerfile.is_some()), ("--build-arg", !options.build_arg.is_empty())];
        return match lonely.into_iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(Failure::usage(format!("{option} needs --build DIR"))),
            None => Ok(None),
        };
    };
    let context = Context::gather(dir, options.dockerfile.as_deref())?.quiet(quiet);
    if let Some(remark) = context.remark() {
        reporter(quiet).print(format_args!("note: {remark}"));
    }
    Ok(Some(BuildInput { context, build_args: options.build_arg.clone(), platform: None }))
}

/// Finds the images that the nodes of the job run in, and the steps that make them. `queue` is the
/// queue of the job, if it is not the cluster's. Nothing is changed.
///
/// # Errors
/// When the cluster's jobs could not run in one, or ECR cannot be asked.
pub async fn find(
    session: &Session,
    options: &ResolvedOptions,
    queue: Option<&str>,
    input: Option<BuildInput>,
) -> Result<JobImages, Failure> {
    let mut found = JobImages::default();
    if let Some(input) = input {
        let images = &session.cluster.images;
        if images.ecr_repository.is_none() && !images.engine_runs_jobs {
            let name = &session.cluster.name;
            return Err(Failure::usage(format!(
                "--build: the cluster `{name}` has no repository for the image, and its jobs cannot use the \
                 images of this machine's Docker engine"
            ))
            .hint(session.cluster.hint_to_setting("ecr_repository", "\"NAME\"", "sets one")));
        }
        let queue = queue.unwrap_or(&session.cluster.job_queue);
        let plan = BuildPlan::new(session, queue, images.builder, input).await?;
        let name = named(&image::expected_name(session, &plan.input).await?)?;
        found.image = Some(name.clone());
        found.steps.push((name, ImageStep::Build(plan)));
    } else if let Some(given) = &options.image {
        found.image = Some(found.resolve(session, given).await?);
    }
    for group in &options.node_group {
        let mut group = group.clone();
        if let Some(given) = &group.image {
            group.image = Some(found.resolve(session, given).await?);
        }
        found.groups.push(group);
    }
    Ok(found)
}

impl JobImages {
    /// The name by which the machines of the cluster find an image. The step that takes it there,
    /// if one has to, is added once.
    async fn resolve(&mut self, session: &Session, given: &Image) -> Result<Image, Failure> {
        match image::resolve(session, &given.to_string()).await? {
            ResolvedImage::AsNamed(name) => named(&name),
            ResolvedImage::OnlyOnEngine { name, tag, pushed_name } => {
                let pushed = named(&pushed_name)?;
                if self.steps.iter().all(|(made, _)| *made != pushed) {
                    self.steps.push((pushed.clone(), ImageStep::Push { name, tag }));
                }
                Ok(pushed)
            }
        }
    }

    /// Whether all images exist.
    pub fn are_there(&self) -> bool {
        self.steps.is_empty()
    }

    /// Builds or pushes the images that do not exist yet. Returns the images by their digests where
    /// they have one.
    ///
    /// # Errors
    /// When an image cannot be built or pushed.
    pub async fn make(mut self, session: &mut Session, quiet: bool) -> Result<Self, Failure> {
        for (expected, step) in std::mem::take(&mut self.steps) {
            let made = step.run(session, quiet).await?;
            let of_groups = self.groups.iter_mut().filter_map(|group| group.image.as_mut());
            for image in self.image.iter_mut().chain(of_groups).filter(|image| **image == expected) {
                *image = made.clone();
            }
        }
        Ok(self)
    }

    /// The steps as `--dry-run` prints them.
    pub fn shown(&self) -> Vec<Value> {
        self.steps.iter().map(|(image, step)| step.shown(image)).collect()
    }
}

impl ImageStep {
    /// Builds or pushes the image. Returns its name, by its digest where it has one.
    async fn run(self, session: &mut Session, quiet: bool) -> Result<Image, Failure> {
        let reporter = reporter(quiet);
        let made = session
            .with_fresh_cluster(async |session: &Session| self.attempt(session, reporter).await)
            .await?;
        let name = made.pinned();
        let what = if made.earlier { "is already there" } else { self.verb() };
        reporter.print(format_args!("the image {name} {what}"));
        named(&name)
    }

    fn verb(&self) -> &'static str {
        match self {
            Self::Build(_) => "is built",
            Self::Push { .. } => "is pushed",
        }
    }

    async fn attempt(&self, session: &Session, reporter: Reporter) -> Result<BuildResult, Failure> {
        match self {
            Self::Build(plan) => {
                image::build(session, plan, BuildOptions { tag: None, force: false, reporter }).await
            }
            Self::Push { name, tag } => {
                let repository = image::ecr::repository(session, reporter).await?.ok_or_else(|| {
                    Failure::failed(format!(
                        "pushing the image {name}: the cluster no longer has a repository"
                    ))
                })?;
                let to = repository.uri();
                reporter.print(format_args!(
                    "only this machine's Docker engine has the image {name}; it is pushed to {to}"
                ));
                image::engine::push(session, name, &repository, tag, reporter).await
            }
        }
    }

    /// The step as `--dry-run` prints it; `image` is the name that the image will have.
    fn shown(&self, image: &Image) -> Value {
        match self {
            Self::Build(BuildPlan { builder, input, .. }) => {
                let arguments = input.arguments().into_iter();
                let arguments: serde_json::Map<String, Value> =
                    arguments.map(|(name, value)| (name.to_owned(), value.into())).collect();
                json!({ "operation": "BuildImage", "request": {
                    "builder": builder.as_str(),
                    "buildArgs": arguments,
                    "contextLength": input.context.size(),
                    "dockerfile": input.context.dockerfile(),
                    "image": image,
                    "platform": input.platform.map(Platform::as_str),
                }})
            }
            Self::Push { name, .. } => {
                json!({ "operation": "PushImage", "request": { "localImage": name, "image": image } })
            }
        }
    }
}

fn reporter(quiet: bool) -> Reporter {
    Reporter { tool: "bsub", quiet }
}

fn named(name: &str) -> Result<Image, Failure> {
    name.parse().map_err(|e| Failure::usage(format!("the image {name}: {e}")))
}
