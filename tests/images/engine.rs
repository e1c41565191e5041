//! Images that are built on a Docker engine, by both of its builders.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::query_parameters::RemoveImageOptionsBuilder;
use nix::sys::signal::Signal;
use serde_json::json;

use awsb_testkit::shells::executable;
use awsb_testkit::{EngineLine, ImageBench, Moto, Registry, Sandbox, Terminal, eventually, on_engine, story};

/// Both builders, as `DOCKER_BUILDKIT` names them.
const BUILDERS: [&str; 2] = ["1", "0"];

/// The number of the step whose headline ends with this. How many steps there are, and which of
/// them are the builder's own, is up to the builder: it differs from one version of BuildKit to the
/// next.
fn step<'a>(progress: &'a str, instruction: &str) -> &'a str {
    let ends = |line: &&str| line.starts_with('#') && line.contains(" [") && line.ends_with(instruction);
    let headline =
        progress.lines().find(ends).unwrap_or_else(|| panic!("no step {instruction:?} in\n{progress}"));
    headline.split(' ').next().unwrap_or_default()
}

/// Whether a step has printed this line, behind the time of the line.
fn has_printed(progress: &str, step: &str, printed: &str) -> bool {
    progress.lines().any(|line| {
        let mut words = line.splitn(3, ' ');
        words.next() == Some(step)
            && words.next().is_some_and(|time| time.parse::<f64>().is_ok())
            && words.next() == Some(printed)
    })
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
        let written = step(&built.stderr, "COPY data /data");
        assert!(built.stderr.contains(&format!("\n{written} DONE ")), "{built}");
        // Whether the headline has the argument's name or its value is up to the builder, too.
        let run = step(&built.stderr, " > /who; echo to stderr >&2");
        assert!(has_printed(&built.stderr, run, "to stderr"), "{built}");
        let run = step(&built.stderr, "RUN cat /data");
        assert!(has_printed(&built.stderr, run, &bench.mark), "{built}");
        assert!(built.stderr.ends_with(&format!("\nbimage: {name} is built\n")), "{built}");
        let again = bench.sandbox.run("bimage", build).ok();
        assert_eq!(again.stdout, built.stdout);
        assert_eq!(again.stderr, format!("bimage: {name} is already there; `--force` builds it again\n"));
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
        let run = "RUN for i in $(seq 30); do echo line $i; done; exit 3";
        let lines: Vec<&str> = failed.stderr.lines().collect();
        // A rule, the step, its last 20 lines, a rule, and the error.
        assert_eq!(lines.len(), 24, "{failed}");
        assert_eq!((lines[0], lines[22]), ("------", "------"), "{failed}");
        assert!(lines[1].starts_with(" > [") && lines[1].ends_with(&format!("] {run}:")), "{failed}");
        let last: Vec<String> = (11..=30).map(|n| format!("line {n}")).collect();
        assert_eq!(lines[2..22], last, "{failed}");
        let [before, after] = [
            format!("bimage: error: building awsb:{}: the step [", bench.tag()),
            format!("] {run} failed: exit code 3"),
        ];
        assert!(lines[23].starts_with(&before) && lines[23].ends_with(&after), "{failed}");
        let images = bench.images();
        assert!(images.is_empty(), "{builder}: {images:?}");
    }
}

#[story]
fn what_is_wrong_with_a_dockerfile_is_one_line() {
    for builder in BUILDERS {
        let mut bench = ImageBench::new();
        bench.sandbox.set("DOCKER_BUILDKIT", builder);
        for (instructions, output) in [
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
                error.is_some_and(|error| error.to_lowercase().contains(&output.to_lowercase())),
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
        let folder =
            bench.dockerfile(&format!("RUN echo made > /made\nRUN echo begun; sleep 600 # {}", bench.mark));
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
                .filter(|c| c.command.as_ref().is_some_and(|c| c.contains(&bench.mark)))
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
        let screen = seen.screen();
        let lines: Vec<&str> = screen.lines().collect();
        let position = |what: &str, is: &dyn Fn(&str) -> bool| {
            lines.iter().position(|line| is(line)).unwrap_or_else(|| panic!("no {what} on\n{screen}"))
        };
        let bad = r"RUN printf '\033[2J\007'; false";
        let good = position("step that went well", &|line| {
            line.starts_with(" => [") && line.contains("] RUN echo a; echo b ")
        });
        let failed = position("failed step", &|line| {
            line.starts_with(" => ERROR [") && line.ends_with(&format!("] {bad}"))
        });
        let again =
            position("its name", &|line| line.starts_with(" > [") && line.ends_with(&format!("] {bad}:")));
        let harmless = position("its output, made visible", &|line| line == "␛[2J␇");
        assert!(good < failed && failed < again && again + 1 == harmless, "{screen}");
        // The terminal breaks the line where it ends.
        let error = lines[harmless + 2..].concat();
        let before = format!("bimage: error: building awsb:{tag}: the step [");
        assert!(
            error.starts_with(&before) && error.ends_with(&format!("] {bad} failed: exit code 1")),
            "{screen}"
        );
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
    let hints = "check that the engine is started; DOCKER_HOST can name it, such as \
                 unix:///var/run/docker.sock\n`builder = \"codebuild\"` in [cluster.far] builds with the \
                 CodeBuild project images";
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
        let output = format!(
            "bimage: error: building awsb:{tag}: the Docker engine at tcp://{} has gone away: ",
            line.address
        );
        assert!(screen.contains(&output), "{screen}");
        eventually("the build has ended", Duration::from_secs(30), || {
            bench.images().is_empty().then_some(())
        });
    }
}

/// A base image may come from another registry, which knows the user by the credentials that
/// `docker login` has stored.
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
            // BuildKit asks the registry again for an image that it has, the classic builder does
            // not.
            let names = [base.clone()];
            on_engine(async |docker| {
                let options = RemoveImageOptionsBuilder::new().force(true).build();
                let _ = docker.remove_image(&names[0], Some(options), None).await;
            });
            let mut bench = ImageBench::new();
            bench.sandbox.set("DOCKER_BUILDKIT", builder);
            let bin = bench.sandbox.file("bin/docker-credential-awsb-test", "");
            executable(&bin, helper).unwrap();
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
