//! The answers of EC2: XML (EC2 API Reference), of which only the needed parts are read.

use aws_smithy_types::error::metadata::ErrorMetadata;
use quick_xml::DeError;
use serde::Deserialize;

use super::page::AnswerPage;
use crate::aws::query::{Answer, shape};

/// An instance (API `Instance`). Values that EC2 leaves empty are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// `i-…`.
    pub instance_id: String,
    /// Such as `c5.xlarge`.
    pub instance_type: Option<String>,
    /// `pending`, `running`, `shutting-down`, `terminated`, `stopping` or `stopped`.
    pub state: Option<String>,
    /// Such as `eu-west-1a`.
    pub availability_zone: Option<String>,
    /// `spot`, `scheduled` or `capacity-block`; an On-Demand instance has none.
    pub lifecycle: Option<String>,
    /// Its address in its VPC.
    pub private_ip_address: Option<String>,
    /// Its name in its VPC.
    pub private_dns_name: Option<String>,
    /// Its address in the world, if it has one.
    pub public_ip_address: Option<String>,
    /// Its name in the world, if it has one.
    pub public_dns_name: Option<String>,
    /// When it was launched (RFC 3339).
    pub launch_time: Option<String>,
}

/// An instance type (API `InstanceTypeInfo`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceType {
    /// Such as `c5.xlarge`.
    pub name: String,
    /// Its vCPUs, as it comes.
    pub vcpus: u32,
    /// Its memory in MiB. A job can get less, because ECS's agent and the system have their part.
    pub memory_mib: u64,
    /// Its GPUs, one entry for each kind.
    pub gpus: Vec<Gpu>,
    /// `x86_64`, `arm64`, `i386`, …
    pub architectures: Vec<String>,
}

/// A kind of GPU of an instance type (API `GpuDeviceInfo`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gpu {
    /// Such as `T4`.
    pub name: Option<String>,
    /// How many of it there are.
    pub count: u32,
}

/// DescribeInstances' answer.
#[derive(Debug)]
pub struct InstancesAnswer(xml::Instances);

impl Answer for InstancesAnswer {
    fn parse(xml: &str) -> Result<Self, DeError> {
        shape(xml, "DescribeInstancesResponse").map(Self)
    }
}

impl AnswerPage for InstancesAnswer {
    type Item = Instance;

    fn into_parts(self) -> (Vec<Instance>, Option<String>) {
        let reservations = self.0.reservation_set.item.into_iter();
        let instances = reservations.flat_map(|reservation| reservation.instances_set.item);
        (instances.map(Instance::from).collect(), self.0.next_token)
    }
}

/// DescribeInstanceTypes' answer.
#[derive(Debug)]
pub struct InstanceTypesAnswer(xml::InstanceTypes);

impl Answer for InstanceTypesAnswer {
    fn parse(xml: &str) -> Result<Self, DeError> {
        shape(xml, "DescribeInstanceTypesResponse").map(Self)
    }
}

impl AnswerPage for InstanceTypesAnswer {
    type Item = InstanceType;

    fn into_parts(self) -> (Vec<InstanceType>, Option<String>) {
        (self.0.instance_type_set.item.into_iter().map(InstanceType::from).collect(), self.0.next_token)
    }
}

/// Behind this, a denial has hundreds of letters for `aws sts decode-authorization-message` alone
/// (EC2 User Guide).
const ENCODED: &str = "Encoded authorization failure message:";

/// The code and the message of an error answer. They are missing when the answer is not from EC2.
pub fn error(xml: &str) -> ErrorMetadata {
    let mut meta = ErrorMetadata::builder();
    let refusal = shape::<xml::Refusal>(xml, "Response").ok();
    if let Some(error) = refusal.and_then(|refusal| refusal.errors.error.into_iter().next()) {
        let (message, _) = error.message.split_once(ENCODED).unwrap_or((&error.message, ""));
        meta = meta.code(error.code).message(message.trim_end());
    }
    meta.build()
}

impl From<xml::Instance> for Instance {
    fn from(xml: xml::Instance) -> Self {
        let non_empty = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            instance_id: xml.instance_id,
            instance_type: non_empty(xml.instance_type),
            state: non_empty(xml.instance_state.name),
            availability_zone: non_empty(xml.placement.availability_zone),
            lifecycle: non_empty(xml.instance_lifecycle),
            private_ip_address: non_empty(xml.private_ip_address),
            private_dns_name: non_empty(xml.private_dns_name),
            public_ip_address: non_empty(xml.ip_address),
            public_dns_name: non_empty(xml.dns_name),
            launch_time: non_empty(xml.launch_time),
        }
    }
}

impl From<xml::InstanceType> for InstanceType {
    fn from(xml: xml::InstanceType) -> Self {
        let gpus = xml.gpu_info.gpus.item.into_iter();
        Self {
            name: xml.instance_type,
            vcpus: xml.v_cpu_info.default_v_cpus,
            memory_mib: xml.memory_info.size_in_mi_b,
            gpus: gpus.map(|gpu| Gpu { name: gpu.name, count: gpu.count }).collect(),
            architectures: xml.processor_info.supported_architectures.item,
        }
    }
}

/// The documents' own shapes.
pub(super) mod xml {
    use super::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(bound(deserialize = "T: Deserialize<'de>"))]
    pub struct Set<T> {
        #[serde(default = "Vec::new")]
        pub item: Vec<T>,
    }

    impl<T> Default for Set<T> {
        fn default() -> Self {
            Self { item: Vec::new() }
        }
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct Instances {
        pub reservation_set: Set<Reservation>,
        pub next_token: Option<String>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct Reservation {
        pub instances_set: Set<Instance>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct Instance {
        pub instance_id: String,
        pub instance_type: Option<String>,
        pub instance_state: State,
        pub placement: Placement,
        pub instance_lifecycle: Option<String>,
        pub private_ip_address: Option<String>,
        pub private_dns_name: Option<String>,
        pub ip_address: Option<String>,
        pub dns_name: Option<String>,
        pub launch_time: Option<String>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    pub struct State {
        pub name: Option<String>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct Placement {
        pub availability_zone: Option<String>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct InstanceTypes {
        pub instance_type_set: Set<InstanceType>,
        pub next_token: Option<String>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct InstanceType {
        pub instance_type: String,
        pub v_cpu_info: VCpuInfo,
        pub memory_info: MemoryInfo,
        pub gpu_info: GpuInfo,
        pub processor_info: ProcessorInfo,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct VCpuInfo {
        pub default_v_cpus: u32,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct MemoryInfo {
        pub size_in_mi_b: u64,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    pub struct GpuInfo {
        pub gpus: Set<Gpu>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    pub struct Gpu {
        pub name: Option<String>,
        pub count: u32,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct ProcessorInfo {
        pub supported_architectures: Set<String>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    pub struct Refusal {
        pub errors: Errors,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    pub struct Errors {
        pub error: Vec<Error>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    pub struct Error {
        pub code: String,
        pub message: String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances() {
        // The sample of the EC2 API Reference, DescribeInstances, shortened, and an instance on
        // Spot beside it.
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>8f7724cf-496f-496e-8fe3-example</requestId>
    <reservationSet>
        <item>
            <reservationId>r-1234567890abcdef0</reservationId>
            <ownerId>123456789012</ownerId>
            <groupSet/>
            <instancesSet>
                <item>
                    <instanceId>i-1234567890abcdef0</instanceId>
                    <imageId>ami-bff32ccc</imageId>
                    <instanceState><code>16</code><name>running</name></instanceState>
                    <privateDnsName>ip-192-168-1-88.eu-west-1.compute.internal</privateDnsName>
                    <dnsName>ec2-54-194-252-215.eu-west-1.compute.amazonaws.com</dnsName>
                    <reason/>
                    <keyName>my_keypair</keyName>
                    <amiLaunchIndex>0</amiLaunchIndex>
                    <productCodes/>
                    <instanceType>t2.micro</instanceType>
                    <launchTime>2018-05-08T16:46:19.000Z</launchTime>
                    <placement>
                        <availabilityZone>eu-west-1c</availabilityZone>
                        <groupName/>
                        <tenancy>default</tenancy>
                    </placement>
                    <monitoring><state>disabled</state></monitoring>
                    <privateIpAddress>192.168.1.88</privateIpAddress>
                    <ipAddress>54.194.252.215</ipAddress>
                    <groupSet><item><groupId>sg-e4076980</groupId><groupName>SecurityGroup1</groupName></item></groupSet>
                    <tagSet><item><key>Name</key><value>Server_1 &amp; more</value></item></tagSet>
                </item>
                <item>
                    <instanceId>i-2</instanceId>
                    <instanceState><code>0</code><name>pending</name></instanceState>
                    <privateDnsName/>
                    <dnsName></dnsName>
                    <instanceLifecycle>spot</instanceLifecycle>
                </item>
            </instancesSet>
        </item>
        <item>
            <instancesSet><item><instanceId>i-3</instanceId></item></instancesSet>
        </item>
    </reservationSet>
    <nextToken>more</nextToken>
</DescribeInstancesResponse>"#;
        let (instances, next) = InstancesAnswer::parse(xml).unwrap().into_parts();
        assert_eq!(next.as_deref(), Some("more"));
        let non_empty = |text: &str| Some(text.to_owned());
        assert_eq!(
            instances[0],
            Instance {
                instance_id: "i-1234567890abcdef0".into(),
                instance_type: non_empty("t2.micro"),
                state: non_empty("running"),
                availability_zone: non_empty("eu-west-1c"),
                lifecycle: None,
                private_ip_address: non_empty("192.168.1.88"),
                private_dns_name: non_empty("ip-192-168-1-88.eu-west-1.compute.internal"),
                public_ip_address: non_empty("54.194.252.215"),
                public_dns_name: non_empty("ec2-54-194-252-215.eu-west-1.compute.amazonaws.com"),
                launch_time: non_empty("2018-05-08T16:46:19.000Z"),
            }
        );
        let spot = Instance {
            instance_id: "i-2".into(),
            state: non_empty("pending"),
            lifecycle: non_empty("spot"),
            ..Instance::default()
        };
        assert_eq!(instances[1], spot);
        assert_eq!(instances[2].instance_id, "i-3");
        let none = "<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>";
        assert!(InstancesAnswer::parse(none).unwrap().into_parts().0.is_empty());
    }

    #[test]
    fn instance_types() {
        // The sample of the EC2 API Reference, DescribeInstanceTypes, shortened, with the GPUs of a
        // g4dn.
        let xml = r#"<DescribeInstanceTypesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>f8b86168-d034-4e65-b48d-3b84c78e64af</requestId>
    <instanceTypeSet>
        <item>
            <autoRecoverySupported>true</autoRecoverySupported>
            <instanceType>t2.micro</instanceType>
            <memoryInfo><sizeInMiB>1024</sizeInMiB></memoryInfo>
            <processorInfo>
                <supportedArchitectures><item>i386</item><item>x86_64</item></supportedArchitectures>
                <sustainedClockSpeedInGhz>2.5</sustainedClockSpeedInGhz>
            </processorInfo>
            <vCpuInfo>
                <defaultCores>1</defaultCores>
                <defaultThreadsPerCore>1</defaultThreadsPerCore>
                <defaultVCpus>1</defaultVCpus>
            </vCpuInfo>
        </item>
        <item>
            <gpuInfo>
                <gpus><item>
                    <count>4</count><manufacturer>NVIDIA</manufacturer>
                    <memoryInfo><sizeInMiB>16384</sizeInMiB></memoryInfo><name>T4</name>
                </item></gpus>
                <totalGpuMemoryInMiB>65536</totalGpuMemoryInMiB>
            </gpuInfo>
            <instanceType>g4dn.12xlarge</instanceType>
            <memoryInfo><sizeInMiB>196608</sizeInMiB></memoryInfo>
            <vCpuInfo><defaultVCpus>48</defaultVCpus></vCpuInfo>
        </item>
    </instanceTypeSet>
</DescribeInstanceTypesResponse>"#;
        let (types, next) = InstanceTypesAnswer::parse(xml).unwrap().into_parts();
        assert_eq!(next, None);
        let micro = InstanceType {
            name: "t2.micro".into(),
            vcpus: 1,
            memory_mib: 1024,
            gpus: Vec::new(),
            architectures: vec!["i386".into(), "x86_64".into()],
        };
        assert_eq!(types[0], micro);
        assert_eq!((types[1].vcpus, types[1].memory_mib), (48, 196_608));
        assert_eq!(types[1].gpus, [Gpu { name: Some("T4".into()), count: 4 }]);
    }

    #[test]
    fn errors() {
        // The EC2 Developer Guide's example of an error response.
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<Response>
    <Errors>
        <Error>
            <Code>InvalidInstanceID.NotFound</Code>
            <Message>The instance ID 'i-1a2b3c4d' does not exist</Message>
        </Error>
    </Errors>
    <RequestID>ea966190-f9aa-478e-9ede-example</RequestID>
</Response>"#;
        let meta = error(xml);
        assert_eq!(meta.code(), Some("InvalidInstanceID.NotFound"));
        assert_eq!(meta.message(), Some("The instance ID 'i-1a2b3c4d' does not exist"));
        let denied = "You are not authorized to perform this operation. User: arn:aws:iam::1:user/me is not authorized to \
                      perform: ec2:DescribeInstances because no identity-based policy allows it.";
        let xml = format!(
            "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>{denied} {ENCODED} \
             4GIOHlTkIaWHQD0Q0m6XSnuUMCm</Message></Error></Errors></Response>"
        );
        assert_eq!(error(&xml).message(), Some(denied));
        for other in ["", "<html><body>Bad gateway</body></html>", "{}", "<Response/>", "<Response><Errors>"]
        {
            assert_eq!(error(other).code(), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_answer() {
        for bad in
            ["", "gateway", "<html><item/></html>", "<DescribeInstancesResponse><reservationSet>", "\u{0}<"]
        {
            assert!(InstancesAnswer::parse(bad).is_err(), "{bad}");
        }
    }
}
