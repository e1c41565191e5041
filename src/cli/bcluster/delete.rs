//! `bcluster delete`: takes a cluster away.
//!
//! The queues stop taking jobs, the jobs end, the environments give their instances back, and only
//! then is the stack deleted: an environment with jobs cannot be. Each step can be repeated.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use awsb_model::cluster::ClusterName;
use awsb_model::words;
use serde_json::{Value, json};

use super::super::CommonArgs;
use super::account::{self, check_own, open, stack_name};
use super::kept::Kept;
use super::operation::{self, Outcome, check_can_ask, confirm, interrupted};
use super::tool::TOOL;
use crate::aws::{ResilientSession, Session};
use crate::batch::Job;
use crate::cloud::bucket::{self, BucketContent};
use crate::cloud::drain::{self, JobsLeft, Parts, Wanted};
use crate::cloud::{
    self, Journal, Kind, Leftover, Names, Operation, Origin, Phase, Progress, Stack, StackResource,
    StackStatus, Watch,
};
use crate::config::{self, SettingsChange};
use crate::ui::{
    EndSignal, Exit, Failure, Layout, ProgressBar, SignalListener, StatusLines, View, print_message, span,
};

/// The reason that jobs get which end with their cluster.
const REASON: &str = "the cluster is being deleted (bcluster)";

/// The arguments of `bcluster delete`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The cluster
    #[arg(value_name = "NAME")]
    name: ClusterName,
    /// Show what would go and what would stay, and delete nothing
    #[arg(long)]
    plan: bool,
    /// Delete it without asking; its data stays without --delete-data
    #[arg(short, long)]
    yes: bool,
    /// Let the jobs of the cluster end by themselves, and wait for them
    #[arg(long)]
    wait_jobs: bool,
    /// Delete the data, too: all objects of the bucket, the logs, and what else would be kept
    #[arg(long)]
    delete_data: bool,
    /// Keep the data without asking
    #[arg(long, conflicts_with = "delete_data")]
    keep_data: bool,
    /// Keep what cannot be deleted, and delete the rest
    #[arg(long)]
    force: bool,
}

/// The cluster as it is before the deletion.
#[derive(Default)]
struct Found {
    stack: Stack,
    resources: Vec<StackResource>,
    /// The resources with data that stay when the stack is deleted.
    kept: Vec<StackResource>,
    /// The policies of buckets among them, which stay with their buckets.
    kept_policies: usize,
    /// The resources that the template keeps, and that are gone with the stack all the same: where
    /// the cluster is, they are only simulated.
    simulated: Vec<StackResource>,
    /// The names of its job definitions.
    definitions: Vec<String>,
    parts: Parts,
    jobs: BTreeMap<String, Vec<Job>>,
    buckets: Vec<(String, Option<BucketContent>)>,
}

impl Args {
    /// Deletes the cluster.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let name = self.name.as_str();
        if !self.plan {
            check_can_ask(self.yes, "delete a cluster", "`--plan` shows what would be deleted")?;
        }
        let session = open(common, Some(name)).await?;
        let Some(stack) = account::find(&session, name).await? else {
            let failure = account::missing(&session, name);
            return self.without_stack(common, session, failure).await;
        };
        check_own(&session, &stack, name, "delete")?;
        let mut contact = ResilientSession::new(session, TOOL);
        let found = self.look(&contact, stack).await?;
        let lines = self.plan_lines(&found, &contact.session().place());
        if self.plan {
            common.output().show(&DeletionPlan { name: self.name.as_str(), found: &found, lines })?;
            return Ok(Exit::Done);
        }
        lines.iter().for_each(print_message);
        if !self.yes && !confirm(&format!("Delete the cluster {name}?")).await? {
            print_message(format!("{TOOL}: nothing has been deleted"));
            return Ok(Exit::Failed);
        }
        let deletes_data = self.delete_data
            || (!self.yes && !self.keep_data && !found.kept.is_empty() && confirm(&question(&found)).await?);
        let mut journal = Journal::open(contact.session(), &found.stack.name)?;
        let mut signals = SignalListener::listen();
        let drained = {
            let drained = self.drain(&mut contact, &found, deletes_data);
            tokio::select! {
                biased;
                outcome = drained => Ok(outcome?),
                signal = signals.next() => Err(signal),
            }
        };
        drop(signals);
        if let Err(signal) = drained {
            return Ok(self.interrupted(signal));
        }
        self.delete(common, &mut contact, &mut journal, &found, deletes_data).await
    }

    fn interrupted(&self, signal: EndSignal) -> Exit {
        let name = &self.name;
        // Without the option, the same jobs would be terminated.
        let option = if self.wait_jobs { " --wait-jobs" } else { "" };
        print_message(format!(
            "{TOOL}: {signal}; the cluster {name} takes no jobs any more, and is not deleted yet\nhint: \
             `bcluster delete {name}{option}` goes on, `bcluster start {name}` makes it take jobs again"
        ));
        Exit::Interrupted(signal)
    }

    /// Finds out what there is.
    async fn look(&self, contact: &ResilientSession, stack: Stack) -> Result<Found, Failure> {
        let session = contact.session();
        let template = async {
            match stack.status.phase() {
                // A stack in review has only a change set.
                Phase::Review => Ok(String::new()),
                _ => cloud::stack_template(session, &stack.id).await,
            }
        };
        let (mut resources, template) = tokio::try_join!(cloud::resources(session, &stack.id), template)?;
        let definitions = drain::physical_ids(&resources, "AWS::Batch::JobDefinition");
        let definitions =
            definitions.iter().map(|arn| cloud::data::definition_name(arn).to_owned()).collect();
        resources.retain(|resource| resource.resource_status != "DELETE_COMPLETE");
        let kept = cloud::kept_ids(&template);
        let kept = resources
            .iter()
            .filter(|r| kept.contains(&r.logical_resource_id) && r.physical_resource_id.is_some())
            .cloned();
        let (mut simulated, kept): (Vec<_>, Vec<_>) =
            kept.partition(|resource| session.is_simulated(&resource.resource_type));
        let is_policy = |resource: &StackResource| resource.resource_type == "AWS::S3::BucketPolicy";
        // The policy of a bucket stays with it.
        let (policies, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(is_policy);
        let kept_policies = policies.len();
        simulated.retain(|resource| !is_policy(resource));
        let parts = drain::parts(session, &resources).await?;
        let jobs = drain::active_jobs(session, &parts.queues);
        let buckets = async { Ok(bucket_contents(session, &resources).await) };
        let (jobs, buckets) = tokio::try_join!(jobs, buckets)?;
        Ok(Found { stack, resources, kept, kept_policies, simulated, definitions, parts, jobs, buckets })
    }

    /// The lines of the plan: the parts that go and those that stay.
    fn plan_lines(&self, found: &Found, place: &str) -> Vec<String> {
        let stack = &found.stack;
        let mut lines = vec![format!(
            "The cluster {} (stack {}, {place}) has {}:",
            self.name,
            stack.name,
            words::many(found.resources.len(), "resource")
        )];
        for (queue, jobs) in found.jobs.iter().filter(|(_, jobs)| !jobs.is_empty()) {
            let end = if self.wait_jobs { "waits for" } else { "terminates" };
            lines.push(format!("  it {end} {} of the queue {queue}", words::many(jobs.len(), "job")));
        }
        let gone = found.resources.len() - found.kept.len() - found.kept_policies;
        lines.push(format!(
            "  {} deleted",
            words::many(gone, "resource") + if gone == 1 { " is" } else { " are" }
        ));
        let policy = if found.kept_policies > 0 { " with its policy" } else { "" };
        for resource in &found.kept {
            let policy = if resource.resource_type == "AWS::S3::Bucket" { policy } else { "" };
            let what = found.describe(resource);
            let stays = match (self.delete_data, self.keep_data || self.yes) {
                (true, _) => "is deleted with all that is in it",
                (false, true) => "stays",
                (false, false) => "stays, unless you say otherwise",
            };
            lines.push(format!("  the {what}{policy} {stays}"));
        }
        if stack.is_protected {
            lines.push("  its protection from deletion is taken away first".to_owned());
        }
        lines
    }

    /// Takes the jobs and the instances from the cluster, and the objects from its bucket.
    async fn drain(
        &self,
        contact: &mut ResilientSession,
        found: &Found,
        deletes_data: bool,
    ) -> Result<(), Failure> {
        // An earlier run has drained a stack that is being deleted.
        if found.stack.status.phase() == Phase::Deleting {
            return Ok(());
        }
        let Parts { queues, environments } = &found.parts;
        drain::set_queues(contact, queues, Wanted::Disabled).await?;
        let mut view = JobsView::new(if self.wait_jobs { "waiting for" } else { "terminating" });
        let reason = (!self.wait_jobs).then_some(REASON);
        let ended = drain::end_jobs(contact, queues, reason, |left| view.report(left)).await;
        drop(view);
        ended.map_err(|failure| failure.hint("the same command goes on"))?;
        drain::set_environments(contact, environments, Wanted::Disabled, |_| Some(0)).await?;
        if deletes_data {
            for (name, content) in &found.buckets {
                if content.is_some_and(|content| content.objects > 0) {
                    print_message(format!("{TOOL}: emptying the bucket {name}"));
                }
                contact.keep(async |session| empty(session, name).await).await?;
            }
        }
        Ok(())
    }

    /// Deletes the stack and then the data.
    async fn delete(
        &self,
        common: &CommonArgs,
        contact: &mut ResilientSession,
        journal: &mut Journal,
        found: &Found,
        deletes_data: bool,
    ) -> Result<Exit, Failure> {
        let stack = &found.stack;
        if stack.is_protected {
            cloud::protect(contact, &stack.id, false).await?;
        }
        let mut retained: Vec<StackResource> = Vec::new();
        // A deletion that fails is tried once more: what has stood in its way may be gone.
        for attempt in 0..3 {
            let retain: Vec<String> =
                retained.iter().map(|resource| resource.logical_resource_id.clone()).collect();
            let (status, progress) =
                match self.delete_stack(contact, journal, stack, &retain, (attempt, deletes_data)).await? {
                    Outcome::Ended(status, progress) => (status, progress),
                    Outcome::Interrupted(signal) => {
                        return Ok(interrupted(signal, self.name.as_str(), "deleting"));
                    }
                };
            if status.phase() == Phase::Deleted {
                let exit = self.finish(common, contact, found, &retained, deletes_data).await?;
                journal.forget();
                return Ok(exit);
            }
            let failed = failed_resources(&progress, &found.resources);
            match attempt {
                0 => print_message(format!("{TOOL}: the deletion has failed; trying once more")),
                1 if self.force && !failed.is_empty() => {
                    print_message(format!("{TOOL}: deleting the rest (--force)"));
                    retained = failed;
                }
                _ => return Err(self.not_deleted(&status, &progress, &failed, contact.session())),
            }
        }
        Ok(Exit::Failed)
    }

    /// Deletes the stack, and follows its deletion.
    async fn delete_stack(
        &self,
        contact: &mut ResilientSession,
        journal: &mut Journal,
        stack: &Stack,
        retained: &[String],
        (attempt, deletes_data): (u32, bool),
    ) -> Result<Outcome, Failure> {
        // A deletion that an earlier run has begun is followed.
        let is_deleting = attempt == 0 && stack.status.phase() == Phase::Deleting;
        let mut operation = Operation::new(Kind::Delete, &stack.id);
        operation.stack_id = Some(stack.id.clone());
        if is_deleting {
            let events = contact.keep(async |session| cloud::events(session, &stack.id).await).await?;
            operation.mark = cloud::mark_of_operation(&events);
        } else {
            operation.mark =
                contact.keep(async |session| cloud::newest_event(session, &stack.id).await).await?;
        }
        journal.record(&operation)?;
        if !is_deleting {
            cloud::delete(contact, &stack.id, &operation, retained).await?;
        }
        let mut watch = Watch::new(&stack.id, operation.mark);
        let session = contact.session().clone();
        let skipped = |resource_type: &str| match session.is_simulated(resource_type) {
            true => Some("deleted"),
            // Its data is deleted after the stack.
            false if deletes_data => None,
            false => Some("kept"),
        };
        operation::follow_with(contact, &mut watch, skipped).await
    }

    /// The failure of a deletion: which resources are left, and why.
    fn not_deleted(
        &self,
        status: &StackStatus,
        progress: &Progress,
        failed: &[StackResource],
        session: &Session,
    ) -> Failure {
        let name = self.name.as_str();
        let mut failure =
            operation::failure(session, &format!("deleting the cluster {name}"), status, progress);
        let origin = Origin::new(&self.name, session);
        for resource in failed {
            let left = Leftover::of(resource, &origin);
            let holders = cloud::holders(resource).map(|advice| session.advice(&advice));
            failure = holders.into_iter().fold(failure, Failure::hint);
            failure = failure.hint(match session.is_simulated(&resource.resource_type) {
                true => format!("{} is left; it is only simulated, and goes with the stack", left.what),
                false => format!("{} is left; `{}` removes it", left.what, left.command),
            });
        }
        failure.hint(format!(
            "`bcluster delete {name}` tries again; with `--force` it keeps what cannot be deleted, and deletes \
             the rest"
        ))
    }

    /// Deletes the data, or says what is kept.
    async fn finish(
        &self,
        common: &CommonArgs,
        contact: &mut ResilientSession,
        found: &Found,
        retained: &[StackResource],
        deletes_data: bool,
    ) -> Result<Exit, Failure> {
        let session = contact.session().clone();
        let mut failures = Vec::new();
        let deregistered =
            contact.keep(async |session| cloud::data::deregister(session, &found.definitions).await).await;
        failures.extend(deregistered.err());
        let origin = Origin::new(&self.name, &session);
        let real = retained.iter().filter(|resource| !session.is_simulated(&resource.resource_type));
        let keep = |resource: &StackResource| Kept {
            left: Leftover::of(resource, &origin),
            resource: resource.clone(),
        };
        let mut left: Vec<Kept> = real.map(keep).collect();
        for resource in &found.kept {
            let id = resource.physical_resource_id.clone().unwrap_or_default();
            let deleted = match deletes_data {
                true => contact.keep(async |session| delete_data(session, resource, &id).await).await,
                false => Ok(false),
            };
            match deleted {
                Ok(true) => {
                    print_message(format!("{TOOL}: deleted {} {id}", cloud::kind(&resource.resource_type)));
                }
                Ok(false) => left.push(keep(resource)),
                Err(failure) => {
                    failures.push(failure);
                    left.push(keep(resource));
                }
            }
        }
        failures.iter().for_each(|failure| failure.report(TOOL));
        if deletes_data && !failures.is_empty() {
            print_message(format!(
                "hint: `bcluster delete {} {} --delete-data` goes on with the data",
                self.name,
                session.place_options()
            ));
        }
        self.finish_settings(&session)?;
        let simulated = if deletes_data { &[][..] } else { &found.simulated };
        let deleted = Deleted { name: self.name.as_str(), found, kept: &left, simulated };
        common.output().outliving_its_reader().show(&deleted)?;
        Ok(if failures.is_empty() { Exit::Done } else { Exit::Failed })
    }

    /// Ends a deletion whose last run was killed when the stack was gone, or deletes the data that
    /// an earlier one has kept. `failure` says that there is no cluster.
    async fn without_stack(
        &self,
        common: &CommonArgs,
        session: Session,
        failure: Failure,
    ) -> Result<Exit, Failure> {
        let stack = stack_name(&session, self.name.as_str()).to_owned();
        let Ok(mut journal) = Journal::open(&session, &stack) else { return Err(failure) };
        let recorded = journal.current().filter(|operation| operation.kind == Kind::Delete);
        match recorded.and_then(|operation| operation.stack_id.clone()) {
            Some(id) if !self.plan => {
                let exit = self.finish_killed(common, session, &id, failure).await?;
                journal.forget();
                Ok(exit)
            }
            _ => self.delete_remains(common, session, &stack, failure).await,
        }
    }

    /// Deletes the data that an earlier cluster of this name has kept. `failure` says that there is
    /// no cluster.
    async fn delete_remains(
        &self,
        common: &CommonArgs,
        session: Session,
        stack: &str,
        failure: Failure,
    ) -> Result<Exit, Failure> {
        let name = &self.name;
        // A stack of this name that is something else owns what is there.
        let others = [stack.to_owned(), format!("parallelcluster-{stack}")];
        for other in others {
            let found = cloud::find(&session, &other).await;
            if !found.is_ok_and(|found| found.is_none_or(|s| s.status.phase() == Phase::Deleted)) {
                return Err(failure);
            }
        }
        let Ok(bucket) = cloud::bucket_of(&session, name).await else { return Err(failure) };
        let names = Names::new(name, stack, Some(bucket.as_str()));
        let kept = cloud::remains(&session, &names).await;
        if kept.is_empty() {
            return self.forget_settings(&session, failure).await;
        }
        let buckets = bucket_contents(&session, &kept).await;
        let found = Found { kept, buckets, ..Found::default() };
        let list: Vec<String> =
            found.kept.iter().map(|resource| format!("the {}", found.describe(resource))).collect();
        let list = words::and(&list.iter().map(String::as_str).collect::<Vec<_>>());
        if !self.delete_data {
            return Err(failure.hint(format!(
                "an earlier cluster {name} has kept {list}; `--delete-data` deletes its data"
            )));
        }
        let place = session.place();
        let line = format!("There is no cluster {name} in {place}, and an earlier one has kept {list}.");
        if self.plan {
            let lines = vec![line];
            common.output().show(&DeletionPlan { name: name.as_str(), found: &found, lines })?;
            return Ok(Exit::Done);
        }
        print_message(line);
        if !self.yes && !confirm("Delete this data?").await? {
            print_message(format!("{TOOL}: nothing has been deleted"));
            return Ok(Exit::Failed);
        }
        self.finish(common, &mut ResilientSession::new(session, TOOL), &found, &[], true).await
    }

    /// Removes the section of a cluster that is not there any more from the settings, as after
    /// `blocal reset`. `failure` says that there is no cluster.
    async fn forget_settings(&self, session: &Session, failure: Failure) -> Result<Exit, Failure> {
        let name = self.name.as_str();
        let entry = session.settings_entry(name, stack_name(session, name));
        if self.plan || !config::has_stale_section(&entry)? {
            return Err(failure);
        }
        print_message(format!(
            "There is no cluster {name} in {}; the settings still name it.",
            session.place()
        ));
        if !self.yes && !confirm(&format!("Remove [cluster.{name}] from the settings file?")).await? {
            return Err(failure);
        }
        self.finish_settings(session)?;
        Ok(Exit::Done)
    }

    /// Ends a deletion whose last run was killed when the stack was gone. `failure` says that no
    /// cluster has the name.
    async fn finish_killed(
        &self,
        common: &CommonArgs,
        session: Session,
        id: &str,
        failure: Failure,
    ) -> Result<Exit, Failure> {
        // API `DescribeStacks`: a deleted stack is shown by its ID for 90 days.
        let stack = cloud::find(&session, id).await?;
        let mut contact = ResilientSession::new(session, TOOL);
        let exit = match stack {
            Some(stack) if stack.status.phase() == Phase::Deleted => {
                let found = self.look(&contact, stack).await?;
                self.finish(common, &mut contact, &found, &[], self.delete_data).await?
            }
            // The stack is there: only its name, such as that of the settings, is another one now.
            Some(stack) => {
                return Err(failure.hint(format!(
                    "an earlier deletion of this cluster has not ended: its stack {} is {}",
                    stack.id, stack.status
                )));
            }
            None => {
                self.finish_settings(contact.session())?;
                print_message(format!("{TOOL}: the cluster {} is deleted", self.name));
                Exit::Done
            }
        };
        Ok(exit)
    }

    /// Removes the cluster from the settings file.
    fn finish_settings(&self, session: &Session) -> Result<(), Failure> {
        let name = self.name.as_str();
        let stack = stack_name(session, name);
        match config::remove_cluster(&session.settings_entry(name, stack))? {
            SettingsChange::Written(path) => {
                print_message(format!(
                    "{TOOL}: [cluster.{name}] is gone from the settings file {}",
                    path.display()
                ));
            }
            SettingsChange::ByHand(path, advice) => {
                print_message(format!("{TOOL}: note: in the settings file {}, {advice}", path.display()));
            }
            SettingsChange::Unchanged(_) => {}
        }
        Ok(())
    }
}

/// What a deletion will do.
struct DeletionPlan<'a> {
    name: &'a str,
    found: &'a Found,
    lines: Vec<String>,
}

impl View for DeletionPlan<'_> {
    fn plain(&self) -> Layout {
        Layout::Lines(self.lines.clone())
    }

    fn json(&self) -> Vec<Value> {
        let jobs: serde_json::Map<String, Value> =
            self.found.jobs.iter().map(|(queue, jobs)| (queue.clone(), jobs.len().into())).collect();
        vec![json!({
            "cluster": self.name,
            "resources": self.found.resources,
            "jobs": jobs,
            "data": self.found.kept,
        })]
    }
}

/// A cluster that is deleted, with its remains.
struct Deleted<'a> {
    name: &'a str,
    found: &'a Found,
    kept: &'a [Kept],
    simulated: &'a [StackResource],
}

impl View for Deleted<'_> {
    fn plain(&self) -> Layout {
        let mut lines = Vec::new();
        if !self.found.stack.id.is_empty() {
            lines.push(format!("The cluster {} is deleted.", self.name));
        } else if self.kept.is_empty() {
            lines.push(format!("The data of the cluster {} is deleted.", self.name));
        }
        lines.extend(Kept::lines(self.kept));
        lines.extend(self.simulated.iter().map(|resource| {
            let what = self.found.describe(resource);
            format!("The {what} was simulated, and is gone with the stack.")
        }));
        Layout::Lines(lines)
    }

    fn json(&self) -> Vec<Value> {
        vec![json!({
            "cluster": self.name,
            "kept": self.kept.iter().map(Kept::json).collect::<Vec<_>>(),
        })]
    }
}

/// Shows how many jobs are left: on a terminal in a line, else in a message each minute.
struct JobsView {
    /// `waiting for` or `terminating`.
    verb: &'static str,
    line: StatusLines,
    begun: Instant,
    /// When the last message was printed, and the count that it had.
    last: Option<(Instant, usize)>,
}

impl JobsView {
    /// The time between two messages.
    const INTERVAL: Duration = Duration::from_secs(60);

    fn new(verb: &'static str) -> Self {
        Self { verb, line: StatusLines::new(), begun: Instant::now(), last: None }
    }

    fn report(&mut self, left: JobsLeft) {
        let now = Instant::now();
        if left.new > 0 {
            let more = if self.last.is_some() { " more" } else { "" };
            let jobs = if left.new == 1 { "job" } else { "jobs" };
            print_message(format!("{TOOL}: {} {}{more} {jobs}", self.verb, left.new));
            self.last = Some((now, left.all));
        }
        if left.all == 0 {
            return;
        }
        let verb = if left.all == 1 { "has" } else { "have" };
        let text = format!("{} {verb} not ended", words::many(left.all, "job"));
        let elapsed = span(i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX));
        self.line.set("jobs", &format!("  {text}  {elapsed}"));
        let is_due = |(at, count): &(Instant, usize)| at.elapsed() >= Self::INTERVAL && *count != left.all;
        if !self.line.is_visible() && self.last.as_ref().is_some_and(is_due) {
            print_message(format!("{TOOL}: {text}"));
            self.last = Some((now, left.all));
        }
    }
}

impl Found {
    /// A resource in words: `bucket awsb-lab-1a2b (12 objects, 3.4 MB)`.
    fn describe(&self, resource: &StackResource) -> String {
        let id = resource.physical_resource_id.as_deref().unwrap_or_default();
        let content = self.buckets.iter().find(|(name, _)| name == id).and_then(|(_, content)| *content);
        let content = content.map(|content| format!(" ({})", in_words(content))).unwrap_or_default();
        format!("{} {id}{content}", cloud::kind(&resource.resource_type))
    }
}

/// The buckets among some resources, each with its content.
async fn bucket_contents(
    session: &Session,
    resources: &[StackResource],
) -> Vec<(String, Option<BucketContent>)> {
    let mut buckets = Vec::new();
    for name in drain::physical_ids(resources, "AWS::S3::Bucket") {
        // Whoever may not list a bucket may perhaps delete the cluster all the same.
        let content = bucket::content(session, &name).await.ok().flatten();
        buckets.push((name, content));
    }
    buckets
}

/// The question about the data.
fn question(found: &Found) -> String {
    let what: Vec<String> =
        found.kept.iter().map(|resource| format!("the {}", found.describe(resource))).collect();
    format!("Delete its data, too: {}?", words::and(&what.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// The content of a bucket: `12 objects, 3.4 MB`.
fn in_words(content: BucketContent) -> String {
    let more = if content.has_more { "more than " } else { "" };
    let count = words::many(usize::try_from(content.objects).unwrap_or(usize::MAX), "object");
    format!("{more}{count}, {}", indicatif::DecimalBytes(content.bytes))
}

/// The resources whose deletion has failed.
fn failed_resources(progress: &Progress, resources: &[StackResource]) -> Vec<StackResource> {
    let failed = progress.failed_parts();
    let is_failed = |resource: &&StackResource| {
        failed.iter().any(|event| event.logical_resource_id == resource.logical_resource_id)
    };
    resources.iter().filter(is_failed).cloned().collect()
}

/// Deletes a resource with data. `false`: this type is never deleted.
///
/// # Errors
/// When AWS refuses or cannot be asked.
async fn delete_data(session: &Session, resource: &StackResource, id: &str) -> Result<bool, Failure> {
    match resource.resource_type.as_str() {
        "AWS::S3::Bucket" => {
            // Something may have been written while the stack was deleted, such as logs.
            empty(session, id).await?;
            cloud::data::delete_bucket(session, id).await?;
        }
        "AWS::Logs::LogGroup" => cloud::data::delete_log_group(session, id).await?,
        "AWS::EFS::FileSystem" => cloud::data::delete_file_system(session, id).await?,
        "AWS::ECR::Repository" => cloud::data::delete_repository(session, id).await?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Empties a bucket, with its progress on a terminal.
async fn empty(session: &Session, name: &str) -> Result<(), Failure> {
    let bar = std::cell::RefCell::new(ProgressBar::of_removal());
    let shown = std::cell::Cell::new(0_u64);
    bucket::empty(session, name, |removed| {
        bar.borrow_mut().advance(removed - shown.get());
        shown.set(removed);
    })
    .await
    .map(drop)
}
