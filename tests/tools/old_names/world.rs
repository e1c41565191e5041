//! What a server of AWS knows in these stories, and its answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use awsb_testkit::{Answer, Request};

/// The states of jobs in their order.
pub const STATES: [&str; 7] =
    ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"];
const QUEUE: &str = "arn:aws:batch:eu-west-1:123456789012:job-queue/hpc";
const ENVIRONMENT: &str = "arn:aws:batch:eu-west-1:123456789012:compute-environment/hpc";
const CLUSTER: &str = "arn:aws:ecs:eu-west-1:123456789012:cluster/hpc_Batch_1";

/// The facts.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The queues, as DescribeJobQueues returns them.
    pub queues: Vec<Value>,
    /// The jobs, their children and nodes, as DescribeJobs returns them.
    pub jobs: Vec<Value>,
    /// The lines of log streams, with their times.
    pub logs: BTreeMap<String, Vec<(i64, String)>>,
    /// The EC2 instances, by number.
    pub instances: Vec<usize>,
    /// The jobs of a page of a listing, and the lines of a page of a log, are at most this many.
    pub page: usize,
    /// Operations that are refused.
    pub refused: BTreeSet<&'static str>,
}

/// A queue.
pub fn queue(name: &str, reason: Option<&str>) -> Value {
    let mut queue = json!({
        "jobQueueName": name, "jobQueueArn": QUEUE.replace("hpc", name), "state": "ENABLED", "status": "VALID",
        "priority": 1, "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": ENVIRONMENT}],
    });
    if let Some(reason) = reason {
        queue["statusReason"] = reason.into();
    }
    queue
}

/// A job with an ID that a number stands for.
pub fn job(number: usize, name: &str, status: &str) -> Value {
    json!({
        "jobId": id(number), "jobName": name, "jobQueue": QUEUE, "status": status,
        "jobArn": format!("arn:aws:batch:eu-west-1:123456789012:job/{}", id(number)),
        "jobDefinition": "arn:aws:batch:eu-west-1:123456789012:job-definition/hpc:3",
        "createdAt": 1_700_000_000_000_i64 + 61_007 * i64::try_from(number).unwrap(),
        "dependsOn": [], "container": {"command": ["true"], "vcpus": 1, "memory": 128},
    })
}

/// The ID that a number stands for.
pub fn id(number: usize) -> String {
    format!("{:08x}-1111-4222-8333-444455556666", number.wrapping_mul(2_654_435_761) % 0xffff_ffff)
}

impl World {
    /// One queue, and pages that nobody sees the end of.
    pub fn new() -> Self {
        let reason = "JobQueue Healthy";
        Self { queues: vec![queue("hpc", Some(reason))], page: 1000, ..Self::default() }
    }

    /// The answer to a request.
    pub fn answer(&self, request: &Request) -> Answer {
        let operation = match request.header("x-amz-target") {
            Some(target) => target.rsplit('.').next().unwrap_or_default().to_lowercase(),
            None => request.operation().to_owned(),
        };
        if self.refused.contains(operation.as_str()) {
            return Answer::error(403, "AccessDeniedException", "Go away.");
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let named = |key: &str| -> Vec<&str> {
            body[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        Answer::json(match operation.as_str() {
            "describejobqueues" => {
                let names = named("jobQueues");
                let is_named = |queue: &&Value| {
                    let is = |key: &str| names.contains(&queue[key].as_str().unwrap());
                    is("jobQueueName") || is("jobQueueArn")
                };
                json!({"jobQueues": self.queues.iter().filter(is_named).collect::<Vec<_>>()})
            }
            "describecomputeenvironments" => json!({"computeEnvironments": [{
                "computeEnvironmentName": "hpc", "computeEnvironmentArn": ENVIRONMENT, "ecsClusterArn": CLUSTER,
                "type": "MANAGED", "state": "ENABLED", "status": "VALID",
            }]}),
            "describejobs" => {
                let ids = named("jobs");
                if ids.is_empty() || ids.len() > 100 {
                    return Answer::error(400, "ClientException", "1 to 100 jobs");
                }
                let found = ids.iter().filter_map(|id| self.jobs.iter().find(|job| job["jobId"] == **id));
                json!({"jobs": found.collect::<Vec<_>>()})
            }
            "listjobs" => return self.list(&body),
            // The old tool does not know the operation, so that both are held by the same calls.
            "terminatejobs" => return Answer::error(404, "UnknownOperationException", ""),
            "terminatejob" => match body["reason"].as_str() {
                Some("refuse") => return Answer::error(403, "AccessDeniedException", "Go away."),
                _ => json!({}),
            },
            "submitjob" => json!({"jobId": id(7), "jobName": body["jobName"], "jobArn": "arn"}),
            "getlogevents" => return self.lines(&body),
            "listcontainerinstances" => {
                let arns: Vec<String> = self.instances.iter().map(|n| container_instance(*n)).collect();
                json!({"containerInstanceArns": arns})
            }
            "describecontainerinstances" => {
                let arns = named("containerInstances");
                let all = self.instances.iter().filter(|n| arns.contains(&container_instance(**n).as_str()));
                json!({"containerInstances": all.map(|n| machine(*n)).collect::<Vec<_>>()})
            }
            "ec2" => return xml(self.reservations()),
            "cloudformation" => return stack(&String::from_utf8_lossy(&request.body)),
            "s3" => return Answer::stored(),
            other => panic!("no story has {other}: {request:?}"),
        })
    }

    fn list(&self, body: &Value) -> Answer {
        let status = body["jobStatus"].as_str().unwrap_or("RUNNING");
        if !STATES.contains(&status) {
            return Answer::error(400, "ClientException", "no such status");
        }
        let of_queue = |job: &&Value| {
            let is_part = job["jobId"].as_str().unwrap().contains([':', '#']);
            job["status"] == status && !is_part
        };
        let jobs: Vec<Value> = self.jobs.iter().filter(of_queue).map(summary).collect();
        let from: usize = body["nextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0);
        let page: Vec<&Value> = jobs.iter().skip(from).take(self.page).collect();
        let next = from + page.len();
        let mut answer = json!({"jobSummaryList": page});
        if next < jobs.len() {
            answer["nextToken"] = next.to_string().into();
        }
        Answer::json(answer)
    }

    /// GetLogEvents. A token is `f/` or `b/` with the number of a line.
    fn lines(&self, body: &Value) -> Answer {
        let Some(all) = self.logs.get(body["logStreamName"].as_str().unwrap_or_default()) else {
            let message = "The specified log stream does not exist.";
            return Answer::error(400, "ResourceNotFoundException", message);
        };
        let limit = body["limit"].as_u64().map_or(self.page, |n| self.page.min(usize::try_from(n).unwrap()));
        let since = body["startTime"].as_i64().unwrap_or(0);
        let first = all.iter().position(|(at, _)| *at >= since).unwrap_or(all.len());
        let token = body["nextToken"].as_str().unwrap_or_default();
        let place = |token: &str| token[2..].parse::<usize>().unwrap();
        let (from, to) = match token.get(..2) {
            Some("f/") => (place(token), (place(token) + limit).min(all.len())),
            Some(_) => (place(token).saturating_sub(limit).max(first), place(token)),
            None if body["startFromHead"] == true => (first, (first + limit).min(all.len())),
            None => (all.len().saturating_sub(limit).max(first), all.len()),
        };
        let events: Vec<Value> = all[from..to.max(from)]
            .iter()
            .map(|(at, message)| json!({"timestamp": at, "message": message, "ingestionTime": at}))
            .collect();
        Answer::json(json!({
            "events": events,
            "nextForwardToken": format!("f/{to}"),
            "nextBackwardToken": format!("b/{from}"),
        }))
    }

    fn reservations(&self) -> String {
        let mut items = String::new();
        for n in &self.instances {
            // Only some have public addresses.
            let public = match n % 2 {
                0 => "<dnsName/>".to_owned(),
                _ => format!("<ipAddress>198.51.100.{n}</ipAddress><dnsName>ec2-{n}.example.org</dnsName>"),
            };
            items.push_str(&format!(
                "<item><instancesSet><item><instanceId>{}</instanceId><instanceType>c5.large</instanceType>\
                 <instanceState><code>16</code><name>running</name></instanceState>\
                 <privateIpAddress>10.0.0.{n}</privateIpAddress>\
                 <privateDnsName>ip-10-0-0-{n}.ec2.internal</privateDnsName>{public}</item></instancesSet></item>",
                instance(*n)
            ));
        }
        format!(
            "<DescribeInstancesResponse><reservationSet>{items}</reservationSet></DescribeInstancesResponse>"
        )
    }
}

fn instance(n: usize) -> String {
    format!("i-{n:017x}")
}

fn container_instance(n: usize) -> String {
    format!("arn:aws:ecs:eu-west-1:123456789012:container-instance/hpc_Batch_1/{n:032x}")
}

fn machine(n: usize) -> Value {
    let resources = |cpu: usize, memory: usize| {
        json!([
            {"name": "CPU", "type": "INTEGER", "integerValue": cpu},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": memory},
        ])
    };
    json!({
        "containerInstanceArn": container_instance(n), "ec2InstanceId": instance(n), "status": "ACTIVE",
        "runningTasksCount": n * 5, "pendingTasksCount": n, "agentConnected": true,
        "attributes": [{"name": "ecs.instance-type", "value": "c5.large"}, {"name": "ecs.os-type", "value": "linux"}],
        "registeredResources": resources(2048, 3776), "remainingResources": resources(2048 - 100 * n, 3776 - n),
    })
}

/// The part of a job that ListJobs returns.
fn summary(job: &Value) -> Value {
    let mut summary = json!({});
    for key in ["jobArn", "jobId", "jobName", "createdAt", "status", "statusReason", "startedAt", "stoppedAt"]
    {
        if let Some(value) = job.get(key) {
            summary[key] = value.clone();
        }
    }
    for key in ["exitCode", "reason"] {
        if let Some(value) = job["container"].get(key) {
            summary["container"][key] = value.clone();
        }
    }
    if let Some(size) = job["arrayProperties"].get("size") {
        summary["arrayProperties"] = json!({"size": size});
    }
    if let Some(nodes) = job["nodeProperties"].get("numNodes") {
        summary["nodeProperties"] = json!({"numNodes": nodes});
    }
    summary
}

fn xml(body: String) -> Answer {
    Answer::Http(200, body, vec![("content-type", "text/xml".into())])
}

/// DescribeStacks: the stack `hpc` is a cluster, `slurm` is one with another scheduler, `busy` is
/// not ready, and others do not exist.
fn stack(body: &str) -> Answer {
    let name = body.split('&').find_map(|pair| pair.strip_prefix("StackName=")).unwrap_or_default();
    let (status, scheduler) = match name {
        "hpc" => ("UPDATE_COMPLETE", "awsbatch"),
        "slurm" => ("CREATE_COMPLETE", "slurm"),
        "busy" => ("CREATE_IN_PROGRESS", "awsbatch"),
        _ => {
            let error = format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id \
                 {name} does not exist</Message></Error></ErrorResponse>"
            );
            return Answer::Http(400, error, vec![("content-type", "text/xml".into())]);
        }
    };
    let pair = |kind: &str, key: &str, value: &str| {
        format!("<member><{kind}Key>{key}</{kind}Key><{kind}Value>{value}</{kind}Value></member>")
    };
    let outputs: String = [
        ("BatchComputeEnvironmentArn", ENVIRONMENT),
        ("BatchJobQueueArn", QUEUE),
        ("BatchJobDefinitionArn", "hpc:3"),
        ("HeadNodePrivateIP", "10.0.0.1"),
        ("BatchCliRequirements", "aws-parallelcluster-awsbatch-cli&lt;2.0.0"),
    ]
    .map(|(key, value)| pair("Output", key, value))
    .concat();
    let parameters: String = [
        ("ResourcesS3Bucket", "bucket"),
        ("ArtifactS3RootDirectory", "root"),
        ("Scheduler", scheduler),
        ("ProxyServer", "NONE"),
    ]
    .map(|(key, value)| pair("Parameter", key, value))
    .concat();
    xml(format!(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>{name}</StackName>\
         <StackId>arn:aws:cloudformation:eu-west-1:123456789012:stack/{name}/1</StackId>\
         <CreationTime>2025-01-01T00:00:00Z</CreationTime><StackStatus>{status}</StackStatus>\
         <Outputs>{outputs}</Outputs><Parameters>{parameters}</Parameters></member></Stacks>\
         </DescribeStacksResult></DescribeStacksResponse>"
    ))
}

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    /// A number below this one.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(n).unwrap()).unwrap()
    }

    /// One of these.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Jobs of all kinds, the children of arrays and the nodes of multi-node parallel jobs.
    pub fn jobs(&mut self, count: usize, names: &[&str]) -> Vec<Value> {
        let mut jobs = Vec::new();
        for number in 0..count {
            let (name, state) = (*self.of(names), *self.of(&STATES));
            let mut job = job(number, name, state);
            let parts = self.below(120) + 2;
            match self.below(6) {
                0 => {
                    job["arrayProperties"] = json!({"size": parts, "statusSummary": {"RUNNABLE": parts}});
                    self.run(&mut job);
                    for index in 0..parts {
                        let mut child = job.clone();
                        child["jobId"] = format!("{}:{index}", id(number)).into();
                        child["arrayProperties"] = json!({"index": index, "statusSummary": {}});
                        child["status"] = (*self.of(&STATES)).into();
                        self.run(&mut child);
                        jobs.push(child);
                    }
                }
                1 => {
                    let nodes = parts % 5 + 2;
                    self.run(&mut job);
                    for index in 0..nodes {
                        let mut node = job.clone();
                        node["jobId"] = format!("{}#{index}", id(number)).into();
                        node["nodeDetails"] = json!({"nodeIndex": index, "isMainNode": index == 0});
                        self.run(&mut node);
                        jobs.push(node);
                    }
                    let container = job.as_object_mut().unwrap().remove("container").unwrap();
                    job["nodeProperties"] = json!({
                        "numNodes": nodes, "mainNode": 0,
                        "nodeRangeProperties": [{"targetNodes": "0:", "container": {
                            "command": container["command"], "vcpus": 2, "memory": 256,
                            "environment": container["environment"],
                        }}],
                    });
                }
                _ => self.run(&mut job),
            }
            jobs.push(job);
        }
        jobs
    }

    /// Gives a job the times, reasons and the container that its state has.
    fn run(&mut self, job: &mut Value) {
        let object = job.as_object_mut().unwrap();
        for key in ["startedAt", "stoppedAt", "statusReason"] {
            object.remove(key);
        }
        let state = STATES.iter().position(|state| object["status"] == *state).unwrap();
        let commands: [&[&str]; 5] = [
            &["true"],
            &["/bin/bash", "-c", "echo 'it''s' $HOME\nexit \"3\""],
            &["printf", "%s", "", "\u{e4}\u{1f600}", "a=b,c:d/e-f_g.h@i+j"],
            &["python", "-c", "print('x')"],
            &[],
        ];
        let environment: &[Value] = match self.below(2) {
            0 => &[],
            _ => &[
                json!({"name": "A", "value": "b"}),
                json!({"name": "PCLUSTER_JOB_S3_URL", "value": "s3://b/hpc/batch/job-x-1/"}),
            ],
        };
        let mut container =
            json!({"command": self.of(&commands), "vcpus": 1 + self.below(96), "memory": 128});
        container["environment"] = environment.into();
        if state >= 4 {
            let at = 1_700_000_000_000_i64 + i64::try_from(self.below(30_000_000)).unwrap() * 1000;
            object.insert("startedAt".into(), (at + 7).into());
            container["logStreamName"] = "hpc/default/0123".into();
            if state > 4 {
                object.insert("stoppedAt".into(), (at + 3_000_999).into());
                container["exitCode"] = (*self.of(&[0, 1, 137])).into();
            }
        }
        let reasons =
            ["Essential container in task exited", "", "Host EC2 (instance i-0) terminated.", "a\tb: c"];
        if self.below(2) == 0 {
            object.insert("statusReason".into(), (*self.of(&reasons)).into());
            container["reason"] = "OutOfMemoryError: Container killed due to memory usage".into();
        }
        object.insert("container".into(), container);
    }
}
