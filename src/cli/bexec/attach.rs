//! A command in a job, attached to the standard streams of this one.

use std::io::{ErrorKind as IoErrorKind, Read, Write};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::terminal::{self, RawMode};
use crate::aws::session_stream::{StreamReader, StreamWriter};
use crate::ui::{EndSignal, ErrorKind, Exit, Failure, SignalListener, print_message, stdout_failure};
use awsb_model::session_frames::{Frame, INPUT_WINDOW, SessionTerminal};

/// How much of standard input is read at a time.
const PIECE: usize = 32 * 1024;
/// How many pieces wait between a thread and the session.
const QUEUED: usize = 4;

/// How a session has ended.
enum End {
    /// The command has this exit code.
    Exited(u8),
    /// It has failed, for this reason.
    Failed(String),
    /// The connection has ended before the command.
    Lost,
}

/// Output for one of the two streams.
enum Output {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

/// Runs the command of a session, until it ends or a signal ends this tool. The exit code is the
/// command's. `job` is the job in messages.
///
/// # Errors
/// When the session fails, or the output cannot be written.
pub async fn attach(
    (mut reader, writer): (StreamReader, StreamWriter),
    terminal: Option<SessionTerminal>,
    job: &str,
) -> Result<Exit, Failure> {
    let has_terminal = terminal.is_some();
    let mut signals = SignalListener::listen();
    let resized = signal(SignalKind::window_change())
        .map_err(|e| Failure::failed(format!("listening for the size of the terminal: {e}")))?;
    writer.send(&Frame::Start(terminal)).await;
    let raw = if has_terminal { RawMode::set() } else { None };
    let (pieces, window) = (read_input(raw.is_some()), Semaphore::new(INPUT_WINDOW));
    let (output, written) = write_output();
    let receive = receive(&mut reader, output, &window);
    let send = send(pieces, &writer, &window, raw.is_some());
    let resize = resize(resized, &writer, has_terminal);
    let mut is_interrupted = false;
    tokio::pin!(written);
    let ended = {
        tokio::pin!(receive, send, resize);
        loop {
            tokio::select! {
                ended = &mut receive => break Ok(Ok(ended)),
                // Before the end of the command, only a failure ends the writing.
                Err(failure) = &mut written => break Ok(Err(failure)),
                () = &mut send => break Err(EndSignal::HangUp),
                never = &mut resize => match never {},
                signal = signals.next() => match signal {
                    // The command decides what Ctrl-C means; a second one is for this tool.
                    EndSignal::Interrupt if !is_interrupted => {
                        is_interrupted = true;
                        writer.send(&Frame::Signal(signal.number())).await;
                    }
                    signal => break Err(signal),
                },
            }
        }
    };
    // All that the command has written is on its way to the reader.
    let ended = match ended {
        Ok(Ok(ended)) => {
            tokio::select! {
                outcome = &mut written => Ok(match outcome {
                    Err(failure) if !failure.is_reader_gone() => Err(failure),
                    Ok(()) | Err(_) => Ok(ended),
                }),
                signal = signals.next() => Err(signal),
            }
        }
        ended => ended,
    };
    drop(raw);
    match ended {
        Ok(Err(failure)) => {
            Err(failure.hint(format!("the output of the command in the job {job} is incomplete")))
        }
        Ok(Ok(End::Exited(code))) => Ok(Exit::Job(code)),
        Ok(Ok(End::Failed(why))) => Err(Failure::failed(format!("the command in the job {job}: {why}"))),
        Ok(Ok(End::Lost)) => Err(Failure::new(
            ErrorKind::ContactLost,
            format!("contact with the command in the job {job} is lost, and the command gets SIGHUP"),
        )
        .hint(format!("`bstat {job}` tells how the job is"))),
        Err(signal) => {
            print_message(format!("bexec: {signal}; the command in the job {job} gets SIGHUP"));
            Ok(Exit::Interrupted(signal))
        }
    }
}

/// Receives frames until the last one.
async fn receive(reader: &mut StreamReader, output: mpsc::Sender<Output>, window: &Semaphore) -> End {
    loop {
        let sent = match reader.next().await {
            Some(Frame::Output(data)) => output.send(Output::Out(data)).await,
            Some(Frame::ErrorOutput(data)) => output.send(Output::Err(data)).await,
            Some(Frame::Accepted(count)) => {
                window.add_permits(usize::try_from(count).unwrap_or(0).min(INPUT_WINDOW));
                Ok(())
            }
            Some(Frame::Exit(code)) => return End::Exited(code),
            Some(Frame::Failed(why)) => return End::Failed(why),
            // A later server may have more to say.
            Some(_) => Ok(()),
            None => return End::Lost,
        };
        if sent.is_err() {
            // The thread that writes has ended, and its outcome ends the session.
            std::future::pending::<()>().await;
        }
    }
}

/// Sends standard input, as far as the other end takes it. The future ends if the terminal is gone.
///
/// With `is_raw`, standard input is a terminal in raw mode, where Ctrl-D is a key like others. The
/// end of its input means that it is gone, often before the SIGHUP of its end has come. The command
/// would take the end for the user's, and end with success.
async fn send(mut pieces: mpsc::Receiver<Vec<u8>>, writer: &StreamWriter, window: &Semaphore, is_raw: bool) {
    while let Some(piece) = pieces.recv().await {
        let size = u32::try_from(piece.len()).unwrap_or(0);
        if let Ok(permits) = window.acquire_many(size).await {
            // They come back when the other end has taken the bytes.
            permits.forget();
        }
        if !writer.send(&Frame::Input(piece)).await {
            // The reader finds out how the connection has ended.
            std::future::pending::<()>().await;
        }
    }
    if !is_raw {
        writer.send(&Frame::EndOfInput).await;
        std::future::pending::<()>().await;
    }
}

/// Sends the size of the terminal when it changes.
async fn resize(
    mut resized: tokio::signal::unix::Signal,
    writer: &StreamWriter,
    has_terminal: bool,
) -> std::convert::Infallible {
    while resized.recv().await.is_some() {
        if has_terminal {
            writer.send(&Frame::Resize(terminal::size())).await;
        }
    }
    std::future::pending().await
}

/// Reads standard input in a thread, which ends with the process: a read cannot be given up. With
/// `is_raw`, it is a terminal, and an error means that it is gone.
fn read_input(is_raw: bool) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(QUEUED);
    let read = move || {
        let mut bytes = vec![0; PIECE];
        loop {
            match std::io::stdin().lock().read(&mut bytes) {
                Ok(n @ 1..) => {
                    let piece = bytes.get(..n).unwrap_or_default().to_vec();
                    if sender.blocking_send(piece).is_err() {
                        return;
                    }
                }
                Err(e) if e.kind() == IoErrorKind::Interrupted => {}
                Ok(_) => return,
                Err(_) if is_raw => return,
                Err(e) => {
                    return print_message(format!(
                        "bexec: warning: reading standard input: {e}; the command gets its end"
                    ));
                }
            }
        }
    };
    // Without a thread there is no input, and its end comes at once.
    let _ = std::thread::Builder::new().name("input".to_owned()).spawn(read);
    receiver
}

/// Writes output in a thread: a reader that does not read must not hold up the keyboard. The future
/// ends when everything has been written, or with the failure of the first write that fails.
fn write_output() -> (mpsc::Sender<Output>, impl Future<Output = Result<(), Failure>>) {
    let (sender, mut receiver) = mpsc::channel(QUEUED);
    let (done, written) = oneshot::channel();
    let write = move || {
        let mut outcome = Ok(());
        while outcome.is_ok()
            && let Some(output) = receiver.blocking_recv()
        {
            outcome = write_piece(output);
        }
        drop(receiver);
        let _ = done.send(outcome);
    };
    let started = std::thread::Builder::new().name("output".to_owned()).spawn(write);
    let written = async move {
        started.map_err(|e| stdout_failure(&e))?;
        written.await.unwrap_or_else(|_| Err(Failure::failed("writing the output: the thread is gone")))
    };
    (sender, written)
}

/// Writes a piece of the output. Nobody has to read the errors: a reader of them that is gone takes
/// nothing away from the output.
fn write_piece(output: Output) -> Result<(), Failure> {
    match output {
        Output::Out(data) => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(&data).and_then(|()| stdout.flush()).map_err(|e| stdout_failure(&e))
        }
        Output::Err(data) => match std::io::stderr().lock().write_all(&data) {
            Err(e) if e.kind() != IoErrorKind::BrokenPipe => {
                Err(Failure::failed(format!("writing the errors to standard error: {e}")))
            }
            Ok(()) | Err(_) => Ok(()),
        },
    }
}
