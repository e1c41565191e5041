//! `awsb doctor`: what it checks, and what it says to do.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use awsb_testkit::{Answer, BadServer, Outcome, Sandbox, program_built, story};
use serde_json::Value;

/// State and message of each check.
fn findings(outcome: &Outcome) -> BTreeMap<String, Vec<(String, String)>> {
    let text = |element: &Value, key: &str| element[key].as_str().expect("a string").to_owned();
    let mut findings = BTreeMap::<_, Vec<_>>::new();
    for element in outcome.json().as_array().expect("an array") {
        let found = (text(element, "state"), text(element, "message"));
        findings.entry(text(element, "check")).or_default().push(found);
    }
    findings
}

fn program(path: &Path) {
    std::fs::write(path, "#!/bin/sh\necho awsb 9.8.7\n").expect("a program");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
}

#[story]
fn all_is_well_on_the_local_cluster() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run("awsb", ["doctor", "--json"]).ok();
    let findings = findings(&outcome);
    for (check, states) in &findings {
        assert!(states.iter().all(|(state, _)| state == "ok"), "{check}: {states:?}");
    }
    let checks: Vec<&str> = findings.keys().map(String::as_str).collect();
    let expected = [
        "bucket",
        "clock",
        "cluster",
        "completions",
        "credentials",
        "definition",
        "docker",
        "log group",
        "program",
        "queue",
        "settings",
        "tools",
    ];
    assert_eq!(checks, expected);
    let plain = sandbox.run("awsb", ["doctor"]).ok().stdout;
    assert!(plain.contains("\nok       queue          local is ENABLED and VALID\n"), "{plain}");
}

#[story]
fn other_programs_in_path_are_named() {
    let mut sandbox = Sandbox::new();
    let folder = sandbox.work().join("other");
    std::fs::create_dir(&folder).expect("a folder");
    program(&folder.join("bsub"));
    program(&folder.join("awsb"));
    // A link is ours.
    symlink(program_built("awsb"), folder.join("bstat")).expect("a link");
    let path = format!("{}:{}", folder.display(), sandbox.get("PATH").expect("a PATH"));
    let awsb = program_built("awsb");
    sandbox.set("PATH", path);
    let outcome = sandbox.run(&awsb, ["doctor", "--json"]).ok();
    let findings = findings(&outcome);
    let (state, message) = &findings["tools"][0];
    assert_eq!((state.as_str(), message), ("warning", &format!("{}/bsub is not awsb's", folder.display())));
    let (state, message) = &findings["program"][1];
    let other = format!("there is another awsb in PATH: {}/awsb (awsb 9.8.7)", folder.display());
    assert_eq!((state.as_str(), message), ("warning", &other));
}

#[story]
fn each_fault_of_a_cluster_is_an_error_of_its_own_check() {
    let server = BadServer::start(|request, _| match request.service.as_str() {
        "s3" => Answer::s3_error(403, "AccessDenied", "no"),
        _ => Answer::error(403, "AccessDeniedException", "no"),
    });
    let sandbox = Sandbox::at(&server.endpoint());
    let outcome = sandbox.run("awsb", ["doctor", "--json"]).ended_with(1);
    let findings = findings(&outcome);
    let states = |check: &str| findings[check].iter().map(|(state, _)| state.as_str()).collect::<Vec<_>>();
    // Nobody may look: these are unknown.
    for check in ["queue", "definition", "log group"] {
        assert_eq!(states(check), ["warning"], "{check}: {findings:?}");
    }
    // Without a bucket that can be written, long scripts do not travel.
    assert_eq!(states("bucket"), ["warning", "error"], "{findings:?}");
    let outcome = sandbox.run("awsb", ["doctor", "-c", "y"]).ended_with(1);
    assert!(outcome.stdout.contains("error    settings       there is no cluster `y`"), "{outcome}");
    let outcome = sandbox.run("awsb", ["doctor", "--bogus"]);
    assert_eq!(outcome.code(), 2, "{outcome}");
    assert!(outcome.stderr.starts_with("awsb doctor: error: unexpected argument '--bogus'"), "{outcome}");
}
