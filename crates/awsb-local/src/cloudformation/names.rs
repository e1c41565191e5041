//! The names and IDs that resources get.
//!
//! They are made up from the stack's ARN, the logical ID and the generation, so that a step that is
//! done again after a crash gives the same ones.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::model::New;

/// The property that gives a resource its name, and the form of a made-up one.
struct Naming {
    kind: &'static str,
    property: &'static str,
    form: Form,
    /// The longest name.
    longest: usize,
}

/// The form of a made-up name.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// `STACK-LOGICAL-RANDOM` (UG, "Name type").
    Stack,
    /// The same in lower case, as S3 and ECR require it.
    Lower,
    /// `LOGICAL-RANDOM`, which Batch resources get.
    Logical,
}

const NAMINGS: [Naming; 18] = [
    Naming::new("AWS::Batch::ComputeEnvironment", "ComputeEnvironmentName", Form::Logical, 128),
    Naming::new("AWS::Batch::ConsumableResource", "ConsumableResourceName", Form::Logical, 128),
    Naming::new("AWS::Batch::JobDefinition", "JobDefinitionName", Form::Logical, 128),
    Naming::new("AWS::Batch::JobQueue", "JobQueueName", Form::Logical, 128),
    Naming::new("AWS::Batch::SchedulingPolicy", "Name", Form::Logical, 128),
    Naming::new("AWS::CodeBuild::Project", "Name", Form::Logical, 150),
    Naming::new("AWS::EC2::LaunchTemplate", "LaunchTemplateName", Form::Logical, 128),
    Naming::new("AWS::EC2::PlacementGroup", "GroupName", Form::Stack, 255),
    Naming::new("AWS::EC2::SecurityGroup", "GroupName", Form::Stack, 255),
    Naming::new("AWS::ECR::Repository", "RepositoryName", Form::Lower, 256),
    Naming::new("AWS::Events::Rule", "Name", Form::Stack, 64),
    Naming::new("AWS::IAM::InstanceProfile", "InstanceProfileName", Form::Stack, 128),
    Naming::new("AWS::IAM::ManagedPolicy", "ManagedPolicyName", Form::Stack, 128),
    Naming::new("AWS::IAM::Policy", "PolicyName", Form::Stack, 128),
    Naming::new("AWS::IAM::Role", "RoleName", Form::Stack, 64),
    Naming::new("AWS::Logs::LogGroup", "LogGroupName", Form::Stack, 512),
    Naming::new("AWS::Logs::ResourcePolicy", "PolicyName", Form::Stack, 255),
    Naming::new("AWS::S3::Bucket", "BucketName", Form::Lower, 63),
];

impl Naming {
    const fn new(kind: &'static str, property: &'static str, form: Form, longest: usize) -> Self {
        Self { kind, property, form, longest }
    }

    fn of(kind: &str) -> Option<&'static Self> {
        NAMINGS.iter().find(|naming| naming.kind == kind)
    }
}

/// A number of characters of these letters, made up from a seed.
fn random(seed: &str, letters: &[u8], length: usize) -> String {
    let mut digest = Sha256::digest(seed.as_bytes()).to_vec();
    digest.extend_from_slice(&Sha256::digest(&digest));
    let letter = |byte: &u8| char::from(letters[usize::from(*byte) % letters.len()]);
    digest.iter().take(length).map(letter).collect()
}

/// A hexadecimal ID with a prefix, as EC2 has them: `sg-0123456789abcdef0`.
pub fn hexadecimal(prefix: &str, seed: &str) -> String {
    format!("{prefix}{}", random(seed, b"0123456789abcdef", 17))
}

/// An ID of IAM: `AROA…`.
pub fn upper(prefix: &str, seed: &str) -> String {
    format!("{prefix}{}", random(seed, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 17))
}

/// The name of a resource: the one that its properties give it, or one that is made up.
pub fn physical(
    kind: &str,
    stack: &str,
    stack_id: &str,
    logical: &str,
    generation: u32,
    properties: &Value,
) -> String {
    let seed = format!("{stack_id}/{logical}/{generation}");
    let Some(naming) = Naming::of(kind) else { return seed };
    if let Some(name) = properties[naming.property].as_str() {
        return name.to_owned();
    }
    // IDs of one part of the name each, so that the random part is never cut off.
    let mixed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let small = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let (head, tail) = match naming.form {
        Form::Stack => (format!("{stack}-{logical}"), random(&seed, mixed, 12)),
        Form::Lower => (format!("{stack}-{logical}").to_lowercase(), random(&seed, small, 12)),
        Form::Logical => (logical.to_owned(), random(&seed, mixed, 16)),
    };
    let room = naming.longest - tail.len() - 1;
    let head: String = head.chars().take(room).collect();
    format!("{}-{tail}", head.trim_end_matches('-'))
}

/// The property that gives a resource of this type its name.
pub fn property(kind: &str) -> Option<&'static str> {
    Naming::of(kind).map(|naming| naming.property)
}

/// Whether properties, before they are evaluated, give their resource a name without a function.
pub fn is_static(kind: &str, properties: &Value) -> bool {
    Naming::of(kind).is_some_and(|naming| properties[naming.property].is_string())
}

/// Why a resource with a name of its own cannot be replaced: the new one would have the same.
pub fn conflict(old: &Value, new: &New) -> Option<String> {
    let naming = Naming::of(&new.kind)?;
    let name = old[naming.property].as_str()?;
    (new.properties[naming.property].as_str() == Some(name)).then(|| {
        format!(
            "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename {name} \
             and update the stack again."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_fit_and_repeat() {
        let long = "L".repeat(200);
        for naming in &NAMINGS {
            let name = |generation| physical(naming.kind, "lab", "arn/1", &long, generation, &json!({}));
            assert_eq!(name(0), name(0));
            assert_ne!(name(0), name(1));
            assert!(name(0).len() <= naming.longest, "{}: {}", naming.kind, name(0));
            assert_eq!(
                physical(naming.kind, "lab", "arn/1", "L", 0, &json!({naming.property: "mine"})),
                "mine"
            );
        }
        let bucket = physical("AWS::S3::Bucket", "Lab", "arn/1", "Bucket", 0, &json!({}));
        assert!(bucket.starts_with("lab-bucket-") && bucket == bucket.to_lowercase(), "{bucket}");
        assert_eq!(hexadecimal("sg-", "x").len(), 20);
    }
}
