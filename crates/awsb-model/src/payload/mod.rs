//! The payload of a job: the text of the launcher, and the bundle with everything that does not fit
//! into a request.
//!
//! The submitter makes both. The runner of the local cluster and `bstat --script` read them.

mod bundle;
pub mod launcher;
pub mod pty;
pub mod unpack;

pub use bundle::{Bundle, BundleEntry, MTIME};
