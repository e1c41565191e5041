//! `bcluster import`: a configuration from ParallelCluster's.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use awsb_model::cluster::ClusterName;
use awsb_model::cluster::import::{Import, ImportError, ImportOptions, Outcome, Report, import};
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::super::CommonArgs;
use super::account::{cluster, open};
use super::tool::TOOL;
use crate::aws::{ObjectReader, Session, explain};
use crate::cloud::{Maker, Stack};
use crate::config;
use crate::ui::{ErrorKind, Exit, Failure, Format, Layout, Output, View, print_message};

/// The longest file of a cluster in S3 that is read, in bytes.
const LONGEST_FILE: u64 = 1 << 20;

/// The arguments of `bcluster import`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// ParallelCluster's file (YAML of version 3, INI of version 2); `-` is standard input
    #[arg(value_name = "FILE", required_unless_present = "stack")]
    file: Option<PathBuf>,
    /// The cluster of ParallelCluster 3 whose file is to be fetched
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    stack: Option<ClusterName>,
    /// The file for the configuration; without it, standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long, requires = "output")]
    force: bool,
    /// The `[cluster NAME]` of a file of version 2 in place of what `cluster_template` names
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    cluster_template: Option<String>,
    /// Give jobs the managed policies that the head node had
    #[arg(long)]
    job_policies: bool,
    /// Write the configuration without the keys that are errors
    #[arg(long)]
    partial: bool,
}

impl Args {
    /// Reads the file, writes the configuration, and prints what became of each key.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        if let Some(output) = self.output.as_deref().filter(|output| !self.force && output.exists()) {
            return Err(exists(output));
        }
        let (name, text, hint) = self.text(common).await?;
        let options =
            ImportOptions { cluster: self.cluster_template.clone(), job_policies: self.job_policies };
        let imported = import(&name, &text, &options).map_err(failure)?;
        let errors = imported.report.errors().count();
        if errors > 0 && !self.partial {
            common.output().show(&Shown(&imported.report))?;
            let keys = if errors == 1 { "1 key".to_owned() } else { format!("{errors} keys") };
            return Err(Failure::usage(format!("{keys} of {name} cannot be imported: see `errors` above"))
                .hint("change them in the file, or leave them out with `--partial`"));
        }
        self.write(&imported, common)?;
        self.print_hints(&imported, hint);
        Ok(Exit::Done)
    }

    /// The name and the text of ParallelCluster's file, and what else is known about the cluster.
    async fn text(&self, common: &CommonArgs) -> Result<(String, String, Option<String>), Failure> {
        if let Some(name) = &self.stack {
            let session = open(common, Some(name.as_str())).await?;
            let stack = cluster(&session, name.as_str()).await?;
            let text = fetch(&session, &stack, name.as_str()).await?;
            return Ok((
                format!("the configuration of the stack {}", stack.name),
                text,
                file_systems(&stack),
            ));
        }
        let file = self.file.as_deref().unwrap_or(Path::new("-"));
        let shown = config::shown_name(file);
        match config::read_text(file) {
            Ok(text) => Ok((shown, text, None)),
            Err(e) => Err(Failure::usage(format!("reading ParallelCluster's file {shown}: {e}"))
                .hint("`bcluster import --stack NAME` fetches the file of a cluster of ParallelCluster 3")),
        }
    }

    /// Writes the configuration. The report goes to standard output, unless the configuration does.
    fn write(&self, imported: &Import, common: &CommonArgs) -> Result<(), Failure> {
        let Some(output) = &self.output else {
            print_message(&imported.report);
            return Output::new(Format::Plain).write(imported.toml.as_bytes());
        };
        let mut options = OpenOptions::new();
        // Somebody may have written a file of this name meanwhile.
        let options = match self.force {
            true => options.write(true).create(true).truncate(true),
            false => options.write(true).create_new(true),
        };
        let written = options.open(output).and_then(|mut file| file.write_all(imported.toml.as_bytes()));
        match written {
            Ok(()) => common.output().show(&Shown(&imported.report)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Err(exists(output)),
            Err(e) => Err(Failure::failed(format!("writing the file {}: {e}", output.display()))),
        }
    }

    fn print_hints(&self, imported: &Import, hint: Option<String>) {
        let mut lines = Vec::new();
        let file = match &self.output {
            Some(output) => {
                let file = output.display().to_string();
                lines.push(format!("{TOOL}: {file} is written"));
                file
            }
            None => "FILE".to_owned(),
        };
        if imported.report.problems.iter().any(|problem| problem.kind.is_fatal()) {
            lines.push("hint: `bcluster create` refuses it as long as it has the problems above".to_owned());
        }
        lines.extend(hint.filter(|_| imported.config.has_efs()).map(|hint| format!("hint: {hint}")));
        let region = imported.region.as_ref().map(|region| format!(" --region {region}")).unwrap_or_default();
        lines.push(format!("hint: `bcluster create NAME -f {file}{region} --plan` shows what it makes"));
        print_message(lines.join("\n"));
    }
}

fn exists(output: &Path) -> Failure {
    Failure::usage(format!("the file {} exists already", output.display())).hint("`--force` replaces it")
}

fn failure(error: ImportError) -> Failure {
    error.hints.iter().fold(Failure::usage(error.message.clone()), |failure, hint| failure.hint(hint))
}

/// The file of a cluster. ParallelCluster 3 keeps it, as the user has written it, in the cluster's
/// folder of its bucket (`pcluster/models/cluster.py`, `_upload_config`).
async fn fetch(session: &Session, stack: &Stack, name: &str) -> Result<String, Failure> {
    if stack.maker() == Maker::Awsb {
        return Err(Failure::usage(format!(
            "the cluster {name} is bcluster's already, not ParallelCluster's"
        ))
        .hint(format!("`bcluster update {name} -f FILE` changes it")));
    }
    let parameters = ["ResourcesS3Bucket", "ArtifactS3RootDirectory", "ConfigVersion"];
    let [Some(bucket), Some(folder), Some(version)] = parameters.map(|parameter| stack.fact(parameter))
    else {
        return Err(Failure::failed(format!(
            "the stack {} does not say where its file is: ParallelCluster 2 did not keep it",
            stack.name
        ))
        .hint(
            "`bcluster import FILE` reads the file with which it was made, usually ~/.parallelcluster/config",
        ));
    };
    let key = format!("{folder}/configs/cluster-config.yaml");
    let place = format!("reading s3://{bucket}/{key}");
    let sent = session.s3.get_object().bucket(bucket).key(&key).version_id(version).send().await;
    let object = sent.map_err(|e| {
        let failure = explain(session, place.as_str(), &e);
        match failure.kind() {
            ErrorKind::AccessDenied => failure,
            _ => failure.hint("`bcluster import FILE` reads the file with which the cluster was made"),
        }
    })?;
    let too_long = Failure::failed(format!("{place}: it is too long for a configuration of a cluster"));
    let bytes = ObjectReader::new(object, LONGEST_FILE, &place, too_long)?.whole().await?;
    String::from_utf8(bytes).map_err(|_| Failure::failed(format!("{place}: it is not a text")))
}

/// The remarks about the file systems that a cluster has made.
fn file_systems(stack: &Stack) -> Option<String> {
    let ids = stack.fact("EFSIds")?;
    Some(format!(
        "the old cluster's file systems are {ids}: with `source`, a [shared.NAME] has the data of one"
    ))
}

/// The report.
struct Shown<'r>(&'r Report);

impl View for Shown<'_> {
    fn plain(&self) -> Layout {
        Layout::Lines(self.0.to_string().lines().map(str::to_owned).collect())
    }

    fn json(&self) -> Vec<Value> {
        let entry = |(key, line, outcome): (&str, usize, &Outcome)| {
            let mut value = match outcome {
                Outcome::Mapped { to, note } => json!({ "outcome": "mapped", "to": to, "note": note }),
                Outcome::Dropped { reason } => json!({ "outcome": "dropped", "reason": reason }),
                Outcome::Error { message, hint } => {
                    json!({ "outcome": "error", "message": message, "hint": hint })
                }
            };
            value["key"] = json!(key);
            value["line"] = json!(line);
            value
        };
        let notes =
            self.0.notes.iter().map(|note| json!({ "outcome": "note", "to": note.to, "note": note.text }));
        let problems = self.0.problems.iter().map(|problem| {
            json!({ "outcome": "problem", "to": problem.key, "message": problem.message, "hint": problem.advice })
        });
        let entries = self.0.entries.iter().map(|one| entry((&one.key, one.line, &one.outcome)));
        entries.chain(notes).chain(problems).collect()
    }
}
