//! The protocol against a model of Batch and S3: generated schedules in virtual time.
//!
//! A [`Schedule`] says how each call ends, when each submitter begins, is stopped or killed, and
//! how late Batch is. The [`World`] runs it, and [`verdict`] says whether the promise held.

mod generate;
mod property;
mod regressions;
mod schedule;
mod tests;
mod world;

pub use generate::generate;
use property::verdict;
use schedule::{Before, Kill, Read, RecordCall, Stall, SubmitCall, TerminateCall, shrink};
pub use schedule::{Holder, Reply, Schedule};
use world::Job;
pub use world::{BEGIN, Client, World, target};
