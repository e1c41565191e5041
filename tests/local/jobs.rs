//! Jobs on the local cluster, as the AWS SDK sees them.

use awsb_testkit::story;
use std::time::Duration;

use aws_sdk_batch::error::ProvideErrorMetadata;
use aws_sdk_batch::types::{ContainerOverrides, JobStatus, ResourceRequirement, ResourceType};
use awsb_testkit::local::{Cluster, Job, lines, lives, notes, sh, until};

#[story]
async fn a_job_runs_and_says_what_it_has_to_say() {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let job = batch.run(sh("echo one; echo two >&2; printf three")).await;
    assert_eq!(job.status(), Some(&JobStatus::Succeeded));
    assert_eq!(job.status_reason(), Some("Essential container in task exited"));
    assert_eq!(job.container().unwrap().exit_code(), Some(0));
    assert_eq!(job.attempts().len(), 1);
    assert!(job.created_at() <= job.started_at() && job.started_at() <= job.stopped_at());
    assert_eq!(batch.output(&job).await, ["one", "two", "three"]);

    let job = batch.run(sh("exit 3")).await;
    assert_eq!((job.status(), job.container().unwrap().exit_code()), (Some(&JobStatus::Failed), Some(3)));
    let job = batch.run(sh("kill -SEGV $$")).await;
    assert_eq!(job.container().unwrap().exit_code(), Some(139));
    let job = batch.run(Job { command: vec!["no-such-program".into()], ..Job::default() }).await;
    assert_eq!(job.container().unwrap().exit_code(), Some(127));
    assert!(job.container().unwrap().reason().unwrap().contains("executable file not found in $PATH"));
    assert_eq!(job.status_reason(), Some("Task failed to start"));
}

#[story]
async fn an_array_runs_every_index_once() {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let notes = notes(&cluster);
    let job =
        sh("echo $AWS_BATCH_JOB_ARRAY_INDEX/$AWS_BATCH_JOB_ARRAY_SIZE >> $NOTES; echo $AWS_BATCH_JOB_ID")
            .size(20)
            .env("NOTES", notes.display().to_string());
    let parent = batch.run(job).await;
    assert_eq!(parent.status(), Some(&JobStatus::Succeeded));
    let summary = parent.array_properties().unwrap().status_summary().unwrap();
    assert_eq!((summary["SUCCEEDED"], summary["FAILED"]), (20, 0));
    let mut seen = lines(&notes);
    seen.sort_by_key(|line| line.split('/').next().unwrap().parse::<u32>().unwrap());
    assert_eq!(seen, (0..20).map(|i| format!("{i}/20")).collect::<Vec<_>>());
    let id = parent.job_id().unwrap();
    let child = batch.describe(&format!("{id}:13")).await;
    assert_eq!(child.array_properties().unwrap().index(), Some(13));
    assert_eq!(batch.output(&child).await, [format!("{id}:13")]);

    // Listed by the array, in pages.
    let mut pages = batch
        .batch
        .list_jobs()
        .array_job_id(id)
        .job_status(JobStatus::Succeeded)
        .max_results(7)
        .into_paginator()
        .items()
        .send();
    let mut indices = Vec::new();
    while let Some(job) = pages.next().await {
        indices.push(job.unwrap().array_properties().unwrap().index().unwrap());
    }
    assert_eq!(indices, (0..20).collect::<Vec<_>>());

    // One child that fails fails the array, after all have ended.
    let parent = batch.run(sh("exit $AWS_BATCH_JOB_ARRAY_INDEX").size(3)).await;
    assert_eq!(parent.status(), Some(&JobStatus::Failed));
    let summary = parent.array_properties().unwrap().status_summary().unwrap();
    assert_eq!((summary["SUCCEEDED"], summary["FAILED"]), (1, 2));
}

#[story]
async fn a_jobs_environment_is_the_same_from_whatever_shell() {
    let cluster = Cluster::new();
    let mut start = cluster.blocal(&["start"]);
    let done =
        start.env("SECRET_OF_THE_SHELL", "1").env("LD_PRELOAD_NOT", "x").env("AWS_PROFILE", "lab").output();
    assert!(done.unwrap().status.success());
    let batch = cluster.batch();
    let job = batch.run(sh("env; pwd; umask; cat; echo end").env("MINE", "a=b\nc").env("LANG", "de")).await;
    let output = batch.output(&job).await;
    let names: Vec<&str> = output.iter().filter_map(|l| l.split_once('=')).map(|(name, _)| name).collect();
    for expected in [
        "HOME",
        "USER",
        "LOGNAME",
        "PATH",
        "LANG",
        "TMPDIR",
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_BATCH_JOB_ID",
        "AWS_BATCH_JOB_ATTEMPT",
        "AWS_BATCH_JQ_NAME",
        "AWS_BATCH_CE_NAME",
        "MINE",
    ] {
        assert!(names.contains(&expected), "{expected} is missing: {output:?}");
    }
    for unexpected in ["SECRET_OF_THE_SHELL", "LD_PRELOAD_NOT", "AWS_PROFILE", "AWS_BATCH_JOB_ARRAY_INDEX"] {
        assert!(!names.contains(&unexpected), "{unexpected} has leaked: {output:?}");
    }
    assert!(output.contains(&"LANG=de".to_owned()) && output.contains(&"MINE=a=b".to_owned()));
    assert!(output.iter().any(|l| l.starts_with('/') && l.contains("/scratch/")), "{output:?}");
    assert!(output.contains(&"0022".to_owned()) && output.last().unwrap() == "end");
    // Its scratch directory is gone with it.
    until("the scratch directory is gone", || {
        std::fs::read_dir(cluster.home().join("scratch")).unwrap().next().is_none()
    });
}

#[story]
async fn failed_attempts_are_repeated_each_with_a_log_stream_of_its_own() {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let job = batch
        .run(sh("echo attempt $AWS_BATCH_JOB_ATTEMPT; [ $AWS_BATCH_JOB_ATTEMPT = 3 ]").attempts(5))
        .await;
    assert_eq!(job.status(), Some(&JobStatus::Succeeded));
    let codes: Vec<_> = job.attempts().iter().map(|a| a.container().unwrap().exit_code()).collect();
    assert_eq!(codes, [Some(1), Some(1), Some(0)]);
    let mut streams: Vec<_> =
        job.attempts().iter().map(|a| a.container().unwrap().log_stream_name().unwrap()).collect();
    assert_eq!(Some(*streams.last().unwrap()), job.container().unwrap().log_stream_name());
    streams.dedup();
    assert_eq!(streams.len(), 3);
    assert_eq!(batch.output(&job).await, ["attempt 3"]);
}

#[story]
async fn termination_ends_the_whole_process_group() {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let notes = notes(&cluster);
    let script = "sh -c 'echo $$ >> $NOTES; exec sleep 1000' & echo $$ >> $NOTES; wait; sleep 1000";
    let id = batch.submit(sh(script).attempts(3).env("NOTES", notes.display().to_string())).await;
    until("both processes run", || lines(&notes).len() == 2);
    let pids: Vec<u32> = lines(&notes).iter().map(|l| l.parse().unwrap()).collect();
    batch.batch.terminate_job().job_id(&id).reason("enough of this").send().await.unwrap();
    let job = batch.ended(&id).await;
    assert_eq!((job.status(), job.status_reason()), (Some(&JobStatus::Failed), Some("enough of this")));
    assert_eq!((job.is_terminated(), job.attempts().len()), (Some(true), 1));
    assert_eq!(job.container().unwrap().exit_code(), Some(143));
    assert!(pids.iter().all(|pid| !lives(*pid)));
    // A second time, and on a job that has ended by itself: no error, no change.
    batch.batch.terminate_job().job_id(&id).reason("again").send().await.unwrap();
    assert_eq!(batch.describe(&id).await.status_reason(), Some("enough of this"));
    let error = batch.batch.terminate_job().job_id("no-such-job").reason("x").send().await.unwrap_err();
    assert_eq!(error.code(), Some("ClientException"));
}

#[story]
#[cfg(target_os = "linux")]
async fn nothing_is_left_behind_when_the_main_process_ends() {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let notes = notes(&cluster);
    // One in the group, one that has fled from it.
    let script = "(echo $(exec sh -c 'echo $PPID') >> $NOTES; sleep 1000) & \
                  setsid sh -c 'echo $$ >> $NOTES; exec sleep 1000' & \
                  while [ $(wc -l < $NOTES) -lt 2 ]; do :; done; echo done";
    std::fs::write(&notes, "").unwrap();
    let job = batch.run(sh(script).env("NOTES", notes.display().to_string())).await;
    assert_eq!(job.status(), Some(&JobStatus::Succeeded));
    assert_eq!(batch.output(&job).await, ["done"]);
    for pid in lines(&notes) {
        assert!(!lives(pid.parse().unwrap()));
    }
}

#[story]
async fn what_can_never_fit_says_so_and_keeps_nobody_waiting() {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let vcpus = ResourceRequirement::builder().r#type(ResourceType::Vcpu).value("4096").build();
    let overrides = ContainerOverrides::builder().resource_requirements(vcpus).build();
    let big = batch
        .batch
        .submit_job()
        .job_name("big")
        .job_queue("local")
        .job_definition("local")
        .container_overrides(overrides)
        .send()
        .await
        .unwrap();
    assert_eq!(batch.run(sh("true")).await.status(), Some(&JobStatus::Succeeded));
    let job = batch.describe(big.job_id().unwrap()).await;
    assert_eq!(job.status(), Some(&JobStatus::Runnable));
    assert!(job.status_reason().unwrap().starts_with("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"));
    batch.batch.cancel_job().job_id(big.job_id().unwrap()).reason("too big").send().await.unwrap();
    let job = batch.ended(big.job_id().unwrap()).await;
    assert_eq!((job.status_reason(), job.is_cancelled()), (Some("too big"), Some(true)));
}

#[story]
async fn lines_can_be_read_while_the_job_runs() {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let notes = notes(&cluster);
    let script = "echo first; while [ ! -e $NOTES ]; do sleep 0.01; done; echo second";
    let id = batch.submit(sh(script).env("NOTES", notes.display().to_string())).await;
    let job = batch.running(&id).await;
    let seen = tokio::time::timeout(Duration::from_secs(10), async {
        while batch.output(&job).await != ["first"] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    seen.await.expect("the first line, while the job runs");
    std::fs::write(&notes, "").unwrap();
    let job = batch.ended(&id).await;
    assert_eq!(batch.output(&job).await, ["first", "second"]);
}

#[story]
async fn a_flood_of_lines_arrives_whole() {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let job = batch.run(sh("seq 1 200000")).await;
    let output = batch.output(&job).await;
    assert_eq!(output.len(), 200_000);
    assert!(output.iter().enumerate().all(|(i, line)| *line == (i + 1).to_string()));

    // From the end, and bounded.
    let stream = job.container().unwrap().log_stream_name().unwrap();
    let events = || batch.logs.get_log_events().log_group_name("/aws/batch/job").log_stream_name(stream);
    let last = events().limit(3).send().await.unwrap();
    let messages: Vec<_> = last.events().iter().filter_map(|e| e.message()).collect();
    assert_eq!(messages, ["199998", "199999", "200000"]);
    let before = events().limit(2).next_token(last.next_backward_token().unwrap()).send().await.unwrap();
    assert_eq!(before.events()[1].message(), Some("199997"));
    let after = events().next_token(last.next_forward_token().unwrap()).send().await.unwrap();
    assert!(after.events().is_empty());
    assert_eq!(after.next_forward_token(), last.next_forward_token());
    let bad = events().next_token("f/17").send().await.unwrap_err();
    assert_eq!(bad.code(), Some("InvalidParameterException"));
    let missing =
        batch.logs.get_log_events().log_group_name("/aws/batch/job").log_stream_name("no").send().await;
    assert_eq!(missing.unwrap_err().code(), Some("ResourceNotFoundException"));
}

#[story]
async fn definitions_are_registered_described_and_used() {
    use aws_sdk_batch::types::{ContainerProperties, JobDefinitionType};
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let register = |image: &str| {
        let requirement =
            |kind, value: &str| ResourceRequirement::builder().r#type(kind).value(value).build();
        batch
            .batch
            .register_job_definition()
            .job_definition_name("greet")
            .r#type(JobDefinitionType::Container)
            .parameters("who", "world")
            .container_properties(
                ContainerProperties::builder()
                    .image(image)
                    .command("echo")
                    .command("hello")
                    .command("Ref::who")
                    .resource_requirements(requirement(ResourceType::Vcpu, "1"))
                    .resource_requirements(requirement(ResourceType::Memory, "64"))
                    .build(),
            )
            .send()
    };
    assert_eq!(register("host").await.unwrap().revision(), Some(1));
    let submit = |definition: &str| {
        let submit = batch.batch.submit_job().job_name("g").job_queue("local").job_definition(definition);
        submit.parameters("who", "you").send()
    };
    let job = batch.ended(submit("greet").await.unwrap().job_id().unwrap()).await;
    assert_eq!(batch.output(&job).await, ["hello you"]);
    assert!(job.container().unwrap().log_stream_name().unwrap().starts_with("greet/default/"));

    assert_eq!(register("busybox").await.unwrap().revision(), Some(2));
    batch.batch.deregister_job_definition().job_definition("greet:2").send().await.unwrap();
    submit("greet").await.unwrap();
    let listed =
        batch.batch.describe_job_definitions().job_definition_name("greet").status("ACTIVE").send().await;
    assert_eq!(listed.unwrap().job_definitions().len(), 1);

    let queues = batch.batch.describe_job_queues().send().await.unwrap();
    assert_eq!(queues.job_queues()[0].job_queue_name(), Some("local"));
    let environments = batch.batch.describe_compute_environments().send().await.unwrap();
    assert_eq!(environments.compute_environments()[0].compute_environment_name(), Some("local"));
    for (queue, definition) in [("nowhere", "local"), ("local", "nothing")] {
        let submit = batch.batch.submit_job().job_name("x").job_queue(queue).job_definition(definition);
        assert_eq!(submit.send().await.unwrap_err().code(), Some("ClientException"));
    }
}

#[story]
async fn a_reason_with_a_line_break_is_one_line_of_what_is_said() {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let id = batch.submit(sh("sleep 1000")).await;
    batch.running(&id).await;
    batch.batch.terminate_job().job_id(&id).reason("one\ntwo\r\n\x1b[31mthree").send().await.unwrap();
    let waited = std::process::Command::new(awsb_testkit::program_built("bwait"))
        .arg(&id)
        .env("AWSB_LOCAL_HOME", cluster.home())
        .env("AWSB_CLUSTER", "local")
        .output()
        .unwrap();
    let report = String::from_utf8(waited.stderr).unwrap();
    let lines: Vec<&str> = report.lines().collect();
    assert!(lines[0].starts_with("bwait: job ") && lines[0].contains("two"), "{report}");
    assert!(lines[1..].iter().all(|line| line.starts_with("hint: ")) && !report.contains('\x1b'), "{report}");
}
