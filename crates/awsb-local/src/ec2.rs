//! The part of EC2 that describes the one instance: this machine, with an instance type of its own.

use http::StatusCode;
use serde_json::{Value, json};

use crate::access::operation::Ec2;
use crate::batch::Handle;
use crate::capacity::Resources;
use crate::constants::{INSTANCE_ID, INSTANCE_TYPE, ZONE};
use crate::home::host_id::HostId;
use crate::http::protocol::ApiError;

const VERSION: &str = "2016-11-15";

/// EC2, as far as it is here.
#[derive(Debug, Clone)]
pub struct Api {
    engine: Handle,
    /// When this machine was launched: when the server started, in milliseconds since the epoch.
    launched_at: i64,
}

fn refused(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, code, message)
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

/// The values of a list: `InstanceId.1`, `InstanceId.2`, …
fn listed<'a>(parameters: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let is_of = |parameter: &str| {
        let number = parameter.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    parameters.iter().filter(|(n, _)| is_of(n)).map(|(_, value)| value.as_str()).collect()
}

/// Whether every filter lets these facts through: one of its values matches (EC2 User Guide, "List
/// and filter").
fn passes(parameters: &[(String, String)], facts: &[(&'static str, String)]) -> Result<bool, ApiError> {
    for (parameter, name) in parameters {
        let Some(filter) = parameter.strip_suffix(".Name").filter(|filter| filter.starts_with("Filter."))
        else {
            continue;
        };
        let Some((_, fact)) = facts.iter().find(|(known, _)| known == name) else {
            return Err(refused("InvalidParameterValue", format!("The filter '{name}' is invalid")));
        };
        let values = listed(parameters, &format!("{filter}.Value"));
        if !values.iter().any(|pattern| matches(pattern.as_bytes(), fact.as_bytes())) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a text is such as a pattern, in which `*` stands for anything and `?` for one character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // The position of the last `*`, and how far it has matched: a mismatch behind it makes it match
    // more.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, reach)) => {
                    star = Some((at, reach + 1));
                    (p, t) = (at + 1, reach + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn patterns() {
        for (pattern, text) in [("c5.*", "c5.large"), ("*", ""), ("l?cal", "local"), ("*o*l", "local")] {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in [("c5.*", "c5a.large"), ("", "local"), ("l?l", "local"), ("*x", "local")] {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
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
