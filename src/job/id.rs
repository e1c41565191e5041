//! Job IDs, and the ways in which people name jobs.

use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// The ID of a job: `ID`, an array's child `ID:INDEX`, or an MNP job's node `ID#INDEX`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(String);

impl JobId {
    /// An ID that Batch gave us.
    pub fn from_batch(id: impl Into<String>) -> Self {
        Self(id.into())
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

    /// The whole that an array's child or a node is a part of; a whole is its own.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self(self.0.split([':', '#']).next().unwrap_or_default().to_owned())
    }

    /// Whether it has the form that Batch gives its IDs (no page documents it): a UUID.
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

    /// Takes an ID or a job's ARN. Batch does not document the form of its IDs, so whatever could be
    /// one is taken, and Batch is asked whether it is.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let id = match text.strip_prefix("arn:") {
            Some(rest) => rest.rsplit_once(":job/").map_or("", |(_, id)| id),
            None => text,
        };
        let (base, index) = match id.find([':', '#']) {
            Some(at) => (&id[..at], Some(&id[at + 1..])),
            None => (id, None),
        };
        let base_is_fine = !base.is_empty()
            && base.len() <= 128
            && base.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let index_is_fine =
            index.is_none_or(|i| (1..=5).contains(&i.len()) && i.bytes().all(|b| b.is_ascii_digit()));
        if base_is_fine && index_is_fine {
            Ok(Self(id.to_owned()))
        } else {
            Err(Invalid::because(
                "a job is named by its ID (8f2c0d3e-…, an array's child 8f2c0d3e-…:3), its beginning, its ARN, or `last`",
            ))
        }
    }
}

/// The form of a UUID.
const UUID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
/// Fewer digits are no beginning of an ID: they are typed too easily.
const SHORTEST: usize = 4;

/// Whether a text is a UUID's beginning.
fn begins_uuid(text: &str) -> bool {
    text.len() <= UUID.len()
        && text
            .bytes()
            .zip(UUID.bytes())
            .all(|(c, form)| if form == b'-' { c == b'-' } else { c.is_ascii_hexdigit() })
}

/// A job as somebody names it: by ID, a child's or node's place behind it or not, by ARN, by the beginning of the
/// ID, or as `last`, the one that was submitted last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRef {
    base: Base,
    /// `:INDEX` or `#NODE`, or nothing.
    part: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Base {
    Last,
    Exact(String),
    Beginning(String),
}

impl JobRef {
    /// What it means, the jobs of the latest submission being `last` and all jobs that are known here `known`.
    ///
    /// # Errors
    /// When nothing was submitted yet, or an ID's beginning fits several known jobs: those.
    pub fn resolve<'k>(
        &self,
        last: &[JobId],
        known: impl Iterator<Item = &'k JobId>,
    ) -> Result<Vec<JobId>, Unresolved> {
        let part = |id: &str| JobId(format!("{id}{}", self.part));
        match &self.base {
            Base::Last if last.is_empty() => Err(Unresolved::NoneSubmitted),
            Base::Last => Ok(last.iter().map(|id| part(id.as_str())).collect()),
            Base::Exact(id) => Ok(vec![part(id)]),
            Base::Beginning(text) => {
                let lower = text.to_ascii_lowercase();
                let mut fitting: Vec<&JobId> = known.filter(|id| id.as_str().starts_with(&lower)).collect();
                fitting.sort();
                fitting.dedup();
                match fitting.as_slice() {
                    // Not submitted here: Batch is asked whether it is an ID.
                    [] => Ok(vec![part(text)]),
                    [id] => Ok(vec![part(id.as_str())]),
                    several => Err(Unresolved::Several(several.iter().map(|id| (*id).clone()).collect())),
                }
            }
        }
    }

    /// Whether the jobs that are known here have to be looked at for it.
    pub fn needs_known(&self) -> bool {
        !matches!(self.base, Base::Exact(_))
    }
}

/// Why a reference means no job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unresolved {
    /// `last`, and nothing was submitted from here.
    NoneSubmitted,
    /// It is the beginning of all these.
    Several(Vec<JobId>),
}

impl FromStr for JobRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let JobId(id) = text.parse()?;
        let (base, part) = id.split_at(id.find([':', '#']).unwrap_or(id.len()));
        let base = match base {
            "last" if text.starts_with("last") => Base::Last,
            _ if !text.starts_with("arn:")
                && (SHORTEST..UUID.len()).contains(&base.len())
                && begins_uuid(base) =>
            {
                Base::Beginning(base.to_owned())
            }
            _ => Base::Exact(base.to_owned()),
        };
        Ok(Self { base, part: part.to_owned() })
    }
}

impl fmt::Display for JobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = match &self.base {
            Base::Last => "last",
            Base::Exact(id) | Base::Beginning(id) => id,
        };
        write!(f, "{base}{}", self.part)
    }
}

/// One word that names jobs: one, or several with commas between them, as `bsub --parsable` prints them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRefs(pub Vec<JobRef>);

impl FromStr for JobRefs {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.split(',').map(|word| word.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
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
        for bad in ["", "a b", ":3", "x:", "x:y", "x:1:2", "arn:aws:batch:eu-west-1:1:job-queue/q", "é"] {
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
        }
    }

    const A: &str = "8f2c0d3e-1111-4222-8333-444455556666";
    const B: &str = "8f2c9999-1111-4222-8333-444455556666";

    fn resolved(text: &str) -> Result<Vec<String>, Unresolved> {
        let known: Vec<JobId> = [A, B, A].map(JobId::from_batch).into();
        let reference: JobRef = text.parse().expect("a reference");
        let ids = reference.resolve(&known[1..], known.iter())?;
        Ok(ids.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_beginning_names_one_known_job_or_is_taken_for_an_id() {
        for (text, id) in [
            (A, A.to_owned()),
            ("8F2C0", A.to_owned()),
            ("8f2c0d3e-11", A.to_owned()),
            ("8f2c9:3", format!("{B}:3")),
            ("8f2c9#0", format!("{B}#0")),
            ("8f3", "8f3".into()),
            ("9999", "9999".into()),
            ("a-name", "a-name".into()),
            // An ARN has the whole ID.
            ("arn:aws:batch:eu-west-1:1:job/8f2c:3", "8f2c:3".into()),
            ("arn:aws:batch:eu-west-1:1:job/last", "last".into()),
        ] {
            assert_eq!(resolved(text), Ok(vec![id]), "{text}");
        }
        let both = vec![JobId::from_batch(A), JobId::from_batch(B)];
        assert_eq!(resolved("8f2c"), Err(Unresolved::Several(both)));
    }

    #[test]
    fn last_is_all_of_the_last_submission() {
        assert_eq!(resolved("last"), Ok(vec![B.into(), A.into()]));
        assert_eq!(resolved("last:3"), Ok(vec![format!("{B}:3"), format!("{A}:3")]));
        let reference: JobRef = "last".parse().expect("a reference");
        assert_eq!(reference.resolve(&[], [].into_iter()), Err(Unresolved::NoneSubmitted));
    }

    #[test]
    fn several_in_one_word() {
        let JobRefs(references) = format!("{A},last:2, 8f2c9").parse().expect("references");
        assert_eq!(references.iter().map(ToString::to_string).collect::<Vec<_>>(), [A, "last:2", "8f2c9"]);
        for bad in ["", "a,", ",a", "a,,b", "last:x"] {
            assert!(bad.parse::<JobRefs>().is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_known_job_is_found_by_each_beginning_that_is_its_own(
            ids in proptest::collection::vec("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}", 1..20),
            length in SHORTEST..36_usize,
        ) {
            let known: Vec<JobId> = ids.iter().map(JobId::from_batch).collect();
            for id in &ids {
                let beginning = &id[..length];
                let reference: JobRef = beginning.parse().expect("a reference");
                let mut fitting: Vec<&String> = ids.iter().filter(|other| other.starts_with(beginning)).collect();
                fitting.sort();
                fitting.dedup();
                match reference.resolve(&[], known.iter()) {
                    Ok(found) => {
                        proptest::prop_assert_eq!(fitting.len(), 1);
                        proptest::prop_assert_eq!(found, vec![JobId::from_batch(id)]);
                    }
                    Err(_) => proptest::prop_assert!(fitting.len() > 1),
                }
            }
        }
    }
}
