//! Images that CodeBuild builds: what a user sees of a build, and what becomes of it when something
//! goes wrong.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use awsb_testkit::{
    Answer, BadServer, BuildServer, Course, DIGEST, Intervention, Moto, MotoCluster, Sandbox, Terminal,
    eventually, story,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const REPOSITORY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/lab/genomics";

fn id() -> String {
    format!("images:{}", BuildServer::UUID)
}

#[story]
fn a_build_is_followed_and_ends_with_the_image() {
    let server = BuildServer::start(Course::default());
    let sandbox = server.sandbox();
    let built = sandbox.run("bimage", ["build", "context", "--tag", "t1"]).ok();
    assert_eq!(built.stdout, format!("{REPOSITORY}@{DIGEST}\n"));
    insta::assert_snapshot!(built.stderr);
    let json = sandbox.run("bimage", ["build", "context", "--tag", "t1", "--json", "--quiet"]).ok();
    assert_eq!(json.stderr, "");
    assert_eq!(
        json.json(),
        json!([{
            "imageUri": format!("{REPOSITORY}:t1"),
            "imageTag": "t1",
            "imageDigest": DIGEST,
            "image": format!("{REPOSITORY}@{DIGEST}"),
            "buildId": "images:00000000-0000-4000-8000-000000000002",
            "earlier": false,
        }])
    );
}

#[story]
fn the_request_has_all_that_the_build_needs() {
    let server = BuildServer::start(Course::default());
    let sandbox = server.sandbox();
    sandbox.file("context/sub/Dockerfile.x", "FROM scratch\n");
    let args = [
        "build",
        "context",
        "-f",
        "sub/Dockerfile.x",
        "--build-arg",
        "A=it's \"b\" $c",
        "--build-arg",
        "NOT_SET",
    ];
    // The file is within the folder.
    sandbox.run("bimage", args).ok();
    let request = server.requests("StartBuild").remove(0);
    let variable = |name: &str| {
        let all = request["environmentVariablesOverride"].as_array().expect("variables");
        let found = all.iter().find(|v| v["name"] == name).unwrap_or_else(|| panic!("no {name}"));
        found["value"].as_str().expect("text").to_owned()
    };
    assert_eq!(request["projectName"], "images");
    assert_eq!(request["sourceTypeOverride"], "NO_SOURCE");
    assert_eq!(request["artifactsOverride"]["type"], "NO_ARTIFACTS");
    assert_eq!(request["privilegedModeOverride"], true);
    assert_eq!(request["buildspecOverride"], include_str!("../../buildspec.yml"));
    assert_eq!(request.get("environmentTypeOverride"), None);
    assert_eq!(variable("AWSB_IMAGE"), REPOSITORY);
    assert_eq!(variable("AWSB_DOCKERFILE"), "sub/Dockerfile.x");
    assert_eq!(variable("AWSB_BUILD_ARGS"), r#"'A=it'\''s "b" $c'"#);
    assert_eq!(
        (variable("AWSB_PLATFORM"), variable("AWSB_FROM_CONTENT")),
        ("linux/amd64".into(), "yes".into())
    );
    let context = variable("AWSB_CONTEXT");
    assert!(context.starts_with("s3://b/") && context.ends_with(".tar.gz"), "{context}");
    let tag = variable("AWSB_TAG");
    assert!(tag.len() >= 12 && tag.bytes().all(|b| b.is_ascii_hexdigit()), "{tag}");
    // The request has no secret: no key, no token of a registry.
    assert!(!request.to_string().contains(sandbox.get("AWS_SECRET_ACCESS_KEY").expect("a key")));
}

#[story]
fn the_machine_is_one_of_the_platform() {
    for (environment, platform, kind) in [
        ("LINUX_CONTAINER", "linux/arm64", Some("ARM_CONTAINER")),
        ("ARM_CONTAINER", "linux/amd64", Some("LINUX_CONTAINER")),
        ("ARM_CONTAINER", "linux/arm64", None),
        ("LINUX_EC2", "amd64", None),
    ] {
        let server = BuildServer::start(Course { environment, ..Course::default() });
        let sandbox = server.sandbox();
        sandbox.run("bimage", ["build", "context", "--platform", platform]).ok();
        let request = server.requests("StartBuild").remove(0);
        let output = request.get("environmentTypeOverride").and_then(Value::as_str);
        assert_eq!(output, kind, "{environment} {platform}");
        assert_eq!(request.get("imageOverride").is_some(), kind.is_some());
    }
    // Who may not look at the project leaves it as it is.
    let server = BuildServer::disturbed(Course::default(), |operation, _| match operation {
        "BatchGetProjects" => Intervention::Answer(Answer::error(400, "AccessDeniedException", "no")),
        _ => Intervention::None,
    });
    server.sandbox().run("bimage", ["build", "context", "--platform", "linux/arm64"]).ok();
    assert_eq!(server.requests("StartBuild")[0].get("environmentTypeOverride"), None);
}

#[story]
fn an_image_is_for_the_machines_of_its_queue_and_each_kind_has_its_own() {
    let built = |instances, environment, args: &[&str]| {
        let server = BuildServer::start(Course { instances, environment, ..Course::default() });
        server.sandbox().run("bimage", [&["build", "context"], args].concat()).ok();
        let request = server.requests("StartBuild").remove(0);
        let variable = |name: &str| {
            let mut all = request["environmentVariablesOverride"].as_array().into_iter().flatten();
            all.find(|v| v["name"] == name).and_then(|v| v["value"].as_str()).unwrap_or_default().to_owned()
        };
        (variable("AWSB_PLATFORM"), variable("AWSB_TAG"), request["environmentTypeOverride"].clone())
    };
    let (platform, on_arm, kind) = built(&["c7g", "m7g.large"], "LINUX_CONTAINER", &[]);
    assert_eq!((platform.as_str(), kind), ("linux/arm64", json!("ARM_CONTAINER")));
    let (platform, on_intel, kind) = built(&["optimal"], "LINUX_CONTAINER", &[]);
    assert_eq!((platform.as_str(), kind), ("linux/amd64", Value::Null));
    assert_ne!(on_arm, on_intel);
    // The platform of the command line comes first, and results in the same image.
    let asked = built(&["optimal"], "ARM_CONTAINER", &["--platform", "linux/arm64"]);
    assert_eq!(asked, ("linux/arm64".into(), on_arm.clone(), Value::Null));
    // Where the queue does not tell, it is the project.
    for instances in [&["c5", "c7g"][..], &[]] {
        let report = built(instances, "ARM_CONTAINER", &[]);
        assert_eq!(report, ("linux/arm64".into(), on_arm.clone(), Value::Null), "{instances:?}");
    }
}

#[story]
fn the_same_content_is_built_once() {
    let server = BuildServer::start(Course { images: vec![("*", DIGEST)], ..Course::default() });
    let sandbox = server.sandbox();
    let built = sandbox.run("bimage", ["build", "context"]).ok();
    assert_eq!(built.stdout, format!("{REPOSITORY}@{DIGEST}\n"));
    assert!(built.stderr.contains("is already there; `--force` builds it again"), "{built}");
    assert_eq!(server.builds(), 0);
    sandbox.run("bimage", ["build", "context", "--force"]).ok();
    assert_eq!(server.builds(), 1);
}

#[story]
fn quiet_shows_no_bar_on_a_terminal() {
    let server = BuildServer::start(Course { images: vec![("*", DIGEST)], ..Course::default() });
    let sandbox = server.sandbox();
    let large = std::fs::File::create(sandbox.file("context/large", "")).expect("a file");
    let shown = |args: &[&str]| Terminal::new(100).run(&sandbox, "bimage", args).ok().written;
    // The bar comes when reading takes its time. How much that takes depends on the machine.
    let mut length = 16 << 20;
    let loud = loop {
        large.set_len(length).expect("a length");
        let loud = shown(&["build", "context"]);
        if loud.contains("reading the build context") || length > 8 << 30 {
            break loud;
        }
        length *= 2;
    };
    assert!(loud.contains("reading the build context"), "{loud}");
    large.set_len(length + 1).expect("a length");
    let quiet = shown(&["build", "context", "--quiet"]);
    assert!(!quiet.contains("reading the build context"), "{quiet}");
}

#[story]
fn a_step_that_fails() {
    let server = BuildServer::start(Course::failing());
    let sandbox = server.sandbox();
    let failed = sandbox.run("bimage", ["build", "context", "--tag", "t1"]).ended_with(1);
    assert_eq!(failed.stdout, "");
    insta::assert_snapshot!(failed.stderr);
}

#[story]
fn a_step_that_fails_quietly_has_its_last_lines_shown() {
    let server = BuildServer::start(Course::failing());
    let failed = server.sandbox().run("bimage", ["build", "context", "--tag", "t1", "--quiet"]).ended_with(1);
    let lines: Vec<&str> = failed.stderr.lines().collect();
    assert_eq!(lines[0], "line 22", "{failed}");
    assert_eq!(lines[19], "The command '/bin/sh -c exit 7' returned a non-zero code: 7");
    assert!(lines[20].starts_with("bimage: error: "), "{failed}");
}

#[story]
fn the_commands_in_a_log_are_no_cause() {
    let step = "The command '/bin/sh -c exit 7' returned a non-zero code: 7";
    let server = BuildServer::start(Course::failing_with_its_commands());
    let failed = server.sandbox().run("bimage", ["build", "context", "--tag", "t1", "--quiet"]).ended_with(1);
    let expected = format!("\nbimage: error: the build {} has failed in its phase BUILD: {step}\n", id());
    assert!(failed.stderr.contains(&expected), "{failed}");
    // Nor are they what is shown of its end.
    assert!(failed.stderr.contains(&format!("line 40\n{step}\n")), "{failed}");
    for output in ["received unexpected HTTP status: 500 Internal Server Error", "denied: you may not"] {
        let server = BuildServer::start(Course::refused(output));
        let failed = server.sandbox().run("bimage", ["build", "context", "--tag", "t1", "-q"]).ended_with(1);
        let expected =
            format!("\nbimage: error: the build {} has failed in its phase POST_BUILD: {output}\n", id());
        assert!(failed.stderr.contains(&expected), "{failed}");
    }
}

#[story]
fn a_repository_that_has_gone_is_looked_for_again() {
    let output =
        "name unknown: The repository with name 'lab/genomics' does not exist in the registry with id '1'";
    let server =
        BuildServer::disturbed(Course::refused(output), |operation, before| match (operation, before) {
            ("DescribeRepositories", 1..) => {
                Intervention::Answer(Answer::error(400, "RepositoryNotFoundException", "no"))
            }
            _ => Intervention::None,
        });
    let failed = server.sandbox().run("bimage", ["build", "context", "--tag", "t1"]).ended_with(1);
    let expected =
        "\nbimage: error: there is no repository lab/genomics in ECR (cluster far, region eu-west-1)\n";
    assert!(failed.stderr.contains(expected), "{failed}");
    assert_eq!((server.builds(), server.requests("DescribeRepositories").len()), (1, 2));
}

#[story]
fn the_tool_that_builds_says_so() {
    let definition = json!({"jobDefinitions": [{
        "jobDefinitionName": "d", "jobDefinitionArn": "arn:aws:batch:eu-west-1:123456789012:job-definition/d:1",
        "revision": 1, "status": "ACTIVE", "type": "container", "containerProperties": {"image": "i"}}]});
    let server = BuildServer::disturbed(Course::failing(), move |operation, _| match operation {
        // Batch's.
        "POST" => Intervention::Answer(Answer::json(definition.clone())),
        _ => Intervention::None,
    });
    let failed = server.sandbox().run("bsub", ["--build", "context", "--wrap", "true"]).ended_with(1);
    assert!(failed.stderr.contains(&format!("bsub: build {} has been started\n", id())), "{failed}");
    assert!(failed.stderr.contains("\nbsub: BUILD FAILED"), "{failed}");
    assert!(!failed.stderr.contains("bimage: "), "{failed}");
    let hints = server
        .sandbox_with("builder = \"codebuild\"\necr_repository = \"lab/genomics\"\n")
        .run("bsub", ["--build", "context", "--wrap", "true"])
        .hints();
    assert!(!hints.contains("--builder") && hints.contains("codebuild_project"), "{hints}");
}

#[story]
fn a_lost_answer_starts_no_second_build() {
    let server = BuildServer::disturbed(Course::default(), |operation, before| match (operation, before) {
        ("StartBuild", 0..2) => Intervention::Lost,
        _ => Intervention::None,
    });
    server.sandbox().run("bimage", ["build", "context"]).ok();
    let requests = server.requests("StartBuild");
    assert_eq!((server.builds(), requests.len()), (1, 3));
    assert_eq!(requests[0], requests[2]);
}

#[story]
fn contact_that_is_lost_for_a_while() {
    let server = BuildServer::disturbed(Course::default(), |operation, before| match (operation, before) {
        ("BatchGetBuilds", 1..8) => Intervention::Answer(Answer::Reset),
        ("BatchGetBuilds", 8..16) => {
            Intervention::Answer(Answer::error(400, "ThrottlingException", "Rate exceeded"))
        }
        _ => Intervention::None,
    });
    let built = server.sandbox().run("bimage", ["build", "context"]).ok();
    assert!(
        built.stderr.contains("bimage: contact lost, trying again: looking at the build images:"),
        "{built}"
    );
    assert_eq!(server.builds(), 1);
}

#[story]
fn contact_that_is_lost_for_good() {
    let server = BuildServer::disturbed(Course::default(), |operation, before| match (operation, before) {
        ("BatchGetBuilds", 1..) => Intervention::Answer(Answer::Reset),
        _ => Intervention::None,
    });
    let mut sandbox = server.sandbox();
    sandbox.set("AWSB_CONTACT_TIMEOUT", "1");
    let lost = sandbox.run("bimage", ["build", "context"]).ended_with(125);
    let line = format!("bimage: error: contact with the build {} is lost; it goes on: ", id());
    assert!(lost.stderr.contains(&line), "{lost}");
    assert!(lost.hints().contains(&format!("`bimage logs --follow {}` follows it", id())), "{lost}");
}

#[story]
fn what_codebuild_refuses_is_said_in_one_line() {
    let denied = "User: arn:aws:iam::123456789012:user/me is not authorized to perform: codebuild:StartBuild on \
                  resource: arn:aws:codebuild:eu-west-1:123456789012:project/images because no identity-based policy \
                  allows the codebuild:StartBuild action";
    let mut messages = String::new();
    for (code, message) in [
        (
            "ResourceNotFoundException",
            "Project cannot be found: arn:aws:codebuild:eu-west-1:123456789012:project/images",
        ),
        ("AccountLimitExceededException", "Cannot have more than 60 builds in queue for the account"),
        ("AccessDeniedException", denied),
        ("InvalidInputException", "Invalid image"),
    ] {
        let server = BuildServer::disturbed(Course::default(), move |operation, _| match operation {
            "StartBuild" => Intervention::Answer(Answer::error(400, code, message)),
            _ => Intervention::None,
        });
        let refused = server.sandbox().run("bimage", ["build", "context"]);
        refused.failed_with(1);
        messages += &format!("{}\n", refused.stderr);
        assert_eq!(server.requests("StartBuild").len(), 1);
    }
    insta::assert_snapshot!(messages);
}

#[story]
fn settings_that_will_not_do_are_named_before_anything_is_sent() {
    let server = BuildServer::start(Course::default());
    let mut messages = String::new();
    for settings in [
        "ecr_repository = \"lab/genomics\"\n",
        "codebuild_project = \"images\"\n",
        "codebuild_project = \"images\"\necr_repository = \"registry.example.org/lab/genomics\"\n",
    ] {
        let sandbox = server.sandbox_with(settings);
        let refused = sandbox.run("bimage", ["build", "context", "--builder", "codebuild"]);
        refused.failed_with(2);
        messages += &format!("{}\n", refused.stderr);
    }
    insta::assert_snapshot!(messages);
    assert_eq!((server.builds(), server.requests("PUT").len()), (0, 0));
}

#[story]
fn ctrl_c_without_a_terminal_leaves_the_build_alone() {
    let server = BuildServer::start(Course { stays_in: Some("BUILD"), ..Course::default() });
    let sandbox = server.sandbox();
    let building = sandbox.start("bimage", ["build", "context"]);
    eventually("the build is followed", Duration::from_secs(60), || (server.looks() > 5).then_some(()));
    building.signal(Signal::SIGINT);
    let ended = building.wait().ended_with(130);
    assert!(
        ended.stderr.contains(&format!("bimage: error: interrupted; the build {} goes on\n", id())),
        "{ended}"
    );
    assert!(!server.was_stopped());
}

#[story]
fn a_signal_leaves_the_build_alone_and_ends_the_tool_by_itself() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let server = BuildServer::start(Course { stays_in: Some("BUILD"), ..Course::default() });
        let sandbox = server.sandbox();
        // On a terminal, too, nobody is asked.
        let mut building =
            Terminal::new(100).without_stdout().start(&sandbox, "bimage", ["build", "context"]);
        building.until("the log", |screen| screen.contains("line 3"));
        building.signal(signal);
        let ended = building.wait().ended_with(code);
        assert_eq!(ended.status.signal(), Some(signal as i32));
        let output = format!("bimage: error: interrupted by {signal}; the build {} goes on\n", id());
        assert!(ended.written.contains(&output), "{}", ended.written);
        assert!(ended.written.contains(&format!("`bimage logs --follow {}`", id())), "{}", ended.written);
        assert!(!server.was_stopped());

        let following = sandbox.start("bimage", ["logs", "--follow", &id()]);
        let looks = server.looks();
        eventually("it is followed", Duration::from_secs(60), || (server.looks() > looks + 2).then_some(()));
        following.signal(signal);
        let ended = following.wait().ended_with(code);
        assert!(ended.stderr.contains(&format!("the build {} goes on\n", id())), "{ended}");
    }
}

#[story]
fn ctrl_c_ends_the_search_for_contact() {
    let server = BuildServer::disturbed(Course::default(), |operation, _| match operation {
        "StartBuild" => Intervention::Answer(Answer::Reset),
        _ => Intervention::None,
    });
    let sandbox = server.sandbox();
    let building = sandbox.start("bimage", ["build", "context"]);
    let is_tried = || (server.requests("StartBuild").len() > 5).then_some(());
    eventually("the start is tried again", Duration::from_secs(60), is_tried);
    building.signal(Signal::SIGINT);
    let ended = building.wait().ended_with(130);
    let expected = "bimage: error: interrupted; whether the CodeBuild project images has started the build is not known\n";
    assert!(ended.stderr.contains(expected), "{ended}");
}

#[story]
fn ctrl_c_on_a_terminal_asks_whether_to_stop() {
    for (answer, stops) in [("y\n", true), ("\n", false)] {
        let server = BuildServer::start(Course { stays_in: Some("BUILD"), ..Course::default() });
        let sandbox = server.sandbox();
        let mut building =
            Terminal::new(100).without_stdout().start(&sandbox, "bimage", ["build", "context"]);
        building.until("the log", |screen| screen.contains("line 3"));
        building.until("the phase", |screen| screen.contains("bimage: BUILD 0:0"));
        building.signal(Signal::SIGINT);
        building.until("the question", |screen| screen.ends_with("\nStop the build? [y/N]\n"));
        building.types(answer);
        let ended = building.wait().ended_with(130);
        let output = if stops { "is stopped" } else { "goes on" };
        assert!(
            ended.written.contains(&format!("interrupted; the build {} {output}", id())),
            "{}",
            ended.written
        );
        assert_eq!(server.was_stopped(), stops);
    }
}

#[story]
fn ctrl_c_twice_is_no_answer() {
    let server = BuildServer::start(Course { stays_in: Some("BUILD"), ..Course::default() });
    let sandbox = server.sandbox();
    let mut building = Terminal::new(100).without_stdout().start(&sandbox, "bimage", ["build", "context"]);
    building.until("the log", |screen| screen.contains("line 3"));
    building.signal(Signal::SIGINT);
    building.until("the question", |screen| screen.contains("Stop the build? [y/N]"));
    building.signal(Signal::SIGINT);
    let ended = building.wait().ended_with(130);
    assert!(ended.written.contains("goes on"), "{}", ended.written);
    assert!(!server.was_stopped());
}

#[story]
fn a_log_that_cannot_be_had_is_no_reason_to_fail() {
    let elsewhere = json!({
        "cloudWatchLogs": { "status": "DISABLED" },
        "s3DeepLink": "https://s3.console.aws.amazon.com/s3/object/logs/x.gz",
    });
    let server = BuildServer::start(Course { logs: Some(elsewhere), ..Course::default() });
    let built = server.sandbox().run("bimage", ["build", "context"]).ok();
    let note = "bimage: note: the project writes no log to CloudWatch Logs; it is at https://s3.console.aws.amazon.com/s3/object/logs/x.gz\n";
    assert_eq!(built.stderr.matches(note).count(), 1, "{built}");
    let server = BuildServer::disturbed(Course::default(), |operation, _| match operation {
        "GetLogEvents" => Intervention::Answer(Answer::error(400, "AccessDeniedException", "no")),
        _ => Intervention::None,
    });
    let built = server.sandbox().run("bimage", ["build", "context"]).ok();
    assert_eq!(built.stderr.matches("bimage: note: the log is not shown: ").count(), 1, "{built}");
}

#[story]
fn the_digest_is_ecrs_where_the_build_exports_none() {
    let course = || Course { exported: Vec::new(), ..Course::default() };
    let server = BuildServer::start(Course { images: vec![("t1", DIGEST)], ..course() });
    let built = server.sandbox().run("bimage", ["build", "context", "--tag", "t1"]).ok();
    assert_eq!(built.stdout, format!("{REPOSITORY}@{DIGEST}\n"));
    let server = BuildServer::start(course());
    let built = server.sandbox().run("bimage", ["build", "context", "--tag", "t1", "-q"]);
    let message = built.failed_with(1);
    assert_eq!(message, format!("the build {} has succeeded, and there is no image {REPOSITORY}:t1", id()));
}

#[story]
fn the_log_of_a_build() {
    let server = BuildServer::start(Course::failing());
    let sandbox = server.sandbox();
    // It goes on as it is looked at.
    let followed = sandbox.run("bimage", ["logs", "--follow", &id()]).ended_with(1);
    let lines: Vec<&str> = followed.stdout.lines().collect();
    assert_eq!((lines.len(), lines[0]), (41, "line 1"));
    assert_eq!(followed.stderr, format!("bimage: the build {} has ended: FAILED\n", id()));
    for name in
        ["last", BuildServer::UUID, &format!("arn:aws:codebuild:eu-west-1:123456789012:build/{}", id())]
    {
        let read = sandbox.run("bimage", ["logs", name]).ok();
        assert_eq!((read.stdout.as_str(), read.stderr.as_str()), (followed.stdout.as_str(), ""));
    }
    let json = sandbox.run("bimage", ["logs", "last", "--json"]).ok().json();
    assert_eq!(json.as_array().map(Vec::len), Some(41));
    assert_eq!(
        json[0],
        json!({
            "buildId": id(),
            "logStreamName": BuildServer::UUID,
            "timestamp": 1_700_000_000_000_i64,
            "message": "line 1",
        })
    );
    let timed = sandbox.run("bimage", ["logs", "last", "-T"]).ok().stdout;
    assert_eq!(timed.lines().next(), Some("2023-11-14T22:13:20.000+00:00 line 1"));
}

#[story]
fn logs_that_are_not_there() {
    let server = BuildServer::start(Course { stays_in: Some("QUEUED"), ..Course::default() });
    let sandbox = server.sandbox();
    let unknown = "images:00000000-0000-4000-8000-00000000dead";
    let message = sandbox.run("bimage", ["logs", unknown]).failed_with(1);
    assert_eq!(message, format!("there is no build {unknown} (cluster far, region eu-west-1)"));
    let message = sandbox.run("bimage", ["logs", &id()]).failed_with(1);
    assert_eq!(message, format!("the build {} has no log yet: it is IN_PROGRESS", id()));
    let message = sandbox.run("bimage", ["logs", "what"]).failed_with(2);
    assert!(message.contains("a build is PROJECT:UUID, as `bimage build` shows it, or `last`"), "{message}");
}

#[story]
fn a_server_that_is_not_there() {
    let mut sandbox = Sandbox::at(&BadServer::closed_port());
    sandbox.set("AWSB_CONTACT_TIMEOUT", "0");
    let lost = sandbox.run("bimage", ["logs", &id()]).ended_with(1);
    assert!(lost.stderr.contains(&format!("looking at the build {}: cannot reach", id())), "{lost}");
}

/// moto with a project and a repository that has an image with this tag.
fn moto(name: &str, tag: &str) -> (MotoCluster, Sandbox) {
    let cluster = Moto::without_containers().cluster(name);
    let sandbox = cluster.aws_sandbox();
    sandbox.config(&format!(
        "{}codebuild_project = \"{name}\"\necr_repository = \"lab/{name}\"\n",
        cluster.config()
    ));
    sandbox.file("context/Dockerfile", "FROM scratch\n");
    let project = json!({
        "name": name,
        "source": { "type": "NO_SOURCE", "location": "x" },
        "artifacts": { "type": "NO_ARTIFACTS" },
        "environment": {
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
            "computeType": "BUILD_GENERAL1_SMALL",
        },
        "serviceRole": "arn:aws:iam::123456789012:role/x",
    });
    sandbox.run("aws", ["codebuild", "create-project", "--cli-input-json", &project.to_string()]).ok();
    sandbox.run("aws", ["ecr", "create-repository", "--repository-name", &format!("lab/{name}")]).ok();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "size": 1, "digest": DIGEST },
        "layers": [],
    });
    let repository = format!("lab/{name}");
    let args = ["ecr", "put-image", "--repository-name", &repository, "--image-tag", tag, "--image-manifest"];
    sandbox.run("aws", args.into_iter().map(str::to_owned).chain([manifest.to_string()])).ok();
    (cluster, sandbox)
}

#[story]
fn motos_codebuild_and_ecr_take_what_is_asked() {
    // moto builds nothing: what a build would push is there already.
    let (_cluster, sandbox) = moto("cbmoto", "t1");
    let built = sandbox.run("bimage", ["build", "context", "--tag", "t1", "--platform", "linux/arm64"]).ok();
    let digest = built.stdout.trim().rsplit_once('@').expect("a digest").1.to_owned();
    assert!(digest.starts_with("sha256:"), "{built}");
    assert!(built.stdout.contains(".dkr.ecr.eu-west-1.amazonaws.com/lab/cbmoto@"), "{built}");
    assert!(built.stderr.contains("bimage: BUILD SUCCEEDED"), "{built}");
    // Nor does it write a log.
    let message = sandbox.run("bimage", ["logs", "last"]).failed_with(1);
    assert!(message.contains("has no log: it has SUCCEEDED without one"), "{message}");
}

#[story]
fn motos_projects_that_are_not_there() {
    let (cluster, sandbox) = moto("cbgone", "t1");
    sandbox.config(&format!(
        "{}codebuild_project = \"other\"\necr_repository = \"lab/cbgone\"\n",
        cluster.config()
    ));
    let region = cluster.part("region");
    for args in [&["build", "context"][..], &["logs", "last"]] {
        let message = sandbox.run("bimage", args).failed_with(1);
        assert_eq!(message, format!("there is no CodeBuild project other (cluster moto, region {region})"));
    }
}

#[story]
fn a_builder_that_cannot_work_leaves_nothing_behind() {
    let (cluster, mut sandbox) = moto("cbnone", "t1");
    let settings = "ecr_repository = \"lab/cbnew\"\ncreate_repository = true\ncodebuild_project";
    let left = |sandbox: &Sandbox| {
        let made = sandbox.run("aws", ["ecr", "describe-repositories", "--output", "json"]).ok().json();
        let all = made["repositories"].as_array().cloned().unwrap_or_default();
        let bucket = format!("s3://{}", cluster.part("bucket"));
        let objects = sandbox.run("aws", ["s3", "ls", "--recursive", &bucket]).stdout;
        (all.iter().any(|made| made["repositoryName"] == "lab/cbnew"), objects.contains("/contexts/"))
    };
    sandbox.config(&format!("{}{settings} = \"other\"\n", cluster.config()));
    let message = sandbox.run("bimage", ["build", "context"]).failed_with(1);
    assert!(message.starts_with("there is no CodeBuild project other "), "{message}");
    assert_eq!(left(&sandbox), (false, false));
    sandbox.set("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let failed = sandbox.run("bimage", ["build", "context", "--builder", "docker"]);
    assert!(failed.failed_with(1).starts_with("no Docker engine answers"), "{failed}");
    assert_eq!(left(&sandbox), (false, false));
    // With one that can, both are made.
    sandbox.config(&format!("{}{settings} = \"cbnone\"\n", cluster.config()));
    let built = sandbox.run("bimage", ["build", "context"]).ended_with(1);
    assert!(built.stderr.contains("has succeeded, and there is no image "), "{built}");
    assert_eq!(left(&sandbox), (true, true));
}

#[story]
fn an_image_that_is_there_takes_no_builder() {
    let server = BuildServer::start(Course { images: vec![("*", DIGEST)], ..Course::default() });
    let mut sandbox = server.sandbox();
    sandbox.set("DOCKER_HOST", "unix:///nowhere/docker.sock");
    for builder in ["codebuild", "docker"] {
        let built = sandbox.run("bimage", ["build", "context", "--builder", builder]).ok();
        assert!(built.stderr.contains("is already there"), "{built}");
    }
    assert_eq!(server.requests("BatchGetProjects").len(), 0);
}
