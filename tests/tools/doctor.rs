//! `awsb doctor`: what it checks, and what it says to do.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use awsb_testkit::shells::{executable, install};
use awsb_testkit::{Answer, BadServer, Outcome, Sandbox, eventually, program_built, story};
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
    executable(path, "#!/bin/sh\necho awsb 9.8.7\n").expect("a program");
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
        install(name, &bin).expect("a program");
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

/// The folder of a Python environment in which pip notes the packages that it has installed.
fn installed(sandbox: &Sandbox, package: &str) -> std::path::PathBuf {
    sandbox.work().join(format!("venv/lib/python3.11/site-packages/{package}.dist-info"))
}

#[story]
fn an_old_package_in_the_same_environment_is_a_risk() {
    let mut sandbox = Sandbox::new();
    let bin = environment(&sandbox);
    sandbox.set("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    let old = installed(&sandbox, "aws_parallelcluster_awsbatch_cli-1.6.0");
    std::fs::create_dir(&old).expect("a folder");
    let doctor = |sandbox: &Sandbox| sandbox.run("awsb", ["doctor", "-c", "nowhere"]).stdout;
    let says = "warning  tools          aws-parallelcluster-awsbatch-cli is in the same environment, and its \
                removal takes awsb's programs along\n";
    let outcome = doctor(&sandbox);
    assert!(outcome.contains(says), "{outcome}");
    assert!(outcome.contains("hint: `pip uninstall aws-parallelcluster-awsbatch-cli` now\n"), "{outcome}");
    // The package is somewhere else, or ours was not installed by pip.
    std::fs::remove_dir(&old).expect("a folder");
    let outcome = doctor(&sandbox);
    assert!(!outcome.contains("same environment"), "{outcome}");
    std::fs::create_dir(&old).expect("a folder");
    std::fs::remove_dir(installed(&sandbox, "awsb-0.1.0")).expect("a folder");
    let outcome = doctor(&sandbox);
    assert!(!outcome.contains("same environment"), "{outcome}");
}

/// uv and pipx make links to the programs of an environment, in one folder for all of them.
#[story]
fn links_that_the_removal_of_the_old_package_took_along_are_named() {
    let mut sandbox = Sandbox::new();
    let bin = environment(&sandbox);
    let links = sandbox.work().join("links");
    std::fs::create_dir(&links).expect("a folder");
    let programs = std::fs::read_dir(&bin).expect("a folder").map(|entry| entry.expect("a program"));
    for program in programs {
        symlink(program.path(), links.join(program.file_name())).expect("a link");
    }
    sandbox.set("PATH", format!("{}:/usr/bin:/bin", links.display()));
    let doctor = |sandbox: &Sandbox| sandbox.run("awsb", ["doctor", "-c", "nowhere"]).stdout;
    let all_is_well = doctor(&sandbox);
    assert!(!all_is_well.contains("awsbsub"), "{all_is_well}");
    for name in ["awsbsub", "awsbout"] {
        std::fs::remove_file(links.join(name)).expect("a link");
    }
    let outcome = doctor(&sandbox);
    let says = "warning  tools          not in PATH, though this package brought them: awsbsub, awsbout\n";
    assert!(outcome.contains(says), "{outcome}");
    assert!(outcome.contains("`pipx reinstall awsb` brings them back\n"), "{outcome}");
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
    assert!(outcome.stdout.contains("error    cluster        there is no cluster `y`"), "{outcome}");
    let outcome = sandbox.run("awsb", ["doctor", "--bogus"]);
    assert_eq!(outcome.code(), 2, "{outcome}");
    assert!(outcome.stderr.starts_with("awsb doctor: error: unexpected argument '--bogus'"), "{outcome}");
}

/// The lines of `awsb doctor` about a cluster, behind those about the settings files.
fn of_cluster(outcome: &Outcome) -> String {
    let lines = outcome.stdout.lines().skip_while(|line| !line.contains(" cluster  "));
    lines.take_while(|line| !line.contains(" docker  ")).map(|line| format!("{line}\n")).collect()
}

const WITHOUT_REGION: &str = "default_cluster = \"far\"\n[cluster.far]\nbucket = \"b\"\njob_queue = \"q\"\n\
    job_definition = \"d\"\n";

#[story]
fn one_cause_is_one_error_and_the_rest_is_not_checked() {
    let server = BadServer::start(|_, _| Answer::error(500, "InternalError", "never"));
    let mut sandbox = Sandbox::at(&server.endpoint());
    sandbox.unset("AWS_ACCESS_KEY_ID");
    sandbox.unset("AWS_SECRET_ACCESS_KEY");
    let outcome = sandbox.run("awsb", ["doctor", "--json"]).ended_with(1);
    let found = findings(&outcome);
    for check in ["clock", "bucket", "queue", "definition", "log group"] {
        let skipped = [("skipped".to_owned(), "not checked: needs credentials".to_owned())];
        assert_eq!(found[check], skipped, "{check}: {outcome}");
    }
    let errors = found.values().flatten().filter(|(state, _)| state == "error").count();
    assert_eq!(errors, 1, "{outcome}");
    let mut texts = vec![of_cluster(&sandbox.run("awsb", ["doctor"]).ended_with(1))];
    assert_eq!(server.requests("").len(), 0);
    // Keys that the services do not know, and an endpoint that nobody listens at.
    let server = BadServer::start(|request, _| match request.service.as_str() {
        "s3" => Answer::s3_error(403, "InvalidAccessKeyId", "no"),
        "sts" => {
            let error = "<Code>InvalidClientTokenId</Code><Message>no</Message>";
            let text = format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>");
            Answer::Http(403, text, vec![("content-type", "text/xml".into())])
        }
        _ => Answer::error(403, "UnrecognizedClientException", "no"),
    });
    let port = BadServer::closed_port();
    // A login page has the status 200, which is all that the answer of a PUT says.
    let portal = BadServer::start(|_, _| {
        let text = "<!DOCTYPE html><title>Guests</title>".to_owned();
        Answer::Http(200, text, vec![("content-type", "text/html".into()), ("etag", "\"5c\"".into())])
    });
    for endpoint in [server.endpoint(), port.clone(), portal.endpoint()] {
        let outcome = Sandbox::at(&endpoint).run("awsb", ["doctor"]).ended_with(1);
        texts.push(of_cluster(&outcome).replace(&endpoint, "ENDPOINT"));
    }
    let sandbox = Sandbox::new();
    sandbox.config(WITHOUT_REGION);
    texts.push(of_cluster(&sandbox.run("awsb", ["doctor"]).ended_with(1)));
    let outcome = sandbox.run("awsb", ["doctor", "-c", "fra"]).ended_with(1);
    let config = sandbox.get("XDG_CONFIG_HOME").expect("a folder");
    // Whoever cannot mend the settings now can run jobs here all the same.
    sandbox.config("default_cluster = \"far\"\nclusters = 1\n");
    let wrong = sandbox.run("awsb", ["doctor"]).ended_with(1);
    assert!(
        wrong.stdout.contains("hint: `-c local` is the cluster on this machine, which needs no"),
        "{wrong}"
    );
    sandbox.run("awsb", ["doctor", "-c", "local"]).ok();
    texts.push(of_cluster(&outcome).replace(config, "CONFIG"));
    assert!(outcome.stdout.contains("ok       settings "), "{outcome}");
    insta::assert_snapshot!(texts.join("\n"));
}

#[story]
fn the_settings_of_the_old_tools_are_named_too() {
    const GOOD: &str =
        "[cluster hpc]\nregion = eu-west-1\ns3_bucket = b\njob_queue = q\njob_definition = d\n";
    let sandbox = Sandbox::new();
    let old = |text: &str| sandbox.file("../home/.parallelcluster/awsbatch-cli.cfg", text);
    old(GOOD);
    let home = sandbox.get("HOME").expect("a home");
    let path = format!("{home}/.parallelcluster/awsbatch-cli.cfg");
    let settings = |words: &[&str]| {
        let outcome = sandbox.run("awsb", [&["doctor", "--json"], words].concat());
        findings(&outcome)["settings"].clone()
    };
    let ok = ("ok".to_owned(), format!("{path}, of ParallelCluster's tools"));
    assert_eq!(settings(&[])[1], ok);
    // A mistake is an error only for the cluster that has it.
    old(&format!("{GOOD}[cluster bad]\nregion = eu-west-1\n"));
    let mistake = format!("the old tools' settings {path}, line 6: `s3_bucket` is missing in [cluster bad]");
    assert_eq!(settings(&["-c", "local"])[1], ("warning".to_owned(), mistake.clone()));
    assert_eq!(settings(&["-c", "bad"]), [("error".to_owned(), mistake.clone())]);
    // So is each mistake of another cluster.
    old(&format!("{GOOD}[cluster bad]\nregion = eu-west-1\n[cluster worse]\n"));
    let worse = format!("the old tools' settings {path}, line 8: `s3_bucket` is missing in [cluster worse]");
    let both = [("error".to_owned(), worse), ("warning".to_owned(), mistake)];
    assert_eq!(settings(&["-c", "worse"]), both);
    // A file that cannot be read is one error, too.
    old("no section\n");
    let [(state, message)] = settings(&["-c", "bad"]).try_into().expect("one finding");
    assert_eq!(state, "error", "{message}");
}

/// Folders with another awsb each, and a PATH that begins with them.
fn others<'p>(sandbox: &mut Sandbox, programs: impl IntoIterator<Item = (&'p str, &'p str)>) {
    let mut path = sandbox.get("PATH").expect("a PATH").to_owned();
    for (folder, script) in programs {
        let folder = sandbox.work().join(folder);
        std::fs::create_dir(&folder).expect("a folder");
        executable(&folder.join("awsb"), &format!("#!/bin/sh\n{script}\n")).expect("a program");
        path = format!("{}:{path}", folder.display());
    }
    sandbox.set("PATH", path);
}

#[story]
fn another_awsb_has_little_time_and_no_secrets() {
    let mut sandbox = Sandbox::new();
    sandbox.set("AWS_SECRET_ACCESS_KEY", "hunter2");
    let programs = [
        ("endless", "exec yes"),
        ("long", "exec tr '\\0' x </dev/zero"),
        ("slow", "trap '' TERM; echo $$ >\"$HOME/slow\"; exec sleep 1000"),
        // Its child has the pipe.
        ("forks", "sleep 1000 &\necho $! >\"$HOME/child\"; env >\"$HOME/env\"; echo awsb 9.8.7; wait"),
    ];
    others(&mut sandbox, programs);
    let work = sandbox.work();
    executable(&work.join("awsb"), "#!/bin/sh\ntouch \"$HOME/was-run\"\n").expect("a program");
    sandbox.set("PATH", format!(".:{}", sandbox.get("PATH").expect("a PATH")));
    let begun = std::time::Instant::now();
    let outcome = sandbox.run(&program_built("awsb"), ["doctor", "-c", "nowhere"]).ended_with(1);
    assert!(begun.elapsed().as_secs() < 30, "{outcome}");
    let version = |folder: &str| {
        let place = format!("{}/awsb (", work.join(folder).display());
        let found = outcome.stdout.lines().find_map(|line| line.split_once(&place));
        found
            .and_then(|(_, version)| version.strip_suffix(')'))
            .unwrap_or_else(|| panic!("{folder}: {outcome}"))
    };
    assert_eq!(version("endless"), "y");
    assert_eq!(version("long"), format!("{}…", "x".repeat(60)));
    assert_eq!(version("slow"), "of an unknown version");
    assert_eq!(version("forks"), "awsb 9.8.7");
    let relative = "another awsb in PATH: ./awsb (in a relative folder of PATH)\n";
    assert!(outcome.stdout.contains(relative), "{outcome}");
    let home = Path::new(sandbox.get("HOME").expect("a home")).to_owned();
    assert!(!home.join("was-run").exists());
    let environment = std::fs::read_to_string(home.join("env")).expect("an environment");
    assert!(!environment.contains("hunter2") && environment.contains("PATH=/"), "{environment}");
    for name in ["slow", "child"] {
        let text = std::fs::read_to_string(home.join(name)).expect("a process ID");
        let process = nix::unistd::Pid::from_raw(text.trim().parse().expect("a number"));
        eventually("the end of a process", Duration::from_secs(20), || is_gone(process).then_some(()));
    }
}

/// Whether a process has ended. One that nobody has waited for is a zombie.
fn is_gone(process: nix::unistd::Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    nix::sys::signal::kill(process, None).is_err() || stat.contains(") Z ")
}

#[story]
fn foreign_text_makes_no_rows() {
    const FAKE: &str = "x\nok       bucket         FAKE\u{1b}[2J";
    let mut sandbox = Sandbox::new();
    others(&mut sandbox, [("a\nok       FAKE", "printf '\\033[2Jawsb\\n'")]);
    for name in ["AWSB_CLUSTER", "AWSB_CONFIG"] {
        sandbox.set(name, FAKE);
        let outcome = sandbox.run(&program_built("awsb"), ["doctor"]);
        assert!(outcome.stdout.contains("FAKE"), "{outcome}");
        assert!(!outcome.stdout.contains("\nok       FAKE"), "{outcome}");
        assert!(!outcome.stdout.contains("\nok       bucket         FAKE"), "{outcome}");
        assert!(!outcome.stdout.contains('\u{1b}'), "{outcome}");
        sandbox.unset(name);
    }
}

#[story]
fn the_password_of_an_endpoint_is_not_shown() {
    const URL: &str = "http://user:hunter2@127.0.0.1:9";
    let of_settings = Sandbox::at(URL);
    let mut exported = Sandbox::at("http://127.0.0.1:9");
    exported.config(
        "default_cluster = \"far\"\n[cluster.far]\nregion = \"eu-west-1\"\nbucket = \"b\"\njob_queue = \"q\"\n\
         job_definition = \"d\"\n",
    );
    exported.set("AWS_ENDPOINT_URL", URL);
    for sandbox in [of_settings, exported] {
        for (tool, args) in [("awsb", &["doctor"][..]), ("awsb", &["doctor", "--json"]), ("bqueues", &[])] {
            let outcome = sandbox.run(tool, args);
            let shown = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(shown.contains("cannot reach http://user:"), "{outcome}");
            assert!(!shown.contains("hunter2"), "{outcome}");
        }
    }
}

#[story]
fn credentials_with_a_control_character_are_named_and_not_sent() {
    let server = BadServer::start(|_, _| Answer::error(403, "AccessDeniedException", "no"));
    let mut sandbox = Sandbox::at(&server.endpoint());
    let fails = |sandbox: &Sandbox, options: &[&str], expected: &str| {
        let doctor = sandbox.run("awsb", [&["doctor"][..], options].concat()).ended_with(1);
        let says = format!("error    credentials    asking STS who I am: {expected}");
        assert!(doctor.stdout.contains(&says), "{says}: {doctor}");
        let bqueues = sandbox.run("bqueues", options).ended_with(1);
        assert!(bqueues.stderr.contains(&format!(": {expected}")), "{expected}: {bqueues}");
        for outcome in [doctor, bqueues] {
            assert!(!outcome.stderr.contains("panicked"), "{outcome}");
        }
    };
    let says = |origin: &str| format!("the AWS credentials cannot be sent: {origin} has a control character");
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "AKIA\r"),
        ("AWS_ACCESS_KEY_ID", "AKIA\nX"),
        ("AWS_SECRET_ACCESS_KEY", "s\u{1b}"),
        ("AWS_SESSION_TOKEN", "token\r"),
    ] {
        let before = sandbox.get(name).map(str::to_owned);
        sandbox.set(name, value);
        fails(&sandbox, &[], &says(&format!("the variable {name}")));
        match before {
            Some(before) => sandbox.set(name, before),
            None => sandbox.unset(name),
        }
    }
    sandbox.file(
        "../home/.aws/credentials",
        "[bad]\naws_access_key_id = AK\u{1b}IA\naws_secret_access_key = s\n",
    );
    let answer =
        r#"{"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "s", "SessionToken": "a\u001b"}"#;
    let answer = sandbox.file("answer.json", answer);
    sandbox.file(
        "../home/.aws/config",
        format!(
            "[profile role]\nrole_arn = arn:aws:iam::111122223333:role/r\nsource_profile = bad\n\
             [profile tool]\ncredential_process = cat {}\n",
            answer.display()
        ),
    );
    let of_file = says("`aws_access_key_id` of the profile `bad`");
    fails(&sandbox, &["--profile", "bad"], &of_file);
    fails(&sandbox, &["--profile", "role"], &of_file);
    fails(&sandbox, &["--profile", "tool"], &says("the session token that the profile `tool` leads to"));
    assert_eq!(server.requests("").len(), 0);
}

/// `python -m awsb` with a file that is not executable in the place of the program.
#[story]
fn a_program_of_the_python_package_that_cannot_be_executed_is_named() {
    awsb_testkit::program("python3");
    let mut sandbox = Sandbox::new();
    for (name, text) in [
        ("__init__.py", include_str!("../../packaging/python/awsb/__init__.py")),
        ("__main__.py", include_str!("../../packaging/python/awsb/__main__.py")),
    ] {
        std::fs::create_dir_all(sandbox.work().join("packages/awsb")).expect("a folder");
        sandbox.file(&format!("packages/awsb/{name}"), text);
    }
    std::fs::create_dir(sandbox.work().join("packages/bin")).expect("a folder");
    let program = sandbox.file("packages/bin/awsb", "not a program\n");
    sandbox.set("PYTHONPATH", sandbox.work().join("packages").display().to_string());
    let outcome = sandbox.run("python3", ["-m", "awsb", "stat"]).ended_with(1);
    let expected = format!(
        "awsb: error: executing {}: Permission denied\nhint: install the package awsb again\n",
        program.display()
    );
    assert_eq!(outcome.stderr, expected);
}
