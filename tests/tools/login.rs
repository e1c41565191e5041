//! Profiles whose credentials come from `aws login` (`login_session`).

use awsb_testkit::{Answer, BadServer, Sandbox, script, story};
use serde_json::json;

const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/Admin/me";

/// A sandbox whose cluster's profile has a session of `aws login` that expires after some seconds.
fn sandbox(server: &BadServer, seconds: i64) -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.use_python();
    sandbox.config(&format!(
        "default_cluster = \"far\"\n[cluster.far]\nregion = \"eu-west-1\"\nprofile = \"lab\"\n\
         endpoint_url = \"{}\"\nbucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d\"\n",
        server.endpoint()
    ));
    sandbox.file(
        "../home/.aws/config",
        format!("[profile lab]\nlogin_session = {SESSION}\nregion = eu-west-1\n"),
    );
    sandbox.set("AWS_ENDPOINT_URL_SIGNIN", server.endpoint());
    let cache = sandbox.work().join("../home/.aws/login/cache").display().to_string();
    let program = script("login_session.py").display().to_string();
    sandbox.run("python", [program.as_str(), &cache, SESSION, &seconds.to_string()]).ok();
    sandbox
}

/// A Batch without queues, and a sign-in service that renews a session once or refuses to.
fn server(renews: bool) -> BadServer {
    BadServer::start(move |request, _| match request.target.as_str() {
        "/v1/token" if renews => Answer::json(json!({
            "accessToken": {"accessKeyId": "ASIARENEWED", "secretAccessKey": "renewed", "sessionToken": "token-2"},
            "tokenType": "aws_sigv4", "expiresIn": 900, "refreshToken": "refresh-2"})),
        "/v1/token" => Answer::error(400, "AccessDeniedException", "the session is over"),
        _ => Answer::json(json!({"jobQueues": []})),
    })
}

/// The access key that signed the last request to Batch.
fn signer(server: &BadServer) -> String {
    let asked = server.requests("describejobqueues");
    let signature = asked.last().expect("a request").header("authorization").expect("a signature").to_owned();
    let (_, rest) = signature.split_once("Credential=").expect("a credential");
    rest.split('/').next().unwrap_or_default().to_owned()
}

#[story]
fn a_session_of_aws_login_signs_requests() {
    let server = server(false);
    let sandbox = sandbox(&server, 3600);
    let outcome = sandbox.run("bqueues", [] as [&str; 0]);
    assert!(outcome.failed_with(1).starts_with("there is no job queue q"), "{outcome}");
    assert_eq!(signer(&server), "ASIACACHED");
}

#[story]
fn a_session_of_aws_login_is_renewed_and_stays_so() {
    let server = server(true);
    let sandbox = sandbox(&server, 60);
    for _ in 0..2 {
        let outcome = sandbox.run("bqueues", [] as [&str; 0]);
        assert!(outcome.failed_with(1).starts_with("there is no job queue q"), "{outcome}");
        assert_eq!(signer(&server), "ASIARENEWED");
    }
    let renewals = server.requests("token");
    assert_eq!(renewals.len(), 1, "{renewals:?}");
    assert!(renewals[0].header("dpop").is_some(), "{renewals:?}");
}

#[story]
fn a_session_of_aws_login_that_is_over_names_the_command_that_renews_it() {
    let server = server(false);
    let outcome = sandbox(&server, -60).run("bqueues", [] as [&str; 0]);
    outcome.failed_with(1);
    assert!(outcome.hints().contains("`aws login --profile lab` renews them"), "{outcome}");
}
