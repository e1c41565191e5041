//! One program, `awsb`, and the small programs that execute it under the tools' names.

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use awsb_testkit::shells::install;
use awsb_testkit::{Sandbox, story};

const TOOLS: [&str; 11] =
    ["bsub", "bstat", "bout", "bkill", "bexec", "bwait", "bqueues", "bhosts", "bimage", "bcluster", "blocal"];

#[story]
fn awsb_alone_lists_the_tools_and_how_to_begin() {
    let sandbox = Sandbox::new();
    let list = sandbox.run("awsb", [""; 0]).ok().stdout;
    for tool in TOOLS {
        assert!(list.contains(&format!("\n  {tool:<8} ")), "{list}");
    }
    assert_eq!(sandbox.run("awsb", ["--help"]).ok().stdout, list);
    assert_eq!(sandbox.run("awsb", ["help"]).ok().stdout, list);
    // The command to begin with is run as it is printed.
    let begin = list.lines().rfind(|line| line.starts_with("  bsub ")).expect("a command to begin with");
    let output = sandbox.run("sh", ["-c", begin]).ok().stdout;
    assert!(output.starts_with("hello from job "), "{output}");
}

#[story]
fn a_tool_is_a_word_of_awsb_with_or_without_its_b() {
    let sandbox = Sandbox::new();
    for tool in TOOLS {
        let version = sandbox.run(tool, ["--version"]).ok().stdout;
        assert!(version.starts_with(&format!("{tool} ")), "{version}");
        let help = sandbox.run(tool, ["--help"]).ok().stdout;
        for word in [tool, tool.trim_start_matches('b')] {
            assert_eq!(sandbox.run("awsb", [word, "--version"]).ok().stdout, version);
            assert_eq!(sandbox.run("awsb", ["help", word]).ok().stdout, help);
        }
    }
    assert_eq!(
        sandbox.run("awsb", ["--help", "stat"]).ok().stdout,
        sandbox.run("bstat", ["--help"]).ok().stdout
    );
    let version = sandbox.run("awsb", ["--version"]).ok().stdout;
    assert_eq!(sandbox.run("awsb", ["--version", "x"]).ok().stdout, version);
    assert_eq!(version, format!("awsb {}\n", env!("CARGO_PKG_VERSION")));
}

#[story]
fn another_word_is_wrong_usage() {
    let sandbox = Sandbox::new();
    for word in ["stta", "--stat", "Bsub", "doctors", "awsbsu", "", "help-me"] {
        let outcome = sandbox.run("awsb", [word]);
        assert_eq!(outcome.failed_with(2), format!("`{word}` is not a tool of awsb"));
    }
    for (word, suggestion) in [
        ("stta", "stat"),
        ("stats", "stat"),
        ("docter", "doctor"),
        ("prun", "prune"),
        ("completion", "completions"),
        ("version", "--version"),
    ] {
        for words in [&[word][..], &["help", word]] {
            let outcome = sandbox.run("awsb", words);
            assert_eq!(outcome.failed_with(2), format!("`{word}` is not a tool of awsb"));
            assert_eq!(outcome.hints(), format!("did you mean `awsb {suggestion}`?"));
        }
    }
    for word in ["doctor", "prune", "completions"] {
        let help = sandbox.run("awsb", ["help", word]).ok().stdout;
        assert!(help.contains(&format!("Usage: awsb {word}")), "{help}");
    }
    let outcome = sandbox.run("awsb", ["help", "nothing"]);
    assert!(outcome.failed_with(2).contains("`nothing` is not a tool"), "{outcome}");
}

#[story]
fn arguments_output_and_exit_codes_pass_through() {
    let sandbox = Sandbox::new();
    let odd = ["-I", "printf", "[%s]", "", " a  b ", "*", "-n", "\u{e4}\n"];
    let words = || std::iter::once("sub").chain(odd);
    let direct = sandbox.run("bsub", odd).ok().stdout;
    assert_eq!(direct, "[][ a  b ][*][-n][\u{e4}\n]\n");
    assert_eq!(sandbox.run("awsb", words()).ok().stdout, direct);
    assert_eq!(sandbox.run("bsub", ["-I", "--wrap", "exit 7"]).code(), 7);
    let outcome = sandbox.run("awsb", ["stat", "--nosuch"]);
    assert!(outcome.code() == 2 && outcome.stderr.starts_with("bstat: error: "), "{outcome}");
}

/// A folder with some of the built programs.
fn folder_with(sandbox: &Sandbox, name: &str, programs: &[&str]) -> PathBuf {
    let folder = sandbox.work().join(name);
    std::fs::create_dir(&folder).expect("a folder");
    for program in programs {
        install(program, &folder).expect("a program");
    }
    folder
}

#[story]
fn a_link_to_awsb_is_the_tool_of_its_name_and_any_other_name_is_awsb() {
    let sandbox = Sandbox::new();
    let folder = folder_with(&sandbox, "links", &["awsb"]);
    symlink("awsb", folder.join("bstat")).expect("a link");
    std::fs::hard_link(folder.join("awsb"), folder.join("bsub")).expect("a hard link");
    std::fs::rename(folder.join("awsb"), folder.join("awsb-0.1")).expect("another name");
    let run = |name: &str, args: &[&str]| sandbox.run(&folder.join(name).display().to_string(), args);
    assert!(run("awsb-0.1", &["stat", "--version"]).ok().stdout.starts_with("bstat "));
    assert!(run("bsub", &["--version"]).ok().stdout.starts_with("bsub "));
    // The server is the program in the same folder; no other `awsb` in PATH is taken for it.
    let outcome = run("bsub", &["true"]);
    let error = outcome.failed_with(1);
    assert!(error.contains("starting the local cluster: there is no program"), "{error}");
    std::fs::rename(folder.join("awsb-0.1"), folder.join("awsb")).expect("its own name");
    assert!(run("bstat", &["--version"]).ok().stdout.starts_with("bstat "));
    run("bsub", &["-K", "true"]).ok();
}

#[story]
fn a_program_finds_awsb_behind_links_and_never_in_path() {
    let sandbox = Sandbox::new();
    let folder = folder_with(&sandbox, "whole", &["awsb", "bstat"]);
    let elsewhere = sandbox.work().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a folder");
    symlink(folder.join("bstat"), elsewhere.join("bstat")).expect("a link");
    let linked = elsewhere.join("bstat").display().to_string();
    assert!(sandbox.run(&linked, ["--version"]).ok().stdout.starts_with("bstat "));

    // Alone: what is missing is said, and the `awsb` that PATH has is another one.
    std::fs::remove_file(folder.join("awsb")).expect("taken away");
    let alone = folder.join("bstat").display().to_string();
    let outcome = sandbox.run(&alone, ["--version"]);
    let error = outcome.failed_with(1);
    assert!(error.starts_with(&format!("starting {}: ", folder.join("awsb").display())), "{error}");
    assert!(outcome.hints().starts_with("bstat needs awsb in its own folder"), "{outcome}");

    // A link back to itself ends, too.
    symlink("bstat", folder.join("awsb")).expect("a link");
    let outcome = sandbox.run(&alone, ["--version"]);
    assert!(outcome.failed_with(1).contains("is a link to this program"), "{outcome}");
}

#[story]
fn the_name_that_a_program_is_called_by_decides() {
    let sandbox = Sandbox::new();
    let called = |name: &str, args: &[&str]| {
        let mut command = sandbox.command("awsb", args);
        command.arg0(name);
        let output = command.output().expect("it runs");
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned())
    };
    assert!(called("/opt/x/bstat", &["--version"])[0].starts_with("bstat "));
    let [stdout, stderr] = called("bstat", &["bsub", "--version"]);
    assert!(stdout.starts_with("bstat "), "its first word is not another tool: {stdout}{stderr}");
    let [_, stderr] = called("bstat", &["bsub"]);
    assert!(stderr.starts_with("bstat: error: "), "its first word is not another tool: {stderr}");
    assert_eq!(called("BSTAT", &["--version"]), called("awsb", &["--version"]));
    assert_eq!(called("", &["--version"]), called("awsb", &["--version"]));
}

/// The output of `ps`: the command line and, on Linux, the short name.
#[cfg(target_os = "linux")]
#[story]
fn processes_are_listed_under_the_tools_names() {
    let sandbox = Sandbox::new();
    let id = sandbox.run("bsub", ["--parsable", "sleep", "600"]).ok().stdout;
    let id = id.trim();
    for (program, words) in [("bwait", vec![id]), ("awsb", vec!["wait", id])] {
        let waiting = sandbox.start(program, &words);
        let pid = waiting.pid();
        let comm = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let named = || (comm() == "bwait\n").then_some(());
        awsb_testkit::eventually(
            "the process has the tool's name",
            std::time::Duration::from_secs(30),
            named,
        );
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).expect("its arguments");
        let shown = String::from_utf8_lossy(&arguments).replace('\0', " ");
        let first = shown.split(' ').next().and_then(|path| path.rsplit('/').next());
        assert_eq!(first, Some(program), "{shown}");
        drop(waiting);
    }
    let status = sandbox.run("blocal", ["status", "--json"]).ok().stdout;
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let server = status.pointer("/0/pid").and_then(serde_json::Value::as_u64).expect("the server's process");
    assert_eq!(std::fs::read_to_string(format!("/proc/{server}/comm")).expect("its name"), "blocal\n");
    sandbox.run("bkill", [id]).ok();
}
