//! Which cluster is meant.

use std::time::Duration;

use super::settings::{LOCAL, Section, Settings, with_nearest};
use crate::local;
use crate::ui::Failure;

/// What the command line and the environment say about the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// `--cluster`, else `AWSB_CLUSTER`.
    pub cluster: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--region`.
    pub region: Option<String>,
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
    /// How long after a job's end its last lines may still be on their way. CloudWatch Logs gives no
    /// promise; the local cluster has all lines before it says that a job has ended.
    pub log_settle: Duration,
}

const PREFIX: &str = "awsb";
const LOG_GROUP: &str = "/aws/batch/job";
const LOG_SETTLE: Duration = Duration::from_secs(4);

/// Finds the cluster: the one that was named, else the settings file's default, else the local one.
///
/// # Errors
/// When the named one is not there, or the settings file has clusters and no default: never a silent
/// run on the laptop.
pub fn select(choice: &Choice) -> Result<Cluster, Failure> {
    if choice.cluster.as_deref() == Some(LOCAL) {
        return Ok(local());
    }
    let settings = Settings::read()?;
    choose(choice, settings.as_ref())
}

fn choose(choice: &Choice, settings: Option<&Settings>) -> Result<Cluster, Failure> {
    let named = choice.cluster.as_deref();
    let default = settings.and_then(|s| s.default_cluster.as_deref());
    match (named.or(default), settings) {
        (Some(LOCAL), _) => Ok(local()),
        (Some(name), Some(settings)) => match settings.cluster(name) {
            Some(section) => Ok(Cluster::from_section(name, section, choice)),
            None => {
                let path = settings.path.display();
                let mut names = settings.names();
                names.push(LOCAL);
                let failure = Failure::usage(format!("there is no cluster `{name}` in {path}"));
                Err(with_nearest(failure, name, &names))
            }
        },
        (Some(name), None) => Err(Failure::usage(format!("there is no cluster `{name}`: no settings file names any"))
            .hint("the settings file is awsb/config.toml in the XDG configuration folder, or what AWSB_CONFIG names")
            .hint("`--cluster local` is this machine")),
        (None, Some(settings)) if !settings.clusters.is_empty() => {
            let names = settings.names().join(", ");
            let path = settings.path.display();
            Err(Failure::usage(format!("which cluster? {path} has {names}, and no default_cluster"))
                .hint(format!("`--cluster NAME` or AWSB_CLUSTER chooses one; `--cluster {LOCAL}` is this machine"))
                .hint(format!("a line `default_cluster = \"NAME\"` at the head of {path} chooses for good")))
        }
        (None, _) => Ok(local()),
    }
}

fn local() -> Cluster {
    Cluster {
        name: LOCAL.to_owned(),
        region: Some(local::REGION.to_owned()),
        profile: None,
        endpoint_url: None,
        is_local: true,
        bucket: local::BUCKET.to_owned(),
        prefix: PREFIX.to_owned(),
        job_queue: local::QUEUE.to_owned(),
        job_definition: local::JOB_DEFINITION.to_owned(),
        job_definition_mnp: None,
        log_group: LOG_GROUP.to_owned(),
        log_settle: Duration::ZERO,
    }
}

impl Cluster {
    fn from_section(name: &str, section: &Section, choice: &Choice) -> Self {
        Self {
            name: name.to_owned(),
            region: choice.region.clone().or_else(|| section.region.clone()),
            profile: choice.profile.clone().or_else(|| section.profile.clone()),
            endpoint_url: section.endpoint_url.clone(),
            is_local: false,
            bucket: section.bucket.clone(),
            prefix: section.prefix.as_deref().unwrap_or(PREFIX).trim_matches('/').to_owned(),
            job_queue: section.job_queue.clone(),
            job_definition: section.job_definition.clone(),
            job_definition_mnp: section.job_definition_mnp.clone(),
            log_group: section.log_group.clone().unwrap_or_else(|| LOG_GROUP.to_owned()),
            log_settle: LOG_SETTLE,
        }
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
        )
    }

    fn named(name: &str) -> Choice {
        Choice { cluster: Some(name.to_owned()), ..Choice::default() }
    }

    #[test]
    fn the_named_one_then_the_default_then_local() -> Result<(), Failure> {
        let with_default = settings("default_cluster = \"small\"")?;
        assert_eq!(choose(&named("big"), Some(&with_default))?.name, "big");
        assert_eq!(choose(&Choice::default(), Some(&with_default))?.name, "small");
        assert_eq!(choose(&named("local"), Some(&with_default))?.name, "local");
        assert_eq!(choose(&Choice::default(), None)?.name, "local");
        Ok(())
    }

    #[test]
    fn clusters_without_a_default_never_run_on_the_laptop() -> Result<(), Failure> {
        let failure = choose(&Choice::default(), Some(&settings("")?)).map(|c| c.name).unwrap_err();
        assert_eq!(failure.exit.code(), 2);
        assert!(failure.message.contains("big, small"), "{failure}");
        Ok(())
    }

    #[test]
    fn a_cluster_that_is_not_there_and_the_nearest() -> Result<(), Failure> {
        let failure = choose(&named("smal"), Some(&settings("")?)).map(|c| c.name).unwrap_err();
        assert_eq!(failure.hints, ["did you mean `small`?"]);
        Ok(())
    }

    #[test]
    fn options_beat_settings() -> Result<(), Failure> {
        let choice = Choice { region: Some("us-west-2".into()), profile: Some("p".into()), ..named("big") };
        let cluster = choose(&choice, Some(&settings("")?))?;
        assert_eq!((cluster.region.as_deref(), cluster.profile.as_deref()), (Some("us-west-2"), Some("p")));
        Ok(())
    }
}
