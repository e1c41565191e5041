//! The job image on a real engine: ordinary jobs, arrays, and MPI across nodes. It is docker/ as
//! buildspec.yml builds and pushes it, pulled by its digest (support/job_image.rs); the MPI program
//! is in an image on top of that one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use awsb_testkit::{JobImage, Outcome, Sandbox, engine, engine_network, eventually, job_image, story};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, RemoveContainerOptionsBuilder,
    StartContainerOptions,
};
use futures_util::StreamExt;
use serde_json::{Value, json};

/// For things that take seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A sandbox whose local cluster has room for some nodes, and the image.
fn cluster() -> (Sandbox, &'static JobImage) {
    let image = job_image();
    let mut sandbox = Sandbox::new();
    sandbox.hold(engine_network());
    sandbox.run("blocal", ["start", "--vcpus", "16", "--memory", "8G"]).ok();
    sandbox.use_python();
    sandbox.use_local_exports();
    (sandbox, image)
}

/// The keys of nodes that are in the bucket.
fn keys(sandbox: &Sandbox) -> Vec<String> {
    let list = ["s3api", "list-objects-v2", "--bucket", "awsb-local", "--prefix", "awsb/nodes/"];
    let listed = sandbox.run("aws", list).ok();
    let listed = if listed.stdout.is_empty() { json!({}) } else { listed.json() };
    let all = listed["Contents"].as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|object| Some(object["Key"].as_str()?.to_owned())).collect()
}

/// Registers a multi-node job definition whose last node of three has an image that knows nothing
/// of the others.
fn with_a_stranger(sandbox: &Sandbox, image: &str, stranger: &str) {
    let range = |targets: &str, image: &str| {
        json!({"targetNodes": targets, "container": {"image": image, "resourceRequirements": [
            {"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "256"}]}})
    };
    register(sandbox, &json!([range("0:1", image), range("2:2", stranger)]));
}

/// Registers the job definition `odd`, of three nodes.
fn register(sandbox: &Sandbox, ranges: &Value) {
    let nodes = json!({"numNodes": 3, "mainNode": 0, "nodeRangeProperties": ranges}).to_string();
    let register =
        ["batch", "register-job-definition", "--type", "multinode", "--job-definition-name", "odd"];
    sandbox.run("aws", register.into_iter().chain(["--node-properties", &nodes])).ok();
}

/// The output of the main node of a multi-node job.
fn main_node(outcome: &Outcome) -> impl Iterator<Item = &str> {
    // Each line stands behind its node's index.
    outcome
        .stdout
        .lines()
        .filter_map(|line| line.split_once("0: ").filter(|(i, _)| i.len() < 4).map(|(_, l)| l))
}

/// Ranks to the hosts where they ran, as `ranks` has printed them; each has the sum of all.
#[track_caller]
fn ranks(outcome: &Outcome, greeting: &str) -> BTreeMap<u32, String> {
    let mut hosts = BTreeMap::new();
    for line in outcome.stdout.lines() {
        let Some((_, line)) = line.split_once("rank ") else { continue };
        assert!(line.ends_with(&format!("sum 15, {greeting}")), "{line}");
        let words: Vec<&str> = line.split([' ', ',']).collect();
        hosts.insert(words[0].parse().unwrap(), format!("{} {}", words[4], words[7]));
    }
    hosts
}

#[story]
fn an_ordinary_job_and_an_array() {
    let (sandbox, JobImage { pulled: image, .. }) = cluster();
    let script =
        "id -un; pwd; ps -o comm= -p 1; python3 -c 'print(6 * 7)'; aws --version | cut -d/ -f1; exit 5";
    let outcome = sandbox.run("bsub", ["-I", "--image", image, "--wrap", script]).ended_with(5);
    assert_eq!(outcome.stdout, "awsb\n/home/awsb\ntini\n42\naws-cli\n");
    // No entry point stands between the job and how it ends.
    let missing = sandbox.run("bsub", ["-I", "--bare", "--image", image, "no-such-program"]);
    assert_eq!(missing.code(), 127, "{missing}");
    let root = ["-I", "--image", image, "--user", "root", "id", "-un"];
    assert_eq!(sandbox.run("bsub", root).ok().stdout, "root\n");
    let array = ["-I", "-a", "3", "--image", image, "--wrap", "echo $((AWSB_TASK_ID * 10))"];
    let array = sandbox.run("bsub", array).ok();
    let lines: BTreeSet<&str> = array.stdout.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(lines, BTreeSet::from(["0", "10", "20"]), "{array}");
}

#[story]
fn a_signal_reaches_the_jobs_script() {
    let (sandbox, JobImage { mpi: image, .. }) = cluster();
    sandbox.file(
        "patient.sh",
        "#!/bin/bash\ntrap 'echo told to end; exit 9' TERM\necho ready\nwhile :; do sleep 0.1; done\n",
    );
    for nodes in [&[][..], &["-n", "2", "-p", "1", "-m", "256M"]] {
        let line = [&["--parsable", "--image", image], nodes, &["patient.sh"]].concat();
        let submitted = sandbox.run("bsub", line);
        let id = submitted.job_id();
        let main = if nodes.is_empty() { id.clone() } else { format!("{id}#0") };
        eventually("the script has begun", PATIENCE, || {
            sandbox.run("bout", [&main]).stdout.contains("ready").then_some(())
        });
        sandbox.run("bkill", [&id]).ok();
        sandbox.run("bwait", [&id]);
        let report = sandbox.run("bout", [&main]).ok();
        assert!(report.stdout.contains("told to end"), "{report}");
        assert_eq!(keys(&sandbox), [""; 0]);
    }
}

#[story]
fn an_mpi_program_across_three_nodes() {
    let (sandbox, JobImage { mpi: image, .. }) = cluster();
    let script = "#!/bin/bash\n\
        export GREETING='two words'\n\
        cut -d ' ' -f 2 \"$AWSB_HOSTFILE\" | sort | uniq -c\n\
        for node in $AWSB_NODES; do ssh \"$node\" hostname; done | sort | uniq | wc -l\n\
        aws s3 cp \"$AWSB_NODES_URL/${AWS_BATCH_JOB_ID%%#*}/$AWS_BATCH_JOB_ATTEMPT\" /tmp/left >/dev/null 2>&1; ls /tmp/left 2>/dev/null | wc -l\n\
        launch=/usr/local/lib/awsb/launch.sh\n\
        for node in $AWSB_NODES; do $launch -xl awsb -o LogLevel=ERROR \"$node\" -p 22 hostname; done | sort -u | wc -l\n\
        mpirun ranks\n\
        exit 4\n";
    sandbox.file("mpi.sh", script);
    // Which nodes it ran on: the script on the main node alone.
    let line = ["-I", "-n", "3", "-p", "2", "-m", "256M", "--image", image, "mpi.sh"];
    let outcome = sandbox.run("bsub", line).ended_with(4);
    let first: Vec<&str> = main_node(&outcome).take(4).map(str::trim).collect();
    let description = "slots, hosts by ssh, keys that are left, hosts by what is called like ssh";
    assert_eq!(first, ["3 slots=2", "3", "0", "3"], "{description}: {outcome}");
    let hosts = ranks(&outcome, "two words");
    assert_eq!(hosts.len(), 6, "{outcome}");
    let distinct: BTreeSet<&String> = hosts.values().collect();
    assert_eq!(distinct.len(), 3, "two ranks on each of three nodes: {outcome}");
    for node in 0..3 {
        let there = hosts.values().filter(|host| host.ends_with(&format!(" {node}"))).count();
        assert_eq!(there, 2, "on node {node}: {outcome}");
    }
}

#[story]
fn srun_of_a_slurm_script_reaches_the_nodes() {
    let (sandbox, JobImage { mpi: image, .. }) = cluster();
    let script = "#!/bin/bash\n#SBATCH -N 3 --ntasks-per-node=2 --cpus-per-task=1 --mem=256M\n\
                  export GREETING=srun\nsrun ranks\n";
    sandbox.file("slurm.sh", script);
    let outcome = sandbox.run("bsub", ["-I", "--image", image, "slurm.sh"]).ok();
    let hosts = ranks(&outcome, "srun");
    let distinct: BTreeSet<&String> = hosts.values().collect();
    assert_eq!((hosts.len(), distinct.len()), (6, 3), "{outcome}");
}

#[story]
fn a_script_that_runs_on_all_nodes() {
    let (sandbox, JobImage { mpi: image, .. }) = cluster();
    let script = "echo node $AWS_BATCH_JOB_NODE_INDEX sees $(wc -l <$AWSB_HOSTFILE); \
                  [ $AWS_BATCH_JOB_NODE_INDEX != 0 ] || sleep 3";
    let line = ["-I", "-n", "2", "-m", "256M", "-e", "AWSB_RUN_ON=all", "--image", image, "--wrap", script];
    let outcome = sandbox.run("bsub", line).ok();
    for node in 0..2 {
        assert!(outcome.stdout.contains(&format!("node {node} sees 2")), "{outcome}");
    }
}

#[story]
fn nodes_that_mount_directories_are_connected_as_the_user_of_the_script() {
    let (sandbox, JobImage { mpi: image, .. }) = cluster();
    // Nothing is mounted, which takes a capability, but all else is done as if it were.
    let container = json!({"image": image, "user": "root", "environment": [{"name": "AWSB_SHARED", "value": " "}],
        "resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "256"}]});
    register(&sandbox, &json!([{"targetNodes": "0:", "container": container}]));
    let script = "id -un; export GREETING=shared; mpirun ranks";
    let outcome = sandbox.run("bsub", ["-I", "--job-definition", "odd", "--wrap", script]).ok();
    assert_eq!(main_node(&outcome).next().map(str::trim), Some("awsb"), "{outcome}");
    assert_eq!(ranks(&outcome, "shared").len(), 6, "{outcome}");
}

#[story]
fn a_rank_that_aborts_ends_the_job() {
    let (sandbox, JobImage { mpi: image, .. }) = cluster();
    sandbox.file("abort.sh", "#!/bin/sh\nexec mpirun ranks 77\n");
    let line = ["-I", "-n", "3", "-p", "2", "-m", "256M", "--image", image, "abort.sh"];
    let outcome = sandbox.run("bsub", line).ended_with(77);
    assert!(outcome.stdout.contains("\"abort\""), "{outcome}");
}

#[story]
fn a_node_that_never_comes_is_named() {
    let (sandbox, JobImage { mpi: image, .. }) = cluster();
    let stranger = engine();
    with_a_stranger(&sandbox, image, stranger);
    let script = "[ $AWS_BATCH_JOB_NODE_INDEX != 2 ] || sleep 120; echo the job itself";
    let line = ["-I", "--job-definition", "odd", "-e", "AWSB_NODES_TIMEOUT=30", "--wrap", script];
    let outcome = sandbox.run("bsub", line).ended_with(126);
    // On a busy machine, node 1 may be late as well.
    let expected = ["2", "1 2"]
        .map(|late| format!("of 3 nodes these have not come within 30 s (AWSB_NODES_TIMEOUT): {late}\n"));
    let named = expected.iter().any(|expected| outcome.stdout.contains(expected.as_str()));
    assert!(named && outcome.stdout.contains("security group"), "{outcome}");
    assert!(!outcome.stdout.contains("0: the job itself"), "{outcome}");
    assert_eq!(keys(&sandbox), [""; 0]);
}

#[story]
fn the_key_is_there_while_nodes_are_awaited_and_nowhere_else() {
    let (sandbox, JobImage { mpi: image, .. }) = cluster();
    let stranger = engine();
    with_a_stranger(&sandbox, image, stranger);
    let line = ["--parsable", "--job-definition", "odd", "--wrap", "sleep 60"];
    let id = sandbox.run("bsub", line).job_id();
    let key = format!("awsb/nodes/{id}/1");
    eventually("the key is in the bucket", PATIENCE, || (keys(&sandbox) == [key.clone()]).then_some(()));
    // A reader without the cluster's credentials is refused.
    let endpoint = sandbox.get("AWS_ENDPOINT_URL").unwrap();
    let url = format!("{endpoint}/awsb-local/{key}");
    let anonymous = sandbox.run("curl", ["-s", "-o", "/dev/null", "-w", "%{http_code}", &url]);
    assert_eq!(anonymous.stdout, "403");
    let message = sandbox.run("aws", ["s3", "cp", &format!("s3://awsb-local/{key}"), "-"]).ok().stdout;
    let secret = message.lines().nth(1).unwrap();
    assert!(message.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") && secret.len() > 60);
    let described = sandbox.run("aws", ["batch", "describe-jobs", "--jobs", &id, &format!("{id}#0")]).ok();
    assert!(described.stdout.contains("AWSB_NODES_URL") && !described.stdout.contains(secret));
    // A killed job, too, takes it along.
    sandbox.run("bkill", [&id]).ok();
    sandbox.run("bwait", [&id]);
    eventually("the key is gone", PATIENCE, || keys(&sandbox).is_empty().then_some(()));
}

#[story]
fn another_attempt_has_another_key() {
    let (sandbox, JobImage { mpi: image, .. }) = cluster();
    let script = "ssh-keygen -lf /dev/shm/awsb-nodes/key.pub; ssh ${AWSB_NODES#* } true && \
                  [ $AWS_BATCH_JOB_ATTEMPT = 2 ] || exit 7";
    let wrap =
        ["-K", "--parsable", "-n", "2", "-r", "2", "--retry-on", "exit:7", "-m", "256M", "--image", image];
    let outcome = sandbox.run("bsub", wrap.into_iter().chain(["--wrap", script]));
    let id = outcome.stdout.trim_end();
    let message = || ["1", "2"].map(|a| sandbox.run("bout", ["--attempt", a, &format!("{id}#0")]).stdout);
    assert_eq!(outcome.code(), 0, "{outcome} {:?}", message());
    let fingerprint = |attempt: &str| {
        let message = sandbox.run("bout", ["--attempt", attempt, &format!("{id}#0")]).ok().stdout;
        message.lines().find(|line| line.contains("SHA256:")).map(str::to_owned)
    };
    let (first, second) = (fingerprint("1"), fingerprint("2"));
    assert!(first.is_some() && second.is_some() && first != second, "{first:?} {second:?}");
    assert_eq!(keys(&sandbox), [""; 0]);
}

#[story]
async fn shared_directories_are_mounted() {
    let JobImage { pulled: image, .. } = job_image();
    let look = "id -un; grep ' /scratch ' /proc/mounts; touch /scratch/mine; ls /scratch";
    let scratch = "none /scratch tmpfs size=1m,mode=1777";
    let run = async |user: &str, shared: &str, may: bool| {
        in_container(image, user, &[&format!("AWSB_SHARED={shared}")], may, look).await
    };
    // Root mounts it, and the job is nobody special.
    let message = run("root", scratch, true).await;
    assert!(message.starts_with("awsb\nnone /scratch tmpfs rw") && message.ends_with("mine\n"), "{message}");
    let message = run("root", scratch, false).await;
    let expected =
        "awsb: mounting none at /scratch is not permitted: the job definition needs \"privileged\": true\n";
    assert_eq!(message, expected);
    let message = run("awsb", scratch, false).await;
    assert!(message.starts_with("awsb: mounting /scratch takes root: the job definition needs"), "{message}");
    let message = run("root", "fs@tcp:/x /x lustre", true).await;
    assert!(
        message.starts_with("awsb: mounting fs@tcp:/x at /x: the image has no mount.lustre"),
        "{message}"
    );
}

#[story]
async fn what_a_job_with_shared_directories_is_when_they_are_mounted() {
    let JobImage { pulled: image, .. } = job_image();
    let shared = "AWSB_SHARED=none /scratch tmpfs";
    let run = async |variables: &[&str]| {
        let all = [&[shared][..], variables].concat();
        in_container(image, "root", &all, true, "echo $(id -un) $(id -gn) $USER $HOME").await
    };
    assert_eq!(run(&[]).await, "awsb awsb awsb /home/awsb\n");
    assert_eq!(run(&["AWSB_RUN_AS=root"]).await, "root root /root\n");
    // A group need not have its user's name.
    assert_eq!(run(&["AWSB_RUN_AS=sync"]).await, "sync nogroup sync /bin\n");
    let expected = "awsb: AWSB_RUN_AS: the image has no user nobody-here for the job to be\n";
    assert_eq!(run(&["AWSB_RUN_AS=nobody-here"]).await, expected);
    // The nodes of a job are connected as that user: ssh lets none in who has no shell.
    let nodes = [
        "AWS_BATCH_JOB_NUM_NODES=2",
        "AWS_BATCH_JOB_ID=j",
        "AWSB_NODES_URL=s3://b/n",
        "AWSB_RUN_AS=www-data",
    ];
    let message = run(&nodes).await;
    let expected = "awsb: ssh between nodes takes a user with a shell, and www-data has /usr/sbin/nologin";
    assert!(message.starts_with(expected), "{message}");
}

#[story]
async fn a_signal_while_the_key_is_deleted_leaves_no_key() {
    let JobImage { pulled: image, .. } = job_image();
    // In the place of the AWS CLI: with the key the other node comes, and the signal comes with the
    // first deletion, which fails.
    let script = r#"cd /tmp; mkdir bin; cat >bin/aws <<'END'
#!/bin/sh
case $2 in
cp) cat >/tmp/key; echo 127.0.0.1 1 boot 127.0.0.1 >/dev/shm/awsb-nodes/nodes/1 ;;
rm) if [ -e /tmp/told ]; then exec rm /tmp/key; fi; : >/tmp/told; kill -TERM "$(cat /tmp/pid)"; exit 1 ;;
esac
END
chmod +x bin/aws
export PATH=/tmp/bin:$PATH AWS_BATCH_JOB_NUM_NODES=2 AWS_BATCH_JOB_ID=j AWSB_NODES_URL=s3://b/n
sh -c 'echo $$ >/tmp/pid; exec /usr/local/lib/awsb/nodes.sh id' 2>/dev/null; echo $?; ls bin key told 2>/dev/null"#;
    assert_eq!(in_container(image, "awsb", &[], false, script).await, "143\ntold\n\nbin:\naws\n");
}

/// Runs a shell command in the image, as a job that may mount or may not. (What a privileged
/// container has is more than this takes, and more than every machine allows.)
async fn in_container(image: &str, user: &str, variables: &[&str], may_mount: bool, command: &str) -> String {
    let docker = Docker::connect_with_defaults().unwrap();
    let may = |what: &str| may_mount.then(|| vec![what.to_owned()]);
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        user: Some(user.to_owned()),
        env: Some(variables.iter().map(|&variable| variable.to_owned()).collect()),
        cmd: Some(["sh", "-c", command].map(str::to_owned).to_vec()),
        host_config: Some(HostConfig {
            cap_add: may("SYS_ADMIN"),
            security_opt: may("apparmor=unconfined"),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let id = docker.create_container(None::<CreateContainerOptions>, body).await.unwrap().id;
    let options = AttachContainerOptionsBuilder::new().stdout(true).stderr(true).stream(true).build();
    let attached = docker.attach_container(&id, Some(options)).await.unwrap();
    docker.start_container(&id, None::<StartContainerOptions>).await.unwrap();
    let frames: Vec<_> = attached.output.collect().await;
    let force = RemoveContainerOptionsBuilder::new().force(true).build();
    docker.remove_container(&id, Some(force)).await.unwrap();
    frames.into_iter().map(|frame| frame.unwrap().to_string()).collect()
}
