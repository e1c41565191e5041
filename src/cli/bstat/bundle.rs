//! The bundles of jobs in S3, which hold scripts and variables.

use std::io::{self, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

use crate::aws::{Call, ObjectReader, Session, explain};
use crate::ui::Failure;
use awsb_model::payload::unpack;

/// Fetches a bundle into a file without a name, and compares its hash with its name, as the job
/// does.
///
/// # Errors
/// When S3 cannot be asked, the bundle is damaged, or the file cannot be written.
pub async fn fetch(session: &Session, bucket: &str, key: &str) -> Result<impl Read + Seek + use<>, Failure> {
    let doing = format!("fetching the job's bundle s3://{bucket}/{key}");
    let writing = |e: io::Error| {
        let folder = std::env::temp_dir();
        Failure::failed(format!("{doing}: writing a temporary file in {}: {e}", folder.display()))
    };
    let too_large = Failure::failed(format!("{doing}: it is too large for a bundle"));
    let object = session.s3.get_object().bucket(bucket).key(key).send().await;
    let object = object.map_err(|e| explain(session, Call::new(&doing).bucket(bucket), &e))?;
    let mut object = ObjectReader::new(object, unpack::MOST_UNPACKED, &doing, too_large)?;
    let (mut file, mut hash) = (tempfile::tempfile().map_err(writing)?, Sha256::new());
    while let Some(bytes) = object.next().await? {
        hash.update(&bytes);
        file.write_all(&bytes).map_err(writing)?;
    }
    let found = hex::encode(hash.finalize());
    if !unpack::is_named(key, &found) {
        return Err(Failure::failed(format!("{doing}: it is damaged: its SHA-256 is {found}"))
            .hint("the job cannot run it, either; submit the same script again to store it again"));
    }
    file.seek(SeekFrom::Start(0)).map_err(writing)?;
    Ok(file)
}
