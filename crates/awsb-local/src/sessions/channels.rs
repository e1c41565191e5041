//! The two directions of a session, whatever is at its other end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::frames::{FrameReader, FrameWriter, Gone};
use super::registry::Begun;
use awsb_model::session_frames::{Frame, INPUT_WINDOW, SessionTerminal, WindowSize};

/// How much is read at a time. It is less than a frame may have.
const PIECE: usize = 32 * 1024;
/// How long the output of a command that has ended may be silent before it counts as complete,
/// where something that the command has left behind holds it open.
const SILENCE: Duration = Duration::from_millis(300);

/// Something that the client wants besides input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The terminal has this size now.
    Resize(WindowSize),
    /// The command gets the signal with this number.
    Signal(u8),
}

/// A piece of input.
#[derive(Debug)]
pub enum Input {
    /// Bytes.
    Data(Vec<u8>),
    /// There is no more.
    End,
}

/// The frames of a client, in a channel for each kind. Both channels close when the client is gone.
#[derive(Debug)]
pub struct Client {
    /// Input. There is never more of it than the window.
    pub input: UnboundedReceiver<Input>,
    /// Everything else.
    pub control: UnboundedReceiver<Control>,
    /// The bytes of input that have been taken, for the reader's account of the window.
    taken: UnboundedSender<usize>,
}

/// The first frame of a client; `None` when it is gone, or sends another one, or the server stops.
pub async fn start(begun: &Begun, reader: &mut FrameReader) -> Option<Option<SessionTerminal>> {
    let first = tokio::select! {
        first = reader.next() => first,
        () = begun.server_stop() => None,
    };
    match first? {
        Frame::Start(terminal) => Some(terminal),
        _ => None,
    }
}

impl Client {
    /// Reads the frames of a client in a task, at once as they come.
    pub fn reading(mut reader: FrameReader) -> Self {
        let (input_sender, input) = unbounded_channel();
        let (control_sender, control) = unbounded_channel();
        let (taken, mut taken_receiver) = unbounded_channel::<usize>();
        tokio::spawn(async move {
            let mut pending = 0_usize;
            loop {
                let frame = tokio::select! {
                    frame = reader.next() => frame,
                    // The session is over.
                    () = control_sender.closed() => return,
                };
                while let Ok(taken) = taken_receiver.try_recv() {
                    pending = pending.saturating_sub(taken);
                }
                let sent = match frame {
                    Some(Frame::Input(data)) => {
                        pending += data.len();
                        if pending > INPUT_WINDOW {
                            tracing::warn!("a session is closed: its client sends more than it may");
                            return;
                        }
                        input_sender.send(Input::Data(data)).is_ok()
                    }
                    Some(Frame::EndOfInput) => input_sender.send(Input::End).is_ok(),
                    Some(Frame::Resize(size)) => control_sender.send(Control::Resize(size)).is_ok(),
                    Some(Frame::Signal(number)) => control_sender.send(Control::Signal(number)).is_ok(),
                    Some(_) | None => return,
                };
                // Input that nobody takes any more does not end the session.
                let _ = sent;
            }
        });
        Self { input, control, taken }
    }
}

/// What the end of the input is for the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOfInput {
    /// Its standard input is closed.
    Closed,
    /// It gets this byte, as from the keyboard of its terminal.
    Typed(u8),
}

/// Passes input on to a command or a port, until there is no more. What cannot be written any more
/// is dropped, as nobody will read it.
pub async fn pass_input(
    input: &mut UnboundedReceiver<Input>,
    taken: &UnboundedSender<usize>,
    sink: impl AsyncWrite,
    end: EndOfInput,
    writer: &FrameWriter,
) {
    let mut sink = std::pin::pin!(sink);
    let mut is_open = true;
    while let Some(piece) = input.recv().await {
        match piece {
            Input::Data(data) => {
                if is_open {
                    is_open = sink.write_all(&data).await.is_ok() && sink.flush().await.is_ok();
                }
                let _ = taken.send(data.len());
                let count = u32::try_from(data.len()).unwrap_or(u32::MAX);
                if writer.send(&Frame::Accepted(count)).await.is_err() {
                    return;
                }
            }
            Input::End => {
                match end {
                    EndOfInput::Closed => drop(sink.shutdown().await),
                    EndOfInput::Typed(byte) => drop(sink.write_all(&[byte]).await),
                }
                return;
            }
        }
    }
}

impl Client {
    /// Takes the channels apart, so that input and control can be waited for at the same time.
    pub fn parts(self) -> (UnboundedReceiver<Input>, UnboundedReceiver<Control>, UnboundedSender<usize>) {
        (self.input, self.control, self.taken)
    }
}

/// Whether output is still coming.
#[derive(Debug, Default)]
pub struct Activity {
    count: AtomicU64,
    /// Something has been read and the client has not taken it yet.
    is_sending: AtomicBool,
}

impl Activity {
    /// Returns when nothing has come for a while.
    pub async fn silence(&self) {
        loop {
            let before = self.count.load(Ordering::Relaxed);
            tokio::time::sleep(SILENCE).await;
            if self.count.load(Ordering::Relaxed) == before && !self.is_sending.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// Sends the output of a command to the client until it ends. The output is read no faster than the
/// client takes it.
///
/// # Errors
/// When the client is gone.
pub async fn pass_output(
    source: impl AsyncRead,
    frame: impl Fn(Vec<u8>) -> Frame,
    activity: &Activity,
    writer: &FrameWriter,
) -> Result<(), Gone> {
    let mut source = std::pin::pin!(source);
    let mut bytes = vec![0; PIECE];
    loop {
        // On Linux a terminal without a program has the error EIO: it has ended.
        let Ok(n @ 1..) = source.read(&mut bytes).await else { return Ok(()) };
        activity.is_sending.store(true, Ordering::Relaxed);
        activity.count.fetch_add(1, Ordering::Relaxed);
        let sent = writer.send(&frame(bytes.get(..n).unwrap_or_default().to_vec())).await;
        activity.is_sending.store(false, Ordering::Relaxed);
        sent?;
    }
}
