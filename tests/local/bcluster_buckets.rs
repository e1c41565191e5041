//! `bcluster delete --delete-data` and the bucket of a cluster: all of it goes, however much it is.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use awsb_testkit::local::s3;
use awsb_testkit::{Answer, Relay, Sandbox, Terminal, Verdict, story};

/// The objects that one listing has (S3 API, ListObjectVersions: up to 1,000 keys).
const PAGE: usize = 1000;

/// The number of objects of a story: more for a measurement.
fn objects(few: usize) -> usize {
    std::env::var("AWSB_TEST_OBJECTS").ok().and_then(|number| number.parse().ok()).unwrap_or(few)
}

/// Makes the cluster `lab` on the local cluster, and returns its bucket.
fn made(sandbox: &Sandbox) -> String {
    sandbox.file("lab.toml", "[environment.cpu]\ntype = \"on-demand\"\n[definition.job]\nimage = \"host\"\n");
    sandbox.run("bcluster", ["create", "lab", "-c", "local", "--yes", "-f", "lab.toml"]).ok();
    let shown = sandbox.run("bcluster", ["show", "lab", "--json"]).ok().json();
    shown[0]["outputs"]["ResourcesS3Bucket"].as_str().expect("a bucket").to_owned()
}

#[story]
fn all_objects_and_unfinished_uploads_of_a_real_bucket_go() {
    let mut sandbox = Sandbox::new();
    let bucket = made(&sandbox);
    sandbox.use_local_exports();
    let client = s3(&sandbox.access());
    for name in ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"] {
        sandbox.unset(name);
    }
    let objects = objects(2 * PAGE + 1);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let begun = Instant::now();
    runtime.block_on(async {
        let next = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..16)
            .map(|_| {
                let (client, bucket, next) = (client.clone(), bucket.clone(), Arc::clone(&next));
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        if number >= objects {
                            return;
                        }
                        // Keys that a listing has to encode.
                        let key = format!("awsb/a folder/{number} ü&<.txt");
                        let put = client.put_object().bucket(&bucket).key(key);
                        put.body(number.to_string().into_bytes().into()).send().await.expect("an object");
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.expect("a writer");
        }
        for number in 0..3 {
            let upload = client.create_multipart_upload().bucket(&bucket).key(format!("upload {number}"));
            upload.send().await.expect("an upload");
        }
    });
    let written = begun.elapsed();
    let begun = Instant::now();
    let outcome = sandbox.run("bcluster", ["delete", "lab", "-c", "local", "--yes", "--delete-data"]).ok();
    let count = if objects > 10 * PAGE { "more than 10000".to_owned() } else { objects.to_string() };
    assert!(outcome.stderr.contains(&format!("{bucket} ({count} objects")), "{outcome}");
    println!("{objects} objects: written in {written:?}, gone in {:?}", begun.elapsed());
    let gone = runtime.block_on(client.head_bucket().bucket(&bucket).send());
    assert!(gone.is_err(), "the bucket is still there");
}

/// A page of a listing that S3 would give for this many versions.
fn listing(from: usize, versions: usize) -> Answer {
    let to = (from + PAGE).min(versions);
    let mut body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListVersionsResult>".to_owned();
    for number in from..to {
        let _ = write!(
            body,
            "<Version><Key>awsb/batch/{number:09}/stdout</Key><VersionId>v{number:031}</VersionId>\
             <IsLatest>true</IsLatest><LastModified>2026-11-29T12:00:00.000Z</LastModified>\
             <ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>1000</Size>\
             <StorageClass>STANDARD</StorageClass></Version>"
        );
    }
    let is_truncated = to < versions;
    let _ = write!(body, "<IsTruncated>{is_truncated}</IsTruncated>");
    if is_truncated {
        let _ =
            write!(body, "<NextKeyMarker>{to}</NextKeyMarker><NextVersionIdMarker>v</NextVersionIdMarker>");
    }
    body.push_str("<EncodingType>url</EncodingType></ListVersionsResult>");
    Answer::Http(200, body, vec![("content-type", "application/xml".into())])
}

/// The value of a parameter in a query string.
fn parameter(query: &str, name: &str) -> Option<usize> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok())
}

#[story]
fn listings_of_a_huge_bucket_are_removed_in_parallel_and_with_progress() {
    const WIRE: Duration = Duration::from_secs(2);
    let versions = objects(30 * PAGE);
    let sandbox = Sandbox::new();
    let relay = Relay::before(&sandbox);
    made(&sandbox);
    let removed = AtomicUsize::new(0);
    relay.rule(move |_, call| match call.action.as_str() {
        // It is listed once more at the end: then nothing is left.
        "ListBucketVersions" if removed.load(Ordering::SeqCst) * PAGE >= versions => Verdict::Pass,
        "ListBucketVersions" => {
            Verdict::Answer(listing(parameter(&call.query, "key-marker").unwrap_or(0), versions))
        }
        "DeleteObjectVersion" => {
            removed.fetch_add(1, Ordering::SeqCst);
            Verdict::AnswerLate(Answer::Http(200, "<DeleteResult/>".into(), Vec::new()), WIRE)
        }
        _ => Verdict::Pass,
    });
    let begun = Instant::now();
    let delete = ["delete", "lab", "-c", "local", "--yes", "--delete-data"];
    let mut deletion = Terminal::new(120).start(&sandbox, "bcluster", delete);
    deletion.until("the progress", |screen| screen.contains("000 objects removed"));
    // A measurement has many more pages.
    let pages = u32::try_from(versions / PAGE).expect("a number of pages");
    let outcome = deletion.wait_for(Duration::from_secs(120) + WIRE * pages).ok();
    let elapsed = begun.elapsed();
    assert!(outcome.screen().contains("The cluster lab is deleted."), "{}", outcome.screen());
    let calls = relay.calls();
    let count = |action: &str| calls.iter().filter(|call| call.action == action).count();
    let pages = versions.div_ceil(PAGE);
    // Each page is removed with one call, and listed once; the first ten are counted before.
    assert_eq!(count("DeleteObjectVersion"), pages);
    assert!(count("ListBucketVersions") <= pages + 10 + 5, "{}", count("ListBucketVersions"));
    // Several calls are under way at the same time: those that came while one was answered.
    let removals = calls.iter().filter(|call| call.action == "DeleteObjectVersion");
    let times: Vec<Duration> = removals.map(|call| call.at).collect();
    let beside = |at: &Duration| times.iter().filter(|other| *other <= at && *at - **other < WIRE).count();
    let most = times.iter().map(beside).max().unwrap_or_default();
    println!("{versions} versions: gone in {elapsed:?}, up to {most} removals at a time");
    assert!((3..=8).contains(&most), "{most} removals at a time");
}
