//! Images of a Docker engine are pushed, to a real registry and to bad ones.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use awsb_testkit::{
    Answer, BadServer, EngineLine, ImageBench, Moto, Outcome, Registry, Request, Terminal, eventually, story,
};

/// The digest that a registry has for a tag.
fn digest(host: &str, name: &str, tag: &str) -> Option<String> {
    let mut stream = TcpStream::connect(host).unwrap();
    let user = STANDARD.encode(format!("AWS:{}", Moto::ECR_PASSWORD));
    let request = format!(
        "HEAD /v2/{name}/manifests/{tag} HTTP/1.1\r\nhost: {host}\r\nauthorization: Basic {user}\r\n\
         accept: application/vnd.docker.distribution.manifest.v2+json\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().find_map(|line| line.strip_prefix("Docker-Content-Digest: ")).map(str::to_owned)
}

#[story]
fn a_build_goes_to_the_registry() {
    let registry = Registry::start();
    let repository = format!("{}/awsb-test/built", registry.host);
    let bench = ImageBench::with_repository(&repository);
    let folder = bench.dockerfile("RUN echo hello > /hello");
    let built = bench.sandbox.run("bimage", ["build", "--debug", folder]).ok();
    let (named, found) = built.stdout.trim_end().split_once('@').unwrap();
    assert_eq!(named, repository);
    let name = bench.names().pop().unwrap();
    let tag = name.strip_prefix(&format!("{repository}:")).unwrap();
    assert_eq!(digest(&registry.host, "awsb-test/built", tag).as_deref(), Some(found));
    assert!(built.stderr.contains(": Pushed\n"), "{built}");
    // Nobody saw the token.
    let secrets = [Moto::ECR_PASSWORD.to_owned(), STANDARD.encode(format!("AWS:{}", Moto::ECR_PASSWORD))];
    assert!(!secrets.iter().any(|secret| built.stderr.contains(secret)), "{built}");
    // An image that was built and is gone from the registry is pushed again, not built.
    let again = bench.sandbox.run("bimage", ["build", folder]).ok();
    assert_eq!(again.stdout, built.stdout);
    assert!(again.stderr.contains(": Layer already exists\n") && !again.stderr.contains("RUN"), "{again}");
}

#[story]
fn an_image_of_the_engine_is_pushed() {
    let registry = Registry::start();
    let repository = format!("{}/awsb-test/pushed", registry.host);
    let bench = ImageBench::with_repository(&repository);
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

#[story]
fn what_cannot_be_pushed_is_told_before() {
    let bench = ImageBench::with_repository("127.0.0.1:1/awsb-test/x");
    let message = |args: &[&str], code| bench.sandbox.run("bimage", args.iter().copied()).failed_with(code);
    let nothing = format!("awsb:{}", bench.tag());
    assert_eq!(message(&["push", &nothing], 1), format!("the Docker engine has no image {nothing}"));
    assert_eq!(message(&["push", "sha256:0123"], 2), "sha256:0123 has no tag of its own");
    assert!(message(&["push", "a:b", "--tag", "no tag"], 2).contains("a tag has at most 128 letters"));
    bench.image(&nothing);
    let refused = message(&["push", &nothing], 1);
    assert!(
        refused.starts_with("pushing 127.0.0.1:1/awsb-test/x:") && refused.contains("refused"),
        "{refused}"
    );
    assert_eq!(bench.names(), [nothing]);
}

/// A registry that takes every layer, and answers to a manifest as `put` says; `n` counts the
/// manifests.
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
fn push_to(server: &BadServer) -> Outcome {
    let repository = format!("{}/awsb-test/bad", server.endpoint().trim_start_matches("http://"));
    let bench = ImageBench::with_repository(&repository);
    let image = format!("awsb:{}", bench.tag());
    bench.image(&image);
    let outcome = bench.sandbox.run("bimage", ["push", &image, "--tag", "v1"]);
    if outcome.code() != 0 {
        assert_eq!(bench.names(), [image]);
    }
    outcome
}

/// The lines that are no layer's, without the registry's port.
fn message_lines(outcome: &Outcome, server: &BadServer) -> String {
    let host = server.endpoint().trim_start_matches("http://").to_owned();
    let lines = outcome
        .stderr
        .lines()
        .filter(|line| !line.ends_with(": Layer already exists") && !line.ends_with(": Pushed"));
    lines.collect::<Vec<_>>().join("\n").replace(&host, "REGISTRY")
}

#[story]
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
        let outcome = push_to(&server);
        assert_eq!((outcome.code(), outcome.stdout.as_str()), (1, ""), "{outcome}");
        insta::with_settings!({snapshot_suffix => case}, {
            insta::assert_snapshot!("refused", message_lines(&outcome, &server));
        });
        assert_eq!(manifests.load(Ordering::SeqCst), 1, "{case}: a refusal is no reason to try again");
    }
}

#[story]
fn a_push_that_breaks_off_is_tried_again() {
    let created =
        || Answer::Http(201, String::new(), vec![("docker-content-digest", format!("sha256:{:064}", 0))]);
    let (server, manifests) = registry(move |n| if n == 0 { Answer::Reset } else { created() });
    let outcome = push_to(&server);
    let outcome = outcome.ok();
    assert!(outcome.stderr.contains("note: the push was interrupted and is tried again: "), "{outcome}");
    assert_eq!(manifests.load(Ordering::SeqCst), 2);

    let (server, manifests) = registry(|_| Answer::Reset);
    let outcome = push_to(&server);
    let output = message_lines(&outcome.ended_with(1), &server);
    let last: Vec<&str> = output.lines().rev().take(2).collect();
    assert_eq!(last[0], "hint: the same command sends only the layers that are missing");
    assert!(last[1].starts_with("bimage: error: pushing REGISTRY/awsb-test/bad:v1: "), "{output}");
    assert_eq!(manifests.load(Ordering::SeqCst), 3);
}

#[story]
fn an_engine_that_goes_away_while_it_pushes_is_told() {
    let (server, manifests) = registry(|_| Answer::Hang);
    let repository = format!("{}/awsb-test/bad", server.endpoint().trim_start_matches("http://"));
    let mut bench = ImageBench::with_repository(&repository);
    let image = format!("awsb:{}", bench.tag());
    bench.image(&image);
    let line = EngineLine::new();
    bench.sandbox.set("DOCKER_HOST", format!("tcp://{}", line.address));
    let running = bench.sandbox.start("bimage", ["push", &image, "--tag", "v1"]);
    let is_there = || (manifests.load(Ordering::SeqCst) > 0).then_some(());
    eventually("the manifest has come", Duration::from_secs(60), is_there);
    line.cut();
    let outcome = running.wait().ended_with(1);
    let output = format!(
        "error: pushing {repository}:v1: the Docker engine at tcp://{} has gone away: ",
        line.address
    );
    assert!(outcome.stderr.contains(&output), "{outcome}");
}

/// An image for arm64, with nothing in it, as `docker save` writes one (Docker Image Specification
/// v1.2).
fn foreign_image(name: &str, mark: &str) -> Vec<u8> {
    let layer = tar::Builder::new(Vec::new()).into_inner().unwrap();
    let diff = hex::encode(Sha256::digest(&layer));
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

#[story]
fn an_image_for_other_machines_is_told() {
    let registry = Registry::start();
    let repository = format!("{}/awsb-test/arm", registry.host);
    let bench = ImageBench::with_repository(&repository);
    let image = format!("awsb:{}", bench.tag());
    bench.sandbox.file("image.tar", foreign_image(&image, &bench.mark));
    bench.sandbox.run("docker", ["load", "--quiet", "--input", "image.tar"]).ok();
    let pushed = bench.sandbox.run("bimage", ["push", &image]).ok();
    let note = format!(
        "bimage: note: the image {image} is for linux/arm64, and the machines of the job queue engine"
    );
    assert!(pushed.stderr.starts_with(&note) && pushed.stderr.contains(" are linux/amd64\n"), "{pushed}");
}

#[story]
fn ctrl_c_ends_a_push() {
    // The registry takes the manifest and says nothing.
    let (server, manifests) = registry(|_| Answer::Hang);
    let repository = format!("{}/awsb-test/bad", server.endpoint().trim_start_matches("http://"));
    let bench = ImageBench::with_repository(&repository);
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
