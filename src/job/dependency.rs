//! What a job waits for.

use std::str::FromStr;

use super::request::JobDependency;
use super::{Invalid, JobId, JobRef, Shape, limits};

/// How a job waits for another one (API `JobDependency`, UG `job_dependencies`). Batch knows only jobs that
/// have succeeded: when one fails, those that wait for it fail, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For all of it.
    Whole,
    /// Each child for the child of the same index.
    NToN,
}

/// One dependency; `J` is how the other job is named: as the user does it, or by its ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dependency<J> {
    /// On another job.
    On(J, Kind),
    /// Each child of an array on the one before it.
    Sequential,
}

/// What one `--depends-on` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyArg(pub Vec<Dependency<JobRef>>);

impl FromStr for DependencyArg {
    type Err = Invalid;

    /// Takes `ID,ID`, Slurm's `afterok:ID:ID,aftercorr:ID`, `n_to_n:ID`, `sequential`, and the form of
    /// `awsbsub`: `jobId=ID,type=N_TO_N;jobId=ID`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.contains("jobId=") || text.contains("type=") {
            return old_form(text).map(Self);
        }
        if text.contains('?') {
            return Err(Invalid::because("Batch waits for all dependencies; it has no `?` for any of them"));
        }
        let mut list = Vec::new();
        // After `afterok:1:2,3` a bare `3` is a job of its own.
        for word in text.split(',') {
            list.extend(one(word.trim())?);
        }
        Ok(Self(list))
    }
}

fn one(word: &str) -> Result<Vec<Dependency<JobRef>>, Invalid> {
    let (kind, rest) = match word.split_once(':') {
        Some((kind, rest)) => (kind, Some(rest)),
        None => (word, None),
    };
    let all = |kind: Kind| -> Result<Vec<Dependency<JobRef>>, Invalid> {
        jobs(rest.unwrap_or_default())?.into_iter().map(|job| Ok(Dependency::On(job, kind))).collect()
    };
    match (kind.to_ascii_lowercase().as_str(), rest) {
        ("sequential", None) => Ok(vec![Dependency::Sequential]),
        ("afterok", Some(_)) => all(Kind::Whole),
        ("n_to_n" | "aftercorr", Some(_)) => all(Kind::NToN),
        ("after" | "afterany" | "afternotok" | "afterburstbuffer" | "singleton" | "expand", _) => {
            Err(Invalid::because(format!(
                "Batch has no `{kind}`: a job there can only wait for others to succeed (`afterok`), and fails when one of them fails"
            )))
        }
        ("sequential", Some(_)) => {
            Err(Invalid::because("`sequential` is about the array itself: it takes no ID"))
        }
        ("afterok" | "n_to_n" | "aftercorr", None) => {
            Err(Invalid::because(format!("`{kind}:` takes a job's ID")))
        }
        _ => Ok(vec![Dependency::On(job(word)?, Kind::Whole)]),
    }
}

/// `ID:ID`; a child's index is digits behind a colon, too, and shorter than any ID.
fn jobs(text: &str) -> Result<Vec<JobRef>, Invalid> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(':') {
        let is_index = (1..=5).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit());
        match words.last_mut() {
            Some(last) if is_index && !last.contains(':') => {
                last.push(':');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words.iter().map(|word| job(word)).collect()
}

fn job(text: &str) -> Result<JobRef, Invalid> {
    if text.is_empty() {
        return Err(Invalid::because("a job's ID is missing"));
    }
    // Whether there is such a job is Batch's to say; what cannot be one is said here.
    text.parse()
}

/// `awsbsub`'s form: `jobId=ID,type=N_TO_N;…`.
fn old_form(text: &str) -> Result<Vec<Dependency<JobRef>>, Invalid> {
    text.split(';').filter(|part| !part.trim().is_empty()).map(old_part).collect()
}

fn old_part(part: &str) -> Result<Dependency<JobRef>, Invalid> {
    let (mut id, mut kind) = (None, None);
    for pair in part.split(',') {
        match pair.trim().split_once('=') {
            Some(("jobId", value)) => id = Some(job(value)?),
            Some(("type", value)) => kind = Some(value.to_ascii_uppercase()),
            _ => return Err(Invalid::because("awsbsub's form is jobId=ID,type=N_TO_N;jobId=ID")),
        }
    }
    match (id, kind.as_deref()) {
        (Some(id), None) => Ok(Dependency::On(id, Kind::Whole)),
        (Some(id), Some("N_TO_N")) => Ok(Dependency::On(id, Kind::NToN)),
        (None, Some("SEQUENTIAL")) => Ok(Dependency::Sequential),
        (Some(_), Some("SEQUENTIAL")) => {
            Err(Invalid::because("SEQUENTIAL is about the array itself: it takes no jobId"))
        }
        (None, Some("N_TO_N")) => Err(Invalid::because("N_TO_N takes a jobId")),
        (None, None) => Err(Invalid::because("neither a jobId nor a type is given")),
        (_, Some(other)) => {
            Err(Invalid::because(format!("there is no type `{other}`: N_TO_N and SEQUENTIAL are")))
        }
    }
}

/// What a job of this shape can wait for. `sequential` and `n_to_n` are about the children of one array job
/// (API `JobDependency`, `type`): of an array with a single task, which is no array job, the one asks for
/// nothing and the other for all of the other job.
///
/// # Errors
/// When it is no array, or one that becomes several array jobs, or waits for too many.
pub fn in_shape<J: PartialEq>(
    list: Vec<Dependency<J>>,
    shape: &Shape,
) -> Result<Vec<Dependency<J>>, Invalid> {
    let mut fitting: Vec<Dependency<J>> = Vec::new();
    for dependency in list {
        let (word, alone) = match dependency {
            Dependency::On(job, Kind::Whole) => {
                fitting.push(Dependency::On(job, Kind::Whole));
                continue;
            }
            Dependency::On(job, Kind::NToN) => ("n_to_n", Some(job)),
            Dependency::Sequential => ("sequential", None),
        };
        let Shape::Array(tasks) = shape else {
            return Err(Invalid::because(format!(
                "`{word}` is about an array's children, and this job is no array"
            )));
        };
        match (tasks.ids().count(), tasks.parts().len(), alone) {
            (1, _, Some(job)) => fitting.push(Dependency::On(job, Kind::Whole)),
            (1, _, None) => {}
            (_, 1, Some(job)) => fitting.push(Dependency::On(job, Kind::NToN)),
            (_, 1, None) => fitting.push(Dependency::Sequential),
            (tasks, jobs, _) => {
                return Err(Invalid::because(format!(
                    "`{word}` is about the children of one array job, and {tasks} tasks become {jobs} of them"
                )));
            }
        }
    }
    let doubles = (0..fitting.len()).filter(|n| fitting[..*n].contains(&fitting[*n])).count();
    few_enough(fitting.len() - doubles)?;
    Ok(fitting)
}

fn few_enough(count: usize) -> Result<(), Invalid> {
    match count {
        0..=limits::DEPENDENCIES => Ok(()),
        n => {
            Err(Invalid::because(format!("a job waits for at most {} others, not {n}", limits::DEPENDENCIES)))
        }
    }
}

/// What Batch is asked; doubles are left out.
///
/// # Errors
/// When there are more than Batch takes ([`limits::DEPENDENCIES`]).
pub fn dependencies(list: &[Dependency<JobId>]) -> Result<Vec<JobDependency>, Invalid> {
    let mut asked: Vec<JobDependency> = Vec::new();
    for dependency in list {
        let one = match dependency {
            Dependency::On(id, kind) => JobDependency {
                job_id: Some(id.to_string()),
                kind: (*kind == Kind::NToN).then_some("N_TO_N"),
            },
            Dependency::Sequential => JobDependency { job_id: None, kind: Some("SEQUENTIAL") },
        };
        if !asked.contains(&one) {
            asked.push(one);
        }
    }
    few_enough(asked.len())?;
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Tasks;
    use proptest::prelude::*;

    fn on(id: &str, kind: Kind) -> Dependency<JobRef> {
        Dependency::On(id.parse().expect("a job"), kind)
    }

    #[test]
    fn every_form() {
        let whole = |id| on(id, Kind::Whole);
        for (text, expected) in [
            ("8f2c", vec![whole("8f2c")]),
            ("8f2c:3,9d", vec![whole("8f2c:3"), whole("9d")]),
            ("afterok:8f2c:9d:4", vec![whole("8f2c"), whole("9d:4")]),
            ("afterok:8f2c,aftercorr:9d", vec![whole("8f2c"), on("9d", Kind::NToN)]),
            ("n_to_n:last", vec![on("last", Kind::NToN)]),
            ("sequential", vec![Dependency::Sequential]),
            ("jobId=8f2c,type=N_TO_N;jobId=9d", vec![on("8f2c", Kind::NToN), whole("9d")]),
            ("type=SEQUENTIAL", vec![Dependency::Sequential]),
        ] {
            assert_eq!(text.parse(), Ok(DependencyArg(expected)), "{text}");
        }
        for bad in [
            "",
            ",",
            "afterok",
            "afterok:",
            "afterany:1",
            "afternotok:x",
            "singleton",
            "a b",
            "a?b",
            "jobId=",
            "type=SOME",
            "jobId=x,type=SEQUENTIAL",
            "type=N_TO_N",
            "jobId=x,kind=y",
            "sequential:1",
        ] {
            assert!(bad.parse::<DependencyArg>().is_err(), "{bad}");
        }
    }

    #[test]
    fn children_wait_within_one_array_job() -> Result<(), Invalid> {
        let array = |ids: &str| ids.parse().map(|ids| Shape::Array(Tasks::with_ids(ids)));
        let list = || vec![on("8f2c", Kind::NToN), Dependency::Sequential, on("9d", Kind::Whole)];
        assert_eq!(in_shape(list(), &array("1-5")?), Ok(list()));
        let of_one = vec![on("8f2c", Kind::Whole), on("9d", Kind::Whole)];
        assert_eq!(in_shape(list(), &array("5")?), Ok(of_one));
        for bad in [Shape::Single, Shape::Nodes(2), array("0-10000")?] {
            assert!(in_shape(list(), &bad).is_err(), "{bad:?}");
            assert!(in_shape(vec![on("9d", Kind::Whole)], &bad).is_ok());
        }
        let many = |n: usize| (0..n).map(|n| on(&format!("job-{n}"), Kind::Whole)).collect::<Vec<_>>();
        assert!(in_shape([many(20), many(20)].concat(), &Shape::Single).is_ok());
        assert!(in_shape(many(21), &Shape::Single).is_err());
        Ok(())
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[a-z0-9:,;=?_ ]{0,40}|.{0,20}") {
            let _ = text.parse::<DependencyArg>();
        }
    }
}
