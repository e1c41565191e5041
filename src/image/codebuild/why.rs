//! Why a build has failed, in one line. Pure.

use super::build::{Build, Phase};

/// Why a build has not succeeded, by what CodeBuild says and by the last lines of its log.
pub(super) fn why<'a>(build: &Build, log: impl DoubleEndedIterator<Item = &'a str>) -> String {
    let id = &build.id;
    match build.status.as_str() {
        "STOPPED" => return format!("the build {id} was stopped"),
        "TIMED_OUT" => {
            let minutes = build.minutes.map(|n| format!(" {n} minutes")).unwrap_or_default();
            return format!("the build {id} has taken longer than the{minutes} that its project allows");
        }
        _ => {}
    }
    let phase = build.failed_phase();
    let place = phase.map(|phase| format!(" in its phase {}", phase.name)).unwrap_or_default();
    // The log says it in the words of who has failed, CodeBuild by an exit code.
    let cause = cause(log).map(str::to_owned).or_else(|| phase.and_then(trouble));
    match cause {
        Some(cause) => format!("the build {id} has failed{place}: {cause}"),
        None => format!("the build {id} has failed{place} ({})", build.status),
    }
}

/// How lines begin by which Docker's client says why it has failed: BuildKit, the engine, a registry.
const BEGINNINGS: [&str; 8] = [
    "ERROR: failed to solve",
    "ERROR: failed to build",
    "Error response from daemon: ",
    "Error parsing reference: ",
    "denied: ",
    "name unknown: ",
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

/// The last line of a log that says what went wrong: buildspec.yml's own word, or that of a program that it runs.
fn cause<'a>(log: impl DoubleEndedIterator<Item = &'a str>) -> Option<&'a str> {
    log.rev().map(str::trim).find_map(|line| match line.strip_prefix("awsb: error: ") {
        // Docker has said why, before.
        Some(said) => Some(said).filter(|said| !said.ends_with("could not be pushed")),
        None => {
            let is_cause = BEGINNINGS.iter().any(|words| line.starts_with(words))
                || WORDS.iter().any(|words| line.contains(words));
            is_cause.then_some(line)
        }
    })
}

/// What CodeBuild says of a phase; of a command that failed, not all of its lines.
fn trouble(phase: &Phase) -> Option<String> {
    let (code, message) = phase.trouble.as_ref()?;
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

    fn build(status: &str, trouble: Option<(&str, &str)>) -> Build {
        let phase = |name: &str, status: &str, trouble: Option<(&str, &str)>| Phase {
            name: name.into(),
            status: Some(status.into()),
            began_at: None,
            seconds: None,
            trouble: trouble.map(|(code, message)| (code.into(), message.into())),
        };
        Build {
            id: "p:1".into(),
            status: status.into(),
            phases: vec![phase("PRE_BUILD", "SUCCEEDED", None), phase("BUILD", "FAILED", trouble)],
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
        let said = |lines: &[&str]| why(&failed, lines.iter().copied());
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
    fn ends_that_need_no_log() {
        let log = || ["ERROR: failed to solve: x"].into_iter();
        assert_eq!(why(&build("STOPPED", None), log()), "the build p:1 was stopped");
        assert_eq!(
            why(&build("TIMED_OUT", None), log()),
            "the build p:1 has taken longer than the 60 minutes that its project allows"
        );
        assert_eq!(
            why(&build("FAULT", None), [].into_iter()),
            "the build p:1 has failed in its phase BUILD (FAULT)"
        );
    }
}
