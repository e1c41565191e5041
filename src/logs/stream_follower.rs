//! One stream, followed by a caller who knows when it has ended.

use std::sync::Arc;

use super::event::{Event, LogStreamRef};
use super::parallel_read::is_full;
use super::reader::{StreamPage, StreamReader};
use crate::aws::ResilientSession;
use crate::ui::Failure;

/// At most this many pages are read at once of a stream that is still written.
pub(super) const PAGES_AT_ONCE: usize = 20;

/// Reads a stream while it is written.
#[derive(Debug)]
pub struct StreamFollower(StreamReader);

impl StreamFollower {
    /// A follower at the beginning of a stream.
    pub fn new(stream: Arc<LogStreamRef>) -> Self {
        Self(StreamReader::new(stream, None))
    }

    /// Hands on the lines that have come since the last call, and returns whether there were any. A
    /// stream that does not exist (yet) has none.
    ///
    /// # Errors
    /// When contact was lost for good, or `print` fails.
    pub async fn read(
        &mut self,
        contact: &mut ResilientSession,
        mut print: impl FnMut(&[Event]) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let mut any = false;
        for _ in 0..PAGES_AT_ONCE {
            let StreamPage::Lines(events) = self.0.next_with_contact(contact).await? else { break };
            any |= !events.is_empty();
            print(&events)?;
            if !events.is_empty() && !is_full(&events) {
                break;
            }
        }
        Ok(any)
    }
}
