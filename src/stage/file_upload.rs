//! Uploads a file as it is, to a key that the caller chooses.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::checksum::Checksums;
use super::multipart::{Upload, UploadLabels};
use super::part_source::{PartSource, part_size};
use super::spool::Reader;
use super::upload::{Object, ObjectState};
use crate::aws::Session;
use crate::ui::Failure;

/// The content type that S3 gives to objects of which nothing is said.
const BINARY: &str = "binary/octet-stream";
const FILE: UploadLabels = UploadLabels {
    what: "a file of the job",
    sending: "sending a file of the job",
    content_type: BINARY,
    not_done: "no job was submitted",
};

/// An open file.
#[derive(Debug, Clone)]
struct OpenFile {
    file: Arc<File>,
    length: u64,
}

impl PartSource for OpenFile {
    type Reader = Reader;

    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self) -> Reader {
        Reader::of(&self.file)
    }
}

/// Stores a file at a key of the cluster's bucket, and replaces what is there: a small file in one
/// call, a larger one in parts.
///
/// # Errors
/// When the file cannot be read, or the bucket is missing, may not be written or cannot be reached.
pub async fn store_file(session: &Session, key: &str, path: &Path) -> Result<(), Failure> {
    let reading = |e| Failure::failed(format!("reading {}: {e}", path.display()));
    let file = File::open(path).map_err(reading)?;
    let length = file.metadata().map_err(reading)?.len();
    let source = OpenFile { file: Arc::new(file), length };
    if length > part_size(length) {
        let (checksums, labels) = (&Checksums::default(), &FILE);
        let upload =
            Upload { session, key, source: &source, checksums, labels, metadata: None, quiet: false };
        return upload.run_from(ObjectState::Different).await;
    }
    let mut bytes = Vec::new();
    source.file.as_ref().read_to_end(&mut bytes).map_err(reading)?;
    store_bytes(session, key, bytes).await
}

/// Stores bytes at a key of the cluster's bucket, and replaces what is there.
///
/// # Errors
/// When the bucket is missing, may not be written or cannot be reached.
pub async fn store_bytes(session: &Session, key: &str, bytes: Vec<u8>) -> Result<(), Failure> {
    let (session, key, bytes) = (session.clone(), key.to_owned(), bytes.into());
    let object = Object { session, key, bytes, what: FILE.what, content_type: BINARY, metadata: None };
    object.put(false).await.map(drop)
}
