//! The variables that a job gets from the shell that submits it.

use std::ffi::OsString;

use super::resolved_options::ResolvedOptions;
use crate::config;
use crate::ui::{Failure, note};
use awsb_model::{ByAll, EnvArg, EnvName, Environment, Secrets};

/// So many of the variables that `--env all` holds back are named.
const NAMED: usize = 20;

/// The variables that `--env` names. What `--env all` holds back is said, unless it is to be
/// `quiet`.
///
/// # Errors
/// When the settings, which name secrets, cannot be read.
pub fn gather(options: &ResolvedOptions, quiet: bool) -> Result<Environment, Failure> {
    let mut environment = Environment::default();
    for arg in &options.env {
        match arg {
            EnvArg::Set(name, value) => environment.set(name.clone(), value.clone()),
            EnvArg::All => {
                let secrets = config::secrets()?;
                let all = All::of(std::env::vars_os(), &options.env_exclude, &secrets);
                if let Some(held_back) = all.held_back().filter(|_| !quiet) {
                    note(format!("bsub: note: `-e all` leaves out {held_back}; `-e NAME` passes one on"));
                }
                all.handed_on.into_iter().for_each(|(name, value)| environment.set(name, value));
            }
            EnvArg::HandOn(names) => {
                for name in names {
                    match std::env::var_os(name.as_str()) {
                        Some(value) => environment.set(name.clone(), value),
                        None => note(format!(
                            "bsub: warning: the variable {name} is not set here, so the job will not have it"
                        )),
                    }
                }
            }
        }
    }
    Ok(environment)
}

/// All variables of this shell, apart.
#[derive(Debug, Default)]
struct All {
    handed_on: Vec<(EnvName, OsString)>,
    secrets: Vec<String>,
    of_the_session: Vec<String>,
}

impl All {
    fn of(
        variables: impl Iterator<Item = (OsString, OsString)>,
        exclude: &[String],
        secrets: &Secrets,
    ) -> Self {
        let mut all = Self::default();
        for (name, value) in variables {
            let shown = name.to_string_lossy().into_owned();
            match (ByAll::of(&shown, &value.to_string_lossy(), exclude, secrets), shown.parse()) {
                (ByAll::HandedOn, Ok(name)) => all.handed_on.push((name, value)),
                (ByAll::Secret, _) => all.secrets.push(shown),
                // The shell's own, which changes with each command.
                (ByAll::OfTheSession, _) if shown == "_" => {}
                (ByAll::OfTheSession | ByAll::HandedOn, _) => all.of_the_session.push(shown),
                (ByAll::Excluded, _) => {}
            }
        }
        all
    }

    /// What is held back, in words; `None` for nothing.
    fn held_back(&self) -> Option<String> {
        let kinds = [
            ("variables that look like secrets", &self.secrets),
            ("variables of this session", &self.of_the_session),
        ];
        let told = kinds.into_iter().filter(|(_, names)| !names.is_empty());
        let told: Vec<String> = told.map(|(what, names)| format!("{what} ({})", listed(names))).collect();
        (!told.is_empty()).then(|| told.join(" and "))
    }
}

/// The names, sorted.
fn listed(names: &[String]) -> String {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let names = names.join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(variables: &[(&str, &str)], exclude: &[String]) -> All {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        All::of(variables, exclude, &Secrets::default())
    }

    #[test]
    fn what_all_holds_back_is_named() {
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
        let names: Vec<&str> = some.handed_on.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["LANG", "GIT_AUTHOR_NAME"]);
        let told = "variables that look like secrets (DATABASE_URL, DB_PASS) and variables of this session \
                    (BASH_FUNC_module%%, PATH)";
        assert_eq!(some.held_back().as_deref(), Some(told));
        assert_eq!(all(&[("LANG", "C")], &[]).held_back(), None);
        let many: Vec<String> = (100..125).map(|n| format!("A{n}_KEY")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "x")).collect();
        assert!(all(&many, &[]).held_back().is_some_and(|told| told.ends_with("A119_KEY and 5 more)")));
    }
}
