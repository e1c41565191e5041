//! Bad input: one clear line and exit code 2, before anything is sent.

mod support;

use support::Sandbox;

/// A cluster that nobody answers for: whatever was sent would end in another error, with another exit code.
const NOBODY: &str = r#"
default_cluster = "nobody"

[cluster.nobody]
region = "eu-west-1"
endpoint_url = "http://127.0.0.1:9"
bucket = "bucket"
job_queue = "queue"
job_definition = "definition"
"#;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.config(NOBODY);
    sandbox.file("ok.sh", "#!/bin/sh\n");
    sandbox
}

#[test]
fn wrong_command_lines() {
    let sandbox = sandbox();
    sandbox.file("empty.sh", "");
    sandbox.file("blank.sh", " \n\n");
    sandbox.file("crlf.sh", "#!/bin/sh\r\necho hi\r\n");
    sandbox.file("bom.sh", "\u{feff}#!/bin/sh\necho hi\n");
    sandbox.file("dir/x", "");
    let cases: &[(&str, &[&str])] = &[
        ("empty", &["bsub", "empty.sh"]),
        ("blank", &["bsub", "blank.sh"]),
        ("directory", &["bsub", "dir"]),
        ("CRLF", &["bsub", "crlf.sh"]),
        ("byte order mark", &["bsub", "bom.sh"]),
        ("a file that is not there", &["bsub", "missing.sh"]),
        ("another", &["bsub", "./missing"]),
        ("a command line", &["bsub", "echo hi"]),
        ("--script insists", &["bsub", "--script", "missing"]),
        ("an empty operand", &["bsub", ""]),
        ("an empty --wrap", &["bsub", "--wrap", ""]),
        ("--wrap and an operand", &["bsub", "--wrap", "echo", "ok.sh"]),
        ("--script and --command", &["bsub", "--script", "--command", "ok.sh"]),
        ("job name", &["bsub", "-J", "a b", "ok.sh"]),
        ("-a 0", &["bsub", "-a", "0", "ok.sh"]),
        ("-a 1", &["bsub", "-a", "1", "ok.sh"]),
        ("-a 10001", &["bsub", "-a", "10001", "ok.sh"]),
        ("-a x", &["bsub", "-a", "x", "ok.sh"]),
        ("-a -5", &["bsub", "-a", "-5", "ok.sh"]),
        ("-t 59", &["bsub", "-t", "59", "ok.sh"]),
        ("-t 1h2", &["bsub", "-t", "1h2", "ok.sh"]),
        ("-r 0", &["bsub", "-r", "0", "ok.sh"]),
        ("-r 11", &["bsub", "-r", "11", "ok.sh"]),
        ("-m 3", &["bsub", "-m", "3", "ok.sh"]),
        ("-m 1Q", &["bsub", "-m", "1Q", "ok.sh"]),
        ("-p 0", &["bsub", "-p", "0", "ok.sh"]),
        ("-p 1.5", &["bsub", "-p", "1.5", "ok.sh"]),
        ("-p -1", &["bsub", "-p", "-1", "ok.sh"]),
        ("no regular file", &["bsub", "/dev/null"]),
        ("-e 1A=x", &["bsub", "-e", "1A=x", "ok.sh"]),
        ("-e AWS_BATCH_X=y", &["bsub", "-e", "AWS_BATCH_X=y", "ok.sh"]),
        ("-e AWSB_BUNDLE=y", &["bsub", "-e", "AWSB_BUNDLE=y", "ok.sh"]),
        ("--parsable and --json", &["bsub", "--parsable", "--json", "ok.sh"]),
        ("an unknown option", &["bsub", "--memroy", "4G", "ok.sh"]),
        ("an unknown cluster", &["bsub", "-c", "nobod", "ok.sh"]),
        ("an unknown status", &["bstat", "-s", "DONE"]),
        ("no job ID at all", &["bstat", "what is this"]),
        ("a queue and an ID", &["bstat", "-q", "local", "8f2c0d3e"]),
        ("no ID", &["bout"]),
        ("no ID", &["bkill"]),
        ("no command", &["blocal"]),
        ("another cluster than local", &["blocal", "status", "-c", "nobody"]),
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|(what, words)| {
            let outcome = sandbox.run(words[0], &words[1..]);
            let message = outcome
                .failed_with(2)
                .replace(sandbox.get("XDG_CONFIG_HOME").unwrap_or_default(), "~/.config");
            format!("{what}\n  {message}\n  {}", outcome.hints().replace('\n', "\n  "))
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn an_empty_script_on_standard_input() {
    let message = sandbox().run_with_input("bsub", Vec::<&str>::new(), "").failed_with(2);
    assert_eq!(message, "the script on standard input is empty");
}

#[test]
fn an_unreadable_script() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = sandbox();
    let script = sandbox.file("secret.sh", "echo hi\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o000)).expect("permissions");
    if std::fs::read(&script).is_ok() {
        // Root reads everything; a file that nobody can read is one that is gone between two looks, or this:
        let message = sandbox.run("bsub", ["--script", "/proc/self/mem"]).failed_with(2);
        assert!(message.starts_with("reading the script /proc/self/mem: "), "{message}");
        return;
    }
    assert_eq!(
        sandbox.run("bsub", ["secret.sh"]).failed_with(2),
        "reading the script secret.sh: Permission denied"
    );
}

#[test]
fn wrong_settings_files() {
    let sandbox = Sandbox::new();
    sandbox.file("ok.sh", "#!/bin/sh\n");
    let cases = [
        ("an unknown key", NOBODY.replace("job_queue", "job_qeue")),
        ("a missing one", NOBODY.replace("bucket = \"bucket\"\n", "")),
        ("no default", NOBODY.replace("default_cluster = \"nobody\"", "")),
        ("a default that is not there", NOBODY.replace("\"nobody\"\n\n", "\"nobdy\"\n\n")),
        ("no TOML", NOBODY.replace("[cluster.nobody]", "[cluster.nobody")),
        ("no region", NOBODY.replace("region = \"eu-west-1\"\n", "")),
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|(what, toml)| {
            sandbox.config(toml);
            let outcome = sandbox.run("bsub", ["ok.sh"]);
            let told = format!("{}\n  {}", outcome.failed_with(2), outcome.hints().replace('\n', "\n  "));
            format!(
                "{what}\n  {}",
                told.replace(sandbox.get("XDG_CONFIG_HOME").unwrap_or_default(), "~/.config")
            )
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_settings_file_that_is_demanded_has_to_be_there() {
    let mut sandbox = Sandbox::new();
    sandbox.file("ok.sh", "#!/bin/sh\n");
    sandbox.set("AWSB_CONFIG", "/nowhere/config.toml");
    let message = sandbox.run("bsub", ["ok.sh"]).failed_with(2);
    assert_eq!(
        message,
        "reading the settings file /nowhere/config.toml: No such file or directory (os error 2)"
    );
}
