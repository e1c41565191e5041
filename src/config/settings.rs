//! The settings file: clusters, and which of them is the default.
//!
//! The file is parsed by the crate `toml`, and read by hand instead of by types that derive serde's
//! `Deserialize`. A message names the line, the key and what to write instead. Of the 24 mistakes
//! in the test below, such types find 10, all in the right line, but only one message (a syntax
//! error) can stay as it is: three list all keys instead of the nearest one, and six do not name
//! the key. The other 14 mistakes need the checks of this module all the same. With `Spanned` types
//! for the 24 keys, and a function that rewrites serde's messages, the module would not be shorter.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use super::defaults::Defaults;
use super::image_settings::Builder;
use super::proxy_url;
use super::text_file::read_text;
use super::toml_reader::{check_url, with_nearest};
use super::user_folders::config_home;
use crate::ui::Failure;
use awsb_model::directives::LsfUnit;
use awsb_model::image::RepositoryPath;
use awsb_model::toml_reader::TomlFile;
use awsb_model::{PodStreamPattern, SecretWord, SharedDir};

/// The log streams of pods on EKS (`eks_log_group`, `eks_log_stream`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodLogs {
    /// The log group.
    pub group: String,
    /// How the streams are named.
    pub stream: PodStreamPattern,
}

/// The content of the settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it was read.
    pub path: PathBuf,
    /// `default_cluster`.
    pub default_cluster: Option<String>,
    /// The clusters, by name.
    pub clusters: Vec<(String, Section)>,
    /// `[defaults]`.
    pub defaults: Defaults,
    /// `[cluster.local.defaults]`.
    pub local_defaults: Defaults,
    /// `secret_words`: more words that make a variable's name a secret's.
    pub secret_words: Vec<SecretWord>,
    /// `lsf_unit_for_limits`: the `LSF_UNIT_FOR_LIMITS` of the user's LSF cluster.
    pub lsf_unit: Option<LsfUnit>,
}

/// A `[cluster.NAME]` section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// The region; without it, the AWS configuration's.
    pub region: Option<String>,
    /// The profile of the AWS configuration.
    pub profile: Option<String>,
    /// An endpoint other than AWS's own.
    pub endpoint_url: Option<String>,
    /// The proxy between here and AWS; without it, the environment's.
    pub proxy: Option<String>,
    /// A stack of CloudFormation, which says what is not said here: of `bcluster` or of
    /// ParallelCluster.
    pub stack: Option<String>,
    /// Whether the stack is one of the local cluster.
    pub local: bool,
    /// The bucket for bundles; never missing without a stack.
    pub bucket: Option<String>,
    /// The prefix of the bundles' keys.
    pub prefix: Option<String>,
    /// Name or ARN of the job queue; never missing without a stack.
    pub job_queue: Option<String>,
    /// Name, `name:revision` or ARN of the job definition; never missing without a stack.
    pub job_definition: Option<String>,
    /// The job definition of multi-node parallel jobs.
    pub job_definition_mnp: Option<String>,
    /// The log group of the jobs' output.
    pub log_group: Option<String>,
    /// The log streams of pods on EKS.
    pub pod_logs: Option<PodLogs>,
    /// Where images are built.
    pub builder: Option<Builder>,
    /// The CodeBuild project that builds images.
    pub codebuild_project: Option<String>,
    /// Name or URI of the ECR repository of images.
    pub ecr_repository: Option<RepositoryPath>,
    /// Whether a repository that is not there is made.
    pub create_repository: bool,
    /// The directories that its jobs share.
    pub shared: Vec<SharedDir>,
    /// `[cluster.NAME.defaults]`.
    pub defaults: Defaults,
}

const TOP_KEYS: [&str; 5] = ["default_cluster", "secret_words", "lsf_unit_for_limits", "defaults", "cluster"];
const CLUSTER_KEYS: [&str; 20] = [
    "region",
    "profile",
    "endpoint_url",
    "proxy",
    "stack",
    "local",
    "bucket",
    "prefix",
    "job_queue",
    "job_definition",
    "job_definition_mnp",
    "log_group",
    "eks_log_group",
    "eks_log_stream",
    "builder",
    "codebuild_project",
    "ecr_repository",
    "create_repository",
    "shared",
    "defaults",
];

/// An example of a section's head.
const SUCH_AS: &str = "[cluster.NAME]";

/// The name that is the local cluster's alone.
pub const LOCAL: &str = "local";

impl Settings {
    /// Reads the settings file, if there is one. Its default may be one of the clusters
    /// `elsewhere`, too. `None`: it is not known which clusters are there, so the default is not
    /// checked.
    ///
    /// # Errors
    /// When it cannot be read, or says something that it cannot say. A file that `AWSB_CONFIG`
    /// names has to exist.
    pub fn read(elsewhere: Option<&[&str]>) -> Result<Option<Self>, Failure> {
        let Some((path, demanded)) = Self::path() else { return Ok(None) };
        match read_text(&path) {
            Ok(text) => Self::parse_beside(&path, &text, elsewhere).map(Some),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !demanded => Ok(None),
            Err(e) => {
                let failure = Failure::usage(format!("reading the settings file {}: {e}", path.display()));
                Err(if demanded { failure.hint("AWSB_CONFIG names this file") } else { failure })
            }
        }
    }

    /// Where the settings file is, and whether `AWSB_CONFIG` says so. `None`: this user has no
    /// home.
    pub(super) fn path() -> Option<(PathBuf, bool)> {
        match std::env::var_os("AWSB_CONFIG").filter(|v| !v.is_empty()) {
            Some(path) => Some((PathBuf::from(path), true)),
            None => Some((config_home()?.join("awsb").join("config.toml"), false)),
        }
    }

    /// Parses the text of a settings file; there are clusters `elsewhere`, too.
    ///
    /// # Errors
    /// Names the file, the line and, for a wrong name, the nearest valid one.
    pub fn parse(path: &Path, text: &str, elsewhere: &[&str]) -> Result<Self, Failure> {
        Self::parse_beside(path, text, Some(elsewhere))
    }

    fn parse_beside(path: &Path, text: &str, elsewhere: Option<&[&str]>) -> Result<Self, Failure> {
        let file = TomlFile::new(format!("settings file {}", path.display()), text);
        let root = file.parse()?;
        let mut settings = Self {
            path: path.to_owned(),
            default_cluster: None,
            clusters: Vec::new(),
            defaults: Defaults::default(),
            local_defaults: Defaults::default(),
            secret_words: Vec::new(),
            lsf_unit: None,
        };
        let mut default_at = 0;
        for (key, value) in root.get_ref() {
            match key.get_ref().as_ref() {
                "default_cluster" => {
                    settings.default_cluster = Some(file.string(key.get_ref(), value)?);
                    default_at = key.span().start;
                }
                "secret_words" => settings.secret_words = file.list("secret_words", value)?,
                key @ "lsf_unit_for_limits" => settings.lsf_unit = Some(file.parsed(key, value)?),
                "defaults" => settings.defaults = Defaults::parse(&file, "defaults", value)?,
                "cluster" => {
                    for (name, section) in file.table("cluster", SUCH_AS, value)? {
                        if name.get_ref() == LOCAL {
                            settings.local_defaults = local(&file, section)?;
                        } else {
                            let section = self::section(&file, name, section)?;
                            settings.clusters.push((name.get_ref().to_string(), section));
                        }
                    }
                }
                other => return Err(file.unknown_key(key.span().start, other, "", &TOP_KEYS).into()),
            }
        }
        settings.clusters.sort_by(|a, b| a.0.cmp(&b.0));
        if let (Some(default), Some(elsewhere)) = (&settings.default_cluster, elsewhere)
            && default != LOCAL
            && settings.cluster(default).is_none()
            && !elsewhere.contains(&default.as_str())
        {
            let names = [&settings.names(), elsewhere].concat();
            let message = format!("default_cluster is `{default}`, and there is no [cluster.{default}]");
            return Err(with_nearest(file.wrong(default_at, message).into(), default, &names));
        }
        Ok(settings)
    }

    /// The section of a cluster.
    pub fn cluster(&self, name: &str) -> Option<&Section> {
        self.clusters.iter().find(|(n, _)| n == name).map(|(_, s)| s)
    }

    /// The names of all clusters.
    pub fn names(&self) -> Vec<&str> {
        self.clusters.iter().map(|(n, _)| n.as_str()).collect()
    }
}

/// `[cluster.local]`, which has defaults for jobs and nothing else.
fn local(file: &TomlFile<'_>, value: &Spanned<DeValue<'_>>) -> Result<Defaults, Failure> {
    let mut defaults = Defaults::default();
    for (key, value) in file.table(LOCAL, SUCH_AS, value)? {
        if key.get_ref() != "defaults" {
            let message = "the name `local` belongs to the local cluster, which only takes `defaults` here";
            return Err(file.wrong(key.span().start, message).into());
        }
        defaults = Defaults::parse(file, "cluster.local.defaults", value)?;
    }
    Ok(defaults)
}

fn section(
    file: &TomlFile<'_>,
    name: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
) -> Result<Section, Failure> {
    let mut section = Section::default();
    let place = format!(" in [cluster.{}]", name.get_ref());
    let (mut eks_log_group, mut eks_log_stream) = (None, None);
    for (key, value) in file.table(name.get_ref(), SUCH_AS, value)? {
        let key_name = key.get_ref().as_ref();
        let field: &mut Option<String> = match key_name {
            "region" => &mut section.region,
            "profile" => &mut section.profile,
            "endpoint_url" => &mut section.endpoint_url,
            "proxy" => &mut section.proxy,
            "stack" => &mut section.stack,
            "bucket" => &mut section.bucket,
            "prefix" => &mut section.prefix,
            "job_queue" => &mut section.job_queue,
            "job_definition" => &mut section.job_definition,
            "job_definition_mnp" => &mut section.job_definition_mnp,
            "log_group" => &mut section.log_group,
            "codebuild_project" => &mut section.codebuild_project,
            "eks_log_group" => &mut eks_log_group,
            "eks_log_stream" => {
                eks_log_stream = Some(file.parsed(key_name, value)?);
                continue;
            }
            "local" => {
                section.local = file.boolean(key_name, value)?;
                continue;
            }
            "builder" => {
                section.builder = Some(file.parsed(key_name, value)?);
                continue;
            }
            "ecr_repository" => {
                section.ecr_repository = Some(file.parsed(key_name, value)?);
                continue;
            }
            "create_repository" => {
                section.create_repository = file.boolean(key_name, value)?;
                continue;
            }
            "shared" => {
                section.shared = file.list("shared", value)?;
                continue;
            }
            "defaults" => {
                let place = format!("cluster.{}.defaults", name.get_ref());
                section.defaults = Defaults::parse(file, &place, value)?;
                continue;
            }
            other => return Err(file.unknown_key(key.span().start, other, &place, &CLUSTER_KEYS).into()),
        };
        let text = file.string(key_name, value)?;
        match key_name {
            "endpoint_url" => check_url(file, value, &text)?,
            "proxy" => proxy_url::check(&text)
                .map_err(|why| file.wrong(value.span().start, format!("`proxy` {why}")))?,
            _ => {}
        }
        *field = Some(text);
    }
    section.pod_logs = match (eks_log_group, eks_log_stream) {
        (Some(group), Some(stream)) => Some(PodLogs { group, stream }),
        (None, None) => None,
        (group, _) => {
            let missing = if group.is_none() { "eks_log_group" } else { "eks_log_stream" };
            let message = format!("`{missing}` is missing{place}: the logs of pods need both");
            return Err(file.wrong(name.span().start, message).into());
        }
    };
    for (key, text) in [
        ("region", &section.region),
        ("profile", &section.profile),
        ("endpoint_url", &section.endpoint_url),
        ("proxy", &section.proxy),
    ] {
        if section.local && text.is_some() {
            let message = format!("`{key}` has no place beside `local = true`{place}");
            return Err(file.wrong(name.span().start, message).into());
        }
    }
    for (key, text) in [
        ("bucket", &section.bucket),
        ("job_queue", &section.job_queue),
        ("job_definition", &section.job_definition),
    ] {
        if text.is_none() && section.stack.is_none() {
            return Err(file.wrong(name.span().start, format!("`{key}` is missing{place}")).into());
        }
    }
    Ok(section)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, Failure> {
        Settings::parse(Path::new("config.toml"), text, &["old"])
    }

    const GOOD: &str = "default_cluster = \"genomics\"\n\n[cluster.genomics]\nregion = \"eu-west-1\"\n\
        bucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d:3\"\n";

    #[test]
    fn a_good_file() -> Result<(), Failure> {
        let settings = parse(GOOD)?;
        assert_eq!(settings.default_cluster.as_deref(), Some("genomics"));
        let cluster = settings.cluster("genomics").cloned().unwrap_or_default();
        assert_eq!((cluster.bucket.as_deref(), cluster.job_definition.as_deref()), (Some("b"), Some("d:3")));
        assert_eq!(cluster.region.as_deref(), Some("eu-west-1"));
        Ok(())
    }

    #[test]
    fn a_repository_is_named_or_has_a_registry() -> Result<(), Failure> {
        for (text, registry) in [("lab/genomics", None), ("127.0.0.1:5000/lab", Some("127.0.0.1:5000"))] {
            let settings = parse(&format!("{GOOD}ecr_repository = \"{text}\"\ncreate_repository = true\n"))?;
            let cluster = settings.cluster("genomics").cloned().unwrap_or_default();
            let repository =
                cluster.ecr_repository.map(|r| (r.to_string(), r.registry.map(|r| r.to_string())));
            assert_eq!(repository, Some((text.to_owned(), registry.map(str::to_owned))));
            assert!(cluster.create_repository);
        }
        Ok(())
    }

    #[test]
    fn a_stack_makes_the_rest_optional_and_a_default_may_be_elsewhere() -> Result<(), Failure> {
        let settings = parse("default_cluster = \"old\"\n[cluster.pc]\nstack = \"hpc\"\nproxy = \"NONE\"\n")?;
        assert_eq!(settings.default_cluster.as_deref(), Some("old"));
        let cluster = settings.cluster("pc").cloned().unwrap_or_default();
        assert_eq!((cluster.stack.as_deref(), cluster.bucket), (Some("hpc"), None));
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let cases = [
            GOOD.replace("job_queue", "job_qeue"),
            GOOD.replace("bucket = \"b\"\n", ""),
            GOOD.replace("\"genomics\"\n\n", "\"genomic\"\n\n"),
            GOOD.replace("\"b\"", "7"),
            GOOD.replace("\"b\"", "\"\""),
            GOOD.replace("default_cluster", "defaults"),
            GOOD.replace("default_cluster", "defalts"),
            GOOD.replace("[cluster.genomics]", "[cluster.local]"),
            GOOD.replace("region = \"eu-west-1\"", "proxy = \"socks5://localhost\""),
            format!("{GOOD}[defaults]\nmemory = [1, {{}}]\n"),
            format!("{GOOD}[cluster.genomics.defaults]\n\"mem ory\" = 1\n"),
            format!("{GOOD}[defaults]\ncluster = \"x\"\n"),
            GOOD.replace("region = \"eu-west-1\"", "endpoint_url = \"localhost:99\""),
            GOOD.replace("region = \"eu-west-1\"", "builder = \"podman\""),
            GOOD.replace("bucket = ", "local = true\nbucket = "),
            GOOD.replace("region = \"eu-west-1\"", "codebuild_project = true"),
            GOOD.replace("region = \"eu-west-1\"", "ecr_repository = \"Lab/Genomics\""),
            GOOD.replace("region = \"eu-west-1\"", "ecr_repository = \"127.0.0.1:5000/lab:latest\""),
            GOOD.replace("region = \"eu-west-1\"", "ecr_repo = \"lab\""),
            GOOD.replace("region = \"eu-west-1\"", "create_repository = \"yes\""),
            "secret_words = \"dsn\"\n".to_owned(),
            "secret_words = [\"dsn\", \"A*\"]\n".to_owned(),
            "lsf_unit_for_limits = \"PB\"\n".to_owned(),
            "cluster = 3\n".to_owned(),
            "[cluster\n".to_owned(),
        ];
        let messages: Vec<String> = cases
            .iter()
            .map(|text| match parse(text) {
                Ok(_) => "no error".to_owned(),
                Err(f) => format!("{} {:?}", f.message(), f.hints()),
            })
            .collect();
        insta::assert_snapshot!(messages.join("\n"));
    }
}
