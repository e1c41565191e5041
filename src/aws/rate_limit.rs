//! A rate limiter for the calls to one service.
//!
//! All calls to a service share one limiter, including the SDK's retries. It bounds the number of
//! concurrent calls. When the service throttles a call, all calls slow down together to the rate
//! that it has answered in the last second. Then they speed up again little by little.
//!
//! The SDK has adaptive retries (`RetryConfig::adaptive`), which limit the rate of one client. They
//! were measured in November 2026 with `benches/look.sh`: `bstat` of 5,000 IDs in 50 calls, 50 ms
//! to every answer, and a server that answers at most 25 calls a second. With this limiter it took
//! 3.2 s, and 26 calls were throttled. With adaptive retries and 8 attempts a call it took 13.3 s,
//! which is the time limit of a call, and two of three runs failed.

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

/// Upper bound of the number of concurrent calls to a service.
const CONCURRENT_CALLS: usize = 16;
/// The rate is that of the answers within this time.
const WINDOW: Duration = Duration::from_secs(1);
/// Calls that are throttled within this time were sent at the same rate, so they count once.
const BURST: Duration = Duration::from_millis(200);
/// Lower bound of the window, which is shorter at the beginning.
const SHORTEST_WINDOW: Duration = Duration::from_millis(50);
/// Fewer answers within the window than this say nothing about the service's rate.
const FEW: usize = 8;
/// How long no call is sent after one has been throttled.
const REST: Duration = Duration::from_millis(100);
/// Upper bound of the delay between calls. It keeps queued calls inside their operation timeout.
const LONGEST_DELAY: Duration = Duration::from_millis(500);
/// A shorter delay counts as zero.
const SHORTEST_DELAY: Duration = Duration::from_millis(2);

/// The rate limiter for the calls to one service.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    slots: Arc<Semaphore>,
    window: Arc<Mutex<Window>>,
}

/// The recent calls, and the rate that follows from them.
#[derive(Debug)]
struct Window {
    begun: Instant,
    /// The delay between two calls.
    delay: Duration,
    /// The time of the next call.
    next: Instant,
    /// The times of the calls that were answered within the window.
    answered: VecDeque<Instant>,
    /// The times of the calls that were throttled within the window.
    throttled: VecDeque<Instant>,
    slowed_at: Option<Instant>,
}

impl Window {
    fn new(now: Instant) -> Self {
        Self {
            begun: now,
            delay: Duration::ZERO,
            next: now,
            answered: VecDeque::new(),
            throttled: VecDeque::new(),
            slowed_at: None,
        }
    }

    /// Reserves the time at which the next call is sent.
    fn slot(&mut self, now: Instant) -> Instant {
        let slot = self.next.max(now);
        self.next = slot + self.delay;
        slot
    }

    fn answered(&mut self, now: Instant) {
        record(&mut self.answered, now);
        if self.slowed_at.is_none_or(|at| now.duration_since(at) > BURST) {
            self.delay = self.delay.mul_f64(0.97);
            if self.delay < SHORTEST_DELAY {
                self.delay = Duration::ZERO;
            }
        }
    }

    fn throttled(&mut self, now: Instant) {
        record(&mut self.throttled, now);
        let since = self.slowed_at.map(|at| now.duration_since(at));
        if since.is_some_and(|since| since < BURST) {
            return;
        }
        self.slowed_at = Some(now);
        // All calls rest for a moment.
        self.next = self.next.max(now + REST);
        let answered = self.answered.iter().filter(|at| now.duration_since(**at) <= WINDOW).count();
        // One throttled call of many is not a sign of a rate that is too high.
        if self.throttled.len() * 10 < answered {
            return;
        }
        // At the beginning the window is not full yet, and others may have used the service's
        // capacity. Few answers say nothing about its rate.
        let within = now.duration_since(self.begun).clamp(SHORTEST_WINDOW, WINDOW);
        let as_answered = within.div_f64(answered.max(FEW) as f64).mul_f64(1.1);
        let factor = if self.throttled.len() * 2 > answered { 2.0 } else { 1.3 };
        self.delay = as_answered.max(self.delay.mul_f64(factor)).min(LONGEST_DELAY);
    }
}

/// Adds a call, and removes those that have left the window.
fn record(calls: &mut VecDeque<Instant>, now: Instant) {
    calls.push_back(now);
    while calls.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
        calls.pop_front();
    }
}

impl RateLimiter {
    /// A limiter without a limit yet.
    pub fn new() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(CONCURRENT_CALLS)),
            window: Arc::new(Mutex::new(Window::new(Instant::now()))),
        }
    }

    fn window<T>(&self, change: impl FnOnce(&mut Window) -> T) -> T {
        change(&mut self.window.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A client whose calls go through this limiter.
    pub fn client(&self, client: SharedHttpClient) -> SharedHttpClient {
        let limiter = self.clone();
        http_client_fn(move |settings: &HttpConnectorSettings, components: &RuntimeComponents| {
            let connector = client.http_connector(settings, components);
            SharedHttpConnector::new(LimitedConnector { limiter: limiter.clone(), connector })
        })
    }
}

#[derive(Debug)]
struct LimitedConnector {
    limiter: RateLimiter,
    connector: SharedHttpConnector,
}

impl HttpConnector for LimitedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (limiter, connector) = (self.limiter.clone(), self.connector.clone());
        HttpConnectorFuture::new(async move {
            // The semaphore is never closed. If it were, the call would be sent all the same.
            let _slot = limiter.slots.acquire().await;
            let slot = limiter.window(|window| window.slot(Instant::now()));
            sleep_until(slot).await;
            connector.call(request).await
        })
    }
}

/// Records the outcome of each attempt.
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
            Some(response) if is_throttling(response) => self.window(|window| window.throttled(now)),
            Some(_) => self.window(|window| window.answered(now)),
            None => {}
        }
        Ok(())
    }
}

/// Whether a response throttles the call. The error codes are those of the SDKs (Smithy, retry
/// behaviour).
fn is_throttling(response: &HttpResponse) -> bool {
    const WORDS: [&str; 4] = ["Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown"];
    let status = response.status().as_u16();
    if status < 400 {
        return false;
    }
    let texts = [
        response.headers().get("x-amzn-errortype"),
        response.body().bytes().and_then(|b| str::from_utf8(b).ok()),
    ];
    status == 429 || texts.into_iter().flatten().any(|text| WORDS.iter().any(|word| text.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calls that a service answers and throttles within ten seconds, in virtual time. It
    /// answers at most `limit` calls a second, and `lanes` calls are concurrent.
    fn ten_seconds(limit: usize, lanes: usize) -> (usize, usize) {
        let begun = Instant::now();
        let (mut window, mut answered, mut throttled) = (Window::new(begun), Vec::new(), 0);
        let mut lanes = vec![begun; lanes];
        loop {
            lanes.sort();
            let sent = window.slot(lanes[0]);
            if sent > begun + Duration::from_secs(10) {
                return (answered.len(), throttled);
            }
            let recent =
                answered.iter().filter(|at| sent.duration_since(**at) < Duration::from_secs(1)).count();
            let heard = sent + Duration::from_millis(50);
            if recent < limit {
                answered.push(sent);
                window.answered(heard);
                lanes[0] = heard;
            } else {
                throttled += 1;
                window.throttled(heard);
                lanes[0] = heard + Duration::from_millis(150);
            }
        }
    }

    #[test]
    fn the_rate_is_that_of_the_service() {
        for limit in [5, 10, 25, 100] {
            let (answered, throttled) = ten_seconds(limit, 10);
            assert!(answered >= limit * 6, "{limit} a second: {answered} answered");
            assert!(
                throttled * 2 <= answered,
                "{limit} a second: {answered} answered, {throttled} throttled"
            );
        }
    }

    #[test]
    fn one_call_that_is_throttled_for_another_reason_slows_down_little() {
        let begun = Instant::now();
        let (mut window, mut now) = (Window::new(begun), begun);
        for call in 0..1000 {
            now = window.slot(now) + Duration::from_millis(5);
            if call % 25 == 24 { window.throttled(now) } else { window.answered(now) }
        }
        assert!(now.duration_since(begun) < Duration::from_secs(20), "{:?}", now.duration_since(begun));
    }

    #[test]
    fn a_service_that_answers_all_calls_is_not_slowed_down() {
        assert_eq!(ten_seconds(10_000, 10), (10 * 201, 0));
    }
}
