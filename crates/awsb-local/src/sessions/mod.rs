//! Sessions with running jobs: commands that run where a job runs (`ecs:ExecuteCommand`), and ports
//! of a job that are forwarded (`ssm:StartSession`).
//!
//! A request to the API opens a session and returns its URL and its token. The client then connects
//! to the URL, which is on the same port, and the session begins: the frames of
//! [`awsb_model::session_frames`] travel over the connection from there on. A token is good for one
//! connection within a minute.
//!
//! | module       | contents                                                                  |
//! |--------------|---------------------------------------------------------------------------|
//! | `registry`   | the sessions that wait for their client, and the attempts that can have any |
//! | `connection` | the upgrade of a request, and the beginning of its session                |
//! | `frames`     | frames over a connection                                                  |
//! | `channels`   | the two directions of a session: input with its window, signals, output   |
//! | `host`       | a command beside a job on the host                                        |
//! | `record`     | the record of such commands, for when their server is gone                |
//! | `terminal`   | pseudo-terminals                                                          |
//! | `leader`     | the program that becomes such a command                                   |
//! | `container`  | a command in the container of a job                                       |
//! | `forward`    | a connection to a port of a job                                           |

mod channels;
mod connection;
mod container;
mod forward;
mod frames;
mod host;
pub mod leader;
mod record;
pub mod registry;
mod terminal;

pub use connection::{Hold, answer, is_asked};
pub use record::end_leftovers;
