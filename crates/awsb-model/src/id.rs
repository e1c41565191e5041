//! Job IDs.

use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// The ID of a job: `ID`, an array's child `ID:INDEX`, or an MNP job's node `ID#INDEX`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub(super) String);

impl JobId {
    /// An ID that came from Batch.
    pub fn from_batch(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The ID of a whole job, as a server has answered it. `None`: the text is no ID.
    pub fn answered(text: &str) -> Option<Self> {
        text.parse().ok().filter(|id: &Self| id.as_str() == text && id.part().is_none())
    }

    /// The ID as Batch writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The child of this array.
    #[must_use]
    pub fn child(&self, index: u32) -> Self {
        Self(format!("{}:{index}", self.0))
    }

    /// The node of this MNP job.
    #[must_use]
    pub fn node(&self, index: u32) -> Self {
        Self(format!("{}#{index}", self.0))
    }

    /// The job that this child or node is a part of. For a whole job it is the job itself.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self(self.0.split([':', '#']).next().unwrap_or_default().to_owned())
    }

    /// Whether the ID has the form of Batch's IDs, a UUID. (No page documents it.)
    pub fn is_full(&self) -> bool {
        let id = self.0.split([':', '#']).next().unwrap_or_default();
        id.len() == UUID.len() && begins_uuid(id)
    }

    /// The index in an array, for a child.
    pub fn array_index(&self) -> Option<u32> {
        self.0.split_once(':')?.1.parse().ok()
    }

    /// The index in an MNP job, for a node.
    pub fn node_index(&self) -> Option<u32> {
        self.0.split_once('#')?.1.parse().ok()
    }

    /// The index of an array's child or of an MNP job's node.
    pub fn part(&self) -> Option<u32> {
        self.array_index().or_else(|| self.node_index())
    }
}

impl FromStr for JobId {
    type Err = Invalid;

    /// Parses an ID or the ARN of a job. Batch does not document the form of its IDs, so anything
    /// possible is accepted, and Batch is asked. What begins with a hyphen would be an option
    /// wherever the ID is a word of a command line.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let id = match text.strip_prefix("arn:") {
            Some(rest) => rest.rsplit_once(":job/").map_or("", |(_, id)| id),
            None => text,
        };
        let (base, index) = match id.find([':', '#']) {
            Some(at) => (&id[..at], Some(&id[at + 1..])),
            None => (id, None),
        };
        let base_is_fine = base.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && base.len() <= 128
            && base.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let index_is_fine =
            index.is_none_or(|i| (1..=5).contains(&i.len()) && i.bytes().all(|b| b.is_ascii_digit()));
        if base_is_fine && index_is_fine {
            Ok(Self(id.to_owned()))
        } else {
            Err(Invalid::because(
                "give its ID (8f2c0d3e-…; a child of an array is 8f2c0d3e-…:3), the beginning of the ID, \
                 its ARN, or `last`",
            ))
        }
    }
}

/// The form of a UUID.
pub(super) const UUID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

/// Whether a text is the beginning of a UUID.
pub(super) fn begins_uuid(text: &str) -> bool {
    text.len() <= UUID.len()
        && text
            .bytes()
            .zip(UUID.bytes())
            .all(|(c, form)| if form == b'-' { c == b'-' } else { c.is_ascii_hexdigit() })
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_children_nodes_and_arns() {
        for (text, id) in [
            ("8f2c0d3e-1111-4222-8333-444455556666", "8f2c0d3e-1111-4222-8333-444455556666"),
            ("8f2c:17", "8f2c:17"),
            ("8f2c#0", "8f2c#0"),
            ("arn:aws:batch:eu-west-1:123456789012:job/8f2c:17", "8f2c:17"),
        ] {
            assert_eq!(text.parse::<JobId>().map(|i| i.to_string()), Ok(id.to_owned()));
        }
        for bad in
            ["", "a b", ":3", "x:", "x:y", "x:1:2", "arn:aws:batch:eu-west-1:1:job-queue/q", "é", "--help"]
        {
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
            assert_eq!(JobId::answered(bad), None);
        }
        assert_eq!(JobId::answered("8f2c").map(|id| id.to_string()).as_deref(), Some("8f2c"));
        for no_whole_id in ["8f2c:17", "8f2c#0", "arn:aws:batch:eu-west-1:1:job/8f2c"] {
            assert_eq!(JobId::answered(no_whole_id), None);
        }
    }
}
