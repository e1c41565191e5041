//! Inputs on their way: in the bundle when they are small, in an archive of their own when they are not.

use std::io;

use super::archive::Archive;
use super::inputs::Inputs;
use super::parts::{self, Sums};
use crate::ui::{Failure, Progress};
use awsb_model::Place;
use awsb_model::payload::launcher::INPUTS_FOLDER;

/// Inputs whose archive has this size in bytes, or more, travel in one of their own; smaller ones in the bundle.
///
/// Theirs is not compressed: much of what is large is so already, and gzip is slower than most networks.
const LARGE: u64 = 4 << 20;

/// What a job takes along.
#[derive(Debug, Clone)]
pub enum Baggage {
    /// Nothing.
    None,
    /// So little that it goes into the bundle: the records of a tar archive.
    Small(Vec<u8>),
    /// A large archive, and its checksums.
    Large(Archive, Sums),
}

impl Baggage {
    /// Reads the inputs of a job that runs in `place`: small ones into memory, of large ones only the hash.
    ///
    /// # Errors
    /// When a file cannot be read, or changes meanwhile.
    pub async fn pack(inputs: Inputs, place: &Place) -> Result<Self, Failure> {
        if inputs.is_empty() {
            return Ok(Self::None);
        }
        let wrong = |e: io::Error| Failure::failed(e.to_string());
        let elsewhere = *place != Place::Own;
        let below = |inputs: Inputs| Archive::of(inputs.below(INPUTS_FOLDER)).map_err(wrong);
        let archive = Archive::of(inputs.clone()).map_err(wrong)?;
        if archive.length() < LARGE {
            // The bundle is unpacked before there is the directory of the job's choice.
            let archive = if elsewhere { below(inputs)? } else { archive };
            return archive.records().map(Self::Small).map_err(wrong);
        }
        // So is what comes with a standard input, which does not belong there.
        let archive = if elsewhere && inputs.has_stdin() { below(inputs)? } else { archive };
        let reading = archive.clone();
        let hashed = tokio::task::spawn_blocking(move || {
            let mut progress = Progress::new("reading the inputs", reading.length());
            parts::sums(&reading, |n| progress.advance(n))
        });
        let sums = hashed.await.map_err(io::Error::other).flatten().map_err(wrong)?;
        Ok(Self::Large(archive, sums))
    }

    /// The name below the cluster's prefix, and the length in bytes, of what is an object of its own.
    pub fn object(&self) -> Option<(String, u64)> {
        match self {
            Self::Large(archive, _) => Some((self.name()?, archive.length())),
            Self::None | Self::Small(_) => None,
        }
    }

    /// Whether there is nothing.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// What goes into the bundle.
    pub(super) fn records(&self) -> &[u8] {
        match self {
            Self::Small(records) => records,
            Self::None | Self::Large(..) => &[],
        }
    }

    /// The name of its object below the cluster's prefix, if it has one: the same content is stored once.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Large(_, sums) => Some(format!("bundles/{}.tar", sums.sha256)),
            Self::None | Self::Small(_) => None,
        }
    }
}
