//! `[network]`: the VPC, its subnets and its security groups.

use std::net::Ipv4Addr;
use std::str::FromStr;

use super::section::Section;
use super::values::{SecurityGroupId, SubnetId, VpcId, ZoneName};
use super::writer::Writer;
use crate::Invalid;
use crate::toml_reader::TomlError;

/// The network of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The VPC.
    pub vpc: Vpc,
    /// The security groups of the compute environments. Without any, the cluster makes one that
    /// lets nothing in but its own members.
    pub security_groups: Vec<SecurityGroupId>,
}

/// The VPC of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vpc {
    /// The default VPC of the region, with all its subnets.
    Default,
    /// These subnets. Their VPC may be given for a check.
    Given {
        /// The VPC that the subnets have to be in; without it, the one that they are in.
        vpc: Option<VpcId>,
        /// The subnets; without any, all public subnets of the VPC.
        subnets: Vec<SubnetId>,
    },
    /// One that the cluster makes, with public subnets.
    New {
        /// The zones with a subnet.
        zones: Zones,
        /// Its addresses.
        addresses: AddressBlock,
    },
}

/// The zones of a new VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Zones {
    /// The first two or three zones of the region.
    First(u8),
    /// These zones.
    Named(Vec<ZoneName>),
}

impl Zones {
    /// The number of zones.
    pub fn count(&self) -> usize {
        match self {
            Self::First(count) => usize::from(*count),
            Self::Named(names) => names.len(),
        }
    }
}

/// The addresses of a new VPC: a private block of IPv4 addresses, `/16` to `/24` (EC2 API,
/// CreateVpc: a VPC has `/16` to `/28`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressBlock {
    first: Ipv4Addr,
    prefix: u8,
}

impl AddressBlock {
    /// `10.0.0.0/16`.
    pub const DEFAULT: Self = Self { first: Ipv4Addr::new(10, 0, 0, 0), prefix: 16 };

    /// The block of a subnet: a quarter of the whole, so that there is room for one more.
    pub fn quarter(self, index: u8) -> Self {
        let prefix = self.prefix + 2;
        let size = 1_u32 << (32 - u32::from(prefix));
        let first = u32::from(self.first) + size * u32::from(index);
        Self { first: Ipv4Addr::from(first), prefix }
    }
}

impl FromStr for AddressBlock {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let block = text.split_once('/').and_then(|(first, prefix)| {
            let first: Ipv4Addr = first.parse().ok()?;
            let prefix: u8 = prefix.parse().ok().filter(|p| (16..=24).contains(p))?;
            let rest = u32::from(first) & (u32::MAX >> prefix);
            (first.is_private() && rest == 0).then_some(Self { first, prefix })
        });
        block.ok_or_else(|| {
            Invalid::because(
                "the addresses of a VPC are a private block from /16 to /24, such as 10.0.0.0/16 or 172.20.0.0/20",
            )
        })
    }
}

impl std::fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// Zones of a new VPC where nothing is said.
const DEFAULT_ZONES: u8 = 2;

impl Default for Network {
    fn default() -> Self {
        Self { vpc: Vpc::Default, security_groups: Vec::new() }
    }
}

impl Network {
    pub(super) fn parse(mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let vpc = section.parsed::<VpcWord>("vpc")?;
        let subnets: Vec<SubnetId> = section.list("subnets")?;
        let zones = section.integer("zones", 2..=3)?;
        let zone_names: Vec<ZoneName> = section.list("zone_names")?;
        let addresses: Option<AddressBlock> = section.parsed("addresses")?;
        let security_groups = section.list("security_groups")?;
        let is_new = matches!(vpc, Some(VpcWord::New));
        for key in ["zones", "zone_names", "addresses"] {
            if !is_new && section.has(key) {
                return Err(section.wrong(key, "is for a new VPC: it takes `vpc = \"new\"`"));
            }
        }
        let vpc = match vpc {
            Some(VpcWord::New) if !subnets.is_empty() => {
                return Err(section.wrong("subnets", "cannot be given for a new VPC, which makes its own"));
            }
            Some(VpcWord::New) => {
                let zones = match (zones, zone_names.len()) {
                    (Some(_), 1..) => {
                        return Err(section.wrong("zones", "and `zone_names` exclude each other"));
                    }
                    (_, 0) => Zones::First(zones.map_or(DEFAULT_ZONES, |n| u8::try_from(n).unwrap_or(3))),
                    (_, 2 | 3) => Zones::Named(zone_names),
                    _ => return Err(section.wrong("zone_names", "has to name two or three zones")),
                };
                Vpc::New { zones, addresses: addresses.unwrap_or(AddressBlock::DEFAULT) }
            }
            Some(VpcWord::Id(id)) => Vpc::Given { vpc: Some(id), subnets },
            Some(VpcWord::Default) if !subnets.is_empty() => {
                return Err(section.wrong("subnets", "and `vpc = \"default\"` exclude each other"));
            }
            None if !subnets.is_empty() => Vpc::Given { vpc: None, subnets },
            Some(VpcWord::Default) | None => Vpc::Default,
        };
        section.finish()?;
        Ok(Self { vpc, security_groups })
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.section("network");
        match &self.vpc {
            Vpc::Default => {}
            Vpc::Given { vpc, subnets } => {
                out.text("vpc", vpc.as_ref());
                out.list("subnets", subnets);
            }
            Vpc::New { zones, addresses } => {
                out.text("vpc", Some("new"));
                match zones {
                    Zones::First(count) => out.plain_unless("zones", *count, DEFAULT_ZONES),
                    Zones::Named(names) => out.list("zone_names", names),
                }
                out.text_unless("addresses", addresses, &AddressBlock::DEFAULT);
            }
        }
        out.list("security_groups", &self.security_groups);
    }
}

/// The value of `vpc`.
enum VpcWord {
    Default,
    New,
    Id(VpcId),
}

impl FromStr for VpcWord {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "default" => Ok(Self::Default),
            "new" => Ok(Self::New),
            id => id.parse().map(Self::Id).map_err(|_| {
                Invalid::because("a VPC is `default`, `new`, or an ID such as vpc-0123456789abcdef0")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_addresses() {
        let block: AddressBlock = "10.1.0.0/16".parse().unwrap();
        let quarters = [0, 1, 2].map(|n| block.quarter(n).to_string());
        assert_eq!(quarters, ["10.1.0.0/18", "10.1.64.0/18", "10.1.128.0/18"]);
        for bad in ["10.0.0.0", "10.0.0.0/8", "10.0.0.1/16", "8.8.0.0/16", "10.0.0.0/25", "x/16"] {
            assert!(bad.parse::<AddressBlock>().is_err(), "{bad}");
        }
    }
}
