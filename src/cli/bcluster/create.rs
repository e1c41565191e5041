//! `bcluster create`: makes a cluster.
//!
//! Each step can be repeated by another run of the same command: the operation is in the journal
//! before AWS is asked for it, and its token tells AWS that it is the same one.

use std::path::PathBuf;
use std::time::Instant;

use super::super::CommonArgs;
use super::account::{open, stack_name};
use super::blueprint::{Blueprint, Execution};
use super::image::ImageBuild;
use super::operation::{self, Outcome, check_can_ask, confirm, interrupted};
use super::plan::Plan;
use super::show::Shown;
use super::tool::{TOOL, exit_of_plan};
use crate::aws::{ResilientSession, Session};
use crate::cloud::{
    self, ChangeSet, Journal, Kind, Maker, Operation, Phase, Prepared, Stack, StackContent, Standing, Taken,
    Watch,
};
use crate::config::{self, SettingsChange};
use crate::ui::{self, Exit, Failure, Format, print_message, span};

/// The arguments of `bcluster create`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    execution: Execution,
    /// Make it the default cluster of the settings file
    #[arg(long)]
    default: bool,
    /// Build the image of this folder's Dockerfile, too, once the cluster is there
    #[arg(long, value_name = "DIR")]
    image: Option<PathBuf>,
}

impl Args {
    /// Makes the cluster.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let blueprint = self.execution.input.read()?;
        if !self.execution.plan {
            check_can_ask(self.execution.yes, "make a cluster", "`--plan` shows what would be made")?;
        }
        let image = self.image.as_deref().map(ImageBuild::gather).transpose()?;
        let session = open(common, Some(blueprint.name())).await?;
        let blueprint = blueprint.with_defaults_of(&session)?;
        Creation::new(self, common, session, blueprint, image)?.run().await
    }
}

/// One run of the command.
struct Creation<'a> {
    args: &'a Args,
    common: &'a CommonArgs,
    blueprint: Blueprint,
    image: Option<ImageBuild>,
    stack: String,
    contact: ResilientSession,
    begun: Instant,
}

/// The next step.
enum Step {
    /// Begin, or go on with, this operation.
    Prepare(Operation),
    /// Follow this operation, which is under way.
    Follow(Operation, String),
    /// The cluster is there.
    Finish(Stack),
}

impl<'a> Creation<'a> {
    fn new(
        args: &'a Args,
        common: &'a CommonArgs,
        session: Session,
        blueprint: Blueprint,
        image: Option<ImageBuild>,
    ) -> Result<Self, Failure> {
        let stack = stack_name(&session, blueprint.name()).to_owned();
        config::check_free(&session.settings_entry(blueprint.name(), &stack))?;
        let contact = ResilientSession::new(session, TOOL);
        Ok(Self { args, common, blueprint, image, stack, contact, begun: Instant::now() })
    }

    fn name(&self) -> &str {
        self.blueprint.name()
    }

    fn doing(&self) -> String {
        format!("creating the cluster {}", self.name())
    }

    async fn run(mut self) -> Result<Exit, Failure> {
        let session = self.contact.session().clone();
        let (content, found) = tokio::try_join!(
            self.args.execution.content(&self.blueprint, &session, &self.stack, None),
            cloud::find(&session, &self.stack)
        )?;
        let mut journal = Journal::open(&session, &self.stack)?;
        match self.next_step(&mut journal, &content, found).await? {
            Step::Prepare(operation) => self.make(&mut journal, operation, &content).await,
            Step::Follow(operation, stack_id) => {
                print_message(format!(
                    "{TOOL}: going on with the creation of {} that was begun",
                    self.name()
                ));
                self.follow(&mut journal, operation, &stack_id).await
            }
            Step::Finish(stack) => self.finish(&mut journal, &stack).await,
        }
    }

    /// Clears the way for the cluster, and finds out what is next.
    async fn next_step(
        &mut self,
        journal: &mut Journal,
        content: &StackContent,
        mut found: Option<Stack>,
    ) -> Result<Step, Failure> {
        let wanted = Operation::new(Kind::Create, &content.fingerprint());
        loop {
            // A stack has no tags before its change set is executed: an earlier run that was killed
            // knows its own by the name of the change set.
            if let (Some(stack), Some(operation)) = (&mut found, journal.current())
                && matches!(stack.status.phase(), Phase::Review)
                && stack.maker() == Maker::Other
                && cloud::has_change_set(&mut self.contact, &stack.id, &operation.change_set()).await?
            {
                stack.change_set = Some(operation.change_set());
            }
            let standing = cloud::standing(found.as_ref(), journal.current(), &wanted);
            match (standing, found.take()) {
                (Standing::Free, _) => return Ok(Step::Prepare(wanted)),
                (Standing::Resume(operation), _) => return Ok(Step::Prepare(operation)),
                (Standing::Follow(operation), Some(stack)) => return Ok(Step::Follow(operation, stack.id)),
                (Standing::Made(_), Some(stack)) => return Ok(Step::Finish(stack)),
                (Standing::Taken(taken), Some(stack)) => return Err(self.taken(taken, &stack)),
                (Standing::Remove, Some(stack)) => {
                    print_message(format!(
                        "{TOOL}: removing what an earlier attempt has left (stack {}, {})",
                        stack.name, stack.status
                    ));
                    self.remove(&stack.id).await?;
                    journal.forget();
                }
                (Standing::AwaitDeletion, Some(stack)) => {
                    print_message(format!(
                        "{TOOL}: the stack {} is being deleted; waiting for its end",
                        stack.name
                    ));
                    self.await_deletion(&stack.id, None).await?;
                    journal.forget();
                }
                // Only a stack that was found can be followed, removed or in the way.
                (_, None) => return Ok(Step::Prepare(wanted)),
            }
            let stack = self.stack.clone();
            found = self.contact.keep(async |session| cloud::find(session, &stack).await).await?;
        }
    }

    /// The failure of a name that is taken.
    fn taken(&self, taken: Taken, stack: &Stack) -> Failure {
        let name = self.name();
        let place = self.contact.session().place();
        match taken {
            Taken::ByCluster => Failure::usage(format!("there is a cluster `{name}` in {place} already"))
                .hint(format!("`bcluster update {name}` changes it, `bcluster show {name}` shows it")),
            Taken::ByOperation => Failure::usage(format!(
                "the cluster `{name}` in {place} is {} just now",
                busy(stack.status.phase())
            ))
            .hint(format!("`bcluster show {name} --wait` follows it")),
            Taken::ByParallelCluster => Failure::usage(format!(
                "there is a cluster `{name}` of ParallelCluster in {place}"
            ))
            .hint(format!(
                "give the new one another name; `[cluster.{name}]` with `stack = \"{}\"` in the settings \
                         file makes this one usable",
                stack.name
            )),
            Taken::ByStack => Failure::usage(format!(
                "there is a CloudFormation stack `{}` in {place} that is not a cluster",
                stack.name
            ))
            .hint("give the cluster another name"),
        }
    }

    /// Makes the change set, shows it, asks, and executes it.
    async fn make(
        mut self,
        journal: &mut Journal,
        mut operation: Operation,
        content: &StackContent,
    ) -> Result<Exit, Failure> {
        journal.record(&operation)?;
        let prepared = match cloud::prepare(&mut self.contact, &self.stack, &operation, content).await {
            Ok(prepared) => prepared,
            // A change set that CloudFormation refuses leaves an empty stack behind.
            Err(failure) if !failure.is_recoverable() => {
                self.give_up(journal).await;
                return Err(failure);
            }
            Err(failure) => return Err(failure),
        };
        let set = match prepared {
            Prepared::Ready(set) => set,
            Prepared::NoChanges { .. } => {
                self.give_up(journal).await;
                return Err(Failure::failed(format!("{}: the template has no resources", self.doing())));
            }
        };
        operation.stack_id = Some(set.stack_id.clone());
        journal.record(&operation)?;
        if !set.is_executed && !self.is_confirmed(&set).await? {
            self.give_up(journal).await;
            if self.args.execution.plan {
                return Ok(exit_of_plan(true, self.args.execution.exit_code));
            }
            print_message(format!("{TOOL}: nothing has been made"));
            return Ok(Exit::Failed);
        }
        cloud::execute(&mut self.contact, &set, &operation).await?;
        self.follow(journal, operation, &set.stack_id).await
    }

    /// Shows the plan, and asks whether to carry it out.
    async fn is_confirmed(&self, set: &ChangeSet) -> Result<bool, Failure> {
        let plan = Plan::of_creation(&self.blueprint, &self.contact.session().place(), set.changes.clone());
        if self.args.execution.plan {
            plan.print(&self.common.output())?;
            return Ok(false);
        }
        plan.print_message();
        match self.args.execution.yes {
            true => Ok(true),
            false => confirm(&format!("Make the cluster {}?", self.name())).await,
        }
    }

    /// Removes the stack that has nothing but a change set. A failure is no further one: the next
    /// `create` removes it.
    async fn give_up(&mut self, journal: &mut Journal) {
        let stack = self.stack.clone();
        let found = self.contact.keep(async |session| cloud::find(session, &stack).await).await;
        if let Ok(Some(found)) = found
            && matches!(found.status.phase(), Phase::Review)
            && let Err(failure) = self.remove(&found.id).await
        {
            print_message(format!("{TOOL}: note: {failure}"));
            return;
        }
        journal.forget();
    }

    /// Follows the creation, and its roll-back if it fails.
    async fn follow(
        mut self,
        journal: &mut Journal,
        operation: Operation,
        stack_id: &str,
    ) -> Result<Exit, Failure> {
        let mut watch = Watch::new(stack_id, operation.mark.clone());
        let (status, progress) = match operation::follow(&mut self.contact, &mut watch).await? {
            Outcome::Ended(status, progress) => (status, progress),
            Outcome::Interrupted(signal) => {
                let exit = interrupted(signal, self.name(), "creating");
                print_message(
                    "hint: the same `bcluster create` follows it, too, and puts it into the settings file",
                );
                return Ok(exit);
            }
        };
        if status.phase() == Phase::Ready {
            let found = self.contact.keep(async |session| cloud::find(session, stack_id).await).await?;
            let Some(stack) = found else {
                journal.forget();
                return Err(Failure::failed(format!("{}: the stack is gone again", self.doing())));
            };
            return self.finish(journal, &stack).await;
        }
        let failure = operation::failure(self.contact.session(), &self.doing(), &status, &progress);
        if status.phase() != Phase::Deleted {
            print_message(format!("{TOOL}: removing what is left of the attempt"));
            if let Err(left) = self.remove(stack_id).await {
                journal.forget();
                left.report(TOOL);
                return Err(failure.hint(format!("`bcluster delete {}` removes what is left", self.name())));
            }
        }
        journal.forget();
        Err(failure.hint("nothing is left of the attempt; the same command tries again"))
    }

    /// Deletes a stack that is not a cluster yet, and waits until it is gone.
    async fn remove(&mut self, stack_id: &str) -> Result<(), Failure> {
        let operation = Operation::new(Kind::Delete, stack_id);
        let mark = self.contact.keep(async |session| cloud::newest_event(session, stack_id).await).await?;
        cloud::delete(&mut self.contact, stack_id, &operation, &[]).await?;
        self.await_deletion(stack_id, mark).await
    }

    /// Waits until a stack is gone whose deletion began behind this event.
    async fn await_deletion(&mut self, stack_id: &str, mark: Option<String>) -> Result<(), Failure> {
        let mut watch = Watch::new(stack_id, mark);
        let doing = format!("removing the stack {}", self.stack);
        let mut progress = cloud::Progress::default();
        let status = cloud::follow(&mut self.contact, &mut watch, &mut progress, |_, _| Ok(())).await?;
        match status.phase() {
            Phase::Deleted => Ok(()),
            _ => Err(operation::failure(self.contact.session(), &doing, &status, &progress)),
        }
    }

    /// Writes the settings, says how the cluster is used, and builds its image.
    async fn finish(mut self, journal: &mut Journal, stack: &Stack) -> Result<Exit, Failure> {
        let image = self.image.take();
        let session = self.contact.session();
        let name = self.name();
        let entry = session.settings_entry(name, &stack.name);
        // The section is there before anybody is asked, who may be away.
        let mut change = config::add_cluster(&entry, self.args.default)?;
        // Where the settings cannot be written, the same command comes here again.
        journal.forget();
        let output = self.common.output().outliving_its_reader();
        let is_json = output.format() == Format::Json;
        if is_json {
            output.show(&Shown::of_stack(session, stack))?;
        } else {
            let elapsed = span(i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX));
            let place = session.place();
            output.write(format!("The cluster {name} is ready ({place}, {elapsed}).\n").as_bytes())?;
        }
        let becomes_default = !self.args.default && self.becomes_default().await?;
        if becomes_default {
            change = match (config::add_cluster(&entry, true)?, change) {
                (SettingsChange::Unchanged(_), earlier) => earlier,
                (change, _) => change,
            };
        }
        if !is_json {
            let is_default = self.args.default || becomes_default;
            let by = if is_default { "bsub".to_owned() } else { format!("bsub -c {name}") };
            output.write(format!("  {by} script.sh\n").as_bytes())?;
        }
        match change {
            SettingsChange::Written(path) => {
                print_message(format!("{TOOL}: [cluster.{name}] is in the settings file {}", path.display()));
            }
            SettingsChange::Unchanged(_) => {}
            SettingsChange::ByHand(path, advice) => {
                print_message(format!("{TOOL}: note: in the settings file {}, {advice}", path.display()));
            }
        }
        if let Some(image) = image {
            image.build(self.common, name).await;
        }
        Ok(Exit::Done)
    }

    /// Whether the cluster is to be the default one: asks on a terminal, if there is no default.
    async fn becomes_default(&self) -> Result<bool, Failure> {
        if self.args.execution.yes || self.common.json || !ui::can_ask() || config::has_default()? {
            return Ok(false);
        }
        confirm(&format!("Make {} the default cluster?", self.name())).await
    }
}

/// The state of a stack that is in the way, in words.
fn busy(phase: Phase) -> &'static str {
    match phase {
        Phase::Creating => "being created by somebody else",
        Phase::CreateRollback => "being rolled back",
        Phase::Updating => "being updated",
        Phase::Deleting => "being deleted",
        _ => "in use",
    }
}
