//! The context on its way to the engine.

use std::io::Read;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;

use crate::ui::Progress;

/// What is read at a time,
const CHUNK: usize = 128 * 1024;
/// and so many chunks wait for the engine.
const AHEAD: usize = 8;

/// Why the context could not be read to its end, if that was so: the engine says nothing but that it ended too early.
#[derive(Debug, Clone, Default)]
pub struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    /// Takes it.
    pub fn take(&self) -> Option<String> {
        self.0.lock().ok()?.take()
    }
}

/// The archive as the body of a request, read on a thread of its own while it is sent.
pub fn of(
    mut tar: impl Read + Send + 'static,
    size: u64,
) -> (impl stream::Stream<Item = std::io::Result<Bytes>> + Send + 'static, Trouble) {
    let (sender, receiver) = mpsc::channel(AHEAD);
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
            // The engine may have had enough: then there is nobody to read for.
            if sender.blocking_send(read).is_err() || is_end {
                return;
            }
        }
    });
    let trouble = Trouble::default();
    let begin = (receiver, Progress::new("sending the context", size), trouble.clone());
    let body = stream::unfold(begin, async |(mut receiver, mut progress, trouble)| {
        let chunk = receiver.recv().await?;
        match &chunk {
            Ok(chunk) => progress.advance(chunk.len() as u64),
            Err(e) => {
                if let Ok(mut trouble) = trouble.0.lock() {
                    *trouble = Some(e.to_string());
                }
            }
        }
        Some((chunk, (receiver, progress, trouble)))
    });
    (body, trouble)
}
