//! The inputs of a job, packed: small ones for the bundle, large ones in an archive of their own.

use std::io;

use super::archive::Archive;
use super::checksum::{Checksums, checksums};
use super::inputs::Inputs;
use crate::ui::{Failure, ProgressBar};
use awsb_model::WorkDir;
use awsb_model::payload::launcher::INPUTS_FOLDER;

/// Inputs whose archive has at least this size in bytes travel in an archive of their own, smaller
/// ones in the bundle.
///
/// That archive is not compressed: most large files are compressed already, and gzip is slower than
/// most networks.
const LARGE: u64 = 4 << 20;

/// The inputs of a job, as they travel.
#[derive(Debug, Clone)]
pub enum PackedInputs {
    /// The job has no inputs.
    None,
    /// Small inputs for the bundle: the records of a tar archive.
    Small(Vec<u8>),
    /// A large archive, and its checksums.
    Large(Archive, Checksums),
}

impl PackedInputs {
    /// Reads the inputs of a job that runs in `place`: small ones into memory, and large ones only
    /// for their checksums.
    ///
    /// # Errors
    /// When a file cannot be read, or changes while it is read.
    pub async fn pack(inputs: Inputs, place: &WorkDir) -> Result<Self, Failure> {
        if inputs.is_empty() {
            return Ok(Self::None);
        }
        let wrong = |e: io::Error| Failure::failed(e.to_string());
        let elsewhere = *place != WorkDir::Own;
        let below = |inputs: Inputs| Archive::of_inputs(inputs.below(INPUTS_FOLDER)).map_err(wrong);
        let archive = Archive::of_inputs(inputs.clone()).map_err(wrong)?;
        if archive.length() < LARGE {
            // The bundle is unpacked before the directory that the user chose exists.
            let archive = if elsewhere { below(inputs)? } else { archive };
            return archive.records().map(Self::Small).map_err(wrong);
        }
        // An archive with a standard input is unpacked there, too, because the input does not
        // belong in that directory.
        let archive = if elsewhere && inputs.has_stdin() { below(inputs)? } else { archive };
        let reading = archive.clone();
        let hashed = tokio::task::spawn_blocking(move || {
            let mut progress = ProgressBar::new("reading the inputs", reading.length());
            checksums(&reading, |n| progress.advance(n))
        });
        let checksums = hashed.await.map_err(io::Error::other).flatten().map_err(wrong)?;
        Ok(Self::Large(archive, checksums))
    }

    /// The name below the cluster's prefix and the length in bytes of the inputs' own object, if
    /// they have one.
    pub fn object(&self) -> Option<(String, u64)> {
        match self {
            Self::Large(archive, _) => Some((self.name()?, archive.length())),
            Self::None | Self::Small(_) => None,
        }
    }

    /// Whether the job has no inputs.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The records for the bundle.
    pub(super) fn records(&self) -> &[u8] {
        match self {
            Self::Small(records) => records,
            Self::None | Self::Large(..) => &[],
        }
    }

    /// The name of the inputs' own object below the cluster's prefix, if they have one. It is a
    /// hash, so the same content is stored once.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Large(_, checksums) => Some(format!("bundles/{}.tar", checksums.sha256)),
            Self::None | Self::Small(_) => None,
        }
    }
}
