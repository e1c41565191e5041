//! Images on a Docker engine: built by both of its builders, and pushed to a real registry and to bad ones.
#![cfg(unix)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::Docker;
use bollard::models::ImageInspect;
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptionsBuilder};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use support::{Answer, BadServer, Moto, Outcome, Registry, Request, Sandbox, Terminal, engine, eventually};

/// Both builders, as `DOCKER_BUILDKIT` names them.
const BUILDERS: [&str; 2] = ["1", "0"];
/// The password that moto's ECR gives.
const PASSWORD: &str = "123456789012-auth-token";

/// A sandbox, and the images on the engine that it makes: each of them has a variable that no other has.
struct Bench {
    sandbox: Sandbox,
    mark: String,
    base: &'static str,
}

impl Bench {
    /// With the local cluster; `None` without an engine.
    fn new() -> Option<Self> {
        let base = engine()?;
        let mut sandbox = Sandbox::new();
        sandbox.set("AWSB_CLUSTER", "local");
        Some(Self::of(sandbox, base))
    }

    /// With a cluster whose images go to this repository, by moto's tokens.
    fn with_repository(repository: &str) -> Option<Self> {
        let base = engine()?;
        static CLUSTERS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("engine{}", CLUSTERS.fetch_add(1, Ordering::SeqCst));
        let cluster = Moto::without_containers()?.cluster(&name);
        let sandbox = cluster.sandbox();
        sandbox.config(&format!(
            "{}builder = \"docker\"\necr_repository = \"{repository}\"\n",
            cluster.config()
        ));
        Some(Self::of(sandbox, base))
    }

    fn of(sandbox: Sandbox, base: &'static str) -> Self {
        Self { sandbox, mark: format!("AWSB_MARK_{}", uuid::Uuid::new_v4().simple()), base }
    }

    /// Writes a Dockerfile with these instructions, and returns the folder.
    fn dockerfile(&self, instructions: &str) -> &'static str {
        let text = format!("FROM {}\nENV {}=1\n{instructions}\n", self.base, self.mark);
        self.sandbox.file("context/Dockerfile", text);
        "context"
    }

    /// Makes an image with a name.
    fn image(&self, name: &str) {
        self.dockerfile("RUN echo hello > /hello");
        let tag = name.split_once(':').unwrap().1;
        self.sandbox.run("bimage", ["build", "-c", "local", "-q", "--tag", tag, "context"]).ok();
    }

    /// The images that this one has made, even those without a name.
    fn images(&self) -> Vec<ImageInspect> {
        on_engine(async |docker| {
            let options = ListImagesOptionsBuilder::new().all(true).build();
            let mut found = Vec::new();
            for image in docker.list_images(Some(options)).await.unwrap() {
                // It may be another test's, and gone.
                let Ok(image) = docker.inspect_image(&image.id).await else { continue };
                let environment =
                    image.config.as_ref().and_then(|config| config.env.clone()).unwrap_or_default();
                if environment.iter().any(|variable| variable.starts_with(&self.mark)) {
                    found.push(image);
                }
            }
            found
        })
    }

    /// The names of these images.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.images().into_iter().flat_map(|i| i.repo_tags.unwrap_or_default()).collect();
        names.sort();
        names
    }

    /// A tag that no other test has.
    fn tag(&self) -> String {
        format!("test-{}", &self.mark[10..30])
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let names = self.images().into_iter().flat_map(|image| {
            let names = image.repo_tags.unwrap_or_default();
            if names.is_empty() { vec![image.id.unwrap_or_default()] } else { names }
        });
        let names: Vec<String> = names.collect();
        on_engine(async |docker| {
            let options = RemoveImageOptionsBuilder::new().force(true).build();
            for name in &names {
                let _ = docker.remove_image(name, Some(options.clone()), None).await;
            }
        });
    }
}

/// Asks the engine.
fn on_engine<T>(ask: impl AsyncFnOnce(&Docker) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { ask(&Docker::connect_with_defaults().unwrap()).await })
}

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

#[test]
fn both_builders_build_and_the_same_content_is_built_once() {
    for builder in BUILDERS {
        let Some(mut bench) = Bench::new() else { return };
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

#[test]
fn a_failing_step_is_shown_with_its_last_lines_and_leaves_nothing() {
    for builder in BUILDERS {
        let Some(mut bench) = Bench::new() else { return };
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

#[test]
fn what_is_wrong_with_a_dockerfile_is_one_line() {
    for builder in BUILDERS {
        let Some(mut bench) = Bench::new() else { return };
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

#[test]
fn ctrl_c_ends_the_build_on_the_engine_too() {
    for builder in BUILDERS {
        let Some(mut bench) = Bench::new() else { return };
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

#[test]
fn steps_on_a_terminal() {
    for builder in BUILDERS {
        let Some(mut bench) = Bench::new() else { return };
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

#[test]
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

/// A line to the engine that can be cut.
struct Line {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn to_engine() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self { address: listener.local_addr().unwrap(), open: Arc::default() };
        let open = Arc::clone(&line.open);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                open.lock().unwrap().push(client.try_clone().unwrap());
                let host = std::env::var("DOCKER_HOST").unwrap_or_default();
                let path = host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock");
                let engine = UnixStream::connect(path).unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
                let (mut from, mut to) = (engine, client);
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        });
        line
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn an_engine_that_goes_away_is_told() {
    for builder in BUILDERS {
        let Some(mut bench) = Bench::new() else { return };
        let line = Line::to_engine();
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

/// The digest that a registry has for a tag.
fn digest(host: &str, name: &str, tag: &str) -> Option<String> {
    let mut stream = TcpStream::connect(host).unwrap();
    let user = STANDARD.encode(format!("AWS:{PASSWORD}"));
    let request = format!(
        "HEAD /v2/{name}/manifests/{tag} HTTP/1.1\r\nhost: {host}\r\nauthorization: Basic {user}\r\n\
         accept: application/vnd.docker.distribution.manifest.v2+json\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().find_map(|line| line.strip_prefix("Docker-Content-Digest: ")).map(str::to_owned)
}

#[test]
fn a_build_goes_to_the_registry() {
    let Some(registry) = Registry::start() else { return };
    let repository = format!("{}/awsb-test/built", registry.host);
    let Some(bench) = Bench::with_repository(&repository) else { return };
    let folder = bench.dockerfile("RUN echo hello > /hello");
    let built = bench.sandbox.run("bimage", ["build", "--debug", folder]).ok();
    let (named, found) = built.stdout.trim_end().split_once('@').unwrap();
    assert_eq!(named, repository);
    let name = bench.names().pop().unwrap();
    let tag = name.strip_prefix(&format!("{repository}:")).unwrap();
    assert_eq!(digest(&registry.host, "awsb-test/built", tag).as_deref(), Some(found));
    assert!(built.stderr.contains(": Pushed\n"), "{built}");
    // Nobody saw the token.
    let secrets = [PASSWORD.to_owned(), STANDARD.encode(format!("AWS:{PASSWORD}"))];
    assert!(!secrets.iter().any(|secret| built.stderr.contains(secret)), "{built}");
    // What was built and is gone from the registry is pushed again, not built.
    let again = bench.sandbox.run("bimage", ["build", folder]).ok();
    assert_eq!(again.stdout, built.stdout);
    assert!(again.stderr.contains(": Layer already exists\n") && !again.stderr.contains("RUN"), "{again}");
}

#[test]
fn an_image_of_the_engine_is_pushed() {
    let Some(registry) = Registry::start() else { return };
    let repository = format!("{}/awsb-test/pushed", registry.host);
    let Some(bench) = Bench::with_repository(&repository) else { return };
    let image = format!("awsb:{}", bench.tag());
    bench.image(&image);
    let pushed = bench.sandbox.run("bimage", ["push", &image, "--tag", "v1"]).ok();
    let found = digest(&registry.host, "awsb-test/pushed", "v1").unwrap();
    assert_eq!(pushed.stdout, format!("{repository}@{found}\n"));
    let lines: Vec<&str> = pushed.stderr.lines().collect();
    let (last, layers) = lines.split_last().unwrap();
    assert_eq!(*last, format!("bimage: {repository}:v1 ({found}) is pushed"));
    assert!(layers.len() >= 2 && layers.iter().all(|line| line.ends_with(": Pushed")), "{pushed}");
    // On a terminal there is a line for each layer, too.
    let seen = Terminal::new(200).without_stdout().run(&bench.sandbox, "bimage", ["push", &image]).ok();
    let screen = seen.screen();
    let layers = screen.lines().filter(|line| line.ends_with(": Layer already exists")).count();
    assert!(layers >= 2 && screen.lines().count() == layers + 1, "{screen}");
    assert_eq!(digest(&registry.host, "awsb-test/pushed", &bench.tag()), Some(found.clone()));
    let shown = bench.sandbox.run("bimage", ["push", "--json", &image, "--tag", "v1"]).ok().json();
    assert_eq!(shown[0]["imageUri"], format!("{repository}:v1"));
    assert_eq!(shown[0]["imageDigest"], *found);
}

#[test]
fn what_cannot_be_pushed_is_told_before() {
    let Some(bench) = Bench::with_repository("127.0.0.1:1/awsb-test/x") else { return };
    let message = |args: &[&str], code| bench.sandbox.run("bimage", args.iter().copied()).failed_with(code);
    let nothing = format!("awsb:{}", bench.tag());
    assert_eq!(message(&["push", &nothing], 1), format!("the Docker engine has no image {nothing}"));
    assert_eq!(message(&["push", "sha256:0123"], 2), "sha256:0123 has no tag of its own");
    assert!(message(&["push", "a:b", "--tag", "no tag"], 2).contains("a tag has letters"));
    bench.image(&nothing);
    let refused = message(&["push", &nothing], 1);
    assert!(
        refused.starts_with("pushing 127.0.0.1:1/awsb-test/x:") && refused.contains("refused"),
        "{refused}"
    );
    assert_eq!(bench.names(), [nothing]);
}

/// A registry that takes every layer, and answers to a manifest as `put` says; `n` counts the manifests.
fn registry(put: impl Fn(usize) -> Answer + Send + Sync + 'static) -> (BadServer, Arc<AtomicUsize>) {
    let manifests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&manifests);
    let answer = move |request: &Request, _: usize| {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let digest = path.rsplit('/').next().unwrap_or_default().to_owned();
        let committed = || query.rsplit("digest=").next().unwrap_or_default().replace("%3A", ":");
        let upload =
            || vec![("location", "/v2/awsb-test/bad/blobs/uploads/1".into()), ("range", "0-0".into())];
        match request.method.as_str() {
            "PUT" if path.contains("/manifests/") => put(seen.fetch_add(1, Ordering::SeqCst)),
            "PUT" => Answer::Http(201, String::new(), vec![("docker-content-digest", committed())]),
            "POST" | "PATCH" => Answer::Http(202, String::new(), upload()),
            "HEAD" => Answer::Http(200, String::new(), vec![("docker-content-digest", digest)]),
            _ => Answer::Http(
                200,
                String::new(),
                vec![("docker-distribution-api-version", "registry/2.0".into())],
            ),
        }
    };
    (BadServer::start(answer), manifests)
}

fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let errors: Value = json!({"errors": [{"code": code, "message": message}]});
    Answer::Http(status, errors.to_string(), vec![("content-type", "application/json".into())])
}

/// Pushes an image to a bad registry; nothing is left on the engine but the image itself.
fn push_to(server: &BadServer) -> Option<Outcome> {
    let repository = format!("{}/awsb-test/bad", server.endpoint().trim_start_matches("http://"));
    let bench = Bench::with_repository(&repository)?;
    let image = format!("awsb:{}", bench.tag());
    bench.image(&image);
    let outcome = bench.sandbox.run("bimage", ["push", &image, "--tag", "v1"]);
    if outcome.code() != 0 {
        assert_eq!(bench.names(), [image]);
    }
    Some(outcome)
}

/// The lines that are no layer's, without the registry's port.
fn told(outcome: &Outcome, server: &BadServer) -> String {
    let host = server.endpoint().trim_start_matches("http://").to_owned();
    let lines = outcome
        .stderr
        .lines()
        .filter(|line| !line.ends_with(": Layer already exists") && !line.ends_with(": Pushed"));
    lines.collect::<Vec<_>>().join("\n").replace(&host, "REGISTRY")
}

#[test]
fn a_registry_that_refuses() {
    let refusals: [(&str, u16, &str, &str); 4] = [
        (
            "denied",
            403,
            "DENIED",
            "User: arn:aws:iam::123456789012:user/me is not authorized to perform: ecr:PutImage on resource: \
             arn:aws:ecr:eu-west-1:123456789012:repository/bad because no identity-based policy allows it",
        ),
        ("token", 403, "DENIED", "Your authorization token has expired. Reauthenticate and try again."),
        (
            "name_unknown",
            404,
            "NAME_UNKNOWN",
            "The repository with name 'bad' does not exist in the registry with id '123456789012'",
        ),
        (
            "immutable",
            400,
            "TAG_INVALID",
            "The image tag 'v1' already exists in the 'bad' repository and cannot be overwritten because the \
             repository is immutable.",
        ),
    ];
    for (case, status, code, message) in refusals {
        let (server, manifests) = registry(move |_| refusal(status, code, message));
        let Some(outcome) = push_to(&server) else { return };
        assert_eq!((outcome.code(), outcome.stdout.as_str()), (1, ""), "{outcome}");
        insta::with_settings!({snapshot_suffix => case}, {
            insta::assert_snapshot!("refused", told(&outcome, &server));
        });
        assert_eq!(manifests.load(Ordering::SeqCst), 1, "{case}: a refusal is no reason to try again");
    }
}

#[test]
fn a_push_that_breaks_off_is_tried_again() {
    let created =
        || Answer::Http(201, String::new(), vec![("docker-content-digest", format!("sha256:{:064}", 0))]);
    let (server, manifests) = registry(move |n| if n == 0 { Answer::Reset } else { created() });
    let Some(outcome) = push_to(&server) else { return };
    let outcome = outcome.ok();
    assert!(outcome.stderr.contains("note: the push has broken off, and is tried again: "), "{outcome}");
    assert_eq!(manifests.load(Ordering::SeqCst), 2);

    let (server, manifests) = registry(|_| Answer::Reset);
    let Some(outcome) = push_to(&server) else { return };
    let said = told(&outcome.ended_with(1), &server);
    let last: Vec<&str> = said.lines().rev().take(2).collect();
    assert_eq!(last[0], "hint: the same command again sends only the layers that have not arrived");
    assert!(last[1].starts_with("bimage: error: pushing REGISTRY/awsb-test/bad:v1: "), "{said}");
    assert_eq!(manifests.load(Ordering::SeqCst), 3);
}

#[test]
fn an_engine_that_goes_away_while_it_pushes_is_told() {
    let (server, manifests) = registry(|_| Answer::Hang);
    let repository = format!("{}/awsb-test/bad", server.endpoint().trim_start_matches("http://"));
    let Some(mut bench) = Bench::with_repository(&repository) else { return };
    let image = format!("awsb:{}", bench.tag());
    bench.image(&image);
    let line = Line::to_engine();
    bench.sandbox.set("DOCKER_HOST", format!("tcp://{}", line.address));
    let running = bench.sandbox.start("bimage", ["push", &image, "--tag", "v1"]);
    let is_there = || (manifests.load(Ordering::SeqCst) > 0).then_some(());
    eventually("the manifest has come", Duration::from_secs(60), is_there);
    line.cut();
    let outcome = running.wait().ended_with(1);
    let said = format!(
        "error: pushing {repository}:v1: the Docker engine at tcp://{} has gone away: ",
        line.address
    );
    assert!(outcome.stderr.contains(&said), "{outcome}");
}

/// An image for arm64, with nothing in it, as `docker save` writes one (Docker Image Specification v1.2).
fn foreign_image(name: &str, mark: &str) -> Vec<u8> {
    let layer = tar::Builder::new(Vec::new()).into_inner().unwrap();
    let diff: String = Sha256::digest(&layer).iter().map(|byte| format!("{byte:02x}")).collect();
    let config = json!({
        "architecture": "arm64", "os": "linux", "config": {"Env": [format!("{mark}=1")]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff}")]},
        "history": [{"created_by": "a test"}],
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in [
        ("config.json", config.to_string().into_bytes()),
        ("manifest.json", manifest.to_string().into_bytes()),
        ("layer.tar", layer),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    archive.into_inner().unwrap()
}

#[test]
fn an_image_for_other_machines_is_told() {
    let Some(registry) = Registry::start() else { return };
    let repository = format!("{}/awsb-test/arm", registry.host);
    let Some(bench) = Bench::with_repository(&repository) else { return };
    let image = format!("awsb:{}", bench.tag());
    bench.sandbox.file("image.tar", foreign_image(&image, &bench.mark));
    bench.sandbox.run("docker", ["load", "--quiet", "--input", "image.tar"]).ok();
    let pushed = bench.sandbox.run("bimage", ["push", &image]).ok();
    let note =
        format!("note: the image {image} is for linux/arm64, and the machines of the job queue engine");
    assert!(pushed.stderr.starts_with(&note) && pushed.stderr.contains(" are linux/amd64\n"), "{pushed}");
}

/// What an image is based on may be another registry's, which knows the user by what `docker login` has left.
#[test]
fn a_base_image_is_pulled_as_the_user_who_has_logged_in() {
    let Some(registry) = Registry::start() else { return };
    let repository = format!("{}/awsb-test/base", registry.host);
    let Some(pushing) = Bench::with_repository(&repository) else { return };
    let base = format!("{repository}:1");
    pushing.image(&format!("awsb:{}", pushing.tag()));
    pushing.sandbox.run("bimage", ["push", &format!("awsb:{}", pushing.tag()), "--tag", "1"]).ok();
    let helper = "#!/bin/sh\necho \"$@\" >>\"$HOME/asked\"\nread -r registry\n[ \"$registry\" = \"$HELPED\" ] || exit 1\n\
                  printf '{\"ServerURL\":\"%s\",\"Username\":\"AWS\",\"Secret\":\"%s\"}' \"$registry\" \"$(cat \"$HOME/secret\")\"\n";
    let plain = json!({"auths": {&registry.host: {"auth": STANDARD.encode(format!("AWS:{PASSWORD}"))}}});
    let helped = json!({"credHelpers": {&registry.host: "awsb-test"}});
    for builder in BUILDERS {
        for (case, config) in [("plain", Some(&plain)), ("helper", Some(&helped)), ("nobody", None)] {
            // BuildKit asks the registry again for an image that it has, the classic builder does not.
            let names = [base.clone()];
            on_engine(async |docker| {
                let options = RemoveImageOptionsBuilder::new().force(true).build();
                let _ = docker.remove_image(&names[0], Some(options), None).await;
            });
            let Some(mut bench) = Bench::new() else { return };
            bench.sandbox.set("DOCKER_BUILDKIT", builder);
            let bin = bench.sandbox.file("bin/docker-credential-awsb-test", helper);
            std::fs::set_permissions(&bin, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            let path = format!("{}:{}", bin.parent().unwrap().display(), bench.sandbox.get("PATH").unwrap());
            bench.sandbox.set("PATH", path);
            bench.sandbox.set("HELPED", registry.host.as_str());
            bench.sandbox.file("../home/secret", PASSWORD);
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

#[test]
fn ctrl_c_ends_a_push() {
    // The registry takes the manifest and says nothing.
    let (server, manifests) = registry(|_| Answer::Hang);
    let repository = format!("{}/awsb-test/bad", server.endpoint().trim_start_matches("http://"));
    let Some(bench) = Bench::with_repository(&repository) else { return };
    let image = format!("awsb:{}", bench.tag());
    bench.image(&image);
    let running = bench.sandbox.start("bimage", ["push", &image, "--tag", "v1"]);
    let is_there = || (manifests.load(Ordering::SeqCst) > 0).then_some(());
    eventually("the manifest has come", Duration::from_secs(60), is_there);
    running.signal(Signal::SIGINT);
    let outcome = running.wait().ended_with(130);
    assert!(outcome.stderr.ends_with(&format!("interrupted: {repository}:v1 was not pushed\n")), "{outcome}");
    assert_eq!(bench.names(), [image]);
}
