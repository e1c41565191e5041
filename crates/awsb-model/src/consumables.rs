//! Consumable resources (licences) that a job requires, and the limit on the running tasks of an
//! array, which is one.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::{Invalid, SubmissionId, Submitter};

/// Characters of a consumable resource's name. No page gives the limit; it is that of the other
/// names of Batch.
const NAME_LENGTH: usize = 128;

/// The part of an ARN before the name of a consumable resource.
const IN_ARN: &str = ":consumable-resource/";

/// How much of a consumable resource each instance of a job takes: the job, each child of an array,
/// or each node (API `ConsumableResourceRequirement`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumption {
    /// Name or ARN of the resource.
    pub resource: String,
    /// The quantity, at least 1.
    pub quantity: u64,
}

impl Consumption {
    /// The name of the resource.
    pub fn name(&self) -> &str {
        consumable_name(&self.resource)
    }
}

/// Checks the consumable resources that one place gives, such as a command line.
///
/// # Errors
/// When it gives two quantities of one resource. Whether the job takes the first, the last or both
/// together cannot be known.
pub fn check_consumption(given: &[Consumption]) -> Result<(), Invalid> {
    for (n, one) in given.iter().enumerate() {
        let before = given.iter().take(n).find(|other| other.name() == one.name());
        if let Some(before) = before.filter(|before| before.quantity != one.quantity) {
            return Err(given_twice(one.name(), &before.quantity.to_string(), &one.quantity.to_string()));
        }
    }
    Ok(())
}

/// The reason why two quantities of one resource are refused.
pub(crate) fn given_twice(name: &str, first: &str, second: &str) -> Invalid {
    Invalid::because(format!(
        "{name} is asked for twice, {first} and {second} of it: give it once, with the quantity that the job takes"
    ))
}

/// The name of a consumable resource that is given by its name or its ARN.
pub fn consumable_name(text: &str) -> &str {
    match text.split_once(IN_ARN) {
        Some((_, name)) if text.starts_with("arn:") => name,
        _ => text,
    }
}

/// Parses the name or the ARN of a consumable resource.
///
/// # Errors
/// When no resource can have the name.
pub fn consumable_resource(text: &str) -> Result<String, Invalid> {
    let name = consumable_name(text);
    let is_good = (1..=NAME_LENGTH).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    match is_good {
        true => Ok(text.to_owned()),
        false => Err(Invalid::because(
            "the name of a consumable resource has up to 128 letters, digits, hyphens and underscores",
        )),
    }
}

impl FromStr for Consumption {
    type Err = Invalid;

    /// Parses `NAME` or `NAME=N`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (resource, quantity) = text.split_once('=').map_or((text, "1"), |(name, n)| (name, n));
        let quantity = quantity.parse::<i64>().ok().and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
        let quantity = quantity.ok_or_else(|| {
            Invalid::because(format!("the quantity is a whole number from 1 to {}", i64::MAX))
        })?;
        Ok(Self { resource: consumable_resource(resource)?, quantity })
    }
}

impl fmt::Display for Consumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.resource, self.quantity)
    }
}

/// The limit on the running tasks of an array: a consumable resource of its own, of which each task
/// takes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningLimit {
    /// The name of the resource. A repeated submission has the same.
    pub name: String,
    /// The number of tasks that may run at the same time.
    pub quantity: u32,
    /// The number of jobs that the array consists of; 0 if others may submit jobs with the same
    /// limit.
    pub parts: usize,
}

impl RunningLimit {
    /// The beginning of the names of these resources.
    pub const PREFIX: &str = "awsb-limit-";
    /// The variable with the quantity, so that `--rerun` knows it.
    pub const VARIABLE: &str = "AWSB_TASK_LIMIT";
    /// The tag with the number of jobs of the array.
    pub const PARTS_TAG: &str = "awsb-parts";
    /// The tag with the user who has submitted the array.
    pub const USER_TAG: &str = "awsb-user";

    /// The limit of the submission with this mark.
    pub fn of_mark(mark: &SubmissionId, quantity: u32, parts: usize) -> Self {
        Self { name: format!("{}{}", Self::PREFIX, mark.as_str()), quantity, parts }
    }

    /// The tags of the resource.
    pub fn tags(&self, submitter: Option<&Submitter>) -> BTreeMap<String, String> {
        let parts = (self.parts > 0).then(|| (Self::PARTS_TAG.to_owned(), self.parts.to_string()));
        let user = submitter.map(|user| (Self::USER_TAG.to_owned(), user.as_str().to_owned()));
        parts.into_iter().chain(user).collect()
    }

    /// Whether a consumable resource is such a limit, by its name or its ARN.
    pub fn is_one(resource: &str) -> bool {
        consumable_name(resource).starts_with(Self::PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_one_if_it_is_not_given() -> Result<(), Invalid> {
        let read = |text: &str| text.parse::<Consumption>();
        assert_eq!((read("lic")?.name(), read("lic")?.quantity), ("lic", 1));
        assert_eq!(read("lic=20")?.quantity, 20);
        let arn: Consumption = read("arn:aws:batch:us-east-1:123456789012:consumable-resource/lic=2")?;
        assert_eq!((arn.name(), arn.quantity), ("lic", 2));
        for bad in [
            "",
            "=2",
            "lic=",
            "lic=0",
            "lic=-1",
            "lic=x",
            "lic=1.5",
            "a b",
            "lic:2",
            "lic=99999999999999999999",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        Ok(())
    }

    #[test]
    fn a_limit_is_named_after_the_submission() {
        let mark = SubmissionId::random();
        let limit = RunningLimit::of_mark(&mark, 5, 2);
        assert_eq!(limit, RunningLimit::of_mark(&mark, 5, 2));
        assert!(RunningLimit::is_one(&limit.name) && !RunningLimit::is_one("lic"));
        assert!(consumable_resource(&limit.name).is_ok());
    }
}
