//! The answers of EC2 about networks: VPCs, subnets, routes, security groups, and the instance
//! types that a zone offers.

use quick_xml::DeError;
use serde::Deserialize;

use super::answers::xml::Set;
use super::page::AnswerPage;
use crate::aws::query::{Answer, shape};

/// A VPC (API `Vpc`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Vpc {
    /// `vpc-…`.
    pub vpc_id: String,
    /// Whether it is the default VPC of the region.
    pub is_default: bool,
}

/// A subnet (API `Subnet`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subnet {
    /// `subnet-…`.
    pub subnet_id: String,
    /// The VPC that it is in.
    pub vpc_id: String,
    /// Such as `eu-west-1a`.
    pub availability_zone: String,
    /// Whether it is the default subnet of its zone.
    pub default_for_az: bool,
    /// Whether instances get a public address.
    pub map_public_ip_on_launch: bool,
    /// The addresses that are free.
    pub available_ip_address_count: u32,
}

/// A route table (API `RouteTable`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// The subnets that it is associated with.
    pub subnets: Vec<String>,
    /// Whether it is that of all subnets without one of their own.
    pub is_main: bool,
    /// Its routes.
    pub routes: Vec<Route>,
}

/// A route (API `Route`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Route {
    /// The addresses that it is for, such as `0.0.0.0/0`.
    pub destination_cidr_block: Option<String>,
    /// `igw-…` of an internet gateway, `vgw-…`, or `local`.
    pub gateway_id: Option<String>,
    /// `active` or `blackhole`.
    pub state: Option<String>,
}

/// A security group (API `SecurityGroup`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityGroup {
    /// `sg-…`.
    pub group_id: String,
    /// The VPC that it is in.
    pub vpc_id: String,
    /// Whether it lets its own members in with all protocols.
    pub lets_itself_in: bool,
}

/// An instance type that a zone offers (API `InstanceTypeOffering`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Offering {
    /// Such as `c5.xlarge`.
    pub instance_type: String,
    /// The zone, such as `eu-west-1a`.
    pub location: String,
}

/// An answer that is a set of items, perhaps with the token of the next page.
macro_rules! set_answer {
    ($name:ident, $item:ty, $shape:ty, $root:literal, $set:literal, $convert:expr) => {
        #[doc = concat!("The answer `", $root, "`.")]
        #[derive(Debug, Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            #[serde(rename = $set)]
            set: Set<$shape>,
            next_token: Option<String>,
        }

        impl Answer for $name {
            fn parse(xml: &str) -> Result<Self, DeError> {
                shape(xml, $root)
            }
        }

        impl AnswerPage for $name {
            type Item = $item;

            fn into_parts(self) -> (Vec<$item>, Option<String>) {
                (self.set.item.into_iter().map($convert).collect(), self.next_token)
            }
        }
    };
}

set_answer!(VpcsAnswer, Vpc, Vpc, "DescribeVpcsResponse", "vpcSet", |vpc| vpc);
set_answer!(SubnetsAnswer, Subnet, Subnet, "DescribeSubnetsResponse", "subnetSet", |subnet| subnet);
set_answer!(
    RouteTablesAnswer,
    RouteTable,
    xml::RouteTable,
    "DescribeRouteTablesResponse",
    "routeTableSet",
    RouteTable::from
);
set_answer!(
    SecurityGroupsAnswer,
    SecurityGroup,
    xml::SecurityGroup,
    "DescribeSecurityGroupsResponse",
    "securityGroupInfo",
    SecurityGroup::from
);
set_answer!(
    OfferingsAnswer,
    Offering,
    Offering,
    "DescribeInstanceTypeOfferingsResponse",
    "instanceTypeOfferingSet",
    |offering| offering
);
set_answer!(
    ZonesAnswer,
    String,
    xml::Zone,
    "DescribeAvailabilityZonesResponse",
    "availabilityZoneInfo",
    |zone| zone.zone_name
);
set_answer!(KeyPairsAnswer, String, xml::KeyPair, "DescribeKeyPairsResponse", "keySet", |pair| pair.key_name);

impl From<xml::SecurityGroup> for SecurityGroup {
    fn from(xml: xml::SecurityGroup) -> Self {
        // `-1` stands for all protocols (API `IpPermission`).
        let all = xml.ip_permissions.item.iter().filter(|permission| permission.ip_protocol == "-1");
        let lets_itself_in =
            all.flat_map(|permission| &permission.groups.item).any(|g| g.group_id == xml.group_id);
        Self { group_id: xml.group_id, vpc_id: xml.vpc_id, lets_itself_in }
    }
}

impl From<xml::RouteTable> for RouteTable {
    fn from(xml: xml::RouteTable) -> Self {
        let associations = xml.association_set.item;
        Self {
            is_main: associations.iter().any(|association| association.main),
            subnets: associations.into_iter().filter_map(|association| association.subnet_id).collect(),
            routes: xml.route_set.item,
        }
    }
}

impl RouteTable {
    /// Whether it leads to the internet: by an internet gateway, for which an instance needs a
    /// public address, or by anything else that a default route can have as its target (VPC User
    /// Guide, `route-table-options`). Whatever is behind the other targets is not known.
    pub fn way_out(&self) -> Option<WayOut> {
        let active = self.routes.iter().filter(|route| route.state.as_deref() != Some("blackhole"));
        let default = active.filter(|route| route.destination_cidr_block.as_deref() == Some("0.0.0.0/0"));
        let mut targets = default.map(|route| {
            let gateway = route.gateway_id.as_deref();
            match gateway.is_some_and(|id| id.starts_with("igw-")) {
                true => WayOut::InternetGateway,
                false => WayOut::Other,
            }
        });
        targets.next()
    }
}

/// How a subnet reaches the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayOut {
    /// By an internet gateway: only instances with a public address do.
    InternetGateway,
    /// By anything else: a NAT gateway, a transit gateway, an instance, a peering connection.
    Other,
}

/// The documents' own shapes.
mod xml {
    use super::{Deserialize, Route, Set};

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct RouteTable {
        pub route_set: Set<Route>,
        pub association_set: Set<Association>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct Association {
        pub main: bool,
        pub subnet_id: Option<String>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct SecurityGroup {
        pub group_id: String,
        pub vpc_id: String,
        pub ip_permissions: Set<Permission>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct Permission {
        pub ip_protocol: String,
        pub groups: Set<Group>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct Group {
        pub group_id: String,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct Zone {
        pub zone_name: String,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct KeyPair {
        pub key_name: String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The samples of the EC2 API Reference, shortened.
    #[test]
    fn subnets_and_vpcs() {
        let xml = r#"<DescribeSubnetsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>7a62c49f-347e-4fc4-9331-6e8eEXAMPLE</requestId>
    <subnetSet>
        <item>
            <subnetId>subnet-0bb1c79de3EXAMPLE</subnetId>
            <state>available</state>
            <vpcId>vpc-0ee975135dEXAMPLE</vpcId>
            <cidrBlock>10.0.0.0/20</cidrBlock>
            <availableIpAddressCount>4091</availableIpAddressCount>
            <availabilityZone>us-east-2a</availabilityZone>
            <defaultForAz>false</defaultForAz>
            <mapPublicIpOnLaunch>true</mapPublicIpOnLaunch>
        </item>
    </subnetSet>
</DescribeSubnetsResponse>"#;
        let (subnets, next) = SubnetsAnswer::parse(xml).unwrap().into_parts();
        let subnet = Subnet {
            subnet_id: "subnet-0bb1c79de3EXAMPLE".into(),
            vpc_id: "vpc-0ee975135dEXAMPLE".into(),
            availability_zone: "us-east-2a".into(),
            default_for_az: false,
            map_public_ip_on_launch: true,
            available_ip_address_count: 4091,
        };
        assert_eq!((subnets, next), (vec![subnet], None));
        let xml = "<DescribeVpcsResponse><vpcSet><item><vpcId>vpc-1</vpcId><isDefault>true</isDefault></item>\
                   </vpcSet><nextToken>t</nextToken></DescribeVpcsResponse>";
        let (vpcs, next) = VpcsAnswer::parse(xml).unwrap().into_parts();
        assert_eq!(vpcs, [Vpc { vpc_id: "vpc-1".into(), is_default: true }]);
        assert_eq!(next.as_deref(), Some("t"));
        assert!(VpcsAnswer::parse("<html/>").is_err());
    }

    #[test]
    fn a_way_to_the_internet() {
        let table = |route: &str| {
            let xml = format!(
                "<DescribeRouteTablesResponse><routeTableSet><item><routeSet>\
                 <item><destinationCidrBlock>10.0.0.0/16</destinationCidrBlock><gatewayId>local</gatewayId>\
                 <state>active</state></item>{route}</routeSet><associationSet><item><main>true</main></item>\
                 <item><main>false</main><subnetId>subnet-1</subnetId></item></associationSet></item>\
                 </routeTableSet></DescribeRouteTablesResponse>"
            );
            RouteTablesAnswer::parse(&xml).unwrap().into_parts().0.remove(0)
        };
        let route = |to: &str, state: &str| {
            table(&format!(
                "<item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock>{to}<state>{state}</state></item>"
            ))
        };
        let internet = route("<gatewayId>igw-1</gatewayId>", "active");
        assert!(internet.is_main);
        assert_eq!(internet.subnets, ["subnet-1"]);
        assert_eq!(internet.way_out(), Some(WayOut::InternetGateway));
        for target in [
            "<natGatewayId>nat-1</natGatewayId>",
            "<transitGatewayId>tgw-1</transitGatewayId>",
            "<gatewayId>vgw-1</gatewayId>",
            "<instanceId>i-1</instanceId><networkInterfaceId>eni-1</networkInterfaceId>",
            "<networkInterfaceId>eni-1</networkInterfaceId>",
            "<vpcPeeringConnectionId>pcx-1</vpcPeeringConnectionId>",
            "<coreNetworkArn>arn:aws:networkmanager::111122223333:core-network/c</coreNetworkArn>",
            "<carrierGatewayId>cagw-1</carrierGatewayId>",
        ] {
            assert_eq!(route(target, "active").way_out(), Some(WayOut::Other), "{target}");
        }
        assert_eq!(route("<natGatewayId>nat-1</natGatewayId>", "blackhole").way_out(), None);
        assert_eq!(table("").way_out(), None);
    }

    #[test]
    fn a_group_that_lets_itself_in() {
        let group = |protocol: &str, id: &str| {
            let xml = format!(
                "<DescribeSecurityGroupsResponse><securityGroupInfo><item><groupId>sg-1</groupId>\
                 <vpcId>vpc-1</vpcId><ipPermissions><item><ipProtocol>{protocol}</ipProtocol><groups><item>\
                 <userId>1</userId><groupId>{id}</groupId></item></groups></item></ipPermissions></item>\
                 </securityGroupInfo></DescribeSecurityGroupsResponse>"
            );
            SecurityGroupsAnswer::parse(&xml).unwrap().into_parts().0.remove(0).lets_itself_in
        };
        assert!(group("-1", "sg-1"));
        assert!(!group("tcp", "sg-1"));
        assert!(!group("-1", "sg-2"));
    }

    #[test]
    fn offerings_and_key_pairs() {
        let xml = "<DescribeInstanceTypeOfferingsResponse><instanceTypeOfferingSet><item>\
                   <instanceType>c5.large</instanceType><locationType>availability-zone</locationType>\
                   <location>eu-west-1a</location></item></instanceTypeOfferingSet>\
                   </DescribeInstanceTypeOfferingsResponse>";
        let (offerings, _) = OfferingsAnswer::parse(xml).unwrap().into_parts();
        assert_eq!(offerings, [Offering { instance_type: "c5.large".into(), location: "eu-west-1a".into() }]);
        let xml = "<DescribeKeyPairsResponse><keySet><item><keyPairId>key-1</keyPairId>\
                   <keyName>mine</keyName></item></keySet></DescribeKeyPairsResponse>";
        assert_eq!(KeyPairsAnswer::parse(xml).unwrap().into_parts().0, ["mine"]);
    }
}
