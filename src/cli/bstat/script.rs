//! `bstat --script`: what a job runs, as it was staged.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

use crate::aws::{Call, Session, explain};
use crate::batch::{self, Job, JobDetails};
use crate::ui::{ErrorKind, Exit, Failure, Output};
use awsb_model::JobId;
use awsb_model::payload::unpack::{self, Carried};

/// Prints the scripts of these jobs, one after the other.
pub async fn tell(session: &Session, output: &Output, jobs: &[Job]) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    let ids: Vec<JobId> = jobs.iter().map(Job::id).collect();
    for detailed in batch::detailed(session, &ids).await?.into_iter().flatten() {
        match script(session, output, &detailed).await {
            Ok(()) => {}
            Err(failure) if failure.is_reader_gone() => return Err(failure),
            Err(failure) => {
                failure.report("bstat");
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}

async fn script(session: &Session, output: &Output, detailed: &JobDetails) -> Result<(), Failure> {
    let id = &detailed.job.job_id;
    let none = || {
        Failure::failed(format!("no script was staged for the job {id}: it runs a command"))
            .hint(format!("`bstat -o jobId,command {id}` shows the command"))
    };
    let environment = detailed.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    match Carried::of(environment).ok_or_else(none)? {
        Carried::Inline(bytes) => print(output, id, Cursor::new(bytes))?,
        Carried::Script(bytes) => output.write(&bytes).map(|()| true)?,
        Carried::Fetched { bucket, key } => print(output, id, fetch(session, &bucket, &key).await?)?,
    }
    .then_some(())
    .ok_or_else(none)
}

/// Prints the script in a bundle; `false` when there is none.
fn print(output: &Output, id: &str, bundle: impl Read + Seek) -> Result<bool, Failure> {
    let mut out = To { output, failed: None };
    let unpacked = unpack::script(bundle, &mut out);
    match (out.failed, unpacked) {
        (Some(failure), _) => Err(failure),
        (None, unpacked) => {
            unpacked.map_err(|e| Failure::failed(format!("unpacking the bundle of the job {id}: {e}")))
        }
    }
}

/// Standard output as a writer.
struct To<'a> {
    output: &'a Output,
    /// Why it could not be written.
    failed: Option<Failure>,
}

impl Write for To<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.output.write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(failure) => {
                self.failed = Some(failure);
                Err(io::Error::other("standard output cannot be written"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fetches a bundle into a file without a name, and checks that it is what its name says, as the job does.
pub async fn fetch(session: &Session, bucket: &str, key: &str) -> Result<impl Read + Seek + use<>, Failure> {
    let doing = format!("fetching the job's bundle s3://{bucket}/{key}");
    let writing = |e: io::Error| {
        let folder = std::env::temp_dir();
        Failure::failed(format!("{doing}: writing a temporary file in {}: {e}", folder.display()))
    };
    let object = session.s3.get_object().bucket(bucket).key(key).send().await;
    let object = object.map_err(|e| explain(session, Call::new(&doing).bucket(bucket), &e))?;
    if object.content_length().is_some_and(|length| length.unsigned_abs() > unpack::MOST_UNPACKED) {
        return Err(Failure::failed(format!("{doing}: it is too large for a bundle")));
    }
    let mut body = object.body;
    let (mut file, mut hash) = (tempfile::tempfile().map_err(writing)?, Sha256::new());
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|e| {
            Failure::new(ErrorKind::NoAnswer, format!("{doing}: the transfer broke off: {e}")).with_source(e)
        })?;
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
