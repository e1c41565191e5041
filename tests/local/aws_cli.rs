//! The local cluster as clients that we did not write see it: the `aws` CLI and boto3, with nothing
//! but the exports of `blocal env`.

use std::time::Duration;

use serde_json::{Value, json};

use awsb_testkit::{Sandbox, eventually, story};

/// The answer of an `aws` command.
#[track_caller]
fn aws<const N: usize>(sandbox: &Sandbox, args: [&str; N]) -> Value {
    let outcome = sandbox.run("aws", args).ok();
    if outcome.stdout.is_empty() { Value::Null } else { outcome.json() }
}

/// Submits a job with the `aws` CLI; returns its ID.
#[track_caller]
fn submit(sandbox: &Sandbox, name: &str, command: &[&str], more: &[&str]) -> String {
    let overrides = json!({ "command": command }).to_string();
    let mut args = vec!["batch", "submit-job", "--job-name", name, "--job-queue", "local"];
    args.extend(["--job-definition", "local", "--container-overrides", &overrides]);
    args.extend(more);
    let answer = sandbox.run("aws", args).ok().json();
    assert_eq!(answer["jobName"], name);
    answer["jobId"].as_str().unwrap().to_owned()
}

/// Waits until the job is in a state; returns it as it then is.
#[track_caller]
fn job_in(sandbox: &Sandbox, id: &str, status: &str) -> Value {
    eventually(&format!("the job is {status}"), Duration::from_secs(60), || {
        let mut answer = aws(sandbox, ["batch", "describe-jobs", "--jobs", id]);
        let job = answer["jobs"][0].take();
        (job["status"] == status).then_some(job)
    })
}

/// Runs Python with boto3 imported and its clients made; returns what it prints, as JSON.
#[track_caller]
fn boto3(sandbox: &Sandbox, program: &str) -> Value {
    let clients = "import boto3, json\n\
                   from botocore.exceptions import ClientError\n\
                   batch, logs, s3 = map(boto3.client, ('batch', 'logs', 's3'))\n";
    sandbox.run("python", ["-c", &format!("{clients}{program}")]).ok().json()
}

#[story]
fn the_aws_cli_submits_a_job_and_reads_its_output() {
    let sandbox = Sandbox::with_aws();
    let id = submit(&sandbox, "from-aws", &["sh", "-c", "echo out; echo err >&2; exit 4"], &[]);
    let job = job_in(&sandbox, &id, "FAILED");
    assert_eq!(job["container"]["exitCode"], 4);
    assert_eq!(job["statusReason"], "Essential container in task exited");
    assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1));
    let stream = job["container"]["logStreamName"].as_str().unwrap();
    assert!(stream.starts_with("local/default/"), "DEFINITION/default/TASK: {stream}");

    let answer = aws(
        &sandbox,
        [
            "logs",
            "get-log-events",
            "--log-group-name",
            "/aws/batch/job",
            "--log-stream-name",
            stream,
            "--start-from-head",
        ],
    );
    let mut lines: Vec<&str> =
        answer["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "out"]);

    // Our tools see the same job.
    assert_eq!(sandbox.run("bstat", ["--json", &id]).ok().json()[0]["jobName"], "from-aws");
}

#[story]
fn the_aws_cli_sees_what_bsub_submitted() {
    let sandbox = Sandbox::with_aws();
    sandbox.file("job.sh", "echo content\n".repeat(1000));
    let id = sandbox
        .run("bsub", ["-K", "--parsable", "-J", "mine", "-p", "1", "-m", "64", "job.sh"])
        .ok()
        .job_id();
    let listed = aws(&sandbox, ["batch", "list-jobs", "--job-queue", "local", "--job-status", "SUCCEEDED"]);
    let [job] = listed["jobSummaryList"].as_array().unwrap().as_slice() else { panic!("one job: {listed}") };
    assert_eq!((job["jobId"].as_str(), job["jobName"].as_str()), (Some(id.as_str()), Some("mine")));
    // No status at all asks for the RUNNING ones (API ListJobs).
    assert_eq!(aws(&sandbox, ["batch", "list-jobs", "--job-queue", "local"])["jobSummaryList"], json!([]));

    let job = job_in(&sandbox, &id, "SUCCEEDED");
    let resources = job["container"]["resourceRequirements"].as_array().unwrap();
    assert!(resources.contains(&json!({ "type": "VCPU", "value": "1" })), "{job}");
    assert!(resources.contains(&json!({ "type": "MEMORY", "value": "64" })), "{job}");

    let listed = sandbox.run("aws", ["s3", "ls", "--recursive", "s3://awsb-local/"]).ok().stdout;
    assert!(listed.contains("awsb/bundles/") && listed.trim_end().ends_with(".tar.gz"), "{listed}");
}

#[story]
fn terminating_with_the_aws_cli() {
    let sandbox = Sandbox::with_aws();
    let id = submit(&sandbox, "endless", &["sleep", "600"], &[]);
    job_in(&sandbox, &id, "RUNNING");
    aws(&sandbox, ["batch", "terminate-job", "--job-id", &id, "--reason", "enough of it"]);
    let job = job_in(&sandbox, &id, "FAILED");
    assert_eq!(job["statusReason"], "enough of it");
    assert_eq!(job["container"]["exitCode"], 143, "128 and SIGTERM");
}

#[story]
fn an_array_in_pages() {
    let sandbox = Sandbox::with_aws();
    let id = submit(
        &sandbox,
        "array",
        &["sh", "-c", "echo child $AWS_BATCH_JOB_ARRAY_INDEX"],
        &["--array-properties", "size=25"],
    );
    let parent = job_in(&sandbox, &id, "SUCCEEDED");
    assert_eq!(parent["arrayProperties"]["statusSummary"]["SUCCEEDED"], 25);

    let answer = boto3(
        &sandbox,
        &format!(
            "pages = batch.get_paginator('list_jobs').paginate(\n\
             \x20   arrayJobId={id:?}, jobStatus='SUCCEEDED', PaginationConfig={{'PageSize': 10}})\n\
             pages = [[job['jobId'] for job in page['jobSummaryList']] for page in pages]\n\
             children = sum(pages, [])\n\
             jobs = batch.describe_jobs(jobs=children)['jobs']\n\
             said = [logs.get_log_events(logGroupName='/aws/batch/job', startFromHead=True,\n\
             \x20   logStreamName=job['container']['logStreamName'])['events'][0]['message'] for job in jobs]\n\
             print(json.dumps({{'pages': [len(page) for page in pages], 'children': children, 'said': said,\n\
             \x20   'described': [job['jobId'] for job in jobs]}}))"
        ),
    );
    assert!(answer["pages"].as_array().unwrap().iter().all(|size| size.as_u64() <= Some(10)), "{answer}");
    let sorted = |key: &str| {
        let mut list: Vec<String> =
            answer[key].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
        list.sort();
        list
    };
    let each = |prefix: &str| {
        let mut list: Vec<String> = (0..25).map(|index| format!("{prefix}{index}")).collect();
        list.sort();
        list
    };
    assert_eq!(sorted("children"), each(&format!("{id}:")), "every child once");
    assert_eq!(sorted("described"), each(&format!("{id}:")));
    assert_eq!(sorted("said"), each("child "));
}

#[story]
fn a_long_log_in_pages() {
    let sandbox = Sandbox::with_aws();
    let id = submit(&sandbox, "long", &["sh", "-c", "seq 2500"], &[]);
    let job = job_in(&sandbox, &id, "SUCCEEDED");
    let stream = job["container"]["logStreamName"].as_str().unwrap();
    // The end of a stream is where the token comes back unchanged (API GetLogEvents).
    let answer = boto3(
        &sandbox,
        &format!(
            "lines, pages, token = [], 0, None\n\
             while True:\n\
             \x20   more = {{'nextToken': token}} if token else {{}}\n\
             \x20   page = logs.get_log_events(logGroupName='/aws/batch/job', logStreamName={stream:?},\n\
             \x20       startFromHead=True, limit=1000, **more)\n\
             \x20   lines += [int(event['message']) for event in page['events']]\n\
             \x20   pages += 1\n\
             \x20   if page['nextForwardToken'] == token: break\n\
             \x20   token = page['nextForwardToken']\n\
             latest = logs.get_log_events(logGroupName='/aws/batch/job', logStreamName={stream:?}, limit=3)\n\
             print(json.dumps({{'in order': lines == list(range(1, 2501)), 'lines': len(lines), 'pages': pages,\n\
             \x20   'latest': [event['message'] for event in latest['events']]}}))"
        ),
    );
    assert_eq!(answer["lines"], 2500);
    assert_eq!(answer["in order"], true);
    assert_eq!(answer["latest"], json!(["2498", "2499", "2500"]), "without startFromHead, the latest ones");
}

#[story]
fn files_to_s3_and_back() {
    let sandbox = Sandbox::with_aws();
    // Above 8 MiB the aws CLI uploads in parts, and reads in ranges.
    let large: Vec<u8> = (0..9_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    sandbox.file("data/small.txt", "small\n");
    sandbox.file("data/large.bin", &large);
    sandbox.file("data/a b+c%20ü.txt", "odd name\n");
    let bucket = "s3://awsb-local/files";
    sandbox.run("aws", ["s3", "cp", "--quiet", "--recursive", "data", bucket]).ok();
    sandbox.run("aws", ["s3", "cp", "--quiet", "--recursive", bucket, "copy"]).ok();
    let copy = |name: &str| std::fs::read(sandbox.work().join("copy").join(name)).unwrap();
    assert_eq!(copy("small.txt"), b"small\n");
    assert_eq!(copy("a b+c%20ü.txt"), b"odd name\n");
    assert!(copy("large.bin") == large, "the parts come back in order");

    let answer = boto3(
        &sandbox,
        "for n in range(25): s3.put_object(Bucket='awsb-local', Key=f'many/{n:02}', Body=b'x')\n\
         pages = s3.get_paginator('list_objects_v2').paginate(\n\
         \x20   Bucket='awsb-local', Prefix='many/', PaginationConfig={'PageSize': 10})\n\
         keys = [[entry['Key'] for entry in page['Contents']] for page in pages]\n\
         try:\n\
         \x20   s3.put_object(Bucket='awsb-local', Key='many/00', Body=b'y', IfNoneMatch='*')\n\
         except ClientError as error:\n\
         \x20   refused = error.response['ResponseMetadata']['HTTPStatusCode']\n\
         kept = s3.get_object(Bucket='awsb-local', Key='many/00')['Body'].read().decode()\n\
         print(json.dumps({'pages': [len(page) for page in keys], 'keys': sum(keys, []), 'refused': refused,\n\
         \x20   'kept': kept}))",
    );
    assert_eq!(answer["pages"], json!([10, 10, 5]));
    assert_eq!(answer["keys"], json!((0..25).map(|n| format!("many/{n:02}")).collect::<Vec<_>>()));
    assert_eq!((&answer["refused"], &answer["kept"]), (&json!(412), &json!("x")), "a conditional put");

    sandbox.run("aws", ["s3", "rm", "--quiet", "--recursive", bucket]).ok();
    let left = sandbox.run("aws", ["s3", "ls", "--recursive", "s3://awsb-local/files/"]);
    assert_eq!(left.stdout, "", "{left}");
}

#[story]
fn consumable_resources_with_the_aws_cli() {
    let sandbox = Sandbox::with_aws();
    let batch = |args: &[&str]| {
        let outcome = sandbox.run("aws", [&["batch"][..], args].concat()).ok();
        if outcome.stdout.is_empty() { Value::Null } else { outcome.json() }
    };
    batch(&["create-consumable-resource", "--consumable-resource-name", "lic", "--total-quantity", "2"]);
    let needs = "consumableResourceList=[{consumableResource=lic,quantity=2}]";
    let id = submit(
        &sandbox,
        "licensed",
        &["sleep", "600"],
        &["--consumable-resource-properties-override", needs],
    );
    job_in(&sandbox, &id, "RUNNING");
    let lic = batch(&["describe-consumable-resource", "--consumable-resource", "lic"]);
    assert_eq!((&lic["inUseQuantity"], &lic["availableQuantity"]), (&json!(2), &json!(0)));
    let update = ["--consumable-resource", "lic", "--operation", "ADD", "--quantity", "3"];
    assert_eq!(batch(&[&["update-consumable-resource"][..], &update].concat())["totalQuantity"], 5);
    let listed = batch(&["list-consumable-resources"]);
    assert_eq!(listed["consumableResources"][0]["inUseQuantity"], 2);
    let jobs = batch(&["list-jobs-by-consumable-resource", "--consumable-resource", "lic"]);
    assert_eq!(jobs["jobs"][0]["jobName"], "licensed");
    batch(&["delete-consumable-resource", "--consumable-resource", "lic"]);
    assert_eq!(batch(&["list-consumable-resources"])["consumableResources"], json!([]));
}

/// boto3 checks each request against botocore's model of Batch before it sends it: names and types
/// of all fields.
#[story]
fn the_requests_of_a_limited_array_are_those_of_the_model() {
    let sandbox = Sandbox::with_aws();
    boto3(
        &sandbox,
        "print(json.dumps(batch.create_consumable_resource(consumableResourceName='lic', totalQuantity=3)))",
    );
    let args = ["--dry-run", "--consume", "lic=2", "--array", "1-4%2", "--wrap", "true"];
    sandbox.file("requests.json", sandbox.run("bsub", args).ok().stdout);
    let made = boto3(
        &sandbox,
        "calls = {'CreateConsumableResource': batch.create_consumable_resource, 'SubmitJob': batch.submit_job}\n\
         answers = [calls[r['operation']](**r['request']) for r in json.load(open('requests.json'))]\n\
         name, job = answers[0]['consumableResourceName'], answers[-1]['jobId']\n\
         described = batch.describe_consumable_resource(consumableResource=name)\n\
         override = batch.describe_jobs(jobs=[job])['jobs'][0]['consumableResourceProperties']\n\
         jobs = batch.list_jobs_by_consumable_resource(consumableResource=name)['jobs']\n\
         starting = {'name': 'CONSUMABLE_RESOURCE_NAME', 'values': ['awsb-limit-*']}\n\
         listed = batch.list_consumable_resources(filters=[starting])['consumableResources']\n\
         print(json.dumps([name, job, described['totalQuantity'], described['resourceType'],\n\
             override['consumableResourceList'], [j['jobArn'] for j in jobs],\n\
             [r['consumableResourceName'] for r in listed]]))",
    );
    let (name, job) = (made[0].as_str().unwrap(), made[1].as_str().unwrap());
    assert!(name.starts_with("awsb-limit-"), "{made}");
    assert_eq!((&made[2], &made[3], &made[6]), (&json!(2), &json!("REPLENISHABLE"), &json!([name])));
    let list = made[4].as_array().unwrap().iter();
    let short =
        |of: &Value| of["consumableResource"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let list: Vec<_> = list.map(|of| (short(of), of["quantity"].clone())).collect();
    assert_eq!(list, [("lic".to_owned(), json!(2)), (name.to_owned(), json!(1))]);
    assert!(made[5][0].as_str().unwrap().ends_with(&format!(":job/{job}")), "{made}");
    // The tools take an array that boto3 has submitted for one of their own.
    sandbox.run("bwait", [job]).ok();
    let left = boto3(
        &sandbox,
        "left = batch.list_consumable_resources()['consumableResources']\n\
         print(json.dumps([r['consumableResourceName'] for r in left]))",
    );
    assert_eq!(left, json!(["lic"]));
}

#[story]
fn errors_have_the_names_and_the_shapes_of_aws() {
    let sandbox = Sandbox::with_aws();
    let answer = boto3(
        &sandbox,
        "def code(call, **arguments):\n\
         \x20   try: call(**arguments)\n\
         \x20   except ClientError as error:\n\
         \x20       return [error.response['ResponseMetadata']['HTTPStatusCode'], error.response['Error']['Code']]\n\
         print(json.dumps({\n\
         \x20   'queue': code(batch.submit_job, jobName='x', jobQueue='nobody', jobDefinition='local'),\n\
         \x20   'definition': code(batch.submit_job, jobName='x', jobQueue='local', jobDefinition='nobody'),\n\
         \x20   'name': code(batch.submit_job, jobName='a b', jobQueue='local', jobDefinition='local'),\n\
         \x20   'stream': code(logs.get_log_events, logGroupName='/aws/batch/job', logStreamName='nobody'),\n\
         \x20   'bucket': code(s3.list_objects_v2, Bucket='nobody-has-it'),\n\
         \x20   'key': code(s3.get_object, Bucket='awsb-local', Key='nobody'),\n\
         \x20   'unknown job': batch.describe_jobs(jobs=['00000000-0000-4000-8000-000000000000'])['jobs'],\n\
         }))",
    );
    for invalid in ["queue", "definition", "name"] {
        assert_eq!(answer[invalid], json!([400, "ClientException"]), "{invalid}");
    }
    assert_eq!(answer["stream"], json!([400, "ResourceNotFoundException"]));
    assert_eq!(answer["bucket"], json!([404, "NoSuchBucket"]));
    assert_eq!(answer["key"], json!([404, "NoSuchKey"]));
    assert_eq!(answer["unknown job"], json!([]));
}

#[story]
fn nobody_without_the_credentials_gets_in() {
    let mut sandbox = Sandbox::with_aws();
    let secret = sandbox.get("AWS_SECRET_ACCESS_KEY").unwrap().to_owned();
    let refused: &[&[&str]] = &[
        &["batch", "list-jobs", "--job-queue", "local"],
        &["logs", "describe-log-groups"],
        &["s3api", "list-objects-v2", "--bucket", "awsb-local"],
    ];
    for command in refused {
        sandbox.run("aws", *command).ok();
    }
    sandbox.set("AWS_SECRET_ACCESS_KEY", secret.chars().rev().collect::<String>());
    for command in refused {
        let outcome = sandbox.run("aws", *command);
        assert_ne!(outcome.code(), 0, "another secret: {outcome}");
        let unsigned = sandbox.run("aws", command.iter().copied().chain(["--no-sign-request"]));
        assert_ne!(unsigned.code(), 0, "no signature: {unsigned}");
    }
    let statuses = boto3(
        &sandbox,
        "def status(call, **arguments):\n\
         \x20   try: call(**arguments)\n\
         \x20   except ClientError as error: return error.response['ResponseMetadata']['HTTPStatusCode']\n\
         print(json.dumps([status(batch.list_jobs, jobQueue='local'), status(logs.describe_log_groups),\n\
         \x20   status(s3.list_objects_v2, Bucket='awsb-local')]))",
    );
    assert_eq!(statuses, json!([403, 403, 403]));
}
