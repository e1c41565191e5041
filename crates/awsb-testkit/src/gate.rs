//! A gate between the tools and a server: lets so many parts of uploads through, and holds the
//! others.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// A part that is held does not pass within this time: the test has failed.
const LIMIT: Duration = Duration::from_secs(120);

/// The answer for any CodeBuild project: the servers behind gates have no CodeBuild, so each
/// project exists.
const A_PROJECT: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: 27\r\n\r\n\
                         {\"projects\":[{\"name\":\"p\"}]}";

/// An HTTP/1.1 proxy for one server. But for BatchGetProjects, what goes through is not changed, so
/// signatures hold.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: String,
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    /// The numbers of the parts that the server has answered for.
    stored: Vec<u32>,
    held: usize,
    let_through: usize,
    limit: usize,
}

impl Gate {
    /// A gate to the server at `endpoint` that lets the first `limit` parts through.
    pub fn to(endpoint: &str, limit: usize) -> Self {
        let server = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let state = Mutex::new(GateState { limit, ..GateState::default() });
        let shared = Arc::new(Shared { server, state, changed: Condvar::new() });
        let handler = Arc::clone(&shared);
        let address = each_connection(move |stream| {
            handler.converse(stream);
        });
        Self { address, shared }
    }

    /// The gate's address.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until all that may pass is stored, and so many others are held. When they are as many
    /// as are on their way at once, the sender has heard of those that are stored.
    #[track_caller]
    pub fn wait_until_closed(&self, held: usize) {
        let state = self.shared.lock();
        let going_on = |state: &mut GateState| state.stored.len() < state.limit || state.held < held;
        let (_seen, timeout) =
            self.shared.changed.wait_timeout_while(state, LIMIT, going_on).expect("no panic");
        assert!(!timeout.timed_out(), "not so many parts were held");
    }

    /// Lets everything through from here on.
    pub fn open(&self) {
        self.shared.lock().limit = usize::MAX;
        self.shared.changed.notify_all();
    }

    /// The numbers of the parts that have arrived through the gate, in order.
    pub fn parts(&self) -> Vec<u32> {
        let mut parts = self.shared.lock().stored.clone();
        parts.sort_unstable();
        parts
    }
}

/// Listens on a free port, and hands each connection to a thread of its own. It ends with the
/// test's process.
pub(super) fn each_connection(converse: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let converse = Arc::new(converse);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let converse = Arc::clone(&converse);
            std::thread::spawn(move || converse(stream));
        }
    });
    address
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().expect("no thread panicked with it")
    }

    /// Hands requests on and answers back, until one side has had enough.
    fn converse(&self, client: TcpStream) -> Option<()> {
        let server = TcpStream::connect(&self.server).ok()?;
        let mut from_client = BufReader::new(client.try_clone().ok()?);
        let mut from_server = BufReader::new(server.try_clone().ok()?);
        let (mut to_client, mut to_server) = (client, server);
        loop {
            let head = Head::read(&mut from_client)?;
            if head.text.contains("CodeBuild_20161006.BatchGetProjects") {
                head.copy_body(&mut from_client, &mut std::io::sink(), false)?;
                to_client.write_all(A_PROJECT.as_bytes()).ok()?;
                continue;
            }
            let part = head.part();
            if part.is_some() {
                self.wait_for_the_gate();
            }
            to_server.write_all(head.text.as_bytes()).ok()?;
            head.copy_body(&mut from_client, &mut to_server, false)?;
            let answer = Head::read(&mut from_server)?;
            to_client.write_all(answer.text.as_bytes()).ok()?;
            answer.copy_body(&mut from_server, &mut to_client, head.text.starts_with("HEAD "))?;
            if let Some(part) = part {
                self.lock().stored.push(part);
                self.changed.notify_all();
            }
        }
    }

    fn wait_for_the_gate(&self) {
        let mut state = self.lock();
        state.held += 1;
        self.changed.notify_all();
        let closed = |state: &mut GateState| state.let_through >= state.limit;
        let (mut state, _) = self.changed.wait_timeout_while(state, LIMIT, closed).expect("no panic");
        state.held -= 1;
        state.let_through += 1;
    }
}

/// The first line and the headers of a message, as they are.
pub(super) struct Head {
    pub(super) text: String,
}

impl Head {
    pub(super) fn read(from: &mut impl BufRead) -> Option<Self> {
        let mut text = String::new();
        loop {
            match from.read_line(&mut text) {
                Ok(1..) if text.ends_with("\r\n\r\n") => return Some(Self { text }),
                Ok(1..) => {}
                _ => return None,
            }
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.text.lines().filter_map(|line| line.split_once(':'));
        pairs.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The number of the part that this request puts.
    fn part(&self) -> Option<u32> {
        let target = self.text.strip_prefix("PUT ")?.split(' ').next()?;
        target.split(['?', '&']).find_map(|p| p.strip_prefix("partNumber="))?.parse().ok()
    }

    pub(super) fn copy_body(
        &self,
        from: &mut impl BufRead,
        to: &mut impl Write,
        has_none: bool,
    ) -> Option<()> {
        if has_none {
            return Some(());
        }
        if self.header("transfer-encoding").is_some_and(|value| value == "chunked") {
            loop {
                let mut line = String::new();
                from.read_line(&mut line).ok()?;
                to.write_all(line.as_bytes()).ok()?;
                let size = u64::from_str_radix(line.trim().split(';').next()?, 16).ok()?;
                std::io::copy(&mut from.by_ref().take(size + 2), to).ok()?;
                if size == 0 {
                    return Some(());
                }
            }
        }
        let length: u64 = self.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        let copied = std::io::copy(&mut from.by_ref().take(length), to).ok()?;
        (copied == length).then_some(())
    }
}
