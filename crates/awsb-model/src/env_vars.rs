//! A job's environment variables.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::str::FromStr;

use super::{Invalid, SecretWords, limits};

/// The name of a variable that a shell can export: letters, digits and `_`, not beginning with a
/// digit (POSIX XBD 8.1). The names of Batch and of the launcher are excluded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EnvName(String);

/// Variables by which `bsub` and its launcher communicate.
const LAUNCHER_NAMES: [&str; 24] = [
    "AWSB_ARGS",
    "AWSB_BUNDLE",
    "AWSB_BUNDLE_REGION",
    "AWSB_FIRST_LINE",
    "AWSB_INPUTS",
    "AWSB_LINES",
    "AWSB_NODES_REGION",
    "AWSB_NODES_URL",
    "AWSB_OUTPUT_URL",
    "AWSB_SCRIPT",
    "AWSB_SCRIPT_NAME",
    "AWSB_SHARED",
    "AWSB_START",
    "AWSB_SUBMISSION",
    "AWSB_TASKS",
    "AWSB_TASK_ID",
    "AWSB_TASK_COUNT",
    "AWSB_TASK_MIN",
    "AWSB_TASK_MAX",
    "AWSB_TASK_STEP",
    "AWSB_TASK_LINE",
    "AWSB_UNPACKED",
    "AWSB_USER",
    "AWSB_VCPUS",
];

/// Variables that bash sets itself and that are read-only (bash manual, Bash Variables).
const SHELLS_OWN: [&str; 6] = ["BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"];

impl EnvName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut chars = text.chars();
        let starts_well = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Invalid::because(format!(
                "invalid variable name '{text}': use letters, digits and '_', not starting with a digit"
            )));
        }
        if text.starts_with(limits::RESERVED_ENV_PREFIX) {
            return Err(Invalid::because("only Batch sets variables that begin with AWS_BATCH_"));
        }
        let launchers_own = text.len() == 3 && text.starts_with("_a");
        if LAUNCHER_NAMES.contains(&text) || launchers_own {
            return Err(Invalid::because(format!("{text} is set by bsub itself")));
        }
        if SHELLS_OWN.contains(&text) {
            return Err(Invalid::because(format!("{text} belongs to the shell and cannot be set")));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for EnvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One `-e`: `NAME=VALUE`, where everything after the first `=` is the value, or `A,B`, the names
/// of variables with the submitter's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvArg {
    /// A variable and its value.
    Set(EnvName, OsString),
    /// Variables that are passed on with the submitter's values.
    HandOn(Vec<EnvName>),
    /// `all`: every variable that [`ByAll`] passes on.
    All,
}

/// Variables that describe the submitter's machine or session. A `*` stands for any characters.
const OF_THE_SESSION: [&str; 16] = [
    "HOME",
    "PWD",
    "OLDPWD",
    "USER",
    "LOGNAME",
    "SHLVL",
    "PATH",
    "LD_LIBRARY_PATH",
    "TERM",
    "TERMCAP",
    "_",
    "AWS_*",
    // If somebody submits from a job of another cluster, these describe that job and its nodes.
    "SLURM_*",
    "LSB_*",
    "LS_SUBCWD",
    "LSF_*",
];

/// The effect of `--env all` on a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByAll {
    /// It is passed on.
    HandedOn,
    /// The submitter has excluded it.
    Excluded,
    /// It describes the submitter's machine or session, or no shell can export it.
    OfTheSession,
    /// It is a secret.
    Secret,
}

impl ByAll {
    /// The effect on this variable. `exclude` has the patterns that the submitter excludes.
    pub fn of(name: &str, value: &str, exclude: &[String], secrets: &SecretWords) -> Self {
        let is_one_of = |pattern: &str| matches(pattern.as_bytes(), name.as_bytes());
        if exclude.iter().any(|pattern| is_one_of(pattern.trim())) {
            return Self::Excluded;
        }
        if OF_THE_SESSION.iter().any(|pattern| is_one_of(pattern)) {
            return Self::OfTheSession;
        }
        if secrets.is_secret(name, value) {
            return Self::Secret;
        }
        // Excluded are bash's functions (`BASH_FUNC_module%%`), and variables that Batch and the
        // launcher set.
        if name.parse::<EnvName>().is_ok() { Self::HandedOn } else { Self::OfTheSession }
    }
}

/// Whether a name matches a pattern. A `*` stands for any characters.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|at| matches(rest, &name[at..])),
        Some((first, rest)) => name.split_first().is_some_and(|(n, left)| n == first && matches(rest, left)),
    }
}

impl EnvArg {
    /// Parses the argument of one `-e`.
    ///
    /// # Errors
    /// When a name is invalid or reserved.
    pub fn parse(text: &OsStr) -> Result<Self, Invalid> {
        let bytes = text.as_bytes();
        match bytes.iter().position(|b| *b == b'=') {
            Some(at) => {
                let name = String::from_utf8_lossy(&bytes[..at]).parse()?;
                Ok(Self::Set(name, OsString::from_vec(bytes[at + 1..].to_vec())))
            }
            None if bytes.eq_ignore_ascii_case(b"all") => Ok(Self::All),
            None => {
                let names = String::from_utf8_lossy(bytes);
                names.split(',').map(str::parse).collect::<Result<_, _>>().map(Self::HandOn)
            }
        }
    }
}

/// Environment variables in the order in which they were given. A later value replaces an earlier
/// one of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvVars(Vec<(EnvName, OsString)>);

impl EnvVars {
    /// Sets a variable.
    pub fn set(&mut self, name: EnvName, value: OsString) {
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// The variables, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&EnvName, &OsStr)> {
        self.0.iter().map(|(n, v)| (n, v.as_os_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_first_equals_sign_everything_is_the_value() {
        assert_eq!(
            EnvArg::parse(OsStr::new("A=x,B=y\nz")),
            Ok(EnvArg::Set(EnvName("A".into()), "x,B=y\nz".into()))
        );
        assert_eq!(EnvArg::parse(OsStr::new("A=")), Ok(EnvArg::Set(EnvName("A".into()), "".into())));
        assert_eq!(
            EnvArg::parse(OsStr::new("A,B_2")),
            Ok(EnvArg::HandOn(vec![EnvName("A".into()), EnvName("B_2".into())]))
        );
    }

    #[test]
    fn all_leaves_secrets_and_the_session_here() {
        let by_all = |name: &str, exclude: &[&str]| {
            let exclude: Vec<String> = exclude.iter().map(|e| (*e).to_owned()).collect();
            ByAll::of(name, "value", &exclude, &SecretWords::default())
        };
        for name in ["LANG", "OMP_NUM_THREADS", "KEYBOARD", "PATHS", "GIT_AUTHOR_NAME"] {
            assert_eq!(by_all(name, &[]), ByAll::HandedOn, "{name}");
        }
        for name in ["GITHUB_TOKEN", "my_secret_x", "DB_PASS", "API_KEY"] {
            assert_eq!(by_all(name, &[]), ByAll::Secret, "{name}");
        }
        for name in [
            "HOME",
            "SLURM_JOB_ID",
            "LSF_BINDIR",
            "AWS_PROFILE",
            "AWS_SECRET_ACCESS_KEY",
            "TERM",
            "BASH_FUNC_module%%",
            "AWSB_ARGS",
        ] {
            assert_eq!(by_all(name, &[]), ByAll::OfTheSession, "{name}");
        }
        assert_eq!(by_all("CONDA_PREFIX", &["CONDA_*"]), ByAll::Excluded);
        assert_eq!(by_all("CONDA", &["CONDA_*", "X"]), ByAll::HandedOn);
    }

    #[test]
    fn names_that_cannot_be() {
        for bad in [
            "1A=x",
            "AWS_BATCH_X=y",
            "=x",
            "",
            "A,,B",
            "A B",
            "A-B=1",
            "AWSB_ARGS=x",
            "AWSB_OUTPUT_URL=x",
            "_ad=x",
            "UID=1",
            "Ä=1",
        ] {
            assert!(EnvArg::parse(OsStr::new(bad)).is_err(), "{bad}");
        }
    }
}
