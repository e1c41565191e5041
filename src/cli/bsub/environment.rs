//! The variables that a job gets from the shell of the submitter.

use std::ffi::OsString;

use super::resolved_options::ResolvedOptions;
use crate::config;
use crate::ui::{Failure, print_message};
use awsb_model::{ByAll, EnvArg, EnvName, EnvVars, SecretWords};

/// A note lists at most this many variables that `--env all` leaves out.
const LISTED: usize = 20;

/// The variables that `--env` names. A note lists those that `--env all` leaves out, unless `quiet`
/// is set.
///
/// # Errors
/// When the settings, which name secrets, cannot be read.
pub fn gather(options: &ResolvedOptions, quiet: bool) -> Result<EnvVars, Failure> {
    let mut environment = EnvVars::default();
    for arg in &options.env {
        match arg {
            EnvArg::Set(name, value) => environment.set(name.clone(), value.clone()),
            EnvArg::All => {
                let secrets = config::secrets()?;
                let all = All::of(std::env::vars_os(), &options.env_exclude, &secrets);
                if let Some(left_out) = all.left_out().filter(|_| !quiet) {
                    print_message(format!(
                        "bsub: note: `-e all` leaves out {left_out}; `-e NAME` passes one on"
                    ));
                }
                all.passed_on.into_iter().for_each(|(name, value)| environment.set(name, value));
            }
            EnvArg::HandOn(names) => {
                for name in names {
                    match std::env::var_os(name.as_str()) {
                        Some(value) => environment.set(name.clone(), value),
                        None => print_message(format!(
                            "bsub: warning: the variable {name} is not set here, so the job will not have it"
                        )),
                    }
                }
            }
        }
    }
    Ok(environment)
}

/// The variables of this shell, sorted by what `--env all` does with them.
#[derive(Debug, Default)]
struct All {
    passed_on: Vec<(EnvName, OsString)>,
    secrets: Vec<String>,
    of_the_session: Vec<String>,
}

impl All {
    fn of(
        variables: impl Iterator<Item = (OsString, OsString)>,
        exclude: &[String],
        secrets: &SecretWords,
    ) -> Self {
        let mut all = Self::default();
        for (name, value) in variables {
            let shown = name.to_string_lossy().into_owned();
            match (ByAll::of(&shown, &value.to_string_lossy(), exclude, secrets), shown.parse()) {
                (ByAll::HandedOn, Ok(name)) => all.passed_on.push((name, value)),
                (ByAll::Secret, _) => all.secrets.push(shown),
                // The shell changes this variable with each command.
                (ByAll::OfTheSession, _) if shown == "_" => {}
                (ByAll::OfTheSession | ByAll::HandedOn, _) => all.of_the_session.push(shown),
                (ByAll::Excluded, _) => {}
            }
        }
        all
    }

    /// The variables that are left out, in words; `None` if there are none.
    fn left_out(&self) -> Option<String> {
        let kinds = [
            ("variables that look like secrets", &self.secrets),
            ("variables of this session", &self.of_the_session),
        ];
        let described = kinds.into_iter().filter(|(_, names)| !names.is_empty());
        let described: Vec<String> =
            described.map(|(what, names)| format!("{what} ({})", listed(names))).collect();
        (!described.is_empty()).then(|| described.join(" and "))
    }
}

/// The names, sorted.
fn listed(names: &[String]) -> String {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    let names = names.join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(variables: &[(&str, &str)], exclude: &[String]) -> All {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        All::of(variables, exclude, &SecretWords::default())
    }

    #[test]
    fn variables_that_all_leaves_out_are_listed() {
        let some = all(
            &[
                ("LANG", "C"),
                ("GIT_AUTHOR_NAME", "Me"),
                ("PATH", "/bin"),
                ("DB_PASS", "x"),
                ("DATABASE_URL", "postgres://me:pw@host/db"),
                ("BASH_FUNC_module%%", "() { :; }"),
                ("MINE_TOKEN", "x"),
                ("_", "/bin/bsub"),
            ],
            &["MINE_*".to_owned()],
        );
        let names: Vec<&str> = some.passed_on.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["LANG", "GIT_AUTHOR_NAME"]);
        let expected = "variables that look like secrets (DATABASE_URL, DB_PASS) and variables of this session \
                    (BASH_FUNC_module%%, PATH)";
        assert_eq!(some.left_out().as_deref(), Some(expected));
        assert_eq!(all(&[("LANG", "C")], &[]).left_out(), None);
        let many: Vec<String> = (100..125).map(|n| format!("A{n}_KEY")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "x")).collect();
        assert!(all(&many, &[]).left_out().is_some_and(|text| text.ends_with("A119_KEY and 5 more)")));
    }
}
