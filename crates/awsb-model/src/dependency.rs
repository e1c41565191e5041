//! What a job waits for.

use std::fmt;
use std::str::FromStr;

use super::request::JobDependency;
use super::{Invalid, JobId, JobRef, Shape, Status, limits};

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

/// Jobs that are waited for, as the user names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// One job, or the jobs of the last submission.
    Job(JobRef),
    /// All of the user's jobs of such a name.
    Named(NamePattern),
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(job) => job.fmt(f),
            Self::Named(name) => write!(f, "name:{name}"),
        }
    }
}

/// A job's name; a `*` in it stands for any letters, as LSF has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    /// Whether a name is such a name.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        // The earliest place is as good as any other for what is between two stars.
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }

    /// What all such names begin with, and whether more may follow.
    pub fn beginning(&self) -> (&str, bool) {
        self.0.split_once('*').map_or((self.0.as_str(), false), |(beginning, _)| (beginning, true))
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NamePattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*');
        if text.is_empty() || !text.chars().all(allowed) {
            return Err(Invalid::because(
                "a job's name has letters, digits, '-' and '_'; `name:align` or `name:align*` waits for jobs by name",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// What is known of a job that a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedJob {
    /// Its ID.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: Status,
    /// When it ended, in milliseconds since the epoch.
    pub stopped_at: Option<i64>,
}

/// For so long, in milliseconds, a job that has ended is still meant by its name, as LSF has it (`CLEAN_PERIOD` of
/// lsb.params: "Default: 3600 (1 hour)").
pub const NAME_LASTS: i64 = 60 * 60 * 1000;

/// Why a name means no jobs that could be waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoneToAwait {
    /// There is none, or they ended long ago: the last of those.
    Nothing(Option<NamedJob>),
    /// This one has failed, so that whoever waits for it fails, too.
    Failed(NamedJob),
}

/// The jobs to wait for, of all that have the name: those that have not ended. Those that have succeeded within the last
/// hour are done.
///
/// # Errors
/// When there is none, or one has failed.
pub fn awaited(mut jobs: Vec<NamedJob>, now: i64) -> Result<Vec<JobId>, NoneToAwait> {
    jobs.sort_by_key(|job| job.stopped_at);
    let is_meant = |job: &NamedJob| {
        !job.status.has_ended() || job.stopped_at.is_none_or(|at| now.saturating_sub(at) <= NAME_LASTS)
    };
    let (meant, others): (Vec<NamedJob>, Vec<NamedJob>) = jobs.into_iter().partition(is_meant);
    if let Some(failed) = meant.iter().find(|job| job.status == Status::Failed) {
        return Err(NoneToAwait::Failed(failed.clone()));
    }
    if meant.is_empty() {
        return Err(NoneToAwait::Nothing(others.into_iter().next_back()));
    }
    Ok(meant.into_iter().filter(|job| !job.status.has_ended()).map(|job| job.id).collect())
}

/// How the jobs that are too many become few enough: the command line that submits a job for each [`limits::DEPENDENCIES`]
/// of them which does nothing but wait, and the new job behind those. `None` where even these are too many.
pub fn joining(ids: &[String]) -> Option<String> {
    let most = limits::DEPENDENCIES;
    if ids.len() <= most || ids.len() > most * most {
        return None;
    }
    // What is left over needs no job of its own, if there is room for it.
    let whole = ids.len() / most;
    let (joined, rest) = ids.split_at(whole * most);
    let join = |ids: &[String]| format!("$(bsub --parsable -J join -d {} true)", ids.join(","));
    let mut words: Vec<String> = joined.chunks(most).map(join).collect();
    match rest {
        [] => {}
        rest if words.len() + rest.len() <= most => words.extend(rest.iter().cloned()),
        rest => words.push(join(rest)),
    }
    Some(format!("bsub -d \"{}\" …", words.join(",")))
}

/// What one `--depends-on` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyArg(pub Vec<Dependency<Awaited>>);

impl FromStr for DependencyArg {
    type Err = Invalid;

    /// Takes `ID,ID`, Slurm's `afterok:ID:ID,aftercorr:ID`, `n_to_n:ID`, `name:NAME`, `sequential`, and the form of
    /// `awsbsub`: `jobId=ID,type=N_TO_N;jobId=ID`. Blanks are between words as commas are; an empty text is nothing.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        if text.contains("jobId=") || text.contains("type=") {
            return old_form(text).map(Self);
        }
        if text.contains('?') {
            return Err(Invalid::because(
                "Batch always waits for all dependencies; there is no `?` for any \
                                         of them",
            ));
        }
        let mut list = Vec::new();
        // After `afterok:1:2,3` a bare `3` is a job of its own.
        for part in text.split(',') {
            if part.trim().is_empty() {
                return Err(Invalid::because(MISSING));
            }
            for word in part.split_whitespace() {
                list.extend(one(word)?);
            }
        }
        Ok(Self(list))
    }
}

const MISSING: &str = "a job's ID is missing";

fn one(word: &str) -> Result<Vec<Dependency<Awaited>>, Invalid> {
    let (kind, rest) = match word.split_once(':') {
        Some((kind, rest)) => (kind, Some(rest)),
        None => (word, None),
    };
    let all = |kind: Kind| -> Result<Vec<Dependency<Awaited>>, Invalid> {
        jobs(rest.unwrap_or_default())?.into_iter().map(|job| Ok(Dependency::On(job, kind))).collect()
    };
    match (kind.to_ascii_lowercase().as_str(), rest) {
        ("sequential", None) => Ok(vec![Dependency::Sequential]),
        ("afterok", Some(_)) => all(Kind::Whole),
        ("n_to_n" | "aftercorr", Some(_)) => all(Kind::NToN),
        ("name", Some(name)) => Ok(vec![Dependency::On(Awaited::Named(name.parse()?), Kind::Whole)]),
        ("after" | "afterany" | "afternotok" | "afterburstbuffer" | "singleton" | "expand", _) => {
            Err(Invalid::because(format!(
                "Batch has no `{kind}`: a job can only wait for others to succeed (`afterok`), and fails \
                 when one of them fails"
            )))
        }
        ("sequential", Some(_)) => {
            Err(Invalid::because("`sequential` is about the array itself and takes no ID"))
        }
        ("name", None) => Err(Invalid::because("`name:` takes a job's name")),
        ("afterok" | "n_to_n" | "aftercorr", None) => {
            Err(Invalid::because(format!("`{kind}:` takes a job's ID")))
        }
        _ => Ok(vec![Dependency::On(job(word)?, Kind::Whole)]),
    }
}

/// `ID:ID`; a child's index is digits behind a colon, too, and shorter than any ID.
fn jobs(text: &str) -> Result<Vec<Awaited>, Invalid> {
    if let Some(name) = text.strip_prefix("name:") {
        return Ok(vec![Awaited::Named(name.parse()?)]);
    }
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

fn job(text: &str) -> Result<Awaited, Invalid> {
    if text.is_empty() {
        return Err(Invalid::because(MISSING));
    }
    // Whether there is such a job is Batch's to say; what cannot be one is said here.
    text.parse().map(Awaited::Job)
}

/// `awsbsub`'s form: `jobId=ID,type=N_TO_N;…`.
fn old_form(text: &str) -> Result<Vec<Dependency<Awaited>>, Invalid> {
    text.split(';').filter(|part| !part.trim().is_empty()).map(old_part).collect()
}

fn old_part(part: &str) -> Result<Dependency<Awaited>, Invalid> {
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
            Err(Invalid::because("SEQUENTIAL is about the array itself and takes no jobId"))
        }
        (None, Some("N_TO_N")) => Err(Invalid::because("N_TO_N takes a jobId")),
        (None, None) => Err(Invalid::because("neither a jobId nor a type is given")),
        (_, Some(other)) => {
            Err(Invalid::because(format!("unknown type `{other}`: it is N_TO_N or SEQUENTIAL")))
        }
    }
}

/// What a job of this shape can wait for. `sequential` and `n_to_n` are about the children of one array job
/// (API `JobDependency`, `type`): of an array with a single task, which is no array job, the one asks for
/// nothing and the other for all of the other job.
///
/// # Errors
/// When it is no array, or one that becomes several array jobs.
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
                "`{word}` is only for array jobs, and this job is not an array"
            )));
        };
        match (tasks.ids().count(), tasks.parts().len(), alone) {
            (1, _, Some(job)) => fitting.push(Dependency::On(job, Kind::Whole)),
            (1, _, None) => {}
            (_, 1, Some(job)) => fitting.push(Dependency::On(job, Kind::NToN)),
            (_, 1, None) => fitting.push(Dependency::Sequential),
            (tasks, jobs, _) => {
                return Err(Invalid::because(format!(
                    "`{word}` is only for one array job, and {tasks} tasks need {jobs} of them"
                )));
            }
        }
    }
    let mut once: Vec<Dependency<J>> = Vec::new();
    for dependency in fitting {
        if !once.contains(&dependency) {
            once.push(dependency);
        }
    }
    Ok(once)
}

fn few_enough(count: usize) -> Result<(), Invalid> {
    match count {
        0..=limits::DEPENDENCIES => Ok(()),
        n => Err(Invalid::because(format!(
            "a job can wait for at most {} other jobs, not {n}",
            limits::DEPENDENCIES
        ))),
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
    use crate::Tasks;
    use proptest::prelude::*;

    fn on(id: &str, kind: Kind) -> Dependency<Awaited> {
        Dependency::On(Awaited::Job(id.parse().expect("a job")), kind)
    }

    fn named(name: &str, kind: Kind) -> Dependency<Awaited> {
        Dependency::On(Awaited::Named(name.parse().expect("a name")), kind)
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
            ("", vec![]),
            (" \t", vec![]),
            ("8f2c 9d", vec![whole("8f2c"), whole("9d")]),
            (" 8f2c , 9d\tafterok:1:x ", vec![whole("8f2c"), whole("9d"), whole("1"), whole("x")]),
            ("name:align", vec![named("align", Kind::Whole)]),
            ("name:align*,8f2c", vec![named("align*", Kind::Whole), whole("8f2c")]),
            ("afterok:name:a-1", vec![named("a-1", Kind::Whole)]),
            ("n_to_n:name:a_1", vec![named("a_1", Kind::NToN)]),
        ] {
            assert_eq!(text.parse(), Ok(DependencyArg(expected)), "{text}");
        }
        for bad in [
            "name",
            "name:",
            "name:a.b",
            "name:a:b",
            "8f2c,,9d",
            ",",
            "afterok",
            "afterok:",
            "afterany:1",
            "afternotok:x",
            "singleton",
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
        assert_eq!(in_shape([many(20), many(20)].concat(), &Shape::Single), Ok(many(20)));
        let ids = |n: usize| {
            let one = |n: usize| Dependency::On(JobId::from_batch(format!("job-{n}")), Kind::Whole);
            (0..n).map(one).collect::<Vec<_>>()
        };
        assert!(dependencies(&ids(20)).is_ok() && dependencies(&ids(21)).is_err());
        Ok(())
    }

    #[test]
    fn names_as_lsf_has_them() {
        for (pattern, name, is) in [
            ("align", "align", true),
            ("align", "align2", false),
            ("align", "Align", false),
            ("align*", "align", true),
            ("align*", "align-7", true),
            ("*sort", "presort", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a*b*b", "a-b", false),
            ("*", "x", true),
        ] {
            let parsed: NamePattern = pattern.parse().expect("a name");
            assert_eq!(parsed.matches(name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn the_jobs_of_a_name() {
        let now = 10 * NAME_LASTS;
        let job = |id: &str, status: Status, minutes_ago: Option<i64>| NamedJob {
            id: JobId::from_batch(id),
            name: "n".into(),
            status,
            stopped_at: minutes_ago.map(|minutes| now - minutes * 60_000),
        };
        let running = job("r", Status::Running, None);
        let pending = job("p", Status::Pending, None);
        let done = job("d", Status::Succeeded, Some(30));
        let long_done = job("l", Status::Succeeded, Some(180));
        let failed = job("f", Status::Failed, Some(54));
        let long_failed = job("o", Status::Failed, Some(66));
        let ids = |ids: &[&str]| Ok(ids.iter().map(|id| JobId::from_batch(*id)).collect::<Vec<_>>());
        let of = |jobs: &[&NamedJob]| awaited(jobs.iter().map(|job| (*job).clone()).collect(), now);
        assert_eq!(of(&[&running, &pending, &done, &long_failed]), ids(&["r", "p"]));
        assert_eq!(of(&[&done]), ids(&[]));
        assert_eq!(of(&[&running, &failed]), Err(NoneToAwait::Failed(failed.clone())));
        assert_eq!(of(&[]), Err(NoneToAwait::Nothing(None)));
        assert_eq!(of(&[&long_failed, &long_done]), Err(NoneToAwait::Nothing(Some(long_failed))));
    }

    #[test]
    fn many_are_joined_by_a_line() {
        let ids = |n: usize| (0..n).map(|n| format!("id{n}")).collect::<Vec<_>>();
        let depends = |line: &str| {
            let inner = line.split('"').nth(1).expect("a list").to_owned();
            let outer = inner.split("),").flat_map(|part| match part.starts_with('$') {
                true => vec![part.to_owned()],
                false => part.split(',').map(str::to_owned).collect(),
            });
            outer.count()
        };
        assert_eq!(joining(&ids(20)), None);
        assert_eq!(joining(&ids(401)), None);
        for n in [21, 39, 40, 41, 200, 389, 390, 399, 400] {
            let line = joining(&ids(n)).expect("a line");
            assert!(depends(&line) <= 20, "{n}: {line}");
            assert!(
                ids(n).iter().all(|id| line.matches(&format!("{id},")).count()
                    + line.matches(&format!("{id} ")).count()
                    + line.matches(&format!("{id}\"")).count()
                    == 1),
                "{n}: {line}"
            );
        }
        assert!(joining(&ids(21)).is_some_and(|line| line.ends_with(" true),id20\" …")));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[a-z0-9:,;=?_ ]{0,40}|.{0,20}") {
            let _ = text.parse::<DependencyArg>();
        }
    }
}
