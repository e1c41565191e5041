//! The failures of the tools for errors of a local cluster's functions.

use awsb_local::LocalError;

use crate::ui::Failure;

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        let failure = match error.is_usage() {
            true => Failure::usage(error.message()),
            false => Failure::failed(error.message()),
        };
        let failure = error.hints().iter().fold(failure, |failure, hint| failure.hint(hint.as_str()));
        failure.with_source(error)
    }
}
