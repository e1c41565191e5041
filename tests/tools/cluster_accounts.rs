//! `bcluster` and the account: where it looks for clusters, which permissions it prints, and what
//! it asks AWS before a cluster is made.

use awsb_testkit::{Answer, Outcome, Sandbox, story};
use serde_json::{Value, json};

use crate::cluster_create::fake::{Fake, error};

#[story]
fn without_a_region_the_clusters_of_this_machine_are_listed() {
    let sandbox = Sandbox::new();
    let listed = sandbox.run("bcluster", ["list", "--no-header"]).ok();
    assert!(listed.stdout.starts_with("local"), "{listed}");
    assert_eq!(listed.stdout.lines().count(), 1, "{listed}");
    assert!(listed.stderr.contains("bcluster: note: no AWS region is set"), "{listed}");
    assert!(!sandbox.local_home().exists(), "the local cluster is not started for a list");
    // Where nothing can be listed, the exit code says so.
    let failed = sandbox.run("bcluster", ["list", "--profile", "nobody"]);
    assert!(failed.ended_with(2).stderr.contains("no AWS region is set"), "a profile means AWS alone");
}

#[story]
fn the_clusters_on_aws_are_listed_beside_the_local_one() {
    let aws = Fake::start();
    aws.has_stack("CREATE_COMPLETE", &[("awsb:cluster", "lab")]);
    let sandbox = aws.sandbox();
    let listed = sandbox.run("bcluster", ["list", "--json"]).ok().json();
    assert_eq!(listed[0]["cluster"], "local", "{listed}");
    assert_eq!(listed[0]["stackName"], Value::Null, "{listed}");
    assert_eq!(listed[1]["cluster"], "lab", "{listed}");
    assert_eq!(listed[1]["madeBy"], "awsb", "{listed}");
    let on_aws = sandbox.run("bcluster", ["list", "--no-header", "--region", "eu-west-1"]).ok();
    assert!(on_aws.stdout.starts_with("lab "), "{on_aws}");
    assert!(on_aws.stdout.contains(" eu-west-1 "), "{on_aws}");
}

#[story]
fn an_option_for_aws_beats_a_cluster_of_this_machine() {
    let aws = Fake::start();
    let sandbox = aws.sandbox();
    sandbox.config("[cluster.lab]\nstack = \"lab\"\nlocal = true\n");
    let outcome = sandbox.run("bcluster", ["show", "lab", "--region", "eu-west-1"]);
    assert_eq!(outcome.failed_with(1), "there is no cluster `lab` in eu-west-1");
    assert!(!sandbox.local_home().exists(), "the local cluster is not asked");
}

#[story]
fn a_cluster_without_a_stack_gives_its_region() {
    let aws = Fake::start();
    let mut sandbox = aws.sandbox();
    sandbox.unset("AWS_REGION");
    sandbox.config(
        "[cluster.mine]\nregion = \"eu-west-3\"\nbucket = \"b\"\njob_queue = \"q\"\njob_definition = \"d\"\n",
    );
    let outcome = sandbox.run("bcluster", ["show", "mine"]);
    assert_eq!(outcome.failed_with(1), "there is no cluster `mine` in eu-west-3");
}

#[story]
fn a_list_that_lacks_the_clusters_on_aws_is_not_a_success() {
    let aws = Fake::with_faults(|call, _| {
        let message =
            "User: arn:aws:iam::1:user/me is not authorized to perform: cloudformation:DescribeStacks";
        (call.action == "DescribeStacks").then(|| (error("AccessDenied", message), false))
    });
    let listed = aws.sandbox().run("bcluster", ["list", "--no-header"]).ended_with(1);
    assert!(listed.stdout.starts_with("local"), "{listed}");
    assert!(listed.stderr.contains("no permission for cloudformation:DescribeStacks"), "{listed}");
}

#[story]
fn a_policy_for_a_long_name_is_several_documents_that_iam_takes() {
    let sandbox = Sandbox::new();
    let name = "x".repeat(60);
    let short = sandbox.run("bcluster", ["policy", "user", "lab"]).ok();
    assert_eq!(short.stderr, "");
    let first = sandbox.run("bcluster", ["policy", "admin", &name]).ok();
    assert!(first.stderr.contains("this is the first of 2 documents"), "{first}");
    let all = sandbox.run("bcluster", ["policy", "admin", &name, "--json"]).ok().json();
    let parts: Vec<Value> = ["1", "2"]
        .map(|part| sandbox.run("bcluster", ["policy", "admin", &name, "--part", part]).ok().json())
        .into();
    assert_eq!(Value::from(parts.clone()), all);
    assert_eq!(first.json(), parts[0]);
    assert!(parts.iter().all(|part| part.to_string().len() <= 6144));
    let none = sandbox.run("bcluster", ["policy", "user", "lab", "--part", "2"]);
    assert!(none.failed_with(2).contains("the policy has 1 part, and no part 2"), "{none}");
    // Templates may go through a bucket of somebody else.
    let through = ["policy", "admin", "lab", "--json", "--template-bucket", "ours"];
    let through = sandbox.run("bcluster", through).ok();
    assert!(through.stdout.contains("\"arn:aws:s3:::ours/awsb/templates/*\""), "{through}");
}

/// A service of the account that answers like this.
fn with_answer(service: &'static str, status: u16, body: Value) -> Fake {
    Fake::with_faults(move |call, _| {
        let answer =
            Answer::Http(status, body.to_string(), vec![("content-type", "application/json".into())]);
        (call.action == service).then_some((answer, false))
    })
}

fn create(sandbox: &Sandbox) -> Outcome {
    sandbox.run("bcluster", ["create", "lab", "--yes"])
}

#[story]
fn a_quota_below_the_vcpus_is_a_warning_and_one_of_none_an_error() {
    let aws = with_answer("servicequotas", 200, json!({ "Quota": { "Value": 32.0 } }));
    let made = create(&aws.sandbox()).ok();
    assert!(made.stderr.contains("warning: `environment.on-demand.max` is 256"), "{made}");
    assert!(made.stderr.contains("L-1216C47A"), "{made}");
    assert!(made.stderr.contains("L-34B43A08"), "{made}");

    let aws = with_answer("servicequotas", 200, json!({ "Quota": { "Value": 0.0 } }));
    let refused = create(&aws.sandbox());
    assert!(refused.failed_with(2).contains("the account's quota for them is 0 vCPUs"), "{refused}");
    assert_eq!(aws.changes(), [""; 0]);
}

#[story]
fn a_region_that_is_full_of_environments_is_told_before_anything_is_made() {
    let environment = |n: usize| json!({ "computeEnvironmentName": format!("e{n}"), "computeEnvironmentArn": format!("arn:{n}") });
    let all: Vec<Value> = (0..49).map(environment).collect();
    let aws = Fake::with_faults(move |call, _| {
        let body = match call.action.as_str() {
            "describecomputeenvironments" => json!({ "computeEnvironments": all }),
            "servicequotas" => json!({ "Quota": { "Value": 50.0 } }),
            _ => return None,
        };
        Some((Answer::json(body), false))
    });
    let refused = create(&aws.sandbox());
    let message = refused.failed_with(2);
    assert!(message.contains("takes 2 compute environments, and the account's quota leaves 1"), "{refused}");
    assert_eq!(aws.changes(), [""; 0]);
}

#[story]
fn a_quota_that_nobody_may_ask_for_is_a_note() {
    let aws = with_answer(
        "servicequotas",
        400,
        json!({
            "__type": "com.amazonaws.servicequotas#AccessDeniedException",
            "message": "User: arn:aws:iam::1:user/me is not authorized to perform: servicequotas:GetServiceQuota",
        }),
    );
    let made = create(&aws.sandbox()).ok();
    assert!(made.stderr.contains("note: not checked: asking for the quota"), "{made}");
    assert!(made.stderr.contains("no permission for servicequotas:GetServiceQuota"), "{made}");
    assert_eq!(made.stderr.matches("not checked").count(), 1, "{made}");
}

#[story]
fn a_file_system_needs_a_mount_target_where_the_machines_are() {
    let shared = "[shared.home]\npath = \"/home\"\nsource = \"fs-0123456789abcdef0\"\n";
    let run = |aws: &Fake| {
        let sandbox = aws.sandbox();
        sandbox.file("lab.toml", shared);
        sandbox.run("bcluster", ["create", "lab", "--yes", "-f", "lab.toml"])
    };
    let target =
        |zone: &str| json!({ "MountTargets": [{ "MountTargetId": "fsmt-1", "AvailabilityZoneName": zone }] });
    let elsewhere = run(&with_answer("elasticfilesystem", 200, target("eu-west-1b")));
    assert!(elsewhere.failed_with(2).contains("which has no mount target in eu-west-1a"), "{elsewhere}");
    run(&with_answer("elasticfilesystem", 200, target("eu-west-1a"))).ok();
    let missing = json!({ "ErrorCode": "FileSystemNotFound", "Message": "File system does not exist." });
    let missing = run(&with_answer("elasticfilesystem", 404, missing));
    assert!(missing.failed_with(2).contains("fs-0123456789abcdef0, which does not exist"), "{missing}");
}

#[story]
fn a_template_of_a_new_vpc_asks_aws_for_nothing() {
    let aws = Fake::start();
    let sandbox = aws.sandbox();
    sandbox.file("lab.toml", "[network]\nvpc = \"new\"\n");
    let template = sandbox.run("bcluster", ["template", "lab", "-f", "lab.toml"]).ok();
    assert!(template.json()["Resources"].is_object(), "{template}");
    assert_eq!(aws.all_calls(), 0);
    // The default VPC is looked at, and nobody is asked whose credentials these are.
    sandbox.run("bcluster", ["template", "lab"]).ok();
    assert_eq!(aws.calls("DescribeVpcs").len(), 1);
    assert_eq!(aws.calls("GetCallerIdentity").len(), 0);
}

#[story]
fn an_image_that_cannot_be_built_is_no_failure_of_the_cluster() {
    let aws = Fake::start();
    let sandbox = aws.sandbox();
    let missing = sandbox.run("bcluster", ["create", "lab", "--yes", "--image", "nowhere"]);
    assert!(missing.failed_with(2).contains("nowhere"), "{missing}");
    assert_eq!(aws.changes(), [""; 0]);
    sandbox.file("image/Dockerfile", "FROM scratch\n");
    let made = sandbox.run("bcluster", ["create", "lab", "--yes", "--image", "image"]).ok();
    assert!(made.stdout.starts_with("The cluster lab is ready"), "{made}");
    assert!(
        made.stderr.contains("warning: the cluster lab is ready, and the image of image is not built"),
        "{made}"
    );
    assert!(made.hints().contains("`bimage build -c lab image` tries again"), "{made}");
}

#[story]
fn contradictions_are_one_line_and_nothing_is_sent() {
    let aws = Fake::start();
    let sandbox = aws.sandbox();
    let environment = |name: &str, rest: &str| format!("[environment.{name}]\n{rest}\n");
    for (text, words) in [
        (
            environment("a", "type = \"on-demand\"\ninstance_types = [\"c7i.large\", \"c7g.large\"]"),
            "architecture",
        ),
        (environment("a", "type = \"on-demand\"\nmin = 32\nmax = 16"), "`environment.a.min` is 32"),
        (environment("a", "type = \"on-demand\"\nami_type = \"ECS_AL2\""), "ECS_AL2023"),
        (environment("a", "type = \"fargate\"\nkey_pair = \"me\""), "instances of EC2"),
        (environment("a", "type = \"spot\"") + "[definition.m]\ntype = \"multinode\"\n", "on-demand"),
        (environment("a", "type = \"fargate\"") + "[definition.m]\ntype = \"multinode\"\n", "on-demand"),
        (
            environment("a", "type = \"spot\"")
                + &environment("b", "type = \"fargate\"")
                + "[queue.q]\nenvironments = [\"a\", \"b\"]\n",
            "Fargate",
        ),
    ] {
        sandbox.file("lab.toml", &text);
        let outcome = sandbox.run("bcluster", ["create", "lab", "--yes", "-f", "lab.toml"]);
        let message = outcome.failed_with(2);
        assert!(message.contains(words), "{text}{outcome}");
    }
    assert_eq!(aws.all_calls(), 0);
}

/// EC2's answer to an action.
fn ec2(action: &str, content: &str) -> Answer {
    let body = format!("<{action}Response>{content}</{action}Response>");
    Answer::Http(200, body, vec![("content-type", "text/xml".into())])
}

#[story]
fn types_that_the_zones_do_not_offer_and_subnets_of_two_vpcs_are_told() {
    let offered = |kind: &str, zone: &str| {
        format!(
            "<item><instanceType>{kind}</instanceType><locationType>availability-zone</locationType><location>{zone}</location></item>"
        )
    };
    let offerings = format!(
        "<instanceTypeOfferingSet>{}</instanceTypeOfferingSet>",
        offered("hpc7a.96xlarge", "eu-west-1c")
    );
    let subnet = |id: &str, vpc: &str| {
        format!(
            "<item><subnetId>{id}</subnetId><vpcId>{vpc}</vpcId><availabilityZone>eu-west-1a</availabilityZone>\
             <availableIpAddressCount>4091</availableIpAddressCount><mapPublicIpOnLaunch>true</mapPublicIpOnLaunch></item>"
        )
    };
    let two = format!(
        "<subnetSet>{}{}</subnetSet>",
        subnet("subnet-0000aaaa", "vpc-0000aaaa"),
        subnet("subnet-0000bbbb", "vpc-0000bbbb")
    );
    for (text, action, answer, words) in [
        (
            "[environment.a]\ntype = \"on-demand\"\ninstance_types = [\"hpc7a.96xlarge\"]\n",
            "DescribeInstanceTypeOfferings",
            offerings,
            "has hpc7a.96xlarge, which eu-west-1a does not have",
        ),
        (
            "[network]\nsubnets = [\"subnet-0000aaaa\", \"subnet-0000bbbb\"]\n",
            "DescribeSubnets",
            two,
            "the subnets are in two VPCs",
        ),
    ] {
        let aws = Fake::with_faults(move |call, _| {
            let empty = ec2("DescribeInstanceTypes", "<instanceTypeSet/>");
            match call.action.as_str() {
                asked if asked == action => Some((ec2(action, &answer), false)),
                "DescribeInstanceTypes" => Some((empty, false)),
                _ => None,
            }
        });
        let sandbox = aws.sandbox();
        sandbox.file("lab.toml", text);
        let outcome = sandbox.run("bcluster", ["create", "lab", "--yes", "-f", "lab.toml"]);
        assert!(outcome.failed_with(2).contains(words), "{outcome}");
        assert_eq!(aws.changes(), [""; 0]);
    }
}

#[story]
fn a_name_of_parallelcluster_is_told() {
    let aws = Fake::start();
    aws.has_stack("CREATE_COMPLETE", &[("parallelcluster:version", "3.12.0")]);
    aws.has_parameters(&[("Scheduler", "awsbatch")]);
    let outcome = create(&aws.sandbox());
    assert!(outcome.failed_with(2).contains("there is a cluster `lab` of ParallelCluster"), "{outcome}");
    assert!(outcome.hints().contains("`[cluster.lab]` with `stack = \"lab\"`"), "{outcome}");
    assert_eq!(aws.changes(), [""; 0]);
}
