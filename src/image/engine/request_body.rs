//! The body of a build request: the context, sent to the engine.

use std::io::Read;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;

use crate::ui::ProgressBar;

/// The size of a chunk.
const CHUNK: usize = 128 * 1024;
/// The number of chunks that wait for the engine at most.
const QUEUED_CHUNKS: usize = 8;

/// The reason why the context could not be read to its end, if so. The engine only reports that it
/// ended too early.
#[derive(Debug, Clone, Default)]
pub struct ReadError(Arc<Mutex<Option<String>>>);

impl ReadError {
    /// Takes the reason out.
    pub fn take(&self) -> Option<String> {
        self.0.lock().ok()?.take()
    }
}

/// The archive as the body of a request. A thread reads it while it is sent.
pub fn from_reader(
    mut tar: impl Read + Send + 'static,
    size: u64,
    quiet: bool,
) -> (impl stream::Stream<Item = std::io::Result<Bytes>> + Send + 'static, ReadError) {
    let (sender, receiver) = mpsc::channel(QUEUED_CHUNKS);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = match tar.read(&mut chunk) {
                Ok(0) => return,
                Ok(count) => {
                    chunk.truncate(count);
                    Ok(Bytes::from(chunk))
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
            let is_end = read.is_err();
            // The engine may have ended the request already.
            if sender.blocking_send(read).is_err() || is_end {
                return;
            }
        }
    });
    let read_error = ReadError::default();
    let begin = (receiver, ProgressBar::new("sending the context", size).unless(quiet), read_error.clone());
    let body = stream::unfold(begin, async |(mut receiver, mut progress, read_error)| {
        let chunk = receiver.recv().await?;
        match &chunk {
            Ok(chunk) => progress.advance(chunk.len() as u64),
            Err(e) => {
                if let Ok(mut read_error) = read_error.0.lock() {
                    *read_error = Some(e.to_string());
                }
            }
        }
        Some((chunk, (receiver, progress, read_error)))
    });
    (body, read_error)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    struct Broken(usize);

    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0 {
                0 => Err(std::io::Error::other("data.bin has changed")),
                _ => {
                    self.0 -= 1;
                    buffer.fill(7);
                    Ok(buffer.len())
                }
            }
        }
    }

    #[tokio::test]
    async fn a_context_that_cannot_be_read_is_told() {
        let (body, read_error) = from_reader(Broken(20), 1, true);
        let chunks: Vec<_> = body.collect().await;
        assert_eq!((chunks.len(), chunks.iter().filter(|chunk| chunk.is_ok()).count()), (21, 20));
        assert_eq!(read_error.take().as_deref(), Some("data.bin has changed"));
        let (body, read_error) = from_reader(std::io::Cursor::new(vec![1; 300_000]), 300_000, true);
        let sizes: Vec<usize> = body.map(|chunk| chunk.map_or(0, |chunk| chunk.len())).collect().await;
        assert_eq!((sizes.iter().sum::<usize>(), read_error.take()), (300_000, None));
    }
}
