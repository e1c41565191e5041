//! Log streams: what a job has printed, read to its end or followed while it runs.

mod follow;
mod read;
mod tail;

pub use follow::follow;
pub use read::{Event, Page, Place, Reader};
pub use tail::tail;
