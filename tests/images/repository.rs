//! The views of images: those in the cluster's repository, and those that an engine keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use awsb_testkit::{Answer, BadServer, Moto, MotoCluster, Request, Sandbox, Terminal, engine, story};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd";

/// A sandbox whose cluster `far` has a repository at an endpoint.
fn far(endpoint: &str, settings: &str) -> Sandbox {
    let sandbox = Sandbox::at(endpoint);
    let path = format!("{}/awsb/config.toml", sandbox.get("XDG_CONFIG_HOME").unwrap());
    let config = std::fs::read_to_string(path).unwrap();
    sandbox.config(&format!("{config}{settings}\n"));
    sandbox
}

/// The operation of a request to ECR.
fn operation(request: &Request) -> &str {
    request.header("x-amz-target").and_then(|target| target.split('.').nth(1)).unwrap_or_default()
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

/// The n-th digest.
fn digest(n: usize) -> String {
    format!("sha256:{:08x}{n:056x}", (n + 1) * 0x0bad_cafe)
}

/// The n-th of many images, the first of which is the oldest.
fn image(n: usize) -> Value {
    json!({
        "registryId": "123456789012", "repositoryName": "lab/genomics",
        "imageDigest": digest(n), "imageTags": [format!("v{n}")],
        "imageSizeInBytes": 31_415_926 + n, "imagePushedAt": 1_600_000_000.5 + n as f64,
        "imageManifestMediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "artifactMediaType": "application/vnd.docker.container.image.v1+json",
    })
}

/// ECR with one repository, `lab/genomics`, in which there are these images.
fn ecr(images: Vec<Value>) -> BadServer {
    BadServer::start(move |request, _| {
        let asked = body(request);
        match operation(request) {
            "DescribeRepositories" => Answer::json(json!({"repositories": [{
                "repositoryName": "lab/genomics", "registryId": "123456789012",
                "repositoryUri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/lab/genomics",
            }]})),
            "DescribeImages" => {
                let named = asked["imageIds"][0]["imageTag"].as_str();
                let images: Vec<&Value> = images
                    .iter()
                    .filter(|image| {
                        named.is_none_or(|tag| image["imageTags"].as_array().unwrap().contains(&json!(tag)))
                    })
                    .collect();
                if named.is_some() && images.is_empty() {
                    return Answer::error(400, "ImageNotFoundException", "The image is not there");
                }
                let size = usize::try_from(asked["maxResults"].as_u64().unwrap_or(100)).unwrap();
                let from: usize = asked["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
                let page: Vec<&Value> = images.iter().skip(from).take(size).copied().collect();
                let next = (from + size < images.len()).then(|| (from + size).to_string());
                Answer::json(json!({"imageDetails": page, "nextToken": next}))
            }
            "BatchDeleteImage" => {
                let ids = asked["imageIds"].as_array().cloned().unwrap_or_default();
                assert!(ids.len() <= 100, "more than ECR takes");
                let mut answer = json!({"imageIds": [], "failures": []});
                for id in ids {
                    let failure = match id["imageTag"].as_str() {
                        Some("gone") => Some(("ImageNotFound", "Requested image not found")),
                        Some("part") => Some((
                            "ImageReferencedByManifestList",
                            "Requested image referenced by manifest list: [sha256:ff]",
                        )),
                        Some("locked") => Some(("KmsError", "the key is disabled")),
                        _ => None,
                    };
                    match failure {
                        Some((code, reason)) => answer["failures"]
                            .as_array_mut()
                            .unwrap()
                            .push(json!({"imageId": id, "failureCode": code, "failureReason": reason})),
                        None if id["imageTag"] == "silent" => {}
                        None => {
                            let digest = id["imageDigest"].as_str().unwrap_or(DIGEST);
                            let ids = answer["imageIds"].as_array_mut().unwrap();
                            ids.push(json!({"imageTag": id["imageTag"], "imageDigest": digest}));
                        }
                    }
                }
                Answer::json(answer)
            }
            other => Answer::error(400, "UnknownOperationException", other),
        }
    })
}

const NAMED: &str = "ecr_repository = \"lab/genomics\"";

/// The answer of an engine that has each image and pushes it, unless `refused` says why not;
/// `None`: not to an engine.
fn of_engine(request: &Request, refused: Option<&str>) -> Option<Answer> {
    let path = request.target.split('?').next().unwrap_or_default();
    let pushed = match refused {
        Some(why) => json!({"error": why, "errorDetail": {"message": why}}),
        None => json!({"aux": {"Tag": "1", "Digest": DIGEST, "Size": 1}}),
    };
    Some(match (request.method.as_str(), path) {
        ("GET", path) if path.ends_with("/version") => Answer::json(json!({"ApiVersion": "1.41"})),
        ("GET", path) if path.ends_with("/_ping") => Answer::Http(200, "OK".into(), Vec::new()),
        ("GET", path) if path.ends_with("/json") => Answer::json(json!({"Id": digest(1)})),
        ("POST", path) if path.ends_with("/tag") => Answer::Http(201, String::new(), Vec::new()),
        ("DELETE", _) => Answer::json(json!([])),
        ("POST", path) if path.ends_with("/push") => {
            Answer::Http(200, format!("{pushed}\n"), vec![("content-type", "application/json".into())])
        }
        _ => return None,
    })
}

#[story]
fn a_push_to_a_repository_that_has_gone_makes_it_again() {
    for makes in [true, false] {
        let is_there = Arc::new(AtomicBool::new(true));
        let seen = Arc::clone(&is_there);
        let server = BadServer::start(move |request, _| {
            let repository = json!({
                "repositoryName": "lab/genomics", "registryId": "123456789012",
                "repositoryUri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/lab/genomics",
            });
            let why = "name unknown: The repository with name 'lab/genomics' does not exist in the registry with id '1'";
            match operation(request) {
                "DescribeRepositories" if seen.load(Ordering::SeqCst) => {
                    Answer::json(json!({"repositories": [repository]}))
                }
                "DescribeRepositories" => Answer::error(400, "RepositoryNotFoundException", "no"),
                "CreateRepository" => {
                    seen.store(true, Ordering::SeqCst);
                    Answer::json(json!({"repository": repository}))
                }
                "DescribeImages" => Answer::json(json!({"imageDetails": []})),
                "GetAuthorizationToken" => Answer::json(json!({"authorizationData": [
                    {"authorizationToken": STANDARD.encode("AWS:x"), "proxyEndpoint": "https://r"}]})),
                _ => of_engine(request, Some(why).filter(|_| !seen.load(Ordering::SeqCst)))
                    .unwrap_or_else(|| Answer::error(400, "UnknownOperationException", &request.target)),
            }
        });
        let mut sandbox = far(&server.endpoint(), &format!("{NAMED}\ncreate_repository = {makes}"));
        sandbox.set("DOCKER_HOST", server.endpoint().replace("http:", "tcp:"));
        sandbox.run("bimage", ["list"]).ok();
        is_there.store(false, Ordering::SeqCst);
        let pushed = sandbox.run("bimage", ["push", "tool:1"]);
        let repository = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/lab/genomics";
        match makes {
            true => assert_eq!(pushed.ok().stdout, format!("{repository}@{DIGEST}\n")),
            false => {
                let missing = "there is no repository lab/genomics in ECR (cluster far, region eu-west-1)";
                assert_eq!(pushed.failed_with(1), missing);
            }
        }
    }
}

#[story]
fn a_token_of_ecrs_is_shown_to_nobody_else() {
    let server = BadServer::start(|request, _| {
        of_engine(request, None).unwrap_or_else(|| Answer::Http(403, String::new(), Vec::new()))
    });
    let mut sandbox = Sandbox::at(&server.endpoint());
    sandbox.config(
        "default_cluster = \"far\"\n[cluster.far]\nregion = \"eu-west-1\"\nbucket = \"b\"\njob_queue = \"q\"\n\
         job_definition = \"d\"\necr_repository = \"127.0.0.1:5000/lab/genomics\"\ncodebuild_project = \"p\"\n",
    );
    // AWS's own ECR, which is asked by way of a proxy.
    sandbox.set("HTTPS_PROXY", server.endpoint());
    sandbox.set("DOCKER_HOST", server.endpoint().replace("http:", "tcp:"));
    sandbox.run("bimage", ["push", "tool:1"]).ok();
    let asked = server.requests("");
    let push = asked.iter().find(|request| request.target.contains("/push")).unwrap();
    assert_eq!(push.header("x-registry-auth").unwrap(), STANDARD.encode("{}"));
    assert!(!asked.iter().any(|request| request.method == "CONNECT"), "somebody asked for a token");
    sandbox.file("context/Dockerfile", "FROM scratch\n");
    let refused = sandbox.run("bimage", ["build", "context", "--builder", "codebuild"]).failed_with(2);
    assert!(refused.starts_with("CodeBuild cannot push to 127.0.0.1:5000/lab/genomics: "), "{refused}");
}

/// Images of all kinds.
fn mixed() -> Vec<Value> {
    let mut several = image(1);
    several["imageTags"] = json!(["1.2", "1.2.0", "latest-stable-of-the-genomics-pipeline"]);
    several["lastRecordedPullTime"] = json!(1_600_100_000);
    let mut untagged = image(2);
    untagged["imageTags"] = json!([]);
    untagged["imageSizeInBytes"] = json!(1_234_567_890_i64);
    let mut platforms = image(3);
    platforms["imageManifestMediaType"] = json!("application/vnd.oci.image.index.v1+json");
    platforms["imageTags"] = json!(["both"]);
    platforms.as_object_mut().unwrap().remove("imageSizeInBytes");
    let mut cache = image(4);
    cache["artifactMediaType"] = json!("application/vnd.buildkit.cacheconfig.v0");
    cache["imageTags"] = json!(["cache-amd64\u{1b}[31m"]);
    vec![several, untagged, platforms, cache]
}

#[story]
fn the_list() {
    let server = ecr(mixed());
    let sandbox = far(&server.endpoint(), NAMED);
    let piped = sandbox.run("bimage", ["list"]).ok();
    assert_eq!(piped.stderr, "");
    let on = |columns: u16| Terminal::new(columns).run(&sandbox, "bimage", ["list"]).ok().screen();
    insta::assert_snapshot!(format!(
        "pipe\n{}\n160\n{}\n80\n{}\n40\n{}",
        piped.stdout,
        on(160),
        on(80),
        on(40)
    ));

    let json = sandbox.run("bimage", ["list", "--json"]).ok().json();
    let tags: Vec<&Value> = json.as_array().unwrap().iter().map(|image| &image["imageTags"][0]).collect();
    assert_eq!(tags, [&json!("cache-amd64\u{1b}[31m"), &json!("both"), &Value::Null, &json!("1.2")]);
    assert_eq!(json[3]["imagePushedAt"], 1_600_000_001_500_i64);
    assert_eq!(json[3]["lastRecordedPullTime"], 1_600_100_000_000_i64);
    assert_eq!(json[1]["imageSizeInBytes"], Value::Null);
    assert_eq!(json[2]["imageDigest"], digest(2));
    // Where the repository is was asked once.
    let asked = server.requests("ecr");
    assert_eq!(asked.iter().filter(|r| operation(r) == "DescribeRepositories").count(), 1);
}

#[story]
fn images_in_the_archive_are_listed() {
    let mut archived = image(1);
    archived["imageStatus"] = json!("ARCHIVED");
    let server = ecr(vec![archived]);
    let sandbox = far(&server.endpoint(), NAMED);
    let json = sandbox.run("bimage", ["list", "--json"]).ok().json();
    assert_eq!(json[0]["imageStatus"], "ARCHIVED");
    let asked = server.requests("ecr");
    let asked = asked.iter().find(|request| operation(request) == "DescribeImages").unwrap();
    assert_eq!(body(asked)["filter"], json!({ "imageStatus": "ANY" }));
}

#[story]
fn every_page_is_read() {
    let server = ecr((0..1_200).map(image).collect());
    let sandbox = far(&server.endpoint(), NAMED);
    let listed = sandbox.run("bimage", ["list", "--no-header"]).ok().stdout;
    let tags: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let newest_first: Vec<String> = (0..1_200).rev().map(|n| format!("v{n}")).collect();
    assert_eq!(tags, newest_first);
    let pages = server.requests("ecr").iter().filter(|r| operation(r) == "DescribeImages").count();
    assert_eq!(pages, 2);
}

#[story]
fn each_outcome_of_a_removal_is_told() {
    let server = ecr(mixed());
    let sandbox = far(&server.endpoint(), NAMED);
    let tags: Vec<String> = (0..250).map(|n| format!("v{n}")).collect();
    let mut args = vec!["rm".to_owned(), "-y".to_owned()];
    args.extend(tags.iter().cloned());
    // Each image once.
    args.extend(["gone", "part", "locked", "silent", "v7", "v7"].map(str::to_owned));
    let removed = sandbox.run("bimage", args).ended_with(1);
    let lines: Vec<&str> = removed.stdout.lines().collect();
    assert_eq!(lines.len(), 250, "{removed}");
    assert_eq!(lines[7], "Image 123456789012.dkr.ecr.eu-west-1.amazonaws.com/lab/genomics:v7 is removed.");
    insta::assert_snapshot!(removed.stderr);
    let calls: Vec<usize> = server
        .requests("ecr")
        .iter()
        .filter(|r| operation(r) == "BatchDeleteImage")
        .map(|r| body(r)["imageIds"].as_array().map_or(0, Vec::len))
        .collect();
    assert_eq!(calls, [100, 100, 54]);

    let untagged = digest(2);
    let json = sandbox.run("bimage", ["rm", "-y", "--json", "1.2", "gone", &untagged]).ended_with(1).json();
    assert_eq!(
        json,
        json!([{"imageTag": "1.2", "imageDigest": DIGEST}, {"imageTag": null, "imageDigest": untagged}])
    );
}

#[story]
fn nothing_is_removed_that_is_not_meant() {
    let server = ecr(mixed());
    let sandbox = far(&server.endpoint(), NAMED);
    let removals = || server.requests("ecr").iter().filter(|r| operation(r) == "BatchDeleteImage").count();
    // Nobody can be asked.
    let outcome = sandbox.run("bimage", ["rm", "1.2"]);
    assert!(outcome.failed_with(2).starts_with("refusing to remove images"), "{outcome}");
    assert!(server.requests("ecr").is_empty());
    // One that is not there is said, the others are shown.
    let dry = sandbox.run("bimage", ["rm", "--dry-run", "--json", "1.2", "v9", "both"]).ended_with(1);
    assert_eq!(
        dry.stderr.matches("bimage: error: there is no image v9 in lab/genomics (ECR in eu-west-1)").count(),
        1
    );
    assert_eq!(dry.json().as_array().map(Vec::len), Some(2));
    for answer in ["\n", "n\n"] {
        let mut asking = Terminal::new(120).start(&sandbox, "bimage", ["rm", "1.2", "v9", "both"]);
        let screen = asking.until("the question", |screen| screen.contains("[y/N]"));
        assert!(screen.contains("there is no image v9"), "{screen}");
        assert!(screen.contains("(stays as 1.2.0, latest-stable-of-the-genomics-pipeline)"), "{screen}");
        assert!(
            screen.contains("Remove these 2 images from lab/genomics (ECR in eu-west-1)? [y/N]"),
            "{screen}"
        );
        asking.types(answer);
        assert!(asking.wait().ended_with(1).screen().contains("nothing has been removed"));
    }
    assert_eq!(removals(), 0);
    let mut asking = Terminal::new(120).start(&sandbox, "bimage", ["rm", "1.2", "both"]);
    asking.until("the question", |screen| screen.contains("[y/N]"));
    asking.types("y\n");
    assert_eq!(asking.wait().ok().screen().matches(" is removed.").count(), 2);
    assert_eq!(removals(), 1);
}

#[story]
fn a_repository_is_asked_for_where_it_is() {
    let server = ecr(mixed());
    let uri = "111122223333.dkr.ecr.ap-southeast-2.amazonaws.com/lab/genomics";
    let sandbox = far(&server.endpoint(), &format!("ecr_repository = \"{uri}\""));
    let removed = sandbox.run("bimage", ["rm", "-y", "both"]).ok();
    assert_eq!(removed.stdout, format!("Image {uri}:both is removed.\n"));
    sandbox.run("bimage", ["list"]).ok();
    let requests = server.requests("ecr");
    assert_eq!(
        requests.iter().map(operation).collect::<Vec<_>>(),
        ["DescribeRepositories", "BatchDeleteImage", "DescribeImages"]
    );
    for request in &requests {
        assert_eq!(body(request)["registryId"], "111122223333");
        assert!(request.header("authorization").unwrap().contains("/ap-southeast-2/ecr/"));
    }
}

#[story]
fn what_goes_wrong_is_said() {
    let denied = "User: arn:aws:iam::1:user/me is not authorized to perform: ecr:DescribeImages on resource: \
                  arn:aws:ecr:eu-west-1:1:repository/lab/genomics because no identity-based policy allows the \
                  ecr:DescribeImages action";
    let server = BadServer::start(move |request, _| match operation(request) {
        "DescribeRepositories" if body(request)["repositoryNames"][0] == "lab/none" => Answer::error(
            400,
            "RepositoryNotFoundException",
            "The repository with name 'lab/none' does not exist",
        ),
        "DescribeRepositories" => Answer::json(json!({"repositories": [{
            "repositoryUri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/lab/genomics",
        }]})),
        _ => Answer::error(400, "AccessDeniedException", denied),
    });
    let report = |settings: &str, words: &[&str], code: i32| {
        let sandbox = far(&server.endpoint(), settings);
        let outcome = sandbox.run("bimage", words);
        let message = outcome.failed_with(code);
        let hints: String = outcome.hints().lines().map(|hint| format!("  {hint}\n")).collect();
        format!("{settings}\nbimage {}\n  {message}\n{hints}\n", words.join(" "))
    };
    let mut all = String::new();
    for words in [&["list"][..], &["show", "1.2"], &["rm", "-y", "1.2"]] {
        all.push_str(&report("ecr_repository = \"lab/none\"", words, 1));
    }
    for words in [&["list"][..], &["show", "1.2"], &["rm", "-y", "1.2"]] {
        all.push_str(&report(NAMED, words, 1));
    }
    all.push_str(&report("ecr_repository = \"127.0.0.1:5000/lab\"", &["list"], 2));
    insta::assert_snapshot!(all.replace(&server.endpoint(), "ENDPOINT"));
}

#[story]
fn no_engine_and_no_repository() {
    let mut sandbox = far(&BadServer::closed_port(), "");
    sandbox.set("DOCKER_HOST", "unix:///no/such/socket");
    let outcome = sandbox.run("bimage", ["list"]);
    assert_eq!(
        outcome.failed_with(1),
        "looking for the images that the Docker engine of this machine keeps: no Docker engine answers; tried \
         unix:///no/such/socket: no such file"
    );
    assert!(outcome.hints().contains("DOCKER_HOST can name it"), "{outcome}");
}

/// The settings file refuses these settings in [cluster.local].
#[story]
fn no_hint_advises_settings_of_the_local_cluster() {
    let mut sandbox = Sandbox::new();
    sandbox.file("context/Dockerfile", "FROM scratch\n");
    sandbox.set("DOCKER_HOST", "unix:///no/such/socket");
    for (arguments, setting) in [
        (&["push", "-c", "local", "tool:1"][..], "ecr_repository"),
        (&["build", "-c", "local", "context"][..], "codebuild_project"),
        (&["build", "-c", "local", "--builder", "codebuild", "context"][..], "codebuild_project"),
    ] {
        let outcome = sandbox.run("bimage", arguments);
        let hints = outcome.hints();
        assert_ne!(outcome.code(), 0, "{outcome}");
        assert!(hints.contains(&format!("whose settings have {setting}")), "{outcome}");
        assert!(!hints.contains("[cluster."), "{outcome}");
    }
}

#[story]
fn what_debug_shows_has_no_token() {
    let image = engine();
    let token = STANDARD.encode("AWS:hush-token");
    let answer = json!({"authorizationData": [{"authorizationToken": token, "proxyEndpoint": "https://r.example.org"}]});
    let server = BadServer::start(move |_, _| Answer::json(answer.clone()));
    // Port 1 is nobody's.
    let sandbox = far(&server.endpoint(), "ecr_repository = \"127.0.0.1:1/lab\"");
    let outcome = sandbox.run("bimage", ["push", "--debug", image]).ended_with(1);
    assert!(outcome.stderr.contains("GetAuthorizationToken"), "{outcome}");
    assert!(outcome.stderr.contains("https://r.example.org"), "{outcome}");
    let secret = STANDARD.encode("AWS:hush-token");
    assert!(!outcome.stderr.contains(&secret) && !outcome.stderr.contains("hush"), "{outcome}");
}

/// Tags on the engine, which are gone when this is dropped.
struct Tagged<'s>(&'s Sandbox, [String; 2]);

impl Drop for Tagged<'_> {
    fn drop(&mut self) {
        for tag in &self.1 {
            self.0.run("docker", ["rmi", "--no-prune", tag]);
        }
    }
}

#[story]
fn images_that_an_engine_keeps() {
    engine();
    let sandbox = far(&BadServer::closed_port(), "");
    let docker = |args: &[&str]| sandbox.run("docker", args);
    // An image of this test's own.
    let tags = [1, 2].map(|n| format!("repository-test-{}-{n}", std::process::id()));
    let [first, second] = &tags;
    let [image, alias] = tags.each_ref().map(|tag| format!("awsb:{tag}"));
    let _tagged = Tagged(&sandbox, [image.clone(), alias.clone()]);
    sandbox.file("content", first);
    sandbox.run("sh", ["-euc", "tar -c content | docker import - \"$1\"", "sh", &image]).ok();
    docker(&["tag", &image, &alias]).ok();
    let listed = sandbox.run("bimage", ["list", "--json"]).ok().json();
    let ours = listed.as_array().unwrap().iter().find(|image| {
        image["imageTags"]
            .as_array()
            .is_some_and(|tags| tags.contains(&json!(first)) && tags.contains(&json!(second)))
    });
    let ours = ours.unwrap_or_else(|| panic!("{listed}"));
    assert_eq!(ours["repositoryName"], "awsb");
    let now = jiff::Timestamp::now().as_millisecond();
    let tagged = ours["imagePushedAt"].as_i64().unwrap();
    assert!((now - tagged).abs() < 600_000, "{tagged} is now, {now}");
    let shown = &sandbox.run("bimage", ["show", "--json", first]).ok().json()[0];
    assert_eq!(shown["imageUri"], format!("awsb:{first}"));
    assert_eq!(
        (&shown["imageDigest"], shown["imageSizeInBytes"].as_i64() > Some(0)),
        (&ours["imageDigest"], true)
    );
    assert!(shown["platforms"][0].as_str().unwrap().starts_with("linux/"), "{shown}");
    assert_eq!(shown["layers"].as_array().map(Vec::len), Some(1));

    // Of a cluster on AWS it is said that its jobs see none of them; nothing is sent there.
    sandbox.config(
        "[cluster.far]\nregion = \"eu-west-1\"\nbucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d\"\n",
    );
    let printed = format!("awsb:{first}");
    let shown = sandbox.run("bimage", ["--cluster", "far", "show", &printed]).ok();
    assert!(shown.stderr.contains("note: these images are on this machine's Docker engine"), "{shown}");

    let other = sandbox.run("bimage", ["-c", "local", "show", &format!("lab:{first}")]).failed_with(2);
    assert!(other.contains("belongs to another repository"), "{other}");

    // Nothing is forced, and nothing but what is ours is there.
    let removed = sandbox.run("bimage", ["-c", "local", "rm", "-y", first, "no-such-tag"]).ended_with(1);
    assert_eq!(removed.stdout, format!("Image awsb:{first} is removed.\n"));
    assert!(
        removed.stderr.contains("error: there is no image no-such-tag in awsb on the Docker engine"),
        "{removed}"
    );
    docker(&["image", "inspect", &alias]).ok();
    let id = ours["imageDigest"].as_str().unwrap();
    // By its ID it loses the tags that are ours, and stays with those that are not.
    let other = format!("repository-test/{first}");
    let _other = Tagged(&sandbox, [other.clone(), other.clone()]);
    docker(&["tag", &alias, &image]).ok();
    docker(&["tag", &alias, &other]).ok();
    sandbox.run("bimage", ["-c", "far", "rm", "-y", id]).ok();
    assert!(docker(&["image", "inspect", &alias, &image]).code() != 0);
    docker(&["image", "inspect", &other]).ok();
    sandbox.run("bimage", ["-c", "far", "show", id]).ended_with(1);
}

/// A cluster of moto's whose repository is named in its settings, and the sandbox for it.
fn moto(name: &str, settings: &str) -> (MotoCluster, Sandbox) {
    let cluster = Moto::without_containers().cluster(name);
    let sandbox = cluster.aws_sandbox();
    sandbox.config(&format!("{}ecr_repository = \"lab/{name}\"\n{settings}\n", cluster.config()));
    (cluster, sandbox)
}

/// The requests to a repository of moto's.
fn calls(cluster: &MotoCluster, operation: &str) -> usize {
    let name = format!("lab/{}", cluster.part("name"));
    let calls = cluster.calls(operation);
    calls.iter().filter(|call| call["repositoryName"] == name || call["repositoryNames"][0] == name).count()
}

#[story]
fn a_repository_that_is_not_there_and_one_that_has_gone() {
    let (cluster, sandbox) = moto("coming", "");
    let missing = "there is no repository lab/coming in ECR (cluster moto, region eu-west-1)";
    let outcome = sandbox.run("bimage", ["list"]);
    assert_eq!(outcome.failed_with(1), missing);
    let command = "aws ecr create-repository --region eu-west-1 --repository-name lab/coming";
    assert!(outcome.hints().contains(&format!("`{command}` makes it")), "{outcome}");
    sandbox.run("sh", ["-c", command]).ok();
    assert_eq!(sandbox.run("bimage", ["list", "--json"]).ok().stdout, "[]\n");
    let head = "imageTags  imageDigest  size  imagePushedAt  lastPulled  kind\n";
    assert_eq!(sandbox.run("bimage", ["list"]).ok().stdout, head);
    // It is known from here on, until it turns out that it has gone.
    let asked = calls(&cluster, "DescribeRepositories");
    sandbox.run("bimage", ["list"]).ok();
    assert_eq!(calls(&cluster, "DescribeRepositories"), asked);
    sandbox.run("aws", ["ecr", "delete-repository", "--repository-name", "lab/coming"]).ok();
    for words in [&["list"][..], &["show", "x"], &["rm", "-y", "x"]] {
        assert_eq!(sandbox.run("bimage", words).failed_with(1), missing);
    }
    // Commands that only read create no repository.
    sandbox
        .config(&format!("{}ecr_repository = \"lab/coming\"\ncreate_repository = true\n", cluster.config()));
    let outcome = sandbox.run("bimage", ["list"]);
    assert_eq!((outcome.failed_with(1), calls(&cluster, "CreateRepository")), (missing.to_owned(), 1));
    assert!(outcome.hints().contains("`bimage build` and `bimage push` make it"), "{outcome}");
}

#[story]
fn the_first_build_makes_the_repository_and_the_project_is_as_the_docs_have_it() {
    let settings = "create_repository = true\ncodebuild_project = \"images-first\"";
    let (cluster, sandbox) = moto("first", settings);
    let page = include_str!("../../docs/iam.md");
    let section = page.split("\n## The CodeBuild project\n").nth(1).expect("the section");
    let block =
        |mark: &str| section.split(mark).nth(1).and_then(|rest| rest.split("\n```").next()).expect("a block");
    let own = |text: &str| text.replace("PROJECT", "images-first").replace("BUCKET", &cluster.part("bucket"));
    sandbox.file("policy.json", own(block("```json\n")));
    // moto wants a place for every source, and roles of its own account.
    let script = own(block("```sh\n")).replace("\"NO_SOURCE\",", "\"NO_SOURCE\", \"location\": \"none\",");
    sandbox.run("sh", ["-euc", &script.replace("111122223333", "123456789012")]).ok();
    let project =
        sandbox.run("aws", ["codebuild", "batch-get-projects", "--names", "images-first"]).ok().json();
    assert_eq!(project["projects"][0]["environment"]["privilegedMode"], true);

    sandbox.file("image/Dockerfile", "FROM scratch\n");
    let uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/lab/first";
    for n in 0..2 {
        // moto's builds succeed and make nothing.
        let outcome = sandbox.run("bimage", ["build", "--tag", "1.2", "image"]).ended_with(1);
        assert!(outcome.stderr.contains(&format!("there is no image {uri}:1.2")), "{outcome}");
        assert_eq!(
            outcome.stderr.contains(&format!("bimage: the repository {uri} has been created\n")),
            n == 0,
            "{outcome}"
        );
    }
    assert_eq!(calls(&cluster, "CreateRepository"), 1);
}

/// Puts images into a repository of moto's: one with two tags, one for two platforms, one whose tag
/// was taken over.
const PUT: &str = r#"
import boto3, json, sys
ecr, name = boto3.client("ecr"), sys.argv[1]
ecr.create_repository(repositoryName=name)
def layer(n): return {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": 1000 * n, "digest": f"sha256:{n:064x}"}
def image(*layers):
    return json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config":
        {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 7023, "digest": "sha256:" + "c" * 64},
        "layers": [layer(n) for n in layers]})
def platform(arch): return {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 7, "digest": "sha256:" + "d" * 64,
    "platform": {"os": "linux", "architecture": arch}}
ecr.put_image(repositoryName=name, imageManifest=image(1, 2), imageTag="old")
ecr.put_image(repositoryName=name, imageManifest=image(3, 4), imageTag="1.2")
ecr.put_image(repositoryName=name, imageManifest=image(3, 4), imageTag="1.2.0")
ecr.put_image(repositoryName=name, imageTag="both", imageManifest=json.dumps({"schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [platform("amd64"), platform("arm64")]}))
"#;

#[story]
fn images_in_a_repository_that_we_did_not_write() {
    let (cluster, sandbox) = moto("kept", "");
    sandbox.run("python", ["-c", PUT, "lab/kept"]).ok();
    let listed = sandbox.run("bimage", ["list", "--json"]).ok().json();
    let mut tags: Vec<String> =
        listed.as_array().unwrap().iter().map(|image| image["imageTags"].to_string()).collect();
    tags.sort();
    assert_eq!(tags, [r#"["1.2","1.2.0"]"#, r#"["both"]"#, r#"["old"]"#]);

    let shown = |tag: &str| sandbox.run("bimage", ["show", "--json", tag]).ok().json()[0].clone();
    let image = shown("1.2");
    let uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/lab/kept";
    let digest = image["imageDigest"].as_str().unwrap();
    assert_eq!(image["imageUri"], format!("{uri}:1.2"));
    assert_eq!(image["imageUriAtDigest"], format!("{uri}@{digest}"));
    assert_eq!((&image["layers"][1]["size"], &image["platforms"]), (&json!(4000), &Value::Null));
    assert_eq!(shown("both")["platforms"], json!(["linux/amd64", "linux/arm64"]));
    assert_eq!(shown(digest)["imageUri"], format!("{uri}@{digest}"));
    let plain = sandbox.run("bimage", ["show", "1.2"]).ok().stdout;
    let time = plain
        .lines()
        .find_map(|line| line.strip_prefix("imagePushedAt          : "))
        .expect("its time")
        .to_owned();
    insta::assert_snapshot!(plain.replace(&time, "TIME").replace(digest, "DIGEST"));

    let outcome = sandbox.run("bimage", ["show", "none"]);
    assert_eq!(outcome.failed_with(1), "there is no image none in lab/kept (ECR in eu-west-1)");

    // A tag goes alone while its image has others.
    let removed = sandbox.run("bimage", ["rm", "-y", "1.2", "none", "both"]).ended_with(1);
    assert_eq!(removed.stdout, format!("Image {uri}:1.2 is removed.\nImage {uri}:both is removed.\n"));
    assert!(
        removed.stderr.contains(
            "error: there is no image none in lab/kept (ECR in eu-west-1)
"
        ),
        "{removed}"
    );
    assert_eq!(shown("1.2.0")["imageTags"], json!(["1.2.0"]));
    let answer = sandbox.run("aws", ["ecr", "list-images", "--repository-name", "lab/kept"]).ok().json();
    assert_eq!(answer["imageIds"].as_array().map(Vec::len), Some(2));
    assert_eq!(calls(&cluster, "BatchDeleteImage"), 1);
}
