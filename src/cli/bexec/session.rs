//! A session with a job: the calls that open it, and why these fail.

use std::time::{Duration, Instant};

use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_sdk_ecs::operation::execute_command::ExecuteCommandOutput;
use aws_sdk_ecs::types::{ManagedAgentName, Task};
use serde_json::json;
use uuid::Uuid;

use super::super::container_hint;
use super::attach::attach;
use super::marked_output::wrapped;
use super::plugin::{self, PluginSession};
use super::terminal;
use crate::aws::session_stream::{connect, needs_plugin};
use crate::aws::{Session, explain};
use crate::batch::ExecTask;
use crate::ui::{ErrorKind, Exit, Failure};
use awsb_model::command_line;

/// How long the agent of a job that has just begun to run may need, and how often it is tried.
const AGENT_PATIENCE: Duration = Duration::from_secs(90);
const AGENT_PAUSE: Duration = Duration::from_secs(2);

/// A command for a job.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Whether it is a shell that the user talks to, whose exit code nobody waits for.
    pub is_shell: bool,
    /// The container, if one is named.
    pub container: Option<String>,
    /// Whether it has a terminal; `None`: where the user has one.
    pub terminal: Option<bool>,
    /// Whether the job has just begun to run, so that the agent in its container may need a moment.
    pub is_patient: bool,
}

/// Runs a command in a task, and returns its exit code.
///
/// # Errors
/// When there can be no session with the task, or the session fails.
pub async fn run_command(
    session: &Session,
    task: &ExecTask,
    command: &Command,
    job: &str,
) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let (described, opened, mark) = loop {
        let described = describe(session, task, job).await?;
        let is_late = !command.is_patient || begun.elapsed() > AGENT_PATIENCE;
        match open(session, task, &described, command, job).await {
            Ok((opened, mark)) => break (described, opened, mark),
            Err(Refusal { failure, is_of_task: false }) => return Err(failure),
            Err(Refusal { failure, is_of_task: true }) => {
                if is_late || !task.is_enabled {
                    return Err(explain_refusal(task, &described, job, failure));
                }
                tokio::time::sleep(AGENT_PAUSE).await;
            }
        }
    };
    let nothing = || Failure::failed(format!("ECS answers without a session with the job {job}"));
    let started = opened.session().ok_or_else(nothing)?;
    let (url, token) =
        (started.stream_url().ok_or_else(nothing)?, started.token_value().ok_or_else(nothing)?);
    if !needs_plugin(url) {
        let terminal = terminal::for_command(command.terminal);
        let stream = connect(url, token)
            .await
            .map_err(|e| Failure::failed(format!("running a command in the job {job}: {e}")))?;
        return attach(stream, terminal, job).await;
    }
    if let Some(failure) = plugin::missing() {
        return Err(failure);
    }
    let name = opened.container_name().unwrap_or_default();
    let parameters = json!({"Target": runtime_target(task, &described, name, job)?});
    let opened = PluginSession { answer: plugin::answer_of_ecs(started), service: "ECS", parameters };
    match mark {
        Some(mark) => plugin::run_marked(session, &opened, &mark).await,
        None => plugin::run(session, &opened).await,
    }
}

/// Why there is no session.
struct Refusal {
    failure: Failure,
    /// Whether the task is the reason, and not the request, the caller or the service.
    is_of_task: bool,
}

/// Opens a session: the answer, and the mark of the command if it stands between marks.
async fn open(
    session: &Session,
    task: &ExecTask,
    described: &Task,
    command: &Command,
    job: &str,
) -> Result<(ExecuteCommandOutput, Option<String>), Refusal> {
    let container = match &command.container {
        Some(name) => Some(
            known_container(described, name, job)
                .map_err(|failure| Refusal { failure, is_of_task: false })?,
        ),
        None => task.container.clone(),
    };
    // A session by the agent of ECS Exec is one stream without an exit code, so the command stands
    // between marks. A shell needs none.
    let has_agent = agent_status(described).is_some();
    let mark = (!command.is_shell && has_agent).then(|| format!("awsb-{}", Uuid::new_v4().simple()));
    let line = match &mark {
        Some(mark) => wrapped(&command.words, mark),
        None if has_agent => {
            let enter = format!("{}; exec \"$@\"", command_line::ENTER_FOLDER_OF_JOB);
            let words = ["/bin/sh", "-c", &enter, "sh"].into_iter();
            command_line::to_line(&words.chain(command.words.iter().map(String::as_str)).collect::<Vec<_>>())
        }
        None => command_line::to_line(&command.words),
    };
    let asked = session
        .ecs
        .execute_command()
        .cluster(&task.cluster)
        .task(&task.arn)
        .set_container(container)
        .interactive(true)
        .command(line)
        .send()
        .await;
    asked.map(|opened| (opened, mark)).map_err(|e| {
        let is_of_task = e
            .as_service_error()
            .is_some_and(|e| is_of_task(e.code().unwrap_or_default(), e.message().unwrap_or_default()));
        Refusal { failure: explain(session, &format!("running a command in the job {job}"), &e), is_of_task }
    })
}

/// Whether a refusal is about the task. An InvalidParameterException may be about anything in the
/// request, such as a command that is too long. Of a task without ECS Exec or its agent it says
/// "The execute command failed because execute command was not enabled when the task was run or the
/// execute command agent isn't running" (ECS Developer Guide, `ecs-exec-troubleshooting`).
fn is_of_task(code: &str, message: &str) -> bool {
    match code {
        "TargetNotConnectedException" => true,
        "InvalidParameterException" => message.to_ascii_lowercase().contains("execute command"),
        _ => false,
    }
}

/// The task as ECS describes it.
async fn describe(session: &Session, task: &ExecTask, job: &str) -> Result<Task, Failure> {
    let asked = session.ecs.describe_tasks().cluster(&task.cluster).tasks(&task.arn).send().await;
    let answer =
        asked.map_err(|e| explain(session, &format!("asking ECS for the task of the job {job}"), &e))?;
    answer.tasks.unwrap_or_default().into_iter().next().ok_or_else(|| {
        Failure::new(ErrorKind::NotFound, format!("ECS has no task of the job {job} any more"))
            .hint(format!("`bstat {job}` tells how the job is"))
    })
}

/// The state of the agent of ECS Exec in the containers of a task, if there is one.
fn agent_status(task: &Task) -> Option<&str> {
    let agents = task.containers().iter().flat_map(|container| container.managed_agents());
    agents
        .filter(|agent| agent.name() == Some(&ManagedAgentName::ExecuteCommandAgent))
        .find_map(|agent| agent.last_status())
}

/// The container of this name.
///
/// # Errors
/// When the task has none: then with the names of those that it has.
fn known_container(described: &Task, name: &str, job: &str) -> Result<String, Failure> {
    let names: Vec<&str> = described.containers().iter().filter_map(|container| container.name()).collect();
    if names.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(Failure::usage(format!("the job {job} has no container `{name}`")).hint(container_hint(&names)))
}

/// The container as Systems Manager names it: `ecs:CLUSTER_TASK_RUNTIME` (`awscli`,
/// `customizations/ecs/executecommand.py`). Without a name it is the first one.
fn runtime_target(task: &ExecTask, described: &Task, container: &str, job: &str) -> Result<String, Failure> {
    let mut containers = described.containers().iter();
    let container = containers.find(|c| container.is_empty() || c.name() == Some(container));
    let runtime = container.and_then(|container| container.runtime_id()).ok_or_else(|| {
        Failure::failed(format!("ECS does not say where the container of the job {job} runs"))
    })?;
    let id = task.arn.rsplit('/').next().unwrap_or_default();
    Ok(format!("ecs:{}_{id}_{runtime}", task.cluster))
}

/// The container whose ports are forwarded, as Systems Manager names it.
///
/// # Errors
/// When ECS cannot be asked, or the task has no such container.
pub async fn port_target(
    session: &Session,
    task: &ExecTask,
    container: Option<&str>,
    job: &str,
) -> Result<String, Failure> {
    let described = describe(session, task, job).await?;
    let name = match container {
        Some(name) => known_container(&described, name, job)?,
        None => task.container.clone().unwrap_or_default(),
    };
    runtime_target(task, &described, &name, job)
}

/// The failure of a command that ECS refuses because of the task, with what the task lacks (ECS
/// Developer Guide, `ecs-exec`, "Prerequisites").
fn explain_refusal(task: &ExecTask, described: &Task, job: &str, failure: Failure) -> Failure {
    if !task.is_enabled {
        return failure.hint(
            "the job was submitted without ECS Exec (enableExecuteCommand), which cannot be changed while it runs: \
             `bsub --enable-exec` submits jobs with it",
        );
    }
    if !task.has_role {
        return failure.hint(
            "the job has no job role, which the agent in its container needs: `bsub --enable-exec --job-role ROLE`, \
             with the permissions of docs/iam.md",
        );
    }
    match agent_status(described) {
        Some("RUNNING") => failure.hint(
            "the agent in the container runs; the job role may lack the permissions `ssmmessages:*` of docs/iam.md",
        ),
        Some(status) => failure.hint(format!(
            "the agent in the container is {status}; it takes a moment after the start of the job {job}, and needs \
             a way to Systems Manager"
        )),
        None => failure.hint("the container has no agent of ECS Exec; an ECS agent that is too old starts none"),
    }
}
