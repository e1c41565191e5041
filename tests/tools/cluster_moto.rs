//! The template of a cluster in moto: a CloudFormation that we did not write.

use awsb_testkit::{Moto, Sandbox, story};
use serde_json::{Value, json};

/// moto knows fewer properties than CloudFormation, so its stack has less: no policy of the bucket,
/// no nodes, and environments without a launch template.
fn thinned(mut template: Value) -> Value {
    let resources = template["Resources"].as_object_mut().expect("resources");
    resources.retain(|_, resource| {
        resource["Type"] != "AWS::S3::BucketPolicy" && resource["Properties"]["Type"] != "multinode"
    });
    for resource in resources.values_mut().filter(|r| r["Type"] == "AWS::Batch::ComputeEnvironment") {
        let properties = resource["Properties"].as_object_mut().expect("properties");
        properties.insert("ServiceRole".into(), json!({"Fn::GetAtt": ["InstanceRole", "Arn"]}));
        let machines = properties["ComputeResources"].as_object_mut().expect("machines");
        machines.retain(|name, _| !["LaunchTemplate", "Ec2Configuration"].contains(&name.as_str()));
        machines.insert("DesiredvCpus".into(), json!(0));
        machines.insert("InstanceTypes".into(), json!(["optimal"]));
    }
    template["Outputs"]
        .as_object_mut()
        .expect("outputs")
        .retain(|name, _| name != "BatchJobDefinitionMnpArn");
    template
}

/// A CloudFormation that we did not write makes a cluster of the template.
#[story]
fn a_thinned_template_is_created_on_moto() {
    let local = Sandbox::new();
    local.file(
        "lab.toml",
        "[network]\nvpc = \"new\"\n[environment.cpu]\ntype = \"on-demand\"\n[environment.spot]\ntype = \"spot\"\n\
         [definition.job]\nimage = \"busybox\"\n[images]\nrepository = false\n",
    );
    let template = local.run("bcluster", ["template", "moto", "-c", "local", "-f", "lab.toml"]).ok().json();
    let moto = Moto::without_containers().cluster("templates");
    let sandbox = moto.aws_sandbox();
    sandbox.file("template.json", thinned(template).to_string());
    let aws = |args: &[&str]| sandbox.run("aws", ["cloudformation"].iter().chain(args)).ok();
    let capabilities = ["--capabilities", "CAPABILITY_NAMED_IAM"];
    let bucket = ["--parameters", "ParameterKey=ResourcesS3Bucket,ParameterValue=awsb-moto-lab"];
    let body = ["create-stack", "--stack-name", "moto", "--template-body", "file://template.json"];
    aws(&[&body[..], &capabilities, &bucket].concat());
    let stack = aws(&["describe-stacks", "--stack-name", "moto"]).json()["Stacks"][0].take();
    assert_eq!(stack["StackStatus"], "CREATE_COMPLETE", "{stack}");
    let outputs = stack["Outputs"].as_array().expect("outputs");
    let output = |key: &str| {
        let found = outputs.iter().find(|output| output["OutputKey"] == key);
        found.and_then(|output| output["OutputValue"].as_str()).unwrap_or_else(|| panic!("no {key}: {stack}"))
    };
    assert_eq!(output("ResourcesS3Bucket"), "awsb-moto-lab");
    assert_eq!(output("JobLogGroup"), "/awsb/moto/jobs");
    let queue = output("BatchJobQueueArn");
    let queues = sandbox.run("aws", ["batch", "describe-job-queues", "--job-queues", queue]).ok().json();
    assert_eq!(queues["jobQueues"][0]["jobQueueName"], "moto-cpu", "{queues}");
    // The stack is a cluster to the tools.
    sandbox.config(&format!(
        "[cluster.made]\nstack = \"moto\"\nregion = {:?}\nendpoint_url = {:?}\n",
        moto.part("region"),
        moto.endpoint()
    ));
    let shown = sandbox.run("bqueues", ["-c", "made", "--no-header"]).ok().stdout;
    assert!(shown.starts_with("moto-cpu"), "{shown}");
}
