//! Frames over an upgraded connection.

use std::sync::Arc;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::Mutex;

use awsb_model::session_frames::{Frame, FrameDecoder};

/// The two ends of a connection.
pub fn of(upgraded: Upgraded) -> (FrameReader, FrameWriter) {
    let (reader, writer) = split(TokioIo::new(upgraded));
    let reader = FrameReader { stream: reader, decoder: FrameDecoder::default() };
    (reader, FrameWriter(Arc::new(Mutex::new(writer))))
}

/// Reads the frames of a client.
#[derive(Debug)]
pub struct FrameReader {
    stream: ReadHalf<TokioIo<Upgraded>>,
    decoder: FrameDecoder,
}

impl FrameReader {
    /// The next frame. `None` when the client is gone, or sends what is not a frame.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(e) => {
                    tracing::warn!("a session is closed: {e}");
                    return None;
                }
            }
            match self.stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.decoder.push(bytes.get(..n).unwrap_or_default()),
            }
        }
    }
}

/// Sends frames to a client. Those of several tasks do not mix.
#[derive(Debug, Clone)]
pub struct FrameWriter(Arc<Mutex<WriteHalf<TokioIo<Upgraded>>>>);

/// The client is gone.
#[derive(Debug, Clone, Copy)]
pub struct Gone;

impl FrameWriter {
    /// Sends a frame, when the client has taken those before it.
    ///
    /// # Errors
    /// When the client is gone.
    pub async fn send(&self, frame: &Frame) -> Result<(), Gone> {
        let mut stream = self.0.lock().await;
        stream.write_all(&frame.encode()).await.map_err(|_| Gone)?;
        stream.flush().await.map_err(|_| Gone)
    }

    /// Ends the connection.
    pub async fn close(&self) {
        let _ = self.0.lock().await.shutdown().await;
    }
}
