//! The frames of an `aws-chunked` body (S3 API Reference, `sigv4-streaming`,
//! `sigv4-streaming-trailers`): whether it has the length that it declares, its final chunk, and
//! the trailers that it announces.
//!
//! The `s3s` crate decodes such a body and checks its signatures, but takes the end of the data for
//! the end of the body. Here the frames are followed while the body passes: a body that breaks off
//! never becomes an object.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use s3s::dto::StreamingBlob;
use s3s::stream::DynByteStream;
use s3s::{S3Error, S3ErrorCode, s3_error};

/// The longest line with the size of a chunk, and the longest trailers: those of `s3s`.
const LONGEST_SIZE_LINE: usize = 1024;
const LONGEST_TRAILERS: usize = 16 * 1024;
/// The trailer that signs the others; it is not announced.
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// The fault in the frames of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// The bytes are not frames.
    Malformed,
    /// It ends before its final chunk.
    BreaksOff,
    /// Its chunks have more or fewer bytes than the declared length.
    OtherLength,
    /// A trailer that was announced is not there.
    TrailerMissing(String),
    /// The trailers are malformed, or there is one that was not announced.
    TrailersMalformed,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the body is not aws-chunked"),
            Self::BreaksOff => f.write_str("The request body terminated unexpectedly"),
            Self::OtherLength => f.write_str(
                "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header",
            ),
            Self::TrailerMissing(name) => write!(f, "The trailer {name}, which x-amz-trailer announces, is missing"),
            Self::TrailersMalformed => f.write_str(
                "The request contained trailing data that was not well-formed or did not conform to our published \
                 schema.",
            ),
        }
    }
}

impl std::error::Error for Broken {}

impl From<&Broken> for S3Error {
    fn from(broken: &Broken) -> Self {
        match broken {
            Broken::Malformed => s3_error!(InvalidRequest, "{broken}"),
            Broken::BreaksOff | Broken::OtherLength => s3_error!(IncompleteBody, "{broken}"),
            Broken::TrailerMissing(_) | Broken::TrailersMalformed => {
                let code = S3ErrorCode::Custom("MalformedTrailerError".into());
                let mut error = Self::with_message(code, broken.to_string());
                error.set_status_code(http::StatusCode::BAD_REQUEST);
                error
            }
        }
    }
}

/// Where in the frames we are.
#[derive(Debug)]
enum At {
    /// In the line with the size of the next chunk.
    Size(Vec<u8>),
    /// In a chunk that has so many bytes left.
    Data(u64),
    /// Behind a chunk: in `\r\n`, of which so many bytes are left.
    DataEnd(usize),
    /// Behind the final chunk.
    Trailers(Vec<u8>),
}

/// Follows the frames of one body.
#[derive(Debug)]
pub struct Frames {
    at: At,
    /// How many bytes the chunks still have to have.
    left: u64,
    announced: Vec<String>,
}

impl Frames {
    /// The frames of a body with `length` bytes in its chunks, and with the trailers that
    /// `announced` has: the value of `x-amz-trailer`.
    pub fn new(length: u64, announced: &str) -> Self {
        let announced = announced.split(',').map(|name| name.trim().to_ascii_lowercase());
        let announced = announced.filter(|name| !name.is_empty()).collect();
        Self { at: At::Size(Vec::new()), left: length, announced }
    }

    /// The frames that a request's headers announce; `None` when its body is not `aws-chunked`.
    /// `s3s` checks the rest of these headers.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let get = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if !get("x-amz-content-sha256")?.starts_with("STREAMING-") {
            return None;
        }
        // A length that is not a number matches no body.
        let length = get("x-amz-decoded-content-length")?.parse().unwrap_or(u64::MAX);
        let announced: Vec<_> =
            headers.get_all("x-amz-trailer").iter().filter_map(|value| value.to_str().ok()).collect();
        Some(Self::new(length, &announced.join(",")))
    }

    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// When they cannot be part of it.
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        while let Some(&first) = bytes.first() {
            match &mut self.at {
                At::Size(line) => {
                    let end = bytes.iter().position(|b| *b == b'\n').map(|at| at + 1);
                    let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
                    bytes = rest;
                    line.extend_from_slice(part);
                    if line.len() > LONGEST_SIZE_LINE {
                        return Err(Broken::Malformed);
                    }
                    if end.is_none() {
                        continue;
                    }
                    let size = chunk_size(line).ok_or(Broken::Malformed)?;
                    self.left = self.left.checked_sub(size).ok_or(Broken::OtherLength)?;
                    self.at = if size == 0 { At::Trailers(Vec::new()) } else { At::Data(size) };
                }
                At::Data(left) => {
                    let n = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    bytes = &bytes[n..];
                    *left -= n as u64;
                    if *left == 0 {
                        self.at = At::DataEnd(2);
                    }
                }
                At::DataEnd(left) => {
                    if first != b"\r\n"[2 - *left] {
                        return Err(Broken::Malformed);
                    }
                    bytes = &bytes[1..];
                    *left -= 1;
                    if *left == 0 {
                        self.at = At::Size(Vec::new());
                    }
                }
                At::Trailers(text) => {
                    if text.len() + bytes.len() > LONGEST_TRAILERS {
                        return Err(Broken::TrailersMalformed);
                    }
                    text.extend_from_slice(bytes);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The body has ended.
    ///
    /// # Errors
    /// When something is missing.
    pub fn end(&self) -> Result<(), Broken> {
        let At::Trailers(text) = &self.at else { return Err(Broken::BreaksOff) };
        if self.left > 0 {
            return Err(Broken::OtherLength);
        }
        let text = std::str::from_utf8(text).map_err(|_| Broken::TrailersMalformed)?;
        let mut missing = self.announced.clone();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (name, _) = line.split_once(':').ok_or(Broken::TrailersMalformed)?;
            let name = name.to_ascii_lowercase();
            match missing.iter().position(|announced| *announced == name) {
                Some(at) => {
                    missing.swap_remove(at);
                }
                None if name == TRAILER_SIGNATURE => {}
                // It was not announced, or is there twice.
                None => return Err(Broken::TrailersMalformed),
            }
        }
        missing.into_iter().next().map_or(Ok(()), |name| Err(Broken::TrailerMissing(name)))
    }
}

/// The size in `10000\r\n` or `10000;chunk-signature=…\r\n`. Nothing else may stand there: `s3s`,
/// which reads the line once more, must not see another size.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let (size, signature) = match line.split_once(';') {
        Some((size, extension)) => (size, Some(extension.strip_prefix("chunk-signature=")?)),
        None => (line, None),
    };
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_good = (1..=8).contains(&size.len())
        && is_hex(size)
        && signature.is_none_or(|signature| signature.len() == 64 && is_hex(signature));
    u64::from_str_radix(size, 16).ok().filter(|_| is_good)
}

/// The verdict on a request's frames, in the request's extensions.
#[derive(Debug, Clone, Default)]
pub struct Verdict(Arc<OnceLock<Broken>>);

impl Verdict {
    /// The fault.
    pub fn broken(&self) -> Option<&Broken> {
        self.0.get()
    }
}

/// The request, its body followed if it is `aws-chunked`.
pub fn follow(mut request: Request<s3s::Body>) -> Request<s3s::Body> {
    let Some(mut frames) = Frames::of(request.headers()) else { return request };
    let verdict = Verdict::default();
    request.extensions_mut().insert(verdict.clone());
    request.map(|body| {
        let pieces = body.into_data_stream().map(Some).chain(stream::once(ready(None)));
        let followed = pieces.filter_map(move |piece| {
            let checked = match &piece {
                Some(Ok(bytes)) => frames.take(bytes),
                Some(Err(_)) => Ok(()),
                None => frames.end(),
            };
            let item: Option<io::Result<Bytes>> = match (checked, piece) {
                (Err(broken), _) => {
                    let _ = verdict.0.set(broken.clone());
                    Some(Err(io::Error::other(broken)))
                }
                (Ok(()), Some(piece)) => Some(piece.map_err(io::Error::other)),
                (Ok(()), None) => None,
            };
            ready(item)
        });
        s3s::Body::from(DynByteStream::from(StreamingBlob::wrap(followed)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIGNED: &str = ";chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497";

    fn check(length: u64, announced: &str, body: &str) -> Result<(), Broken> {
        let mut outcomes = (1..=body.len().max(1)).map(|size| {
            let mut frames = Frames::new(length, announced);
            body.as_bytes().chunks(size).try_for_each(|piece| frames.take(piece)).and_then(|()| frames.end())
        });
        let first = outcomes.next().unwrap();
        // However it is cut on its way, it is the same body.
        assert!(outcomes.all(|outcome| outcome == first), "{body:?}");
        first
    }

    #[test]
    fn whole_bodies_pass() {
        for (length, announced, body) in [
            (6, "", "6\r\nabcdef\r\n0\r\n\r\n"),
            (6, "", "3\r\nabc\r\n3\r\n\r\n\n\r\n0\r\n"),
            (0, "", "0\r\n\r\n"),
            (26, "", "1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n"),
            (3, "x-amz-checksum-crc32", "3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n"),
            (3, "X-Amz-Checksum-CRC32, a", "3\r\nabc\r\n0\r\nA: 1\nx-amz-checksum-crc32:NSRBwg==\n"),
            (3, "a", "3\r\nabc\r\n0\r\na:1\r\nx-amz-trailer-signature:0\r\n\r\n"),
        ] {
            assert_eq!(check(length, announced, body), Ok(()), "{body:?}");
        }
        let signed = format!("3{SIGNED}\r\nabc\r\n0{SIGNED}\r\n\r\n");
        assert_eq!(check(3, "", &signed), Ok(()));
    }

    #[test]
    fn what_is_missing_or_too_much_is_found() {
        let missing = |name: &str| Broken::TrailerMissing(name.to_owned());
        for (length, announced, body, expected) in [
            (3, "", "", Broken::BreaksOff),
            (3, "", "3\r\nabc", Broken::BreaksOff),
            (3, "", "3\r\nabc\r\n", Broken::BreaksOff),
            (3, "", "3\r\nabc\r\n0", Broken::BreaksOff),
            (6, "", "3\r\nabc\r\n0\r\n\r\n", Broken::OtherLength),
            (2, "", "3\r\nabc\r\n0\r\n\r\n", Broken::OtherLength),
            (4, "", "3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n", Broken::OtherLength),
            (3, "a", "3\r\nabc\r\n0\r\n\r\n", missing("a")),
            (3, "a,b", "3\r\nabc\r\n0\r\na:1\r\n", missing("b")),
            (3, "", "3\r\nabc\r\n0\r\na:1\r\n", Broken::TrailersMalformed),
            (3, "a", "3\r\nabc\r\n0\r\na:1\r\na:2\r\n", Broken::TrailersMalformed),
            (3, "a", "3\r\nabc\r\n0\r\nnothing\r\n", Broken::TrailersMalformed),
            (3, "", "3\r\nabcd\r\n0\r\n\r\n", Broken::Malformed),
            (3, "", "3\nabc\r\n0\r\n\r\n", Broken::Malformed),
            (3, "", "+3\r\nabc\r\n0\r\n\r\n", Broken::Malformed),
            (3, "", "\r\nabc", Broken::Malformed),
            (3, "", "3;x=y\r\nabc", Broken::Malformed),
            (3, "", "3;chunk-signature=0\r\nabc", Broken::Malformed),
            // Eight digits are all that `s3s` reads: it would take this for the final chunk.
            (3, "", "000000003\r\nabc", Broken::Malformed),
            (3, "", "ffffffffffffffffff\r\n", Broken::Malformed),
        ] {
            assert_eq!(check(length, announced, body), Err(expected), "{body:?}");
        }
        let long = |n: usize| "0".repeat(n);
        assert_eq!(check(3, "", &format!("{}\r\n", long(2000))), Err(Broken::Malformed));
        let trailers = format!("0\r\na:{}\r\n", long(LONGEST_TRAILERS));
        let mut frames = Frames::new(0, "a");
        assert_eq!(frames.take(trailers.as_bytes()), Err(Broken::TrailersMalformed));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// A body that is cut off anywhere is never taken for a whole one.
        #[test]
        fn no_beginning_is_a_whole(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..5),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend(format!("{:x}\r\n", chunk.len()).bytes());
                body.extend(chunk);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\nx-amz-checksum-crc32:NSRBwg==");
            let length: usize = chunks.iter().map(Vec::len).sum();
            let outcome = |body: &[u8]| {
                let mut frames = Frames::new(length as u64, "x-amz-checksum-crc32");
                frames.take(body).and_then(|()| frames.end())
            };
            prop_assert_eq!(outcome(&body), Ok(()));
            // The value of the trailer is compared where the content's checksum is known.
            let end_of_names = body.len() - "NSRBwg==".len();
            prop_assert!(outcome(&body[..cut.index(end_of_names)]).is_err());
        }
    }
}
