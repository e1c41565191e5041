//! Completions: a shell asks `awsb`, which knows the values without asking anybody.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use awsb_testkit::{Answer, BadServer, Outcome, Sandbox, Terminal, program, story};
use serde_json::json;

const JOB: &str = "8f2c1a00-1111-4222-8333-444455556666";
const OLDER: &str = "8f2c2b00-1111-4222-8333-444455556666";

/// Two clusters of the settings, one with a name that has to be quoted, and jobs of one of them.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let cluster = |name: &str, queue: &str| {
        format!(
            "[cluster.\"{name}\"]\nregion = \"eu-west-1\"\nbucket = \"b\"\njob_queue = \"{queue}\"\n\
             job_definition = \"d\"\n"
        )
    };
    let arn = "arn:aws:batch:eu-west-1:111122223333:job-queue/lab-spot";
    let settings = ["genomics", "my lab", "bell\\u0007"].map(|name| cluster(name, "lab-on-demand"));
    sandbox.config(&format!("default_cluster = \"genomics\"\n{}{}", settings.concat(), cluster("spot", arn)));
    let folder = Path::new(sandbox.get("XDG_STATE_HOME").unwrap()).join("awsb/jobs");
    fs::create_dir_all(&folder).unwrap();
    let lines = format!(
        "{OLDER} sort 2020-01-02T03:04:05Z - -\nhalf a li\u{0}ne\n\
         9d\u{7}00 x 2020-01-02T03:04:05Z - -\n{JOB} align\u{1b}[31m 2020-01-02T03:04:06Z - -\n"
    );
    fs::write(folder.join("genomics.eu-west-1"), lines).unwrap();
    sandbox
}

/// The words in the form in which a script of bash has them.
fn array(words: &[&str]) -> String {
    words.iter().fold(String::new(), |mut list, word| {
        let _ = write!(list, " '{}'", word.replace('\'', "'\\''"));
        list
    })
}

/// The candidates of bash for the last of these words, which bash has split. `before` is run first.
fn in_bash(sandbox: &Sandbox, before: &str, words: &[&str]) -> String {
    program("bash");
    let last = words.last().unwrap();
    let current = if last.chars().all(|c| "=:".contains(c)) { "" } else { last };
    let script = format!(
        "{before}\nCOMP_WORDS=({}) COMP_CWORD={} COMP_TYPE=63\n_awsb_complete {} '{}'\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        array(words),
        words.len() - 1,
        words[0],
        current.replace('\'', "'\\''")
    );
    let outcome = sandbox.run("bash", ["--norc", "--noprofile", "-c", &script]).ok();
    assert_eq!(outcome.stderr, "", "{words:?}");
    outcome.stdout
}

const SOURCE_BASH: &str = "source <(awsb completions --print --shell bash)";

/// The candidates of fish for a command line.
fn in_fish(sandbox: &Sandbox, line: &str) -> String {
    program("fish");
    let script = format!("awsb completions --print --shell fish | source; complete -C '{line}'");
    let outcome = sandbox.run("fish", ["--no-config", "-c", &script]).ok();
    assert_eq!(outcome.stderr, "", "{line}");
    outcome.stdout
}

#[story]
fn bash_completes_values() {
    let sandbox = sandbox();
    let mut found = String::new();
    for words in [
        &["bsub", "-c", ""][..],
        &["bsub", "-c", "ge"],
        &["bsub", "-c", "'my"],
        &["bsub", "--cluster", "="],
        &["bsub", "--cluster", "=", "g"],
        &["bsub", "-q", ""],
        &["bsub", "-qlab-s"],
        &["bsub", "-Kq"],
        &["bstat", "-c", "spot", "-q", ""],
        &["bstat", "-c", "nowhere", "-q", ""],
        &["bstat", ""],
        &["bstat", "8f2c1"],
        &["bkill", JOB, "8f2c2"],
        &["bout", "-c", "local", ""],
        &["bwait", "l"],
        &["bsub", "-d", "n_to_n", ":", "8f2c2"],
        &["bsub", "-d", "a"],
        &["bsub", "--rerun", "8"],
        &["bstat", "-s", "FAILED,R"],
        &["bstat", "-s", "run"],
        &["bstat", "-o", "jobId,jobN"],
        &["bstat", "--sort", "-st"],
        &["bstat", "--env", "="],
        &["bsub", "--retr"],
        &["bsub", "--retry-on", ""],
        &["bqueues", "lab"],
        &["bhosts", ""],
        &["bcluster", "s"],
        &["bcluster", "show", ""],
        &["bcluster", "policy", ""],
        &["bimage", "build", "--builder", ""],
        &["blocal", "sta"],
        &["awsb", "s"],
        &["awsb", "bst"],
        &["awsb", "stat", "-q", "lab-o"],
        &["awsb", "bstat", "-q", "lab-o"],
        &["awsb", "help", "st"],
        &["awsb", "doctor", "-c", "g"],
        &["awsb", "completions", "--shell", ""],
        &["awsb", "--c"],
        &["awsbkill", "-c", "genomics", "8f2c1"],
        &["awsbstat", "-c", "genomics", "-s", "FAIL"],
        &["awsbqueues", "-c", "genomics", "lab"],
        &["somebody", ""],
    ] {
        let answer = in_bash(&sandbox, SOURCE_BASH, words);
        let _ = writeln!(found, "{}\n{}", words.join(" "), indented(&answer));
    }
    insta::assert_snapshot!(found.replace(JOB, "JOB").replace(OLDER, "OLDER"));
    assert!(!sandbox.local_home().exists(), "no local cluster is started");
}

fn indented(text: &str) -> String {
    text.lines().filter(|line| !line.is_empty()).map(|line| format!("    {line}\n")).collect()
}

#[story]
fn bash_lists_files_where_a_file_is_meant() {
    let sandbox = sandbox();
    sandbox.file("script.sh", "");
    fs::create_dir(sandbox.work().join("script.d")).unwrap();
    for (words, expected) in [
        (&["bsub", "-i", "script"][..], "script.d\nscript.sh\n"),
        (&["bsub", "-w", "script"], "script.d\n"),
        (&["bsub", "--build", "script"], "script.d\n"),
        // A word of the job is no option of bsub.
        (&["bsub", "script.sh", "--que"], ""),
        (&["bsub", "script.sh", "script.s"], "script.sh\n"),
        (&["bsub", "script.s"], "script.sh\n"),
    ] {
        let answer = in_bash(&sandbox, SOURCE_BASH, words);
        let mut lines: Vec<&str> = answer.lines().filter(|line| !line.is_empty()).collect();
        lines.sort_unstable();
        assert_eq!(lines.join("\n"), expected.trim_end(), "{words:?}");
    }
    let commands = in_bash(&sandbox, SOURCE_BASH, &["bsub", "prin"]);
    assert!(commands.lines().any(|line| line == "printf"), "{commands}");
}

#[story]
fn fish_completes_values_with_descriptions() {
    let sandbox = sandbox();
    sandbox.file("script.sh", "");
    let mut found = String::new();
    for line in [
        "bsub -c ",
        "bsub -q ",
        "bsub --queue=lab-s",
        "bstat ",
        "bstat -s FAILED,RUNN",
        "bsub --queu",
        "bcluster s",
        "awsb stat -q lab-o",
        "awsb su",
        "bsub -i scr",
        "bsub --input=scr",
        "bsub script.sh --que",
        "awsbstat -c genomics 8f2c2",
    ] {
        let _ = writeln!(found, "{line}\n{}", indented(&in_fish(&sandbox, line)));
    }
    insta::assert_snapshot!(found.replace(JOB, "JOB").replace(OLDER, "OLDER"));
    assert!(!sandbox.local_home().exists(), "no local cluster is started");
}

#[story]
fn zsh_completes_values_with_descriptions() {
    program("zsh");
    let sandbox = sandbox();
    sandbox.file("script.sh", "");
    let mut zsh = Terminal::new(120).start(&sandbox, "zsh", ["-f", "-i"]);
    zsh.types("autoload -Uz compinit; compinit -u -D; source <(awsb completions --print --shell zsh)\n");
    zsh.types("PS1='ready> '\n");
    zsh.until("the prompt", |screen| screen.lines().any(|line| line.trim_end() == "ready>"));
    let mut completed = |line: &str, whole: &str| {
        zsh.types(line);
        zsh.until(whole, |screen| screen.contains(whole));
        // Ctrl-U takes the line away.
        zsh.types("\u{15}");
    };
    completed("bsub -c ge\t", "bsub -c genomics");
    completed("bsub --cluster=my\t", "bsub --cluster=my\\ lab");
    completed("bsub -q lab-s\t", "bsub -q lab-spot");
    completed("bstat 8f2c2\t", &format!("bstat {OLDER}"));
    completed("bstat -s FAILED,RUNNI\t", "bstat -s FAILED,RUNNING");
    completed("awsb stat -q lab-s\t", "awsb stat -q lab-spot");
    completed("bsub -i scr\t", "bsub -i script.sh");
    completed("bsub --input=scr\t", "bsub --input=script.sh");
    // The list has descriptions.
    completed("bstat 8f2c\t\t", &format!("{JOB}  -- align␛[31m, 2020-01-02"));
    completed("bcluster sh\t", "bcluster show");
    completed("bsub -d aftero\t", "bsub -d afterok:");
    drop(zsh);
    assert!(!sandbox.local_home().exists(), "no local cluster is started");
}

#[story]
fn bash_inserts_what_is_completed() {
    program("bash");
    let sandbox = sandbox();
    let mut bash = Terminal::new(120).start(&sandbox, "bash", ["--norc", "--noprofile", "-i"]);
    bash.types("bind 'set enable-bracketed-paste off'; source <(awsb completions --print --shell bash)\n");
    bash.types("PS1='ready> '\n");
    bash.until("the prompt", |screen| screen.lines().any(|line| line.trim_end() == "ready>"));
    let mut completed = |line: &str, whole: &str| {
        bash.types(line);
        bash.until(whole, |screen| screen.contains(whole));
        bash.types("\u{15}");
    };
    completed("bsub -c ge\t", "bsub -c genomics");
    completed("bsub --cluster=my\t", "bsub --cluster=my\\ lab");
    completed("bsub -c \"my\t", "bsub -c \"my lab\"");
    completed("bstat 8f2c2\t", &format!("bstat {OLDER}"));
    completed("bsub -d n_to_n:8f2c2\t", &format!("bsub -d n_to_n:{OLDER}"));
    completed("bstat 8f2c\t\t", &format!("{JOB}  (align␛[31m, 2020-01-02)"));
    completed("awsb sta\t", "awsb stat");
}

#[story]
fn whatever_is_wrong_is_silent() {
    let mut sandbox = sandbox();
    let ask = |sandbox: &Sandbox, words: &[&str]| {
        let outcome = sandbox.run("awsb", [&["__complete", "bash"], words].concat()).ok();
        assert_eq!(outcome.stderr, "", "{words:?}");
        outcome.stdout
    };
    for words in [
        &[][..],
        &["1"],
        &["x", "bstat", ""],
        &["99999999999999999999", "bstat", ""],
        &["1"],
        &["5", "bstat", ""],
        &["0", "bstat"],
        &["1", "", ""],
        &["1", "rm", ""],
        &["1", "bstat", "-\u{e9}"],
        &["2", "bstat", "--\u{e9}=", ""],
    ] {
        ask(&sandbox, words);
    }
    assert_eq!(sandbox.run("awsb", ["__complete", "csh", "1", "bstat", "-"]).ok().stdout, "");
    // A settings file with a mistake: the local cluster can be named all the same.
    sandbox.config("default_cluster = 3\n");
    assert_eq!(ask(&sandbox, &["2", "bstat", "-c", ""]), "names:nothing\nlocal\n");
    assert_eq!(ask(&sandbox, &["1", "bstat", ""]), "names:nothing\nlast\n");
    assert_eq!(ask(&sandbox, &["2", "bsub", "-q", ""]), "");
    assert_eq!(ask(&sandbox, &["4", "bsub", "-c", "local", "-q", ""]), "names:nothing\nlocal\n");
    // A FIFO that nobody writes into, in the place of the history.
    let jobs = Path::new(sandbox.get("XDG_STATE_HOME").unwrap()).join("awsb/jobs");
    let fifo = jobs.join("local.us-east-1");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(ask(&sandbox, &["3", "bstat", "-c", "local", "l"]), "names:nothing\nlast\n");
    // No home, no folders.
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
        sandbox.set(name, "/nowhere");
    }
    sandbox.set("AWSB_CONFIG", "/nowhere/config.toml");
    assert_eq!(ask(&sandbox, &["2", "bstat", "-c", ""]), "names:nothing\nlocal\n");
    assert!(!sandbox.local_home().exists(), "no local cluster is started");
}

/// The script asks `awsb`, because the `bsub` that is typed may be LSF's. Its command line has
/// files, as without completions.
#[story]
fn another_bsub_is_never_started() {
    let mut sandbox = sandbox();
    let folder = sandbox.work().join("lsf");
    fs::create_dir(&folder).unwrap();
    for name in ["bsub", "lsid", "lsload"] {
        awsb_testkit::shells::executable(&folder.join(name), "#!/bin/sh\ntouch submitted\n").unwrap();
    }
    sandbox.set("PATH", format!("{}:{}", folder.display(), sandbox.get("PATH").unwrap()));
    sandbox.file("lab-script", "");
    let path = folder.join("bsub").display().to_string();
    for program in ["bsub", &path] {
        assert_eq!(in_bash(&sandbox, SOURCE_BASH, &[program, "-q", "lab-s"]), "lab-script\n");
    }
    assert_eq!(in_fish(&sandbox, "bsub -q lab-s"), "lab-script\n");
    assert!(!sandbox.work().join("submitted").exists());
    let outcome = sandbox.run("awsb", ["completions", "--install", "--shell", "bash"]).ok();
    let note = "awsb completions: note: bsub in PATH is another program, which gets no completions\n";
    assert!(outcome.stderr.starts_with(note), "{outcome}");
    let files = Path::new(sandbox.get("XDG_DATA_HOME").unwrap()).join("bash-completion/completions");
    assert!(files.join("bstat").exists() && !files.join("bsub").exists(), "{outcome}");
}

/// The files that were installed once, on a machine whose awsb is gone.
#[story]
fn without_awsb_files_are_completed() {
    let mut sandbox = sandbox();
    sandbox.file("lab-script", "");
    let scripts = ["bash", "zsh", "fish"].map(|shell| {
        let script = sandbox.run("awsb", ["completions", "--print", "--shell", shell]).ok().stdout;
        sandbox.file(&format!("../script.{shell}"), script).display().to_string()
    });
    sandbox.set("PATH", "/usr/bin:/bin");
    let [of_bash, of_zsh, of_fish] = scripts;
    // Distributions have such handlers, which search their packages for the program.
    let called = sandbox.work().join("called");
    let handler =
        |define: &str| format!("{define} {{ echo called >>'{}'; echo lab-sold; }}", called.display());
    let before = format!("{}; source {of_bash}", handler("command_not_found_handle()"));
    let answer = in_bash(&sandbox, &before, &["bsub", "-q", "lab-s"]);
    assert_eq!(answer, "lab-script\n");
    program("fish");
    let script = format!(
        "function fish_command_not_found; echo called >>'{}'; end; source {of_fish}; complete -C 'bsub -q lab-s'",
        called.display()
    );
    let outcome = sandbox.run("fish", ["--no-config", "-c", &script]).ok();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("lab-script\n", ""));
    program("zsh");
    let mut zsh = Terminal::new(120).start(&sandbox, "zsh", ["-f", "-i"]);
    let of_handler = sandbox.file("../handler.zsh", handler("command_not_found_handler()"));
    zsh.types(&format!("autoload -Uz compinit; compinit -u -D; source {of_zsh}\n"));
    zsh.types(&format!("source {}; PS1='ready> '\n", of_handler.display()));
    zsh.until("the prompt", |screen| screen.lines().any(|line| line.trim_end() == "ready>"));
    zsh.types("bsub -q lab-s\t");
    zsh.until("the file", |screen| screen.contains("bsub -q lab-script"));
    assert!(!called.exists(), "a missing program was called");
}

#[story]
fn queues_that_batch_has_described_are_completed() {
    let server = BadServer::start(|request, _| match request.operation() {
        "describejobqueues" => Answer::json(json!({"jobQueues": [{
            "jobQueueName": "found-later", "jobQueueArn": "arn:aws:batch:eu-west-1:1:job-queue/found-later",
            "state": "ENABLED", "status": "VALID", "priority": 1, "computeEnvironmentOrder": [],
        }]})),
        _ => Answer::json(json!({})),
    });
    let sandbox = Sandbox::at(&server.endpoint());
    assert_eq!(in_bash(&sandbox, SOURCE_BASH, &["bsub", "-q", ""]), "q\n");
    sandbox.run("bqueues", ["-a"]).ok();
    let calls = server.requests("describejobqueues").len();
    assert_eq!(in_bash(&sandbox, SOURCE_BASH, &["bsub", "-q", ""]), "found-later\nq\n");
    assert_eq!(server.requests("describejobqueues").len(), calls);
}

#[story]
fn consumable_resources_that_batch_has_listed_are_completed() {
    let limit = "awsb-limit-8f2c0d3e-1111-4222-8333-444455556666";
    let summary = |name: &str| {
        json!({"consumableResourceName": name, "totalQuantity": 2, "inUseQuantity": 0,
               "consumableResourceArn": format!("arn:aws:batch:eu-west-1:1:consumable-resource/{name}")})
    };
    let server = BadServer::start(move |request, _| match request.operation() {
        "listconsumableresources" => Answer::json(json!({
            "consumableResources": [summary("matlab"), summary(limit), summary("ansys")]})),
        _ => Answer::json(json!({"jobs": []})),
    });
    let sandbox = Sandbox::at(&server.endpoint());
    assert_eq!(in_bash(&sandbox, SOURCE_BASH, &["bsub", "--consume", ""]), "\n");
    sandbox.run("bqueues", ["--resources"]).ok();
    let calls = server.requests("listconsumableresources").len();
    // The limit of an array is nothing to ask for.
    assert_eq!(in_bash(&sandbox, SOURCE_BASH, &["bsub", "--consume", ""]), "ansys\nmatlab\n");
    assert_eq!(in_bash(&sandbox, SOURCE_BASH, &["bsub", "--consume=m"]), "--consume=matlab\n");
    assert_eq!(in_bash(&sandbox, SOURCE_BASH, &["bsub", "--consume", "matlab=1"]), "\n");
    assert_eq!(in_bash(&sandbox, SOURCE_BASH, &["bqueues", "--resources", "a"]), "ansys\n");
    assert_eq!(in_bash(&sandbox, SOURCE_BASH, &["bqueues", "a"]), "\n");
    assert_eq!(server.requests("listconsumableresources").len(), calls);
}

#[story]
fn containers_that_batch_has_described_are_completed() {
    const ID: &str = "8f2c0d3e-1111-4222-8333-444455556666";
    let task = |names: &[&str]| {
        let containers: Vec<_> = names.iter().map(|name| json!({"name": name, "image": "i"})).collect();
        json!({"taskProperties": [{"containers": containers}]})
    };
    let job = json!({"jobId": ID, "jobName": "pair", "jobQueue": "q", "status": "RUNNING", "createdAt": 1,
        "startedAt": 2, "jobDefinition": "d", "ecsProperties": task(&["main", "side"])});
    let definition = json!({"jobDefinitionName": "d", "revision": 1, "status": "ACTIVE", "type": "container",
        "jobDefinitionArn": "arn:aws:batch:eu-west-1:111122223333:job-definition/d:1",
        "ecsProperties": task(&["main", "setup"])});
    let server = BadServer::start(move |request, _| match request.operation() {
        "describejobs" => Answer::json(json!({ "jobs": [job] })),
        "describejobdefinitions" => Answer::json(json!({ "jobDefinitions": [definition] })),
        _ => Answer::json(json!({})),
    });
    let sandbox = Sandbox::at(&server.endpoint());
    assert_eq!(in_bash(&sandbox, SOURCE_BASH, &["bout", ID, "--container", ""]), "\n");
    sandbox.run("bstat", ["-d", ID]).ok();
    assert_eq!(in_bash(&sandbox, SOURCE_BASH, &["bout", ID, "--container", ""]), "main\nside\n");
    sandbox.run("bsub", ["--dry-run", "--job-definition", "d", "true"]).ok();
    let calls = || server.requests("describejobs").len() + server.requests("describejobdefinitions").len();
    let before = calls();
    for tool in ["bout", "bexec", "bsub"] {
        assert_eq!(in_bash(&sandbox, SOURCE_BASH, &[tool, "--container", "s"]), "setup\nside\n", "{tool}");
    }
    assert_eq!(in_bash(&sandbox, SOURCE_BASH, &["bexec", "--container=m"]), "--container=main\n");
    assert_eq!(calls(), before);
}

#[story]
fn a_submitted_job_is_completed_by_its_id() {
    let sandbox = Sandbox::new();
    let id = sandbox.run("bsub", ["-J", "align-12", "--wrap", "true"]).ok().job_id();
    let found = in_fish(&sandbox, "bstat ");
    assert!(found.starts_with(&format!("{id}\talign-12, ")), "{found}");
    assert!(found.ends_with("\nlast\n"), "{found}");
}

#[story]
fn they_are_installed_once_and_removed() {
    let mut sandbox = sandbox();
    let home = sandbox.get("HOME").unwrap().to_owned();
    fs::write(Path::new(&home).join(".bashrc"), "# mine\n").unwrap();
    for (shell, folder, file) in [
        ("bash", "XDG_DATA_HOME/bash-completion/completions", "bsub"),
        ("zsh", "XDG_DATA_HOME/zsh/site-functions", "_bsub"),
        ("fish", "XDG_CONFIG_HOME/fish/completions", "bsub.fish"),
    ] {
        let (variable, below) = folder.split_once('/').unwrap();
        let folder = Path::new(sandbox.get(variable).unwrap()).join(below);
        sandbox.set("SHELL", format!("/usr/bin/{shell}"));
        let outcome = sandbox.run("awsb", ["completions", "--install"]).ok();
        assert_eq!(outcome.stdout, format!("{shell}: {}: 18 written\n", folder.display()));
        let script = fs::read_to_string(folder.join(file)).unwrap();
        assert_eq!(sandbox.run("bsub", ["--completions", shell]).ok().stdout, script);
        let outcome = sandbox.run("awsb", ["completions", "--install"]).ok();
        assert_eq!(outcome.stdout, format!("{shell}: {}: 18 unchanged\n", folder.display()));
        // The doctor finds them.
        let found = sandbox.run("awsb", ["doctor"]).stdout;
        assert!(found.contains(&format!("completions    {}", folder.join(file).display())), "{found}");
        // A file of somebody else stays, and is an error.
        fs::write(folder.join(file), "# mine\n").unwrap();
        let outcome = sandbox.run("awsb", ["completions", "--install", "--json"]);
        assert_eq!(outcome.code(), 1, "{outcome}");
        let left = outcome.json().as_array().unwrap().iter().filter(|file| file["change"] == "left").count();
        assert_eq!(left, 1, "{outcome}");
        let says = format!("awsb completions: error: {} is not awsb's", folder.join(file).display());
        assert!(outcome.stderr.contains(&says), "{outcome}");
    }
    let zsh = sandbox.run("awsb", ["completions", "--install", "--shell", "zsh"]);
    assert!(zsh.stderr.contains("hint: this line belongs into ~/.zshrc, above `compinit`: fpath=("), "{zsh}");
    fs::write(
        Path::new(&home).join(".zshrc"),
        format!("fpath=({}/zsh/site-functions $fpath)\n", sandbox.get("XDG_DATA_HOME").unwrap()),
    )
    .unwrap();
    let zsh = sandbox.run("awsb", ["completions", "--install", "--shell", "zsh"]);
    assert!(zsh.stderr.ends_with("hint: a new zsh has them\n"), "{zsh}");
    let outcome = sandbox.run("awsb", ["completions", "--uninstall"]).ok();
    assert_eq!(outcome.stdout.matches(": 17 removed\n").count(), 3, "{outcome}");
    assert_eq!(sandbox.run("awsb", ["completions", "--uninstall"]).ok().stdout, "");
    assert_eq!(fs::read_to_string(Path::new(&home).join(".bashrc")).unwrap(), "# mine\n");
}

#[story]
fn a_folder_that_cannot_be_read_is_an_error_and_the_other_shells_go_on() {
    let sandbox = sandbox();
    sandbox.run("awsb", ["completions", "--install", "--shell", "fish"]).ok();
    let folder = Path::new(sandbox.get("XDG_DATA_HOME").unwrap()).join("bash-completion");
    fs::create_dir(&folder).unwrap();
    // A link to itself cannot be read even by root.
    std::os::unix::fs::symlink("completions", folder.join("completions")).unwrap();
    let outcome = sandbox.run("awsb", ["completions", "--uninstall"]).ended_with(1);
    let says = format!("awsb completions: error: removing {}", folder.join("completions").display());
    assert!(outcome.stderr.starts_with(&says), "{outcome}");
    assert!(outcome.stdout.starts_with("fish: ") && outcome.stdout.ends_with(" removed\n"), "{outcome}");
}

#[story]
fn relative_folders_are_ignored_and_foreign_text_makes_no_lines() {
    let mut sandbox = sandbox();
    let install = ["completions", "--install", "--shell", "bash"];
    let folder = Path::new(sandbox.get("XDG_DATA_HOME").unwrap()).join("bash-completion/completions");
    sandbox.set("BASH_COMPLETION_USER_DIR", "relative");
    let outcome = sandbox.run("awsb", install).ok();
    assert!(outcome.stdout.starts_with(&format!("bash: {}: ", folder.display())), "{outcome}");
    let strange = sandbox.work().join("a\nzsh: \u{1b}[2J");
    sandbox.set("XDG_DATA_HOME", strange.display().to_string());
    for shell in ["bash", "zsh"] {
        let outcome = sandbox.run("awsb", ["completions", "--install", "--shell", shell]).ok();
        let shown = format!("{}{}", outcome.stdout, outcome.stderr);
        assert_eq!(outcome.stdout.lines().count(), 1, "{outcome}");
        assert!(!shown.contains('\u{1b}') && shown.contains('␛'), "{outcome}");
    }
    sandbox.unset("XDG_DATA_HOME");
    sandbox.set("HOME", "relative");
    let outcome = sandbox.run("awsb", install).ended_with(1);
    assert!(outcome.stderr.contains("this user has no home"), "{outcome}");
    assert!(!sandbox.work().join("relative").exists());
}

#[story]
fn shells_find_the_installed_files() {
    let sandbox = sandbox();
    for shell in ["bash", "zsh", "fish"] {
        sandbox.run("awsb", ["completions", "--install", "--shell", shell]).ok();
    }
    program("fish");
    let found = sandbox.run("fish", ["-c", "complete -C 'bsub -q lab-s'"]).ok().stdout;
    assert_eq!(found, "lab-spot\n");
    program("zsh");
    let mut zsh = Terminal::new(120).start(&sandbox, "zsh", ["-f", "-i"]);
    zsh.types("fpath=($XDG_DATA_HOME/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D\n");
    zsh.types("bsub -q lab-s\t");
    zsh.until("the queue", |screen| screen.contains("bsub -q lab-spot"));
    // bash finds them by bash-completion, which loads a file when its command is completed first.
    let loader = "/usr/share/bash-completion/bash_completion";
    if Path::new(loader).exists() {
        let load = format!("source {loader}; _completion_loader bsub 2>/dev/null; complete -p bsub >&3");
        let load = format!("{{ {load}; }} 3>/dev/null");
        assert_eq!(in_bash(&sandbox, &load, &["bsub", "-q", "lab-s"]), "lab-spot\n");
    }
}

#[story]
fn awsb_completions_says_what_is_wrong() {
    let mut sandbox = Sandbox::new();
    let failed = |outcome: &Outcome, code: i32, says: &str| {
        assert_eq!(outcome.code(), code, "{outcome}");
        let first = outcome.stderr.lines().next().unwrap_or_default();
        assert!(first.starts_with("awsb completions: error: ") && first.contains(says), "{outcome}");
    };
    let outcome = sandbox.run("awsb", ["completions"]);
    failed(&outcome, 2, "<--install|--uninstall|--print|SHELL>");
    for (words, says) in [
        (&["--install", "--print"][..], "'--install' cannot be used with '--print'"),
        (&["--shell", "zsh", "bash"], "'--shell <NAME>' cannot be used with"),
        (&["csh"], "[possible values: bash, zsh, fish]"),
        (&["bash", "--json"], "--json is for --install and --uninstall"),
    ] {
        failed(&sandbox.run("awsb", [&["completions"], words].concat()), 2, says);
    }
    sandbox.set("SHELL", "/bin/tcsh");
    let outcome = sandbox.run("awsb", ["completions", "--install"]);
    failed(&outcome, 2, "your shell is not known");
    assert!(outcome.stderr.contains("hint: name it with `--shell bash`"), "{outcome}");
    sandbox.file("a-file", "");
    sandbox.set("XDG_DATA_HOME", sandbox.work().join("a-file").display().to_string());
    let outcome = sandbox.run("awsb", ["completions", "--install", "--shell", "bash"]);
    failed(&outcome, 1, "writing completions to ");
}

#[story]
fn the_scripts_are_right_by_shellcheck_and_by_each_shell() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish"] {
        program(shell);
        let script = sandbox.run("awsb", ["completions", "--print", "--shell", shell]).ok().stdout;
        assert_eq!(sandbox.run("awsb", ["completions", shell]).ok().stdout, script);
        sandbox.run_with_input(shell, ["-n"], script.as_str()).ok();
        if shell == "bash" {
            program("shellcheck");
            let outcome = sandbox.run_with_input("shellcheck", ["-"], script.as_str());
            assert_eq!((outcome.code(), outcome.stdout.as_str()), (0, ""), "{outcome}");
        }
    }
}
