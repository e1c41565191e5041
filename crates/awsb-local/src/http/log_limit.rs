//! A limit of the lines that strangers can have written into the log. Every user of the machine can
//! send requests to the port, and the log has room for only so many.

use std::time::{Duration, Instant};

/// The period for which refused requests are counted.
const PERIOD: Duration = Duration::from_secs(10);
/// The refused requests of a period that are logged.
const MAX_LINES: u32 = 20;
/// The bytes of a path that are logged.
const MAX_PATH: usize = 512;

/// Counts the requests that were refused before their signer was known.
#[derive(Debug, Default)]
pub struct LogLimit {
    /// The begin of the period, and how many lines it has so far.
    period: Option<(Instant, u32)>,
    unlogged: u64,
}

impl LogLimit {
    /// Whether a request that is refused at this time is logged: then the result is the number of
    /// requests before it that were not.
    pub fn next(&mut self, now: Instant) -> Option<u64> {
        let lines = match self.period {
            Some((begin, lines)) if now.saturating_duration_since(begin) < PERIOD => {
                self.period = Some((begin, lines.saturating_add(1)));
                lines
            }
            _ => {
                self.period = Some((now, 1));
                0
            }
        };
        if lines < MAX_LINES {
            return Some(std::mem::take(&mut self.unlogged));
        }
        self.unlogged += 1;
        None
    }
}

/// The part of a path that is logged.
pub fn logged_path(path: &str) -> &str {
    path.get(..path.floor_char_boundary(MAX_PATH)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refused_requests_is_logged_at_a_limited_rate() {
        let (mut limit, begin) = (LogLimit::default(), Instant::now());
        let logged = (0..1000).filter(|_| limit.next(begin).is_some()).count();
        assert_eq!(logged, MAX_LINES as usize);
        assert_eq!(limit.next(begin + PERIOD / 2), None);
        // The next period says how many are missing, once.
        assert_eq!(limit.next(begin + PERIOD), Some(1001 - u64::from(MAX_LINES)));
        assert_eq!(limit.next(begin + PERIOD), Some(0));
    }

    #[test]
    fn a_path_is_cut_between_characters() {
        assert_eq!(logged_path("/b/k"), "/b/k");
        assert!(logged_path(&"/é".repeat(400)).len() <= MAX_PATH);
    }
}
