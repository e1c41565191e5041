//! Repositories of images, in ECR or in another registry. Pure.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{RepositoryName, Tag};
use crate::Invalid;

/// A registry: the part of an image's name before the first `/`, such as `127.0.0.1:5000` or
/// `123456789012.dkr.ecr.eu-west-1.amazonaws.com`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Registry {
    host: String,
    ecr: Option<Ecr>,
}

/// The account and region of a registry of ECR.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Ecr {
    account: String,
    region: String,
}

impl Registry {
    /// Host and port, as in an image's name.
    pub fn as_str(&self) -> &str {
        &self.host
    }

    /// Whether it is a registry of ECR.
    pub fn is_ecr(&self) -> bool {
        self.ecr.is_some()
    }

    /// Whether the registry is on this machine. Docker also contacts such a registry without TLS
    /// (dockerd reference, `Insecure registries`: 127.0.0.0/8).
    pub fn is_here(&self) -> bool {
        let host = self.host.split(':').next().unwrap_or(&self.host);
        host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }

    /// The account of a registry of ECR (ECR API, `registryId`).
    pub fn account(&self) -> Option<&str> {
        self.ecr.as_ref().map(|ecr| ecr.account.as_str())
    }

    /// The region of a registry of ECR.
    pub fn region(&self) -> Option<&str> {
        self.ecr.as_ref().map(|ecr| ecr.region.as_str())
    }
}

/// Parses a host of ECR (AWS General Reference, `Amazon ECR endpoints and quotas`):
/// `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, with `.cn` in China and `ecr-fips` for FIPS;
/// `ACCOUNT.dkr-ecr.REGION.on.aws`, which has IPv6, too. Simulators of ECR use the same form under
/// other domains, so the part after the region is ignored.
fn ecr(host: &str) -> Option<Ecr> {
    let (account, rest) = host.split_once(".dkr")?;
    let services = [".ecr.", ".ecr-fips.", "-ecr.", "-ecr-fips."];
    let rest = services.iter().find_map(|service| rest.strip_prefix(service))?;
    let (region, _) = rest.split_once('.')?;
    let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    (is_account && region.contains('-'))
        .then(|| Ecr { account: account.to_owned(), region: region.to_owned() })
}

impl FromStr for Registry {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // An address of IPv6 has colons of its own, and so stands in brackets (RFC 3986, 3.2.2).
        let address = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match (address, text.split_once(':')) {
            (Some((address, "")), _) => (address, None),
            (Some((address, port)), _) => (address, Some(port.strip_prefix(':').unwrap_or_default())),
            (None, Some((host, port))) => (host, Some(port)),
            (None, None) => (text, None),
        };
        let label = |label: &str| {
            let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(good)
        };
        let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+');
        let is_host = match address {
            Some((address, _)) => address.parse::<Ipv6Addr>().is_ok(),
            None => host.split('.').all(label),
        };
        if is_host && port.is_none_or(is_port) {
            return Ok(Self { host: text.to_owned(), ecr: ecr(host) });
        }
        Err(Invalid::because(
            "a registry is a host, with or without a port, such as registry.example.org:5000",
        ))
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)
    }
}

/// Whether the part before the first `/` is a registry (github.com/distribution/reference,
/// `normalize.go`, `splitDockerDomain`). No repository has a name with capital letters.
pub(super) fn is_registry(host: &str) -> bool {
    host == "localhost" || host.contains(['.', ':']) || host.bytes().any(|b| b.is_ascii_uppercase())
}

/// A repository as a user names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepositoryPath {
    /// The registry. Without one, it is the account's registry in the cluster's region.
    pub registry: Option<Registry>,
    /// The name in the registry.
    pub name: RepositoryName,
}

impl FromStr for RepositoryPath {
    type Err = Invalid;

    /// Parses a name as Docker does: the part before the first `/` is a registry if it has a `.`, a
    /// `:` or a capital letter, or is `localhost`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.contains("://") {
            return Err(Invalid::because("write the repository without https://"));
        }
        let (registry, name) = match text.split_once('/') {
            Some((host, name)) if is_registry(host) => (Some(host), name),
            _ => (None, text),
        };
        if registry.is_none() && ecr(text).is_some() {
            return Err(Invalid::because(format!(
                "the repository is missing after the registry, as in {text}/genomics"
            )));
        }
        if name.contains([':', '@']) {
            return Err(Invalid::because("write the repository without a tag or digest"));
        }
        Ok(Self { registry: registry.map(str::parse).transpose()?, name: name.parse()? })
    }
}

impl fmt::Display for RepositoryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.registry {
            Some(registry) => write!(f, "{registry}/{}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

/// A repository whose registry is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Repository {
    /// The registry.
    pub registry: Registry,
    /// The name in it.
    pub name: RepositoryName,
}

impl Repository {
    /// The repository of this URI. `None`: the URI is invalid, or has no registry.
    pub fn of_uri(uri: &str) -> Option<Self> {
        let RepositoryPath { registry, name } = uri.parse().ok()?;
        Some(Self { registry: registry?, name })
    }

    /// `REGISTRY/NAME` (ECR API, `repositoryUri`).
    pub fn uri(&self) -> String {
        format!("{}/{}", self.registry, self.name)
    }

    /// The image with this tag: `REGISTRY/NAME:TAG`.
    pub fn tagged(&self, tag: &Tag) -> String {
        format!("{}/{}:{tag}", self.registry, self.name)
    }

    /// The image with this digest: `REGISTRY/NAME@sha256:…`.
    pub fn at_digest(&self, digest: &str) -> String {
        format!("{}/{}@{digest}", self.registry, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_of_ecr() {
        for (host, region) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1"),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("123456789012.dkr-ecr.eu-west-1.on.aws", "eu-west-1"),
            ("000000000000.dkr.ecr.us-east-1.localhost.localstack.cloud:4566", "us-east-1"),
        ] {
            let registry = host.parse::<Registry>().unwrap();
            assert_eq!((registry.region(), registry.is_ecr()), (Some(region), true), "{host}");
            assert_eq!(registry.account(), host.split('.').next());
            assert_eq!(registry.to_string(), host);
        }
        for host in ["127.0.0.1:5000", "localhost", "dkr.ecr.eu-west-1.amazonaws.com", "public.ecr.aws"] {
            assert!(!host.parse::<Registry>().unwrap().is_ecr(), "{host}");
        }
        for bad in ["", ".", "a..b", "-a.b", "a:", "a:0", "a:65536", "a:+1", "a b", "ü.de", "a:1:2"] {
            assert!(bad.parse::<Registry>().is_err(), "{bad}");
        }
    }

    #[test]
    fn registries_on_this_machine() {
        let is_here = |host: &str| host.parse::<Registry>().unwrap().is_here();
        assert!(is_here("127.0.0.1:5000") && is_here("localhost:1") && is_here("127.1.2.3"));
        assert!(!is_here("localhost.example.org") && !is_here("10.0.0.1:5000") && !is_here("127.0.0.1.org"));
    }

    #[test]
    fn repositories_by_name_and_by_uri() {
        let read = |text: &str| {
            let path = text.parse::<RepositoryPath>().unwrap();
            assert_eq!(path.to_string(), text);
            (path.registry.map(|r| r.to_string()), path.name.to_string())
        };
        assert_eq!(read("lab/genomics"), (None, "lab/genomics".into()));
        assert_eq!(read("127.0.0.1:5000/g2"), (Some("127.0.0.1:5000".into()), "g2".into()));
        assert_eq!(read("localhost/a/b1"), (Some("localhost".into()), "a/b1".into()));
    }

    #[test]
    fn what_is_no_repository_is_told_why() {
        let messages = [
            "Lab/Genomics",
            "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/lab",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "lab/genomics:latest",
            "lab@sha256:00",
            "local host:5000/lab",
            "127.0.0.1:5000/",
        ]
        .map(|text| match text.parse::<RepositoryPath>() {
            Ok(path) => format!("{text}: {path:?}"),
            Err(why) => format!("{text}: {why}"),
        });
        insta::assert_snapshot!(messages.join("\n"));
    }
}
