//! Results come back: what a job leaves is listed and fetched by `bout --files`.

use std::os::unix::fs::symlink;
use std::path::Path;

use awsb_testkit::local::s3;
use awsb_testkit::{Answer, BadServer, Sandbox, program, story};
use serde_json::Value;

/// The files below a folder, by path.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder").map(|e| e.expect("an entry").path()) {
            match entry.is_dir() {
                true => folders.push(entry),
                false => found.push(entry.strip_prefix(folder).expect("below").display().to_string()),
            }
        }
    }
    found.sort();
    found
}

fn paths(listed: &Value) -> Vec<String> {
    let listed = listed.as_array().expect("an array").iter();
    listed.map(|file| file["Path"].as_str().expect("a path").to_owned()).collect()
}

#[story]
fn what_matches_comes_back_whatever_the_exit_code() {
    program("curl");
    let sandbox = Sandbox::new();
    sandbox.file(
        "job.sh",
        "echo 1 >a.csv; echo 2 >'b c+%20.csv'; echo 3 >.hidden.csv; echo no >d.txt\n\
         mkdir -p out/deep; echo 4 >out/deep/é; echo 5 >out/.dot; echo 6 >'out/line\nbreak'; : >out/empty\n\
         ln -s ../a.csv out/link; ln -s . out/loop; echo done; exit 7\n",
    );
    let args = ["-K", "--parsable", "-o", "*.csv", "-o", "out", "-o", "out/deep/*", "-o", "*.none", "job.sh"];
    let bsub = sandbox.run("bsub", args).ended_with(7);
    let id = bsub.stdout.trim();
    let output = sandbox.run("bout", [id]).ok().stdout;
    let expected = "done\nawsb: out/loop is a link to a directory: what is in it is not kept\nawsb: nothing matches *.none\n";
    assert_eq!(output, expected);

    let listed = sandbox.run("bout", ["--files", id, "--json"]).ok().json();
    let expected =
        ["a.csv", "b c+%20.csv", "out/.dot", "out/deep/é", "out/empty", "out/line\nbreak", "out/link"];
    assert_eq!(paths(&listed), expected);
    assert_eq!(listed[0]["Size"], 2);
    assert_eq!(listed[0]["Key"], format!("awsb/outputs/{id}/a.csv"));
    let table = sandbox.run("bout", ["--files", id]).ok().stdout;
    assert_eq!(table.lines().count(), 1 + expected.len());
    assert!(table.starts_with("size  lastModified"), "{table}");

    let into = sandbox.work().join("got");
    std::fs::create_dir(&into).expect("a directory");
    std::fs::write(into.join("a.csv"), "old and longer").expect("a file");
    let fetched = sandbox.run("bout", ["--files", id, "-d", "got", "--json"]).ok().json();
    assert_eq!(fetched[1]["File"], "got/b c+%20.csv");
    assert_eq!(files(&into), expected);
    let read = |name: &str| std::fs::read_to_string(into.join(name)).expect("a file");
    assert_eq!(
        (read("a.csv"), read("out/deep/é"), read("out/empty")),
        ("1\n".into(), "4\n".into(), String::new())
    );
    assert_eq!(read("out/link"), "1\n");
}

#[story]
fn odd_names_come_back_and_links_lead_nowhere() {
    program("curl");
    let sandbox = Sandbox::new();
    let outside = sandbox.work().join("outside");
    std::fs::create_dir_all(outside.join("sub")).expect("a directory");
    std::fs::write(outside.join("sub/secret"), "secret").expect("a file");
    let outside = outside.display().to_string();
    sandbox.file(
        "job.sh",
        format!(
            "echo 1 >ok; : >\"$(printf 'c\\001d')\"; : >\"$(printf 'n\\nl\\rr')\"; : >\"$(printf 'b\\377')\"; : >'d<&>'\n\
             mkdir real; echo 2 >real/x; ln -s {outside} ref; ln -s {outside}/sub real/sub; ln -s {outside}/sub/secret s\n"
        ),
    );
    let args = ["-K", "--parsable", "-o", "*", "-o", "ref/*/*", "-o", ".*", "job.sh"];
    let id = sandbox.run("bsub", args).ok().stdout.trim().to_owned();
    let output = sandbox.run("bout", [&id]).ok().stdout;
    for expected in [
        "is not UTF-8: it is kept as b%FF",
        "awsb: ref is a link out of the working directory: it is not kept",
        "awsb: s is a link out of the working directory: it is not kept",
        "awsb: real/sub is a link to a directory: what is in it is not kept",
    ] {
        assert!(output.contains(expected), "{output}");
    }
    let expected = ["b%FF", "c\u{1}d", "d<&>", "job.sh", "n\nl\rr", "ok", "real/x"];
    let listed = sandbox.run("bout", ["--files", &id, "--json"]).ok().json();
    assert_eq!(paths(&listed), expected);
    sandbox.run("bout", ["--files", &id, "-d", "got"]).ok();
    assert_eq!(files(&sandbox.work().join("got")), expected);
}

/// A page of a proxy in place of an answer is an error. A file of a job may look the same.
#[story]
async fn a_web_page_of_a_job_comes_back() {
    program("curl");
    let mut sandbox = Sandbox::new();
    sandbox.use_local_exports();
    let page = "<!DOCTYPE html><title>Results</title>";
    let wrap = format!("echo '{page}' >index.html");
    let args = ["-K", "--parsable", "-o", "*.html", "--wrap", &wrap];
    let id = sandbox.run("bsub", args).ok().stdout.trim().to_owned();
    let listed = sandbox.run("bout", ["--files", &id, "--json"]).ok().json();
    assert_eq!(paths(&listed), ["index.html"]);
    let key = listed[0]["Key"].as_str().expect("a key");
    let put = s3(&sandbox.access()).put_object().bucket("awsb-local").key(key).content_type("text/html");
    put.body(page.as_bytes().to_vec().into()).send().await.expect("a put");
    sandbox.run("bout", ["--files", &id, "-d", "got"]).ok();
    assert_eq!(std::fs::read_to_string(sandbox.work().join("got/index.html")).expect("a file"), page);
}

/// The list says how long a file is. What is longer could fill the disk, and what is shorter is not
/// the file.
#[story]
fn a_file_of_another_length_than_listed_is_not_kept() {
    const ID: &str = "aaaaaaaa-1111-4222-8333-444455556666";
    let list = format!(
        "<ListBucketResult><Contents><Key>awsb/outputs/{ID}/x</Key><Size>3</Size></Contents></ListBucketResult>"
    );
    let list = Answer::Http(200, list, vec![("content-type", "application/xml".into())]);
    let head = "HTTP/1.1 200 Yes\r\nx-amz-request-id: 1\r\nconnection: close\r\n";
    let short = format!("{head}\r\nab").into_bytes();
    for (answer, says, requests) in [
        (Answer::Endless(format!("{head}\r\nabc").into()), "more than 3 bytes", 1),
        (Answer::Raw(format!("{head}content-length: 4\r\n\r\nabcd").into()), "4 bytes", 1),
        (Answer::Raw(format!("{head}content-length: 2\r\n\r\nab").into()), "2 bytes", 1),
        (Answer::Raw(short.clone()), "2 of 3 bytes", 3),
    ] {
        let list = list.clone();
        let server = BadServer::start(move |request, _| match request.target.contains("list-type=2") {
            true => list.clone(),
            false => answer.clone(),
        });
        let sandbox = Sandbox::at(&server.endpoint());
        sandbox.file("got/x", "old");
        let outcome = sandbox.run("bout", ["--files", ID, "-d", "got"]);
        let message = outcome.failed_with(1);
        assert!(message.contains(&format!("awsb/outputs/{ID}/x: ")) && message.contains(says), "{outcome}");
        assert!(outcome.hints().contains("run this again"), "{outcome}");
        assert_eq!(files(&sandbox.work().join("got")), ["x"]);
        assert_eq!(std::fs::read_to_string(sandbox.work().join("got/x")).expect("a file"), "old");
        // And one for the list.
        assert_eq!(server.requests("s3").len(), requests + 1, "{outcome}");
    }
    // A transfer that breaks off once is repeated.
    let server = BadServer::start(move |request, before| match request.target.contains("list-type=2") {
        true => list.clone(),
        false if before == 1 => Answer::Raw(short.clone()),
        false => Answer::Raw(format!("{head}\r\nabc").into()),
    });
    let sandbox = Sandbox::at(&server.endpoint());
    sandbox.run("bout", ["--files", ID, "-d", "got"]).ok();
    assert_eq!(std::fs::read_to_string(sandbox.work().join("got/x")).expect("a file"), "abc");
}

#[story]
fn every_child_of_an_array_has_a_directory() {
    program("curl");
    let sandbox = Sandbox::new();
    let args = ["-K", "--parsable", "-a", "2", "-o", "x", "--wrap", "echo $AWS_BATCH_JOB_ARRAY_INDEX >x"];
    let id = sandbox.run("bsub", args).ok().stdout.trim().to_owned();
    assert_eq!(paths(&sandbox.run("bout", ["--files", &id, "--json"]).ok().json()), ["0/x", "1/x"]);
    let child = format!("{id}:1");
    assert_eq!(paths(&sandbox.run("bout", ["--files", &child, "--json"]).ok().json()), ["x"]);
    sandbox.run("bout", ["--files", &id, "-d", "all"]).ok();
    assert_eq!(std::fs::read_to_string(sandbox.work().join("all/1/x")).expect("a file"), "1\n");
}

#[story]
fn a_job_without_files_says_so_and_one_that_nobody_knows_is_an_error() {
    let sandbox = Sandbox::new();
    let id = sandbox.run("bsub", ["-K", "--parsable", "true"]).ok().stdout.trim().to_owned();
    let listed = sandbox.run("bout", ["--files", &id, "--json"]).ok();
    assert_eq!(
        (listed.stdout.as_str(), listed.stderr),
        ("[]\n", format!("bout: the job {id} has left no files\n"))
    );
    sandbox.run("bout", ["--files", "00000000-0000-0000-0000-000000000000"]).failed_with(1);
}

#[story]
fn a_job_puts_files_where_it_is_told_to() {
    let mut sandbox = Sandbox::new();
    let bsub = sandbox.run("bsub", ["-I", "--wrap", "echo $AWSB_OUTPUT_URL"]).ok();
    let url = bsub.stdout.trim().to_owned();
    assert!(url.starts_with("s3://awsb-local/awsb/outputs/") && url.ends_with('/'), "{url}");
    let python = awsb_testkit::python();
    sandbox.use_local_exports();
    sandbox.file("mine", "content");
    let aws = python.join("bin/aws").display().to_string();
    // Names that lead out of any directory, and what is no file at all.
    for name in ["plain/name", "up/../../../evil", "folder/"] {
        sandbox
            .run(
                &aws,
                [
                    "s3api",
                    "put-object",
                    "--bucket",
                    "awsb-local",
                    "--body",
                    "mine",
                    "--key",
                    &format!("{}{name}", &url[16..]),
                ],
            )
            .ok();
    }
    let id = url.trim_end_matches('/').rsplit('/').next().expect("an ID");
    std::fs::create_dir(sandbox.work().join("elsewhere")).expect("a directory");
    std::fs::create_dir(sandbox.work().join("d")).expect("a directory");
    symlink("../elsewhere", sandbox.work().join("d/plain")).expect("a link");
    let outcome = sandbox.run("bout", ["--cluster", "local", "--files", id, "-d", "d"]).ended_with(1);
    assert!(outcome.stderr.contains("`up/../../../evil`: its name leads out of d"), "{outcome}");
    assert!(outcome.stderr.contains("writing d/plain/name: d/plain is not a directory"), "{outcome}");
    assert_eq!(files(&sandbox.work().join("elsewhere")), [""; 0]);
    std::fs::remove_file(sandbox.work().join("d/plain")).expect("the link");
    sandbox.run("bout", ["--cluster", "local", "--files", id, "-d", "d"]).ended_with(1);
    assert_eq!(files(&sandbox.work().join("d")), ["plain/name"]);
}

#[story]
fn a_job_that_is_ended_keeps_its_files() {
    program("curl");
    let sandbox = Sandbox::new();
    sandbox.file(
        "job.sh",
        "trap 'echo saved >checkpoint; exit 9' TERM\necho ready\nwhile :; do sleep 0.1; done\n",
    );
    let id = sandbox.run("bsub", ["-o", "check*", "job.sh"]).ok().job_id();
    let mut follow = sandbox.start("bout", ["-f", &id]);
    assert_eq!(follow.line().as_deref(), Some("ready"));
    sandbox.run("bkill", [&id]).ok();
    follow.wait().ok();
    assert_eq!(paths(&sandbox.run("bout", ["--files", &id, "--json"]).ok().json()), ["checkpoint"]);
    let job = sandbox.run("bstat", [&id, "--json"]).ok().json();
    assert_eq!(job[0]["container"]["exitCode"], 9, "{job}");
}

#[story]
fn files_that_cannot_be_kept_fail_a_job_that_did_not() {
    let sandbox = Sandbox::new();
    let nowhere = format!("AWS_ENDPOINT_URL_S3={}", BadServer::closed_port());
    let bsub = |line: &str, code: i32| {
        let outcome = sandbox.run("bsub", ["-I", "-e", &nowhere, "-o", "x", "--wrap", line]).ended_with(code);
        assert!(
            outcome.stdout.contains("awsb: cannot upload x to s3://awsb-local/awsb/outputs/"),
            "{outcome}"
        );
    };
    bsub("echo 1 >x", 125);
    bsub("echo 1 >x; exit 3", 3);
}

#[story]
fn a_failed_upload_is_told_with_the_reason_that_the_server_gives() {
    program("curl");
    let reason = "the disk of /home is full: 0 bytes are free";
    let server = BadServer::start(move |_, _| Answer::s3_error(400, "InsufficientStorage", reason));
    let mut sandbox = Sandbox::new();
    sandbox.set("AWSB_CLUSTER", "local");
    let elsewhere = format!("AWS_ENDPOINT_URL_S3={}", server.endpoint());
    let bsub = ["-I", "-e", &elsewhere, "-o", "x", "--wrap", "echo 1 >x"];
    let outcome = sandbox.run("bsub", bsub).ended_with(125);
    let line = outcome.stdout.lines().find(|line| line.contains("cannot upload x")).unwrap_or_default();
    assert!(line.ends_with(&format!(": {reason}")), "{outcome}");
    assert!(!outcome.stdout.contains("boto3"), "{outcome}");
    let why = sandbox.run("bstat", ["--why", "last"]).ok();
    assert!(
        why.stdout.contains("a result could not be uploaded: x to ") && why.stdout.contains(reason),
        "{why}"
    );
}
