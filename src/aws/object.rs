//! The content of an object of S3, which is read piece by piece and up to a limit.

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::sdk_error::innermost;
use crate::ui::{ErrorKind, Failure};

/// An object that is being read.
#[derive(Debug)]
pub struct ObjectReader<'d> {
    doing: &'d str,
    body: ByteStream,
    /// The number of bytes that it may still have.
    left: u64,
    too_long: Failure,
}

impl<'d> ObjectReader<'d> {
    /// Begins to read an object of at most `limit` bytes. `doing` is what is being done, and
    /// `too_long` the failure of a longer object. A server need not say before how long it is.
    ///
    /// # Errors
    /// When the server says that the object is longer.
    pub fn new(
        object: GetObjectOutput,
        limit: u64,
        doing: &'d str,
        too_long: Failure,
    ) -> Result<Self, Failure> {
        let said = object.content_length().and_then(|length| u64::try_from(length).ok());
        match said {
            Some(length) if length > limit => Err(too_long),
            _ => Ok(Self { doing, body: object.body, left: limit, too_long }),
        }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When the object is too long, or the transfer breaks off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(piece) = self.body.next().await else { return Ok(None) };
        let piece = piece.map_err(|e| {
            let message = format!("{}: the transfer broke off: {}", self.doing, innermost(&e));
            Failure::new(ErrorKind::NoAnswer, message).with_source(e)
        })?;
        self.left = self.left.checked_sub(piece.len() as u64).ok_or_else(|| self.too_long.clone())?;
        Ok(Some(piece))
    }

    /// The whole content.
    ///
    /// # Errors
    /// As [`ObjectReader::next`].
    pub async fn whole(mut self) -> Result<Vec<u8>, Failure> {
        let mut whole = Vec::new();
        while let Some(piece) = self.next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}
