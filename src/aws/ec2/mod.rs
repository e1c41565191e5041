//! EC2, as far as the tools need it, by the [query protocol](super::query).

mod answers;
mod network_answers;
mod page;

use aws_config::SdkConfig;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::page_token::next_page;
use super::query::{CallError, Parameters, QueryError, Service, operation};
use super::trace::Trace;
pub use answers::{Gpu, Instance, InstanceType};
use answers::{InstanceTypesAnswer, InstancesAnswer};
use network_answers::{
    KeyPairsAnswer, OfferingsAnswer, RouteTablesAnswer, SecurityGroupsAnswer, SubnetsAnswer, VpcsAnswer,
    ZonesAnswer,
};
pub use network_answers::{Offering, Route, RouteTable, SecurityGroup, Subnet, Vpc, WayOut};
use page::AnswerPage;

/// The service.
const EC2: Service =
    Service { name: "EC2", signing_name: "ec2", version: "2016-11-15", read_error: answers::error };
/// The values of one filter (EC2 API Reference, DescribeInstances: "up to 200 values per filter").
const FILTER_VALUES: usize = 200;
/// So many calls are under way at once.
const AT_ONCE: usize = 5;

/// A client of EC2.
#[derive(Debug, Clone)]
pub struct Ec2 {
    instances: Operation<Parameters, InstancesAnswer, QueryError>,
    instance_types: Operation<Parameters, InstanceTypesAnswer, QueryError>,
    offerings: Operation<Parameters, OfferingsAnswer, QueryError>,
    vpcs: Operation<Parameters, VpcsAnswer, QueryError>,
    subnets: Operation<Parameters, SubnetsAnswer, QueryError>,
    route_tables: Operation<Parameters, RouteTablesAnswer, QueryError>,
    security_groups: Operation<Parameters, SecurityGroupsAnswer, QueryError>,
    key_pairs: Operation<Parameters, KeyPairsAnswer, QueryError>,
    zones: Operation<Parameters, ZonesAnswer, QueryError>,
}

impl Ec2 {
    /// A client for the region of `config`, if it has one; with `trace`, every exchange is shown.
    pub(super) fn new(config: &SdkConfig, trace: Option<Trace>) -> Option<Self> {
        let region = config.region()?.as_ref();
        Some(Self {
            instances: operation(&EC2, "DescribeInstances", config, region, trace.clone()),
            instance_types: operation(&EC2, "DescribeInstanceTypes", config, region, trace.clone()),
            offerings: operation(&EC2, "DescribeInstanceTypeOfferings", config, region, trace.clone()),
            vpcs: operation(&EC2, "DescribeVpcs", config, region, trace.clone()),
            subnets: operation(&EC2, "DescribeSubnets", config, region, trace.clone()),
            route_tables: operation(&EC2, "DescribeRouteTables", config, region, trace.clone()),
            security_groups: operation(&EC2, "DescribeSecurityGroups", config, region, trace.clone()),
            key_pairs: operation(&EC2, "DescribeKeyPairs", config, region, trace.clone()),
            zones: operation(&EC2, "DescribeAvailabilityZones", config, region, trace),
        })
    }

    /// These instances, in any order; one that EC2 does not know (any more) is left out.
    ///
    /// # Errors
    /// When EC2 cannot be asked.
    pub async fn instances(&self, ids: &[String]) -> Result<Vec<Instance>, CallError> {
        // A filter passes over what is gone; asked for by its ID, it would lose us all others.
        all("instance-id", ids, 1000, &self.instances).await
    }

    /// The instance types that have one of these names, or that a pattern such as `c5.*` matches,
    /// in any order.
    ///
    /// # Errors
    /// When EC2 cannot be asked.
    pub async fn instance_types(&self, patterns: &[String]) -> Result<Vec<InstanceType>, CallError> {
        all("instance-type", patterns, 100, &self.instance_types).await
    }

    /// The availability zones that offer the instance types which have one of these names, or which
    /// a pattern such as `c5.*` matches.
    ///
    /// # Errors
    /// When EC2 cannot be asked.
    pub async fn offerings(&self, patterns: &[String]) -> Result<Vec<Offering>, CallError> {
        let location = [("LocationType", "availability-zone")];
        all_with("instance-type", patterns, Some(1000), &location, &self.offerings).await
    }

    /// The default VPC of the region, or none.
    ///
    /// # Errors
    /// When EC2 cannot be asked.
    pub async fn default_vpc(&self) -> Result<Option<Vpc>, CallError> {
        Ok(all("is-default", &["true".to_owned()], 100, &self.vpcs).await?.into_iter().next())
    }

    /// These VPCs. One that EC2 does not know is left out.
    ///
    /// # Errors
    /// When EC2 cannot be asked.
    pub async fn vpcs(&self, ids: &[String]) -> Result<Vec<Vpc>, CallError> {
        all("vpc-id", ids, 100, &self.vpcs).await
    }

    /// The number of VPCs in the region.
    ///
    /// # Errors
    /// When EC2 cannot be asked.
    pub async fn count_vpcs(&self) -> Result<usize, CallError> {
        Ok(all("state", &["available".to_owned(), "pending".to_owned()], 1000, &self.vpcs).await?.len())
    }

    /// The subnets of a VPC.
    ///
    /// # Errors
    /// When EC2 cannot be asked.
    pub async fn subnets_of(&self, vpc: &str) -> Result<Vec<Subnet>, CallError> {
        all("vpc-id", &[vpc.to_owned()], 100, &self.subnets).await
    }

    /// These subnets. One that EC2 does not know is left out.
    ///
    /// # Errors
    /// When EC2 cannot be asked.
    pub async fn subnets(&self, ids: &[String]) -> Result<Vec<Subnet>, CallError> {
        all("subnet-id", ids, 100, &self.subnets).await
    }

    /// The route tables of a VPC.
    ///
    /// # Errors
    /// When EC2 cannot be asked.
    pub async fn route_tables(&self, vpc: &str) -> Result<Vec<RouteTable>, CallError> {
        all("vpc-id", &[vpc.to_owned()], 100, &self.route_tables).await
    }

    /// These security groups. One that EC2 does not know is left out.
    ///
    /// # Errors
    /// When EC2 cannot be asked.
    pub async fn security_groups(&self, ids: &[String]) -> Result<Vec<SecurityGroup>, CallError> {
        all("group-id", ids, 100, &self.security_groups).await
    }

    /// The availability zones of the region that can be used.
    ///
    /// # Errors
    /// When EC2 cannot be asked.
    pub async fn zones(&self) -> Result<Vec<String>, CallError> {
        // Local zones and Wavelength zones have other types, and are not asked for unless an
        // account has opted in (EC2 API Reference, DescribeAvailabilityZones,
        // AllAvailabilityZones).
        let kind = ["availability-zone".to_owned()];
        all_with("zone-type", &kind, None, &[], &self.zones).await
    }

    /// Those of these names that key pairs have.
    ///
    /// # Errors
    /// When EC2 cannot be asked.
    pub async fn key_pairs(&self, names: &[String]) -> Result<Vec<String>, CallError> {
        // This call has no pages (EC2 API Reference, DescribeKeyPairs).
        all_with("key-name", names, None, &[], &self.key_pairs).await
    }
}

/// All that a filter lets through, all pages.
async fn all<A: AnswerPage>(
    filter: &str,
    values: &[String],
    page: u32,
    operation: &Operation<Parameters, A, QueryError>,
) -> Result<Vec<A::Item>, CallError> {
    all_with(filter, values, Some(page), &[], operation).await
}

/// The same with more parameters. Without a size of pages, the call has none.
async fn all_with<A: AnswerPage>(
    filter: &str,
    values: &[String],
    page: Option<u32>,
    more: &[(&str, &str)],
    operation: &Operation<Parameters, A, QueryError>,
) -> Result<Vec<A::Item>, CallError> {
    let asked = values.chunks(FILTER_VALUES).map(|values| async move {
        let (mut items, mut token) = (Vec::new(), None);
        loop {
            let form = Parameters::filtered(filter, values, page, token.as_deref()).with(more);
            let (more, next) = operation.invoke(form).await.map_err(Box::new)?.into_parts();
            items.extend(more);
            let next = next_page(token.as_deref(), next);
            token = next
                .map_err(|e| SdkError::dispatch_failure(ConnectorError::other(e.into(), None)))
                .map_err(Box::new)?;
            if token.is_none() {
                return Ok(items);
            }
        }
    });
    stream::iter(asked).buffer_unordered(AT_ONCE).try_concat().await
}
