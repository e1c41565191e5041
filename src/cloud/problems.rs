//! The problems of a configuration, as failures and warnings.

use awsb_model::cluster::Problem;

use crate::aws::Session;
use crate::ui::{Failure, print_message};

/// As [`check`], with commands in the advice that act on the place of a session.
///
/// # Errors
/// As [`check`].
pub fn check_in(session: &Session, problems: &[Problem]) -> Result<(), Failure> {
    let advised = |problem: &Problem| Problem { advice: session.advice(&problem.advice), ..problem.clone() };
    check(&problems.iter().map(advised).collect::<Vec<_>>())
}

/// Fails with the first problem with which a cluster cannot work, and the number of the others. The
/// other kinds of problems are warnings.
///
/// # Errors
/// As said.
pub fn check(problems: &[Problem]) -> Result<(), Failure> {
    let (fatal, others): (Vec<&Problem>, Vec<&Problem>) =
        problems.iter().partition(|problem| problem.kind.is_fatal());
    let Some(first) = fatal.first() else {
        for problem in others {
            print_message(format!("bcluster: warning: {problem}\nhint: {}", problem.advice));
        }
        return Ok(());
    };
    let failure = Failure::usage(format!("the configuration: {first}")).hint(first.advice.clone());
    let more = fatal.iter().skip(1).map(|problem| format!("{problem}: {}", problem.advice));
    Err(more.fold(failure, Failure::hint))
}
