//! Asks AWS for what a configuration refers to: its network, its instance types, its key pairs. All
//! calls only read, and run at the same time.

use std::collections::BTreeMap;

use awsb_model::cluster::ClusterConfig;
use awsb_model::cluster::config::{
    Bucket, BucketName, Ec2Name, FileSystemId, InstanceTypeName, PartName, QueueSource, SecurityGroupId,
    SharedSource, SubnetId, Vpc,
};
use awsb_model::cluster::facts::{
    AccountFacts, FileSystemFacts, NetworkFacts, OfferedType, Quotas, SecurityGroupFacts, SubnetFacts,
    TypeOfferings, WayOut,
};
use awsb_model::cluster::quota::{self, ResourceQuota, VcpuQuota, vcpu_quotas};
use futures_util::future::join_all;

use crate::aws::{
    AccountQuota, Call, MountTarget, Pages, RouteTable, Session, Subnet, WayOut as RouteOut, explain,
};
use crate::batch;
use crate::ui::Failure;

/// The facts about the account that a configuration needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The network.
    pub network: NetworkFacts,
    /// The instance types.
    pub types: TypeOfferings,
    /// The file systems of shared directories. `None`: EFS could not be asked.
    pub file_systems: Option<Vec<FileSystemFacts>>,
    /// The rest.
    pub account: AccountFacts,
    /// The checks that could not be made, each with its reason.
    pub unchecked: Vec<String>,
}

/// Gathers the facts that a configuration needs. With `is_new`, the quotas of what a new cluster
/// takes are among them.
///
/// # Errors
/// When EC2 cannot be asked. Quotas and file systems that cannot be asked for are not checked.
pub async fn gather(session: &Session, config: &ClusterConfig, is_new: bool) -> Result<Facts, Failure> {
    let asked = async {
        tokio::try_join!(network(session, config), types(session, config), key_pairs(session, config))
    };
    let (asked, (quotas, mut unchecked), file_systems, bucket, queues) = tokio::join!(
        asked,
        quotas(session, config, is_new),
        file_systems(session, config),
        missing_bucket(session, config),
        missing_queues(session, config)
    );
    let missing_queues = queues.unwrap_or_else(|failure| {
        unchecked.push(failure.to_string());
        Vec::new()
    });
    let missing_bucket = bucket.unwrap_or_else(|failure| {
        unchecked.push(failure.to_string());
        None
    });
    let (network, types, key_pairs) = asked?;
    let file_systems = match file_systems {
        Ok(file_systems) => Some(file_systems),
        Err(failure) => {
            unchecked.push(failure.to_string());
            None
        }
    };
    Ok(Facts {
        network,
        types,
        file_systems,
        account: AccountFacts { missing_bucket, missing_queues, key_pairs, quotas },
        unchecked,
    })
}

/// The queues that the configuration names by their ARNs, and that do not exist.
async fn missing_queues(session: &Session, config: &ClusterConfig) -> Result<Vec<PartName>, Failure> {
    let existing = config.queues.iter().filter_map(|queue| match &queue.source {
        QueueSource::Existing(arn) => Some((queue.name.clone(), arn.to_string())),
        QueueSource::New(_) => None,
    });
    let existing: Vec<(PartName, String)> = existing.collect();
    if existing.is_empty() {
        return Ok(Vec::new());
    }
    let arns: Vec<String> = existing.iter().map(|(_, arn)| arn.clone()).collect();
    let found = batch::queues(session, &arns).await?;
    let is_missing = |(_, arn): &(PartName, String)| !found.iter().any(|queue| queue.is(arn));
    Ok(existing.into_iter().filter(is_missing).map(|(name, _)| name).collect())
}

/// The bucket that the configuration names, if it does not exist in the region. S3 answers 404 for
/// a bucket that does not exist, and 301 for one in another region (S3 API, HeadBucket).
async fn missing_bucket(session: &Session, config: &ClusterConfig) -> Result<Option<BucketName>, Failure> {
    let Bucket::Existing(bucket) = &config.bucket else { return Ok(None) };
    match session.s3.head_bucket().bucket(bucket.as_str()).send().await {
        Ok(_) => Ok(None),
        Err(e) => {
            let status = e.raw_response().map(|response| response.status().as_u16());
            match status {
                Some(404 | 301) => Ok(Some(bucket.clone())),
                _ => {
                    let doing = format!("looking for the bucket {bucket}");
                    Err(explain(session, Call::new(&doing).bucket(bucket.as_str()), &e))
                }
            }
        }
    }
}

/// The file systems that exist and that shared directories are on. One that the region does not
/// have is left out.
async fn file_systems(session: &Session, config: &ClusterConfig) -> Result<Vec<FileSystemFacts>, Failure> {
    let mut ids: Vec<&FileSystemId> = config
        .shared
        .iter()
        .filter_map(|shared| match &shared.source {
            SharedSource::Efs { file_system, .. } => Some(file_system),
            SharedSource::New { .. } | SharedSource::Mounted { .. } => None,
        })
        .collect();
    ids.sort();
    ids.dedup();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let efs = session.efs();
    let of_each = ids.into_iter().map(async |id| {
        let targets = efs.mount_targets(id.as_str()).await;
        let doing = format!("looking for the mount targets of the file system {id}");
        let targets = targets.map_err(|e| explain(session, &doing, &*e))?;
        let zones = |targets: Vec<MountTarget>| {
            targets.iter().filter_map(|t| t.availability_zone_name.as_deref()?.parse().ok()).collect()
        };
        Ok::<_, Failure>(targets.map(|targets| FileSystemFacts { id: id.clone(), zones: zones(targets) }))
    });
    Ok(futures_util::future::try_join_all(of_each).await?.into_iter().flatten().collect())
}

/// The quotas that a configuration needs, and the checks that could not be made.
async fn quotas(session: &Session, config: &ClusterConfig, is_new: bool) -> (Quotas, Vec<String>) {
    let mut wanted: Vec<VcpuQuota> = config.environments.iter().flat_map(vcpu_quotas).collect();
    wanted.sort();
    wanted.dedup();
    let client = session.service_quotas();
    let vcpus = join_all(wanted.into_iter().map(async |quota| {
        let value = client.quota(quota.service, quota.code).await;
        let doing = format!("asking for the quota {}", quota.code);
        // The defaults of vCPUs are not in the model: they are not the same in all accounts.
        Ok::<_, Failure>(match value.map_err(|e| explain(session, &doing, &*e))? {
            AccountQuota::Applied(value) => Some((quota, value)),
            AccountQuota::Default | AccountQuota::Unknown => None,
        })
    }));
    let (environments, queues, vpcs) = (
        async {
            let call = session.batch.describe_compute_environments();
            let mut pages = Pages::new(|token| call.clone().set_next_token(token).send());
            let mut count = 0;
            while let Some(page) = pages.next().await {
                let page = page.map_err(|e| e.explain(session, "counting the compute environments"))?;
                count += page.compute_environments().len();
            }
            Ok(count)
        },
        async {
            let call = session.batch.describe_job_queues();
            let mut pages = Pages::new(|token| call.clone().set_next_token(token).send());
            let mut count = 0;
            while let Some(page) = pages.next().await {
                count += page.map_err(|e| e.explain(session, "counting the job queues"))?.job_queues().len();
            }
            Ok(count)
        },
        async {
            let count = session.ec2.count_vpcs().await;
            count.map_err(|e| explain(session, "counting the VPCs", &*e))
        },
    );
    let made = config.queues.iter().filter(|queue| queue.made().is_some()).count();
    let new_vpcs = usize::from(matches!(config.network.vpc, Vpc::New { .. }));
    let (vcpus, environments, queues, vpcs) = tokio::join!(
        vcpus,
        free(session, quota::ENVIRONMENTS, environments, if is_new { config.environments.len() } else { 0 }),
        free(session, quota::QUEUES, queues, if is_new { made } else { 0 }),
        free(session, quota::VPCS, vpcs, if is_new { new_vpcs } else { 0 }),
    );
    let mut unchecked: Vec<String> = Vec::new();
    let mut note = |failure: Failure| {
        let text = failure.to_string();
        // One missing permission is one note.
        if unchecked.is_empty() {
            unchecked.push(text);
        }
    };
    let mut quotas = Quotas::default();
    for value in vcpus {
        match value {
            Ok(value) => quotas.vcpus.extend(value),
            Err(failure) => note(failure),
        }
    }
    let mut known = |free: Result<Option<u32>, Failure>| {
        free.unwrap_or_else(|failure| {
            note(failure);
            None
        })
    };
    quotas.free_environments = known(environments);
    quotas.free_queues = known(queues);
    quotas.free_vpcs = known(vpcs);
    (quotas, unchecked)
}

/// How many resources can still be made. Service Quotas is asked only if `needed` is more than what
/// an account has that has asked for nothing.
async fn free(
    session: &Session,
    quota: ResourceQuota,
    count: impl Future<Output = Result<usize, Failure>>,
    needed: usize,
) -> Result<Option<u32>, Failure> {
    if needed == 0 {
        return Ok(None);
    }
    let used = u32::try_from(count.await?).unwrap_or(u32::MAX);
    let free = |quota: u32| quota.saturating_sub(used);
    if usize::try_from(free(quota.default)).is_ok_and(|free| free >= needed) {
        return Ok(Some(free(quota.default)));
    }
    let value = session.service_quotas().quota(quota.service, quota.code).await;
    let doing = format!("asking for the quota {}", quota.code);
    Ok(limit(quota, value.map_err(|e| explain(session, &doing, &*e))?).map(free))
}

/// The most resources that an account may have. `None`: unknown.
fn limit(quota: ResourceQuota, value: AccountQuota) -> Option<u32> {
    match value {
        AccountQuota::Applied(value) => Some(value),
        AccountQuota::Default => Some(quota.default),
        AccountQuota::Unknown => None,
    }
}

/// The VPC and subnets that the configuration means, and those that it names.
///
/// # Errors
/// When EC2 cannot be asked.
pub async fn network(session: &Session, config: &ClusterConfig) -> Result<NetworkFacts, Failure> {
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
                let zones = session.ec2.zones().await;
                let zones = zones.map_err(|e| explain(session, "listing the zones", &*e))?;
                Ok((zones, default_zones(session).await?))
            }
            Vpc::Default | Vpc::Given { .. } => Ok((Vec::new(), Vec::new())),
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
    let (security_groups, (zones, default_zones), (default, subnets)) =
        tokio::try_join!(groups, zones, subnets)?;
    Ok(NetworkFacts {
        default_vpc: default.and_then(|id| id.parse().ok()),
        subnets,
        security_groups,
        zones: zones.iter().filter_map(|zone| zone.parse().ok()).collect(),
        default_zones: default_zones.iter().filter_map(|zone| zone.parse().ok()).collect(),
    })
}

/// The zones of the region that have a default subnet, in order.
async fn default_zones(session: &Session) -> Result<Vec<String>, Failure> {
    let wrong = |e: crate::aws::QueryCallError| explain(session, "looking at the default subnets", &*e);
    let Some(vpc) = session.ec2.default_vpc().await.map_err(wrong)? else { return Ok(Vec::new()) };
    let subnets = session.ec2.subnets_of(&vpc.vpc_id).await.map_err(wrong)?;
    let default = subnets.into_iter().filter(|subnet| subnet.default_for_az);
    let mut zones: Vec<String> = default.map(|subnet| subnet.availability_zone).collect();
    zones.sort();
    zones.dedup();
    Ok(zones)
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
            gpus: info.map_or(0, |info| info.gpus.iter().fold(0, |all, gpu| gpu.count.saturating_add(all))),
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
    fn a_quota_that_nobody_has_changed_has_its_default() {
        assert_eq!(limit(quota::ENVIRONMENTS, AccountQuota::Default), Some(50));
        assert_eq!(limit(quota::VPCS, AccountQuota::Applied(8)), Some(8));
        assert_eq!(limit(quota::QUEUES, AccountQuota::Unknown), None);
    }

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
