//! `bcluster update`: changes a cluster to what a configuration says.

use awsb_model::cluster::effect::{Action, PolicyAction, Replacement};
use awsb_model::cluster::{Change, ClusterConfig, StoppedEnvironments};
use clap::builder::NonEmptyStringValueParser;

use super::super::CommonArgs;
use super::account::{open, own_cluster};
use super::blueprint::{Blueprint, Execution};
use super::kept::Kept;
use super::operation::{self, Outcome, check_can_ask, confirm, interrupted};
use super::plan::Plan;
use super::tool::{TOOL, exit_of_plan};
use crate::aws::{ResilientSession, Session};
use crate::cloud::drain::{self, Parts, Wanted};
use crate::cloud::{
    self, Current, Journal, Kind, Leftover, Operation, Origin, PartJobs, Phase, Prepared, Stack,
    StackContent, StackResource, StackStatus, Watch,
};
use crate::ui::{Exit, Failure, Format, Layout, View, print_message};

/// The arguments of `bcluster update`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    execution: Execution,
    /// Allow a change that may end jobs of this part of the cluster
    #[arg(long, value_name = "PART", value_parser = NonEmptyStringValueParser::new())]
    may_end_jobs: Vec<String>,
    /// Allow a change that loses the data of this part of the cluster
    #[arg(long, value_name = "PART", value_parser = NonEmptyStringValueParser::new())]
    may_lose_data: Vec<String>,
}

impl Args {
    /// Changes the cluster.
    pub(super) async fn run(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        // A mistake in the file is found before anything is asked.
        let given = self.execution.input.file.is_some().then(|| self.execution.input.read()).transpose()?;
        if !self.execution.plan {
            check_can_ask(self.execution.yes, "change a cluster", "`--plan` shows what would change")?;
        }
        let name = self.execution.input.name.as_str();
        let session = open(common, Some(name)).await?;
        let stack = own_cluster(&session, name, "change").await?;
        check_phase(&session, &stack, name)?;
        let state = State::read(&session, stack).await?;
        let stack = &state.stack;
        let blueprint = match given {
            Some(blueprint) => blueprint.with_defaults_of(&session)?,
            None => self.execution.input.of_stack(stack, &state.template)?,
        };
        let current = Some(state.current());
        let content = self.execution.content(&blueprint, &session, &stack.name, current).await?;
        let mut journal = Journal::open(&session, &stack.name)?;
        let mut contact = ResilientSession::new(session, TOOL);
        let wanted = Operation::new(Kind::Update, &content.fingerprint());
        let recorded = journal.current().filter(|operation| {
            operation.kind == Kind::Update && operation.stack_id.as_deref() == Some(&stack.id)
        });
        if stack.status.phase() == Phase::Updating {
            return match recorded.filter(|operation| operation.is_same(&wanted)).cloned() {
                Some(operation) => {
                    print_message(format!("{TOOL}: going on with the update of {name} that was begun"));
                    self.follow(common, &mut contact, &mut journal, &state, (operation, &[])).await
                }
                None => Err(Failure::failed(format!("the cluster {name} is being updated"))
                    .hint(format!("`bcluster show {name} --wait` follows it"))),
            };
        }
        let operation = match recorded.filter(|operation| operation.is_same(&wanted)) {
            Some(operation) => operation.clone(),
            None => {
                let mark =
                    contact.keep(async |session| cloud::newest_event(session, &stack.id).await).await?;
                Operation { stack_id: Some(stack.id.clone()), mark, ..wanted }
            }
        };
        self.change(common, &mut contact, &mut journal, &state, operation, (&blueprint, &content)).await
    }

    async fn change(
        &self,
        common: &CommonArgs,
        contact: &mut ResilientSession,
        journal: &mut Journal,
        state: &State,
        operation: Operation,
        (blueprint, content): (&Blueprint, &StackContent),
    ) -> Result<Exit, Failure> {
        let stack = &state.stack;
        journal.record(&operation)?;
        let set = match cloud::prepare(contact, &stack.id, &operation, content).await {
            Ok(Prepared::Ready(set)) => set,
            Ok(Prepared::NoChanges { id }) => {
                cloud::remove_change_set(contact, &id).await?;
                journal.forget();
                return self.report_no_changes(common);
            }
            Err(failure) => {
                if !failure.is_recoverable() {
                    journal.forget();
                }
                return Err(failure);
            }
        };
        if set.is_executed {
            return self.follow(common, contact, journal, state, (operation, &set.changes)).await;
        }
        let before = self.execution.input.current_config(stack, &state.template)?;
        let jobs = jobs_of_parts(contact, state, &before).await?;
        let place = contact.session().place();
        let plan = Plan::of_update(blueprint, &before, &place, set.changes.clone(), jobs);
        let plan = plan.of_stopped(blueprint.name(), &state.stopped);
        let agreed = self.is_agreed(common, &plan).await;
        match agreed {
            Ok(true) => {}
            refused => {
                cloud::remove_change_set(contact, &set.id).await?;
                journal.forget();
                refused?;
                if self.execution.plan {
                    return Ok(exit_of_plan(true, self.execution.exit_code));
                }
                print_message(format!("{TOOL}: nothing has been changed"));
                return Ok(Exit::Failed);
            }
        }
        cloud::execute(contact, &set, &operation).await?;
        self.follow(common, contact, journal, state, (operation, &set.changes)).await
    }

    /// Shows the plan, and asks whether to carry it out.
    async fn is_agreed(&self, common: &CommonArgs, plan: &Plan) -> Result<bool, Failure> {
        if self.execution.plan {
            plan.print(&common.output())?;
            return Ok(false);
        }
        plan.print_message();
        plan.check_allowed(&self.may_end_jobs, &self.may_lose_data)?;
        match self.execution.yes {
            true => Ok(true),
            false => confirm(&format!("Change the cluster {}?", self.execution.input.name)).await,
        }
    }

    /// Follows the update to its end. `changes` are those of its change set, as far as they are
    /// known.
    async fn follow(
        &self,
        common: &CommonArgs,
        contact: &mut ResilientSession,
        journal: &mut Journal,
        state: &State,
        (operation, changes): (Operation, &[Change]),
    ) -> Result<Exit, Failure> {
        let name = self.execution.input.name.as_str();
        let stack = &state.stack;
        let mut watch = Watch::new(&stack.id, operation.mark.clone());
        let (status, progress) = match operation::follow(contact, &mut watch).await? {
            Outcome::Ended(status, progress) => (status, progress),
            Outcome::Interrupted(signal) => return Ok(interrupted(signal, name, "changing")),
        };
        state.stop_again(contact).await?;
        journal.forget();
        if has_updated(&status) {
            let kept = self.kept(contact.session(), state, changes);
            let updated = Updated { name, stack_status: status.as_str(), kept };
            common.output().outliving_its_reader().show(&updated)?;
            return Ok(Exit::Done);
        }
        let doing = format!("changing the cluster {name}");
        let failure = operation::failure(contact.session(), &doing, &status, &progress);
        Err(match status.phase() {
            Phase::Ready => failure.hint("the cluster is as it was before: CloudFormation has undone the changes"),
            Phase::UpdateRollbackFailed => failure.hint(format!(
                "the changes could not be undone: `{}` tries again once the cause is gone; the cluster can be used \
                 meanwhile",
                undo_command(contact.session(), stack)
            )),
            _ => failure,
        })
    }

    /// The resources that have left the stack and still exist.
    fn kept(&self, session: &Session, state: &State, changes: &[Change]) -> Vec<Kept> {
        let origin = Origin::new(&self.execution.input.name, session);
        let stays = |change: &&Change| {
            let leaves = change.action == Action::Remove || change.replacement != Replacement::False;
            leaves && matches!(change.policy_action, PolicyAction::Retain | PolicyAction::Snapshot)
        };
        let resource = |change: &Change| {
            state.resources.iter().find(|resource| resource.logical_resource_id == change.logical_id)
        };
        let kept = changes.iter().filter(stays).filter_map(resource);
        let kept = kept.filter(|resource| resource.physical_resource_id.is_some());
        kept.filter(|resource| !session.is_simulated(&resource.resource_type))
            .map(|resource| Kept { left: Leftover::of(resource, &origin), resource: resource.clone() })
            .collect()
    }

    fn report_no_changes(&self, common: &CommonArgs) -> Result<Exit, Failure> {
        let output = common.output();
        match output.format() {
            Format::Json => output.write(b"[]\n")?,
            Format::Plain => {
                output.write(
                    format!("The cluster {} has no changes.\n", self.execution.input.name).as_bytes(),
                )?;
            }
        }
        Ok(Exit::Done)
    }
}

/// Whether an update has come to its end, and was not undone.
fn has_updated(status: &StackStatus) -> bool {
    status.as_str() == "UPDATE_COMPLETE"
}

/// The command that undoes a failed update of a stack once more.
fn undo_command(session: &Session, stack: &Stack) -> String {
    session.aws_command(&format!("cloudformation continue-update-rollback --stack-name {}", stack.name))
}

/// Fails if the cluster cannot be updated now.
fn check_phase(session: &Session, stack: &Stack, name: &str) -> Result<(), Failure> {
    let status = &stack.status;
    let failure =
        |what: &str| Failure::failed(format!("the cluster {name} cannot be changed: {what} ({status})"));
    match status.phase() {
        Phase::Ready | Phase::Updating => Ok(()),
        Phase::Review | Phase::CreateFailed => Err(failure("it was never made").hint(format!(
            "`bcluster create {name}` makes it, `bcluster delete {name}` removes what is left"
        ))),
        Phase::Creating => {
            Err(failure("it is being made").hint(format!("`bcluster show {name} --wait` follows it")))
        }
        Phase::CreateRollback => Err(failure("its creation has failed and is being undone")
            .hint(format!("`bcluster show {name} --wait` follows it"))),
        Phase::Deleting | Phase::Deleted => Err(failure("it is being deleted")),
        Phase::DeleteFailed => {
            Err(failure("its deletion has failed").hint(format!("`bcluster delete {name}` goes on with it")))
        }
        Phase::UpdateRollbackFailed => Err(failure("an earlier change could not be undone")
            .hint(format!("`{}` tries again", undo_command(session, stack)))),
        Phase::Unknown => Err(failure("bcluster does not know its state")),
    }
}

/// The cluster as it is before the update.
struct State {
    stack: Stack,
    template: String,
    resources: Vec<StackResource>,
    parts: Parts,
    stopped: StoppedEnvironments,
}

impl State {
    async fn read(session: &Session, stack: Stack) -> Result<Self, Failure> {
        let (template, resources) = tokio::try_join!(
            cloud::stack_template(session, &stack.id),
            cloud::resources(session, &stack.id)
        )?;
        let parts = drain::parts(session, &resources).await?;
        let stopped = drain::stopped(&resources, &parts.environments);
        Ok(Self { stack, template, resources, parts, stopped })
    }

    fn current(&self) -> Current<'_> {
        Current {
            stack: &self.stack,
            template: &self.template,
            resources: &self.resources,
            stopped: &self.stopped,
        }
    }

    /// Stops the environments again that were stopped before. An update that is undone brings the
    /// earlier template back, in which they may be enabled.
    async fn stop_again(&self, contact: &mut ResilientSession) -> Result<(), Failure> {
        if self.stopped.ids.is_empty() {
            return Ok(());
        }
        let now = contact
            .keep(async |session: &Session| {
                let mut resources = cloud::resources(session, &self.stack.id).await?;
                resources.retain(|resource| self.stopped.ids.contains(&resource.logical_resource_id));
                drain::parts(session, &resources).await
            })
            .await?;
        drain::set_environments(contact, &now.environments, Wanted::Disabled, |_| Some(0)).await
    }
}

/// A cluster that has been changed.
struct Updated<'a> {
    name: &'a str,
    stack_status: &'a str,
    kept: Vec<Kept>,
}

impl View for Updated<'_> {
    fn plain(&self) -> Layout {
        let mut lines = vec![format!("The cluster {} is changed.", self.name)];
        lines.extend(Kept::lines(&self.kept));
        Layout::Lines(lines)
    }

    fn json(&self) -> Vec<serde_json::Value> {
        vec![serde_json::json!({
            "cluster": self.name,
            "stackStatus": self.stack_status,
            "kept": self.kept.iter().map(Kept::json).collect::<Vec<_>>(),
        })]
    }
}

/// The jobs of the parts of a cluster.
async fn jobs_of_parts(
    contact: &mut ResilientSession,
    state: &State,
    config: &ClusterConfig,
) -> Result<PartJobs, Failure> {
    contact
        .keep(async |session: &Session| {
            PartJobs::gather(session, config, &state.resources, &state.parts).await
        })
        .await
}
