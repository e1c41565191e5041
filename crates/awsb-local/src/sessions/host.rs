//! A command beside a job on the host: in the working directory of the job's first process, with
//! its environment and limits.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::{Child, Command};

use super::channels::{Activity, Client, Control, EndOfInput, pass_input, pass_output, start};
use super::frames::{FrameReader, FrameWriter};
use super::leader;
use super::record::{HANG_UP_GRACE, PAUSES, SessionRecord};
use super::registry::{Begun, JOB_ENDED, KILLED};
use super::terminal::{self, END_OF_INPUT, Master, Size};
use crate::home::files::SCRATCH;
use crate::runner::protocol::{AttemptId, Run, TASK_VARIABLE};
use crate::runner::{is_group_left, leader_of, tmpdir_of};
use awsb_model::session_frames::{Frame, SessionTerminal};

/// A command that runs.
struct Running {
    child: Child,
    /// It goes with the end of the session.
    record: SessionRecord,
    /// The size of its terminal, if it has one.
    size: Option<Size>,
    input: Box<dyn AsyncWrite + Send + Unpin>,
    output: Box<dyn AsyncRead + Send + Unpin>,
    errors: Option<Box<dyn AsyncRead + Send + Unpin>>,
}

/// Why a session goes to its end.
enum End {
    Exited(std::io::Result<ExitStatus>),
    HungUp,
    JobEnded,
}

/// Runs the command of a session to its end.
///
/// # Errors
/// When it cannot be started, or ends with its job: in words for the client.
pub async fn run(
    begun: &Begun,
    attempt_id: &AttemptId,
    command: &[String],
    (order, common): (&Run, &[(String, String)]),
    mut reader: FrameReader,
    writer: FrameWriter,
) -> Result<(), String> {
    let Some(terminal) = start(begun, &mut reader).await else { return Ok(()) };
    let Running { mut child, record: _record, size, input, output, errors } =
        spawn(attempt_id, command, order, common, terminal.as_ref())
            .map_err(|e| format!("starting the command: {e}"))?;
    // The leader of its group and its session.
    let group = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    let (mut pieces, mut control, taken) = Client::reading(reader).parts();
    let (activity, terminal_size) = (Activity::default(), size);
    let end_of_input = match terminal_size {
        Some(_) => EndOfInput::Typed(END_OF_INPUT),
        None => EndOfInput::Closed,
    };
    let ended = {
        let mut input = pin!(pass_input(&mut pieces, &taken, input, end_of_input, &writer));
        let mut outputs = pin!(async {
            let errors = async {
                match errors {
                    Some(errors) => pass_output(errors, Frame::ErrorOutput, &activity, &writer).await,
                    None => Ok(()),
                }
            };
            tokio::try_join!(pass_output(output, Frame::Output, &activity, &writer), errors)
        });
        let (mut has_input, mut has_output) = (true, true);
        let ended = loop {
            tokio::select! {
                status = child.wait() => break End::Exited(status),
                sent = &mut outputs, if has_output => match sent {
                    Ok(_) => has_output = false,
                    Err(_) => break End::HungUp,
                },
                () = &mut input, if has_input => has_input = false,
                wanted = control.recv() => match wanted {
                    Some(Control::Resize(size)) => {
                        if let Some(terminal) = &terminal_size {
                            terminal.set(size);
                        }
                    }
                    Some(Control::Signal(number)) => signal(group, number),
                    None => break End::HungUp,
                },
                () = begun.server_stop() => break End::HungUp,
                () = begun.attempt_end() => break End::JobEnded,
            }
        };
        if matches!(ended, End::Exited(_)) && has_output {
            tokio::select! {
                _ = &mut outputs => {}
                () = activity.silence() => {}
                None = control.recv() => {}
            }
        }
        ended
    };
    // The end of a terminal is gone with the input, the output and this.
    drop(terminal_size);
    match ended {
        End::Exited(status) => {
            let status = status.map_err(|e| format!("waiting for the end of the command: {e}"))?;
            let code = exit_code(status);
            if code == KILLED && begun.attempt_ends_now().await {
                return Err(JOB_ENDED.to_owned());
            }
            let _ = writer.send(&Frame::Exit(code)).await;
            Ok(())
        }
        End::HungUp => {
            hang_up(&mut child, group).await;
            Ok(())
        }
        End::JobEnded => {
            send(group, Signal::SIGKILL);
            let _ = child.wait().await;
            Err(JOB_ENDED.to_owned())
        }
    }
}

/// The exit code as a shell has it: 128 + signal for a command that a signal has ended.
fn exit_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}

/// Sends a signal that the client names.
fn signal(group: Option<Pid>, number: u8) {
    if let Ok(signal) = Signal::try_from(i32::from(number)) {
        send(group, signal);
    }
}

fn send(group: Option<Pid>, signal: Signal) {
    // A group that is gone needs none.
    if let Some(group) = group {
        let _ = killpg(group, signal);
    }
}

/// Ends a command whose client is gone, as the end of a terminal does, with the rest of its group.
async fn hang_up(child: &mut Child, group: Option<Pid>) {
    let Some(leader) = group else { return };
    // A command that has been stopped gets it as well.
    send(group, Signal::SIGHUP);
    send(group, Signal::SIGCONT);
    let ended = async {
        let (mut pause, longest) = PAUSES;
        while is_left(leader).await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    };
    let _ = tokio::time::timeout(HANG_UP_GRACE, ended).await;
    // Nobody has waited for the leader until here, so that the group's ID is still its own.
    send(group, Signal::SIGKILL);
    // A leader that has not come as far as to have a group gets that for itself.
    let _ = child.start_kill();
    let _ = child.wait().await;
}

/// Whether a process of a group is left. That may list all processes of the machine.
async fn is_left(leader: Pid) -> bool {
    let look = tokio::task::spawn_blocking(move || is_group_left(leader));
    look.await.unwrap_or(true)
}

fn spawn(
    attempt_id: &AttemptId,
    words: &[String],
    order: &Run,
    common: &[(String, String)],
    terminal: Option<&SessionTerminal>,
) -> std::io::Result<Running> {
    // The home is the working directory of the server.
    let scratch = std::path::absolute(Path::new(SCRATCH).join(attempt_id.as_str()))?;
    let leader = leader_of(Path::new(""), attempt_id);
    let folder = leader.and_then(|leader| leader.working_directory()).unwrap_or_else(|| scratch.clone());
    if !folder.is_dir() {
        // The error of a start would read as if the command were missing.
        let message = format!("the folder of the job, {}, is not there any more", folder.display());
        return Err(std::io::Error::other(message));
    }
    // The launcher sets variables for the job's process that the order does not have.
    let mut environment: BTreeMap<OsString, OsString> =
        match leader.and_then(|leader| leader.environment(attempt_id)) {
            Some(variables) => variables.into_iter().collect(),
            None => ordered_environment(order, common, &scratch),
        };
    environment.insert(TASK_VARIABLE.into(), attempt_id.as_str().into());
    if let Some(terminal) = terminal {
        environment.insert("TERM".into(), terminal.kind.clone().into());
    }
    let record = SessionRecord::new()?;
    let mut command = Command::new(program()?);
    command
        .arg0("blocal")
        .arg(leader::ACTION)
        .arg(if terminal.is_some() { leader::TERMINAL } else { leader::PIPES })
        .arg(record.path())
        .arg(std::process::id().to_string())
        .arg(serde_json::to_string(&order.limits)?)
        .args(words)
        .env_clear()
        .envs(environment)
        .current_dir(folder);
    let Some(terminal) = terminal else {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let missing = || std::io::Error::other("a pipe is missing");
        return Ok(Running {
            size: None,
            input: Box::new(child.stdin.take().ok_or_else(missing)?),
            output: Box::new(child.stdout.take().ok_or_else(missing)?),
            errors: Some(Box::new(child.stderr.take().ok_or_else(missing)?)),
            child,
            record,
        });
    };
    let (Master { input, output, size }, programs) = terminal::open(terminal.size)?;
    let end = |fd: &OwnedFd| Ok::<_, std::io::Error>(Stdio::from(File::from(fd.try_clone()?)));
    command.stdin(end(&programs)?).stdout(end(&programs)?).stderr(end(&programs)?);
    let child = command.spawn()?;
    let (input, output) = (Box::new(input), Box::new(output));
    Ok(Running { input, output, errors: None, size: Some(size), child, record })
}

/// The environment with which the runner starts the job's process.
fn ordered_environment(
    order: &Run,
    common: &[(String, String)],
    scratch: &Path,
) -> BTreeMap<OsString, OsString> {
    let pair = |(name, value): &(String, String)| (name.into(), value.into());
    let mut environment: BTreeMap<OsString, OsString> = common.iter().map(pair).collect();
    let tmpdir = tmpdir_of(scratch).unwrap_or_else(|| scratch.to_owned());
    environment.insert("TMPDIR".into(), tmpdir.into());
    environment.extend(order.environment.iter().map(pair));
    environment
}

/// This program, also when its file has been replaced.
fn program() -> std::io::Result<PathBuf> {
    #[cfg(target_os = "linux")]
    return Ok(PathBuf::from("/proc/self/exe"));
    #[cfg(not(target_os = "linux"))]
    return std::env::current_exe();
}
