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
/// At the beginning it is shorter, but not shorter than this.
const SHORTEST_WINDOW: Duration = Duration::from_millis(50);
/// Fewer answers within the window are no pace to be kept.
const FEW: usize = 8;
/// So long no call goes when one has been turned away.
const REST: Duration = Duration::from_millis(100);
/// No pause between two calls is longer, so that all that wait have their turn well before their time has run out,
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// and one that has become shorter is none.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

/// The pace of calls to one service.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    turns: Arc<Semaphore>,
    beat: Arc<Mutex<Beat>>,
}

/// When the next call may go.
#[derive(Debug)]
struct Beat {
    begun: Instant,
    /// Between two calls.
    pause: Duration,
    next: Instant,
    /// The calls that were answered within the window.
    answered: VecDeque<Instant>,
    /// Those that were turned away.
    away: VecDeque<Instant>,
    slowed_at: Option<Instant>,
}

impl Beat {
    fn new(now: Instant) -> Self {
        Self {
            begun: now,
            pause: Duration::ZERO,
            next: now,
            answered: VecDeque::new(),
            away: VecDeque::new(),
            slowed_at: None,
        }
    }

    /// When a call may go that wants to go now.
    fn slot(&mut self, now: Instant) -> Instant {
        let slot = self.next.max(now);
        self.next = slot + self.pause;
        slot
    }

    fn answered(&mut self, now: Instant) {
        remember(&mut self.answered, now);
        if self.slowed_at.is_none_or(|at| now.duration_since(at) > BURST) {
            self.pause = self.pause.mul_f64(0.97);
            if self.pause < SHORTEST_PAUSE {
                self.pause = Duration::ZERO;
            }
        }
    }

    fn turned_away(&mut self, now: Instant) {
        remember(&mut self.away, now);
        let since = self.slowed_at.map(|at| now.duration_since(at));
        if since.is_some_and(|since| since < BURST) {
            return;
        }
        self.slowed_at = Some(now);
        // A moment of rest for all.
        self.next = self.next.max(now + REST);
        let answered = self.answered.iter().filter(|at| now.duration_since(**at) <= WINDOW).count();
        // One of many is no sign of a pace that is too fast.
        if self.away.len() * 10 < answered {
            return;
        }
        // At the beginning the window is not full yet, and others may have used up what the service takes: few answers
        // are no pace to be kept.
        let within = now.duration_since(self.begun).clamp(SHORTEST_WINDOW, WINDOW);
        let as_answered = within.div_f64(answered.max(FEW) as f64).mul_f64(1.1);
        let factor = if self.away.len() * 2 > answered { 2.0 } else { 1.3 };
        self.pause = as_answered.max(self.pause.mul_f64(factor)).min(LONGEST_PAUSE);
    }
}

/// Adds a call to those of the window.
fn remember(calls: &mut VecDeque<Instant>, now: Instant) {
    calls.push_back(now);
    while calls.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
        calls.pop_front();
    }
}

impl RateLimiter {
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
    pace: RateLimiter,
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
impl Intercept for RateLimiter {
    fn name(&self) -> &'static str {
        "RateLimiter"
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
            assert!(away * 2 <= answered, "{limit} a second: {answered} answered, {away} turned away");
        }
    }

    #[test]
    fn one_call_that_is_turned_away_for_another_reason_slows_down_little() {
        let begun = Instant::now();
        let (mut beat, mut now) = (Beat::new(begun), begun);
        for call in 0..1000 {
            now = beat.slot(now) + Duration::from_millis(5);
            if call % 25 == 24 { beat.turned_away(now) } else { beat.answered(now) }
        }
        assert!(now.duration_since(begun) < Duration::from_secs(20), "{:?}", now.duration_since(begun));
    }

    #[test]
    fn a_service_that_takes_all_is_not_slowed_down() {
        assert_eq!(ten_seconds(10_000, 10), (10 * 201, 0));
    }
}
