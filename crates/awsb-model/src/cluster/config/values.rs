//! The values of the configuration: IDs, ARNs and names of AWS, and words.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;

/// Makes a type for text that follows a rule.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $rule:expr, $what:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The value as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let rule: fn(&str) -> bool = $rule;
                if rule(text) { Ok(Self(text.to_owned())) } else { Err(Invalid::because($what)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// Makes a type for the IDs of a kind of resource, which begin with the same prefix.
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        text_type!(
            $(#[$doc])* $name, |text| is_id(text, $prefix),
            concat!("the ID of ", $kind, " is such as ", $prefix, "0123456789abcdef0")
        );
    };
}

/// Makes a type for the ARNs of a kind of resource of a service.
macro_rules! arn_type {
    ($(#[$doc:meta])* $name:ident, $service:literal, $resource:literal, $kind:literal, $example:literal) => {
        text_type!(
            $(#[$doc])* $name, |text| is_arn(text, $service, $resource),
            concat!("the ARN of ", $kind, " is such as ", $example)
        );
    };
}

/// Makes an enum whose variants are words of the configuration.
macro_rules! word_type {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$of])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word of the configuration.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Invalid;

            fn from_str(text: &str) -> Result<Self, $crate::Invalid> {
                // AWS writes such words in upper case and with `_`.
                let same = |one: &&Self| {
                    let plain = |text: &str| text.to_ascii_lowercase().replace('_', "-");
                    plain(one.as_str()) == plain(text)
                };
                Self::ALL.iter().find(same).copied().ok_or_else(|| {
                    let words: Vec<&str> = Self::ALL.iter().map(|one| one.as_str()).collect();
                    $crate::Invalid::because(format!("one of: {}", words.join(", ")))
                })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(super) use word_type;

fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| (8..=40).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether a text is an ARN of this service, whose resource begins like this.
fn is_arn(text: &str, service: &str, resource: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'${}".contains(c));
    match parts[..] {
        ["arn", partition, of, _, account, rest] => {
            let is_account =
                account == "aws" || (account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()));
            plain
                && partition.starts_with("aws")
                && of == service
                && is_account
                && rest.strip_prefix(resource).is_some_and(|name| !name.is_empty())
        }
        _ => false,
    }
}

id_type!(
    /// The ID of a VPC.
    VpcId, "vpc-", "a VPC"
);
id_type!(
    /// The ID of a subnet.
    SubnetId, "subnet-", "a subnet"
);
id_type!(
    /// The ID of a security group.
    SecurityGroupId, "sg-", "a security group"
);
id_type!(
    /// The ID of an AMI.
    AmiId, "ami-", "an AMI"
);
id_type!(
    /// The ID of an EBS snapshot.
    SnapshotId, "snap-", "a snapshot"
);
id_type!(
    /// The ID of an EFS file system.
    FileSystemId, "fs-", "an EFS file system"
);
id_type!(
    /// The ID of an EFS access point.
    AccessPointId, "fsap-", "an EFS access point"
);
arn_type!(
    /// The ARN of an IAM role.
    RoleArn, "iam", "role/", "a role",
    "arn:aws:iam::111122223333:role/NAME"
);
arn_type!(
    /// The ARN of an instance profile.
    InstanceProfileArn, "iam", "instance-profile/", "an instance profile",
    "arn:aws:iam::111122223333:instance-profile/NAME"
);
arn_type!(
    /// The ARN of a managed policy.
    PolicyArn, "iam", "policy/", "a policy",
    "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
);
arn_type!(
    /// The ARN of a KMS key.
    KmsKeyArn, "kms", "key/", "a KMS key",
    "arn:aws:kms:eu-west-1:111122223333:key/ID"
);
arn_type!(
    /// The ARN of a job queue.
    QueueArn, "batch", "job-queue/", "a job queue",
    "arn:aws:batch:eu-west-1:111122223333:job-queue/NAME"
);
text_type!(
    /// The name of an availability zone.
    ZoneName, |text| {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        text.matches('-').count() >= 2
            && text.bytes().all(good)
            && text.ends_with(|c: char| c.is_ascii_lowercase())
            && text.len() <= 40
    },
    "the name of a zone is such as eu-west-1a"
);
text_type!(
    /// The name of an S3 bucket (S3 User Guide, `bucketnamingrules`).
    BucketName, |text| {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        (3..=63).contains(&text.len())
            && text.bytes().all(good)
            && text.starts_with(ends)
            && text.ends_with(ends)
            && !text.contains("..")
    },
    "the name of a bucket has 3 to 63 lower-case letters, digits, '-' and '.'"
);
text_type!(
    /// The name of an EC2 key pair or of a placement group: at most 255 printable ASCII characters
    /// (EC2 API, CreateKeyPair and CreatePlacementGroup).
    Ec2Name, |text| {
        (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
    },
    "a name has 1 to 255 printable ASCII characters"
);
text_type!(
    /// The name of a CodeBuild project (CodeBuild API, `ProjectName`).
    ProjectName, |text| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (2..=150).contains(&text.len())
            && text.bytes().all(good)
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
    },
    "the name of a CodeBuild project has 2 to 150 letters, digits, '-' and '_'"
);
text_type!(
    /// An instance type (`c7i.large`), a family (`c7i`), or one of Batch's bundles of families.
    InstanceTypeName, |text| {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let word = |text: &str| !text.is_empty() && text.bytes().all(good);
        let has_generation = |family: &str| family.contains(|c: char| c.is_ascii_digit());
        match text.split_once('.') {
            _ if BUNDLES.iter().any(|(name, _)| *name == text) => true,
            Some((family, size)) => word(family) && has_generation(family) && word(size),
            None => word(text) && has_generation(text),
        }
    },
    "an instance type is such as c7i.large; a family is such as c7i; default_x86_64 and default_arm64 are \
     Batch's choice of families"
);
text_type!(
    /// A path of IAM, such as `/awsb/` (IAM API, CreateRole, `Path`).
    IamPath, |text| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b".,+@=_-/".contains(&b);
        text.starts_with('/')
            && text.ends_with('/')
            && !text.contains("//")
            && text.bytes().all(good)
            && text.len() <= 400
    },
    "a path of IAM begins and ends with '/', such as /awsb/"
);
text_type!(
    /// An identifier of a share in a fair-share policy: letters and digits, and a `*` at the end
    /// for all that begin like this (Batch API, `ShareAttributes`).
    SharePattern, |text| {
        let name = text.strip_suffix('*').unwrap_or(text);
        (1..=255).contains(&text.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric())
    },
    "a share has letters and digits, with a '*' at its end for all that begin like this"
);

word_type!(
    /// The architecture of a machine.
    Architecture {
        /// Intel and AMD.
        X86 = "x86_64",
        /// Graviton.
        Arm = "arm64",
    }
);

/// Batch's bundles of families (Batch User Guide, `instance-type-compute-table`).
const BUNDLES: [(&str, Architecture); 3] = [
    ("default_x86_64", Architecture::X86),
    ("default_arm64", Architecture::Arm),
    ("optimal", Architecture::X86),
];

impl InstanceTypeName {
    /// Batch's own choice of families.
    pub fn bundle(architecture: Architecture) -> Self {
        Self(format!("default_{architecture}"))
    }

    /// Whether it is Batch's own choice of families.
    pub fn is_bundle(&self) -> bool {
        BUNDLES.iter().any(|(name, _)| *name == self.0)
    }

    /// Whether it is one type, and not a family or a bundle.
    pub fn is_type(&self) -> bool {
        self.0.contains('.')
    }

    /// The family: `c7gn` of `c7gn.large`.
    pub fn family(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }

    /// The letters, the generation, and the attributes of a family: `c`, `7`, `gn`.
    pub(in crate::cluster) fn parts(&self) -> (&str, &str, &str) {
        let family = self.family();
        let digit = family.find(|c: char| c.is_ascii_digit()).unwrap_or(family.len());
        let (letters, rest) = family.split_at(digit);
        let after = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (generation, attributes) = rest.split_at(after);
        (letters, generation, attributes)
    }

    /// The architecture, by the convention of names: Graviton families have a `g` among the
    /// attributes behind the generation (EC2 User Guide, `instance-type-names`), and `a1` is the
    /// first of them.
    pub fn architecture(&self) -> Architecture {
        if let Some((_, architecture)) = BUNDLES.iter().find(|(name, _)| *name == self.0) {
            return *architecture;
        }
        let (_, _, attributes) = self.parts();
        let attributes = attributes.split('-').next().unwrap_or(attributes);
        match attributes.contains('g') || self.family() == "a1" {
            true => Architecture::Arm,
            false => Architecture::X86,
        }
    }

    /// Whether the types have NVIDIA GPUs, by the convention of names: the families `g` (but
    /// `g4ad`, which has AMD's), `gr` and `p`.
    pub fn has_nvidia_gpus(&self) -> bool {
        let (letters, generation, attributes) = self.parts();
        let is_amd = letters == "g" && generation == "4" && attributes.starts_with('a');
        !self.is_bundle() && matches!(letters, "g" | "gr" | "p") && !is_amd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_arns() {
        assert!("subnet-0123abcd".parse::<SubnetId>().is_ok());
        for bad in ["subnet-", "subnet-0123abcx", "vpc-0123abcd", "subnet-0123abcd "] {
            assert!(bad.parse::<SubnetId>().is_err(), "{bad}");
        }
        for good in ["arn:aws:iam::111122223333:role/x", "arn:aws-cn:iam::111122223333:role/a/b"] {
            assert!(good.parse::<RoleArn>().is_ok(), "{good}");
        }
        for bad in [
            "x",
            "arn:aws:iam::1:role/x",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:s3::111122223333:role/x",
        ] {
            assert!(bad.parse::<RoleArn>().is_err(), "{bad}");
        }
        assert!("arn:aws:iam::aws:policy/ReadOnlyAccess".parse::<PolicyArn>().is_ok());
        assert!("eu-west-1a".parse::<ZoneName>().is_ok() && "eu-west-1".parse::<ZoneName>().is_err());
    }

    #[test]
    fn architectures_and_gpus_by_the_names_of_types() {
        for (name, architecture, gpus) in [
            ("c7i.large", Architecture::X86, false),
            ("c7g", Architecture::Arm, false),
            ("c7gn.16xlarge", Architecture::Arm, false),
            ("m7i-flex.large", Architecture::X86, false),
            ("im4gn", Architecture::Arm, false),
            ("a1.large", Architecture::Arm, false),
            ("g5.xlarge", Architecture::X86, true),
            ("g5g.xlarge", Architecture::Arm, true),
            ("g4ad.xlarge", Architecture::X86, false),
            ("g4dn", Architecture::X86, true),
            ("gr6.4xlarge", Architecture::X86, true),
            ("p5en.48xlarge", Architecture::X86, true),
            ("hpc7g.4xlarge", Architecture::Arm, false),
            ("default_arm64", Architecture::Arm, false),
            ("optimal", Architecture::X86, false),
        ] {
            let parsed: InstanceTypeName = name.parse().unwrap();
            assert_eq!((parsed.architecture(), parsed.has_nvidia_gpus()), (architecture, gpus), "{name}");
        }
        for bad in ["", "large", "c7i.", "C7i.large", ".large", "c7i.large.x y"] {
            assert!(bad.parse::<InstanceTypeName>().is_err(), "{bad}");
        }
    }
}
