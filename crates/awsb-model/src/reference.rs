//! The ways to name jobs.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use super::id::{UUID, begins_uuid};
use super::{Invalid, JobId, JobNumber};

/// The number of digits of an abbreviated ID at least. Fewer are typed by mistake too easily.
const SHORTEST: usize = 4;

/// A job as a user names it: by its ID, with or without the index of a child or node; by its ARN;
/// by the beginning of its ID; by its [number](JobNumber); or as `last`, the latest submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRef {
    base: Base,
    /// `:INDEX` or `#NODE`, or empty.
    part: String,
    home: Option<Home>,
}

/// The place of a job, from its ARN (`arn:aws:batch:REGION:ACCOUNT:job/ID`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The region.
    pub region: String,
    /// The account's number.
    pub account: String,
}

impl Home {
    /// The place of a resource of Batch. `None`: the text is not such an ARN.
    pub fn of_arn(arn: &str) -> Option<Self> {
        let mut parts = arn.strip_prefix("arn:")?.split(':').skip(2);
        let (region, account) = (parts.next()?, parts.next()?);
        let is_there = !region.is_empty() && !account.is_empty();
        is_there.then(|| Self { region: region.to_owned(), account: account.to_owned() })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Base {
    Last,
    Exact(String),
    Beginning(String),
    Number(JobNumber),
}

impl JobRef {
    /// Resolves the name. `last` are the jobs of the latest submission, `known` are all jobs in the
    /// local history, and `own` is the job that this process belongs to. It counts if none of the
    /// known jobs matches.
    ///
    /// # Errors
    /// When nothing was submitted yet, or several known jobs match.
    pub fn resolve<'k>(
        &self,
        last: &[JobId],
        known: impl Iterator<Item = &'k JobId>,
        own: Option<&JobId>,
    ) -> Result<Vec<JobId>, Unresolved> {
        let part = |id: &str| JobId(format!("{id}{}", self.part));
        match &self.base {
            Base::Last if last.is_empty() => Err(Unresolved::NoneSubmitted),
            Base::Last => Ok(last.iter().map(|id| part(id.as_str())).collect()),
            Base::Exact(id) => Ok(vec![part(id)]),
            Base::Beginning(_) | Base::Number(_) => {
                let beginning = self.beginning().unwrap_or_default();
                let fits = |id: &&JobId| id.as_str().starts_with(&beginning);
                let mut fitting: Vec<&JobId> = known.filter(fits).collect();
                fitting.sort();
                fitting.dedup();
                match (fitting.as_slice(), own.filter(fits)) {
                    ([], Some(own)) => Ok(vec![part(own.as_str())]),
                    // The job was not submitted here, so Batch is asked.
                    ([], None) => Ok(vec![JobId(self.to_string())]),
                    ([id], _) => Ok(vec![part(id.as_str())]),
                    (several, _) => {
                        Err(Unresolved::Several(several.iter().map(|id| (*id).clone()).collect()))
                    }
                }
            }
        }
    }

    /// The common part of the IDs that this name may mean, for messages.
    pub fn in_common(&self) -> String {
        match &self.base {
            Base::Number(_) => format!("have the number {self}"),
            Base::Last | Base::Exact(_) | Base::Beginning(_) => format!("begin with {self}"),
        }
    }

    /// The place of the job, if its ARN was given.
    pub fn home(&self) -> Option<&Home> {
        self.home.as_ref()
    }

    /// The beginning of the job's ID, in lower case as Batch writes it, if only that was given.
    pub fn beginning(&self) -> Option<String> {
        match &self.base {
            Base::Beginning(text) => Some(text.to_ascii_lowercase()),
            Base::Number(number) => Some(number.beginning()),
            Base::Last | Base::Exact(_) => None,
        }
    }

    /// The job with the ID `id`, or the same child or node of it as in this name.
    pub fn of(&self, id: &JobId) -> JobId {
        JobId(format!("{}{}", id.as_str(), self.part))
    }

    /// Whether the complete ID was given, or the ARN.
    pub fn is_whole(&self) -> bool {
        self.home.is_some()
            || matches!(&self.base, Base::Exact(id) if id.len() == UUID.len() && begins_uuid(id))
    }

    /// Whether the name is `last`, or a child or node of it.
    pub fn is_last(&self) -> bool {
        self.base == Base::Last
    }

    /// Whether the local history is needed to resolve the name.
    pub fn needs_known(&self) -> bool {
        !matches!(self.base, Base::Exact(_))
    }
}

/// Why a name cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unresolved {
    /// The name is `last`, and nothing was submitted from here.
    NoneSubmitted,
    /// The name is the beginning of all these IDs.
    Several(Vec<JobId>),
}

impl FromStr for JobRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let JobId(id) = text.parse()?;
        let (base, part) = id.split_at(id.find([':', '#']).unwrap_or(id.len()));
        let number = JobNumber::read(base).filter(|_| !text.starts_with("arn:"));
        if let Some(number) = number {
            let part = match number.index() {
                Some(_) if !part.is_empty() => {
                    return Err(Invalid::because(format!(
                        "{number} is the number of a child of an array, which has no parts itself"
                    )));
                }
                Some(index) => format!(":{index}"),
                None => part.to_owned(),
            };
            return Ok(Self { base: Base::Number(number), part, home: None });
        }
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
        Ok(Self { base, part: part.to_owned(), home: Home::of_arn(text) })
    }
}

impl fmt::Display for JobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.base {
            Base::Last => write!(f, "last{}", self.part),
            Base::Exact(id) | Base::Beginning(id) => write!(f, "{id}{}", self.part),
            // The number of a child includes its index.
            Base::Number(number) if number.index().is_some() => write!(f, "{number}"),
            Base::Number(number) => write!(f, "{number}{}", self.part),
        }
    }
}

/// One word with the names of jobs, separated by commas, as `bsub --parsable` prints them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRefs(pub Vec<JobRef>);

impl FromStr for JobRefs {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.split(',').map(|word| word.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

/// One word of a command line with the names of jobs. A malformed name is reported after the other
/// jobs have been handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedJobRefs(pub Vec<Result<JobRef, Malformed>>);

/// A malformed name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a job: {why}")]
pub struct Malformed {
    text: String,
    why: Invalid,
}

impl ParsedJobRefs {
    /// Whether it is the word for standard input.
    pub fn is_stdin(&self) -> bool {
        matches!(self.0.as_slice(), [Err(malformed)] if malformed.text == "-")
    }

    /// The words of a text, which are separated by blanks, line breaks and commas.
    pub fn in_text(text: &str) -> impl Iterator<Item = Self> {
        let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        words.map(|word| Self(vec![one(word)]))
    }
}

fn one(word: &str) -> Result<JobRef, Malformed> {
    // A dash means the standard input, and only as a separate word.
    let parsed = if word == "-" { "".parse() } else { word.parse() };
    parsed.map_err(|why| Malformed { text: word.to_owned(), why })
}

impl FromStr for ParsedJobRefs {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.split(',').map(|word| one(word.trim())).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "8f2c0d3e-1111-4222-8333-444455556666";
    const B: &str = "8f2c9999-1111-4222-8333-444455556666";

    fn resolved(text: &str) -> Result<Vec<String>, Unresolved> {
        let known: Vec<JobId> = [A, B, A].map(JobId::from_batch).into();
        let reference: JobRef = text.parse().expect("a reference");
        let ids = reference.resolve(&known[1..], known.iter(), None)?;
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
            // An ARN contains the complete ID.
            ("arn:aws:batch:eu-west-1:1:job/8f2c:3", "8f2c:3".into()),
            ("arn:aws:batch:eu-west-1:1:job/last", "last".into()),
        ] {
            assert_eq!(resolved(text), Ok(vec![id]), "{text}");
        }
        let both = vec![JobId::from_batch(A), JobId::from_batch(B)];
        assert_eq!(resolved("8f2c"), Err(Unresolved::Several(both)));
    }

    #[test]
    fn a_number_names_a_known_job_or_the_own_one_or_is_taken_for_an_id() {
        let own = JobId::from_batch("00112233-4411-4222-8333-444455556666");
        let a = JobNumber::of(&JobId::from_batch(A)).expect("a number").to_string();
        let child = JobNumber::of(&JobId::from_batch(format!("{B}:7"))).expect("a number").to_string();
        let mine = JobNumber::of(&own).expect("a number").to_string();
        let twin = JobId::from_batch("8f2c0d3e-1199-4222-8333-444455556666");
        let known: Vec<JobId> = [A, B].map(JobId::from_batch).into();
        let resolved = |text: &str, known: &[JobId]| {
            let reference: JobRef = text.parse().expect("a reference");
            assert_eq!(reference.to_string(), text);
            reference.resolve(&[], known.iter(), Some(&own))
        };
        for (text, id) in [
            (a.as_str(), A.to_owned()),
            (&format!("{a}:3"), format!("{A}:3")),
            (&format!("{a}#0"), format!("{A}#0")),
            (&child, format!("{B}:7")),
            (&mine, own.to_string()),
            ("1099511627776", "1099511627776".into()),
            ("2199023255552", "2199023255552".into()),
        ] {
            assert_eq!(resolved(text, &known), Ok(vec![JobId(id)]), "{text}");
        }
        let both = vec![known[0].clone(), twin.clone()];
        assert_eq!(resolved(&a, &[known[0].clone(), twin]), Err(Unresolved::Several(both)));
        assert!(format!("{child}:1").parse::<JobRef>().is_err());
    }

    #[test]
    fn last_is_all_of_the_last_submission() {
        assert_eq!(resolved("last"), Ok(vec![B.into(), A.into()]));
        assert_eq!(resolved("last:3"), Ok(vec![format!("{B}:3"), format!("{A}:3")]));
        let reference: JobRef = "last".parse().expect("a reference");
        assert_eq!(reference.resolve(&[], [].into_iter(), None), Err(Unresolved::NoneSubmitted));
    }

    #[test]
    fn several_in_one_word() {
        let JobRefs(references) = format!("{A},last:2, 8f2c9").parse().expect("references");
        assert_eq!(references.iter().map(ToString::to_string).collect::<Vec<_>>(), [A, "last:2", "8f2c9"]);
        for bad in ["", "a,", ",a", "a,,b", "last:x"] {
            assert!(bad.parse::<JobRefs>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_names_no_job_does_not_hide_what_does() {
        let Ok(ParsedJobRefs(words)) = format!("{A},x y, last").parse();
        let results: Vec<Result<String, String>> = words
            .into_iter()
            .map(|word| word.map(|job| job.to_string()).map_err(|malformed| malformed.to_string()))
            .collect();
        let [Ok(first), Err(second), Ok(third)] = results.as_slice() else { panic!("{results:?}") };
        assert_eq!((first.as_str(), third.as_str()), (A, "last"));
        assert!(second.starts_with("'x y' is not a job: give its ID"), "{second}");
        let named: Vec<ParsedJobRefs> =
            ParsedJobRefs::in_text(&format!("  {A}\n\n9d00:3,8f2c\t-\r\n")).collect();
        assert_eq!(
            named.iter().map(|n| n.0.iter().filter(|w| w.is_ok()).count()).collect::<Vec<_>>(),
            [1, 1, 1, 0]
        );
        assert_eq!(
            named.iter().map(ParsedJobRefs::is_stdin).collect::<Vec<_>>(),
            [false, false, false, true]
        );
    }

    #[test]
    fn an_arn_says_where_the_job_is() {
        let home = |text: &str| text.parse::<JobRef>().expect("a reference").home().cloned();
        let expected = Home { region: "eu-west-1".into(), account: "111122223333".into() };
        assert_eq!(home("arn:aws:batch:eu-west-1:111122223333:job/8f2c:3"), Some(expected));
        assert_eq!(home("arn:aws:batch:::job/8f2c"), None);
        assert_eq!(home(A), None);
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
                match reference.resolve(&[], known.iter(), None) {
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
