//! Values that look like secrets: they are masked wherever variables are shown, and `-e all` does
//! not send them.

use awsb_testkit::{Outcome, Sandbox, story};

/// Names that every shell or cluster has, and that are nobody's secret.
const ORDINARY: [&str; 42] = [
    "EDITOR",
    "PAGER",
    "DISPLAY",
    "XAUTHORITY",
    "SSH_AGENT_PID",
    "SSH_CONNECTION",
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_ASKPASS",
    "GPG_TTY",
    "PYTHONPATH",
    "MANPATH",
    "PATTERN",
    "PATIENT_ID",
    "COMPASS_HOME",
    "BYPASS_CACHE",
    "PASSES",
    "PASSENGERS",
    "MONKEY",
    "KEYBOARD",
    "KEYMAP",
    "TOKENIZERS_PARALLELISM",
    "MAX_TOKENS",
    "NUM_KEYS",
    "AUTHOR",
    "AUTHORITY",
    "COOKIECUTTER_CONFIG",
    "SECRETARY",
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "CONDA_DEFAULT_ENV",
    "CONDA_PREFIX",
    "MAMBA_ROOT_PREFIX",
    "LS_COLORS",
    "LESSOPEN",
    "R_LIBS_USER",
    "JULIA_DEPOT_PATH",
    "NXF_OPTS",
    "PBS_JOBID",
    "SGE_TASK_ID",
    "PROJECT",
    "SAMPLE",
];

/// Names of secrets; each of them has a value with `hunter2`.
const SECRET: [&str; 22] = [
    "DB_PASS",
    "DB_PASSWORD",
    "PGPASSWORD",
    "MYSQL_PWD",
    "SSHPASS",
    "GPG_PASSPHRASE",
    "CLIENT_SECRET",
    "GITHUB_TOKEN",
    "GITHUB_TOKEN2",
    "API_TOKENS",
    "GITHUB_PAT",
    "AUTH",
    "HTTP_AUTH",
    "COOKIE",
    "SESSION_COOKIES",
    "JWT",
    "KEY",
    "OPENAI_API_KEY",
    "APIKEY",
    "CREDENTIAL",
    "CREDENTIALS",
    "hf_creds",
];

/// Variables of ordinary names with a password in their values.
const URLS: [(&str, &str); 4] = [
    ("DATABASE_URL", "postgres://me:hunter2@db.example/x"),
    ("BROKER", "redis://:hunter2@queue.example:6379/0"),
    ("HTTPS_PROXY", "http://me:hunter2@127.0.0.1:9"),
    ("ODBC", "Server=db;Uid=me;Pwd=hunter2"),
];

/// A sandbox whose shell has all of these.
fn full() -> Sandbox {
    let mut sandbox = Sandbox::new();
    ORDINARY.iter().for_each(|name| sandbox.set(name, format!("value-of-{name}")));
    SECRET.iter().for_each(|name| sandbox.set(name, format!("hunter2-{name}")));
    URLS.iter().for_each(|(name, value)| sandbox.set(name, *value));
    sandbox.set("SSH_AUTH_SOCK", "/tmp/ssh-XX/agent.1");
    sandbox
}

/// No secret is in what a tool has printed.
#[track_caller]
fn keeps_quiet(outcome: Outcome) -> Outcome {
    let outcome = outcome.ok();
    assert!(!outcome.stdout.contains("hunter2") && !outcome.stderr.contains("hunter2"), "{outcome}");
    outcome
}

#[story]
fn all_hands_on_what_is_ordinary_and_says_what_it_holds_back() {
    let sandbox = full();
    let outcome = keeps_quiet(sandbox.run("bsub", ["-I", "-e", "all", "--wrap", "env"]));
    for name in ORDINARY.iter().chain(&["SSH_AUTH_SOCK"]) {
        assert!(
            outcome.stdout.lines().any(|line| line.starts_with(&format!("{name}="))),
            "{name}: {outcome}"
        );
    }
    let note = outcome.stderr.lines().find(|line| line.starts_with("bsub: note: `-e all` leaves out"));
    let note = note.unwrap_or_else(|| panic!("no note: {outcome}"));
    for name in ["COOKIE", "DATABASE_URL", "DB_PASS", "HOME", "PATH"] {
        assert!(note.contains(&format!("{name},")) || note.contains(&format!("{name})")), "{name}: {note}");
    }
    assert!(note.contains("more") && note.ends_with("`-e NAME` passes one on"), "{note}");
    // By name they go, and what is left out by name is not said.
    let outcome = sandbox.run("bsub", ["-I", "-e", "DB_PASS", "--wrap", "env"]).ok();
    assert!(outcome.stdout.contains("DB_PASS=hunter2-DB_PASS\n"), "{outcome}");
    let quiet = sandbox.run("bsub", ["--quiet", "-e", "all", "true"]).ok();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[story]
fn secrets_are_masked_wherever_variables_are_shown() {
    let sandbox = full();
    let mut args: Vec<String> = ["-J", "masked"].map(str::to_owned).to_vec();
    let given = SECRET.iter().chain(URLS.iter().map(|(name, _)| name)).chain(&["SAMPLE"]);
    given.for_each(|name| args.extend(["-e".to_owned(), (*name).to_owned()]));
    args.push("true".to_owned());
    let with = |more: &[&str]| {
        let all: Vec<&str> = more.iter().copied().chain(args.iter().map(String::as_str)).collect();
        keeps_quiet(sandbox.run("bsub", all))
    };
    let plan = with(&["--dry-run"]);
    assert!(plan.stdout.contains("value-of-SAMPLE"), "{plan}");
    let id = with(&["--parsable", "--debug"]).stdout.trim().to_owned();
    for args in [
        vec!["--env", &id],
        vec!["--env", "--json", &id],
        vec!["-d", "--env", &id],
        vec!["-d", &id],
        vec!["--json", &id],
        vec!["--debug", &id],
    ] {
        let outcome = keeps_quiet(sandbox.run("bstat", &args));
        let shows = args.contains(&"--env");
        assert_eq!(outcome.stdout.contains("value-of-SAMPLE"), shows, "{outcome}");
    }
    assert!(sandbox.run("bstat", ["--env=all", &id]).ok().stdout.contains("hunter2-DB_PASS"));
    let again = keeps_quiet(sandbox.run("bsub", ["--dry-run", "--rerun", &id, "-e", "KEY"]));
    assert!(again.stdout.contains("value-of-SAMPLE"), "{again}");
    let params = [
        "--dry-run",
        "--param",
        "dbPassword=hunter2",
        "--param",
        "sample=s1",
        "--tag",
        "token=hunter2",
        "true",
    ];
    assert!(keeps_quiet(sandbox.run("bsub", params)).stdout.contains("s1"));
}

#[story]
fn the_settings_add_words() {
    let mut sandbox = Sandbox::new();
    sandbox.config("secret_words = [\"dsn\", \"license_server\"]\n");
    sandbox.set("SENTRY_DSN", "hunter2");
    sandbox.set("MY_LICENSE_SERVER", "hunter2");
    sandbox.set("LICENSE", "mit");
    let outcome = keeps_quiet(sandbox.run("bsub", ["-I", "-e", "all", "--wrap", "env"]));
    assert!(outcome.stdout.contains("LICENSE=mit\n"), "{outcome}");
    assert!(outcome.stderr.contains("(MY_LICENSE_SERVER, SENTRY_DSN)"), "{outcome}");
    let id = sandbox.run("bsub", ["-e", "SENTRY_DSN", "true"]).ok().job_id();
    keeps_quiet(sandbox.run("bstat", ["--env", &id]));
    // The local cluster can be named whatever is wrong with the settings; what is a secret cannot
    // be known then.
    sandbox.config("secret_words = 1\n");
    let failed = sandbox.run("bstat", ["-c", "local", "--env", &id]);
    assert!(failed.failed_with(2).contains("secret_words"), "{failed}");
}
