//! A command in the container of a job, by the exec of the Docker engine.

use std::path::Path;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use awsb_docker::{RawClient, connect, status, words};
use bollard::Docker;
use bollard::exec::{ResizeExecOptions, StartExecOptions};
use bollard::models::{ContainerInspectResponse, ExecConfig};
use bollard::query_parameters::{ContainerArchiveInfoOptions, InspectContainerOptions};
use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::channels::{Activity, Client, Control, EndOfInput, pass_input, pass_output, start};
use super::frames::{FrameReader, FrameWriter, Gone};
use super::record::{HANG_UP_GRACE, PAUSES};
use super::registry::{Begun, JOB_ENDED, KILLED};
use super::terminal::END_OF_INPUT;
use crate::containers::record;
use awsb_model::command_line::ENTER_FOLDER_OF_JOB;
use awsb_model::session_frames::{Frame, SessionTerminal, WindowSize};

/// The variable that marks the processes of a command. Its value is unique.
const MARK: &str = "AWSB_SESSION";
/// How long the processes of a command may take to end after SIGKILL.
const KILL_GRACE: Duration = Duration::from_secs(2);
/// How often the engine is asked how a command has ended, and how many times at most: it knows that
/// a moment after the output has ended.
const ASK_EVERY: Duration = Duration::from_millis(20);
const ASK_TIMES: usize = 250;
/// How many times it is asked whether a container has ended in which a command has been killed.
const ASK_TIMES_KILLED: usize = 100;
/// The first words of an engine about a command that it cannot start (runc). They are in the place
/// of the output.
const REFUSAL: &[u8] = b"OCI runtime exec failed";
/// The exit code that the engine gives to each command that it cannot start.
const CANNOT_START: u8 = 126;
/// Adds the process group of a shell, with a dot on each side, to the mark of its command. The
/// command that it executes then has the same group. The shell's name has no blank.
const ADD_GROUP: &str = "AWSB_SESSION=$AWSB_SESSION.$({ read -r a b c d group rest <\"/proc/$$/stat\"; } \
                         2>/dev/null; echo \"$group\").";
/// Sends the signals `$3`… to the processes of a container that have the mark `$1` in their
/// environment, or, where `$2` is `group`, to those of them in the process group that is in their
/// mark. The engine has no request for that. Ends with 0 if there is any such process.
///
/// The `grep -F` of busybox would see the first variable alone.
const SIGNAL_ALL: &str = "mark=$1; of=$2; shift 2; found=1
    for p in /proc/[0-9]*; do
        text=$mark
        if [ \"$of\" = group ]; then
            { read -r s <\"$p/stat\"; } 2>/dev/null || continue
            s=${s##*) }; s=${s#* * }; text=\"${mark}[.]${s%% *}[.]\"
        fi
        grep -q \"$text\" \"$p/environ\" 2>/dev/null || continue
        found=0
        for signal; do kill -s \"$signal\" \"${p#/proc/}\"; done
    done
    exit $found";

/// Waits in a terminal until it has a size, a second at most. Engines before 23 cannot start a
/// command with a size.
const WAIT_FOR_SIZE: &str = "if command -v stty >/dev/null 2>&1; then (n=0; while [ $n -lt 50 ]; do \
                             case $(stty size 2>/dev/null) in ''|'0 0') ;; *) break ;; esac; \
                             n=$((n + 1)); sleep 0.02 2>/dev/null || break; done); fi";
/// The first version of the Docker Engine API with `ConsoleSize` for commands.
const SIZE_AT_START: (usize, usize) = (1, 42);

/// Which processes of a command get signals.
#[derive(Debug, Clone, Copy)]
enum Of {
    /// All that have its mark.
    Command,
    /// Those of its process group. The others left it on purpose, as the jobs of a shell with a
    /// terminal do: what ignores SIGHUP there (`nohup`) stays until the job ends.
    Group,
}

/// The container of an attempt on its engine.
pub struct Found {
    address: String,
    docker: Docker,
    /// The state of the container.
    pub container: ContainerInspectResponse,
}

/// Finds a container of an attempt by its name, on one of the engines that this home has used.
///
/// # Errors
/// When no engine has it, or it does not run.
pub async fn find(name: &str) -> Result<Found, String> {
    let mut problems = Vec::new();
    // The home is the working directory of the server.
    for address in record::read(Path::new("")).0.engines {
        let docker = match connect(&address).await {
            Ok(docker) => docker,
            Err(e) => {
                problems.push(e.to_string());
                continue;
            }
        };
        match docker.inspect_container(name, None::<InspectContainerOptions>).await {
            Ok(container) => return Ok(Found { address, docker, container }),
            Err(e) => problems.push(format!("{address}: {}", words(&e))),
        }
    }
    Err(format!("the container of the job is not found: {}", problems.join("; ")))
}

/// The words before a command that start it by the shell of the container.
///
/// The shell goes where the job runs, and adds its process group to the mark. And it executes the
/// command once more: the first program of root in a container whose image has another user gains
/// rights as it starts, so Linux hides its variables from other processes, and [`SIGNAL_ALL`] would
/// not find it (proc(5), `/proc/PID/environ`; ptrace(2), "dumpable").
fn by_shell(docker: &Docker, has_terminal: bool) -> [String; 4] {
    let version = docker.client_version();
    let is_without_size = has_terminal && (version.major_version, version.minor_version) < SIZE_AT_START;
    let wait = if is_without_size { WAIT_FOR_SIZE } else { ":" };
    let script = format!("{ENTER_FOLDER_OF_JOB}; {ADD_GROUP}; {wait}; exec \"$@\"");
    ["/bin/sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()]
}

/// Whether a container has a shell.
async fn has_shell(docker: &Docker, name: &str) -> bool {
    let options = ContainerArchiveInfoOptions { path: "/bin/sh".to_owned() };
    docker.get_container_archive_info(name, Some(options)).await.is_ok()
}

/// Why a session goes to its end.
enum End {
    /// With the words of the engine about a command that it cannot start, if that may be all.
    OutputEnded(Option<Vec<u8>>),
    HungUp,
    JobEnded,
}

/// Runs the command of a session to its end.
///
/// # Errors
/// When it cannot be started, or ends with its job: in words for the client.
pub async fn run(
    begun: &Begun,
    name: &str,
    command: &[String],
    mut reader: FrameReader,
    writer: FrameWriter,
) -> Result<(), String> {
    let Some(terminal) = start(begun, &mut reader).await else { return Ok(()) };
    let Found { address, docker, .. } = find(name).await?;
    let mut cmd = command.to_vec();
    if has_shell(&docker, name).await {
        cmd.splice(0..0, by_shell(&docker, terminal.is_some()));
    }
    let size = |terminal: &SessionTerminal| {
        vec![usize::from(terminal.size.rows), usize::from(terminal.size.columns)]
    };
    let mark = format!("{MARK}={}", uuid::Uuid::new_v4().simple());
    let mut environment = vec![mark.clone()];
    environment.extend(terminal.iter().map(|terminal| format!("TERM={}", terminal.kind)));
    let config = ExecConfig {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(terminal.is_some()),
        env: Some(environment),
        cmd: Some(cmd),
        // Engines before 23 ignore it: there the terminal has no size for a moment
        // (`WAIT_FOR_SIZE`).
        console_size: terminal.as_ref().map(size),
        // ECS Developer Guide, `ecs-exec`: commands "are run as the root user", whatever user the
        // container has.
        user: Some("0".to_owned()),
        ..ExecConfig::default()
    };
    let failed = |why: String| format!("starting the command in the container: {why}");
    let exec = docker.create_exec(name, config).await.map_err(|e| failed(words(&e)))?.id;
    let stream = RawClient::to(&address)
        .start_exec(&exec, terminal.is_some())
        .await
        .map_err(|e| failed(e.to_string()))?;
    if let Some(terminal) = &terminal {
        resize(&docker, &exec, terminal.size).await;
    }
    let (mut pieces, mut control, taken) = Client::reading(reader).parts();
    let activity = Activity::default();
    let (output, input) = tokio::io::split(stream);
    let end_of_input = match terminal {
        Some(_) => EndOfInput::Typed(END_OF_INPUT),
        None => EndOfInput::Closed,
    };
    let ended = {
        let mut input = pin!(pass_input(&mut pieces, &taken, input, end_of_input, &writer));
        let mut output = pin!(async {
            match terminal {
                Some(_) => {
                    let refusal = OnceLock::new();
                    let frame = |data: Vec<u8>| {
                        if data.starts_with(REFUSAL) {
                            let _ = refusal.set(data.clone());
                        }
                        Frame::Output(data)
                    };
                    pass_output(output, frame, &activity, &writer).await?;
                    Ok(refusal.into_inner())
                }
                None => pass_frames(output, &writer).await,
            }
        });
        let mut has_input = true;
        loop {
            tokio::select! {
                sent = &mut output => match sent {
                    Ok(refusal) => break End::OutputEnded(refusal),
                    Err(Gone) => break End::HungUp,
                },
                () = &mut input, if has_input => has_input = false,
                wanted = control.recv() => match wanted {
                    Some(Control::Resize(size)) => resize(&docker, &exec, size).await,
                    Some(Control::Signal(number)) => {
                        if let Ok(signal) = Signal::try_from(i32::from(number)) {
                            start_signals(&docker, name, &mark, Of::Command, &[signal]).await;
                        }
                    }
                    None => break End::HungUp,
                },
                () = begun.server_stop() => break End::HungUp,
                () = begun.attempt_end() => break End::JobEnded,
            }
        }
    };
    match ended {
        End::OutputEnded(refusal) => {
            let exit = exit(&docker, &exec, ASK_TIMES).await;
            // The end of a container kills its commands, and is known a little later.
            if exit.is_none_or(|exit| exit.code == KILLED) && ends_now(&docker, name).await {
                let with_job = begun.attempt_ends_now().await;
                let why =
                    if with_job { JOB_ENDED } else { "its container has ended, and the command with it" };
                return Err(why.to_owned());
            }
            let mut exit = exit.ok_or("the Docker engine does not say how the command has ended")?;
            if let Some(words) = refusal {
                exit.code = exit.code_with(&words);
                if terminal.is_none() {
                    let frame = if exit.has_run { Frame::Output(words) } else { Frame::ErrorOutput(words) };
                    let _ = writer.send(&frame).await;
                }
            }
            let _ = writer.send(&Frame::Exit(exit.code)).await;
            Ok(())
        }
        End::HungUp => {
            hang_up(&docker, name, &exec, &mark).await;
            Ok(())
        }
        // Its processes have ended with the container.
        End::JobEnded => Err(JOB_ENDED.to_owned()),
    }
}

async fn resize(docker: &Docker, exec: &str, size: WindowSize) {
    let options = ResizeExecOptions { height: size.rows, width: size.columns };
    // A command that has ended has no terminal any more.
    let _ = docker.resize_exec(exec, options).await;
}

/// The end of a command.
#[derive(Debug, Clone, Copy)]
struct Exit {
    code: u8,
    has_run: bool,
}

impl Exit {
    /// The exit code of a command about which the engine may have said these words. A shell has 127
    /// for a program that is not there, and 126 for one that it cannot start.
    fn code_with(self, refusal: &[u8]) -> u8 {
        let words = String::from_utf8_lossy(refusal);
        let is_missing =
            ["executable file not found", "no such file or directory"].iter().any(|why| words.contains(why));
        if !self.has_run && self.code == CANNOT_START && is_missing { 127 } else { self.code }
    }
}

/// Whether a container has ended or is gone, or ends in a moment.
async fn ends_now(docker: &Docker, name: &str) -> bool {
    for _ in 0..ASK_TIMES_KILLED {
        match docker.inspect_container(name, None::<InspectContainerOptions>).await {
            Ok(found) if found.state.as_ref().and_then(|state| state.running) == Some(true) => {}
            Ok(_) => return true,
            Err(e) => return status(&e) == Some(404),
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    false
}

/// The end of a command, asked for at most this many times.
async fn exit(docker: &Docker, exec: &str, times: usize) -> Option<Exit> {
    for _ in 0..times {
        let found = docker.inspect_exec(exec).await.ok()?;
        if found.running == Some(false)
            && let Some(code) = found.exit_code
        {
            // A command that has run keeps the number of its process.
            let has_run = found.pid.is_some_and(|pid| pid > 0);
            return u8::try_from(code & 0xff).ok().map(|code| Exit { code, has_run });
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    None
}

/// Ends a command whose client is gone, as the end of a terminal does, with the rest of its group.
async fn hang_up(docker: &Docker, container: &str, exec: &str, mark: &str) {
    // A command that has been stopped gets it as well.
    start_signals(docker, container, mark, Of::Command, &[Signal::SIGHUP, Signal::SIGCONT]).await;
    let ended = async {
        exit(docker, exec, usize::MAX).await;
        let (mut pause, longest) = PAUSES;
        while signal_all(docker, container, mark, Of::Group, &[]).await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    };
    if tokio::time::timeout(HANG_UP_GRACE, ended).await.is_err() {
        // A process may have started another one after the look at all processes.
        let killed =
            async { while signal_all(docker, container, mark, Of::Group, &[Signal::SIGKILL]).await {} };
        let _ = tokio::time::timeout(KILL_GRACE, killed).await;
    }
}

/// Sends signals to processes of a command. Returns whether there were any. A container without a
/// shell and `grep` is left alone: then the processes end with the job.
async fn signal_all(docker: &Docker, container: &str, mark: &str, of: Of, signals: &[Signal]) -> bool {
    let Some(exec) = start_signals(docker, container, mark, of, signals).await else { return false };
    exit(docker, &exec, ASK_TIMES).await.is_some_and(|exit| exit.code == 0)
}

/// Starts to send signals to processes of a command. Returns the exec that does.
async fn start_signals(
    docker: &Docker,
    container: &str,
    mark: &str,
    of: Of,
    signals: &[Signal],
) -> Option<String> {
    let of = match of {
        Of::Command => "command",
        Of::Group => "group",
    };
    let signals = signals.iter().map(|signal| signal.as_str().trim_start_matches("SIG"));
    let words = ["sh", "-c", SIGNAL_ALL, "sh", mark, of].into_iter().chain(signals).map(str::to_owned);
    let config =
        ExecConfig { cmd: Some(words.collect()), user: Some("0".to_owned()), ..ExecConfig::default() };
    let exec = docker.create_exec(container, config).await.ok()?.id;
    let detached = StartExecOptions { detach: true, ..StartExecOptions::default() };
    docker.start_exec(&exec, Some(detached)).await.ok()?;
    Some(exec)
}

/// Sends the output of a command without a terminal to the client. The engine writes it in frames:
/// a byte for the stream, three zeroes, and four bytes for the length (Docker Engine API,
/// `ContainerAttach`, "Stream format"). Output that is nothing but a refusal of the engine is
/// returned.
async fn pass_frames(output: impl AsyncRead, writer: &FrameWriter) -> Result<Option<Vec<u8>>, Gone> {
    let mut output = pin!(output);
    let (mut is_first, mut refusal) = (true, None);
    let mut bytes = vec![0; 32 * 1024];
    loop {
        let mut head = [0; 8];
        if output.read_exact(&mut head).await.is_err() {
            return Ok(refusal);
        }
        let [stream, _, _, _, a, b, c, d] = head;
        let mut left = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        while left > 0 {
            let room = left.min(bytes.len());
            let Ok(n @ 1..) = output.read(bytes.get_mut(..room).unwrap_or_default()).await else {
                return Ok(refusal);
            };
            left -= n;
            let data = bytes.get(..n).unwrap_or_default().to_vec();
            if std::mem::take(&mut is_first) && stream == 1 && data.starts_with(REFUSAL) {
                refusal = Some(data);
                continue;
            }
            if let Some(output) = refusal.take() {
                writer.send(&Frame::Output(output)).await?;
            }
            let frame = if stream == 2 { Frame::ErrorOutput(data) } else { Frame::Output(data) };
            writer.send(&frame).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_not_there_has_the_exit_code_of_a_shell() {
        let refused = Exit { code: CANNOT_START, has_run: false };
        for (words, code) in [
            ("exec: \"no-such\": executable file not found in $PATH: unknown", 127),
            ("exec: \"/no/such\": stat /no/such: no such file or directory: unknown", 127),
            ("exec: \"/etc/passwd\": permission denied: unknown", 126),
        ] {
            assert_eq!(refused.code_with(words.as_bytes()), code, "{words}");
        }
        // A command may print such words itself.
        let ran = Exit { code: CANNOT_START, has_run: true };
        assert_eq!(ran.code_with(b"x: executable file not found"), 126);
    }
}
