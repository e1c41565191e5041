//! `awsb doctor`: what it checks, and what it says to do.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use awsb_testkit::shells::executable;
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

/// A Python environment with awsb: its programs are copies, as pip makes them.
fn environment(sandbox: &Sandbox) -> std::path::PathBuf {
    let bin = sandbox.work().join("venv/bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    std::fs::create_dir_all(sandbox.work().join("venv/lib/python3.11/site-packages/awsb-0.1.0.dist-info"))
        .expect("a folder");
    for name in ["awsb", "bsub", "bstat"] {
        std::fs::hard_link(program_built(name), bin.join(name))
            .or_else(|_| std::fs::copy(program_built(name), bin.join(name)).map(drop))
            .expect("a program");
    }
    let script = include_str!("../../packaging/old-name.sh");
    for name in ["awsbsub", "awsbstat", "awsbout", "awsbkill", "awsbqueues", "awsbhosts"] {
        executable(&bin.join(name), &script.replace("NAME", name)).expect("a script");
    }
    bin
}

#[story]
fn names_that_pip_has_overwritten_or_removed_are_told_with_the_way_out() {
    let mut sandbox = Sandbox::new();
    let bin = environment(&sandbox);
    sandbox.set("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    let doctor = |sandbox: &Sandbox| sandbox.run("awsb", ["doctor", "-c", "nowhere"]).stdout;
    let all_is_well = doctor(&sandbox);
    assert!(!all_is_well.contains("awsbsub"), "{all_is_well}");
    // ParallelCluster's package is installed after ours.
    executable(&bin.join("awsbsub"), "#!/venv/bin/python\nfrom awsbatch.awsbsub import main\n").expect("it");
    let overwritten = doctor(&sandbox);
    // It is removed, and takes the program with it.
    std::fs::remove_file(bin.join("awsbsub")).expect("a file");
    let removed = doctor(&sandbox);
    let lines = |text: &str| {
        let lines = text.lines().skip_while(|line| !line.contains("awsbsub"));
        let lines = lines.take_while(|line| !line.contains("  settings "));
        lines.collect::<Vec<_>>().join("\n").replace(&bin.display().to_string(), "BIN")
    };
    insta::assert_snapshot!([lines(&overwritten), lines(&removed)].join("\n"));
}

#[story]
fn the_owner_of_another_bsub_is_named() {
    let mut sandbox = Sandbox::new();
    let bin = environment(&sandbox);
    let lsf = sandbox.work().join("lsf");
    std::fs::create_dir(&lsf).expect("a folder");
    for name in ["bkill", "lsid", "lsload"] {
        program(&lsf.join(name));
    }
    let path = format!("{}:{}:{}", bin.display(), lsf.display(), sandbox.get("PATH").expect("a PATH"));
    sandbox.set("PATH", path);
    let outcome = sandbox.run(&program_built("awsb"), ["doctor", "--json"]);
    let findings = findings(&outcome);
    let (state, message) = &findings["tools"][0];
    let expected = format!(
        "{0}/bsub (another awsb), {0}/bstat (another awsb) and {1}/bkill (LSF) are not awsb's",
        bin.display(),
        lsf.display()
    );
    assert_eq!((state.as_str(), message), ("warning", &expected));
    let (state, message) = &findings["program"][1];
    let other =
        format!("there is another awsb in PATH: {}/awsb (awsb {})", bin.display(), env!("CARGO_PKG_VERSION"));
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
