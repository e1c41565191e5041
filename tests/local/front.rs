//! The front door of the local cluster: start and stop, who gets in, and S3.

use awsb_testkit::story;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use awsb_testkit::local::{Access, Batch, Cluster, kill, s3, sh};

#[story]
fn many_that_start_at_once_join_one_server() {
    let cluster = Cluster::new();
    let starts: Vec<_> = (0..8)
        .map(|_| {
            cluster
                .blocal(&["start", "--json"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut pids = Vec::new();
    for start in starts {
        let output = start.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let message: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        pids.push((message[0]["pid"].as_u64().unwrap(), message[0]["started"].as_bool().unwrap()));
    }
    assert_eq!(pids.iter().filter(|(_, started)| *started).count(), 1);
    pids.dedup_by_key(|(pid, _)| *pid);
    assert_eq!(pids.len(), 1);
    assert_eq!(cluster.log().matches("serving").count(), 1);
}

#[story]
fn the_home_is_private_and_what_was_exported_stays_valid() {
    let cluster = Cluster::new();
    let stopped = cluster.run(&["status"]);
    assert_eq!(stopped.status.code(), Some(1));
    let before = cluster.ok(&["env"]);
    assert!(before.contains("export AWS_ENDPOINT_URL='http://127.0.0.1:"));
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(cluster.home()), 0o700);
    assert_eq!(mode(&cluster.home().join("endpoint.json")), 0o600);
    assert!(cluster.ok(&["status"]).contains("RUNNING"));
    cluster.ok(&["stop"]);
    assert_eq!(cluster.json("stop")["stopped"], false);
    assert_eq!(cluster.json("status")["running"], false);
    assert_eq!(cluster.ok(&["env"]), before);
}

#[story]
async fn each_request_is_a_line_of_the_log_and_no_secret_is_in_it() {
    let cluster = Cluster::started();
    let job = cluster.batch().run(sh("echo $AWS_SECRET_ACCESS_KEY")).await;
    assert!(job.job_id().is_some());
    cluster.s3().put_object().bucket("awsb-local").key("a b").send().await.unwrap();
    let log = cluster.log();
    for wanted in
        ["service=batch operation=SubmitJob status=200", "service=s3 operation=PutObject status=200"]
    {
        let line =
            log.lines().find(|line| line.contains(wanted)).unwrap_or_else(|| panic!("{wanted}: {log}"));
        let fields: Vec<&str> = line.split(' ').collect();
        assert!(fields[0].ends_with('Z') && fields[1..3] == ["INFO", "request"], "{line}");
        assert!(line.contains(" id=") && line.contains(" duration="), "{line}");
    }
    for secret in ["KeyOfAwsbLocal", "Signature=", "Authorization"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[story]
fn a_second_server_and_another_cluster_are_errors() {
    let cluster = Cluster::started();
    let second = cluster.run(&["serve"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("already running in"), "{second:?}");
    assert_eq!(cluster.run(&["start", "-c", "genomics"]).status.code(), Some(2));
}

#[story]
fn a_newer_store_is_left_alone() {
    let cluster = Cluster::started();
    cluster.ok(&["stop"]);
    let db = rusqlite::Connection::open(cluster.home().join("batch.db")).unwrap();
    db.pragma_update(None, "user_version", 1000).unwrap();
    drop(db);
    let start = cluster.run(&["start"]);
    assert_eq!(start.status.code(), Some(1));
    let message = String::from_utf8_lossy(&start.stderr);
    assert!(message.contains("newer version of awsb"), "{message}");
}

#[story]
fn a_home_with_a_long_path_works() {
    let cluster = Cluster::new();
    let long = cluster.home().join("a".repeat(120)).join("b".repeat(120));
    let blocal = |action: &str| cluster.blocal(&[action]).env("AWSB_LOCAL_HOME", &long).output().unwrap();
    assert!(blocal("start").status.success());
    assert!(blocal("status").status.success());
    assert!(blocal("stop").status.success());
}

/// Sends bytes and returns the answer's status and body.
fn raw(access: &Access, request: &str) -> (u16, String) {
    let address = access.endpoint_url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = request.replacen("\r\nHost:", "\r\nConnection: close\r\nHost:", 1);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[story]
async fn only_requests_signed_with_the_homes_credentials_get_in() {
    let cluster = Cluster::started();
    let access = cluster.access();
    let post = |path: &str, headers: &str| {
        raw(&access, &format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n{headers}\r\n{{}}"))
    };
    let get =
        |path: &str, headers: &str| raw(&access, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));

    // Unsigned: each protocol has its own words.
    let (status, body) = post("/v1/listjobs", "");
    assert!(status == 403 && body.contains("MissingAuthenticationTokenException"), "{body}");
    assert!(body.to_lowercase().contains("x-amzn-requestid"));
    let (status, body) = post("/", "X-Amz-Target: Logs_20140328.GetLogEvents\r\n");
    assert!(status == 403 && body.contains("__type"), "{body}");
    let (status, body) = get("/awsb-local/x", "");
    assert!(status == 403 && body.contains("<Code>AccessDenied</Code>"), "{body}");

    // Signature Version 2, in the header and in the query.
    let v2 = format!("Authorization: AWS {}:c2lnbmF0dXJl\r\n", access.access_key_id);
    assert_eq!(get("/awsb-local/x", &v2).0, 403);
    let key = &access.access_key_id;
    let query = format!("/awsb-local/x?AWSAccessKeyId={key}&Signature=x&Expires=9999999999");
    assert_eq!(get(&query, "").0, 403);

    // Requests that a web page in the user's browser could send: no answer lets the page read
    // anything.
    let (status, body) =
        raw(&access, "OPTIONS /awsb-local/x HTTP/1.1\r\nHost: x\r\nOrigin: http://evil\r\n\r\n");
    assert!(status == 403 && !body.to_lowercase().contains("access-control-allow"), "{body}");

    // The wrong secret, the wrong key.
    for wrong in [
        Access { secret_access_key: "0".repeat(64), ..access.clone() },
        Access { access_key_id: "AKIDEXAMPLE".into(), ..access.clone() },
    ] {
        let batch = Batch::new(&wrong);
        let error = batch.batch.describe_job_queues().send().await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 403, "{error:?}");
        let error = batch.logs.describe_log_groups().send().await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 403, "{error:?}");
        let error = s3(&wrong).list_buckets().send().await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 403, "{error:?}");
    }
    // The right ones.
    assert_eq!(cluster.batch().batch.describe_job_queues().send().await.unwrap().job_queues().len(), 1);
}

/// A request that is signed right, at a time of our choice and for a body of our choice.
fn signed(
    access: &Access,
    service: &str,
    at: std::time::SystemTime,
    signed_body: &str,
    body: &str,
) -> (u16, String) {
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4;
    let identity = awsb_testkit::local::credentials(access).into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name(service)
        .time(at)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let (method, path) =
        if service == "s3" { ("GET", "/awsb-local") } else { ("POST", "/v1/describejobqueues") };
    let url = format!("{}{path}", access.endpoint_url);
    let request =
        SignableRequest::new(method, &url, std::iter::empty(), SignableBody::Bytes(signed_body.as_bytes()));
    let (instructions, _) = sign(request.unwrap(), &params).unwrap().into_parts();
    let host = access.endpoint_url.strip_prefix("http://").unwrap();
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in instructions.headers() {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if service == "s3" {
        text.push_str("x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n");
    }
    raw(access, &format!("{text}\r\n{body}"))
}

#[story]
fn a_signature_is_good_for_fifteen_minutes_and_one_body() {
    let cluster = Cluster::started();
    let access = cluster.access();
    let now = std::time::SystemTime::now();
    let minutes = |n: u64| std::time::Duration::from_secs(n * 60);
    assert_eq!(signed(&access, "batch", now, "{}", "{}").0, 200);
    assert_eq!(signed(&access, "batch", now - minutes(14), "{}", "{}").0, 200);
    assert_eq!(signed(&access, "batch", now - minutes(16), "{}", "{}").0, 403);
    assert_eq!(signed(&access, "batch", now + minutes(16), "{}", "{}").0, 403);
    assert_eq!(signed(&access, "batch", now, "{}", r#"{"jobQueues":[]}"#).0, 403);
    assert_eq!(signed(&access, "s3", now - minutes(16), "", "").0, 403);
    // A good signature for a service that is not there.
    let (status, body) = signed(&access, "dynamodb", now, "{}", "{}");
    assert!(status == 404 && body.contains("UnknownOperationException"), "{body}");
    // Garbage in a good envelope.
    assert_eq!(signed(&access, "batch", now, "[1,2", "[1,2").0, 400);
    let deep = "[".repeat(100_000);
    assert_eq!(signed(&access, "batch", now, &deep, &deep).0, 400);
    let long = "x".repeat(3 << 20);
    assert_eq!(signed(&access, "batch", now, &long, &long).0, 413);
}

#[story]
async fn objects_come_back_as_they_were() {
    let cluster = Cluster::started();
    let s3 = cluster.s3();
    let body: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    let put =
        s3.put_object().bucket("awsb-local").key("a/b").metadata("who", "me").content_type("text/x-test");
    // How it is sent is no property of the object.
    let put = put.content_encoding("aws-chunked,gzip");
    let put = put.body(ByteStream::from(body.clone())).send().await.unwrap();
    let got = s3.get_object().bucket("awsb-local").key("a/b").send().await.unwrap();
    assert_eq!((got.content_type(), got.e_tag()), (Some("text/x-test"), put.e_tag()));
    assert_eq!((&*got.metadata().unwrap()["who"], got.content_encoding()), ("me", Some("gzip")));
    assert_eq!(got.body.collect().await.unwrap().to_vec(), body);
    let part = s3.get_object().bucket("awsb-local").key("a/b").range("bytes=10-19").send().await.unwrap();
    assert_eq!(part.content_range(), Some("bytes 10-19/1000000"));
    assert_eq!(part.body.collect().await.unwrap().to_vec(), body[10..20]);
    let head = s3.head_object().bucket("awsb-local").key("a/b").send().await.unwrap();
    assert_eq!(head.content_length(), Some(1_000_000));
    s3.delete_object().bucket("awsb-local").key("a/b").send().await.unwrap();
    let gone = s3.get_object().bucket("awsb-local").key("a/b").send().await.unwrap_err();
    assert_eq!(gone.code(), Some("NoSuchKey"));
    let nowhere = s3.put_object().bucket("nowhere").key("k").body(ByteStream::from_static(b"x")).send().await;
    assert_eq!(nowhere.unwrap_err().code(), Some("NoSuchBucket"));
    // Nothing but what is there takes space.
    assert_eq!(std::fs::read_dir(cluster.home().join("objects")).unwrap().count(), 0);
}

#[story]
async fn of_many_conditional_puts_one_wins() {
    let cluster = Cluster::started();
    let s3 = cluster.s3();
    let puts = (0..16).map(|n| {
        let put = s3.put_object().bucket("awsb-local").key("once").if_none_match("*");
        tokio::spawn(put.body(ByteStream::from(vec![n; 10_000])).send())
    });
    let (mut won, mut lost) = (Vec::new(), 0);
    for (n, put) in puts.collect::<Vec<_>>().into_iter().enumerate() {
        match put.await.unwrap() {
            Ok(put) => won.push((n, put.e_tag().unwrap().to_owned())),
            Err(e) => {
                assert_eq!(e.raw_response().unwrap().status().as_u16(), 412, "{e:?}");
                assert_eq!(e.code(), Some("PreconditionFailed"));
                lost += 1;
            }
        }
    }
    assert_eq!((won.len(), lost), (1, 15));
    let got = s3.get_object().bucket("awsb-local").key("once").send().await.unwrap();
    assert_eq!(usize::from(got.body.collect().await.unwrap().to_vec()[0]), won[0].0);
    let replace = |etag: &str| {
        let put = s3.put_object().bucket("awsb-local").key("once").if_match(etag);
        put.body(ByteStream::from_static(b"new")).send()
    };
    assert_eq!(replace("\"0123\"").await.unwrap_err().code(), Some("PreconditionFailed"));
    replace(&won[0].1).await.unwrap();
    assert_eq!(std::fs::read_dir(cluster.home().join("objects")).unwrap().count(), 1);
}

#[story]
async fn a_key_is_never_a_path() {
    let cluster = Cluster::started();
    let s3 = cluster.s3();
    let keys = [
        "../../escape".to_owned(),
        "../escape".to_owned(),
        "a/../../escape".to_owned(),
        "/etc/passwd".to_owned(),
        "./x".to_owned(),
        "a//b".to_owned(),
        "a/".to_owned(),
        "con\u{1}trol".to_owned(),
        "\u{1f600} blank+plus%25".to_owned(),
        "x".repeat(1024),
    ];
    for key in &keys {
        let put =
            s3.put_object().bucket("awsb-local").key(key).body(ByteStream::from(key.clone().into_bytes()));
        // The SDK or the server may refuse a key; what is taken comes back under the same key.
        if put.send().await.is_ok() {
            let got = s3.get_object().bucket("awsb-local").key(key).send().await.unwrap();
            assert_eq!(got.body.collect().await.unwrap().to_vec(), key.as_bytes(), "{key:?}");
        }
    }
    let too_long =
        s3.put_object().bucket("awsb-local").key("x".repeat(1025)).body(ByteStream::from_static(b"x"));
    assert!(too_long.send().await.is_err());
    for folder in cluster.home().ancestors() {
        assert!(!folder.join("escape").exists());
    }
    let names = std::fs::read_dir(cluster.home().join("objects")).unwrap().map(|e| e.unwrap().file_name());
    assert!(
        names
            .into_iter()
            .all(|n| n.len() == 32 && n.to_str().unwrap().bytes().all(|b| b.is_ascii_hexdigit()))
    );
}

#[story]
async fn listings_have_prefixes_delimiters_and_pages() {
    let cluster = Cluster::started();
    let s3 = cluster.s3();
    s3.create_bucket().bucket("other").send().await.unwrap();
    for key in ["a", "d/", "d/1", "d/2", "d/e/3", "f", "g/4"] {
        s3.put_object().bucket("other").key(key).body(ByteStream::from_static(b"x")).send().await.unwrap();
    }
    let list = |prefix: &'static str, delimiter: Option<&'static str>, page: i32| {
        let s3 = s3.clone();
        async move {
            let list = s3
                .list_objects_v2()
                .bucket("other")
                .prefix(prefix)
                .set_delimiter(delimiter.map(str::to_owned));
            let mut pages = list.max_keys(page).into_paginator().send();
            let mut found = Vec::new();
            while let Some(page) = pages.next().await {
                let page = page.unwrap();
                found.extend(page.contents().iter().map(|o| o.key().unwrap().to_owned()));
                found.extend(page.common_prefixes().iter().map(|p| format!("{}*", p.prefix().unwrap())));
            }
            found.sort();
            found
        }
    };
    for page in [1, 2, 3, 1000] {
        assert_eq!(list("", None, page).await, ["a", "d/", "d/1", "d/2", "d/e/3", "f", "g/4"], "{page}");
        assert_eq!(list("", Some("/"), page).await, ["a", "d/*", "f", "g/*"], "{page}");
        assert_eq!(list("d/", Some("/"), page).await, ["d/", "d/1", "d/2", "d/e/*"], "{page}");
        assert_eq!(list("z", Some("/"), page).await, Vec::<String>::new());
        // An empty delimiter is none, for every key that is on a page of its own, too.
        assert_eq!(list("", Some(""), page).await, ["a", "d/", "d/1", "d/2", "d/e/3", "f", "g/4"], "{page}");
    }
    let first = s3.list_objects().bucket("other").delimiter("").max_keys(1).send().await.unwrap();
    assert_eq!((first.contents().len(), first.is_truncated(), first.next_marker()), (1, Some(true), None));
    let none = s3.list_objects().bucket("other").max_keys(0).send().await.unwrap();
    assert_eq!((none.contents().len(), none.is_truncated()), (0, Some(false)));
    let none = s3.list_objects_v2().bucket("nowhere").max_keys(0).send().await.unwrap_err();
    assert_eq!(none.code(), Some("NoSuchBucket"));
    let all = s3.list_objects_v2().bucket("other").continuation_token("").start_after("d/2").send().await;
    assert_eq!(
        all.unwrap().contents().iter().filter_map(|o| o.key()).collect::<Vec<_>>(),
        ["d/e/3", "f", "g/4"]
    );
    assert_eq!(s3.list_buckets().send().await.unwrap().buckets().len(), 2);
}

#[story]
async fn large_objects_can_come_in_parts() {
    let cluster = Cluster::started();
    let s3 = cluster.s3();
    let upload = s3.create_multipart_upload().bucket("awsb-local").key("big").send().await.unwrap();
    let id = upload.upload_id().unwrap();
    let mut parts = Vec::new();
    for number in [1, 2] {
        let body = ByteStream::from(vec![u8::try_from(number).unwrap(); 5 << 20]);
        let part =
            s3.upload_part().bucket("awsb-local").key("big").upload_id(id).part_number(number).body(body);
        let part = part.send().await.unwrap();
        parts.push(CompletedPart::builder().part_number(number).set_e_tag(part.e_tag).build());
    }
    // Who goes on with an upload asks what is there; one part a page.
    let listed = s3.list_parts().bucket("awsb-local").key("big").upload_id(id).max_parts(1);
    let mut pages = listed.into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert_eq!(page.parts().len(), 1);
        found.extend(page.parts().to_vec());
    }
    for (part, sent) in found.iter().zip(&parts) {
        assert_eq!((part.part_number(), part.e_tag()), (sent.part_number(), sent.e_tag()));
        assert_eq!(part.size(), Some(5 << 20));
        assert!(part.last_modified().is_some());
    }
    assert_eq!(found.len(), 2);
    let unknown =
        s3.list_parts().bucket("awsb-local").key("big").upload_id("nothing").send().await.unwrap_err();
    assert_eq!(unknown.code(), Some("NoSuchUpload"));
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = s3.complete_multipart_upload().bucket("awsb-local").key("big").upload_id(id);
    let whole = complete.multipart_upload(parts).send().await.unwrap();
    assert!(whole.e_tag().unwrap().ends_with("-2\""));
    let got =
        s3.get_object().bucket("awsb-local").key("big").send().await.unwrap().body.collect().await.unwrap();
    assert_eq!(got.to_vec(), [vec![1; 5 << 20], vec![2; 5 << 20]].concat());
    assert_eq!(std::fs::read_dir(cluster.home().join("objects")).unwrap().count(), 1);
}

#[story]
async fn jobs_reach_the_cluster_from_inside_with_what_they_find_in_their_environment() {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let blocal = awsb_testkit::program_built("blocal");
    let job =
        batch.run(sh(&format!("{blocal} status --json | tr -d ' \\n'; echo; echo $AWS_ENDPOINT_URL"))).await;
    let output = batch.output(&job).await;
    assert!(output[0].contains("\"running\":true"), "{output:?}");
    assert_eq!(output[1], cluster.access().endpoint_url);
}

#[story]
fn a_server_whose_home_is_removed_stops() {
    let cluster = Cluster::new();
    let server = cluster.blocal(&["serve", "--idle", "100"]).stderr(Stdio::piped()).spawn().unwrap();
    // It answers for its status a moment before it says where it listens, and only then has it
    // started.
    let endpoint = cluster.home().join("endpoint.json");
    awsb_testkit::local::until("it serves", || {
        endpoint.exists() && cluster.run(&["status"]).status.success()
    });
    std::fs::remove_dir_all(cluster.home()).unwrap();
    let ended = server.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
}

#[story]
async fn a_server_with_nothing_to_do_stops_by_itself_but_not_while_a_job_runs() {
    let cluster = Cluster::new();
    let mut server = cluster.blocal(&["serve", "--idle", "1"]).stderr(Stdio::null()).spawn().unwrap();
    awsb_testkit::local::until("it answers", || cluster.run(&["status"]).status.success());
    let job = cluster.batch().submit(sh("sleep 2")).await;
    let began = std::time::Instant::now();
    assert!(server.wait().unwrap().success());
    assert!(began.elapsed() >= std::time::Duration::from_secs(2));
    let job = cluster.batch().describe(&job).await;
    assert_eq!(job.status(), Some(&aws_sdk_batch::types::JobStatus::Succeeded));
}

#[story]
async fn what_does_not_fit_on_the_disk_is_not_acknowledged() {
    // The limit of a file's length stands for the end of the disk: it, too, lets a write begin and
    // not end.
    const LIMIT: usize = 400 * 512;
    let cluster = Cluster::started();
    cluster.ok(&["stop"]);
    let mut limited = std::process::Command::new("sh");
    let mut server = limited
        .args(["-c", "ulimit -f 400; exec \"$0\" serve", &awsb_testkit::program_built("blocal")])
        .env("AWSB_LOCAL_HOME", cluster.home())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    awsb_testkit::local::until("it answers", || cluster.run(&["status"]).status.success());
    let s3 = cluster.s3();
    let put = |key: &str, size: usize| {
        let body = ByteStream::from(vec![7; size]);
        s3.put_object().bucket("awsb-local").key(key).body(body).send()
    };
    put("fits", LIMIT).await.unwrap();
    // One byte too many: the failed write is the last one, which nobody waits for but a flush.
    for size in [LIMIT + 1, 3 * LIMIT] {
        let refused = put("does not fit", size).await.unwrap_err();
        // As for a full disk: an answer that no client tries again.
        assert_eq!(refused.raw_response().unwrap().status().as_u16(), 400, "{refused:?}");
    }
    let upload = s3.create_multipart_upload().bucket("awsb-local").key("parts").send().await.unwrap();
    let part = s3.upload_part().bucket("awsb-local").key("parts").upload_id(upload.upload_id().unwrap());
    let part = part.part_number(1).body(ByteStream::from(vec![7; LIMIT + 1])).send().await.unwrap_err();
    assert_eq!(part.raw_response().unwrap().status().as_u16(), 400, "{part:?}");
    let listed = s3.list_objects_v2().bucket("awsb-local").send().await.unwrap();
    assert_eq!(listed.contents().iter().filter_map(|o| o.key()).collect::<Vec<_>>(), ["fits"]);
    // Uploads that did not become objects take no space.
    assert_eq!(std::fs::read_dir(cluster.home().join("objects")).unwrap().count(), 1);
    cluster.ok(&["stop"]);
    assert!(server.wait().unwrap().success());
}

#[story]
async fn a_request_that_has_come_is_answered_before_the_server_stops() {
    let cluster = Cluster::started();
    let soon = std::time::Duration::from_secs(600);
    let put = cluster.s3().put_object().bucket("awsb-local").key("slow");
    let put =
        put.presigned(aws_sdk_s3::presigning::PresigningConfig::expires_in(soon).unwrap()).await.unwrap();
    let address = cluster.access().endpoint_url.strip_prefix("http://").unwrap().to_owned();
    let path = put.uri().split_once(&address).unwrap().1;
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(stream, "PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 5\r\n\r\n12").unwrap();
    let objects = || std::fs::read_dir(cluster.home().join("objects")).unwrap().count();
    awsb_testkit::local::until("the request has come", || objects() == 1);
    let mut stop = cluster.blocal(&["stop"]).spawn().unwrap();
    awsb_testkit::local::until("the server stops", || cluster.log().contains("stopping"));
    assert!(TcpStream::connect(&address).is_err(), "it takes no more requests");
    stream.write_all(b"345").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    assert!(stop.wait().unwrap().success());
    cluster.ok(&["start"]);
    let got = cluster.s3().get_object().bucket("awsb-local").key("slow").send().await.unwrap();
    assert_eq!(got.body.collect().await.unwrap().to_vec(), b"12345");
}

#[story]
async fn clients_cannot_take_the_descriptors_that_the_jobs_need() {
    let cluster = Cluster::new();
    let mut limited = std::process::Command::new("sh");
    let mut server = limited
        .args(["-c", "ulimit -n 128; exec \"$0\" serve", &awsb_testkit::program_built("blocal")])
        .env("AWSB_LOCAL_HOME", cluster.home())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    awsb_testkit::local::until("it answers", || cluster.run(&["status"]).status.success());
    let batch = cluster.batch();
    let address = cluster.access().endpoint_url.strip_prefix("http://").unwrap().to_owned();
    let notes = awsb_testkit::local::notes(&cluster);
    let script = "while [ ! -e $NOTES ]; do sleep 0.01; done; exit 7";
    let job = batch.submit(sh(script).env("NOTES", notes.display().to_string())).await;
    batch.running(&job).await;
    // More than there are descriptors; those that find no place are not refused, they wait.
    let idle: Vec<_> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    std::fs::write(&notes, "").unwrap();
    assert_eq!(cluster.json("status")["running"], true);
    drop(idle);
    assert_eq!(batch.ended(&job).await.container().unwrap().exit_code(), Some(7));
    cluster.ok(&["stop"]);
    assert!(server.wait().unwrap().success());
}

#[story]
fn a_server_on_another_machine_is_said_and_not_talked_to() {
    let cluster = Cluster::started();
    let file = cluster.home().join("endpoint.json");
    let ours = std::fs::read_to_string(&file).unwrap();
    let mut theirs: serde_json::Value = serde_json::from_str(&ours).unwrap();
    theirs["machine"] = serde_json::json!({"name": "node-17", "boot": "another"});
    std::fs::write(&file, theirs.to_string()).unwrap();
    for action in ["start", "status", "stop", "env"] {
        let refused = cluster.run(&[action]);
        assert_eq!(refused.status.code(), Some(1), "{action}");
        let message = String::from_utf8_lossy(&refused.stderr);
        assert!(message.contains("runs on another machine, node-17"), "{action}: {message}");
    }
    std::fs::write(&file, ours).unwrap();
    assert_eq!(cluster.json("status")["running"], true);
}

/// `blocal serve` in the foreground, once it serves.
fn in_the_foreground(cluster: &Cluster) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut server = cluster.blocal(&["serve"]);
    let mut server = server.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.by_ref().any(|line| line.contains("serving")));
    (server, lines)
}

#[story]
fn a_server_in_the_foreground_stops_in_good_order_and_ends_by_its_signal() {
    let cluster = Cluster::new();
    for (signal, number, code) in [("HUP", Some(1), None), ("INT", None, Some(130)), ("TERM", Some(15), None)]
    {
        let (mut server, lines) = in_the_foreground(&cluster);
        kill(server.id(), signal);
        let log: Vec<String> = lines.collect();
        let status = server.wait().unwrap();
        assert_eq!((status.signal(), status.code()), (number, code), "SIG{signal}: {log:?}");
        assert!(log.iter().any(|line| line.contains(&format!("stopping: SIG{signal}"))), "{log:?}");
        // The database was closed: all of it is in its one file.
        let wal = std::fs::metadata(cluster.home().join("batch.db-wal"));
        assert_eq!(wal.map_or(0, |wal| wal.len()), 0, "SIG{signal}");
    }
    // One in the background has no terminal that could go, and stops when it is asked to.
    cluster.ok(&["start"]);
    let pid = cluster.server_pid();
    kill(pid, "HUP");
    cluster.ok(&["env"]);
    assert_eq!(cluster.server_pid(), pid);
    let (mut server, lines) = {
        cluster.ok(&["stop"]);
        in_the_foreground(&cluster)
    };
    cluster.ok(&["stop"]);
    assert_eq!(server.wait().unwrap().code(), Some(0));
    drop(lines);
}

#[story]
async fn a_server_says_how_many_descriptors_it_needs() {
    let cluster = Cluster::new();
    let start = |limit: &str| {
        let blocal = cluster.blocal(&["start"]);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{limit} && exec \"$0\" start")).arg(blocal.get_program());
        blocal.get_envs().for_each(|(name, value)| match value {
            Some(value) => _ = shell.env(name, value),
            None => _ = shell.env_remove(name),
        });
        shell.stdin(Stdio::null()).output().unwrap()
    };
    for limit in [32, 63] {
        let refused = start(&format!("ulimit -n {limit}"));
        let message = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{message}");
        assert!(message.contains(&format!("at most {limit} files may be open at once")), "{message}");
        assert!(message.contains("the server needs 64") && message.contains("ulimit -Hn"), "{message}");
    }
    // The soft limit alone is raised; and with the least that it takes the cluster works.
    for limit in ["ulimit -S -n 32", "ulimit -n 64"] {
        let started = start(limit);
        assert!(started.status.success(), "{limit}: {started:?}");
        let jobs = cluster.batch();
        for _ in 0..3 {
            let job = jobs.run(sh("echo done")).await;
            assert_eq!(jobs.output(&job).await, ["done"], "{limit}");
        }
        cluster.ok(&["stop"]);
    }
}
