//! buildspec.yml: what CodeBuild runs, run here, phase by phase, against a Docker engine, a
//! registry and moto's ECR.

use awsb_testkit::{BuildMachine, Sandbox, buildspec, missing, program, python, script, shells, story};

/// This machine's name in tags.
fn arch() -> &'static str {
    std::env::consts::ARCH
}

#[story]
fn codebuild_reads_it_and_shellcheck_has_nothing_to_say() {
    let python = python();
    let python = python.join("bin/python").display().to_string();
    let sandbox = Sandbox::new();
    let runner = script("codebuild.py").display().to_string();
    let found = sandbox.run(&python, [&runner, &buildspec(), "check"]).ok();
    assert_eq!(found.stdout.trim(), "");
    let commands = sandbox.run(&python, [&runner, &buildspec(), "commands"]).ok().stdout;
    let commands: Vec<&str> = commands.split_terminator('\0').collect();
    assert_eq!(commands.len(), 4);
    for command in commands {
        assert!(command.starts_with("#!/usr/bin/env bash\n"), "{command}");
        // SC3040: `pipefail`, which bash has.
        shells::shellcheck(command.as_bytes(), "SC3040").expect("shellcheck runs");
    }
}

#[story]
fn a_context_in_s3_becomes_an_image_that_is_pulled_by_digest() {
    let mut machine = BuildMachine::new("bsone");
    let dockerfile = format!(
        "FROM {}\nARG WORDS=none\nARG MORE=none\nENV WORDS=$WORDS MORE=$MORE\nCOPY hello /hello\nRUN chmod 755 /hello\n",
        machine.base
    );
    machine
        .stage(&[("sub/Dockerfile.x", &dockerfile), ("hello", "#!/bin/sh\necho \"hello $WORDS|$MORE\"\n")]);
    machine.set("AWSB_DOCKERFILE", "sub/Dockerfile.x");
    machine.set("AWSB_TAG", "one");
    machine.set("AWSB_BUILD_ARGS", r#"'WORDS=it'\''s "$HOME" $(exit 3) * ;' MORE=b"#);
    machine.set("AWSB_BUILD_OPTIONS", "--network host --label 'said=by \"us\" $HOME'");
    machine.set("AWSB_PLATFORM", if arch() == "x86_64" { "linux/amd64" } else { "linux/arm64" });
    let build = machine.build().succeeded();
    let (uri, digest) = (build.exported("AWSB_URI"), build.exported("AWSB_DIGEST"));
    assert_eq!(uri, format!("{}:one", machine.image));
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
    build.says(&format!("awsb: pushed {uri}\nawsb: digest {digest}\n[Container] Phase complete: POST_BUILD"));
    assert_eq!(machine.tags(), [format!("cache-{}", arch()), "one".to_owned()]);
    machine.forget();
    let pinned = format!("{}@{digest}", machine.image);
    machine.docker(&["pull", "--quiet", &pinned]).ok();
    let message = machine.docker(&["run", "--rm", &pinned, "/hello"]).ok();
    assert_eq!(message.stdout, "hello it's \"$HOME\" $(exit 3) * ;|b\n");
    let label = ["image", "inspect", "--format", "{{index .Config.Labels \"said\"}}", &pinned];
    assert_eq!(machine.docker(&label).ok().stdout, "by \"us\" $HOME\n");
}

#[story]
fn what_bimage_asks_codebuild_for_is_an_image_that_works() {
    let mut machine = BuildMachine::new("bswhole");
    machine.sandbox.config(&format!(
        "{}codebuild_project = \"bswhole\"\necr_repository = {:?}\n",
        machine.cluster.config(),
        machine.image
    ));
    let project = serde_json::json!({
        "name": "bswhole",
        "source": { "type": "NO_SOURCE", "location": "x" },
        "artifacts": { "type": "NO_ARTIFACTS" },
        "environment": { "type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL" },
        "serviceRole": "arn:aws:iam::123456789012:role/x",
    });
    machine
        .sandbox
        .run("aws", ["codebuild", "create-project", "--cli-input-json", &project.to_string()])
        .ok();
    let dockerfile = format!(
        "FROM {}\nARG WORDS\nENV WORDS=$WORDS\nCOPY . /all/\nCMD cat /all/kept; echo \"$WORDS\"; ls /all\n",
        machine.base
    );
    let files = [
        ("other/Dockerfile", dockerfile.as_str()),
        (".dockerignore", "*.tmp\n"),
        ("kept", "kept\n"),
        ("x.tmp", ""),
    ];
    for (name, text) in files {
        machine.sandbox.file(&format!("folder/{name}"), text);
    }
    let args =
        ["build", "folder", "-f", "other/Dockerfile", "--build-arg", "WORDS=it's \"all\"  of $it\nand more"];
    // moto says that it has built it, and has not.
    let asked = machine.sandbox.run("bimage", args).ended_with(1);
    assert!(
        asked.stderr.contains(&format!("has succeeded, and there is no image {}:", machine.image)),
        "{asked}"
    );
    let request = machine.cluster.targeted("CodeBuild_20161006.StartBuild");
    let request = request.into_iter().find(|r| r["projectName"] == "bswhole").expect("a build was started");
    assert_eq!(request["buildspecOverride"], std::fs::read_to_string(buildspec()).expect("it is there"));
    for variable in request["environmentVariablesOverride"].as_array().expect("variables") {
        let text = |name: &str| variable[name].as_str().expect("text").to_owned();
        machine.set(&text("name"), &text("value"));
    }
    let build = machine.build().succeeded();
    let uri = build.exported("AWSB_URI").to_owned();
    assert_eq!(uri, format!("{}:{}", machine.image, machine.sandbox.get("AWSB_TAG").expect("it was set")));
    machine.forget();
    let message = machine
        .docker(&["run", "--rm", &format!("{}@{}", machine.image, build.exported("AWSB_DIGEST"))])
        .ok();
    assert_eq!(message.stdout, "kept\nit's \"all\"  of $it\nand more\nkept\nother\n");
}

#[story]
fn without_a_context_it_is_the_docker_folder_of_the_source() {
    let mut machine = BuildMachine::new("bsown");
    let dockerfile = format!("FROM {}\nCOPY name /name\n", machine.base);
    for (name, text) in [("Dockerfile", dockerfile.as_str()), ("name", "the default image\n")] {
        machine.sandbox.file(&format!("source/docker/{name}"), text);
    }
    let source = machine.sandbox.work().join("source").display().to_string();
    machine.set("CODEBUILD_SRC_DIR", &source);
    let build = machine.build().succeeded();
    assert_eq!(build.exported("AWSB_URI"), format!("{}:latest", machine.image));
    let message = machine.docker(&["run", "--rm", build.exported("AWSB_URI"), "cat", "/name"]).ok();
    assert_eq!(message.stdout, "the default image\n");
}

#[story]
fn the_next_build_takes_the_layers_of_the_last_one_from_the_registry() {
    let mut machine = BuildMachine::new("bslayers");
    // An image that has never been built before, because its registry is this run's own.
    let own = machine.registry.host.clone();
    let slow = format!(
        "FROM {}\nRUN echo {own} built at $(cat /proc/uptime) >/layer\nCOPY name /name\n",
        machine.base
    );
    machine.stage(&[("Dockerfile", &slow), ("name", "first")]);
    machine.build().succeeded();
    let first = machine.layer();
    machine.forget();
    machine.stage(&[("Dockerfile", &slow), ("name", "second")]);
    machine.build().succeeded();
    assert_eq!(machine.layer(), first, "the layer was built again");
    let name = format!("{}:latest", machine.image);
    assert_eq!(machine.docker(&["run", "--rm", &name, "cat", "/name"]).ok().stdout, "second");
}

#[story]
fn a_step_that_fails_pushes_nothing() {
    let mut machine = BuildMachine::new("bsfails");
    let dockerfile = format!("FROM {}\nRUN echo this step is bad; exit 7\n", machine.base);
    machine.stage(&[("Dockerfile", &dockerfile)]);
    let build = machine.build().failed_in("BUILD");
    build.says("this step is bad");
    build.says("returned a non-zero code: 7");
    // Where `on-failure` counts for nothing, too.
    let build = machine.build_with(&["--no-on-failure"]).failed_in("POST_BUILD");
    build.says("awsb: error: the build has failed; nothing is pushed");
    assert_eq!(machine.tags(), Vec::<String>::new());
    assert_eq!(build.exported("AWSB_DIGEST"), "");
}

#[story]
fn what_cannot_work_is_said_before_anything_is_built() {
    let mut machine = BuildMachine::new("bsbad");
    machine.stage(&[("Dockerfile", "FROM scratch\n")]);
    let other = if arch() == "x86_64" { "linux/arm64" } else { "linux/amd64" };
    machine.set("AWSB_PLATFORM", other);
    let build = machine.build().failed_in("PRE_BUILD");
    build.says(&format!("awsb: error: the build runs on {}, and the image shall be for {other}", arch()));
    machine.set("AWSB_PLATFORM", "");
    machine.set("AWSB_CONTEXT", "s3://awsb-test-bsbad/contexts/gone.tar.gz");
    machine.build().failed_in("PRE_BUILD").says("404");
    machine.set("AWS_ENDPOINT_URL", "");
    let build = machine.build().failed_in("PRE_BUILD");
    build.says(&format!(
        "awsb: error: {} is no registry of ECR's, and is shown no token",
        machine.registry.host
    ));
    machine.set("AWSB_IMAGE", "");
    machine.build().failed_in("PRE_BUILD").says("awsb: error: AWSB_IMAGE is not set");
}

#[story]
fn a_tag_that_cannot_be_overwritten() {
    let mut machine = BuildMachine::new("bsfixed");
    machine.stage(&[("Dockerfile", &format!("FROM {}\nLABEL a=b\n", machine.base))]);
    machine.set("AWSB_TAG", "fixed");
    let digest = machine.build().succeeded().exported("AWSB_DIGEST").to_owned();
    // Debian's registry has no such repositories: the words are ECR's.
    let docker = program("docker");
    let shim = format!(
        "#!/bin/sh\nif [ \"$1\" = push ]; then\n  echo \"tag invalid: The image tag 'fixed' already exists in the 'x' \
         repository and cannot be overwritten because the repository is immutable.\" >&2\n  exit 1\nfi\n\
         exec {} \"$@\"\n",
        docker.display()
    );
    let folder = machine.sandbox.work().join("shim");
    std::fs::create_dir(&folder).expect("a folder");
    shells::executable(&folder.join("docker"), &shim).expect("a program");
    let path = format!("{}:{}", folder.display(), machine.sandbox.get("PATH").unwrap_or_default());
    machine.set("PATH", &path);
    let build = machine.build().failed_in("POST_BUILD");
    build.says("the repository is immutable");
    machine.set("AWSB_FROM_CONTENT", "yes");
    let build = machine.build().succeeded();
    build.says("has been pushed before, from the same content; it stays");
    build.says("awsb: note: the layers are not kept at");
    assert_eq!(build.exported("AWSB_DIGEST"), digest);
}

#[story]
fn buildkit_builds_it_where_there_is_one() {
    let mut machine = BuildMachine::new("bskit");
    let has_buildx = machine.docker(&["buildx", "version"]).status.success();
    if !has_buildx {
        // Clients before 23.0 have it built in.
        let version = std::process::Command::new("/usr/bin/docker").arg("--version").output();
        if !version.is_ok_and(|v| String::from_utf8_lossy(&v.stdout).contains("version 20.")) {
            missing("a build with BuildKit", "docker has no buildx, and is no 20.10 either");
        }
        let path = format!("/usr/bin:{}", machine.sandbox.get("PATH").unwrap_or_default());
        machine.set("PATH", &path);
        machine.set("DOCKER_BUILDKIT", "1");
    }
    let own = machine.registry.host.clone();
    let slow =
        format!("FROM {}\nRUN echo {own} $(cat /proc/uptime) >/layer\nCOPY name /name\n", machine.base);
    let mut layers = Vec::new();
    for name in ["first", "second"] {
        machine.stage(&[("Dockerfile", &slow), ("name", name)]);
        let build = machine.build().succeeded();
        assert!(build.exported("AWSB_DIGEST").starts_with("sha256:"), "{}", build.log);
        build.says("exporting to image");
        layers.push(machine.layer());
    }
    assert_eq!(layers[0], layers[1], "the layer was built again");
}
