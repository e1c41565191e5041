//! The dependencies of a job.

use std::fmt;
use std::str::FromStr;

use super::request::JobDependency;
use super::{Invalid, JobId, JobRef, Shape, Status, limits};

/// How a job depends on another one (API `JobDependency`, UG `job_dependencies`). Batch's
/// dependencies are fulfilled by success only: when a job fails, those that depend on it fail, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DependencyKind {
    /// The job depends on the whole other job.
    Whole,
    /// Each child depends on the child of the same index.
    NToN,
}

/// One dependency. `J` is the name of the other job, as the user gives it, or its ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dependency<J> {
    /// A dependency on another job.
    On(J, DependencyKind),
    /// Each child of an array depends on the one before it.
    Sequential,
}

/// The jobs of a dependency, as the user names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// One job, or the jobs of the last submission.
    Job(JobRef),
    /// All jobs of the user with such a name.
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

/// A pattern of job names. A `*` stands for any characters, as in LSF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    /// Whether a name matches the pattern.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        // For the text between two stars, the earliest match is as good as any other.
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }

    /// The beginning of all matching names, and whether more may follow.
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

/// A job that a name pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedJob {
    /// Its ID.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: Status,
    /// When the job ended, in milliseconds since the epoch.
    pub stopped_at: Option<i64>,
}

/// How long a name still means a job that has ended, in milliseconds, as in LSF (`CLEAN_PERIOD` of
/// lsb.params: "Default: 3600 (1 hour)").
pub const NAME_LASTS: i64 = 60 * 60 * 1000;

/// Why a name gives no jobs to depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoneToAwait {
    /// No job has the name, or all ended long ago. The last of those.
    Nothing(Option<NamedJob>),
    /// This job has failed, so jobs that depend on it would fail, too.
    Failed(NamedJob),
}

/// The jobs to depend on, of all that have the name: those that have not ended. Those that have
/// succeeded within the last hour are done.
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

/// How to depend on more jobs than Batch allows: a command line that submits, for each
/// [`limits::DEPENDENCIES`] of them, a job that only waits, and the new job after those. `None`:
/// even these are too many.
pub fn joining(ids: &[String]) -> Option<String> {
    let most = limits::DEPENDENCIES;
    if ids.len() <= most || ids.len() > most * most {
        return None;
    }
    // The rest needs no job of its own if there are dependencies left for it.
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

/// The value of one `--depends-on`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyArg(pub Vec<Dependency<Awaited>>);

impl FromStr for DependencyArg {
    type Err = Invalid;

    /// Parses `ID,ID`, Slurm's `afterok:ID:ID,aftercorr:ID`, `n_to_n:ID`, `name:NAME`,
    /// `sequential`, and the form of `awsbsub`: `jobId=ID,type=N_TO_N;jobId=ID`. Blanks separate
    /// words as commas do. An empty text has no dependencies.
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
        // After `afterok:1:2,3`, the `3` is a separate job.
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
    let all = |kind: DependencyKind| -> Result<Vec<Dependency<Awaited>>, Invalid> {
        jobs(rest.unwrap_or_default())?.into_iter().map(|job| Ok(Dependency::On(job, kind))).collect()
    };
    match (kind.to_ascii_lowercase().as_str(), rest) {
        ("sequential", None) => Ok(vec![Dependency::Sequential]),
        ("afterok", Some(_)) => all(DependencyKind::Whole),
        ("n_to_n" | "aftercorr", Some(_)) => all(DependencyKind::NToN),
        ("name", Some(name)) => {
            Ok(vec![Dependency::On(Awaited::Named(name.parse()?), DependencyKind::Whole)])
        }
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
        _ => Ok(vec![Dependency::On(job(word)?, DependencyKind::Whole)]),
    }
}

/// Parses `ID:ID`. A child's index also consists of digits after a colon, and is shorter than any
/// ID.
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
    // Batch decides whether the job exists. An impossible name is refused here.
    text.parse().map(Awaited::Job)
}

/// Parses the form of `awsbsub`: `jobId=ID,type=N_TO_N;…`.
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
        (Some(id), None) => Ok(Dependency::On(id, DependencyKind::Whole)),
        (Some(id), Some("N_TO_N")) => Ok(Dependency::On(id, DependencyKind::NToN)),
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

/// Checks and adapts the dependencies for a job of this shape. `sequential` and `n_to_n` concern
/// the children of one array job (API `JobDependency`, `type`). An array with a single task is not
/// an array job: there, `sequential` has no effect, and `n_to_n` means the whole other job.
///
/// # Errors
/// When the job is not an array, or is divided into several array jobs.
pub fn validate_for<J: PartialEq>(
    list: Vec<Dependency<J>>,
    shape: &Shape,
) -> Result<Vec<Dependency<J>>, Invalid> {
    let mut fitting: Vec<Dependency<J>> = Vec::new();
    for dependency in list {
        let (word, alone) = match dependency {
            Dependency::On(job, DependencyKind::Whole) => {
                fitting.push(Dependency::On(job, DependencyKind::Whole));
                continue;
            }
            Dependency::On(job, DependencyKind::NToN) => ("n_to_n", Some(job)),
            Dependency::Sequential => ("sequential", None),
        };
        let Shape::Array(tasks) = shape else {
            return Err(Invalid::because(format!(
                "`{word}` is only for array jobs, and this job is not an array"
            )));
        };
        match (tasks.ids().count(), tasks.parts().len(), alone) {
            (1, _, Some(job)) => fitting.push(Dependency::On(job, DependencyKind::Whole)),
            (1, _, None) => {}
            (_, 1, Some(job)) => fitting.push(Dependency::On(job, DependencyKind::NToN)),
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

/// The dependencies of the request, without duplicates.
///
/// # Errors
/// When there are more than Batch allows ([`limits::DEPENDENCIES`]).
pub fn dependencies(list: &[Dependency<JobId>]) -> Result<Vec<JobDependency>, Invalid> {
    let mut asked: Vec<JobDependency> = Vec::new();
    for dependency in list {
        let one = match dependency {
            Dependency::On(id, kind) => JobDependency {
                job_id: Some(id.to_string()),
                kind: (*kind == DependencyKind::NToN).then_some("N_TO_N"),
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

    fn on(id: &str, kind: DependencyKind) -> Dependency<Awaited> {
        Dependency::On(Awaited::Job(id.parse().expect("a job")), kind)
    }

    fn named(name: &str, kind: DependencyKind) -> Dependency<Awaited> {
        Dependency::On(Awaited::Named(name.parse().expect("a name")), kind)
    }

    #[test]
    fn every_form() {
        let whole = |id| on(id, DependencyKind::Whole);
        for (text, expected) in [
            ("8f2c", vec![whole("8f2c")]),
            ("8f2c:3,9d", vec![whole("8f2c:3"), whole("9d")]),
            ("afterok:8f2c:9d:4", vec![whole("8f2c"), whole("9d:4")]),
            ("afterok:8f2c,aftercorr:9d", vec![whole("8f2c"), on("9d", DependencyKind::NToN)]),
            ("n_to_n:last", vec![on("last", DependencyKind::NToN)]),
            ("sequential", vec![Dependency::Sequential]),
            ("jobId=8f2c,type=N_TO_N;jobId=9d", vec![on("8f2c", DependencyKind::NToN), whole("9d")]),
            ("type=SEQUENTIAL", vec![Dependency::Sequential]),
            ("", vec![]),
            (" \t", vec![]),
            ("8f2c 9d", vec![whole("8f2c"), whole("9d")]),
            (" 8f2c , 9d\tafterok:1:x ", vec![whole("8f2c"), whole("9d"), whole("1"), whole("x")]),
            ("name:align", vec![named("align", DependencyKind::Whole)]),
            ("name:align*,8f2c", vec![named("align*", DependencyKind::Whole), whole("8f2c")]),
            ("afterok:name:a-1", vec![named("a-1", DependencyKind::Whole)]),
            ("n_to_n:name:a_1", vec![named("a_1", DependencyKind::NToN)]),
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
        let list = || {
            vec![on("8f2c", DependencyKind::NToN), Dependency::Sequential, on("9d", DependencyKind::Whole)]
        };
        assert_eq!(validate_for(list(), &array("1-5")?), Ok(list()));
        let of_one = vec![on("8f2c", DependencyKind::Whole), on("9d", DependencyKind::Whole)];
        assert_eq!(validate_for(list(), &array("5")?), Ok(of_one));
        for bad in [Shape::Single, Shape::Nodes(2), array("0-10000")?] {
            assert!(validate_for(list(), &bad).is_err(), "{bad:?}");
            assert!(validate_for(vec![on("9d", DependencyKind::Whole)], &bad).is_ok());
        }
        let many =
            |n: usize| (0..n).map(|n| on(&format!("job-{n}"), DependencyKind::Whole)).collect::<Vec<_>>();
        assert_eq!(validate_for([many(20), many(20)].concat(), &Shape::Single), Ok(many(20)));
        let ids = |n: usize| {
            let one = |n: usize| Dependency::On(JobId::from_batch(format!("job-{n}")), DependencyKind::Whole);
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
