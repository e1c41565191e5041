//! `--watch`: the same view again and again, until nothing in it is active.

use std::str::FromStr;
use std::time::{Duration, Instant};

use super::Args;
use super::packed::PackedVariables;
use crate::aws::{Contact, Session};
use crate::batch::PollInterval;
use crate::ui::{Exit, Failure, Format, Screen, local_rfc3339};
use awsb_model::{Invalid, JobId};

/// The pause when nobody says how long it is: the first one while something happens,
const SHORTEST: Duration = Duration::from_secs(2);
/// and the second after a while in which nothing did.
const LONGEST: Duration = Duration::from_secs(10);

/// The value of `--watch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// As often as it pays.
    Adaptive,
    /// With so long a pause.
    Pause(Duration),
}

impl FromStr for Every {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Ok(Every::Adaptive);
        }
        let seconds = text.parse::<f64>().ok().filter(|s| (0.1..=86_400.0).contains(s));
        let seconds = seconds.ok_or_else(|| Invalid::because("the pause is 0.1 to 86400 seconds"))?;
        Ok(Every::Pause(Duration::from_secs_f64(seconds)))
    }
}

/// Shows the view of these jobs, or of the queues, until nothing in it is active.
pub async fn tell(
    args: &Args,
    session: Session,
    every: Every,
    ids: Option<Vec<JobId>>,
) -> Result<Exit, Failure> {
    let mut contact = Contact::new(session, "bstat");
    let mut pace = PollInterval::new(SHORTEST, LONGEST);
    let mut screen = Screen::default();
    let mut before: Option<u64> = None;
    let packed = PackedVariables::default();
    loop {
        let begun = Instant::now();
        // A terminal may have another size each time.
        let output = args.output();
        let looked = contact
            .keep(async |session| {
                let kept = output.keeping();
                Ok((args.look(session, &kept, &packed, ids.as_deref()).await?, kept.taken()))
            })
            .await;
        let (shown, text) = looked?;
        let is_last = shown.active == 0;
        let has_time = output.is_terminal() || (output.format() == Format::Plain && !args.no_header);
        let time = has_time.then(|| local_rfc3339(jiff::Timestamp::now().as_millisecond()));
        screen.show(&output, time.as_deref(), &text, is_last)?;
        if is_last {
            if shown.jobs == 0 && ids.is_none() {
                args.say_empty(contact.session());
            }
            return Ok(Exit::Done);
        }
        if before.replace(shown.states).is_some_and(|before| before != shown.states) {
            pace.quicken();
        }
        let pause = match every {
            Every::Adaptive => pace.pause(),
            Every::Pause(pause) => pause,
        };
        // What takes long to answer is not asked without a break.
        tokio::time::sleep(pause.max(begun.elapsed())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses() {
        assert_eq!("".parse(), Ok(Every::Adaptive));
        assert_eq!("0.5".parse(), Ok(Every::Pause(Duration::from_millis(500))));
        for bad in ["0", "-1", "x", "nan", "inf", "1e9"] {
            assert!(bad.parse::<Every>().is_err(), "{bad}");
        }
    }
}
