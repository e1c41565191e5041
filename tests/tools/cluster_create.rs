//! `bcluster create`, against a CloudFormation that loses answers, throttles and fails: a cluster
//! is never made twice, and what fails is told by its cause.

pub(crate) mod fake;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use awsb_testkit::{Answer, Outcome, Sandbox, Terminal, eventually, story};
use nix::sys::signal::Signal;

use fake::{Failing, Fake, error};

/// How long a call may take to come.
const LIMIT: Duration = Duration::from_secs(30);

/// The settings file of a sandbox.
fn settings(sandbox: &Sandbox) -> String {
    let folder = sandbox.get("XDG_CONFIG_HOME").expect("a folder for settings");
    std::fs::read_to_string(format!("{folder}/awsb/config.toml")).unwrap_or_default()
}

fn create(sandbox: &Sandbox) -> Outcome {
    sandbox.run("bcluster", ["create", "lab", "--yes"])
}

#[story]
fn a_cluster_is_made_and_is_in_the_settings() {
    let aws = Fake::start();
    let sandbox = aws.sandbox();
    let outcome = create(&sandbox).ok();
    assert!(outcome.stdout.starts_with("The cluster lab is ready (eu-west-1, "), "{outcome}");
    assert!(outcome.stdout.ends_with("\n  bsub -c lab script.sh\n"), "{outcome}");
    assert_eq!(settings(&sandbox), "[cluster.lab]\nstack = \"lab\"\nregion = \"eu-west-1\"\n");
    assert_eq!(aws.changes(), ["CreateChangeSet", "ExecuteChangeSet"]);
    let sent = &aws.calls("CreateChangeSet")[0];
    assert_eq!(sent.get("ChangeSetType"), "CREATE");
    assert_eq!(sent.get("Tags.member.1.Key"), "awsb:cluster");
    assert_eq!(sent.get("ChangeSetName"), format!("awsb-{}", sent.get("ClientToken")));
    assert!(sent.get("TemplateBody").contains("AWS::Batch::ComputeEnvironment"));
    // A second time it is there.
    let again = create(&sandbox);
    assert!(again.failed_with(2).contains("there is a cluster `lab` in eu-west-1 already"), "{again}");
    assert_eq!(aws.made(), 1);
}

#[story]
fn the_default_is_set_only_when_it_is_asked_for() {
    let aws = Fake::start();
    let sandbox = aws.sandbox();
    sandbox.config("# mine\n[cluster.old]\nstack = \"old\"\n");
    sandbox.run("bcluster", ["create", "lab", "--yes", "--default"]).ok();
    assert_eq!(
        settings(&sandbox),
        "default_cluster = \"lab\"\n\n# mine\n[cluster.old]\nstack = \"old\"\n\n[cluster.lab]\nstack = \"lab\"\n\
         region = \"eu-west-1\"\n"
    );
}

#[story]
fn a_plan_makes_nothing() {
    let aws = Fake::start();
    let sandbox = aws.sandbox();
    let plan = sandbox.run("bcluster", ["create", "lab", "--plan"]).ok();
    assert!(plan.stdout.contains("The cluster lab in eu-west-1 will have:"), "{plan}");
    assert!(plan.stdout.contains("environment spot: spot, default_x86_64, at most 256 vCPUs"), "{plan}");
    assert!(plan.stdout.contains("it costs only what is stored"), "{plan}");
    sandbox.run("bcluster", ["create", "lab", "--plan", "--exit-code"]).ended_with(3);
    assert_eq!(aws.calls("ExecuteChangeSet").len(), 0);
    assert_eq!(aws.status().as_deref(), Some("DELETE_COMPLETE"), "the empty stack is removed");
    assert_eq!(settings(&sandbox), "");
    let json = sandbox.run("bcluster", ["create", "lab", "--plan", "--json"]).ok().json();
    assert_eq!(json[0]["logicalResourceId"], "Bucket");
    assert_eq!(json[0]["action"], "Add");
}

#[story]
fn nobody_is_asked_without_a_terminal() {
    let aws = Fake::start();
    let sandbox = aws.sandbox();
    let outcome = sandbox.run("bcluster", ["create", "lab"]);
    assert!(outcome.failed_with(2).contains("refusing to make a cluster without asking"), "{outcome}");
    assert_eq!(aws.changes(), [""; 0]);
    // On a terminal the answer counts.
    let mut asked = Terminal::new(120).start(&sandbox, "bcluster", ["create", "lab"]);
    asked.until("the question", |screen| screen.contains("Make the cluster lab? [y/N]"));
    asked.types("n\n");
    asked.wait().ended_with(1);
    assert_eq!(aws.calls("ExecuteChangeSet").len(), 0);
    let mut asked = Terminal::new(120).start(&sandbox, "bcluster", ["create", "lab"]);
    asked.until("the question", |screen| screen.contains("Make the cluster lab? [y/N]"));
    asked.types("y\n");
    asked.until("the second question", |screen| screen.contains("Make lab the default cluster? [y/N]"));
    asked.types("y\n");
    let seen = asked.wait().ok();
    assert!(settings(&sandbox).starts_with("default_cluster = \"lab\"\n"), "{}", settings(&sandbox));
    assert!(seen.screen().contains("The cluster lab is ready"), "{}", seen.screen());
}

/// An answer that does not come: the call is carried out.
fn lost() -> Option<(Answer, bool)> {
    Some((Answer::Reset, true))
}

#[story]
fn an_answer_that_is_lost_makes_no_second_cluster() {
    for action in ["CreateChangeSet", "DescribeChangeSet", "ExecuteChangeSet", "DescribeStackEvents"] {
        let aws = Fake::with_faults(
            move |call, before| {
                if call.action == action && before < 2 { lost() } else { None }
            },
        );
        let sandbox = aws.sandbox();
        create(&sandbox).ok();
        assert_eq!(aws.made(), 1, "{action}");
        assert_eq!(aws.status().as_deref(), Some("CREATE_COMPLETE"), "{action}");
    }
}

#[story]
fn throttled_calls_are_made_again() {
    let aws = Fake::with_faults(|call, before| {
        let is_of_stack = call.action.contains("Stack") || call.action.contains("ChangeSet");
        (before == 0 && is_of_stack).then(|| (error("Throttling", "Rate exceeded"), false))
    });
    create(&aws.sandbox()).ok();
    assert_eq!(aws.made(), 1);
}

#[story]
fn a_run_that_is_killed_at_any_call_goes_on_the_next_time() {
    for action in ["CreateChangeSet", "DescribeChangeSet", "ExecuteChangeSet", "DescribeStackEvents"] {
        for is_done in [false, true] {
            let once = AtomicBool::new(false);
            let aws = Fake::with_faults(move |call, _| {
                let is_first = call.action == action && !once.swap(true, Ordering::SeqCst);
                is_first.then_some((Answer::Hang, is_done))
            });
            let sandbox = aws.sandbox();
            let running = sandbox.start("bcluster", ["create", "lab", "--yes"]);
            eventually("the call", LIMIT, || aws.calls(action).pop());
            running.signal(Signal::SIGKILL);
            running.wait();
            let outcome = create(&sandbox).ok();
            assert!(outcome.stdout.contains("The cluster lab is ready"), "{action} {is_done}: {outcome}");
            assert_eq!(aws.made(), 1, "{action} {is_done}");
            assert_eq!(aws.calls("DeleteStack").len(), 0, "{action} {is_done}");
            assert!(settings(&sandbox).contains("[cluster.lab]"), "{action} {is_done}");
        }
    }
}

#[story]
fn another_configuration_replaces_what_was_begun_and_not_made() {
    let aws = Fake::with_faults(|call, before| {
        (call.action == "ExecuteChangeSet" && before == 0)
            .then(|| (error("ValidationError", "not now"), false))
    });
    let sandbox = aws.sandbox();
    create(&sandbox).ended_with(1);
    sandbox.file("lab.toml", "[environment.big]\ntype = \"on-demand\"\nmax = 1000\n");
    sandbox.run("bcluster", ["create", "lab", "--yes", "-f", "lab.toml"]).ok();
    assert_eq!(
        aws.changes(),
        ["CreateChangeSet", "ExecuteChangeSet", "DeleteStack", "CreateChangeSet", "ExecuteChangeSet"]
    );
}

#[story]
fn a_failure_is_told_by_its_cause_and_leaves_nothing() {
    let aws = Fake::start();
    aws.fails(Failing {
        id: "EnvironmentSpot",
        kind: "AWS::Batch::ComputeEnvironment",
        reason: "Resource handler returned message: \"User: arn:aws:iam::111122223333:user/me is not authorized to \
                 perform: batch:CreateComputeEnvironment on resource: * (Service: Batch, Status Code: 403)\" \
                 (RequestToken: 1, HandlerErrorCode: AccessDenied)"
            .into(),
    });
    let sandbox = aws.sandbox();
    let outcome = create(&sandbox).ended_with(1);
    assert!(
        outcome.stderr.contains(
            "bcluster: error: creating the cluster lab: the compute environment EnvironmentSpot failed: \
             arn:aws:iam::111122223333:user/me has no permission for batch:CreateComputeEnvironment"
        ),
        "{outcome}"
    );
    assert!(outcome.hints().contains("bcluster policy admin"), "{outcome}");
    assert!(outcome.hints().contains("`--part N`"), "{outcome}");
    assert!(outcome.hints().contains("nothing is left"), "{outcome}");
    assert_eq!(aws.status().as_deref(), Some("DELETE_COMPLETE"));
    assert_eq!(settings(&sandbox), "");
    // The name is free again.
    create(&sandbox).ok();
}

#[story]
fn what_a_killed_run_left_of_a_failure_is_removed_first() {
    for status in ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "REVIEW_IN_PROGRESS"] {
        let aws = Fake::start();
        aws.has_stack(status, &[("awsb:cluster", "lab")]);
        create(&aws.sandbox()).ok();
        assert_eq!(aws.changes(), ["DeleteStack", "CreateChangeSet", "ExecuteChangeSet"], "{status}");
    }
}

#[story]
fn a_name_that_is_taken_is_refused_before_anything_is_sent() {
    for (status, tags, words) in [
        ("CREATE_COMPLETE", vec![("awsb:cluster", "lab")], "there is a cluster `lab`"),
        ("CREATE_IN_PROGRESS", vec![("awsb:cluster", "lab")], "being created by somebody else"),
        (
            "ROLLBACK_COMPLETE",
            vec![("Name", "web")],
            "a CloudFormation stack `lab` in eu-west-1 that is not a cluster",
        ),
        ("CREATE_COMPLETE", vec![("parallelcluster:version", "3.12.0")], "that is not a cluster"),
    ] {
        let aws = Fake::start();
        aws.has_stack(status, &tags);
        let outcome = create(&aws.sandbox());
        assert!(outcome.failed_with(2).contains(words), "{outcome}");
        assert_eq!(aws.changes(), [""; 0], "{status}");
    }
    let aws = Fake::start();
    let sandbox = aws.sandbox();
    sandbox.config("[cluster.lab]\nbucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d\"\n");
    let outcome = create(&sandbox);
    assert!(outcome.failed_with(2).contains("has another cluster `lab`"), "{outcome}");
    assert!(create_named(&sandbox, "local").failed_with(2).contains("`local` belongs to the local cluster"));
    assert!(create_named(&sandbox, "1st").failed_with(2).contains("begins with a letter"));
}

fn create_named(sandbox: &Sandbox, name: &str) -> Outcome {
    sandbox.run("bcluster", ["create", name, "--yes"])
}

#[story]
fn a_wrong_configuration_is_one_line_and_sends_nothing() {
    let aws = Fake::start();
    let sandbox = aws.sandbox();
    for (text, words) in [
        ("[environment.a]\ntype = \"spott\"\n", "line 2"),
        ("[environment.a]\ntype = \"spot\"\nmaxx = 3\n", "unknown key `maxx`"),
        ("[environment.a]\ntype = \"fargate\"\nami = \"ami-0123456789abcdef0\"\n", "instances of EC2"),
        ("[queue.a]\nenvironments = [\"b\"]\n", "[environment.b]"),
        ("[environment\n", "line 1"),
    ] {
        sandbox.file("lab.toml", text);
        let outcome = sandbox.run("bcluster", ["create", "lab", "--yes", "-f", "lab.toml"]);
        let message = outcome.failed_with(2);
        assert!(message.contains(words) && message.contains("lab.toml"), "{outcome}");
    }
    let outcome = sandbox.run("bcluster", ["create", "lab", "--yes", "-f", "none.toml"]);
    assert!(outcome.failed_with(2).contains("reading the cluster configuration none.toml"), "{outcome}");
    assert_eq!(aws.changes(), [""; 0]);
}

#[story]
fn a_region_without_a_default_vpc_says_what_to_write() {
    let aws = Fake::with_faults(|call, _| {
        let none = "<DescribeVpcsResponse><vpcSet/></DescribeVpcsResponse>".to_owned();
        let headers = vec![("content-type", "text/xml".into())];
        (call.action == "DescribeVpcs").then_some((Answer::Http(200, none, headers), false))
    });
    let outcome = create(&aws.sandbox());
    assert!(outcome.failed_with(2).contains("the region has no default VPC"), "{outcome}");
    assert!(outcome.hints().contains("vpc = \"new\""), "{outcome}");
    assert_eq!(aws.changes(), [""; 0]);
}

#[story]
fn a_missing_permission_names_the_policy() {
    let aws = Fake::with_faults(|call, _| {
        let message = "User: arn:aws:iam::1:user/me is not authorized to perform: cloudformation:CreateChangeSet on \
                       resource: *";
        (call.action == "CreateChangeSet").then(|| (error("AccessDenied", message), false))
    });
    let outcome = create(&aws.sandbox());
    assert!(outcome.failed_with(1).contains("no permission for cloudformation:CreateChangeSet"), "{outcome}");
    assert!(outcome.hints().contains("`bcluster policy admin`"), "{outcome}");
}

#[story]
fn a_signal_leaves_the_creation_to_aws() {
    let aws =
        Fake::with_faults(|call, _| (call.action == "DescribeStackEvents").then_some((Answer::Hang, false)));
    let sandbox = aws.sandbox();
    let running = sandbox.start("bcluster", ["create", "lab", "--yes"]);
    eventually("a call for events", LIMIT, || aws.calls("DescribeStackEvents").pop());
    running.signal(Signal::SIGINT);
    let outcome = running.wait().ended_with(130);
    assert!(outcome.stderr.contains("AWS goes on creating the cluster lab"), "{outcome}");
    assert!(outcome.stderr.contains("`bcluster show lab --wait` follows it"), "{outcome}");
}

#[story]
fn credentials_that_expire_in_the_middle_are_told_and_the_same_command_goes_on() {
    for action in ["CreateChangeSet", "DescribeChangeSet", "ExecuteChangeSet", "DescribeStackEvents"] {
        let is_expired = Arc::new(AtomicBool::new(true));
        let expired = Arc::clone(&is_expired);
        let aws = Fake::with_faults(move |call, _| {
            let message = "The security token included in the request is expired";
            (call.action == action && expired.load(Ordering::SeqCst))
                .then(|| (error("ExpiredToken", message), false))
        });
        let mut sandbox = aws.sandbox();
        sandbox.set("AWSB_CONTACT_TIMEOUT", "1");
        let outcome = create(&sandbox).ended_with(1);
        let lines = outcome.stderr.lines().filter(|line| line.starts_with("bcluster: error: "));
        let lines: Vec<&str> = lines.collect();
        assert!(lines.len() == 1 && lines[0].contains("expired"), "{action}: {outcome}");
        assert!(outcome.hints().contains("aws sso login"), "{action}: {outcome}");
        is_expired.store(false, Ordering::SeqCst);
        let again = create(&sandbox).ok();
        assert!(again.stdout.contains("The cluster lab is ready"), "{action}: {again}");
        assert_eq!((aws.made(), aws.calls("DeleteStack").len()), (1, 0), "{action}");
        assert_eq!(settings(&sandbox).matches("[cluster.lab]").count(), 1, "{action}");
    }
}

#[story]
fn cloudformation_acts_with_the_role_that_is_named() {
    let aws = Fake::start();
    let sandbox = aws.sandbox();
    let role = "arn:aws:iam::111122223333:role/clusters";
    sandbox.run("bcluster", ["create", "lab", "--yes", "--service-role", role]).ok();
    assert_eq!(aws.calls("CreateChangeSet")[0].get("RoleARN"), role);
    let wrong = sandbox.run("bcluster", ["create", "lab", "--yes", "--service-role", "clusters"]);
    assert!(wrong.failed_with(2).contains("--service-role"), "{wrong}");
}

#[story]
fn a_change_set_that_somebody_has_removed_is_not_awaited() {
    let aws = Fake::with_faults(|call, _| {
        let body = "<DescribeChangeSetResponse><DescribeChangeSetResult><Status>DELETE_COMPLETE</Status>\
                    </DescribeChangeSetResult></DescribeChangeSetResponse>";
        let answer = || Answer::Http(200, body.to_owned(), vec![("content-type", "text/xml".into())]);
        (call.action == "DescribeChangeSet").then(|| (answer(), false))
    });
    let outcome = create(&aws.sandbox());
    assert!(outcome.failed_with(1).contains("somebody has removed the change set awsb-"), "{outcome}");
}

#[story]
fn an_execution_whose_token_is_known_is_followed() {
    let aws = Fake::with_faults(|call, before| {
        let known = || error("TokenAlreadyExistsException", "A client request token already exists");
        (call.action == "ExecuteChangeSet" && before == 0).then(|| (known(), true))
    });
    let outcome = create(&aws.sandbox()).ok();
    assert!(outcome.stdout.starts_with("The cluster lab is ready"), "{outcome}");
}

/// CloudFormation takes no file system over by itself: it has no name of its own.
#[story]
fn a_file_system_of_an_earlier_cluster_is_named() {
    let aws = Fake::with_faults(|call, _| {
        let system = |id: &str, cluster: &str| serde_json::json!({ "FileSystemId": id, "Tags": [{ "Key": "awsb:cluster", "Value": cluster }] });
        let systems = [system("fs-0123abcd", "lab"), system("fs-4567ef01", "other")];
        let answer = Answer::json(serde_json::json!({ "FileSystems": systems }));
        (call.action == "elasticfilesystem").then_some((answer, false))
    });
    let sandbox = aws.sandbox();
    sandbox.file("lab.toml", "[shared.home]\npath = \"/home\"\n");
    let made = sandbox.run("bcluster", ["create", "lab", "--yes", "-f", "lab.toml"]).ok();
    assert!(made.stderr.contains("an earlier cluster lab has kept the file system fs-0123abcd"), "{made}");
    assert!(made.stderr.contains("`aws efs delete-file-system --file-system-id fs-0123abcd`"), "{made}");
    assert!(!made.stderr.contains("fs-4567ef01"), "{made}");
}
