//! `bcluster update`: changes a cluster to what a configuration says.

use awsb_model::cluster::ClusterConfig;

use super::super::CommonArgs;
use super::account::{open, own_cluster};
use super::blueprint::{Blueprint, Execution};
use super::operation::{self, Outcome, check_can_ask, confirm, interrupted};
use super::plan::Plan;
use super::tool::{TOOL, exit_of_plan};
use crate::aws::{ResilientSession, Session};
use crate::cloud::drain;
use crate::cloud::{
    self, ChangeSet, Journal, Kind, Operation, PartJobs, Phase, Prepared, Stack, StackContent, StackStatus,
    Watch,
};
use crate::ui::{Exit, Failure, Format, print_message};

/// The arguments of `bcluster update`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    execution: Execution,
    /// Allow a change that may end jobs of this part of the cluster
    #[arg(long, value_name = "PART")]
    may_end_jobs: Vec<String>,
    /// Allow a change that loses the data of this part of the cluster
    #[arg(long, value_name = "PART")]
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
        let blueprint = match given {
            Some(blueprint) => blueprint.with_defaults_of(&session),
            None => self.execution.input.of_stack(&session, &stack).await?,
        };
        let content = self.execution.content(&blueprint, &session, &stack.name, Some(&stack)).await?;
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
                    self.follow(&mut contact, &mut journal, &stack, operation).await
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
        self.change(common, &mut contact, &mut journal, &stack, operation, (&blueprint, &content)).await
    }

    async fn change(
        &self,
        common: &CommonArgs,
        contact: &mut ResilientSession,
        journal: &mut Journal,
        stack: &Stack,
        operation: Operation,
        (blueprint, content): (&Blueprint, &StackContent),
    ) -> Result<Exit, Failure> {
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
            return self.follow(contact, journal, stack, operation).await;
        }
        let before = self.execution.input.current_config(contact.session(), stack).await?;
        let jobs = jobs_of_parts(contact, stack, &before).await?;
        let place = contact.session().place();
        let plan = Plan::of_update(blueprint, &before, &place, set.changes.clone(), jobs);
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
        self.execute(contact, journal, stack, operation, &set).await
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

    async fn execute(
        &self,
        contact: &mut ResilientSession,
        journal: &mut Journal,
        stack: &Stack,
        operation: Operation,
        set: &ChangeSet,
    ) -> Result<Exit, Failure> {
        cloud::execute(contact, set, &operation).await?;
        self.follow(contact, journal, stack, operation).await
    }

    async fn follow(
        &self,
        contact: &mut ResilientSession,
        journal: &mut Journal,
        stack: &Stack,
        operation: Operation,
    ) -> Result<Exit, Failure> {
        let name = self.execution.input.name.as_str();
        let mut watch = Watch::new(&stack.id, operation.mark.clone());
        let (status, progress) = match operation::follow(contact, &mut watch).await? {
            Outcome::Ended(status, progress) => (status, progress),
            Outcome::Interrupted(signal) => return Ok(interrupted(signal, name, "changing")),
        };
        journal.forget();
        if has_updated(&status) {
            let lines = vec![format!("The cluster {name} is changed.")];
            let output = crate::ui::Output::new(Format::Plain).outliving_its_reader();
            output.show_layout(&crate::ui::Layout::Lines(lines))?;
            return Ok(Exit::Done);
        }
        let failure = operation::failure(&format!("changing the cluster {name}"), &status, &progress);
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

/// The jobs of the parts of a cluster.
async fn jobs_of_parts(
    contact: &mut ResilientSession,
    stack: &Stack,
    config: &ClusterConfig,
) -> Result<PartJobs, Failure> {
    contact
        .keep(async |session: &Session| {
            let resources = cloud::resources(session, &stack.id).await?;
            let parts = drain::parts(session, &resources).await?;
            PartJobs::gather(session, config, &resources, &parts).await
        })
        .await
}
