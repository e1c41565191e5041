//! The templates and policies of clusters, judged by programs that we did not write: cfn-lint,
//! which has the schemas of all resource types, and the list of IAM's actions in it.

mod pairs;

use std::path::Path;
use std::process::{Command, Stdio};

use awsb_model::cluster::config::{KEYS, Vpc};
use awsb_model::cluster::facts::{SubnetFacts, WayOut};
use awsb_model::cluster::policy::{PolicyScope, admin, cloudformation, user};
use awsb_model::cluster::{ClusterConfig, ClusterName, ResolvedNetwork, template};
use awsb_testkit::{cfn_lint, script, story};
use serde_json::json;

/// A region of each partition that has Batch.
const REGIONS: [&str; 4] = ["us-east-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1"];

/// Rules that do not hold here. The template does not use the parameters that only
/// ParallelCluster's tools read (W2001). Zones have names where a user gives them (W3010).
const NOT_FOR_US: [&str; 2] = ["W2001", "W3010"];

/// Actions of handlers that a cluster's template never leads to, as it has none of the properties
/// that they are for.
const NEVER_CALLED: [&str; 23] = [
    "batch:setcapacitytags",
    "ec2:associatesubnetcidrblock",
    "ec2:attachvpngateway",
    "ec2:createvpcencryptioncontrol",
    "ec2:detachvpngateway",
    "ec2:disassociatesubnetcidrblock",
    "ec2:modifyvpctenancy",
    "eks:*",
    "elasticfilesystem:createreplicationconfiguration",
    "elasticfilesystem:deletefilesystempolicy",
    "elasticfilesystem:deletereplicationconfiguration",
    "elasticfilesystem:deletetags",
    "elasticfilesystem:putfilesystempolicy",
    "elasticfilesystem:updatefilesystemprotection",
    "firehose:*",
    "iam:attachgrouppolicy",
    "iam:attachuserpolicy",
    "kms:retiregrant",
    // For logs that AWS services write themselves.
    "logs:createlogdelivery",
    "s3:deleteobject",
    "s3:putobjectacl",
    "s3:rest.put.object",
    "s3tables:*",
];

/// The same, of services whose endpoints a VPC could have.
const OF_OTHER_ENDPOINTS: [&str; 2] = ["vpc-lattice:*", "vpce:*"];

fn is_never_called(action: &str) -> bool {
    NEVER_CALLED.iter().chain(&OF_OTHER_ENDPOINTS).any(|pattern| match pattern.strip_suffix('*') {
        Some(service) => action.starts_with(service),
        None => action == *pattern,
    })
}

fn network(config: &ClusterConfig) -> ResolvedNetwork {
    if matches!(config.network.vpc, Vpc::New { .. }) {
        return ResolvedNetwork::New;
    }
    let vpc = "vpc-0123456789abcdef0";
    let subnet = |id: &str, zone: &str| SubnetFacts {
        id: id.parse().unwrap(),
        vpc: vpc.parse().unwrap(),
        zone: zone.parse().unwrap(),
        assigns_public_ip: true,
        way_out: WayOut::InternetGateway,
        free_addresses: 4000,
    };
    let subnets = vec![
        subnet("subnet-0123456789abcdef0", "eu-west-1a"),
        subnet("subnet-0123456789abcdef1", "eu-west-1b"),
    ];
    ResolvedNetwork::Existing { vpc: vpc.parse().unwrap(), subnets }
}

/// What cfn-lint finds in files of a folder.
fn findings(folder: &Path, regions: &[&str]) -> String {
    let mut command = Command::new(cfn_lint().join("bin/cfn-lint"));
    command.arg("--ignore-checks").args(NOT_FOR_US).arg("--regions").args(regions);
    command.arg("--template").arg(folder.join("*.json")).stdin(Stdio::null());
    let output = command.output().expect("cfn-lint starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let found = text(&output.stdout) + &text(&output.stderr);
    if found.is_empty() && !output.status.success() { output.status.to_string() } else { found }
}

#[story]
fn cfn_lint_finds_nothing_in_the_templates_of_all_pairs_of_keys() {
    let folder = tempfile::tempdir().unwrap();
    let name: ClusterName = "lab-1".parse().unwrap();
    let (configs, uses) = pairs::samples();
    for key in KEYS {
        assert!(uses[key.path] >= 5, "{} is in {} files only", key.path, uses[key.path]);
    }
    for (number, config) in configs.iter().enumerate() {
        let template = template(&name, config, &network(config));
        std::fs::write(folder.path().join(format!("{number:03}.json")), template.to_pretty_json()).unwrap();
    }
    let found = findings(folder.path(), &REGIONS);
    assert!(found.is_empty(), "of {} templates:\n{found}", configs.len());
}

fn scope() -> PolicyScope {
    PolicyScope {
        partition: "aws".to_owned(),
        region: Some("eu-west-1".to_owned()),
        account: Some("111122223333".to_owned()),
        cluster: Some("lab-1".parse().unwrap()),
        path: "/awsb/".parse().unwrap(),
        boundary: None,
        existing_roles: Vec::new(),
        existing_bucket: None,
        existing_repository: None,
        existing_project: None,
        template_bucket: None,
    }
}

/// The documents of policies, each with a name of its own.
fn parts<'a>(
    policies: impl IntoIterator<Item = (&'a str, Vec<serde_json::Value>)>,
) -> impl Iterator<Item = (String, serde_json::Value)> {
    let named = |(name, documents): (&'a str, Vec<serde_json::Value>)| {
        documents.into_iter().zip(1..).map(move |(document, part)| (format!("{name}{part}"), document))
    };
    policies.into_iter().flat_map(named)
}

/// cfn-lint knows all actions of IAM. It reads the policies as resources of a template.
#[story]
fn cfn_lint_finds_nothing_in_the_policies() {
    let folder = tempfile::tempdir().unwrap();
    let config = ClusterConfig::default();
    let policies = [
        ("Admin", admin(&scope())),
        ("CloudFormation", cloudformation(&scope())),
        ("User", user(&scope(), &config)),
    ];
    let resource =
        |policy| json!({ "Type": "AWS::IAM::ManagedPolicy", "Properties": { "PolicyDocument": policy } });
    let resources: serde_json::Map<_, _> =
        parts(policies).map(|(name, policy)| (name, resource(policy))).collect();
    let template = json!({ "AWSTemplateFormatVersion": "2010-09-09", "Resources": resources });
    std::fs::write(folder.path().join("policies.json"), format!("{template:#}")).unwrap();
    let found = findings(folder.path(), &["us-east-1"]);
    assert!(found.is_empty(), "{found}");
    // A misspelt action is found.
    let template = template.to_string().replace("batch:SubmitJob", "batch:SubmitJobb");
    std::fs::write(folder.path().join("policies.json"), template).unwrap();
    assert!(findings(folder.path(), &["us-east-1"]).contains("W3037"));
}

/// The lines that `handler_permissions.py` prints about policies and types.
fn not_allowed(policies: &[serde_json::Value], types: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policies.json");
    std::fs::write(&file, json!(policies).to_string()).unwrap();
    let mut command = Command::new(cfn_lint().join("bin/python"));
    let output = command.arg(script("handler_permissions.py")).arg(&file).args(types).output();
    let output = output.expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// CloudFormation calls AWS with the permissions of the policy `cloudformation`.
#[story]
fn the_policy_of_cloudformation_allows_what_the_resource_types_need() {
    let config = ClusterConfig::from_toml(
        "file",
        "[network]\nvpc = \"new\"\n[shared.home]\npath = \"/home\"\n[environment.a]\ntype = \"on-demand\"\n\
         placement_group = true\n[queue.a]\nenvironments = [\"a\"]\nfair_share = { decay = \"1d\" }\n",
    )
    .unwrap();
    let template = template(&"lab-1".parse().unwrap(), &config, &ResolvedNetwork::New);
    let mut types: Vec<&str> = template.resources().map(|(_, kind)| kind).collect();
    types.sort_unstable();
    types.dedup();
    let mut missing = not_allowed(&cloudformation(&scope()), &types);
    missing.retain(|line| !is_never_called(line.split(' ').next_back().unwrap_or_default()));
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// A statement that names a resource allows nothing to an action for which IAM has no resources.
#[story]
fn actions_without_resources_are_allowed_for_all_resources() {
    let config = ClusterConfig::default();
    for (name, policy) in [
        ("admin", admin(&scope())),
        ("cloudformation", cloudformation(&scope())),
        ("user", user(&scope(), &config)),
    ] {
        let without_effect = not_allowed(&policy, &[]);
        assert!(without_effect.is_empty(), "{name}: {}", without_effect.join("\n"));
    }
    // Such a statement is found.
    let statement = json!({
        "Effect": "Allow",
        "Action": ["logs:PutResourcePolicy", "logs:DeleteLogGroup"],
        "Resource": ["arn:aws:logs:eu-west-1:111122223333:log-group:/awsb/lab-1/*"],
    });
    let found = not_allowed(&[json!({ "Version": "2012-10-17", "Statement": [statement] })], &[]);
    assert_eq!(found, ["policy logs:putresourcepolicy"]);
}
