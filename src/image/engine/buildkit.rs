//! The output of `BuildKit`: vertexes of its graph, their output and their progress. Pure.

use std::collections::HashMap;
use std::time::Duration;

use bollard::moby::buildkit::v1::{StatusResponse, VertexLog};

use super::build_events::{BuildEvent, StepOutcome, reason};

/// The vertexes that have begun.
#[derive(Debug, Default)]
pub struct Graph {
    /// The time at which each vertex began, in nanoseconds since the epoch of the engine's clock.
    begun: HashMap<String, i128>,
    /// The vertexes that have not ended, with the time at which they began, by the clock of this
    /// process.
    open: Vec<(String, Duration)>,
}

impl Graph {
    /// The events in a message that came at this time of the build. Those of one vertex stay
    /// together.
    pub fn read(&mut self, status: &StatusResponse, now: Duration) -> Vec<BuildEvent> {
        let mut events = Vec::new();
        let mut logs: Vec<_> = status.logs.iter().collect();
        for vertex in &status.vertexes {
            let Some(started) = &vertex.started else { continue };
            let at = nanoseconds(started.seconds, started.nanos);
            if self.begun.insert(vertex.digest.clone(), at).is_none() {
                self.open.push((vertex.digest.clone(), now));
            }
            events.push(BuildEvent::Started { step: vertex.digest.clone(), name: vertex.name.clone() });
            let Some(completed) = &vertex.completed else { continue };
            let took = self.since_begin(&vertex.digest, nanoseconds(completed.seconds, completed.nanos));
            events.extend(logs.extract_if(.., |log| log.vertex == vertex.digest).map(|log| self.says(log)));
            self.open.retain(|(open, _)| *open != vertex.digest);
            let how = match vertex.error.as_str() {
                "" if vertex.cached => StepOutcome::Cached,
                "" => StepOutcome::Done(took),
                error if error.contains("context canceled") => StepOutcome::Canceled,
                error => StepOutcome::Failed(reason(without_rpc(error))),
            };
            events.push(BuildEvent::Finished { step: vertex.digest.clone(), how });
        }
        events.extend(logs.into_iter().map(|log| self.says(log)));
        for state in &status.statuses {
            let [done, total] = [state.current, state.total].map(|n| u64::try_from(n).unwrap_or(0));
            if done > 0 || total > 0 {
                let (step, what) = (state.vertex.clone(), state.id.clone());
                events.push(BuildEvent::Progress { step, what, done, total });
            }
        }
        events
    }

    /// Ends a build that has succeeded: steps that are still open end with it. (The engine may have
    /// the image before it reports so.)
    pub fn end(&mut self, now: Duration) -> Vec<BuildEvent> {
        let ended =
            |(step, begun)| BuildEvent::Finished { step, how: StepOutcome::Done(now.saturating_sub(begun)) };
        self.open.drain(..).map(ended).collect()
    }

    fn says(&self, log: &VertexLog) -> BuildEvent {
        let at = log.timestamp.as_ref().map_or(0, |at| nanoseconds(at.seconds, at.nanos));
        BuildEvent::Output {
            step: log.vertex.clone(),
            after: self.since_begin(&log.vertex, at),
            text: String::from_utf8_lossy(&log.msg).into_owned(),
        }
    }

    fn since_begin(&self, vertex: &str, at: i128) -> Duration {
        let begun = self.begun.get(vertex).copied().unwrap_or(at);
        Duration::from_nanos(u64::try_from(at - begun).unwrap_or(0))
    }
}

fn nanoseconds(seconds: i64, nanos: i32) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
}

/// An error without the words of the protocol that carried it.
pub fn without_rpc(error: &str) -> &str {
    let mut error = error.trim();
    for words in [
        "failed to solve: ",
        "failed to solve with frontend dockerfile.v0: ",
        "rpc error: code = Unknown desc = ",
    ]
    .iter()
    .cycle()
    .take(6)
    {
        error = error.strip_prefix(words).unwrap_or(error);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_what_happened() {
        let text = "failed to solve with frontend dockerfile.v0: failed to solve: rpc error: code = Unknown desc = \
                    executor failed running [/bin/sh -c false]: exit code: 1";
        assert_eq!(without_rpc(text), "executor failed running [/bin/sh -c false]: exit code: 1");
    }
}
