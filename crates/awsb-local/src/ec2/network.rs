//! The network of the local cluster, as EC2 describes it: a default VPC with one public subnet.
//!
//! The local cluster has no network of its own: its jobs use that of this machine. Tools that make
//! a cluster ask EC2 for the VPC, the subnets and the instance types that a configuration means.
//! They find here what they would find in a new account on AWS. Security groups, key pairs and
//! instance types that a request names are there.

use serde_json::{Value, json};

use super::filter::{listed, passes};
use crate::constants::ACCOUNT;
use crate::http::protocol::ApiError;

const VPC: &str = "vpc-00000000000000000";
const SUBNET: &str = "subnet-00000000000000000";
const ROUTE_TABLE: &str = "rtb-00000000000000000";
const INTERNET_GATEWAY: &str = "igw-00000000000000000";
/// The zone that has the machines of a cluster's template.
const SUBNET_ZONE: &str = "us-east-1a";
/// The zones of the region.
const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

/// The parameters of a request.
type Parameters = [(String, String)];

/// One item, if the filters and the list of IDs let it through.
fn found(
    parameters: &Parameters,
    list: &str,
    id: &str,
    facts: &[(&'static str, &str)],
    item: Value,
) -> Result<Vec<Value>, ApiError> {
    let named = listed(parameters, list);
    let facts: Vec<(&'static str, String)> =
        facts.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let is_named = named.is_empty() || named.contains(&id);
    Ok(if passes(parameters, &facts)? && is_named { vec![item] } else { Vec::new() })
}

/// API: DescribeVpcsResult.
pub(super) fn vpcs(parameters: &Parameters) -> Result<Value, ApiError> {
    let facts = [("vpc-id", VPC), ("is-default", "true"), ("isDefault", "true"), ("state", "available")];
    let vpc = json!({
        "vpcId": VPC,
        "state": "available",
        "cidrBlock": "172.31.0.0/16",
        "ownerId": ACCOUNT,
        "isDefault": true,
    });
    Ok(json!({"vpcSet": found(parameters, "VpcId", VPC, &facts, vpc)?}))
}

/// API: DescribeSubnetsResult.
pub(super) fn subnets(parameters: &Parameters) -> Result<Value, ApiError> {
    let facts = [
        ("subnet-id", SUBNET),
        ("vpc-id", VPC),
        ("availability-zone", SUBNET_ZONE),
        ("default-for-az", "true"),
        ("state", "available"),
    ];
    let subnet = json!({
        "subnetId": SUBNET,
        "vpcId": VPC,
        "state": "available",
        "cidrBlock": "172.31.0.0/20",
        "availabilityZone": SUBNET_ZONE,
        "availableIpAddressCount": 4091,
        "defaultForAz": true,
        "mapPublicIpOnLaunch": true,
        "ownerId": ACCOUNT,
    });
    Ok(json!({"subnetSet": found(parameters, "SubnetId", SUBNET, &facts, subnet)?}))
}

/// API: DescribeRouteTablesResult.
pub(super) fn route_tables(parameters: &Parameters) -> Result<Value, ApiError> {
    let facts = [("route-table-id", ROUTE_TABLE), ("vpc-id", VPC), ("association.main", "true")];
    let table = json!({
        "routeTableId": ROUTE_TABLE,
        "vpcId": VPC,
        "ownerId": ACCOUNT,
        "routeSet": [
            {"destinationCidrBlock": "172.31.0.0/16", "gatewayId": "local", "state": "active"},
            {"destinationCidrBlock": "0.0.0.0/0", "gatewayId": INTERNET_GATEWAY, "state": "active"},
        ],
        "associationSet": [{"routeTableId": ROUTE_TABLE, "main": true}],
    });
    Ok(json!({"routeTableSet": found(parameters, "RouteTableId", ROUTE_TABLE, &facts, table)?}))
}

/// API: DescribeAvailabilityZonesResult.
pub(super) fn zones(parameters: &Parameters) -> Result<Value, ApiError> {
    let mut zones = Vec::new();
    for zone in ZONES {
        let facts = [("zone-name", zone), ("zone-type", "availability-zone"), ("state", "available")];
        let item = json!({
            "zoneName": zone,
            "zoneState": "available",
            "regionName": crate::constants::REGION,
            "zoneType": "availability-zone",
        });
        zones.extend(found(parameters, "ZoneName", zone, &facts, item)?);
    }
    Ok(json!({"availabilityZoneInfo": zones}))
}

/// The values of the filter with this name.
fn filtered<'a>(parameters: &'a Parameters, name: &str) -> Vec<&'a str> {
    let filters = parameters.iter().filter(|(_, value)| value == name);
    let filters = filters.filter_map(|(parameter, _)| parameter.strip_suffix(".Name"));
    filters.flat_map(|filter| listed(parameters, &format!("{filter}.Value"))).collect()
}

/// API: DescribeInstanceTypeOfferingsResult. Each type that a filter names is there, and a large
/// one of each family.
pub(super) fn offerings(parameters: &Parameters) -> Value {
    let offered = filtered(parameters, "instance-type").into_iter().flat_map(|pattern| {
        let name = pattern.replace('*', "large");
        ZONES.map(|zone| json!({"instanceType": name, "locationType": "availability-zone", "location": zone}))
    });
    json!({"instanceTypeOfferingSet": offered.collect::<Vec<_>>()})
}

/// API: DescribeSecurityGroupsResult.
pub(super) fn security_groups(parameters: &Parameters) -> Value {
    let named = listed(parameters, "GroupId").into_iter().chain(filtered(parameters, "group-id"));
    let groups = named.map(|id| {
        json!({
            "groupId": id,
            "groupName": id,
            "ownerId": ACCOUNT,
            "vpcId": VPC,
            "ipPermissions": [{"ipProtocol": "-1", "groups": [{"groupId": id, "userId": ACCOUNT}]}],
        })
    });
    json!({"securityGroupInfo": groups.collect::<Vec<_>>()})
}

/// API: DescribeKeyPairsResult.
pub(super) fn key_pairs(parameters: &Parameters) -> Value {
    let named = listed(parameters, "KeyName").into_iter().chain(filtered(parameters, "key-name"));
    json!({"keySet": named.map(|name| json!({"keyName": name})).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn count(answer: &Value, set: &str) -> usize {
        answer[set].as_array().map_or(0, Vec::len)
    }

    #[test]
    fn a_default_vpc_with_a_public_subnet() {
        let is_default = parameters(&[("Filter.1.Name", "is-default"), ("Filter.1.Value.1", "true")]);
        let vpcs = vpcs(&is_default).unwrap();
        assert_eq!(vpcs["vpcSet"][0]["vpcId"], VPC);
        let of = |id: &str| parameters(&[("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", id)]);
        assert_eq!(count(&subnets(&of(VPC)).unwrap(), "subnetSet"), 1);
        assert_eq!(count(&subnets(&of("vpc-1")).unwrap(), "subnetSet"), 0);
        assert_eq!(count(&route_tables(&of(VPC)).unwrap(), "routeTableSet"), 1);
        assert_eq!(count(&zones(&[]).unwrap(), "availabilityZoneInfo"), ZONES.len());
        let unknown = parameters(&[("Filter.1.Name", "colour"), ("Filter.1.Value.1", "red")]);
        assert!(subnets(&unknown).is_err());
    }

    #[test]
    fn what_is_named_is_there() {
        let named = parameters(&[
            ("Filter.1.Name", "instance-type"),
            ("Filter.1.Value.1", "c7i.*"),
            ("Filter.1.Value.2", "m7i.xlarge"),
        ]);
        let offered = offerings(&named);
        assert_eq!(count(&offered, "instanceTypeOfferingSet"), 2 * ZONES.len());
        assert_eq!(offered["instanceTypeOfferingSet"][0]["instanceType"], "c7i.large");
        let group = parameters(&[("Filter.1.Name", "group-id"), ("Filter.1.Value.1", "sg-1")]);
        assert_eq!(security_groups(&group)["securityGroupInfo"][0]["groupId"], "sg-1");
    }
}
