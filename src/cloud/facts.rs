//! Asks AWS for what a configuration refers to: its network, its instance types, its key pairs. All
//! calls only read, and run at the same time.

use std::collections::BTreeMap;

use awsb_model::cluster::ClusterConfig;
use awsb_model::cluster::config::{Ec2Name, InstanceTypeName, SecurityGroupId, SubnetId, Vpc};
use awsb_model::cluster::facts::{
    AccountFacts, NetworkFacts, OfferedType, SecurityGroupFacts, SubnetFacts, TypeOfferings, WayOut,
};

use crate::aws::{RouteTable, Session, Subnet, WayOut as RouteOut, explain};
use crate::ui::Failure;

/// What AWS says about the account, as far as a configuration needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The network.
    pub network: NetworkFacts,
    /// The instance types.
    pub types: TypeOfferings,
    /// The rest.
    pub account: AccountFacts,
}

/// Gathers the facts that a configuration needs.
///
/// # Errors
/// When EC2 cannot be asked.
pub async fn gather(session: &Session, config: &ClusterConfig) -> Result<Facts, Failure> {
    let (network, types, key_pairs) =
        tokio::try_join!(network(session, config), types(session, config), key_pairs(session, config))?;
    Ok(Facts { network, types, account: AccountFacts { key_pairs, ..AccountFacts::default() } })
}

/// The VPC and subnets that the configuration means, and those that it names.
async fn network(session: &Session, config: &ClusterConfig) -> Result<NetworkFacts, Failure> {
    let environments = config.environments.iter();
    let mut named: Vec<String> =
        environments.clone().flat_map(|e| &e.subnets).map(ToString::to_string).collect();
    let mut groups: Vec<String> =
        environments.flat_map(|e| &e.security_groups).map(ToString::to_string).collect();
    groups.extend(config.network.security_groups.iter().map(SecurityGroupId::to_string));
    groups.sort();
    groups.dedup();
    let groups = security_groups(session, &groups);
    let zones = async {
        match config.network.vpc {
            Vpc::New { .. } => {
                session.ec2.zones().await.map_err(|e| explain(session, "listing the zones", &*e))
            }
            Vpc::Default | Vpc::Given { .. } => Ok(Vec::new()),
        }
    };
    let subnets = async {
        let doing = "looking at the subnets";
        let wrong = |e: crate::aws::QueryCallError| explain(session, doing, &*e);
        let (default, vpc, mut subnets) = match &config.network.vpc {
            Vpc::New { .. } => (None, None, Vec::new()),
            Vpc::Default => {
                let default = session.ec2.default_vpc().await.map_err(wrong)?.map(|vpc| vpc.vpc_id);
                (default.clone(), default, Vec::new())
            }
            Vpc::Given { vpc, subnets } => {
                named.extend(subnets.iter().map(SubnetId::to_string));
                let all = if subnets.is_empty() { vpc.as_ref().map(ToString::to_string) } else { None };
                (None, all, Vec::new())
            }
        };
        if let Some(vpc) = &vpc {
            subnets.extend(session.ec2.subnets_of(vpc).await.map_err(wrong)?);
        }
        named.retain(|id| !subnets.iter().any(|subnet: &Subnet| subnet.subnet_id == *id));
        named.sort();
        named.dedup();
        if !named.is_empty() {
            subnets.extend(session.ec2.subnets(&named).await.map_err(wrong)?);
        }
        Ok::<_, Failure>((default, with_routes(session, subnets).await?))
    };
    let (security_groups, zones, (default, subnets)) = tokio::try_join!(groups, zones, subnets)?;
    Ok(NetworkFacts {
        default_vpc: default.and_then(|id| id.parse().ok()),
        subnets,
        security_groups,
        zones: zones.iter().filter_map(|zone| zone.parse().ok()).collect(),
    })
}

async fn security_groups(session: &Session, ids: &[String]) -> Result<Vec<SecurityGroupFacts>, Failure> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let groups = session.ec2.security_groups(ids).await;
    let groups = groups.map_err(|e| explain(session, "looking at the security groups", &*e))?;
    let facts = groups.into_iter().filter_map(|group| {
        let (id, vpc) = (group.group_id.parse().ok()?, group.vpc_id.parse().ok()?);
        Some(SecurityGroupFacts { id, vpc, lets_itself_in: group.lets_itself_in })
    });
    Ok(facts.collect())
}

/// The subnets with the way out of each.
async fn with_routes(session: &Session, subnets: Vec<Subnet>) -> Result<Vec<SubnetFacts>, Failure> {
    let mut tables: BTreeMap<String, Vec<RouteTable>> = BTreeMap::new();
    for subnet in &subnets {
        if !tables.contains_key(&subnet.vpc_id) {
            let of_vpc = session.ec2.route_tables(&subnet.vpc_id).await;
            let of_vpc = of_vpc.map_err(|e| explain(session, "looking at the route tables", &*e))?;
            tables.insert(subnet.vpc_id.clone(), of_vpc);
        }
    }
    let facts = subnets.into_iter().filter_map(|subnet| {
        let of_vpc = tables.get(&subnet.vpc_id).map(Vec::as_slice).unwrap_or_default();
        Some(SubnetFacts {
            way_out: way_out(&subnet.subnet_id, of_vpc),
            id: subnet.subnet_id.parse().ok()?,
            vpc: subnet.vpc_id.parse().ok()?,
            zone: subnet.availability_zone.parse().ok()?,
            assigns_public_ip: subnet.map_public_ip_on_launch,
            free_addresses: subnet.available_ip_address_count,
        })
    });
    Ok(facts.collect())
}

/// The way out of a subnet: that of its own route table, or else of the main one (VPC User Guide,
/// `Subnet route tables`).
fn way_out(subnet: &str, tables: &[RouteTable]) -> WayOut {
    let own = tables.iter().find(|table| table.subnets.iter().any(|id| id == subnet));
    let table = own.or_else(|| tables.iter().find(|table| table.is_main));
    match table.and_then(RouteTable::way_out) {
        Some(RouteOut::InternetGateway) => WayOut::InternetGateway,
        Some(RouteOut::Other) => WayOut::Other,
        None => WayOut::None,
    }
}

/// The instance types that the configuration names, with the zones that offer them.
async fn types(session: &Session, config: &ClusterConfig) -> Result<TypeOfferings, Failure> {
    let environments = config.environments.iter().filter_map(|environment| environment.ec2());
    let names = environments.flat_map(|ec2| &ec2.instance_types).filter(|name| !name.is_bundle());
    let mut patterns: Vec<String> = names
        .map(|name| if name.is_type() { name.to_string() } else { format!("{}.*", name.family()) })
        .collect();
    patterns.sort();
    patterns.dedup();
    if patterns.is_empty() {
        return Ok(TypeOfferings::default());
    }
    let doing = "looking for the instance types";
    let (offerings, types) =
        tokio::join!(session.ec2.offerings(&patterns), session.ec2.instance_types(&patterns));
    let offerings = offerings.map_err(|e| explain(session, doing, &*e))?;
    // Sizes are for hints alone.
    let types = types.unwrap_or_default();
    let mut zones: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for offering in offerings {
        zones.entry(offering.instance_type).or_default().extend(offering.location.parse().ok());
    }
    let offered = zones.into_iter().filter_map(|(name, mut zones)| {
        zones.sort();
        let info = types.iter().find(|info| info.name == name);
        Some(OfferedType {
            name: name.parse::<InstanceTypeName>().ok()?,
            vcpus: info.map_or(0, |info| info.vcpus),
            memory_mib: info.map_or(0, |info| info.memory_mib),
            gpus: info.map_or(0, |info| info.gpus.iter().map(|gpu| gpu.count).sum()),
            zones,
        })
    });
    Ok(TypeOfferings { types: offered.collect() })
}

/// Those of the configuration's key pairs that exist. `None`: it names none.
async fn key_pairs(session: &Session, config: &ClusterConfig) -> Result<Option<Vec<Ec2Name>>, Failure> {
    let environments = config.environments.iter().filter_map(|environment| environment.ec2());
    let mut names: Vec<String> =
        environments.filter_map(|ec2| ec2.key_pair.as_ref()).map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Ok(None);
    }
    let found = session.ec2.key_pairs(&names).await;
    let found = found.map_err(|e| explain(session, "looking for the key pairs", &*e))?;
    Ok(Some(found.iter().filter_map(|name| name.parse().ok()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Route;

    #[test]
    fn a_subnet_without_a_route_table_of_its_own_has_the_main_one() {
        let table = |subnets: &[&str], is_main: bool, gateway: &str| RouteTable {
            subnets: subnets.iter().map(|id| (*id).to_owned()).collect(),
            is_main,
            routes: vec![Route {
                destination_cidr_block: Some("0.0.0.0/0".into()),
                gateway_id: Some(gateway.into()),
                ..Route::default()
            }],
        };
        let private = RouteTable { subnets: vec!["subnet-1".into()], ..RouteTable::default() };
        let tables = [private, table(&[], true, "igw-1"), table(&["subnet-2"], false, "vgw-1")];
        assert_eq!(way_out("subnet-1", &tables), WayOut::None);
        assert_eq!(way_out("subnet-2", &tables), WayOut::Other);
        assert_eq!(way_out("subnet-3", &tables), WayOut::InternetGateway);
        assert_eq!(way_out("subnet-3", &[]), WayOut::None);
    }
}
