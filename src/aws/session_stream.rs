//! The connection of a session whose URL is `http://127.0.0.1:…`, as the local cluster answers
//! with: an HTTP upgrade, and frames from there on. A session of AWS has a URL with `wss://`, for
//! which Systems Manager has its plugin.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

use awsb_model::session_frames::{Frame, FrameDecoder, PROTOCOL, TOKEN_HEADER};

/// How long the connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes that the answer to the upgrade has.
const MAX_HEAD: usize = 16 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The URL is not one that this client connects to.
    #[error("the answer names a stream at {0}, which is not on this machine")]
    Elsewhere(String),
    /// The connection cannot be made.
    #[error("connecting to {address}: {source}")]
    Connection {
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: std::io::Error,
    },
    /// The server does not begin the session.
    #[error("the session is refused: {0}")]
    Refused(String),
}

/// The address of a stream on this machine. `None`: the URL is another one.
///
/// The token travels without encryption, so nothing but a loopback address will do.
fn loopback(url: &str) -> Option<(SocketAddr, String)> {
    let uri: Uri = url.parse().ok()?;
    let address: Ipv4Addr = uri.host()?.parse().ok()?;
    let path = uri.path_and_query()?.as_str().to_owned();
    (uri.scheme_str() == Some("http") && address.is_loopback())
        .then_some((SocketAddr::new(IpAddr::V4(address), uri.port_u16()?), path))
}

/// Whether a URL is one of Systems Manager, which its plugin connects to.
pub fn needs_plugin(url: &str) -> bool {
    url.starts_with("wss://")
}

/// Connects to a session.
///
/// # Errors
/// When the URL is not on this machine, or the session does not begin.
pub async fn connect(url: &str, token: &str) -> Result<(StreamReader, StreamWriter), StreamError> {
    let (address, path) = loopback(url).ok_or_else(|| StreamError::Elsewhere(url.to_owned()))?;
    let failed = |source| StreamError::Connection { address, source };
    let begin = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n\
             {TOKEN_HEADER}: {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let (mut head, mut bytes) = (Vec::new(), [0; 4096]);
        loop {
            if let Some(end) = head.windows(4).position(|end| end == b"\r\n\r\n") {
                return Ok((stream, head, end + 4));
            }
            match stream.read(&mut bytes).await? {
                n @ 1.. if head.len() <= MAX_HEAD => {
                    head.extend_from_slice(bytes.get(..n).unwrap_or_default())
                }
                _ => return Err(std::io::Error::other("the server does not answer")),
            }
        }
    };
    let begun = tokio::time::timeout(CONNECT_TIMEOUT, begin).await;
    let (stream, head, end) =
        begun.unwrap_or_else(|_| Err(std::io::Error::other("no answer"))).map_err(failed)?;
    let (answer, rest) = head.split_at(end);
    let answer = String::from_utf8_lossy(answer);
    if !answer.starts_with("HTTP/1.1 101 ") {
        let why = String::from_utf8_lossy(rest).trim().to_owned();
        let status = answer.lines().next().unwrap_or_default().to_owned();
        return Err(StreamError::Refused(if why.is_empty() { status } else { why }));
    }
    let mut decoder = FrameDecoder::default();
    decoder.push(rest);
    let (reader, writer) = stream.into_split();
    Ok((StreamReader { stream: reader, decoder }, StreamWriter(Arc::new(Mutex::new(writer)))))
}

/// Reads the frames of a server.
#[derive(Debug)]
pub struct StreamReader {
    stream: OwnedReadHalf,
    decoder: FrameDecoder,
}

impl StreamReader {
    /// The next frame. `None` when the connection has ended, or carries what is not a frame.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            if let Some(frame) = self.decoder.next_frame().ok()? {
                return Some(frame);
            }
            match self.stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.decoder.push(bytes.get(..n).unwrap_or_default()),
            }
        }
    }
}

/// Sends frames to a server.
#[derive(Debug, Clone)]
pub struct StreamWriter(Arc<Mutex<OwnedWriteHalf>>);

impl StreamWriter {
    /// Sends a frame. Returns whether the connection has taken it.
    pub async fn send(&self, frame: &Frame) -> bool {
        self.0.lock().await.write_all(&frame.encode()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_leaves_this_machine_without_encryption() {
        let (address, path) = loopback("http://127.0.0.1:8000/awsb/session/1").unwrap();
        assert_eq!((address.to_string(), path.as_str()), ("127.0.0.1:8000".to_owned(), "/awsb/session/1"));
        for other in [
            "http://192.0.2.1:80/x",
            "http://localhost:80/x",
            "http://127.0.0.1.example:80/x",
            "https://127.0.0.1:80/x",
            "http://127.0.0.1/x",
            "wss://ssmmessages.eu-west-1.amazonaws.com/v1/x",
            "",
        ] {
            assert!(loopback(other).is_none(), "{other}");
        }
        assert!(needs_plugin("wss://ssmmessages.eu-west-1.amazonaws.com/v1/x"));
        assert!(!needs_plugin("http://127.0.0.1:1/"));
    }
}
