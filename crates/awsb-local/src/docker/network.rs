//! Networks for containers: the home's, with the address at which they reach this machine, and
//! those of the nodes of multi-node jobs.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use bollard::Docker;
use bollard::models::{NetworkConnectRequest, NetworkCreateRequest, NetworkInspect};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder};
use serde::{Deserialize, Serialize};

use super::error::EngineError;
use super::names::{HOME_LABEL, LOCATION_LABEL, TASK_LABEL, nodes_network_name};
use crate::runner::protocol::AttemptId;
use awsb_docker::status;

/// A bridge network on the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// The name that containers join it by.
    pub name: String,
    /// The addresses that its containers have.
    pub subnet: Subnet,
    /// This machine's address in it, where the engine runs on this machine.
    pub gateway: Ipv4Addr,
}

/// A range of IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
    address: Ipv4Addr,
    prefix: u32,
}

impl Subnet {
    /// Reads `172.18.0.0/16`.
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let prefix = prefix.parse().ok().filter(|p| *p <= 32)?;
        Some(Self { address: address.parse().ok()?, prefix })
    }

    /// Whether an address is one of these.
    pub fn contains(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else { return false };
        let mask = u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0);
        (address.to_bits() ^ self.address.to_bits()) & mask == 0
    }
}

/// The IDs of the homes that have networks on an engine and are, or were, at a location.
///
/// # Errors
/// When the engine does not say.
pub async fn homes_at(docker: &Docker, location: &str) -> Result<BTreeSet<String>, EngineError> {
    let filters = HashMap::from([("label", vec![format!("{LOCATION_LABEL}={location}")])]);
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let found = docker.list_networks(Some(options)).await?;
    Ok(found.into_iter().filter_map(|network| network.labels?.get(HOME_LABEL).cloned()).collect())
}

/// The network of this name; it is made if it is not there.
///
/// # Errors
/// When the engine refuses, or does not say where the network is.
pub async fn ensure(
    docker: &Docker,
    name: &str,
    home_id: &str,
    location: &str,
) -> Result<Network, EngineError> {
    let failed = |source| EngineError::Network { name: name.to_owned(), source };
    let known = match docker.inspect_network(name, None::<InspectNetworkOptions>).await {
        Err(e) if status(&e) == Some(404) => None,
        other => Some(other.map_err(failed)?),
    };
    let found = match known {
        Some(found) => found,
        None => {
            match docker
                .create_network(bridge(name, &[(HOME_LABEL, home_id), (LOCATION_LABEL, location)]))
                .await
            {
                // 409: somebody else has been quicker.
                Err(e) if status(&e) != Some(409) => return Err(failed(e)),
                _ => {}
            }
            docker.inspect_network(name, None::<InspectNetworkOptions>).await.map_err(failed)?
        }
    };
    read(name, &found).ok_or_else(|| EngineError::NetworkAddress { name: name.to_owned() })
}

/// Makes the network of a multi-node job's nodes, for one attempt of the main node. It leads
/// nowhere but to the other nodes; everything else goes by the home's network.
///
/// # Errors
/// When the engine refuses, e.g. because it has no subnet left.
pub async fn make_for_nodes(
    docker: &Docker,
    home_id: &str,
    main_node: &AttemptId,
) -> Result<(), EngineError> {
    let name = nodes_network_name(main_node);
    let wanted = bridge(&name, &[(HOME_LABEL, home_id), (TASK_LABEL, main_node.as_str())]);
    let wanted = NetworkCreateRequest { internal: Some(true), ..wanted };
    let made = docker.create_network(wanted).await;
    made.map(|_| ()).map_err(|source| EngineError::Network { name, source })
}

fn bridge(name: &str, labels: &[(&str, &str)]) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        labels: Some(
            labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect(),
        ),
        ..NetworkCreateRequest::default()
    }
}

/// Has a container join one more network.
///
/// # Errors
/// When the engine refuses: then the network or the container is gone, most likely.
pub async fn join(docker: &Docker, name: &str, container: &str) -> Result<(), EngineError> {
    let wanted = NetworkConnectRequest { container: container.to_owned(), endpoint_config: None };
    let joined = docker.connect_network(name, wanted).await;
    joined.map_err(|source| EngineError::Network { name: name.to_owned(), source })
}

fn read(name: &str, found: &NetworkInspect) -> Option<Network> {
    found.ipam.as_ref()?.config.iter().flatten().find_map(|config| {
        let subnet = Subnet::parse(config.subnet.as_ref()?)?;
        // Some engines write the gateway with the length of the prefix.
        let gateway = config.gateway.as_ref()?.split('/').next()?.parse().ok()?;
        Some(Network { name: name.to_owned(), subnet, gateway })
    })
}

/// Removes a network in which no container is; one that is not there is fine.
///
/// # Errors
/// When the engine refuses: then a container is in it, most likely.
pub async fn remove(docker: &Docker, name: &str) -> Result<(), EngineError> {
    match docker.remove_network(name).await {
        Err(source) if status(&source) != Some(404) => {
            Err(EngineError::Network { name: name.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_contains_its_own() {
        let subnet = Subnet::parse("172.18.0.0/16").unwrap();
        assert!(subnet.contains("172.18.255.1".parse().unwrap()));
        assert!(!subnet.contains("172.19.0.1".parse().unwrap()));
        assert!(!subnet.contains("::1".parse().unwrap()));
        assert!(!subnet.contains("::ffff:172.18.0.1".parse().unwrap()));
        assert!(Subnet::parse("10.1.2.3/32").unwrap().contains("10.1.2.3".parse().unwrap()));
        assert!(!Subnet::parse("10.1.2.3/32").unwrap().contains("10.1.2.4".parse().unwrap()));
        assert!(Subnet::parse("0.0.0.0/0").unwrap().contains("1.2.3.4".parse().unwrap()));
        assert_eq!(Subnet::parse("10.0.0.0/33"), None);
        assert_eq!(Subnet::parse("fd00::/8"), None);
    }
}
