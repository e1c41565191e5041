//! Which cluster is meant.

use std::path::PathBuf;
use std::time::Duration;

use super::defaults::Defaults;
use super::image_settings::{Builder, Images, is_this_machine};
use super::parallelcluster_cli_cfg::OldSettings;
use super::parallelcluster_stack::Stack;
use super::settings::{LOCAL, PodLogs, Section, Settings};
use crate::ui::{ErrorKind, Failure};
use awsb_model::directives::LsfUnit;
use awsb_model::toml_reader::nearest;
use awsb_model::{SecretWords, SharedDir};

/// The parts of the command line and the environment that choose the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterSelector {
    /// `--cluster`, else `AWSB_CLUSTER`.
    pub cluster: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--region`.
    pub region: Option<String>,
    /// Whether a tool of ParallelCluster asks, by whose rules the cluster is found.
    pub by_old_rules: bool,
}

/// A cluster: what its jobs need to know, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// The region that was chosen; without it, the AWS configuration's.
    pub region: Option<String>,
    /// The profile that was chosen; without it, the AWS configuration's.
    pub profile: Option<String>,
    /// An endpoint other than AWS's own.
    pub endpoint_url: Option<String>,
    /// The proxy of its settings or its stack; without it, the environment's.
    pub proxy: Option<String>,
    /// The stack from which it is read.
    pub stack: Option<String>,
    /// Whether it is this machine's.
    pub is_local: bool,
    /// The bucket for bundles.
    pub bucket: String,
    /// The prefix of the bundles' keys, without a slash at its end.
    pub prefix: String,
    /// Name or ARN of the job queue.
    pub job_queue: String,
    /// The job definition.
    pub job_definition: String,
    /// The job definition of multi-node parallel jobs.
    pub job_definition_mnp: Option<String>,
    /// The log group of the jobs' output.
    pub log_group: String,
    /// The log streams of pods on EKS, whose output AWS Batch itself does not collect.
    pub pod_logs: Option<PodLogs>,
    /// How long after a job's end its last lines may still be on their way. CloudWatch Logs gives
    /// no promise; the local cluster has all lines before it says that a job has ended.
    pub log_settle: Duration,
    /// The settings about its images.
    pub images: Images,
    /// The directories that its jobs share.
    pub shared: Vec<SharedDir>,
}

const PREFIX: &str = "awsb";
const LOG_GROUP: &str = "/aws/batch/job";
const LOG_SETTLE: Duration = Duration::from_secs(4);

/// Finds the cluster: the one that was named, else the settings file's default, else the old tools'
/// default, else the local one. The values of its stack are not read yet.
///
/// # Errors
/// When the named cluster does not exist, or the settings file has clusters and no default: no
/// command runs silently on the laptop.
pub fn resolve(choice: &ClusterSelector) -> Result<Cluster, Failure> {
    // The local cluster can be named even when the settings are wrong. By the old rules, the old
    // tools' file may have another cluster of this name.
    let has_other = || OldSettings::read().is_ok_and(|old| old.names().contains(&LOCAL));
    if choice.cluster.as_deref() == Some(LOCAL) && !(choice.by_old_rules && has_other()) {
        return Ok(local());
    }
    let (settings, old) = read()?;
    let chosen = match choice.by_old_rules {
        true => choose_by_old_rules(choice, settings.as_ref(), &old?)?,
        false => choose(choice, settings.as_ref(), old)?,
    };
    Ok(match chosen {
        Some((name, section)) => Cluster::from_section(&name, &section, choice),
        None => local(),
    })
}

/// The cluster that stands for the account in which the stack of the cluster `name` is managed. It
/// has a region, a profile and an endpoint, and no queue: the named one of the settings file
/// (`at`), else the one that is called `name`, else `otherwise`, else the AWS configuration's
/// account. A cluster of this machine is not meant where a region or a profile is chosen.
///
/// # Errors
/// When `at` or `otherwise` does not exist, or the settings cannot be read.
pub fn account(
    choice: &ClusterSelector,
    at: Option<&str>,
    name: Option<&str>,
    otherwise: Option<&str>,
) -> Result<Cluster, Failure> {
    let (settings, old) = read()?;
    let section = |name: &str| settings.as_ref().and_then(|s| s.cluster(name));
    let is_on_aws = choice.region.is_some() || choice.profile.is_some();
    let own = name.filter(|name| section(name).is_some_and(|section| !(section.local && is_on_aws)));
    let Some(chosen) = at.or(own).or(otherwise) else {
        let name = name.unwrap_or("default");
        let stack = Section { stack: Some(name.to_owned()), ..Section::default() };
        return Ok(Cluster::from_section(name, &stack, choice));
    };
    if chosen == LOCAL {
        return Ok(local());
    }
    match section(chosen) {
        Some(section) => Ok(Cluster::from_section(chosen, section, choice)),
        None => {
            let old = old?;
            match old.cluster(chosen)? {
                Some(section) => Ok(Cluster::from_section(chosen, section, choice)),
                None => Err(not_there(chosen, settings.as_ref(), &old)),
            }
        }
    }
}

/// A place in which clusters are.
#[derive(Debug, Clone)]
pub struct Place {
    /// The account and region, or this machine. The latter is a cluster as well, without a stack.
    pub cluster: Cluster,
    /// Whether it may have stacks. The local cluster may, if it runs or if the settings name one.
    pub may_have_stacks: bool,
}

/// The places in which clusters are that nobody has narrowed down: the account of the AWS
/// configuration, and this machine, unless a region or a profile is chosen.
///
/// # Errors
/// When the settings cannot be read.
pub fn places(choice: &ClusterSelector) -> Result<Vec<Place>, Failure> {
    let aws = Place { cluster: account(choice, None, None, None)?, may_have_stacks: true };
    if choice.region.is_some() || choice.profile.is_some() {
        return Ok(vec![aws]);
    }
    let names_local = read()?.0.is_some_and(|s| s.clusters.iter().any(|(_, section)| section.local));
    let may_have_stacks = names_local || awsb_local::running().is_some();
    Ok(vec![Place { cluster: local(), may_have_stacks }, aws])
}

/// The options that `bsub` gets by default: those of `[defaults]`, then those of the cluster that
/// is meant, which beat them. Nothing but the settings is read for it.
///
/// # Errors
/// As for the cluster itself.
pub fn defaults(choice: &ClusterSelector) -> Result<Defaults, Failure> {
    let (settings, old) = read()?;
    let of_cluster = match choose(choice, settings.as_ref(), old)? {
        Some((_, section)) => section.defaults,
        None => settings.as_ref().map(|s| s.local_defaults.clone()).unwrap_or_default(),
    };
    Ok(settings.map(|s| s.defaults).unwrap_or_default().then(of_cluster))
}

/// `env_blacklist` of the old tools' settings.
///
/// # Errors
/// When the settings cannot be read.
pub fn old_env_blacklist() -> Result<Option<String>, Failure> {
    Ok(OldSettings::read()?.env_blacklist)
}

/// The names of all clusters, `local` among them. Settings that cannot be read name none.
pub fn cluster_names() -> Vec<String> {
    let old = OldSettings::read().unwrap_or_default();
    let settings = Settings::read(Some(&old.names())).ok().flatten();
    let of_settings = settings.as_ref().map(Settings::names).unwrap_or_default();
    let mut names: Vec<String> = of_settings.into_iter().chain(old.names()).map(str::to_owned).collect();
    names.push(LOCAL.to_owned());
    names.sort();
    names.dedup();
    names
}

/// The queues that the settings name for a cluster and for those with the same region, profile and
/// endpoint, by name or ARN. Settings that cannot be read name none.
pub fn queues_in_settings(cluster: &Cluster) -> Vec<String> {
    let old = OldSettings::read().unwrap_or_default();
    let settings = Settings::read(Some(&old.names())).ok().flatten();
    let sections = settings.iter().flat_map(|settings| &settings.clusters).chain(&old.clusters);
    let is_near = |section: &&Section| {
        (&section.region, &section.profile, &section.endpoint_url)
            == (&cluster.region, &cluster.profile, &cluster.endpoint_url)
    };
    let near = sections.map(|(_, section)| section).filter(|section| !cluster.is_local && is_near(section));
    let mut queues: Vec<String> = near.filter_map(|section| section.job_queue.clone()).collect();
    queues.insert(0, cluster.job_queue.clone());
    queues.retain(|queue| !queue.is_empty());
    queues
}

/// Where the settings file is, or would be. `None`: this user has no home.
pub fn settings_path() -> Option<PathBuf> {
    Settings::path().map(|(path, _)| path)
}

/// The file of the old tools' settings, which this user has.
#[derive(Debug, Clone)]
pub struct OldFile {
    /// Where it is.
    pub path: PathBuf,
    /// The first mistake in it.
    pub mistake: Option<Failure>,
}

/// The file of the old tools' settings, if it is there.
pub fn old_file() -> Option<OldFile> {
    match OldSettings::read() {
        Ok(old) => {
            let mistake = old.mistakes.into_iter().map(|(_, failure)| failure).next();
            Some(OldFile { path: old.path?, mistake })
        }
        Err(failure) => Some(OldFile { path: OldSettings::usual_path()?, mistake: Some(failure) }),
    }
}

/// The words that mark a variable as a secret: the usual ones, and those of the settings.
///
/// # Errors
/// When the settings cannot be read.
pub fn secrets() -> Result<SecretWords, Failure> {
    let (settings, _) = read()?;
    Ok(SecretWords::with(settings.map(|settings| settings.secret_words).unwrap_or_default()))
}

/// The unit of sizes without one in scripts for LSF: `LSF_UNIT_FOR_LIMITS` of the environment, else
/// what the settings say.
///
/// # Errors
/// When the variable is no unit, or the settings cannot be read.
pub fn lsf_unit() -> Result<Option<LsfUnit>, Failure> {
    const VARIABLE: &str = "LSF_UNIT_FOR_LIMITS";
    match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        Some(value) => {
            let value = value.to_string_lossy();
            let wrong = |e| Failure::usage(format!("the variable {VARIABLE} is `{value}`: {e}"));
            value.parse::<LsfUnit>().map(Some).map_err(wrong)
        }
        None => Ok(read()?.0.and_then(|settings| settings.lsf_unit)),
    }
}

/// The settings file, and the old tools'. A mistake in the old tools' file counts only when the
/// file is needed.
fn read() -> Result<(Option<Settings>, Result<OldSettings, Failure>), Failure> {
    let old = OldSettings::read();
    let elsewhere = old.as_ref().ok().map(OldSettings::names);
    let settings = Settings::read(elsewhere.as_deref())?;
    Ok((settings, old))
}

/// Name and section of the cluster that is meant; `None` for the local one.
fn choose(
    choice: &ClusterSelector,
    settings: Option<&Settings>,
    old: Result<OldSettings, Failure>,
) -> Result<Option<(String, Section)>, Failure> {
    let default = settings.and_then(|s| s.default_cluster.as_deref());
    let old_default = old.as_ref().ok().and_then(|old| old.default_cluster.clone());
    if let Some(name) = choice.cluster.as_deref().or(default).or(old_default.as_deref()) {
        if name == LOCAL {
            return Ok(None);
        }
        if let Some(section) = settings.and_then(|s| s.cluster(name)) {
            return Ok(Some((name.to_owned(), section.clone())));
        }
        let old = old?;
        return match old.cluster(name)? {
            Some(section) => Ok(Some((name.to_owned(), section.clone()))),
            None => Err(not_there(name, settings, &old)),
        };
    }
    old?;
    match settings {
        Some(settings) if !settings.clusters.is_empty() => {
            let names = settings.names().join(", ");
            let path = settings.path.display();
            let message = format!("no cluster is chosen: {path} has {names}, and no default_cluster");
            Err(Failure::new(ErrorKind::NoCluster, message)
                .hint(format!(
                    "choose one with `--cluster NAME` or AWSB_CLUSTER; `--cluster {LOCAL}` is this machine"
                ))
                .hint(format!("the line `default_cluster = \"NAME\"` at the top of {path} sets the default")))
        }
        _ => Ok(None),
    }
}

/// Name and section of the cluster that a tool of ParallelCluster means (`common.py`,
/// `AWSBatchCliConfig`): its own settings come first, and a name without a section is a stack's. A
/// cluster of our settings can be named, too. It is the default only without settings of the old
/// tools. `None` for the local cluster, which has to be named.
fn choose_by_old_rules(
    choice: &ClusterSelector,
    settings: Option<&Settings>,
    old: &OldSettings,
) -> Result<Option<(String, Section)>, Failure> {
    let default = || settings.and_then(|settings| settings.default_cluster.clone());
    let of_settings = || std::env::var("AWSB_CLUSTER").ok().or_else(default);
    let named = choice.cluster.clone().or_else(|| match &old.path {
        Some(_) => old.default_cluster.clone(),
        None => of_settings(),
    });
    let Some(name) = named.filter(|name| !name.is_empty()) else {
        let message = match &old.path {
            Some(path) => format!(
                "Error getting the option (cluster_name) from the section [main] of the configuration file ({})",
                path.display()
            ),
            None => "Error: cluster parameter is required".to_owned(),
        };
        let failure = Failure::new(ErrorKind::NoCluster, message);
        return Err(failure.hint("`-c NAME` names it; `-c local` is this machine"));
    };
    // The section that the old settings make for a default without one is a stack's.
    let of_old = old.cluster(&name)?;
    let of_ours = || settings.and_then(|settings| settings.cluster(&name));
    let section = match of_old.filter(|section| section.stack.is_none()).or_else(of_ours).or(of_old) {
        Some(section) => section.clone(),
        None if name == LOCAL => return Ok(None),
        None => Section { region: old.region.clone(), stack: Some(name.clone()), ..Section::default() },
    };
    Ok(Some((name, section)))
}

/// The failure for a name that nothing has.
fn not_there(name: &str, settings: Option<&Settings>, old: &OldSettings) -> Failure {
    let old_path = old.path.as_deref();
    if settings.is_none() && old_path.is_none() {
        let message = format!("there is no cluster `{name}`: there is no settings file");
        return Failure::new(ErrorKind::NoCluster, message)
            .hint(
                "the settings file is awsb/config.toml in the XDG configuration folder, or the file that \
                   AWSB_CONFIG names",
            )
            .hint(format!(
                "two lines in it set up a ParallelCluster: `[cluster.{name}]` and `stack = \
                           \"{name}\"`"
            ))
            .hint("`--cluster local` is this machine");
    }
    let files = [
        settings.map(|settings| (settings.path.as_path(), settings.names())),
        old_path.map(|path| (path, old.names())),
    ];
    let files = || files.iter().flatten();
    let places: Vec<String> = files().map(|(path, _)| path.display().to_string()).collect();
    let message = format!("there is no cluster `{name}` in {}", places.join(" or "));
    let failure = Failure::new(ErrorKind::NoCluster, message);
    let names: Vec<&str> = files().flat_map(|(_, names)| names.iter().copied()).chain([LOCAL]).collect();
    let failure = match nearest(name, &names) {
        Some(nearest) => failure.hint(format!("did you mean `{nearest}`?")),
        None => failure,
    };
    let listed = files().filter(|(_, names)| !names.is_empty());
    let listed: String =
        listed.map(|(path, names)| format!("{} ({}), ", names.join(", "), path.display())).collect();
    failure.hint(format!("there are: {listed}{LOCAL} (this machine)"))
}

fn local() -> Cluster {
    Cluster {
        name: LOCAL.to_owned(),
        region: Some(awsb_local::REGION.to_owned()),
        profile: None,
        endpoint_url: None,
        proxy: None,
        stack: None,
        is_local: true,
        bucket: awsb_local::BUCKET.to_owned(),
        prefix: awsb_local::PREFIX.to_owned(),
        job_queue: awsb_local::QUEUE.to_owned(),
        job_definition: awsb_local::JOB_DEFINITION.to_owned(),
        job_definition_mnp: None,
        log_group: LOG_GROUP.to_owned(),
        pod_logs: None,
        log_settle: Duration::ZERO,
        images: Images {
            builder: Builder::Docker,
            is_builder_set: false,
            codebuild_project: None,
            ecr_repository: None,
            create_repository: false,
            engine_runs_jobs: true,
        },
        shared: Vec::new(),
    }
}

impl Cluster {
    /// The cluster of a test's server.
    #[cfg(test)]
    pub(crate) fn at(endpoint_url: &str) -> Self {
        Self {
            name: "test".to_owned(),
            endpoint_url: Some(endpoint_url.to_owned()),
            is_local: false,
            bucket: "b".to_owned(),
            job_queue: "q".to_owned(),
            job_definition: "d".to_owned(),
            ..local()
        }
    }

    fn from_section(name: &str, section: &Section, choice: &ClusterSelector) -> Self {
        if section.local {
            return Self::in_local(name, section);
        }
        // The settings have checked that only a stack's cluster lacks something.
        let given = |text: &Option<String>| text.clone().unwrap_or_default();
        let prefix = section.prefix.as_deref().map(|p| p.trim_matches('/').to_owned());
        Self {
            name: name.to_owned(),
            region: choice.region.clone().or_else(|| section.region.clone()),
            profile: choice.profile.clone().or_else(|| section.profile.clone()),
            endpoint_url: section.endpoint_url.clone(),
            proxy: section.proxy.clone(),
            stack: section.stack.clone(),
            is_local: false,
            bucket: given(&section.bucket),
            prefix: prefix
                .unwrap_or_else(|| if section.stack.is_some() { String::new() } else { PREFIX.into() }),
            job_queue: given(&section.job_queue),
            job_definition: given(&section.job_definition),
            job_definition_mnp: section.job_definition_mnp.clone(),
            log_group: section.log_group.clone().unwrap_or_else(|| LOG_GROUP.to_owned()),
            pod_logs: section.pod_logs.clone(),
            log_settle: LOG_SETTLE,
            images: Images {
                builder: section.builder.unwrap_or(match section.codebuild_project {
                    Some(_) => Builder::CodeBuild,
                    None => Builder::Docker,
                }),
                is_builder_set: section.builder.is_some(),
                codebuild_project: section.codebuild_project.clone(),
                ecr_repository: section.ecr_repository.clone(),
                create_repository: section.create_repository,
                engine_runs_jobs: section.ecr_repository.is_none()
                    && section.endpoint_url.as_deref().is_some_and(is_this_machine),
            },
            shared: section.shared.clone(),
        }
    }

    /// A hint how to use a resource of another region.
    pub fn hint_to_region(&self, region: &str) -> String {
        match self.is_local {
            true => "choose the cluster that it is in with `--cluster NAME`".to_owned(),
            false => format!("to look there with the same account, add `--region {region}`"),
        }
    }

    /// A line of the cluster's section in the settings file, for hints. `None`: the cluster has no
    /// section.
    pub fn setting(&self, key: &str, value: &str) -> Option<String> {
        (!self.is_local).then(|| format!("`{key} = {value}` in [cluster.{}]", self.name))
    }

    /// A hint to a cluster with this setting, and to the effect of the setting, such as `names
    /// one`.
    pub fn hint_to_setting(&self, key: &str, value: &str, does: &str) -> String {
        match self.setting(key, value) {
            Some(line) => format!("{line} of the settings file {does}").trim_end().to_owned(),
            None => format!("`--cluster NAME` chooses a cluster on AWS whose settings have {key}"),
        }
    }

    /// A cluster whose stack is one of the local cluster.
    fn in_local(name: &str, section: &Section) -> Self {
        let given = |text: &Option<String>| text.clone().unwrap_or_default();
        Self {
            name: name.to_owned(),
            stack: section.stack.clone(),
            bucket: given(&section.bucket),
            prefix: section.prefix.as_deref().map(|p| p.trim_matches('/').to_owned()).unwrap_or_default(),
            job_queue: given(&section.job_queue),
            job_definition: given(&section.job_definition),
            job_definition_mnp: section.job_definition_mnp.clone(),
            log_group: section.log_group.clone().unwrap_or_else(|| LOG_GROUP.to_owned()),
            shared: section.shared.clone(),
            ..local()
        }
    }

    /// The same cluster with what its stack says where the settings say nothing.
    ///
    /// # Errors
    /// When neither says what has to be known.
    pub fn completed(mut self, stack: Stack) -> Result<Self, Failure> {
        let name = self.stack.clone().unwrap_or_default();
        let in_own_bucket = self.bucket.is_empty();
        for (key, field, value) in [
            ("bucket", &mut self.bucket, stack.bucket.clone()),
            ("job_queue", &mut self.job_queue, Some(stack.job_queue.clone())),
            ("job_definition", &mut self.job_definition, stack.job_definition.clone()),
        ] {
            if field.is_empty() {
                *field = value.ok_or_else(|| {
                    Failure::failed(format!(
                        "the CloudFormation stack `{name}` does not name a {}",
                        key.replace('_', " ")
                    ))
                    .hint(format!("`{key}` in [cluster.{}] of the settings file sets one", self.name))
                })?;
            }
        }
        if self.prefix.is_empty() {
            self.prefix = if in_own_bucket { stack.prefix() } else { PREFIX.to_owned() };
        }
        self.job_definition_mnp = self.job_definition_mnp.or(stack.job_definition_mnp);
        if self.log_group == LOG_GROUP {
            self.log_group = stack.log_group.unwrap_or(self.log_group);
        }
        // Images of the local cluster stay on this machine's engine, which runs its jobs.
        if !self.is_local {
            self.images.complete(stack.repository.as_deref(), stack.codebuild_project);
        }
        self.proxy = self.proxy.or(stack.proxy);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settings(default: &str) -> Result<Settings, Failure> {
        let section = |name: &str| {
            format!(
                "[cluster.{name}]\nregion = \"eu-west-1\"\nbucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d\"\n"
            )
        };
        Settings::parse(
            Path::new("config.toml"),
            &format!("{default}\n{}{}", section("big"), section("small")),
            &["old"],
        )
    }

    fn old() -> Result<OldSettings, Failure> {
        let section = Section { region: Some("us-east-1".into()), ..Section::default() };
        let clusters = vec![("old".into(), section)];
        Ok(OldSettings {
            path: Some("awsbatch-cli.cfg".into()),
            default_cluster: Some("old".into()),
            clusters,
            ..OldSettings::default()
        })
    }

    fn none() -> Result<OldSettings, Failure> {
        Ok(OldSettings::default())
    }

    fn named(name: &str) -> ClusterSelector {
        ClusterSelector { cluster: Some(name.to_owned()), ..ClusterSelector::default() }
    }

    fn name(chosen: Option<(String, Section)>) -> String {
        chosen.map_or(LOCAL.to_owned(), |(name, _)| name)
    }

    #[test]
    fn the_named_one_then_the_default_then_the_old_default_then_local() -> Result<(), Failure> {
        let with_default = settings("default_cluster = \"small\"")?;
        let with_old_default = settings("default_cluster = \"old\"")?;
        let without = settings("")?;
        for (choice, settings, old, expected) in [
            (named("big"), Some(&with_default), old(), "big"),
            (named("old"), Some(&with_default), old(), "old"),
            (ClusterSelector::default(), Some(&with_default), old(), "small"),
            (ClusterSelector::default(), Some(&with_old_default), old(), "old"),
            (named("local"), Some(&with_default), old(), "local"),
            (ClusterSelector::default(), Some(&without), old(), "old"),
            (ClusterSelector::default(), None, old(), "old"),
            (ClusterSelector::default(), None, none(), "local"),
            // A mistake in the old tools' settings counts only when these settings are needed.
            (named("big"), Some(&with_default), Err(Failure::usage("broken")), "big"),
        ] {
            assert_eq!(name(choose(&choice, settings, old)?), expected);
        }
        assert!(choose(&ClusterSelector::default(), None, Err(Failure::usage("broken"))).is_err());
        Ok(())
    }

    #[test]
    fn the_old_tools_have_their_own_order() -> Result<(), Failure> {
        let ours = settings("default_cluster = \"small\"")?;
        let of_old = |text: &str| OldSettings::parse(Path::new("awsbatch-cli.cfg"), text);
        let of_main = of_old("[main]\ncluster_name = hpc\nregion = us-east-1\n")?;
        let chosen = |choice: ClusterSelector, settings: Option<&Settings>, old: &OldSettings| {
            choose_by_old_rules(&choice, settings, old)
        };
        let default = ClusterSelector::default;
        assert_eq!(name(chosen(default(), Some(&ours), &of_main)?), "hpc");
        assert_eq!(name(chosen(default(), Some(&ours), &OldSettings::default())?), "small");
        assert_eq!(name(chosen(named("local"), Some(&ours), &of_main)?), LOCAL);
        let (_, big) = chosen(named("big"), Some(&ours), &of_main)?.unwrap_or_default();
        assert_eq!((big.region.as_deref(), big.stack), (Some("eu-west-1"), None));
        let (_, other) = chosen(named("other"), Some(&ours), &of_main)?.unwrap_or_default();
        assert_eq!((other.region.as_deref(), other.stack.as_deref()), (Some("us-east-1"), Some("other")));
        for (old, says) in [
            (OldSettings::default(), "Error: cluster parameter is required"),
            (of_old("[main]\nregion = x\n")?, "[main] of the configuration file (awsbatch-cli.cfg)"),
        ] {
            let failure = chosen(default(), None, &old).map(name).unwrap_err();
            assert!(failure.message().ends_with(says), "{failure}");
        }
        Ok(())
    }

    #[test]
    fn clusters_without_a_default_never_run_on_the_laptop() -> Result<(), Failure> {
        let failure =
            choose(&ClusterSelector::default(), Some(&settings("")?), none()).map(name).unwrap_err();
        assert_eq!(failure.exit().code(), 2);
        assert!(failure.message().contains("big, small"), "{failure}");
        Ok(())
    }

    #[test]
    fn a_cluster_that_is_not_there_and_the_nearest() -> Result<(), Failure> {
        let failure = choose(&named("smal"), Some(&settings("")?), none()).map(name).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::NoCluster);
        let hints = ["did you mean `small`?", "there are: big, small (config.toml), local (this machine)"];
        assert_eq!(failure.hints(), hints);
        let both = choose(&named("xyz"), Some(&settings("")?), old()).map(name).unwrap_err();
        assert_eq!(both.message(), "there is no cluster `xyz` in config.toml or awsbatch-cli.cfg");
        let all = "there are: big, small (config.toml), old (awsbatch-cli.cfg), local (this machine)";
        assert_eq!(both.hints(), [all]);
        let failure = choose(&named("olds"), None, old()).map(name).unwrap_err();
        let hints = ["did you mean `old`?", "there are: old (awsbatch-cli.cfg), local (this machine)"];
        assert_eq!(failure.hints(), hints);
        Ok(())
    }

    #[test]
    fn options_beat_settings() {
        let choice =
            ClusterSelector { region: Some("us-west-2".into()), profile: Some("p".into()), ..named("big") };
        let section = Section { region: Some("eu-west-1".into()), ..Section::default() };
        let cluster = Cluster::from_section("big", &section, &choice);
        assert_eq!((cluster.region.as_deref(), cluster.profile.as_deref()), (Some("us-west-2"), Some("p")));
    }

    #[test]
    fn jobs_run_on_this_engine_only_of_an_endpoint_here_without_a_repository() {
        let runs = |endpoint_url: Option<&str>, repository: Option<&str>| {
            let section = Section {
                endpoint_url: endpoint_url.map(str::to_owned),
                ecr_repository: repository.and_then(|name| name.parse().ok()),
                ..Section::default()
            };
            Cluster::from_section("c", &section, &ClusterSelector::default()).images.engine_runs_jobs
        };
        assert!(runs(Some("http://127.0.0.1:5000"), None));
        assert!(!runs(Some("http://127.0.0.1:5000"), Some("lab/tool")));
        assert!(!runs(Some("https://batch.example.org"), None));
        assert!(!runs(None, None));
    }

    #[test]
    fn what_is_given_beats_the_stack() -> Result<(), Failure> {
        let stack = Stack {
            bucket: Some("stack-bucket".into()),
            directory: Some("hpc-1".into()),
            job_queue: "stack-queue".into(),
            job_definition: None,
            job_definition_mnp: Some("stack-mnp".into()),
            proxy: None,
            repository: None,
            log_group: Some("/awsb/s/jobs".into()),
            codebuild_project: None,
        };
        let section = |bucket: Option<&str>, definition: Option<&str>| Section {
            stack: Some("s".into()),
            bucket: bucket.map(str::to_owned),
            job_definition: definition.map(str::to_owned),
            ..Section::default()
        };
        let cluster = |section| Cluster::from_section("c", &section, &ClusterSelector::default());
        let given = cluster(section(None, Some("own"))).completed(stack.clone())?;
        assert_eq!((given.job_definition.as_str(), given.job_queue.as_str()), ("own", "stack-queue"));
        assert_eq!((given.bucket.as_str(), given.prefix.as_str()), ("stack-bucket", "hpc-1/batch"));
        assert_eq!(given.log_group, "/awsb/s/jobs");
        // The stack's folder means nothing in another bucket.
        let given = cluster(section(Some("b"), Some("own"))).completed(stack.clone())?;
        assert_eq!((given.bucket.as_str(), given.prefix.as_str()), ("b", "awsb"));
        let failure = cluster(section(None, None)).completed(stack).map(|c| c.name).unwrap_err();
        assert_eq!(failure.message(), "the CloudFormation stack `s` does not name a job definition");
        Ok(())
    }
}
