//! Who may do what: the owner's key, a host job's, and a container's over the whole table of
//! operations.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Output;
use std::time::SystemTime;

use aws_sdk_batch::error::ProvideErrorMetadata;
use aws_sdk_batch::types::{JobDetail, JobStatus};
use aws_sdk_s3::primitives::ByteStream;
use awsb_local::operation::{self, Rule};
use awsb_testkit::local::{Access, Batch, Cluster, Job, sh, until};
use awsb_testkit::story;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The key that the attempt in which a job is would have in a container. It is made of what the
/// home's file says; no engine is needed, as the server knows the job's place by its key.
fn contained(cluster: &Cluster, job: &JobDetail) -> Access {
    of_attempt(cluster, job, 'C')
}

fn of_attempt(cluster: &Cluster, job: &JobDetail, place: char) -> Access {
    let task = job.container().unwrap().task_arn().unwrap().rsplit('/').next().unwrap().to_uppercase();
    let endpoint: Value =
        serde_json::from_slice(&std::fs::read(cluster.home().join("endpoint.json")).unwrap()).unwrap();
    let access_key_id = format!("AWSBLOCAL{place}{task}");
    let secret = endpoint["jobsSecret"].as_str().unwrap();
    let mac = aws_sigv4::sign::v4::calculate_signature(secret, access_key_id.as_bytes());
    let secret_access_key = format!("KeyOfAwsbLocal{}", &mac[..40]);
    Access { access_key_id, secret_access_key, ..cluster.access() }
}

/// A request of any service.
#[derive(Debug, Clone)]
struct Ask {
    service: &'static str,
    method: &'static str,
    /// The path, as it is sent.
    path: String,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn batch(operation: &str, body: &Value) -> Ask {
    let path = format!("/v1/{}", operation.to_lowercase());
    Ask {
        service: "batch",
        method: "POST",
        path,
        query: String::new(),
        headers: vec![],
        body: body.to_string().into(),
    }
}

fn target(service: &'static str, prefix: &str, operation: &str, body: &Value) -> Ask {
    let headers = vec![("x-amz-target", format!("{prefix}.{operation}"))];
    Ask {
        service,
        method: "POST",
        path: "/".into(),
        query: String::new(),
        headers,
        body: body.to_string().into(),
    }
}

fn logs(operation: &str, body: &Value) -> Ask {
    target("logs", "Logs_20140328", operation, body)
}

fn form(service: &'static str, operation: &str) -> Ask {
    let headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
    let body = format!("Action={operation}&Version=").into();
    Ask { service, method: "POST", path: "/".into(), query: String::new(), headers, body }
}

fn object(method: &'static str, key: &str, query: &str, body: &[u8]) -> Ask {
    let path = format!("/awsb-local/{key}");
    Ask { service: "s3", method, path, query: query.into(), headers: vec![], body: body.into() }
}

impl Ask {
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Signs and sends it; returns the answer's status and all of the answer.
    fn send(&self, access: &Access) -> (u16, String) {
        answer(self.begin(access, &self.body))
    }

    /// Signs it, and sends its head and this much of its body.
    fn begin(&self, access: &Access, body: &[u8]) -> TcpStream {
        let now = SystemTime::now();
        let stamp = jiff::Timestamp::try_from(now).unwrap().strftime("%Y%m%dT%H%M%SZ").to_string();
        let host = access.endpoint_url.strip_prefix("http://").unwrap();
        let digest = hex::encode(Sha256::digest(&self.body));
        let mut headers = self.headers.clone();
        headers.push(("host", host.to_owned()));
        headers.push(("x-amz-date", stamp.clone()));
        headers.push(("x-amz-content-sha256", digest.clone()));
        headers.sort();
        let signed: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let canonical: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        // Services other than S3 encode each segment of the path that is sent once more.
        let path = if self.service == "s3" { self.path.clone() } else { self.path.replace('%', "%25") };
        let mut query: Vec<&str> = self.query.split('&').filter(|pair| !pair.is_empty()).collect();
        query.sort_unstable();
        let request = format!(
            "{}\n{path}\n{}\n{canonical}\n{}\n{digest}",
            self.method,
            query.join("&"),
            signed.join(";")
        );
        let scope = format!("{}/us-east-1/{}/aws4_request", &stamp[..8], self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex::encode(Sha256::digest(request)));
        let key = aws_sigv4::sign::v4::generate_signing_key(
            &access.secret_access_key,
            now,
            "us-east-1",
            self.service,
        );
        let signature = aws_sigv4::sign::v4::calculate_signature(key, to_sign.as_bytes());
        let mut text = format!(
            "{} {}{}{} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={},Signature={signature}\r\n",
            self.method,
            self.path,
            if self.query.is_empty() { "" } else { "?" },
            self.query,
            self.body.len(),
            access.access_key_id,
            signed.join(";")
        );
        headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        let mut stream = TcpStream::connect(host).unwrap();
        stream.write_all(&[text.as_bytes(), b"\r\n", body].concat()).unwrap();
        stream
    }
}

fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

/// A cluster in which all jobs of a story run at once, however small the machine is.
fn large() -> Cluster {
    let cluster = Cluster::new();
    cluster.ok(&["start", "--vcpus", "16", "--memory", "16G"]);
    cluster
}

/// Jobs that run until the test is over: one whose container's key is tried, and one that is none
/// of its business.
struct Scene {
    cluster: Cluster,
    owner: Batch,
    me: JobDetail,
    other: JobDetail,
    key: Access,
}

impl Scene {
    async fn new() -> Self {
        let cluster = large();
        let owner = cluster.batch();
        let bundle = |content: &str| {
            format!("s3://awsb-local/awsb/bundles/{}.tar.gz", hex::encode(Sha256::digest(content)))
        };
        let waiting = sh("echo private; sleep 1000");
        let mine = waiting.clone().env("AWSB_BUNDLE", bundle("its bundle"));
        let me = owner.submit(mine.env("COMPARE_WITH", bundle("another"))).await;
        let other = owner.submit(waiting.env("SECRET", "of the owner")).await;
        let (me, other) = (owner.running(&me).await, owner.running(&other).await);
        let key = contained(&cluster, &me);
        Self { cluster, owner, me, other, key }
    }

    fn my_id(&self) -> &str {
        self.me.job_id().unwrap()
    }

    fn others_id(&self) -> &str {
        self.other.job_id().unwrap()
    }

    async fn put(&self, key: &str, body: &'static str) {
        let put = self
            .cluster
            .s3()
            .put_object()
            .bucket("awsb-local")
            .key(key)
            .body(ByteStream::from_static(body.as_bytes()));
        put.send().await.unwrap();
    }
}

fn properties(image: &str) -> Value {
    let requirements = json!([{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]);
    json!({"image": image, "command": ["true"], "resourceRequirements": requirements})
}

fn definition(name: &str, image: &str) -> Value {
    json!({"jobDefinitionName": name, "type": "container", "containerProperties": properties(image)})
}

fn field(answer: &str, name: &str) -> String {
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let value: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"));
    value[name].as_str().unwrap_or_else(|| panic!("{name}: {answer}")).to_owned()
}

/// Every operation of every service is tried with a container's key: those that it may ask for in
/// both ways, within its bounds and out of them.
#[story]
async fn a_containers_key_over_the_whole_table_of_operations() {
    let scene = Scene::new().await;
    let (me, other) = (scene.my_id().to_owned(), scene.others_id().to_owned());
    let stream = |job: &JobDetail| job.container().unwrap().log_stream_name().unwrap().to_owned();
    let (mine, others) = (stream(&scene.me), stream(&scene.other));
    let key = |sha: &str| format!("awsb/bundles/{sha}.tar.gz");
    let (own_bundle, others_bundle) =
        (hex::encode(Sha256::digest("its bundle")), hex::encode(Sha256::digest("another")));
    scene.put(&key(&own_bundle), "its bundle").await;
    scene.put(&key(&others_bundle), "another").await;
    scene.put(&format!("awsb/outputs/{other}/r"), "result").await;
    scene.put("anything", "else").await;
    let once = format!("awsb/once/{}.json", "0".repeat(64));
    let others_once = format!("awsb/once/{}.json", "1".repeat(64));
    scene.put(&others_once, "{}").await;
    let resource = scene.owner.batch.create_consumable_resource().consumable_resource_name("lic");
    resource.total_quantity(1).send().await.unwrap();

    let asked = |ask: &Ask| ask.send(&scene.key);
    let register = asked(&batch("RegisterJobDefinition", &definition("inner", "busybox")));
    assert_eq!(register.0, 200, "{}", register.1);
    let submit = |definition: &str, more: Value| {
        let mut body = json!({"jobName": "inner", "jobQueue": "local", "jobDefinition": definition});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        batch("SubmitJob", &body)
    };
    let upload =
        |answer: &str| answer.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let begun = asked(&object("POST", &format!("awsb/outputs/{me}/big"), "uploads=", b"")).1;
    let begun = format!("uploadId={}", upload(&begun));
    let of_owner = scene
        .cluster
        .s3()
        .create_multipart_upload()
        .bucket("awsb-local")
        .key(format!("awsb/outputs/{other}/big"));
    let of_owner = format!("uploadId={}", of_owner.send().await.unwrap().upload_id().unwrap());
    let part =
        asked(&object("PUT", &format!("awsb/outputs/{me}/big"), &format!("partNumber=1&{begun}"), b"part"));
    let etag =
        part.1.lines().find_map(|l| l.to_lowercase().strip_prefix("etag: ").map(str::to_owned)).unwrap();
    let parts = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    let tags = |method, query: &str, body: &'static str| Ask {
        service: "batch",
        method,
        path: format!("/v1/tags/arn%3Aaws%3Abatch%3Aus-east-1%3A000000000000%3Ajob%2F{me}"),
        query: query.into(),
        headers: vec![],
        body: body.into(),
    };
    let group = json!("/aws/batch/job");
    let bucket = |query: &str| Ask { path: "/awsb-local".into(), ..object("GET", "", query, b"") };
    let (allowed, refused) = (true, false);
    let my_result = format!("awsb/outputs/{me}/r");
    let others_result = format!("awsb/outputs/{other}/r");
    #[rustfmt::skip]
    let cases: Vec<(&str, &str, bool, Ask)> = vec![
        ("batch", "SubmitJob", allowed, submit("inner", json!({}))),
        ("batch", "SubmitJob", allowed, submit("inner", json!({"dependsOn": [{"jobId": me}]}))),
        ("batch", "SubmitJob", refused, submit("inner", json!({"dependsOn": [{"jobId": other}]}))),
        ("batch", "SubmitJob", refused, submit("local", json!({}))),
        ("batch", "RegisterJobDefinition", allowed, batch("RegisterJobDefinition", &definition("inner", "busybox"))),
        ("batch", "RegisterJobDefinition", refused, batch("RegisterJobDefinition", &definition("inner", "host"))),
        ("batch", "DescribeJobs", allowed, batch("DescribeJobs", &json!({"jobs": [me]}))),
        ("batch", "DescribeJobs", refused, batch("DescribeJobs", &json!({"jobs": [me, other]}))),
        ("batch", "ListJobs", allowed, batch("ListJobs", &json!({"jobQueue": "local"}))),
        ("batch", "ListJobs", refused, batch("ListJobs", &json!({"arrayJobId": other}))),
        ("batch", "TerminateJob", refused, batch("TerminateJob", &json!({"jobId": other, "reason": "r"}))),
        ("batch", "CancelJob", allowed, batch("CancelJob", &json!({"jobId": me, "reason": "r"}))),
        ("batch", "CancelJob", refused, batch("CancelJob", &json!({"jobId": other, "reason": "r"}))),
        ("batch", "TerminateJobs", allowed, batch("TerminateJobs", &json!({"jobs": [other], "reason": "r"}))),
        ("batch", "CancelJobs", allowed, batch("CancelJobs", &json!({"jobs": [me, other], "reason": "r"}))),
        ("batch", "GetJobQueueSnapshot", refused, batch("GetJobQueueSnapshot", &json!({"jobQueue": "local"}))),
        ("batch", "DescribeJobDefinitions", allowed, batch("DescribeJobDefinitions", &json!({}))),
        ("batch", "DeregisterJobDefinition", refused, batch("DeregisterJobDefinition", &json!({"jobDefinition": "inner:1"}))),
        ("batch", "DescribeJobQueues", allowed, batch("DescribeJobQueues", &json!({}))),
        ("batch", "CreateJobQueue", refused, batch("CreateJobQueue", &json!({"jobQueueName": "q"}))),
        ("batch", "UpdateJobQueue", refused, batch("UpdateJobQueue", &json!({"jobQueue": "q"}))),
        ("batch", "DeleteJobQueue", refused, batch("DeleteJobQueue", &json!({"jobQueue": "q"}))),
        ("batch", "DescribeComputeEnvironments", allowed, batch("DescribeComputeEnvironments", &json!({}))),
        ("batch", "CreateComputeEnvironment", refused, batch("CreateComputeEnvironment", &json!({"computeEnvironmentName": "e"}))),
        ("batch", "UpdateComputeEnvironment", refused, batch("UpdateComputeEnvironment", &json!({"computeEnvironment": "e"}))),
        ("batch", "DeleteComputeEnvironment", refused, batch("DeleteComputeEnvironment", &json!({"computeEnvironment": "e"}))),
        ("batch", "DescribeSchedulingPolicies", refused, batch("DescribeSchedulingPolicies", &json!({"arns": []}))),
        ("batch", "ListSchedulingPolicies", refused, batch("ListSchedulingPolicies", &json!({}))),
        ("batch", "CreateSchedulingPolicy", refused, batch("CreateSchedulingPolicy", &json!({"name": "p"}))),
        ("batch", "UpdateSchedulingPolicy", refused, batch("UpdateSchedulingPolicy", &json!({"arn": "p"}))),
        ("batch", "DeleteSchedulingPolicy", refused, batch("DeleteSchedulingPolicy", &json!({"arn": "p"}))),
        ("batch", "DescribeConsumableResource", allowed, batch("DescribeConsumableResource", &json!({"consumableResource": "lic"}))),
        ("batch", "CreateConsumableResource", refused, batch("CreateConsumableResource", &json!({"consumableResourceName": "lic"}))),
        ("batch", "UpdateConsumableResource", refused, batch("UpdateConsumableResource", &json!({"consumableResource": "lic"}))),
        ("batch", "DeleteConsumableResource", refused, batch("DeleteConsumableResource", &json!({"consumableResource": "lic"}))),
        ("batch", "ListConsumableResources", refused, batch("ListConsumableResources", &json!({}))),
        ("batch", "ListJobsByConsumableResource", refused, batch("ListJobsByConsumableResource", &json!({"consumableResource": "lic"}))),
        ("batch", "ListTagsForResource", refused, tags("GET", "", "")),
        ("batch", "TagResource", refused, tags("POST", "", "{\"tags\":{\"a\":\"b\"}}")),
        ("batch", "UntagResource", refused, tags("DELETE", "tagKeys=a", "")),
        ("logs", "CreateLogGroup", refused, logs("CreateLogGroup", &json!({"logGroupName": "g"}))),
        ("logs", "CreateLogStream", refused, logs("CreateLogStream", &json!({"logGroupName": group, "logStreamName": "s"}))),
        ("logs", "PutRetentionPolicy", refused, logs("PutRetentionPolicy", &json!({"logGroupName": group, "retentionInDays": 1}))),
        ("logs", "DeleteRetentionPolicy", refused, logs("DeleteRetentionPolicy", &json!({"logGroupName": group}))),
        ("logs", "DeleteLogStream", refused, logs("DeleteLogStream", &json!({"logGroupName": group, "logStreamName": mine}))),
        ("logs", "DeleteLogGroup", refused, logs("DeleteLogGroup", &json!({"logGroupName": group}))),
        ("logs", "DescribeLogGroups", refused, logs("DescribeLogGroups", &json!({}))),
        ("logs", "DescribeLogStreams", allowed, logs("DescribeLogStreams", &json!({"logGroupName": group}))),
        ("logs", "PutLogEvents", refused, logs("PutLogEvents", &json!({"logGroupName": group, "logStreamName": mine, "logEvents": []}))),
        ("logs", "GetLogEvents", allowed, logs("GetLogEvents", &json!({"logGroupName": group, "logStreamName": mine}))),
        ("logs", "GetLogEvents", refused, logs("GetLogEvents", &json!({"logGroupName": group, "logStreamName": others}))),
        ("logs", "GetLogEvents", refused, logs("GetLogEvents", &json!({"logGroupName": group, "logStreamName": "none"}))),
        ("logs", "FilterLogEvents", allowed, logs("FilterLogEvents", &json!({"logGroupName": group}))),
        ("logs", "FilterLogEvents", refused, logs("FilterLogEvents", &json!({"logGroupName": group, "logStreamNames": [mine, others]}))),
        ("ecs", "ListContainerInstances", refused, target("ecs", "AmazonEC2ContainerServiceV20141113", "ListContainerInstances", &json!({"cluster": "local"}))),
        ("ecs", "DescribeContainerInstances", refused, target("ecs", "AmazonEC2ContainerServiceV20141113", "DescribeContainerInstances", &json!({}))),
        ("ecs", "ListClusters", refused, target("ecs", "AmazonEC2ContainerServiceV20141113", "ListClusters", &json!({}))),
        ("ecs", "DescribeClusters", refused, target("ecs", "AmazonEC2ContainerServiceV20141113", "DescribeClusters", &json!({"clusters": ["local"]}))),
        ("ecs", "DescribeTasks", refused, target("ecs", "AmazonEC2ContainerServiceV20141113", "DescribeTasks", &json!({"cluster": "local", "tasks": ["0123456789abcdef0123456789abcdef"]}))),
        ("ecs", "ExecuteCommand", refused, target("ecs", "AmazonEC2ContainerServiceV20141113", "ExecuteCommand", &json!({"cluster": "local", "task": "0123456789abcdef0123456789abcdef", "command": "sh", "interactive": true}))),
        ("ssm", "StartSession", refused, target("ssm", "AmazonSSM", "StartSession", &json!({"Target": "ecs:local_0123456789abcdef0123456789abcdef_1", "DocumentName": "AWS-StartPortForwardingSession", "Parameters": {"portNumber": ["80"]}}))),
        ("sts", "GetCallerIdentity", refused, Ask { body: b"Action=GetCallerIdentity&Version=2011-06-15".to_vec(), ..form("sts", "") }),
        ("s3", "PutObject", allowed, object("PUT", &my_result, "", b"r")),
        ("s3", "PutObject", refused, object("PUT", &others_result, "", b"r")),
        ("s3", "PutObject", refused, object("PUT", "anything", "", b"r")),
        ("s3", "PutObject", refused, object("PUT", &format!("awsb/outputs/{me}"), "", b"r")),
        ("s3", "PutObject", refused, object("PUT", &format!("awsb/nodes/{other}/1"), "", b"r")),
        ("s3", "PutObject", allowed, object("PUT", &format!("awsb/nodes/{me}/1"), "", b"r")),
        ("s3", "PutObject", allowed, object("PUT", &key(&hex::encode(Sha256::digest("new"))), "", b"new").with("if-none-match", "*")),
        ("s3", "PutObject", refused, object("PUT", &key(&hex::encode(Sha256::digest("newer"))), "", b"newer")),
        ("s3", "PutObject", allowed, object("PUT", &once, "", b"{}").with("if-none-match", "*")),
        ("s3", "PutObject", refused, object("PUT", &once, "", b"{}")),
        ("s3", "PutObject", refused, object("PUT", &once, "", b"{}").with("if-match", "*")),
        ("s3", "GetObject", allowed, object("GET", &my_result, "", b"")),
        ("s3", "GetObject", allowed, object("GET", &key(&own_bundle), "", b"")),
        ("s3", "GetObject", refused, object("GET", &key(&others_bundle), "", b"")),
        ("s3", "GetObject", refused, object("GET", &others_result, "", b"")),
        ("s3", "GetObject", allowed, object("GET", &once, "", b"")),
        ("s3", "PutObject", refused, object("PUT", &others_once, "", b"{}").with("if-match", "*")),
        ("s3", "GetObject", refused, object("GET", &others_once, "", b"")),
        ("s3", "GetObject", refused, object("GET", "anything", "", b"")),
        ("s3", "HeadObject", allowed, object("HEAD", &my_result, "", b"")),
        ("s3", "HeadObject", refused, object("HEAD", &others_result, "", b"")),
        ("s3", "DeleteObject", allowed, object("DELETE", &format!("awsb/nodes/{me}/1"), "", b"")),
        ("s3", "DeleteObject", refused, object("DELETE", &my_result, "", b"")),
        ("s3", "DeleteObject", refused, object("DELETE", &format!("awsb/nodes/{other}/1"), "", b"")),
        ("s3", "ListObjectVersions", refused, bucket("versions=")),
        ("s3", "DeleteObjects", refused, Ask { method: "POST", ..bucket("delete=") }),
        ("s3", "CopyObject", refused, object("PUT", &my_result, "", b"").with("x-amz-copy-source", "/awsb-local/anything")),
        ("s3", "UploadPartCopy", refused, object("PUT", &format!("awsb/outputs/{me}/big"), &format!("partNumber=2&{begun}"), b"").with("x-amz-copy-source", "/awsb-local/anything")),
        ("s3", "ListObjectsV2", allowed, bucket(&format!("list-type=2&prefix=awsb%2Foutputs%2F{me}%2F"))),
        ("s3", "ListObjectsV2", refused, bucket(&format!("list-type=2&prefix=awsb%2Foutputs%2F{other}%2F"))),
        ("s3", "ListObjectsV2", refused, bucket(&format!("list-type=2&prefix=awsb%2Foutputs%2F{me}"))),
        ("s3", "ListObjectsV2", refused, bucket("list-type=2")),
        ("s3", "ListObjects", allowed, bucket(&format!("prefix=awsb%2Foutputs%2F{me}%2F"))),
        ("s3", "ListObjects", refused, bucket("prefix=awsb%2Fbundles%2F")),
        ("s3", "CreateMultipartUpload", allowed, object("POST", &format!("awsb/outputs/{me}/other"), "uploads=", b"")),
        ("s3", "CreateMultipartUpload", refused, object("POST", &format!("awsb/outputs/{other}/x"), "uploads=", b"")),
        ("s3", "UploadPart", allowed, object("PUT", &format!("awsb/outputs/{me}/big"), &format!("partNumber=1&{begun}"), b"part")),
        ("s3", "UploadPart", refused, object("PUT", &format!("awsb/outputs/{other}/big"), &format!("partNumber=1&{of_owner}"), b"part")),
        ("s3", "ListParts", allowed, object("GET", &format!("awsb/outputs/{me}/big"), &begun, b"")),
        ("s3", "ListParts", refused, object("GET", &format!("awsb/outputs/{other}/big"), &of_owner, b"")),
        ("s3", "ListMultipartUploads", allowed, bucket(&format!("uploads=&prefix=awsb%2Foutputs%2F{me}%2F"))),
        ("s3", "ListMultipartUploads", refused, bucket("uploads=")),
        ("s3", "CompleteMultipartUpload", allowed, object("POST", &format!("awsb/outputs/{me}/big"), &begun, parts.as_bytes())),
        ("s3", "CompleteMultipartUpload", refused, object("POST", &format!("awsb/outputs/{other}/big"), &of_owner, parts.as_bytes())),
        ("s3", "AbortMultipartUpload", refused, object("DELETE", &format!("awsb/outputs/{other}/big"), &of_owner, b"")),
        ("s3", "AbortMultipartUpload", allowed, object("DELETE", &format!("awsb/outputs/{me}/big"), "uploadId=gone", b"")),
        ("s3", "ListBuckets", refused, Ask { path: "/".into(), ..bucket("") }),
        ("s3", "CreateBucket", refused, Ask { path: "/new".into(), method: "PUT", ..bucket("") }),
        ("s3", "DeleteBucket", refused, Ask { method: "DELETE", ..bucket("") }),
        ("s3", "HeadBucket", refused, Ask { method: "HEAD", ..bucket("") }),
        ("s3", "GetBucketLocation", refused, bucket("location=")),
        // Operations that the store does not have are refused before the answer says anything about
        // the object.
        ("s3", "PutBucketPolicy", refused, Ask { method: "PUT", body: b"{}".to_vec(), ..bucket("policy=") }),
        ("s3", "GetObjectTagging", refused, object("GET", &my_result, "tagging=", b"")),
        // At the end, as it is the last thing that this job does.
        ("batch", "TerminateJob", allowed, batch("TerminateJob", &json!({"jobId": me, "reason": "r"}))),
    ];
    let stacks = operation::CloudFormation::ALL.iter().map(|operation| {
        let name = operation.name();
        ("cloudformation", name, refused, form("cloudformation", name))
    });
    let machines = operation::Ec2::ALL.iter().map(|operation| {
        let name = operation.name();
        ("ec2", name, refused, form("ec2", name))
    });
    let cases: Vec<_> = stacks.chain(machines).chain(cases).collect();
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    for (service, operation, is_allowed, ask) in &cases {
        let (status, answer) = asked(ask);
        // An upload that is not there any more is told of to whoever may ask for it.
        let is_right = if *is_allowed { matches!(status, 200 | 204 | 404) } else { status == 403 };
        if !is_right || (!is_allowed && ask.method != "HEAD" && !answer.contains("AccessDenied")) {
            wrong.push(format!("{service}:{operation} {} {:?}: {answer}", ask.path, ask.query));
        }
        seen.insert((format!("{service}:{operation}"), *is_allowed));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The table is walked whole: whoever adds an operation has to try it here.
    for (name, rule) in operations() {
        assert!(
            rule == Rule::Allowed || seen.contains(&(name.clone(), false)) || is_filtered(&name),
            "{name}"
        );
        assert_eq!(rule != Rule::Refused, seen.contains(&(name.clone(), true)), "{name}");
    }
    // An object that a container has submitted once is never taken for the owner's.
    let s3 = scene.cluster.s3();
    for (key, is_there) in [(&others_once, true), (&once, false)] {
        let head = s3.head_object().bucket("awsb-local").key(key).send().await;
        assert_eq!(head.is_ok(), is_there, "{key}: {head:?}");
    }
}

/// All operations, with what a container's key may do with each.
fn operations() -> Vec<(String, Rule)> {
    let mut all = Vec::new();
    all.extend(operation::Batch::ALL.iter().map(|o| (format!("batch:{}", o.name()), o.rule())));
    all.extend(operation::Logs::ALL.iter().map(|o| (format!("logs:{}", o.name()), o.rule())));
    all.extend(operation::Ecs::ALL.iter().map(|o| (format!("ecs:{}", o.name()), o.rule())));
    all.extend(operation::Ec2::ALL.iter().map(|o| (format!("ec2:{}", o.name()), o.rule())));
    let stacks = operation::CloudFormation::ALL.iter();
    all.extend(stacks.map(|o| (format!("cloudformation:{}", o.name()), o.rule())));
    all.extend(operation::Sts::ALL.iter().map(|o| (format!("sts:{}", o.name()), o.rule())));
    all.extend(operation::S3::ALL.iter().map(|o| (format!("s3:{}", o.name()), o.rule())));
    all
}

/// Those that show less to a container, instead of refusing, or that answer for each job.
fn is_filtered(name: &str) -> bool {
    ["batch:DescribeJobDefinitions", "batch:TerminateJobs", "batch:CancelJobs", "logs:DescribeLogStreams"]
        .contains(&name)
}

#[story]
async fn lists_show_a_containers_key_its_own() {
    let scene = Scene::new().await;
    let me = Batch::new(&scene.key);
    scene.owner.submit(sh("true").env("NOT", "mine")).await;
    batch("RegisterJobDefinition", &definition("inner", "busybox")).send(&scene.key);
    let submitted = batch(
        "SubmitJob",
        &json!({"jobName": "inner", "jobQueue": "local", "jobDefinition": "inner",
        "arrayProperties": {"size": 2}}),
    )
    .send(&scene.key)
    .1;
    let inner = field(&submitted, "jobId");
    // Without an engine its children fail, which is an end as well.
    let ended = scene.owner.ended(&inner).await;
    let mut listed = BTreeSet::new();
    for status in [
        JobStatus::Running,
        JobStatus::Succeeded,
        JobStatus::Failed,
        JobStatus::Runnable,
        JobStatus::Starting,
    ] {
        let jobs = me.batch.list_jobs().job_queue("local").job_status(status).send().await.unwrap();
        listed.extend(jobs.job_summary_list().iter().map(|job| job.job_id().unwrap().to_owned()));
    }
    assert_eq!(listed, BTreeSet::from([scene.my_id().to_owned(), inner.clone()]));
    let filter = aws_sdk_batch::types::KeyValuesPair::builder().name("JOB_NAME").values("*").build();
    let by_name = me.batch.list_jobs().job_queue("local").filters(filter).send().await.unwrap();
    assert_eq!(by_name.job_summary_list().len(), 2);
    let children = me.batch.list_jobs().array_job_id(&inner).job_status(ended.status().unwrap().clone());
    assert_eq!(children.send().await.unwrap().job_summary_list().len(), 2);
    assert!(me.describe(&format!("{inner}:1")).await.job_id().is_some());
    let streams = me.logs.describe_log_streams().log_group_name("/aws/batch/job").send().await.unwrap();
    let names: Vec<&str> = streams.log_streams().iter().filter_map(|s| s.log_stream_name()).collect();
    let others = scene.other.container().unwrap().log_stream_name().unwrap();
    let own = scene.me.container().unwrap().log_stream_name().unwrap();
    assert!(names.contains(&own) && !names.contains(&others), "{names:?}");
    let events = me.logs.filter_log_events().log_group_name("/aws/batch/job").send().await.unwrap();
    let from: BTreeSet<&str> = events.events().iter().filter_map(|e| e.log_stream_name()).collect();
    assert_eq!(from, BTreeSet::from([own]));
    // The owner sees all of it.
    let of_owner =
        scene.owner.logs.filter_log_events().log_group_name("/aws/batch/job").send().await.unwrap();
    assert!(of_owner.events().len() > events.events().len());
    // Results of what it has submitted are read, and not written.
    scene.put(&format!("awsb/outputs/{inner}/1/r"), "inner").await;
    assert_eq!(object("GET", &format!("awsb/outputs/{inner}/1/r"), "", b"").send(&scene.key).0, 200);
    assert_eq!(object("PUT", &format!("awsb/outputs/{inner}/1/r"), "", b"x").send(&scene.key).0, 403);
}

#[story]
async fn results_of_dependencies_are_read_and_of_nothing_else() {
    let cluster = large();
    let owner = cluster.batch();
    let (first, other) = (owner.submit(sh("true")).await, owner.submit(sh("true")).await);
    let array = owner.submit(sh("true").size(2)).await;
    for job in [&first, &other, &array] {
        owner.ended(job).await;
    }
    let job = sh("sleep 1000").size(2);
    let on = [(Some(first.as_str()), None), (Some(array.as_str()), Some("N_TO_N"))];
    let me = owner.submit_after(job, &on).await;
    let child = owner.running(&format!("{me}:1")).await;
    let key = contained(&cluster, &child);
    let s3_owner = cluster.s3();
    let mut answers = Vec::new();
    for path in [
        format!("{first}/r"),
        format!("{array}/1/r"),
        format!("{me}/1/r"),
        format!("{array}/0/r"),
        format!("{me}/0/r"),
        format!("{me}/r"),
        format!("{other}/r"),
    ] {
        let path = format!("awsb/outputs/{path}");
        s3_owner
            .put_object()
            .bucket("awsb-local")
            .key(&path)
            .body(ByteStream::from_static(b"r"))
            .send()
            .await
            .unwrap();
        answers.push(object("GET", &path, "", b"").send(&key).0);
    }
    assert_eq!(answers, [200, 200, 200, 403, 403, 403, 403]);
}

#[story]
async fn a_bundles_name_is_its_digest() {
    let scene = Scene::new().await;
    let (good, evil) = (hex::encode(Sha256::digest("good")), hex::encode(Sha256::digest("other")));
    let put = |name: &str, body: &[u8]| {
        object("PUT", &format!("awsb/bundles/{name}.tar.gz"), "", body)
            .with("if-none-match", "*")
            .send(&scene.key)
    };
    let (status, answer) = put(&evil, b"evil");
    assert!(status == 400 && answer.contains("<Code>BadDigest</Code>"), "{answer}");
    assert_eq!(put(&good, b"good").0, 200);
    assert_eq!(put(&good, b"good").0, 412, "it is there");
    // In parts, likewise.
    let multipart = |name: &str, body: &[u8]| {
        let key = format!("awsb/bundles/{name}.tar");
        let begun = object("POST", &key, "uploads=", b"").send(&scene.key).1;
        let id = begun.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap();
        let part = object("PUT", &key, &format!("partNumber=1&uploadId={id}"), body).send(&scene.key).1;
        let etag =
            part.lines().find_map(|l| l.to_lowercase().strip_prefix("etag: ").map(str::to_owned)).unwrap();
        let parts = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        );
        let complete = object("POST", &key, &format!("uploadId={id}"), parts.as_bytes());
        assert_eq!(complete.send(&scene.key).0, 403, "without a condition");
        complete.with("if-none-match", "*").send(&scene.key)
    };
    assert!(multipart(&evil, b"evil").1.contains("BadDigest"));
    assert_eq!(multipart(&good, b"good").0, 200);
}

#[story]
async fn what_a_container_registers_is_nobody_elses() {
    let scene = Scene::new().await;
    let registered = batch("RegisterJobDefinition", &definition("derived", "evil")).send(&scene.key);
    assert_eq!(registered.0, 200, "{}", registered.1);
    // Neither by its name nor by its number is it the owner's.
    for name in ["derived", "derived:1"] {
        let submit = scene.owner.batch.submit_job().job_name("j").job_queue("local").job_definition(name);
        let refused = submit.send().await.unwrap_err().into_service_error();
        assert!(refused.message().unwrap().contains("a job in a container has registered it"), "{refused:?}");
    }
    let described =
        |batch: &Batch| batch.batch.describe_job_definitions().job_definition_name("derived").send();
    assert!(described(&scene.owner).await.unwrap().job_definitions().is_empty());
    let all = scene.owner.batch.describe_job_definitions().send().await.unwrap();
    assert!(all.job_definitions().iter().all(|d| d.job_definition_name() != Some("derived")));
    assert_eq!(described(&Batch::new(&scene.key)).await.unwrap().job_definitions().len(), 1);
    // Another container does not see it either.
    let stranger = contained(&scene.cluster, &scene.other);
    assert!(described(&Batch::new(&stranger)).await.unwrap().job_definitions().is_empty());
    // The definition that the owner registers afterwards is another revision, which all use.
    let own = batch("RegisterJobDefinition", &definition("derived", "busybox")).send(&scene.cluster.access());
    assert_eq!(field(&own.1, "jobDefinitionArn").rsplit(':').next(), Some("2"));
    assert_eq!(described(&scene.owner).await.unwrap().job_definitions()[0].revision(), Some(2));
    let submit =
        batch("SubmitJob", &json!({"jobName": "j", "jobQueue": "local", "jobDefinition": "derived"}));
    let id = field(&submit.send(&scene.cluster.access()).1, "jobId");
    let image = scene.owner.describe(&id).await;
    assert_eq!(image.container().unwrap().image(), Some("busybox"));
}

/// Whether the owner's operation is answered with this key.
fn is_good(access: &Access) -> bool {
    match batch("ListSchedulingPolicies", &json!({})).send(access).0 {
        200 => object("GET", "no-such-key", "", b"").send(access).0 == 404,
        status => {
            assert_eq!((status, object("GET", "no-such-key", "", b"").send(access).0), (403, 403));
            false
        }
    }
}

#[story]
async fn a_host_jobs_key_has_the_owners_rights_until_the_attempt_ends() {
    let cluster = Cluster::started();
    let owner = cluster.batch();
    let go = cluster.home().join("go");
    let wait = format!("env; while [ ! -e {} ]; do sleep 0.02; done; exit 1", go.display());
    let id = owner.submit(sh(&wait).attempts(2)).await;
    let job = owner.running(&id).await;
    let key = of_attempt(&cluster, &job, 'H');
    assert!(is_good(&key));
    // A server that comes back knows it.
    cluster.kill_server();
    cluster.ok(&["start"]);
    let back = |key: &Access| Access { endpoint_url: cluster.access().endpoint_url, ..key.clone() };
    assert!(is_good(&back(&key)));
    // An end that nobody has heard counts from the moment on at which it is read.
    cluster.kill_server();
    std::fs::write(&go, "").unwrap();
    until("the runner is gone", || cluster.runners() == 0);
    cluster.ok(&["start"]);
    let job = cluster.batch().ended(&id).await;
    assert_eq!(job.attempts().len(), 2);
    assert!(!is_good(&back(&key)));
    // The job has it in its environment, where it cannot be read afterwards.
    let output = cluster.batch().output(&job).await;
    let last = of_attempt(&cluster, &job, 'H');
    assert!(output.contains(&format!("AWS_ACCESS_KEY_ID={}", last.access_key_id)), "{output:?}");
    assert!(
        output.contains(&format!("AWS_SECRET_ACCESS_KEY=KeyOfAwsbLocal{}", "*".repeat(40))),
        "{output:?}"
    );
    assert!(!is_good(&back(&last)));
}

/// The server asks for the body when the request has been allowed, and the attempt ends before the
/// body comes.
#[story]
async fn what_a_key_began_to_store_is_not_stored_when_its_attempt_has_ended() {
    let cluster = large();
    let owner = cluster.batch();
    let id = owner.submit(sh("sleep 1000")).await;
    let key = of_attempt(&cluster, &owner.running(&id).await, 'H');
    let (_, begun) = object("POST", "parts", "uploads=", b"").send(&key);
    let upload = begun.split(['<', '>']).skip_while(|word| *word != "UploadId").nth(1).unwrap();
    let asks = [
        object("PUT", "late", "", b"content"),
        object("PUT", "parts", &format!("partNumber=1&uploadId={upload}"), b"content"),
    ];
    let begun: Vec<TcpStream> = asks
        .iter()
        .map(|ask| {
            let mut stream = ask.clone().with("expect", "100-continue").begin(&key, b"");
            let mut go = [0; 25];
            stream.read_exact(&mut go).unwrap();
            assert_eq!(&go, b"HTTP/1.1 100 Continue\r\n\r\n");
            stream
        })
        .collect();
    owner.batch.terminate_job().job_id(&id).reason("enough").send().await.unwrap();
    owner.ended(&id).await;
    for (ask, mut stream) in asks.iter().zip(begun) {
        stream.write_all(&ask.body).unwrap();
        let (status, report) = answer(stream);
        assert!(status == 403 && report.contains("is not valid any more"), "{report}");
    }
    let access = cluster.access();
    assert_eq!(object("GET", "late", "", b"").send(&access).0, 404);
    let parts = object("GET", "parts", &format!("uploadId={upload}"), b"").send(&access);
    assert!(parts.0 == 200 && !parts.1.contains("PartNumber>"), "{}", parts.1);
}

#[story]
async fn secrets_do_not_come_to_stand_in_logs_and_reasons() {
    let cluster = Cluster::started();
    let batch = cluster.batch();
    let secrets: Vec<String> = {
        let endpoint: Value =
            serde_json::from_slice(&std::fs::read(cluster.home().join("endpoint.json")).unwrap()).unwrap();
        ["secretAccessKey", "jobsSecret"].map(|name| endpoint[name].as_str().unwrap().to_owned()).to_vec()
    };
    let script = "s=$AWS_SECRET_ACCESS_KEY; printf '%.20s' $s; sleep 0.2; printf '%s\\n' \"${s#????????????????????}\"; \
                  echo $s | fold -w 11; cat $AWSB_LOCAL_HOME/endpoint.json | tr , '\\n'; echo; echo end $s end";
    let job = batch.run(sh(script)).await;
    let output = batch.output(&job).await;
    let masked = format!("KeyOfAwsbLocal{}", "*".repeat(40));
    assert_eq!(output[0], masked);
    assert_eq!(output.last().unwrap(), &format!("end {masked} end"));
    let flat = output.concat();
    for secret in secrets.iter().chain([&of_attempt(&cluster, &job, 'H').secret_access_key]) {
        assert!(!flat.contains(&secret[14..]), "{output:?}");
    }
    // The job's reason is the message of the shell or the engine about the command.
    let owners = &cluster.access().secret_access_key;
    let job = batch.run(Job { command: vec![format!("/{owners}")], ..Job::default() }).await;
    let reason = job.container().unwrap().reason().unwrap();
    assert!(reason.contains(&masked) && !reason.contains(&owners[14..]), "{reason}");
    for entry in std::fs::read_dir(cluster.home().join("runners")).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(&owners[14..]));
    }
}

fn report(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[story]
fn a_rotation_that_fails_says_why_at_once_and_leaves_the_key() {
    let cluster = large();
    let old = cluster.access();
    let in_the_way = cluster.home().join("endpoint.json.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let begun = std::time::Instant::now();
    let output = cluster.run(&["rotate"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("exists") && !words.contains("EOF"), "{words}");
    // A call without an answer is repeated for 20 seconds.
    assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
    assert!(is_good(&old) && cluster.access().access_key_id == old.access_key_id);
    std::fs::remove_dir(&in_the_way).unwrap();
    report(&cluster.run(&["rotate"]));
    assert!(is_good(&cluster.access()) && !is_good(&old));
}

#[story]
async fn a_new_key_counts_at_once_and_jobs_keep_theirs_unless_told() {
    let cluster = large();
    let (old, owner) = (cluster.access(), cluster.batch());
    let id = owner.submit(sh("sleep 1000").size(2)).await;
    let job = owner.running(&format!("{id}:1")).await;
    owner.running(&format!("{id}:0")).await;
    let pid = cluster.server_pid();
    let key = of_attempt(&cluster, &job, 'H');
    assert!(is_good(&old) && is_good(&key));
    report(&cluster.run(&["rotate"]));
    let new = cluster.access();
    assert_ne!(new.access_key_id, old.access_key_id);
    assert!(is_good(&new) && is_good(&key) && !is_good(&old));
    assert_eq!(cluster.server_pid(), pid, "the same server");
    let text = report(&cluster.run(&["rotate", "--jobs"]));
    for index in 0..2 {
        assert!(
            text.contains(&format!("{id}:{index} (test) at s3://awsb-local/awsb/outputs/{id}/{index}/")),
            "{text}"
        );
    }
    assert!(is_good(&cluster.access()) && !is_good(&key) && !is_good(&new));
    // Jobs that start now have keys that are good.
    let next = cluster.batch().submit(sh("sleep 1000")).await;
    let next = cluster.batch().running(&next).await;
    assert!(is_good(&of_attempt(&cluster, &next, 'H')));
    // It lasts.
    cluster.ok(&["stop"]);
    let after = cluster.access();
    assert!(is_good(&after) && !is_good(&Access { endpoint_url: after.endpoint_url.clone(), ..new }));
}

#[story]
async fn tools_in_a_host_job_use_its_key() {
    let cluster = large();
    let batch = cluster.batch();
    let folder =
        std::path::Path::new(&awsb_testkit::program_built("blocal")).parent().unwrap().display().to_string();
    let script = format!(
        "{folder}/blocal env | grep -c $AWS_ACCESS_KEY_ID; \
         {folder}/bsub -K --wrap 'echo nested'; \
         AWS_ACCESS_KEY_ID=AKIDEXAMPLE {folder}/blocal env | grep -ic $AWSB_TASK"
    );
    let job = batch.run(sh(&script)).await;
    let output = batch.output(&job).await;
    assert_eq!(
        (output.first().map(String::as_str), output.last().map(String::as_str)),
        (Some("1"), Some("1")),
        "{output:?}"
    );
    assert_eq!(job.status(), Some(&JobStatus::Succeeded), "{output:?}");
    assert!(output.iter().any(|line| line.contains("has been submitted")), "{output:?}");
}

#[story]
async fn a_container_makes_no_log_group_and_fills_no_queue() {
    let scene = Scene::new().await;
    let asked = |ask: &Ask| ask.send(&scene.key);
    let with_group = |group: &str| {
        let mut definition = definition("logging", "busybox");
        definition["containerProperties"]["logConfiguration"] =
            json!({"logDriver": "awslogs", "options": {"awslogs-group": group}});
        batch("RegisterJobDefinition", &definition)
    };
    let (status, report) = asked(&with_group("/of/nobody"));
    assert_eq!(status, 403, "{report}");
    assert!(report.contains("is not authorized to perform: logs:CreateLogGroup"), "{report}");
    // Of nodes, too.
    let ranges = json!([{"targetNodes": "0:1", "container": {
        "image": "busybox", "command": ["true"],
        "resourceRequirements": properties("busybox")["resourceRequirements"],
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/of/nobody"}}}}]);
    let nodes = json!({"jobDefinitionName": "nodes", "type": "multinode",
        "nodeProperties": {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": ranges}});
    let (status, report) = asked(&batch("RegisterJobDefinition", &nodes));
    assert!(status == 403 && report.contains("logs:CreateLogGroup"), "{report}");
    // Batch's own, and one that is there.
    assert_eq!(asked(&with_group("/aws/batch/job")).0, 200);
    let made = logs("CreateLogGroup", &json!({"logGroupName": "/of/mine"})).send(&scene.cluster.access());
    assert_eq!(made.0, 200, "{}", made.1);
    assert_eq!(asked(&with_group("/of/mine")).0, 200);
    // The owner may as before.
    assert_eq!(with_group("/of/the/owner").send(&scene.cluster.access()).0, 200);

    let inner = asked(&batch("RegisterJobDefinition", &definition("inner", "busybox")));
    assert_eq!(inner.0, 200, "{}", inner.1);
    // They wait for a job that does not end, so that none of them does.
    let submit = |more: Value| {
        let mut body = json!({"jobName": "inner", "jobQueue": "local", "jobDefinition": "inner",
            "dependsOn": [{"jobId": scene.my_id()}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        batch("SubmitJob", &body)
    };
    let (status, report) = asked(&submit(json!({"arrayProperties": {"size": 9998}})));
    assert_eq!(status, 200, "{report}");
    assert_eq!(asked(&submit(json!({}))).0, 200);
    let (status, report) = asked(&submit(json!({"arrayProperties": {"size": 2}})));
    assert_eq!(status, 400, "{report}");
    let last = asked(&submit(json!({})));
    assert_eq!(last.0, 200, "{}", last.1);
    let (status, report) = asked(&submit(json!({})));
    assert_eq!(status, 400, "{report}");
    assert!(
        report.to_lowercase().contains("x-amzn-errortype: clientexception"),
        "no client tries it again: {report}"
    );
    assert!(report.contains("Limit exceeded") && report.contains("at most 10000 jobs"), "{report}");
    // It is the lineage's limit, and nobody else's.
    let other = contained(&scene.cluster, &scene.other);
    let register = batch("RegisterJobDefinition", &definition("others", "busybox")).send(&other);
    assert_eq!(register.0, 200, "{}", register.1);
    let free = json!({"jobName": "others", "jobQueue": "local", "jobDefinition": "others"});
    assert_eq!(batch("SubmitJob", &free).send(&other).0, 200);
    // Room comes back with the end of one.
    let end = json!({"jobId": field(&last.1, "jobId"), "reason": "room"});
    assert_eq!(asked(&batch("TerminateJob", &end)).0, 200);
    assert_eq!(asked(&submit(json!({}))).0, 200);
}
