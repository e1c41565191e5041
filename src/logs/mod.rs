//! Log streams: the output of jobs, read to its end or followed while they run.
//!
//! * [`read`]: one stream, fast, from several points in time at once;
//! * [`tail()`]: the last lines, from the end backwards;
//! * [`merge()`]: many streams as one, in the order of time;
//! * [`follow()`]: the lines of a job or an array as they come, until the last one after the job's
//!   end;
//! * [`StreamFollower`]: the lines of one stream as they come.

mod api;
mod cursor;
mod event;
mod filtered_reader;
mod follow;
mod merge;
mod merge_queue;
mod parallel_read;
mod pods;
mod reader;
mod retry;
mod stream_follower;
mod tail;

pub use event::{Event, LogQuery, LogStreamRef, StreamWriter};
pub use follow::{FollowEnd, FollowOptions, follow};
pub use merge::merge;
#[doc(hidden)] // benches/micro/ measures it.
pub use merge_queue::MergeQueue;
pub use parallel_read::{TimeRange, read};
pub use pods::{describe_writers, name_streams};
pub use stream_follower::StreamFollower;
pub use tail::{Tail, last_lines, tail};
