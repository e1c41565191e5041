//! The checks of the cluster: credentials, clock, bucket, queue, job definition, log group.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;

use super::finding::{Check, Finding, Need, State};
use crate::aws::{ServerClock, Session, explain};
use crate::batch::{self, definition::describe_uncached};
use crate::ui::{ErrorKind, Failure, span};

/// AWS refuses requests whose time differs from its own by more than this (Signature Version 4).
const MAX_SKEW: Duration = Duration::from_secs(5 * 60);
/// A difference that is worth a word: times in tables are wrong by as much.
const NOTABLE_SKEW: Duration = Duration::from_secs(5);
/// The name of the object that the check of the bucket writes, below the cluster's prefix.
const OBJECT: &str = "doctor";

/// The checks.
const CHECKS: [Check; 6] =
    [Check::Credentials, Check::Clock, Check::Bucket, Check::Queue, Check::Definition, Check::LogGroup];

/// The findings where none of the checks can be made: all of them lack this.
pub fn skipped(need: Need) -> Vec<Finding> {
    CHECKS.map(|check| Finding::skipped(check, need)).to_vec()
}

/// All checks of a cluster, at the same time.
pub async fn check(session: &Session) -> Vec<Finding> {
    let clock = ServerClock::default();
    let (credentials, bucket, queue, definitions, logs) = tokio::join!(
        credentials(session),
        bucket(session, &clock),
        queue(session),
        definitions(session),
        log_group(session)
    );
    let found = [vec![credentials, skew(&clock)], bucket, vec![queue], definitions, vec![logs]].concat();
    with_one_error_for_one_cause(found)
}

/// The findings, of which those with one cause are one error: there are no credentials, the clock
/// is wrong, or nothing answers. The finding of the check that found the cause is the error, and
/// the others are skipped. Findings with another cause stay as they are.
fn with_one_error_for_one_cause(findings: Vec<Finding>) -> Vec<Finding> {
    let Some(root) = root(&findings) else { return findings };
    let Some(need) = findings[root].cause.and_then(Need::of_failure) else { return findings };
    let depends = |finding: &Finding| match finding.cause {
        Some(kind) => Need::of_failure(kind) == Some(need),
        // Nothing was sent, or nothing has answered.
        None => finding.check == Check::Clock && finding.state == State::Warning,
    };
    let mut found: Vec<Finding> = Vec::new();
    for (place, finding) in findings.into_iter().enumerate() {
        let finding = match place != root && depends(&finding) {
            true => Finding::skipped(finding.check, need),
            false => finding,
        };
        // Two checks of the bucket are one now.
        let repeats = |last: &Finding| (last.check, last.state) == (finding.check, finding.state);
        if finding.state != State::Skipped || !found.last().is_some_and(repeats) {
            found.push(finding);
        }
    }
    found
}

/// The finding with the cause of others.
fn root(findings: &[Finding]) -> Option<usize> {
    let place = |check: Check, kind: ErrorKind| {
        let is_it = |finding: &Finding| finding.check == check && finding.cause == Some(kind);
        findings.iter().position(is_it)
    };
    let is_of_network = |finding: &Finding| finding.cause.and_then(Need::of_failure) == Some(Need::Network);
    let is_call = |finding: &&Finding| finding.check != Check::Clock;
    let no_call_succeeds = || findings.iter().filter(is_call).all(is_of_network);
    place(Check::Credentials, ErrorKind::Credentials)
        .or_else(|| place(Check::Clock, ErrorKind::WrongClock))
        // One service alone may be out of reach.
        .or_else(|| findings.iter().position(is_of_network).filter(|_| no_call_succeeds()))
}

/// Checks the credentials, and names their owner.
async fn credentials(session: &Session) -> Finding {
    match session.sts.identity().await {
        Ok(identity) => {
            Finding::ok(Check::Credentials, format!("{} (account {})", identity.arn, identity.account))
        }
        Err(e) => Finding::failed(Check::Credentials, &explain(session, "asking STS who I am", &*e)),
    }
}

/// The difference between the clocks of this machine and the service, from the last answer.
fn skew(clock: &ServerClock) -> Finding {
    let Some((answered, here)) = clock.last() else {
        return Finding::warning(Check::Clock, "no answer said what time it is");
    };
    let (difference, word) = match answered.duration_since(here) {
        Ok(behind) => (behind, "behind"),
        Err(e) => (e.duration(), "ahead of"),
    };
    // The header has whole seconds.
    if difference < NOTABLE_SKEW {
        return Finding::ok(Check::Clock, "as the service's");
    }
    let message = format!(
        "this machine is {} {word} the service",
        span(i64::try_from(difference.as_millis()).unwrap_or(i64::MAX))
    );
    let finding = if difference > MAX_SKEW {
        Finding { cause: Some(ErrorKind::WrongClock), ..Finding::error(Check::Clock, message) }
    } else {
        Finding::warning(Check::Clock, message)
    };
    finding.hint("set the clock: `timedatectl` shows whether it is synchronized")
}

/// Whether the bucket can be read and written.
async fn bucket(session: &Session, clock: &ServerClock) -> Vec<Finding> {
    let name = &session.cluster.bucket;
    if name.is_empty() {
        return vec![Finding::warning(
            Check::Bucket,
            "the cluster has none: long scripts, inputs and results need one",
        )];
    }
    let listed = session.s3.list_objects_v2().bucket(name).prefix(key(session, "")).max_keys(1);
    let read = async {
        match listed.customize().interceptor(clock.clone()).send().await {
            Ok(_) => Finding::ok(Check::Bucket, format!("{name} can be listed")),
            Err(e) => {
                let failure = explain(session, format!("listing the bucket {name}").as_str(), &e);
                match failure.kind() {
                    // Jobs run without it; only `bout --files` needs it.
                    ErrorKind::AccessDenied => Finding::unknown(Check::Bucket, &failure),
                    _ => Finding::failed(Check::Bucket, &failure),
                }
            }
        }
    };
    let object = key(session, OBJECT);
    let put =
        session.s3.put_object().bucket(name).key(&object).body(ByteStream::from_static(b"awsb doctor\n"));
    let written = async {
        match put.send().await {
            Ok(_) => Finding::ok(Check::Bucket, format!("{name} can be written (s3://{name}/{object})")),
            Err(e) => Finding::failed(
                Check::Bucket,
                &explain(session, format!("writing s3://{name}/{object}").as_str(), &e),
            ),
        }
    };
    let (read, written) = tokio::join!(read, written);
    vec![read, written]
}

/// The key of an object below the cluster's prefix.
fn key(session: &Session, name: &str) -> String {
    match session.cluster.prefix.as_str() {
        "" => name.to_owned(),
        prefix => format!("{prefix}/{name}"),
    }
}

/// Whether the queue takes jobs.
async fn queue(session: &Session) -> Finding {
    let name = &session.cluster.job_queue;
    let queues = match batch::queues(session, std::slice::from_ref(name)).await {
        Ok(queues) => queues,
        Err(failure) => return unless_denied(Check::Queue, &failure),
    };
    let Some(queue) = queues.first() else {
        return Finding::error(Check::Queue, format!("there is no job queue {name}"))
            .hint(session.cluster.hint_to_setting("job_queue", "\"…\"", "names another one"));
    };
    let (state, status) = (queue.state.as_deref().unwrap_or("-"), queue.status.as_deref().unwrap_or("-"));
    let message = format!("{} is {state} and {status}", queue.job_queue_name);
    match (state, status) {
        ("ENABLED", "VALID") => Finding::ok(Check::Queue, message),
        ("ENABLED", _) => Finding::error(Check::Queue, message).hint(format!("`bqueues {name}` shows why")),
        _ => Finding::error(Check::Queue, message).hint(match &queue.stack {
            Some(cluster) => format!("a disabled queue takes no jobs; `bcluster start {cluster}` enables it"),
            None => session.advice(&format!(
                "a disabled queue takes no jobs; `aws batch update-job-queue --job-queue {name} --state ENABLED` \
                 enables it"
            )),
        }),
    }
}

/// Whether the job definitions can be used.
async fn definitions(session: &Session) -> Vec<Finding> {
    let cluster = &session.cluster;
    let names = [Some(&cluster.job_definition), cluster.job_definition_mnp.as_ref()];
    let mut findings = Vec::new();
    for name in names.into_iter().flatten() {
        findings.push(match describe_uncached(session, name).await {
            Ok(Some(definition)) => Finding::ok(Check::Definition, definition.arn),
            Ok(None) => {
                Finding::error(Check::Definition, format!("there is no active job definition {name}"))
                    .hint(cluster.hint_to_setting("job_definition", "\"…\"", "names another one"))
            }
            Err(failure) => unless_denied(Check::Definition, &failure),
        });
    }
    findings
}

/// Whether the log group of the jobs' output is there.
async fn log_group(session: &Session) -> Finding {
    let name = &session.cluster.log_group;
    let listed = session.logs.describe_log_groups().log_group_name_prefix(name).send().await;
    match listed {
        Ok(page) if page.log_groups().iter().any(|group| group.log_group_name() == Some(name)) => {
            Finding::ok(Check::LogGroup, name.as_str())
        }
        // AWS makes it with the first job (AWS Batch user guide, "Using the awslogs log driver").
        Ok(_) if name == "/aws/batch/job" => {
            Finding::ok(Check::LogGroup, format!("{name} is not there yet: the first job makes it"))
        }
        Ok(_) => Finding::error(Check::LogGroup, format!("there is no log group {name}"))
            .hint(session.cluster.hint_to_setting("log_group", "\"…\"", "names another one")),
        Err(e) => unless_denied(Check::LogGroup, &explain(session, "looking for the log group", &e)),
    }
}

/// A failed check; a warning where the caller may only not look.
fn unless_denied(check: Check, failure: &Failure) -> Finding {
    match failure.kind() {
        ErrorKind::AccessDenied => Finding::unknown(check, failure),
        _ => Finding::failed(check, failure),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn failed(check: Check, kind: ErrorKind) -> Finding {
        Finding::failed(check, &Failure::new(kind, "no"))
    }

    /// The states of findings: the first letters of their words.
    fn states(findings: Vec<Finding>) -> String {
        let letter = |finding: Finding| match finding.state {
            State::Ok => 'o',
            State::Warning => 'w',
            State::Error => 'e',
            State::Skipped => 's',
        };
        with_one_error_for_one_cause(findings).into_iter().map(letter).collect()
    }

    #[test]
    fn one_cause_is_one_error() {
        let unset = || Finding::warning(Check::Clock, "no answer");
        let all = |kind: ErrorKind| {
            let bucket = [failed(Check::Bucket, kind), failed(Check::Bucket, kind)];
            [
                vec![failed(Check::Credentials, kind), unset()],
                bucket.to_vec(),
                vec![failed(Check::Queue, kind)],
            ]
            .concat()
        };
        for kind in [ErrorKind::Credentials, ErrorKind::Unreachable, ErrorKind::NoAnswer] {
            assert_eq!(states(all(kind)), "esss", "{kind:?}");
        }
        // Each denial is of another permission.
        assert_eq!(states(all(ErrorKind::AccessDenied)), "eweee");
        let wrong = Finding { cause: Some(ErrorKind::WrongClock), ..Finding::error(Check::Clock, "an hour") };
        let late = [
            failed(Check::Credentials, ErrorKind::WrongClock),
            wrong,
            failed(Check::Queue, ErrorKind::WrongClock),
        ];
        assert_eq!(states(late.to_vec()), "ses");
        // A service that alone cannot be reached is an error of its own, and so is another failure.
        let ok = Finding::ok(Check::Credentials, "me");
        let unreachable = || failed(Check::Bucket, ErrorKind::Unreachable);
        assert_eq!(states(vec![ok.clone(), unreachable(), unreachable()]), "oee");
        let mixed =
            [failed(Check::Credentials, ErrorKind::Credentials), failed(Check::Queue, ErrorKind::NotFound)];
        assert_eq!(states(mixed.to_vec()), "ee");
        assert_eq!(states(vec![ok, failed(Check::Queue, ErrorKind::Credentials)]), "oe");
    }

    #[test]
    fn a_wrong_clock_is_an_error_only_where_requests_fail() {
        let now = SystemTime::now();
        let at = |seconds: i64| match u64::try_from(seconds) {
            Ok(seconds) => now + Duration::from_secs(seconds),
            Err(_) => now - Duration::from_secs(seconds.unsigned_abs()),
        };
        for (seconds, state) in [
            (0, State::Ok),
            (2, State::Ok),
            (-2, State::Ok),
            (60, State::Warning),
            (-60, State::Warning),
            (301, State::Error),
            (-3600, State::Error),
        ] {
            let clock = ServerClock::of(at(seconds), now);
            assert_eq!(skew(&clock).state, state, "{seconds}");
        }
    }
}
