//! A server that misbehaves, at the network: what our tools meet between themselves and AWS.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The reaction of the server to a request that it has read.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Status, body, headers.
    Http(u16, String, Vec<(&'static str, String)>),
    /// The connection is reset (RST) once the request is there: whether it was carried out, the
    /// client cannot know.
    Reset,
    /// No answer, and the connection stays open.
    Hang,
    /// A whole answer, byte for byte, after which the connection is closed.
    Raw(Vec<u8>),
    /// These bytes, and then spaces until the client closes the connection.
    Endless(Vec<u8>),
}

impl Answer {
    /// A JSON answer of Batch or CloudWatch Logs.
    pub fn json(body: serde_json::Value) -> Self {
        Self::Http(200, body.to_string(), vec![("content-type", "application/json".into())])
    }

    /// An error as Batch (REST-JSON) and CloudWatch Logs (JSON 1.1) tell it.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "__type": code, "message": message });
        Self::Http(status, body.to_string(), vec![("x-amzn-errortype", code.into())])
    }

    /// An error as S3 tells it.
    pub fn s3_error(status: u16, code: &str, message: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
             <RequestId>4442587FB7D0A2F9</RequestId></Error>"
        );
        Self::Http(status, body, vec![("content-type", "application/xml".into())])
    }

    /// S3's answer to a put.
    pub fn stored() -> Self {
        Self::Http(200, String::new(), vec![("etag", "\"00000000000000000000000000000000\"".into())])
    }
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `PUT`, …
    pub method: String,
    /// The path with its query.
    pub target: String,
    /// The service in the signature: `s3`, `batch`, `logs`.
    pub service: String,
    /// The headers, their names in lower case.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// An operation of Batch (`submitjob`) by its path, another service's name otherwise.
    pub fn operation(&self) -> &str {
        self.target.strip_prefix("/v1/").unwrap_or(&self.service)
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// By operation, in the order in which they came.
type Requests = Arc<Mutex<HashMap<String, Vec<Request>>>>;

/// An HTTP server on a free port of 127.0.0.1, a thread for each connection. It ends when it is
/// dropped.
#[derive(Debug)]
pub struct BadServer {
    address: SocketAddr,
    requests: Requests,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl BadServer {
    /// `answer` is given each request and how many of the same operation came before it.
    pub fn start(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let requests = Requests::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, stopped, answer) = (Arc::clone(&requests), Arc::clone(&stop), Arc::new(answer));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let (Ok(stream), seen, answer) = (stream, Arc::clone(&seen), Arc::clone(&answer)) else {
                    continue;
                };
                std::thread::spawn(move || converse(stream, &seen, &*answer));
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    /// A port on which nobody listens: connections are refused.
    pub fn closed_port() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("http://{}", listener.local_addr().expect("its address"))
    }

    /// The server's address.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far that were for this operation of Batch, or for this other service.
    pub fn requests(&self, operation: &str) -> Vec<Request> {
        let requests = self.requests.lock().expect("no thread panicked with it");
        requests.get(operation).cloned().unwrap_or_default()
    }
}

impl Drop for BadServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves one connection until the client closes it.
fn converse(stream: TcpStream, requests: &Requests, answer: &dyn Fn(&Request, usize) -> Answer) {
    let Ok(clone) = stream.try_clone() else { return };
    let (mut reader, mut writer) = (BufReader::new(clone), stream);
    while let Some(request) = read(&mut reader, &mut writer) {
        let before = {
            let mut requests = requests.lock().expect("no thread panicked with it");
            let alike = requests.entry(request.operation().to_owned()).or_default();
            alike.push(request.clone());
            alike.len() - 1
        };
        match answer(&request, before) {
            Answer::Http(status, body, headers) => {
                let mut head = format!("HTTP/1.1 {status} Told\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                // An answer to HEAD tells a length, and has no body.
                let body = if request.method == "HEAD" { "" } else { body.as_str() };
                if writer.write_all(format!("{head}\r\n{body}").as_bytes()).is_err() {
                    return;
                }
            }
            // A socket that may not linger is not closed in good order: the kernel sends a reset.
            Answer::Reset => {
                let _ = socket2::SockRef::from(&writer).set_linger(Some(Duration::ZERO));
                return;
            }
            Answer::Raw(bytes) => {
                let _ = writer.write_all(&bytes);
                return;
            }
            Answer::Endless(start) => {
                let mut sent = writer.write_all(&start);
                while sent.is_ok() {
                    sent = writer.write_all(&[b' '; 1 << 16]);
                }
                return;
            }
            // Until the client gives up.
            Answer::Hang => drop(std::io::copy(&mut reader, &mut std::io::sink())),
        }
    }
}

/// The next request; `None` when the client has closed the connection or does not speak HTTP/1.1.
fn read(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> Option<Request> {
    let first = line(reader)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    if headers.contains_key("expect") {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
        loop {
            let size = u64::from_str_radix(line(reader)?.split(';').next()?, 16).ok()?;
            reader.by_ref().take(size).read_to_end(&mut body).ok()?;
            line(reader)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = headers.get("content-length") {
        reader.by_ref().take(length.parse().ok()?).read_to_end(&mut body).ok()?;
    }
    // Credential=KEY/DATE/REGION/SERVICE/aws4_request
    let scope = headers.get("authorization").and_then(|value| value.split("Credential=").nth(1));
    let service = scope.and_then(|scope| scope.split('/').nth(3)).unwrap_or_default().to_owned();
    Some(Request { method, target, service, headers, body })
}

fn line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    match reader.read_line(&mut line) {
        Ok(1..) => Some(line.trim_end().to_owned()),
        _ => None,
    }
}
