//! The hosts to which requests go: FIPS and dual-stack endpoints, and those of the variables and of
//! the AWS configuration. boto3's core, on which the `aws` command stands, is the judge.

use std::collections::BTreeMap;

use awsb_testkit::{Answer, BadServer, Sandbox, story};
use serde_json::json;

/// The services that the tools below call; among them are some without an SDK crate of ours: EC2
/// and STS.
const SERVICES: [&str; 8] = ["batch", "cloudformation", "codebuild", "ec2", "ecr", "logs", "s3", "sts"];

/// Prints where botocore sends a request of each service: the host, and the beginning of the path.
const BOTOCORE: &str = r"
import botocore.session, json, urllib.parse
calls = {'batch': ('describe_job_queues', {}), 'cloudformation': ('describe_stacks', {}), 'ec2': ('describe_vpcs', {}),
         'codebuild': ('list_projects', {}), 'ecr': ('describe_repositories', {}),
         'logs': ('describe_log_groups', {}), 's3': ('head_bucket', {'Bucket': 'my-bucket'}),
         'sts': ('get_caller_identity', {})}
class Seen(BaseException):
    pass
def stop(request, **_):
    raise Seen(request.url)
session, found = botocore.session.Session(), {}
for name, (call, parameters) in calls.items():
    client = session.create_client(name)
    client.meta.events.register_first('before-send', stop)
    try:
        getattr(client, call)(**parameters)
    except Seen as seen:
        url = urllib.parse.urlsplit(str(seen))
        found[name] = [url.netloc, url.path]
print(json.dumps(found))
";

/// A sandbox with one cluster in `us-east-1`, which reaches AWS through `proxy`.
fn sandbox(proxy: &BadServer) -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.use_python();
    sandbox.config(
        "default_cluster = \"far\"\n[cluster.far]\nbucket = \"my-bucket\"\njob_queue = \"q\"\n\
         job_definition = \"d\"\necr_repository = \"lab\"\ncodebuild_project = \"p\"\n",
    );
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ] {
        sandbox.set(name, value);
    }
    sandbox.set("HTTPS_PROXY", proxy.endpoint());
    // `bimage logs` goes on trying, as a build may take long.
    sandbox.set("AWSB_CONTACT_TIMEOUT", "1");
    sandbox
}

/// A proxy that refuses, and a server that knows nothing.
fn refusing() -> BadServer {
    BadServer::start(|_, _| Answer::error(403, "AccessDeniedException", "not here"))
}

/// Calls every service of [`SERVICES`]; none does what it is asked for.
fn call_all(sandbox: &Sandbox) {
    let tools: [(&str, &[&str]); 5] = [
        ("awsb", &["doctor"]),
        ("bcluster", &["list"]),
        ("bcluster", &["template", "lab"]),
        ("bimage", &["list"]),
        ("bimage", &["logs", "p:5b7e0a4f-3a0e-4f0b-9d3f-0c7d6f3c2a11"]),
    ];
    let running = tools.map(|(tool, args)| sandbox.start(tool, args));
    for tool in running {
        let outcome = tool.wait();
        assert_eq!(outcome.code(), 1, "{outcome}");
    }
}

/// The hosts that a proxy was asked for, sorted.
fn tunnels(proxy: &BadServer) -> Vec<String> {
    let asked = proxy.requests("").into_iter().filter(|request| request.method == "CONNECT");
    let mut hosts: Vec<String> =
        asked.filter_map(|request| Some(request.target.strip_suffix(":443")?.to_owned())).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// The hosts and paths of botocore, by service.
fn of_botocore(sandbox: &Sandbox) -> BTreeMap<String, (String, String)> {
    let found: BTreeMap<String, (String, String)> =
        serde_json::from_value(sandbox.run("python", ["-c", BOTOCORE]).ok().json()).unwrap();
    assert!(found.keys().eq(SERVICES), "{found:?}");
    found
}

#[story]
fn fips_and_dual_stack_endpoints_are_those_of_the_aws_command() {
    let cases: [(&[&str], &str, &str); 4] = [
        (&["AWS_USE_FIPS_ENDPOINT"], "", "sts-fips.us-east-1.amazonaws.com"),
        (&["AWS_USE_DUALSTACK_ENDPOINT"], "", "ec2.us-east-1.api.aws"),
        (&["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"], "", "ec2-fips.us-east-1.api.aws"),
        (&[], "use_fips_endpoint = true\nuse_dualstack_endpoint = true\n", "sts-fips.us-east-1.api.aws"),
    ];
    for (variables, settings, one) in cases {
        let proxy = refusing();
        let mut sandbox = sandbox(&proxy);
        variables.iter().for_each(|name| sandbox.set(name, "true"));
        sandbox.file("../home/.aws/config", format!("[default]\n{settings}"));
        call_all(&sandbox);
        let mut hosts: Vec<String> = of_botocore(&sandbox).into_values().map(|(host, _)| host).collect();
        hosts.sort();
        assert_eq!(tunnels(&proxy), hosts, "{variables:?} {settings}");
        assert!(hosts.iter().any(|host| host == one), "{hosts:?}");
    }
}

/// The host and the path of one request of each service that came to a server.
fn arrived(server: &BadServer) -> BTreeMap<String, (String, String)> {
    let of = |service: &str| {
        let requests = server.requests(service);
        let first = requests.first()?;
        Some((service.to_owned(), (first.header("host")?.to_owned(), first.target.clone())))
    };
    SERVICES.into_iter().filter_map(of).collect()
}

#[story]
fn each_service_has_an_endpoint_of_its_own() {
    let urls = |server: &BadServer| {
        let port = server.endpoint().rsplit(':').next().unwrap().to_owned();
        // A name, with which the bucket could be in the host.
        SERVICES.map(|service| (service, format!("http://localhost:{port}/own-{service}")))
    };
    let of_variable = |service: &str| match service {
        "logs" => "CLOUDWATCH_LOGS".to_owned(),
        other => other.to_uppercase(),
    };
    for by_variables in [true, false] {
        let server = refusing();
        let mut sandbox = sandbox(&server);
        if by_variables {
            for (service, url) in urls(&server) {
                sandbox.set(&format!("AWS_ENDPOINT_URL_{}", of_variable(service)), url);
            }
        } else {
            let of = |(service, url): (&str, String)| {
                format!("{} =\n  endpoint_url = {url}\n", of_variable(service).to_lowercase())
            };
            let services: String = urls(&server).into_iter().map(of).collect();
            let config =
                format!("[profile lab]\nservices = own\nregion = us-east-1\n[services own]\n{services}");
            sandbox.file("../home/.aws/config", config);
            sandbox.set("AWS_PROFILE", "lab");
        }
        call_all(&sandbox);
        let (ours, theirs) = (arrived(&server), of_botocore(&sandbox));
        assert!(ours.keys().eq(SERVICES), "{ours:?}");
        for (service, (host, path)) in &theirs {
            let (our_host, our_path) = &ours[service];
            assert_eq!(our_host, host, "{service}");
            assert!(our_path.starts_with(&format!("/own-{service}/")), "{our_path}");
            // The bucket is in the path for both. Other paths are those of the operations.
            if service == "s3" {
                assert!(path.starts_with("/own-s3/my-bucket") && our_path.starts_with("/own-s3/my-bucket"));
            }
        }
        assert_eq!(tunnels(&server), [""; 0], "nothing goes to AWS");

        // None of them counts any more.
        let server = refusing();
        sandbox.set("HTTPS_PROXY", server.endpoint());
        sandbox.set("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
        call_all(&sandbox);
        let mut hosts: Vec<String> = of_botocore(&sandbox).into_values().map(|(host, _)| host).collect();
        hosts.iter_mut().for_each(|host| {
            // Python's SDKs take the old host of us-east-1 for S3.
            if host == "my-bucket.s3.amazonaws.com" {
                *host = "my-bucket.s3.us-east-1.amazonaws.com".to_owned();
            }
        });
        hosts.sort();
        assert_eq!(tunnels(&server), hosts);
    }
}

#[story]
fn an_endpoint_of_one_service_changes_no_other() {
    let server = refusing();
    let mut sandbox = sandbox(&server);
    sandbox.set("AWS_ENDPOINT_URL_BATCH", server.endpoint());
    sandbox.set("AWS_ENDPOINT_URL_STS", server.endpoint());
    call_all(&sandbox);
    // The bucket is in the host, as with AWS it should be.
    let aws = ["api.ecr", "cloudformation", "codebuild", "ec2", "logs", "my-bucket.s3"];
    assert_eq!(tunnels(&server), aws.map(|name| format!("{name}.us-east-1.amazonaws.com")));
    assert!(!server.requests("describejobqueues").is_empty() && !server.requests("sts").is_empty());
    // The error does not blame the endpoint of another service alone.
    let outcome = sandbox.run("bcluster", ["list"]).ended_with(1);
    assert!(outcome.stderr.contains("cannot reach AWS in us-east-1 or http://"), "{outcome}");
    // The settings of the cluster have precedence over the variables.
    let other = BadServer::start(|_, _| Answer::json(json!({"jobQueues": []})));
    sandbox.config(&format!(
        "default_cluster = \"far\"\n[cluster.far]\nendpoint_url = \"{}\"\nbucket = \"b\"\njob_queue = \"q\"\n\
         job_definition = \"d\"\n",
        other.endpoint()
    ));
    sandbox.run("bqueues", ["-a"]).ok();
    assert_eq!(other.requests("describejobqueues").len(), 1);
}

/// A profile of `aws login` without a session: the hint names the command that begins one.
#[story]
fn a_profile_of_aws_login_has_a_hint_that_names_it() {
    let proxy = refusing();
    let mut sandbox = sandbox(&proxy);
    sandbox.unset("AWS_ACCESS_KEY_ID");
    sandbox.unset("AWS_SECRET_ACCESS_KEY");
    let config = "[profile me]\nlogin_session = arn:aws:iam::111122223333:user/me\nregion = us-east-1\n\
                  [profile admin]\nrole_arn = arn:aws:iam::111122223333:role/admin\nsource_profile = me\n";
    sandbox.file("../home/.aws/config", config);
    for profile in ["me", "admin"] {
        let outcome = sandbox.run("bqueues", ["--profile", profile]).ended_with(1);
        assert!(outcome.hints().contains("`aws login --profile me` renews them"), "{outcome}");
    }
    assert_eq!(tunnels(&proxy), [""; 0]);
}

/// The credentials of a role come from STS, which the SDK asks by a client of its own.
#[story]
fn a_role_is_assumed_at_the_endpoint_that_is_set() {
    let server = refusing();
    let own = server.endpoint().replace("127.0.0.1", "localhost") + "/own-sts";
    for (variable, settings, host) in [
        (Some(("AWS_USE_FIPS_ENDPOINT", "true")), String::new(), "sts-fips.us-east-1.amazonaws.com"),
        (None, "use_dualstack_endpoint = true\n".to_owned(), "sts.us-east-1.api.aws"),
        (Some(("AWS_ENDPOINT_URL_STS", own.as_str())), String::new(), ""),
        (None, format!("services = own\n[services own]\nsts =\n  endpoint_url = {own}\n"), ""),
    ] {
        let proxy = refusing();
        let before = server.requests("sts").len();
        let mut sandbox = sandbox(&proxy);
        sandbox.unset("AWS_ACCESS_KEY_ID");
        sandbox.unset("AWS_SECRET_ACCESS_KEY");
        if let Some((name, value)) = variable {
            sandbox.set(name, value);
        }
        let config = format!(
            "[profile me]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = secret\n\
             [profile admin]\nrole_arn = arn:aws:iam::111122223333:role/admin\nsource_profile = me\n{settings}"
        );
        sandbox.file("../home/.aws/config", config);
        sandbox.run("bqueues", ["--profile", "admin"]).ended_with(1);
        let hosts: Vec<&str> = Some(host).filter(|host| !host.is_empty()).into_iter().collect();
        assert_eq!(tunnels(&proxy), hosts, "{variable:?} {settings}");
        assert_eq!(server.requests("sts").len() > before, host.is_empty(), "{variable:?} {settings}");
    }
}
