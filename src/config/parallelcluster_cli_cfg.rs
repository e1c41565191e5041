//! The settings of the old tools: `~/.parallelcluster/awsbatch-cli.cfg`.
//!
//! Its form and keys are those that `aws-parallelcluster-awsbatch-cli` (`common.py`,
//! `awsbatch-cli.cfg`) has: an INI file as Python's `configparser` reads it, `[main]` with the
//! default cluster, and `[cluster NAME]` sections. The default may have no section: then the stack
//! of its name is read.

use std::path::{Path, PathBuf};

use awsb_model::ini::{Comments, Ini};

use super::defaults::{DefaultLine, Defaults};
use super::settings::Section;
use super::text_file::read_text;
use super::user_folders::home;
use crate::ui::{ErrorKind, Failure};

/// The settings in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OldSettings {
    /// The file, if it exists.
    pub path: Option<PathBuf>,
    /// `region` of `[main]`.
    pub region: Option<String>,
    /// `env_blacklist` of `[main]`.
    pub env_blacklist: Option<String>,
    /// `cluster_name` of `[main]`.
    pub default_cluster: Option<String>,
    /// The clusters, by name.
    pub clusters: Vec<(String, Section)>,
    /// The clusters whose sections have a mistake. It counts only when the cluster is needed.
    pub mistakes: Vec<(String, Failure)>,
}

impl OldSettings {
    /// Reads the file; without one, there are no old clusters.
    ///
    /// # Errors
    /// When it cannot be read, or is not an INI file.
    pub fn read() -> Result<Self, Failure> {
        let Some(path) = Self::usual_path() else { return Ok(Self::default()) };
        match read_text(&path) {
            Ok(text) => Self::parse(&path, &text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => {
                let message = format!("reading the old tools' settings {}: {e}", path.display());
                Err(Failure::new(ErrorKind::OldSettings(None), message))
            }
        }
    }

    /// Where the file is, or would be. `None`: this user has no home.
    pub fn usual_path() -> Option<PathBuf> {
        Some(home()?.join(".parallelcluster").join("awsbatch-cli.cfg"))
    }

    /// The names of all clusters.
    pub fn names(&self) -> Vec<&str> {
        let good = self.clusters.iter().map(|(name, _)| name.as_str());
        good.chain(self.mistakes.iter().map(|(name, _)| name.as_str())).collect()
    }

    /// The section of a cluster.
    ///
    /// # Errors
    /// When it lacks what it has to have.
    pub fn cluster(&self, name: &str) -> Result<Option<&Section>, Failure> {
        match self.mistakes.iter().find(|(n, _)| n == name) {
            Some((_, failure)) => Err(failure.clone()),
            None => Ok(self.clusters.iter().find(|(n, _)| n == name).map(|(_, section)| section)),
        }
    }

    /// Parses the text of the file. A section with a mistake is noted with it.
    ///
    /// # Errors
    /// Names the file and the line where it is not an INI file.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        let ini = Ini::parse(text, Comments::OwnLine).map_err(|e| wrong(path, e.line, e.message))?;
        let main = ini.section("main");
        let of_main = |key: &str| main.and_then(|main| main.value(key)).map(str::to_owned);
        let mut defaults = Defaults::default();
        if let Some(list) = of_main("env_blacklist") {
            let line = main.map_or(1, |main| main.line);
            let place = format!("{}, line {line}", path.display());
            defaults.0.push(DefaultLine::new("env-exclude", &[list], place));
        }
        let mut old = Self {
            path: Some(path.to_owned()),
            region: of_main("region"),
            env_blacklist: of_main("env_blacklist"),
            default_cluster: of_main("cluster_name"),
            clusters: Vec::new(),
            mistakes: Vec::new(),
        };
        for section in &ini.sections {
            let Some(name) = section.name.strip_prefix("cluster ").map(str::trim) else { continue };
            let value = |key: &str| section.value(key).map(str::to_owned);
            let must = |key: &str| match value(key) {
                Some(text) => Ok(Some(text)),
                None => Err(wrong(path, section.line, format!("`{key}` is missing in [cluster {name}]"))),
            };
            let directory = value("artifact_directory");
            let cluster = || -> Result<Section, Failure> {
                Ok(Section {
                    region: value("region").or_else(|| of_main("region")),
                    proxy: value("proxy"),
                    bucket: must("s3_bucket")?,
                    // The folder in which the cluster's roles may write.
                    prefix: Some(
                        directory.map_or("batch".into(), |d| format!("{}/batch", d.trim_matches('/'))),
                    ),
                    job_queue: must("job_queue")?,
                    job_definition: must("job_definition")?,
                    job_definition_mnp: value("job_definition_mnp"),
                    defaults: defaults.clone(),
                    ..Section::default()
                })
            };
            match cluster() {
                Ok(section) => old.clusters.push((name.to_owned(), section)),
                Err(failure) => old.mistakes.push((name.to_owned(), failure)),
            }
        }
        if let Some(name) = old.default_cluster.clone().filter(|name| !old.names().contains(&name.as_str())) {
            let section = Section {
                region: of_main("region"),
                stack: Some(name.clone()),
                defaults: defaults.clone(),
                ..Section::default()
            };
            old.clusters.push((name, section));
        }
        Ok(old)
    }
}

fn wrong(path: &Path, line: usize, message: impl std::fmt::Display) -> Failure {
    let message = format!("the old tools' settings {}, line {line}: {message}", path.display());
    Failure::new(ErrorKind::OldSettings(Some(line)), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn parse(text: &str) -> Result<OldSettings, Failure> {
        OldSettings::parse(Path::new("awsbatch-cli.cfg"), text)
    }

    const FILE: &str = "# a comment\n[main]\ncluster_name = hpc\nregion: eu-west-1\nenv_blacklist = HOME,\n  PWD\n\n\
        [cluster hpc]\nRegion = us-east-1\ns3_bucket = b\nartifact_directory = hpc-x\njob_queue = arn:aws:batch:q\n\
        job_definition = d:1\nproxy = NONE\nhead_node_ip = 10.0.0.1\nbatch_cli_requirements = x>=1.0.0\n";

    #[test]
    fn a_file_of_the_old_tools() -> Result<(), Failure> {
        let old = parse(FILE)?;
        assert_eq!(old.default_cluster.as_deref(), Some("hpc"));
        let hpc = old.cluster("hpc")?.cloned().unwrap_or_default();
        assert_eq!(hpc.region.as_deref(), Some("us-east-1"));
        assert_eq!((hpc.bucket.as_deref(), hpc.prefix.as_deref()), (Some("b"), Some("hpc-x/batch")));
        assert_eq!((hpc.job_queue.as_deref(), hpc.stack), (Some("arn:aws:batch:q"), None));
        assert_eq!(hpc.defaults.0[0].words, ["--env-exclude=HOME,PWD"]);
        Ok(())
    }

    #[test]
    fn a_default_without_a_section_is_a_stack() -> Result<(), Failure> {
        let old = parse("[main]\ncluster_name = hpc\nregion = eu-west-1\n")?;
        let hpc = old.cluster("hpc")?.cloned().unwrap_or_default();
        assert_eq!((hpc.stack.as_deref(), hpc.region.as_deref()), (Some("hpc"), Some("eu-west-1")));
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, message) in [
            ("x = 1\n", "line 1: no [section] comes before this line"),
            ("[main]\nhello\n", "line 2: neither a [section] nor `key = value`"),
        ] {
            let failure = parse(text).map(|_| ()).unwrap_err();
            assert!(failure.message().ends_with(message), "{failure}");
        }
    }

    #[test]
    fn a_mistake_in_a_section_counts_for_its_cluster_alone() -> Result<(), Failure> {
        let other = "[cluster other]\ns3_bucket = b\njob_queue = q\njob_definition = d\n";
        let old = parse(&format!("{}{other}", FILE.replace("s3_bucket = b\n", "")))?;
        assert_eq!(old.names(), ["other", "hpc"]);
        assert!(old.cluster("other")?.is_some());
        let failure = old.cluster("hpc").map(|_| ()).unwrap_err();
        let message = "line 8: `s3_bucket` is missing in [cluster hpc]";
        assert!(failure.message().ends_with(message), "{failure}");
        Ok(())
    }
}
