//! Bad input: one clear line and exit code 2, before anything is sent.

mod cases;

use awsb_testkit::{Outcome, Sandbox, story};
use cases::Case;

/// A cluster that nobody answers for: whatever was sent would end in another error, with another
/// exit code.
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
    sandbox.file("lines", "a\nb\n");
    sandbox.file("empty.sh", "");
    sandbox.file("blank.sh", " \n\n");
    sandbox.file("crlf.sh", "#!/bin/sh\r\necho hi\r\n");
    sandbox.file("bom.sh", "\u{feff}#!/bin/sh\necho hi\n");
    sandbox.file("mac", b"\xcf\xfa\xed\xfe\0\0\0\0");
    sandbox.file("script.py", "print(1)\n");
    sandbox.file("comments", "# a\n\n");
    sandbox.file("dir/x", "");
    sandbox
}

/// Runs `bsub` for each case; all that is said, for a look by eye.
#[track_caller]
fn messages(cases: &[Case]) -> String {
    let sandbox = sandbox();
    let messages = cases.iter().map(|case| {
        let outcome = sandbox.quick_run("bsub", &case.words);
        let message = outcome.failed_with(2);
        for word in &case.says {
            assert!(message.contains(word.as_str()), "{word:?} is not said in {outcome}");
        }
        let messages = format!("bsub {}\n  {message}\n{}", case.words.join(" "), hints(&outcome));
        shortened(&messages.replace(sandbox.get("XDG_CONFIG_HOME").unwrap_or_default(), "~/.config"))
    });
    messages.collect()
}

/// The hints, indented.
fn hints(outcome: &Outcome) -> String {
    let hints = outcome.hints();
    hints.lines().map(|hint| format!("  {hint}\n")).collect()
}

/// A text without the names of bundles, which follow every change of the launcher.
fn unhashed(text: &str) -> String {
    let mut parts = text.split("/bundles/");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        plain.push_str(&format!("/bundles/SHA256{rest}"));
    }
    plain
}

/// A text without long runs of one letter.
fn shortened(text: &str) -> String {
    let mut short = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let run = &rest[..rest.find(|c| c != letter).unwrap_or(rest.len())];
        rest = &rest[run.len()..];
        match run.chars().count() {
            0..20 => short.push_str(run),
            count => short.push_str(&format!("{letter}[{count}]")),
        }
    }
    short
}

#[story]
fn every_options_wrong_values() {
    insta::assert_snapshot!(unhashed(&messages(&cases::values())));
}

#[story]
fn options_that_do_not_go_together() {
    insta::assert_snapshot!(messages(&cases::together()));
}

#[story]
fn more_than_batch_takes() {
    insta::assert_snapshot!(messages(&cases::too_many()));
}

#[story]
fn scripts_and_files_that_cannot_be_used() {
    insta::assert_snapshot!(messages(&cases::files()));
}

#[story]
fn every_option_is_tried() {
    let help = sandbox().run("bsub", ["--help"]).ok().stdout;
    let options = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let long = line.strip_prefix("--").or_else(|| line.split_once(", --").map(|(_, long)| long))?;
        Some(format!("--{}", long.split_whitespace().next()?))
    });
    let all = [cases::values(), cases::together(), cases::too_many(), cases::files()].concat();
    // Options that take no value and go with all others.
    let harmless = ["--propagate-tags", "--privileged", "--wait", "--debug", "--help", "--version", "--man"];
    let tried = |option: &str| {
        all.iter().any(|case| {
            let named = |text: &String| text == option || text.starts_with(&format!("{option}="));
            case.words.iter().any(named) || case.says.iter().any(|word| word.contains(option))
        })
    };
    for option in options.filter(|option| !harmless.contains(&option.as_str())) {
        assert!(tried(&option), "{option} has no wrong value in this test");
    }
    assert!(all.len() > 250, "{}", all.len());
}

#[story]
fn wrong_directives_are_named_with_their_line() {
    let sandbox = sandbox();
    for (directive, says) in cases::DIRECTIVES {
        sandbox.file("job.sh", format!("#!/bin/sh\n\n{directive}\necho\n"));
        let outcome = sandbox.quick_run("bsub", ["job.sh"]);
        let message = outcome.failed_with(2);
        assert!(message.contains(says), "{directive}: {says:?} is not said in {outcome}");
        // A mistake that only all options together make has no line of its own.
        if !directive.contains("--commands") {
            let shown = format!("job.sh, line 3: `{}", directive.replace('\'', ""));
            assert!(message.replace('\'', "").contains(&shown), "{directive}: {outcome}");
        }
    }
}

#[story]
fn a_value_of_megabytes_is_not_repeated_as_a_whole() {
    let sandbox = sandbox();
    sandbox.file("long.sh", format!("#!/bin/sh\n#AWSB -J {}\ntrue\n", "x".repeat(1 << 20)));
    let outcome = sandbox.run("bsub", ["long.sh"]);
    assert_eq!(outcome.code(), 2, "{}", outcome.stderr.len());
    assert!(outcome.stderr.len() < 2000, "{}", outcome.stderr.len());
    assert!(outcome.stderr.contains("line 2") && outcome.stderr.contains("1 to 128"), "{outcome}");
}

#[story]
fn wrong_defaults_are_named_with_their_place() {
    let sandbox = sandbox();
    for (line, says) in [
        ("memory = \"3\"", "invalid value '3' for '--memory <SIZE>': a job needs at least 4 MiB"),
        ("memory = 3", "at least 4 MiB"),
        ("retry-attempts = 11", "1 to 10 attempts"),
        ("memroy = \"4G\"", "unexpected argument '--memroy'"),
        ("tag = [\"a=b\", \"c\"]", "invalid value 'c' for '--tag <KEY=VALUE>'"),
        ("wait = 5", "--wait"),
        ("cluster = \"local\"", "chooses the cluster"),
        ("parsable = true", "--parsable can only be used on the command line"),
    ] {
        sandbox.config(&format!("{NOBODY}\n[defaults]\n{line}\n"));
        let outcome = sandbox.quick_run("bsub", ["ok.sh"]);
        let message = outcome.failed_with(2);
        assert!(message.contains(says), "{line}: {outcome}");
        assert!(message.contains("config.toml, line 12"), "{line}: {outcome}");
    }
    sandbox.config(&format!("{NOBODY}\n[defaults]\nretry-atempts = 3\n"));
    let outcome = sandbox.quick_run("bsub", ["ok.sh"]);
    assert_eq!(outcome.hints().trim(), "did you mean `retry-attempts`?", "{outcome}");
}

#[story]
fn all_that_is_wrong_with_a_script_is_said_at_once() {
    let sandbox = sandbox();
    sandbox.file("both.sh", "#!/bin/sh\n#SBATCH --exclusive\n#SBATCH --mem=wrong\ntrue\n");
    let outcome = sandbox.quick_run("bsub", ["both.sh"]);
    assert_eq!(outcome.code(), 2, "{outcome}");
    assert!(outcome.stderr.contains("bsub: warning: both.sh, line 2: "), "{outcome}");
    assert!(outcome.stderr.contains("bsub: error: both.sh, line 3: "), "{outcome}");
}

#[story]
fn images_that_are_named_wrongly() {
    let sandbox = sandbox();
    for (words, says) in cases::IMAGES {
        let outcome = sandbox.quick_run("bimage", *words);
        let message = outcome.failed_with(2);
        for says in *says {
            assert!(message.contains(says), "{says:?} is not said in {outcome}");
        }
    }
}

#[story]
fn the_other_tools() {
    const ID: &str = "8f2c0d3e-1111-4222-8333-444455556666";
    let sandbox = sandbox();
    let cases: &[(&[&str], &[&str])] = &[
        (&["bstat", "-s", "DONE"], &["'DONE'", "'--status <LIST>'", "SUBMITTED"]),
        (&["bstat", "-s", ""], &["'--status <LIST>'"]),
        (&["bstat", "what is this"], &["'what is this'", "give its ID"]),
        (&["bstat", "-q", "local", ID], &["--queue", "ID"]),
        (&["bstat", "-q", "a b"], &["'a b'", "'--queue <NAME>'"]),
        (&["bstat", "--task", "3"], &["<ID>"]),
        (&["bstat", "--task", "-1", ID], &["'-1'", "'--task <N>'"]),
        (&["bstat", "last"], &["`last`", "no job has been submitted"]),
        (&["bout"], &["<ID>"]),
        (&["bout", "last:3"], &["`last:3`", "no job has been submitted"]),
        (&["bout", "--head", "-1", ID], &["'-1'", "'--head <N>'"]),
        (&["bout", "--tail", "x", ID], &["'x'", "'--tail <N>'"]),
        (&["bout", "--task", "x", ID], &["'x'", "'--task <N>'"]),
        (&["bout", "--head", "1", "--tail", "1", ID], &["--head", "--tail"]),
        (&["bout", "--head", "1", "--follow", ID], &["--head", "--follow"]),
        (&["bout", "--files", "--follow", ID], &["--files", "--follow"]),
        (&["bout", "--files", "--head", "1", ID], &["--files", "--head"]),
        (&["bout", "--files", "--tail", "1", ID], &["--files", "--tail"]),
        (&["bout", "--attempt", "0", ID], &["'0'", "'--attempt <N|all>'"]),
        (&["bout", "--since", "soon", ID], &["'soon'", "'--since <TIME>'"]),
        (&["bout", "--index", "3-", ID], &["'3-'", "'--index <LIST>'"]),
        (&["bout", "--files", "--failed", ID], &["--files", "--failed"]),
        (&["bout", "--stream-period", "3", ID], &["--follow"]),
        (&["bkill"], &["<ID>"]),
        (&["bkill", ""], &["give its ID"]),
        (&["bkill", "-r", "", ID], &["a value is required", "'--reason <TEXT>'"]),
        (&["bhosts", ""], &["a value is required", "'[ID]...'"]),
        (
            &["bcluster", "update", "x", "--may-end-jobs", ""],
            &["a value is required", "'--may-end-jobs <PART>'"],
        ),
        (&["bcluster", "create", "x", "--template-bucket", ""], &["'--template-bucket <BUCKET>'"]),
        (&["bexec", "--container", "a b", ID], &["'a b'", "'--container <NAME>'", "1 to 255 letters"]),
        (&["bout", "--container", "\u{1b}[1m", ID], &["'--container <NAME>'", "1 to 255 letters"]),
        (&["bkill", "last"], &["`last`", "no job has been submitted"]),
        (&["bkill", "--task", "-1", ID], &["'-1'", "'--task <N>'"]),
        (&["bkill", "--task", "1", "--name", "x"], &["--task", "--name"]),
        (&["bkill", "--name", "x", ID], &["--name", "ID"]),
        (&["bkill", "--mine", ID], &["--mine", "ID"]),
        (&["bkill", "-y"], &["<ID>"]),
        (&["bkill", "--name", "x"], &["refusing to end jobs", "terminal"]),
        (&["bkill", "--mine", "--all-queues"], &["refusing to end jobs", "terminal"]),
        (&["bkill", "-q", "q"], &["refusing to end jobs", "terminal"]),
        (&["bkill", "-s", "RUNNING"], &["refusing to end jobs", "terminal"]),
        (&["bkill", "-s", "FAILED,SUCCEEDED", "-y"], &["FAILED", "have already ended"]),
        (&["bkill", "-s", "DONE", "-y"], &["'DONE'", "'--status <LIST>'"]),
        (&["bkill", "-q", "a b", "-y"], &["'a b'", "'--queue <NAME>'"]),
        (&["bwait"], &["<ID>"]),
        (&["bwait", "a b"], &["'a b'", "give its ID"]),
        (&["bwait", "last"], &["`last`", "no job has been submitted"]),
        (&["bwait", "--timeout", "soon", ID], &["'soon'", "'--timeout <TIME>'"]),
        (&["bwait", "--timeout", "-1", ID], &["'-1'", "'--timeout <TIME>'"]),
        (&["bwait", "--task", "x", ID], &["'x'", "'--task <N>'"]),
        (&["bwait", "--quiet", "--json", ID], &["--quiet", "--json"]),
        // Commands that the help does not list are not among them.
        (&["blocal"], &["no command is given; it is one of start, stop, status, ", " or env"]),
        (&["blocal", "status", "-c", "nobody"], &["the cluster \"nobody\""]),
    ];
    for (words, says) in cases {
        let outcome = sandbox.quick_run(words[0], &words[1..]);
        let message = outcome.failed_with(2);
        for word in *says {
            assert!(message.contains(word), "{word:?} is not said in {outcome}");
        }
    }
}

#[story]
fn an_unreadable_script() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = sandbox();
    let script = sandbox.file("secret.sh", "echo hi\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o000)).expect("permissions");
    if std::fs::read(&script).is_ok() {
        // Root reads everything; a file that nobody can read is one that is gone between two looks,
        // or this:
        let message = sandbox.run("bsub", ["--script", "/proc/self/mem"]).failed_with(2);
        assert!(message.starts_with("reading the script /proc/self/mem: "), "{message}");
        return;
    }
    assert_eq!(
        sandbox.run("bsub", ["secret.sh"]).failed_with(2),
        "reading the script secret.sh: Permission denied"
    );
}

#[story]
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
    let messages: Vec<String> = cases
        .iter()
        .map(|(what, toml)| {
            sandbox.config(toml);
            let outcome = sandbox.run("bsub", ["ok.sh"]);
            let messages = format!("{}\n  {}", outcome.failed_with(2), outcome.hints().replace('\n', "\n  "));
            format!(
                "{what}\n  {}",
                messages.replace(sandbox.get("XDG_CONFIG_HOME").unwrap_or_default(), "~/.config")
            )
        })
        .collect();
    insta::assert_snapshot!(messages.join("\n"));
}

#[story]
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

/// A mistake may be a whole file. The line still says what is wrong with it.
#[story]
fn a_value_of_megabytes_does_not_fill_the_terminal() {
    let long = "A".repeat(100_000);
    let option = format!("--{long}");
    let words = "a ".repeat(50_000);
    let sandbox = sandbox();
    for line in [
        &["bstat", &long][..],
        &["bstat", "--sort", &long],
        &["bstat", "-c", &long],
        &["bkill", &words],
        &["bsub", &option],
        &["bsub", "-q", &long, "true"],
        &["bsub", "-n", &words, "true"],
        &["bsub", "-J", &long, "true"],
        &["bqueues", &long],
        &["bexec", &long],
        &["bcluster", &long],
        &["awsb", &long],
        &["awsb", "awsbsub", &option],
        &["awsb", "awsbkill", &long],
    ] {
        let outcome = sandbox.run(line[0], &line[1..]);
        assert!(!outcome.stderr.is_empty() && outcome.code() != 0, "{}", line[0]);
        assert!(outcome.stderr.len() < 8192, "{}: {} bytes", line[0], outcome.stderr.len());
        assert!(outcome.stderr.contains("characters left out"), "{outcome}");
    }
}
