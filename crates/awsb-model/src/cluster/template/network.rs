//! The VPC, the subnets and the security groups of a template.

use serde_json::{Value, json};

use super::parts::{Context, Resources, attribute, group_ids, reference};
use crate::cluster::config::{DefinitionKind, Environment, Vpc, Zones};
use crate::cluster::facts::ResolvedNetwork;

/// The letters of the subnets of a new VPC.
const LETTERS: [char; 3] = ['A', 'B', 'C'];

/// A subnet of the template: its zone in logical IDs, and its ID as a value.
pub(super) struct Subnet {
    pub(super) zone: String,
    pub(super) id: Value,
}

impl Context<'_> {
    /// Adds the network.
    pub(super) fn add_network(&self, resources: &mut Resources) {
        if let Vpc::New { .. } = self.config.network.vpc {
            self.add_vpc(resources);
        }
        if self.makes_security_group() {
            self.add_security_group(resources);
        }
    }

    fn add_vpc(&self, resources: &mut Resources) {
        let Vpc::New { zones, addresses } = &self.config.network.vpc else { return };
        let tags = self.tags(&[]);
        resources.add(
            "Vpc",
            "AWS::EC2::VPC",
            json!({
                "CidrBlock": addresses.to_string(),
                "EnableDnsHostnames": true,
                "EnableDnsSupport": true,
                "Tags": tags,
            }),
        );
        resources.add("InternetGateway", "AWS::EC2::InternetGateway", json!({ "Tags": tags }));
        resources.add(
            "GatewayAttachment",
            "AWS::EC2::VPCGatewayAttachment",
            json!({ "VpcId": reference("Vpc"), "InternetGatewayId": reference("InternetGateway") }),
        );
        resources.add(
            "RouteTable",
            "AWS::EC2::RouteTable",
            json!({ "VpcId": reference("Vpc"), "Tags": tags }),
        );
        resources.add_with(
            "DefaultRoute",
            "AWS::EC2::Route",
            json!({
                "RouteTableId": reference("RouteTable"),
                "DestinationCidrBlock": "0.0.0.0/0",
                "GatewayId": reference("InternetGateway"),
            }),
            json!({ "DependsOn": "GatewayAttachment" }),
        );
        for (index, letter) in LETTERS.into_iter().enumerate().take(zones.count()) {
            let zone = match zones {
                Zones::First(_) => json!({ "Fn::Select": [index, { "Fn::GetAZs": "" }] }),
                Zones::Named(names) => names.get(index).map_or(Value::Null, |name| name.as_str().into()),
            };
            let block = addresses.quarter(u8::try_from(index).unwrap_or(0));
            resources.add(
                format!("Subnet{letter}"),
                "AWS::EC2::Subnet",
                json!({
                    "VpcId": reference("Vpc"),
                    "CidrBlock": block.to_string(),
                    "AvailabilityZone": zone,
                    "MapPublicIpOnLaunch": true,
                    "Tags": tags,
                }),
            );
            resources.add(
                format!("SubnetRoute{letter}"),
                "AWS::EC2::SubnetRouteTableAssociation",
                json!({ "SubnetId": reference(&format!("Subnet{letter}")), "RouteTableId": reference("RouteTable") }),
            );
        }
        // Traffic to S3 stays within AWS, and the endpoint costs nothing.
        resources.add(
            "S3Endpoint",
            "AWS::EC2::VPCEndpoint",
            json!({
                "VpcId": reference("Vpc"),
                "ServiceName": { "Fn::Sub": "com.amazonaws.${AWS::Region}.s3" },
                "RouteTableIds": [reference("RouteTable")],
            }),
        );
    }

    /// Whether the template makes a security group for machines.
    fn makes_security_group(&self) -> bool {
        self.config.network.security_groups.is_empty()
            && self.config.environments.iter().any(|environment| environment.security_groups.is_empty())
    }

    fn add_security_group(&self, resources: &mut Resources) {
        resources.add(
            "SecurityGroup",
            "AWS::EC2::SecurityGroup",
            json!({
                "GroupDescription": "The machines of an awsb cluster: nothing comes in from outside",
                "VpcId": self.vpc(),
                "SecurityGroupEgress": [
                    { "IpProtocol": "-1", "CidrIp": "0.0.0.0/0", "Description": "To AWS and to registries" },
                ],
                "Tags": self.tags(&[]),
            }),
        );
        let has_nodes =
            self.config.definitions.iter().any(|d| matches!(d.kind, DefinitionKind::Multinode { .. }));
        if has_nodes {
            resources.add(
                "SecurityGroupNodes",
                "AWS::EC2::SecurityGroupIngress",
                json!({
                    "GroupId": attribute("SecurityGroup", "GroupId"),
                    "IpProtocol": "-1",
                    "SourceSecurityGroupId": attribute("SecurityGroup", "GroupId"),
                    "Description": "The nodes of multi-node jobs reach each other",
                }),
            );
        }
    }

    /// The VPC as a value.
    pub(super) fn vpc(&self) -> Value {
        match self.network {
            ResolvedNetwork::New => reference("Vpc"),
            ResolvedNetwork::Existing { vpc, .. } => vpc.as_str().into(),
        }
    }

    /// The subnets of an environment.
    pub(super) fn subnets(&self, environment: &Environment) -> Vec<Value> {
        match self.network {
            ResolvedNetwork::New => {
                let single = environment.ec2().is_some_and(|ec2| ec2.single_zone);
                let all = self.new_subnets().into_iter().map(|subnet| subnet.id);
                all.take(if single { 1 } else { LETTERS.len() }).collect()
            }
            ResolvedNetwork::Existing { .. } => {
                let subnets = self.network.subnets_of(self.config, environment);
                subnets.into_iter().map(|subnet| subnet.id.as_str().into()).collect()
            }
        }
    }

    /// One subnet of each zone that has machines, for mount targets.
    pub(super) fn subnet_of_each_zone(&self) -> Vec<Subnet> {
        let ResolvedNetwork::Existing { .. } = self.network else { return self.new_subnets() };
        let mut found: Vec<Subnet> = Vec::new();
        let environments = self.config.environments.iter();
        for subnet in environments.flat_map(|environment| self.network.subnets_of(self.config, environment)) {
            // `eu-west-1a` becomes `EuWest1a`.
            let words = subnet.zone.as_str().split('-').map(|word| {
                let (first, rest) = word.split_at(word.len().min(1));
                format!("{}{rest}", first.to_ascii_uppercase())
            });
            let zone: String = words.collect();
            if !found.iter().any(|other| other.zone == zone) {
                found.push(Subnet { zone, id: subnet.id.as_str().into() });
            }
        }
        found
    }

    fn new_subnets(&self) -> Vec<Subnet> {
        let Vpc::New { zones, .. } = &self.config.network.vpc else { return Vec::new() };
        let letters = LETTERS.into_iter().take(zones.count());
        letters
            .map(|letter| Subnet { zone: letter.into(), id: reference(&format!("Subnet{letter}")) })
            .collect()
    }

    /// The security groups of an environment.
    pub(super) fn security_groups(&self, environment: &Environment) -> Value {
        if !environment.security_groups.is_empty() {
            return group_ids(&environment.security_groups);
        }
        match self.config.network.security_groups.as_slice() {
            [] => json!([attribute("SecurityGroup", "GroupId")]),
            groups => group_ids(groups),
        }
    }

    /// The resources without which machines of a new VPC do not reach AWS. An environment depends
    /// on them, so that they are there until its machines have gone.
    pub(super) fn routes(&self) -> Vec<String> {
        let subnets = self.new_subnets().into_iter().map(|subnet| format!("SubnetRoute{}", subnet.zone));
        match self.network {
            ResolvedNetwork::New => std::iter::once("DefaultRoute".to_owned()).chain(subnets).collect(),
            ResolvedNetwork::Existing { .. } => Vec::new(),
        }
    }
}
