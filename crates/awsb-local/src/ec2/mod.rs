//! The part of EC2 that describes the one instance: this machine, with an instance type of its own.

mod filter;
mod network;

use serde_json::{Value, json};

use crate::access::operation::Ec2;
use crate::batch::Handle;
use crate::capacity::Resources;
use crate::constants::{INSTANCE_ID, INSTANCE_TYPE, ZONE};
use crate::home::host_id::HostId;
use crate::http::protocol::ApiError;
use filter::{listed, passes, refused};

const VERSION: &str = "2016-11-15";

/// EC2, as far as it is here.
#[derive(Debug, Clone)]
pub struct Api {
    engine: Handle,
    /// When this machine was launched: when the server started, in milliseconds since the epoch.
    launched_at: i64,
}

/// The operation that is asked for; its name is among the parameters.
///
/// # Errors
/// As AWS would say it, when there is none.
pub fn asked(parameters: &[(String, String)]) -> Result<Ec2, ApiError> {
    let action = parameters.iter().find(|(name, _)| name == "Action").map(|(_, value)| value.as_str());
    match action.map(|name| (name, Ec2::named(name))) {
        Some((_, Some(operation))) => Ok(operation),
        None => Err(refused("MissingAction", "The request must contain the parameter Action.")),
        Some((other, None)) => Err(refused(
            "InvalidAction",
            format!(
                "The action {other} is not valid for this web service (the local cluster, version {VERSION})"
            ),
        )),
    }
}

/// The properties to filter by: the name of a filter, and the value that the instance has.
type FilterValues = Vec<(&'static str, String)>;

impl Api {
    /// EC2 over what the engine knows of this machine.
    pub fn new(engine: Handle, launched_at: i64) -> Self {
        Self { engine, launched_at }
    }

    /// Answers one operation.
    ///
    /// # Errors
    /// As AWS would say it.
    pub fn call(&self, operation: Ec2, parameters: &[(String, String)]) -> Result<Value, ApiError> {
        let (capacity, _) = self.engine.resources();
        match operation {
            Ec2::DescribeInstances => {
                Ok(json!({"DescribeInstances": self.instances(parameters, &HostId::here().name)?}))
            }
            Ec2::DescribeInstanceTypes => {
                Ok(json!({"DescribeInstanceTypes": instance_types(parameters, &capacity)?}))
            }
            Ec2::DescribeInstanceTypeOfferings => {
                Ok(json!({"DescribeInstanceTypeOfferings": network::offerings(parameters)}))
            }
            Ec2::DescribeAvailabilityZones => {
                Ok(json!({"DescribeAvailabilityZones": network::zones(parameters)?}))
            }
            Ec2::DescribeVpcs => Ok(json!({"DescribeVpcs": network::vpcs(parameters)?})),
            Ec2::DescribeSubnets => Ok(json!({"DescribeSubnets": network::subnets(parameters)?})),
            Ec2::DescribeRouteTables => {
                Ok(json!({"DescribeRouteTables": network::route_tables(parameters)?}))
            }
            Ec2::DescribeSecurityGroups => {
                Ok(json!({"DescribeSecurityGroups": network::security_groups(parameters)}))
            }
            Ec2::DescribeKeyPairs => Ok(json!({"DescribeKeyPairs": network::key_pairs(parameters)})),
        }
    }

    /// API: DescribeInstancesResult.
    fn instances(&self, parameters: &[(String, String)], host: &str) -> Result<Value, ApiError> {
        // "The instance ID 'i-…' does not exist" (EC2 User Guide, error codes).
        let named = listed(parameters, "InstanceId");
        if let Some(other) = named.iter().find(|id| **id != INSTANCE_ID) {
            let message = format!("The instance ID '{other}' does not exist");
            return Err(refused("InvalidInstanceID.NotFound", message));
        }
        let architecture = architecture();
        let facts = [
            ("architecture", architecture),
            ("availability-zone", ZONE),
            ("instance-id", INSTANCE_ID),
            ("instance-state-name", "running"),
            ("instance-type", INSTANCE_TYPE),
            ("private-dns-name", host),
            ("private-ip-address", "127.0.0.1"),
        ];
        if !passes(parameters, &facts.map(|(name, value)| (name, value.to_owned())))? {
            return Ok(json!({"reservationSet": []}));
        }
        let launched = jiff::Timestamp::from_millisecond(self.launched_at).unwrap_or_default();
        let instance = json!({
            "instanceId": INSTANCE_ID,
            "instanceState": {"code": 16, "name": "running"},
            "privateDnsName": host,
            "dnsName": "",
            "amiLaunchIndex": 0,
            "instanceType": INSTANCE_TYPE,
            "launchTime": launched.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
            "placement": {"availabilityZone": ZONE, "tenancy": "default"},
            "privateIpAddress": "127.0.0.1",
            "architecture": architecture,
            "groupSet": [],
            "tagSet": [],
        });
        let reservation = json!({
            "reservationId": "r-00000000000000000",
            "ownerId": crate::constants::ACCOUNT,
            "groupSet": [],
            "instancesSet": [instance],
        });
        Ok(json!({"reservationSet": [reservation]}))
    }
}

/// API: DescribeInstanceTypesResult.
fn instance_types(parameters: &[(String, String)], capacity: &Resources) -> Result<Value, ApiError> {
    let named = listed(parameters, "InstanceType");
    if let Some(other) = named.iter().find(|name| **name != INSTANCE_TYPE) {
        let message = format!("The following supplied instance types do not exist: [{other}]");
        return Err(refused("InvalidInstanceType", message));
    }
    let facts: FilterValues = vec![
        ("instance-type", INSTANCE_TYPE.to_owned()),
        ("memory-info.size-in-mib", capacity.memory_mib.to_string()),
        ("processor-info.supported-architecture", architecture().to_owned()),
        ("vcpu-info.default-vcpus", capacity.vcpus.to_string()),
    ];
    if !passes(parameters, &facts)? {
        return Ok(json!({"instanceTypeSet": []}));
    }
    let mut kind = json!({
        "instanceType": INSTANCE_TYPE,
        "currentGeneration": true,
        "vCpuInfo": {"defaultVCpus": capacity.vcpus},
        "memoryInfo": {"sizeInMiB": capacity.memory_mib},
        "processorInfo": {"supportedArchitectures": [architecture()]},
    });
    if capacity.gpus > 0 {
        kind["gpuInfo"] = json!({"gpus": [{"count": capacity.gpus}]});
    }
    Ok(json!({"instanceTypeSet": [kind]}))
}

/// This machine's architecture, in EC2's words.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_machine_is_an_instance_type() {
        let machine = Resources { vcpus: 4, memory_mib: 8000, gpus: 1 };
        let asked = |pairs: &[(&str, &str)]| instance_types(&parameters(pairs), &machine);
        let all = asked(&[]).unwrap();
        let kind = &all["instanceTypeSet"][0];
        assert_eq!((&kind["instanceType"], &kind["vCpuInfo"]["defaultVCpus"]), (&json!("local"), &json!(4)));
        assert_eq!(kind["gpuInfo"]["gpus"][0]["count"], 1);
        let filtered = |values: &[&str]| {
            let mut pairs = vec![("Filter.1.Name", "instance-type")];
            pairs.extend(["Filter.1.Value.1", "Filter.1.Value.2"].into_iter().zip(values.iter().copied()));
            asked(&pairs).unwrap()["instanceTypeSet"].as_array().map(Vec::len)
        };
        assert_eq!(filtered(&["c5.*", "loc*"]), Some(1));
        assert_eq!(filtered(&["c5.*"]), Some(0));
        assert_eq!(asked(&[("InstanceType.1", "c5.large")]).unwrap_err().code, "InvalidInstanceType");
        let unknown = asked(&[("Filter.1.Name", "colour"), ("Filter.1.Value.1", "red")]);
        assert_eq!(unknown.unwrap_err().code, "InvalidParameterValue");
    }
}
