//! A long and bad wire to a server that works.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::gate::{Head, each_connection};

/// The delays and limits of the wire.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wire {
    /// Each answer comes so much later.
    pub latency: Duration,
    /// More calls in a second are throttled, as Batch and CloudWatch Logs do it; 0: none are. For
    /// benches: how many that are depends on what else the machine does.
    pub calls_per_second: usize,
    /// Each so-many-th call is throttled, however fast they come; 0: none is.
    pub throttles: usize,
    /// Each so-many-th connection is reset: in turns before the request has reached the server and
    /// after; 0: none is.
    pub resets: usize,
}

/// The requests and bytes that have gone over the wire.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Requests that the server has answered.
    pub answered: usize,
    /// Requests that were turned away.
    pub throttled: usize,
    /// Requests whose connection was reset.
    pub reset: usize,
    /// The most that were under way at one time.
    pub at_once: usize,
}

/// An HTTP/1.1 proxy for one server. It changes no bytes, so signatures hold.
#[derive(Debug)]
pub struct Slow {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: String,
    wire: Wire,
    state: Mutex<WireState>,
}

#[derive(Debug, Default)]
struct WireState {
    traffic: Traffic,
    requests: usize,
    under_way: usize,
    /// When the requests of the last second came that were not turned away.
    recent: Vec<Instant>,
}

/// The treatment of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Treatment {
    Answered,
    Throttled,
    ResetBefore,
    ResetAfter,
}

impl Slow {
    /// A wire to the server at `endpoint`.
    pub fn to(endpoint: &str, wire: Wire) -> Self {
        let server = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let shared = Arc::new(Shared { server, wire, state: Mutex::default() });
        let handler = Arc::clone(&shared);
        let address = each_connection(move |stream| {
            handler.converse(stream);
        });
        Self { address, shared }
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The traffic so far.
    pub fn traffic(&self) -> Traffic {
        self.shared.state.lock().expect("no thread panicked with it").traffic
    }
}

impl Shared {
    /// Hands requests on and answers back, until one side has had enough.
    fn converse(&self, client: TcpStream) -> Option<()> {
        let server = TcpStream::connect(&self.server).ok()?;
        for stream in [&client, &server] {
            stream.set_nodelay(true).ok()?;
        }
        let mut from_client = BufReader::new(client.try_clone().ok()?);
        let mut from_server = BufReader::new(server.try_clone().ok()?);
        let (mut to_client, mut to_server) = (client, server);
        loop {
            let head = Head::read(&mut from_client)?;
            let mut request = head.text.clone().into_bytes();
            head.copy_body(&mut from_client, &mut request, false)?;
            let treatment = self.treatment();
            let handed_on =
                self.hand_on(treatment, &head, &request, (&mut from_server, &mut to_server, &mut to_client));
            self.state.lock().expect("no thread panicked with it").under_way -= 1;
            if handed_on.is_none() {
                // A socket that may not linger is reset when it is closed.
                let _ = socket2::SockRef::from(&to_client).set_linger(Some(Duration::ZERO));
                return None;
            }
        }
    }

    fn treatment(&self) -> Treatment {
        let mut state = self.state.lock().expect("no thread panicked with it");
        state.requests += 1;
        state.under_way += 1;
        state.traffic.at_once = state.traffic.at_once.max(state.under_way);
        if self.wire.resets > 0 && state.requests.is_multiple_of(self.wire.resets) {
            state.traffic.reset += 1;
            let is_before = (state.requests / self.wire.resets).is_multiple_of(2);
            return if is_before { Treatment::ResetBefore } else { Treatment::ResetAfter };
        }
        let now = Instant::now();
        state.recent.retain(|at| now.duration_since(*at) < Duration::from_secs(1));
        let is_throttled = self.wire.throttles > 0 && state.requests.is_multiple_of(self.wire.throttles);
        if is_throttled || self.wire.calls_per_second > 0 && state.recent.len() >= self.wire.calls_per_second
        {
            state.traffic.throttled += 1;
            return Treatment::Throttled;
        }
        state.recent.push(now);
        state.traffic.answered += 1;
        Treatment::Answered
    }

    fn hand_on(
        &self,
        treatment: Treatment,
        head: &Head,
        request: &[u8],
        (from_server, to_server, to_client): (&mut BufReader<TcpStream>, &mut TcpStream, &mut TcpStream),
    ) -> Option<()> {
        std::thread::sleep(self.wire.latency);
        match treatment {
            Treatment::ResetBefore => return None,
            Treatment::Throttled => return to_client.write_all(turned_away(head).as_bytes()).ok(),
            Treatment::Answered | Treatment::ResetAfter => to_server.write_all(request).ok()?,
        }
        let answer = Head::read(from_server)?;
        let mut whole = answer.text.clone().into_bytes();
        answer.copy_body(from_server, &mut whole, head.text.starts_with("HEAD "))?;
        if treatment == Treatment::ResetAfter {
            return None;
        }
        to_client.write_all(&whole).ok()
    }
}

/// Batch's answer to one call too many, or that of the services that speak JSON 1.1.
fn turned_away(head: &Head) -> String {
    let (status, code) = match head.text.starts_with("POST /v1/") {
        true => ("429 Too Many Requests", "TooManyRequestsException"),
        false => ("400 Bad Request", "ThrottlingException"),
    };
    let body = format!("{{\"__type\":\"{code}\",\"message\":\"Rate exceeded\"}}");
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-amzn-errortype: {code}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
