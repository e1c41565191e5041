//! Objects that are named by their content and have another content: awsb replaces them, and never
//! uses them.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use aws_sdk_batch::types::{ContainerOverrides, KeyValuePair};
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use awsb_testkit::local::{Access, Batch, s3};
use awsb_testkit::{Sandbox, program, story};
use serde_json::json;

const BUCKET: &str = "awsb-local";

/// A sandbox, and a client for its local cluster.
fn sandbox() -> (Sandbox, Client, Access) {
    let mut sandbox = Sandbox::new();
    sandbox.use_local_exports();
    let access = sandbox.access();
    sandbox.set("AWSB_CLUSTER", "local");
    (sandbox, s3(&access), access)
}

async fn keys(s3: &Client) -> BTreeSet<String> {
    let listed = s3.list_objects_v2().bucket(BUCKET).prefix("awsb/bundles/").send().await.expect("a listing");
    listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
}

async fn get(s3: &Client, key: &str) -> Vec<u8> {
    let object = s3.get_object().bucket(BUCKET).key(key).send().await.expect("the object");
    object.body.collect().await.expect("its content").to_vec()
}

async fn put(s3: &Client, key: &str, content: Vec<u8>) {
    s3.put_object().bucket(BUCKET).key(key).body(ByteStream::from(content)).send().await.expect("a put");
}

/// Hardly compressible text.
fn noise(length: usize) -> String {
    let mut seed: u32 = 1;
    let letters = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + ((seed >> 24) % 26) as u8)
    });
    letters.take(length).collect()
}

#[story]
async fn a_damaged_bundle_heals() {
    let (sandbox, s3, _) = sandbox();
    // One that travels in the request, one that is fetched, and one that is looked for before it is
    // sent.
    for (name, length) in [("small.sh", 0), ("fetched.sh", 20_000), ("large.sh", 600_000)] {
        let before = keys(&s3).await;
        // Too long for a request as text, and small when it is packed.
        let padding = "# padding\n".repeat(1_000);
        sandbox.file(name, format!("echo {name}\n{padding}# {}\n", noise(length)));
        let run = || assert_eq!(sandbox.run("bsub", ["-I", name]).ok().stdout, format!("{name}\n"));
        run();
        let after = keys(&s3).await;
        let [key] = after.difference(&before).collect::<Vec<_>>()[..] else { panic!("a bundle: {after:?}") };
        let whole = get(&s3, key).await;
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [flipped, whole[..whole.len() / 2].to_vec(), Vec::new(), [&whole[..], b"x"].concat()] {
            put(&s3, key, damaged).await;
            run();
            assert!(get(&s3, key).await == whole, "{name} was put again");
        }
        assert_eq!(keys(&s3).await, after);
    }
}

#[story]
async fn variables_in_a_bundle_are_shown_and_a_bundle_that_cannot_be_read_is_mentioned() {
    let (sandbox, s3, _) = sandbox();
    sandbox.file("job.sh", "#!/bin/sh\nexit 0\n");
    // Too large for the request: packed into it, and packed in S3.
    for (big, is_fetched) in [("x".repeat(20_000), false), (noise(20_000), true)] {
        let before = keys(&s3).await;
        let (big, odd) = (format!("BIG={big}"), "ODD=it's\nof two lines");
        let args = ["--parsable", "-e", &big, "-e", odd, "-e", "DB_PASS=hunter2", "job.sh"];
        let id = sandbox.run("bsub", args).ok().stdout.trim().to_owned();
        let shown = sandbox.run("bstat", ["--env", &id]).ok();
        assert_eq!(shown.stderr, "", "{shown}");
        for variable in [&big, "ODD=it's of two lines", "DB_PASS=***"] {
            assert!(shown.stdout.contains(&format!(": {variable}\n")), "{variable:.40}: {shown}");
        }
        assert!(!shown.stdout.contains("hunter2"), "{shown}");
        assert!(sandbox.run("bstat", ["--env=all", &id]).ok().stdout.contains("DB_PASS=hunter2"));
        let json = sandbox.run("bstat", ["--env", "--json", &id]).ok().json();
        let variables = json[0]["container"]["environment"].as_array().cloned().unwrap_or_default();
        assert!(variables.contains(&json!({ "name": "ODD", "value": "it's\nof two lines" })), "{json:.2000}");
        let after = keys(&s3).await;
        let [key] = after.difference(&before).collect::<Vec<_>>()[..] else { panic!("a bundle: {after:?}") };
        s3.delete_object().bucket(BUCKET).key(key).send().await.expect("it is gone");
        let shown = sandbox.run("bstat", ["--env", &id]).ok();
        assert!(shown.stdout.contains(&id) && shown.stdout.contains("ODD=") != is_fetched, "{shown}");
        if !is_fetched {
            assert_eq!(shown.stderr, "", "the request has it: {shown}");
            continue;
        }
        let warning = format!("bstat: warning: variables in the bundle of the job {id} are not shown: ");
        assert!(shown.stderr.starts_with(&warning) && shown.stderr.contains(key.as_str()), "{shown}");
        assert_eq!(shown.stderr.lines().count(), 1, "{shown}");
    }
}

#[story]
async fn a_bundle_is_fetched_once_for_the_variables_in_it_and_not_at_all_where_there_are_none() {
    let (sandbox, s3, _) = sandbox();
    sandbox.file("job.sh", "#!/bin/sh\nsleep 1000\n");
    let big = format!("BIG={}", noise(20_000));
    let id = sandbox.run("bsub", ["--parsable", "-e", &big, "job.sh"]).ok().stdout.trim().to_owned();
    let mut watching = sandbox.start("bstat", ["--debug", "--env", "-w", "0.1", &id]);
    for _ in 0..3 {
        while watching.line().is_some_and(|line| !line.contains(&big)) {}
    }
    sandbox.run("bkill", [&id]).ok();
    let outcome = watching.wait().ok();
    let is_fetch = |line: &&str| line.starts_with("> GET ") && line.contains("/bundles/");
    assert_eq!(outcome.stderr.lines().filter(is_fetch).count(), 1);

    // Its script is in S3, its variables are in the request: whoever may not read the one sees the
    // others.
    sandbox.file("long.sh", format!("#!/bin/sh\n# {}\n", noise(20_000)));
    let id = sandbox.run("bsub", ["--parsable", "-e", "A=1", "long.sh"]).ok().stdout.trim().to_owned();
    for key in keys(&s3).await {
        s3.delete_object().bucket(BUCKET).key(key).send().await.expect("it is gone");
    }
    let shown = sandbox.run("bstat", ["--env", &id]).ok();
    assert_eq!(shown.stderr, "", "{shown}");
    assert!(shown.stdout.contains(": A=1\n"), "{shown}");
}

#[story]
async fn damaged_inputs_heal() {
    program("curl");
    let (sandbox, s3, _) = sandbox();
    sandbox.file("data", noise(9 << 20));
    let run = || sandbox.run("bsub", ["-I", "-i", "data", "--wrap", "cksum <data"]).ok().stdout;
    let output = run();
    let before = keys(&s3).await;
    let key = before.iter().find(|key| key.ends_with(".tar")).expect("the inputs");
    let whole = get(&s3, key).await;
    for damaged in [vec![0; whole.len()], whole[1..].to_vec()] {
        put(&s3, key, damaged).await;
        assert_eq!(run(), output);
        assert!(get(&s3, key).await == whole, "they were put again");
    }
    assert_eq!(keys(&s3).await, before);
}

#[story]
async fn a_script_that_is_not_what_was_staged_is_not_shown() {
    let (sandbox, s3, _) = sandbox();
    let text = format!("#!/bin/sh\necho hi\n# {}\n", noise(20_000));
    sandbox.file("job.sh", &text);
    let id = sandbox.run("bsub", ["-K", "--parsable", "job.sh"]).ok().job_id();
    assert_eq!(sandbox.run("bstat", ["--script", &id]).ok().stdout, text);
    let key = keys(&s3).await.pop_first().expect("a bundle");
    // Another script's bundle, whole by itself.
    sandbox.file("other.sh", format!("echo EVIL\n# {}\n", noise(20_001)));
    sandbox.run("bsub", ["-K", "other.sh"]).ok();
    let other = keys(&s3).await.into_iter().find(|other| *other != key).expect("another bundle");
    put(&s3, &key, get(&s3, &other).await).await;
    let outcome = sandbox.run("bstat", ["--script", &id]);
    let output = outcome.failed_with(1);
    let sha256 = other.rsplit('/').next().and_then(|name| name.split('.').next()).expect("a hash");
    assert!(output.ends_with(&format!("{key}: it is damaged: its SHA-256 is {sha256}")), "{output}");
    assert_eq!(outcome.stdout, "");
    // Submitting it again is the way out, as the hint says.
    sandbox.run("bsub", ["-K", "job.sh"]).ok();
    assert_eq!(sandbox.run("bstat", ["--script", &id]).ok().stdout, text);
}

/// A bundle of some KiB that is some hundred MiB when it is unpacked takes no more memory than any
/// other.
#[story]
async fn a_bundle_that_is_a_bomb_is_given_up() {
    use sha2::{Digest, Sha256};
    let (sandbox, s3, access) = sandbox();
    let mut header = tar::Header::new_gnu();
    header.set_path("job.sh").expect("a path");
    header.set_size(400 << 20);
    header.set_cksum();
    let zeros = "{ cat; head -c 419430400 /dev/zero; } | gzip -1";
    let mut gzip = Command::new("sh");
    gzip.args(["-c", zeros]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut gzip = gzip.spawn().expect("gzip");
    gzip.stdin.take().expect("its input").write_all(header.as_bytes()).expect("a header");
    let bomb = gzip.wait_with_output().expect("a bomb").stdout;
    let hash = hex::encode(Sha256::digest(&bomb));
    let key = format!("awsb/bundles/{hash}.tar.gz");
    put(&s3, &key, bomb).await;
    // `bsub` would not, but anybody can say that a job has this bundle.
    let bundle = KeyValuePair::builder().name("AWSB_BUNDLE").value(format!("s3://{BUCKET}/{key}")).build();
    let overrides = ContainerOverrides::builder().command("true").environment(bundle).build();
    let job =
        Batch::new(&access).batch.submit_job().job_name("bomb").job_queue("local").job_definition("local");
    let job = job.container_overrides(overrides).send().await.expect("a job");
    let id = job.job_id().expect("an ID");
    // In 1,024 bytes: heap and stacks.
    let bstat = format!("ulimit -d 200000 && exec bstat --script {id}");
    let outcome = sandbox.run("sh", ["-c", &bstat]).ended_with(1);
    let output =
        format!("unpacking the bundle of the job {id}: it has more than 256 MiB when it is unpacked");
    assert_eq!(outcome.stderr, format!("bstat: error: {output}\n"), "{outcome}");
    assert_eq!(outcome.stdout, "");
}
