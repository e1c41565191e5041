//! Options for a job's container that SubmitJob cannot express (API `ContainerOverrides` does not
//! have them).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{
    Device, Efs, EnvName, EphemeralStorage, Image, InstanceTypeName, Invalid, MemorySize, Mount,
    RegistrySecret, Tmpfs, Ulimit,
};

/// Changes to a job definition's container.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ContainerChanges {
    /// The image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// The role of the job's own calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_role: Option<Role>,
    /// The role that fetches images and secrets, and writes the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_role: Option<Role>,
    /// The user that the container's processes run as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Limits. A later limit replaces an earlier one of the same name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// Folders of the instance. A later one replaces an earlier one at the same path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// EFS file systems. A later one replaces an earlier one at the same path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub efs: Vec<Efs>,
    /// Variables with secrets. A later one replaces an earlier one of the same name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// The size of `/dev/shm`.
    #[serde(serialize_with = "mib", skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<MemorySize>,
    /// The size of a Fargate job's disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// Commands can be run in the container (ECS Exec).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enable_exec: bool,
    /// File systems in memory. A later one replaces an earlier one at the same path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<Tmpfs>,
    /// Devices of the instance. A later one replaces an earlier one at the same path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// Whether the container has the rights of root on the instance.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    /// The secret for the registry of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository_credentials: Option<RegistrySecret>,
    /// The instance type of all nodes of a multi-node job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<InstanceTypeName>,
}

impl ContainerChanges {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same changes in canonical order and without replaced ones, so that equal changes have
    /// the same JSON text.
    #[must_use]
    pub fn canonical(&self) -> Self {
        Self {
            ulimits: last_of_each(&self.ulimits, |ulimit| ulimit.name),
            mounts: last_of_each(&self.mounts, |mount| mount.container.clone()),
            efs: last_of_each(&self.efs, |efs| efs.container.clone()),
            secrets: last_of_each(&self.secrets, |secret| secret.name.as_str().to_owned()),
            tmpfs: last_of_each(&self.tmpfs, |tmpfs| tmpfs.container.clone()),
            devices: last_of_each(&self.devices, |device| device.container.clone()),
            ..self.clone()
        }
    }

    /// The first change that a job on Fargate cannot have, as its option (UG
    /// `fargate-job-definitions`).
    pub fn not_on_fargate(&self) -> Option<&'static str> {
        [
            (!self.ulimits.is_empty(), "--ulimit"),
            (!self.mounts.is_empty(), "--mount"),
            (self.shm_size.is_some(), "--shm-size"),
            (!self.tmpfs.is_empty(), "--tmpfs"),
            (!self.devices.is_empty(), "--device"),
            (self.privileged, "--privileged"),
            (self.instance_type.is_some(), "--instance-type"),
        ]
        .into_iter()
        .find_map(|(given, option)| given.then_some(option))
    }
}

fn last_of_each<T: Clone, K: Ord>(all: &[T], key: impl Fn(&T) -> K) -> Vec<T> {
    all.iter().map(|one| (key(one), one.clone())).collect::<BTreeMap<_, _>>().into_values().collect()
}

fn mib<S: Serializer>(size: &Option<MemorySize>, serializer: S) -> Result<S::Ok, S::Error> {
    size.map(MemorySize::mib).serialize(serializer)
}

/// An IAM role, by its ARN or by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Role(String);

impl Role {
    /// The ARN of the role. A role that was given by its name is in the partition and account of
    /// `neighbour`, another ARN. `None`: that ARN has none.
    pub fn arn(&self, neighbour: &str) -> Option<String> {
        if self.0.starts_with("arn:") {
            return Some(self.0.clone());
        }
        let parts: Vec<&str> = neighbour.split(':').collect();
        match parts[..] {
            ["arn", partition, _, _, account, ..] if !partition.is_empty() && !account.is_empty() => {
                Some(format!("arn:{partition}:iam::{account}:role/{}", self.0))
            }
            _ => None,
        }
    }
}

impl FromStr for Role {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // IAM API, CreateRole: RoleName is [\w+=,.@-]+; a path may stand before it.
        let is_name = |name: &str| {
            let good = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&b);
            let last = name.rsplit('/').next().unwrap_or_default();
            !name.starts_with('/')
                && (1..=64).contains(&last.len())
                && name.len() <= 576
                && name.bytes().all(good)
        };
        let name = match text.strip_prefix("arn:") {
            None => Some(text),
            Some(rest) => match rest.split(':').collect::<Vec<_>>()[..] {
                [partition, "iam", "", account, resource]
                    if partition.starts_with("aws")
                        && account.len() == 12
                        && account.bytes().all(|b| b.is_ascii_digit()) =>
                {
                    resource.strip_prefix("role/")
                }
                _ => None,
            },
        };
        match name {
            Some(name) if is_name(name) => Ok(Self(text.to_owned())),
            _ => Err(Invalid::because(
                "a role is a name, or an ARN such as arn:aws:iam::123456789012:role/genomics",
            )),
        }
    }
}

/// The user of a container's processes, as for `docker run --user`: `USER[:GROUP]`, names or
/// numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User(String);

impl FromStr for User {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (user, group) = text.split_once(':').unwrap_or((text, "root"));
        let good = |name: &str| {
            !name.is_empty()
                && name.len() <= 255
                && !name.starts_with('-')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-$".contains(&b))
        };
        if good(user) && good(group) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::because("a user is USER or USER:GROUP, names or numbers, such as 1000:1000"))
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `NAME=SOURCE`: a variable whose value Batch fetches (API `Secret`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Secret {
    /// The variable.
    #[serde(serialize_with = "text")]
    pub name: EnvName,
    /// The ARN of a secret of Secrets Manager, or the ARN or name of a parameter of Systems
    /// Manager.
    pub source: String,
}

fn text<S: Serializer>(name: &EnvName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}

impl FromStr for Secret {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || {
            Invalid::because(
                "a secret is NAME=ARN; the ARN is that of a secret in Secrets Manager or of a parameter in \
                 Systems Manager (a parameter's name works, too)",
            )
        };
        let (name, source) = text.split_once('=').ok_or_else(wrong)?;
        let name: EnvName = name.parse()?;
        let fine = match source.strip_prefix("arn:") {
            // A secret's ARN may be followed by `:json-key:stage:version`.
            Some(rest) => match rest.splitn(5, ':').collect::<Vec<_>>()[..] {
                [_, "secretsmanager", _, _, resource] => resource.starts_with("secret:"),
                [_, "ssm", _, _, resource] => resource.starts_with("parameter/"),
                _ => false,
            },
            // SSM API, PutParameter: a name is letters, digits and these.
            None => {
                !source.is_empty()
                    && source.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-/".contains(&b))
            }
        };
        let plain = !source.chars().any(|c| c.is_control() || c == ' ');
        if fine && plain { Ok(Self { name, source: source.to_owned() }) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn roles_and_users() {
        for good in ["root", "1000", "1000:1000", "ann:users"] {
            assert!(good.parse::<User>().is_ok(), "{good}");
        }
        for bad in ["", "a b", ":", "a:", ":1", "-1", "a:b:c"] {
            assert!(bad.parse::<User>().is_err(), "{bad}");
        }
        for bad in
            ["", "a b", "arn:aws:iam::1:role/x", "arn:aws:s3:::x", "/x", "arn:aws:iam::123456789012:user/x"]
        {
            assert!(bad.parse::<Role>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_role_that_is_named_alone_is_the_neighbours() {
        let definition = "arn:aws-cn:batch:cn-north-1:123456789012:job-definition/d:1";
        let arn = |role: &str, neighbour: &str| role.parse::<Role>().ok().and_then(|r| r.arn(neighbour));
        assert_eq!(arn("x", definition).as_deref(), Some("arn:aws-cn:iam::123456789012:role/x"));
        assert_eq!(arn("teams/x", definition).as_deref(), Some("arn:aws-cn:iam::123456789012:role/teams/x"));
        let own = "arn:aws:iam::210987654321:role/y";
        assert_eq!(arn(own, definition).as_deref(), Some(own));
        assert_eq!(arn("x", "d:1"), None);
    }

    #[test]
    fn secrets() {
        for good in [
            "DB=arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf",
            "DB=arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf:password::",
            "DB=arn:aws:ssm:eu-west-1:123456789012:parameter/db/password",
            "DB=/db/password",
        ] {
            assert!(good.parse::<Secret>().is_ok(), "{good}");
        }
        for bad in ["DB", "DB=", "=x", "1=x", "AWS_BATCH_X=x", "DB=arn:aws:s3:::x", "DB=a b", "DB=arn:"] {
            assert!(bad.parse::<Secret>().is_err(), "{bad}");
        }
    }

    #[test]
    fn changes_as_json() {
        let changes = ContainerChanges {
            image: "busybox".parse().ok(),
            shm_size: "1G".parse().ok(),
            ulimits: "nofile=1:2".parse().into_iter().collect(),
            secrets: "A=/a".parse().into_iter().collect(),
            ..ContainerChanges::default()
        };
        assert_eq!(
            serde_json::to_string(&changes).unwrap_or_default(),
            r#"{"image":"busybox","ulimits":[{"name":"nofile","soft":1,"hard":2}],"secrets":[{"name":"A","source":"/a"}],"shm_size":1024}"#
        );
        let twice = ["nofile=9", "core=0", "nofile=1:2"].map(str::parse).into_iter().flatten().collect();
        let order: Vec<_> = ContainerChanges { ulimits: twice, ..changes.clone() }
            .canonical()
            .ulimits
            .iter()
            .map(|u| (u.name, u.soft))
            .collect();
        assert_eq!(order, [("core", 0), ("nofile", 1)]);
        assert!(!changes.is_empty() && ContainerChanges::default().is_empty());
    }

    proptest! {
        #[test]
        fn no_text_breaks_them(text in "\\PC{0,40}|[A-Z]{0,3}=(arn:)?[a-z:/]{0,30}|arn:aws:iam:[:0-9a-z/]{0,30}") {
            let _ = (text.parse::<Image>(), text.parse::<User>(), text.parse::<Secret>());
            if let Ok(role) = text.parse::<Role>() {
                prop_assert!(role.arn("arn:aws:batch:r:1:job-definition/d").is_some());
            }
        }
    }
}
