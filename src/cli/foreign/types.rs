//! The types that the checks of command lines share.

/// The facts about this machine that the check needs.
pub struct Context<'w> {
    /// Whether a cluster has this name.
    pub is_cluster: &'w dyn Fn(&str) -> bool,
    /// Whether this shell has a variable of this name.
    pub is_set: &'w dyn Fn(&str) -> bool,
}

/// The scheduler that has a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheduler {
    Slurm,
    Lsf,
    Both,
}

impl Scheduler {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Slurm => "Slurm",
            Self::Lsf => "LSF",
            Self::Both => "Slurm or LSF",
        }
    }
}

/// An option of a command line, with its value if it takes one.
#[derive(Debug)]
pub(super) struct GivenOption<'a> {
    /// Its letter, if it was given by its letter.
    pub(super) letter: Option<char>,
    /// The ID of the tool's option.
    pub(super) id: &'a str,
    /// Its value.
    pub(super) value: Option<String>,
}
