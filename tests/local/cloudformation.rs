//! Stacks in the local cluster, as the `aws` CLI and boto3 see them.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use awsb_testkit::local::kill;
use awsb_testkit::{Sandbox, eventually, story};

/// A cluster: everything that a job needs is in it.
fn cluster() -> Value {
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "a cluster",
        "Parameters": {"Cores": {"Type": "Number", "Default": "2", "MinValue": 1}},
        "Resources": {
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "Path": {"Fn::Sub": "/awsb/${AWS::StackName}/"},
                    "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [{
                        "Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole",
                    }]},
                },
            },
            "Profile": {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "Role"}]}},
            "Bucket": {"Type": "AWS::S3::Bucket"},
            "JobLogs": {
                "Type": "AWS::Logs::LogGroup",
                "Properties": {"LogGroupName": {"Fn::Sub": "/awsb/${AWS::StackName}/jobs"}, "RetentionInDays": 30},
            },
            "Environment": {
                "Type": "AWS::Batch::ComputeEnvironment",
                "Properties": {
                    "Type": "MANAGED",
                    "ReplaceComputeEnvironment": false,
                    "ComputeResources": {
                        "Type": "EC2", "MinvCpus": 0, "MaxvCpus": {"Ref": "Cores"},
                        "InstanceTypes": ["default_x86_64"], "Subnets": ["subnet-1"],
                        "InstanceRole": {"Fn::GetAtt": ["Profile", "Arn"]},
                    },
                },
            },
            "Queue": {
                "Type": "AWS::Batch::JobQueue",
                "Properties": {
                    "JobQueueName": {"Ref": "AWS::StackName"}, "Priority": 1,
                    "ComputeEnvironmentOrder": [{"Order": 1, "ComputeEnvironment": {"Ref": "Environment"}}],
                },
            },
            "Definition": {
                "Type": "AWS::Batch::JobDefinition",
                "Properties": {
                    "Type": "container",
                    "JobDefinitionName": {"Ref": "AWS::StackName"},
                    "ContainerProperties": {
                        "Image": "host", "Command": ["true"],
                        "ResourceRequirements": [{"Type": "VCPU", "Value": "1"}, {"Type": "MEMORY", "Value": "64"}],
                        "LogConfiguration": {
                            "LogDriver": "awslogs", "Options": {"awslogs-group": {"Ref": "JobLogs"}},
                        },
                    },
                },
            },
        },
        "Outputs": {
            "Queue": {"Value": {"Ref": "Queue"}},
            "Definition": {"Value": {"Ref": "Definition"}},
            "Bucket": {"Value": {"Ref": "Bucket"}},
        },
    })
}

/// What an `aws cloudformation` command answers.
#[track_caller]
fn stacks<const N: usize>(sandbox: &Sandbox, args: [&str; N]) -> Value {
    let outcome = sandbox.run("aws", ["cloudformation"].into_iter().chain(args)).ok();
    if outcome.stdout.is_empty() { Value::Null } else { outcome.json() }
}

/// Deploys a template with `aws cloudformation deploy`; returns what it prints.
#[track_caller]
fn deploy(sandbox: &Sandbox, template: &Value, more: &[&str]) -> String {
    sandbox.file("template.json", template.to_string());
    let args = ["cloudformation", "deploy", "--stack-name", "lab", "--template-file", "template.json"];
    let args = args.iter().chain(&["--capabilities", "CAPABILITY_IAM"]).chain(more);
    sandbox.run("aws", args).ok().stdout
}

/// Begins to make a stack of the template in the file; returns its ID.
#[track_caller]
fn create(sandbox: &Sandbox) -> String {
    let template = ["--template-body", "file://template.json", "--capabilities", "CAPABILITY_IAM"];
    let args = ["cloudformation", "create-stack", "--stack-name", "lab"].iter().chain(&template);
    sandbox.run("aws", args).ok().json()["StackId"].as_str().unwrap().to_owned()
}

#[track_caller]
fn stack(sandbox: &Sandbox) -> Value {
    stacks(sandbox, ["describe-stacks", "--stack-name", "lab"])["Stacks"][0].take()
}

#[track_caller]
fn output(stack: &Value, key: &str) -> String {
    let outputs = stack["Outputs"].as_array().unwrap_or_else(|| panic!("no outputs: {stack}"));
    let output = outputs.iter().find(|output| output["OutputKey"] == key);
    output
        .and_then(|output| output["OutputValue"].as_str())
        .unwrap_or_else(|| panic!("no {key}: {stack}"))
        .to_owned()
}

/// Waits until a stack is in a status.
#[track_caller]
fn in_status(sandbox: &Sandbox, id: &str, status: &str) -> Value {
    eventually(&format!("the stack is {status}"), Duration::from_secs(60), || {
        let stack = stacks(sandbox, ["describe-stacks", "--stack-name", id])["Stacks"][0].take();
        (stack["StackStatus"] == status).then_some(stack)
    })
}

/// Runs Python with boto3 imported and its clients made; returns what it prints, as JSON.
#[track_caller]
fn boto3(sandbox: &Sandbox, program: &str) -> Value {
    let clients = "import boto3, json, time\n\
                   from botocore.exceptions import ClientError, WaiterError\n\
                   cfn, batch, logs, s3 = map(boto3.client, ('cloudformation', 'batch', 'logs', 's3'))\n\
                   template = open('template.json').read()\n\
                   def wait(name, **of):\n\
                   \x20   cfn.get_waiter(name).wait(WaiterConfig={'Delay': 0.05, 'MaxAttempts': 400}, **of)\n\
                   def code(call, **of):\n\
                   \x20   try:\n\
                   \x20       return call(**of) and None\n\
                   \x20   except ClientError as e:\n\
                   \x20       return [e.response['Error']['Code'], e.response['Error']['Message']]\n";
    sandbox.run("python", ["-c", &format!("{clients}{program}")]).ok().json()
}

/// Asks for failures of stacks.
fn faults(sandbox: &Sandbox, faults: &Value) {
    fs::write(sandbox.local_home().join("stack-faults.json"), faults.to_string()).unwrap();
}

#[story]
fn a_deployed_cluster_runs_jobs_is_updated_and_deleted() {
    let sandbox = Sandbox::with_aws();
    deploy(&sandbox, &cluster(), &["--tags", "owner=me"]);
    let made = stack(&sandbox);
    assert_eq!(made["StackStatus"], "CREATE_COMPLETE");
    let id = made["StackId"].as_str().unwrap();
    // Its queue takes jobs at once.
    let (queue, definition) = (output(&made, "Queue"), output(&made, "Definition"));
    let overrides = json!({"command": ["sh", "-c", "echo from the stack"]}).to_string();
    let submitted = sandbox
        .run(
            "aws",
            [
                "batch",
                "submit-job",
                "--job-name",
                "j",
                "--job-queue",
                &queue,
                "--job-definition",
                &definition,
                "--container-overrides",
                &overrides,
            ],
        )
        .ok()
        .json();
    let job = submitted["jobId"].as_str().unwrap();
    sandbox.run("bwait", [job]).ok();
    let lines = sandbox.run("bout", [job]).ok().stdout;
    assert!(lines.contains("from the stack"), "{lines}");
    let groups =
        sandbox.run("aws", ["logs", "describe-log-groups", "--log-group-name-prefix", "/awsb/"]).ok().json();
    assert_eq!(groups["logGroups"][0]["logGroupName"], "/awsb/lab/jobs");
    assert_eq!(groups["logGroups"][0]["retentionInDays"], 30);
    let environments = sandbox.run("aws", ["batch", "describe-compute-environments"]).ok().json();
    let of_stack = |answer: &Value| {
        let all = answer["computeEnvironments"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["computeEnvironmentName"] != "local").unwrap()
    };
    let environment = of_stack(&environments);
    assert_eq!(environment["computeResources"]["maxvCpus"], 2);
    assert_eq!(environment["tags"]["owner"], "me");

    // The same again changes nothing; a parameter does, in place.
    let unchanged = deploy(&sandbox, &cluster(), &["--no-fail-on-empty-changeset"]);
    assert!(unchanged.contains("No changes to deploy"), "{unchanged}");
    let mut new = cluster();
    new["Resources"]["Second"] = new["Resources"]["Queue"].clone();
    new["Resources"]["Second"]["Properties"]["JobQueueName"] = json!("second");
    deploy(&sandbox, &new, &["--parameter-overrides", "Cores=3"]);
    assert_eq!(stack(&sandbox)["StackStatus"], "UPDATE_COMPLETE");
    let environments = sandbox.run("aws", ["batch", "describe-compute-environments"]).ok().json();
    let updated = of_stack(&environments);
    assert_eq!(updated["computeEnvironmentArn"], environment["computeEnvironmentArn"]);
    assert_eq!(updated["computeResources"]["maxvCpus"], 3);

    // A bucket with something in it stays, and so does the stack.
    let bucket = output(&made, "Bucket");
    sandbox.file("object", "content");
    sandbox.run("aws", ["s3", "cp", "object", &format!("s3://{bucket}/object")]).ok();
    stacks(&sandbox, ["delete-stack", "--stack-name", "lab"]);
    let failed = in_status(&sandbox, id, "DELETE_FAILED");
    assert_eq!(failed["StackStatusReason"], "The following resource(s) failed to delete: [Bucket]. ");
    let resource = stacks(
        &sandbox,
        ["describe-stack-resource", "--stack-name", "lab", "--logical-resource-id", "Bucket"],
    );
    let reason = resource["StackResourceDetail"]["ResourceStatusReason"].as_str().unwrap();
    assert!(reason.contains("The bucket you tried to delete is not empty"), "{reason}");
    sandbox.run("aws", ["s3", "rm", &format!("s3://{bucket}/object")]).ok();
    stacks(&sandbox, ["delete-stack", "--stack-name", "lab"]);
    in_status(&sandbox, id, "DELETE_COMPLETE");
    // Its name is free, its ID still answers, and nothing of it is left.
    let refused = sandbox.run("aws", ["cloudformation", "describe-stacks", "--stack-name", "lab"]);
    assert!(
        refused.stderr.contains("(ValidationError)")
            && refused.stderr.contains("Stack with id lab does not exist")
    );
    let queues = sandbox.run("aws", ["batch", "describe-job-queues"]).ok().json();
    assert_eq!(queues["jobQueues"].as_array().map(Vec::len), Some(1));
    assert!(!sandbox.run("aws", ["s3", "ls"]).ok().stdout.contains(&bucket));
    sandbox.file("template.json", cluster().to_string());
    let again = create(&sandbox);
    assert_ne!(again, id);
    in_status(&sandbox, &again, "CREATE_COMPLETE");
}

#[story]
fn a_change_set_is_made_looked_at_and_executed() {
    let sandbox = Sandbox::with_aws();
    sandbox.file("template.json", cluster().to_string());
    let seen = boto3(
        &sandbox,
        r#"
def make(kind, name, body=template, **more):
    made = cfn.create_change_set(StackName='lab', ChangeSetName=name, ChangeSetType=kind, TemplateBody=body,
                                 Capabilities=['CAPABILITY_IAM'], **more)
    wait('change_set_create_complete', ChangeSetName=made['Id'])
    return made
first = make('CREATE', 'first', OnStackFailure='DELETE', ClientToken='t1')
again = make('CREATE', 'first', OnStackFailure='DELETE', ClientToken='t1')
assert first['Id'] == again['Id'] and first['StackId'] == again['StackId']
review = cfn.describe_stacks(StackName='lab')['Stacks'][0]['StackStatus']
plan = cfn.describe_change_set(ChangeSetName=first['Id'], IncludePropertyValues=True)
for _ in range(2):
    cfn.execute_change_set(ChangeSetName=first['Id'], ClientRequestToken='t2')
wait('stack_create_complete', StackName=first['StackId'])
events = [e for p in cfn.get_paginator('describe_stack_events').paginate(StackName='lab') for e in p['StackEvents']]
second = json.loads(template)
del second['Resources']['Bucket']['Type']
second['Resources']['Bucket'] = {'Type': 'AWS::S3::Bucket', 'Properties': {'BucketName': 'another-name'}}
second['Resources']['Environment']['Properties']['ComputeResources']['MaxvCpus'] = 7
update = make('UPDATE', 'second', json.dumps(second))
changes = cfn.describe_change_set(ChangeSetName='second', StackName='lab', IncludePropertyValues=True)['Changes']
nothing = cfn.create_change_set(StackName='lab', ChangeSetName='nothing', UsePreviousTemplate=True,
                                Capabilities=['CAPABILITY_IAM'])
empty = cfn.describe_change_set(ChangeSetName=nothing['Id'])
cfn.execute_change_set(ChangeSetName=update['Id'])
wait('stack_update_complete', StackName='lab')
print(json.dumps({
    'review': review,
    'adds': sorted(c['ResourceChange']['LogicalResourceId'] for c in plan['Changes']),
    'context': json.loads(plan['Changes'][0]['ResourceChange']['AfterContext']),
    'events': [[e['LogicalResourceId'], e['ResourceStatus'], e.get('ResourceStatusReason'), e.get('ClientRequestToken')]
               for e in reversed(events)],
    'changes': {c['ResourceChange']['LogicalResourceId']: c['ResourceChange'] for c in changes},
    'empty': [empty['Status'], empty['StatusReason'], empty['ExecutionStatus']],
    'sets': [s['ChangeSetName'] for s in cfn.list_change_sets(StackName='lab')['Summaries']],
    'bucket': cfn.describe_stack_resource(StackName='lab', LogicalResourceId='Bucket')
                 ['StackResourceDetail']['PhysicalResourceId'],
    'operations': [[e['OperationType'], e['OperationStatus'], e['EventType']]
                   for e in cfn.describe_events(StackName='lab')['OperationEvents'][:1]],
    'template': cfn.get_template(StackName='lab')['TemplateBody'] != template,
}))"#,
    );
    assert_eq!(seen["review"], "REVIEW_IN_PROGRESS");
    assert_eq!(
        seen["adds"],
        json!(["Bucket", "Definition", "Environment", "JobLogs", "Profile", "Queue", "Role"])
    );
    let events: Vec<(String, String)> = seen["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event[0].as_str().unwrap().to_owned(), event[1].as_str().unwrap().to_owned()))
        .collect();
    let at = |logical: &str, status: &str| {
        let found = events.iter().position(|event| *event == (logical.to_owned(), status.to_owned()));
        found.unwrap_or_else(|| panic!("{logical} {status}: {events:?}"))
    };
    assert_eq!(
        events[..2].iter().map(|event| event.1.as_str()).collect::<Vec<_>>(),
        ["REVIEW_IN_PROGRESS", "CREATE_IN_PROGRESS"]
    );
    assert!(at("Role", "CREATE_COMPLETE") < at("Profile", "CREATE_IN_PROGRESS"));
    assert!(at("Environment", "CREATE_COMPLETE") < at("Queue", "CREATE_IN_PROGRESS"));
    assert_eq!(at("lab", "CREATE_COMPLETE"), events.len() - 1);
    assert_eq!(seen["events"][events.len() - 1][3], "t2");
    let role = seen["events"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event[0] == "Role" && event[1] == "CREATE_COMPLETE");
    assert!(role.unwrap()[2].as_str().unwrap().starts_with("Simulated"), "{role:?}");

    let changes = &seen["changes"];
    assert_eq!(changes["Bucket"]["Replacement"], "True");
    assert_eq!(changes["Bucket"]["PolicyAction"], "ReplaceAndDelete");
    assert_eq!(changes["Environment"]["Replacement"], "False");
    let max = &changes["Environment"]["Details"][0]["Target"];
    assert_eq!(
        (&max["Path"], &max["BeforeValue"], &max["AfterValue"]),
        (&json!("/Properties/ComputeResources/MaxvCpus"), &json!("2"), &json!("7"))
    );
    assert_eq!(seen["empty"][0], "FAILED");
    assert!(
        seen["empty"][1].as_str().unwrap().starts_with("The submitted information didn't contain changes.")
    );
    assert_eq!((&seen["sets"], &seen["bucket"]), (&json!(["second"]), &json!("another-name")));
    assert_eq!(seen["operations"], json!([["UPDATE_STACK", "SUCCEEDED", "STACK_EVENT"]]));
    assert_eq!(seen["template"], true);
}

#[story]
fn requests_that_cannot_be_are_refused_in_awss_words() {
    let sandbox = Sandbox::with_aws();
    sandbox.file("template.json", cluster().to_string());
    let refused = boto3(
        &sandbox,
        r#"
iam = dict(Capabilities=['CAPABILITY_IAM'])
parsed = json.loads(template)
def changed(change):
    copy = json.loads(template)
    change(copy)
    return json.dumps(copy)
named = changed(lambda t: t['Resources']['Role']['Properties'].update(RoleName='r'))
circle = changed(lambda t: t['Resources']['Role'].update(DependsOn='Profile'))
unknown = changed(lambda t: t['Resources'].update(X={'Type': 'AWS::SNS::Topic'}))
missing = changed(lambda t: t['Resources']['Queue'].update(DependsOn='Nowhere'))
attribute = changed(lambda t: t['Outputs'].update(X={'Value': {'Fn::GetAtt': ['Queue', 'Colour']}}))
needy = changed(lambda t: t['Parameters'].update(P={'Type': 'String'}))
create, update = cfn.create_stack, cfn.update_stack
out = {
    'capability': code(create, StackName='lab', TemplateBody=template),
    'named': code(create, StackName='lab', TemplateBody=named, **iam),
    'circle': code(create, StackName='lab', TemplateBody=circle, **iam),
    'unknown': code(create, StackName='lab', TemplateBody=unknown, **iam),
    'missing': code(create, StackName='lab', TemplateBody=missing, **iam),
    'attribute': code(create, StackName='lab', TemplateBody=attribute, **iam),
    'needy': code(create, StackName='lab', TemplateBody=needy, **iam),
    'json': code(create, StackName='lab', TemplateBody='{"Resources"', **iam),
    'name': code(create, StackName='1lab', TemplateBody=template, **iam),
    'parameter': code(create, StackName='lab', TemplateBody=template, **iam,
                      Parameters=[{'ParameterKey': 'Nothing', 'ParameterValue': '1'}]),
    'number': code(create, StackName='lab', TemplateBody=template, **iam,
                   Parameters=[{'ParameterKey': 'Cores', 'ParameterValue': '0'}]),
    'long': code(create, StackName='lab', TemplateBody=template + ' ' * 51200, **iam),
    'describe': code(cfn.describe_stacks, StackName='lab'),
    'events': code(cfn.describe_stack_events, StackName='lab'),
    'update': code(update, StackName='lab', TemplateBody=template, **iam),
    'set': code(cfn.describe_change_set, ChangeSetName='s', StackName='lab'),
}
made = create(StackName='lab', TemplateBody=template, ClientRequestToken='t', EnableTerminationProtection=True, **iam)
assert create(StackName='lab', TemplateBody=template, ClientRequestToken='t', **iam)['StackId'] == made['StackId']
out['token'] = code(cfn.delete_stack, StackName='lab', ClientRequestToken='t')
out['exists'] = code(create, StackName='lab', TemplateBody=template, **iam)
wait('stack_create_complete', StackName='lab')
out['nothing'] = code(update, StackName='lab', TemplateBody=template, **iam)
out['protected'] = code(cfn.delete_stack, StackName='lab')
out['no set'] = code(cfn.describe_change_set, ChangeSetName='s', StackName='lab')
out['again'] = code(cfn.create_change_set, StackName='lab', ChangeSetName='c', ChangeSetType='CREATE',
                    TemplateBody=template, **iam)
out['retain'] = code(cfn.delete_stack, StackName='lab', RetainResources=['Bucket'])
out['taken'] = code(cfn.update_stack, StackName='lab', TemplateBody=changed(
    lambda t: t['Resources']['Queue'].update(Type='AWS::Batch::SchedulingPolicy', Properties={})), **iam)
out['validated'] = [cfn.validate_template(TemplateBody=template)['Capabilities'],
                    cfn.get_template_summary(StackName='lab')['ResourceTypes'][0]]
cfn.update_termination_protection(StackName='lab', EnableTerminationProtection=False)
cfn.delete_stack(StackName='lab')
wait('stack_delete_complete', StackName=made['StackId'])
cfn.delete_stack(StackName='lab')
print(json.dumps(out))"#,
    );
    let is = |key: &str, code: &str, words: &str| {
        let (said, message) = (refused[key][0].as_str(), refused[key][1].as_str());
        assert!(
            said == Some(code) && message.is_some_and(|message| message.contains(words)),
            "{key}: {} is not {code}: {words}",
            refused[key]
        );
    };
    let invalid = "ValidationError";
    is("capability", "InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_IAM]");
    is("named", "InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_NAMED_IAM]");
    is("circle", invalid, "Circular dependency between resources: [");
    is("unknown", invalid, "Unrecognized resource types: [AWS::SNS::Topic]");
    is(
        "missing",
        invalid,
        "Unresolved resource dependencies [Nowhere] in the Resources block of the template",
    );
    is("attribute", invalid, "resource Queue does not support attribute type Colour in Fn::GetAtt");
    is("needy", invalid, "Parameters: [P] must have values");
    is("json", invalid, "JSON not well-formed");
    is("name", invalid, "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*");
    is("parameter", invalid, "Parameters: [Nothing] do not exist in the template");
    is("number", invalid, "Parameter Cores failed to satisfy constraint");
    is("long", invalid, "Member must have length less than or equal to 51200");
    is("describe", invalid, "Stack with id lab does not exist");
    is("events", invalid, "Stack [lab] does not exist");
    is("update", invalid, "Stack [lab] does not exist");
    is("set", invalid, "Stack [lab] does not exist");
    is("token", "TokenAlreadyExistsException", "token already exists");
    is("exists", "AlreadyExistsException", "Stack [lab] already exists");
    is("nothing", invalid, "No updates are to be performed.");
    is("protected", invalid, "Stack [lab] cannot be deleted while TerminationProtection is enabled");
    is("no set", "ChangeSetNotFound", "ChangeSet [s] does not exist");
    is("again", invalid, "Stack [lab] already exists and cannot be created again with the changeSet [c].");
    is("retain", invalid, "cannot be deleted while TerminationProtection");
    is("taken", invalid, "modifies resource type of the following resources: [Queue]");
    assert_eq!(refused["validated"], json!([["CAPABILITY_IAM"], "AWS::Batch::ComputeEnvironment"]));
}

#[story]
fn what_fails_is_rolled_back_and_told() {
    let sandbox = Sandbox::with_aws();
    sandbox.file("template.json", cluster().to_string());
    let prelude = r#"
iam = dict(StackName='lab', Capabilities=['CAPABILITY_IAM'])
def failures(id):
    events = reversed(cfn.describe_stack_events(StackName=id)['StackEvents'])
    return [[e['LogicalResourceId'], e['ResourceStatus'], e['ResourceStatusReason']] for e in events
            if e['ResourceStatus'].endswith('_FAILED')]
def status(id='lab'):
    return cfn.describe_stacks(StackName=id)['Stacks'][0]['StackStatus']
def settle(id='lab'):
    while status(id).endswith('_IN_PROGRESS'):
        time.sleep(0.05)
    return status(id)
"#;
    let python = |program: &str| boto3(&sandbox, &format!("{prelude}{program}"));
    // Somebody has the queue's name.
    let clash = python(
        r"
environment = batch.describe_compute_environments()['computeEnvironments'][0]['computeEnvironmentArn']
batch.create_job_queue(jobQueueName='lab', priority=1,
                       computeEnvironmentOrder=[{'order': 1, 'computeEnvironment': environment}])
id = cfn.create_stack(TemplateBody=template, **iam)['StackId']
out = [settle(), failures(id)[0], code(cfn.update_stack, TemplateBody=template, **iam)]
out.append([len(batch.describe_compute_environments()['computeEnvironments']), len(s3.list_buckets()['Buckets'])])
cfn.delete_stack(StackName='lab')
settle(id)
batch.update_job_queue(jobQueue='lab', state='DISABLED')
batch.delete_job_queue(jobQueue='lab')
print(json.dumps(out))",
    );
    assert_eq!(clash[0], "ROLLBACK_COMPLETE");
    assert_eq!(clash[1][0], "Queue");
    assert!(clash[1][2].as_str().unwrap().contains("already exists.\" (RequestToken: "), "{clash}");
    assert!(clash[2][1].as_str().unwrap().contains("is in ROLLBACK_COMPLETE state and can not be updated"));
    assert_eq!(clash[3], json!([1, 1]), "nothing is left but what was there");

    faults(
        &sandbox,
        &json!({"resources": [{"resource": "AWS::Batch::JobQueue", "action": "create", "message": "no more"}]}),
    );
    let deleted = python(
        r"
made = cfn.create_change_set(ChangeSetName='c', ChangeSetType='CREATE', OnStackFailure='DELETE',
                             TemplateBody=template, **iam)
cfn.execute_change_set(ChangeSetName=made['Id'])
print(json.dumps([settle(made['StackId']), failures(made['StackId'])[0], code(cfn.describe_stacks, StackName='lab')]))",
    );
    assert_eq!(deleted[0], "DELETE_COMPLETE");
    assert!(deleted[1][2].as_str().unwrap().contains("no more"), "{deleted}");
    assert_eq!(deleted[2][0], "ValidationError");

    // A throttled call, for a client that does not try again.
    faults(&sandbox, &json!({"calls": [{"operation": "ListStacks", "times": 2}]}));
    let throttled = python(
        r"
from botocore.config import Config
cfn = boto3.client('cloudformation', config=Config(retries={'max_attempts': 0}))
print(json.dumps([code(cfn.list_stacks) for _ in range(3)]))",
    );
    assert_eq!(throttled, json!([["Throttling", "Rate exceeded"], ["Throttling", "Rate exceeded"], null]));

    // An update whose roll-back fails, too, until it goes on without the resource.
    faults(&sandbox, &json!({}));
    let rolled_back = python(
        r"
cfn.create_stack(TemplateBody=template, **iam)
print(json.dumps(settle()))",
    );
    assert_eq!(rolled_back, "CREATE_COMPLETE");
    faults(
        &sandbox,
        &json!({"resources": [{"resource": "Environment", "action": "update"}],
        "calls": [{"operation": "DescribeStacks", "times": 2}]}),
    );
    let rolled_back = python(
        r"
cfn.update_stack(TemplateBody=template, Parameters=[{'ParameterKey': 'Cores', 'ParameterValue': '4'}], **iam)
out = [settle(), code(cfn.update_stack, TemplateBody=template, **iam)[1]]
cfn.continue_update_rollback(StackName='lab')
out.append(settle())
cfn.continue_update_rollback(StackName='lab', ResourcesToSkip=['Environment'])
out.append(settle())
out.append(cfn.describe_stacks(StackName='lab')['Stacks'][0]['Parameters'][0]['ParameterValue'])
print(json.dumps(out))",
    );
    assert_eq!(rolled_back[0], "UPDATE_ROLLBACK_FAILED");
    assert!(rolled_back[1].as_str().unwrap().contains("UPDATE_ROLLBACK_FAILED state and can not be updated"));
    assert_eq!(rolled_back[2], "UPDATE_ROLLBACK_FAILED");
    assert_eq!(rolled_back[3], "UPDATE_ROLLBACK_COMPLETE");
    assert_eq!(rolled_back[4], "2");

    // An environment that a queue of somebody else uses stays, until that queue is gone.
    faults(&sandbox, &json!({}));
    let in_use = python(
        r"
environment = cfn.describe_stack_resource(StackName='lab', LogicalResourceId='Environment')
environment = environment['StackResourceDetail']['PhysicalResourceId']
batch.create_job_queue(jobQueueName='other', priority=1,
                       computeEnvironmentOrder=[{'order': 1, 'computeEnvironment': environment}])
id = cfn.describe_stacks(StackName='lab')['Stacks'][0]['StackId']
cfn.delete_stack(StackName='lab')
out = [settle(id), failures(id)[-2:]]
batch.update_job_queue(jobQueue='other', state='DISABLED')
batch.delete_job_queue(jobQueue='other')
cfn.delete_stack(StackName='lab')
out.append(settle(id))
print(json.dumps(out))",
    );
    assert_eq!(in_use[0], "DELETE_FAILED");
    assert!(
        in_use[1].to_string().contains("Cannot delete, found existing JobQueue relationship"),
        "{in_use}"
    );
    assert_eq!(in_use[2], "DELETE_COMPLETE");
}

#[story]
fn properties_that_are_wrong_are_found_before_anything_is_made() {
    let sandbox = Sandbox::with_aws();
    let mut wrong = cluster();
    wrong["Resources"]["Queue"]["Properties"]["Colour"] = json!("red");
    wrong["Resources"]["Environment"]["Properties"]["ComputeResources"]["MaxvCpus"] = json!("many");
    sandbox.file("template.json", wrong.to_string());
    let found = boto3(
        &sandbox,
        r"
made = cfn.create_change_set(StackName='lab', ChangeSetName='c', ChangeSetType='CREATE', TemplateBody=template,
                             Capabilities=['CAPABILITY_IAM'])
set = cfn.describe_change_set(ChangeSetName=made['Id'])
events = cfn.describe_events(ChangeSetName=made['Id'])['OperationEvents']
print(json.dumps([set['Status'], set['StatusReason'], code(cfn.execute_change_set, ChangeSetName=made['Id'])[0],
                  [[e['EventType'], e['ValidationPath'], e['ValidationStatusReason']] for e in events]]))",
    );
    assert_eq!((&found[0], &found[2]), (&json!("FAILED"), &json!("InvalidChangeSetStatus")));
    assert!(found[1].as_str().unwrap().contains("AWS::EarlyValidation::PropertyValidation"), "{found}");
    assert_eq!(
        found[3],
        json!([
            [
                "VALIDATION_ERROR",
                "/Resources/Environment/Properties/ComputeResources/MaxvCpus",
                "#/ComputeResources/MaxvCpus: expected type: Integer, found: String"
            ],
            [
                "VALIDATION_ERROR",
                "/Resources/Queue/Properties",
                "#: extraneous key [Colour] is not permitted"
            ],
        ])
    );
}

/// UG, "Import AWS resources into a CloudFormation stack automatically".
#[story]
fn resources_that_exist_are_imported_under_their_static_names() {
    let sandbox = Sandbox::with_aws();
    sandbox.file("template.json", "{}");
    faults(
        &sandbox,
        &json!({"resources": [{"resource": "AWS::Batch::SchedulingPolicy", "action": "create", "times": 1}]}),
    );
    let found = boto3(
        &sandbox,
        r"
s3.create_bucket(Bucket='mine-1')
s3.put_object(Bucket='mine-1', Key='k', Body=b'kept')
logs.create_log_group(logGroupName='mine')
def template(bucket, group='mine', policy='RetainExceptOnCreate', **more):
    of = lambda kind, **properties: {'Type': kind, 'DeletionPolicy': policy, 'Properties': properties}
    resources = {'Bucket': of('AWS::S3::Bucket', BucketName=bucket), 'Group': of('AWS::Logs::LogGroup', LogGroupName=group)}
    return json.dumps({'Parameters': {'Name': {'Type': 'String', 'Default': 'mine-1'}}, 'Resources': resources | more})
def make(stack, body, imports=True):
    made = cfn.create_change_set(StackName=stack, ChangeSetName='c', ChangeSetType='CREATE', TemplateBody=body,
                                 ImportExistingResources=imports)
    set = cfn.describe_change_set(ChangeSetName=made['Id'])
    out = [set['Status'], [c['ResourceChange']['Action'] for c in set['Changes']], set['ImportExistingResources']]
    if set['Status'] == 'CREATE_COMPLETE':
        cfn.execute_change_set(ChangeSetName=made['Id'])
        try:
            wait('stack_create_complete', StackName=stack)
        except WaiterError:
            pass
    out.append(cfn.describe_stacks(StackName=stack)['Stacks'][0]['StackStatus'])
    return out
def statuses(stack):
    events = cfn.describe_stack_events(StackName=stack)['StackEvents']
    return [e['ResourceStatus'] for e in reversed(events) if e['LogicalResourceId'] == 'Bucket']
faults = {'Policy': {'Type': 'AWS::Batch::SchedulingPolicy', 'DependsOn': ['Bucket', 'Group'], 'Properties': {}}}
out = {
    'not asked for': make('a', template('mine-1'), imports=False),
    'dynamic': make('b', template({'Ref': 'Name'})),
    'not kept': make('c', template('mine-1', policy='Delete')),
    'failing': make('d', template('mine-1', **faults)),
    'rolled back': statuses('d'),
    'imported': make('e', template('mine-1')),
    'events': statuses('e'),
    'taken': make('f', template('mine-1')),
    'object': s3.get_object(Bucket='mine-1', Key='k')['Body'].read().decode(),
}
print(json.dumps(out))",
    );
    let refused = |imports: bool| json!(["FAILED", ["Add", "Add"], imports, "REVIEW_IN_PROGRESS"]);
    assert_eq!(found["not asked for"], refused(false));
    assert_eq!(found["dynamic"], json!(["FAILED", ["Add", "Import"], true, "REVIEW_IN_PROGRESS"]));
    assert_eq!(found["not kept"], refused(true));
    assert_eq!(
        found["failing"],
        json!(["CREATE_COMPLETE", ["Import", "Import", "Add"], true, "ROLLBACK_COMPLETE"])
    );
    assert_eq!(found["rolled back"], json!(["IMPORT_IN_PROGRESS", "IMPORT_COMPLETE", "DELETE_SKIPPED"]));
    assert_eq!(found["imported"], json!(["CREATE_COMPLETE", ["Import", "Import"], true, "CREATE_COMPLETE"]));
    assert_eq!(found["events"], json!(["IMPORT_IN_PROGRESS", "IMPORT_COMPLETE"]));
    assert_eq!(found["taken"], refused(true));
    assert_eq!(found["object"], "kept");
}

#[story]
fn a_template_in_a_bucket_may_be_longer() {
    let sandbox = Sandbox::with_aws();
    let mut long = cluster();
    long["Metadata"] = json!({"text": "x".repeat(60_000)});
    sandbox.file("template.json", long.to_string());
    let deployed = sandbox.run(
        "aws",
        [
            "cloudformation",
            "deploy",
            "--stack-name",
            "lab",
            "--template-file",
            "template.json",
            "--capabilities",
            "CAPABILITY_IAM",
        ],
    );
    assert!(deployed.code() != 0 && deployed.stderr.contains("--s3-bucket"), "{deployed:?}");
    deploy(&sandbox, &long, &["--s3-bucket", "awsb-local"]);
    assert_eq!(stack(&sandbox)["StackStatus"], "CREATE_COMPLETE");
}

#[story]
fn a_server_that_is_killed_goes_on_and_makes_nothing_twice() {
    let mut sandbox = Sandbox::with_aws();
    faults(&sandbox, &json!({"delayMs": 30}));
    sandbox.file("template.json", cluster().to_string());
    let kill_and_start = |sandbox: &mut Sandbox, times: &[u64]| {
        for pause in times {
            std::thread::sleep(Duration::from_millis(*pause));
            let endpoint = fs::read_to_string(sandbox.local_home().join("endpoint.json")).unwrap();
            let endpoint: Value = serde_json::from_str(&endpoint).unwrap();
            kill(u32::try_from(endpoint["pid"].as_u64().unwrap()).unwrap(), "KILL");
            sandbox.run("blocal", ["start"]).ok();
            // Another program may have taken the port meanwhile.
            sandbox.use_local_exports();
        }
    };
    let made = create(&sandbox);
    let id = made.as_str();
    kill_and_start(&mut sandbox, &[40, 10, 100, 70]);
    let stack = in_status(&sandbox, id, "CREATE_COMPLETE");
    let count = |events: &Value, logical: &str, status: &str| {
        let is = |event: &&Value| event["LogicalResourceId"] == logical && event["ResourceStatus"] == status;
        events["StackEvents"].as_array().unwrap().iter().filter(is).count()
    };
    let events = stacks(&sandbox, ["describe-stack-events", "--stack-name", id]);
    for logical in ["Role", "Profile", "Bucket", "JobLogs", "Environment", "Queue", "Definition"] {
        assert_eq!(count(&events, logical, "CREATE_COMPLETE"), 1, "{logical}");
    }
    let definitions =
        sandbox.run("aws", ["batch", "describe-job-definitions", "--job-definition-name", "lab"]).ok().json();
    assert_eq!(definitions["jobDefinitions"].as_array().map(Vec::len), Some(1));
    assert!(sandbox.run("aws", ["s3", "ls"]).ok().stdout.contains(&output(&stack, "Bucket")));
    stacks(&sandbox, ["delete-stack", "--stack-name", "lab"]);
    kill_and_start(&mut sandbox, &[50, 5, 90]);
    in_status(&sandbox, id, "DELETE_COMPLETE");
    let events = stacks(&sandbox, ["describe-stack-events", "--stack-name", id]);
    for logical in ["Role", "Profile", "Bucket", "JobLogs", "Environment", "Queue", "Definition"] {
        assert_eq!(count(&events, logical, "DELETE_COMPLETE"), 1, "{logical}");
    }
    let queues = sandbox.run("aws", ["batch", "describe-job-queues"]).ok().json();
    assert_eq!(queues["jobQueues"].as_array().map(Vec::len), Some(1));
}

#[story]
fn a_bucket_whose_policy_was_left_behind_takes_no_second_one() {
    let sandbox = Sandbox::with_aws();
    sandbox.run("aws", ["s3", "mb", "s3://kept-0001"]).ok();
    let template = json!({"Resources": {"Policy": {
        "Type": "AWS::S3::BucketPolicy",
        "DeletionPolicy": "Retain",
        "Properties": {"Bucket": "kept-0001", "PolicyDocument": {"Version": "2012-10-17", "Statement": []}},
    }}});
    sandbox.file("template.json", template.to_string());
    let first = create(&sandbox);
    in_status(&sandbox, &first, "CREATE_COMPLETE");
    stacks(&sandbox, ["delete-stack", "--stack-name", "lab"]);
    in_status(&sandbox, &first, "DELETE_COMPLETE");
    let second = create(&sandbox);
    in_status(&sandbox, &second, "ROLLBACK_COMPLETE");
    let events = stacks(&sandbox, ["describe-stack-events", "--stack-name", &second]).to_string();
    assert!(events.contains("The bucket policy already exists on bucket kept-0001."), "{events}");
}

#[story]
fn a_consumable_resource_is_made_changed_and_removed_with_its_stack() {
    let sandbox = Sandbox::with_aws();
    sandbox.file("template.json", "{}");
    let found = boto3(
        &sandbox,
        r"
def template(total, kind='REPLENISHABLE'):
    lic = {'Type': 'AWS::Batch::ConsumableResource', 'Properties': {
        'ConsumableResourceName': 'lic', 'ResourceType': kind, 'TotalQuantity': total, 'Tags': {'of': 'lab'}}}
    return json.dumps({'Resources': {'Lic': lic}, 'Outputs': {
        'Ref': {'Value': {'Ref': 'Lic'}}, 'Arn': {'Value': {'Fn::GetAtt': ['Lic', 'ConsumableResourceArn']}}}})
cfn.create_stack(StackName='lics', TemplateBody=template(0))
wait('stack_create_complete', StackName='lics')
out = {o['OutputKey']: o['OutputValue'] for o in cfn.describe_stacks(StackName='lics')['Stacks'][0]['Outputs']}
print(json.dumps(out))",
    );
    let arn = found["Arn"].as_str().unwrap();
    assert!(arn.ends_with(":consumable-resource/lic") && found["Ref"] == arn, "{found}");
    // A job waits until an update of the stack makes some of it.
    let id = sandbox.run("bsub", ["--parsable", "--consume", "lic=2", "--wrap", "true"]).ok().job_id();
    let found = boto3(
        &sandbox,
        r"
batch = boto3.client('batch')
def lic():
    made = batch.describe_consumable_resource(consumableResource='lic')
    return [made['totalQuantity'], made['resourceType'], made['tags']]
def template(total):
    lic = {'Type': 'AWS::Batch::ConsumableResource', 'Properties': {
        'ConsumableResourceName': 'lic', 'ResourceType': 'REPLENISHABLE', 'TotalQuantity': total, 'Tags': {'of': 'all'}}}
    return json.dumps({'Resources': {'Lic': lic}})
before = lic()
cfn.update_stack(StackName='lics', TemplateBody=template(2))
wait('stack_update_complete', StackName='lics')
print(json.dumps([before, lic()]))",
    );
    assert_eq!(found, json!([[0, "REPLENISHABLE", {"of": "lab"}], [2, "REPLENISHABLE", {"of": "all"}]]));
    sandbox.run("bwait", [&id]).ok();
    let found = boto3(
        &sandbox,
        r"
cfn.delete_stack(StackName='lics')
wait('stack_delete_complete', StackName='lics')
print(json.dumps(boto3.client('batch').list_consumable_resources()['consumableResources']))",
    );
    assert_eq!(found, json!([]));
}
