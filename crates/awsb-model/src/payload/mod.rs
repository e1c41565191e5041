//! What travels with a job: the launcher's text, and the bundle with what does not fit into a request.
//!
//! Whoever submits makes both; the local cluster's runner and `bstat --script` read them.

mod bundle;
pub mod launcher;
pub mod unpack;

pub use bundle::{Bundle, Entry, MTIME};
