//! Resources that are kept, and not made: their IDs and attributes in the form that AWS's have.
//!
//! The source of what Ref and Fn::GetAtt give is the CloudFormation Template Reference, "Return
//! values" of each type.

use serde_json::{Map, Value, json};

use super::model::New;
use super::names::{hexadecimal, upper};
use super::operation::Made;
use crate::constants::{ACCOUNT, REGION};

/// The reason in the event of such a resource.
pub const NOTE: &str = "Simulated: the local cluster keeps this resource, and nothing uses it";

fn arn(service: &str, region: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{region}:{ACCOUNT}:{resource}")
}

fn text<'a>(properties: &'a Value, name: &str) -> &'a str {
    properties[name].as_str().unwrap_or("")
}

/// The ID and the attributes of a resource. An update keeps the ID.
pub fn made(stack_id: &str, new: &New, old: Option<(&str, &Map<String, Value>)>) -> Made {
    let seed = format!("{stack_id}/{}/{}", new.logical, new.generation);
    let properties = &new.properties;
    let with = |prefix: &str| hexadecimal(prefix, &seed);
    // The path of IAM, which begins and ends with a slash.
    let path = properties["Path"].as_str().unwrap_or("/");
    let name = new.name.as_str();
    let (id, attributes) = match new.kind.as_str() {
        "AWS::CodeBuild::Project" => (
            name.to_owned(),
            json!({"Arn": arn("codebuild", REGION, &format!("project/{name}")), "Id": name}),
        ),
        "AWS::EC2::EIP" => {
            let id = with("eipalloc-");
            // A block for documentation (RFC 5737).
            let ip = format!("203.0.113.{}", id.bytes().map(u32::from).sum::<u32>() % 254 + 1);
            (ip.clone(), json!({"AllocationId": id, "PublicIp": ip}))
        }
        "AWS::EC2::InternetGateway" => identified(with("igw-"), "InternetGatewayId"),
        "AWS::EC2::LaunchTemplate" => {
            let version = old.and_then(|(_, old)| old.get("LatestVersionNumber")).and_then(Value::as_str);
            let version: u64 = version.and_then(|version| version.parse().ok()).unwrap_or(0);
            let id = with("lt-");
            (
                id.clone(),
                json!({
                    "LaunchTemplateId": id,
                    "DefaultVersionNumber": "1",
                    "LatestVersionNumber": (version + 1).to_string(),
                }),
            )
        }
        "AWS::EC2::NatGateway" => identified(with("nat-"), "NatGatewayId"),
        "AWS::EC2::PlacementGroup" => (name.to_owned(), json!({"GroupName": name})),
        "AWS::EC2::Route" => {
            let destinations =
                ["DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId"];
            let block = destinations.iter().map(|of| text(properties, of)).find(|text| !text.is_empty());
            let block = block.unwrap_or("");
            (format!("{}|{block}", text(properties, "RouteTableId")), json!({"CidrBlock": block}))
        }
        "AWS::EC2::RouteTable" => identified(with("rtb-"), "RouteTableId"),
        "AWS::EC2::SecurityGroup" => {
            let id = with("sg-");
            (id.clone(), json!({"GroupId": id, "Id": id}))
        }
        "AWS::EC2::SecurityGroupEgress" | "AWS::EC2::SecurityGroupIngress" => identified(with("sgr-"), "Id"),
        "AWS::EC2::Subnet" => {
            let id = with("subnet-");
            let zone =
                properties["AvailabilityZone"].as_str().map_or_else(|| format!("{REGION}a"), str::to_owned);
            (
                id.clone(),
                json!({
                    "SubnetId": id,
                    "AvailabilityZone": zone,
                    "Ipv6CidrBlocks": [],
                    "NetworkAclAssociationId": with("aclassoc-"),
                }),
            )
        }
        "AWS::EC2::SubnetRouteTableAssociation" => identified(with("rtbassoc-"), "Id"),
        "AWS::EC2::VPC" => {
            let id = with("vpc-");
            (
                id.clone(),
                json!({
                    "VpcId": id,
                    "CidrBlockAssociations": [with("vpc-cidr-assoc-")],
                    "DefaultNetworkAcl": with("acl-"),
                    "DefaultSecurityGroup": with("sg-"),
                    "Ipv6CidrBlocks": [],
                }),
            )
        }
        "AWS::EC2::VPCEndpoint" => {
            let id = with("vpce-");
            (
                id.clone(),
                json!({"Id": id, "CreationTimestamp": "", "DnsEntries": [], "NetworkInterfaceIds": []}),
            )
        }
        "AWS::EC2::VPCGatewayAttachment" => {
            (format!("IGW|{}", text(properties, "VpcId")), json!({"AttachmentType": "IGW"}))
        }
        "AWS::ECR::Repository" => (
            name.to_owned(),
            json!({
                "Arn": arn("ecr", REGION, &format!("repository/{name}")),
                "RepositoryUri": format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}"),
            }),
        ),
        "AWS::EFS::AccessPoint" => {
            let id = with("fsap-");
            let arn = arn("elasticfilesystem", REGION, &format!("access-point/{id}"));
            (id.clone(), json!({"AccessPointId": id, "Arn": arn}))
        }
        "AWS::EFS::FileSystem" => {
            let id = with("fs-");
            let arn = arn("elasticfilesystem", REGION, &format!("file-system/{id}"));
            (id.clone(), json!({"FileSystemId": id, "Arn": arn}))
        }
        "AWS::EFS::MountTarget" => identified(with("fsmt-"), "Id"),
        "AWS::Events::Rule" => (
            name.to_owned(),
            json!({"Arn": arn("events", REGION, &format!("rule/{name}")), "RuleName": name}),
        ),
        "AWS::IAM::InstanceProfile" => {
            let arn = arn("iam", "", &format!("instance-profile{path}{name}"));
            (name.to_owned(), json!({"Arn": arn, "InstanceProfileId": upper("AIPA", &seed)}))
        }
        "AWS::IAM::ManagedPolicy" => {
            let arn = arn("iam", "", &format!("policy{path}{name}"));
            (
                arn.clone(),
                json!({"PolicyArn": arn, "PolicyId": upper("ANPA", &seed), "DefaultVersionId": "v1"}),
            )
        }
        "AWS::IAM::Policy" => (name.to_owned(), json!({"Id": name})),
        "AWS::IAM::Role" => (
            name.to_owned(),
            json!({"Arn": arn("iam", "", &format!("role{path}{name}")), "RoleId": upper("AROA", &seed)}),
        ),
        "AWS::Logs::ResourcePolicy" => (name.to_owned(), json!({})),
        "AWS::S3::BucketPolicy" => (text(properties, "Bucket").to_owned(), json!({})),
        _ => (with("id-"), json!({})),
    };
    let id = old.map_or(id, |(id, _)| id.to_owned());
    let attributes = attributes.as_object().cloned().unwrap_or_default();
    Made { physical_id: id, attributes, note: Some(NOTE.to_owned()) }
}

fn identified(id: String, attribute: &str) -> (String, Value) {
    (id.clone(), json!({ attribute: id }))
}
