//! `[iam]` and `[job_role]`: roles and policies.

use super::section::Section;
use super::values::{BucketName, IamPath, InstanceProfileArn, PolicyArn, RoleArn};
use super::writer::Writer;
use crate::toml_reader::TomlError;

/// Roles and policies, but for the jobs' own role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iam {
    /// The permissions boundary of every role that the cluster makes.
    pub boundary: Option<PolicyArn>,
    /// The path before the cluster's name: roles are under `PATH` + `NAME/`.
    pub path: IamPath,
    /// The instance profile that exists, instead of one that the cluster makes.
    pub instance_profile: Option<InstanceProfileArn>,
    /// More managed policies for the instances' role.
    pub instance_policies: Vec<PolicyArn>,
    /// The execution role that exists.
    pub execution_role: Option<RoleArn>,
    /// The role of image builds that exists.
    pub build_role: Option<RoleArn>,
    /// Whether the cluster makes a managed policy for its users.
    pub user_policy: bool,
}

/// The role of the jobs' own calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobRole {
    /// The cluster makes it.
    New(NewJobRole),
    /// It exists.
    Existing(RoleArn),
}

/// The permissions of the jobs' role besides reading their bundles and writing their outputs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewJobRole {
    /// More managed policies.
    pub policies: Vec<PolicyArn>,
    /// Buckets that jobs may read.
    pub read: Vec<BucketName>,
    /// Buckets that jobs may read and write.
    pub write: Vec<BucketName>,
}

impl Default for Iam {
    fn default() -> Self {
        Self {
            boundary: None,
            path: "/awsb/".parse().expect("a constant is a valid path"),
            instance_profile: None,
            instance_policies: Vec::new(),
            execution_role: None,
            build_role: None,
            user_policy: true,
        }
    }
}

impl Default for JobRole {
    fn default() -> Self {
        Self::New(NewJobRole::default())
    }
}

impl Iam {
    pub(super) fn parse(mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let default = Self::default();
        let iam = Self {
            boundary: section.parsed("boundary")?,
            path: section.parsed("path")?.unwrap_or(default.path),
            instance_profile: section.parsed("instance_profile")?,
            instance_policies: section.list("instance_policies")?,
            execution_role: section.parsed("execution_role")?,
            build_role: section.parsed("build_role")?,
            user_policy: section.boolean("user_policy", default.user_policy)?,
        };
        if iam.instance_profile.is_some() && !iam.instance_policies.is_empty() {
            return Err(section.wrong("instance_policies", "and `instance_profile` exclude each other"));
        }
        section.finish()?;
        Ok(iam)
    }

    pub(super) fn write(&self, out: &mut Writer) {
        let default = Self::default();
        out.section("iam");
        out.text("boundary", self.boundary.as_ref());
        out.text_unless("path", &self.path, &default.path);
        out.text("instance_profile", self.instance_profile.as_ref());
        out.list("instance_policies", &self.instance_policies);
        out.text("execution_role", self.execution_role.as_ref());
        out.text("build_role", self.build_role.as_ref());
        out.plain_unless("user_policy", self.user_policy, default.user_policy);
    }
}

impl JobRole {
    pub(super) fn parse(mut section: Section<'_, '_>) -> Result<Self, TomlError> {
        let arn: Option<RoleArn> = section.parsed("arn")?;
        let role = NewJobRole {
            policies: section.list("policies")?,
            read: section.list("read")?,
            write: section.list("write")?,
        };
        if arn.is_some()
            && let Some(key) = ["policies", "read", "write"].into_iter().find(|key| section.has(key))
        {
            return Err(section.wrong(key, "cannot be given for a role that exists (`arn`)"));
        }
        section.finish()?;
        Ok(arn.map_or(Self::New(role), Self::Existing))
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.section("job_role");
        match self {
            Self::Existing(arn) => out.text("arn", Some(arn)),
            Self::New(role) => {
                out.list("policies", &role.policies);
                out.list("read", &role.read);
                out.list("write", &role.write);
            }
        }
    }
}
