//! Many calls at once, and no more than the service takes.
//!
//! Each service has a pace of its own, which all calls to it share, the SDK's retries among them: so many are under way
//! at once, and when the service turns one away, all of them slow down together, to what it has answered in the last
//! second, and speed up again little by little.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::FinalizerInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

/// So many calls to a service are under way at once.
const AT_ONCE: usize = 16;
/// The pace is what was answered within this time.
const WINDOW: Duration = Duration::from_secs(1);
/// Calls that are turned away within this time were sent at the same pace: they count once.
const BURST: Duration = Duration::from_millis(200);
/// Fewer answers within the window are no pace to be kept.
const FEW: usize = 8;
/// No pause between two calls is longer,
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// and one that has become shorter is none.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

/// The pace of calls to one service.
#[derive(Debug, Clone)]
pub struct Pace {
    turns: Arc<Semaphore>,
    beat: Arc<Mutex<Beat>>,
}

/// When the next call may go.
#[derive(Debug)]
struct Beat {
    /// Between two calls.
    pause: Duration,
    next: Instant,
    /// The calls that were answered within the window.
    answered: VecDeque<Instant>,
    slowed_at: Option<Instant>,
}

impl Beat {
    fn new(now: Instant) -> Self {
        Self { pause: Duration::ZERO, next: now, answered: VecDeque::new(), slowed_at: None }
    }

    /// When a call may go that wants to go now.
    fn slot(&mut self, now: Instant) -> Instant {
        let slot = self.next.max(now);
        self.next = slot + self.pause;
        slot
    }

    fn answered(&mut self, now: Instant) {
        self.answered.push_back(now);
        while self.answered.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.answered.pop_front();
        }
        if self.slowed_at.is_none_or(|at| now.duration_since(at) > BURST) {
            self.pause = self.pause.mul_f64(0.97);
            if self.pause < SHORTEST_PAUSE {
                self.pause = Duration::ZERO;
            }
        }
    }

    fn turned_away(&mut self, now: Instant) {
        if self.slowed_at.is_some_and(|at| now.duration_since(at) < BURST) {
            return;
        }
        self.slowed_at = Some(now);
        let answered = self.answered.iter().filter(|at| now.duration_since(**at) <= WINDOW).count();
        // Others may have used up what the service takes: few answers say little at first.
        let as_answered = WINDOW.div_f64(answered.max(FEW) as f64).mul_f64(1.1);
        self.pause = as_answered.max(self.pause.mul_f64(1.2)).min(LONGEST_PAUSE);
        // What the service takes has been used up: a moment of rest for all.
        self.next = self.next.max(now + BURST);
    }
}

impl Pace {
    /// A pace that knows no limit yet.
    pub fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            beat: Arc::new(Mutex::new(Beat::new(Instant::now()))),
        }
    }

    fn beat<T>(&self, change: impl FnOnce(&mut Beat) -> T) -> T {
        change(&mut self.beat.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A client whose calls go at this pace.
    pub fn client(&self, client: SharedHttpClient) -> SharedHttpClient {
        let pace = self.clone();
        http_client_fn(move |settings: &HttpConnectorSettings, components: &RuntimeComponents| {
            let connector = client.http_connector(settings, components);
            SharedHttpConnector::new(Paced { pace: pace.clone(), connector })
        })
    }
}

#[derive(Debug)]
struct Paced {
    pace: Pace,
    connector: SharedHttpConnector,
}

impl HttpConnector for Paced {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (pace, connector) = (self.pace.clone(), self.connector.clone());
        HttpConnectorFuture::new(async move {
            // It is never closed; and if it were, the call would go as well.
            let _turn = pace.turns.acquire().await;
            let slot = pace.beat(|beat| beat.slot(Instant::now()));
            sleep_until(slot).await;
            connector.call(request).await
        })
    }
}

/// Hears what became of each attempt.
impl Intercept for Pace {
    fn name(&self) -> &'static str {
        "Pace"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let now = Instant::now();
        match context.response() {
            Some(response) if turns_away(response) => self.beat(|beat| beat.turned_away(now)),
            Some(_) => self.beat(|beat| beat.answered(now)),
            None => {}
        }
        Ok(())
    }
}

/// Whether there were too many calls. The names are those that the SDKs take for it (Smithy, retry behaviour).
fn turns_away(response: &HttpResponse) -> bool {
    const WORDS: [&str; 4] = ["Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown"];
    let status = response.status().as_u16();
    if status < 400 {
        return false;
    }
    let said = [
        response.headers().get("x-amzn-errortype"),
        response.body().bytes().and_then(|b| str::from_utf8(b).ok()),
    ];
    status == 429 || said.into_iter().flatten().any(|text| WORDS.iter().any(|word| text.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service that answers so many calls a second, in a time of its own; the calls that it answered and those that it
    /// turned away within ten seconds, when `lanes` of them are under way at once.
    fn ten_seconds(limit: usize, lanes: usize) -> (usize, usize) {
        let begun = Instant::now();
        let (mut beat, mut answered, mut away) = (Beat::new(begun), Vec::new(), 0);
        let mut lanes = vec![begun; lanes];
        loop {
            lanes.sort();
            let sent = beat.slot(lanes[0]);
            if sent > begun + Duration::from_secs(10) {
                return (answered.len(), away);
            }
            let recent =
                answered.iter().filter(|at| sent.duration_since(**at) < Duration::from_secs(1)).count();
            let heard = sent + Duration::from_millis(50);
            if recent < limit {
                answered.push(sent);
                beat.answered(heard);
                lanes[0] = heard;
            } else {
                away += 1;
                beat.turned_away(heard);
                lanes[0] = heard + Duration::from_millis(150);
            }
        }
    }

    #[test]
    fn the_pace_is_that_of_the_service() {
        for limit in [5, 10, 25, 100] {
            let (answered, away) = ten_seconds(limit, 10);
            assert!(answered >= limit * 6, "{limit} a second: {answered} answered");
            assert!(away * 3 <= answered, "{limit} a second: {answered} answered, {away} turned away");
        }
    }

    #[test]
    fn a_service_that_takes_all_is_not_slowed_down() {
        assert_eq!(ten_seconds(10_000, 10), (10 * 201, 0));
    }
}
