//! `--script`: the script that was staged for a job, byte for byte.

use crate::batch::{self, Detailed, Job};
use crate::cluster::{Session, explain};
use crate::job::JobId;
use crate::stage::unpack::{self, Carried};
use crate::ui::{Exit, Failure, Output};

/// Prints the scripts of these jobs, one after the other.
pub async fn tell(session: &Session, output: &Output, jobs: &[Job]) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    let ids: Vec<JobId> = jobs.iter().map(Job::id).collect();
    for detailed in batch::detailed(session, &ids).await?.into_iter().flatten() {
        match script(session, &detailed).await {
            Ok(bytes) => output.write(&bytes)?,
            Err(failure) => {
                failure.report("bstat");
                exit = Exit::Failed;
            }
        }
    }
    Ok(exit)
}

async fn script(session: &Session, detailed: &Detailed) -> Result<Vec<u8>, Failure> {
    let id = &detailed.job.job_id;
    let none = || {
        Failure::failed(format!("no script was staged for the job {id}: it runs a command"))
            .hint(format!("`bstat -o jobId,command {id}` shows the command"))
    };
    let environment = detailed.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let bundle = match Carried::of(environment).ok_or_else(none)? {
        Carried::Inline(bytes) => bytes,
        Carried::Fetched { bucket, key } => fetch(session, &bucket, &key).await?,
    };
    let script = unpack::script(&bundle);
    let script = script.map_err(|e| Failure::failed(format!("unpacking the bundle of the job {id}: {e}")))?;
    script.ok_or_else(none)
}

async fn fetch(session: &Session, bucket: &str, key: &str) -> Result<Vec<u8>, Failure> {
    let doing = format!("fetching the job's bundle s3://{bucket}/{key}");
    let object = session.s3.get_object().bucket(bucket).key(key).send().await;
    let body = object.map_err(|e| explain(session, &doing, &e))?.body;
    let bytes = body.collect().await;
    Ok(bytes.map_err(|e| Failure::failed(format!("{doing}: it broke off: {e}")).passing(true))?.to_vec())
}
