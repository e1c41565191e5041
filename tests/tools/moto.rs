//! The same binaries against a server that we did not write: moto, whose jobs run in containers of
//! a Docker engine, on an image that has busybox and nothing else.
//!
//! The SubmitJob requests that moto really received are read from its own recording and through the
//! `aws` CLI. `support/moto_cluster.py` lists the differences between moto and AWS. Three of them
//! show here: lines reach the log when the container has ended, white space at their ends is gone,
//! and DescribeJobs returns no exit code.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;

use awsb_testkit::{Moto, MotoCluster, Outcome, Sandbox, eventually, story};

/// A cluster for one test; `None` where containers cannot be had, which has been said.
fn cluster(name: &str) -> MotoCluster {
    Moto::with_containers().cluster(name)
}

/// Waits until the job has ended; returns its output.
#[track_caller]
fn output(sandbox: &Sandbox, submitted: &Outcome) -> String {
    sandbox.run("bout", ["-f", &submitted.job_id()]).ok().stdout
}

/// The job as boto3's model of Batch sees it.
#[track_caller]
fn described(sandbox: &Sandbox, id: &str) -> Value {
    let answer = sandbox.run("aws", ["batch", "describe-jobs", "--jobs", id]).ok().json();
    answer["jobs"][0].clone()
}

/// The variables of a recorded SubmitJob request.
fn variables(request: &Value) -> Vec<(&str, &str)> {
    let list = request["containerOverrides"]["environment"].as_array().map_or(&[][..], Vec::as_slice);
    list.iter().map(|v| (v["name"].as_str().unwrap(), v["value"].as_str().unwrap())).collect()
}

#[story]
fn a_script_runs_with_its_arguments_exactly_as_they_are() {
    let cluster = cluster("script");
    let sandbox = cluster.sandbox();
    sandbox
        .file("hello.sh", "#!/bin/sh\nfor a; do printf '<%s>\\n' \"$a\"; done\necho \"$0 on stderr\" >&2\n");
    let args = ["hello.sh", "two words", "", "*", "$HOME", "it's \"quoted\"", "Ref::nobody", "-K", "ü"];

    let submitted = sandbox.run("bsub", args).ok();
    let id = submitted.job_id();
    assert_eq!(submitted.stdout, format!("Job {id} (hello-sh) has been submitted.\n"));

    let output = output(&sandbox, &submitted);
    let lines: Vec<&str> = output.lines().filter(|line| line.starts_with('<')).collect();
    assert_eq!(
        lines,
        ["<two words>", "<>", "<*>", "<$HOME>", "<it's \"quoted\">", "<Ref::nobody>", "<-K>", "<ü>"]
    );
    assert!(output.lines().any(|line| line == "./hello.sh on stderr"), "{output}");
}

#[story]
fn a_commands_arguments_are_never_read_by_a_shell() {
    let cluster = cluster("command");
    let sandbox = cluster.sandbox();
    // Batch takes these as they are, and nothing goes to S3.
    let plain = ["-J", "plain", "printf", "<%s>\\n", "a  b", "*", "$HOME", "it's", "\"", "\\", "; echo no"];
    let submitted = sandbox.run("bsub", plain).ok();
    assert_eq!(output(&sandbox, &submitted), "<a  b>\n<*>\n<$HOME>\n<it's>\n<\">\n<\\>\n<; echo no>\n");
    let request = &cluster.requests("submitjob")[0];
    let command = request["containerOverrides"]["command"].as_array().cloned().unwrap_or_default();
    assert_eq!(command[..2], json!(["/bin/sh", "-c"]).as_array().cloned().unwrap_or_default());
    assert_eq!(json!(command[4..]), json!(plain[2..]));

    // Batch refuses an empty argument and replaces `Ref::x`: these arrive all the same.
    let awkward = ["-J", "awkward", "printf", "<%s>\\n", "", "Ref::x", "two\nlines", "'", "$(echo no)"];
    let submitted = sandbox.run("bsub", awkward).ok();
    assert_eq!(output(&sandbox, &submitted), "<>\n<Ref::x>\n<two\nlines>\n<'>\n<$(echo no)>\n");

    let objects =
        cluster.aws_sandbox().run("aws", ["s3api", "list-objects-v2", "--bucket", &cluster.part("bucket")]);
    assert!(objects.ok().json()["Contents"].is_null(), "a command alone needs no bundle");
}

/// Its HEAD tells less of an object than S3's: nothing is taken for damaged because of that.
#[story]
fn what_is_there_is_not_sent_again() {
    let cluster = Moto::without_containers().cluster("there");
    let sandbox = cluster.sandbox();
    let lines = |count: u32| -> String {
        (0..count).map(|n| format!("# {}\n", n.wrapping_mul(2_654_435_761))).collect()
    };
    sandbox.file("data", lines(900_000));
    for (name, count) in [("small.sh", 1), ("fetched.sh", 2_000), ("large.sh", 100_000)] {
        sandbox.file(name, lines(count));
        for is_first in [true, false] {
            let args = ["--debug", "-i", "data", name];
            let trace = sandbox.run("bsub", args).ok().stderr;
            // Parts, and what begins and ends an upload; a put without a condition.
            let sent = trace.lines().filter(|line| line.starts_with("> ") && line.contains("upload")).count();
            let is_new = is_first && name == "small.sh";
            assert_eq!(sent > 0, is_new, "{name} {trace}");
            let puts =
                trace.lines().filter(|line| line.starts_with("> PUT ") && line.contains(".tar.gz")).count();
            let expected = usize::from(is_first || name != "large.sh");
            assert_eq!(puts, expected, "{name} {trace}");
        }
    }
}

#[story]
fn a_shell_command_line_and_a_script_on_stdin() {
    let cluster = cluster("wrap");
    let sandbox = cluster.sandbox();
    let wrapped = sandbox.run("bsub", ["--wrap", "printf 'b\\na\\n' | sort; echo $((6 * 7))"]).ok();
    let stdin = sandbox.run_with_input("bsub", [] as [&str; 0], "echo \"from stdin, $#\"\n").ok();
    assert!(stdin.stdout.contains(" (STDIN) "), "{stdin}");
    assert_eq!(output(&sandbox, &wrapped), "a\nb\n42\n");
    assert_eq!(output(&sandbox, &stdin), "from stdin, 0\n");
}

#[story]
fn waiting_and_watching() {
    let cluster = cluster("waiting");
    let sandbox = cluster.sandbox();
    sandbox.file("end.sh", "echo \"ends with $1\"\nexit $1\n");

    // Three jobs at a time; each takes moto some seconds.
    let fine = sandbox.start("bsub", ["-K", "end.sh", "0"]);
    let failing = sandbox.start("bsub", ["-K", "end.sh", "7"]);
    let watched = sandbox.run("bsub", ["-I", "end.sh", "0"]).ok();
    assert_eq!(watched.stdout, "ends with 0\n", "stdout is the job's alone");

    let fine = fine.wait().ok();
    assert_eq!(fine.stdout, "");
    // moto's DescribeJobs knows no exit code; its ListJobs does.
    let failing = failing.wait().ended_with(7);
    assert!(failing.stderr.contains("FAILED"), "{failing}");
    assert!(failing.stderr.contains("hint: `bout "), "{failing}");
    let messages = sandbox.run("bstat", ["-s", "FAILED,SUCCEEDED", "--json"]).ok().json();
    let ids = messages.as_array().into_iter().flatten().filter_map(|job| job["jobId"].as_str());
    let outcome = sandbox.run("bwait", ids).ended_with(7);
    assert_eq!(outcome.stdout.lines().count(), 3, "{outcome}");
}

#[story]
fn what_is_asked_of_batch_is_what_was_said() {
    let cluster = cluster("request");
    let mut sandbox = cluster.sandbox();
    sandbox.set("HANDED_ON", "from the shell");
    let submitted = sandbox
        .run(
            "bsub",
            [
                "-J",
                "my_job-1",
                "-p",
                "2",
                "-m",
                "1G",
                "-t",
                "90m",
                "-r",
                "3",
                "-a",
                "2",
                "-e",
                "A=1,2\n3=",
                "-e",
                "HANDED_ON",
                "--parsable",
                "env",
            ],
        )
        .ok();
    assert_eq!(submitted.stdout, format!("{}\n", submitted.job_id()), "--parsable: the ID alone");

    let requests = cluster.requests("submitjob");
    let [request] = requests.as_slice() else { panic!("submitted once: {requests:?}") };
    assert_eq!(request["jobName"], "my_job-1");
    assert_eq!(request["jobQueue"], "request");
    assert_eq!(request["jobDefinition"], "request");
    assert_eq!(request["timeout"], json!({ "attemptDurationSeconds": 5400 }));
    assert_eq!(request["retryStrategy"], json!({ "attempts": 3 }));
    assert_eq!(request["arrayProperties"], json!({ "size": 2 }));
    let overrides = &request["containerOverrides"];
    assert_eq!(overrides["command"], json!(["env"]));
    assert_eq!(
        overrides["resourceRequirements"],
        json!([{ "type": "VCPU", "value": "2" }, { "type": "MEMORY", "value": "1024" }])
    );
    let variables = variables(request);
    assert_eq!(variables[..2], [("A", "1,2\n3="), ("HANDED_ON", "from the shell")]);
    let own = &variables[2..];
    assert!(
        matches!(own, [("AWSB_USER", "tester"), ("AWSB_SUBMISSION", mark)] if mark.len() == 36),
        "{variables:?}"
    );
    // Deprecated, and not to be sent beside resourceRequirements.
    assert!(overrides["vcpus"].is_null() && overrides["memory"].is_null(), "{overrides}");

    // And as another client sees the job: boto3's names, boto3's types.
    let child = format!("{}:0", submitted.job_id());
    let job = described(&cluster.aws_sandbox(), &child);
    assert_eq!(job["jobName"], "my_job-1");
    assert_eq!(job["container"]["command"], json!(["env"]));
    assert_eq!(job["timeout"]["attemptDurationSeconds"], 5400);

    let output = sandbox.run("bout", ["-f", &child]).ok().stdout;
    assert!(output.contains("A=1,2\n3=\n"), "{output}");
    assert!(output.contains("HANDED_ON=from the shell\n"), "{output}");
    assert!(output.contains("FROM_THE_DEFINITION=yes\n"), "{output}");
}

#[story]
fn a_bundle_is_stored_once_under_its_sha_256() {
    let cluster = cluster("bundle");
    let (sandbox, aws) = (cluster.sandbox(), cluster.aws_sandbox());
    let script = format!("echo content\n{}", "# more than a request has as text\n".repeat(300));
    sandbox.file("job.sh", &script);
    let first = sandbox.run("bsub", ["job.sh"]).ok();
    sandbox.run("bsub", ["-J", "another", "job.sh", "with", "arguments"]).ok();

    let bucket = cluster.part("bucket");
    let listed = aws.run("aws", ["s3api", "list-objects-v2", "--bucket", &bucket]).ok().json();
    let keys: Vec<&str> =
        listed["Contents"].as_array().unwrap().iter().map(|object| object["Key"].as_str().unwrap()).collect();
    let [key] = keys.as_slice() else { panic!("the same content, stored once: {keys:?}") };

    let copy = aws.work().join("bundle.tar.gz");
    aws.run("aws", ["s3", "cp", "--quiet", &format!("s3://{bucket}/{key}"), copy.to_str().unwrap()]).ok();
    let digest = hex::encode(Sha256::digest(std::fs::read(&copy).unwrap()));
    assert_eq!(*key, format!("awsb/bundles/{digest}.tar.gz"));
    let unpacked = aws.run("tar", ["-xOzf", copy.to_str().unwrap(), "job.sh"]).ok();
    assert_eq!(unpacked.stdout, script);

    // It also travels inside the request: this image could not have fetched it.
    assert_eq!(output(&sandbox, &first), "content\n");
}

#[story]
fn a_bundle_too_large_for_the_request_says_what_the_image_lacks() {
    let cluster = cluster("large");
    let sandbox = cluster.sandbox();
    // Nothing that gzip could make small: a chain of hashes.
    let noise: Vec<String> =
        (0..400u32).map(|n| format!("# {:?}\n", Sha256::digest(n.to_le_bytes()))).collect();
    sandbox.file("large.sh", format!("#!/bin/sh\necho never\n{}", noise.concat()));
    let ended = sandbox.run("bsub", ["-I", "large.sh"]).ended_with(126);
    assert!(ended.stdout.starts_with("awsb: cannot fetch s3://"), "the job's log says why: {ended}");
    assert!(!ended.stdout.contains("never"), "{ended}");
}

#[story]
fn bstat_shows_what_became_of_the_jobs() {
    let cluster = cluster("bstat");
    let sandbox = cluster.sandbox();
    let nothing = sandbox.run("bstat", [] as [&str; 0]).ok();
    assert_eq!(nothing.stdout.lines().count(), 1, "a header: {nothing}");

    let good = sandbox.start("bsub", ["-K", "--parsable", "-J", "good", "true"]);
    let bad = sandbox.run("bsub", ["-K", "--parsable", "-J", "bad", "--wrap", "exit 3"]).ended_with(3);
    let good = good.wait().ok();
    let (good, bad) = (good.stdout.trim(), bad.stdout.trim());

    let table = sandbox.run("bstat", ["-s", "ALL"]).ok().stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["jobId", "jobName", "status", "startedAt", "stoppedAt", "exitCode"]);
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows.iter().all(|row| row.len() == 6), "no cell is empty or holds a blank: {table}");
    let row = |id: &str| rows.iter().find(|row| row[0] == id).unwrap_or_else(|| panic!("no {id} in {table}"));
    // ListJobs has the exit code, even moto's.
    assert_eq!([row(good)[1], row(good)[2], row(good)[5]], ["good", "SUCCEEDED", "0"]);
    assert_eq!([row(bad)[1], row(bad)[2], row(bad)[5]], ["bad", "FAILED", "3"]);

    let active = sandbox.run("bstat", [] as [&str; 0]).ok();
    assert_eq!(active.stdout.lines().count(), 1, "both have ended: {active}");

    let details = sandbox.run("bstat", [bad]).ok().stdout;
    assert!(
        details.lines().any(|line| line.split(" : ").map(str::trim).eq(["status", "FAILED"])),
        "{details}"
    );

    let json = sandbox.run("bstat", ["--json", bad, good]).ok().json();
    assert_eq!([&json[0]["jobId"], &json[1]["jobId"]], [bad, good], "in the order asked for");
    assert_eq!(json[0]["status"], "FAILED");
    assert!(json[1]["stoppedAt"].is_i64(), "times as AWS gives them: {json}");
}

#[story]
fn bkill_ends_a_job_and_its_container() {
    let cluster = cluster("bkill");
    let sandbox = cluster.sandbox();
    let submitted = sandbox.run("bsub", ["-J", "endless", "sleep", "600"]).ok();
    let id = submitted.job_id();
    let status = |id: &str| sandbox.run("bstat", ["--json", id]).ok().json()[0]["status"].clone();
    eventually("the job is RUNNING", Duration::from_secs(60), || (status(&id) == "RUNNING").then_some(()));

    sandbox.run("bkill", ["-r", "enough", &id]).ok();
    eventually("the job is FAILED", Duration::from_secs(60), || (status(&id) == "FAILED").then_some(()));
    let job = described(&cluster.aws_sandbox(), &id);
    assert_eq!(job["statusReason"], "enough");

    // One that has ended already is no error; one that never was is.
    sandbox.run("bkill", [&id]).ok();
    let nobody = "00000000-0000-4000-8000-000000000000";
    let message = sandbox.run("bkill", [nobody]).failed_with(1);
    assert!(message.contains(nobody), "{message}");
}

#[story]
fn what_the_account_does_not_have_is_named_before_anybody_waits() {
    let cluster = cluster("missing");
    let sandbox = cluster.sandbox();
    sandbox.file("job.sh", "true\n".repeat(2000));

    let queue = sandbox.run("bsub", ["-q", "no-such-queue", "job.sh"]);
    assert!(queue.failed_with(1).contains("no-such-queue"), "{queue}");
    assert_ne!(queue.hints(), "", "what to do next: {queue}");

    let bucket = cluster.part("bucket");
    sandbox.config(&cluster.config().replace(&bucket, "awsb-no-such-bucket"));
    let missing = sandbox.run("bsub", ["job.sh"]);
    assert!(missing.failed_with(1).contains("awsb-no-such-bucket"), "{missing}");
    assert_ne!(missing.hints(), "", "what to do next: {missing}");
    assert_eq!(cluster.requests("submitjob"), [] as [Value; 0], "nothing was submitted without its bundle");

    let nobody = "00000000-0000-4000-8000-000000000000";
    for tool in ["bstat", "bout", "bkill"] {
        let unknown = sandbox.run(tool, [nobody]);
        assert!(unknown.failed_with(1).contains(nobody), "{unknown}");
    }
}
