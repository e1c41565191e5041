//! Why a build has failed, in one line. Pure.

use super::build::{Build, Phase};
use super::start::BUILDSPEC;
use awsb_model::words;

/// Why a build has not succeeded, by what CodeBuild says and by the last lines of its log.
pub(super) fn failure_reason<'a>(build: &Build, log: impl DoubleEndedIterator<Item = &'a str>) -> String {
    let id = &build.id;
    match build.status.as_str() {
        "STOPPED" => return format!("the build {id} was stopped"),
        "TIMED_OUT" => {
            let minutes = build.minutes.map(|n| format!(" {}", words::many(n, "minute"))).unwrap_or_default();
            return format!("the build {id} has taken longer than the{minutes} that its project allows");
        }
        _ => {}
    }
    let phase = build.failed_phase();
    let place = phase.map(|phase| format!(" in its phase {}", phase.name)).unwrap_or_default();
    // The log says it in the words of who has failed, CodeBuild by an exit code.
    let cause = cause(log).map(str::to_owned).or_else(|| phase.and_then(error));
    match cause {
        Some(cause) => format!("the build {id} has failed{place}: {cause}"),
        None => format!("the build {id} has failed{place} ({})", build.status),
    }
}

/// How a registry says that it has no such repository.
pub(super) const NO_REPOSITORY: &str = "name unknown: ";

/// How lines begin by which Docker's client says why it has failed: BuildKit, the engine, a registry.
const PREFIXES: [&str; 8] = [
    "ERROR: failed to solve",
    "ERROR: failed to build",
    "Error response from daemon: ",
    "Error parsing reference: ",
    "denied: ",
    NO_REPOSITORY,
    "no basic auth credentials",
    "unauthorized: ",
];

/// What stands somewhere in such a line: of the classic builder, of BuildKit as an engine has it, of ECR, of the `aws`
/// command.
const WORDS: [&str; 4] = [
    "returned a non-zero code: ",
    "executor failed running [",
    "repository is immutable",
    "An error occurred (",
];

/// The word of buildspec.yml's last phase, which some machines come to after all others: what failed stands before it.
const NOTHING_PUSHED: &str = "the build has failed; nothing is pushed";

/// The line of a log that says what went wrong: buildspec.yml's own word, or that of a program that it runs.
fn cause<'a>(log: impl DoubleEndedIterator<Item = &'a str>) -> Option<&'a str> {
    let is_of_codebuild = |line: &str| line.starts_with("[Container] ");
    let mut lines = log.rev().map(str::trim).filter(|line| !line.is_empty());
    while let Some(line) = lines.next() {
        match line.strip_prefix("awsb: error: ") {
            Some(NOTHING_PUSHED) => {}
            // Docker has said why, just before.
            Some(said) if said.ends_with("could not be pushed") => {
                return lines.next().filter(|line| !is_of_codebuild(line)).or(Some(said));
            }
            Some(said) => return Some(said),
            None => {
                let is_cause = PREFIXES.iter().any(|words| line.starts_with(words))
                    || WORDS.iter().any(|words| line.contains(words));
                if is_cause && !is_of_codebuild(line) {
                    return Some(line);
                }
            }
        }
    }
    None
}

/// Whether a line of a log is one of buildspec.yml's: CodeBuild logs each command before it runs it, and again when it
/// has failed.
pub(super) fn is_command(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && BUILDSPEC.lines().any(|own| own.trim() == line)
}

/// What CodeBuild says of a phase; of a command that failed, not all of its lines.
fn error(phase: &Phase) -> Option<String> {
    let (code, message) = phase.error.as_ref()?;
    let message = match message.rsplit_once("Reason: ") {
        Some((before, reason)) if before.starts_with("Error while executing command") => reason,
        _ => message,
    };
    let words = message.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(if code.is_empty() { words } else { format!("{code}: {words}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::codebuild::build::Log;

    fn build(status: &str, error: Option<(&str, &str)>) -> Build {
        let phase = |name: &str, status: &str, error: Option<(&str, &str)>| Phase {
            name: name.into(),
            status: Some(status.into()),
            began_at: None,
            seconds: None,
            error: error.map(|(code, message)| (code.into(), message.into())),
        };
        Build {
            id: "p:1".into(),
            status: status.into(),
            phases: vec![phase("PRE_BUILD", "SUCCEEDED", None), phase("BUILD", "FAILED", error)],
            log: Log::NotYet,
            link: None,
            minutes: Some(60),
            exported: Vec::new(),
        }
    }

    #[test]
    fn the_log_knows_best() {
        let failed = build(
            "FAILED",
            Some((
                "COMMAND_EXECUTION_ERROR",
                "Error while executing command: (\n  set -e\n). Reason: exit status 1",
            )),
        );
        let said = |lines: &[&str]| failure_reason(&failed, lines.iter().copied());
        assert_eq!(
            said(&[]),
            "the build p:1 has failed in its phase BUILD: COMMAND_EXECUTION_ERROR: exit status 1"
        );
        assert_eq!(
            said(&[
                "Step 2/2 : RUN x",
                "The command '/bin/sh -c x' returned a non-zero code: 7",
                "[Container] Phase complete"
            ]),
            "the build p:1 has failed in its phase BUILD: The command '/bin/sh -c x' returned a non-zero code: 7"
        );
        assert_eq!(
            said(&["denied: Your authorization token has expired.", "awsb: error: r:t could not be pushed"]),
            "the build p:1 has failed in its phase BUILD: denied: Your authorization token has expired."
        );
        assert_eq!(
            said(&["awsb: error: AWSB_IMAGE is not set"]),
            "the build p:1 has failed in its phase BUILD: AWSB_IMAGE is not set"
        );
    }

    #[test]
    fn what_follows_from_a_failure_is_not_its_cause() {
        let said = |lines: &[&str]| cause(lines.iter().copied()).map(str::to_owned);
        let step = "The command '/bin/sh -c x' returned a non-zero code: 7";
        let late = "awsb: error: the build has failed; nothing is pushed";
        assert!(BUILDSPEC.contains(&format!("fail \"{NOTHING_PUSHED}\"")));
        assert_eq!(said(&[step, "[Container] Entering phase POST_BUILD", late]), Some(step.into()));
        assert_eq!(said(&["x", late]), None);
        let last = "awsb: error: r:t could not be pushed";
        assert!(BUILDSPEC.contains("fail \"$uri could not be pushed\""));
        assert_eq!(said(&["EOF", "", last]), Some("EOF".into()));
        assert_eq!(said(&["[Container] Running command (", last]), Some("r:t could not be pushed".into()));
    }

    #[test]
    fn commands_as_codebuild_logs_them() {
        for line in ["  set -euo pipefail", ")", "            fail \"$uri could not be pushed\""] {
            assert!(is_command(line), "{line}");
        }
        for line in ["", "awsb: error: r:t could not be pushed", "the repository is immutable"] {
            assert!(!is_command(line), "{line}");
        }
    }

    #[test]
    fn ends_that_need_no_log() {
        let log = || ["ERROR: failed to solve: x"].into_iter();
        assert_eq!(failure_reason(&build("STOPPED", None), log()), "the build p:1 was stopped");
        assert_eq!(
            failure_reason(&build("TIMED_OUT", None), log()),
            "the build p:1 has taken longer than the 60 minutes that its project allows"
        );
        assert_eq!(
            failure_reason(&build("FAULT", None), [].into_iter()),
            "the build p:1 has failed in its phase BUILD (FAULT)"
        );
    }
}
