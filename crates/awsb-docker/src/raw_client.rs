//! Requests that bollard does not have, or whose answers it does not tell in full: which builder
//! the engine has (a header), and what becomes of each layer of a push.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::error::GREETING_TIMEOUT;

/// How long an engine may take to begin its answer. A push is answered once the registry was asked.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// A way to the engine at an address, as [`super::connect`] takes it.
#[derive(Debug, Clone)]
pub struct RawClient {
    address: String,
}

/// A byte stream to the engine and back.
trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carrier for T {}

/// The answer of an engine to a ping (Docker Engine API, `SystemPing`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ping {
    /// The builder that it prefers: `1` is the classic one, `2` is `BuildKit`. Docker from 23.0 on
    /// names one, earlier versions do when their settings do, and Podman names none.
    pub builder: Option<String>,
    /// The newest version of the API that it speaks.
    pub api_version: Option<(u32, u32)>,
    /// `linux` or `windows`: the operating system of its containers.
    pub os: Option<String>,
    /// The program and its version, such as `Docker/20.10.24 (linux)`.
    pub server: Option<String>,
}

impl RawClient {
    /// The way to the engine at this address.
    pub fn to(address: &str) -> Self {
        Self { address: address.to_owned() }
    }

    /// Asks what the engine is.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ping(&self) -> io::Result<Ping> {
        let request = self.request(Method::GET, "/_ping", &[])?;
        let answer = tokio::time::timeout(GREETING_TIMEOUT, self.send(request)).await.map_err(timeout)??;
        let header = |name: &str| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
        let version = |text: String| {
            let (major, minor) = text.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        };
        Ok(Ping {
            builder: header("builder-version").filter(|builder| !builder.is_empty()),
            api_version: header("api-version").and_then(version),
            os: header("ostype"),
            server: header("server"),
        })
    }

    /// Posts nothing to a path and reads the answer line by line, as it comes. The headers may be
    /// secret.
    ///
    /// # Errors
    /// When the engine does not answer, or refuses: then in its own words.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<JsonLines<T>> {
        let request = self.request(Method::POST, path, headers)?;
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.send(request)).await.map_err(timeout)??;
        let status = answer.status();
        let mut body = answer.into_body();
        if status.is_success() {
            return Ok(JsonLines { body, buffer: Vec::new(), ended: false, kind: std::marker::PhantomData });
        }
        let mut answer = Vec::new();
        while let Some(frame) = body.frame().await {
            answer.extend(frame.map_err(io::Error::other)?.into_data().unwrap_or_default());
        }
        Err(io::Error::other(error_message(status, &answer)))
    }

    /// Starts a command that has been created in a container (Docker Engine API, `ExecStart`), and
    /// returns the connection with its input and output: bytes of its terminal, or else output in
    /// the engine's frames. bollard takes the first bytes of a terminal for such frames.
    ///
    /// # Errors
    /// When the engine does not answer, or refuses: then in its own words.
    pub async fn start_exec(&self, id: &str, has_terminal: bool) -> io::Result<TokioIo<Upgraded>> {
        let body = format!("{{\"Detach\":false,\"Tty\":{has_terminal}}}");
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/exec/{id}/start"))
            .header("host", "docker")
            .header("content-type", "application/json")
            .header("connection", "Upgrade")
            .header("upgrade", "tcp")
            .body(Full::new(Bytes::from(body)))
            .map_err(io::Error::other)?;
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.send(request)).await.map_err(timeout)??;
        let status = answer.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return hyper::upgrade::on(answer).await.map(TokioIo::new).map_err(io::Error::other);
        }
        let body = answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        Err(io::Error::other(error_message(status, &body)))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<Request<Empty<Bytes>>> {
        let mut request = Request::builder().method(method).uri(path).header("host", "docker");
        for (name, value) in headers {
            let mut value = http::HeaderValue::from_str(value).map_err(io::Error::other)?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        request.body(Empty::new()).map_err(io::Error::other)
    }

    async fn send<B>(&self, request: Request<B>) -> io::Result<Response<Incoming>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync,
    {
        let carrier: Box<dyn Carrier> = match self.address.split_once("://") {
            Some(("unix", path)) => Box::new(UnixStream::connect(path).await?),
            Some((_, host)) => Box::new(TcpStream::connect(host.trim_end_matches('/')).await?),
            None => return Err(io::Error::other("this is not the address of an engine")),
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(carrier)).await.map_err(io::Error::other)?;
        // It ends when the answer is read, or dropped.
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.map_err(io::Error::other)
    }
}

fn timeout(_: tokio::time::error::Elapsed) -> io::Error {
    io::Error::other("the Docker engine did not answer in time")
}

/// The engine's own message in an answer that is an error.
fn error_message(status: StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct ErrorBody {
        message: String,
    }
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(answer) => answer.message.trim().to_owned(),
        Err(_) => format!("HTTP status {}", status.as_u16()),
    }
}

/// An answer that consists of lines of JSON, as it comes in.
#[derive(Debug)]
pub struct JsonLines<T> {
    body: Incoming,
    buffer: Vec<u8>,
    ended: bool,
    kind: std::marker::PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> JsonLines<T> {
    /// The next line; `None` after the last one.
    ///
    /// # Errors
    /// When the connection ends in the middle, or a line is not the JSON of a `T`.
    pub async fn next(&mut self) -> io::Result<Option<T>> {
        loop {
            let end = self.buffer.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let end = end.or_else(|| self.ended.then_some(self.buffer.len()));
            if let Some(end) = end {
                let line: Vec<u8> = self.buffer.drain(..end).collect();
                if !line.trim_ascii().is_empty() {
                    return serde_json::from_slice(&line).map(Some).map_err(io::Error::from);
                }
                if self.ended {
                    return Ok(None);
                }
                continue;
            }
            match self.body.frame().await {
                Some(frame) => {
                    let frame = frame.map_err(io::Error::other)?;
                    self.buffer.extend(frame.into_data().unwrap_or_default());
                }
                None => self.ended = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_in_the_engines_words() {
        assert_eq!(
            error_message(StatusCode::NOT_FOUND, b"{\"message\":\"no such image: x\\n\"}"),
            "no such image: x"
        );
        assert_eq!(error_message(StatusCode::BAD_GATEWAY, b"<html>"), "HTTP status 502");
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there() {
        assert!(RawClient::to("unix:///no/such/socket").ping().await.is_err());
    }
}
