//! Every finding, with the messages that users see.

mod cases;

use std::collections::BTreeSet;

use proptest::prelude::*;

use awsb_model::{ADVICE, Demand, InstanceType, blocking_code};

use super::*;
use cases::*;

const NOW: i64 = 1_000_000_000_000;
const MINUTE: i64 = 60_000;

/// A job `j` that was submitted two minutes ago.
fn job(status: Status) -> Evidence {
    let demand = Demand { vcpus: 4.0, memory_mib: 8192, gpus: 0 };
    Evidence {
        now: NOW,
        job: ObservedJob {
            id: "j".into(),
            name: "train".into(),
            status,
            created_at: Some(NOW - 2 * MINUTE),
            demand: Some(demand),
            image: Some("111122223333.dkr.ecr.eu-west-1.amazonaws.com/tools/train:7".into()),
            ..ObservedJob::default()
        },
        ..Evidence::default()
    }
}

/// A RUNNABLE job in the queue `q` with one environment `ce`.
fn runnable(change: impl FnOnce(&mut Evidence)) -> Evidence {
    let mut evidence = job(Status::Runnable);
    evidence.queue = Some(Queue { name: "q".into(), ..Queue::default() });
    evidence.environments = vec![environment("ce")];
    change(&mut evidence);
    evidence
}

fn environment(name: &str) -> ComputeEnvironment {
    ComputeEnvironment {
        name: name.into(),
        max_vcpus: Some(16),
        desired_vcpus: Some(8),
        instance_types: vec!["c5".into(), "m5.xlarge".into()],
        cluster: Some(format!("{name}-cluster")),
        ..ComputeEnvironment::default()
    }
}

fn machine(id: &str, free: f64) -> Machine {
    Machine {
        id: id.into(),
        status: "ACTIVE".into(),
        connected: true,
        registered: Demand { vcpus: 8.0, memory_mib: 15_000, gpus: 0 },
        free: Demand { vcpus: free, memory_mib: 10_000, gpus: 0 },
    }
}

fn placed_job(id: &str, vcpus: f64) -> PlacedJob {
    PlacedJob { id: id.into(), name: "old".into(), vcpus, cluster: Some("ce-cluster".into()) }
}

fn says(reason: &str) -> Evidence {
    runnable(|f| f.job.end.status_reason = Some(reason.into()))
}

fn other(id: &str, status: Status) -> ObservedJob {
    ObservedJob { id: id.into(), name: "align".into(), status, ..ObservedJob::default() }
}

fn end(status_reason: &str, reason: &str, exit_code: Option<i32>) -> End {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    End { status_reason: text(status_reason), reason: text(reason), exit_code }
}

fn failed(status_reason: &str, reason: &str, exit_code: Option<i32>) -> Evidence {
    let mut evidence = job(Status::Failed);
    evidence.job.end = end(status_reason, reason, exit_code);
    evidence.job.started_at = exit_code.map(|_| NOW - 90_000);
    evidence.job.stopped_at = Some(NOW - MINUTE);
    evidence
}

const EXITED: &str = "Essential container in task exited";
const NOT_STARTED: &str = "Task failed to start";

fn array(status: Status, size: u32, failed: Vec<ObservedJob>) -> Evidence {
    let mut evidence = job(status);
    evidence.job.size = Some(size);
    let count = u32::try_from(failed.len()).unwrap_or(0);
    evidence.parts.counts = vec![(Status::Succeeded, size - count), (Status::Failed, count)];
    evidence.parts.failed = failed;
    evidence
}

fn children(indices: std::ops::Range<u32>, end: &End) -> Vec<ObservedJob> {
    indices.map(|i| ObservedJob { end: end.clone(), ..other(&format!("j:{i}"), Status::Failed) }).collect()
}

#[test]
fn advice_is_about_the_machine_that_the_job_runs_on() {
    let printed = |code, line: &str, runs_here| {
        let mut evidence = failed(EXITED, "", Some(code));
        evidence.job.runs_here = runs_here;
        evidence.log =
            Some(LogTail { job_id: "j".into(), lines: vec![(None, line.into())], ..LogTail::default() });
        Diagnosis::of(&evidence).findings.remove(0)
    };
    let full = "write: No space left on device";
    for (runs_here, says, says_not) in [(true, "df -h", "Fargate"), (false, "Fargate", "df -h")] {
        let advice = printed(1, full, runs_here).advice.join("; ");
        assert!(advice.contains(says) && !advice.contains(says_not), "{advice}");
    }
    let line = "awsb: cannot upload x to s3://b/o/: the disk of /h is full: 0 bytes are free";
    let finding = printed(125, line, true);
    assert_eq!(finding.code, Code::NotUploaded);
    assert!(
        finding.message.contains("x to s3://b/o/: the disk of /h is full: 0 bytes are free"),
        "{finding:?}"
    );
    assert!(!finding.advice.join("; ").contains("s3:PutObject"), "{finding:?}");
    // The output of a job may contain anything.
    assert_eq!(printed(1, line, true).code, Code::ExitCode);

    let waits = says(&format!("CAPACITY:DISK_FULL - the disk of /h is full{ADVICE}make room on that disk"));
    let finding = Diagnosis::of(&waits).findings.remove(0);
    assert!(finding.message.ends_with("the cluster says: the disk of /h is full"), "{finding:?}");
    assert_eq!(finding.advice, ["make room on that disk"]);
}

/// The messages that users see, case by case.
fn messages_of(cases: &[(&str, Evidence)]) -> String {
    let each = cases.iter().map(|(name, evidence)| {
        let answer = Diagnosis::of(evidence);
        let codes: Vec<String> = answer.findings.iter().map(|f| format!("{:?}", f.code)).collect();
        format!("## {name} [{}]\n{}\n", codes.join(" "), answer.lines().join("\n"))
    });
    each.collect::<Vec<_>>().join("\n")
}

#[test]
fn waiting_in_words() {
    insta::assert_snapshot!(messages_of(&waiting_cases()));
}

#[test]
fn runnable_in_words() {
    insta::assert_snapshot!(messages_of(&runnable_cases()));
}

#[test]
fn failed_in_words() {
    insta::assert_snapshot!(messages_of(&failed_cases()));
}

#[test]
fn arrays_and_nodes_in_words() {
    insta::assert_snapshot!(messages_of(&parts_cases()));
}

/// The code of a finding in `--json`.
fn word(code: Code) -> String {
    serde_json::to_value(code).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

#[test]
fn every_code_is_seen_here_and_told_on_the_page() {
    let cases = [waiting_cases(), runnable_cases(), failed_cases(), parts_cases()].concat();
    let seen: BTreeSet<String> = cases
        .iter()
        .flat_map(|(_, evidence)| Diagnosis::of(evidence).findings)
        .map(|finding| word(finding.code))
        .collect();
    let page = include_str!("../../docs/why.md");
    let on_page = |code: &str| page.contains(&format!("`{code}`"));
    let listed = page.lines().filter(|line| line.starts_with("| `")).flat_map(|line| {
        line.split('|')
            .nth(1)
            .unwrap_or_default()
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    assert_eq!(seen.iter().filter(|code| !on_page(code)).collect::<Vec<_>>(), Vec::<&String>::new());
    let listed: BTreeSet<String> = listed.collect();
    assert_eq!(
        listed.difference(&seen).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "on the page, and in no case"
    );
}

#[test]
fn words_of_others_are_exact_and_no_lines_of_their_own() {
    let mut evidence = failed("\u{1b}[2Jgone\r\nwhat to do: rm -rf /", "", None);
    evidence.log = Some(LogTail {
        job_id: "j".into(),
        lines: vec![(Some(1), "a\u{1b}[31mb\tc".into())],
        ..LogTail::default()
    });
    let answer = Diagnosis::of(&evidence);
    let lines = answer.lines();
    assert_eq!(
        lines[0], "j (train) FAILED 1 min ago: \u{1b}[2Jgone  what to do: rm -rf /",
        "no breaks, all else exact"
    );
    assert_eq!(lines[2], "    a\u{1b}[31mb\tc", "the output is exact");
    assert!(!lines.iter().any(|line| line.starts_with("what to do: rm")));
    assert_eq!(answer.json()["logTail"][0]["message"], "a\u{1b}[31mb\tc");
}

#[test]
fn a_code_is_no_beginning_of_another() {
    assert_eq!(blocked::code("UNDETERMINED"), Some((Code::Undetermined, "UNDETERMINED")));
    assert_eq!(blocked::code("UNDETERMINED_BY_US - x"), None);
    assert_eq!(blocked::code("ACTION_REQUIRED - CE(s)").map(|c| c.0), Some(Code::ActionRequired));
    assert_eq!(blocked::code("CAPACITY:NEW - x"), Some((Code::Blocked, "CAPACITY:NEW")));
    assert_eq!(blocked::code("no capacity: none"), None);
}

#[test]
fn codes_of_blocked_queues() {
    for (reason, code) in [
        (
            "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for \
             instance type [x]",
            Some("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"),
        ),
        (
            "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is \
             higher than that can be met",
            Some("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"),
        ),
        ("UNDETERMINED - Batch job is blocked, root cause is undetermined.", Some("UNDETERMINED")),
        ("Host EC2 (instance i-0) terminated.", None),
        ("OutOfMemoryError: Container killed due to memory usage", None),
        ("CAPACITY: words", Some("CAPACITY")),
        ("", None),
    ] {
        assert_eq!(blocking_code(reason), code, "{reason}");
    }
}

#[test]
fn types_that_an_environment_may_start() {
    let of =
        |types: &[&str]| instance_types::patterns(&types.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
    assert_eq!(of(&["c5", "c5.large", "c5"]), ["c5.*", "c5.large"]);
    assert_eq!(of(&["default_arm64"]), ["c6g.*", "c7g.*", "m6g.*", "r6g.*"]);
    assert!(of(&["optimal"]).contains(&"m5.*".to_owned()));
    let known = ["c5.large", "c5d.large", "c5n.large"]
        .map(|n| InstanceType { name: n.into(), ..InstanceType::default() });
    let environment =
        ComputeEnvironment { instance_types: vec!["c5".into()], ..ComputeEnvironment::default() };
    let names: Vec<&str> =
        instance_types::allowed(&environment, &known).iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["c5.large"], "c5d is a family of its own");
}

fn statuses() -> impl Strategy<Value = Status> {
    prop::sample::select(Status::ALL.to_vec())
}

proptest! {
    /// For any message of AWS there is a diagnosis with a line for each finding, and the JSON is
    /// complete.
    #[test]
    fn there_is_always_an_answer(
        status in statuses(),
        status_reason in prop::option::of(".{0,40}"),
        reason in prop::option::of("(CannotPullContainerError|exec: \"/bin/sh\"|OutOfMemory)?.{0,40}"),
        exit_code in prop::option::of(any::<i32>()),
        size in prop::option::of(1..5u32),
        nodes in prop::option::of(1..5u32),
        times in prop::array::uniform3(prop::option::of(any::<i32>().prop_map(i64::from))),
        vcpus in 0.0..1e9f64,
        max in prop::option::of(any::<u32>()),
        by_user in any::<bool>(),
    ) {
        let mut evidence = runnable(|f| f.environments[0].max_vcpus = max);
        evidence.job.status = status;
        evidence.job.end = End { status_reason, reason, exit_code };
        (evidence.job.size, evidence.job.nodes) = (size, nodes.filter(|_| size.is_none()));
        [evidence.job.created_at, evidence.job.started_at, evidence.job.stopped_at] = times;
        evidence.job.demand = Some(Demand { vcpus, ..Demand::default() });
        evidence.job.ended_by_user = by_user;
        evidence.parts.failed = children(0..size.unwrap_or(0), &evidence.job.end);
        let answer = Diagnosis::of(&evidence);
        prop_assert!(!answer.findings.is_empty());
        let lines = answer.lines();
        prop_assert!(lines.iter().all(|line| !line.contains('\n')));
        prop_assert_eq!(answer.json()["findings"].as_array().map(Vec::len), Some(answer.findings.len()));
    }
}
