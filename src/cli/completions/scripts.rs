//! The scripts that make a shell complete the tools' command lines.
//!
//! A script knows no option. It has `awsb __complete` find the candidates, so that the script of
//! one version serves all others, and values are those of the moment. `awsb` is called and not the
//! tool that is typed: that may be LSF's `bsub`, which would submit a job.
//!
//! The answer's first line is `names:files` where the shell lists files itself, else
//! `names:nothing`, `names:folders` or `names:commands`. Each further line is a candidate. This is
//! an interface between versions, and does not change.

/// A shell that has completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// Bash 3.2 or later.
    Bash,
    /// Zsh 5 or later.
    Zsh,
    /// Fish 3 or later.
    Fish,
}

/// A line that each script has, by which it is known as awsb's.
pub const MARK: &str = "# Made by awsb: `awsb completions --help`.";

const BASH: &str = include_str!("complete.bash");
const ZSH: &str = include_str!("complete.zsh");
const FISH: &str = include_str!("complete.fish");

impl Shell {
    /// All shells.
    pub const ALL: [Self; 3] = [Self::Bash, Self::Zsh, Self::Fish];

    /// The shell's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }

    /// The shell with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shell| shell.name() == name)
    }

    /// The names of all shells.
    pub fn names() -> [&'static str; 3] {
        Self::ALL.map(Self::name)
    }

    /// The script that completes the command lines of these programs.
    pub fn script(self, programs: &[&str]) -> String {
        let text = match self {
            Self::Bash => BASH,
            Self::Zsh => ZSH,
            Self::Fish => FISH,
        };
        text.replace("@MARK@", MARK).replace("@PROGRAMS@", &programs.join(" "))
    }
}
