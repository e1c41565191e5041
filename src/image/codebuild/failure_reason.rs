//! Why a build has failed, in one line. Pure.

use super::build::{Build, Phase};
use super::start::BUILDSPEC;
use awsb_model::words;

/// Why a build has not succeeded, according to CodeBuild and to the last lines of its log.
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
    let place = build.failed_phase().map(|phase| format!(" in its phase {}", phase.name)).unwrap_or_default();
    match cause(build, log) {
        Some(cause) => format!("the build {id} has failed{place}: {cause}"),
        None => format!("the build {id} has failed{place} ({})", build.status),
    }
}

/// Whether a build has failed because the registry does not have the repository.
pub(super) fn is_repository_missing<'a>(
    build: &Build,
    log: impl DoubleEndedIterator<Item = &'a str>,
) -> bool {
    !matches!(build.status.as_str(), "STOPPED" | "TIMED_OUT")
        && cause(build, log).is_some_and(|cause| cause.contains(NO_REPOSITORY))
}

/// The cause of a failure. The log has the words of the program that failed; CodeBuild has only an
/// exit code.
fn cause<'a>(build: &Build, log: impl DoubleEndedIterator<Item = &'a str>) -> Option<String> {
    cause_in_log(log).map(str::to_owned).or_else(|| build.failed_phase().and_then(error))
}

/// The words of a registry that does not have such a repository.
const NO_REPOSITORY: &str = "name unknown: ";

/// The beginnings of lines in which Docker's client says why it failed: of BuildKit, the engine, a
/// registry.
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

/// Words within such a line: of the classic builder, of an engine's BuildKit, of ECR, of the `aws`
/// command.
const WORDS: [&str; 4] = [
    "returned a non-zero code: ",
    "executor failed running [",
    "repository is immutable",
    "An error occurred (",
];

/// The message of buildspec.yml's last phase. On some machines it comes after all other lines, so
/// the cause stands before it.
const NOTHING_PUSHED: &str = "the build has failed; nothing is pushed";

/// The line of a log that names the cause: a message of buildspec.yml, or of a program that it
/// runs.
fn cause_in_log<'a>(log: impl DoubleEndedIterator<Item = &'a str>) -> Option<&'a str> {
    let is_of_codebuild = |line: &str| line.starts_with("[Container] ");
    let mut lines = log.rev().map(str::trim).filter(|line| !line.is_empty());
    while let Some(line) = lines.next() {
        match line.strip_prefix("awsb: error: ") {
            Some(NOTHING_PUSHED) => {}
            // Docker has given the reason in the line before.
            Some(reason) if reason.ends_with("could not be pushed") => {
                return lines.next().filter(|line| !is_of_codebuild(line)).or(Some(reason));
            }
            Some(reason) => return Some(reason),
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

/// Whether a line of a log is a command of buildspec.yml. CodeBuild logs each command before it
/// runs it, and again when it has failed.
pub(super) fn is_command(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && BUILDSPEC.lines().any(|own| own.trim() == line)
}

/// The message of CodeBuild about a phase. Of a command that failed it does not repeat all lines.
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
        let reason = |lines: &[&str]| failure_reason(&failed, lines.iter().copied());
        assert_eq!(
            reason(&[]),
            "the build p:1 has failed in its phase BUILD: COMMAND_EXECUTION_ERROR: exit status 1"
        );
        assert_eq!(
            reason(&[
                "Step 2/2 : RUN x",
                "The command '/bin/sh -c x' returned a non-zero code: 7",
                "[Container] Phase complete"
            ]),
            "the build p:1 has failed in its phase BUILD: The command '/bin/sh -c x' returned a non-zero code: 7"
        );
        assert_eq!(
            reason(&[
                "denied: Your authorization token has expired.",
                "awsb: error: r:t could not be pushed"
            ]),
            "the build p:1 has failed in its phase BUILD: denied: Your authorization token has expired."
        );
        assert_eq!(
            reason(&["awsb: error: AWSB_IMAGE is not set"]),
            "the build p:1 has failed in its phase BUILD: AWSB_IMAGE is not set"
        );
    }

    #[test]
    fn a_registry_without_the_repository() {
        let is_missing =
            |status: &str, line: &str| is_repository_missing(&build(status, None), [line].into_iter());
        assert!(is_missing("FAILED", "name unknown: The repository with name 'x' does not exist"));
        assert!(!is_missing("FAILED", "denied: x"));
        assert!(!is_missing("STOPPED", "name unknown: x"));
    }

    #[test]
    fn what_follows_from_a_failure_is_not_its_cause() {
        let reason = |lines: &[&str]| cause_in_log(lines.iter().copied()).map(str::to_owned);
        let step = "The command '/bin/sh -c x' returned a non-zero code: 7";
        let late = "awsb: error: the build has failed; nothing is pushed";
        assert!(BUILDSPEC.contains(&format!("fail \"{NOTHING_PUSHED}\"")));
        assert_eq!(reason(&[step, "[Container] Entering phase POST_BUILD", late]), Some(step.into()));
        assert_eq!(reason(&["x", late]), None);
        let last = "awsb: error: r:t could not be pushed";
        assert!(BUILDSPEC.contains("fail \"$uri could not be pushed\""));
        assert_eq!(reason(&["EOF", "", last]), Some("EOF".into()));
        assert_eq!(reason(&["[Container] Running command (", last]), Some("r:t could not be pushed".into()));
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
