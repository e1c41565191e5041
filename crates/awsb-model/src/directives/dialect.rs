//! The schedulers whose lines a script may have.

use super::words::Quoting;

/// The scheduler to which a line is addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// awsb itself.
    Awsb,
    /// Slurm.
    Slurm,
    /// LSF.
    Lsf,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Awsb, Self::Slurm, Self::Lsf];

    /// The beginning of its lines.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Awsb => "#AWSB",
            Self::Slurm => "#SBATCH",
            Self::Lsf => "#BSUB",
        }
    }

    /// How it quotes words.
    pub fn quoting(self) -> Quoting {
        match self {
            Self::Awsb | Self::Lsf => Quoting::Shell,
            Self::Slurm => Quoting::Slurm,
        }
    }

    /// Whether lines after the first command count, too. LSF reads the whole script (bsub,
    /// `job_script`: the last line of its example is a directive).
    pub fn reads_the_whole_script(self) -> bool {
        self == Self::Lsf
    }
}
