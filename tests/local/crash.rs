//! A server or a runner that dies, as a job's user sees it: nothing is lost, nothing runs twice.

use awsb_testkit::story;
use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_batch::types::JobStatus;
use awsb_testkit::local::{Cluster, lines, notes, sh, until};
#[cfg(target_os = "linux")]
use awsb_testkit::local::{kill, lives};

/// How often each line is there.
fn counted(lines: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line.as_str()).or_default() += 1;
    }
    counts
}

#[story]
async fn an_array_survives_a_server_that_is_killed_again_and_again() {
    const SIZE: i32 = 60;
    let cluster = Cluster::started();
    let notes = notes(&cluster);
    // Children of different lengths, so that the kills hit every part of their lives.
    let script = "echo start $AWS_BATCH_JOB_ARRAY_INDEX >> $NOTES; \
                  for i in 1 2 3; do echo line $i; sleep 0.0$((AWS_BATCH_JOB_ARRAY_INDEX % 7)); done; \
                  echo end $AWS_BATCH_JOB_ARRAY_INDEX >> $NOTES";
    let id = cluster.batch().submit(sh(script).size(SIZE).env("NOTES", notes.display().to_string())).await;
    for pause in [0, 3, 17, 41, 90, 5, 130, 29, 61, 11] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        cluster.kill_server();
        // Sometimes a while without a server, in which jobs end and nobody hears it.
        tokio::time::sleep(Duration::from_millis(pause)).await;
        cluster.ok(&["start"]);
    }
    let batch = cluster.batch();
    let parent = batch.ended(&id).await;
    assert_eq!(parent.status(), Some(&JobStatus::Succeeded), "{parent:?}");
    let seen = lines(&notes);
    let counts = counted(&seen);
    for index in 0..SIZE {
        assert_eq!(counts.get(format!("start {index}").as_str()), Some(&1), "{counts:?}");
        assert_eq!(counts.get(format!("end {index}").as_str()), Some(&1), "{counts:?}");
        let child = batch.describe(&format!("{id}:{index}")).await;
        assert_eq!((child.status(), child.attempts().len()), (Some(&JobStatus::Succeeded), 1));
        assert_eq!(batch.output(&child).await, ["line 1", "line 2", "line 3"]);
    }
}

#[story]
async fn a_job_that_ends_while_no_server_runs_has_ended_when_one_comes_back() {
    let cluster = Cluster::started();
    let notes = notes(&cluster);
    let script = "echo before; while [ ! -e $NOTES ]; do sleep 0.01; done; echo after; exit 7";
    let batch = cluster.batch();
    let id = batch.submit(sh(script).env("NOTES", notes.display().to_string())).await;
    batch.running(&id).await;
    cluster.kill_server();
    std::fs::write(&notes, "").unwrap();
    until("its runner is gone", || cluster.runners() == 0);
    cluster.ok(&["start"]);
    let batch = cluster.batch();
    let job = batch.ended(&id).await;
    assert_eq!((job.container().unwrap().exit_code(), job.attempts().len()), (Some(7), 1));
    assert_eq!(batch.output(&job).await, ["before", "after"]);
}

#[story]
async fn a_graceful_stop_leaves_jobs_to_their_runners() {
    let cluster = Cluster::started();
    let notes = notes(&cluster);
    let script = "while [ ! -e $NOTES ]; do sleep 0.01; done; echo done";
    let batch = cluster.batch();
    let id = batch.submit(sh(script).env("NOTES", notes.display().to_string())).await;
    batch.running(&id).await;
    let stopped = cluster.run(&["stop"]);
    assert!(String::from_utf8_lossy(&stopped.stderr).contains("1 job has not ended"), "{stopped:?}");
    cluster.ok(&["start"]);
    let batch = cluster.batch();
    assert_eq!(batch.describe(&id).await.status(), Some(&JobStatus::Running));
    std::fs::write(&notes, "").unwrap();
    assert_eq!(batch.ended(&id).await.status(), Some(&JobStatus::Succeeded));
}

#[story]
#[cfg(target_os = "linux")]
async fn a_server_that_a_job_has_started_outlives_the_job() {
    let cluster = Cluster::started();
    let notes = notes(&cluster);
    let blocal = awsb_testkit::program_built("blocal");
    // The processes that the job itself leaves behind are ended, too, even when they have left its
    // group and dropped its variables.
    let script = format!(
        "{blocal} stop; {blocal} start; setsid env -i sh -c 'echo $$ >> {0}; exec sleep 1000' & \
         while [ ! -s {0} ]; do sleep 0.01; done",
        notes.display()
    );
    let first = cluster.server_pid();
    let id = cluster.batch().submit(sh(&script)).await;
    until("the job has started another server", || lines(&notes).len() == 1);
    let second = cluster.server_pid();
    assert_ne!(first, second);
    let batch = cluster.batch();
    assert_eq!(batch.ended(&id).await.status(), Some(&JobStatus::Succeeded));
    assert_eq!(cluster.server_pid(), second);
    // The same runner takes the next job: again, the server is none of that job's.
    assert_eq!(batch.run(sh("true")).await.status(), Some(&JobStatus::Succeeded));
    assert_eq!(cluster.server_pid(), second);
    assert!(!lives(lines(&notes)[0].parse().unwrap()));
}

#[story]
#[cfg(target_os = "linux")]
async fn a_job_whose_runner_is_killed_is_a_lost_attempt() {
    for server_too in [false, true] {
        let cluster = Cluster::started();
        let notes = notes(&cluster);
        let batch = cluster.batch();
        // The first attempt stays; the second sees whether the first is still there.
        let script = "if [ $AWS_BATCH_JOB_ATTEMPT = 1 ]; then echo $$ $PPID >> $NOTES; sleep 1000; fi; \
                      read pid runner < $NOTES; case $(ps -o stat= -p $pid) in ''|Z*) ;; *) echo both run;; esac; echo attempt 2";
        let id = batch.submit(sh(script).attempts(2).env("NOTES", notes.display().to_string())).await;
        until("it runs", || lines(&notes).len() == 1);
        batch.running(&id).await;
        let pids: Vec<u32> = lines(&notes)[0].split(' ').map(|pid| pid.parse().unwrap()).collect();
        if server_too {
            cluster.kill_server();
        }
        kill(pids[1], "KILL");
        if server_too {
            cluster.ok(&["start"]);
        }
        let batch = cluster.batch();
        let job = batch.ended(&id).await;
        assert_eq!(job.status(), Some(&JobStatus::Succeeded), "{job:?}");
        assert_eq!(job.attempts().len(), 2);
        let lost = &job.attempts()[0];
        assert!(lost.status_reason().unwrap().starts_with("Host EC2 (instance i-"), "{lost:?}");
        assert_eq!(lost.container().unwrap().exit_code(), None);
        let output = batch.output(&job).await;
        assert_eq!(output.last().unwrap(), "attempt 2");
        assert!(!output.contains(&"both run".to_owned()));
        assert!(!lives(pids[0]));
    }
}

#[story]
#[cfg(target_os = "linux")]
async fn whatever_dies_no_index_runs_twice_at_the_same_time() {
    const SIZE: i32 = 40;
    let cluster = Cluster::started();
    let notes = notes(&cluster);
    // The lock goes with the process, however it ends.
    let script = "exec 9>> $NOTES.$AWS_BATCH_JOB_ARRAY_INDEX; flock -n 9 || echo twice >> $NOTES; \
                  sleep 0.0$((AWS_BATCH_JOB_ARRAY_INDEX % 9)); echo out";
    let job = sh(script).size(SIZE).attempts(10).env("NOTES", notes.display().to_string());
    let id = cluster.batch().submit(job).await;
    for (n, pause) in [2, 31, 7, 53, 19, 3].into_iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if n % 2 == 0 {
            cluster.kill_server();
        }
        for runner in runner_pids(&cluster) {
            kill(runner, "KILL");
        }
        cluster.ok(&["start"]);
    }
    let batch = cluster.batch();
    let parent = batch.ended(&id).await;
    assert_eq!(parent.status(), Some(&JobStatus::Succeeded), "{parent:?}");
    assert_eq!(lines(&notes), Vec::<String>::new());
    for index in 0..SIZE {
        let child = batch.describe(&format!("{id}:{index}")).await;
        assert_eq!(batch.output(&child).await, ["out"]);
        let lost = child.attempts().iter().filter(|a| a.status_reason().unwrap().starts_with("Host EC2"));
        assert_eq!(lost.count(), child.attempts().len() - 1);
    }
}

/// Numbers that look random; the seed is said when the test fails.
#[cfg(target_os = "linux")]
struct Dice(u64);

#[cfg(target_os = "linux")]
impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// The processes of the runners of a cluster.
#[cfg(target_os = "linux")]
fn runner_pids(cluster: &Cluster) -> Vec<u32> {
    let ps = std::process::Command::new("ps").args(["-A", "-o", "pid=,args="]).output().unwrap();
    let text = String::from_utf8_lossy(&ps.stdout).into_owned();
    let locks = std::fs::read_dir(cluster.home().join("runners")).unwrap();
    let ids: Vec<String> = locks
        .filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(".lock").map(str::to_owned))
        .collect();
    text.lines()
        .filter(|line| ids.iter().any(|id| line.contains(id.as_str())))
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect()
}

/// Two hundred deaths, of the server and of runners, while arrays with dependencies and retries
/// run: every job ends well, none runs beside itself, and what the last attempt has printed is
/// there.
#[story]
#[cfg(target_os = "linux")]
async fn two_hundred_random_deaths() {
    const DEATHS: usize = 200;
    const SIZE: i32 = 25;
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let cluster = Cluster::new();
    cluster.ok(&["start", "--vcpus", "6"]);
    let notes = notes(&cluster);
    std::fs::create_dir(cluster.home().join("locks")).unwrap();
    // Every fifth child fails its first attempt. The lock goes with the process, however it ends:
    // whoever finds another attempt of itself says so.
    let script = "exec 9>> $LOCKS/$AWS_BATCH_JOB_ID; flock -n 9 || echo twice $AWS_BATCH_JOB_ID >> $NOTES; \
                  for i in 1 2 3 4; do echo line $i; sleep 0.0$((${AWS_BATCH_JOB_ARRAY_INDEX:-5} % 3 + 1)); done; \
                  [ $((${AWS_BATCH_JOB_ARRAY_INDEX:-1} % 5)) != 0 ] || [ $AWS_BATCH_JOB_ATTEMPT != 1 ] || exit 1; \
                  echo done $AWS_BATCH_JOB_ID >> $NOTES";
    let job = |size: Option<i32>| awsb_testkit::local::Job {
        size,
        ..sh(script)
            .attempts(10)
            .env("NOTES", notes.display().to_string())
            .env("LOCKS", cluster.home().join("locks").display().to_string())
    };
    let mut ids: Vec<String> = Vec::new();
    let mut deaths = 0;
    while deaths < DEATHS {
        // New work as long as there are deaths to die: rounds of jobs that depend on those before.
        let before = ids.last().cloned();
        let busy = match &before {
            Some(id) => {
                let status = cluster.batch().describe(id).await.status().cloned();
                !matches!(status, Some(JobStatus::Succeeded | JobStatus::Failed))
            }
            None => false,
        };
        if !busy {
            let batch = cluster.batch();
            let first = batch.submit_after(job(Some(SIZE)), &[]).await;
            let second = batch.submit_after(job(Some(SIZE)), &[(Some(first.as_str()), Some("N_TO_N"))]).await;
            let third = batch
                .submit_after(job(Some(4)), &[(Some(second.as_str()), None), (None, Some("SEQUENTIAL"))])
                .await;
            let last = batch.submit_after(job(None), &[(Some(third.as_str()), None)]).await;
            ids.extend([first, second, third, last]);
        }
        // Batch gives a job 10 attempts: one that lives much longer than the time between two
        // deaths would lose all.
        tokio::time::sleep(Duration::from_millis(dice.roll(100))).await;
        let runners = runner_pids(&cluster);
        if dice.roll(4) == 0 && !runners.is_empty() {
            let at = usize::try_from(dice.roll(runners.len() as u64)).unwrap();
            // It may have gone by itself meanwhile.
            let _ = std::process::Command::new("kill").args(["-KILL", &runners[at].to_string()]).output();
        } else {
            cluster.kill_server();
            tokio::time::sleep(Duration::from_millis(dice.roll(40))).await;
            cluster.ok(&["start"]);
        }
        deaths += 1;
    }
    let batch = cluster.batch();
    for id in &ids {
        let ended = batch.ended(id).await;
        let size = ended.array_properties().and_then(|a| a.size()).unwrap_or(0);
        if ended.status() != Some(&JobStatus::Succeeded) {
            let mut report = vec![format!("{ended:?}")];
            for index in 0..size {
                let child = batch.describe(&format!("{id}:{index}")).await;
                if child.status() == Some(&JobStatus::Failed) {
                    report.push(format!("{index}: {:?} {:#?}", child.status_reason(), child.attempts()));
                }
            }
            panic!("seed {seed}: {}", report.join("\n"));
        }
        for job in (0..size).map(|index| format!("{id}:{index}")) {
            let child = batch.describe(&job).await;
            let wanted = ["line 1", "line 2", "line 3", "line 4"];
            assert_eq!(batch.output(&child).await, wanted, "seed {seed}: {child:?}");
        }
    }
    let twice: Vec<_> = lines(&notes).into_iter().filter(|line| line.starts_with("twice")).collect();
    assert!(twice.is_empty(), "seed {seed}: {twice:?}");
    println!("{} jobs", ids.len() / 4 * (2 * usize::try_from(SIZE).unwrap() + 5));
}
