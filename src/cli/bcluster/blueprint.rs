//! The configuration of a cluster: from a file, from the stack of a cluster, or the default one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use awsb_model::cluster::config::{BucketName, Definition, DefinitionImage, RoleArn};
use awsb_model::cluster::{ClusterConfig, ClusterName, Template, validate};

use super::tool::TOOL;
use crate::aws::Session;
use crate::cloud::{self, Current, Stack, StackContent, check};
use crate::config;
use crate::ui::{Failure, print_message};

/// The cluster and its configuration, as arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Input {
    /// The cluster
    #[arg(value_name = "NAME")]
    pub(super) name: ClusterName,
    /// The configuration (TOML); without it, the default one, or that of the cluster
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// A bucket for a template that is too long for a request (above 51,200 bytes)
    #[arg(long, value_name = "BUCKET")]
    template_bucket: Option<BucketName>,
}

/// The cluster, and how far the command goes: to the plan, to a question, or to the end.
#[derive(Debug, clap::Args)]
pub(super) struct Execution {
    #[command(flatten)]
    pub(super) input: Input,
    /// Show what would be made or changed, and do nothing
    #[arg(long)]
    pub(super) plan: bool,
    /// With --plan: end with exit code 3 if there is something to do
    #[arg(long, requires = "plan")]
    pub(super) exit_code: bool,
    /// Do it without asking
    #[arg(short, long)]
    pub(super) yes: bool,
    /// A role with which CloudFormation acts on this cluster, now and later, in place of your
    /// permissions
    #[arg(long, value_name = "ARN")]
    service_role: Option<RoleArn>,
}

impl Execution {
    /// The content of the stack that the command is to make, which has a name of its own. `current`
    /// is the stack as it is.
    ///
    /// # Errors
    /// When the account does not have what the configuration names, or cannot be asked.
    pub(super) async fn content(
        &self,
        blueprint: &Blueprint,
        session: &Session,
        stack: &str,
        current: Option<Current<'_>>,
    ) -> Result<StackContent, Failure> {
        let content = blueprint.content(session, stack, current).await?;
        let service_role = self.service_role.as_ref().map(ToString::to_string);
        Ok(StackContent { service_role, ..content })
    }
}

impl Input {
    /// Reads and checks the configuration. AWS is not asked.
    ///
    /// # Errors
    /// When the file cannot be read, or says something that it cannot say.
    pub(super) fn read(&self) -> Result<Blueprint, Failure> {
        self.blueprint(read_config(self.file.as_deref())?)
    }

    /// The configuration that a cluster has now, by the template of its stack.
    ///
    /// # Errors
    /// When the stack has none, or one that this version does not know.
    pub(super) fn of_stack(&self, stack: &Stack, template: &str) -> Result<Blueprint, Failure> {
        self.blueprint(self.current_config(stack, template)?)
    }

    /// The same without the checks, which the cluster has passed.
    ///
    /// # Errors
    /// As [`Input::of_stack`].
    pub(super) fn current_config(&self, stack: &Stack, template: &str) -> Result<ClusterConfig, Failure> {
        let name = &self.name;
        let Some(text) = Template::config_text(template) else {
            return Err(Failure::failed(format!(
                "the stack {} does not have the configuration of the cluster {name} in it",
                stack.name
            ))
            .hint("`-f FILE` gives the configuration"));
        };
        parse(&format!("configuration of the cluster {name}"), &text)
    }

    fn blueprint(&self, config: ClusterConfig) -> Result<Blueprint, Failure> {
        check(&validate(&config))?;
        Ok(Blueprint { name: self.name.clone(), config, template_bucket: self.template_bucket.clone() })
    }
}

/// The configuration of a file, or the default one.
///
/// # Errors
/// When the file cannot be read, or says something that it cannot say.
pub(super) fn read_config(file: Option<&Path>) -> Result<ClusterConfig, Failure> {
    match file {
        None => Ok(ClusterConfig::default()),
        Some(file) => parse(&format!("cluster configuration {}", config::shown_name(file)), &read(file)?),
    }
}

/// Reads a file, or standard input (`-`).
fn read(file: &Path) -> Result<String, Failure> {
    config::read_text(file).map_err(|e| {
        let failure =
            Failure::usage(format!("reading the cluster configuration {}: {e}", config::shown_name(file)));
        match e.kind() {
            ErrorKind::NotFound => failure.hint("`bcluster init FILE` writes one"),
            _ => failure,
        }
    })
}

fn parse(name: &str, text: &str) -> Result<ClusterConfig, Failure> {
    ClusterConfig::from_toml(name, text).map_err(Failure::from)
}

/// A cluster that is wanted.
#[derive(Debug)]
pub(super) struct Blueprint {
    name: ClusterName,
    config: ClusterConfig,
    template_bucket: Option<BucketName>,
}

impl Blueprint {
    /// The cluster's name.
    pub(super) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The same with the defaults of the place where the cluster is: definitions that name no image
    /// get the one that the place has for all.
    ///
    /// # Errors
    /// When jobs with this image cannot have what the configuration gives to all jobs.
    pub(super) fn with_defaults_of(mut self, session: &Session) -> Result<Self, Failure> {
        if let Some(image) = session.process_image().and_then(|image| image.parse().ok()) {
            let image: DefinitionImage = image;
            self.config = self.config.with_default_image(&image);
            self.check_shared(&image)?;
            if self.config.has_efs() && session.is_simulated("AWS::EFS::FileSystem") {
                print_message(format!(
                    "{TOOL}: warning: EFS is only simulated in {}: jobs that mount a shared directory of it are \
                     refused there",
                    session.place()
                ));
            }
        }
        Ok(self)
    }

    /// Fails if a job with this image, which is a process without a container, were to mount a
    /// shared directory.
    fn check_shared(&self, image: &DefinitionImage) -> Result<(), Failure> {
        let Some(shared) = self.config.shared.first() else { return Ok(()) };
        let is_process = |definition: &&Definition| definition.image == *image;
        match self.config.definitions.iter().find(is_process) {
            None => Ok(()),
            Some(definition) => Err(Failure::usage(format!(
                "the configuration: `shared.{}` is mounted in the containers of jobs, and jobs of \
                 [definition.{}] have none: their image is \"{image}\"",
                shared.name, definition.name
            ))
            .hint(format!(
                "name an image in [definition.{}], such as `image = \"debian:stable-slim\"`, or leave [shared.{}] \
                 out: a process sees the directories of its machine",
                definition.name, shared.name
            ))),
        }
    }

    /// Its configuration.
    pub(super) fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// Its template, in the account and region of a session.
    ///
    /// # Errors
    /// When the account does not have the network that the configuration names, or cannot be asked.
    pub(super) async fn template(&self, session: &Session) -> Result<String, Failure> {
        cloud::new_template(session, &self.name, &self.config).await
    }

    /// The content of its stack, in the account and region of a session. `stack` is the name of the
    /// stack, and `current` the stack as it is, if there is one.
    ///
    /// # Errors
    /// When the account does not have what the configuration names, or cannot be asked.
    async fn content(
        &self,
        session: &Session,
        stack: &str,
        current: Option<Current<'_>>,
    ) -> Result<StackContent, Failure> {
        let bucket = self.template_bucket.as_ref().map(BucketName::as_str);
        cloud::content(session, (&self.name, stack), &self.config, current, bucket).await
    }
}
