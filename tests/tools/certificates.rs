//! The authorities whose certificates are trusted: `AWS_CA_BUNDLE`, and `ca_bundle` of a profile.

use awsb_testkit::{Sandbox, script, story};

/// A sandbox with a cluster at an address.
fn at(endpoint: &str) -> Sandbox {
    Sandbox::of_cluster_at(endpoint, "")
}

#[story]
fn an_authority_of_ones_own_is_trusted_where_it_is_named() {
    let mut of_server = Sandbox::new();
    of_server.use_python();
    let authority = of_server.work().join("authority.pem");
    let program = script("https_batch.py").display().to_string();
    let mut server = of_server.start("python", [program.as_str(), &authority.display().to_string()]);
    let endpoint = server.line().expect("an address");
    let mut sandbox = at(&endpoint);
    let refused = sandbox.run("bqueues", [] as [&str; 0]);
    assert!(refused.failed_with(1).contains("certificate"), "{refused}");

    let trusted = |sandbox: &Sandbox| {
        let outcome = sandbox.run("bqueues", [] as [&str; 0]);
        assert!(outcome.failed_with(1).starts_with("there is no job queue q"), "{outcome}");
    };
    // Something in the file that is no certificate does no harm.
    let bundle = format!(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{}",
        std::fs::read_to_string(&authority).expect("a certificate")
    );
    let bundle = sandbox.file("bundle.pem", bundle);
    sandbox.set("AWS_CA_BUNDLE", bundle.display().to_string());
    trusted(&sandbox);
    sandbox.unset("AWS_CA_BUNDLE");
    sandbox.file("../home/.aws/config", format!("[default]\nca_bundle = {}\n", authority.display()));
    trusted(&sandbox);
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.wait();
}

#[story]
fn a_file_without_certificates_is_named() {
    let mut sandbox = at("https://127.0.0.1:1");
    let empty = sandbox.file("empty.pem", "nothing\n").display().to_string();
    for (path, why) in [(empty.as_str(), "it has no certificate"), ("/no/such/file.pem", "No such file")] {
        sandbox.set("AWS_CA_BUNDLE", path);
        let outcome = sandbox.run("bstat", [] as [&str; 0]);
        let message = outcome.failed_with(2);
        assert!(message.contains(&format!("{path} (AWS_CA_BUNDLE)")) && message.contains(why), "{outcome}");
    }
    // The local cluster has no TLS.
    sandbox.run("bstat", ["-c", "local"]).ok();
}
