//! The configuration of a cluster: from a file, from the stack of a cluster, or the default one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use awsb_model::cluster::config::{DefinitionImage, RoleArn};
use awsb_model::cluster::{ClusterConfig, ClusterName, Template, validate};

use crate::aws::Session;
use crate::cloud::{self, Stack, StackContent, check};
use crate::config;
use crate::ui::Failure;

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
    template_bucket: Option<String>,
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
        current: Option<&Stack>,
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

    /// The configuration that a cluster has now.
    ///
    /// # Errors
    /// When the stack has none, or one that this version does not know.
    pub(super) async fn of_stack(&self, session: &Session, stack: &Stack) -> Result<Blueprint, Failure> {
        self.blueprint(self.current_config(session, stack).await?)
    }

    /// The same without the checks, which the cluster has passed.
    ///
    /// # Errors
    /// As [`Input::of_stack`].
    pub(super) async fn current_config(
        &self,
        session: &Session,
        stack: &Stack,
    ) -> Result<ClusterConfig, Failure> {
        let name = &self.name;
        let template = cloud::stack_template(session, &stack.id).await?;
        let Some(text) = Template::config_text(&template) else {
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
    template_bucket: Option<String>,
}

impl Blueprint {
    /// The cluster's name.
    pub(super) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The same with the defaults of the place where the cluster is: definitions that name no image
    /// get the one that the place has for all.
    pub(super) fn with_defaults_of(mut self, session: &Session) -> Self {
        if let Some(image) = session.default_image().and_then(|image| image.parse().ok()) {
            let image: DefinitionImage = image;
            self.config = self.config.with_default_image(&image);
        }
        self
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
        current: Option<&Stack>,
    ) -> Result<StackContent, Failure> {
        let bucket = self.template_bucket.as_deref();
        cloud::content(session, (&self.name, stack), &self.config, current, bucket).await
    }
}
