//! Files that a job takes along: they arrive as they are, and large ones arrive once.

use std::fs::{File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use awsb_testkit::{
    Answer, BadServer, Gate, Running, Sandbox, behind_a_gate, eventually, program, python, story,
};
use nix::sys::signal::Signal;

const MIB: u64 = 1 << 20;

/// A file of so many bytes that takes no room on the disk.
fn large(sandbox: &Sandbox, name: &str, size: u64) {
    File::create(sandbox.work().join(name)).and_then(|file| file.set_len(size)).expect("a large file");
}

/// The multipart uploads that have not ended, as the AWS CLI sees them.
fn uploads_left(sandbox: &Sandbox) -> usize {
    let aws = python().join("bin/aws").display().to_string();
    let listed = sandbox
        .run(&aws, ["s3api", "list-multipart-uploads", "--bucket", "awsb-local", "--output", "json"])
        .ok();
    if listed.stdout.trim().is_empty() {
        return 0;
    }
    listed.json()["Uploads"].as_array().map_or(0, Vec::len)
}

#[story]
fn files_and_directories_are_in_the_working_directory() {
    let sandbox = Sandbox::new();
    sandbox.file("data/in/a b.txt", "one\n");
    sandbox.file("data/.hidden", "two\n");
    sandbox.file("data/skip.log", "no\n");
    sandbox.file("data/.bsubignore", "*.log\n.bsubignore\n");
    sandbox.file("tool", "#!/bin/sh\necho \"the tool has $1\"\n");
    std::fs::set_permissions(sandbox.work().join("tool"), Permissions::from_mode(0o750)).expect("its mode");
    std::fs::create_dir(sandbox.work().join("data/empty")).expect("a directory");
    symlink("../tool", sandbox.work().join("data/link")).expect("a link");
    let script = "find . -type f -o -type d | sort; cat 'd/in/a b.txt' d/.hidden; ./tool it; \
                  stat -c '%a %F' tool d/link\n";
    sandbox.file("job.sh", script);
    let expected = ".\n./d\n./d/.hidden\n./d/empty\n./d/in\n./d/in/a b.txt\n./d/link\n./job.sh\n./tool\n\
                    one\ntwo\nthe tool has it\n750 regular file\n750 regular file\n";
    let args = ["-I", "-i", "data:d", "-i", "tool", "-i", "job.sh", "job.sh"];
    assert_eq!(sandbox.run("bsub", args).ok().stdout, expected);
    // The same where the job runs in a directory of its user's choice, where the script is not.
    let place = sandbox.work().join("place");
    let args = ["-I", "-i", "data:d", "-i", "tool", "-w", place.to_str().expect("UTF-8"), "job.sh"];
    assert_eq!(sandbox.run("bsub", args).ok().stdout, expected.replace("./job.sh\n", ""));
    // And for a command.
    let output = sandbox.run("bsub", ["-I", "-i", "data/", "--wrap", "cat data/.hidden"]).ok();
    assert_eq!(output.stdout, "two\n");
}

#[story]
fn the_current_directory_can_come_along() {
    let sandbox = Sandbox::new();
    sandbox.file("job.sh", "cat a/b; ls\n");
    sandbox.file("a/b", "content\n");
    assert_eq!(sandbox.run("bsub", ["-I", "-i", ".", "job.sh"]).ok().stdout, "content\na\njob.sh\n");
}

#[story]
fn what_cannot_come_along_is_said_before_anything_is_sent() {
    let sandbox = Sandbox::new();
    sandbox.file("a/x", "1");
    sandbox.file("b/x", "2");
    for (args, message) in [
        (["-i", "a/x", "-i", "b/x"].as_slice(), "a/x and b/x would both be x in the job's working directory"),
        (&["-i", "none"], "reading the input none: No such file or directory"),
        (&["-i", "a:../b"], "the name ../b leads out of the job's working directory"),
        (&["-o", "/etc/*"], "patterns are for files below the job's working directory"),
    ] {
        let outcome = sandbox.run("bsub", args.iter().chain(&["true"]));
        assert!(outcome.failed_with(2).contains(message), "{outcome}");
    }
    assert!(!sandbox.local_home().join("objects").exists(), "the local cluster was started");
}

#[story]
fn a_file_that_an_argument_names_is_not_forgotten_in_silence() {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "");
    sandbox.file("data/x y", "");
    let bsub = |args: &[&str]| sandbox.run("bsub", args).ok().stderr;
    let note = "bsub: note: train.py is a file here, but not in the job; to send it with the job, add `-i train.py`\n";
    assert_eq!(bsub(&["echo", "train.py", "/bin/sh"]), note);
    assert_eq!(bsub(&["-i", "train.py", "echo", "train.py"]), "");
    let message = bsub(&["echo", "data/x y"]);
    assert!(message.ends_with("add `-i 'data/x y:data/x y'`\n"), "{message}");
    assert_eq!(bsub(&["-i", "data/x y:data/x y", "echo", "data/x y"]), "");
}

#[story]
fn a_program_for_another_system_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.file("tool", b"\xcf\xfa\xed\xfe\x0c\0\0\x01\0\0\0\0\x02\0\0\0");
    let outcome = sandbox.run("bsub", ["tool"]);
    assert_eq!(outcome.failed_with(2), "the script tool is a program for macOS, and jobs run on Linux");
    assert!(outcome.hints().contains("build it for Linux"), "{outcome}");
}

/// Anything above 100 MiB would mean that inputs are in memory: the content is larger than that.
#[cfg(target_os = "linux")]
#[story]
fn large_inputs_stream_and_go_up_once() {
    // The job fetches what does not fit into its bundle.
    program("curl");
    let (sandbox, gate) = behind_a_gate(0, "");
    large(&sandbox, "data", 160 * MIB);
    let bsub = ["-I", "-i", "data", "--wrap", "stat -c %s data; ls"];
    let first = sandbox.start("bsub", bsub);
    gate.wait_until_closed(1);
    gate.open();
    let mut peak = 0;
    awsb_testkit::eventually("the parts are stored", std::time::Duration::from_secs(120), || {
        peak = peak.max(memory_kib(first.pid().as_raw()).unwrap_or(0));
        (gate.parts().len() == 21).then_some(())
    });
    let outcome = first.wait().ok();
    assert_eq!(outcome.stdout, "167772160\ndata\n", "{outcome}");
    assert!(outcome.stderr.lines().count() == 1, "no bar without a terminal: {outcome}");
    assert!((1..100 * 1024).contains(&peak), "{peak} KiB");
    assert_eq!(sandbox.run("bsub", bsub).ok().stdout, outcome.stdout);
    assert_eq!(gate.parts(), (1..=21).collect::<Vec<_>>(), "it was there the second time");
}

/// The memory that a process has just now, mapped files among it, without the pages of its own
/// program and libraries, which are there once for all tools (`proc_pid_smaps(5)`).
#[cfg(target_os = "linux")]
fn memory_kib(pid: i32) -> Option<u64> {
    let mappings = std::fs::read_to_string(format!("/proc/{pid}/smaps")).ok()?;
    let (mut is_program, mut sum) = (false, 0);
    for line in mappings.lines() {
        let mut words = line.split_whitespace();
        match words.next()? {
            "Rss:" if !is_program => sum += words.next()?.parse::<u64>().ok()?,
            // A mapping begins: its addresses, permissions, offset, device, inode, and the file.
            range if range.contains('-') => {
                let file = words.nth(4).unwrap_or_default();
                is_program = file.ends_with("/awsb") || file.contains(".so");
            }
            _ => {}
        }
    }
    Some(sum)
}

/// Starts an upload of 10 parts and returns when as many are stored as the gate lets through.
fn begun(sandbox: &Sandbox, gate: &Gate) -> Running {
    large(sandbox, "data", 80 * MIB - 1536);
    let bsub = sandbox.start("bsub", ["-I", "-i", "data", "--wrap", "stat -c %s data"]);
    // Four are on their way at once.
    gate.wait_until_closed(4);
    bsub
}

#[story]
fn an_upload_that_was_killed_goes_on_where_it_was() {
    // The job fetches what does not fit into its bundle.
    program("curl");
    let (sandbox, gate) = behind_a_gate(3, "");
    begun(&sandbox, &gate).signal(Signal::SIGKILL);
    // Which three of the first four come first, nobody decides.
    let stored = gate.parts();
    assert!(stored.len() == 3 && stored.iter().all(|part| (1..=4).contains(part)), "{stored:?}");
    assert_eq!(uploads_left(&sandbox), 1);
    gate.open();
    let again = sandbox.run("bsub", ["-I", "-i", "data", "--wrap", "stat -c %s data"]).ok();
    assert_eq!(again.stdout, "83884544\n");
    assert_eq!(gate.parts(), (1..=10).collect::<Vec<_>>(), "no part is sent twice");
    assert_eq!(uploads_left(&sandbox), 0);
}

#[story]
fn an_interrupted_upload_says_how_it_goes_on() {
    let (sandbox, gate) = behind_a_gate(2, "");
    let bsub = begun(&sandbox, &gate);
    bsub.signal(Signal::SIGINT);
    let outcome = bsub.wait();
    let message = outcome.failed_with(130);
    assert_eq!(message, "interrupted: of the inputs, 16 of 80 MiB are stored, and no job was submitted");
    assert_eq!(outcome.hints(), "the same command sends the rest");
    assert_eq!(sandbox.run("bstat", ["-s", "ALL", "--json"]).ok().json().as_array().map(Vec::len), Some(0));
}

#[story]
fn ctrl_c_counts_while_the_parts_are_put_together() {
    let server = BadServer::start(|request, _| match (request.method.as_str(), request.target.as_str()) {
        ("HEAD", _) => Answer::Http(404, String::new(), Vec::new()),
        ("GET", _) => Answer::s3_error(403, "AccessDenied", "no"),
        ("POST", target) if target.contains("uploads") => Answer::Http(
            200,
            "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>".into(),
            vec![("content-type", "application/xml".into())],
        ),
        ("PUT", _) => Answer::stored(),
        _ => Answer::Hang,
    });
    let sandbox = Sandbox::at(&server.endpoint());
    large(&sandbox, "data", 20 * MIB);
    let bsub = sandbox.start("bsub", ["-i", "data", "--wrap", "cksum data"]);
    eventually("the parts are put together", Duration::from_secs(60), || {
        server.requests("s3").iter().find(|r| r.method == "POST" && r.target.contains("uploadId=")).map(drop)
    });
    bsub.signal(Signal::SIGINT);
    let outcome = bsub.wait();
    assert!(outcome.failed_with(130).contains("no job was submitted"), "{outcome}");
    assert!(server.requests("submitjob").is_empty());
}

#[story]
fn two_that_send_the_same_at_once_both_succeed() {
    // The job fetches what does not fit into its bundle.
    program("curl");
    let (sandbox, gate) = behind_a_gate(2, "");
    let slow = begun(&sandbox, &gate);
    // It takes the other's upload up, and ends it under the other's feet.
    let args = ["--cluster", "local", "-I", "-i", "data", "--wrap", "stat -c %s data"];
    assert_eq!(sandbox.run("bsub", args).ok().stdout, "83884544\n");
    gate.open();
    assert_eq!(slow.wait().ok().stdout, "83884544\n");
    assert_eq!(uploads_left(&sandbox), 0);
}

#[story]
fn inputs_that_change_meanwhile_are_named_and_not_used() {
    let (sandbox, gate) = behind_a_gate(1, "");
    let bsub = begun(&sandbox, &gate);
    large(&sandbox, "data", 80 * MIB - 1535);
    gate.open();
    let outcome = bsub.wait();
    assert_eq!(outcome.failed_with(1), "reading the input data: it has changed while it was read");
    assert_eq!(uploads_left(&sandbox), 0);
    assert!(Path::new(&sandbox.work().join("data")).exists());
}

/// Scripts and plain commands alike, single and in arrays, run where they are told to.
#[story]
fn a_job_runs_where_it_is_told_to() {
    let sandbox = Sandbox::new();
    let work = sandbox.work().canonicalize().expect("the working folder");
    let place = work.join("a place");
    let there = place.to_str().expect("UTF-8");
    sandbox.file("where.sh", "#!/bin/sh\npwd; ls\n");
    assert_eq!(sandbox.run("bsub", ["-I", "-w", there, "pwd"]).ok().stdout, format!("{there}\n"));
    assert_eq!(sandbox.run("bsub", ["-I", "-w", there, "--wrap", "pwd"]).ok().stdout, format!("{there}\n"));
    // The script itself is elsewhere: others may be at work in the same place.
    assert_eq!(sandbox.run("bsub", ["-I", "-w", there, "where.sh"]).ok().stdout, format!("{there}\n"));
    let outcome = sandbox.run("bsub", ["-I", "-a", "2", "-w", there, "pwd"]).ok();
    assert_eq!(outcome.stdout.matches(there).count(), 2, "{outcome}");
    for what in [&["pwd"][..], &["where.sh"], &["-i", "where.sh:there", "where.sh"]] {
        let id = sandbox
            .run("bsub", [&["-K", "--parsable", "--parent-working-dir", there], what].concat())
            .ok()
            .job_id();
        let message = sandbox.run("bout", [&id]).ok().stdout;
        assert_eq!(message.lines().next(), Some(format!("{there}/job-{id}").as_str()), "{message}");
        assert_eq!(message.contains("\nthere\n"), what.len() > 1, "{message}");
    }
    // One that cannot be made is said.
    let outcome = sandbox.run("bsub", ["-I", "-w", "/proc/nowhere", "pwd"]).ended_with(126);
    assert!(outcome.stdout.contains("cannot make the working directory /proc/nowhere"), "{outcome}");
}

/// A dry run names the inputs that would be objects of their own, and does not upload them.
#[story]
fn a_dry_run_tells_of_large_inputs() {
    let sandbox = Sandbox::new();
    sandbox.file("large", vec![7; 5 << 20]);
    let shown = sandbox.run("bsub", ["--dry-run", "-i", "large", "true"]).ok().json();
    let operations: Vec<&str> = (0..).map_while(|n| shown[n]["operation"].as_str()).collect();
    assert_eq!(operations, ["PutObject", "CompleteMultipartUpload", "SubmitJob"], "{shown}");
    let object = &shown[1]["request"];
    assert!(object["ContentLength"].as_u64() > Some(5 << 20), "{object}");
    let environment = shown[2]["request"]["containerOverrides"]["environment"].to_string();
    assert!(environment.contains(object["Key"].as_str().expect("a key")), "{object} in {environment}");
}
