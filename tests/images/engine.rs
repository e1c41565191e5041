//! Images that are built on a Docker engine, by both of its builders.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::query_parameters::RemoveImageOptionsBuilder;
use nix::sys::signal::Signal;
use serde_json::json;

use awsb_testkit::{EngineLine, ImageBench, Moto, Registry, Sandbox, Terminal, eventually, on_engine, story};

/// Both builders, as `DOCKER_BUILDKIT` names them.
const BUILDERS: [&str; 2] = ["1", "0"];

/// What was said, without the times and what is different each time.
fn timeless(said: &str, changing: &[(&str, &str)]) -> String {
    let mut text = said.to_owned();
    for (from, to) in changing {
        text = text.replace(from, to);
    }
    // The engine may have the image before it tells of the last step.
    let exporting = text.lines().find_map(|line| line.strip_suffix(" exporting to image").map(str::to_owned));
    let is_last = |line: &&str| exporting.as_ref().is_some_and(|step| line.split(' ').next() == Some(step));
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !is_last(line)) {
        let mut words: Vec<&str> = line.split(' ').collect();
        for word in &mut words {
            let number = word.strip_suffix('s').unwrap_or(word);
            if number.contains('.') && number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
                *word = "T";
            }
        }
        // Whether the base has to be unpacked depends on what was built before.
        let line = words.join(" ");
        lines.push(match line.strip_prefix(" => CACHED [1/") {
            Some(rest) => format!(" => [1/{rest} T"),
            None if line == "#4 CACHED" => "#4 DONE T".to_owned(),
            None => line,
        });
    }
    lines.join("\n")
}

#[story]
fn both_builders_build_and_the_same_content_is_built_once() {
    for builder in BUILDERS {
        let mut bench = ImageBench::new();
        bench.sandbox.set("DOCKER_BUILDKIT", builder);
        let folder = bench.dockerfile(
            "ARG WHO=nobody\nCOPY data /data\nRUN echo $WHO > /who; echo to stderr >&2\nRUN cat /data",
        );
        bench.sandbox.file("context/data", format!("{}\n", bench.mark));
        let build = ["build", folder, "--build-arg", "WHO=me"];
        let built = bench.sandbox.run("bimage", build).ok();
        let name = built.stdout.trim_end();
        assert!(name.starts_with("awsb:"), "{built}");
        let tag = &name["awsb:".len()..];
        let changing = [(bench.mark.as_str(), "MARK"), (bench.base, "BASE"), (tag, "TAG")];
        insta::with_settings!({snapshot_suffix => builder}, {
            insta::assert_snapshot!("built", timeless(&built.stderr, &changing));
        });
        let again = bench.sandbox.run("bimage", build).ok();
        assert_eq!(again.stdout, built.stdout);
        assert_eq!(again.stderr, format!("bimage: {name} is there already; `--force` builds it anew\n"));
        let forced =
            bench.sandbox.run("bimage", ["build", "--force", "--json", folder, "--build-arg", "WHO=me"]).ok();
        assert_eq!(forced.json()[0]["earlier"], false, "{forced}");
        assert_eq!(forced.json()[0]["image"], *name);
        // Another argument is another image.
        let other = bench.sandbox.run("bimage", ["build", "--quiet", folder, "--build-arg", "WHO=you"]).ok();
        assert_ne!(other.stdout, built.stdout);
        assert_eq!(other.stderr, "");
        let ran = bench.sandbox.run("docker", ["run", "--rm", name, "cat", "/who", "/data"]).ok();
        assert_eq!(ran.stdout, format!("me\n{}\n", bench.mark));
        let labels = bench.images().into_iter().find_map(|image| {
            image.repo_tags.as_ref()?.contains(&name.to_owned()).then_some(image.config?.labels?)
        });
        assert_eq!(labels.unwrap().get("awsb.content").map(String::as_str), Some(tag));
    }
}

#[story]
fn a_failing_step_is_shown_with_its_last_lines_and_leaves_nothing() {
    for builder in BUILDERS {
        let mut bench = ImageBench::new();
        bench.sandbox.set("DOCKER_BUILDKIT", builder);
        let folder = bench.dockerfile(
            "RUN echo made > /made\nRUN for i in $(seq 30); do echo line $i; done; exit 3\nRUN echo never",
        );
        let failed =
            bench.sandbox.run("bimage", ["build", "--quiet", "--tag", &bench.tag(), folder]).ended_with(1);
        assert_eq!(failed.stdout, "");
        let changing = [(bench.mark.as_str(), "MARK"), (bench.tag().as_str(), "TAG")]
            .map(|(from, to)| (from.to_owned(), to));
        let changing: Vec<(&str, &str)> = changing.iter().map(|(from, to)| (from.as_str(), *to)).collect();
        insta::with_settings!({snapshot_suffix => builder}, {
            insta::assert_snapshot!("failed", timeless(&failed.stderr, &changing));
        });
        let images = bench.images();
        assert!(images.is_empty(), "{builder}: {images:?}");
    }
}

#[story]
fn what_is_wrong_with_a_dockerfile_is_one_line() {
    for builder in BUILDERS {
        let mut bench = ImageBench::new();
        bench.sandbox.set("DOCKER_BUILDKIT", builder);
        for (instructions, said) in [
            ("NONSENSE", "NONSENSE"),
            ("COPY nothing /", "nothing"),
            ("FROM awsb-test/none:0", "awsb-test/none:0"),
        ] {
            let folder = bench.dockerfile(instructions);
            let failed =
                bench.sandbox.run("bimage", ["build", "-q", "--tag", &bench.tag(), folder]).ended_with(1);
            let error = failed
                .stderr
                .lines()
                .find_map(|line| line.strip_prefix("bimage: error: building awsb:test-"));
            assert!(
                error.is_some_and(|error| error.to_lowercase().contains(&said.to_lowercase())),
                "{failed}"
            );
        }
    }
}

#[story]
fn ctrl_c_ends_the_build_on_the_engine_too() {
    for builder in BUILDERS {
        let mut bench = ImageBench::new();
        bench.sandbox.set("DOCKER_BUILDKIT", builder);
        let folder = bench.dockerfile("RUN echo made > /made\nRUN echo begun; sleep 600");
        let tag = bench.tag();
        let mut running =
            Terminal::new(100).start(&bench.sandbox, "bimage", ["build", "--tag", &tag, folder]);
        running.until("the step's output", |screen| screen.contains("| begun"));
        running.signal(Signal::SIGINT);
        let seen = running.wait().ended_with(130);
        let screen = seen.screen();
        assert!(
            screen.contains(&format!("bimage: error: interrupted: awsb:{tag} was not built")),
            "{screen}"
        );
        assert!(!screen.contains("| begun"), "{screen}");
        eventually("no image is left", Duration::from_secs(30), || bench.images().is_empty().then_some(()));
        let of_build = on_engine(async |docker| {
            let all = bollard::query_parameters::ListContainersOptionsBuilder::new().all(true).build();
            let containers = docker.list_containers(Some(all)).await.unwrap();
            containers
                .into_iter()
                .filter(|c| c.command.as_ref().is_some_and(|c| c.contains("begun; sleep 600")))
                .count()
        });
        assert_eq!(of_build, 0, "{builder}");
    }
}

#[story]
fn steps_on_a_terminal() {
    for builder in BUILDERS {
        let mut bench = ImageBench::new();
        bench.sandbox.set("DOCKER_BUILDKIT", builder);
        let folder = bench.dockerfile("RUN echo a; echo b\nRUN printf '\\033[2J\\007'; false");
        let tag = bench.tag();
        let seen =
            Terminal::new(100).run(&bench.sandbox, "bimage", ["build", "--tag", &tag, folder]).ended_with(1);
        let changing = [(bench.mark.as_str(), "MARK"), (bench.base, "BASE"), (tag.as_str(), "TAG")];
        let screen = timeless(&seen.screen(), &changing);
        insta::with_settings!({snapshot_suffix => builder}, {
            insta::assert_snapshot!("on_terminal", screen);
        });
    }
}

#[story]
fn without_an_engine_the_other_way_is_told() {
    let mut sandbox = Sandbox::new();
    sandbox.set("DOCKER_HOST", "unix:///no/such/socket");
    sandbox.set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    sandbox.set("AWS_SECRET_ACCESS_KEY", "secret");
    sandbox.file("context/Dockerfile", "FROM scratch\n");
    let cluster = "default_cluster = \"far\"\n[cluster.far]\nregion = \"eu-west-1\"\n\
                   endpoint_url = \"http://127.0.0.1:1\"\nbucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d\"\n";
    let build = |sandbox: &Sandbox| sandbox.run("bimage", ["build", "--builder", "docker", "context"]);
    sandbox.config(cluster);
    let failed = build(&sandbox);
    let message = failed.failed_with(1);
    assert_eq!(message, "no Docker engine answers; tried unix:///no/such/socket: no such file");
    assert!(failed.hints().contains("`codebuild_project = \"…\"` in [cluster.far]"), "{failed}");
    sandbox.config(&format!("{cluster}codebuild_project = \"images\"\n"));
    let hints = "DOCKER_HOST names the engine, such as unix:///var/run/docker.sock; is it started?\n\
                 `builder = \"codebuild\"` in [cluster.far] builds with the CodeBuild project images";
    assert_eq!(build(&sandbox).hints(), hints);
    let pushed = sandbox.run("bimage", ["push", "x:1"]);
    assert_eq!(pushed.failed_with(2), "the cluster far has no repository to push to");
}

#[story]
fn an_engine_that_goes_away_is_told() {
    for builder in BUILDERS {
        let mut bench = ImageBench::new();
        let line = EngineLine::new();
        bench.sandbox.set("DOCKER_BUILDKIT", builder);
        bench.sandbox.set("DOCKER_HOST", format!("tcp://{}", line.address));
        let folder = bench.dockerfile("RUN echo begun; sleep 600");
        let tag = bench.tag();
        let mut running =
            Terminal::new(100).start(&bench.sandbox, "bimage", ["build", "--tag", &tag, folder]);
        running.until("the step's output", |screen| screen.contains("| begun"));
        line.cut();
        let screen = running.wait().ended_with(1).screen().replace('\n', "");
        let said = format!(
            "bimage: error: building awsb:{tag}: the Docker engine at tcp://{} has gone away: ",
            line.address
        );
        assert!(screen.contains(&said), "{screen}");
        eventually("the build has ended", Duration::from_secs(30), || {
            bench.images().is_empty().then_some(())
        });
    }
}

/// What an image is based on may be another registry's, which knows the user by what `docker login` has left.
#[story]
fn a_base_image_is_pulled_as_the_user_who_has_logged_in() {
    let registry = Registry::start();
    let repository = format!("{}/awsb-test/base", registry.host);
    let pushing = ImageBench::with_repository(&repository);
    let base = format!("{repository}:1");
    pushing.image(&format!("awsb:{}", pushing.tag()));
    pushing.sandbox.run("bimage", ["push", &format!("awsb:{}", pushing.tag()), "--tag", "1"]).ok();
    let helper = "#!/bin/sh\necho \"$@\" >>\"$HOME/asked\"\nread -r registry\n[ \"$registry\" = \"$HELPED\" ] || exit 1\n\
                  printf '{\"ServerURL\":\"%s\",\"Username\":\"AWS\",\"Secret\":\"%s\"}' \"$registry\" \"$(cat \"$HOME/secret\")\"\n";
    let plain =
        json!({"auths": {&registry.host: {"auth": STANDARD.encode(format!("AWS:{}", Moto::ECR_PASSWORD))}}});
    let helped = json!({"credHelpers": {&registry.host: "awsb-test"}});
    for builder in BUILDERS {
        for (case, config) in [("plain", Some(&plain)), ("helper", Some(&helped)), ("nobody", None)] {
            // BuildKit asks the registry again for an image that it has, the classic builder does not.
            let names = [base.clone()];
            on_engine(async |docker| {
                let options = RemoveImageOptionsBuilder::new().force(true).build();
                let _ = docker.remove_image(&names[0], Some(options), None).await;
            });
            let mut bench = ImageBench::new();
            bench.sandbox.set("DOCKER_BUILDKIT", builder);
            let bin = bench.sandbox.file("bin/docker-credential-awsb-test", helper);
            std::fs::set_permissions(&bin, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            let path = format!("{}:{}", bin.parent().unwrap().display(), bench.sandbox.get("PATH").unwrap());
            bench.sandbox.set("PATH", path);
            bench.sandbox.set("HELPED", registry.host.as_str());
            bench.sandbox.file("../home/secret", Moto::ECR_PASSWORD);
            if let Some(config) = config {
                bench.sandbox.file("../home/.docker/config.json", config.to_string());
            }
            bench.sandbox.file("context/Dockerfile", format!("FROM {base}\nENV {}=1\n", bench.mark));
            let outcome = bench.sandbox.run("bimage", ["build", "--tag", &bench.tag(), "context"]);
            if case == "nobody" {
                let outcome = outcome.ended_with(1);
                assert!(outcome.stderr.contains("bimage: error: building awsb:"), "{builder} {outcome}");
                continue;
            }
            outcome.ok();
            let asked =
                std::fs::read_to_string(bench.sandbox.work().join("../home/asked")).unwrap_or_default();
            assert_eq!(asked, if case == "helper" { "get\n" } else { "" });
        }
    }
}
