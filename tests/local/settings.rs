//! The settings of the local cluster, and their effects: its size, how long it remembers ended
//! jobs, and starting over.

use aws_sdk_batch::types::JobStatus;
use awsb_testkit::local::{Cluster, notes, sh, until};
use awsb_testkit::story;

#[story]
async fn a_cluster_is_as_large_as_it_is_set_and_stays_so() {
    let cluster = Cluster::new();
    cluster.ok(&["start", "--vcpus", "3", "--memory", "2G", "--gpus", "2"]);
    let sizes = || {
        let status = cluster.json("status");
        ["vcpus", "memory", "gpus"].map(|what| status[what]["capacity"].as_u64().unwrap())
    };
    assert_eq!(sizes(), [3, 2048, 2]);
    cluster.ok(&["stop"]);
    cluster.ok(&["start"]);
    assert_eq!(sizes(), [3, 2048, 2]);
    // The same again is no change; another is, and the server would have to be another.
    cluster.ok(&["start", "--vcpus", "3"]);
    let refused = cluster.run(&["start", "--vcpus", "4"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("other settings"), "{refused:?}");
    cluster.ok(&["stop"]);
    cluster.ok(&["start", "--vcpus", "auto", "--gpus", "auto"]);
    assert_eq!(sizes()[1..], [2048, 0]);
    assert_eq!(cluster.run(&["start", "--memory", "1Q"]).status.code(), Some(2));
    assert_eq!(cluster.run(&["start", "--vcpus", "0"]).status.code(), Some(2));
}

#[story]
async fn jobs_get_gpus_of_their_own() {
    let cluster = Cluster::new();
    cluster.ok(&["start", "--vcpus", "4", "--gpus", "2"]);
    let notes = notes(&cluster);
    let script =
        "echo $CUDA_VISIBLE_DEVICES >> $NOTES; while [ $(wc -l < $NOTES) -lt 2 ]; do sleep 0.01; done";
    let batch = cluster.batch();
    let gpu = aws_sdk_batch::types::ResourceRequirement::builder()
        .r#type(aws_sdk_batch::types::ResourceType::Gpu)
        .value("1")
        .build();
    let overrides = aws_sdk_batch::types::ContainerOverrides::builder()
        .set_command(Some(["sh", "-c", script].map(str::to_owned).to_vec()))
        .environment(
            aws_sdk_batch::types::KeyValuePair::builder()
                .name("NOTES")
                .value(notes.display().to_string())
                .build(),
        )
        .resource_requirements(gpu)
        .build();
    let submit = || {
        batch
            .batch
            .submit_job()
            .job_name("gpu")
            .job_queue("local")
            .job_definition("local")
            .container_overrides(overrides.clone())
            .send()
    };
    let ids = [submit().await.unwrap(), submit().await.unwrap()];
    for submitted in &ids {
        let job = batch.ended(submitted.job_id().unwrap()).await;
        assert_eq!(job.status(), Some(&JobStatus::Succeeded));
    }
    let mut given = awsb_testkit::local::lines(&notes);
    given.sort();
    assert_eq!(given, ["0", "1"]);
}

#[story]
async fn what_has_been_kept_long_enough_goes_with_its_logs() {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let old = batch.run(sh("echo $AWS_BATCH_JOB_ARRAY_INDEX").size(3)).await;
    let old = old.job_id().unwrap().to_owned();
    let files = || {
        let folders = std::fs::read_dir(cluster.home().join("logs")).unwrap();
        folders.map(|f| std::fs::read_dir(f.unwrap().path()).map_or(0, Iterator::count)).sum::<usize>()
    };
    assert_eq!(files(), 3);
    let waits = batch.submit(sh("sleep 1000")).await;
    batch.running(&waits).await;
    cluster.ok(&["stop"]);
    assert_eq!(cluster.run(&["start", "--retention", "0"]).status.code(), Some(2));
    // A day is longer than a test.
    std::fs::write(cluster.home().join("settings.json"), r#"{"retentionDays": 0}"#).unwrap();
    cluster.ok(&["start"]);
    let batch = cluster.batch();
    until("the old job is gone", || files() == 0);
    let left =
        batch.batch.describe_jobs().jobs(&old).jobs(format!("{old}:1")).jobs(&waits).send().await.unwrap();
    let left: Vec<_> = left.jobs().iter().map(|j| j.job_id().unwrap_or_default().to_owned()).collect();
    assert_eq!(left, [waits]);
}

#[story]
async fn a_reset_ends_all_jobs_and_leaves_nothing() {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let id = batch.submit(sh("sleep 1000").size(4)).await;
    batch.running(&format!("{id}:0")).await;
    assert_eq!(cluster.run(&["reset"]).status.code(), Some(2), "nobody to ask");
    std::fs::write(cluster.home().join("logs-of-mine"), "").unwrap();
    let key = cluster.access().access_key_id;
    cluster.ok(&["reset", "--yes"]);
    assert_eq!(cluster.runners(), 0);
    let left: Vec<_> = std::fs::read_dir(cluster.home()).unwrap().map(|e| e.unwrap().file_name()).collect();
    let mut left: Vec<_> = left.iter().map(|name| name.to_str().unwrap()).collect();
    left.sort_unstable();
    assert_eq!(left, ["logs-of-mine", "start.lock"]);
    let thesis = tempfile::tempdir().unwrap();
    std::fs::write(thesis.path().join("logs"), "not ours").unwrap();
    let refused = cluster.blocal(&["reset", "--yes"]).env("AWSB_LOCAL_HOME", thesis.path()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(thesis.path().join("logs").exists());
    cluster.ok(&["start"]);
    assert_ne!(cluster.access().access_key_id, key);
    assert!(cluster.batch().batch.describe_jobs().jobs(&id).send().await.unwrap().jobs().is_empty());
}

#[story]
fn a_broken_state_is_told_and_a_reset_mends_it() {
    let cluster = Cluster::started();
    cluster.ok(&["stop"]);
    let database = cluster.home().join("batch.db");
    // The write-ahead log alone would make the database whole again.
    let _ = std::fs::remove_file(cluster.home().join("batch.db-wal"));
    std::fs::write(&database, "this is no database, and it is long enough to be read as one. ".repeat(100))
        .unwrap();
    let failed = cluster.run(&["start"]);
    let message = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1));
    assert!(message.contains("batch.db") && !message.contains("panicked"), "{message}");
    let status = cluster.run(&["status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("batch.db"), "{status:?}");
    cluster.ok(&["reset", "-y"]);
    cluster.ok(&["start"]);
}

/// A disk that takes no more: the file size limit of the server.
#[story]
#[cfg(target_os = "linux")]
async fn a_full_disk_is_told_and_nothing_that_was_acknowledged_is_lost() {
    let cluster = Cluster::new();
    let mut server = std::process::Command::new("sh")
        .args(["-c", "exec \"$0\" serve", &awsb_testkit::program_built("blocal")])
        .env("AWSB_LOCAL_HOME", cluster.home())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("it answers", || cluster.run(&["status"]).status.success());
    let batch = cluster.batch();
    let before = batch.submit(sh("sleep 0.3; echo before")).await;
    let pid = cluster.server_pid().to_string();
    let limit = |size: &str| {
        let set =
            std::process::Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={size}")]).status();
        assert!(set.unwrap().success());
    };
    // The log of the database is longer than this already.
    limit("4096:unlimited");
    let refused = batch
        .batch
        .submit_job()
        .job_name("refused")
        .job_queue("local")
        .job_definition("local")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(refused.is_client_exception(), "{refused:?}");
    until("blocal status tells it", || cluster.json("status")["trouble"].is_string());
    limit("unlimited:unlimited");
    let after = batch.run(sh("echo after")).await;
    assert_eq!(batch.output(&after).await, ["after"]);
    assert_eq!(batch.output(&batch.ended(&before).await).await, ["before"]);
    assert!(cluster.json("status")["trouble"].is_null());
    cluster.ok(&["stop"]);
    assert!(server.wait().unwrap().success());
}
