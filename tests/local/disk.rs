//! A disk that takes no more: what is said, what goes on, and that nothing is lost.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_batch::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_batch::types::JobStatus;
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use awsb_testkit::local::{Cluster, kill, lives, notes, sh, until};
use awsb_testkit::{SmallDisk, program_built, story};

/// The time limit of each step. A step takes milliseconds; the machine may be busy.
const SOON: Duration = Duration::from_secs(20);

/// One of the tools, at the local cluster of a home.
fn tool(home: &Path, tool: &str, arguments: &[&str]) -> Output {
    let begun = Instant::now();
    let output = Command::new(program_built(tool))
        .args(arguments)
        .env("AWSB_LOCAL_HOME", home)
        .env("AWSB_CLUSTER", "local")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(begun.elapsed() < SOON, "{tool} {arguments:?} took {:?}: {output:?}", begun.elapsed());
    output
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// It failed, and said so with the path, what is free and what to do.
#[track_caller]
fn assert_told(output: &Output, home: &Path, what: &str) {
    let report = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{report}");
    for part in [what, &home.display().to_string(), "bytes are free", "AWSB_LOCAL_HOME"] {
        assert!(report.contains(part), "{part:?} is not in: {report}");
    }
}

/// A job that runs until a file is there.
fn until_there(file: &Path) -> awsb_testkit::local::Job {
    sh(&format!("while [ ! -e {} ]; do sleep 0.01; done; echo ended", file.display()))
}

#[story]
async fn on_a_full_disk_ends_are_kept_and_nothing_new_is_begun() {
    let disk = SmallDisk::new("size=8m");
    let outside = tempfile::tempdir().unwrap();
    let go = outside.path().join("go");
    let cluster = Cluster::within(disk.path());
    cluster.ok(&["start", "--vcpus", "2"]);
    let (home, batch) = (cluster.home().to_owned(), cluster.batch());
    let ends = batch.submit(until_there(&go)).await;
    let killed = batch.submit(sh("sleep 1000")).await;
    let waits = batch.submit(sh("echo had to wait")).await;
    batch.running(&ends).await;
    batch.running(&killed).await;
    batch.logs.create_log_group().log_group_name("own").send().await.unwrap();
    batch.logs.create_log_stream().log_group_name("own").log_stream_name("s").send().await.unwrap();
    let s3 = cluster.s3();
    s3.put_object().bucket("awsb-local").key("small").body(vec![7].into()).send().await.unwrap();
    disk.fill();
    // Every request that would need space is refused, once, and no client tries again.
    assert_told(&tool(&home, "bsub", &["--wrap", "true"]), &home, "is full");
    let big = outside.path().join("big.sh");
    let words = (0..40_000_u64).map(|n| n.wrapping_mul(6_364_136_223_846_793_005).to_string());
    std::fs::write(&big, format!("#!/bin/sh\n: {}\n", words.collect::<Vec<_>>().join(" "))).unwrap();
    assert_told(&tool(&home, "bsub", &[big.to_str().unwrap()]), &home, "is full");
    let refused = batch.batch.submit_job().job_name("n").job_queue("local").job_definition("local");
    let refused = refused.send().await.unwrap_err();
    assert_eq!(refused.raw_response().map(|r| r.status().as_u16()), Some(400));
    assert_eq!(refused.code(), Some("ClientException"));
    let put = cluster.s3().put_object().bucket("awsb-local").key("k").body(vec![7; 4 << 20].into());
    let put = put.send().await.unwrap_err();
    assert_eq!(put.raw_response().map(|r| r.status().as_u16()), Some(400));
    assert_eq!(put.code(), Some("InsufficientStorage"));
    let group = batch.logs.create_log_group().log_group_name("g").send().await.unwrap_err();
    assert!(matches!(group, SdkError::ServiceError(_)), "{group:?}");
    assert_eq!(group.code(), Some("InsufficientStorageException"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let event = InputLogEvent::builder().timestamp(now as i64).message("m").build().unwrap();
    let put = batch.logs.put_log_events().log_group_name("own").log_stream_name("s").log_events(event);
    let put = put.send().await.unwrap_err();
    assert_eq!(put.raw_response().map(|r| r.status().as_u16()), Some(400));
    assert_eq!(put.code(), Some("InsufficientStorageException"));
    // Reading goes on, and says why jobs wait.
    assert!(cluster.json("status")["trouble"].as_str().unwrap().contains("is full"));
    let waiting = batch.describe(&waits).await;
    assert_eq!(waiting.status(), Some(&JobStatus::Runnable));
    assert!(waiting.status_reason().unwrap().contains("is full"), "{waiting:?}");
    assert!(tool(&home, "bstat", &[]).status.success());
    // Requests that make room are served, and the ends of jobs are recorded.
    s3.delete_object().bucket("awsb-local").key("small").send().await.unwrap();
    let bkill = tool(&home, "bkill", &[&killed]);
    assert!(bkill.status.success(), "{bkill:?}");
    assert_eq!(batch.ended(&killed).await.status(), Some(&JobStatus::Failed));
    std::fs::write(&go, "").unwrap();
    assert_eq!(batch.ended(&ends).await.status(), Some(&JobStatus::Succeeded));
    // A server that comes up on a full disk knows all that.
    cluster.kill_server();
    cluster.ok(&["start"]);
    let batch = cluster.batch();
    assert_eq!(batch.describe(&ends).await.status(), Some(&JobStatus::Succeeded));
    assert_eq!(batch.describe(&killed).await.status(), Some(&JobStatus::Failed));
    assert_eq!(batch.describe(&waits).await.status(), Some(&JobStatus::Runnable));
    disk.make_room();
    let waited = batch.ended(&waits).await;
    assert_eq!(batch.output(&waited).await, ["had to wait"]);
    let after = tool(&home, "bsub", &["-I", "--wrap", "echo after"]);
    assert_eq!(String::from_utf8_lossy(&after.stdout).lines().last(), Some("after"), "{after:?}");
    assert!(cluster.json("status")["trouble"].is_null());
}

#[story]
async fn output_that_could_not_be_kept_is_said() {
    let disk = SmallDisk::new("size=8m");
    let cluster = Cluster::within(disk.path());
    cluster.ok(&["start"]);
    let batch = cluster.batch();
    let id = batch
        .submit(sh("echo first; i=0; while [ $i -lt 100 ]; do printf '%099999d\\n' 0; i=$((i+1)); done"))
        .await;
    let job = batch.ended(&id).await;
    assert_eq!(job.status(), Some(&JobStatus::Succeeded), "{job:?}");
    let bout = tool(cluster.home(), "bout", &[&id]);
    assert!(String::from_utf8_lossy(&bout.stdout).starts_with("first\n"));
    let report = stderr(&bout);
    assert!(
        report.contains("bout: warning: not all of the output") && report.contains("is full"),
        "{report}"
    );
    let details = tool(cluster.home(), "bstat", &["-d", &id]);
    let details = String::from_utf8_lossy(&details.stdout).into_owned();
    let attempt = details.lines().find(|line| line.starts_with("attempt 1")).unwrap();
    assert_eq!(attempt.matches("OutputNotKept: ").count(), 1, "{details}");
    // The end is recorded though the job's own output has filled the disk.
    cluster.kill_server();
    cluster.ok(&["start"]);
    assert_eq!(cluster.batch().describe(&id).await.status(), Some(&JobStatus::Succeeded));
}

/// The limit ends no server and no runner (SIGXFSZ); a job that meets it is ended, as anywhere.
#[story]
fn a_limit_of_the_size_of_files_is_named_and_ends_nobody_but_jobs() {
    let cluster = Cluster::new();
    let script = "i=0; while [ $i -lt 50 ]; do printf '%099999d\\n' 0; i=$((i+1)); done; \
                  (head -c 5000000 /dev/zero > big) 2>/dev/null; exit $?";
    // In units of 512 bytes (POSIX, ulimit).
    let run = Command::new("sh")
        .args(["-c", "ulimit -f 4000; exec \"$0\" -K -r 3 --wrap \"$1\"", &program_built("bsub"), script])
        .env("AWSB_LOCAL_HOME", cluster.home())
        .env("AWSB_CLUSTER", "local")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(128 + 25), "{run:?}");
    let details = tool(cluster.home(), "bstat", &["-d", "last"]);
    let details = String::from_utf8_lossy(&details.stdout).into_owned();
    assert!(!details.contains("Host EC2"), "{details}");
    let attempts = details.lines().filter(|line| line.starts_with("attempt "));
    let expected = "may be larger than 2048000 bytes";
    assert_eq!(
        attempts.filter(|line| line.contains("OutputNotKept: ") && line.contains(expected)).count(),
        3
    );
    // Too low a limit for the server itself.
    cluster.ok(&["stop"]);
    let start = Command::new("sh")
        .args(["-c", "ulimit -f 8; exec \"$0\" start", &program_built("blocal")])
        .env("AWSB_LOCAL_HOME", cluster.home())
        .output()
        .unwrap();
    let message = stderr(&start);
    assert_eq!(start.status.code(), Some(1), "{message}");
    assert!(message.contains("may be larger than 4096 bytes") && message.contains("ulimit"), "{message}");
    cluster.ok(&["start"]);
}

#[story]
async fn a_disk_that_takes_no_more_files_is_one_too() {
    let disk = SmallDisk::new("size=64m,nr_inodes=200");
    let outside = tempfile::tempdir().unwrap();
    let go = outside.path().join("go");
    let cluster = Cluster::within(disk.path());
    cluster.ok(&["start"]);
    let (home, batch) = (cluster.home().to_owned(), cluster.batch());
    let id = batch.submit(until_there(&go)).await;
    batch.running(&id).await;
    disk.fill_with_files();
    assert_told(&tool(&home, "bsub", &["--wrap", "true"]), &home, "no room for more files");
    std::fs::write(&go, "").unwrap();
    assert_eq!(batch.ended(&id).await.status(), Some(&JobStatus::Succeeded));
    disk.make_room();
    assert_eq!(batch.run(sh("true")).await.status(), Some(&JobStatus::Succeeded));
}

#[story]
async fn a_disk_that_has_become_read_only_is_said() {
    let disk = SmallDisk::new("size=64m");
    let cluster = Cluster::within(disk.path());
    cluster.ok(&["start"]);
    let (home, batch) = (cluster.home().to_owned(), cluster.batch());
    let job = batch.run(sh("echo before")).await;
    // Nobody may have a file open for writing when a disk becomes read-only.
    cluster.ok(&["stop"]);
    until("its runner is gone", || cluster.runners() == 0);
    disk.remount("ro");
    for (name, arguments) in TOOLS {
        assert_told(&tool(&home, name, arguments), &home, "is read-only");
    }
    disk.remount("rw");
    cluster.ok(&["start"]);
    assert_eq!(cluster.batch().output(&job).await, ["before"]);
}

/// Every tool that has something to do with a cluster.
const TOOLS: [(&str, &[&str]); 8] = [
    ("blocal", &["start"]),
    ("bsub", &["--wrap", "true"]),
    ("bstat", &[]),
    ("bout", &["01234567"]),
    ("bkill", &["01234567"]),
    ("bwait", &["01234567"]),
    ("bqueues", &[]),
    ("bhosts", &[]),
];

#[story]
fn a_server_that_cannot_start_on_a_full_disk_says_so_through_every_tool() {
    let disk = SmallDisk::new("size=8m");
    disk.fill();
    let home = disk.path().join("home");
    for (name, arguments) in TOOLS {
        assert_told(&tool(&home, name, arguments), &home, "is full");
    }
    // It has got so far as to make its folders.
    disk.make_room();
    let start = || Command::new(program_built("blocal")).arg("start").env("AWSB_LOCAL_HOME", &home).output();
    assert!(start().unwrap().status.success());
    assert!(tool(&home, "blocal", &["stop"]).status.success());
    for file in ["batch.db", "objects.db", "logs.db"]
        .iter()
        .flat_map(|db| ["", "-wal", "-shm", "-commits"].map(|b| format!("{db}{b}")))
    {
        let _ = std::fs::remove_file(home.join(&file));
        let _ = std::fs::remove_file(home.join("runners").join(file));
    }
    // The address is written last: a home that has it and no databases has lost them.
    for file in ["endpoint.json", "reserve"] {
        std::fs::remove_file(home.join(file)).unwrap();
    }
    disk.fill();
    for (name, arguments) in TOOLS {
        assert_told(&tool(&home, name, arguments), &home, "is full");
    }
    assert!(tool(&home, "blocal", &["reset", "--yes"]).status.success());
}

/// The process of a job's shell, which it has written into its notes.
fn job_process(notes: &Path) -> u32 {
    until("the job runs", || !awsb_testkit::local::lines(notes).is_empty());
    awsb_testkit::local::lines(notes)[0].parse().unwrap()
}

#[story]
async fn a_reset_ends_and_removes_everything_whatever_state_it_is_in() {
    type Damage = fn(&Cluster);
    let damages: [(&str, Damage); 9] = [
        ("a server that is stopped", |cluster| kill(cluster.server_pid(), "STOP")),
        ("a server that is killed", |cluster| kill(cluster.server_pid(), "KILL")),
        ("databases that are none", |cluster| {
            cluster.kill_server();
            for database in ["batch.db", "objects.db", "logs.db"] {
                let _ = std::fs::remove_file(cluster.home().join(format!("{database}-wal")));
                std::fs::write(cluster.home().join(database), "no database ".repeat(1000)).unwrap();
            }
        }),
        ("databases that are gone under the server", |cluster| {
            for database in ["batch.db", "batch.db-wal", "batch.db-shm"] {
                std::fs::remove_file(cluster.home().join(database)).unwrap();
            }
        }),
        ("state files that say nothing", |cluster| {
            for file in ["endpoint.json", "settings.json", "server.lock", "containers.json"] {
                std::fs::write(cluster.home().join(file), "\0\x01 {").unwrap();
            }
        }),
        ("state files that are missing", |cluster| {
            for file in ["endpoint.json", "server.sock", "server.lock", "server.log"] {
                let _ = std::fs::remove_file(cluster.home().join(file));
            }
        }),
        ("runners' files that are missing", |cluster| {
            cluster.kill_server();
            for entry in std::fs::read_dir(cluster.home().join("runners")).unwrap() {
                std::fs::remove_file(entry.unwrap().path()).unwrap();
            }
        }),
        ("a mark that is missing", |cluster| {
            std::fs::remove_file(cluster.home().join("start.lock")).unwrap()
        }),
        ("folders that are missing", |cluster| {
            cluster.kill_server();
            for folder in ["logs", "objects"] {
                std::fs::remove_dir_all(cluster.home().join(folder)).unwrap();
            }
        }),
    ];
    for (what, damage) in damages {
        println!("{what}");
        let cluster = Cluster::started();
        let notes = notes(&cluster);
        let outside = tempfile::tempdir().unwrap();
        let pid = outside.path().join("pid");
        std::fs::write(cluster.home().join("settings.json"), "{}").unwrap();
        let script = format!("echo $$ > {}; setsid sleep 1000 & sleep 1000", pid.display());
        cluster.batch().submit(sh(&script).env("NOTES", notes.display().to_string())).await;
        let process = job_process(&pid);
        damage(&cluster);
        let reset = cluster.run(&["reset", "--yes"]);
        assert!(reset.status.success(), "{what}: {reset:?}");
        assert!(!lives(process), "{what}: the job lives");
        assert_eq!(cluster.runners(), 0, "{what}");
        for left in ["batch.db", "runners", "scratch", "endpoint.json"] {
            assert!(!cluster.home().join(left).exists(), "{what}: {left} is left");
        }
        cluster.ok(&["start"]);
        assert_eq!(cluster.batch().run(sh("true")).await.status(), Some(&JobStatus::Succeeded), "{what}");
    }
}

#[story]
async fn requests_are_not_logged_on_a_full_disk() {
    let disk = SmallDisk::new("size=8m");
    let cluster = Cluster::within(disk.path());
    cluster.ok(&["start"]);
    let batch = cluster.batch();
    let job = batch.submit(sh("true")).await;
    batch.ended(&job).await;
    let log = cluster.home().join("server.log");
    let logged = || std::fs::read_to_string(&log).unwrap().matches(" request method=").count();
    let before = logged();
    assert!(before > 0);
    disk.fill();
    batch.describe(&job).await;
    assert_eq!(logged(), before);
    disk.make_room();
    batch.describe(&job).await;
    assert!(logged() > before);
}

#[story]
async fn a_reset_works_on_a_full_disk() {
    let disk = SmallDisk::new("size=8m");
    let cluster = Cluster::within(disk.path());
    cluster.ok(&["start"]);
    let outside = tempfile::tempdir().unwrap();
    let pid = outside.path().join("pid");
    let script = format!("echo $$ > {}; exec sleep 1000", pid.display());
    cluster.batch().submit(sh(&script)).await;
    let process = job_process(&pid);
    disk.fill();
    let reset = cluster.run(&["reset", "--yes"]);
    assert!(reset.status.success() && !lives(process), "{reset:?}");
    disk.make_room();
    cluster.ok(&["start"]);
}
