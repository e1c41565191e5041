//! Log streams: what jobs have printed, read to its end or followed while they run.
//!
//! * [`read`]: one stream, fast, from several points in time at once;
//! * [`tail`]: the last lines, from the end backwards;
//! * [`merge`]: many streams as one, in the order of time;
//! * [`follow`]: the lines of a job or an array as they come, until the last one after the job's end;
//! * [`Stream`]: the lines of one stream as they come.

mod call;
mod cursor;
mod event;
mod filtered;
mod follow;
mod many;
mod merge;
mod read;
mod segments;
mod stream;
mod tail;
mod window;

pub use event::{Event, Place, Wanted, Writer};
pub use follow::{Ended, Followed, follow};
pub use merge::merge;
pub use segments::{Stretch, read};
pub use stream::Stream;
pub use tail::{Tail, end_of, tail};
