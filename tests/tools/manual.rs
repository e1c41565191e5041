//! Manual pages and completions of every tool.

use awsb_testkit::{Sandbox, story};

/// A tool, and an option that it has.
const TOOLS: [(&str, &str); 11] = [
    ("bsub", "array-size"),
    ("bstat", "status"),
    ("bout", "follow"),
    ("bkill", "reason"),
    ("bexec", "forward"),
    ("bwait", "timeout"),
    ("bqueues", "ended"),
    ("bhosts", "no-jobs"),
    ("blocal", "json"),
    ("bimage", "builder"),
    ("bcluster", "plan"),
];

/// A program of this machine; without it, its part of a test is skipped.
fn has(sandbox: &Sandbox, program: &str) -> bool {
    let found = sandbox.run("sh", ["-c", &format!("command -v {program}")]).code() == 0;
    if !found {
        eprintln!("SKIPPED: no {program}");
    }
    found
}

#[story]
fn every_tool_has_a_manual_page() {
    let sandbox = Sandbox::new();
    let groff = has(&sandbox, "groff");
    for (tool, option) in TOOLS {
        let page = sandbox.run(tool, ["--man"]).ok().stdout;
        assert!(page.contains(".TH") && page.contains(&option.replace('-', "\\-")), "{page}");
        if groff {
            let outcome =
                sandbox.run_with_input("groff", ["-Kutf8", "-man", "-ww", "-z"], page.as_str()).ok();
            assert_eq!(outcome.stderr, "", "{tool}");
        }
    }
}

#[story]
fn the_old_names_have_manual_pages_with_what_differs() {
    let sandbox = Sandbox::new();
    let groff = has(&sandbox, "groff");
    for (tool, option, difference) in [
        ("awsbsub", "command-file", "makes no second job"),
        ("awsbstat", "expand-children", "look like numbers"),
        ("awsbout", "stream", "ends when the job has ended"),
        ("awsbkill", "reason", "Any number of jobs"),
        ("awsbqueues", "details", "the old tool fails"),
        ("awsbhosts", "details", "sorted by their IDs"),
    ] {
        let page = sandbox.run("awsb", [tool, "--man"]).ok().stdout;
        for text in
            [&option.replace('-', "\\-"), difference, ".SH FILES\n", ".SH SEE ALSO\n", "awsbatch\\-cli.cfg"]
        {
            assert!(page.contains(text), "{tool}, {text}: {page}");
        }
        if groff {
            let outcome =
                sandbox.run_with_input("groff", ["-Kutf8", "-man", "-ww", "-z"], page.as_str()).ok();
            assert_eq!(outcome.stderr, "", "{tool}");
        }
    }
}

#[story]
fn awsb_has_a_manual_page_that_names_the_tools() {
    let sandbox = Sandbox::new();
    let page = sandbox.run("awsb", ["--man"]).ok().stdout;
    insta::assert_snapshot!(page);
    if has(&sandbox, "groff") {
        let outcome = sandbox.run_with_input("groff", ["-Kutf8", "-man", "-ww", "-z"], page.as_str()).ok();
        assert_eq!(outcome.stderr, "");
    }
}

#[story]
fn the_commands_of_awsb_have_manual_pages_of_their_own() {
    let sandbox = Sandbox::new();
    let groff = has(&sandbox, "groff");
    let overview = sandbox.run("awsb", ["--man"]).ok().stdout;
    // Those that are no tool, and that packages have pages of.
    let documents = include_str!("../../packaging/documents.sh");
    let line = documents.lines().find_map(|line| line.strip_prefix("commands=(")).unwrap();
    let packaged: Vec<&str> = line.trim_end_matches(')').split(' ').collect();
    let commands = overview.lines().filter_map(|line| line.strip_prefix("\\fBawsb ")?.strip_suffix("\\fR"));
    let is_tool = |name: &str| TOOLS.iter().any(|(tool, _)| tool.trim_start_matches('b') == name);
    let commands: Vec<&str> = commands.filter(|name| !is_tool(name) && *name != "help").collect();
    assert_eq!(commands, packaged);
    for command in commands {
        let page = sandbox.run("awsb", [command, "--man"]).ok().stdout;
        for text in [
            format!(".TH awsb-{command} 1"),
            format!("\nawsb\\-{command} \\- "),
            format!("\n\\fBawsb {command}\\fR "),
            "\n.SH OPTIONS\n".to_owned(),
        ] {
            assert!(page.contains(&text), "{command}, {text}: {page}");
        }
        if groff {
            let outcome =
                sandbox.run_with_input("groff", ["-Kutf8", "-man", "-ww", "-z"], page.as_str()).ok();
            assert_eq!(outcome.stderr, "", "{command}");
        }
    }
}

#[story]
fn every_tool_has_completions() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish"] {
        let there = has(&sandbox, shell);
        for (tool, option) in TOOLS.into_iter().chain([("awsb", "completions")]) {
            let script = sandbox.run(tool, ["--completions", shell]).ok().stdout;
            assert!(script.contains(tool), "{tool} {shell}: {script}");
            // The script has no options: it asks for them.
            let (word, expected) = match tool {
                "awsb" => ("", option),
                "bimage" => ("", "build"),
                "bcluster" => ("", "create"),
                _ => ("--", option),
            };
            let answer = sandbox.run("awsb", ["__complete", shell, "1", tool, word]).ok().stdout;
            assert!(answer.contains(expected), "{tool} {shell}: {answer}");
            assert_eq!(sandbox.run(tool, [format!("--completions={shell}")]).ok().stdout, script);
            if there {
                sandbox.run_with_input(shell, ["-n"], script.as_str()).ok();
            }
        }
    }
    let outcome = sandbox.run("bout", ["--completions", "tcsh"]);
    assert!(outcome.failed_with(2).contains("tcsh"), "{outcome}");
}

#[story]
fn they_are_told_of_and_are_nothing_else() {
    let sandbox = Sandbox::new();
    let long = sandbox.run("bstat", ["--help"]).ok().stdout;
    let short = sandbox.run("bstat", ["-h"]).ok().stdout;
    assert!(long.contains("--completions <SHELL>") && long.contains("--man"), "{long}");
    assert!(!short.contains("--man"), "{short}");
    // Behind a command it is the command's.
    let id = sandbox.run("bsub", ["echo", "--man"]).ok().job_id();
    assert_eq!(sandbox.run("bout", ["-f", &id]).ok().stdout, "--man\n");
}

#[story]
fn the_policies_in_the_documentation_are_json() {
    let page = include_str!("../../docs/iam.md");
    let blocks: Vec<&str> =
        page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 8, "{}", blocks.len());
    for block in blocks {
        let policy: serde_json::Value =
            serde_json::from_str(block).unwrap_or_else(|e| panic!("{e}: {block}"));
        assert!(policy["Statement"].is_array() || policy["Rules"].is_array(), "{block}");
    }
}
