//! The variables that a job gets from the shell that submits it.

use std::ffi::OsString;

use crate::job::{EnvArg, EnvName, Environment, handed_on_by_all};
use crate::ui::note;

/// The variables that `--env` names; `--env all` leaves out what matches `exclude`.
pub fn gather(args: &[EnvArg], exclude: &[String]) -> Environment {
    let mut environment = Environment::default();
    for arg in args {
        match arg {
            EnvArg::Set(name, value) => environment.set(name.clone(), value.clone()),
            EnvArg::All => all(exclude).for_each(|(name, value)| environment.set(name, value)),
            EnvArg::HandOn(names) => {
                for name in names {
                    match std::env::var_os(name.as_str()) {
                        Some(value) => environment.set(name.clone(), value),
                        None => note(format!(
                            "bsub: warning: {name} is not set here, so the job will not have it"
                        )),
                    }
                }
            }
        }
    }
    environment
}

/// The variables of this shell that are fit to travel. Names that no shell can export (bash's functions) stay.
fn all(exclude: &[String]) -> impl Iterator<Item = (EnvName, OsString)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.to_str()?.parse::<EnvName>().ok()?, value)))
        .filter(|(name, _)| handed_on_by_all(name, exclude))
}
