//! CloudWatch Logs: log groups and streams, their events, and the API over them.
//!
//! | module        | contents                                                                      |
//! |---------------|-------------------------------------------------------------------------------|
//! | `api`         | operations: JSON in, JSON out; each of the larger ones in a file of its own   |
//! | `names`       | valid names of groups and streams                                             |
//! | `errors`      | the errors of the API                                                         |
//! | [`record`]    | one event in a file                                                           |
//! | `stream_file` | the name of a stream's file                                                   |
//! | `position`    | positions in a stream, and the events found there                             |
//! | `file`        | the output of jobs: a file for each stream                                    |
//! | `table`       | the events that PutLogEvents has stored: a database of its own                |
//! | `source`      | any number of files and tables, read as one in the order of time              |
//! | `events`      | all the events of the home: finding, bounding and removing those of a stream  |
//! | `pattern`     | filter patterns                                                               |
//!
//! Groups and streams are rows of the Batch database: see [`crate::batch::log_streams`].

mod api;
pub mod errors;
mod events;
mod file;
mod filter;
mod get;
pub mod names;
pub mod pattern;
mod position;
mod put;
pub mod record;
mod source;
mod stream_file;
mod table;

pub use api::Api;
pub use events::Events;
pub use stream_file::file_of;
