//! A signal that a job gets before its time is up, as with Slurm's `--signal` and LSF's `-wa` and
//! `-wt`.

use super::Invalid;

/// The receivers of the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalTo {
    /// The script alone (Slurm's `B:`).
    Script,
    /// The processes that the script has started with `srun`, without the script (Slurm's default).
    Steps,
    /// The script and all its processes (LSF).
    All,
}

/// A signal that a job gets before its time is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlySignal {
    /// The option of `kill`: `-USR1` or `-10`.
    pub option: String,
    /// The number of seconds before the end of the job's time.
    pub seconds_before: u32,
    /// The receivers.
    pub to: SignalTo,
}

/// The signals that Slurm knows by name (tested with 22.05).
const SLURMS: [&str; 16] = [
    "HUP", "INT", "QUIT", "ABRT", "KILL", "ALRM", "TERM", "USR1", "USR2", "URG", "CONT", "STOP", "TSTP",
    "TTIN", "TTOU", "XCPU",
];

impl EarlySignal {
    /// Parses `[R|B:]SIGNAL[@SECONDS]` (sbatch(1), `--signal`). The default is 60 seconds.
    ///
    /// # Errors
    /// When sbatch would refuse it, or the signal has a number that no system has.
    pub fn from_slurm(value: &str) -> Result<Self, Invalid> {
        let wrong = |what: String| {
            Invalid::because(format!(
                "{what}; give a signal such as USR1@120 or B:TERM@60 (seconds before the end)"
            ))
        };
        let (to, rest) = match value.split_once(':') {
            Some((flags, rest)) => match flags.to_ascii_uppercase().as_str() {
                "B" | "BR" | "RB" => (SignalTo::Script, rest),
                // `R` concerns reservations, which Batch does not have.
                "R" => (SignalTo::Steps, rest),
                _ => return Err(wrong(format!("'{flags}' is not R or B"))),
            },
            None => (SignalTo::Steps, value),
        };
        let (name, seconds) = match rest.split_once('@') {
            Some((name, "")) => (name, Some(60)),
            Some((name, seconds)) => (name, number(seconds).filter(|s| *s <= 65_535)),
            None => (rest, Some(60)),
        };
        let seconds_before =
            seconds.ok_or_else(|| wrong("the time is a number of seconds up to 65535".into()))?;
        let option = option(name, &SLURMS).ok_or_else(|| wrong(format!("Slurm has no signal '{name}'")))?;
        Ok(Self { option, seconds_before, to })
    }

    /// Parses the signal of LSF's `-wa`, and the time of its `-wt`, which is minutes or hours and
    /// minutes.
    ///
    /// # Errors
    /// When one of them is invalid.
    pub fn from_lsf(action: &str, time: &str) -> Result<Self, Invalid> {
        let option = option(
            action,
            &[&SLURMS[..], &["CHLD", "WINCH", "IO", "PIPE", "PROF", "VTALRM", "XFSZ"]].concat(),
        )
        .ok_or_else(|| {
            Invalid::because(format!(
                "-wa: '{action}' is not a signal, and Batch runs no command before the end"
            ))
        })?;
        let (hours, minutes) = time.split_once(':').unwrap_or(("0", time));
        let seconds = number(hours)
            .zip(number(minutes))
            .and_then(|(h, m)| h.checked_mul(60)?.checked_add(m)?.checked_mul(60))
            .ok_or_else(|| {
                Invalid::because(format!(
                    "-wt: '{time}' is not a number of minutes, or hours and minutes such as 1:30"
                ))
            })?;
        Ok(Self { option, seconds_before: seconds, to: SignalTo::All })
    }
}

/// The option of `kill` for a signal's name or number.
fn option(name: &str, known: &[&str]) -> Option<String> {
    if let Some(number) = number(name) {
        return (1..=64).contains(&number).then(|| format!("-{number}"));
    }
    let upper = name.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    known.contains(&name).then(|| format!("-{name}"))
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slurms_signals() {
        let read = |text: &str| EarlySignal::from_slurm(text).map(|s| (s.option, s.seconds_before, s.to));
        assert_eq!(read("B:USR1@120"), Ok(("-USR1".into(), 120, SignalTo::Script)));
        assert_eq!(read("SIGTERM"), Ok(("-TERM".into(), 60, SignalTo::Steps)));
        assert_eq!(read("usr2@"), Ok(("-USR2".into(), 60, SignalTo::Steps)));
        assert_eq!(read("RB:10@5"), Ok(("-10".into(), 5, SignalTo::Script)));
        for bad in
            ["B:FOO@60", "0", "B:USR1@-1", "USR1@70000", "@60", "B:", "WINCH", "X:USR1", "R:B:USR1", "99"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lsfs_signals() {
        let read = |action: &str, time: &str| {
            EarlySignal::from_lsf(action, time).map(|s| (s.option, s.seconds_before))
        };
        assert_eq!(read("URG", "2"), Ok(("-URG".into(), 120)));
        assert_eq!(read("SIGUSR1", "1:30"), Ok(("-USR1".into(), 5400)));
        assert!(read("CHKPNT", "2").is_err() && read("URG", "x").is_err() && read("URG", "").is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[BR:@0-9USGI]{0,12}|.{0,12}", time in "[0-9:]{0,12}") {
            let _ = EarlySignal::from_slurm(&text);
            let _ = EarlySignal::from_lsf(&text, &time);
        }
    }
}
