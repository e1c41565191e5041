//! Sessions of AWS, by the plugin of Systems Manager that the `aws` command uses, too. Nobody has
//! tried this on AWS yet; the tests have a program in the place of the plugin.

use std::io::{IsTerminal, Write};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::marked_output::{Line, MarkedOutput};
use crate::aws::Session;
use crate::ui::{EndSignal, ErrorKind, Exit, Failure, SignalListener, stdout_failure};

/// The program (Systems Manager User Guide,
/// `session-manager-working-with-install-plugin`).
const PLUGIN: &str = "session-manager-plugin";

/// A session of AWS.
#[derive(Debug, Clone)]
pub struct PluginSession {
    /// The answer of the call that has opened it.
    pub answer: Value,
    /// The service that was called.
    pub service: &'static str,
    /// The parameters of StartSession.
    pub parameters: Value,
}

/// The answer of ExecuteCommand, as the plugin takes it (`awscli`,
/// `customizations/ecs/executecommand.py`).
pub fn answer_of_ecs(session: &aws_sdk_ecs::types::Session) -> Value {
    json!({
        "sessionId": session.session_id(),
        "streamUrl": session.stream_url(),
        "tokenValue": session.token_value(),
    })
}

/// The failure of a machine without the plugin; `None` where it is there.
pub fn missing() -> Option<Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(PLUGIN).is_file());
    (!is_there).then(|| {
        Failure::failed(format!("sessions with jobs on AWS need the program {PLUGIN}, which is not in PATH"))
            .hint(
                "to install it: https://docs.aws.amazon.com/systems-manager/latest/userguide/\
                 session-manager-working-with-install-plugin.html",
            )
    })
}

fn command(session: &Session, opened: &PluginSession) -> Command {
    let mut command = Command::new(PLUGIN);
    command
        .arg(opened.answer.to_string())
        .arg(&session.region)
        .arg("StartSession")
        .arg(session.cluster.profile.as_deref().unwrap_or_default())
        .arg(opened.parameters.to_string())
        .arg(session.endpoint_of(opened.service));
    command
}

fn not_started(e: &std::io::Error) -> Failure {
    Failure::failed(format!("starting {PLUGIN}: {e}"))
}

/// Runs the plugin on the standard streams of this tool, and returns its own exit code. Ctrl-C is
/// the plugin's.
///
/// # Errors
/// When it cannot be started.
pub async fn run(session: &Session, opened: &PluginSession) -> Result<Exit, Failure> {
    let mut signals = SignalListener::listen();
    let mut child = command(session, opened).kill_on_drop(true).spawn().map_err(|e| not_started(&e))?;
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status.map_err(|e| not_started(&e))?;
                return Ok(Exit::Job(u8::try_from(status.code().unwrap_or(1) & 0xff).unwrap_or(1)));
            }
            signal = signals.next() => if signal != EndSignal::Interrupt {
                return Ok(Exit::Interrupted(signal));
            },
        }
    }
}

/// Runs the plugin for a command between two marks: prints the output of the command alone, and
/// returns the exit code of the command.
///
/// # Errors
/// When the plugin cannot be started, or ends before the command, or the output cannot be written.
pub async fn run_marked(session: &Session, opened: &PluginSession, mark: &str) -> Result<Exit, Failure> {
    let mut signals = SignalListener::listen();
    let mut child = command(session, opened)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| not_started(&e))?;
    let mut output = child.stdout.take().ok_or_else(|| Failure::failed("the plugin has no output"))?;
    let mut marked = MarkedOutput::new(mark, !std::io::stdout().is_terminal());
    let mut bytes = vec![0; 32 * 1024];
    loop {
        tokio::select! {
            read = output.read(&mut bytes) => {
                let count = read.unwrap_or(0);
                let lines = match count {
                    0 => marked.finish(),
                    n => marked.push(bytes.get(..n).unwrap_or_default()),
                };
                for line in lines {
                    match line {
                        Line::Output(text) => {
                            let mut stdout = std::io::stdout().lock();
                            let written = stdout.write_all(&text).and_then(|()| stdout.flush());
                            written.map_err(|e| stdout_failure(&e))?;
                        }
                        Line::Ended(code) => {
                            // It says goodbye to nobody.
                            let _ = child.wait().await;
                            return Ok(Exit::Job(code));
                        }
                    }
                }
                if count == 0 {
                    break;
                }
            }
            signal = signals.next() => if signal != EndSignal::Interrupt {
                return Ok(Exit::Interrupted(signal));
            },
        }
    }
    let _ = child.wait().await;
    let failure = Failure::new(ErrorKind::ContactLost, "the session has ended before the command");
    let said = marked.outside();
    Err(if said.is_empty() { failure } else { failure.hint(format!("{PLUGIN}: {said}")) })
}
