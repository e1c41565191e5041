//! Clusters that are not written out in the settings file: ParallelCluster stacks, the old tools'
//! settings; and the proxies in front of them.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use awsb_testkit::{Answer, BadServer, Request, Sandbox, python, story};
use serde_json::{Value, json};

const ID: &str = "8f2c0d3e-1111-4222-8333-444455556666";

/// An answer of CloudFormation's DescribeStacks.
fn stack(parameters: &[(&str, &str)], outputs: &[(&str, &str)]) -> Answer {
    let list = |kind: &str, pairs: &[(&str, &str)]| -> String {
        let member = |(key, value): &(&str, &str)| {
            format!("<member><{kind}Key>{key}</{kind}Key><{kind}Value>{value}</{kind}Value></member>")
        };
        format!("<{kind}s>{}</{kind}s>", pairs.iter().map(member).collect::<String>())
    };
    let body = format!(
        "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult>\
         <Stacks><member><StackName>hpc</StackName><CreationTime>2024-01-01T00:00:00Z</CreationTime>\
         <StackStatus>CREATE_COMPLETE</StackStatus>{}{}</member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
        list("Parameter", parameters),
        list("Output", outputs)
    );
    Answer::Http(200, body, vec![("content-type", "text/xml".into())])
}

fn no_stack(name: &str) -> Answer {
    let body = format!(
        "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error><Type>Sender</Type>\
         <Code>ValidationError</Code><Message>Stack with id {name} does not exist</Message></Error></ErrorResponse>"
    );
    Answer::Http(400, body, vec![("content-type", "text/xml".into())])
}

/// ParallelCluster 3's stack, with this queue.
fn three(queue: &str) -> Answer {
    stack(
        &[
            ("Scheduler", "awsbatch"),
            ("ProxyServer", "NONE"),
            ("ResourcesS3Bucket", "parallelcluster-1"),
            ("ArtifactS3RootDirectory", "parallelcluster/3.1.0/clusters/hpc-1"),
        ],
        &[
            ("HeadNodePrivateIP", "10.0.0.1"),
            ("BatchJobQueueArn", queue),
            ("BatchJobDefinitionArn", "arn:aws:batch:eu-west-1:1:job-definition/serial:1"),
            ("BatchJobDefinitionMnpArn", "arn:aws:batch:eu-west-1:1:job-definition/mnp:1"),
        ],
    )
}

const QUEUE: &str = "arn:aws:batch:eu-west-1:1:job-queue/hpc";

fn taken() -> Answer {
    Answer::json(
        json!({ "jobId": ID, "jobName": "true", "jobArn": format!("arn:aws:batch:eu-west-1:1:job/{ID}") }),
    )
}

/// A sandbox with credentials and this settings file; `ENDPOINT` in it is the server's.
fn sandbox(server: &BadServer, config: &str) -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    sandbox.set("AWS_SECRET_ACCESS_KEY", "secret");
    if !config.is_empty() {
        sandbox.config(&config.replace("ENDPOINT", &format!("endpoint_url = \"{}\"", server.endpoint())));
    }
    sandbox
}

const CONFIG: &str =
    "default_cluster = \"pc\"\n[cluster.pc]\nregion = \"eu-west-1\"\nENDPOINT\nstack = \"hpc\"\n";

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

#[story]
fn a_stack_of_parallelcluster_3_is_read_once() {
    let server = BadServer::start(|request, _| match request.operation() {
        "cloudformation" => three(QUEUE),
        "submitjob" => taken(),
        "s3" => Answer::stored(),
        _ => Answer::json(json!({ "jobSummaryList": [] })),
    });
    let sandbox = sandbox(&server, CONFIG);
    sandbox.run("bsub", ["true"]).ok();
    let request = body(&server.requests("submitjob")[0]);
    assert_eq!(request["jobQueue"], QUEUE);
    assert_eq!(request["jobDefinition"], "arn:aws:batch:eu-west-1:1:job-definition/serial:1");
    // A bundle goes where the cluster's roles may write.
    let noise: String = (0..40_000_u64)
        .map(|n| char::from(b'!' + (n.wrapping_mul(n).wrapping_mul(2_654_435_761) >> 13) as u8 % 90))
        .collect();
    sandbox.file("large.sh", format!("#!/bin/sh\n# {noise}\n"));
    sandbox.run("bsub", ["large.sh"]).ok();
    let put = server.requests("s3")[0].target.clone();
    assert!(put.starts_with("/parallelcluster-1/parallelcluster/3.1.0/clusters/hpc-1/batch/"), "{put}");
    sandbox.run("bstat", [] as [&str; 0]).ok();
    assert_eq!(server.requests("cloudformation").len(), 1, "the second and third command read what was kept");
    for file in std::fs::read_dir(cache(&sandbox)).expect("the cache") {
        let mode = file.and_then(|f| f.metadata()).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // A cache that is damaged is none.
    for file in std::fs::read_dir(cache(&sandbox)).expect("the cache") {
        std::fs::write(file.expect("a file").path(), "{").expect("damage");
    }
    sandbox.run("bstat", [] as [&str; 0]).ok();
    assert_eq!(server.requests("cloudformation").len(), 2);
}

fn cache(sandbox: &Sandbox) -> PathBuf {
    PathBuf::from(sandbox.get("XDG_CACHE_HOME").expect("a cache folder")).join("awsb")
}

#[story]
fn a_stack_of_parallelcluster_2_is_found_by_the_clusters_name() {
    let server = BadServer::start(|request, _| match request.operation() {
        "cloudformation"
            if String::from_utf8_lossy(&request.body).contains("StackName=parallelcluster-hpc") =>
        {
            stack(
                &[("Scheduler", "awsbatch"), ("ProxyServer", "NONE")],
                &[
                    ("ResourcesS3Bucket", "parallelcluster-2"),
                    ("ArtifactS3RootDirectory", "hpc-2"),
                    ("MasterPrivateIP", "10.0.0.1"),
                    ("BatchJobQueueArn", QUEUE),
                    ("BatchJobDefinitionArn", "arn:aws:batch:eu-west-1:1:job-definition/two:1"),
                ],
            )
        }
        "cloudformation" => no_stack("hpc"),
        _ => taken(),
    });
    // A value of the settings comes before the stack's.
    let sandbox = sandbox(&server, &format!("{CONFIG}job_queue = \"own\"\n"));
    sandbox.run("bsub", ["true"]).ok();
    let request = body(&server.requests("submitjob")[0]);
    assert_eq!(
        (&request["jobQueue"], &request["jobDefinition"]),
        (&json!("own"), &json!("arn:aws:batch:eu-west-1:1:job-definition/two:1"))
    );
}

#[story]
fn stacks_that_are_of_no_use() {
    let server = BadServer::start(|_, _| stack(&[("Scheduler", "slurm")], &[]));
    let message = sandbox(&server, CONFIG).run("bstat", [] as [&str; 0]).failed_with(1);
    assert!(
        message.starts_with(
            "the CloudFormation stack `hpc` of the cluster `pc` belongs to a cluster with the scheduler `slurm`"
        ),
        "{message}"
    );
    let server = BadServer::start(|_, _| no_stack("hpc"));
    let outcome = sandbox(&server, CONFIG).run("bstat", [] as [&str; 0]);
    let message = outcome.failed_with(1);
    assert_eq!(
        message,
        "there is no CloudFormation stack `hpc` in eu-west-1, from which the cluster `pc` is read"
    );
}

#[story]
fn a_stack_that_has_changed_is_read_anew() {
    let changed = Arc::new(AtomicBool::new(false));
    let has_changed = Arc::clone(&changed);
    let server = BadServer::start(move |request, before| match request.operation() {
        "cloudformation" => three(if before == 0 { "old-queue" } else { "new-queue" }),
        "listjobs" if body(request)["jobQueue"] == "old-queue" && has_changed.load(Ordering::SeqCst) => {
            Answer::error(400, "ClientException", "JobQueue old-queue does not exist")
        }
        "listjobs" => Answer::json(json!({ "jobSummaryList": [] })),
        _ if body(request)["jobQueue"] == "new-queue" => taken(),
        _ => Answer::error(400, "ClientException", "JobQueue old-queue does not exist"),
    });
    // A listing is made again at once, with the queue that there is now.
    let listing = sandbox(&server, CONFIG);
    listing.run("bstat", [] as [&str; 0]).ok();
    assert_eq!(server.requests("cloudformation").len(), 1);
    changed.store(true, Ordering::SeqCst);
    let outcome = listing.run("bstat", [] as [&str; 0]).ok();
    assert_eq!(outcome.stderr, "");
    assert_eq!(server.requests("cloudformation").len(), 2);
    let last = server.requests("listjobs").pop().map(|r| body(&r)["jobQueue"].clone());
    assert_eq!(last, Some(json!("new-queue")));
    // The staged files of a submission belong to one cluster. The next submission reads the stack
    // again.
    let server = BadServer::start(|request, before| match request.operation() {
        "cloudformation" => three(if before == 0 { "old-queue" } else { "new-queue" }),
        "listjobs" => Answer::json(json!({ "jobSummaryList": [] })),
        "submitjob" if body(request)["jobQueue"] == "new-queue" => taken(),
        _ => Answer::error(400, "ClientException", "JobQueue old-queue does not exist"),
    });
    let submitting = sandbox(&server, CONFIG);
    submitting.run("bstat", [] as [&str; 0]).ok();
    let outcome = submitting.run("bsub", ["true"]);
    outcome.failed_with(1);
    assert!(outcome.hints().contains("asks AWS again"), "{outcome}");
    submitting.run("bsub", ["true"]).ok();
}

#[story]
fn a_watch_goes_on_with_the_stack_that_has_changed() {
    let changed = Arc::new(AtomicBool::new(false));
    let has_changed = Arc::clone(&changed);
    let looks = Mutex::new(0);
    let server = BadServer::start(move |request, before| match request.operation() {
        "cloudformation" => three(if before == 0 { "old-queue" } else { "new-queue" }),
        "listjobs" if body(request)["jobQueue"] == "old-queue" && has_changed.load(Ordering::SeqCst) => {
            Answer::error(400, "ClientException", "JobQueue old-queue does not exist")
        }
        "listjobs" if body(request)["jobQueue"] == "new-queue" && body(request)["jobStatus"] == "RUNNING" => {
            let mut looks = looks.lock().unwrap();
            *looks += 1;
            let job = json!({ "jobId": ID, "jobName": "train", "status": "RUNNING", "createdAt": 1 });
            let jobs = if *looks < 3 { vec![job] } else { Vec::new() };
            Answer::json(json!({ "jobSummaryList": jobs }))
        }
        _ => Answer::json(json!({ "jobSummaryList": [], "jobs": [] })),
    });
    let sandbox = sandbox(&server, CONFIG);
    sandbox.run("bstat", [] as [&str; 0]).ok();
    changed.store(true, Ordering::SeqCst);
    let outcome = sandbox.run("bstat", ["--watch=0.1"]).ok();
    assert_eq!(outcome.stderr, "");
    assert!(outcome.stdout.contains("train"), "{outcome}");
    assert_eq!(server.requests("cloudformation").len(), 2);
}

#[story]
fn a_watch_outlasts_a_network_that_is_lost_while_the_stack_is_read() {
    let changed = Arc::new(AtomicBool::new(false));
    let has_changed = Arc::clone(&changed);
    let server = BadServer::start(move |request, before| match request.operation() {
        "cloudformation" => match before {
            0 => three("old-queue"),
            // More than a call is repeated by itself.
            1..=7 => Answer::error(503, "ServiceUnavailable", "come back later"),
            _ => three("new-queue"),
        },
        "listjobs" if body(request)["jobQueue"] == "old-queue" && has_changed.load(Ordering::SeqCst) => {
            Answer::error(400, "ClientException", "JobQueue old-queue does not exist")
        }
        _ => Answer::json(json!({ "jobSummaryList": [] })),
    });
    let mut sandbox = sandbox(&server, CONFIG);
    sandbox.set("AWSB_CONTACT_TIMEOUT", "60");
    sandbox.run("bstat", [] as [&str; 0]).ok();
    changed.store(true, Ordering::SeqCst);
    let outcome = sandbox.run("bstat", ["--watch=0.1"]).ok();
    assert!(outcome.stderr.contains("contact lost, trying again"), "{outcome}");
    assert_eq!(server.requests("cloudformation").len(), 9);
    let last = server.requests("listjobs").pop().map(|r| body(&r)["jobQueue"].clone());
    assert_eq!(last, Some(json!("new-queue")));
}

#[story]
fn an_answer_that_has_just_come_is_not_asked_for_again() {
    let server = BadServer::start(|request, _| match request.operation() {
        "cloudformation" => three(QUEUE),
        _ => Answer::error(400, "ClientException", "JobQueue hpc does not exist"),
    });
    let sandbox = sandbox(&server, CONFIG);
    let outcome = sandbox.run("bstat", [] as [&str; 0]);
    outcome.failed_with(1);
    assert!(outcome.hints().contains("names the queue"), "{outcome}");
    assert_eq!(server.requests("cloudformation").len(), 1);
}

#[story]
fn clusters_of_the_old_tools() {
    let server = BadServer::start(|_, _| taken());
    let mut sandbox = sandbox(&server, "");
    sandbox.set("AWS_ENDPOINT_URL", server.endpoint());
    sandbox.file(
        "../home/.parallelcluster/awsbatch-cli.cfg",
        "[main]\ncluster_name = first\nregion = eu-west-1\n[cluster first]\nregion = eu-west-1\ns3_bucket = b\n\
         artifact_directory = a\njob_queue = first-queue\njob_definition = first-definition\nproxy = NONE\n\
         [cluster second]\nregion = eu-west-1\ns3_bucket = b\njob_queue = second-queue\njob_definition = d\n",
    );
    let queue = || body(&server.requests("submitjob").pop().expect("a request"))["jobQueue"].clone();
    sandbox.run("bsub", ["true"]).ok();
    assert_eq!(queue(), "first-queue");
    sandbox.run("bsub", ["-c", "second", "true"]).ok();
    assert_eq!(queue(), "second-queue");
    // The settings file comes first, with its default and with its clusters; its default may be an
    // old one.
    let own = "[cluster.first]\nregion = \"eu-west-1\"\nbucket = \"b\"\njob_queue = \"own-queue\"\njob_definition = \"d\"\n";
    sandbox.config(&format!("default_cluster = \"second\"\n{own}"));
    sandbox.run("bsub", ["true"]).ok();
    assert_eq!(queue(), "second-queue");
    sandbox.run("bsub", ["-c", "first", "true"]).ok();
    assert_eq!(queue(), "own-queue");
    sandbox.config(own);
    sandbox.run("bsub", ["true"]).ok();
    assert_eq!(queue(), "own-queue", "what the old default names is in the settings file, too");
}

#[story]
fn defaults_of_jobs() {
    let server = BadServer::start(|_, _| taken());
    let config = |lines: &str| {
        format!(
            "[defaults]\nretry_attempts = 2\nenv = [\"A=1\", \"B=2\"]\npropagate-tags = true\njob-name = \"general\"\n\n\
             {ON_AWS}ENDPOINT\n[cluster.c.defaults]\njob-name = \"cluster\"\n{lines}"
        )
        .replace("default_cluster = \"c\"\n", "")
    };
    let mut there = sandbox(&server, &config(""));
    there.set("AWSB_CLUSTER", "c");
    there.run("bsub", ["-e", "B=3", "true"]).ok();
    let request = body(&server.requests("submitjob")[0]);
    assert_eq!((&request["jobName"], &request["propagateTags"]), (&json!("cluster"), &json!(true)));
    assert_eq!(request["retryStrategy"]["attempts"], 2);
    let variables = request["containerOverrides"]["environment"].as_array().cloned().unwrap_or_default();
    let value = |name: &str| variables.iter().rfind(|v| v["name"] == name).map(|v| v["value"].clone());
    assert_eq!((value("A"), value("B")), (Some(json!("1")), Some(json!("3"))));
    there.run("bsub", ["-J", "own", "true"]).ok();
    assert_eq!(body(&server.requests("submitjob")[1])["jobName"], "own");
    // Only bsub takes them, and says where a wrong one stands.
    let endpoint = format!("endpoint_url = \"{}\"", server.endpoint());
    there.config(&config("memry = \"4G\"\n").replace("ENDPOINT", &endpoint));
    let outcome = there.run("bsub", ["true"]);
    let message = outcome.failed_with(2);
    assert!(message.contains("config.toml, line 15: ") && message.contains("--memry"), "{outcome}");
    there.run("bstat", [] as [&str; 0]).ok();
}

#[story]
fn options_that_mean_nothing_to_the_local_cluster_are_told() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run("bstat", ["--profile", "p", "--region", "eu-west-1"]).ok();
    assert_eq!(
        outcome.stderr.lines().filter(|l| l.ends_with("has no effect on the local cluster")).count(),
        2,
        "{outcome}"
    );
}

/// A proxy that knows CONNECT and leads to `target`, wherever it is asked to go; it refuses without
/// one.
struct Proxy {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(target: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://me:secret@{}", listener.local_addr().expect("its address"));
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&asked);
        // Until the test's process ends.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, target) = (Arc::clone(&seen), target.clone());
                std::thread::spawn(move || Self::converse(stream, &seen, target.as_deref()));
            }
        });
        Self { url, asked }
    }

    fn converse(mut stream: TcpStream, seen: &Mutex<Vec<String>>, target: Option<&str>) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut head = String::new();
        while reader.read_line(&mut head).ok()? > 2 {}
        seen.lock().ok()?.push(head);
        let Some(target) = target else {
            stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").ok()?;
            return None;
        };
        let mut there = TcpStream::connect(target).ok()?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
        let mut back = there.try_clone().ok()?;
        let mut out = stream.try_clone().ok()?;
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut back, &mut out);
            out.shutdown(std::net::Shutdown::Write)
        });
        std::io::copy(&mut reader, &mut there).ok()?;
        there.shutdown(std::net::Shutdown::Write).ok()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no thread panicked with it").clone()
    }
}

const ON_AWS: &str = "default_cluster = \"c\"\n[cluster.c]\nregion = \"eu-west-1\"\nbucket = \"b\"\njob_queue = \"q\"\n\
                      job_definition = \"d\"\n";

#[story]
fn a_proxy_that_lets_nothing_through() {
    let proxy = Proxy::start(None);
    let server = BadServer::start(|_, _| taken());
    let mut sandbox = sandbox(&server, ON_AWS);
    sandbox.set("HTTPS_PROXY", &proxy.url);
    let outcome = sandbox.run("bstat", [ID]);
    let message = outcome.failed_with(1);
    assert!(message.contains("cannot reach AWS in eu-west-1"), "{outcome}");
    assert!(outcome.hints().contains("(HTTPS_PROXY); NO_PROXY"), "{outcome}");
    assert!(!outcome.stderr.contains("secret"), "{outcome}");
    let asked = proxy.asked();
    assert!(asked[0].starts_with("CONNECT batch.eu-west-1.amazonaws.com:443 "), "{asked:?}");
    assert!(asked[0].to_ascii_lowercase().contains("proxy-authorization: basic bwu6c2vjcmv0"), "{asked:?}");
    // The old setting's place, and the new one's.
    for (name, config) in
        [("settings", format!("{ON_AWS}proxy = \"{}\"\n", proxy.url)), ("old", String::new())]
    {
        sandbox.unset("HTTPS_PROXY");
        sandbox.config(&config);
        if name == "old" {
            sandbox.file(
                "../home/.parallelcluster/awsbatch-cli.cfg",
                format!("[main]\ncluster_name = x\n[cluster x]\nregion = eu-west-1\ns3_bucket = b\njob_queue = q\njob_definition = d\nproxy = {}\n", proxy.url),
            );
        }
        let before = proxy.asked().len();
        let outcome = sandbox.run("bstat", [ID]);
        outcome.failed_with(1);
        assert!(
            proxy.asked().len() > before && outcome.hints().contains("`proxy` of the cluster"),
            "{name}: {outcome}"
        );
    }
}

#[story]
fn loopback_never_goes_through_a_proxy() {
    let proxy = Proxy::start(None);
    let server = BadServer::start(|_, _| taken());
    let config = ON_AWS.replace("bucket", &format!("endpoint_url = \"{}\"\nbucket", server.endpoint()));
    let mut sandbox = sandbox(&server, &config);
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        sandbox.set(name, &proxy.url);
    }
    sandbox.run("bsub", ["true"]).ok();
    assert_eq!(proxy.asked(), [] as [String; 0]);
    // The same for the local cluster.
    sandbox.run("bstat", ["-c", "local"]).ok();
    assert_eq!(proxy.asked(), [] as [String; 0]);
}

/// A server that speaks TLS as batch.eu-west-1.amazonaws.com, with a certificate of its own in the
/// second file; it knows no jobs. It ends with its standard input.
const TLS_SERVER: &str = r#"
import datetime, http.server, ssl, sys, threading
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
now = datetime.datetime.now(datetime.timezone.utc)
cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("batch.eu-west-1.amazonaws.com")]), False)
        .sign(key, hashes.SHA256()))
pem = cert.public_bytes(serialization.Encoding.PEM)
open(sys.argv[1], "wb").write(pem)
open(sys.argv[2], "wb").write(pem + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"jobSummaryList": []}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("127.0.0.1:%d" % server.server_port, flush=True)
sys.stdin.read()
"#;

#[story]
fn aws_is_reached_through_a_proxy() {
    let python = python();
    let server = BadServer::start(|_, _| taken());
    let mut sandbox = sandbox(&server, ON_AWS);
    let certificate = sandbox.file("certificate.pem", "");
    let mut process = Command::new(python.join("bin/python"))
        .args(["-c", TLS_SERVER])
        .arg(&certificate)
        .arg(sandbox.work().join("key.pem"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut address = String::new();
    BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut address).expect("an address");
    let proxy = Proxy::start(Some(address.trim().to_owned()));
    sandbox.set("HTTPS_PROXY", &proxy.url);
    sandbox.set("SSL_CERT_FILE", certificate.display().to_string());
    let outcome = sandbox.run("bstat", ["--json"]).ok();
    assert_eq!(outcome.stdout, "[]\n");
    assert!(proxy.asked()[0].starts_with("CONNECT batch.eu-west-1.amazonaws.com:443 "));
    drop(process.stdin.take());
    process.wait().expect("the server ends");
}

/// A mistake in ParallelCluster's own settings counts for the clusters that need what is wrong.
#[story]
fn a_mistake_in_the_old_settings_stops_only_its_own_cluster() {
    const GOOD: &str =
        "[cluster good]\nregion = eu-west-1\ns3_bucket = b\njob_queue = q\njob_definition = d\n";
    let sandbox = Sandbox::new();
    let old = |text: &str| sandbox.file("../home/.parallelcluster/awsbatch-cli.cfg", text);
    let path = format!("{}/.parallelcluster/awsbatch-cli.cfg", sandbox.get("HOME").expect("a home"));
    // The default cluster has no bucket.
    old(&format!("[main]\ncluster_name = hpc\n{GOOD}[cluster hpc]\nregion = eu-west-1\n"));
    let mistake = format!("the old tools' settings {path}, line 8: `s3_bucket` is missing in [cluster hpc]");
    sandbox.run("awsb", ["awsbqueues", "-c", "local"]).ok();
    sandbox.run("bqueues", ["-c", "local"]).ok();
    let plan = sandbox.run("bsub", ["-c", "good", "--dry-run", "--json", "echo", "hello"]);
    assert!(!plan.stderr.contains("is missing"), "{plan}");
    assert_eq!(sandbox.run("bqueues", [""; 0]).failed_with(2), mistake);
    let outcome = sandbox.run("awsb", ["awsbqueues"]).ended_with(1);
    assert!(outcome.stderr.starts_with(&mistake), "{outcome}");
    // A file that is no INI file: our settings name a cluster of it, or another one.
    old("hello\n");
    let mistake = format!("the old tools' settings {path}, line 1: no [section] comes before this line");
    sandbox.config("default_cluster = \"hpc\"\n");
    sandbox.run("awsb", ["awsbqueues", "-c", "local"]).ok();
    sandbox.run("bqueues", ["-c", "local"]).ok();
    assert_eq!(sandbox.run("bqueues", [""; 0]).failed_with(2), mistake);
}

/// A relative home would be another folder in each folder: it is ignored, as the XDG specification
/// has relative folders ignored.
#[story]
fn a_relative_home_has_no_settings() {
    let mut sandbox = Sandbox::new();
    sandbox.file("relative/.config/awsb/config.toml", "default_cluster = \"nowhere\"\n");
    sandbox.file("relative/.parallelcluster/awsbatch-cli.cfg", "hello\n");
    sandbox.set("HOME", "relative");
    for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
        sandbox.unset(name);
    }
    let id = sandbox.run("bsub", ["true"]).ok().job_id();
    assert!(!id.is_empty());
    let made: Vec<_> = std::fs::read_dir(sandbox.work().join("relative")).expect("a folder").collect();
    assert_eq!(made.len(), 2, "{made:?}");
}
