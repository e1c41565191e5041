//! The launcher, run for real: whatever arguments, variables and script bytes go in arrive
//! unchanged, under every shell that a `/bin/sh` may be.

use awsb_testkit::{program, story};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Output;

use awsb::stage::Plan;
use awsb_model::{
    EnvArg, EnvVars, JobName, JobSpec, LineUse, Program, Script, Shape, TaskLines, Tasks, WorkDir,
};
use proptest::prelude::*;

use awsb_testkit::shells::{command, executable, link, overrides, plan, shellcheck, shells};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn spec(program: Program) -> JobSpec {
    JobSpec::new(JobName::cleaned("test"), program)
}

fn script(contents: &[u8], args: Vec<OsString>) -> Result<Program, Box<dyn std::error::Error>> {
    Ok(Program::Script { script: Script::new(Path::new("my script.sh"), contents.to_vec())?, args })
}

/// Runs a plan as a container would: the command with these variables, in a folder of its own.
fn run(plan: &Plan, shell: &[&str], place: &Path) -> std::io::Result<Output> {
    command(plan, shell, place).output()
}

/// Hardly compressible text, so that its size counts.
fn noise(length: usize) -> String {
    let mut seed: u32 = 1;
    std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + ((seed >> 24) % 26) as u8)
    })
    .take(length)
    .collect()
}

/// Prints its arguments and `$A`, each with a NUL behind it.
const ECHO: &[u8] = b"#!/bin/sh\nfor a in \"$@\" \"$A\"; do printf '%s\\0' \"$a\"; done\n";

fn expected(args: &[OsString], a: &OsStr) -> Vec<u8> {
    args.iter()
        .map(OsString::as_os_str)
        .chain([a])
        .flat_map(|w| [w.as_encoded_bytes(), b"\0"].concat())
        .collect()
}

/// Any bytes that an argument can have, among them what a shell, Batch or JSON could stumble over.
fn word() -> impl Strategy<Value = OsString> {
    prop_oneof![
        Just(OsString::new()),
        Just(OsString::from("Ref::x")),
        Just(OsString::from("--")),
        Just(OsString::from("it's \"$HOME\" `id` \\ $(id)\n*\t?\r\n")),
        "[ -~]{0,40}".prop_map(OsString::from),
        ".{0,20}".prop_map(|s| OsString::from(s.replace('\0', ""))),
        proptest::collection::vec(1u8..=255, 0..20).prop_map(OsString::from_vec),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[story]
    fn a_script_gets_its_arguments_and_variables(args in proptest::collection::vec(word(), 0..6), value in word()) {
        let mut spec = spec(script(ECHO, args.clone()).map_err(|e| TestCaseError::fail(e.to_string()))?);
        set(&mut spec.environment, "A", &value);
        check(&spec, &expected(&args, &value)).map_err(|e| TestCaseError::fail(e.to_string()))?;
    }

    #[story]
    fn a_command_gets_its_arguments_and_variables(args in proptest::collection::vec(word(), 0..6), value in word()) {
        let echo = "for a in \"$@\" \"$A\"; do printf '%s\\0' \"$a\"; done";
        let mut argv: Vec<OsString> = ["sh", "-c", echo, "sh"].map(OsString::from).to_vec();
        argv.extend(args.iter().cloned());
        let mut spec = spec(Program::Command(argv));
        set(&mut spec.environment, "A", &value);
        check(&spec, &expected(&args, &value)).map_err(|e| TestCaseError::fail(e.to_string()))?;
    }
}

fn set(environment: &mut EnvVars, name: &str, value: &OsStr) {
    let arg = [OsStr::new(name), OsStr::new("="), value].iter().copied().collect::<OsString>();
    if let Ok(EnvArg::Set(name, value)) = EnvArg::parse(&arg) {
        environment.set(name, value);
    }
}

/// The job prints what is expected under every shell, and leaves the place clean but for its
/// working directory.
fn check(spec: &JobSpec, stdout: &[u8]) -> Outcome {
    let plan = plan(spec)?;
    for shell in shells() {
        let place = tempfile::tempdir()?;
        let output = run(&plan, shell, place.path())?;
        if !output.status.success() || output.stdout != stdout {
            return Err(format!(
                "{shell:?}: {:?}, stderr {:?}, stdout {:?}, not {:?}",
                output.status,
                String::from_utf8_lossy(&output.stderr),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(stdout)
            )
            .into());
        }
    }
    Ok(())
}

#[story]
fn a_plain_command_costs_one_exec() -> Outcome {
    let argv = ["echo", "a b", "$HOME", "é"].map(OsString::from).to_vec();
    let mut job = spec(Program::Command(argv));
    job.bare = true;
    let plan = plan(&job)?;
    assert_eq!(overrides(&plan).command, ["echo", "a b", "$HOME", "é"]);
    assert_eq!(plan.bundles, []);
    Ok(())
}

#[story]
fn signals_and_exit_codes_are_the_scripts_own() -> Outcome {
    for shell in shells() {
        let place = tempfile::tempdir()?;
        let output = run(&plan(&spec(script(b"exit 37\n", vec![])?))?, shell, place.path())?;
        assert_eq!(output.status.code(), Some(37), "{shell:?} {output:?}");
        let output = run(&plan(&spec(script(b"#!/bin/sh\nkill -TERM $$\n", vec![])?))?, shell, place.path())?;
        assert_eq!(output.status.signal(), Some(15), "{shell:?} {output:?}");
    }
    Ok(())
}

#[story]
fn a_missing_interpreter_is_named() -> Outcome {
    for shell in shells() {
        let place = tempfile::tempdir()?;
        let plan = plan(&spec(script(b"#! /opt/none/python3 -u\n", vec![])?))?;
        let output = run(&plan, shell, place.path())?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(126), "{shell:?} {stderr}");
        assert_eq!(
            stderr, "awsb: the image has no /opt/none/python3, which the #! line of my_script.sh names\n",
            "{shell:?}"
        );
    }
    Ok(())
}

#[story]
fn a_script_runs_in_a_directory_of_its_own_and_sees_nothing_of_the_launcher() -> Outcome {
    for shell in shells() {
        let place = tempfile::tempdir()?;
        let plan = plan(&spec(script(
            b"#!/bin/sh\npwd\nls -A\nenv | grep -e AWSB -e _a | cut -d= -f1 | sort\n",
            vec![],
        )?))?;
        let one = String::from_utf8(run(&plan, shell, place.path())?.stdout)?;
        let two = String::from_utf8(run(&plan, shell, place.path())?.stdout)?;
        let lines: Vec<&str> = one.lines().collect();
        assert!(lines[0].starts_with(&format!("{}/awsb.", place.path().canonicalize()?.display())), "{one}");
        assert_eq!(
            lines[1..],
            ["my_script.sh", "AWSB_OUTPUT_URL", "AWSB_SUBMISSION", "AWSB_USER"],
            "{shell:?}"
        );
        assert_ne!(one, two, "each job has a directory of its own");
    }
    Ok(())
}

#[story]
fn a_task_has_its_line_wherever_it_is_unpacked_or_does_not_run() -> Outcome {
    let mut job = spec(Program::Command(["printf", "<%s>", "{}"].map(OsString::from).to_vec()));
    // The last one is no text, so they are in a file.
    let lines = TaskLines::new(b"one\ntwo\n\x01".to_vec(), LineUse::Argument)?;
    job.shape = Shape::Array(Tasks::with_ids(lines.ids()?));
    job.lines = Some(lines);
    let plan = plan(&job)?;
    for shell in shells() {
        let place = tempfile::tempdir()?;
        let mut child = command(&plan, shell, place.path());
        let output = child.env("TMPDIR", ".").env("AWS_BATCH_JOB_ARRAY_INDEX", "1").output()?;
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(0), b"<two>".as_slice()),
            "{shell:?}"
        );
        // Lines that cannot be read are not empty ones.
        let tools = tempfile::tempdir()?;
        executable(&tools.path().join("sed"), "#!/bin/sh\nexit 4\n")?;
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", tools.path().display());
        let output = command(&plan, shell, place.path()).env("PATH", path).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        // busybox has a sed of its own, which it takes before that of the PATH.
        if !(shell[0] == "busybox" && output.status.success()) {
            assert_eq!((output.status.code(), output.stdout.len()), (Some(126), 0), "{shell:?} {stderr}");
            assert_eq!(stderr, "awsb: cannot read the line of task 1\n", "{shell:?}");
        }
    }
    Ok(())
}

#[story]
fn a_relative_working_directory_is_not_looked_for_elsewhere() -> Outcome {
    let mut job = spec(Program::Command(["pwd", "-P"].map(OsString::from).to_vec()));
    job.place = WorkDir::In("data".into());
    let elsewhere = tempfile::tempdir()?;
    std::fs::create_dir(elsewhere.path().join("data"))?;
    for shell in shells() {
        let place = tempfile::tempdir()?;
        let output = command(&plan(&job)?, shell, place.path()).env("CDPATH", elsewhere.path()).output()?;
        let expected = format!("{}/data\n", place.path().canonicalize()?.display());
        assert_eq!(String::from_utf8(output.stdout)?, expected, "{shell:?}");
    }
    Ok(())
}

/// A small script needs `sh` alone, a larger one what unpacks its bundle.
#[story]
fn nothing_but_four_tools_is_needed() -> Outcome {
    let tools = tempfile::tempdir()?;
    link("sh", tools.path())?;
    let message = |script_text: &str| -> Result<(String, String), Box<dyn std::error::Error>> {
        let plan = plan(&spec(script(script_text.as_bytes(), vec!["you".into()])?))?;
        let output = command(&plan, &["sh"], tools.path()).env("PATH", tools.path()).output()?;
        Ok((String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
    };
    let small = "echo \"hello $1\"\n";
    assert_eq!(message(small)?, ("hello you\n".into(), String::new()));
    let executable = "#!/bin/sh\necho \"hello $1\"\n";
    let missing = "awsb: the image has no chmod, which is needed to make the script executable\n";
    assert_eq!(message(executable)?, (String::new(), missing.into()));
    link("chmod", tools.path())?;
    assert_eq!(message(executable)?, ("hello you\n".into(), String::new()));
    let larger = format!("{small}{}", "# as much as a request cannot have\n".repeat(300));
    for tool in ["base64", "gzip", "tar"] {
        let missing = format!("awsb: the image has no {tool}, which is needed to unpack the job\n");
        assert_eq!(message(&larger)?, (String::new(), missing));
        link(tool, tools.path())?;
    }
    assert_eq!(message(&larger)?, ("hello you\n".into(), String::new()));
    Ok(())
}

/// The tar of macOS and the BSDs unpacks a bundle as GNU's does: its files, their modes, names that
/// are not ASCII, and names longer than 100 bytes, which need a header of their own.
#[story]
fn a_bundle_is_unpacked_by_the_tar_of_macos() -> Outcome {
    let bsdtar = program("bsdtar");
    let place = tempfile::tempdir()?;
    let tools = tempfile::tempdir()?;
    std::os::unix::fs::symlink(bsdtar, tools.path().join("tar"))?;
    let path = format!("{}:/usr/bin:/bin", tools.path().display());
    let larger =
        format!("#!/bin/sh\necho \"hello $1\"\n{}", "# as much as a request cannot have\n".repeat(300));
    let plan = plan(&spec(script(larger.as_bytes(), vec!["you".into()])?))?;
    assert!(overrides(&plan).environment.iter().any(|v| v.name == "AWSB_BUNDLE"), "it travels as a bundle");
    for shell in shells() {
        let output = command(&plan, shell, place.path()).env("PATH", &path).output()?;
        // busybox has a tar of its own, which it takes before that of the PATH.
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.stdout.as_slice(), stderr.as_ref()), (b"hello you\n".as_slice(), ""), "{shell:?}");
    }
    Ok(())
}

/// The programs that a launcher starts, in the order in which it does, from a PATH on which each
/// one tells.
fn started(plan: &Plan, shell: &[&str]) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let tools = tempfile::tempdir()?;
    let report = tools.path().join("told");
    for folder in ["/usr/bin", "/bin"] {
        for program in std::fs::read_dir(folder)? {
            let program = program?;
            let (name, path) = (program.file_name().to_string_lossy().into_owned(), program.path());
            if tools.path().join(&name).exists() || name == "[" {
                continue;
            }
            if shell[0] == name {
                std::os::unix::fs::symlink(path, tools.path().join(&name))?;
            } else {
                let text = format!(
                    "#!/bin/sh\necho {name} >>'{}'\nexec '{}' \"$@\"\n",
                    report.display(),
                    path.display()
                );
                executable(&tools.path().join(&name), &text)?;
            }
        }
    }
    let output = command(plan, shell, place.path())
        .env("PATH", tools.path())
        .env("AWS_BATCH_JOB_ID", "8f2c:1")
        .env("AWS_BATCH_JOB_ARRAY_INDEX", "1")
        .output()?;
    assert!(output.status.success(), "{shell:?} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"done\n", "{shell:?}");
    let report = std::fs::read_to_string(report).unwrap_or_default();
    Ok(report.lines().map(str::to_owned).collect())
}

#[story]
fn a_launcher_starts_few_programs() -> Outcome {
    let lines = TaskLines::new(b"false\necho done\n".to_vec(), LineUse::Command)?;
    let mut commands = spec(Program::Command(vec!["/bin/sh".into()]));
    commands.shape = Shape::Array(Tasks::with_ids(lines.ids()?));
    commands.lines = Some(lines);
    let mut array = spec(script(b"#!/bin/sh\necho done\n", vec![])?);
    array.shape = Shape::Array(Tasks::with_ids("3,7,9".parse()?));
    // Its variables and arguments are quoted, and it runs elsewhere.
    let mut elsewhere = spec(script(b"echo done\n", vec!["".into()])?);
    elsewhere.place = WorkDir::In("data".into());
    for shell in shells() {
        // busybox has these itself.
        let of_its_own = shell[0] == "busybox";
        for (job, expected) in [
            (&spec(script(b"#!/bin/sh\necho done\n", vec![])?), &["mkdir", "chmod"][..]),
            (&spec(script(b"echo done\n", vec!["Ref::x".into()])?), &["mkdir", "chmod"]),
            (&array, &["mkdir", "chmod"]),
            (&elsewhere, &["mkdir", "chmod", "mkdir"]),
            (&commands, &[]),
        ] {
            let mut found = started(&plan(job)?, shell)?;
            // mksh alone has no printf of its own.
            found.retain(|program| shell[0] != "mksh" || program != "printf");
            assert!(
                found == expected || (of_its_own && found.is_empty()),
                "{shell:?} {found:?} {expected:?}"
            );
        }
    }
    Ok(())
}

/// The jobs that a plan's array becomes, each as a plan of its own.
fn jobs_of(plan: &Plan) -> Vec<Plan> {
    plan.requests
        .iter()
        .map(|request| Plan { requests: vec![request.clone()], bundles: plan.bundles.clone() })
        .collect()
}

/// An `aws` that has the bundles of a plan.
fn stand_in(plan: &Plan, folder: &Path) -> Outcome {
    for bundle in &plan.bundles {
        std::fs::write(folder.join(format!("{}.tar.gz", bundle.sha256())), bundle.bytes())?;
    }
    let text = format!("#!/bin/sh\necho GET >>'{0}/gets'\ncp \"{0}/${{6##*/}}\" \"$7\"\n", folder.display());
    Ok(executable(&folder.join("aws"), &text)?)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Lines as text in the request, packed in it, and from S3.
    #[story]
    fn a_task_has_its_line(lines in proptest::collection::vec("[ -~]{0,30}|[|~^;%@#!,]{1,5}|.{0,20}", 1..40), at in 0usize..40, large: bool) {
        let mut lines: Vec<String> = lines.iter().map(|line| line.replace(['\n', '\r', '\0', '\u{feff}'], " ")).collect();
        if large {
            lines.push(noise(20_000));
        }
        let at = at % lines.len();
        line_arrives(&lines, at).map_err(|e| TestCaseError::fail(e.to_string()))?;
    }
}

fn line_arrives(lines: &[String], at: usize) -> Outcome {
    let mut job = spec(Program::Command(["printf", "%s", "{}"].map(OsString::from).to_vec()));
    let all = TaskLines::new(lines.join("\n").into_bytes(), LineUse::Argument)?;
    // Empty lines at the end are not tasks.
    if all.ids()?.count() as usize <= at {
        return Ok(());
    }
    job.shape = Shape::Array(Tasks::with_ids(all.ids()?));
    job.lines = Some(all);
    let plan = plan(&job)?;
    for shell in shells() {
        let place = tempfile::tempdir()?;
        stand_in(&plan, place.path())?;
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", place.path().display());
        let mut child = command(&plan, shell, place.path());
        let output = child.env("PATH", path).env("AWS_BATCH_JOB_ARRAY_INDEX", at.to_string()).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.stdout != lines[at].as_bytes() {
            return Err(format!("{shell:?} {at} of {lines:?}: {:?} {stderr}", output.stdout).into());
        }
    }
    Ok(())
}

/// Each of the jobs that an array becomes has its own lines, and a task fetches them once.
#[story]
fn a_part_of_an_array_has_its_own_lines() -> Outcome {
    let text: String = (1..=10_003).map(|n| format!("printf '%s' 'line {n}: {}'\n", n * 7919)).collect();
    let lines = TaskLines::new(text.into_bytes(), LineUse::Command)?;
    let mut job = spec(Program::Command(vec!["/bin/sh".into()]));
    job.shape = Shape::Array(Tasks::with_ids(lines.ids()?));
    job.lines = Some(lines);
    let plan = plan(&job)?;
    let [first, second] = &jobs_of(&plan)[..] else { return Err("two jobs were expected".into()) };
    // The second has so few that it need not fetch them.
    assert_eq!(plan.bundles.len(), 1);
    for shell in shells() {
        for (part, index, line, gets) in
            [(first, 0, 1, 1), (first, 9999, 10_000, 1), (second, 0, 10_001, 0), (second, 2, 10_003, 0)]
        {
            let place = tempfile::tempdir()?;
            stand_in(&plan, place.path())?;
            let path = format!("{}:/usr/local/bin:/usr/bin:/bin", place.path().display());
            let mut child = command(part, shell, place.path());
            let output =
                child.env("PATH", path).env("AWS_BATCH_JOB_ARRAY_INDEX", index.to_string()).output()?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            let expected = format!("line {line}: {}", line * 7919);
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{shell:?} {stderr}");
            let report = std::fs::read_to_string(place.path().join("gets")).unwrap_or_default();
            assert_eq!(report.lines().count(), gets, "{shell:?}");
        }
    }
    Ok(())
}

/// Prints how the job was started, and where, and all that it has been told.
const PROBE: &str = "printf '%s\\n' \"$0\" \"$@\"; pwd; env | grep -v -e ^OLDPWD= -e ^_= -e ^SHLVL= | sort";

/// How a job ended, and what it printed.
type End = (Option<i32>, String);

/// The end of a job: through its launcher, and as who starts it may start it without.
fn both_ways(job: &JobSpec) -> Result<[End; 2], Box<dyn std::error::Error>> {
    use awsb_local::runner::unpacker;
    let plan = plan(job)?;
    let batchs_own = [
        ("AWS_BATCH_JOB_ID", "8f2c:1"),
        ("AWS_BATCH_JOB_ARRAY_INDEX", "1"),
        ("AWS_BATCH_JOB_ARRAY_SIZE", "3"),
    ];
    let end = |output: Output, place: &Path| -> Result<End, Box<dyn std::error::Error>> {
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let place = place.to_str().ok_or("a path in UTF-8")?;
        let text = String::from_utf8(output.stdout)?.replace(place, "PLACE");
        // The folder's name has the launcher's process ID in it.
        let mut parts = text.split("PLACE/awsb.");
        let mut same = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            same.push_str("PLACE/FOLDER");
            same.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'));
        }
        Ok((output.status.code(), same))
    };
    let place = tempfile::tempdir()?;
    let root = place.path().canonicalize()?;
    stand_in(&plan, &root)?;
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", root.display());
    let mut launched = command(&plan, &["/bin/sh"], &root);
    let launched = launched.env("PATH", &path).env("PWD", &root).envs(batchs_own).output()?;
    let overrides = overrides(&plan);
    let variables = overrides.environment.iter().map(|v| (v.name.as_str(), v.value.as_str()));
    let folder = root.to_str().ok_or("a path in UTF-8")?;
    let all = [("PATH", path.as_str()), ("TMPDIR", folder), ("PWD", folder)];
    let mut started = unpacker::Command {
        argv: overrides.command.clone(),
        environment: all
            .into_iter()
            .chain(variables)
            .chain(batchs_own)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        directory: root.clone(),
    };
    let fetch = |_: &str, key: &str| {
        let bundle = plan.bundles.iter().find(|bundle| bundle.key("awsb") == key);
        bundle.map(|bundle| bundle.bytes().to_vec())
    };
    let ready = unpacker::Unpacker::default().ready(&mut started, &root.join("awsb.0.0"), fetch)?;
    let direct = ready.direct.ok_or_else(|| format!("it needs its launcher: {started:?}"))?;
    let mut command = std::process::Command::new(&direct.argv[0]);
    command.args(&direct.argv[1..]).env_clear().envs(&direct.environment).current_dir(&direct.directory);
    let direct = loop {
        match command.output() {
            // Another thread of this process was forking while the script was written.
            Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
            other => break other?,
        }
    };
    Ok([end(launched, &root)?, end(direct, &root)?])
}

/// A runner of the local cluster spares most jobs their launcher: nothing that the job can see may
/// tell.
#[story]
fn a_job_that_is_spared_its_launcher_sees_the_same() -> Outcome {
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let text = |head: &str, tail: &str| format!("{head}{PROBE}\nexit 7\n{tail}").into_bytes();
    let large = format!("# {}\n", noise(20_000));
    let packed = "# as much as a request cannot have as text\n".repeat(300);
    let scattered = Shape::Array(Tasks::with_ids("3,7,9".parse()?));
    let sized = Shape::Array(Tasks::sized("3".parse()?)?);
    let mut jobs = Vec::new();
    for tail in ["", large.as_str(), packed.as_str()] {
        for head in ["", "#!/bin/sh\n", "#! /bin/bash -e\n"] {
            for shape in [&Shape::Single, &scattered, &sized] {
                let mut job = spec(script(&text(head, tail), words(&["a b", "{}", "*"]))?);
                job.shape = shape.clone();
                set(&mut job.environment, "A", OsStr::new("x 'y' \"z\""));
                jobs.push(job);
            }
        }
        let line = format!("{PROBE}; exit 7 {tail}").replace('\n', " ");
        for (is, program) in [
            (LineUse::Command, Program::Command(words(&["/bin/sh"]))),
            (LineUse::Argument, Program::Command(words(&["/bin/sh", "-c", PROBE, "<{}>", "{}{}", "x"]))),
            (LineUse::Argument, script(&text("", ""), words(&["<{}>", "x"]))?),
        ] {
            let lines = TaskLines::new(format!("false\n{line}\nfalse\n").into_bytes(), is)?;
            let mut job = spec(program);
            job.shape = Shape::Array(Tasks::with_ids(lines.ids()?));
            job.lines = Some(lines);
            jobs.push(job);
        }
    }
    for shape in [&Shape::Single, &scattered, &sized] {
        let mut job = spec(Program::Command(words(&["/bin/sh", "-c", PROBE, "a b", "{}"])));
        job.shape = shape.clone();
        jobs.push(job);
    }
    for job in &jobs {
        let [launched, direct] = both_ways(job)?;
        assert!(launched.1.contains("AWSB_OUTPUT_URL=s3://bucket/awsb/outputs/8f2c/1/"), "{launched:?}");
        assert_eq!(launched, direct, "{job:?}");
    }
    Ok(())
}

#[story]
fn the_launchers_pass_shellcheck() -> Outcome {
    use awsb_model::payload::launcher::{Plain, Prelude, StartScript, Transport, for_bundle, for_command};
    let places = [WorkDir::Own, WorkDir::In("/data/x y".into()), WorkDir::Below("/data".into())];
    let mut launchers = vec![for_bundle(Transport::Inline).into(), for_bundle(Transport::Fetched).into()];
    for place in &places {
        let prelude = Prelude { outputs: "s3://bucket/awsb/outputs", has_tasks: true, place };
        launchers.push(for_command(prelude));
        for is_script in [false, true] {
            let plain = Plain {
                interpreter: is_script.then_some(OsStr::new("/bin/bash")),
                has_args: true,
                line: Some((LineUse::Argument, '|')).filter(|_| !is_script),
                prelude,
                compat: OsStr::new(""),
            };
            launchers.push(plain.launcher());
            let start = StartScript {
                packed: None,
                interpreter: is_script.then_some(OsStr::new("")),
                has_args: true,
                stays: is_script,
                line: is_script.then_some(LineUse::Argument),
                prelude,
                has_inputs: true,
                has_stdin: true,
                outputs: &["*.csv".parse()?],
                region: "eu-west-1",
                compat: OsStr::new(""),
            };
            // The state that the first part sets, and that the launcher's file has left.
            let head = for_bundle(Transport::Inline).replace("eval \"${AWSB_START:-. ./.awsb/start}\"\n", "");
            launchers.push(OsString::from(head + &start.text().to_string_lossy()));
        }
    }
    for launcher in launchers {
        // SC2016: `$TMPDIR` in a message is meant as it stands. SC1091: the job's own file is not
        // there yet. SC2059, SC2064, SC2086: the parts themselves say where they mean it.
        if !shellcheck(launcher.as_encoded_bytes(), "SC2016,SC1091,SC2059,SC2064,SC2086")? {
            return Ok(());
        }
    }
    // SC2034, SC2154: a part has variables from others, and for them.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["crates/awsb-model/src/payload/launcher", "src/stage/compat"] {
        for part in std::fs::read_dir(root.join(folder))? {
            shellcheck(&std::fs::read(part?.path())?, "SC2016,SC1091,SC2034,SC2154")?;
        }
    }
    Ok(())
}

#[story]
fn the_overrides_stay_under_the_limit_with_room_for_batch() -> Outcome {
    for kilobytes in [1, 3, 4, 9, 60, 900] {
        let contents =
            [b"#!/bin/sh\n# ".as_slice(), noise(kilobytes * 1024).as_bytes(), b"\necho ok\n"].concat();
        let plan = plan(&spec(script(&contents, vec!["x".repeat(kilobytes * 10).into()])?))?;
        let length = serde_json::to_string(overrides(&plan))?.chars().count();
        assert!(length <= 8192 - 1024, "{kilobytes} KiB of script: {length} characters");
        // As text where it fits, and packed where it does not.
        assert_eq!(plan.bundles.len(), usize::from(kilobytes > 4), "{kilobytes} KiB of script");
    }
    Ok(())
}

/// The lines of the corpus' scripts that are no directives, as far as so many bytes reach, and no
/// word `without`.
fn ordinary(length: usize, without: &str) -> Result<String, Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/corpus/slurm");
    let mut scripts: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    scripts.retain(|path| path.extension() == Some(OsStr::new("sh")));
    scripts.sort();
    let mut text = String::new();
    for path in scripts {
        let script = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
        let lines = script
            .lines()
            .filter(|line| !line.starts_with("#") && !line.contains("scontrol") && !line.contains(without));
        text.extend(lines.flat_map(|line| [line, "\n"]));
    }
    assert!(text.is_ascii() && text.len() >= length, "{}", text.len());
    text.truncate(length);
    Ok(text)
}

/// How many bytes of ordinary text a script can have behind this head without a bundle in S3.
fn room_behind(head: &str, without: &str) -> Result<usize, Box<dyn std::error::Error>> {
    use awsb_model::Directives;
    let fits = |length: usize| -> Result<bool, Box<dyn std::error::Error>> {
        let text = head.to_owned() + &ordinary(length, without)?;
        let mut job = spec(script(text.as_bytes(), vec![])?);
        let head = Directives::read(text.as_bytes());
        (job.slurm, job.lsf, job.given_name) = (head.slurm, head.lsf, head.name);
        job.submit_host = "login".to_owned();
        Ok(!plan(&job)?.is_fetched())
    };
    let (mut low, mut high) = (0, 8500);
    while low + 1 < high {
        let middle = (low + high) / 2;
        if fits(middle)? { low = middle } else { high = middle }
    }
    Ok(low)
}

#[story]
fn a_script_of_four_kilobytes_travels_in_the_request() -> Outcome {
    let (slurm, lsf) = ("#SBATCH -J map -n 4 -t 60 --mem 8G\n", "#BSUB -J map -n 4 -W 60 -M 8G\n");
    for (head, without, least) in [
        ("#!/bin/bash\n".to_owned(), "srun", 4096),
        (format!("#!/bin/bash\n{slurm}"), "srun", 4096),
        (format!("#!/bin/bash\n{slurm}srun hostname\n"), "%", 4096),
        (format!("#!/bin/bash\n{slurm}srun -o %t hostname\n"), "\n", 3072),
        (format!("#!/bin/bash\n{lsf}"), "srun", 4096),
    ] {
        let room = room_behind(&head, without)?;
        eprintln!("{room} bytes behind {head:?}");
        assert!(room >= least, "{room} bytes behind {head:?}");
    }
    Ok(())
}

/// Whether a job with these bytes of ordinary text in a script from Slurm, and this variable, has
/// `srun` in its bundle, which is in the request.
fn has_srun(length: usize, variable: &str) -> Result<bool, Box<dyn std::error::Error>> {
    use awsb_model::Directives;
    let text = format!("#!/bin/bash\n#SBATCH -n 4\n{}", ordinary(length, "srun")?);
    let mut job = spec(script(text.as_bytes(), vec![])?);
    job.slurm = Directives::read(text.as_bytes()).slurm;
    job.environment.set("A".parse()?, variable.into());
    let plan = plan(&job)?;
    let bundle = plan.bundles.first().ok_or("a script from Slurm has a bundle")?;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bundle.bytes()));
    let mut has = false;
    for entry in archive.entries()? {
        has |= entry?.path_bytes().ends_with(b"/srun");
    }
    Ok(has && !plan.is_fetched())
}

/// Scripts in the image or on a file system may call `srun`, which bsub does not see.
#[story]
fn variables_are_packed_before_srun_is_left_out() -> Outcome {
    let (mut low, mut high) = (0, 8500);
    while low + 1 < high {
        let middle = (low + high) / 2;
        if has_srun(middle, "")? { low = middle } else { high = middle }
    }
    // A text that fits beside a short variable takes no more than a part of this one.
    assert!(has_srun(low - 300, &"x".repeat(1000))?, "{low}");
    assert!(!has_srun(low - 300, &noise(1000))?, "there is no room for all of it: {low}");
    Ok(())
}

/// A large bundle is fetched by what the image has, and nothing is run that is not what was staged.
#[story]
fn a_fetched_bundle_is_checked() -> Outcome {
    let job = spec(script(&[ECHO, b"# ".as_slice(), noise(20_000).as_bytes()].concat(), vec!["x".into()])?);
    let plan = plan(&job)?;
    let bundle = plan.bundles.first().ok_or("a large script has a bundle")?;
    let overrides = overrides(&plan);
    let url = format!("s3://bucket/awsb/bundles/{}.tar.gz", bundle.sha256());
    assert!(overrides.environment.iter().any(|v| v.name == "AWSB_BUNDLE" && v.value == url));
    for shell in shells() {
        for (damaged, code, message) in [(false, 0, ""), (true, 126, "is damaged: its SHA-256 is ")] {
            let place = tempfile::tempdir()?;
            let mut bytes = bundle.bytes().to_vec();
            if damaged {
                bytes.truncate(bytes.len() - 1);
            }
            std::fs::write(place.path().join("object"), &bytes)?;
            // An `aws` that has this one object.
            let stand_in =
                format!("#!/bin/sh\n[ \"$6\" = '{url}' ] && cp '{}/object' \"$7\"\n", place.path().display());
            executable(&place.path().join("aws"), &stand_in)?;
            let path = format!("{}:/usr/local/bin:/usr/bin:/bin", place.path().display());
            let output = command(&plan, shell, place.path()).env("PATH", path).env("A", "v").output()?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{shell:?} {stderr}");
            assert!(stderr.contains(message), "{shell:?} {stderr}");
            assert_eq!(output.stdout, if damaged { b"".as_slice() } else { b"x\0v\0" }, "{shell:?} {stderr}");
        }
    }
    Ok(())
}

/// A curl that cannot sign says nothing, one that fails says why, and both leave it to the next
/// tool.
#[story]
fn what_curl_cannot_fetch_aws_does() -> Outcome {
    let job = spec(script(&[ECHO, b"# ".as_slice(), noise(20_000).as_bytes()].concat(), vec!["x".into()])?);
    let plan = plan(&job)?;
    let bundle = plan.bundles.first().ok_or("a large script has a bundle")?;
    for shell in shells() {
        for (curl, shown) in [
            // curl 7.74, and 7.81 built without it.
            ("echo 'curl: option --aws-sigv4: is unknown' >&2; exit 2", ""),
            (
                "echo \"curl: option --aws-sigv4: the installed libcurl version doesn't support this\" >&2; exit 2",
                "",
            ),
            ("echo 'curl: (2) no memory' >&2; exit 2", "curl: (2) no memory\n"),
            ("echo 'curl: (22) 403' >&2; exit 22", "curl: (22) 403\n"),
        ] {
            let place = tempfile::tempdir()?;
            std::fs::write(place.path().join("object"), bundle.bytes())?;
            executable(&place.path().join("curl"), &format!("#!/bin/sh\ncat >/dev/null\n{curl}\n"))?;
            let object = place.path().join("object");
            executable(&place.path().join("aws"), &format!("#!/bin/sh\ncp '{}' \"$7\"\n", object.display()))?;
            let path = format!("{}:/usr/local/bin:/usr/bin:/bin", place.path().display());
            let mut command = command(&plan, shell, place.path());
            let output = command.env("PATH", path).env("A", "v").env("AWS_ACCESS_KEY_ID", "key").output()?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(stderr, shown, "{shell:?} {curl}");
            assert_eq!(output.stdout, b"x\0v\0", "{shell:?} {curl}");
        }
    }
    Ok(())
}

#[story]
fn an_image_that_cannot_fetch_says_so() -> Outcome {
    let job = spec(script(&[b"echo ".as_slice(), noise(20_000).as_bytes()].concat(), vec![])?);
    let plan = plan(&job)?;
    let place = tempfile::tempdir()?;
    for tool in ["sh", "base64", "gzip", "tar", "mkdir"] {
        link(tool, place.path())?;
    }
    let output = command(&plan, &["sh"], place.path()).env("PATH", place.path()).output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(126), "{stderr}");
    assert!(
        stderr.contains("takes an image with curl (7.87 or later), aws or python3 with boto3"),
        "{stderr}"
    );
    Ok(())
}

#[story]
fn arguments_and_variables_too_large_for_the_request_travel_in_the_bundle() -> Outcome {
    let args = vec![OsString::from("ab ".repeat(20_000))];
    let mut job = spec(script(ECHO, args.clone())?);
    set(&mut job.environment, "A", OsStr::new(&"multi\nline ".repeat(3000)));
    check(&job, &expected(&args, OsStr::new(&"multi\nline ".repeat(3000))))
}

/// A `curl` that can sign, for a bucket that is the folder `objects`: what it is given to upload is
/// there under the name that the URL has.
const CURL: &str = r#"#!/bin/sh
# The credentials of a job's role, where no proxy is asked for them.
case " $* " in
*' --noproxy * http://169.254.170.2/role '*)
  echo '{"AccessKeyId":"key","SecretAccessKey":"secret","Token":"token"}'
  exit
  ;;
*169.254.170.2*) exit 7 ;;
esac
cat >/dev/null
while [ $# -gt 1 ]; do
  [ "$1" != -T ] || file=$2
  shift
done
name=${1##*/outputs/}
cp "$file" "OBJECTS/$(printf %s "$name" | tr / :)"
"#;

/// Runs a job whose files come back under a shell; returns its end, and what came back, by its
/// place in a URL.
fn results(
    shell: &[&str],
    script_text: &[u8],
    globs: &[&str],
    act: impl FnOnce(&mut std::process::Child) -> Outcome,
) -> Result<(Output, Vec<String>), Box<dyn std::error::Error>> {
    results_with(shell, ("AWS_ACCESS_KEY_ID", "key"), script_text, globs, act)
}

/// The same with this variable, from which the launcher has its credentials.
fn results_with(
    shell: &[&str],
    (name, value): (&str, &str),
    script_text: &[u8],
    globs: &[&str],
    act: impl FnOnce(&mut std::process::Child) -> Outcome,
) -> Result<(Output, Vec<String>), Box<dyn std::error::Error>> {
    let mut job = spec(script(script_text, vec!["a b".into()])?);
    job.outputs = globs.iter().map(|glob| glob.parse()).collect::<Result<_, _>>()?;
    let place = tempfile::tempdir()?;
    let objects = place.path().join("objects");
    std::fs::create_dir(&objects)?;
    executable(&place.path().join("curl"), &CURL.replace("OBJECTS", &objects.display().to_string()))?;
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", place.path().display());
    let mut command = command(&plan(&job)?, shell, place.path());
    command.env("PATH", path).env("AWS_BATCH_JOB_ID", "8f2c:3").env(name, value);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn()?;
    act(&mut child)?;
    let output = child.wait_with_output()?;
    let mut names: Vec<String> = std::fs::read_dir(&objects)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    names.sort();
    Ok((output, names))
}

#[story]
fn files_come_back_under_their_names() -> Outcome {
    let text = "echo \"$1\"; mkdir -p 'd/x y' d/.h; >'d/x y/100% +é~'; >d/.h/b; >c.csv; >.c.csv; >'n\n1.csv'; exit 5\n";
    for shell in shells() {
        let (output, names) =
            results(shell, text.as_bytes(), &["*.csv", "./d//", "d", "no thing"], |_| Ok(()))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{shell:?} {stderr}");
        assert_eq!(output.stdout, b"a b\n", "{shell:?}");
        assert_eq!(stderr, "awsb: nothing matches no thing\n", "{shell:?}");
        let expected = ["c.csv", "d:.h:b", "d:x%20y:100%25%20%2B%C3%A9~", "n%0A1.csv"];
        assert_eq!(names, expected.map(|name| format!("8f2c:3:{name}")), "{shell:?}");
    }
    Ok(())
}

#[story]
fn no_proxy_is_asked_for_the_credentials_of_a_jobs_role() -> Outcome {
    for shell in shells() {
        let role = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/role");
        let (output, names) = results_with(shell, role, b">x", &["x"], |_| Ok(()))?;
        assert_eq!(output.status.code(), Some(0), "{shell:?} {output:?}");
        assert_eq!(names, ["8f2c:3:x"], "{shell:?}");
    }
    Ok(())
}

#[story]
fn links_out_of_the_working_directory_are_not_followed() -> Outcome {
    // The folder that the working directory is in is not its own.
    let text = "mkdir -p ../outside/sub real/deep; echo s >../outside/f; echo s >../outside/sub/g; >../.f
        echo 1 >real/deep/x; >a.csv; >.hidden
        ln -s ../outside ref; ln -s \"$PWD/../outside/sub\" real/deep/nested; ln -s ../outside/f flink
        ln -s flink chain; ln -s ../../../outside/f real/deep/flink; ln -s / root; ln -s /etc/passwd absolute
        ln -s real latest; ln -s \"${PWD##*/}/../a.csv\" broken; ln -s \"../${PWD##*/}/a.csv\" back.csv
        ln -s ../../a.csv real/deep/inlink; ln -s loop2 loop1; ln -s loop1 loop2; >-n; ln -s ../outside/f ./-out\n";
    let globs = ["*", ".*", "ref/*", "ref/sub/*", "ref/", "re[f]/f", "latest/deep/nested/g", "real/deep/*/g"];
    for shell in shells() {
        let (output, names) = results(shell, text.as_bytes(), &globs, |_| Ok(()))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{shell:?} {stderr}");
        let files = "-n .hidden a.csv back.csv latest:deep:inlink latest:deep:x my_script.sh real:deep:inlink real:deep:x";
        let expected: Vec<_> = files.split(' ').map(|name| format!("8f2c:3:{name}")).collect();
        assert_eq!(names, expected, "{shell:?} {stderr}");
        for link in ["ref", "flink", "chain", "real/deep/flink", "root", "absolute", "-out"] {
            let line = format!("awsb: {link} is a link out of the working directory: it is not kept\n");
            assert_eq!(stderr.matches(&line).count(), 1, "{shell:?} {link} {stderr}");
        }
        for nested in
            ["is a link to a directory: what is in it", "is a link out of the working directory: it"]
        {
            let line = format!("awsb: latest/deep/nested {nested} is not kept\n");
            assert!(stderr.contains(&line), "{shell:?} {stderr}");
        }
    }
    Ok(())
}

#[story]
fn a_name_that_is_not_utf8_becomes_one_that_is() -> Outcome {
    // Bytes that are none, a slash in two bytes, half of a pair, a beginning; characters of two to
    // four bytes.
    let text = r#"n() { printf '%b' "$1"; }
        >"$(n 'b\0377d%1')"; >"$(n 'o\0300\0257')"; >"$(n 's\0355\0240\0200')"; >"$(n 't\0303')"
        >"$(n 'z\0364\0220\0200\0200')"; >"$(n '\0303\0251\0342\0202\0254\0360\0237\0230\0200')"
        >"$(n 'c\0001d\0177')"; >'x%FF'; >"$(n 'x\0377')"
"#;
    let expected = [
        "%C3%A9%E2%82%AC%F0%9F%98%80",
        "b%25FFd%251",
        "c%01d%7F",
        "my_script.sh",
        "o%25C0%25AF",
        "s%25ED%25A0%2580",
        "t%25C3",
        "x%25FF",
        "z%25F4%2590%2580%2580",
    ];
    for shell in shells() {
        let (output, names) = results(shell, text.as_bytes(), &["*"], |_| Ok(()))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{shell:?} {stderr}");
        assert_eq!(names, expected.map(|name| format!("8f2c:3:{name}")), "{shell:?} {stderr}");
        assert_eq!(stderr.matches("is not UTF-8: it is kept as ").count(), 5, "{shell:?} {stderr}");
        assert!(stderr.contains("it is kept as b%FFd%1\n"), "{shell:?} {stderr}");
        assert!(stderr.contains("and x%FF is another file: it is not kept\n"), "{shell:?} {stderr}");
    }
    Ok(())
}

#[story]
fn a_job_whose_files_come_back_ends_as_it_would_without() -> Outcome {
    for shell in shells() {
        for (text, code) in [
            ("exit 0", 0),
            ("exit 255", 255),
            ("kill -KILL $$", 137),
            ("kill -INT $$; sleep 9", 130),
            ("kill -SEGV $$", 139),
            ("exec no-such-program", 127),
            ("exit 126", 126),
        ] {
            // Its jobs in the background cannot be ended by INT, and its `env` cannot change that.
            if shell[0] == "busybox" && code == 130 {
                continue;
            }
            let (output, names) = results(shell, format!(">x\n{text}\n").as_bytes(), &["x"], |_| Ok(()))?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{shell:?} {text} {stderr}");
            assert_eq!(names, ["8f2c:3:x"], "{shell:?} {text}");
            assert!(!stderr.contains("awsb: "), "{shell:?} {text} {stderr}");
        }
    }
    Ok(())
}

#[story]
fn a_job_whose_files_come_back_is_handed_on_the_signals() -> Outcome {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use std::io::{BufRead, BufReader};
    let text =
        "trap 'echo usr1' USR1; trap 'echo term >x; exit 3' TERM\necho ready\nwhile :; do sleep 0.05; done\n";
    for shell in shells() {
        let (output, names) = results(shell, text.as_bytes(), &["x"], |child| {
            let pid = Pid::from_raw(child.id().try_into()?);
            let mut lines = BufReader::new(child.stdout.take().ok_or("a pipe")?).lines();
            assert_eq!(lines.next().transpose()?.as_deref(), Some("ready"), "{shell:?}");
            for _ in 0..3 {
                kill(pid, Signal::SIGUSR1)?;
                assert_eq!(lines.next().transpose()?.as_deref(), Some("usr1"), "{shell:?}");
            }
            Ok(kill(pid, Signal::SIGTERM)?)
        })?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{shell:?} {stderr}");
        assert_eq!(names, ["8f2c:3:x"], "{shell:?}");
    }
    Ok(())
}
