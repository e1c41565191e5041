//! The job is the one that is meant: forms of other schedulers, standard input, lists, dependencies
//! by name, and jobs that can never run.

use std::time::Duration;

use awsb_testkit::{Outcome, Sandbox, Terminal, eventually, program, story};

/// The notes and warnings of a command's stderr.
fn remarks(outcome: &Outcome) -> Vec<&str> {
    outcome.stderr.lines().filter(|line| line.contains(": note: ") || line.contains(": warning: ")).collect()
}

#[story]
fn what_only_slurm_or_lsf_means_is_refused_before_anything_is_done() {
    let sandbox = Sandbox::new();
    sandbox.file("ok.sh", "#!/bin/sh\n");
    for (words, hint) in [
        (&["-w", "done(8f2c0d3e)", "ok.sh"][..], "hint: `-d 8f2c0d3e`"),
        (&["-n", "4", "-o", "out.%J", "ok.sh"], "`bout ID` shows them"),
        (&["-oo", "f", "ok.sh"], "`bout ID` shows them"),
        (&["-env", "all", "ok.sh"], "`-e all`"),
        (&["-J", "x[1-3]", "ok.sh"], "hint: `-J x --array 1-3`"),
        (&["-a", "1-10", "ok.sh"], "hint: to give the IDs of tasks: `--array 1-10`"),
        (&["-a", "10%2", "ok.sh"], "tasks run at the same time: `-a 10 --array-limit 2`"),
        (&["-W", "1:30", "ok.sh"], "hint: `-t 90m`"),
        (&["-p", "gpu", "ok.sh"], "`-q gpu`"),
        (&["-c", "4", "ok.sh"], "`-p 4`"),
        (&["--test-only", "ok.sh"], "`--dry-run`"),
    ] {
        let outcome = sandbox.quick_run("bsub", words);
        outcome.failed_with(2);
        assert!(outcome.stderr.contains(hint), "{hint:?} is not said in {outcome}");
        assert!(!outcome.stderr.contains("--help"), "{outcome}");
    }
    assert!(!sandbox.local_home().exists(), "a server was started");
    // In a script's head, LSF's own meaning holds.
    sandbox.file("lsf.sh", "#!/bin/sh\n#BSUB -J x[1-3] -oo f\necho $LSB_JOBINDEX\n");
    let outcome = sandbox.run("bsub", ["--dry-run", "lsf.sh"]).ok();
    assert!(outcome.stdout.contains("\"size\": 3"), "{outcome}");
}

#[story]
fn where_both_readings_are_plausible_there_is_one_note() {
    let sandbox = Sandbox::new();
    sandbox.file("ok.sh", "#!/bin/sh\n");
    let words = ["--dry-run", "-a", "5", "-t", "90", "-w", "node01", "ok.sh"];
    let outcome = sandbox.run("bsub", words).ok();
    let [note] = remarks(&outcome)[..] else { panic!("{outcome}") };
    for part in ["-a 5 is 5 tasks, 0 to 4", "-t 90 is 90 seconds", "-w node01 makes a directory node01"] {
        assert!(note.contains(part), "{outcome}");
    }
    let quiet = sandbox.run("bsub", ["--quiet", "-K", "-a", "2", "true"]).ok();
    assert_eq!(quiet.stderr, "");
    let plain = sandbox.run("bsub", ["--dry-run", "--array-size", "5", "--timeout", "90", "ok.sh"]).ok();
    assert_eq!(plain.stderr, "");
}

#[story]
fn a_script_that_is_hardly_meant_gets_a_note() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run("bsub", ["--dry-run", "/bin/sh", "-c", "true"]).ok();
    assert!(outcome.stderr.contains("/bin/sh is a program of this machine"), "{outcome}");
    assert!(outcome.stderr.contains("`--command` runs the image's own /bin/sh"), "{outcome}");
    for words in [&["--dry-run", "--command", "/bin/sh"][..], &["--dry-run", "--script", "/bin/sh"]] {
        assert_eq!(sandbox.run("bsub", words).ok().stderr, "", "{words:?}");
    }
    sandbox.file("ok.sh", "#!/bin/sh\n");
    let behind = ["--dry-run", "ok.sh", "-I"];
    let seen = Terminal::new(200).run(&sandbox, "bsub", behind).ok();
    assert!(
        seen.screen().contains("-I comes after the script, so it is an argument of the script"),
        "{}",
        seen.screen()
    );
    assert_eq!(sandbox.run("bsub", behind).ok().stderr, "");
    let seen = Terminal::new(200).run(&sandbox, "bsub", ["--dry-run", "cat", "-I"]).ok();
    assert!(
        seen.screen().contains("-I comes after the command, so it is an argument of the command"),
        "{}",
        seen.screen()
    );
}

#[story]
fn a_standard_input_that_the_job_does_not_get_is_mentioned() {
    let sandbox = Sandbox::new();
    sandbox.file("data", "some\ndata\n");
    let output = |line: &str| {
        let outcome = sandbox.run("bash", ["-c", line]).ok();
        outcome.stderr.contains("the job does not get this standard input; `--stdin -` sends it with the job")
    };
    assert!(output("bsub -K --command cat < data"));
    assert!(output("mkfifo pipe; exec 3<>pipe; echo data >&3; bsub -K --command true <&3"));
    assert!(!output("mkfifo empty; exec 3<>empty; bsub -K --command true <&3"));
    assert!(!output("bsub -K --quiet --command cat < data"));
    assert!(!output("bsub -K --command cat < /dev/null"));
    assert!(!output("bsub -K --stdin - --command cat < data"));
    // A loop reads its list by itself.
    assert!(!output("while read -r line; do bsub --command echo \"$line\"; done < data"));
}

#[story]
fn stdin_reaches_the_job() {
    program("curl");
    let sandbox = Sandbox::new();
    sandbox.file("data", b"some\0data\xff\nand more\n");
    sandbox.file("read.sh", "#!/bin/sh\ncat\n[ ! -e .awsb ]\n");
    let bytes = b"some\0data\xff\nand more\n";
    let written = |outcome: &Outcome| outcome.stdout.clone();
    let expected = String::from_utf8_lossy(bytes).into_owned();
    let commands = [
        "bsub -I --stdin data read.sh 2>/dev/null",
        "bsub -I --stdin - read.sh < data 2>/dev/null",
        "cat data | bsub -I --stdin - read.sh 2>/dev/null",
        "bsub -I --stdin <(cat data) read.sh 2>/dev/null",
        "bsub -I --stdin data --command cat",
        "bsub -I --stdin data --wrap 'cat | cat'",
        "bsub -I --stdin data -w ./elsewhere read.sh 2>/dev/null",
        "bsub -I --stdin data -i data:in.txt -o in.txt read.sh 2>/dev/null",
    ];
    for line in commands {
        // The output of an array goes through lines of CloudWatch, which have no NUL. The bytes are
        // compared as hex.
        let outcome = sandbox.run("bash", ["-c", line]).ok();
        let shown = written(&outcome).replace('\0', "");
        assert_eq!(shown, expected.replace('\0', ""), "{line}: {outcome}");
    }
    // A plain command runs where it would without.
    let outcome = sandbox.run("bsub", ["-I", "--stdin", "data", "--wrap", "pwd; ls -A"]).ok();
    let without = sandbox.run("bsub", ["-I", "--wrap", "pwd; ls -A"]).ok();
    // The folder in which a job was unpacked goes with the job.
    let seen = |outcome: &Outcome| outcome.stdout.lines().filter(|line| !line.starts_with("awsb.")).count();
    assert_eq!(seen(&outcome), seen(&without), "{outcome} {without}");
    // Each task of an array reads the whole.
    let outcome = sandbox.run("bsub", ["-I", "-a", "3", "--stdin", "data", "--wrap", "wc -c"]).ok();
    assert_eq!(outcome.stdout.matches("20").count(), 3, "{outcome}");
    // An empty one is empty.
    let outcome = sandbox.run("bsub", ["-I", "--stdin", "/dev/null", "--wrap", "wc -c"]).ok();
    assert_eq!(outcome.stdout.trim(), "0", "{outcome}");
}

#[story]
fn a_large_stdin_goes_through_s3() {
    program("curl");
    let sandbox = Sandbox::new();
    let large: String = (0..700_000).map(|n| format!("{n:07}\n")).collect();
    sandbox.file("large", &large);
    sandbox.file("small", "x\n");
    let sum = sandbox.run("sh", ["-c", "cksum < large"]).ok().stdout;
    for line in [
        "bsub -I --stdin large --wrap cksum",
        "bsub -I --stdin large -i small --wrap 'cksum; cat small'",
        "bsub -I --stdin large -i small -w ./elsewhere --wrap 'cksum; cat small; [ ! -e .awsb ]'",
    ] {
        let outcome = sandbox.run("bash", ["-c", line]).ok();
        assert!(outcome.stdout.starts_with(&sum), "{line}: {outcome}");
        assert_eq!(outcome.stdout.ends_with("x\n"), line.contains("small"), "{line}: {outcome}");
    }
}

#[story]
fn blank_lines_and_comments_of_a_list_are_mentioned_or_left_out() {
    let sandbox = Sandbox::new();
    sandbox.file("words", "one\ntwo\n");
    let outcome = sandbox.run("bsub", ["--dry-run", "--each", "words", "true"]).ok();
    assert!(outcome.stderr.contains("all tasks run the same command"), "{outcome}");
    assert_eq!(sandbox.run("bsub", ["--dry-run", "--each", "words", "echo", "{}"]).ok().stderr, "");
    sandbox.file("list", "# samples\na\n\nb\n");
    let outcome = sandbox.run("bsub", ["--dry-run", "--each", "list", "echo", "{}"]).ok();
    let [note] = remarks(&outcome)[..] else { panic!("{outcome}") };
    assert_eq!(
        note,
        "bsub: note: --each: list: line 3 is blank, and is a task as well; line 1 is a comment (`#`), and \
         is a task as well; `--skip-comments` leaves such lines out"
    );
    let outcome =
        sandbox.run("bsub", ["-I", "--skip-comments", "--each", "list", "echo", "sample", "{}"]).ok();
    let mut lines: Vec<&str> = outcome.stdout.lines().filter_map(|line| line.split(": ").last()).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["sample a", "sample b"], "{outcome}");
    assert!(remarks(&outcome).is_empty(), "{outcome}");
}

#[story]
fn jobs_are_waited_for_by_their_name() {
    let sandbox = Sandbox::new();
    let until = "until [ -e \"$1/go\" ]; do sleep 0.05; done; exit \"$2\"";
    sandbox.file("until.sh", format!("#!/bin/sh\n{until}\n"));
    let work = sandbox.work().display().to_string();
    let submit = |words: &[&str]| sandbox.run("bsub", [&["--parsable"], words].concat()).ok().job_id();
    let none = sandbox.run("bsub", ["-d", "name:align", "true"]);
    assert!(none.failed_with(2).contains("you have no job named align in the queue local"), "{none}");
    let first = submit(&["-J", "align-1", "until.sh", &work, "0"]);
    let second = submit(&["-J", "align-2", "until.sh", &work, "0"]);
    submit(&["-J", "sort", "true"]);
    let depends = |id: &str| {
        let job = sandbox.run("bstat", ["--json", id]).ok().json();
        let mut ids: Vec<String> = job[0]["dependsOn"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|on| on["jobId"].as_str().unwrap_or_default().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let mut both = vec![first.clone(), second];
    both.sort();
    assert_eq!(depends(&submit(&["-d", "name:align-*", "true"])), both);
    assert_eq!(depends(&submit(&["-d", "name:align-1", "true"])), std::slice::from_ref(&first));
    sandbox.file("lsf.sh", "#!/bin/sh\n#BSUB -w 'done(\"align*\")'\ntrue\n");
    assert_eq!(depends(&submit(&["lsf.sh"])), both);
    // Blanks separate as commas do, and nothing is nothing.
    assert_eq!(depends(&submit(&["-d", &both.join(" "), "true"])), both);
    assert_eq!(depends(&submit(&["-d", "", "true"])), Vec::<String>::new());
    // The beginning of an ID is a name to LSF, unless it has only digits, as one of 43 has.
    let letter = first.find(|c: char| c.is_ascii_alphabetic()).expect("a letter in an ID");
    let beginning = &first[..=letter];
    sandbox.file("name.sh", format!("#!/bin/sh\n#BSUB -w 'done(\"{beginning}\")'\ntrue\n"));
    let outcome = sandbox.run("bsub", ["name.sh"]);
    assert!(outcome.failed_with(2).contains(&format!("you have no job named {beginning} in")), "{outcome}");
    sandbox.file("go", "");
    sandbox.run("bwait", both).ok();
    // A job that has succeeded just now is done. A job that has failed would make the new job fail.
    assert_eq!(depends(&submit(&["-d", "name:align-*", "true"])), Vec::<String>::new());
    let failed = submit(&["-J", "align-3", "until.sh", &work, "3"]);
    sandbox.run("bwait", [&failed]).ended_with(3);
    let outcome = sandbox.run("bsub", ["-d", "name:align-*", "true"]);
    assert!(
        outcome.failed_with(2).contains(&format!("includes {failed} (align-3), which FAILED")),
        "{outcome}"
    );
}

#[story]
fn more_dependencies_than_batch_takes_are_joined_by_a_line() {
    let sandbox = Sandbox::new();
    let ids: Vec<String> =
        (0..21).map(|_| sandbox.run("bsub", ["--parsable", "true"]).ok().job_id()).collect();
    let outcome = sandbox.run("bsub", ["-d", &ids.join(","), "--wrap", "echo all"]);
    assert!(outcome.failed_with(2).contains("at most 20 other jobs, not 21"), "{outcome}");
    let hints = outcome.hints();
    let line =
        hints.lines().find_map(|hint| hint.split_once(": ").filter(|(_, line)| line.starts_with("bsub")));
    let Some((_, line)) = line else { panic!("{outcome}") };
    let typed = line.replace(" …", " -I --wrap 'echo all'");
    let outcome = sandbox.run("bash", ["-c", &typed]).ok();
    assert_eq!(outcome.stdout, "all\n", "{typed}: {outcome}");
}

#[story]
fn what_can_never_fit_is_said_at_once() {
    let sandbox = Sandbox::new();
    for (words, says) in [
        (&["-p", "10000", "true"][..], "it needs 10000 vCPUs"),
        (&["-g", "16", "true"], "16 GPUs"),
        (&["-m", "900T", "true"], "921600 GiB"),
    ] {
        let outcome = sandbox.run("bsub", [&["--dry-run"], words].concat()).ok();
        let [warning] = remarks(&outcome)[..] else { panic!("{outcome}") };
        assert!(warning.contains("warning: the job can never run: ") && warning.contains(says), "{outcome}");
        assert!(outcome.stderr.contains("hint: "), "{outcome}");
        let outcome = sandbox.run("bsub", [&["--strict"], words].concat());
        assert!(outcome.failed_with(2).starts_with("the job can never run: "), "{outcome}");
    }
    // Where nothing says how many vCPUs a node has, its job definition does.
    let outcome = sandbox.run("bsub", ["--strict", "--quiet", "-n", "1000", "true"]);
    assert!(outcome.failed_with(2).contains("1000 nodes with 1 vCPU each"), "{outcome}");
    assert_eq!(sandbox.run("bsub", ["--dry-run", "-p", "1", "-m", "64M", "true"]).ok().stderr, "");
    assert_eq!(sandbox.run("bstat", ["-s", "ALL"]).ok().stdout.lines().count(), 1, "nothing was submitted");
}

#[story]
fn why_without_an_id_tells_of_my_jobs() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run("bstat", ["--why"]).ok();
    assert!(outcome.stderr.contains("you have no active jobs"), "{outcome}");
    let id = sandbox.run("bsub", ["--parsable", "-g", "16", "true"]).ok().job_id();
    let failed = sandbox.run("bsub", ["-K", "--parsable", "--wrap", "exit 3"]).ended_with(3);
    let failed_id = failed.stdout.trim().to_owned();
    assert!(failed.hints().contains(&format!("`bstat --why {failed_id}` tells why it failed")), "{failed}");
    let others = sandbox.run("sh", ["-c", "AWSB_USER=other bsub --parsable -g 16 true"]).ok().job_id();
    let outcome = eventually("the job is RUNNABLE", Duration::from_secs(60), || {
        let outcome = sandbox.run("bstat", ["--why"]).ok();
        outcome.stdout.contains(&format!("{id} (true) is RUNNABLE")).then_some(outcome)
    });
    assert!(outcome.stdout.contains(&format!("{failed_id} (wrap) FAILED")), "{outcome}");
    assert!(!outcome.stdout.contains(&others), "{outcome}");
    // On a terminal the lines break between words.
    let seen = Terminal::new(60).run(&sandbox, "bstat", ["--why"]).ok();
    let screen = seen.screen();
    assert!(screen.lines().all(|line| line.chars().count() <= 60), "{screen}");
    let words = |text: &str| text.split_whitespace().collect::<String>();
    let without_times = |text: &str| words(text).chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    assert_eq!(without_times(&screen), without_times(&outcome.stdout), "{screen}");
}

#[story]
fn an_input_that_reads_like_a_standard_input_is_mentioned() {
    let sandbox = Sandbox::new();
    sandbox.file("in.txt", "three\n");
    let output =
        "in.txt goes into the job's working directory; `--stdin in.txt` makes it the job's standard input";
    for words in [&["-i", "in.txt", "cat"][..], &["--input=in.txt", "cat"]] {
        let outcome = sandbox.run("bsub", [&["--dry-run"], words].concat()).ok();
        let [note] = remarks(&outcome)[..] else { panic!("{outcome}") };
        assert!(note.contains(output), "{outcome}");
    }
    for words in [
        &["-i", "in.txt", "cat", "in.txt"][..],
        &["-i", "in.txt:data", "cat"],
        &["-i", "in.txt", "--wrap", "cat *.txt"],
        &["--quiet", "-i", "in.txt", "cat"],
    ] {
        let dry = if words[0] == "--quiet" { &[][..] } else { &["--dry-run"] };
        let outcome = sandbox.run("bsub", [dry, words].concat()).ok();
        assert_eq!(remarks(&outcome), Vec::<&str>::new(), "{words:?}: {outcome}");
    }
    // The script names a file of its own for it.
    sandbox.file("job.sh", "#!/bin/sh\n#SBATCH --input=in.txt\ncat\n");
    let outcome = sandbox.run_with_input("bsub", ["-I", "job.sh"], b"other\n").ok();
    assert_eq!(outcome.stdout.lines().last(), Some("three"), "{outcome}");
    let [note] = remarks(&outcome)[..] else { panic!("{outcome}") };
    assert!(note.contains("its script names a file for that"), "{outcome}");
}

#[story]
fn variables_that_a_job_will_not_have_are_mentioned() {
    let sandbox = Sandbox::new();
    sandbox.file("plain.sh", "#!/bin/sh\necho $SLURM_JOB_ID $LSB_JOBINDEX\n");
    sandbox.file("slurm.sh", "#!/bin/sh\n#SBATCH -J x\necho $SLURM_JOB_ID\n");
    let outcome =
        sandbox.run("bsub", ["--dry-run", "--array", "1-3", "--wrap", "echo $SLURM_ARRAY_TASK_ID"]).ok();
    let [warning] = remarks(&outcome)[..] else { panic!("{outcome}") };
    assert!(warning.contains("warning: the job reads SLURM_ARRAY_TASK_ID"), "{outcome}");
    assert_eq!(outcome.hints(), "use AWSB_TASK_ID instead of SLURM_ARRAY_TASK_ID");
    let outcome = sandbox.run("bsub", ["--dry-run", "-a", "3", "plain.sh"]).ok();
    assert_eq!(outcome.stderr.matches("warning: ").count(), 2, "{outcome}");
    assert!(outcome.hints().contains("use AWS_BATCH_JOB_ARRAY_INDEX instead of LSB_JOBINDEX"), "{outcome}");
    assert!(outcome.hints().contains("`#SBATCH -J NAME` in the script's head"), "{outcome}");
    let outcome = sandbox.run("bsub", ["--strict", "plain.sh"]);
    assert!(outcome.failed_with(2).contains("the job reads SLURM_JOB_ID"), "{outcome}");
    for words in [&["slurm.sh"][..], &["-e", "SLURM_JOB_ID=1", "--wrap", "echo $SLURM_JOB_ID"]] {
        let outcome = sandbox.run("bsub", [&["--dry-run"], words].concat()).ok();
        assert_eq!(remarks(&outcome), Vec::<&str>::new(), "{words:?}: {outcome}");
    }
}

#[story]
fn a_job_that_waits_for_a_failed_one_is_mentioned() {
    let sandbox = Sandbox::new();
    let failed = sandbox.run("bsub", ["-K", "--parsable", "false"]).ended_with(1).stdout.trim().to_owned();
    let outcome = sandbox.run("bsub", ["-d", &failed, "true"]).ok();
    let [warning] = remarks(&outcome)[..] else { panic!("{outcome}") };
    assert!(warning.contains(&format!("{failed} (false) has FAILED")), "{outcome}");
    let outcome = sandbox.run("bsub", ["--strict", "-d", &failed, "true"]);
    assert!(outcome.failed_with(2).contains("a job that depends on it fails at once"), "{outcome}");
    // Jobs that do not exist, and the suggestions for them.
    let outcome = sandbox.run("bsub", ["-d", &format!("{failed}:3"), "true"]);
    assert!(
        outcome.failed_with(1).ends_with(&format!("the job {failed} (false) has no children")),
        "{outcome}"
    );
    let outcome = sandbox.run("bsub", ["-d", "single", "true"]);
    outcome.failed_with(1);
    assert!(outcome.hints().contains("`-d name:single`"), "{outcome}");
}

#[story]
fn all_that_is_wrong_with_a_script_is_said_at_once() {
    let sandbox = Sandbox::new();
    let head =
        "#!/bin/sh\n#SBATCH --input=gone.txt\n#SBATCH --begin=20:00\n#SBATCH -p local,b\n#SBATCH --mem=x\n";
    sandbox.file("job.sh", head);
    let outcome = sandbox.run("bsub", ["--strict", "job.sh"]).ended_with(2);
    let errors: Vec<&str> = outcome.stderr.lines().collect();
    let expected = [
        "line 2: `#SBATCH --input=gone.txt`: reading gone.txt: No such file or directory",
        "line 3: `#SBATCH --begin=20:00`",
        "line 4: `#SBATCH -p local,b`: Batch takes one queue",
        "line 5: `#SBATCH --mem=x`",
    ];
    assert_eq!(errors.len(), expected.len(), "{outcome}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.starts_with("bsub: error: job.sh, ") && error.contains(expected), "{outcome}");
    }
    // A directive that the command line overrides is not mentioned.
    sandbox.file("queues.sh", "#!/bin/sh\n#SBATCH -p local,b\n");
    assert_eq!(sandbox.run("bsub", ["--dry-run", "-q", "local", "queues.sh"]).ok().stderr, "");
    assert!(sandbox.run("bsub", ["--dry-run", "queues.sh"]).ok().stderr.contains("the first is used"));
}

#[story]
fn a_queue_that_a_script_names_and_that_does_not_exist_is_named_with_its_line() {
    let sandbox = Sandbox::new();
    sandbox.file("normal.sh", "#!/bin/sh\n#SBATCH -p normal\ntrue\n");
    let outcome = sandbox.run("bsub", ["normal.sh"]);
    assert!(outcome.failed_with(1).contains("JobQueue normal not found"), "{outcome}");
    let hint = "normal.sh, line 2: `#SBATCH -p normal` names the queue; `bsub -q NAME` overrides this line";
    assert!(outcome.hints().contains(hint), "{outcome}");
    sandbox.run("bsub", ["-q", "local", "normal.sh"]).ok();
}

#[story]
fn the_id_of_a_job_is_not_lost_with_a_closed_standard_output() {
    let sandbox = Sandbox::new();
    let closed = sandbox.run("sh", ["-c", "bsub true >&-"]).ok();
    let [note] = remarks(&closed)[..] else { panic!("{closed}") };
    let id = sandbox.run("bstat", ["--no-header", "last"]).ok();
    let id = id.stdout.split_whitespace().nth(2).unwrap_or_default().to_owned();
    assert!(note.contains("standard output is closed") && note.contains(&id), "{closed}");
    let discarded = sandbox.run("sh", ["-c", "bsub true >/dev/null"]).ok();
    assert_eq!(discarded.stderr, "", "{discarded}");
    let quiet = sandbox.run("bsub", ["--quiet", "--parsable", "true"]).ok();
    assert_eq!((quiet.stdout.lines().count(), quiet.stderr.as_str()), (1, ""), "{quiet}");
}
