//! The configuration and the template together.

mod bad_files;
mod changes;
mod checks;
mod policies;
mod templates;

use super::facts::{SubnetFacts, WayOut};
use super::*;

/// The default VPC of a region with two zones.
fn default_network() -> ResolvedNetwork {
    let subnet = |id: &str, zone: &str| SubnetFacts {
        id: id.parse().unwrap(),
        vpc: "vpc-0000aaaa".parse().unwrap(),
        zone: zone.parse().unwrap(),
        assigns_public_ip: true,
        way_out: WayOut::InternetGateway,
        free_addresses: 4091,
    };
    let subnets = vec![subnet("subnet-0000aaaa", "eu-west-1a"), subnet("subnet-0000bbbb", "eu-west-1b")];
    ResolvedNetwork::Existing { vpc: "vpc-0000aaaa".parse().unwrap(), subnets }
}

fn parsed(text: &str) -> ClusterConfig {
    ClusterConfig::from_toml("cluster configuration lab.toml", text).unwrap()
}

fn lab() -> ClusterName {
    "lab".parse().unwrap()
}
