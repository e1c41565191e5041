//! A wire that loses replies.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A TCP proxy in front of a server of HTTP/1.1. The reply to every so-many-th SubmitJob comes from
/// the server, which has acted, and does not reach the client, whose connection is reset.
#[derive(Debug)]
pub struct LossyProxy {
    address: SocketAddr,
    lost: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl LossyProxy {
    /// Starts it in front of `server` (`http://HOST:PORT`); each `period`-th reply is lost.
    pub fn start(server: &str, period: usize) -> Self {
        let server = server.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (seen, lost, stop) = (Arc::new(AtomicUsize::new(0)), Arc::default(), Arc::default());
        let proxy = Self { address, lost: Arc::clone(&lost), stop: Arc::clone(&stop) };
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else { continue };
                let (seen, lost) = (Arc::clone(&seen), Arc::clone(&lost));
                std::thread::spawn(move || carry(&client, &server, period, &seen, &lost));
            }
        });
        proxy
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many replies it has lost.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

impl Drop for LossyProxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn carry(client: &TcpStream, server: &TcpStream, period: usize, seen: &AtomicUsize, lost: &AtomicUsize) {
    let lose = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            each(client, |bytes| {
                // A request's head comes in one piece: it is short, and the client writes it at
                // once.
                if bytes.starts_with(b"POST /v1/submitjob")
                    && seen.fetch_add(1, Ordering::SeqCst).is_multiple_of(period)
                {
                    lose.store(true, Ordering::SeqCst);
                }
                (&*server).write_all(bytes).is_ok()
            });
            let _ = server.shutdown(Shutdown::Write);
        });
        each(server, |bytes| {
            if lose.swap(false, Ordering::SeqCst) {
                lost.fetch_add(1, Ordering::SeqCst);
                // A socket that may not linger is reset when it is closed.
                let _ = socket2::SockRef::from(client).set_linger(Some(Duration::ZERO));
                return false;
            }
            (&*client).write_all(bytes).is_ok()
        });
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    });
}

/// Hands on what comes, until the end or until `hand_on` has had enough.
fn each(mut stream: &TcpStream, mut hand_on: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if !hand_on(&buffer[..count]) {
            break;
        }
    }
}
