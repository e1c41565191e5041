//! `[environment.NAME]`: a compute environment.

use super::names::PartName;
use super::section::{BooleanOr, Section};
use super::values::{
    AmiId, Architecture, Ec2Name, InstanceTypeName, SecurityGroupId, SnapshotId, SubnetId, word_type,
};
use super::writer::Writer;
use crate::toml_reader::TomlError;
use crate::{Period, Tag};

/// A compute environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Environment {
    /// The name in the configuration. In AWS, the environment has a generated name.
    pub name: PartName,
    /// The machines.
    pub capacity: Capacity,
    /// The most vCPUs at the same time.
    pub max_vcpus: u32,
    /// Subnets instead of all of the network's.
    pub subnets: Vec<SubnetId>,
    /// Security groups instead of the network's.
    pub security_groups: Vec<SecurityGroupId>,
}

/// The machines of a compute environment.
#[derive(Debug, Clone, PartialEq)]
pub enum Capacity {
    /// Instances of EC2.
    Ec2(Box<Ec2>),
    /// Fargate; on Spot, if it is set.
    Fargate {
        /// Whether it is Fargate Spot.
        spot: bool,
    },
}

/// Instances of EC2.
#[derive(Debug, Clone, PartialEq)]
pub struct Ec2 {
    /// How instances are bought.
    pub purchase: Purchase,
    /// vCPUs that are there even without jobs. They cost.
    pub min_vcpus: u32,
    /// Types and families.
    pub instance_types: Vec<InstanceTypeName>,
    /// How Batch chooses among the types.
    pub allocation: Allocation,
    /// The kind of AMI. `None`: the one for the instance types.
    pub ami_type: Option<AmiType>,
    /// The AMI instead of the newest one of its kind.
    pub ami: Option<AmiId>,
    /// The root volume.
    pub root_volume: RootVolume,
    /// The key pair for SSH.
    pub key_pair: Option<Ec2Name>,
    /// A shell script, or a MIME multi-part text, for the first boot of an instance.
    pub user_data: Option<String>,
    /// Whether instances are on hardware of their own (dedicated tenancy).
    pub dedicated: bool,
    /// The placement group.
    pub placement_group: PlacementGroup,
    /// Whether all instances are in one zone: that of the first subnet.
    pub single_zone: bool,
    /// How long an instance stays after its last job. `None`: Batch decides.
    pub keep_idle: Option<Period>,
    /// The fate of jobs when instances are replaced.
    pub on_update: OnUpdate,
    /// Tags of instances and volumes, besides the cluster's.
    pub tags: Vec<Tag>,
}

/// How instances are bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purchase {
    /// On demand.
    OnDemand,
    /// On Spot.
    Spot {
        /// The most to pay, in percent of the on-demand price. `None`: 100.
        bid_percentage: Option<u8>,
    },
}

/// The fate of jobs when instances are replaced (Batch API, `UpdatePolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnUpdate {
    /// How long jobs may still run on the old instances. Whole minutes, 1 to 7200.
    pub timeout: Period,
    /// Whether jobs end at once.
    pub terminate_jobs: bool,
}

/// The volume that an instance boots from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootVolume {
    /// GiB.
    pub size_gib: u32,
    /// The type.
    pub kind: VolumeType,
    /// IOPS: for `gp3`, `io1` and `io2`.
    pub iops: Option<u32>,
    /// MiB/s: for `gp3`.
    pub throughput: Option<u32>,
    /// The snapshot instead of the AMI's.
    pub snapshot: Option<SnapshotId>,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

impl Default for RootVolume {
    fn default() -> Self {
        let kind = VolumeType::Gp3;
        Self { size_gib: 100, kind, iops: None, throughput: None, snapshot: None, encrypted: true }
    }
}

/// The placement group of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacementGroup {
    /// None.
    None,
    /// A cluster placement group that the cluster makes.
    New,
    /// One that exists.
    Existing(Ec2Name),
}

word_type!(
    /// How Batch chooses among instance types (Batch User Guide, `allocation-strategies`). BEST_FIT
    /// is left out: with it, Batch cannot change an environment in place.
    Allocation {
        /// The cheapest types that fit, then the next ones.
        BestFitProgressive = "best-fit-progressive",
        /// The types in the order of the list.
        BestFitProgressiveOrdered = "best-fit-progressive-ordered",
        /// The types that are least likely to be interrupted.
        SpotCapacityOptimized = "spot-capacity-optimized",
        /// The same, with the list's order where it costs nothing.
        SpotCapacityOptimizedPrioritized = "spot-capacity-optimized-prioritized",
        /// The types that are unlikely to be interrupted, and among them the cheapest.
        SpotPriceCapacityOptimized = "spot-price-capacity-optimized",
    }
);

impl Allocation {
    /// The default.
    pub fn default_for(purchase: Purchase) -> Self {
        match purchase {
            Purchase::OnDemand => Self::BestFitProgressive,
            Purchase::Spot { .. } => Self::SpotPriceCapacityOptimized,
        }
    }

    /// Whether it is for Spot only.
    pub fn is_for_spot(self) -> bool {
        self.as_str().starts_with("spot-")
    }
}

word_type!(
    /// The kind of AMI (Batch API, `Ec2Configuration`). Amazon Linux 2 is left out: its support
    /// ended in June 2026, and Batch makes no environments with it any more.
    AmiType {
        /// Amazon Linux 2023.
        Al2023 = "ECS_AL2023",
        /// Amazon Linux 2023 with NVIDIA's driver.
        Al2023Nvidia = "ECS_AL2023_NVIDIA",
    }
);

word_type!(
    /// A type of EBS volume (EC2 API, `EbsBlockDevice`). Throughput-optimised disks cannot be
    /// booted from.
    VolumeType {
        /// General purpose.
        Gp3 = "gp3",
        /// General purpose, the older one.
        Gp2 = "gp2",
        /// Provisioned IOPS.
        Io1 = "io1",
        /// Provisioned IOPS, the newer one.
        Io2 = "io2",
    }
);

word_type!(
    /// The value of `type`.
    EnvironmentType {
        /// EC2, on demand.
        OnDemand = "on-demand",
        /// EC2 on Spot.
        Spot = "spot",
        /// Fargate.
        Fargate = "fargate",
        /// Fargate Spot.
        FargateSpot = "fargate-spot",
    }
);

word_type!(
    /// The value of `tenancy`.
    Tenancy {
        /// On hardware that others use, too.
        Default = "default",
        /// On hardware of one's own.
        Dedicated = "dedicated",
    }
);

/// vCPUs of an environment where nothing is said.
const DEFAULT_MAX_VCPUS: u32 = 256;
/// The range of a number of vCPUs in the API.
const MOST_VCPUS: u32 = 1_000_000;
const MINUTE: u32 = 60;

/// The keys that only an environment of EC2 has.
const ONLY_ON_EC2: [&str; 16] = [
    "min",
    "instance_types",
    "allocation",
    "bid",
    "ami_type",
    "ami",
    "root_volume",
    "key_pair",
    "user_data",
    "tenancy",
    "placement_group",
    "single_zone",
    "keep_idle",
    "update_timeout",
    "terminate_jobs_on_update",
    "tags",
];

impl Default for OnUpdate {
    fn default() -> Self {
        Self { timeout: Period::of_seconds(30 * MINUTE), terminate_jobs: false }
    }
}

impl Ec2 {
    /// Instances that are bought like this, with the defaults of the configuration.
    pub fn new(purchase: Purchase) -> Self {
        Self {
            purchase,
            min_vcpus: 0,
            instance_types: vec![InstanceTypeName::bundle(Architecture::X86)],
            allocation: Allocation::default_for(purchase),
            ami_type: None,
            ami: None,
            root_volume: RootVolume::default(),
            key_pair: None,
            user_data: None,
            dedicated: false,
            placement_group: PlacementGroup::None,
            single_zone: false,
            keep_idle: None,
            on_update: OnUpdate::default(),
            tags: Vec::new(),
        }
    }

    /// The architecture of the first instance type; a valid configuration has no other.
    pub fn architecture(&self) -> Architecture {
        self.instance_types.first().map_or(Architecture::X86, InstanceTypeName::architecture)
    }

    /// The kind of AMI, by the types where it is not given.
    pub fn ami_type(&self) -> AmiType {
        let gpus = self.instance_types.iter().any(InstanceTypeName::has_nvidia_gpus);
        self.ami_type.unwrap_or(if gpus { AmiType::Al2023Nvidia } else { AmiType::Al2023 })
    }

    fn parse(section: &mut Section<'_, '_>, is_spot: bool) -> Result<Self, TomlError> {
        let bid = section.integer("bid", 1..=100)?;
        let purchase = match is_spot {
            false if bid.is_some() => {
                return Err(section.wrong("bid", "is for Spot: on-demand instances have a fixed price"));
            }
            false => Purchase::OnDemand,
            true => Purchase::Spot { bid_percentage: bid.and_then(|n| u8::try_from(n).ok()) },
        };
        let mut ec2 = Self::new(purchase);
        ec2.min_vcpus = section.integer("min", 0..=MOST_VCPUS)?.unwrap_or(0);
        let types: Vec<InstanceTypeName> = section.list("instance_types")?;
        if !types.is_empty() {
            ec2.instance_types = types;
        } else if section.has("instance_types") {
            return Err(section.wrong("instance_types", "has no type in it"));
        }
        if let Some(allocation) = section.parsed("allocation")? {
            ec2.allocation = allocation;
        }
        ec2.ami_type = section.parsed("ami_type")?;
        ec2.ami = section.parsed("ami")?;
        ec2.root_volume = RootVolume::parse(section.section("root_volume")?)?;
        ec2.key_pair = section.parsed("key_pair")?;
        ec2.user_data = section.text("user_data")?;
        ec2.dedicated = section.parsed("tenancy")? == Some(Tenancy::Dedicated);
        ec2.placement_group = match section.boolean_or::<Ec2Name>("placement_group")? {
            None | Some(BooleanOr::Boolean(false)) => PlacementGroup::None,
            Some(BooleanOr::Boolean(true)) => PlacementGroup::New,
            Some(BooleanOr::Text(name)) => PlacementGroup::Existing(name),
        };
        ec2.single_zone = section.boolean("single_zone", ec2.placement_group != PlacementGroup::None)?;
        ec2.keep_idle = minutes(section, "keep_idle", 20..=10_080)?;
        if let Some(timeout) = minutes(section, "update_timeout", 1..=7200)? {
            ec2.on_update.timeout = timeout;
        }
        ec2.on_update.terminate_jobs = section.boolean("terminate_jobs_on_update", false)?;
        ec2.tags = section.tags("tags")?;
        Ok(ec2)
    }

    fn write(&self, path: &str, out: &mut Writer) {
        let default = Self::new(self.purchase);
        if let Purchase::Spot { bid_percentage } = self.purchase {
            out.plain("bid", bid_percentage);
        }
        out.plain_unless("min", self.min_vcpus, 0);
        if self.instance_types != default.instance_types {
            out.list("instance_types", &self.instance_types);
        }
        out.text_unless("allocation", &self.allocation, &default.allocation);
        out.text("ami_type", self.ami_type);
        out.text("ami", self.ami.as_ref());
        out.text("key_pair", self.key_pair.as_ref());
        out.text("user_data", self.user_data.as_ref());
        out.text("tenancy", self.dedicated.then_some("dedicated"));
        match &self.placement_group {
            PlacementGroup::None => {}
            PlacementGroup::New => out.plain("placement_group", Some(true)),
            PlacementGroup::Existing(name) => out.text("placement_group", Some(name)),
        }
        out.plain_unless("single_zone", self.single_zone, self.placement_group != PlacementGroup::None);
        out.text("keep_idle", self.keep_idle);
        out.text_unless("update_timeout", &self.on_update.timeout, &default.on_update.timeout);
        out.plain_unless("terminate_jobs_on_update", self.on_update.terminate_jobs, false);
        self.root_volume.write(path, out);
        out.tags(&format!("{path}.tags"), &self.tags);
    }
}

impl RootVolume {
    fn parse(mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let default = Self::default();
        let volume = Self {
            size_gib: section.integer("size", 8..=65_536)?.unwrap_or(default.size_gib),
            kind: section.parsed("type")?.unwrap_or(default.kind),
            iops: section.integer("iops", 100..=256_000)?,
            throughput: section.integer("throughput", 125..=2000)?,
            snapshot: section.parsed("snapshot")?,
            encrypted: section.boolean("encrypted", default.encrypted)?,
        };
        section.finish()?;
        Ok(volume)
    }

    fn write(&self, path: &str, out: &mut Writer) {
        let default = Self::default();
        out.section(&format!("{path}.root_volume"));
        out.plain_unless("size", self.size_gib, default.size_gib);
        out.text_unless("type", &self.kind, &default.kind);
        out.plain("iops", self.iops);
        out.plain("throughput", self.throughput);
        out.text("snapshot", self.snapshot.as_ref());
        out.plain_unless("encrypted", self.encrypted, default.encrypted);
    }
}

/// Whole minutes in this range.
fn minutes(
    section: &mut Section<'_, '_>,
    key: &'static str,
    range: std::ops::RangeInclusive<u32>,
) -> Result<Option<Period>, TomlError> {
    let period = section.period(key, range.start() * MINUTE..=range.end() * MINUTE)?;
    if period.is_some_and(|period| !period.get().as_secs().is_multiple_of(u64::from(MINUTE))) {
        return Err(section.wrong(key, "has to be whole minutes, such as 30m"));
    }
    Ok(period)
}

impl Environment {
    /// An environment of this name with the defaults of the configuration.
    pub fn new(name: PartName, capacity: Capacity) -> Self {
        let (subnets, security_groups) = (Vec::new(), Vec::new());
        Self { name, capacity, max_vcpus: DEFAULT_MAX_VCPUS, subnets, security_groups }
    }

    /// The instances, if the environment has such.
    pub fn ec2(&self) -> Option<&Ec2> {
        match &self.capacity {
            Capacity::Ec2(ec2) => Some(ec2),
            Capacity::Fargate { .. } => None,
        }
    }

    /// The word of the configuration for the machines.
    pub fn kind(&self) -> EnvironmentType {
        match &self.capacity {
            Capacity::Ec2(ec2) => match ec2.purchase {
                Purchase::OnDemand => EnvironmentType::OnDemand,
                Purchase::Spot { .. } => EnvironmentType::Spot,
            },
            Capacity::Fargate { spot: false } => EnvironmentType::Fargate,
            Capacity::Fargate { spot: true } => EnvironmentType::FargateSpot,
        }
    }

    pub(super) fn parse(name: PartName, mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let Some(kind) = section.parsed::<EnvironmentType>("type")? else {
            let words: Vec<&str> = EnvironmentType::ALL.iter().map(|kind| kind.as_str()).collect();
            return Err(section.missing("type").hint(format!("there are: {}", words.join(", "))));
        };
        let max_vcpus = section.integer("max", 1..=MOST_VCPUS)?.unwrap_or(DEFAULT_MAX_VCPUS);
        let subnets = section.list("subnets")?;
        let security_groups = section.list("security_groups")?;
        let capacity = match kind {
            EnvironmentType::OnDemand => Capacity::Ec2(Box::new(Ec2::parse(&mut section, false)?)),
            EnvironmentType::Spot => Capacity::Ec2(Box::new(Ec2::parse(&mut section, true)?)),
            EnvironmentType::Fargate | EnvironmentType::FargateSpot => {
                if let Some(key) = ONLY_ON_EC2.into_iter().find(|key| section.has(key)) {
                    let message = format!("is for instances of EC2, and `type` is `{kind}`");
                    return Err(section.wrong(key, message));
                }
                Capacity::Fargate { spot: kind == EnvironmentType::FargateSpot }
            }
        };
        section.finish()?;
        Ok(Self { name, capacity, max_vcpus, subnets, security_groups })
    }

    pub(super) fn write(&self, out: &mut Writer) {
        let path = format!("environment.{}", self.name);
        out.named_section(&path);
        out.text("type", Some(self.kind()));
        out.plain_unless("max", self.max_vcpus, DEFAULT_MAX_VCPUS);
        out.list("subnets", &self.subnets);
        out.list("security_groups", &self.security_groups);
        if let Some(ec2) = self.ec2() {
            ec2.write(&path, out);
        }
    }
}
