//! Accepting connections, and answering their requests.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::header::UPGRADE;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket};

use super::connections::{AnswerBody, Connections};
use crate::http::Gateway;
use crate::sessions::Hold;
use crate::time::now_ms;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// The most connections that are open at once. However many clients there are, descriptors are left
/// for runners, databases and locks.
pub fn max_connections(descriptors: u64) -> usize {
    usize::try_from(descriptors / 4).unwrap_or(usize::MAX).clamp(8, 4096)
}

/// Binds the port of the last server, if nobody has taken it, so that the exports of `blocal env`
/// stay valid. Else binds any port.
///
/// # Errors
/// When no port can be bound.
pub fn bind_port(last: Option<u16>) -> io::Result<TcpSocket> {
    let bound = |port: u16| {
        let socket = TcpSocket::new_v4()?;
        // Connections of the last server may still be closing.
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        Ok(socket)
    };
    last.and_then(|port| bound(port).ok()).map_or_else(|| bound(0), Ok)
}

/// Accepts connections.
#[derive(Clone)]
pub struct Acceptor {
    gateway: Arc<Gateway>,
    last_request: Arc<AtomicI64>,
    connections: Arc<Connections>,
    graceful: Arc<GracefulShutdown>,
}

impl Acceptor {
    /// Has `gateway` answer requests, and writes the time of the last one to `last_request`. When
    /// `graceful` shuts down, open requests are answered and no others.
    pub fn new(
        gateway: Arc<Gateway>,
        last_request: Arc<AtomicI64>,
        connections: Arc<Connections>,
        graceful: Arc<GracefulShutdown>,
    ) -> Self {
        Self { gateway, last_request, connections, graceful }
    }

    /// Serves the connections of the peers that may connect.
    pub async fn accept(&self, listener: &TcpListener, may_connect: impl Fn(IpAddr) -> bool) -> Infallible {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, peer)) if may_connect(peer.ip()) => stream,
                Ok(_) => continue,
                Err(e) => {
                    // Most likely no descriptor is free; some will be again.
                    tracing::warn!("accepting a connection: {e}");
                    self.connections.close_one();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (slot, close) = self.connections.enter().await;
            let _ = stream.set_nodelay(true);
            let (gateway, last_request) = (Arc::clone(&self.gateway), Arc::clone(&self.last_request));
            let service = service_fn(move |mut request: Request<Incoming>| {
                last_request.store(now_ms(), Ordering::Relaxed);
                let (gateway, slot, busy) = (Arc::clone(&gateway), Arc::clone(&slot), slot.busy());
                // A session goes on when its request has been answered.
                if request.headers().contains_key(UPGRADE) {
                    request.extensions_mut().insert(Hold(Arc::new(slot.busy())));
                }
                async move {
                    let response = gateway.answer(request).await?;
                    // Without a valid signature every response is a refusal.
                    let status = response.status();
                    if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
                        slot.set_authenticated();
                    }
                    Ok::<_, Infallible>(response.map(|body| AnswerBody::new(body, busy)))
                }
            });
            let mut server = auto::Builder::new(TokioExecutor::new()).http1_only();
            server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
            let connection = self.graceful.watch(connection.into_owned());
            tokio::spawn(async move {
                // Errors here are clients that went away, or do not speak HTTP.
                tokio::select! {
                    _ = connection => {}
                    Ok(()) = close => {}
                }
            });
        }
    }
}
