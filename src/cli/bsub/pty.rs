//! `-I --pty`: a command on this terminal, in a job of its own.
//!
//! A job has no terminal, so its own process only waits: for the command, which `bsub` runs beside
//! it as `bexec` does, and then for the exit code of that command, with which the job ends. So the
//! job ends as the command does, whoever is there to see it. A file for each job tells the process
//! of the command to the one that waits.
//!
//! The job does not stay when contact is lost. The command gets SIGHUP then, and ends as every
//! command that loses its terminal; a command that was killed leaves no exit code, which the
//! waiting process notices as well; and a command that never comes is waited for ten minutes.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use super::args::Args;
use crate::aws::{ResilientSession, Session};
use crate::batch::{self, Job, PollInterval, poll_job};
use crate::cli::bexec::{Command, run_command, task_of};
use crate::cli::wait::end_with_waiter;
use crate::ui::{Exit, Failure, SignalListener, print_message, until_signal};
use awsb_model::payload::pty;
use awsb_model::{JobId, JobName, Program, Status};

/// The files of a job: `.pid` has the process of the command, `.code` its exit code. They are in
/// the first of these folders in which the command can write. The process of the job may have
/// another user than the command, so it looks into all of them. Other users of the machine can
/// write in some of them, too: a file counts if it belongs to the user of the job, or to root, as
/// whom commands run in containers.
const FILES: &str = r#"
name=awsb-pty-$AWS_BATCH_JOB_ID-$AWS_BATCH_JOB_ATTEMPT
is_ours() (
  if ! [ -f "$1" ] || [ -h "$1" ]; then exit 1; fi
  if [ -O "$1" ]; then exit 0; fi
  set -- $(ls -ln "$1" 2>/dev/null)
  [ "${3-}" = 0 ]
)
find_file() {
  for f in "${TMPDIR:-/tmp}" /tmp /dev/shm .; do
    f=$f/$name
    if is_ours "$f.$1"; then return 0; fi
  done
  return 1
}
make_file() {
  for f in "${TMPDIR:-/tmp}" /tmp /dev/shm .; do
    f=$f/$name
    if { echo "$$" > "$f.new" && mv "$f.new" "$f.pid"; } 2>/dev/null; then return 0; fi
  done
  return 1
}"#;
/// The process of the job. A process of another user does not let itself be signalled, but it is
/// in `/proc`.
///
/// It handles SIGTERM, by which Batch ends a job: the kernel keeps signals without a handler from
/// the first process of a container, and the job would run until SIGKILL. An interactive shell
/// ignores SIGTERM, so all processes of the container get SIGHUP, and have ten seconds. Where
/// another process is the first one, all processes may be more than those of the job, so the job
/// ends at once, and its command with it. The `kill` of BusyBox knows no `--`.
const WAITING: &str = r#"
ending=
trap 'ending=${ending:-0}' TERM
n=0
while :; do
  if find_file code; then read -r code < "$f.code"; exit "$code"; fi
  if find_file pid; then
    read -r pid < "$f.pid"
    if ! kill -0 "$pid" 2>/dev/null && ! [ -d "/proc/$pid" ] && ! find_file code; then
      echo 'bsub --pty: the command has ended without an exit code' >&2
      exit 129
    fi
  else
    n=$((n + 1))
    if [ "$n" -gt 600 ]; then
      echo 'bsub --pty: nobody has come with a command for ten minutes' >&2
      exit 124
    fi
  fi
  if [ -n "$ending" ]; then
    if [ "$$" != 1 ] || [ "$ending" -ge 10 ] || ! find_file pid; then exit 143; fi
    if [ "$ending" = 0 ]; then kill -HUP -1; fi
    ending=$((ending + 1))
  fi
  sleep 1
done"#;
/// Runs the command in the arguments. Signals of the terminal are for the command alone. One that
/// has lost its terminal may end with any code, also with 0.
const RUNNING: &str = r#"
if ! make_file; then
  echo 'bsub --pty: no file can be written in $TMPDIR, /tmp, /dev/shm and the working directory' >&2
  exit 1
fi
trap : INT QUIT TERM
lost=
trap lost=1 HUP
"$@"
code=$?
if [ -n "$lost" ]; then code=129; fi
echo "$code" > "$f.new" && mv "$f.new" "$f.code"
exit "$code""#;

/// How long the job may take to end after its command.
const END_PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take before a message says so.
const END_NOTICE: Duration = Duration::from_secs(5);

/// A shell with one of the scripts, and the words of the command.
fn shell(script: &str, words: impl IntoIterator<Item = String>) -> Vec<String> {
    pty::command(format!("{FILES}{script}"), words)
}

/// The name and the program of a job for a command.
///
/// # Errors
/// When there is no command.
pub(super) fn program(operands: &[OsString]) -> Result<(JobName, Program), Failure> {
    let Some(first) = operands.first() else {
        return Err(Failure::usage("--pty needs a command").hint("`bsub -I --pty bash` starts a shell"));
    };
    let first = first.to_string_lossy();
    let name = JobName::cleaned(first.rsplit('/').next().unwrap_or(&first));
    // The words are for those who look at the job.
    let words = operands.iter().map(|word| word.to_string_lossy().into_owned());
    Ok((name, Program::Command(shell(WAITING, words).into_iter().map(OsString::from).collect())))
}

impl Args {
    /// Waits until the job runs, runs the command in it, and returns the exit code of the job.
    pub(super) async fn attach_terminal(&self, session: Session, id: &JobId) -> Result<Exit, Failure> {
        let mut contact = ResilientSession::new(session, "bsub");
        let asker = contact.session().clone();
        let ids = [id.clone()];
        let end = move |signal| async move { end_with_waiter("bsub", &asker, signal, &ids).await };
        let started = match until_signal(self.wait_for_start(&mut contact, id), end).await {
            Ok(started) => started?,
            Err(signal) => return Ok(Exit::Interrupted(signal)),
        };
        if let Some(ended) = started {
            let (title, status) = (ended.title(), ended.status);
            print_message(format!("bsub: job {title} is {status} before it could have its terminal"));
            return Ok(Exit::Job(ended.exit()));
        }
        let session = contact.session().clone();
        let attached = async {
            let words: Option<Vec<String>> =
                self.operands.iter().map(|word| word.to_str().map(str::to_owned)).collect();
            let words =
                words.ok_or_else(|| Failure::usage("the command is not valid UTF-8, which ECS needs"))?;
            let command = Command {
                words: shell(RUNNING, words),
                // The job ends with its exit code.
                is_shell: true,
                // The process of the job waits in this one, and they share files.
                container: self.options.container.clone(),
                terminal: None,
                is_patient: true,
            };
            run_command(&session, &task_of(&session, id).await?, &command, id.as_str()).await
        };
        match attached.await {
            Ok(Exit::Interrupted(signal)) => Ok(Exit::Interrupted(signal)),
            Ok(_) => {
                let asker = contact.session().clone();
                let ids = [id.clone()];
                let end = move |signal| async move { end_with_waiter("bsub", &asker, signal, &ids).await };
                match until_signal(self.end_of(&mut contact, id), end).await {
                    Ok(Ok(exit)) => Ok(exit),
                    Ok(Err(failure)) => Err(end_abandoned(&mut contact, id, failure).await),
                    Err(signal) => Ok(Exit::Interrupted(signal)),
                }
            }
            Err(failure) => Err(end_abandoned(&mut contact, id, failure).await),
        }
    }

    /// Returns when the job runs; a job that has ended before that.
    async fn wait_for_start(
        &self,
        contact: &mut ResilientSession,
        id: &JobId,
    ) -> Result<Option<Job>, Failure> {
        let (since, mut interval) = (Instant::now(), PollInterval::default());
        let mut last = None;
        loop {
            if let Some(job) = poll_job(contact, id, since).await? {
                if job.status.has_ended() {
                    return Ok(Some(job));
                }
                if job.status == Status::Running {
                    return Ok(None);
                }
                if last.replace(job.status) != Some(job.status) {
                    interval.quicken();
                    if !self.quiet {
                        print_message(format!("bsub: job {id} is {}", job.status));
                    }
                }
            }
            tokio::time::sleep(interval.pause()).await;
        }
    }

    /// The exit code of the job, whose command has ended.
    async fn end_of(&self, contact: &mut ResilientSession, id: &JobId) -> Result<Exit, Failure> {
        let since = Instant::now();
        let interval = PollInterval::default();
        let mut is_silent = !self.quiet;
        while since.elapsed() < END_PATIENCE {
            if let Some(job) = poll_job(contact, id, since).await?
                && job.status.has_ended()
            {
                return Ok(Exit::Job(job.exit()));
            }
            if is_silent && since.elapsed() > END_NOTICE {
                is_silent = false;
                let patience = END_PATIENCE.as_secs();
                print_message(format!(
                    "bsub: the command has ended; waiting for the end of the job {id}, {patience} seconds at most"
                ));
            }
            tokio::time::sleep(interval.pause()).await;
        }
        Err(Failure::failed(format!("the command of the job {id} has ended, and the job has not")))
    }
}

/// Ends a job whose terminal is lost, so that nobody is there for it any more. One that has ended
/// by itself stays as it is. The server may be what is lost, so this is tried until it answers, for
/// as long as any tool waits for contact. Returns the failure, with what becomes of the job.
async fn end_abandoned(contact: &mut ResilientSession, id: &JobId, failure: Failure) -> Failure {
    let reason = "bsub --pty: its terminal is gone";
    let goes_on = format!("the job {id} may go on; `bkill {id}` ends it");
    let mut signals = SignalListener::listen();
    let ended = tokio::select! {
        ended = contact.keep(async |session| batch::terminate(session, id, reason).await) => Ok(ended),
        signal = signals.next() => Err(signal),
    };
    match ended {
        Ok(Ok(())) => failure.hint(format!("the job {id} is being ended; `bstat {id}` tells how it is")),
        Ok(Err(other)) => failure.hint(other.to_string()).hint(goes_on),
        Err(signal) => failure.hint(format!("{signal} before the job was ended")).hint(goes_on),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_after_its_command() {
        let named = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(Into::into).collect();
            program(&words).map(|(name, _)| name.to_string()).ok()
        };
        assert_eq!(named(&["/usr/bin/bash", "-l"]).as_deref(), Some("bash"));
        assert_eq!(named(&[]), None);
    }

    #[test]
    fn no_signal_is_forgotten_once_it_is_handled() {
        // A job that forgets that it is to end has two seconds.
        let waiting = WAITING.replace("-gt 600", "-gt 2");
        let cases = [(waiting.as_str(), "' TERM\n", "TERM", 143), (RUNNING, "=1 HUP\n", "HUP", 129)];
        for (script, handled, signal, code) in cases {
            assert!(script.contains(handled), "{script}");
            // The signal comes right after that.
            let script = script.replace(handled, &format!("{handled}kill -s {signal} $$\n"));
            let folder = tempfile::tempdir().unwrap();
            // Tests that run under `nohup` ignore SIGHUP, and a shell cannot take that back.
            let by_env: &[&str] =
                if cfg!(target_os = "linux") { &["--default-signal=HUP", "sh"] } else { &["sh"] };
            let ended = std::process::Command::new("env")
                .args(by_env)
                .args(["-c", &shell(&script, [])[2], "sh", "true"])
                .env("TMPDIR", folder.path())
                .envs([("AWS_BATCH_JOB_ID", "signalled"), ("AWS_BATCH_JOB_ATTEMPT", "1")])
                .status()
                .unwrap();
            assert_eq!(ended.code(), Some(code), "{script}");
        }
    }

    #[test]
    fn both_scripts_are_read_by_a_shell() {
        for script in [WAITING, RUNNING] {
            let words = shell(script, []);
            let checked = std::process::Command::new("sh").args(["-n", "-c", &words[2]]).status().unwrap();
            assert!(checked.success(), "{script}");
        }
    }
}
