//! One stream, followed by somebody who knows by himself when it has ended.

use std::sync::Arc;

use super::event::{Event, Place};
use super::follow::PAGES;
use super::read::{Page, Reader};
use super::window::is_full;
use crate::aws::Contact;
use crate::ui::Failure;

/// How far a stream has been read.
#[derive(Debug)]
pub struct Stream(Reader);

impl Stream {
    /// At its beginning.
    pub fn new(place: Arc<Place>) -> Self {
        Self(Reader::new(place, None))
    }

    /// Hands on the lines that have come since the last time, and says whether there were any. A stream that is not
    /// there (yet) has none.
    ///
    /// # Errors
    /// When contact was lost for good, or `print` fails.
    pub async fn read(
        &mut self,
        contact: &mut Contact,
        mut print: impl FnMut(&[Event]) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let mut any = false;
        for _ in 0..PAGES {
            let Page::Lines(events) = self.0.next_of(contact).await? else { break };
            any |= !events.is_empty();
            print(&events)?;
            if !events.is_empty() && !is_full(&events) {
                break;
            }
        }
        Ok(any)
    }
}
