//! `awsb prune`: removes what awsb has left in the account and in the cluster's bucket.
//!
//! It removes derived job definitions that no job uses, the limits of arrays that have ended, and
//! stale keys of nodes; with `--bundles` also bundles that no job uses. Everything is found before
//! anything is removed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::{Value, json};

use super::CommonArgs;
use crate::aws::Session;
use crate::batch::definition::{self, DerivedDefinition};
use crate::batch::{self, EndedLimit, KnownJobs};
use crate::stage::{self, LeftObject};
use crate::ui::{self, Exit, Failure, Layout, View, local_rfc3339, print_message};
use awsb_model::{JobId, Period, words};

/// At most this many job definitions are deregistered, or limits removed, at the same time.
const CALLS_AT_ONCE: usize = 5;
/// A day, in seconds.
const DAY: u64 = 24 * 60 * 60;
/// The usual age of bundles that are removed, in seconds.
const USUAL_AGE: u32 = 30 * 24 * 60 * 60;

/// Remove what awsb has left: derived job definitions that no job uses, limits of arrays that have
/// ended, stale node keys, old bundles
#[derive(Debug, Parser)]
#[command(name = "awsb prune", version)]
pub struct Args {
    /// Bundles, too, that no job uses which Batch knows in any queue of this account and region
    #[arg(long)]
    bundles: bool,
    /// Only bundles that are older than this, at least 16d
    #[arg(long, value_name = "TIME", default_value_t = Period::of_seconds(USUAL_AGE), value_parser = age)]
    older_than: Period,
    /// Show what would be removed, without removing it
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    common: CommonArgs,
}

/// The value of `--older-than`. A bundle that is younger than bsub's limit may be used by a bsub
/// that runs now, without being stored again.
fn age(text: &str) -> Result<Period, String> {
    let period: Period = text.parse().map_err(|e: awsb_model::Invalid| e.to_string())?;
    let least = stage::REFRESH_AFTER + Duration::from_secs(DAY);
    if period.get() < least {
        return Err(format!(
            "at least {}d, because bsub uses a stored bundle for {}d without storing it again",
            least.as_secs() / DAY,
            stage::REFRESH_AFTER.as_secs() / DAY
        ));
    }
    Ok(period)
}

/// `awsb prune`'s entry point.
pub fn main(words: Vec<OsString>) -> ExitCode {
    super::run("awsb prune", words, |args: Args| {
        if !args.yes && !args.dry_run && !ui::can_ask() {
            return Err(Failure::usage(
                "refusing to remove anything without asking: standard input is not a terminal",
            )
            .hint("`--yes` removes without asking, and `--dry-run` only shows what would be removed"));
        }
        super::block_on(args.run())
    })
}

/// A thing that is left.
#[derive(Debug, Clone)]
enum Leftover {
    Definition(DerivedDefinition),
    Limit(EndedLimit),
    NodeKey(LeftObject),
    Bundle(LeftObject),
}

impl Leftover {
    /// Its kind, under AWS's name where AWS has one.
    fn kind(&self) -> &'static str {
        match self {
            Self::Definition(_) => "jobDefinition",
            Self::Limit(_) => "consumableResource",
            Self::NodeKey(_) => "nodeKey",
            Self::Bundle(_) => "bundle",
        }
    }

    /// The name of a job definition or of a limit, or the key of an object.
    fn name(&self) -> &str {
        match self {
            Self::Definition(definition) => &definition.name,
            Self::Limit(limit) => &limit.name,
            Self::NodeKey(object) | Self::Bundle(object) => &object.key,
        }
    }

    /// The object, if it is one.
    fn object(&self) -> Option<&LeftObject> {
        match self {
            Self::Definition(_) | Self::Limit(_) => None,
            Self::NodeKey(object) | Self::Bundle(object) => Some(object),
        }
    }

    /// The object, if it is a bundle.
    fn bundle(&self) -> Option<&LeftObject> {
        match self {
            Self::Bundle(object) => Some(object),
            Self::Definition(_) | Self::Limit(_) | Self::NodeKey(_) => None,
        }
    }

    fn json(&self, is_removed: bool) -> Value {
        let (arn, created_at) = match self {
            Self::Definition(definition) => (Some(&definition.arn), None),
            Self::Limit(limit) => (limit.arn.as_ref(), limit.created_at),
            Self::NodeKey(_) | Self::Bundle(_) => (None, None),
        };
        json!({
            "kind": self.kind(),
            "name": self.name(),
            "arn": arn,
            "createdAt": created_at,
            "size": self.object().map(|object| object.size),
            "lastModified": self.object().map(|object| object.modified_at),
            "removed": is_removed,
        })
    }
}

impl Args {
    async fn run(&self) -> Result<Exit, Failure> {
        let session = self.common.open().await?;
        let (found, failures) = self.find(&session).await?;
        failures.iter().for_each(|failure| failure.report("awsb prune"));
        let exit = if failures.is_empty() { Exit::Done } else { Exit::Failed };
        if found.is_empty() && !self.common.json {
            // A failure leaves open whether there is something.
            if failures.is_empty() {
                print_message("awsb prune: note: there is nothing to remove");
            }
            return Ok(exit);
        }
        if self.dry_run || found.is_empty() {
            self.common.output().show(&Shown { found: &found, removed: None })?;
            return Ok(exit);
        }
        if !self.yes && !confirm(&found).await? {
            print_message("awsb prune: nothing is removed");
            return Ok(Exit::Failed);
        }
        let failed = remove(&session, &found).await;
        let removed: Vec<bool> = found.iter().map(|left| !failed.contains_key(left.name())).collect();
        self.common.output().show(&Shown { found: &found, removed: Some(&removed) })?;
        failed.values().for_each(|failure| failure.report("awsb prune"));
        Ok(if failed.is_empty() { exit } else { Exit::Failed })
    }

    /// Everything that may be removed, and the failures of what could not be looked for.
    ///
    /// # Errors
    /// When Batch cannot be asked for its jobs: nobody knows then what is in use.
    async fn find(&self, session: &Session) -> Result<(Vec<Leftover>, Vec<Failure>), Failure> {
        let known = batch::known_jobs(session).await?;
        let (definitions, limits, keys, bundles) = tokio::join!(
            definition::unused_definitions(session, &known.definitions),
            batch::ended_limits(session),
            stage::stale_node_keys(session),
            self.unused_bundles(session, &known),
        );
        let mut found = Vec::new();
        let mut failures = Vec::new();
        match definitions {
            Ok(definitions) => found.extend(definitions.into_iter().map(Leftover::Definition)),
            Err(failure) => failures.push(failure),
        }
        match limits {
            Ok(limits) => found.extend(limits.into_iter().map(Leftover::Limit)),
            Err(failure) => failures.push(failure),
        }
        match keys {
            Ok(keys) => found.extend(keys.into_iter().map(Leftover::NodeKey)),
            Err(failure) => failures.push(failure),
        }
        match bundles {
            Ok(bundles) => found.extend(bundles.into_iter().map(Leftover::Bundle)),
            Err(failure) => failures.push(failure),
        }
        Ok((found, failures))
    }

    /// The bundles that are old enough and that no job names, if bundles are asked for.
    async fn unused_bundles(&self, session: &Session, known: &KnownJobs) -> Result<Vec<LeftObject>, Failure> {
        if !self.bundles {
            return Ok(Vec::new());
        }
        let mut bundles = stage::old_bundles(session, self.older_than.get()).await?;
        if bundles.is_empty() {
            return Ok(bundles);
        }
        let ids: Vec<JobId> = known.ids.iter().cloned().collect();
        let jobs = batch::sdk_details(session, &ids).await?;
        let used = stage::used_digests(jobs.iter().flatten());
        bundles.retain(|bundle| stage::digest(&bundle.key).is_some_and(|digest| !used.contains(digest)));
        Ok(bundles)
    }
}

/// Removes all of these. Returns the failures, by name.
async fn remove(session: &Session, found: &[Leftover]) -> BTreeMap<String, Failure> {
    let mut failed = remove_from_batch(session, found).await;
    failed.extend(renewed_bundles(session, found).await);
    let objects = found.iter().filter_map(Leftover::object).map(|object| object.key.clone());
    let keys: Vec<String> = objects.filter(|key| !failed.contains_key(key)).collect();
    match stage::remove_objects(session, &keys).await {
        Ok(failures) => failed.extend(failures),
        Err(failure) => failed.extend(keys.into_iter().map(|key| (key, failure.clone()))),
    }
    failed
}

/// The bundles that have been stored again since they were found, with a failure for each: the job
/// of the `bsub` that did so needs them. Whoever is asked may take a long time to answer.
async fn renewed_bundles(session: &Session, found: &[Leftover]) -> BTreeMap<String, Failure> {
    let mut bundles = found.iter().filter_map(Leftover::bundle).peekable();
    if bundles.peek().is_none() {
        return BTreeMap::new();
    }
    let now = match stage::all_bundles(session).await {
        Ok(now) => now,
        Err(failure) => return bundles.map(|bundle| (bundle.key.clone(), failure.clone())).collect(),
    };
    let is_renewed = |bundle: &&LeftObject| {
        now.iter().any(|object| object.key == bundle.key && object.modified_at != bundle.modified_at)
    };
    let stays = |bundle: &LeftObject| {
        let message = format!("the bundle {} stays: a job has been submitted with it meanwhile", bundle.key);
        (bundle.key.clone(), Failure::failed(message))
    };
    bundles.filter(is_renewed).map(stays).collect()
}

/// Removes those of these that are in Batch. Returns the failures, by name.
async fn remove_from_batch(session: &Session, found: &[Leftover]) -> BTreeMap<String, Failure> {
    let calls = found.iter().filter(|left| left.object().is_none()).map(|left| async move {
        let outcome = match left {
            Leftover::Definition(definition) => definition::deregister(session, definition).await,
            Leftover::Limit(limit) => batch::remove_ended_limit(session, limit).await,
            Leftover::NodeKey(_) | Leftover::Bundle(_) => Ok(()),
        };
        outcome.err().map(|failure| (left.name().to_owned(), failure))
    });
    stream::iter(calls).buffer_unordered(CALLS_AT_ONCE).filter_map(async |failed| failed).collect().await
}

/// Shows the leftovers on the terminal, and asks whether to remove them.
async fn confirm(found: &[Leftover]) -> Result<bool, Failure> {
    for left in found.iter().take(MAX_SHOWN) {
        print_message(ui::sanitize(&format!("{}  {}", left.kind(), left.name())));
    }
    if found.len() > MAX_SHOWN {
        print_message(format!("and {} more", found.len() - MAX_SHOWN));
    }
    let count = |kind: &str| found.iter().filter(|left| left.kind() == kind).count();
    let kinds = [
        ("jobDefinition", "job definition"),
        ("consumableResource", "array limit"),
        ("nodeKey", "node key"),
        ("bundle", "bundle"),
    ];
    let parts: Vec<String> = kinds
        .iter()
        .map(|(kind, name)| (count(kind), name))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| words::many(count, name))
        .collect();
    ui::ask(&format!("Remove {}?", words::and(&parts))).await
}

/// At most this many leftovers are shown before the question.
const MAX_SHOWN: usize = 20;

/// The leftovers, and with `removed` whether each was removed.
struct Shown<'a> {
    found: &'a [Leftover],
    removed: Option<&'a [bool]>,
}

impl Shown<'_> {
    /// The leftovers that are printed: after a removal, those that were removed.
    fn rows(&self) -> impl Iterator<Item = (&Leftover, bool)> {
        let is_removed = |at: usize| self.removed.is_some_and(|removed| removed.get(at) == Some(&true));
        self.found.iter().enumerate().map(move |(at, left)| (left, is_removed(at)))
    }
}

impl View for Shown<'_> {
    fn plain(&self) -> Layout {
        let shown = self.rows().filter(|(_, removed)| self.removed.is_none() || *removed);
        let row = |(left, _): (&Leftover, bool)| {
            let object = left.object();
            vec![
                left.kind().to_owned(),
                left.name().to_owned(),
                object.map(|object| object.size.to_string()).unwrap_or_default(),
                object.map(|object| local_rfc3339(object.modified_at)).unwrap_or_default(),
            ]
        };
        Layout::Table {
            columns: vec!["kind", "name", "size", "lastModified"],
            rows: shown.map(row).collect(),
            shrinks: Some(1),
        }
    }

    fn json(&self) -> Vec<Value> {
        self.rows().map(|(left, removed)| left.json(removed)).collect()
    }
}
