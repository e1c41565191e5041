//! The frames of a session with a job: how a command, its terminal and its output, or the bytes of
//! a forwarded port, travel over one connection. `docs/local.md` describes the protocol.
//!
//! A frame is a byte for its kind, four bytes for the length of its payload (big-endian), and the
//! payload. Reading and writing connections is the task of the two ends; this module is pure.

/// The name of the protocol, in the header `Upgrade` of both ends.
pub const PROTOCOL: &str = "awsb-session";
/// The header with the token of the session.
pub const TOKEN_HEADER: &str = "x-awsb-session-token";
/// The first part of the paths of sessions.
pub const PATH: &str = "/awsb/session/";
/// The most bytes that the payload of a frame has.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// How many bytes of input a client may send before the other end has taken them
/// ([`Frame::Accepted`]). So frames of another kind never wait behind input that nobody reads.
pub const INPUT_WINDOW: usize = 256 * 1024;
/// The bytes before the payload.
const HEAD: usize = 5;

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Its columns.
    pub columns: u16,
    /// Its rows.
    pub rows: u16,
}

/// The terminal of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTerminal {
    /// Its kind: the variable TERM.
    pub kind: String,
    /// Its size.
    pub size: WindowSize,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Client: the first frame. It has the terminal that the command is to have, if any.
    Start(Option<SessionTerminal>),
    /// Client: input of the command, or bytes for the port.
    Input(Vec<u8>),
    /// Client: there is no more input.
    EndOfInput,
    /// Client: the terminal has another size.
    Resize(WindowSize),
    /// Client: a signal for the processes of the command, by its number.
    Signal(u8),
    /// Server: standard output of the command, or bytes of the port.
    Output(Vec<u8>),
    /// Server: standard error of the command. A command on a terminal has none.
    ErrorOutput(Vec<u8>),
    /// Server: there is no more output of the port.
    EndOfOutput,
    /// Server: this many bytes of the input have been taken.
    Accepted(u32),
    /// Server: the last frame. The command has ended with this exit code.
    Exit(u8),
    /// Server: the last frame. The session has failed; the text says why.
    Failed(String),
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The kind does not exist.
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    /// The payload is longer than any.
    #[error("a frame of {0} bytes; the most are {MAX_PAYLOAD}")]
    Length(u32),
    /// The payload is not one of its kind.
    #[error("a frame of the kind {0} with a payload of another form")]
    Payload(u8),
}

impl Frame {
    fn kind(&self) -> u8 {
        match self {
            Self::Start(_) => 1,
            Self::Input(_) => 2,
            Self::EndOfInput => 3,
            Self::Resize(_) => 4,
            Self::Signal(_) => 5,
            Self::Output(_) => 16,
            Self::ErrorOutput(_) => 17,
            Self::EndOfOutput => 18,
            Self::Accepted(_) => 19,
            Self::Exit(_) => 20,
            Self::Failed(_) => 21,
        }
    }

    /// The bytes of the frame. A payload that is too long is cut, which only texts can be: data is
    /// read in smaller pieces.
    pub fn encode(&self) -> Vec<u8> {
        let mut payload = match self {
            Self::Start(None) | Self::EndOfInput | Self::EndOfOutput => Vec::new(),
            Self::Start(Some(terminal)) => {
                let mut payload = size_bytes(terminal.size).to_vec();
                payload.extend_from_slice(terminal.kind.as_bytes());
                payload
            }
            Self::Resize(size) => size_bytes(*size).to_vec(),
            Self::Signal(number) | Self::Exit(number) => vec![*number],
            Self::Input(data) | Self::Output(data) | Self::ErrorOutput(data) => data.clone(),
            Self::Accepted(count) => count.to_be_bytes().to_vec(),
            Self::Failed(text) => text.clone().into_bytes(),
        };
        payload.truncate(MAX_PAYLOAD);
        let length = u32::try_from(payload.len()).unwrap_or(0);
        let mut bytes = Vec::with_capacity(HEAD + payload.len());
        bytes.push(self.kind());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.append(&mut payload);
        bytes
    }

    fn decode(kind: u8, payload: &[u8]) -> Result<Self, FrameError> {
        let wrong = FrameError::Payload(kind);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(match (kind, payload) {
            (1, []) => Self::Start(None),
            (1, [a, b, c, d, kind @ ..]) => {
                Self::Start(Some(SessionTerminal { kind: text(kind), size: size([*a, *b, *c, *d]) }))
            }
            (2, data) => Self::Input(data.to_vec()),
            (3, []) => Self::EndOfInput,
            (4, [a, b, c, d]) => Self::Resize(size([*a, *b, *c, *d])),
            (5, [number]) => Self::Signal(*number),
            (16, data) => Self::Output(data.to_vec()),
            (17, data) => Self::ErrorOutput(data.to_vec()),
            (18, []) => Self::EndOfOutput,
            (19, payload) => Self::Accepted(u32::from_be_bytes(payload.try_into().map_err(|_| wrong)?)),
            (20, [code]) => Self::Exit(*code),
            (21, words) => Self::Failed(text(words)),
            (1 | 3 | 4 | 5 | 18 | 20, _) => return Err(wrong),
            _ => return Err(FrameError::Kind(kind)),
        })
    }
}

fn size_bytes(size: WindowSize) -> [u8; 4] {
    let ([a, b], [c, d]) = (size.columns.to_be_bytes(), size.rows.to_be_bytes());
    [a, b, c, d]
}

fn size([a, b, c, d]: [u8; 4]) -> WindowSize {
    WindowSize { columns: u16::from_be_bytes([a, b]), rows: u16::from_be_bytes([c, d]) }
}

/// Takes frames out of the bytes of a connection, however these are cut.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    bytes: Vec<u8>,
    /// Where the next frame begins.
    at: usize,
}

impl FrameDecoder {
    /// Adds bytes that have come.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame; `None` when its last byte has not come yet.
    ///
    /// # Errors
    /// When the bytes are not a frame. The connection is of no more use then.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(rest) = self.bytes.get(self.at..) else { return Ok(None) };
        let Some((&[kind, a, b, c, d], rest)) = rest.split_first_chunk::<HEAD>() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]);
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if size > MAX_PAYLOAD {
            return Err(FrameError::Length(length));
        }
        let Some(payload) = rest.get(..size) else { return Ok(None) };
        let frame = Frame::decode(kind, payload)?;
        self.at += HEAD + size;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames() -> impl Strategy<Value = Frame> {
        let size = || (any::<u16>(), any::<u16>()).prop_map(|(columns, rows)| WindowSize { columns, rows });
        let data = || proptest::collection::vec(any::<u8>(), 0..300);
        prop_oneof![
            Just(Frame::Start(None)),
            (size(), "[a-z0-9-]{0,20}")
                .prop_map(|(size, kind)| Frame::Start(Some(SessionTerminal { kind, size }))),
            data().prop_map(Frame::Input),
            Just(Frame::EndOfInput),
            size().prop_map(Frame::Resize),
            any::<u8>().prop_map(Frame::Signal),
            data().prop_map(Frame::Output),
            data().prop_map(Frame::ErrorOutput),
            Just(Frame::EndOfOutput),
            any::<u32>().prop_map(Frame::Accepted),
            any::<u8>().prop_map(Frame::Exit),
            "\\PC{0,40}".prop_map(Frame::Failed),
        ]
    }

    proptest! {
        #[test]
        fn frames_arrive_as_they_were_sent_however_they_are_cut(
            sent in proptest::collection::vec(frames(), 0..20),
            piece in 1_usize..64,
        ) {
            let bytes: Vec<u8> = sent.iter().flat_map(Frame::encode).collect();
            let (mut decoder, mut received) = (FrameDecoder::default(), Vec::new());
            for piece in bytes.chunks(piece) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    received.push(frame);
                }
            }
            prop_assert_eq!(received, sent);
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = FrameDecoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_frame() {}
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_before_it_has_come() {
        let mut decoder = FrameDecoder::default();
        decoder.push(&[2, 0, 1, 0, 1]);
        assert_eq!(decoder.next_frame(), Err(FrameError::Length(0x0001_0001)));
        let mut decoder = FrameDecoder::default();
        decoder.push(&[99, 0, 0, 0, 0]);
        assert_eq!(decoder.next_frame(), Err(FrameError::Kind(99)));
        decoder = FrameDecoder::default();
        decoder.push(&[20, 0, 0, 0, 0]);
        assert_eq!(decoder.next_frame(), Err(FrameError::Payload(20)));
    }
}
