//! Jobs in images that are built, found or pushed for them: `bsub --build` and `bsub --image`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use awsb_testkit::{Answer, BadServer, Moto, MotoCluster, Registry, Sandbox, engine, eventually, story};
use serde_json::{Value, json};

/// A sandbox with a folder `image` whose Dockerfile begins with the tests' image, and whose content
/// nobody has built.
fn folder(sandbox: &Sandbox, base: &str) -> String {
    let content = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_nanos();
    let content = format!("{content} {:?}", std::thread::current().id());
    sandbox.file("image/Dockerfile", format!("ARG BASE={base}\nFROM $BASE\nCOPY . /made\n"));
    sandbox.file("image/hello", &content);
    sandbox.file("image/secret", "not for images");
    sandbox.file("image/.dockerignore", "secret\n");
    content
}

/// The tag in a line such as `bsub: the image awsb:TAG is built`.
#[track_caller]
fn tag(output: &str, end: &str) -> String {
    let mut lines =
        output.lines().filter_map(|line| line.strip_prefix("bsub: the image awsb:")?.strip_suffix(end));
    lines.next().unwrap_or_else(|| panic!("no line that ends with{end}: {output}")).to_owned()
}

/// The names of the job definitions that were derived on the local cluster, and the keys of its
/// bucket.
fn left(sandbox: &Sandbox) -> (Vec<String>, Vec<String>) {
    let text = |args: &[&str]| sandbox.run("aws", args).ok().json();
    let definitions = text(&["batch", "describe-job-definitions", "--output", "json"]);
    let all = definitions["jobDefinitions"].as_array().cloned().unwrap_or_default();
    let name = |d: &Value| d["jobDefinitionName"].as_str().unwrap_or_default().to_owned();
    let derived = all.iter().map(name).filter(|name| name.contains("-awsb-")).collect();
    let listed = sandbox.run("aws", ["s3", "ls", "--recursive", "s3://awsb-local"]);
    (derived, listed.stdout.lines().map(str::to_owned).collect())
}

#[story]
fn a_job_runs_in_an_image_that_is_built_for_it() {
    let base = engine();
    let sandbox = Sandbox::new();
    let content = folder(&sandbox, base);
    let line = ["-I", "--build", "image", "--wrap", "cat /made/hello; ls /made"];
    let built = sandbox.run("bsub", line).ok();
    assert_eq!(built.stdout, format!("{content}Dockerfile\nhello\n"), "{built}");
    let first = tag(&built.stderr, " is built");
    // The same content is built once, whoever asks, and wherever that is said.
    sandbox.file("job.sh", "#!/bin/sh\n#AWSB --build image\ncat /made/hello\n");
    let again = sandbox.run("bsub", ["-I", "job.sh"]).ok();
    assert_eq!(
        (again.stdout.trim_end(), tag(&again.stderr, " is already there")),
        (content.as_str(), first.clone())
    );
    // Another is another's, and the job definition of each is its own.
    sandbox.file("image/hello", "changed");
    sandbox.file("image/none", "");
    sandbox.file("image/other/Dockerfile.x", format!("FROM {base}\nARG WORD\nRUN echo \"$WORD\" > /word\n"));
    let args = ["--dockerfile", "image/other/Dockerfile.x", "--build-arg", "WORD=a b"];
    let line = ["-I", "--build=image", "--wrap", "cat /word"];
    let changed = sandbox.run("bsub", args.into_iter().chain(line)).ok();
    assert_eq!(changed.stdout, "a b\n");
    let second = tag(&changed.stderr, " is built");
    assert_ne!(first, second);
    remove(&sandbox, &first);
    remove(&sandbox, &second);
}

/// Removes an image of which a job has just ended: the runner says how it ended before it removes
/// the container.
fn remove(sandbox: &Sandbox, tag: &str) {
    eventually("the image can be removed", Duration::from_secs(60), || {
        (sandbox.run("bimage", ["rm", "--yes", tag]).code() == 0).then_some(())
    });
}

#[story]
fn a_build_that_fails_leaves_nothing_behind() {
    let (base, sandbox) = (engine(), Sandbox::with_aws());
    folder(&sandbox, base);
    sandbox.file("image/Dockerfile", format!("FROM {base}\nRUN echo why it fails; exit 7\n"));
    // Its bundle would be an object.
    sandbox.file(
        "large.txt",
        (0..40_000).map(|n: u32| n.wrapping_mul(2_654_435_761).to_string()).collect::<String>(),
    );
    let failed = sandbox.run("bsub", ["--build", "image", "-i", "large.txt", "--wrap", "true"]);
    assert_eq!((failed.code(), failed.stdout.as_str()), (1, ""), "{failed}");
    assert!(failed.stderr.contains("why it fails") && failed.stderr.contains("bsub: error: "), "{failed}");
    assert_eq!(left(&sandbox), (Vec::new(), Vec::new()));
}

#[story]
fn what_cannot_be_built_is_said_before_anything_is_sent() {
    let server = BadServer::start(|_, _| Answer::error(500, "InternalError", "nobody should ask"));
    let sandbox = Sandbox::at(&server.endpoint());
    sandbox.file("empty/x", "");
    sandbox.file("image/Dockerfile", "FROM scratch\n");
    sandbox.file("outside", "FROM scratch\n");
    let messages = [
        vec!["--build", "none"],
        vec!["--build", "empty"],
        vec!["--build", "image", "--dockerfile", "outside"],
        vec!["--build", "image", "--image", "busybox"],
        vec!["--dockerfile", "outside"],
        vec!["--build-arg", "A=1"],
        vec!["--build-arg", "1=1", "--build", "image"],
    ]
    .map(|args| {
        let failed = sandbox.run("bsub", args.iter().copied().chain(["true"]));
        assert_eq!(failed.code(), 2, "{failed}");
        failed.stderr
    });
    insta::assert_snapshot!(messages.join("\n"));
    assert_eq!(server.requests("submitjob").len(), 0);
}

#[story]
fn a_default_builds_nothing() {
    let sandbox = Sandbox::new();
    sandbox.config("[defaults]\nbuild = \"image\"\n");
    let failed = sandbox.run("bsub", ["true"]);
    assert!(failed.failed_with(2).contains("line 2: --build cannot be a default"), "{failed}");
}

/// A cluster of AWS's whose settings name no repository; nothing of it is asked.
#[story]
fn an_image_that_no_job_would_see_is_not_built() {
    let mut sandbox = Sandbox::new();
    sandbox.config(
        "default_cluster = \"far\"\n[cluster.far]\nregion = \"eu-west-1\"\nbucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d\"\n",
    );
    sandbox.set("AWS_ENDPOINT_URL", BadServer::closed_port());
    sandbox.set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    sandbox.set("AWS_SECRET_ACCESS_KEY", "secret");
    sandbox.file("image/Dockerfile", "FROM scratch\n");
    let failed = sandbox.run("bsub", ["--build", "image", "true"]);
    let message = failed.failed_with(2);
    assert!(message.contains("has no repository for the image"), "{failed}");
    assert!(failed.hints().contains("`ecr_repository = \"NAME\"` in [cluster.far]"), "{failed}");
}

#[story]
fn a_dry_run_builds_nothing() {
    let sandbox = Sandbox::with_aws();
    let content = folder(&sandbox, "awsb-test/none");
    let args =
        ["--dry-run", "--build", "image", "--build-arg", "BASE=b", "--build-arg", "MY_TOKEN=hidden", "true"];
    let report = sandbox.run("bsub", args).ok();
    assert!(!report.stdout.contains("hidden") && !report.stdout.contains(&content), "{report}");
    let report = report.json();
    let operations: Vec<&str> =
        report.as_array().into_iter().flatten().filter_map(|o| o["operation"].as_str()).collect();
    assert_eq!(operations, ["BuildImage", "RegisterJobDefinition", "SubmitJob"]);
    let build = &report[0]["request"];
    assert_eq!((&build["builder"], &build["dockerfile"]), (&json!("docker"), &json!("Dockerfile")));
    assert_eq!(build["buildArgs"], json!({"BASE": "b", "MY_TOKEN": "********"}));
    let image = build["image"].as_str().unwrap_or_default();
    assert!(image.starts_with("awsb:") && image.len() == 25, "{image}");
    assert_eq!(report[1]["request"]["containerProperties"]["image"], image);
    assert_eq!(left(&sandbox), (Vec::new(), Vec::new()));
}

#[story]
fn a_job_runs_again_in_another_image() {
    let (base, sandbox) = (engine(), Sandbox::with_aws());
    let content = folder(&sandbox, base);
    let script = "if [ -e /made/hello ]; then cat /made/hello; else echo nothing; fi";
    let first = sandbox.run("bsub", ["-K", "--parsable", "--wrap", script]).ok().stdout;
    let again = sandbox.run("bsub", ["-I", "--rerun", first.trim(), "--build", "image"]).ok();
    assert_eq!(again.stdout.trim_end(), content, "{again}");
    let image = format!("awsb:{}", tag(&again.stderr, " is built"));
    let again = sandbox.run("bsub", ["-I", "--rerun", first.trim(), "--image", &image]).ok();
    assert_eq!(again.stdout.trim_end(), content, "{again}");
    let report = sandbox.run("bsub", ["--dry-run", "--rerun", first.trim(), "--image", "other"]).ok().json();
    assert_eq!(report[0]["request"]["containerProperties"]["image"], "other", "{report}");
    assert_eq!(report[1]["request"]["jobDefinition"], report[0]["request"]["jobDefinitionName"], "{report}");
    remove(&sandbox, &image["awsb:".len()..]);
}

/// The images of the job definitions that moto's cluster has derived, sorted.
fn images(cluster: &MotoCluster) -> Vec<String> {
    let sandbox = cluster.aws_sandbox();
    let found = sandbox.run("aws", ["batch", "describe-job-definitions", "--output", "json"]).ok().json();
    let all = found["jobDefinitions"].as_array().cloned().unwrap_or_default();
    let head = format!("{}-awsb-", cluster.part("name"));
    let ours =
        all.iter().filter(|d| d["jobDefinitionName"].as_str().is_some_and(|name| name.starts_with(&head)));
    let mut images: Vec<String> =
        ours.filter_map(|d| Some(d["containerProperties"]["image"].as_str()?.to_owned())).collect();
    images.sort();
    images
}

#[story]
fn a_short_name_is_a_repository_of_the_account() {
    let moto = Moto::without_containers();
    let cluster = moto.cluster("short-names");
    let aws = cluster.aws_sandbox();
    for name in ["short/tool", "short-names"] {
        aws.run("aws", ["ecr", "create-repository", "--repository-name", name]).ok();
    }
    let sandbox = cluster.sandbox();
    sandbox.config(&format!("{}ecr_repository = \"short-names\"\n", cluster.config()));
    let registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let asked = || {
        let calls = cluster.calls("DescribeRepositories");
        calls
            .iter()
            .filter(|call| call["repositoryNames"][0].as_str().is_some_and(|n| n.starts_with("short/")))
            .count()
    };
    for _ in 0..2 {
        sandbox.run("bsub", ["--image", "short/tool:1.2", "true"]).ok();
    }
    assert_eq!(asked(), 1, "ECR's answer is kept");
    let older =
        "sed -i -E 's/\"at\":[0-9]+/\"at\":'$(($(date +%s) - 360))/ \"$XDG_CACHE_HOME\"/awsb/image-*.json";
    sandbox.run("sh", ["-c", older]).ok();
    sandbox.run("bsub", ["--image", "short/tool:1.2", "true"]).ok();
    assert_eq!(asked(), 2, "and not for long");
    sandbox.run("bsub", ["--image", "short/tool", "true"]).ok();
    sandbox.run("bsub", ["--image", "short/nothing:1", "true"]).ok();
    let full = format!("{registry}/short/elsewhere@sha256:{}", "0f".repeat(32));
    for image in [
        full.as_str(),
        "library/elsewhere",
        "registry.example.org/short/elsewhere:1",
        "localhost:5000/short/elsewhere",
    ] {
        sandbox.run("bsub", ["--image", image, "true"]).ok();
    }
    // A call of an earlier step may be sent again, and be noted late.
    let calls = cluster.calls("DescribeRepositories");
    assert!(
        !calls.iter().any(|call| call.to_string().contains("elsewhere")),
        "these say where they are: {calls:?}"
    );
    let mut expected = vec![
        format!("{registry}/short/tool:1.2"),
        format!("{registry}/short/tool:latest"),
        "short/nothing:1".to_owned(),
        full,
        "library/elsewhere".to_owned(),
        "registry.example.org/short/elsewhere:1".to_owned(),
        "localhost:5000/short/elsewhere".to_owned(),
    ];
    expected.sort();
    assert_eq!(images(&cluster), expected);
}

/// Who may not ask ECR gets the image that any engine would take.
#[story]
fn a_short_name_stays_where_ecr_may_not_be_asked() {
    let server = BadServer::start(|request, _| match request.operation() {
        "ecr" => Answer::error(
            400,
            "AccessDeniedException",
            "User: u is not authorized to perform: ecr:DescribeRepositories",
        ),
        // Those that are derived from it are not there.
        "describejobdefinitions" if String::from_utf8_lossy(&request.body).contains("-awsb-") => {
            Answer::json(json!({}))
        }
        "describejobdefinitions" => Answer::json(json!({"jobDefinitions": [{
            "jobDefinitionName": "d", "jobDefinitionArn": "arn:aws:batch:eu-west-1:123456789012:job-definition/d:1",
            "revision": 1, "status": "ACTIVE", "type": "container", "containerProperties": {"image": "i"}}]})),
        _ => Answer::json(json!({})),
    });
    let mut sandbox = Sandbox::at(&server.endpoint());
    sandbox.config(
        "default_cluster = \"far\"\n[cluster.far]\nregion = \"eu-west-1\"\nbucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d\"\n",
    );
    sandbox.set("AWS_ENDPOINT_URL", server.endpoint());
    let report = sandbox.run("bsub", ["--dry-run", "--image", "tool:1", "true"]).ok().json();
    assert_eq!(server.requests("ecr").len(), 1);
    let register =
        report.as_array().and_then(|all| all.iter().find(|o| o["operation"] == "RegisterJobDefinition"));
    assert_eq!(
        register.map(|r| &r["request"]["containerProperties"]["image"]),
        Some(&json!("tool:1")),
        "{report}"
    );
}

/// An image that nobody else could find goes to the cluster's repository first.
#[story]
fn an_image_of_this_machine_alone_is_pushed() {
    let (image, moto, registry) = (engine(), Moto::without_containers(), Registry::start());
    let cluster = moto.cluster("only-here");
    let sandbox = cluster.sandbox();
    let host = &registry.host;
    sandbox.config(&format!("{}ecr_repository = \"{host}/lab/only-here\"\n", cluster.config()));
    // AWS:123456789012-auth-token
    let auth = json!({"auths": {host.as_str(): {"auth": "QVdTOjEyMzQ1Njc4OTAxMi1hdXRoLXRva2Vu"}}});
    sandbox.file("../home/.docker/config.json", auth.to_string());
    let report = sandbox.run("bsub", ["--dry-run", "--image", image, "true"]).ok().json();
    assert_eq!(report[0]["operation"], "PushImage", "{report}");
    let first = sandbox.run("bsub", ["--image", image, "true"]).ok();
    assert!(
        first.stderr.contains(&format!("only this machine's Docker engine has the image {image}")),
        "{first}"
    );
    // Now the engine knows where it was pushed to: it is still the same image, and nobody sends it
    // again.
    let second = sandbox.run("bsub", ["--image", image, "true"]).ok();
    assert!(second.stderr.contains(&format!("bsub: the image {host}/lab/only-here@sha256:")), "{second}");
    let images = images(&cluster);
    let [pushed] = images.as_slice() else { panic!("one job definition: {images:?}") };
    assert!(pushed.starts_with(&format!("{host}/lab/only-here@sha256:")), "{pushed}");
    // So does one of a group of nodes, once for all of them.
    let group = format!("2,image={image}");
    let nodes = ["-n", "2", "--node-group", &group, "--node-group", &group, "true"];
    let shown = sandbox.run("bsub", [&["--dry-run"], &nodes[..]].concat()).ok().json();
    let pushes = shown.as_array().unwrap().iter().filter(|step| step["operation"] == "PushImage");
    assert_eq!(pushes.count(), 1, "{shown}");
    let registered = |shown: &Value| {
        let step = shown.as_array().unwrap().iter().find(|step| step["operation"] == "RegisterJobDefinition");
        step.unwrap()["request"]["nodeProperties"]["nodeRangeProperties"].clone()
    };
    let tag = report[0]["request"]["image"].as_str().unwrap_or_default();
    let of_range = |n: usize| registered(&shown)[n]["container"]["image"].clone();
    assert_eq!((of_range(1), of_range(2)), (json!(tag), json!(tag)), "{shown}");
    assert_ne!(of_range(0), json!(tag), "{shown}");
    sandbox.run("docker", ["rmi", tag]).ok();
}
