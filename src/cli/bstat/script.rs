//! `bstat --script`: the script of a job, as it was staged.

use std::io::{self, Cursor, Read, Seek, Write};

use super::bundle;
use crate::aws::Session;
use crate::batch::{self, Job, JobDetails};
use crate::ui::{Exit, Failure, Output};
use awsb_model::JobId;
use awsb_model::payload::unpack::{self, Carried};

/// Prints the scripts of these jobs, one after the other.
pub async fn print(session: &Session, output: &Output, jobs: &[Job]) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    let ids: Vec<JobId> = jobs.iter().map(Job::id).collect();
    for detailed in batch::describe_with_environment(session, &ids).await?.into_iter().flatten() {
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
        Carried::Inline(bytes) => print_packed(output, id, Cursor::new(bytes))?,
        Carried::Script(bytes) => output.write(&bytes).map(|()| true)?,
        Carried::Fetched { bucket, key } => {
            print_packed(output, id, bundle::fetch(session, &bucket, &key).await?)?
        }
    }
    .then_some(())
    .ok_or_else(none)
}

/// Prints the script in a bundle; `false` when there is none.
fn print_packed(output: &Output, id: &str, bundle: impl Read + Seek) -> Result<bool, Failure> {
    let mut out = OutputWriter { output, failed: None };
    let unpacked = unpack::script(bundle, &mut out);
    match (out.failed, unpacked) {
        (Some(failure), _) => Err(failure),
        (None, unpacked) => {
            unpacked.map_err(|e| Failure::failed(format!("unpacking the bundle of the job {id}: {e}")))
        }
    }
}

/// Standard output as a writer.
struct OutputWriter<'a> {
    output: &'a Output,
    /// The failure of writing to it.
    failed: Option<Failure>,
}

impl Write for OutputWriter<'_> {
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
