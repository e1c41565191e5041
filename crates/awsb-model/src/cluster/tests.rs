//! The configuration and the template together.

use super::config::SubnetId;
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

#[test]
fn an_empty_file_is_the_default_cluster() {
    assert_eq!(parsed(""), ClusterConfig::default());
    let text = ClusterConfig::default().to_toml();
    assert_eq!(parsed(&text), ClusterConfig::default(), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn the_template_of_the_default_cluster() {
    let template = template(&lab(), &ClusterConfig::default(), &default_network());
    assert!(template.fits_a_request());
    assert_eq!(Template::config_text(&template.to_json()), Some(ClusterConfig::default().to_toml()));
    insta::assert_snapshot!(template.to_pretty_json());
}

#[test]
fn the_default_vpc_has_its_public_subnets() {
    let ResolvedNetwork::Existing { vpc, mut subnets } = default_network() else { panic!("no subnets") };
    subnets.reverse();
    let mut private = subnets[0].clone();
    private.id = "subnet-0000cccc".parse::<SubnetId>().unwrap();
    private.assigns_public_ip = false;
    subnets.push(private);
    let facts = NetworkFacts { default_vpc: Some(vpc), subnets, ..NetworkFacts::default() };
    assert_eq!(ResolvedNetwork::resolve(&ClusterConfig::default(), &facts), Ok(default_network()));
}
