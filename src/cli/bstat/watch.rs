//! `--watch`: the same view again and again, until nothing in it is active.

use std::time::{Duration, Instant};

use super::args::Args;
use super::interval::Every;
use super::packed::PackedVariables;
use super::show::Look;
use super::view::ViewSummary;
use crate::aws::{ResilientSession, Session};
use crate::batch::PollInterval;
use crate::ui::{Failure, Format, LiveView, local_rfc3339};
use awsb_model::JobId;

/// The shortest pause, right after a change, when the user has not chosen one.
const SHORTEST: Duration = Duration::from_secs(2);
/// The longest pause, after a while without a change.
const LONGEST: Duration = Duration::from_secs(10);

/// The jobs that are watched.
#[derive(Debug)]
pub enum Watched {
    /// The jobs of queues, which come and go.
    Queues,
    /// Jobs that were named.
    Jobs(Vec<JobId>),
}

/// Shows the view until nothing in it is active. Returns its last state, and the session, which may
/// have been renewed meanwhile.
///
/// # Errors
/// When contact was lost for good, or the view cannot be written.
pub async fn run(
    args: &Args,
    session: Session,
    every: Every,
    watched: Watched,
) -> Result<(ViewSummary, Session), Failure> {
    let mut contact = ResilientSession::new(session, "bstat");
    let mut interval = PollInterval::new(SHORTEST, LONGEST);
    let mut screen = LiveView::default();
    let mut before: Option<u64> = None;
    let packed = PackedVariables::default();
    loop {
        let begun = Instant::now();
        // A terminal may have another size each time.
        let output = args.output();
        let looked = contact
            .keep_fresh(async |session| {
                let kept = output.keeping();
                let look = Look { args, output: &kept, packed: &packed };
                let summary = match &watched {
                    Watched::Queues => look.list(session).await?,
                    Watched::Jobs(ids) => look.at_ids(session, ids).await?,
                };
                Ok((summary, kept.taken()))
            })
            .await;
        let (summary, text) = looked?;
        let is_last = summary.active == 0;
        let has_time = output.is_terminal() || (output.format() == Format::Plain && !args.no_header);
        let time = has_time.then(|| local_rfc3339(jiff::Timestamp::now().as_millisecond()));
        screen.show(&output, time.as_deref(), &text, is_last)?;
        if is_last {
            return Ok((summary, contact.session().clone()));
        }
        if before.replace(summary.states).is_some_and(|before| before != summary.states) {
            interval.quicken();
        }
        let pause = match every {
            Every::Adaptive => interval.pause(),
            Every::Pause(pause) => pause,
        };
        // A look that takes long is followed by a pause of the same length.
        tokio::time::sleep(pause.max(begun.elapsed())).await;
    }
}
