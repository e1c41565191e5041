//! A cluster whose files are damaged, or whose server is kept from its work. Its messages say what
//! has happened, to which file, and what can be done. No job runs a second time without a message.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_batch::types::JobStatus;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use awsb_testkit::local::{Cluster, kill, lines, notes, sh, until};
use awsb_testkit::{program, program_built, story};

/// Nobody has waited in vain by then, on a machine that is slow, too.
const SOON: Duration = Duration::from_secs(20);
const DATABASES: [&str; 3] = ["batch.db", "objects.db", "logs.db"];

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `blocal start` is refused; what it says.
fn refused(cluster: &Cluster) -> String {
    let output = cluster.run(&["start"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = stderr(&output);
    assert_eq!(report.lines().filter(|line| line.starts_with("blocal: error: ")).count(), 1, "{report}");
    report
}

/// Changes a file as a disk does that fails: its time of change goes with it.
fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
    let later = std::time::SystemTime::now() + Duration::from_secs(1);
    OpenOptions::new().write(true).open(path).unwrap().set_modified(later).unwrap();
}

/// A cluster in which a job has run, stopped; with the job's ID.
async fn with_a_job() -> (Cluster, String) {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let id = batch.submit(sh("echo done")).await;
    assert_eq!(batch.ended(&id).await.status(), Some(&JobStatus::Succeeded));
    cluster.ok(&["stop"]);
    (cluster, id)
}

#[story]
async fn an_empty_database_is_not_a_new_cluster() {
    let (cluster, id) = with_a_job().await;
    for name in DATABASES {
        let path = cluster.home().join(name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, "").unwrap();
        let report = refused(&cluster);
        assert!(
            report.contains(&format!("{} is damaged: the file is empty (0 bytes)", path.display())),
            "{report}"
        );
        assert!(
            report.contains("hint: if there is a copy of ") && report.contains("`blocal reset`"),
            "{report}"
        );
        fs::remove_file(&path).unwrap();
        assert!(refused(&cluster).contains("the file is gone"));
        let status = cluster.run(&["status"]);
        assert!(String::from_utf8_lossy(&status.stdout).contains(name), "{status:?}");
        // The step that the hint names.
        fs::write(&path, whole).unwrap();
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(cluster.home().join(format!("{name}{suffix}")));
        }
        cluster.ok(&["start"]);
        assert_eq!(cluster.batch().describe(&id).await.status(), Some(&JobStatus::Succeeded));
        cluster.ok(&["stop"]);
    }
    // The other way out.
    fs::write(cluster.home().join("batch.db"), "").unwrap();
    cluster.ok(&["reset", "--yes"]);
    assert_eq!(cluster.batch().run(sh("true")).await.status(), Some(&JobStatus::Succeeded));
}

#[story]
async fn flipped_bytes_in_a_database_are_found_before_anything_runs() {
    for killed in [false, true] {
        let (cluster, _) = with_a_job().await;
        if killed {
            cluster.ok(&["start"]);
            cluster.kill_server();
        }
        for name in DATABASES {
            let path = cluster.home().join(name);
            let whole = fs::read(&path).unwrap();
            // A page that is full of noise, and a head that is not a database's.
            for at in [whole.len() / 4096 / 2 * 4096, 0] {
                change(&path, |bytes| bytes[at..at + 100].iter_mut().for_each(|b| *b ^= 0x5a));
                let report = refused(&cluster);
                assert!(
                    report.contains(&format!("{} is damaged: ", path.display())),
                    "{killed} {at}: {report}"
                );
                assert!(report.contains("\nhint: "), "{report}");
                change(&path, |bytes| bytes.clone_from(&whole));
            }
        }
        cluster.ok(&["start"]);
    }
}

#[story]
async fn a_job_that_has_ended_and_whose_status_is_damaged_does_not_run_again() {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let id = batch.submit(sh("true").size(3)).await;
    batch.ended(&id).await;
    cluster.ok(&["stop"]);
    let path = cluster.home().join("batch.db");
    let whole = fs::read(&path).unwrap();
    for damage in [
        "UPDATE jobs SET status = 2 WHERE idx = 1",
        "UPDATE jobs SET status = 2, stopped_at = NULL WHERE idx = 1",
        "UPDATE jobs SET status = 77 WHERE idx = 2",
    ] {
        assert_eq!(rusqlite::Connection::open(&path).unwrap().execute(damage, []), Ok(1));
        let report = refused(&cluster);
        assert!(report.contains("batch.db is damaged: "), "{damage}: {report}");
        change(&path, |bytes| bytes.clone_from(&whole));
    }
    cluster.ok(&["start"]);
}

/// An array whose children each write a line; it has ended, and its server is killed.
async fn ended_array(cluster: &Cluster, size: i32) -> (String, PathBuf) {
    let notes = notes(cluster);
    let batch = cluster.batch();
    let job = sh("echo $AWS_BATCH_JOB_ARRAY_INDEX >> $NOTES; exit $((AWS_BATCH_JOB_ARRAY_INDEX % 2))");
    let id = batch.submit(job.size(size).env("NOTES", notes.display().to_string())).await;
    assert_eq!(batch.ended(&id).await.status(), Some(&JobStatus::Failed));
    cluster.kill_server();
    (id, notes)
}

/// How often each child has run.
fn runs(notes: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines(notes) {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

#[story]
async fn what_a_damaged_log_takes_back_the_journals_have_and_no_child_runs_twice() {
    const SIZE: i32 = 40;
    for part in [30, 50, 70, 95] {
        let cluster = Cluster::started();
        let (id, notes) = ended_array(&cluster, SIZE).await;
        let wal = cluster.home().join("batch.db-wal");
        // A page of noughts in the log: SQLite takes what is before it for all there is.
        change(&wal, |bytes| {
            let at = bytes.len() / 100 * part;
            bytes[at..at + 4096].fill(0);
        });
        let started = cluster.run(&["start"]);
        assert!(started.status.success(), "{started:?}");
        let report = stderr(&started);
        assert!(
            report.contains("warning: ") && report.contains("batch.db has lost its last "),
            "{part}: {report}"
        );
        let status = cluster.json("status");
        assert_eq!(status["warnings"].as_array().map(Vec::len), Some(1), "{status}");
        let batch = cluster.batch();
        assert_eq!(batch.ended(&id).await.status(), Some(&JobStatus::Failed));
        for index in 0..SIZE {
            let child = batch.describe(&format!("{id}:{index}")).await;
            let wanted = if index % 2 == 0 { JobStatus::Succeeded } else { JobStatus::Failed };
            assert_eq!(
                (child.status(), child.attempts().len()),
                (Some(&wanted), 1),
                "{part} {index}: {child:?}"
            );
            assert_eq!(child.container().unwrap().exit_code(), Some(index % 2));
        }
        let twice: Vec<_> = runs(&notes).into_iter().filter(|(_, count)| *count != 1).collect();
        assert!(twice.is_empty(), "{part}: {twice:?}");
        assert_eq!(lines(&notes).len(), usize::try_from(SIZE).unwrap());
        // It is said once.
        cluster.kill_server();
        assert!(!stderr(&cluster.run(&["start"])).contains("warning"), "said again");
    }
}

#[story]
async fn a_job_whose_submission_is_lost_is_named() {
    let cluster = Cluster::started();
    let (id, notes) = ended_array(&cluster, 4).await;
    fs::remove_file(cluster.home().join("batch.db-wal")).unwrap();
    let report = stderr(&cluster.run(&["start"]));
    assert!(report.contains("has lost its last ") && report.contains(&id), "{report}");
    let batch = cluster.batch();
    assert_eq!(batch.run(sh("true")).await.status(), Some(&JobStatus::Succeeded));
    assert_eq!(runs(&notes).len(), 4);
    assert_eq!(lines(&notes).len(), 4);
}

/// Takes the last commits out of a write-ahead log (SQLite, "WAL-mode File Format": a head of 32
/// bytes, then frames of 24 bytes and a page; the last frame of a commit has the database's size in
/// its bytes 4 to 7).
fn take_back(wal: &Path, commits: usize) {
    change(wal, |bytes| {
        const FRAME: usize = 24 + 4096;
        let ends: Vec<usize> = (0..(bytes.len() - 32) / FRAME)
            .map(|frame| 32 + frame * FRAME)
            .filter(|at| bytes[at + 4..at + 8] != [0; 4])
            .map(|at| at + FRAME)
            .collect();
        bytes.truncate(ends[ends.len() - 1 - commits]);
    });
}

#[story]
async fn a_job_that_runs_while_the_log_is_damaged_is_the_same_job_afterwards() {
    let cluster = Cluster::new();
    cluster.ok(&["start", "--vcpus", "1"]);
    let notes = notes(&cluster);
    let go = format!("{}.go", notes.display());
    let script = "echo begun $AWS_BATCH_JOB_ARRAY_INDEX >> $NOTES; [ $AWS_BATCH_JOB_ARRAY_INDEX = 0 ] && exit; \
                  while [ ! -e $NOTES.go ]; do sleep 0.01; done; echo ended >> $NOTES";
    let batch = cluster.batch();
    let job = sh(script).attempts(3).size(2).env("NOTES", notes.display().to_string());
    let id = batch.submit(job).await;
    let second = format!("{id}:1");
    batch.running(&second).await;
    cluster.kill_server();
    // That it runs, and that it was given to its runner when the first child had ended.
    take_back(&cluster.home().join("batch.db-wal"), 2);
    let report = stderr(&cluster.run(&["start"]));
    assert!(report.contains("batch.db has lost its last 2 transactions"), "{report}");
    let batch = cluster.batch();
    batch.running(&second).await;
    fs::write(go, "").unwrap();
    let job = batch.ended(&id).await;
    assert_eq!(job.status(), Some(&JobStatus::Succeeded), "{job:?}");
    for index in 0..2 {
        assert_eq!(batch.describe(&format!("{id}:{index}")).await.attempts().len(), 1);
    }
    assert_eq!(lines(&notes), ["begun 0", "begun 1", "ended"]);
}

/// The files of the batch database, but for what is elsewhere in the home.
fn batch_files(cluster: &Cluster) -> Vec<PathBuf> {
    let entries = fs::read_dir(cluster.home()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("batch.db")).collect()
}

fn journals(cluster: &Cluster) -> usize {
    let entries = fs::read_dir(cluster.home().join("runners")).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "journal")).count()
}

#[story]
async fn a_database_that_is_put_back_with_what_is_beside_it_runs_no_job_twice() {
    type Harm = fn(&Path);
    let copy = |home: &Path| home.join("runners/batch.db-commits");
    let harms: [(bool, Harm); 5] = [
        (true, |_| {}),
        (true, |home| fs::remove_file(home.join("batch.db-commits")).unwrap()),
        (true, |home| {
            fs::write(home.join("batch.db-commits"), "garbled").unwrap();
            fs::write(home.join("runners/batch.db-commits"), "garbled").unwrap();
        }),
        (false, |_| {}),
        (false, |home| change(&home.join("batch.db-commits"), |bytes| bytes[19] ^= 1)),
    ];
    for (number, (has_journals, harm)) in harms.into_iter().enumerate() {
        let cluster = Cluster::new();
        cluster.ok(&["start", "--vcpus", "1"]);
        let notes = notes(&cluster);
        let script =
            "echo $AWS_BATCH_JOB_ARRAY_INDEX $PPID >> $NOTES; while [ ! -e $NOTES.go ]; do sleep 0.01; done";
        let batch = cluster.batch();
        let id = batch.submit(sh(script).size(3).env("NOTES", notes.display().to_string())).await;
        let dependent = batch
            .submit_after(
                sh("echo after >> $NOTES").env("NOTES", notes.display().to_string()),
                &[(Some(&id), None)],
            )
            .await;
        batch.running(&format!("{id}:0")).await;
        let kept: Vec<(PathBuf, Vec<u8>)> =
            batch_files(&cluster).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        fs::write(format!("{}.go", notes.display()), "").unwrap();
        assert_eq!(batch.ended(&dependent).await.status(), Some(&JobStatus::Succeeded));
        if !has_journals {
            kill(lines(&notes)[0].split(' ').nth(1).unwrap().parse().unwrap(), "KILL");
            until("its journal is removed", || journals(&cluster) == 0);
        }
        cluster.kill_server();
        batch_files(&cluster).iter().for_each(|path| fs::remove_file(path).unwrap());
        kept.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        harm(cluster.home());
        let report = stderr(&cluster.run(&["start"]));
        assert!(report.contains("warning: ") && report.contains("older copy"), "{number}: {report}");
        let warnings = cluster.json("status")["warnings"].as_array().unwrap().len();
        assert!(warnings > 0, "{number}");
        let batch = cluster.batch();
        for job in [&format!("{id}:0"), &format!("{id}:1"), &format!("{id}:2"), &dependent] {
            let job = batch.ended(job).await;
            let reason = job.status_reason().unwrap();
            match (has_journals, job.status()) {
                (true, Some(JobStatus::Succeeded)) => {}
                (false, Some(JobStatus::Failed)) => {
                    assert!(reason.contains("nobody knows whether this job has run"), "{number}: {job:?}");
                }
                _ => panic!("{number}: {job:?}"),
            }
        }
        assert_eq!(lines(&notes).len(), 4, "{number}: {:?}", lines(&notes));
        // It is said once, and work goes on.
        assert_eq!(batch.run(sh("true")).await.status(), Some(&JobStatus::Succeeded));
        cluster.kill_server();
        assert!(!stderr(&cluster.run(&["start"])).contains("warning"), "{number}: said again");
        assert!(copy(cluster.home()).exists());
    }
}

#[story]
async fn journals_that_know_more_than_the_database_are_believed() {
    let cluster = Cluster::new();
    cluster.ok(&["start", "--vcpus", "1"]);
    let notes = notes(&cluster);
    let batch = cluster.batch();
    let id = batch
        .submit(
            sh("while [ ! -e $NOTES.go ]; do sleep 0.01; done; echo ran >> $NOTES")
                .size(2)
                .env("NOTES", notes.display().to_string()),
        )
        .await;
    batch.running(&format!("{id}:0")).await;
    let count = cluster.home().join("runners/batch.db-commits");
    let files = batch_files(&cluster).into_iter().chain([count]);
    let kept: Vec<(PathBuf, Vec<u8>)> = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    fs::write(format!("{}.go", notes.display()), "").unwrap();
    batch.ended(&id).await;
    cluster.kill_server();
    // All that counts is put back.
    kept.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    let report = stderr(&cluster.run(&["start"]));
    assert!(report.contains("warning: ") && report.contains("the runners' journals have more"), "{report}");
    assert_eq!(cluster.batch().ended(&id).await.status(), Some(&JobStatus::Succeeded));
    assert_eq!(lines(&notes).len(), 2);
}

/// Of jobs that no journal knows nothing is concluded, though one journal cannot be read.
#[story]
async fn journals_that_know_more_than_the_database_end_no_other_job() {
    let cluster = Cluster::new();
    cluster.ok(&["start", "--vcpus", "1"]);
    let notes = notes(&cluster);
    let batch = cluster.batch();
    let job = |name: &str| {
        let script = format!("while [ ! -e $NOTES.{name} ]; do sleep 0.01; done; echo {name} >> $NOTES");
        sh(&script).env("NOTES", notes.display().to_string())
    };
    let release = |name: &str| fs::write(format!("{}.{name}", notes.display()), "").unwrap();
    let first = batch.submit(job("first")).await;
    batch.running(&first).await;
    let (second, third) = (batch.submit(job("second")).await, batch.submit(job("third")).await);
    for id in [&second, &third] {
        batch.once(id, "it waits", |job| job.status() == Some(&JobStatus::Runnable)).await;
    }
    let count = cluster.home().join("runners/batch.db-commits");
    let files = batch_files(&cluster).into_iter().chain([count]);
    let kept: Vec<(PathBuf, Vec<u8>)> = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    release("first");
    batch.running(&second).await;
    cluster.kill_server();
    release("second");
    until("the second job has ended", || lines(&notes).len() == 2);
    kept.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    let unreadable = cluster.home().join("runners").join("0".repeat(32)).with_extension("journal");
    fs::write(unreadable, "this is no journal\n").unwrap();
    release("third");
    let report = stderr(&cluster.run(&["start"]));
    assert!(report.contains("the runners' journals have more"), "{report}");
    let batch = cluster.batch();
    for id in [&first, &second, &third] {
        let job = batch.ended(id).await;
        assert_eq!(job.status(), Some(&JobStatus::Succeeded), "{job:?}");
    }
    assert_eq!(lines(&notes), ["first", "second", "third"]);
}

#[story]
async fn a_count_that_is_gone_or_garbled_is_said_to_be() {
    let (cluster, id) = with_a_job().await;
    // Nothing has been stored in the third.
    for name in ["batch.db", "objects.db"] {
        for folder in [cluster.home().to_owned(), cluster.home().join("runners")] {
            let path = folder.join(format!("{name}-commits"));
            fs::remove_file(&path).unwrap();
            let report = stderr(&cluster.run(&["start"]));
            assert!(report.contains(&format!("warning: {} is gone", path.display())), "{report}");
            cluster.ok(&["stop"]);
            fs::write(&path, "17 4\n").unwrap();
            let report = stderr(&cluster.run(&["start"]));
            assert!(report.contains(&format!("warning: {} is damaged", path.display())), "{report}");
            assert_eq!(cluster.batch().describe(&id).await.status(), Some(&JobStatus::Succeeded));
            cluster.ok(&["stop"]);
        }
    }
    let report = stderr(&cluster.run(&["start"]));
    assert!(!report.contains("warning"), "{report}");
}

#[story]
async fn after_a_stop_the_databases_are_complete_without_their_logs() {
    let (cluster, id) = with_a_job().await;
    // A home of its own, whose databases are replaced.
    let copy = Cluster::started();
    copy.ok(&["stop"]);
    for name in DATABASES {
        fs::copy(cluster.home().join(name), copy.home().join(name)).unwrap();
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(copy.home().join(format!("{name}{suffix}")));
        }
        let wal = cluster.home().join(format!("{name}-wal"));
        assert_eq!(fs::metadata(wal).map_or(0, |meta| meta.len()), 0, "{name}");
    }
    copy.ok(&["start"]);
    assert_eq!(copy.batch().describe(&id).await.status(), Some(&JobStatus::Succeeded));
}

#[story]
async fn credentials_that_are_lost_are_said_to_be() {
    let (cluster, id) = with_a_job().await;
    let endpoint = cluster.home().join("endpoint.json");
    change(&endpoint, |bytes| bytes.truncate(20));
    let report = stderr(&cluster.run(&["start"]));
    assert!(
        report.contains("warning: ") && report.contains(&format!("{} cannot be read", endpoint.display())),
        "{report}"
    );
    assert_eq!(cluster.batch().describe(&id).await.status(), Some(&JobStatus::Succeeded));
}

#[story]
async fn everything_in_a_home_is_for_its_user_alone() {
    let cluster = Cluster::new();
    let blocal = program_built("blocal");
    let started = Command::new("sh")
        .args(["-c", "umask 022; exec \"$0\" start", &blocal])
        .env("AWSB_LOCAL_HOME", cluster.home())
        .output()
        .unwrap();
    assert!(started.status.success(), "{started:?}");
    cluster.batch().run(sh("echo out; umask > mask")).await;
    cluster.s3().put_object().bucket("awsb-local").key("k").body(b"b".to_vec().into()).send().await.unwrap();
    let mut folders = vec![cluster.home().to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode & 0o077, 0, "{}: {mode:o}", entry.path().display());
            seen += 1;
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    assert!(seen > 15, "{seen}");
    // The mask of jobs is that of containers.
    let batch = cluster.batch();
    let job = batch.run(sh("umask")).await;
    assert_eq!(batch.output(&job).await, ["0022"]);
}

#[story]
async fn a_server_that_is_stopped_by_a_signal_is_said_to_be() {
    let cluster = Cluster::started();
    let pid = cluster.server_pid();
    kill(pid, "STOP");
    let way_out = format!("kill -CONT {pid}");
    let tools: [(&str, &[&str]); 6] = [
        ("blocal", &["status"]),
        ("blocal", &["stop"]),
        ("blocal", &["start"]),
        ("blocal", &["env"]),
        ("bstat", &[]),
        ("bsub", &["--wrap", "true"]),
    ];
    for (tool, arguments) in tools {
        let before = Instant::now();
        let output = Command::new(program_built(tool))
            .args(arguments)
            .env("AWSB_LOCAL_HOME", cluster.home())
            .env("AWSB_CLUSTER", "local")
            .output()
            .unwrap();
        let report = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{tool} {arguments:?}: {report}");
        assert!(report.contains("is stopped") && report.contains(&way_out), "{tool} {arguments:?}: {report}");
        assert!(!report.contains("os error"), "{report}");
        assert!(before.elapsed() < SOON, "{tool}: {:?}", before.elapsed());
    }
    kill(pid, "CONT");
    // A waiting tool prints it, too, and goes on when the server does.
    let id = cluster.batch().submit(sh("while [ ! -e go ]; do sleep 0.01; done")).await;
    cluster.batch().running(&id).await;
    let mut waiting = Command::new(program_built("bwait"))
        .args(["--debug", &id])
        .env("AWSB_LOCAL_HOME", cluster.home())
        .env("AWSB_CLUSTER", "local")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut report = BufReader::new(waiting.stderr.take().unwrap()).lines().map(Result::unwrap);
    // With its second look at the job it waits.
    assert!(
        report.by_ref().filter(|line| line.starts_with("> POST") && line.ends_with("jobs")).nth(1).is_some()
    );
    kill(pid, "STOP");
    let line = report.find(|line| line.starts_with("bwait: ")).unwrap();
    assert!(line.contains("is stopped") && !line.contains("error"), "{line}");
    assert!(report.next().unwrap().contains(&way_out));
    // The rest of the output does not matter here, but has to be read.
    let rest = std::thread::spawn(move || report.for_each(drop));
    kill(pid, "CONT");
    let scratch = fs::read_dir(cluster.home().join("scratch")).unwrap().next().unwrap().unwrap().path();
    fs::write(scratch.join("go"), "").unwrap();
    assert!(waiting.wait().unwrap().success());
    rest.join().unwrap();
    assert_eq!(cluster.server_pid(), pid);
    assert_eq!(cluster.batch().run(sh("true")).await.status(), Some(&JobStatus::Succeeded));
}

/// A home with a process that looks like its server, holds its lock and answers nothing.
fn silent_server() -> (Cluster, std::process::Child) {
    let flock = program("flock");
    let cluster = Cluster::started();
    cluster.ok(&["stop"]);
    let script = "exec 9<>server.lock; \"$FLOCK\" -x 9; printf %s $$ >server.lock; echo ready; read -r end";
    fs::write(cluster.home().join("serve"), script).unwrap();
    let mut server = Command::new("bash")
        .args(["-c", "exec -a blocal bash serve"])
        .env("FLOCK", flock)
        .current_dir(cluster.home())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    (cluster, server)
}

#[story]
fn a_server_that_does_not_answer_is_said_to_be_and_killed() {
    let (asked, mut one) = silent_server();
    let (stopped, mut other) = silent_server();
    // Both commands wait for the same time.
    let mut status = asked.blocal(&["status", "--json"]);
    let status = status.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let before = Instant::now();
    let stop = stopped.run(&["stop"]);
    let report = stderr(&stop);
    assert!(stop.status.success(), "{report}");
    assert!(report.contains("has been killed: it has not answered within 20 seconds"), "{report}");
    let line = String::from_utf8_lossy(&stop.stdout).into_owned();
    assert!(line.contains(&format!("has been stopped (pid {})", other.id())), "{line}");
    assert!(before.elapsed() < 2 * SOON, "{:?}", before.elapsed());
    assert!(!other.wait().unwrap().success());
    let status = status.wait_with_output().unwrap();
    let report = stderr(&status);
    assert_eq!(status.status.code(), Some(1), "{report}");
    assert!(
        report.contains("asking the local cluster's server") && report.contains("`blocal stop`"),
        "{report}"
    );
    let json: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((&json[0]["running"], &json[0]["answers"]), (&true.into(), &false.into()), "{json}");
    one.kill().unwrap();
    one.wait().unwrap();
    // Nothing has been lost: the next server starts.
    stopped.ok(&["start"]);
}

#[story]
async fn connections_that_say_nothing_keep_nobody_out() {
    let cluster = Cluster::new();
    let blocal = program_built("blocal");
    let started = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" start", &blocal])
        .env("AWSB_LOCAL_HOME", cluster.home())
        .output()
        .unwrap();
    assert!(started.status.success(), "{started:?}");
    let access = cluster.access();
    let address = access.endpoint_url.strip_prefix("http://").unwrap().to_owned();
    let batch = cluster.batch();
    batch.run(sh("true")).await;
    let idle: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let before = Instant::now();
    for _ in 0..5 {
        assert_eq!(batch.run(sh("true")).await.status(), Some(&JobStatus::Succeeded));
    }
    assert!(before.elapsed() < SOON, "{:?}", before.elapsed());
    drop(idle);
}

/// Counts how often a request is sent.
#[derive(Debug, Clone, Default)]
struct Tries(Arc<AtomicUsize>);

impl Intercept for Tries {
    fn name(&self) -> &'static str {
        "Tries"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[story]
async fn an_object_whose_content_is_damaged_is_not_sent_and_can_be_put_again() {
    let cluster = Cluster::started();
    let s3 = cluster.s3();
    let put = async |key: &str, if_absent: bool| {
        let request = s3.put_object().bucket("awsb-local").key(key).body(vec![b'x'; 100_000].into());
        let request = if if_absent { request.if_none_match("*") } else { request };
        request.send().await
    };
    let content = |size: u64| {
        let files = fs::read_dir(cluster.home().join("objects")).unwrap();
        let mut found = files.map(|e| e.unwrap().path()).filter(|p| p.metadata().unwrap().len() == size);
        let path = found.next().unwrap();
        assert!(found.next().is_none());
        path
    };
    type Harm = fn(&Path);
    let harms: [(Harm, &str); 2] = [
        (
            |path| OpenOptions::new().write(true).open(path).unwrap().set_len(70_000).unwrap(),
            "has 70000 of its 100000 bytes",
        ),
        (|path| fs::remove_file(path).unwrap(), "is gone"),
    ];
    for (harm, words) in harms {
        put("k", false).await.unwrap();
        let path = content(100_000);
        harm(&path);
        let tries = Tries::default();
        let get = s3.get_object().bucket("awsb-local").key("k").customize().interceptor(tries.clone());
        let error = get.send().await.unwrap_err();
        assert_eq!(tries.0.load(Ordering::Relaxed), 1, "no client tries it again");
        let error = error.into_service_error();
        assert_eq!(error.meta().code(), Some("ObjectDamaged"), "{error:?}");
        let message = error.meta().message().unwrap();
        assert!(message.contains(words) && message.contains(path.to_str().unwrap()), "{message}");
        assert!(s3.head_object().bucket("awsb-local").key("k").send().await.is_err());
        let copy = s3.copy_object().bucket("awsb-local").key("c").copy_source("awsb-local/k").send().await;
        assert!(copy.is_err());
        // Who puts it only if it is not there, as `bsub` does with a bundle, puts it now; and then
        // no more.
        put("k", true).await.unwrap();
        let got = s3.get_object().bucket("awsb-local").key("k").send().await.unwrap();
        assert_eq!(got.body.collect().await.unwrap().into_bytes().len(), 100_000);
        assert!(put("k", true).await.is_err());
        s3.delete_object().bucket("awsb-local").key("k").send().await.unwrap();
    }
}

/// The one file with content of this size.
fn content_of(cluster: &Cluster, size: u64) -> PathBuf {
    let files = fs::read_dir(cluster.home().join("objects")).unwrap();
    let mut found = files.map(|e| e.unwrap().path()).filter(|p| p.metadata().unwrap().len() == size);
    let path = found.next().unwrap();
    assert!(found.next().is_none());
    path
}

#[story]
async fn an_object_with_a_byte_that_was_flipped_is_not_taken_for_whole() {
    let cluster = Cluster::started();
    let s3 = cluster.s3();
    let put = async |key: &str, size: usize, if_absent: bool| {
        let request = s3.put_object().bucket("awsb-local").key(key).body(vec![b'x'; size].into());
        let request = if if_absent { request.if_none_match("*") } else { request };
        request.send().await
    };
    let get = async |key: &str, range: Option<&str>| {
        let request = s3.get_object().bucket("awsb-local").key(key).set_range(range.map(str::to_owned));
        let got =
            request.send().await.map_err(|e| e.into_service_error().meta().code().map(str::to_owned))?;
        // An answer that breaks off is an error, too.
        got.body.collect().await.map(|body| body.into_bytes()).map_err(|_| None)
    };
    let damaged = Some("ObjectDamaged".to_owned());
    for (key, size) in [("small", 5000), ("large", 3_000_000)] {
        put(key, size, false).await.unwrap();
        for at in [0, size / 2, size - 1] {
            let path = content_of(&cluster, size as u64);
            change(&path, |bytes| bytes[at] ^= 1);
            // The size and the ETag alone do not tell the two apart.
            match size {
                5000 => assert_eq!(get(key, None).await, Err(damaged.clone())),
                _ => assert_eq!(get(key, None).await, Err(None), "the body breaks off"),
            }
            // From now on that is known.
            assert_eq!(get(key, None).await, Err(damaged.clone()));
            assert_eq!(get(key, Some("bytes=0-9")).await, Err(damaged.clone()));
            assert!(s3.head_object().bucket("awsb-local").key(key).send().await.is_err());
            // Who puts it only if it is not there, as `bsub` does with a bundle, puts it now; and
            // then no more.
            put(key, size, true).await.unwrap();
            assert_eq!(get(key, None).await.unwrap().len(), size);
            assert!(put(key, size, true).await.is_err());
        }
        // Nobody has read it since: a part, a copy, and who relies on its checksum or its being
        // there look at it.
        let path = content_of(&cluster, size as u64);
        change(&path, |bytes| bytes[7] ^= 1);
        assert_eq!(get(key, Some("bytes=100-109")).await, Err(damaged.clone()));
        change(&path, |bytes| bytes[7] ^= 1);
        assert_eq!(&get(key, Some("bytes=7-7")).await.unwrap()[..], b"x");
        change(&path, |bytes| bytes[7] ^= 1);
        let copied = s3.copy_object().bucket("awsb-local").key("c").copy_source(format!("awsb-local/{key}"));
        assert!(copied.send().await.is_err());
        change(&path, |bytes| bytes[7] ^= 1);
        put(key, size, true).await.unwrap_err();
        change(&path, |bytes| bytes[7] ^= 2);
        put(key, size, true).await.unwrap();
        s3.delete_object().bucket("awsb-local").key(key).send().await.unwrap();
    }
}

/// A tool, asked about the local cluster.
fn tool(cluster: &Cluster, name: &str, arguments: &[&str]) -> Output {
    Command::new(program_built(name))
        .args(arguments)
        .env("AWSB_LOCAL_HOME", cluster.home())
        .env("AWSB_CLUSTER", "local")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[story]
async fn a_job_whose_record_is_damaged_hides_no_other() {
    let cluster = Cluster::new();
    cluster.ok(&["start", "--vcpus", "1"]);
    let notes = notes(&cluster);
    let batch = cluster.batch();
    let path = notes.display().to_string();
    let waiting = sh("while [ ! -e $NOTES.go ]; do sleep 0.01; done").env("NOTES", &path);
    let (ended, whole) = (batch.submit(sh("true")).await, batch.submit(sh("true")).await);
    batch.ended(&ended).await;
    batch.ended(&whole).await;
    let runs = batch.submit(waiting).await;
    batch.running(&runs).await;
    let note = |what: &str| sh(&format!("echo {what} >> $NOTES")).env("NOTES", &path);
    let without_spec = batch.submit(note("spec")).await;
    let without_terms = batch.submit(note("terms")).await;
    let without_name = batch.submit(note("name")).await;
    let array = batch.submit(note("array").size(2)).await;
    cluster.kill_server();
    let database = rusqlite::Connection::open(cluster.home().join("batch.db")).unwrap();
    let flip = "CAST(substr({}, 1, 20) || x'ff' || substr({}, 22) AS TEXT)";
    for (table, column, id) in [
        ("specs", "spec", &ended),
        ("specs", "spec", &runs),
        ("specs", "spec", &without_spec),
        ("specs", "terms", &without_terms),
        ("jobs", "name", &without_name),
        ("jobs", "summary", &array),
    ] {
        let value = flip.replace("{}", column);
        let change =
            format!("UPDATE {table} SET {column} = {value} WHERE key = (SELECT key FROM jobs WHERE id = ?1)");
        assert_eq!(database.execute(&change, [id]), Ok(1), "{change}");
    }
    drop(database);
    cluster.ok(&["start"]);
    let batch = cluster.batch();
    let listed = tool(&cluster, "bstat", &["-s", "ALL"]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.status.success(), "{listed:?}");
    for id in [&ended, &whole, &runs, &without_spec, &without_terms, &without_name, &array] {
        assert!(text.contains(&id[..8]), "{id}: {text}");
    }
    for id in [&ended, &runs] {
        let job = batch.describe(id).await;
        assert!(job.status_reason().unwrap().contains("is damaged: "), "{job:?}");
        let messages = cluster.json("status")["trouble"].as_str().unwrap().to_owned();
        assert!(messages.contains("batch.db is damaged") && messages.contains(id), "{messages}");
        assert!(cluster.log().contains(&format!("the record of job {id} is damaged")));
    }
    // It can be ended, and the others run.
    assert!(tool(&cluster, "bkill", &[&runs]).status.success());
    assert_eq!(batch.ended(&runs).await.status(), Some(&JobStatus::Failed));
    for id in [&without_spec, &without_terms] {
        let job = batch.ended(id).await;
        let reason = job.status_reason().unwrap();
        assert_eq!(job.status(), Some(&JobStatus::Failed));
        assert!(reason.contains("The record of this job is damaged, so it is not run"), "{reason}");
    }
    assert_eq!(batch.ended(&without_name).await.status(), Some(&JobStatus::Succeeded));
    for index in 0..2 {
        let child = batch.ended(&format!("{array}:{index}")).await;
        assert_eq!(child.status(), Some(&JobStatus::Succeeded));
    }
    let mut ran = lines(&notes);
    ran.sort();
    assert_eq!(ran, ["array", "array", "name"]);
    cluster.ok(&["reset", "--yes"]);
}

#[story]
async fn output_that_was_there_and_is_lost_is_said_to_be() {
    type Harm = fn(&Path);
    let harms: [(Harm, &str); 3] = [
        (|log| change(log, |bytes| bytes.truncate(bytes.len() / 2)), "has 9500 of its 19000 bytes"),
        (|log| change(log, Vec::clear), "is gone or empty"),
        (|log| fs::remove_file(log).unwrap(), "is gone or empty"),
    ];
    for (harm, words) in harms {
        let cluster = Cluster::started();
        let batch = cluster.batch();
        let id = batch.submit(sh("i=0; while [ $i -lt 1000 ]; do echo line; i=$((i+1)); done")).await;
        let job = batch.ended(&id).await;
        assert_eq!(stderr(&tool(&cluster, "bout", &[&id])), "");
        let logs = fs::read_dir(cluster.home().join("logs")).unwrap().next().unwrap().unwrap().path();
        harm(&fs::read_dir(logs).unwrap().next().unwrap().unwrap().path());
        let bout = tool(&cluster, "bout", &[&id]);
        let report = stderr(&bout);
        assert!(
            report.contains("bout: warning: not all of the output") && report.contains(words),
            "{report}"
        );
        assert!(bout.stdout.iter().filter(|byte| **byte == b'\n').count() <= 500);
        let details = tool(&cluster, "bstat", &["-d", &id]);
        let details = String::from_utf8_lossy(&details.stdout).into_owned();
        assert!(details.contains("OutputNotKept: the file of its log stream"), "{details}");
        // Who has it deleted knows.
        let stream = job.container().unwrap().log_stream_name().unwrap();
        let delete = batch.logs.delete_log_stream().log_group_name("/aws/batch/job").log_stream_name(stream);
        delete.send().await.unwrap();
        let job = batch.describe(&id).await;
        assert_eq!(job.container().unwrap().reason(), None, "{job:?}");
    }
}

/// Every write beyond the first 4,096 bytes of a file fails (EFBIG), which SQLite takes for a
/// failing disk, as it does EIO.
#[story]
#[cfg(target_os = "linux")]
async fn a_limit_of_the_size_of_files_that_is_met_while_the_server_runs_is_said() {
    let prlimit = awsb_testkit::program("prlimit");
    let cluster = Cluster::started();
    let notes = notes(&cluster);
    let batch = cluster.batch();
    let script = "while [ ! -e $NOTES.go ]; do sleep 0.01; done; echo ran >> $NOTES";
    let id = batch.submit(sh(script).env("NOTES", notes.display().to_string())).await;
    batch.running(&id).await;
    let pid = cluster.server_pid();
    let limit = |limit: &str| {
        let set = Command::new(&prlimit).args([format!("--fsize={limit}"), format!("--pid={pid}")]).status();
        assert!(set.unwrap().success());
    };
    limit("4096:unlimited");
    let tries = Tries::default();
    let submit = batch.batch.submit_job().job_name("j").job_queue("local").job_definition("local");
    let error = submit.customize().interceptor(tries.clone()).send().await.unwrap_err().into_service_error();
    assert_eq!(tries.0.load(Ordering::Relaxed), 1, "no client tries it again");
    let message = error.meta().message().unwrap();
    assert!(message.contains("may be larger than 4096 bytes"), "{message}");
    let before = Instant::now();
    let report = stderr(&tool(&cluster, "bsub", &["--wrap", "true"]));
    assert!(report.contains("may be larger than 4096 bytes") && before.elapsed() < SOON, "{report}");
    // Reading goes on, and the status says it.
    assert_eq!(batch.describe(&id).await.status(), Some(&JobStatus::Running));
    let trouble = cluster.json("status")["trouble"].as_str().unwrap().to_owned();
    assert!(trouble.contains("may be larger than 4096 bytes"), "{trouble}");
    // The job ends meanwhile, and its end is there when the disk is.
    fs::write(format!("{}.go", notes.display()), "").unwrap();
    until("the job has run", || !lines(&notes).is_empty());
    limit("unlimited:unlimited");
    assert_eq!(batch.ended(&id).await.status(), Some(&JobStatus::Succeeded));
    assert_eq!(batch.run(sh("true")).await.status(), Some(&JobStatus::Succeeded));
    assert_eq!((cluster.server_pid(), lines(&notes).len()), (pid, 1));
}

#[story]
async fn what_a_damaged_index_names_is_not_read_when_it_is_no_content() {
    let cluster = Cluster::started();
    let s3 = cluster.s3();
    let put = s3.put_object().bucket("awsb-local").key("k").body(b"content".to_vec().into());
    put.send().await.unwrap();
    cluster.ok(&["stop"]);
    let outside = cluster.home().join("outside");
    fs::write(&outside, "private").unwrap();
    let index = rusqlite::Connection::open(cluster.home().join("objects.db")).unwrap();
    assert_eq!(index.execute("UPDATE objects SET blob = '../outside'", []), Ok(1));
    drop(index);
    cluster.ok(&["start"]);
    let s3 = cluster.s3();
    let error = s3.get_object().bucket("awsb-local").key("k").send().await.unwrap_err().into_service_error();
    assert_eq!(error.meta().code(), Some("ObjectDamaged"), "{error:?}");
    assert!(error.meta().message().unwrap().contains("\"../outside\""), "{error:?}");
    // It can be listed and deleted, and the file stays.
    let listed = s3.list_objects_v2().bucket("awsb-local").send().await.unwrap();
    assert_eq!(listed.contents()[0].key(), Some("k"));
    s3.delete_object().bucket("awsb-local").key("k").send().await.unwrap();
    assert_eq!(fs::read_to_string(outside).unwrap(), "private");
}

#[story]
async fn a_journal_that_is_damaged_makes_no_job_begin_a_second_time_unsaid() {
    let cluster = Cluster::started();
    let notes = notes(&cluster);
    let batch = cluster.batch();
    let script = "echo $AWS_BATCH_JOB_ATTEMPT $PPID >> $NOTES; [ $AWS_BATCH_JOB_ATTEMPT = 2 ] || sleep 1000";
    let id = batch.submit(sh(script).attempts(2).env("NOTES", notes.display().to_string())).await;
    batch.running(&id).await;
    until("it has begun", || !lines(&notes).is_empty());
    cluster.kill_server();
    let runner = lines(&notes)[0].split(' ').nth(1).unwrap().parse().unwrap();
    kill(runner, "KILL");
    let journals = fs::read_dir(cluster.home().join("runners")).unwrap();
    let journal = journals.map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "journal"));
    let file = OpenOptions::new().write(true).open(journal.unwrap()).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(&vec![0; usize::try_from(length).unwrap()], 0).unwrap();
    cluster.ok(&["start"]);
    let batch = cluster.batch();
    let job = batch.ended(&id).await;
    // As of any attempt whose end nobody knows.
    assert_eq!((job.status(), job.attempts().len()), (Some(&JobStatus::Succeeded), 2), "{job:?}");
    assert!(job.attempts()[0].status_reason().unwrap().starts_with("Host EC2"), "{job:?}");
    assert!(cluster.log().contains("journal"), "{}", cluster.log());
}
